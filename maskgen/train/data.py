"""What is seen of those who are learnt: crops, one to one with and without masks, in an order that the seed decides.

Every random choice about a sample comes from (seed, epoch, place): it does not matter which process or worker loads it,
nor whether a training was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from maskgen.arrays import Image, IntArray
from maskgen.datasets.pairs import Pairs
from maskgen.errors import ConfigError, ImageError
from maskgen.evaluate.pairs import draw_pairs
from maskgen.evaluate.report import Pictures
from maskgen.face.align import ARCFACE_SIDE
from maskgen.train.collection import Collection, Person
from maskgen.train.order import LARGE, Batches, layout_of, order

_SUBSTITUTES = 50
"""How many neighbours may be unreadable in a row before the data are taken to be broken."""


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
    """The entries of a collection, by (epoch, place).

    With a `mask_share`, each entry of an original that has masked copies draws in every epoch whether it shows one.
    """

    def __init__(self, collection: Collection, seed: int, flip: bool, mask_share: float | None = None) -> None:
        self.collection = collection
        self.entries = collection.entries
        starts = collection.people.starts
        is_large = starts is not None and len(self.entries) > LARGE
        self.layout = layout_of(self.entries.places, starts) if starts is not None and is_large else None
        self.seed = seed
        self.flip = flip
        self.mask_share = mask_share

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
            if self.mask_share is not None and person.item.masked:
                is_masked = bool(rng.random() < self.mask_share)
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
        """The file of an entry; where it draws what it shows, that of its original."""
        index, is_masked = self.entries[entry]
        item = self.collection.people[index].item
        return item.masked[0] if is_masked and self.mask_share is None else item.original


class Original(NamedTuple):
    """An original as a crop; a batch has a leading axis B. A picture that cannot be read is black, and says so."""

    picture: Tensor  # (3, 112, 112) uint8
    label: int
    is_read: bool


class Originals(Dataset[Original]):
    """Some originals of a collection, by their places among them."""

    def __init__(self, collection: Collection, chosen: IntArray) -> None:
        self.collection = collection
        self.chosen = chosen

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, place: int) -> Original:
        person = self.collection.people[int(self.chosen[place])]
        try:
            crop = self.collection.cropper.clean(person.item.original, person.keypoints)
        except ImageError:
            return Original(torch.zeros(3, ARCFACE_SIDE, ARCFACE_SIDE, dtype=torch.uint8), person.label, False)
        return Original(_planes(crop), person.label, True)

    def batches(self, size: int) -> list[range]:
        """Their places in batches; the last one may be smaller."""
        return [range(start, min(start + size, len(self))) for start in range(0, len(self), size)]


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


def spread(samples: Samples, number: int) -> Tensor:
    """Pictures (B, 3, 112, 112) uint8, evenly spread over the data; fewer than `number` if there are not as many."""
    entries = np.linspace(0, len(samples) - 1, min(number, len(samples))).astype(int)
    return torch.stack([samples[0, int(entry)].picture for entry in entries])


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


def loader(samples: Samples | Originals, keys: Sequence[Any], workers: int) -> DataLoader[Any]:
    """Batches of samples, in the order of the keys, from no more processes than there are batches."""
    # A worker is a fork of this process: it would wait for ever for threads that OpenCV started before the fork.
    cv2.setNumThreads(1)
    catalog = samples.collection.cropper.catalog
    if catalog is not None and workers:
        catalog.preload()  # once, and not once per worker and epoch
    workers = min(workers, len(keys))
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
