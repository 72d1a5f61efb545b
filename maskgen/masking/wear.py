"""How a mask is worn: over nose and chin as it should be, or not.

A mask worn wrongly is the same mask slid over the head: its control points move along the skin in space before the
face's camera sees them, so that every texture serves and nothing is cut off.

Convention
----------
The frame of `maskgen.face.head`: millimetres, x to image right, y down, z towards the viewer. Directions round the
head are degrees about the vertical axis, 0 towards the viewer.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import accumulate
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array
from maskgen.catalog.schema import Wear, WearShares
from maskgen.face import head
from maskgen.face.head import ANCHORS, AXIS_Z_MM, point_in_space


@dataclass(frozen=True)
class _Slide:
    """How far the cloth slides down.

    Attributes
    ----------
    down : tuple of (height, millimetres)
        In the middle of the face, from above to below.
    round_head : tuple of (degrees, share)
        How much of that is left towards the ears, where the loops hold it.
    """

    down: tuple[tuple[float, float], ...]
    round_head: tuple[tuple[float, float], ...]


_SLIDES: Final[dict[Wear, _Slide]] = {
    "nose_out": _Slide(
        down=((-60, 38), (8, 38), (30, 34), (66, 22), (117, 9), (140, 8), (200, 0)),
        round_head=((0, 1.0), (25, 1.0), (62, 0.5), (84, 0.0), (180, 0.0)),
    ),
    "chin_out": _Slide(
        down=((-60, 0), (8, 0), (30, -2), (66, -11), (117, -31), (132, -39), (160, -46), (200, -46)),
        round_head=((0, 1.0), (25, 1.0), (60, 0.7), (88, 0.0), (180, 0.0)),
    ),
    "under_chin": _Slide(
        down=((-60, 98), (8, 98), (30, 86), (66, 68), (117, 50), (132, 46), (200, 0)),
        round_head=((0, 1.0), (30, 1.0), (62, 0.8), (90, 0.0), (180, 0.0)),
    ),
}


# What is smaller on the head than this does not bend a mask that slides over it.
_SHAPE_MM: Final = 24.0


def drawn(wear_shares: WearShares, rng: np.random.Generator) -> Wear:
    """One way to wear a mask, drawn by its share; one number is drawn from the generator."""
    limits = [*accumulate(share for _, share in wear_shares)]
    place = bisect_right(limits, rng.random() * limits[-1])
    return wear_shares[min(place, len(wear_shares) - 1)][0]


def displaced(names: tuple[str, ...], wear: Wear) -> Float32Array | None:
    """Where control points lie on the mean head when the mask is worn so.

    Parameters
    ----------
    names : tuple of str, length K
        Control points.
    wear : str
        One of `maskgen.catalog.schema.WEARS`.

    Returns
    -------
    (K, 3) float32 array or None
        Millimetres; None if every point is where it belongs.
    """
    if wear == "correct":
        return None
    return np.stack([_slid(name, wear) for name in names])


@lru_cache(maxsize=256)
def placing(names: tuple[str, ...], wear: Wear) -> Float32Array:
    """The (K, 68) matrix that takes a face's landmarks to where control points lie when the mask is worn so."""
    return head.placing(names, displaced(names, wear))


@cache
def _slid(name: str, wear: Wear) -> Float32Array:
    # Imported late: the command line knows the names of these ways without loading scipy.
    from maskgen.face.solid import head_solid

    point = point_in_space(name)
    # The box only bounds the picture; ear loops stay on the ears.
    if name in ANCHORS and name.startswith(("box_", "ear_")):
        return point
    slide = _SLIDES[wear]
    x, y, z = (float(value) for value in point)
    angle, radius = float(np.degrees(np.arctan2(x, z - AXIS_Z_MM))), float(np.hypot(x, z - AXIS_Z_MM))
    share = float(np.interp(abs(angle), *np.array(slide.round_head).T))
    height = y + share * float(np.interp(y, *np.array(slide.down).T))
    # It goes in and out with the head, not with the nose and the lips: cloth keeps its shape when it slides. And it is
    # never deeper under the chin than cloth that spans from chin to neck.
    skin = head_solid().smoothed(_SHAPE_MM).radius_at(np.array([angle, angle]), np.array([y, height]))
    radius = max(radius + float(skin[1] - skin[0]), _spanning(height, angle))
    turn = np.radians(angle)
    return np.array([radius * np.sin(turn), height, radius * np.cos(turn) + AXIS_Z_MM], np.float32)


def _spanning(height: float, angle: float) -> float:
    """Distance from the axis of cloth that hangs from the chin to the neck."""
    along = float(np.interp(height, [112, 185], [88.0, 36.0])) if height > 112 else 0.0
    return along * float(np.cos(np.radians(min(abs(angle), 90.0))) ** 0.5)
