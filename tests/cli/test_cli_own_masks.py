"""Masks of one's own: what is added is seen by every command, and nothing is lost while adding."""

import json
import re
import shlex
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from fakes import FakeDetectors, write_picture
from PIL import Image

from maskgen import manifest
from maskgen.catalog import bundle, edit
from maskgen.catalog.places import SHEET_FILE
from maskgen.catalog.schema import Rotation
from maskgen.catalog.store import Catalog
from maskgen.cli import main
from maskgen.detect import DetectorSpec
from maskgen.errors import CatalogError
from maskgen.parallel import InProcess
from maskgen.studio import intake, pictured

PLACES = {"1": (0, 0), "15": (99, 0), "5": (0, 79), "11": (99, 79), "30": (50, 30)}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Where the user's own catalog will be."""
    monkeypatch.setenv("MASKGEN_CATALOG", str(tmp_path / "my masks"))
    return tmp_path / "my masks"


@pytest.fixture
def worked_on(monkeypatch):
    """Takes masks from pictures in no time: the whole picture is the mask; the list of pictures that were worked on."""
    files = []

    def designs_from(path, tools, about, points=None):
        files.append(path)
        if path.stem.startswith("bare"):
            raise CatalogError(f"{path}: no mask to be seen", "take another")
        rgba = np.asarray(Image.open(path).convert("RGBA"))
        view = edit.NewView(edit.png_of(rgba), Rotation(yaw=(-60, 60), pitch=(-60, 60)), PLACES)
        name = about.name or pictured.name_of(path)
        tags = (*about.tags, "photograph")
        return [edit.NewDesign(name, about.kind, about.license, (view,), "blue", tags, about.weight)]

    monkeypatch.setattr(intake, "_tools", lambda model: None)
    monkeypatch.setattr(intake, "designs_from", designs_from)
    monkeypatch.setattr("maskgen.cli.catalog.add.LocalExecutor", lambda workers: InProcess())
    return files


@pytest.fixture
def invoke(own, worked_on, monkeypatch):
    monkeypatch.setattr(DetectorSpec, "build", lambda self: FakeDetectors().build())
    monkeypatch.setattr(DetectorSpec, "parser", lambda self: None)
    monkeypatch.setattr(DetectorSpec, "sha256", lambda self: "f" * 64)
    monkeypatch.setattr("maskgen.run.crew.LocalExecutor", lambda workers: InProcess())
    return lambda *args: CliRunner().invoke(main, [str(arg) for arg in args])


def picture(path, seed=0):
    """A picture that is unlike those of other seeds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 255, (8, 10, 3), np.uint8)
    Image.fromarray(coarse).resize((100, 80), Image.Resampling.BILINEAR).save(path)
    return path


@pytest.fixture
def scarf(tmp_path, invoke):
    """A mask of one's own, added; what was said."""
    return invoke("catalog", "add", picture(tmp_path / "scarf.png"), "--license", "CC0-1.0")


def worn(out):
    return {m.design for row in manifest.read(out / "manifest.jsonl") for v in row.variants for m in v.masks}


# ---- added is used


def test_the_last_line_of_add_is_the_command_that_puts_the_mask_on(tmp_path, invoke, scarf):
    write_picture(tmp_path / "in" / "1.png")
    line = scarf.stdout.splitlines()[-1]
    assert line == "next     maskgen augment IN OUT --design scarf"
    given = {"IN": tmp_path / "in", "OUT": tmp_path / "out"}
    words = [given.get(word, word) for word in shlex.split(line)[2:]]
    result = invoke(*words, "--workers", 1)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[0] == "masks      1 design, 1 of your own: 100 % of the masks"
    assert worn(tmp_path / "out") == {"scarf"}


def test_the_next_command_names_a_catalog_that_commands_do_not_see_by_themselves(tmp_path, invoke):
    folder = tmp_path / "masks of ann's"
    result = invoke("catalog", "add", picture(tmp_path / "scarf.png"), "--catalog", folder)
    words = shlex.split(result.stdout.splitlines()[-1])[1:]
    assert words == ["maskgen", "augment", "IN", "OUT", "--catalog", str(folder), "--design", "scarf"]
    many = [picture(tmp_path / "many" / f"{number}.png", number + 1).name for number in range(6)]
    assert len(many) == 6
    result = invoke("catalog", "add", tmp_path / "many", "--json")
    assert json.loads(result.stdout)["next"] == "maskgen augment IN OUT --catalog own"


def test_augment_says_first_how_many_own_designs_take_part_and_at_what_share(tmp_path, invoke, scarf):
    write_picture(tmp_path / "in" / "1.png")
    weights = sum(design.entry.weight for design in Catalog.load().designs)
    for extra in ((), ("--dry-run",)):
        result = invoke("augment", tmp_path / "in", tmp_path / f"out{len(extra)}", "--workers", 1, *extra)
        share = 100 / (weights + 1)
        number = len(Catalog.load().designs) + 1
        assert result.stderr.splitlines()[0] == (
            f"masks      {number} designs, 1 of your own: {share:.3g} % of the masks"
        )
    alone = invoke("augment", tmp_path / "in", tmp_path / "alone", "--workers", 1, "--catalog", "shipped")
    assert alone.stderr == ""
    assert manifest.read_run(tmp_path / "alone" / "run.json").settings["catalog"] == ["shipped"]


def test_a_mask_added_between_two_runs_does_not_refuse_the_second_which_says_that_it_takes_no_part(
    tmp_path, invoke, scarf
):
    for number in range(3):
        write_picture(tmp_path / "in" / f"{number}.png")
    run = ("augment", tmp_path / "in", tmp_path / "out", "--workers", 1)
    assert invoke(*run, "--limit", 1).exit_code == 0
    picture(tmp_path / "new.png", 5)
    assert invoke("catalog", "add", tmp_path / "new.png").exit_code == 0
    result = invoke(*run)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[1] == (
        "not taken  1 design added since this run began (new); --overwrite starts anew with all"
    )
    assert "new" not in manifest.read_run(tmp_path / "out" / "run.json").designs


def test_list_show_export_and_check_see_ones_own_masks(tmp_path, invoke, scarf, own):
    rows = json.loads(invoke("catalog", "list", "--json").stdout)
    assert (rows[-1]["name"], rows[-1]["catalog"], rows[0]["catalog"]) == ("scarf", "own", "shipped")
    assert json.loads(invoke("catalog", "show", "scarf", "--json").stdout)["name"] == "scarf"
    assert invoke("catalog", "show", "surgical-blue").exit_code == 0
    report = json.loads(invoke("catalog", "check", "--catalog", "own", "--json").stdout)
    assert [one["catalog"] for one in report["catalogs"]] == [str(own)]
    assert invoke("catalog", "export", tmp_path / "x.zip", "scarf", "surgical-blue").exit_code == 0
    assert [design.name for design in bundle.read(tmp_path / "x.zip")] == ["surgical-blue", "scarf"]
    assert [row["name"] for row in json.loads(invoke("catalog", "list", "--catalog", "own", "--json").stdout)] == [
        "scarf"
    ]


def test_catalogs_may_be_given_by_name_and_folder_and_several_times(tmp_path, invoke, scarf, catalog_dir):
    def names(*catalogs):
        given = [word for catalog in catalogs for word in ("--catalog", catalog)]
        return [row["name"] for row in json.loads(invoke("catalog", "list", "--json", *given).stdout)]

    assert names("own", catalog_dir) == ["scarf", "red", "blue"]
    assert "scarf" not in names("shipped")
    assert names(catalog_dir) == ["red", "blue"]


def test_a_file_is_no_catalog_and_a_folder_without_one_is_named(tmp_path, invoke):
    (tmp_path / "x").write_text("")
    result = invoke("catalog", "list", "--catalog", tmp_path / "x")
    assert result.exit_code == 2
    assert "nor shipped or own" in result.stderr
    assert "cannot read the catalog" in invoke("catalog", "list", "--catalog", tmp_path).stderr
    assert "cannot read the catalog" in invoke("catalog", "list", "--catalog", "own").stderr


def test_export_without_names_writes_ones_own_masks(tmp_path, invoke, scarf):
    assert invoke("catalog", "export", tmp_path / "x.zip").exit_code == 0
    assert [design.name for design in bundle.read(tmp_path / "x.zip")] == ["scarf"]


def test_export_without_masks_of_ones_own_says_so(tmp_path, invoke):
    result = invoke("catalog", "export", tmp_path / "x.zip")
    assert result.exit_code == 1
    assert "no designs of your own yet" in result.stderr


def test_a_contact_sheet_is_written_and_is_no_stray_and_no_part_of_a_zip(tmp_path, invoke, scarf, own):
    sheet = own / SHEET_FILE
    assert f"look     {sheet}" in scarf.stdout.splitlines()
    assert Image.open(sheet).size[1] == 150
    assert "stray" not in invoke("catalog", "check", "--catalog", "own").stdout
    with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
        for path in own.rglob("*"):
            archive.write(path, path.relative_to(own))
    assert invoke("catalog", "import", tmp_path / "whole.zip", "--catalog", tmp_path / "other").exit_code == 0


def test_a_contact_sheet_that_cannot_be_written_loses_nothing(tmp_path, invoke, own):
    (own / SHEET_FILE).mkdir(parents=True)
    result = invoke("catalog", "add", picture(tmp_path / "scarf.png"))
    assert result.exit_code == 0, result.output
    assert "no contact sheet:" in result.stderr
    assert result.stdout.splitlines()[-1].startswith("next ")


@pytest.mark.parametrize("flags", [(), ("--replace",)])
def test_the_name_of_a_shipped_design_is_refused_before_any_work(tmp_path, invoke, worked_on, own, flags):
    result = invoke("catalog", "add", picture(tmp_path / "surgical-blue.png"), *flags)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: name_taken: ")
    assert "design 'surgical-blue' ships with maskgen; use another --name or --rename" in result.stderr
    assert not worked_on
    assert invoke("catalog", "add", tmp_path / "surgical-blue.png", "--rename").exit_code == 0
    assert Catalog.load(own).names == ("surgical-blue-2",)


def test_a_shipped_design_is_not_removed(invoke, scarf):
    assert (
        "'surgical-blue' ships with maskgen and is not removed" in invoke("catalog", "remove", "surgical-blue").stderr
    )


def test_doctor_looks_at_ones_own_masks(invoke, scarf, own, monkeypatch):
    monkeypatch.setattr("maskgen.cli.doctor.software.findings", lambda: iter(()))
    monkeypatch.setattr("maskgen.cli.doctor.tried", lambda code: ([], "not tried"))
    findings = {one["name"]: one for one in json.loads(invoke("doctor", "--json").stdout)}
    assert findings["your own masks"]["detail"] == f"{own}, 1 design"
    (own / "catalog.json").write_text("{")
    findings = {one["name"]: one for one in json.loads(invoke("doctor", "--json").stdout)}
    assert findings["your own masks"]["state"] == "broken"


# ---- no loss


def test_of_two_pictures_of_one_name_the_second_does_not_replace_the_first(tmp_path, invoke, worked_on, own):
    first, second = picture(tmp_path / "in" / "a" / "x.png", 1), picture(tmp_path / "in" / "b" / "x.png", 2)
    for _ in range(2):
        result = invoke("catalog", "add", tmp_path / "in", "--replace")
        assert result.exit_code == 3
        assert f"refused  name_taken: {second}: {first} is to be design 'x' too; use --rename" in result.stderr
    assert worked_on == [first, first]
    assert Catalog.load(own).names == ("x",)
    assert invoke("catalog", "add", second, "--rename").exit_code == 0
    assert Catalog.load(own).names == ("x", "x-2")


def test_two_pictures_of_one_name_are_both_added_with_rename(tmp_path, invoke, own):
    for number, folder in enumerate("ab"):
        picture(tmp_path / "in" / folder / "x.png", number)
    assert invoke("catalog", "add", tmp_path / "in", "--rename").exit_code == 0
    assert Catalog.load(own).names == ("x", "x-2")


def test_the_library_does_not_replace_a_design_by_another_of_the_same_call(tmp_path):
    view = edit.NewView(edit.png_of(np.full((80, 100, 4), 255, np.uint8)), Rotation(yaw=(-9, 9), pitch=(-9, 9)), PLACES)
    design = edit.NewDesign("x", "cloth", "CC0-1.0", (view,))
    with pytest.raises(edit.NameTakenError, match="another one is to be design 'x' too"):
        edit.add(tmp_path, [design, design], "replace")


def test_replace_keeps_kind_weight_and_tags_that_are_not_given(tmp_path, invoke, own):
    given = ("--kind", "cloth", "--weight", 3, "--tag", "mine", "--tag", "red", "--license", "CC-BY-4.0")
    assert invoke("catalog", "add", picture(tmp_path / "x.png"), *given).exit_code == 0
    assert invoke("catalog", "add", picture(tmp_path / "x.png", 2), "--replace").exit_code == 0
    (design,) = Catalog.load(own).designs
    assert (design.entry.kind, design.entry.weight, design.entry.tags) == ("cloth", 3, ("mine", "red", "photograph"))
    # The new picture may be somebody else's.
    assert design.entry.license == "LicenseRef-unknown"
    assert invoke("catalog", "add", tmp_path / "x.png", "--replace", "--kind", "other", "--tag", "new").exit_code == 0
    (design,) = Catalog.load(own).designs
    assert (design.entry.kind, design.entry.weight, design.entry.tags) == ("other", 3, ("new", "photograph"))


def test_a_taken_name_is_told_before_any_work(tmp_path, invoke, worked_on, scarf):
    assert len(worked_on) == 1
    assert "is there already; use --rename or --replace" in invoke("catalog", "add", tmp_path / "scarf.png").stderr
    assert len(worked_on) == 1


def test_files_that_are_passed_over_are_counted_and_named(tmp_path, invoke):
    picture(tmp_path / "in" / "a.png")
    for name in ("b.psd", "c.mov", ".DS_Store"):
        (tmp_path / "in" / name).write_text("x")
    result = invoke("catalog", "add", tmp_path / "in")
    assert result.exit_code == 0
    folder = tmp_path / "in"
    assert f"passed over  2 files are no pictures: {folder / 'b.psd'}, {folder / 'c.mov'}" in result.stderr
    report = json.loads(invoke("catalog", "add", tmp_path / "in", "--replace", "--json").stdout)
    assert [Path(file).name for file in report["passed_over"]] == ["b.psd", "c.mov"]


def test_a_mask_that_is_nearly_one_in_the_catalog_is_left_out_and_told(tmp_path, invoke, own):
    folder = tmp_path / "in"
    original = Image.open(picture(folder / "a.png"))
    original.save(folder / "b.jpg", quality=60)
    original.resize((90, 72)).resize((100, 80)).save(folder / "c.png")
    picture(folder / "d.png", 2)
    result = invoke("catalog", "add", folder)
    assert result.exit_code == 3
    assert Catalog.load(own).names == ("a", "d")
    refused = [line for line in result.stderr.splitlines() if line.startswith("refused  duplicate: ")]
    assert [Path(line.split(": ")[1]).name for line in refused] == ["b.jpg", "c.png"]
    assert refused[0].endswith("nearly the same as design 'a'; left out; --keep-duplicates adds it all the same")
    assert invoke("catalog", "add", folder / "b.jpg", "--keep-duplicates").exit_code == 0
    # A design may be replaced by a better picture of it.
    assert invoke("catalog", "add", folder / "b.jpg", "--replace", "--keep-duplicates").exit_code == 0


def test_a_picture_that_cannot_be_read_does_not_keep_others_from_being_added(tmp_path, invoke, own, scarf):
    (view,) = Catalog.load(own).designs[0].views
    view.path.write_bytes(b"")
    assert invoke("catalog", "add", picture(tmp_path / "d.png", 2)).exit_code == 0
    assert edit.contents(own).masks[-1].name == "d"


# ---- words and checks


def test_the_refusal_of_one_picture_names_its_reason_word(tmp_path, invoke):
    result = invoke("catalog", "add", picture(tmp_path / "bare.png"))
    assert result.exit_code == 1
    assert result.stderr == f"error: cut_out: {tmp_path / 'bare.png'}: no mask to be seen; take another\n"


def test_a_mask_that_reaches_beyond_its_points_is_refused_as_it_is_added(tmp_path, invoke, own, monkeypatch):
    monkeypatch.setitem(PLACES, "11", (40, 40))
    result = invoke("catalog", "add", picture(tmp_path / "x.png"))
    assert result.exit_code == 1
    assert re.search(r"bad_design: .*% of the mask lies outside its control points.*; place control", result.stderr)
    assert not (own / "catalog.json").exists()


@pytest.mark.parametrize(
    ("given", "recorded"),
    [("cc-by-4.0", "CC-BY-4.0"), ("LicenseRef-Mine", "LicenseRef-Mine"), ("MIT and CC0-1.0", "MIT AND CC0-1.0")],
)
def test_a_licence_is_recorded_as_spdx_spells_it(tmp_path, invoke, own, given, recorded):
    assert invoke("catalog", "add", picture(tmp_path / "x.png"), "--license", given).exit_code == 0
    assert Catalog.load(own).designs[0].entry.license == recorded


@pytest.mark.parametrize("given", ["mine", "", "LicenseRef-", "CC BY", "(MIT", "x" * 300])
def test_a_licence_that_spdx_does_not_know_is_wrong_usage(tmp_path, invoke, worked_on, given):
    result = invoke("catalog", "add", picture(tmp_path / "x.png"), "--license", given)
    assert result.exit_code == 2
    assert "such as CC-BY-4.0, or LicenseRef-NAME" in " ".join(result.stderr.split())
    assert not worked_on


def test_one_view_is_called_a_view(scarf):
    assert "  1 view  " in scarf.stdout
    assert "1 design added, 0 pictures refused" in scarf.stdout


def test_passing_masks_on_is_warned_of_only_where_one_was_added(tmp_path, invoke):
    assert "do not pass" not in invoke("catalog", "add", picture(tmp_path / "bare.png")).stderr
    assert "do not pass" in invoke("catalog", "add", picture(tmp_path / "x.png")).stderr
