"""``maskgen catalog add``."""

from __future__ import annotations

from pathlib import Path
from typing import Final, get_args

import click

from maskgen.catalog import edit
from maskgen.catalog.schema import UNKNOWN_LICENSE, Kind
from maskgen.cli import catalogs, console
from maskgen.cli.catalog import options
from maskgen.cli.catalog.adding import Adding, contact_sheet, next_command, say_what_next
from maskgen.cli.settings import Number
from maskgen.errors import CatalogError
from maskgen.names import some_of
from maskgen.parallel import LocalExecutor
from maskgen.studio import byhand, intake, pictured

_COMMAND_LINE: Final = click.core.ParameterSource.COMMANDLINE
_MOST_NAMED: Final = 10


@click.command(cls=console.Command)
@click.argument("sources", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PICTURE|DIR...")
@catalogs.write_to
@click.option(
    "--name",
    help="Name of the one mask that all pictures show.  [default: the file's name, for each]",
)
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
    type=options.LicenseType(),
    metavar="SPDX",
    help="Licence under which you may use the picture and pass the mask on.",
)
@click.option(
    "--points",
    "points_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help='Control points by hand, JSON: {"points": {"30": [x, y], ...}}; see "maskgen help catalogs".',
)
@click.option("--by-folder", "by_folder", is_flag=True, help="Pictures in one folder show one mask, named after it.")
@options.replacing
@options.renaming
@click.option(
    "--keep-duplicates",
    "keep_duplicates",
    is_flag=True,
    help="Add masks too that are nearly the same as one in the catalog.",
)
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
    by_folder: bool,
    on_clash: edit.OnClash | None,
    keep_duplicates: bool,
    workers: int | None,
    model: str,
    as_json: bool,
) -> None:
    """Add masks to a catalog from pictures, or from all pictures in folders.

    From a photograph of people who wear masks, each mask is cut out and the light on it removed. The sides that the
    photograph does not show are rendered from it. With --name, all pictures show one mask, seen from several sides.

    A cut-out, transparent around the mask, or a picture of a mask that lies on something, is laid on the mean head and
    rendered from all sides; with --points it becomes a view as it is.

    Each picture that gives no mask is named with the reason. In the end stand a contact sheet of what was added, and
    the command that puts it on. Exit code: 0 if all pictures were added, 3 if some or all of several were not, 1 if the
    only picture was not.
    """
    if name is not None and by_folder:
        raise click.UsageError("--name is for one mask, --by-folder for several", ctx)
    points = None if points_file is None else byhand.read_points(points_file)
    about = pictured.About(name, kind, tags, license_, weight)
    # What has one name is one mask; and points for several pictures are for pictures of one.
    is_joined = name is not None or isinstance(points, byhand.ManyPoints)
    masks, refused = intake.masks_in(sources, "folders" if by_folder else "all" if is_joined else "each")
    is_one = is_joined or (len(sources) == 1 and not sources[0].is_dir())
    if isinstance(points, byhand.PointsFile) and [len(mask.files) for mask in masks] != [1]:
        raise click.UsageError(
            "these --points are for one picture; for several, name each: see 'maskgen help catalogs'"
        )
    others = intake.passed_over(sources)
    edit.check_writable(catalog)
    adding = Adding(ctx.command, catalog, on_clash or "refuse", keep_duplicates)
    request = intake.Request(about, points, model, _kept(ctx, catalog, about, on_clash))
    taken = adding.refused_by_name([request.name_of(mask) for mask in masks], [mask.files[0] for mask in masks])
    refused += taken.values()
    masks = [mask for number, mask in enumerate(masks) if number not in taken]

    def refuse(refusal: intake.Refusal) -> None:
        if not as_json and not is_one:
            console.note(f"refused  {refusal.reason}: {refusal.message}")

    for refusal in refused:
        refuse(refusal)
    results = intake.take(masks, request, LocalExecutor(workers)) if masks else iter(())
    with console.progress("masks") as show:
        if masks:
            # How long the first takes is not known: the bar moves until then.
            show(console.Advance(0, None))
        for number, (mask, result) in enumerate(results, start=1):
            designs = [] if isinstance(result, intake.Refusal) else result
            outcomes = [adding.put(mask.files, design) for design in designs]
            outcomes += [result] if isinstance(result, intake.Refusal) else []
            for outcome in filter(None, outcomes):
                refused.append(outcome)
                refuse(outcome)
            show(console.Advance(number, len(masks), skipped=len(refused)))
    if others and not as_json:
        said = console.counted(len(others), "file is no picture", "files are no pictures")
        console.note(f"passed over  {said}: {some_of(others, _MOST_NAMED)}")
    if adding.added and license_ == UNKNOWN_LICENSE:
        console.note(f"note: no --license given, recorded as {license_}: do not pass these masks on")
    if is_one and refused and not as_json:
        raise CatalogError(f"{refused[0].reason}: {refused[0].message}")
    names = [entry["name"] for entry in adding.added]
    if as_json:
        sheet = contact_sheet(catalog, names) if names else None
        report = {
            "catalog": str(catalog),
            "added": adding.added,
            "refused": [{"file": str(r.file), "reason": r.reason, "message": r.message} for r in refused],
            "passed_over": [str(file) for file in others],
            "contact_sheet": sheet and str(sheet),
            "next": next_command(catalog, names) if names else None,
        }
        console.answer_json(report, indent=1)
    else:
        for entry in adding.added:
            views = console.counted(entry["views"], "view")
            pictures = ", ".join(entry["files"])
            console.answer(f"added    {entry['name']}  {entry['kind']}  {entry['colour']}  {views}  from {pictures}")
        pictures_refused = console.counted(len(refused), "picture")
        console.answer(f"{catalog}: {console.counted(len(names), 'design')} added, {pictures_refused} refused")
        if names:
            say_what_next(catalog, names)
    if refused:
        ctx.exit(console.ERROR if is_one else console.FAILED_INPUTS)


def _kept(
    ctx: click.Context, catalog: Path, about: pictured.About, on_clash: edit.OnClash | None
) -> dict[str, pictured.About]:
    """What is said of designs that are replaced, by their names."""
    if on_clash != "replace":
        return {}
    given = [field for field in ("kind", "tags", "weight") if ctx.get_parameter_source(field) is _COMMAND_LINE]
    return {entry.name: pictured.kept_of(entry, about, given) for entry in edit.contents(catalog).masks}
