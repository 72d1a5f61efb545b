"""The detector's anchors, and which of them answer for which face.

Strides 8, 16, 32 with two anchors each; an anchor at column i and row j of stride s has its centre at (i s, j s),
as InsightFace's decoder assumes. Anchors are assigned by ATSS [1]_.

References
----------
.. [1] S. Zhang et al., "Bridging the Gap Between Anchor-based and Anchor-free Detection", CVPR 2020.
"""

from __future__ import annotations

from functools import cache
from typing import Final

import numpy as np
import numpy.typing as npt

from maskgen.arrays import Float32Array
from maskgen.face.boxes import iou_matrix

STRIDES: Final = (8, 16, 32)
ANCHOR_SIDES: Final = ((16, 32), (64, 128), (256, 512))


@cache
def anchors(side: int) -> tuple[Float32Array, Float32Array]:
    """Boxes (A, 4) and strides (A,) of all anchors of a square canvas, in the order of the outputs."""
    boxes, strides = [], []
    for stride, sides in zip(STRIDES, ANCHOR_SIDES, strict=True):
        grid = np.stack(np.meshgrid(np.arange(side // stride), np.arange(side // stride)), axis=-1) * stride
        centre = np.repeat(grid.reshape(-1, 1, 2), 2, axis=1).astype(np.float32)  # (H W, 2, 2)
        half = np.array(sides, np.float32)[None, :, None] / 2
        boxes.append(np.concatenate([centre - half, centre + half], axis=2).reshape(-1, 4))
        strides.append(np.full(len(boxes[-1]), stride, np.float32))
    return np.concatenate(boxes), np.concatenate(strides)


def assign(
    boxes: Float32Array, keypoints: Float32Array, ignored: Float32Array, side: int, candidates: int = 9
) -> tuple[npt.NDArray[np.int8], Float32Array, Float32Array]:
    """ATSS.

    Returns
    -------
    label : (A,) int8 array
        1 a face, 0 none, -1 not counted.
    box : (A, 4) array
        The face's box, pixels.
    keypoints : (A, 10) array
        The face's keypoints, pixels; NaN where unknown.
    """
    anchor_boxes, strides = anchors(side)
    label = np.zeros(len(anchor_boxes), np.int8)
    target_box = np.zeros((len(anchor_boxes), 4), np.float32)
    target_keypoints = np.full((len(anchor_boxes), 10), np.nan, np.float32)
    centre = (anchor_boxes[:, :2] + anchor_boxes[:, 2:]) / 2
    if len(ignored):
        low = np.maximum(anchor_boxes[:, None, :2], ignored[None, :, :2])
        high = np.minimum(anchor_boxes[:, None, 2:], ignored[None, :, 2:])
        covered = (
            np.prod(np.clip(high - low, 0, None), axis=2)
            / np.prod(anchor_boxes[:, 2:] - anchor_boxes[:, :2], axis=1)[:, None]
        )
        within = ((centre[:, None] > ignored[None, :, :2]) & (centre[:, None] < ignored[None, :, 2:])).all(axis=2)
        label[(within | (covered > 0.5)).any(axis=1)] = -1
    if not len(boxes):
        return label, target_box, target_keypoints
    overlap = iou_matrix(anchor_boxes, boxes)  # (A, K)
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    best = np.full(len(anchor_boxes), -1.0, np.float32)
    for k in range(len(boxes)):
        distance = np.square(centre - middle[k]).sum(axis=1)
        chosen = np.concatenate(
            [
                rows[np.argpartition(distance[rows], min(2 * candidates, len(rows)) - 1)[: 2 * candidates]]
                for rows in (np.flatnonzero(strides == stride) for stride in STRIDES)
            ]
        )
        iou = overlap[chosen, k]
        inside = ((centre[chosen] > boxes[k, :2]) & (centre[chosen] < boxes[k, 2:])).all(axis=1)
        positive = chosen[(iou >= iou.mean() + iou.std()) & inside]
        if not len(positive):
            positive = chosen[[int(iou.argmax())]]
        wins = positive[overlap[positive, k] > best[positive]]
        best[wins] = overlap[wins, k]
        label[wins] = 1
        target_box[wins] = boxes[k]
        target_keypoints[wins] = keypoints[k].ravel()
    return label, target_box, target_keypoints
