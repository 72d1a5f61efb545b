"""What is saved beside a masked picture, as PNG of one channel: truth for tasks other than recognition.

``alpha``
    How much of each pixel is mask, 0 to 255.
``visible``
    255 where a mask could be drawn, 0 where something lies in front of a face.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.face.align import aligned_crop
from maskgen.masking.augment import Masked, Observed


def beside(
    names: Sequence[str], masked: Masked, observed: Sequence[Observed | None], crop: Float32Array | None
) -> dict[str, bytes]:
    """Name -> PNG, of those of ``alpha`` and ``visible`` that are asked for.

    Parameters
    ----------
    names : sequence of str
        What is to be saved.
    masked : Masked
        The masked picture.
    observed : sequence of Observed or None
        Of its faces, on the bare photograph.
    crop : (2, 3) array or None
        The similarity under which an aligned crop is cut from it.
    """
    found = dict[str, bytes]()
    if "alpha" in names:
        found["alpha"] = _png(np.round(masked.alpha * 255).astype(np.uint8), crop)
    if "visible" in names:
        found["visible"] = _png(_visible(masked.image.shape, observed), crop)
    return found


def _visible(shape: tuple[int, ...], observed: Sequence[Observed | None]) -> Image:
    visible: Image = np.full(shape[:2], 255, np.uint8)
    for face in observed:
        if face is not None and face.visible is not None:
            share = face.visible.at(face.visible.region)
            if share is not None:
                part = visible[face.visible.region]
                np.minimum(part, share, out=part)
    return visible


def _png(plane: Image, crop: Float32Array | None) -> bytes:
    done, encoded = cv2.imencode(".png", plane if crop is None else aligned_crop(plane, crop))
    assert done
    return encoded.tobytes()
