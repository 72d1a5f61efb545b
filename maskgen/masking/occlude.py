"""What lies in front of a face, where a mask may not be drawn: hair, hands, glasses, microphones; and what a mask does
to the light where it meets the skin.

The network sees a small crop. A guided filter carries what it says to the pixels of the picture, so that the edge of a
mask runs where the edge of the hair does: see `maskgen.masking.matte`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Image, IntArray
from maskgen.face import Face
from maskgen.masking.matte import REACH, guided
from maskgen.masking.warp import Overlay, shrunk, shrunk_map
from maskgen.parse import CROP_SIDE, GRID_SIDE, Kind, Regions, grid_map, on_image, upright_crop, window_of

IN_FRONT: Final[tuple[Kind, ...]] = ("hair", "glasses", "hat", "other")
COVERED: Final = 0.5
"""A face is covered if that share of its mouth, or more, is hidden by something."""
# Nothing is drawn from the second share on, all of it up to the first: an unsure network does not cut holes.
_RAMP: Final = (0.4, 0.8)
# Shares that are so small make no difference far below the ramp.
_FAINT: Final = 0.05
# Something of which the network is nowhere surer, or that is no larger, in cells, is a shadow or a crease.
_PEAK: Final = 0.7
_SMALLEST: Final = 12
# What skin lies around on all sides is part of the face, nostrils or a moustache, unless it is larger than that share
# of the face, or glasses: hands, hair and microphones come from beyond it.
_ENCLOSED: Final = 0.13
# Of faces that are smaller than the crop less is believed: so much more is needed for each time that they are smaller.
_SMALLER: Final = 0.1
# The network has seen few profiles: of faces that are turned so far it is less believed that something lies in front.
_TURNED_DEG: Final = (35.0, 55.0)
_DOUBTED: Final = 0.4
# From here on a face is seen against what is behind it; something in front has such a share of itself on the face.
_BESIDE_DEG: Final = 28.0
_REACHES: Final = 0.2
# A mask lies below these rows of the grid, which are the forehead's.
_FOREHEAD_ROWS: Final = 12
# So many pixels of the image, both ways, are told by one; on large faces by no more pixels than these crops have.
_COARSEST: Final = 2.0
_FINEST: Final = 3
# How far below the chin a gaiter may be hidden wholly, in lengths of the face from the nose bridge down; and the shares
# of clothes and background from which it goes under, and at which it is gone.
_TUCKED: Final = 0.12
_COLLAR: Final = (0.5, 0.8)
_ORIGIN: Final = (slice(0, 0), slice(0, 0))
# Where a mask meets the skin (measured by tests/bench/shades.py, "edge"). How far its light and shade reach, as shares
# of the face's size; how dark straps make the skin below them, and how much of that is seen along cloth, which throws
# back as much as it keeps; how much of the skin's light white cloth throws on it; how dark the edge of white cloth is.
_SHADE_REACH: Final = 0.009
_GLOW_REACH: Final = 0.025
_BROAD: Final = 0.07
_SHADE: Final = 0.34
_ALONG_CLOTH: Final = 0.12
_GLOW: Final = 0.16
_EDGE_REACH: Final = 0.014
_EDGE: Final = 0.10
# So narrow, pixels, may its finest blur be where it is worked out.
_SHARPEST: Final = 0.4
# The tail of a Gaussian would reach beyond an overlay's margin.
_TAIL: Final = 0.02


@dataclass(frozen=True)
class Visible:
    """Where a mask may be drawn.

    Attributes
    ----------
    values : (h, w) uint8 array
        255 where it may, 0 where something lies in front.
    image_to_values : (2, 3) float32 array
        The similarity that takes pixels of the image to those of the values; beyond them a mask may be drawn.
    region : tuple of 2 slices
        Rows and columns of the image that hold all of the values.
    """

    values: Image
    image_to_values: Float32Array
    region: tuple[slice, slice]

    def at(self, region: tuple[slice, slice], step: float = 1.0) -> Image | None:
        """(H, W) 0 to 255 in some rows and columns; None if a mask may be drawn everywhere there.

        They are those of the image made `step` times smaller.
        """
        if any(
            one.start * step >= other.stop or other.start >= one.stop * step
            for one, other in zip(region, self.region, strict=True)
        ):
            return None
        rows, columns = region
        place = shrunk_map(self.image_to_values, step)
        place[:, 2] += place[:, :2] @ np.array([columns.start, rows.start], np.float32)
        size_wh = columns.stop - columns.start, rows.stop - rows.start
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        share = cv2.warpAffine(
            self.values, place, size_wh, flags=flags, borderMode=cv2.BORDER_CONSTANT, borderValue=(255,)
        )
        return None if share.min() == 255 else np.asarray(share, np.uint8)


def visible_of(image: Image, face: Face, regions: Regions) -> Visible | None:
    """Where a mask may be drawn on a bare photograph (H, W, 3); None if nothing lies in front anywhere near."""
    worn = regions.of("glasses", "hat")
    turned = min(max((abs(face.pose.yaw) - _TURNED_DEG[0]) / (_TURNED_DEG[1] - _TURNED_DEG[0]), 0.0), 1.0)
    front = _not_worn(regions, face, 1 - _DOUBTED * turned)
    # What looks like glasses below the tip of the nose is something else.
    tip = max(round(float(_cells(face.landmarks_68[[30]], regions)[0, 1])), 0)
    front[tip:] += worn[tip:]
    worn[tip:] = 0
    front = _sure(_from_beyond(front, face, regions) + worn)
    front[:_FOREHEAD_ROWS] = 0
    if front.max() <= _RAMP[0] / 2:
        return None
    matrix, crop = regions.image_to_crop, regions.crop
    small = cv2.resize(crop, (GRID_SIDE, GRID_SIDE), interpolation=cv2.INTER_AREA)
    rows, columns = _reached(front)
    model = guided(small[rows, columns] * np.float32(1 / 255), front[rows, columns])
    finer = _finer(matrix)
    if finer > 1:
        matrix = matrix * np.float32(finer)
        matrix[:, 2] += np.float32((finer - 1) / 2)
        crop = upright_crop(image, matrix, finer * CROP_SIDE)
    per_cell = len(crop) // GRID_SIDE
    there = tuple(slice(span.start * per_cell, span.stop * per_cell) for span in (rows, columns))
    # numpy sums a last axis of four slowly; the fourth channel of the pixels is 255.
    pixels = cv2.cvtColor(np.ascontiguousarray(crop[there]), cv2.COLOR_RGB2RGBA)
    placed = cv2.resize(model, pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    # 0 to 255, as the pixels are, and from high to low.
    low, high = _ramp(regions)
    gain = 1 / (high - low)
    to_shown = np.array([[-gain] * 4 + [255 * gain * high]], np.float32)
    shown = cv2.transform(cv2.multiply(placed, pixels, dtype=cv2.CV_32F), to_shown)
    values = np.full(crop.shape[:2], 255, np.uint8)
    values[there] = cv2.convertScaleAbs(cv2.max(shown, 0.0))
    values[: _FOREHEAD_ROWS // 2 * per_cell] = 255
    return Visible(values, matrix, window_of(matrix, image.shape, len(values)))


def _reached(front: Float32Array) -> tuple[slice, slice]:
    """Rows and columns of the grid beyond which shares (64, 64), seen through the filter, are as good as none."""
    left, top, width, height = cv2.boundingRect((front > _FAINT).view(np.uint8))
    # Values lie between cells too.
    reach = REACH + 1
    return (
        slice(max(top - reach, 0), min(top + height + reach, GRID_SIDE)),
        slice(max(left - reach, 0), min(left + width + reach, GRID_SIDE)),
    )


def opened(visible: Visible, paths: Sequence[tuple[Float32Array, float]]) -> Visible:
    """Where a mask may be drawn, and its straps along some paths (N, 2), pixels of the image, each so wide."""
    if not paths:
        return visible
    values, matrix = visible.values.copy(), visible.image_to_values
    scale = float(np.hypot(*matrix[:, 0]))
    for path, width in paths:
        points = np.round((path @ matrix[:, :2].T + matrix[:, 2]) * 16).astype(np.int32)
        # Half a pixel more on both sides, or the strap's own edge would be cut.
        cv2.polylines(values, [points], False, 255, max(round(width * scale + 1), 1), cv2.LINE_AA, 4)
    return replace(visible, values=values)


def _finer(image_to_crop: Float32Array) -> int:
    """How many times larger than the crop the face is looked at, so that hair stays fine on a large one."""
    shrink = 1 / max(float(np.hypot(*image_to_crop[:, 0])), 1e-6)
    return min(max(int(shrink / _COARSEST), 1), _FINEST)


def tucked(overlay: Overlay, regions: Regions, face: Face) -> Overlay:
    """A gaiter that goes under the collar: below the chin it is seen on the neck alone."""
    points = shrunk(face.landmarks_68, overlay.step)
    down = points[8] - points[27]
    length = max(float(np.hypot(*down)), 1.0)
    rows, columns = overlay.region
    x = np.arange(columns.start, columns.stop, dtype=np.float32) - points[8, 0]
    y = np.arange(rows.start, rows.stop, dtype=np.float32)[:, None] - points[8, 1]
    below = np.clip((x * down[0] + y * down[1]) / (length * _TUCKED * length), 0, 1)
    to_crop = shrunk_map(regions.image_to_crop, overlay.step)
    cells = on_image(regions.of("background"), to_crop, overlay.region, beyond=1.0)
    clothed = np.clip((cells - _COLLAR[0]) / (_COLLAR[1] - _COLLAR[0]), 0, 1)
    shown = (1 - below * clothed).astype(np.float32)
    return replace(overlay, rgba=overlay.rgba * cv2.merge([shown] * 4))


@dataclass(frozen=True)
class Contact:
    """What a mask does to the light where it meets the skin: (H, W) float32 arrays.

    Attributes
    ----------
    kept : array
        How much of its light skin keeps there.
    glow : array
        How much of its own brightness is thrown on skin by white cloth.
    edge : array
        How much of its light white cloth keeps there.
    """

    kept: Float32Array
    glow: Float32Array
    edge: Float32Array


def contact(alpha: Float32Array, size: float) -> Contact:
    """What a mask does to the light where it meets the skin.

    Parameters
    ----------
    alpha : (H, W) float32 array
        Opacity of the mask and its straps.
    size : float
        The face's, in the same pixels.
    """
    height, width = alpha.shape
    # All of it is soft: a few pixels tell of those between.
    fewer = max(int(size * _SHADE_REACH / _SHARPEST), 1)
    if fewer > 1:
        # Whole numbers of pixels: OpenCV averages many times as fast by those.
        alpha = cv2.copyMakeBorder(alpha, 0, -height % fewer, 0, -width % fewer, cv2.BORDER_REPLICATE)
        whole_wh = alpha.shape[1], alpha.shape[0]
        alpha = cv2.resize(alpha, (whole_wh[0] // fewer, whole_wh[1] // fewer), interpolation=cv2.INTER_AREA)
    size /= fewer
    broad = max(round(_BROAD * size), 1) * 2 + 1
    around = cv2.blur(alpha, (broad, broad), borderType=cv2.BORDER_CONSTANT)
    shade, glow, edge = (cv2.sepFilter2D(alpha, cv2.CV_32F, *kernels) for kernels in _reaching(max(round(size), 1)))
    thin = cv2.max(cv2.addWeighted(around, -2.0, around, 0.0, 1.0), _ALONG_CLOTH)
    shade = cv2.multiply(cv2.threshold(shade, _TAIL, 0, cv2.THRESH_TOZERO)[1], thin)
    glow = cv2.multiply(cv2.threshold(glow, _TAIL, 0, cv2.THRESH_TOZERO)[1], around, scale=_GLOW)
    kept = cv2.addWeighted(shade, -_SHADE, shade, 0.0, 1.0)
    told = [kept, glow, cv2.addWeighted(edge, _EDGE, edge, 0.0, 1 - _EDGE)]
    if fewer > 1:
        told = [cv2.resize(plane, whole_wh, interpolation=cv2.INTER_LINEAR)[:height, :width] for plane in told]
    return Contact(*told)


Kernels = tuple[Float32Array, Float32Array]


@lru_cache(maxsize=256)
def _reaching(size: int) -> tuple[Kernels, Kernels, Kernels]:
    """How far shade, glow and dark edges of a mask reach on a face of a size, pixels: kernels along and down."""
    shade, edge = max(_SHADE_REACH * size, 0.5), max(_EDGE_REACH * size, 0.5)
    return (
        # Light comes from above.
        (_bell(shade), _bell(shade, 1.1 * shade)),
        # Cloth throws its light up and down: at its sides it stands off the skin.
        (_bell(0.5), _bell(max(_GLOW_REACH * size, 0.5))),
        (_bell(edge), _bell(edge, _EDGE_REACH * size)),
    )


def _bell(sigma: float, lower: float = 0.0) -> Float32Array:
    """A Gaussian that moves what it blurs down by some pixels."""
    reach = math.ceil(3.5 * sigma + lower)
    bell = np.exp(-np.square(np.arange(-reach, reach + 1) + lower) / (2 * sigma**2))
    kernel: Float32Array = (bell / bell.sum()).astype(np.float32)
    return kernel


def covered_share(regions: Regions, face: Face) -> float:
    """How much of the mouth is hidden by something in front of it, 0 to 1."""
    # A closed mouth is a line: a little more than it, and at least some cells.
    inside = _on_grid(face.landmarks_68[48:60], regions, higher=1.3)
    hidden = (regions.of("glasses", "hat") + _not_worn(regions, face, 1.0))[inside]
    return float(hidden.mean()) if hidden.size else 0.0


def _not_worn(regions: Regions, face: Face, believed: float) -> Float32Array:
    """(h, w) shares of hair, and as far as they are believed of other things, in front of a face.

    A profile stands before the background, of which the network takes a part for something in front: what lies on the
    far side and hardly reaches onto the face cannot hide the mask there.
    """
    yaw = face.pose.yaw
    front: Float32Array = regions.of("hair") + np.float32(believed) * regions.of("other")
    if abs(yaw) < _BESIDE_DEG:
        return front
    front[:_FOREHEAD_ROWS] = 0
    islands = _Islands.of(front, _RAMP[0] / 2)
    rows, columns = np.indices(front.shape)
    bridge, chin = _cells(face.landmarks_68[[27, 8]], regions)
    # A positive yaw turns the nose to image right.
    beyond = ((columns - bridge[0]) * (chin[1] - bridge[1]) - (rows - bridge[1]) * (chin[0] - bridge[0])) * np.sign(yaw)
    within = _on_grid(face.landmarks_68, regions)
    is_beside = (islands.count(beyond > 0) > islands.area / 2) & (islands.count(within) < _REACHES * islands.area)
    return islands.only(front, ~is_beside)


def _from_beyond(front: Float32Array, face: Face, regions: Regions) -> Float32Array:
    """The shares without islands that are part of the face: small, and within it on all sides."""
    islands = _Islands.of(front, _RAMP[0])
    if islands.are_none:
        return front
    within = _on_grid(face.landmarks_68, regions)
    return islands.only(front, (islands.count(~within) > 0) | (islands.area > _ENCLOSED * within.sum()))


def _sure(front: Float32Array) -> Float32Array:
    """The shares without islands of which the network is not sure."""
    islands = _Islands.of(front, _RAMP[0])
    if islands.are_none:
        return front
    return islands.only(front, (islands.count(front >= _PEAK) > 0) & (islands.area >= _SMALLEST))


@dataclass(frozen=True)
class _Islands:
    """What of some shares lies above a level, piece by piece; the first is the sea between them.

    Attributes
    ----------
    numbers : (h, w) int array
        Of the piece that a cell belongs to.
    area : (N,) array
        Cells of each.
    """

    numbers: IntArray
    area: IntArray

    @classmethod
    def of(cls, shares: Float32Array, level: float) -> _Islands:
        _, numbers, statistics, _ = cv2.connectedComponentsWithStats((shares > level).view(np.uint8))
        return cls(numbers, statistics[:, cv2.CC_STAT_AREA])

    @property
    def are_none(self) -> bool:
        """Whether there is nothing but the sea."""
        return len(self.area) == 1

    def count(self, where: BoolArray) -> IntArray:
        """(N,) cells of each piece that are such."""
        return np.bincount(self.numbers[where], minlength=len(self.area))

    def only(self, shares: Float32Array, stays: BoolArray) -> Float32Array:
        """The shares of the sea, and of those pieces that stay (N,)."""
        stays[0] = True
        kept: Float32Array = shares * stays[self.numbers]
        return kept


def _on_grid(points: Float32Array, regions: Regions, higher: float = 1.0) -> BoolArray:
    """(h, w) the cells that lie between some points (N, 2), pixels of the image, which are made so much higher."""
    cells = _cells(points, regions)
    if higher != 1:
        middle = cells[:, 1].mean()
        cells[:, 1] = middle + (cells[:, 1] - middle) * np.float32(higher)
    inside = np.zeros((GRID_SIDE, GRID_SIDE), np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.rint(cells).astype(np.int32)), 1)
    return inside.view(bool)


def _cells(points: Float32Array, regions: Regions) -> Float32Array:
    """Points (N, 2) of the image in cells of the grid."""
    to_grid = grid_map(regions.image_to_crop, _ORIGIN)
    cells: Float32Array = points @ to_grid[:, :2].T + to_grid[:, 2]
    return cells


def _ramp(regions: Regions) -> tuple[float, float]:
    """From which share on a mask begins to vanish, and from which on nothing of it is drawn."""
    enlarged = float(np.hypot(*regions.image_to_crop[0, :2])) - 1
    more = min(max(enlarged, 0.0) * _SMALLER, 0.15)
    return _RAMP[0] + more, _RAMP[1] + more
