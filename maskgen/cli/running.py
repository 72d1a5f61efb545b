"""What the commands that work through a dataset share: progress, Ctrl-C, the summary."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from maskgen import formats, manifest, run
from maskgen.cli import console
from maskgen.cli.extras import require_extra
from maskgen.datasets.finals import home_beside
from maskgen.errors import ConfigError
from maskgen.plural import tally
from maskgen.run.settings import CLUSTER, scheduler_of

C = TypeVar("C", bound=Callable[..., Any])


class ShardType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """``i/n``, or ``slurm``: the task of a Slurm job array that this is."""

    name = "I/N"

    def convert(self, value: str | run.Share, param: click.Parameter | None, ctx: click.Context | None) -> run.Share:
        """The share."""
        if not isinstance(value, str):
            return value
        if value == "slurm":
            return self._of_slurm(param, ctx)
        match = re.fullmatch(r"(\d{1,9})/(\d{1,9})", value)
        if match is None or not int(match[1]) < int(match[2]):
            self.fail(f"{value!r} is not I/N with I from 0 to N-1, nor 'slurm'", param, ctx)
        return run.Share(int(match[1]), int(match[2]))

    def _of_slurm(self, param: click.Parameter | None, ctx: click.Context | None) -> run.Share:
        names = [f"SLURM_ARRAY_TASK_{what}" for what in ("ID", "COUNT", "MIN", "STEP")]
        given = [os.environ.get(name, "1" if name.endswith("STEP") else "") for name in names]
        if not all(text.isdecimal() for text in given):
            self.fail(f"not a task of a Slurm job array: {', '.join(names[:3])} are not set to numbers", param, ctx)
        task, count, lowest, step = map(int, given)
        index, rest = divmod(task - lowest, max(step, 1))
        if rest or not 0 <= index < count:
            self.fail(f"task {task} of {count}, from {lowest}: number the array in steps, as --array=0-3", param, ctx)
        return run.Share(index, count)


def refuse_whole(ctx: click.Context, shard: run.Share | None, given: Mapping[str, bool]) -> None:
    """Raise a usage error for options that concern all of an output, in a process that does a share of it."""
    for option, is_given in given.items():
        if shard is not None and is_given:
            raise click.UsageError(f"{option} concerns the whole output: use it without --shard", ctx)


class ClusterType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """A cluster by its scheduler: ``dask://host:port``."""

    name = CLUSTER

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The same, if it is one."""
        try:
            scheduler_of(value)
        except ConfigError as error:
            self.fail(str(error), param, ctx)
        return value


def where_options(command: C) -> C:
    """The options that say where work is done."""
    for option in (
        click.option(
            "--cluster",
            type=ClusterType(),
            metavar=CLUSTER,
            help="Work on a Dask cluster: 'maskgen help clusters'.",
        ),
        click.option(
            "--shard",
            type=ShardType(),
            help="Do the share I, from 0, of N; start a process per share with one OUT. 'slurm': that of the array.",
        ),
        click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [default: one per core]"),
    ):
        command = option(command)
    return command


def check_where(ctx: click.Context, workers: int | None, cluster: str | None) -> None:
    """Refuse a cluster beside a number of processes, or without the package that it needs."""
    if cluster is None:
        return
    if workers is not None:
        raise click.UsageError("--cluster has its workers already: leave out --workers", ctx)
    require_extra(f"maskgen {ctx.info_name} --cluster", "dask", ("distributed",))


def carried_out(
    ctx: click.Context, job: run.Job, on_masks: Callable[[run.Masks], None] = lambda _: None
) -> run.Summary:
    """Carry out a job; Ctrl-C ends the command with a line on how to go on. `on_masks` as in `maskgen.run.run`."""
    console.show_log(logging.WARNING)
    recorded = run.Progress(0)
    with console.progress("pictures") as show:

        def on_progress(now: run.Progress) -> None:
            nonlocal recorded
            recorded = now
            show(console.Advance(now.taken, now.total, now.skipped, now.failed))

        try:
            return run.run(job, on_progress, on_masks=on_masks)
        except KeyboardInterrupt:
            interrupted = True
    assert interrupted
    console.note(
        f"interrupted: {recorded.taken} of {'an unknown number of' if recorded.total is None else recorded.total} "
        f"{console.noun(recorded.total or 0, 'input')} recorded; "
        "the same command again goes on from there"
    )
    ctx.exit(console.INTERRUPTED)


def say_summary(summary: run.Summary, target: Path, seconds: float, as_json: bool) -> None:
    """Print what a run came to."""
    if summary.shares is not None:
        _say_share(summary, summary.shares, target, as_json)
        return
    counts = summary.counts
    if as_json:
        console.answer_json(
            {
                "state": summary.record.state,
                "out": str(target),
                **counts.model_dump(),
                "taken": summary.progress.taken,
                "left": summary.left,
                "vanished": summary.vanished,
                "seconds": round(seconds, 3),
            }
        )
        return
    rows = [
        ("inputs", f"{counts.inputs}, {summary.progress.taken} of them now, {seconds:.1f} s"),
        ("done", f"{counts.done}: {masks_on_faces(counts)}"),
        ("skipped", str(counts.skipped)),
        ("failed", str(counts.failed)),
    ]
    if counts.reasons:
        rows.append(("reasons", tally(counts.reasons)))
    if summary.left:
        rows.append(("left", f"{summary.left}, for a run without --limit"))
    if summary.vanished:
        gone = console.counted(summary.vanished, "input")
        rows.append(("gone", f"{gone}; their rows and pictures stay, --prune drops them"))
    rows.append(("written", f"{console.counted(counts.files, 'picture')}{_to(target)}"))
    console.table(rows)


def masks_on_faces(counts: manifest.Counts) -> str:
    """How many masks are on how many faces."""
    return f"{console.counted(counts.masked, 'mask')} on {console.counted(counts.faces, 'face')}"


def _say_share(summary: run.Summary, shares: run.Shares, target: Path, as_json: bool) -> None:
    progress = summary.progress
    if as_json:
        numbers = {"taken": progress.taken, "done": progress.done, "skipped": progress.skipped}
        numbers |= {"failed": progress.failed, "shards_done": shares.done, "shards": shares.of}
        console.answer_json({"state": "running", "out": str(target), **numbers})
        return
    console.table(
        [
            (
                "this shard",
                f"{console.counted(progress.taken, 'input')} now: {progress.done} done, {progress.skipped} skipped, "
                f"{progress.failed} failed",
            ),
            ("shards", f"{shares.done} of {shares.of} done; the last one puts {target} together"),
        ]
    )


def _to(target: Path) -> str:
    if target.is_dir():
        return f", manifest.jsonl and run.json to {target}"
    if formats.format_of(target.name):
        return f" to {target}"
    return f" to {target}, manifest.jsonl and run.json to {home_beside(target)}"
