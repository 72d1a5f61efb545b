"""In which order an epoch goes through the data; the same for the same seed and epoch, whoever loads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from maskgen.arrays import IntArray

LARGE: Final = 100_000
"""With more pictures than that, files of many pictures are read nearly in their own order."""
RUN: Final = 4096
"""Pictures in a row that stay together."""
BUFFER: Final = 65_536
"""How far a picture moves among those runs: as through a shuffle buffer of so many pictures."""


@dataclass(frozen=True)
class Layout:
    """How entries lie in large files.

    Attributes
    ----------
    entries : (E,) int array
        In the order of the files.
    starts : (R,) int array
        Where in it runs begin that may change places.
    """

    entries: IntArray
    starts: IntArray


def layout_of(places: IntArray, starts: IntArray, run: int = RUN) -> Layout:
    """How entries lie in large files.

    Parameters
    ----------
    places : (E,) int array
        Of the entries: numbers of originals, which stand in the order of the files.
    starts : (F,) int array
        The first original of each file.
    run : int
        The longest run, in originals.
    """
    entries: IntArray = np.argsort(places, kind="stable")
    ends = np.append(starts[1:], places.max(initial=-1) + 1)
    runs = np.concatenate([np.arange(start, end, run) for start, end in zip(starts, ends, strict=True)])
    return Layout(entries, np.unique(np.searchsorted(places[entries], runs)))


def order(entries: int, seed: int, epoch: int, layout: Layout | None = None, buffer: int = BUFFER) -> IntArray:
    """The entries (E,) of an epoch in the order in which they are learnt.

    Any order is as likely as any other, unless entries lie in large files. Then these are cut into runs, the runs are
    shuffled, and each picture is moved by less than `buffer` places: a disk reads whole runs, a few at a time, and
    neighbours are far from each other all the same.
    """
    rng = np.random.default_rng([seed, epoch])
    if layout is None:
        return rng.permutation(entries)
    ends = np.append(layout.starts[1:], entries)
    chosen = rng.permutation(len(ends))
    starts, lengths = layout.starts[chosen], (ends - layout.starts)[chosen]
    before = np.cumsum(lengths) - lengths
    in_runs = np.arange(entries) + np.repeat(starts - before, lengths)
    moved = np.argsort(np.arange(entries) + buffer * rng.random(entries), kind="stable")
    return layout.entries[in_runs[moved]]


class Batches(Sequence[list[tuple[int, int]]]):
    """One process's share of the batches of an epoch, as keys (epoch, entry); made when they are asked for.

    Parameters
    ----------
    order : (E,) int array
        Entries that fill no batch are left out.
    batch, rank, world : int
        Pictures per batch over all processes, the number of this one, and of all.
    epoch : int
        The epoch.
    numbers : range, optional
        Which batches; all by default.
    """

    def __init__(
        self, order: IntArray, batch: int, epoch: int, rank: int = 0, world: int = 1, numbers: range | None = None
    ) -> None:
        self._order, self._batch, self._epoch, self._rank, self._world = order, batch, epoch, rank, world
        self._numbers = range(len(order) // batch) if numbers is None else numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, at: Any) -> Any:
        if isinstance(at, slice):
            return Batches(self._order, self._batch, self._epoch, self._rank, self._world, self._numbers[at])
        share = self._batch // self._world
        first = self._numbers[at] * self._batch + self._rank * share
        return [(self._epoch, entry) for entry in self._order[first : first + share].tolist()]
