"""What is made of a catalog's pictures, kept in files that are mapped into memory.

Processes that use one catalog so share its textures, and each is decoded once. The files lie in ``maskgen/textures`` in
the place for a user's caches; whoever needs one that is not there makes it. Where nothing can be written, each process
keeps its own.

Format: ``magic | CRC-32 of what follows | number of arrays | rows, columns of each | bytes of each``, little endian.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import mmap
import os
import struct
import zlib
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

import maskgen
from maskgen import files
from maskgen.arrays import Image
from maskgen.errors import MaskgenError

_CHANNELS: Final = 4
_MAGIC: Final = b"maskgen1"
_HEAD: Final = struct.Struct("<8sII")
_SIZE: Final = struct.Struct("<II")
_MOST_BYTES: Final = 2**30
"""Of all files together; those of the bundled catalog have less than half."""
# From this size on, and else at one new file of so many, it is looked how much there is.
_LARGE: Final = 2**22
_ONE_OF: Final = 32


def cache_dir() -> Path:
    """Where the files lie; it need not exist.

    ``maskgen/textures`` in the place for a user's caches: ``$XDG_CACHE_HOME`` or ``~/.cache``, ``~/Library/Caches`` on
    macOS, ``%LOCALAPPDATA%`` on Windows.
    """
    # Imported late: a catalog is listed without it.
    import platformdirs

    return platformdirs.user_cache_path("maskgen", appauthor=False, opinion=False) / "textures"


def shared(picture: Path, what: str, make: Callable[[], Sequence[Image]]) -> Sequence[Image]:
    """Arrays that processes share, or where nothing can be written, this process's own.

    Parameters
    ----------
    picture : Path
        What they are made of; they are made anew if the file has changed, or what they are made with.
    what : str
        All else that decides about what is made.
    make : callable
        Makes (H, W, 4) uint8 arrays; called if they are not there yet. Its errors are passed on.
    """
    stamp = files.stamp_of(picture)
    if stamp is None:
        return make()
    key = "\0".join((os.path.abspath(picture), stamp, what, *_made_with()))
    path = cache_dir() / hashlib.sha256(key.encode(errors="surrogateescape")).hexdigest()[:40]
    if (found := _mapped(path)) is not None:
        return found
    made = make()
    with contextlib.suppress(MaskgenError, OSError):
        # One that is damaged would be in the way.
        path.unlink(missing_ok=True)
        raw = _packed(made)
        if len(raw) > _LARGE or int(path.name[:8], 16) % _ONE_OF == 0:
            _make_room(path.parent, len(raw))
        files.write_new(path, raw, lambda stamp: None)
    found = _mapped(path)
    return made if found is None else found


@lru_cache(maxsize=1)
def _made_with() -> tuple[str, ...]:
    """What else decides about what is made: the code, and the libraries that it uses."""
    code = [files.stamp_of(path) for path in sorted(Path(__file__).parent.glob("*.py"))]
    libraries = []
    for name in ("numpy", "scipy", "opencv-python", "opencv-python-headless"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            libraries.append(importlib.metadata.version(name))
    return (maskgen.__version__, *map(str, code), *libraries)


def _packed(arrays: Sequence[Image]) -> bytes:
    parts = [_SIZE.pack(*array.shape[:2]) for array in arrays] + [array.tobytes() for array in arrays]
    content = b"".join(parts)
    return _HEAD.pack(_MAGIC, zlib.crc32(content), len(arrays)) + content


def _mapped(path: Path) -> Sequence[Image] | None:
    """The arrays in a file, which cannot be written to; None if it is not there as a whole."""
    try:
        with path.open("rb") as file:
            raw = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        magic, crc32, number = _HEAD.unpack_from(raw)
        content = memoryview(raw)[_HEAD.size :]
        if magic != _MAGIC or crc32 != zlib.crc32(content):
            return None
        arrays, at = list[Image](), number * _SIZE.size
        for place in range(number):
            height, width = _SIZE.unpack_from(content, place * _SIZE.size)
            array = np.frombuffer(content, np.uint8, height * width * _CHANNELS, at)
            arrays.append(array.reshape(height, width, _CHANNELS))
            at += array.nbytes
        return arrays
    except (OSError, ValueError, struct.error):  # not there, empty, of another version
        return None


def _make_room(folder: Path, needed: int) -> None:
    """Delete the oldest files if there is too much; who has mapped them keeps them."""
    found = []
    for entry in os.scandir(folder) if folder.is_dir() else ():
        with contextlib.suppress(OSError):
            status = entry.stat(follow_symlinks=False)
            found.append((status.st_mtime_ns, status.st_size, entry.path))
    excess = needed + sum(size for _, size, _ in found) - _MOST_BYTES
    for _, size, name in sorted(found) if excess > 0 else ():
        if excess <= -_MOST_BYTES // 4:
            break
        with contextlib.suppress(OSError):
            os.unlink(name)
            excess -= size
