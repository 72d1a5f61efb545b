"""The masks that we render, and the catalog that ships."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from scipy.spatial import Delaunay

from maskgen.catalog.schema import CatalogFile, DesignEntry, Rotation, ViewEntry
from maskgen.catalog.store import Catalog, dump
from maskgen.catalog.view import View
from maskgen.cli.catalog.render import render as render_command
from maskgen.errors import CatalogError
from maskgen.face import HeadPose
from maskgen.face.head import mean_head, point_in_space
from maskgen.face.pose import rotation_matrix
from maskgen.face.solid import head_solid
from maskgen.studio.control import project, squeezes
from maskgen.studio.mesh import Mesh
from maskgen.studio.render import draw as render
from maskgen.studio.render import indexed, nets, raster
from maskgen.studio.render.designs import DESIGNS, DesignSpec, Straps
from maskgen.studio.render.draw import PITCHES, YAWS, Rendering, draw, draw_all, render_catalog
from maskgen.studio.render.model import Model, Quality, build
from maskgen.studio.render.random import RENDERED_KINDS, random_specs
from maskgen.studio.render.shapes import CUP_SHAPE, DUCKBILL_SHAPE, SURGICAL_SHAPE
from maskgen.studio.render.sheet import SheetShape, key_of, net

COARSE = Quality(pixels_per_mm=0.8, spacing_mm=1.6, samples=2)
SURGICAL, KN95, BLACK, CLOTH, CUP, VALVE, WINDOW, DUCKBILL, GAITER = (
    next(spec for spec in DESIGNS if spec.name == name)
    for name in (
        "surgical-blue",
        "kn95-white",
        "surgical-black",
        "cloth-grey",
        "n95-cup-white",
        "n95-cup-white-valve",
        "window-blue",
        "duckbill-white",
        "gaiter-blue",
    )
)
SHIPPED_BYTES = 15_000_000


@cache
def coarse(spec: DesignSpec) -> Model:
    return build(spec, COARSE)


@cache
def view(spec: DesignSpec, yaw: float, pitch: float = 0.0) -> Rendering:
    return draw(coarse(spec), yaw, pitch, interval(yaw, pitch), COARSE)


def interval(yaw: float, pitch: float) -> Rotation:
    return Rotation(yaw=dict(YAWS)[yaw], pitch=dict(PITCHES)[pitch])


def turn_of(yaw: float, pitch: float) -> np.ndarray:
    return rotation_matrix(HeadPose(yaw=yaw, pitch=pitch, roll=0.0))


def points_of(picture: Rendering) -> np.ndarray:
    return np.array(list(picture.points.values()))


# Shares of a surgical mask's height, between the upper pleats and below the lowest.
PANELS = ((0.35, 0.47), (0.82, 0.90))


class TestHead:
    def test_skin_passes_through_the_mean_head(self):
        distance, _ = head_solid().distance(mean_head().vertices.astype(float))
        assert np.abs(distance).mean() < 0.3

    def test_is_symmetric(self):
        assert np.allclose(head_solid().radius, head_solid().radius[:, ::-1])

    def test_is_closed_behind(self):
        assert np.allclose(head_solid().radius[:, 0], head_solid().radius[:, -1])


class TestSheet:
    @pytest.mark.parametrize("spec", [SURGICAL, KN95, CLOTH, CUP, DUCKBILL, GAITER], ids=lambda spec: spec.name)
    def test_cloth_stays_outside_the_head(self, spec: DesignSpec):
        distance, _ = head_solid().distance(net(spec.shape))
        assert distance.min() > 0

    @pytest.mark.parametrize("spec", [SURGICAL, KN95, CLOTH], ids=lambda spec: spec.name)
    def test_covers_nose_mouth_and_chin(self, spec: DesignSpec):
        frontal = Delaunay(net(spec.shape).reshape(-1, 3)[:, :2])
        assert (frontal.find_simplex(mean_head().points_68[[30, 31, 35, 48, 54, 57, 8], :2]) >= 0).all()

    def test_nets_of_all_shapes_are_at_hand(self):
        with np.load(Path(nets.__file__).with_name("nets.npz")) as kept:
            assert set(kept) == {key_of(shape) for shape in nets.SHAPES}

    @pytest.mark.parametrize(
        "shape", [CUP_SHAPE, *(pytest.param(shape, marks=pytest.mark.long) for shape in nets.SHAPES)]
    )
    def test_nets_at_hand_are_those_that_are_made(self, shape: SheetShape):
        """If this fails: python -m maskgen.studio.render.nets"""
        with np.load(Path(nets.__file__).with_name("nets.npz")) as kept:
            assert np.allclose(kept[key_of(shape)], nets.made(shape), atol=1e-3)

    def test_a_net_of_another_shape_is_made(self):
        lower = replace(CUP_SHAPE, dome_mm=28.0)
        assert net(lower)[..., 2].max() < net(CUP_SHAPE)[..., 2].max() - 1

    def test_spans_the_hollow_between_nose_and_lips(self):
        middle = net(SURGICAL_SHAPE)[:, 32]
        depth = np.interp(45, middle[:, 1], middle[:, 2])
        assert depth > point_in_space("33")[2] + 8

    def test_stiff_fold_stands_off_the_mouth(self):
        middle = net(KN95.shape)[:, 32]
        assert 20 < np.interp(62, middle[:, 1], middle[:, 2]) - point_in_space("51")[2] < 40

    def test_cup_stands_off_nose_and_lips(self):
        middle = net(CUP_SHAPE)[:, 32]
        for landmark in ("30", "51", "57"):
            _, y, z = point_in_space(landmark)
            assert np.interp(y, middle[:, 1], middle[:, 2]) > z + 4

    def test_beak_is_the_foremost_part_of_a_duckbill(self):
        points = net(DUCKBILL_SHAPE)
        row, _ = np.unravel_index(points[..., 2].argmax(), points.shape[:2])
        assert row == points.shape[0] // 2
        assert points[..., 2].max() > point_in_space("30")[2] + 20

    def test_stiff_cloth_bridges_the_nose(self):
        loose, stiff = (net(replace(SURGICAL_SHAPE, tent_mm=tent)) for tent in (0.0, 13.0))
        beside_the_nose = np.array([16.0, 34.0])
        depths = []
        for points in (loose, stiff):
            flat = points.reshape(-1, 3)
            depths.append(flat[np.square(flat[:, :2] - beside_the_nose).sum(axis=1).argmin(), 2])
        assert depths[1] > depths[0] + 2


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
        rgba = view(SURGICAL, 20.0).rgba
        read = cv2.imdecode(np.frombuffer(indexed.encode(rgba), np.uint8), cv2.IMREAD_UNCHANGED)
        assert read.shape == rgba.shape
        error = np.abs(read[..., [2, 1, 0, 3]].astype(int) - rgba)[rgba[..., 3] == 255]
        assert error.mean() < 2

    def test_opaque_stays_opaque_and_clear_stays_clear(self):
        rgba = view(SURGICAL, 20.0).rgba
        alpha = cv2.imdecode(np.frombuffer(indexed.encode(rgba), np.uint8), cv2.IMREAD_UNCHANGED)[..., 3]
        assert ((alpha == 255) == (rgba[..., 3] == 255)).all()
        assert ((alpha == 0) == (rgba[..., 3] == 0)).all()

    def test_clear_pixels_take_the_colour_of_the_edge(self):
        rgba = np.zeros((4, 4, 4), np.uint8)
        rgba[1, 1], rgba[1, 2] = (200, 100, 50, 255), (200, 100, 50, 128)
        read = cv2.imdecode(np.frombuffer(indexed.encode(rgba), np.uint8), cv2.IMREAD_UNCHANGED)
        assert read[0, 0].tolist() == [50, 100, 200, 0]


class TestView:
    @pytest.mark.parametrize(("yaw", "pitch"), [(0.0, 0.0), (20.0, -20.0), (77.0, 20.0)])
    def test_control_points_are_the_projection_of_the_head(self, yaw: float, pitch: float):
        picture = view(SURGICAL, yaw, pitch)
        projected = project(tuple(picture.points), turn_of(yaw, pitch), COARSE.pixels_per_mm)
        shift = points_of(picture) - projected
        assert np.allclose(shift, shift[0], atol=1.1e-2)

    @pytest.mark.parametrize("spec", [SURGICAL, KN95, CLOTH, CUP, GAITER], ids=lambda spec: spec.name)
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
        picture = view(SURGICAL, 40.0)
        assert picture.fastenings["image_left_upper"][0] < picture.points["30"][0]
        assert "14" not in picture.points

    def test_straps_begin_only_at_corners_that_are_seen(self):
        assert set(view(SURGICAL, 0.0).fastenings) == {
            f"image_{side}_{end}" for side in ("left", "right") for end in ("upper", "lower")
        }
        assert set(view(SURGICAL, 77.0).fastenings) == {"image_left_upper", "image_left_lower"}

    def test_the_head_hides_what_lies_behind_it(self, monkeypatch: pytest.MonkeyPatch):
        behind = coarse(SURGICAL)
        moved = replace(behind, mesh=Mesh(behind.mesh.vertices * [2.2, 1, 1] - [0, 0, 400], behind.mesh.triangles))
        names = ("30", "8", "box_image_left_top_front")
        monkeypatch.setattr(render, "control_points", lambda *_: names)
        # A sheet far behind the head shows only where it is wider than the head.
        seen = draw(replace(moved, corners={}), 0.0, 0.0, interval(0.0, 0.0), COARSE).rgba[..., 3] > 0
        nothing = Mesh(np.full((3, 3), -500.0), np.array([[0, 1, 2]]))
        monkeypatch.setattr(render, "occluder", lambda every: nothing)
        bare = draw(replace(moved, corners={}), 0.0, 0.0, interval(0.0, 0.0), COARSE).rgba[..., 3] > 0
        assert 0.1 < seen.sum() / bare.sum() < 0.7

    def test_straps_begin_at_the_edge_of_the_cloth(self):
        for spec in (SURGICAL, KN95, CLOTH, CUP):
            shown = view(spec, 0.0)
            for corner, (x, y) in shown.fastenings.items():
                row, column = round(y), round(x)
                around = shown.rgba[max(row - 3, 0) : row + 4, max(column - 3, 0) : column + 4, 3]
                assert around.max() == 255, (spec.name, corner)
                assert around.min() == 0 or spec is CUP, (spec.name, corner)

    def test_straps_round_the_head_begin_higher_on_the_mask_than_ear_loops_end(self):
        head, ears = (view(replace(CUP, straps=Straps(style)), 0.0).fastenings for style in ("head", "ears"))
        assert head["image_left_lower"][1] < ears["image_left_lower"][1]
        assert not view(GAITER, 0.0).fastenings

    def test_cloth_is_never_pure_white_or_black(self):
        for spec in (KN95, BLACK):
            for yaw in (0.0, 40.0):
                rgba = view(spec, yaw).rgba
                solid = rgba[rgba[..., 3] == 255][:, :3]
                assert solid.max() < 250
                assert solid.min() > 5

    def test_black_is_dark_and_opaque(self):
        rgba = view(BLACK, 0.0).rgba
        solid = rgba[rgba[..., 3] == 255][:, :3]
        assert solid.mean() < 50
        assert len(solid) > 0.5 * rgba[..., 3].size

    def test_window_shows_the_mouth_through_it(self):
        picture = view(WINDOW, 0.0)
        column, row = (np.array(picture.points["30"]) + [0, 32 * COARSE.pixels_per_mm]).round().astype(int)
        assert 20 < picture.rgba[row, column, 3] < 130
        assert picture.rgba[row, 12, 3] > 250

    def test_valve_sits_where_it_is_told(self):
        shapes = [view(replace(VALVE, valves=valves), 0.0).rgba for valves in ((), VALVE.valves)]
        assert shapes[0].shape == shapes[1].shape
        changed = np.abs(shapes[0].astype(int) - shapes[1]).sum(axis=-1) > 60
        rows, columns = np.nonzero(changed)
        assert np.ptp(rows) < 45
        assert np.ptp(columns) < 45
        assert abs(columns.mean() - view(VALVE, 0.0).points["30"][0]) < 3

    def test_pleats_throw_shadows_that_run_across(self):
        grey = view(SURGICAL, 0.0).rgba[..., :3].mean(axis=-1)
        column = round(view(SURGICAL, 0.0).points["30"][0])
        down = grey[:, column - 8 : column + 9].mean(axis=1)
        inner = down[round(0.2 * len(down)) : round(0.9 * len(down))]
        dips = inner < np.array([np.median(inner[max(i - 12, 0) : i + 13]) for i in range(len(inner))]) - 12
        assert (np.diff(dips.astype(int)) == 1).sum() == 3

    def test_no_pleat_stands_evenly_from_end_to_end(self):
        grey = view(SURGICAL, 0.0).rgba[..., :3].mean(axis=-1)
        middle, reach = round(view(SURGICAL, 0.0).points["30"][0]), round(40 * COARSE.pixels_per_mm)
        columns = range(middle - reach, middle + reach, 4)
        down = np.stack([grey[:, column - 2 : column + 3].mean(axis=1) for column in columns])
        for top, bottom in ((0.25, 0.45), (0.45, 0.65)):
            around = down[:, round(top * len(grey)) : round(bottom * len(grey))]
            depths = np.median(around, axis=1) - around.min(axis=1)
            assert depths.std() > 0.22 * depths.mean()

    def test_what_lies_below_the_lowest_pleat_is_turned_away_from_the_light(self):
        grey = view(SURGICAL, 0.0).rgba[..., :3].mean(axis=-1)
        column = round(view(SURGICAL, 0.0).points["30"][0])
        down = grey[:, column - 8 : column + 9].mean(axis=1)
        above, below = (np.median(down[slice(*(round(at * len(down)) for at in part))]) for part in PANELS)
        assert below < 0.82 * above

    def test_a_surgical_mask_leaves_skin_before_the_ears(self):
        points = net(SURGICAL_SHAPE)
        jaw = mean_head().points_68[:17]
        height = 0.75 * point_in_space("30")[1] + 0.25 * point_in_space("8")[1]
        half = np.interp(height, jaw[:9, 1], -jaw[:9, 0])
        rightmost = points[:, -1][np.abs(points[:, -1, 1] - height).argmin(), 0]
        assert 0.84 < rightmost / half < 0.98

    def test_designs_that_share_a_form_are_drawn_as_each_alone(self):
        alike = [SURGICAL, BLACK]
        together = draw_all([build(spec, COARSE) for spec in alike], 20.0, 0.0, interval(20.0, 0.0), COARSE)
        for spec, shown in zip(alike, together, strict=True):
            alone = view(spec, 20.0)
            assert np.array_equal(shown.rgba, alone.rgba)
            assert (shown.points, shown.fastenings) == (alone.points, alone.fastenings)

    def test_another_seed_folds_otherwise(self):
        other = draw(coarse(replace(SURGICAL, seed=99)), 0.0, 0.0, interval(0.0, 0.0), COARSE)
        size = np.minimum(other.rgba.shape, view(SURGICAL, 0.0).rgba.shape)
        crops = [picture.rgba[: size[0], : size[1]].astype(int) for picture in (other, view(SURGICAL, 0.0))]
        assert np.abs(crops[0] - crops[1]).max() > 10


class TestRandomSpecs:
    def test_same_seed_draws_the_same_designs(self):
        assert random_specs(number=4, seed=3) == random_specs(number=4, seed=3)
        assert random_specs(number=4, seed=3) != random_specs(number=4, seed=4)

    def test_a_longer_row_begins_with_the_shorter(self):
        assert random_specs(number=6, seed=1)[:2] == random_specs(number=2, seed=1)

    def test_wishes_are_kept(self):
        for spec in random_specs("gaiter", "#102030", "stripes", number=5):
            assert (spec.kind, spec.fabric.colour, spec.fabric.pattern) == ("gaiter", (16, 32, 48), "stripes")

    def test_every_kind_comes_up(self):
        assert {spec.kind for spec in random_specs(number=60)} == set(RENDERED_KINDS)

    def test_names_are_names_of_designs(self):
        for spec in random_specs(number=40, seed=2) + random_specs(colour="#A0b1C2", number=3):
            assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", spec.name)

    def test_unknown_colour_or_kind_is_refused(self):
        with pytest.raises(CatalogError, match="no colour"):
            random_specs(colour="#12")
        with pytest.raises(CatalogError, match="other"):
            random_specs("other")


def test_catalog_file_survives_its_compact_form():
    entry = DesignEntry(
        name="one",
        kind="cloth",
        colour="bräunlich",
        license="CC0-1.0",
        views=(
            ViewEntry(
                file="a/b.png",
                sha256="0" * 64,
                rotation=Rotation(yaw=(-10, 10), pitch=(-10, 10)),
                points={"0": (1.25, -3.5), "8": (0.01, 7.0), "16": (9.0, 2.0)},
            ),
        )
        * 2,
    )
    for masks in ((), (entry,), (entry, entry.model_copy(update={"name": "other"}))):
        catalog = CatalogFile(schema_version=1, masks=masks)
        raw = dump(catalog)
        assert CatalogFile.model_validate_json(raw) == catalog
        assert raw.count(b"\n") < 8 + 8 * len(masks)


def test_same_seed_gives_the_same_bytes(tmp_path: Path):
    rough = Quality(pixels_per_mm=0.4, spacing_mm=3.0, samples=1)
    files = []
    for folder in ("first", "second"):
        render_catalog([CLOTH], tmp_path / folder, rough)
        paths = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        files.append({path.relative_to(tmp_path / folder): path.read_bytes() for path in paths})
    assert files[0] == files[1]
    assert len(files[0]) == len(YAWS) * len(PITCHES) + 1


class TestCommand:
    @pytest.fixture
    def invoke(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
        rough = Quality(pixels_per_mm=0.4, spacing_mm=3.0, samples=1)
        monkeypatch.setattr(render, "new_design", partial(render.new_design, quality=rough))

        def call(*args: str) -> Result:
            return CliRunner().invoke(render_command, ["--catalog", str(tmp_path / "mine"), *args])

        return call

    def test_puts_what_was_asked_for_into_a_catalog(self, tmp_path: Path, invoke):
        wishes = "--kind", "cloth", "--colour", "red", "--pattern", "dots"
        report = json.loads(invoke(*wishes, "--json").stdout)
        (design,) = Catalog.load(tmp_path / "mine").designs
        assert design.entry.name == report["added"][0]["name"] == "cloth-red-dots-0-1"
        assert {"pattern", "ear-loops", "rendered"} <= set(design.entry.tags)
        assert design.entry.straps is not None
        assert design.entry.surface is not None
        assert all(design.views_for(yaw, 0) for yaw in range(-90, 91, 5))
        taken = invoke(*wishes)
        assert taken.exit_code == 1
        assert "use --rename, --replace or another --seed" in taken.stderr
        assert "cloth-red-dots-0-1-2" in invoke(*wishes, "--rename").stdout

    def test_no_colour_is_a_usage_error(self, invoke):
        result = invoke("--colour", "#12")
        assert result.exit_code == 2
        assert "no colour" in result.output


@pytest.fixture(scope="module")
def catalog() -> Catalog:
    return Catalog.load()


class TestShippedCatalog:
    def test_has_at_least_forty_designs_of_every_kind(self, catalog: Catalog):
        assert len(catalog.designs) >= 40
        assert {design.entry.kind for design in catalog.designs} == set(RENDERED_KINDS)

    def test_is_ours_to_give_away(self, catalog: Catalog):
        assert {design.entry.license for design in catalog.designs} == {"CC0-1.0"}

    def test_common_masks_are_commoner_than_rare_ones(self, catalog: Catalog):
        weights = {design.entry.name: design.entry.weight for design in catalog.designs}
        assert max(weights, key=weights.__getitem__) == "surgical-blue"
        by_kind = {
            kind: sum(d.entry.weight for d in catalog.designs if d.entry.kind == kind) for kind in RENDERED_KINDS
        }
        assert by_kind["surgical"] > by_kind["cloth"] > by_kind["gaiter"] > by_kind["transparent"]

    def test_prints_are_as_common_as_on_people(self, catalog: Catalog):
        weights = {design.entry.name: design.entry.weight for design in catalog.designs}
        printed = [design.entry.name for design in catalog.designs if "pattern" in design.entry.tags]
        # Of 698 people of two collections 32 wear a print, and 7 one with words on it.
        assert 0.045 < sum(weights[name] for name in printed) / sum(weights.values()) < 0.07

    def test_kinds_are_as_common_as_on_people(self, catalog: Catalog):
        share = dict.fromkeys(RENDERED_KINDS, 0.0) | {"dark": 0.0}
        total = sum(design.entry.weight for design in catalog.designs)
        for design in catalog.designs:
            is_dark = design.entry.colour in ("black", "grey", "navy") and "pattern" not in design.entry.tags
            share["dark" if is_dark else design.entry.kind] += design.entry.weight / total
        # Of the same 698: 484 light surgical masks, 87 dark ones of any kind, 59 light respirators, 7 gaiters.
        respirators = share["kn95"] + share["n95_cup"] + share["duckbill"]
        told = (share["surgical"], share["dark"], respirators, share["gaiter"])
        assert told == pytest.approx((0.69, 0.125, 0.085, 0.01), abs=0.03)

    def test_weights_of_the_catalog_are_those_of_its_designs(self, catalog: Catalog):
        assert {design.entry.name: design.entry.weight for design in catalog.designs} == {
            spec.name: spec.weight for spec in DESIGNS
        }

    def test_has_many_forms_not_few_in_many_colours(self, catalog: Catalog):
        outlines = {
            tuple(np.round(np.array(list(design.entry.views[0].points.values())).mean(axis=0), 0))
            for design in catalog.designs
        }
        assert len({spec.fabric.make for spec in DESIGNS}) >= 14
        assert len(outlines) >= 10

    def test_every_design_says_what_holds_it_and_what_it_is_made_of(self, catalog: Catalog):
        for design in catalog.designs:
            assert design.entry.surface is not None
            assert design.entry.straps is not None
            upper = {corner for corner in design.views_for(0, 0)[0].fastenings if corner.endswith("upper")}
            assert len(upper) == (0 if design.entry.straps.kind == "none" else 2), design.entry.name

    def test_has_the_designs_that_we_render(self, catalog: Catalog):
        assert [design.entry.name for design in catalog.designs] == [spec.name for spec in DESIGNS]

    def test_every_design_covers_every_pose(self, catalog: Catalog):
        for design in catalog.designs:
            for yaw in range(-90, 91, 5):
                for pitch in range(-30, 31, 5):
                    assert design.views_for(yaw, pitch), (design.entry.name, yaw, pitch)

    def test_intervals_tile_without_gap_or_overlap(self, catalog: Catalog):
        for design in catalog.designs:
            for pitch in (-25.0, 0.0, 25.0):
                # Frontal once, every other both ways.
                views = [v for v in design.views if v.rotation.pitch[0] < pitch < v.rotation.pitch[1]]
                yaws = sorted(v.rotation.yaw for v in views)
                assert yaws[0][0] <= -90
                assert yaws[-1][1] >= 90
                assert [high for _, high in yaws[:-1]] == [low for low, _ in yaws[1:]]

    def test_interval_holds_the_rotation_that_was_rendered(self, catalog: Catalog):
        for design in catalog.designs:
            for shown in design.views:
                yaw, pitch = rendered_rotation(shown)
                assert shown.rotation.holds(yaw, pitch), shown.key

    def test_hashes_match_the_pictures(self, catalog: Catalog):
        for design in catalog.designs:
            for entry in design.entry.views:
                assert hashlib.sha256((catalog.roots[0] / entry.file).read_bytes()).hexdigest() == entry.sha256

    def test_holds_no_picture_that_it_does_not_name(self, catalog: Catalog):
        named = {entry.file for design in catalog.designs for entry in design.entry.views}
        assert {path.relative_to(catalog.roots[0]).as_posix() for path in catalog.roots[0].rglob("*.png")} == named

    def test_every_view_is_held_by_enough_points(self, catalog: Catalog):
        for design in catalog.designs:
            for shown in design.views:
                assert sum(not name.startswith("box_") for name in shown.names) >= 7, shown.key

    def test_pictures_read_as_rgba(self, catalog: Catalog):
        for design in catalog.designs:
            shown = design.views[0]
            assert shown.textures[0].shape[2] == 4
            assert shown.textures[0][..., 3].max() == 1

    def test_stays_small(self, catalog: Catalog):
        assert sum(path.stat().st_size for path in catalog.roots[0].rglob("*") if path.is_file()) < SHIPPED_BYTES


def rendered_rotation(shown: View) -> tuple[float, float]:
    yaw, pitch = (int(part.lstrip("yawpitch")) for part in Path(shown.key.split(":")[0]).stem.split("_"))
    return (-yaw if shown.is_mirrored else yaw), pitch
