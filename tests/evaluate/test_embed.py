"""Networks of others: what InsightFace's interface allows is run, all else is one error that names file and node."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from maskgen.errors import ModelError
from maskgen.evaluate.embed import Embedder, noise, recogniser_of

WEIGHTS = np.random.default_rng(0).normal(0, 0.01, (3 * 112 * 112, 4)).astype(np.float32)


def network(path, shape=("batch", 3, 112, 112), kind=TensorProto.FLOAT, weights=WEIGHTS, tail=(), out=("batch", 4)):
    """An ONNX that flattens its input and multiplies it with weights; `tail` adds nodes from ``product`` to ``y``."""
    nodes = [helper.make_node("Cast", ["x"], ["float"], to=TensorProto.FLOAT)]
    nodes.append(helper.make_node("Flatten", ["float"], ["flat"]))
    nodes.append(helper.make_node("MatMul", ["flat", "w"], ["product" if tail else "y"]))
    graph = helper.make_graph(
        [*nodes, *tail],
        "g",
        [helper.make_tensor_value_info("x", kind, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out)],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.array([2, 3], np.int64), "axes")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


@pytest.mark.parametrize(
    "shape", [("batch", 3, 112, 112), (1, 3, 112, 112), (None, 3, "h", "w"), ("n", "c", "h", "w"), ("n", 3, 112, "w")]
)
@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.FLOAT16])
def test_inputs_of_free_lengths_and_of_half_precision_are_taken(shape, kind, tmp_path):
    pictures = np.concatenate([noise(), noise()[:1]])
    found = Embedder(network(tmp_path / "a.onnx", shape, kind), threads=1)(pictures)
    assert found.dtype == np.float32
    assert found == pytest.approx(pictures.reshape(3, -1) @ WEIGHTS, abs=1e-2)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"kind": TensorProto.UINT8}, r"input 'x' takes tensor\(uint8\), expected tensor\(float\)"),
        ({"kind": TensorProto.DOUBLE}, r"input 'x' takes tensor\(double\)"),
        ({"shape": ("batch", 112, 112, 3)}, "not a recognition network: 1 input, the first of shape"),
        (
            {"shape": ("batch", 3, 128, 128), "weights": np.zeros((3 * 128 * 128, 4), np.float32)},
            "not a recognition network",
        ),
        ({"shape": (2, 3, 112, 112)}, "not a recognition network"),
        ({"shape": ("batch", 3 * 112 * 112)}, "not a recognition network"),
        ({"shape": ("n", "c", "h", "w"), "weights": WEIGHTS[:100]}, "onnxruntime cannot run it: .*MatMul"),
        (
            {
                "tail": [helper.make_node("Unsqueeze", ["product", "axes"], ["y"])],
                "out": ("batch", 4, 1, 1),
            },
            r"output 'y' has shape \(2, 4, 1, 1\), expected \(2, E\)",
        ),
        ({"weights": WEIGHTS * np.nan}, "output 'y': 2 of 2 embeddings are no finite numbers"),
        ({"weights": WEIGHTS * np.inf}, "output 'y': 2 of 2 embeddings are no finite numbers"),
    ],
)
def test_a_network_that_cannot_be_used_is_one_error_that_names_file_and_place(options, match, tmp_path):
    with pytest.raises(ModelError, match=rf"a\.onnx: {match}"):
        Embedder(network(tmp_path / "a.onnx", **options), threads=1)


def test_embeddings_that_are_no_numbers_on_some_pictures_only_are_found_out(tmp_path):
    # The root of a sum over the picture: no number where the sum is negative.
    weights = np.full_like(WEIGHTS, np.sign(noise().sum(axis=(1, 2, 3))).sum() or 1)
    tail = [helper.make_node("Abs", ["product"], ["size"]), helper.make_node("Sub", ["size", "limit"], ["rest"])]
    tail += [helper.make_node("Sqrt", ["rest"], ["y"])]
    limit = helper.make_node("Constant", [], ["limit"], value=numpy_helper.from_array(np.float32([1e-3])))
    embedder = Embedder(network(tmp_path / "a.onnx", weights=weights, tail=[limit, *tail]), threads=1)
    with pytest.raises(ModelError, match=r"a\.onnx: output 'y': 1 of 3 embeddings are no finite numbers"):
        embedder(np.concatenate([noise(), noise()[:1] * 0]))


@pytest.mark.parametrize("content", [b"", b"\x08", b"no model", bytes(range(256))])
def test_a_pack_with_a_damaged_file_names_it_or_passes_it_over(content, tmp_path):
    network(tmp_path / "z.onnx")
    (tmp_path / "a.onnx").write_bytes(content)
    if content:
        with pytest.raises(ModelError, match=r"a\.onnx: not an ONNX file"):
            recogniser_of(tmp_path)
    else:
        assert recogniser_of(tmp_path) == tmp_path / "z.onnx"
