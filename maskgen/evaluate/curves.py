"""The ROC of a report: few enough points to be kept in a file, enough to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from maskgen.evaluate.figures import Roc, thinned
from maskgen.evaluate.results import ConditionReport

MOST_POINTS: Final = 200


def with_roc(reports: Sequence[ConditionReport], curves: Sequence[Roc]) -> list[ConditionReport]:
    """Reports that hold the points of their curves."""
    return [report.model_copy(update={"roc": points_of(curve)}) for report, curve in zip(reports, curves, strict=True)]


def points_of(curve: Roc) -> tuple[tuple[float, float], ...]:
    """(FAR, TAR) at most `MOST_POINTS` times, as `thinned` leaves them."""
    few = thinned(curve, MOST_POINTS)
    return tuple(zip(few.far.tolist(), few.tar.tolist(), strict=True))
