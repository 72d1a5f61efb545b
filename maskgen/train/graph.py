"""Map a recognition ONNX to a backbone: the graph is walked from its input, in order, and every node must fit.

Exporters fold a batch norm into the convolution before it; what is left of it is the convolution's bias. Here the
convolution gets a batch norm back, a neutral one that adds this bias. Names of nodes and tensors are not used, because
they differ between exporters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnx
import torch
from onnx import numpy_helper

from maskgen.arrays import Float32Array
from maskgen.errors import ModelError
from maskgen.evaluate.embed import read_onnx
from maskgen.face.align import ARCFACE_SIDE
from maskgen.plural import counted
from maskgen.train.backbones import (
    BN_EPS,
    Backbone,
    DepthWiseSpec,
    IResNetSpec,
    MobileFaceNetSpec,
    Spec,
    build,
)

State = dict[str, Float32Array]

# Nodes that change nothing at inference, or that compute a shape.
_TRANSPARENT: Final = frozenset({"Identity", "Dropout", "Cast"})
_PLUMBING: Final = frozenset({"Shape", "Gather", "Unsqueeze", "Concat", "Slice"})


def backbone_of_onnx(path: Path) -> Backbone:
    """The network in a recognition ONNX, as IResNet or MobileFaceNet.

    Raises
    ------
    ModelError
        If the file is no ONNX, or its graph is malformed or neither; names the first node that does not fit.
    """
    model = read_onnx(path)
    try:
        # Finds cycles, tensors that nobody makes or two make, operators and versions that there are not.
        onnx.checker.check_model(model)
    except (onnx.checker.ValidationError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path}: malformed ONNX: {str(error).strip()}") from error
    walk = _Walk(path, model.graph)
    try:
        walk.read()
        spec, state = walk.network()
        backbone = build(spec)
    # What shapes and attributes do that the checker does not look at.
    except (ValueError, TypeError, IndexError, KeyError, AttributeError, OverflowError, RuntimeError) as error:
        raise ModelError(f"{path}: malformed ONNX{walk.place()}: {error}") from error
    load_state(backbone, {name: torch.from_numpy(np.array(value)) for name, value in state.items()}, path)
    return backbone.eval()


def is_half(path: Path) -> bool:
    """Whether an ONNX keeps weights in half precision."""
    return any(tensor.data_type == onnx.TensorProto.FLOAT16 for tensor in read_onnx(path, False).graph.initializer)


def load_state(backbone: Backbone, state: Mapping[str, torch.Tensor], path: Path) -> None:
    """Put weights into a backbone.

    Raises
    ------
    ModelError
        If a name is missing, left over, or has another shape or numbers that are not finite; names the first.
    """
    wanted = {name: value for name, value in backbone.state_dict().items() if not name.endswith("num_batches_tracked")}
    given = {name: value for name, value in state.items() if not name.endswith("num_batches_tracked")}
    for name in [*wanted, *given]:
        if name not in given or name not in wanted:
            raise ModelError(
                f"{path}: parameter {name} {'is missing' if name in wanted else 'has no place'} in this network"
            )
        if wanted[name].shape != given[name].shape:
            raise ModelError(
                f"{path}: parameter {name} has shape {tuple(given[name].shape)}, expected {tuple(wanted[name].shape)}"
            )
        if not torch.isfinite(given[name]).all():
            raise ModelError(f"{path}: parameter {name} holds numbers that are not finite")
    backbone.load_state_dict(dict(given), strict=False)


@dataclass(frozen=True)
class _Conv:
    """A convolution with the batch norm that follows it, folded or not."""

    weight: Float32Array  # (O, I / groups, K, K)
    norm: State
    kernel: int
    stride: int
    groups: int
    out: str

    def into(self, state: State, conv: str, norm: str) -> None:
        state[f"{conv}.weight"] = self.weight
        state.update({f"{norm}.{name}": value for name, value in self.norm.items()})

    @property
    def outer(self) -> int:
        return len(self.weight)


@dataclass
class _Walk:
    path: Path
    graph: Any
    state: State = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.constants: State = {}
        self.visited: Any = None  # the node looked at last
        self.nodes = list(self.graph.node)  # kept: protobuf gives a new object at every access
        self.order = {id(node): index for index, node in enumerate(self.nodes)}
        self.maker = {name: node for node in self.nodes for name in node.output}
        self.consumers: dict[str, list[Any]] = {}

    def read(self) -> None:
        """Read the weights, and who reads what."""
        for tensor in self.graph.initializer:
            if tensor.name in self.constants:
                raise ModelError(f"{self.path}: two tensors are called {tensor.name!r}")
            self.constants[tensor.name] = numpy_helper.to_array(tensor)
        for node in self.nodes:
            self.visited = node
            if node.op_type == "Constant":
                self.constants[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
            elif node.op_type in ("Identity", "Unsqueeze") and node.input[0] in self.constants:
                # Exporters store equal tensors once and share them; slopes get axes of length 1.
                self.constants[node.output[0]] = self.constants[node.input[0]]
            elif node.op_type == "Transpose" and node.input[0] in self.constants:
                self.constants[node.output[0]] = self.constants[node.input[0]].transpose(_attribute(node, "perm", None))
            elif node.op_type not in _PLUMBING:
                for name in node.input:
                    self.consumers.setdefault(name, []).append(node)

    def network(self) -> tuple[Spec, State]:
        inputs = [tensor for tensor in self.graph.input if tensor.name not in self.constants]
        if len(inputs) != 1 or len(self.graph.output) != 1:
            raise ModelError(
                f"{self.path}: {counted(len(inputs), 'input')} and {counted(len(self.graph.output), 'output')}; "
                "a recognition network has one of each"
            )
        shape = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
        if len(shape) != 4 or shape[1:] != [3, ARCFACE_SIDE, ARCFACE_SIDE]:
            raise ModelError(
                f"{self.path}: input of shape {shape}, expected (batch, 3, {ARCFACE_SIDE}, {ARCFACE_SIDE})"
            )
        stem = self.conv(inputs[0].name, "a first convolution", kernel=3)
        slope, at = self.prelu(stem.out)
        after = self.all_next(at)
        if stem.stride == 1 and any(node.op_type == "BatchNormalization" for node in after):
            stem.into(self.state, "conv1", "bn1")
            self.state["prelu.weight"] = slope
            return self.iresnet(at, stem.outer), self.state
        if stem.stride == 2:
            stem.into(self.state, "layers.0.layers.0", "layers.0.layers.1")
            self.state["layers.0.layers.2.weight"] = slope
            return self.mobilefacenet(at, stem.outer), self.state
        raise self.misfit(
            after[0] if after else None,
            "a BatchNormalization (IResNet), or a first convolution of stride 2 (MobileFaceNet)",
        )

    def iresnet(self, at: str, stem: int) -> IResNetSpec:
        widths, depths = [stem], list[int]()
        while True:
            after = self.all_next(at)
            norms = [node for node in after if node.op_type == "BatchNormalization"]
            if len(norms) != 1:
                raise self.misfit(after[0] if after else None, "the BatchNormalization that opens a block")
            if len(after) == 1:
                break
            norm, inside = self.norm_of(norms[0])
            first = self.conv(inside, "the first convolution of a block", kernel=3, stride=1)
            slope, inside = self.prelu(first.out)
            second = self.conv(inside, "the second convolution of a block", kernel=3)
            if second.stride == 2:
                depths.append(0)
                widths.append(second.outer)
            elif not depths:
                raise self.misfit(norms[0], "a first block of stride 2")
            name = f"layer{len(depths)}.{depths[-1]}"
            depths[-1] += 1
            self.state.update({f"{name}.bn1.{key}": value for key, value in norm.items()})
            first.into(self.state, f"{name}.conv1", f"{name}.bn2")
            self.state[f"{name}.prelu.weight"] = slope
            second.into(self.state, f"{name}.conv2", f"{name}.bn3")
            around = at
            if second.stride == 2:
                shortcut = self.conv(at, "the 1x1 convolution around a block", kernel=1, stride=2, among="Conv")
                shortcut.into(self.state, f"{name}.downsample.0", f"{name}.downsample.1")
                around = shortcut.out
            at = self.add(second.out, around)
        norm, at = self.norm(at, "the BatchNormalization after the last block")
        self.state.update({f"bn2.{key}": value for key, value in norm.items()})
        weight, bias, norm = self.head(at)
        self.state["fc.weight"] = weight
        self.state["fc.bias"] = np.zeros(len(weight), np.float32) if bias is None else bias
        self.state.update({f"features.{key}": value for key, value in norm.items()})
        return IResNetSpec(tuple(depths), tuple(widths), len(weight))

    def mobilefacenet(self, at: str, stem: int) -> MobileFaceNetSpec:
        first: int | tuple[DepthWiseSpec, ...]
        stages: list[tuple[DepthWiseSpec, tuple[DepthWiseSpec, ...]]] = []
        if len(self.all_next(at)) == 1:
            plain = self.conv(at, "the second convolution", kernel=3, stride=1)
            plain.into(self.state, "layers.1.layers.0", "layers.1.layers.1")
            self.state["layers.1.layers.2.weight"], at = self.prelu(plain.out)
            first = plain.groups
        else:
            first, at = self.residuals(at, "layers.1")
        while True:
            peek = self.conv(at, "a 1x1 convolution", kernel=1, stride=1)
            slope, inside = self.prelu(peek.out)
            following = self.conv(inside, "a depthwise convolution")
            if following.kernel != 3:
                break
            down, at = self.depthwise(at, f"layers.{2 + 2 * len(stages)}", stride=2)
            blocks, at = self.residuals(at, f"layers.{3 + 2 * len(stages)}")
            stages.append((down, blocks))
        peek.into(self.state, "conv_sep.layers.0", "conv_sep.layers.1")
        self.state["conv_sep.layers.2.weight"] = slope
        if following.groups != following.outer:
            raise self.misfit(self.all_next(inside)[0], "the global depthwise convolution")
        following.into(self.state, "features.layers.0.layers.0", "features.layers.0.layers.1")
        weight, bias, norm = self.head(following.out)
        if bias is not None:
            # The linear map of this family has no bias: the batch norm after it takes the bias.
            norm = {**norm, "running_mean": norm["running_mean"] - bias}
        self.state["features.layers.2.weight"] = weight
        self.state.update({f"features.layers.3.{key}": value for key, value in norm.items()})
        return MobileFaceNetSpec(stem, first, tuple(stages), peek.outer, len(weight))

    def residuals(self, at: str, name: str) -> tuple[tuple[DepthWiseSpec, ...], str]:
        specs = list[DepthWiseSpec]()
        while len(self.all_next(at)) == 2:
            spec, inside = self.depthwise(at, f"{name}.layers.{len(specs)}", stride=1, among="Conv")
            specs.append(spec)
            at = self.add(inside, at)
        return tuple(specs), at

    def depthwise(self, at: str, name: str, stride: int, among: str = "") -> tuple[DepthWiseSpec, str]:
        expand = self.conv(at, "the 1x1 convolution that opens a block", kernel=1, stride=1, among=among)
        expand.into(self.state, f"{name}.layers.0.layers.0", f"{name}.layers.0.layers.1")
        self.state[f"{name}.layers.0.layers.2.weight"], at = self.prelu(expand.out)
        middle = self.conv(at, f"the 3x3 convolution of a block, stride {stride}", kernel=3, stride=stride)
        middle.into(self.state, f"{name}.layers.1.layers.0", f"{name}.layers.1.layers.1")
        self.state[f"{name}.layers.1.layers.2.weight"], at = self.prelu(middle.out)
        project = self.conv(at, "the 1x1 convolution that closes a block", kernel=1, stride=1)
        project.into(self.state, f"{name}.layers.2.layers.0", f"{name}.layers.2.layers.1")
        return DepthWiseSpec(expand.outer, middle.groups, project.outer), project.out

    def head(self, at: str) -> tuple[Float32Array, Float32Array | None, State]:
        """Weight (E, F), bias (E,) if any, and the batch norm of the embedding."""
        flat = self.next(at, ("Flatten", "Reshape"))
        node = self.next(flat.output[0], ("Gemm", "MatMul"))
        weight = self.constant(node, 1)
        is_transposed = node.op_type == "Gemm" and bool(_attribute(node, "transB", 0))
        if node.op_type == "Gemm" and (_attribute(node, "alpha", 1.0) != 1 or _attribute(node, "beta", 1.0) != 1):
            raise self.misfit(node, "a Gemm without factors")
        weight = weight if is_transposed else weight.T
        bias = self.constant(node, 2) if len(node.input) > 2 else None
        at = node.output[0]
        after = self.all_next(at)
        if node.op_type == "MatMul" and after and after[0].op_type == "Add":
            bias = self.constant(after[0], 0 if after[0].input[0] in self.constants else 1)
            at = after[0].output[0]
        norm = _neutral_norm(len(weight), np.zeros(len(weight), np.float32))
        if self.all_next(at):
            norm, at = self.norm(at, "the BatchNormalization of the embedding")
        if left := self.all_next(at):
            raise self.misfit(left[0], "the end of the network")
        return np.ascontiguousarray(weight), bias, norm

    def conv(self, at: str, role: str, kernel: int = 0, stride: int = 0, among: str = "") -> _Conv:
        node = self.next(at, ("Conv",), role, among)
        weight = self.constant(node, 1)
        if weight.ndim != 4:
            raise self.misfit(node, f"{role}; its weights have shape {weight.shape}")
        size, step, groups = weight.shape[-1], _attribute(node, "strides", [1, 1])[0], _attribute(node, "group", 1)
        padding = _attribute(node, "pads", [0] * 4)[0]
        is_global = not kernel and size > 3
        expected = 0 if is_global else size // 2
        if (
            (kernel and size != kernel)
            or (stride and step != stride)
            or padding != expected
            or max(_attribute(node, "dilations", [1])) != 1
        ):
            raise self.misfit(node, f"{role}; it has kernel {size}, stride {step}, padding {padding}")
        bias = self.constant(node, 2) if len(node.input) > 2 else None
        out = node.output[0]
        after = self.all_next(out)
        if len(after) == 1 and after[0].op_type == "BatchNormalization":
            norm, out = self.norm_of(after[0])
            if bias is not None:
                norm = {**norm, "running_mean": norm["running_mean"] - bias}
        else:
            norm = _neutral_norm(len(weight), np.zeros(len(weight), np.float32) if bias is None else bias)
        return _Conv(weight, norm, size, step, groups, out)

    def prelu(self, at: str) -> tuple[Float32Array, str]:
        node = self.next(at, ("PRelu",))
        return self.constant(node, 1).reshape(-1), node.output[0]

    def norm(self, at: str, role: str) -> tuple[State, str]:
        return self.norm_of(self.next(at, ("BatchNormalization",), role))

    def norm_of(self, node: Any) -> tuple[State, str]:
        weight, bias, mean, variance = (self.constant(node, index) for index in range(1, 5))
        # The difference to torch's epsilon goes into the variance, so that the weights alone describe the network.
        variance = (variance.astype(np.float64) + _attribute(node, "epsilon", 1e-5) - BN_EPS).astype(np.float32)
        return {"weight": weight, "bias": bias, "running_mean": mean, "running_var": variance}, node.output[0]

    def add(self, one: str, other: str) -> str:
        node = self.next(one, ("Add",), "the sum that closes a block")
        if {self.seen(name) for name in node.input} != {self.seen(one), self.seen(other)}:
            raise self.misfit(node, "the sum of a block and the way around it")
        return str(node.output[0])

    def next(self, at: str, types: tuple[str, ...], role: str = "", among: str = "") -> Any:
        after = self.all_next(at)
        chosen = [node for node in after if node.op_type == among] if among else after
        if len(chosen) != 1 or chosen[0].op_type not in types:
            strange = next((node for node in after if node.op_type not in types), after[0] if after else None)
            raise self.misfit(strange, role or f"a single {' or '.join(types)}")
        return chosen[0]

    def all_next(self, at: str) -> list[Any]:
        """The nodes that read a tensor, in the graph's order; those that change nothing are looked through."""
        found, names = list[Any](), [at]
        while names:
            for node in self.consumers.get(names.pop(), []):
                if node.op_type in _TRANSPARENT:
                    names.append(node.output[0])
                else:
                    found.append(node)
        return sorted(found, key=lambda node: self.order[id(node)])

    def seen(self, name: str) -> str:
        """A tensor's name where it was made, looking back through nodes that change nothing."""
        while name in self.maker and self.maker[name].op_type in _TRANSPARENT:
            name = self.maker[name].input[0]
        return name

    def constant(self, node: Any, index: int) -> Float32Array:
        value = self.constants.get(node.input[index]) if index < len(node.input) else None
        if value is None:
            raise self.misfit(node, f"a constant as input {index}")
        self.visited = node
        weights = np.asarray(value, np.float32)
        if not weights.size or not np.isfinite(weights).all():
            raise self.misfit(node, f"finite numbers as input {index}, which has shape {weights.shape}")
        return weights

    def name(self, node: Any) -> str:
        return f"node {self.order[id(node)]} {node.name or next(iter(node.output), '')!r} ({node.op_type})"

    def place(self) -> str:
        """Where a fault is, as far as that is known."""
        return "" if self.visited is None else f", at {self.name(self.visited)}"

    def misfit(self, node: Any, expected: str) -> ModelError:
        where = "the graph ends" if node is None else f"{self.name(node)} does not fit"
        return ModelError(
            f"{self.path}: {where}: expected {expected}", "use an IResNet or a MobileFaceNet; no others can be trained"
        )


def _neutral_norm(width: int, bias: Float32Array) -> State:
    """A batch norm that adds a bias and does nothing else."""
    return {
        "weight": np.ones(width, np.float32),
        "bias": bias,
        "running_mean": np.zeros(width, np.float32),
        "running_var": np.full(width, 1 - BN_EPS, np.float32),
    }


def _attribute(node: Any, name: str, default: Any) -> Any:
    for attribute in node.attribute:
        if attribute.name == name:
            return onnx.helper.get_attribute_value(attribute)
    return default
