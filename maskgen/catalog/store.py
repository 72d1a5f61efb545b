"""A catalog on disk, read and checked; its textures are loaded when first needed."""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from maskgen import files
from maskgen.arrays import Float32Array, Image
from maskgen.catalog import decoded, png
from maskgen.catalog.places import CATALOG_FILE, OWN, SHIPPED, default_catalog_dir, folder_of, name_of, whole_places
from maskgen.catalog.points import triangulation_of
from maskgen.catalog.schema import CatalogFile, Corner, DesignEntry, Kind, Rotation, Straps, Surface, ViewEntry
from maskgen.errors import CatalogError
from maskgen.face.landmarks import MIRROR_68
from maskgen.names import did_you_mean
from maskgen.schema import first_fault

if TYPE_CHECKING:
    from scipy.spatial import Delaunay

MAX_CATALOG_BYTES: Final = 32_000_000
"""Two thousand designs with views from all sides; reading one of this size takes less than 1 GB."""
_FARTHEST: Final = 1e9
# Below this longer side a smaller copy of a texture is no longer worth keeping.
_SMALLEST_SCALE: Final = 24
# What fits is remembered for so many cells of head rotations; the bundled catalog has fewer.
_MOST_CELLS: Final = 4096


@dataclass(frozen=True, eq=False)  # one is another only if it is the same, so that what belongs to it can be looked up
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
    siblings : Siblings, optional
        The views of the same catalog; this is the one with
    number : int
        that place among them.
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
    siblings: Siblings | None = field(default=None, repr=False, compare=False)
    number: int = 0

    @cached_property
    def triangles(self) -> npt.NDArray[np.int32]:
        """(T, 3) indices into the control points: Delaunay in the mask's frame; raises as `triangulated`."""
        siblings = self.siblings
        # A copy may have been given other points.
        if siblings is None or siblings.views[self.number].points is not self.points:
            return _triangles_of(self)
        known = siblings.triangles[self.number]
        return known if len(known) else _triangles_of(self)

    @cached_property
    def textures(self) -> Textures:
        """(H, W, 4) premultiplied RGBA, 0 to 1, at full size, then each half the size of the one before.

        Raises
        ------
        CatalogError
            If the picture is missing, not an RGBA PNG, or opaque nowhere.
        """
        return Textures(self)


class Siblings:
    """The views of a catalog, in the order of ``catalog.json``, which are triangulated together.

    What triangulates takes a worker more time and memory than all else that it imports. So whoever needs the first
    triangles makes those of all views, for all processes that use the catalog.
    """

    def __init__(self, catalog_file: Path, sha256: str) -> None:
        self._source, self._sha256 = catalog_file, sha256
        self.views: list[View] = []

    @cached_property
    def triangles(self) -> list[npt.NDArray[np.int32]]:
        """Of each view; none if it cannot be triangulated."""
        # Three numbers of four bytes, where a picture has three pixels.
        found = decoded.shared(
            self._source,
            f"triangles of {self._sha256}",
            lambda: [corners.view(np.uint8).reshape(-1, 3, 4) for corners in map(self._made, self.views)],
        )
        return [corners.reshape(-1, 12).view(np.int32) for corners in found]

    def _made(self, view: View) -> npt.NDArray[np.int32]:
        try:
            return _triangles_of(view)
        except CatalogError:  # whoever needs this one learns why
            return np.zeros((0, 3), np.int32)


def _triangles_of(view: View) -> npt.NDArray[np.int32]:
    simplices: npt.NDArray[np.int32] = triangulated(view).simplices.astype(np.int32)
    return simplices


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

    All are kept as bytes, in memory that processes share. Where there is no such memory, the full size is kept only of
    the views used last, because a catalog holds hundreds of views, and every worker process uses nearly all of them.

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
        self.view = view
        what = f"smaller {'mirrored' if view.is_mirrored else ''}"
        self._smaller = decoded.shared(view.path, what, lambda: _smaller_sizes(view))
        width, height = _size_of(view.path)
        self.shapes = [(height, width), *(scale.shape[:2] for scale in self._smaller)]

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, scale: int) -> Float32Array:
        """One scale, 0 the full size: a new (H, W, 4) float32 array, 0 to 1."""
        result: Float32Array = np.multiply(self._stored(scale), np.float32(1 / 255), dtype=np.float32)
        return result

    def alpha_of(self, scale: int) -> Image:
        """(H, W) the opacity of one scale, 0 to 255."""
        return self._stored(scale)[..., 3]

    def _stored(self, scale: int) -> Image:
        scale = range(len(self.shapes))[scale]
        return _recent_full_size(self) if scale == 0 else self._smaller[scale - 1]


@lru_cache(maxsize=128)
def _recent_full_size(textures: Textures) -> Image:
    view = textures.view
    (full,) = decoded.shared(view.path, "full", lambda: [_full_size(view)])
    return np.ascontiguousarray(full[:, ::-1]) if view.is_mirrored else full


def _smaller_sizes(view: View) -> list[Image]:
    """Each half the size of the one before, the first half of the full size."""
    import cv2  # late: only textures need it

    scale, smaller = _full_size(view), list[Image]()
    if view.is_mirrored:
        scale = np.ascontiguousarray(scale[:, ::-1])
    while max(scale.shape[:2]) >= 2 * _SMALLEST_SCALE:
        height, width = scale.shape[:2]
        scale = cv2.resize(scale, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
        smaller.append(scale)
    return smaller


def _full_size(view: View) -> Image:
    """(H, W, 4) premultiplied RGBA, as in the file: not mirrored."""
    import cv2

    try:
        bgra = png.decode(
            files.read_regular(view.path, png.MAX_PICTURE_BYTES), f"{view.path}: the picture of design {view.design!r}"
        )
    except OSError as error:
        raise CatalogError(f"{view.path}: cannot read the picture ({error.strerror})") from error
    except CatalogError as error:
        raise CatalogError(error.fault, "restore the file or remove the design") from error
    blue, green, red, alpha = cv2.split(bgra)
    # Premultiplied, or resampling drags in colour from transparent pixels.
    rgb = (cv2.multiply(plane, alpha, scale=1 / 255) for plane in (red, green, blue))
    return np.asarray(cv2.merge([*rgb, alpha]), np.uint8)


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
class Fitting:
    """The designs that have views for a head rotation.

    Attributes
    ----------
    designs : tuple of Design
    views : tuple of tuple of View
        Of each design, those that fit.
    limits : tuple of float
        The weights of the designs, each added to those before it.
    """

    designs: tuple[Design, ...]
    views: tuple[tuple[View, ...], ...]
    limits: tuple[float, ...]

    @classmethod
    def of(cls, both: Sequence[tuple[Design, tuple[View, ...]]]) -> Fitting:
        """Designs with those of their views that fit."""
        designs, views = tuple(design for design, _ in both), tuple(held for _, held in both)
        return cls(designs, views, tuple(accumulate(design.entry.weight for design in designs)))

    def without(self, kinds: Collection[Kind]) -> Fitting:
        """Those that are not of some kinds."""
        both = zip(self.designs, self.views, strict=True)
        return Fitting.of([(design, held) for design, held in both if design.entry.kind not in kinds])


@dataclass(frozen=True)
class Catalog:
    """Mask designs to choose from, of one catalog or several.

    Attributes
    ----------
    designs : tuple of Design
        In the order of the catalogs and of their ``catalog.json``; no two have one name.
    roots : tuple of Path
        The folders of the catalogs, whether or not a design of theirs is among these.

    Examples
    --------
    >>> catalog = Catalog.load()
    >>> {design.entry.kind for design in catalog.select(kinds=["surgical"]).designs}
    {'surgical'}
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
            entries, siblings = _read(root)
            designs += [Design(entry, tuple(_views(root, entry, siblings)), root) for entry in entries.masks]
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

    def fitting(self, yaw: float, pitch: float) -> Fitting:
        """The designs with views whose rotation interval holds a head rotation, degrees, in their order."""
        # The ends of all intervals part the rotations into cells, in each of which the same views fit.
        yaws, pitches, cells = self._cells
        cell = (
            bisect_left(yaws, yaw) + bisect_right(yaws, yaw),
            bisect_left(pitches, pitch) + bisect_right(pitches, pitch),
        )
        found = cells.get(cell)
        if found is None:
            if len(cells) >= _MOST_CELLS:
                cells.clear()
            found = cells[cell] = self._holding(yaw, pitch)
        return found

    def _holding(self, yaw: float, pitch: float) -> Fitting:
        views, owners, (low_yaw, high_yaw, low_pitch, high_pitch) = self._intervals
        holding = (low_yaw <= yaw) & (yaw <= high_yaw) & (low_pitch <= pitch) & (pitch <= high_pitch)
        found: dict[int, list[View]] = {}
        for number in np.flatnonzero(holding):
            found.setdefault(owners[number], []).append(views[number])
        return Fitting.of([(self.designs[owner], tuple(held)) for owner, held in found.items()])

    @cached_property
    def _cells(self) -> tuple[list[float], list[float], dict[tuple[int, int], Fitting]]:
        """The ends of all intervals, of yaw and of pitch, and what fits in the cells that were asked for."""
        low_yaw, high_yaw, low_pitch, high_pitch = self._intervals[2]
        yaws, pitches = (
            np.unique(np.concatenate(ends)).tolist() for ends in ((low_yaw, high_yaw), (low_pitch, high_pitch))
        )
        return yaws, pitches, {}

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
            near = did_you_mean(missing[0], known)
            raise CatalogError(
                f"{self._called}: no design {', '.join(map(repr, missing))}",
                f"{near} See 'maskgen catalog list'" if near else "see 'maskgen catalog list'",
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


def _read(root: Path) -> tuple[CatalogFile, Siblings]:
    path = root / CATALOG_FILE
    try:
        raw = files.read_regular(path, MAX_CATALOG_BYTES)
    except OSError as error:
        raise CatalogError(
            f"{path}: cannot read the catalog ({error.strerror})",
            f"set {{catalog}} to its folder, to {SHIPPED} or to {OWN}",
        ) from error
    return parse(raw, path), Siblings(path, hashlib.sha256(raw).hexdigest())


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


def _views(root: Path, entry: DesignEntry, siblings: Siblings) -> list[View]:
    views = list[View]()
    for view in entry.views:
        views.append(_view(root, entry, view, siblings, len(siblings.views) + len(views)))
        # A frontal view of a symmetric head is its own mirror image.
        if entry.mirror and view.rotation != view.rotation.mirrored():
            views.append(_mirrored(views[-1], _size_of(views[-1].path)[0]))
    siblings.views += views
    return views


def _view(root: Path, design: DesignEntry, entry: ViewEntry, siblings: Siblings, number: int) -> View:
    path = root / entry.file
    if not _is_file(path):
        raise CatalogError(f"{path}: the picture of design {design.name!r} is missing")
    names = tuple(entry.points)
    # Numbers that are no places are for `maskgen catalog check` to name, not for NumPy to warn of.
    points = np.array([entry.points[name] for name in names]).clip(-_FARTHEST, _FARTHEST).astype(np.float32)
    straps, surface = design.straps, design.surface
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
        siblings,
        number,
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
    return replace(
        view,
        key=key,
        is_mirrored=True,
        rotation=turned,
        names=names,
        points=points,
        fastenings=fastenings,
        number=view.number + 1,
    )


def mirror_name(name: str) -> str:
    """The control point on the other side of the face."""
    if name.isdigit():
        return str(MIRROR_68[int(name)])
    if "image_left" in name:
        return name.replace("image_left", "image_right")
    return name.replace("image_right", "image_left")


def _size_of(path: Path) -> tuple[int, int]:
    """Width and height."""
    try:
        with path.open("rb") as file:
            header = file.read(png.HEADER_BYTES)
    except OSError as error:
        raise CatalogError(f"{path}: cannot read the picture ({error.strerror})") from error
    return png.size_of(header, f"{path}: the picture")


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a link that leads to itself, a folder that may not be looked into
        return False
