"""Boxes around faces: xyxy, pixels."""

from __future__ import annotations

import numpy as np

from maskgen.arrays import Float32Array


def iou_matrix(a: Float32Array, b: Float32Array) -> Float32Array:
    """(N, M) intersection over union of xyxy boxes (N, 4) and (M, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.prod(np.clip(high - low, 0, None), axis=2)
    areas = np.prod(a[:, 2:] - a[:, :2], axis=1)[:, None] + np.prod(b[:, 2:] - b[:, :2], axis=1)[None]
    result: Float32Array = shared / np.maximum(areas - shared, 1e-6)
    return result
