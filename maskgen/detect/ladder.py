"""A picture to the boxes of its upright faces: one look at a small size where that says all, else a ladder of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.detect.networks import BOX, KEYPOINTS, NOBODY, SCORE, BoxNetwork

SURE: Final = 0.85
"""No face that stands on its head reaches this score at an input of 128, and one upright face in twenty stays below."""

# A face this small at an input of 320 hints at smaller ones beside it.
_SMALL_FACE: Final = 40
# The input of the first look at pictures with up to so many pixels; in larger ones it sees too little.
_FIRST_LOOKS: Final = ((256, 128), (320, 160))
# Whatever scores this much in the first look may be a face, and needs a closer one.
_HINT: Final = 0.1
# A face is large from this share of the picture's longer side on; under the other share the first look sees nobody.
_LARGE: Final = 0.25
_UNSEEN: Final = 0.1


class Ladder:
    """Looks for upright faces at several input sizes.

    Parameters
    ----------
    boxes : BoxNetwork
        What looks.
    threshold : float
        Detections of a lower score are dropped.
    bystanders : bool
        Find faces too that are tiny beside a large one.
    """

    def __init__(self, boxes: BoxNetwork, threshold: float, *, bystanders: bool = True) -> None:
        self.boxes = boxes
        self.threshold = threshold
        self.bystanders = bystanders
        # What a face must score that is looked for where none was seen.
        self.surer = threshold + (1 - threshold) / 3

    def first(self, image: Image) -> Float32Array:
        """Detections (K, 15) by one look at a small size; none unless it says all there is to say.

        It does where every hint of a face is a sure and large one. Faces of a tenth of the picture's side and less can
        escape it, so it is for those who ask for no bystanders; and it must not matter to them which face is central.
        """
        height, width = image.shape[:2]
        longer = max(height, width)
        side = next((side for limit, side in _FIRST_LOOKS if longer <= limit), None)
        if side is None or self.bystanders or self.boxes.fixed_wh is not None:
            return NOBODY
        found = sane(self.boxes.look(image, [side], _HINT))
        sizes = found[:, 2:4] - found[:, :2]
        if not len(found) or found[:, SCORE].min() < SURE or sizes.max(axis=1).min() < _LARGE * longer:
            return NOBODY
        off_centre = (found[:, :2] + found[:, 2:4]) / 2 - np.array([width // 2, height // 2], np.float32)
        # InsightFace's measure of the labelled face: see `maskgen.masking.recipe.central`.
        weights = sizes.prod(axis=1) - 2 * np.square(off_centre).sum(axis=1)
        return found if weights.max() > (_UNSEEN * longer) ** 2 else NOBODY

    def climb(self, image: Image) -> Float32Array:
        """Detections (K, 15) at one input size after the other.

        A detector made for faces of middling size overlooks those that fill the frame (InsightFace issue 2782), and a
        small input those in the back row. Large pictures and crowds get a second look at twice the size; where nobody
        is found, a smaller input, a margin around the picture and a larger input are tried, and must be surer.
        """
        longer = max(image.shape[:2])
        seen = self.boxes.candidates(image, 320, self.threshold)
        found = sane(self.boxes.merged([seen]))
        sides = (found[:, 2:4] - found[:, :2]).max(axis=1)
        if self.boxes.fixed_wh is None and (longer > 480 or (sides * 320 / longer < _SMALL_FACE).any()):
            found = sane(self.boxes.merged([seen, self.boxes.candidates(image, 640, self.threshold)]))
        for inputs, margin in (([160], 0.0), ([160, 320], 0.5), ([640], 0.0), ([960], 0.0)):
            # Beyond that enlargement there is nothing more to see, and texture turns into faces.
            if len(found) or max(inputs) > 2.5 * longer or (max(inputs) == 640 and longer > 480):
                continue
            found = self._with_margin(image, inputs, margin)
        return found

    def _with_margin(self, image: Image, inputs: Sequence[int], margin: float) -> Float32Array:
        """Detections in a picture that gets a margin, a share of its longer side."""
        border = round(margin * max(image.shape[:2]))
        padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_CONSTANT) if border else image
        found = self.boxes.look(np.asarray(padded, np.uint8), inputs, self.surer)
        found[:, BOX] -= border
        found[:, KEYPOINTS] -= border
        return sane(found)


def sane(found: Float32Array) -> Float32Array:
    """The detections whose boxes are boxes."""
    good = ((found[:, 2:4] - found[:, :2]) > 2).all(axis=1) & np.isfinite(found[:, : SCORE + 1]).all(axis=1)
    kept: Float32Array = found[good]
    return kept


def surest(found: Float32Array) -> float:
    """The highest score of some detections; 0 without any."""
    return float(found[:, SCORE].max(initial=0.0))
