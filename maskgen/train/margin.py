"""Margins on the angle between an embedding and its identity's centre, and softmax over all identities or a sample.

    cosine = normalised embeddings x normalised centres       # (B, C)
    cosine[target] <- psi(m1 * angle + m2) - m3               # less a further margin where a mask is worn
    loss = cross entropy of s * cosine

References
----------
J. Deng et al., "ArcFace", CVPR 2019, equation 4: the combined margin. H. Wang et al., "CosFace", CVPR 2018.
W. Liu et al., "SphereFace", CVPR 2017: psi, which goes on falling where the cosine would rise again.
X. An et al., "Killing Two Birds with One Stone: Efficient and Robust Training of Face Recognition CNNs by Partial FC",
CVPR 2022: sampled centres.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from maskgen.train import split

# The derivative of the angle is infinite at cosine 1, where no float32 can tell angles below 3e-4 apart anyway.
_EDGE: Final = 1e-6
_BLOCK: Final = 4096
"""Centres that are drawn together."""


class Margin(NamedTuple):
    """The cosine of the target, cos(m1 * angle + m2) - m3; angles in radians.

    ArcFace is (1, 0.5, 0), CosFace (1, 0, 0.4), plain softmax (1, 0, 0).
    """

    m1: float
    m2: float
    m3: float


def with_margin(
    cosine: Tensor, labels: Tensor, margin: Margin, rows: Tensor | None = None, further: Tensor | None = None
) -> Tensor:
    """Cosines (B, C) with the margin on those of the labels (B,), or of the labels (R,) of some rows.

    What is `further` (B,) is taken off these cosines as well, as m3 is.

    The gradient is that of the formula: d/dcos of cos(angle + m2) is sin(angle + m2) / sin(angle). InsightFace's
    ``CombinedMarginLoss`` applies an angular margin without gradient and lets 1 through instead: the same loss up to
    180 degrees - m2, but a weaker pull than the formula's where the angle is under 90 degrees - m2 / 2, a stronger one
    beyond. Where m1 * angle + m2 passes 180 degrees the cosine would rise again and reward a larger angle; here
    -2 - cos goes on falling (SphereFace's psi), in InsightFace's it rises.
    """
    rows = torch.arange(len(labels), device=labels.device) if rows is None else rows
    target = cosine[rows, labels]  # (R,)
    target = margined(target, margin)
    return cosine.index_put((rows, labels), target if further is None else target - further[rows])


def margined(target: Tensor, margin: Margin) -> Tensor:
    """The cosines of the targets (B,) with the margin on them."""
    if margin.m1 == 1 and margin.m2 == 0:
        return target - margin.m3
    angle = margin.m1 * torch.acos(target.clamp(-1 + _EDGE, 1 - _EDGE)) + margin.m2
    turn = torch.floor(angle / math.pi)
    psi = torch.cos(angle) * (1 - 2 * (turn % 2)) - 2 * turn
    return psi - margin.m3


class Centres(nn.Module):
    """A direction for every identity; each of several processes holds some of them.

    Parameters
    ----------
    identities, embedding : int
        C and E.
    margin : Margin
        On the target.
    scale : float
        s, by which cosines are multiplied before the softmax.
    seed : int
        The centres begin at random; where they begin does not depend on the number of processes.
    rank, world : int
        The number of this process, and of all.
    """

    def __init__(
        self,
        identities: int,
        embedding: int,
        margin: Margin,
        scale: float,
        seed: int = 0,
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        self.identities = identities
        self.first, self.last = share_of(identities, rank, world)  # C' = last - first
        self.weight = nn.Parameter(_drawn(self.first, self.last, embedding, seed))  # (C', E)
        self.margin = margin
        self.scale = scale
        self._rank, self._world = rank, world

    def forward(
        self,
        embeddings: Tensor,
        labels: Tensor,
        classes: Tensor | None = None,
        further: Tensor | None = None,
    ) -> Tensor:
        """The loss of each embedding of all processes (B,), the same in all of them.

        Its gradient reaches the embeddings of this process `world` times as large, because gradients of the network
        are averaged over processes.

        Parameters
        ----------
        embeddings : (B / world, E) tensor
            Any length.
        labels : (B / world,) tensor
            Identities, 0 to C - 1.
        classes : (K,) tensor, optional
            The sorted identities that take part in the softmax, every label of all processes among them; all by
            default.
        further : (B / world,) float tensor, optional
            A margin of each embedding's own, besides that of all: it adds to m3.
        """
        weight: Tensor = self.weight  # (K', E)
        own = None
        if classes is not None:
            own = classes[(classes >= self.first) & (classes < self.last)] - self.first
            # A gradient of all centres would be as large as they are.
            weight = functional.embedding(own, weight, sparse=True)
        everywhere = split.gathered(embeddings.float(), self._rank, self._world)  # (B, E)
        places = split.gathered(labels, self._rank, self._world) - self.first
        if further is not None:
            further = split.gathered(further, self._rank, self._world)  # (B,)
        rows = torch.nonzero((places >= 0) & (places < self.last - self.first)).squeeze(1)
        places = places[rows] if own is None else torch.searchsorted(own, places[rows])
        # Half precision cannot hold cosines that are to be multiplied by 64.
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine = functional.linear(
                functional.normalize(everywhere), functional.normalize(weight.float())
            )  # (B, K')
            logits = self.scale * with_margin(cosine, places, self.margin, rows, further)
            if self._world == 1:
                return functional.cross_entropy(logits, places, reduction="none")
            return split.cross_entropy(logits, rows, places)


def share_of(identities: int, rank: int, world: int) -> tuple[int, int]:
    """The first identity whose centre a process holds, and the one after the last."""
    return identities * rank // world, identities * (rank + 1) // world


def _drawn(first: int, last: int, embedding: int, seed: int) -> Tensor:
    """Random centres (last - first, E) of length 1.

    Only their directions count, but the gradient goes with 1 / length: the first steps throw short centres about.
    """
    weight = torch.empty(last - first, embedding)
    for block in range(first // _BLOCK, -(-last // _BLOCK)):
        generator = torch.Generator().manual_seed(seed_of(seed, block))
        start, end = max(first, block * _BLOCK), min(last, (block + 1) * _BLOCK)
        rows = functional.normalize(torch.randn(_BLOCK, embedding, generator=generator))
        weight[start - first : end - first] = rows[start - block * _BLOCK : end - block * _BLOCK]
    return weight


def seed_of(*numbers: int) -> int:
    """A seed for torch's generator."""
    return int(np.random.SeedSequence(numbers).generate_state(1)[0])


def sampled_classes(labels: Tensor, identities: int, rate: float, generator: torch.Generator) -> Tensor:
    """The identities for one batch: those of its labels, filled up with others to `rate` of all; sorted (K,).

    Parameters
    ----------
    labels : (B,) tensor
        Of the whole batch, over all processes.
    identities : int
        C.
    rate : float
        Above 0 to 1.
    generator : torch.Generator
        On the CPU; the same state gives the same identities in every process.
    """
    draw = torch.rand(identities, generator=generator)
    present = torch.unique(labels.cpu())
    draw[present] = 2.0  # above all others: present ones are always taken
    number = max(math.ceil(rate * identities), len(present))
    return torch.sort(torch.topk(draw, number).indices).values.to(labels.device)
