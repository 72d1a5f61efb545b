"""Which mask designs pictures show: photographs of people who wear them, and cut-outs."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from maskgen import images
from maskgen.arrays import Image
from maskgen.catalog.edit import NewDesign, NewView, png_of
from maskgen.catalog.likeness import PHOTOGRAPH
from maskgen.catalog.png import MAX_PICTURE_PIXELS
from maskgen.catalog.points import faults_of_placing, faults_of_points
from maskgen.catalog.schema import UNKNOWN_LICENSE, DesignEntry, Kind, Rotation
from maskgen.detect import Detector
from maskgen.errors import CatalogError, ImageError
from maskgen.face import Face
from maskgen.parse import Parser
from maskgen.studio.byhand import LONGEST_SIDE, ManyPoints, PointsFile
from maskgen.studio.cutout import template
from maskgen.studio.cutout.background import without_background
from maskgen.studio.photo import around, harvest, texture

CUT_OUT: Final = "cut-out"
"""The tag of designs that were made from cut-outs."""
FRONTAL: Final = Rotation(yaw=(-25, 25), pitch=(-25, 25))
"""The head rotations that a cut-out with points placed by hand is for, unless the file of points says otherwise."""

# A mask that is narrower is refused, whatever is around it.
_SHORTEST_SIDE: Final = 32
# What is said first of an opaque picture that shows no mask either.
_NO_FACE: Final = "no face found; as a picture of a mask alone: "
# Views whose yaw, both ends added, is farther from none show one side of a mask.
_BOTH_SIDES_DEG: Final = 20


@dataclass(frozen=True)
class About:
    """What the user says about a design; without a name, it is that of the file."""

    name: str | None = None
    kind: Kind = "other"
    tags: tuple[str, ...] = ()
    license: str = UNKNOWN_LICENSE
    weight: float = 1.0


def kept_of(entry: DesignEntry, about: About, given: Collection[str]) -> About:
    """What is said of a design that replaces another: what was given, and otherwise kind, tags and weight as they were.

    The licence is that of the new picture, which may be another's.

    Parameters
    ----------
    entry : DesignEntry
        The design that is replaced.
    about : About
        What is said.
    given : collection of str
        The fields of `about` that the user gave.
    """
    tags = tuple(tag for tag in entry.tags if tag not in (PHOTOGRAPH, CUT_OUT))
    return replace(
        about,
        kind=about.kind if "kind" in given else entry.kind,
        tags=about.tags if "tags" in given else tags,
        weight=about.weight if "weight" in given else entry.weight,
    )


@dataclass(frozen=True)
class Tools:
    """What finds faces, and what tells the parts of a head; without the latter, colours alone tell."""

    detector: Detector
    parser: Parser | None


def designs_from(path: Path, tools: Tools, about: About, points: PointsFile | None = None) -> list[NewDesign]:
    """The designs that a picture shows.

    A picture with transparent parts is a cut-out, and so is an opaque one without a head: it shows a mask that lies on
    something. A photograph gives a design for each large face in it that wears a mask; with several, ``-1``, ``-2`` and
    so on are appended to the name, from image left to image right.

    Raises
    ------
    ImageError
        If the file is no picture, damaged or too large.
    RefusedError
        If it is a photograph from which no mask can be taken; of several faces, the reason of the largest.
    CatalogError
        If it is a cut-out that cannot be used.
    """
    looked_at = _looked_at(path, tools, points)
    name = about.name or name_of(path)
    if isinstance(looked_at, _CutOut):
        return [_cutout(looked_at.rgba, path, name, about, points, looked_at.is_opaque)]
    taken, refused = [], list[tuple[Face, harvest.RefusedError]]()
    for face in looked_at.faces:
        try:
            taken.append(_harvested(looked_at, face, path, tools, points))
        except harvest.RefusedError as error:
            refused.append((face, error))
    if not taken:
        raise max(refused, key=lambda one: max(one[0].size_wh))[1]
    names = [name] if len(looked_at.faces) == 1 else [f"{name[:61]}-{k}" for k in range(1, len(taken) + 1)]
    return [_worn(one, [shown], about) for one, shown in zip(names, taken, strict=True)]


def design_from_several(paths: Sequence[Path], tools: Tools, about: About, points: ManyPoints | None) -> NewDesign:
    """The one design that several pictures show: a mask seen from several sides.

    Photographs of people who wear it are joined: each view comes from the one nearest in rotation, and what none shows
    is rendered. Cut-outs need points placed by hand, which say what each is for.

    Raises
    ------
    MaskgenError
        As `designs_from`.
    """
    name = about.name or name_of(paths[0])
    shown, views, colours = list[harvest.Harvest](), list[NewView](), list[str]()
    for path in paths:
        by_hand = None if points is None else points.pictures.get(path.name)
        looked_at = _looked_at(path, tools, by_hand)
        if isinstance(looked_at, _CutOut):
            if by_hand is None:
                raise CatalogError(
                    f"{path}: nobody wears this mask, and it has no points placed by hand",
                    "give photographs of somebody who wears it, or place points in all of its pictures",
                )
            design = _cutout(looked_at.rgba, path, name, about, by_hand)
            views += design.views
            colours.append(design.colour)
        else:
            face = max(looked_at.faces, key=lambda face: max(face.size_wh))
            shown.append(_harvested(looked_at, face, path, tools, by_hand))
    if shown:
        design = _worn(name, shown, about)
        return replace(design, views=(*views, *design.views))
    sides = {np.sign(sum(view.rotation.yaw)) for view in views if abs(sum(view.rotation.yaw)) > _BOTH_SIDES_DEG}
    mirror = len(sides) < 2
    return NewDesign(
        name, about.kind, about.license, tuple(views), colours[0], (*about.tags, CUT_OUT), about.weight, mirror
    )


@dataclass(frozen=True)
class _CutOut:
    """A mask alone; whether there was a background, and no head before it."""

    rgba: Image
    is_opaque: bool = False


@dataclass(frozen=True)
class _Photograph:
    pixels: Image
    faces: Sequence[Face]


def _looked_at(path: Path, tools: Tools, points: PointsFile | None) -> _CutOut | _Photograph:
    """What a picture is: a mask alone, or a photograph with faces."""
    raw = images.read_bytes(path)
    picture = images.decode(raw, path)
    height, width = picture.pixels.shape[:2]
    _refuse_shape(width, height, path)
    if points is not None:
        placed, size_wh = points.points, (width, height)
        if fault := next(chain(faults_of_placing(placed, size_wh), faults_of_points(placed, size_wh)), None):
            raise CatalogError(f"{path}: {fault}", "see to the points placed by hand")
    if "alpha_on_white" in picture.notes:
        return _CutOut(_with_alpha(raw, path))
    found = harvest.large_faces(tools.detector.detect(picture.pixels))
    parser = tools.parser
    faces = [face for face in found if parser is None or harvest.is_head(picture.pixels, face, parser)]
    if faces:
        return _Photograph(picture.pixels, faces)
    try:
        return _CutOut(without_background(picture.pixels), is_opaque=True)
    except CatalogError as error:
        raise harvest.RefusedError("no_face", f"{path}: {_NO_FACE}{error.fault}", error.remedy) from error


def _harvested(
    photograph: _Photograph, face: Face, path: Path, tools: Tools, points: PointsFile | None
) -> harvest.Harvest:
    by_hand = None if points is None else points.points
    try:
        taken = harvest.harvest(photograph.pixels, face, by_hand, tools.parser)
    except harvest.RefusedError as refused:
        raise harvest.RefusedError(refused.reason, f"{path}: {refused.fault}", refused.remedy) from refused
    return taken if points is None or points.rotation is None else replace(taken, rotation=points.rotation)


def _worn(name: str, shown: Sequence[harvest.Harvest], about: About) -> NewDesign:
    """The design that photographs of one mask show, with views rendered where there is no photograph."""
    straps = template.straps_of_cutout(about.kind, shown[0].colour == "black")
    views = [NewView(png_of(one.rgba), one.rotation, one.points) for one in shown]
    views += around.rendered_views([one.seen for one in shown], straps.kind == "ear")
    # Of several photographs, views of both sides are rendered.
    mirror = len(shown) == 1
    tags = (*about.tags, PHOTOGRAPH)
    return NewDesign(name, about.kind, about.license, tuple(views), shown[0].colour, tags, about.weight, mirror, straps)


def _refuse_shape(width: int, height: int, path: Path) -> None:
    """Refuse what can show no mask, or more pixels in a row than OpenCV takes."""
    if min(width, height) < _SHORTEST_SIDE:
        raise harvest.RefusedError(
            "too_small", f"{path}: {width} x {height} pixels, {_SHORTEST_SIDE} are needed across and down"
        )
    if max(width, height) > LONGEST_SIDE:
        raise ImageError(
            f"{path}: {width} x {height} pixels, at most {LONGEST_SIDE:,} are taken across or down", "scale it down"
        )


def _cutout(
    rgba: Image, path: Path, name: str, about: About, points: PointsFile | None, is_opaque: bool = False
) -> NewDesign:
    if not rgba[..., 3].any():
        raise CatalogError(f"{path}: transparent everywhere")
    if rgba.shape[0] * rgba.shape[1] > MAX_PICTURE_PIXELS:
        raise CatalogError(
            f"{path}: a cut-out of {rgba.shape[1]} x {rgba.shape[0]} pixels is too large", "scale it down first"
        )
    if points is not None:
        views = [NewView(png_of(rgba), points.rotation or FRONTAL, dict(points.points))]
    else:
        try:
            views = template.views_from_cutout(rgba, about.kind)
        except CatalogError as error:
            raise CatalogError(f"{path}: {_NO_FACE if is_opaque else ''}{error.fault}", error.remedy) from error
    # Views lifted from a cut-out show both sides already.
    mirror = points is not None
    colour, tags = texture.colour_of(rgba), (*about.tags, CUT_OUT)
    held_by = None if mirror else template.straps_of_cutout(about.kind, colour == "black")
    return NewDesign(name, about.kind, about.license, tuple(views), colour, tags, about.weight, mirror, held_by)


def _with_alpha(raw: bytes, path: Path) -> Image:
    """The same picture with its transparency."""
    rgba = images.decode_rgba(raw, path)
    rgba[rgba[..., 3] == 0] = 0
    return rgba


def name_of(path: Path, stem: str | None = None) -> str:
    """A design's name from a file's or a folder's: characters that a name cannot hold become dashes."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem if stem is None else stem).strip("-._")
    return name[:64] or "mask"
