"""The two families of recognition networks: IResNet and MobileFaceNet, with the parameter names of arcface_torch.

A frozen spec says everything about a network's shape, so that it can be built, read off a graph or off a state dict.

References
----------
J. Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", CVPR 2019 (IResNet).
S. Chen et al., "MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices", CCBR 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn

from maskgen.face.align import ARCFACE_SIDE

BN_EPS: Final = 1e-5

IRESNET_DEPTHS: Final[Mapping[str, tuple[int, ...]]] = {
    "r18": (2, 2, 2, 2),
    "r34": (3, 4, 6, 3),
    "r50": (3, 4, 14, 3),
    "r100": (3, 13, 30, 3),
}


@dataclass(frozen=True)
class IResNetSpec:
    """The shape of an IResNet.

    Attributes
    ----------
    depths : tuple of int
        Blocks in each stage; each stage halves height and width.
    widths : tuple of int
        Channels of the stem and of each stage.
    embedding : int
        Numbers in an embedding.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...]
    embedding: int = 512


@dataclass(frozen=True)
class DepthWiseSpec:
    """An inverted bottleneck: 1x1 to `inner` channels, 3x3 with `groups`, 1x1 to `outer`."""

    inner: int
    groups: int
    outer: int


@dataclass(frozen=True)
class MobileFaceNetSpec:
    """The shape of a MobileFaceNet.

    Attributes
    ----------
    stem : int
        Channels after the first convolution.
    first : int or tuple of DepthWiseSpec
        What follows: a 3x3 convolution of so many groups, or residual blocks.
    stages : tuple of (DepthWiseSpec, tuple of DepthWiseSpec)
        A block that halves height and width, then residual blocks.
    separate : int
        Channels of the 1x1 convolution before the global depthwise convolution.
    embedding : int
        Numbers in an embedding.
    """

    stem: int
    first: int | tuple[DepthWiseSpec, ...]
    stages: tuple[tuple[DepthWiseSpec, tuple[DepthWiseSpec, ...]], ...]
    separate: int = 512
    embedding: int = 512


Spec = IResNetSpec | MobileFaceNetSpec


def iresnet(name: str, width: float = 1.0, embedding: int = 512) -> IResNetSpec:
    """The spec of ``r18``, ``r34``, ``r50`` or ``r100``, its channels scaled by `width`."""
    return IResNetSpec(IRESNET_DEPTHS[name], tuple(max(int(c * width), 1) for c in (64, 64, 128, 256, 512)), embedding)


def mobilefacenet(
    width: float = 1.0, blocks: tuple[int, ...] = (1, 4, 6, 2), scale: int = 2, embedding: int = 512
) -> MobileFaceNetSpec:
    """The spec of arcface_torch's ``mbf``, its channels scaled by `width`.

    arcface_torch scales the outer channels by `scale` but not the groups; so does this.
    """

    def channels(number: int) -> int:
        return max(int(number * width), 1)

    narrow, wide = channels(64 * scale), channels(128 * scale)
    thin, middle, thick = channels(128), channels(256), channels(512)
    first: int | tuple[DepthWiseSpec, ...] = channels(64)
    if blocks[0] != 1:
        first = (DepthWiseSpec(thin, thin, narrow),) * blocks[0]
    return MobileFaceNetSpec(
        narrow,
        first,
        (
            (DepthWiseSpec(thin, thin, narrow), (DepthWiseSpec(thin, thin, narrow),) * blocks[1]),
            (DepthWiseSpec(middle, middle, wide), (DepthWiseSpec(middle, middle, wide),) * blocks[2]),
            (DepthWiseSpec(thick, thick, wide), (DepthWiseSpec(middle, middle, wide),) * blocks[3]),
        ),
        channels(512),
        embedding,
    )


def build(spec: Spec) -> IResNet | MobileFaceNet:
    """A network of this shape, its weights drawn from torch's generator."""
    return IResNet(spec) if isinstance(spec, IResNetSpec) else MobileFaceNet(spec)


class IBasicBlock(nn.Module):
    """Batch norm, convolution, batch norm, PReLU, convolution, batch norm, and the way around them."""

    def __init__(self, inner: int, outer: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv1 = nn.Conv2d(inner, outer, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outer)
        self.prelu = nn.PReLU(outer)
        self.conv2 = nn.Conv2d(outer, outer, 3, stride, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outer)
        self.downsample = (
            nn.Sequential(nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer)) if stride > 1 else None
        )

    def forward(self, x: Tensor) -> Tensor:
        around = x if self.downsample is None else self.downsample(x)
        out = self.prelu(self.bn2(self.conv1(self.bn1(x))))
        closed: Tensor = around + self.bn3(self.conv2(out))
        return closed


class IResNet(nn.Module):
    """Pictures (B, 3, 112, 112), RGB from -1 to 1, to embeddings (B, E)."""

    def __init__(self, spec: IResNetSpec) -> None:
        super().__init__()
        self.spec: Spec = spec
        side = ARCFACE_SIDE
        self.conv1 = nn.Conv2d(3, spec.widths[0], 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(spec.widths[0])
        self.prelu = nn.PReLU(spec.widths[0])
        self.stages = len(spec.depths)
        for number, (depth, inner, outer) in enumerate(zip(spec.depths, spec.widths, spec.widths[1:], strict=False), 1):
            blocks = [IBasicBlock(inner, outer, 2), *(IBasicBlock(outer, outer, 1) for _ in range(depth - 1))]
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
            side = (side + 1) // 2
        self.bn2 = nn.BatchNorm2d(spec.widths[-1])
        self.dropout = nn.Dropout(0.0)
        self.fc = nn.Linear(spec.widths[-1] * side * side, spec.embedding)
        self.features = nn.BatchNorm1d(spec.embedding)
        # As in arcface_torch: only directions of embeddings are compared, so their scale is not learnt.
        self.features.weight.requires_grad = False
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.prelu(self.bn1(self.conv1(x)))
        for number in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{number}")(x)
        x = torch.flatten(self.dropout(self.bn2(x)), 1)  # (B, C*7*7)
        # In half precision the long sum overflows.
        with torch.autocast(x.device.type, enabled=False):
            out: Tensor = self.features(self.fc(x.float()))  # (B, E)
        return out


class ConvBlock(nn.Module):
    """Convolution, batch norm, PReLU."""

    def __init__(self, inner: int, outer: int, kernel: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_conv(inner, outer, kernel, stride, kernel // 2, groups), nn.PReLU(outer))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class LinearBlock(nn.Module):
    """Convolution, batch norm."""

    def __init__(self, inner: int, outer: int, kernel: int, groups: int = 1) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_conv(inner, outer, kernel, 1, 0, groups))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class DepthWise(nn.Module):
    """An inverted bottleneck, with a way around it if it is residual."""

    def __init__(self, inner: int, spec: DepthWiseSpec, stride: int, is_residual: bool) -> None:
        super().__init__()
        self.is_residual = is_residual
        self.layers = nn.Sequential(
            ConvBlock(inner, spec.inner, 1, 1),
            ConvBlock(spec.inner, spec.inner, 3, stride, spec.groups),
            LinearBlock(spec.inner, spec.outer, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return x + out if self.is_residual else out


class Residual(nn.Module):
    """Residual bottlenecks in a row."""

    def __init__(self, width: int, specs: tuple[DepthWiseSpec, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(DepthWise(width, spec, 1, True) for spec in specs))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class GDC(nn.Module):
    """Global depthwise convolution, then a linear map to the embedding."""

    def __init__(self, width: int, side: int, embedding: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            LinearBlock(width, width, side, width),
            nn.Flatten(),
            nn.Linear(width, embedding, bias=False),
            nn.BatchNorm1d(embedding),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


class MobileFaceNet(nn.Module):
    """Pictures (B, 3, 112, 112), RGB from -1 to 1, to embeddings (B, E)."""

    def __init__(self, spec: MobileFaceNetSpec) -> None:
        super().__init__()
        self.spec: Spec = spec
        width = spec.stem
        layers: list[nn.Module] = [ConvBlock(3, width, 3, 2)]
        side = ARCFACE_SIDE // 2
        layers.append(
            ConvBlock(width, width, 3, 1, spec.first) if isinstance(spec.first, int) else Residual(width, spec.first)
        )
        for down, residuals in spec.stages:
            layers += [DepthWise(width, down, 2, False), Residual(down.outer, residuals)]
            width = down.outer
            side = (side + 1) // 2
        self.layers = nn.ModuleList(layers)
        self.conv_sep = ConvBlock(width, spec.separate, 1, 1)
        self.features = GDC(spec.separate, side, spec.embedding)
        _initialise(self)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        x = self.conv_sep(x)
        with torch.autocast(x.device.type, enabled=False):
            out: Tensor = self.features(x.float())  # (B, E)
        return out


Backbone = IResNet | MobileFaceNet


def _conv(inner: int, outer: int, kernel: int, stride: int, padding: int, groups: int) -> tuple[nn.Module, nn.Module]:
    convolution = nn.Conv2d(inner, outer, kernel, stride, padding, groups=groups, bias=False)
    return convolution, nn.BatchNorm2d(outer)


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
