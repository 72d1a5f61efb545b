"""Parts: what workers write for a format whose files are made of many samples, until the run puts them together.

A part is a file to which one process adds; what stands in it is never changed. It counts only as far as rows name it: a
sample that no row names is left out when the parts are put together.

Format: samples one after the other, each ``length of head, u32 | head, JSON | picture | extras``, little endian.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import struct
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final

from maskgen import files
from maskgen.datasets.base import Entry, Mark, Meta, Sample
from maskgen.errors import ImageError

FOLDER: Final = ".maskgen.parts"
_ENDING: Final = ".part"
_LENGTH: Final = struct.Struct("<I")
# Then another file is begun.
_MOST_BYTES: Final = 2**30
_MOST_OPEN: Final = 64


@dataclass(frozen=True)
class Parts:
    """The parts of an output folder.

    Parameters
    ----------
    root : Path
        The output folder.
    """

    root: Path

    @contextlib.contextmanager
    def part(self) -> Iterator[Part]:
        """Adds to a file that no other process and no other thread writes to.

        What a process leaves that is killed is named by no row, so nobody reads it.
        """
        folder = self.root / FOLDER
        files.make_folder(folder)
        with files.named_faults(folder):
            name = _own_name(self.root, os.getpid(), threading.get_ident())
            with (folder / f"{name}{_ENDING}").open("ab") as file:
                if file.tell() > _MOST_BYTES:
                    _own_name.cache_clear()
                yield Part(file, name)

    def read(self, place: str) -> Sample:
        """What is at a place that `Part.put` gave.

        Raises
        ------
        ImageError
            If it is not there, or damaged.
        """
        with self.reading() as read:
            return read(place)

    @contextlib.contextmanager
    def reading(self) -> Iterator[Callable[[str], Sample]]:
        """`read` for many places: parts stay open."""
        opened: dict[str, BinaryIO] = {}

        def read(place: str) -> Sample:
            name, _, offset = place.removeprefix(f"{FOLDER}/").partition("#")
            try:
                if name not in opened:
                    if len(opened) == _MOST_OPEN:
                        close()
                    opened[name] = self._path(name).open("rb")
                return _read(opened[name], place, int(offset))
            except (OSError, ValueError) as error:
                raise ImageError(f"{place}: cannot be read: {error}") from error

        def close() -> None:
            while opened:
                opened.popitem()[1].close()

        try:
            yield read
        finally:
            close()

    def stamp(self, place: str) -> str | None:
        """As `stamp_of`, from the head of what is at a place; None if it is not there as a whole."""
        name, _, offset = place.removeprefix(f"{FOLDER}/").partition("#")
        try:
            with self._path(name).open("rb") as file:
                head = _head(file, place, int(offset))
                return _stamp(head["size"], head["crc32"])
        except (OSError, ValueError, ImageError):
            return None

    def _path(self, name: str) -> Path:
        return self.root / FOLDER / f"{name}{_ENDING}"

    def holds(self, place: str) -> bool:
        """Whether a place lies in a part, not in a file that was put together."""
        return place.startswith(f"{FOLDER}/")

    def clear(self) -> None:
        """Delete all parts."""
        folder = self.root / FOLDER
        for path in folder.glob(f"*{_ENDING}"):
            path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            folder.rmdir()


class Part:
    """Takes the samples of one chunk; they are there for others to read once its context ends."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._marks: dict[str, Mark] = {}

    def put(self, sample: Sample, meta: Meta) -> str:
        """As `PartWriter.put`."""
        place = f"{FOLDER}/{self._name}#{self._file.tell()}"
        extras = {**sample.extras, **{f"{name}.png": raw for name, raw in sample.saved.items()}}
        crc32 = zlib.crc32(sample.raw)
        self._marks[place] = Mark(_stamp(len(sample.raw), crc32), hashlib.sha256(sample.raw).hexdigest())
        head = {
            "size": len(sample.raw),
            "crc32": crc32,
            "extras": {key: len(raw) for key, raw in extras.items()},
        }
        encoded = json.dumps(head).encode()
        self._file.write(_LENGTH.pack(len(encoded)) + encoded)
        self._file.write(sample.raw)
        for raw in extras.values():
            self._file.write(raw)
        return place

    def mark(self, place: str) -> Mark:
        """As `PartWriter.mark`."""
        return self._marks[place]

    def take_back(self, entry: Entry) -> None:
        """As `PartWriter.take_back`: no row names it, so it is left out in the end."""


def _head(file: BinaryIO, place: str, offset: int) -> dict[str, Any]:
    """What stands before a sample: the size and the CRC-32 of its picture, and the sizes of its extras."""
    file.seek(offset)
    try:
        head = json.loads(file.read(*_LENGTH.unpack(file.read(_LENGTH.size))))
        sizes = [head["size"], *head["extras"].values()]
        # No file that is damaged makes anybody read more than there is, or less than nothing.
        is_whole = min(sizes) >= 0 and file.tell() + sum(sizes) <= os.fstat(file.fileno()).st_size
        if not is_whole or not isinstance(head["crc32"], int):
            raise ImageError(f"{place}: damaged")
    except (KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ImageError(f"{place}: damaged: {error}") from error
    return dict(head)


def _read(file: BinaryIO, place: str, offset: int) -> Sample:
    head = _head(file, place, offset)
    try:
        raw = file.read(head["size"])
        extras = {key: file.read(size) for key, size in head["extras"].items()}
    except TypeError as error:
        raise ImageError(f"{place}: damaged: {error}") from error
    if zlib.crc32(raw) != head["crc32"]:
        raise ImageError(f"{place}: damaged")
    return Sample(raw, extras, stamp_of(raw))


@lru_cache(maxsize=8)
def _own_name(root: Path, process: int, thread: int) -> str:
    return uuid.uuid4().hex


def stamp_of(raw: bytes) -> str:
    """Length and CRC-32 of a sample's picture: what changes when it does."""
    return _stamp(len(raw), zlib.crc32(raw))


def _stamp(size: int, crc32: int) -> str:
    return f"{size}-{crc32:08x}"
