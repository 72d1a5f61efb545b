"""What the writers of formats share that put many samples into one file."""

from __future__ import annotations

import contextlib
import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from maskgen.datasets import parts
from maskgen.datasets.base import Entry, Sample
from maskgen.datasets.finals import Finals
from maskgen.datasets.folder_writer import refuse_file
from maskgen.errors import ImageError


class PartsWriter(ABC):
    """The share of `Writer` that is the same whatever the files are that parts are put together to."""

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
        """As `Writer.check`: the files lie in a folder."""
        refuse_file(self.home)

    def selects(self, entry: Entry) -> bool:
        """As `Writer.selects`: masks go on all pictures."""
        return True

    def beside(self, place: str, names: Iterable[str]) -> Mapping[str, str]:
        """As `Writer.beside`: in a part it lies with the picture."""
        return {}

    def settle(self, name: str) -> None:  # noqa: B027 (there is nothing to do)
        """As `Writer.settle`: parts appear whole."""

    def unsettled(self) -> set[str]:
        """As `Writer.unsettled`: a killed chunk leaves nothing but a temporary file."""
        return set()

    def forget_unsettled(self) -> None:  # noqa: B027 (there is nothing to do)
        """As `Writer.forget_unsettled`."""

    def stamp(self, place: str) -> str | None:
        """As `Writer.stamp`: length and checksum of the picture, wherever it lies."""
        with contextlib.suppress(ImageError):
            return parts.stamp_of(self._sample(place).raw)
        return None

    def checksum(self, place: str) -> str | None:
        """As `Writer.checksum`."""
        with contextlib.suppress(ImageError):
            return hashlib.sha256(self._sample(place).raw).hexdigest()
        return None

    def in_the_way(self, keys: Iterable[str]) -> Iterator[str]:
        """As `Writer.in_the_way`."""
        yield from self._finals.foreign()

    def discard(self, places: Iterable[str]) -> None:  # noqa: B027 (there is nothing to do)
        """As `Writer.discard`: what no row names goes when `finish` does."""
