"""Detection on real people, where their photographs are at hand: see tests/test_photographs.py."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from insightface.app.common import Face as InsightFace

from maskgen.detect import FaceDetector
from maskgen.detect.ladder import Glimpse
from maskgen.detect.networks import BOX, KEYPOINTS, NOBODY, BoxNetwork, PointNetwork
from maskgen.packs.find import pack_dir
from maskgen.packs.session import face_analysis

DATA = Path(os.environ.get("MASKGEN_DATA", Path(__file__).parents[3] / "shared" / "data"))
pytestmark = pytest.mark.skipif(
    not (DATA / "lfw").is_dir(), reason=f"no photographs in {DATA}; MASKGEN_DATA names another folder"
)


def people(start, step):
    for path in sorted((DATA / "lfw").glob("*/*.jpg"))[start::step]:
        yield np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])


def eyes_of(face):
    return float(np.linalg.norm(face.landmarks_68[36] - face.landmarks_68[45]))


def moved(face, other):
    """How far the points of one lie from those of the other, as a share of its eye distance."""
    return float(np.linalg.norm(face.landmarks_68 - other.landmarks_68, axis=1).mean()) / eyes_of(other)


@pytest.mark.long
def test_on_five_hundred_photographs_boxes_and_points_are_those_of_insightface():
    models = face_analysis(pack_dir("bundled"), ["detection", "landmark_3d_68"], "cpu").models
    detector, landmarks = models["detection"], models["landmark_3d_68"]
    boxes, points = BoxNetwork(detector), PointNetwork(landmarks)
    number = 0
    for picture in people(0, 10):
        number += 1
        bgr = picture[..., ::-1].copy()
        theirs, keypoints = detector.detect(bgr, [(320, 320)], det_thresh=0.5)
        seen = boxes.look(picture, [320], 0.5)
        assert np.abs(seen[:, :5] - theirs).max(initial=0) < 1e-3
        assert np.abs(seen[:, KEYPOINTS] - keypoints.reshape(-1, 10)).max(initial=0) < 1e-3
        for found in seen:
            expected = landmarks.get(bgr, InsightFace(bbox=found[BOX]))
            assert np.abs(points.points(picture, found[BOX]) - expected).max() < 1e-3
    assert number >= 500


@pytest.mark.long
@pytest.mark.parametrize("bystanders", [False, True])
def test_in_five_hundred_photographs_a_glimpse_loses_nobody_and_keeps_the_order(bystanders):
    quick, exhaustive = FaceDetector(bystanders=bystanders), FaceDetector()
    exhaustive._ladder.glimpse = lambda image: Glimpse(0, NOBODY, NOBODY)
    shifts = []
    for picture in people(3, 10):
        some, everybody = quick.detect(picture), exhaustive.detect(picture)
        # A glimpse may be surer of a face than a closer look is, and find one more.
        places = [int(np.argmin([moved(face, other) for face in some])) for other in everybody]
        # Of those that are cut off at the edge, points lie anywhere.
        assert all(moved(some[place], other) < 0.2 for place, other in zip(places, everybody, strict=True))
        assert places == sorted(set(places))
        assert bystanders or len(some) == len(everybody)
        shifts.append(moved(some[0], everybody[0]))
        assert shifts[-1] < 0.15
    assert len(shifts) >= 500
    assert np.median(shifts) < 0.01
    assert np.percentile(shifts, 95) < 0.02


@pytest.mark.long
def test_a_head_that_leans_anyhow_has_its_mouth_where_it_is_and_nothing_is_found_elsewhere():
    detector = FaceDetector(bystanders=False)
    on_mouth = elsewhere = number = 0
    for picture in people(11, 120):
        upright = detector.detect(picture)
        if len(upright) != 1:
            continue
        middle = (len(picture) - 1) / 2
        for angle_deg in range(0, 360, 15):
            matrix = cv2.getRotationMatrix2D((middle, middle), -angle_deg, 1)
            mouth = upright[0].landmarks_68[48:].mean(axis=0) @ matrix[:, :2].T + matrix[:, 2]
            faces = detector.detect(cv2.warpAffine(picture, matrix, picture.shape[1::-1]))
            number += 1
            if faces:
                off = np.linalg.norm(faces[0].landmarks_68[48:].mean(axis=0) - mouth) / eyes_of(upright[0])
                on_mouth += off < 0.2
                elsewhere += off >= 0.2
    assert number > 24 * 30
    assert on_mouth >= 0.99 * number
    assert elsewhere == 0
