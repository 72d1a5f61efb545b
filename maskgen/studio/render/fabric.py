"""What covers the sheet of a mask: folds, hems, seams and wrinkles as relief, colours and patterns as albedo.

Convention
----------
Everything is computed on the vertices of a `Sheet`, (R, C) arrays; relief is in millimetres away from the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
from scipy.ndimage import gaussian_filter

from maskgen.arrays import Float64Array
from maskgen.face.solid import AXIS_Z_MM
from maskgen.studio.render.sheet import Sheet

Colour = tuple[int, int, int]
Make = Literal[
    "surgical",
    "surgical_flat",
    "kn95",
    "boat",
    "cup",
    "cloth",
    "knit",
    "foam",
    "duckbill",
    "gaiter",
    "window",
    "picture",
]
Print = Literal["plain", "dots", "checks", "gingham", "stripes", "floral", "paisley", "camouflage"]


# Sheet, spacing of the vertices and random generator to relief, tone and share of the trim.
_Maker = Callable[[Sheet, float, np.random.Generator], tuple[Float64Array, Float64Array, Float64Array]]


@dataclass(frozen=True)
class Fabric:
    """What a mask is made of.

    Attributes
    ----------
    make : str
        How it is cut and sewn.
    colour : (int, int, int)
        RGB of the cloth in full light.
    trim : (int, int, int), optional
        RGB of hems and side strips; the cloth's own by default.
    inner : (int, int, int)
        RGB of the side towards the face.
    elastic : (int, int, int)
        RGB of the ear loops.
    sheen : float
        Light that the surface throws back without its colour, 0 to 1; what shows the folds of black cloth.
    grain : float
        Contrast of the weave.
    wrinkles : float
        Depth of the creases, 1 for thin cloth.
    pattern : str
        What is printed on it.
    prints : tuple of (int, int, int)
        RGB of the print, the main colour first.
    pattern_mm : float
        Size of the print's repeat, against its usual one.
    """

    make: Make
    colour: Colour
    trim: Colour | None = None
    inner: Colour = (226, 226, 224)
    elastic: Colour = (228, 228, 226)
    sheen: float = 0.02
    grain: float = 0.015
    wrinkles: float = 1.0
    pattern: Print = "plain"
    prints: tuple[Colour, ...] = ((230, 230, 226),)
    pattern_mm: float = 1.0


@dataclass(frozen=True)
class Cover:
    """The relief and colour of a sheet.

    Attributes
    ----------
    relief : (R, C) array
        Millimetres away from the head.
    albedo : (R, C, 3) array
        0 to 1.
    opacity : (R, C) array
        0 to 1.
    """

    relief: Float64Array
    albedo: Float64Array
    opacity: Float64Array


def cover(
    fabric: Fabric, sheet: Sheet, spacing_mm: float, rng: np.random.Generator, picture: Float64Array | None = None
) -> Cover:
    """The relief and colour of a mask.

    Parameters
    ----------
    spacing_mm : float
        Distance of neighbouring vertices, about.
    picture : (R, C, 3) array, optional
        Colours of the cloth, 0 to 1, in place of the fabric's own.
    """
    relief, tone, trim = _MAKES[fabric.make](sheet, spacing_mm, rng)
    relief = relief + fabric.wrinkles * _creases(sheet, spacing_mm, rng)
    relief = relief - _rounding(sheet)
    weave = _noise(sheet, spacing_mm, 0.5, 0.5, rng)
    mottling = _noise(sheet, spacing_mm, 3.0, 3.0, rng)
    tone = tone * (1 + fabric.grain * (0.8 * weave + 0.6 * mottling))
    albedo = _printed(fabric, sheet, spacing_mm, rng) if picture is None else picture
    albedo = albedo + trim[..., None] * (np.array(fabric.trim or fabric.colour) / 255 - albedo)
    albedo, opacity = albedo * tone[..., None], np.ones(relief.shape)
    if fabric.make == "window":
        pane, streak = _pane(sheet)
        relief = relief * (1 - pane)
        albedo = albedo + pane[..., None] * (0.93 - albedo)
        opacity = 1 - pane * (0.86 - 0.30 * streak)
    if fabric.make == "gaiter":
        # Hair covers its ends behind the ears.
        opacity = np.clip(sheet.from_side / 18 - 0.1, 0, 1)
    return Cover(relief, np.clip(albedo, 0, 1), opacity)


def _surgical(
    sheet: Sheet, spacing_mm: float, rng: np.random.Generator, depth: float = 1.0
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Three pleats that open towards the middle, welded hems, a nose wire, folded strips at the sides.

    The depth of the pleats is 1 where they are pulled open, near 0 where they lie flat.
    """
    u, v = sheet.columns, sheet.rows
    drop = sheet.from_upper[-1:]
    relief = np.zeros(sheet.from_upper.shape)
    tone = np.ones_like(relief)
    side = np.abs(u)
    for number, at in enumerate((0.335, 0.52, 0.70)):
        wave = 0.010 * _noise_across(sheet, spacing_mm, 22.0, rng) + (number - 1) * 0.02 * (1 - side**2)
        below = (v - at - wave) * drop
        open_up = (1.9 - 0.9 * (1 - side**1.5)) * (1 + 0.2 * _noise_across(sheet, spacing_mm, 16.0, rng))
        relief += depth * open_up * np.exp(np.minimum(below, 0) / 9) * _step(-below, 0.45)
        relief += depth * 0.5 * (1 - side**4) * np.exp(-np.square((below + 9) / 6))
        shadow = (0.24 + 0.13 * side) * (0.5 + 0.5 * depth)
        tone *= 1 - shadow * np.exp(-np.maximum(below, 0) / (0.7 + 0.9 * depth)) * _step(below, 0.4)
    strip = _step(9.0 - sheet.from_side, 0.3)
    # The strip holds the pleats flat.
    relief = relief * (1 - 0.4 * strip) + 0.7 * strip
    upper, lower = _step(11.0 - sheet.from_upper, 0.3), _step(7.0 - sheet.from_lower, 0.3)
    relief += 0.25 * np.maximum(upper, lower)
    wire = np.exp(-np.square((sheet.from_upper - 5.5) / 1.5)) * _step(52 - np.abs(sheet.across), 1.0)
    relief += 0.7 * wire
    welds = _welds(sheet.from_upper, 9.5, sheet.across) + _welds(sheet.from_lower, 5.0, sheet.across)
    for line in (2.2, 6.8):
        welds = welds + _welds(sheet.from_side, line, sheet.from_upper)
    tone *= 1 - 0.10 * np.clip(welds, 0, 1)
    # The strip ends in a step that throws a shadow on the pleats.
    tone *= 1 - 0.14 * np.exp(-np.maximum(sheet.from_side - 9.0, 0) / 1.5) * (1 - strip)
    relief -= 0.25 * np.clip(welds, 0, 1)
    return relief, tone, 0.6 * np.maximum(np.maximum(0.6 * upper, 0.5 * lower), strip)


def _kn95(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Two stiff panels welded along the middle, dotted welds along the edges, a nose wire, pressed ribs."""
    off_middle = np.abs(sheet.across)
    relief = 0.5 * _noise(sheet, spacing_mm, 26.0, 18.0, rng) * _loose(sheet)
    tone = np.ones_like(relief)
    lip = np.exp(-np.square(off_middle / 1.3))
    relief += 0.9 * lip
    rim = _rim(sheet)
    pressed = _step(6.0 - rim, 0.5)
    relief -= 0.55 * pressed
    along = sheet.across + sheet.from_upper
    welds = _welds(rim, 3.0, along) + _welds(rim, 5.2, along) + _welds(off_middle, 2.6, sheet.from_upper)
    # A second weld across the corner keeps the panels in shape.
    welds = np.clip(welds + _welds(sheet.from_side, 13.0, sheet.from_upper), 0, 1)
    relief -= 0.35 * welds
    tone *= (1 - 0.085 * welds) * (1 - 0.05 * np.exp(-np.square((off_middle - 1.8) / 0.8)))
    wire = np.exp(-np.square((sheet.from_upper - 9.5) / 2.0)) * _step(42 - off_middle, 0.8)
    relief += 0.8 * wire
    return relief, tone, 0.0 * relief


def _cloth(
    sheet: Sheet, spacing_mm: float, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Two panels sewn along a curved middle seam, hems with a row of stitches."""
    off_middle = np.abs(sheet.across)
    relief = 0.45 * _noise(sheet, spacing_mm, 22.0, 14.0, rng) * _loose(sheet)
    seam = np.exp(-np.square(off_middle / 0.7))
    relief += -0.8 * seam + 0.35 * np.exp(-np.square((off_middle - 2.0) / 1.4))
    tone = 1 - 0.22 * seam
    hem = _rim(sheet)
    relief += 0.45 * _step(6.5 - hem, 0.35)
    along = sheet.across + 0.6 * sheet.from_upper
    dash = 0.55 + 0.45 * np.sign(np.sin(along * 2 * np.pi / 2.8))
    stitches = np.exp(-np.square((hem - 5.6) / 0.45)) * dash
    relief -= 0.35 * np.exp(-np.square((hem - 5.6) / 0.7))
    tone = tone * (1 - 0.14 * np.clip(stitches, 0, 1))
    return relief, tone, 0.0 * relief


def _boat(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Three stiff panels, folded along two lines across the front, with welded edges and a nose wire."""
    off_middle = np.abs(sheet.across)
    relief = 0.35 * _noise(sheet, spacing_mm, 24.0, 14.0, rng) * _loose(sheet)
    tone = np.ones_like(relief)
    drop, side = sheet.from_upper[-1:], np.abs(sheet.columns)
    for at, bow in ((0.33, -0.07), (0.70, 0.07)):
        off = (sheet.rows - at - bow * side**2) * drop
        relief += 1.6 * (1 - 0.6 * side) * np.exp(-np.abs(off) / 5.0)
        tone *= 1 - 0.20 * np.exp(-np.square(off / 0.7)) - 0.07 * np.exp(-np.maximum(off, 0) / 3.0) * (off > 0)
    rim = _rim(sheet)
    relief -= 0.5 * _step(5.0 - rim, 0.5)
    welds = np.clip(
        _welds(rim, 2.6, sheet.across + sheet.from_upper) + _welds(sheet.from_side, 8.0, sheet.from_upper), 0, 1
    )
    relief -= 0.3 * welds
    tone *= 1 - 0.08 * welds
    relief += 0.7 * np.exp(-np.square((sheet.from_upper - 8.0) / 2.0)) * _step(40 - off_middle, 0.8)
    return relief, tone, 0.0 * relief


def _cup(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array, Float64Array]:
    """A moulded shell: a pressed rim, ribs across the front, a fibrous skin, a metal clip over the nose."""
    rim = _rim(sheet)
    relief = 0.16 * _noise(sheet, spacing_mm, 9.0, 9.0, rng)
    tone = np.ones_like(relief)
    relief -= 1.1 * _step(6.0 - rim, 0.6)
    tone *= 1 - 0.13 * np.exp(-np.square((rim - 6.6) / 0.9))
    side = np.abs(sheet.columns)
    for at in (0.36, 0.47, 0.58):
        off = (sheet.rows - at - 0.03 * side**2) * sheet.from_upper[-1:]
        rib = np.exp(-np.square(off / 2.0)) * _step(0.62 - side, 0.04)
        relief += 0.75 * rib
        tone *= 1 - 0.05 * np.exp(-np.square((off - 2.8) / 1.2)) * _step(0.62 - side, 0.04)
    fibre = _noise(sheet, spacing_mm, 2.4, 2.4, rng)
    tone *= 1 + 0.012 * fibre
    clip = np.exp(-((np.abs(sheet.from_upper - 8.5) / 2.4) ** 6)) * _step(33 - np.abs(sheet.across), 0.5)
    relief += 0.7 * clip
    return relief, tone, clip


def _knit(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array, Float64Array]:
    """As sewn cloth, but knitted: columns of stitches that lean to and fro."""
    relief, tone, trim = _cloth(sheet, spacing_mm, rng)
    x, y = _along_skin(sheet)
    wale, course = 3.0, 2.4
    in_wale = (x / wale) % 1
    lean = np.where(in_wale < 0.5, 1.0, -1.0)
    stitch = np.cos(2 * np.pi * (y / course + lean * 0.9 * (in_wale - 0.5)))
    groove = np.abs(np.sin(np.pi * in_wale))
    return relief + 0.22 * stitch * groove, tone * (0.90 + 0.07 * stitch * groove + 0.09 * groove), trim


def _foam(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> tuple[Float64Array, Float64Array, Float64Array]:
    """One smooth piece, cut raw, with a welded seam down the middle."""
    seam = np.exp(-np.square(sheet.across / 0.9))
    relief = 0.25 * _noise(sheet, spacing_mm, 26.0, 20.0, rng) * _loose(sheet)
    relief += -0.55 * seam + 0.3 * np.exp(-np.square((np.abs(sheet.across) - 2.2) / 1.2))
    return relief, 1 - 0.15 * seam, 0.0 * relief


def _duckbill(
    sheet: Sheet, spacing_mm: float, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Two stiff panels welded along the front, dotted welds at the edges, a nose wire."""
    front = (sheet.rows - 0.5) * sheet.from_upper[-1:]
    relief = 0.4 * _noise(sheet, spacing_mm, 26.0, 14.0, rng) * _loose(sheet)
    lip = np.exp(-np.square(front / 1.5))
    relief += 1.3 * lip
    rim = _rim(sheet)
    along = sheet.across + sheet.from_upper
    welds = np.clip(_welds(rim, 3.0, along) + _welds(np.abs(front), 3.2, sheet.across), 0, 1)
    relief += -0.35 * welds - 0.5 * _step(5.5 - rim, 0.5)
    relief += 0.7 * np.exp(-np.square((sheet.from_upper - 8.0) / 2.0)) * _step(42 - np.abs(sheet.across), 0.8)
    tone = (1 - 0.09 * welds) * (1 - 0.10 * np.exp(-np.square((front - 2.4) / 1.2)))
    return relief, tone, 0.0 * relief


def _gaiter(
    sheet: Sheet, spacing_mm: float, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """A tube of stretch cloth: soft folds across where it hangs, a narrow hem."""
    y = sheet.points[..., 1]
    slack = np.clip((y - 60) / 60, 0, 1) * _step(sheet.from_lower - 8, 3.0)
    sway = 5 * _noise_across(sheet, spacing_mm, 80.0, rng) + 1.6 * _noise(sheet, spacing_mm, 70.0, 40.0, rng)
    folds = np.sin(2 * np.pi * (y + sway) / 23.0) + 0.4 * np.sin(2 * np.pi * (y + 1.5 * sway) / 13.5 + 1.0)
    strength = np.clip(0.6 + 0.5 * _noise(sheet, spacing_mm, 60.0, 30.0, rng), 0.05, 1.3)
    relief = 1.3 * slack * (folds * strength + 1) + 0.5 * _noise(sheet, spacing_mm, 24.0, 12.0, rng) * (0.3 + slack)
    hem = np.minimum(sheet.from_upper, sheet.from_lower)
    relief += 0.4 * _step(5.0 - hem, 0.35)
    tone = (1 + 0.06 * slack * folds) * (1 - 0.14 * np.exp(-np.square((hem - 5.4) / 0.6)))
    return relief, tone, 0.0 * relief


def _picture(
    sheet: Sheet, spacing_mm: float, rng: np.random.Generator
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Nothing but the turned-over edge: the folds are in the picture."""
    relief = 0.3 * _noise(sheet, spacing_mm, 24.0, 16.0, rng) * _loose(sheet)
    return relief, np.ones_like(relief), 0.0 * relief


_MAKES: Final[dict[Make, _Maker]] = {
    "surgical": _surgical,
    "surgical_flat": partial(_surgical, depth=0.3),
    "kn95": _kn95,
    "boat": _boat,
    "cup": _cup,
    "cloth": _cloth,
    "knit": _knit,
    "foam": _foam,
    "duckbill": _duckbill,
    "gaiter": _gaiter,
    "window": _cloth,
    "picture": _picture,
}


def _pane(sheet: Sheet) -> tuple[Float64Array, Float64Array]:
    """Where a window is, 0 to 1, and where light glances off it."""
    u, v = sheet.across / 36.0, (sheet.rows - 0.50) / 0.26
    inside = 1 - (np.abs(u) ** 3 + np.abs(v) ** 3) ** (1 / 3)
    glance = np.exp(-np.square((u + 0.35 * v + 0.45) / 0.10)) + 0.6 * np.exp(-np.square((u + 0.35 * v - 0.5) / 0.16))
    glance = glance * np.clip(1.2 - np.square(v), 0, 1)
    edge = np.exp(-np.square(inside / 0.05))
    return _step(inside, 0.03), np.clip(glance + 0.5 * edge, 0, 1)


def _along_skin(sheet: Sheet) -> tuple[Float64Array, Float64Array]:
    """Millimetres across, negative at image left, and down.

    Measured on a head of average roundness: along the net, a pattern would be stretched where its rows diverge.
    """
    angle = np.arctan2(np.abs(sheet.points[..., 0]), sheet.points[..., 2] - AXIS_Z_MM)
    across = 125 * angle - 22 * np.square(angle)
    return np.sign(sheet.points[..., 0]) * across, sheet.points[..., 1] - sheet.points[..., 1].min()


def _printed(fabric: Fabric, sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> Float64Array:
    """(R, C, 3) colours of the cloth with its print, 0 to 1."""
    x, y = (value / fabric.pattern_mm for value in _along_skin(sheet))
    albedo = np.broadcast_to(np.array(fabric.colour) / 255, (*x.shape, 3))
    colours = [np.array(colour) / 255 for colour in fabric.prints]
    for share, colour in zip(_shares(fabric.pattern, len(colours), x, y, rng), colours, strict=False):
        albedo = albedo + share[..., None] * (colour - albedo)
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
        return [_step(1.6 - np.hypot(in_x, in_y) * pitch, 0.25)]
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
    if pattern in ("floral", "paisley"):
        return _flowers(x, y, rng, pattern == "paisley")
    if pattern == "camouflage":
        return [_step(_blots(x, y, 15.0, rng) - limit, 0.06) for limit in (0.15, 0.45, 0.75)[:count]]
    return []


def _band(value: Float64Array, pitch: float, width: float, middle: float) -> Float64Array:
    """Bands of a width, a pitch apart."""
    return _step(width / 2 - np.abs((value - middle + pitch / 2) % pitch - pitch / 2), 0.25)


def _blots(x: Float64Array, y: Float64Array, size: float, rng: np.random.Generator) -> Float64Array:
    """A random field of about deviation 1, made of waves."""
    field = np.zeros(x.shape)
    for _ in range(40):
        length, turn, phase = size * rng.uniform(0.7, 2.4), rng.uniform(0, np.pi), rng.uniform(0, 2 * np.pi)
        field += np.cos((x * np.cos(turn) + 1.7 * y * np.sin(turn)) * 2 * np.pi / length + phase)
    return np.asarray(field / np.sqrt(20.0))


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
                blossom[near] = np.maximum(blossom[near], _step(edge - off, 0.3) - _step(edge - 1.0 - off, 0.3))
                leaf[near] = np.maximum(leaf[near], _step(0.62 * edge - off, 0.3))
                heart[near] = np.maximum(heart[near], _step(0.36 * edge - off, 0.3) - _step(0.22 * edge - off, 0.3))
                for side in np.arange(0.4, 6.0, 0.8):
                    dot = np.hypot(dx - 1.22 * size * np.cos(side), dy - 1.22 * size * np.sin(side))
                    heart[near] = np.maximum(heart[near], _step(0.55 - dot, 0.2))
                continue
            edge = size * (0.62 + 0.38 * np.abs(np.cos(way * petals / 2)))
            blossom[near] = np.maximum(blossom[near], _step(edge - off, 0.3))
            heart[near] = np.maximum(heart[near], _step(0.28 * size - off, 0.25))
            for side in (0.6, 2.4):
                along = dx * np.cos(turn + side) + dy * np.sin(turn + side) - 1.25 * size
                beside = -dx * np.sin(turn + side) + dy * np.cos(turn + side)
                oval = 1 - np.hypot(along / (0.62 * size), beside / (0.26 * size))
                leaf[near] = np.maximum(leaf[near], _step(oval, 0.12))
    return [leaf, blossom, heart]


def _creases(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> Float64Array:
    """Pulls from the corners towards the middle and a slow waviness of the whole."""
    x, y = sheet.across, sheet.from_upper
    half, drop = float(x.max()), float(y[:, x.shape[1] // 2].max())
    relief = 0.28 * _noise(sheet, spacing_mm, 16.0, 9.0, rng) + 0.10 * _noise(sheet, spacing_mm, 7.0, 4.0, rng)
    for side in (-1, 1):
        for corner_v in (0.1, 0.3, 0.5, 0.7, 0.9):
            start = np.array([side * half * rng.uniform(0.82, 0.97), drop * (corner_v + rng.uniform(-0.08, 0.08))])
            goal = np.array([side * half * rng.uniform(0.1, 0.4), drop * rng.uniform(0.2, 0.85)])
            relief = relief + _crease(x, y, start, goal, rng.uniform(1.8, 3.6), rng.uniform(0.3, 0.85))
    return relief * _loose(sheet)


def _crease(
    x: Float64Array, y: Float64Array, start: Float64Array, goal: Float64Array, width: float, depth: float
) -> Float64Array:
    """A ridge with a steep and a gentle side that dies away towards its goal."""
    length = float(np.linalg.norm(goal - start))
    way = (goal - start) / length
    along = (x - start[0]) * way[0] + (y - start[1]) * way[1]
    off = -(x - start[0]) * way[1] + (y - start[1]) * way[0]
    off = off + 3.0 * np.sin(along / length * 2.4)
    spread = width * (1 + 0.9 * np.clip(along / length, 0, 1))
    profile = np.exp(-np.square(off / spread)) - 0.5 * np.exp(-np.square((off - 1.8 * spread) / (1.5 * spread)))
    fade = np.clip(along / (0.15 * length) + 0.3, 0, 1) * np.clip(1.15 - along / length, 0, 1)
    crease: Float64Array = depth * profile * fade
    return crease


def _loose(sheet: Sheet) -> Float64Array:
    """How freely the cloth can wrinkle, 0 to 1: hems and sides are stiff."""
    return (0.25 + 0.75 * np.clip(_rim(sheet) / 16, 0, 1)) * np.clip(sheet.from_side / 10, 0.25, 1)


def _rim(sheet: Sheet) -> Float64Array:
    """Distance to the nearest edge, millimetres."""
    return np.minimum(np.minimum(sheet.from_upper, sheet.from_lower), sheet.from_side)


def _rounding(sheet: Sheet) -> Float64Array:
    """The turned-over edge: what makes it look thick."""
    rim = _rim(sheet)
    return 0.9 * np.square(np.clip(1 - rim / 1.3, 0, 1))


def _welds(off: Float64Array, line_mm: float, along: Float64Array) -> Float64Array:
    """A row of pressed dots at a distance from an edge."""
    dot = 0.5 + 0.5 * np.cos(along * 2 * np.pi / 2.6)
    return np.exp(-np.square((off - line_mm) / 0.6)) * dot


def _step(value: Float64Array, softness: float) -> Float64Array:
    """0 where negative, 1 where positive, with a soft edge."""
    return np.asarray(0.5 + 0.5 * np.tanh(value / softness))


def _noise(sheet: Sheet, spacing_mm: float, across_mm: float, down_mm: float, rng: np.random.Generator) -> Float64Array:
    """Random waves of about these lengths, mean 0, deviation 1."""
    raw = rng.standard_normal(sheet.from_upper.shape)
    smooth = gaussian_filter(raw, (down_mm / spacing_mm / 2, across_mm / spacing_mm / 2), mode="mirror")
    return np.asarray(np.clip((smooth - smooth.mean()) / smooth.std(), -2, 2))


def _noise_across(sheet: Sheet, spacing_mm: float, length_mm: float, rng: np.random.Generator) -> Float64Array:
    """(1, C) random waves along a row, mean 0, deviation 1."""
    raw = rng.standard_normal(sheet.from_upper.shape[1])
    smooth = gaussian_filter(raw, length_mm / spacing_mm / 2, mode="mirror")
    return np.asarray(np.clip((smooth - smooth.mean()) / smooth.std(), -2, 2))[None]
