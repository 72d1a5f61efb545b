"""Fields of cloth over the skin unrolled, in millimetres: creases, and the weaves of each kind of cloth.

They are made once from fixed seeds, so they take no room in a catalog and are as sharp on a face of 1,000 pixels as on
one of 100. Each is at hand ever coarser by halves.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final, NamedTuple, get_args

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.schema import Weave

CREASE_FIELDS: Final = 8
"""How many fields of creases there are; each serves mirrored too."""
# What a field of creases spans: millimetres round the head to both sides, and down from the eyes' height.
HALF_MM: Final = 140.0
TOP_MM, BOTTOM_MM = -30.0, 190.0
CREASE_SIDE_WH: Final = (280, 220)
# Cloth has no sharper creases than so many millimetres; and how often a field is at hand in half the size, blurred by
# so many of its cells, or creases would break up into dashes on small faces.
_SOFT_MM: Final = 1.0
CREASE_LEVELS: Final = 3
_SOFT_CELLS: Final = 0.7
PER_UNIT, ZERO = 40.0, 128.0
# Pixels of the weave's tile per millimetre, and its side.
WEAVE_PER_MM: Final = 6.0
_WEAVE_SIDE: Final = 384
WEAVE_LEVELS: Final = 6
_REPEATED_FROM: Final = 2
# How much lighter one side may be than the other, in deviations of the creases.
_SIDES: Final = 1.8
# How much light comes from the sides, against that from above, and how deep the upright folds are that cloth has where
# it stands off the face.
_ASIDE: Final = 1.0
_TENTS: Final = 0.5
# How even the light on the faces between creases is, and how much there is of it, against that on the creases.
_FACETED: Final = 1.2
_FACES: Final = 1.4


@cache
def creases_of(number: int) -> Float32Array:
    """(h, w, 4) creases as light from above shows them, how they move what is on the cloth, right and down, and pleats.

    The last is how far pleats lie from where they should: each by itself, and otherwise at one end than at the other.
    """
    rng = np.random.default_rng([number, 68])
    width, height = CREASE_SIDE_WH
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    # Slack: flat faces, a crease where two meet; they run across, down and anyhow.
    fields = [
        _blurred(rng.standard_normal((height, width)), *size) for size in ((20.0, 7.0), (7.0, 16.0), (10.0, 10.0))
    ]
    slack = 1.1 * np.maximum(np.maximum(fields[0], fields[1]), fields[2])
    pulls = np.zeros_like(slack)
    # Pulls: from the sides and the corners inwards.
    for _ in range(int(rng.integers(12, 22))):
        side = rng.choice([-1.0, 1.0])
        start = np.array([width / 2 + side * rng.uniform(48, 78), rng.uniform(45, 145)])
        goal = np.array([width / 2 + side * rng.uniform(-18, 40), start[1] + rng.uniform(-32, 32)])
        broad, depth = rng.uniform(1.6, 4.0), rng.uniform(0.6, 2.0) * rng.choice([-1, 1], p=[0.3, 0.7])
        low, high = (np.floor(edge).astype(int) for edge in (np.minimum(start, goal) - 9, np.maximum(start, goal) + 10))
        near = slice(max(low[1], 0), max(high[1], 0)), slice(max(low[0], 0), max(high[0], 0))
        pulls[near] += _pull(columns[near], rows[near], start, goal, broad, depth)
    aside = rng.uniform(-_ASIDE, _ASIDE)
    faces, sharp = (_lit(part.astype(np.float32), aside) for part in (slack, pulls))
    faces += _TENTS * _blurred(rng.standard_normal((height, width)), 5.0, 14.0) * faces.std()
    # Cloth lies in flat faces between its creases: they are lit or not, and little between.
    faces = np.tanh(_FACETED * _unit(faces))
    light = _unit(_FACES * _unit(faces) + _unit(sharp))
    relief = slack + pulls
    wander = 5 * _blurred(rng.standard_normal((height, 1)), 1.0, 14.0)
    shades = np.clip(light + _sides(columns, rows, rng.uniform(0, _SIDES), wander), -3, 3)
    soft = cv2.GaussianBlur(relief, (0, 0), 1.5).astype(np.float32)
    right, down = (cv2.Sobel(soft, cv2.CV_32F, *axis) / 8 for axis in ((1, 0), (0, 1)))
    spread = np.sqrt((right.var() + down.var()) / 2)
    fan = (columns - width / 2) / 60 * _blurred(rng.standard_normal((height, 1)).repeat(width, axis=1), 1.0, 8.0)
    astray = 0.8 * _blurred(rng.standard_normal((height, width)), 45.0, 9.0) + 0.6 * np.clip(fan, -2.5, 2.5)
    shifts = (np.clip(shift, -2.5, 2.5) for shift in (right / spread, down / spread, astray))
    creases: Float32Array = cv2.merge([field.astype(np.float32) for field in (shades, *shifts)])
    return creases


class Creases(NamedTuple):
    """Creases as cloth shows them, the one float32, the other uint8.

    Attributes
    ----------
    shades : (h, w) array
        How light they are.
    bends : (h, w, 3) array
        How they move what is on the cloth, and pleats, in `PER_UNIT` steps from `ZERO` on: bytes take less room.
    """

    shades: Float32Array
    bends: Image


@cache
def softened(number: int) -> tuple[Creases, ...]:
    """Creases as soft as cloth has them, then the same ever coarser by halves."""
    levels = [cv2.GaussianBlur(creases_of(number), (0, 0), _SOFT_MM)]
    for _ in range(CREASE_LEVELS - 1):
        soft = cv2.GaussianBlur(levels[-1], (0, 0), _SOFT_CELLS)
        levels.append(cv2.resize(soft, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return tuple(
        Creases(
            np.ascontiguousarray(level[..., 0]),
            np.clip(np.round(level[..., 1:] * PER_UNIT + ZERO), 0, 255).astype(np.uint8),
        )
        for level in levels
    )


def level_of(cells_per_pixel: float, levels: int) -> int:
    """Which of the fields that are ever coarser by halves has about a cell for each pixel."""
    return min(max(round(math.log2(max(cells_per_pixel, 1e-3))), 0), levels - 1)


def _lit(relief: Float32Array, aside: float) -> Float32Array:
    """Light on a relief (h, w): from above, and from one side more than from the other; hollows lie in shade."""
    down, right = (cv2.Sobel(relief, cv2.CV_32F, *axis) / 8 for axis in ((0, 1), (1, 0)))
    light: Float32Array = down + aside * right - 0.5 * (cv2.GaussianBlur(relief, (0, 0), 3.0) - relief)
    return light


def _sides(x: Float32Array, y: Float32Array, strength: float, wander: Float32Array) -> Float32Array:
    """One side of a mask lighter than the other: cloth that stands off the nose has an edge there, as a tent has.

    The edge is not straight: it wanders, row by row.
    """
    across, down = x - CREASE_SIDE_WH[0] / 2 - wander, y + TOP_MM
    below_nose = np.clip((down - 35) / 15, 0, 1) * np.clip((125 - down) / 20, 0, 1)
    sides: Float32Array = strength * np.tanh(across / 9) * np.exp(-np.abs(across) / 50) * below_nose
    return sides


def _pull(
    x: Float32Array, y: Float32Array, start: np.ndarray, goal: np.ndarray, width: float, depth: float
) -> Float32Array:
    """A sharp crease that dies away towards its goal."""
    length = float(np.linalg.norm(goal - start))
    way = (goal - start) / length
    along = ((x - start[0]) * way[0] + (y - start[1]) * way[1]) / length
    off = -(x - start[0]) * way[1] + (y - start[1]) * way[0]
    crest = np.maximum(1 - np.abs(off) / (1.5 * width * (0.4 + 0.6 * np.clip(along, 0, 1))), 0)
    result: Float32Array = depth * crest * np.clip(8 * along, 0, 1) * np.square(np.clip(1.05 - along, 0, 1))
    return result


@cache
def weave_of(kind: Weave) -> tuple[Float32Array, ...]:
    """A seamless tile of cloth, then the same ever coarser by halves."""
    rng = np.random.default_rng([get_args(Weave).index(kind), 384])
    side = _WEAVE_SIDE
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side * 2 * np.pi
    # Pressed fibres are even; threads and stitches are not.
    broad = 0.35 if kind == "nonwoven" else 1.0
    cloud = 0.6 * _blurred(rng.standard_normal((side, side)), 1.2, 1.2)
    for sigma, share in ((4.0, 0.45 * broad), (12.0, 0.35 * broad)):
        cloud = cloud + np.float32(share) * _blurred(rng.standard_normal((side, side)), sigma, sigma)
    if kind == "nonwoven":
        # Fibres every which way, pressed together in small dots.
        fibres = np.zeros((side, side), np.float32)
        for _ in range(1500):
            start, turn = rng.uniform(0, side, 2), rng.uniform(0, np.pi)
            reach = rng.uniform(8, 26) * np.array([np.cos(turn), np.sin(turn)])
            shade = float(rng.uniform(-1, 1))
            for wrap in ((0, 0), (side, 0), (0, side), (side, side)):
                a, b = (tuple(int(v) for v in np.round(start + sign * reach - wrap)) for sign in (-1, 1))
                cv2.line(fibres, a, b, shade, 1, cv2.LINE_AA)
        dots = np.cos(48 * columns) * np.cos(48 * rows)
        field = (
            0.9 * _unit(cv2.GaussianBlur(fibres, (0, 0), 0.6, borderType=cv2.BORDER_REFLECT))
            + cloud
            - 0.5 * np.maximum(dots, 0)
        )
    elif kind == "woven":
        # Threads over and under each other, none as thick as the next.
        thick = 0.8 + 0.25 * _blurred(rng.standard_normal((side, side)), 0.8, 14.0)
        threads = np.cos(96 * columns) * np.cos(96 * rows) + 0.35 * np.cos(192 * columns) + 0.35 * np.cos(192 * rows)
        field = 0.9 * threads * thick + cloud + 0.4 * _blurred(rng.standard_normal((side, side)), 14.0, 0.7)
    elif kind == "knit":
        lean = np.abs(np.sin(24 * columns))
        field = np.cos(40 * rows + 2.6 * lean) * lean + 0.6 * lean + 0.7 * cloud
    else:
        field = cloud
    levels = [_unit(field)]
    for _ in range(WEAVE_LEVELS - 1):
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    # Coarse ones over and over, as far as masks reach: what lies inside a tile is drawn five times as fast.
    over_mm = (BOTTOM_MM - TOP_MM, 2 * HALF_MM + 2 * CREASE_FIELDS)
    return tuple(
        np.tile(level, [math.ceil(mm * WEAVE_PER_MM / side) for mm in over_mm]) if number >= _REPEATED_FROM else level
        for number, level in enumerate(levels)
    )


def _blurred(raw: np.ndarray, across: float, down: float) -> Float32Array:
    """Noise blurred round the edges, its deviation 1."""
    reach = int(4 * max(across, down)) + 1
    padded = np.pad(raw.astype(np.float32), reach, mode="wrap")
    smooth = cv2.GaussianBlur(padded, (0, 0), sigmaX=across, sigmaY=down)[reach:-reach, reach:-reach]
    return _unit(smooth)


def _unit(field: Float32Array) -> Float32Array:
    unit: Float32Array = ((field - field.mean()) / field.std()).astype(np.float32)
    return unit
