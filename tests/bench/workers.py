"""Two workers of one run against two runs of one worker each on halves of the same pictures, at the same time.

python -m tests.bench.workers --pictures DIR --work DIR [--number 600] [--rounds 3]

Rounds of both alternate. The ratio is the time of the halves over that of the whole: 1 where workers cost each other
nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path


def started(source: Path, target: Path, workers: int) -> subprocess.Popen[bytes]:
    """A run of so many workers, begun anew."""
    if target.exists():
        shutil.rmtree(target)
    command = [sys.executable, "-m", "maskgen", "augment", str(source), str(target), "--workers", str(workers)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def seconds(*runs: tuple[Path, Path, int]) -> float:
    """How long it takes until the last of some runs, begun together, has ended."""
    begun = time.monotonic()
    for process in [started(*run) for run in runs]:
        if process.wait() not in (0, 3):
            sys.exit(f"a run ended with {process.returncode}")
    return time.monotonic() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--number", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    whole, halves = given.work / "whole", [given.work / "half0", given.work / "half1"]
    for folder in (whole, *halves):
        folder.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(islice(sorted(given.pictures.rglob("*.jpg")), given.number)):
        for folder in (whole, halves[number % 2]):
            if not (link := folder / f"{number:06d}.jpg").exists():
                os.link(path, link) if os.stat(path).st_dev == os.stat(folder).st_dev else shutil.copy(path, link)
    ratios = []
    for _ in range(given.rounds):
        together = seconds((whole, given.work / "out", 2))
        apart = seconds(*((half, given.work / f"out_{half.name}", 1) for half in halves))
        ratios.append(apart / together)
        print(f"two workers {together:.1f} s, two runs on halves {apart:.1f} s, ratio {ratios[-1]:.3f}", flush=True)
    print(f"median ratio {statistics.median(ratios):.3f}, {given.number} pictures")


if __name__ == "__main__":
    main()
