"""A face as the detector sees it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from maskgen.arrays import Float32Array
from maskgen.face import landmarks


@dataclass(frozen=True)
class HeadPose:
    """Rotation of a head, in degrees.

    Convention
    ----------
    +yaw turns the nose to image right, +pitch looks up, +roll is clockwise on screen: the signs of InsightFace.
    """

    yaw: float
    pitch: float
    roll: float

    def __post_init__(self) -> None:
        if not np.isfinite([self.yaw, self.pitch, self.roll]).all():
            raise ValueError(f"head pose is not finite: {self}")


@dataclass(frozen=True)
class Face:
    """One face in an image.

    Parameters
    ----------
    bbox : (4,) float32 array
        x1, y1, x2, y2, pixels.
    keypoints : (5, 2) float32 array
        Eye centres, nose tip, mouth corners, image left first, pixels.
    landmarks : (68, 2), (68, 3) or (106, 2) float32 array
        Pixels; a third column is depth in pixels, growing towards the viewer.
    pose : HeadPose
        Degrees.
    score : float
        The detector's confidence, 0 to 1; 1 where no detector ran.

    Raises
    ------
    ValueError
        If an array has another shape or a number that is not finite.
    """

    bbox: Float32Array
    keypoints: Float32Array
    landmarks: Float32Array
    pose: HeadPose
    score: float = 1.0

    def __post_init__(self) -> None:
        for name, shapes in (
            ("bbox", [(4,)]),
            ("keypoints", [(5, 2)]),
            ("landmarks", [(68, 2), (68, 3), (106, 2)]),
        ):
            value = getattr(self, name)
            if value.shape not in shapes:
                raise ValueError(f"{name} has shape {value.shape}, expected {' or '.join(map(str, shapes))}")
            if not np.isfinite(value).all():
                raise ValueError(f"{name} is not finite")

    @property
    def landmarks_68(self) -> Float32Array:
        """(68, 2) points in pixels, whatever the scheme."""
        return landmarks.to_68(self.landmarks)[:, :2]

    @property
    def size_wh(self) -> tuple[float, float]:
        """Width and height of the box, pixels."""
        x1, y1, x2, y2 = (float(v) for v in self.bbox)
        return x2 - x1, y2 - y1
