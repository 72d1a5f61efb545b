"""Verification sets (``.bin``) as datasets: read, and written with masks on one half of each pair or on both.

What is written is the pickle of a tuple: a list of encoded pictures, two per pair, and a list of bools. Python and
InsightFace read it; it asks for nothing but lists, bytes and bools.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePath
from typing import IO, Any, Final, Literal, NamedTuple

from maskgen import files, images
from maskgen.datasets import parts
from maskgen.datasets.base import Entry, Fault, Mark, Meta, Pair, PartWriter, Sample, refuse_saved
from maskgen.datasets.finals import Finals, home_beside
from maskgen.datasets.packing import Former, placed
from maskgen.datasets.part_writer import PartsWriter
from maskgen.datasets.parts import Part, Parts
from maskgen.datasets.verification import MAX_BYTES, VerificationSet, read_bin
from maskgen.errors import ConfigError, ImageError, MaskgenError
from maskgen.formats import MaskSide
from maskgen.manifest import Row, line_of
from maskgen.ordering import Sorted, Spool
from maskgen.parallel import chunks_of

SIDE: Final = 112
"""Width and height of the pictures, pixels."""
_BATCH: Final = 1000
# The instructions of a pickle, see Python's `pickletools`. Protocol 3 is the first with bytes.
_BEGIN, _LIST, _MARK, _APPENDS, _PAIR, _STOP = b"\x80\x03", b"]", b"(", b"e", b"\x86", b"."
_BYTES: Final = struct.Struct("<cI")
_BOOLS: Final = {False: b"\x89", True: b"\x88"}


@dataclass(frozen=True)
class BinReader:
    """The pictures of a verification set, in its order: ``0000_0``, ``0000_1``, ``0001_0``...

    Older sets hold pixels. Those come as PNG.

    Parameters
    ----------
    path : Path
        The ``.bin``. Each process that reads from it holds it in memory.

    Raises
    ------
    ImageError
        While listing or reading, if it is no verification set: see `read_bin`.
    """

    path: Path

    def chunks(self, size: int) -> Iterator[Sequence[Entry | Fault]]:
        """As `Reader.chunks`."""
        is_same = self._held().is_same
        width = len(str(len(is_same) - 1))
        return chunks_of(
            (
                Entry(f"{index:0{width}d}_{side}", pair=Pair(index, side, bool(same)), locator=2 * index + side)
                for index, same in enumerate(is_same)
                for side in (0, 1)
            ),
            size,
        )

    def count(self) -> int:
        """As `Reader.count`."""
        return len(self._held().pictures)

    def read(self, entry: Entry) -> Sample:
        """As `Reader.read`."""
        raw = self._raw(entry)
        if raw is None:
            raise ImageError(f"{entry.key}: not there any more", "run the same again")
        return Sample(raw, stamp=parts.stamp_of(raw))

    def stamp(self, entry: Entry) -> str | None:
        """As `Reader.stamp`: length and checksum of the picture."""
        with contextlib.suppress(ImageError):
            raw = self._raw(entry)
            return None if raw is None else parts.stamp_of(raw)
        return None

    def container(self) -> str | None:
        """As `Reader.container`: size and time of change of the file."""
        return files.stamp_of(self.path)

    def fingerprint(self) -> str:
        """The path."""
        return str(self.path)

    def _held(self) -> VerificationSet:
        return _held(self.path, files.stamp_of(self.path))

    def _raw(self, entry: Entry) -> bytes | None:
        number: int = entry.locator
        pictures = self._held().pictures
        return _encoded(pictures[number]) if number < len(pictures) else None


@dataclass(frozen=True)
class BinWriter(PartsWriter):
    """Writes a verification set.

    Pairs keep their order. If a half gives no picture, its pair is left out, and the other half is skipped as
    ``pair_incomplete``.

    Parameters
    ----------
    path : Path
        The ``.bin``.
    mask_side : {"first", "second", "both"}
        On which half of each pair masks go; what `selects` does not select is to be copied.
    is_alone : bool
        Whether the folder of the file is the output folder. If not, it may hold anything, and `home_beside` is.
    """

    path: Path
    mask_side: MaskSide = "second"
    is_alone: bool = True

    @property
    def home(self) -> Path:
        """As `Writer.home`: the folder of the file, or one beside it."""
        return self.path.parent if self.is_alone else home_beside(self.path)

    def check(self, settings: Any) -> None:
        """As `Writer.check`: one picture per half, and one face on it."""
        super().check(settings)
        refuse_saved(settings, self.path.name)
        holds = f"{self.path.name}: a verification set holds one picture per half of a pair"
        if settings.variants != 1:
            raise ConfigError(f"{holds}, not {settings.variants} variants", "use {variants=1}")
        if settings.originals:
            raise ConfigError(f"{holds}, and no original beside it", "leave {originals} out")
        if settings.faces == "all":
            raise ConfigError(f"{holds}, and one face on it", "use {faces=central}")

    def selects(self, entry: Entry) -> bool:
        """As `Writer.selects`: the half that `mask_side` says."""
        pair = _pair_of(entry)
        return self.mask_side == "both" or pair.side == (0 if self.mask_side == "first" else 1)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[PartWriter]:
        """As `Writer.part`."""
        with self._parts.part() as part:
            yield _CropPart(part)

    def clear(self, rows: Iterable[Row]) -> None:
        """As `Writer.clear`."""
        self._finals.clear()
        self._former.forget()

    def finish(self, rows: Iterable[Row]) -> Iterator[Row]:
        """As `Writer.finish`. A row whose picture cannot be read any more has failed, as ``lost``.

        Rows and pictures are sorted on disk; one picture at a time is in memory, and a former file that rows name.

        Raises
        ------
        ConfigError
            If a file is in the way that no run wrote.
        MaskgenError
            If nothing can be written, or the file would be larger than any that is read.
        """
        self._finals.refuse_foreign()
        home = self.home
        with files.named_faults(home), ExitStack() as stack:
            files.make_folder(home)
            spool = stack.enter_context(Spool(home))
            in_order = stack.enter_context(Sorted(self._halves(rows, spool), home))
            by_number = stack.enter_context(Sorted(self._write(in_order), home))
            for line, (_, fate, place) in zip(spool, by_number, strict=True):
                yield _row_with(Row.model_validate_json(line), fate, place)
            self._former.forget()

    @property
    def _parts(self) -> Parts:
        return Parts(self.home)

    @property
    def _former(self) -> Former:
        return Former(self.path.parent, self.home)

    @property
    def _finals(self) -> Finals:
        return Finals(self.path.parent, (self.path.name,), self.home)

    def _sample(self, place: str) -> Sample:
        if self._parts.holds(place):
            return self._parts.read(place)
        name, _, number = place.rpartition("#")
        path = self._former.path(self.path.name)
        if name == self.path.name and number.isascii() and number.isdecimal() and len(number) < 19:
            pictures = _held(path, files.stamp_of(path)).pictures
            if int(number) < len(pictures):
                return Sample(_encoded(pictures[int(number)]))
        raise ImageError(f"{place}: not there")

    def _halves(self, rows: Iterable[Row], spool: Spool) -> Iterator[_Half]:
        """What rows say about halves of pairs; the rows go to a spool."""
        for number, row in enumerate(rows):
            spool.add(line_of(row))
            place = row.places[0] if row.places else ""
            fate: _Fate = "none"
            if place:
                # Seen before anything is written: a half that is lost takes the other with it.
                fate = "written" if self.checksum(place) is not None else "lost"
            pair = row.pair
            yield (
                _Half(-1, 0, number, False, fate, place)
                if pair is None
                else _Half(pair.index, pair.side, number, pair.is_same, fate, place)
            )

    def _write(self, in_order: Iterable[Any]) -> Iterator[tuple[int, _Fate, str]]:
        """Write the file; (number, what became of it, new place) of each half. It has its name before the last."""
        temporary = self.home / files.temporary_name()
        with ExitStack() as stack:
            stack.callback(temporary.unlink, missing_ok=True)
            file = stack.enter_context(temporary.open("wb"))
            file.write(_BEGIN)
            flags = bytearray()
            with _List(file) as pictures:
                for first, second in _pairs(in_order):
                    if second is None:
                        yield first.number, "alone" if first.fate == "written" else first.fate, ""
                        continue
                    is_whole = first.fate == second.fate == "written"
                    for half in (first, second):
                        if is_whole:
                            yield half.number, "written", f"{self.path.name}#{pictures.number}"
                            raw = self._sample(half.place).raw
                            pictures.add(_BYTES.pack(b"B", len(raw)) + raw)
                        else:
                            yield half.number, "alone" if half.fate == "written" else half.fate, ""
                    if is_whole:
                        flags.append(first.is_same)
            with _List(file) as bools:
                for is_same in flags:
                    bools.add(_BOOLS[bool(is_same)])
            file.write(_PAIR + _STOP)
            if file.tell() > MAX_BYTES:
                raise MaskgenError(
                    f"{self.path}: {file.tell():,} bytes, more than the {MAX_BYTES:,} that can be read again",
                    "split the verification set in two",
                )
            file.flush()
            # Or a power cut could leave the new name with none of the new bytes.
            os.fsync(file.fileno())
            file.close()
            self._former.keep([self.path.name])
            if flags:
                self._finals.replace({self.path.name: temporary})
            else:
                self._finals.clear()


_Fate = Literal["written", "alone", "lost", "none"]
"""Of a half: in the file; left out because the other is missing; not there any more; or it gave no picture."""


class _Half(NamedTuple):
    """Half of a pair; these sort in the order of pairs. `number` is that of its row, `pair` -1 where that has none."""

    pair: int
    side: int
    number: int
    is_same: bool
    fate: _Fate
    place: str


class _List:
    """Writes a list of a pickle, item by item."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.number = 0

    def __enter__(self) -> _List:
        self._file.write(_LIST + _MARK)
        return self

    def __exit__(self, *error: object) -> None:
        self._file.write(_APPENDS)

    def add(self, item: bytes) -> None:
        """Add an item, as instructions."""
        # What reads it holds what comes after a mark once more.
        if self.number and self.number % _BATCH == 0:
            self._file.write(_APPENDS + _MARK)
        self._file.write(item)
        self.number += 1


class _CropPart:
    """A part that takes only what a verification set can hold."""

    def __init__(self, part: Part) -> None:
        self._part = part

    def put(self, sample: Sample, meta: Meta) -> str:
        """As `PartWriter.put`."""
        key = meta.entry.key
        _pair_of(meta.entry)
        header = images.format_and_size(sample.raw)
        if header is None:
            raise ImageError(f"{key}: not a picture that can be read", "convert it to JPEG or PNG")
        width, height = header[1]
        if (width, height) != (SIDE, SIDE):
            raise ImageError(
                f"{key}: {width} x {height} pixels, and a verification set holds {SIDE} x {SIDE}",
                f"use {{align={SIDE}}}",
            )
        return self._part.put(sample, meta)

    def mark(self, place: str) -> Mark:
        """As `PartWriter.mark`."""
        return self._part.mark(place)

    def take_back(self, entry: Entry) -> None:
        """As `PartWriter.take_back`."""
        self._part.take_back(entry)


def _pair_of(entry: Entry) -> Pair:
    if entry.pair is None:
        raise ConfigError(
            f"{entry.key}: in no pair, and a verification set holds pairs", "read a verification set, or write a folder"
        )
    return entry.pair


def _pairs(in_order: Iterable[Any]) -> Iterator[tuple[_Half, _Half | None]]:
    """Halves that belong together; the second is None where there is only one, or that comes once more."""
    waiting: _Half | None = None
    for values in in_order:
        half = _Half(*values)
        if waiting is not None and half.pair == waiting.pair >= 0 and (waiting.side, half.side) == (0, 1):
            yield waiting, half
            waiting = None
            continue
        if waiting is not None:
            yield waiting, None
        waiting = half
    if waiting is not None:
        yield waiting, None


def _row_with(row: Row, fate: _Fate, place: str) -> Row:
    if fate == "alone":
        without = placed(row, [""] * len(row.places))
        message, remedy = "the other half of its pair gave no picture", "see that one's row"
        reason = {"status": "skipped", "reason": "pair_incomplete", "message": message, "remedy": remedy}
        return without.model_copy(update=reason)
    # One place per row: `check` sees to that.
    return placed(row, [place, *[""] * len(row.places)][: len(row.places)])


def _encoded(picture: Any) -> bytes:
    """A picture of a set as a file's bytes."""
    if isinstance(picture, bytes):
        return picture
    if picture.ndim == 1:
        return bytes(picture)
    return images.encode(picture[..., ::-1].copy(), images.Encoding(), PurePath("x.png"))


# Two: what is read, and what a former run wrote.
@lru_cache(maxsize=2)
def _held(path: Path, stamp: str | None) -> VerificationSet:
    """A set, held once per process; read anew when the file changes."""
    return read_bin(path)
