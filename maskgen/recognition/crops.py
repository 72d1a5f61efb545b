"""A picture and what was seen on it to the 112x112 crop that recognition networks expect, masked or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.schema import CORRECT, WearShares
from maskgen.catalog.store import Catalog
from maskgen.face.align import aligned_crop, alignment, resized_crop
from maskgen.masking.augment import Masked, mask_faces
from maskgen.masking.recipe import Recipe
from maskgen.recognition.seen import Seen

# Pictures that the user chose are learnt from and measured on, whatever lies in front of a face.
_RECIPE: Final = Recipe(keep_covered=True)


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
    wear : tuple of (str, float)
        How they are worn, as `maskgen.catalog.schema.wear_shares` gives it.
    """

    read: Callable[[str], Image]
    is_aligned: bool
    catalog: Catalog | None = None
    wear: WearShares = CORRECT

    def clean(self, key: str, keypoints: Float32Array | None) -> Image:
        """The crop (112, 112, 3) of a picture as it is, by the keypoints on it, which an aligned one does not need.

        Raises
        ------
        ImageError
            If the picture cannot be read.
        """
        return cropped(self.read(key), keypoints, self.is_aligned)

    def masked(self, key: str, seen: Seen, rng: np.random.Generator) -> tuple[Image, Image | None]:
        """The crop (112, 112, 3) of a picture as it is, and with a mask on the face; None if no mask fits its pose.

        No network runs: the mask is put on the crop, by what was seen of the face that counts.

        Raises
        ------
        ImageError
            If the picture cannot be read.
        """
        crop, masked = self.worn(key, seen, rng)
        return crop, masked.image if masked.is_masked else None

    def worn(self, key: str, seen: Seen, rng: np.random.Generator) -> tuple[Image, Masked]:
        """As `masked`, with what was put on: the crop (112, 112, 3) as it is, and what masking made of it."""
        assert self.catalog is not None
        crop = self.clean(key, seen.face.keypoints)
        face, observed = seen.in_crop(crop)
        recipe = _RECIPE if self.wear == CORRECT else replace(_RECIPE, wear=self.wear)
        return crop, mask_faces(crop, [face], [observed], self.catalog, rng, recipe)


def cropped(image: Image, keypoints: Float32Array | None, is_aligned: bool) -> Image:
    """The ArcFace crop (112, 112, 3) of a picture; keypoints (5, 2) may be left out if it is such a crop already."""
    if is_aligned:
        return resized_crop(image)
    assert keypoints is not None
    return aligned_crop(image, alignment(keypoints))
