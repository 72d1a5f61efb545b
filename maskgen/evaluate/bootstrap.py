"""Intervals of figures: the people are drawn again, and pairs follow.

Pairs that share a person are not independent, so pairs are not what is drawn. As many people as there are are drawn
with replacement; a genuine pair then counts as often as its person, an impostor pair as often as one of its people
times the other. Each figure is computed anew, thresholds and folds too. The ends of an interval are percentiles.

Where errors are very rare such intervals are too short: without a single false match, no resample has one either.

References
----------
T. A. B. Snijders, S. P. Borgatti, "Non-parametric standard errors and tests for network statistics", Connections 22(2),
1999: the vertex bootstrap. R. Fogliato, P. Patil, P. Perona, "Confidence Intervals for Error Rates in 1:1 Matching
Tasks: Critical Statistical Analysis and Recommendations", IJCV, 2024: how well it covers. B. Efron, R. Tibshirani, "An
Introduction to the Bootstrap", 1993, chapter 13: percentiles.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskgen.arrays import IntArray
from maskgen.evaluate import figures
from maskgen.evaluate.figures import Int32Array, Roc, Scored
from maskgen.evaluate.results import Figures
from maskgen.plural import counted

LEVEL: Final = 0.95
PEOPLE_NEEDED: Final = 10

Intervals = dict[str, tuple[float, float]]


@dataclass(frozen=True)
class Resampling:
    """How people are drawn.

    Attributes
    ----------
    people : (2, P) int32 array
        The two people of each pair, numbered from 0, every one of them in some pair; the same in genuine pairs.
    number : int
        How many people there are.
    resamples : int
        How often they are drawn.
    seed : int
        The same people are drawn for every model and condition.
    """

    people: Int32Array
    number: int
    resamples: int
    seed: int = 0

    @classmethod
    def of(cls, first: IntArray, second: IntArray, resamples: int, seed: int = 0) -> Resampling:
        """For pairs (P,) of people, whatever their numbers."""
        places = np.zeros(int(max(first.max(), second.max())) + 1, np.int32)
        places[first] = places[second] = 1
        number = int(places.sum())
        places = np.cumsum(places, dtype=np.int32) - 1
        return cls(np.stack([places[first], places[second]]), number, resamples, seed)

    @property
    def reason(self) -> str | None:
        """Why there can be no intervals."""
        if self.number < PEOPLE_NEEDED:
            return f"{counted(self.number, 'person', 'people')}, {PEOPLE_NEEDED} needed"
        return None

    def weights(self) -> Iterator[Int32Array]:
        """How often each pair (P,) counts, in each resample."""
        first, second = self.people
        is_one = first == second
        for resample in range(self.resamples):
            drawn = np.random.default_rng([self.seed, resample]).integers(0, self.number, self.number)
            times = np.bincount(drawn, minlength=self.number).astype(np.int32)
            weights = times[first]
            yield np.where(is_one, weights, weights * times[second])


def intervals(
    found: Figures,
    scored: Scored,
    bare: Scored,
    resampling: Resampling,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Intervals:
    """The intervals of the figures that are given.

    Parameters
    ----------
    found : Figures
        Of all pairs; a rate that is refused has no interval.
    scored, bare : Scored
        The pairs under a mask condition, and unmasked: these set a threshold anew in each resample.
    resampling : Resampling
        With people enough, see `Resampling.reason`.
    on_progress : callable
        Gets the number of resamples done, and of all.
    """
    drawn = defaultdict[str, list[float]](list)
    for number, weights in enumerate(resampling.weights(), start=1):
        on_progress(number, resampling.resamples)
        is_genuine = resampling.people[0] == resampling.people[1]
        # With neither, or only one kind of pairs, nothing can be measured.
        if not weights[is_genuine].any() or not weights[~is_genuine].any():
            continue
        curve = scored.roc(weights)
        accuracies = scored.accuracies(weights)
        if accuracies is not None:
            drawn["accuracy"].append(float(np.nanmean(accuracies)))
        for name, value in _of_curve(found, curve, curve if scored is bare else bare.roc(weights)).items():
            # That of unmasked pairs is set, not found.
            if name != "fmr" or scored is not bare:
                drawn[name].append(value)
    tail = (1 - LEVEL) / 2
    ends = {name: np.quantile(values, (tail, 1 - tail)) for name, values in drawn.items()}
    return {name: (float(low), float(high)) for name, (low, high) in ends.items()}


def _of_curve(found: Figures, curve: Roc, bare: Roc) -> dict[str, float]:
    """The figures that an ROC gives, by name."""
    values = {"auc": figures.area(curve), "eer": figures.equal_error_rate(curve)}
    # The pairs are as many as before, and so is what they support.
    impostors = found.impostor
    for rate in found.tar_at_far:
        if rate.rate is not None:
            values[f"tar@{rate.far:g}"] = figures.tar_at(curve, rate.far, impostors).rate or 0.0
    for name, rate in (("fmr100", found.fmr100), ("fmr1000", found.fmr1000)):
        if rate.rate is not None:
            values[name] = 1 - (figures.tar_at(curve, rate.far, impostors).rate or 0.0)
    if found.at_bare is not None and found.at_bare.bare_fmr is not None:
        threshold = figures.threshold_at(bare, found.at_bare.bare_fmr)
        values["fmr"], values["fnmr"] = figures.rates_above(curve, threshold)
    return values
