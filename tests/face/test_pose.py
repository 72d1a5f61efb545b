"""Landmarks to head pose."""

import numpy as np
import pytest
from hypothesis import given
from strategies import face_at, poses, seen

from maskgen.face import HeadPose
from maskgen.face.head import mean_head
from maskgen.face.pose import pose_from_68, pose_from_106, pose_of_rotation, rotation_matrix


def angles_of(pose):
    return np.array([pose.yaw, pose.pitch, pose.roll])


@given(poses())
def test_rotation_gives_its_angles_back(pose):
    assert angles_of(pose_of_rotation(rotation_matrix(pose))) == pytest.approx(angles_of(pose), abs=1e-6)


@given(poses())
def test_pose_of_the_turned_mean_head_is_the_turn_68(pose):
    assert angles_of(pose_from_68(face_at(pose).landmarks)) == pytest.approx(angles_of(pose), abs=0.1)


@given(poses(yaw=70, pitch=35, roll=45))
def test_pose_of_the_turned_mean_head_is_the_turn_106(pose):
    assert angles_of(pose_from_106(face_at(pose, scheme=106).landmarks)) == pytest.approx(angles_of(pose), abs=2.5)


@pytest.mark.parametrize(
    ("pose", "moves"),
    [
        (HeadPose(30, 0, 0), (1, 0)),
        (HeadPose(-30, 0, 0), (-1, 0)),
        (HeadPose(0, 25, 0), (0, -1)),
        (HeadPose(0, -25, 0), (0, 1)),
    ],
)
def test_signs_nose_goes_right_with_yaw_and_up_with_pitch(pose, moves):
    nose, bridge = mean_head().points_68[[30, 27]]
    depth = np.array([0, 0, nose[2] - bridge[2]], np.float32)
    tip = seen(depth[None], pose, 1, (0, 0))[0]
    assert np.sign(np.round(tip, 3)).tolist() == list(moves)


def test_roll_is_clockwise_on_screen():
    eyes = face_at(HeadPose(0, 0, 20)).landmarks[[36, 45]]
    assert eyes[1, 1] > eyes[0, 1]


def test_our_pose_agrees_with_insightface_on_our_head():
    from insightface.data import get_object
    from insightface.utils import transform

    mean_shape = get_object("meanshape_68.pkl")
    for pose in (HeadPose(0, 0, 0), HeadPose(30, 0, 0), HeadPose(-30, 0, 0), HeadPose(0, 15, 0), HeadPose(0, -15, 10)):
        points = mean_head().points_68 @ rotation_matrix(pose).T
        _, rotation, _ = transform.P2sRt(transform.estimate_affine_matrix_3d23d(mean_shape, points))
        pitch, yaw, roll = transform.matrix2angle(rotation)
        assert np.array([yaw, pitch, roll]) == pytest.approx(angles_of(pose), abs=8)
