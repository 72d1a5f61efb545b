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
_GLIMPSES: Final = ((256, 128), (320, 160), (_MIDDLING, 192), (np.inf, 320))
# The same where bystanders count: of faces a twelfth as long as the picture, it misses one in 40 that 320 pixels show,
# and of those a tenth as long, one in 90.
_CLOSER_GLIMPSES: Final = ((_MIDDLING, 224), (np.inf, 0))
# Whatever scores this much in a glimpse may be a face, in a closer one the next; from the last score on it is one.
_HINT: Final = 0.1
_CLOSER_HINT: Final = 0.15
_LIKELY: Final = 0.7
# Of two faces, the one that covers so many times as much of a glimpse is the larger one.
_LARGER: Final = 1.25
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

        Tiny faces can escape it: who asks for bystanders gets a closer one.
        """
        longer = max(image.shape[:2])
        glimpses = _CLOSER_GLIMPSES if self.bystanders else _GLIMPSES
        side = next((side for limit, side in glimpses if longer <= limit), 0)
        if side == 0 or self.boxes.fixed_wh is not None:
            return Glimpse(0, NOBODY, NOBODY)
        candidates = self.boxes.candidates(image, side, _CLOSER_HINT if self.bystanders else _HINT)
        return Glimpse(side, candidates, sane(self.boxes.merged([candidates])))

    def is_all(self, glimpse: Glimpse, image: Image) -> bool:
        """Whether a glimpse of an image shows all there is to see: each hint of a face is a likely and large one.

        With bystanders, the order of the faces must be clear too. Without them there must be no more than one hint, and
        what may have escaped the glimpse must not be the central face: a few pixels may decide between several.
        """
        if not len(glimpse.found) or glimpse.found[:, SCORE].min() < max(_LIKELY, self.threshold):
            return False
        if self.bystanders:
            return surest(glimpse.found) >= SURE and _are_apart(glimpse.found) and not _is_crowded(glimpse.found, image)
        if len(glimpse.found) > 1:
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
        if self.boxes.fixed_wh is None and (longer > _MIDDLING or _is_crowded(found, image)):
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


def _are_apart(found: Float32Array) -> bool:
    """Whether it is clear which of the detections is the largest, the second largest and so on."""
    areas = np.sort((found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1]))
    return bool((areas[1:] > _LARGER * areas[:-1]).all())


def _is_crowded(found: Float32Array, image: Image) -> bool:
    """Whether one of the detections in an image is so small that smaller ones may be beside it."""
    sides = (found[:, 2:4] - found[:, :2]).max(axis=1, initial=0)
    return bool((sides * 320 / max(image.shape[:2]) < _SMALL_FACE).any())


def sane(found: Float32Array) -> Float32Array:
    """The detections whose boxes are boxes."""
    good = ((found[:, 2:4] - found[:, :2]) > 2).all(axis=1) & np.isfinite(found[:, : SCORE + 1]).all(axis=1)
    kept: Float32Array = found[good]
    return kept


def surest(found: Float32Array) -> float:
    """The highest score of some detections; 0 without any."""
    return float(found[:, SCORE].max(initial=0.0))
