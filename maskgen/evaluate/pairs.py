"""Which pictures to compare: LFW's ``pairs.txt``, a plain list of pairs, a verification ``.bin``, or pairs drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from maskgen import images
from maskgen.arrays import BoolArray, IntArray
from maskgen.errors import ConfigError
from maskgen.evaluate.figures import consecutive_folds

_Row = tuple[str, str, bool, int | None]


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
    """

    names: tuple[str, ...]
    first: IntArray
    second: IntArray
    is_same: BoolArray
    folds: IntArray
    identities: IntArray | None = None


def read_pairs(path: Path, root: Path) -> Pairs:
    """The pairs of a text file, their pictures under a folder.

    Either LFW's format (a first line ``folds<tab>pairs``, then ``name 1 2`` or ``name 1 other 2``, pictures
    ``name/name_0001.jpg``), or a line a pair: two relative paths and 1 or 0, tabs between. A fourth column numbers the
    fold; without it there are ten, in the order of the lines.

    Raises
    ------
    ConfigError
        If a line is neither, or pictures are missing; names the first.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of pairs: {error}") from error
    if not lines:
        raise ConfigError(f"{path}: no pairs in this file")
    header = lines[0].split()
    is_lfw = len(header) <= 2 and all(part.isdigit() for part in header)
    rows: list[_Row] = [
        (_lfw_pair if is_lfw else _plain_pair)(path, number, line)
        for number, line in enumerate(lines, start=1)
        if not (is_lfw and number == 1)
    ]
    folds = int(header[0]) if len(header) == 2 and is_lfw else 10
    missing = sorted({name for one, other, _, _ in rows for name in (one, other) if not (root / name).is_file()})
    if missing:
        raise ConfigError(f"{root / missing[0]}: missing, with {len(missing) - 1} other pictures that {path} names")
    return _of_rows(path, rows, folds)


def of_bin(is_same: BoolArray) -> Pairs:
    """The pairs of a verification set."""
    numbers = np.arange(2 * len(is_same))
    return Pairs(tuple(map(str, numbers)), numbers[0::2], numbers[1::2], is_same, consecutive_folds(len(is_same)))


def draw_pairs(names: Sequence[str], identities: Sequence[str], rng: np.random.Generator, folds: int = 10) -> Pairs:
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


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write pairs as `read_pairs` takes them, a line a pair, fold after fold."""
    order = np.argsort(pairs.folds, kind="stable")
    lines = [
        f"{pairs.names[pairs.first[i]]}\t{pairs.names[pairs.second[i]]}\t{int(pairs.is_same[i])}\t{pairs.folds[i]}"
        for i in order
    ]
    images.write_whole(path, ("\n".join(lines) + "\n").encode())


def _lfw_pair(path: Path, number: int, line: str) -> _Row:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        return _lfw_name(parts[0], parts[1]), _lfw_name(parts[0], parts[2]), True, None
    if len(parts) == 4 and parts[1].isdigit() and parts[3].isdigit():
        return _lfw_name(parts[0], parts[1]), _lfw_name(parts[2], parts[3]), False, None
    raise ConfigError(f"{path}, line {number}: expected 'name 1 2' or 'name 1 other 2', got {line!r}")


def _lfw_name(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}.jpg"


def _plain_pair(path: Path, number: int, line: str) -> _Row:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) not in (3, 4) or parts[2] not in ("0", "1") or not all(part.isdigit() for part in parts[3:]):
        raise ConfigError(f"{path}, line {number}: expected two paths and 1 (same person) or 0, got {line!r}")
    return parts[0], parts[1], parts[2] == "1", int(parts[3]) if len(parts) == 4 else None


def _of_rows(path: Path, rows: list[_Row], folds: int) -> Pairs:
    names = sorted({name for one, other, _, _ in rows for name in (one, other)})
    index = {name: number for number, name in enumerate(names)}
    people = sorted({_person(name) for name in names})
    number_of = {person: number for number, person in enumerate(people)}
    named = [fold for _, _, _, fold in rows if fold is not None]
    if named and len(named) != len(rows):
        raise ConfigError(f"{path}: {len(named)} of {len(rows)} lines name a fold; all or none must")
    return Pairs(
        tuple(names),
        np.array([index[one] for one, _, _, _ in rows]),
        np.array([index[other] for _, other, _, _ in rows]),
        np.array([same for _, _, same, _ in rows]),
        consecutive_folds(len(rows), min(folds, len(rows))) if not named else np.array(named),
        np.array([number_of[_person(name)] for name in names]),
    )


def _person(name: str) -> str:
    return PurePosixPath(name).parts[0]
