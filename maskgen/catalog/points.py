"""Whether control points can carry a mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np

from maskgen.arrays import Float32Array, Float64Array, Image
from maskgen.catalog.schema import Corner
from maskgen.names import some_of

if TYPE_CHECKING:
    from scipy.spatial import Delaunay

# Points further than this many times the picture's longer side from the picture are a mistake.
_REACH: Final = 10
# Closer points than this are one, pixels.
_SAME: Final = 0.01
# Points that deviate no more than this from a line lie on it: the root of the sum of squares, pixels.
_LINE: Final = 1.0
_MOST_NAMED: Final = 5
# Above this alpha, of 255, a pixel shows the mask.
_CLOTH: Final = 76
# How many points of the mask are looked at.
_SAMPLE: Final = 4000
# So much of a mask may lie outside its control points: soft edges do.
_MOST_OUTSIDE: Final = 0.05


def faults_of_points(points: Mapping[str, tuple[float, float]], size_wh: tuple[int, int]) -> Iterator[str]:
    """Why control points cannot carry a mask, one sentence per fault; none if they can.

    Parameters
    ----------
    points : dict
        Control point -> (x, y), pixels, all finite.
    size_wh : tuple of 2 ints
        Of the picture that they lie on, pixels.
    """
    reach = _REACH * max(size_wh)
    far = [name for name, (x, y) in points.items() if not (_lies(x, size_wh[0], reach) and _lies(y, size_wh[1], reach))]
    if far:
        yield f"{_named(far)} outside the picture by more than {_REACH} times its size"
        return
    # Equal points have their neighbours in the same cell of a grid, or in the next one.
    cells = defaultdict[tuple[int, int], list[str]](list)
    for name, (x, y) in points.items():
        cells[round(x / _SAME), round(y / _SAME)].append(name)
    for names in cells.values():
        if len(names) > 1:
            yield f"{_named(names)} at the same place"
    places = np.array(list(points.values()), np.float64)
    if np.linalg.matrix_rank(places - places.mean(axis=0), tol=_LINE) < 2:
        yield f"{_named(list(points))} on one line"


def faults_of_fastenings(fastenings: Mapping[Corner, tuple[float, float]], size_wh: tuple[int, int]) -> Iterator[str]:
    """Why straps cannot be drawn from these places (x, y) in a picture of a size, pixels, one sentence per fault."""
    reach = max(size_wh)
    for name, (x, y) in fastenings.items():
        if not (_lies(x, size_wh[0], reach) and _lies(y, size_wh[1], reach)):
            yield f"fastening {name!r} lies outside the picture by more than its size"


def faults_of_placing(points: Mapping[str, tuple[float, float]], size_wh: tuple[int, int]) -> Iterator[str]:
    """Why points cannot have been placed by hand on a picture of a size, pixels, one sentence per fault."""
    width, height = size_wh
    # The edges of a picture lie half a pixel outside the centres of its outer pixels.
    out = [name for name, (x, y) in points.items() if not (-0.5 <= x <= width - 0.5 and -0.5 <= y <= height - 0.5)]
    if out:
        yield f"{_named(out)} outside the picture of {width} x {height} pixels"


def triangulation_of(points: Float32Array) -> Delaunay | None:
    """The triangulation of control points (K, 2), pixels; None if nothing lies between them."""
    from scipy.spatial import Delaunay, QhullError  # late: it takes half of the time that loading a catalog does

    try:
        return Delaunay(points)
    except (QhullError, ValueError):
        return None


def places_of_cloth(alpha: Image) -> Float64Array:
    """(N, 2) points (x, y) of a picture that show the mask, a few thousand of them, by its alpha (H, W) uint8."""
    places = np.argwhere(alpha > _CLOTH)[:, ::-1].astype(np.float64)
    return places[:: max(len(places) // _SAMPLE, 1)]


def faults_of_reach(points: Mapping[str, tuple[float, float]], cloth: Float64Array) -> Iterator[str]:
    """Whether a mask reaches beyond its control points, where it is never drawn; one sentence if it does.

    Parameters
    ----------
    points : dict
        Control point -> (x, y), pixels.
    cloth : (N, 2) array
        As `places_of_cloth`.
    """
    triangulation = triangulation_of(np.array(list(points.values()), np.float32))
    if triangulation is None:
        yield "nothing lies between the control points"
    elif len(cloth) and (outside := float((triangulation.find_simplex(cloth, tol=1e-6) < 0).mean())) > _MOST_OUTSIDE:
        yield f"{outside:.0%} of the mask lies outside its control points and is never drawn"


def _lies(coordinate: float, size: int, reach: float) -> bool:
    return -reach <= coordinate <= size + reach


def _named(names: list[str]) -> str:
    shown = some_of(map(repr, names), _MOST_NAMED)
    return f"control point {shown} lies" if len(names) == 1 else f"control points {shown} lie"
