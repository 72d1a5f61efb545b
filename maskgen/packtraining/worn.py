"""Faces that wear a mask, for networks to learn from: as maskgen masks them, and painted crudely."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from functools import lru_cache
from itertools import islice
from multiprocessing import get_context
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image, IntArray
from maskgen.catalog.store import Catalog
from maskgen.face import Face
from maskgen.face.landmarks import bbox_of_points, keypoints_of
from maskgen.face.pose import pose_from_68
from maskgen.masking.augment import mask_faces, observe
from maskgen.masking.recipe import Recipe
from maskgen.packtraining.data import LandmarkSet

_PART: Final = 64  # crops that a process masks at a time
_RECIPE: Final = Recipe(recolor_share=0.25)
_PAINTED: Final = 0.3


def paint_mask(crop: Image, points: Float32Array, rng: np.random.Generator) -> Image:
    """A crude mask over the lower face, so that the network learns to find faces that wear one."""
    top = rng.uniform(27.2, 30.0) if rng.random() < 0.85 else rng.uniform(30.0, 33.0)
    upper = points[int(top)] + (points[int(top) + 1] - points[int(top)]) * (top % 1) if top < 30 else points[33]
    first = int(rng.integers(1, 4))
    jaw = points[first : 17 - first].copy()
    centre = points[[30, 33, 62]].mean(axis=0)
    jaw = centre + (jaw - centre) * rng.uniform(0.98, 1.1, (len(jaw), 1)).astype(np.float32)
    jaw[:, 1] += rng.uniform(0, 3)
    cheek = rng.uniform(0.25, 0.6)
    side_left = jaw[0] * (1 - cheek) + upper * cheek + np.array([0, rng.uniform(-1, 6)], np.float32)
    side_right = jaw[-1] * (1 - cheek) + upper * cheek + np.array([0, rng.uniform(-1, 6)], np.float32)
    outline = np.concatenate([jaw, side_right[None], upper[None], side_left[None]])
    alpha = np.zeros(crop.shape[:2], np.uint8)
    cv2.fillPoly(alpha, [np.round(outline * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    if rng.random() < 0.5:
        alpha = cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(0.5, 1.5)))
    colour = _mask_colour(rng)
    layer = np.broadcast_to(colour, crop.shape).astype(np.float32)
    grey = cv2.GaussianBlur(crop.astype(np.float32).mean(axis=2), (0, 0), float(rng.uniform(4, 12)))
    shading = grey / max(float(grey[alpha > 0].mean()) if (alpha > 0).any() else 1.0, 1.0)
    strength = float(rng.uniform(0, 1))
    layer = layer * np.asarray(1 - strength + strength * shading)[..., None]
    if rng.random() < 0.5:  # pleats, folds, prints
        rows = np.arange(crop.shape[0])[:, None] * math.cos(a := rng.uniform(-0.5, 0.5))
        wave = np.sin((rows + np.arange(crop.shape[1])[None] * math.sin(a)) * rng.uniform(0.2, 1.5))
        layer = layer * (1 + rng.uniform(0, 0.2) * wave[..., None])
    if rng.random() < 0.3:
        layer = layer + rng.normal(0, rng.uniform(2, 25), crop.shape)
    opacity = (alpha.astype(np.float32) / 255)[..., None]
    return np.clip(crop * (1 - opacity) + layer * opacity, 0, 255).astype(np.uint8)


def wear_mask(crop: Image, points: Float32Array, catalog: Catalog, rng: np.random.Generator) -> Image:
    """The crop as ``maskgen augment`` would mask it; painted crudely now and then, and where no view fits the pose."""
    if rng.random() < _PAINTED:
        return paint_mask(crop, points[:, :2], rng)
    face = Face(bbox_of_points(points), keypoints_of(points), points, pose_from_68(points))
    masked = mask_faces(crop, [face], [observe(crop, face)], catalog, rng, _RECIPE)
    return masked.image if masked.is_masked else paint_mask(crop, points[:, :2], rng)


def _mask_colour(rng: np.random.Generator) -> Float32Array:
    common = np.array([[140, 190, 220], [235, 235, 235], [30, 30, 32], [120, 180, 160], [200, 160, 170]], np.float32)
    if rng.random() < 0.7:
        return np.clip(common[rng.integers(len(common))] + rng.normal(0, 20, 3), 0, 255).astype(np.float32)
    return rng.uniform(0, 255, 3).astype(np.float32)


class Worn:
    """Crops of faces that wear masks, made by other processes while the network learns.

    Parameters
    ----------
    faces : LandmarkSet
        Bare faces.
    rows : (R,) int array
        The faces to mask.
    copies : int
        How often to mask each, differently.
    workers : int
        Processes.
    """

    def __init__(self, faces: LandmarkSet, rows: IntArray, copies: int, workers: int) -> None:
        self._faces, self._most = faces, 2 * workers
        parts = np.array_split(rows, max(len(rows) // _PART, 1))
        self._waiting = iter([(copy, part) for copy in range(copies) for part in parts])
        # Spawned: where OpenCV has used several threads, it hangs in a forked process.
        self._pool = ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,))
        self._coming: deque[tuple[int, IntArray, Future[Image]]] = deque()
        self._order()

    def finished(self, wait: bool = False) -> Iterator[tuple[int, IntArray, Image]]:
        """What is finished and was not given before, in order: the copy's number, the rows, their crops."""
        while self._coming and (wait or self._coming[0][2].done()):
            copy, rows, made = self._coming.popleft()
            self._order()
            yield copy, rows, made.result()

    def end(self) -> None:
        """Let the processes end; what they have not begun is not made."""
        self._pool.shutdown(cancel_futures=True)

    def _order(self) -> None:
        """Keep the processes busy, without a copy of all crops on its way to them."""
        for copy, rows in islice(self._waiting, self._most - len(self._coming)):
            made = self._pool.submit(masked_crops, self._faces.crops[rows], self._faces.points_68[rows], rows, copy)
            self._coming.append((copy, rows, made))


def masked_crops(crops: Image, points: Float32Array, rows: IntArray, copy: int) -> Image:
    """Crops (R, 128, 128, 3) in masks; those of other copies, or of faces of other rows, wear others."""
    chances = (np.random.default_rng((copy, int(row))) for row in rows)
    each = zip(crops, points, chances, strict=True)
    return np.stack([wear_mask(crop, p68, _catalog(), rng) for crop, p68, rng in each])


@lru_cache(maxsize=1)
def _catalog() -> Catalog:
    return Catalog.load()
