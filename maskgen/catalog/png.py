"""Pictures of masks as files: 8-bit RGBA PNGs of a limited size."""

from __future__ import annotations

from typing import Final

import numpy as np

from maskgen.arrays import Image
from maskgen.errors import CatalogError

MAX_PICTURE_PIXELS: Final = 9_000_000
MAX_PICTURE_BYTES: Final = 5 * MAX_PICTURE_PIXELS + 2**24
"""No PNG of so many pixels needs more, with a byte per row and some metadata."""
HEADER_BYTES: Final = 24


def size_of(png: bytes, where: str) -> tuple[int, int]:
    """Width and height that the first `HEADER_BYTES` bytes of a PNG give.

    Raises
    ------
    CatalogError
        If they are not those of a PNG, or of one that is too large; the message begins with `where`.
    """
    # The IHDR chunk: width and height stand at bytes 16 to 24.
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < HEADER_BYTES:
        raise CatalogError(f"{where} is not a PNG")
    width, height = int.from_bytes(png[16:20], "big"), int.from_bytes(png[20:24], "big")
    if width * height > MAX_PICTURE_PIXELS:
        raise CatalogError(f"{where} has {width} x {height} pixels, more than the {MAX_PICTURE_PIXELS:,} allowed")
    return width, height


def decode(png: bytes, where: str) -> Image:
    """The picture (H, W, 4) uint8 in a PNG: BGRA with straight alpha, opaque somewhere.

    Raises
    ------
    CatalogError
        If it is not 8-bit RGBA, too large or transparent everywhere; the message begins with `where`.
    """
    import cv2  # late: a catalog is listed without it

    size_of(png[:HEADER_BYTES], where)
    _refuse_cut_chunks(png, where)
    try:
        bgra: Image | None = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    except cv2.error:  # sides that OpenCV does not take
        bgra = None
    if bgra is None or bgra.ndim != 3 or bgra.shape[2] != 4 or bgra.dtype != np.uint8:
        raise CatalogError(f"{where} is not an 8-bit RGBA PNG")
    if not bgra[..., 3].any():
        raise CatalogError(f"{where} is transparent everywhere")
    return bgra


def _refuse_cut_chunks(png: bytes, where: str) -> None:
    """Raise an error where a chunk says that it is longer than the file; OpenCV would find room for it first."""
    at = 8
    while at + 8 <= len(png):
        length = int.from_bytes(png[at : at + 4], "big")
        # Length, name and checksum around it.
        at += 12 + length
        if at > len(png):
            raise CatalogError(f"{where} is not an 8-bit RGBA PNG, or damaged: a part of it is longer than the file")
