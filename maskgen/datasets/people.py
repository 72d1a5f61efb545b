"""A dataset of people: one item per original picture, with its identity and its masked copies.

`People` is all that training and evaluation see: a folder with one folder per identity, or an output of
``maskgen augment``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from maskgen import images, manifest
from maskgen.arrays import Float32Array, Image
from maskgen.datasets.base import Fault
from maskgen.datasets.folder import FolderReader
from maskgen.datasets.open import refuse_other_formats
from maskgen.errors import ConfigError
from maskgen.face import Face
from maskgen.manifest import Row

# Parts that datasets come in.
_PARTS: Final = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"})
# A person hardly has so many folders; a part has at least so many people.
_MANY: Final = 10


@dataclass(frozen=True)
class Item:
    """An original picture.

    Attributes
    ----------
    name : str
        Its relative path, unique in the dataset.
    identity : str
        Who is on it.
    original : str
        What `People.read` takes to read it.
    masked : tuple of str
        What `People.read` takes to read its masked copies; they have the original's size and keypoints.
    keypoints : (5, 2) array or None
        Of its largest face, pixels, if the dataset knows them: enough to align it and its masked copies.
    face : Face or None
        The same face, if the dataset knows its landmarks: enough to mask it.
    """

    name: str
    identity: str
    original: str
    masked: tuple[str, ...] = ()
    keypoints: Float32Array | None = None
    face: Face | None = None


class People(Protocol):
    """Whatever holds pictures of people."""

    @property
    def items(self) -> Sequence[Item]:
        """The originals, in an order that does not change."""
        ...

    @property
    def is_aligned(self) -> bool:
        """Whether the pictures are ArcFace crops already."""
        ...

    @property
    def left_out(self) -> Mapping[str, int]:
        """Why entries are no items -> how many."""
        ...

    @property
    def read(self) -> Callable[[str], Image]:
        """Gives a picture (H, W, 3), RGB, upright, or raises ImageError; small enough to be sent to other processes."""
        ...


def read_file(key: str) -> Image:
    """The picture (H, W, 3) in a file, RGB, upright.

    Raises
    ------
    ImageError
        If the file cannot be read.
    """
    return images.read(Path(key)).pixels


@dataclass(frozen=True)
class Files:
    """Items that are files of their own; keys are paths."""

    items: tuple[Item, ...]
    is_aligned: bool = False
    left_out: Mapping[str, int] = field(default_factory=dict)
    read: Callable[[str], Image] = read_file


def open_people(path: Path, original: Path | None = None, aligned: bool | None = None) -> People:
    """The people at a path.

    Parameters
    ----------
    path : Path
        A folder with one folder per identity, or an output of ``maskgen augment``.
    original : Path, optional
        Where an output of augment has its originals; by default beside the masked copies, or in the folder that
        augment read.
    aligned : bool, optional
        Whether pictures are ArcFace crops already; an output of augment knows by itself.

    Raises
    ------
    ConfigError
        If there is nothing that can be read, or the originals are missing.
    """
    refuse_other_formats(path)
    if (path / manifest.MANIFEST_FILE).is_file():
        return augmented(path, original, aligned)
    if original is not None:
        raise ConfigError(
            f"{path}: has no {manifest.MANIFEST_FILE}, so it is no output of augment",
            "leave out {original}, or give the folder that augment wrote",
        )
    return folder(path, bool(aligned))


def folder(root: Path, aligned: bool = False) -> Files:
    """The pictures under a folder; the first folder on the way to a picture is its identity.

    Raises
    ------
    ConfigError
        If there is none, or the folders look like parts of a dataset rather than people.
    """
    items, left_out = list[Item](), Counter[str]()
    for found in FolderReader(root).listed:
        if isinstance(found, Fault):
            left_out[found.reason] += 1
        elif found.identity is None:
            left_out["no_identity"] += 1
        else:
            items.append(Item(found.key, found.identity, str(root / found.key)))
    if not items:
        raise ConfigError(
            f"{root}: no pictures in folders", "give a folder with one folder per identity, such as ann/1.jpg"
        )
    _refuse_parts(root, [item.name for item in items])
    return Files(tuple(items), aligned, left_out)


def _refuse_parts(root: Path, names: Sequence[str]) -> None:
    """Raise an error where what looks like identities are parts of a dataset, such as ``train`` and ``val``."""
    depths = Counter(name.count("/") for name in names)
    if min(depths) < 2:
        return
    firsts = Counter(name.split("/")[0] for name in names)
    seconds = {"/".join(name.split("/")[:2]) for name in names}
    are_parts = all(first.lower() in _PARTS for first in firsts) or len(seconds) >= _MANY * len(firsts)
    if are_parts or len(firsts) == 1:
        likely = root / firsts.most_common(1)[0][0]
        raise ConfigError(
            f"{root}: all pictures lie two folders deep, so {', '.join(sorted(firsts)[:3])} would be taken for people; "
            f"the folder with one folder per identity is likely {likely}",
            "give that one",
        )


def augmented(root: Path, original: Path | None = None, aligned: bool | None = None) -> Files:
    """What ``maskgen augment`` wrote; originals without a masked copy are items too.

    Raises
    ------
    ConfigError
        If the manifest cannot be read, or originals are nowhere.
    """
    source = original
    if (root / manifest.RUN_FILE).is_file():
        record = manifest.read_run(root / manifest.RUN_FILE)
        are_crops = record.settings.get("aligned") is True or record.settings.get("align") is not None
        aligned = are_crops if aligned is None else aligned
        if record.settings.get("masks") is False:
            return folder(root, aligned)
        source = Path(record.source) if source is None else source
    rows = {row.key: row for row in manifest.read(root / manifest.MANIFEST_FILE)}
    items, left_out = list[Item](), Counter[str]()
    for key in sorted(rows):
        row = rows[key]
        if not row.faces:
            left_out[row.reason or "no_face"] += 1
        elif row.identity is None:
            left_out["no_identity"] += 1
        else:
            items.append(_item(root, source, original is not None, row))
    if not items:
        raise ConfigError(f"{root}: the manifest lists no pictures with faces in folders, one per identity")
    _refuse_parts(root, [item.name for item in items])
    return Files(tuple(items), bool(aligned), left_out)


def _item(root: Path, source: Path | None, prefers_source: bool, row: Row) -> Item:
    if row.original is not None and row.original.place is not None and not prefers_source:
        original = root / row.original.place
    elif row.crop is not None and not prefers_source:
        raise ConfigError(f"{root}: crops of masked people without their originals", "make them with {originals}")
    elif source is not None:
        original = source / row.key
    else:
        original = root / row.key
    if not original.exists():
        raise ConfigError(
            f"{original}: the original of a masked picture is missing", "set {original} to the folder that has it"
        )
    number = _whose(row)
    masked = tuple(
        str(root / variant.place)
        for variant in row.variants
        if variant.place is not None and variant.masks[number].design is not None
    )
    assert row.identity is not None
    if row.crop is not None:
        # Its points lie in the picture that it was cut from.
        return Item(row.key, row.identity, str(original), masked)
    keypoints = np.array(row.faces[number].keypoints, np.float32)
    return Item(row.key, row.identity, str(original), masked, keypoints, manifest.face_of(row.faces[number]))


def _whose(row: Row) -> int:
    """The number of the face that a row is about: the one that was to be masked, if only one was."""
    reasons = [mask.reason for mask in row.variants[0].masks] if row.variants else []
    return next((number for number, reason in enumerate(reasons) if reason != "not_central"), 0)
