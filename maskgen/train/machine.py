"""What a training runs on: the device, its precision, and processes that load pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState

from maskgen.errors import ConfigError
from maskgen.parallel import LocalExecutor
from maskgen.plural import counted
from maskgen.train.settings import Precision, TrainSettings


def precision_of(settings: TrainSettings, wants_cuda: bool) -> Precision:
    """In which the backbone is computed."""
    if settings.precision is not None:
        return settings.precision
    if not wants_cuda:
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def accelerator_of(settings: TrainSettings, out: Path) -> Any:
    """The ``accelerate.Accelerator`` for a training.

    Raises
    ------
    ConfigError
        If the machine has not what the settings ask for.
    """
    wants_cuda = settings.device == "cuda" or (settings.device == "auto" and torch.cuda.is_available())
    if wants_cuda and not torch.cuda.is_available():
        raise ConfigError("device cuda: this torch sees no GPU", "install a torch with CUDA, or leave out {device}")
    if settings.precision == "fp16" and not wants_cuda:
        raise ConfigError("precision fp16 needs a GPU", "on a CPU set {precision} to bf16 or fp32")
    precision = precision_of(settings, wants_cuda)
    # accelerate keeps its state in the class: a second training in one process could not have another precision.
    AcceleratorState._reset_state(reset_partial_state=int(os.environ.get("WORLD_SIZE", 1)) == 1)
    try:
        accelerator = Accelerator(
            mixed_precision="no" if precision == "fp32" else precision,
            gradient_accumulation_steps=settings.accumulate,
            cpu=not wants_cuda,
            log_with="tensorboard" if settings.tensorboard else None,
            project_dir=str(out),
        )
    except (ValueError, ImportError) as error:
        raise ConfigError(f"this training cannot be set up: {error}") from error
    return accelerator


def loaders_of(settings: TrainSettings) -> int:
    """Processes that load pictures for this one."""
    if settings.workers is not None:
        return settings.workers
    return max(LocalExecutor().workers // int(os.environ.get("LOCAL_WORLD_SIZE", 1)), 1)


def said_of(accelerator: Any, workers: int) -> str:
    """The machine in words: ``cpu, fp32, 2 processes to load pictures``."""
    precision = {"no": "fp32"}.get(accelerator.mixed_precision, accelerator.mixed_precision)
    loaders = counted(workers, "process", "processes")
    return f"{accelerator.device.type}, {precision}, {loaders} to load pictures"
