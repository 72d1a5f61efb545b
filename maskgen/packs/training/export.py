"""Trained weights to the ONNX files of a pack, in the form that InsightFace loads."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Final

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskgen.detect import MEAN_HEAD_KEY
from maskgen.landmarks import INDEX_106_OF_68
from maskgen.packs.training.detector import DetectorNet
from maskgen.packs.training.landmarks import EXTRA_106, INPUT_SIDE, LandmarkNet

OUTPUTS_1K3D68: Final = 3309
SMALLEST_INT8: Final = 1024
SCORE_SHIFT: Final = 0.575
"""Subtracted from the detector's logits: a raw 0.64, where precision on held-out crowds is 0.95, becomes 0.5."""


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


def export(work: Path, pack: Path) -> None:
    """Write ``det.onnx``, ``1k3d68.onnx`` and ``2d106det.onnx`` of a pack from ``work``'s weights.

    Weights are stored as int8 and scaled when the session starts: a quarter of the size, and the sessions compute in
    float32.
    """
    pack.mkdir(parents=True, exist_ok=True)

    def landmark_net() -> LandmarkNet:
        net = LandmarkNet()
        net.load_state_dict(torch.load(work / "landmarks.pt", weights_only=True))
        return net.eval()

    square = torch.zeros(1, 3, INPUT_SIDE, INPUT_SIDE)
    _write(Landmarks68(landmark_net()), square, pack / "1k3d68.onnx", ["fc1"], {})
    _write(Landmarks106(landmark_net()), square, pack / "2d106det.onnx", ["fc1"], {})
    detector = DetectorNet()
    detector.load_state_dict(torch.load(work / "detector.pt", weights_only=True))
    names = [f"{kind}_{stride}" for kind in ("score", "bbox", "kps") for stride in (8, 16, 32)]
    free = {"data": {2: "height", 3: "width"}} | {name: {0: f"anchors_{name}"} for name in names}
    _write(Scrfd(detector.eval()), torch.zeros(1, 3, 320, 320), pack / "det.onnx", names, free)


def _write(
    module: nn.Module, example: Tensor, path: Path, outputs: list[str], dynamic_axes: dict[str, dict[int, str]]
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the newer exporter, which they advertise, needs one more package
        torch.onnx.export(
            module.eval(),
            (example,),
            str(path),
            input_names=["data"],
            output_names=outputs,
            dynamic_axes=dynamic_axes,
            opset_version=17,
            dynamo=False,
        )
    model = onnx.load(str(path))
    _store_small(model)
    onnx.helper.set_model_props(model, {MEAN_HEAD_KEY: "maskgen"})
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def _store_small(model: onnx.ModelProto) -> None:
    """Matrices and kernels become int8 with a scale for each output, long vectors float16.

    A cast and a product bring them back when the session starts, where constants are folded: what runs is float32.
    """
    nodes = []
    for weight in list(model.graph.initializer):
        values = numpy_helper.to_array(weight)
        name = weight.name
        if values.dtype != np.float32 or values.size < 64:
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
