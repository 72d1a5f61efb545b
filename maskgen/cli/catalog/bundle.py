"""``maskgen catalog export`` and ``import``."""

from __future__ import annotations

from pathlib import Path

import click

from maskgen import files
from maskgen.catalog import bundle, edit
from maskgen.catalog.store import Catalog, user_catalog_dir
from maskgen.cli import console
from maskgen.cli.catalog import options
from maskgen.errors import CatalogError


@click.command(cls=console.Command)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("names", nargs=-1, metavar="[NAME...]")
@options.read_from
@options.kinds
@options.tags
@options.overwriting
def export(
    out: Path,
    names: tuple[str, ...],
    catalog: Path | None,
    kinds: tuple[str, ...],
    tags: tuple[str, ...],
    existing: files.Existing,
) -> None:
    """Write the designs of a catalog, or only those named, to the zip file OUT."""
    chosen = Catalog.load(catalog).select(kinds, tags, names)
    if missing := sorted(set(names) - {design.entry.name for design in chosen.designs}):
        raise CatalogError(f"{chosen.root}: no design {', '.join(map(repr, missing))}")
    bundle.export(chosen, out, existing)
    console.answer(f"written  {out}: {console.counted(len(chosen.designs), 'design')}")


@click.command("import", cls=console.Command)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="ZIP")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@options.write_to
@options.replacing
@options.renaming
def import_(file: Path, names: tuple[str, ...], catalog: Path | None, on_clash: edit.OnClash | None) -> None:
    """Add the designs in a ZIP file that 'export' wrote, or only those named, to a catalog.

    The file is not trusted: names, sizes, schema, hashes and pictures are checked before anything is written.
    """
    root = catalog or user_catalog_dir()
    added = bundle.import_(file, root, names, on_clash or "refuse")
    console.answer(f"{root}: added {', '.join(added)}")
