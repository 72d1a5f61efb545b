"""Write a trained backbone in the forms that others load: ``model.onnx``, ``backbone.pth``, ``pack/``; draw curves."""

from __future__ import annotations

import inspect
import io
import shutil
import warnings
from pathlib import Path
from typing import Any, Final

import torch
from torch import nn

from maskgen import files
from maskgen.errors import ModelError
from maskgen.evaluate.embed import recogniser_of
from maskgen.face.align import ARCFACE_SIDE
from maskgen.packs.find import pack_dir
from maskgen.train import bases
from maskgen.train.results import Metrics

ONNX_FILE: Final = "model.onnx"
PTH_FILE: Final = "backbone.pth"
PACK_FOLDER: Final = "pack"
TOLERANCE: Final = 1e-4
"""Largest difference allowed between the torch network and the ONNX file written from it."""
_OPSET: Final = 17


def write(backbone: nn.Module, out: Path, pack: str) -> float:
    """Write all three forms; returns the largest difference between the ONNX file and the network.

    Raises
    ------
    ModelError
        If it is above `TOLERANCE`, or the pack is missing.
    """
    write_pth(backbone, out / PTH_FILE)
    write_onnx(backbone, out / ONNX_FILE)
    difference = bases.check(backbone, out / ONNX_FILE, TOLERANCE)
    write_pack(out / ONNX_FILE, pack, out / PACK_FOLDER)
    return difference


def write_onnx(backbone: nn.Module, path: Path) -> None:
    """A recognition ONNX as InsightFace's: input (batch, 3, 112, 112), output (batch, E), batch norms folded."""
    # Newer torch has another exporter by default, which needs onnxscript; older torch does not have the argument.
    classic: dict[str, Any] = {"dynamo": False} if "dynamo" in inspect.signature(torch.onnx.export).parameters else {}
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(files.temporary_name())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the classic exporter is to go
        torch.onnx.export(
            backbone.eval(),
            (torch.zeros(1, 3, ARCFACE_SIDE, ARCFACE_SIDE),),
            str(temporary),
            input_names=["input.1"],
            output_names=["embedding"],
            dynamic_axes={"input.1": {0: "batch"}, "embedding": {0: "batch"}},
            opset_version=_OPSET,
            **classic,
        )
    temporary.replace(path)


def write_pth(backbone: nn.Module, path: Path) -> None:
    """The weights under arcface_torch's names."""
    buffer = io.BytesIO()
    torch.save({name: value.detach().cpu() for name, value in backbone.state_dict().items()}, buffer)
    files.write_whole(path, buffer.getvalue())


def pack_files(pack: str) -> tuple[list[Path], Path | None]:
    """The networks of a pack, and that of them which is its recogniser, if there is one.

    Raises
    ------
    ModelError
        If the pack is missing or empty, or has a file that cannot be read.
    """
    source = pack_dir(pack)
    networks = sorted(source.glob("*.onnx"))
    if not networks:
        raise ModelError(f"{source}: no .onnx files", "set {pack} to a pack with a detector, such as buffalo_l")
    return networks, recogniser_of(source)


def write_pack(model: Path, pack: str, target: Path) -> None:
    """A model pack: the files of another one, its recogniser replaced by a model.

    Raises
    ------
    ModelError
        If the other pack is missing or empty.
    """
    networks, recogniser = pack_files(pack)
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for file in networks:
        if file != recogniser:
            shutil.copyfile(file, target / file.name)
    shutil.copyfile(model, target / ("recognition.onnx" if recogniser is None else recogniser.name))


def draw_curves(path: Path, metrics: Metrics) -> None:
    """Losses, learning rate and validation as a PNG."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), dpi=110, layout="constrained")
    axes = figure.subplots(2, 2)
    epochs = [row.epoch for row in metrics.history]
    for place, name, label in (
        (axes[0, 0], "margin_loss", "margin softmax loss"),
        (axes[0, 1], "distance", "1 - cosine to the teacher"),
        (axes[1, 0], "lr", "learning rate"),
    ):
        place.plot(epochs, [getattr(row, name) for row in metrics.history])
        place.set(xlabel="epoch", ylabel=label)
    for index, condition in enumerate(report.condition for report in metrics.before):
        figures = [validation.reports[index].figures for validation in metrics.validations]
        label = "unmasked" if condition == "none" else "masked probe"
        axes[1, 1].plot(
            [validation.epoch for validation in metrics.validations], [f.auc for f in figures], ".-", label=label
        )
    axes[1, 1].set(xlabel="epoch", ylabel="AUC, people held out")
    if metrics.before:
        axes[1, 1].legend()
    for place in axes.flat:
        place.grid(alpha=0.3)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    files.write_whole(path, buffer.getvalue())
