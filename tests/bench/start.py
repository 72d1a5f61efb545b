"""What a worker costs before its first picture, and what memory is its own (Linux).

    python -m tests.bench.start --data PATH [--workers 16] [--number 400]

A run as it is. ``ready`` is the time from the start of the run until a worker has loaded its networks and the catalog,
``CPU`` what the worker spent until then, and ``first`` what it spent on its first chunk, per picture. Memory is that of
``/proc/PID/smaps_rollup`` after a worker's last chunk, in MiB: its own, its share of all, and all that is resident.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple


class Seen(NamedTuple):
    """Of a worker: when it was ready, CPU seconds until then and for a picture of its chunk, and memory, MiB."""

    process: int
    ready: float
    cpu: float
    per_picture: float
    own: float
    share: float
    resident: float


class Watched:
    """Works as a run does, and looks at its workers."""

    def __init__(self, workers: int, number: int) -> None:
        from maskgen.parallel import LocalExecutor

        self._local = LocalExecutor(workers)
        self.workers = workers
        self._number = number
        self.seen: list[Seen] = []

    def run(self, work: Any, chunks: Iterable[Sequence[Any]]) -> Iterator[Any]:
        entries = islice((entry for chunk in chunks for entry in chunk), self._number)
        size = max(min(self._number // (4 * self.workers), 16), 1)
        for done, seen in self._local.run(partial(watched, work), iter(lambda: list(islice(entries, size)), [])):
            self.seen.append(seen)
            yield done


def watched(work: Any, chunk: Sequence[Any]) -> tuple[Any, Seen]:
    """Work, and what the process has cost."""
    ready, cpu = _begun(work)
    before = time.process_time()
    done = work(chunk)
    spent = (time.process_time() - before) / len(chunk)
    sizes = dict(re.findall(r"^(\w+): +(\d+) kB", Path("/proc/self/smaps_rollup").read_text(), re.MULTILINE))
    own = int(sizes["Private_Clean"]) + int(sizes["Private_Dirty"])
    return done, Seen(os.getpid(), ready, cpu, spent, own / 1024, int(sizes["Pss"]) / 1024, int(sizes["Rss"]) / 1024)


@lru_cache(maxsize=1)
def _begun(work: Any) -> tuple[float, float]:
    from maskgen.run import worker

    worker._tools(*work.args)
    return time.time(), time.process_time()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--number", type=int, default=400)
    given = parser.parse_args()
    begun = time.time()
    from maskgen import run

    executor = Watched(given.workers, given.number)
    with tempfile.TemporaryDirectory(prefix="start-") as target:
        job = run.Job(given.data, Path(target) / "out", run.AugmentSettings(), run.Execution(workers=given.workers))
        run.run(job, executor=executor)
    first = {seen.process: seen for seen in reversed(executor.seen)}
    last = {seen.process: seen for seen in executor.seen}

    def told(name: str, values: Iterable[float]) -> None:
        both = list(values)
        print(f"{name:12} median {statistics.median(both):8.3f}  most {max(both):8.3f}")

    print(f"{len(first)} workers, {len(executor.seen)} chunks")
    told("ready, s", (seen.ready - begun for seen in first.values()))
    told("CPU, s", (seen.cpu for seen in first.values()))
    told("first, ms", (1000 * seen.per_picture for seen in first.values()))
    told("last, ms", (1000 * seen.per_picture for seen in last.values()))
    for name in ("own", "share", "resident"):
        told(f"{name}, MiB", (getattr(seen, name) for seen in last.values()))


if __name__ == "__main__":
    # Workers find `watched` by the name of its module.
    from tests.bench import start

    start.main()
