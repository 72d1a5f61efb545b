"""Changing catalogs on disk, and handing them on as zip files: whole or not at all."""

import hashlib
import json
import re
import stat
import subprocess
import sys
import zipfile
from dataclasses import replace

import cv2
import numpy as np
import pytest
from catalogs import huge_png

from maskgen import files
from maskgen.catalog import bundle, check, edit
from maskgen.catalog.places import CATALOG_FILE, default_catalog_dir, user_catalog_dir
from maskgen.catalog.schema import Rotation, Straps
from maskgen.catalog.store import Catalog
from maskgen.errors import CatalogError, MaskgenError

POINTS = {"30": (10.0, 10.0), "1": (-1.0, -1.0), "15": (21.0, -1.0), "5": (-1.0, 21.0), "11": (21.0, 21.0)}


def png(shade=100, size=21):
    rgba = np.full((size, size, 4), shade, np.uint8)
    rgba[..., 3] = 255
    return edit.png_of(rgba)


def design(name, shade=100, yaw=(-10, 10)):
    view = edit.NewView(png(shade), Rotation(yaw=yaw, pitch=(-10, 10)), POINTS)
    return edit.NewDesign(name, "cloth", "CC0-1.0", (view,))


def names_in(root):
    return [entry.entry.name for entry in Catalog.load(root).designs]


@pytest.fixture
def root(tmp_path):
    edit.add(tmp_path / "catalog", [design("one", 10), design("two", 20)])
    return tmp_path / "catalog"


# ---- add and remove


def test_what_is_added_can_be_loaded_with_the_same_pixels(root):
    loaded = Catalog.load(root)
    assert names_in(root) == ["one", "two"]
    assert np.allclose(loaded.designs[1].views[0].textures[0][0, 0], np.array([20, 20, 20, 255]) / 255)
    assert not list(check.faults_of(loaded.designs[0]))


def test_a_taken_name_is_refused_renamed_or_replaced(root):
    with pytest.raises(edit.NameTakenError, match="'one' is there already"):
        edit.add(root, [design("one", 30)])
    assert edit.add(root, [design("one", 30)], "rename") == ["one-2"]
    assert edit.add(root, [design("one", 40)], "replace") == ["one"]
    assert names_in(root) == ["one", "two", "one-2"]
    assert Catalog.load(root).designs[0].views[0].textures[0][0, 0, 0] == pytest.approx(40 / 255)


def test_replaced_and_removed_pictures_are_deleted_and_no_others(root):
    (root / "notes.txt").write_text("mine")
    edit.add(root, [design("one", 40)], "replace")
    edit.remove(root, ["two"])
    assert len(list(root.rglob("*.png"))) == 1
    assert not (root / "two").exists()
    assert (root / "notes.txt").exists()


def test_a_picture_that_two_designs_share_outlives_one_of_them(root):
    path = root / CATALOG_FILE
    contents = json.loads(path.read_text())
    contents["masks"][1]["views"] = contents["masks"][0]["views"]
    path.write_text(json.dumps(contents))
    edit.remove(root, ["one"])
    assert not list(check.faults_of(Catalog.load(root).designs[0]))


def test_removing_what_is_not_there_removes_nothing(root):
    with pytest.raises(CatalogError, match="no design 'three'"):
        edit.remove(root, ["one", "three"])
    assert names_in(root) == ["one", "two"]


def test_all_designs_are_added_or_none(root):
    with pytest.raises(edit.NameTakenError):
        edit.add(root, [design("three"), design("one")])
    assert names_in(root) == ["one", "two"]
    assert len(list(root.rglob("*.png"))) == 2


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "x" * 65, "ü"])
def test_a_design_that_breaks_the_schema_is_refused_before_anything_is_written(root, name):
    with pytest.raises(CatalogError, match=r"design .*: name"):
        edit.add(root, [design(name)])
    assert len(list(root.rglob("*.png"))) == 2


def test_the_catalog_that_ships_is_never_changed():
    with pytest.raises(CatalogError, match="ships with maskgen"):
        edit.add(default_catalog_dir(), [design("one")])


def test_a_users_own_catalog_lies_outside_the_package(monkeypatch, tmp_path):
    monkeypatch.delenv("MASKGEN_CATALOG", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path))
    assert default_catalog_dir().parent not in user_catalog_dir().parents


def test_a_malformed_catalog_is_left_as_it_is(root):
    path = root / CATALOG_FILE
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CatalogError, match=r"catalog\.json"):
        edit.add(root, [design("three")])
    assert len(path.read_bytes()) == 100


KILLED = """
import os, sys
from pathlib import Path
from maskgen import files
from maskgen.catalog import edit
sys.path[:0] = [{tests!r}, {helpers!r}]
from test_catalog_edit import design
whole, left = files.write_whole, [{pictures}]
def write(path, data):
    if left[0] == 0:
        os._exit(9)
    left[0] -= 1
    whole(path, data)
files.write_whole = write
edit.add(Path({root!r}), [design("one", 50), design("three", 60)], "replace")
"""


@pytest.mark.parametrize("pictures", [0, 1, 2])
def test_a_killed_add_leaves_the_old_catalog_and_no_lock(root, pictures, request):
    before = (root / CATALOG_FILE).read_bytes()
    code = KILLED.format(
        tests=str(request.path.parent), helpers=str(request.path.parents[1]), root=str(root), pictures=pictures
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 9
    assert (root / CATALOG_FILE).read_bytes() == before
    loaded = Catalog.load(root)
    assert not [fault for entry in loaded.designs for fault in check.faults_of(entry)]
    assert len(check.strays_of(root, loaded.designs)) == pictures
    assert edit.add(root, [design("four")]) == ["four"]


def test_two_writers_do_not_lose_each_others_designs(root):
    with edit.locked(root), pytest.raises(CatalogError, match="another process"):
        edit.add(root, [design("three")])
    assert edit.add(root, [design("three")]) == ["three"]


def test_leftovers_of_killed_writers_are_swept_up(root):
    (root / files.temporary_name()).write_bytes(b"half")
    edit.add(root, [design("three")])
    assert not list(files.leftovers(root))


# ---- links


def linked(root, name, target):
    """The folder of a design moved elsewhere, with a link in its place."""
    (root / name).rename(target)
    (root / name).symlink_to(target, target_is_directory=True)
    return target


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_what_a_linked_folder_leads_to_is_not_deleted(root, tmp_path):
    target = linked(root, "one", tmp_path / "pictures")
    (picture,) = target.iterdir()
    edit.remove(root, ["one"])
    assert picture.exists()
    assert (root / "one").is_symlink()
    assert names_in(root) == ["two"]


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_nothing_is_written_through_a_link_that_leads_out(root, tmp_path):
    target = linked(root, "one", tmp_path / "pictures")
    before = {path: path.read_bytes() for path in target.iterdir()}
    (root / "three").symlink_to(tmp_path / "pictures")
    (root / "four").symlink_to("four")
    contents = (root / CATALOG_FILE).read_bytes()
    for name in ("one", "three"):
        with pytest.raises(CatalogError, match="leads out of the catalog"):
            edit.add(root, [design("new"), design(name, 77)], "replace")
    with pytest.raises(MaskgenError, match="four"):
        edit.add(root, [design("four", 77)])
    assert {path: path.read_bytes() for path in target.iterdir()} == before
    assert (root / CATALOG_FILE).read_bytes() == contents
    assert not (root / "new").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_picture_that_is_a_link_is_replaced_and_removed_as_a_link(root, tmp_path):
    (picture,) = (root / "one").iterdir()
    picture.rename(tmp_path / "mine.png")
    picture.symlink_to(tmp_path / "mine.png")
    edit.remove(root, ["one"])
    assert (tmp_path / "mine.png").exists()
    assert not picture.is_symlink()


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_a_picture_that_another_design_reaches_by_a_link_is_kept(root):
    path = root / CATALOG_FILE
    contents = json.loads(path.read_text())
    contents["masks"][1]["views"] = json.loads(json.dumps(contents["masks"][0]["views"]))
    view = contents["masks"][1]["views"][0]
    view["file"] = view["file"].replace("one/", "again/")
    (root / "again").symlink_to("one")
    path.write_text(json.dumps(contents))
    edit.remove(root, ["one"])
    assert not list(check.faults_of(Catalog.load(root).designs[0]))


@pytest.mark.parametrize("file", ["../mine.png", "/etc/mine.png", "one/../../mine.png"])
def test_a_catalog_that_names_a_picture_outside_deletes_nothing(root, tmp_path, file):
    (tmp_path / "mine.png").write_bytes(png())
    path = root / CATALOG_FILE
    contents = json.loads(path.read_text())
    contents["masks"][0]["views"][0]["file"] = file
    path.write_text(json.dumps(contents))
    with pytest.raises(CatalogError, match="inside the catalog"):
        edit.remove(root, ["one"])
    assert (tmp_path / "mine.png").exists()


def test_a_picture_that_cannot_be_deleted_is_named_and_the_catalog_stays_whole(root):
    (picture,) = (root / "one").iterdir()
    picture.unlink()
    picture.mkdir()
    with pytest.raises(MaskgenError, match=f"{picture.name}: cannot be deleted"):
        edit.remove(root, ["one"])
    assert names_in(root) == ["two"]


# ---- points

BAD_POINTS = {
    "on one line": ({"30": (0, 0), "8": (10, 10), "2": (20, 20.1)}, r"'30', '8', '2' lie on one line"),
    "all equal": ({"30": (5, 5), "8": (5, 5), "2": (5, 5)}, r"'30', '8', '2' lie at the same place"),
    "two equal": ({**POINTS, "8": POINTS["1"]}, r"'1', '8' lie at the same place"),
    "one far away": ({**POINTS, "8": (10, 400)}, r"'8' lies outside the picture by more than 10 times"),
    "one at 1e300": ({**POINTS, "8": (10, -1e300)}, r"'8' lies outside the picture"),
    "all at 1e300": (dict.fromkeys(POINTS, (1e300, 1e300)), r"'5', '11' lie outside the picture"),
}


@pytest.mark.parametrize(("points", "says"), BAD_POINTS.values(), ids=BAD_POINTS.keys())
def test_points_that_can_carry_no_mask_are_refused_by_name(root, points, says):
    view = edit.NewView(png(), Rotation(yaw=(-10, 10), pitch=(-10, 10)), points)
    with pytest.raises(edit.BadDesignError, match=f"design 'bad': view 1: control points? .*{says}"):
        edit.add(root, [edit.NewDesign("bad", "cloth", "CC0-1.0", (view,))])
    assert names_in(root) == ["one", "two"]


@pytest.mark.parametrize(("points", "says"), BAD_POINTS.values(), ids=BAD_POINTS.keys())
def test_check_names_design_view_and_points_and_the_design_can_be_removed(root, points, says):
    path = root / CATALOG_FILE
    contents = json.loads(path.read_text())
    contents["masks"][0]["views"][0] |= {"points": points, "rotation": {"yaw": [5, 10], "pitch": [0, 9]}}
    path.write_text(json.dumps(contents))
    bad = Catalog.load(root).designs[0]
    faults = list(check.faults_of(bad))
    assert re.search(rf"{bad.views[0].key} of design 'one': control points? .*{says}", "; ".join(faults))
    assert all(fold.view == bad.views[0].key for fold in check.folds_of(bad))
    edit.remove(root, ["one"])
    assert names_in(root) == ["two"]


@pytest.mark.parametrize("points", [BAD_POINTS["on one line"][0], BAD_POINTS["all at 1e300"][0]])
def test_a_view_without_triangles_is_one_clear_error(root, points):
    path = root / CATALOG_FILE
    contents = json.loads(path.read_text())
    points = {name: (x, x) for name, (x, _) in points.items()}
    contents["masks"][0]["views"][0]["points"] = points
    path.write_text(json.dumps(contents))
    with pytest.raises(CatalogError, match="nothing lies between the control points of this view of design 'one'"):
        Catalog.load(root).preload()


# ---- straps

STRAPS = Straps(kind="ear", color_rgb=(10, 20, 30), width_mm=4)


def test_straps_and_where_they_are_fastened_survive_a_catalog_and_a_zip_file(root, tmp_path):
    view = replace(design("held", yaw=(5, 10)).views[0], fastenings={"image_left_upper": (3.5, 7)})
    edit.add(root, [replace(design("held"), views=(view,), straps=STRAPS)])
    bundle.export(Catalog.load(root), tmp_path / "masks.zip")
    bundle.import_(tmp_path / "masks.zip", tmp_path / "other", ["held"])
    for catalog in (Catalog.load(root), Catalog.load(tmp_path / "other")):
        (held,) = catalog.select(names=["held"]).designs
        assert held.entry.straps == STRAPS
        shown, mirrored = held.views
        assert shown.fastenings == {"image_left_upper": (3.5, 7)}
        width = shown.textures.shapes[0][1]
        assert mirrored.fastenings == {"image_right_upper": (width - 1 - 3.5, 7)}


def test_straps_that_begin_far_from_the_picture_are_refused(root):
    view = replace(design("held", yaw=(5, 10)).views[0], fastenings={"image_left_upper": (-900, 7)})
    with pytest.raises(edit.BadDesignError, match="fastening 'image_left_upper' lies outside the picture"):
        edit.add(root, [replace(design("held"), views=(view,))])


# ---- check


def test_check_tells_views_that_fold_and_only_those():
    good = Catalog.load().designs[0]
    assert all(fold.share < 0.05 for fold in check.folds_of(good))


def test_check_finds_folds(root):
    # Nose and jaw changed places: on every head triangles around them turn over.
    crossed = {**POINTS, "30": POINTS["5"], "5": POINTS["30"]}
    view = edit.NewView(png(), Rotation(yaw=(-5, 5), pitch=(-5, 5)), crossed)
    edit.add(root, [edit.NewDesign("crossed", "cloth", "CC0-1.0", (view,))])
    (fold,) = check.folds_of(Catalog.load(root).designs[2])
    assert fold.triangles >= 1
    assert 0 < fold.share <= 1


def test_masks_that_reach_beyond_their_points_are_refused_as_they_are_added(root):
    view = edit.NewView(png(size=60), Rotation(yaw=(-5, 5), pitch=(-5, 5)), POINTS)
    with pytest.raises(edit.BadDesignError, match=r"8[0-9]% of the mask lies outside its control points.*; place"):
        edit.add(root, [edit.NewDesign("wide", "cloth", "CC0-1.0", (view,))])
    assert names_in(root) == ["one", "two"]


def test_check_finds_masks_that_reach_beyond_their_points(root):
    contents = json.loads((root / CATALOG_FILE).read_text())
    contents["masks"][0]["views"][0]["points"]["11"] = [12.0, 12.0]
    (root / CATALOG_FILE).write_text(json.dumps(contents))
    (fault,) = check.faults_of(Catalog.load(root).designs[0])
    assert "outside its control points" in fault


# ---- export and import


@pytest.fixture
def packed(root, tmp_path):
    bundle.export(Catalog.load(root), tmp_path / "masks.zip")
    return tmp_path / "masks.zip"


def rezipped(path, change, target=None):
    """The zip again, its entries (name -> bytes) changed."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    entries = change(entries) or entries
    target = target or path.with_name("changed.zip")
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, raw in entries.items() if isinstance(entries, dict) else entries:
            archive.writestr(name, raw)
    return target


def test_export_and_import_give_the_same_designs(root, packed, tmp_path):
    assert bundle.import_(packed, tmp_path / "other") == ["one", "two"]
    before, after = Catalog.load(root), Catalog.load(tmp_path / "other")
    assert [d.entry for d in after.designs] == [d.entry for d in before.designs]
    for entry in after.designs:
        assert not list(check.faults_of(entry))


def test_the_same_designs_export_to_the_same_bytes(root, packed, tmp_path):
    bundle.export(Catalog.load(root), tmp_path / "again.zip")
    assert (tmp_path / "again.zip").read_bytes() == packed.read_bytes()


def test_import_takes_only_the_designs_asked_for(packed, tmp_path):
    assert bundle.import_(packed, tmp_path / "other", ["two"]) == ["two"]
    with pytest.raises(CatalogError, match="no design 'three'"):
        bundle.import_(packed, tmp_path / "other", ["three"])


def test_import_refuses_taken_names_unless_told_what_to_do(root, packed):
    before = (root / CATALOG_FILE).read_bytes()
    with pytest.raises(edit.NameTakenError):
        bundle.import_(packed, root)
    assert (root / CATALOG_FILE).read_bytes() == before
    assert bundle.import_(packed, root, on_clash="rename") == ["one-2", "two-2"]
    assert bundle.import_(packed, root, on_clash="replace") == ["one", "two"]


def test_export_overwrites_nothing_unless_it_is_told_to(root, packed, tmp_path):
    (tmp_path / "link.zip").symlink_to(tmp_path / "mine.txt")
    (tmp_path / "mine.txt").write_text("mine")
    for name in ("link.zip", "mine.txt"):
        with pytest.raises(MaskgenError, match="is there already; choose another name or use existing=overwrite"):
            bundle.export(Catalog.load(root), tmp_path / name)
    assert (tmp_path / "mine.txt").read_text() == "mine"
    bundle.export(Catalog.load(root), tmp_path / "link.zip", "overwrite")
    assert bundle.read(tmp_path / "link.zip")
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_a_file_that_appears_while_designs_are_packed_is_not_overwritten(root, tmp_path, monkeypatch):
    rename = files._rename_to_new

    def late(source, target):
        target.write_text("mine")
        rename(source, target)

    monkeypatch.setattr(files, "_rename_to_new", late)
    with pytest.raises(MaskgenError, match="is there already"):
        bundle.export(Catalog.load(root), tmp_path / "x.zip")
    assert (tmp_path / "x.zip").read_text() == "mine"
    assert not list(files.leftovers(tmp_path))


def test_a_catalog_with_a_changed_picture_is_not_exported(root, tmp_path):
    path = next(root.rglob("*.png"))
    path.write_bytes(path.read_bytes() + b"x")
    with pytest.raises(CatalogError, match="not the picture that the catalog names"):
        bundle.export(Catalog.load(root), tmp_path / "x.zip")
    assert not (tmp_path / "x.zip").exists()


def with_picture(raw):
    """Makes a change that puts another picture, with its right hash, into the first view."""

    def change(entries):
        contents = json.loads(entries[CATALOG_FILE])
        view = contents["masks"][0]["views"][0]
        view["sha256"] = hashlib.sha256(raw).hexdigest()
        return {**entries, view["file"]: raw, CATALOG_FILE: json.dumps(contents).encode()}

    return change


def in_catalog(change_contents):
    def change(entries):
        contents = json.loads(entries[CATALOG_FILE])
        change_contents(contents)
        return {**entries, CATALOG_FILE: json.dumps(contents).encode()}

    return change


def in_view(**fields):
    return in_catalog(lambda contents: contents["masks"][0]["views"][0].update(fields))


HOSTILE = {
    "a path out of the folder": (lambda e: {**e, "../out.png": b"x"}, "outside the catalog"),
    "an absolute path": (lambda e: {**e, "/etc/out.png": b"x"}, "outside the catalog"),
    "a drive": (lambda e: {**e, "C:out.png": b"x"}, "outside the catalog"),
    "backslashes": (lambda e: {**e, "..\\out.png": b"x"}, "outside the catalog"),
    "a program": (lambda e: {**e, "run.sh": b"x"}, "neither catalog.json nor a PNG"),
    "a picture of no design": (lambda e: {**e, "more.png": png()}, "belongs to no design"),
    "no catalog": (lambda e: {k: v for k, v in e.items() if k != CATALOG_FILE}, "holds no catalog.json"),
    "truncated JSON": (lambda e: {**e, CATALOG_FILE: e[CATALOG_FILE][:50]}, "catalog.json"),
    "an unknown field": (in_catalog(lambda c: c["masks"][0].update(evil=1)), r"masks\[0\].evil"),
    "a path in the JSON": (in_view(file="../x.png"), "inside the catalog"),
    "a missing picture": (in_view(file="gone.png"), r"gone\.png|no design"),
    "a wrong hash": (in_view(sha256="0" * 64), "hash differs"),
    "text for a picture": (with_picture(b"MZ" + b"hello" * 40), "not a PNG"),
    "a picture cut short": (with_picture(png()[:60]), "not an 8-bit RGBA PNG"),
    "an opaque picture": (
        with_picture(cv2.imencode(".png", np.zeros((9, 9, 3), np.uint8))[1].tobytes()),
        "not an 8-bit RGBA PNG",
    ),
    "a clear picture": (with_picture(edit.png_of(np.zeros((9, 9, 4), np.uint8))), "transparent everywhere"),
    "a bomb": (lambda e: {**e, "one/bomb.png": bytes(30_000_000)}, "too much"),
    "a picture of 100 megapixels": (with_picture(huge_png(10_000)), "more than the"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "says"), HOSTILE.values(), ids=HOSTILE.keys())
def test_a_hostile_zip_is_refused_in_one_line_and_writes_nothing(packed, tmp_path, change, says):
    target = tmp_path / "safe" / "other"
    with pytest.raises(CatalogError, match=says) as refusal:
        bundle.import_(rezipped(packed, change), target)
    assert "\n" not in str(refusal.value)
    assert not list(tmp_path.glob("*.png"))
    assert not (target / CATALOG_FILE).exists()


def test_links_in_a_zip_are_refused(packed, tmp_path):
    link = zipfile.ZipInfo("one/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(packed, "a") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(CatalogError, match="is a link"):
        bundle.import_(packed, tmp_path / "other")


def test_entries_that_come_twice_are_refused(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        entries = [(name, archive.read(name)) for name in archive.namelist()]
    with pytest.warns(UserWarning, match="Duplicate"):
        twice = rezipped(packed, lambda _: [*entries, entries[-1]])
    with pytest.raises(CatalogError, match="there twice"):
        bundle.import_(twice, tmp_path / "other")


def test_a_zip_that_lies_about_sizes_is_refused(packed, tmp_path):
    raw = bytearray(packed.read_bytes())
    with zipfile.ZipFile(packed) as archive:
        info = archive.infolist()[-1]
    place = raw.rindex(info.filename.encode()) - 46  # its record in the central directory
    raw[place + 24 : place + 28] = (info.file_size - 5).to_bytes(4, "little")
    packed.write_bytes(raw)
    with pytest.raises(CatalogError, match=r"size|zip file"):
        bundle.import_(packed, tmp_path / "other")


def test_too_many_entries_are_refused(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "MAX_ENTRIES", 2)
    with pytest.raises(CatalogError, match="at most 2"):
        bundle.import_(packed, tmp_path / "other")


@pytest.mark.parametrize("raw", [b"", b"PK\x03\x04", b"not a zip" * 50])
def test_a_file_that_is_no_zip_is_one_clear_error(tmp_path, raw):
    (tmp_path / "x.zip").write_bytes(raw)
    with pytest.raises(CatalogError, match="not a zip file"):
        bundle.import_(tmp_path / "x.zip", tmp_path / "other")


def test_a_missing_zip_and_a_folder_that_cannot_be_written_are_named(packed, tmp_path):
    with pytest.raises(CatalogError, match=r"gone\.zip: cannot be read"):
        bundle.import_(tmp_path / "gone.zip", tmp_path / "other")
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(MaskgenError, match="file"):
        bundle.import_(packed, tmp_path / "file" / "other")


def test_a_zip_in_memory_is_never_extracted(packed, tmp_path, monkeypatch):
    monkeypatch.setattr(zipfile.ZipFile, "extractall", lambda *_: pytest.fail("extracts"))
    monkeypatch.setattr(zipfile.ZipFile, "extract", lambda *_: pytest.fail("extracts"))
    assert bundle.import_(packed, tmp_path / "other") == ["one", "two"]


def test_the_catalog_that_ships_is_no_catalog_to_write_to(tmp_path):
    with pytest.raises(CatalogError, match="ships with maskgen is not changed"):
        edit.check_writable(default_catalog_dir())
    edit.check_writable(tmp_path)
