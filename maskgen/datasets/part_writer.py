"""What the writers of formats share that put many samples into one file."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from maskgen.datasets import parts
from maskgen.datasets.base import Entry, Fault, Sample
from maskgen.datasets.finals import Finals
from maskgen.datasets.folder_writer import refuse_file
from maskgen.datasets.parts import Parts
from maskgen.errors import ImageError


class PartsWriter(ABC):
    """The share of `Writer` that is the same whatever the files are that parts are put together to."""

    is_alone = True
    """Whether the files are all that may be in their folder."""

    @property
    @abstractmethod
    def home(self) -> Path:
        """As `Writer.home`."""

    @property
    @abstractmethod
    def _finals(self) -> Finals:
        """The files that are made in the end."""

    @abstractmethod
    def _sample(self, place: str) -> Sample:
        """What is at a place, in a part or in a file of a former run.

        Raises
        ------
        ImageError
            If it is not there, or damaged.
        """

    @property
    def puts_together(self) -> bool:
        """As `Writer.puts_together`."""
        return True

    def check(self, settings: Any) -> None:
        """As `Writer.check`: the files lie in a folder, and take nobody's place there."""
        refuse_file(self.home)
        if not self.is_alone:
            self._finals.refuse_foreign()

    def selects(self, entry: Entry) -> bool:
        """As `Writer.selects`: masks go on all pictures."""
        return True

    def beside(self, place: str, names: Iterable[str]) -> Mapping[str, str]:
        """As `Writer.beside`: in a part it lies with the picture."""
        return {}

    def settle(self, name: str) -> None:  # noqa: B027 (there is nothing to do)
        """As `Writer.settle`: nobody reads of a part what no row names."""

    def unsettled(self) -> dict[str, str]:
        """As `Writer.unsettled`: nobody reads of a part what no row names."""
        return {}

    def forget_unsettled(self) -> None:  # noqa: B027 (there is nothing to do)
        """As `Writer.forget_unsettled`."""

    def stamp(self, place: str) -> str | None:
        """As `Writer.stamp`: length and checksum of the picture, wherever it lies."""
        of_parts = Parts(self.home)
        if of_parts.holds(place):
            return of_parts.stamp(place)
        with contextlib.suppress(ImageError):
            return parts.stamp_of(self._sample(place).raw)
        return None

    def stands(self, place: str, stamp: str | None) -> bool:
        """As `Writer.stands`: a file that is the one that a run wrote is not read."""
        name = place.partition("#")[0]
        if not Parts(self.home).holds(place) and self._finals.are_own(name):
            return True
        return self.stamp(place) == stamp

    def holds(self, beside: Iterable[str]) -> bool:
        """As `Writer.holds`: what was saved lies in one file with its picture."""
        return True

    def sample(self, place: str) -> Sample:
        """As `Writer.sample`."""
        return self._sample(place)

    def checksum(self, place: str) -> str | None:
        """As `Writer.checksum`."""
        with contextlib.suppress(ImageError):
            return hashlib.sha256(self._sample(place).raw).hexdigest()
        return None

    def clashes(self, keys: Callable[[], Iterable[str]], are_settled: Callable[[list[str]], set[str]]) -> list[Fault]:
        """As `Writer.clashes`: pictures have numbers, not names."""
        return []

    def in_the_way(self, keys: Iterable[str]) -> Iterator[str]:
        """As `Writer.in_the_way`."""
        yield from self._finals.foreign()

    def discard(self, places: Iterable[str]) -> None:  # noqa: B027 (there is nothing to do)
        """As `Writer.discard`: what no row names goes when `finish` does."""
