"""How a mask lies in a picture: which way up, straight or askew, seen from its front, its side, or folded in half.

Convention
----------
Turns are degrees, positive against the clock on screen; a region is an (H, W) bool array.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Float64Array
from maskgen.errors import CatalogError
from maskgen.face import HeadPose
from maskgen.face.pose import rotation_matrix
from maskgen.face.solid import head_solid
from maskgen.studio.render.shapes import CLOTH_SHAPE, CUP_SHAPE, KN95_SHAPE, SURGICAL_SHAPE
from maskgen.studio.render.sheet import SheetShape

# Silhouettes are compared in squares of this side.
_SIDE: Final = 96
_STEP_DEG: Final = 4.0
# A region overlaps the quadrilateral that fits it by at least this share, if it is a flat sheet seen askew.
_QUADRILATERAL: Final = 0.93
# Its corners, degrees, and the ratio of its sides under which either of them may be the upper one.
_CORNERS_DEG: Final = (50.0, 130.0)
_OBLONG: Final = 1.15
# A mask overlaps its mirror image by at least this share. Half a mask, folded flat, does not.
_SYMMETRIC: Final = 0.94
# Or it looks like one that is seen from the front.
_ALIKE: Final = 0.94
# The axis lies so close to the middle, half pixels.
_AXIS_SLACK: Final = 3
# What looking like a mask counts against symmetry, and each degree of turning.
_LIKENESS_WEIGHT: Final = 0.6
_TURN_WEIGHT: Final = 2e-4
_SHAPES: Final = (CLOTH_SHAPE, KN95_SHAPE, CUP_SHAPE, SURGICAL_SHAPE)
# The sides that masks are seen from when not from the front, degrees of yaw.
_SIDEWAYS_DEG: Final = (30.0, 45.0, 60.0)
# How far the front edge of a folded mask is rounded, millimetres, and how much of its width is seen.
_FOLD_BULGES_MM: Final = (0.0, 22.0)
_FOLD_WIDTHS: Final = (0.7, 0.85, 1.0)
# Likenesses that differ by less do not tell which it is.
_UNSURE: Final = 0.02
_REMEDY_SIDE: Final = "photograph it from straight above, lying flat with its outside up"
_REMEDY_FOLDED: Final = "unfold it, lay it flat with its outside up, and photograph it from straight above"


def quadrilateral(region: BoolArray) -> Float64Array | None:
    """(4, 2) corners (x, y) of a flat, rectangular mask however it is turned; None if the region is none.

    They go clockwise on screen from the mask's upper left. Its longer sides are its upper and lower edges; of the two
    ways up, the one is taken that takes less turning.
    """
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.convexHull(max(contours, key=cv2.contourArea))
    length = cv2.arcLength(hull, True)
    for share in np.linspace(0.01, 0.12, 23):
        corners = cv2.approxPolyDP(hull, share * length, True)[:, 0].astype(np.float64)
        if len(corners) <= 4:
            break
    if len(corners) != 4 or not _has_square_corners(corners):
        return None
    drawn = np.zeros(region.shape, np.uint8)
    cv2.fillConvexPoly(drawn, corners.round().astype(np.int32), 1)
    if _overlap(region, drawn > 0) < _QUADRILATERAL:
        return None
    return _with_upper_edge_first(corners)


def _has_square_corners(corners: Float64Array) -> bool:
    ahead, back = np.roll(corners, -1, axis=0) - corners, np.roll(corners, 1, axis=0) - corners
    cosine = (ahead * back).sum(axis=1) / np.maximum(np.linalg.norm(ahead, axis=1) * np.linalg.norm(back, axis=1), 1e-9)
    angles = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
    return bool((angles > _CORNERS_DEG[0]).all() and (angles < _CORNERS_DEG[1]).all())


def _with_upper_edge_first(corners: Float64Array) -> Float64Array:
    x, y = corners.T
    clockwise = float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) > 0
    corners = corners if clockwise else corners[::-1]
    sides = np.roll(corners, -1, axis=0) - corners
    lengths = np.linalg.norm(sides, axis=1)
    across, down = lengths[0] + lengths[2], lengths[1] + lengths[3]
    may_be_upper = [0, 1, 2, 3]
    if across > _OBLONG * down:
        may_be_upper = [0, 2]
    elif down > _OBLONG * across:
        may_be_upper = [1, 3]
    turns = np.abs(np.degrees(np.arctan2(sides[:, 1], sides[:, 0])))
    return np.roll(corners, -min(may_be_upper, key=lambda side: float(turns[side])), axis=0)


def upright_turn(region: BoolArray, shape: SheetShape | None = None) -> float:
    """By how much to turn a mask that is seen from its front, degrees, so that it stands upright.

    Parameters
    ----------
    shape : SheetShape, optional
        What sort of mask it is; by default it may be any.

    Raises
    ------
    CatalogError
        If it is not seen from its front; says how it lies.
    """
    small = _centred(region)
    templates = [_centred(_drawn(_front(one))) for one in ([shape] if shape else _SHAPES)]
    turns = np.arange(-180.0, 180.0, _STEP_DEG)
    turned = [_turned(small, turn) for turn in turns]
    half = len(turns) // 2
    # Upside down the axis is the same.
    symmetry = np.array([_mirror_overlap(picture) for picture in turned[:half]] * 2)
    likeness = np.array([max(_overlap(picture, one) for one in templates) for picture in turned])
    score = symmetry + _LIKENESS_WEIGHT * likeness - _TURN_WEIGHT * np.abs(turns)
    coarse = float(turns[score.argmax()])
    fine = coarse + np.arange(-_STEP_DEG, _STEP_DEG + 0.1, 0.5)
    overlaps = [_mirror_overlap(_turned(small, turn)) for turn in fine]
    # The smallest turn among those that are about equally good.
    good = fine[np.array(overlaps) > max(overlaps) - 0.004]
    if max(overlaps) < _SYMMETRIC and likeness[score.argmax()] < _ALIKE:
        raise _not_from_front(small)
    turn = float(good[np.argmin(np.abs(good - coarse))]) if coarse else float(good[np.argmin(np.abs(good))])
    return turn if abs(turn) >= 0.6 else 0.0


def _not_from_front(small: BoolArray) -> CatalogError:
    """What is wrong with a silhouette that is not symmetric: it looks most like one of these."""
    turned = [_turned(small, turn) for turn in np.arange(0, 360, 3 * _STEP_DEG)]
    turned += [picture[:, ::-1] for picture in turned]

    def likeness(outlines: Iterator[Float64Array]) -> float:
        templates = [_centred(_drawn(outline)) for outline in outlines]
        return max(_overlap(picture, template) for picture in turned for template in templates)

    halves = likeness(
        _folded(shape, bulge) * [width, 1]
        for shape in _SHAPES[:2]
        for bulge in _FOLD_BULGES_MM
        for width in _FOLD_WIDTHS
    )
    sideways = likeness(_sideways(shape, yaw) for shape in _SHAPES[:2] for yaw in _SIDEWAYS_DEG)
    if halves > sideways + _UNSURE:
        return CatalogError("the silhouette is that of a mask folded in half", _REMEDY_FOLDED)
    if sideways > halves + _UNSURE:
        return CatalogError("the silhouette is that of a mask seen from its side, or of a part of one", _REMEDY_SIDE)
    return CatalogError("the silhouette is not symmetric: a mask folded in half, or seen from its side", _REMEDY_FOLDED)


# ---- silhouettes of masks, (N, 2) outlines in millimetres


@cache
def _half_outline(shape: SheetShape) -> Float64Array:
    """(N, 3) points from the middle of the upper edge round image right to the middle of the lower edge."""
    solid = head_solid()
    edges = (shape.upper, shape.side, shape.lower[::-1])
    angle, height = (np.concatenate([_finely([point[k] for point in edge]) for edge in edges]) for k in (0, 1))
    return np.asarray(solid.on_skin(angle, height))


def _finely(values: Sequence[float]) -> Float64Array:
    places = np.linspace(0, len(values) - 1, 24)
    return np.interp(places, np.arange(len(values)), values)


def _front(shape: SheetShape) -> Float64Array:
    return _sideways(shape, 0.0)


def _sideways(shape: SheetShape, yaw: float) -> Float64Array:
    right = _half_outline(shape)
    whole = np.concatenate([right, right[::-1] * [-1, 1, 1]])
    return np.asarray((whole @ rotation_matrix(HeadPose(yaw=yaw, pitch=0.0, roll=0.0)).T)[:, :2])


def _folded(shape: SheetShape, bulge_mm: float) -> Float64Array:
    """Half a mask laid flat, its fold at image left."""
    right = _half_outline(shape)
    angle = np.arctan2(right[:, 0], right[:, 2] + 70)
    across = angle * np.hypot(right[:, 0], right[:, 2] + 70)
    fold = np.linspace(right[-1, 1], right[0, 1], 24)
    share = np.sin(np.pi * (fold - fold.min()) / np.ptp(fold))
    edge = np.stack([-bulge_mm * share, fold], axis=1)
    return np.concatenate([np.stack([across, right[:, 1]], axis=1), edge])


def _drawn(outline: Float64Array) -> BoolArray:
    """An outline filled, two pixels per millimetre."""
    placed = (outline - outline.min(axis=0)) * 2 + 2
    width, height = np.ceil(placed.max(axis=0)).astype(int) + 3
    region = np.zeros((height, width), np.uint8)
    cv2.fillPoly(region, [placed.round().astype(np.int32)], 1)
    return region > 0


# ---- regions compared


def _centred(region: BoolArray) -> BoolArray:
    """The region scaled into a square, its centroid in the middle, with room to turn."""
    rows, columns = np.nonzero(region)
    # By its area, so that shapes that differ at a corner still lie on each other.
    scale = 0.42 * _SIDE / np.sqrt(len(rows))
    middle = (_SIDE - 1) / 2
    matrix = np.array([[scale, 0, middle - scale * columns.mean()], [0, scale, middle - scale * rows.mean()]])
    smaller = cv2.warpAffine(_softened(region, scale), matrix, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(smaller > 0.5)


def _softened(region: BoolArray, scale: float) -> Float32Array:
    drawn: Float32Array = region.astype(np.float32)
    return cv2.GaussianBlur(drawn, (0, 0), 0.4 / scale) if scale < 1 else drawn


def _turned(region: BoolArray, turn_deg: float) -> BoolArray:
    middle = (_SIDE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), turn_deg, 1.0)
    return np.asarray(cv2.warpAffine(region.astype(np.float32), matrix, (_SIDE, _SIDE)) > 0.5)


def _mirror_overlap(region: BoolArray) -> float:
    """How much a region and its mirror image, about an upright axis near its middle, have in common: 0 to 1."""
    columns = np.flatnonzero(region.any(axis=0))
    twice = int(columns[0] + columns[-1])
    best = 0.0
    for axis in range(twice - _AXIS_SLACK, twice + _AXIS_SLACK + 1):
        first, last = max(axis - _SIDE + 1, 0), min(axis, _SIDE - 1)
        part = region[:, first : last + 1]
        best = max(best, _overlap(part, part[:, ::-1]))
    return best


def _overlap(one: BoolArray, other: BoolArray) -> float:
    """Intersection over union."""
    return float((one & other).sum() / max((one | other).sum(), 1))
