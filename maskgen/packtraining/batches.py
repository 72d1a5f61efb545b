"""Whole batches of face crops, turned, moved, resized, mirrored and degraded on the device that learns."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from maskgen.face.landmarks import MIRROR_68, MIRROR_106

_Change = Callable[[Tensor], Tensor]
# How many blurs and small sizes are drawn per batch: those of one kind share theirs.
_KINDS: Final = 6


def place(
    crops: Tensor, p68: Tensor, p106: Tensor, scale: Tensor, angle_deg: Tensor, shift: Tensor, mirror: Tensor, side: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Square pictures and their points: turned clockwise about the middle, resized, moved, mirrored.

    Parameters
    ----------
    crops : (B, 3, S, S) float tensor
        Black is taken for what lies beyond.
    p68, p106 : (B, 68, 3) and (B, 106, 2) tensors
        Pixels of the crops.
    scale, angle_deg, mirror : (B,) tensors
        The last of bool.
    shift : (B, 2) tensor
        Pixels of the pictures.
    side : int
        Of the pictures, pixels.

    Returns
    -------
    tuple of (B, 3, side, side), (B, 68, 3) and (B, 106, 2) tensors
    """
    turn, move = _turn_and_move(scale, angle_deg, shift, crops.shape[-1], side)
    grid = sampling_grid(scale, angle_deg, shift, mirror, crops.shape[-1], side)
    images = F.grid_sample(crops, grid, align_corners=False)
    q68 = torch.cat([p68[..., :2] @ turn.transpose(1, 2) + move[:, None], p68[..., 2:] * scale[:, None, None]], dim=2)
    q106 = p106 @ turn.transpose(1, 2) + move[:, None]
    return images, _mirrored(q68, MIRROR_68, mirror, side), _mirrored(q106, MIRROR_106, mirror, side)


def sampling_grid(scale: Tensor, angle_deg: Tensor, shift: Tensor, mirror: Tensor, from_side: int, side: int) -> Tensor:
    """(B, side, side, 2) where each pixel of square pictures lies in crops, for `F.grid_sample`: see `place`."""
    turn, move = _turn_and_move(scale, angle_deg, shift, from_side, side)
    steps = torch.arange(side, device=scale.device, dtype=scale.dtype)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    columns = torch.where(mirror[:, None, None], side - 1 - columns, columns.expand(len(scale), -1, -1))
    there = torch.stack([columns, rows.expand_as(columns)], dim=3).flatten(1, 2) - move[:, None]  # (B, side^2, 2)
    back = turn.transpose(1, 2) / (scale**2)[:, None, None]
    here = there @ back.transpose(1, 2)
    return ((2 * here + 1) / from_side - 1).unflatten(1, (side, side))


def _turn_and_move(scale: Tensor, angle_deg: Tensor, shift: Tensor, from_side: int, side: int) -> tuple[Tensor, Tensor]:
    """What takes a crop's points to those of its picture, but for mirroring: (B, 2, 2) and (B, 2)."""
    angle = angle_deg * (math.pi / 180)
    cosine, sine = scale * angle.cos(), scale * angle.sin()
    turn = torch.stack([torch.stack([cosine, -sine], 1), torch.stack([sine, cosine], 1)], 1)  # (B, 2, 2)
    centre = (from_side - 1) / 2
    return turn, (side - 1) / 2 + shift - turn.sum(dim=2) * centre


def _mirrored(points: Tensor, order: tuple[int, ...], mirror: Tensor, side: int) -> Tensor:
    other = points[:, list(order)].clone()
    other[..., 0] = side - 1 - other[..., 0]
    return torch.where(mirror[:, None, None], other, points)


def degrade(images: Tensor, harshness: float = 1.0) -> Tensor:
    """Pictures as `photographed` makes them, with erased blocks now and then."""
    images = photographed(images, harshness)
    number, _, side, _ = images.shape
    some, plain = torch.rand(2, number, 1, 1, 1, device=images.device)
    erased = (some < 0.35 * harshness) & _blocks(number, side, images.device)
    tone = 255 * torch.rand(number, 3, 1, 1, device=images.device)
    return torch.where(erased, torch.where(plain < 0.5, tone, 255 * torch.rand_like(images)), images)


def photographed(images: Tensor, harshness: float = 1.0) -> Tensor:
    """Colour, light, blur, small size and noise, each now and then; more often if harsher.

    Parameters
    ----------
    images : (B, 3, H, W) tensor
        0 to 255; W equals H.
    harshness : float
        0 to 1.
    """
    number, _, side, _ = images.shape
    device = images.device

    def now_and_then(share: float) -> Tensor:
        return (torch.rand(number, device=device) < share * harshness)[:, None, None, None]

    def drawn(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(shape, device=device).uniform_(low, high)

    def normal(deviation: float, channels: int = 1) -> Tensor:
        return torch.randn(number, channels, 1, 1, device=device) * deviation

    images = torch.where(now_and_then(0.15), _grey(images), images)
    images = torch.where(now_and_then(0.3), _in_kinds(images, _made_small), images)
    images = torch.where(now_and_then(0.15), _in_kinds(images, _blurred), images)
    lit = (images - 127) * normal(0.25).exp() + 127 + normal(25)
    images = torch.where(now_and_then(0.7), lit * normal(0.08, 3).exp(), images)
    ramp = torch.linspace(-1, 1, side, device=device)
    way = drawn(0, 2 * math.pi, number, 1, 1)
    across = ramp[None, None] * way.cos() + ramp[None, :, None] * way.sin()
    lit = images * (across * drawn(0.2, 1.0, number, 1, 1)).exp()[:, None]
    images = torch.where(now_and_then(0.25), lit, images)
    grain = torch.randn_like(images) * drawn(2, 14, number, 1, 1, 1)
    return torch.where(now_and_then(0.2), images + grain, images).clamp(0, 255)


def _grey(images: Tensor) -> Tensor:
    weights = images.new_tensor([0.299, 0.587, 0.114])[:, None, None]
    return (images * weights).sum(dim=1, keepdim=True).expand_as(images)


def _in_kinds(images: Tensor, change: _Change) -> Tensor:
    """Pictures changed, a share of the batch in each way."""
    return torch.cat([change(part) for part in images.chunk(_KINDS)])


def _made_small(images: Tensor) -> Tensor:
    side = images.shape[-1]
    size = int(torch.randint(side // 5, 5 * side // 6, ()))
    small = F.interpolate(images, (size, size), mode="area")
    return F.interpolate(small, (side, side), mode="bilinear", align_corners=False)


def _blurred(images: Tensor) -> Tensor:
    deviation = float(torch.empty(()).uniform_(0.4, 2.0))
    reach = max(round(3 * deviation), 1)
    steps = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    weights = torch.exp(-(steps**2) / (2 * deviation**2))
    weights = (weights / weights.sum()).expand(3, 1, 1, -1)
    padded = F.pad(images, (reach, reach, reach, reach), mode="reflect")
    return F.conv2d(F.conv2d(padded, weights, groups=3), weights.transpose(2, 3), groups=3)


def _blocks(number: int, side: int, device: torch.device) -> Tensor:
    """(B, 1, side, side) true in a block of each picture, some of which are cut by the edge."""
    steps = torch.arange(side, device=device)
    within = []
    for _ in range(2):
        first = torch.randint(-side // 12, side, (number, 1), device=device)
        length = torch.randint(side // 12, side // 2, (number, 1), device=device)
        within.append((steps >= first) & (steps < first + length))
    return (within[0][:, :, None] & within[1][:, None, :])[:, None]
