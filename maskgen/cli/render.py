"""``maskgen catalog render``: new designs, drawn at random and rendered."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from maskgen.catalog import edit, user_catalog_dir
from maskgen.catalog.schema import Kind
from maskgen.errors import CatalogError
from maskgen.studio.render.designs import COLOURS, PATTERNS, RENDERED_KINDS, colour_of, random_specs
from maskgen.studio.render.fabric import Pattern


def _colour(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None:
        try:
            colour_of(value)
        except CatalogError as error:
            raise click.BadParameter(str(error), ctx, param) from error
    return value


@click.command(short_help="Render new designs.")
@click.option(
    "--catalog",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Catalog to change.  [default: your own, see 'maskgen catalog path']",
)
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
    "--pattern", type=click.Choice(PATTERNS), help="What is printed on it.  [default: on cloth, now and then]"
)
@click.option("--number", type=click.IntRange(min=1), default=1, show_default=True, help="How many designs.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="The same seed, the same designs."
)
@click.option("--replace", "on_clash", flag_value="replace", help="Replace a design of the same name.")
@click.option("--rename", "on_clash", flag_value="rename", help="If the name is taken, append -2, -3, ...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def render(
    folder: Path | None,
    kind: Kind | None,
    colour: str | None,
    pattern: Pattern | None,
    number: int,
    seed: int,
    on_clash: edit.OnClash | None,
    as_json: bool,
) -> None:
    """Render new designs on the mean head, seen from all sides, and put them into a catalog.

    Cut, colour, pattern and folds are drawn at random where they are not given. A design takes about ten seconds.
    """
    # Imported late: a list of commands needs no renderer.
    from maskgen.studio.render.render import new_design

    root = folder or user_catalog_dir()
    edit.check_writable(root)
    specs = random_specs(kind, colour, pattern, number, seed)
    if on_clash is None:
        # Found out before the work, not after it.
        taken = {entry.name for entry in edit.contents(root).masks} & {spec.name for spec in specs}
        if taken:
            raise CatalogError(
                f"{root}: design {min(taken)!r} is there already; use --rename, --replace or another --seed"
            )
    added: list[dict[str, Any]] = []
    for spec in specs:
        design = new_design(spec)
        (name,) = edit.add(root, [design], on_clash or "refuse")
        added.append({"name": name, "kind": spec.kind, "colour": spec.colour, "views": len(design.views)})
        if not as_json:
            click.echo(f"added    {name}  {spec.kind}  {spec.colour}  {len(design.views)} views")
    if as_json:
        click.echo(json.dumps({"catalog": str(root), "added": added}, indent=1, ensure_ascii=False))
