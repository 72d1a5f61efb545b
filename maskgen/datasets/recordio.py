"""RecordIO to read, as InsightFace has it: ``train.rec``, ``train.idx``, ``property``.

InsightFace's layout: pictures from key 1, then a record per identity that tells from which key to which it reaches, and
last, as key 0, one that tells the same of the identities. Those of im2rec, which has no such records, and of builders
that count from 0 are read as well: what is no range is a picture.
"""

from __future__ import annotations

import bisect
import itertools
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from maskgen import files
from maskgen.datasets import parts
from maskgen.datasets.base import Entry, Fault, Sample
from maskgen.datasets.recordio_file import MOST_LABELS, RecordError, RecordFile, Span, labels_of, opened
from maskgen.datasets.recordio_index import NO_KEY, Index, index_of, scan
from maskgen.datasets.recordio_property import Property, read_property
from maskgen.errors import ConfigError, ImageError
from maskgen.formats import MAX_PIXELS, max_bytes
from maskgen.parallel import chunks_of
from maskgen.plural import noun

REC_FILE: Final = "train.rec"
LABELS_FILE: Final = "labels.txt"
LABELS_EXTRA: Final = "recordio.labels"
"""What `Sample.extras` calls the float32 labels of a record that has more than one."""
_MOST_NAME_BYTES: Final = 2**16
_RESTORE: Final = "restore the file from its source"
_REBUILD: Final = "remove the .idx file: without it, the records are found by themselves"
_ESCAPES: Final = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}
_UNESCAPES: Final = {escape: character for character, escape in _ESCAPES.items()}


@dataclass(frozen=True)
class RecordReader:
    """The pictures of a RecordIO file, in the order in which they stand there.

    A picture's key is that of the index. Without an index, the file is scanned: see `recordio_index.scan`. Its label is
    a whole number; its identity is the label in decimal, or what ``labels.txt`` beside the file calls it.

    Parameters
    ----------
    path : Path
        The ``.rec``; the index beside it has the same name and ends in ``.idx``.
    max_pixels : int, optional
        Records larger than any picture of so many pixels are not read.

    Raises
    ------
    ConfigError
        While listing, if the file cannot be read at all, its index has no line that can be, or ``labels.txt`` is
        malformed.
    """

    path: Path
    max_pixels: int | None = None

    def chunks(self, size: int) -> Iterator[Sequence[Entry | Fault]]:
        """As `Reader.chunks`."""
        return chunks_of(self._listed(), size)

    def count(self) -> int | None:
        """As `Reader.count`: told by the index, where ranges stand behind the pictures or are not there at all."""
        if not self._index_path.exists():
            return None
        file, index = self._file(), self._index()
        offsets, faults = index.offsets, len(index.doubles) + len(index.garbage)
        if not len(offsets) or not _found(file, NO_KEY, int(offsets[-1])).spans or _is_range(file, int(offsets[0])):
            return None
        return _pictures_before_ranges(file, index) + faults

    def told(self) -> Property | None:
        """What ``property`` beside the file says; None if there is none.

        Raises
        ------
        ImageError
            As `read_property`.
        """
        return read_property(self.path.parent)

    def ranges(self) -> int | None:
        """How many identities have a range; None if there are no ranges, or they do not stand behind the pictures."""
        file, index = self._file(), self._index()
        offset = index.offset_of(0)
        if offset is None or not _is_range(file, offset) or self.count() is None:
            return None
        # By their number: what the range of ranges says is rounded beyond 16,777,216.
        return len(index.offsets) - _pictures_before_ranges(file, index) - 1

    def read(self, entry: Entry) -> Sample:
        """As `Reader.read`; labels beyond the first are in the extra `LABELS_EXTRA`."""
        try:
            file = opened(self.path)
            spans, _ = file.spans(entry.locator)
            header = file.header(spans)
            limit = max_bytes(MAX_PIXELS if self.max_pixels is None else self.max_pixels)
            if header.picture_size > limit:
                raise ImageError(
                    f"{entry.key}: {header.picture_size:,} bytes, more than the {limit:,} that a picture may have",
                    "scale it down" if self.max_pixels is None else "scale it down or raise {max_pixels}",
                )
            payload = file.payload(spans)
        except OSError as error:
            raise ImageError(f"{entry.key}: {self.path.name}: cannot be read: {error.strerror}") from error
        except RecordError as error:
            raise ImageError(f"{entry.key}: damaged record: {error}", _RESTORE) from error
        extras = {LABELS_EXTRA: labels_of(payload, header)} if header.flag else {}
        return Sample(payload[header.picture_at :], extras, parts.stamp_of(payload))

    def stamp(self, entry: Entry) -> str | None:
        """As `Reader.stamp`: length and checksum of the record, so that it does not matter where the record lies."""
        try:
            return self.read(entry).stamp
        except ImageError:
            return None

    def container(self) -> str | None:
        """As `Reader.container`: size and time of change of the file and of its index."""
        stamps = [files.stamp_of(path) for path in (self.path, self._index_path)]
        return None if stamps[0] is None else " ".join(stamp or "none" for stamp in stamps)

    def fingerprint(self) -> str:
        """The file's path."""
        return str(self.path)

    @property
    def _index_path(self) -> Path:
        return self.path.with_suffix(".idx")

    def _file(self) -> RecordFile:
        try:
            return opened(self.path)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror}") from error

    def _index(self) -> Index:
        path = self._index_path
        try:
            index = index_of(path)
        except OSError as error:
            raise ConfigError(f"{path}: cannot be read: {error.strerror}", _REBUILD) from error
        except ValueError as error:
            raise ConfigError(f"{path}: not an index of records: {error}", _REBUILD) from error
        if index is None:
            return scan(self._file())
        if not len(index.keys) and self._file().size:
            raise ConfigError(f"{path}: no line of it has a key and an offset", _REBUILD)
        return index

    def _listed(self) -> Iterator[Entry | Fault]:
        """All entries and faults, in the order of the file; what is wrong with lines of the index comes first."""
        file, index, names = self._file(), self._index(), read_names(self.path.with_name(LABELS_FILE))
        yield from self._faults_of(index)
        last = _Found(NO_KEY, -1, (), 0)
        is_told = False  # of the bytes behind the last record
        records: Iterator[tuple[int | None, int]] = itertools.chain(index.records(), [(None, file.size)])
        for key, offset in records:
            if key is not None and offset == last.offset:
                yield self._misled(key, f"the same record as {last.key}")
                continue
            if key is not None and not file.begins(offset):
                is_told |= last.end <= offset < file.size
                yield self._without_beginning(file, key, offset, last.end)
                continue
            damage = last.damage_before(offset)
            if last.offset >= 0 and (one := self._one(file, last, damage, names)) is not None:
                yield one
            if not damage and last.end < offset and not is_told:
                yield self._gap(last.end, offset)
            if key is not None:
                last, is_told = _found(file, key, offset), False

    def _one(self, file: RecordFile, found: _Found, damage: str, names: dict[int, str]) -> Entry | Fault | None:
        """What a record comes to; None if it is a range."""
        called = f"{self.path.name}@{found.offset}" if found.key == NO_KEY else str(found.key)
        try:
            if damage:
                raise RecordError(damage)
            header = file.header(found.spans)
            if header.is_range:
                return None
            if not header.picture_size:
                raise RecordError("no picture in it")
        except RecordError as error:
            return Fault(called, "failed", "bad_record", f"damaged record: {error}", _RESTORE)
        if not is_label(header.label):
            message = f"its label is {header.label}, expected a whole number from 0 to {MOST_LABELS - 1:,}"
            remedy = "number the identities from 0; larger numbers are rounded in this format"
            return Fault(called, "failed", "bad_label", message, remedy)
        label = int(header.label)
        return Entry(called, names.get(label, str(label)), label, locator=found.offset)

    def _faults_of(self, index: Index) -> Iterator[Fault]:
        for line in index.garbage:
            yield self._misled(f"{self._index_path.name}:{line}", "this line has no key and offset")
        for key, same in itertools.groupby(index.doubles.tolist()):
            for number, _ in enumerate(same, start=2):
                yield self._misled(f"{key} ({number})", f"its index has a line for {key} once more")

    def _without_beginning(self, file: RecordFile, key: int, offset: int, end: int) -> Fault:
        """Where the index says that a record begins, none does; the one before reaches to `end`."""
        if offset >= file.size:
            message = f"its index says that it begins at byte {offset:,}, and the file has {file.size:,}"
            return Fault(str(key), "failed", "bad_index", message, f"{_RESTORE}, or {_REBUILD}")
        if offset >= end:
            return Fault(str(key), "failed", "bad_record", "damaged record: its first bytes are wrong", _RESTORE)
        return self._misled(key, f"its index says that it begins at byte {offset:,}, which is inside another record")

    def _misled(self, key: int | str, message: str) -> Fault:
        return Fault(str(key), "failed", "bad_index", message, _REBUILD)

    def _gap(self, start: int, end: int) -> Fault:
        called = f"{self.path.name}@{start}"
        if not self._index_path.exists():
            return Fault(called, "failed", "bad_record", f"{_bytes(end - start)} that are no whole record", _RESTORE)
        message = f"its index has no line for the {_bytes(end - start)} there"
        return Fault(called, "failed", "not_in_index", message, _REBUILD)


class _Found(NamedTuple):
    """A record that an index names.

    Attributes
    ----------
    spans : sequence of (start, length)
        The parts of its payload; empty if it is damaged.
    end : int
        Where it ends; where it begins if it is damaged.
    damage : str
        What is wrong with it.
    """

    key: int
    offset: int
    spans: Sequence[Span]
    end: int
    damage: str = ""

    def damage_before(self, following: int) -> str:
        """What is wrong with it, if the next record begins there."""
        if self.end > following:
            return f"it would reach {_bytes(self.end - following)} into the next record"
        return self.damage


def _found(file: RecordFile, key: int, offset: int) -> _Found:
    try:
        return _Found(key, offset, *file.spans(offset))
    except RecordError as error:
        return _Found(key, offset, (), offset, str(error))


def is_label(label: float) -> bool:
    """Whether a label is a whole number that no other is rounded to in a float32."""
    return math.isfinite(label) and 0 <= label < MOST_LABELS and label == int(label)


def read_names(path: Path) -> dict[int, str]:
    """Label -> identity, of a file of lines ``label<TAB>identity``; empty if there is none.

    Raises
    ------
    ConfigError
        If it cannot be read, or a line is another.
    """
    names: dict[int, str] = {}
    try:
        with open(files.open_regular(path), "rb") as file:
            for number in itertools.count(1):
                line = file.readline(_MOST_NAME_BYTES)
                if not line:
                    break
                label, tab, name = line.removesuffix(b"\n").removesuffix(b"\r").decode().partition("\t")
                if not tab or not re.fullmatch("[0-9]{1,8}", label) or int(label) in names:
                    raise ConfigError(
                        f"{path}, line {number}: expected a number that no line has yet, a tab and an identity",
                        "mend or rename the file; without it, identities are called by their numbers",
                    )
                names[int(label)] = unescaped(name)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}, line {number}: not UTF-8", "store it as UTF-8") from error
    return names


def escaped(text: str) -> str:
    r"""Text without tabs and line breaks, which become ``\t`` and so on.

    Examples
    --------
    >>> escaped("a\tb") == r"a\tb"
    True
    """
    return re.sub(r"[\\\t\n\r]", lambda match: _ESCAPES[match[0]], text)


def unescaped(text: str) -> str:
    """What `escaped` was given."""
    return re.sub(r"\\[\\tnr]", lambda match: _UNESCAPES[match[0]], text)


def _pictures_before_ranges(file: RecordFile, index: Index) -> int:
    offsets = index.offsets
    return bisect.bisect_left(range(len(offsets)), True, key=lambda at: _is_range(file, int(offsets[at])))


def _is_range(file: RecordFile, offset: int) -> bool:
    try:
        return file.header(file.spans(offset)[0]).is_range
    except RecordError:
        return False


def _bytes(number: int) -> str:
    return f"{number:,} {noun(number, 'byte')}"
