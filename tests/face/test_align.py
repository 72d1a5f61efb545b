"""A face to its aligned crop."""

import warnings

import numpy as np
import people
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import face_at

from maskgen.face import HeadPose, align
from maskgen.face.align import ARCFACE_KEYPOINTS
from maskgen.recognition import crops

POINTS = np.asarray(ARCFACE_KEYPOINTS, np.float32)


@given(st.floats(-180, 180), st.floats(0.2, 5), st.floats(-200, 200), st.floats(-200, 200))
def test_a_similarity_is_found_again(turn, scale, x, y):
    a, b = scale * np.cos(np.radians(turn)), scale * np.sin(np.radians(turn))
    forth = np.array([[a, -b, x], [b, a, y]])
    moved = POINTS @ forth[:, :2].T + forth[:, 2]
    assert align.similarity(POINTS, moved.astype(np.float32)) == pytest.approx(forth, abs=1e-2, rel=1e-3)


@settings(max_examples=25)  # the first example imports scikit-image
@given(st.integers(0, 2**32 - 1))
def test_the_similarity_is_umeyamas(seed):
    from skimage.transform import SimilarityTransform

    rng = np.random.default_rng(seed)
    points = (POINTS * 2 + rng.normal(0, 5, (5, 2)) + 30).astype(np.float32)
    theirs = SimilarityTransform()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert theirs.estimate(points.astype(np.float64), POINTS.astype(np.float64))
    assert align.similarity(points, POINTS) == pytest.approx(theirs.params[:2], abs=1e-3)


def test_the_crop_is_insightfaces():
    from insightface.utils import face_align

    image = np.random.default_rng(0).integers(0, 256, (250, 250, 3)).astype(np.uint8)
    keypoints = face_at(HeadPose(20, 5, 10), 1.1, (120, 110)).keypoints
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = face_align.norm_crop(image, keypoints)
    ours = align.aligned_crop(image, align.alignment(keypoints))
    assert np.abs(ours.astype(int) - theirs).mean() < 0.1


def test_an_aligned_crop_is_taken_as_it_is_and_a_larger_one_scaled():
    image = people.portrait(0, 0)
    cropper = crops.Cropper(lambda key: image, True)
    assert cropper.clean("any", None) is image
    larger = image.repeat(2, axis=0).repeat(2, axis=1)
    assert np.array_equal(align.resized_crop(larger), image)
