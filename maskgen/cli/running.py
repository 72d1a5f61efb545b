"""What the commands that work through a dataset share: progress, Ctrl-C, the summary."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click

from maskgen import formats, run
from maskgen.cli import console
from maskgen.cli.extras import require_extra
from maskgen.errors import ConfigError
from maskgen.run.settings import CLUSTER, scheduler_of

C = TypeVar("C", bound=Callable[..., Any])


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


def carried_out(ctx: click.Context, job: run.Job) -> run.Summary:
    """Carry out a job; Ctrl-C ends the command with a line on how to go on."""
    console.show_log(logging.WARNING)
    recorded = run.Progress(0)
    with console.progress() as show:

        def on_progress(now: run.Progress) -> None:
            nonlocal recorded
            recorded = now
            show(console.Advance(now.taken, now.total, now.skipped, now.failed))

        try:
            return run.run(job, on_progress)
        except KeyboardInterrupt:
            interrupted = True
    assert interrupted
    console.note(
        f"interrupted: {recorded.taken} of {recorded.total} inputs recorded; the same command again goes on from there"
    )
    ctx.exit(console.INTERRUPTED)


def say_summary(summary: run.Summary, target: Path, seconds: float, as_json: bool) -> None:
    """Print what a run came to."""
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
        ("done", f"{counts.done}: {console.counted(counts.masked, 'mask')} on {console.counted(counts.faces, 'face')}"),
        ("skipped", str(counts.skipped)),
        ("failed", str(counts.failed)),
    ]
    if counts.reasons:
        rows.append(("reasons", listed(counts.reasons)))
    if summary.left:
        rows.append(("left", f"{summary.left}, for a run without --limit"))
    if summary.vanished:
        rows.append(("gone", f"{summary.vanished} inputs; their rows and pictures stay, --prune drops them"))
    beside = "" if formats.format_of(target.name) and not target.is_dir() else ", manifest.jsonl and run.json"
    rows.append(("written", f"{console.counted(counts.files, 'picture')}{beside} to {target}"))
    console.table(rows)


def listed(reasons: Mapping[str, int]) -> str:
    """Reasons and how often, in a line."""
    return ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items())) or "none"
