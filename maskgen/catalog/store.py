"""A catalog on disk, read and checked; its textures are loaded when first needed."""

from __future__ import annotations

import hashlib
import json
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from maskgen import files
from maskgen.arrays import Float32Array, Image
from maskgen.catalog import png
from maskgen.catalog.schema import CatalogFile, Corner, DesignEntry, Kind, Rotation, Straps, Surface, ViewEntry
from maskgen.errors import CatalogError
from maskgen.face.landmarks import MIRROR_68
from maskgen.schema import first_fault

if TYPE_CHECKING:
    from scipy.spatial import Delaunay

CATALOG_FILE: Final = "catalog.json"
MAX_CATALOG_BYTES: Final = 32_000_000
"""Two thousand designs with views from all sides; reading one of this size takes less than 1 GB."""
_FARTHEST: Final = 1e9
# Below this longer side a smaller copy of a texture is no longer worth keeping.
_SMALLEST_SCALE: Final = 24
# What fits is remembered for so many cells of head rotations; the bundled catalog has fewer.
_MOST_CELLS: Final = 4096


def default_catalog_dir() -> Path:
    """The catalog that ships with maskgen."""
    package = Path(__file__).parents[1]
    installed = package / "masks"
    return installed if installed.is_dir() else package.parent / "masks"


def user_catalog_dir() -> Path:
    """The catalog for a user's own masks, outside the installed package; it need not exist yet.

    ``maskgen/catalog`` in the place for a user's data: ``$XDG_DATA_HOME`` or ``~/.local/share``,
    ``~/Library/Application Support`` on macOS, ``%LOCALAPPDATA%`` on Windows.
    """
    # Imported late: the catalog that ships is found without it.
    import platformdirs

    return platformdirs.user_data_path("maskgen", appauthor=False) / "catalog"


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
    from scipy.spatial import Delaunay, QhullError  # late: it takes half of the time that loading a catalog does

    try:
        return Delaunay(view.points)
    except (QhullError, ValueError) as error:
        raise CatalogError(
            f"{view.path}: nothing lies between the control points of this view of design {view.design!r}",
            "see 'maskgen catalog check'",
        ) from error


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
            self._smaller.append(scale)
            self.shapes.append(scale.shape[:2])

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, scale: int) -> Float32Array:
        """One scale, 0 the full size: a new (H, W, 4) float32 array, 0 to 1."""
        scale = range(len(self.shapes))[scale]
        stored = _recent_full_size(self) if scale == 0 else self._smaller[scale - 1]
        result: Float32Array = np.multiply(stored, np.float32(1 / 255), dtype=np.float32)
        return result

    def alpha_of(self, scale: int) -> Image:
        """(H, W) the opacity of one scale, 0 to 255."""
        scale = range(len(self.shapes))[scale]
        stored = _recent_full_size(self) if scale == 0 else self._smaller[scale - 1]
        return stored[..., 3]


@lru_cache(maxsize=128)
def _recent_full_size(textures: Textures) -> Image:
    return _full_size(textures.view)


def _full_size(view: View) -> Image:
    """(H, W, 4) premultiplied RGBA."""
    import cv2

    try:
        bgra = png.decode(
            files.read_regular(view.path, png.MAX_PICTURE_BYTES), f"{view.path}: the picture of design {view.design!r}"
        )
    except OSError as error:
        raise CatalogError(f"{view.path}: cannot read the picture ({error.strerror})") from error
    except CatalogError as error:
        raise CatalogError(error.fault, "restore the file or remove the design") from error
    blue, green, red, alpha = cv2.split(cv2.flip(bgra, 1) if view.is_mirrored else bgra)
    # Premultiplied, or resampling drags in colour from transparent pixels.
    rgb = (cv2.multiply(plane, alpha, scale=1 / 255) for plane in (red, green, blue))
    return np.asarray(cv2.merge([*rgb, alpha]), np.uint8)


@dataclass(frozen=True)
class Design:
    """A mask design with its views, mirrored ones included."""

    entry: DesignEntry
    views: tuple[View, ...]

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
    """Mask designs to choose from.

    Attributes
    ----------
    root : Path
        The catalog's folder.
    designs : tuple of Design
        In the order of ``catalog.json``.
    sha256 : str
        Of ``catalog.json``, which holds the hash of every picture.
    """

    root: Path
    designs: tuple[Design, ...]
    sha256: str

    @classmethod
    def load(cls, root: Path | None = None) -> Catalog:
        """Read a catalog.

        Parameters
        ----------
        root : Path, optional
            Folder with ``catalog.json``; by default the catalog that ships with maskgen.

        Raises
        ------
        CatalogError
            If the file is missing or malformed, or names a picture that is missing.
        """
        root = default_catalog_dir() if root is None else Path(root)
        path = root / CATALOG_FILE
        try:
            raw = files.read_regular(path, MAX_CATALOG_BYTES)
        except OSError as error:
            raise CatalogError(
                f"{path}: cannot read the catalog ({error.strerror})", "set {catalog} to its folder"
            ) from error
        entries = parse(raw, path)
        designs = tuple(Design(entry, tuple(_views(root, entry))) for entry in entries.masks)
        return cls(root, designs, hashlib.sha256(raw).hexdigest())

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
        chosen = tuple(
            design
            for design in self.designs
            if (not kinds or design.entry.kind in kinds)
            and set(tags) <= set(design.entry.tags)
            and (not names or design.entry.name in names)
        )
        if not chosen:
            raise CatalogError(
                f"{self.root}: no design has kind {list(kinds) or 'any'}, tags {list(tags) or 'any'}, "
                f"name {list(names) or 'any'}"
            )
        return Catalog(self.root, chosen, self.sha256)


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
