"""WebDataset: samples in tar files. A sample is a run of members that have one name up to the first dot."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import BinaryIO, Final, NamedTuple

from maskgen import files, formats, manifest
from maskgen.datasets import sidecars, tars
from maskgen.datasets.base import Entry, Fault, Sample
from maskgen.datasets.folder import printable
from maskgen.datasets.seen import Seen
from maskgen.errors import ConfigError, ImageError
from maskgen.images.source import refuse_large
from maskgen.parallel import chunks_of

MOST_MEMBERS: Final = 1000
"""Of a sample."""
MOST_EXTRA_BYTES: Final = 2**26
"""Of all that lies beside one picture: it is held in memory with it."""
MOST_SHARDS: Final = 1_000_000
"""That a pattern may stand for."""
_LONGEST_NAME: Final = 4096
_RANGE: Final = re.compile(r"\{(\d{1,18})\.\.(\d{1,18})\}")
_COMPRESSED: Final = (".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".tar.zst")


class Span(NamedTuple):
    """Where the bytes of a member lie in its shard."""

    ending: str
    offset: int
    size: int


class Located(NamedTuple):
    """Where a sample lies: its shard, relative to the reader's folder, its picture and what is beside it."""

    shard: str
    picture: Span
    extras: tuple[Span, ...] = ()


@dataclass(frozen=True)
class WebDatasetReader:
    """The samples of a shard, of the shards in a folder, or of those that a pattern names.

    A sample's key is its shard's name without ``.tar``, and its own ``__key__``. Its picture is the member with the
    ending of a picture, of several the first by name; all others are extras, by their endings. ``cls`` or a JSON object
    says who is on it: see `maskgen.datasets.sidecars`.

    Parameters
    ----------
    path : Path
        A ``.tar``, a folder, or a pattern such as ``data-{000000..000012}.tar``.
    max_pixels : int, optional
        Members larger than any picture of so many pixels are not read.

    Raises
    ------
    ConfigError
        While listing, if the pattern stands for too many shards, or there is no shard.
    """

    path: Path
    max_pixels: int | None = None

    def chunks(self, size: int) -> Iterator[Sequence[Entry | Fault]]:
        """As `Reader.chunks`; shard after shard, in the order of their names."""
        return chunks_of(self._found(), size)

    def count(self) -> None:
        """As `Reader.count`: nobody knows."""

    def read(self, entry: Entry) -> Sample:
        """As `Reader.read`."""
        located: Located = entry.locator
        path = self.folder / located.shard
        # The stamp is taken first: what changes while it is read is read again by the next run.
        of_shard = files.stamp_of(path)
        refuse_large(entry.key, located.picture.size, self.max_pixels)
        try:
            file = tars.opened(path, of_shard)
            raw = file.read(located.picture.offset, located.picture.size)
            extras = {extra.ending: file.read(extra.offset, extra.size) for extra in located.extras}
        except OSError as error:
            raise ImageError(f"{entry.key}: cannot be read: {error.strerror}") from error
        if len(raw) != located.picture.size or any(len(extras[one.ending]) != one.size for one in located.extras):
            raise ImageError(f"{entry.key}: {located.shard} is shorter than it was", "run the same again")
        return Sample(raw, extras, _stamp(of_shard, located))

    def stamp(self, entry: Entry) -> str | None:
        """As `Reader.stamp`: that of the shard, and where the picture lies in it."""
        located: Located = entry.locator
        return _stamp(files.stamp_of(self.folder / located.shard), located)

    def container(self) -> None:
        """As `Reader.container`: there may be many shards, and asking one costs little."""

    def fingerprint(self) -> str:
        """The path."""
        return str(self.path)

    @property
    def folder(self) -> Path:
        """What names of shards are relative to: the last folder on the way that all of them have in common."""
        if self.path.is_dir():
            return self.path
        if is_pattern(self.path):
            at = next(at for at, part in enumerate(self.path.parts) if _RANGE.search(part))
            return Path(*self.path.parts[:at])
        return self.path.parent

    def _found(self) -> Iterator[Entry | Fault]:
        folder = self.folder
        if not self.path.is_dir():
            pattern = self.path.relative_to(folder).as_posix()
            for name in _expanded(pattern) if is_pattern(self.path) else [pattern]:
                yield from _samples(folder, name)
            return
        try:
            listed = sorted((path.name, path.is_dir()) for path in folder.iterdir())
        except OSError as error:
            raise ConfigError(f"{folder}: cannot be listed: {error.strerror}") from error
        if not any(_is_shard(name) for name, _ in listed):
            raise ConfigError(f"{folder}: no shard in it", "give a folder of .tar files")
        for name, is_folder in listed:
            if files.is_no_data(name, is_folder):
                yield Fault(printable(name), "skipped", "no_data")
            elif is_folder or not _is_shard(name):
                yield Fault(printable(name), "skipped", "not_a_shard")
            else:
                yield from _samples(folder, name)


def _stamp(of_shard: str | None, located: Located) -> str | None:
    return None if of_shard is None else f"{of_shard}@{located.picture.offset}+{located.picture.size}"


def is_pattern(path: Path) -> bool:
    """Whether a path stands for several shards, as ``data-{000000..000012}.tar`` does; a file of that name does not."""
    return _RANGE.search(str(path)) is not None and not path.exists()


def _expanded(pattern: str) -> Iterator[str]:
    """The names that a pattern stands for, in its order.

    Raises
    ------
    ConfigError
        If they are too many, or none.
    """
    parts = _RANGE.split(pattern)
    texts, ranges, number = parts[::3], [], 1
    for first, last in zip(parts[1::3], parts[2::3], strict=True):
        width = len(first) if len(first) == len(last) else 0
        ranges.append((int(first), int(last), width))
        number *= max(int(last) - int(first) + 1, 0)
    if not 0 < number <= MOST_SHARDS:
        raise ConfigError(f"{pattern}: stands for {number:,} shards", f"1 to {MOST_SHARDS:,} are possible")
    for numbers in itertools.product(*(range(first, last + 1) for first, last, _ in ranges)):
        filled = (f"{number:0{width}d}" for number, (_, _, width) in zip(numbers, ranges, strict=True))
        yield texts[0] + "".join(part for pair in zip(filled, texts[1:], strict=True) for part in pair)


def _is_shard(name: str) -> bool:
    return name.lower().endswith((tars.ENDING, *_COMPRESSED))


def _samples(folder: Path, shard: str) -> Iterator[Entry | Fault]:
    """The samples of a shard, and what is wrong in it."""
    if printable(shard) != shard:
        yield Fault(printable(shard), "failed", "bad_name", "the file name is not valid Unicode", "rename it")
        return
    try:
        with open(files.open_regular(folder / shard), "rb") as file:
            yield from _Shard(shard, file).samples(tars.members(folder / shard))
    except FileNotFoundError:
        yield Fault(printable(shard), "failed", "missing", "not there", "put the file there, or name the others only")
    except OSError as error:
        yield Fault(printable(shard), "failed", "bad_shard", f"cannot be read: {error.strerror}")


@dataclass
class _Run:
    """Members that follow each other and have one key; `flaw` is why no sample comes of them."""

    key: str
    at: int
    spans: dict[str, Span] = field(default_factory=dict)
    flaw: tars.Flaw | None = None


class _Shard:
    def __init__(self, shard: str, file: BinaryIO) -> None:
        self.shard, self.file = shard, file
        self.name = shard.removesuffix(tars.ENDING)
        self.seen = Seen()

    def samples(self, found: Iterator[tars.Member | tars.Flaw]) -> Iterator[Entry | Fault]:
        run: _Run | None = None
        for one in found:
            if one.name is None:
                yield self._fault(self.shard, one)
                continue
            name = _inside(one.name)
            if name is None:
                flaw = tars.Flaw(one.at, None, "bad_name", "a name that no file in a folder can have", "rename it")
                yield self._fault(f"{self.name}/{one.name[:_LONGEST_NAME]}", flaw)
                continue
            path = PurePosixPath(name)
            stem, _, ending = path.name.partition(".")
            if any(files.is_no_data(part, part != path.name) for part in path.parts) or not (stem and ending):
                # A name without a dot could be the key of a sample.
                called = self._own(f"{self.name}/{name}" + ("" if "." in path.name else f" (byte {one.at})"), one.at)
                if isinstance(one, tars.Flaw):
                    yield Fault(called, "failed", one.reason, one.message, one.remedy)
                else:
                    yield Fault(called, "skipped", "not_an_image" if stem and not ending else "no_data")
                continue
            key = str(path.with_name(stem))
            if run is None or run.key != key:
                if run is not None:
                    yield self._settled(run)
                run = _Run(key, one.at)
            _add(run, one, ending)
        if run is not None:
            yield self._settled(run)

    def _settled(self, run: _Run) -> Entry | Fault:
        key = f"{self.name}/{run.key}"
        if not self.seen.add(key):
            flaw = tars.Flaw(run.at, None, "twice", "its key has come before in this shard", "pack each sample once")
            return self._fault(key, flaw)
        if run.flaw is not None:
            flaw = run.flaw
            message = flaw.message if flaw.name is None else f"{flaw.name}: {flaw.message}"
            return Fault(key, "failed", flaw.reason, message, flaw.remedy)
        picture = _picture_of(run.spans.values())
        if picture is None:
            return Fault(key, "skipped", "not_an_image")
        extras = tuple(span for span in run.spans.values() if span is not picture)
        if sum(extra.size for extra in extras) > MOST_EXTRA_BYTES:
            message = f"more than {MOST_EXTRA_BYTES:,} bytes beside the picture"
            return Fault(key, "failed", "bad_member", message, "pack less beside it")
        identity, label = self._who(extras)
        return Entry(key, identity, label, locator=Located(self.shard, picture, extras))

    def _who(self, spans: Iterable[Span]) -> tuple[str | None, int | None]:
        small = {span.ending.lower(): span for span in spans if span.size <= sidecars.MOST_BYTES}
        number = sidecars.number_of(_read(self.file, small["cls"])) if "cls" in small else None
        fields = sidecars.fields_of(_read(self.file, small["json"])) if "json" in small else None
        return sidecars.who(fields or {}, number=number)

    def _fault(self, key: str, flaw: tars.Flaw) -> Fault:
        return Fault(self._own(key, flaw.at), "failed", flaw.reason, flaw.message, flaw.remedy)

    def _own(self, key: str, at: int) -> str:
        """A key that no other has: with the offset if need be."""
        key = printable(key)
        while not self.seen.add(key):
            key = f"{key} (byte {at})"
        return key


def _inside(name: str) -> str | None:
    """A member's name without ``./``; None if it leads out of its folder, or no file can have it."""
    try:
        return PurePosixPath(manifest.inside(name)).as_posix() if len(name) <= _LONGEST_NAME else None
    except ValueError:
        return None


def _add(run: _Run, one: tars.Member | tars.Flaw, ending: str) -> None:
    """Take a member into a run."""
    if run.flaw is not None:
        return
    if isinstance(one, tars.Flaw):
        run.flaw = one
        return
    if ending in run.spans:
        run.flaw = tars.Flaw(one.at, one.name, "twice", "comes twice", "pack it once")
    elif len(run.spans) == MOST_MEMBERS:
        run.flaw = tars.Flaw(one.at, None, "bad_member", f"more than {MOST_MEMBERS:,} members", "pack fewer")
    else:
        run.spans[ending] = Span(ending, one.offset, one.size)


def _picture_of(spans: Iterable[Span]) -> Span | None:
    """The first by name of those with a picture's ending; ``jpg`` comes before ``seg.jpg``."""
    pictures = [span for span in spans if formats.format_of(f"x.{span.ending}") is not None]
    return min(pictures, key=lambda span: (span.ending.count("."), span.ending), default=None)


def _read(file: BinaryIO, span: Span) -> bytes:
    file.seek(span.offset)
    return file.read(span.size)
