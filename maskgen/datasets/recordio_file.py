"""RecordIO files as MXNet writes them: records one after the other in a ``.rec``.

Record, little endian: ``magic, u32 | kind << 29 + length, u32 | payload | zeros up to a multiple of 4``. A payload is
cut at every magic that stands at a multiple of 4 in it, and that magic is left out: kind 0 is a whole payload, 1, 2 and
3 are its first, middle and last parts. So a magic at a multiple of 4 always begins a part.

Payload: ``flag, u32 | label, float32 | id, u64 | id2, u64 | as many float32 labels as flag says | picture``. If labels
follow, the first of them is the label.
"""

from __future__ import annotations

import itertools
import mmap
import os
import struct
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from maskgen import files
from maskgen.plural import counted, noun

Span: TypeAlias = tuple[int, int]
"""Where a part of a payload begins, and how many bytes it has."""

LONGEST: Final = 2**29 - 1
"""Bytes that a record can say it has."""
MOST_LABELS: Final = 2**24
"""How many numbers from 0 a float32 can tell from each other."""
_MAGIC: Final = struct.pack("<I", 0xCED7230A)
_HEAD: Final = struct.Struct("<4sI")
_HEADER: Final = struct.Struct("<IfQQ")
_LABEL: Final = struct.Struct("<f")
_RANGE: Final = struct.Struct("<2f")
_WHOLE, _FIRST, _MIDDLE, _LAST = range(4)
# Of a picture, one word in four thousand million is a magic.
_MOST_PARTS: Final = 2**16
# What is mapped counts as memory of the process as soon as it was read; so much at most is kept of it.
_KEPT: Final = 2**26
# The system maps about so much around each byte that is read.
_AROUND: Final = 2**16
_FORGET: Final = getattr(mmap, "MADV_DONTNEED", None)


class RecordError(ValueError):
    """A record is damaged."""


class Header(NamedTuple):
    """What stands before a picture.

    Attributes
    ----------
    flag : int
        How many labels follow; 0 if the only one is in the header itself.
    label : float
        The only label, or the first.
    id : int
        By custom the record's key.
    picture_at : int
        Where in the payload the picture begins.
    picture_size : int
        Its bytes.
    """

    flag: int
    label: float
    id: int
    picture_at: int
    picture_size: int

    @property
    def is_range(self) -> bool:
        """Whether it is no picture, but tells from which key to which an identity reaches, or the identities do."""
        return self.flag == 2 and self.picture_size == 0


class RecordFile:
    """A ``.rec`` that is mapped into memory, for random access. Nothing that it says is believed unseen.

    Parameters
    ----------
    path : Path
        A regular file, or a link to one.

    Raises
    ------
    OSError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        with open(files.open_regular(path), "rb") as file:
            self.size = os.fstat(file.fileno()).st_size
            self._mapped = mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_READ) if self.size else None
        self._data: mmap.mmap | bytes = self._mapped or b""
        self._touched = 0

    def begins(self, offset: int) -> bool:
        """Whether a record begins there."""
        if offset < 0 or offset + _HEAD.size > self.size:
            return False
        magic, word = self._head(offset)
        return bool(magic == _MAGIC and word >> 29 in (_WHOLE, _FIRST))

    def spans(self, offset: int) -> tuple[list[Span], int]:
        """The parts of the payload of the record that begins there, and where the record ends.

        Raises
        ------
        RecordError
            If no whole record is there.
        """
        # What is mapped of a file that has become shorter ends the process.
        if self._mapped is not None and self._mapped.size() < self.size:
            raise RecordError("its file has become shorter")
        spans: list[Span] = []
        while True:
            if offset + _HEAD.size > self.size:
                raise RecordError("cut short, its file ends in it")
            magic, word = self._head(offset)
            kind, length = word >> 29, word & LONGEST
            if magic != _MAGIC or kind not in ((_MIDDLE, _LAST) if spans else (_WHOLE, _FIRST)):
                what = "a part of it is missing" if spans else "no record begins"
                raise RecordError(f"{what} at byte {offset:,}")
            start = offset + _HEAD.size
            if start + length > self.size:
                raise RecordError("cut short, its file ends in it")
            if len(spans) == _MOST_PARTS:
                raise RecordError(f"more than {_MOST_PARTS:,} parts")
            spans.append((start, length))
            offset = min(start + length + -length % 4, self.size)
            if kind in (_WHOLE, _LAST):
                return spans, offset

    def header(self, spans: Sequence[Span]) -> Header:
        """The header of a payload.

        Raises
        ------
        RecordError
            If the payload is too short to have one.
        """
        size = payload_size(spans)
        if size < _HEADER.size:
            raise RecordError(f"{counted(size, 'byte')}, and a header alone has {_HEADER.size}")
        head = self._joined(spans, _HEADER.size + _LABEL.size)
        flag, label, id, _ = _HEADER.unpack_from(head)
        picture_at = _HEADER.size + flag * _LABEL.size
        if picture_at > size:
            raise RecordError(f"{flag:,} {noun(flag, 'label')} in {size:,} bytes")
        if flag:
            (label,) = _LABEL.unpack_from(head, _HEADER.size)
        return Header(flag, label, id, picture_at, size - picture_at)

    def payload(self, spans: Sequence[Span]) -> bytes:
        """A whole payload; its size is `payload_size`."""
        return self._joined(spans, payload_size(spans))

    def next_beginning(self, offset: int) -> int:
        """Where the first record begins at or after an offset; the file's size if none does."""
        while offset < self.size:
            found = self._data.find(_MAGIC, offset, offset + _KEPT)
            if found >= 0 and found % 4 == 0 and self.begins(found):
                return found
            self._forget(found - offset if found >= 0 else _KEPT)
            offset = found + 1 if found >= 0 else offset + _KEPT - len(_MAGIC)
        return self.size

    def _head(self, offset: int) -> tuple[bytes, int]:
        self._forget(_AROUND)
        magic, word = _HEAD.unpack_from(self._data, offset)
        return magic, word

    def _joined(self, spans: Sequence[Span], size: int) -> bytes:
        """The first bytes of a payload."""
        self._forget(size)
        start, length = spans[0]
        if length >= size or len(spans) == 1:
            return self._data[start : start + min(length, size)]
        # Every part has at least the magic that was left out after it.
        needed = spans[: size // len(_MAGIC) + 1]
        return _MAGIC.join(self._data[start : start + min(length, size)] for start, length in needed)[:size]

    def _forget(self, touched: int) -> None:
        self._touched += touched
        if self._touched > _KEPT and self._mapped is not None and _FORGET is not None:
            self._mapped.madvise(_FORGET)
            self._touched = 0


def payload_size(spans: Sequence[Span]) -> int:
    """How many bytes a payload has."""
    return sum(length for _, length in spans) + (len(spans) - 1) * len(_MAGIC)


def opened(path: Path) -> RecordFile:
    """The file at a path; opened once per process, and again once it has changed.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    status = path.stat()
    return _opened(path, status.st_dev, status.st_ino, files.stamp(status))


@lru_cache(maxsize=2)
def _opened(path: Path, device: int, inode: int, stamp: str) -> RecordFile:
    return RecordFile(path)


def forget_opened() -> None:
    """Close what `opened` keeps open, because Windows replaces no file that is."""
    _opened.cache_clear()


def record(label: float, key: int, labels: bytes, picture: bytes) -> bytes:
    """A record as it stands in the file.

    Parameters
    ----------
    label : float
        The label; it takes the place of the first of `labels`.
    labels : bytes
        float32 numbers, where there is more than one label; else empty.
    """
    flag = len(labels) // _LABEL.size
    if not flag:
        return _cut(_HEADER.pack(0, label, key, 0) + picture)
    return _cut(
        _HEADER.pack(flag, 0.0, key, 0) + _LABEL.pack(label) + labels[_LABEL.size : flag * _LABEL.size] + picture
    )


def range_record(key: int, first: int, end: int) -> bytes:
    """A record that tells from which key to which an identity reaches, or the identities do."""
    return _cut(_HEADER.pack(2, 0.0, key, 0) + _RANGE.pack(first, end))


def labels_of(payload: bytes, header: Header) -> bytes:
    """The float32 labels that follow a header."""
    return payload[_HEADER.size : header.picture_at]


def _cut(payload: bytes) -> bytes:
    parts, start, at = [], 0, payload.find(_MAGIC)
    while at >= 0:
        if at % 4 == 0:
            parts.append(payload[start:at])
            start = at + len(_MAGIC)
        at = payload.find(_MAGIC, at + 1)
    parts.append(payload[start:])
    kinds = [_WHOLE] if len(parts) == 1 else [_FIRST, *itertools.repeat(_MIDDLE, len(parts) - 2), _LAST]
    return b"".join(
        _HEAD.pack(_MAGIC, kind << 29 | len(part)) + part + bytes(-len(part) % 4)
        for kind, part in zip(kinds, parts, strict=True)
    )
