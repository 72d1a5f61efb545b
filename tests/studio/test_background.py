"""A mask on a table: what of the picture is the mask, and how it lies there."""

import cv2
import numpy as np
import pytest
from products import REFUSED, USABLE, chequered, from_catalog, gradient, lying, plain, pleated, sheet, stone, wood
from skimage import data

from maskgen.errors import CatalogError
from maskgen.studio.cutout import template
from maskgen.studio.cutout.background import foreground
from maskgen.studio.cutout.lie import quadrilateral, upright_turn

GROUNDS = {"plain": plain, "gradient": gradient, "wood": wood, "sheet": sheet, "stone": stone, "chequered": chequered}


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


def without_thin(region):
    return cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, np.ones((15, 15), np.uint8)) > 0


@pytest.mark.parametrize("ground", GROUNDS)
def test_cloth_is_found_on_any_ground(ground):
    shown = lying(pleated(), GROUNDS[ground], turn_deg=14)
    assert iou(without_thin(foreground(shown.image)), shown.cloth) > 0.93


@pytest.mark.parametrize("ground", ["plain", "gradient", "wood"])
def test_what_ear_loops_enclose_is_background(ground):
    shown = lying(pleated(loops="wide"), GROUNDS[ground])
    outline, _ = cv2.findContours(
        (shown.cloth | shown.straps).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE
    )
    filled = np.zeros(shown.cloth.shape, np.uint8)
    cv2.drawContours(filled, outline, -1, 1, cv2.FILLED)
    enclosed = (filled > 0) & ~(cv2.dilate((shown.cloth | shown.straps).astype(np.uint8), np.ones((13, 13))) > 0)
    assert enclosed.sum() > 0.05 * shown.cloth.sum()
    assert foreground(shown.image)[enclosed].mean() < 0.05


@pytest.mark.parametrize("shadow", [0.3, 0.6])
def test_soft_shadow_is_no_cloth(shadow):
    shown = lying(pleated((232, 233, 232), "none"), gradient, shadow=shadow)
    found = foreground(shown.image)
    assert (found & ~shown.cloth).sum() < 0.04 * shown.cloth.sum()
    assert found[shown.cloth].mean() > 0.95


def test_grey_cloth_is_no_shadow():
    shown = lying(from_catalog("cloth-grey", "none"), plain)
    assert iou(foreground(shown.image), shown.cloth) > 0.9


@pytest.mark.parametrize("turn", range(0, 180, 36))
def test_a_flat_mask_may_lie_any_way_round(turn):
    shown = lying(pleated(loops="none"), None, turn_deg=turn)
    corners = quadrilateral(shown.image[..., 3] > 127)
    across, down = (np.linalg.norm(corners[k + 1] - corners[k]) for k in (0, 1))
    assert across / down == pytest.approx(520 / 290, rel=0.05)
    # Of the two ways up the one that takes less turning.
    assert abs(np.degrees(np.arctan2(*(corners[1] - corners[0])[::-1]))) < 91


@pytest.mark.parametrize("turn", range(-150, 181, 55))
def test_a_shaped_mask_is_turned_upright(turn):
    shown = lying(from_catalog("kn95-white", "none"), None, turn_deg=turn)
    back = upright_turn(shown.image[..., 3] > 127)
    assert abs((back - turn + 180) % 360 - 180) < 6


@pytest.mark.parametrize("name", ["pleated-tilted", "pleated-fills-frame", "pleated-transparent-filling"])
def test_masks_seen_askew_or_filling_the_frame_are_unrolled(name):
    flat = template.unrolled(USABLE[name]().image)
    assert flat.is_rectangle
    # Cloth to the edges: its colour is about the same everywhere.
    rim = np.concatenate([flat.picture[2], flat.picture[-3], flat.picture[:, 2], flat.picture[:, -3]])
    assert np.abs(rim - np.median(flat.picture.reshape(-1, 3), axis=0)).max(axis=1).mean() < 0.1


@pytest.mark.parametrize(
    ("name", "fault", "remedy"),
    [
        ("folded-plain", "folded in half", "unfold it"),
        ("folded-wood", "folded in half", "unfold it"),
        ("three-quarter", "seen from its side", "from straight above"),
        ("three-quarter-turned", "seen from its side", "from straight above"),
    ],
)
def test_how_a_mask_lies_that_cannot_be_used_is_told_with_what_to_photograph(name, fault, remedy):
    with pytest.raises(CatalogError) as caught:
        template.unrolled(REFUSED[name]().image)
    assert fault in caught.value.fault
    assert remedy in caught.value.remedy


@pytest.mark.parametrize("name", ["coffee", "rocket", "chelsea", "grass"])
def test_pictures_of_other_things_are_refused(name):
    with pytest.raises(CatalogError):
        template.unrolled(np.ascontiguousarray(np.atleast_3d(getattr(data, name)())[..., [0, 0, 0]]))


def test_nothing_is_found_where_there_is_nothing():
    with pytest.raises(CatalogError, match="nothing stands out"):
        foreground(np.full((300, 300, 3), 200, np.uint8))
