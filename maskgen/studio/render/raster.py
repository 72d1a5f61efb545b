"""Triangles to pixels: what is nearest at each sample, and how samples become a picture.

Convention
----------
Vertices are (x, y, depth) in pixels, (0, 0) the centre of the top-left pixel; the greater depth is nearer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from maskgen.arrays import Float32Array, Float64Array, IntArray

# Candidates looked at in one go; bounds memory.
_BATCH: Final = 2_000_000
_WINDOWS: Final = (2, 3, 4, 6, 9, 14, 24, 48, 96, 200, 400, 1200, 4000)

Floats = TypeVar("Floats", Float32Array, Float64Array)


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
    least, greatest = boxes(corners[:, :, :2])
    low, high = np.ceil(least).astype(np.int64), np.floor(greatest).astype(np.int64)
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


def boxes(corners: Floats) -> tuple[Floats, Floats]:
    """(T, D) least and greatest coordinates of triangles (T, 3, D)."""
    # Much faster than to reduce an axis of three.
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    return np.asarray(np.minimum(np.minimum(a, b), c)), np.asarray(np.maximum(np.maximum(a, b), c))


def _candidates(
    corners: Float32Array, low: IntArray, window: tuple[int, int], size_wh: tuple[int, int]
) -> tuple[IntArray, Float32Array, Float32Array, IntArray]:
    """The covered pixels of a batch of triangles: flat index, depth, barycentric coordinates, row in the batch."""
    width, height = size_wh
    across, down = np.arange(window[0], dtype=np.float32)[None], np.arange(window[1], dtype=np.float32)[None]
    # Seen from the window's first pixel, coordinates are small and single precision will do.
    near = corners[:, :, :2] - low[:, None].astype(np.float32)
    (ax, ay), (bx, by), (cx, cy) = (near[:, k].T[..., None] for k in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Each coordinate is what the column gives and what the row gives.
        wb = ((across - ax) * ((cy - ay) / area))[:, None, :] - ((down - ay) * ((cx - ax) / area))[:, :, None]
        wc = ((down - ay) * ((bx - ax) / area))[:, :, None] - ((across - ax) * ((by - ay) / area))[:, None, :]
        wa = 1 - wb - wc
    # A hair of overlap, so that no sample falls between two neighbours.
    owner, row, column = np.nonzero((wa >= -1e-4) & (wb >= -1e-4) & (wc >= -1e-4))
    bary = np.stack([weight[owner, row, column] for weight in (wa, wb, wc)], axis=1)
    x, y = low[owner, 0] + column, low[owner, 1] + row
    on_screen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
    x, y, owner, bary = x[on_screen], y[on_screen], owner[on_screen], bary[on_screen]
    za, zb, zc = corners[owner, :, 2].T
    # What faces the viewer squarely is equally deep all over.
    z = za + bary[:, 1] * (zb - za) + bary[:, 2] * (zc - za)
    return y * width + x, z, bary, owner


def interpolate(fragments: Fragments, triangles: IntArray, values: Float64Array) -> Float32Array:
    """Vertex values (V, D) at every sample, (H, W, D); zero where there is nothing."""
    height, width = fragments.triangle.shape
    result = np.zeros((height, width, values.shape[1]), np.float32)
    hit = fragments.triangle >= 0
    corners, weights, single = triangles[fragments.triangle[hit]], fragments.weights[hit], values.astype(np.float32)
    # One corner after the other: (N, 3, D) at once is slower.
    total = single[corners[:, 0]] * weights[:, :1]
    for corner in (1, 2):
        total += single[corners[:, corner]] * weights[:, corner : corner + 1]
    result[hit] = total
    return result


def average(samples: Float32Array, factor: int) -> Float32Array:
    """(H * factor, W * factor, D) samples averaged to (H, W, D)."""
    total = np.zeros_like(samples[::factor, ::factor])
    for down in range(factor):
        for across in range(factor):
            total += samples[down::factor, across::factor]
    return np.asarray(total * np.float32(1 / factor**2), np.float32)
