"""How a mask sits, creases and looks close by: no two alike, the same seed the same bytes."""

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from catalogs import NAMES, small_catalog
from hypothesis import given
from hypothesis import strategies as st
from strategies import face_at

from maskgen.catalog.schema import Surface
from maskgen.catalog.store import Catalog
from maskgen.catalog.view import View
from maskgen.face import HeadPose
from maskgen.face.head import points_on_face
from maskgen.masking import cloth, detail, fit, folds, vary
from maskgen.masking.augment import mask_faces, observe, worn
from maskgen.masking.recipe import PLAIN_LOOK, Look, Recipe
from maskgen.masking.straps import pulling

STILL = (0.0, 0.0, 0.0, 0.0)
LARGE, SMALL = 7.0, 1.75  # pixels per millimetre of faces of 1,000 and 250 pixels


@pytest.fixture(scope="module")
def view(tmp_path_factory) -> View:
    root = small_catalog(tmp_path_factory.mktemp("catalog"), weights={"one": 1.0})
    return Catalog.load(root).designs[0].views[0]


@pytest.fixture(scope="module")
def shipped() -> Catalog:
    return Catalog.load()


def drawn(seed: int, **recipe) -> vary.Drawn:
    return vary.draw(Recipe(**recipe), np.random.default_rng(seed))


def test_two_faces_with_the_same_design_wear_it_differently(shipped):
    image = np.full((260, 220, 3), 150, np.uint8)
    face = face_at(HeadPose(0, 0, 0), 1.1, (110, 90))
    only = shipped.select(names=["surgical-blue"])
    seen = observe(image, face)
    recipe = Recipe(look=PLAIN_LOOK)
    first, second, again = (
        mask_faces(image, [face], [seen], only, np.random.default_rng(seed), recipe) for seed in (1, 2, 1)
    )
    assert first.faces[0].design == second.faces[0].design
    assert np.array_equal(first.image, again.image)
    assert np.mean(np.abs(first.alpha - second.alpha)) > 0.002
    both = (first.alpha > 0.99) & (second.alpha > 0.99)
    # In brightness too, where both lie.
    assert np.abs(first.image.astype(float) - second.image)[both].mean() > 3


def test_masks_can_be_had_as_they_are_in_the_catalog():
    assert drawn(3, alike=True) == vary.AS_IT_IS
    assert drawn(3) != drawn(4)
    assert drawn(3) == drawn(3)


def test_how_a_mask_sits_does_not_change_which_mask_it_is_nor_its_colour(shipped):
    image = np.full((260, 220, 3), 150, np.uint8)
    face = face_at(HeadPose(0, 0, 0), 1.1, (110, 90))
    for seed in range(4):
        wild, tame = (
            mask_faces(
                image,
                [face],
                [observe(image, face)],
                shipped,
                np.random.default_rng(seed),
                Recipe(alike=alike, recolor_share=0.5),
            ).faces[0]
            for alike in (False, True)
        )
        assert (wild.design, wild.recolor) == (tame.design, tame.recolor)


def test_sitting_as_in_the_catalog_moves_nothing():
    face = face_at(HeadPose(10, 5, 0), 2.0, (200, 200))
    points = points_on_face(NAMES, face.landmarks_68)
    assert fit.fitted(points, NAMES, fit.AS_IN_CATALOG, face.landmarks_68) is points


@pytest.mark.parametrize(
    ("trait", "value", "name", "axis", "sign"),
    [
        ("drop_mm", 6.0, "28", 1, 1),
        ("opened_mm", 4.0, "under_chin", 1, 1),
        ("width", 0.85, "2", 0, 1),
        ("width", 0.85, "14", 0, -1),
        ("uneven_mm", 2.0, "14", 1, 1),
        ("uneven_mm", 2.0, "2", 1, -1),
        ("tilt_deg", 3.0, "14", 1, 1),
        ("aside_deg", 3.0, "2", 0, 1),
        ("aside_deg", 3.0, "14", 0, 1),
        ("below_deg", 4.0, "8", 0, 1),
    ],
)
def test_each_trait_moves_the_mask_as_its_name_says(trait, value, name, axis, sign):
    face = face_at(HeadPose(0, 0, 0), 2.0, (200, 200))
    points = points_on_face(NAMES, face.landmarks_68)
    moved = fit.fitted(points, NAMES, replace(fit.AS_IN_CATALOG, **{trait: value}), face.landmarks_68)
    shift = (moved - points)[NAMES.index(name)]
    assert sign * shift[axis] > 1.5


@given(st.integers(0, 10_000))
def test_ears_and_the_box_stay_where_they_are(seed):
    names = ("30", "8", "box_image_left_top_front", "ear_image_right_upper")
    face = face_at(HeadPose(0, 0, 0), 2.0, (200, 200))
    points = points_on_face(names, face.landmarks_68)
    moved = fit.fitted(points, names, fit.drawn(np.random.default_rng(seed)), face.landmarks_68)
    assert np.array_equal(moved[2:], points[2:])
    assert not np.array_equal(moved[:2], points[:2])


def test_widths_and_upper_edges_spread_as_on_real_faces():
    fits = [fit.drawn(np.random.default_rng(seed)) for seed in range(2000)]
    widths, drops = (np.array([getattr(f, name) for f in fits]) for name in ("width", "drop_mm"))
    low, middle, high = np.percentile(widths, [25, 50, 75])
    assert (low, middle, high) == pytest.approx((0.88, 0.97, 1.04), abs=0.015)
    assert np.percentile(drops, 75) > 4 > -2 > np.percentile(drops, 25)


def test_creases_differ_and_follow_the_seed():
    fields_of = [cloth.creases_of(number) for number in range(cloth.CREASE_FIELDS)]
    likeness = np.corrcoef([field.ravel() for field in fields_of]) - np.eye(len(fields_of))
    assert np.abs(likeness).max() < 0.4
    cloth.creases_of.cache_clear()
    assert np.array_equal(cloth.creases_of(2), fields_of[2])
    chosen = {detail.drawn(np.random.default_rng(seed)).number for seed in range(200)}
    assert chosen == set(range(cloth.CREASE_FIELDS))


@pytest.mark.parametrize("mm_per_pixel", [2.0, 3.0, 4.0])
def test_creases_on_a_small_face_are_no_harsher_than_those_on_a_large_one_that_is_made_smaller(mm_per_pixel):
    times = 4
    across, down = (
        (np.arange(count * times, dtype=np.float32) + 0.5) * np.float32(mm_per_pixel / times) - start
        for count, start in ((round(200 / mm_per_pixel), 100), (round(100 / mm_per_pixel), 0))
    )
    large = tuple(np.meshgrid(across, down))
    small_wh = len(across) // times, len(down) // times
    small = tuple(cv2.resize(place, small_wh, interpolation=cv2.INTER_AREA) for place in large)
    harsh = []
    for seed in range(4):
        on_it = detail.Detail(Surface(weave="smooth"), detail.drawn(np.random.default_rng(seed)))
        averaged = cv2.resize(on_it.gain(*large, mm_per_pixel / times), small_wh, interpolation=cv2.INTER_AREA)
        sampled = on_it.gain(*small, mm_per_pixel)
        assert np.corrcoef(averaged.ravel(), sampled.ravel())[0, 1] > 0.8
        harsh.append([float((gain - cv2.GaussianBlur(gain, (0, 0), 1.0)).std()) for gain in (sampled, averaged)])
    on_small, on_large = np.mean(harsh, axis=0)
    assert on_small < on_large


def flicker(catalog: Catalog, size: int, seed: int) -> float:
    """How much the darkness of a pleat differs from one pixel to the next on a sharp picture, against its mean.

    What changes more slowly is the pleat's own, which stands up here and lies flat there.
    """
    side, finer = round(1.6 * size), 4
    face = face_at(HeadPose(0, 0, 4 + seed), size / 145, (side / 2, side / 2.4))
    image = np.full((side, side, 3), 150, np.uint8)
    seen = observe(image, face)
    seen = replace(seen, appearance=replace(seen.appearance, blur=0.0))
    recipe = Recipe(alike=True, look=Look(noise=False, shading=False))
    masked = mask_faces(image, [face], [seen], catalog, np.random.default_rng(seed), recipe)
    large = cv2.resize(
        masked.image.mean(axis=-1).astype(np.float32), None, fx=finer, fy=finer, interpolation=cv2.INTER_CUBIC
    )
    darker = cv2.blur(large, (1, 2 * finer * round(0.06 * size) + 1)) - large
    inside = cv2.erode((masked.alpha > 0.98).astype(np.uint8), np.ones((7, 7)))
    darker[cv2.resize(inside, None, fx=finer, fy=finer, interpolation=cv2.INTER_NEAREST) == 0] = 0
    middle, along = large.shape[1] // 2, []
    for columns in (range(middle, middle + finer * size // 5), range(middle, middle - finer * size // 5, -1)):
        row, way = int(darker[:, middle].argmax()), []
        for column in columns:
            row += int(darker[row - 3 : row + 4, column].argmax()) - 3
            way.append(darker[row, column])
        along.append(np.array(way, np.float32))
    pleat = np.concatenate([along[1][::-1], along[0]])[None]
    return float((pleat - cv2.GaussianBlur(pleat, (0, 0), 1.5 * finer)).std() / pleat.mean())


@pytest.mark.parametrize(("size", "most"), [(60, 0.07), (100, 0.03), (200, 0.014)])
def test_pleats_are_lines_and_not_dashes_on_a_face_of_any_size(shipped, size, most):
    pleated = shipped.select(names=["surgical-white"])
    assert np.mean([flicker(pleated, size, seed) for seed in range(3)]) < most


def test_every_number_that_varies_is_drawn_whatever_the_others():
    one, other = (vary.draw(Recipe(recolor_share=share), np.random.default_rng(7)) for share in (0.0, 1.0))
    assert (one.fit, one.wrinkling) == (other.fit, other.wrinkling)
    assert {field.name for field in fields(vary.Drawn)} >= {"fit", "wrinkling"}


def fine(rgba: np.ndarray) -> float:
    """Deviation of brightness finer than two pixels, well inside a mask."""
    grey = rgba[..., :3].mean(axis=-1)
    inside = cv2.erode((rgba[..., 3] > 0.99).astype(np.uint8), np.ones((15, 15), np.uint8)) > 0
    return float((grey - cv2.GaussianBlur(grey, (0, 0), 2.0))[inside].std())


@pytest.mark.parametrize("weave", ["nonwoven", "woven", "knit", "smooth"])
def test_a_face_of_a_thousand_pixels_shows_the_cloth(view, weave):
    clothed, bare = replace(view, surface=Surface(weave=weave, creases=0)), replace(view, surface=None)
    look = replace(drawn(1), fit=fit.AS_IN_CATALOG)
    large = face_at(HeadPose(0, 0, 0), LARGE, (700, 500))
    small = face_at(HeadPose(0, 0, 0), SMALL, (175, 125))
    on_large, on_small = worn(clothed, large, (1400, 1400), look), worn(clothed, small, (350, 350), look)
    assert fine(on_large.rgba) > 0.5 * fine(on_small.rgba) > 0
    assert fine(worn(bare, large, (1400, 1400), look).rgba) < 1e-4


def test_edges_of_a_mask_are_as_steep_on_a_large_face_as_on_one_that_its_picture_fits(shipped):
    (seen,) = shipped.select(names=["surgical-blue"]).designs[0].views_for(0, 0)
    steepest = []
    for pixels_per_mm, size in ((2.2, 450), (6.6, 1350)):
        face = face_at(HeadPose(0, 0, 0), pixels_per_mm, (size / 2, size / 3))
        grey = worn(seen, face, (size, size)).rgba[..., :3].mean(axis=-1)
        slopes = np.abs(cv2.Sobel(grey, cv2.CV_32F, 0, 1))
        steepest.append(np.percentile(slopes[slopes > 0], 99))
    # Three times enlarged an edge would be a third as steep.
    assert steepest[1] > 0.42 * steepest[0]


def over(cloth, rgba, across, down, mm_per_pixel):
    places = across.astype(np.float32), down.astype(np.float32), mm_per_pixel
    return cloth.over(rgba, cloth.gain(*places), cloth.moves(*places).depth, mm_per_pixel)


def test_detail_leaves_what_is_clear_clear_and_opacity_as_it_is():
    rgba = np.zeros((40, 40, 4), np.float32)
    rgba[10:30, 10:30] = (0.5, 0.4, 0.3, 0.5)
    across, down = np.meshgrid(np.linspace(-30, 30, 40), np.linspace(40, 100, 40))
    creased = over(detail.Detail(Surface(creases=2), detail.drawn(np.random.default_rng(0))), rgba, across, down, 1.5)
    assert not creased[rgba[..., 3] == 0].any()
    assert np.array_equal(creased[..., 3], rgba[..., 3])
    assert creased.min() >= 0
    assert np.abs(creased - rgba).max() > 0.01
    in_bytes = np.round(255 * rgba).astype(np.uint8)
    again = over(detail.Detail(Surface(creases=2), detail.drawn(np.random.default_rng(0))), in_bytes, across, down, 1.5)
    assert np.abs(again - creased).max() < 0.01


def places():
    return *np.meshgrid(np.arange(-110, 110, dtype=np.float32), np.arange(0, 110, dtype=np.float32)), 1.0


def moves(wrinkling, creases=1.0, corners=()):
    return detail.Detail(Surface(creases=creases), wrinkling, corners).moves(*places())


def gain(wrinkling, corners=()):
    return detail.Detail(Surface(), wrinkling, corners).gain(*places())


def test_pleats_lie_otherwise_on_each_face_and_each_end_otherwise():
    apart = []
    for seed in range(12):
        down = moves(detail.drawn(np.random.default_rng(seed))).down_mm
        assert np.array_equal(down, moves(detail.drawn(np.random.default_rng(seed))).down_mm)
        left, right = down[:, 50], down[:, -50]
        apart.append([float(np.ptp(left)), float(np.abs(left - right).mean())])
        # No pleat overtakes the next.
        assert np.diff(cv2.blur(down, (1, 5)), axis=0).min() > -1
    spread, ends = np.array(apart).mean(axis=0)
    assert spread > 1.5
    assert ends > 0.7


def test_pleats_slide_in_the_middle_and_stay_where_they_are_welded():
    calm = replace(detail.drawn(np.random.default_rng(6)), strength=0.0, astray=0.0)
    middle, side = [], []
    for slid in ((1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1)):
        down = np.abs(moves(replace(calm, slid=slid)).down_mm)
        middle.append(down[20:100, 80:140].max())
        side.append(down[20:100, [110 - 62, 110 + 62]].max())
    assert min(middle) > 1.0
    assert max(side) < 0.4 * max(middle)
    # The edges of the mask stay: only what lies between them slides.
    assert np.abs(moves(replace(calm, slid=(1, 1, 1, 1))).down_mm[:12]).max() < 0.1


def test_a_long_fold_is_lit_on_one_side_and_in_shade_on_the_other():
    calm = replace(detail.drawn(np.random.default_rng(6)), strength=0.0, worn=0.0, long_folds=())
    fold = folds.Fold((0.0, 20.0), np.radians(90), 0.2)
    light = gain(replace(calm, long_folds=(fold,))) - gain(calm)
    # It runs down the middle: clockwise of its way is image left.
    row = light[55]
    edge = int(np.abs(np.diff(row)).argmax())
    assert row[edge - 6 : edge - 2].max() < -0.08 < 0.08 < row[edge + 3 : edge + 7].min()
    assert np.abs(light[:, :60]).max() < 0.01
    assert not light[:15].any()


@pytest.mark.parametrize("mm_per_pixel", [0.2, 0.7, 1.5, 3.0])
def test_long_folds_are_the_same_on_faces_of_all_sizes(mm_per_pixel):
    count = round(120 / mm_per_pixel)
    where = (np.arange(count, dtype=np.float32) + 0.5) * np.float32(mm_per_pixel)
    across, down = np.meshgrid(where - 60, where)
    chosen = replace(detail.drawn(np.random.default_rng(1)), strength=0.0, worn=0.0)
    chosen = replace(chosen, long_folds=(folds.Fold((0.0, 30.0), np.radians(80), 0.2),))
    light = detail.Detail(Surface(weave="smooth"), chosen).gain(across, down, mm_per_pixel)
    one = cv2.resize(light, (60, 60), interpolation=cv2.INTER_AREA)
    fine = np.arange(480, dtype=np.float32) / 4 + 0.125
    exact = detail.Detail(Surface(weave="smooth"), chosen).gain(*np.meshgrid(fine - 60, fine), 0.25)
    other = cv2.resize(exact, (60, 60), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.95


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (3, 1), (2, 40)])
def test_long_folds_are_drawn_on_a_strip_of_a_large_face(shape):
    fold = folds.Fold((0.0, 30.0), 1.5, 0.2)
    places = np.zeros(shape, np.float32), np.full(shape, 60, np.float32)
    assert folds.light_on([fold], 1.0, *places, 0.1).shape == shape


def test_sewn_cloth_and_stiff_cloth_crumple_less():
    chosen = replace(detail.drawn(np.random.default_rng(3)), strength=1.7, worn=0.0, long_folds=())

    def depth(weave, creases):
        return float(detail.Detail(Surface(weave=weave, creases=creases), chosen).gain(*places()).std())

    assert depth("smooth", 0.8) < 0.7 * depth("nonwoven", 0.8)
    assert depth("woven", 0.8) < 0.9 * depth("nonwoven", 0.8)
    assert depth("nonwoven", 0.4) < 0.45 * depth("nonwoven", 0.8)


def test_many_masks_have_long_folds_and_some_have_none():
    counts = [len(detail.drawn(np.random.default_rng(seed)).long_folds) for seed in range(400)]
    assert 0.02 < counts.count(0) / 400 < 0.2
    assert 1.5 < np.mean(counts) < 2.5


def test_stiff_masks_keep_their_form():
    stiff = moves(detail.drawn(np.random.default_rng(3)), creases=0.0)
    assert not stiff.down_mm.any()
    assert not stiff.across_mm.any()
    assert stiff.depth is None


def test_what_is_printed_on_cloth_moves_where_the_cloth_creases():
    chosen = replace(detail.drawn(np.random.default_rng(4)), astray=0.0, slid=STILL)
    bent, flat = moves(chosen), moves(replace(chosen, strength=0.0))
    assert not flat.across_mm.any()
    moved = np.hypot(bent.across_mm, bent.down_mm)
    assert moved.std() > 0.1
    # Most where the light on the cloth says that it is steep.
    steep = np.abs(cv2.GaussianBlur(gain(chosen) - gain(replace(chosen, strength=0.0)), (0, 0), 1.0))
    assert moved[steep > np.percentile(steep, 80)].mean() > 1.3 * moved[steep < np.percentile(steep, 50)].mean()


def test_pleats_are_deeper_on_one_face_than_on_another():
    rows = np.arange(80)[:, None].repeat(80, axis=1)
    grey = np.where(rows % 20 < 3, 0.45, 0.6).astype(np.float32)
    depths = []
    for depth in (0.6, 1.0, 1.5):
        rgba = cv2.merge([grey, grey, grey, np.ones_like(grey)])
        chosen = replace(detail.drawn(np.random.default_rng(5)), depth=depth, uneven=0.0, strength=0.0, worn=0.0)
        across, down = np.meshgrid(np.linspace(-40, 40, 80), np.linspace(30, 110, 80))
        rgba = over(detail.Detail(Surface(), chosen), rgba, across, down, 1.0)
        depths.append(float(np.log(rgba[10:15, 20:60, 0].mean() / rgba[20:23, 20:60, 0].mean())))
    assert depths[0] < 0.85 * depths[1] < depths[1] < 0.85 * depths[2]


def test_a_strap_draws_the_corner_of_the_cloth_towards_the_ear_and_throws_a_fold(shipped):
    (seen,) = shipped.select(names=["surgical-white"]).designs[0].views_for(0, 0)
    face = face_at(HeadPose(0, 0, 0), 2.0, (200, 150))
    calm = replace(drawn(2), fit=fit.AS_IN_CATALOG)
    calm = replace(calm, wrinkling=replace(calm.wrinkling, pulls=(0.0, 0.0, 0.0, 0.0), astray=0.0, strength=0.0))
    pulled = replace(calm, wrinkling=replace(calm.wrinkling, pulls=(1.0, 0.0, 0.0, 0.0)))
    before, after = worn(seen, face, (400, 400), calm), worn(seen, face, (400, 400), pulled)
    reach = [overlay.left + np.flatnonzero((overlay.rgba[..., 3] > 0.5).any(axis=0))[0] for overlay in (before, after)]
    assert 2 <= reach[0] - reach[1] <= detail.PULL_MM * 2.0 + 2
    (corner,) = pulling(seen, (1.0, 0.0, 0.0, 0.0))
    fold = gain(calm.wrinkling, (corner,)) - gain(calm.wrinkling)
    near = np.hypot(*(np.array(np.nonzero(np.abs(fold) > 0.01)) - [[corner.down], [corner.across + 110]]))
    assert len(near) > 10
    assert near.max() < 40


@pytest.mark.parametrize(("mm_per_pixel", "is_told"), [(0.5, True), (1.2, True), (1.6, False)])
def test_folds_at_a_corner_are_drawn_where_pixels_are_fine_enough_to_show_them(mm_per_pixel, is_told):
    across, down, _ = places()
    pulled = detail.Corner(40.0, 50.0, (detail.PULL_MM, 0.0))
    told = [
        detail.Detail(Surface(), detail.drawn(np.random.default_rng(6)), corners).gain(across, down, mm_per_pixel)
        for corners in ((), (pulled,))
    ]
    assert np.array_equal(*told) != is_told


def test_cloth_is_moved_towards_the_ear_most_at_the_corner_and_not_far_from_it():
    calm = replace(detail.drawn(np.random.default_rng(6)), strength=0.0, astray=0.0, slid=STILL)
    moved = moves(calm, corners=(detail.Corner(40.0, 50.0, (3.0, -4.0)), detail.Corner(-40.0, 50.0, (-2.0, 0.0))))
    assert (moved.across_mm[50, 150], moved.down_mm[50, 150]) == pytest.approx((-3, 4), abs=0.01)
    assert (moved.across_mm[50, 70], moved.down_mm[50, 70]) == pytest.approx((2, 0), abs=0.01)
    assert np.abs(moved.across_mm[:, 105:115]).max() < 0.01


def test_dark_cloth_shows_creases_by_what_it_throws_back():
    seen = []
    for level in (0.05, 0.8):
        rgba = np.full((60, 60, 4), (level, level, level, 1), np.float32)
        across, down = np.meshgrid(np.linspace(-30, 30, 60), np.linspace(40, 100, 60))
        creased = over(
            detail.Detail(Surface(weave="smooth"), detail.drawn(np.random.default_rng(0))), rgba, across, down, 1.0
        )
        seen.append(float(creased[..., 0].std()) / level)
    assert seen[0] > 2 * seen[1]


def test_creases_leave_the_far_outline_of_a_turned_face_smooth(shipped):
    (seen,) = shipped.select(names=["surgical-white"]).designs[0].views_for(45, 0)
    face = face_at(HeadPose(45, 0, 0), 2.0, (200, 150))
    chosen = replace(drawn(2).wrinkling, pulls=(0.0, 0.0, 0.0, 0.0), astray=0.0)
    edges = []
    for strength in (0.0, 1.6):
        look = replace(drawn(2), fit=fit.AS_IN_CATALOG, wrinkling=replace(chosen, strength=strength))
        overlay = worn(seen, face, (400, 400), look)
        # The nose points to image right.
        rows = [overlay.left + np.flatnonzero(row > 0.5).max(initial=0) for row in overlay.rgba[60:-60, :, 3]]
        edges.append(np.array(rows, float))
    # No more than two millimetres.
    assert np.abs(edges[1] - edges[0]).max() < 4
