"""One mask as it is seen from one side: where its control points lie, and how they are triangulated."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

import numpy as np
import numpy.typing as npt

from maskgen.arrays import Float32Array
from maskgen.catalog import decoded
from maskgen.catalog.points import triangulation_of
from maskgen.catalog.schema import Corner, DesignEntry, Kind, Rotation, Straps, Surface, ViewEntry
from maskgen.catalog.textures import Textures, size_of
from maskgen.errors import CatalogError
from maskgen.face.landmarks import MIRROR_68

if TYPE_CHECKING:
    from scipy.spatial import Delaunay

# Pixels; a control point that lies farther out lies here.
_FARTHEST: Final = 1e9


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


def views_of(root: Path, entry: DesignEntry, siblings: Siblings) -> list[View]:
    """The views of a design, mirrored ones included; they join their siblings.

    Raises
    ------
    CatalogError
        If a picture is missing, or one to be mirrored is no PNG.
    """
    views = list[View]()
    for view in entry.views:
        views.append(_view(root, entry, view, siblings, len(siblings.views) + len(views)))
        # A frontal view of a symmetric head is its own mirror image.
        if entry.mirror and view.rotation != view.rotation.mirrored():
            views.append(_mirrored(views[-1], size_of(views[-1].path)[0]))
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


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a link that leads to itself, a folder that may not be looked into
        return False
