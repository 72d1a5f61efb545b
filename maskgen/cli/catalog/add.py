"""``maskgen catalog add``."""

from __future__ import annotations

from collections.abc import Sequence
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
from maskgen.parallel import LocalExecutor
from maskgen.studio import intake

_COMMAND_LINE: Final = click.core.ParameterSource.COMMANDLINE
_MOST_NAMED: Final = 10


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
    type=options.LicenseType(),
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
    on_clash: edit.OnClash | None,
    keep_duplicates: bool,
    workers: int | None,
    model: str,
    as_json: bool,
) -> None:
    """Add masks to a catalog from pictures, or from all pictures in folders.

    From a photograph of one person who wears a mask, the mask is cut out. The light on it is removed, and it is used
    for heads that are turned alike. A cut-out, transparent around the mask or on a plain background, is laid on the
    mean head and rendered from all sides; with --points it becomes one frontal view.

    Each picture that gives no mask is named with the reason. In the end stand a contact sheet of what was added, and
    the command that puts it on. Exit code: 0 if all pictures were added, 3 if some or all of several were not, 1 if the
    only picture was not.
    """
    is_one = len(sources) == 1 and not sources[0].is_dir()
    if not is_one and (name is not None or points_file is not None):
        raise click.UsageError("--name and --points are for one picture", ctx)
    points = None if points_file is None else intake.read_points(points_file)
    about = intake.About(name, kind, tags, license_, weight)
    pictures, refused = intake.pictures_in(sources)
    others = intake.passed_over(sources)
    edit.check_writable(catalog)
    adding = Adding(ctx.command, catalog, on_clash or "refuse", keep_duplicates)
    taken = adding.refused_by_name([name or intake.name_of(file) for file in pictures], pictures)
    refused += taken.values()
    pictures = [file for number, file in enumerate(pictures) if number not in taken]

    def refuse(refusal: intake.Refusal) -> None:
        if not as_json and not is_one:
            console.note(f"refused  {refusal.reason}: {refusal.message}")

    for refusal in refused:
        refuse(refusal)
    request = intake.Request(about, points, model, _kept(ctx, catalog, about, on_clash))
    results = intake.take(pictures, request, LocalExecutor(workers)) if pictures else iter(())
    with console.progress("adding") as show:
        if pictures:
            # How long the first takes is not known: the bar moves until then.
            show(console.Advance(0, None))
        for number, (file, result) in enumerate(results, start=1):
            outcome = result if isinstance(result, intake.Refusal) else adding.put(file, result)
            if outcome is not None:
                refused.append(outcome)
                refuse(outcome)
            show(console.Advance(number, len(pictures), skipped=number - len(adding.added)))
    if others and not as_json:
        said = console.counted(len(others), "file is no picture", "files are no pictures")
        console.note(f"passed over  {said}: {_listed(others)}")
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
            console.answer(
                f"added    {entry['name']}  {entry['kind']}  {entry['colour']}  {views}  from {entry['file']}"
            )
        pictures_refused = console.counted(len(refused), "picture")
        console.answer(f"{catalog}: {console.counted(len(names), 'design')} added, {pictures_refused} refused")
        if names:
            say_what_next(catalog, names)
    if refused:
        ctx.exit(console.ERROR if is_one else console.FAILED_INPUTS)


def _kept(
    ctx: click.Context, catalog: Path, about: intake.About, on_clash: edit.OnClash | None
) -> dict[str, intake.About]:
    """What is said of designs that are replaced, by their names."""
    if on_clash != "replace":
        return {}
    given = [field for field in ("kind", "tags", "weight") if ctx.get_parameter_source(field) is _COMMAND_LINE]
    return {entry.name: intake.kept_of(entry, about, given) for entry in edit.contents(catalog).masks}


def _listed(files: Sequence[Path]) -> str:
    more = f" and {len(files) - _MOST_NAMED} more" if len(files) > _MOST_NAMED else ""
    return ", ".join(str(file) for file in files[:_MOST_NAMED]) + more
