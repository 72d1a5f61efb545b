"""``maskgen catalog``: the masks there are to choose from."""

from __future__ import annotations

import importlib.util
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, get_args

import click
from rich.console import Console
from rich.progress import Progress as Bar
from rich.table import Table

from maskgen import images
from maskgen.catalog import Catalog, Design, bundle, edit, user_catalog_dir
from maskgen.catalog import check as checks
from maskgen.catalog.schema import Kind
from maskgen.cli.render import render
from maskgen.detect import BUNDLED
from maskgen.errors import CatalogError
from maskgen.studio import intake

FAILED_INPUTS: Final = 3
PREVIEW_PHOTOGRAPHS: Final = (("skimage", "data/astronaut.png"), ("insightface", "data/images/t1.jpg"))
"""(package, file in it) of the photographs that a preview shows masks on."""
PREVIEW_FACES: Final = 4

_read_from: Callable[[Any], Any] = click.option(
    "--catalog",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Mask catalog.  [default: the one that ships with maskgen]",
)
_write_to: Callable[[Any], Any] = click.option(
    "--catalog",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Catalog to change.  [default: your own, see 'maskgen catalog path']",
)
_on_clash: Callable[[Any], Any] = click.option(
    "--replace", "on_clash", flag_value="replace", help="Replace a design of the same name."
)
_renaming: Callable[[Any], Any] = click.option(
    "--rename", "on_clash", flag_value="rename", help="If the name is taken, append -2, -3, ..."
)
_json: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_kinds: Callable[[Any], Any] = click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(get_args(Kind)), help="Only masks of this kind; repeatable."
)
_tags: Callable[[Any], Any] = click.option(
    "--tag", "tags", multiple=True, help="Only masks with this tag; repeat for all of several."
)


@click.group(short_help="List, show, check and change mask catalogs.")
def catalog() -> None:
    """Mask catalogs: a folder with catalog.json and a PNG for every view of every design.

    The catalog that ships with maskgen is only read. Your own masks go to a catalog of your own, which every command
    takes with --catalog.
    """


@catalog.command(short_help="Print where your own catalog is.")
def path() -> None:
    """Print the folder of your own catalog: where add, remove and import write without --catalog.

    It need not exist yet.
    """
    click.echo(str(user_catalog_dir()))


@catalog.command("list", short_help="List the designs.")
@_read_from
@_kinds
@_tags
@_json
def list_(folder: Path | None, kinds: tuple[str, ...], tags: tuple[str, ...], as_json: bool) -> None:
    """List the designs of a catalog: name, kind, colour, weight, views, tags."""
    loaded = Catalog.load(folder)
    designs = loaded.select(kinds, tags).designs if kinds or tags else loaded.designs
    if as_json:
        click.echo(json.dumps([_outline(design) for design in designs], indent=1, ensure_ascii=False))
        return
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for heading in ("name", "kind", "colour", "weight", "views", "yaw", "license", "tags"):
        table.add_column(
            heading, no_wrap=heading != "tags", justify="right" if heading in ("weight", "views") else "left"
        )
    for design in designs:
        entry = design.entry
        cells = (entry.name, entry.kind, entry.colour, f"{entry.weight:g}", str(len(entry.views)))
        table.add_row(*cells, _yaws(design), entry.license, " ".join(entry.tags))
    _console().print(table)


@catalog.command(short_help="Show one design.")
@click.argument("name")
@_read_from
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
        height, width = view.textures.shapes[0]
        click.echo(
            f"view     {view.key}: yaw {yaw_low:g} to {yaw_high:g}, pitch {pitch_low:g} to {pitch_high:g}, "
            f"{width}x{height}, {len(view.names)} points"
        )


@catalog.command(short_help="Check files, hashes, folds and coverage.")
@_read_from
@_json
@click.pass_context
def check(ctx: click.Context, folder: Path | None, as_json: bool) -> None:
    """Check a catalog: schema, pictures, their hashes, masks that fold, and which head rotations no view is for.

    Faults give exit code 1. Neither a gap in the coverage nor a fold is a fault: a face turned so is skipped, or the
    mask has a hole there. A stray is a picture that no design names; it does no harm.
    """
    loaded = Catalog.load(folder)
    faults = [fault for design in loaded.designs for fault in checks.faults_of(loaded.root, design)]
    folds = {design.entry.name: list(checks.folds_of(design)) for design in loaded.designs}
    gaps = {design.entry.name: checks.yaw_gaps(design) for design in loaded.designs}
    strays = checks.strays_of(loaded)
    if as_json:
        report = {
            "catalog": str(loaded.root),
            "designs": len(loaded.designs),
            "faults": faults,
            "yaw_gaps_deg": gaps,
            "folds": {name: [vars(fold) for fold in found] for name, found in folds.items()},
            "strays": strays,
        }
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for fault in faults:
            click.echo(f"fault  {fault}")
        for found in folds.values():
            for fold in found:
                click.echo(
                    f"fold   {fold.view}: {fold.triangles} triangles, {fold.share:.1%} of the mask, turn over "
                    f"at yaw {fold.yaw:g}, pitch {fold.pitch:g}"
                )
        for name, intervals in gaps.items():
            for low, high in intervals:
                click.echo(f"gap    {name}: no view for yaw {low}" + (f" to {high}" if high > low else ""))
        for stray in strays:
            click.echo(f"stray  {stray}")
        number = sum(map(len, folds.values()))
        click.echo(f"{loaded.root}: {len(loaded.designs)} designs, {len(faults)} faults, {number} views fold")
    if faults:
        ctx.exit(1)


@catalog.command(short_help="Draw every design on heads.")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@_read_from
@click.option(
    "--photo",
    "photos",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Show the masks on the largest face of this photograph; repeatable.  [default: photographs that the "
    "dependencies ship]",
)
@_kinds
@_tags
@click.option("--design", "designs", multiple=True, metavar="NAME", help="Only this design; repeatable.")
@click.option("--model", default=BUNDLED, show_default=True, metavar="NAME|DIR", help="Model pack.")
def preview(
    out: Path,
    folder: Path | None,
    photos: tuple[Path, ...],
    kinds: tuple[str, ...],
    tags: tuple[str, ...],
    designs: tuple[str, ...],
    model: str,
) -> None:
    """Write a contact sheet of a catalog to OUT, a PNG: a row for each design, on the mean head and on photographs.

    A cell is empty where a design has no view. After 40 designs another page begins: OUT-2.png.
    """
    from maskgen.detect import FaceDetector
    from maskgen.studio import preview as sheets

    if out.suffix.lower() != ".png":
        raise click.UsageError(f"{out}: the contact sheet is a PNG, give a name that ends in .png")
    chosen = Catalog.load(folder).select(kinds, tags, designs)
    shown = _faces_to_show(photos, FaceDetector(model))
    pages = sheets.contact_sheets(chosen, shown)
    for target, page in zip(sheets.page_paths(out, len(pages)), pages, strict=True):
        images.write_whole(target, images.encode(page, images.Encoding(), target))
        click.echo(f"written  {target}")


@catalog.command(short_help="Add masks from pictures.")
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PICTURE|DIR...")
@_write_to
@click.option("--name", help="Name of the design; one picture only.  [default: the file's name]")
@click.option("--kind", type=click.Choice(get_args(Kind)), default="other", show_default=True, help="What it is.")
@click.option("--tag", "tags", multiple=True, help="For choosing with --tag; repeatable.")
@click.option(
    "--weight",
    type=click.FloatRange(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How often it is chosen.",
)
@click.option(
    "--license",
    "license_",
    default=intake.UNKNOWN_LICENSE,
    show_default=True,
    metavar="SPDX",
    help="Under which terms you may use the picture, and pass the mask on.",
)
@click.option(
    "--points",
    "points_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help='Control points by hand, JSON: {"points": {"30": [x, y], ...}}; one picture only.',
)
@_on_clash
@_renaming
@click.option("--workers", type=click.IntRange(min=1), help="Processes, for many pictures.  [default: one a core]")
@click.option("--model", default=BUNDLED, show_default=True, metavar="NAME|DIR", help="Model pack.")
@_json
@click.pass_context
def add(
    ctx: click.Context,
    sources: tuple[Path, ...],
    folder: Path | None,
    name: str | None,
    kind: Kind,
    tags: tuple[str, ...],
    weight: float,
    license_: str,
    points_file: Path | None,
    on_clash: edit.OnClash | None,
    workers: int | None,
    model: str,
    as_json: bool,
) -> None:
    """Add masks to a catalog from pictures, or from all pictures in folders.

    A photograph of one person wearing a mask: the mask is cut out, its light taken off, and used for heads turned
    alike. A cut-out, transparent around the mask or on a plain background: laid on the head where --points say.

    Each picture that gives no mask is named with its reason. Exit code: 0 all were added, 3 some or all pictures of
    several were not, 1 the only picture was not.
    """
    root = folder or user_catalog_dir()
    is_one = len(sources) == 1 and not sources[0].is_dir()
    if not is_one and (name is not None or points_file is not None):
        raise click.UsageError("--name and --points are for one picture", ctx)
    points = None if points_file is None else intake.read_points(points_file)
    about = intake.About(name, kind, tags, license_, weight)
    files = intake.pictures_in(sources)
    edit.check_writable(root)
    if license_ == intake.UNKNOWN_LICENSE:
        click.echo(f"note: no --license given, recorded as {license_}: do not pass these masks on", err=True)
    added: list[dict[str, Any]] = []
    refused: list[intake.Refusal] = []
    with _bar(len(files)) as advance:
        for file, result in intake.take(files, about, points, model, workers or os.cpu_count() or 1):
            if isinstance(result, intake.Refusal):
                outcome: intake.Refusal | None = result
            else:
                outcome = _put(root, file, result, on_clash or "refuse", added)
            if outcome is not None:
                refused.append(outcome)
                if not as_json and not is_one:
                    click.echo(f"refused  {outcome.reason}: {outcome.message}", err=True)
            advance()
    if is_one and refused and not as_json:
        raise CatalogError(refused[0].message)
    if as_json:
        report = {
            "catalog": str(root),
            "added": added,
            "refused": [{"file": str(r.file), "reason": r.reason, "message": r.message} for r in refused],
        }
        click.echo(json.dumps(report, indent=1, ensure_ascii=False))
    else:
        for entry in added:
            click.echo(
                f"added    {entry['name']}  {entry['kind']}  {entry['colour']}  {entry['views']} views  "
                f"from {entry['file']}"
            )
        click.echo(f"{root}: {len(added)} designs added, {len(refused)} pictures refused")
    if refused:
        ctx.exit(1 if is_one else FAILED_INPUTS)


@catalog.command(short_help="Remove designs.")
@click.argument("names", nargs=-1, required=True, metavar="NAME...")
@_write_to
def remove(names: tuple[str, ...], folder: Path | None) -> None:
    """Remove designs from a catalog, and their pictures; all of them or, if one is not there, none."""
    root = folder or user_catalog_dir()
    edit.remove(root, names)
    click.echo(f"{root}: removed {', '.join(names)}")


@catalog.command(short_help="Write designs to a zip file.")
@click.argument("out", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_read_from
@_kinds
@_tags
def export(
    out: Path, names: tuple[str, ...], folder: Path | None, kinds: tuple[str, ...], tags: tuple[str, ...]
) -> None:
    """Write the designs of a catalog, or only those named, to the zip file OUT."""
    chosen = Catalog.load(folder).select(kinds, tags, names)
    if missing := sorted(set(names) - {design.entry.name for design in chosen.designs}):
        raise CatalogError(f"{chosen.root}: no design {', '.join(map(repr, missing))}")
    bundle.export(chosen, out)
    click.echo(f"written  {out}: {len(chosen.designs)} designs")


@catalog.command("import", short_help="Add designs from a zip file.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="ZIP")
@click.argument("names", nargs=-1, metavar="[NAME...]")
@_write_to
@_on_clash
@_renaming
def import_(file: Path, names: tuple[str, ...], folder: Path | None, on_clash: edit.OnClash | None) -> None:
    """Add the designs in a ZIP file that 'export' wrote, or only those named, to a catalog.

    The file is not trusted: names, sizes, schema, hashes and pictures are checked before anything is written.
    """
    root = folder or user_catalog_dir()
    added = bundle.import_(file, root, names, on_clash or "refuse")
    click.echo(f"{root}: added {', '.join(added)}")


def _put(
    root: Path, file: Path, design: edit.NewDesign, on_clash: edit.OnClash, added: list[dict[str, Any]]
) -> intake.Refusal | None:
    try:
        (name,) = edit.add(root, [design], on_clash)
    except edit.NameTakenError as error:
        return intake.Refusal(file, "name_taken", f"{file}: {error}")
    added.append(
        {
            "name": name,
            "file": str(file),
            "kind": design.kind,
            "colour": design.colour,
            "views": len(design.views),
            "rotations": [view.rotation.model_dump(mode="json") for view in design.views],
        }
    )
    return None


def _faces_to_show(photos: tuple[Path, ...], detector: Any) -> list[tuple[Any, Any]]:
    """Images with a face each: the largest of every photograph given, or the most different of those that ship."""
    if photos:
        shown = []
        for photo in photos:
            pixels = images.read(photo).pixels
            faces = detector.detect(pixels)
            if not faces:
                raise CatalogError(f"{photo}: no face found; give a photograph with one")
            shown.append((pixels, faces[0]))
        return shown
    shown = []
    for package, file in PREVIEW_PHOTOGRAPHS:
        spec = importlib.util.find_spec(package)
        if spec is not None and spec.submodule_search_locations:
            shipped = Path(spec.submodule_search_locations[0]) / file
            if shipped.is_file():
                pixels = images.read(shipped).pixels
                shown += [(pixels, face) for face in detector.detect(pixels)]
    shown.sort(key=lambda pair: pair[1].pose.yaw)
    steps = min(PREVIEW_FACES, len(shown))
    return [shown[round(k * (len(shown) - 1) / max(steps - 1, 1))] for k in range(steps)]


@contextmanager
def _bar(total: int) -> Iterator[Callable[[], None]]:
    console = Console(stderr=True)
    if total < 2 or not console.is_terminal:
        yield lambda: None
        return
    with Bar(console=console) as bar:
        task = bar.add_task("", total=total)
        yield lambda: bar.update(task, advance=1)


def _yaws(design: Design) -> str:
    """The yaws that some view is for, degrees: ``-40 to -20, 20 to 40``."""
    joined: list[tuple[float, float]] = []
    for low, high in sorted(view.rotation.yaw for view in design.views):
        if joined and low <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(high, joined[-1][1]))
        else:
            joined.append((low, high))
    return ", ".join(f"{low:g} to {high:g}" for low, high in joined)


def _console() -> Console:
    # Into a file or a pipe, lines are never broken.
    return Console(file=sys.stdout, width=None if sys.stdout.isatty() else 240, highlight=False, markup=False)


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


catalog.add_command(render)
