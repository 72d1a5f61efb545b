"""The training, top to bottom."""

from __future__ import annotations

import copy
import importlib.util
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from accelerate.utils import broadcast_object_list, gather_object
from torch import nn

from maskgen import files
from maskgen.arrays import Float64Array
from maskgen.datasets.augmented import output_of
from maskgen.datasets.open import format_of_path
from maskgen.datasets.pairs import Pairs
from maskgen.errors import ConfigError, MaskgenError
from maskgen.evaluate.compare import compare
from maskgen.evaluate.curves import with_roc
from maskgen.evaluate.report import Pictures, embedded
from maskgen.evaluate.results import Condition, ConditionReport
from maskgen.plural import counted
from maskgen.train import bases, data, export, folder
from maskgen.train.backbones import Backbone
from maskgen.train.collection import Collection, collect
from maskgen.train.data import Samples, to_input
from maskgen.train.learner import (
    Learner,
    centre_optimizer_of,
    distances,
    freeze,
    generator_of,
    learning_rate,
    optimizer_of,
    squared_norm,
    start_centres,
)
from maskgen.train.machine import accelerator_of, loaders_of, said_of
from maskgen.train.margin import Centres, Margin, sampled_classes
from maskgen.train.results import HistoryRow, Metrics, TrainState, Validation
from maskgen.train.settings import TrainSettings

_SKIPS_ALLOWED: Final = 50
"""How many steps in a row fp16 may skip because gradients overflow; each time it halves its scale."""

_TYPICAL: Final = 256
"""Pictures that give folded batch norms their statistics."""


@dataclass(frozen=True)
class Watch:
    """Functions that are called as a training goes on, on the first process only.

    Attributes
    ----------
    searched : callable
        Gets the number of pictures searched for faces, and of all.
    warned : callable
        Gets a sentence about something that does not end the training.
    collected : callable
        Gets the collection.
    held_out : callable
        Gets the number of pictures of people held out that have been loaded, and of all.
    placed : callable
        Gets the numbers of pictures that the centres begin at: done, and of all.
    began : callable
        Gets the number of steps that were made before, of all steps, and a sentence about the hardware.
    stepped : callable
        Gets a row after every step, with means since the last row of the history, and the number of steps.
    logged : callable
        Gets a row of the history, and the number of steps.
    validating : callable
        Gets the number of pictures of people held out that the network has seen in a validation, and of all.
    validated : callable
        Gets a validation.
    """

    searched: Callable[[int, int], None] = lambda done, total: None
    warned: Callable[[str], None] = lambda message: None
    collected: Callable[[Collection], None] = lambda collection: None
    held_out: Callable[[int, int], None] = lambda done, total: None
    placed: Callable[[int, int], None] = lambda done, total: None
    began: Callable[[int, int, str], None] = lambda done, steps, hardware: None
    stepped: Callable[[HistoryRow, int], None] = lambda row, steps: None
    logged: Callable[[HistoryRow, int], None] = lambda row, steps: None
    validating: Callable[[int, int], None] = lambda done, total: None
    validated: Callable[[Validation], None] = lambda validation: None


def train(settings: TrainSettings, out: Path, resume: bool = False, watch: Watch = Watch()) -> Metrics:
    """Train, validate after every epoch, export the best.

    All that can be wrong with the settings is looked for before the data are, and `out` holds a training only once
    there is a checkpoint.

    Parameters
    ----------
    settings : TrainSettings
        All that decides about the result.
    out : Path
        Folder for settings, checkpoints, metrics, curves and the model in three forms.
    resume : bool
        Go on from the last checkpoint in `out`; on a CPU with fp32 the result is bit for bit that of an uninterrupted
        training.
    watch : Watch
        Called as it goes on.

    Raises
    ------
    ConfigError
        If the settings contradict the data, the machine, or those that `out` began with.
    ModelError
        If the base cannot be used.
    MaskgenError
        If `out` cannot be written, or another training writes there; if a loss or a gradient is no finite number:
        names the step and the files.
    """
    _refuse_inside(settings, out)
    accelerator = accelerator_of(settings, out)
    with folder.held(accelerator, out):
        return _train(accelerator, settings, out, resume, watch if accelerator.is_main_process else Watch())


def _train(accelerator: Any, settings: TrainSettings, out: Path, resume: bool, watch: Watch) -> Metrics:
    world, rank = accelerator.num_processes, accelerator.process_index
    _check(settings, world)
    checkpoint = folder.prepare(accelerator, settings, out, resume)

    # What learns, and what it learns from.
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        backbone = bases.load(settings.base)
    base_difference = bases.difference(backbone, settings.base)
    teacher = _teacher(settings, backbone)
    freeze(backbone, settings.freeze)
    accelerator.init_trackers("tensorboard")

    masks = None if checkpoint is None else folder.masks_then(out)
    # The first process looks for faces, the others find them in the file it wrote.
    with accelerator.main_process_first():
        collection = collect(settings, out, watch.searched, watch.warned, masks)
    watch.collected(collection)
    samples = Samples(collection, settings.seed, settings.flip, settings.mask_share)
    steps_an_epoch = len(samples) // (settings.batch_size * settings.accumulate)
    if steps_an_epoch == 0:
        most = len(samples) // settings.accumulate // world * world
        raise ConfigError(
            f"{counted(len(samples), 'picture')}, too few for a step of {settings.accumulate} x {settings.batch_size}",
            f"choose a {{batch_size}} of at most {most}" if most else "choose a smaller {accumulate}, or add pictures",
        )
    steps = settings.epochs * steps_an_epoch
    workers = loaders_of(settings)
    held_out, is_validated = _held_out(accelerator, collection, settings.seed, workers, watch)
    not_validated = None
    if not is_validated and settings.holdout > 0:
        not_validated = collection.nobody_held_out or "the people held out have too few usable pictures for pairs"
        watch.warned(f"held out   nobody: {not_validated}")
    folder.begin(accelerator, settings, out, collection, checkpoint is not None)

    # Each process holds its share of the centres. They begin where the teacher puts the identities.
    classes = len(collection.identities)
    embedding = backbone.spec.embedding
    centres = Centres(classes, embedding, Margin(*settings.margin), settings.scale, settings.seed, rank, world)
    centres.to(accelerator.device)
    if checkpoint is None and (teacher is not None or not settings.is_scratch):
        known = backbone if teacher is None else teacher
        start_centres(centres, known.to(accelerator.device), collection, workers, watch.placed)
    if checkpoint is None and not settings.is_scratch and not settings.keeps_statistics:
        typical = to_input(data.spread(samples, _TYPICAL, workers))
        bases.revive_batch_norms(backbone.to(accelerator.device), typical.to(accelerator.device))
    if teacher is not None:
        teacher.to(accelerator.device)
    # Channels last, as the pictures come, or gradients and their buckets differ in strides between processes.
    learner: Any = Learner(backbone, settings.keeps_statistics, settings.freeze)
    learner.to(memory_format=torch.channels_last)
    optimizer: Any = optimizer_of(learner, settings)
    centre_optimizer = centre_optimizer_of(centres, settings)
    learner, optimizer = accelerator.prepare(learner, optimizer)
    parameters = [parameter for parameter in learner.parameters() if parameter.requires_grad]

    progress = TrainState()
    if checkpoint is not None:
        progress = folder.load(accelerator, checkpoint, centres, centre_optimizer)
    elif is_validated:
        progress = _validated(accelerator, learner, held_out, progress, 0, out, watch)
    watch.began(progress.step, steps, said_of(accelerator, workers))

    started, skips = time.monotonic() - progress.seconds, 0
    unreadable, history = set(progress.unreadable), list(progress.history)
    sums, passes = np.array(progress.sums), progress.passes  # loss, margin loss, distance since the last row
    while progress.step < steps:
        epoch, start = divmod(progress.step, steps_an_epoch)
        keys = data.batches(samples, settings.batch_size, epoch, rank, world)
        keys = keys[start * settings.accumulate : steps_an_epoch * settings.accumulate]
        learner.train()
        for number, batch in enumerate(data.loader(samples, keys, workers)):
            with accelerator.accumulate(learner):
                lr = learning_rate(progress.step, steps, settings)
                for group in (*optimizer.param_groups, *centre_optimizer.param_groups):
                    group["lr"] = lr
                labels = batch.label.to(accelerator.device)  # (B,)
                pictures = to_input(batch.picture.to(accelerator.device))  # (B, 3, 112, 112)
                drawn = None
                if settings.sample_rate < 1:
                    chance = generator_of(settings.seed, progress.step, number % settings.accumulate)
                    everywhere = accelerator.gather(labels)
                    drawn = sampled_classes(everywhere, classes, settings.sample_rate, chance)
                goals = None
                if teacher is not None:
                    with torch.no_grad(), accelerator.autocast():
                        goals = teacher(to_input(batch.clean.to(accelerator.device)))  # (B, E)
                embeddings = learner(pictures)  # (B, E)
                further = None
                if settings.masked_margin:
                    further = settings.masked_margin * batch.is_masked.to(accelerator.device, torch.float32)  # (B,)
                margin_loss = centres(embeddings, labels, drawn, further).mean()
                distance = distances(embeddings, goals).mean()
                loss = margin_loss + settings.distill_weight * distance
                seen = torch.stack([loss, margin_loss, distance]).detach()
                total = accelerator.reduce(seen, "mean").double().cpu().numpy()  # (3,)
                if not np.isfinite(total).all():
                    raise _not_finite(out, "loss", progress.step, batch, samples, bool(torch.isfinite(seen).all()))
                accelerator.backward(loss)
                norm = centres_norm = math.nan
                if accelerator.sync_gradients:
                    norm = float(accelerator.clip_grad_norm_(parameters, settings.clip))
                    centres_norm = _centres_norm(accelerator, centres)
                    is_finite = math.isfinite(norm) and math.isfinite(centres_norm)
                    if not is_finite and accelerator.scaler is None:
                        raise _not_finite(out, "gradient", progress.step, batch, samples, False)
                    # Where the scale of fp16 was too large, no weights move, and no centres.
                    if is_finite:
                        centre_optimizer.step()
                    centre_optimizer.zero_grad()
                optimizer.step()
                optimizer.zero_grad()
            unreadable |= {samples.name(entry) for entry in batch.entry[batch.entry != batch.used].tolist()}
            sums, passes = sums + total, passes + 1
            if not accelerator.sync_gradients:
                continue

            skips = skips + 1 if accelerator.optimizer_step_was_skipped else 0
            if skips > _SKIPS_ALLOWED:
                raise _not_finite(out, "gradient", progress.step, batch, samples, False)
            progress = progress.model_copy(update={"step": progress.step + 1})
            step = progress.step
            row = _row(step, step / steps_an_epoch, sums / passes, lr, norm, centres_norm)
            watch.stepped(row, steps)
            if step % settings.log_every == 0 or step == steps:
                history.append(row)
                sums, passes = np.zeros(3), 0
                accelerator.log(row.model_dump(exclude={"step"}), step=step)
                watch.logged(row, steps)
            is_epochs_end = step % steps_an_epoch == 0
            if is_epochs_end and is_validated:
                progress = _validated(accelerator, learner, held_out, progress, step // steps_an_epoch, out, watch)
                learner.train()
            if is_epochs_end or step % settings.checkpoint_every == 0:
                progress = progress.model_copy(
                    update={
                        "history": tuple(history),
                        "sums": tuple(sums.tolist()),
                        "passes": passes,
                        "unreadable": tuple(sorted(set(gather_object(sorted(unreadable))))),
                        "seconds": time.monotonic() - started,
                    }
                )
                folder.save(accelerator, out, progress, centres, centre_optimizer)

    crops = None if held_out is None else held_out[1]
    metrics = folder.finish(
        accelerator, settings, out, samples, crops, learner, progress, base_difference, not_validated
    )
    accelerator.end_training()
    return metrics


def _check(settings: TrainSettings, world: int) -> None:
    """Refuse what would fail only after the data have been read, or after the training."""
    if settings.batch_size % world:
        raise ConfigError(f"batch_size {settings.batch_size} cannot be shared by {world} processes")
    if not settings.keeps_statistics and settings.batch_size == world:
        raise ConfigError(
            "batch_norm train: one picture per pass has no statistics", "raise {batch_size}, or use {batch_norm=frozen}"
        )
    if settings.tensorboard and not any(map(importlib.util.find_spec, ("tensorboard", "tensorboardX"))):
        raise ConfigError("tensorboard is not installed", "install it, or leave out {tensorboard}")
    export.pack_files(settings.pack)


def _refuse_inside(settings: TrainSettings, out: Path) -> None:
    """Refuse to write into a folder of people: the next training would take what lies there for somebody."""
    data = settings.data
    if not data.is_dir() or output_of(data, "folder") is not None or format_of_path(data) != "folder":
        return
    if out.resolve().is_relative_to(data.resolve()):
        raise ConfigError(
            f"{out}: lies in {data}, where each folder is somebody", "choose another {out}, outside of it"
        )


def _teacher(settings: TrainSettings, backbone: Backbone) -> Backbone | None:
    """The network whose embeddings are learnt: another one, the base as it is now, or none."""
    if not settings.distill_weight:
        return None
    if settings.teacher is None:
        # The frozen base shows where embeddings of unmasked pictures belong.
        return copy.deepcopy(backbone).requires_grad_(False)
    teacher = bases.load(settings.teacher).requires_grad_(False)
    theirs, ours = teacher.spec.embedding, backbone.spec.embedding
    if theirs != ours:
        raise ConfigError(
            f"teacher {settings.teacher}: its embeddings have {theirs} numbers, those of base {settings.base} {ours}",
            "choose a {base} of as many",
        )
    return teacher


def _held_out(
    accelerator: Any, collection: Collection, seed: int, workers: int, watch: Watch
) -> tuple[tuple[Pairs, Pictures] | None, bool]:
    """The people held out, in the first process alone, which validates; and whether there are any, in every process."""
    held_out = None
    if accelerator.is_main_process:
        held_out = data.validation(collection, seed, workers, watch.held_out)
    shared = [held_out is not None]
    if accelerator.num_processes > 1:
        broadcast_object_list(shared)
    return held_out, shared[0]


def _centres_norm(accelerator: Any, centres: Centres) -> float:
    """The norm of the gradients of all centres; this process's are first brought to their true scale."""
    if accelerator.scaler is not None and centres.weight.grad is not None:
        centres.weight.grad /= accelerator.scaler.get_scale()
    return math.sqrt(float(accelerator.reduce(squared_norm(centres))))


def _row(step: int, epoch: float, means: Float64Array, lr: float, norm: float, centres_norm: float) -> HistoryRow:
    loss, margin_loss, distance = means.tolist()
    # A step that fp16 left out has no norm, and JSON has no infinity.
    return HistoryRow(
        step=step,
        epoch=epoch,
        loss=loss,
        margin_loss=margin_loss,
        distance=distance,
        lr=lr,
        gradient_norm=norm if math.isfinite(norm) else None,
        centres_norm=centres_norm if math.isfinite(centres_norm) else None,
    )


def _validated(
    accelerator: Any,
    learner: Any,
    held_out: tuple[Pairs, Pictures] | None,
    progress: TrainState,
    epoch: int,
    out: Path,
    watch: Watch,
) -> TrainState:
    """The progress with a validation of this epoch added; the first process validates and keeps the best weights."""
    backbone = accelerator.unwrap_model(learner).backbone
    name = f"epoch {epoch}"
    shared: list[Validation | None] = [None]
    if accelerator.is_main_process:
        assert held_out is not None
        validation = Validation(epoch=epoch, reports=tuple(validate(backbone, *held_out, name, watch.validating)))
        shared = [validation]
        watch.validated(validation)
    if accelerator.num_processes > 1:
        broadcast_object_list(shared)
    assert shared[0] is not None
    progress = progress.model_copy(update={"validations": (*progress.validations, shared[0])})
    if accelerator.is_main_process and progress.best is shared[0]:
        export.write_pth(backbone, out / folder.CHECKPOINTS / folder.BEST)
    return progress


def validate(
    backbone: nn.Module,
    pairs: Pairs,
    pictures: Pictures,
    name: str,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ConditionReport]:
    """The figures of a backbone on people held out: unmasked, and with masked probes if there are any."""
    was_training = backbone.training
    conditions: tuple[Condition, ...] = ("none",) if pictures.masked is None else ("none", "probe")
    reports, curves = compare(name, embedded(pictures, bases.embed_with(backbone), on_progress), pairs, conditions)
    backbone.train(was_training)
    return with_roc(reports, curves)


def _not_finite(out: Path, what: str, step: int, batch: Any, samples: Samples, is_innocent: bool) -> MaskgenError:
    own = [] if is_innocent else [samples.name(entry) for entry in batch.used.tolist()]
    names = sorted(set(gather_object(own)))
    path = out / "not_finite.txt"
    files.write_whole(path, ("\n".join([f"# {what} at step {step}", *names]) + "\n").encode())
    return MaskgenError(
        f"the {what} is not a finite number at step {step}; the batch's {counted(len(names), 'file')}, such as "
        f"{', '.join(names[:3])}, are listed in {path}",
        "look at them, lower {lr}, or use {precision=bf16}",
    )
