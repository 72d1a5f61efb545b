"""Train the network behind ``1k3d68.onnx`` and ``2d106det.onnx``: one backbone, 68 points in 3D and 106 in 2D.

The network takes InsightFace's 192x192 crop, averages it to 96x96 and regresses all points at once.
Coordinates are those of InsightFace's ``Landmark.get``: ``x = (output + 1) * 96``.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskgen.arrays import Float32Array, Float64Array, Image, IntArray
from maskgen.face.landmarks import INDEX_106_OF_68
from maskgen.face.pose import pose_from_68
from maskgen.packtraining.batches import degrade, place
from maskgen.packtraining.data import CROP_OVER_BOX, CROP_SIDE, LandmarkSet
from maskgen.packtraining.trainer import Trainer
from maskgen.packtraining.worn import Worn, masked_crops

INPUT_SIDE: Final = 192
WORK_SIDE: Final = 96
HEAT_SIDE: Final = 12
CROP_FACTOR: Final = 1.5  # InsightFace crops 1.5 times the longer side of the box
# The points of the 106 that the 68 lack; the others share one output.
EXTRA_106: Final = tuple(sorted(set(range(106)) - set(INDEX_106_OF_68)))
OUTPUTS: Final = 68 * 3 + len(EXTRA_106) * 2
_MASKED_SHARE: Final = 0.5
_FRAME: Final = WORK_SIDE / (CROP_SIDE * CROP_FACTOR / CROP_OVER_BOX)  # pixels the network sees per crop pixel, in use


def conv(channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    """Convolution, batch norm, ReLU; the size stays, or is halved by a stride of 2."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(channels_out),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """Two 3x3 convolutions beside the identity.

    Full convolutions, not depthwise ones: at these widths a CPU does four times the arithmetic in the same time, and
    trains more than twice as fast.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            conv(channels, channels, 3),
            nn.Conv2d(channels, channels, 3, 1, 1, bias=False),
            nn.BatchNorm2d(channels),
        )
        nn.init.zeros_(self.layers[2].weight)  # type: ignore[arg-type]  # begins as the identity

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.layers(x))


class LandmarkNet(nn.Module):
    """All landmarks of a 192x192 crop: (B, 3, 192, 192) in [-1, 1] -> (B, OUTPUTS).

    Where a point lies in the picture is the sum of two: its mean place under a heat map of 12x12 cells, the softmax of
    its scores [1]_, and an offset that is regressed from the whole crop. Its depth is regressed alone. The mean place
    is precise where the heat map is narrow, and the offset takes points beyond the edge of the crop.

    References
    ----------
    .. [1] X. Sun et al., "Integral Human Pose Regression", ECCV 2018.
    """

    grid: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.to_12 = nn.Sequential(
            conv(3, 24, 3, 2), conv(24, 40, 3, 2), Residual(40), conv(40, 80, 3, 2), Residual(80), Residual(80)
        )
        self.to_6 = nn.Sequential(conv(80, 128, 3, 2), Residual(128), Residual(128))
        self.to_3 = nn.Sequential(conv(128, 192, 1), conv(192, 192, 3, 2, 192), conv(192, 160, 1))
        self.fine = conv(128, 16, 1)
        self.bottleneck = nn.Sequential(nn.Linear(160 * 9 + 16 * 36, 160, bias=False), nn.BatchNorm1d(160))
        self.points = nn.Linear(160, OUTPUTS)
        nn.init.normal_(self.points.weight, std=0.01)
        nn.init.zeros_(self.points.bias)
        self.lateral = nn.ModuleList(conv(channels, 80, 1) for channels in (80, 128, 160))
        self.smooth = conv(80, 80, 3)
        self.heat = nn.Conv2d(80, 68 + len(EXTRA_106), 1)
        cell = WORK_SIDE / HEAT_SIDE
        centres = (torch.arange(HEAT_SIDE) + 0.5) * cell * (2 / WORK_SIDE) - 1
        rows, columns = torch.meshgrid(centres, centres, indexing="ij")
        self.register_buffer("grid", torch.stack([columns.flatten(), rows.flatten()], dim=1), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.avg_pool2d(x, 2)  # (B, 3, 96, 96)
        return self.from_96(x)

    def from_96(self, x: Tensor) -> Tensor:
        """The same from a picture already averaged to 96x96."""
        at_12 = self.to_12(x)  # (B, 80, 12, 12)
        at_6 = self.to_6(at_12)  # (B, 128, 6, 6)
        at_3 = self.to_3(at_6)  # (B, 160, 3, 3)
        features = torch.cat([at_3.flatten(1), self.fine(at_6).flatten(1)], dim=1)
        up = self.lateral[1](at_6) + F.interpolate(self.lateral[2](at_3), scale_factor=2.0, mode="nearest")
        up = self.lateral[0](at_12) + F.interpolate(up, scale_factor=2.0, mode="nearest")
        scores = self.heat(self.smooth(up)).flatten(2)  # (B, points, cells)
        # In bfloat16 a coordinate is rounded to a third of a pixel: the last steps are float32.
        with torch.autocast(x.device.type, enabled=False):
            places = scores.float().softmax(dim=2) @ self.grid  # (B, points, 2)
            moves = self.points(self.bottleneck(features.float()))
            in_space = moves[:, :204].unflatten(1, (68, 3)) + F.pad(places[:, :68], (0, 1))
            return torch.cat([in_space.flatten(1), moves[:, 204:] + places[:, 68:].flatten(1)], dim=1)


def targets_of(p68: Tensor, p106: Tensor) -> Tensor:
    """Network outputs (B, OUTPUTS) for points (B, 68, 3) and (B, 106, 2) in pixels of the 96x96 picture."""
    # A pixel's middle x of the 96 picture lies at 2 x + 0.5 of the 192 picture, whose outputs are x / 96 - 1.
    middle = 0.5 / WORK_SIDE - 1
    in_space = p68 * (2 / WORK_SIDE) + p68.new_tensor([middle, middle, 0])
    extra = p106[:, list(EXTRA_106)] * (2 / WORK_SIDE) + middle
    return torch.cat([in_space.flatten(1), extra.flatten(1)], dim=1)


class Crops:
    """Batches of crops on the device that learns: bare and masked, turned, moved, resized, mirrored and degraded.

    Parameters
    ----------
    faces : LandmarkSet
        What to draw from.
    copies : int
        How many masked crops of each face there may be.
    device : torch.device
        Where the batches are made.
    """

    def __init__(self, faces: LandmarkSet, copies: int, device: torch.device) -> None:
        self._device = device
        self._crops = torch.from_numpy(faces.crops).permute(0, 3, 1, 2).contiguous().to(device)
        self._worn = torch.zeros((copies, *self._crops.shape), dtype=torch.uint8, device=device)
        self._copies = torch.zeros(len(faces.crops), dtype=torch.int64, device=device)
        self._p68 = torch.from_numpy(faces.points_68).to(device)
        self._p106 = torch.from_numpy(faces.points_106).to(device)

    def take(self, copy: int, rows: IntArray, crops: Image) -> None:
        """Draw from some masked crops (R, 128, 128, 3) of the faces of some rows too; copies come in order."""
        there = torch.from_numpy(rows).to(self._device)
        self._worn[copy, there] = torch.from_numpy(crops).to(self._device).permute(0, 3, 1, 2)
        self._copies[there] = copy + 1

    def batch(self, rows: IntArray, harshness: float) -> tuple[Tensor, Tensor]:
        """Pictures (B, 3, 96, 96) in [-1, 1] of the faces of some rows, and what the network is to say of them.

        The less harsh, 1 to 0, the nearer to what a detector gives: upright, in one size, sharp and in plain light.
        """
        here, number = torch.from_numpy(rows).to(self._device), len(rows)
        uniform = torch.rand(number, 5, device=self._device)
        normal = torch.randn(number, 2, device=self._device)
        worn = self._worn[(uniform[:, 0] * self._copies[here]).long(), here]
        is_worn = (uniform[:, 1] < _MASKED_SHARE) & (self._copies[here] > 0)
        crops = torch.where(is_worn[:, None, None, None], worn, self._crops[here]).float()
        turned = uniform[:, 2] < 0.1 * harshness
        angle = torch.where(turned, 60 * (2 * torch.rand_like(normal[:, 0]) - 1), (5 + 7 * harshness) * normal[:, 0])
        images, p68, p106 = place(
            crops,
            self._p68[here],
            self._p106[here],
            _FRAME * ((0.04 + 0.06 * harshness) * normal[:, 1]).exp(),
            angle,
            (2 * uniform[:, 3:] - 1) * (0.09 * WORK_SIDE),
            torch.rand_like(uniform[:, 0]) < 0.5,
            WORK_SIDE,
        )
        return (degrade(images, harshness) - 127.5) / 128, targets_of(p68, p106)


def samples(faces: LandmarkSet, count: int) -> list[Float32Array]:
    """Some (3, 96, 96) pictures as training sees them."""
    rows = np.random.default_rng(0).permutation(np.flatnonzero(~faces.held_out))[:count]
    crops = Crops(faces, 1, torch.device("cpu"))
    worn = Worn(faces, rows, 1, 1)
    for made in worn.finished(wait=True):
        crops.take(*made)
    worn.end()
    with torch.random.fork_rng([]):
        torch.manual_seed(1)
        return list(crops.batch(rows, 1.0)[0].numpy())


def turned_weights(faces: LandmarkSet, rows: IntArray) -> Float64Array:
    """Shares (R,) in which to draw some faces: those turned by 60 degrees three times as often as frontal ones."""
    yaw = np.array([abs(pose_from_68(faces.points_68[row]).yaw) for row in rows])
    weights = 1 + np.clip((yaw - 20) / 20, 0, 2)
    return weights / weights.sum()


def point_weights() -> Tensor:
    """(OUTPUTS,) weights: the points that masks hang on count double, depth counts half."""
    w = np.ones((68, 3), np.float32)
    w[:17] = w[27:36] = 1.5
    w[:, 2] = 0.4
    return torch.from_numpy(np.concatenate([w.ravel(), np.full(len(EXTRA_106) * 2, 0.7, np.float32)]))


def loss_of(outputs: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean weighted distance of outputs (B, OUTPUTS) from targets, squared where it is under a third of a pixel."""
    return (F.smooth_l1_loss(outputs.float(), targets, beta=0.008, reduction="none") * weights).mean()


def train(
    faces: LandmarkSet,
    work: Path,
    epochs: int,
    start: Path | None = None,
    batch: int = 256,
    peak: float = 4e-3,
    device: str = "cpu",
    workers: int = 1,
    copies: int = 4,
) -> LandmarkNet:
    """Train, or go on from ``work/landmarks_last.pt``; the EMA weights go to ``work/landmarks.pt``.

    A fresh training begins with the weights of ``start``, where given.
    """
    torch.manual_seed(0)
    rows = np.flatnonzero(~faces.held_out)
    often = turned_weights(faces, rows)
    worn = Worn(faces, rows, copies, workers)
    trainer = Trainer(
        LandmarkNet(),
        start,
        work / "landmarks_last.pt",
        work / "landmarks.pt",
        peak=peak,
        steps=epochs * (len(rows) // batch),
        warm_up=0.1,
        clip=1.0,
        device=device,
    )
    crops = Crops(faces, copies, trainer.device)
    weights = point_weights().to(trainer.device)
    started = time.monotonic()
    while trainer.epoch < epochs:
        harshness = 1 - 0.6 * trainer.epoch / epochs  # milder towards the end, because whole pictures are judged
        drawn = np.random.default_rng(trainer.epoch).choice(rows, len(rows), p=often)
        trainer.net.train()
        losses = []
        for number in range(len(rows) // batch):
            for made in worn.finished():
                crops.take(*made)
            images, targets = crops.batch(drawn[number * batch : (number + 1) * batch], harshness)
            with trainer.autocast():
                outputs = trainer.net.from_96(images.contiguous(memory_format=torch.channels_last))
            loss = loss_of(outputs, targets, weights)
            trainer.step(loss)
            losses.append(loss.detach())
        trainer.end_epoch()
        report = evaluate(trainer.average, faces) if trainer.epoch in (*range(0, epochs, 10), epochs) else {}
        print(
            f"epoch {trainer.epoch}/{epochs} loss {torch.stack(losses).mean():.5f} "
            f"{time.monotonic() - started:.0f}s {report}",
            flush=True,
        )
    worn.end()
    return trainer.average


@torch.no_grad()
def predict(net: LandmarkNet, images: Tensor) -> Tensor:
    """Outputs (N, OUTPUTS) for pictures (N, 3, 96, 96), 0 to 255."""
    net.eval()
    device = next(net.parameters()).device
    parts = ((part.to(device) - 127.5) / 128 for part in images.split(256))
    return torch.cat([net.from_96(part.contiguous(memory_format=torch.channels_last)).cpu() for part in parts])


def evaluate(net: LandmarkNet, faces: LandmarkSet) -> dict[str, float]:
    """Mean held-out error in per cent of the distance between the outer eye corners, plain and wearing a mask."""
    figures: dict[str, float] = {}
    rows = np.flatnonzero(faces.held_out)
    for name in ("plain", "masked"):
        crops = faces.crops[rows]
        if name == "masked":
            crops = masked_crops(crops, faces.points_68[rows], rows, 1)
        chance = torch.Generator().manual_seed(1)
        normal = torch.randn(len(rows), 4, generator=chance)
        images, p68, p106 = place(
            torch.from_numpy(crops).permute(0, 3, 1, 2).float(),
            torch.from_numpy(faces.points_68[rows]),
            torch.from_numpy(faces.points_106[rows]),
            _FRAME * (0.04 * normal[:, 0]).exp(),
            4 * normal[:, 1],
            0.02 * WORK_SIDE * normal[:, 2:],
            torch.zeros(len(rows), dtype=torch.bool),
            WORK_SIDE,
        )
        off = (predict(net, images) - targets_of(p68, p106)) * (WORK_SIDE / 2)
        distances = [off[:, :204].unflatten(1, (68, 3))[..., :2], off[:, 204:].unflatten(1, (-1, 2))]
        # Turned faces have a short eye line in the picture; the distance in space does not shrink.
        eyes = (p68[:, 36] - p68[:, 45]).norm(dim=1)
        error = 100 * torch.cat(distances, dim=1).norm(dim=2) / eyes[:, None]
        for key, part in ((name, error[:, :68]), (f"{name}_jaw", error[:, :17]), (f"{name}_nose", error[:, 27:36])):
            figures[key] = round(float(part.mean()), 2)
        figures[f"{name}_extra"] = round(float(error[:, 68:].mean()), 2)
    return figures
