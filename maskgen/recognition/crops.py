"""A picture and the keypoints on it to the 112x112 crop that recognition networks expect, masked on the way or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.detect import DetectorSpec
from maskgen.face import Face
from maskgen.face.align import aligned_crop, alignment, resized_crop
from maskgen.masking.augment import mask_faces, observe
from maskgen.masking.recipe import Recipe
from maskgen.parse import Parser


@lru_cache(maxsize=1)
def _parser(detectors: DetectorSpec) -> Parser | None:
    return detectors.parser()  # built by whoever crops, in its own process


@dataclass(frozen=True)
class Cropper:
    """Reads pictures as crops.

    Attributes
    ----------
    read : callable
        Gives the picture of a key: `maskgen.datasets.people.People.read`.
    is_aligned : bool
        Pictures are ArcFace crops already.
    catalog : Catalog or None
        The masks for `masked`.
    detectors : DetectorSpec or None
        Their parser tells what lies in front of masks.
    """

    read: Callable[[str], Image]
    is_aligned: bool
    catalog: Catalog | None = None
    detectors: DetectorSpec | None = None

    def clean(self, key: str, keypoints: Float32Array | None) -> Image:
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
        observed = observe(image, face, None if self.detectors is None else _parser(self.detectors))
        augmented = mask_faces(image, [face], [observed], self.catalog, rng, Recipe(keep_covered=True))
        clean = self._crop(image, face.keypoints)
        return clean, self._crop(augmented.image, face.keypoints) if augmented.is_masked else None

    def _crop(self, image: Image, keypoints: Float32Array | None) -> Image:
        if self.is_aligned:
            return resized_crop(image)
        assert keypoints is not None
        return aligned_crop(image, alignment(keypoints))
