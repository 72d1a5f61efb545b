"""No two masks of a design have the same colour, and none has one that cloth does not come in."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from strategies import face_at

from maskgen.catalog.store import Catalog
from maskgen.face import HeadPose
from maskgen.images import LUMA
from maskgen.masking import tone
from maskgen.masking.augment import mask_faces, observe
from maskgen.masking.recipe import PLAIN_LOOK, Patterns, Recipe

BLUE, WHITE, BLACK = (0.62, 0.79, 0.88), (0.88, 0.88, 0.89), (0.05, 0.05, 0.055)


def toned(rgb: tuple[float, float, float], weave: str = "nonwoven", count: int = 600) -> np.ndarray:
    """(count, 3) a colour in as many tones."""
    tones = [tone.drawn(np.random.default_rng(seed)) for seed in range(count)]
    return np.array([np.multiply(rgb, one.gains(rgb, weave)) for one in tones])


def lab_of(colours: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.clip(colours, 0, 1).astype(np.float32)[None], cv2.COLOR_RGB2LAB)[0]


def test_light_blue_comes_in_as_many_hues_as_on_people():
    lab = lab_of(toned(BLUE))
    hue, chroma = np.degrees(np.arctan2(lab[:, 2], lab[:, 1])) % 360, np.hypot(lab[:, 1], lab[:, 2])
    # The light turns some back: see `tone` for what is left in photographs.
    low, high = np.percentile(hue, [10, 90])
    assert 45 < high - low < 80
    assert 185 < low < high < 280
    assert 1.3 < np.divide(*np.percentile(chroma, [75, 25])) < 2.0


@pytest.mark.parametrize("colour", [BLUE, WHITE, BLACK, (0.94, 0.75, 0.79), (0.63, 0.13, 0.16)])
def test_a_tone_keeps_the_brightness_of_the_cloth(colour: tuple[float, float, float]):
    luma = toned(colour) @ LUMA
    assert np.abs(luma / (np.array(colour) @ LUMA) - 1).max() < 0.18


def test_white_and_black_stay_white_and_black():
    for colour, most in ((WHITE, 9.0), (BLACK, 3.0)):
        lab = lab_of(toned(colour))
        assert np.hypot(lab[:, 1], lab[:, 2]).max() < most
    lab = lab_of(toned(WHITE))
    assert np.median(np.hypot(lab[:, 1], lab[:, 2])) < 2.5


def test_sewn_cloth_keeps_its_colour_better():
    red = (0.63, 0.13, 0.16)
    spread = [lab_of(toned(red, weave))[:, 1:].std(axis=0).sum() for weave in ("nonwoven", "woven")]
    assert spread[1] < 0.7 * spread[0]


def test_strong_blue_is_not_made_gaudy():
    chroma = [np.hypot(*(toned(rgb) @ tone.TO_YIQ.T)[:, 1:].T).max() for rgb in (BLUE, (0.45, 0.67, 0.83))]
    assert max(chroma) < 0.22


def test_as_in_the_catalog_changes_nothing():
    assert tone.AS_IN_CATALOG.gains(BLUE, "nonwoven") == pytest.approx((1, 1, 1))


def mean_hue(image: np.ndarray, alpha: np.ndarray) -> float:
    a, b = lab_of(image[alpha > 0.99].astype(np.float32) / 255)[:, 1:].mean(axis=0)
    return float(np.degrees(np.arctan2(b, a)) % 360)


def test_masks_of_one_design_differ_in_hue_unless_a_colour_was_asked_for():
    only = Catalog.load().select(names=["surgical-blue"])
    image, face = np.full((260, 220, 3), 150, np.uint8), face_at(HeadPose(0, 0, 0), 1.1, (110, 90))
    green = Patterns(("green",), (np.full((8, 8, 3), (90, 170, 110), np.uint8),))
    hues = []
    for recipe in (Recipe(look=PLAIN_LOOK), Recipe(look=PLAIN_LOOK, patterns=green, pattern_share=1.0)):
        every = [
            mask_faces(image, [face], [observe(image, face)], only, np.random.default_rng(seed), recipe)
            for seed in range(8)
        ]
        hues.append(np.std([mean_hue(masked.image, masked.alpha) for masked in every]))
    assert hues[0] > 5 > 1 > hues[1]
