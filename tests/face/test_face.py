"""Faces are checked when they are built."""

import dataclasses

import numpy as np
import pytest
from strategies import face_at

from maskgen.face import HeadPose


@pytest.mark.parametrize(
    ("field", "value"), [("bbox", np.zeros(5)), ("keypoints", np.zeros((4, 2))), ("landmarks", np.zeros((67, 2)))]
)
def test_wrong_shape_is_refused_by_name(field, value):
    with pytest.raises(ValueError, match=field):
        dataclasses.replace(face_at(), **{field: value})


def test_numbers_that_are_not_finite_are_refused():
    landmarks = face_at().landmarks.copy()
    landmarks[3, 1] = np.nan
    with pytest.raises(ValueError, match="not finite"):
        dataclasses.replace(face_at(), landmarks=landmarks)
    with pytest.raises(ValueError, match="not finite"):
        HeadPose(float("inf"), 0, 0)


def test_106_points_are_read_as_68():
    assert face_at(scheme=106).landmarks_68 == pytest.approx(face_at().landmarks_68, abs=0.01)
