"""What of a photograph is looked at: a face, upright and at a known scale, and shapes in it.

Convention
----------
Lengths are millimetres on the mean head (`maskgen.face.head`), carried to the photograph by the face's affine camera,
so that a number means the same on every face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Image
from maskgen.face import Face
from maskgen.face.head import head_to_image, points_on_face

WORK_SCALE: Final = 0.6
"""Pixels per millimetre at which the mask is found; its outline is drawn sharper afterwards."""
# No view needs more pixels per millimetre: the catalog that ships has 1.75.
_FINEST: Final = 2.2
# Half the side of the crop, and its middle on the head.
_HALF_MM: Final = 135
_MIDDLE_MM: Final = (0.0, 55.0, -15.0)


@dataclass(frozen=True)
class Crop:
    """A face, upright and at a known scale.

    Attributes
    ----------
    pixels : (H, W, 3) uint8 array
        RGB.
    inside : (H, W) bool array
        Where the photograph is; beyond its edge pixels are made up.
    points : (68, 2) float32 array
        Landmarks, pixels of the crop.
    pixels_per_mm : float
        On the face.
    from_image : (2, 3) float32 array
        The map photograph -> crop.
    """

    pixels: Image
    inside: BoolArray
    points: Float32Array
    pixels_per_mm: float
    from_image: Float32Array

    def place(self, names: Sequence[str]) -> Float32Array:
        """(K, 2) named points of the head."""
        return points_on_face(tuple(names), self.points)

    def resized(self, pixels_per_mm: float) -> Crop:
        """The same at another scale."""
        ratio = pixels_per_mm / self.pixels_per_mm
        size_wh = (round(self.pixels.shape[1] * ratio), round(self.pixels.shape[0] * ratio))
        real = np.array([size_wh[0] / self.pixels.shape[1], size_wh[1] / self.pixels.shape[0]], np.float32)
        shrink = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(self.pixels, size_wh, interpolation=shrink)
        inside = cv2.resize(self.inside.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) > 0
        scaled = np.concatenate([self.from_image[:, :2], self.from_image[:, 2:] + 0.5], axis=1) * real[:, None]
        scaled[:, 2] -= 0.5
        return Crop(pixels, inside, (self.points + 0.5) * real - 0.5, pixels_per_mm, scaled)


def upright(image: Image, face: Face) -> Crop:
    """The head and what surrounds it, turned upright, no finer than a catalog needs."""
    points = face.landmarks_68
    camera = head_to_image(points)
    # The longer axis of the affine camera: turning the head shortens the other.
    native = max(float(np.linalg.svd(camera[:, :3], compute_uv=False)[0]), 1e-3)
    ratio = min(1.0, _FINEST / native)
    middle = camera[:, :3] @ np.array(_MIDDLE_MM, np.float32) + camera[:, 3]
    # Only what the crop can hold, however large the photograph is.
    reach = int(1.5 * _HALF_MM * native) + 4
    left, top = (int(np.clip(v - reach, 0, limit - 1)) for v, limit in zip(middle, image.shape[1::-1], strict=True))
    right, bottom = (int(np.clip(v + reach, 1, limit)) for v, limit in zip(middle, image.shape[1::-1], strict=True))
    window = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    if ratio < 0.7:
        window = cv2.GaussianBlur(window, (0, 0), 0.4 / ratio)
    roll = np.radians(face.pose.roll)
    cosine, sine = np.cos(roll) * ratio, np.sin(roll) * ratio
    turn = np.array([[cosine, sine], [-sine, cosine]])
    half = _HALF_MM * native * ratio
    matrix = np.concatenate([turn, (half - turn @ middle)[:, None]], axis=1).astype(np.float32)
    from_window = matrix.copy()
    from_window[:, 2] += matrix[:, :2] @ np.array([left, top], np.float32)
    size_wh = (round(2 * half) + 1,) * 2
    pixels = cv2.warpAffine(window, from_window, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    there = np.ones(window.shape[:2], np.uint8)
    inside = cv2.warpAffine(there, from_window, size_wh, flags=cv2.INTER_NEAREST) > 0
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return Crop(pixels, inside, moved.astype(np.float32), native * ratio, matrix)


def filled(polygon: Float32Array, shape: tuple[int, ...]) -> BoolArray:
    """(H, W) inside of a convex polygon (K, 2)."""
    region = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(region, np.round(polygon).astype(np.int32), 1)
    return region > 0


def hull(points: Float32Array, shape: tuple[int, ...], grow: float = 1.0) -> BoolArray:
    """(H, W) inside of the hull of points (K, 2), grown about their middle."""
    centre = points.mean(axis=0)
    return filled(cv2.convexHull((centre + (points - centre) * grow).astype(np.float32)), shape)


def signed_distance(region: BoolArray, pixels_per_mm: float) -> Float32Array:
    """(H, W) millimetres to the outline of a region, positive inside."""
    inner = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    outer = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray((inner - outer) / pixels_per_mm, np.float32)
