"""The ROC of a report: few enough points to be kept in a file, enough to be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from maskgen.evaluate.figures import Roc
from maskgen.evaluate.results import ConditionReport

MOST_POINTS: Final = 200


def with_roc(reports: Sequence[ConditionReport], curves: Sequence[Roc]) -> list[ConditionReport]:
    """Reports that hold the points of their curves."""
    return [report.model_copy(update={"roc": points_of(curve)}) for report, curve in zip(reports, curves, strict=True)]


def points_of(curve: Roc) -> tuple[tuple[float, float], ...]:
    """(FAR, TAR) at most `MOST_POINTS` times, all of them on the curve, its two ends among them.

    They lie as close to each other in the logarithm of FAR everywhere; each has the highest TAR of its FAR.
    """
    far, tar = curve.far, curve.tar
    # The last point of each FAR; (0, 0) is an end.
    places = np.append(0, np.flatnonzero(np.append(far[1:] != far[:-1], True)))
    if len(places) > MOST_POINTS:
        lowest = far[far > 0].min()
        wanted = np.geomspace(lowest, 1, MOST_POINTS - 2)
        places = np.concatenate(([0], np.searchsorted(far, [0, *wanted], "right") - 1))
    return tuple((float(far[place]), float(tar[place])) for place in np.unique(places))
