"""Picture files: decoded upright to RGB, encoded the way their source was."""

from __future__ import annotations

import io
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageOps, JpegImagePlugin, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from maskgen.arrays import Image
from maskgen.errors import ImageError
from maskgen.formats import FORMATS, MAX_PIXELS, PILLOW_MAX_PIXELS, format_of

LUMA_WEIGHTS: Final = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in the luma of stored sRGB values (ITU-R BT.601)."""
LUMA: Final = np.array(LUMA_WEIGHTS, np.float32)

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
# What Pillow raises for files that are not what they say they are.
_MALFORMED: Final = (OSError, SyntaxError, ValueError, TypeError, EOFError, IndexError, KeyError, struct.error)
_RESTORE: Final = "restore it from its source"
_JPEG_QUALITY: Final = 95
_FULL_COLOUR: Final = 0  # Pillow's number for 4:4:4


@dataclass(frozen=True)
class Encoding:
    """How a file was encoded, so that the file made from it loses as little as possible.

    Attributes
    ----------
    icc_profile : bytes or None
        Only if it describes RGB, which is what is written.
    jpeg_tables : dict or None
        Quantisation tables of a JPEG: table -> 64 numbers. With the source's own tables, what lies outside the mask is
        quantised as it was, and the file carries no more trace of a second encoding than need be.
    jpeg_subsampling : int
        Pillow's number: 0 is 4:4:4, 1 is 4:2:2, 2 is 4:2:0.
    is_lossless_webp : bool
        Whether the source was a WebP without loss.
    """

    icc_profile: bytes | None = None
    jpeg_tables: dict[int, list[int]] | None = field(default=None, repr=False)
    jpeg_subsampling: int = _FULL_COLOUR
    is_lossless_webp: bool = False


@dataclass(frozen=True)
class Picture:
    """A decoded file.

    Attributes
    ----------
    pixels : (H, W, 3) uint8 array
        RGB, upright.
    encoding : Encoding
        How the file was encoded.
    notes : tuple of str
        What decoding had to change beyond turning the picture upright: ``first_of_<n>_frames``, ``alpha_on_white``,
        ``cmyk``, ``grey``, ``16_bit``, ``content_is_<format>``, ``unreadable_exif``.
    """

    pixels: Image
    encoding: Encoding
    notes: tuple[str, ...] = ()


def read(path: Path, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file.

    Raises
    ------
    ImageError
        If the file cannot be read; otherwise as `decode`.
    """
    return decode(read_bytes(path), path, max_pixels)


def read_bytes(path: Path) -> bytes:
    """A file's bytes.

    Raises
    ------
    ImageError
        If the file is missing or may not be read.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error


def decode(raw: bytes, path: PurePath, max_pixels: int = MAX_PIXELS) -> Picture:
    """The picture in a file's bytes.

    EXIF orientation is applied. Transparency is composed on white. Samples of 16 bits are scaled to 8. Grey, palette
    and CMYK become RGB. Of several frames or pages the first is taken.

    Parameters
    ----------
    raw : bytes
        JPEG, PNG, WebP, BMP, TIFF or GIF, whatever the name says.
    path : Path
        Where they come from, for messages; its ending is compared with the content.
    max_pixels : int
        Larger pictures are refused before they are decoded; `PILLOW_MAX_PIXELS` at most.

    Raises
    ------
    ImageError
        If the bytes are no such picture, are cut short, or hold too many pixels or samples of 32 bits.
    """
    if not raw:
        raise ImageError(f"{path}: empty file (0 bytes)", _RESTORE)
    try:
        with warnings.catch_warnings():
            # Our own limit is checked below, and a picture that decodes is good enough.
            warnings.simplefilter("ignore")
            with PillowImage.open(io.BytesIO(raw), formats=_READABLE) as image:
                return _decode(image, raw, path, max_pixels)
    except PillowImage.DecompressionBombError as error:
        raise ImageError(
            f"{path}: more than {PILLOW_MAX_PIXELS / 1e6:.0f} megapixels", "scale it down first"
        ) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{path}: not a picture that can be read (no JPEG, PNG, WebP, BMP, TIFF or GIF)",
            "convert it to one of these",
        ) from error
    except _MALFORMED as error:
        raise ImageError(f"{path}: damaged picture: {error}", _RESTORE) from error


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
        Of a JPEG (then 4:4:4) or WebP, 1 to 100. By default a JPEG gets the source's own tables and subsampling, a
        WebP stays lossless if it was; other sources give quality 95.

    Raises
    ------
    ImageError
        If the format cannot hold such a picture.
    """
    format = format_of(path.name)
    if format is None:
        raise ImageError(f"{path}: no picture format has this ending", f"use one of {', '.join(FORMATS)}")
    options: dict[str, object] = {"icc_profile": encoding.icc_profile} if encoding.icc_profile else {}
    if format == "JPEG" and quality is None and encoding.jpeg_tables:
        options |= {"qtables": encoding.jpeg_tables, "subsampling": encoding.jpeg_subsampling}
    elif format == "JPEG":
        options |= {"quality": quality or _JPEG_QUALITY, "subsampling": _FULL_COLOUR}
    elif format == "WEBP" and quality is None and encoding.is_lossless_webp:
        options |= {"lossless": True, "exact": True}
    elif format == "WEBP":
        options |= {"quality": quality or _JPEG_QUALITY}
    elif format == "TIFF":
        options |= {"compression": "tiff_lzw"}
    buffer = io.BytesIO()
    try:
        PillowImage.fromarray(pixels).save(buffer, format, **options)
    except (OSError, ValueError, struct.error) as error:
        raise ImageError(f"{path}: cannot be encoded as {format}: {error}") from error
    return buffer.getvalue()


def _decode(image: PillowImage.Image, raw: bytes, path: PurePath, max_pixels: int) -> Picture:
    width, height = image.size
    if width * height > max_pixels:
        raise ImageError(
            f"{path}: {width} x {height} pixels, more than the {max_pixels:,} allowed",
            "scale it down or raise {max_pixels}",
        )
    notes = []
    content = {"MPO": "JPEG", "DIB": "BMP"}.get(str(image.format), str(image.format))
    if content != format_of(path.name):
        notes.append(f"content_is_{content.lower()}")
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        notes.append(f"first_of_{frames}_frames")
    has_16_bits = ";16" in str(getattr(image, "tile", ""))
    encoding = _encoding_of(image, raw)
    image.load()
    try:
        upright = ImageOps.exif_transpose(image)
    except _MALFORMED:
        # The pixels are whole; a camera that writes broken metadata is no reason to lose them.
        upright = image
        notes.append("unreadable_exif")
    pixels, conversions = _to_rgb(upright, has_16_bits, path)
    return Picture(pixels, encoding, tuple(notes + conversions))


def _to_rgb(image: PillowImage.Image, has_16_bits: bool, path: PurePath) -> tuple[Image, list[str]]:
    mode = image.mode
    notes = ["16_bit"] if has_16_bits or mode.startswith("I;16") else []
    if mode.startswith("I;16") or (mode == "I" and has_16_bits):
        grey = np.rint(np.asarray(image, np.float64) / 257).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2), [*notes, "grey"]
    if mode in ("I", "F"):
        raise ImageError(f"{path}: samples of 32 bits, whose range is unknown", "convert it to 8 or 16 bits first")
    if mode == "CMYK":
        notes.append("cmyk")
    if mode in ("1", "L", "LA", "La"):
        notes.append("grey")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        if rgba.getchannel("A").getextrema() != (255, 255):
            notes.append("alpha_on_white")
        white = PillowImage.new("RGBA", image.size, "white")
        image = PillowImage.alpha_composite(white, rgba)
    return np.array(image.convert("RGB")), notes


def _encoding_of(image: PillowImage.Image, raw: bytes) -> Encoding:
    profile = image.info.get("icc_profile")
    # Bytes 16 to 20 of a profile name its colour space; one for CMYK or grey would tint the RGB that is written.
    is_rgb = isinstance(profile, bytes) and profile[16:20] == b"RGB "
    tables = None
    subsampling = _FULL_COLOUR
    if isinstance(image, JpegImagePlugin.JpegImageFile) and image.mode in ("L", "RGB"):
        tables = {index: list(table) for index, table in image.quantization.items()}
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
