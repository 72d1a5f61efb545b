"""What comes before and after InsightFace's sessions gives what InsightFace gives, whatever the pack."""

import numpy as np
import onnx
import pytest
from insightface.app.common import Face
from numpy.testing import assert_allclose
from onnx import TensorProto, helper
from photographs import astronaut, shipped

from maskgen.detect.networks import BOX, KEYPOINTS, SCORE, BoxNetwork, PointNetwork
from maskgen.packs.find import pack_dir
from maskgen.packs.session import face_analysis

LOOKS = [([320], 0.5), ([320, 640], 0.3), ([160], 0.2), ([128], 0.05)]


def models_of(pack, *tasks):
    return face_analysis(pack, ["detection", *tasks], "cpu").models


@pytest.fixture(scope="module")
def bundled():
    return models_of(pack_dir("bundled"), "landmark_3d_68", "landmark_2d_106")


def pictures():
    group = shipped("t1.jpg")
    return [group, astronaut(), shipped("Tom_Hanks_54745.png"), group[:, :300], astronaut()[:200]]


def compare_boxes(model, has_keypoints=True):
    ours = BoxNetwork(model)
    found = 0
    for picture in pictures():
        bgr = picture[..., ::-1].copy()
        for sides, threshold in LOOKS:
            sizes_wh = [ours.input_wh(picture, side) for side in sides]
            theirs, keypoints = model.detect(bgr, sizes_wh, det_thresh=threshold)
            seen = ours.look(picture, sides, threshold)
            assert_allclose(seen[:, :5], theirs, atol=1e-3)
            if has_keypoints:
                assert_allclose(seen[:, KEYPOINTS], keypoints.reshape(-1, 10), atol=1e-3)
            found += len(seen)
    assert found > 20


@pytest.mark.parametrize(
    ("shape", "size_wh"),
    [((300, 300), (320, 320)), ((300, 400), (320, 256)), ((400, 300), (256, 320)), ((5, 900), (320, 32))],
)
def test_inputs_are_no_wider_or_higher_than_a_picture_needs(bundled, shape, size_wh):
    assert BoxNetwork(bundled["detection"]).input_wh(np.zeros((*shape, 3), np.uint8), 320) == size_wh


def test_boxes_and_keypoints_are_those_of_insightface(bundled):
    compare_boxes(bundled["detection"])


def test_all_of_an_input_in_parts_of_it_is_what_a_look_at_it_finds(bundled):
    boxes = BoxNetwork(bundled["detection"])
    for picture in pictures():
        height, width = picture.shape[:2]
        part = boxes.part(picture, 320, np.array([0, 0, width, height], np.float32))
        assert part == tuple(slice(0, side) for side in boxes.input_wh(picture, 320)[::-1])
        (seen,) = boxes.candidates_in(picture, 320, [part], 0.3)
        assert_allclose(seen, boxes.candidates(picture, 320, 0.3), atol=1e-3)


def test_a_face_is_found_in_a_part_of_the_input_where_and_as_surely_as_in_all_of_it(bundled):
    boxes = BoxNetwork(bundled["detection"])
    number = 0
    for picture in pictures():
        found = boxes.look(picture, [320], 0.5)
        around = [one[BOX] + 0.25 * (one[2] - one[0]) * np.array([-1, -1, 1, 1], np.float32) for one in found]
        parts = [boxes.part(picture, 320, box) for box in around]
        for one, seen in zip(found, boxes.candidates_in(picture, 320, parts, 0.3), strict=True):
            best = seen[np.abs(seen[:, BOX] - one[BOX]).max(axis=1).argmin()]
            assert np.abs(best[BOX] - one[BOX]).max() < 0.1 * (one[2] - one[0])
            assert abs(best[SCORE] - one[SCORE]) < 0.1
            number += 1
    assert number >= 8


@pytest.mark.parametrize(
    ("box", "rows", "columns"),
    [
        ([0, 0, 10, 10], (0, 96), (0, 96)),
        ([240, 230, 300, 300], (224, 320), (224, 320)),
        ([-40, 90, 30, 160], (96, 224), (0, 96)),
        ([100, -90, 140, -60], (0, 96), (96, 192)),
        ([-900, -900, 900, 900], (0, 320), (0, 320)),
    ],
)
def test_parts_begin_and_end_with_a_stride_and_lie_in_the_input(bundled, box, rows, columns):
    part = BoxNetwork(bundled["detection"]).part(np.zeros((250, 250, 3), np.uint8), 320, np.array(box, np.float32))
    assert part == (slice(*rows), slice(*columns))


@pytest.mark.parametrize("task", ["landmark_3d_68", "landmark_2d_106"])
def test_landmarks_are_those_of_insightface(bundled, task):
    model = bundled[task]
    ours = PointNetwork(model)
    for picture in pictures():
        bgr = picture[..., ::-1].copy()
        for found in BoxNetwork(bundled["detection"]).look(picture, [320], 0.5):
            theirs = model.get(bgr, Face(bbox=found[BOX]))
            assert_allclose(ours.points(picture, found[BOX]), theirs, atol=1e-3)


def rewritten(tmp_path, change, file="det.onnx"):
    """A pack of which one network is another."""
    for name in ("det.onnx", "1k3d68.onnx"):
        model = onnx.load(pack_dir("bundled") / name)
        if name == file:
            change(model)
        onnx.save(model, str(tmp_path / name))
    return tmp_path


def without_keypoints(model):
    del model.graph.output[6:]


def of_one_size(model):
    for axis in (2, 3):
        model.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = 320


def of_batches(model):
    graph = model.graph
    graph.initializer.append(helper.make_tensor("first_axis", TensorProto.INT64, [1], [0]))
    for output in list(graph.output):
        width = output.type.tensor_type.shape.dim[-1].dim_value
        graph.node.append(helper.make_node("Unsqueeze", [output.name, "first_axis"], [f"{output.name}_batch"]))
        graph.output.append(helper.make_tensor_value_info(f"{output.name}_batch", TensorProto.FLOAT, [1, None, width]))
        graph.output.remove(output)


@pytest.mark.parametrize("change", [without_keypoints, of_one_size, of_batches])
def test_detectors_of_other_forms_give_what_they_give_in_insightface(tmp_path, change):
    model = models_of(rewritten(tmp_path, change))["detection"]
    compare_boxes(model, has_keypoints=change is not without_keypoints)


def test_a_foreign_pack_gets_its_pose_from_the_mean_head_of_insightface(tmp_path):
    model = models_of(rewritten(tmp_path, lambda m: m.ClearField("metadata_props"), "1k3d68.onnx"), "landmark_3d_68")
    picture, ours = astronaut(), PointNetwork(model["landmark_3d_68"])
    (found,) = BoxNetwork(model["detection"]).look(picture, [320], 0.5)
    face = Face(bbox=found[BOX])
    model["landmark_3d_68"].get(picture[..., ::-1].copy(), face)
    pose = ours.pose(ours.points(picture, found[BOX]))
    assert_allclose([pose.pitch, pose.yaw, pose.roll], face["pose"], atol=1e-3)
