"""``maskgen catalog render``: new designs, drawn at random and rendered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maskgen.catalog import edit
from maskgen.catalog.schema import Kind
from maskgen.cli import catalogs, console
from maskgen.cli.catalog import options
from maskgen.cli.catalog.adding import say_what_next
from maskgen.errors import CatalogError
from maskgen.studio.render.prints import Print
from maskgen.studio.render.random import COLOURS, PATTERNS, RENDERED_KINDS, colour_of, random_specs


def _colour(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            colour_of(value)
        except CatalogError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return value


@click.command(cls=console.Command)
@catalogs.write_to
@click.option("--kind", type=click.Choice(RENDERED_KINDS), help="What sort of mask.  [default: any]")
@click.option(
    "--colour",
    "--color",
    "colour",
    callback=_colour,
    metavar="NAME|#RRGGBB",
    help=f"Colour of the cloth: {', '.join(COLOURS)}, or your own.  [default: any]",
)
@click.option(
    "--pattern",
    type=click.Choice(PATTERNS),
    help="What is printed on it.  [default: none; on cloth sometimes a random one]",
)
@click.option("--number", type=click.IntRange(min=1), default=1, show_default=True, help="How many designs.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed gives the same designs."
)
@options.replacing
@options.renaming
@options.as_json
def render(
    catalog: Path,
    kind: Kind | None,
    colour: str | None,
    pattern: Print | None,
    number: int,
    seed: int,
    on_clash: edit.OnClash | None,
    as_json: bool,
) -> None:
    """Render new designs on the mean head, seen from all sides, and put them into a catalog.

    What is not given (cut, colour, pattern, folds) is drawn at random. A design takes about ten seconds.
    """
    # Imported late: a list of commands needs no renderer.
    from maskgen.studio.render.draw import new_design

    edit.check_writable(catalog)
    specs = random_specs(kind, colour, pattern, number, seed)
    # Refused before the work, not after it.
    for clash in edit.clashes(catalog, [spec.name for spec in specs], on_clash or "refuse").values():
        raise CatalogError(clash.fault, "use {on_clash=rename}, {on_clash=replace} or another {seed}")
    added: list[dict[str, Any]] = []
    for spec in specs:
        design = new_design(spec)
        (name,) = edit.add(catalog, [design], on_clash or "refuse")
        added.append({"name": name, "kind": spec.kind, "colour": spec.colour, "views": len(design.views)})
        if not as_json:
            console.answer(f"added    {name}  {spec.kind}  {spec.colour}  {console.counted(len(design.views), 'view')}")
    if as_json:
        console.answer_json({"catalog": str(catalog), "added": added}, indent=1)
    else:
        say_what_next(catalog, [one["name"] for one in added])
