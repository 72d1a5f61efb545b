"""What lies in front of a face stays in front of the mask."""

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage.data import astronaut
from strategies import face_at

from maskgen.catalog.store import Catalog
from maskgen.detect import FaceDetector
from maskgen.face import HeadPose
from maskgen.masking import occlude
from maskgen.masking.augment import augment_image, mask_faces, observe
from maskgen.masking.matte import guided
from maskgen.masking.occlude import Visible, covered_share, visible_of
from maskgen.masking.recipe import Recipe
from maskgen.masking.warp import Overlay
from maskgen.parse import CROP_SIDE, GRID_SIDE, KINDS, FaceParser, Regions, face_crop, grid_map, upright_crop

FACE = face_at(centre=(200, 170))
WHOLE = slice(0, 400), slice(0, 400)


def regions_of(image, *layers, face=FACE):
    """Skin everywhere, but for layers: (kind, (400, 400) array that is true where it lies)."""
    matrix = face_crop(face.landmarks_68)
    shares = np.zeros((len(KINDS), 64, 64), np.float32)
    shares[KINDS.index("skin")] = 1
    back = cv2.invertAffineTransform(grid_map(matrix, (slice(0, 0), slice(0, 0))))
    cells = np.stack(np.meshgrid(np.arange(64), np.arange(64)), axis=-1) @ back[:, :2].T + back[:, 2]
    x, y = np.clip(cells.round().astype(int), 0, 399).transpose(2, 0, 1)
    for kind, where in layers:
        shares[:, where[y, x]] = 0
        shares[KINDS.index(kind), where[y, x]] = 1
    return Regions(shares, upright_crop(image, matrix), matrix)


@dataclass(frozen=True)
class Says:
    """A parser that knows the answer."""

    answer: Regions

    def regions(self, image, face):
        return self.answer


def two_tones(edge):
    """Skin, and something dark to the right of an edge."""
    image = np.full((400, 400, 3), (205, 160, 130), np.uint8)
    image[:, edge:] = (40, 30, 25)
    return image


def shares_of(visible, region=WHOLE):
    """(H, W) 0 to 1: how much of a mask may be drawn."""
    share = visible.at(region)
    height, width = (side.stop - side.start for side in region)
    return np.ones((height, width), np.float32) if share is None else share / np.float32(255)


# ---- the filter


def test_the_model_gives_back_what_is_linear_in_the_colours():
    rng = np.random.default_rng(0)
    guide = rng.random((40, 50, 3), dtype=np.float32)
    share = guide @ np.array([0.2, 0.5, -0.3], np.float32) + np.float32(0.3)
    model = guided(guide, share)
    assert (model[..., :3] * guide).sum(axis=2) + model[..., 3] == pytest.approx(share, abs=0.02)


def test_the_edge_of_what_is_seen_runs_where_the_edge_in_the_picture_runs():
    image, hair = two_tones(217), np.zeros((400, 400), bool)
    for wrong in (-3, 0, 3):
        hair[:] = False
        hair[:, 217 + wrong :] = True
        shown = shares_of(visible_of(image, FACE, regions_of(image, ("hair", hair))))[150:250]
        assert shown[:, 180:216].min() > 0.8
        assert shown[:, 219:250].max() < 0.2


@pytest.mark.parametrize("kind", occlude.IN_FRONT)
def test_hair_glasses_hats_and_other_things_lie_in_front(kind):
    thing = np.zeros((400, 400), bool)
    thing[180:260, 217:] = True
    image = two_tones(217)
    assert shares_of(visible_of(image, FACE, regions_of(image, (kind, thing))))[200:240, 225:250].max() < 0.2
    assert visible_of(image, FACE, regions_of(image, ("background", thing))) is None


def test_where_nothing_lies_in_front_nothing_is_filtered():
    image = two_tones(400)
    assert visible_of(image, FACE, regions_of(image)) is None
    unsure = regions_of(image)
    unsure.shares[:] = 0.11
    unsure.shares[KINDS.index("skin")] = 0.45
    assert visible_of(image, FACE, unsure) is None


@pytest.mark.parametrize("columns", [slice(217, 260), slice(0, 150), slice(190, 400)])
@pytest.mark.parametrize("rows", [slice(180, 260), slice(300, 400)])
def test_what_is_filtered_is_all_that_can_be_seen_of_it(rows, columns, monkeypatch):
    image, thing = two_tones(217), np.zeros((400, 400), bool)
    thing[rows, columns] = True
    regions = regions_of(image, ("hair", thing))
    seen = visible_of(image, FACE, regions)
    monkeypatch.setattr(occlude, "_reached", lambda front: (slice(0, GRID_SIDE), slice(0, GRID_SIDE)))
    whole = visible_of(image, FACE, regions)
    assert whole.values.min() < 50
    assert np.abs(seen.values.astype(int) - whole.values).max() <= 1


@pytest.mark.parametrize(("share", "reach", "stays"), [(0.65, 60, False), (0.95, 3, False), (0.95, 60, True)])
def test_islands_that_are_small_or_unsure_are_drawn_over(share, reach, stays):
    image, island = two_tones(400), np.zeros((400, 400), bool)
    island[200 : 200 + reach, 180 : 180 + reach] = True
    image[island] = (40, 30, 25)
    unsure = regions_of(image, ("other", island))
    unsure.shares[KINDS.index("other")] *= share
    shown = visible_of(image, FACE, unsure)
    assert (shown is not None and shares_of(shown).min() < 0.2) == stays


@pytest.mark.parametrize(
    ("kind", "rows", "columns", "stays"),
    [
        ("other", slice(205, 230), slice(185, 215), False),  # nostrils and a moustache
        ("hair", slice(205, 230), slice(185, 215), False),
        ("glasses", slice(160, 190), slice(165, 195), True),
        ("other", slice(205, 230), slice(185, 340), True),  # a finger from the side
        ("other", slice(215, 390), slice(190, 210), True),  # a microphone from below
        ("other", slice(185, 245), slice(170, 230), True),  # too large for any part of a face
    ],
)
def test_what_skin_encloses_is_part_of_the_face_unless_it_is_large_or_glasses(kind, rows, columns, stays):
    image, thing = two_tones(400), np.zeros((400, 400), bool)
    thing[rows, columns] = True
    image[thing] = (40, 30, 25)
    shown = visible_of(image, FACE, regions_of(image, (kind, thing)))
    assert (shown is not None and shares_of(shown)[rows, columns].min() < 0.2) == stays


DATA = Path(os.environ.get("MASKGEN_DATA", Path(__file__).parents[3] / "shared" / "data"))
SEEN_FROM_BELOW = DATA / "scenes" / "maksssksksss729.jpg"


@pytest.mark.skipif(not SEEN_FROM_BELOW.exists(), reason="no photographs of crowds here")
def test_a_bearded_man_seen_from_below_has_no_hole_in_his_mask():
    image = cv2.cvtColor(cv2.imread(str(SEEN_FROM_BELOW)), cv2.COLOR_BGR2RGB)
    face = FaceDetector().detect(image)[0]
    seen = visible_of(image, face, FaceParser().regions(image, face))
    middle = face.landmarks_68[[30, 33, 51, 57]].mean(axis=0)
    reach = int(0.15 * max(face.size_wh))
    around = tuple(slice(int(at) - reach, int(at) + reach) for at in middle[::-1])
    assert seen is None or shares_of(seen, around).min() > 0.8


def test_of_a_profile_it_is_not_believed_that_something_lies_in_front_but_hair_may():
    image, thing = two_tones(217), np.zeros((400, 400), bool)
    thing[:, 217:] = True
    profile = dataclasses.replace(FACE, pose=HeadPose(70, 0, 0))
    assert visible_of(image, profile, regions_of(image, ("other", thing))) is None
    assert shares_of(visible_of(image, profile, regions_of(image, ("hair", thing))))[150:250, 225:250].max() < 0.2


@pytest.mark.parametrize("kind", ["other", "hair"])
@pytest.mark.parametrize("yaw", [-60, -45, -30, 30, 45, 60])
def test_the_background_beyond_a_turned_face_hides_no_mask_but_what_reaches_onto_it_does(yaw, kind):
    face = face_at(HeadPose(yaw, 0, 0), 1.1, (200, 180))
    profile = int(face.landmarks_68[:, 0].max() if yaw > 0 else face.landmarks_68[:, 0].min())
    beyond, across = np.zeros((400, 400), bool), np.zeros((400, 400), bool)
    beyond[150:300] = np.arange(400) > profile - 5 if yaw > 0 else np.arange(400) < profile + 5
    mouth = face.landmarks_68[48:60].mean(axis=0).astype(int)
    across[mouth[1] - 40 : mouth[1] + 40, mouth[0] - 60 : mouth[0] + 60] = True
    image = two_tones(400)
    image[beyond | across] = (40, 30, 25)
    at_mouth = slice(mouth[1] - 5, mouth[1] + 5), slice(mouth[0] - 5, mouth[0] + 5)
    behind, before = (regions_of(image, (kind, where), face=face) for where in (beyond, across))
    seen = visible_of(image, face, behind)
    assert seen is None or shares_of(seen)[200:260, profile - 8 : profile + 8].min() > 0.9
    assert covered_share(behind, face) < 0.1
    assert covered_share(before, face) >= occlude.COVERED
    if kind == "hair" or abs(yaw) < 55:  # beyond, less is believed
        assert shares_of(visible_of(image, face, before), at_mouth).max() < 0.2


@pytest.mark.parametrize("kind", ["other", "glasses", "hair"])
def test_a_shadow_on_the_nose_is_no_hole_in_a_mask_also_beside_glasses(kind):
    image = two_tones(400)
    shadow, glasses = np.zeros((400, 400), bool), np.zeros((400, 400), bool)
    tip, eyes = FACE.landmarks_68[30].astype(int), FACE.landmarks_68[36:48]
    glasses[int(eyes[:, 1].min()) - 8 : int(eyes[:, 1].max()) + 8, int(eyes[:, 0].min()) : int(eyes[:, 0].max())] = True
    shadow[int(eyes[:, 1].max()) + 8 : tip[1] + 20, tip[0] - 14 : tip[0] + 14] = True
    image[shadow | glasses] = (60, 45, 40)
    seen = visible_of(image, FACE, regions_of(image, ("glasses", glasses), (kind, shadow)))
    shown = shares_of(seen)
    assert shown[tip[1] + 2 : tip[1] + 16, tip[0] - 8 : tip[0] + 8].min() > 0.8
    assert shown[glasses].mean() < 0.3


def test_of_a_small_face_less_is_believed():
    image = two_tones(400)
    likely = regions_of(image)
    likely.shares[:] = 0
    likely.shares[KINDS.index("hair")], likely.shares[KINDS.index("skin")] = 0.7, 0.3
    shown = [
        visible_of(
            image, FACE, Regions(likely.shares, likely.crop, likely.image_to_crop * np.float32(times))
        ).values.mean()
        for times in (1, 3, 5)
    ]
    assert shown[0] < shown[1] < shown[2]


def test_the_same_picture_gives_the_same_bits_wherever_it_lies_in_memory():
    image, hair = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8), np.zeros((400, 400), bool)
    hair[:, 217:] = True
    regions = regions_of(image, ("hair", hair))
    first, room = visible_of(image, FACE, regions).values, np.empty(image.size + 64, np.uint8)
    for offset in (1, 3, 16, 33):
        moved = room[offset : offset + image.size].reshape(image.shape)
        moved[:] = image
        assert np.array_equal(visible_of(moved, FACE, regions).values, first)


def test_a_window_may_be_asked_for_any_part_of_the_image():
    values, moved = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20, np.float32([[1, 0, -2], [0, 1, -5]])
    visible = Visible(values, moved, (slice(5, 8), slice(2, 6)))
    whole = visible.at((slice(0, 10), slice(0, 10)))
    assert np.array_equal(whole[5:8, 2:6], values)
    whole[5:8, 2:6] = 255
    assert (whole == 255).all()
    part = visible.at((slice(6, 12), slice(0, 4)))
    assert np.array_equal(part[:2, 2:], values[1:, :2])
    assert visible.at((slice(20, 22), slice(0, 4))) is None


@pytest.mark.parametrize("times", [1, 3, 12])
def test_what_lies_in_front_is_told_in_few_pixels_however_large_the_face(times):
    image, hair = two_tones(217), np.zeros((400, 400), bool)
    hair[:, 217:] = True
    regions = regions_of(image, ("hair", hair))
    large = cv2.resize(image, None, fx=times, fy=times, interpolation=cv2.INTER_NEAREST)
    to_crop = regions.image_to_crop @ np.float32([[1 / times, 0, 0], [0, 1 / times, 0], [0, 0, 1]])
    visible = visible_of(large, FACE, Regions(regions.shares, regions.crop, to_crop))
    assert max(visible.values.shape) <= occlude._FINEST * CROP_SIDE
    row = shares_of(visible, (slice(0, 400 * times), slice(0, 400 * times)))[200 * times]
    edge = np.interp(-0.5, -row[180 * times : 260 * times], np.arange(180 * times, 260 * times))
    # Where the edge in the picture runs, to a cell or so of what is told.
    assert abs(edge - 217 * times) < 1 + 2 * times


# ---- covered


def over_mouth(share):
    """A thing over that share of the mouth, from above."""
    mouth = FACE.landmarks_68[48:60]
    top, bottom = mouth[:, 1].min() - 8, mouth[:, 1].max() + 8
    thing = np.zeros((400, 400), bool)
    thing[round(top) - 10 : round(top + share * (bottom - top)), 100:300] = True
    return thing


@pytest.mark.parametrize(("share", "is_covered"), [(0.0, False), (0.25, False), (0.8, True), (1.1, True)])
def test_a_face_is_covered_if_most_of_its_mouth_is(share, is_covered):
    image = two_tones(400)
    regions = regions_of(image, ("other", over_mouth(share)))
    assert (covered_share(regions, FACE) >= occlude.COVERED) == is_covered


def test_a_covered_face_gets_no_mask_unless_it_is_asked_for(catalog_dir):
    image, catalog = two_tones(400), Catalog.load(catalog_dir)
    parser = Says(regions_of(image, ("other", over_mouth(1.1))))

    def masked(parser, recipe):
        return mask_faces(image, [FACE], [observe(image, FACE, parser)], catalog, np.random.default_rng(0), recipe)

    skipped = masked(parser, Recipe())
    assert (skipped.reason, skipped.is_masked) == ("covered", False)
    assert np.array_equal(skipped.image, image)
    assert masked(parser, Recipe(keep_covered=True)).is_masked
    assert masked(None, Recipe()).is_masked
    assert masked(Says(regions_of(image)), Recipe()).is_masked


# ---- the network


@pytest.fixture(scope="module")
def tools():
    return FaceDetector(), FaceParser(), Catalog.load().select(names=["cloth-black"])


@pytest.fixture(scope="module")
def face(tools):
    return tools[0].detect(astronaut())[0]


def masked(image, tools, recipe=Recipe()):  # noqa: B008 - frozen
    detector, parser, catalog = tools
    return augment_image(image, detector, catalog, np.random.default_rng(0), parser, recipe)


def fingers(image, face):
    """The photograph with four fingers over one cheek and the corner of the mouth, and where they are."""
    image, where = image.copy(), np.zeros(image.shape[:2], np.uint8)
    tone = np.median(image[face.landmarks_68[30:31, 1].astype(int), face.landmarks_68[30, 0].astype(int) - 10], axis=0)
    x, y = face.landmarks_68[54]
    for number in range(4):
        one = np.zeros_like(where)
        start, end = (int(x + 70), int(y + 26 + 13 * number)), (int(x + 6), int(y - 12 + 13 * number))
        cv2.line(one, start, end, 1, 12)
        depth = cv2.distanceTransform(one, cv2.DIST_L2, 3) / 6
        shade = (0.45 + 0.5 * np.sqrt(np.clip(depth, 0, 1)))[..., None]
        image = np.where(one[..., None] > 0, tone * shade, image).astype(np.uint8)
        where |= one
    return image, where > 0


def test_a_hand_before_a_face_stays_in_front_of_the_mask(tools, face):
    image, hand = fingers(astronaut(), face)
    result = masked(image, tools)
    assert result.is_masked
    # Where it is found with the hand before it.
    found = tools[0].detect(image)[:1]
    alone = Recipe(keep_covered=True)
    bare = mask_faces(image, found, [observe(image, found[0])], tools[2], np.random.default_rng(0), alone)
    painted = hand & (bare.alpha > 0.9)
    assert painted.sum() > 300
    change = np.abs(result.image.astype(int) - image).max(axis=2)
    assert (change[painted] <= 12).mean() > 0.65
    # Beside the hand the mask is there.
    beside = (bare.alpha > 0.9) & ~cv2.dilate(hand.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)
    assert result.alpha[beside].mean() > 0.9


def test_a_bare_face_is_masked_whole(tools, face):
    image = astronaut()
    result = masked(image, tools)
    assert result.is_masked
    bare = mask_faces(image, [face], [observe(image, face)], tools[2], np.random.default_rng(0))
    inner = np.zeros(image.shape[:2], np.uint8)
    points = face.landmarks_68[[3, 5, 7, 8, 9, 11, 13, 29]]
    middle = points.mean(axis=0)
    cv2.fillConvexPoly(inner, cv2.convexHull(np.round(middle + 0.85 * (points - middle)).astype(np.int32)), 1)
    assert result.alpha[(inner > 0) & (bare.alpha > 0.9)].mean() > 0.97


@pytest.mark.parametrize("colour", [(60, 90, 150), (225, 225, 225), (25, 25, 25)])
def test_a_face_with_something_before_its_mouth_is_covered(tools, face, colour):
    image = astronaut()
    x, y = face.landmarks_68[62]
    across = float(np.linalg.norm(face.landmarks_68[16] - face.landmarks_68[0]))
    axes = round(0.38 * across), round(0.3 * across)
    cv2.ellipse(image, (round(float(x)), round(float(y))), axes, 0, 0, 360, colour, -1)
    image = cv2.GaussianBlur(image, (0, 0), 0.7)
    observed = observe(image, face, tools[1])
    assert observed.covered >= occlude.COVERED
    assert observe(astronaut(), face, tools[1]).covered < 0.2


def test_a_gaiter_goes_under_the_collar_and_stays_on_the_neck():
    face = face_at(HeadPose(0, 0, 0), 1.0, (125, 100))
    matrix = face_crop(face.landmarks_68)
    chin = face.landmarks_68[8]
    # Skin as wide as the neck, clothes and wall beside it, and clothes from 40 px below the chin.
    is_skin = np.zeros((300, 250), np.float32)
    is_skin[: int(chin[1]) + 40, 75:175] = 1
    cells = cv2.warpAffine(is_skin, matrix, (CROP_SIDE, CROP_SIDE))
    skin = cv2.resize(cells, (GRID_SIDE, GRID_SIDE), interpolation=cv2.INTER_AREA)
    shares = np.zeros((len(KINDS), GRID_SIDE, GRID_SIDE), np.float32)
    shares[KINDS.index("skin")], shares[KINDS.index("background")] = skin, 1 - skin
    regions = Regions(shares, np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8), matrix)
    tucked = occlude.tucked(Overlay(np.ones((250, 250, 4), np.float32), 0, 50), regions, face)
    alpha = np.zeros((300, 250), np.float32)
    alpha[tucked.region] = tucked.rgba[..., 3]
    x, y = (int(value) for value in chin)
    assert alpha[y + 25, x] == 1
    assert alpha[y + 60, x] < 0.05
    assert alpha[y + 25, 50] < 0.05
    # Above the chin it may stand off the face.
    assert alpha[y - 20, 50] == 1
