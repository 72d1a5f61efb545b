"""The masks that we render, and the catalog that ships."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial import Delaunay

from maskgen.catalog import Catalog, Rotation, View, indexed, raster, render
from maskgen.catalog.control import project, squeezes
from maskgen.catalog.designs import DESIGNS, SURGICAL_SHAPE, DesignSpec
from maskgen.catalog.render import PITCHES, YAWS, Model, Picture, Quality, build, draw, render_catalog
from maskgen.catalog.sheet import Mesh, head_solid, net
from maskgen.face import HeadPose
from maskgen.head import mean_head, point_in_space
from maskgen.pose import rotation_matrix

COARSE = Quality(pixels_per_mm=0.8, spacing_mm=1.6, samples=2)
SURGICAL, KN95, BLACK, CLOTH = (
    next(spec for spec in DESIGNS if spec.name == name)
    for name in ("surgical-blue", "kn95-white", "surgical-black", "cloth-grey")
)
SHIPPED_BYTES = 6_000_000


@cache
def coarse(spec: DesignSpec) -> Model:
    return build(spec, COARSE)


@cache
def view(spec: DesignSpec, yaw: float, pitch: float = 0.0) -> Picture:
    return draw(coarse(spec), yaw, pitch, interval(yaw, pitch), COARSE)


def interval(yaw: float, pitch: float) -> Rotation:
    return Rotation(yaw=dict(YAWS)[yaw], pitch=dict(PITCHES)[pitch])


def turn_of(yaw: float, pitch: float) -> np.ndarray:
    return rotation_matrix(HeadPose(yaw=yaw, pitch=pitch, roll=0.0))


def points_of(picture: Picture) -> np.ndarray:
    return np.array(list(picture.points.values()))


class TestHead:
    def test_skin_passes_through_the_mean_head(self):
        distance, _ = head_solid().distance(mean_head().vertices.astype(float))
        assert np.abs(distance).mean() < 0.3

    def test_is_symmetric(self):
        assert np.allclose(head_solid().radius, head_solid().radius[:, ::-1])

    def test_is_closed_behind(self):
        assert np.allclose(head_solid().radius[:, 0], head_solid().radius[:, -1])


class TestSheet:
    @pytest.mark.parametrize("spec", [SURGICAL, KN95, CLOTH], ids=lambda spec: spec.name)
    def test_cloth_stays_outside_the_head(self, spec: DesignSpec):
        distance, _ = head_solid().distance(net(spec.shape))
        assert distance.min() > 0

    @pytest.mark.parametrize("spec", [SURGICAL, KN95, CLOTH], ids=lambda spec: spec.name)
    def test_covers_nose_mouth_and_chin(self, spec: DesignSpec):
        frontal = Delaunay(net(spec.shape).reshape(-1, 3)[:, :2])
        assert (frontal.find_simplex(mean_head().points_68[[30, 31, 35, 48, 54, 57, 8], :2]) >= 0).all()

    def test_spans_the_hollow_between_nose_and_lips(self):
        middle = net(SURGICAL_SHAPE)[:, 32]
        depth = np.interp(45, middle[:, 1], middle[:, 2])
        assert depth > point_in_space("33")[2] + 8

    def test_stiff_fold_stands_off_the_mouth(self):
        middle = net(KN95.shape)[:, 32]
        assert 20 < np.interp(62, middle[:, 1], middle[:, 2]) - point_in_space("51")[2] < 40


class TestRaster:
    def test_nearer_triangle_hides_the_farther(self):
        square = np.array([[0, 0], [9, 0], [0, 9], [9, 9]], float)
        vertices = np.concatenate([np.c_[square, np.full(4, z)] for z in (1.0, 2.0)])
        triangles = np.array([[0, 1, 2], [3, 2, 1], [4, 5, 6], [7, 6, 5]])
        for order in (triangles, triangles[::-1]):
            fragments = raster.rasterise(vertices, order, (10, 10))
            assert (fragments.depth == 2).all()

    def test_neighbours_leave_no_gap(self):
        rng = np.random.default_rng(0)
        points = np.concatenate([[[-1, -1], [60, -1], [-1, 60], [60, 60]], rng.uniform(0, 59, (200, 2))])
        vertices = np.c_[points, np.zeros(len(points))]
        fragments = raster.rasterise(vertices, Delaunay(points).simplices.astype(np.int64), (60, 60))
        assert (fragments.triangle >= 0).all()

    def test_values_are_linear_across_a_triangle(self):
        vertices = np.array([[0, 0, 0], [20, 0, 0], [0, 20, 0]], float)
        triangles = np.array([[0, 1, 2]])
        fragments = raster.rasterise(vertices, triangles, (20, 20))
        x = raster.interpolate(fragments, triangles, vertices[:, :1])[..., 0]
        inside = fragments.triangle >= 0
        assert np.allclose(x[inside], np.broadcast_to(np.arange(20), (20, 20))[inside], atol=1e-4)

    def test_average_keeps_the_mean(self):
        samples = np.random.default_rng(0).random((12, 18, 4), np.float32)
        assert np.allclose(raster.average(samples, 3).mean(axis=(0, 1)), samples.mean(axis=(0, 1)), atol=1e-6)


class TestIndexedPng:
    def test_reads_back_as_rgba(self):
        rgba = view(SURGICAL, 30.0).rgba
        read = cv2.imdecode(np.frombuffer(indexed.encode(rgba), np.uint8), cv2.IMREAD_UNCHANGED)
        assert read.shape == rgba.shape
        error = np.abs(read[..., [2, 1, 0, 3]].astype(int) - rgba)[rgba[..., 3] == 255]
        assert error.mean() < 2

    def test_opaque_stays_opaque_and_clear_stays_clear(self):
        rgba = view(SURGICAL, 30.0).rgba
        alpha = cv2.imdecode(np.frombuffer(indexed.encode(rgba), np.uint8), cv2.IMREAD_UNCHANGED)[..., 3]
        assert ((alpha == 255) == (rgba[..., 3] == 255)).all()
        assert ((alpha == 0) == (rgba[..., 3] == 0)).all()

    def test_clear_pixels_take_the_colour_of_the_edge(self):
        rgba = np.zeros((4, 4, 4), np.uint8)
        rgba[1, 1], rgba[1, 2] = (200, 100, 50, 255), (200, 100, 50, 128)
        read = cv2.imdecode(np.frombuffer(indexed.encode(rgba), np.uint8), cv2.IMREAD_UNCHANGED)
        assert read[0, 0].tolist() == [50, 100, 200, 0]


class TestView:
    @pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (30.0, -20.0), (75.0, 20.0)])
    def test_control_points_are_the_projection_of_the_head(self, yaw: float, pitch: float):
        picture = view(SURGICAL, yaw, pitch)
        projected = project(tuple(picture.points), turn_of(yaw, pitch), COARSE.pixels_per_mm)
        shift = points_of(picture) - projected
        assert np.allclose(shift, shift[0], atol=2e-3)

    @pytest.mark.parametrize("spec", [SURGICAL, KN95, CLOTH], ids=lambda spec: spec.name)
    def test_opaque_pixels_lie_inside_the_hull_of_the_control_points(self, spec: DesignSpec):
        for yaw in dict(YAWS):
            picture = view(spec, yaw)
            opaque = np.argwhere(picture.rgba[..., 3] > 0)[:, ::-1]
            assert (Delaunay(points_of(picture)).find_simplex(opaque) >= 0).all()

    @pytest.mark.parametrize("yaw", list(dict(YAWS)))
    def test_no_triangle_under_the_mask_turns_over_within_the_interval(self, yaw: float):
        picture = view(SURGICAL, yaw)
        opaque = np.argwhere(picture.rgba[..., 3] > 127)[:, ::-1].astype(float)
        low, high = dict(YAWS)[yaw]
        for other in (low, high):
            for pitch in (-10.0, 10.0):
                there = project(tuple(picture.points), turn_of(other, pitch), COARSE.pixels_per_mm)
                smallest, _ = squeezes(points_of(picture), there[None], opaque, speck=3)
                assert smallest.min() > 0

    def test_frontal_view_of_a_symmetric_design_is_symmetric(self):
        rgba = view(SURGICAL, 0.0).rgba.astype(float)
        # The origin of the head falls between pixels where it will: mirror about the nose.
        centre = view(SURGICAL, 0.0).points["30"][0]
        matrix = np.array([[-1, 0, 2 * centre], [0, 1, 0]])
        mirrored = cv2.warpAffine(rgba, matrix, rgba.shape[1::-1])
        both = (rgba[..., 3] > 250) & (mirrored[..., 3] > 250)
        assert np.abs(rgba[..., 3] - mirrored[..., 3]).mean() < 3
        blurred, blurred_mirror = (cv2.GaussianBlur(picture[..., :3], (0, 0), 3) for picture in (rgba, mirrored))
        assert np.abs(blurred - blurred_mirror)[both].mean() < 6

    def test_positive_yaw_shows_the_side_at_image_left(self):
        picture = view(SURGICAL, 45.0)
        assert "ear_image_left_upper" in picture.points
        assert "ear_image_right_upper" not in picture.points

    def test_hidden_side_is_not_drawn(self, monkeypatch: pytest.MonkeyPatch):
        turn = turn_of(75.0, 0.0)
        corner = net(SURGICAL.shape)[0, -1]
        halfway_up_the_far_loop = turn @ ((corner + point_in_space("ear_image_right_upper")) / 2)

        def around_the_far_loop(shown: Picture) -> np.ndarray:
            nose = (turn @ point_in_space("30"))[:2]
            place = (halfway_up_the_far_loop[:2] - nose) * COARSE.pixels_per_mm + shown.points["30"]
            column, row = place.round().astype(int)
            return shown.rgba[row - 3 : row + 4, column - 3 : column + 4, 3]

        assert not around_the_far_loop(view(SURGICAL, 75.0)).any()
        nothing = Mesh(np.full((3, 3), -500.0), np.array([[0, 1, 2]]))
        monkeypatch.setattr(render, "occluder", lambda: nothing)
        without_the_head = draw(coarse(SURGICAL), 75.0, 0.0, interval(75.0, 0.0), COARSE)
        assert around_the_far_loop(without_the_head).any()

    def test_cloth_is_never_pure_white_or_black(self):
        for spec in (KN95, BLACK):
            for yaw in (0.0, 45.0):
                rgba = view(spec, yaw).rgba
                solid = rgba[rgba[..., 3] == 255][:, :3]
                assert solid.max() < 250
                assert solid.min() > 5

    def test_black_is_dark_and_opaque(self):
        rgba = view(BLACK, 0.0).rgba
        solid = rgba[rgba[..., 3] == 255][:, :3]
        assert solid.mean() < 50
        assert len(solid) > 0.5 * rgba[..., 3].size

    def test_another_seed_folds_otherwise(self):
        other = draw(coarse(replace(SURGICAL, seed=99)), 0.0, 0.0, interval(0.0, 0.0), COARSE)
        size = np.minimum(other.rgba.shape, view(SURGICAL, 0.0).rgba.shape)
        crops = [picture.rgba[: size[0], : size[1]].astype(int) for picture in (other, view(SURGICAL, 0.0))]
        assert np.abs(crops[0] - crops[1]).max() > 10


def test_same_seed_gives_the_same_bytes(tmp_path: Path):
    rough = Quality(pixels_per_mm=0.4, spacing_mm=3.0, samples=1)
    files = []
    for folder in ("first", "second"):
        render_catalog([CLOTH], tmp_path / folder, rough)
        paths = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        files.append({path.relative_to(tmp_path / folder): path.read_bytes() for path in paths})
    assert files[0] == files[1]
    assert len(files[0]) == len(YAWS) * len(PITCHES) + 1


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


class TestShippedCatalog:
    def test_has_the_designs_that_we_render(self, catalog: Catalog):
        assert [design.entry.name for design in catalog.designs] == [spec.name for spec in DESIGNS]

    def test_every_design_covers_every_pose(self, catalog: Catalog):
        for design in catalog.designs:
            for yaw in range(-80, 81, 5):
                for pitch in range(-30, 31, 5):
                    assert design.views_for(yaw, pitch), (design.entry.name, yaw, pitch)

    def test_intervals_tile_without_gap_or_overlap(self, catalog: Catalog):
        for design in catalog.designs:
            for pitch in (-25.0, 0.0, 25.0):
                # Frontal once, every other both ways.
                views = [v for v in design.views if v.rotation.pitch[0] < pitch < v.rotation.pitch[1]]
                yaws = sorted(v.rotation.yaw for v in views)
                assert yaws[0][0] <= -85
                assert yaws[-1][1] >= 85
                assert [high for _, high in yaws[:-1]] == [low for low, _ in yaws[1:]]

    def test_interval_holds_the_rotation_that_was_rendered(self, catalog: Catalog):
        for design in catalog.designs:
            for shown in design.views:
                yaw, pitch = rendered_rotation(shown)
                assert shown.rotation.holds(yaw, pitch), shown.key

    def test_hashes_match_the_pictures(self, catalog: Catalog):
        for design in catalog.designs:
            for entry in design.entry.views:
                assert hashlib.sha256((catalog.root / entry.file).read_bytes()).hexdigest() == entry.sha256

    def test_holds_no_picture_that_it_does_not_name(self, catalog: Catalog):
        named = {entry.file for design in catalog.designs for entry in design.entry.views}
        assert {path.relative_to(catalog.root).as_posix() for path in catalog.root.rglob("*.png")} == named

    def test_every_view_is_held_by_enough_points(self, catalog: Catalog):
        for design in catalog.designs:
            for shown in design.views:
                assert sum(not name.startswith("box_") for name in shown.names) >= 12, shown.key

    def test_pictures_read_as_rgba(self, catalog: Catalog):
        for design in catalog.designs:
            shown = design.views[0]
            assert shown.textures[0].shape[2] == 4
            assert shown.textures[0][..., 3].max() == 1

    def test_stays_small(self, catalog: Catalog):
        assert sum(path.stat().st_size for path in catalog.root.rglob("*") if path.is_file()) < SHIPPED_BYTES


def rendered_rotation(shown: View) -> tuple[float, float]:
    yaw, pitch = (int(part.lstrip("yawpitch")) for part in Path(shown.key.split(":")[0]).stem.split("_"))
    return (-yaw if shown.is_mirrored else yaw), pitch
