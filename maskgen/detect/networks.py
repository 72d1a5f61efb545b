"""The two networks of a pack: a picture to boxes, a box to landmarks.

Sessions, input sizes, means and thresholds are those of InsightFace's objects, and so are the results. What comes
before and after the sessions is done anew, because its loops in Python cost as much as a network.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image, IntArray
from maskgen.face import HeadPose
from maskgen.face.pose import PoseSolver, pose_from_68, pose_from_106
from maskgen.packs.find import MEAN_HEAD_KEY

BOX: Final = slice(0, 4)
SCORE: Final = 4
KEYPOINTS: Final = slice(5, 15)
"""The columns of a detection (15,): x1, y1, x2, y2; the score; x and y of five keypoints, NaN where there are none."""
NOBODY: Final = np.empty((0, 15), np.float32)

Part = tuple[slice, slice]
"""Rows and columns of an input."""
# A part of it has at least so many of the greatest strides.
_LEAST_CELLS: Final = 3

FIELD: Final = 1.5
"""What InsightFace's landmark networks see: a square of so many longer sides of the box."""
# OpenCV warps no larger picture, pixels.
_LONGEST_SOURCE: Final = 32_766


class BoxNetwork:
    """Finds faces at an input size, as InsightFace's SCRFD does.

    Parameters
    ----------
    model : insightface.model_zoo.scrfd.SCRFD
        As `FaceAnalysis` loads it.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self.fixed_wh: tuple[int, int] | None = model.static_input_size
        """The size in which a network whose input is fixed sees every picture."""

    def look(self, image: Image, sides: Sequence[int], threshold: float) -> Float32Array:
        """Detections (K, 15) at some input sizes, surest first.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB.
        sides : sequence of int
            Longer sides of the input, multiples of the greatest stride.
        threshold : float
            The lowest score that counts.
        """
        sides = sides[:1] if self.fixed_wh else sides
        return self.merged([self.candidates(image, side, threshold) for side in sides])

    def candidates(self, image: Image, side: int, threshold: float) -> Float32Array:
        """Detections (K, 15) at one input size, of which several may be of one face."""
        canvas, scale = _fitted(image, self.input_wh(image, side))
        return _in_picture(self._candidates(canvas, threshold), (0, 0), scale)

    def candidates_in(self, image: Image, side: int, parts: Sequence[Part], threshold: float) -> list[Float32Array]:
        """Detections (K, 15) in each of some parts of the input of a longer side: nearly what `candidates` finds there.

        A face that is whole in its part scores as in the whole input or more; one that is cut off may not be found.
        """
        canvas, scale = _fitted(image, self.input_wh(image, side))
        seen = [self._candidates(np.ascontiguousarray(canvas[part]), threshold) for part in parts]
        starts = [(columns.start, rows.start) for rows, columns in parts]
        return [_in_picture(found, start, scale) for found, start in zip(seen, starts, strict=True)]

    def part(self, image: Image, side: int, box: Float32Array) -> Part:
        """Rows and columns of the input of a longer side that show a box (4,) of an image, as far as it lies in it."""
        width, height = size_wh = self.input_wh(image, side)
        stride = max(self._model._feat_stride_fpn)
        x1, y1, x2, y2 = (box * np.float32(_within(image, size_wh)[1] / image.shape[0])).tolist()
        return _stretch(y1, y2, stride, height), _stretch(x1, x2, stride, width)

    def _candidates(self, canvas: Image, threshold: float) -> Float32Array:
        """Detections (K, 15) in an input (h, w, 3)."""
        model = self._model
        size_wh = canvas.shape[1], canvas.shape[0]
        session = model._session_for_input_size(size_wh)
        outputs = session.run(model.output_names, {model.input_name: _input_of(canvas, model)})
        if model.batched:
            outputs = [output[0] for output in outputs]
        levels = model.fmc
        scores = np.concatenate(outputs[:levels]).ravel()
        certain = np.flatnonzero(scores >= threshold)
        if not len(certain):
            return NOBODY
        centres, strides = _grid(size_wh, tuple(model._feat_stride_fpn), model._num_anchors)
        starts = range(levels, len(outputs), levels)
        moves = [np.concatenate(outputs[start : start + levels])[certain] * strides[certain] for start in starts]
        return _decoded(scores[certain], centres[certain], moves)

    def input_wh(self, image: Image, side: int) -> tuple[int, int]:
        """Width and height of an input of a longer side for an image (H, W, 3): no wider or higher than it needs."""
        if self.fixed_wh is not None:
            return self.fixed_wh
        stride, longer = max(self._model._feat_stride_fpn), max(image.shape[:2])
        height, width = (min(math.ceil(length * side / longer / stride) * stride, side) for length in image.shape[:2])
        return width, height

    def merged(self, candidates: Sequence[Float32Array]) -> Float32Array:
        """Detections (K, 15), surest first, without those that overlap a surer one."""
        together = np.concatenate(candidates)
        if len(together) < 2:
            return together
        together = together[np.argsort(-together[:, SCORE], kind="stable")]
        return together[_surest_of_overlapping(together[:, BOX], self._model.nms_thresh)]


class PointNetwork:
    """Places landmarks on a face and measures its pose, as InsightFace's landmark models do.

    Parameters
    ----------
    model : insightface.model_zoo.landmark.Landmark
        As `FaceAnalysis` loads it.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        metadata = model.session.get_modelmeta().custom_metadata_map
        # InsightFace's mean shape has its jaw farther back than the bundled pack's points: it reads 0.9 of their yaw.
        is_on_another_head = model.require_pose and metadata.get(MEAN_HEAD_KEY) != "maskgen"
        self._solver = PoseSolver(model.mean_lmk) if is_on_another_head else None

    def points(self, image: Image, bbox: Float32Array, roll_deg: float = 0.0) -> Float32Array:
        """Landmarks (68, 3) or (106, 2), pixels; a third column is depth.

        Parameters
        ----------
        image : (H, W, 3) uint8 array
            RGB.
        bbox : (4,) array
            x1, y1, x2, y2, pixels.
        roll_deg : float
            How far the head leans clockwise; the network sees it upright.
        """
        model = self._model
        side = model.input_size[0]
        matrix = upright(bbox, roll_deg, side, FIELD)
        patch = _cut(image, matrix, side)
        raw = model.session.run(model.output_names, {model.input_name: _input_of(patch, model)})[0][0]
        # -1 to 1 across the patch.
        seen = raw.reshape(-1, 3 if len(raw) >= 3000 else 2)[-model.lmk_num :] * np.float32(side // 2)
        back = _inverse(matrix)
        points = np.empty(seen.shape, np.float32)
        points[:, :2] = (seen[:, :2] + side // 2) @ back[:, :2].T + back[:, 2]
        points[:, 2:] = seen[:, 2:] * np.hypot(back[0, 0], back[0, 1])
        return points

    def pose(self, points: Float32Array) -> HeadPose:
        """The pose of a head with such landmarks."""
        if self._solver is not None:
            return self._solver.pose(points)
        return pose_from_106(points) if len(points) == 106 else pose_from_68(points)

    def roll_deg(self, image: Image, bbox: Float32Array, about_deg: float) -> float:
        """How far the head in a box leans clockwise, if that is roughly known, within half a turn."""
        return self.pose(self.points(image, bbox, about_deg)).roll


def _fitted(image: Image, size_wh: tuple[int, int]) -> tuple[Image, float]:
    """The picture in the upper left of an input of that size, black beyond, and how many of its pixels make one."""
    within_wh = _within(image, size_wh)
    resized = np.asarray(cv2.resize(image, within_wh), np.uint8)
    if within_wh != size_wh:
        beyond = 0, size_wh[1] - within_wh[1], 0, size_wh[0] - within_wh[0]
        resized = np.asarray(cv2.copyMakeBorder(resized, *beyond, cv2.BORDER_CONSTANT), np.uint8)
    return resized, within_wh[1] / image.shape[0]


def _within(image: Image, size_wh: tuple[int, int]) -> tuple[int, int]:
    """Width and height of the picture in an input of that size."""
    ratio = image.shape[0] / image.shape[1]
    if ratio > size_wh[1] / size_wh[0]:
        return int(size_wh[1] / ratio), size_wh[1]
    return size_wh[0], int(size_wh[0] * ratio)


def _stretch(low: float, high: float, stride: int, length: int) -> slice:
    """The least stretch of an input that holds another one, as far as it lies in it; at least three strides.

    It begins and ends with a stride: so the network sees the same in it as in the whole input.
    """
    cells = length // stride
    start = min(max(math.floor(low / stride), 0), cells - 1)
    stop = max(min(math.ceil(high / stride), cells), start + 1)
    start = max(min(start, stop - _LEAST_CELLS), 0)
    return slice(start * stride, min(max(stop, start + _LEAST_CELLS), cells) * stride)


def _input_of(rgb: Image, model: Any) -> Float32Array:
    """What a network takes: (1, 3, h, w)."""
    mean = model.input_mean
    blob = cv2.dnn.blobFromImage(rgb, 1.0 / model.input_std, None, (mean, mean, mean), swapRB=False)
    return np.asarray(blob, getattr(model, "input_dtype", np.float32))


@lru_cache(maxsize=64)
def _grid(size_wh: tuple[int, int], strides: tuple[int, ...], anchors: int) -> tuple[Float32Array, Float32Array]:
    """(N, 2) the places of the input that predictions count from, and (N, 1) the stride of each."""
    centres, steps = [], []
    for stride in strides:
        y, x = np.mgrid[: size_wh[1] // stride, : size_wh[0] // stride]
        cells = np.stack([x, y], axis=-1).reshape(-1, 2).repeat(anchors, axis=0)
        centres.append(cells * stride)
        steps.append(np.full((len(cells), 1), stride))
    return np.concatenate(centres).astype(np.float32), np.concatenate(steps).astype(np.float32)


def _decoded(scores: Float32Array, centres: Float32Array, moves: Sequence[Float32Array]) -> Float32Array:
    """Detections (K, 15) in the input: scores (K,), distances to the box's sides (K, 4), keypoints (K, 10) if any."""
    found = np.full((len(scores), 15), np.nan, np.float32)
    found[:, :2] = centres - moves[0][:, :2]
    found[:, 2:4] = centres + moves[0][:, 2:]
    found[:, SCORE] = scores
    if len(moves) > 1:
        found[:, KEYPOINTS] = np.tile(centres, 5) + moves[1]
    return found


def _in_picture(found: Float32Array, start: tuple[int, int], scale: float) -> Float32Array:
    """Detections (K, 15) in a part of the input that begins at some x, y, in the picture."""
    for columns in (BOX, KEYPOINTS) if len(found) else ():
        if any(start):
            found[:, columns] += np.tile(np.array(start, np.float32), (columns.stop - columns.start) // 2)
        found[:, columns] /= scale
    return found


def _surest_of_overlapping(boxes: Float32Array, threshold: float) -> list[int]:
    """The numbers of the boxes (K, 4), surest first, that overlap no surer one of them by more than a share.

    Sides count one pixel more than they are long: so InsightFace's ``nms`` does.
    """
    kept: list[int] = []
    low, high = boxes[:, :2], boxes[:, 2:]
    areas = (high - low + 1).prod(axis=1)
    rest: IntArray = np.arange(len(boxes))
    while len(rest):
        first, rest = int(rest[0]), rest[1:]
        kept.append(first)
        if len(rest):
            shared = np.maximum(np.minimum(high[first], high[rest]) - np.maximum(low[first], low[rest]) + 1, 0)
            both = shared[:, 0] * shared[:, 1]
            apart: BoolArray = both / (areas[first] + areas[rest] - both) <= threshold
            rest = rest[apart]
    return kept


def upright(bbox: Float32Array, roll_deg: float, side: int, field: float) -> Float64Array:
    """The similarity (2, 3) that brings a square of so many longer sides of a box upright into a square of pixels."""
    # In float32, as InsightFace does: an int8 network takes a rounded pixel for another point.
    x1, y1, x2, y2 = bbox
    scale = side / (max(x2 - x1, y2 - y1) * np.float32(field))
    x, y = (x2 + x1) / 2 * scale, (y2 + y1) / 2 * scale
    roll = np.radians(roll_deg)
    cosine, sine = np.cos(roll), np.sin(roll)
    return np.array(
        [
            [scale * cosine, scale * sine, side / 2 - cosine * x - sine * y],
            [-scale * sine, scale * cosine, side / 2 + sine * x - cosine * y],
        ]
    )


def _inverse(similarity: Float64Array) -> Float64Array:
    """The way back (2, 3)."""
    (a, b, s), (c, d, t) = similarity.tolist()
    area = a * d - b * c
    back: Float64Array = np.array([[d, -b, b * t - d * s], [-c, a, c * s - a * t]]) / area
    return back


def _cut(image: Image, matrix: Float64Array, side: int) -> Image:
    """The square (side, side, 3) that a similarity cuts from an image, bilinear; black beyond the edge."""
    if max(image.shape[:2]) > _LONGEST_SOURCE:
        back = _inverse(matrix)
        corners = np.array([[0, 0], [side, 0], [0, side], [side, side]]) @ back[:, :2].T + back[:, 2]
        limit = np.array([image.shape[1], image.shape[0]])
        # Where the face lies beyond the edge, a pixel is left.
        low = np.clip(np.floor(corners.min(axis=0)) - 1, 0, limit - 1).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 2, low + 1, np.minimum(limit, low + _LONGEST_SOURCE)).astype(int)
        image = image[low[1] : high[1], low[0] : high[0]]
        matrix = np.concatenate([matrix[:, :2], matrix[:, 2:] + matrix[:, :2] @ low[:, None]], axis=1)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side)), np.uint8)
