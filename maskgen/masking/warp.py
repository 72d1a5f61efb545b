"""A texture and its control points to an overlay on an image.

Each triangle of control points is an affine map; together they make one inverse map, and one remap per face draws
the mask (piecewise affine warping: G. Wolberg, "Digital Image Warping", 1990).

Convention
----------
Points are (x, y) pixels, (0, 0) the centre of the top-left pixel. The map runs image -> texture: every output pixel
asks where it came from, so there are no holes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import Float32Array, Float64Array, Image, IntArray
from maskgen.catalog.view import View
from maskgen.masking.detail import Detail
from maskgen.masking.mesh import Box, Mesh, Placed, filled_of

_NOWHERE: Final = -1e4  # texture coordinate of a pixel that no triangle covers
# Where pixels lie on the skin is worked out for one of so many, both ways.
_COARSE: Final = 4
# A texture that is drawn larger than this many times is sharpened, and by how much.
_SHARPENED_FROM: Final = 1.4
_STEEPER: Final = 2.5
# A texture that would be drawn smaller than this power of a half is taken at half its size: its edges would be jagged.
_COARSER_FROM: Final = 0.75
# How wide a blur enlarging leaves, for each time that a texture is enlarged.
_BLURRED: Final = 0.4


@dataclass(frozen=True)
class Overlay:
    """A premultiplied picture and its place on an image.

    Attributes
    ----------
    rgba : (H, W, 4) float32 array
        Premultiplied, 0 to 1.
    left, top : int
        Pixel of the image, made `step` times smaller, at the overlay's top-left pixel; it lies wholly inside.
    step : float
        Pixels of the image along a side of one of the overlay.
    blur : float
        Standard deviation of the blur that enlarging its texture has left, in its own pixels.
    on_top : tuple of ((N, 2) float32 array, float)
        Paths along which it lies over hair, pixels of the image, and how wide.
    """

    rgba: Float32Array
    left: int
    top: int
    step: float = 1.0
    blur: float = 0.0
    on_top: tuple[tuple[Float32Array, float], ...] = ()

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns that it covers, in its own pixels."""
        height, width = self.rgba.shape[:2]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


def shrunk(points: Float32Array, step: float) -> Float32Array:
    """Points (N, 2) of an image on the same made `step` times smaller."""
    return points if step == 1 else (points + np.float32(0.5)) / np.float32(step) - np.float32(0.5)


def unshrunk(points: Float32Array, step: float) -> Float32Array:
    """The inverse of `shrunk`."""
    return points if step == 1 else (points + np.float32(0.5)) * np.float32(step) - np.float32(0.5)


def shrunk_map(from_image: Float32Array, step: float) -> Float32Array:
    """A map (2, 3) of an image's pixels as one of those of the same made `step` times smaller."""
    if step == 1:
        return np.array(from_image, np.float32)
    to_image = np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2], [0, 0, 1]], np.float32)
    result: Float32Array = from_image @ to_image
    return result


def warp(
    texture: Float32Array,
    points_in_texture: Float32Array,
    points_in_image: Float32Array,
    triangles: npt.NDArray[np.int32],
    size_wh: tuple[int, int],
) -> Overlay:
    """A texture drawn so that its control points land on given points.

    Parameters
    ----------
    texture : (H, W, 4) float32 array
        Premultiplied RGBA.
    points_in_texture, points_in_image : (K, 2) float32 arrays
        The same control points, pixels.
    triangles : (T, 3) int32 array
        Indices into the points. A triangle that turns over on its way to the image is the hidden side: not drawn.
    size_wh : (int, int)
        Width and height of the image.
    """
    mesh = Mesh.of(points_in_texture, triangles, points_in_texture, filled_of((texture[..., 3] > 0).astype(np.uint8)))
    placed = Placed.of(mesh, points_in_image, size_wh)
    return drawn(placed, texture, (1.0, 1.0), placed.box)


def drawn(
    placed: Placed,
    texture: Float32Array | Image,
    ratio: tuple[float, float],
    box: Box,
    detail: Detail | None = None,
    step: float = 1.0,
) -> Overlay:
    """A texture drawn on a face.

    Parameters
    ----------
    placed : Placed
        Its mesh.
    texture : (H, W, 4) float32 or uint8 array
        Premultiplied RGBA, at one of its scales; 0 to 1, or to 255.
    ratio : (float, float)
        Width and height of that scale, against the full size that the mesh is for.
    box : Box
        What of the image to draw.
    detail : Detail, optional
        What lies on the mask beyond its texture.
    step : float
        How many times smaller than the image it is drawn.
    """
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return Overlay(np.zeros((0, 0, 4), np.float32), 0, 0, step)
    width, height = right - left, bottom - top
    chosen = np.flatnonzero(placed.is_seen & placed.mesh.is_near)
    corners = placed.corners[chosen] - (left, top)
    # 1 + index of the triangle that covers the pixel, in whole cells
    which = np.zeros((-(-height // _COARSE) * _COARSE, -(-width // _COARSE) * _COARSE), np.uint8)
    for index, triangle in enumerate(np.rint(corners * 16).astype(np.int32), 1):
        cv2.fillConvexPoly(which, triangle, index, cv2.LINE_8, 4)
    maps, areas = _inverse_maps(placed.mesh, chosen, corners, ratio)
    tables = np.zeros((4, 3, 256), np.float32)
    tables[..., 1 : len(maps) + 1] = maps.transpose(1, 2, 0)
    tables[:2, 2, 0] = _NOWHERE
    inside = which[:height, :width]
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    map_x, map_y = (_mapped(inside, tables[axis], columns, rows) for axis in (0, 1))
    enlarged = math.sqrt(float(areas.sum()) / max(float(placed.mesh.areas[chosen].sum()) * ratio[0] * ratio[1], 1e-6))
    is_sharpened = enlarged >= _SHARPENED_FROM
    if is_sharpened:
        # Sharpening would show what is rounded.
        texture = _as_shares(texture)
    creased: Callable[[Float32Array | Image], Float32Array] = _as_shares
    if detail is not None and len(chosen):
        creased = _bent(which, tables, maps, detail, map_x, map_y)
    rgba = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    if is_sharpened:
        rgba = _sharpened(rgba, enlarged)
    return Overlay(creased(rgba), left, top, step, 0.0 if is_sharpened else _BLURRED * enlarged)


def _bent(
    which: Image, tables: Float32Array, maps: Float64Array, detail: Detail, map_x: Float32Array, map_y: Float32Array
) -> Callable[[Float32Array | Image], Float32Array]:
    """What puts creases on a picture drawn by maps (H, W), which are bent, in place, as the cloth is.

    Parameters
    ----------
    which : (H, W) uint8 array
        1 + index of the triangle that covers each pixel, in whole cells of `_COARSE` pixels.
    tables, maps : (4, 3, 256) and (T, 4, 3) arrays
        The map of each triangle, by `which` and by its index.
    """
    # Where a pixel lies on the skin and how far its cloth is moved changes slowly: a few pixels tell of those between.
    middle = (_COARSE - 1) / 2
    coarse = np.ascontiguousarray(which[int(middle) :: _COARSE, int(middle) :: _COARSE])
    columns, rows = (np.arange(middle, side * _COARSE, _COARSE, dtype=np.float32) for side in coarse.shape[::-1])
    across, down = (_mapped(coarse, tables[axis], columns, rows[:, None]) for axis in (2, 3))
    in_mm = np.abs(_determinants(maps[:, 2:, :2]))
    mm_per_pixel = math.sqrt(_middle(in_mm))
    moves = detail.moves(across, down, _COARSE * mm_per_pixel)
    # Pixels of the texture along a millimetre of the skin: few where it turns away, and nowhere many.
    cross = maps[:, :2, 0] * maps[:, 3:1:-1, 1] - maps[:, :2, 1] * maps[:, 3:1:-1, 0]
    per_mm = (np.abs(cross) / np.maximum(in_mm, 1e-9)[:, None]).T
    for map_there, moved, along in ((map_x, moves.across_mm, per_mm[0]), (map_y, moves.down_mm, per_mm[1])):
        table = np.zeros(256, np.float32)
        table[1 : len(along) + 1] = np.minimum(along, _middle(along))
        map_there += _finer(moved * cv2.LUT(coarse, table), map_there)
    gain = detail.gain(_finer(across, map_x), _finer(down, map_x), mm_per_pixel)
    depth = None if moves.depth is None else _finer(moves.depth, map_x)
    return lambda rgba: detail.over(rgba, gain, depth, mm_per_pixel)


def _as_shares(rgba: Float32Array | Image) -> Float32Array:
    """A picture of 0 to 1 from one of that, or of 0 to 255."""
    if rgba.dtype == np.float32:
        return np.asarray(rgba, np.float32)
    shares: Float32Array = np.multiply(rgba, np.float32(1 / 255), dtype=np.float32)
    return shares


def _middle(values: Float64Array) -> float:
    """The upper median of (N,) values."""
    return float(sorted(values.tolist())[len(values) // 2])


def _mapped(which: Image, table: Float32Array, columns: Float32Array, rows: Float32Array) -> Float32Array:
    """(H, W) one coordinate of where each pixel comes from, by the maps (3, 256) of what covers them."""
    values: Float32Array = cv2.LUT(which, table[0])
    values *= columns
    by_row = cv2.LUT(which, table[1])
    by_row *= rows
    values += by_row
    values += cv2.LUT(which, table[2])
    return values


def _finer(cells: Float32Array, like: Float32Array) -> Float32Array:
    """Values of cells at every pixel, as many as another array has."""
    height, width = cells.shape
    finer: Float32Array = cv2.resize(cells, (width * _COARSE, height * _COARSE), interpolation=cv2.INTER_LINEAR)
    return finer[: like.shape[0], : like.shape[1]]


def _sharpened(rgba: Float32Array, enlarged: float) -> Float32Array:
    """A premultiplied picture whose edges are as steep as before it was enlarged; they overshoot nowhere."""
    soft = cv2.GaussianBlur(rgba, (0, 0), 0.55 * enlarged)
    steep = cv2.addWeighted(rgba, 1 + _STEEPER, soft, -_STEEPER, 0)
    reach = max(round(0.5 * enlarged), 1)
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    sharp: Float32Array = np.clip(steep, cv2.erode(rgba, around), cv2.dilate(rgba, around))
    return sharp


def fitting_scale(view: View, on_face: Float32Array) -> int:
    """The number of the smallest texture that still has a pixel for every pixel of the face, or nearly so."""
    spread = [_spread(view), _apart(on_face)]
    level = int(math.log2(max(spread[0] / max(spread[1], 1e-6), 1.0)) + 1 - _COARSER_FROM)
    return min(level, len(view.textures) - 1)


@lru_cache(maxsize=4096)
def _spread(view: View) -> float:
    """How far a view's control points lie from their middle, pixels."""
    return _apart(view.points)


def _apart(points: Float32Array) -> float:
    """How far points (K, 2) lie from their middle, pixels."""
    places = points.tolist()
    middle = [sum(axis) / len(places) for axis in zip(*places, strict=True)]
    return sum(math.dist(place, middle) for place in places) / len(places)


def _determinants(matrices: Float64Array) -> Float64Array:
    """Of (T, 2, 2)."""
    result: Float64Array = matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]
    return result


def _inverse_maps(
    mesh: Mesh, chosen: IntArray, corners: Float64Array, ratio: tuple[float, float]
) -> tuple[Float64Array, Float64Array]:
    """What takes pixels of triangles (T, 3, 2) to a texture and to the unrolled skin, (T, 4, 3); and twice their areas.

    The texture is as `drawn` takes it.
    """
    first = corners[:, 0]
    a, b = corners[:, 1] - first, corners[:, 2] - first
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    inverse = np.empty((len(corners), 2, 2))
    inverse[:, 0, 0], inverse[:, 0, 1], inverse[:, 1, 0], inverse[:, 1, 1] = b[:, 1], -b[:, 0], -a[:, 1], a[:, 0]
    inverse /= area[:, None, None]
    maps = np.empty((len(corners), 4, 3))
    np.matmul(mesh.edges[chosen], inverse, out=maps[..., :2])
    maps[..., 2] = mesh.origin[chosen] - (maps[..., :2] @ first[..., None])[..., 0]
    for axis, scale in enumerate(ratio):
        maps[:, axis] *= scale
        maps[:, axis, 2] += (scale - 1) / 2
    return maps, np.abs(area)
