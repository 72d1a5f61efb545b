"""``maskgen catalog preview``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from maskgen import files, images
from maskgen.catalog.store import Catalog
from maskgen.cli import console, samples
from maskgen.cli.catalog import options
from maskgen.cli.catalogs import read_from
from maskgen.errors import CatalogError

_SAMPLES: Final = (samples.ASTRONAUT, samples.GROUP)
_FACES: Final = 4


@click.command(cls=console.Command)
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@read_from()
@click.option(
    "--photo",
    "photos",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show the masks on the largest face of this photograph; repeatable.  [default: photographs that the "
    "dependencies ship]",
)
@options.kinds
@options.tags
@click.option("--design", "designs", multiple=True, metavar="NAME", help="Only this design; repeatable.")
@options.model
@options.overwriting
def preview(
    out: Path,
    catalog: tuple[str, ...],
    photos: tuple[Path, ...],
    kinds: tuple[str, ...],
    tags: tuple[str, ...],
    designs: tuple[str, ...],
    model: str,
    existing: files.Existing,
) -> None:
    """Write a contact sheet to OUT, a PNG: one row per design, on the mean head and on photographs.

    A cell is empty where a design has no view. After 40 designs another page begins: OUT-2.png.
    """
    from maskgen.detect import FaceDetector
    from maskgen.studio import preview as sheets

    if out.suffix.lower() != ".png":
        raise click.UsageError(f"{out}: the contact sheet is a PNG, give a name that ends in .png")
    files.refuse_existing(out, existing)
    chosen = Catalog.load(catalog).select(kinds, tags, designs)
    shown = _faces_to_show(photos, FaceDetector(model))
    pages = sheets.contact_sheets(chosen, shown)
    targets = sheets.page_paths(out, len(pages))
    for target in targets:
        files.refuse_existing(target, existing)
    for target, page in zip(targets, pages, strict=True):
        files.write_output(target, images.encode(page, images.Encoding(), target), existing)
        console.answer(f"written  {target}")


def _faces_to_show(photos: tuple[Path, ...], detector: Any) -> list[tuple[Any, Any]]:
    """Images with a face each: the largest of every photograph given, or the most different of those that ship."""
    shown = []
    for photo in photos or samples.photographs(_SAMPLES):
        pixels = images.read(photo).pixels
        faces = detector.detect(pixels)
        if photos and not faces:
            raise CatalogError(f"{photo}: no face found", "give a photograph with one")
        shown += [(pixels, face) for face in (faces[:1] if photos else faces)]
    if photos:
        return shown
    shown.sort(key=lambda pair: pair[1].pose.yaw)
    steps = min(_FACES, len(shown))
    return [shown[round(k * (len(shown) - 1) / max(steps - 1, 1))] for k in range(steps)]
