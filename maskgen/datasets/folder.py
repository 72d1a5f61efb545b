"""A folder of pictures to read, with folders in it to any depth. The only listing of folders."""

from __future__ import annotations

import heapq
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final, Literal, NamedTuple

from maskgen import files, formats, images
from maskgen.datasets.base import Entry, Fault, Sample
from maskgen.errors import ConfigError
from maskgen.parallel import chunks_of

_Identity = tuple[int, int]
_FAULTS: Final[dict[str, tuple[Literal["skipped", "failed"], str, str, str]]] = {
    "b": ("failed", "bad_name", "the file name is not valid Unicode", "rename it"),
    "i": ("skipped", "not_an_image", "", ""),
    "n": ("skipped", "no_data", "", ""),
}
"""Letter in a listing -> status, reason, message and remedy."""


@dataclass(frozen=True)
class FolderReader:
    """The pictures under a folder; those in linked folders too. A folder that links reach twice is listed once.

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
    def _listing(self) -> _Listing:
        return _listing_of(self)

    @property
    def listed(self) -> Iterator[Entry | Fault]:
        """All entries and faults, sorted by key. The folder is listed once, and what comes later is not seen."""
        return self._listing.found()

    def __getstate__(self) -> dict[str, object]:
        # A worker reads what it is handed; it needs no list.
        return {"root": self.root, "avoid": self.avoid, "is_deep": self.is_deep, "max_pixels": self.max_pixels}

    def chunks(self, size: int) -> Iterator[Sequence[Entry | Fault]]:
        """As `Reader.chunks`."""
        return chunks_of(self.listed, size)

    def count(self) -> int:
        """As `Reader.count`."""
        return self._listing.number

    def read(self, entry: Entry) -> Sample:
        """As `Reader.read`."""
        # The stamp is taken first: what changes while it is read is read again by the next run.
        stamp = self.stamp(entry)
        return Sample(images.read_bytes(self.root / entry.key, self.max_pixels, name=entry.key), stamp=stamp)

    def stamp(self, entry: Entry) -> str | None:
        """As `Reader.stamp`: size and time of change."""
        # Not of pathlib, which takes longer than the system does.
        return files.stamp_of(os.path.join(self.root, entry.key))

    def container(self) -> None:
        """As `Reader.container`: each picture is a file of its own."""

    def fingerprint(self) -> str:
        """The folder's path."""
        return str(self.root)


def identity_of(key: str) -> str | None:
    """The first folder on the way to a picture; None if it lies in no folder."""
    first, slash, _ = key.partition("/")
    return first if slash else None


@dataclass
class _Listing:
    """What lies under a folder, at a few bytes more than the names, because there may be millions.

    Attributes
    ----------
    folders : dict
        Key of a folder -> the names in it, in the order of the keys that they come to, and with ``\0`` between them. A
        slash marks a folder, and a slash with one of `_FAULTS` something else that is no picture.
    faults : dict
        Key of a folder that is not looked into -> why.
    number : int
        Of entries and faults.
    """

    folders: dict[str, str] = field(default_factory=dict)
    faults: dict[str, Fault] = field(default_factory=dict)
    number: int = 0

    def add(self, key: str, names: list[str]) -> None:
        """Add a folder, and how its content is called."""
        self.number += sum(not name.endswith("/") for name in names)
        names.sort(key=_sort_key)
        self.folders[key] = "\0".join(names)

    def refuse(self, key: str, fault: Fault) -> None:
        """Add a folder that is not looked into."""
        self.number += 1
        self.faults[key] = fault

    def found(self) -> Iterator[Entry | Fault]:
        """All entries and faults."""
        if "" in self.faults:
            yield self.faults[""]
            return
        stack = [("", self._names(""))]
        while stack:
            folder, names = stack[-1]
            for name in names:
                base, slash, code = name.partition("/")
                key = f"{folder}/{base}" if folder else base
                if not slash:
                    yield Entry(key, identity_of(key))
                elif code:
                    yield Fault(key, *_FAULTS[code])
                elif key in self.faults:
                    yield self.faults[key]
                else:
                    stack.append((key, self._names(key)))
                    break
            else:
                stack.pop()

    def _names(self, key: str) -> Iterator[str]:
        names = self.folders[key]
        return iter(names.split("\0")) if names else iter(())


def _sort_key(name: str) -> str:
    return name[:-2] if name[-2:-1] == "/" else name


def _listing_of(reader: FolderReader) -> _Listing:
    """All under a folder; each folder once, whatever links lead to it.

    Folders come before the links to them, and links in the order of their keys, so that it does not depend on the file
    system's order which of them a folder is listed under.
    """
    avoided = _identity(reader.avoid) if reader.avoid is not None and reader.avoid.exists() else None
    seen: dict[_Identity, str] = {}
    listing = _Listing()
    links = [("", reader.root, False)]
    while links:
        link = heapq.heappop(links)
        is_avoided = reader.avoid is not None and link[1].resolve().is_relative_to(reader.avoid)
        # A stack of our own: folders may lie deeper in each other than Python calls functions.
        stack = [link]
        while stack:
            key, folder, is_bad = stack.pop()
            try:
                identity = _identity(folder)
                if is_avoided or identity == avoided:
                    raise ConfigError(
                        f"{folder}: leads to the output folder {reader.avoid}", "choose another output folder"
                    )
                first = seen.setdefault(identity, key)
                if first != key:
                    listing.refuse(key, _seen_before(key, first))
                    continue
                names, below = _content(folder, is_bad, reader.is_deep)
            except OSError as error:
                message = f"cannot be listed: {error.strerror}"
                listing.refuse(key, Fault(key or ".", "failed", "unreadable_folder", message))
                continue
            listing.add(key, names)
            for name, path, is_link, is_below_bad in below:
                one = (f"{key}/{name}" if key else name, path, is_below_bad)
                if is_link:
                    heapq.heappush(links, one)
                else:
                    stack.append(one)
    return listing


class _Below(NamedTuple):
    """A folder in a folder: what it is called in keys, where it is, and whether its path is no valid Unicode."""

    name: str
    path: Path
    is_link: bool
    is_bad: bool


def _content(folder: Path, is_bad: bool, is_deep: bool) -> tuple[list[str], list[_Below]]:
    """The names in a folder as `_Listing` has them, and the folders in it.

    Parameters
    ----------
    is_bad : bool
        Whether the folder's own path is no valid Unicode.
    is_deep : bool
        Whether folders in it count.
    """
    names: list[str] = []
    below: list[_Below] = []
    badly_named: list[tuple[str, str, str, bool]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            code = _code_of(entry, is_bad)
            if code == "/" and not is_deep:
                continue
            if printable(entry.name) != entry.name:
                badly_named.append((printable(entry.name), code, entry.path, code == "/" and entry.is_symlink()))
                continue
            names.append(entry.name + code)
            if code == "/":
                below.append(_Below(entry.name, Path(entry.path), entry.is_symlink(), is_bad))
    if badly_named:
        # Escaped, a name may be another's, and gets a number.
        taken = {name.partition("/")[0] for name in names}
        for shown, code, path, is_link in sorted(badly_named):
            numbered = (f"{shown} ({number})" for number in itertools.count(2))
            name = next(name for name in itertools.chain([shown], numbered) if name not in taken)
            taken.add(name)
            names.append(name + code)
            if code == "/":
                below.append(_Below(name, Path(path), is_link, True))
    return names, below


def _code_of(entry: os.DirEntry[str], is_bad: bool) -> str:
    """What follows a name in `_Listing.folders`."""
    is_folder = _is(entry.is_dir)
    if files.is_no_data(entry.name, is_folder):
        return "/n"
    if is_folder:
        return "/"
    if is_bad or printable(entry.name) != entry.name:
        return "/b"
    # Neither file nor link is a pipe or a device: reading it could wait for ever. A link counts as a picture even if it
    # leads nowhere: reading it will say what is wrong.
    if formats.format_of(entry.name) is None or not (entry.is_symlink() or _is(entry.is_file)):
        return "/i"
    return ""


def _identity(folder: Path) -> _Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _seen_before(key: str, first: str) -> Fault:
    if not first or key.startswith(f"{first}/"):
        return Fault(key, "skipped", "folder_loop", "a link to a folder that holds it")
    return Fault(key, "skipped", "folder_twice", f"the same folder as {first}")


def _is(what: Callable[[], bool]) -> bool:
    """The answer about a directory entry; no where the file system refuses to tell."""
    try:
        return what()
    except OSError:
        return False


def printable(path: str) -> str:
    """A path with what is no Unicode in it escaped."""
    return path.encode("utf-8", "backslashreplace").decode()
