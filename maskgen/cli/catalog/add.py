"""``maskgen catalog add``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import click

from maskgen.catalog import edit
from maskgen.catalog.schema import UNKNOWN_LICENSE, Kind
from maskgen.cli import catalogs, console
from maskgen.cli.catalog import options
from maskgen.cli.settings import Number
from maskgen.errors import CatalogError
from maskgen.parallel import LocalExecutor
from maskgen.studio import intake


@click.command(cls=console.Command)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PICTURE|DIR...")
@catalogs.write_to
@click.option("--name", help="Name of the design; one picture only.  [default: the file's name]")
@click.option("--kind", type=click.Choice(get_args(Kind)), default="other", show_default=True, help="Kind of mask.")
@click.option("--tag", "tags", multiple=True, help="Tag by which 'maskgen augment --tag' can choose it; repeatable.")
@click.option(
    "--weight",
    type=Number(min=0, min_open=True),
    default=1.0,
    show_default=True,
    help="How often it is chosen, relative to other designs.",
)
@click.option(
    "--license",
    "license_",
    default=UNKNOWN_LICENSE,
    show_default=True,
    metavar="SPDX",
    help="Licence under which you may use the picture and pass the mask on.",
)
@click.option(
    "--points",
    "points_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help='Control points by hand, JSON: {"points": {"30": [x, y], ...}}; one picture only.',
)
@options.replacing
@options.renaming
@click.option("--workers", type=click.IntRange(min=1), help="Processes, for many pictures.  [default: one per core]")
@options.model
@options.as_json
@click.pass_context
def add(
    ctx: click.Context,
    sources: tuple[Path, ...],
    catalog: Path,
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

    From a photograph of one person who wears a mask, the mask is cut out. The light on it is removed, and it is used
    for heads that are turned alike. A cut-out, transparent around the mask or on a plain background, is laid on the
    mean head and rendered from all sides; with --points it becomes one frontal view.

    Each picture that gives no mask is named with the reason. Exit code: 0 if all pictures were added, 3 if some or all
    of several were not, 1 if the only picture was not.
    """
    root = catalog
    is_one = len(sources) == 1 and not sources[0].is_dir()
    if not is_one and (name is not None or points_file is not None):
        raise click.UsageError("--name and --points are for one picture", ctx)
    points = None if points_file is None else intake.read_points(points_file)
    about = intake.About(name, kind, tags, license_, weight)
    pictures, refused = intake.pictures_in(sources)
    edit.check_writable(root)
    if license_ == UNKNOWN_LICENSE:
        console.note(f"note: no --license given, recorded as {license_}: do not pass these masks on")
    added: list[dict[str, Any]] = []
    if not as_json:
        for refusal in refused:
            console.note(f"refused  {refusal.reason}: {refusal.message}")
    taken = intake.take(pictures, intake.Request(about, points, model), LocalExecutor(workers))
    with console.progress() as show:
        for number, (file, result) in enumerate(taken, start=1):
            if isinstance(result, intake.Refusal):
                outcome: intake.Refusal | None = result
            else:
                outcome = _put(ctx.command, root, file, result, on_clash or "refuse", added)
            if outcome is not None:
                refused.append(outcome)
                if not as_json and not is_one:
                    console.note(f"refused  {outcome.reason}: {outcome.message}")
            show(console.Advance(number, len(pictures), skipped=number - len(added)))
    if is_one and refused and not as_json:
        raise CatalogError(refused[0].message)
    if as_json:
        report = {
            "catalog": str(root),
            "added": added,
            "refused": [{"file": str(r.file), "reason": r.reason, "message": r.message} for r in refused],
        }
        console.answer_json(report, indent=1)
    else:
        for entry in added:
            views = console.counted(entry["views"], "view")
            console.answer(
                f"added    {entry['name']}  {entry['kind']}  {entry['colour']}  {views}  from {entry['file']}"
            )
        pictures_refused = console.counted(len(refused), "picture")
        console.answer(f"{root}: {console.counted(len(added), 'design')} added, {pictures_refused} refused")
    if refused:
        ctx.exit(console.ERROR if is_one else console.FAILED_INPUTS)


def _put(
    command: click.Command,
    root: Path,
    file: Path,
    design: edit.NewDesign,
    on_clash: edit.OnClash,
    added: list[dict[str, Any]],
) -> intake.Refusal | None:
    try:
        (name,) = edit.add(root, [design], on_clash)
    except (edit.NameTakenError, edit.BadDesignError) as error:
        reason = "name_taken" if isinstance(error, edit.NameTakenError) else "bad_design"
        said = error.said(lambda setting, value: console.option_of(command, setting, value))
        return intake.Refusal(file, reason, f"{file}: {said}")
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
