"""Where on a face mask, skin and surroundings are to be expected, and what a network takes its pixels for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskgen import parse
from maskgen.arrays import BoolArray, Float32Array
from maskgen.studio.photo.crop import Crop, filled, hull, signed_distance

_OUTLINE: Final = (
    "28", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "under_chin",
    "front_nose", "front_mouth", "front_chin", "front_cheek_image_left", "front_cheek_image_right",
    "front_jaw_image_left", "front_jaw_image_right",
)  # fmt: skip
# How far the outline is drawn in towards the nose: cloth ends before the jaw turns towards the ear.
_SIDES: Final = {"1": 0.2, "15": 0.2, "2": 0.15, "14": 0.15, "3": 0.08, "13": 0.08, "4": 0.04, "12": 0.04}
_CORE: Final = ("30", "31", "35", "48", "54", "57", "front_mouth", "5", "11")


def _expected(crop: Crop) -> Float32Array:
    """(H, W) millimetres to the outline of an average mask, positive inside."""
    places = crop.place(_OUTLINE)
    for row, name in enumerate(_OUTLINE):
        if name in _SIDES:
            places[row] += _SIDES[name] * (crop.points[33] - places[row])
    return signed_distance(filled(cv2.convexHull(places), crop.inside.shape), crop.pixels_per_mm)


@dataclass(frozen=True)
class Regions:
    """Where to look for mask, skin and surroundings, (H, W) each.

    Attributes
    ----------
    core : bool array
        Nose, mouth and what lies between: covered by any mask.
    skin : bool array
        Between lids and above the brows: skin, if no hat covers it.
    never : bool array
        Eyes and brows, which no mask reaches.
    around : bool array
        Neck, hair, clothes, background.
    distance : float32 array
        Millimetres to the outline of an average mask, positive inside.
    """

    core: BoolArray
    skin: BoolArray
    never: BoolArray
    around: BoolArray
    distance: Float32Array


def regions_of(crop: Crop) -> Regions:
    """Where a mask, skin and surroundings are to be expected."""
    shape = crop.inside.shape
    p = crop.points
    distance = _expected(crop)
    core = hull(crop.place(_CORE), shape, 0.8) & crop.inside
    eyes = hull(p[36:42], shape, 1.25) | hull(p[42:48], shape, 1.25)
    # From the lids to above the brows, between the outer ends of the eyes; glasses and fringes are outvoted later.
    up = p[27] - p[33]
    strip = np.concatenate([p[[27, 36, 39, 42, 45]], p[17:27], p[17:27] + 0.25 * up])
    upper = hull(strip, shape, 0.95)
    brows = cv2.dilate(
        (hull(p[17:22], shape, 1.1) | hull(p[22:27], shape, 1.1)).astype(np.uint8), np.ones((3, 3), np.uint8)
    )
    skin = upper & ~eyes & (brows == 0) & (distance < -3) & crop.inside
    never = (eyes | upper) & (distance < 6)
    around = (distance < -16) & ~upper & crop.inside & (distance > -70)
    return Regions(core, skin, never, around, distance)


@dataclass(frozen=True)
class Parts:
    """What a network takes the pixels of a crop for, (H, W) each, 0 to 1; one half beyond what it saw.

    Attributes
    ----------
    front : float32 array
        Something in front of the face: a mask, a hand.
    glasses : float32 array
        Glasses.
    """

    front: Float32Array
    glasses: Float32Array


def parts_of(crop: Crop, parsed: parse.Regions) -> Parts:
    """What the network says, carried to a crop."""
    return Parts(*(_carried(crop, parsed, kind) for kind in ("other", "glasses")))


def _carried(crop: Crop, parsed: parse.Regions, *kinds: parse.Kind) -> Float32Array:
    from_crop = cv2.invertAffineTransform(crop.from_image)
    matrix = parsed.image_to_crop[:, :2] @ from_crop
    matrix[:, 2] += parsed.image_to_crop[:, 2]
    every = slice(0, crop.inside.shape[0]), slice(0, crop.inside.shape[1])
    return parse.on_image(parsed.of(*kinds), matrix.astype(np.float32), every, beyond=0.5)


def head_share(crop: Crop, parsed: parse.Regions) -> float:
    """How much of where forehead and cheeks are to be expected looks like a head's, 0 to 1."""
    skin = regions_of(crop).skin
    if not skin.any():
        return 0.0
    return float(_carried(crop, parsed, "skin", "hair", "glasses", "hat")[skin].mean())


def fronted(crop: Crop, parts: Parts) -> tuple[float, float, float]:
    """How likely something is in front of nose, mouth and chin, 0 to 1."""
    p = crop.points
    chin = np.concatenate([p[6:11], p[[57]]])
    areas = [hull(area, crop.inside.shape, 1.0) & crop.inside for area in (p[30:36], p[48:60], chin)]
    nose, mouth, below = (float(parts.front[area].mean()) if area.any() else 0.0 for area in areas)
    return nose, mouth, below
