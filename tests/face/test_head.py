"""The mean head and the points that masks hang on."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import face_at, poses, seen

from maskgen.face.head import (
    ANCHORS,
    POINT_NAMES,
    head_to_image,
    in_image,
    mean_head,
    point_in_space,
    points_on_face,
)

NAMES = tuple(sorted(POINT_NAMES))


@given(poses(), st.floats(0.2, 5), st.floats(-200, 500))
def test_points_on_the_turned_mean_head_are_its_projection(pose, scale, x):
    face = face_at(pose, scale, (x, 90))
    expected = seen(np.stack([point_in_space(name) for name in NAMES]), pose, scale, (x, 90))
    assert points_on_face(NAMES, face.landmarks_68) == pytest.approx(expected, abs=0.15 * scale + 0.05)


def test_landmarks_stay_where_the_face_has_them():
    moved = face_at().landmarks_68 + np.random.default_rng(0).normal(0, 3, (68, 2)).astype(np.float32)
    names = tuple(str(i) for i in range(68))
    assert np.array_equal(points_on_face(names, moved), moved)


def test_an_anchor_follows_the_jaw_beside_it():
    wide = face_at().landmarks_68.copy()
    wide[:6, 0] -= 6
    plain, moved = (points_on_face(("under_jaw_image_left",), p)[0] for p in (face_at().landmarks_68, wide))
    assert moved[0] < plain[0] - 2


def test_head_is_symmetric():
    names = [name for name in ANCHORS if "image_left" in name]
    for name in names:
        assert point_in_space(name) * [-1, 1, 1] == pytest.approx(point_in_space(name.replace("left", "right")))
    assert mean_head().points_68[8, 0] == pytest.approx(0, abs=0.5)


def test_unknown_point_is_refused():
    with pytest.raises(KeyError):
        point_in_space("68")


def plain_places(points, landmarks_68):
    """Where points of the mean head lie on a face: by the camera, then moved as the landmarks near them deviate."""
    camera, head_68 = head_to_image(landmarks_68), mean_head().points_68
    residual = landmarks_68 - (head_68 @ camera[:, :3].T + camera[:, 3])
    weight = np.exp(-np.square(points[:, None] - head_68).sum(axis=-1) / (2 * 35.0**2))
    correction = weight @ residual / np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
    return points @ camera[:, :3].T + camera[:, 3] + correction


@given(poses(yaw=60, pitch=30), st.integers(0, 1000))
def test_one_matrix_carries_points_where_camera_and_deviations_put_them(pose, seed):
    rng = np.random.default_rng(seed)
    landmarks = face_at(pose, 1.7, (300, 280)).landmarks_68 + rng.normal(0, 4, (68, 2)).astype(np.float32)
    points = rng.uniform(-120, 120, (30, 3)).astype(np.float32)
    assert np.allclose(in_image(points, landmarks), plain_places(points, landmarks), atol=0.02)
