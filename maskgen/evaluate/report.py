"""The crops of a list of pairs, masked on the way, and what a model makes of them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from maskgen.arrays import BoolArray, Image
from maskgen.catalog.store import Catalog
from maskgen.errors import ImageError
from maskgen.evaluate.compare import Embeddings
from maskgen.evaluate.embed import Embed, embeddings_of
from maskgen.evaluate.parts import Traits
from maskgen.face import Face
from maskgen.face.align import ARCFACE_SIDE
from maskgen.masking.augment import MaskedFace
from maskgen.recognition.cache import FaceCache
from maskgen.recognition.crops import Cropper

_BATCH: Final = 64


@dataclass(frozen=True)
class Pictures:
    """The crops of all pictures of a list of pairs.

    Attributes
    ----------
    clean : (N, 112, 112, 3) uint8 array
        RGB.
    masked : (N, 112, 112, 3) uint8 array or None
        The same with masks on.
    is_usable : (N,) bool array
        Whether there is such a crop.
    left_out : dict
        Reason -> how many pictures have none for it.
    traits : Traits or None
        What was seen of the faces, and which masks were put on, if anybody looked.
    """

    clean: Image
    masked: Image | None
    is_usable: BoolArray
    left_out: Mapping[str, int]
    traits: Traits | None = None


def collect(
    names: tuple[str, ...],
    keys: Mapping[str, str],
    missing: Collection[str],
    faces: FaceCache | None,
    cropper: Cropper,
    seed: int,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> Pictures:
    """The crops of pictures, masked too if the cropper has a catalog.

    Parameters
    ----------
    names : tuple of str
        The pictures; a mask depends on the seed and on the place of its picture in this tuple.
    keys : mapping
        Name -> what the cropper reads.
    missing : collection of str
        Names of pictures that are not there.
    faces : FaceCache or None
        Knows the faces of the others; aligned crops without masks need none.
    cropper : Cropper
        Reads and masks.
    seed : int
        Of the masks.
    on_progress : callable
        Gets the number of pictures done, and of all.
    """
    clean = np.zeros((len(names), ARCFACE_SIDE, ARCFACE_SIDE, 3), np.uint8)
    masked = None if cropper.catalog is None else np.zeros_like(clean)
    is_usable = np.zeros(len(names), bool)
    left_out: dict[str, int] = {}
    faces_seen, masks = list[Face | None](), list[MaskedFace | None]()
    for index, name in enumerate(names):
        seen = None if faces is None or name in missing else faces.get(name)
        reason: str | None = "missing" if name in missing else None if seen is None else seen.reason
        mask: MaskedFace | None = None
        try:
            if reason is not None:
                pass
            elif masked is None:
                clean[index] = cropper.clean(keys[name], None if seen is None else seen.face.keypoints)
            else:
                assert seen is not None
                clean[index], worn = cropper.worn(keys[name], seen, np.random.default_rng([seed, index]))
                if worn.is_masked:
                    masked[index], mask = worn.image, worn.faces[0]
                else:
                    reason = "no_view_for_pose"
        except ImageError:
            reason = "bad_image"
        is_usable[index] = reason is None
        if reason is not None:
            left_out[reason] = left_out.get(reason, 0) + 1
        faces_seen.append(None if seen is None or seen.reason is not None else seen.face)
        masks.append(mask)
        on_progress(index + 1, len(names))
    traits = None if faces is None else _traits(faces_seen, masks, cropper.catalog)
    return Pictures(clean, masked, is_usable, left_out, traits)


def _traits(faces: list[Face | None], masks: list[MaskedFace | None], catalog: Catalog | None) -> Traits:
    kinds = {} if catalog is None else {design.entry.name: design.entry.kind for design in catalog.designs}
    return Traits(
        np.array([np.nan if face is None else face.pose.yaw for face in faces], np.float32),
        np.array([np.nan if face is None else max(face.size_wh) for face in faces], np.float32),
        tuple(None if mask is None else mask.wear for mask in masks),
        tuple(None if mask is None or mask.design is None else kinds[mask.design] for mask in masks),
    )


def embedded(
    pictures: Pictures, embed: Embed, on_progress: Callable[[int, int], None] = lambda done, total: None
) -> Embeddings:
    """What a model makes of pictures, for `maskgen.evaluate.compare`; `on_progress` gets how many are done, of all."""
    sides = [pictures.clean, *([] if pictures.masked is None else [pictures.masked])]
    done, total = 0, sum(map(len, sides))

    def batches(crops: Image) -> Iterator[Image]:
        nonlocal done
        for start in range(0, len(crops), _BATCH):
            yield (batch := crops[start : start + _BATCH])
            done += len(batch)
            on_progress(done, total)

    clean, *masked = [embeddings_of(batches(crops), embed) for crops in sides]
    return Embeddings(clean, masked[0] if masked else None, pictures.is_usable, pictures.traits)
