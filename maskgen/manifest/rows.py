"""What a row says about an input."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Final, Literal

import numpy as np
from pydantic import Field, field_validator

from maskgen.catalog.schema import Wear
from maskgen.face import Face, HeadPose
from maskgen.schema import Strict

SCHEMA_VERSION: Final = 2

Status = Literal["done", "skipped", "failed"]
Point = tuple[float, ...]


def inside(place: str) -> str:
    """A relative path that stays in its folder, as it is.

    Raises
    ------
    ValueError
        If it does not, or no file can have this name: maskgen deletes the files a manifest names when it starts anew.
    """
    place.encode()  # a lone surrogate is a ValueError, too
    if "\0" in place:
        raise ValueError(f"{place!r} is no name that a file can have")
    # Not of pathlib, which takes longer than all else that a row costs.
    parts = place.split("/")
    if place.startswith("/") or ".." in parts or not set(parts) - {"", "."}:
        raise ValueError(f"{place!r} does not lie in the manifest's folder")
    return place


class PoseRow(Strict):
    """Head rotation, degrees: +yaw turns the nose to image right, +pitch looks up, +roll is clockwise on screen."""

    yaw: float
    pitch: float
    roll: float


class FaceRow(Strict):
    """A face that was found.

    Attributes
    ----------
    bbox : tuple of 4 floats
        x1, y1, x2, y2 in the upright picture, pixels.
    score : float
        The detector's confidence, 0 to 1.
    pose : PoseRow
        Head rotation.
    keypoints : tuple of 5 points
        Eye centres, nose tip, mouth corners, image left first, pixels: what aligns the picture and its masked copies.
    landmarks : tuple of points or None
        If asked for: 68 or 106 points (x, y) or (x, y, depth), pixels.
    """

    bbox: tuple[float, float, float, float]
    score: float
    pose: PoseRow
    keypoints: tuple[Point, Point, Point, Point, Point]
    landmarks: tuple[Point, ...] | None = None


class RecolorRow(Strict):
    """The colour that a mask was given: its hue turned, its saturation and brightness times these, its RGB tinted."""

    hue_deg: float
    saturation: float
    brightness: float
    tint: tuple[float, float, float]


class MaskRow(Strict):
    """What one face wears in one variant: a design and its view, or the reason why nothing.

    Attributes
    ----------
    wear : str or None
        How: ``correct``, ``nose_out``, ``chin_out`` or ``under_chin``.
    recolor : RecolorRow or None
        If its colour was changed.
    pattern : str or None
        The file of the pattern laid on it, if one was.
    """

    design: str | None = None
    view: str | None = None
    reason: str | None = None
    wear: Wear | None = None
    recolor: RecolorRow | None = None
    pattern: str | None = None


class PairRow(Strict):
    """Which half of which pair of a verification set: pair `index`, `side` 0 or 1."""

    index: int
    side: Literal[0, 1]
    is_same: bool


class CropRow(Strict):
    """How an aligned crop was cut from the upright picture.

    Attributes
    ----------
    matrix : tuple of 2 rows of 3 floats
        Takes a point of the picture to a point of the crop: (x, y, 1) to (x', y'), pixels.
    size_wh : tuple of 2 ints
        Of the crop.
    """

    matrix: tuple[tuple[float, float, float], tuple[float, float, float]]
    size_wh: tuple[int, int]


class Extras(Strict):
    """Where what was saved beside a picture lies."""

    alpha: str | None = None
    landmarks: str | None = None
    visible: str | None = None

    @field_validator("*")
    @classmethod
    def _inside(cls, place: str | None) -> str | None:
        return place if place is None else inside(place)

    @property
    def places(self) -> tuple[str, ...]:
        """All that was saved."""
        return tuple(place for place in (self.alpha, self.landmarks, self.visible) if place is not None)


class Written(Strict):
    """A picture that was written.

    Attributes
    ----------
    place : str or None
        Relative to the manifest, with forward slashes; None if there is none. If the manifest lies in a folder beside
        a file, ``masked.bin#3`` is in that file.
    extras : Extras or None
        What was saved beside it.
    """

    place: str | None = None
    extras: Extras | None = None

    @field_validator("place")
    @classmethod
    def _inside(cls, place: str | None) -> str | None:
        return place if place is None else inside(place)


class VariantRow(Written):
    """One masked picture; its place is None if nobody wears a mask.

    Attributes
    ----------
    seed : str
        32 hexadecimal digits: ``numpy.random.SeedSequence(int(seed, 16))`` is where its random numbers come from.
    masks : tuple of MaskRow
        One for each of the row's faces, in their order.
    """

    seed: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    masks: tuple[MaskRow, ...]


class Row(Strict):
    """What became of one input.

    One row holds all variants of an input, so that rows and inputs can be counted against each other whatever the
    number of variants, and what is known of a face stands there once.

    Attributes
    ----------
    key : str
        The input: in a folder its relative path, with forward slashes.
    identity, label, pair : optional
        Who is on it, the number of the identity, and the place in a verification set, where the dataset says so.
    status : {"done", "skipped", "failed"}
        Done if at least one masked picture was written.
    reason : str or None
        Why not done, in one word. Skipped: ``no_face``, ``no_view_for_pose``, ``too_small``, ``covered``,
        ``not_an_image``, ``no_data``, ``folder_loop``, ``folder_twice``, ``not_a_shard``, ``not_selected``,
        ``pair_incomplete``. Failed: ``bad_image``, ``in_the_way``, ``name_clash``, ``bad_name``,
        ``unreadable_folder``, ``bad_record``, ``bad_label``, ``bad_index``, ``not_in_index``, ``no_identity``,
        ``twice``, ``missing``, ``bad_line``, ``bad_shard``, ``bad_member``, ``lost``, ``changed``, ``unexpected``,
        ``crashed``.
    message, remedy : str or None
        What failed, and what to do; settings are called as in ``run.json``.
    size_wh : tuple of 2 ints or None
        Of the upright picture, pixels.
    notes : tuple of str
        What decoding had to change: see `maskgen.images.Picture`.
    faces : tuple of FaceRow
        Largest first.
    crop : CropRow or None
        If the pictures written are aligned crops. Boxes and points lie in the upright picture all the same.
    variants : tuple of VariantRow
        The masked pictures.
    original : Written or None
        The untouched copy of the input.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    key: str
    identity: str | None = None
    label: int | None = None
    pair: PairRow | None = None
    status: Status
    reason: str | None = None
    message: str | None = None
    remedy: str | None = None
    size_wh: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    faces: tuple[FaceRow, ...] = ()
    crop: CropRow | None = None
    variants: tuple[VariantRow, ...] = ()
    original: Written | None = None

    @property
    def places(self) -> tuple[str, ...]:
        """All that was written for this input, relative to the manifest."""
        written = (*([self.original] if self.original else ()), *self.variants)
        return tuple(picture.place for picture in written if picture.place is not None)


def face_row(face: Face, with_landmarks: bool) -> FaceRow:
    """A face as a row has it."""
    pose = face.pose
    x1, y1, x2, y2 = _rounded(face.bbox.tolist())
    eye, other_eye, nose, mouth, other_mouth = map(_rounded, face.keypoints.tolist())
    # Hundredths of a pixel or degree: finer digits are noise, and fill the manifest.
    return FaceRow(
        bbox=(x1, y1, x2, y2),
        score=round(float(face.score), 4),
        pose=PoseRow(yaw=round(pose.yaw, 2), pitch=round(pose.pitch, 2), roll=round(pose.roll, 2)),
        keypoints=(eye, other_eye, nose, mouth, other_mouth),
        landmarks=tuple(map(_rounded, face.landmarks.tolist())) if with_landmarks else None,
    )


def face_of(row: FaceRow) -> Face | None:
    """The face of a row; None if it was written without landmarks."""
    if row.landmarks is None:
        return None
    return Face(
        np.array(row.bbox, np.float32),
        np.array(row.keypoints, np.float32),
        np.array(row.landmarks, np.float32),
        HeadPose(row.pose.yaw, row.pose.pitch, row.pose.roll),
        row.score,
    )


def _rounded(values: Sequence[float]) -> tuple[float, ...]:
    return tuple([round(value, 2) for value in values])
