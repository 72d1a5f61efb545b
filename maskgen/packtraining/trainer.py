"""What both trainings share: the optimizer, the schedule, the running average, and a checkpoint to go on from."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Generic, TypeVar, cast

import torch
from torch import Tensor, nn

from maskgen.names import some_of

Net = TypeVar("Net", bound=nn.Module)


class Trainer(Generic[Net]):
    """AdamW under a one-cycle schedule, with an exponential moving average of the weights.

    Parameters
    ----------
    net : Net
        To be trained.
    start : Path or None
        Weights to begin with, where there is no checkpoint.
    checkpoint : Path
        Where the state lies after every epoch; a training goes on from there.
    weights : Path
        Where the averaged weights go after every epoch.
    peak : float
        Highest learning rate.
    steps : int
        Of the whole training.
    warm_up : float
        Share of the steps in which the learning rate rises.
    clip : float
        Gradients are cut to this norm.
    device : str
        Where the network learns: ``cpu``, or ``cuda``.

    Attributes
    ----------
    epoch : int
        Epochs that are done.
    device : torch.device
        Where the network is.
    """

    def __init__(
        self,
        net: Net,
        start: Path | None,
        checkpoint: Path,
        weights: Path,
        *,
        peak: float,
        steps: int,
        warm_up: float,
        clip: float,
        device: str = "cpu",
    ) -> None:
        if start is not None:
            # If the network has grown since, its new layers keep their initial weights.
            strange = net.load_state_dict(_load(start), strict=False).unexpected_keys
            if strange:
                raise ValueError(f"{start}: weights of another network, with {some_of(strange, 3)}")
        self.device = torch.device(device)
        self.net: Net = net.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.checkpoint, self.weights, self.clip, self.epoch = checkpoint, weights, clip, 0
        self._average = torch.optim.swa_utils.AveragedModel(
            self.net, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(0.998), use_buffers=True
        )
        self._optimizer = torch.optim.AdamW(self.net.parameters(), lr=peak, weight_decay=0.02)
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer, peak, total_steps=steps + 1, pct_start=warm_up
        )
        self._parts = {
            "net": self.net,
            "average": self._average,
            "optimizer": self._optimizer,
            "schedule": self._schedule,
        }
        if checkpoint.exists():
            state: dict[str, Any] = _load(checkpoint)
            for name, part in self._parts.items():
                part.load_state_dict(state[name])
            self.epoch = state["epoch"]

    @property
    def average(self) -> Net:
        """The network with averaged weights."""
        return cast(Net, self._average.module)

    def autocast(self) -> torch.autocast:
        """Under it, the network computes in bfloat16; not on a CPU that only emulates it, ten times slower."""
        return torch.autocast(self.device.type, torch.bfloat16, self.device.type != "cpu" or _has_bfloat16())

    def step(self, loss: Tensor) -> None:
        """One step down a loss."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.net.parameters(), self.clip)
        self._optimizer.step()
        self._schedule.step()
        self._average.update_parameters(self.net)

    def end_epoch(self) -> None:
        """Write the checkpoint and the averaged weights."""
        self.epoch += 1
        torch.save(
            {name: part.state_dict() for name, part in self._parts.items()} | {"epoch": self.epoch}, self.checkpoint
        )
        torch.save({name: value.cpu() for name, value in self.average.state_dict().items()}, self.weights)


def _has_bfloat16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def _load(path: Path) -> dict[str, Any]:
    """What lies in a file, wherever it was written."""
    loaded: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    return loaded
