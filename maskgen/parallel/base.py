"""What an executor does, whatever it runs on."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

from maskgen.errors import MaskgenError

T = TypeVar("T")
R = TypeVar("R")

ONE_THREAD: Final = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
"""The environment of a worker. It has one core; libraries that start threads of their own would fight over it."""


@dataclass(frozen=True)
class Crash(Generic[T]):
    """An item that ended the process that worked on it, also when that process had nothing else to do."""

    item: T


class WorkersDieError(MaskgenError):
    """Worker processes die before they take up anything, or there are none."""


class Executor(Protocol):
    """Runs a function over chunks of items, in processes or on other machines."""

    @property
    def workers(self) -> int:
        """How many chunks are worked on at a time."""
        ...

    def run(self, work: Callable[[Sequence[T]], R], chunks: Iterable[Sequence[T]]) -> Iterator[R | Crash[T]]:
        """What the function returns for each chunk, in the order in which they are done.

        A chunk whose process dies is taken apart until the one bad item is alone, and that item is a `Crash`; all
        others are done. So an item may be worked on more than once. A process works on one chunk at a time: the
        function need not be safe to call from several threads.

        Parameters
        ----------
        work : callable
            Called in a worker; it can be pickled. Its exceptions end the run and are raised here.
        chunks : iterable of sequences
            Taken as workers become free, so it may be long.

        Raises
        ------
        WorkersDieError
            If workers die again and again before they take up anything, or there are none any more.
        """
        ...


def chunks_of(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """Lists of so many items, the last perhaps shorter."""
    remaining = iter(items)
    while chunk := list(itertools.islice(remaining, size)):
        yield chunk


def chunk_size(count: int | None, workers: int, largest: int = 16) -> int:
    """How many items a chunk should have: few enough that all workers are busy to the end.

    Parameters
    ----------
    count : int or None
        Number of items, if it is known.
    workers : int
        How many there are.
    largest : int
        Never more than this.
    """
    return largest if count is None else min(max(count // (4 * workers), 1), largest)


def in_order(results: Iterable[tuple[int, R]]) -> Iterator[R]:
    """Numbered results in the order of their numbers, from 0; each as soon as those before it are there."""
    waiting: dict[int, R] = {}
    number = 0
    for place, result in results:
        waiting[place] = result
        while number in waiting:
            yield waiting.pop(number)
            number += 1
