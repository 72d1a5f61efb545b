"""Portraits with labelled pixels, and others without, cut as `maskgen.parse` cuts faces, but with a margin."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.detect import FaceDetector
from maskgen.face import Face, HeadPose
from maskgen.face.landmarks import keypoints_of
from maskgen.masking.augment import mask_faces, observe
from maskgen.packtraining.data import read
from maskgen.packtraining.worn import paint_mask
from maskgen.parse import CROP_SIDE, KINDS, face_crop

MARGIN: Final = 1.25
"""Portraits are this many times as wide as what the network sees, so that they can be turned and moved."""
SIDE: Final = 192
HELD_OUT_EVERY: Final = 6
UNKNOWN: Final = 255
"""The label of pixels that count neither way."""
BACKGROUND, SKIN, HAIR, GLASSES, HAT, OTHER = range(len(KINDS))
# The labels of the portraits: 0 background, 1 skin, 2 nose, 3 glasses, 4 5 eyes, 6 7 brows, 8 9 ears, 10 mouth,
# 11 12 lips, 13 hair, 14 hat, 15 earring, 16 necklace, 17 neck, 18 cloth.
_KIND_OF_LABEL: Final = np.array(
    [BACKGROUND, SKIN, SKIN, GLASSES, *[SKIN] * 9, HAIR, HAT, UNKNOWN, UNKNOWN, SKIN, BACKGROUND], np.uint8
)
# What is labelled background or cloth inside of the face lies in front of it, if it is larger than this, pixels.
_SMALLEST_THING: Final = 40
_UNKNOWN_AROUND: Final = 25  # pixels around such a thing, where the labels do not tell it from the background


@dataclass(frozen=True)
class Portrait:
    """A face and what its pixels are.

    Attributes
    ----------
    image : (192, 192, 3) uint8 array
        RGB.
    kinds : (192, 192) uint8 array
        Indices into `maskgen.parse.KINDS`, or `UNKNOWN`.
    face : Face
        As detected, in the pixels of the image.
    """

    image: Image
    kinds: Image
    face: Face


def labelled(data: Path, held_out: bool) -> list[Portrait]:
    """The labelled portraits to train on, or every sixth, which training never sees."""
    detector, portraits = FaceDetector(), []
    for number, path in enumerate(sorted((data / "parsing" / "images").glob("*.jpg"))):
        if (number % HELD_OUT_EVERY == 0) != held_out:
            continue
        image = read(path)
        labels = cv2.imread(str(data / "parsing" / "labels" / f"{path.stem}.png"), cv2.IMREAD_UNCHANGED)
        for face in detector.detect(image)[:1]:
            portraits.append(_cut(image, _KIND_OF_LABEL[labels], face))
    return portraits


def unlabelled(paths: Iterable[Path], number: int | None = None) -> Iterator[Portrait]:
    """The faces of photographs, or so many of the largest; nothing is known of their pixels."""
    detector = FaceDetector()
    for path in paths:
        image = read(path)
        for face in detector.detect(image)[:number]:
            if min(face.size_wh) >= 40:
                yield _cut(image, np.full(image.shape[:2], UNKNOWN, np.uint8), face)


def masked(portrait: Portrait, catalog: Catalog, rng: np.random.Generator) -> Portrait:
    """The portrait in a mask, which lies in front of the face."""
    image, face = portrait.image, portrait.face
    if rng.random() < 0.3:
        worn = paint_mask(image, face.landmarks_68, rng)
        alpha = (np.abs(worn.astype(int) - image).sum(axis=2) > 12).astype(np.float32)
    else:
        made = mask_faces(image, [face], [observe(image, face)], catalog, rng)
        worn, alpha = made.image, made.alpha
    kinds = portrait.kinds.copy()
    kinds[(alpha > 0.2) & (alpha < 0.6)] = UNKNOWN
    kinds[alpha >= 0.6] = OTHER
    return Portrait(worn, kinds, face)


def save(path: Path, portraits: Sequence[Portrait]) -> None:
    """Write portraits to a file of NumPy's."""
    faces = [portrait.face for portrait in portraits]
    np.savez_compressed(
        path,
        images=np.stack([portrait.image for portrait in portraits]),
        kinds=np.stack([portrait.kinds for portrait in portraits]),
        bboxes=np.stack([face.bbox for face in faces]),
        landmarks=np.stack([face.landmarks for face in faces]),
        poses=np.array([[face.pose.yaw, face.pose.pitch, face.pose.roll] for face in faces]),
    )


def load(path: Path) -> list[Portrait]:
    """The portraits in a file that `save` wrote."""
    with np.load(path) as file:
        columns = [file[name] for name in ("images", "kinds", "bboxes", "landmarks", "poses")]
    return [
        Portrait(image, kinds, Face(bbox, keypoints_of(points), points, HeadPose(*(float(v) for v in pose))))
        for image, kinds, bbox, points, pose in zip(*columns, strict=True)
    ]


def _cut(image: Image, kinds: Image, face: Face) -> Portrait:
    matrix = face_crop(face.landmarks_68).copy()
    # The same face in a larger picture, and with a margin.
    matrix *= SIDE / CROP_SIDE / MARGIN
    matrix[:, 2] += (SIDE - 1) / 2 - (CROP_SIDE - 1) / 2 * SIDE / CROP_SIDE / MARGIN
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    kinds = _with_things(kinds, face, round(_UNKNOWN_AROUND / scale))
    if scale < 1:
        image = cv2.GaussianBlur(image, (0, 0), 0.45 * (1 / scale - 1) + 0.1)
    placed = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR)
    placed_kinds = cv2.warpAffine(
        kinds, matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=UNKNOWN
    )
    return Portrait(placed, placed_kinds, _moved(face, matrix, scale))


def _moved(face: Face, matrix: Float32Array, scale: float) -> Face:
    def on_crop(points: Float32Array) -> Float32Array:
        flat = points[:, :2] @ matrix[:, :2].T + matrix[:, 2]
        return np.concatenate([flat, points[:, 2:] * scale], axis=1).astype(np.float32)

    corners = on_crop(face.bbox.reshape(2, 2))
    bbox = np.concatenate([corners.min(axis=0), corners.max(axis=0)])
    return Face(bbox, on_crop(face.keypoints), on_crop(face.landmarks), face.pose, face.score)


def _with_things(kinds: Image, face: Face, around: int) -> Image:
    """The kinds with things in front of the face told from its background."""
    inside = np.zeros(kinds.shape, np.uint8)
    points = face.landmarks_68
    middle = points[[27, 33]].mean(axis=0)
    # The contour itself is half background.
    hull = cv2.convexHull(np.round(middle + (points - middle) * np.float32(0.9)).astype(np.int32))
    cv2.fillConvexPoly(inside, hull, 1)
    ground = (kinds == BACKGROUND).astype(np.uint8)
    number, parts, statistics, _ = cv2.connectedComponentsWithStats(ground & inside)
    things: BoolArray = np.isin(
        parts, [n for n in range(1, number) if statistics[n, cv2.CC_STAT_AREA] > _SMALLEST_THING]
    )
    if not things.any():
        return kinds
    near = cv2.dilate(things.astype(np.uint8), np.ones((2 * around + 1, 2 * around + 1), np.uint8))
    kinds = kinds.copy()
    kinds[(near & ground).astype(bool)] = UNKNOWN
    kinds[things] = OTHER
    return kinds
