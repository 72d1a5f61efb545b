"""How a mask sits on one face: no two sit alike.

Convention
----------
The frame of `maskgen.face.head`: millimetres, x to image right, y down, z towards the viewer. Directions round the
head are degrees about the vertical axis, 0 towards the viewer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array, Float64Array
from maskgen.face.head import ANCHORS, AXIS_Z_MM, head_to_image, point_in_space

# Width against the width in the catalog, and millimetres that the upper edge lies lower: their quartiles on real faces.
_WIDTH: Final = (0.80, 0.88, 0.97, 1.04, 1.11)
_DROP_MM: Final = (-6.0, -3.5, 0.0, 8.0, 10.0)


@dataclass(frozen=True)
class Fit:
    """How a mask sits, against how it sits in the catalog.

    Attributes
    ----------
    width : float
        Of its upper half, a factor.
    taper : float
        Of its lower corners, a factor on top of that.
    drop_mm : float
        How much lower its upper edge lies.
    opened_mm : float
        How much farther down it is pulled open over the chin.
    slack_mm : float
        How much farther it stands off the mouth.
    tilt_deg : float
        How far it is turned, clockwise on screen.
    uneven_mm : float
        How much lower it hangs at image right than in the middle.
    aside_deg, below_deg : float
        How far its sides, and all of its lower half, lie round the head towards image right.
    """

    width: float = 1.0
    taper: float = 1.0
    drop_mm: float = 0.0
    opened_mm: float = 0.0
    slack_mm: float = 0.0
    tilt_deg: float = 0.0
    uneven_mm: float = 0.0
    aside_deg: float = 0.0
    below_deg: float = 0.0


AS_IN_CATALOG: Final = Fit()


def drawn(rng: np.random.Generator) -> Fit:
    """How a mask sits; nine numbers are drawn from the generator."""
    width, drop, taper, opened, slack, tilt, uneven, aside, below = rng.random(9).tolist()
    return Fit(
        width=_quantile(_WIDTH, width),
        taper=0.93 + 0.27 * taper,
        drop_mm=_quantile(_DROP_MM, drop),
        opened_mm=-4.0 + 8.0 * opened,
        slack_mm=-2.0 + 6.0 * slack,
        tilt_deg=-3.0 + 6.0 * tilt,
        uneven_mm=-2.5 + 5.0 * uneven,
        aside_deg=-3.0 + 6.0 * aside,
        below_deg=-4.0 + 8.0 * below,
    )


def _quantile(quartiles: tuple[float, ...], share: float) -> float:
    """What a share of values lie below, the five quartiles of them given."""
    number = min(int(4 * share), 3)
    return quartiles[number] + (4 * share - number) * (quartiles[number + 1] - quartiles[number])


def fitted(points: Float32Array, names: tuple[str, ...], fit: Fit, landmarks_68: Float32Array) -> Float32Array:
    """Control points moved as far as a mask sits otherwise than in the catalog.

    Parameters
    ----------
    points : (K, 2) array
        Where the points lie on the face, pixels.
    names : tuple of str, length K
        Theirs.
    landmarks_68 : (68, 2) array
        Of the face, pixels.

    Returns
    -------
    (K, 2) array
        Pixels. The box around everything and the ears stay.
    """
    if fit == AS_IN_CATALOG:
        return points
    home = _home(names)
    turned = home.turns @ (
        1.0,
        fit.width - 1,
        fit.taper - 1,
        math.radians(fit.aside_deg),
        math.radians(fit.below_deg),
    )
    traits = (1.0, math.radians(fit.tilt_deg), fit.drop_mm, fit.opened_mm, fit.uneven_mm, fit.slack_mm)
    shift = (home.shifts @ traits).reshape(-1, 3)
    shift[:, 0] += home.radius * np.sin(turned)
    shift[:, 2] += home.radius * np.cos(turned)
    moved = shift @ head_to_image(landmarks_68)[:, :3].T
    moved += points
    result: Float32Array = moved.astype(np.float32)
    return result


@lru_cache(maxsize=64)
def along_skin(names: tuple[str, ...]) -> Float32Array:
    """(K, 2) where control points lie on the skin unrolled: millimetres round the head and down."""
    x, y, z = on_head(names).T
    return np.stack([1.5 * np.degrees(np.arctan2(x, z - AXIS_Z_MM)), y], axis=1).astype(np.float32)


@lru_cache(maxsize=64)
def on_head(names: tuple[str, ...]) -> Float64Array:
    """(K, 3) where control points lie on the mean head, millimetres."""
    return np.stack([point_in_space(name) for name in names]).astype(np.float64)


@dataclass(frozen=True)
class _Home:
    """Where K control points lie on the mean head, and how much each trait moves them.

    Attributes
    ----------
    radius : (K,) array
        About the head's axis, millimetres; 0 where they stay whatever the mask does.
    turns : (K, 5) array
        Their angle about it, radians, and how far a wider mask, one of wider lower corners, and one of which the sides
        or the lower half lie aside turns them.
    shifts : (3 K, 6) array
        How far tilt, radians, and drop, opening, hanging and slack, millimetres, move them; first, for 1, how far from
        the points on the axis of which the radius tells.
    """

    radius: Float64Array
    turns: Float64Array
    shifts: Float64Array


@lru_cache(maxsize=64)
def _home(names: tuple[str, ...]) -> _Home:
    still = [name in ANCHORS and name.startswith(("box_", "ear_")) for name in names]
    moves = 1.0 - np.array(still)
    x, y, z = on_head(names).T
    angle, nothing = np.arctan2(x, z - AXIS_Z_MM), np.zeros(len(names))
    # Nothing changes in the middle, all of it beyond the cheeks.
    beside = np.clip(np.abs(np.degrees(angle)) / 25, 0, 1)
    outside = angle * beside
    below = np.clip((y - 30) / 70, 0, 1)
    upper = np.clip(1 - (y - 30) / 110, 0.25, 1)
    lower = np.clip((y - 45) / 75, 0, 1)
    aside = np.clip(x / 55, -1, 1)
    front = np.exp(-np.square(np.degrees(angle) / 35)) * np.clip((y - 10) / 30, 0, 1)
    right = np.stack([-x, 60 - y, nothing, nothing, nothing, nothing], axis=1)
    down = np.stack([nothing, x, upper, lower, aside, nothing], axis=1)
    forwards = np.stack([AXIS_Z_MM - z, nothing, nothing, nothing, nothing, front], axis=1)
    shifts = np.stack([right, down, forwards], axis=1) * moves[:, None, None]
    return _Home(
        np.hypot(x, z - AXIS_Z_MM) * moves,
        np.stack([angle, outside, outside * below, beside * moves, np.clip((y - 60) / 50, 0, 1) * moves], axis=1),
        shifts.reshape(-1, 6),
    )
