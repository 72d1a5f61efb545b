"""A mask on a plain background, cut out."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from maskgen.arrays import BoolArray, Image
from maskgen.errors import CatalogError

# CIELAB distance (as OpenCV scales it) between the background and what is surely not background.
_BACKGROUND: Final = 14.0
_PLAIN_BORDER: Final = 10.0
_REMEDY: Final = "cut the mask out (transparent PNG)"


def foreground(image: Image) -> BoolArray:
    """(H, W) where an opaque picture shows something before a plain background.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.

    Raises
    ------
    CatalogError
        If the background is not plain, or nothing stands out from it.
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), 1.0), cv2.COLOR_RGB2LAB).astype(np.float32)
    border = np.concatenate(
        [lab[:2].reshape(-1, 3), lab[-2:].reshape(-1, 3), lab[:, :2].reshape(-1, 3), lab[:, -2:].reshape(-1, 3)]
    )
    background = np.median(border, axis=0)
    if float(np.percentile(np.linalg.norm(border - background, axis=1), 90)) > _PLAIN_BORDER:
        raise CatalogError("the background is not plain, or the mask fills the frame", _REMEDY)
    far = np.linalg.norm(lab - background, axis=-1)
    likely = far > _BACKGROUND / 2
    if not 0.005 < likely.mean() < 0.98:
        raise CatalogError("nothing stands out from the background", _REMEDY)
    likely = without_specks(likely)
    trimap = np.where(likely, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    trimap[far < _BACKGROUND / 6] = cv2.GC_BGD
    inside = distance_transform_edt(likely)
    trimap[inside > 0.02 * max(likely.shape)] = cv2.GC_FGD
    trimap[[0, -1]] = trimap[:, [0, -1]] = cv2.GC_BGD
    scale = min(400 / max(image.shape[:2]), 1.0)
    size_wh = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    small_trimap = cv2.resize(trimap, size_wh, interpolation=cv2.INTER_NEAREST)
    if not ((small_trimap == cv2.GC_FGD).any() and (small_trimap == cv2.GC_BGD).any()):
        return likely
    # GrabCut samples its mixtures from OpenCV's own generator: seeded, or the same picture may give other views.
    cv2.setRNGSeed(0)
    cv2.grabCut(small, small_trimap, None, np.zeros((1, 65)), np.zeros((1, 65)), 3, cv2.GC_INIT_WITH_MASK)
    cut = np.isin(small_trimap, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.float32)
    cut = cv2.resize(cut, image.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    # GrabCut may only move the edge. Where it takes much away, mask and background have similar colours.
    both = cut & likely
    return without_specks(both if both.sum() > 0.9 * likely.sum() else likely)


def without_background(image: Image) -> Image:
    """RGBA (H, W, 4): the foreground of an RGB picture, with a soft edge; raises as `foreground`."""
    # Half a pixel inwards: the outermost pixels are mixed with the background.
    inner = cv2.erode(foreground(image).astype(np.uint8) * 255, np.ones((3, 3), np.uint8))
    alpha = cv2.GaussianBlur(inner, (0, 0), 0.8)
    rgba: Image = np.dstack([image, alpha])
    rgba[alpha == 0] = 0
    return rgba


def _filled_holes(region: BoolArray) -> BoolArray:
    outside = np.pad(region, 1).astype(np.uint8)
    cv2.floodFill(outside, None, (0, 0), 2)
    return np.asarray(outside[1:-1, 1:-1] != 2)


def without_specks(region: BoolArray) -> BoolArray:
    """The region with its small holes filled, which are marks on the mask; those that ear loops enclose stay."""
    holes = _filled_holes(region) & ~region
    count, labels, stats, _ = cv2.connectedComponentsWithStats(holes.astype(np.uint8), connectivity=4)
    small = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] < 0.015 * region.sum()]
    return np.asarray(region | np.isin(labels, small))
