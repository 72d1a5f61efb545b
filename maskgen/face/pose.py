"""Landmarks to head pose. Pure maths.

Convention
----------
A rotation acts on (x to image right, y down, z towards the viewer). +yaw turns the nose to image right, +pitch looks
up, +roll is clockwise on screen; R = Rz(roll) Ry(yaw) Rx(pitch), InsightFace's ``matrix2angle``.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import Float32Array, Float64Array
from maskgen.face import HeadPose
from maskgen.face.head import mean_head


def rotation_matrix(pose: HeadPose) -> Float64Array:
    """The (3, 3) rotation of a pose."""
    x, y, z = (math.radians(a) for a in (pose.pitch, pose.yaw, pose.roll))
    about_x = np.array([[1, 0, 0], [0, math.cos(x), -math.sin(x)], [0, math.sin(x), math.cos(x)]])
    about_y = np.array([[math.cos(y), 0, math.sin(y)], [0, 1, 0], [-math.sin(y), 0, math.cos(y)]])
    about_z = np.array([[math.cos(z), -math.sin(z), 0], [math.sin(z), math.cos(z), 0], [0, 0, 1]])
    rotation: Float64Array = about_z @ about_y @ about_x
    return rotation


def pose_of_rotation(rotation: npt.NDArray[np.floating]) -> HeadPose:
    """The pose of a (3, 3) rotation; the inverse of `rotation_matrix` for yaw within (-90, 90)."""
    across = math.hypot(rotation[0, 0], rotation[1, 0])
    return HeadPose(
        yaw=math.degrees(math.atan2(-rotation[2, 0], across)),
        pitch=math.degrees(math.atan2(rotation[2, 1], rotation[2, 2])),
        roll=math.degrees(math.atan2(rotation[1, 0], rotation[0, 0])),
    )


class PoseSolver:
    """Finds the pose under which a head's points look most like the points of a face.

    The affine camera of least squares, its two rows made unit vectors and completed to a rotation: the method of
    3DDFA that InsightFace uses for its 68 points [1]_.

    Parameters
    ----------
    head_points : (N, 3) array
        Points on a frontal head, any unit.

    References
    ----------
    .. [1] InsightFace, ``utils/transform.py``: ``estimate_affine_matrix_3d23d``, ``P2sRt``, ``matrix2angle``.
    """

    def __init__(self, head_points: npt.NDArray[np.floating]) -> None:
        space = np.concatenate([head_points, np.ones((len(head_points), 1))], axis=1).astype(np.float64)
        # (4, N): the head is the same for every face, so its equations are solved once.
        self._inverse = np.linalg.pinv(space)

    def pose(self, points: Float32Array) -> HeadPose:
        """The pose of the same points (N, 2 or 3) in a picture, pixels."""
        (a, d), (b, e), (c, f), _ = (self._inverse @ points[:, :2]).tolist()
        first, second = _unit(a, b, c), _unit(d, e, f)
        # Plain numbers: six of them cost NumPy thirty times as much.
        third_x = first[1] * second[2] - first[2] * second[1]
        third_y = first[2] * second[0] - first[0] * second[2]
        third_z = first[0] * second[1] - first[1] * second[0]
        return HeadPose(
            yaw=math.degrees(math.atan2(-third_x, math.hypot(first[0], second[0]))),
            pitch=math.degrees(math.atan2(third_y, third_z)),
            roll=math.degrees(math.atan2(second[0], first[0])),
        )


def _unit(x: float, y: float, z: float) -> tuple[float, float, float]:
    length = max(math.sqrt(x * x + y * y + z * z), 1e-12)
    return x / length, y / length, z / length


@lru_cache(maxsize=2)
def _solver(points: Literal[68, 106]) -> PoseSolver:
    return PoseSolver(mean_head().points_68 if points == 68 else mean_head().points_106)


def pose_from_68(landmarks: Float32Array) -> HeadPose:
    """The pose of 68 landmarks, (68, 2) or (68, 3) pixels, against the mean head."""
    return _solver(68).pose(landmarks)


def pose_from_106(landmarks: Float32Array) -> HeadPose:
    """The pose of 106 landmarks in the plane, by perspective-n-point on the mean head.

    The camera is put far away, so that perspective plays no part: faces in photographs are cropped from unknown lenses.

    Parameters
    ----------
    landmarks : (106, 2) array
        Pixels.
    """
    head = mean_head().points_106.astype(np.float64)
    start = _solver(106).pose(landmarks)
    points = landmarks.astype(np.float64)
    span = float(np.ptp(points, axis=0).max())
    # 20 spans away the nearest and farthest point of a head differ in size by under 3 per cent.
    focal = 20 * span
    camera = np.array([[focal, 0, points[:, 0].mean()], [0, focal, points[:, 1].mean()], [0, 0, 1]])
    flip = np.diag([1.0, 1.0, -1.0])  # OpenCV looks along +z, away from the viewer
    distance = 20 * float(np.ptp(head[:, :2], axis=0).max())
    offset = np.array([[0.0], [0.0], [distance]])
    turn = cv2.Rodrigues(flip @ rotation_matrix(start) @ flip)[0]
    found, turn, _ = cv2.solvePnP(head @ flip, points, camera, None, turn, offset, True, cv2.SOLVEPNP_ITERATIVE)
    if not found:
        return start
    return pose_of_rotation(flip @ cv2.Rodrigues(turn)[0] @ flip)
