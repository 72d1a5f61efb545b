"""``maskgen catalog list``, ``show`` and ``path``."""

from __future__ import annotations

from typing import Any

import click

from maskgen.catalog.places import name_of, user_catalog_dir
from maskgen.catalog.store import Catalog, Design
from maskgen.cli import console
from maskgen.cli.catalog import options
from maskgen.cli.catalogs import read_from


@click.command(cls=console.Command)
def path() -> None:
    """Print the folder of your own catalog, which add, render, import and remove change without --catalog.

    It need not exist yet.
    """
    console.answer(str(user_catalog_dir()))


@click.command("list", cls=console.Command)
@read_from()
@options.kinds
@options.tags
@options.as_json
def list_(catalog: tuple[str, ...], kinds: tuple[str, ...], tags: tuple[str, ...], as_json: bool) -> None:
    """List the designs: name, kind, colour, weight, views, yaw, licence, catalog, tags."""
    loaded = Catalog.load(catalog)
    designs = loaded.select(kinds, tags).designs if kinds or tags else loaded.designs
    if as_json:
        console.answer_json([_outline(design) for design in designs], indent=1)
        return
    rows = []
    for design in designs:
        entry = design.entry
        cells = (entry.name, entry.kind, entry.colour, f"{entry.weight:g}", str(len(entry.views)))
        rows.append((*cells, _yaws(design), entry.license, name_of(design.root), " ".join(entry.tags)))
    console.table(
        rows, ("name", "kind", "colour", "weight", "views", "yaw", "license", "catalog", "tags"), right=(3, 4)
    )


@click.command(cls=console.Command)
@click.argument("name")
@read_from()
@options.as_json
def show(name: str, catalog: tuple[str, ...], as_json: bool) -> None:
    """Show the design NAME: its views and the head rotations they are for."""
    (design,) = Catalog.load(catalog).select(names=[name]).designs
    if as_json:
        console.answer_json(design.entry.model_dump(mode="json"), indent=1)
        return
    console.table(
        [
            (field, " ".join(value) if isinstance(value, list) else str(value))
            for field, value in _outline(design).items()
        ]
    )
    rows = []
    for view in design.views:
        (yaw_low, yaw_high), (pitch_low, pitch_high) = view.rotation.yaw, view.rotation.pitch
        height, width = view.textures.shapes[0]
        rows.append(
            (
                view.key,
                f"{yaw_low:g} to {yaw_high:g}",
                f"{pitch_low:g} to {pitch_high:g}",
                f"{width}x{height}",
                str(len(view.names)),
            )
        )
    console.table(rows, ("view", "yaw", "pitch", "size", "points"))


def _yaws(design: Design) -> str:
    """The yaws that some view is for, degrees: ``-40 to -20, 20 to 40``."""
    joined: list[tuple[float, float]] = []
    for low, high in sorted(view.rotation.yaw for view in design.views):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return ", ".join(f"{low:g} to {high:g}" for low, high in joined)


def _outline(design: Design) -> dict[str, Any]:
    entry = design.entry
    return {
        "name": entry.name,
        "kind": entry.kind,
        "colour": entry.colour,
        "weight": entry.weight,
        "tags": list(entry.tags),
        "license": entry.license,
        "catalog": name_of(design.root),
        "views": len(entry.views),
    }
