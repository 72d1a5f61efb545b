"""Which way up a picture is stored, and how to turn it. EXIF is only looked into, never written again."""

from __future__ import annotations

import re
import struct
from typing import Final

from maskgen.arrays import Image

ORIENTATION: Final = 0x0112
"""The EXIF and TIFF tag of the orientation."""
UPRIGHT: Final = 1

# TIFF's types of whole numbers, signed and unsigned.
_NUMBERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
_XMP: Final = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")


def of(exif: bytes | None, xmp: bytes | None) -> int:
    """The orientation that metadata gives, 1 to 8; 1 (upright) if they give none or cannot be read.

    The first directory of the EXIF decides, then XMP.
    """
    in_exif = valid(None if exif is None else first_number(exif.removeprefix(b"Exif\0\0"), ORIENTATION))
    if in_exif is not None:
        return in_exif
    in_xmp = _XMP.search(xmp or b"")
    return int(in_xmp[1]) if in_xmp else UPRIGHT


def valid(value: object) -> int | None:
    """An orientation, 1 to 8; of several numbers the first; None for all else."""
    number = value[0] if isinstance(value, tuple) and value else value
    return number if isinstance(number, int) and 1 <= number <= 8 else None


def first_number(tiff: bytes, tag: int) -> int | None:
    """The first number of a tag in the first directory of TIFF data, such as EXIF; None if it cannot be read.

    Other tags are not looked at, so damage in them does not matter.
    """
    order = {b"II": "<", b"MM": ">"}.get(tiff[:2])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(f"{order}I", tiff, 4)
        (count,) = struct.unpack_from(f"{order}H", tiff, start)
        for number in range(count):
            entry = start + 2 + 12 * number
            found, kind, values = struct.unpack_from(f"{order}HHI", tiff, entry)
            if found == tag and kind in _NUMBERS and values > 0:
                form = order + _NUMBERS[kind]
                place = entry + 8
                # More than four bytes of values lie elsewhere.
                if values * struct.calcsize(form) > 4:
                    (place,) = struct.unpack_from(f"{order}I", tiff, place)
                value: int = struct.unpack_from(form, tiff, place)[0]
                return value
    except struct.error:
        pass  # cut short
    return None


def is_sideways(orientation: int) -> bool:
    """Whether width and height of the upright picture are those of the stored one, exchanged."""
    return orientation >= 5


def as_stored(upright: Image, orientation: int) -> Image:
    """A view of an upright picture in the order in which its pixels are stored; what is written there comes upright.

    Parameters
    ----------
    upright : (H, W, C) array
    orientation : int
        1 to 8.
    """
    if is_sideways(orientation):
        upright = upright.transpose(1, 0, 2)
    # What is left to do is to turn over rows, columns or both.
    rows = slice(None, None, -1 if orientation in (3, 4, 6, 7) else 1)
    columns = slice(None, None, -1 if orientation in (2, 3, 7, 8) else 1)
    return upright[rows, columns]
