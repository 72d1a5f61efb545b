"""A picture file's bytes: of regular files only, and of no more than a picture can need."""

from __future__ import annotations

import os
from pathlib import Path

from maskgen import files
from maskgen.errors import ImageError
from maskgen.formats import MAX_PIXELS, max_bytes


def read_bytes(path: Path, max_pixels: int | None = None, *, name: str | None = None, any_size: bool = False) -> bytes:
    """A file's bytes.

    Parameters
    ----------
    path : Path
        A regular file, or a link to one.
    max_pixels : int, optional
        A file larger than any picture of so many pixels is not read. Only if given, the remedy names the setting.
    name : str, optional
        What messages call the file; by default its path.
    any_size : bool
        Whether the file may be of any size, because it is not one picture.

    Raises
    ------
    ImageError
        If the file is missing, may not be read, is no regular file or too large.
    """
    called = path if name is None else name
    try:
        with open(files.open_regular(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if not any_size:
                refuse_large(called, size, max_pixels)
            # A file that grows meanwhile is not followed.
            return file.read(size)
    except OSError as error:
        raise ImageError(f"{called}: cannot be read: {error.strerror}") from error


def refuse_large(called: object, size: int, max_pixels: int | None = None) -> None:
    """Raise an error for a file that is larger than any picture; parameters as for `read_bytes`, and a size in bytes.

    Raises
    ------
    ImageError
        If it is.
    """
    limit = max_bytes(MAX_PIXELS if max_pixels is None else max_pixels)
    if size > limit:
        raise ImageError(
            f"{called}: {size:,} bytes, more than the {limit:,} that a picture may have",
            "scale it down" if max_pixels is None else "scale it down or raise {max_pixels}",
        )
