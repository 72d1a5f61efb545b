"""What lies where in a tar file, also in one that is damaged or made to harm. Nothing is ever unpacked."""

from __future__ import annotations

import os
import struct
import tarfile
import threading
import weakref
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

from maskgen import files
from maskgen.plural import counted, noun

ENDING: Final = ".tar"
MOST_HEADER_BYTES: Final = 2**16
"""What may stand before the data of one member, long names included; an honest one needs a few hundred bytes."""
_BLOCK: Final = tarfile.BLOCKSIZE
_NO_BLOCK: Final = bytes(_BLOCK)
_MAGIC: Final = slice(257, 262)
_COMPRESSED: Final = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\0": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
# What `tarfile` raises about headers that are not what they say they are.
_MALFORMED: Final = (
    tarfile.TarError,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    AttributeError,
    OverflowError,
    RecursionError,
    struct.error,
)
_RESTORE: Final = "restore the file from its source"


class Member(NamedTuple):
    """A file in a tar: its name as it stands there, and where its bytes are."""

    name: str
    offset: int
    size: int
    at: int
    """Where its header is."""


class Flaw(NamedTuple):
    """A place in a tar at which there is no member that can be used.

    Attributes
    ----------
    at : int
        Offset, bytes.
    name : str or None
        Of the member, if that is known.
    reason, message, remedy : str
        As those of `Fault`.
    """

    at: int
    name: str | None
    reason: str
    message: str
    remedy: str


def members(path: Path) -> Iterator[Member | Flaw]:
    """The files in a tar, in its order, and what is wrong in it; folders are passed over.

    Only headers are read, and memory does not grow with the file. After a damaged header the next one that is whole is
    looked for.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with open(files.open_regular(path), "rb") as file:
        yield from _Walk(file).members()


class Opened:
    """A tar to read members from, also from several threads; it is closed when nobody has it any more.

    Parameters
    ----------
    path : Path
        A regular file, or a link to one.

    Raises
    ------
    OSError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = files.open_regular(path)
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, self._descriptor).atexit = False

    def read(self, offset: int, size: int) -> bytes:
        """The bytes at an offset; fewer only where the file ends."""
        found = b""
        while len(found) < size and (more := self._read_once(offset + len(found), size - len(found))):
            found += more
        return found

    def _read_once(self, offset: int, size: int) -> bytes:
        # Threads, and processes that were forked off, share the place in the file at which it is read.
        if hasattr(os, "pread"):
            return os.pread(self._descriptor, size, offset)
        with self._lock:  # Windows
            os.lseek(self._descriptor, offset, os.SEEK_SET)
            return os.read(self._descriptor, size)


# More than a process reads from at a time; the system counts each as an open file.
@lru_cache(maxsize=64)
def opened(path: Path, stamp: str | None) -> Opened:
    """The tar at a path; opened once per process, and again once its stamp is another.

    Raises
    ------
    OSError
        If it cannot be read.
    """
    return Opened(path)


class _Headers:
    """A file for `tarfile` to read headers from: it may read only so much, whatever a header claims."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.left = MOST_HEADER_BYTES

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self.left:
            raise ValueError(f"headers of more than {MOST_HEADER_BYTES:,} bytes")
        self.left -= size
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        return self._file.seek(offset)

    def tell(self) -> int:
        return self._file.tell()


class _Walk:
    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.size = os.fstat(file.fileno()).st_size
        self.headers = _Headers(file)
        # Nothing is written: in this mode a TarFile reads nothing by itself, and so ends nothing early without a word.
        self.tar = tarfile.TarFile(fileobj=_as_file(self.headers), mode="w", encoding="utf-8", errors="surrogateescape")

    def members(self) -> Iterator[Member | Flaw]:
        beginning = self.file.read(6)
        for mark, name in _COMPRESSED.items():
            if beginning.startswith(mark):
                yield Flaw(0, None, "bad_shard", f"compressed with {name}", "decompress it")
                return
        at: int | None = 0
        while at is not None:
            self.file.seek(at)
            block = self.file.read(_BLOCK)
            if block == _NO_BLOCK:
                return
            if len(block) < _BLOCK:
                yield Flaw(at, None, "bad_shard", "cut short: it does not end as a tar does", _RESTORE)
                return
            found, after = self._member(at)
            if found is not None:
                yield found
            # What was read as headers is not looked at again, or a chain of them would take a square of its length.
            at = self._next_header(max(at + _BLOCK, self.file.tell())) if after is None else after

    def _member(self, at: int) -> tuple[Member | Flaw | None, int | None]:
        """What begins at an offset, and where the next header is; None where that must be looked for."""
        self.headers.left = MOST_HEADER_BYTES
        # Global headers would apply to all that follow, and fill the memory.
        self.tar.pax_headers = {}
        self.file.seek(at)
        try:
            info = tarfile.TarInfo.fromtarfile(self.tar)
        except _MALFORMED as error:
            said = " ".join(str(error).split())[:80] or type(error).__name__
            return Flaw(at, None, "bad_shard", f"damaged header: {said}", _RESTORE), None
        name, start, size = info.name, info.offset_data, info.size
        self.file.seek(max(start, at))
        if not at < start or size < 0 or start + size > self.size:
            missing = start + size - self.size
            said = f"claims {counted(size, 'byte')}"
            if missing > 0 and size >= 0:
                said = f"cut short: {missing:,} {noun(missing, 'byte')} missing"
            return Flaw(at, name, "bad_shard", said, _RESTORE), None
        after = start + -(-size // _BLOCK) * _BLOCK
        if info.isdir():
            return None, after
        if info.issparse():
            return Flaw(at, name, "bad_member", "a sparse file", "pack the file with all its bytes"), None
        if not info.isreg():
            kind = "link" if info.issym() or info.islnk() else "device, a pipe or something unknown"
            return Flaw(at, name, "bad_member", f"a {kind}, not a file", "pack the file itself"), after
        return Member(name, start, size, at), after

    def _next_header(self, at: int) -> int | None:
        """The offset of the next whole header; None if there is none."""
        while True:
            self.file.seek(at)
            block = self.file.read(_BLOCK)
            if len(block) < _BLOCK:
                return None
            if block[_MAGIC] == b"ustar" and _is_header(block):
                return at
            at += _BLOCK


def _is_header(block: bytes) -> bool:
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except _MALFORMED:
        return False
    return True


def _as_file(headers: _Headers) -> Any:
    return headers
