"""Scores of pairs to figures: ten-fold accuracy, AUC, TAR at FAR, EER, FMR100, FNMR at a fixed threshold, rank-1.

A score is a cosine: higher means more alike. FAR and FMR are the share of impostor pairs accepted, TAR the share of
genuine pairs accepted, FNMR the share rejected. Pairs are sorted once (`Scored`); every figure is exact, and takes
weights of the pairs, as resampling gives them.

References
----------
G. B. Huang et al., "Labeled Faces in the Wild", 2007: ten folds. ISO/IEC 19795-1: FMR, FNMR, EER. R. Cappelli et al.,
"Performance Evaluation of Fingerprint Verification Systems", PAMI 2006: FMR100, FMR1000. M. Ngan et
al., "Ongoing Face Recognition Vendor Test (FRVT) Part 6A", NISTIR 8311, 2020: one threshold for bare and masked faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, IntArray
from maskgen.evaluate.results import AtBareThreshold, Figures, RateAtFar

FloatArray = npt.NDArray[np.floating]
Int32Array = npt.NDArray[np.int32]
"""Places of pairs, of which there may be millions, and what is counted of each."""

FARS: Final = (1e-1, 1e-2, 1e-3, 1e-4)
IMPOSTORS_NEEDED: Final = 10
"""A rate at a FAR is given only if that FAR stands for at least this many impostor pairs; fewer are chance."""
BARE_FMR: Final = 1e-5
"""The FMR of unmasked pairs at which NIST fixes the threshold for masked ones."""
# InsightFace's verification tries squared distances of unit embeddings from 0 to 4 in steps of 0.01.
_DISTANCES: Final = np.arange(0, 4, 0.01)
_PART: Final = 1 << 20


class Roc(NamedTuple):
    """FAR and TAR (T,) at falling thresholds (T,), from (0, 0) to (1, 1)."""

    far: FloatArray
    tar: FloatArray
    thresholds: FloatArray


@dataclass(frozen=True)
class Scored:
    """Pairs and their scores, sorted.

    Attributes
    ----------
    order : (P,) int32 array
        Which pair comes at which place, falling by score.
    is_same : (P,) bool array
        Whether the pairs show one person, in this order.
    ends : (T,) int32 array
        The last of the pairs that share a score.
    thresholds : (T,) array
        Those scores, falling.
    cells : (P,) int32 array or None
        Fold, kind and first threshold of InsightFace's that accepts the pair, as one number, in the order of the pairs.
    folds : int
        How many there are; 0 if there is no accuracy over folds.
    no_accuracy : str or None
        Why there is none.
    """

    order: Int32Array
    is_same: BoolArray
    ends: Int32Array
    thresholds: FloatArray
    cells: Int32Array | None = None
    folds: int = 0
    no_accuracy: str | None = None

    @classmethod
    def of(cls, scores: FloatArray, is_same: BoolArray, folds: IntArray | None = None) -> Scored:
        """Scores (P,) of pairs, of which `is_same` (P,) show one person, in folds (P,)."""
        order = np.argsort(-scores).astype(np.int32)
        falling = scores[order]
        ends = np.flatnonzero(np.append(falling[1:] != falling[:-1], True)).astype(np.int32)
        why_none = _no_accuracy(is_same, folds)
        cells, number = (None, 0) if why_none or folds is None else _cells(2 - 2 * scores, is_same, folds)
        return cls(order, is_same[order], ends, falling[ends], cells, number, why_none)

    @property
    def genuine(self) -> int:
        """Pairs of one person."""
        return int(np.count_nonzero(self.is_same))

    @property
    def impostor(self) -> int:
        """Pairs of two people."""
        return len(self.is_same) - self.genuine

    def roc(self, weights: Int32Array | None = None) -> Roc:
        """The receiver operating characteristic, every distinct score a threshold; pairs count by weights (P,)."""
        if weights is None:
            genuine = np.cumsum(self.is_same, dtype=np.int64)[self.ends]
            impostor = self.ends + 1 - genuine
        else:
            sorted_weights = weights[self.order]
            total = np.cumsum(sorted_weights, dtype=np.int64)[self.ends]
            sorted_weights *= self.is_same
            genuine = np.cumsum(sorted_weights, dtype=np.int64)[self.ends]
            impostor = total - genuine
        return Roc(_shares(impostor), _shares(genuine), np.append(np.inf, self.thresholds))

    def accuracies(self, weights: Int32Array | None = None) -> FloatArray | None:
        """The accuracy (K,) in each fold, see `fold_accuracies`."""
        return None if self.cells is None else _accuracies(self.cells, self.folds, weights)


def _shares(counts: npt.NDArray[np.int64]) -> FloatArray:
    """Rising counts (T,) as shares (T + 1,) of the last one, from 0."""
    shares = np.zeros(len(counts) + 1)
    np.divide(counts, counts[-1], out=shares[1:])
    return shares


def measure(scores: FloatArray, is_same: BoolArray, folds: IntArray | None = None) -> Figures:
    """The figures of scores (P,) of pairs, of which `is_same` (P,) show one person.

    Parameters
    ----------
    scores : (P,) array
        Cosines.
    is_same : (P,) bool array
        With at least one pair of each kind.
    folds : (P,) int array, optional
        The fold of each pair; there is an accuracy only over at least two that each have both kinds of pairs.
    """
    scored = Scored.of(scores, is_same, folds)
    return figures_of(scored, scored.roc())


def figures_of(scored: Scored, curve: Roc) -> Figures:
    """The figures of sorted pairs, of which the ROC is given."""
    accuracies, impostor = scored.accuracies(), scored.impostor
    fmr100, fmr1000 = (_fnmr_at(curve, far, impostor) for far in (1e-2, 1e-3))
    return Figures(
        genuine=scored.genuine,
        impostor=impostor,
        accuracy=None if accuracies is None else float(accuracies.mean()),
        accuracy_std=None if accuracies is None else float(accuracies.std()),
        accuracy_reason=scored.no_accuracy,
        folds=scored.folds,
        auc=area(curve),
        eer=equal_error_rate(curve),
        tar_at_far=tuple(tar_at(curve, far, impostor) for far in FARS),
        fmr100=fmr100,
        fmr1000=fmr1000,
    )


def _no_accuracy(is_same: BoolArray, folds: IntArray | None) -> str | None:
    """Why there can be no accuracy over folds."""
    # With a single fold there is nothing to choose the threshold on.
    if folds is None or len(numbers := np.unique(folds)) < 2:
        return "the pairs are not in several folds"
    for number in numbers:
        for kind, name in ((is_same, "genuine"), (~is_same, "impostor")):
            if not kind[folds == number].any():
                return f"fold {number} has no {name} pair"
    return None


def roc(scores: FloatArray, is_same: BoolArray) -> Roc:
    """The receiver operating characteristic of scores (P,) of pairs, every distinct score a threshold."""
    return Scored.of(scores, is_same).roc()


def thinned(curve: Roc, number: int = 1000) -> Roc:
    """About so many points of an ROC, as many in each tenth of FAR's logarithm, all of them on the curve."""
    if len(curve.far) <= number:
        return curve
    first = int(np.searchsorted(curve.far, 0, "right"))
    wanted = [0.0, *np.geomspace(curve.far[first], 1, number - 2)]
    # The last point at a FAR has the highest TAR that it allows.
    places = np.unique(np.append(0, np.searchsorted(curve.far, wanted, "right") - 1))
    return Roc(curve.far[places], curve.tar[places], curve.thresholds[places])


def area(curve: Roc) -> float:
    """The area under an ROC: how often a genuine pair scores above an impostor, ties by half."""
    return float(np.sum(np.diff(curve.far) * (curve.tar[1:] + curve.tar[:-1]) / 2))


def tar_at(curve: Roc, far: float, impostors: int) -> RateAtFar:
    """The highest TAR whose FAR is at most `far`; refused where fewer than 10 / FAR impostor pairs measure it."""
    if impostors * far < IMPOSTORS_NEEDED * (1 - 1e-9):
        reason = f"{impostors} impostor pairs, {round(IMPOSTORS_NEEDED / far)} needed"
        return RateAtFar(far=far, rate=None, reason=reason)
    return RateAtFar(far=far, rate=float(curve.tar[_within(curve, far)]))


def _within(curve: Roc, far: float) -> int:
    """The last point of an ROC whose FAR is at most `far`."""
    return int(np.searchsorted(curve.far, far * (1 + 1e-9), "right")) - 1


def bare_fmr(impostors: int) -> float | None:
    """The FMR at which unmasked pairs set a threshold: 1e-5, or the lowest that so many impostor pairs support.

    None if they do not even support the highest FAR of the table.
    """
    lowest = IMPOSTORS_NEEDED / impostors if impostors else 1.0
    return None if lowest > FARS[0] * (1 + 1e-9) else max(BARE_FMR, lowest)


def threshold_at(curve: Roc, far: float) -> float:
    """The lowest threshold at which the FAR is at most `far`; pairs are accepted above it.

    It is the score of the first impostor that must be rejected.
    """
    after = _within(curve, far) + 1
    return float(curve.thresholds[after]) if after < len(curve.thresholds) else -np.inf


def rates_above(curve: Roc, threshold: float) -> tuple[float, float]:
    """FMR and FNMR where pairs are accepted whose score is above a threshold."""
    # Thresholds fall, from infinity.
    place = len(curve.thresholds) - int(np.searchsorted(curve.thresholds[::-1], threshold, "right")) - 1
    return float(curve.far[place]), float(1 - curve.tar[place])


def at_bare_threshold(curve: Roc, bare: Roc, impostors: int) -> AtBareThreshold:
    """FNMR and FMR of pairs at the threshold that unmasked pairs, of which there are as many, set: NISTIR 8311."""
    fmr = bare_fmr(impostors)
    if fmr is None:
        needed = round(IMPOSTORS_NEEDED / FARS[0])
        return AtBareThreshold(bare_fmr=None, reason=f"{impostors} impostor pairs, {needed} needed")
    threshold = threshold_at(bare, fmr)
    found, missed = rates_above(curve, threshold)
    return AtBareThreshold(bare_fmr=fmr, threshold=threshold, fnmr=missed, fmr=found)


def equal_error_rate(curve: Roc) -> float:
    """Where FAR and FNMR meet, interpolated between the two thresholds around that point."""
    gap = curve.far - (1 - curve.tar)  # rises from -1 to 1
    after = int(np.argmax(gap >= 0))
    if gap[after] == 0 or after == 0:
        return float(curve.far[after])
    share = -gap[after - 1] / (gap[after] - gap[after - 1])
    return float(curve.far[after - 1] + share * (curve.far[after] - curve.far[after - 1]))


def fold_accuracies(distances: FloatArray, is_same: BoolArray, folds: IntArray) -> FloatArray:
    """The accuracy (K,) in each fold, at the threshold that is best for all others.

    InsightFace's protocol: of the thresholds 0, 0.01, ... 3.99 the first that is best; a pair is accepted if the
    squared distance of its unit embeddings is below.
    """
    return _accuracies(*_cells(distances, is_same, folds))


def _cells(distances: FloatArray, is_same: BoolArray, folds: IntArray) -> tuple[Int32Array, int]:
    """For each pair its fold, its kind and the first threshold that accepts it, as one number; how many folds."""
    numbers, fold = np.unique(folds, return_inverse=True)
    cells = (fold * 2 + is_same).astype(np.int32)
    cells *= len(_DISTANCES) + 1
    # In parts, so that few numbers of 64 bits are there at a time.
    for start in range(0, len(cells), _PART):
        part = slice(start, start + _PART)
        cells[part] += np.searchsorted(_DISTANCES, distances[part], "right").astype(np.int32)
    return cells, len(numbers)


def _accuracies(cells: Int32Array, folds: int, weights: Int32Array | None = None) -> FloatArray:
    counts = np.bincount(cells, weights, folds * 2 * (len(_DISTANCES) + 1)).reshape(folds, 2, -1)  # (K, 2, 401)
    accepted, sizes = counts[..., :-1].cumsum(axis=2), counts.sum(axis=2)
    hits = accepted[:, 1] + sizes[:, :1] - accepted[:, 0]  # (K, 400)
    best = np.argmax(hits.sum(axis=0) - hits, axis=1)  # (K,)
    # A fold may have lost all its people where pairs have weights.
    with np.errstate(invalid="ignore"):
        return np.asarray(hits[np.arange(folds), best] / sizes.sum(axis=1), np.float64)


def rank1(gallery: FloatArray, gallery_ids: IntArray, probes: FloatArray, probe_ids: IntArray) -> float:
    """The share of probes (M, E) whose most alike gallery picture (N, E) has their identity; unit embeddings."""
    hits = 0
    # In parts, so that memory does not grow with probes times gallery.
    for start in range(0, len(probes), 1024):
        nearest = np.argmax(probes[start : start + 1024] @ gallery.T, axis=1)
        hits += int((gallery_ids[nearest] == probe_ids[start : start + 1024]).sum())
    return hits / max(len(probes), 1)


def _fnmr_at(curve: Roc, far: float, impostors: int) -> RateAtFar:
    tar = tar_at(curve, far, impostors)
    return tar if tar.rate is None else RateAtFar(far=far, rate=1 - tar.rate)
