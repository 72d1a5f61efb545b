"""Where each record of a RecordIO file begins: out of its ``.idx``, a line ``key<TAB>offset`` per record, or by a scan.

All is held in arrays: 17 million records take 0.3 GB.
"""

from __future__ import annotations

import os
import re
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from maskgen import files
from maskgen.datasets.recordio_file import RecordError, RecordFile

NO_KEY: Final = -1
_BLOCK: Final = 2**22
_LONGEST_LINE: Final = 2**20
_LINE: Final = re.compile(rb"\s*([0-9]{1,18})\s+([0-9]{1,18})\s*")


@dataclass(frozen=True)
class Index:
    """Where records begin.

    Attributes
    ----------
    keys, offsets : (N,) int64 arrays
        In the order of the offsets. The key is `NO_KEY` where nobody gave one.
    doubles : (D,) int64 array
        Keys of further lines for a key; its first line holds.
    garbage : array of int
        Numbers of lines, from 1, that are not ``key<TAB>offset``.
    """

    keys: npt.NDArray[np.int64]
    offsets: npt.NDArray[np.int64]
    doubles: npt.NDArray[np.int64]
    garbage: Sequence[int] = ()

    def records(self) -> Iterator[tuple[int, int]]:
        """(key, offset) of each, in the order of the offsets."""
        for at in range(0, len(self.keys), 2**16):
            block = slice(at, at + 2**16)
            yield from zip(self.keys[block].tolist(), self.offsets[block].tolist(), strict=True)

    def offset_of(self, key: int) -> int | None:
        """Where the record of a key begins; None if there is none."""
        if 0 < key <= len(self.keys) and self.keys[key - 1] == key:
            return int(self.offsets[key - 1])
        at = int(np.searchsorted(self.keys, key, sorter=self._by_key)) if 0 <= key < 2**63 else len(self.keys)
        if at == len(self.keys) or self.keys[self._by_key[at]] != key:
            return None
        return int(self.offsets[self._by_key[at]])

    @cached_property
    def _by_key(self) -> npt.NDArray[np.intp]:
        return np.argsort(self.keys, kind="stable")


def index_of(path: Path) -> Index | None:
    """The index at a path, read once as long as it does not change; None if there is none.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it has a line that is longer than any.
    """
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return _index_of(path, status.st_dev, status.st_ino, files.stamp(status))


@lru_cache(maxsize=2)
def _index_of(path: Path, device: int, inode: int, stamp: str) -> Index:
    return read_index(path)


def read_index(path: Path) -> Index:
    """An index out of its file; errors as for `index_of`."""
    key_blocks, offset_blocks, garbage, lines = [], [], array("q"), 0
    with open(files.open_regular(path), "rb") as file:
        for text in _whole_lines(file.fileno()):
            pairs = _parsed(text)
            if pairs is None:
                pairs = _parsed_by_line(text, lines, garbage)
            lines += text.count(b"\n")
            key_blocks.append(pairs[:, 0].copy())
            offset_blocks.append(pairs[:, 1].copy())
    nothing = np.empty(0, np.int64)
    # One after the other: with 17 million records, each holds 136 MB.
    keys = np.concatenate([nothing, *key_blocks])
    key_blocks.clear()
    offsets = np.concatenate([nothing, *offset_blocks])
    offset_blocks.clear()
    doubles = nothing
    if not _are_unique(keys):
        comes_again = _comes_again(keys)
        doubles, keys, offsets = np.sort(keys[comes_again]), keys[~comes_again], offsets[~comes_again]
    if not (offsets[1:] >= offsets[:-1]).all():
        order = np.argsort(offsets, kind="stable")
        keys, offsets = keys[order], offsets[order]
    return Index(keys, offsets, doubles, garbage)


@lru_cache(maxsize=1)
def scan(file: RecordFile) -> Index:
    """An index of a file that has none; kept for the next time.

    Its keys are the ids in the headers of pictures if each is another; else the records' numbers, from 1 where records
    tell of ranges, and else from 0.
    """
    offsets, ids, is_picture = array("q"), array("Q"), bytearray()
    at = 0
    has_ranges = False
    while (at := file.next_beginning(at)) < file.size:
        try:
            spans, end = file.spans(at)
        except RecordError:
            at += 4
            continue
        offsets.append(at)
        at = end
        try:
            header = file.header(spans)
        except RecordError:
            ids.append(0)
            is_picture.append(False)
        else:
            has_ranges |= header.is_range
            ids.append(header.id)
            is_picture.append(not header.is_range)
    keys, pictures = np.array(ids, np.uint64), np.array(is_picture, bool)
    if keys[pictures].max(initial=0) >= 2**63 or not _are_unique(keys[pictures].astype(np.int64)):
        keys = np.arange(has_ranges, len(keys) + has_ranges, dtype=np.uint64)
    numbers = np.where(pictures, keys.astype(np.int64), NO_KEY)
    return Index(numbers, np.array(offsets, np.int64), np.empty(0, np.int64))


def _whole_lines(descriptor: int) -> Iterator[bytes]:
    """A file in blocks that end with the end of a line."""
    rest = b""
    while block := os.read(descriptor, _BLOCK):
        lines, newline, rest = (rest + block).rpartition(b"\n")
        if len(rest) > _LONGEST_LINE:
            raise ValueError(f"a line of more than {_LONGEST_LINE:,} bytes")
        if newline:
            yield lines.replace(b"\r\n", b"\n").removesuffix(b"\r") + newline
    if rest:
        yield rest + b"\n"


def _parsed(text: bytes) -> npt.NDArray[np.int64] | None:
    """(N, 2) keys and offsets of lines that are all ``key<TAB>offset``; None if one is not."""
    characters = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(characters < ord("0"))
    if len(ends) % 2 or characters.max() > ord("9"):
        return None
    lengths = np.diff(ends, prepend=-1) - 1
    is_alternating = (characters[ends[::2]] == ord("\t")).all() and (characters[ends[1::2]] == ord("\n")).all()
    if not is_alternating or lengths.min() < 1 or lengths.max() > 18:
        return None
    return np.fromstring(text, np.int64, sep=" ").reshape(-1, 2)


def _parsed_by_line(text: bytes, before: int, garbage: array[int]) -> npt.NDArray[np.int64]:
    """(N, 2) keys and offsets of those lines that have them; the numbers of the others are added to `garbage`."""
    pairs = array("q")
    for number, line in enumerate(text.split(b"\n")[:-1], start=before + 1):
        if match := _LINE.fullmatch(line):
            pairs.extend((int(match[1]), int(match[2])))
        elif line.strip():
            garbage.append(number)
    return np.array(pairs, np.int64).reshape(-1, 2)


def _are_unique(keys: npt.NDArray[np.int64]) -> bool:
    """Whether no number, from 0 on, comes twice."""
    greatest = int(keys.max(initial=0))
    if greatest <= 8 * len(keys):
        seen = np.zeros(greatest + 1, bool)
        seen[keys] = True
        return int(np.count_nonzero(seen)) == len(keys)
    in_order = np.sort(keys)
    return not bool((in_order[1:] == in_order[:-1]).any())


def _comes_again(keys: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """(N,) bool: whether the number stands further ahead, too."""
    order = np.argsort(keys, kind="stable")
    again = np.zeros(len(keys), bool)
    again[order[1:]] = keys[order[1:]] == keys[order[:-1]]
    return again
