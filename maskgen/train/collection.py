"""Who is learnt: people with originals and masked copies, those held out, and what is left out and why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from maskgen.arrays import BoolArray, Float32Array, IntArray, Lazy
from maskgen.catalog.store import Catalog
from maskgen.datasets.dataset import open_people
from maskgen.datasets.people import AlignedBy, Item, People
from maskgen.detect import DetectorSpec
from maskgen.errors import ConfigError
from maskgen.parallel import InProcess, LocalExecutor
from maskgen.plural import counted, tally
from maskgen.recognition.cache import FaceCache
from maskgen.recognition.crops import Cropper
from maskgen.recognition.faces import cache_in, faces_of
from maskgen.recognition.seen import Seen
from maskgen.train.results import UsedMasks
from maskgen.train.settings import TrainSettings

_MOST_HELD_OUT = 10_000
"""Originals of people held out: their crops are in memory during the training, 0.4 GB of them and as much masked."""
_FEWEST_HELD_OUT = 2
"""Originals of an identity that is held out: as many as a genuine pair takes."""
_HELD_OUT, _NOT_LEARNT = -1, -2
"""In the place of labels."""


@dataclass(frozen=True)
class Person:
    """An original to learn from: the item, the number of its identity, and what was seen on it if that was needed."""

    item: Item
    label: int
    seen: Seen | None

    @property
    def keypoints(self) -> Float32Array | None:
        """(5, 2) pixels; None if the picture is aligned already."""
        return self.item.keypoints if self.seen is None else self.seen.face.keypoints


@dataclass(frozen=True)
class Faces:
    """The faces that a training needs.

    Attributes
    ----------
    cache : FaceCache or None
        Where they are; None if none are needed.
    of_all : bool
        Whether they are needed of all items, and not only of those without keypoints.
    """

    cache: FaceCache | None = None
    of_all: bool = False

    def needs(self, item: Item) -> bool:
        """Whether that of an item is needed."""
        return self.cache is not None and (self.of_all or item.keypoints is None)

    def seen(self, item: Item) -> Seen | None:
        """What was seen on an item; None if that is not needed."""
        return self.cache.get(item.name) if self.cache is not None and self.needs(item) else None


class Persons(Lazy[Person]):
    """Persons of a dataset, made when they are asked for.

    Parameters
    ----------
    dataset : People
        Whose items they are.
    numbers : (N,) int array
        Of the items.
    labels : (N,) int array
        Of the identities.
    faces : Faces
        Knows the faces that had to be looked for.
    """

    def __init__(self, dataset: People, numbers: IntArray, labels: IntArray, faces: Faces) -> None:
        self._dataset, self._numbers, self._faces = dataset, numbers, faces
        self.labels = labels

    def __len__(self) -> int:
        return len(self._numbers)

    def at(self, number: int) -> Person:
        """As `Lazy.at`."""
        item = self._dataset.items[int(self._numbers[number])]
        return Person(item, int(self.labels[number]), self._faces.seen(item))

    @property
    def copies(self) -> IntArray:
        """(N,) how many masked copies each has."""
        return self._dataset.copies[self._numbers]

    @property
    def starts(self) -> IntArray | None:
        """The first of each file of many pictures, in whose order they are; None if each is a file of its own."""
        starts = self._dataset.starts
        return None if starts is None else np.unique(np.searchsorted(self._numbers, starts))


class Entries(Lazy[tuple[int, bool]]):
    """Entries of an epoch: first all originals, then the masked copies.

    Parameters
    ----------
    places : (E,) int array
        Indices of persons.
    plain : int
        How many of them are originals.
    """

    def __init__(self, places: IntArray, plain: int) -> None:
        self.places, self.plain = places, plain

    def __len__(self) -> int:
        return len(self.places)

    def at(self, number: int) -> tuple[int, bool]:
        """As `Lazy.at`."""
        return int(self.places[number]), number >= self.plain


@dataclass(frozen=True)
class Collection:
    """The people to learn from, and those held out.

    Attributes
    ----------
    people, held_out : Persons
        Originals. The labels of those held out mean nothing.
    identities : tuple of str
        By label.
    cropper : Cropper
        Reads them; it has masks only where some are put on while loading.
    mask_prob : float or None
        Probability of a mask that is put on while loading; None to use the masked copies.
    left_out : mapping
        Reason -> how many entries are not used for it.
    nobody_held_out : str
        Why nobody is held out although that was asked for.
    aligned_by : {"settings", "run", "sizes"}
        How it is known whether the pictures are aligned.
    """

    people: Persons
    held_out: Persons
    identities: tuple[str, ...]
    cropper: Cropper
    mask_prob: float | None
    left_out: Mapping[str, int]
    nobody_held_out: str = ""
    aligned_by: AlignedBy = "settings"

    @property
    def entries(self) -> Entries:
        """What an epoch goes through: (index of a person, whether to take a masked copy)."""
        people = self.people
        masked = np.flatnonzero(people.copies) if self.mask_prob is None else np.zeros(0, np.intp)
        return Entries(np.concatenate([np.arange(len(people)), masked]), len(people))

    @property
    def singles(self) -> int:
        """Identities with one original."""
        return int((np.bincount(self.people.labels) == 1).sum())


def collect(
    settings: TrainSettings,
    cache: Path,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_fault: Callable[[str], None] = lambda message: None,
    masks: UsedMasks | None = None,
) -> Collection:
    """The collection that settings describe; faces that the data do not give are searched for, once.

    A training that goes on has the `masks` that it began with; what was added to the catalogs since takes no part.

    Raises
    ------
    ConfigError
        If there is nothing to learn from, or the masks are no longer those that the training began with.
    ModelError
        If faces must be looked for and the pack is missing.
    CatalogError
        If masks are wanted and the catalog is missing.
    """
    dataset = open_people(settings.data, settings.original, settings.aligned)
    wants_masks = bool(settings.mask_prob)
    catalog = _masks_of(settings, masks) if wants_masks else None
    left_out = Counter(dataset.left_out)
    faces = Faces()
    usable: IntArray = np.arange(len(dataset.names))
    if wants_masks or not dataset.is_aligned:
        detectors = DetectorSpec(settings.model, aligned=dataset.is_aligned)
        # Keypoints are enough to align; only masks that are put on while loading need more.
        unknown = usable if wants_masks else _without_keypoints(dataset)
        unknown = unknown[_may_be_shown(dataset, settings)[unknown]]
        executor = InProcess() if settings.workers == 0 else LocalExecutor(settings.workers)
        path = settings.faces or cache_in(cache, detectors, dataset.is_aligned)
        is_all = len(unknown) == len(usable)
        items = dataset.items if is_all else [dataset.items[number] for number in unknown.tolist()]
        if len(items):
            known = faces_of(
                dataset, path, detectors, executor, items, wants_masks, lambda now: on_progress(*now[:2]), on_fault
            )
            faces = Faces(known, wants_masks)
            reasons = known.reasons([item.name for item in items])
            left_out.update(reason for reason in reasons if reason is not None)
            usable = np.setdiff1d(usable, unknown[[reason is not None for reason in reasons]])
    numbers = np.bincount(dataset.whose[usable], minlength=len(dataset.identities))  # (I,)
    by_name = sorted(np.flatnonzero(numbers).tolist(), key=lambda who: dataset.identities[who])
    held_out, nobody = _held_out(by_name, numbers, settings)
    learnt = [who for who in by_name if numbers[who] >= settings.min_pictures and who not in held_out]
    label_of = np.full(len(numbers), _NOT_LEARNT)
    label_of[learnt] = np.arange(len(learnt))
    label_of[sorted(held_out)] = _HELD_OUT
    labels = label_of[dataset.whose[usable]]
    left_out["too_few_pictures"] += int((labels == _NOT_LEARNT).sum())
    if len(learnt) < 2:
        said = counted(len(learnt), "identity", "identities")
        raise ConfigError(f"{settings.data}: {said} to learn, at least 2 are needed; left out: {tally(left_out)}")
    return Collection(
        Persons(dataset, usable[labels >= 0], labels[labels >= 0], faces),
        Persons(dataset, usable[labels == _HELD_OUT], labels[labels == _HELD_OUT], faces),
        tuple(dataset.identities[who] for who in learnt),
        Cropper(dataset.read, dataset.is_aligned, catalog),
        settings.mask_prob,
        +left_out,
        nobody,
        dataset.aligned_by,
    )


def _may_be_shown(dataset: People, settings: TrainSettings) -> BoolArray:
    """(N,) which items have an identity with enough of them to be learnt or held out."""
    fewest = min(settings.min_pictures, _FEWEST_HELD_OUT) if settings.holdout else settings.min_pictures
    return (np.bincount(dataset.whose, minlength=len(dataset.identities)) >= fewest)[dataset.whose]


def _without_keypoints(dataset: People) -> IntArray:
    """The numbers of the items whose keypoints are not known."""
    if dataset.keypoints is None:
        return np.arange(len(dataset.names))
    return np.flatnonzero(np.isnan(dataset.keypoints[:, 0, 0]))


def _masks_of(settings: TrainSettings, then: UsedMasks | None) -> Catalog:
    now = Catalog.load(settings.catalog)
    if then is None:
        return now
    found = now.as_before(then.designs, then.sha256)
    if found is None:
        raise ConfigError(
            f"{', '.join(map(str, now.roots))}: the masks are not those that the training began with",
            "put them back, say by {catalog} where they are, or choose another {out}",
        )
    return found


def _held_out(by_name: list[int], numbers: IntArray, settings: TrainSettings) -> tuple[frozenset[int], str]:
    """Identities to validate on, drawn from those with two originals or more; none if that were over half of all.

    Where they would have more than `_MOST_HELD_OUT` originals, fewer are drawn. With them comes the reason why there
    are none although some were asked for.
    """
    if settings.holdout == 0:
        return frozenset(), ""
    candidates = [who for who in by_name if numbers[who] >= _FEWEST_HELD_OUT]
    wanted = max(round(settings.holdout * len(by_name)), 2)
    everybody = counted(len(by_name), "identity", "identities")
    if len(candidates) < 2:
        return frozenset(), f"{len(candidates)} of {everybody} have two originals, at least 2 must"
    if wanted > len(by_name) // 2:
        return frozenset(), f"{wanted} of {everybody} would be more than half"
    rng = np.random.default_rng([settings.seed, 0x686F6C64])  # a stream of its own
    chosen = np.array(candidates)[rng.choice(len(candidates), min(wanted, len(candidates)), replace=False)]
    few = np.cumsum(numbers[chosen]) <= _MOST_HELD_OUT
    few[:2] = True
    return frozenset(chosen[few].tolist()), ""
