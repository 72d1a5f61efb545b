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
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image, IntArray
from maskgen.catalog.view import View
from maskgen.masking.detail import Detail
from maskgen.masking.fit import along_skin

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


Box = tuple[int, int, int, int]
"""Left, top, right, bottom, pixels; the last two lie outside."""
NOWHERE: Final[Box] = (0, 0, 0, 0)


def shrunk(points: Float32Array, step: float) -> Float32Array:
    """Points (N, 2) of an image on the same made `step` times smaller."""
    return points if step == 1 else (points + np.float32(0.5)) / np.float32(step) - np.float32(0.5)


def unshrunk(points: Float32Array, step: float) -> Float32Array:
    """The inverse of `shrunk`."""
    return points if step == 1 else (points + np.float32(0.5)) * np.float32(step) - np.float32(0.5)


def shrunk_map(from_image: Float32Array, step: float) -> Float32Array:
    """A map (2, 3) of an image's pixels as one of those of the same made `step` times smaller."""
    to_image = np.array([[step, 0, (step - 1) / 2], [0, step, (step - 1) / 2], [0, 0, 1]], np.float32)
    result: Float32Array = from_image @ to_image
    return result


@dataclass(frozen=True)
class Mesh:
    """The triangles of a texture, with all that does not depend on the face.

    Attributes
    ----------
    triangles : (T, 3) int32 array
        Indices into the control points.
    side : (T,) array
        The sign of each triangle's area.
    origin : (T, 4) array
        The first corner: where it lies in the texture, pixels, and on the unrolled skin, millimetres.
    edges : (T, 4, 2) array
        The way from there to the two others.
    filled : (T, 4, 3) array
        The corners of what the texture fills of each triangle, or of more, as shares of its corners.
    is_filled : (T,) bool array
        Whether it fills any of it.
    """

    triangles: npt.NDArray[np.int32]
    side: Float64Array
    origin: Float64Array
    edges: Float64Array
    filled: Float64Array
    is_filled: BoolArray

    @classmethod
    def of(cls, points: Float32Array, triangles: npt.NDArray[np.int32], on_skin: Float32Array, filled: Box) -> Mesh:
        """The mesh of control points (K, 2) in a texture that is clear outside a box.

        Other parameters as `warp`; `on_skin` (K, 2) is where the points lie on the unrolled skin.
        """
        corners = np.concatenate([points, on_skin], axis=1).astype(np.float64)[triangles]  # (T, 3, 4)
        source = corners[..., :2]
        area = _signed_areas(source)
        # A pixel more all round: between pixels colour fades.
        low = np.clip(source.min(axis=1), np.array(filled[:2]) - 1.0, filled[2:])
        high = np.clip(source.max(axis=1), np.array(filled[:2]) - 1.0, filled[2:])
        is_filled = (high > low).all(axis=1) & (area != 0)
        boxes = np.stack([low, high], axis=1)
        (x1, y1), (x2, y2) = boxes[:, 0].T, boxes[:, 1].T
        frame = np.stack([np.stack(xy, axis=-1) for xy in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))], axis=1)
        to = frame - source[:, :1]
        along, down = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
        safe = np.where(area == 0, 1.0, area)[:, None]
        u = (to[..., 0] * down[:, None, 1] - to[..., 1] * down[:, None, 0]) / safe
        v = (along[:, None, 0] * to[..., 1] - along[:, None, 1] * to[..., 0]) / safe
        edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=-1)
        return cls(triangles, np.sign(area), corners[:, 0], edges, np.stack([1 - u - v, u, v], axis=-1), is_filled)


@lru_cache(maxsize=4096)
def mesh_of(view: View) -> Mesh:
    """The mesh of a view."""
    # Half the size is at hand, where the full size may have to be read again.
    scale = min(1, len(view.textures) - 1)
    (height, width), (rows, columns) = view.textures.shapes[0], view.textures.shapes[scale]
    left, top, right, bottom = _filled(view.textures.alpha_of(scale))
    along, down = width / columns, height / rows
    filled = (
        math.floor(left * along) - 1,
        math.floor(top * down) - 1,
        math.ceil(right * along) + 1,
        math.ceil(bottom * down) + 1,
    )
    return Mesh.of(view.points, view.triangles, along_skin(view.names), filled)


def _filled(alpha: Image) -> Box:
    """What of a texture, its opacity (H, W) given, is not clear."""
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(alpha))
    return left, top, left + width, top + height


@dataclass(frozen=True)
class Placed:
    """A mesh on a face.

    Attributes
    ----------
    mesh : Mesh
    corners : (T, 3, 2) float64 array
        Where its triangles lie in the image, pixels.
    is_seen : (T,) bool array
        A triangle that turns over on its way to the image is the hidden side: not drawn.
    size_wh : (int, int)
        Width and height of the image.
    """

    mesh: Mesh
    corners: Float64Array
    is_seen: BoolArray
    size_wh: tuple[int, int]

    @classmethod
    def of(cls, mesh: Mesh, points_in_image: Float32Array, size_wh: tuple[int, int]) -> Placed:
        """A mesh whose control points (K, 2) lie so in an image."""
        corners = points_in_image.astype(np.float64)[mesh.triangles]
        area = _signed_areas(corners) * mesh.side
        return cls(mesh, corners, area > 1e-3, size_wh)

    @property
    def box(self) -> Box:
        """What the texture fills of the image, or a little more."""
        drawn = np.flatnonzero(self.is_seen & self.mesh.is_filled)
        if not len(drawn):
            return NOWHERE
        corners = self.corners[drawn]
        # What it fills of each triangle, carried over by the triangle's map; its own corners bound that as well.
        filled = self.mesh.filled[drawn] @ corners
        lowest = np.maximum(filled.min(axis=1), corners.min(axis=1)).min(axis=0)
        highest = np.minimum(filled.max(axis=1), corners.max(axis=1)).max(axis=0)
        width, height = self.size_wh
        left, top = max(int(min(lowest[0], width)), 0), max(int(min(lowest[1], height)), 0)
        right, bottom = (
            math.ceil(min(max(value + 1, 0), limit)) for value, limit in zip(highest, self.size_wh, strict=True)
        )
        return (left, top, right, bottom) if left < right and top < bottom else NOWHERE

    def grown(self, margin: float) -> Box:
        """The box and so many pixels around it, as far as the image reaches."""
        left, top, right, bottom = self.box
        if left >= right:
            return NOWHERE
        reach, (width, height) = math.ceil(margin), self.size_wh
        return max(left - reach, 0), max(top - reach, 0), min(right + reach, width), min(bottom + reach, height)


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
    mesh = Mesh.of(points_in_texture, triangles, points_in_texture, _filled((texture[..., 3] > 0).astype(np.uint8)))
    placed = Placed.of(mesh, points_in_image, size_wh)
    return drawn(placed, texture, (1.0, 1.0), placed.box)


def drawn(
    placed: Placed, texture: Float32Array | Image, ratio: tuple[float, float], box: Box, detail: Detail | None = None
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
    """
    left, top, right, bottom = box
    if left >= right or top >= bottom:
        return Overlay(np.zeros((0, 0, 4), np.float32), 0, 0)
    width, height = right - left, bottom - top
    corners = placed.corners - np.array([left, top], np.float64)
    low, high = corners.min(axis=1), corners.max(axis=1)
    within = (high[:, 0] >= -1) & (high[:, 1] >= -1) & (low[:, 0] <= width) & (low[:, 1] <= height)
    chosen = np.flatnonzero(placed.is_seen & within)
    corners = corners[chosen]
    which = np.zeros((height, width), np.uint8)  # 1 + index of the triangle that covers the pixel
    for index, triangle in enumerate(np.round(corners * 16).astype(np.int32), 1):
        cv2.fillConvexPoly(which, triangle, index, cv2.LINE_8, 4)
    maps = _inverse_maps(placed.mesh, chosen, corners)
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    map_x, map_y = (
        _mapped(which, maps[:, axis] * scale + [0, 0, (scale - 1) / 2], columns, rows, _NOWHERE)
        for axis, scale in enumerate(ratio)
    )
    folds = None
    if detail is not None and len(chosen):
        # Where a pixel lies on the skin changes slowly: a few pixels tell of those between.
        coarse = np.ascontiguousarray(which[::_COARSE, ::_COARSE])
        across, down = (
            _drawn_finer(_mapped(coarse, maps[:, axis], columns[::_COARSE], rows[::_COARSE], 0.0), (width, height))
            for axis in (2, 3)
        )
        in_mm = _determinants(maps[:, 2:, :2])
        folds = detail.folds(across, down, math.sqrt(_middle(np.abs(in_mm))))
        # Pixels of the texture along a millimetre of the skin: few where it turns away, and nowhere many.
        per_mm = np.zeros((2, 256), np.float32)
        for axis, other in ((0, 3), (1, 2)):
            cross = maps[:, axis, 0] * maps[:, other, 1] - maps[:, axis, 1] * maps[:, other, 0]
            along = np.abs(cross) / np.maximum(np.abs(in_mm), 1e-9)
            per_mm[axis, 1 : len(maps) + 1] = ratio[axis] * np.minimum(along, _middle(along))
        map_x += folds.across_mm * cv2.LUT(which, per_mm[0])
        map_y += folds.down_mm * cv2.LUT(which, per_mm[1])
    enlarged = _enlargement(placed.mesh, chosen, np.abs(_signed_areas(corners)), ratio)
    is_sharpened = enlarged >= _SHARPENED_FROM
    if is_sharpened:
        # Sharpening would show what is rounded.
        texture = _as_shares(texture)
    rgba = _as_shares(cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0))
    if is_sharpened:
        rgba = _sharpened(rgba, enlarged)
    if detail is not None and folds is not None:
        detail.over(rgba, folds)
    return Overlay(rgba, left, top, blur=0.0 if is_sharpened else _BLURRED * enlarged)


def _as_shares(rgba: Float32Array | Image) -> Float32Array:
    """A picture of 0 to 1 from one of that, or of 0 to 255."""
    if rgba.dtype == np.float32:
        return np.asarray(rgba, np.float32)
    shares: Float32Array = np.multiply(rgba, np.float32(1 / 255), dtype=np.float32)
    return shares


def _middle(values: Float64Array) -> float:
    """The upper median of (N,) values."""
    return float(np.partition(values, len(values) // 2)[len(values) // 2])


def _mapped(
    which: npt.NDArray[np.uint8], maps: Float64Array, columns: Float32Array, rows: Float32Array, beyond: float
) -> Float32Array:
    """(H, W) one coordinate of where each pixel comes from, by the maps (T, 3) of the triangles that cover them."""
    table = np.zeros((3, 256), np.float32)
    table[:, 1 : len(maps) + 1] = maps.T
    table[2, 0] = beyond
    values: Float32Array = cv2.LUT(which, table[0])
    values *= columns
    by_row = cv2.LUT(which, table[1])
    by_row *= rows
    values += by_row
    values += cv2.LUT(which, table[2])
    return values


def _drawn_finer(values: Float32Array, size_wh: tuple[int, int]) -> Float32Array:
    """Values of a coarse grid at every pixel."""
    finer = np.array([[1 / _COARSE, 0, 0], [0, 1 / _COARSE, 0]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    result: Float32Array = cv2.warpAffine(values, finer, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return result


def _enlargement(mesh: Mesh, chosen: IntArray, areas: Float64Array, ratio: tuple[float, float]) -> float:
    """How much larger triangles are drawn, their areas given, than they are in the texture: a factor of length."""
    before = np.abs(_determinants(mesh.edges[chosen, :2])).sum() * ratio[0] * ratio[1]
    return math.sqrt(float(areas.sum()) / max(float(before), 1e-6))


def _sharpened(rgba: Float32Array, enlarged: float) -> Float32Array:
    """A premultiplied picture whose edges are as steep as before it was enlarged; they overshoot nowhere."""
    soft = cv2.GaussianBlur(rgba, (0, 0), 0.55 * enlarged)
    steep = cv2.addWeighted(rgba, 1 + _STEEPER, soft, -_STEEPER, 0)
    reach = max(round(0.5 * enlarged), 1)
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    sharp: Float32Array = np.clip(steep, cv2.erode(rgba, around), cv2.dilate(rgba, around))
    return sharp


def bearings(
    places: Float32Array, points_in_texture: Float32Array, triangles: npt.NDArray[np.int32]
) -> tuple[npt.NDArray[np.int32], Float64Array, BoolArray]:
    """Where places (P, 2) of a texture lie among its control points.

    Returns
    -------
    (P, 3) int32 array
        The three control points around each.
    (P, 3) array
        Their shares of it.
    (P,) bool array
        Whether they really lie around it, and not beside it.
    """
    corners = points_in_texture[triangles].astype(np.float64)  # (T, 3, 2)
    origin, along, down = corners[:, 0], corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    area = along[:, 0] * down[:, 1] - along[:, 1] * down[:, 0]
    area = np.where(np.abs(area) < 1e-9, np.inf, area)
    to = places[:, None].astype(np.float64) - origin  # (P, T, 2)
    u = (to[..., 0] * down[:, 1] - to[..., 1] * down[:, 0]) / area
    v = (along[:, 0] * to[..., 1] - along[:, 1] * to[..., 0]) / area
    outside = -np.minimum(np.minimum(u, v), 1 - u - v)
    outside[:, np.isinf(area)] = np.inf
    triangle = outside.argmin(axis=1)  # (P,)
    row = np.arange(len(places))
    share = np.stack([1 - u - v, u, v], axis=-1)[row, triangle]  # (P, 3)
    # In the order that makes the area positive: if it is negative in the image, the triangle has turned over.
    around = triangles[triangle].copy()
    turned = area[triangle] < 0
    around[turned], share[turned] = around[turned][:, [0, 2, 1]], share[turned][:, [0, 2, 1]]
    return around, share, outside[row, triangle] < 1e-6


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
    off = points - points.sum(axis=0) / np.float32(len(points))
    return float(np.sqrt(np.einsum("kd,kd->k", off, off)).sum()) / len(points)


def _signed_areas(corners: Float64Array) -> Float64Array:
    """Twice the signed areas (T,) of triangles (T, 3, 2)."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas: Float64Array = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return areas


def _determinants(matrices: Float64Array) -> Float64Array:
    """Of (T, 2, 2)."""
    result: Float64Array = matrices[:, 0, 0] * matrices[:, 1, 1] - matrices[:, 0, 1] * matrices[:, 1, 0]
    return result


def _inverse_maps(mesh: Mesh, chosen: IntArray, corners: Float64Array) -> Float64Array:
    """(T, 4, 3): take pixels of triangles (T, 3, 2) to the full-size texture, and to the unrolled skin."""
    first = corners[:, 0]
    ways = np.stack([corners[:, 1] - first, corners[:, 2] - first], axis=-1)  # (T, 2, 2)
    inverse = np.empty_like(ways)
    inverse[:, 0, 0], inverse[:, 1, 1] = ways[:, 1, 1], ways[:, 0, 0]
    inverse[:, 0, 1], inverse[:, 1, 0] = -ways[:, 0, 1], -ways[:, 1, 0]
    inverse /= _determinants(ways)[:, None, None]
    linear = mesh.edges[chosen] @ inverse  # (T, 4, 2)
    shift = mesh.origin[chosen][..., None] - linear @ first[..., None]
    return np.concatenate([linear, shift], axis=2)
