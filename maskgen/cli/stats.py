"""``maskgen stats``: what came of runs, in numbers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from maskgen.cli import console
from maskgen.plural import tally


@click.command(cls=console.Command, short_help="Count what runs did.")
@click.argument("outputs", nargs=-1, required=True, metavar="OUT...", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def stats(outputs: tuple[Path, ...], as_json: bool) -> None:
    """Count what is in the manifests of outputs: rows, reasons, how heads are turned, sizes of faces, masks."""
    from maskgen.run.stats import in_order, stats_of

    found = stats_of(outputs)
    if as_json:
        console.answer_json(asdict(found))
        return
    share = 100 * found.done / max(found.inputs, 1)
    rows = [
        ("inputs", str(found.inputs)),
        ("done", f"{found.done} ({share:.1f} %)"),
        ("skipped", str(found.skipped)),
        ("failed", str(found.failed)),
        ("reasons", tally(found.reasons)),
        ("people", str(found.identities)),
        ("faces", f"{found.faces}, masks {found.masked} in {console.counted(found.pictures, 'picture')}"),
    ]
    console.table(rows)
    for title, bars in (
        ("yaw, degrees", in_order(found.yaw_deg)),
        ("pitch, degrees", in_order(found.pitch_deg)),
        ("face, pixels", in_order(found.face_px)),
        ("worn", found.wears.most_common()),
        ("design", found.designs.most_common()),
    ):
        if bars:
            console.answer("")
            most = max(number for _, number in bars)
            console.table(
                [(name, str(number), "#" * round(40 * number / most)) for name, number in bars],
                header=(title, "masks", ""),
                right=(1,),
            )
