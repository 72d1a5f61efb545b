"""``maskgen faces``: look at the faces of a dataset, once, for training, evaluation and transforms."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import click

from maskgen import formats
from maskgen.cli import console
from maskgen.cli.aligned import aligned_said
from maskgen.plural import tally

if TYPE_CHECKING:
    from maskgen.recognition.faces import Progress


@click.command(cls=console.Command, short_help="Look at the faces of a dataset, for training and transforms.")
@click.argument("data", metavar="DATA", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    "faces",
    required=True,
    metavar="CACHE",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for what is seen; pictures that are in it already are not looked at again.",
)
@click.option("--in-format", type=click.Choice(get_args(formats.Format)), help="What DATA is.  [default: by the path]")
@click.option(
    "--aligned/--photographs",
    "aligned",
    default=None,
    help="Whether pictures are 112x112 ArcFace crops.  [default: as the output of augment says, else by their sizes]",
)
@click.option("--model", default="bundled", show_default=True, metavar="NAME|DIR", help="Pack that finds the faces.")
@click.option("--workers", type=click.IntRange(min=1), help="Number of processes.  [default: one per core]")
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@click.pass_context
def look(
    ctx: click.Context,
    /,
    data: Path,
    faces: Path,
    in_format: formats.Format | None,
    aligned: bool | None,
    model: str,
    workers: int | None,
    as_json: bool,
) -> None:
    """Look at the faces of DATA, a dataset of any format, and keep what is seen in CACHE.

    'maskgen train --faces CACHE', 'maskgen eval --faces CACHE' and maskgen.RandomMask then mask its pictures without
    running a network. The same command again looks only at what is new or has changed. More: 'maskgen help faces'.
    """
    from maskgen.datasets.dataset import open_dataset
    from maskgen.detect import DetectorSpec
    from maskgen.parallel import LocalExecutor
    from maskgen.recognition.faces import Progress, faces_of

    dataset = open_dataset(data, in_format, aligned)
    console.note(f"aligned    {aligned_said(dataset.is_aligned, dataset.aligned_by)}")
    detectors = DetectorSpec(model, aligned=dataset.is_aligned)
    started, now = time.monotonic(), Progress(0, 0)
    with console.progress("faces") as show:

        def on_progress(progress: Progress) -> None:
            nonlocal now
            now = progress
            show(console.Advance(progress.done, progress.total, failed=progress.failed))

        try:
            cache = faces_of(
                dataset, faces, detectors, LocalExecutor(workers), on_progress=on_progress, on_fault=console.note
            )
        except KeyboardInterrupt:
            cache = None
    if cache is None:
        kept = f"{now.done} of {console.counted(now.total, 'picture')} kept"
        console.note(f"interrupted: {kept}; the same command again goes on from there")
        ctx.exit(console.INTERRUPTED)
    reasons = Counter(dataset.left_out)
    found = cache.reasons(dataset.names)
    reasons.update(reason for reason in found if reason is not None)
    number = cache.count(dataset.names)
    failed = sum(reason not in (None, "no_face") for reason in found)
    if as_json:
        seconds = round(time.monotonic() - started, 3)
        counts = {"pictures": len(found), "looked_at": now.done, "faces": number, "failed": failed}
        console.answer_json({"out": str(faces), **counts, "reasons": dict(+reasons), "seconds": seconds})
    else:
        rows = [
            ("pictures", f"{len(found)}, {now.done} of them looked at now, {time.monotonic() - started:.1f} s"),
            ("faces", f"{number} on {console.counted(found.count(None), 'picture')}"),
        ]
        if +reasons:
            rows.append(("others", tally(reasons)))
        rows.append(("written", f"{faces}: {console.counted(len(cache), 'picture')} in all"))
        console.table(rows)
    if failed:
        ctx.exit(console.FAILED_INPUTS)
