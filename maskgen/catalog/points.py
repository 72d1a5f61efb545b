"""Whether control points can carry a mask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Final

import numpy as np

from maskgen.catalog.schema import Corner

# Points further than this many times the picture's longer side from the picture are a mistake.
_REACH: Final = 10
# Closer points than this are one, pixels.
_SAME: Final = 0.01
# Points that deviate no more than this from a line lie on it: the root of the sum of squares, pixels.
_LINE: Final = 1.0
_MOST_NAMED: Final = 5


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


def _lies(coordinate: float, size: int, reach: float) -> bool:
    return -reach <= coordinate <= size + reach


def _named(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:_MOST_NAMED])
    if len(names) > _MOST_NAMED:
        shown += f" and {len(names) - _MOST_NAMED} more"
    return f"control point {shown} lies" if len(names) == 1 else f"control points {shown} lie"
