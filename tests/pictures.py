"""Picture files made by code, whole and odd."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

CASES = Path(__file__).parents[2] / "shared" / "cases"


def smooth(width=48, height=32):
    """A picture without sharp edges, which JPEG and WebP keep well."""
    x, y = np.meshgrid(np.linspace(0, 200, width), np.linspace(0, 200, height))
    return np.stack([x, y, (x + y) / 2], axis=-1).astype(np.uint8)


def busy(width=83, height=61):
    """A smooth picture with a noisy part, so that data is spread unevenly."""
    pixels = smooth(width, height)
    pixels[20:40, 20:60] = np.random.default_rng(0).integers(0, 256, (20, 40, 3))
    return pixels


def saved(pixels, format, **options):
    """The bytes of a picture, written by Pillow."""
    buffer = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(buffer, format, **options)
    return buffer.getvalue()


def exif_of(entries, order="<"):
    """An EXIF block of (tag, type, count, four bytes) alone."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    body = b"".join(struct.pack(f"{order}HHI", tag, kind, count) + value for tag, kind, count, value in entries)
    return mark + struct.pack(f"{order}IH", 8, len(entries)) + body + bytes(4)


def segment(code, content):
    """A JPEG segment."""
    return struct.pack(">BBH", 0xFF, code, len(content) + 2) + content


def with_segments(jpeg, *segments):
    """A JPEG with segments right after its start."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def chunk(kind, content, crc=None):
    """A PNG chunk; its checksum is right unless given."""
    crc = zlib.crc32(kind + content) if crc is None else crc
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", crc)


def with_chunks(png, *chunks, before=b"IDAT"):
    """A PNG with chunks before its first chunk of a kind."""
    at = png.index(before) - 4
    return png[:at] + b"".join(chunks) + png[at:]


def png_of(samples, bits, colour_type, *chunks):
    """A PNG of (H, W, C) samples in any of its forms."""
    height, width = samples.shape[:2]
    flat = samples.reshape(height, -1)
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in flat]
    else:
        rows = [np.packbits((row[:, None] >> np.arange(bits - 1, -1, -1)) & 1).tobytes() for row in flat]
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = (chunk(b"IHDR", header), *chunks, chunk(b"IDAT", pixels), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
