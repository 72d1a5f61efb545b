"""A mask taken from a photograph: the mask, all of it, and nothing but it."""

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data
from strategies import face_at

from maskgen.catalog.store import Catalog
from maskgen.catalog.view import View
from maskgen.detect import FaceDetector
from maskgen.errors import CatalogError
from maskgen.face import Face, HeadPose
from maskgen.images import read
from maskgen.masking import blend, choose, light
from maskgen.masking.augment import worn
from maskgen.packs.find import BUNDLED, pack_dir
from maskgen.parse import FaceParser
from maskgen.studio.photo import harvest, segment, texture
from maskgen.studio.photo.crop import WORK_SCALE, upright

PHOTOGRAPHS = Path(__file__).parents[3] / "shared" / "data" / "masked_photos"
DESIGNS = ("surgical-blue", "surgical-white", "surgical-black", "kn95-white", "cloth-black", "cloth-red-dots")
needs_pack = pytest.mark.skipif(
    not any(pack_dir(BUNDLED).glob("det*.onnx")), reason="maskgen/packs/bundled holds no detector yet"
)


@cache
def detector():
    return FaceDetector()


@cache
def parser():
    return FaceParser()


@cache
def astronaut():
    """A photograph of a bare face, and the face."""
    image = data.astronaut()[:300, 60:400]
    return image, detector().detect(image)[0]


@cache
def wearing(name):
    """The astronaut with a mask of the catalog that ships, and where it is: (image, alpha (H, W))."""
    image, face = astronaut()
    view = choose.choose(Catalog.load().select(names=[name]), face, np.random.default_rng(0))
    overlay = worn(view, face, (image.shape[1], image.shape[0]))
    alpha = np.zeros(image.shape[:2], np.float32)
    alpha[overlay.region] = overlay.rgba[..., 3]
    return blend.over(image, overlay, light.appearance_of(image, face), np.random.default_rng(0)).image, alpha


def drawn(taken, face, size_wh, folder):
    """The overlay (H, W, 4) of a harvested mask on a face."""
    path = folder / "mask.png"
    cv2.imwrite(str(path), cv2.cvtColor(taken.rgba, cv2.COLOR_RGBA2BGRA))
    points = np.array(list(taken.points.values()), np.float32)
    overlay = worn(View("x", "x", path, False, taken.rotation, tuple(taken.points), points), face, size_wh)
    rgba = np.zeros((size_wh[1], size_wh[0], 4), np.float32)
    rgba[overlay.region] = overlay.rgba
    return rgba


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


# ---- what is taken


@needs_pack
@pytest.mark.parametrize("name", DESIGNS)
def test_a_mask_put_on_a_face_is_taken_off_again(name, tmp_path):
    image, alpha = wearing(name)
    face = astronaut()[1]
    taken = harvest.harvest(image, detector().detect(image)[0])
    # Drawn back on the same face it lies where it was.
    back = drawn(taken, face, (image.shape[1], image.shape[0]), tmp_path)
    body = cv2.morphologyEx((alpha > 0.5).astype(np.uint8), cv2.MORPH_OPEN, np.ones((7, 7), np.uint8)) > 0
    assert iou(back[..., 3] > 0.5, body) > 0.8


@needs_pack
@pytest.mark.parametrize("name", DESIGNS)
def test_no_skin_is_taken(name, tmp_path):
    image, alpha = wearing(name)
    back = drawn(
        harvest.harvest(image, detector().detect(image)[0]), astronaut()[1], (image.shape[1], image.shape[0]), tmp_path
    )
    away = cv2.dilate((alpha > 0.1).astype(np.uint8), np.ones((9, 9), np.uint8)) == 0
    assert (back[..., 3][away] > 0.5).sum() < 0.02 * (back[..., 3] > 0.5).sum()


@needs_pack
def test_black_masks_stay_black_and_white_ones_white():
    def middle(name):
        rgba = harvest.harvest(wearing(name)[0], detector().detect(wearing(name)[0])[0]).rgba
        return np.median(rgba[rgba[..., 3] > 250][:, :3], axis=0)

    assert middle("cloth-black").max() < 70
    assert middle("surgical-white").min() > 190


@needs_pack
def test_a_print_is_kept():
    image, _ = wearing("cloth-red-dots")
    rgba = harvest.harvest(image, detector().detect(image)[0]).rgba
    inside = rgba[rgba[..., 3] > 250][:, :3].mean(axis=1)
    assert np.percentile(inside, 97) - np.percentile(inside, 30) > 25


@needs_pack
def test_the_fall_of_light_across_a_mask_is_divided_out():
    image, alpha = wearing("kn95-white")
    columns = np.nonzero((alpha > 0.9).any(axis=0))[0]
    box = np.s_[:, columns[0] : columns[-1]]

    def fall(green, inside):
        """How much darker one half of the mask is than the other."""
        half = green.shape[1] // 2
        halves = [np.median(green[:, part][inside[:, part]]) for part in (np.s_[:half], np.s_[half:])]
        return abs(np.log(halves[1] / halves[0]))

    ramp = np.linspace(0.45, 1.0, image.shape[1], dtype=np.float32)[None, :, None]
    lit = [np.clip(image * light, 0, 255).astype(np.uint8) for light in (ramp, ramp[:, ::-1])]
    # One of the two adds to the light that falls on the face already.
    dark = max(lit, key=lambda picture: fall(picture[..., 1][box], alpha[box] > 0.9))
    rgba = harvest.harvest(dark, detector().detect(image)[0]).rgba
    assert fall(rgba[..., 1], rgba[..., 3] > 240) < 0.4 * fall(dark[..., 1][box], alpha[box] > 0.9)


@needs_pack
def test_points_bound_the_mask_and_the_rotation_holds_the_pose():
    image, _ = wearing("surgical-blue")
    faces = detector().detect(image)
    taken = harvest.harvest(image, faces[0])
    assert taken.rotation.holds(faces[0].pose.yaw, faces[0].pose.pitch)
    hull = cv2.convexHull(np.array(list(taken.points.values()), np.float32))
    opaque = np.argwhere(taken.rgba[..., 3] > 128)[::17, ::-1]
    assert all(cv2.pointPolygonTest(hull, (float(x), float(y)), False) >= 0 for x, y in opaque)


@needs_pack
def test_points_by_hand_take_the_place_of_those_found():
    image, _ = wearing("surgical-blue")
    faces = detector().detect(image)
    found = harvest.harvest(image, faces[0])
    landmarks = faces[0].landmarks_68
    shared = [name for name in found.points if name.isdigit()]
    by_hand = {
        name: (float(x), float(y)) for name, (x, y) in zip(shared, landmarks[list(map(int, shared))], strict=True)
    }
    taken = harvest.harvest(image, faces[0], by_hand)
    assert set(taken.points) == set(by_hand)
    assert all(taken.points[name] == pytest.approx(found.points[name], abs=0.2) for name in shared)


def test_the_rotation_never_reaches_across_to_a_side_that_was_not_seen():
    assert harvest.rotation_around(HeadPose(30, 5, 12)).yaw == (20, 40)
    assert harvest.rotation_around(HeadPose(-30, 5, 12)).yaw == (-40, -20)


def test_a_crop_is_upright_and_at_the_scale_it_says():
    image = np.zeros((400, 400, 3), np.uint8)
    crop = upright(image, face_at(HeadPose(0, 0, 25), 1.2, (200, 160)))
    eyes = crop.points[[36, 45]]
    assert abs(eyes[1, 1] - eyes[0, 1]) < 2
    assert np.linalg.norm(eyes[1] - eyes[0]) / crop.pixels_per_mm == pytest.approx(90, abs=4)
    half = crop.resized(crop.pixels_per_mm / 2)
    assert half.points == pytest.approx((crop.points + 0.5) / 2 - 0.5, abs=0.5)


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((30, 30, 32), "black"),
        ((240, 240, 238), "white"),
        ((236, 240, 245), "white"),
        ((150, 200, 225), "light blue"),
        ((200, 40, 50), "red"),
        ((40, 140, 145), "teal"),
        ((205, 160, 50), "yellow"),
        ((150, 215, 190), "mint"),
    ],
)
def test_colours_are_named(rgb, name):
    rgba = np.full((20, 20, 4), (*rgb, 255), np.uint8)
    assert texture.colour_of(rgba) == name


@pytest.mark.parametrize("chroma", [6, 10, 16, 22])
@pytest.mark.parametrize("hue_deg", [210, 220, 230, 240])
@pytest.mark.parametrize("lightness", [66, 75, 84])
def test_the_blues_of_surgical_masks_are_light_blue(lightness, hue_deg, chroma):
    a, b = chroma * np.cos(np.radians(hue_deg)), chroma * np.sin(np.radians(hue_deg))
    rgb = cv2.cvtColor(np.array([[[lightness, a, b]]], np.float32), cv2.COLOR_LAB2RGB)[0, 0]
    rgba = np.full((20, 20, 4), (*np.round(rgb * 255), 255), np.uint8)
    assert texture.colour_of(rgba) == "light blue"


# ---- what is refused


def refusal(image, face, parser=None):
    with pytest.raises(harvest.RefusedError) as caught:
        harvest.harvest(image, face, parser=parser)
    assert isinstance(caught.value, CatalogError)
    assert "\n" not in str(caught.value)
    return caught.value.reason


@needs_pack
def test_a_bare_face_is_refused():
    image, face = astronaut()
    assert refusal(image, face) == "no_mask"


@needs_pack
def test_a_mask_hidden_behind_a_hand_is_refused():
    image, face = astronaut()
    worn, alpha = wearing("surgical-blue")
    x, y = face.landmarks_68[57]
    hand = np.zeros(alpha.shape, np.uint8)
    cv2.circle(hand, (int(x), int(y)), int(0.22 * face.size_wh[0]), 1, -1)
    skin = np.median(image[light.skin_region(face, (image.shape[1], image.shape[0]))], axis=0)
    covered = np.where(hand[..., None] > 0, skin, worn).astype(np.uint8)
    assert refusal(covered, face) in ("covered", "ragged", "no_mask")


def test_every_large_face_is_looked_at_from_image_left_to_image_right():
    left, right = face_at(centre=(80, 100)), face_at(centre=(230, 100))
    assert harvest.large_faces([right, left]) == [left, right]
    assert harvest.large_faces([]) == []


def test_a_second_face_in_the_background_does_no_harm():
    large, small = face_at(centre=(150, 130)), face_at(pixels_per_mm=0.3, centre=(40, 40))
    assert harvest.large_faces([small, large]) == [large]


def test_a_detection_within_the_face_is_no_second_person():
    face = face_at(centre=(150, 130))
    again = Face(face.bbox + 8, face.keypoints, face.landmarks, face.pose, 0.9)
    assert len(harvest.large_faces([face, again])) == 1


@pytest.mark.parametrize(
    ("face", "reason"),
    [
        (face_at(pixels_per_mm=0.3, centre=(150, 130)), "too_small"),
        (face_at(HeadPose(65, 0, 0), centre=(150, 130)), "turned_away"),
        (face_at(centre=(150, 260)), "cut_off"),
        (face_at(centre=(150, 130)), "dark"),
    ],
)
def test_pictures_that_cannot_be_used_say_why(face, reason):
    assert refusal(np.zeros((300, 300, 3), np.uint8), face) == reason


def test_a_burnt_out_picture_is_refused():
    assert refusal(np.full((300, 300, 3), 255, np.uint8), face_at(centre=(150, 130))) == "overexposed"


@needs_pack
def test_a_blurred_picture_is_refused():
    image, _ = wearing("surgical-blue")
    faces = detector().detect(image)
    assert refusal(cv2.GaussianBlur(image, (0, 0), 0.05 * faces[0].size_wh[0]), faces[0]) == "blurred"


# ---- real photographs


@needs_pack
@pytest.mark.long
@pytest.mark.skipif(not PHOTOGRAPHS.is_dir(), reason=f"no photographs in {PHOTOGRAPHS.name}")
def test_masks_are_taken_from_most_photographs():
    paths = sorted(PHOTOGRAPHS.glob("*.jpg"))[::12]
    taken = 0
    for path in paths:
        image = read(path).pixels
        faces = harvest.large_faces(detector().detect(image))
        try:
            rgba = harvest.harvest(image, faces[0], parser=parser()).rgba
        except (harvest.RefusedError, IndexError):
            continue
        taken += 1
        assert 0.3 < (rgba[..., 3] > 128).mean() < 1, path
    assert taken >= 0.6 * len(paths)


# ---- what the network adds


def painted(name, face, tint=None):
    """The astronaut with a mask of the catalog laid on as on another face, in another colour if there is one."""
    image, own = astronaut()
    view = choose.choose(Catalog.load().select(names=[name]), own, np.random.default_rng(0))
    overlay = worn(view, face, (image.shape[1], image.shape[0]))
    rgba = overlay.rgba.copy()
    if tint is not None:
        grey = rgba[..., :3].mean(axis=-1, keepdims=True)
        rgba[..., :3] = grey / max(float(np.median(grey[rgba[..., 3] > 0.9])), 1e-3) * np.array(tint) * 0.9
        rgba[..., :3] = np.minimum(rgba[..., :3], rgba[..., 3:])
    result = image.astype(np.float32) / 255
    result[overlay.region] = result[overlay.region] * (1 - rgba[..., 3:]) + rgba[..., :3]
    return np.round(result * 255).astype(np.uint8)


def lowered(face, share):
    """A face moved down by a share of its height."""
    down = np.float32([0, share * face.size_wh[1]])
    landmarks = face.landmarks.copy()
    landmarks[:, :2] += down
    return Face(face.bbox + np.tile(down, 2), face.keypoints + down, landmarks, face.pose, face.score)


@needs_pack
def test_a_bare_face_is_no_mask_to_the_network_either():
    image, face = astronaut()
    assert refusal(image, face, parser()) == "no_mask"


@needs_pack
@pytest.mark.parametrize("name", ["surgical-blue-deep", "cloth-black"])
def test_a_mask_that_leaves_the_nose_bare_is_worn_wrongly(name):
    face = astronaut()[1]
    assert refusal(painted(name, lowered(face, 0.25)), face, parser()) == "worn_wrongly"


@needs_pack
def test_a_hand_before_the_face_is_covered_and_no_mask():
    image, face = astronaut()
    worn, alpha = wearing("surgical-blue")
    hand = np.zeros(alpha.shape, np.uint8)
    x, y = face.landmarks_68[[33, 57]].mean(axis=0)
    cv2.ellipse(hand, (int(x), int(y)), (int(0.4 * face.size_wh[0]), int(0.3 * face.size_wh[0])), 0, 0, 360, 1, -1)
    skin = np.median(image[light.skin_region(face, (image.shape[1], image.shape[0]))], axis=0)
    covered = np.where(hand[..., None] > 0, skin, worn).astype(np.uint8)
    assert refusal(covered, face, parser()) == "covered"


@needs_pack
def test_pale_blue_stays_pale_blue():
    face = astronaut()[1]
    taken = harvest.harvest(painted("surgical-white", face, (0.92, 0.97, 0.985)), face, parser=parser())
    red, _, blue = np.median(taken.rgba[taken.rgba[..., 3] > 200][:, :3], axis=0)
    assert taken.colour == "light blue"
    assert 6 < blue - red < 30


@needs_pack
@pytest.mark.parametrize("tint", [(0.86, 0.62, 0.5), (0.75, 0.55, 0.45), (0.5, 0.5, 0.5)])
def test_masks_in_the_colours_of_skin_and_grey_are_taken(tint):
    face = astronaut()[1]
    taken = harvest.harvest(painted("surgical-white", face, tint), face, parser=parser())
    assert (taken.rgba[..., 3] > 128).mean() > 0.4


@needs_pack
def test_masks_are_taken_from_black_and_white_photographs():
    image, face = wearing("surgical-white")[0], astronaut()[1]
    grey = np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=-1)
    assert harvest.harvest(grey, face, parser=parser()).colour in ("white", "light grey")


CASTS = {"none": (1, 1, 1), "warm": (1.0, 0.93, 0.82), "cool": (0.9, 0.97, 1.0), "green": (0.95, 1.0, 0.93)}


@needs_pack
@pytest.mark.parametrize("cast", CASTS)
def test_blue_stays_blue_and_white_turns_neither_beige_nor_blue(cast):
    face = astronaut()[1]
    named = {}
    for name in ("surgical-blue-deep", "surgical-white"):
        lit = np.clip(wearing(name)[0] * np.array(CASTS[cast]), 0, 255).astype(np.uint8)
        named[name] = harvest.harvest(lit, face, parser=parser()).colour
    assert named["surgical-blue-deep"] in ("light blue", "blue", "teal")
    assert named["surgical-white"] in ("white", "light grey")


@needs_pack
def test_neither_fruit_nor_cloth_is_a_head():
    image, face = astronaut()
    assert harvest.is_head(image, face, parser())
    square = np.full((300, 300, 3), (90, 120, 160), np.uint8)
    square[60:240, 60:240] = (200, 60, 70)
    cherries = np.full((300, 300, 3), 240, np.uint8)
    for x in (105, 195):
        cv2.circle(cherries, (x, 170), 48, (150, 15, 30), -1)
        cv2.line(cherries, (x, 125), (150, 30), (60, 110, 40), 5)
    for picture in (square, cherries):
        assert not harvest.is_head(picture, face_at(centre=(150, 130)), parser())


def test_what_sticks_out_of_a_mask_and_is_narrow_is_dropped():
    region = np.zeros((160, 160), bool)
    region[60:120, 40:120] = True
    with_finger = region.copy()
    with_finger[30:60, 70:74] = True  # 4 pixels at 0.6 pixels per millimetre
    assert iou(segment._without_lobes(with_finger, WORK_SCALE), region) > 0.97
