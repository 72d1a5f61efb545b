"""How much memory the centres of very many identities take, split over processes.

    python tests/bench/centres.py --identities 1000000 --processes 2 --sample-rate 0.1 --embedding 512

Each process makes a few steps of Partial FC on random embeddings, without a network and without pictures: what is told
is what the centres cost. Compare it with 4 bytes x identities x embedding, the size of all centres.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time

import torch
from torch import distributed

from maskgen.train.learner import centre_optimizer_of, generator_of
from maskgen.train.margin import Centres, Margin, sampled_classes
from maskgen.train.settings import MARGINS, settings_of


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--identities", type=int, default=1_000_000)
    parser.add_argument("--embedding", type=int, default=512)
    parser.add_argument("--sample-rate", type=float, default=0.1)
    parser.add_argument("--batch", type=int, default=128, help="pictures, over all processes")
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--optimizer", choices=["sgd", "adamw"], default="sgd")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.inside:
        measure(given)
        return
    command = ["-m", "torch.distributed.run", "--nproc-per-node", str(given.processes), "--master-port", "29519"]
    subprocess.run([sys.executable, *command, *sys.argv, "--inside"], check=True)


def measure(given: argparse.Namespace) -> None:
    distributed.init_process_group("gloo")
    rank, world = distributed.get_rank(), distributed.get_world_size()
    torch.set_num_threads(1)
    before = peak()
    centres = Centres(given.identities, given.embedding, Margin(*MARGINS["arcface"]), 64.0, 0, rank, world)
    settings = {"data": "x", "base": "y", "sample_rate": given.sample_rate, "optimizer": given.optimizer}
    optimizer = centre_optimizer_of(centres, settings_of(settings))
    own = given.batch // world
    chance = torch.Generator().manual_seed(rank)
    started = time.process_time()
    for step in range(given.steps):
        embeddings = torch.randn(own, given.embedding, generator=chance, requires_grad=True)
        labels = torch.randint(given.identities, (own,), generator=chance)
        parts = [torch.empty_like(labels) for _ in range(world)]
        distributed.all_gather(parts, labels)
        classes = None
        if given.sample_rate < 1:
            generator = generator_of(0, step, 0)
            classes = sampled_classes(torch.cat(parts), given.identities, given.sample_rate, generator)
        centres(embeddings, labels, classes).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    seconds = (time.process_time() - started) / given.steps
    whole = 4 * given.identities * given.embedding / 2**20
    print(
        f"process {rank} of {world}: peak {peak():.0f} MiB, {before:.0f} of it before there were centres; all "
        f"{given.identities} centres of {given.embedding} numbers are {whole:.0f} MiB; {seconds:.2f} CPU s per step",
        flush=True,
    )
    distributed.destroy_process_group()


def peak() -> float:
    """MiB that this process took at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
