"""``maskgen augment``: the main job."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, Final, get_args

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from maskgen import images, run
from maskgen.catalog.schema import Kind
from maskgen.cli.settings import setting
from maskgen.errors import MaskgenError
from maskgen.masking import wear
from maskgen.masking.augment import Faces

FAILED_INPUTS: Final = 3

DEMO_PHOTOGRAPHS: Final = (
    ("insightface", "data/images/t1.jpg"),
    ("insightface", "data/images/Tom_Hanks_54745.png"),
    ("skimage", "data/astronaut.png"),
)
"""(package, file in it): a group, an aligned 112x112 crop, and a portrait."""


class WearType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """Weights by name: ``correct=0.85,nose_out=0.15``."""

    name = "WEIGHTS"

    def convert(
        self, value: str | wear.WearShares, param: click.Parameter | None, ctx: click.Context | None
    ) -> wear.WearShares:
        """Shares that sum to 1."""
        if not isinstance(value, str):
            return value
        weights: dict[str, float] = {}
        for part in value.split(","):
            name, _, weight = (piece.strip() for piece in part.partition("="))
            if name in weights:
                self.fail(f"{name} is given twice", param, ctx)
            try:
                weights[name] = float(weight)
            except ValueError:
                self.fail(f"{part.strip()!r} is not of the form NAME=WEIGHT", param, ctx)
        try:
            return wear.shares(weights)
        except ValueError as error:
            self.fail(str(error), param, ctx)


_setting = partial(setting, run.Settings)


@click.command(short_help="Mask the faces in a folder of pictures.")
@click.argument("folders", nargs=-1, metavar="IN OUT", type=click.Path(path_type=Path))
@click.option(
    "--demo", is_flag=True, help="Mask the photographs that insightface and scikit-image ship; give OUT only."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes.  [default: one a core]")
@_setting("--seed", "seed", type=click.IntRange(min=0), help="The same seed gives the same files.")
@_setting("--variants", "variants", type=click.IntRange(min=1), help="Masked pictures of each input: name_m1, name_m2.")
@_setting("--originals", "originals", is_flag=True, help="Copy the input beside its masked pictures.")
@_setting("--copy-skipped", "copy_skipped", is_flag=True, help="Copy pictures on which no mask could be put.")
@_setting("--faces", "faces", type=click.Choice(get_args(Faces)), help="Who gets a mask (--demo: all).")
@_setting("--min-face", "min_face", type=click.FloatRange(min=0), metavar="PX", help="Leave smaller faces alone.")
@_setting(
    "--wear",
    "wear",
    type=WearType(),
    metavar="NAME=WEIGHT,...",
    show_default="correct=1",
    help=f"How masks are worn: {', '.join(wear.WEARS)}, and how often each.",
)
@_setting(
    "--recolor", "recolor", type=click.FloatRange(0, 1), metavar="SHARE", help="Share of the masks recoloured, 0 to 1."
)
@_setting(
    "--pattern-dir",
    "pattern_dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Pictures to lay on masks as patterns.",
)
@_setting(
    "--pattern-share",
    "pattern_share",
    type=click.FloatRange(0, 1),
    metavar="SHARE",
    help="Share of the masks that get a pattern of --pattern-dir, 0 to 1.",
)
@_setting("--aligned", "aligned", is_flag=True, help="The inputs are 112x112 ArcFace crops: no detector runs.")
@_setting("--model", "model", metavar="NAME|DIR", help="Model pack: see 'maskgen models list'.")
@_setting("--landmarks", "landmarks", type=click.Choice([68, 106]), help="Landmark scheme.")
@_setting("--device", "device", type=click.Choice(["cpu", "cuda"]), help="Where the networks run.")
@_setting(
    "--catalog",
    "catalog",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Mask catalog.  [default: the one that ships with maskgen]",
)
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(get_args(Kind)), help="Only masks of this kind; repeatable."
)
@click.option("--tag", "tags", multiple=True, help="Only masks with this tag; repeat for all of several.")
@click.option("--design", "designs", multiple=True, metavar="NAME", help="Only this design; repeatable.")
@_setting("--save-landmarks", "save_landmarks", is_flag=True, help="Write landmarks to the manifest.")
@_setting(
    "--quality",
    "quality",
    type=click.IntRange(1, 100),
    help="Of JPEG and WebP.  [default: as each input was encoded]",
)
@_setting(
    "--max-pixels",
    "max_pixels",
    type=click.IntRange(1, images.PILLOW_MAX_PIXELS),
    help="Refuse larger pictures.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Take only the first so many pictures.")
@click.option(
    "--resume", "existing", flag_value="resume", help="Go on with a former run; the default when there is one."
)
@click.option("--overwrite", "existing", flag_value="overwrite", help="Delete what a former run wrote and start anew.")
@click.option("--retry-failed", is_flag=True, help="Take the inputs again that failed in a former run.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--verbose", is_flag=True, help="Show where unexpected failures come from.")
@click.pass_context
def augment(
    ctx: click.Context,
    /,
    folders: tuple[Path, ...],
    demo: bool,
    workers: int | None,
    limit: int | None,
    existing: str | None,
    retry_failed: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    **settings: Any,
) -> None:
    """Put masks on the faces in IN and write the same tree of pictures to OUT.

    IN is never written to. OUT gets the masked pictures, manifest.jsonl with a row for every input, and run.json with
    the settings. A run that was stopped goes on when the same command is given again.
    """
    if verbose:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("maskgen").setLevel(logging.DEBUG)
    execution = run.Execution(workers, limit, existing or "auto", retry_failed)  # type: ignore[arg-type]
    with _source(ctx, folders, demo) as (source, target):
        if demo and ctx.get_parameter_source("faces") is not click.core.ParameterSource.COMMANDLINE:
            settings["faces"] = "all"
        name = "demo photographs" if demo else None
        job = run.Job(source, target, run.Settings(**settings), execution, name)
        if dry_run:
            _say_plan(run.prepare(job), as_json)
            return
        started = time.monotonic()
        summary = _run(ctx, job)
        _say_summary(summary, target, time.monotonic() - started, as_json)
    if summary.counts.failed:
        ctx.exit(FAILED_INPUTS)


@contextmanager
def _source(ctx: click.Context, folders: tuple[Path, ...], demo: bool) -> Iterator[tuple[Path, Path]]:
    if len(folders) != (1 if demo else 2):
        expected = "OUT alone with --demo" if demo else "IN and OUT"
        raise click.UsageError(f"expected {expected}, got {len(folders)} folder(s)", ctx)
    if not demo:
        yield folders[0], folders[1]
        return
    with tempfile.TemporaryDirectory(prefix="maskgen-demo-") as folder:
        for photograph in demo_photographs():
            shutil.copyfile(photograph, Path(folder, photograph.name))
        yield Path(folder), folders[0]


def demo_photographs() -> list[Path]:
    """The files of `DEMO_PHOTOGRAPHS`.

    Raises
    ------
    MaskgenError
        If a package or its photograph is not there.
    """
    paths = []
    for package, file in DEMO_PHOTOGRAPHS:
        # Found without importing the package: insightface takes seconds.
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise MaskgenError(f"--demo: package {package} is not installed; reinstall maskgen")
        path = Path(spec.origin).parent / file
        if not path.is_file():
            raise MaskgenError(f"--demo: {path} is missing; this version of {package} ships no such photograph")
        paths.append(path)
    return paths


def _run(ctx: click.Context, job: run.Job) -> run.Summary:
    progress = run.Progress(0)
    with _bar() as show, _sigterm_like_ctrl_c():

        def on_progress(now: run.Progress) -> None:
            nonlocal progress
            progress = now
            show(now)

        try:
            return run.run(job, on_progress)
        except KeyboardInterrupt:
            interrupted = True
    assert interrupted
    click.echo(
        f"interrupted: {progress.taken} of {progress.total} inputs recorded; the same command again goes on from there",
        err=True,
    )
    ctx.exit(130)


@contextmanager
def _bar() -> Iterator[Callable[[run.Progress], None]]:
    """A progress bar on stderr; nothing where that is not a terminal."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield lambda _: None
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]:.1f} pictures/s"),
        TextColumn("skipped {task.fields[skipped]:.1%}"),
        TextColumn("failed {task.fields[failed]:.1%}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=console) as bar:
        task = bar.add_task("", total=None, rate=0.0, skipped=0.0, failed=0.0)
        started = time.monotonic()

        def show(now: run.Progress) -> None:
            elapsed = max(time.monotonic() - started, 1e-9)
            share = 1 / max(now.taken, 1)
            bar.update(
                task,
                total=now.total,
                completed=now.taken,
                rate=now.taken / elapsed,
                skipped=now.skipped * share,
                failed=now.failed * share,
            )

        yield show


@contextmanager
def _sigterm_like_ctrl_c() -> Iterator[None]:
    """Batch schedulers stop a job with SIGTERM; it deserves the same clean end."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, former)


def _say_plan(plan: run.Plan, as_json: bool) -> None:
    numbers = {
        "pending": len(plan.pending),
        "without_work": len(plan.unfit),
        "settled": plan.settled,
        "left": plan.left,
    }
    if as_json:
        click.echo(json.dumps({"dry_run": True, **numbers}))
        return
    click.echo(f"would mask     {numbers['pending']} pictures")
    click.echo(f"no work        {numbers['without_work']} entries: {_reasons_of(plan.unfit)}")
    click.echo(f"settled before {numbers['settled']}")
    click.echo(f"left for later {numbers['left']}")


def _reasons_of(unfit: list[run.Unfit]) -> str:
    reasons = [entry.reason for entry in unfit]
    return ", ".join(f"{reason} {reasons.count(reason)}" for reason in sorted(set(reasons))) or "none"


def _say_summary(summary: run.Summary, target: Path, seconds: float, as_json: bool) -> None:
    counts = summary.counts
    if as_json:
        numbers = {
            "state": summary.record.state,
            "out": str(target),
            **counts.model_dump(),
            "taken": summary.progress.taken,
            "left": summary.left,
            "seconds": round(seconds, 3),
        }
        click.echo(json.dumps(numbers, ensure_ascii=False))
        return
    reasons = ", ".join(f"{reason} {number}" for reason, number in counts.reasons.items())
    click.echo(f"inputs   {counts.inputs}, {summary.progress.taken} of them now, {seconds:.1f} s")
    click.echo(f"done     {counts.done}: {counts.masked} masks on {counts.faces} faces")
    click.echo(f"skipped  {counts.skipped}")
    click.echo(f"failed   {counts.failed}")
    if reasons:
        click.echo(f"reasons  {reasons}")
    if summary.left:
        click.echo(f"left     {summary.left}, for a run without --limit")
    click.echo(f"written  {counts.files} pictures, manifest.jsonl and run.json to {target}")
