"""What is learnt from: originals and masked copies as crops, one to one, in an order that the seed decides.

Every random choice about a sample comes from (seed, epoch, place): it does not matter which process or worker loads it,
nor whether a training was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maskgen.arrays import Float32Array, Image, IntArray, Lazy
from maskgen.catalog.store import Catalog
from maskgen.datasets.dataset import open_people
from maskgen.datasets.pairs import Pairs
from maskgen.datasets.people import AlignedBy, Item, People
from maskgen.detect import DetectorSpec
from maskgen.errors import ConfigError, ImageError
from maskgen.evaluate.pairs import draw_pairs
from maskgen.evaluate.report import Pictures
from maskgen.face.align import ARCFACE_SIDE
from maskgen.parallel import InProcess, LocalExecutor
from maskgen.plural import counted
from maskgen.recognition.cache import FaceCache
from maskgen.recognition.crops import Cropper
from maskgen.recognition.faces import cache_in, faces_of
from maskgen.recognition.seen import Seen
from maskgen.train.order import LARGE, Batches, layout_of, order
from maskgen.train.settings import TrainSettings, UsedMasks

_SUBSTITUTES = 50
"""How many neighbours may be unreadable in a row before the data are taken to be broken."""
_MOST_HELD_OUT = 10_000
"""Originals of people held out: their crops are in memory during the training, 0.4 GB of them and as much masked."""
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
        Reads them.
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
    wants_masks = settings.mask_prob is not None
    catalog = _masks_of(settings, masks) if wants_masks else None
    left_out = Counter(dataset.left_out)
    faces = Faces()
    usable: IntArray = np.arange(len(dataset.names))
    if wants_masks or not dataset.is_aligned:
        detectors = DetectorSpec(settings.model, aligned=dataset.is_aligned)
        # Keypoints are enough to align; only masks that are put on while loading need more.
        unknown = usable if wants_masks else _without_keypoints(dataset)
        executor = LocalExecutor(settings.workers) if settings.workers else InProcess()
        path = settings.faces or cache_in(cache, detectors, dataset.is_aligned)
        items = dataset.items if wants_masks else [dataset.items[number] for number in unknown.tolist()]
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
        raise ConfigError(f"{settings.data}: {said} to learn, at least 2 are needed")
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
    candidates = [who for who in by_name if numbers[who] > 1]
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


class Sample(NamedTuple):
    """A picture to learn from; a batch has a leading axis B.

    Attributes
    ----------
    picture : (3, 112, 112) uint8 tensor
        RGB, perhaps masked, perhaps mirrored.
    clean : (3, 112, 112) uint8 tensor
        The same without a mask, mirrored alike: what the teacher sees.
    label : int
        The identity.
    entry, used : int
        The entry that was asked for, and the one that is shown: another one if the first could not be read.
    """

    picture: Tensor
    clean: Tensor
    label: int
    entry: int
    used: int


class Samples(Dataset[Sample]):
    """The entries of a collection, by (epoch, place)."""

    def __init__(self, collection: Collection, seed: int, flip: bool) -> None:
        self.collection = collection
        self.entries = collection.entries
        starts = collection.people.starts
        is_large = starts is not None and len(self.entries) > LARGE
        self.layout = layout_of(self.entries.places, starts) if starts is not None and is_large else None
        self.seed = seed
        self.flip = flip

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, key: tuple[int, int]) -> Sample:
        """A sample; if its picture cannot be read, the next one that can be.

        Raises
        ------
        ImageError
            If a long row of pictures cannot be read.
        """
        epoch, entry = key
        rng = np.random.default_rng([self.seed, epoch, entry])
        for offset in range(min(_SUBSTITUTES, len(self))):
            used = (entry + offset) % len(self)
            index, is_masked = self.entries[used]
            person = self.collection.people[index]
            try:
                clean, picture = crops_of(self.collection, person, is_masked, rng)
            except ImageError as error:
                fault = error
                continue
            if self.flip and rng.random() < 0.5:
                clean, picture = clean[:, ::-1], picture[:, ::-1]
            return Sample(_planes(picture), _planes(clean), person.label, entry, used)
        raise ImageError(f"{_SUBSTITUTES} pictures in a row cannot be read, the last: {fault}")

    def name(self, entry: int) -> str:
        """The file of an entry."""
        index, is_masked = self.entries[entry]
        item = self.collection.people[index].item
        return item.masked[0] if is_masked else item.original


def crops_of(collection: Collection, person: Person, is_masked: bool, rng: np.random.Generator) -> tuple[Image, Image]:
    """The crop (112, 112, 3) of an original, and the crop to learn from, which may be the same.

    Raises
    ------
    ImageError
        If a picture cannot be read.
    """
    cropper, item = collection.cropper, person.item
    if collection.mask_prob is not None and person.seen is not None and rng.random() < collection.mask_prob:
        clean, masked = cropper.masked(item.original, person.seen, rng)
        return clean, clean if masked is None else masked
    clean = cropper.clean(item.original, person.keypoints)
    if is_masked:
        return clean, cropper.clean(item.masked[rng.integers(len(item.masked))], person.keypoints)
    return clean, clean


def _planes(crop: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(crop.transpose(2, 0, 1)))


def to_input(pictures: Tensor) -> Tensor:
    """Bytes (B, 3, 112, 112) as a network's input, -1 to 1."""
    # Channels last in memory: 1.5 times as fast on CPUs, and best for half precision on GPUs.
    return ((pictures.float() - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


def batches(samples: Samples, batch: int, epoch: int, rank: int = 0, world: int = 1) -> Batches:
    """The keys of one process's share of each batch of an epoch.

    Together the processes go through the batches that a single one would. Entries that fill no batch are left out of
    this epoch.
    """
    return Batches(order(len(samples), samples.seed, epoch, samples.layout), batch, epoch, rank, world)


def loader(samples: Samples, keys: Batches, workers: int) -> DataLoader[Sample]:
    """Batches of samples, in the order of the keys."""
    # A worker is a fork of this process: it would wait for ever for threads that OpenCV started before the fork.
    cv2.setNumThreads(1)
    catalog = samples.collection.cropper.catalog
    if catalog is not None and workers:
        catalog.preload()  # once, and not once per worker and epoch
    return DataLoader(samples, batch_sampler=keys, num_workers=workers, pin_memory=torch.cuda.is_available())


def validation(collection: Collection, seed: int) -> tuple[Pairs, Pictures] | None:
    """The people held out, as pairs and crops, clean and masked; None if there are none."""
    people = collection.held_out
    has_masks = collection.mask_prob is not None or any(person.item.masked for person in people)
    clean = np.zeros((len(people), ARCFACE_SIDE, ARCFACE_SIDE, 3), np.uint8)
    masked = np.zeros_like(clean) if has_masks else None
    is_usable = np.zeros(len(people), bool)
    left_out = Counter[str]()
    for index, person in enumerate(people):
        try:
            clean[index], worn = _validation_crops(collection, person, np.random.default_rng([seed, index]))
        except ImageError:
            left_out["bad_image"] += 1
            continue
        if masked is not None and worn is not None:
            masked[index] = worn
        is_usable[index] = masked is None or worn is not None
        left_out["no_mask"] += not is_usable[index]
    try:
        usable: IntArray = np.flatnonzero(is_usable)
        names = [people[i].item.name for i in usable]
        pairs = draw_pairs(names, [people[i].item.identity for i in usable], np.random.default_rng(seed))
    except ConfigError:
        return None
    kept = None if masked is None else masked[usable]
    return pairs, Pictures(clean[usable], kept, np.ones(len(usable), bool), +left_out)


def _validation_crops(collection: Collection, person: Person, rng: np.random.Generator) -> tuple[Image, Image | None]:
    if collection.mask_prob is not None:
        assert person.seen is not None
        return collection.cropper.masked(person.item.original, person.seen, rng)
    clean = collection.cropper.clean(person.item.original, person.keypoints)
    copies = person.item.masked
    return clean, collection.cropper.clean(copies[0], person.keypoints) if copies else None
