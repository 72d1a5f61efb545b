"""The figures of the model card, measured through `maskgen.detect` on people and scenes that training never saw."""

from __future__ import annotations

import time
from importlib import resources
from pathlib import Path

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.detect import FaceDetector
from maskgen.face import Face
from maskgen.face.boxes import iou_matrix
from maskgen.face.landmarks import bbox_of_points, keypoints_of
from maskgen.face.pose import pose_from_68
from maskgen.packs.find import pack_dir
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
from maskgen.packtraining.failures import Failures
from maskgen.packtraining.worn import wear_mask

Figures = dict[str, float]

PICTURES_WITHOUT_PEOPLE = (
    "brick.png",
    "cell.png",
    "chelsea.png",
    "clock_motion.png",
    "coffee.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "moon.png",
    "motorcycle_left.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)


def evaluate(data: Path, model: str, limit: int | None = None, failures: Failures | None = None) -> Figures:
    """All figures of a pack.

    Parameters
    ----------
    data : Path
        The training folder.
    model : str
        The pack, as `maskgen.packs.find.pack_dir` takes it.
    limit : int, optional
        At most this many pictures of each kind, for a quick look.
    failures : Failures, optional
        Collects what went wrong.
    """
    failures = failures or Failures()
    figures: Figures = {}
    figures |= on_lfw(data, FaceDetector(model), limit, failures)
    figures |= on_scenes(data, FaceDetector(model), limit, failures)
    figures |= on_group(FaceDetector(model))
    figures |= under_masks(data, FaceDetector(model), limit, failures)
    figures |= turned(data, FaceDetector(model), limit, failures)
    figures |= without_people(FaceDetector(model), failures)
    figures |= points_106(data, FaceDetector(model, landmarks=106), limit)
    figures |= speed(data, FaceDetector(model))
    figures["pack_megabytes"] = sum(file.stat().st_size for file in pack_dir(model).rglob("*.onnx")) / 1e6
    return figures


def write_card(card: Path, figures: Figures, marker: str = "figures") -> None:
    """Put figures as a table between the markers of a model card."""
    before, rest = card.read_text().split(f"<!-- {marker} -->")
    _, after = rest.split(f"<!-- /{marker} -->")
    rows = "\n".join(f"| {name.replace('_', ' ')} | {value:g} |" for name, value in figures.items())
    table = f"<!-- {marker} -->\n| figure | value |\n|---|---|\n{rows}\n<!-- /{marker} -->"
    card.write_text(before + table + after)


def on_lfw(data: Path, detector: FaceDetector, limit: int | None, failures: Failures) -> Figures:
    """Misses over all of LFW; landmark and pose error on its held-out people.

    The face of a picture is the box that both teachers agree on: the one round the mesh. It need not be the largest,
    because where two heads touch, the largest box may be a false face made of half of each.
    """
    truth = {name: p68 for name, (p68, _) in lfw_points(data).items()}
    boxes = boxes_file(data / "lfw_boxes.jsonl")
    misses, largest_missed, held_out_misses, held_out, errors, angles = [], 0, 0, 0, [], []
    names = list(boxes)[:limit]
    for name in names:
        teacher, keypoints, scores = boxes[name]
        badness = is_doubtful(teacher, scores) - np.prod(teacher[:, 2:] - teacher[:, :2], axis=1) / 1e6
        if name in truth:
            badness = np.abs(keypoints - keypoints_of(truth[name])).mean(axis=(1, 2))
        expected_box = teacher[np.argmin(badness)]
        largest = teacher[np.argmax(np.prod(teacher[:, 2:] - teacher[:, :2], axis=1))]
        image = read(data / "lfw" / name)
        faces = detector.detect(image)
        face = _best(faces, expected_box)
        largest_missed += _best(faces, largest) is None
        unseen = is_held_out(name.split("/")[0])
        held_out += unseen
        if face is None:
            misses.append(name)
            held_out_misses += unseen
            failures.add("missed_lfw", float(np.prod(expected_box[2:] - expected_box[:2])), image, expected_box)
        if not unseen or name not in truth:
            continue
        face = _nearest(faces, truth[name])
        if face is None:
            continue
        points = truth[name]
        errors.append(_error(face.landmarks_68, points))
        _worst_points(failures, "points_68", errors[-1], image, face, points)
        expected = pose_from_68(points)
        angles.append([face.pose.yaw - expected.yaw, face.pose.pitch - expected.pitch, face.pose.roll - expected.roll])
    if misses:
        print("missed:", *misses[:40])
    error = np.stack(errors)
    mean_angle = np.abs(np.array(angles)).mean(axis=0)
    return {
        "lfw_pictures": len(names),
        "lfw_miss_percent": 100 * len(misses) / len(names),
        "lfw_largest_box_miss_percent": 100 * largest_missed / len(names),
        "lfw_held_out_pictures": held_out,
        "lfw_held_out_misses": held_out_misses,
        **_errors_by_region("points_68", error),
        "yaw_error_deg": float(mean_angle[0]),
        "pitch_error_deg": float(mean_angle[1]),
        "roll_error_deg": float(mean_angle[2]),
    }


def points_106(data: Path, detector: FaceDetector, limit: int | None) -> Figures:
    """Error of the 106 points on LFW's held-out people."""
    errors = []
    for name, p68, p106 in held_out_meshes(data, limit):
        face = _nearest(detector.detect(read(data / "lfw" / name)), p68)
        if face is not None:
            eyes = float(np.linalg.norm(p68[36] - p68[45]))
            errors.append(np.linalg.norm(face.landmarks - p106, axis=1) / eyes)
    return {"points_106_error_percent": 100 * float(np.stack(errors).mean())}


def on_scenes(data: Path, detector: FaceDetector, limit: int | None, failures: Failures) -> Figures:
    """Recall and precision on human-labelled faces of 20 px and more in held-out scenes."""
    names = [n for n in boxes_file(data / "scenes_boxes.jsonl") if scene_number(n) % SCENE_HELD_OUT_EVERY == 0][:limit]
    found, labelled, right, claimed = 0, 0, 0, 0
    for name in names:
        drawn = human_boxes((data / "scenes" / name).with_suffix(".xml"))
        large = (drawn[:, 2:] - drawn[:, :2]).max(axis=1) >= 20
        image = read(data / "scenes" / name)
        faces = detector.detect(image)
        boxes = np.array([face.bbox for face in faces], np.float32).reshape(-1, 4)
        overlap = iou_matrix(boxes, drawn)
        found += int((overlap[:, large].max(axis=0, initial=0) >= 0.4).sum())
        labelled += int(large.sum())
        claims = (boxes[:, 2:] - boxes[:, :2]).max(axis=1) >= 20
        right += int((overlap[claims].max(axis=1, initial=0) >= 0.4).sum())
        for box in drawn[large & (overlap.max(axis=0, initial=0) < 0.4)]:
            failures.add("missed_in_crowds", float(np.prod(box[2:] - box[:2])), image, box)
        for i in np.flatnonzero(claims & (overlap.max(axis=1, initial=0) < 0.4)):
            failures.add("false_in_crowds", faces[i].score, image, boxes[i])
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


def under_masks(data: Path, detector: FaceDetector, limit: int | None, failures: Failures) -> Figures:
    """Misses and landmark error on LFW's held-out people after maskgen has masked them."""
    catalog = Catalog.load()
    missed, errors = 0, []
    rows = held_out_meshes(data, limit)
    for index, (name, points, _) in enumerate(rows):
        masked = wear_mask(read(data / "lfw" / name), points, catalog, np.random.default_rng(index))
        face = _nearest(detector.detect(masked), points)
        if face is None:
            missed += 1
        else:
            errors.append(_error(face.landmarks_68, points))
            _worst_points(failures, "masked_points_68", errors[-1], masked, face, points)
    error = np.stack(errors)
    return {
        "masked_lfw_pictures": len(rows),
        "masked_lfw_misses": missed,
        **_errors_by_region("masked_points_68", error),
    }


def turned(data: Path, detector: FaceDetector, limit: int | None, failures: Failures) -> Figures:
    """Pose error on faces turned by more than 25 degrees, held-out loose crops and LFW, by the mesh's own pose."""
    crops = crop_points(data)
    pictures = [(image, crops[index]) for index, image in loose_crops(data) if is_held_out(f"{index:05d}")]
    pictures += [(read(data / "lfw" / name), points) for name, points, _ in held_out_meshes(data, None)]
    angles, count = [], 0
    for image, points in pictures[:limit]:
        expected = pose_from_68(points)
        if abs(expected.yaw) < 25:
            continue
        count += 1
        face = _nearest(detector.detect(image), points)
        if face is not None:
            angles.append(
                [face.pose.yaw - expected.yaw, face.pose.pitch - expected.pitch, face.pose.roll - expected.roll]
            )
            _worst_points(failures, "turned", np.abs(angles[-1]), image, face, points)
    mean = np.abs(np.array(angles)).mean(axis=0) if angles else np.full(3, np.nan)
    return {
        "turned_faces": count,
        "turned_misses": count - len(angles),
        "turned_yaw_error_deg": float(mean[0]),
        "turned_pitch_error_deg": float(mean[1]),
        "turned_roll_error_deg": float(mean[2]),
    }


def without_people(detector: FaceDetector, failures: Failures) -> Figures:
    """False faces per hundred pictures: scikit-image's pictures, tiles of them, and our masks on plain ground."""
    pictures = []
    for name in PICTURES_WITHOUT_PEOPLE:
        with resources.as_file(resources.files("skimage") / "data" / name) as file:
            whole = read(file)
        pictures.append(whole)
        height, width = whole.shape[0] // 2, whole.shape[1] // 2
        pictures += [
            np.ascontiguousarray(whole[y : y + height, x : x + width]) for y in (0, height) for x in (0, width)
        ]
    for design in Catalog.load().designs:
        rgba = design.views[0].textures[0]
        pictures.append(np.round((rgba[..., :3] + 0.6 * (1 - rgba[..., 3:])) * 255).astype(np.uint8))
    found = 0
    for picture in pictures:
        for face in detector.detect(picture):
            found += 1
            failures.add("false_without_people", face.score, picture, face.bbox)
    return {"pictures_without_people": len(pictures), "false_faces_per_100": 100 * found / len(pictures)}


def held_out_meshes(data: Path, limit: int | None) -> list[tuple[str, Float32Array, Float32Array]]:
    """(picture, 68 points, 106 points) of LFW's held-out people."""
    people = [(name, *points) for name, points in lfw_points(data).items() if is_held_out(name.split("/")[0])]
    return people[:limit]


def speed(data: Path, detector: FaceDetector) -> Figures:
    """Milliseconds per picture of LFW on one core, without decoding: the median over 200."""
    images = [read(path) for path in sorted((data / "lfw").glob("*/*.jpg"))[:200]]
    detector.detect(images[0])
    times = []
    for image in images:
        start = time.perf_counter()
        detector.detect(image)
        times.append(time.perf_counter() - start)
    return {"milliseconds_per_picture": 1000 * float(np.median(times))}


def _worst_points(
    failures: Failures, kind: str, error: Float32Array, image: Image, face: Face, truth: Float32Array
) -> None:
    failures.add(kind, float(error.mean()), image, bbox_of_points(truth), truth[:, :2], face.landmarks_68[:, :2])


def _nearest(faces: list[Face], points: Float32Array) -> Face | None:
    """The face whose keypoints lie nearest to those of 68 points, if they lie on the same face at all."""
    face = min(faces, key=lambda f: float(np.abs(f.keypoints - keypoints_of(points)).mean()), default=None)
    if face is None or np.abs(face.keypoints - keypoints_of(points)).mean() > 0.25 * max(face.size_wh):
        return None
    return face


def _best(faces: list[Face], box: Float32Array) -> Face | None:
    """The face that overlaps a box by at least half (intersection over union)."""
    if not faces:
        return None
    overlap = iou_matrix(np.stack([face.bbox for face in faces]), box[None])[:, 0]
    return faces[int(overlap.argmax())] if overlap.max() >= 0.5 else None


def _errors_by_region(name: str, error: Float32Array) -> Figures:
    """Means of the errors (N, 68) over all points and over those that masks hang on, per cent."""
    return {
        f"{name}_error_percent": 100 * float(error.mean()),
        f"{name}_jaw_error_percent": 100 * float(error[:, :17].mean()),
        f"{name}_nose_bridge_error_percent": 100 * float(error[:, 27:31].mean()),
        f"{name}_chin_error_percent": 100 * float(error[:, 7:10].mean()),
    }


def _error(points: Float32Array, truth: Float32Array) -> Float32Array:
    """Distances (68,) as shares of the distance in space between the outer eye corners."""
    eyes = float(np.linalg.norm(truth[36] - truth[45]))
    error: Float32Array = np.linalg.norm(points[:, :2] - truth[:, :2], axis=1) / eyes
    return error
