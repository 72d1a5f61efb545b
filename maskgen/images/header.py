"""Picture files opened, and not decoded yet: which formats are read, and what the beginning of a file says."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Final, NamedTuple

from PIL import Image as PillowImage
from PIL import ImageFile, TiffImagePlugin, WebPImagePlugin

# GIF as well: scraped datasets hide it behind a wrong ending. Pillow knows TIFF and WebP only once their modules are
# imported.
_READABLE: Final = (
    "JPEG",
    "PNG",
    "BMP",
    "GIF",
    TiffImagePlugin.TiffImageFile.format,
    WebPImagePlugin.WebPImageFile.format,
)
MALFORMED: Final = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    RuntimeError,
    AttributeError,
    struct.error,
    zlib.error,
)
"""What Pillow raises for files that are not what they say they are."""


class Header(NamedTuple):
    """The format of the content, by Pillow's name, and (width, height) of the stored picture, pixels."""

    format: str
    size_wh: tuple[int, int]


def header_of(raw: bytes) -> Header | None:
    """What a picture's bytes say about it; None if they are no picture that can be read."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = opened(raw)
    except (PillowImage.DecompressionBombError, *MALFORMED):
        return None
    return Header(content_of(image), image.size)


def opened(raw: bytes) -> ImageFile.ImageFile:
    """A picture of a format that is read; raises what Pillow raises."""
    formats = [*_READABLE, *(format for format in ("AVIF", "HEIF") if format in PillowImage.OPEN)]
    return PillowImage.open(io.BytesIO(raw), formats=formats)


def content_of(image: ImageFile.ImageFile) -> str:
    """The format of an opened picture; several in one JPEG, and BMP without its head, are none of their own."""
    return {"MPO": "JPEG", "DIB": "BMP"}.get(str(image.format), str(image.format))
