"""The schema of ``eval.json``, what an evaluation found. Imports pydantic and nothing heavier."""

from __future__ import annotations

from typing import Literal

from maskgen.schema import Strict

Condition = Literal["none", "probe", "both"]
"""Who wears a mask: nobody, the second picture of each pair, or both."""


class RateAtFar(Strict):
    """A rate of genuine pairs at a FAR that is not exceeded, or the reason why it is not given."""

    far: float
    rate: float | None
    reason: str | None = None


class Figures(Strict):
    """What the scores of pairs say.

    Attributes
    ----------
    genuine, impostor : int
        Pairs of one person, pairs of two.
    accuracy, accuracy_std : float or None
        Mean and standard deviation over folds, as shares.
    accuracy_reason : str or None
        Why they are not given.
    folds : int
        How many folds they are over.
    auc, eer : float
        Area under the ROC; equal error rate.
    tar_at_far : tuple of RateAtFar
        TAR at each of `FARS`.
    fmr100, fmr1000 : RateAtFar
        The lowest FNMR at an FMR of at most 1/100 and 1/1000.
    rank1 : float or None
        Share of probes whose most alike gallery picture shows the same person.
    rank1_reason : str or None
        Why it is not given.
    probes, gallery : int
        How many pictures that was measured with; the gallery has one of each person.
    """

    genuine: int
    impostor: int
    accuracy: float | None
    accuracy_std: float | None
    accuracy_reason: str | None = None
    folds: int = 0
    auc: float
    eer: float
    tar_at_far: tuple[RateAtFar, ...]
    fmr100: RateAtFar
    fmr1000: RateAtFar
    rank1: float | None = None
    rank1_reason: str | None = None
    probes: int = 0
    gallery: int = 0


class ConditionReport(Strict):
    """A model's figures under one mask condition.

    Attributes
    ----------
    model, condition : str
        What was measured.
    roc : tuple of (float, float)
        FAR and TAR of some points of the ROC, from (0, 0) to (1, 1); empty in files of older versions.
    left_out : int
        Pairs of which a picture cannot be read, shows no face, or takes no mask; the same in all conditions and models.
    figures : Figures
        Over the pairs that are left.
    """

    model: str
    condition: Condition
    roc: tuple[tuple[float, float], ...] = ()
    left_out: int
    figures: Figures


class EvalReport(Strict):
    """``eval.json``: models x conditions.

    Attributes
    ----------
    pairs : str
        Where the pairs come from.
    seed : int
        Of the masks.
    left_out : dict
        Reason -> how many pictures are not used for it.
    rows : tuple of ConditionReport
        Model after model.
    """

    schema_version: Literal[1] = 1
    pairs: str
    seed: int
    left_out: dict[str, int]
    rows: tuple[ConditionReport, ...]
