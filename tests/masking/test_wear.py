"""Masks worn wrongly, in other colours, with patterns: the same masks, the same reproducible runs."""

import copy
from contextlib import nullcontext
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from catalogs import small_catalog
from click.testing import CliRunner
from fakes import write_picture
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.spatial import Delaunay
from strategies import face_at, poses

from maskgen import manifest, run
from maskgen.catalog.schema import WEARS, wear_shares
from maskgen.catalog.store import Catalog
from maskgen.cli.augment import augment
from maskgen.errors import ConfigError
from maskgen.face import HeadPose
from maskgen.face.head import ANCHORS, POINT_NAMES, in_image, mean_head, point_in_space, points_on_face
from maskgen.masking import vary, wear
from maskgen.masking.augment import augment_image, worn
from maskgen.masking.recipe import PLAIN, Patterns, Recipe
from maskgen.run import patterns as pattern_files

NAMES = tuple(sorted(POINT_NAMES))
WRONG = [way for way in WEARS if way != "correct"]


@pytest.fixture(scope="module")
def shipped():
    return Catalog.load()


def frontal(catalog, name):
    (design,) = [design for design in catalog.designs if design.entry.name == name]
    (view,) = design.views_for(0, 0)
    return view


def with_strap(texture):
    """A texture with a band at its right, as a photograph of a mask has it."""
    wider = np.pad(texture, ((0, 0), (0, 60), (0, 0)))
    band = np.zeros_like(wider)
    band[110:118, -120:] = (0.8, 0.8, 0.78, 1)
    return np.where(wider[..., 3:] > 0, wider, band)


class Faces:
    def __init__(self, *faces):
        self.faces = list(faces)

    def detect(self, image):
        return self.faces


def rows_covered(view, way, face=None):
    """Top and bottom of the mask in the middle of a frontal face of 2 pixels a millimetre, millimetres of the head."""
    face = face or face_at(HeadPose(0, 0, 0), 2.0, (300, 200))
    overlay = worn(view, face, (600, 700), vary.Drawn(way))
    column = overlay.rgba[:, 300 - overlay.left - 4 : 300 - overlay.left + 5, 3].mean(axis=1)
    rows = np.flatnonzero(column > 0.5) + overlay.top
    return (rows.min() - 200) / 2, (rows.max() - 200) / 2


class TestSlide:
    def test_correct_is_where_the_mask_was_made_for(self):
        face = face_at(HeadPose(20, 5, 3))
        assert wear.displaced(NAMES, "correct") is None
        home = np.stack([point_in_space(name) for name in NAMES])
        assert np.array_equal(points_on_face(NAMES, face.landmarks_68, home), points_on_face(NAMES, face.landmarks_68))

    @pytest.mark.parametrize("way", WRONG)
    def test_is_the_same_on_both_sides(self, way):
        moved = dict(zip(NAMES, wear.displaced(NAMES, way), strict=True))
        for name in ANCHORS:
            if "image_left" in name:
                other = moved[name.replace("left", "right")]
                assert moved[name] * [-1, 1, 1] == pytest.approx(other, abs=1e-3)

    @pytest.mark.parametrize("way", WRONG)
    def test_loops_stay_on_the_ears(self, way):
        ears = tuple(name for name in NAMES if name.startswith("ear_"))
        assert np.array_equal(wear.displaced(ears, way), np.stack([point_in_space(name) for name in ears]))

    @pytest.mark.parametrize("way", ["nose_out", "chin_out"])
    def test_stays_close_to_the_skin(self, way):
        from maskgen.face.solid import head_solid

        names = tuple(str(i) for i in (1, 3, 5, 8, 11, 13, 15, 31, 35, 48, 51, 54, 57))
        moved = wear.displaced(names, way).astype(float)
        before = head_solid().distance(np.stack([point_in_space(name) for name in names]).astype(float))[0]
        after = head_solid().distance(moved)[0]
        assert np.abs(after - before).max() < 11

    @pytest.mark.parametrize("way", WRONG)
    def test_hardly_a_triangle_of_a_frontal_mask_turns_over(self, way, shipped):
        for name in ("surgical-blue", "kn95-white", "cloth-grey"):
            view = frontal(shipped, name)
            face = face_at(HeadPose(0, 0, 0), 2.0)
            on_face = points_on_face(view.names, face.landmarks_68, wear.displaced(view.names, way))
            opaque = np.argwhere(view.textures[0][..., 3] > 0.5)[:, ::-1]
            triangulation = Delaunay(view.points)
            held = np.bincount(triangulation.find_simplex(opaque), minlength=len(triangulation.simplices))
            areas = []
            for points in (view.points.astype(float), on_face.astype(float)):
                a, b, c = (points[triangulation.simplices[:, k]] for k in range(3))
                areas.append((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0])
            turned_over = held[areas[0] * areas[1] <= 0].sum()
            assert turned_over < 0.03 * held.sum()


class TestOnAFace:
    @pytest.mark.parametrize("name", ["surgical-blue", "kn95-white", "n95-cup-white", "cloth-red-dots"])
    def test_each_way_covers_what_it_says(self, shipped, name):
        view = frontal(shipped, name)
        y = {part: mean_head().points_68[number, 1] for part, number in (("nose", 30), ("lip", 57), ("chin", 8))}
        top, bottom = rows_covered(view, "correct")
        assert top < y["nose"]
        assert bottom > y["chin"]
        top, bottom = rows_covered(view, "nose_out")
        assert y["nose"] + 3 < top < mean_head().points_68[51, 1]
        assert bottom > y["chin"] - 3
        top, bottom = rows_covered(view, "chin_out")
        assert top < y["nose"]
        assert y["lip"] < bottom < y["chin"] - 8
        top, bottom = rows_covered(view, "under_chin")
        assert y["lip"] + 8 < top
        assert bottom > y["chin"] + 15

    @given(poses(yaw=60, pitch=20, roll=30))
    def test_every_way_gives_an_overlay_at_every_pose(self, shipped_poses, pose):
        face = face_at(pose, 1.0, (150, 130))
        (design,) = [design for design in shipped_poses.designs if design.entry.name == "surgical-blue"]
        view = design.views_for(pose.yaw, pose.pitch)[0]
        for way in WRONG:
            overlay = worn(view, face, (320, 320), vary.Drawn(way))
            assert overlay.rgba[..., 3].sum() > 500


@pytest.fixture(scope="module")
def shipped_poses(shipped):
    return shipped


class TestShares:
    def test_weights_become_shares_in_a_fixed_order(self):
        assert wear_shares({"nose_out": 1, "correct": 3}) == (("correct", 0.75), ("nose_out", 0.25))
        assert run.AugmentSettings(wear={"chin_out": 2}).wear == (("chin_out", 1.0),)

    @pytest.mark.parametrize("weights", [{"nose": 1}, {"correct": -1}, {"correct": 0}, {}, {"correct": float("nan")}])
    def test_nonsense_is_refused(self, weights):
        with pytest.raises(ValueError, match=r"way to wear|weight"):
            wear_shares(weights)

    def test_ways_are_drawn_by_their_shares(self):
        rng = np.random.default_rng(0)
        shares = wear_shares({"correct": 0.85, "nose_out": 0.1, "chin_out": 0.05})
        drawn = [wear.drawn(shares, rng) for _ in range(4000)]
        for way, share in shares:
            assert drawn.count(way) / len(drawn) == pytest.approx(share, abs=0.02)

    @given(st.lists(st.sampled_from(WEARS), unique=True, min_size=1), st.integers(0, 2**32))
    def test_only_what_has_a_share_is_drawn(self, ways, seed):
        shares = wear_shares(dict.fromkeys(ways, 1.0))
        assert wear.drawn(shares, np.random.default_rng(seed)) in ways


class TestDrawing:
    def test_what_varies_leaves_the_design_and_the_grain_alone(self, shipped):
        image = np.full((300, 300, 3), 120, np.uint8)
        detector = Faces(face_at(HeadPose(5, 0, 0), 1.2, (150, 110)))
        mixed = Recipe(wear=wear_shares({"nose_out": 1}), recolor_share=1.0)
        plain, varied = (
            augment_image(image, detector, shipped, np.random.default_rng(7), recipe=recipe)
            for recipe in (PLAIN, mixed)
        )
        assert (plain.faces[0].design, plain.faces[0].wear) == (varied.faces[0].design, "correct")
        assert varied.faces[0].wear == "nose_out"
        assert varied.faces[0].recolor is not None
        assert not np.array_equal(plain.image, varied.image)

    def test_one_trait_does_not_change_another(self):
        half = Recipe(wear=wear_shares({"correct": 1, "nose_out": 1}), recolor_share=0.5)
        only_wear = replace(half, recolor_share=0.0)
        for seed in range(30):
            both, one = (vary.draw(recipe, np.random.default_rng(seed)) for recipe in (half, only_wear))
            assert both.wear == one.wear

    def test_faces_of_one_picture_vary_by_themselves(self):
        rng = np.random.default_rng(0)
        recipe = Recipe(recolor_share=1.0)
        # Between two faces of a picture a design is chosen, which takes a number.
        assert len({vary.draw(recipe, rng).recolor for _ in range(8) if rng.random() >= 0}) == 8

    @pytest.mark.parametrize(
        "rng",
        [
            np.random.default_rng(3),
            np.random.Generator(np.random.MT19937(3)),
            np.random.Generator(np.random.RandomState(3)._bit_generator),
        ],
        ids=["default", "MT19937", "RandomState"],
    )
    def test_the_same_state_gives_the_same_picture_whatever_made_the_generator(self, shipped, rng):
        image = np.full((300, 300, 3), 120, np.uint8)
        detector = Faces(face_at(HeadPose(5, 0, 0), 1.2, (150, 110)))
        mixed = Recipe(wear=wear_shares({"nose_out": 1, "correct": 1}), recolor_share=0.5)
        state = copy.deepcopy(rng)
        first = augment_image(image, detector, shipped, rng, recipe=mixed)
        again = augment_image(image, detector, shipped, copy.deepcopy(state), recipe=mixed)
        # A generator's state is all that counts: not how many were made of it before.
        rng.bit_generator.state = state.bit_generator.state
        third = augment_image(image, detector, shipped, rng, recipe=mixed)
        assert np.array_equal(first.image, again.image)
        assert np.array_equal(first.image, third.image)
        assert first.faces[0].recolor == third.faces[0].recolor

    def test_patterns_repeat_from_a_third_of_the_cloth_to_hardly_more_than_all_of_it(self):
        recipe = Recipe(patterns=Patterns(("a", "b"), (np.zeros((4, 4, 3), np.uint8),) * 2), pattern_share=1.0)
        drawn = [vary.draw(recipe, np.random.default_rng(seed)).pattern for seed in range(300)]
        repeats = [pattern.repeat for pattern in drawn]
        assert 0.35 <= min(repeats) < 0.4
        assert 1.0 < max(repeats) < 1.2
        assert {pattern.number for pattern in drawn} == {0, 1}


@pytest.mark.parametrize("way", WRONG)
def test_a_slide_is_whole_in_the_middle_nothing_at_the_ears_and_never_grows_between(way):
    slide = wear._SLIDES[way]
    degrees, shares = zip(*slide.round_head, strict=True)
    assert (degrees[0], shares[0], *shares[-2:]) == (0, 1.0, 0.0, 0.0)
    assert list(degrees) == sorted(degrees)
    assert list(shares) == sorted(shares, reverse=True)
    assert [height for height, _ in slide.down] == sorted(height for height, _ in slide.down)


class TestRecolor:
    def test_straps_and_outline_keep_theirs(self, shipped):
        texture = with_strap(frontal(shipped, "surgical-blue").textures[0])
        cloth = vary.cloth_region(texture)
        changed = vary.recolored(texture, cloth, vary.Recolor(120, 1.0, 1.0, (1, 1, 1)))
        assert np.array_equal(changed[..., 3], texture[..., 3])
        strap = (texture[..., 3] > 0.9) & (cloth < 1e-3)
        assert strap.sum() > 50
        assert np.allclose(changed[strap], texture[strap], atol=2e-3)

    @pytest.mark.parametrize(("share", "is_cloth"), [(0.85, False), (1.3, True)])
    def test_what_is_narrower_than_a_strap_is_one(self, share, is_cloth):
        texture = np.zeros((300, 400, 4), np.float32)
        texture[40:260, 50:250] = 1
        thickness = round(vary._STRAP_SHARE * 200 * share)
        texture[100 : 100 + thickness, 250:400] = 1
        assert (vary.cloth_region(texture)[100 + thickness // 2, 330] > 0.5) == is_cloth

    def test_cloth_takes_the_hue_and_keeps_its_folds(self, shipped):
        texture = with_strap(frontal(shipped, "surgical-blue").textures[0])
        cloth = vary.cloth_region(texture)
        changed = vary.recolored(texture, cloth, vary.Recolor(120, 1.0, 1.0, (1, 1, 1)))
        solid = (texture[..., 3] == 1) & (cloth > 0.99)
        before, after = texture[solid], changed[solid]
        assert before[:, 2].mean() > before[:, 0].mean() + 0.1
        assert after[:, 2].mean() < max(after[:, 0].mean(), after[:, 1].mean()) - 0.1
        luma = [values[:, :3] @ [0.299, 0.587, 0.114] for values in (before, after)]
        assert np.corrcoef(*luma)[0, 1] > 0.9

    @given(st.integers(0, 2**32))
    def test_black_stays_black_and_white_stays_bright(self, shipped_poses, seed):
        recolor = vary.draw(Recipe(recolor_share=1.0), np.random.default_rng(seed)).recolor
        for name, low, high in (("surgical-black", 0.03, 0.25), ("kn95-white", 0.45, 0.97)):
            texture = frontal(shipped_poses, name).textures[1]
            cloth = vary.cloth_region(texture)
            changed = vary.recolored(texture, cloth, recolor)
            solid = (texture[..., 3] > 0.99) & (cloth > 0.99)
            assert low < np.median(changed[solid][:, :3] @ [0.299, 0.587, 0.114]) < high


class TestPattern:
    def test_is_laid_on_the_cloth_and_not_on_the_straps(self, shipped):
        texture = with_strap(frontal(shipped, "pleated-white").textures[0])
        cloth = vary.cloth_region(texture)
        red = np.zeros((50, 60, 3), np.uint8)
        red[..., 0] = 220
        changed = vary.patterned(texture, cloth, red, vary.Placement(0, 0.5, 5.0, (0.1, 0.2)))
        solid = (texture[..., 3] == 1) & (cloth > 0.99)
        assert (changed[solid][:, 0] > 3 * changed[solid][:, 1]).all()
        strap = (texture[..., 3] > 0.9) & (cloth < 1e-3)
        assert np.allclose(changed[strap], texture[strap], atol=2e-3)
        luma = [values[solid] @ [0.299, 0.587, 0.114, 0] for values in (texture, changed)]
        assert np.corrcoef(*luma)[0, 1] > 0.6

    def test_a_seamless_picture_has_no_mirror_in_it(self, shipped):
        texture = np.ones((160, 200, 4), np.float32) * np.float32([0.8, 0.8, 0.8, 1])
        rows, columns = np.mgrid[:40, :40]
        diagonal = np.where((rows + columns) % 20 < 10, 220, 40).astype(np.uint8)[..., None].repeat(3, axis=2)
        placed = vary.Placement(0, 0.2, 0.0, (0, 0))
        changed = vary.patterned(texture, np.ones((160, 200), np.float32), diagonal, placed)
        # Every row is the one above, moved by one pixel.
        assert np.abs(changed[1:, :-1, 0] - changed[:-1, 1:, 0])[5:-5, 5:-5].max() < 0.05

    def test_is_laid_where_its_shift_says(self):
        texture = np.ones((160, 200, 4), np.float32) * np.float32([0.8, 0.8, 0.8, 1])
        halves = np.full((40, 40, 3), 20, np.uint8)
        halves[:, 20:] = 230
        one, other = (
            vary.patterned(texture, np.ones((160, 200), np.float32), halves, vary.Placement(0, 1.0, 0.0, (shift, 0)))
            for shift in (0.0, 0.25)
        )
        # A quarter of the picture is 50 pixels of the mask here.
        assert np.abs(one[:, 60:] - other[:, 10:-50])[5:-5, 5:-5].mean() < 0.02
        assert np.abs(one - other).mean() > 0.1

    def test_bends_over_folds_and_breaks_off_where_a_pleat_hides_some_of_it_but_not_at_a_seam(self):
        grey = np.full((160, 200), 0.8, np.float32)
        pleat, seam = grey.copy(), grey.copy()
        pleat[78:82], seam[:, 98:102] = 0.6, 0.6
        plain, pleated, seamed = (cv2.merge([one, one, one, np.ones_like(one)]) for one in (grey, pleat, seam))
        rows = np.arange(400) % 40 < 20
        stripes = np.where(rows[:, None, None], 230, 20).astype(np.uint8).repeat(400, axis=1).repeat(3, axis=2)
        placed = vary.Placement(0, 1.0, 0.0, (0, 0))
        flat, broken, whole = (
            vary.patterned(one, np.ones(one.shape[:2], np.float32), stripes, placed) for one in (plain, pleated, seamed)
        )
        # Above the pleat nothing moves; below it the print goes on farther down.
        assert np.abs(broken[20:60, :, 0] - flat[20:60, :, 0]).mean() < 0.05
        assert np.abs(broken[100:150, :, 0] - flat[100:150, :, 0]).mean() > 0.1
        assert np.abs(whole[20:150, 10:60, 0] - flat[20:150, 10:60, 0]).mean() < 0.05

    def test_windows_stay_clear(self, shipped):
        texture = frontal(shipped, "window-blue").textures[0]
        pane = (texture[..., 3] > 0.1) & (texture[..., 3] < 0.3)
        picture = np.full((20, 20, 3), 10, np.uint8)
        changed = vary.patterned(texture, vary.cloth_region(texture), picture, vary.Placement(0, 1.0, 0.0, (0, 0)))
        assert pane.sum() > 200
        assert np.allclose(changed[pane], texture[pane], atol=1e-5)


# ---- runs


@pytest.fixture
def patterns(tmp_path):
    folder = tmp_path / "patterns"
    for name, colour in (("a.png", (200, 40, 40)), ("b.jpg", (40, 60, 200))):
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (40, 30), colour).save(folder / name)
    (folder / "notes.txt").write_text("not a picture")
    return folder


@pytest.fixture
def faces(tmp_path):
    source = tmp_path / "in"
    for number in range(8):
        write_picture(source / f"{number}.png", "two_faces" if number % 2 else "face")
    return source


def rows_of(job):
    run.run(job)
    return list(manifest.read(job.target / manifest.MANIFEST_FILE))


def test_manifest_says_how_each_mask_is_worn_and_coloured(faces, job_of, patterns):
    job = job_of(faces, wear={"correct": 1, "nose_out": 1}, recolor=0.5, pattern_dir=patterns, faces="all")
    masks = [mask for row in rows_of(job) for variant in row.variants for mask in variant.masks]
    assert {mask.wear for mask in masks} == {"correct", "nose_out"}
    assert {mask.pattern for mask in masks} == {None, "a.png", "b.jpg"}
    assert {mask.recolor is None for mask in masks} == {True, False}


def test_same_seed_same_bytes_whatever_the_workers(faces, job_of, patterns, tmp_path, hash_of_tree):
    options = {"wear": {"correct": 1, "under_chin": 1}, "recolor": 0.5, "pattern_dir": patterns}
    for target, workers in (("one", 1), ("two", 2)):
        run.run(job_of(faces, target, execution={"workers": workers}, **options))
    run.run(job_of(faces, "other", **{**options, "seed": 1}))
    hashes = [hash_of_tree(tmp_path / target, without=("run.json",)) for target in ("one", "two", "other")]
    assert hashes[0] == hashes[1] != hashes[2]


def test_resume_with_other_patterns_is_refused(faces, job_of, patterns):
    job = job_of(faces, pattern_dir=patterns, execution={"limit": 2})
    run.run(job)
    assert manifest.read_run(job.target / manifest.RUN_FILE).patterns_sha256 == pattern_files.sha256(patterns)
    Image.new("RGB", (40, 30), (0, 0, 0)).save(patterns / "a.png")
    with pytest.raises(ConfigError, match="hash of the patterns"):
        run.run(job)


def test_resume_finds_the_same_patterns_elsewhere(faces, job_of, patterns, tmp_path):
    run.run(job_of(faces, pattern_dir=patterns, execution={"limit": 2}))
    moved = patterns.rename(tmp_path / "moved")
    assert run.run(job_of(faces, pattern_dir=moved)).left == 0


@pytest.mark.parametrize("content", [None, {}, {"a.png": b"no picture"}])
def test_a_folder_without_usable_patterns_is_refused(faces, job_of, tmp_path, content):
    folder = tmp_path / "none"
    if content is not None:
        folder.mkdir()
        for name, data in content.items():
            (folder / name).write_bytes(data)
    with pytest.raises(ConfigError, match=r"pattern|no picture"):
        run.run(job_of(faces, pattern_dir=folder))


# ---- command line


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("nose=1", "unknown way"),
        ("correct=x", "NAME=WEIGHT"),
        ("correct=1,correct=2", "twice"),
        ("correct=0", "above 0"),
    ],
)
def test_wrong_weights_are_a_usage_error(tmp_path, value, message):
    result = CliRunner().invoke(augment, [str(tmp_path), str(tmp_path / "out"), "--wear", value])
    assert result.exit_code == 2
    assert message in result.output.replace("\n", " ")


def test_weights_reach_the_settings(tmp_path, monkeypatch):
    small_catalog(tmp_path, {"red": 1})
    seen = {}
    plan = SimpleNamespace(count=run.Numbers, masks=SimpleNamespace(catalog=Catalog.load(), newer=()))
    monkeypatch.setattr(run, "prepare", lambda job: seen.update(settings=job.settings) or nullcontext(plan))
    arguments = [
        str(tmp_path),
        str(tmp_path / "out"),
        "--wear",
        "correct=3,nose_out=1",
        "--recolor",
        "0.25",
        "--dry-run",
    ]
    result = CliRunner().invoke(augment, arguments)
    assert result.exit_code == 0, result.output
    assert seen["settings"].wear == (("correct", 0.75), ("nose_out", 0.25))
    assert seen["settings"].recolor == 0.25


def test_alpha_is_where_the_mask_is_and_nowhere_else(shipped):
    image = np.full((300, 300, 3), 120, np.uint8)
    detector = Faces(face_at(HeadPose(5, 0, 0), 1.2, (150, 110)))
    masked = augment_image(image, detector, shipped.select(names=["cloth-black"]), np.random.default_rng(7))
    assert masked.alpha.shape == image.shape[:2]
    assert (masked.alpha >= 0).all()
    assert (masked.alpha <= 1).all()
    opaque = masked.alpha > 0.99
    assert opaque.mean() > 0.1
    assert (np.abs(masked.image.astype(int) - image).max(axis=2)[opaque] > 20).all()
    bare = augment_image(image, Faces(), shipped, np.random.default_rng(7))
    assert not bare.alpha.any()
    assert np.array_equal(bare.image, image)


@pytest.mark.parametrize("yaw", [-76, -64, -53, 53, 64, 76])
def test_of_a_far_turned_head_the_nose_is_inside_the_mask(yaw):
    nose = mean_head().vertices
    nose = nose[np.linalg.norm(nose - point_in_space("30"), axis=1) < 9]
    for pitch in (-20, 0, 20):
        face = face_at(HeadPose(yaw, pitch, 0), 2.0, (300, 250))
        places = np.round(in_image(nose, face.landmarks_68)).astype(int)
        for design in Catalog.load().designs:
            # Windows are clear.
            if design.entry.kind == "transparent" or not (views := design.views_for(yaw, pitch)):
                continue
            overlay = worn(views[0], face, (600, 700))
            alpha = np.zeros((700, 600), np.float32)
            alpha[overlay.region] = overlay.rgba[..., 3]
            assert alpha[places[:, 1], places[:, 0]].min() > 0.5, design.entry.name
