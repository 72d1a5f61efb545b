"""The colour of the light in a photograph."""

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import face_at

from maskgen.masking import blend, illuminant, light
from maskgen.masking.illuminant import NEUTRAL_CHROMA
from maskgen.masking.recipe import DEFAULT_LOOK
from maskgen.masking.warp import Overlay

FACE = face_at(centre=(125, 100))
CASTS = st.tuples(st.floats(-0.6, 0.6), st.floats(-0.6, 0.6)).map(np.array)


def room(light_rgb, skin=(173, 128, 102)):
    """White paper, grey wall and a face of a colour, under a light."""
    image = np.full((300, 250, 3), 110.0)
    image[:80] = 225
    image[260:, ::2] = 60
    image[light.skin_region(FACE, (250, 300))] = skin
    return np.clip(image * np.array(light_rgb), 0, 255).astype(np.uint8)


def chroma_of_white(image):
    """Chroma in Lab of a white mask on it."""
    rgba = np.full((70, 90, 4), 0.92, np.float32)
    rgba[..., 3] = 1
    appearance = light.appearance_of(image, FACE)
    worn = blend.over(image, Overlay(rgba, 80, 140), appearance, np.random.default_rng(0), DEFAULT_LOOK).image
    lab = cv2.cvtColor(worn[160:190, 100:150].astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    return float(np.hypot(lab[..., 1].mean(), lab[..., 2].mean()))


def test_white_cloth_on_warm_skin_stays_white_where_the_picture_is_neutral():
    for skin in ((190, 115, 60), (205, 120, 100), (120, 70, 40)):
        assert chroma_of_white(room((1, 1, 1), skin)) < NEUTRAL_CHROMA


def test_white_cloth_turns_warm_where_skin_and_picture_agree():
    assert chroma_of_white(room((1.1, 0.9, 0.6))) > NEUTRAL_CHROMA


@given(CASTS, CASTS)
def test_white_cloth_looks_neutral_unless_skin_and_picture_agree(skin, scene):
    small = np.full((40, 40, 3), 60, np.float32)
    small[:20] = 200 * illuminant.gains_of(scene * 0.3)
    cast = illuminant.combined(skin, illuminant.Scene(illuminant.highlights(small), illuminant.edges(small)))
    length = float(np.hypot(*cast))
    agreed = np.clip(skin, -0.4, 0.4) @ cast / max(length, 1e-9)
    assert illuminant.chroma_under(cast) <= NEUTRAL_CHROMA + 0.05 or agreed >= length - 1e-6


@given(CASTS)
def test_skin_alone_never_colours_white_cloth(skin):
    assert illuminant.chroma_under(illuminant.combined(skin, None)) <= NEUTRAL_CHROMA + 0.05


def test_nothing_known_is_no_cast():
    assert np.array_equal(illuminant.combined(None, None), [0, 0])
    assert np.allclose(illuminant.gains_of(np.zeros(2)), 1)


@pytest.mark.parametrize("size", [(1, 1), (3, 500), (500, 2)])
def test_pictures_of_any_shape_tell_or_are_silent(size):
    image = np.full((*size, 3), 200, np.uint8)
    assert np.isfinite(illuminant.combined(None, illuminant.scene_of(image))).all()


def test_highlights_roll_off_and_are_not_clipped():
    ramp = np.linspace(0, 1.6, 300, dtype=np.float32)
    rgba = np.dstack([ramp[None]] * 3 + [np.ones((1, 300), np.float32)])
    rolled = blend.rolled_off(rgba)[0, :, 0]
    assert (np.diff(rolled) > 0).all()
    assert rolled.max() < 1
    below = ramp < 0.85
    assert np.array_equal(rolled[below], ramp[below])


def test_folds_of_white_cloth_stay_seen_in_bright_light():
    bright = np.clip(room((1, 1, 1)).astype(float) * 1.35, 0, 255).astype(np.uint8)
    rgba = np.full((70, 90, 4), 0.95, np.float32)
    rgba[np.arange(70) % 12 < 6, :, :3] = 0.86
    rgba[..., 3] = 1
    appearance = light.appearance_of(bright, FACE)
    worn = blend.over(bright, Overlay(rgba, 80, 140), appearance, np.random.default_rng(0), DEFAULT_LOOK).image
    inside = worn[155:195, 100:150]
    assert (inside == 255).mean() < 0.01
    assert np.ptp(inside.mean(axis=(1, 2))) > 3
