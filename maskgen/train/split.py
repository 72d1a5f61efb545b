"""A softmax over identities whose centres lie in several processes, and its gradient.

Every process sees the embeddings of all, and computes their logits with its own centres. The largest logit of a row and
the sum of its exponentials are exchanged: two numbers per picture, however many identities there are.

References
----------
X. An et al., "Partial FC: Training 10 Million Identities on a Single Machine", ICCV Workshops 2021, section 3.2.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed


def gathered(values: Tensor, rank: int, world: int) -> Tensor:
    """The values (B / world, ...) of all processes (B, ...), in the order of these.

    The gradient of a process's own values is the sum over all processes, times `world`.
    """
    if world == 1:
        return values
    found: Tensor = _Gathered.apply(values, rank, world)
    return found


def cross_entropy(logits: Tensor, rows: Tensor, places: Tensor) -> Tensor:
    """The losses (B,) of logits (B, K') that are one process's share of each row.

    Parameters
    ----------
    logits : (B, K') tensor
        K' may differ between processes, and be 0.
    rows : (R,) tensor
        The rows whose label is among this process's; each row is one process's.
    places : (R,) tensor
        Where in K' their labels are.
    """
    losses: Tensor = _CrossEntropy.apply(logits, rows, places)
    return losses


class _Gathered(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, values: Tensor, rank: int, world: int) -> Tensor:
        ctx.rank, ctx.world = rank, world
        parts = [torch.empty_like(values) for _ in range(world)]
        distributed.all_gather(parts, values.contiguous())
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        gradient = gradient.contiguous()
        distributed.all_reduce(gradient)
        own = len(gradient) // ctx.world
        # The gradients of the network behind are averaged over the processes, and each has a part of the sum only.
        return gradient[ctx.rank * own : (ctx.rank + 1) * own] * ctx.world, None, None


class _CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, logits: Tensor, rows: Tensor, places: Tensor) -> Tensor:
        number = len(logits)
        largest = logits.amax(dim=1) if logits.shape[1] else logits.new_full((number,), -torch.inf)
        distributed.all_reduce(largest, distributed.ReduceOp.MAX)
        shares = torch.exp(logits - largest[:, None])  # (B, K')
        sums = torch.stack([shares.sum(dim=1), torch.zeros_like(largest)])
        sums[1, rows] = logits[rows, places]
        distributed.all_reduce(sums)
        shares /= sums[0][:, None]
        ctx.save_for_backward(shares, rows, places)
        return torch.log(sums[0]) + largest - sums[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        shares, rows, places = ctx.saved_tensors
        found = shares * gradient[:, None]
        found[rows, places] -= gradient[rows]
        return found, None, None
