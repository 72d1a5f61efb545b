"""Charts as numbers that a template draws as SVG.

Convention
----------
Places are in the chart's own units: a chart of bars is 100 wide, a chart of lines 600 by 220.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 600
HEIGHT: Final = 220
_TICKS: Final = 4
# More points than a chart has pixels across show nothing more.
_MOST_POINTS: Final = 600


@dataclass(frozen=True)
class Bar:
    """A bar: what it counts, how many, and its length, 0 to 100."""

    label: str
    number: int
    length: float


@dataclass(frozen=True)
class Bars:
    """Bars under each other."""

    title: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Tick:
    """A label and where it stands along an axis."""

    place: float
    label: str


@dataclass(frozen=True)
class Line:
    """A line: its name, its points as SVG wants them, and a number from 0 for its colour."""

    name: str
    points: str
    colour: int


@dataclass(frozen=True)
class Lines:
    """Lines over one axis."""

    title: str
    x_title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def bars(title: str, counts: Sequence[tuple[str, int]]) -> Bars:
    """Bars as long as what they count; the longest takes all the room."""
    most = max((number for _, number in counts), default=0)
    return Bars(title, tuple(Bar(label, number, round(100 * number / most, 2)) for label, number in counts if most))


def lines(
    title: str,
    x_title: str,
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    log_x: bool = False,
    y_range: tuple[float, float] | None = None,
) -> Lines:
    """Lines through points (x, y); points that are no finite numbers are left out.

    Parameters
    ----------
    series : sequence of (name, points)
        The lines.
    log_x : bool
        Whether the horizontal axis is logarithmic; points at x <= 0 are left out then.
    y_range : (float, float), optional
        What the vertical axis spans; by default what the points do.
    """
    drawn = [(name, _thinned(_drawable(points, log_x))) for name, points in series]
    every = [point for _, points in drawn for point in points]
    if not every:
        return Lines(title, x_title, (), (), ())
    across = _span([x for x, _ in every])
    down = y_range or _span([y for _, y in every])

    def placed(x: float, y: float) -> tuple[float, float]:
        return (
            round(WIDTH * (x - across[0]) / (across[1] - across[0]), 1),
            round(HEIGHT * (1 - (y - down[0]) / (down[1] - down[0])), 1),
        )

    def labelled(value: float) -> str:
        return f"{10**value if log_x else value:.3g}"

    return Lines(
        title,
        x_title,
        tuple(
            Line(name, " ".join(f"{x},{y}" for x, y in (placed(*point) for point in points)), number)
            for number, (name, points) in enumerate(drawn)
        ),
        tuple(Tick(placed(x, down[0])[0], labelled(x)) for x in _ticks(across)),
        tuple(Tick(placed(across[0], y)[1], f"{y:.3g}") for y in _ticks(down)),
    )


def _drawable(points: Sequence[tuple[float, float]], log_x: bool) -> list[tuple[float, float]]:
    finite = [(x, y) for x, y in points if math.isfinite(x) and math.isfinite(y)]
    return [(math.log10(x), y) for x, y in finite if x > 0] if log_x else finite


def _thinned(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Of very many points the means of neighbours."""
    step = math.ceil(len(points) / _MOST_POINTS)
    if step <= 1:
        return points
    groups = [points[start : start + step] for start in range(0, len(points), step)]
    return [(sum(x for x, _ in group) / len(group), sum(y for _, y in group) / len(group)) for group in groups]


def _span(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _ticks(span: tuple[float, float]) -> list[float]:
    return [span[0] + (span[1] - span[0]) * step / _TICKS for step in range(_TICKS + 1)]
