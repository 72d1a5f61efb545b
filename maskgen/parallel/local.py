"""Work through many items in processes; one that kills its process costs the others nothing.

for result in unordered(function, items, workers=4):
    if isinstance(result, Crash): ...
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
import signal
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import cv2
import joblib

Result = TypeVar("Result")


@dataclass(frozen=True)
class Crash:
    """An item that ended the process working on it, also when it was the only one."""

    item: str


def unordered(
    function: Callable[[str], Result], items: Sequence[str], workers: int
) -> Generator[Result | Crash, None, None]:
    """What a function returns for each item, in the order in which they are done.

    A process that dies takes its pool with it. Then the items that were being worked on are done again, each in a pool
    of its own, and the rest goes on in a new one. A single worker is no process of its own, and nobody sees it die.

    Parameters
    ----------
    function : callable
        Called in a worker; it can be pickled.
    items : sequence of str
        Each once.
    workers : int
        How many processes; 1 works in this one.

    Raises
    ------
    concurrent.futures.BrokenExecutor
        If workers die before they take up anything.
    """
    left = dict.fromkeys(items)
    with tempfile.TemporaryDirectory(prefix="maskgen-") as folder:
        marks = Path(folder)
        while left:
            try:
                with contextlib.closing(_pool(function, list(left), min(workers, len(left)), marks)) as results:
                    for item, result in results:
                        del left[item]
                        yield result
            except concurrent.futures.BrokenExecutor:
                suspects = _taken_up(marks) & left.keys()
                if not suspects:
                    raise
                for item in sorted(suspects):
                    del left[item]
                    yield _alone(function, item, marks)


def _alone(function: Callable[[str], Result], item: str, marks: Path) -> Result | Crash:
    try:
        # Of two workers one stays idle; a single one would be this process.
        with contextlib.closing(_pool(function, [item], 2, marks)) as results:
            return next(results)[1]
    except concurrent.futures.BrokenExecutor:
        return Crash(item)


def _pool(
    function: Callable[[str], Result], items: Sequence[str], workers: int, marks: Path
) -> Generator[tuple[str, Result], None, None]:
    with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1, initializer=_start_worker):
        parallel = joblib.Parallel(return_as="generator_unordered")
    results = parallel(joblib.delayed(_work)(function, item, marks) for item in items)
    try:
        # Not "yield from", which would close the inner generator before the warning below is silenced.
        for result in results:  # noqa: UP028
            yield result
    finally:
        with warnings.catch_warnings():
            # joblib warns that tasks are given up; that is what an interrupted run means.
            warnings.simplefilter("ignore", UserWarning)
            results.close()


def _work(function: Callable[[str], Result], item: str, marks: Path) -> tuple[str, Result]:
    # Left behind by a process that dies: what it was at.
    (marks / str(os.getpid())).write_bytes(os.fsencode(item))
    return item, function(item)


def _taken_up(marks: Path) -> set[str]:
    """The items that workers took up last; afterwards none."""
    taken = set()
    for mark in marks.iterdir():
        taken.add(os.fsdecode(mark.read_bytes()))
        mark.unlink()
    return taken


def _start_worker() -> None:
    # Ctrl-C reaches the whole process group; only the parent, which keeps the manifest, is to act on it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    cv2.setNumThreads(1)


def _end_with_parent(parent: int) -> None:
    # A parent that is killed cannot end its workers; they would go on writing, and hold memory for minutes.
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
