"""``maskgen catalog``: the masks there are, one's own among them."""

import io
import json
import os
import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from catalogs import huge_png
from click.testing import CliRunner
from pictures import chunk, exif_of, saved, with_chunks
from PIL import Image
from skimage import data
from strategies import face_at

from maskgen.catalog import bundle, edit
from maskgen.catalog.schema import Rotation
from maskgen.catalog.store import CATALOG_FILE, Catalog
from maskgen.cli import main
from maskgen.errors import CatalogError
from maskgen.face import Face
from maskgen.packs.find import BUNDLED, pack_dir
from maskgen.parallel import InProcess
from maskgen.studio import intake, pictured
from maskgen.studio.cutout import template
from maskgen.studio.photo import around

needs_pack = pytest.mark.skipif(
    not any(pack_dir(BUNDLED).glob("det*.onnx")), reason="maskgen/packs/bundled holds no detector yet"
)
PLACES = {"1": (20, 10), "15": (180, 10), "5": (20, 150), "11": (180, 150), "30": (100, 40)}


class OneFace:
    """Finds the mean head in the middle of pictures that are bright in the middle."""

    def detect(self, image):
        height, width = image.shape[:2]
        if image[height // 2, width // 2].max() < 20:
            return []
        return [face_at(pixels_per_mm=height / 300, centre=(width / 2, height * 0.4))]


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The user's own catalog."""
    monkeypatch.delenv("MASKGEN_CATALOG", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "home"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    return Path(CliRunner().invoke(main, ["catalog", "path"]).stdout.strip())


@pytest.fixture
def invoke(monkeypatch, own):
    monkeypatch.setattr(intake, "_tools", lambda model: pictured.Tools(OneFace(), None))
    # Rendering takes seconds: tests/studio/test_around.py looks at it.
    monkeypatch.setattr(around, "rendered_views", lambda seen, has_loops: [])
    monkeypatch.setattr("maskgen.cli.catalog.add.LocalExecutor", lambda workers: InProcess())

    def call(*args):
        args = [str(arg) for arg in ("catalog", *args)]
        if args[1] == "add":
            args += ["--workers", "1"]
        return CliRunner().invoke(main, args)

    return call


@pytest.fixture
def cutout(tmp_path):
    """An RGBA picture of a mask, transparent around it."""
    rgba = np.zeros((160, 200, 4), np.uint8)
    cv2.ellipse(rgba, (100, 70), (75, 60), 0, 0, 360, (200, 60, 60, 255), -1)
    path = tmp_path / "red mask.png"
    Image.fromarray(rgba).save(path)
    return path


@pytest.fixture
def points(tmp_path):
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"points": PLACES}))
    return path


BLUE, BLACK = (150, 190, 215), (30, 30, 34)


def portrait(path, mask=BLUE, size=300):
    """A drawn person wearing a mask where `OneFace` expects it; without one if there is no colour."""
    path.parent.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    face = face_at(pixels_per_mm=size / 300, centre=(size / 2, size * 0.4))
    image = np.full((size, size, 3), (70, 90, 70), np.uint8)
    x1, y1, x2, y2 = face.bbox
    middle = (int((x1 + x2) / 2), int((y1 + y2) / 2))
    cv2.ellipse(image, middle, (int((x2 - x1) / 2), int((y2 - y1) / 2)), 0, 0, 360, (200, 150, 125), -1)
    for eye in (face.landmarks_68[36:42], face.landmarks_68[42:48]):
        cv2.fillConvexPoly(image, np.round(eye).astype(np.int32), (40, 30, 30))
    if mask is not None:
        hull = cv2.convexHull(np.round(face.landmarks_68[[28, *range(2, 15)]]).astype(np.int32))
        cv2.fillConvexPoly(image, hull, mask)
    noisy = np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)
    Image.fromarray(noisy).save(path)
    return path


def names_in(folder):
    return [design.entry.name for design in Catalog.load(folder).designs]


# ---- list, show, check


def test_list_names_the_designs(catalog_dir, invoke):
    lines = invoke("list", "--catalog", catalog_dir).stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["name", "red", "blue"]
    assert "-60 to 60" in lines[1]
    designs = json.loads(invoke("list", "--catalog", catalog_dir, "--json").stdout)
    assert [design["name"] for design in designs] == ["red", "blue"]


def test_list_takes_kinds_and_tags(catalog_dir, invoke):
    assert [
        d["name"] for d in json.loads(invoke("list", "--catalog", catalog_dir, "--tag", "red", "--json").stdout)
    ] == ["red"]
    assert invoke("list", "--catalog", catalog_dir, "--kind", "gaiter").exit_code == 1


def test_show_gives_views_and_rotations(catalog_dir, invoke):
    result = invoke("show", "red", "--catalog", catalog_dir)
    assert re.search(r"red_40\.png:mirrored +-60 to -20", result.stdout)
    assert json.loads(invoke("show", "red", "--catalog", catalog_dir, "--json").stdout)["name"] == "red"
    assert invoke("show", "mauve", "--catalog", catalog_dir).exit_code == 1


def test_check_finds_gaps_and_calls_them_no_fault(catalog_dir, invoke):
    result = invoke("check", "--catalog", catalog_dir)
    assert result.exit_code == 0
    assert re.search("gap +red: no view for yaw -90 to -65, 65 to 90", result.stdout)
    report = json.loads(invoke("check", "--catalog", catalog_dir, "--json").stdout)
    assert report["catalogs"][0]["yaw_gaps_deg"]["red"] == [[-90, -65], [65, 90]]


def test_check_finds_pictures_that_changed(catalog_dir, invoke):
    with (catalog_dir / "red_0.png").open("ab") as file:
        file.write(b"x")
    result = invoke("check", "--catalog", catalog_dir)
    assert result.exit_code == 1
    assert "fault  red_0.png: sha256 is" in result.stdout


def test_check_finds_pictures_that_are_missing(catalog_dir, invoke):
    (catalog_dir / "red_0.png").unlink()
    result = invoke("check", "--catalog", catalog_dir)
    assert result.exit_code == 1
    assert "red_0.png" in result.stderr


def test_check_tells_folds_and_strays(catalog_dir, invoke):
    contents = json.loads((catalog_dir / CATALOG_FILE).read_text())
    points = contents["masks"][0]["views"][0]["points"]
    points["33"], points["8"] = points["8"], points["33"]
    (catalog_dir / CATALOG_FILE).write_text(json.dumps(contents))
    (catalog_dir / "left.png").write_bytes(b"")
    result = invoke("check", "--catalog", catalog_dir)
    assert result.exit_code == 0
    assert re.search(r"fold +red_0\.png", result.stdout)
    assert re.search(r"stray +left\.png", result.stdout)
    report = json.loads(invoke("check", "--catalog", catalog_dir, "--json").stdout)
    assert report["catalogs"][0]["folds"]["red"][0]["triangles"] > 0
    assert report["catalogs"][0]["strays"] == ["left.png"]


def test_the_catalog_that_ships_is_faultless(invoke):
    result = invoke("check")
    assert result.exit_code == 0, result.output


@pytest.mark.skipif(sys.platform != "linux", reason="where a user's data lie differs by system")
def test_ones_own_catalog_lies_with_a_users_data_and_takes_what_is_added(tmp_path, own, invoke, cutout, points):
    assert own == tmp_path / "home" / "maskgen" / "catalog"
    assert not own.exists()
    assert invoke("add", cutout, "--points", points).exit_code == 0
    assert [design.entry.name for design in Catalog.load(own).designs] == ["red-mask"]
    assert invoke("list", "--catalog", own, "--json").exit_code == 0


# ---- add


def test_a_photograph_becomes_a_design_of_ones_own(tmp_path, invoke, own):
    result = invoke(
        "add",
        portrait(tmp_path / "me.png"),
        "--kind",
        "surgical",
        "--tag",
        "mine",
        "--license",
        "CC0-1.0",
        "--weight",
        2,
    )
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    entry = Catalog.load(own).designs[0].entry
    assert (entry.name, entry.kind, entry.license, entry.weight) == ("me", "surgical", "CC0-1.0", 2)
    assert entry.tags == ("mine", "photograph")
    assert entry.colour == "light blue"
    assert invoke("check", "--catalog", own).exit_code == 0


def test_an_unknown_licence_is_recorded_as_such_with_a_note(tmp_path, invoke, own):
    result = invoke("add", portrait(tmp_path / "me.png"))
    assert "no --license given" in result.stderr
    assert Catalog.load(own).designs[0].entry.license == "LicenseRef-unknown"


def test_a_folder_is_taken_with_a_reason_for_each_refusal(tmp_path, invoke, own):
    portrait(tmp_path / "in" / "a.png")
    portrait(tmp_path / "in" / "bare.png", mask=None)
    portrait(tmp_path / "in" / "tiny.png", size=80)
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(tmp_path / "in" / "night.jpg")
    (tmp_path / "in" / "broken.png").write_bytes(b"\x89PNG")
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    result = invoke("add", tmp_path / "in", "--json")
    assert result.exit_code == 3
    report = json.loads(result.stdout)
    assert report["catalog"] == str(own)
    assert [added["name"] for added in report["added"]] == ["a"]
    assert {Path(r["file"]).name: r["reason"] for r in report["refused"]} == {
        "bare.png": "no_mask",
        "broken.png": "bad_image",
        "night.jpg": "no_face",
        "tiny.png": "too_small",
    }
    again = invoke("add", tmp_path / "in")
    assert again.exit_code == 3
    lines = [line for line in again.stderr.splitlines() if line.startswith("refused")]
    assert len(lines) == 5
    assert "name_taken" in lines[0]
    assert "no_mask" in lines[1]


@pytest.mark.skipif(sys.platform != "linux", reason="file names are Unicode there")
def test_a_file_name_that_is_no_unicode_is_refused_with_a_line_each(tmp_path, invoke, own):
    portrait(tmp_path / "in" / "a.png")
    raw = (tmp_path / "in" / "a.png").read_bytes()
    for name in (b"b\xff.png", b"c\xe9.jpg"):
        Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/" + name)).write_bytes(raw)
    result = invoke("add", tmp_path / "in", "--license", "CC0-1.0")
    assert result.exit_code == 3
    assert names_in(own) == ["a"]
    assert result.stderr.splitlines() == [
        f"refused  bad_name: {tmp_path / 'in'}/{name}: the file name is not valid Unicode; rename it"
        for name in (r"b\udcff.png", r"c\udce9.jpg")
    ]
    assert "1 design added, 2 pictures refused" in result.stdout
    (tmp_path / "in" / "a.png").unlink()
    report = json.loads(invoke("add", tmp_path / "in", "--json").stdout)
    assert [one["reason"] for one in report["refused"]] == ["bad_name"] * 2
    alone = invoke("add", Path(os.fsdecode(os.fsencode(tmp_path / "in") + b"/b\xff.png")))
    assert alone.exit_code in (0, 1)
    assert alone.exception is None or isinstance(alone.exception, SystemExit)


def test_the_refusal_of_a_picture_names_no_option_that_catalog_add_lacks(tmp_path, invoke):
    whole = portrait(tmp_path / "whole.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[:-300])
    Image.new("1", (9000, 9000)).save(tmp_path / "huge.png")
    with (tmp_path / "long.jpg").open("wb") as file:
        file.truncate(3 * 2**30)
    for name, fault in (("cut.jpg", "cut short"), ("huge.png", "9000 x 9000 pixels"), ("long.jpg", "bytes, more than")):
        refused = invoke("add", tmp_path / name)
        assert fault in refused.stderr
        assert not re.search("truncated|max.pixels", refused.stderr)


EXTREME = ((1, 5000), (3000, 1), (20, 65_500), (40, 40_000), (1, 1), (31, 31), (31_000, 33))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_pictures_of_extreme_shapes_are_refused_and_the_others_go_on(tmp_path, invoke, own, mode):
    (tmp_path / "in").mkdir()
    for height, width in EXTREME:
        Image.new(mode, (width, height)).save(tmp_path / "in" / f"{width}x{height}.png")
    portrait(tmp_path / "in" / "z.png")
    report = json.loads(invoke("add", tmp_path / "in", "--json").stdout)
    assert [added["name"] for added in report["added"]] == ["z"]
    assert len(report["refused"]) == len(EXTREME)
    assert {refused["reason"] for refused in report["refused"]} <= {"too_small", "bad_image", "no_face", "cut_out"}
    by_name = {Path(refused["file"]).stem: refused for refused in report["refused"]}
    assert by_name["5000x1"]["message"].endswith("5000 x 1 pixels, 32 are needed across and down")
    assert "at most 32,000 are taken across or down" in by_name["40000x40"]["message"]


@pytest.mark.parametrize(
    "error",
    [
        cv2.error("OpenCV(4) (-215:Assertion failed)\n in function 'resize'\n"),
        ValueError("x"),
        ZeroDivisionError(),
        MemoryError(),
        RecursionError(),
        KeyError("\x1b[2J"),
        np.linalg.LinAlgError("x"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_picture_that_brings_up_an_unknown_fault_is_refused_and_the_others_go_on(
    tmp_path, invoke, own, monkeypatch, error
):
    class Failing(OneFace):
        def detect(self, image):
            if image.shape[0] == 301:
                raise error
            return super().detect(image)

    monkeypatch.setattr(intake, "_tools", lambda model: pictured.Tools(Failing(), None))
    for name, size, mask in (("a", 300, BLUE), ("b", 301, BLUE), ("c", 300, BLACK)):
        portrait(tmp_path / "in" / f"{name}.png", mask, size)
    result = invoke("add", tmp_path / "in")
    assert result.exit_code == 3
    assert names_in(own) == ["a", "c"]
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("refused")]
    assert line.startswith(f"refused  unexpected: {tmp_path / 'in' / 'b.png'}: {type(error).__name__}: ")
    alone = invoke("add", tmp_path / "in" / "b.png", "--license", "CC0-1.0")
    assert alone.exit_code == 1
    assert len(alone.stderr.splitlines()) == 1


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes there")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, invoke):
    os.mkfifo(tmp_path / "fifo.jpg")
    (tmp_path / "link.jpg").symlink_to("fifo.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name in ("fifo.jpg", "link.jpg"):
        assert "not a regular file" in invoke("add", tmp_path / name).stderr
    assert invoke("add", tmp_path / "loop.jpg").exit_code == 1
    assert "not a regular file" in invoke("add", tmp_path / "x.png", "--points", tmp_path / "fifo.jpg").stderr


def test_a_design_that_breaks_the_schema_is_refused_and_the_others_go_on(tmp_path, invoke, own, monkeypatch):
    taken = intake.take_one

    def with_bad_points(mask, request):
        (design,) = taken(mask, request)
        if mask.files[0].stem != "b":
            return [design]
        view = design.views[0]
        return [replace(design, views=(replace(view, points=dict.fromkeys(view.points, (1.0, 1.0))),))]

    monkeypatch.setattr(intake, "take_one", with_bad_points)
    for name, mask in zip("abc", (BLUE, (200, 60, 60), BLACK), strict=True):
        portrait(tmp_path / "in" / f"{name}.png", mask)
    report = json.loads(invoke("add", tmp_path / "in", "--json").stdout)
    assert [added["name"] for added in report["added"]] == ["a", "c"]
    assert [refused["reason"] for refused in report["refused"]] == ["bad_design"]
    assert "at the same place" in report["refused"][0]["message"]


def test_odd_metadata_does_not_keep_a_cut_out_from_being_looked_at(tmp_path, invoke):
    raw = saved(np.zeros((90, 90, 4), np.uint8), "PNG")
    odd = exif_of([(0x0112, 3, 1, b"\6\0\0\0"), (0x011A, 10, 1, b"\xff\xff\xff\x7f")])
    (tmp_path / "x.png").write_bytes(with_chunks(raw, chunk(b"eXIf", odd), chunk(b"pHYs", b"")))
    assert "transparent everywhere" in invoke("add", tmp_path / "x.png").stderr


def test_photographs_with_one_name_are_one_mask_seen_from_several_sides(tmp_path, invoke, own):
    pictures = [portrait(tmp_path / f"{name}.png") for name in ("front", "left", "right")]
    result = invoke("add", *pictures, "--name", "scarf")
    assert result.exit_code == 0, result.output
    (design,) = Catalog.load(own).designs
    assert design.entry.name == "scarf"
    assert len(design.entry.views) == 3
    assert not design.entry.mirror
    assert f"from {', '.join(map(str, pictures))}" in result.stdout


def test_each_folder_is_a_mask_with_by_folder(tmp_path, invoke, own):
    for folder, mask in (("scarf", BLUE), ("veil", BLACK)):
        for name in ("front", "left"):
            (tmp_path / "masks" / folder).mkdir(parents=True, exist_ok=True)
            portrait(tmp_path / "masks" / folder / f"{name}.png", mask)
    result = invoke("add", tmp_path / "masks", "--by-folder")
    assert result.exit_code == 0, result.output
    assert sorted(names_in(own)) == ["scarf", "veil"]
    assert invoke("add", tmp_path / "masks", "--by-folder", "--name", "x").exit_code == 2


def test_points_by_hand_join_several_pictures_of_a_mask(tmp_path, invoke, own, cutout):
    side = tmp_path / "side.png"
    rgba = np.asarray(Image.open(cutout)).copy()
    rgba[:30, :30] = (255, 255, 255, 255)
    Image.fromarray(rgba).save(side)
    turned = {"points": PLACES, "rotation": {"yaw": [20, 60], "pitch": [-20, 20]}}
    front = {"points": PLACES, "rotation": {"yaw": [-20, 20], "pitch": [-20, 20]}}
    file = tmp_path / "both.json"
    file.write_text(json.dumps({"pictures": {cutout.name: front, side.name: turned}}))
    result = invoke("add", cutout, side, "--name", "scarf", "--points", file)
    assert result.exit_code == 0, result.output
    (design,) = Catalog.load(own).designs
    assert [view.rotation.yaw for view in design.entry.views] == [(-20, 20), (20, 60)]
    assert design.entry.mirror
    file.write_text(json.dumps({"pictures": {cutout.name: {"points": PLACES}}}))
    assert "no rotation for 'red mask.png'" in invoke("add", cutout, "--points", file).stderr


def test_every_large_face_of_a_photograph_gives_a_mask(tmp_path, invoke, own, monkeypatch):
    class TwoFaces(OneFace):
        def detect(self, image):
            (face,) = super().detect(image[:, :300])
            there = Face(face.bbox + [300, 0, 300, 0], face.keypoints + [300, 0], face.landmarks + [300, 0], face.pose)
            return [there, face]

    monkeypatch.setattr(intake, "_tools", lambda model: pictured.Tools(TwoFaces(), None))
    both = [np.asarray(Image.open(portrait(tmp_path / f"{k}.png", mask))) for k, mask in enumerate((BLUE, BLACK))]
    Image.fromarray(np.concatenate(both, axis=1)).save(tmp_path / "us.png")
    result = invoke("add", tmp_path / "us.png")
    assert result.exit_code == 0, result.output
    colours = {design.entry.name: design.entry.colour for design in Catalog.load(own).designs}
    assert colours == {"us-1": "light blue", "us-2": "black"}


def test_taken_names_can_be_renamed_or_replaced(tmp_path, invoke, own):
    picture = portrait(tmp_path / "me.png")
    assert invoke("add", picture).exit_code == 0
    refused = invoke("add", picture)
    assert refused.exit_code == 1
    assert "is there already" in refused.stderr
    refused = invoke("add", picture, "--json")
    assert refused.exit_code == 1
    assert json.loads(refused.stdout)["refused"][0]["reason"] == "name_taken"
    assert invoke("add", portrait(tmp_path / "more" / "me.png", BLACK), "--rename").exit_code == 0
    assert invoke("add", picture, "--replace").exit_code == 0
    assert names_in(own) == ["me", "me-2"]


def test_a_cutout_with_points_becomes_one_frontal_view(cutout, points, invoke, own):
    result = invoke("add", cutout, "--points", points, "--name", "scarf", "--kind", "cloth")
    assert result.exit_code == 0, result.output
    (design,) = Catalog.load(own).designs
    (view,) = design.views
    assert (design.entry.name, design.entry.colour) == ("scarf", "red")
    assert dict(zip(view.names, view.points.tolist(), strict=True)) == {n: list(p) for n, p in PLACES.items()}
    assert view.rotation.holds(0, 0)
    assert np.array_equal(np.asarray(Image.open(view.path)), np.asarray(Image.open(cutout)))


def test_points_may_say_what_rotation_they_are_for(cutout, points, invoke, own):
    points.write_text(json.dumps({"points": PLACES, "rotation": {"yaw": [10, 40], "pitch": [-5, 5]}}))
    assert invoke("add", cutout, "--points", points).exit_code == 0
    assert Catalog.load(own).designs[0].entry.views[0].rotation == Rotation(yaw=(10, 40), pitch=(-5, 5))


def test_a_mask_on_a_plain_background_is_freed_from_it(tmp_path, points, invoke, own):
    image = np.full((160, 200, 3), 250, np.uint8)
    cv2.ellipse(image, (100, 70), (75, 60), 0, 0, 360, (10, 12, 14), -1)
    Image.fromarray(image).save(tmp_path / "plain.png")
    assert invoke("add", tmp_path / "plain.png", "--points", points).exit_code == 0
    alpha = np.asarray(Image.open(Catalog.load(own).designs[0].views[0].path))[..., 3]
    assert alpha[70, 100] == 255
    assert alpha[5, 5] == alpha[155, 195] == 0
    assert (alpha > 128).sum() == pytest.approx(np.pi * 75 * 60, rel=0.05)


def test_a_cutout_without_points_is_lifted_onto_the_head(cutout, invoke, own, monkeypatch):
    def views_from_cutout(rgba, kind):
        assert (rgba.shape, kind) == ((160, 200, 4), "gaiter")
        return [
            edit.NewView(edit.png_of(rgba), Rotation(yaw=yaw, pitch=(-9, 9)), PLACES) for yaw in ((-20, 0), (0, 20))
        ]

    monkeypatch.setattr(template, "views_from_cutout", views_from_cutout)
    assert invoke("add", cutout, "--kind", "gaiter").exit_code == 0
    (design,) = Catalog.load(own).designs
    assert design.entry.name == "red-mask"
    assert [view.rotation.yaw for view in design.views] == [(-20, 0), (0, 20)]  # none is mirrored


def test_a_cutout_that_cannot_be_lifted_is_one_clear_line(cutout, invoke, own, monkeypatch):
    def views_from_cutout(rgba, kind):
        raise CatalogError("no mask to be seen")

    monkeypatch.setattr(template, "views_from_cutout", views_from_cutout)
    result = invoke("add", cutout, "--license", "CC0-1.0")
    assert result.exit_code == 1
    assert result.stderr == f"error: cut_out: {cutout}: no mask to be seen\n"
    assert not (own / CATALOG_FILE).exists()


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ("{", "points.json: Invalid JSON"),
        ('{"points": {"30": [1, 2]}}', "points"),
        ('{"points": {"30": [1, 2], "8": [3, 4], "68": [5, 6]}}', "unknown control points"),
        ('{"points": {"30": [1, 1], "8": [2, 2], "2": [3, 3]}}', "'30', '8', '2' lie on one line"),
        ('{"points": {"30": [1, 1], "8": [1, 1], "2": [30, 3], "14": [9, 90]}}', "'30', '8' lie at the same place"),
        ('{"points": {"30": [1, 1e300], "8": [2, 20], "2": [3, 3]}}', "'30' lies outside"),
        ('{"points": {"30": [1, NaN], "8": [2, 20], "2": [3, 3]}}', "finite number"),
        (
            '{"points": {"30": [1, 9], "8": [2, 20], "2": [3, 3]}, "rotation": {"yaw": [9, 1], "pitch": [0, 1]}}',
            "empty",
        ),
        ("[" * 100_000, "Invalid JSON"),
        ('{"points": {"30": [1, 2], "8": [3, 40], "2": [50, 9]}, "more": 1}', "more: Extra inputs"),
    ],
)
def test_malformed_points_are_one_clear_line(cutout, points, invoke, own, contents, says):
    points.write_text(contents)
    result = invoke("add", cutout, "--points", points)
    assert result.exit_code == 1
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not own.exists()


def test_points_far_from_the_picture_are_refused_before_anything_is_rendered(cutout, points, invoke, own):
    points.write_text(json.dumps({"points": {**PLACES, "30": [1, 9000]}}))
    result = invoke("add", cutout, "--points", points, "--license", "CC0-1.0")
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: cut_out: {cutout}: control point '30' lies outside the picture")
    assert not (own / CATALOG_FILE).exists()


def test_broken_pictures_are_one_clear_line_and_write_nothing(tmp_path, invoke, own):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((40, 40, 4), np.uint8)).save(buffer, "PNG")
    for raw, says in (
        (b"text", "not a picture"),
        (b"", "empty file"),
        (huge_png(11_000), "megapixels|pixels, more than"),
        (buffer.getvalue(), "transparent everywhere"),
    ):
        (tmp_path / "x.png").write_bytes(raw)
        result = invoke("add", tmp_path / "x.png", "--license", "CC0-1.0")
        assert result.exit_code == 1
        assert any(part in result.stderr for part in says.split("|")), result.stderr
        assert len(result.stderr.splitlines()) == 1
    assert not (own / CATALOG_FILE).exists()


def test_points_for_one_picture_are_refused_for_several(tmp_path, points, invoke, own):
    for name in "ab":
        portrait(tmp_path / "in" / f"{name}.png")
    for more in ((), ("--name", "x")):
        result = invoke("add", tmp_path / "in", "--points", points, *more)
        assert result.exit_code == 2
        assert "these --points are for one picture" in result.stderr
    assert not own.exists()


def test_missing_and_empty_sources_are_named(tmp_path, invoke):
    assert "no such file" in invoke("add", tmp_path / "gone.png").stderr
    (tmp_path / "empty").mkdir()
    assert "no pictures" in invoke("add", tmp_path / "empty").stderr


def test_the_catalog_that_ships_is_read_only(tmp_path, invoke):
    shipped = Catalog.load().roots[0]
    before = (shipped / CATALOG_FILE).read_bytes()
    for arguments in (("add", portrait(tmp_path / "me.png")), ("remove", names_in(shipped)[0])):
        result = invoke(*arguments, "--catalog", shipped)
        assert result.exit_code == 1
        assert "is not changed" in result.stderr
    assert (shipped / CATALOG_FILE).read_bytes() == before


@needs_pack
def test_workers_give_what_one_process_gives(tmp_path, own):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(data.astronaut()[:300, 60:400]).save(folder / name)
    reports = []
    for workers in ("1", "2"):
        result = CliRunner().invoke(main, ["catalog", "add", str(folder), "--json", "--workers", workers])
        reports.append(json.loads(result.stdout))
    assert reports[0] == reports[1]
    assert [refusal["reason"] for refusal in reports[0]["refused"]] == ["no_mask", "no_mask"]


# ---- remove, export, import


def test_designs_go_out_and_come_in_as_one_file(catalog_dir, tmp_path, invoke, own):
    out = tmp_path / "masks.zip"
    assert invoke("export", out, "red", "--catalog", catalog_dir).exit_code == 0
    assert [design.name for design in bundle.read(out)] == ["red"]
    assert invoke("import", out).exit_code == 0
    assert names_in(own) == ["red"]
    assert "is there already" in invoke("import", out).stderr
    assert invoke("import", out, "--rename").exit_code == 0
    assert invoke("import", out, "red", "--replace").exit_code == 0
    assert names_in(own) == ["red", "red-2"]
    assert invoke("remove", "red", "red-2").exit_code == 0
    assert names_in(own) == []
    assert invoke("remove", "red").exit_code == 1


def test_export_and_preview_overwrite_a_file_only_when_told_to(catalog_dir, tmp_path, invoke, monkeypatch):
    monkeypatch.setattr("maskgen.detect.FaceDetector", lambda model: OneFace())
    for command, name in (("export", "masks.zip"), ("preview", "sheet.png")):
        out = tmp_path / name
        out.write_bytes(b"mine")
        refused = invoke(command, out, "--catalog", catalog_dir)
        assert refused.exit_code == 1
        assert f"error: {out}: is there already; choose another name or use --overwrite" in refused.stderr
        assert out.read_bytes() == b"mine"
        assert invoke(command, out, "--catalog", catalog_dir, "--overwrite").exit_code == 0
        assert out.read_bytes() != b"mine"


def test_export_of_a_design_that_is_not_there_writes_nothing(catalog_dir, tmp_path, invoke):
    assert invoke("export", tmp_path / "x.zip", "red", "mauve", "--catalog", catalog_dir).exit_code == 1
    assert not (tmp_path / "x.zip").exists()


def test_a_locked_catalog_is_one_clear_line(catalog_dir, invoke):
    with edit.locked(catalog_dir):
        result = invoke("remove", "red", "--catalog", catalog_dir)
    assert result.exit_code == 1
    assert "another process" in result.stderr


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_catalog_that_cannot_be_written_is_one_clear_line(catalog_dir, tmp_path, invoke):
    catalog_dir.chmod(0o500)
    result = invoke("remove", "red", "--catalog", catalog_dir)
    catalog_dir.chmod(0o700)
    assert result.exit_code == 1
    assert "cannot be written" in result.stderr


# ---- preview


@needs_pack
def test_preview_draws_a_row_for_each_design_on_heads_and_photographs(catalog_dir, tmp_path, invoke):
    result = invoke("preview", tmp_path / "sheet.png", "--catalog", catalog_dir)
    assert result.exit_code == 0, result.output
    sheet = np.asarray(Image.open(tmp_path / "sheet.png")).astype(int)
    assert sheet.shape[0] == 2 * 150
    for row, colour in ((0, (200, 120, 60)), (1, (200, 120, 100))):  # small_catalog writes BGR
        near = np.abs(sheet[row * 150 : (row + 1) * 150] - colour).max(axis=-1) < 4
        columns = near.any(axis=0)
        assert [bool(columns[150 * k + 20 : 150 * k + 130].any()) for k in range(1, 6)] == [True] * 5


@needs_pack
def test_preview_takes_photographs_of_ones_own(catalog_dir, tmp_path, invoke):
    Image.fromarray(data.astronaut()).save(tmp_path / "me.png")
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(tmp_path / "night.png")
    out = tmp_path / "sheet.png"
    chosen = ("--catalog", catalog_dir, "--design", "red", "--kind", "cloth", "--tag", "red")
    assert invoke("preview", out, "--photo", tmp_path / "me.png", *chosen).exit_code == 0
    assert Image.open(out).size == (7 * 150, 150)
    assert "no face found" in invoke("preview", tmp_path / "other.png", "--photo", tmp_path / "night.png").stderr
    assert invoke("preview", tmp_path / "sheet.jpg").exit_code == 2
