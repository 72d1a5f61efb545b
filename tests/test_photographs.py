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
from maskgen.masking.occlude import COVERED, covered_share
from maskgen.packtraining.data import crop_points, loose_crops
from maskgen.parse import FaceParser

DATA = Path(os.environ.get("MASKGEN_DATA", Path(__file__).parents[2] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (DATA / "lfw_boxes.jsonl").is_file(), reason=f"no photographs in {DATA}; MASKGEN_DATA names another folder"
)
EVERY = 128


def lines(name):
    return (DATA / name).read_text().splitlines()


@pytest.fixture(scope="module")
def labelled():
    """(picture, keypoints of its largest face, image left first) for some people of LFW."""
    rows = [json.loads(line) for line in lines("lfw_boxes.jsonl")[::EVERY]]
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


# ---- what lies in front of faces


@pytest.fixture(scope="module")
def regions():
    """The figures of the network on every sixth portrait, which training never saw."""
    pytest.importorskip("torch", reason="reading the labelled portraits needs the extra [train]")
    from maskgen.packtraining import evaluate_parsing, portraits

    return evaluate_parsing.on_portraits(portraits.labelled(DATA, held_out=True), FaceParser())


@pytest.mark.parametrize(("kind", "floor"), [("skin", 0.88), ("hair", 0.72), ("glasses", 0.45), ("hat", 0.3)])
def test_regions_of_portraits_are_what_people_labelled(regions, kind, floor):
    assert regions[f"iou_{kind}"] > floor


def test_masks_spare_most_of_what_lies_in_front_and_hardly_any_skin(regions):
    assert regions["things_painted_over_percent"] < 40
    assert regions["skin_spared_percent"] < 2


def covered_of(paths):
    detector, parser = FaceDetector(), FaceParser()
    shares = []
    for path in paths:
        image = np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])
        shares += [covered_share(parser.regions(image, face), face) for face in detector.detect(image)[:1]]
    return np.array(shares) >= COVERED


def test_bare_faces_are_not_covered():
    covered = covered_of(DATA / "lfw" / json.loads(row)["path"] for row in lines("lfw_boxes.jsonl")[3::32])
    assert len(covered) > 150
    assert covered.sum() <= 1


def test_people_who_wear_masks_already_are_covered():
    covered = covered_of(sorted((DATA / "masked_photos").glob("*.jpg"))[1::6])
    assert len(covered) > 50
    assert covered.mean() > 0.85


def test_what_lies_in_front_does_not_depend_on_the_workers(tmp_path, hash_of_tree):
    (tmp_path / "in").mkdir()
    for number, path in enumerate(sorted((DATA / "celeba").glob("*/*.jpg"))[::160]):
        (tmp_path / "in" / f"{number}.jpg").write_bytes(path.read_bytes())
    for workers in (1, 2):
        execution = run.Execution(workers=workers)
        run.run(run.Job(tmp_path / "in", tmp_path / str(workers), execution=execution, source_name="photographs"))
    assert hash_of_tree(tmp_path / "1") == hash_of_tree(tmp_path / "2")
