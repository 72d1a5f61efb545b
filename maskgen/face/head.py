"""The mean head: where landmarks and mask anchors lie in space.

Masks are rendered on this head, head pose is measured against it, and points of a mask that no landmark marks
(ear loops, the cloth under the chin) are carried from it to a face.

Convention
----------
Millimetres; x to image right, y down, z towards the viewer; the origin lies between the outer eye corners.
The frontal pose is InsightFace's: its own pose estimate reads this head as pitch 0, yaw 0, roll 0 (within 1.5 degrees).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array, Float64Array, IntArray

ANCHORS: Final[dict[str, tuple[float, float, float]]] = {
    # Where ear loops leave towards the back of the ear, above and below.
    "ear_image_left_upper": (-75.0, -6.0, -82.0),
    "ear_image_left_lower": (-74.0, 30.0, -80.0),
    "ear_image_right_upper": (75.0, -6.0, -82.0),
    "ear_image_right_lower": (74.0, 30.0, -80.0),
    # The cloth in front of the face.
    "front_nose": (0.0, 28.0, 66.0),
    "front_mouth": (0.0, 74.0, 66.0),
    "front_chin": (0.0, 122.0, 46.0),
    # The cloth where it spans from the nose and the mouth to the cheeks and the jaw.
    "front_cheek_image_left": (-50.0, 58.0, 14.0),
    "front_cheek_image_right": (50.0, 58.0, 14.0),
    "front_jaw_image_left": (-32.0, 93.0, 24.0),
    "front_jaw_image_right": (32.0, 93.0, 24.0),
    # The cloth under the chin and along the jaw.
    "under_chin": (0.0, 132.0, -12.0),
    "under_jaw_image_left": (-50.0, 112.0, -45.0),
    "under_jaw_image_right": (50.0, 112.0, -45.0),
    # Corners of a box around everything, so that every part of a mask lies inside some triangle at every rotation.
    "box_image_left_top_front": (-115.0, -70.0, 110.0),
    "box_image_right_top_front": (115.0, -70.0, 110.0),
    "box_image_left_bottom_front": (-115.0, 200.0, 110.0),
    "box_image_right_bottom_front": (115.0, 200.0, 110.0),
    "box_image_left_top_back": (-115.0, -70.0, -140.0),
    "box_image_right_top_back": (115.0, -70.0, -140.0),
    "box_image_left_bottom_back": (-115.0, 200.0, -140.0),
    "box_image_right_bottom_back": (115.0, 200.0, -140.0),
}
"""Named points beyond the landmarks, measured once on the mean head."""

AXIS_Z_MM: Final = -70.0
"""Where the vertical axis stands that directions round the head are measured about."""

POINT_NAMES: Final = frozenset([str(i) for i in range(68)]) | frozenset(ANCHORS)
"""The names a control point may have: a landmark of the 68 scheme ("0" to "67") or an anchor."""

# How far, in millimetres, the difference between a face and the mean head reaches beyond a landmark.
_RESIDUAL_REACH_MM: Final = 35.0


@dataclass(frozen=True)
class Head:
    """The mean head's points.

    Attributes
    ----------
    vertices : (V, 3) array
        Surface points of the face, from forehead to chin, jaw to jaw.
    vertex_ids : (V,) int array
        The canonical face-mesh vertex of each.
    points_68 : (68, 3) array
        Landmarks in the 68 scheme.
    points_106 : (106, 3) array
        Landmarks in the 106 scheme.
    """

    vertices: Float32Array
    vertex_ids: IntArray
    points_68: Float32Array
    points_106: Float32Array


@cache
def mean_head() -> Head:
    """The mean head, read from the package once."""
    with resources.as_file(resources.files("maskgen.face") / "head.npz") as path, np.load(path) as file:
        return Head(file["vertices"], file["vertex_ids"], file["points_68"], file["points_106"])


def point_in_space(name: str) -> Float32Array:
    """The (3,) place of a named control point on the mean head, millimetres.

    Raises
    ------
    KeyError
        If the name is neither "0" to "67" nor an anchor.
    """
    if name in ANCHORS:
        return np.array(ANCHORS[name], np.float32)
    if name not in POINT_NAMES:
        raise KeyError(name)
    point: Float32Array = mean_head().points_68[int(name)]
    return point


def head_to_image(landmarks_68: Float32Array) -> Float32Array:
    """The (2, 4) affine camera that takes the mean head closest to a face's landmarks.

    Parameters
    ----------
    landmarks_68 : (68, 2) array
        Pixels.

    Returns
    -------
    (2, 4) array
        ``camera @ [x, y, z, 1]`` is a pixel.
    """
    camera: Float32Array = (landmarks_68.astype(np.float64).T @ _camera_of()).astype(np.float32)
    return camera


def pixels_per_mm(camera: Float32Array) -> float:
    """How large a (2, 4) affine camera shows the head."""
    along, down = (math.hypot(*row[:3]) for row in camera.tolist())
    return (along + down) / 2


@cache
def camera_solver() -> Float64Array:
    """(4, 68): takes landmarks to the affine camera of least squares."""
    space = np.concatenate([mean_head().points_68, np.ones((68, 1), np.float32)], axis=1)
    solver: Float64Array = np.linalg.pinv(space.astype(np.float64))
    return solver


@cache
def _camera_of() -> Float64Array:
    """(68, 4): `camera_solver`, transposed."""
    return np.ascontiguousarray(camera_solver().T)


def points_on_face(
    names: tuple[str, ...], landmarks_68: Float32Array, displaced: Float32Array | None = None
) -> Float32Array:
    """Where named control points lie on a face.

    A landmark lies where it was found on the face. An anchor is projected from the mean head by its affine camera, then
    moved by as much as the nearest landmarks deviate from that camera. So is any point that was displaced on the head.

    Parameters
    ----------
    names : tuple of str, length K
        Names out of `POINT_NAMES`.
    landmarks_68 : (68, 2) array
        Pixels.
    displaced : (K, 3) array, optional
        Where the points lie on the mean head instead, millimetres.

    Returns
    -------
    (K, 2) array
        Pixels.
    """
    placed: Float32Array = placing(names, displaced) @ landmarks_68
    return placed


def placing(names: tuple[str, ...], displaced: Float32Array | None = None) -> Float32Array:
    """The (K, 68) matrix that takes the landmarks of a face to its control points; parameters as `points_on_face`."""
    home = np.stack([point_in_space(name) for name in names])
    space = home if displaced is None else displaced
    matrix = carrying(space)
    for row, name in enumerate(names):
        if name not in ANCHORS and np.array_equal(space[row], home[row]):
            matrix[row] = 0
            matrix[row, int(name)] = 1
    return matrix


def towards_camera(camera: Float32Array) -> Float32Array:
    """The unit vector (3,) on the mean head that points to the viewer, under an affine camera (2, 4)."""
    (a, b, c), (d, e, f) = camera[0, :3].tolist(), camera[1, :3].tolist()
    x, y, z = b * f - c * e, c * d - a * f, a * e - b * d
    # x to the right, y down: they turn so that their product looks to the viewer, unless the head is seen from behind.
    scale = math.copysign(1 / max(math.hypot(x, y, z), 1e-12), z)
    return np.array([x * scale, y * scale, z * scale], np.float32)


def in_image(points: Float32Array, landmarks_68: Float32Array) -> Float32Array:
    """Where points of the mean head (N, 3), millimetres, lie on a face, (N, 2) pixels: see `points_on_face`."""
    placed: Float32Array = carrying(points) @ landmarks_68
    return placed


def carrying(points: Float32Array) -> Float32Array:
    """The (N, 68) matrix that takes the landmarks of a face to where points of the mean head (N, 3) lie on it.

    Camera and deviations are linear in the landmarks, so one matrix does for all faces.
    """
    space = np.concatenate([points, np.ones((len(points), 1))], axis=1, dtype=np.float64)
    # The square of a difference, multiplied out: (N, 68) at once.
    weight = space @ _twice_head()
    weight -= np.square(space[:, :3]).sum(axis=1)[:, None]
    weight *= 0.5 / _RESIDUAL_REACH_MM**2
    np.exp(weight, out=weight)
    # The 1.0: points that are far from every landmark follow the camera alone.
    weight /= np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    matrix: Float32Array = (space @ camera_solver() + weight @ _deviations()).astype(np.float32)
    return matrix


@cache
def _twice_head() -> Float64Array:
    """(4, 68): takes a point of the head and a 1 to twice its product with each landmark less that one's square."""
    head_68 = mean_head().points_68.astype(np.float64)
    return np.concatenate([2 * head_68.T, -np.square(head_68).sum(axis=1)[None]])


@cache
def _deviations() -> Float64Array:
    """(68, 68): takes landmarks to how far they lie from where their camera sees those of the mean head."""
    head_68 = np.concatenate([mean_head().points_68, np.ones((68, 1))], axis=1, dtype=np.float64)
    deviations: Float64Array = np.eye(68) - head_68 @ camera_solver()
    return deviations
