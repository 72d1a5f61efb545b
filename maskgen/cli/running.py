"""What the commands that work through a dataset share: progress, Ctrl-C, the summary."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import click

from maskgen import formats, run
from maskgen.cli import console
from maskgen.datasets.finals import home_beside


def carried_out(ctx: click.Context, job: run.Job) -> run.Summary:
    """Carry out a job; Ctrl-C ends the command with a line on how to go on."""
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
    rows.append(("written", f"{console.counted(counts.files, 'picture')}{_to(target)}"))
    console.table(rows)


def _to(target: Path) -> str:
    if target.is_dir():
        return f", manifest.jsonl and run.json to {target}"
    if formats.format_of(target.name):
        return f" to {target}"
    return f" to {target}, manifest.jsonl and run.json to {home_beside(target)}"


def listed(reasons: Mapping[str, int]) -> str:
    """Reasons and how often, in a line."""
    return ", ".join(f"{reason} {number}" for reason, number in sorted(reasons.items())) or "none"
