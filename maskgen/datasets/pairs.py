"""Pairs of pictures to compare, their folds, and who is on them."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

import numpy as np

from maskgen import files
from maskgen.arrays import BoolArray, IntArray

FOLDS: Final = 10
# A person and numbers: CALFW's pictures have one, MLFW's two.
_NUMBERED: Final = re.compile(r"(.*?[^\W\d].*?)(?:_\d+)+")


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures.

    Attributes
    ----------
    names : tuple of str, length N
        The pictures: relative paths, or numbers in a ``.bin``.
    first, second : (P,) int arrays
        Which pictures make a pair; the second is the probe.
    is_same : (P,) bool array
        Whether a pair shows one person.
    folds : (P,) int array
        For the accuracy.
    identities : (N,) int array or None
        Who is on each picture, if known.
    no_identities : str
        Why that is not known.
    missing : frozenset of str
        Names of pictures that are not there.
    """

    names: tuple[str, ...]
    first: IntArray
    second: IntArray
    is_same: BoolArray
    folds: IntArray
    identities: IntArray | None = None
    no_identities: str = ""
    missing: frozenset[str] = frozenset()


def of_bin(is_same: BoolArray) -> Pairs:
    """The pairs of a verification set."""
    numbers = np.arange(2 * len(is_same))
    return Pairs(
        tuple(map(str, numbers)),
        numbers[0::2],
        numbers[1::2],
        is_same,
        folds_of(is_same),
        no_identities="a verification set does not say who is on its pictures",
    )


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write pairs as `maskgen.datasets.pairlists.read_pairs` takes them, one line per pair, fold after fold."""
    order = np.argsort(pairs.folds, kind="stable")
    lines = [
        f"{pairs.names[pairs.first[i]]}\t{pairs.names[pairs.second[i]]}\t{int(pairs.is_same[i])}\t{pairs.folds[i]}"
        for i in order
    ]
    files.write_whole(path, ("\n".join(lines) + "\n").encode())


def folds_of(is_same: BoolArray, number: int = FOLDS) -> IntArray:
    """The folds (P,) of pairs (P,): consecutive ones, as InsightFace makes them, if each then has both kinds of pairs.

    Otherwise the pairs of each kind are dealt out apart, in their order: a list may name all genuine pairs first. There
    are fewer folds where there are fewer pairs of a kind.
    """
    genuine = int(is_same.sum())
    number = max(min(number, genuine, len(is_same) - genuine), 1)
    folds = consecutive_folds(len(is_same), number)
    if all(0 < is_same[folds == fold].sum() < (folds == fold).sum() for fold in range(number)):
        return folds
    folds = np.zeros(len(is_same), np.intp)
    for kind in (is_same, ~is_same):
        folds[kind] = consecutive_folds(int(kind.sum()), number)
    return folds


def consecutive_folds(pairs: int, number: int = FOLDS) -> IntArray:
    """Folds (P,) of equal size in the order of the pairs, the first ones a pair larger: scikit-learn's ``KFold``."""
    return np.repeat(np.arange(number), [pairs // number + (fold < pairs % number) for fold in range(number)])


def identities_of(
    names: Sequence[str], first: IntArray, second: IntArray, is_same: BoolArray
) -> tuple[IntArray | None, str]:
    """Who is on each picture (N,), by its path; or None, and why.

    Datasets lie at different depths. The folder that stands for a person is the first one on the way to the pictures
    that is the same in all genuine pairs and another in all impostor pairs. Where there is none, it is what comes
    before the numbers in names such as ``Ann_Lee_0001.jpg``, if that is so for it.

    Parameters
    ----------
    names : sequence of str, length N
        Paths, with slashes.
    first, second : (P,) int arrays
        Which pictures make a pair.
    is_same : (P,) bool array
        Whether a pair shows one person.
    """
    folders = [PurePosixPath(unicodedata.normalize("NFC", name)).parts[:-1] for name in names]
    ways = ([parts[depth] for parts in folders] for depth in range(min(map(len, folders), default=0)))
    people = [_NUMBERED.fullmatch(unicodedata.normalize("NFC", PurePosixPath(name).stem)) for name in names]
    for who in itertools.chain(ways, [[match[1] for match in people if match]] if all(people) else []):
        _, identities = np.unique(who, return_inverse=True)
        if np.array_equal(identities[first] == identities[second], is_same):
            return identities.astype(np.intp), ""
    return None, "neither a folder on the way to the pictures nor their names tell the people of all pairs apart"
