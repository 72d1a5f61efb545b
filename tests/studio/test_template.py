"""One flat picture of a mask to views from all sides."""

from functools import cache

import cv2
import numpy as np
import pytest

from maskgen.catalog.schema import Rotation
from maskgen.errors import CatalogError
from maskgen.face import HeadPose
from maskgen.face.head import point_in_space
from maskgen.face.pose import rotation_matrix
from maskgen.studio.cutout import template
from maskgen.studio.render.draw import Rendering, draw
from maskgen.studio.render.model import Quality, build
from maskgen.studio.render.shapes import CLOTH_SHAPE
from maskgen.studio.render.sheet import net, sheet

COARSE = Quality(pixels_per_mm=1.0, spacing_mm=1.2, samples=2)
LEFT, TOP, RIGHT, BOTTOM = 110, 120, 650, 380
MARKS = {"red": (0.25, 0.30), "green": (0.70, 0.35), "magenta": (0.40, 0.72)}
COLOURS = {"red": (210, 30, 30), "green": (20, 120, 20), "magenta": (200, 30, 200)}


def flat_mask(background=(245, 245, 245), marks=MARKS) -> np.ndarray:
    """A surgical mask lying flat: cloth with pleats and round marks, ear loops at its sides."""
    image = np.full((500, 760, 3), background, np.uint8)
    for x in (LEFT, RIGHT):
        cv2.ellipse(image, (x, 250), (70, 110), 0, 0, 360, (200, 200, 205), 6)
    image[TOP:BOTTOM, LEFT:RIGHT] = (150, 196, 224)
    for y in (180, 245, 310):
        image[y : y + 5, LEFT:RIGHT] = (100, 140, 180)
    for name, (u, v) in marks.items():
        centre = round(LEFT + u * (RIGHT - LEFT)), round(TOP + v * (BOTTOM - TOP))
        cv2.circle(image, centre, 17, COLOURS[name], -1)
    return image


def cut_out(image: np.ndarray) -> np.ndarray:
    alpha = (np.abs(image.astype(int) - 245).sum(axis=-1) > 12).astype(np.uint8) * 255
    return np.dstack([image, alpha])


def mark_at(image: np.ndarray, name: str) -> np.ndarray:
    """The middle of a mark in an RGB(A) picture, (x, y)."""
    rgb = image[..., :3].astype(float)
    chroma = rgb - rgb.mean(axis=-1, keepdims=True)
    wanted = np.array(COLOURS[name], float)
    wanted -= wanted.mean()
    cosine = (chroma @ wanted) / (np.linalg.norm(chroma, axis=-1) * np.linalg.norm(wanted) + 1e-6)
    found = (cosine > 0.93) & (np.linalg.norm(chroma, axis=-1) > 40)
    if image.shape[2] == 4:
        found &= image[..., 3] > 200
    assert found.sum() > 5, name
    return np.argwhere(found)[:, ::-1].mean(axis=0)


@cache
def lifted():
    spec, picture = template.design_from_cutout(cut_out(flat_mask()), "surgical")
    return spec, build(spec, COARSE, picture)


def seen(yaw: float) -> Rendering:
    return draw(lifted()[1], yaw, 0.0, Rotation(yaw=(yaw - 5, yaw + 5), pitch=(-10, 10)), COARSE)


class TestUnrolled:
    @pytest.mark.parametrize("tilt", [0, 13, -25])
    @pytest.mark.parametrize("background", [(245, 245, 245), (60, 90, 60)])
    def test_marks_keep_their_place_on_the_mask(self, tilt, background):
        matrix = cv2.getRotationMatrix2D((380, 250), tilt, 0.75)
        image = cv2.warpAffine(flat_mask(background), matrix, (760, 500), borderValue=background)
        flat = template.unrolled(image)
        assert flat.is_rectangle
        height, width = flat.picture.shape[:2]
        for name, (u, v) in MARKS.items():
            x, y = mark_at((flat.picture * 255).astype(np.uint8), name)
            assert (x / width, y / height) == pytest.approx((u, v), abs=0.03)

    def test_alpha_and_plain_background_agree(self):
        both = [template.unrolled(image).picture for image in (flat_mask(), cut_out(flat_mask()))]
        assert np.abs(both[0] - both[1]).mean() < 0.01

    def test_ear_loops_and_background_are_left_out(self):
        picture = template.unrolled(flat_mask()).picture
        blue = picture[..., 2] - picture[..., 0]
        edge = np.concatenate([blue[0], blue[-1], blue[:, 0], blue[:, -1]])
        assert np.median(edge) > 0.2
        assert np.percentile(edge, 5) > 0.1

    def test_same_picture_gives_the_same_views(self):
        both = [template.unrolled(flat_mask()).picture for _ in range(2)]
        assert np.array_equal(*both)

    def test_a_shield_is_cut_at_the_corners_of_its_kind(self):
        seen_from_front = net(CLOTH_SHAPE).reshape(-1, 3)[:, :2]
        hull = cv2.convexHull(((seen_from_front - seen_from_front.min(axis=0)) * 2 + 40).astype(np.float32))
        image = np.zeros((420, 420, 4), np.uint8)
        cv2.fillConvexPoly(image, hull.round().astype(np.int32), (200, 60, 60, 255))
        rows = np.flatnonzero(image[..., 3].any(axis=1))
        image[rows[0] : rows[0] + 60, :, :3] = (60, 60, 200)
        flat = template.unrolled(image, CLOTH_SHAPE)
        assert not flat.is_rectangle
        # What is above stays above.
        assert (flat.picture[:40, 200:300, 2] > 0.6).all()
        assert (flat.picture[-80:, 200:300, 0] > 0.6).all()


class TestViews:
    @pytest.mark.parametrize("yaw", [0.0, 45.0])
    def test_marks_land_where_the_cloth_has_them(self, yaw):
        spec, _ = lifted()
        cloth = sheet(spec.shape, COARSE.spacing_mm).points
        turn = rotation_matrix(HeadPose(yaw=yaw, pitch=0.0, roll=0.0))
        picture = seen(yaw)
        nose = (turn @ point_in_space("30"))[:2]
        for name, (u, v) in MARKS.items():
            if yaw and u > 0.5:
                continue  # on the side that is turned away
            place = cloth[round(v * (cloth.shape[0] - 1)), round(u * (cloth.shape[1] - 1))]
            expected = ((turn @ place)[:2] - nose) * COARSE.pixels_per_mm + picture.points["30"]
            assert mark_at(picture.rgba, name) == pytest.approx(expected, abs=4)

    def test_all_sides_are_rendered_and_nothing_is_read_backwards(self, monkeypatch):
        rough = Quality(pixels_per_mm=0.5, spacing_mm=2.5, samples=1)
        monkeypatch.setattr(template, "PITCHES", template.PITCHES[1:2])
        views = template.views_from_cutout(cut_out(flat_mask()), "surgical", rough)
        for yaw in range(-90, 91, 5):
            assert any(view.rotation.holds(yaw, 0) for view in views), yaw
        by_yaw = {view.rotation.yaw: view for view in views}
        for side, name in ((1, "red"), (-1, "green")):
            yaw = (30.0, 50.0) if side > 0 else (-50.0, -30.0)
            rgba = cv2.cvtColor(
                cv2.imdecode(np.frombuffer(by_yaw[yaw].png, np.uint8), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA
            )
            assert mark_at(rgba, name) is not None

    def test_straps_of_the_kind_are_rendered(self):
        assert template.design_from_cutout(cut_out(flat_mask()), "duckbill")[0].straps.style == "head"
        assert template.design_from_cutout(cut_out(flat_mask()), "gaiter")[0].straps.style == "none"


def two_masks():
    image = flat_mask()
    both = np.full((1000, 760, 3), 245, np.uint8)
    both[:500], both[500:] = image, image
    return both


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (two_masks(), "pieces"),
        (cut_out(flat_mask())[:, :, :4] * np.array([1, 1, 1, 0], np.uint8), "transparent everywhere"),
        (cv2.resize(cut_out(flat_mask()), (60, 40), interpolation=cv2.INTER_NEAREST), "pixels"),
        (flat_mask()[TOP:BOTTOM, LEFT:RIGHT], "fills the frame|stands out|thin lines|pieces|too wide"),
        (np.full((300, 300, 3), 200, np.uint8), "nothing stands out"),
        (
            np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8),
            "stands out|pieces|thin lines|not symmetric",
        ),
        (cut_out(cv2.resize(flat_mask(), (1500, 300), interpolation=cv2.INTER_NEAREST)), "too wide"),
    ],
    ids=["two", "clear", "small", "frame", "nothing", "noise", "wide"],
)
def test_what_cannot_be_a_mask_is_refused(image, message):
    with pytest.raises(CatalogError, match=message):
        template.views_from_cutout(image)


def test_a_mask_folded_in_half_is_refused():
    image = np.zeros((400, 400, 4), np.uint8)
    half = np.array([[60, 120], [60, 200], [160, 340], [240, 340], [350, 90], [200, 70]], np.int32)
    cv2.fillPoly(image, [half], (230, 230, 230, 255))
    with pytest.raises(CatalogError, match=r"folded|ragged"):
        template.views_from_cutout(image, "kn95")
