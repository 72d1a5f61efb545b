"""The 68 and 106 point schemes."""

import numpy as np
import pytest
from hypothesis import given
from strategies import face_at, poses

from maskgen.face import HeadPose
from maskgen.face.head import mean_head
from maskgen.face.landmarks import INDEX_106_OF_68, JAW_106, MIRROR_68, MIRROR_106, keypoints_of, to_68


@pytest.mark.parametrize("mirror", [MIRROR_68, MIRROR_106])
def test_mirroring_twice_changes_nothing(mirror):
    assert [mirror[i] for i in mirror] == list(range(len(mirror)))


@pytest.mark.parametrize(("mirror", "scheme"), [(MIRROR_68, 68), (MIRROR_106, 106)])
def test_mirrored_head_is_the_head(mirror, scheme):
    points = mean_head().points_68 if scheme == 68 else mean_head().points_106
    assert (points * [-1, 1, 1])[list(mirror)] == pytest.approx(points, abs=1.0)


def test_every_point_of_the_68_stands_once_among_the_106():
    assert len(set(INDEX_106_OF_68)) == 68


def test_jaw_of_the_106_walks_from_temple_to_temple_without_a_jump():
    jaw = mean_head().points_106[list(JAW_106)]
    steps = np.linalg.norm(np.diff(jaw, axis=0), axis=1)
    assert steps.max() < 25
    assert np.all(np.diff(jaw[:17, 1]) > 0)


@given(poses())
def test_106_become_68(pose):
    both = [face_at(pose, scheme=scheme).landmarks for scheme in (68, 106)]
    assert to_68(both[1]) == pytest.approx(both[0], abs=0.01)


def test_other_counts_are_refused():
    with pytest.raises(ValueError, match="5 points"):
        to_68(np.zeros((5, 2), np.float32))


def test_keypoints_are_eyes_nose_mouth_image_left_first():
    left_eye, right_eye, nose, mouth_left, mouth_right = keypoints_of(face_at(HeadPose(0, 0, 0)).landmarks)
    assert left_eye[0] < nose[0] < right_eye[0]
    assert mouth_left[0] < mouth_right[0]
    assert left_eye[1] < nose[1] < mouth_left[1]
