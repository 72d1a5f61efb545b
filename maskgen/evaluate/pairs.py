"""Pairs of pictures drawn from a dataset."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from maskgen.datasets.pairs import FOLDS, Pairs
from maskgen.errors import ConfigError


def draw_pairs(names: Sequence[str], identities: Sequence[str], rng: np.random.Generator, folds: int = FOLDS) -> Pairs:
    """All genuine pairs and as many impostor pairs, in folds that share no person.

    Parameters
    ----------
    names : sequence of str
        Pictures.
    identities : sequence of str
        Who is on each.
    rng : numpy.random.Generator
        Deals people to folds, and draws the impostors within a fold.
    folds : int
        At most; each has at least two people.

    Raises
    ------
    ConfigError
        If there are not two people with two pictures each.
    """
    pictures: dict[str, list[int]] = defaultdict(list)
    for index, identity in enumerate(identities):
        pictures[identity].append(index)
    people = sorted(identity for identity, found in pictures.items() if len(found) > 1)
    folds = min(folds, len(people) // 2)
    if folds < 1:
        raise ConfigError("pairs need two people with two pictures each")
    order = rng.permutation(len(people))
    rows = list[tuple[int, int, bool, int]]()
    for fold in range(folds):
        members = [people[i] for i in sorted(order[fold::folds])]
        genuine = [(a, b) for who in members for i, a in enumerate(pictures[who]) for b in pictures[who][i + 1 :]]
        rows += [(a, b, True, fold) for a, b in genuine]
        for _ in genuine:
            one, other = (members[i] for i in rng.choice(len(members), 2, replace=False))
            rows.append((int(rng.choice(pictures[one])), int(rng.choice(pictures[other])), False, fold))
    first, second, is_same, fold_of = (np.array(column) for column in zip(*rows, strict=True))
    numbers = {identity: number for number, identity in enumerate(sorted(pictures))}
    return Pairs(tuple(names), first, second, is_same, fold_of, np.array([numbers[who] for who in identities]))
