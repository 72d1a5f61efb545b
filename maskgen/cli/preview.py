"""``maskgen preview``: photographs under masks, before a run."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from maskgen import files, images
from maskgen.catalog.schema import Wear
from maskgen.catalog.store import Catalog
from maskgen.cli import console
from maskgen.cli.catalog import options
from maskgen.cli.catalogs import read_from
from maskgen.errors import ImageError

if TYPE_CHECKING:
    from maskgen.studio.gallery import Shown


@click.command(cls=console.Command)
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The sheet to write, a PNG.",
)
@read_from()
@options.kinds
@options.tags
@click.option("--design", "designs", multiple=True, metavar="NAME", help="This design; repeatable.")
@click.option("--all", "every", is_flag=True, help="All designs that --kind and --tag leave, not one of each kind.")
@click.option(
    "--wear",
    "wears",
    multiple=True,
    type=click.Choice(get_args(Wear)),
    default=("correct",),
    show_default=True,
    help="How masks are worn; repeatable.",
)
@click.option("--show-landmarks", is_flag=True, help="Show box, landmarks, head pose, and what lies in front.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Another seed, other folds.")
@click.option("--columns", type=click.IntRange(1, 20), default=6, show_default=True, help="Tiles in a row.")
@options.model
@options.overwriting
def preview(
    photos: tuple[Path, ...],
    out: Path,
    catalog: tuple[str, ...],
    kinds: tuple[str, ...],
    tags: tuple[str, ...],
    designs: tuple[str, ...],
    every: bool,
    wears: tuple[Wear, ...],
    show_landmarks: bool,
    seed: int,
    columns: int,
    model: str,
    existing: files.Existing,
) -> None:
    """Show the largest face of each PHOTO bare and under masks, on one sheet.

    By default there is one mask of each kind, the one that a run takes most often.
    """
    from maskgen.detect import DetectorSpec
    from maskgen.studio.gallery import gallery

    if out.suffix.lower() != ".png":
        raise click.UsageError(f"{out}: the sheet is a PNG, give a name that ends in .png")
    files.refuse_existing(out, existing)
    chosen = Catalog.load(catalog).select(kinds, tags, designs)
    spec = DetectorSpec(model)
    people = list(_people(photos, spec.build()))
    if not people:
        raise ImageError("no face found in any photograph", "give photographs of people")
    looks = _looks(chosen, every or bool(designs))
    sheet = gallery(people, looks, wears, spec.parser(), seed=seed, columns=columns, marked=show_landmarks)
    files.write_output(out, images.encode(sheet, images.Encoding(), out), existing)
    console.answer(f"written  {out}")


def _people(photos: tuple[Path, ...], detector: Any) -> Iterator[Shown]:
    from maskgen.studio.gallery import Shown

    for photo in photos:
        pixels = images.read(photo).pixels
        faces = detector.detect(pixels)
        if faces:
            yield Shown(photo.name, pixels, faces[0])
        else:
            console.note(f"{photo}: no face found; left out")


def _looks(catalog: Catalog, every: bool) -> list[tuple[str, Catalog]]:
    """(name, catalog of one design): all, or the heaviest of each kind."""
    designs = catalog.designs
    if not every:
        heaviest = {one.entry.kind: one for one in sorted(designs, key=lambda one: one.entry.weight)}
        designs = tuple(one for one in designs if one is heaviest[one.entry.kind])
    return [(one.entry.name, catalog.select(names=[one.entry.name])) for one in designs]
