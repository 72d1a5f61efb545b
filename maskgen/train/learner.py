"""What is trained: backbone and centres as one module, how they begin, and what the optimizer does to them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgen.arrays import Image
from maskgen.errors import ConfigError, ImageError
from maskgen.train.backbones import Backbone
from maskgen.train.data import Collection, Person, Samples, to_input
from maskgen.train.margin import Centres
from maskgen.train.settings import TrainSettings

_PICTURES_A_CENTRE: Final = 4


class Learner(nn.Module):
    """Backbone and centres as one module, so that their gradients are synchronised together."""

    def __init__(self, backbone: Backbone, centres: Centres, keeps_statistics: bool, frozen: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self.centres = centres
        self._keeps_statistics = keeps_statistics
        self._frozen = frozen

    def train(self, mode: bool = True) -> Learner:
        super().train(mode)
        for name, module in self.backbone.named_modules():
            is_norm = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
            if is_norm and (self._keeps_statistics or name.startswith(self._frozen)):
                module.eval()
        return self

    def forward(
        self, pictures: Tensor, labels: Tensor, classes: Tensor | None, goals: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Margin losses (B,) and distances (B,), 1 - cosine to the goals (B, E), 0 without goals."""
        embeddings = self.backbone(pictures)  # (B, E)
        losses = self.centres(embeddings, labels, classes)  # (B,)
        if goals is None:
            return losses, torch.zeros_like(losses)
        return losses, 1 - functional.cosine_similarity(embeddings.float(), goals.float())


def freeze(backbone: nn.Module, beginnings: tuple[str, ...]) -> None:
    """Do not train parameters whose names begin with one of these beginnings.

    Raises
    ------
    ConfigError
        If no name begins with one of them.
    """
    names = [name for name, _ in backbone.named_parameters()]
    for beginning in beginnings:
        if not any(name.startswith(beginning) for name in names):
            known = list(dict.fromkeys(name.split(".")[0] for name in names))
            raise ConfigError(f"freeze {beginning}: no parameter begins so; this network has {', '.join(known)}")
    for name, parameter in backbone.named_parameters():
        if name.startswith(beginnings):
            parameter.requires_grad = False


def optimizer_of(learner: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """SGD with momentum; weight decay for weights, none for norms, slopes and biases."""
    named = [(name, parameter) for name, parameter in learner.named_parameters() if parameter.requires_grad]
    centres = [parameter for name, parameter in named if name.startswith("centres.")]
    weights = [parameter for name, parameter in named if not name.startswith("centres.") and parameter.dim() > 1]
    vectors = [parameter for name, parameter in named if not name.startswith("centres.") and parameter.dim() == 1]
    # A centre that was not drawn has no gradient; without momentum and decay it stays where it is (Partial FC).
    is_sampled = settings.sample_rate < 1
    decay = settings.weight_decay
    return torch.optim.SGD(
        [
            {"params": weights, "weight_decay": decay, "momentum": settings.momentum},
            {"params": vectors, "weight_decay": 0.0, "momentum": settings.momentum},
            {
                "params": centres,
                "weight_decay": 0.0 if is_sampled else decay,
                "momentum": 0.0 if is_sampled else settings.momentum,
            },
        ],
        lr=settings.highest_lr,
    )


@torch.no_grad()
def start_centres(centres: Centres, backbone: Backbone, collection: Collection) -> None:
    """Set each centre to the mean embedding of some originals: random centres would pull the base apart."""
    device = next(backbone.parameters()).device
    sums = torch.zeros(centres.weight.shape)  # (C, E)
    labels = collection.people.labels
    by_label = np.argsort(labels, kind="stable")
    in_order = labels[by_label]
    rank = np.arange(len(labels)) - np.searchsorted(in_order, in_order)  # among those of its label
    chosen = np.sort(by_label[rank < _PICTURES_A_CENTRE])
    for start in range(0, len(chosen), 64):
        people = [collection.people[index] for index in chosen[start : start + 64].tolist()]
        for person, embedding in _embedded(backbone, device, collection, people):
            sums[person.label] += embedding
    length = centres.weight.norm(dim=1, keepdim=True)
    known = sums.norm(dim=1, keepdim=True) > 0
    centres.weight.copy_(torch.where(known, functional.normalize(sums) * length, centres.weight))


def _embedded(
    backbone: Backbone, device: torch.device, collection: Collection, people: list[Person]
) -> Iterator[tuple[Person, Tensor]]:
    crops, read = list[Image](), list[Person]()
    for person in people:
        try:
            crop = collection.cropper.clean(person.item.original, person.keypoints)
        except ImageError:
            continue
        crops.append(crop.transpose(2, 0, 1))
        read.append(person)
    if not crops:
        return
    found = backbone.eval()(to_input(torch.from_numpy(np.stack(crops)).to(device)))
    yield from zip(read, functional.normalize(found.float().cpu()), strict=True)


def typical_pictures(samples: Samples, number: int = 256) -> Tensor:
    """Inputs (B, 3, 112, 112), evenly spread over the data."""
    entries = np.linspace(0, len(samples) - 1, min(number, len(samples))).astype(int)
    return to_input(torch.stack([samples[0, int(entry)].picture for entry in entries]))


def generator_of(seed: int, step: int, micro: int) -> torch.Generator:
    """The random numbers of one pass of one step: the same in every process, and after a resume."""
    state = np.random.SeedSequence([seed, step, micro]).generate_state(1)[0]
    return torch.Generator().manual_seed(int(state))


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """The rate of a step, counted from 0: it rises evenly, then falls to 0 as the square of the share that is left."""
    warmup = settings.warmup * steps
    if step < warmup:
        return settings.highest_lr * min((step + 1) / warmup, 1.0)
    return settings.highest_lr * ((steps - step) / (steps - warmup)) ** 2
