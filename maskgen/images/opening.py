"""What picture lies in a file's bytes, and whether all of it is there."""

from __future__ import annotations

import io
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import Final

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile, TiffImagePlugin, UnidentifiedImageError, WebPImagePlugin

from maskgen.arrays import Image
from maskgen.errors import ImageError
from maskgen.formats import MAX_PIXELS, PILLOW_MAX_PIXELS, Truncated, format_of
from maskgen.images import heif, jpeg, orientation, png, tiff
from maskgen.images.encoding import Encoding, encoding_of
from maskgen.images.essentials import Essentials

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
# How files begin that are a picture of a readable format, be it damaged or of an unusual kind.
_BEGINNINGS: Final = {
    jpeg.SIGNATURE: "JPEG",
    png.SIGNATURE: "PNG",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"RIFF": "WebP",
}
# What Pillow raises for files that are not what they say they are.
_MALFORMED: Final = (
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
# How Pillow begins when it knows what a picture is, and cannot read it.
_UNSUPPORTED: Final = re.compile("unsupported|unknown raw mode|cannot handle|conversion", re.IGNORECASE)
_CONVERT: Final = "convert it to RGB of 8 bits"
_RESTORE: Final = "restore it from its source"
_KEEP: Final = "restore it from its source, or use {truncated=keep}"
# Pixels that are converted at a time: Pillow holds a picture once more, at four bytes per pixel.
_STRIP_PIXELS: Final = 2**20


@dataclass(frozen=True)
class Source:
    """A file that has been decoded, and not yet converted; its picture may be 16 bits deep.

    Where its pixels are there already, as RGB, not turned, the picture has none.
    """

    image: PillowImage.Image
    orientation: int
    encoding: Encoding
    notes: tuple[str, ...]
    has_16_bits: bool = False
    white_is_zero: bool = False
    greatest_sample: int = 65535
    pixels: Image | None = None


@contextmanager
def source_of(raw: bytes, path: PurePath, max_pixels: int | None, truncated: Truncated | None) -> Iterator[Source]:
    """The picture in a file's bytes; parameters and errors as for `maskgen.images.decode`.

    What goes wrong while it is converted in the block is a fault of the file as well.
    """
    if not raw:
        raise ImageError(f"{path}: empty file (0 bytes)", _RESTORE)
    try:
        with warnings.catch_warnings():
            # Our own limit is checked below, and a picture that decodes is good enough.
            warnings.simplefilter("ignore")
            yield _opened(raw, path, max_pixels, truncated)
    except PillowImage.DecompressionBombError as error:
        raise ImageError(
            f"{path}: more than {PILLOW_MAX_PIXELS / 1e6:.0f} megapixels", "scale it down first"
        ) from error
    except UnidentifiedImageError as error:
        begun = (name for beginning, name in _BEGINNINGS.items() if raw.startswith(beginning))
        name = heif.format_of_bytes(raw) or next(begun, None)
        if name is not None:
            kind = (tiff.kind_of(raw) if name == "TIFF" else None) or name
            raise ImageError(
                f"{path}: {kind} that is damaged, or of a kind that cannot be read",
                f"{_RESTORE}, or {_CONVERT}",
            ) from error
        raise ImageError(
            f"{path}: not a picture that can be read (no JPEG, PNG, WebP, BMP, TIFF, GIF, HEIC or AVIF)",
            "convert it to one of these",
        ) from error
    except _MALFORMED as error:
        raise _damaged(path, error, _RESTORE) from error


def _damaged(path: PurePath, error: Exception, remedy: str) -> ImageError:
    # Some libraries end their sentences with a line break.
    said = " ".join(str(error).split())
    if _UNSUPPORTED.match(said):
        return ImageError(f"{path}: a kind of picture that cannot be read: {said}", _CONVERT)
    return ImageError(f"{path}: damaged picture: {said}", remedy)


def _opened(raw: bytes, path: PurePath, max_pixels: int | None, truncated: Truncated | None) -> Source:
    format = heif.format_of_bytes(raw)
    if format is not None:
        heif.require(format, path)
    taken = _taken_apart(raw)
    parts = _essentials(raw, taken)
    image = _open(parts.raw)
    _refuse_large(image, path, max_pixels)
    if image.mode == "P" and image.palette is None:
        raise ValueError("no palette")
    notes = list(parts.notes)
    content = _content_of(image)
    if content != format_of(path.name) and format_of(path.name) is not None:
        notes.insert(0, f"content_is_{content.lower()}")
    frames = max(parts.frames, _frames(image))
    if frames > 1:
        notes.append(f"first_of_{frames}_frames")
    encoding = encoding_of(image, parts.raw)
    if taken is not None and image.mode in ("L", "RGB") and encoding.jpeg_tables is None:
        notes.append("unknown_tables")
    source = Source(image, _orientation(image, parts), encoding, tuple(notes), ";16" in str(image.tile))
    if taken is not None:
        return _loaded_jpeg(source, taken, path, truncated)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        return _loaded_tiff(source, image, raw, path, truncated)
    return _loaded(source, path, truncated)


def _content_of(image: PillowImage.Image) -> str:
    return {"MPO": "JPEG", "DIB": "BMP"}.get(str(image.format), str(image.format))


def _essentials(raw: bytes, taken: jpeg.Jpeg | None) -> Essentials:
    if taken is not None:
        return taken.essentials
    return png.essentials(raw) if raw.startswith(png.SIGNATURE) else Essentials(raw)


def _open(raw: bytes) -> ImageFile.ImageFile:
    formats = [*_READABLE, *(format for format in ("AVIF", "HEIF") if format in PillowImage.OPEN)]
    return PillowImage.open(io.BytesIO(raw), formats=formats)


def _refuse_large(image: PillowImage.Image, path: PurePath, max_pixels: int | None) -> None:
    width, height = image.size
    limit = MAX_PIXELS if max_pixels is None else max_pixels
    if width * height > limit:
        raise ImageError(
            f"{path}: {width} x {height} pixels, more than the {limit:,} allowed",
            "scale it down" if max_pixels is None else "scale it down or raise {max_pixels}",
        )


def _frames(image: PillowImage.Image) -> int:
    try:
        return int(getattr(image, "n_frames", 1))
    except _MALFORMED:
        # Only the first is needed.
        return 1


def _orientation(image: PillowImage.Image, parts: Essentials) -> int:
    if image.format == "HEIF":
        # What reads it turns it upright.
        return orientation.UPRIGHT
    exif, xmp = (parts.exif or image.info.get("exif"), parts.xmp or image.info.get("xmp"))
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        in_tags = orientation.valid(image.tag_v2.get(orientation.ORIENTATION))
        return in_tags or orientation.of(None, xmp)
    return orientation.of(exif, xmp)


def _loaded(source: Source, path: PurePath, truncated: Truncated | None) -> Source:
    """The same with its pixels decoded, as far as there are any."""
    image = source.image
    assert isinstance(image, ImageFile.ImageFile)
    try:
        image.load()
    except _MALFORMED as error:
        # What has been decoded so far is there; nothing more is asked for.
        image.tile = []
        if not _has_part(image):
            raise
        if truncated != "keep":
            raise _damaged(path, error, _RESTORE if truncated is None else _KEEP) from error
        return replace(source, notes=(*source.notes, "truncated"))
    return source


def _has_part(image: PillowImage.Image) -> bool:
    try:
        image.load()
        return any(np.asarray(strip).any() for _, strip in strips(image))
    except _MALFORMED:
        return False


def _loaded_jpeg(source: Source, taken: jpeg.Jpeg, path: PurePath, truncated: Truncated | None) -> Source:
    # libjpeg makes up what is missing and tells nobody. What it makes up depends on the bytes that follow.
    is_whole = taken.has_all_scans
    if source.image.mode in ("L", "RGB") and (pixels := jpeg.whole_pixels(taken)) is not None:
        source = replace(source, pixels=pixels)
    elif taken.probe is None:
        source = _loaded(source, path, truncated)
    else:
        probe = _open(taken.probe)
        probe.load()
        first_row = _first_row_to_compare(probe, taken)
        expected = _checksum(probe, first_row)
        del probe
        source = _loaded(source, path, truncated)
        is_whole = is_whole and expected == _checksum(source.image, first_row)
    if not is_whole:
        fault, note = "pixels at its end are missing", "truncated"
    elif not taken.has_end:
        fault, note = "its end marker is missing", "no_end_marker"
    else:
        return source
    if truncated != "keep":
        raise ImageError(f"{path}: cut short: {fault}", _RESTORE if truncated is None else _KEEP)
    return replace(source, notes=(*source.notes, note))


def _first_row_to_compare(probe: PillowImage.Image, taken: jpeg.Jpeg) -> int:
    """From where on a loaded probe differs from the picture if pixels are missing.

    They are missing at the end of a scan, so in the last rows. If so many are missing that the filler ends before them,
    the last rows of a single scan are mid-grey in both.
    """
    width, height = probe.size
    is_grey = set(probe.crop((width - 1, height - 1, width, height)).tobytes()) <= {127, 128}
    return 0 if is_grey or taken.scans > 1 else max(height - jpeg.MAX_BLOCK_ROWS, 0)


def _checksum(image: PillowImage.Image, first_row: int) -> int:
    checksum = 0
    for _, strip in strips(image, first_row):
        checksum = zlib.crc32(strip.tobytes(), checksum)
    return checksum


def _loaded_tiff(
    source: Source, image: TiffImagePlugin.TiffImageFile, raw: bytes, path: PurePath, truncated: Truncated | None
) -> Source:
    tiff.refuse_misread(image, path)
    if tiff.is_deep_planar(image):
        planes = tiff.deep_planes(image, raw)
        size_wh = (planes.shape[1], planes.shape[0])
        merged = PillowImage.frombytes(image.mode, size_wh, planes.tobytes())
        return replace(source, image=merged, has_16_bits=True)
    tiff.leave_as_stored(image)
    source = replace(source, white_is_zero=tiff.is_white_zero(image), greatest_sample=tiff.greatest_sample(image))
    return _loaded(source, path, truncated)


def strips(image: PillowImage.Image, first_row: int = 0) -> Iterator[tuple[int, PillowImage.Image]]:
    """Parts of a decoded picture from top to bottom, each with its first row."""
    # Not those of the picture: a TIFF that lies on its side says how large it is when upright.
    width, height = image.im.size
    rows = max(_STRIP_PIXELS // width, 1)
    if rows >= height and first_row == 0 and image.size == (width, height):
        yield 0, image
        return
    for top in range(first_row, height, rows):
        yield top, image.crop((0, top, width, min(top + rows, height)))


def format_and_size(raw: bytes) -> tuple[str, tuple[int, int]] | None:
    """The format, and the width and height as stored, of a picture that is not decoded; None if it is none."""
    # Metadata that Pillow stumbles over is rare, and to leave it out takes longer.
    for essentials_of in (Essentials, lambda raw: _essentials(raw, _taken_apart(raw))):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = _open(essentials_of(raw).raw)
            return _content_of(image), image.size
        except (*_MALFORMED, PillowImage.DecompressionBombError):
            pass
    return None


def _taken_apart(raw: bytes) -> jpeg.Jpeg | None:
    return jpeg.take_apart(raw) if raw.startswith(jpeg.SIGNATURE) else None
