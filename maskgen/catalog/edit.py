"""Change a catalog on disk, so that a reader finds a whole one at any moment.

Pictures are written first, under names that no older picture has. Then ``catalog.json`` is replaced in one step. Last,
the pictures that it no longer names are deleted. A process that is killed in between leaves a whole catalog, and
perhaps pictures that no design names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Literal

import cv2
from pydantic import ValidationError

from maskgen import files
from maskgen.arrays import Image
from maskgen.catalog.schema import SCHEMA_VERSION, CatalogFile, DesignEntry, Rotation
from maskgen.catalog.store import CATALOG_FILE, default_catalog_dir, dump, parse
from maskgen.errors import CatalogError
from maskgen.schema import first_fault

OnClash = Literal["refuse", "rename", "replace"]

LOCK_FILE: Final = ".lock"


class NameTakenError(CatalogError):
    """A design of this name is in the catalog already."""


@dataclass(frozen=True)
class NewView:
    """A view that is in no catalog yet.

    Attributes
    ----------
    png : bytes
        RGBA PNG, straight alpha.
    rotation : Rotation
        The head rotations it is for.
    points : dict
        Control point -> (x, y), pixels.
    """

    png: bytes
    rotation: Rotation
    points: dict[str, tuple[float, float]]


@dataclass(frozen=True)
class NewDesign:
    """A design that is in no catalog yet; the fields mean the same as those of `DesignEntry`."""

    name: str
    kind: str
    license: str
    views: tuple[NewView, ...]
    colour: str = ""
    tags: tuple[str, ...] = ()
    weight: float = 1.0
    mirror: bool = True


def png_of(rgba: Image) -> bytes:
    """An (H, W, 4) uint8 picture, straight alpha, as a PNG."""
    done, buffer = cv2.imencode(".png", cv2.cvtColor(rgba, cv2.COLOR_RGBA2BGRA), [cv2.IMWRITE_PNG_COMPRESSION, 9])
    assert done
    return bytes(buffer)


def contents(root: Path) -> CatalogFile:
    """The contents of a catalog's ``catalog.json``; no designs if there is no such file yet.

    Raises
    ------
    CatalogError
        If it cannot be read or is malformed.
    """
    path = root / CATALOG_FILE
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        return CatalogFile(schema_version=SCHEMA_VERSION, masks=())
    except OSError as error:
        raise CatalogError(f"{path}: cannot read the catalog ({error.strerror})") from error
    return parse(raw, path)


def add(root: Path, designs: Sequence[NewDesign], on_clash: OnClash = "refuse") -> list[str]:
    """Put designs into a catalog, all or none; the folder is made if there is none.

    Parameters
    ----------
    root : Path
        The catalog's folder.
    designs : sequence of NewDesign
        What to put in.
    on_clash : {"refuse", "rename", "replace"}
        What to do about a name that is taken; a renamed design gets ``-2`` or the next number.

    Returns
    -------
    list of str
        The names they have now.

    Raises
    ------
    NameTakenError
        If a name is taken and `on_clash` is ``refuse``.
    CatalogError
        If a design breaks the schema, another process changes the catalog, or the folder is the catalog that ships.
    MaskgenError
        If nothing can be written there.
    """
    with locked(root):
        old = contents(root)
        masks = {entry.name: entry for entry in old.masks}
        names = []
        for design in designs:
            name = design.name
            if name in masks and on_clash == "refuse":
                raise NameTakenError(
                    f"{root}: design {name!r} is there already", "use {on_clash=rename} or {on_clash=replace}"
                )
            if on_clash == "rename":
                name = free_name(name, masks)
            masks[name] = _entry(root, replace(design, name=name))
            names.append(name)
        new = CatalogFile(schema_version=SCHEMA_VERSION, masks=tuple(masks.values()))
        for design, name in zip(designs, names, strict=True):
            for view, entry in zip(design.views, masks[name].views, strict=True):
                files.write_whole(root / entry.file, view.png)
        _swap(root, old, new)
    return names


def remove(root: Path, names: Sequence[str]) -> None:
    """Take designs out of a catalog and delete their pictures.

    Raises
    ------
    CatalogError
        If one is not there; then none is removed. Otherwise as `add`.
    """
    with locked(root):
        old = contents(root)
        missing = sorted(set(names) - {entry.name for entry in old.masks})
        if missing:
            raise CatalogError(f"{root}: no design {', '.join(map(repr, missing))}")
        kept = tuple(entry for entry in old.masks if entry.name not in set(names))
        _swap(root, old, CatalogFile(schema_version=SCHEMA_VERSION, masks=kept))


def free_name(name: str, taken: Sequence[str] | dict[str, DesignEntry]) -> str:
    """The name, or the first of ``name-2``, ``name-3``, ... that is free."""
    if name not in taken:
        return name
    number = 2
    while f"{name[:58]}-{number}" in taken:
        number += 1
    return f"{name[:58]}-{number}"


def check_writable(root: Path) -> None:
    """Make sure that a catalog may be changed: it is not the one that ships, and what is in it can be read.

    Raises
    ------
    CatalogError
        If not.
    """
    _refuse_shipped(root)
    contents(root)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """Keep other processes from changing a catalog while the context lasts.

    The operating system frees the lock of a process that dies.

    Raises
    ------
    CatalogError
        If another process changes it now, the folder cannot be written, or it is the catalog that ships.
    """
    _refuse_shipped(root)
    try:
        with files.locked(root / LOCK_FILE):
            for leftover in files.leftovers(root):
                leftover.unlink(missing_ok=True)
            yield
    except files.LockedError as error:
        raise CatalogError(f"{root}: another process is changing this catalog", "try again when it is done") from error


def _refuse_shipped(root: Path) -> None:
    if root.resolve() == default_catalog_dir().resolve():
        raise CatalogError(f"{root}: the catalog that ships with maskgen is not changed", "use another folder")


def _entry(root: Path, design: NewDesign) -> DesignEntry:
    views = []
    for view in design.views:
        digest = hashlib.sha256(view.png).hexdigest()
        # The hash is in the name, so that a picture never replaces one that a reader is about to open.
        file = f"{design.name}/{digest[:16]}.png"
        views.append({"file": file, "sha256": digest, "rotation": view.rotation, "points": view.points})
    try:
        return DesignEntry.model_validate(
            {
                "name": design.name,
                "kind": design.kind,
                "colour": design.colour,
                "tags": design.tags,
                "weight": design.weight,
                "license": design.license,
                "mirror": design.mirror,
                "views": tuple(views),
            }
        )
    except ValidationError as error:
        raise CatalogError(f"{root}: design {design.name!r}: {first_fault(error)}") from error


def _swap(root: Path, old: CatalogFile, new: CatalogFile) -> None:
    """Replace ``catalog.json``, then delete the pictures that only the old one named."""
    files.write_whole(root / CATALOG_FILE, dump(new))
    named = {view.file for entry in new.masks for view in entry.views}
    for file in sorted({view.file for entry in old.masks for view in entry.views} - named):
        path = root / file
        path.unlink(missing_ok=True)
        # Its folder goes too if it is empty.
        if path.parent != root and not any(path.parent.iterdir()):
            path.parent.rmdir()
