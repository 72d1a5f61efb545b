"""The schema of ``eval.json``, what an evaluation found. Imports pydantic and nothing heavier."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field

from maskgen.schema import Strict

RESAMPLES: Final = 1000
MANY_PAIRS: Final = 1_000_000
FEWER_RESAMPLES: Final = 100
"""How often people are drawn again by default where there are more than `MANY_PAIRS` pairs; else `RESAMPLES` times."""

MadeName = Literal["lfw-sm"]
"""A set that `maskgen.evaluate.make` makes: LFW with simulated masks."""
Condition = Literal["none", "probe", "both"]
"""Who wears a mask: nobody, the second picture of each pair, or both."""


class RateAtFar(Strict):
    """A rate of genuine pairs at a FAR that is not exceeded, or the reason why it is not given."""

    far: float
    rate: float | None
    reason: str | None = None


class AtBareThreshold(Strict):
    """Rates at the threshold that unmasked pairs set, as NIST measures masks.

    Attributes
    ----------
    bare_fmr : float or None
        The FMR that unmasked pairs do not exceed there: 1e-5, or the lowest that they support.
    threshold : float or None
        A cosine; pairs are accepted above it.
    fnmr, fmr : float or None
        Of the pairs under this mask condition.
    reason : str or None
        Why they are not given.
    """

    bare_fmr: float | None
    threshold: float | None = None
    fnmr: float | None = None
    fmr: float | None = None
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
    at_bare : AtBareThreshold or None
        FNMR and FMR at the threshold of the unmasked pairs; None in files of schema 1.
    intervals : dict
        Figure -> (low, high) of its interval, see `Bootstrap`; figures that are refused have none, nor have rank-1, and
        the FMR of unmasked pairs. The names are those of the figures, ``tar@0.001`` and the like, ``fnmr`` and ``fmr``
        for those of `at_bare`.
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
    at_bare: AtBareThreshold | None = None
    intervals: dict[str, tuple[float, float]] = Field(default_factory=dict)


class PartReport(Strict):
    """Figures of some of the pairs, at the threshold of all unmasked ones.

    Attributes
    ----------
    by : {"yaw", "size", "wear", "kind"}
        What tells these pairs from the others.
    part : str
        Which they are: a range of degrees or pixels, a way to wear a mask, a kind of mask.
    genuine, impostor : int
        Pairs of one person, pairs of two.
    auc, fnmr, fmr : float or None
        As in `Figures` and `AtBareThreshold`; None where there are fewer than 10 pairs of the kind that they need.
    """

    by: Literal["yaw", "size", "wear", "kind"]
    part: str
    genuine: int
    impostor: int
    auc: float | None = None
    fnmr: float | None = None
    fmr: float | None = None


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
    parts : tuple of PartReport
        The same pairs by what was seen of the faces and by the masks that were put on; empty where nobody looked.
    """

    model: str
    condition: Condition
    roc: tuple[tuple[float, float], ...] = ()
    left_out: int
    figures: Figures
    parts: tuple[PartReport, ...] = ()


class Bootstrap(Strict):
    """How intervals were found, see `maskgen.evaluate.bootstrap`.

    Attributes
    ----------
    resamples : int
        How often the people were drawn again; 0 if there are no intervals.
    people : int
        How many there are.
    level : float
        Share of the resamples between the two ends of an interval.
    reason : str or None
        Why there are none.
    """

    resamples: int
    people: int = 0
    level: float = 0.95
    reason: str | None = None


class EvalReport(Strict):
    """``eval.json``: models x conditions.

    Files of schema 1 are read as well: they have no intervals, no parts and no threshold of unmasked pairs.

    Attributes
    ----------
    pairs : str
        Where the pairs come from.
    protocol : str or None
        The protocol that they are of, if it was named.
    seed : int
        Of the masks, and of the people drawn for intervals.
    left_out : dict
        Reason -> how many pictures are not used for it.
    rows : tuple of ConditionReport
        Model after model.
    bootstrap : Bootstrap or None
        How the intervals were found.

    Examples
    --------
    >>> report = EvalReport(pairs="pairs.txt", seed=0, left_out={"no_face": 1}, rows=())
    >>> EvalReport.model_validate_json(report.model_dump_json()) == report
    True
    """

    schema_version: Literal[1, 2] = 2
    pairs: str
    protocol: str | None = None
    seed: int
    left_out: dict[str, int]
    rows: tuple[ConditionReport, ...]
    bootstrap: Bootstrap | None = None
