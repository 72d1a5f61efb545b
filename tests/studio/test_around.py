"""The sides of a mask that photographs do not show, rendered from those that they do."""

from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from maskgen.catalog.edit import NewDesign, add, contents
from maskgen.catalog.store import Catalog
from maskgen.face import HeadPose
from maskgen.face.head import point_in_space
from maskgen.face.pose import rotation_matrix
from maskgen.studio.control import BOX, project
from maskgen.studio.photo import around
from maskgen.studio.photo.around import Seen

NAMES = (*BOX, "30", "8", "27", "2", "14", "4", "12", "6", "10", "front_mouth", "under_chin")
BLUE, RED, GREEN = (0.4, 0.6, 0.8), (0.8, 0.15, 0.1), (0.1, 0.6, 0.2)


def photograph(yaw=0.0, pitch=0.0, colours=(BLUE, BLUE)):
    """A mask as a photograph would show it: one colour at image left of the nose, another at image right."""
    turn = rotation_matrix(HeadPose(yaw, pitch, 0.0))
    mm, shift = 1.0, np.array([120.0, 90.0])
    places = project(NAMES, turn, mm) + shift
    outline = np.stack([point_in_space(name) for name in ("28", "2", "3", "4", "6", "8", "10", "12", "13", "14")])
    hull = cv2.convexHull(((outline @ turn.T)[:, :2] * mm + shift).astype(np.float32))
    alpha = np.zeros((260, 260), np.float32)
    cv2.fillConvexPoly(alpha, np.round(hull).astype(np.int32), 1.0)
    nose = project(("30",), turn, mm)[0, 0] + shift[0]
    left = np.arange(260)[None, :, None] < nose
    rgb = np.broadcast_to(np.where(left, np.array(colours[0]), np.array(colours[1])), (260, 260, 3))
    rgba = np.concatenate([rgb, alpha[..., None]], axis=-1).astype(np.float32)
    points = {name: (float(x), float(y)) for name, (x, y) in zip(NAMES, places, strict=True)}
    return Seen(rgba, points, HeadPose(yaw, pitch, 0.0), mm)


@cache
def from_one():
    return tuple(around.rendered_views([photograph()], has_loops=True))


def rgba_of(view):
    return cv2.cvtColor(cv2.imdecode(np.frombuffer(view.png, np.uint8), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)


def middle_of(view):
    rgba = rgba_of(view)
    return np.median(rgba[rgba[..., 3] > 250][:, :3], axis=0) / 255


def test_one_photograph_serves_every_rotation_of_the_head(tmp_path):
    add(tmp_path, [NewDesign("scarf", "cloth", "CC0-1.0", from_one())])
    (design,) = Catalog.load(tmp_path).designs
    for yaw in range(-90, 91, 10):
        for pitch in range(-40, 41, 10):
            assert design.views_for(yaw, pitch), (yaw, pitch)


def test_rendered_views_are_marked_and_photographs_are_not(tmp_path):
    view = from_one()[0]
    add(tmp_path, [NewDesign("scarf", "cloth", "CC0-1.0", (*from_one(), replace(view, rendered=False)))])
    marks = [entry.rendered for entry in contents(tmp_path).masks[0].views]
    assert marks == [True] * 15 + [None]
    # The catalog says nothing of it where there is nothing to say.
    assert b'"rendered":null' not in (tmp_path / "catalog.json").read_bytes()


def test_the_cloth_keeps_its_colours_on_every_side():
    for view in from_one():
        assert np.abs(middle_of(view) - BLUE).max() < 0.14, view.rotation


def test_the_cloth_covers_nose_and_chin_on_every_side():
    for view in from_one():
        alpha = rgba_of(view)[..., 3]
        for name in ("30", "8"):
            if name in view.points and abs(sum(view.rotation.yaw)) < 100:
                x, y = (round(value) for value in view.points[name])
                y = min(y - 4, alpha.shape[0] - 1) if name == "8" else y
                assert alpha[y, np.clip(x, 0, alpha.shape[1] - 1)] > 128, (view.rotation, name)


def test_ear_loops_are_fastened_to_the_sides_that_are_seen():
    frontal = next(view for view in from_one() if view.rotation.holds(0, 0))
    assert len(frontal.fastenings) == 4
    (left, upper), (right, _) = (frontal.fastenings[f"image_{side}_upper"] for side in ("left", "right"))
    assert left < right
    assert frontal.fastenings["image_left_lower"][1] > upper
    assert all(not view.fastenings for view in around.rendered_views([photograph()], has_loops=False)[:1])


def test_each_view_comes_from_the_photograph_nearest_in_rotation():
    seen = [photograph(0, 0, (BLUE, BLUE)), photograph(40, 0, (RED, RED)), photograph(-40, 0, (GREEN, GREEN))]
    # As taken, without being made alike, so that each tells which photograph it is.
    laid = [around._laid(one) for one in seen]
    for yaw, colour in ((0.0, BLUE), (50.0, RED), (-50.0, GREEN)):
        colours, alpha = around._joined(laid, HeadPose(yaw, 0.0, 0.0))
        assert np.abs(np.median(colours[alpha > 0.9], axis=0) - colour).max() < 0.2, yaw


def test_several_photographs_give_views_of_both_sides():
    rotations = [view.rotation for view in around.rendered_views([photograph(0), photograph(35)], has_loops=False)]
    assert len(rotations) == 27
    assert {rotation.mirrored() for rotation in rotations} == set(rotations) or all(
        rotation.mirrored() in rotations for rotation in rotations
    )


def test_a_side_far_from_all_photographs_has_the_colours_of_the_cloth():
    views = around.rendered_views([photograph(-2), photograph(25, 10)], has_loops=False)
    for view in views:
        assert np.abs(middle_of(view) - BLUE).max() < 0.14, view.rotation


def test_what_one_side_hides_is_taken_from_the_other():
    # Seen from image left... of the far side nothing is seen: it takes after the near one.
    turned = photograph(45.0, 0.0, (RED, RED))
    colours, alpha = around._joined([around._laid(turned)], None)
    for half in (np.s_[:, : alpha.shape[1] // 2], np.s_[:, alpha.shape[1] // 2 :]):
        assert (alpha[half] > 0.9).sum() > 2000
        assert np.abs(np.median(colours[half][alpha[half] > 0.9], axis=0) - RED).max() < 0.1


def test_photographs_of_one_mask_are_made_alike():
    bright, dark = photograph(colours=(BLUE, BLUE)), photograph(colours=(tuple(0.7 * np.array(BLUE)),) * 2)
    alike = around._alike([bright, dark])
    assert alike[1].rgba[..., :3] == pytest.approx(alike[0].rgba[..., :3], abs=0.01)
