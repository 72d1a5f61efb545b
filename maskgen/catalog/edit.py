"""Change a catalog on disk, so that a reader finds a whole one at any moment.

Pictures are written first, under names that no older picture has. Then ``catalog.json`` is replaced in one step. Last,
the pictures that it no longer names are deleted. A process that is killed in between leaves a whole catalog, and
perhaps pictures that no design names.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import cache, partial
from itertools import chain
from pathlib import Path
from typing import Final, Literal, NamedTuple

import cv2
from pydantic import ValidationError

from maskgen import files
from maskgen.arrays import Float64Array, Image
from maskgen.catalog import png
from maskgen.catalog.places import CATALOG_FILE, default_catalog_dir
from maskgen.catalog.points import faults_of_fastenings, faults_of_points, faults_of_reach, places_of_cloth
from maskgen.catalog.schema import SCHEMA_VERSION, CatalogFile, Corner, DesignEntry, Rotation, Straps, Surface
from maskgen.catalog.store import MAX_CATALOG_BYTES, dump, parse
from maskgen.errors import CatalogError, MaskgenError
from maskgen.schema import first_fault

OnClash = Literal["refuse", "rename", "replace"]

LOCK_FILE: Final = ".lock"


class NameTakenError(CatalogError):
    """A design of this name is in the catalog already."""


class ShippedNameError(NameTakenError):
    """A design of this name ships with maskgen."""


class BadDesignError(CatalogError):
    """A design that no catalog can hold."""


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
    fastenings : dict
        Corner -> (x, y) where a strap leaves the mask, pixels.
    rendered : bool
        See `ViewEntry`.
    """

    png: bytes
    rotation: Rotation
    points: dict[str, tuple[float, float]]
    fastenings: dict[Corner, tuple[float, float]] = field(default_factory=dict)
    rendered: bool = False


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
    straps: Straps | None = None
    surface: Surface | None = None


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
        raw = files.read_regular(path, MAX_CATALOG_BYTES)
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
        What to do about a name that is taken; a renamed design gets ``-2`` or the next number. A design that ships with
        maskgen, or that is among these, is never replaced.

    Returns
    -------
    list of str
        The names they have now.

    Raises
    ------
    NameTakenError
        If a name is taken and `on_clash` is ``refuse``, or the design of this name cannot be replaced.
    BadDesignError
        If a design breaks the schema, or its control points cannot carry the mask.
    CatalogError
        If another process changes the catalog, a link in it leads out of it, or the folder is the catalog that ships.
    MaskgenError
        If nothing can be written there.
    """
    with locked(root):
        old = contents(root)
        for clash in clashes(root, [design.name for design in designs], on_clash).values():
            raise clash
        taken = {*shipped_names(), *(entry.name for entry in old.masks)}
        new_designs = []
        for design in designs:
            name = free_name(design.name, taken) if on_clash == "rename" else design.name
            taken.add(name)
            new_designs.append(replace(design, name=name))
        pictures = _pictures(new_designs)
        masks = {entry.name: entry for entry in old.masks}
        # Of a picture that several views share, once.
        cloth_of = cache(partial(_cloth_of, root))
        masks.update((design.name, _entry(root, design, pictures, cloth_of)) for design in new_designs)
        for picture in pictures.values():
            if not _lies_inside(root, picture.file):
                raise CatalogError(
                    f"{(root / picture.file).parent}: a link that leads out of the catalog", "remove the link"
                )
        for picture in pictures.values():
            files.write_whole(root / picture.file, picture.png)
        _swap(root, old, CatalogFile(schema_version=SCHEMA_VERSION, masks=tuple(masks.values())))
    return [design.name for design in new_designs]


def clashes(
    root: Path, names: Sequence[str], on_clash: OnClash, sources: Sequence[object] = ()
) -> dict[int, NameTakenError]:
    """Which designs `add` would refuse for their names: number -> error, so that no work is done for them.

    Parameters
    ----------
    sources : sequence, optional
        What the designs come from, to name the other one where two have one name.
    For the others, see `add`.

    Raises
    ------
    CatalogError
        As `contents`.
    """
    if on_clash == "rename":
        return {}
    there, shipped = {entry.name for entry in contents(root).masks}, shipped_names()
    before, found = dict[str, int](), dict[int, NameTakenError]()
    for number, name in enumerate(names):
        if name in shipped:
            found[number] = ShippedNameError(
                f"design {name!r} ships with maskgen", "use another {name} or {on_clash=rename}"
            )
        elif name in before:
            other = sources[before[name]] if sources else "another one"
            found[number] = NameTakenError(f"{other} is to be design {name!r} too", "use {on_clash=rename}")
        elif name in there and on_clash == "refuse":
            found[number] = NameTakenError(
                f"{root}: design {name!r} is there already", "use {on_clash=rename} or {on_clash=replace}"
            )
        before.setdefault(name, number)
    return found


@cache
def shipped_names() -> frozenset[str]:
    """The names of the designs that ship with maskgen, which no other design may have."""
    return frozenset(entry.name for entry in contents(default_catalog_dir()).masks)


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
        if shipped := [name for name in missing if name in shipped_names()]:
            raise CatalogError(
                f"design {shipped[0]!r} ships with maskgen and is not removed", "leave it out when masks are chosen"
            )
        if missing:
            raise CatalogError(f"{root}: no design {', '.join(map(repr, missing))}", "see 'maskgen catalog list'")
        kept = tuple(entry for entry in old.masks if entry.name not in set(names))
        _swap(root, old, CatalogFile(schema_version=SCHEMA_VERSION, masks=kept))


def free_name(name: str, taken: Collection[str]) -> str:
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


class _Picture(NamedTuple):
    """A picture to write, and where in the catalog."""

    file: str
    png: bytes


def _pictures(designs: Sequence[NewDesign]) -> dict[str, _Picture]:
    """Hash -> picture: one that several views share is written once."""
    pictures: dict[str, _Picture] = {}
    for design in designs:
        for view in design.views:
            digest = hashlib.sha256(view.png).hexdigest()
            # The hash is in the name, so that a picture never replaces one that a reader is about to open.
            pictures.setdefault(digest, _Picture(f"{design.name}/{digest[:16]}.png", view.png))
    return pictures


def _cloth_of(root: Path, raw: bytes) -> Float64Array:
    return places_of_cloth(png.decode(raw, f"{root}: a picture to be added")[..., 3])


def _entry(
    root: Path, design: NewDesign, pictures: dict[str, _Picture], cloth_of: Callable[[bytes], Float64Array]
) -> DesignEntry:
    views = []
    for view in design.views:
        digest = hashlib.sha256(view.png).hexdigest()
        file = pictures[digest].file
        views.append(
            {
                "file": file,
                "sha256": digest,
                "rotation": view.rotation,
                "points": view.points,
                "fastenings": view.fastenings,
                "rendered": view.rendered or None,
            }
        )
    try:
        entry = DesignEntry.model_validate(
            {
                "name": design.name,
                "kind": design.kind,
                "colour": design.colour,
                "tags": design.tags,
                "weight": design.weight,
                "license": design.license,
                "mirror": design.mirror,
                "straps": design.straps,
                "surface": design.surface,
                "views": tuple(views),
            }
        )
    except ValidationError as error:
        raise BadDesignError(f"{root}: design {design.name!r}: {first_fault(error)}") from error
    for number, view in enumerate(design.views, start=1):
        size_wh = png.size_of(view.png[: png.HEADER_BYTES], f"{root}: design {design.name!r}: view {number}")
        faults = chain(
            faults_of_points(view.points, size_wh),
            faults_of_fastenings(view.fastenings, size_wh),
            faults_of_reach(view.points, cloth_of(view.png)),
        )
        if fault := next(faults, None):
            raise BadDesignError(
                f"{root}: design {design.name!r}: view {number}: {fault}", "place control points around the whole mask"
            )
    return entry


def _swap(root: Path, old: CatalogFile, new: CatalogFile) -> None:
    """Replace ``catalog.json``, then delete the pictures that only the old one named."""
    files.write_whole(root / CATALOG_FILE, dump(new))
    named = {view.file for entry in new.masks for view in entry.views}
    dropped = sorted({view.file for entry in old.masks for view in entry.views} - named)
    # By what they are: two names are one file through a linked folder, or where case does not count.
    kept = {identity for file in named if (identity := _identity(root / file)) is not None} if dropped else set()
    for file in dropped:
        path = root / file
        if not _lies_inside(root, file) or _identity(path) in kept:
            continue
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise MaskgenError(
                f"{path}: cannot be deleted: {error.strerror}", "delete it; no design names it any more"
            ) from error
        if path.parent != root:
            # Its folder goes too if it is empty.
            with suppress(OSError):
                path.parent.rmdir()


def _lies_inside(root: Path, file: str) -> bool:
    """Whether a file of a catalog lies in the catalog's folder, and no link on the way to it leads out."""
    # `Path.resolve` raises an error on links that lead to themselves.
    folder = Path(os.path.realpath((root / file).parent))
    return folder.is_relative_to(os.path.realpath(root))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_dev, status.st_ino
