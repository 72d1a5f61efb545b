"""Train the network behind ``parsing/parsing.onnx``: what the pixels of a face and its surroundings are."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.packtraining import occluders, portraits
from maskgen.packtraining.data import read
from maskgen.packtraining.landmarks import Residual, conv, photographed, to_tensor
from maskgen.packtraining.portraits import GLASSES, HAT, OTHER, SIDE, UNKNOWN, Portrait
from maskgen.packtraining.trainer import Trainer
from maskgen.parse import CROP_SIDE, GRID_SIDE, KINDS

WIDTHS: Final = (16, 24, 48, 80, 112)
RESIDUALS: Final = (0, 0, 1, 2, 1)
# Rare kinds count more: without this they are drowned by skin and hair.
_WEIGHTS: Final = (1.0, 1.0, 1.0, 2.0, 1.5, 1.5)
_MASKED_SHARE: Final = 0.2
_BEARDED_SHARE: Final = 0.15
_BATCH: Final = 32
_SURE: Final = 0.9  # from which share on a guess is taken for a label


class ParsingNet(nn.Module):
    """(B, 3, 128, 128) in [-1, 1] -> scores (B, 6, 64, 64), whose softmax says what each two by two pixels are.

    An encoder, and a decoder that adds what the encoder saw at the same size.
    """

    def __init__(self) -> None:
        super().__init__()
        channels = (3, *WIDTHS)
        self.encode = nn.ModuleList(
            nn.Sequential(conv(before, width, 3, 2), *(Residual(width) for _ in range(number)))
            for before, width, number in zip(channels, WIDTHS, RESIDUALS, strict=False)
        )
        self.lateral = nn.ModuleList(conv(wide, width, 1) for width, wide in pairwise(WIDTHS))
        self.smooth = nn.ModuleList(conv(width, width, 3) for width in WIDTHS[:-1])
        self.scores = nn.Conv2d(WIDTHS[0], len(KINDS), 1)

    def forward(self, x: Tensor) -> Tensor:
        seen = []
        for stage in self.encode:
            x = stage(x)
            seen.append(x)
        for level in reversed(range(len(self.smooth))):
            up = F.interpolate(self.lateral[level](x), scale_factor=2.0, mode="nearest")
            x = self.smooth[level](seen[level] + up)
        return self.scores(x)


class Mixed(torch.utils.data.Dataset[tuple[Tensor, Tensor]]):
    """Portraits with things laid before them, turned, moved, mirrored and degraded; each pass draws anew.

    Attributes
    ----------
    epoch : int
        The pass.
    """

    def __init__(
        self, bare: list[Portrait], worn: list[Portrait], pictures: list[Image], length: int, seed: int
    ) -> None:
        self.bare, self.worn, self.pictures, self.length, self.seed = bare, worn, pictures, length, seed
        # Portraits with something rare come up more often.
        rare = np.array([np.isin(p.kinds, (GLASSES, HAT, OTHER)).sum() > 100 for p in bare])
        weights = np.where(rare, 2.5, 1.0)
        self._often = weights / weights.sum()
        self.epoch = 0

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, item: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng((self.seed, self.epoch, item))
        if self.worn and rng.random() < _MASKED_SHARE:
            portrait = self.worn[rng.integers(len(self.worn))]
        else:
            portrait = self.bare[rng.choice(len(self.bare), p=self._often)]
            if rng.random() < _BEARDED_SHARE:
                portrait = occluders.bearded(portrait, self.bare[rng.integers(len(self.bare))], rng)
        if rng.random() < 0.35:
            portrait = occluders.shaded(portrait, rng)
        for chance in (0.55, 0.25):
            if rng.random() < chance:
                layer = occluders.any_layer(portrait, self.bare, self.pictures, rng)
                if layer is not None:
                    portrait = occluders.laid_on(portrait, layer)
        image, kinds = _placed(portrait, rng)
        return to_tensor(photographed(image, rng)), torch.from_numpy(cell_shares(kinds))


def _placed(portrait: Portrait, rng: np.random.Generator) -> tuple[Image, Image]:
    """The crop (128, 128, 3) and its kinds, turned, resized, moved, mirrored, and cut by the edge of a photograph."""
    scale = CROP_SIDE * portraits.MARGIN / SIDE * math.exp(rng.normal(0, 0.1))
    angle = rng.normal(0, 7) if rng.random() < 0.9 else rng.uniform(-40, 40)
    matrix = cv2.getRotationMatrix2D((0, 0), angle, scale)
    middle = (SIDE - 1) / 2
    matrix[:, 2] = (CROP_SIDE - 1) / 2 + rng.normal(0, 4, 2) - matrix[:, :2] @ [middle, middle]
    image = cv2.warpAffine(portrait.image, matrix, (CROP_SIDE, CROP_SIDE), flags=cv2.INTER_LINEAR)
    kinds = cv2.warpAffine(
        portrait.kinds,
        matrix,
        (CROP_SIDE, CROP_SIDE),
        flags=cv2.INTER_NEAREST,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=UNKNOWN,
    )
    if rng.random() < 0.15:
        cut = int(rng.integers(4, 34))
        side = int(rng.integers(4))
        for array, value in ((image, 0), (kinds, UNKNOWN)):
            np.rot90(array, side)[:cut] = value
    if rng.random() < 0.5:
        image, kinds = np.ascontiguousarray(image[:, ::-1]), np.ascontiguousarray(kinds[:, ::-1])
    return image, kinds


def cell_shares(kinds: Image) -> Float32Array:
    """(6, 64, 64) how much of each cell is of each kind; what is unknown counts as nothing."""
    each = np.stack([kinds == kind for kind in range(len(KINDS))]).astype(np.float32)
    shares: Float32Array = each.reshape(len(KINDS), GRID_SIDE, 2, GRID_SIDE, 2).mean(axis=(2, 4))
    return shares


def loss_of(scores: Tensor, shares: Tensor) -> Tensor:
    """Cross-entropy with shares (B, 6, 64, 64)."""
    weighted = shares * scores.new_tensor(_WEIGHTS)[:, None, None]
    return -(weighted * scores.log_softmax(dim=1)).sum() / weighted.sum().clamp(min=1)


def pieces_of(data: Path) -> list[Image]:
    """Pictures to cut things from."""
    paths = [*sorted((data / "celeba").glob("*/*.jpg"))[::9], *sorted((data / "scenes").glob("*.jpg"))[::6]]
    return [read(path) for path in paths]


def samples(data: Path, count: int) -> list[Float32Array]:
    """Some (3, 128, 128) pictures as training sees them."""
    bare = portraits.labelled(data, held_out=False)
    mixed = Mixed(bare, [], pieces_of(data), count, seed=1)
    return [mixed[item][0].numpy() for item in range(count)]


def train(
    data: Path,
    work: Path,
    epochs: int,
    start: Path | None = None,
    peak: float = 4e-3,
    device: str = "cpu",
    workers: int = 1,
) -> ParsingNet:
    """Train, or go on from ``work/parsing_last.pt``; the EMA weights go to ``work/parsing.pt``.

    A fresh training begins with the weights of ``start``, where given. ``work/guessed.npz`` holds portraits that a
    former network labelled, where `guess` has made it.
    """
    torch.manual_seed(0)
    catalog = Catalog.load()
    catalog.preload()
    bare, held_out = portraits.labelled(data, held_out=False), portraits.labelled(data, held_out=True)
    if (work / "guessed.npz").is_file():
        bare += portraits.load(work / "guessed.npz")
    rng = np.random.default_rng(0)
    worn = [portraits.masked(portrait, catalog, rng) for portrait in bare]
    mixed = Mixed(bare, worn, pieces_of(data), 64 * _BATCH, seed=0)
    trainer = Trainer(
        ParsingNet(),
        start,
        work / "parsing_last.pt",
        work / "parsing.pt",
        peak=peak,
        steps=epochs * 64,
        warm_up=0.1,
        clip=1.0,
        device=device,
    )
    started = time.monotonic()
    while trainer.epoch < epochs:
        mixed.epoch = trainer.epoch
        loader = torch.utils.data.DataLoader(mixed, _BATCH, num_workers=workers, multiprocessing_context="fork")
        trainer.net.train()
        losses = []
        for images, shares in loader:
            images = images.to(trainer.device, memory_format=torch.channels_last)
            loss = loss_of(trainer.net(images), shares.to(trainer.device))
            trainer.step(loss)
            losses.append(float(loss.detach()))
        trainer.end_epoch()
        report = evaluate(trainer.average, held_out) if trainer.epoch in (*range(0, epochs, 5), epochs) else {}
        print(
            f"epoch {trainer.epoch}/{epochs} loss {np.mean(losses):.4f} {time.monotonic() - started:.0f}s {report}",
            flush=True,
        )
    return trainer.average


def guess(data: Path, work: Path) -> int:
    """Label photographs without labels by ``work/parsing.pt``, for ``work/guessed.npz``; their number.

    Pixels of which the network is not sure, in the picture and in its mirror image alike, stay unknown.
    """
    net = ParsingNet()
    net.load_state_dict(torch.load(work / "parsing.pt", weights_only=True))
    paths = [
        *sorted((data / "lfw").glob("*/*.jpg"))[::8],
        *sorted((data / "celeba").glob("*/*.jpg"))[::6],
        *sorted((data / "masked_photos").glob("*.jpg"))[::2],
    ]
    found = list(portraits.unlabelled(paths))
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


def predict(net: ParsingNet, images: Sequence[Image]) -> Float32Array:
    """Shares (N, 6, 64, 64) of crops (128, 128, 3)."""
    net.eval()
    device = next(net.parameters()).device
    shares = []
    with torch.no_grad():
        for first in range(0, len(images), 64):
            batch = torch.stack([to_tensor(image) for image in images[first : first + 64]])
            batch = batch.to(device, memory_format=torch.channels_last)
            shares.append(net(batch).softmax(dim=1).cpu().numpy())
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
