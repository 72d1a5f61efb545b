# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""``maskgen train`` and nothing else: what DATA, BASE and OUT are where nobody says."""

import json
import shutil

import people
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("accelerate", reason="training needs the extra [train]")
torch.set_num_threads(1)

from click.testing import CliRunner

from maskgen import manifest
from maskgen.cli import main
from maskgen.cli.train import _name_of

# A pack for OUT/pack is needed anyway; the one that ships has no recogniser.
FEW = ("--epochs", "1", "--batch-size", "8", "--workers", "0", "--device", "cpu", "--holdout", "0", "--json")


@pytest.fixture
def home(monkeypatch, tmp_path):
    """A home without model packs; the current folder is an output of augment."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    monkeypatch.chdir(people.augmented_people(tmp_path / "data", 4, 2))
    return tmp_path / "home"


def fetched(home, base, *names):
    """Packs as InsightFace keeps them, each with a recogniser."""
    for name in names:
        pack = home / ".insightface" / "models" / name
        pack.mkdir(parents=True)
        shutil.copyfile(base, pack / base.name)


def invoke(*args):
    return CliRunner().invoke(main, ["train", *args, *FEW])


def test_train_alone_takes_the_output_in_the_current_folder_and_the_fetched_pack(home, base):
    fetched(home, base, "buffalo_x")
    result = invoke()
    assert result.exit_code == 0, result.output
    settings = json.loads(result.stdout)["settings"]
    assert (settings["data"], settings["base"]) == (".", "buffalo_x")
    assert (home.parent / "data/runs/buffalo_x/model.onnx").is_file()
    assert "train      . from buffalo_x; output runs/buffalo_x" in result.stderr


def test_train_alone_takes_the_base_of_the_settings_file(home, base, tmp_path):
    fetched(home, base, "buffalo_x")
    (tmp_path / "settings.toml").write_text('[train]\nbase = "scratch:mbf:0.1"\n')
    result = CliRunner().invoke(main, ["--config", str(tmp_path / "settings.toml"), "train", *FEW])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["settings"]["base"] == "scratch:mbf:0.1"
    assert (home.parent / "data/runs/scratch-mbf-0.1/model.onnx").is_file()


def test_without_a_base_one_line_names_the_choices(home):
    result = invoke()
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    for choice in ("--base", "FILE.onnx", "FILE.pth", "a pack", "scratch:r18|r34|r50|r100|mbf", "maskgen models fetch"):
        assert choice in result.stderr


def test_of_several_fetched_packs_none_is_taken_and_one_line_names_them(home, base):
    fetched(home, base, "buffalo_x", "antelope_x")
    result = invoke()
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "antelope_x, buffalo_x" in result.stderr


def test_a_fetched_pack_without_a_recogniser_is_no_base(home, base):
    (home / ".insightface/models/empty").mkdir(parents=True)
    fetched(home, base, "buffalo_x")
    assert "from buffalo_x" in invoke().stderr


def test_where_augment_has_written_nothing_the_data_are_asked_for(home, base, monkeypatch, tmp_path):
    fetched(home, base, "buffalo_x")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = invoke()
    assert result.exit_code == 2
    assert "DATA" in result.stderr
    assert "run.json" in result.stderr
    assert not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize(
    ("base", "name"),
    [
        ("models/w600k_r50.onnx", "w600k_r50"),
        ("ms1mv3/backbone.pth", "backbone"),
        ("epoch_3/model.pt", "model"),
        ("buffalo_l", "buffalo_l"),
        ("packs/buffalo_l/", "buffalo_l"),
        ("scratch:mbf", "scratch-mbf"),
        ("scratch:r50:0.5", "scratch-r50-0.5"),
    ],
)
def test_a_folder_for_trainings_is_called_after_the_base(base, name):
    assert _name_of(base) == name


def test_what_is_left_out_is_said_before_anything_is_learnt_and_also_where_too_little_is_left(home, base):
    fetched(home, base, "buffalo_x")
    (first, second, *others) = manifest.read(manifest.path_of(home.parent / "data"))
    (home.parent / "data" / second.key).unlink()
    manifest.replace(
        manifest.path_of(home.parent / "data"), [first.model_copy(update={"original": None}), second, *others]
    )
    result = invoke()
    assert result.exit_code == 0, result.output
    said = [line for line in result.stderr.splitlines() if not line.startswith("train ")]
    assert said[0].startswith("data       3 identities")
    assert said[0].endswith("left out: lost 1, no_original 1")
    assert said[1].startswith(
        "left out   1 picture whose originals are not there; 'maskgen augment --originals --copy-"
    )
    assert json.loads(result.stdout)["left_out"] == {"lost": 1, "no_original": 1}
    assert "no_original 1" in invoke("--batch-size", "64", "--out", "other").stderr
