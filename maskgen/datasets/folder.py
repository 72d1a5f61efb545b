"""A folder of pictures to read, with folders in it to any depth. The only listing of folders."""

from __future__ import annotations

import dataclasses
import heapq
import itertools
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from maskgen import files, formats, images
from maskgen.datasets.base import Entry, Fault, Sample
from maskgen.errors import ConfigError
from maskgen.parallel import chunks_of

_Identity = tuple[int, int]


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
    def listed(self) -> tuple[Entry | Fault, ...]:
        """All entries and faults, sorted by key."""
        return tuple(_with_own_keys(_walk(self)))

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
        # The stamp is taken first: what changes while it is read is read again by the next run.
        stamp = self.stamp(entry)
        return Sample(images.read_bytes(self.root / entry.key, self.max_pixels, name=entry.key), stamp=stamp)

    def stamp(self, entry: Entry) -> str | None:
        """As `Reader.stamp`: size and time of change."""
        return files.stamp_of(self.root / entry.key)

    def fingerprint(self) -> str:
        """The folder's path."""
        return str(self.root)


def identity_of(key: str) -> str | None:
    """The first folder on the way to a picture; None if it lies in no folder."""
    first, slash, _ = key.partition("/")
    return first if slash else None


def _walk(reader: FolderReader) -> Iterator[Entry | Fault]:
    """All entries and faults, in any order; each folder once, whatever links lead to it.

    Folders come before the links to them, and links in the order of their keys, so that it does not depend on the file
    system's order which of them a folder is listed under.
    """
    avoided = _identity(reader.avoid) if reader.avoid is not None and reader.avoid.exists() else None
    seen: dict[_Identity, str] = {}
    links = [("", reader.root)]
    while links:
        link = heapq.heappop(links)
        is_avoided = reader.avoid is not None and link[1].resolve().is_relative_to(reader.avoid)
        # A stack of our own: folders may lie deeper in each other than Python calls functions.
        stack = [link]
        while stack:
            prefix, folder = stack.pop()
            try:
                identity = _identity(folder)
                if is_avoided or identity == avoided:
                    raise ConfigError(
                        f"{folder}: leads to the output folder {reader.avoid}", "choose another output folder"
                    )
                first = seen.setdefault(identity, prefix)
                if first != prefix:
                    yield _seen_before(prefix, first)
                    continue
                with os.scandir(folder) as entries:
                    found = list(entries)
            except OSError as error:
                message = f"cannot be listed: {error.strerror}"
                yield Fault(printable(prefix or "."), "failed", "unreadable_folder", message)
                continue
            for entry in found:
                key = f"{prefix}/{entry.name}" if prefix else entry.name
                is_folder = _is(entry.is_dir)
                if not is_folder or files.is_no_data(entry.name, is_folder):
                    yield _entry_or_fault(entry, key, is_folder)
                elif reader.is_deep and entry.is_symlink():
                    heapq.heappush(links, (key, Path(entry.path)))
                elif reader.is_deep:
                    stack.append((key, Path(entry.path)))


def _identity(folder: Path) -> _Identity:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _seen_before(key: str, first: str) -> Fault:
    if not first or key.startswith(f"{first}/"):
        return Fault(printable(key), "skipped", "folder_loop", "a link to a folder that holds it")
    return Fault(printable(key), "skipped", "folder_twice", f"the same folder as {printable(first)}")


def _entry_or_fault(entry: os.DirEntry[str], key: str, is_folder: bool) -> Entry | Fault:
    if files.is_no_data(entry.name, is_folder):
        return Fault(printable(key), "skipped", "no_data")
    if printable(key) != key:
        return Fault(printable(key), "failed", "bad_name", "the file name is not valid Unicode", "rename it")
    # Neither file nor link is a pipe or a device: reading it could wait for ever. A link counts as a picture even if it
    # leads nowhere: reading it will say what is wrong.
    if not (entry.is_symlink() or _is(entry.is_file)) or formats.format_of(entry.name) is None:
        return Fault(key, "skipped", "not_an_image")
    return Entry(key, identity_of(key))


def _with_own_keys(found: Iterable[Entry | Fault]) -> Iterator[Entry | Fault]:
    """The same in the order of their keys; escaped names that come to another one's key get a number."""
    in_order = sorted(found, key=lambda one: (one.key, isinstance(one, Fault) and one.reason == "bad_name"))
    keys = {one.key for one in in_order}
    last = None
    for one in in_order:
        if one.key == last:
            number = next(n for n in itertools.count(2) if f"{one.key} ({n})" not in keys)
            one = dataclasses.replace(one, key=f"{one.key} ({number})")
            keys.add(one.key)
        else:
            last = one.key
        yield one


def _is(what: Callable[[], bool]) -> bool:
    """The answer about a directory entry; no where the file system refuses to tell."""
    try:
        return what()
    except OSError:
        return False


def printable(path: str) -> str:
    """A path with what is no Unicode in it escaped."""
    return path.encode("utf-8", "backslashreplace").decode()
