"""What a photograph tells of the light on a face."""

import cv2
import numpy as np
import pytest
from strategies import face_at

from maskgen.face import HeadPose
from maskgen.masking import light


def lit_from_the_side(scale, seed=0):
    """A face of some pixels per millimetre, and a photograph of it under light that falls off to one side."""
    face = face_at(HeadPose(10, 5, 4), scale, (150 * scale, 120 * scale))
    size_wh = round(300 * scale), round(330 * scale)
    image = np.full((size_wh[1], size_wh[0], 3), 70.0)
    image[light.skin_region(face, size_wh)] = (170, 125, 100)
    slope = np.linspace(0.6, 1.3, size_wh[0])[None, :, None] * np.linspace(1.1, 0.8, size_wh[1])[:, None, None]
    noise = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 30, image.shape), (0, 0), 2 * scale)
    return face, np.clip(image * slope + noise, 0, 255).astype(np.uint8)


def plain_shading(image, face):
    """(H, W) gains, and 24 cells across the face: every pixel of the skin counts, at full size."""
    skin = light.skin_region(face, (image.shape[1], image.shape[0])).astype(np.float32)
    luma = (cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32) + 4) * skin
    total, sums = np.full(skin.shape, 1e-6, np.float32), np.zeros(skin.shape, np.float32)
    for sigma, share in ((2.2, 1.0), (4.5, 0.05), (14.0, 0.002)):
        blur = sigma * max(face.size_wh) / 24
        total += share * cv2.GaussianBlur(skin, (0, 0), blur)
        sums += share * cv2.GaussianBlur(luma, (0, 0), blur)
    return np.clip(sums / total / (luma.sum() / skin.sum()), 0.35, 1.5)


@pytest.mark.parametrize("scale", [0.5, 0.8, 2.0, 4.3])
def test_a_small_copy_of_a_face_tells_its_shading(scale):
    face, image = lit_from_the_side(scale)
    told = light.appearance_of(image, face).shading
    # So many times smaller: blurs as wide as half a large face take minutes.
    step = max(scale / 0.8, 1.0)
    size_wh = round(image.shape[1] / step), round(image.shape[0] / step)
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    on_small = face_at(HeadPose(10, 5, 4), scale / step, (150 * scale / step, 120 * scale / step))
    x1, y1, x2, y2 = (int(value) for value in on_small.bbox)
    region = slice((y1 + y2) // 2, y2), slice(x1, x2)
    assert np.abs(told.at(region, step) - plain_shading(small, on_small)[region]).mean() < 0.015


def test_shading_is_the_same_in_a_picture_that_is_drawn_smaller():
    face, image = lit_from_the_side(2.0)
    shading = light.appearance_of(image, face).shading
    whole = shading.at((slice(200, 440), slice(160, 400)))
    small = shading.at((slice(100, 220), slice(80, 200)), 2.0)
    assert np.abs(cv2.resize(whole, (120, 120), interpolation=cv2.INTER_AREA) - small).max() < 0.01


@pytest.mark.parametrize("scale", [0.5, 0.9, 4.3])
def test_the_light_on_a_small_copy_is_the_light_on_all_its_skin(scale):
    face, image = lit_from_the_side(scale)
    every = image[light.skin_region(face, (image.shape[1], image.shape[0]))].astype(np.float32)
    plain, told = (
        light.light_on(every),
        light.light_on(light._near(image, face.landmarks_68, max(face.size_wh)).of_skin),
    )
    assert told.exposure == pytest.approx(plain.exposure, abs=0.02)
    assert np.abs(told.balance - plain.balance).max() < 0.02


@pytest.mark.parametrize("centre", [(-400, 50), (900, 900), (150, -300)])
def test_a_face_outside_the_picture_is_looked_at_without_fault(centre):
    image = np.full((200, 200, 3), 100, np.uint8)
    appearance = light.appearance_of(image, face_at(HeadPose(0, 0, 0), 1.0, centre))
    assert np.isfinite(appearance.shading.at((slice(0, 50), slice(0, 50)))).all()
    assert appearance.noise == 0
