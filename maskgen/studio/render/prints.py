"""What is printed on cloth.

Convention
----------
(R, C) arrays over the vertices of a `Sheet`; colours are RGB, 0 to 1.
"""

from __future__ import annotations

from typing import Final, Literal

import numpy as np

from maskgen.arrays import Float64Array
from maskgen.face.head import AXIS_Z_MM
from maskgen.studio.render.relief import step
from maskgen.studio.render.sheet import Sheet

# Ink sinks into cloth: so much of its colour is seen.
_INK: Final = 0.85

Colour = tuple[int, int, int]
Print = Literal[
    "plain",
    "dots",
    "checks",
    "gingham",
    "stripes",
    "chevron",
    "stars",
    "floral",
    "paisley",
    "camouflage",
    "tie_dye",
    "emblem",
]


def along_skin(sheet: Sheet) -> tuple[Float64Array, Float64Array]:
    """Millimetres across, negative at image left, and down.

    Measured on a head of average roundness: along the net, a pattern would be stretched where its rows diverge.
    """
    angle = np.arctan2(np.abs(sheet.points[..., 0]), sheet.points[..., 2] - AXIS_Z_MM)
    across = 125 * angle - 22 * np.square(angle)
    return np.sign(sheet.points[..., 0]) * across, sheet.points[..., 1] - sheet.points[..., 1].min()


def printed(
    ground: Colour,
    pattern: Print,
    inks: tuple[Colour, ...],
    scale: float,
    sheet: Sheet,
    rng: np.random.Generator,
) -> Float64Array:
    """(R, C, 3) colours of cloth with its print.

    Parameters
    ----------
    ground : (int, int, int)
        RGB of the bare cloth, 0 to 255.
    inks : tuple of (int, int, int)
        RGB of the print, the undermost first.
    scale : float
        Size of the print's repeat, against its usual one.
    """
    x, y = (value / scale for value in along_skin(sheet))
    albedo = np.broadcast_to(np.array(ground) / 255, (*x.shape, 3))
    colours = [np.array(colour) / 255 for colour in inks]
    for share, colour in zip(_shares(pattern, len(colours), x, y, rng), colours, strict=False):
        albedo = albedo + _INK * share[..., None] * (colour - albedo)
    return albedo


def _shares(
    pattern: Print, count: int, x: Float64Array, y: Float64Array, rng: np.random.Generator
) -> list[Float64Array]:
    """How much of each print colour lies on a place, 0 to 1, the undermost first."""
    if pattern == "dots":
        pitch = 8.5
        row = np.floor(y / pitch)
        in_x = (x / pitch + 0.5 * (row % 2)) % 1 - 0.5
        in_y = (y / pitch) % 1 - 0.5
        return [step(1.6 - np.hypot(in_x, in_y) * pitch, 0.25)]
    if pattern == "checks":
        # A tartan: broad and narrow bands both ways.
        wide = [0.5 * _band(value, 22.0, 8.0, 0.0) for value in (x, y)]
        narrow = [0.7 * _band(value, 22.0, 1.2, 11.0) for value in (x, y)]
        first, second = np.clip(wide[0] + wide[1], 0, 1), np.clip(narrow[0] + narrow[1], 0, 1)
        return [first, second] if count > 1 else [np.maximum(first, second)]
    if pattern == "gingham":
        return [0.5 * _band(x, 9.0, 4.5, 0.0) + 0.5 * _band(y, 9.0, 4.5, 0.0)]
    if pattern == "stripes":
        return [_band(y, 8.0, 3.2, 4.0)]
    if pattern == "chevron":
        return [_band(y + np.abs((x / 11.0) % 1 - 0.5) * 11.0, 7.5, 3.0, 4.0)]
    if pattern == "stars":
        return [_stars(x, y)]
    if pattern == "tie_dye":
        turned = np.hypot(x + 14, y - 50) + 5 * _blots(x, y, 30.0, rng)
        return [step(np.sin(turned / (5.5 + k)) + 0.15 * _blots(x, y, 6.0, rng) - 0.3 * k, 0.5) for k in range(count)]
    if pattern == "emblem":
        return _emblem(x, y)
    if pattern in ("floral", "paisley"):
        return _flowers(x, y, rng, pattern == "paisley")
    if pattern == "camouflage":
        return [step(_blots(x, y, 15.0, rng) - limit, 0.06) for limit in (0.15, 0.45, 0.75)[:count]]
    return []


def _band(value: Float64Array, pitch: float, width: float, middle: float) -> Float64Array:
    """Bands of a width, a pitch apart."""
    return step(width / 2 - np.abs((value - middle + pitch / 2) % pitch - pitch / 2), 0.25)


def _blots(x: Float64Array, y: Float64Array, size: float, rng: np.random.Generator) -> Float64Array:
    """A random field of about deviation 1, made of waves."""
    field = np.zeros(x.shape)
    for _ in range(40):
        length, turn, phase = size * rng.uniform(0.7, 2.4), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        field += np.cos((x * np.cos(turn) + 1.7 * y * np.sin(turn)) * 2 * np.pi / length + phase)
    return np.asarray(field / np.sqrt(20.0))


def _stars(x: Float64Array, y: Float64Array) -> Float64Array:
    """Five-pointed stars in rows."""
    pitch = 12.0
    row = np.floor(y / pitch)
    in_x = ((x / pitch + 0.5 * (row % 2)) % 1 - 0.5) * pitch
    in_y = ((y / pitch) % 1 - 0.5) * pitch
    way = (np.arctan2(in_x, -in_y) / (2 * np.pi / 5) + 0.5) % 1 - 0.5
    return step(3.6 * (1 - 0.62 * np.abs(way) * 2) - np.hypot(in_x, in_y), 0.2)


def _emblem(x: Float64Array, y: Float64Array) -> list[Float64Array]:
    """A badge beside the chin, with lines under it as of small letters."""
    x, y = x - 34, y - 78
    ring = step(1.1 - np.abs(np.hypot(x, y) - 6.0), 0.2)
    leaf = step(1 - np.hypot(x / 2.2, y / 4.2), 0.15)
    words = np.zeros(x.shape)
    for line, (top, half) in enumerate(((9.5, 9.0), (12.5, 6.5))):
        letters = step(np.sin(x * 2 * np.pi / (1.9 - 0.3 * line)) + 0.3 * np.sin(x * 4.1), 0.4)
        words = np.maximum(words, letters * step(0.8 - np.abs(y - top), 0.2) * step(half - np.abs(x), 0.2))
    return [np.maximum(np.maximum(ring, leaf), words)]


def _flowers(x: Float64Array, y: Float64Array, rng: np.random.Generator, is_paisley: bool) -> list[Float64Array]:
    """Leaves, blossoms and their hearts (or drops, their linings and their hearts), scattered."""
    blossom, heart, leaf = np.zeros(x.shape), np.zeros(x.shape), np.zeros(x.shape)
    pitch = 15.0 if is_paisley else 13.0
    for row, top in enumerate(np.arange(-pitch / 2, y.max() + pitch, pitch)):
        for left in np.arange(x.min() - pitch, x.max() + pitch, pitch) + pitch / 2 * (row % 2):
            at = np.array([left, top]) + rng.uniform(-0.22, 0.22, 2) * pitch
            size, turn, petals = pitch * rng.uniform(0.30, 0.46), rng.uniform(0, 2 * np.pi), rng.integers(5, 7)
            dx, dy = x - at[0], y - at[1]
            near = np.hypot(dx, dy) < 1.8 * pitch
            dx, dy = dx[near], dy[near]
            way = np.arctan2(dy, dx) - turn
            off = np.hypot(dx, dy)
            if is_paisley:
                # A drop whose tip bends over.
                bend = way + 0.9 * off / size
                edge = size * (0.62 + 0.75 * np.maximum(np.cos(bend), 0) ** 5)
                blossom[near] = np.maximum(blossom[near], step(edge - off, 0.3) - step(edge - 1.0 - off, 0.3))
                leaf[near] = np.maximum(leaf[near], step(0.62 * edge - off, 0.3))
                heart[near] = np.maximum(heart[near], step(0.36 * edge - off, 0.3) - step(0.22 * edge - off, 0.3))
                for side in np.arange(0.4, 6.0, 0.8):
                    dot = np.hypot(dx - 1.22 * size * np.cos(side), dy - 1.22 * size * np.sin(side))
                    heart[near] = np.maximum(heart[near], step(0.55 - dot, 0.2))
                continue
            edge = size * (0.62 + 0.38 * np.abs(np.cos(way * petals / 2)))
            blossom[near] = np.maximum(blossom[near], step(edge - off, 0.3))
            heart[near] = np.maximum(heart[near], step(0.28 * size - off, 0.25))
            for side in (0.6, 2.4):
                along = dx * np.cos(turn + side) + dy * np.sin(turn + side) - 1.25 * size
                beside = -dx * np.sin(turn + side) + dy * np.cos(turn + side)
                oval = 1 - np.hypot(along / (0.62 * size), beside / (0.26 * size))
                leaf[near] = np.maximum(leaf[near], step(oval, 0.12))
    return [leaf, blossom, heart]
