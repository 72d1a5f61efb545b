"""Make a mask design from a picture file: a photograph of somebody who wears the mask, or a cut-out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import chain
from pathlib import Path
from typing import Annotated, Final

import cv2
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from maskgen import files, images
from maskgen.arrays import Image
from maskgen.catalog.edit import NewDesign, NewView, png_of
from maskgen.catalog.likeness import PHOTOGRAPH
from maskgen.catalog.png import MAX_PICTURE_PIXELS
from maskgen.catalog.points import faults_of_placing, faults_of_points
from maskgen.catalog.schema import UNKNOWN_LICENSE, DesignEntry, Kind, Pixel, Rotation
from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.folder import FolderReader
from maskgen.detect import Detector, FaceDetector
from maskgen.errors import CatalogError, ImageError, MaskgenError
from maskgen.face.head import POINT_NAMES
from maskgen.packs.find import BUNDLED
from maskgen.parallel import Crash, Executor, chunks_of, in_order
from maskgen.schema import first_fault
from maskgen.studio.cutout import template
from maskgen.studio.cutout.background import without_background
from maskgen.studio.photo import harvest, texture

CUT_OUT: Final = "cut-out"
"""The tag of designs that were made from cut-outs."""
FRONTAL: Final = Rotation(yaw=(-25, 25), pitch=(-25, 25))
"""The head rotations that a cut-out with points placed by hand is for, unless the file of points says otherwise."""

# A mask that is narrower is refused, whatever is around it.
_SHORTEST_SIDE: Final = 32
# OpenCV counts the columns and rows of what it warps in 16 bits.
_LONGEST_SIDE: Final = 32_000
_MAX_POINTS_BYTES: Final = 1_000_000


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
        if unknown := sorted(set(points) - POINT_NAMES)[:3]:
            raise ValueError(f"unknown control points {unknown}: use '0' to '67' or the anchors of maskgen.face.head")
        if fault := next(faults_of_points(points, (_LONGEST_SIDE, _LONGEST_SIDE)), None):
            raise ValueError(fault)
        return points


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


def design_from(path: Path, detector: Detector, about: About, points: PointsFile | None = None) -> NewDesign:
    """The design that a picture shows.

    A picture with transparent parts is a cut-out. An opaque one is a photograph if there is a face, else a mask on a
    plain background if its rim is of one colour.

    Raises
    ------
    ImageError
        If the file is no picture, damaged or too large.
    RefusedError
        If it is a photograph from which no mask can be taken.
    CatalogError
        If it is a cut-out that cannot be used.
    """
    raw = images.read_bytes(path)
    picture = images.decode(raw, path)
    height, width = picture.pixels.shape[:2]
    _refuse_shape(width, height, path)
    if points is not None:
        placed, size_wh = points.points, (width, height)
        if fault := next(chain(faults_of_placing(placed, size_wh), faults_of_points(placed, size_wh)), None):
            raise CatalogError(f"{path}: {fault}", "see to the points placed by hand")
    name = about.name or name_of(path)
    if "alpha_on_white" in picture.notes:
        return _cutout(_with_alpha(raw, path), path, name, about, points)
    faces = detector.detect(picture.pixels)
    if not faces:
        try:
            rgba = without_background(picture.pixels)
        except CatalogError:
            pass  # a photograph after all, one without a face
        else:
            return _cutout(rgba, path, name, about, points)
    try:
        taken = harvest.harvest(picture.pixels, faces, None if points is None else points.points)
    except harvest.RefusedError as refused:
        raise harvest.RefusedError(refused.reason, f"{path}: {refused.fault}", refused.remedy) from refused
    rotation = points.rotation if points is not None and points.rotation is not None else taken.rotation
    view = NewView(png_of(taken.rgba), rotation, taken.points)
    return NewDesign(name, about.kind, about.license, (view,), taken.colour, (*about.tags, PHOTOGRAPH), about.weight)


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
class Request:
    """What holds for every picture: what the user says, points placed by hand, and the pack that finds faces.

    `kept` is what is said instead of the designs of some names, because it is kept where one is replaced.
    """

    about: About
    points: PointsFile | None = None
    model: str = BUNDLED
    kept: Mapping[str, About] = field(default_factory=dict)

    def about_of(self, file: Path) -> About:
        """What is said of the design of a picture."""
        return self.kept.get(self.about.name or name_of(file), self.about)


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


def take(pictures: Sequence[Path], request: Request, executor: Executor) -> Iterator[tuple[Path, NewDesign | Refusal]]:
    """The design of each picture, or its refusal, in the order of the pictures."""
    # One picture takes seconds: no chunk needs more.
    results = executor.run(partial(_take_chunk, request), chunks_of(enumerate(pictures), 1))
    numbered = (
        (result.item[0], _crashed(result.item[1])) if isinstance(result, Crash) else result for result in results
    )
    yield from zip(pictures, in_order(numbered), strict=True)


def take_one(file: Path, request: Request) -> NewDesign | Refusal:
    """The design of one picture, or its refusal."""
    try:
        return design_from(file, _detector(request.model), request.about_of(file), request.points)
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


def _take_chunk(request: Request, chunk: Sequence[tuple[int, Path]]) -> tuple[int, NewDesign | Refusal]:
    cv2.setNumThreads(1)  # a worker has one core
    ((number, file),) = chunk
    return number, take_one(file, request)


def _crashed(file: Path) -> Refusal:
    return Refusal(file, "crashed", f"{file}: the process that worked on it died, twice")


@lru_cache(maxsize=1)
def _detector(model: str) -> Detector:
    return FaceDetector(model)


def read_points(path: Path) -> PointsFile:
    """Control points from a JSON file.

    Raises
    ------
    CatalogError
        If it cannot be read or is malformed; names the field at fault.
    """
    try:
        return PointsFile.model_validate_json(files.read_regular(path, _MAX_POINTS_BYTES))
    except OSError as error:
        raise CatalogError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise CatalogError(f"{path}: {first_fault(error)}") from error


def name_of(path: Path) -> str:
    """A design's name from a file's: characters that a name cannot hold become dashes."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", path.stem).strip("-._")
    return name[:64] or "mask"


def _cutout(rgba: Image, path: Path, name: str, about: About, points: PointsFile | None) -> NewDesign:
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
            raise CatalogError(f"{path}: {error.fault}", error.remedy) from error
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
