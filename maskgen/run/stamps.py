"""What inputs and outputs looked like when a row was written, so that the next run sees what has changed since.

``.maskgen.stamps`` in the output folder has a line per row: a JSON array of the key, the stamp and the SHA-256 of the
input, and the same two of each picture that was written, in the order of `Row.places`. The manifest does not hold them,
because a stamp contains a time, and the same seed gives the same manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from maskgen import files
from maskgen.datasets.base import Entry, Reader, Sample, Writer
from maskgen.errors import ImageError
from maskgen.manifest import Row

STAMPS_FILE: Final = ".maskgen.stamps"


class Mark(NamedTuple):
    """A file: its stamp, and its SHA-256; None where there is none."""

    stamp: str | None
    sha256: str | None


@dataclass(frozen=True)
class RowStamps:
    """The marks of one row's input and of what was written for it."""

    key: str
    source: Mark
    outputs: tuple[Mark, ...]

    def line(self) -> str:
        """As it stands in the file."""
        return json.dumps([self.key, *self.source, *(part for mark in self.outputs for part in mark)])


def source_of(sample: Sample | None, reader: Reader, entry: Entry) -> Mark:
    """The mark of an input.

    Parameters
    ----------
    sample : Sample or None
        What was read; None if nothing could be.
    """
    if sample is None:
        return Mark(reader.stamp(entry), None)
    return Mark(sample.stamp, hashlib.sha256(sample.raw).hexdigest())


def stamps_of(row: Row, source: Mark, writer: Writer) -> RowStamps:
    """The marks of a row whose pictures are in their places."""
    return RowStamps(row.key, source, tuple(Mark(writer.stamp(place), writer.checksum(place)) for place in row.places))


def read(path: Path) -> dict[str, RowStamps]:
    """The marks of all rows, the latest of each key.

    A line that is no such array is passed over, and so its row is made again.
    """
    found = {}
    with contextlib.suppress(FileNotFoundError):
        for _, line in files.lines(path):
            if (marks := _parsed(line)) is not None:
                found[marks.key] = marks
    return found


def tidy(path: Path, keys: Iterable[str]) -> None:
    """Keep the latest line of each of these keys, in their order."""
    offsets = {marks.key: offset for offset, line in files.lines(path) if (marks := _parsed(line)) is not None}
    files.rewrite(path, (offsets[key] for key in keys if key in offsets))


def has_changed(
    row: Row, marks: RowStamps | None, reader: Reader, entry: Entry, writer: Writer, checksum: bool
) -> bool:
    """Whether an input, or what was written for it, is no longer what a row tells of.

    Parameters
    ----------
    checksum : bool
        Compare contents in the place of sizes and times.
    """
    # A half of an incomplete pair was written, and left out as the pairs were put together.
    outputs = marks.outputs if marks is not None and row.reason != "pair_incomplete" else ()
    if marks is None or len(outputs) != len(row.places):
        return True
    if not checksum:
        return marks.source.stamp != reader.stamp(entry) or any(
            mark.stamp != writer.stamp(place) for mark, place in zip(outputs, row.places, strict=True)
        )
    return marks.source.sha256 != _sha256(reader, entry) or any(
        mark.sha256 != writer.checksum(place) for mark, place in zip(outputs, row.places, strict=True)
    )


def _sha256(reader: Reader, entry: Entry) -> str | None:
    try:
        return hashlib.sha256(reader.read(entry).raw).hexdigest()
    except ImageError:
        return None


def _parsed(line: bytes) -> RowStamps | None:
    try:
        key, *parts = files.words(line)
    except ValueError:
        return None
    if key is None or len(parts) < 2 or len(parts) % 2:
        return None
    marks = [Mark(*parts[at : at + 2]) for at in range(0, len(parts), 2)]
    return RowStamps(key, marks[0], tuple(marks[1:]))
