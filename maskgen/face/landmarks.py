"""The 68 and 106 point landmark schemes: what the indices mean, how they mirror, how one becomes the other.

The 68 points are those of iBUG 300-W [1]_; the 106 points are InsightFace's ``2d106det`` order [2]_.
Both are numbered from image left to image right on an upright face.

References
----------
.. [1] C. Sagonas et al., "300 Faces in-the-Wild Challenge", ICCV Workshops 2013.
.. [2] InsightFace, ``alignment/coordinate_reg``.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array
from maskgen.plural import counted

JAW_68: Final = range(17)
BROWS_68: Final = range(17, 27)
NOSE_BRIDGE_68: Final = range(27, 31)
NOSE_BASE_68: Final = range(31, 36)
EYE_IMAGE_LEFT_68: Final = range(36, 42)
EYE_IMAGE_RIGHT_68: Final = range(42, 48)
MOUTH_68: Final = range(48, 68)

# fmt: off
INDEX_106_OF_68: Final[tuple[int, ...]] = (
    1, 10, 12, 14, 16, 3, 5, 7, 0, 23, 21, 19, 32, 30, 28, 26, 17,    # jaw, image left to image right
    43, 48, 49, 51, 50, 102, 103, 104, 105, 101,                      # brows
    72, 73, 74, 86, 78, 79, 80, 85, 84,                               # nose bridge, nose base
    35, 41, 42, 39, 37, 36, 89, 95, 96, 93, 91, 90,                   # eyes
    52, 64, 63, 71, 67, 68, 61, 58, 59, 53, 56, 55,                   # outer lip
    65, 66, 62, 70, 69, 57, 60, 54,                                   # inner lip
)
"""Where each of the 68 points stands among the 106."""

JAW_106: Final[tuple[int, ...]] = (
    1, 9, 10, 11, 12, 13, 14, 15, 16, 2, 3, 4, 5, 6, 7, 8, 0,
    24, 23, 22, 21, 20, 19, 18, 32, 31, 30, 29, 28, 27, 26, 25, 17,
)
"""The 33 contour points of the 106, walked from the image-left temple round the chin."""

MIRROR_68: Final[tuple[int, ...]] = (
    *range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31,
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65,
)
"""``points[list(MIRROR_68)]`` puts the points of a mirrored face back in order."""

# Points of the 106 that the 68 do not have: (image left, image right).
EXTRA_PAIRS_106: Final[tuple[tuple[int, int], ...]] = (
    (44, 100), (45, 99), (47, 98), (46, 97),                          # lower edge of the brows
    (40, 94), (33, 87), (34, 92), (38, 88),                           # lids at mid-eye, eye centre, pupil
    (75, 81), (76, 82), (77, 83),                                     # sides of the nose
)
# fmt: on


def _mirror_106() -> tuple[int, ...]:
    mirror = list(range(106))
    for here, there in zip(INDEX_106_OF_68, (INDEX_106_OF_68[i] for i in MIRROR_68), strict=True):
        mirror[here] = there
    for here, there in zip(JAW_106, reversed(JAW_106), strict=True):
        mirror[here] = there
    for image_left, image_right in EXTRA_PAIRS_106:
        mirror[image_left], mirror[image_right] = image_right, image_left
    return tuple(mirror)


MIRROR_106: Final[tuple[int, ...]] = _mirror_106()
"""``points[list(MIRROR_106)]`` puts the points of a mirrored face back in order."""


def to_68(points: Float32Array) -> Float32Array:
    """Landmarks in the 68 scheme.

    Parameters
    ----------
    points : (68, D) or (106, D) array
        Landmarks in either scheme.

    Returns
    -------
    (68, D) array
        The same points where they were 68 already.

    Raises
    ------
    ValueError
        If there are neither 68 nor 106 points.
    """
    if len(points) == 68:
        return points
    if len(points) == 106:
        return points[list(INDEX_106_OF_68)]
    raise ValueError(f"landmarks have {counted(len(points), 'point')}, expected 68 or 106")


def keypoints_of(points: Float32Array) -> Float32Array:
    """Five ArcFace keypoints: eye centres, nose tip, mouth corners, image left first.

    Parameters
    ----------
    points : (68, D) or (106, D) array
        Landmarks in either scheme.

    Returns
    -------
    (5, 2) array
        Pixels.
    """
    keypoints: Float32Array = _keypoint_weights(len(points)) @ points[:, :2].astype(np.float32, copy=False)
    return keypoints


@lru_cache(maxsize=2)
def _keypoint_weights(points: int) -> Float32Array:
    """(5, N): how much each landmark of a scheme weighs in each keypoint."""
    one = to_68(np.eye(points, dtype=np.float32))
    eyes = [one[EYE_IMAGE_LEFT_68].mean(axis=0), one[EYE_IMAGE_RIGHT_68].mean(axis=0)]
    return np.stack([*eyes, one[30], one[48], one[54]])


def bbox_of_points(points: Float32Array) -> Float32Array:
    """The box that a face detector draws around 68 points: jaw to jaw, forehead to chin.

    The top stands 0.38 of the points' height above the brows: the median over the faces of LFW.

    Parameters
    ----------
    points : (68, D) array
        Pixels.

    Returns
    -------
    (4,) array
        x1, y1, x2, y2, pixels.
    """
    low, high = points[:, :2].min(axis=0), points[:, :2].max(axis=0)
    return np.array([low[0], low[1] - 0.38 * (high[1] - low[1]), high[0], high[1]], np.float32)
