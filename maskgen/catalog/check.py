"""What is wrong with a catalog, and what it does not cover."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from maskgen import files
from maskgen.arrays import Float32Array, Float64Array
from maskgen.catalog import png
from maskgen.catalog.places import SHEET_FILE
from maskgen.catalog.points import faults_of_fastenings, faults_of_points, faults_of_reach, places_of_cloth
from maskgen.catalog.schema import ViewEntry
from maskgen.catalog.store import Design
from maskgen.catalog.view import View, triangulated
from maskgen.errors import CatalogError
from maskgen.face import HeadPose
from maskgen.face.head import mean_head, points_on_face
from maskgen.face.pose import rotation_matrix

YAWS_DEG: Final = range(-90, 91, 5)
# Folds that hide a smaller share of the mask are not reported.
_SPECK: Final = 0.002


@dataclass(frozen=True)
class Fold:
    """Triangles of a view that turn over on a head within its rotation interval.

    Attributes
    ----------
    view : str
        The view's key.
    yaw, pitch : float
        The head rotation at which most of the mask turns over, degrees.
    triangles : int
        How many.
    share : float
        The part of the mask that they hold, 0 to 1.
    """

    view: str
    yaw: float
    pitch: float
    triangles: int
    share: float


def faults_of(design: Design) -> Iterator[str]:
    """What is wrong with the pictures of a design, one sentence per fault."""
    bad = set[str]()
    for entry in design.entry.views:
        for fault in _faults_of_entry(design.root, design.entry.name, entry):
            bad.add(entry.file)
            yield fault
    for view in design.views:
        if view.is_mirrored or view.key in bad:
            continue
        try:
            cloth = _cloth(view)
        except CatalogError as error:
            yield str(error)
            continue
        for fault in faults_of_reach(dict(zip(view.names, view.points.tolist(), strict=True)), cloth):
            yield f"{view.key}: {fault}"


def _faults_of_entry(root: Path, design: str, entry: ViewEntry) -> Iterator[str]:
    try:
        raw = files.read_regular(root / entry.file, png.MAX_PICTURE_BYTES)
        size_wh = png.size_of(raw[: png.HEADER_BYTES], entry.file)
    except OSError as error:
        yield f"{entry.file}: cannot be read: {error.strerror}"
    except CatalogError as error:
        yield str(error)
    else:
        digest = hashlib.sha256(raw).hexdigest()
        if digest != entry.sha256:
            yield f"{entry.file}: sha256 is {digest[:12]}..., catalog.json says {entry.sha256[:12]}..."
        for fault in (
            *faults_of_points(entry.points, size_wh),
            *faults_of_fastenings(entry.fastenings, size_wh),
        ):
            yield f"{entry.file} of design {design!r}: {fault}"


def folds_of(design: Design) -> Iterator[Fold]:
    """The views of a design that fold.

    A view folds if triangles that hold a part of the mask turn over on some head within its rotation interval. They are
    not drawn then, so a fold is a hole in the mask. Mirrored views are left out: they fold where their originals do.
    """
    for view in design.views:
        if view.is_mirrored:
            continue
        try:
            worst = _worst_fold(view)
        except CatalogError:
            continue  # a fault, which `faults_of` reports
        if worst.share > _SPECK:
            yield worst


def yaw_gaps(design: Design) -> list[tuple[int, int]]:
    """Intervals of yaw, degrees in steps of 5, for which no view is there at pitch 0."""
    bare = [yaw for yaw in YAWS_DEG if not design.views_for(yaw, 0)]
    gaps: list[tuple[int, int]] = []
    for yaw in bare:
        if gaps and gaps[-1][1] == yaw - YAWS_DEG.step:
            gaps[-1] = (gaps[-1][0], yaw)
        else:
            gaps.append((yaw, yaw))
    return gaps


def strays_of(root: Path, designs: Iterable[Design]) -> list[str]:
    """PNG files in a catalog's folder that none of its designs names; a killed process leaves some."""
    named = {root / SHEET_FILE, *(root / entry.file for design in designs for entry in design.entry.views)}
    return sorted(str(path.relative_to(root)) for path in root.rglob("*.png") if path not in named)


def _cloth(view: View) -> Float64Array:
    """(N, 2) points of the picture that show the mask."""
    return places_of_cloth(np.round(view.textures[0][..., 3] * 255).astype(np.uint8))


def _worst_fold(view: View) -> Fold:
    cloth = _cloth(view)
    triangulation = triangulated(view)
    owner = triangulation.find_simplex(cloth)
    held = np.bincount(owner[owner >= 0], minlength=len(triangulation.simplices))
    before = _sides(view.points, triangulation.simplices)
    mean = mean_head().points_68.astype(np.float64)
    worst = Fold(view.key, 0.0, 0.0, 0, 0.0)
    for yaw in np.linspace(*view.rotation.yaw, 3):
        for pitch in np.linspace(*view.rotation.pitch, 3):
            turn = rotation_matrix(HeadPose(yaw=float(yaw), pitch=float(pitch), roll=0.0))
            face = points_on_face(view.names, (mean @ turn.T)[:, :2].astype(np.float32))
            over = (before * _sides(face, triangulation.simplices) < 0) & (held > 0)
            share = float(held[over].sum() / max(held.sum(), 1))
            if share > worst.share:
                worst = Fold(view.key, float(yaw), float(pitch), int(over.sum()), share)
    return worst


def _sides(points: Float32Array, triangles: npt.NDArray[np.int32]) -> Float32Array:
    """(T,) twice the signed areas."""
    corners = points[triangles]
    a, b = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    return np.asarray(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0], np.float32)
