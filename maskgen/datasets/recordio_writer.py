"""RecordIO to write, as InsightFace has it: ``train.rec``, ``train.idx``, ``train.lst``, ``property``.

Pictures come in the order of label, natural order of key, and the original before its variants; then a record per
identity, and the record of key 0. A label without a picture has an empty range.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import numpy.typing as npt

from maskgen import files, images
from maskgen.datasets import parts
from maskgen.datasets.base import Entry, Mark, Meta, PartWriter, Sample, refuse_saved
from maskgen.datasets.finals import Finals, home_beside
from maskgen.datasets.packing import Former, Named, named, rows_with
from maskgen.datasets.part_writer import PartsWriter
from maskgen.datasets.parts import Parts
from maskgen.datasets.recordio import LABELS_EXTRA, LABELS_FILE, REC_FILE, RecordReader, is_label
from maskgen.datasets.recordio_file import LONGEST, MOST_LABELS, forget_opened
from maskgen.datasets.recordio_index import index_of
from maskgen.datasets.recordio_layout import SIDE, Names, Records, list_line
from maskgen.datasets.recordio_property import PROPERTY_FILE, Property
from maskgen.datasets.recordio_rows import InOrder, counting, labelled
from maskgen.errors import ImageError
from maskgen.manifest import Row
from maskgen.ordering import Sorted, Spool

_INDEX, _LIST = "train.idx", "train.lst"
_FORMATS: Final = ("JPEG", "PNG")
_ROOM: Final = 2**16  # for a header


class NoIdentityError(ImageError):
    """Nobody says who is on a picture."""

    reason = "no_identity"


class BadLabelError(ImageError):
    """A label cannot be written."""

    reason = "bad_label"


@dataclass(frozen=True)
class RecordWriter(PartsWriter):
    """Writes the files that InsightFace trains on.

    If all inputs have labels, the labels are kept. Else identities are numbered from 0 in their order, and
    ``labels.txt`` tells which has which. ``property`` says how large the pictures are that are written, whatever that
    of the input says.

    Parameters
    ----------
    root : Path
        The folder, resolved.
    is_alone : bool
        Whether it is the output folder. If not, it may hold anything, and what is `home_beside` ``train.rec`` is.
    identities : int
        How many labels there are at least, if labels are kept: as many as the input says that it has.
    """

    root: Path
    is_alone: bool = True
    identities: int = 0

    def check(self, settings: Any) -> None:
        """As `Writer.check`: records hold a picture and its label."""
        super().check(settings)
        refuse_saved(settings, REC_FILE)

    @property
    def home(self) -> Path:
        """As `Writer.home`: the folder itself, or one beside the files."""
        return self.root if self.is_alone else home_beside(self.root / REC_FILE)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[PartWriter]:
        """As `Writer.part`."""
        with self._parts.part() as part:
            yield _CheckedPart(part)

    def clear(self, rows: Iterable[Row]) -> None:
        """As `Writer.clear`."""
        forget_opened()
        self._former.forget()
        self._finals.clear()

    def finish(self, rows: Iterable[Row]) -> Iterator[Row]:
        """As `Writer.finish`. A row whose picture cannot be read any more has failed, as ``lost``.

        Rows and pictures are sorted on disk. Memory grows by four bytes per picture.

        Raises
        ------
        ConfigError
            If a file is in the way that no run wrote, or there are more identities than labels.
        MaskgenError
            If nothing can be written.
        """
        self._finals.refuse_foreign()
        with files.named_faults(self.home):
            files.make_folder(self.home)
            with Spool(self.home) as spool:
                keys = self._put_together(counting(named(rows, spool)))
                yield from rows_with(spool, (f"{REC_FILE}#{key}" if key else "" for key in keys))
            forget_opened()
            self._former.forget()

    @property
    def _parts(self) -> Parts:
        return Parts(self.home)

    @property
    def _finals(self) -> Finals:
        return Finals(self.root, (REC_FILE, LABELS_FILE, PROPERTY_FILE, _LIST, _INDEX), self.home)

    @property
    def _former(self) -> Former:
        return Former(self.root, self.home)

    @property
    def _source(self) -> tuple[Path, Path]:
        """The .rec and .idx that places of rows stand for: those of the former run, until rows name the new ones."""
        rec = self._former.path(REC_FILE)
        # An index is kept before its records are. If they are kept without one, the new one is not theirs.
        return rec, rec.with_name(_INDEX) if self._former.keeps(REC_FILE) else self._former.path(_INDEX)

    def _sample(self, place: str) -> Sample:
        with self._reading() as read:
            return read(place)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[Callable[[str], Sample]]:
        """`_sample` for many places, as long as the files stay where they are."""
        rec, index_path = self._source
        former = RecordReader(rec)
        of_parts = self._parts
        with of_parts.reading() as read_part:

            def read(place: str) -> Sample:
                if of_parts.holds(place):
                    return read_part(place)
                name, _, key = place.partition("#")
                try:
                    index = index_of(index_path) if name == REC_FILE and key.isascii() and key.isdecimal() else None
                except (OSError, ValueError) as error:
                    raise ImageError(f"{place}: its index cannot be read: {error}") from error
                offset = None if index is None else index.offset_of(int(key[:19]))
                sample = None if offset is None else former.read(Entry(place, locator=offset))
                if sample is None or not sample.raw:
                    raise ImageError(f"{place}: no picture is there")
                return sample

            yield read

    def _put_together(self, named: Iterator[Named]) -> npt.NDArray[np.uint32]:
        """Write the files; (P,) the key of each picture, in the order of the rows, and 0 where it is lost."""
        with Spool(self.home) as spool:
            pictures, has_labels, has_parts = 0, True, False
            for one in named:
                pictures += bool(one.place)
                has_labels &= one.label is not None and one.label >= 0
                has_parts |= self._parts.holds(one.place)
                spool.add(tuple(one))
            keys = np.zeros(pictures, np.uint32)
            with Sorted((InOrder.of(Named(*item), has_labels) for item in spool), self.home) as in_order:
                if has_parts or not self._stand_already(in_order, has_labels, keys):
                    keys[:] = 0
                    self._write(in_order, has_labels, keys)
        return keys

    def _stand_already(self, in_order: Iterable[Any], has_labels: bool, keys: npt.NDArray[np.uint32]) -> bool:
        """Whether the files of the former run are those that would be written."""
        rec, _ = self._source
        paths = [self.root / name for name in (_LIST, PROPERTY_FILE, _INDEX)]
        if rec != self.root / REC_FILE or not all(path.is_file() for path in (rec, *paths)):
            return False
        key, label = 0, -1
        with contextlib.ExitStack() as stack:
            listed = stack.enter_context((self.root / _LIST).open("rb"))
            names = Names(None)
            for label, item, is_new in labelled(in_order, has_labels):
                if is_new:
                    names.add(label, item.identity)
                if item.place:
                    key += 1
                    keys[item.number] = key
                    line = list_line(key, label, item.path)
                    if item.place != f"{REC_FILE}#{key}" or listed.read(len(line)) != line:
                        return False
            told = _property(max(label + 1, self.identities if has_labels else 0))
            if listed.read(1) or (self.root / PROPERTY_FILE).read_bytes() != told:
                return False
        path = self.root / LABELS_FILE
        is_needed = names.are_needed or not has_labels
        return path.exists() == is_needed and (not is_needed or names.are_in(path))

    def _write(self, in_order: Iterable[Any], has_labels: bool, keys: npt.NDArray[np.uint32]) -> None:
        made: dict[str, Path] = {}
        with contextlib.ExitStack() as stack:
            opened: dict[str, IO[bytes]] = {}
            for name in self._finals.names:
                made[name] = self.home / files.temporary_name()
                stack.callback(made[name].unlink, missing_ok=True)
                opened[name] = stack.enter_context(made[name].open("wb"))
            names = Names(opened[LABELS_FILE])
            read = stack.enter_context(self._reading())
            records = Records(opened[REC_FILE], opened[_INDEX], opened[_LIST])
            for label, item, is_new in labelled(in_order, has_labels):
                if is_new:
                    records.begin(label)
                    names.add(label, item.identity)
                if item.place:
                    # Its row says that it is lost, and the next run makes it again.
                    with contextlib.suppress(ImageError):
                        keys[item.number] = records.put(label, read(item.place), item.path)
            if has_labels:
                records.begin(self.identities - 1)
            opened[PROPERTY_FILE].write(_property(records.end()))
            for file in opened.values():
                file.flush()
                # Or a power cut could leave new names with none of the new bytes.
                os.fsync(file.fileno())
                file.close()
            if has_labels and not names.are_needed:
                made.pop(LABELS_FILE)
            forget_opened()
            self._former.keep([_INDEX, REC_FILE])
            self._finals.replace(made)


def _property(identities: int) -> bytes:
    return Property(identities, SIDE, SIDE).line()


class _CheckedPart:
    """A part that takes only what a record can hold."""

    def __init__(self, part: parts.Part) -> None:
        self._part = part

    def put(self, sample: Sample, meta: Meta) -> str:
        """As `PartWriter.put`."""
        entry = meta.entry
        if entry.identity is None and entry.label is None:
            raise NoIdentityError(
                f"{entry.key}: nobody says who it is", "put it into a folder that is called as they are"
            )
        if entry.label is not None and not is_label(entry.label):
            raise BadLabelError(
                f"{entry.key}: label {entry.label}, expected 0 to {MOST_LABELS - 1:,}", "number the identities from 0"
            )
        format, size_wh = images.format_and_size(sample.raw) or ("no picture", (0, 0))
        if format not in _FORMATS:
            raise ImageError(f"{entry.key}: {format}, and records hold JPEG or PNG", "convert it to JPEG or PNG")
        if size_wh != (SIDE, SIDE):
            width, height = size_wh
            raise ImageError(
                f"{entry.key}: {width} x {height} pixels, and records hold {SIDE} x {SIDE}", f"use {{align={SIDE}}}"
            )
        if len(sample.raw) + len(sample.extras.get(LABELS_EXTRA, b"")) > LONGEST - _ROOM:
            raise ImageError(
                f"{entry.key}: {len(sample.raw):,} bytes, more than a record can have", "convert it to JPEG"
            )
        return self._part.put(sample, meta)

    def mark(self, place: str) -> Mark:
        """As `PartWriter.mark`."""
        return self._part.mark(place)

    def take_back(self, entry: Entry) -> None:
        """As `PartWriter.take_back`."""
        self._part.take_back(entry)
