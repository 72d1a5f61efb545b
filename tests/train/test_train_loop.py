# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""The training: what it promises about its results, its interruptions and its faults."""

import contextlib
import inspect
import json
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnxruntime
import people
import pytest
from catalogs import small_catalog
from fakes import mask

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("accelerate", reason="training needs the extra [train]")
torch.set_num_threads(1)

from click.testing import CliRunner

from maskgen.catalog.store import Catalog
from maskgen.cli import extras
from maskgen.cli.train import train as train_cli
from maskgen.errors import ConfigError, MaskgenError
from maskgen.train import bases, export, folder, learner, loop
from maskgen.train.results import UsedMasks
from maskgen.train.settings import refuse_others, settings_of

CLASSIC = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
REPOSITORY = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def people_dir(tmp_path_factory):
    return people.augmented_people(tmp_path_factory.mktemp("people") / "data", 8, 3)


@pytest.fixture(scope="module")
def pack(tmp_path_factory):
    """A pack with a detector in name only."""
    root = tmp_path_factory.mktemp("packs") / "pack"
    root.mkdir()
    with torch.random.fork_rng():
        torch.manual_seed(9)
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3))
    network.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(network, (torch.zeros(1, 3, 64, 64),), str(root / "det_test.onnx"), **CLASSIC)
    return root


@pytest.fixture
def learn(people_dir, base, pack, tmp_path):
    """Trains; settings by keyword."""

    def call(out="out", resume=False, watch=loop.Watch(), **values):  # noqa: B008
        settings = {
            "data": people_dir,
            "base": str(base),
            "pack": str(pack),
            "epochs": 2,
            "batch_size": 8,
            "workers": 0,
            "log_every": 1,
            "holdout": 0.25,
            "device": "cpu",
            **values,
        }
        return loop.train(settings_of(settings), tmp_path / out, resume, watch)

    return call


def weights(path):
    return torch.load(path / "backbone.pth", weights_only=True)


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class InterruptionError(Exception):
    pass


def interrupt_at(step):
    def logged(row, steps):
        if row.step == step:
            raise InterruptionError

    return loop.Watch(logged=logged)


# ---- results


def test_a_training_leaves_all_that_it_promises(learn, tmp_path):
    metrics = learn()
    out = tmp_path / "out"
    assert {path.name for path in out.iterdir()} >= {
        *("settings.json", "identities.txt", "metrics.json", "curves.png"),
        *("model.onnx", "backbone.pth", "pack", "checkpoints", "MODEL_CARD.md"),
    }
    assert json.loads((out / "metrics.json").read_text()) == metrics.model_dump(mode="json")
    assert (out / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert (metrics.identities, metrics.pictures, metrics.masked_pictures) == (6, 18, 18)
    assert metrics.steps == len(metrics.history) == 8
    assert [validation.epoch for validation in metrics.validations] == [0, 1, 2]
    assert [report.condition for report in metrics.after] == ["none", "probe"]
    assert {report.figures.genuine for report in metrics.after} == {6}
    assert metrics.base_difference < 1e-3
    assert metrics.export_difference < 1e-4
    assert not list(out.rglob("*.tmp"))


def test_the_model_is_the_best_epochs(learn, tmp_path):
    metrics = learn(lr=0.1, epochs=3)
    scores = {validation.epoch: validation.score for validation in metrics.validations if validation.epoch}
    assert scores[metrics.best_epoch] == max(scores.values())
    assert metrics.after == metrics.validations[metrics.best_epoch].reports
    assert same(weights(tmp_path / "out"), torch.load(tmp_path / "out/checkpoints/best.pth", weights_only=True))


def test_insightface_loads_the_model_as_recognition_and_sees_what_torch_sees(learn, tmp_path):
    learn(epochs=1)
    from insightface.model_zoo import get_model

    model = get_model(str(tmp_path / "out" / "model.onnx"), providers=["CPUExecutionProvider"])
    assert model.taskname == "recognition"
    assert (model.input_mean, model.input_std) == (127.5, 127.5)
    rgb = people.portrait(3, 1)
    theirs = model.get_feat(np.ascontiguousarray(rgb[..., ::-1]))
    network = bases.load(str(tmp_path / "out" / "backbone.pth"))
    with torch.no_grad():
        ours = network((torch.from_numpy(rgb).permute(2, 0, 1)[None].float() - 127.5) / 127.5).numpy()
    assert np.abs(theirs - ours).max() < 1e-4 * max(1, np.abs(ours).max())


def test_the_pack_is_the_other_with_its_recogniser_replaced(learn, pack, tmp_path):
    learn(epochs=1)
    assert sorted(path.name for path in (tmp_path / "out/pack").iterdir()) == ["det_test.onnx", "recognition.onnx"]
    again = tmp_path / "again"
    export.write_pack(tmp_path / "out" / "model.onnx", str(tmp_path / "out" / "pack"), again)
    assert sorted(path.name for path in again.iterdir()) == ["det_test.onnx", "recognition.onnx"]
    assert (again / "recognition.onnx").read_bytes() == (tmp_path / "out" / "model.onnx").read_bytes()


def test_training_lowers_the_loss_and_beats_chance(learn):
    metrics = learn(base="scratch:mbf:0.0625", epochs=6, lr=0.05)
    assert metrics.history[-1].margin_loss < 0.7 * metrics.history[0].margin_loss
    assert metrics.after[0].figures.auc > 0.9


def test_distillation_lowers_the_distance_to_the_base(learn):
    """With next to no margin loss, masked copies are drawn to the originals; against it, they are held back."""
    none = learn("none", distill=0, epochs=1)
    assert all(row.distance == 0 for row in none.history), "without weight there is no teacher"
    alone = learn("alone", distill=1e4, scale=1e-3, epochs=4, log_every=4, lr=0.01)
    assert alone.history[-1].distance < 0.7 * alone.history[0].distance
    little, much = (learn(f"{weight}", distill=weight, epochs=3) for weight in (1e-6, 1000))
    assert much.history[-1].distance < 0.8 * little.history[-1].distance


@pytest.mark.parametrize(
    "settings", [{"sample_rate": 0.4}, {"margin": (1, 0, 0.4)}, {"precision": "bf16"}, {"mask_prob": None}]
)
def test_every_kind_of_training_comes_to_an_end(learn, settings):
    metrics = learn(epochs=1, **settings)
    assert all(np.isfinite(row.loss) for row in metrics.history)


def test_a_masked_margin_is_m3_of_pictures_that_wear_a_mask_and_of_no_others(learn):
    def losses(share, **values):
        metrics = learn(f"{share}{values}", epochs=1, mask_share=share, lr=0.01, **values)
        return [row.margin_loss for row in metrics.history]

    assert losses(1, masked_margin=0.2) == pytest.approx(losses(1, margin=(1, 0.5, 0.2)), rel=1e-5)
    assert losses(0, masked_margin=0.2) == losses(0, masked_margin=0)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_centres_that_were_not_drawn_stay_where_they_are(optimizer):
    # A scale of 64 would saturate the softmax now and then: a gradient of 0 moves nothing.
    centres = loop.Centres(50, 16, loop.Margin(1, 0.5, 0), 8.0)
    settings = {"data": "x", "base": "y", "sample_rate": 0.1, "optimizer": optimizer}
    steps = learner.centre_optimizer_of(centres, settings_of(settings))
    before = centres.weight.detach().clone()
    for classes in (torch.tensor([1, 4, 7]), torch.tensor([1, 9])):
        for _ in range(2):
            centres(torch.randn(2, 16), torch.tensor([1, 1]), classes).mean().backward()
        assert centres.weight.grad.is_sparse, "a gradient of all centres would be as large as they are"
        steps.step()
        steps.zero_grad()
    moved = (centres.weight.detach() != before).any(1).nonzero().flatten().tolist()
    assert moved == [1, 4, 7, 9]


def test_centres_begin_where_the_base_puts_their_people(learn, monkeypatch):
    """At step 1, with next to no learning rate, the margin loss of known people is far below that of random centres."""
    known = learn("known", epochs=1, lr=1e-9)
    monkeypatch.setattr(loop, "start_centres", lambda *args: None)
    random = learn("random", epochs=1, lr=1e-9)
    assert known.history[0].margin_loss < 0.8 * random.history[0].margin_loss


def test_frozen_statistics_and_frozen_layers_stay_as_they_are(learn, base, tmp_path):
    learn(epochs=1, freeze=("layers.2", "conv_sep"), lr=0.05)
    before, after = bases.load(str(base)).state_dict(), weights(tmp_path / "out")
    for name, value in before.items():
        if name.startswith(("layers.2", "conv_sep")) or "running" in name:
            assert torch.equal(value, after[name]), name
    assert not torch.equal(before["layers.0.layers.0.weight"], after["layers.0.layers.0.weight"])


def test_statistics_move_if_they_are_trained(learn, base, tmp_path):
    learn(epochs=1, batch_norm="train")
    name = "layers.0.layers.1.running_mean"
    assert not torch.equal(bases.load(str(base)).state_dict()[name], weights(tmp_path / "out")[name])


def test_the_learning_rate_warms_up_and_falls_to_0():
    settings = settings_of({"data": "x", "base": "y", "lr": 0.2, "warmup": 0.1})
    rates = [learner.learning_rate(step, 100, settings) for step in range(101)]
    assert rates[:11] == pytest.approx([0.02 * (i + 1) for i in range(10)] + [0.2])
    assert rates[55] == pytest.approx(0.2 * 0.25)
    assert rates[100] == 0
    assert all(rates[i] > rates[i + 1] for i in range(10, 100))


# ---- the same again


def test_the_same_seed_gives_the_same_network_and_another_another(learn, tmp_path):
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        learn(out, epochs=1, seed=seed)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_accumulated_passes_make_the_step_of_a_large_one(learn):
    whole = learn("whole", batch_size=12, epochs=1)
    parts = learn("parts", batch_size=4, accumulate=3, epochs=1)
    assert [row.loss for row in parts.history] == pytest.approx([row.loss for row in whole.history], rel=1e-3)


# Within the first epoch from a base, and in the second from scratch.
@pytest.mark.parametrize(("step", "base_name"), [(3, None), (6, "scratch:mbf:0.0625")])
def test_a_resumed_training_ends_bit_for_bit_like_one_that_was_not_stopped(learn, tmp_path, step, base_name):
    settings = {"checkpoint_every": 2, "log_every": 3, "accumulate": 2, "batch_size": 4, "sample_rate": 0.8}
    if base_name:
        settings["base"] = base_name
    whole = learn("whole", **settings)
    with pytest.raises(InterruptionError):
        learn("stopped", watch=interrupt_at(step), **settings)
    assert not (tmp_path / "stopped/model.onnx").exists()
    resumed = learn("stopped", resume=True, **settings)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert resumed.history == whole.history
    assert resumed.validations == whole.validations


def test_resume_begins_where_there_is_nothing_and_ends_where_all_is_done(learn, tmp_path):
    first = learn(resume=True, epochs=1)
    again = learn(resume=True, epochs=1, watch=loop.Watch(logged=lambda row, steps: pytest.fail("a step was made")))
    assert again.model_dump(exclude={"settings"}) == first.model_dump(exclude={"settings"})


def test_a_folder_that_holds_a_training_is_not_begun_again(learn):
    learn(epochs=1)
    with pytest.raises(ConfigError, match="resume goes on with it"):
        learn(epochs=1)


def test_resume_refuses_other_settings_and_other_people(learn, tmp_path):
    learn(epochs=1)
    with pytest.raises(ConfigError, match=r"began with lr None, now 0\.3"):
        learn(resume=True, epochs=1, lr=0.3)
    learn(resume=True, epochs=1, workers=1)
    (tmp_path / "out/identities.txt").write_text("somebody else\n")
    with pytest.raises(ConfigError, match="other identities"):
        learn(resume=True, epochs=1)


def test_a_training_names_the_masks_that_it_puts_on_and_goes_on_with_them(tmp_path):
    catalog = small_catalog(_made(tmp_path / "masks"), {"red": 1})
    loaded = Catalog.load(catalog)
    given = settings_of({"data": "x", "base": "scratch:mbf", "mask_prob": 1, "catalog": catalog})
    cropper = SimpleNamespace(catalog=loaded)
    alone = SimpleNamespace(wait_for_everyone=lambda: None, is_main_process=True)
    out = _made(tmp_path / "out")
    folder.begin(alone, given, out, SimpleNamespace(identities=("a",), cropper=cropper), False)
    assert folder.masks_then(out) == UsedMasks(designs=("red",), sha256=loaded.sha256)
    # Another catalog beside it is another place, and no other training.
    refuse_others(out / "settings.json", given.model_copy(update={"catalog": ("shipped", str(catalog))}))
    cropper.catalog = None
    folder.begin(alone, given, out, SimpleNamespace(identities=("a",), cropper=cropper), False)
    assert folder.masks_then(out) is None


def _made(path):
    path.mkdir()
    return path


def test_only_the_last_checkpoint_is_kept_and_it_is_whole(learn, tmp_path):
    learn(checkpoint_every=1)
    assert [path.name for path in (tmp_path / "out/checkpoints").glob("step-*")] == ["step-000000008"]
    with pytest.raises(InterruptionError):
        learn("torn", watch=interrupt_at(3), checkpoint_every=2)
    (tmp_path / "torn/checkpoints/.step-000000003.tmp").mkdir()
    assert (
        folder.TrainState.model_validate_json(
            (tmp_path / "torn/checkpoints/step-000000002/progress.json").read_bytes()
        ).step
        == 2
    )
    learn("torn", resume=True, checkpoint_every=2)


SCRIPT = """
import sys, torch
from pathlib import Path
from maskgen.train import data, loop
from maskgen.train.settings import TrainSettings
torch.set_num_threads(1)
validation = data.validation
def loaded(*given):
    print("people held out are loaded", file=sys.stderr, flush=True)
    return validation(*given)
data.validation = loaded
def logged(row, steps):
    if row.step == 5:
        sys.exit("stopped here")
loop.train(TrainSettings.model_validate_json(sys.argv[1]), Path(sys.argv[2]), watch=loop.Watch(logged=logged))
"""


@pytest.mark.parametrize("settings", [{"sample_rate": 0.6, "accumulate": 2, "batch_size": 4, "checkpoint_every": 2}])
def test_two_processes_give_the_loss_curve_of_one_and_one_goes_on_with_their_training(
    learn, people_dir, base, pack, tmp_path, settings
):
    alone = learn("alone", **settings)
    asked = alone.settings.model_dump_json()
    (tmp_path / "script.py").write_text(SCRIPT)
    command = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29513"]
    done = subprocess.run(
        [sys.executable, *command, str(tmp_path / "script.py"), asked, str(tmp_path / "both")],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "stopped here" in done.stderr, done.stderr[-2000:]
    assert done.stderr.count("people held out are loaded") == 1, "one process validates"
    checkpoint = tmp_path / "both/checkpoints/step-000000004"
    assert len(list(checkpoint.glob("centres-*-of-2.pth"))) == 2
    both = learn("both", resume=True, **settings)
    assert len(both.history) == len(alone.history) == 8
    assert [row.loss for row in both.history] == pytest.approx([row.loss for row in alone.history], rel=1e-3)
    norms = [[(row.gradient_norm, row.centres_norm) for row in metrics.history] for metrics in (both, alone)]
    assert np.allclose(*norms, rtol=1e-2)
    assert both.after[1].figures.auc == pytest.approx(alone.after[1].figures.auc, abs=0.05)


# ---- faults


def test_a_loss_that_is_no_number_stops_the_training_and_names_step_and_files(learn, tmp_path, monkeypatch):
    forward = loop.Centres.forward

    def poisoned(self, *given):
        losses = forward(self, *given)
        poisoned.calls += 1
        return losses * float("nan") if poisoned.calls == 3 else losses

    poisoned.calls = 0
    monkeypatch.setattr(loop.Centres, "forward", poisoned)
    with pytest.raises(
        MaskgenError, match=r"loss is not a finite number at step 2; the batch's 8 files, such as .*png"
    ):
        learn()
    listed = (tmp_path / "out/not_finite.txt").read_text().splitlines()
    assert listed[0] == "# loss at step 2"
    assert len(listed) == 9
    assert all(Path(line).is_file() for line in listed[1:])


def test_a_gradient_that_is_no_number_stops_the_training_before_the_weights_are_touched(learn, monkeypatch):
    forward = loop.Centres.forward

    def poisoned(self, *args):
        losses = forward(self, *args)
        losses.register_hook(lambda gradient: gradient * float("inf"))
        return losses

    monkeypatch.setattr(loop.Centres, "forward", poisoned)
    with pytest.raises(MaskgenError, match="gradient is not a finite number at step 0"):
        learn()


def test_corrupted_pictures_are_skipped_and_counted(base, pack, tmp_path):
    root = people.augmented_people(tmp_path / "data", 6, 4)
    for person, take in ((0, 0), (3, 2)):
        (root / people.name(person, take)).write_bytes(b"\x89PNG cut short")
    metrics = loop.train(
        settings_of(
            {
                "data": root,
                "base": str(base),
                "pack": str(pack),
                "epochs": 1,
                "batch_size": 8,
                "workers": 1,
                "holdout": 0,
            }
        ),
        tmp_path / "out",
    )
    # Each is the original of its masked copy too.
    assert metrics.unreadable == 4
    assert any(name.endswith(people.name(3, 2)) for name in metrics.unreadable_examples)
    assert metrics.best_epoch is None


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"batch_size": 64}, "too few for a step"),
        ({"freeze": ("nose",)}, "freeze nose: no parameter begins so; this network has layers, conv_sep, features"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
    ],
)
def test_settings_that_cannot_work_are_explained(learn, values, match):
    with pytest.raises(ConfigError, match=match):
        learn(**values)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_missing_gpu_is_named(learn):
    with pytest.raises(ConfigError, match="device cuda: this torch sees no GPU"):
        learn(device="cuda")


# ---- command line


@pytest.fixture
def invoke(people_dir, base, pack, tmp_path):
    def call(*args):
        given = [str(people_dir), "--base", str(base), "--pack", str(pack), "--out", str(tmp_path / "out")]
        return CliRunner().invoke(
            train_cli, [*given, "--epochs", "1", "--batch-size", "8", "--workers", "0", "--device", "cpu", *args]
        )

    return call


def test_train_says_what_it_did_on_stdout_and_how_it_goes_on_stderr(invoke):
    result = invoke("--holdout", "0.25", "--margin", "cosface")
    assert result.exit_code == 0, result.output
    assert re.search("held out +mask probe", result.stdout)
    assert "model.onnx" in result.stdout
    assert "identities" in result.stderr
    assert "masks      none" not in result.stderr
    assert "step " not in result.stdout
    again = invoke("--holdout", "0.25", "--margin", "cosface", "--resume")
    assert re.search(r"steps +4, goes on after step 4\n", again.stderr)


def test_train_json_is_the_only_thing_on_stdout(invoke):
    result = invoke("--json", "--margin", "1.0,0.3,0.1")
    assert json.loads(result.stdout)["settings"]["margin"] == [1.0, 0.3, 0.1]


def test_train_refuses_a_margin_that_is_none(invoke):
    assert invoke("--margin", "1.0,0.3").exit_code == 2


def test_without_torch_one_line_names_the_extra(invoke, monkeypatch):
    import maskgen.cli.train as module

    monkeypatch.setattr(module, "_NEEDED", ("torch", "no_such_package"))
    result = invoke()
    assert result.exit_code == 1
    assert re.fullmatch(
        r"error: maskgen train needs no_such_package; install them with: pip install '\S*\[train\]'\n", result.stderr
    )


def test_the_command_that_installs_an_extra_is_right_for_a_checkout_and_for_a_wheel(monkeypatch, tmp_path):
    (tmp_path / "maskgen").mkdir()
    monkeypatch.setattr("maskgen.__file__", str(tmp_path / "maskgen" / "__init__.py"))
    assert extras.install("train") == "pip install 'maskgen[train]'"
    (tmp_path / "setup.cfg").touch()
    assert extras.install("train") == f"pip install '{tmp_path}[train]'"
    monkeypatch.chdir(tmp_path)
    assert extras.install("train") == "pip install '.[train]'"


def test_the_model_runs_with_any_batch(learn, tmp_path):
    learn(epochs=1)
    session = onnxruntime.InferenceSession(str(tmp_path / "out/model.onnx"), providers=["CPUExecutionProvider"])
    for number in (1, 5):
        pictures = np.zeros((number, 3, 112, 112), np.float32)
        assert session.run(None, {session.get_inputs()[0].name: pictures})[0].shape == (number, 16)


class Runs:
    """Runs code when it is unpickled."""

    def __init__(self, proof):
        self.proof = proof

    def __reduce__(self):
        return Path.touch, (self.proof,)


@pytest.fixture
def checkpoint(tmp_path):
    """A checkpoint, and what reads it."""
    from accelerate import Accelerator

    from maskgen.train.results import TrainState

    accelerator = Accelerator(cpu=True)
    network = torch.nn.Linear(2, 2)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network, optimizer = accelerator.prepare(network, optimizer)
    centres = loop.Centres(3, 2, loop.Margin(1, 0.5, 0), 8.0)
    of_centres = torch.optim.SGD(centres.parameters(), 0.1, momentum=0.9)
    folder.save(accelerator, tmp_path, TrainState(step=3), centres, of_centres)
    path = tmp_path / folder.CHECKPOINTS / "step-000000003"
    return lambda: folder.load(accelerator, path, centres, of_centres), path


@pytest.mark.parametrize("content", [b"", b"\0" * 40, b"{}x", b'{"step": "many"}'])
@pytest.mark.parametrize(
    "name", ["progress.json", "model.safetensors", "optimizer.bin", "random_states_0.pkl", "centres-0-of-1.pth"]
)
def test_a_damaged_checkpoint_is_one_error_that_names_it(name, content, checkpoint):
    load, path = checkpoint
    assert load().step == 3
    (path / name).write_bytes(content)
    with pytest.raises(ConfigError, match=f"{path.name}.*begin anew with another out"):
        load()


@pytest.mark.parametrize("name", ["progress.json", "model.safetensors", "optimizer.bin", "centres-0-of-1.pth"])
def test_a_checkpoint_that_lacks_a_file_is_one_error_that_names_it(name, checkpoint):
    load, path = checkpoint
    (path / name).unlink()
    with pytest.raises(ConfigError, match=path.name):
        load()


@pytest.mark.parametrize("name", ["optimizer.bin", "random_states_0.pkl", "centres-0-of-1.pth"])
def test_nothing_in_a_checkpoint_is_executed(name, checkpoint, tmp_path):
    load, path = checkpoint
    torch.save(Runs(tmp_path / "proof"), path / name)
    with contextlib.suppress(ConfigError):
        load()
    assert not (tmp_path / "proof").exists()
    torch.load(path / name, weights_only=False)
    assert (tmp_path / "proof").exists()  # it would have been


# ---- formats


def test_the_same_pictures_give_the_same_losses_in_every_format(learn, job_of, tmp_path, base, pack):
    source = people.folder_of_people(tmp_path / "in", 4, 3)
    losses = []
    for out_format in ("folder", "recordio", "webdataset"):
        job = job_of(source, out_format, originals=True, aligned=True, out_format=out_format)
        mask(job)
        metrics = learn(f"out_{out_format}", data=job.target, epochs=1, batch_size=4, holdout=0)
        assert (metrics.identities, metrics.pictures, metrics.masked_pictures) == (4, 12, 12)
        losses.append([row.loss for row in metrics.history])
    assert losses[0] == losses[1] == losses[2]
    assert len(losses[0]) == 6


def test_train_says_whether_it_takes_pictures_for_aligned_and_why(people_dir, job_of, base, pack, tmp_path):
    job = job_of(people_dir, "records", masks=False, out_format="recordio")
    mask(job)
    args = ["--base", str(base), "--pack", str(pack), "--epochs", "1", "--batch-size", "16", "--workers", "0"]
    result = CliRunner().invoke(
        train_cli, [str(job.target / "train.rec"), "--out", str(tmp_path / "out"), "--holdout", "0", *args]
    )
    assert result.exit_code == 0, result.output
    assert "aligned    yes, 112x112 crops: by the sizes of some; --aligned or --photographs says" in result.stderr
    assert "data       8 identities" in result.stderr
    assert "masks      none: there are no masked copies in these data, and no --mask-prob is given" in result.stderr
