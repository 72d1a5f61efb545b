# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""What a training can start from, as the field saves it: checkpoints of many kinds, ONNX of several exporters."""

import warnings

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
torch.set_num_threads(1)

from small_networks import lived_in, tiny

from maskgen.errors import ModelError
from maskgen.evaluate.embed import Embedder, noise
from maskgen.train import bases, export
from maskgen.train.backbones import IResNetSpec

SPECS = {
    "iresnet": IResNetSpec((2, 1, 1, 1), (4, 4, 6, 8, 10), 16),
    "mbf": tiny(24),
}
HEAD = torch.zeros(7, 16)


NETWORKS = {name: lived_in(spec) for name, spec in SPECS.items()}


def same(one, other, within=1e-4):
    with torch.no_grad():
        ours, theirs = (network(torch.from_numpy(noise())) for network in (one, other))
    return float((ours - theirs).abs().max() / theirs.abs().max()) < within


# ---- weights


def prefixed(state, prefix):
    return {f"{prefix}{name}": value for name, value in state.items()}


CHECKPOINTS = {
    "by themselves": lambda state: state,
    "of a wrapped module": lambda state: prefixed(state, "module."),
    "of a compiled one": lambda state: prefixed(state, "_orig_mod."),
    "both": lambda state: prefixed(state, "module._orig_mod."),
    "with a head": lambda state: {**prefixed(state, "module.backbone."), "module.head.weight": HEAD},
    "state_dict": lambda state: {"epoch": 3, "state_dict": state, "optimizer": {"lr": 0.1, "state": {0: HEAD}}},
    "model": lambda state: {"model": prefixed(state, "module."), "args": None},
    "backbone": lambda state: {"backbone": state, "head": {"weight": HEAD}},
    "arcface_torch's checkpoint": lambda state: {
        "epoch": 1,
        "global_step": 100,
        "state_dict_backbone": prefixed(state, "module."),
        "state_dict_softmax_fc": {"weight": HEAD},
        "state_optimizer": {"state": {}, "param_groups": [{"lr": 0.02}]},
    },
    "of Lightning": lambda state: {"state_dict": {**prefixed(state, "model."), "loss.weight": HEAD}, "loops": {}},
    "deep": lambda state: {"train": {"model": {"state_dict": state}}},
    "halves": lambda state: {
        name: value.half() if value.is_floating_point() else value for name, value in state.items()
    },
}


@pytest.mark.parametrize("suffix", ["pth", "pt"])
@pytest.mark.parametrize("kind", CHECKPOINTS)
@pytest.mark.parametrize("name", SPECS)
def test_weights_are_found_in_a_checkpoint(name, kind, suffix, tmp_path):
    path = tmp_path / f"model.{suffix}"
    torch.save(CHECKPOINTS[kind](NETWORKS[name].state_dict()), path)
    back = bases.load(str(path))
    assert back.spec == SPECS[name]
    assert same(back, NETWORKS[name], 2e-2 if kind == "halves" else 1e-6)


@pytest.mark.parametrize(
    ("checkpoint", "said"),
    [
        (lambda state: {"model": state, "ema": state}, "2 networks: model, ema; save"),
        (lambda state: {"state_dict": {**prefixed(state, "student."), **prefixed(state, "teacher.")}}, r"2 networks: "),
        (lambda state: {"epoch": 3, "state_dict": {"head.weight": HEAD}}, "not a state dict, nor a checkpoint"),
        (lambda state: [state], "not a state dict, nor a checkpoint"),
        (lambda state: {"model": {**state, "more.weight": HEAD}}, r"parameter more\.weight has no place"),
        (lambda state: {"model": {k: v for k, v in state.items() if "bn2" not in k}}, r"bn2\.\w+ is missing"),
    ],
)
def test_a_checkpoint_that_does_not_hold_one_network_is_one_error(checkpoint, said, tmp_path):
    torch.save(checkpoint(NETWORKS["iresnet"].state_dict()), tmp_path / "model.pt")
    with pytest.raises(ModelError, match=rf"model\.pt: .*{said}"):
        bases.load(str(tmp_path / "model.pt"))


# ---- ONNX


@pytest.fixture(scope="module", params=SPECS)
def exported(request, tmp_path_factory):
    """(name, path of its ONNX)."""
    path = tmp_path_factory.mktemp("onnx") / f"{request.param}.onnx"
    export.write_onnx(NETWORKS[request.param], path)
    return request.param, path


def halved(model, with_float_ends):
    """A model of half precision; the ends may stay float, with casts inside."""
    graph = model.graph
    for tensor in graph.initializer:
        if tensor.data_type == TensorProto.FLOAT:
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor).astype(np.float16), tensor.name))
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.HasField("t") and attribute.t.data_type == TensorProto.FLOAT:
                values = numpy_helper.to_array(attribute.t).astype(np.float16)
                attribute.t.CopyFrom(numpy_helper.from_array(values))
            elif node.op_type == "Cast":
                attribute.i = TensorProto.FLOAT16
    given, found = graph.input[0], graph.output[0]
    if not with_float_ends:
        given.type.tensor_type.elem_type = found.type.tensor_type.elem_type = TensorProto.FLOAT16
        return
    for node in graph.node:
        node.input[:] = ["half" if name == given.name else name for name in node.input]
        node.output[:] = ["half_out" if name == found.name else name for name in node.output]
    graph.node.insert(0, helper.make_node("Cast", [given.name], ["half"], to=TensorProto.FLOAT16))
    graph.node.append(helper.make_node("Cast", ["half_out"], [found.name], to=TensorProto.FLOAT))


@pytest.mark.parametrize("with_float_ends", [False, True])
def test_an_onnx_of_half_precision_maps(exported, with_float_ends, tmp_path):
    name, path = exported
    model = onnx.load(path)
    halved(model, with_float_ends)
    onnx.save(model, tmp_path / "half.onnx")
    back = bases.load(str(tmp_path / "half.onnx"))
    assert same(back, NETWORKS[name], bases.HALF_TOLERANCE)
    assert bases.difference(back, str(tmp_path / "half.onnx")) < bases.HALF_TOLERANCE
    assert next(back.parameters()).dtype == torch.float32
    with pytest.raises(ModelError, match="differ by"):
        bases.difference(lived_in(SPECS[name], seed=1), str(tmp_path / "half.onnx"))


def with_reshape(model, shape):
    """Flatten as a reshape to a shape that the exporter wrote down, where it is not one already."""
    graph = model.graph
    place = next(i for i, node in enumerate(graph.node) if node.op_type in ("Flatten", "Reshape"))
    node = graph.node[place]
    graph.initializer.append(numpy_helper.from_array(np.array(shape, np.int64), "written_down"))
    flat = helper.make_node("Reshape", [node.input[0], "written_down"], list(node.output), name="flat")
    graph.node.remove(node)
    graph.node.insert(place, flat)


@pytest.mark.parametrize("is_free_outside", [True, False])
@pytest.mark.parametrize("shape", [(1, -1), (1, None)])
def test_an_export_with_a_reshape_to_one_picture_is_run_one_by_one_and_maps(
    exported, shape, is_free_outside, tmp_path, capfd
):
    name, path = exported
    model = onnx.load(path)
    features = SPECS[name].widths[-1] * 49 if name == "iresnet" else SPECS[name].separate
    with_reshape(model, [features if size is None else size for size in shape])
    if not is_free_outside:
        for end in (model.graph.input[0], model.graph.output[0]):
            end.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(model, tmp_path / "one.onnx")
    back = bases.load(str(tmp_path / "one.onnx"))
    assert same(back, NETWORKS[name])
    pictures = np.concatenate([noise(), noise()[:1]])
    with torch.no_grad():
        expected = NETWORKS[name](torch.from_numpy(pictures)).numpy()
    found = Embedder(tmp_path / "one.onnx")(pictures)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    assert capfd.readouterr().err == "", "onnxruntime tells of the trial"


def test_a_network_that_takes_neither_one_picture_nor_two_is_one_error(exported, tmp_path):
    _, path = exported
    model = onnx.load(path)
    with_reshape(model, (3, -1))
    onnx.save(model, tmp_path / "three.onnx")
    with pytest.raises(ModelError, match=r"three\.onnx: onnxruntime cannot run it"):
        Embedder(tmp_path / "three.onnx")


def simplified(model):
    """As onnxsim leaves it: constants folded, flattened by a written shape, the last norm in the Gemm before it."""
    with_reshape(model, (0, -1))
    fold_last_norm(model.graph)
    for value in list(model.graph.initializer):
        # Old writers name weights among the inputs too.
        model.graph.input.append(helper.make_tensor_value_info(value.name, value.data_type, value.dims))


def of_dynamo(model):
    """As torch's newer exporter writes it: other names, tensors shared, a shape that is put together, no Flatten."""
    graph = model.graph
    fold_last_norm(graph)
    names = {}
    for i, tensor in enumerate(graph.initializer):
        names[tensor.name] = f"layer_{i}.weight"
        tensor.name = names[tensor.name]
    for i, node in enumerate(graph.node):
        node.name = f"node_{node.op_type}_{i}"
        if node.output[0] != graph.output[0].name:
            names[node.output[0]] = f"getitem_{i}"
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    place = next(i for i, node in enumerate(graph.node) if node.op_type in ("Flatten", "Reshape"))
    flat = graph.node[place]
    graph.initializer.extend(
        [numpy_helper.from_array(np.array([0]), "val_0"), numpy_helper.from_array(np.array([-1]), "val_1")]
    )
    made = [
        helper.make_node("Shape", [graph.input[0].name], ["val_2"], start=0, end=1),
        helper.make_node("Concat", ["val_2", "val_1"], ["val_3"], axis=0),
        helper.make_node("Reshape", [flat.input[0], "val_3"], list(flat.output), allowzero=1),
    ]
    graph.node.remove(flat)
    for node in reversed(made):
        graph.node.insert(place, node)


def fold_last_norm(graph):
    """Put the norm of the embedding into the linear map before it, as optimisers do; that becomes a Gemm."""
    constants = {tensor.name: tensor for tensor in graph.initializer}
    linear, norm = graph.node[-2:]
    assert norm.op_type == "BatchNormalization"
    scale, bias, mean, variance = (numpy_helper.to_array(constants[name]) for name in norm.input[1:])
    epsilon = next(a.f for a in norm.attribute if a.name == "epsilon")
    factor = scale / np.sqrt(variance + epsilon)
    weight = numpy_helper.to_array(constants[linear.input[1]])
    weight = weight if linear.op_type == "Gemm" else weight.T
    shift = numpy_helper.to_array(constants[linear.input[2]]) if len(linear.input) > 2 else 0
    graph.initializer.append(numpy_helper.from_array((weight * factor[:, None]).astype(np.float32), "gemm.weight"))
    graph.initializer.append(numpy_helper.from_array(((shift - mean) * factor + bias).astype(np.float32), "gemm.bias"))
    gemm = helper.make_node("Gemm", [linear.input[0], "gemm.weight", "gemm.bias"], list(norm.output), transB=1)
    graph.node.remove(norm)
    graph.node.remove(linear)
    graph.node.append(gemm)


@pytest.mark.parametrize("rewrite", [simplified, of_dynamo])
def test_other_exporters_and_optimisers_files_map(exported, rewrite, tmp_path):
    name, path = exported
    model = onnx.load(path)
    rewrite(model)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "rewritten.onnx")
    back = bases.load(str(tmp_path / "rewritten.onnx"))
    assert same(back, NETWORKS[name])


@pytest.mark.parametrize("is_free", [False, True])
@pytest.mark.parametrize("name", SPECS)
def test_what_torchs_newer_exporter_writes_maps(name, is_free, tmp_path):
    pytest.importorskip("onnxscript", reason="torch's newer exporter needs it")
    free = ({0: torch.export.Dim("batch")},) if is_free else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            NETWORKS[name],
            (torch.zeros(2 if is_free else 1, 3, 112, 112),),
            str(tmp_path / "a.onnx"),
            dynamo=True,
            dynamic_shapes=free,
            verbose=False,
        )
    assert same(bases.load(str(tmp_path / "a.onnx")), NETWORKS[name])
