"""What inputs and outputs looked like when a row was written, so that the next run sees what has changed since.

``.maskgen.stamps`` in the output folder has a line per row: a JSON array of the key, the stamp and the SHA-256 of the
input, and the same two of each picture that was written, in the order of `Row.places`. The manifest does not hold them,
because a stamp contains a time, and the same seed gives the same manifest.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskgen import linelog, manifest
from maskgen.datasets.base import Entry, Mark, PartWriter, Reader, Sample, Writer
from maskgen.errors import ImageError
from maskgen.manifest import Row
from maskgen.ordering import Sorted

STAMPS_FILE: Final = ".maskgen.stamps"


@dataclass(frozen=True)
class RowStamps:
    """The marks of one row's input and of what was written for it."""

    key: str
    source: Mark
    outputs: tuple[Mark, ...]

    def line(self) -> str:
        """As it stands in the file."""
        return linelog.line_of([self.key, *self.source, *(part for mark in self.outputs for part in mark)])


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


def stamps_of(row: Row, source: Mark, part: PartWriter) -> RowStamps:
    """The marks of a row whose pictures were put into a part."""
    return RowStamps(row.key, source, tuple(part.mark(place) for place in row.places))


def key_of(line: bytes) -> str | None:
    """The key of a line of the file; None if it is no such array, and so its row is made again."""
    if not line.startswith(b'["'):
        return None
    try:
        return linelog.first_string(line, 2)
    except ValueError:
        return None


def tidy(path: Path, is_kept: Callable[[str], bool]) -> None:
    """Keep the latest line of each key that is to be kept, in the order of keys, which are sorted on disk."""
    with contextlib.suppress(FileNotFoundError):
        keys = ((key, offset) for offset, line in linelog.lines(path) if (key := key_of(line)) is not None)
        with Sorted((item for item in keys if is_kept(item[0])), path.parent) as in_order:
            linelog.rewrite(path, manifest.latest(in_order))


def has_changed(
    row: Row,
    marks: RowStamps | None,
    reader: Reader,
    entry: Entry,
    writer: Writer,
    *,
    checksum: bool = False,
    is_source_known: bool = False,
) -> bool:
    """Whether an input, or what was written for it, is no longer what a row tells of.

    Parameters
    ----------
    checksum : bool
        Compare contents in the place of sizes and times.
    is_source_known : bool
        The file that holds all inputs is the one that the row was made from: see `Reader.container`.
    """
    # A half of an incomplete pair was written, and left out as the pairs were put together.
    outputs = marks.outputs if marks is not None and row.reason != "pair_incomplete" else ()
    if marks is None or len(outputs) != len(row.places):
        return True
    if not writer.holds(place for one in row.variants if one.extras is not None for place in one.extras.places):
        return True
    written = zip(outputs, row.places, strict=True)
    if checksum:
        return marks.source.sha256 != _sha256(reader, entry) or any(
            mark.sha256 != writer.checksum(place) for mark, place in written
        )
    if not is_source_known and marks.source.stamp != reader.stamp(entry):
        return True
    return not all(writer.stands(place, mark.stamp) for mark, place in written)


def _sha256(reader: Reader, entry: Entry) -> str | None:
    try:
        return hashlib.sha256(reader.read(entry).raw).hexdigest()
    except ImageError:
        return None


def parsed(line: bytes) -> RowStamps | None:
    """A line of the file; None if it is no such array."""
    try:
        key, *parts = linelog.words(line)
    except ValueError:
        return None
    if key is None or len(parts) < 2 or len(parts) % 2:
        return None
    marks = [Mark(*parts[at : at + 2]) for at in range(0, len(parts), 2)]
    return RowStamps(key, marks[0], tuple(marks[1:]))
