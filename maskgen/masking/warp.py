"""A texture and its control points to an overlay on an image.

Each triangle of control points is an affine map; together they make one inverse map, and one remap per face draws
the mask (piecewise affine warping: G. Wolberg, "Digital Image Warping", 1990).

Convention
----------
Points are (x, y) pixels, (0, 0) the centre of the top-left pixel. The map runs image -> texture: every output pixel
asks where it came from, so there are no holes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, Float32Array
from maskgen.catalog.store import View
from maskgen.masking.detail import Detail

_NOWHERE: Final = -1e4  # texture coordinate of a pixel that no triangle covers
_BLOCK: Final = 200_000  # pixels
_LARGE: Final = 8_000_000  # pixels
# Where pixels lie on the skin is worked out for one of so many, both ways.
_COARSE: Final = 4
# A texture that is drawn larger than this many times is sharpened, and by how much.
_SHARPENED_FROM: Final = 1.4
_STEEPER: Final = 2.5


@dataclass(frozen=True)
class Overlay:
    """A premultiplied picture and its place on an image.

    Attributes
    ----------
    rgba : (H, W, 4) float32 array
        Premultiplied, 0 to 1; float16 if it is large, so that a face that fills a photograph fits into memory.
    left, top : int
        Image pixel of the overlay's top-left pixel; the overlay lies wholly inside the image.
    """

    rgba: Float32Array
    left: int
    top: int

    @property
    def region(self) -> tuple[slice, slice]:
        """Rows and columns of the image that it covers."""
        height, width = self.rgba.shape[:2]
        return slice(self.top, self.top + height), slice(self.left, self.left + width)


@dataclass(frozen=True)
class OnSkin:
    """What lies on a mask beyond its texture.

    Attributes
    ----------
    points : (K, 2) float32 array
        Where the control points lie on the unrolled skin, millimetres.
    detail : Detail
        Creases and weave.
    """

    points: Float32Array
    detail: Detail


def warp(
    texture: Float32Array,
    points_in_texture: Float32Array,
    points_in_image: Float32Array,
    triangles: npt.NDArray[np.int32],
    size_wh: tuple[int, int],
    on_skin: OnSkin | None = None,
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
    on_skin : OnSkin, optional
        What lies on the mask beyond its texture.
    """
    drawn = _drawn_triangles(texture, points_in_texture, points_in_image, triangles)
    corners = points_in_image[drawn]  # (T, 3, 2)
    left, top, right, bottom = _bounds(texture, points_in_texture[drawn], corners, size_wh)
    if right <= left or bottom <= top:
        return Overlay(np.zeros((0, 0, 4), np.float32), 0, 0)
    shape = (bottom - top, right - left)
    which = np.zeros(shape, np.uint16)  # 1 + index of the triangle that covers the pixel
    offset = np.array([left, top], np.float32)
    subpixel = np.round((corners - offset) * 16).astype(np.int32)
    for index, triangle in enumerate(subpixel):
        cv2.fillConvexPoly(which, triangle, index + 1, cv2.LINE_8, 4)
    by_triangle = _with_nowhere(_inverse_maps(points_in_texture[drawn], corners - offset))
    if on_skin is not None:
        to_skin = _inverse_maps(on_skin.points[drawn], corners - offset)
        # Where a pixel lies on the skin changes slowly: a few pixels tell of those between.
        skin_maps = _with_nowhere(to_skin)[which[::_COARSE, ::_COARSE]]
        coarse_x, coarse_y = (np.arange(0, n, _COARSE, dtype=np.float32) for n in shape[::-1])
        on_skin_mm = [
            skin_maps[..., axis, 0] * coarse_x + skin_maps[..., axis, 1] * coarse_y[:, None] + skin_maps[..., axis, 2]
            for axis in (0, 1)
        ]
        mm_per_pixel = float(np.median(np.sqrt(np.abs(np.linalg.det(to_skin[:, :, :2].astype(np.float64))))))
    enlarged = _enlargement(points_in_texture[drawn], corners)
    # Rows beyond a block that sharpening looks at.
    margin = _sharp_reach(enlarged)
    rgba = np.empty((*shape, 4), np.float32 if shape[0] * shape[1] <= _LARGE else np.float16)
    columns = np.arange(shape[1], dtype=np.float32)
    # So many rows at a time: the maps of a whole face need twice the memory of what is drawn.
    step = max(_BLOCK // shape[1], 1)
    for first in range(0, shape[0], step):
        top_row, bottom_row = max(first - margin, 0), min(first + step + margin, shape[0])
        rows = np.arange(top_row, bottom_row, dtype=np.float32)[:, None]
        maps = by_triangle[which[top_row:bottom_row]]  # (h, W, 2, 3)
        map_x = maps[..., 0, 0] * columns + maps[..., 0, 1] * rows + maps[..., 0, 2]
        map_y = maps[..., 1, 0] * columns + maps[..., 1, 1] * rows + maps[..., 1, 2]
        part = cv2.remap(texture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
        part = _sharpened(part, enlarged)
        if on_skin is not None:
            finer = np.array([[1 / _COARSE, 0, 0], [0, 1 / _COARSE, top_row / _COARSE]])
            across, down = (_drawn_finer(values, finer, part.shape[1::-1]) for values in on_skin_mm)
            on_skin.detail.over(part, across, down, mm_per_pixel)
        rgba[first : first + step] = part[first - top_row : first - top_row + step]
    return Overlay(rgba, left, top)


def _drawn_finer(values: Float32Array, finer: npt.NDArray[np.float64], size_wh: tuple[int, int]) -> Float32Array:
    """Values of a coarse grid at every pixel of a part of the image."""
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    result: Float32Array = cv2.warpAffine(values, finer, size_wh, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return result


def _with_nowhere(maps: Float32Array) -> Float32Array:
    """Maps (T, 2, 3) after one for pixels that no triangle covers."""
    return np.concatenate([np.full((1, 2, 3), [[0, 0, _NOWHERE]], np.float32), maps])


def _enlargement(source: Float32Array, target: Float32Array) -> float:
    """How much larger triangles (T, 3, 2) are drawn than they are in the texture: a factor of length."""
    before, after = np.abs(_signed_areas(source)).sum(), np.abs(_signed_areas(target)).sum()
    return float(np.sqrt(after / max(before, 1e-6)))


def _sharp_reach(enlarged: float) -> int:
    """How far, in pixels, sharpening looks around."""
    return 0 if enlarged < _SHARPENED_FROM else int(np.ceil(4 * 0.55 * enlarged)) + 1


def _sharpened(rgba: Float32Array, enlarged: float) -> Float32Array:
    """A premultiplied picture whose edges are as steep as before it was enlarged; they overshoot nowhere."""
    if enlarged < _SHARPENED_FROM:
        return rgba
    soft = cv2.GaussianBlur(rgba, (0, 0), 0.55 * enlarged)
    steep = cv2.addWeighted(rgba, 1 + _STEEPER, soft, -_STEEPER, 0)
    reach = max(round(0.5 * enlarged), 1)
    around = cv2.getStructuringElement(cv2.MORPH_RECT, (2 * reach + 1, 2 * reach + 1))
    sharp: Float32Array = np.clip(steep, cv2.erode(rgba, around), cv2.dilate(rgba, around))
    return sharp


def carried(
    places: Float32Array,
    points_in_texture: Float32Array,
    points_in_image: Float32Array,
    triangles: npt.NDArray[np.int32],
) -> tuple[Float32Array, BoolArray]:
    """Where places (P, 2) of a texture come to lie in the image, (P, 2), and whether they are seen there, (P,).

    Other parameters as `warp`. What lies in no triangle, or in one that turns over, is not seen.
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
    target = points_in_image[triangles[triangle]].astype(np.float64)  # (P, 3, 2)
    landed = np.einsum("pk,pkd->pd", share, target).astype(np.float32)
    kept = area[triangle] * _signed_areas(target.astype(np.float32)) > 0
    return landed, kept & (outside[row, triangle] < 1e-6)


def fitting_scale(view: View, on_face: Float32Array) -> tuple[Float32Array, Float32Array]:
    """The smallest texture that still has a pixel for every pixel of the face, and the control points in it."""
    spread = [float(np.linalg.norm(p - p.mean(axis=0), axis=1).mean()) for p in (view.points, on_face)]
    level = int(np.log2(max(spread[0] / max(spread[1], 1e-6), 1.0)))
    level = min(level, len(view.textures) - 1)
    texture, (height, width) = view.textures[level], view.textures.shapes[0]
    ratio = np.array([texture.shape[1] / width, texture.shape[0] / height], np.float32)
    # Pixel centres: the first pixel of a halved texture covers the first two.
    return texture, (view.points + 0.5) * ratio - 0.5


def _drawn_triangles(
    texture: Float32Array,
    points_in_texture: Float32Array,
    points_in_image: Float32Array,
    triangles: npt.NDArray[np.int32],
) -> npt.NDArray[np.int32]:
    """Triangles that keep their side and touch the texture."""
    before, after = _signed_areas(points_in_texture[triangles]), _signed_areas(points_in_image[triangles])
    low, high = points_in_texture[triangles].min(axis=1), points_in_texture[triangles].max(axis=1)
    touches = ((high >= -1) & (low <= [texture.shape[1], texture.shape[0]])).all(axis=1)
    kept = (before * after > 0) & (np.abs(after) > 1e-3) & touches
    result: npt.NDArray[np.int32] = triangles[kept]
    return result


def _signed_areas(corners: Float32Array) -> Float32Array:
    """Twice the signed areas (T,) of triangles (T, 3, 2)."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]


def _bounds(
    texture: Float32Array, source: Float32Array, target: Float32Array, size_wh: tuple[int, int]
) -> tuple[int, int, int, int]:
    """Left, top, right, bottom in the image of the part of the triangles that the texture fills."""
    if not len(target):
        return 0, 0, 0, 0
    # The texture's frame, cut to each triangle's own frame and carried over by its map: cheap, and never too small.
    height, width = texture.shape[:2]
    low = np.clip(source.min(axis=1), [-1, -1], [width, height])
    high = np.clip(source.max(axis=1), [-1, -1], [width, height])
    forward = _inverse_maps(target, source)  # texture -> image
    frame = np.stack([low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], axis=1)
    carried = np.einsum("tij,tcj->tci", forward[:, :, :2], frame) + forward[:, None, :, 2]
    # A triangle's own corners bound it as well.
    lowest = np.maximum(carried.min(axis=1), target.min(axis=1)).min(axis=0)
    highest = np.minimum(carried.max(axis=1), target.max(axis=1)).max(axis=0)
    left, top = (int(v) for v in np.floor(np.clip(lowest, 0, size_wh)))
    right, bottom = (int(v) for v in np.ceil(np.clip(highest + 1, 0, size_wh)))
    return left, top, right, bottom


def _inverse_maps(source: Float32Array, target: Float32Array) -> Float32Array:
    """The (T, 2, 3) affine maps that take target triangles (T, 3, 2) to source triangles (T, 3, 2)."""
    ones = np.ones((*target.shape[:2], 1))
    system = np.concatenate([target.astype(np.float64), ones], axis=2)  # (T, 3, 3)
    solution = np.linalg.solve(system, source.astype(np.float64))  # (T, 3, 2)
    return np.transpose(solution, (0, 2, 1)).astype(np.float32)
