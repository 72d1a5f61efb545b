# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""Recognition networks: from ONNX and .pth to torch and back, nothing lost."""

import inspect
import shutil
import warnings

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

torch.set_num_threads(1)

from small_networks import lived_in

from maskgen.errors import ModelError
from maskgen.evaluate.embed import file_of, recogniser_of
from maskgen.train import bases, export, graph
from maskgen.train.backbones import IResNetSpec, build, iresnet, mobilefacenet

SPECS = {
    "iresnet": IResNetSpec((2, 1, 1, 1), (4, 4, 6, 8, 10), 16),
    "r18": iresnet("r18", 1 / 16, 32),
    "mbf": mobilefacenet(1 / 16, embedding=32),
    "mbf_large": mobilefacenet(1 / 16, (2, 1, 2, 1), 4, embedding=24),
}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Writes the ONNX file of a network of a name to a path; each is exported once."""
    made = {}

    def write(name, path):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "whole.onnx"
            export.write_onnx(lived_in(SPECS[name]), made[name])
        shutil.copy(made[name], path)

    return write


def difference(one, other):
    noise = torch.randn(2, 3, 112, 112, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        ours, theirs = one(noise), other(noise)
    return float((ours - theirs).abs().max() / theirs.abs().max())


@pytest.mark.parametrize("name", SPECS)
def test_a_network_survives_onnx_and_back(name, tmp_path):
    network = lived_in(SPECS[name])
    export.write_onnx(network, tmp_path / "a.onnx")
    back = bases.load(str(tmp_path / "a.onnx"))  # compares both by itself
    assert back.spec == SPECS[name]
    assert difference(back, network) < 1e-4
    export.write_onnx(back, tmp_path / "b.onnx")
    assert difference(graph.backbone_of_onnx(tmp_path / "b.onnx"), network) < 1e-4


@pytest.mark.parametrize("name", ["iresnet", "mbf"])
def test_batch_norms_after_convolutions_are_folded_on_export(name, tmp_path, exported):
    exported(name, tmp_path / "a.onnx")
    nodes = onnx.load(tmp_path / "a.onnx").graph.node
    convolved = {node.output[0] for node in nodes if node.op_type == "Conv"}
    assert not [node for node in nodes if node.op_type == "BatchNormalization" and node.input[0] in convolved]
    assert all(len(node.input) == 3 for node in nodes if node.op_type == "Conv"), "folded ones leave a bias"


@pytest.mark.parametrize("name", ["iresnet", "mbf"])
def test_a_graph_with_batch_norms_left_as_they_are_maps_too(name, tmp_path):
    network = lived_in(SPECS[name])
    classic = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (torch.zeros(1, 3, 112, 112),),
            str(tmp_path / "a.onnx"),
            training=torch.onnx.TrainingMode.PRESERVE,
            do_constant_folding=False,
            **classic,
        )
    nodes = onnx.load(tmp_path / "a.onnx").graph.node
    assert sum(node.op_type == "BatchNormalization" for node in nodes) > 5
    assert difference(bases.load(str(tmp_path / "a.onnx")), network) < 1e-4


def test_a_graph_that_flattens_by_its_own_shape_maps_too(tmp_path):
    """``x.view(x.size(0), -1)``, as arcface_torch's MobileFaceNet has it, leaves nodes that compute a shape."""

    class View(torch.nn.Module):
        def forward(self, x):
            return x.view(x.size(0), -1)

    network = lived_in(SPECS["mbf"])
    network.features.layers[1] = View()
    export.write_onnx(network, tmp_path / "a.onnx")
    assert "Reshape" in {node.op_type for node in onnx.load(tmp_path / "a.onnx").graph.node}
    assert difference(bases.load(str(tmp_path / "a.onnx")), network) < 1e-4


def test_another_epsilon_is_taken_into_the_statistics(tmp_path, exported):
    exported("iresnet", tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    for node in model.graph.node:
        for attribute in node.attribute:
            if node.op_type == "BatchNormalization" and attribute.name == "epsilon":
                attribute.f = 0.1
    onnx.save(model, tmp_path / "b.onnx")
    bases.load(str(tmp_path / "b.onnx"))


@pytest.mark.parametrize("name", SPECS)
def test_a_network_survives_pth_and_back(name, tmp_path):
    network = lived_in(SPECS[name])
    export.write_pth(network, tmp_path / "backbone.pth")
    back = bases.load(str(tmp_path / "backbone.pth"))
    assert back.spec == SPECS[name]
    assert difference(back, network) == 0


def test_iresnet_has_the_names_of_arcface_torch():
    names = build(SPECS["iresnet"]).state_dict().keys()
    stems = {name.rsplit(".", 1)[0] for name in names}
    block = {"bn1", "conv1", "bn2", "prelu", "conv2", "bn3"}
    assert stems == {
        *("conv1", "bn1", "prelu", "bn2", "fc", "features"),
        *(f"layer{stage}.0.{part}" for stage in range(1, 5) for part in (*block, "downsample.0", "downsample.1")),
        *(f"layer1.1.{part}" for part in block),
    }


def test_mobilefacenet_has_the_names_of_arcface_torch():
    names = build(SPECS["mbf"]).state_dict().keys()
    assert {
        "layers.0.layers.0.weight",
        "layers.1.layers.2.weight",
        "layers.2.layers.1.layers.1.running_mean",
        "layers.3.layers.3.layers.2.layers.0.weight",
        "layers.7.layers.1.layers.0.layers.1.bias",
        "conv_sep.layers.2.weight",
        "features.layers.0.layers.0.weight",
        "features.layers.2.weight",
        "features.layers.3.running_var",
    } <= set(names)
    assert "features.layers.2.bias" not in names


@pytest.mark.parametrize(
    ("name", "millions"), [("r18", 24.03), ("r34", 34.14), ("r50", 43.59), ("r100", 65.16), ("mbf", 2.06)]
)
def test_full_sized_networks_have_the_sizes_of_arcface_torch(name, millions):
    with torch.device("meta"):
        network = build(bases.scratch_spec(f"scratch:{name}"))
    assert sum(parameter.numel() for parameter in network.parameters()) / 1e6 == pytest.approx(millions, abs=0.006)


def edited(path, edit):
    model = onnx.load(path)
    edit(model.graph)
    onnx.save(model, path)
    return path


def rename_type(index, new):
    def edit(graph):
        node = [node for node in graph.node if node.op_type == "PRelu"][index]
        node.op_type = new
        node.name = "strange_one"
        if new == "Relu":
            del node.input[1:]

    return edit


def prepend(graph):
    """A Sub in front, as graphs converted from MXNet have."""
    first = next(node for node in graph.node if node.op_type == "Conv")
    graph.initializer.append(onnx.numpy_helper.from_array(np.float32(127.5), "mean"))
    graph.node.insert(0, onnx.helper.make_node("Sub", [first.input[0], "mean"], ["centred"], name="strange_one"))
    first.input[0] = "centred"


def append(graph):
    last = graph.node[-1]
    graph.node.append(onnx.helper.make_node("LpNormalization", ["inner"], [graph.output[0].name], name="strange_one"))
    last.output[0] = "inner"


@pytest.mark.parametrize(
    ("edit", "type_name"),
    [
        (rename_type(0, "Relu"), "Relu"),
        (rename_type(2, "Relu"), "Relu"),
        (rename_type(-1, "Relu"), "Relu"),
        (prepend, "Sub"),
        (append, "LpNormalization"),
    ],
)
@pytest.mark.parametrize("name", ["iresnet", "mbf"])
def test_the_first_node_that_does_not_fit_is_named(name, edit, type_name, tmp_path, exported):
    exported(name, tmp_path / "a.onnx")
    edited(tmp_path / "a.onnx", edit)
    with pytest.raises(ModelError, match=rf"a.onnx: node \d+ 'strange_one' \({type_name}\) does not fit: expected"):
        graph.backbone_of_onnx(tmp_path / "a.onnx")


def first(graph, kind):
    return next(node for node in graph.node if node.op_type == kind)


def weights_of(graph, kind, edit):
    """Change the weights of the first node of a kind."""
    name = first(graph, kind).input[1]
    tensor = next(tensor for tensor in graph.initializer if tensor.name == name)
    tensor.CopyFrom(onnx.numpy_helper.from_array(edit(onnx.numpy_helper.to_array(tensor)), name))


def external(graph, location):
    tensor = graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)


def cycle(graph):
    first(graph, "Conv").input[0] = graph.node[-1].output[0]


def chain(graph):
    """Two thousand nodes that change nothing, which a recursion would not survive; valid, all the same."""
    convolution = first(graph, "Conv")
    names = [convolution.input[0], *(f"same_{i}" for i in range(2000))]
    for i in range(2000):
        graph.node.insert(i, onnx.helper.make_node("Identity", [names[i]], [names[i + 1]]))
    convolution.input[0] = names[-1]


FAULTS = {
    "missing weights": (lambda graph: graph.initializer.pop(0), "malformed ONNX: "),
    "cycle": (cycle, "malformed ONNX: "),
    "made twice": (lambda graph: graph.node[3].output.__setitem__(0, graph.node[0].output[0]), "malformed ONNX: "),
    "named twice": (lambda graph: graph.initializer.append(graph.initializer[0]), "two tensors are called|malformed"),
    "no such operator": (lambda graph: setattr(first(graph, "PRelu"), "op_type", "Nose"), "malformed ONNX: .*Nose"),
    "no weights at all": (lambda graph: weights_of(graph, "Conv", lambda w: w[:0]), r"node \d+ .* finite numbers"),
    "no numbers": (
        lambda graph: weights_of(graph, "Conv", lambda w: w * np.nan),
        r"node \d+ .* finite numbers",
    ),
    "flat weights": (lambda graph: weights_of(graph, "Conv", lambda w: w.reshape(-1)), r"node \d+ .* have shape"),
    "fewer slopes": (lambda graph: weights_of(graph, "PRelu", lambda w: w[:1]), "has shape|malformed"),
    "elsewhere": (lambda graph: external(graph, "../weights.bin"), "not an ONNX file that can be read: "),
    "absolute": (lambda graph: external(graph, "/etc/hostname"), "not an ONNX file that can be read: "),
    "gone": (lambda graph: external(graph, "gone.bin"), "not an ONNX file that can be read: "),
    "no input": (lambda graph: graph.ClearField("input"), "malformed ONNX: |0 inputs"),
    "no nodes": (lambda graph: graph.ClearField("node"), "malformed ONNX: |the graph ends"),
    "no attributes": (lambda graph: first(graph, "Conv").ClearField("attribute"), "does not fit: expected"),
    "short data": (
        lambda graph: setattr(graph.initializer[0], "raw_data", graph.initializer[0].raw_data[:-3]),
        "malformed ONNX",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("name", ["iresnet", "mbf"])
def test_a_malformed_graph_is_one_error_that_names_the_file(name, fault, tmp_path, exported):
    edit, match = FAULTS[fault]
    exported(name, tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    edit(model.graph)
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    (tmp_path.parent / "weights.bin").write_bytes(b"\0" * 10_000)
    with pytest.raises(ModelError, match=rf"(?s)a\.onnx: .*({match})"):
        graph.backbone_of_onnx(tmp_path / "a.onnx")


def test_a_version_of_the_operators_that_there_is_not_is_one_error(tmp_path, exported):
    exported("mbf", tmp_path / "a.onnx")
    model = onnx.load(tmp_path / "a.onnx")
    model.opset_import[0].version = 9999
    (tmp_path / "a.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelError, match=r"a\.onnx: .*(9999|opset)"):
        bases.load(str(tmp_path / "a.onnx"))


def test_a_long_chain_of_nodes_that_change_nothing_is_looked_through(tmp_path):
    network = lived_in(SPECS["mbf"])
    export.write_onnx(network, tmp_path / "a.onnx")
    edited(tmp_path / "a.onnx", chain)
    assert difference(graph.backbone_of_onnx(tmp_path / "a.onnx"), network) < 1e-4


@pytest.mark.parametrize("name", ["iresnet", "mbf"])
def test_a_file_with_random_faults_is_mapped_or_refused(name, tmp_path, exported):
    path = tmp_path / "a.onnx"
    exported(name, path)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    refused = 0
    for number in range(200):
        raw = bytearray(whole[: rng.integers(len(whole))] if number % 4 == 0 else whole)
        for at in rng.integers(len(raw), size=rng.integers(1, 30)) if raw else ():
            raw[at] = rng.integers(256)
        path.write_bytes(raw)
        try:
            graph.backbone_of_onnx(path)
        except ModelError:
            refused += 1
    assert refused > 50


def test_a_pth_with_numbers_that_are_not_finite_names_the_parameter(tmp_path):
    network = lived_in(SPECS["mbf"])
    with torch.no_grad():
        network.layers[0].layers[0].weight[0] = float("nan")
    export.write_pth(network, tmp_path / "backbone.pth")
    with pytest.raises(ModelError, match=r"backbone\.pth: parameter layers\.0\.layers\.0\.weight holds numbers that"):
        bases.load(str(tmp_path / "backbone.pth"))


@pytest.mark.parametrize("shape", [(), (0,), (3,), (0, 0, 3, 3), (4, 0, 3, 3)])
def test_a_pth_with_weights_of_odd_shapes_is_one_error(shape, tmp_path):
    for name in ("iresnet", "mbf"):
        state = build(SPECS[name]).state_dict()
        for parameter in [parameter for parameter in state if not parameter.endswith("tracked")][::60]:
            torch.save({**state, parameter: torch.zeros(shape)}, tmp_path / "backbone.pth")
            with pytest.raises(ModelError, match=r"backbone\.pth"):
                bases.load(str(tmp_path / "backbone.pth"))


def test_a_network_of_another_family_is_refused(tmp_path):
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 7, 2, 3), torch.nn.ReLU(), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    export.write_onnx(network, tmp_path / "a.onnx")
    with pytest.raises(ModelError, match=r"node 0 '/0/Conv' \(Conv\) does not fit: expected a first convolution"):
        bases.load(str(tmp_path / "a.onnx"))


def test_a_mapping_that_computes_something_else_is_found_out(tmp_path, exported):
    exported("mbf", tmp_path / "a.onnx")
    with pytest.raises(ModelError, match="differ by"):
        bases.check(lived_in(SPECS["mbf"], seed=1), tmp_path / "a.onnx")


@pytest.mark.parametrize("content", [b"", b"no onnx at all", b"\x80\x02K\x01."])
@pytest.mark.parametrize("suffix", [".onnx", ".pth"])
def test_damaged_files_are_named(content, suffix, tmp_path):
    path = tmp_path / f"broken{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="broken"):
        bases.load(str(path))


def test_a_pth_that_holds_more_than_weights_is_refused(tmp_path):
    class Surprise:
        def __reduce__(self):
            return (print, ("code ran",))

    torch.save({"conv1.weight": Surprise()}, tmp_path / "backbone.pth")
    with pytest.raises(ModelError, match="not a file of weights alone"):
        bases.load(str(tmp_path / "backbone.pth"))


def test_a_pth_of_another_network_names_the_first_parameter(tmp_path):
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "backbone.pth")
    with pytest.raises(ModelError, match=r"no parameter layers\.1\.layers\.0\.weight"):
        bases.load(str(tmp_path / "backbone.pth"))


@pytest.mark.parametrize("base", ["scratch:r19", "scratch:mbf:0", "nowhere.onnx", "nowhere.pth", "no_such_pack"])
def test_a_base_that_is_not_there_is_named(base):
    with pytest.raises(ModelError, match=base):
        bases.load(base)


def test_a_pack_stands_for_its_recogniser(tmp_path):
    class Detector(torch.nn.Module):
        def forward(self, x):
            return x.mean(1), x.mean(2)

    export_folder = tmp_path / "pack"
    export_folder.mkdir()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(Detector(), (torch.zeros(1, 3, 64, 64),), str(export_folder / "det.onnx"), dynamo=False)
    assert recogniser_of(export_folder) is None
    with pytest.raises(ModelError, match="no recognition network"):
        file_of(str(export_folder))
    export.write_onnx(lived_in(SPECS["mbf"]), export_folder / "w600k.onnx")
    assert bases.load(str(export_folder)).spec == SPECS["mbf"]


@pytest.mark.parametrize("name", ["iresnet", "mbf"])
def test_revived_batch_norms_change_no_output_and_have_true_statistics(name, tmp_path, exported):
    exported(name, tmp_path / "a.onnx")
    network, before = (graph.backbone_of_onnx(tmp_path / "a.onnx") for _ in range(2))
    pictures = torch.randn(8, 3, 112, 112, generator=torch.Generator().manual_seed(2))
    bases.revive_batch_norms(network, pictures)
    assert difference(network, before) < 1e-4
    norm = network.bn1 if name == "iresnet" else network.layers[0].layers[1]
    convolved = network.conv1(pictures) if name == "iresnet" else network.layers[0].layers[0](pictures)
    assert torch.allclose(norm.running_mean, convolved.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(norm.running_var, convolved.var((0, 2, 3), unbiased=False), rtol=1e-3)
