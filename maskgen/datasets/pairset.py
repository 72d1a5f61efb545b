"""A list of pairs as a dataset to read: two pictures per pair, in the order of the list."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from maskgen import files, images
from maskgen.datasets.base import Entry, Fault, Pair, Sample
from maskgen.datasets.pairlists import read_pairs
from maskgen.datasets.pairs import Pairs
from maskgen.parallel import chunks_of


@dataclass(frozen=True)
class PairReader:
    """The pictures of a list of pairs; one that stands in several pairs comes several times.

    A key is the number of the pair and the side, such as ``000012_0``.

    Parameters
    ----------
    path : Path
        The list, see `maskgen.datasets.pairlists.read_pairs`.
    root : Path
        The folder of its pictures.
    max_pixels : int, optional
        A file that is larger than any picture of so many pixels is not read.
    """

    path: Path
    root: Path
    max_pixels: int | None = None

    @cached_property
    def pairs(self) -> Pairs:
        """The list."""
        return read_pairs(self.path, self.root)

    def __getstate__(self) -> dict[str, object]:
        # A worker reads what it is handed; it needs no list.
        return {"path": self.path, "root": self.root, "max_pixels": self.max_pixels}

    def chunks(self, size: int) -> Iterator[Sequence[Entry | Fault]]:
        """As `Reader.chunks`."""
        return chunks_of(self._listed(), size)

    def count(self) -> int:
        """As `Reader.count`."""
        return 2 * len(self.pairs.is_same)

    def read(self, entry: Entry) -> Sample:
        """As `Reader.read`."""
        stamp = self.stamp(entry)
        raw = images.read_bytes(self.root / entry.locator, self.max_pixels, name=str(entry.locator))
        return Sample(raw, stamp=stamp)

    def stamp(self, entry: Entry) -> str | None:
        """As `Reader.stamp`: size and time of change."""
        return files.stamp_of(self.root / entry.locator)

    def container(self) -> None:
        """As `Reader.container`: each picture is a file of its own."""

    def fingerprint(self) -> str:
        """The list's path and the folder's."""
        return f"{self.path} in {self.root}"

    def _listed(self) -> Iterator[Entry | Fault]:
        pairs = self.pairs
        # Fold after fold, as InsightFace takes the folds of a verification set to be consecutive.
        for number, index in enumerate(np.argsort(pairs.folds, kind="stable")):
            for side in (0, 1):
                name = pairs.names[int((pairs.first, pairs.second)[side][index])]
                key = f"{number:06}_{side}"
                if name in pairs.missing:
                    yield Fault(key, "failed", "missing", f"{name}: not under {self.root}", "see {root}")
                else:
                    yield Entry(key, pair=Pair(number, side, bool(pairs.is_same[index])), locator=name)
