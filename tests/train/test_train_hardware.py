# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""How a training uses the machine, what it tells meanwhile, and optimizers."""

import re
from types import SimpleNamespace

import numpy as np
import people
import pytest
from fakes import mask

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("accelerate", reason="training needs the extra [train]")
torch.set_num_threads(1)

from maskgen.cli.train import _Steps
from maskgen.train import bases, data, export, learner, loop, machine
from maskgen.train.collection import collect
from maskgen.train.margin import Centres, Margin
from maskgen.train.results import HistoryRow
from maskgen.train.settings import settings_of


@pytest.fixture(scope="module")
def people_dir(tmp_path_factory):
    return people.augmented_people(tmp_path_factory.mktemp("people") / "data", 6, 3)


@pytest.fixture
def learn(people_dir, tmp_path, monkeypatch):
    """Trains, and writes the weights only; settings by keyword."""
    monkeypatch.setattr(
        export, "write", lambda backbone, out, pack: export.write_pth(backbone, out / "backbone.pth") or 0
    )
    monkeypatch.setattr(export, "draw_curves", lambda path, metrics: None)

    def call(out="out", resume=False, watch=loop.Watch(), **values):  # noqa: B008
        given = {"data": people_dir, "base": "scratch:mbf:0.0625", "epochs": 1, "batch_size": 8, "workers": 0}
        given |= {"holdout": 0, "device": "cpu", "log_every": 1}
        return loop.train(settings_of({**given, **values}), tmp_path / out, resume, watch)

    return call


def settings(**values):
    return settings_of({"data": "x", "base": "y.onnx", **values})


# ---- the machine


def test_by_default_every_core_loads_pictures_and_processes_share_them(monkeypatch):
    monkeypatch.setattr(machine, "LocalExecutor", lambda: SimpleNamespace(workers=16))
    assert machine.loaders_of(settings()) == 16
    assert machine.loaders_of(settings(workers=0)) == 0
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert machine.loaders_of(settings()) == 4
    assert machine.loaders_of(settings(workers=3)) == 3
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "32")
    assert machine.loaders_of(settings()) == 1


def test_no_more_processes_load_than_there_are_batches(people_dir, tmp_path):
    collection = collect(settings_of({"data": people_dir, "base": "scratch:mbf", "holdout": 0}), tmp_path)
    samples = data.Samples(collection, 0, False)
    assert data.loader(samples, data.batches(samples, 16, 0), 64).num_workers == 2


@pytest.mark.parametrize(
    ("asked", "wants_cuda", "has_bf16", "precision"),
    [
        (None, False, True, "fp32"),
        (None, True, True, "bf16"),
        (None, True, False, "fp16"),
        ("fp32", True, True, "fp32"),
        ("fp16", True, True, "fp16"),
        ("bf16", False, False, "bf16"),
    ],
)
def test_a_gpu_computes_in_bf16_or_else_in_fp16_and_a_cpu_in_fp32(asked, wants_cuda, has_bf16, precision, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has_bf16)
    assert machine.precision_of(settings(precision=asked), wants_cuda) == precision


def test_gradients_of_centres_are_brought_to_their_true_scale_in_fp16():
    centres = Centres(4, 3, Margin(1, 0, 0), 8.0)
    for scale, classes in ((1024.0, None), (1024.0, torch.tensor([0, 2]))):
        accelerator = SimpleNamespace(scaler=SimpleNamespace(get_scale=lambda: 1024.0), reduce=lambda value: value)
        embeddings = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
        norms = []
        for factor in (1.0, scale):
            centres.zero_grad()
            (factor * centres(embeddings, torch.tensor([0, 2]), classes).mean()).backward()
            plain = SimpleNamespace(scaler=None, reduce=lambda value: value)
            norms.append(loop._centres_norm(plain if factor == 1 else accelerator, centres))
        assert norms[1] == pytest.approx(norms[0], rel=1e-5)


# ---- optimizers


def test_adamw_learns(learn):
    losses = [row.margin_loss for row in learn(optimizer="adamw", epochs=4, lr=0.005).history]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:4])


def test_adamw_has_rates_and_decay_of_its_own():
    assert settings(optimizer="adamw").highest_lr == pytest.approx(1e-4)
    assert settings(optimizer="adamw", base="scratch:mbf").highest_lr == pytest.approx(1e-3)
    assert settings(optimizer="adamw", lr=0.5).highest_lr == 0.5
    assert settings().highest_lr == pytest.approx(0.03)
    assert settings(base="scratch:mbf").highest_lr == pytest.approx(0.1)
    network = bases.build(bases.scratch_spec("scratch:mbf:0.0625"))
    for name, decay in (("sgd", 5e-4), ("adamw", 0.1)):
        optimizer = learner.optimizer_of(network, settings(optimizer=name))
        assert [group["weight_decay"] for group in optimizer.param_groups] == [decay, 0.0]
        assert all(one.dim() == 1 for one in optimizer.param_groups[1]["params"])


def test_a_training_with_adamw_and_a_sample_of_centres_resumes_bit_for_bit(learn):
    given = {"optimizer": "adamw", "sample_rate": 0.5, "epochs": 2, "checkpoint_every": 2}
    whole = learn("whole", **given)

    def stop(row, steps):
        if row.step == 3:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        learn("stopped", watch=loop.Watch(logged=stop), **given)
    resumed = learn("stopped", resume=True, **given)
    assert resumed.history == whole.history


def test_only_the_gradient_of_the_backbone_is_clipped(learn):
    """The first step tells: what is clipped moves less, and the centres begin at the same places."""
    free, clipped = (learn(f"{clip}", clip=clip, warmup=0, epochs=1) for clip in (1e9, 1e-9))
    assert clipped.history[0] == free.history[0], "norms are those before clipping"
    assert clipped.history[0].gradient_norm > 0
    assert clipped.history[0].centres_norm > 0
    assert clipped.history[1].margin_loss != free.history[1].margin_loss


# ---- what is told


def row(step, loss=1.0):
    values = {"margin_loss": loss, "distance": 0.1, "lr": 0.01, "gradient_norm": 2.0}
    return HistoryRow(step=step, epoch=step / 100, loss=loss, **values)


def test_a_line_every_few_seconds_tells_loss_rate_and_what_is_left(capsys):
    now = [100.0]
    steps = _Steps(32, lambda: now[0])
    now[0] = 200.0  # faces were looked for
    steps.begin()
    for step in range(11, 101):  # one second each; the run goes on with one of ten steps
        now[0] += 1
        steps.show(row(step, loss=step / 10), 100)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 18
    assert all("32.0 pictures/s" in line for line in lines)
    assert re.match(r"step +15/100 .* loss 1\.5000 .* 85 s left", lines[0])
    assert re.match(r"step +100/100 .* 0 s left", lines[-1])


def test_slow_steps_are_told_one_by_one_and_the_last_one_always(capsys):
    now = [0.0]
    steps = _Steps(128, lambda: now[0])
    steps.begin()
    for step, seconds in ((1, 20), (2, 20), (3, 0.1)):
        now[0] += seconds
        steps.show(row(step), 3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split()[1] for line in lines] == ["1/3", "2/3", "3/3"]
    assert "6.4 pictures/s  40 s left" in lines[0]


def test_centres_are_placed_by_the_loader_and_tell_how_far_they_are(people_dir, tmp_path):
    collection = collect(settings_of({"data": people_dir, "base": "scratch:mbf", "holdout": 0}), tmp_path)
    backbone = bases.load("scratch:mbf:0.0625")
    told, found = [], []
    for workers in (0, 2):
        centres = Centres(6, 512, Margin(1, 0, 0), 8.0)
        learner.start_centres(centres, backbone, collection, workers, lambda *now: told.append(now))
        found.append(centres.weight.detach())
    assert torch.equal(*found)
    assert told == [(18, 18)] * 2
    length = Centres(6, 512, Margin(1, 0, 0), 8.0).weight.norm(dim=1)
    assert torch.allclose(found[0].norm(dim=1), length, rtol=1e-4)
    for label in range(6):
        crops = [collection.cropper.clean(p.item.original, p.keypoints) for p in collection.people if p.label == label]
        pictures = torch.from_numpy(np.stack(crops).transpose(0, 3, 1, 2).copy())
        with torch.no_grad():
            mean = torch.nn.functional.normalize(backbone(data.to_input(pictures))).sum(0)
        assert float(torch.cosine_similarity(mean, found[0][label], dim=0)) > 0.9999


def test_each_process_places_its_own_centres(people_dir, tmp_path):
    collection = collect(settings_of({"data": people_dir, "base": "scratch:mbf", "holdout": 0}), tmp_path)
    backbone = bases.load("scratch:mbf:0.0625")
    parts = [Centres(6, 512, Margin(1, 0, 0), 8.0, 0, rank, world) for rank, world in ((0, 1), (0, 2), (1, 2))]
    for centres in parts:
        learner.start_centres(centres, backbone, collection)
    assert torch.allclose(torch.cat([parts[1].weight, parts[2].weight]), parts[0].weight, atol=1e-6)


def test_a_picture_that_cannot_be_read_moves_no_centre(tmp_path):
    root = people.augmented_people(tmp_path / "data", 4, 1)
    (root / people.name(2, 0)).write_bytes(b"broken")
    given = {"data": root, "base": "scratch:mbf", "holdout": 0}
    collection = collect(settings_of(given), tmp_path)
    centres = Centres(4, 512, Margin(1, 0, 0), 8.0)
    before = centres.weight.detach().clone()
    learner.start_centres(centres, bases.load("scratch:mbf:0.0625"), collection)
    assert (centres.weight != before).any(1).tolist() == [True, True, False, True]


# ---- shards


def test_a_training_on_shards_that_was_stopped_within_an_epoch_ends_bit_for_bit_like_one_that_was_not(
    learn, job_of, tmp_path, monkeypatch
):
    """With an order as of a large dataset, which follows the shards."""
    monkeypatch.setattr(data, "LARGE", 0)
    source = people.folder_of_people(tmp_path / "in", 5, 4)
    job = job_of(source, "shards", originals=True, aligned=True, out_format="webdataset", shard_size=6)
    mask(job)
    assert len(list(job.target.glob("*.tar"))) > 2
    given = {"data": job.target, "epochs": 2, "checkpoint_every": 1, "batch_size": 4}
    whole = learn("whole", **given)
    assert whole.steps == 20
    for step in (4, 13):

        def stop(row, steps, step=step):
            if row.step == step:
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            learn("stopped", resume=True, watch=loop.Watch(logged=stop), **given)
    resumed = learn("stopped", resume=True, **given)
    assert resumed.history == whole.history
    one, other = (torch.load(tmp_path / out / "backbone.pth", weights_only=True) for out in ("whole", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in one)
