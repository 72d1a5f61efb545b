"""An overlay over an image."""

import dataclasses

import numpy as np
import pytest
from strategies import face_at

from maskgen.catalog.store import Catalog
from maskgen.face import HeadPose
from maskgen.masking import blend, grain, light
from maskgen.masking.augment import worn
from maskgen.masking.occlude import Visible
from maskgen.masking.recipe import DEFAULT_LOOK, PLAIN_LOOK
from maskgen.masking.warp import Overlay

FACE = face_at(centre=(125, 100))


def over(image, overlay, face, rng, look=DEFAULT_LOOK):
    return blend.over(image, overlay, light.appearance_of(image, face), rng, look).image


def portrait(seed=0, skin=(170, 125, 100)):
    """A plain wall and a face of one colour, with a little noise."""
    image = np.full((300, 250, 3), 90.0)
    image[light.skin_region(FACE, (250, 300))] = skin
    return np.clip(image + np.random.default_rng(seed).normal(0, 2, image.shape), 0, 255).astype(np.uint8)


def cloth(colour, alpha=1.0):
    rgba = np.zeros((80, 100, 4), np.float32)
    rgba[10:-10, 10:-10] = (*np.float32(colour) / 255 * alpha, alpha)
    return Overlay(rgba, 75, 130)


def rng():
    return np.random.default_rng(1)


def only(**switches):
    return dataclasses.replace(PLAIN_LOOK, **switches)


def inside(image):
    return image[150:200, 100:150].astype(float)


def test_an_opaque_overlay_replaces():
    result = over(portrait(), cloth((10, 200, 30)), FACE, rng(), PLAIN_LOOK)
    assert (result[140:200, 85:165] == (10, 200, 30)).all()


def test_a_clear_overlay_leaves_every_bit():
    image = portrait()
    assert np.array_equal(over(image, cloth((9, 9, 9), 0.0), FACE, rng()), image)


@pytest.mark.parametrize("look", [DEFAULT_LOOK, PLAIN_LOOK], ids=["default", "plain"])
def test_pixels_away_from_the_mask_never_change(look):
    image = portrait()
    result = over(image, cloth((30, 90, 200)), FACE, rng(), look)
    far = np.ones(image.shape[:2], bool)
    reach = round(0.05 * max(FACE.size_wh)) + 2
    far[130 - reach : 210 + reach, 75 - reach : 175 + reach] = False
    assert np.array_equal(result[far], image[far])
    assert not np.array_equal(result, image)


def test_the_image_given_is_not_changed():
    image = portrait()
    before = image.copy()
    over(image, cloth((30, 90, 200)), FACE, rng())
    assert np.array_equal(image, before)


def test_a_mask_in_the_dark_is_dark():
    bright, dark = (
        inside(over(portrait(skin=skin), cloth((200, 200, 200)), FACE, rng(), only(exposure=True))).mean()
        for skin in ((170, 125, 100), (40, 30, 24))
    )
    assert dark < 0.6 * bright


def test_a_mask_under_warm_light_is_warm():
    result = inside(over(portrait(skin=(190, 115, 60)), cloth((200, 200, 200)), FACE, rng(), only(white_balance=True)))
    assert result[..., 0].mean() > result[..., 2].mean() + 15


def test_a_mask_in_a_photograph_without_colour_is_grey():
    result = inside(over(portrait(skin=(130, 130, 130)), cloth((40, 120, 220)), FACE, rng(), only(white_balance=True)))
    assert np.ptp(result, axis=2).max() <= 4


def test_light_from_one_side_lies_on_the_mask():
    image = portrait().astype(float) * np.linspace(0.4, 1.3, 250)[None, :, None]
    result = over(np.clip(image, 0, 255).astype(np.uint8), cloth((150, 150, 150)), FACE, rng(), only(shading=True))
    row = result[140:200].astype(float).mean(axis=(0, 2))
    assert row[150] / row[95] == pytest.approx((0.4 + 0.9 * 150 / 249) / (0.4 + 0.9 * 95 / 249), rel=0.05)


def test_a_mask_on_a_blurred_face_is_blurred():
    import cv2

    image = portrait()
    for x in range(70, 180, 12):
        image[60:120, x : x + 6] //= 2  # edges to measure the blur by
    soft = cv2.GaussianBlur(image, (0, 0), 3)
    sharp_edge, soft_edge = (
        np.abs(
            np.diff(over(i, cloth((250, 250, 250)), FACE, rng(), only(sharpness=True))[170, 60:110, 0].astype(float))
        ).max()
        for i in (image, soft)
    )
    assert soft_edge < 0.6 * sharp_edge


def test_noise_of_the_photograph_lies_on_the_mask():
    noisy = np.clip(portrait() + np.random.default_rng(2).normal(0, 8, (300, 250, 3)), 0, 255).astype(np.uint8)
    quiet, loud = (
        inside(over(image, cloth((128, 128, 128)), FACE, rng(), only(noise=True))).std()
        for image in (np.full((300, 250, 3), 120, np.uint8), noisy)
    )
    assert quiet < 0.6
    assert loud > 2


def test_grain_is_as_wide_as_it_is_high():
    gray = np.full((200, 200, 4), (128, 128, 128, 255), np.uint8)
    grey = grain.drawn(rng(), (200, 200)).on(gray[..., :3], grain.strength_on(gray, 0.02))
    noise = grey[..., 0].astype(float) - grey.mean()
    along, down = ((noise[cut] * noise[kept]).mean() / noise.var() for cut, kept in (
        ((slice(None), slice(1, None)), (slice(None), slice(None, -1))),
        (slice(1, None), slice(None, -1)),
    ))  # fmt: skip
    assert along > 0.1
    assert abs(along - down) < 0.05


def test_a_black_mask_is_black_and_opaque():
    result = inside(over(portrait(), cloth((25, 25, 27)), FACE, rng()))
    assert result.mean() < 45


def test_the_same_generator_gives_the_same_bytes():
    first, second = (over(portrait(), cloth((30, 90, 200)), FACE, rng()) for _ in range(2))
    assert np.array_equal(first, second)


def test_an_overlay_at_the_border_is_cut():
    overlay = Overlay(np.ones((40, 40, 4), np.float32), 0, 260)
    result = over(portrait(), overlay, FACE, rng())
    assert result.shape == (300, 250, 3)


def met(colour, rows, columns=slice(50, 150)):
    """How much brighter a grey wall is for a mask of a colour that spans some rows and columns: (300, 250)."""
    image = np.full((300, 250, 3), 120, np.uint8)
    rgba = np.zeros((200, 200, 4), np.float32)
    rgba[rows, columns] = (*np.float32(colour) / 255, 1)
    result = over(image, Overlay(rgba, 25, 50), FACE, rng(), only(shadow=True)).astype(float) - image
    return result[..., 0]


def test_a_strap_throws_a_shadow_below_it_that_fades():
    darker = -met((230, 230, 230), slice(100, 103))[:, 125]
    # The strap spans rows 150 to 152.
    assert darker[153:156].max() > 6
    assert darker[153:156].max() > 2 * darker[144:150].max()
    assert not darker[180:].any()


def test_white_cloth_throws_light_on_the_skin_above_and_below_it_and_black_cloth_none():
    white, black = (met((level, level, level), slice(100, 160))[:, 125] for level in (235, 15))
    # The cloth spans rows 150 to 209.
    assert white[147:150].min() > 1.5
    assert black[147:150].max() < 0.5
    assert (white[211:214] > black[211:214] + 1).all()
    assert not white[:130].any()
    assert not white[230:].any()


def test_white_cloth_is_darker_at_its_upper_edge_than_within():
    bright = met((200, 200, 200), slice(100, 160))[:, 125]
    # The cloth spans rows 150 to 209.
    assert bright[150] < bright[152] < bright[175] - 1
    assert bright[208] > bright[151]


def test_the_default_look_softens_the_edge_of_the_mask():
    image = np.full((300, 250, 3), 160, np.uint8)

    def mixed(feather):
        column = over(image, cloth((10, 10, 10)), FACE, rng(), only(feather=feather))[130:150, 125, 0]
        return int(((column > 12) & (column < 158)).sum())

    assert DEFAULT_LOOK.feather > 0
    assert mixed(0.0) == 0
    assert mixed(DEFAULT_LOOK.feather) >= 2


def test_what_lies_in_front_of_the_face_stays_as_it_is():
    image = portrait()
    region = slice(0, image.shape[0]), slice(0, 125)
    visible = Visible(np.zeros((image.shape[0], 125), np.uint8), np.eye(2, 3, dtype=np.float32), region)
    appearance = light.appearance_of(image, FACE)
    layer = blend.over(image, cloth((30, 90, 200)), appearance, rng(), PLAIN_LOOK, visible)
    assert np.array_equal(layer.image[:, :125], image[:, :125])
    assert (layer.image[145:195, 126:160] == (30, 90, 200)).all()
    alpha = np.zeros(image.shape[:2], np.float32)
    alpha[layer.region] = layer.alpha
    assert not alpha[:, :125].any()
    assert (alpha[145:195, 126:160] == 1).all()


def on_large_face(look, step, yaw=0):
    """A mask on a face of a thousand pixels, drawn so many times smaller; the layer that was mixed and the image."""
    face = face_at(HeadPose(yaw, 0, 0), 5.5, (600, 450))
    image = np.full((1200, 1210, 3), (120, 110, 100), np.uint8)
    image[light.skin_region(face, (1210, 1200))] = (170, 125, 100)
    view = Catalog.load().select(names=["surgical-blue"]).designs[0].views_for(yaw, 0)[0]
    appearance = dataclasses.replace(light.appearance_of(image, face), blur=1.0)
    overlay = worn(view, face, (1210, 1200), step=step or blend.step_of(appearance, look))
    return blend.over(image, overlay, appearance, rng(), look), image


def test_a_mask_is_drawn_no_finer_than_its_blur_leaves_and_looks_the_same():
    look = dataclasses.replace(DEFAULT_LOOK, noise=False)
    (whole, _), (small, _) = on_large_face(look, 1.0), on_large_face(look, None)
    assert small._step >= 2
    assert small._opacity.size < whole._opacity.size / 4
    inside = np.zeros(whole.image.shape[:2], bool)
    inside[small.region] = small.alpha > 0.02
    difference = np.abs(whole.image.astype(float) - small.image)
    assert difference[inside].mean() < 1
    assert difference[~inside].mean() < 0.1


@pytest.mark.parametrize("step", [1.0, 1.5, 2.5])
def test_alpha_tells_how_much_of_the_mask_is_seen_however_it_was_drawn(step):
    look = dataclasses.replace(PLAIN_LOOK, feather=0.002)
    layer, image = on_large_face(look, step, yaw=20)
    part, alpha = image[layer.region].astype(float), layer.alpha
    assert alpha.shape == part.shape[:2]
    changed = np.abs(layer.image[layer.region].astype(float) - part).max(axis=2)
    # What is too clear to be told in whole numbers may round to the next.
    assert changed[alpha == 0].max() <= 1
    assert changed[alpha > 0.9].mean() > 20
    outside = np.ones(image.shape[:2], bool)
    outside[layer.region] = False
    assert np.array_equal(layer.image[outside], image[outside])


@pytest.mark.parametrize("shape", [(1201, 1211), (1199, 1203)])
def test_a_mask_that_is_drawn_smaller_is_cut_at_the_edge_of_an_image_of_any_size(shape):
    face = face_at(HeadPose(0, 0, 0), 7.5, (1100, 700))
    image = np.full((*shape, 3), (150, 120, 100), np.uint8)
    view = Catalog.load().select(names=["surgical-blue"]).designs[0].views_for(0, 0)[0]
    appearance = light.appearance_of(image, face)
    step = blend.step_of(appearance, DEFAULT_LOOK)
    overlay = worn(view, face, (shape[1], shape[0]), step=step)
    layer = blend.over(image, overlay, appearance, rng())
    assert step > 1
    assert layer.region[0].stop == shape[0]
    assert layer.alpha.shape == layer.image[layer.region].shape[:2]
    assert (layer.image[-1] != 150).any()


def moved(array, offset):
    """A copy that lies so many bytes beyond a multiple of 64 in memory."""
    room = np.empty(array.nbytes + 128, np.uint8)
    start = (offset - room.ctypes.data) % 64
    copy = room[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[:] = array
    return copy


def test_what_is_measured_does_not_depend_on_where_in_memory_arrays_lie(monkeypatch):
    slopes = np.random.default_rng(0).normal(0, 40, (2, 241, 233)).astype(np.float32)
    measured = set()
    for offset in range(0, 64, 4):
        monkeypatch.setattr(light.cv2, "Sobel", lambda patch, kind, x, y, at=offset: moved(slopes[x], at))
        measured.add(light._steepness(slopes[0]).tobytes())
    assert len(measured) == 1


@pytest.mark.parametrize("step", [1.0, 2.0])
@pytest.mark.parametrize("look", [only(shadow=True), only(noise=True)], ids=["shadow", "grain"])
def test_what_is_seen_in_part_is_mixed_from_the_photograph_and_the_masked_one(look, step):
    image, appearance = portrait(), light.appearance_of(portrait(), FACE)
    overlay = dataclasses.replace(cloth((30, 90, 200)), left=12, top=50, step=step)
    values = np.zeros((300, 250), np.uint8)
    values[:] = np.linspace(0, 255, 250).astype(np.uint8)
    visible = Visible(values, np.eye(2, 3, dtype=np.float32), (slice(0, 300), slice(0, 250)))
    whole = blend.over(image, overlay, appearance, rng(), look)
    seen = blend.over(image, overlay, appearance, rng(), look, visible)
    share = values[..., None] / 255
    expected = image * (1 - share) + whole.image * share
    # Each of a few steps rounds; drawn smaller, a share is told between pixels.
    assert np.abs(seen.image - expected).max() < 3 + step
    assert np.abs(seen.image - expected).mean() < 0.5
    assert np.abs(seen.alpha - whole.alpha * share[seen.region][..., 0]).max() < 0.015 * step
