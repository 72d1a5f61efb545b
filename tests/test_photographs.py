"""The main job on real photographs, where they are at hand.

They are looked for in the folder that MASKGEN_DATA names, or in shared/data beside the checkout.
"""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from maskgen import manifest, run
from maskgen.detect import FaceDetector
from maskgen.face.landmarks import keypoints_of
from maskgen.face.pose import pose_from_68
from maskgen.packtraining.data import crop_points, loose_crops

DATA = Path(os.environ.get("MASKGEN_DATA", Path(__file__).parents[2] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (DATA / "lfw_boxes.jsonl").is_file(), reason=f"no photographs in {DATA}; MASKGEN_DATA names another folder"
)
EVERY = 128


@pytest.fixture(scope="module")
def labelled():
    """(picture, keypoints of its largest face, image left first) for some people of LFW."""
    rows = [json.loads(line) for line in (DATA / "lfw_boxes.jsonl").read_text().splitlines()[::EVERY]]
    people = []
    for row in rows:
        boxes = np.array(row["boxes"])
        largest = int(np.argmax(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)))
        people.append((row["path"], np.array(row["kps"][largest]), boxes[largest]))
    return people


@pytest.fixture(scope="module")
def masked(labelled, tmp_path_factory):
    """The folder of the same people, masked, and its rows by path."""
    folder = tmp_path_factory.mktemp("lfw")
    for name, _, _ in labelled:
        (folder / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "in" / name).write_bytes((DATA / "lfw" / name).read_bytes())
    run.run(run.Job(folder / "in", folder / "out", execution=run.Execution(workers=1)))
    return folder, {row.key: row for row in manifest.read(folder / "out" / "manifest.jsonl")}


def test_everybody_gets_a_mask(masked):
    _, rows = masked
    bare = [path for path, row in rows.items() if row.status != "done"]
    assert len(rows) == 40
    assert len(bare) <= 1, bare


def test_faces_are_where_another_detector_sees_them(labelled, masked):
    _, rows = masked
    errors = []
    for name, keypoints, box in labelled:
        if rows[name].faces:
            found = np.array(rows[name].faces[0].keypoints)
            errors.append(np.abs(found - keypoints).mean() / max(box[2:] - box[:2]))
    assert np.median(errors) < 0.04


def test_a_mask_covers_the_mouth_and_leaves_the_eyes(labelled, masked):
    folder, rows = masked
    covered, spared = [], []
    for name, keypoints, _ in labelled:
        if rows[name].status != "done":
            continue
        before, after = (cv2.imread(str(folder / side / name)).astype(int) for side in ("in", "out"))
        changed = np.abs(after - before).max(axis=2) > 12
        eyes, mouth = keypoints[:2].round().astype(int), keypoints[3:].mean(axis=0).round().astype(int)
        covered.append(changed[mouth[1] - 4 : mouth[1] + 5, mouth[0] - 4 : mouth[0] + 5].mean())
        spared.append(1 - np.mean([changed[y - 2 : y + 3, x - 2 : x + 3].mean() for x, y in eyes]))
    assert np.mean(covered) > 0.85
    assert np.mean(spared) > 0.97


def test_far_turned_faces_keep_their_sides_and_their_yaw():
    meshes, detector = crop_points(DATA), FaceDetector()
    turned = [(image, meshes[i]) for i, image in loose_crops(DATA) if abs(pose_from_68(meshes[i]).yaw) > 42]
    assert len(turned) > 50
    swapped, flat, missed = 0, 0, 0
    for image, mesh in turned:
        faces = detector.detect(image)
        if not faces:
            missed += 1
            continue
        truth, expected = keypoints_of(mesh), pose_from_68(mesh)
        mirrored = truth[[1, 0, 2, 4, 3]]
        swapped += np.abs(faces[0].keypoints - truth).sum() > np.abs(faces[0].keypoints - mirrored).sum()
        flat += faces[0].pose.yaw / expected.yaw < 0.6
    assert swapped == 0
    assert missed <= 0.05 * len(turned)
    assert flat <= 0.05 * len(turned)


def test_masked_people_are_still_found(masked):
    folder, rows = masked
    detector = FaceDetector()
    done = [path for path, row in rows.items() if row.status == "done"]
    found = [detector.detect(cv2.imread(str(folder / "out" / path))[..., ::-1]) for path in done]
    assert sum(bool(faces) for faces in found) >= len(done) - 1
