"""Files that appear whole or not at all, locks, and which names hold no data."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
import stat
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal

from maskgen.errors import ImageError, MaskgenError, PlaceTakenError

Existing = Literal["refuse", "overwrite"]
"""What to do if a file that is to be written is there already."""

LOCK_FILE: Final = ".maskgen.lock"
"""In a folder that one process at a time writes to."""
_TEMPORARY: Final = ".maskgen-{}.tmp"
_IS_TEMPORARY: Final = re.compile(r"\.maskgen-[0-9a-f]{32}\.tmp")
# What a file system says that knows no hard links.
_NO_LINKS: Final = frozenset({errno.EPERM, errno.EMLINK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL})
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
    """Make a file appear with all its bytes, or not at all, in the place of what was there; folders are made as needed.

    Raises
    ------
    ImageError
        If this name cannot be written because it is too long.
    MaskgenError
        If nothing can be written there: no space, no permission.
    """
    with replaced(path) as file:
        file.write(data)


@contextlib.contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """A file to write, which takes the place of what is at a path when the context ends without an exception.

    Raises
    ------
    ImageError, MaskgenError
        As `write_whole`.
    """
    with named_faults(path), _temporary(path) as temporary:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            # Or a power cut could leave the new name with none of the new bytes.
            os.fsync(file.fileno())
        os.replace(temporary, path)


def write_new(path: Path, data: bytes, announce: Callable[[str], None]) -> bool:
    """Make a file appear with all its bytes, or not at all, where there is none yet; folders are made as needed.

    Parameters
    ----------
    path : Path
        Where; a file with the same bytes may be there, and stays.
    data : bytes
        What.
    announce : callable
        Is told the file's stamp, see `stamp_of`, before the file appears under its name.

    Returns
    -------
    bool
        Whether there was none.

    Raises
    ------
    PlaceTakenError
        If something else is there.
    ImageError, MaskgenError
        As `write_whole`.
    """
    with named_faults(path), _temporary(path) as temporary:
        temporary.write_bytes(data)
        stamp = stamp_of(temporary)
        assert stamp is not None
        announce(stamp)
        try:
            _rename_to_new(temporary, path)
            return True
        except FileExistsError:
            if _holds(path, data):
                return False
            raise PlaceTakenError(
                f"{path}: in the way, and no run of maskgen wrote it", "move it, then use {retry_failed}"
            ) from None


def refuse_existing(path: Path, existing: Existing) -> None:
    """Make sure that a file that a user named may be written.

    Raises
    ------
    MaskgenError
        If it is there, and is not to be overwritten.
    """
    if existing == "refuse" and os.path.lexists(path):
        raise MaskgenError(f"{path}: is there already", "choose another name or use {existing=overwrite}")


def write_output(path: Path, data: bytes, existing: Existing) -> None:
    """Make a file that a user named appear whole.

    Raises
    ------
    ImageError, MaskgenError
        As `refuse_existing` and `write_whole`.
    """
    refuse_existing(path, existing)
    if existing == "overwrite":
        write_whole(path, data)
        return
    with named_faults(path), _temporary(path) as temporary:
        temporary.write_bytes(data)
        try:
            _rename_to_new(temporary, path)
        except FileExistsError:
            refuse_existing(path, existing)
            raise


def _rename_to_new(source: Path, target: Path) -> None:
    if os.name == "nt":
        source.rename(target)  # never replaces a file there
        return
    try:
        os.link(source, target)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        if os.path.lexists(target):
            raise FileExistsError from None
        source.rename(target)


def _holds(path: Path, data: bytes) -> bool:
    try:
        return not path.is_symlink() and path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


@contextlib.contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """A name beside a file, or the rename could cross a file system and would not be atomic."""
    make_folder(path.parent)
    temporary = path.with_name(temporary_name())
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Turn what the system says about writing to a path into an error of ours."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise ImageError(f"{path}: cannot be written: {error.strerror}", "shorten the name") from error
        raise MaskgenError(
            f"{path}: cannot be written: {error.strerror}", "see to it, then run the same again"
        ) from error


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The bytes of a regular file, or of one that a link leads to. A pipe is not waited for.

    Raises
    ------
    OSError
        If it cannot be read, is no regular file or holds more than `max_bytes`; ``strerror`` says which.
    """
    with open(open_regular(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size > max_bytes:
            raise OSError(errno.EFBIG, f"{size:,} bytes, more than {max_bytes:,}", str(path))
        # A file that grows meanwhile is not followed.
        return file.read(size)


def open_regular(path: Path) -> int:
    """A descriptor of a regular file, to read from; raises as `read_regular`."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return descriptor


def make_folder(path: Path) -> None:
    """Make a folder and those it lies in, however many; `Path.mkdir` calls itself once a folder."""
    if os.path.isdir(path):
        return
    missing = list(itertools.takewhile(lambda folder: not folder.is_dir(), (path, *path.parents)))
    for folder in reversed(missing):
        folder.mkdir(exist_ok=True)


def stamp_of(path: Path | str) -> str | None:
    """Size and time of change of a file, in one word; None if there is no file."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    return stamp(status) if stat.S_ISREG(status.st_mode) else None


def stamp(status: os.stat_result) -> str:
    """Size and time of change of a file whose status is known."""
    return f"{status.st_size}-{status.st_mtime_ns}"


def temporary_name() -> str:
    """A file name that no other process uses, and that `leftovers` recognises."""
    return _TEMPORARY.format(uuid.uuid4().hex)


def is_temporary(name: str) -> bool:
    """Whether a file name is one that `temporary_name` gives."""
    return _IS_TEMPORARY.fullmatch(name) is not None


def leftovers(folder: Path) -> Iterator[Path]:
    """The temporary files that a killed process left under a folder; links are not followed."""
    # A stack of our own: folders may lie deeper in each other than Python calls functions.
    stack = [folder]
    while stack:
        with contextlib.suppress(OSError), os.scandir(stack.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    stack.append(Path(entry.path))
                elif is_temporary(entry.name):
                    yield Path(entry.path)


class LockedError(MaskgenError):
    """Another process holds a lock."""


@contextlib.contextmanager
def locked(path: Path, patience_seconds: float = 0) -> Iterator[None]:
    """Hold a lock as long as the context lasts; the operating system frees that of a process that dies.

    Parameters
    ----------
    path : Path
        The lock's file, which stays; its folder is made.
    patience_seconds : float
        How long to wait while another process holds it.

    Raises
    ------
    LockedError
        If another process holds it.
    MaskgenError
        If the file cannot be made.
    """
    # Imported late: it brings asyncio, and only those who write need a lock.
    from filelock import FileLock, SoftFileLock, Timeout

    try:
        make_folder(path.parent)
        lock: FileLock | SoftFileLock = FileLock(path, timeout=patience_seconds)
        try:
            lock.acquire()
        except NotImplementedError:  # a file system without locks
            lock = SoftFileLock(path, timeout=patience_seconds)
            lock.acquire()
    except Timeout as error:
        raise LockedError(f"{path.parent}: another process is writing there", "wait for it to end") from error
    except OSError as error:
        raise MaskgenError(f"{path.parent}: cannot be written: {error.strerror}") from error
    try:
        yield
    finally:
        lock.release()
