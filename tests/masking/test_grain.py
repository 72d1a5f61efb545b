"""The grain of a photograph, and the same on a mask."""

import cv2
import numpy as np
import pytest
from strategies import face_at

from maskgen.face import HeadPose
from maskgen.masking import blend, grain, light
from maskgen.masking.recipe import DEFAULT_LOOK
from maskgen.masking.warp import Overlay

FACE = face_at(centre=(125, 100))


def grey_with_grain(sigma, level=120.0, side=240, seed=0):
    noise = np.random.default_rng(seed).normal(0, sigma, (side, side))
    return np.round(np.clip(level + noise, 0, 255)).astype(np.float32)


@pytest.mark.parametrize("sigma", [2.0, 4.0, 7.0])
def test_the_grain_that_is_measured_is_the_grain_there_is(sigma):
    assert grain.grain_of(grey_with_grain(sigma)) * 255 == pytest.approx(sigma, rel=0.1)


def test_a_picture_without_grain_has_none():
    assert grain.grain_of(np.full((64, 64), 120, np.float32)) == 0
    assert grain.grain_of(np.zeros((7, 200), np.float32)) == 0


def test_what_is_textured_does_not_count_as_grain():
    half = grey_with_grain(2.0)
    half[:, 120:] += np.random.default_rng(1).normal(0, 25, (240, 120))
    assert grain.grain_of(half) * 255 == pytest.approx(2.0, rel=0.15)


def worn(image, level):
    rgba = np.full((120, 120, 4), level / 255, np.float32)
    rgba[..., 3] = 1
    appearance = light.appearance_of(image, FACE)
    result = blend.over(image, Overlay(rgba, 65, 90), appearance, np.random.default_rng(1), DEFAULT_LOOK).image
    return result[100:200, 75:175].astype(np.float32).mean(axis=2)


def photograph(sigma):
    noise = np.random.default_rng(3).normal(0, sigma, (300, 250, 1))
    return np.clip(np.array([150, 120, 105]) + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("sigma", [2.0, 4.0])
def test_a_mask_has_the_grain_of_the_smooth_blocks_of_its_photograph(sigma):
    image = photograph(sigma)
    around = grain.grain_of(image[:80].astype(np.float32).mean(axis=2))
    assert grain.grain_of(worn(image, 150)) == pytest.approx(around, rel=0.15)


def test_black_cloth_is_not_grainier_than_white():
    black, white, middle = (worn(photograph(4.0), level).std() for level in (18, 232, 130))
    assert black < 0.9 * middle
    assert white < 0.98 * middle
    assert black < white


def test_a_mask_on_a_small_blurred_face_is_as_blurred_as_the_face():
    small = face_at(HeadPose(0, 0, 0), 0.3, (60, 40))
    image = np.full((120, 120, 3), (150, 120, 105), np.uint8)
    for eye in (small.landmarks_68[36:42], small.landmarks_68[42:48]):
        cv2.fillConvexPoly(image, cv2.convexHull(np.round(eye).astype(np.int32)), (40, 30, 30))
    sharp, soft = (light.blur_of(one, small) for one in (image, cv2.GaussianBlur(image, (0, 0), 2.5)))
    assert sharp < 0.5
    assert soft > 1.2 or soft == pytest.approx(0.03 * max(small.size_wh), rel=0.01)


def test_grain_of_a_large_part_is_measured_on_some_of_it_and_the_same():
    rng = np.random.default_rng(5)
    large = np.clip(120 + rng.normal(0, 3, (900, 700, 1)), 0, 255).round().astype(np.uint8).repeat(3, axis=2)
    assert grain.grain_in(large) == pytest.approx(grain.grain_of(large[..., 0].astype(np.float32)), rel=0.05)
    small = large[:200, :200]
    assert grain.grain_in(small) == grain.grain_of(small[..., 0].astype(np.float32))
    assert grain.grain_in(large[:0]) == 0


@pytest.mark.parametrize("size_wh", [(30, 20), (512, 512), (700, 1300)])
def test_grain_of_any_size_is_cut_from_one_piece_and_follows_the_seed(size_wh):
    first, again, other = (grain.drawn(np.random.default_rng(seed), size_wh) for seed in (1, 1, 2))
    assert first.lighter.shape == first.darker.shape == size_wh[::-1]
    assert np.array_equal(first.lighter, again.lighter)
    assert not np.array_equal(first.lighter, other.lighter)
    assert not ((first.lighter > 0) & (first.darker > 0)).any()
