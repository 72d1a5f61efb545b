"""Where control points that were placed by hand lie in a picture, or in several."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from maskgen import files
from maskgen.catalog.points import faults_of_points
from maskgen.catalog.schema import Pixel, Rotation, refuse_unknown_points
from maskgen.errors import CatalogError
from maskgen.schema import first_fault

LONGEST_SIDE: Final = 32_000
"""Pixels across or down: OpenCV counts the columns and rows of what it warps in 16 bits."""
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
        refuse_unknown_points(points)
        if fault := next(faults_of_points(points, (LONGEST_SIDE, LONGEST_SIDE)), None):
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
