"""Where the straps of a view run on the mean head: all of them that does not depend on the face.

Convention
----------
The frame of `maskgen.face.solid`: millimetres, directions round the head in degrees.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import resources
from typing import Final, get_args

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, Float32Array, Float64Array
from maskgen.catalog.schema import Corner
from maskgen.catalog.view import View
from maskgen.face.head import camera_solver, carrying, point_in_space, towards_camera
from maskgen.masking.fit import along_skin
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
    space = np.stack([point_in_space(name) for name in view.names]).astype(np.float64)
    system = np.concatenate([space, np.ones((len(space), 1))], axis=1)
    camera = np.linalg.lstsq(system, view.points.astype(np.float64), rcond=None)[0].T.astype(np.float32)
    towards = towards_camera(camera)
    ways = [
        _way(corner, view.straps.kind, start, camera, towards) for corner, start in zip(corners, starts, strict=True)
    ]
    points = np.stack([way for way, _ in ways])
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
        np.concatenate([_placing(points, around, shares, len(view.names)), _to_camera(len(view.names))]),
        np.concatenate([_bends(length) for length in step_mm * (STEPS - 1)]),
        np.concatenate([normals for _, normals in ways]),
        tuple(step_mm.tolist()),
        tuple(
            (order.index(corner), *place, *way)
            for corner, place, way in zip(corners, corners_mm.tolist(), towards_ear.tolist(), strict=True)
        ),
    )


def _placing(
    points: Float32Array, around: npt.NDArray[np.int32], shares: Float64Array, control_points: int
) -> Float32Array:
    """What takes landmarks and control points to the points (C, N, 3) of straps, (C N, 68 + K)."""
    by_head = carrying(points.reshape(-1, 3)).reshape(*points.shape[:2], -1)
    by_cloth = np.zeros((len(points), 1, control_points), np.float32)
    np.put_along_axis(by_cloth[:, 0], around.astype(np.intp), shares.astype(np.float32), axis=1)
    # What is left between the head and the cloth, which stands off it, goes with the distance from the cloth.
    placing = np.concatenate([by_head - _NEAR_CLOTH * by_head[:, :1], _NEAR_CLOTH * by_cloth], axis=2)
    result: Float32Array = placing.reshape(-1, placing.shape[2])
    return result


def _to_camera(control_points: int) -> Float32Array:
    """What takes landmarks and control points to the affine camera, transposed: (4, 68 + K)."""
    return np.pad(camera_solver(), ((0, 0), (0, control_points))).astype(np.float32)


def _bends(length_mm: float) -> Float32Array:
    """(N, 2): see `Ways.bends`."""
    bends = np.stack([length_mm * 4 * _SHARE * (1 - _SHARE), -(_SHARE**1.5)], axis=1)
    return bends.astype(np.float32)


def _way(
    corner: Corner, kind: str, start: Float32Array, camera: Float32Array, towards: Float32Array
) -> tuple[Float32Array, Float32Array]:
    """Points (N, 3) of a strap on the head, and the normals (N, 3) of the skin there."""
    # The net is that of image right; at image left the camera is mirrored instead.
    mirror = np.array([1 if "image_right" in corner else -1, 1, 1], np.float32)
    axes = camera[:, :3] * mirror
    end = "upper" if corner.endswith("upper") else "lower"
    skin = _skin()
    apart = np.square(skin.points @ axes.T + (camera[:, 3] - start)).sum(axis=-1)
    # Of two places one behind the other the camera sees the nearer one.
    apart[skin.normals @ (towards * mirror) < -0.2] = np.inf
    row, column = np.unravel_index(int(apart.argmin()), apart.shape)
    knots = np.array([(skin.angles[column], skin.heights[row]), *_WAYS[kind][end]], np.float32)
    along = np.concatenate([[0], np.cumsum(np.hypot(*(np.diff(knots, axis=0) * [_ARC_MM_PER_DEG, 1.0]).T))])
    fine = np.linspace(0, along[-1], STEPS)
    angle, height = np.interp(fine, along, knots[:, 0]), np.interp(fine, along, knots[:, 1])
    share = fine / max(along[-1], 1e-6)
    height += _SAG[end] * along[-1] * 4 * share * (1 - share)
    points, normals = skin.at(angle, height)
    return points * mirror, normals * mirror


@dataclass(frozen=True)
class _Skin:
    """The side of the head at image right, as a net of points a strap's thickness off the skin."""

    angles: Float32Array
    heights: Float32Array
    points: Float32Array
    normals: Float32Array

    def at(self, angle: Float64Array, height: Float64Array) -> tuple[Float32Array, Float32Array]:
        """Points (N, 3) and normals (N, 3) between those of the net."""
        column = (angle - self.angles[0]) / (self.angles[1] - self.angles[0])
        row = (height - self.heights[0]) / (self.heights[1] - self.heights[0])
        place = column.astype(np.float32)[None], row.astype(np.float32)[None]
        points, normals = (
            cv2.remap(net, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
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
