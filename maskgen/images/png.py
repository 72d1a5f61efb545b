"""PNG files: what decides about pixels is told from all the rest, which may be damaged."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final, NamedTuple

from maskgen.images.essentials import Essentials

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
# Pillow refuses longer profiles, so a file that holds one would be of no use to others.
_MAX_PROFILE: Final = 2**20
# More text than any orientation needs, compressed or not.
_MAX_TEXT: Final = 2**24
_XMP: Final = b"XML:com.adobe.xmp"
_EXIF_AS_TEXT: Final = (b"Raw profile type exif", b"Raw profile type APP1")
# (bits, colour type) of grey pictures whose samples become 8 bits -> what a sample is multiplied by.
_GREY_SCALES: Final = {(1, 0): 255, (2, 0): 85, (4, 0): 17}
_DEEP_COLOUR: Final = (16, 2)


class _Chunk(NamedTuple):
    kind: bytes
    data: memoryview
    whole: memoryview
    is_sound: bool


def essentials(raw: bytes) -> Essentials:
    """The header, palette, transparency, colour profile and pixels of a PNG, and its metadata as far as they are sound.

    Of a file that is cut short, what is left. Chunks of an animation are left out; its first frame stays.
    """
    kept: list[bytes | memoryview] = [SIGNATURE]
    texts: dict[bytes, bytes] = {}
    exif = None
    form = (0, 0)
    frames, is_in_animation, has_pixels = 0, False, False
    notes = []
    for chunk in _chunks(raw):
        if chunk.kind == b"IHDR" and len(chunk.data) >= 10:
            form = chunk.data[8], chunk.data[9]
        if chunk.kind in (b"IHDR", b"PLTE", b"IDAT"):
            kept.append(chunk.whole)
            has_pixels |= chunk.kind == b"IDAT"
        elif chunk.kind == b"tRNS":
            kept.append(_transparency(chunk, form))
        elif chunk.kind == b"iCCP" and not has_pixels:
            if chunk.is_sound and _is_profile(chunk.data):
                kept.append(chunk.whole)
            else:
                notes.append("unreadable_profile")
        elif not chunk.is_sound:
            continue
        elif chunk.kind == b"eXIf":
            exif = bytes(chunk.data)
        elif chunk.kind in (b"tEXt", b"zTXt", b"iTXt"):
            texts |= _text(chunk)
        elif chunk.kind == b"acTL" and len(chunk.data) == 8 and not has_pixels:
            frames = struct.unpack_from(">I", chunk.data)[0]
        elif chunk.kind == b"fcTL" and not has_pixels:
            is_in_animation = True
    kept.append(_made(b"IEND", b""))
    for name in _EXIF_AS_TEXT:
        exif = exif or _exif_of_text(texts.get(name, b""))
    count = frames if is_in_animation else frames + 1
    return Essentials(b"".join(kept), exif, texts.get(_XMP), max(count, 1), tuple(notes))


def _chunks(raw: bytes) -> Iterator[_Chunk]:
    view = memoryview(raw)
    start = len(SIGNATURE)
    while start + 8 <= len(raw):
        length, kind = struct.unpack_from(">I4s", raw, start)
        if not kind.isalpha() or kind == b"IEND":
            return
        end = start + 8 + length
        data = view[start + 8 : end]
        if kind == b"IDAT" and end > len(raw):
            # What follows must not be taken for pixels.
            yield _Chunk(kind, data, memoryview(_made(kind, data)), True)
        elif kind == b"IDAT":
            # Nobody checks their sums: the compressed pixels have one of their own.
            yield _Chunk(kind, data, view[start : end + 4], True)
        else:
            is_whole = end + 4 <= len(raw)
            is_sound = is_whole and zlib.crc32(data, zlib.crc32(kind)) == struct.unpack_from(">I", raw, end)[0]
            yield _Chunk(kind, data, view[start : end + 4], is_sound)
        start = end + 4


def _made(kind: bytes, data: bytes | memoryview) -> bytes:
    return struct.pack(">I4s", len(data), kind) + bytes(data) + struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))


def _transparency(chunk: _Chunk, form: tuple[int, int]) -> bytes | memoryview:
    """The chunk that names the transparent colour, in the 8-bit samples that Pillow makes, or unchanged.

    Of 16-bit colours, those that become the same 8-bit colour are transparent too.
    """
    if chunk.is_sound and form in _GREY_SCALES and len(chunk.data) == 2:
        # Only the bits of a sample count.
        sample = struct.unpack(">H", chunk.data)[0] & ((1 << form[0]) - 1)
        return _made(b"tRNS", struct.pack(">H", sample * _GREY_SCALES[form]))
    if chunk.is_sound and form == _DEEP_COLOUR and len(chunk.data) == 6:
        return _made(b"tRNS", struct.pack(">3H", *(sample >> 8 for sample in struct.unpack(">3H", chunk.data))))
    return chunk.whole


def _is_profile(data: memoryview) -> bool:
    name, separator, packed = bytes(data).partition(b"\0")
    if not name or not separator or packed[:1] != b"\0":
        return False
    return _unpacked(packed[1:], _MAX_PROFILE) is not None


def _unpacked(packed: bytes, most: int) -> bytes | None:
    """What was compressed; None if it is damaged or longer than `most` bytes."""
    unpacking = zlib.decompressobj()
    try:
        data = unpacking.decompress(packed, most)
    except zlib.error:
        return None
    return data if unpacking.eof else None


def _text(chunk: _Chunk) -> dict[bytes, bytes]:
    name, _, value = bytes(chunk.data[:_MAX_TEXT]).partition(b"\0")
    if name != _XMP and name not in _EXIF_AS_TEXT:
        return {}
    is_packed = chunk.kind == b"zTXt"
    if chunk.kind == b"iTXt":
        is_packed = value[:1] == b"\1"
        # The language and the translated name come before the text.
        value = b"\0" + value[2:].split(b"\0", 2)[-1]
    text = _unpacked(value[1:], _MAX_TEXT) if is_packed else value[chunk.kind == b"iTXt" :]
    return {} if text is None else {name: text}


def _exif_of_text(text: bytes) -> bytes | None:
    # A blank line, a name, a length, then hexadecimal digits in lines.
    lines = text.split(b"\n")
    try:
        return bytes.fromhex(b"".join(lines[3:]).decode("ascii")) or None
    except ValueError:
        return None
