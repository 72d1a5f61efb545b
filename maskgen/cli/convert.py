"""``maskgen convert``: a dataset in another format, without masks."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import Any, get_args

import click

from maskgen import formats, run
from maskgen.cli import console
from maskgen.cli.running import carried_out, check_where, refuse_whole, say_summary, where_options
from maskgen.cli.settings import setting

_setting = partial(setting, run.AugmentSettings)


@click.command(cls=console.Command, short_help="Bring a dataset into another format; no masks.")
@click.argument("source", metavar="IN", type=click.Path(path_type=Path))
@click.argument("target", metavar="OUT", type=click.Path(path_type=Path))
@_setting("--in-format", "in_format", type=click.Choice(get_args(formats.Format)), help="What IN is.")
@_setting("--out-format", "out_format", type=click.Choice(get_args(formats.Format)), help="What OUT is to be.")
@click.option(
    "--root",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="IN is a list of pairs, which counts its paths from here.",
)
@_setting("--align", "align", type=click.Choice([112]), help="Write 112x112 crops as ArcFace takes them.")
@_setting("--shard-size", "shard_size", type=click.IntRange(min=1), help="Samples per tar file.")
@_setting("--model", "model", metavar="NAME|DIR", help="Model pack that finds faces for --align.")
@_setting("--quality", "quality", type=click.IntRange(1, 100), help="Of the crops.  [default: as each was encoded]")
@_setting("--max-pixels", "max_pixels", type=click.IntRange(1, formats.PILLOW_MAX_PIXELS), help="Refuse larger ones.")
@_setting("--truncated", "truncated", type=click.Choice(get_args(formats.Truncated)), help="If a picture is cut short.")
@where_options
@click.option("--overwrite", "existing", flag_value="overwrite", help="Delete what a former run wrote and start anew.")
@click.option("--retry-failed", is_flag=True, help="Also try inputs again that failed in a former run.")
@console.quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.pass_context
def convert(
    ctx: click.Context,
    /,
    source: Path,
    target: Path,
    root: Path | None,
    workers: int | None,
    shard: run.Share | None,
    cluster: str | None,
    existing: str | None,
    retry_failed: bool,
    as_json: bool,
    **settings: Any,
) -> None:
    """Bring the dataset IN into the format of OUT, picture by picture; with --align as crops.

    The pictures' bytes stay as they are, unless they are cropped. 'maskgen help formats' lists the formats.
    """
    check_where(ctx, workers, cluster)
    refuse_whole(ctx, shard, {"--overwrite": existing == "overwrite"})
    execution = run.Execution(workers, None, existing or "auto", retry_failed, shard=shard, cluster=cluster)  # type: ignore[arg-type]
    if settings["align"]:
        settings["faces"] = "central"
    job = run.Job(source, target, run.AugmentSettings(masks=False, **settings), execution, root=root)
    started = time.monotonic()
    summary = carried_out(ctx, job)
    say_summary(summary, target, time.monotonic() - started, as_json)
    if summary.progress.failed or (summary.shares is None and summary.counts.failed):
        ctx.exit(console.FAILED_INPUTS)
