"""Scores of pairs to figures: ten-fold accuracy, TAR at FAR, EER, FMR100, rank-1.

A score is a cosine: higher means more alike. FAR and FMR are the share of impostor pairs accepted, TAR the share of
genuine pairs accepted, FNMR the share rejected.

References
----------
G. B. Huang et al., "Labeled Faces in the Wild", 2007: ten folds. ISO/IEC 19795-1: FMR, FNMR, EER. R. Cappelli et al.,
"Performance Evaluation of Fingerprint Verification Systems", PAMI 2006: FMR100, FMR1000.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, IntArray
from maskgen.evaluate.results import Figures, RateAtFar

FloatArray = npt.NDArray[np.floating]

FARS: Final = (1e-1, 1e-2, 1e-3, 1e-4)
IMPOSTORS_NEEDED: Final = 10
"""A rate at a FAR is given only if that FAR stands for at least this many impostor pairs; fewer are chance."""
# InsightFace's verification tries squared distances of unit embeddings from 0 to 4 in steps of 0.01.
_DISTANCES: Final = np.arange(0, 4, 0.01)


class Roc(NamedTuple):
    """FAR and TAR (T,) at falling thresholds (T,), from (0, 0) to (1, 1)."""

    far: FloatArray
    tar: FloatArray
    thresholds: FloatArray


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
    curve = roc(scores, is_same)
    impostor = int((~is_same).sum())
    why_none = _no_accuracy(is_same, folds)
    accuracies = None if why_none or folds is None else fold_accuracies(2 - 2 * scores, is_same, folds)
    fmr100, fmr1000 = (_fnmr_at(curve, far, impostor) for far in (1e-2, 1e-3))
    return Figures(
        genuine=int(is_same.sum()),
        impostor=impostor,
        accuracy=None if accuracies is None else float(accuracies.mean()),
        accuracy_std=None if accuracies is None else float(accuracies.std()),
        accuracy_reason=why_none,
        folds=0 if accuracies is None else len(accuracies),
        auc=float(np.sum(np.diff(curve.far) * (curve.tar[1:] + curve.tar[:-1]) / 2)),
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
    """The receiver operating characteristic, every distinct score a threshold."""
    from sklearn.metrics import roc_curve

    far, tar, thresholds = roc_curve(is_same, scores, drop_intermediate=False)
    return Roc(far, tar, thresholds)


def tar_at(curve: Roc, far: float, impostors: int) -> RateAtFar:
    """The highest TAR whose FAR is at most `far`; refused where fewer than 10 / FAR impostor pairs measure it."""
    if impostors * far < IMPOSTORS_NEEDED * (1 - 1e-9):
        reason = f"{impostors} impostor pairs, {round(IMPOSTORS_NEEDED / far)} needed"
        return RateAtFar(far=far, rate=None, reason=reason)
    return RateAtFar(far=far, rate=float(curve.tar[curve.far <= far * (1 + 1e-9)].max()))


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
    correct = (distances[:, None] < _DISTANCES) == is_same[:, None]  # (P, 400)
    numbers = np.unique(folds)
    hits = np.stack([correct[folds == number].sum(axis=0) for number in numbers])  # (K, 400)
    sizes = np.array([(folds == number).sum() for number in numbers])
    best = np.argmax(hits.sum(axis=0) - hits, axis=1)  # (K,)
    return np.asarray(hits[np.arange(len(numbers)), best] / sizes, np.float64)


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
