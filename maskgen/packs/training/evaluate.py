"""The figures of the model card, measured through `maskgen.detect` on people and scenes that training never saw."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from maskgen.detect import FaceDetector
from maskgen.face import Face
from maskgen.landmarks import keypoints_of
from maskgen.packs.training.data import (
    SCENE_HELD_OUT_EVERY,
    FloatArray,
    Image,
    boxes_file,
    human_boxes,
    iou_matrix,
    is_held_out,
    points_of_mesh,
    scene_number,
)
from maskgen.pose import pose_from_68

Figures = dict[str, float]


def read(path: Path) -> Image:
    """(H, W, 3) uint8 RGB."""
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def evaluate(data: Path, model: str, limit: int | None = None) -> Figures:
    """All figures of a pack.

    Parameters
    ----------
    data : Path
        The training folder.
    model : str
        The pack, as `maskgen.detect.pack_dir` takes it.
    limit : int, optional
        At most so many pictures of each kind, for a quick look.
    """
    figures: Figures = {}
    figures |= on_lfw(data, FaceDetector(model), limit)
    figures |= on_scenes(data, FaceDetector(model), limit)
    figures |= on_group(FaceDetector(model))
    figures |= points_106(data, FaceDetector(model, landmarks=106), limit)
    figures |= speed(data, FaceDetector(model))
    return figures


def on_lfw(data: Path, detector: FaceDetector, limit: int | None) -> Figures:
    """Misses over all of LFW; landmark and pose error on its held-out people."""
    with np.load(data / "lfw_mesh.npz") as mesh:
        names = [str(name) for name in mesh["names"]]
        truth = dict(zip(names, points_of_mesh(mesh["xyz"].astype(np.float32), mesh["vertex_ids"])[0], strict=True))
    boxes = boxes_file(data / "lfw_boxes.jsonl")
    misses, held_out_misses, held_out, errors, angles = [], 0, 0, [], []
    for name in list(boxes)[:limit]:
        teacher = boxes[name][0]
        largest = teacher[np.argmax(np.prod(teacher[:, 2:] - teacher[:, :2], axis=1))]
        faces = detector.detect(read(data / "lfw" / name))
        face = _best(faces, largest)
        unseen = is_held_out(name.split("/")[0])
        held_out += unseen
        if face is None:
            misses.append(name)
            held_out_misses += unseen
        if not unseen or name not in truth:
            continue
        face = min(faces, key=lambda f: float(np.abs(f.keypoints - keypoints_of(truth[name])).mean()), default=None)
        if face is None:
            continue
        points = truth[name]
        errors.append(_error(face.landmarks_68, points))
        expected = pose_from_68(points)
        angles.append([face.pose.yaw - expected.yaw, face.pose.pitch - expected.pitch, face.pose.roll - expected.roll])
    if misses:
        print("missed:", *misses[:40])
    error = np.stack(errors)
    mean_angle = np.abs(np.array(angles)).mean(axis=0)
    return {
        "lfw_pictures": len(boxes if limit is None else list(boxes)[:limit]),
        "lfw_miss_percent": 100 * len(misses) / len(list(boxes)[:limit]),
        "lfw_held_out_pictures": held_out,
        "lfw_held_out_misses": held_out_misses,
        "points_68_error_percent": 100 * float(error.mean()),
        "points_68_jaw_error_percent": 100 * float(error[:, :17].mean()),
        "points_68_nose_bridge_error_percent": 100 * float(error[:, 27:31].mean()),
        "points_68_chin_error_percent": 100 * float(error[:, 7:10].mean()),
        "yaw_error_deg": float(mean_angle[0]),
        "pitch_error_deg": float(mean_angle[1]),
        "roll_error_deg": float(mean_angle[2]),
    }


def points_106(data: Path, detector: FaceDetector, limit: int | None) -> Figures:
    """Error of the 106 points on LFW's held-out people."""
    with np.load(data / "lfw_mesh.npz") as mesh:
        names = [str(name) for name in mesh["names"]]
        all_68, all_106 = points_of_mesh(mesh["xyz"].astype(np.float32), mesh["vertex_ids"])
    rows = [i for i, name in enumerate(names) if is_held_out(name.split("/")[0])][:limit]
    errors = []
    for i in rows:
        faces = detector.detect(read(data / "lfw" / names[i]))
        if faces:
            face = min(faces, key=lambda f: float(np.abs(f.keypoints - keypoints_of(all_68[i])).mean()))
            eyes = float(np.linalg.norm(all_68[i][36] - all_68[i][45]))
            errors.append(np.linalg.norm(face.landmarks - all_106[i], axis=1) / eyes)
    return {"points_106_error_percent": 100 * float(np.stack(errors).mean())}


def on_scenes(data: Path, detector: FaceDetector, limit: int | None) -> Figures:
    """Recall and precision on human-labelled faces of 20 px and more in held-out scenes."""
    names = [n for n in boxes_file(data / "scenes_boxes.jsonl") if scene_number(n) % SCENE_HELD_OUT_EVERY == 0][:limit]
    found, labelled, right, claimed = 0, 0, 0, 0
    for name in names:
        drawn = human_boxes((data / "scenes" / name).with_suffix(".xml"))
        large = (drawn[:, 2:] - drawn[:, :2]).max(axis=1) >= 20
        faces = detector.detect(read(data / "scenes" / name))
        boxes = np.array([face.bbox for face in faces], np.float32).reshape(-1, 4)
        overlap = iou_matrix(boxes, drawn)
        found += int((overlap[:, large].max(axis=0, initial=0) >= 0.4).sum())
        labelled += int(large.sum())
        claims = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) >= 20
        right += int((overlap[claims].max(axis=1, initial=0) >= 0.4).sum())
        claimed += int(claims.sum())
    return {
        "scene_faces": labelled,
        "scene_recall": found / max(labelled, 1),
        "scene_precision": right / max(claimed, 1),
    }


def on_group(detector: FaceDetector) -> Figures:
    """How many of the six faces of InsightFace's t1.jpg are found, and how many others."""
    path = resources.files("insightface") / "data" / "images" / "t1.jpg"
    with resources.as_file(path) as file:
        return {"t1_faces": len(detector.detect(read(file)))}


def speed(data: Path, detector: FaceDetector) -> Figures:
    """Milliseconds a picture of LFW on one core, decoding left out: the median over 200."""
    images = [read(path) for path in sorted((data / "lfw").glob("*/*.jpg"))[:200]]
    detector.detect(images[0])
    times = []
    for image in images:
        start = time.perf_counter()
        detector.detect(image)
        times.append(time.perf_counter() - start)
    return {"milliseconds_a_picture": 1000 * float(np.median(times))}


def _best(faces: list[Face], box: FloatArray) -> Face | None:
    """The face that overlaps a box by at least half (intersection over union)."""
    if not faces:
        return None
    overlap = iou_matrix(np.stack([face.bbox for face in faces]), box[None])[:, 0]
    return faces[int(overlap.argmax())] if overlap.max() >= 0.5 else None


def _error(points: FloatArray, truth: FloatArray) -> FloatArray:
    """Distances (68,) as shares of the distance in space between the outer eye corners."""
    eyes = float(np.linalg.norm(truth[36] - truth[45]))
    error: FloatArray = np.linalg.norm(points[:, :2] - truth[:, :2], axis=1) / eyes
    return error
