"""Lists of pairs whose pictures are records or samples: names in the list are keys."""

from __future__ import annotations

import dataclasses
import unicodedata
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from maskgen.datasets.listing import NOBODY, Listing, listed
from maskgen.datasets.pairlists import read_pairs
from maskgen.datasets.pairs import Pairs
from maskgen.datasets.texts import Lookup
from maskgen.datasets.webdataset_writer import sample_name
from maskgen.errors import ConfigError

_NO_IDENTITIES: Final = "the dataset does not say of all pictures who is on them, or not what the pairs say"


class Keyed(NamedTuple):
    """Pairs, and for each name what `maskgen.datasets.places` reads."""

    pairs: Pairs
    places: dict[str, str]


def read_keyed(path: Path, root: Path) -> Keyed:
    """The pairs of a text file, their pictures in a dataset of records or samples.

    Names in the list are the keys of records and samples; of samples those without the name of their shard, and
    perhaps with the ending of a picture. Who is on a picture is what the dataset says.

    Parameters
    ----------
    path : Path
        A list, see `maskgen.datasets.pairlists.read_pairs`.
    root : Path
        The dataset.

    Raises
    ------
    ConfigError
        As `read_pairs`; if the dataset cannot be read, or several samples can be meant.
    """
    listing = listed(root)
    keys = _Keys(root, listing)
    pairs = read_pairs(path, root, keys)
    numbers = np.array([-1 if name in pairs.missing else keys.number(name) for name in pairs.names], np.intp)
    whose = np.where(numbers < 0, NOBODY, listing.whose[numbers])
    is_there = (numbers[pairs.first] >= 0) & (numbers[pairs.second] >= 0)
    is_one = whose[pairs.first] == whose[pairs.second]
    is_known = (whose[numbers >= 0] != NOBODY).all() and (is_one == pairs.is_same)[is_there].all()
    pairs = dataclasses.replace(
        pairs, identities=whose if is_known else None, no_identities="" if is_known else _NO_IDENTITIES
    )
    return Keyed(pairs, {name: listing.places[number] for name, number in zip(pairs.names, numbers, strict=True)})


class _Keys:
    """Finds pictures by their keys, as `maskgen.datasets.pairlists.Pictures`."""

    def __init__(self, root: Path, listing: Listing) -> None:
        self.root = root
        self._listing = listing

    @cached_property
    def _exact(self) -> Lookup:
        return Lookup(self._listing.names)

    @cached_property
    def _short(self) -> Lookup:
        return Lookup(self._listing.short, _form)

    def number(self, key: str) -> int:
        """The number of a key that is there."""
        return self._exact.find(key)[0]

    def find(self, name: str) -> str | None:
        """The key of the picture that a list calls so; None if there is none."""
        if self._exact.find(name):
            return name
        found = self._short.find(name)
        if len(found) > 1:
            shown = " and ".join(self._listing.names[number] for number in found[:3])
            raise ConfigError(f"{self.root}: has no {name}, but {shown}", "write in the list which of them is meant")
        return self._listing.names[found[0]] if found else None


def _form(name: str) -> str:
    """A name as samples are called."""
    return sample_name(unicodedata.normalize("NFC", name.replace("\\", "/")))
