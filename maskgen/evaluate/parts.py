"""Pairs by what was seen of the faces, and by the masks that were put on: figures of each part."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import numpy as np

from maskgen.arrays import BoolArray, Float32Array, IntArray
from maskgen.evaluate import figures
from maskgen.evaluate.figures import IMPOSTORS_NEEDED, FloatArray, Scored
from maskgen.evaluate.results import AtBareThreshold, Condition, PartReport

YAWS_DEG: Final = (0, 15, 30, 45, 90)
SIZES_PX: Final = (0, 32, 64, 128, 256)
"""Where the parts by a face's longer side begin; the last has no end."""

By = Literal["yaw", "size", "wear", "kind"]


@dataclass(frozen=True)
class Traits:
    """What is known of the pictures of a list of pairs.

    Attributes
    ----------
    yaw_deg : (N,) float32 array
        Of the face that counts; nan where none is known.
    size_px : (N,) float32 array
        The longer side of its box in the picture; nan where none is known.
    wears, kinds : tuple of str or None, length N
        How the mask that was put on it is worn, and its kind.
    """

    yaw_deg: Float32Array
    size_px: Float32Array
    wears: tuple[str | None, ...]
    kinds: tuple[str | None, ...]


class _Part(NamedTuple):
    by: By
    name: str
    is_in: BoolArray


def parts_of(
    scores: FloatArray,
    is_same: BoolArray,
    first: IntArray,
    second: IntArray,
    traits: Traits,
    condition: Condition,
    at_bare: AtBareThreshold,
) -> tuple[PartReport, ...]:
    """The figures of each part that has pairs.

    A pair belongs to the larger yaw and to the smaller size of its two faces, without regard to the side. By wear and
    kind it belongs to the mask of its second picture, the probe.

    Parameters
    ----------
    scores, is_same : (P,) arrays
        Cosines, and whether pairs show one person.
    first, second : (P,) int arrays
        Which pictures make a pair.
    traits : Traits
        Of the pictures.
    condition : str
        Who wears a mask.
    at_bare : AtBareThreshold
        The threshold of all unmasked pairs.
    """
    return tuple(
        _measured(part, scores[part.is_in], is_same[part.is_in], at_bare)
        for part in _parts(first, second, traits, condition)
        if part.is_in.any()
    )


def _parts(first: IntArray, second: IntArray, traits: Traits, condition: Condition) -> Iterator[_Part]:
    yaw = np.abs(traits.yaw_deg)
    yield from _ranges("yaw", np.maximum(yaw[first], yaw[second]), YAWS_DEG)
    yield from _ranges("size", np.minimum(traits.size_px[first], traits.size_px[second]), (*SIZES_PX, np.inf))
    if condition == "none":
        return
    by: By
    for by, values in (("wear", traits.wears), ("kind", traits.kinds)):
        for name in sorted({value for value in values if value is not None}):
            yield _Part(by, name, np.array([value == name for value in values])[second])


def _ranges(by: By, values: Float32Array, limits: tuple[float, ...]) -> Iterator[_Part]:
    for low, high in itertools.pairwise(limits):
        name = f"{low:g} up" if np.isinf(high) else f"{low:g}..{high:g}"
        # A head may be turned farther than sideways.
        is_last = by == "yaw" and high == limits[-1]
        yield _Part(by, name, (values >= low) & ((values < high) | is_last))


def _measured(part: _Part, scores: FloatArray, is_same: BoolArray, at_bare: AtBareThreshold) -> PartReport:
    genuine = int(is_same.sum())
    impostor = len(is_same) - genuine
    has_genuine, has_impostor = genuine >= IMPOSTORS_NEEDED, impostor >= IMPOSTORS_NEEDED
    found = PartReport(by=part.by, part=part.name, genuine=genuine, impostor=impostor)
    changes: dict[str, float] = {}
    if has_genuine and has_impostor:
        changes["auc"] = figures.area(Scored.of(scores, is_same).roc())
    if at_bare.threshold is not None:
        accepted = scores > at_bare.threshold
        if has_genuine:
            changes["fnmr"] = 1 - float(accepted[is_same].mean())
        if has_impostor:
            changes["fmr"] = float(accepted[~is_same].mean())
    return found.model_copy(update=changes)
