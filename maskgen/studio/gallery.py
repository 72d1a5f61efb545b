"""Photographs under several masks, side by side: what a run would make of them.

Convention
----------
A tile shows a face and as much of what is around it as one and a half of its lengths takes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.schema import CORRECT, Wear, wear_shares
from maskgen.catalog.store import Catalog
from maskgen.face import Face
from maskgen.face.pose import rotation_matrix
from maskgen.masking.augment import Observed, mask_faces, observe
from maskgen.masking.recipe import Recipe
from maskgen.parse import Parser
from maskgen.studio.preview import to_tile

TILE: Final = 256
"""Side of a tile, pixels."""
_CAPTION: Final = 22
_AROUND: Final = 1.6
_PAPER: Final = 245
_INK: Final = (40, 40, 40)
_AXES: Final = ((220, 50, 50), (50, 160, 60), (60, 90, 220))
_COVERED: Final = np.array((230, 60, 60), np.float32)


@dataclass(frozen=True)
class Shown:
    """A face to show.

    Attributes
    ----------
    name : str
        Of its photograph.
    image : (H, W, 3) uint8 array
        RGB.
    face : Face
        The one to put masks on.
    """

    name: str
    image: Image
    face: Face


def gallery(
    people: Sequence[Shown],
    catalogs: Sequence[tuple[str, Catalog]],
    wears: Sequence[Wear],
    parser: Parser | None,
    *,
    seed: int = 0,
    columns: int = 6,
    marked: bool = False,
) -> Image:
    """One sheet, (H, W, 3) uint8: each face bare, then under every mask, worn in every way.

    Parameters
    ----------
    people : sequence of Shown
        Each begins a new row.
    catalogs : sequence of (str, Catalog)
        What to choose one mask from, and what to call it.
    wears : sequence of str
        How masks are worn.
    parser : Parser or None
        Tells what lies in front of faces.
    seed : int
        Decides what varies from mask to mask.
    columns : int
        Tiles in a row, at most.
    marked : bool
        Whether to show landmarks and head pose, and where a mask may be drawn, after the bare face.
    """
    rows = []
    for person in people:
        seen = observe(person.image, person.face, parser)
        tiles = [_captioned(_tile(person.image, person.face), person.name)]
        if marked:
            tiles += _marked(person, seen)
        tiles += list(_masked(person, seen, catalogs, wears, seed))
        blank = np.full_like(tiles[0], _PAPER)
        for start in range(0, len(tiles), columns):
            row = tiles[start : start + columns]
            rows.append(np.hstack([*row, *[blank] * (columns - len(row))]))
    return np.vstack(rows)


def _masked(
    person: Shown, seen: Observed, catalogs: Sequence[tuple[str, Catalog]], wears: Sequence[Wear], seed: int
) -> Iterator[Image]:
    for number, (name, catalog) in enumerate(catalogs):
        for wear in wears:
            recipe = replace(Recipe(), wear=CORRECT if wear == "correct" else wear_shares({wear: 1.0}))
            rng = np.random.default_rng([seed, number])
            masked = mask_faces(person.image, [person.face], [seen], catalog, rng, recipe)
            caption = name if wear == "correct" else f"{name}, {wear}"
            if masked.reason is not None:
                caption = f"{name}: {masked.reason}"
            yield _captioned(_tile(masked.image, person.face), caption)


def _marked(person: Shown, seen: Observed) -> list[Image]:
    """Box, landmarks and axes of the head on the photograph; red where no mask is drawn as something lies in front."""
    place = to_tile(person.face, TILE, _AROUND)
    tile = _tile(person.image, person.face)
    low, high = _on_tile(person.face.bbox.reshape(2, 2), place)
    cv2.rectangle(tile, _pixel(low), _pixel(high), (250, 200, 40), 1, cv2.LINE_AA)
    for point in _on_tile(person.face.landmarks_68, place):
        cv2.circle(tile, _pixel(point), 2, (40, 220, 240), -1, cv2.LINE_AA)
    nose = _on_tile(person.face.landmarks_68[30:31], place)[0]
    pose = person.face.pose
    for axis, colour in zip(rotation_matrix(pose).T, _AXES, strict=True):
        cv2.arrowedLine(tile, _pixel(nose), _pixel(nose + 0.25 * TILE * axis[:2]), colour, 2, cv2.LINE_AA)
    said = f"yaw {pose.yaw:.0f}, pitch {pose.pitch:.0f}, roll {pose.roll:.0f}"
    height, width = person.image.shape[:2]
    shown = None if seen.visible is None else seen.visible.at((slice(0, height), slice(0, width)))
    hidden = np.zeros((height, width), np.float32) if shown is None else 1 - shown / np.float32(255)
    red = person.image + (0.6 * hidden)[..., None] * (_COVERED - person.image)
    front = _tile(np.round(red).astype(np.uint8), person.face)
    return [_captioned(tile, said), _captioned(front, f"in front; mouth {100 * seen.covered:.0f} % hidden")]


def _on_tile(points: Float32Array, place: Float32Array) -> Float32Array:
    moved: Float32Array = points @ place[:, :2].T + place[:, 2]
    return moved


def _pixel(point: Float32Array) -> tuple[int, int]:
    return round(float(point[0])), round(float(point[1]))


def _tile(image: Image, face: Face) -> Image:
    place = to_tile(face, TILE, _AROUND)
    shrink = 1 / float(place[0, 0])
    soft = cv2.GaussianBlur(image, (0, 0), 0.45 * shrink) if shrink > 1.4 else image
    tile: Image = cv2.warpAffine(soft, place, (TILE, TILE), flags=cv2.INTER_CUBIC, borderValue=(_PAPER,) * 3)
    return tile


def _captioned(tile: Image, text: str) -> Image:
    """A tile with a line below it."""
    strip = np.full((_CAPTION, TILE, 3), _PAPER, np.uint8)
    # OpenCV draws ASCII only.
    said = text.encode("ascii", "replace").decode()
    cv2.putText(strip, said[:36], (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return np.vstack([tile, strip])
