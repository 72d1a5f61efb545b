"""Where single pictures lie, as short strings that any process can read: what `maskgen.datasets.people` hands out.

A file is its path. A record is ``train.rec#17@4711``: path, key, offset. A member of a tar is
``shard-000000.tar#ann/1.jpg@512+4711``: path, name, offset, size. What ends so is no file that is taken for a picture.
Files of many pictures are opened once per process, by the readers that list them.
"""

from __future__ import annotations

import re
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Final

from maskgen import files, images
from maskgen.arrays import Image
from maskgen.datasets.base import Entry
from maskgen.datasets.recordio import RecordReader
from maskgen.datasets.webdataset import Located, Span, WebDatasetReader
from maskgen.errors import ImageError

_PACKED: Final = re.compile(r"(?s)(.*)#([^#]*)@(\d{1,18})(?:\+(\d{1,18}))?")


def record_place(path: Path, key: int | str, offset: int) -> str:
    """The place of a record."""
    return f"{path}#{key}@{offset}"


def member_place(path: Path, name: str, offset: int, size: int) -> str:
    """The place of a member of a tar."""
    # What comes after the last # is not the path's.
    return f"{path}#{name.replace('%', '%25').replace('#', '%23')}@{offset}+{size}"


def file_of(place: str) -> Path | None:
    """The file that a picture is; None if it lies in one of many pictures."""
    return None if _PACKED.fullmatch(place) else Path(place)


def container_of(place: str) -> Path | None:
    """The file of many pictures in which a picture lies; None if it is a file of its own."""
    match = _PACKED.fullmatch(place)
    return None if match is None else Path(match[1])


def stamp_of(place: str) -> str | None:
    """What changes when a picture does: size and time of a file, length and CRC-32 of a part of one; None if gone."""
    match = _PACKED.fullmatch(place)
    if match is None:
        return files.stamp_of(Path(place))
    try:
        raw = read_raw(place)
    except ImageError:
        return None
    return f"{len(raw)}-{zlib.crc32(raw):08x}"


def read_raw(place: str) -> bytes:
    """The encoded picture at a place.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    match = _PACKED.fullmatch(place)
    if match is None:
        return images.read_bytes(Path(place))
    path, name, offset, size = match.groups()
    called = f"{path}#{name}"
    if size is None:
        return _records(path).read(Entry(called, locator=int(offset))).raw
    shard = Path(path)
    located = Located(shard.name, Span("", int(offset), int(size)))
    return _shards(str(shard.parent)).read(Entry(called, locator=located)).raw


def read_picture(place: str) -> Image:
    """The picture (H, W, 3) at a place, RGB, upright.

    Raises
    ------
    ImageError
        If it cannot be read.
    """
    match = _PACKED.fullmatch(place)
    if match is None:
        return images.read(Path(place)).pixels
    return images.decode(read_raw(place), PurePosixPath(f"{match[1]}#{match[2]}")).pixels


@lru_cache(maxsize=8)
def _records(path: str) -> RecordReader:
    return RecordReader(Path(path))


@lru_cache(maxsize=8)
def _shards(folder: str) -> WebDatasetReader:
    return WebDatasetReader(Path(folder))
