"""Inputs of which something would be written where another's goes, among millions of them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

import numpy as np

from maskgen.datasets.base import Fault


@dataclass(frozen=True)
class Naming:
    """How a format calls what comes of an input.

    Parameters
    ----------
    places : callable
        Key -> places of the masked pictures.
    keeps_names : bool
        Whether originals may be written; their place is the key.
    fold : callable
        Place -> the same for places that are the same.
    has_folders : bool
        Whether nothing can be written where a folder of an input's key is.
    """

    places: Callable[[str], list[str]]
    keeps_names: bool
    fold: Callable[[str], str] = str
    has_folders: bool = False

    def claims(self, key: str) -> Iterator[str]:
        """All places that an input may need, folded."""
        if self.keeps_names:
            yield self.fold(key)
        for place in self.places(key):
            if not (self.keeps_names and place == key):
                yield self.fold(place)

    def folders(self, key: str) -> list[str]:
        """The folders on the way to an input, folded."""
        return [self.fold(str(folder)) for folder in PurePosixPath(key).parents] if self.has_folders else []


def clashes_of(
    keys: Callable[[], Iterable[str]], are_settled: Callable[[list[str]], set[str]], naming: Naming
) -> list[Fault]:
    """As `Writer.clashes`. Eight bytes per place stay in memory, and the keys of those that may clash."""
    twice = _claimed_twice(keys(), naming)
    if not twice:
        return []
    folders: dict[str, str] = {}
    suspects = []
    for key in keys():
        folders |= {folder: key for folder in naming.folders(key) if hash(folder) in twice}
        if any(hash(place) in twice for place in naming.claims(key)):
            suspects.append(key)
    return _clashes_among(suspects, are_settled(suspects), naming, folders)


def _claimed_twice(keys: Iterable[str], naming: Naming) -> set[int]:
    """Hashes of the places that several inputs may need, or that are a folder as well."""
    hashes = array("q")
    last: list[str] = []
    for key in keys:
        hashes.extend(hash(place) for place in naming.claims(key))
        folders = naming.folders(key)
        if folders != last:
            # A folder is there once, however many inputs are in it; but one that comes again later counts again.
            hashes.extend(hash(folder) for folder in set(folders) - set(last))
            last = folders
    in_order = np.sort(np.frombuffer(hashes, np.int64)) if hashes else np.zeros(0, np.int64)
    return set(in_order[1:][in_order[1:] == in_order[:-1]].tolist())


def _clashes_among(keys: list[str], settled: set[str], naming: Naming, folders: dict[str, str]) -> list[Fault]:
    owners: dict[str, str] = {}
    clashes = {}
    # Inputs keep their own names first; what stands from a former run keeps its place.
    order = sorted(keys, key=lambda key: (key not in settled, key))
    for places_of in (lambda key: [key] if naming.keeps_names else [], naming.places):
        for key in order:
            for place in places_of(key):
                folded = naming.fold(place)
                owner = folders.get(folded) or owners.setdefault(folded, key)
                if owner != key:
                    message = f"{place} would overwrite what comes of {owner}"
                    clashes[key] = Fault(key, "failed", "name_clash", message, "rename one of the two")
    return list(clashes.values())
