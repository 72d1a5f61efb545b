"""Straps on the face that wears a mask."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from strategies import face_at

from maskgen.catalog.schema import Rotation, Straps, Surface
from maskgen.catalog.view import View
from maskgen.face import HeadPose
from maskgen.face.head import (
    ANCHORS,
    head_to_image,
    in_image,
    mean_head,
    pixels_per_mm,
    points_on_face,
    towards_camera,
)
from maskgen.face.pose import rotation_matrix
from maskgen.masking import light, straps, ways
from maskgen.masking.detail import PULL_MM
from maskgen.masking.occlude import Visible, opened
from maskgen.masking.warp import Overlay

SIDE = 400
WHOLE = slice(0, 400), slice(0, 400)
SKIN = (170, 125, 100)
NAMES = (*(str(i) for i in range(68)), *(name for name in ANCHORS if name.startswith("box_")))
CORNERS = {
    "image_left_upper": (-60.0, 26.0, -2.0),
    "image_left_lower": (-52.0, 88.0, -16.0),
    "image_right_upper": (60.0, 26.0, -2.0),
    "image_right_lower": (52.0, 88.0, -16.0),
}


def turned(yaw, pitch=0.0, roll=0.0):
    return face_at(HeadPose(yaw, pitch, roll), 1.3, (SIDE / 2, 150))


def view_for(face, kind="ear"):
    """A view whose texture is the image itself, with its corners where they lie on the head."""
    points = points_on_face(NAMES, face.landmarks_68)
    camera = head_to_image(face.landmarks_68)
    facing = towards_camera(camera)
    fastenings = {}
    for corner, place in CORNERS.items():
        outwards = np.array([np.sign(place[0]) * 0.8, 0.0, 0.6])
        if outwards @ facing > 0:
            fastenings[corner] = tuple(float(v) for v in in_image(np.float32([place]), face.landmarks_68)[0])
    band = Straps(kind=kind, color_rgb=(230, 230, 228), width_mm=4.0)
    rotation = Rotation(yaw=(-90, 90), pitch=(-90, 90))
    return View("x", "x", None, False, rotation, NAMES, points, fastenings, band)


def photograph(face, hair=None):
    image = np.full((SIDE, SIDE, 3), SKIN, np.uint8)
    if hair is not None:
        image[hair] = (40, 30, 25)
    return straps.Photograph(image, light.appearance_of(image, face))


def seen(face, kind="ear", hair=None):
    view = view_for(face, kind)
    return straps.seen(view, view.points, face.landmarks_68, photograph(face, hair))


def outline(face):
    """The image left and right edge of the head in each row: (SIDE,) arrays."""
    from maskgen.face.solid import head_solid

    points = head_solid().surface(0.0).reshape(-1, 3).astype(np.float32)
    camera = head_to_image(face.landmarks_68)
    x, y = (points @ camera[:, :3].T + camera[:, 3]).T
    low, high = np.full(SIDE, np.inf), np.full(SIDE, -np.inf)
    rows = np.clip(np.round(y), 0, SIDE - 1).astype(int)
    np.minimum.at(low, rows, x)
    np.maximum.at(high, rows, x)
    return low, high


@pytest.mark.parametrize("kind", ["ear", "head"])
@pytest.mark.parametrize("yaw", range(-60, 61, 15))
def test_no_strap_hangs_in_the_air(yaw, kind):
    for pitch, roll in ((0, 0), (15, 10), (-15, -20)):
        face = turned(yaw, pitch, roll)
        low, high = outline(face)
        found = seen(face, kind)
        assert found
        for strap in found:
            rows = np.clip(np.round(strap.path[:, 1]), 1, SIDE - 2).astype(int)
            left = np.minimum.reduce([low[rows - 1], low[rows], low[rows + 1]])
            right = np.maximum.reduce([high[rows - 1], high[rows], high[rows + 1]])
            # A strap lies on the skin, not in it.
            assert (strap.path[:, 0] > left - strap.width - 1.5).all()
            assert (strap.path[:, 0] < right + strap.width + 1.5).all()


@pytest.mark.parametrize("yaw", [*range(-60, -14, 15), *range(15, 61, 15)])
def test_a_loop_ends_at_the_root_of_the_near_ear(yaw):
    face = turned(yaw)
    side = "image_left" if yaw > 0 else "image_right"
    ear = in_image(np.float32([ANCHORS[f"ear_{side}_upper"], ANCHORS[f"ear_{side}_lower"]]), face.landmarks_68)
    sign = -1 if side == "image_left" else 1
    found = [strap for strap in seen(face) if sign * (strap.path[-1, 0] - SIDE / 2) > 0]
    upper, lower = sorted(found, key=lambda strap: strap.path[-1, 1])
    reach = 25 * 1.3
    if abs(yaw) >= 30:
        assert np.linalg.norm(upper.path[-1] - ear[0]) < reach
        assert np.linalg.norm(lower.path[-1] - ear[1]) < reach
    # Fixed to the cloth, and gone at the ear.
    corners = view_for(face).fastenings
    for strap, end in ((upper, "upper"), (lower, "lower")):
        assert np.linalg.norm(strap.path[0] - corners[f"{side}_{end}"]) < 1
        assert strap.opacity[-1] < 0.2 < strap.opacity[0]


@pytest.mark.parametrize("yaw", [-10, 0, 10])
def test_of_a_face_that_looks_at_the_camera_all_loops_are_seen_up_to_the_ear(yaw):
    face = turned(yaw)
    found = seen(face)
    assert len(found) == 4
    low, high = outline(face)
    for strap in found:
        x, y = strap.path[-1]
        rows = slice(round(float(y)) - 3, round(float(y)) + 4)
        edge = low[rows].min() if x < SIDE / 2 else high[rows].max()
        assert abs(x - edge) < 6 * pixels_per_mm(head_to_image(face.landmarks_68))


@pytest.mark.parametrize("yaw", [-60, -45, 45, 60])
def test_of_a_turned_head_only_the_near_straps_are_seen(yaw):
    found = seen(turned(yaw))
    assert len(found) == 2
    assert all((strap.path[-1, 0] < SIDE / 2) == (yaw > 0) for strap in found)


def test_a_strap_ends_where_hair_begins():
    face = turned(35)
    whole = min(seen(face), key=lambda strap: strap.path[-1, 1])
    limit = int(whole.path[len(whole.path) // 2, 0])
    hair = np.zeros((SIDE, SIDE), bool)
    hair[:, :limit] = True
    # The shading that is measured is that of the skin.
    bare = photograph(face)
    image = bare.image.copy()
    image[hair] = (40, 30, 25)
    view = view_for(face)
    cut = straps.seen(view, view.points, face.landmarks_68, replace(bare, image=image))
    upper = min(cut, key=lambda strap: strap.path[-1, 1])
    assert len(upper.path) < len(whole.path)
    assert upper.path[:, 0].min() > limit - 6


def test_straps_take_nothing_away_from_the_cloth_and_lie_under_it():
    face = turned(20)
    view = view_for(face)
    rgba = np.zeros((90, 120, 4), np.float32)
    rgba[5:-5, 5:-5] = (0.1, 0.2, 0.3, 1)
    cloth = Overlay(rgba, 150, 180)
    result = straps.with_straps(cloth, view, view.points, face.landmarks_68, photograph(face))
    rows, columns = cloth.region
    inner = result.rgba[rows.start - result.top : rows.stop - result.top, columns.start - result.left :][:, :120]
    assert np.array_equal(inner[5:-5, 5:-5], rgba[5:-5, 5:-5])
    assert result.rgba[..., 3].max() <= 1 + 1e-6
    assert result.rgba[..., 3].sum() > rgba[..., 3].sum() + 50
    assert (result.rgba[..., :3] <= result.rgba[..., 3:] + 1e-6).all()


@pytest.mark.parametrize("straps_of_view", [None, Straps(kind="none")])
def test_a_design_without_straps_to_draw_is_left_as_it_is(straps_of_view):
    face = turned(20)
    view = replace(view_for(face), straps=straps_of_view)
    cloth = Overlay(np.ones((4, 4, 4), np.float32), 10, 10)
    assert straps.with_straps(cloth, view, view.points, face.landmarks_68, photograph(face)) is cloth


def test_a_strap_is_as_wide_as_said_however_small_the_face():
    for scale in (0.25, 1.3):
        face = face_at(HeadPose(40, 0, 0), scale, (SIDE / 2, 150))
        view = view_for(face)
        cloth = Overlay(np.full((1, 1, 4), 1e-3, np.float32), 200, 200)
        result = straps.with_straps(cloth, view, view.points, face.landmarks_68, photograph(face))
        drawn = straps.seen(view, view.points, face.landmarks_68, photograph(face))
        length = sum(
            float((np.linalg.norm(np.diff(one.path, axis=0), axis=1) * one.opacity[1:]).sum()) for one in drawn
        )
        wanted = 4.0 * scale
        assert result.rgba[..., 3].sum() / length == pytest.approx(wanted, rel=0.2)


def test_the_head_that_straps_follow_looks_as_the_landmarks_do():
    points = mean_head().points_68 @ rotation_matrix(HeadPose(30, 10, 0)).T
    facing = towards_camera(head_to_image(points[:, :2].astype(np.float32)))
    assert np.allclose(facing, rotation_matrix(HeadPose(30, 10, 0)).T @ [0, 0, 1], atol=1e-3)


def test_the_side_of_the_head_that_ships_is_that_of_the_mean_head():
    ours, measured = ways._skin(), ways.measured_skin()
    for name in ("angles", "heights", "points", "normals"):
        assert np.allclose(getattr(ours, name), getattr(measured, name), atol=1e-3)


def test_straps_need_no_scipy():
    code = "import sys; from maskgen.masking import ways; ways._skin(); print('scipy' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "False"


class Told(straps.Photograph):
    """A photograph of which is known where hair lies: columns of the image."""

    hair = range(0)
    rest = True

    def is_hair(self, points):
        return np.isin(np.round(points[:, 0]).astype(int), self.hair)

    def is_skin(self, points):
        return ~self.is_hair(points) & self.rest


def told(face, hair):
    photo = photograph(face)
    result = Told(photo.image, photo.appearance)
    object.__setattr__(result, "hair", hair)
    return result


def upper(face, photo, hold=None):
    view = view_for(face)
    return min(straps.seen(view, view.points, face.landmarks_68, photo, hold=hold), key=lambda one: one.path[-1, 1])


def test_a_strap_lies_over_sideburns_if_the_ear_is_seen_beyond_and_ends_at_hair_that_covers_it():
    face = turned(40)
    whole = upper(face, photograph(face))
    start, middle, end = (int(whole.path[number, 0]) for number in (0, len(whole.path) // 2, -1))
    over = upper(face, told(face, range(middle - 8, middle)))
    assert len(over.path) == len(whole.path)
    (part,) = over.over_hair
    assert abs(over.path[part, 0].mean() - middle) < 10
    under = upper(face, told(face, range(end - 80, middle)))
    assert len(under.path) < len(whole.path)
    assert not under.over_hair
    assert start > middle > end


def test_a_strap_is_drawn_over_hair_along_its_way_and_nowhere_else():
    hidden = Visible(np.zeros((60, 80), np.uint8), np.float32([[0.5, 0, 0], [0, 0.5, 0]]), WHOLE)
    path = np.float32([[20, 60], [60, 60], [100, 60]])
    shown = opened(hidden, ((path, 4.0),))
    assert shown.values[30, 15:45].min() == 255
    assert shown.values[30, 60:].max() == shown.values[36:].max() == shown.values[:24].max() == 0
    assert not hidden.values.any()
    assert opened(hidden, ()) is hidden


def test_straps_differ_from_face_to_face_and_follow_the_seed():
    face = turned(35)
    first, second, again = (
        upper(face, photograph(face), straps.drawn(np.random.default_rng(seed))) for seed in (1, 2, 1)
    )
    assert np.array_equal(first.path, again.path)
    assert first.width == again.width != second.width
    assert np.abs(first.path[-1] - second.path[-1]).max() > 0.5
    # All leave the cloth at the same place.
    assert np.allclose(first.path[0], second.path[0], atol=1e-3)


@pytest.mark.parametrize("weave", ["nonwoven", "woven"])
def test_straps_are_as_wide_as_on_real_masks(weave):
    face = turned(35)
    view = replace(view_for(face), surface=Surface(weave=weave), straps=Straps(kind="ear", width_mm=3.2))
    holds = [straps.drawn(np.random.default_rng(seed)) for seed in range(40)]
    widths = [straps.seen(view, view.points, face.landmarks_68, photograph(face), 1.0, hold)[0].width for hold in holds]
    in_mm = np.array(widths) / pixels_per_mm(head_to_image(face.landmarks_68))
    assert in_mm.min() > 2.0
    assert in_mm.max() < (4.1 if weave == "nonwoven" else 6.8)
    assert in_mm.std() > 0.3


@pytest.mark.parametrize("weave", ["woven", "smooth"])
def test_a_broad_band_is_not_made_broader_still(weave):
    face = turned(0)
    view = view_for(face)
    view = replace(view, straps=Straps(kind="ear", width_mm=7.0), surface=Surface(weave=weave))
    widest = straps.Hold(1.0, 0.0, 0.0)
    found = straps.seen(view, view.points, face.landmarks_68, photograph(face), hold=widest)
    assert max(one.width for one in found) / pixels_per_mm(head_to_image(face.landmarks_68)) < 9


def test_straps_pull_at_the_corners_of_a_mask_towards_the_ears():
    face = turned(0)
    view = view_for(face)
    corners = straps.pulling(view, (1.0, 0.5, 1.0, 0.0))
    assert len(corners) == 3
    for corner in corners:
        # Outwards; upper corners up, lower ones too, as the ear lies higher.
        assert np.sign(corner.towards[0]) == np.sign(corner.across)
        assert corner.towards[1] < 0
        assert np.hypot(*corner.towards) <= PULL_MM + 1e-6
    assert straps.pulling(replace(view, straps=Straps(kind="none")), (1.0, 1.0, 1.0, 1.0)) == ()
