"""``maskgen train``: fine-tune a recognition network on originals and masked copies."""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, get_args

import click

from maskgen.cli import console
from maskgen.cli.aligned import aligned_said
from maskgen.cli.catalogs import read_from, say_masks
from maskgen.cli.extras import require_extra
from maskgen.cli.settings import setting
from maskgen.errors import ConfigError
from maskgen.packs.find import BUNDLED, INSTALLED, installed_packs
from maskgen.plural import tally
from maskgen.train.results import HistoryRow, Metrics, Validation
from maskgen.train.settings import MARGINS, Bits, Precision, TrainSettings, settings_of

if TYPE_CHECKING:
    from maskgen.train.loop import Watch

_NEEDED: Final = ("torch", "accelerate", "matplotlib")
_EVERY: Final = 5.0
"""Seconds between lines about steps."""
_BASES: Final = "FILE.onnx, FILE.pth, a pack, or scratch:r18|r34|r50|r100|mbf"


class _Margin(click.ParamType[Any]):
    name = "margin"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, ...]:
        if isinstance(value, tuple):
            return value
        if value in MARGINS:
            return MARGINS[value]
        try:
            numbers = tuple(float(part) for part in value.split(","))
        except ValueError:
            numbers = ()
        if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
            self.fail(f"{value!r}: expected {', '.join(MARGINS)}, or three numbers such as 1.0,0.5,0.0", param, ctx)
        return numbers


_setting = partial(setting, TrainSettings)


@click.command(cls=console.Command, short_help="Fine-tune a recognition network.")
@click.argument("data", required=False, type=click.Path(path_type=Path))
@click.option(
    "--base",
    metavar="BASE",
    help=f"{_BASES}.  [default: the pack in ~/.insightface/models that has a recogniser]",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for all that is written.  [default: runs/ and the name of BASE]",
)
@_setting(
    "--original",
    "original",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where the originals lie, in any format.  [default: beside the masked copies, or where augment read them]",
)
@_setting(
    "--aligned/--photographs",
    "aligned",
    help="Whether pictures are 112x112 ArcFace crops.  [default: as the output of augment says, else by their sizes]",
)
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in OUT, if there is one.")
@_setting("--margin", "margin", type=_Margin(), help="arcface, cosface, none, or m1,m2,m3.")
@_setting(
    "--masked-margin", "masked_margin", type=float, metavar="M", help="How much larger m3 is where a mask is worn."
)
@_setting("--scale", "scale", type=float, metavar="S", help="What cosines are multiplied by.")
@_setting("--sample-rate", "sample_rate", type=float, help="Share of the identities in each softmax.")
@_setting("--min-pictures", "min_pictures", type=int, help="Leave out identities with fewer originals.")
@_setting("--holdout", "holdout", type=float, help="Share of the identities to validate on.")
@_setting(
    "--mask-prob",
    "mask_prob",
    type=float,
    metavar="P",
    help="Mask originals with this probability while loading, instead of using masked copies.",
)
@_setting(
    "--mask-share",
    "mask_share",
    type=float,
    metavar="P",
    help="Share of masked copies among the pictures of originals that have one.  [default: one to one]",
)
@read_from("Masks for --mask-prob, of this catalog")
@_setting("--model", "model", metavar="NAME|DIR", help="Pack that finds faces where DATA does not give them.")
@_setting(
    "--faces",
    "faces",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="CACHE",
    help="Observed faces, as 'maskgen faces' keeps them; what lacks is added.  [default: in OUT]",
)
@_setting(
    "--teacher",
    "teacher",
    metavar="BASE",
    help="Network whose embeddings are learnt.  [default: the base as it is, from scratch nobody]",
)
@_setting(
    "--distill",
    "distill",
    type=float,
    metavar="W",
    help="Weight of the distance to the teacher.  [default: 10; from scratch 100, without a teacher 0]",
)
@_setting(
    "--lr", "lr", type=float, help="Highest learning rate.  [default: 0.03, from scratch 0.1; AdamW 0.0001 and 0.001]"
)
@_setting("--warmup", "warmup", type=float, help="Share of the steps in which the learning rate rises.")
@_setting("--epochs", "epochs", type=int, help="Rounds through the data.")
@_setting("--batch-size", "batch_size", type=int, help="Pictures per pass, over all processes.")
@_setting("--accumulate", "accumulate", type=int, help="Passes per step of the optimizer.")
@_setting(
    "--precision",
    "precision",
    type=click.Choice(get_args(Precision)),
    help="Precision of the backbone.  [default: bf16 on a GPU, fp32 on a CPU]",
)
@_setting(
    "--batch-norm",
    "batch_norm",
    type=click.Choice(["frozen", "train"]),
    help="Keep the statistics of the base, or learn new ones.  [default: frozen, from scratch train]",
)
@_setting(
    "--freeze",
    "freeze",
    multiple=True,
    metavar="NAME",
    help="Do not train parameters whose names begin so; repeatable.",
)
@_setting("--optimizer", "optimizer", type=click.Choice(["sgd", "adamw"]), help="What makes steps of gradients.")
@_setting("--momentum", "momentum", type=float, help="Momentum of SGD.")
@_setting(
    "--weight-decay",
    "weight_decay",
    type=float,
    help="Weight decay, for weights but not for norms.  [default: 0.0005, with AdamW 0.1]",
)
@_setting("--clip", "clip", type=float, help="The gradient of the backbone is clipped to this norm.")
@_setting("--flip/--no-flip", "flip", help="Mirror half of the pictures.")
@_setting("--seed", "seed", type=int, help="The same seed gives the same training.")
@_setting("--workers", "workers", type=int, help="Processes that load pictures.  [default: one per core]")
@_setting("--device", "device", type=click.Choice(["auto", "cpu", "cuda"]), help="Where to train.")
@_setting(
    "--checkpoint-every",
    "checkpoint_every",
    type=int,
    metavar="STEPS",
    help="Steps between checkpoints; there is one after every epoch anyway.",
)
@_setting("--log-every", "log_every", type=int, metavar="STEPS", help="Steps between rows of the history.")
@_setting("--pack", "pack", metavar="NAME|DIR", help="OUT/pack is this pack with its recogniser replaced.")
@_setting(
    "--also",
    "also",
    multiple=True,
    type=click.Choice(get_args(Bits)),
    help="Also write the model in fp16 or int8, if its embeddings stay the same; repeatable.",
)
@_setting("--tensorboard", "tensorboard", is_flag=True, help="Also write files for TensorBoard.")
@console.quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON.")
def train(data: Path | None, base: str | None, out: Path | None, resume: bool, as_json: bool, **values: Any) -> None:
    """Fine-tune the recognition network BASE on DATA, so that it knows people with masks.

    DATA is an output of 'maskgen augment', by default that in the current folder, or a dataset that says who is on its
    pictures: a folder with one folder per identity or a metadata.jsonl, a train.rec, shards of tar. Nothing is
    unpacked. OUT gets model.onnx, backbone.pth, a model pack, metrics.json, curves.png and checkpoints. On several
    GPUs: torchrun -m maskgen train. More: 'maskgen help training'.
    """
    require_extra("maskgen train", "train", _NEEDED)
    from maskgen.train.loop import train as learn

    data, base = data or _data_here(), base or _fetched_base()
    out = out or Path("runs", _name_of(base))
    if _is_first_process():
        console.tell(f"train      {data} from {base}; output {out}")
    settings = settings_of({"data": data, "base": base, **values})
    with contextlib.ExitStack() as bars:
        metrics = learn(settings, out, resume, _watch(bars, settings.batch_size * settings.accumulate))
    if _is_first_process():
        _say(metrics, out, as_json)


def _data_here() -> Path:
    """The current folder, if it holds what 'maskgen augment' wrote."""
    from maskgen.manifest import RUN_FILE

    here = Path()
    if not (here / RUN_FILE).is_file():
        raise click.UsageError(
            f"Missing argument 'DATA': the current folder holds no {RUN_FILE} of 'maskgen augment'. Name the data, or "
            "go to the folder."
        )
    return here


def _fetched_base() -> str:
    """The one pack in ~/.insightface/models with a recogniser."""
    from maskgen.evaluate.embed import recogniser_of

    packs = [pack.name for pack in installed_packs() if pack.name != BUNDLED and recogniser_of(pack.path) is not None]
    if len(packs) == 1:
        return packs[0]
    found = f"{INSTALLED} has {', '.join(packs)}" if packs else f"no pack in {INSTALLED} has a recogniser"
    fetch = "" if packs else "; 'maskgen models fetch buffalo_l' gets a pack"
    raise ConfigError(f"no base to start from: {found}", f"set {{base}} to {_BASES}{fetch}")


def _name_of(base: str) -> str:
    """What a folder for trainings of a base is called."""
    from maskgen.evaluate.embed import STATE_SUFFIXES

    if base.startswith("scratch:"):
        return base.replace(":", "-")
    path = Path(base).expanduser().resolve()
    return path.stem if path.suffix in (".onnx", *STATE_SUFFIXES) else path.name


def _is_first_process() -> bool:
    # torchrun numbers the processes it starts.
    return os.environ.get("RANK", "0") == "0"


class _Steps:
    """A line about the training every few seconds: where it is, how fast, and how long it still takes.

    Parameters
    ----------
    pictures : int
        Per step.
    clock : callable
        Gives seconds.
    """

    def __init__(self, pictures: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._pictures, self._clock = pictures, clock
        self._said_at = self._began_at = clock()
        self._said = self._began = -1  # steps

    def begin(self) -> None:
        """The next step is the first of this run, which may go on with another one."""
        self._said_at = self._began_at = self._clock()

    def show(self, row: HistoryRow, steps: int) -> None:
        """Tell of a step, if the last line is old enough or there is no other step."""
        now = self._clock()
        if self._began < 0:
            self._said = self._began = row.step - 1
        if now - self._said_at < _EVERY and row.step < steps:
            return
        rate = (row.step - self._said) * self._pictures / max(now - self._said_at, 1e-9)
        left = (steps - row.step) * (now - self._began_at) / (row.step - self._began)
        self._said, self._said_at = row.step, now
        console.tell(
            f"step       {row.step}/{steps}  epoch {row.epoch:.2f}  loss {row.loss:.4f}  margin {row.margin_loss:.4f}  "
            f"distance {row.distance:.4f}  lr {row.lr:.2g}  gradient {row.gradient_norm or 0:.2f}  "
            f"{rate:.1f} pictures/s  {console.duration(left)} left",
        )


def _watch(bars: contextlib.ExitStack, pictures: int) -> Watch:
    from maskgen.train.loop import Watch

    shown = dict[str, Callable[[console.Advance], None]]()
    steps_of = _Steps(pictures)

    def advance(what: str, done: int, total: int) -> None:
        if what not in shown:
            shown[what] = bars.enter_context(console.progress(what))
        shown[what](console.Advance(done, total))
        if done >= total:  # what comes once more is another bar
            del shown[what]

    def collected(collection: Any) -> None:
        console.tell(
            f"data       {console.counted(len(collection.identities), 'identity', 'identities')} "
            f"({collection.singles} with one picture), "
            f"{console.counted(len(collection.people), 'original')}, "
            f"{console.counted(len(collection.entries), 'picture')} per epoch; left out: {tally(collection.left_out)}",
        )
        if without := collection.left_out.get("no_original", 0):
            console.note(
                f"left out   {console.counted(without, 'picture')} whose originals are not there; 'maskgen augment "
                "--originals --copy-skipped' writes all of them, --original says where else they are"
            )
        if collection.mask_prob is None and not collection.people.copies.any():
            console.note("masks      none: there are no masked copies in these data, and no --mask-prob is given")
        console.tell(f"aligned    {aligned_said(collection.cropper.is_aligned, collection.aligned_by)}")
        if collection.cropper.catalog is not None:
            say_masks(collection.cropper.catalog)

    def began(done: int, steps: int, hardware: str) -> None:
        console.tell(f"hardware   {hardware}")
        console.tell(f"steps      {steps}" + f", goes on after step {done}" * (done > 0))
        steps_of.begin()

    def validated(validation: Validation) -> None:
        said = ", ".join(f"{report.condition} {report.figures.auc:.4f}" for report in validation.reports)
        console.tell(f"validation epoch {validation.epoch}  AUC by mask: {said}")

    return Watch(
        searched=partial(advance, "faces"),
        warned=console.note,
        collected=collected,
        held_out=partial(advance, "pictures held out"),
        placed=partial(advance, "pictures for centres"),
        began=began,
        stepped=steps_of.show,
        validating=partial(advance, "pictures validated on"),
        validated=validated,
    )


def _say(metrics: Metrics, out: Path, as_json: bool) -> None:
    if as_json:
        console.answer_json(metrics.model_dump(mode="json"))
        return
    unreadable = console.counted(metrics.unreadable, "picture")
    best = "last" if metrics.best_epoch is None else f"epoch {metrics.best_epoch}"
    rows = [
        ("steps", f"{metrics.steps}, {metrics.seconds:.0f} s, {metrics.pictures_per_second:.1f} pictures/s"),
        ("unreadable", f"{unreadable}, others were taken instead" if metrics.unreadable else "none"),
        ("best", best),
    ]
    if metrics.not_validated is not None:
        rows.append(("held out", f"nobody: {metrics.not_validated}"))
    for before, after in zip(metrics.before, metrics.after, strict=False):
        figures = after.figures
        rows.append(
            (
                "held out",
                f"mask {after.condition:5}  AUC {before.figures.auc:.4f} -> {figures.auc:.4f}  "
                f"EER {before.figures.eer:.4f} -> {figures.eer:.4f}  "
                f"({figures.genuine} genuine, {figures.impostor} impostor pairs)",
            )
        )
    for variant in metrics.variants:
        cosine = f"cosine to model.onnx on {console.counted(variant.pictures, 'picture')}: "
        cosine += f"mean {variant.mean_cosine:.5f}, least {variant.min_cosine:.5f}"
        is_same = f"{variant.file}, {variant.size / 1e6:.1f} MB; {cosine}"
        rows.append((variant.bits, is_same if variant.file else f"not written, the embeddings are others; {cosine}"))
    files = f"model.onnx (differs by {metrics.export_difference:.1e}), backbone.pth, pack/, metrics.json, MODEL_CARD.md"
    rows.append(("written", f"{out}: {files}"))
    console.table(rows)
