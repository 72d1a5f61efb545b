"""Which way up a picture is: how far its heads lean, and the picture turned so that they stand upright.

Convention
----------
A head leans clockwise, in degrees; turning the picture by as much against the clock puts it upright. Matrices (2, 3)
map the turned picture -> the picture.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Float64Array, Image
from maskgen.detect.ladder import SURE, Ladder, sane, surest
from maskgen.detect.networks import BOX, SCORE, PointNetwork, upright
from maskgen.parse import CROP_SIDE, upright_crop

# The landmark network places points on heads that lean by up to 75 degrees, and on those upside down never.
_QUARTERS: Final = (0, 90, 180, 270)
# The detector is sure of faces that lean by up to this much: so finely pictures are turned.
_STEP: Final = 45
# From this score on something counts as a hint. Of 500 true faces, one scores less when it is looked at alone, and is
# well over the other one when it is turned upright by its landmarks; three of seven false ones are under both.
_HINT: Final = 0.3
_CLEARER_HINT: Final = 0.4
# Of 1300 people who stood, leant or lay and were found with the first of these scores or more, without being sure,
# none who leant by more than 70 degrees scored by the second more than in the three other ways up; all but one did who
# stood.
_LIKELY: Final = 0.7
_CLEARLY: Final = 0.1
# What a closer look shows: a square of this many longer sides of the box.
_CLOSER_FIELD: Final = 2.2
# A face that is as sure as this less than another one, and upright, is upright.
_TRUSTED: Final = 0.05


class Ways:
    """Finds out how far heads lean.

    Parameters
    ----------
    ladder : Ladder
        Its looks.
    points : PointNetwork
        Tells how far a face leans whose way up is roughly known.
    """

    def __init__(self, ladder: Ladder, points: PointNetwork) -> None:
        self._ladder = ladder
        self._points = points

    def is_upright(self, image: Image, found: Float32Array) -> bool:
        """Whether the surest of the faces (K, 15) found in an image looks clearly less like one any other way up."""
        if surest(found) < _LIKELY:
            return False
        box = found[found[:, SCORE].argmax(), BOX]
        score = self._closer(image, box, 0.0)
        if score >= SURE:
            return True
        # Upside down first: most of those that stand otherwise are found like this.
        others = (self._closer(image, box, float(way)) for way in (180, 90, 270))
        return score >= _HINT and all(other <= score - _CLEARLY for other in others)

    def lean(self, image: Image, found: Float32Array) -> int:
        """How far the heads of a picture lean, to 45 degrees.

        In each of four ways up, the surest thing is taken for a face, its landmarks say how far it would lean, and it
        is looked at upright and in one size. The way that shows the surest face is the way up.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB.
        found : (K, 15) array
            What looks like a face as the picture stands.
        """
        best, best_score = 0.0, self._ladder.surer
        for way in _QUARTERS:
            picture, back = turned(image, way)
            seen = found if way == 0 and len(found) else self._glimpsed(picture)
            if not len(seen):
                continue
            box = box_in(seen[0, BOX], back)
            roll = self._points.roll_deg(image, box, float(way))
            score = self._closer(image, box, roll)
            if way == 0 and abs(roll) < _STEP / 2:
                if score >= SURE:
                    return 0
                score += _TRUSTED
            if score > best_score:
                best, best_score = roll, score
        # A face that was found leaning is found well enough.
        return 0 if len(found) and abs(best) <= _STEP else round(best / _STEP) * _STEP % 360

    def confirmed(self, image: Image, found: Float32Array) -> Float32Array:
        """The detections (K, 15) in an image that look at all like faces when they are seen alone and in one size."""
        kept: Float32Array = found[[self._is_face(image, one[BOX]) for one in found]]
        return kept

    def _is_face(self, image: Image, box: Float32Array) -> bool:
        if self._closer(image, box, 0.0) >= _HINT:
            return True
        # Beside another face, or leaning, it may need to stand upright.
        return self._closer(image, box, self._points.roll_deg(image, box, 0.0)) >= _CLEARER_HINT

    def _glimpsed(self, image: Image) -> Float32Array:
        """Detections at the sizes that show most of what there is to see."""
        longer = max(image.shape[:2])
        sides = [160] if longer <= 320 else [320] if longer <= 480 else [320, 640]
        return sane(self._ladder.boxes.look(image, sides, _HINT))

    def _closer(self, image: Image, box: Float32Array, roll_deg: float) -> float:
        """The score of what lies in a box, seen upright and in one size."""
        crop = upright_crop(image, upright(box, roll_deg, CROP_SIDE, _CLOSER_FIELD).astype(np.float32))
        seen = sane(self._ladder.boxes.look(crop, [CROP_SIDE], _HINT))
        middle = (CROP_SIDE - 1) / 2
        holds = (seen[:, :2] < middle).all(axis=1) & (seen[:, 2:4] > middle).all(axis=1)
        return float(seen[holds, SCORE].max(initial=0.0))


def turned(image: Image, lean_deg: int) -> tuple[Image, Float64Array]:
    """The picture turned so that heads which lean stand upright, and the map (2, 3) back; black where it has no pixels.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    lean_deg : int
        Quarter turns leave every pixel as it is.
    """
    height, width = image.shape[:2]
    if lean_deg % 90 == 0:
        back = {
            0: [[1, 0, 0], [0, 1, 0]],
            1: [[0, -1, width - 1], [1, 0, 0]],
            2: [[-1, 0, width - 1], [0, -1, height - 1]],
            3: [[0, 1, 0], [-1, 0, height - 1]],
        }[lean_deg // 90 % 4]
        return np.ascontiguousarray(np.rot90(image, lean_deg // 90)), np.array(back, np.float64)
    side = int(np.ceil(np.hypot(width, height)))
    there = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), lean_deg, 1)
    there[:, 2] += [(side - width) / 2, (side - height) / 2]
    picture = cv2.warpAffine(image, there, (side, side))
    return np.asarray(picture, np.uint8), np.asarray(cv2.invertAffineTransform(there), np.float64)


def box_in(box: Float32Array, back: Float64Array) -> Float32Array:
    """A box (4,) of the turned picture, in the picture: as long and wide along the head, around the same place."""
    middle = back[:, :2] @ ((box[:2] + box[2:]) / 2) + back[:, 2]
    reach = (box[2:] - box[:2]) / 2
    # Between quarter turns a share of the height is width.
    shares = np.abs(back[:, :2])
    reach = shares @ reach / shares.sum(axis=1)
    return np.concatenate([middle - reach, middle + reach]).astype(np.float32)
