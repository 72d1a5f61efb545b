"""TIFF files: which kinds Pillow reads right, and those it would read wrong without saying so."""

from __future__ import annotations

import struct
from pathlib import PurePath
from typing import Final

import numpy as np
import numpy.typing as npt
from PIL import TiffImagePlugin as Tiff

from maskgen.arrays import Image
from maskgen.errors import ImageError
from maskgen.images.orientation import ORIENTATION, UPRIGHT, first_number

_INK_SET: Final = 332
_EXIF_DIRECTORY, _GPS_DIRECTORY = 34665, 34853
_WHITE_IS_ZERO, _CMYK, _YCBCR, _LAB = 0, 5, 6, 8
_UNSIGNED: Final = 1
_RAW: Final = 1
_PLANES: Final = 2
_RGB_8: Final = "convert it to RGB of 8 bits first"


def refuse_misread(image: Tiff.TiffImageFile, path: PurePath) -> None:
    """Raise an error for a kind of TIFF that would come out wrong.

    Raises
    ------
    ImageError
        Names the kind.
    """
    tags = image.tag_v2
    photometric = tags.get(Tiff.PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO)
    is_raw = tags.get(Tiff.COMPRESSION, _RAW) == _RAW
    is_planar = tags.get(Tiff.PLANAR_CONFIGURATION, 1) == _PLANES and len(image.getbands()) > 1
    sample_formats = set(_numbers(tags.get(Tiff.SAMPLEFORMAT, _UNSIGNED)))
    fault = None
    if image.mode in ("I", "F") and max(_bits(image)) > 16:
        raise ImageError(f"{path}: samples of 32 bits, whose range is unknown", "convert it to 8 or 16 bits first")
    if sample_formats != {_UNSIGNED}:
        fault = "samples with a sign, whose range is unknown"
    elif photometric == _LAB:
        fault = "CIELAB colours cannot be read"
    elif photometric == _CMYK and tags.get(_INK_SET, 1) != 1:
        fault = "inks other than cyan, magenta, yellow and black cannot be read"
    elif photometric == _YCBCR and is_raw and _numbers(tags.get(Tiff.YCBCRSUBSAMPLING, (2, 2))) != (1, 1):
        fault = "uncompressed YCbCr with fewer samples of colour cannot be read"
    elif is_planar and is_raw and image.mode not in ("RGB", "CMYK"):
        fault = "uncompressed planes, one of them with opacity, cannot be read"
    elif is_planar and image.mode in ("LA", "La"):
        fault = "planes of grey and of opacity cannot be read"
    elif is_deep_planar(image) and Tiff.STRIPOFFSETS not in tags:
        fault = "uncompressed planes of 16 bits in tiles cannot be read"
    if fault is not None:
        raise ImageError(f"{path}: {fault}", _RGB_8)


def leave_as_stored(image: Tiff.TiffImageFile) -> None:
    """Keep Pillow from turning a TIFF when it decodes it: we do that, for all formats alike."""
    try:
        exif = image.getexif()
    except (OSError, SyntaxError, ValueError, TypeError, IndexError, KeyError, struct.error):
        # Half read, it can be asked again.
        exif = image.getexif()
    exif[ORIENTATION] = UPRIGHT
    # Pillow would follow these on; damage there has nothing to do with pixels.
    for tag in (_EXIF_DIRECTORY, _GPS_DIRECTORY):
        exif.pop(tag, None)


def kind_of(raw: bytes) -> str | None:
    """What a TIFF that cannot be opened holds; None if its tags cannot be read."""
    tags = {
        "photometric interpretation": Tiff.PHOTOMETRIC_INTERPRETATION,
        "bits per sample": Tiff.BITSPERSAMPLE,
        "samples per pixel": Tiff.SAMPLESPERPIXEL,
        "compression": Tiff.COMPRESSION,
    }
    numbers = {name: first_number(raw, tag) for name, tag in tags.items()}
    said = [f"{name} {number}" for name, number in numbers.items() if number is not None]
    return f"TIFF with {', '.join(said)}" if said else None


def is_deep_planar(image: Tiff.TiffImageFile) -> bool:
    """Whether its planes of 16 bits would be read as if they were of 8."""
    tags = image.tag_v2
    return (
        tags.get(Tiff.PLANAR_CONFIGURATION, 1) == _PLANES
        and tags.get(Tiff.COMPRESSION, _RAW) == _RAW
        and max(_bits(image)) > 8
        and len(image.getbands()) > 1
    )


def deep_planes(image: Tiff.TiffImageFile, raw: bytes) -> Image:
    """The picture (H, W, C) of an uncompressed TIFF with one plane of 16 bits per colour, scaled to 8.

    Raises
    ------
    ValueError
        If pixels are missing.
    """
    tags = image.tag_v2
    width, height = tags[Tiff.IMAGEWIDTH], tags[Tiff.IMAGELENGTH]
    strip_rows = min(tags.get(Tiff.ROWSPERSTRIP, height), height)
    offsets = _numbers(tags[Tiff.STRIPOFFSETS])
    strips = -(-height // strip_rows)
    channels = len(image.getbands())
    order = "<u2" if tags.prefix == Tiff.II else ">u2"
    planes = np.empty((height, width, channels), np.uint8)
    if len(offsets) < strips * channels:
        raise ValueError(f"{len(offsets)} of {strips * channels} strips")
    for number, offset in enumerate(offsets[: strips * channels]):
        channel, strip = divmod(number, strips)
        top = strip * strip_rows
        rows = min(strip_rows, height - top)
        samples = np.frombuffer(raw, order, rows * width, offset).reshape(rows, width)
        planes[top : top + rows, :, channel] = to_8_bits(samples)
    return planes


def to_8_bits(samples: npt.NDArray[np.uint16], most: int = 65535) -> Image:
    """Samples from 0 to `most`, scaled to 0 to 255 and rounded."""
    scaled: Image = ((samples.astype(np.uint32) * 255 + most // 2) // most).astype(np.uint8)
    return scaled


def greatest_sample(image: Tiff.TiffImageFile) -> int:
    """The sample that stands for full intensity."""
    return (1 << max(_bits(image))) - 1


def is_white_zero(image: Tiff.TiffImageFile) -> bool:
    """Whether 0 is white; Pillow sees to it for up to 8 bits, not for 16."""
    return bool(image.tag_v2.get(Tiff.PHOTOMETRIC_INTERPRETATION, _WHITE_IS_ZERO) == _WHITE_IS_ZERO)


def _bits(image: Tiff.TiffImageFile) -> tuple[int, ...]:
    return _numbers(image.tag_v2.get(Tiff.BITSPERSAMPLE, (1,)))


def _numbers(value: object) -> tuple[int, ...]:
    """The values of a tag that may be one number."""
    values = value if isinstance(value, tuple) else (value,)
    return tuple(number for number in values if isinstance(number, int))
