"""Files that appear whole or not at all, locks, logs of JSON lines, and which names hold no data."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final

from maskgen.errors import ImageError, MaskgenError

_TEMPORARY: Final = ".maskgen-{}.tmp"
_IS_TEMPORARY: Final = re.compile(r"\.maskgen-[0-9a-f]{32}\.tmp")
# What operating systems and tools leave beside data: resource forks of macOS, its index of a zip, thumbnails of
# Synology and of Windows, checkpoints of Jupyter.
_NO_DATA: Final = frozenset({"__macosx", "@eadir", "thumbs.db", "desktop.ini", ".ds_store"})


def is_no_data(name: str, is_folder: bool) -> bool:
    """Whether a file or folder of this name is left by some program beside data, and holds none itself.

    Examples
    --------
    >>> is_no_data("._1.jpg", False), is_no_data(".ipynb_checkpoints", True), is_no_data("1.jpg", False)
    (True, True, False)
    """
    return name.lower() in _NO_DATA or name.startswith("._") or (is_folder and name.startswith("."))


def write_whole(path: Path, data: bytes) -> None:
    """Make a file appear with all its bytes, or not at all; folders are made as needed.

    Raises
    ------
    ImageError
        If this name cannot be written because it is too long.
    MaskgenError
        If nothing can be written there: no space, no permission.
    """
    temporary = path.with_name(temporary_name())
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # In the same folder, or the rename could cross a file system and would not be atomic.
            temporary.write_bytes(data)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ImageError(f"{path}: cannot be written: {error.strerror}", "shorten the name") from error
        raise MaskgenError(
            f"{path}: cannot be written: {error.strerror}", "see to it, then run the same again"
        ) from error


def temporary_name() -> str:
    """A file name that no other process uses, and that `leftovers` recognises."""
    return _TEMPORARY.format(uuid.uuid4().hex)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `temporary_name` gives."""
    return _IS_TEMPORARY.fullmatch(name) is not None


def leftovers(folder: Path) -> Iterator[Path]:
    """The temporary files that a killed process left under a folder."""
    for parent, _, names in os.walk(folder):
        for name in names:
            if is_temporary(name):
                yield Path(parent, name)


class LockedError(MaskgenError):
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock as long as the context lasts; the operating system frees that of a process that dies.

    Parameters
    ----------
    path : Path
        The lock's file, which stays; its folder is made.

    Raises
    ------
    LockedError
        If another process holds it. Nobody waits.
    MaskgenError
        If the file cannot be made.
    """
    # Imported late: it brings asyncio, and only those who write need a lock.
    from filelock import FileLock, SoftFileLock, Timeout

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock: FileLock | SoftFileLock = FileLock(path, timeout=0)
        try:
            lock.acquire()
        except NotImplementedError:  # a file system without locks
            lock = SoftFileLock(path, timeout=0)
            lock.acquire()
    except Timeout as error:
        raise LockedError(f"{path.parent}: another process is writing there", "wait for it to end") from error
    except OSError as error:
        raise MaskgenError(f"{path.parent}: cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()


class Log:
    """A file of lines, each of them whole in the file before the next is taken.

    Parameters
    ----------
    path : Path
        A torn last line, which a killed process leaves, is cut off first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Log:
        _cut_torn_line(self._path)
        self._file = self._path.open("ab")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()

    def append(self, line: str) -> None:
        """Add a line."""
        assert self._file is not None
        self._file.write(line.encode() + b"\n")
        self._file.flush()


def lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """(offset, line without its end) of a `Log`; a last line that is torn is passed over.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as file:
        offset = 0
        for line in file:
            if not line.endswith(b"\n"):
                return
            yield offset, line[:-1]
            offset += len(line)


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = end = file.seek(0, 2)
        while end > 0:
            start = max(end - 4096, 0)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)
