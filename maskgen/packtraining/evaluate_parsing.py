"""The figures of the model card about what lies in front of faces, measured as `maskgen augment` uses the network."""

from __future__ import annotations

import time
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Image
from maskgen.detect import FaceDetector
from maskgen.face import Face
from maskgen.face.boxes import iou_matrix
from maskgen.masking.occlude import COVERED, IN_FRONT, covered_share, visible_of
from maskgen.packtraining import occluders, portraits
from maskgen.packtraining.data import human_boxes, read
from maskgen.packtraining.mixed import pieces_of
from maskgen.packtraining.parsing import ious
from maskgen.packtraining.portraits import BACKGROUND, OTHER, UNKNOWN, Portrait
from maskgen.parse import CROP_SIDE, KINDS, FaceParser, face_crop

Figures = dict[str, float]


def evaluate(data: Path, model: str, limit: int | None = None) -> Figures:
    """All figures about regions.

    Parameters
    ----------
    data : Path
        The training folder.
    model : str
        The pack, as `maskgen.packs.find.pack_dir` takes it.
    limit : int, optional
        At most this many pictures of each kind, for a quick look.
    """
    detector, parser = FaceDetector(model), FaceParser(model)
    held_out = portraits.labelled(data, held_out=True)[:limit]
    lfw = sorted((data / "lfw").glob("*/*.jpg"))[3::8][:limit]
    return {
        "portraits_held_out": len(held_out),
        **on_portraits(held_out, parser),
        **with_pasted_things(held_out, pieces_of(data), parser),
        **covered_percent("lfw", (face for path in lfw for face in faces_of(path, detector, 1)), parser),
        **covered_percent("celeba", one_of_each(data / "celeba", detector, limit), parser),
        **covered_percent("scenes_bare", in_scenes(data, "sin_mascarilla", detector, limit), parser),
        **covered_percent("scenes_masked", in_scenes(data, "con_mascarilla", detector, limit), parser),
        **speed([read(path) for path in lfw[:200]], detector, parser),
    }


def on_portraits(held_out: list[Portrait], parser: FaceParser) -> Figures:
    """Intersection over union of each kind, and what masks would do: paint over things, or spare skin."""
    said, truth = zip(*(_both(portrait, parser) for portrait in held_out), strict=True)
    painted, spared = [0, 0], [0, 0]
    for portrait in held_out:
        visible = visible_of(portrait.image, portrait.face, parser.regions(portrait.image, portrait.face))
        whole = slice(0, portraits.SIDE), slice(0, portraits.SIDE)
        shown = None if visible is None else visible.at(whole)
        hidden = np.zeros(portrait.kinds.shape, bool) if shown is None else shown < 128
        inside = under_mask(portrait) & (portrait.kinds != UNKNOWN)
        front = np.isin(portrait.kinds, [KINDS.index(kind) for kind in IN_FRONT])
        painted[0] += int((front & inside & ~hidden).sum())
        painted[1] += int((front & inside).sum())
        spared[0] += int((~front & inside & hidden).sum())
        spared[1] += int((~front & inside).sum())
    shares = {f"iou_{kind}": value for kind, value in ious(np.stack(said), np.stack(truth)).items()}
    # What is labelled background beside a face may lie in front of it or behind it.
    told = np.where(np.stack(truth) == BACKGROUND, UNKNOWN, np.stack(truth)).astype(np.uint8)
    return {
        **shares,
        "iou_other": ious(np.stack(said), told)["other"],
        "things_painted_over_percent": 100 * painted[0] / max(painted[1], 1),
        "skin_spared_percent": 100 * spared[0] / max(spared[1], 1),
    }


def with_pasted_things(held_out: list[Portrait], pictures: list[Image], parser: FaceParser) -> Figures:
    """Intersection over union of the things pasted on each portrait: hands, microphones, pieces of pictures."""
    rng = np.random.default_rng(0)
    said, truth = [], []
    for portrait in held_out:
        while True:
            layer = occluders.any_layer(portrait, held_out, pictures, rng)
            if layer is not None and layer.kind == OTHER:
                break
        one, other = _both(occluders.laid_on(portrait, layer), parser)
        said.append(one)
        truth.append(other)
    return {"iou_pasted_things": ious(np.stack(said), np.stack(truth))["other"]}


def under_mask(portrait: Portrait) -> BoolArray:
    """Where a mask lies: from the bridge of the nose to the jaw."""
    region = np.zeros(portrait.kinds.shape, np.uint8)
    outline = portrait.face.landmarks_68[[*range(1, 16), 28]]
    cv2.fillConvexPoly(region, cv2.convexHull(np.round(outline).astype(np.int32)), 1)
    return region.astype(bool)


def covered_percent(name: str, faces: Iterable[tuple[Image, Face]], parser: FaceParser) -> Figures:
    """How many faces count as covered."""
    covered = [covered_share(parser.regions(image, face), face) >= COVERED for image, face in faces]
    return {f"{name}_faces": len(covered), f"{name}_covered_percent": 100 * sum(covered) / max(len(covered), 1)}


def faces_of(path: Path, detector: FaceDetector, number: int | None = None) -> Iterator[tuple[Image, Face]]:
    """The faces of a photograph that are at least 40 pixels wide and high."""
    image = read(path)
    for face in detector.detect(image)[:number]:
        if min(face.size_wh) >= 40:
            yield image, face


def one_of_each(people: Path, detector: FaceDetector, limit: int | None) -> Iterator[tuple[Image, Face]]:
    """The largest faces of some photographs of each person."""
    for folder in sorted(people.iterdir())[:limit]:
        for path in sorted(folder.glob("*.jpg"))[1::4]:
            yield from faces_of(path, detector, 1)


def in_scenes(data: Path, label: str, detector: FaceDetector, limit: int | None) -> Iterator[tuple[Image, Face]]:
    """The faces of crowds that people labelled so."""
    for path in sorted((data / "scenes").glob("*.jpg"))[::2][:limit]:
        notes = path.with_suffix(".xml")
        wanted = [each.findtext("name") == label for each in ET.parse(notes).getroot().iter("object")]
        boxes = human_boxes(notes)[np.array(wanted, bool)]
        for image, face in faces_of(path, detector) if len(boxes) else ():
            if iou_matrix(face.bbox[None], boxes).max() > 0.5:
                yield image, face


def speed(images: list[Image], detector: FaceDetector, parser: FaceParser) -> Figures:
    """Milliseconds per face on one core: medians of the network, and of all that is done for what lies in front.

    They say little on a machine that is busy; what they are of the time that the search for faces takes says more.
    """
    network, whole, search = [], [], []
    for image in images:
        start = time.perf_counter()
        faces = detector.detect(image)[:1]
        search.append(time.perf_counter() - start)
        for face in faces:
            start = time.perf_counter()
            regions = parser.regions(image, face)
            between = time.perf_counter()
            visible_of(image, face, regions)
            covered_share(regions, face)
            network.append(between - start)
            whole.append(time.perf_counter() - start)
    return {
        "parsing_milliseconds": 1000 * float(np.median(network)),
        "milliseconds": 1000 * float(np.median(whole)),
        "percent_of_search": 100 * float(np.median(whole) / np.median(search)),
    }


def _both(portrait: Portrait, parser: FaceParser) -> tuple[Image, Image]:
    """What the network says (64, 64), and what is true of the same crop (128, 128)."""
    said = parser.regions(portrait.image, portrait.face).shares.argmax(axis=0).astype(np.uint8)
    matrix = face_crop(portrait.face.landmarks_68)
    truth = cv2.warpAffine(portrait.kinds, matrix, (CROP_SIDE, CROP_SIDE), flags=cv2.INTER_NEAREST, borderValue=UNKNOWN)
    return said, truth
