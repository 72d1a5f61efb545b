"""Parts: what workers write for a format whose files are made of many samples, until the run puts them together.

A part is a file of one chunk, written in one go and renamed when it is whole; it is never changed afterwards. What
stands in it is what rows name: a sample that no row names is left out when the parts are put together.

Format: samples one after the other, each ``length of head, u32 | head, JSON | picture | extras``, little endian.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from maskgen import files
from maskgen.datasets.base import Entry, Meta, Sample
from maskgen.errors import ImageError

FOLDER: Final = ".maskgen.parts"
_ENDING: Final = ".part"
_LENGTH: Final = struct.Struct("<I")


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
    def part(self, name: str) -> Iterator[Part]:
        """A part that appears when the context ends, unless by an exception."""
        folder = self.root / FOLDER
        files.make_folder(folder)
        temporary = folder / files.temporary_name()
        with files.named_faults(folder):
            try:
                with temporary.open("wb") as file:
                    yield Part(file, name)
                os.replace(temporary, folder / f"{name}{_ENDING}")
            finally:
                temporary.unlink(missing_ok=True)

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
        """`read` for many places: the part of the last one stays open."""
        opened: dict[str, BinaryIO] = {}

        def read(place: str) -> Sample:
            name, _, offset = place.removeprefix(f"{FOLDER}/").partition("#")
            try:
                if name not in opened:
                    close()
                    opened[name] = (self.root / FOLDER / f"{name}{_ENDING}").open("rb")
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
    """Takes the samples of one chunk."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name

    def put(self, sample: Sample, meta: Meta) -> str:
        """As `PartWriter.put`."""
        place = f"{FOLDER}/{self._name}#{self._file.tell()}"
        extras = {**sample.extras, **{f"{name}.png": raw for name, raw in sample.saved.items()}}
        head = {
            "size": len(sample.raw),
            "crc32": zlib.crc32(sample.raw),
            "extras": {key: len(raw) for key, raw in extras.items()},
        }
        encoded = json.dumps(head).encode()
        self._file.write(_LENGTH.pack(len(encoded)) + encoded)
        self._file.write(sample.raw)
        for raw in extras.values():
            self._file.write(raw)
        return place

    def take_back(self, entry: Entry) -> None:
        """As `PartWriter.take_back`: no row names it, so it is left out in the end."""


def _read(file: BinaryIO, place: str, offset: int) -> Sample:
    file.seek(offset)
    try:
        head = json.loads(file.read(*_LENGTH.unpack(file.read(_LENGTH.size))))
        sizes = [head["size"], *head["extras"].values()]
        # No file that is damaged makes anybody read more than there is, or less than nothing.
        if not all(0 <= size <= os.fstat(file.fileno()).st_size for size in sizes):
            raise ImageError(f"{place}: damaged")
        raw = file.read(head["size"])
        extras = {key: file.read(size) for key, size in head["extras"].items()}
        if len(raw) != head["size"] or zlib.crc32(raw) != head["crc32"]:
            raise ImageError(f"{place}: damaged")
    except (KeyError, TypeError, AttributeError, RecursionError, struct.error) as error:
        raise ImageError(f"{place}: damaged: {error}") from error
    return Sample(raw, extras, stamp_of(raw))


def stamp_of(raw: bytes) -> str:
    """Length and CRC-32 of a sample's picture: what changes when it does."""
    return f"{len(raw)}-{zlib.crc32(raw):08x}"
