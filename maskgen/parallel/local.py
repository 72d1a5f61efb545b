"""Executors on this machine: processes (joblib's loky), or none."""

from __future__ import annotations

import concurrent.futures
import contextlib
import ctypes
import itertools
import multiprocessing.resource_tracker
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar

import joblib
from joblib.externals.loky import get_reusable_executor
from joblib.externals.loky.backend import resource_tracker

from maskgen.parallel.base import ONE_THREAD, Crash, WorkersDieError
from maskgen.scratch import scratch

T = TypeVar("T")
R = TypeVar("R")

# Chunks that wait for each worker, so that none is idle while results are taken.
_AHEAD: Final = 2
# How often in a row workers may die before they take up anything.
_STILLBORN: Final = 3
_IDLE_SECONDS: Final = 30
# From <sys/prctl.h>: the signal that a process gets when its parent dies.
_PR_SET_PDEATHSIG: Final = 1


class InProcess:
    """Works in this process, chunk after chunk; an item that ends it ends everything."""

    workers = 1

    def run(self, work: Callable[[Sequence[T]], R], chunks: Iterable[Sequence[T]]) -> Iterator[R | Crash[T]]:
        """As `Executor.run`."""
        return map(work, chunks)


class LocalExecutor:
    """Works in processes of this machine.

    Parameters
    ----------
    workers : int, optional
        How many; by default one per core.
    """

    def __init__(self, workers: int | None = None) -> None:
        self.workers: int = workers or joblib.cpu_count()

    def run(
        self, work: Callable[[Sequence[T]], R], chunks: Iterable[Sequence[T]]
    ) -> Generator[R | Crash[T], None, None]:
        """As `Executor.run`."""
        # No more processes than there are chunks.
        numbered = enumerate(chunks)
        first = list(itertools.islice(numbered, self.workers))
        workers = len(first)
        pending = itertools.chain(first, numbered)
        taken: dict[int, Sequence[T]] = {}  # handed to workers, no result yet
        again: list[int] = []  # of those, the ones to hand out anew
        stillborn = 0
        with scratch() as marks:
            while workers:
                try:
                    for number, result in _pool_results(work, workers, pending, taken, again, marks):
                        stillborn = 0
                        del taken[number]
                        yield result
                    return
                except concurrent.futures.BrokenExecutor:
                    suspects = sorted(_marked(marks) & taken.keys())
                    stillborn = 0 if suspects else stillborn + 1
                    if stillborn == _STILLBORN:
                        raise WorkersDieError(
                            "worker processes die as they start, killed from outside or for lack of memory",
                            "what is done is recorded: run the same again, perhaps with fewer {workers}",
                        ) from None
                    for number in suspects:
                        yield from _isolated(work, taken.pop(number))
                    again = sorted(taken)


def _pool_results(
    work: Callable[[Sequence[T]], R],
    workers: int,
    pending: Iterator[tuple[int, Sequence[T]]],
    taken: dict[int, Sequence[T]],
    again: list[int],
    marks: Path,
) -> Generator[tuple[int, R], None, None]:
    """(number of a chunk, result), until all are done; the executor is gone if this ends early."""
    pool = _pool(workers)
    futures: dict[Any, int] = {}

    def submit(number: int) -> None:
        with _without_ctrl_c():
            futures[pool.submit(_marking, work, number, taken[number], marks)] = number

    try:
        for number in again:
            submit(number)
        is_exhausted = False
        while True:
            while not is_exhausted and len(futures) < _AHEAD * workers:
                following = next(pending, None)
                if following is None:
                    is_exhausted = True
                else:
                    taken[following[0]] = following[1]
                    submit(following[0])
            if not futures:
                return
            done, _ = concurrent.futures.wait(futures, return_when=concurrent.futures.FIRST_COMPLETED)
            # Results first: where the pool breaks, what was finished is not done again.
            for future in sorted(done, key=lambda future: future.exception() is not None):
                number = futures.pop(future)
                yield number, future.result()
    except BaseException:
        # Interrupted, given up or broken: nobody waits for what is being worked on.
        pool.shutdown(wait=True, kill_workers=True)
        raise


def _isolated(work: Callable[[Sequence[T]], R], chunk: Sequence[T]) -> Iterator[R | Crash[T]]:
    """The results of a chunk that may have killed its worker; in a process of its own, halved if it does so again."""
    pool = _pool(1)
    try:
        with _without_ctrl_c():
            future = pool.submit(work, chunk)
        yield future.result()
    except concurrent.futures.BrokenExecutor:
        if len(chunk) == 1:
            yield Crash(chunk[0])
        else:
            middle = len(chunk) // 2
            yield from _isolated(work, chunk[:middle])
            yield from _isolated(work, chunk[middle:])
    except BaseException:
        pool.shutdown(wait=True, kill_workers=True)
        raise


def _pool(workers: int) -> Any:
    return get_reusable_executor(
        max_workers=workers,
        timeout=_IDLE_SECONDS,
        initializer=_start_worker,
        initargs=(os.getpid(),),
        env=dict(ONE_THREAD),
    )


@contextlib.contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Processes and threads that are started meanwhile never see Ctrl-C; this one sees it afterwards.

    A new process takes a while before it can say for itself that only its parent, which keeps the records, is to act.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    # Their processes are started with the first of ours, and starting them lets Ctrl-C through again.
    resource_tracker.ensure_running()
    multiprocessing.resource_tracker.ensure_running()
    former = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, former)


def _marking(work: Callable[[Sequence[T]], R], number: int, chunk: Sequence[T], marks: Path) -> R:
    # Left behind by a process that dies: what it was at.
    mark = marks / str(os.getpid())
    mark.write_text(str(number))
    result = work(chunk)
    mark.unlink()
    return result


def _marked(marks: Path) -> set[int]:
    """The chunks that were being worked on; afterwards none."""
    numbers = set()
    for mark in marks.iterdir():
        text = mark.read_text()
        mark.unlink()
        if text:
            numbers.add(int(text))
    return numbers


def _start_worker(parent: int) -> None:
    # Ctrl-C reaches the whole process group.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A parent that is killed cannot end its workers; they would go on writing, and hold memory for minutes.
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have been killed before this process came so far, and not every system tells of it.
    threading.Thread(target=_end_with_parent, args=(parent,), daemon=True).start()


def _end_with_parent(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)
