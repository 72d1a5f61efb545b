"""Faces and points for property tests."""

import numpy as np
from hypothesis import strategies as st

from maskgen.face import Face, HeadPose
from maskgen.face.head import mean_head
from maskgen.face.landmarks import INDEX_106_OF_68, bbox_of_points, keypoints_of
from maskgen.face.pose import rotation_matrix

FRONTAL = HeadPose(0, 0, 0)


def angles(limit: float) -> st.SearchStrategy[float]:
    return st.floats(-limit, limit, allow_nan=False)


def poses(yaw: float = 80, pitch: float = 40, roll: float = 60) -> st.SearchStrategy[HeadPose]:
    return st.builds(HeadPose, yaw=angles(yaw), pitch=angles(pitch), roll=angles(roll))


def seen(points: np.ndarray, pose: HeadPose, pixels_per_mm: float, centre: tuple[float, float]) -> np.ndarray:
    """Points of the mean head, turned and projected: (N, 2) float32 pixels."""
    turned = points @ rotation_matrix(pose).T * pixels_per_mm
    return (turned[:, :2] + np.asarray(centre)).astype(np.float32)


def face_at(
    pose: HeadPose = FRONTAL,
    pixels_per_mm: float = 1.0,
    centre: tuple[float, float] = (125, 100),
    scheme: int = 68,
) -> Face:
    """The mean head as a face."""
    head = mean_head()
    points = seen(head.points_68 if scheme == 68 else head.points_106, pose, pixels_per_mm, centre)
    p68 = points if scheme == 68 else points[list(INDEX_106_OF_68)]
    return Face(bbox_of_points(p68), keypoints_of(p68), points, pose)
