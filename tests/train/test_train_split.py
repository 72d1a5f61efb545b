# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""Centres that are split over processes: the numbers of one process, and checkpoints for any number of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("accelerate", reason="training needs the extra [train]")
torch.set_num_threads(1)

from maskgen.train import centre_files
from maskgen.train.learner import centre_optimizer_of
from maskgen.train.margin import Centres, Margin, sampled_classes, share_of
from maskgen.train.settings import settings_of

REPOSITORY = Path(__file__).parents[2]
MARGIN = Margin(1, 0.5, 0)
IDENTITIES, EMBEDDING, BATCH = 11, 6, 8
CASES = {
    "all": None,
    "sample": [0, 2, 4, 6, 9, 10],
    "nobody of the second process": [0, 1, 2, 3, 4],
}


def batch_of(classes):
    """Embeddings (B, E) and labels (B,), among the classes."""
    generator = torch.Generator().manual_seed(1)
    known = torch.arange(IDENTITIES) if classes is None else torch.tensor(classes)
    embeddings = torch.randn(BATCH, EMBEDDING, generator=generator)
    return embeddings, known[torch.randint(len(known), (BATCH,), generator=generator)]


def one_pass(rank, world):
    """By case: losses of all, the gradient of this process's embeddings, and that of its centres."""
    found = {}
    for name, classes in CASES.items():
        embeddings, labels = batch_of(classes)
        centres = Centres(IDENTITIES, EMBEDDING, MARGIN, 16.0, 3, rank, world)
        own = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
        mine = embeddings[own].clone().requires_grad_()
        further = 0.3 * (torch.arange(BATCH) % 3 == 0)
        losses = centres(mine, labels[own], None if classes is None else torch.tensor(classes), further[own])
        (losses * torch.arange(1.0, BATCH + 1)).mean().backward()
        found[name] = (losses.detach(), mine.grad / world, centres.weight.grad.to_dense())
    return found


def steps_of(rank, world):
    """Centres after three steps, with their optimizers, by kind."""
    kinds = {}
    for optimizer in ("sgd", "adamw"):
        for rate in (1.0, 0.5):
            centres = Centres(IDENTITIES, EMBEDDING, MARGIN, 16.0, 3, rank, world)
            given = {"data": "x", "base": "y", "optimizer": optimizer, "sample_rate": rate, "lr": 0.1}
            steps = centre_optimizer_of(centres, settings_of(given))
            for step in range(3):
                embeddings, labels = batch_of(None)
                own = slice(rank * BATCH // world, (rank + 1) * BATCH // world)
                chance = torch.Generator().manual_seed(step)
                classes = None if rate == 1 else sampled_classes(labels, IDENTITIES, rate, chance)
                centres(embeddings[own], labels[own], classes).mean().backward()
                steps.step()
                steps.zero_grad()
            kinds[f"{optimizer}-{rate}"] = centres, steps
    return kinds


SCRIPT = """
import os, sys, torch
from pathlib import Path
torch.set_num_threads(1)
torch.distributed.init_process_group("gloo")
rank, world = torch.distributed.get_rank(), torch.distributed.get_world_size()
import test_train_split as test
from maskgen.train import centre_files
out = Path(sys.argv[1])
torch.save(test.one_pass(rank, world), out / f"{rank}.pth")
for kind, (centres, optimizer) in test.steps_of(rank, world).items():
    (out / kind).mkdir(exist_ok=True)
    centre_files.save(out / kind, centres, optimizer, rank, world)
torch.distributed.destroy_process_group()
"""


@pytest.fixture(scope="module")
def of_two(tmp_path_factory):
    """A folder of what two processes found."""
    out = tmp_path_factory.mktemp("two")
    (out / "script.py").write_text(SCRIPT)
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29517"]
    paths = [str(REPOSITORY), str(Path(__file__).parent)]
    done = subprocess.run(
        [sys.executable, *command, str(out / "script.py"), str(out)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(paths)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out


@pytest.mark.parametrize("case", CASES)
def test_two_processes_have_the_losses_and_gradients_of_one(case, of_two):
    losses, of_embeddings, of_centres = one_pass(0, 1)[case]
    parts = [torch.load(of_two / f"{rank}.pth", weights_only=True)[case] for rank in range(2)]
    for part in parts:
        assert close(part[0], losses)
    assert close(torch.cat([part[1] for part in parts]), of_embeddings)
    assert close(torch.cat([part[2] for part in parts]), of_centres)
    assert of_embeddings.abs().max() > 0.01


def close(ours, theirs):
    return float((ours - theirs).abs().max()) < 1e-5 * float(theirs.abs().max())


@pytest.mark.parametrize("kind", ["sgd-1.0", "sgd-0.5", "adamw-1.0", "adamw-0.5"])
def test_centres_of_two_processes_are_read_by_one_and_by_three(kind, of_two):
    expected, with_steps = steps_of(0, 1)[kind]
    state = with_steps.state[expected.weight]
    for world in (1, 2, 3):
        for rank in range(world):
            centres = Centres(IDENTITIES, EMBEDDING, MARGIN, 16.0, 4, rank, world)
            optimizer = type(with_steps)(centres.parameters(), lr=0.1)
            centre_files.load(of_two / kind, centres, optimizer)
            rows = slice(*share_of(IDENTITIES, rank, world))
            assert torch.allclose(centres.weight, expected.weight[rows], atol=1e-5)
            kept = optimizer.state[centres.weight]
            assert kept.keys() == state.keys()
            for name, value in state.items():
                if torch.is_tensor(value) and value.dim() == 2:
                    assert torch.allclose(kept[name], value[rows], atol=1e-5)
                else:
                    assert kept[name] == value


@pytest.mark.parametrize("change", ["one is gone", "too many", "other people"])
def test_files_that_do_not_hold_all_centres_are_refused(change, of_two, tmp_path):
    for name in ("centres-0-of-2.pth", "centres-1-of-2.pth"):
        (tmp_path / name).write_bytes((of_two / "sgd-1.0" / name).read_bytes())
    identities = IDENTITIES
    if change == "one is gone":
        (tmp_path / "centres-1-of-2.pth").unlink()
    elif change == "too many":
        (tmp_path / "centres-0-of-1.pth").write_bytes((tmp_path / "centres-0-of-2.pth").read_bytes())
    else:
        identities = 12
    centres = Centres(identities, EMBEDDING, MARGIN, 16.0)
    with pytest.raises(ValueError, match="do not hold all"):
        centre_files.load(tmp_path, centres, torch.optim.SGD(centres.parameters(), 0.1))


@pytest.mark.parametrize(("identities", "world"), [(11, 2), (11, 3), (5, 5), (3, 4), (10_000, 7)])
def test_every_centre_is_held_once_and_begins_where_it_begins_with_one_process(identities, world):
    whole = Centres(identities, 2, MARGIN, 8.0, seed=5).weight
    parts = [Centres(identities, 2, MARGIN, 8.0, 5, rank, world).weight for rank in range(world)]
    assert torch.equal(torch.cat(parts), whole)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert not torch.equal(whole, Centres(identities, 2, MARGIN, 8.0, seed=6).weight)
