"""Whole pictures of each kind, made by code: what is damaged before it is decoded."""

from __future__ import annotations

import importlib.util
import io
from functools import cache
from typing import Any

import numpy as np
from pictures import busy, chunk, exif_of, png_of, saved, segment, smooth, with_chunks, with_segments
from PIL import Image, ImageCms


@cache
def jpegs() -> tuple[bytes, ...]:
    exif = exif_of([(0x0112, 3, 1, b"\6\0\0\0"), (0x8769, 4, 1, b"\x1a\0\0\0")])
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[24:36] = bytes(12)  # when it was made
    xmp = b'http://ns.adobe.com/xap/1.0/\0<x:xmpmeta xmlns:tiff="t"><r tiff:Orientation="6"/></x:xmpmeta>'
    plain = saved(busy(), "JPEG", quality=80)
    return (
        plain,
        saved(busy(), "JPEG", progressive=True),
        saved(busy(), "JPEG", exif=exif, icc_profile=bytes(profile)),
        saved(smooth(17, 9), "JPEG", restart_marker_blocks=2, subsampling=2),
        saved(Image.fromarray(smooth()).convert("CMYK"), "JPEG"),
        saved(smooth()[..., 0], "JPEG"),
        with_segments(plain, segment(0xE1, xmp), segment(0xFE, b"a comment")),
    )


@cache
def pngs() -> tuple[bytes, ...]:
    grey = np.arange(12 * 16, dtype=np.uint16).reshape(12, 16, 1)
    alpha = np.dstack([smooth(), smooth()[..., 0]])
    return (
        saved(smooth(), "PNG", exif=exif_of([(0x0112, 3, 1, b"\x03\0\0\0")])),
        saved(alpha, "PNG"),
        saved(Image.fromarray(smooth()).quantize(17), "PNG", transparency=3),
        png_of(grey * 300, 16, 0, chunk(b"tRNS", b"\0\x03")),
        png_of(np.dstack([grey, grey, grey]) * 300, 16, 2),
        png_of(grey % 2, 1, 0),
        with_chunks(saved(smooth(), "PNG"), chunk(b"iCCP", b"a\0\0x"), chunk(b"zTXt", b"b\0\0y"), chunk(b"tIME", b"")),
        saved(Image.fromarray(smooth()), "PNG", save_all=True, append_images=[Image.fromarray(smooth()[::-1].copy())]),
    )


@cache
def tiffs() -> tuple[bytes, ...]:
    import tifffile

    def written(pixels: Any, **options: Any) -> bytes:
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, datetime=False, software=False, metadata=None, **options)
        return buffer.getvalue()

    deep = smooth().astype(np.uint16) * 257
    return (
        *(saved(smooth(), "TIFF", compression=how) for how in ("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg")),
        saved(Image.fromarray(smooth()).convert("1"), "TIFF", compression="group4"),
        written(deep[..., 0], photometric="miniswhite"),
        written(deep, photometric="rgb", planarconfig="contig", byteorder=">"),
        written(deep.transpose(2, 0, 1), photometric="rgb", planarconfig="separate"),
        written(np.tile(smooth(), (2, 2, 1)), photometric="rgb", tile=(32, 32)),
    )


@cache
def other_pictures() -> tuple[bytes, ...]:
    frames = [Image.fromarray(smooth()), Image.fromarray(smooth()[::-1].copy())]
    return (
        saved(smooth(), "BMP"),
        saved(Image.fromarray(smooth()).quantize(9), "BMP"),
        saved(frames[0], "GIF", save_all=True, append_images=frames[1:]),
        saved(Image.fromarray(smooth()).quantize(9), "GIF", transparency=2),
        saved(smooth(), "WEBP", quality=80, exif=exif_of([(0x0112, 3, 1, b"\x08\0\0\0")])),
        saved(np.dstack([smooth(), smooth()[..., 0]]), "WEBP", lossless=True),
        saved(frames[0], "WEBP", save_all=True, append_images=frames[1:]),
    )


@cache
def new_pictures() -> tuple[bytes, ...]:
    found = [saved(smooth(), "AVIF", speed=9, max_threads=1)] if _has_avif() else []
    if importlib.util.find_spec("pillow_heif"):
        import pillow_heif

        pillow_heif.register_heif_opener()
        found.append(saved(smooth(), "HEIF"))
    return tuple(found)


def can_make_new() -> bool:
    """Whether HEIC or AVIF can be written here."""
    return _has_avif() or importlib.util.find_spec("pillow_heif") is not None


def _has_avif() -> bool:
    from PIL import features

    return bool(features.check("avif"))
