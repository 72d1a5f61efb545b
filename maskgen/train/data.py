"""What is seen of those who are learnt: crops, one to one with and without masks, in an order that the seed decides.

Every random choice about a sample comes from (seed, epoch, place): it does not matter which process or worker loads it,
nor whether a training was interrupted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
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
_BATCH = 64
_BLACK = np.zeros((ARCFACE_SIDE, ARCFACE_SIDE, 3), np.uint8)
"""In the place of a picture that is not there."""


class Sample(NamedTuple):
    """A picture to learn from; a batch has a leading axis B.

    Attributes
    ----------
    picture : (3, 112, 112) uint8 tensor
        RGB, perhaps masked, perhaps mirrored.
    clean : (3, 112, 112) uint8 tensor
        The same without a mask, mirrored alike: what the teacher sees.
    is_masked : bool
        Whether the picture wears a mask.
    label : int
        The identity.
    entry, used : int
        The entry that was asked for, and the one that is shown: another one if the first could not be read.
    """

    picture: Tensor
    clean: Tensor
    is_masked: bool
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
            wears_mask = picture is not clean
            if self.flip and rng.random() < 0.5:
                clean, picture = clean[:, ::-1], picture[:, ::-1]
            return Sample(_planes(picture), _planes(clean), wears_mask, person.label, entry, used)
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
            return Original(_planes(_BLACK), person.label, False)
        return Original(_planes(crop), person.label, True)


class HeldOutCrops(NamedTuple):
    """A picture of somebody held out as crops; a batch has a leading axis B. What is not there is black."""

    clean: Tensor  # (112, 112, 3) uint8
    masked: Tensor  # (112, 112, 3) uint8
    is_read: bool
    is_masked: bool


class HeldOut(Dataset[HeldOutCrops]):
    """The people held out of a collection, each picture without a mask and with one, by their places among them."""

    def __init__(self, collection: Collection, seed: int) -> None:
        self.collection = collection
        self.seed = seed
        self._takes_copies = collection.mask_prob is None
        has_copies = self._takes_copies and bool(collection.held_out.copies.any())
        self.has_masks = collection.cropper.catalog is not None or has_copies

    def __len__(self) -> int:
        return len(self.collection.held_out)

    def __getitem__(self, place: int) -> HeldOutCrops:
        try:
            clean, masked = self._crops(self.collection.held_out[place], np.random.default_rng([self.seed, place]))
        except ImageError:
            clean, masked, is_read = _BLACK, None, False
        else:
            is_read = True
        worn = _BLACK if masked is None else masked
        return HeldOutCrops(_tensor(clean), _tensor(worn), is_read, masked is not None)

    def _crops(self, person: Person, rng: np.random.Generator) -> tuple[Image, Image | None]:
        cropper = self.collection.cropper
        if cropper.catalog is not None:
            assert person.seen is not None
            return cropper.masked(person.item.original, person.seen, rng)
        clean, copies = cropper.clean(person.item.original, person.keypoints), person.item.masked
        return clean, cropper.clean(copies[0], person.keypoints) if copies and self._takes_copies else None


def crops_of(collection: Collection, person: Person, is_masked: bool, rng: np.random.Generator) -> tuple[Image, Image]:
    """The crop (112, 112, 3) of an original, and the crop to learn from, which is the same where it wears no mask.

    Raises
    ------
    ImageError
        If a picture cannot be read.
    """
    cropper, item = collection.cropper, person.item
    if cropper.catalog is not None and rng.random() < (collection.mask_prob or 0):
        assert person.seen is not None
        clean, masked = cropper.masked(item.original, person.seen, rng)
        return clean, clean if masked is None else masked
    clean = cropper.clean(item.original, person.keypoints)
    if is_masked:
        return clean, cropper.clean(item.masked[rng.integers(len(item.masked))], person.keypoints)
    return clean, clean


def _planes(crop: Image) -> Tensor:
    return _tensor(crop.transpose(2, 0, 1))


def _tensor(pixels: Image) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(pixels))


def spread(samples: Samples, number: int, workers: int = 0) -> Tensor:
    """Pictures (B, 3, 112, 112) uint8, evenly spread over the data; fewer than `number` if there are not as many."""
    keys = [(0, entry) for entry in np.linspace(0, len(samples) - 1, min(number, len(samples))).astype(int).tolist()]
    batched = [keys[places.start : places.stop] for places in in_batches(len(keys))]
    return torch.cat([batch.picture for batch in loader(samples, batched, workers)])


def to_input(pictures: Tensor) -> Tensor:
    """Bytes (B, 3, 112, 112) as a network's input, -1 to 1."""
    # Channels last in memory: 1.5 times as fast on CPUs, and best for half precision on GPUs.
    return ((pictures.float() - 127.5) / 127.5).contiguous(memory_format=torch.channels_last)


def in_batches(number: int) -> list[range]:
    """The places of so many pictures in batches; the last one may be smaller."""
    return [range(start, min(start + _BATCH, number)) for start in range(0, number, _BATCH)]


def batches(samples: Samples, batch: int, epoch: int, rank: int = 0, world: int = 1) -> Batches:
    """The keys of one process's share of each batch of an epoch.

    Together the processes go through the batches that a single one would. Entries that fill no batch are left out of
    this epoch.
    """
    return Batches(order(len(samples), samples.seed, epoch, samples.layout), batch, epoch, rank, world)


def loader(samples: Samples | Originals | HeldOut, keys: Sequence[Any], workers: int) -> DataLoader[Any]:
    """Batches of samples, in the order of the keys, from no more processes than there are batches."""
    # A worker is a fork of this process: it would wait for ever for threads that OpenCV started before the fork.
    cv2.setNumThreads(1)
    catalog = samples.collection.cropper.catalog
    if catalog is not None and workers:
        catalog.preload()  # once, and not once per worker and epoch
    workers = min(workers, len(keys))
    return DataLoader(samples, batch_sampler=keys, num_workers=workers, pin_memory=torch.cuda.is_available())


def validation(
    collection: Collection,
    seed: int,
    workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Pairs, Pictures] | None:
    """The people held out, as pairs and crops, clean and masked; None if there are none.

    Parameters
    ----------
    collection : Collection
        Who they are.
    seed : int
        Of the pairs, and of masks that are put on.
    workers : int
        Processes that load the pictures; whatever their number, the result is the same.
    on_progress : callable
        Gets the number of pictures loaded, and of all.
    """
    held_out = HeldOut(collection, seed)
    number = len(held_out)
    clean = np.zeros((number, ARCFACE_SIDE, ARCFACE_SIDE, 3), np.uint8)
    masked = np.zeros_like(clean) if held_out.has_masks else None
    is_read, is_masked = np.zeros(number, bool), np.zeros(number, bool)
    for places, batch in zip(keys := in_batches(number), loader(held_out, keys, workers), strict=True):
        clean[places], is_read[places], is_masked[places] = batch.clean, batch.is_read, batch.is_masked
        if masked is not None:
            masked[places] = batch.masked
        on_progress(places.stop, number)
    is_usable = is_read & is_masked if held_out.has_masks else is_read
    left_out = Counter(bad_image=int((~is_read).sum()), no_mask=int((is_read & ~is_usable).sum()))
    try:
        usable: IntArray = np.flatnonzero(is_usable)
        people = [collection.held_out[place].item for place in usable.tolist()]
        pairs = draw_pairs(
            [item.name for item in people], [item.identity for item in people], np.random.default_rng(seed)
        )
    except ConfigError:
        return None
    kept = None if masked is None else masked[usable]
    return pairs, Pictures(clean[usable], kept, np.ones(len(usable), bool), +left_out)
