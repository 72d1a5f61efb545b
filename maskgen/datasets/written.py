"""Where the pictures lie that a run wrote: the places of a manifest, such as ``train.rec#17``, as places to read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from maskgen import files
from maskgen.arrays import BoolArray, IntArray
from maskgen.datasets import tars
from maskgen.datasets.listing import Members
from maskgen.datasets.places import record_place
from maskgen.datasets.recordio import REC_FILE
from maskgen.datasets.recordio_index import index_of
from maskgen.datasets.texts import Made, Numbering
from maskgen.errors import ConfigError
from maskgen.formats import Format

_NOWHERE = -1


@dataclass(frozen=True)
class Places:
    """Places of pictures.

    Attributes
    ----------
    texts : (N,) sequence of str
        What `maskgen.datasets.places` reads.
    are_there : (N,) bool array
        Where there is a picture; of files this is not looked at, where they are named.
    file, offset : (N,) int arrays or None
        Number of the file of many pictures, and where in it; None where each is a file of its own.
    """

    texts: Sequence[str]
    are_there: BoolArray
    file: IntArray | None = None
    offset: IntArray | None = None


def places_in(root: Path, names: Sequence[str], in_format: Format) -> Places:
    """Places that a manifest names, in its folder.

    Parameters
    ----------
    root : Path
        The folder.
    names : sequence of str
        Empty where there is no picture.
    in_format : str
        Of the folder.

    Raises
    ------
    ConfigError
        If files of many pictures cannot be read.
    """
    if in_format == "recordio":
        return _records(root / REC_FILE, names)
    if in_format == "webdataset":
        return _members(root, names)
    is_there = np.fromiter((name != "" for name in names), bool, len(names))
    return Places(Made(len(names), partial(_file, root, names)), is_there)


def _file(root: Path, names: Sequence[str], number: int) -> str:
    return str(root / names[number])


def _records(path: Path, names: Sequence[str]) -> Places:
    try:
        index = index_of(path.with_suffix(".idx"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path.with_suffix('.idx')}: cannot be read: {error}", "run augment again") from error
    if index is None:
        raise ConfigError(f"{path.with_suffix('.idx')}: not there", "run augment again")
    keys = np.fromiter(map(_key, names), np.int64, len(names))
    by_key = np.argsort(index.keys, kind="stable")
    at = np.searchsorted(index.keys, keys, sorter=by_key)
    at = by_key[np.minimum(at, len(by_key) - 1)] if len(by_key) else at
    is_there = (index.keys[at] == keys) & (keys > 0) if len(by_key) else np.zeros(len(names), bool)
    offsets = np.where(is_there, index.offsets[at] if len(by_key) else 0, _NOWHERE).astype(np.intp)
    texts = Made(len(names), partial(_record, path, keys, offsets))
    return Places(texts, is_there, np.zeros(len(names), np.intp), offsets)


def _key(name: str) -> int:
    file, _, key = name.partition("#")
    return int(key) if file == REC_FILE and key.isascii() and key.isdecimal() and len(key) < 19 else _NOWHERE


def _record(path: Path, keys: IntArray, offsets: IntArray, number: int) -> str:
    return record_place(path, int(keys[number]), int(offsets[number]))


def _members(root: Path, names: Sequence[str]) -> Places:
    shards = Numbering()
    shard = np.fromiter((shards.of(name.partition("#")[0]) for name in names), np.intp, len(names))
    offset = np.full(len(names), _NOWHERE, np.intp)
    size = np.zeros(len(names), np.intp)
    order = np.argsort(shard, kind="stable")
    ends = np.searchsorted(shard[order], np.arange(len(shards.texts)), side="right")
    first = 0
    for name, end in zip(shards.texts, ends.tolist(), strict=True):
        found = _spans(root / name) if name.endswith(tars.ENDING) else {}
        for number in order[first:end].tolist():
            span = found.get(names[number].partition("#")[2])
            if span is not None:
                offset[number], size[number] = span
        first = end
    where = Members(root, shards.texts, shard, offset, size)
    return Places(Made(len(names), partial(_member, where, names)), offset != _NOWHERE, shard, offset)


def _spans(path: Path) -> dict[str, tuple[int, int]]:
    """Member -> offset and size, of a shard; empty if it is not there."""
    if files.stamp_of(path) is None:
        return {}
    try:
        return {one.name: (one.offset, one.size) for one in tars.members(path) if isinstance(one, tars.Member)}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _member(where: Members, names: Sequence[str], number: int) -> str:
    return where.place(number, names[number].partition("#")[2])
