"""Write trained weights as the ONNX files of a pack, in the form that InsightFace loads."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskgen.arrays import Float32Array
from maskgen.face.landmarks import INDEX_106_OF_68
from maskgen.packs.find import MEAN_HEAD_KEY, PARSING
from maskgen.packtraining.detector import DetectorNet
from maskgen.packtraining.landmarks import EXTRA_106, INPUT_SIDE, LandmarkNet
from maskgen.packtraining.parsing import ParsingNet, in_patches

Sample = Float32Array

OUTPUTS_1K3D68: Final = 3309
SMALLEST_INT8: Final = 1024
HEADS: Final = ("heat", "points", "score", "box", "keypoints")
"""From these layers on everything is float32: int8 would round a coordinate to a third of a pixel."""

SCORE_SHIFT: Final = 0.6
"""Subtracted from the detector's logits: a raw 0.65, where precision on held-out crowds is 0.95, becomes 0.5."""


class Landmarks68(nn.Module):
    """(1, 3, 192, 192) -> (1, 3309), of which InsightFace reads the last 68 triples."""

    def __init__(self, net: LandmarkNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(self.net(x)[:, :204], (OUTPUTS_1K3D68 - 204, 0))


class Landmarks106(nn.Module):
    """(1, 3, 192, 192) -> (1, 212), the points in InsightFace's order."""

    def __init__(self, net: LandmarkNet) -> None:
        super().__init__()
        self.net = net
        columns = np.zeros((106, 2), np.int64)
        columns[list(INDEX_106_OF_68)] = np.arange(204).reshape(68, 3)[:, :2]
        columns[list(EXTRA_106)] = 204 + np.arange(2 * len(EXTRA_106)).reshape(-1, 2)
        self.register_buffer("columns", torch.from_numpy(columns.ravel()))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.net(x)[:, self.columns]
        return result


class Scrfd(nn.Module):
    """The detector with the nine flat outputs that SCRFD has: scores are probabilities."""

    def __init__(self, net: DetectorNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        outputs = self.net.maps(x)
        return tuple(
            (flat - SCORE_SHIFT).sigmoid() if width == 1 else flat
            for kind, width in enumerate((1, 4, 10))
            for flat in (m[kind].permute(0, 2, 3, 1).reshape(-1, width) for m in outputs)
        )


class Patches(nn.Module):
    """The parsing network from patches (1, 48, 32, 32), which `maskgen.parse` cuts faster than a network would."""

    def __init__(self, net: ParsingNet) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net.of_patches(x)


def export(work: Path, pack: Path, crops: Iterable[Sample], canvases: Iterable[Sample]) -> None:
    """Write ``det.onnx``, ``1k3d68.onnx`` and ``2d106det.onnx`` of a pack from ``work``'s weights.

    The convolutions compute in int8, with ranges measured on pictures. The heads, on which the last pixel depends, stay
    in float32.

    Parameters
    ----------
    work : Path
        Holds ``landmarks.pt`` and ``detector.pt``.
    pack : Path
        The folder to write to.
    crops : iterable of (3, 96, 96) float32 arrays
        What the landmark network sees, in [-1, 1].
    canvases : iterable of (3, H, W) float32 arrays
        What the detector sees, in [-1, 1]; H and W are multiples of 32.
    """
    pack.mkdir(parents=True, exist_ok=True)

    def landmark_net() -> LandmarkNet:
        net = LandmarkNet()
        net.load_state_dict(torch.load(work / "landmarks.pt", weights_only=True))
        return net.eval()

    square = torch.zeros(1, 3, INPUT_SIDE, INPUT_SIDE)
    seen = [crop.repeat(2, axis=1).repeat(2, axis=2) for crop in crops]  # to 192x192; the network halves them
    _write(Landmarks68(landmark_net()), square, pack / "1k3d68.onnx", ["fc1"], {}, seen)
    _write(Landmarks106(landmark_net()), square, pack / "2d106det.onnx", ["fc1"], {}, seen)
    detector = DetectorNet()
    detector.load_state_dict(torch.load(work / "detector.pt", weights_only=True))
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in (8, 16, 32)]
    free = {"data": {2: "height", 3: "width"}} | {name: {0: f"anchors_{name}"} for name in names}
    _write(Scrfd(detector.eval()), torch.zeros(1, 3, 320, 320), pack / "det.onnx", names, free, canvases)


def export_parsing(work: Path, pack: Path, crops: Iterable[Sample]) -> None:
    """Write ``parsing/parsing.onnx`` of a pack from ``work``'s weights; all of it computes in int8.

    Parameters
    ----------
    work : Path
        Holds ``parsing.pt``.
    pack : Path
        The folder to write to.
    crops : iterable of (3, 128, 128) float32 arrays
        What the network sees, (b - 128) / 128 of bytes b.
    """
    net = ParsingNet()
    net.load_state_dict(torch.load(work / "parsing.pt", weights_only=True))
    (pack / PARSING).parent.mkdir(parents=True, exist_ok=True)
    patches = [in_patches(torch.from_numpy(crop)[None])[0].numpy() for crop in crops]
    example = torch.zeros(1, *patches[0].shape)
    _write(Patches(net), example, pack / PARSING, ["scores"], {}, patches, _take_bytes)


def _write(
    module: nn.Module,
    example: Tensor,
    path: Path,
    outputs: list[str],
    dynamic_axes: dict[str, dict[int, str]],
    samples: Iterable[Sample],
    change: Callable[[onnx.ModelProto], None] = lambda model: None,
) -> None:
    with TemporaryDirectory() as folder:
        traced, ready, small = (f"{folder}/{name}.onnx" for name in ("traced", "ready", "small"))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the newer exporter, which they advertise, needs one more package
            torch.onnx.export(
                module.eval(),
                (example,),
                traced,
                input_names=["data"],
                output_names=outputs,
                dynamic_axes=dynamic_axes,
                opset_version=17,
                dynamo=False,
            )
        quant_pre_process(traced, ready, skip_symbolic_shape=True)
        quantize_static(
            ready,
            small,
            _Samples(samples),
            activation_type=QuantType.QUInt8,
            per_channel=True,
            # Seven bits: eight overflow on processors without VNNI.
            reduce_range=True,
            nodes_to_exclude=_from_heads_on(onnx.load(ready)),
        )
        model = onnx.load(small)
    change(model)
    _store_small(model)
    _shorten_names(model)
    onnx.helper.set_model_props(model, {MEAN_HEAD_KEY: "maskgen"})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _take_bytes(model: onnx.ModelProto) -> None:
    """Let a network take bytes b, channels last, instead of (b - 128) / 128: its first step would make bytes again."""
    graph = model.graph
    (data,) = graph.input
    (rounding,) = [node for node in graph.node if data.name in node.input]
    (back,) = [node for node in graph.node if rounding.output[0] in node.input]
    assert (rounding.op_type, back.op_type) == ("QuantizeLinear", "DequantizeLinear")
    for name, value in zip(back.input[1:], (np.float32(1 / 128), np.uint8(128)), strict=True):
        (number,) = [number for number in graph.initializer if number.name == name]
        number.CopyFrom(numpy_helper.from_array(np.array(value), name))
    back.input[0] = "channels_first"
    graph.node.remove(rounding)
    graph.node.insert(0, helper.make_node("Transpose", [data.name], [back.input[0]], perm=(0, 3, 1, 2)))
    one, channels, height, width = (dim.dim_value for dim in data.type.tensor_type.shape.dim)
    data.CopyFrom(helper.make_tensor_value_info(data.name, TensorProto.UINT8, [one, height, width, channels]))


def _from_heads_on(model: onnx.ModelProto) -> list[str]:
    """The names of the heads' nodes and of all that follow."""
    names, results = [], set[str]()
    for node in model.graph.node:  # in the order in which they run
        if any(f"/{head}/" in node.name for head in HEADS) or results & set(node.input):
            names.append(node.name)
            results |= set(node.output)
    return names


class _Samples(CalibrationDataReader):  # type: ignore[misc]
    """Pictures, as the calibration of ONNX Runtime asks for them."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._samples = iter(samples)

    def get_next(self) -> dict[str, Sample] | None:
        sample = next(self._samples, None)
        return None if sample is None else {"data": sample[None]}


def _store_small(model: onnx.ModelProto) -> None:
    """Store what is still float32 in fewer bytes: matrices as int8 with a scale per output, long vectors as float16.

    The session turns them back when it starts, because it folds the cast and the product: what runs is float32.
    """
    nodes = []
    ranges = {name for node in model.graph.node if node.op_type.endswith("quantizeLinear") for name in node.input[1:]}
    for weight in list(model.graph.initializer):
        values = numpy_helper.to_array(weight)
        name = weight.name
        if values.dtype != np.float32 or values.size < 64 or name in ranges:
            continue
        if values.ndim < 2 or values.size < SMALLEST_INT8:
            weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), f"{name}.float16"))
            nodes.append(
                helper.make_node("Cast", [f"{name}.float16"], [name], name=f"cast_{name}", to=TensorProto.FLOAT)
            )
            continue
        scale = np.abs(values).max(axis=tuple(range(1, values.ndim)), keepdims=True) / 127
        scale = np.maximum(scale, np.finfo(np.float32).tiny).astype(np.float32)
        weight.CopyFrom(numpy_helper.from_array(np.round(values / scale).astype(np.int8), f"{name}.int8"))
        model.graph.initializer.append(numpy_helper.from_array(scale, f"{name}.scale"))
        nodes += [
            helper.make_node("Cast", [f"{name}.int8"], [f"{name}.whole"], name=f"cast_{name}", to=TensorProto.FLOAT),
            helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name], name=f"scale_{name}"),
        ]
    for node in reversed(nodes):
        model.graph.node.insert(0, node)


def _shorten_names(model: onnx.ModelProto) -> None:
    """Number the nodes and the inner tensors: the names of a thousand ranges take as much room as a layer."""
    graph = model.graph
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}
    short: dict[str, str] = {}

    def rename(name: str) -> str:
        return name if name in kept else short.setdefault(name, f"{len(short):x}")

    for weight in graph.initializer:
        weight.name = rename(weight.name)
    for index, node in enumerate(graph.node):
        node.name = f"{index:x}"
        node.input[:] = [rename(name) for name in node.input]
        node.output[:] = [rename(name) for name in node.output]
    del graph.value_info[:]
