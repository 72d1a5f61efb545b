"""``maskgen catalog remove``."""

from __future__ import annotations

from pathlib import Path

import click

from maskgen.catalog import edit
from maskgen.catalog.store import user_catalog_dir
from maskgen.cli import console
from maskgen.cli.catalog import options


@click.command(cls=console.Command)
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@options.write_to
def remove(names: tuple[str, ...], catalog: Path | None) -> None:
    """Remove designs and their pictures from a catalog. If one of them is not there, none is removed."""
    root = catalog or user_catalog_dir()
    edit.remove(root, names)
    console.answer(f"{root}: removed {', '.join(names)}")
