"""What is in a dataset of any format, in arrays: names, identities, and where each picture lies.

A record takes 24 bytes. Identities of InsightFace's files are counted from the index.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskgen.arrays import IntArray
from maskgen.datasets.base import Fault, Reader
from maskgen.datasets.open import format_of_path, open_reader
from maskgen.datasets.places import member_place, record_place
from maskgen.datasets.recordio import LABELS_FILE, RecordReader, read_names
from maskgen.datasets.recordio_index import NO_KEY
from maskgen.datasets.recordio_ranges import ranged
from maskgen.datasets.tars import ENDING
from maskgen.datasets.texts import Made, Numbering, Texts
from maskgen.datasets.webdataset import Located, WebDatasetReader
from maskgen.errors import ConfigError
from maskgen.formats import Format

NOBODY: Final = -1
_CHUNK: Final = 4096


@dataclass(frozen=True)
class Listing:
    """The pictures of a dataset, in the order in which they lie there.

    Attributes
    ----------
    names : sequence of str
        Keys, as the reader has them.
    places : sequence of str
        What `maskgen.datasets.places` reads.
    whose : (N,) int array
        Number of the identity, or `NOBODY`.
    identities : tuple of str
        By number.
    starts : (F,) int array or None
        The first picture of each file of many pictures; None where each is a file of its own.
    left_out : mapping
        Reason -> how many entries are no pictures for it.
    short : sequence of str
        Names without what only says in which file of many pictures they lie.
    """

    names: Sequence[str]
    places: Sequence[str]
    whose: IntArray
    identities: tuple[str, ...]
    starts: IntArray | None
    left_out: Mapping[str, int]
    short: Sequence[str]


def listed(path: Path, in_format: Format | None = None) -> Listing:
    """The pictures at a path.

    Parameters
    ----------
    path : Path
        A dataset of any format but a verification set.
    in_format : str, optional
        What it is; by default what the path says.

    Raises
    ------
    ConfigError
        If it cannot be read, or is a verification set.
    """
    in_format = in_format or format_of_path(path)
    if in_format == "bin":
        raise ConfigError(
            f"{path}: a verification set does not say who is on its pictures", "'maskgen eval' measures on it"
        )
    reader = open_reader(path, None, None, in_format)
    if isinstance(reader, RecordReader):
        return _records(reader)
    if isinstance(reader, WebDatasetReader):
        return _members(reader)
    # What is listed lies under the path, and readers hold it resolved.
    return _files(path, reader)


class _Entries:
    """Goes through the entries of a reader; counts faults, numbers identities."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self.left_out = Counter[str]()
        self.numbering = Numbering()
        self.whose = array("q")

    def __iter__(self) -> Any:
        for chunk in self._reader.chunks(_CHUNK):
            for one in chunk:
                if isinstance(one, Fault):
                    self.left_out[one.reason] += 1
                    continue
                self.whose.append(NOBODY if one.identity is None else self.numbering.of(one.identity))
                yield one

    def listing(
        self, names: Sequence[str], places: Sequence[str], starts: IntArray | None, short: Sequence[str]
    ) -> Listing:
        return Listing(names, places, _ints(self.whose), self.numbering.texts, starts, self.left_out, short)


def _files(root: Path, reader: Reader) -> Listing:
    entries = _Entries(reader)
    names = Texts(entry.key for entry in entries)
    return entries.listing(names, Made(len(names), partial(_file_place, root, names)), None, names)


def _file_place(root: Path, names: Sequence[str], number: int) -> str:
    return str(root / names[number])


def _records(reader: RecordReader) -> Listing:
    told = ranged(reader.path)
    if told is not None:
        called = read_names(reader.path.with_name(LABELS_FILE))
        identities = tuple(called.get(label, str(label)) for label in told.labels.tolist())
        keys, offsets, whose = told.keys, told.offsets, told.whose
        whose, identities = _merged(whose, identities)
        left_out = Counter(bad_index=told.faults) if told.faults else Counter[str]()
    else:
        entries, key_of, at = _Entries(reader), array("q"), array("q")
        for entry in entries:
            # An entry without a key is called by its offset.
            key_of.append(int(entry.key) if entry.key.isdecimal() else NO_KEY)
            at.append(entry.locator)
        keys, offsets, whose = _ints(key_of), _ints(at), _ints(entries.whose)
        identities, left_out = entries.numbering.texts, entries.left_out
    names = Made(len(keys), partial(_record_name, reader.path.name, keys, offsets))
    places = Made(len(keys), partial(_record_place, reader.path, keys, offsets))
    return Listing(names, places, whose, identities, np.zeros(1, np.intp), left_out, names)


def _merged(whose: IntArray, identities: tuple[str, ...]) -> tuple[IntArray, tuple[str, ...]]:
    """The same where labels that are called alike are one identity."""
    numbering = Numbering()
    merged = np.array([numbering.of(identity) for identity in identities], np.intp)
    return merged[whose], numbering.texts


def _record_name(file: str, keys: IntArray, offsets: IntArray, number: int) -> str:
    key = int(keys[number])
    return f"{file}@{offsets[number]}" if key == NO_KEY else str(key)


def _record_place(path: Path, keys: IntArray, offsets: IntArray, number: int) -> str:
    return record_place(path, _record_name(path.name, keys, offsets, number), int(offsets[number]))


def _members(reader: WebDatasetReader) -> Listing:
    entries, shards = _Entries(reader), Numbering()
    names, endings, kinds = Texts(), Numbering(), array("l")
    number_of, offsets, sizes = array("q"), array("q"), array("q")
    for entry in entries:
        located: Located = entry.locator
        names.append(entry.key)
        kinds.append(endings.of(located.picture.ending))
        number_of.append(shards.of(located.shard))
        offsets.append(located.picture.offset)
        sizes.append(located.picture.size)
    where = Members(reader.folder, shards.texts, _ints(number_of), _ints(offsets), _ints(sizes))
    short = Made(len(names), partial(_own_key, where, names))
    places = Made(len(names), partial(_listed_member, where, short, endings.texts, _ints(kinds)))
    return entries.listing(names, places, np.flatnonzero(np.diff(where.shard, prepend=-1)), short)


@dataclass(frozen=True)
class Members:
    """Where members of shards lie: number of the shard, offset and size of each, (N,) int arrays."""

    folder: Path
    shards: tuple[str, ...]
    shard: IntArray
    offsets: IntArray
    sizes: IntArray

    def place(self, number: int, name: str) -> str:
        """The place of a member, which is called so."""
        shard = self.shards[int(self.shard[number])]
        return member_place(self.folder / shard, name, int(self.offsets[number]), int(self.sizes[number]))


def _own_key(where: Members, names: Sequence[str], number: int) -> str:
    # A key is the shard's name without its ending, a slash, and the sample's own.
    return names[number][len(where.shards[int(where.shard[number])].removesuffix(ENDING)) + 1 :]


def _listed_member(where: Members, short: Sequence[str], endings: tuple[str, ...], kinds: IntArray, number: int) -> str:
    return where.place(number, f"{short[number]}.{endings[int(kinds[number])]}")


def _ints(values: Any) -> IntArray:
    return np.asarray(values, np.intp)
