"""What a training starts from: a recognition ONNX, a checkpoint with arcface_torch's names, a pack, or nothing."""

from __future__ import annotations

import pickle
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from maskgen.arrays import Float32Array
from maskgen.errors import ModelError
from maskgen.evaluate.embed import STATE_SUFFIXES, Embed, Embedder, file_of, noise
from maskgen.train.backbones import (
    BN_EPS,
    IRESNET_DEPTHS,
    Backbone,
    DepthWiseSpec,
    IResNetSpec,
    MobileFaceNetSpec,
    Spec,
    build,
    iresnet,
    mobilefacenet,
)
from maskgen.train.graph import backbone_of_onnx, is_half, load_state

TOLERANCE: Final = 1e-3
"""Largest difference allowed between an ONNX and the network mapped from it."""
HALF_TOLERANCE: Final = 2e-2
"""The same for an ONNX of half precision: what a node gives has 11 bits, on processors that compute in so many."""

_SCRATCH: Final = re.compile(r"scratch:(r18|r34|r50|r100|mbf)(?::(\d*\.?\d+))?")
# The first weights of either family, and what stands before their names: ``module.``, ``backbone.``, or nothing.
_STEM: Final = re.compile(r"((?:.*\.)?)(?:conv1|layers\.0\.layers\.0)\.weight")


def load(base: str) -> Backbone:
    """The network that a base stands for, in evaluation mode.

    Parameters
    ----------
    base : str
        ``scratch:r18``, ``r34``, ``r50``, ``r100`` or ``mbf``, drawn from torch's generator, with ``:0.25`` at a
        quarter of the width; an ONNX file; a ``.pth`` or ``.pt`` of weights under arcface_torch's names, by themselves
        or in a checkpoint; or a pack, see `maskgen.packs.find.pack_dir`.

    Raises
    ------
    ModelError
        If there is no such base, or it is neither an IResNet nor a MobileFaceNet; names the first thing that does not
        fit.
    """
    if base.startswith("scratch:"):
        return build(scratch_spec(base)).eval()
    path = file_of(base)
    if path.suffix in STATE_SUFFIXES:
        return _backbone_of_pth(path)
    backbone = backbone_of_onnx(path)
    difference(backbone, base)
    return backbone


def is_scratch(base: str) -> bool:
    """Whether a base has learnt nothing yet."""
    return base.startswith("scratch:")


def scratch_spec(base: str) -> Spec:
    """The shape that ``scratch:...`` names.

    Raises
    ------
    ModelError
        If it names none.
    """
    match = _SCRATCH.fullmatch(base)
    if match is None or float(match[2] or 1) <= 0:
        raise ModelError(
            f"base {base}: not a network from scratch",
            "give scratch:r18, r34, r50, r100 or mbf, and perhaps a width as in scratch:mbf:0.5",
        )
    name, width = match[1], float(match[2] or 1)
    return iresnet(name, width) if name in IRESNET_DEPTHS else mobilefacenet(width)


def embed_with(backbone: nn.Module, name: str = "the network") -> Embed:
    """The network in evaluation mode, as a function of arrays.

    Raises
    ------
    ModelError
        When called, if an embedding is no finite number.
    """
    backbone.eval()
    device = next(backbone.parameters()).device

    def embed(pictures: Float32Array) -> Float32Array:
        with torch.no_grad():
            found = np.asarray(backbone(torch.from_numpy(pictures).to(device)).float().cpu().numpy(), np.float32)
        if bad := int((~np.isfinite(found).all(axis=1)).sum()):
            raise ModelError(f"{name}: {bad} of {len(found)} embeddings are no finite numbers")
        return found

    return embed


def difference(backbone: nn.Module, base: str) -> float | None:
    """The largest difference between a network and the ONNX that it was mapped from; None for other bases.

    Raises
    ------
    ModelError
        As `check`.
    """
    if is_scratch(base) or (path := file_of(base)).suffix != ".onnx":
        return None
    return check(backbone, path, HALF_TOLERANCE if is_half(path) else TOLERANCE)


def check(backbone: nn.Module, path: Path, tolerance: float = TOLERANCE) -> float:
    """The largest difference between the embeddings of a backbone and of an ONNX file, on noise.

    Raises
    ------
    ModelError
        If it is above the tolerance (of the largest number in an embedding, or of 1 if that is smaller).
    """
    pictures = noise()
    theirs, ours = Embedder(path)(pictures), embed_with(backbone, f"{path}, as a torch network")(pictures)
    difference = float(np.abs(ours - theirs).max()) if ours.shape == theirs.shape else float("inf")
    if not difference <= tolerance * max(1.0, float(np.abs(theirs).max())):
        raise ModelError(
            f"{path}: the ONNX file and the torch network give embeddings that differ by {difference:.2g}, "
            f"more than {tolerance:g}"
        )
    return difference


def _backbone_of_pth(path: Path) -> Backbone:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    # What torch's reader raises for files that are damaged or of another kind.
    except (
        *(OSError, RuntimeError, EOFError, pickle.UnpicklingError, ValueError, TypeError),
        *(KeyError, IndexError, AttributeError, OverflowError),
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ModelError(f"{path}: not a file of weights alone (a state dict): {reason}") from error
    state = _weights_in(state, path)
    if empty := [name for name, value in state.items() if not value.numel()]:
        raise ModelError(f"{path}: parameter {empty[0]} is empty")
    try:
        backbone = build(_iresnet_of(state) if "layer1.0.conv1.weight" in state else _mobilefacenet_of(state))
    except KeyError as error:
        raise ModelError(
            f"{path}: no parameter {error.args[0]}; neither arcface_torch's IResNet nor its MobileFaceNet"
        ) from error
    except (ValueError, TypeError, IndexError, ZeroDivisionError, RuntimeError) as error:
        raise ModelError(f"{path}: weights of shapes that no network has: {error}") from error
    load_state(backbone, state, path)
    embed_with(backbone, str(path))(noise())  # finds numbers that are not finite
    return backbone.eval()


def _weights_in(loaded: Any, path: Path) -> dict[str, Tensor]:
    """The parameters of the one network in what was loaded, under arcface_torch's names."""
    found = dict[str, dict[str, Tensor]]()
    for where, state in _mappings(loaded, ""):
        matches = (_STEM.fullmatch(name) for name, value in state.items() if isinstance(value, Tensor))
        prefixes = sorted({match[1] for match in matches if match is not None}, key=len)
        # Blocks have a first convolution too: what lies within a network is none by itself.
        outer = [one for one in prefixes if not any(one != other and one.startswith(other) for other in prefixes)]
        for prefix in outer:
            of_network = {name: value for name, value in state.items() if name.startswith(prefix)}
            if all(isinstance(value, Tensor) for value in of_network.values()):
                found[f"{where}{prefix}"] = {name[len(prefix) :]: value for name, value in of_network.items()}
    if len(found) > 1:
        said = ", ".join(name.removesuffix(".") or "the file itself" for name in found)
        raise ModelError(f"{path}: {len(found)} networks: {said}", "save the weights of one by themselves")
    if found:
        return next(iter(found.values()))
    if not isinstance(loaded, dict) or not all(isinstance(value, Tensor) for value in loaded.values()):
        raise ModelError(
            f"{path}: not a state dict, nor a checkpoint that holds one", "give the backbone.pth of arcface_torch"
        )
    return loaded


def _mappings(loaded: Any, where: str, depth: int = 3) -> Iterator[tuple[str, dict[str, Any]]]:
    """The dictionaries of names in a checkpoint, and where they lie: ``state_dict.``, ``model.backbone.``."""
    if not isinstance(loaded, dict) or not all(isinstance(name, str) for name in loaded):
        return
    yield where, loaded
    if depth:
        for name, value in loaded.items():
            yield from _mappings(value, f"{where}{name}.", depth - 1)


def _iresnet_of(state: Mapping[str, Tensor]) -> IResNetSpec:
    depths = list[int]()
    widths = [len(state["conv1.weight"])]
    while f"layer{len(depths) + 1}.0.conv1.weight" in state:
        name = f"layer{len(depths) + 1}"
        widths.append(len(state[f"{name}.0.conv1.weight"]))
        depths.append(_count(state, f"{name}.{{}}.conv1.weight"))
    return IResNetSpec(tuple(depths), tuple(widths), len(state["fc.weight"]))


def _mobilefacenet_of(state: Mapping[str, Tensor]) -> MobileFaceNetSpec:
    def depthwise(name: str) -> DepthWiseSpec:
        inner, per_group = state[f"{name}.layers.1.layers.0.weight"].shape[:2]
        return DepthWiseSpec(inner, inner // per_group, len(state[f"{name}.layers.2.layers.0.weight"]))

    def residuals(name: str) -> tuple[DepthWiseSpec, ...]:
        number = _count(state, f"{name}.layers.{{}}.layers.0.layers.0.weight")
        return tuple(depthwise(f"{name}.layers.{i}") for i in range(number))

    first: int | tuple[DepthWiseSpec, ...] = residuals("layers.1")
    if not first:
        outer, per_group = state["layers.1.layers.0.weight"].shape[:2]
        first = outer // per_group
    stages = list[tuple[DepthWiseSpec, tuple[DepthWiseSpec, ...]]]()
    while f"layers.{2 + 2 * len(stages)}.layers.2.layers.0.weight" in state:
        number = 2 + 2 * len(stages)
        stages.append((depthwise(f"layers.{number}"), residuals(f"layers.{number + 1}")))
    return MobileFaceNetSpec(
        len(state["layers.0.layers.0.weight"]),
        first,
        tuple(stages),
        len(state["conv_sep.layers.0.weight"]),
        len(state["features.layers.2.weight"]),
    )


def _count(state: Mapping[str, Tensor], pattern: str) -> int:
    number = 0
    while pattern.format(number) in state:
        number += 1
    return number


@torch.no_grad()
def revive_batch_norms(backbone: nn.Module, pictures: Tensor) -> None:
    """Give neutral batch norms the statistics of their inputs, without changing an output.

    A batch norm that an exporter folded into a convolution is read back as a neutral one: mean 0, variance 1. Trained
    like that, with the statistics of each batch, it would change the network at once. With the true statistics, and a
    scale and a shift that undo them, it computes the same as before and can be trained.

    Parameters
    ----------
    backbone : nn.Module
        Changed in place.
    pictures : (B, 3, 112, 112) tensor
        Typical input.
    """
    norms = [module for module in backbone.modules() if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)]

    def measure(norm: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
        assert norm.running_mean is not None
        assert norm.running_var is not None
        (x,) = inputs
        over = [axis for axis in range(x.dim()) if axis != 1]
        mean, variance = x.mean(over), x.var(over, unbiased=False)
        old_scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        shift = norm.bias - norm.running_mean * old_scale
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(old_scale * torch.sqrt(variance + norm.eps))
        norm.bias.copy_(shift + mean * old_scale)

    hooks = [norm.register_forward_pre_hook(measure) for norm in norms if _is_neutral(norm)]
    backbone.eval()(pictures)
    for hook in hooks:
        hook.remove()


def _is_neutral(norm: nn.Module) -> bool:
    assert isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    return bool((norm.running_mean == 0).all() and ((norm.running_var - (1 - BN_EPS)).abs() < 1e-6).all())
