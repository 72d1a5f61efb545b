"""What lies in the output folder: settings, identities, checkpoints that appear whole, and the results."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import torch
from pydantic import ValidationError

import maskgen
from maskgen import files
from maskgen.errors import ConfigError
from maskgen.evaluate.report import Pictures
from maskgen.schema import first_fault, write_json
from maskgen.train import centre_files, export, variants
from maskgen.train.card import CARD_FILE, card
from maskgen.train.collection import Collection
from maskgen.train.data import Samples
from maskgen.train.machine import loaders_of
from maskgen.train.margin import Centres
from maskgen.train.results import METRICS_FILE, Metrics, TrainState, UsedMasks, Variant
from maskgen.train.settings import SETTINGS_FILE, TrainSettings, refuse_others

BEST: Final = "best.pth"
CHECKPOINTS: Final = "checkpoints"
_IDENTITIES: Final = "identities.txt"
_MASKS: Final = "masks.json"
_PROGRESS: Final = "progress.json"


@contextlib.contextmanager
def held(accelerator: Any, out: Path) -> Iterator[None]:
    """Keep other trainings out of the folder, which is made.

    Raises
    ------
    LockedError
        If one is writing there.
    MaskgenError
        If nothing can be written there.
    """
    with files.locked(out / files.LOCK_FILE) if accelerator.is_main_process else contextlib.nullcontext():
        yield


def prepare(accelerator: Any, settings: TrainSettings, out: Path, resume: bool) -> Path | None:
    """The last checkpoint in the folder, if the training is to go on from one; writes nothing.

    A folder without a checkpoint holds no training: a start that failed leaves nothing that would refuse the next.

    Raises
    ------
    ConfigError
        If the folder holds a training and `resume` is off, or a training with other settings.
    """
    checkpoints = sorted((out / CHECKPOINTS).glob("step-*"))
    if not checkpoints:
        return None
    if not resume:
        raise ConfigError(f"{out}: holds a training already", "{resume} goes on with it, or choose another {out}")
    refuse_others(out / SETTINGS_FILE, settings)
    return checkpoints[-1]


def masks_then(out: Path) -> UsedMasks | None:
    """The masks that a training began with, which it puts on while loading; None if it puts on none.

    Raises
    ------
    ConfigError
        If it is not known.
    """
    path = out / _MASKS
    try:
        return UsedMasks.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", "restore it, or choose another {out}") from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {first_fault(error)}", "restore it, or choose another {out}") from error


def begin(accelerator: Any, settings: TrainSettings, out: Path, collection: Collection, resumes: bool) -> None:
    """Write settings, masks and identities, by label; when a training goes on, these must be those it began with.

    Raises
    ------
    ConfigError
        If they are not.
    """
    path = out / _IDENTITIES
    text = "\n".join(collection.identities) + "\n"
    if resumes and (not path.is_file() or path.read_text(encoding="utf-8") != text):
        raise ConfigError(
            f"{path}: the data have other identities than when the training began",
            "restore them, or choose another {out}",
        )
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        if not resumes:
            write_json(out / SETTINGS_FILE, settings)
            (out / _MASKS).unlink(missing_ok=True)
            if (catalog := collection.cropper.catalog) is not None:
                write_json(out / _MASKS, UsedMasks(designs=catalog.names, sha256=catalog.sha256))
        files.write_whole(path, text.encode())


def load(accelerator: Any, checkpoint: Path, centres: Centres, optimizer: torch.optim.Optimizer) -> TrainState:
    """Restore everything from a checkpoint: weights, optimizers, random generators, progress.

    The checkpoint may be that of another number of processes.

    Parameters
    ----------
    centres : Centres
        Those of this process.
    optimizer : torch.optim.Optimizer
        That of the centres.

    Raises
    ------
    ConfigError
        If one of its files is missing, damaged or of another network.
    """
    remedy = "restore it from a copy, or begin anew with another {out}"
    path = checkpoint / _PROGRESS
    try:
        progress = TrainState.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}", remedy) from error
    except ValidationError as error:
        raise ConfigError(f"{path}: not the progress of a training: {first_fault(error)}", remedy) from error
    try:
        accelerator.load_state(str(checkpoint))
        centre_files.load(checkpoint, centres, optimizer)
        _require_random_states(checkpoint / f"random_states_{accelerator.process_index}.pkl")
    except Exception as error:  # torch's, safetensors' and accelerate's exceptions share no base class
        said = next(iter(str(error).splitlines()), "")
        raise ConfigError(
            f"{checkpoint}: this checkpoint cannot be restored ({type(error).__name__}: {said})", remedy
        ) from error
    return progress


def _require_random_states(path: Path) -> None:
    """Make sure that random generators were restored; accelerate tells nobody if it could not read them.

    Raises
    ------
    Exception
        If they are there and were not.
    """
    from accelerate.utils import load as load_safely

    # It restores torch's after Python's and NumPy's.
    if path.is_file() and not torch.equal(load_safely(path)["torch_manual_seed"], torch.get_rng_state()):
        raise ValueError(f"{path.name} holds no states of random generators")


def save(accelerator: Any, out: Path, progress: TrainState, centres: Centres, optimizer: torch.optim.Optimizer) -> None:
    """Write a checkpoint, which appears whole, then delete the former ones; the optimizer is that of the centres."""
    folder = out / CHECKPOINTS
    final = folder / f"step-{progress.step:09d}"
    temporary = folder / f".step-{progress.step:09d}.tmp"
    if accelerator.is_main_process:
        shutil.rmtree(temporary, ignore_errors=True)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(temporary))
    centre_files.save(temporary, centres, optimizer, accelerator.process_index, accelerator.num_processes)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        write_json(temporary / _PROGRESS, progress)
        temporary.rename(final)
        for former in folder.glob("step-*"):
            if former != final:
                shutil.rmtree(former)
    accelerator.wait_for_everyone()


def finish(
    accelerator: Any,
    settings: TrainSettings,
    out: Path,
    samples: Samples,
    held_out: Pictures | None,
    learner: Any,
    progress: TrainState,
    base_difference: float | None,
    not_validated: str | None,
) -> Metrics:
    """Write the best network in all forms, metrics, curves and card; every process gets the metrics."""
    collection = samples.collection
    backbone = accelerator.unwrap_model(learner).backbone.eval().cpu()
    best = progress.best
    if best is not None:
        backbone.load_state_dict(torch.load(out / CHECKPOINTS / BEST, map_location="cpu", weights_only=True))
    pictures_seen = progress.step * settings.batch_size * settings.accumulate
    export_difference, others = 0.0, tuple[Variant, ...]()
    if accelerator.is_main_process:
        export_difference = export.write(backbone, out, settings.pack)
        if settings.also:
            crops = variants.crops_for(samples, held_out, loaders_of(settings))
            others = tuple(variants.write(out / export.ONNX_FILE, bits, *crops) for bits in sorted(set(settings.also)))
    metrics = Metrics(
        maskgen=maskgen.__version__,
        settings=settings,
        identities=len(collection.identities),
        pictures=len(collection.people),
        masked_pictures=len(collection.entries) - len(collection.people),
        single_picture_identities=collection.singles,
        left_out=dict(collection.left_out),
        unreadable=len(progress.unreadable),
        unreadable_examples=progress.unreadable[:20],
        base_difference=base_difference,
        export_difference=export_difference,
        variants=others,
        steps=progress.step,
        seconds=round(progress.seconds, 3),
        pictures_per_second=round(pictures_seen / max(progress.seconds, 1e-9), 2),
        best_epoch=None if best is None else best.epoch,
        not_validated=not_validated,
        before=progress.validations[0].reports if progress.validations else (),
        after=() if best is None else best.reports,
        history=progress.history,
        validations=progress.validations,
    )
    if accelerator.is_main_process:
        write_json(out / METRICS_FILE, metrics)
        export.draw_curves(out / "curves.png", metrics)
        files.write_whole(out / CARD_FILE, card(metrics).encode())
    accelerator.wait_for_everyone()
    return metrics
