"""A contact sheet of a catalog: every design on the mean head, at several yaws, and on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog, Design
from maskgen.catalog.view import View
from maskgen.face import Face, HeadPose
from maskgen.face.head import mean_head
from maskgen.face.landmarks import bbox_of_points, keypoints_of
from maskgen.face.pose import rotation_matrix
from maskgen.masking import blend
from maskgen.masking.augment import worn
from maskgen.masking.light import SKIN_RGB, appearance_of
from maskgen.masking.recipe import DEFAULT_LOOK, PLAIN_LOOK, Look
from maskgen.masking.straps import Photograph
from maskgen.plural import counted
from maskgen.studio.mesh import occluder
from maskgen.studio.render import raster

YAWS: Final = (-60, -30, 0, 30, 60)
DESIGNS_A_PAGE: Final = 40
TILE: Final = 150
_LABEL: Final = 150
_PAPER: Final = 245
# A design without a view for the yaw of a column is shown at the nearest rotation that it has, up to this far away.
_LENIENT_DEG: Final = 16.0


def contact_sheets(catalog: Catalog, photographs: Sequence[tuple[Image, Face]]) -> list[Image]:
    """Pages (H, W, 3) uint8 with a row for each design.

    Parameters
    ----------
    catalog : Catalog
        Its designs, 40 on a page.
    photographs : sequence of (image, face)
        RGB pictures and the faces in them to put the masks on, after the mean head at five yaws.
    """
    pages = []
    for start in range(0, len(catalog.designs), DESIGNS_A_PAGE):
        rows = [_row(design, photographs) for design in catalog.designs[start : start + DESIGNS_A_PAGE]]
        pages.append(np.concatenate(rows))
    return pages


def page_paths(path: Path, count: int) -> list[Path]:
    """The files of so many pages: ``sheet.png``, ``sheet-2.png``, ..."""
    return [path if page == 0 else path.with_name(f"{path.stem}-{page + 1}{path.suffix}") for page in range(count)]


def _row(design: Design, photographs: Sequence[tuple[Image, Face]]) -> Image:
    tiles = [_label(design)]
    for yaw in YAWS:
        found = _nearest(design, yaw, None)
        if found is None:
            tiles.append(np.full((TILE, TILE, 3), _PAPER, np.uint8))
            continue
        view, pose = found
        image, face = _bare_head(round(pose.yaw), round(pose.pitch))
        tiles.append(_worn(image, face, view))
    for image, face in photographs:
        found = _nearest(design, face.pose.yaw, face.pose.pitch)
        tiles.append(_portrait(image, face, None if found is None else found[0]))
    return np.concatenate(tiles, axis=1)


def _nearest(design: Design, yaw: float, pitch: float | None) -> tuple[View, HeadPose] | None:
    """The view closest to a rotation, and the rotation closest to it that the view is for; any pitch will do if none
    is asked for."""
    best = None
    for view in design.views:
        wanted = sorted((0.0, *view.rotation.pitch))[1] if pitch is None else pitch
        pose = HeadPose(float(np.clip(yaw, *view.rotation.yaw)), float(np.clip(wanted, *view.rotation.pitch)), 0.0)
        off = float(np.hypot(pose.yaw - yaw, pose.pitch - wanted))
        middle = abs(sum(view.rotation.yaw) / 2 - yaw) + abs(sum(view.rotation.pitch) / 2 - (pitch or 0.0))
        if off <= _LENIENT_DEG and (best is None or (off, middle) < best[0]):
            best = ((off, middle), view, pose)
    return None if best is None else (best[1], best[2])


def _worn(image: Image, face: Face, view: View) -> Image:
    return _with_mask(image, face, view, PLAIN_LOOK)


def _with_mask(image: Image, face: Face, view: View, look: Look) -> Image:
    bare = Photograph(image, appearance_of(image, face))
    overlay = worn(view, face, (image.shape[1], image.shape[0]), photograph=bare)
    return blend.over(image, overlay, bare.appearance, np.random.default_rng(0), look).image


def _portrait(image: Image, face: Face, view: View | None) -> Image:
    if view is not None:
        image = _with_mask(image, face, view, DEFAULT_LOOK)
    matrix = to_tile(face, TILE, 1.8)
    scale = float(matrix[0, 0])
    soft = cv2.GaussianBlur(image, (0, 0), 0.4 / scale) if scale < 0.7 else image
    tile: Image = cv2.warpAffine(soft, matrix, (TILE, TILE), flags=cv2.INTER_LINEAR, borderValue=(_PAPER,) * 3)
    return tile


def to_tile(face: Face, side: int, around: float) -> Float32Array:
    """The map (2, 3) that puts a face in the middle of a tile, which is `around` times as wide as its longer side."""
    middle = face.bbox.reshape(2, 2).mean(axis=0)
    scale = side / (around * max(face.size_wh))
    shift = side / 2 - scale * middle
    return np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)


def _label(design: Design) -> Image:
    tile = np.full((TILE, _LABEL, 3), _PAPER, np.uint8)
    entry = design.entry
    name = [entry.name[at : at + 19] for at in range(0, len(entry.name), 19)]
    lines = [*name, entry.kind, entry.colour, counted(len(entry.views), "view"), f"weight {entry.weight:g}"]
    for row, line in enumerate(lines):
        dark = (20, 20, 20) if row < len(name) else (110, 110, 110)
        cv2.putText(tile, line, (6, 22 + 18 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.42, dark, 1, cv2.LINE_AA)
    return tile


@cache
def _bare_head(yaw: int, pitch: int) -> tuple[Image, Face]:
    """The mean head, turned, in the colour of skin, and where its landmarks are."""
    turn = rotation_matrix(HeadPose(yaw, pitch, 0.0))
    scale = TILE / 260
    place = np.array([TILE / 2, TILE * 0.38])
    head = occluder()
    turned = head.vertices @ turn.T * scale * 2
    turned[:, :2] += place * 2
    fragments = raster.rasterise(turned, head.triangles, (2 * TILE, 2 * TILE))
    faces = turned[head.triangles]
    across = np.cross(faces[:, 1] - faces[:, 0], faces[:, 2] - faces[:, 0])
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    facing = np.abs(across[:, 2]) * 0.75 - across[:, 1] * np.sign(across[:, 2]) * 0.15 + 0.3
    shade = np.where(fragments.triangle >= 0, facing[fragments.triangle], 0).astype(np.float32)
    hit = (fragments.triangle >= 0).astype(np.float32)
    skin = np.array(SKIN_RGB, np.float32)
    large = np.clip(shade[..., None] * skin * 1.1, 0, 255) + (1 - hit[..., None]) * _PAPER
    image = np.round(raster.average(large, 2)).astype(np.uint8)
    points = ((mean_head().points_68 @ turn.T)[:, :2] * scale + place).astype(np.float32)
    return image, Face(bbox_of_points(points), keypoints_of(points), points, HeadPose(yaw, pitch, 0.0))
