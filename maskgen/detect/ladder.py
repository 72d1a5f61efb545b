"""A picture to the boxes of its upright faces: one look at a small size where that says all, else a ladder of sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.detect.networks import BOX, KEYPOINTS, NOBODY, SCORE, BoxNetwork, Part
from maskgen.face.boxes import iou_matrix

SURE: Final = 0.85
"""No face that stands on its head reaches this score at an input of 128, and one upright face in twenty stays below."""

# A face this small, in pixels of the input, hints at smaller ones beside it.
_SMALL_FACE: Final = 40
# Larger pictures are looked at in twice the size too.
_MIDDLING: Final = 480
# The input of a glimpse at pictures whose longer side has up to so many pixels; 0 where it would save nothing. Boxes
# from a glimpse lie 1 to 3 per cent of their size away from those that 320 pixels show. Of 300 people that no network
# has learnt from, in pictures of 250, 300, 320 and 400, landmarks are off by 2.37 per cent of the eye distance in both.
_GLIMPSES: Final = ((256, 128), (320, 160), (_MIDDLING, 192), (np.inf, 320))
# The same where bystanders count: of faces a twelfth as long as the picture, it misses one in 40 that 320 pixels show,
# and of those a tenth as long, one in 90.
_CLOSER_GLIMPSES: Final = ((_MIDDLING, 224), (np.inf, 0))
# Whatever scores this much in a glimpse may be a face, in a closer one the next.
_HINT: Final = 0.1
_CLOSER_HINT: Final = 0.15
# From this score on the surest thing in a glimpse is a face.
_LIKELY: Final = 0.7
# A close look at a hint shows so many longer sides of its box around the box, and finds it under a box that overlaps
# the hint's by such a share.
_AROUND: Final = 0.25
_SAME: Final = 0.4
# Seen so, it scores as in the whole picture or more: of 1057 hints in 693 pictures, 177 of them faces to a look at the
# whole, one face scored less than 0.5, and whatever scored the first of these or more was a face. What scores less than
# a face by the second is none.
_LIKELIER: Final = 0.75
_DOUBT: Final = 0.05
# Such looks are worth their while up to this share of a look at all of the picture; each one costs the next share
# however little it shows.
_WORTH: Final = 0.6
_START: Final = 0.13
# Of two faces, the one that covers so many times as much of a glimpse is the larger one.
_LARGER: Final = 1.25
# One is more central than another if their measures differ by this share of the larger one's area.
_CENTRAL: Final = 0.2
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
    central : bool
        Find the central face even if it is one of those.
    """

    def __init__(self, boxes: BoxNetwork, threshold: float, *, bystanders: bool = True, central: bool = True) -> None:
        self.boxes = boxes
        self.threshold = threshold
        self.bystanders = bystanders
        self.central = central
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

    def all_in(self, glimpse: Glimpse, image: Image) -> Float32Array | None:
        """The faces (K, 15) of an image if a glimpse shows them all; None if only a look at all of it can tell.

        What is beside the surest face, and not quite sure, is looked at closely by itself, if that takes less than a
        look at the whole image. It must be clear which face is the largest, which the second largest and so on.
        """
        found, likely = glimpse.found, max(_LIKELY, self.threshold)
        is_sure = found[:, SCORE] >= max(SURE, likely)
        is_sure[:1] = found[:1, SCORE] >= likely
        faces, hints = found[is_sure], found[~is_sure]
        if not self._are_clear(faces, glimpse.side, image):
            return None
        if not len(hints):
            return faces
        side = 640 if max(image.shape[:2]) > _MIDDLING else 320
        parts = [self.boxes.part(image, side, _grown(hint[BOX])) for hint in hints]
        width, height = self.boxes.input_wh(image, side)
        if sum(_START + _pixels(part) / (width * height) for part in parts) > _WORTH:
            return None
        settled = [faces]
        candidates = self.boxes.candidates_in(image, side, parts, self.threshold - _DOUBT)
        for hint, seen in zip(hints, candidates, strict=True):
            best = _surest(seen[iou_matrix(seen[:, BOX], hint[None, BOX])[:, 0] > _SAME])
            if surest(best) >= max(_LIKELIER, likely):
                settled.append(best)
            elif len(best) or (glimpse.side == 320 and hint[SCORE] >= self.threshold):
                # What 320 pixels show of a large picture counts, whether 640 show it or not.
                return None
        found = sane(self.boxes.merged(settled))
        return found if self._are_clear(found, glimpse.side, image) else None

    def _are_clear(self, faces: Float32Array, side: int, image: Image) -> bool:
        """Whether it is clear which of the faces in a glimpse is which, and that it can have missed none that counts.

        Those of more than one may not be small, because a crowd may be beside them. Without bystanders, the largest
        must be large in the glimpse. Where the central face counts, it must be the largest one, and more central than
        whatever may have escaped: a few pixels may decide between several.
        """
        if not len(faces) or (len(faces) > 1 and not _are_apart(faces)):
            return False
        if (len(faces) > 1 or self.bystanders) and _is_crowded(faces, image):
            return False
        if self.bystanders:
            return surest(faces) >= SURE
        longer = max(image.shape[:2])
        largest = faces[np.argsort(-_areas(faces))]
        if (largest[0, 2:4] - largest[0, :2]).max() * side < _SMALL_FACE * longer:
            return False
        if not self.central:
            return True
        first, *others = _centralities(largest, image).tolist()
        clear_by = _CENTRAL * float(_areas(largest[:1])[0])
        return bool(first > max([(_UNSEEN * longer / side) ** 2, *(other + clear_by for other in others)]))

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


def _areas(found: Float32Array) -> Float32Array:
    areas: Float32Array = (found[:, 2:4] - found[:, :2]).prod(axis=1)
    return areas


def _are_apart(found: Float32Array) -> bool:
    """Whether it is clear which of the detections is the largest, the second largest and so on."""
    areas = np.sort(_areas(found))
    return bool((areas[1:] > _LARGER * areas[:-1]).all())


def _centralities(found: Float32Array, image: Image) -> Float32Array:
    """InsightFace's measure of the labelled face, see `maskgen.masking.recipe.central`, of detections (K, 15)."""
    middle = np.array([image.shape[1] // 2, image.shape[0] // 2], np.float32)
    off = (found[:, :2] + found[:, 2:4]) / 2 - middle
    measures: Float32Array = _areas(found) - 2 * (off**2).sum(axis=1)
    return measures


def _grown(box: Float32Array) -> Float32Array:
    """A box (4,) and what is around it."""
    margin = np.float32(_AROUND) * (box[2:] - box[:2]).max()
    return np.concatenate([box[:2] - margin, box[2:] + margin])


def _is_crowded(found: Float32Array, image: Image) -> bool:
    """Whether one of the detections in an image is so small that smaller ones may be beside it."""
    sides = (found[:, 2:4] - found[:, :2]).max(axis=1, initial=0)
    return bool((sides * 320 / max(image.shape[:2]) < _SMALL_FACE).any())


def _pixels(part: Part) -> int:
    rows, columns = part
    return int((rows.stop - rows.start) * (columns.stop - columns.start))


def _surest(found: Float32Array) -> Float32Array:
    """The surest detection (1, 15), or none (0, 15)."""
    return found[np.argsort(-found[:, SCORE], kind="stable")[:1]]


def sane(found: Float32Array) -> Float32Array:
    """The detections whose boxes are boxes."""
    good = ((found[:, 2:4] - found[:, :2]) > 2).all(axis=1) & np.isfinite(found[:, : SCORE + 1]).all(axis=1)
    kept: Float32Array = found[good]
    return kept


def surest(found: Float32Array) -> float:
    """The highest score of some detections; 0 without any."""
    return float(found[:, SCORE].max(initial=0.0))
