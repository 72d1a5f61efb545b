"""A picture to the boxes of its upright faces: one look at a small size where that says all, else a ladder of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.detect.networks import BOX, KEYPOINTS, NOBODY, SCORE, BoxNetwork

SURE: Final = 0.85
"""No face that stands on its head reaches this score at an input of 128, and one upright face in twenty stays below."""

# A face this small, in pixels of the input, hints at smaller ones beside it.
_SMALL_FACE: Final = 40
# Larger pictures are looked at in twice the size too.
_MIDDLING: Final = 480
# The input of a glimpse at pictures whose longer side has up to so many pixels; 0 where it would save nothing.
_GLIMPSES: Final = ((256, 128), (320, 160), (_MIDDLING, 0), (np.inf, 320))
# Whatever scores this much in a glimpse may be a face; from the other score on it is one.
_HINT: Final = 0.1
_LIKELY: Final = 0.7
# What is smaller, in pixels of the glimpse, may have escaped it.
_UNSEEN: Final = 13


@dataclass(frozen=True)
class Glimpse:
    """What one look at a small size has seen.

    Attributes
    ----------
    side : int
        The input's width and height; 0 if there was no look.
    candidates, found : (K, 15) arrays
        Hints of faces, and those of them that overlap no surer one.
    """

    side: int
    candidates: Float32Array
    found: Float32Array


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

    def glimpse(self, image: Image) -> Glimpse:
        """A look at a small size, where that may be enough to see all; else a look that saw nothing.

        Tiny faces can escape it, so it is for those who ask for no bystanders.
        """
        longer = max(image.shape[:2])
        side = next((side for limit, side in _GLIMPSES if longer <= limit), 0)
        if side == 0 or self.bystanders or self.boxes.fixed_wh is not None:
            return Glimpse(0, NOBODY, NOBODY)
        candidates = self.boxes.candidates(image, side, _HINT)
        return Glimpse(side, candidates, sane(self.boxes.merged([candidates])))

    def is_all(self, glimpse: Glimpse, image: Image) -> bool:
        """Whether a glimpse of an image shows all there is to see: the only hint of a face is a likely and large one.

        What may have escaped it must not be the central face either. Of several faces, the largest and the central one
        are found by a closer look, because a few pixels may decide between them.
        """
        if len(glimpse.found) != 1 or glimpse.found[0, SCORE] < _LIKELY:
            return False
        height, width = image.shape[:2]
        longer = max(height, width)
        x1, y1, x2, y2 = glimpse.found[0, BOX].tolist()
        if max(x2 - x1, y2 - y1) * glimpse.side < _SMALL_FACE * longer:
            return False
        off_centre = ((x1 + x2) / 2 - width // 2) ** 2 + ((y1 + y2) / 2 - height // 2) ** 2
        # InsightFace's measure of the labelled face: see `maskgen.masking.recipe.central`.
        return bool((x2 - x1) * (y2 - y1) - 2 * off_centre > (_UNSEEN * longer / glimpse.side) ** 2)

    def climb(self, image: Image, glimpse: Glimpse | None = None) -> Float32Array:
        """Detections (K, 15) at one input size after the other; what a glimpse has seen is not looked for again.

        A detector made for faces of middling size overlooks those that fill the frame (InsightFace issue 2782), and a
        small input those in the back row. Large pictures and crowds get a second look at twice the size; where nobody
        is found, a smaller input, a margin around the picture and a larger input are tried, and must be surer.
        """
        longer = max(image.shape[:2])
        if glimpse is not None and glimpse.side == 320:
            seen = glimpse.candidates[glimpse.candidates[:, SCORE] >= self.threshold]
        else:
            seen = self.boxes.candidates(image, 320, self.threshold)
        found = sane(self.boxes.merged([seen]))
        sides = (found[:, 2:4] - found[:, :2]).max(axis=1)
        is_crowded = bool((sides * 320 / longer < _SMALL_FACE).any())
        if self.boxes.fixed_wh is None and (longer > _MIDDLING or is_crowded):
            found = sane(self.boxes.merged([seen, self.boxes.candidates(image, 640, self.threshold)]))
        for inputs, margin in (([160], 0.0), ([160, 320], 0.5), ([640], 0.0), ([960], 0.0)):
            # Beyond that enlargement there is nothing more to see, and texture turns into faces.
            if len(found) or max(inputs) > 2.5 * longer or (max(inputs) == 640 and longer > _MIDDLING):
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
