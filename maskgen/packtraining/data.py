"""Training pictures for the bundled pack, read once and kept small in memory.

The folder that ``--data`` names holds photographs with the labels of two teachers: a dense face mesh (``*_mesh.npz``)
and a face detector (``*_boxes.jsonl``), and for crowds the boxes that people drew (``scenes/*.xml``).
"""

from __future__ import annotations

import json
import tarfile
import xml.etree.ElementTree as ET
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Image, IntArray
from maskgen.face.boxes import iou_matrix
from maskgen.face.landmarks import EXTRA_PAIRS_106, INDEX_106_OF_68, JAW_106, bbox_of_points

# fmt: off
MESH_VERTEX_OF_68: Final = (
    162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389,
    71, 63, 105, 66, 107, 336, 296, 334, 293, 301,
    168, 197, 5, 4, 75, 97, 2, 326, 305,
    33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380,
    61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87,
)
# Between two neighbours of the 68's jaw: the mesh's own contour vertex, or the mean of the neighbours.
MESH_BETWEEN_JAW: Final = (
    (127,), (234, 93), (132,), (58, 172), (172, 136), (150,), (176,), (148, 152),
    (152, 377), (400,), (379,), (365, 397), (397, 288), (361,), (323, 454), (356,),
)
# In the order of EXTRA_PAIRS_106.
MESH_EXTRA_PAIRS: Final = (
    ((53,), (283,)), ((52,), (282,)), ((65,), (295,)), ((55,), (285,)),
    ((159,), (386,)), ((145,), (374,)), ((468,), (473,)), ((468,), (473,)),
    ((122,), (351,)), ((126,), (355,)), ((129,), (358,)),
)
# fmt: on

CROP_SIDE: Final = 128
CROP_OVER_BOX: Final = 2.0
HELD_OUT_EVERY: Final = 10
SCENE_HELD_OUT_EVERY: Final = 5
LOOSE_CROP_SHIFT: Final = np.float32(0.25)
"""The mesh of the loose crops lies this many pixels to the lower right: it was scaled about the corner of a pixel.

Measured by mirroring: a network that was trained on pictures and their mirror images places the points of 1,500 crops
0.24 px to the left of the mesh, and those of 1,500 LFW pictures 0.02 px to the right.
"""


def points_of_mesh(xyz: Float32Array, vertex_ids: IntArray) -> tuple[Float32Array, Float32Array]:
    """The 68 points (N, 68, 3) and 106 points (N, 106, 2) of face meshes (N, V, 3), pixels.

    z of the 68 points grows towards the viewer, as in InsightFace's ``meanshape_68.pkl``; the mesh's grows away.
    """
    column = {int(v): i for i, v in enumerate(vertex_ids)}

    def mean_of(vertices: tuple[int, ...]) -> Float32Array:
        return xyz[:, [column[v] for v in vertices]].mean(axis=1)

    points_68 = xyz[:, [column[v] for v in MESH_VERTEX_OF_68]] * np.array([1, 1, -1], np.float32)
    points_106 = np.zeros((len(xyz), 106, 2), np.float32)
    points_106[:, list(INDEX_106_OF_68)] = points_68[..., :2]
    for place, vertices in zip(JAW_106[1::2], MESH_BETWEEN_JAW, strict=True):
        points_106[:, place] = mean_of(vertices)[:, :2]
    for places, pair in zip(EXTRA_PAIRS_106, MESH_EXTRA_PAIRS, strict=True):
        for place, vertices in zip(places, pair, strict=True):
            points_106[:, place] = mean_of(vertices)[:, :2]
    return points_68.astype(np.float32), points_106


@dataclass(frozen=True)
class LandmarkSet:
    """Face crops with landmarks.

    Attributes
    ----------
    crops : (N, 128, 128, 3) uint8 array
        RGB, a square of twice the longer side of the detector's box.
    points_68 : (N, 68, 3) float32 array
        Crop pixels; z towards the viewer.
    points_106 : (N, 106, 2) float32 array
        Crop pixels.
    held_out : (N,) bool array
        People and pictures that training never sees.
    """

    crops: Image
    points_68: Float32Array
    points_106: Float32Array
    held_out: BoolArray


def is_held_out(identity: str) -> bool:
    """Whether a person (or a crop's number) belongs to the tenth that training never sees."""
    return zlib.crc32(identity.encode()) % HELD_OUT_EVERY == 0


def crop_around(image: Image, box: Float32Array) -> tuple[Image, Float32Array]:
    """A square crop around a box and the (2, 3) map from image to crop."""
    side = CROP_OVER_BOX * float(max(box[2] - box[0], box[3] - box[1]))
    scale = CROP_SIDE / side
    centre = (box[:2] + box[2:]) / 2
    shift = (CROP_SIDE - 1) / 2 - scale * centre
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    # Averaging before shrinking, or a large face aliases.
    shrink = int(1 / scale)
    if shrink > 1:
        image = cv2.blur(image, (shrink, shrink))
    return cv2.warpAffine(image, matrix, (CROP_SIDE, CROP_SIDE), flags=cv2.INTER_LINEAR), matrix


def _apply(matrix: Float32Array, points: Float32Array) -> Float32Array:
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    moved = points.astype(np.float32) * np.float32(scale)
    moved[..., :2] = points[..., :2] @ matrix[:, :2].T + matrix[:, 2]
    return moved


def landmark_set(data: Path) -> LandmarkSet:
    """All labelled faces of LFW and of the loose crops."""
    crops, points_68, points_106, held_out = [], [], [], []

    def add(image: Image, p68: Float32Array, p106: Float32Array, identity: str) -> None:
        crop, matrix = crop_around(image, bbox_of_points(p68))
        crops.append(crop)
        points_68.append(_apply(matrix, p68))
        points_106.append(_apply(matrix, p106))
        held_out.append(is_held_out(identity))

    for name, (p68, p106) in lfw_points(data).items():
        add(read(data / "lfw" / name), p68, p106, name.split("/")[0])
    all_68, all_106 = _loose_crop_points(data)
    for index, image in loose_crops(data):
        add(image, all_68[index], all_106[index], f"{index:05d}")
    return LandmarkSet(np.stack(crops), np.stack(points_68), np.stack(points_106), np.array(held_out))


def read(path: Path) -> Image:
    """The picture (H, W, 3) in a file, RGB."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def lfw_points(data: Path) -> dict[str, tuple[Float32Array, Float32Array]]:
    """The 68 points (68, 3) and the 106 points (106, 2) of each picture of LFW, by its name, pixels."""
    with np.load(data / "lfw_mesh.npz") as mesh:
        names = [str(name) for name in mesh["names"]]
    all_68, all_106 = _mesh_points(data / "lfw_mesh.npz")
    return {name: (p68, p106) for name, p68, p106 in zip(names, all_68, all_106, strict=True)}


def crop_points(data: Path) -> Float32Array:
    """The 68 points (N, 68, 3) of the loose crops, pixels."""
    return _loose_crop_points(data)[0]


def _loose_crop_points(data: Path) -> tuple[Float32Array, Float32Array]:
    points_68, points_106 = _mesh_points(data / "landmark_crops_mesh.npz")
    points_68[..., :2] -= LOOSE_CROP_SHIFT
    return points_68, points_106 - LOOSE_CROP_SHIFT


def _mesh_points(path: Path) -> tuple[Float32Array, Float32Array]:
    with np.load(path) as mesh:
        return points_of_mesh(mesh["xyz"].astype(np.float32), mesh["vertex_ids"])


def loose_crops(data: Path) -> list[tuple[int, Image]]:
    """The (row of the mesh file, 128x128 RGB) pairs of ``landmark_crops.tar``."""
    pictures = []
    with tarfile.open(data / "landmark_crops.tar") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".jpg") else None
            if file is not None:
                image = cv2.imdecode(np.frombuffer(file.read(), np.uint8), cv2.IMREAD_COLOR)
                pictures.append((int(Path(member.name).stem), cv2.cvtColor(image, cv2.COLOR_BGR2RGB)))
    return pictures


def boxes_file(path: Path) -> dict[str, tuple[Float32Array, Float32Array, Float32Array]]:
    """Per picture: boxes (K, 4) xyxy, keypoints (K, 5, 2), scores (K,)."""
    rows = {}
    for line in path.read_text().splitlines():
        row = json.loads(line)
        rows[row["path"]] = (
            np.array(row["boxes"], np.float32).reshape(-1, 4),
            np.array(row["kps"], np.float32).reshape(-1, 5, 2),
            np.array(row["scores"], np.float32),
        )
    return rows


def is_doubtful(boxes: Float32Array, scores: Float32Array) -> BoolArray:
    """(K,) true for boxes (K, 4) that may be no face: those of a low score, and those between two heads.

    Where two heads touch, the teacher finds a third face, made of half of each, that overlaps a box of a higher score.
    Its own score is up to 0.97.
    """
    overlap = iou_matrix(boxes, boxes) * (scores[None] > scores[:, None])
    between = (overlap.max(axis=1, initial=0) > 0.1) & (scores < 0.985)
    result: BoolArray = between | (scores < 0.7)
    return result


def human_boxes(path: Path) -> Float32Array:
    """(K, 4) xyxy boxes that people drew, of a VOC file."""
    boxes = [
        [float(box.findtext(key, "nan")) for key in ("xmin", "ymin", "xmax", "ymax")]
        for box in ET.parse(path).getroot().iter("bndbox")
    ]
    return np.array(boxes, np.float32).reshape(-1, 4)


def scene_number(name: str) -> int:
    """The index of a scene: the digits at the end of its name."""
    return int("".join(c for c in Path(name).stem if c.isdigit()))
