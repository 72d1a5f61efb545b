"""Triangles to pixels: what is nearest at each sample, and how samples become a picture.

Convention
----------
Vertices are (x, y, depth) in pixels, (0, 0) the centre of the top-left pixel; the greater depth is nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array, Float64Array, IntArray

# Candidates looked at in one go; bounds memory.
_BATCH: Final = 2_000_000
_WINDOWS: Final = (2, 3, 4, 6, 9, 14, 24, 48, 96, 200, 400, 1200, 4000)


@dataclass(frozen=True)
class Fragments:
    """What a ray through each sample meets first.

    Attributes
    ----------
    triangle : (H, W) int array
        Index of the nearest triangle, -1 where there is none.
    weights : (H, W, 3) float32 array
        Barycentric coordinates in it.
    depth : (H, W) float32 array
        Minus infinity where there is nothing.
    """

    triangle: IntArray
    weights: Float32Array
    depth: Float32Array


def rasterise(vertices: Float64Array, triangles: IntArray, size_wh: tuple[int, int]) -> Fragments:
    """The nearest triangle at every pixel centre; both faces of a triangle show."""
    width, height = size_wh
    depth = np.full(width * height, -np.inf, np.float32)
    nearest = np.full(width * height, -1, np.int64)
    weights = np.zeros((width * height, 3), np.float32)
    corners = vertices[triangles].astype(np.float32)  # (T, 3, 3)
    low = np.ceil(corners[:, :, :2].min(axis=1)).astype(np.int64)
    high = np.floor(corners[:, :, :2].max(axis=1)).astype(np.int64)
    span = high - low + 1
    on_screen = (high >= 0).all(axis=1) & (low[:, 0] < width) & (low[:, 1] < height) & (span > 0).all(axis=1)
    # Triangles of about the same width and height together: each batch looks at one window round each of its own.
    across, down = (np.searchsorted(_WINDOWS, span[:, axis]) for axis in (0, 1))
    kind = np.where(on_screen, across * len(_WINDOWS) + down, -1)
    for number in np.flatnonzero(np.bincount(kind[on_screen])):
        chosen = np.flatnonzero(kind == number)
        window = _WINDOWS[number // len(_WINDOWS)], _WINDOWS[number % len(_WINDOWS)]
        step = max(_BATCH // (window[0] * window[1]), 1)
        for start in range(0, len(chosen), step):
            batch = chosen[start : start + step]
            pixel, z, bary, owner = _candidates(corners[batch], low[batch], window, size_wh)
            np.maximum.at(depth, pixel, z)
            won = z == depth[pixel]
            nearest[pixel[won]] = batch[owner[won]]
            weights[pixel[won]] = bary[won]
    shape = height, width
    return Fragments(nearest.reshape(shape), weights.reshape(*shape, 3), depth.reshape(shape))


def _candidates(
    corners: Float32Array, low: IntArray, window: tuple[int, int], size_wh: tuple[int, int]
) -> tuple[IntArray, Float32Array, Float32Array, IntArray]:
    """The covered pixels of a batch of triangles: flat index, depth, barycentric coordinates, row in the batch."""
    width, height = size_wh
    x = low[:, 0, None, None] + np.arange(window[0])[None, None, :]
    y = low[:, 1, None, None] + np.arange(window[1])[None, :, None]
    (ax, ay), (bx, by), (cx, cy) = (corners[:, k, :2].T[..., None, None] for k in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    with np.errstate(divide="ignore", invalid="ignore"):
        wb = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        wc = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        wa = 1 - wb - wc
    # A hair of overlap, so that no sample falls between two neighbours.
    inside = (wa >= -1e-4) & (wb >= -1e-4) & (wc >= -1e-4)
    inside &= (x >= 0) & (x < width) & (y >= 0) & (y < height)
    owner, row, column = np.nonzero(inside)
    bary = np.stack([wa[owner, row, column], wb[owner, row, column], wc[owner, row, column]], axis=1)
    z = (bary * corners[owner, :, 2]).sum(axis=1)
    pixel = y[owner, row, 0] * width + x[owner, 0, column]
    return pixel, z.astype(np.float32), bary.astype(np.float32), owner


def interpolate(fragments: Fragments, triangles: IntArray, values: Float64Array) -> Float32Array:
    """Vertex values (V, D) at every sample, (H, W, D); zero where there is nothing."""
    height, width = fragments.triangle.shape
    result = np.zeros((height, width, values.shape[1]), np.float32)
    hit = fragments.triangle >= 0
    at_corners = values[triangles[fragments.triangle[hit]]].astype(np.float32)  # (N, 3, D)
    result[hit] = (at_corners * fragments.weights[hit][..., None]).sum(axis=1)
    return result


def average(samples: Float32Array, factor: int) -> Float32Array:
    """(H * factor, W * factor, D) samples averaged to (H, W, D)."""
    height, width, depth = samples.shape
    blocks = samples.reshape(height // factor, factor, width // factor, factor, depth)
    return np.asarray(blocks.mean(axis=(1, 3), dtype=np.float32))
