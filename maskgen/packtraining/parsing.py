"""Train the network behind ``parsing/parsing.onnx``: what the pixels of a face and its surroundings are.

It learns from labels, and from a larger network that learns beside it and says what is likely where labels are hard.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice, pairwise
from pathlib import Path
from typing import Final, TypeVar

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.packtraining import portraits
from maskgen.packtraining.data import is_held_out
from maskgen.packtraining.landmarks import Residual, conv
from maskgen.packtraining.mixed import Mixed, Pool, as_input
from maskgen.packtraining.portraits import SIDE, UNKNOWN, Portrait
from maskgen.packtraining.trainer import Trainer
from maskgen.parse import CROP_SIDE, GRID_SIDE, KINDS, PATCH_SIDE

WIDTHS: Final = (16, 48, 80, 112)
"""Channels of the maps of 32x32, 16x16, 8x8 and 4x4 cells."""
RESIDUALS: Final = (0, 0, 1, 1)
_TEACHER_WIDTHS: Final = (24, 48, 96, 160, 224)
_TEACHER_RESIDUALS: Final = (0, 1, 2, 2, 1)
# Rare kinds count more: without this they are drowned by skin and hair.
_WEIGHTS: Final = (1.0, 1.0, 1.0, 2.0, 1.5, 1.5)
_STEPS: Final = 64  # per epoch
_BATCH: Final = 256
_FRESH: Final = 128  # portraits that are new at each step; the others were there before
_CHUNK: Final = 16  # portraits that a process hands over at a time: few, where little memory can be shared
_POOL: Final = 6144
_READY: Final = 1024  # portraits with which training begins
_TRUST: Final = (0.05, 0.25)  # the shares of the training in which the larger network begins to be believed, and is
_SURE: Final = 0.9  # from which share on a guess is taken for a label

Net = TypeVar("Net", bound=nn.Module)


class ParsingNet(nn.Module):
    """(B, 3, 128, 128) in [-1, 1] -> scores (B, 6, 64, 64), whose softmax says what each two by two pixels are.

    An encoder, and a decoder that adds what the encoder saw at the same size. The largest map has 32x32 cells: a patch
    of the picture is taken in as one, and what doubles the size is learned. Few channels in large maps cost a CPU more
    than many in small ones.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (3 * PATCH_SIDE**2, *WIDTHS)
        self.encode = nn.ModuleList(
            nn.Sequential(conv(before, width, *how), *(Residual(width) for _ in range(number)))
            for before, width, how, number in zip(channels, WIDTHS, ((1, 1), *[(3, 2)] * 3), RESIDUALS, strict=False)
        )
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(wide, 4 * width, 1, bias=False), nn.BatchNorm2d(4 * width))
            for width, wide in pairwise(WIDTHS)
        )
        self.smooth = nn.ModuleList([nn.ReLU(), *(conv(width, width, 3) for width in WIDTHS[1:-1])])
        self.scores = nn.Conv2d(WIDTHS[0], 4 * len(KINDS), 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.of_patches(in_patches(x))

    def of_patches(self, x: Tensor) -> Tensor:
        """The same from patches (B, 48, 32, 32)."""
        return _spread(self.scores(_there_and_back(self, x, _spread)))


class TeacherNet(nn.Module):
    """The same from 5 times as many parameters and 10 times the arithmetic, for training alone."""

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *_TEACHER_WIDTHS)
        self.encode = nn.ModuleList(
            nn.Sequential(conv(before, width, 3, 2), *(Residual(width) for _ in range(number)))
            for before, width, number in zip(channels, _TEACHER_WIDTHS, _TEACHER_RESIDUALS, strict=False)
        )
        self.lateral = nn.ModuleList(conv(wide, width, 1) for width, wide in pairwise(_TEACHER_WIDTHS))
        self.smooth = nn.ModuleList(conv(width, width, 3) for width in _TEACHER_WIDTHS[:-1])
        self.scores = nn.Conv2d(_TEACHER_WIDTHS[0], len(KINDS), 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.scores(_there_and_back(self, x, partial(F.interpolate, scale_factor=2.0, mode="nearest")))


def _there_and_back(net: ParsingNet | TeacherNet, x: Tensor, doubled: Callable[[Tensor], Tensor]) -> Tensor:
    """What the decoder makes of a picture: on the way back up, each stage's map is added to what is below, doubled."""
    seen = []
    for stage in net.encode:
        x = stage(x)
        seen.append(x)
    for level in reversed(range(len(net.smooth))):
        x = net.smooth[level](seen[level] + doubled(net.lateral[level](x)))
    return x


def in_patches(images: Tensor) -> Tensor:
    """(B, 3, 128, 128) -> (B, 48, 32, 32): `maskgen.parse.network_input` with the channels before the places."""
    patches = images.unflatten(3, (-1, PATCH_SIDE)).unflatten(2, (-1, PATCH_SIDE))  # (B, 3, 32, 4, 32, 4)
    return patches.permute(0, 3, 5, 1, 2, 4).flatten(1, 3)


def _spread(x: Tensor) -> Tensor:
    """(B, 4 C, H, W) -> (B, C, 2 H, 2 W): a cell becomes two by two."""
    # Not nn.PixelShuffle: ONNX Runtime would leave int8 for it.
    cells = x.permute(0, 2, 3, 1).unflatten(3, (2, 2, -1))  # (B, H, W, 2, 2, C)
    return cells.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def loss_of(scores: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy with shares (B, 6, 64, 64)."""
    weighted = shares * scores.new_tensor(_WEIGHTS)[:, None, None]
    return -(weighted * scores.log_softmax(dim=1)).sum() / weighted.sum().clamp(min=1)


def difference(scores: Tensor, taught: Tensor) -> Tensor:
    """How far scores (B, 6, 64, 64) are from the shares that another network gives (Kullback-Leibler)."""
    return F.kl_div(scores.log_softmax(dim=1), taught, reduction="none").sum(dim=1).mean()


def train(
    labelled: list[Portrait],
    guessed: list[Portrait],
    pictures: list[Image],
    held_out: list[Portrait],
    work: Path,
    epochs: int,
    start: Path | None = None,
    peak: float = 4e-3,
    device: str = "cpu",
    workers: int = 1,
    steps: int = _STEPS,
    batch: int = _BATCH,
) -> ParsingNet:
    """Train, or go on from ``work/parsing_last.pt``; the EMA weights go to ``work/parsing.pt``.

    The larger network lies beside it, as ``parsing_teacher_last.pt`` and ``parsing_teacher.pt``. A fresh training
    begins with the weights of ``start``, where given.
    """
    torch.manual_seed(0)
    catalog = Catalog.load()
    catalog.preload()

    def trainer_of(net: Net, start: Path | None, name: str) -> Trainer[Net]:
        return Trainer(
            net,
            start,
            work / f"{name}_last.pt",
            work / f"{name}.pt",
            peak=peak,
            steps=epochs * steps,
            warm_up=0.05,
            clip=1.0,
            device=device,
        )

    teacher = trainer_of(TeacherNet(), None, "parsing_teacher")
    trainer = trainer_of(ParsingNet(), start, "parsing")
    fresh, kept, ready = (batch * number // _BATCH for number in (_FRESH, _POOL, _READY))
    chunk = min(_CHUNK, fresh)
    first = trainer.epoch * steps * fresh
    mixed = Mixed(labelled, guessed, pictures, catalog, seed=0)
    made = iter(
        torch.utils.data.DataLoader(
            torch.utils.data.Subset(mixed, range(first, ready + epochs * steps * fresh)),
            chunk,
            num_workers=workers,
            multiprocessing_context="fork",
        )
    )
    pool = Pool(kept, trainer.device)

    def take(number: int) -> None:
        for some in islice(made, number // chunk):
            pool.take(some)

    take(ready)
    started = time.monotonic()
    while trainer.epoch < epochs:
        # It is an epoch ahead if the training was stopped between the two checkpoints.
        teacher_learns = teacher.epoch == trainer.epoch
        trust = float(np.interp(trainer.epoch / epochs, _TRUST, (0, 1)))
        losses = []
        trainer.net.train()
        teacher.net.train()
        teacher.average.eval()
        for _ in range(steps):
            take(fresh)
            images, shares = pool.batch(batch)
            images = images.contiguous(memory_format=torch.channels_last)
            if teacher_learns:
                with teacher.autocast():
                    scores = teacher.net(images)
                teacher.step(loss_of(scores.float(), shares))
            with trainer.autocast():
                with torch.no_grad():
                    taught = teacher.average(images).float().softmax(dim=1)
                scores = trainer.net(images)
            loss = loss_of(scores.float(), shares) + trust * difference(scores.float(), taught)
            trainer.step(loss)
            losses.append(loss.detach())
        if teacher_learns:
            teacher.end_epoch()
        trainer.end_epoch()
        report = evaluate(trainer.average, held_out) if trainer.epoch in (*range(0, epochs, 5), epochs) else {}
        print(
            f"epoch {trainer.epoch}/{epochs} loss {torch.stack(losses).mean():.4f} "
            f"{time.monotonic() - started:.0f}s {report}",
            flush=True,
        )
    return trainer.average


def guess(data: Path, work: Path) -> int:
    """Label photographs without labels by ``work/parsing_teacher.pt``, for ``work/guessed.npz``; their number.

    Pixels of which the network is not sure, in the picture and in its mirror image alike, stay unknown. What
    `evaluate_parsing` looks at is left out.
    """
    net = TeacherNet()
    net.load_state_dict(torch.load(work / "parsing_teacher.pt", weights_only=True))
    lfw = [path for n, path in enumerate(sorted((data / "lfw").glob("*/*.jpg"))) if n % 8 != 3]
    paths = [
        *[path for path in lfw if not is_held_out(path.parent.name)][::3],
        *[
            path
            for person in sorted((data / "celeba").iterdir())
            for n, path in enumerate(sorted(person.glob("*.jpg")))
            if n % 4 != 1
        ],
        *[path for n, path in enumerate(sorted((data / "masked_photos").glob("*.jpg"))) if n % 6 != 1],
    ]
    found = [
        *portraits.unlabelled(paths, 1),
        *portraits.unlabelled(sorted((data / "scenes").glob("*.jpg"))[1::2]),
    ]
    crops = [centre_of(portrait)[0] for portrait in found]
    mirrored = predict(net, [np.ascontiguousarray(crop[:, ::-1]) for crop in crops])[..., ::-1]
    shares = (predict(net, crops) + mirrored) / 2
    guessed = [_with_guess(portrait, share) for portrait, share in zip(found, shares, strict=True)]
    portraits.save(work / "guessed.npz", guessed)
    return len(guessed)


def _with_guess(portrait: Portrait, shares: Float32Array) -> Portrait:
    sure = np.where(shares.max(axis=0) > _SURE, shares.argmax(axis=0), UNKNOWN).astype(np.uint8)
    scale = SIDE / portraits.MARGIN / GRID_SIDE
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
    matrix[:, 2] = (SIDE - 1) / 2 - scale * (GRID_SIDE - 1) / 2
    kinds = cv2.warpAffine(sure, matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST, borderValue=UNKNOWN)
    return Portrait(portrait.image, kinds, portrait.face)


def predict(net: nn.Module, images: Sequence[Image]) -> Float32Array:
    """Shares (N, 6, 64, 64) of crops (128, 128, 3)."""
    net.eval()
    device = next(net.parameters()).device
    shares = []
    with torch.no_grad():
        for first in range(0, len(images), 64):
            pixels = torch.from_numpy(np.stack(images[first : first + 64])).to(device).permute(0, 3, 1, 2)
            shares.append(net(as_input(pixels.float())).softmax(dim=1).cpu().numpy())
    return np.concatenate(shares)


def evaluate(net: ParsingNet, held_out: Sequence[Portrait]) -> dict[str, float]:
    """Intersection over union of each kind on portraits as they are, cut as `maskgen.parse` cuts them."""
    crops = [centre_of(portrait) for portrait in held_out]
    said = predict(net, [image for image, _ in crops]).argmax(axis=1)
    return ious(said, np.stack([kinds for _, kinds in crops]))


def centre_of(portrait: Portrait) -> tuple[Image, Image]:
    """The crop (128, 128, 3) of a portrait as the network sees it in use, and its kinds."""
    scale = CROP_SIDE * portraits.MARGIN / SIDE
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
    matrix[:, 2] = (CROP_SIDE - 1) / 2 - scale * (SIDE - 1) / 2
    size_wh = CROP_SIDE, CROP_SIDE
    image = cv2.warpAffine(portrait.image, matrix, size_wh)
    return image, cv2.warpAffine(portrait.kinds, matrix, size_wh, flags=cv2.INTER_NEAREST, borderValue=UNKNOWN)


def ious(said: Image, kinds: Image) -> dict[str, float]:
    """Intersection over union of each kind: cells (N, 64, 64) against pixels (N, 128, 128), unknown ones left out."""
    said = said.repeat(2, axis=1).repeat(2, axis=2)
    known = kinds != UNKNOWN
    figures = dict[str, float]()
    for number, kind in enumerate(KINDS):
        here, there = (said == number) & known, (kinds == number) & known
        figures[kind] = round(float((here & there).sum() / max((here | there).sum(), 1)), 3)
    return figures
