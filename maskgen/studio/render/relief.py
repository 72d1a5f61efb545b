"""What cloth does, as heights over its sheet: steps, welds, stitches, creases; and the light that reaches them.

Convention
----------
(R, C) arrays over the vertices of a `Sheet`; heights are millimetres away from the head.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter

from maskgen.arrays import Float64Array
from maskgen.studio.render.sheet import Sheet

# Light comes from the front and above: how much higher a ray is after each millimetre that it goes up along the cloth.
_RISE: Final = 1.0
_SHADOW_REACH_MM: Final = 9.0


def step(value: Float64Array, softness: float) -> Float64Array:
    """0 where negative, 1 where positive, with a soft edge."""
    return np.asarray(0.5 + 0.5 * np.tanh(value / softness))


def bump(value: Float64Array, width: float | Float64Array) -> Float64Array:
    """1 at zero, falling off on both sides (Gaussian)."""
    return np.asarray(np.exp(-np.square(value / width)))


def noise(sheet: Sheet, across_mm: float, down_mm: float, rng: np.random.Generator) -> Float64Array:
    """Random waves of about these lengths, mean 0, deviation 1."""
    across_step, down_step = sheet.steps_mm
    raw = rng.standard_normal(sheet.from_upper.shape)
    smooth = gaussian_filter(raw, (down_mm / down_step / 2, across_mm / across_step / 2), mode="mirror")
    return np.asarray(np.clip((smooth - smooth.mean()) / smooth.std(), -2, 2))


def noise_across(sheet: Sheet, length_mm: float, rng: np.random.Generator) -> Float64Array:
    """(1, C) random waves along a row, mean 0, deviation 1."""
    raw = rng.standard_normal(sheet.from_upper.shape[1])
    smooth = gaussian_filter(raw, length_mm / sheet.steps_mm[0] / 2, mode="mirror")
    return np.asarray(np.clip((smooth - smooth.mean()) / smooth.std(), -2, 2))[None]


def rim(sheet: Sheet) -> Float64Array:
    """Distance to the nearest edge, millimetres."""
    return np.minimum(np.minimum(sheet.from_upper, sheet.from_lower), sheet.from_side)


def along_rim(sheet: Sheet) -> Float64Array:
    """A coordinate that runs along whichever edge is nearest, millimetres."""
    level = np.minimum(sheet.from_upper, sheet.from_lower)
    return np.where(sheet.from_side < level, sheet.from_upper, sheet.across)


def loose(sheet: Sheet) -> Float64Array:
    """How freely the cloth can wrinkle, 0 to 1: hems and sides are stiff."""
    return (0.25 + 0.75 * np.clip(rim(sheet) / 16, 0, 1)) * np.clip(sheet.from_side / 10, 0.25, 1)


def rounding(sheet: Sheet, thickness_mm: float = 0.9) -> Float64Array:
    """How far the turned-over edge falls off: what makes it look thick."""
    return thickness_mm * np.square(np.clip(1 - rim(sheet) / (1.4 * thickness_mm), 0, 1))


def welds(off: Float64Array, line_mm: float, along: Float64Array, pitch_mm: float = 2.8) -> Float64Array:
    """A row of pressed dots at a distance from an edge, 0 to 1."""
    dot = step(np.cos(along * 2 * np.pi / pitch_mm), 0.35)
    return bump(off - line_mm, 0.65) * dot


def stitches(off: Float64Array, line_mm: float, along: Float64Array, pitch_mm: float = 3.0) -> Float64Array:
    """A row of stitches at a distance from an edge: 1 on the thread, 0 between."""
    thread = step(np.sin(along * 2 * np.pi / pitch_mm) + 0.35, 0.3)
    return bump(off - line_mm, 0.5) * thread


def fold(
    sheet: Sheet, start: tuple[float, float], goal: tuple[float, float], width: float, depth: float, sharp: float = 0.5
) -> Float64Array:
    """A crease from one place to another, in shares (across -1 to 1, down 0 to 1); it begins narrow and dies away.

    Parameters
    ----------
    width, depth : float
        Of the crease at its goal, millimetres; a negative depth dents the cloth.
    sharp : float
        0 for a round fold, 1 for a crest with flat faces.
    """
    half, drop = float(sheet.across.max()), float(np.median(sheet.from_upper[-1]))
    x, y = sheet.columns * half, sheet.rows * drop
    ends = np.array([start, goal]) * [half, drop]
    length = float(np.linalg.norm(ends[1] - ends[0]))
    way = (ends[1] - ends[0]) / length
    along = ((x - ends[0, 0]) * way[0] + (y - ends[0, 1]) * way[1]) / length
    off = -(x - ends[0, 0]) * way[1] + (y - ends[0, 1]) * way[0]
    spread = width * (0.35 + 0.65 * np.clip(along, 0, 1))
    crest = np.maximum(1 - np.abs(off) / (1.8 * spread), 0)
    profile = sharp * crest + (1 - sharp) * bump(off, spread)
    fade = np.clip(along / 0.12 + 0.4, 0, 1) * np.square(np.clip(1.1 - along, 0, 1)) * 1.2
    return np.asarray(depth * profile * np.clip(fade, 0, 1) * (along > -0.05))


def creases(sheet: Sheet, rng: np.random.Generator) -> Float64Array:
    """Pulls from the corners and the sides towards the middle, and a slow waviness of the whole."""
    relief = 0.45 * noise(sheet, 30.0, 15.0, rng) + 0.22 * crumple(sheet, 44.0, rng) + 0.12 * crumple(sheet, 18.0, rng)
    for side in (-1, 1):
        for height in (0.06, 0.18, 0.32, 0.46, 0.6, 0.76, 0.92):
            start = side * rng.uniform(0.86, 0.98), height + rng.uniform(-0.06, 0.06)
            goal = side * rng.uniform(0.1, 0.6), float(np.clip(height + rng.uniform(-0.2, 0.2), 0.1, 0.9))
            relief = relief + fold(
                sheet, start, goal, rng.uniform(2.0, 5.0), rng.uniform(0.5, 1.9), rng.uniform(0.4, 0.9)
            )
    return np.asarray(relief * loose(sheet))


def crumple(sheet: Sheet, length_mm: float, rng: np.random.Generator) -> Float64Array:
    """Flat faces between sharp creases, as of paper that was folded in a pocket; 0 to about 2."""
    # Of several fields the highest: where two cross, there is a crease.
    fields = [noise(sheet, length_mm * 1.5, length_mm * 0.5, rng) for _ in range(3)]
    return np.asarray(np.maximum(np.maximum(fields[0], fields[1]), fields[2]))


def openness(relief: Float64Array, sheet: Sheet) -> Float64Array:
    """How much light reaches a place by its relief: 1 on a flat one.

    Hollows see less of the sky, and what stands out throws a shadow on what lies below it.
    """
    across_step, down_step = sheet.steps_mm
    sky = np.ones_like(relief)
    for reach, strength in ((0.8, 0.22), (2.2, 0.14), (6.0, 0.07)):
        hollow = relief - gaussian_filter(relief, (reach / down_step, reach / across_step), mode="nearest")
        sky = sky * np.clip(1 + strength * hollow, 0.55, 1.10)
    # Rows lie closer together where a mask is shorter.
    apart = sheet.from_upper[-1:] / (len(relief) - 1)
    blocked = np.zeros_like(relief)
    for rows in range(1, round(_SHADOW_REACH_MM / down_step) + 1, 1 + round(0.5 / down_step) // 2):
        above = relief[:-rows] - relief[rows:] - _RISE * rows * apart
        np.maximum(blocked[rows:], above, out=blocked[rows:])
    shadow = np.clip(blocked / 0.9, 0, 1)
    return np.asarray(sky * (1 - 0.34 * shadow))
