"""``maskgen catalog export`` and ``import``."""

from __future__ import annotations

from pathlib import Path

import click

from maskgen import files
from maskgen.catalog import bundle, edit
from maskgen.catalog.places import SHIPPED, user_catalog_dir
from maskgen.catalog.store import Catalog
from maskgen.cli import catalogs, console
from maskgen.cli.catalog import options
from maskgen.cli.catalog.adding import say_what_next
from maskgen.errors import CatalogError


@click.command(cls=console.Command)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("names", nargs=-1, metavar="[NAME...]")
@catalogs.read_from()
@options.kinds
@options.tags
@options.overwriting
@click.pass_context
def export(
    ctx: click.Context,
    out: Path,
    names: tuple[str, ...],
    catalog: tuple[str, ...],
    kinds: tuple[str, ...],
    tags: tuple[str, ...],
    existing: files.Existing,
) -> None:
    """Write your own designs, or those named, to the zip file OUT.

    Designs that ship with maskgen, which everybody has, are written if they are named, or with --catalog shipped.
    """
    seen = Catalog.load(catalog)
    if not names and catalog != (SHIPPED,):
        seen = Catalog(seen.own, seen.roots)
    elif not names and not _is_given(ctx):
        raise CatalogError(
            f"{user_catalog_dir()}: no designs of your own yet", "name those to write, or add some first"
        )
    chosen = seen.select(kinds, tags, names)
    bundle.export(chosen, out, existing)
    console.answer(f"written  {out}: {console.counted(len(chosen.designs), 'design')}")


def _is_given(ctx: click.Context) -> bool:
    return ctx.get_parameter_source("catalog") is click.core.ParameterSource.COMMANDLINE


@click.command("import", cls=console.Command)
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="ZIP")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@catalogs.write_to
@options.replacing
@options.renaming
def import_(file: Path, names: tuple[str, ...], catalog: Path, on_clash: edit.OnClash | None) -> None:
    """Add the designs in a ZIP file that 'export' wrote, or only those named, to a catalog.

    The file is not trusted: names, sizes, schema, hashes and pictures are checked before anything is written.
    """
    added = bundle.import_(file, catalog, names, on_clash or "refuse")
    console.answer(f"{catalog}: added {', '.join(added)}")
    say_what_next(catalog, added)
