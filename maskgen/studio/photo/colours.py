"""How alike the colours of pixels are: likelihoods and overlaps of histograms."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from maskgen.arrays import BoolArray, Float32Array, Image, IntArray

_BINS: Final = (28, 40, 40)  # L, a, b


def quantised(pixels: Image) -> IntArray:
    """(H, W) the bin of each pixel of an RGB picture (H, W, 3) in a histogram of Lab."""
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] *= (_BINS[0] - 1) / 255
    # Chroma of skin and cloth lies within a third of the range: finer bins there.
    for channel in (1, 2):
        lab[..., channel] = (lab[..., channel] - 128) / 3.2 + _BINS[channel] / 2
    index = np.clip(np.round(lab), 0, np.array(_BINS) - 1).astype(np.intp)
    flat: IntArray = (index[..., 0] * _BINS[1] + index[..., 1]) * _BINS[2] + index[..., 2]
    return flat


def likelihood(index: IntArray, weight: Float32Array, sigma: float, sigma_light: float) -> Float32Array:
    """(H, W) density of each pixel's colour among the weighted pixels."""
    histogram = np.bincount(index.ravel(), weight.ravel(), minlength=int(np.prod(_BINS))).reshape(_BINS)
    total = histogram.sum()
    if total < 1:
        return np.full(index.shape, 1e-7, np.float32)
    smooth = gaussian_filter(histogram / total, (sigma_light, sigma, sigma), mode="nearest", truncate=3)
    return np.asarray(smooth.ravel()[index] + 2e-6, np.float32)


def overlap(index: IntArray, one: BoolArray, other: BoolArray) -> float:
    """How much the colours of two regions (H, W) are the same, 0 to 1: Bhattacharyya's coefficient."""
    parts = []
    for region in (one, other):
        histogram = np.bincount(index[region], minlength=int(np.prod(_BINS))).reshape(_BINS)
        parts.append(gaussian_filter(histogram / max(histogram.sum(), 1), (3.5, 1.3, 1.3), truncate=3))
    return float(np.sqrt(parts[0] * parts[1]).sum())
