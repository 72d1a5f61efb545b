"""One image, start to end."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from maskgen.arrays import Image
from maskgen.catalog.schema import Wear
from maskgen.catalog.store import Catalog
from maskgen.detect import Detector
from maskgen.face import Face
from maskgen.masking import blend, choose, vary, warp

Faces = Literal["largest", "all"]


@dataclass(frozen=True)
class MaskedFace:
    """What became of one face.

    Attributes
    ----------
    face : Face
        As detected.
    design, view : str or None
        The mask it wears.
    reason : str or None
        Why it wears none: ``too_small``, ``not_largest`` or ``no_view_for_pose``.
    wear : str or None
        How it wears the mask: see `maskgen.masking.wear.WEARS`.
    recolor : vary.Recolor or None
        The colour that the cloth was given.
    pattern : str or None
        The pattern that was laid on the cloth.
    """

    face: Face
    design: str | None = None
    view: str | None = None
    reason: str | None = None
    wear: Wear | None = None
    recolor: vary.Recolor | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Augmented:
    """A masked image and what was done to its faces, largest first."""

    image: Image
    faces: tuple[MaskedFace, ...]

    @property
    def is_masked(self) -> bool:
        """Whether at least one face wears a mask now."""
        return any(face.design is not None for face in self.faces)

    @property
    def reason(self) -> str | None:
        """Why nobody wears a mask: ``no_face``, or the reason of the largest face; None if somebody does."""
        if self.is_masked:
            return None
        return self.faces[0].reason if self.faces else "no_face"


def augment_image(
    image: Image,
    detector: Detector,
    catalog: Catalog,
    rng: np.random.Generator,
    faces: Faces = "largest",
    min_face: float = 0,
    look: blend.Look = blend.DEFAULT_LOOK,
    variation: vary.Variation = vary.NO_VARIATION,
) -> Augmented:
    """The image with masks on its faces.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB; it is not changed.
    detector : Detector
        Finds the faces.
    catalog : Catalog
        The masks to choose from.
    rng : numpy.random.Generator
        Decides which mask; the same state gives the same image.
    faces : {"largest", "all"}
        Who gets a mask.
    min_face : float
        Faces whose box has a longer side under this many pixels are left alone.
    look : blend.Look
        How the mask takes on the light and the grain of the photograph.
    variation : vary.Variation
        How much the way of wearing, the colours and the patterns vary.

    Returns
    -------
    Augmented
        The new image, and one entry for every face found.
    """
    outcomes = []
    for rank, face in enumerate(detector.detect(image)):
        if max(face.size_wh) < min_face:
            outcomes.append(MaskedFace(face, reason="too_small"))
        elif faces == "largest" and rank > 0:
            outcomes.append(MaskedFace(face, reason="not_largest"))
        elif (view := choose.choose(catalog, face, rng)) is None:
            outcomes.append(MaskedFace(face, reason="no_view_for_pose"))
        else:
            drawn = vary.draw(variation, rng)
            overlay = warp.warp(view, face, (image.shape[1], image.shape[0]), drawn, variation.patterns)
            image = blend.over(image, overlay, face, rng, look)
            pattern = None if drawn.pattern is None else variation.patterns.names[drawn.pattern.number]
            outcomes.append(MaskedFace(face, view.design, view.key, None, drawn.wear, drawn.recolor, pattern))
    return Augmented(image, tuple(outcomes))
