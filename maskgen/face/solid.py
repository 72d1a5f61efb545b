"""The mean head as a solid: its face with a skull, a jaw and a neck behind it.

Convention
----------
The frame of `maskgen.face.head`: millimetres, x to image right, y down, z towards the viewer. Directions round the
head are angles about a vertical axis behind the face, degrees, 0 towards the viewer, positive to image right.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Final

import numpy as np
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import gaussian_filter, maximum_filter

from maskgen.arrays import Float64Array
from maskgen.face.head import AXIS_Z_MM, mean_head

# The grid of the head's radius: full turn by height.
_ANGLE_STEP_DEG: Final = 2.0
_HEIGHT_STEP_MM: Final = 1.5
_TOP_MM: Final = -95.0
_BOTTOM_MM: Final = 215.0
# Degrees to millimetres for the spline that is laid through the head, about the arc at the cheek.
ARC_MM_PER_DEG: Final = 1.5

# What the landmark mesh does not reach, image right: side and back of the head, jaw angle, underside of the jaw, neck.
_SKULL: Final = (
    *((73.0, y, -85.0) for y in (-60.0, -30.0, 0.0, 25.0, 45.0)),
    *((70.0, y, -115.0) for y in (-60.0, -20.0, 20.0, 50.0)),
    *((52.0, y, -155.0) for y in (-60.0, -20.0, 20.0, 60.0)),
    *((0.0, y, -180.0) for y in (-60.0, -20.0, 20.0)),
    *((64.0, y, -20.0) for y in (-75.0, -95.0)),
    *((40.0, y, 2.0) for y in (-75.0, -95.0)),
    *((0.0, y, 8.0) for y in (-75.0, -95.0)),
    (70.0, 62.0, -60.0),
    (65.0, 80.0, -60.0),
    (58.0, 96.0, -54.0),
    (45.0, 109.0, -38.0),
    (0.0, 123.0, 6.0),
    (0.0, 128.0, -6.0),
    (0.0, 134.0, -20.0),
    (22.0, 122.0, -8.0),
    (22.0, 130.0, -24.0),
    (40.0, 120.0, -36.0),
    *((0.0, y, -30.0 - 0.05 * (y - 150)) for y in (148.0, 175.0, 215.0)),
    *((36.0, y, -46.0) for y in (140.0, 160.0, 180.0, 215.0)),
    *((55.0, y, -84.0) for y in (100.0, 125.0, 150.0, 180.0, 215.0)),
    *((40.0, y, -124.0) for y in (100.0, 125.0, 150.0, 180.0, 215.0)),
    *((0.0, y, -140.0) for y in (100.0, 125.0, 150.0, 180.0, 215.0)),
)


@dataclass(frozen=True)
class Solid:
    """The mean head, closed all round: its distance from the vertical axis, direction by direction.

    Attributes
    ----------
    radius : (H, A) array
        Millimetres; rows are heights from the top, columns directions from -180 degrees.
    """

    radius: Float64Array

    @cached_property
    def _with_slopes(self) -> Float64Array:
        """(H, A, 3) radius, how fast it grows downwards, per millimetre, and round the head, per radian."""
        down = np.gradient(self.radius, axis=0) / _HEIGHT_STEP_MM
        return np.stack([self.radius, down, np.gradient(self.radius, axis=1) / np.radians(_ANGLE_STEP_DEG)], axis=-1)

    def radius_at(self, angle_deg: Float64Array, height: Float64Array) -> Float64Array:
        """Distance of the skin from the axis, millimetres."""
        return _sample(self.radius, angle_deg, height)

    def on_skin(self, angle_deg: Float64Array, height: Float64Array) -> Float64Array:
        """(..., 3) points of the skin."""
        return _from_cylinder(angle_deg, height, self.radius_at(angle_deg, height))

    def bridged(self, reach_mm: float) -> Solid:
        """The solid that stiff cloth lies on: it spans hollows that are narrower than its reach, beside the nose.

        Below the mouth it spans nothing, because cloth is drawn close under the chin.
        """
        rows = max(round(reach_mm / _HEIGHT_STEP_MM), 1)
        columns = max(round(np.degrees(reach_mm / 120) / _ANGLE_STEP_DEG), 1)
        swollen = maximum_filter(self.radius, (2 * rows + 1, 2 * columns + 1), mode="nearest")
        bridge = gaussian_filter(swollen, (rows, columns), mode="nearest") - reach_mm / 3
        heights = _TOP_MM + _HEIGHT_STEP_MM * np.arange(len(self.radius))[:, None]
        share = np.clip((95 - heights) / 35, 0, 1)
        return Solid(self.radius + share * np.maximum(bridge - self.radius, 0))

    def smoothed(self, reach_mm: float) -> Solid:
        """The solid without details that are smaller than a reach."""
        rows, columns = reach_mm / _HEIGHT_STEP_MM, float(np.degrees(reach_mm / 120)) / _ANGLE_STEP_DEG
        return Solid(gaussian_filter(self.radius, (rows, columns), mode=("nearest", "wrap")))

    def distance(self, points: Float64Array) -> tuple[Float64Array, Float64Array]:
        """How far points stand off the skin, and the way out.

        Parameters
        ----------
        points : (..., 3) array

        Returns
        -------
        (...) array
            Millimetres, negative inside; exact to first order near the skin.
        (..., 3) array
            Unit vectors away from the skin.
        """
        x, y, z = points[..., 0], points[..., 1], points[..., 2] - AXIS_Z_MM
        angle, radius = np.degrees(np.arctan2(x, z)), np.hypot(x, z)
        skin, per_height, per_arc = np.moveaxis(_sample(self._with_slopes, angle, y), -1, 0)
        per_arc = per_arc / radius
        sine, cosine = x / radius, z / radius
        gradient = np.stack([sine - per_arc * cosine, -per_height, cosine + per_arc * sine], axis=-1)
        steepness = np.linalg.norm(gradient, axis=-1)
        return (radius - skin) / steepness, gradient / steepness[..., None]

    def surface(self, inset_mm: float) -> Float64Array:
        """(H, A, 3) points of its grid, moved towards the axis."""
        heights, angles = self.radius.shape
        grid = np.meshgrid(np.arange(angles) * _ANGLE_STEP_DEG - 180, np.arange(heights) * _HEIGHT_STEP_MM + _TOP_MM)
        return _from_cylinder(grid[0], grid[1], self.radius - inset_mm)


@cache
def head_solid() -> Solid:
    """The mean head with a skull, jaw and neck laid behind its face by a smoothing spline."""
    side = np.array(_SKULL)
    known = np.concatenate([mean_head().vertices.astype(np.float64), side, side[side[:, 0] > 0] * [-1, 1, 1]])
    angle = np.degrees(np.arctan2(known[:, 0], known[:, 2] - AXIS_Z_MM))
    radius = np.hypot(known[:, 0], known[:, 2] - AXIS_Z_MM)
    # The back of the head is one place, at +180 and at -180 degrees: points near it are given on both sides.
    behind = np.abs(angle) > 90
    angle = np.concatenate([angle, angle[behind] - 360 * np.sign(angle[behind] + 1e-9)])
    height, radius = np.concatenate([known[:, 1], known[behind, 1]]), np.concatenate([radius, radius[behind]])
    places = np.round(np.stack([angle * ARC_MM_PER_DEG, height], axis=1), 3)
    places, first = np.unique(places, axis=0, return_index=True)
    spline = RBFInterpolator(places, radius[first], smoothing=2.0)
    angles = np.arange(-180, 180 + _ANGLE_STEP_DEG / 2, _ANGLE_STEP_DEG)
    heights = np.arange(_TOP_MM, _BOTTOM_MM + _HEIGHT_STEP_MM / 2, _HEIGHT_STEP_MM)
    grid = np.stack(np.meshgrid(angles * ARC_MM_PER_DEG, heights), axis=-1)
    field = spline(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    return Solid((field + field[:, ::-1]) / 2)


def _sample(field: Float64Array, angle_deg: Float64Array, height: Float64Array) -> Float64Array:
    """(...) or (..., K) values of a field (H, A) or (H, A, K) between its places; beyond its edge those at the edge."""
    # In NumPy, because SciPy's `map_coordinates` takes one field at a time.
    rows, columns = field.shape[:2]
    down = np.clip((height - _TOP_MM) / _HEIGHT_STEP_MM, 0, rows - 1)
    round_head = np.clip((angle_deg + 180) / _ANGLE_STEP_DEG, 0, columns - 1)
    down, round_head = np.broadcast_arrays(down, round_head)
    row, column = (np.minimum(at.astype(np.intp), last) for at, last in ((down, rows - 2), (round_head, columns - 2)))
    v, u = down - row, round_head - column
    flat = field.reshape(rows * columns, *field.shape[2:])
    index = row * columns + column
    if field.ndim > 2:
        v, u = v[..., None], u[..., None]
    upper = flat[index] * (1 - u) + flat[index + 1] * u
    lower = flat[index + columns] * (1 - u) + flat[index + columns + 1] * u
    values: Float64Array = upper * (1 - v) + lower * v
    return values


def _from_cylinder(angle_deg: Float64Array, height: Float64Array, radius: Float64Array) -> Float64Array:
    angle = np.radians(angle_deg)
    return np.stack(
        np.broadcast_arrays(radius * np.sin(angle), height, radius * np.cos(angle) + AXIS_Z_MM), axis=-1
    ).astype(np.float64)
