"""What the figures of millions of pairs cost, of embeddings that are there.

    python tests/bench/pairs.py [--pairs 15000000] [--pictures 100000] [--resamples 0]

Prints the seconds and the peak of the resident memory, and ends with 1 if they are over two minutes or 2 GB.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time

import numpy as np

from maskgen.datasets.pairs import Pairs, consecutive_folds
from maskgen.evaluate.compare import Embeddings, compare

SECONDS, BYTES = 120, 2e9
EMBEDDING = 512
TAKES = 10


def drawn(pictures: int, number: int) -> tuple[Pairs, Embeddings]:
    """As many genuine as impostor pairs of pictures, ten of each person."""
    rng = np.random.default_rng(0)
    clean = np.empty((pictures, EMBEDDING), np.float32)
    for start in range(0, pictures, TAKES):
        person = rng.standard_normal(EMBEDDING, np.float32) + 3 * rng.standard_normal((TAKES, EMBEDDING), np.float32)
        clean[start : start + TAKES] = person / np.linalg.norm(person, axis=1, keepdims=True)
    first, second = (rng.integers(0, pictures, number, dtype=np.int32) for _ in range(2))
    second[::2] = first[::2] // TAKES * TAKES + second[::2] % TAKES
    whose = np.arange(pictures, dtype=np.int32) // TAKES
    folds = consecutive_folds(number).astype(np.int32)
    return Pairs(("",) * pictures, first, second, whose[first] == whose[second], folds, whose), Embeddings(clean)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=15_000_000)
    parser.add_argument("--pictures", type=int, default=100_000)
    parser.add_argument("--resamples", type=int, default=0)
    given = parser.parse_args()
    pairs, embeddings = drawn(given.pictures, given.pairs)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    started, cpu = time.monotonic(), time.process_time()
    ((report,), _) = compare("drawn", embeddings, pairs, resamples=given.resamples)
    seconds, cpu = time.monotonic() - started, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    found = report.figures
    print(f"{found.genuine} genuine, {found.impostor} impostor pairs of {given.pictures} pictures")
    print(f"AUC {found.auc:.6f}, EER {found.eer:.6f}, accuracy {found.accuracy:.6f}, {found.tar_at_far[-1]}")
    print(f"{seconds:.1f} s, {cpu:.1f} CPU s; peak {peak / 1e9:.2f} GB, {before / 1e9:.2f} GB before")
    sys.exit(seconds > SECONDS or peak > BYTES)


if __name__ == "__main__":
    main()
