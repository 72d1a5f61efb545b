"""Readers of networks and of trainings; their libraries are imported where they are used."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from people import portrait

from tests.attack.places import scratch, written

# ---- networks


@cache
def _networks() -> tuple[bytes, ...]:
    """A small IResNet and a small MobileFaceNet as ONNX."""
    import torch

    from maskgen.train import bases, export

    torch.set_num_threads(1)
    found = []
    for base in ("scratch:mbf:0.0625", "scratch:r18:0.0625"):
        torch.manual_seed(0)
        path = scratch() / "network.onnx"
        export.write_onnx(bases.load(base), path)
        found.append(path.read_bytes())
    return tuple(found)


def _load_base(path: Path) -> None:
    """Read a file as the network that a training starts from."""
    import torch

    from maskgen.train import bases

    torch.set_num_threads(1)
    bases.load(str(path))


@dataclass(frozen=True)
class Bases:
    """An ONNX file to train from: mapped to a network, and compared with it."""

    name: str = "base-onnx"
    is_text: bool = False
    needs: tuple[str, ...] = ("torch", "onnx")

    def seeds(self) -> list[bytes]:
        return list(_networks())

    def read(self, raw: bytes, folder: Path) -> None:
        _load_base(written(folder / "a.onnx", raw))


@dataclass(frozen=True)
class States:
    """A ``backbone.pth`` to train from."""

    name: str = "base-pth"
    is_text: bool = False
    needs: tuple[str, ...] = ("torch",)

    def seeds(self) -> list[bytes]:
        import torch

        from maskgen.train import bases, export

        torch.manual_seed(0)
        export.write_pth(bases.load("scratch:mbf:0.0625"), scratch() / "a.pth")
        return [(scratch() / "a.pth").read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        _load_base(written(folder / "a.pth", raw))


@dataclass(frozen=True)
class Recognisers:
    """An ONNX file to evaluate, alone and as part of a pack."""

    name: str = "eval-onnx"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        from onnx import TensorProto, helper, numpy_helper

        weights = np.random.default_rng(0).normal(0, 0.01, (3 * 112 * 112, 1)).astype(np.float32)
        nodes = [helper.make_node("Flatten", ["x"], ["flat"]), helper.make_node("MatMul", ["flat", "w"], ["y"])]
        graph = helper.make_graph(
            nodes,
            "g",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("batch", 3, 112, 112))],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("batch", 1))],
            [numpy_helper.from_array(weights, "w")],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        return [model.SerializeToString(deterministic=True)]

    def read(self, raw: bytes, folder: Path) -> None:
        from maskgen.evaluate.embed import Embedder, file_of

        path = written(folder / "pack" / "a.onnx", raw)
        file_of(str(path.parent))
        Embedder(path, threads=1)


@dataclass(frozen=True)
class Packs:
    """The detector of a model pack."""

    name: str = "pack"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        from maskgen.packs.find import BUNDLED, pack_dir

        return [(pack_dir(BUNDLED) / "det.onnx").read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        from maskgen.detect import FaceDetector
        from maskgen.packs.find import BUNDLED, pack_dir

        path = written(folder / "pack" / "det.onnx", raw)
        if not (path.parent / "1k3d68.onnx").exists():
            shutil.copy(pack_dir(BUNDLED) / "1k3d68.onnx", path.parent)
        FaceDetector(str(path.parent)).detect(portrait(0, 0))


# ---- trainings


@dataclass(frozen=True)
class TrainingSettings:
    """``settings.json`` of a training that is to go on."""

    name: str = "train-settings"
    is_text: bool = True

    def seeds(self) -> list[bytes]:
        from maskgen.train.settings import TrainSettings

        settings = TrainSettings(data=Path("data"), base="scratch:mbf")
        return [json.dumps(settings.model_dump(mode="json"), indent=1).encode()]

    def read(self, raw: bytes, folder: Path) -> None:
        from maskgen.train.settings import TrainSettings, refuse_others

        settings = TrainSettings(data=Path("data"), base="scratch:mbf")
        refuse_others(written(folder / "settings.json", raw), settings)


@dataclass(frozen=True)
class Checkpoints:
    """One file of a checkpoint of a training that is to go on: weights, optimizer, random generators or progress."""

    name: str
    file: str
    is_text: bool = False
    needs: tuple[str, ...] = ("torch", "accelerate")

    def seeds(self) -> list[bytes]:
        return [(_checkpoint() / self.file).read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        from maskgen.train import folder as training

        checkpoint = folder / "step-000000001"
        if not checkpoint.exists():
            shutil.copytree(_checkpoint(), checkpoint)
        written(checkpoint / self.file, raw)
        training.load(_accelerator(), checkpoint)


@cache
def _accelerator() -> Any:
    import torch
    from accelerate import Accelerator

    torch.manual_seed(0)
    accelerator = Accelerator(cpu=True)
    network = torch.nn.Linear(4, 3)
    optimizer = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9)
    network, optimizer = accelerator.prepare(network, optimizer)
    network(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    return accelerator


@cache
def _checkpoint() -> Path:
    from maskgen.train import folder as training
    from maskgen.train.results import TrainState

    training.save(_accelerator(), scratch(), TrainState(step=1))
    return scratch() / training.CHECKPOINTS / "step-000000001"
