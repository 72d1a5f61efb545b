"""Which file endings are pictures, and how large a picture may be."""

from __future__ import annotations

import os
from typing import Final, Literal, get_args

FORMATS: Final = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".avif": "AVIF",
}
"""File ending, lower case -> the format that is written under it."""

MAX_PIXELS: Final = 26_000_000
"""As many as cameras of 26 megapixels take (6240 x 4160). A worker needs under 1 GiB for any such picture."""
PILLOW_MAX_PIXELS: Final = 178_956_970
"""Pillow itself refuses pictures with more pixels."""
_METADATA_ROOM: Final = 2**26


Format = Literal["folder", "metadata", "recordio", "bin", "webdataset"]
"""What a dataset is: a folder of pictures, perhaps with ``metadata.jsonl``; RecordIO; a verification set; tar files."""
OF_FILES: Final[tuple[Format, ...]] = ("folder", "metadata")
"""Formats in which each picture is a file of its own."""
Protocol = Literal["lfw", "mfr2", "calfw", "cplfw", "mlfw"]
"""Lists of pairs whose folders are known, see `maskgen.datasets.protocols`."""
MaskSide = Literal["second", "both", "first"]
"""Which halves of pairs are masked."""
Save = Literal["alpha", "landmarks", "visible"]
SAVES: Final[tuple[Save, ...]] = get_args(Save)
"""What may be saved besides masked pictures: landmarks in the manifest, the others beside each picture."""
BESIDE: Final[tuple[Save, ...]] = ("alpha", "visible")
"""Those that lie beside pictures, as PNG of one channel."""
Truncated = Literal["keep", "fail"]
"""What to do with a picture that was cut short: take what is there, or raise an error."""


def max_bytes(max_pixels: int) -> int:
    """The size of the largest file that can be a picture of so many pixels: RGBA of 16 bits, and room for metadata."""
    return 8 * max_pixels + _METADATA_ROOM


def format_of(name: str) -> str | None:
    """The format that a file name stands for, by its ending in any case; None if it is not a picture's."""
    return FORMATS.get(os.path.splitext(name)[1].lower())
