"""A data set of people: one item an original picture, with its identity and its masked copies.

`Dataset` is all that training and evaluation see. A folder of identities and an output of ``maskgen augment`` are here;
RecordIO and WebDataset need a class each that lists items and reads keys.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

import numpy as np

from maskgen import images, manifest
from maskgen.arrays import Float32Array, Image
from maskgen.errors import ConfigError
from maskgen.face import Face, HeadPose
from maskgen.manifest import FaceRow, Row

_LATER: Final = {".rec": "RecordIO", ".idx": "RecordIO", ".tar": "WebDataset"}


@dataclass(frozen=True)
class Item:
    """An original picture.

    Attributes
    ----------
    name : str
        Its relative path, unique in the data set.
    identity : str
        Who is on it.
    original : str
        What `Dataset.read` takes to read it.
    masked : tuple of str
        What `Dataset.read` takes to read its masked copies; they have the original's size and keypoints.
    keypoints : (5, 2) array or None
        Of its largest face, pixels, if the data set knows them: enough to align it and its masked copies.
    face : Face or None
        The same face, if the data set knows its landmarks: enough to mask it.
    """

    name: str
    identity: str
    original: str
    masked: tuple[str, ...] = ()
    keypoints: Float32Array | None = None
    face: Face | None = None


class Dataset(Protocol):
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


def open_dataset(path: Path, original: Path | None = None, aligned: bool | None = None) -> Dataset:
    """The data set at a path.

    Parameters
    ----------
    path : Path
        A folder with a folder an identity, or an output of ``maskgen augment``.
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
    if path.suffix in _LATER:
        raise ConfigError(f"{path}: {_LATER[path.suffix]} cannot be read yet; unpack it to a folder an identity")
    if not path.is_dir():
        raise ConfigError(f"{path}: no such folder")
    if (path / manifest.MANIFEST_FILE).is_file():
        return augmented(path, original, aligned)
    if original is not None:
        raise ConfigError(f"--original {original}: {path} has no {manifest.MANIFEST_FILE}, it is no output of augment")
    return folder(path, bool(aligned))


def folder(root: Path, aligned: bool = False) -> Files:
    """The pictures under a folder; the first folder on the way to a picture is its identity.

    Raises
    ------
    ConfigError
        If there is none.
    """
    items, left_out = list[Item](), Counter[str]()
    for parent, folders, names in os.walk(root):
        folders.sort()
        for name in sorted(names):
            relative = PurePosixPath(Path(parent, name).relative_to(root).as_posix())
            if images.format_of(name) is None:
                left_out["not_an_image"] += 1
            elif len(relative.parts) < 2:
                left_out["no_identity"] += 1
            else:
                items.append(Item(str(relative), relative.parts[0], str(root / relative)))
    if not items:
        raise ConfigError(f"{root}: no pictures in folders; expected a folder an identity, such as {root}/ann/1.jpg")
    return Files(tuple(items), aligned, left_out)


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
        aligned = record.settings.get("aligned") is True if aligned is None else aligned
        source = Path(record.source) if source is None else source
    rows = {row.path: row for row in manifest.read(root / manifest.MANIFEST_FILE)}
    items, left_out = list[Item](), Counter[str]()
    for name in sorted(rows):
        row, relative = rows[name], PurePosixPath(name)
        if not row.faces:
            left_out[row.reason or "no_face"] += 1
        elif len(relative.parts) < 2:
            left_out["no_identity"] += 1
        else:
            items.append(_item(root, source, original is not None, row))
    if not items:
        raise ConfigError(f"{root}: the manifest lists no pictures with faces in folders, one an identity")
    return Files(tuple(items), bool(aligned), left_out)


def _item(root: Path, source: Path | None, prefers_source: bool, row: Row) -> Item:
    if row.original is not None and not prefers_source:
        original = root / row.original
    elif source is not None:
        original = source / row.path
    else:
        original = root / row.path
    if not original.exists():
        raise ConfigError(
            f"{original}: the original of a masked picture is missing; --original takes the folder that has it"
        )
    masked = tuple(
        str(root / variant.file)
        for variant in row.variants
        if variant.file is not None and variant.masks[0].design is not None
    )
    identity = PurePosixPath(row.path).parts[0]
    keypoints = np.array(row.faces[0].keypoints, np.float32)
    return Item(row.path, identity, str(original), masked, keypoints, face_of_row(row.faces[0]))


def face_of_row(row: FaceRow) -> Face | None:
    """A face as a manifest has it; None if the manifest was written without landmarks."""
    if row.landmarks is None:
        return None
    landmarks = np.array(row.landmarks, np.float32)
    pose = HeadPose(row.pose.yaw, row.pose.pitch, row.pose.roll)
    keypoints = np.array(row.keypoints, np.float32)
    return Face(np.array(row.bbox, np.float32), keypoints, landmarks, pose, row.score)
