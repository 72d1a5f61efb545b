"""``maskgen merge``: outputs to one."""

from __future__ import annotations

from pathlib import Path

import click

from maskgen.cli import console
from maskgen.cli.running import masks_on_faces


@click.command(cls=console.Command, short_help="Bring outputs together.")
@click.argument("outputs", nargs=-1, required=True, metavar="OUT...", type=click.Path(path_type=Path))
@click.option("-o", "--output", "target", type=click.Path(path_type=Path), metavar="OUT", help="A new output for all.")
@console.quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@click.pass_context
def merge(ctx: click.Context, /, outputs: tuple[Path, ...], target: Path | None, as_json: bool) -> None:
    """Put together what the shards of a run wrote to OUT, or join several outputs to a new one with -o.

    The last shard of a run puts its output together by itself. This does it by hand, where a shard will not come; a
    later run does what is left. Outputs that are joined must have been made with the same settings; they stay as they
    are.
    """
    from maskgen.run.merge import finish, join

    if target is None and len(outputs) > 1:
        raise click.UsageError("several outputs are joined to a new one: name it with -o", ctx)
    with console.progress("rows") as show:
        record = (
            finish(outputs[0])
            if target is None
            else join(outputs, target, lambda number: show(console.Advance(number, None)))
        )
    counts = record.counts
    assert counts is not None
    if as_json:
        console.answer_json({"state": record.state, "out": str(target or outputs[0]), **counts.model_dump()})
    else:
        rows = [
            ("inputs", str(counts.inputs)),
            ("done", f"{counts.done}: {masks_on_faces(counts)}"),
            ("skipped", str(counts.skipped)),
            ("failed", str(counts.failed)),
            ("written", f"{console.counted(counts.files, 'picture')} to {target or outputs[0]}"),
        ]
        if record.state == "limited":
            rows.append(("left", "some inputs may have no row yet: the command that made this does what is left"))
        console.table(rows)
    if counts.failed:
        ctx.exit(console.FAILED_INPUTS)
