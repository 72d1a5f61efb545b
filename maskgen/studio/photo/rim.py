"""Take skin off the rim of a mask that was found in a photograph.

The place where a mask is expected reaches farther towards the ear than many masks do. On a head that is turned, cheek
and jaw lie there, in the same light as the cloth.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float64Array, Image
from maskgen.masking import illuminant

# A patch of skin is at least so wide: what is narrower is a fold's shade, or the edge's blur.
_PATCH_MM: Final = 5.0
# How far from the rim a patch may begin.
_REACH_MM: Final = 3.0
# How far apart the casts of skin and cloth must be to tell them apart, logarithms of R/G and B/G.
_APART: Final = 0.15
# Where along the way from the cloth's cast, and from none, to the skin's that of a patch of skin begins.
_SKIN_FROM: Final = 0.6
_NEUTRAL: Final = np.zeros(2)
# A patch of which a larger share lies where cloth is for sure is cloth.
_MOST_CORE: Final = 0.1


def without_skin(
    region: BoolArray,
    skinny: BoolArray,
    core: BoolArray,
    skin: BoolArray,
    pixels: Image,
    pixels_per_mm: float,
) -> BoolArray:
    """A mask without the patches of skin that touch its rim.

    Light changes how bright skin is, hardly its chromaticity: a patch is skin if its chromaticity is. Cloth in the
    colour of skin keeps all it has.

    Parameters
    ----------
    region, skinny : (H, W) bool array
        The mask, and the pixels that look more like skin than like it.
    core, skin : (H, W) bool array
        Where cloth is for sure, and where skin.
    pixels : (H, W, 3) uint8 array
        RGB.
    """
    cloth = core & region & ~skinny
    if not cloth.any() or not skin.any():
        return region
    of_cloth, of_skin = (illuminant.cast_of(np.median(pixels[area], axis=0)) for area in (cloth, skin))
    # White hems of coloured cloth have a cast between those of cloth and skin.
    others = [cast for cast in (of_cloth, _NEUTRAL) if np.linalg.norm(of_skin - cast) > _APART]
    if not any(cast is of_cloth for cast in others):
        return region
    side = 2 * max(round(_PATCH_MM / 2 * pixels_per_mm), 1) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    patches = cv2.morphologyEx((region & skinny).astype(np.uint8), cv2.MORPH_OPEN, disc)
    reach = 2 * max(round(_REACH_MM * pixels_per_mm), 1) + 1
    near_rim = cv2.dilate((~region).astype(np.uint8), np.ones((reach, reach), np.uint8)) > 0
    count, labels = cv2.connectedComponents(patches, connectivity=4)
    kept: BoolArray = region.copy()
    for label in range(1, count):
        patch = labels == label
        cast = illuminant.cast_of(np.median(pixels[patch], axis=0))
        is_skin = all(_way(cast, other, of_skin) > _SKIN_FROM for other in others)
        is_cloth = (patch & core).sum() > _MOST_CORE * patch.sum()
        if (patch & near_rim).any() and is_skin and not is_cloth:
            kept &= ~patch
    return kept


def _way(cast: Float64Array, begin: Float64Array, end: Float64Array) -> float:
    """How far a cast (2,) is on the way from one to another, 0 to 1."""
    axis = end - begin
    return float((cast - begin) @ axis / (axis @ axis))
