# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""A small network taught by a large one, its forms in fewer bits, and the card that tells of them."""

import hashlib
import json

import numpy as np
import onnx
import people
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
pytest.importorskip("accelerate", reason="training needs the extra [train]")
torch.set_num_threads(1)

from click.testing import CliRunner
from small_networks import seeded, tiny, written

from maskgen.cli import main
from maskgen.errors import ConfigError
from maskgen.evaluate.embed import Embedder
from maskgen.train import bases, export, loop, variants
from maskgen.train.settings import settings_of


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    return written(tmp_path_factory.mktemp("teacher") / "w600k_big.onnx", 512)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return people.augmented_people(tmp_path_factory.mktemp("people") / "data", 6, 3)


@pytest.fixture(scope="module")
def taught(data, teacher, tmp_path_factory):
    """What the command said, and the folder of a training of which all forms are asked for."""
    out = tmp_path_factory.mktemp("taught") / "out"
    given = ["--base", "scratch:mbf:0.0625", "--teacher", str(teacher), "--lr", "0.5", "--epochs", "4"]
    given += ["--margin", "none", "--scale", "8", "--batch-size", "8", "--log-every", "1", "--holdout", "0.34"]
    given += ["--workers", "0", "--device", "cpu", "--also", "fp16", "--also", "int8"]
    result = CliRunner().invoke(main, ["train", str(data), "--out", str(out), *given])
    assert result.exit_code == 0, result.output
    return result, out


@pytest.fixture(scope="module")
def metrics(taught):
    return json.loads((taught[1] / "metrics.json").read_text())


# ---- a teacher


def test_a_network_from_scratch_comes_nearer_to_its_teacher_by_the_weight_that_it_has_by_default(metrics):
    assert metrics["settings"]["distill"] is None
    distance = [row["distance"] for row in metrics["history"]]
    assert distance[-1] < 0.8 * distance[0]
    assert metrics["settings"]["base"] == "scratch:mbf:0.0625"


@pytest.mark.parametrize(
    ("values", "weight"),
    [
        ({"base": "x.onnx"}, 10),
        ({"base": "scratch:mbf"}, 0),
        ({"base": "scratch:mbf", "teacher": "y.onnx"}, 100),
        ({"base": "scratch:mbf", "teacher": "y.onnx", "distill": 3}, 3),
    ],
)
def test_the_weight_of_the_distance_depends_on_who_teaches_whom_unless_it_is_given(values, weight):
    assert settings_of({"data": "x", **values}).distill_weight == weight


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (
            {"base": "scratch:mbf", "distill": 1.0},
            "^distill: a base from scratch has nothing to teach, and there is no teacher",
        ),
        ({"base": "x.onnx", "teacher": "scratch:mbf"}, "a network from scratch has nothing to teach"),
        ({"base": "x.onnx", "teacher": "y.onnx", "distill": 0.0}, "with weight 0 nothing is learnt from the teacher"),
    ],
)
def test_settings_without_anybody_who_teaches_are_refused(values, match):
    with pytest.raises(ConfigError, match=match):
        settings_of({"data": "x", **values})


def test_a_teacher_with_embeddings_of_another_length_is_refused_before_the_data_are_read(
    teacher, tmp_path, monkeypatch
):
    monkeypatch.setattr(loop, "collect", lambda *args: pytest.fail("the data were read"))
    export.write_onnx(seeded(tiny(24)), tmp_path / "small.onnx")
    settings = {"data": "x", "base": str(tmp_path / "small.onnx"), "teacher": str(teacher), "device": "cpu"}
    with pytest.raises(ConfigError, match=r"its embeddings have 512 numbers, those of base .* 24"):
        loop.train(settings_of(settings), tmp_path / "out")


# ---- fewer bits


def test_a_form_is_written_if_and_only_if_its_embeddings_are_the_models(taught, metrics):
    result, out = taught
    assert [variant["bits"] for variant in metrics["variants"]] == ["fp16", "int8"]
    for variant in metrics["variants"]:
        assert (variant["file"] is not None) == (variant["min_cosine"] >= 0.999)
        assert (out / f"model.{variant['bits']}.onnx").exists() == (variant["file"] is not None)
        assert variant["min_cosine"] <= variant["mean_cosine"]
        assert variant["pictures"] == 12, "two people held out, with three pictures each, bare and masked"
        assert f"least {variant['min_cosine']:.5f}" in result.stdout
        assert ("not written, the embeddings are others" in result.stdout) or variant["file"] is not None
    assert metrics["variants"][0]["file"] == "model.fp16.onnx"


@pytest.fixture(scope="module")
def crops():
    return np.stack([people.portrait(person, take) for person in range(6) for take in range(2)])


@pytest.mark.parametrize("bits", ["fp16", "int8"])
def test_insightface_loads_each_form_and_gets_the_embeddings_that_were_checked(
    bits, taught, crops, tmp_path, monkeypatch
):
    from insightface.model_zoo import get_model

    monkeypatch.setattr(variants, "LEAST_COSINE", -1)
    model = tmp_path / "model.onnx"
    model.write_bytes((taught[1] / "model.onnx").read_bytes())
    found = variants.write(model, bits, crops[::2], crops[1::2])
    network = get_model(str(tmp_path / found.file), providers=["CPUExecutionProvider"])
    assert network.taskname == "recognition"
    assert (network.input_mean, network.input_std) == (127.5, 127.5)
    theirs = np.stack([network.get_feat(np.ascontiguousarray(crop[..., ::-1]))[0] for crop in crops[1::2]])
    ours = Embedder(model)((crops[1::2].transpose(0, 3, 1, 2).astype(np.float32) - 127.5) / 127.5)
    cosines = (theirs * ours).sum(1) / np.linalg.norm(theirs, axis=1) / np.linalg.norm(ours, axis=1)
    assert cosines.min() == pytest.approx(found.min_cosine, abs=0.02)
    assert found.size == (tmp_path / found.file).stat().st_size
    graph = onnx.load(tmp_path / found.file).graph
    kind = onnx.TensorProto.FLOAT16 if bits == "fp16" else onnx.TensorProto.INT8
    of_kind, of_all = (
        sum(int(np.prod(tensor.dims)) for tensor in graph.initializer if wanted(tensor))
        for wanted in (lambda tensor: tensor.data_type == kind, lambda tensor: True)
    )
    assert of_kind > 0.8 * of_all


@pytest.mark.parametrize("bits", ["fp16", "int8"])
def test_a_form_whose_embeddings_are_others_is_not_written_and_one_that_was_there_goes(
    bits, taught, crops, tmp_path, monkeypatch
):
    monkeypatch.setattr(variants, "LEAST_COSINE", 1.1)
    (tmp_path / "model.onnx").write_bytes((taught[1] / "model.onnx").read_bytes())
    (tmp_path / f"model.{bits}.onnx").write_bytes(b"of an earlier training")
    found = variants.write(tmp_path / "model.onnx", bits, crops[::2], crops[1::2])
    assert found.file is None
    assert found.min_cosine > 0.5
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_the_small_network_can_be_a_base_again(taught):
    assert bases.load(str(taught[1] / "model.fp16.onnx")).spec == bases.load(str(taught[1] / "model.onnx")).spec


# ---- the card


def test_the_card_tells_of_data_recipe_figures_limits_and_licence(taught, metrics, data, teacher):
    text = (taught[1] / "MODEL_CARD.md").read_text()
    for heading in ("Data", "Recipe", "Figures", "Files", "Limits", "Licence"):
        assert f"\n## {heading}\n" in text
    assert f"| identities | {metrics['identities']} |" in text
    assert f"| originals | {metrics['pictures']} |" in text
    assert f"| masked copies | {metrics['masked_pictures']} |" in text
    for name in ("manifest.jsonl", "run.json"):
        assert f"| SHA-256 of `{name}` | {hashlib.sha256((data / name).read_bytes()).hexdigest()} |" in text
    assert hashlib.sha256(teacher.read_bytes()).hexdigest() in text
    assert "| lr | `0.5` |" in text
    for before, after, masks in zip(metrics["before"], metrics["after"], ("none", "one of two"), strict=True):
        for network, report in (("base", before), ("trained", after)):
            found = report["figures"]
            assert f"| {network} | {masks} | {found['genuine']} | {found['impostor']} |" in text
            assert f"{found['auc']:.4f}" in text
    for variant in metrics["variants"]:
        assert f"least {variant['min_cosine']:.5f}" in text
    assert "InsightFace's own models, such as `buffalo_l` and `w600k_r50`, are for non-commercial research only" in text
    assert str(data.parent) not in text, "where things lie on this machine is nobody's business"


def test_the_card_says_what_is_not_known(data, tmp_path, monkeypatch):
    monkeypatch.setattr(export, "write", lambda backbone, out, pack: 0)
    settings = {"data": data, "base": "scratch:mbf:0.0625", "epochs": 1, "batch_size": 8, "holdout": 0, "workers": 0}
    loop.train(settings_of({**settings, "device": "cpu"}), tmp_path / "out")
    text = (tmp_path / "out/MODEL_CARD.md").read_text()
    assert "None: nobody was held out" in text
    assert "It began from nothing" in text
    assert "The terms of the base" not in text
