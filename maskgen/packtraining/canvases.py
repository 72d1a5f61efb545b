"""What the detector learns from: square canvases put together from pictures of people, crops, scenes and negatives."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.detect import FaceDetector
from maskgen.face.boxes import iou_matrix
from maskgen.face.landmarks import bbox_of_points, keypoints_of
from maskgen.packtraining.anchors import assign
from maskgen.packtraining.data import (
    SCENE_HELD_OUT_EVERY,
    boxes_file,
    crop_points,
    human_boxes,
    is_doubtful,
    is_held_out,
    lfw_points,
    loose_crops,
    read,
    scene_number,
)
from maskgen.packtraining.worn import wear_mask

SMALLEST_FACE: Final = 9.0  # px on the canvas; smaller faces count neither as faces nor as background
KEYPOINT_MIRROR: Final = [1, 0, 2, 4, 3]
NEGATIVE_SHARE: Final = 0.08
"""Share of the tiles of all canvases that show mined negatives, if there are any."""


@dataclass(frozen=True)
class Picture:
    """One training picture.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    boxes : (K, 4) array
        xyxy pixels.
    keypoints : (K, 5, 2) array
        Pixels; NaN where unknown.
    ignored : (M, 4) array
        Boxes that count neither as faces nor as background.
    points_68 : (68, 2) array or None
        Landmarks of the first box, where known.
    """

    image: Image
    boxes: Float32Array
    keypoints: Float32Array
    ignored: Float32Array
    points_68: Float32Array | None


def training_pictures(data: Path) -> dict[str, list[Picture]]:
    """Pictures to train on, by source: ``single`` people, loose ``crops``, ``scenes`` with many."""
    nothing = np.zeros((0, 4), np.float32)
    single, crops, scenes = [], [], []
    meshes = {name: p68 for name, (p68, _) in lfw_points(data).items()}
    for source in ("lfw", "celeba"):
        for name, (boxes, keypoints, scores) in boxes_file(data / f"{source}_boxes.jsonl").items():
            if is_held_out(name.split("/")[0]) or not len(boxes):
                continue
            sure = ~is_doubtful(boxes, scores)
            points = meshes.get(name)
            order = np.argsort(-np.prod(boxes[sure, 2:] - boxes[sure, :2], axis=1))
            boxes_sure, keypoints_sure = boxes[sure][order], keypoints[sure][order]
            if points is not None and (
                not len(boxes_sure) or np.abs(keypoints_of(points) - keypoints_sure[0]).mean() > 12
            ):
                points = None
            single.append(
                Picture(
                    read(data / source / name),
                    boxes_sure,
                    keypoints_sure,
                    boxes[~sure],
                    None if points is None else points[:, :2],
                )
            )
    all_68 = crop_points(data)
    for index, image in loose_crops(data):
        if not is_held_out(f"{index:05d}"):
            p = all_68[index]
            crops.append(Picture(image, bbox_of_points(p)[None], keypoints_of(p)[None], nothing, p[:, :2]))
    for name, (boxes, keypoints, scores) in boxes_file(data / "scenes_boxes.jsonl").items():
        if scene_number(name) % SCENE_HELD_OUT_EVERY == 0:
            continue
        drawn = human_boxes((data / "scenes" / name).with_suffix(".xml"))
        overlap = iou_matrix(boxes, drawn)
        seen_by_both = overlap.max(axis=1, initial=0) >= 0.3
        missed = drawn[overlap.max(axis=0, initial=0) < 0.3]
        sure = seen_by_both | (scores >= 0.8)
        scenes.append(
            Picture(
                read(data / "scenes" / name),
                np.concatenate([boxes[sure], missed]),
                np.concatenate([keypoints[sure], np.full((len(missed), 5, 2), np.nan, np.float32)]),
                boxes[~sure],
                None,
            )
        )
    return {"single": single, "crops": crops, "scenes": scenes}


def mine(pictures: list[Picture], model: FaceDetector, windows: int) -> Iterator[Image]:
    """Patches (H, W, 3), twice as wide as the box, in which a detector finds a face where there is none.

    It is shown square windows that touch no known face, small parts of the pictures, so that it sees them enlarged.
    """
    rng = np.random.default_rng(0)
    for _ in range(windows):
        picture = pictures[rng.integers(len(pictures))]
        height, width = picture.image.shape[:2]
        known = np.concatenate([picture.boxes, picture.ignored])
        side = int(min(height, width) * rng.uniform(0.12, 0.6))
        x, y = (int(rng.integers(0, length - side)) for length in (width, height))
        if _touches(np.array([x, y, x + side, y + side], np.float32), known, 1.25):
            continue
        for face in model.detect(np.ascontiguousarray(picture.image[y : y + side, x : x + side])):
            middle, reach = (face.bbox[:2] + face.bbox[2:]) / 2 + [x, y], float(max(face.size_wh))
            around = np.concatenate([middle - reach, middle + reach])
            x1, y1, x2, y2 = (int(v) for v in np.clip(around, 0, [width, height, width, height]))
            if min(x2 - x1, y2 - y1) >= 8 and not _touches(np.array([x1, y1, x2, y2], np.float32), known, 1.0):
                yield picture.image[y1:y2, x1:x2]


def _touches(window: Float32Array, boxes: Float32Array, margin: float) -> bool:
    """Whether a window (4,) shares a pixel with boxes (K, 4) that are enlarged so many times."""
    middle, half = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2 * margin
    shared = np.minimum(window[2:], middle + half) - np.maximum(window[:2], middle - half)
    return bool((shared > 0).all(axis=1).any())


def negatives(folder: Path) -> list[Picture]:
    """Pictures without a face, from the files of a folder."""
    nothing = np.zeros((0, 4), np.float32)
    return [
        Picture(read(file), nothing, np.zeros((0, 5, 2), np.float32), nothing, None)
        for file in sorted(folder.glob("*.png"))
    ]


class Canvases(torch.utils.data.Dataset[tuple[Tensor, ...]]):
    """Square canvases put together from pictures; each index draws its own, by (seed, index).

    Faces span about 10 px to the whole canvas; a canvas holds one picture, four or nine, or none.
    """

    def __init__(self, pictures: dict[str, list[Picture]], side: int, length: int, seed: int) -> None:
        self.pictures, self.side, self.length, self.seed = pictures, side, length, seed
        self.catalog = Catalog.load()
        self.catalog.preload()
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, item: int) -> tuple[Tensor, ...]:
        rng = np.random.default_rng((self.seed, self.epoch, item))
        side = self.side
        canvas = _background(side, rng)
        boxes, keypoints, ignored = [], [], []
        kind = rng.random()
        across = 1 if kind < 0.35 else 2 if kind < 0.8 else 3 if kind < 0.95 else 0
        inner = rng.uniform(-0.3, 0.3, (2, max(across - 1, 0)))
        cuts = [
            [0, *(int(side * ((i + 1 + d) / across)) for i, d in enumerate(axis)), side] if across else [0]
            for axis in inner
        ]
        for tile in [
            (x1, y1, x2, y2)
            for x1, x2 in zip(cuts[0], cuts[0][1:], strict=False)
            for y1, y2 in zip(cuts[1], cuts[1][1:], strict=False)
        ]:
            b, k, i = self._fill(canvas, tile, rng)
            boxes.append(b)
            keypoints.append(k)
            ignored.append(i)
        image = _degrade(canvas, rng)
        all_boxes = np.concatenate([np.zeros((0, 4), np.float32), *boxes])
        all_keypoints = np.concatenate([np.zeros((0, 5, 2), np.float32), *keypoints])
        all_ignored = np.concatenate([np.zeros((0, 4), np.float32), *ignored])
        targets = assign(all_boxes, all_keypoints, all_ignored, side)
        return (torch.from_numpy(image), *(torch.from_numpy(t) for t in targets))

    def _fill(
        self, canvas: Image, tile: tuple[int, int, int, int], rng: np.random.Generator
    ) -> tuple[Float32Array, Float32Array, Float32Array]:
        """Paint one picture into a tile; its boxes, keypoints and ignored boxes, canvas pixels."""
        mined = NEGATIVE_SHARE if self.pictures.get("negatives") else 0.0
        chances = np.append(np.array([0.42, 0.2, 0.38]) * (1 - mined), mined)
        source = rng.choice(["single", "crops", "scenes", "negatives"], p=chances)
        picture = self.pictures[source][rng.integers(len(self.pictures[source]))]
        image = picture.image
        x1, y1, x2, y2 = tile
        w, h = x2 - x1, y2 - y1
        if picture.points_68 is not None and rng.random() < 0.35:
            image = wear_mask(image, picture.points_68, self.catalog, rng)
        # Now and then look elsewhere: hands, ears, clothes and background are what a detector takes for faces.
        if len(picture.boxes) and rng.random() < 0.85:
            chosen = picture.boxes[rng.integers(len(picture.boxes))]
            face = float(np.sqrt(np.prod(chosen[2:] - chosen[:2])))
            largest = min(w, h) * (1.05 if rng.random() < 0.25 else 0.8)
            if source == "scenes":
                wanted = face * math.exp(rng.uniform(math.log(0.5), math.log(3.0)))
            else:
                wanted = math.exp(rng.uniform(math.log(12.0 if w < self.side else 28.0), math.log(largest)))
            scale = min(max(wanted, 10.0), largest) / face
            centre = (chosen[:2] + chosen[2:]) / 2
            target = np.array([rng.uniform(0.25, 0.75) * w, rng.uniform(0.25, 0.75) * h])
        elif source == "negatives":
            wanted = math.exp(rng.uniform(math.log(24.0), math.log(1.8 * min(w, h))))
            scale = wanted / min(image.shape[:2])
            centre, target = np.array([image.shape[1], image.shape[0]]) / 2, rng.uniform(0.25, 0.75, 2) * [w, h]
        else:
            scale = math.exp(rng.uniform(math.log(0.5), math.log(4.0))) * w / self.side
            centre = rng.uniform(0.1, 0.9, 2) * [image.shape[1], image.shape[0]]
            target = np.array([w, h]) / 2
        lean = rng.random()
        angle = float(rng.normal(0, 12) if lean < 0.27 else rng.uniform(-50, 50) if lean < 0.33 else 0)
        c, s = scale * math.cos(math.radians(angle)), scale * math.sin(math.radians(angle))
        matrix = np.array([[c, -s, 0], [s, c, 0]], np.float32)
        matrix[:, 2] = target - matrix[:, :2] @ centre
        shrink = int(1 / scale)
        if shrink > 1:
            image = cv2.blur(image, (shrink, shrink))
        region = canvas[y1:y2, x1:x2]
        if rng.random() < 0.5:
            border = [int(v) for v in rng.integers(0, 255, 3)]
            region[:] = cv2.warpAffine(image, matrix, (w, h), flags=cv2.INTER_LINEAR, borderValue=border)
        else:
            cv2.warpAffine(image, matrix, (w, h), region, cv2.INTER_LINEAR, cv2.BORDER_TRANSPARENT)
            canvas[y1:y2, x1:x2] = region
        boxes, keypoints = _move(picture.boxes, matrix), picture.keypoints @ matrix[:, :2].T + matrix[:, 2]
        ignored = _move(picture.ignored, matrix)
        if rng.random() < 0.5:
            canvas[y1:y2, x1:x2] = canvas[y1:y2, x1:x2][:, ::-1].copy()
            boxes = np.stack([w - boxes[:, 2], boxes[:, 1], w - boxes[:, 0], boxes[:, 3]], axis=1)
            ignored = np.stack([w - ignored[:, 2], ignored[:, 1], w - ignored[:, 0], ignored[:, 3]], axis=1)
            keypoints = keypoints[:, KEYPOINT_MIRROR] * np.array([-1, 1], np.float32) + np.array([w - 1, 0], np.float32)
        inside = np.prod(
            np.clip(np.minimum(boxes[:, 2:], [w, h]) - np.maximum(boxes[:, :2], 0), 0, None), axis=1
        ) / np.maximum(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), 1e-6)
        size = np.sqrt(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1))
        good = (inside > 0.65) & (size >= SMALLEST_FACE)
        unsure = ~good & (inside > 0.15)
        offset = np.array([x1, y1], np.float32)
        return (
            (boxes[good] + np.tile(offset, 2)).astype(np.float32),
            (keypoints[good] + offset).astype(np.float32),
            (np.concatenate([boxes[unsure], ignored]) + np.tile(offset, 2)).astype(np.float32),
        )


def samples(pictures: dict[str, list[Picture]], count: int, side: int = 320) -> list[Float32Array]:
    """Some (3, side, side) canvases as training sees them, in [-1, 1]."""
    canvases = Canvases(pictures, side, count, seed=1)
    return [((canvases[i][0].permute(2, 0, 1).float() - 127.5) / 128).numpy() for i in range(count)]


def _move(boxes: Float32Array, matrix: Float32Array) -> Float32Array:
    """Boxes whose centres follow the map; a turned face keeps the shape of its box."""
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    centre = ((boxes[:, :2] + boxes[:, 2:]) / 2) @ matrix[:, :2].T + matrix[:, 2]
    half = (boxes[:, 2:] - boxes[:, :2]) / 2 * scale
    return np.concatenate([centre - half, centre + half], axis=1).astype(np.float32)


def _background(side: int, rng: np.random.Generator) -> Image:
    """A background without faces: a plain colour, a gradient, noise at some scale, or stripes."""
    kind = rng.random()
    if kind < 0.4:
        return np.broadcast_to(rng.integers(0, 255, 3, dtype=np.uint8), (side, side, 3)).copy()
    small = rng.uniform(0, 255, (int(rng.integers(2, 24)), int(rng.integers(2, 24)), 3)).astype(np.uint8)
    interpolation = cv2.INTER_LINEAR if kind < 0.8 else cv2.INTER_NEAREST
    return cv2.resize(small, (side, side), interpolation=interpolation)


def _degrade(image: Image, rng: np.random.Generator) -> Image:
    if rng.random() < 0.1:
        image = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)
    if rng.random() < 0.15:
        image = cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6)))
    if rng.random() < 0.7:
        gain = np.exp(rng.normal(0, 0.25)) * np.exp(rng.normal(0, 0.08, 3))
        table = np.clip((np.arange(256)[:, None] - 127) * gain + 127 + rng.normal(0, 25), 0, 255).astype(np.uint8)
        image = cv2.LUT(image, np.ascontiguousarray(table[None]))
    if rng.random() < 0.15:
        noise = rng.normal(0, rng.uniform(2, 12), image.shape).astype(np.int16)
        image = np.clip(image.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.2:
        _, coded = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 85))])
        image = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    return image
