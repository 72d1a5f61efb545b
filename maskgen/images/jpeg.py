"""JPEG files: their segments, whether their pixels are all there, and the tables they were quantised with."""

from __future__ import annotations

import itertools
import re
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
import simplejpeg

from maskgen.arrays import Image
from maskgen.images.essentials import Essentials
from maskgen.images.orientation import first_number

SIGNATURE: Final = b"\xff\xd8\xff"
MAX_BLOCK_ROWS: Final = 32
"""The most rows that are coded together."""
_START: Final = b"\xff\xd8"
_END: Final = b"\xff\xd9"
_SOF: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_HUFFMAN: Final = frozenset({0xC0, 0xC1, 0xC2})
_PROGRESSIVE: Final = 0xC2
_SOS: Final = 0xDA
# Frame, Huffman and arithmetic tables, quantisation, number of lines, restart interval, hierarchy.
_DECIDING: Final = frozenset(range(0xC0, 0xD0)) | {0xDB, 0xDC, 0xDD, 0xDE, 0xDF}
# Within pixels, 0 follows an 0xff that is data, and restart markers are part of them. More of 0xff may come before a
# marker: the expression does not say so, and so runs over ten times as fast on LFW.
_MARKER: Final = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]", re.DOTALL)
_EXIF: Final = b"Exif\0\0"
_XMP: Final = b"http://ns.adobe.com/xap/1.0/\0"
_PICTURES_IN_MPF: Final = 0xB001
# Any bytes that are no marker and do not repeat: where pixels are missing, a decoder makes something of them. It takes
# missing bits for zeros, so the first is a one.
_FILLER: Final = bytes((37 * number * number + 91 * number + 181) % 251 for number in range(64))


@dataclass(frozen=True)
class Jpeg:
    """A JPEG, taken apart.

    Attributes
    ----------
    essentials : Essentials
        Its first picture, closed with an end marker.
    scans : int
        How many scans its pixels come in.
    probe : bytes or None
        The same with other bytes where pixels end: it decodes to the same pixels if they are all there, and to others
        if they are not. None where that cannot be told.
    has_end : bool
        Whether there is an end marker.
    has_all_scans : bool
        Whether no scan is missing that the others need.
    """

    essentials: Essentials
    scans: int
    probe: bytes | None
    has_end: bool
    has_all_scans: bool


@dataclass
class _Scans:
    """Which bits of which coefficients the scans so far gave."""

    frame: int = 0
    components: frozenset[int] = frozenset()
    # (component, coefficient) -> how many of its lowest bits are still to come
    missing_bits: dict[tuple[int, int], int] | None = None

    def begin(self, frame: int, segment: bytes) -> None:
        self.frame = frame
        self.components = frozenset(segment[6 + 3 * number] for number in range(segment[5]))
        self.missing_bits = {}

    def add(self, segment: bytes) -> None:
        count = segment[0]
        first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
        if self.missing_bits is None:
            return
        for number in range(count):
            for coefficient in range(first, min(last, 63) + 1):
                self.missing_bits[segment[1 + 2 * number], coefficient] = bits & 15

    @property
    def is_complete(self) -> bool:
        given = self.missing_bits or {}
        if any((component, 0) not in given for component in self.components):
            return False
        return self.frame != _PROGRESSIVE or not any(given.values())


def take_apart(raw: bytes) -> Jpeg | None:
    """A JPEG's parts; None if it ends before its first pixels."""
    kept = [_START]
    exif, xmp, pictures = b"", None, 1
    scans = _Scans()
    at = len(_START)
    while True:
        at = raw.find(b"\xff", at)
        code, segment, at = _segment(raw, at)
        if segment is None:
            return None
        if code in _SOF:
            scans.begin(code, segment)
        if code == _SOS:
            start = at - len(segment) - 4
            break
        if code in _DECIDING or _is_needed(code, segment):
            kept.append(struct.pack(">BBH", 0xFF, code, len(segment) + 2) + segment)
        elif code == 0xE1 and segment.startswith(_EXIF):
            exif += segment[len(_EXIF) if exif else 0 :]
        elif code == 0xE1 and segment.startswith(_XMP):
            xmp = segment[len(_XMP) :]
        elif code == 0xE2 and segment.startswith(b"MPF\0"):
            pictures = first_number(segment[4:], _PICTURES_IN_MPF) or 1
    scans.add(segment)
    header = b"".join(kept)
    ends, has_end = _ends_of_scans(raw, at, scans)
    stops = [start, *ends]
    pieces = [raw[begin:stop] for begin, stop in itertools.pairwise(stops)]
    whole = b"".join([header, *pieces, _END])
    probe = None
    if scans.frame in _HUFFMAN:
        probe = b"".join([header, *(piece + _FILLER for piece in pieces), _END])
    return Jpeg(Essentials(whole, exif or None, xmp, max(pictures, 1)), len(ends), probe, has_end, scans.is_complete)


def whole_pixels(taken: Jpeg) -> Image | None:
    """The pixels (H, W, 3) of a JPEG in grey or RGB, not turned; None where something about it is odd.

    They are the same, bit by bit, as those that Pillow decodes, which is twice as slow and does not tell whether all of
    them were there.
    """
    if taken.probe is None or not taken.has_all_scans:
        return None
    try:
        # Strictly: whatever libjpeg only warns of raises an error.
        return np.asarray(simplejpeg.decode_jpeg(taken.essentials.raw, "RGB"), np.uint8)
    except ValueError:
        return None


def tables_of(
    quantization: dict[int, list[int]], components: list[tuple[int, int, int, int]]
) -> tuple[tuple[int, ...], ...] | None:
    """The quantisation tables in the order of the components, as they are written again; None if one is unknown.

    Their numbers in the file do not matter: only tables 0 and 1, or one per component, can be written everywhere.

    Parameters
    ----------
    quantization : dict
        Number of a table -> its 64 entries.
    components : list of tuple
        (name, vertical and horizontal sampling, number of the table).
    """
    tables = [quantization.get(component[3]) for component in components]
    known = [tuple(table) for table in tables if table is not None]
    if not known or len(known) < len(tables):
        return None
    # The last table serves all further components.
    while len(known) > 1 and known[-1] == known[-2]:
        known.pop()
    return tuple(known)


def _segment(raw: bytes, at: int) -> tuple[int, bytes | None, int]:
    """Code and content of the segment whose marker is at or after a place, and where it ends; None where it is cut."""
    while at >= 0 and at + 4 <= len(raw):
        code = raw[at + 1]
        if code == 0xFF:
            at += 1
            continue
        if code in (0x00, 0x01) or 0xD0 <= code <= 0xD8:
            at = raw.find(b"\xff", at + 2)
            continue
        (length,) = struct.unpack_from(">H", raw, at + 2)
        end = at + 2 + length
        is_cut = length < 2 or end > len(raw) or code == 0xD9 or _is_too_short(code, length - 2, raw[at + 4 : end])
        return code, None if is_cut else raw[at + 4 : end], end
    return 0, None, len(raw)


def _is_too_short(code: int, length: int, segment: bytes) -> bool:
    if code in _SOF:
        return length < 6 or length < 6 + 3 * segment[5]
    return code == _SOS and (length < 1 or length < 4 + 2 * segment[0])


def _is_needed(code: int, segment: bytes) -> bool:
    """Whether an application segment tells how colours are coded, or is part of a colour profile."""
    return (
        (code == 0xE0 and segment.startswith(b"JFIF\0") and len(segment) >= 14)
        or (code == 0xEE and segment.startswith(b"Adobe") and len(segment) >= 12)
        or (code == 0xE2 and segment.startswith(b"ICC_PROFILE\0") and len(segment) > 14)
    )


def _ends_of_scans(raw: bytes, at: int, scans: _Scans) -> tuple[list[int], bool]:
    """Where each scan's pixels end, and whether the last is followed by the end marker; `scans` learns of each."""
    ends = []
    is_scan = True
    while True:
        found = _MARKER.search(raw, at)
        stop = len(raw) if found is None else found.start()
        while raw[stop - 1] == 0xFF:
            stop -= 1
        if is_scan:
            ends.append(max(stop, at))
        if found is None:
            return ends, False
        code, segment, after = _segment(raw, found.end() - 2)
        if code == 0xD9 or raw[found.end() - 1] in (0xD8, 0xD9):
            return ends, raw[found.end() - 1] == 0xD9
        if segment is None:
            return ends, False
        is_scan = code == _SOS
        if is_scan:
            scans.add(segment)
        at = after
