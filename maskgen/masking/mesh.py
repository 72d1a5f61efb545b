"""The triangles of a texture, and where they lie on a face.

Convention
----------
Points are (x, y) pixels, (0, 0) the centre of the top-left pixel.
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
from maskgen.masking.fit import along_skin

# No cloth is moved farther by straps and creases, millimetres.
_FARTHEST_MM: Final = 7.0


Box = tuple[int, int, int, int]
"""Left, top, right, bottom, pixels; the last two lie outside."""
NOWHERE: Final[Box] = (0, 0, 0, 0)


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
    filled : (F,) int array
        Those of which the texture fills something.
    frames : (4 F, K) array
        The corners of what it fills of each of those, or of more, as shares of the control points.
    is_near : (T,) bool array
        Whether it would fill something of them if it were moved as far as cloth ever is.
    areas : (T,) array
        Twice the area of each in the texture.
    """

    triangles: npt.NDArray[np.int32]
    side: Float64Array
    origin: Float64Array
    edges: Float64Array
    filled: IntArray
    frames: Float32Array
    is_near: BoolArray
    areas: Float64Array

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
        frame = np.stack([np.stack(xy, axis=-1) for xy in ((x1, y1), (x2, y1), (x2, y2), (x1, y2))])  # (4, T, 2)
        to = frame - source[:, 0]
        along, down = source[:, 1] - source[:, 0], source[:, 2] - source[:, 0]
        safe = np.where(area == 0, 1.0, area)
        u = (to[..., 0] * down[:, 1] - to[..., 1] * down[:, 0]) / safe
        v = (along[:, 0] * to[..., 1] - along[:, 1] * to[..., 0]) / safe
        found = np.flatnonzero(is_filled)
        frames = np.zeros((4, len(found), len(points)), np.float32)
        shares = np.stack([1 - u - v, u, v], axis=-1)[:, found]
        frames[:, np.arange(len(found))[:, None], triangles[found]] = shares
        edges = np.stack([corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]], axis=-1)
        on_skin_area = np.abs(_signed_areas(corners[..., 2:])).sum()
        reach = _FARTHEST_MM * math.sqrt(np.abs(area).sum() / max(on_skin_area, 1e-6))
        is_near = (source.max(axis=1) > np.array(filled[:2]) - reach).all(axis=1) & (area != 0)
        is_near &= (source.min(axis=1) < np.array(filled[2:]) + reach).all(axis=1)
        return cls(
            triangles,
            np.sign(area),
            corners[:, 0],
            edges,
            found,
            frames.reshape(-1, len(points)),
            is_near,
            np.abs(area),
        )


@lru_cache(maxsize=4096)
def mesh_of(view: View) -> Mesh:
    """The mesh of a view."""
    # Half the size is at hand, where the full size may have to be read again.
    scale = min(1, len(view.textures) - 1)
    (height, width), (rows, columns) = view.textures.shapes[0], view.textures.shapes[scale]
    left, top, right, bottom = filled_of(view.textures.alpha_of(scale))
    along, down = width / columns, height / rows
    filled = (
        math.floor(left * along) - 1,
        math.floor(top * down) - 1,
        math.ceil(right * along) + 1,
        math.ceil(bottom * down) + 1,
    )
    return Mesh.of(view.points, view.triangles, along_skin(view.names), filled)


def filled_of(alpha: Image) -> Box:
    """What of a texture, its opacity (H, W) given, is not clear."""
    left, top, width, height = cv2.boundingRect(np.ascontiguousarray(alpha))
    return left, top, left + width, top + height


@dataclass(frozen=True)
class Placed:
    """A mesh on a face.

    Attributes
    ----------
    mesh : Mesh
    points : (K, 2) float64 array
        Where its control points lie in the image, pixels.
    corners : (T, 3, 2) float64 array
        The same for its triangles.
    is_seen : (T,) bool array
        A triangle that turns over on its way to the image is the hidden side: not drawn.
    size_wh : (int, int)
        Width and height of the image.
    """

    mesh: Mesh
    points: Float64Array
    corners: Float64Array
    is_seen: BoolArray
    size_wh: tuple[int, int]

    @classmethod
    def of(cls, mesh: Mesh, points_in_image: Float32Array, size_wh: tuple[int, int]) -> Placed:
        """A mesh whose control points (K, 2) lie so in an image."""
        points = points_in_image.astype(np.float64)
        corners = points[mesh.triangles]
        area = _signed_areas(corners) * mesh.side
        return cls(mesh, points, corners, area > 1e-3, size_wh)

    @property
    def box(self) -> Box:
        """What the texture fills of the image, or a little more."""
        filled = self.mesh.filled
        is_drawn = self.is_seen[filled]
        if not is_drawn.any():
            return NOWHERE
        # What it fills of each triangle, carried over by the triangle's map; its own corners bound that as well.
        frames = (self.mesh.frames @ self.points).reshape(4, -1, 2)
        one, two, three = (self.corners[filled, number] for number in range(3))
        lowest = np.maximum(frames.min(axis=0), np.minimum(np.minimum(one, two), three))[is_drawn].min(axis=0).tolist()
        highest = np.minimum(frames.max(axis=0), np.maximum(np.maximum(one, two), three))[is_drawn].max(axis=0).tolist()
        left, top = (max(int(min(value, limit)), 0) for value, limit in zip(lowest, self.size_wh, strict=True))
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


def _signed_areas(corners: Float64Array) -> Float64Array:
    """Twice the signed areas (T,) of triangles (T, 3, 2)."""
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    areas: Float64Array = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return areas
