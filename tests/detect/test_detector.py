"""Faces through InsightFace, with the bundled pack, on the photographs that the dependencies ship."""

import subprocess
import sys

import cv2
import numpy as np
import pytest
from photographs import astronaut, shipped

from maskgen.detect import FaceDetector
from maskgen.errors import ImageError, ModelError
from maskgen.face.align import aligned_bbox
from maskgen.packs.find import pack_dir, pack_sha256


@pytest.fixture(scope="module")
def detector():
    return FaceDetector()


def test_all_six_faces_of_the_group_are_found_largest_first(detector):
    faces = detector.detect(shipped("t1.jpg"))
    assert len(faces) == 6
    areas = [face.size_wh[0] * face.size_wh[1] for face in faces]
    assert areas == sorted(areas, reverse=True)


@pytest.mark.parametrize("landmarks", [68, 106])
def test_landmarks_lie_on_the_face(landmarks):
    (face,) = FaceDetector(landmarks=landmarks).detect(astronaut())
    assert len(face.landmarks) == landmarks
    eyes = face.keypoints[:2]
    # Where anyone sees her eyes in scikit-image's photograph.
    assert np.abs(eyes - [[203, 101], [246, 103]]).max() < 4
    assert abs(face.pose.yaw) < 35
    assert abs(face.pose.roll) < 20


def test_a_mirrored_picture_has_mirrored_faces(detector):
    image = astronaut()
    (face,), (mirrored,) = detector.detect(image), detector.detect(np.ascontiguousarray(image[:, ::-1]))
    assert mirrored.pose.yaw == pytest.approx(-face.pose.yaw, abs=6)
    assert mirrored.pose.pitch == pytest.approx(face.pose.pitch, abs=6)
    assert 511 - mirrored.keypoints[1, 0] == pytest.approx(face.keypoints[0, 0], abs=5)


def test_a_turned_picture_has_rolled_faces(detector):
    image = astronaut()
    matrix = cv2.getRotationMatrix2D((226, 120), -15, 1)  # OpenCV counts counter-clockwise
    (face,), (turned,) = detector.detect(image), detector.detect(cv2.warpAffine(image, matrix, (512, 512)))
    assert turned.pose.roll - face.pose.roll == pytest.approx(15, abs=4)


def test_signs_of_the_pose_are_what_anyone_sees_in_the_group(detector):
    # t1.jpg from the largest: one head leans to the right of the picture, one looks to the left, one leans to the
    # left, and the smallest looks to the left.
    poses = [face.pose for face in detector.detect(shipped("t1.jpg"))]
    assert poses[0].roll > 8
    assert poses[1].yaw < -25
    assert poses[2].roll < -15
    assert poses[5].yaw < -15


@pytest.mark.parametrize("pixels", [30, 45])
def test_points_of_a_small_face_are_those_of_the_large_one(detector, pixels):
    (large,) = detector.detect(astronaut())
    scale = pixels / max(large.size_wh)
    small_picture = cv2.resize(astronaut(), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    (small,) = detector.detect(small_picture)
    off = np.linalg.norm((small.landmarks[:, :2] + 0.5) / scale - (large.landmarks[:, :2] + 0.5), axis=1)
    assert off.mean() < 0.06 * max(large.size_wh)
    assert small.pose.yaw == pytest.approx(large.pose.yaw, abs=8)


def test_a_face_that_fills_the_frame_is_found(detector):
    face = detector.detect(astronaut())[0]
    x1, y1, x2, y2 = face.bbox.astype(int)
    tight = detector.detect(np.ascontiguousarray(astronaut()[y1:y2, x1:x2]))
    assert len(tight) == 1
    assert np.abs(tight[0].keypoints + [x1, y1] - face.keypoints).max() < 0.12 * (x2 - x1)


def test_an_aligned_crop_needs_no_detector():
    (face,) = FaceDetector(aligned=True).detect(shipped("Tom_Hanks_54745.png"))
    assert np.abs(face.keypoints - [[38.3, 51.7], [73.5, 51.5], [56.0, 71.7], [41.5, 92.4], [70.7, 92.2]]).max() < 9


def test_an_aligned_crop_of_another_size_is_scaled():
    crop = shipped("Tom_Hanks_54745.png")
    detector = FaceDetector(aligned=True)
    (face,), (large,) = detector.detect(crop), detector.detect(cv2.resize(crop, (224, 224)))
    assert (large.keypoints / 2) == pytest.approx(face.keypoints, abs=2)


def test_a_photograph_is_no_aligned_crop():
    with pytest.raises(ImageError, match="square"):
        FaceDetector(aligned=True).detect(np.zeros((50, 60, 3), np.uint8))


def test_the_aligned_box_holds_the_template():
    x1, y1, x2, y2 = aligned_bbox()
    assert x1 < 38 < 73 < x2
    assert y1 < 51 < 92 < y2


@pytest.mark.parametrize("image", [np.zeros((64, 64, 3)), np.full((200, 300, 3), 255), np.zeros((1, 1, 3))])
def test_where_nobody_is_nobody_is_found(detector, image):
    assert detector.detect(image.astype(np.uint8)) == []


def test_a_missing_pack_names_the_place_and_the_command():
    with pytest.raises(ModelError, match=r"antelope_x.*maskgen models fetch"):
        FaceDetector("antelope_x")


def test_a_pack_without_landmarks_says_so(tmp_path):
    (tmp_path / "det.onnx").write_bytes((pack_dir("bundled") / "det.onnx").read_bytes())
    with pytest.raises(ModelError, match="1k3d68"):
        FaceDetector(str(tmp_path))


def test_a_broken_pack_is_refused(tmp_path):
    (tmp_path / "det.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="cannot load"):
        FaceDetector(str(tmp_path))


def test_an_empty_pack_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"no \.onnx"):
        pack_sha256(tmp_path)


def test_cuda_that_is_not_there_is_a_clear_error():
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    with pytest.raises(ModelError, match="maskgen doctor"):
        FaceDetector(device="cuda")


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_cuda_that_onnxruntime_promises_and_cannot_load_is_a_clear_error(monkeypatch):
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this machine has CUDA")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    with pytest.raises(ModelError, match="found no CUDA that works") as caught:
        FaceDetector(device="cuda")
    assert "{device=cpu}" in caught.value.remedy


def test_insightface_alone_loads_the_bundled_pack():
    code = """
import sys
from insightface.app import FaceAnalysis
from insightface.data import get_image
app = FaceAnalysis(name=sys.argv[1], providers=["CPUExecutionProvider"])
app.prepare(ctx_id=-1, det_size=(640, 640))
faces = app.get(get_image("t1"))
assert len(faces) == 6, len(faces)
assert all(f.landmark_3d_68.shape == (68, 3) and f.landmark_2d_106.shape == (106, 2) for f in faces)
assert all(abs(a) < 60 for f in faces for a in f.pose)
assert not any(name.startswith("maskgen") for name in sys.modules)
"""
    subprocess.run([sys.executable, "-c", code, str(pack_dir("bundled"))], check=True)


def test_detecting_prints_nothing(detector, capfd):
    FaceDetector().detect(astronaut())
    assert capfd.readouterr() == ("", "")


# ---- ways up


@pytest.mark.parametrize("landmarks", [68, 106])
@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_on_its_side_or_head_has_its_points_where_they_are(quarters, landmarks):
    image, detector = astronaut(), FaceDetector(landmarks=landmarks)
    (face,) = detector.detect(image)
    (turned,) = detector.detect(np.ascontiguousarray(np.rot90(image, quarters)))
    x, y = face.landmarks[:, :2].T
    expected = np.stack({1: (y, 511 - x), 2: (511 - x, 511 - y), 3: (511 - y, x)}[quarters], axis=1)
    assert np.abs(turned.landmarks[:, :2] - expected).max() < 1
    # A turn by np.rot90 goes against the clock, roll with it.
    assert (turned.pose.roll - face.pose.roll + 90 * quarters) % 360 == pytest.approx(0, abs=1) or (
        turned.pose.roll - face.pose.roll + 90 * quarters
    ) % 360 == pytest.approx(360, abs=1)
    assert turned.pose.yaw == pytest.approx(face.pose.yaw, abs=1)
    x1, y1, x2, y2 = turned.bbox
    assert x1 < turned.keypoints[:, 0].min() < turned.keypoints[:, 0].max() < x2
    assert y1 < turned.keypoints[:, 1].min() < turned.keypoints[:, 1].max() < y2


def test_an_upright_face_is_never_turned(detector):
    for name in ("t1.jpg", "Tom_Hanks_54745.png"):
        assert all(abs(face.pose.roll) < 45 for face in detector.detect(shipped(name)))


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 3000), (3000, 1), (65_500, 20), (40_000, 40), (2, 5), (161, 1)])
def test_a_picture_of_any_shape_is_looked_at(detector, size_wh):
    assert detector.detect(np.full((size_wh[1], size_wh[0], 3), 90, np.uint8)) == []


def test_a_face_in_a_long_strip_is_found(detector):
    strip = np.full((512, 4000, 3), 120, np.uint8)
    strip[:, 2000:2512] = astronaut()
    (face,), (alone,) = detector.detect(strip), detector.detect(astronaut())
    assert np.abs(face.landmarks[:, :2] - [2000, 0] - alone.landmarks[:, :2]).max() < 8


def test_a_large_picture_is_looked_at_without_a_second_copy_of_it(detector):
    import tracemalloc

    image = np.zeros((6000, 8000, 3), np.uint8)
    tracemalloc.start()
    detector.detect(image)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 0.7 * image.nbytes
