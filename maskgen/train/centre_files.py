"""The centres in a checkpoint: each process writes those that it holds, and any number of processes reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskgen.train.margin import Centres


def save(folder: Path, centres: Centres, optimizer: torch.optim.Optimizer, rank: int, world: int) -> None:
    """Write the centres of one process, and what the optimizer keeps of them."""
    kept = {"first": centres.first, "last": centres.last, "weight": centres.weight.detach()}
    torch.save({**kept, "state": dict(optimizer.state[centres.weight])}, folder / _name(rank, world))


def load(folder: Path, centres: Centres, optimizer: torch.optim.Optimizer) -> None:
    """Read the centres of one process.

    Raises
    ------
    Exception
        If files are missing or damaged, or hold other centres.
    """
    # Mapped: of all centres only those are read that this process holds.
    parts = [
        torch.load(path, map_location="cpu", weights_only=True, mmap=True) for path in folder.glob(_name("*", "*"))
    ]
    parts.sort(key=lambda part: part["first"])
    ends = [0, *(part["last"] for part in parts)]
    if not parts or ends[:-1] != [part["first"] for part in parts] or ends[-1] != centres.identities:
        raise ValueError(f"{len(parts)} files of centres do not hold all {centres.identities}")
    parts = [part for part in parts if part["first"] < centres.last and part["last"] > centres.first] or parts[:1]

    def own(values: list[Tensor]) -> Tensor:
        """Of the rows in the parts, this process's."""
        cuts = [
            rows[max(centres.first - part["first"], 0) : max(centres.last - part["first"], 0)]
            for part, rows in zip(parts, values, strict=True)
        ]
        return torch.cat(cuts)

    with torch.no_grad():
        centres.weight.copy_(own([part["weight"] for part in parts]))
    state: dict[str, Any] = {}
    for name, value in parts[0]["state"].items():
        # Momentum is kept per centre, and the number of steps once.
        if isinstance(value, Tensor) and value.dim() == 2:
            state[name] = own([part["state"][name] for part in parts]).to(centres.weight.device)
        else:
            state[name] = value.clone() if isinstance(value, Tensor) else value
    if state:
        optimizer.state[centres.weight] = state


def _name(rank: int | str, world: int | str) -> str:
    return f"centres-{rank}-of-{world}.pth"
