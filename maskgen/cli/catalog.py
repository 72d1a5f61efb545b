"""``maskgen catalog``: the masks there are to choose from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import click

from maskgen.catalog import Catalog, Design
from maskgen.errors import CatalogError

YAWS_DEG: Final = range(-90, 91, 5)

_folder = click.option(
    "--catalog",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Mask catalog.  [default: the one that ships with maskgen]",
)
_json: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group(short_help="List, show and check mask catalogs.")
def catalog() -> None:
    """Mask catalogs: a folder with catalog.json and a PNG for every view of every design."""


@catalog.command("list", short_help="List the designs.")
@_folder
@_json
def list_(folder: Path | None, as_json: bool) -> None:
    """List the designs of a catalog: name, kind, colour, weight, views, tags."""
    designs = Catalog.load(folder).designs
    if as_json:
        click.echo(json.dumps([_outline(design) for design in designs], indent=1, ensure_ascii=False))
        return
    width = max((len(design.entry.name) for design in designs), default=0)
    for design in designs:
        entry = design.entry
        click.echo(
            f"{entry.name:{width}}  {entry.kind:11}  {entry.colour:12}  weight {entry.weight:<4g}  "
            f"{len(entry.views)} views  {' '.join(entry.tags)}".rstrip()
        )


@catalog.command(short_help="Show one design.")
@click.argument("name")
@_folder
@_json
def show(name: str, folder: Path | None, as_json: bool) -> None:
    """Show the design NAME: its views and the head rotations they are for."""
    (design,) = Catalog.load(folder).select(names=[name]).designs
    if as_json:
        click.echo(json.dumps(design.entry.model_dump(mode="json"), indent=1, ensure_ascii=False))
        return
    for field, value in _outline(design).items():
        click.echo(f"{field:8} {' '.join(value) if isinstance(value, list) else value}")
    for view in design.views:
        (yaw_low, yaw_high), (pitch_low, pitch_high) = view.rotation.yaw, view.rotation.pitch
        click.echo(f"view     {view.key}: yaw {yaw_low:g} to {yaw_high:g}, pitch {pitch_low:g} to {pitch_high:g}")


@catalog.command(short_help="Check files, hashes and coverage.")
@_folder
@_json
@click.pass_context
def check(ctx: click.Context, folder: Path | None, as_json: bool) -> None:
    """Check a catalog: schema, pictures, their hashes, and which head rotations no view is for.

    Faults give exit code 1. A gap in the coverage is no fault: a face turned so is skipped.
    """
    loaded = Catalog.load(folder)
    faults = [fault for design in loaded.designs for fault in faults_of(loaded.root, design)]
    gaps = {design.entry.name: yaw_gaps(design) for design in loaded.designs}
    if as_json:
        report = {"catalog": str(loaded.root), "designs": len(loaded.designs), "faults": faults, "yaw_gaps_deg": gaps}
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for fault in faults:
            click.echo(f"fault  {fault}")
        for name, intervals in gaps.items():
            for low, high in intervals:
                click.echo(f"gap    {name}: no view for yaw {low}" + (f" to {high}" if high > low else ""))
        click.echo(f"{loaded.root}: {len(loaded.designs)} designs, {len(faults)} faults")
    if faults:
        ctx.exit(1)


def faults_of(root: Path, design: Design) -> Iterator[str]:
    """What is wrong with the pictures of a design, a sentence each."""
    for entry in design.entry.views:
        digest = hashlib.sha256((root / entry.file).read_bytes()).hexdigest()
        if digest != entry.sha256:
            yield f"{entry.file}: sha256 is {digest[:12]}..., catalog.json says {entry.sha256[:12]}..."
    for view in design.views:
        try:
            assert view.textures
        except CatalogError as error:
            yield str(error)


def yaw_gaps(design: Design) -> list[tuple[int, int]]:
    """The intervals of yaw, degrees in steps of 5, for which a level head finds no view."""
    bare = [yaw for yaw in YAWS_DEG if not design.views_for(yaw, 0)]
    gaps: list[tuple[int, int]] = []
    for yaw in bare:
        if gaps and gaps[-1][1] == yaw - YAWS_DEG.step:
            gaps[-1] = (gaps[-1][0], yaw)
        else:
            gaps.append((yaw, yaw))
    return gaps


def _outline(design: Design) -> dict[str, Any]:
    entry = design.entry
    return {
        "name": entry.name,
        "kind": entry.kind,
        "colour": entry.colour,
        "weight": entry.weight,
        "tags": list(entry.tags),
        "license": entry.license,
        "views": len(entry.views),
    }
