"""``maskgen catalog remove``."""

from __future__ import annotations

from pathlib import Path

import click

from maskgen.catalog import edit
from maskgen.cli import catalogs, console


@click.command(cls=console.Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@catalogs.write_to
def remove(names: tuple[str, ...], catalog: Path) -> None:
    """Remove designs and their pictures from a catalog. If one of them is not there, none is removed."""
    edit.remove(catalog, names)
    console.answer(f"{catalog}: removed {', '.join(names)}")
