"""Where the straps of a view run on the mean head: all of them that does not depend on the face.

Convention
----------
The frame of `maskgen.face.solid`: millimetres, directions round the head in degrees.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from itertools import pairwise
from typing import Final, get_args

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, Float32Array, Float64Array
from maskgen.catalog.schema import Corner
from maskgen.catalog.view import View
from maskgen.face.head import camera_solver, carrying, towards_camera
from maskgen.masking.fit import along_skin, on_head
from maskgen.masking.mesh import bearings

STEPS: Final = 24
"""Points of a strap."""
# Degrees to millimetres, at the cheek.
_ARC_MM_PER_DEG: Final = 1.5
# Where straps run to at image right, (degrees, millimetres) on the head: the roots of the ear, or over and under it.
_WAYS: Final[dict[str, dict[str, tuple[tuple[float, float], ...]]]] = {
    "ear": {"upper": ((94.0, -8.0),), "lower": ((88.0, 41.0),)},
    "head": {
        "upper": ((76.0, 6.0), (92.0, -16.0), (108.0, -34.0), (128.0, -52.0)),
        "lower": ((78.0, 58.0), (94.0, 56.0), (110.0, 53.0)),
    },
}
# How far the middle of a strap hangs below the straight way, as a share of its length: the lower one is slacker.
_SAG: Final = {"upper": -0.03, "lower": 0.05}
_THICKNESS_MM: Final = 2.0
# How much of what is left between head and cloth each step keeps.
_NEAR_CLOTH: Final = np.square(np.linspace(1, 0, STEPS, dtype=np.float32))[:, None]
_SHARE: Final = np.linspace(0, 1, STEPS)
# How far each point lies below the straight way, against the middle.
_HANGING: Final = 4 * _SHARE * (1 - _SHARE)


@dataclass(frozen=True)
class Ways:
    """The straps of a view on the mean head: C of them, N steps each; K control points.

    Attributes
    ----------
    around, is_inside : (C, 3) int and (C,) bool arrays
        Where they leave the cloth, as `maskgen.masking.mesh.bearings` gives it.
    placing : (C N + 4, 68 + K) float32 array
        Takes landmarks and, after them, control points to the points of their ways; and, in the last four rows, to the
        affine camera that sees the mean head so, transposed.
    bends : (C N, 2) float32 array
        How far the points lie lower for all of a strap's length that its middle hangs lower, and for a millimetre that
        its end does.
    normals : (C N, 3) float32 array
        Of the skin under the points.
    step_mm : tuple of C floats
        From point to point.
    pulls : tuple of C (int, float, float, float, float)
        The number of the corner among `maskgen.catalog.schema.Corner`, where it leaves the cloth on the unrolled skin,
        and the direction from there to the ear.
    """

    around: npt.NDArray[np.int32]
    is_inside: BoolArray
    placing: Float32Array
    bends: Float32Array
    normals: Float32Array
    step_mm: tuple[float, ...]
    pulls: tuple[tuple[int, float, float, float, float], ...]


@lru_cache(maxsize=4096)
def ways_of(view: View) -> Ways:
    """The straps of a view that has some."""
    assert view.straps is not None
    corners = [*view.fastenings]
    starts = np.array([view.fastenings[corner] for corner in corners], np.float32)
    around, shares, is_inside = bearings(starts, view.points, view.triangles)
    # The affine camera under which the mean head lies as the picture shows the mask.
    camera = (_camera_of(view.names) @ view.points.astype(np.float64)).T.astype(np.float32)
    points, normals = _on_head(corners, view.straps.kind, starts, camera)
    step_mm = np.linalg.norm(points[:, 1] - points[:, 0], axis=1).astype(np.float64)
    corners_mm = (shares[:, None] @ along_skin(view.names)[around].astype(np.float64))[:, 0]
    ends = [_WAYS[view.straps.kind]["upper" if corner.endswith("upper") else "lower"][0] for corner in corners]
    sides = [1 if "image_right" in corner else -1 for corner in corners]
    goals = np.array(
        [(side * _ARC_MM_PER_DEG * angle, height) for side, (angle, height) in zip(sides, ends, strict=True)]
    )
    towards_ear = goals - corners_mm
    towards_ear /= np.maximum(np.linalg.norm(towards_ear, axis=1, keepdims=True), 1e-6)
    order = get_args(Corner)
    return Ways(
        around,
        is_inside,
        _placing(points, around, shares, len(view.names)),
        np.concatenate([_bends(length) for length in step_mm * (STEPS - 1)]),
        normals.reshape(-1, 3),
        tuple(step_mm.tolist()),
        tuple(
            (order.index(corner), *place, *way)
            for corner, place, way in zip(corners, corners_mm.tolist(), towards_ear.tolist(), strict=True)
        ),
    )


@lru_cache(maxsize=64)
def _camera_of(names: tuple[str, ...]) -> Float64Array:
    """(4, K): takes control points to the affine camera of least squares, transposed."""
    return np.linalg.pinv(np.insert(on_head(names), 3, 1.0, axis=1)).astype(np.float64)


def _placing(
    points: Float32Array, around: npt.NDArray[np.int32], shares: Float64Array, control_points: int
) -> Float32Array:
    """What takes landmarks and control points to the points (C, N, 3) of straps and the camera, (C N + 4, 68 + K)."""
    count = points.shape[0] * STEPS
    placing = np.zeros((count + 4, 68 + control_points), np.float32)
    by_head = carrying(points.reshape(-1, 3)).reshape(-1, STEPS, 68)
    # What is left between the head and the cloth, which stands off it, goes with the distance from the cloth.
    placing[:count, :68] = (by_head - _NEAR_CLOTH * by_head[:, :1]).reshape(count, 68)
    placing[count:, :68] = camera_solver()
    strap = np.arange(len(points))[:, None]
    placing[:count].reshape(-1, STEPS, 68 + control_points)[strap, :, 68 + around] = (
        shares[..., None].astype(np.float32) * _NEAR_CLOTH[:, 0]
    )
    return placing


def _bends(length_mm: float) -> Float32Array:
    """(N, 2): see `Ways.bends`."""
    return np.stack([length_mm * _HANGING, -(_SHARE**1.5)], axis=1).astype(np.float32)


def _on_head(
    corners: list[Corner], kind: str, starts: Float32Array, camera: Float32Array
) -> tuple[Float32Array, Float32Array]:
    """Points (C, N, 3) of straps on the head, and the normals (C, N, 3) of the skin there."""
    # The net is that of image right; at image left the camera is mirrored instead.
    mirror = np.array([[1 if "image_right" in corner else -1, 1, 1] for corner in corners], np.float32)
    skin = _skin()
    net, normals = skin.points.reshape(-1, 3), skin.normals.reshape(-1, 3)
    apart = np.zeros((len(corners), len(net)), np.float32)
    for axis in (0, 1):
        # Pixels of the picture, and so of the start.
        apart += np.square((camera[axis, :3] * mirror) @ net.T + (camera[axis, 3] - starts[:, axis, None]))
    # Of two places one behind the other the camera sees the nearer one.
    apart[(towards_camera(camera) * mirror) @ normals.T < -0.2] = np.inf
    angles, heights = np.empty((2, len(corners), STEPS))
    for number, (corner, nearest) in enumerate(zip(corners, apart.argmin(axis=1).tolist(), strict=True)):
        row, column = divmod(nearest, len(skin.angles))
        end = "upper" if corner.endswith("upper") else "lower"
        knots = [(float(skin.angles[column]), float(skin.heights[row])), *_WAYS[kind][end]]
        along = [0.0]
        for one, other in pairwise(knots):
            along.append(along[-1] + math.hypot((other[0] - one[0]) * _ARC_MM_PER_DEG, other[1] - one[1]))
        fine = _SHARE * along[-1]
        angles[number], heights[number] = (np.interp(fine, along, axis) for axis in zip(*knots, strict=True))
        heights[number] += _SAG[end] * along[-1] * _HANGING
    points, normals = skin.at(angles, heights)
    return points * mirror[:, None], normals * mirror[:, None]


@dataclass(frozen=True)
class _Skin:
    """The side of the head at image right, as a net of points a strap's thickness off the skin."""

    angles: Float32Array
    heights: Float32Array
    points: Float32Array
    normals: Float32Array

    def at(self, angle: Float64Array, height: Float64Array) -> tuple[Float32Array, Float32Array]:
        """Points (C, N, 3) and normals (C, N, 3) between those of the net, at angles (C, N) and heights."""
        column = (angle - self.angles[0]) / (self.angles[1] - self.angles[0])
        row = (height - self.heights[0]) / (self.heights[1] - self.heights[0])
        place = column.astype(np.float32), row.astype(np.float32)
        points, normals = (
            cv2.remap(net, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for net in (self.points, self.normals)
        )
        return points, normals


@cache
def _skin() -> _Skin:
    # Measured beforehand: the solid needs SciPy, which a worker does without.
    with resources.as_file(resources.files("maskgen.face") / "side.npz") as path, np.load(path) as file:
        return _Skin(**file)


def measured_skin() -> _Skin:
    """What ``maskgen/face/side.npz`` holds, from the mean head."""
    from maskgen.face.solid import head_solid

    # A strap spans the hollow of the cheek and does not follow wrinkles.
    solid = head_solid().smoothed(6.0)
    angles, heights = np.arange(20.0, 136.0, 4.0), np.arange(-70.0, 162.0, 8.0)
    angle, height = np.meshgrid(angles, heights)
    points = solid.on_skin(angle, height)
    _, normals = solid.distance(points)
    return _Skin(
        *(values.astype(np.float32) for values in (angles, heights, points + normals * (_THICKNESS_MM / 2), normals))
    )
