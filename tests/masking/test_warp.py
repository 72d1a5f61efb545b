"""Texture and control points to an overlay."""

import cv2
import numpy as np
import pytest
from catalogs import small_catalog
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay
from strategies import face_at

from maskgen.catalog.store import Catalog
from maskgen.face import HeadPose
from maskgen.face.head import points_on_face
from maskgen.masking import warp as warping
from maskgen.masking.augment import worn
from maskgen.masking.warp import fitting_scale, warp

SQUARE = np.float32([[0, 0], [63, 0], [63, 63], [0, 63], [31, 20], [20, 40], [45, 42]])


def dotted(points, size=64):
    """A texture with a bright dot of radius 2 at each point."""
    rows, columns = np.mgrid[:size, :size]
    texture = np.zeros((size, size, 4), np.float32)
    texture[..., 3] = 1
    for index, (x, y) in enumerate(points):
        distance = np.hypot(columns - x, rows - y)
        texture[..., index % 3] = np.maximum(texture[..., index % 3], np.clip(3 - distance, 0, 1))
    return texture


def triangles_of(points):
    return Delaunay(points).simplices.astype(np.int32)


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-6, 6), st.floats(-6, 6)), min_size=7, max_size=7),
    st.floats(0.8, 3),
    st.tuples(st.floats(10, 60), st.floats(10, 60)),
    st.floats(-180, 180),
)
def test_control_points_land_where_asked(jitter, scale, shift, degrees):
    a = np.radians(degrees)
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    target = (((SQUARE + np.float32(jitter)) - 32) @ turn.T * scale + 150 + np.float32(shift)).astype(np.float32)
    overlay = warp(dotted(SQUARE[4:]), SQUARE, target, triangles_of(SQUARE), (400, 400))
    for index, (x, y) in enumerate(target[4:]):
        column, row = round(float(x)) - overlay.left, round(float(y)) - overlay.top
        assert overlay.rgba[row, column, index % 3] > 0.5


def test_unmoved_points_give_the_texture_back():
    texture = np.random.default_rng(0).random((64, 64, 4), np.float32)
    overlay = warp(texture, SQUARE, SQUARE, triangles_of(SQUARE), (64, 64))
    assert overlay.rgba == pytest.approx(texture, abs=1e-2)


def test_no_holes_between_triangles():
    texture = np.ones((64, 64, 4), np.float32)
    target = (SQUARE * 3.7 + 11.3).astype(np.float32)
    overlay = warp(texture, SQUARE, target, triangles_of(SQUARE), (400, 400))
    assert overlay.rgba[3:-3, 3:-3, 3].min() > 0.999


def test_a_triangle_that_turns_over_is_not_drawn():
    texture = np.ones((64, 64, 4), np.float32)
    mirrored = (SQUARE * [-1, 1] + [100, 20]).astype(np.float32)
    assert not warp(texture, SQUARE, mirrored, triangles_of(SQUARE), (200, 200)).rgba.any()


@given(st.floats(-120, 220), st.floats(-120, 220))
def test_an_overlay_lies_inside_the_image(x, y):
    texture = np.ones((64, 64, 4), np.float32)
    overlay = warp(texture, SQUARE, SQUARE + np.float32([x, y]), triangles_of(SQUARE), (100, 90))
    height, width = overlay.rgba.shape[:2]
    assert 0 <= overlay.left <= overlay.left + width <= 100
    assert 0 <= overlay.top <= overlay.top + height <= 90


def test_clear_pixels_bring_no_colour():
    texture = np.zeros((64, 64, 4), np.float32)
    texture[20:40, 20:40] = (0.5, 0, 0, 1)
    overlay = warp(texture, SQUARE, (SQUARE * 1.37 + 5).astype(np.float32), triangles_of(SQUARE), (200, 200))
    assert (overlay.rgba[..., 0] <= 0.5 * overlay.rgba[..., 3] + 1e-6).all()


def test_a_small_face_gets_a_small_texture_whose_detail_is_averaged(tmp_path):
    small_catalog(tmp_path, {"red": 1})
    picture = cv2.imread(str(tmp_path / "red_0.png"), cv2.IMREAD_UNCHANGED)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]]
    picture[..., :3] = np.where((rows + columns) % 2, 255, 0)[..., None]
    cv2.imwrite(str(tmp_path / "red_0.png"), picture)
    view = Catalog.load(tmp_path).designs[0].views[0]
    face = face_at(HeadPose(0, 0, 0), 0.13, (40, 30))
    rgba = worn(view, face, (80, 80)).rgba
    inside = rgba[..., 3] > 0.99
    assert inside.sum() > 30
    assert np.abs(rgba[inside][:, :3] - 0.5).max() < 0.12


@pytest.mark.parametrize("pixels_per_mm", [4.0, 1.0, 0.6, 0.3, 0.1])
def test_a_texture_has_about_a_pixel_for_every_pixel_of_the_face_so_that_its_edges_are_not_jagged(
    tmp_path, pixels_per_mm
):
    view = Catalog.load(small_catalog(tmp_path, {"red": 1})).designs[0].views[0]
    on_face = points_on_face(view.names, face_at(HeadPose(0, 0, 0), pixels_per_mm, (400, 300)).landmarks_68)
    texture = view.textures[fitting_scale(view, on_face)]
    points = view.points * (texture.shape[1] / view.textures.shapes[0][1])
    per_pixel = np.ptp(points, axis=0).max() / np.ptp(on_face, axis=0).max()
    assert per_pixel < 1.75 or min(texture.shape[:2]) < 50
    assert per_pixel > 0.8 or texture.shape == view.textures[0].shape


def plain_warp(view, on_face, size_wh):
    """(H, W, 4): one affine warp of the full texture per triangle."""
    texture, points = view.textures[0], view.points
    result = np.zeros((size_wh[1], size_wh[0], 4), np.float32)
    for triangle in view.triangles:
        matrix = cv2.getAffineTransform(points[triangle], on_face[triangle])
        if np.linalg.det(matrix[:, :2]) <= 0:
            continue
        drawn = cv2.warpAffine(texture, matrix, size_wh, flags=cv2.INTER_LINEAR)
        inside = np.zeros((size_wh[1], size_wh[0]), np.uint8)
        cv2.fillConvexPoly(inside, np.round(on_face[triangle] * 16).astype(np.int32), 1, cv2.LINE_8, 4)
        result[inside > 0] = drawn[inside > 0]
    return result


@pytest.mark.parametrize("yaw", [0, 25, -45])
def test_all_triangles_at_once_draw_what_one_after_the_other_draws(yaw):
    catalog = Catalog.load()
    face = face_at(HeadPose(yaw, 5, 3), 2.2, (220, 170))
    for design in catalog.designs[:3]:
        view = design.views_for(yaw, 5)[0]
        on_face = points_on_face(view.names, face.landmarks_68)
        overlay = worn(view, face, (450, 480))
        plain = plain_warp(view, on_face, (450, 480))
        whole = np.zeros_like(plain)
        whole[overlay.region] = overlay.rgba
        assert np.abs(whole - plain).mean() < 1e-3
        assert whole[..., 3].max() == pytest.approx(1, abs=1e-5)


def test_nothing_of_a_mask_lies_outside_what_is_drawn():
    for yaw in (0, 30, 60):
        face = face_at(HeadPose(yaw, 0, 0), 1.4, (200, 150))
        for design in Catalog.load().designs[::9]:
            view = design.views_for(yaw, 0)[0]
            plain = plain_warp(view, points_on_face(view.names, face.landmarks_68), (400, 400))
            outside = np.ones((400, 400), bool)
            outside[worn(view, face, (400, 400)).region] = False
            assert plain[outside][:, 3].max(initial=0) < 0.02


@pytest.mark.parametrize("step", [1.5, 2.0, 3.0])
def test_a_mask_that_is_drawn_smaller_lies_where_it_lies_at_full_size(step):
    view = Catalog.load().designs[0].views_for(0, 0)[0]
    face = face_at(HeadPose(5, 0, 0), 4.0, (500, 400))
    whole, small = worn(view, face, (1000, 1100)), worn(view, face, (1000, 1100), step=step)
    assert small.step == step
    centres = []
    for overlay in (whole, small):
        rows, columns = np.mgrid[overlay.region].astype(float)
        weight = overlay.rgba[..., 3] / overlay.rgba[..., 3].sum()
        centre = np.float32([[(columns * weight).sum(), (rows * weight).sum()]])
        centres.append(warping.unshrunk(centre, overlay.step))
    assert np.abs(centres[0] - centres[1]).max() < 0.3
    assert small.rgba[..., 3].sum() * step**2 == pytest.approx(whole.rgba[..., 3].sum(), rel=0.01)


@given(st.floats(1, 8), st.floats(-500, 500), st.floats(-500, 500))
def test_what_is_shrunk_can_be_enlarged_again(step, x, y):
    points = np.float32([[x, y]])
    assert np.allclose(warping.unshrunk(warping.shrunk(points, step), step), points, atol=1e-2)
