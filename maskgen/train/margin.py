"""Margins on the angle between an embedding and its identity's centre, and softmax over all identities or a sample.

    cosine = normalised embeddings x normalised centres       # (B, C)
    cosine[target] <- psi(m1 * angle + m2) - m3
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

import torch
from torch import Tensor, nn
from torch.nn import functional

# The derivative of the angle is infinite at cosine 1, where no float32 can tell angles below 3e-4 apart anyway.
_EDGE: Final = 1e-6


class Margin(NamedTuple):
    """The cosine of the target, cos(m1 * angle + m2) - m3; angles in radians.

    ArcFace is (1, 0.5, 0), CosFace (1, 0, 0.4), plain softmax (1, 0, 0).
    """

    m1: float
    m2: float
    m3: float


def with_margin(cosine: Tensor, labels: Tensor, margin: Margin) -> Tensor:
    """Cosines (B, C) with the margin on those of the labels (B,).

    The gradient is that of the formula: d/dcos of cos(angle + m2) is sin(angle + m2) / sin(angle). InsightFace's
    ``CombinedMarginLoss`` applies an angular margin without gradient and lets 1 through instead: the same loss up to
    180 degrees - m2, but a weaker pull than the formula's where the angle is under 90 degrees - m2 / 2, a stronger one
    beyond. Where m1 * angle + m2 passes 180 degrees the cosine would rise again and reward a larger angle; here
    -2 - cos goes on falling (SphereFace's psi), in InsightFace's it rises.
    """
    rows = torch.arange(len(labels), device=labels.device)
    target = cosine[rows, labels]  # (B,)
    return cosine.index_put((rows, labels), margined(target, margin))


def margined(target: Tensor, margin: Margin) -> Tensor:
    """The cosines of the targets (B,) with the margin on them."""
    if margin.m1 == 1 and margin.m2 == 0:
        return target - margin.m3
    angle = margin.m1 * torch.acos(target.clamp(-1 + _EDGE, 1 - _EDGE)) + margin.m2
    turn = torch.floor(angle / math.pi)
    psi = torch.cos(angle) * (1 - 2 * (turn % 2)) - 2 * turn
    return psi - margin.m3


class Centres(nn.Module):
    """A direction for every identity.

    Parameters
    ----------
    identities, embedding : int
        C and E.
    margin : Margin
        On the target.
    scale : float
        s, by which cosines are multiplied before the softmax.
    """

    def __init__(self, identities: int, embedding: int, margin: Margin, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(identities, embedding) * 0.01)  # (C, E)
        self.margin = margin
        self.scale = scale

    def forward(self, embeddings: Tensor, labels: Tensor, classes: Tensor | None = None) -> Tensor:
        """The loss of each embedding (B,).

        Parameters
        ----------
        embeddings : (B, E) tensor
            Any length.
        labels : (B,) tensor
            Identities, 0 to C - 1.
        classes : (K,) tensor, optional
            The sorted identities that take part in the softmax, every label among them; all by default.
        """
        weight = self.weight if classes is None else self.weight[classes]  # (K, E)
        places = labels if classes is None else torch.searchsorted(classes, labels)
        # Half precision cannot hold cosines that are to be multiplied by 64.
        with torch.autocast(embeddings.device.type, enabled=False):
            cosine = functional.linear(
                functional.normalize(embeddings.float()), functional.normalize(weight.float())
            )  # (B, K)
            logits = self.scale * with_margin(cosine, places, self.margin)
            return functional.cross_entropy(logits, places, reduction="none")


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
