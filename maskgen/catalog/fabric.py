"""What covers the sheet of a mask: folds, hems, seams and wrinkles as relief, colours and patterns as albedo.

Convention
----------
Everything is computed on the vertices of a `Sheet`, (R, C) arrays; relief is in millimetres away from the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter

from maskgen.catalog.sheet import AXIS_Z_MM, Sheet

FloatArray = npt.NDArray[np.float64]
Colour = tuple[int, int, int]
Make = Literal["surgical", "kn95", "cloth"]
Pattern = Literal["plain", "dots", "checks"]


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
    print_colour : (int, int, int)
        RGB of the print.
    """

    make: Make
    colour: Colour
    trim: Colour | None = None
    inner: Colour = (226, 226, 224)
    elastic: Colour = (228, 228, 226)
    sheen: float = 0.02
    grain: float = 0.015
    wrinkles: float = 1.0
    pattern: Pattern = "plain"
    print_colour: Colour = (230, 230, 226)


@dataclass(frozen=True)
class Cover:
    """The relief and colour of a sheet.

    Attributes
    ----------
    relief : (R, C) array
        Millimetres away from the head.
    albedo : (R, C, 3) array
        0 to 1.
    """

    relief: FloatArray
    albedo: FloatArray


def cover(fabric: Fabric, sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> Cover:
    """The relief and colour of a mask.

    Parameters
    ----------
    spacing_mm : float
        Distance of neighbouring vertices, about.
    """
    relief, tone, trim = _MAKES[fabric.make](sheet, spacing_mm, rng)
    relief = relief + fabric.wrinkles * _creases(sheet, spacing_mm, rng)
    relief = relief - _rounding(sheet)
    weave = _noise(sheet, spacing_mm, 0.5, 0.5, rng)
    mottling = _noise(sheet, spacing_mm, 3.0, 3.0, rng)
    tone = tone * (1 + fabric.grain * (0.8 * weave + 0.6 * mottling))
    base = np.array(fabric.colour) / 255
    albedo = base + _printed(fabric, sheet)[..., None] * (np.array(fabric.print_colour) / 255 - base)
    albedo = albedo + trim[..., None] * (np.array(fabric.trim or fabric.colour) / 255 - albedo)
    return Cover(relief, np.clip(albedo * tone[..., None], 0, 1))


def _surgical(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Three pleats that open towards the middle, welded hems, a nose wire, folded strips at the sides."""
    u, v = sheet.columns, sheet.rows
    drop = sheet.from_upper[-1:]
    relief = np.zeros(sheet.from_upper.shape)
    tone = np.ones_like(relief)
    side = np.abs(u)
    for number, at in enumerate((0.335, 0.52, 0.70)):
        wave = 0.010 * _noise_across(sheet, spacing_mm, 22.0, rng) + (number - 1) * 0.02 * (1 - side**2)
        below = (v - at - wave) * drop
        open_up = (1.9 - 0.9 * (1 - side**1.5)) * (1 + 0.2 * _noise_across(sheet, spacing_mm, 16.0, rng))
        relief += open_up * np.exp(np.minimum(below, 0) / 9) * _step(-below, 0.45)
        relief += 0.5 * (1 - side**4) * np.exp(-np.square((below + 9) / 6))
        tone *= 1 - (0.17 + 0.13 * side) * np.exp(-np.maximum(below, 0) / 1.6) * _step(below, 0.4)
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


def _kn95(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
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


def _cloth(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> tuple[FloatArray, FloatArray, FloatArray]:
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


_MAKES: Final = {"surgical": _surgical, "kn95": _kn95, "cloth": _cloth}


def _printed(fabric: Fabric, sheet: Sheet) -> FloatArray:
    """How much of the print colour each vertex has, 0 to 1; the same left and right of the middle."""
    # Along the skin of a head of this roundness: laid along the net, a pattern is drawn out where the rows part.
    angle = np.arctan2(np.abs(sheet.points[..., 0]), sheet.points[..., 2] - AXIS_Z_MM)
    x = 125 * angle - 22 * np.square(angle)
    y = sheet.points[..., 1] - sheet.points[..., 1].min()
    if fabric.pattern == "dots":
        pitch = 8.5
        row = np.floor(y / pitch)
        in_x = (x / pitch + 0.5 * (row % 2)) % 1 - 0.5
        in_y = (y / pitch) % 1 - 0.5
        return _step(1.6 - np.hypot(in_x, in_y) * pitch, 0.25)
    if fabric.pattern == "checks":
        pitch = 9.0
        stripes = [_step(np.abs((value / pitch) % 1 - 0.5) * pitch - pitch / 4, 0.3) for value in (x, y)]
        return 0.5 * stripes[0] + 0.5 * stripes[1]
    return np.zeros(x.shape)


def _creases(sheet: Sheet, spacing_mm: float, rng: np.random.Generator) -> FloatArray:
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
    x: FloatArray, y: FloatArray, start: FloatArray, goal: FloatArray, width: float, depth: float
) -> FloatArray:
    """A ridge with a steep and a gentle side that dies away towards its goal."""
    length = float(np.linalg.norm(goal - start))
    way = (goal - start) / length
    along = (x - start[0]) * way[0] + (y - start[1]) * way[1]
    off = -(x - start[0]) * way[1] + (y - start[1]) * way[0]
    off = off + 3.0 * np.sin(along / length * 2.4)
    spread = width * (1 + 0.9 * np.clip(along / length, 0, 1))
    profile = np.exp(-np.square(off / spread)) - 0.5 * np.exp(-np.square((off - 1.8 * spread) / (1.5 * spread)))
    fade = np.clip(along / (0.15 * length) + 0.3, 0, 1) * np.clip(1.15 - along / length, 0, 1)
    crease: FloatArray = depth * profile * fade
    return crease


def _loose(sheet: Sheet) -> FloatArray:
    """How freely the cloth can wrinkle, 0 to 1: hems and sides are stiff."""
    return (0.25 + 0.75 * np.clip(_rim(sheet) / 16, 0, 1)) * np.clip(sheet.from_side / 10, 0.25, 1)


def _rim(sheet: Sheet) -> FloatArray:
    """Distance to the nearest edge, millimetres."""
    return np.minimum(np.minimum(sheet.from_upper, sheet.from_lower), sheet.from_side)


def _rounding(sheet: Sheet) -> FloatArray:
    """The turned-over edge: what makes it look thick."""
    rim = _rim(sheet)
    return 0.9 * np.square(np.clip(1 - rim / 1.3, 0, 1))


def _welds(off: FloatArray, line_mm: float, along: FloatArray) -> FloatArray:
    """A row of pressed dots at a distance from an edge."""
    dot = 0.5 + 0.5 * np.cos(along * 2 * np.pi / 2.6)
    return np.exp(-np.square((off - line_mm) / 0.6)) * dot


def _step(value: FloatArray, softness: float) -> FloatArray:
    """0 where negative, 1 where positive, with a soft edge."""
    return np.asarray(0.5 + 0.5 * np.tanh(value / softness))


def _noise(sheet: Sheet, spacing_mm: float, across_mm: float, down_mm: float, rng: np.random.Generator) -> FloatArray:
    """Random waves of about these lengths, mean 0, deviation 1."""
    raw = rng.standard_normal(sheet.from_upper.shape)
    smooth = gaussian_filter(raw, (down_mm / spacing_mm / 2, across_mm / spacing_mm / 2), mode="mirror")
    return np.asarray(np.clip((smooth - smooth.mean()) / smooth.std(), -2, 2))


def _noise_across(sheet: Sheet, spacing_mm: float, length_mm: float, rng: np.random.Generator) -> FloatArray:
    """(1, C) random waves along a row, mean 0, deviation 1."""
    raw = rng.standard_normal(sheet.from_upper.shape[1])
    smooth = gaussian_filter(raw, length_mm / spacing_mm / 2, mode="mirror")
    return np.asarray(np.clip((smooth - smooth.mean()) / smooth.std(), -2, 2))[None]
