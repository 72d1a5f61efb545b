"""What is trained: the backbone and the centres, how they begin, and what the optimizers do to them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgen.arrays import IntArray
from maskgen.errors import ConfigError
from maskgen.train.backbones import Backbone
from maskgen.train.collection import Collection
from maskgen.train.data import Originals, in_batches, loader, to_input
from maskgen.train.margin import Centres, seed_of
from maskgen.train.settings import TrainSettings

_PICTURES_A_CENTRE: Final = 4


class Learner(nn.Module):
    """The backbone, in training but for the batch norms that keep their statistics."""

    def __init__(self, backbone: Backbone, keeps_statistics: bool, frozen: tuple[str, ...]) -> None:
        super().__init__()
        self.backbone = backbone
        self._keeps_statistics = keeps_statistics
        self._frozen = frozen

    def train(self, mode: bool = True) -> Learner:
        super().train(mode)
        for name, module in self.backbone.named_modules():
            is_norm = isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d)
            if is_norm and (self._keeps_statistics or name.startswith(self._frozen)):
                module.eval()
        return self

    def forward(self, pictures: Tensor) -> Tensor:
        """Embeddings (B, E)."""
        embeddings: Tensor = self.backbone(pictures)
        return embeddings


def distances(embeddings: Tensor, goals: Tensor | None) -> Tensor:
    """1 - cosine to the goals (B, E), (B,); 0 without goals."""
    if goals is None:
        return torch.zeros_like(embeddings[:, 0])
    return 1 - functional.cosine_similarity(embeddings.float(), goals.float())


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


def optimizer_of(backbone: nn.Module, settings: TrainSettings) -> torch.optim.Optimizer:
    """SGD with momentum, or AdamW; weight decay for weights, none for norms, slopes and biases."""
    learnt = [parameter for parameter in backbone.parameters() if parameter.requires_grad]
    groups = [
        {"params": [one for one in learnt if one.dim() > 1], "weight_decay": settings.decay},
        {"params": [one for one in learnt if one.dim() == 1], "weight_decay": 0.0},
    ]
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(groups, lr=settings.highest_lr)
    return torch.optim.SGD(groups, lr=settings.highest_lr, momentum=settings.momentum)


def centre_optimizer_of(centres: Centres, settings: TrainSettings) -> torch.optim.Optimizer:
    """That of the centres that this process holds.

    A centre that was not drawn has no gradient; without momentum and decay it stays where it is (Partial FC).
    """
    lr, decay = settings.highest_lr, settings.decay
    if settings.sample_rate < 1:
        return (torch.optim.SparseAdam if settings.optimizer == "adamw" else torch.optim.SGD)(centres.parameters(), lr)
    if settings.optimizer == "adamw":
        return torch.optim.AdamW(centres.parameters(), lr, weight_decay=decay)
    return torch.optim.SGD(centres.parameters(), lr, momentum=settings.momentum, weight_decay=decay)


@torch.no_grad()
def start_centres(
    centres: Centres,
    backbone: nn.Module,
    collection: Collection,
    workers: int = 0,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Set each centre to the mean embedding of some originals: random centres would pull the base apart."""
    device = next(backbone.parameters()).device
    backbone.eval()
    sums = torch.zeros(centres.weight.shape)  # (C', E)
    originals = Originals(collection, _first_of_each(collection.people.labels, centres.first, centres.last))
    done = 0
    for batch in loader(originals, in_batches(len(originals)), workers):
        embeddings = functional.normalize(backbone(to_input(batch.picture.to(device))).float().cpu())  # (B, E)
        sums.index_add_(0, batch.label - centres.first, embeddings * batch.is_read[:, None])
        done += len(batch.label)
        on_progress(done, len(originals))
    length = centres.weight.norm(dim=1, keepdim=True)
    known = (sums.norm(dim=1, keepdim=True) > 0).to(length.device)
    centres.weight.copy_(torch.where(known, functional.normalize(sums).to(length.device) * length, centres.weight))


def _first_of_each(labels: IntArray, first: int, last: int) -> IntArray:
    """Some originals of each identity from `first` to before `last`, in their order."""
    by_label = np.argsort(labels, kind="stable")
    in_order = labels[by_label]
    rank = np.arange(len(labels)) - np.searchsorted(in_order, in_order)  # among those of its label
    is_wanted = (rank < _PICTURES_A_CENTRE) & (in_order >= first) & (in_order < last)
    return np.sort(by_label[is_wanted])


def squared_norm(centres: Centres) -> Tensor:
    """The square of the norm of the gradient of the centres that this process holds."""
    gradient = centres.weight.grad
    if gradient is None:
        return centres.weight.new_zeros(())
    return (gradient.coalesce().values() if gradient.is_sparse else gradient).square().sum()


def generator_of(seed: int, step: int, micro: int) -> torch.Generator:
    """The random numbers of one pass of one step: the same in every process, and after a resume."""
    return torch.Generator().manual_seed(seed_of(seed, step, micro))


def learning_rate(step: int, steps: int, settings: TrainSettings) -> float:
    """The rate of a step, counted from 0: it rises evenly, then falls to 0 as the square of the share that is left."""
    warmup = settings.warmup * steps
    if step < warmup:
        return settings.highest_lr * min((step + 1) / warmup, 1.0)
    return settings.highest_lr * ((steps - step) / (steps - warmup)) ** 2
