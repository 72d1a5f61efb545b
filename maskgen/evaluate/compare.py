"""Embeddings of pictures to the figures of a model: pairs are scored in blocks, so that there may be millions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from maskgen.arrays import BoolArray, Float32Array, IntArray
from maskgen.datasets.pairs import Pairs
from maskgen.errors import ConfigError
from maskgen.evaluate import bootstrap, figures
from maskgen.evaluate.bootstrap import Resampling
from maskgen.evaluate.figures import Roc, Scored
from maskgen.evaluate.parts import Traits, parts_of
from maskgen.evaluate.results import (
    FEWER_RESAMPLES,
    MANY_PAIRS,
    RESAMPLES,
    Bootstrap,
    Condition,
    ConditionReport,
    PartReport,
)
from maskgen.plural import counted

UNKNOWN: Final = "who is on the pictures is not known"
# Pairs whose embeddings are copied at a time: what fits a processor's cache.
_BLOCK: Final = 512


class Embeddings(NamedTuple):
    """What a model makes of pictures, and what is known of them.

    Attributes
    ----------
    clean : (N, E) float32 array
        Unit embeddings of the pictures as they are.
    masked : (N, E) float32 array or None
        The same with masks on.
    is_usable : (N,) bool array or None
        Which pictures can be compared; None for all.
    traits : Traits or None
        For figures by parts, see `maskgen.evaluate.parts`.
    """

    clean: Float32Array
    masked: Float32Array | None = None
    is_usable: BoolArray | None = None
    traits: Traits | None = None


def compare(
    model: str,
    embeddings: Embeddings,
    pairs: Pairs,
    conditions: tuple[Condition, ...] = ("none",),
    resamples: int = 0,
    seed: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[list[ConditionReport], list[Roc]]:
    """A model's figures and ROC under each condition; pairs may be millions, and are scored in blocks.

    Parameters
    ----------
    model : str
        What to call it.
    embeddings : Embeddings
        Of all pictures of the pairs; with masks on if a condition asks for them.
    pairs : Pairs
        What is compared.
    conditions : tuple of str
        Who wears a mask.
    resamples : int
        How often people are drawn again for the intervals, see `maskgen.evaluate.bootstrap`; 0 for none.
    seed : int
        Of these draws.
    on_progress : callable
        Gets the number of resamples done, and of all.

    Returns
    -------
    list of ConditionReport
        All figures are exact.
    list of Roc
        Of at most about a thousand points, see `maskgen.evaluate.figures.thinned`.

    Raises
    ------
    ConfigError
        If no genuine or no impostor pair is left.
    """
    usable = np.ones(len(pairs.names), bool) if embeddings.is_usable is None else embeddings.is_usable
    left = _left(pairs, usable)
    left_out = len(pairs.is_same) - len(left.is_same)
    resampling = _resampling(left, resamples, seed)
    # Unmasked pairs set the threshold for all conditions.
    bare_scores = scores_of(embeddings.clean, embeddings.clean, left.first, left.second)
    bare = Scored.of(bare_scores, left.is_same, left.folds)
    bare_curve = bare.roc()
    reports, curves = list[ConditionReport](), list[Roc]()
    for condition in conditions:
        gallery, probes = _sides(embeddings, condition)
        scores, scored, curve = bare_scores, bare, bare_curve
        if condition != "none":
            scores = scores_of(gallery, probes, left.first, left.second)
            scored = Scored.of(scores, left.is_same, left.folds)
            curve = scored.roc()
        at_bare = figures.at_bare_threshold(curve, bare_curve, bare.impostor)
        found = figures.figures_of(scored, curve).model_copy(update={"at_bare": at_bare})
        found = found.model_copy(update=_identification(gallery, probes, pairs, usable))
        if resampling is not None:
            drawn = bootstrap.intervals(found, scored, bare, resampling, on_progress)
            found = found.model_copy(update={"intervals": drawn})
        parts: tuple[PartReport, ...] = ()
        if embeddings.traits is not None:
            parts = parts_of(scores, left.is_same, left.first, left.second, embeddings.traits, condition, at_bare)
        reports.append(ConditionReport(model=model, condition=condition, left_out=left_out, figures=found, parts=parts))
        curves.append(figures.thinned(curve))
    return reports, curves


def _left(pairs: Pairs, usable: BoolArray) -> Pairs:
    """The pairs that can be compared."""
    kept = usable[pairs.first]
    kept &= usable[pairs.second]
    left = pairs
    if not kept.all():
        left = replace(
            pairs,
            first=pairs.first[kept],
            second=pairs.second[kept],
            is_same=pairs.is_same[kept],
            folds=pairs.folds[kept],
        )
    if not left.is_same.any() or left.is_same.all():
        raise ConfigError(
            f"{counted(len(left.is_same), 'pair')} can be compared, {left.is_same.sum()} of one person: "
            "too few to measure anything"
        )
    return left


def _sides(embeddings: Embeddings, condition: Condition) -> tuple[Float32Array, Float32Array]:
    """The embeddings (N, E) of first and of second pictures."""
    if condition == "none":
        return embeddings.clean, embeddings.clean
    if embeddings.masked is None:
        raise ValueError(f"condition {condition!r} needs masked crops")
    return embeddings.masked if condition == "both" else embeddings.clean, embeddings.masked


def scores_of(gallery: Float32Array, probes: Float32Array, first: IntArray, second: IntArray) -> Float32Array:
    """The cosines (P,) of pairs of unit embeddings (N, E), of which few are copied at a time."""
    scores = np.empty(len(first), np.float32)
    for start in range(0, len(first), _BLOCK):
        block = slice(start, start + _BLOCK)
        scores[block] = np.sum(gallery[first[block]] * probes[second[block]], axis=1)
    return scores


def _resampling(left: Pairs, resamples: int, seed: int) -> Resampling | None:
    if not resamples or left.identities is None:
        return None
    who = left.identities
    resampling = Resampling.of(who[left.first], who[left.second], resamples, seed)
    return None if resampling.reason else resampling


def bootstrap_of(pairs: Pairs, is_usable: BoolArray, resamples: int | None) -> Bootstrap:
    """How intervals of pairs are found, or why there are none; resamples are chosen here where nobody said how many."""
    left = _left(pairs, is_usable)
    if resamples is None:
        resamples = FEWER_RESAMPLES if len(left.is_same) > MANY_PAIRS else RESAMPLES
    if not resamples:
        return Bootstrap(resamples=0, reason="nobody asked for them")
    if left.identities is None:
        return Bootstrap(resamples=0, reason=pairs.no_identities or UNKNOWN)
    resampling = Resampling.of(left.identities[left.first], left.identities[left.second], resamples)
    if resampling.reason:
        return Bootstrap(resamples=0, people=resampling.number, reason=resampling.reason)
    return Bootstrap(resamples=resamples, people=resampling.number, level=bootstrap.LEVEL)


def _identification(gallery: Float32Array, probes: Float32Array, pairs: Pairs, usable: BoolArray) -> dict[str, object]:
    """Closed set: the first usable picture of each person is the gallery, the other pictures are probes."""
    if pairs.identities is None:
        return {"rank1_reason": pairs.no_identities or UNKNOWN}
    places = np.flatnonzero(usable)
    _, where = np.unique(pairs.identities[places], return_index=True)
    enrolled = places[where]
    others = np.setdiff1d(places, enrolled)
    if len(enrolled) < 2 or not len(others):
        people = counted(len(enrolled), "person", "people")
        return {"rank1_reason": f"{counted(len(places), 'picture')} of {people} leave nothing to find"}
    share = figures.rank1(gallery[enrolled], pairs.identities[enrolled], probes[others], pairs.identities[others])
    return {"rank1": share, "probes": len(others), "gallery": len(enrolled)}
