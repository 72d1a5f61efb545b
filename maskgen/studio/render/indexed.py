"""RGBA pictures as indexed PNG files: a third of the size, and every reader turns them back into RGBA.

PNG is ISO/IEC 15948: a palette (PLTE) with an opacity for each colour (tRNS).
"""

from __future__ import annotations

import struct
import zlib
from typing import Final

import numpy as np

from maskgen.arrays import Float64Array, Image, IntArray

_SOLID_COLOURS: Final = 80
_EDGE_COLOURS: Final = 32
# No more colours are taken than this deviation needs, in steps of 1/255; half a step comes of rounding alone.
_DEVIATION: Final = 1.0


def encode(rgba: Image) -> bytes:
    """A PNG of a (H, W, 4) picture in at most 256 colours.

    Opaque pixels stay opaque and clear pixels stay clear; clear pixels take the mean colour of the half-clear ones, so
    that resampling shows no dark fringe.
    """
    flat = rgba.reshape(-1, 4)
    solid, clear = flat[:, 3] == 255, flat[:, 3] == 0
    edge = ~solid & ~clear
    index = np.zeros(len(flat), np.uint8)
    palette = [np.zeros((1, 4))]
    for chosen, count in ((solid, _SOLID_COLOURS), (edge, _EDGE_COLOURS)):
        if chosen.any():
            colours, place = _quantised(flat[chosen], count)
            index[chosen] = place + sum(len(part) for part in palette)
            palette.append(colours)
    if not clear.all():
        palette[0][0, :3] = flat[edge if edge.any() else solid, :3].mean(axis=0)
    table = np.clip(np.round(np.concatenate(palette)), 0, 255).astype(np.uint8)
    height, width = rgba.shape[:2]
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            _chunk(b"PLTE", table[:, :3].tobytes()),
            _chunk(b"tRNS", table[:, 3].tobytes()),
            _chunk(b"IDAT", _packed(index.reshape(height, width))),
            _chunk(b"IEND", b""),
        )
    )


def _quantised(pixels: Image, count: int) -> tuple[Float64Array, IntArray]:
    """At most `count` colours (K, 4), from dark to bright, and which of them each pixel (N, 4) takes.

    The group of pixels with the greatest squared error is split at its mean, along the axis of its greatest spread,
    until there are enough (a variant of median cut: P. Heckbert, "Color image quantization", SIGGRAPH 1982).
    """
    keys = pixels.astype(np.uint32) @ np.array([1 << 24, 1 << 16, 1 << 8, 1], np.uint32)
    _, first, place, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    values, weight = pixels[first].astype(np.float64), counts.astype(np.float64)
    groups = [np.arange(len(values))]
    errors = [_error(values, weight, groups[0])]
    enough = len(pixels) * 3 * _DEVIATION**2
    while len(groups) < count and sum(error for error, _ in errors) > enough:
        worst = max(range(len(groups)), key=lambda i: errors[i][0])
        group, axis = groups[worst], errors[worst][1]
        along = values[group, axis]
        below = along <= along @ weight[group] / weight[group].sum()
        groups[worst], errors[worst] = group[below], _error(values, weight, group[below])
        groups.append(group[~below])
        errors.append(_error(values, weight, group[~below]))
    colours = np.stack([np.average(values[group], axis=0, weights=weight[group]) for group in groups])
    # Neighbours in the picture get neighbouring numbers, whose differences pack well.
    order = np.argsort(colours[:, :3].sum(axis=1), kind="stable")
    owner = np.empty(len(values), np.int64)
    for number, chosen in enumerate(order):
        owner[groups[chosen]] = number
    return colours[order], owner[place.reshape(-1)]


def _error(values: Float64Array, weight: Float64Array, group: IntArray) -> tuple[float, int]:
    weights, chosen = weight[group], values[group]
    spread = weights @ np.square(chosen - weights @ chosen / weights.sum())
    return float(spread.sum()), int(spread.argmax())


def _packed(index: Image) -> bytes:
    """The rows, filtered and compressed the way that gives the fewest bytes in a quick trial."""
    before = {
        0: np.zeros_like(index),  # none
        1: np.pad(index, ((0, 0), (1, 0)))[:, :-1],  # the pixel to the left
        2: np.pad(index, ((1, 0), (0, 0)))[:-1],  # the pixel above
    }
    packed = []
    for kind, expected in before.items():
        rows = np.pad(index - expected, ((0, 0), (1, 0)), constant_values=kind).tobytes()
        for strategy in (zlib.Z_DEFAULT_STRATEGY, zlib.Z_RLE):
            packed.append((len(_squeezed(rows, 4, strategy)), rows, strategy))
    _, rows, strategy = min(packed, key=lambda trial: trial[0])
    return _squeezed(rows, 9, strategy)


def _squeezed(rows: bytes, level: int, strategy: int) -> bytes:
    squeezer = zlib.compressobj(level, zlib.DEFLATED, zlib.MAX_WBITS, 9, strategy)
    return squeezer.compress(rows) + squeezer.flush()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
