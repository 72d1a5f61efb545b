"""Train the network behind ``det.onnx``: SCRFD's outputs on a small network of our own.

Anchors, which are assigned as `anchors` says, are scored by the quality focal loss [1]_.

References
----------
.. [1] X. Li et al., "Generalized Focal Loss", NeurIPS 2020.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskgen.packtraining.anchors import ANCHOR_SIDES, STRIDES, anchors
from maskgen.packtraining.canvases import Canvases, Picture
from maskgen.packtraining.landmarks import Residual, conv
from maskgen.packtraining.trainer import Trainer

# --- the network ------------------------------------------------------------------------------------------------------


def _separable(channels_in: int, channels_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(conv(channels_in, channels_in, 3, stride, channels_in), conv(channels_in, channels_out, 1))


class Head(nn.Module):
    """Scores, box distances and keypoint offsets of one stride, in units of the stride."""

    def __init__(self, channels: int, stride: int, sides: tuple[int, int]) -> None:
        super().__init__()
        self.shared = nn.Sequential(_separable(channels, channels), _separable(channels, channels))
        self.score = nn.Conv2d(channels, 2, 1)
        self.box = nn.Conv2d(channels, 8, 1)
        self.keypoints = nn.Conv2d(channels, 20, 1)
        half = torch.tensor([side / 2 / stride for side in sides])
        self.register_buffer("box_scale", half.repeat_interleave(4)[None, :, None, None])
        self.register_buffer("keypoint_scale", half.repeat_interleave(10)[None, :, None, None])
        for layer, bias in ((self.score, -4.6), (self.box, 1.0), (self.keypoints, 0.0)):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, bias)  # type: ignore[arg-type]

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(B, C, H, W) -> score logits (B, 2, H, W), boxes (B, 8, H, W), keypoints (B, 20, H, W)."""
        x = self.shared(x)
        return self.score(x), self.box(x) * self.box_scale, self.keypoints(x) * self.keypoint_scale


class DetectorNet(nn.Module):
    """(B, 3, H, W) in [-1, 1], H and W multiples of 32 -> score logits, boxes and keypoints by stride."""

    def __init__(self, channels: int = 56) -> None:
        super().__init__()
        self.to_8 = nn.Sequential(conv(3, 16, 3, 2), conv(16, 24, 3, 2), conv(24, 40, 3, 2), Residual(40), Residual(40))
        self.to_16 = nn.Sequential(conv(40, 64, 3, 2), Residual(64), Residual(64))
        self.to_32 = nn.Sequential(conv(64, 88, 3, 2), Residual(88), Residual(88))
        self.lateral = nn.ModuleList(conv(c, channels, 1) for c in (40, 64, 88))
        self.smooth = nn.ModuleList(_separable(channels, channels) for _ in range(2))
        self.down = nn.ModuleList(_separable(channels, channels, 2) for _ in range(2))
        self.heads = nn.ModuleList(
            Head(channels, stride, sides) for stride, sides in zip(STRIDES, ANCHOR_SIDES, strict=True)
        )

    def maps(self, x: Tensor) -> list[tuple[Tensor, Tensor, Tensor]]:
        """The output of each stride's head, as maps."""
        at_8 = self.to_8(x)
        at_16 = self.to_16(at_8)
        at_32 = self.to_32(at_16)
        p32 = self.lateral[2](at_32)
        p16 = self.smooth[1](self.lateral[1](at_16) + F.interpolate(p32, scale_factor=2.0, mode="nearest"))
        p8 = self.smooth[0](self.lateral[0](at_8) + F.interpolate(p16, scale_factor=2.0, mode="nearest"))
        # Back down, so that large faces see the fine features too (PAFPN, as SCRFD).
        p16 = p16 + self.down[0](p8)
        p32 = p32 + self.down[1](p16)
        return [head(p) for head, p in zip(self.heads, (p8, p16, p32), strict=True)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Nine tensors (B, anchors, 1 | 4 | 10): anchors by row, column, anchor."""
        maps = self.maps(x)
        return tuple(
            m[kind].permute(0, 2, 3, 1).flatten(1).unflatten(1, (-1, width))
            for kind, width in enumerate((1, 4, 10))
            for m in maps
        )


# --- the loss ---------------------------------------------------------------------------------------------------------


def losses(
    outputs: tuple[Tensor, ...], label: Tensor, target_box: Tensor, target_keypoints: Tensor, side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Quality focal loss, GIoU loss, smooth L1 of the keypoints; means over the faces' anchors."""
    score = torch.cat(outputs[0:3], dim=1).float().squeeze(2)  # (B, A)
    distance = torch.cat(outputs[3:6], dim=1).float()  # (B, A, 4)
    offset = torch.cat(outputs[6:9], dim=1).float()  # (B, A, 10)
    anchor_boxes, strides = (torch.from_numpy(a).to(score.device) for a in anchors(side))
    centre = (anchor_boxes[:, :2] + anchor_boxes[:, 2:]) / 2
    positive = label == 1
    rows = positive.nonzero()[:, 1]
    stride, middle = strides[rows, None], centre[rows]
    d = distance[positive] * stride
    box = torch.cat([middle - d[:, :2], middle + d[:, 2:]], dim=1)
    truth = target_box[positive]
    iou, giou = _iou_and_giou(box, truth)
    quality = torch.zeros_like(score)
    quality[positive] = iou.detach().clamp(0, 1)
    probability = score.sigmoid()
    focal = F.binary_cross_entropy_with_logits(score, quality, reduction="none") * (quality - probability).abs() ** 2
    weight = probability[positive].detach().clamp(min=0.1)
    normal = max(float(positive.sum()), 1.0)
    total_weight = weight.sum().clamp(min=1.0)
    score_loss = focal[label >= 0].sum() / normal
    box_loss = ((1 - giou) * weight).sum() / total_weight
    size = (truth[:, 2:] - truth[:, :2]).mean(dim=1, keepdim=True).clamp(min=4.0)
    wanted = target_keypoints[positive]
    error = (offset[positive] * stride + middle.repeat(1, 5) - wanted) / size
    known = torch.isfinite(wanted)
    keypoint_loss = F.smooth_l1_loss(
        torch.where(known, error, torch.zeros_like(error)), torch.zeros_like(error), beta=0.05, reduction="none"
    )
    return score_loss, box_loss, (keypoint_loss.mean(dim=1) * weight).sum() / total_weight


def _iou_and_giou(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    shared = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    area_a = (a[:, 2:] - a[:, :2]).clamp(min=0).prod(dim=1)
    union = area_a + (b[:, 2:] - b[:, :2]).prod(dim=1) - shared
    hull = (torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])).clamp(min=0).prod(dim=1)
    iou = shared / union.clamp(min=1e-6)
    return iou, iou - (hull - union) / hull.clamp(min=1e-6)


# --- the loop ---------------------------------------------------------------------------------------------------------


def train(
    pictures: dict[str, list[Picture]],
    work: Path,
    epochs: int,
    start: Path | None = None,
    side: int = 256,
    batch: int = 32,
    peak: float = 3e-3,
    device: str = "cpu",
    workers: int = 1,
) -> DetectorNet:
    """Train, or go on from ``work/detector_last.pt``; the EMA weights go to ``work/detector.pt``.

    An epoch is 4096 canvases. A fresh training begins with the weights of ``start``, where given.
    """
    torch.manual_seed(0)
    data = Canvases(pictures, side, 4096, seed=0)
    trainer = Trainer(
        DetectorNet(),
        start,
        work / "detector_last.pt",
        work / "detector.pt",
        peak=peak,
        steps=epochs * (len(data) // batch),
        warm_up=0.08,
        clip=5.0,
        device=device,
    )
    started = time.monotonic()
    while trainer.epoch < epochs:
        data.epoch = trainer.epoch
        loader = torch.utils.data.DataLoader(
            data, batch, drop_last=True, num_workers=workers, multiprocessing_context="fork", prefetch_factor=4
        )
        trainer.net.train()
        sums = np.zeros(3)
        for batched in loader:
            image, label, box, keypoints = (part.to(trainer.device) for part in batched)
            x = ((image.permute(0, 3, 1, 2).float() - 127.5) / 128).to(memory_format=torch.channels_last)
            with trainer.autocast():
                outputs = trainer.net(x)  # nine of (B, anchors, 1 | 4 | 10)
            parts = losses(outputs, label, box, keypoints, side)
            trainer.step(parts[0] + 2 * parts[1] + parts[2])
            sums += [float(part.detach()) for part in parts]
        trainer.end_epoch()
        score, box_part, keypoint_part = sums / (len(data) // batch)
        print(
            f"epoch {trainer.epoch}/{epochs} score {score:.4f} box {box_part:.4f} keypoints {keypoint_part:.4f} "
            f"{time.monotonic() - started:.0f}s",
            flush=True,
        )
    return trainer.average
