"""Make mask designs from picture files: photographs of people who wear masks, and cut-outs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Final, Literal

import cv2
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from maskgen import files, images
from maskgen.arrays import Image
from maskgen.catalog.edit import NewDesign, NewView, png_of
from maskgen.catalog.likeness import PHOTOGRAPH
from maskgen.catalog.png import MAX_PICTURE_PIXELS
from maskgen.catalog.points import faults_of_placing, faults_of_points
from maskgen.catalog.schema import UNKNOWN_LICENSE, DesignEntry, Kind, Pixel, Rotation, refuse_unknown_points
from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.folder import FolderReader
from maskgen.detect import Detector, FaceDetector
from maskgen.errors import CatalogError, ImageError, MaskgenError
from maskgen.face import Face
from maskgen.packs.find import BUNDLED
from maskgen.parallel import Crash, Executor, chunks_of, in_order
from maskgen.parse import FaceParser, Parser
from maskgen.schema import first_fault
from maskgen.studio.cutout import template
from maskgen.studio.cutout.background import without_background
from maskgen.studio.photo import around, harvest, texture

CUT_OUT: Final = "cut-out"
"""The tag of designs that were made from cut-outs."""
FRONTAL: Final = Rotation(yaw=(-25, 25), pitch=(-25, 25))
"""The head rotations that a cut-out with points placed by hand is for, unless the file of points says otherwise."""

# A mask that is narrower is refused, whatever is around it.
_SHORTEST_SIDE: Final = 32
# OpenCV counts the columns and rows of what it warps in 16 bits.
_LONGEST_SIDE: Final = 32_000
_MAX_POINTS_BYTES: Final = 1_000_000
# What is said first of an opaque picture that shows no mask either.
_NO_FACE: Final = "no face found; as a picture of a mask alone: "
# Views whose yaw, both ends added, is farther from none show one side of a mask.
_BOTH_SIDES_DEG: Final = 20


class PointsFile(BaseModel):
    """Control points placed by hand.

    Attributes
    ----------
    points : dict
        Landmark ("0" to "67") or anchor of `maskgen.face.head` -> (x, y), pixels of the picture as it is displayed.
    rotation : Rotation, optional
        The head rotations that the picture is for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    points: Annotated[dict[str, tuple[Pixel, Pixel]], Field(min_length=3)]
    rotation: Rotation | None = None

    @field_validator("points")
    @classmethod
    def _known(cls, points: dict[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
        refuse_unknown_points(points)
        if fault := next(faults_of_points(points, (_LONGEST_SIDE, _LONGEST_SIDE)), None):
            raise ValueError(fault)
        return points


class ManyPoints(BaseModel):
    """Control points placed by hand in several pictures of one mask.

    Attributes
    ----------
    pictures : dict
        Name of the picture's file, without folders -> its points; each says which rotations it is for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)
    pictures: Annotated[dict[str, PointsFile], Field(min_length=1)]

    @field_validator("pictures")
    @classmethod
    def _with_rotations(cls, pictures: dict[str, PointsFile]) -> dict[str, PointsFile]:
        if lacking := [name for name, points in pictures.items() if points.rotation is None]:
            raise ValueError(f"no rotation for {lacking[0]!r}: of several pictures, each says what it is for")
        return pictures


ByHand = PointsFile | ManyPoints


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
    if max(width, height) > _LONGEST_SIDE:
        raise ImageError(
            f"{path}: {width} x {height} pixels, at most {_LONGEST_SIDE:,} are taken across or down", "scale it down"
        )


@dataclass(frozen=True)
class Refusal:
    """A picture that gave no design, and why.

    Attributes
    ----------
    file : Path
        The picture.
    reason : str
        One word: one of `harvest.RefusedError`, ``bad_image``, ``bad_name``, ``unreadable_folder``, ``cut_out``,
        ``unexpected`` or ``crashed``.
    message : str
        A sentence that begins with the file.
    """

    file: Path
    reason: str
    message: str


@dataclass(frozen=True)
class Mask:
    """Pictures of one mask, and its name if it does not follow from that of its picture."""

    files: tuple[Path, ...]
    name: str | None = None


@dataclass(frozen=True)
class Request:
    """What holds for every mask: what the user says, points placed by hand, and the pack that finds faces.

    `kept` is what is said instead of the designs of some names, because it is kept where one is replaced.
    """

    about: About
    points: ByHand | None = None
    model: str = BUNDLED
    kept: Mapping[str, About] = field(default_factory=dict)

    def name_of(self, mask: Mask) -> str:
        """The name of a mask's design."""
        return self.about.name or mask.name or name_of(mask.files[0])

    def about_of(self, mask: Mask) -> About:
        """What is said of a mask's design, with its name."""
        name = self.name_of(mask)
        return replace(self.kept.get(name, self.about), name=name)


Grouping = Literal["each", "all", "folders"]
"""What is one mask: each picture, all of them together, or those of each folder."""


def masks_in(sources: Sequence[Path], grouping: Grouping = "each") -> tuple[list[Mask], list[Refusal]]:
    """The masks that files and folders show, in order; and what in folders cannot be looked at.

    Raises
    ------
    CatalogError
        As `pictures_in`.
    """
    pictures, refused = pictures_in(sources)
    if grouping == "all":
        return ([Mask(tuple(pictures))] if pictures else []), refused
    if grouping == "each":
        return [Mask((picture,)) for picture in pictures], refused
    folders: dict[Path, list[Path]] = {}
    for picture in pictures:
        folders.setdefault(picture.parent, []).append(picture)
    return [Mask(tuple(inside), name_of(folder, folder.resolve().name)) for folder, inside in folders.items()], refused


def pictures_in(sources: Sequence[Path]) -> tuple[list[Path], list[Refusal]]:
    """The pictures among files and in folders, sorted within a folder; and what in folders cannot be looked at.

    Raises
    ------
    CatalogError
        If a source is missing, or a folder holds no picture.
    """
    pictures, refused = [], list[Refusal]()
    for source in sources:
        if source.is_dir():
            listed = list(FolderReader(source).listed)
            inside = [source / found.key for found in listed if isinstance(found, Entry)]
            failed = [found for found in listed if isinstance(found, Fault) and found.status == "failed"]
            if not inside and not failed:
                raise CatalogError(f"{source}: no pictures in this folder")
            pictures += inside
            for fault in failed:
                path = source / fault.key
                refused.append(Refusal(path, fault.reason, str(ImageError(f"{path}: {fault.message}", fault.remedy))))
        elif source.exists():
            pictures.append(source)
        else:
            raise CatalogError(f"{source}: no such file or folder")
    return pictures, refused


def passed_over(sources: Sequence[Path]) -> list[Path]:
    """The files in folders that are no pictures by their endings; what systems leave beside pictures is not named."""
    return [
        source / found.key
        for source in sources
        if source.is_dir()
        for found in FolderReader(source).listed
        if isinstance(found, Fault) and found.reason == "not_an_image"
    ]


def take(
    masks: Sequence[Mask], request: Request, executor: Executor
) -> Iterator[tuple[Mask, list[NewDesign] | Refusal]]:
    """The designs of each mask's pictures, or their refusal, in the order of the masks."""
    # One picture takes seconds: no chunk needs more.
    results = executor.run(partial(_take_chunk, request), chunks_of(enumerate(masks), 1))
    numbered = (
        (result.item[0], _crashed(result.item[1])) if isinstance(result, Crash) else result for result in results
    )
    yield from zip(masks, in_order(numbered), strict=True)


def take_one(mask: Mask, request: Request) -> list[NewDesign] | Refusal:
    """The designs of a mask's pictures, or their refusal."""
    file = mask.files[0]
    about, points = request.about_of(mask), request.points
    try:
        if len(mask.files) > 1 or isinstance(points, ManyPoints):
            if isinstance(points, PointsFile):
                raise CatalogError(f"{file}: points for one picture, but the mask has {len(mask.files)}")
            return [design_from_several(mask.files, _tools(request.model), about, points)]
        return designs_from(file, _tools(request.model), about, points)
    except harvest.RefusedError as error:
        return Refusal(file, error.reason, str(error))
    except CatalogError as error:
        return Refusal(file, "cut_out", str(error))
    except ImageError as error:
        return Refusal(file, "bad_image", str(error))
    except MaskgenError:
        raise
    except Exception as error:
        # One picture must not keep the others from being taken.
        said = " ".join(str(error).split())
        return Refusal(file, "unexpected", f"{file}: {type(error).__name__}: {said}")


def _take_chunk(request: Request, chunk: Sequence[tuple[int, Mask]]) -> tuple[int, list[NewDesign] | Refusal]:
    cv2.setNumThreads(1)  # a worker has one core
    ((number, mask),) = chunk
    return number, take_one(mask, request)


def _crashed(mask: Mask) -> Refusal:
    return Refusal(mask.files[0], "crashed", f"{mask.files[0]}: the process that worked on it died, twice")


@lru_cache(maxsize=1)
def _tools(model: str) -> Tools:
    return Tools(FaceDetector(model), FaceParser(model))


def read_points(path: Path) -> ByHand:
    """Control points from a JSON file: those of one picture, or of several by their names.

    Raises
    ------
    CatalogError
        If it cannot be read or is malformed; names the field at fault.
    """
    try:
        raw = files.read_regular(path, _MAX_POINTS_BYTES)
        # Which of the two it is meant to be decides what is said of its faults.
        schema = ManyPoints if b'"pictures"' in raw else PointsFile
        return schema.model_validate_json(raw)
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise CatalogError(f"{path}: {first_fault(error)}") from error


def name_of(path: Path, stem: str | None = None) -> str:
    """A design's name from a file's or a folder's: characters that a name cannot hold become dashes."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem if stem is None else stem).strip("-._")
    return name[:64] or "mask"


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
