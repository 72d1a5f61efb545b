"""A picture and the keypoints on it to the 112x112 crop that recognition networks expect, masked on the way or not.

Convention
----------
A similarity is a (2, 3) matrix that maps image -> crop. Points are (x, y) pixels, (0, 0) the centre of the top-left
pixel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.augment import augment_image
from maskgen.catalog import Catalog
from maskgen.detect import ARCFACE_KEYPOINTS, ARCFACE_SIDE
from maskgen.face import Face

FloatArray = npt.NDArray[np.float32]
Image = npt.NDArray[np.uint8]

SIDE: Final = ARCFACE_SIDE


def similarity(source: FloatArray, target: FloatArray) -> FloatArray:
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


def aligned_crop(image: Image, keypoints: FloatArray) -> Image:
    """The face (112, 112, 3) with its keypoints (5, 2) where ArcFace wants them; black beyond the picture's edge.

    Sampled as InsightFace's ``norm_crop`` does, bilinear without a filter, so that networks see what they know.
    """
    return np.asarray(
        cv2.warpAffine(image, similarity(keypoints, np.asarray(ARCFACE_KEYPOINTS, np.float32)), (SIDE, SIDE)), np.uint8
    )


def resized_crop(image: Image) -> Image:
    """An ArcFace crop of any size at 112x112."""
    if image.shape[:2] == (SIDE, SIDE):
        return image
    shrinks = image.shape[0] > SIDE
    return np.asarray(
        cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR), np.uint8
    )


@dataclass(frozen=True)
class Cropper:
    """Reads pictures as crops.

    Attributes
    ----------
    read : callable
        Gives the picture of a key: `maskgen.io.Dataset.read`.
    is_aligned : bool
        Pictures are ArcFace crops already.
    catalog : Catalog or None
        The masks for `masked`.
    """

    read: Callable[[str], Image]
    is_aligned: bool
    catalog: Catalog | None = None

    def clean(self, key: str, keypoints: FloatArray | None) -> Image:
        """The crop (112, 112, 3) of a picture as it is, by the keypoints on it, which an aligned one does not need.

        Raises
        ------
        ImageError
            If the picture cannot be read.
        """
        return self._crop(self.read(key), keypoints)

    def masked(self, key: str, face: Face, rng: np.random.Generator) -> tuple[Image, Image | None]:
        """The crop (112, 112, 3) of a picture as it is, and with a mask on the face; None if no mask fits its pose.

        Raises
        ------
        ImageError
            If the picture cannot be read.
        """
        assert self.catalog is not None
        image = self.read(key)
        augmented = augment_image(image, _Known(face), self.catalog, rng)
        clean = self._crop(image, face.keypoints)
        return clean, self._crop(augmented.image, face.keypoints) if augmented.is_masked else None

    def _crop(self, image: Image, keypoints: FloatArray | None) -> Image:
        if self.is_aligned:
            return resized_crop(image)
        assert keypoints is not None
        return aligned_crop(image, keypoints)


@dataclass(frozen=True)
class _Known:
    """Stands in for a detector where the face is known."""

    face: Face

    def detect(self, image: Image) -> list[Face]:
        return [self.face]
