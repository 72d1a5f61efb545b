"""Pixels to a picture file, encoded the way their source was."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Final

import numpy as np
from PIL import Image as PillowImage
from PIL import JpegImagePlugin

from maskgen.arrays import Image
from maskgen.errors import ImageError
from maskgen.formats import FORMATS, format_of
from maskgen.images import heif, jpeg

LUMA_WEIGHTS: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of stored sRGB values (ITU-R BT.601)."""
LUMA: Final = np.array(LUMA_WEIGHTS, np.float32)

_QUALITY: Final = 95
_FULL_COLOUR: Final = 0  # Pillow's number for 4:4:4


@dataclass(frozen=True)
class Encoding:
    """How a file was encoded, so that the file made from it loses as little as possible.

    Attributes
    ----------
    icc_profile : bytes or None
        Only if it describes RGB, which is what is written.
    jpeg_tables : tuple or None
        Quantisation tables of a JPEG, 64 numbers each: of luma, then of chroma. With the source's own tables, what lies
        outside the mask is quantised as it was, and the file carries no more trace of a second encoding than need be.
    jpeg_subsampling : int
        Pillow's number: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
    is_lossless_webp : bool
        Whether the source was a WebP without loss.
    """

    icc_profile: bytes | None = None
    jpeg_tables: tuple[tuple[int, ...], ...] | None = field(default=None, repr=False)
    jpeg_subsampling: int = _FULL_COLOUR
    is_lossless_webp: bool = False


def encode(pixels: Image, encoding: Encoding, path: PurePath, quality: int | None = None) -> bytes:
    """The bytes of a picture file, in the format that the ending of `path` stands for.

    Parameters
    ----------
    pixels : (H, W, 3) uint8 array
        RGB.
    encoding : Encoding
        That of the source.
    path : Path
        Where the bytes will go.
    quality : int, optional
        Of a JPEG, HEIC, AVIF (then 4:4:4) or WebP, 1 to 100. By default a JPEG gets the source's own tables and
        subsampling, a WebP stays lossless if it was; other sources give quality 95.

    Raises
    ------
    ImageError
        If the format cannot hold such a picture, or what writes it is not installed.
    """
    format = format_of(path.name)
    if format is None:
        raise ImageError(f"{path}: no picture format has this ending", f"use one of {', '.join(FORMATS)}")
    options: dict[str, object] = {"icc_profile": encoding.icc_profile} if encoding.icc_profile else {}
    if format == "JPEG" and quality is None and encoding.jpeg_tables:
        tables = [list(table) for table in encoding.jpeg_tables]
        options |= {"qtables": tables, "subsampling": encoding.jpeg_subsampling}
    elif format == "JPEG":
        options |= {"quality": quality or _QUALITY, "subsampling": _FULL_COLOUR}
    elif format == "WEBP" and quality is None and encoding.is_lossless_webp:
        options |= {"lossless": True, "exact": True}
    elif format == "WEBP":
        options |= {"quality": quality or _QUALITY}
    elif format == "TIFF":
        options |= {"compression": "tiff_lzw"}
    elif format == "AVIF":
        options |= {"quality": quality or _QUALITY, "subsampling": "4:4:4"}
    elif format == "HEIF":
        options |= {"quality": quality or _QUALITY, "chroma": 444}
    if format in ("AVIF", "HEIF"):
        heif.require(format, path)
    buffer = io.BytesIO()
    try:
        PillowImage.fromarray(pixels).save(buffer, format, **options)
    except (OSError, ValueError, KeyError, RuntimeError, struct.error) as error:
        raise ImageError(f"{path}: cannot be encoded as {format}: {error}") from error
    return buffer.getvalue()


def encoding_of(image: PillowImage.Image, raw: bytes) -> Encoding:
    """How an opened file is encoded."""
    profile = image.info.get("icc_profile")
    # Bytes 16 to 20 of a profile name its colour space; one for CMYK or grey would tint the RGB that is written.
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    tables = None
    subsampling = _FULL_COLOUR
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode in ("L", "RGB"):
        tables = jpeg.tables_of(image.quantization, image.layer)
        subsampling = max(JpegImagePlugin.get_sampling(image), _FULL_COLOUR)
    return Encoding(profile if is_rgb else None, tables, subsampling, _is_lossless_webp(raw))


def _is_lossless_webp(raw: bytes) -> bool:
    if raw[:4] != b"RIFF" or raw[8:12] != b"WEBP":
        return False
    start = 12
    while start + 8 <= len(raw):
        name, size = struct.unpack("<4sI", raw[start : start + 8])
        if name in (b"VP8 ", b"VP8L", b"ANMF"):
            return bool(name == b"VP8L")
        start += 8 + size + size % 2
    return False
