"""A catalog on disk, read and checked; its textures are loaded when first needed."""

from __future__ import annotations

import difflib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from maskgen import files
from maskgen.arrays import Float32Array, Image
from maskgen.catalog import png
from maskgen.catalog.places import CATALOG_FILE, OWN, SHIPPED, default_catalog_dir, folder_of, name_of, whole_places
from maskgen.catalog.points import triangulation_of
from maskgen.catalog.schema import CatalogFile, Corner, DesignEntry, Kind, Rotation, Straps, Surface, ViewEntry
from maskgen.errors import CatalogError
from maskgen.face.landmarks import MIRROR_68
from maskgen.schema import first_fault

if TYPE_CHECKING:
    from scipy.spatial import Delaunay

MAX_CATALOG_BYTES: Final = 32_000_000
"""Two thousand designs with views from all sides; reading one of this size takes less than 1 GB."""
_FARTHEST: Final = 1e9
# Below this longer side a smaller copy of a texture is no longer worth keeping.
_SMALLEST_SCALE: Final = 24


@dataclass(frozen=True)
class View:
    """One mask seen at one head rotation, ready to warp.

    Attributes
    ----------
    design : str
        Name of the design.
    key : str
        The picture's file, with ``:mirrored`` where it is mirrored.
    path : Path
        The PNG.
    is_mirrored : bool
        Whether the picture is used mirrored.
    rotation : Rotation
        The head rotations it is for.
    names : tuple of str, length K
        The control points.
    points : (K, 2) float32 array
        Where they lie in the (mirrored) picture, pixels.
    fastenings : dict
        Corner of the mask -> (x, y) in the (mirrored) picture where a strap leaves it, pixels.
    straps : Straps or None
        What is to be drawn from there; None if the picture shows the straps itself.
    surface : Surface, optional
        What to put on its cloth.
    kind : str
        Of the design.
    """

    design: str
    key: str
    path: Path
    is_mirrored: bool
    rotation: Rotation
    names: tuple[str, ...]
    points: Float32Array
    fastenings: dict[Corner, tuple[float, float]] = field(default_factory=dict)
    straps: Straps | None = None
    surface: Surface | None = None
    kind: Kind = "other"

    @cached_property
    def triangles(self) -> npt.NDArray[np.int32]:
        """(T, 3) indices into the control points: Delaunay in the mask's frame; raises as `triangulated`."""
        simplices: npt.NDArray[np.int32] = triangulated(self).simplices.astype(np.int32)
        return simplices

    @cached_property
    def textures(self) -> Textures:
        """(H, W, 4) premultiplied RGBA, 0 to 1, at full size, then each half the size of the one before.

        Raises
        ------
        CatalogError
            If the picture is missing, not an RGBA PNG, or opaque nowhere.
        """
        return Textures(self)


def triangulated(view: View) -> Delaunay:
    """The triangulation of a view's control points.

    Raises
    ------
    CatalogError
        If they lie on one line, or so that nothing can lie between them.
    """
    found = triangulation_of(view.points)
    if found is None:
        raise CatalogError(
            f"{view.path}: nothing lies between the control points of this view of design {view.design!r}",
            "see 'maskgen catalog check'",
        )
    return found


class Textures:
    """A picture of a mask at several scales, premultiplied.

    The smaller scales are kept as bytes. The full size is kept only of the views used last, because a catalog holds
    hundreds of views, and every worker process uses nearly all of them.

    Parameters
    ----------
    view : View
        The picture's view.

    Attributes
    ----------
    view : View
        The same.
    shapes : list of (int, int)
        Rows and columns of each scale.

    Raises
    ------
    CatalogError
        If the picture is missing, not an RGBA PNG, or opaque nowhere.
    """

    def __init__(self, view: View) -> None:
        import cv2  # late: only textures need it

        self.view = view
        self._smaller: list[Image] = []
        scale = _full_size(view)
        self.shapes = [scale.shape[:2]]
        while max(scale.shape[:2]) >= 2 * _SMALLEST_SCALE:
            height, width = scale.shape[:2]
            scale = cv2.resize(scale, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
            self._smaller.append(_as_bytes(scale))
            self.shapes.append(scale.shape[:2])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, scale: int) -> Float32Array:
        """One scale, 0 the full size: a new (H, W, 4) float32 array, 0 to 1."""
        scale = range(len(self.shapes))[scale]
        stored = _recent_full_size(self) if scale == 0 else self._smaller[scale - 1]
        result: Float32Array = np.multiply(stored, np.float32(1 / 255), dtype=np.float32)
        return result


@lru_cache(maxsize=128)
def _recent_full_size(textures: Textures) -> Image:
    return _as_bytes(_full_size(textures.view))


def _full_size(view: View) -> Float32Array:
    import cv2

    try:
        bgra = png.decode(
            files.read_regular(view.path, png.MAX_PICTURE_BYTES), f"{view.path}: the picture of design {view.design!r}"
        )
    except OSError as error:
        raise CatalogError(f"{view.path}: cannot read the picture ({error.strerror})") from error
    except CatalogError as error:
        raise CatalogError(error.fault, "restore the file or remove the design") from error
    texture: Float32Array = cv2.cvtColor(bgra, cv2.COLOR_BGRA2RGBA).astype(np.float32) / 255
    # Premultiplied, or resampling drags in colour from transparent pixels.
    texture[..., :3] *= texture[..., 3:]
    return np.ascontiguousarray(texture[:, ::-1]) if view.is_mirrored else texture


def _as_bytes(texture: Float32Array) -> Image:
    rounded: Image = np.round(texture * 255).astype(np.uint8)
    return rounded


@dataclass(frozen=True)
class Design:
    """A mask design with its views, mirrored ones included, and the folder of the catalog that holds it."""

    entry: DesignEntry
    views: tuple[View, ...]
    root: Path

    @property
    def is_shipped(self) -> bool:
        """Whether it ships with maskgen."""
        return self.root == default_catalog_dir()

    def views_for(self, yaw: float, pitch: float) -> tuple[View, ...]:
        """The views whose rotation interval holds a head rotation, degrees."""
        return tuple(view for view in self.views if view.rotation.holds(yaw, pitch))


@dataclass(frozen=True)
class Catalog:
    """Mask designs to choose from, of one catalog or several.

    Attributes
    ----------
    designs : tuple of Design
        In the order of the catalogs and of their ``catalog.json``; no two have one name.
    roots : tuple of Path
        The folders of the catalogs, whether or not a design of theirs is among these.
    """

    designs: tuple[Design, ...]
    roots: tuple[Path, ...]

    @classmethod
    def load(cls, places: str | Path | Sequence[str | Path] | None = None) -> Catalog:
        """Read catalogs.

        Parameters
        ----------
        places : str, Path or sequence of them, optional
            Folders with ``catalog.json``, ``shipped`` or ``own``; by default the catalog that ships with maskgen alone.

        Raises
        ------
        CatalogError
            If a file is missing or malformed, or names a picture that is missing, or two catalogs name a design alike.
        """
        designs, roots = list[Design](), dict[Path, Path]()
        for place in whole_places(places):
            root = folder_of(place)
            if (real := Path(os.path.realpath(root))) in roots:
                continue
            if real == default_catalog_dir().resolve():
                root = default_catalog_dir()
            roots[real] = root
            designs += [Design(entry, tuple(_views(root, entry)), root) for entry in _read(root).masks]
        _refuse_clashes(designs)
        return cls(tuple(designs), tuple(roots.values()))

    @cached_property
    def sha256(self) -> str:
        """Of all that is said of these designs, which holds the hash of every picture, in their order."""
        digest = hashlib.sha256()
        for design in self.designs:
            digest.update(design.entry.model_dump_json(exclude_none=True).encode() + b"\n")
        return digest.hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the designs."""
        return tuple(design.entry.name for design in self.designs)

    @property
    def own(self) -> tuple[Design, ...]:
        """The designs that do not ship with maskgen."""
        return tuple(design for design in self.designs if not design.is_shipped)

    @property
    def own_share(self) -> float:
        """The share of the masks that are of `own` designs, 0 to 1, where all designs have a view for a face."""
        return sum(design.entry.weight for design in self.own) / sum(design.entry.weight for design in self.designs)

    def fitting(self, yaw: float, pitch: float) -> list[tuple[Design, tuple[View, ...]]]:
        """The designs with views whose rotation interval holds a head rotation, degrees, in their order."""
        views, owners, limits = self._intervals
        # One comparison for the hundreds of views that a catalog has.
        low_yaw, high_yaw, low_pitch, high_pitch = limits
        holding = (low_yaw <= yaw) & (yaw <= high_yaw) & (low_pitch <= pitch) & (pitch <= high_pitch)
        found: dict[int, list[View]] = {}
        for number in np.flatnonzero(holding):
            found.setdefault(owners[number], []).append(views[number])
        return [(self.designs[owner], tuple(held)) for owner, held in found.items()]

    @cached_property
    def _intervals(self) -> tuple[list[View], list[int], npt.NDArray[np.float64]]:
        """All views, the numbers of their designs, and their intervals (4, V)."""
        both = [(view, number) for number, design in enumerate(self.designs) for view in design.views]
        limits = np.array([(*view.rotation.yaw, *view.rotation.pitch) for view, _ in both], np.float64)
        return [view for view, _ in both], [number for _, number in both], limits.reshape(-1, 4).T

    def preload(self) -> None:
        """Read all textures now, so that processes forked from this one share them.

        Raises
        ------
        CatalogError
            As `View.textures`.
        """
        for design in self.designs:
            for view in design.views:
                _ = view.textures, view.triangles

    def select(self, kinds: Sequence[str] = (), tags: Sequence[str] = (), names: Sequence[str] = ()) -> Catalog:
        """The designs of these kinds that carry all these tags and bear one of these names; empty means any.

        Raises
        ------
        CatalogError
            If no design is left.
        """
        known = set(self.names)
        if missing := [name for name in names if name not in known]:
            like = difflib.get_close_matches(missing[0], known, 1)
            raise CatalogError(
                f"{self._called}: no design {', '.join(map(repr, missing))}",
                f"did you mean {like[0]}? See 'maskgen catalog list'" if like else "see 'maskgen catalog list'",
            )
        chosen = tuple(
            design
            for design in self.designs
            if (not kinds or design.entry.kind in kinds)
            and set(tags) <= set(design.entry.tags)
            and (not names or design.entry.name in names)
        )
        if not chosen:
            wanted = {"kind": " or ".join(kinds), "tags": " and ".join(tags), "name": " or ".join(names)}
            said = ", ".join(f"{what} {which}" for what, which in wanted.items() if which)
            raise CatalogError(
                f"{self._called}: no design{f' of {said}' if said else ''}", "see 'maskgen catalog list'"
            )
        return Catalog(chosen, self.roots)

    def as_before(self, names: Sequence[str], sha256: str) -> Catalog | None:
        """The designs of these names alone, if their hash is the one given: all others have come since then."""
        wanted = set(names)
        then = Catalog(tuple(design for design in self.designs if design.entry.name in wanted), self.roots)
        return then if then.sha256 == sha256 else None

    @property
    def _called(self) -> str:
        return ", ".join(map(name_of, self.roots))


def _read(root: Path) -> CatalogFile:
    path = root / CATALOG_FILE
    try:
        raw = files.read_regular(path, MAX_CATALOG_BYTES)
    except OSError as error:
        raise CatalogError(
            f"{path}: cannot read the catalog ({error.strerror})",
            f"set {{catalog}} to its folder, to {SHIPPED} or to {OWN}",
        ) from error
    return parse(raw, path)


def _refuse_clashes(designs: Sequence[Design]) -> None:
    first: dict[str, Design] = {}
    for design in designs:
        other = first.setdefault(design.entry.name, design)
        if other is not design:
            raise CatalogError(
                f"{design.root}: design {design.entry.name!r} has the name of one in {other.root}",
                "leave one of the catalogs out by {catalog}, or remove one of the designs",
            )


def parse(raw: bytes, path: Path) -> CatalogFile:
    """The contents of ``catalog.json``.

    Raises
    ------
    CatalogError
        If they are not JSON, not a catalog or too long; names the first field at fault.
    """
    if len(raw) > MAX_CATALOG_BYTES:
        raise CatalogError(f"{path}: {len(raw):,} bytes, more than {MAX_CATALOG_BYTES:,}")
    try:
        return CatalogFile.model_validate_json(raw)
    except ValidationError as error:
        raise CatalogError(f"{path}: {first_fault(error)}") from error


def dump(catalog: CatalogFile) -> bytes:
    """``catalog.json`` as bytes: one line per view, so that it stays small and a diff readable."""
    designs = []
    for design in catalog.model_dump(mode="json", exclude_none=True)["masks"]:
        views = design.pop("views")
        lines = ",\n".join(f"   {_compact(view)}" for view in views)
        designs.append(f'  {_compact(design)[:-1]},"views":[\n{lines}\n  ]}}')
    masks = ",\n".join(designs)
    return f'{{"schema_version":{catalog.schema_version},"masks":[\n{masks}\n]}}\n'.encode()


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _views(root: Path, entry: DesignEntry) -> list[View]:
    views = []
    for view in entry.views:
        views.append(_view(root, entry, view))
        # A frontal view of a symmetric head is its own mirror image.
        if entry.mirror and view.rotation != view.rotation.mirrored():
            views.append(_mirrored(views[-1], _width_of(root / view.file)))
    return views


def _view(root: Path, design: DesignEntry, entry: ViewEntry) -> View:
    if not _is_file(root / entry.file):
        raise CatalogError(f"{root / entry.file}: the picture of design {design.name!r} is missing")
    names = tuple(entry.points)
    # Numbers that are no places are for `maskgen catalog check` to name, not for NumPy to warn of.
    points = np.clip([entry.points[name] for name in names], -_FARTHEST, _FARTHEST).astype(np.float32)
    path, straps, surface = root / entry.file, design.straps, design.surface
    return View(
        design.name,
        entry.file,
        path,
        False,
        entry.rotation,
        names,
        points,
        entry.fastenings,
        straps,
        surface,
        design.kind,
    )


def _mirrored(view: View, width: int) -> View:
    points = view.points.copy()
    points[:, 0] = width - 1 - points[:, 0]
    names = tuple(mirror_name(name) for name in view.names)
    fastenings: dict[Corner, tuple[float, float]] = {
        cast(Corner, mirror_name(corner)): (width - 1 - x, y) for corner, (x, y) in view.fastenings.items()
    }
    key = f"{view.key}:mirrored"
    turned = view.rotation.mirrored()
    return View(
        view.design, key, view.path, True, turned, names, points, fastenings, view.straps, view.surface, view.kind
    )


def mirror_name(name: str) -> str:
    """The control point on the other side of the face."""
    if name.isdigit():
        return str(MIRROR_68[int(name)])
    if "image_left" in name:
        return name.replace("image_left", "image_right")
    return name.replace("image_right", "image_left")


def _width_of(path: Path) -> int:
    try:
        with path.open("rb") as file:
            header = file.read(png.HEADER_BYTES)
    except OSError as error:
        raise CatalogError(f"{path}: cannot read the picture ({error.strerror})") from error
    return png.size_of(header, f"{path}: the picture")[0]


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a link that leads to itself, a folder that may not be looked into
        return False
