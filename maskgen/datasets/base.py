"""What every format has: entries that are read, and places that are written to."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from maskgen.errors import ConfigError
from maskgen.formats import BESIDE
from maskgen.manifest import Row


@dataclass(frozen=True)
class Pair:
    """Which half of which pair of a verification set: pair `index`, `side` 0 or 1."""

    index: int
    side: Literal[0, 1]
    is_same: bool


@dataclass(frozen=True)
class Entry:
    """A picture of a dataset.

    Attributes
    ----------
    key : str
        Unique in the dataset; with forward slashes.
    identity : str or None
        Who is on it, if the dataset says so.
    label : int or None
        The number of the identity, if the dataset has numbers.
    pair : Pair or None
        In a verification set.
    locator : Any
        What `Reader.read` takes; can be pickled.
    """

    key: str
    identity: str | None = None
    label: int | None = None
    pair: Pair | None = None
    locator: Any = None


@dataclass(frozen=True)
class Fault:
    """Something in a dataset that is settled without work.

    Attributes
    ----------
    key : str
        As that of an entry.
    status : {"skipped", "failed"}
        Whether it is no picture, or one that cannot be read.
    reason : str
        In one word.
    message, remedy : str
        What is wrong, and what to do.
    """

    key: str
    status: Literal["skipped", "failed"]
    reason: str
    message: str = ""
    remedy: str = ""


def refuse_saved(settings: Any, name: str) -> None:
    """Raise a `ConfigError` if a run is to save what a file of this name has no room for."""
    if names := [name for name in BESIDE if name in settings.save]:
        raise ConfigError(
            f"{name}: there is no room beside its pictures for {' and '.join(names)}",
            "leave {save} out, or write a folder or {out_format=webdataset}",
        )


@dataclass(frozen=True)
class Sample:
    """An encoded picture, and what lies beside it, by name.

    Attributes
    ----------
    raw : bytes
        The picture.
    extras : dict
        Name -> bytes.
    stamp : str or None
        As `Reader.stamp`, of what was read.
    saved : dict
        Name, ``alpha`` or ``visible`` -> PNG: what maskgen saves beside the picture.
    """

    raw: bytes = field(repr=False)
    extras: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    stamp: str | None = None
    saved: Mapping[str, bytes] = field(default_factory=dict, repr=False)


class Reader(Protocol):
    """A dataset to read. Small, and can be pickled: worker processes read for themselves."""

    def chunks(self, size: int) -> Iterator[Sequence[Entry | Fault]]:
        """All entries and faults, in an order that does not change, at most so many at a time."""
        ...

    def count(self) -> int | None:
        """How many there are; None if nobody knows without reading everything."""
        ...

    def read(self, entry: Entry) -> Sample:
        """The picture of an entry.

        Raises
        ------
        ImageError
            If it cannot be read.
        """
        ...

    def stamp(self, entry: Entry) -> str | None:
        """What changes when an entry's picture does, known without reading it; None if there is none any more."""
        ...

    def container(self) -> str | None:
        """What changes when the file that holds all pictures does; None if they lie in several, or it costs little to
        ask each for its stamp.
        """
        ...

    def fingerprint(self) -> str:
        """What tells this dataset from another; a resume compares it."""
        ...


class Mark(NamedTuple):
    """A picture: what changes when it does, and its SHA-256; None where there is none."""

    stamp: str | None
    sha256: str | None


class Meta(NamedTuple):
    """What a picture to be written is: of which entry, and the number of the variant; None for the original."""

    entry: Entry
    variant: int | None


class PartWriter(Protocol):
    """Takes the pictures that one worker makes in one go."""

    def put(self, sample: Sample, meta: Meta) -> str:
        """Write a picture; its place, which the manifest names.

        Raises
        ------
        PlaceTakenError
            If something is there that maskgen did not write.
        ImageError
            If this picture cannot be written under its name.
        MaskgenError
            If nothing can be written.
        """
        ...

    def mark(self, place: str) -> Mark:
        """What was put at a place; its stamp is that of `Writer.stamp`."""
        ...

    def take_back(self, entry: Entry) -> None:
        """Delete what was put for an entry."""
        ...


class Writer(Protocol):
    """A dataset to write. Small, and can be pickled."""

    @property
    def home(self) -> Path:
        """The folder where manifest and ``run.json`` lie, resolved; places are relative to it."""
        ...

    @property
    def puts_together(self) -> bool:
        """Whether places change as `finish` makes files of many samples."""
        ...

    def check(self, settings: Any) -> None:
        """Nothing, if the dataset can hold what a run with these settings makes.

        Raises
        ------
        ConfigError
            If it cannot.
        """
        ...

    def selects(self, entry: Entry) -> bool:
        """Whether masks go on this picture; the others are copied as they are."""
        ...

    def beside(self, place: str, names: Iterable[str]) -> Mapping[str, str]:
        """Where what is saved beside the picture at a place lies, by name; nothing as long as it lies with it."""
        ...

    def part(self, name: str) -> AbstractContextManager[PartWriter]:
        """A part; its name is that of no other attempt."""
        ...

    def settle(self, name: str) -> None:
        """The rows of a part are recorded: what it wrote has its owner."""
        ...

    def unsettled(self) -> dict[str, str]:
        """Place -> key, of what parts wrote that were never settled, and not touched since: a run was killed."""
        ...

    def forget_unsettled(self) -> None:
        """Each of those places has its row, or was discarded."""
        ...

    def stamp(self, place: str) -> str | None:
        """What changes when something that was written does; None if it is gone."""
        ...

    def stands(self, place: str, stamp: str | None) -> bool:
        """Whether what was written with a stamp is there as it was; reads no more than it must."""
        ...

    def holds(self, beside: Iterable[str]) -> bool:
        """Whether all that was saved beside pictures is there: see `beside`."""
        ...

    def sample(self, place: str) -> Sample:
        """What was written.

        Raises
        ------
        ImageError
            If it is not there, or damaged.
        """
        ...

    def checksum(self, place: str) -> str | None:
        """The SHA-256 of something that was written; None if it is gone."""
        ...

    def in_the_way(self, keys: Iterable[str]) -> Iterator[str]:
        """Places that are taken already, of those where something would go for these inputs."""
        ...

    def clashes(self, keys: Callable[[], Iterable[str]], are_settled: Callable[[list[str]], set[str]]) -> list[Fault]:
        """Inputs of which something would be written where another's goes; what is settled keeps its place.

        Parameters
        ----------
        keys : callable
            Gives the keys of all inputs, each time it is called.
        are_settled : callable
            Says which of some keys have pictures that stand.
        """
        ...

    def discard(self, places: Iterable[str]) -> None:
        """Delete what is at these places, and nothing else; what cannot be taken out alone goes when `finish` does."""
        ...

    def clear(self, rows: Iterable[Row]) -> None:
        """Delete all that a former run wrote, and nothing else."""
        ...

    def finish(self, rows: Iterable[Row]) -> Iterator[Row]:
        """Make one dataset of what the rows name, one row per key; yields the rows with their places in it.

        It is whole before the first row is yielded. What no row names is gone when the last one is.
        """
        ...
