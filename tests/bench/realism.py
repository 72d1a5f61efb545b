"""Can a classifier tell our masks from real ones? Parts of the face apart, beside the mask-free upper face.

    python -m tests.bench.realism --data DIR --work DIR [--sheets DIR] [--pairs DIR]

DIR of ``--data`` holds ``scenes/`` with human boxes, ``masked_photos/``, ``lfw/`` and ``celeba/``. Faces that were
found are kept in ``--work``. Two comparisons:

scenes    people of crowds who wear a mask, against people of the same crowds who wear one of ours
portraits people of ``masked_photos``, against people of ``lfw`` and ``celeba`` who wear one of ours

Each figure is an AUC with an interval of 95 per cent (bootstrap over pictures): 0.5 if a linear classifier cannot tell
the two apart, 1 if it always can. ``upper face`` is what no mask covers: it tells the sources apart, so that a part is
to be compared with it. Both kinds are drawn from like sizes and yaws, and pass the same JPEG compression.

``--sheets`` gets contact sheets, real above ours. ``--pairs`` gets pairs of a real and one of our masks for a judge who
does not know the code; which side is real stands beside the folder, in ``<name>.key.json``. Nobody is in two pairs, or
a judge would know ours by seeing a face again under another mask.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import json
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt
from skimage.feature import hog

from maskgen.arrays import Float64Array, Image
from maskgen.catalog.store import Catalog
from maskgen.detect import FaceDetector
from maskgen.face import Face
from maskgen.face.align import ARCFACE_KEYPOINTS, similarity
from maskgen.manifest import FaceRow, face_of, face_row
from maskgen.masking.augment import mask_faces, observe_all
from maskgen.masking.recipe import Recipe
from maskgen.packtraining.data import human_boxes, iou_matrix, read
from maskgen.parse import FaceParser

SIDE: Final = 64
SHEET_SIDE: Final = 200
CELL: Final = 8
# What of ArcFace's frame a crop shows: its left and top edge, and its side, pixels of the 112.
LEFT, TOP, SPAN = -8.0, 11.0, 128.0
SMALLEST: Final = 36.0
"""Longer side of the smallest face that is looked at, pixels."""
QUALITY: Final = 90
FOLDS: Final = 5
RIDGE: Final = 0.3
RESAMPLES: Final = 1000
SEED: Final = 0


def cells(rows: range, columns: Sequence[int], without: Sequence[tuple[int, int]] = ()) -> list[tuple[int, int]]:
    return [(row, column) for row in rows for column in columns if (row, column) not in without]


# Cells of 8 px of a crop: eyes lie at a height of 20 px, the tip of the nose at 30, the chin at 52.
INTERIOR: Final = cells(range(4, 6), (3, 4))
OUTLINE: Final = cells(range(3, 7), (2, 3, 4, 5), INTERIOR)
STRAPS: Final = cells(range(2, 5), (0, 1, 6, 7))
LOWER: Final = cells(range(3, 7), (2, 3, 4, 5))
UPPER: Final = cells(range(1, 3), range(1, 7))


@dataclass(frozen=True)
class Person:
    """A masked face as the classifier sees it.

    Attributes
    ----------
    picture : str
        Source and name; folds and resamples keep a picture together.
    size, yaw : float
        Longer side of the face, pixels; degrees.
    crop : (64, 64, 3) uint8 array
        RGB.
    large : (200, 200, 3) uint8 array
        The same for people to look at.
    """

    picture: str
    size: float
    yaw: float
    crop: Image
    large: Image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sheets", type=Path, help="gets contact sheets")
    parser.add_argument("--pairs", type=Path, help="gets pairs for a judge")
    given, found, catalog = opened(parser)
    print(f"{'':10} {'real':>5} {'ours':>5}  " + "".join(f"{name:>20}" for name in FEATURES))
    for name, (real, ours) in {
        "scenes": scenes(found, catalog),
        "portraits": portraits(found, catalog),
    }.items():
        real, ours = alike(real, ours)
        figures = [auc_with_interval(real, ours, features) for features in FEATURES.values()]
        texts = "".join(f"{auc:8.2f} ({low:.2f}-{high:.2f})" for auc, low, high in figures)
        print(f"{name:10} {len(real):5} {len(ours):5}  {texts}", flush=True)
        if given.sheets is not None:
            write_sheets(given.sheets, name, real, ours)
        if given.pairs is not None:
            write_pairs(given.pairs, name, real, ours)


def opened(parser: argparse.ArgumentParser) -> tuple[argparse.Namespace, Faces, Catalog]:
    """What a comparison is told on the command line, the faces of its photographs, and the masks to compare."""
    parser.add_argument("--data", type=Path, required=True, help="real photographs")
    parser.add_argument("--work", type=Path, required=True, help="gets the faces found")
    parser.add_argument("--catalog", type=Path, help="by default the one that ships")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    return given, Faces(given.data, given.work / "faces.jsonl"), Catalog.load(given.catalog)


# Who.


class Faces:
    """The faces of the photographs, looked for once."""

    def __init__(self, data: Path, path: Path) -> None:
        self.data, self._path = data, path
        self._known: dict[str, list[Face]] = {}
        for line in path.read_text().splitlines() if path.exists() else ():
            row = json.loads(line)
            faces = [face_of(FaceRow.model_validate(face)) for face in row["faces"]]
            self._known[row["picture"]] = [face for face in faces if face is not None]

    @functools.cached_property
    def _detector(self) -> FaceDetector:
        return FaceDetector()

    def of(self, picture: str) -> tuple[Image, list[Face]]:
        """The pixels of a picture, and its faces, largest first."""
        image = read(self.data / picture)
        if picture not in self._known:
            self._known[picture] = self._detector.detect(image)
            faces = [face_row(face, True).model_dump(mode="json") for face in self._known[picture]]
            with self._path.open("a") as file:
                file.write(json.dumps({"picture": picture, "faces": faces}) + "\n")
        return image, self._known[picture]


def scenes(found: Faces, catalog: Catalog) -> tuple[list[Person], list[Person]]:
    """Masked people of the crowds in which somebody wears none, and those somebodies with ours."""
    real, ours = list[Person](), list[Person]()
    for path in sorted((found.data / "scenes").glob("*.xml")):
        said = [name.text for name in ET.parse(path).getroot().iterfind("object/name")]
        if "sin_mascarilla" not in said:
            continue
        picture = f"scenes/{path.stem}.jpg"
        image, faces = found.of(picture)
        if not faces:
            continue
        overlaps = iou_matrix(np.stack([face.bbox for face in faces]), human_boxes(path))
        kinds = [said[row.argmax()] if row.max() > 1 / 3 else None for row in overlaps]
        bare = [face for face, kind in zip(faces, kinds, strict=True) if kind == "sin_mascarilla"]
        worn = [face for face, kind in zip(faces, kinds, strict=True) if kind == "con_mascarilla"]
        real += people(picture, image, worn)
        for variant in range(2):
            ours += people(picture, image, bare, catalog, variant)
    return real, ours


def portraits(found: Faces, catalog: Catalog) -> tuple[list[Person], list[Person]]:
    """The people of masked photographs, and other people with ours."""
    real, ours = list[Person](), list[Person]()
    for path in sorted((found.data / "masked_photos").glob("*.jpg")):
        picture = f"masked_photos/{path.name}"
        image, faces = found.of(picture)
        real += people(picture, image, faces[:1])
    for source, step in (("lfw", 4), ("celeba", 4)):
        folders = sorted(folder for folder in (found.data / source).iterdir() if folder.is_dir())
        firsts = [path for folder in folders for path in sorted(folder.glob("*.jpg"))[: 1 if source == "lfw" else None]]
        for path in firsts[::step]:
            picture = str(path.relative_to(found.data))
            image, faces = found.of(picture)
            ours += people(picture, image, faces[:1], catalog)
    return real, ours


def people(
    picture: str, image: Image, faces: Sequence[Face], catalog: Catalog | None = None, variant: int = 0
) -> Iterator[Person]:
    """Faces of a picture that are large enough, with our masks on if there is a catalog."""
    faces = [face for face in faces if max(face.size_wh) >= SMALLEST]
    if not faces:
        return
    worn = [True] * len(faces)
    if catalog is not None:
        recipe = Recipe(faces="all")
        seed = [SEED, zlib.crc32(picture.encode()), variant]
        masked = mask_faces(
            image, faces, observe_all(image, faces, parser(), recipe), catalog, np.random.default_rng(seed), recipe
        )
        image, worn = masked.image, [face.design is not None for face in masked.faces]
    image = as_jpeg(image)
    for face, is_worn in zip(faces, worn, strict=True):
        if is_worn:
            small, large = (crop_of(image, face, side) for side in (SIDE, SHEET_SIDE))
            yield Person(picture, max(face.size_wh), face.pose.yaw, as_jpeg(small), large)


@functools.cache
def parser() -> FaceParser:
    return FaceParser()


def as_jpeg(image: Image) -> Image:
    _, raw = cv2.imencode(".jpg", image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return np.ascontiguousarray(cv2.imdecode(raw, cv2.IMREAD_COLOR)[..., ::-1])


def crop_of(image: Image, face: Face, side: int) -> Image:
    """A face upright in a square."""
    target = (ARCFACE_KEYPOINTS - [LEFT, TOP]) * (side / SPAN)
    matrix = similarity(face.keypoints, target.astype(np.float32))
    shrink = 1 / float(np.hypot(*matrix[:, 0]))
    if shrink > 1:  # a filter, or fine detail would turn into noise
        image = cv2.GaussianBlur(image, (0, 0), 0.45 * shrink)
    return np.asarray(cv2.warpAffine(image, matrix, (side, side), borderMode=cv2.BORDER_REPLICATE), np.uint8)


def alike(real: list[Person], ours: list[Person]) -> tuple[list[Person], list[Person]]:
    """As many of each size and yaw from both."""
    rng = np.random.default_rng(SEED)

    def stratum(person: Person) -> tuple[int, int]:
        return round(2 * np.log2(person.size)), int(np.searchsorted([12, 30], abs(person.yaw)))

    kept: tuple[list[Person], list[Person]] = ([], [])
    for wanted in sorted({stratum(person) for person in real}):
        sides = [[person for person in side if stratum(person) == wanted] for side in (real, ours)]
        number = min(map(len, sides))
        for chosen, side in zip(kept, sides, strict=True):
            chosen += [side[i] for i in sorted(rng.choice(len(side), number, replace=False))]
    return kept


# What a classifier looks at.


def shape(crop: Image, where: Sequence[tuple[int, int]]) -> list[float]:
    """Histograms of gradients of some cells, and how much detail of each fineness they have."""
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32)
    gradients = hog(grey, 9, (CELL, CELL), (1, 1), feature_vector=False)
    scales = [grey, *(cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (0.8, 1.6, 3.2))]
    bands = [fine - coarse for fine, coarse in itertools.pairwise(scales)]
    values = list[float]()
    for row, column in where:
        block = slice(row * CELL, (row + 1) * CELL), slice(column * CELL, (column + 1) * CELL)
        values += gradients[row, column].ravel().tolist()
        values += [float(np.log(band[block].std() + 0.3)) for band in bands]
    return values


def colour(crop: Image, where: Sequence[tuple[int, int]], beside: Sequence[tuple[int, int]] = ()) -> list[float]:
    """The Lab colours of some cells: their mean, spread and extremes, and how they differ from others."""
    lab = cv2.cvtColor(crop.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)

    def pixels(some: Sequence[tuple[int, int]]) -> npt.NDArray[np.float32]:
        blocks = [lab[r * CELL : (r + 1) * CELL, c * CELL : (c + 1) * CELL].reshape(-1, 3) for r, c in some]
        return np.concatenate(blocks)

    own = pixels(where)
    values = [*own.mean(axis=0), *own.std(axis=0), *np.percentile(own, [5, 50, 95], axis=0).ravel()]
    values += [float(np.hypot(own[:, 1], own[:, 2]).mean())]
    if beside:
        values += (own.mean(axis=0) - pixels(beside).mean(axis=0)).tolist()
    return [float(value) for value in values]


FEATURES: Final[dict[str, Callable[[Image], list[float]]]] = {
    "upper face": lambda crop: shape(crop, UPPER) + colour(crop, UPPER),
    "outline": lambda crop: shape(crop, OUTLINE),
    "interior": lambda crop: shape(crop, INTERIOR),
    "colour": lambda crop: colour(crop, LOWER, UPPER),
    "straps": lambda crop: shape(crop, STRAPS),
    "all of it": lambda crop: shape(crop, [*LOWER, *STRAPS]) + colour(crop, LOWER, UPPER),
}


# How well it tells.


def auc_with_interval(
    real: Sequence[Person], ours: Sequence[Person], features: Callable[[Image], list[float]]
) -> tuple[float, float, float]:
    """AUC of a classifier that never saw the picture it judges, and the bounds of its interval."""
    everybody = [*real, *ours]
    is_ours = np.arange(len(everybody)) >= len(real)
    table = np.array([features(person.crop) for person in everybody])
    names = sorted({person.picture for person in everybody})
    picture = np.array([names.index(person.picture) for person in everybody])
    fold = np.random.default_rng(SEED).permutation(len(names))[picture] % FOLDS
    scores = np.zeros(len(everybody))
    for number in range(FOLDS):
        scores[fold == number] = judged(table, is_ours, fold != number)[fold == number]
    rng = np.random.default_rng(SEED)
    drawn = [
        auc(scores, is_ours, np.bincount(rng.integers(len(names), size=len(names)), minlength=len(names))[picture])
        for _ in range(RESAMPLES)
    ]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return auc(scores, is_ours, np.ones(len(scores))), float(low), float(high)


def judged(table: Float64Array, is_ours: npt.NDArray[np.bool_], learnt: npt.NDArray[np.bool_]) -> Float64Array:
    """Scores of all rows by ridge regression on those that may be learnt from."""
    mean, spread = table[learnt].mean(axis=0), table[learnt].std(axis=0) + 1e-6
    scaled = np.clip((table - mean) / spread, -4, 4)
    known, target = scaled[learnt], is_ours[learnt] - is_ours[learnt].mean()
    weights = np.linalg.solve(known.T @ known + RIDGE * len(known) * np.eye(table.shape[1]), known.T @ target)
    scores: Float64Array = scaled @ weights
    return scores


def auc(scores: Float64Array, is_ours: npt.NDArray[np.bool_], weights: npt.NDArray[np.number]) -> float:
    """How often one of ours scores above a real one, rows counted by weight."""
    order = np.argsort(scores, kind="stable")
    ours, real = (weights * is_ours)[order], (weights * ~is_ours)[order]
    total = float(ours.sum() * real.sum())
    below = np.cumsum(real) - real / 2
    return float((ours * below).sum() / total) if total else float("nan")


# For people.


def write_sheets(folder: Path, name: str, real: Sequence[Person], ours: Sequence[Person], columns: int = 8) -> None:
    """Sheets of four rows: real people, and ours of about the same size below them."""
    folder.mkdir(parents=True, exist_ok=True)
    order = np.random.default_rng(SEED).permutation(len(real))
    for page in range(min(len(order) // (2 * columns), 6)):
        rows = []
        for start in (page * 2 * columns, (page * 2 + 1) * columns):
            for side in (real, ours):
                rows.append(np.hstack([side[i].large for i in order[start : start + columns]]))
        cv2.imwrite(str(folder / f"{name}_{page}.png"), np.vstack(rows)[..., ::-1])


def write_pairs(folder: Path, name: str, real: Sequence[Person], ours: Sequence[Person], number: int = 60) -> None:
    """Pairs of a real and one of our masks, the sides drawn by chance; each face once."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng([SEED, zlib.crc32(name.encode())])
    gap, key = np.full((SHEET_SIDE, 8, 3), 255, np.uint8), {}
    seen = set[tuple[str, float, float]]()
    order = list[int]()
    for i in rng.permutation(len(real)):
        face = (ours[i].picture, ours[i].size, ours[i].yaw)
        if face not in seen:
            seen.add(face)
            order.append(int(i))
    for pair, i in enumerate(order[:number]):
        is_left_real = bool(rng.random() < 0.5)
        sides = (real[i].large, ours[i].large) if is_left_real else (ours[i].large, real[i].large)
        cv2.imwrite(str(folder / f"{name}_{pair:02d}.png"), np.hstack([sides[0], gap, sides[1]])[..., ::-1])
        key[f"{name}_{pair:02d}"] = "left" if is_left_real else "right"
    path = folder.parent / f"{folder.name}.key.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**known, **key}, indent=1))


if __name__ == "__main__":
    main()
