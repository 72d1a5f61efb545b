"""Skin beside a mask is not taken for a part of it."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from maskgen.detect import FaceDetector
from maskgen.images import read
from maskgen.packs.find import BUNDLED, pack_dir
from maskgen.parse import FaceParser
from maskgen.studio.photo import harvest, rim, segment
from maskgen.studio.photo.crop import WORK_SCALE, upright
from maskgen.studio.photo.regions import parts_of

PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "masked_photos"
TURNED = ("002", "043", "109", "187")
"""Photographs of turned heads whose cheek lies where a mask is expected."""

SIDE = 120
PIXELS_PER_MM = 0.6
SKIN = (205, 150, 125)
DARK_SKIN = (92, 62, 50)
CLOTH = (170, 200, 215)


def square(top, bottom, left, right):
    region = np.zeros((SIDE, SIDE), bool)
    region[top:bottom, left:right] = True
    return region


FOREHEAD = square(5, 25, 30, 90)
MASK = square(40, 110, 20, 100)
CORE = square(60, 90, 45, 75)
CHEEK = square(40, 80, 20, 38)
"""A part of what was found, at its rim."""


def photograph(patch, patch_rgb, skin=SKIN, cloth=CLOTH, side_light=1.0):
    """A face with a mask, a patch of another colour on it; the light on the side of the face."""
    picture = np.empty((SIDE, SIDE, 3), np.float32)
    picture[:] = skin
    picture[MASK] = cloth
    picture[patch] = patch_rgb
    picture[:, :42] *= side_light
    picture += np.random.default_rng(0).normal(0, 2, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def cleaned(picture, skinny):
    return rim.without_skin(MASK, skinny, CORE, FOREHEAD, picture, PIXELS_PER_MM)


def lost(region, area):
    return (area & ~region).sum() / area.sum()


@pytest.mark.parametrize("side_light", [0.5, 0.75, 1.0, 1.15])
@pytest.mark.parametrize("skin", [SKIN, DARK_SKIN])
def test_a_cheek_that_was_taken_for_cloth_is_dropped_in_any_light(skin, side_light):
    region = cleaned(photograph(CHEEK, skin, skin=skin, side_light=side_light), CHEEK)
    assert lost(region, CHEEK) > 0.9
    assert lost(region, MASK & ~CHEEK) == 0


def test_a_print_in_the_colour_of_skin_is_kept_within_the_cloth():
    print_ = square(60, 75, 78, 92)
    assert (cleaned(photograph(print_, SKIN), print_) == MASK).all()


def test_cloth_in_the_colour_of_skin_keeps_its_sides():
    beige = (212, 165, 140)
    assert (cleaned(photograph(CHEEK, SKIN, cloth=beige), CHEEK) == MASK).all()


def test_cloth_in_shade_is_not_skin():
    # It is as dark as the skin is, and so may look like it.
    shade = tuple(0.7 * value for value in CLOTH)
    assert (cleaned(photograph(CHEEK, shade), CHEEK) == MASK).all()


def test_a_white_hem_of_blue_cloth_is_not_skin():
    # Its chromaticity lies between those of the two.
    assert (cleaned(photograph(CHEEK, (236, 233, 228), cloth=(90, 150, 205)), CHEEK) == MASK).all()


def test_a_thin_shade_along_the_rim_is_no_patch_of_skin():
    seam = square(40, 110, 20, 22)
    assert (cleaned(photograph(seam, SKIN), seam) == MASK).all()


def test_nothing_is_dropped_from_a_black_and_white_photograph():
    grey = cv2.cvtColor(cv2.cvtColor(photograph(CHEEK, SKIN), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert (cleaned(grey, CHEEK) == MASK).all()


@pytest.mark.skipif(not any(pack_dir(BUNDLED).glob("det*.onnx")), reason="no detector is bundled yet")
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"no photographs in {PHOTOGRAPHS.name}")
def test_masks_on_turned_heads_are_found_without_the_cheek():
    detector, parser = FaceDetector(), FaceParser()
    for number in TURNED:
        image = read(PHOTOGRAPHS / f"photo_{number}.jpg").pixels
        (face,) = harvest.large_faces(detector.detect(image))
        crop = upright(image, face).resized(WORK_SCALE)
        found = segment.find(crop, parts_of(crop, parser.regions(image, face)))
        # It was 5 % of the mask and more.
        inner = cv2.erode((found.region & found.skinny).astype(np.uint8), np.ones((3, 3), np.uint8))
        assert inner.sum() < 0.02 * found.region.sum(), number
