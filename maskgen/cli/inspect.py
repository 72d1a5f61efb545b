"""``maskgen inspect``: what a dataset is."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import get_args

import click

from maskgen import formats
from maskgen.cli import console
from maskgen.names import some_of
from maskgen.plural import tally


@click.command(cls=console.Command, short_help="Say what a dataset is and what is in it.")
@click.argument("path", metavar="PATH", type=click.Path(path_type=Path))
@click.option("--in-format", type=click.Choice(get_args(formats.Format)), help="What it is.  [default: by the path]")
@click.option("--sample", type=click.IntRange(min=0), default=200, show_default=True, help="Pictures to decode.")
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON.")
def inspect(path: Path, in_format: formats.Format | None, sample: int, as_json: bool) -> None:
    """Say what the dataset at PATH is: format, pictures, people, sizes, whether they are aligned, first faults."""
    from maskgen.run.inspect import inspect as look

    found = look(path, in_format, sample)
    if as_json:
        sizes = {f"{width}x{height}": number for (width, height), number in found.sizes.items()}
        console.answer_json({**asdict(found), "sizes": sizes})
        return
    shown = (f"{width}x{height} {number}" for (width, height), number in found.sizes.items())
    rows = [
        ("format", found.format),
        ("pictures", str(found.pictures)),
        ("identities", str(found.identities)),
        ("sizes", f"{some_of(shown, 5, 'other sizes')} (of {console.counted(found.looked_at, 'picture')} looked at)"),
        ("kinds", ", ".join(f"{kind} {number}" for kind, number in found.kinds.items())),
        ("aligned", "yes: 112x112" if found.is_aligned else "no"),
    ]
    if found.pairs:
        rows.insert(2, ("pairs", str(found.pairs)))
    if found.told:
        told = found.told
        people = console.counted(told.identities, "identity", "identities")
        rows.append(("property", f"{people}, pictures of {told.width}x{told.height}"))
    if found.reasons:
        rows.append(("others", tally(found.reasons)))
    rows += [("fault", fault) for fault in found.faults]
    console.table(rows)
