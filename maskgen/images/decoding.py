"""What pixels a picture file's bytes become: upright, RGB, 8 bits."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Literal

import numpy as np
from PIL import Image as PillowImage

from maskgen.arrays import Image
from maskgen.errors import ImageError
from maskgen.formats import FORMATS, Truncated, format_of
from maskgen.images import orientation, tiff
from maskgen.images.encoding import Encoding
from maskgen.images.opening import Source, format_and_size, source_of, strips
from maskgen.images.source import read_bytes


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
        ``cmyk``, ``grey``, ``16_bit``, ``content_is_<format>``, ``truncated``, ``no_end_marker``,
        ``unreadable_profile``, ``unknown_tables``.
    """

    pixels: Image
    encoding: Encoding
    notes: tuple[str, ...] = ()


def read(path: Path, max_pixels: int | None = None, truncated: Truncated | None = None) -> Picture:
    """The picture in a file; parameters and errors as for `decode`.

    Raises
    ------
    ImageError
        If the file cannot be read; otherwise as `decode`.
    """
    return decode(read_bytes(path, max_pixels), path, max_pixels, truncated)


def decode(raw: bytes, path: PurePath, max_pixels: int | None = None, truncated: Truncated | None = None) -> Picture:
    """The picture in a file's bytes.

    The orientation that EXIF or XMP gives is applied. Transparency is composed on white. Samples of 16 bits are scaled
    to 8. Grey, palette and CMYK become RGB; colours are not converted by a profile. Of several frames or pages the
    first is taken. Metadata that is damaged does not matter.

    Parameters
    ----------
    raw : bytes
        JPEG, PNG, WebP, BMP, TIFF, GIF, or AVIF and HEIC where what reads them is installed, whatever the name says.
    path : Path
        Where they come from, for messages; its ending is compared with the content.
    max_pixels : int, optional
        Larger pictures are refused before they are decoded; `MAX_PIXELS` by default, `PILLOW_MAX_PIXELS` at most.
    truncated : {"keep", "fail"}, optional
        What to do with a picture that lacks pixels at its end, or its end marker: take what is there, or raise an
        error, as by default. Remedies name this setting and `max_pixels` only if they are given.

    Raises
    ------
    ImageError
        If the bytes are no such picture, are cut short, or hold too many pixels or samples of 32 bits.
    """
    with source_of(raw, path, max_pixels, truncated) as source:
        pixels, conversions = _upright(source, path, channels=3)
    return Picture(pixels, source.encoding, (*source.notes, *conversions))


def decode_rgba(raw: bytes, path: PurePath) -> Image:
    """The picture (H, W, 4) in a file's bytes with its opacity, not premultiplied; errors as for `decode`."""
    with source_of(raw, path, None, None) as source:
        return _upright(source, path, channels=4)[0]


def name_of(key: str, raw: bytes) -> str:
    """The key of a picture as a file name: with the ending of its content's format if it has none of a picture.

    What no picture can be written as gets ``.png``.
    """
    if format_of(key) is not None:
        return key
    content = (format_and_size(raw) or ("",))[0]
    return key + next((ending for ending, format in FORMATS.items() if format == content), ".png")


def _upright(source: Source, path: PurePath, channels: Literal[3, 4]) -> tuple[Image, list[str]]:
    """The pixels (H, W, channels), upright, and notes of what was changed."""
    image = source.image
    if image.mode in ("I", "F") and not (image.mode == "I" and source.has_16_bits):
        raise ImageError(f"{path}: samples of 32 bits, whose range is unknown", "convert it to 8 or 16 bits first")
    if source.pixels is not None and source.orientation == orientation.UPRIGHT and channels == 3:
        return source.pixels, _conversions(source, has_alpha=False)
    width, height = image.size if source.pixels is not None else image.im.size
    size = (width, height) if orientation.is_sideways(source.orientation) else (height, width)
    upright = np.empty((*size, channels), np.uint8)
    stored = orientation.as_stored(upright, source.orientation)
    if source.pixels is not None:
        stored[..., :3] = source.pixels
        stored[..., 3:] = 255
        return upright, _conversions(source, has_alpha=False)
    has_alpha = False
    for top, strip in strips(image):
        rgba = _rgba(strip, source)
        if rgba is None:
            rows = stored[top : top + strip.height]
            rows[..., :3] = np.asarray(strip if strip.mode == "RGB" else strip.convert("RGB"))
            rows[..., 3:] = 255
            continue
        has_alpha |= rgba.getchannel("A").getextrema() != (255, 255)
        if channels == 3:
            white = PillowImage.new("RGBA", strip.size, "white")
            rgba = PillowImage.alpha_composite(white, rgba)
        stored[top : top + strip.height] = np.asarray(rgba)[..., :channels]
    return upright, _conversions(source, has_alpha)


def _rgba(strip: PillowImage.Image, source: Source) -> PillowImage.Image | None:
    """A strip in 8 bits with its opacity; None if it is simply RGB of 8 bits, or becomes it without more ado."""
    if strip.mode == "I" or strip.mode.startswith("I;16"):
        samples = np.asarray(strip).astype(np.uint16)
        alpha = np.where(samples == strip.info.get("transparency", -1), np.uint8(0), np.uint8(255))
        if source.white_is_zero:
            samples = source.greatest_sample - samples
        grey = tiff.to_8_bits(samples, source.greatest_sample)
        return PillowImage.fromarray(np.dstack([grey, grey, grey, alpha]))
    if not strip.has_transparency_data:
        return None
    # Pillow knows no shorter way from premultiplied grey.
    return (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")


def _conversions(source: Source, has_alpha: bool) -> list[str]:
    mode = source.image.mode
    is_deep_grey = mode == "I" or mode.startswith("I;16")
    said = {
        "16_bit": source.has_16_bits or is_deep_grey,
        "cmyk": mode == "CMYK",
        "grey": is_deep_grey or mode in ("1", "L", "LA", "La"),
        "alpha_on_white": has_alpha,
    }
    return [note for note, is_true in said.items() if is_true]
