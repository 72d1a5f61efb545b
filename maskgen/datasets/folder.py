"""A folder of pictures, with folders in it to any depth. The only listing of folders."""

from __future__ import annotations

import contextlib
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from maskgen import files, formats, images
from maskgen.datasets.base import Entry, Fault, Meta, Sample
from maskgen.errors import ConfigError, ImageError
from maskgen.manifest import Row
from maskgen.parallel import chunks_of

_Identity = tuple[int, int]


@dataclass(frozen=True)
class FolderReader:
    """The pictures under a folder; those in linked folders too.

    A picture's key is its relative path. The first folder on the way to it is its identity.

    Parameters
    ----------
    root : Path
        The folder.
    avoid : Path, optional
        A folder that no link may lead to, because it is written to.
    is_deep : bool
        Whether folders in the folder are listed too.
    max_pixels : int, optional
        Files larger than any picture of so many pixels are not read.

    Raises
    ------
    ConfigError
        While listing, if a link leads to `avoid`.
    """

    root: Path
    avoid: Path | None = None
    is_deep: bool = True
    max_pixels: int | None = None

    @cached_property
    def listed(self) -> tuple[Entry | Fault, ...]:
        """All entries and faults, sorted by key."""
        return tuple(sorted(_walk(self), key=lambda found: found.key))

    def __getstate__(self) -> dict[str, object]:
        # A worker reads what it is handed; it needs no list.
        return {"root": self.root, "avoid": self.avoid, "is_deep": self.is_deep, "max_pixels": self.max_pixels}

    def chunks(self, size: int) -> Iterator[Sequence[Entry | Fault]]:
        """As `Reader.chunks`."""
        return chunks_of(self.listed, size)

    def count(self) -> int:
        """As `Reader.count`."""
        return len(self.listed)

    def read(self, entry: Entry) -> Sample:
        """As `Reader.read`."""
        return Sample(images.read_bytes(self.root / entry.key, self.max_pixels, name=entry.key))

    def fingerprint(self) -> str:
        """The folder's path."""
        return str(self.root)


def identity_of(key: str) -> str | None:
    """The first folder on the way to a picture; None if it lies in no folder."""
    first, slash, _ = key.partition("/")
    return first if slash else None


def _walk(reader: FolderReader) -> Iterator[Entry | Fault]:
    # A stack of our own: folders may lie deeper in each other than Python calls functions.
    stack: list[tuple[Path, str, frozenset[_Identity]]] = [(reader.root, "", frozenset())]
    while stack:
        folder, prefix, above = stack.pop()
        try:
            status = folder.stat()
            identity = status.st_dev, status.st_ino
            if reader.avoid is not None and folder.resolve().is_relative_to(reader.avoid):
                raise ConfigError(
                    f"{folder}: leads to the output folder {reader.avoid}", "choose another output folder"
                )
            if identity in above:
                yield Fault(printable(prefix), "skipped", "folder_loop", "a link to a folder that holds it")
                continue
            entries = list(os.scandir(folder))
        except OSError as error:
            message = f"cannot be listed: {error.strerror}"
            yield Fault(printable(prefix or "."), "failed", "unreadable_folder", message)
            continue
        for entry in entries:
            key = f"{prefix}/{entry.name}" if prefix else entry.name
            is_folder = _is(entry.is_dir)
            if files.is_no_data(entry.name, is_folder):
                yield Fault(printable(key), "skipped", "no_data")
            elif is_folder and reader.is_deep:
                stack.append((Path(entry.path), key, above | {identity}))
            elif is_folder:
                continue
            elif printable(key) != key:
                yield Fault(printable(key), "failed", "bad_name", "the file name is not valid Unicode", "rename it")
            elif not (entry.is_symlink() or _is(entry.is_file)) or formats.format_of(entry.name) is None:
                # Neither file nor link is a pipe or a device: reading it could wait for ever. A link that leads nowhere
                # counts as a picture: reading it will say what is wrong.
                yield Fault(key, "skipped", "not_an_image")
            else:
                yield Entry(key, identity_of(key))


def _is(what: Callable[[], bool]) -> bool:
    """The answer about a directory entry; no where the file system refuses to tell."""
    try:
        return what()
    except OSError:
        return False


def printable(path: str) -> str:
    """A path with what is no Unicode in it escaped."""
    return path.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True)
class FolderWriter:
    """Writes the same tree of pictures to another folder.

    The input's own name if it is the only picture that comes of it; else ``name_m1.jpg``, ``name_m2.jpg``, ..., beside
    each other and beside the copy of the original, so that a folder per identity stays one.

    Parameters
    ----------
    root : Path
        The folder, resolved.
    variants : int
        Masked pictures per input.
    originals, copy_skipped : bool
        Whether originals are copied beside masked pictures, or where there are none.
    """

    root: Path
    variants: int = 1
    originals: bool = False
    copy_skipped: bool = False

    def check(self, settings: Any) -> None:
        """As `Writer.check`: a folder holds whatever there is."""
        if self.root.exists() and not self.root.is_dir():
            raise ConfigError(f"{self.root}: not a folder", "the output must be a new or empty folder")

    def places(self, key: str) -> list[str]:
        """Where the masked pictures of an input go, relative to the folder."""
        if self.variants == 1 and not self.originals:
            return [key]
        stem, suffix = os.path.splitext(key)
        return [f"{stem}_m{number}{suffix}" for number in range(1, self.variants + 1)]

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[FolderWriter]:
        """As `Writer.part`: files appear one by one, each whole, so a part is the folder itself."""
        yield self

    def put(self, sample: Sample, meta: Meta) -> str:
        """As `PartWriter.put`."""
        place = meta.entry.key if meta.variant is None else self.places(meta.entry.key)[meta.variant - 1]
        path = self.root / place
        # On resume a folder of the output may have become a link to anywhere, the input included.
        if not path.parent.resolve().is_relative_to(self.root):
            raise ConfigError(f"{path.parent}: a link that leads out of the output folder", "remove it")
        try:
            files.write_whole(path, sample.raw)
        except ImageError as error:
            # The manifest must not depend on where the folder lies.
            raise ImageError(error.fault.replace(f"{self.root}{os.sep}", "", 1), error.remedy) from error
        return place

    def is_intact(self, row: Row) -> bool:
        """As `Writer.is_intact`."""
        return all((self.root / place).exists() for place in row.places)

    def finish(self, rows: Iterable[Row]) -> None:
        """As `Writer.finish`: nothing is left to do."""

    def in_the_way(self, keys: Iterable[str]) -> Iterator[str]:
        """As `Writer.in_the_way`."""
        for key in keys:
            yield from (place for place in {key, *self.places(key)} if os.path.lexists(self.root / place))

    def discard(self, rows: Iterable[Row]) -> None:
        """As `Writer.discard`; folders that are left empty go too."""
        for row in rows:
            for place in row.places:
                self._delete(place)

    def clashes(self, keys: Sequence[str], settled: frozenset[str]) -> list[Fault]:
        """As `Writer.clashes`."""
        ignores_case = ignores_case_of(self.root)
        if not ignores_case and self.places("a.jpg") == ["a.jpg"]:
            return []
        fold = _folded if ignores_case else str
        keeps_names = self.originals or self.copy_skipped
        owners: dict[str, str] = {}
        clashes = {}
        # Inputs keep their own names first; what stands from a former run keeps its place.
        order = sorted(keys, key=lambda key: (key not in settled, key))
        for places_of in (lambda key: [key] if keeps_names else [], self.places):
            for key in order:
                for place in places_of(key):
                    owner = owners.setdefault(fold(place), key)
                    if owner != key:
                        message = f"{place} would overwrite what comes of {owner}"
                        clashes[key] = Fault(key, "failed", "name_clash", message, "rename one of the two")
        return list(clashes.values())

    def _delete(self, place: str) -> None:
        path = self.root / place
        if not path.parent.resolve().is_relative_to(self.root):
            return
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:  # not empty
                break


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def ignores_case_of(folder: Path) -> bool:
    """Whether a file system takes names that differ in case only for the same, as on macOS and Windows."""
    for existing in (folder, *folder.parents):
        other = existing.with_name(existing.name.swapcase()) if existing.name else existing
        if existing.exists() and other != existing:
            return other.exists() and other.samefile(existing)
    return False
