# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""The start of a training: what cannot work is found before the data are read, and a failed start leaves nothing."""

import json

import people
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("accelerate", reason="training needs the extra [train]")
torch.set_num_threads(1)

from click.testing import CliRunner
from small_networks import seeded, tiny

from maskgen import files
from maskgen.cli.train import train as train_cli
from maskgen.errors import ConfigError, MaskgenError
from maskgen.files import LOCK_FILE
from maskgen.train import collection, export, loop
from maskgen.train.settings import settings_of


@pytest.fixture
def learn(base, tmp_path):
    """Trains one epoch on six people with two pictures each; settings by keyword."""
    root = people.augmented_people(tmp_path / "data", 6, 2)

    def call(out="out", resume=False, watch=loop.Watch(), **values):  # noqa: B008
        given = {"data": root, "base": str(base), "epochs": 1, "batch_size": 8, "workers": 0, "holdout": 0}
        return loop.train(settings_of({**given, "device": "cpu", **values}), tmp_path / out, resume, watch)

    return call


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"pack": "no_such_pack"}, "model pack 'no_such_pack'"),
        ({"base": "no_such.onnx"}, r"no_such\.onnx: no such file"),
        ({"base": "no_such_pack"}, "model pack 'no_such_pack'"),
        ({"base": "scratch:r19"}, "not a network from scratch"),
        ({"freeze": ("nose",)}, "freeze nose: no parameter begins so"),
        ({"batch_norm": "train", "batch_size": 1}, "one picture per pass has no statistics; raise batch_size, or use"),
        ({"base": "scratch:mbf:0.1", "batch_size": 1}, "one picture per pass has no statistics"),
    ],
)
def test_what_cannot_work_is_found_before_the_data_are_read(values, match, learn, monkeypatch, tmp_path):
    monkeypatch.setattr(loop, "collect", lambda *args: pytest.fail("the data were read"))
    with pytest.raises(MaskgenError, match=match):
        learn(**values)
    assert [path.name for path in (tmp_path / "out").iterdir()] == [LOCK_FILE]


def test_a_pack_with_a_damaged_network_is_found_before_the_data_are_read(learn, monkeypatch, tmp_path):
    monkeypatch.setattr(loop, "collect", lambda *args: pytest.fail("the data were read"))
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "det.onnx").write_bytes(b"no model")
    with pytest.raises(MaskgenError, match=r"det\.onnx: not an ONNX file"):
        learn(pack=str(tmp_path / "pack"))


def test_a_missing_catalog_is_found_before_faces_are_searched_for(learn, monkeypatch, tmp_path):
    monkeypatch.setattr(collection, "faces_of", lambda *args: pytest.fail("faces were searched for"))
    with pytest.raises(MaskgenError, match="no_catalog"):
        learn(mask_prob=0.5, catalog=tmp_path / "no_catalog")


def test_an_output_that_cannot_be_written_is_found_before_the_data_are_read(learn, monkeypatch, tmp_path):
    monkeypatch.setattr(loop, "collect", lambda *args: pytest.fail("the data were read"))
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MaskgenError, match="out: cannot be written"):
        learn("file/out")


def test_a_second_training_in_the_same_folder_is_refused_while_the_first_one_runs(learn, tmp_path):
    with files.locked(tmp_path / "out" / LOCK_FILE), pytest.raises(MaskgenError, match="another process is writing"):
        learn()


def test_a_missing_tensorboard_is_named(learn, monkeypatch):
    monkeypatch.setattr(loop.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match="tensorboard is not installed"):
        learn(tensorboard=True)


def test_nothing_is_written_into_a_folder_of_people_where_it_would_be_taken_for_somebody(learn, tmp_path):
    folder, output = (
        people.folder_of_people(tmp_path / "folder", 3, 2),
        people.augmented_people(tmp_path / "made", 3, 2),
    )
    with pytest.raises(ConfigError, match=r"runs/a: lies in .*, where each folder is somebody; choose another out"):
        learn(folder / "runs" / "a", data=folder)
    assert sorted(path.name for path in folder.iterdir()) == ["person_00", "person_01", "person_02"]
    # Of what augment wrote, the manifest says what is a picture of whom.
    with pytest.raises(ConfigError, match="12 pictures, too few for a step"):
        learn(output / "runs" / "a", data=output, batch_size=16)


def test_whoever_watches_is_told_how_many_pictures_are_loaded_and_validated_on(learn):
    loaded, seen = [], []
    watch = loop.Watch(held_out=lambda *now: loaded.append(now), validating=lambda *now: seen.append(now))
    learn(holdout=0.4, batch_size=4, watch=watch)
    assert loaded == [(4, 4)]
    assert seen == [(4, 8), (8, 8)] * 2, "unmasked and masked, before and after"


@pytest.mark.parametrize("resume", [False, True])
def test_a_start_that_failed_does_not_block_the_next_one_with_other_settings(resume, learn, monkeypatch):
    with pytest.raises(ConfigError, match="24 pictures, too few for a step of 1 x 64; choose a batch_size of at mo"):
        learn(batch_size=64)

    def interrupted(row, steps):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        learn(lr=0.2, watch=loop.Watch(logged=interrupted), log_every=1)
    assert learn(resume=resume, lr=0.3).settings.lr == 0.3
    with pytest.raises(ConfigError, match="holds a training already"):
        learn(lr=0.3)


def test_a_checkpoint_without_its_settings_is_not_gone_on_with(learn, tmp_path):
    learn()
    (tmp_path / "out/settings.json").unlink()
    with pytest.raises(ConfigError, match=r"settings\.json: cannot be read"):
        learn(resume=True)


@pytest.mark.parametrize("batch_norm", ["frozen", "train"])
def test_the_pictures_that_fill_no_batch_end_no_training(batch_norm, learn):
    # 24 pictures and batches of 23: the last one would hold a single picture.
    assert learn(batch_size=23, batch_norm=batch_norm).steps == 1


def test_batches_of_one_picture_can_be_learnt_with_frozen_statistics(learn):
    assert learn(batch_size=1).steps == 24


@pytest.mark.parametrize(
    ("people_and_takes", "holdout", "reason"),
    [
        ((6, 1), 0.1, "0 of 6 identities have two originals, at least 2 must"),
        ((3, 2), 0.02, "2 of 3 identities would be more than half"),
        ((6, 2), 0.9, "5 of 6 identities would be more than half"),
    ],
)
def test_a_holdout_that_holds_nobody_says_so(people_and_takes, holdout, reason, learn, tmp_path):
    said = list[str]()
    root = people.augmented_people(tmp_path / "few", *people_and_takes)
    metrics = learn(data=root, holdout=holdout, batch_size=4, watch=loop.Watch(warned=said.append))
    assert metrics.not_validated == reason
    assert metrics.best_epoch is None
    assert said == [f"held out   nobody: {reason}"]
    assert json.loads((tmp_path / "out/metrics.json").read_text())["not_validated"] == reason


def test_people_held_out_whose_pictures_cannot_be_read_are_said_to_be_no_validation(learn, tmp_path):
    root = people.augmented_people(tmp_path / "broken", 6, 2)
    settings = settings_of({"data": root, "base": "scratch:mbf", "holdout": 0.3})
    for person in collection.collect(settings, tmp_path).held_out:
        (root / person.item.name).write_bytes(b"broken")
    said = list[str]()
    metrics = learn(data=root, holdout=0.3, batch_size=4, watch=loop.Watch(warned=said.append))
    assert metrics.not_validated == "the people held out have too few usable pictures for pairs"
    assert len(said) == 1


def test_without_holdout_nothing_is_said_about_it(learn):
    said = list[str]()
    assert learn(watch=loop.Watch(warned=said.append)).not_validated is None
    assert not said


def test_the_command_says_on_both_ends_that_nobody_is_held_out(base, tmp_path):
    root = people.augmented_people(tmp_path / "few", 3, 2)
    given = ["--base", str(base), "--out", str(tmp_path / "out"), "--epochs", "1", "--batch-size", "4"]
    result = CliRunner().invoke(train_cli, [str(root), *given, "--workers", "0", "--device", "cpu"])
    assert result.exit_code == 0, result.output
    assert "held out   nobody: 2 of 3 identities would be more than half" in result.stderr
    assert "nobody: 2 of 3 identities would be more than half" in result.stdout


def test_a_base_whose_embeddings_are_no_numbers_is_found_before_the_data_are_read(learn, tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "collect", lambda *args: pytest.fail("the data were read"))
    network = seeded(tiny()).eval()
    with torch.no_grad():
        network.features.layers[3].running_var.fill_(-1)  # the root of a negative variance
    export.write_pth(network, tmp_path / "nan.pth")
    with pytest.raises(MaskgenError, match=r"nan\.pth.*: 2 of 2 embeddings are no finite numbers"):
        learn(base=str(tmp_path / "nan.pth"))
