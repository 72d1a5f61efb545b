"""Where a face lies in an aligned crop: ArcFace's 112x112.

Convention
----------
A similarity is a (2, 3) matrix that maps image -> crop. Points are (x, y) pixels, (0, 0) the centre of the top-left
pixel.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.face.face import Face, HeadPose
from maskgen.face.head import mean_head
from maskgen.face.landmarks import bbox_of_points, keypoints_of

ARCFACE_SIDE: Final = 112
"""Width and height of ArcFace's crops, pixels."""
# InsightFace, utils/face_align.py: where ArcFace's 112x112 crops have eyes, nose tip and mouth corners.
ARCFACE_KEYPOINTS: Final = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
)


def are_crops(sizes_wh: Iterable[tuple[int, int]]) -> bool:
    """Whether pictures of these sizes are ArcFace crops: there are some, and all are 112x112."""
    return set(sizes_wh) == {(ARCFACE_SIDE, ARCFACE_SIDE)}


def similarity(source: Float32Array, target: Float32Array) -> Float32Array:
    """The rotation, uniform scale and shift (2, 3) that bring points (N, 2) closest to others, in least squares.

    References
    ----------
    S. Umeyama, "Least-squares estimation of transformation parameters between two point patterns", PAMI 1991. With
    mirroring excluded, the plane's case is linear: x' = a x - b y + s, y' = b x + a y + t.
    """
    (x, y), one = source.astype(np.float64).T, np.ones(len(source))
    system = np.concatenate([np.stack([x, -y, one, 0 * one], axis=1), np.stack([y, x, 0 * one, one], axis=1)])
    a, b, s, t = np.linalg.lstsq(system, target.astype(np.float64).T.ravel(), rcond=None)[0]
    return np.array([[a, -b, s], [b, a, t]], np.float32)


def alignment(keypoints: Float32Array) -> Float32Array:
    """The similarity (2, 3) that brings keypoints (5, 2) where ArcFace wants them in a crop of 112x112."""
    return similarity(keypoints, ARCFACE_KEYPOINTS)


def aligned_crop(image: Image, matrix: Float32Array) -> Image:
    """The face (112, 112, 3) under an `alignment`; black beyond the picture's edge.

    Sampled as InsightFace's ``norm_crop`` does, bilinear without a filter, so that networks see what they know.
    """
    return np.asarray(cv2.warpAffine(image, matrix, (ARCFACE_SIDE, ARCFACE_SIDE)), np.uint8)


def resized_crop(image: Image) -> Image:
    """An ArcFace crop of any size at 112x112."""
    if image.shape[:2] == (ARCFACE_SIDE, ARCFACE_SIDE):
        return image
    how = cv2.INTER_AREA if image.shape[0] > ARCFACE_SIDE else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (ARCFACE_SIDE, ARCFACE_SIDE), interpolation=how), np.uint8)


@cache
def aligned_bbox() -> Float32Array:
    """The box (4,) that a detector would draw on an ArcFace crop of 112x112, from the mean head put into the crop.

    It is read only.
    """
    head = mean_head().points_68[:, :2]
    source = np.concatenate([keypoints_of(head), np.ones((5, 1), np.float32)], axis=1)
    # Scale and shift alone: the crop is upright. Least squares over both axes.
    x, y, one = source.T
    system = np.concatenate([np.stack([x, one, 0 * one], axis=1), np.stack([y, 0 * one, one], axis=1)])
    scale, left, top = np.linalg.lstsq(system, ARCFACE_KEYPOINTS.T.ravel(), rcond=None)[0]
    bbox = bbox_of_points((head * scale + [left, top]).astype(np.float32))
    bbox.setflags(write=False)
    return bbox


def moved(face: Face, matrix: Float32Array) -> Face:
    """A face as it lies in what a similarity (2, 3) cuts from its image."""
    turn, shift = matrix[:, :2], matrix[:, 2]
    scale, angle_deg = float(np.hypot(*turn[:, 0])), float(np.degrees(np.arctan2(turn[1, 0], turn[0, 0])))
    landmarks = np.concatenate([face.landmarks[:, :2] @ turn.T + shift, face.landmarks[:, 2:] * scale], axis=1)
    middle = (face.bbox[:2] + face.bbox[2:]) / 2 @ turn.T + shift
    half = (face.bbox[2:] - face.bbox[:2]) / 2 * scale  # the box keeps its size, and so does what is told by it
    pose = HeadPose(face.pose.yaw, face.pose.pitch, (face.pose.roll + angle_deg + 180) % 360 - 180)
    return Face(
        np.concatenate([middle - half, middle + half]).astype(np.float32),
        (face.keypoints @ turn.T + shift).astype(np.float32),
        landmarks.astype(np.float32),
        pose,
        face.score,
    )


def crop_matrix(size_wh: tuple[int, int], keypoints: Float32Array, is_aligned: bool) -> Float32Array:
    """The similarity (2, 3) from a picture to its ArcFace crop: by keypoints (5, 2), or by size if it is a crop."""
    if not is_aligned:
        return alignment(keypoints)
    scale = ARCFACE_SIDE / max(size_wh)
    # Pixel centres: the first pixel of a picture of half the size covers the first two.
    return np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2]], np.float32)
