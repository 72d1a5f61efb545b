"""Folds that a mask has of its own: long ones, and how far its pleats have slid.

Both lie on the skin unrolled, in millimetres: see `maskgen.masking.cloth`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array

# Between which heights pleats slide, and how far at most: all of them, and towards or away from each other.
_SLIDING_MM: Final = (12, 122)
_SLIDING_ASIDE_MM: Final = 64
_SLID_MM: Final = (6.0, 3.5)
# Long folds: how far they go, how far aside their light is seen, how thick cloth is where it folds, and the gains of
# that light, as logarithms, from the nose and from the sides.
_LONG_MM: Final = 78.0
_BROAD_MM: Final = 9.0
_THICK_MM: Final = 3.0
_TENT_GAIN: Final = 0.24
_SIDE_GAIN: Final = 0.21


@dataclass(frozen=True)
class Fold:
    """A long fold: one side of it is lit, the other lies in shade.

    Attributes
    ----------
    start_mm : (float, float)
        Where it begins on the unrolled skin, round the head and down.
    turn : float
        The way that it goes, radians clockwise from image right.
    strength : float
        Of its light, as a logarithm; the side clockwise of its way is the darker one.
    """

    start_mm: tuple[float, float]
    turn: float
    strength: float


def folds_of(numbers: list[float]) -> tuple[Fold, ...]:
    """Long folds of one mask by twelve numbers of 0 to 1: at most one from the nose down, and one from each side."""
    x, y, turn, deep = numbers[:4]
    # Many masks have none.
    lit = 2 * deep - 1
    folds = [Fold((16 * x - 8, 32 + 12 * y), math.radians(90 + 56 * (turn - 0.5)), _TENT_GAIN * lit)]
    folds = [] if abs(lit) < 0.25 else folds
    for side, (x, y, turn, deep) in ((-1, numbers[4:8]), (1, numbers[8:])):
        if deep < 0.4:
            continue
        start, goal = (54.0, 24 + 30 * y), (-12 + 36 * x, 62 + 46 * turn)
        way = math.atan2(goal[1] - start[1], side * (goal[0] - start[0]))
        folds.append(Fold((side * start[0], start[1]), way, side * -_SIDE_GAIN * (1.7 * deep - 0.5)))
    return tuple(folds)


def light_on(
    folds: Sequence[Fold], strength: float, across_mm: Float32Array, down_mm: Float32Array, mm_per_pixel: float
) -> Float32Array:
    """(H, W) logarithms of gains by the light on long folds, at places (H, W) of the skin."""
    # Cloth has no sharper folds: few pixels tell of those between.
    step = max(round(_THICK_MM / max(mm_per_pixel, 1e-3)), 1)
    height, width = across_mm.shape
    rows, columns = -(-height // step), -(-width // step)
    few = tuple(slice(min(step // 2, length - 1), None, step) for length in (height, width))
    across, down = (np.ascontiguousarray(np.asarray(places)[few]) for places in (across_mm, down_mm))
    gain = np.zeros_like(across)
    picture = _long_fold()
    aside, start = picture.shape[0] // 2, picture.shape[1] // 2
    for fold in folds:
        (x, y), u, v = fold.start_mm, math.cos(fold.turn), math.sin(fold.turn)
        along = cv2.addWeighted(across, u, down, v, start - u * x - v * y)
        off = cv2.addWeighted(across, -v, down, u, aside + v * x - u * y)
        gain = cv2.scaleAdd(cv2.remap(picture, along, off, cv2.INTER_LINEAR), strength * fold.strength, gain)
    if step == 1:
        return np.asarray(gain, np.float32)
    whole = cv2.copyMakeBorder(gain, 0, rows - gain.shape[0], 0, columns - gain.shape[1], cv2.BORDER_REPLICATE)
    fine = cv2.resize(whole, (columns * step, rows * step), interpolation=cv2.INTER_LINEAR)
    return np.asarray(fine[:height, :width], np.float32)


@cache
def _long_fold() -> Float32Array:
    """(h, w) the light on a long fold: bright up to its edge, dark from there on, and less and less so.

    A pixel is a millimetre; it begins in the middle and goes right.
    """
    reach, aside = math.ceil(_LONG_MM), math.ceil(3 * _BROAD_MM)
    off, along = np.mgrid[-aside : aside + 1, -reach : reach + 1].astype(np.float32)
    off = off - 4 * np.sin(along * np.float32(math.pi / _LONG_MM))
    there = np.clip(along / 10, 0, 1) * np.clip(2.5 * (1 - along / _LONG_MM), 0, 1)
    fold: Float32Array = -np.tanh(off / 1.2) * np.exp(-np.abs(off) / _BROAD_MM) * there
    return fold


@cache
def _slides() -> Float32Array:
    """(h, w, 4) how far pleats slide for each way to do so, millimetres; a pixel is two.

    They slide between the edges of a mask: all of them, towards each other, and both more at image right.
    """
    rows, columns = np.mgrid[_SLIDING_MM[0] : _SLIDING_MM[1] + 1 : 2, -_SLIDING_ASIDE_MM : _SLIDING_ASIDE_MM + 1 : 2]
    along = (rows - _SLIDING_MM[0]) * (math.pi / (_SLIDING_MM[1] - _SLIDING_MM[0]))
    all_mm, apart_mm = _SLID_MM[0] * np.sin(along), _SLID_MM[1] * np.sin(2 * along)
    aside = columns / 50
    # At the sides they are welded.
    free = 1 - 0.8 * np.square(columns / _SLIDING_ASIDE_MM)
    all_mm, apart_mm = free * all_mm, free * apart_mm
    ways = np.stack([all_mm, apart_mm, 0.5 * aside * all_mm, 0.7 * aside * apart_mm], axis=-1)
    result: Float32Array = ways.astype(np.float32)
    return result


def slid_down(slid: tuple[float, float, float, float], across_mm: Float32Array, down_mm: Float32Array) -> Float32Array:
    """(H W,) how far down pleats have slid at places (H, W) of the skin, millimetres."""
    x = across_mm * np.float32(0.5)
    x += np.float32(_SLIDING_ASIDE_MM / 2)
    y = down_mm * np.float32(0.5)
    y -= np.float32(_SLIDING_MM[0] / 2)
    ways = cv2.remap(_slides(), x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    result: Float32Array = ways.reshape(-1, 4) @ np.array(slid, np.float32)
    return result
