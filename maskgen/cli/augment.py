"""``maskgen augment``: the main job."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, get_args

import click
from pydantic import ValidationError

from maskgen import files, formats, manifest, run
from maskgen.catalog.schema import WEARS, Kind
from maskgen.cli import console, samples
from maskgen.cli.catalogs import read_from, say_masks
from maskgen.cli.running import carried_out, check_where, refuse_whole, say_summary, where_options
from maskgen.cli.settings import setting
from maskgen.cli.wears import WearType
from maskgen.errors import ConfigError, ImageError
from maskgen.masking.recipe import Faces
from maskgen.names import some_of
from maskgen.plural import tally
from maskgen.schema import first_fault
from maskgen.scratch import scratch

DEMO: Final = (samples.GROUP, samples.CROP, samples.ASTRONAUT)


# Of the designs that take no part.
_MOST_NAMED: Final = 5


_setting = partial(setting, run.AugmentSettings)


@click.command(cls=console.Command, short_help="Mask the faces in a folder of pictures.")
@click.argument("folders", nargs=-1, metavar="IN OUT", type=click.Path(path_type=Path))
@click.option(
    "--demo", is_flag=True, help="Mask the photographs that insightface and scikit-image ship; give OUT only."
)
@where_options
@_setting("--seed", "seed", type=click.IntRange(min=0), help="The same seed gives the same files.")
@_setting("--variants", "variants", type=click.IntRange(min=1), help="Masked pictures per input: name_m1, name_m2.")
@_setting("--originals", "originals", is_flag=True, help="Copy the input beside its masked pictures.")
@_setting("--copy-skipped", "copy_skipped", is_flag=True, help="Copy pictures on which no mask could be put.")
@_setting(
    "--faces",
    "faces",
    type=click.Choice(get_args(Faces)),
    help="Which faces get a mask (with --demo all, with --align central).",
)
@_setting(
    "--small-faces",
    "small_faces",
    is_flag=True,
    help="Look for small faces in large pictures, tile by tile; takes longer.",
)
@_setting("--min-face", "min_face", type=float, metavar="PX", help="Leave smaller faces alone.")
@_setting(
    "--keep-covered",
    "keep_covered",
    is_flag=True,
    help="Mask faces too whose mouth is mostly covered by something else.",
)
@_setting(
    "--wear",
    "wear",
    type=WearType(),
    metavar="NAME=WEIGHT,...",
    show_default="correct=1",
    help=f"How masks are worn: {', '.join(WEARS)}, and how often each.",
)
@_setting("--recolor", "recolor", type=float, metavar="SHARE", help="Share of the masks recoloured, 0 to 1.")
@_setting(
    "--pattern-dir",
    "pattern_dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Pictures to lay on masks as patterns.",
)
@_setting(
    "--pattern-share",
    "pattern_share",
    type=float,
    metavar="SHARE",
    help="Share of the masks that get a pattern of --pattern-dir, 0 to 1.",
)
@_setting("--in-format", "in_format", type=click.Choice(get_args(formats.Format)), help="What IN is.")
@_setting("--out-format", "out_format", type=click.Choice(get_args(formats.Format)), help="What OUT is to be.")
@_setting(
    "--mask-side",
    "mask_side",
    type=click.Choice(get_args(formats.MaskSide)),
    help="Which halves of the pairs of a .bin get masks.",
)
@_setting("--shard-size", "shard_size", type=click.IntRange(min=1), help="Samples per tar file.")
@_setting("--align", "align", type=click.Choice([112]), help="Write 112x112 crops as ArcFace takes them.")
@_setting("--aligned", "aligned", is_flag=True, help="The inputs are 112x112 ArcFace crops: no detector runs.")
@_setting("--model", "model", metavar="NAME|DIR", help="Model pack: see 'maskgen models list'.")
@_setting("--landmarks", "landmarks", type=click.Choice([68, 106]), help="Landmark scheme.")
@_setting("--device", "device", type=click.Choice(["cpu", "cuda"]), help="Where the networks run.")
@read_from()
@click.option(
    "--kind", "kinds", multiple=True, type=click.Choice(get_args(Kind)), help="Only masks of this kind; repeatable."
)
@click.option(
    "--tag", "tags", multiple=True, help="Only masks with this tag; repeated: only masks with all of the tags."
)
@click.option("--design", "designs", multiple=True, metavar="NAME", help="Only this design; repeatable.")
@click.option(
    "--save",
    "save",
    multiple=True,
    type=click.Choice(formats.SAVES),
    help="Save landmarks in the manifest, or as PNG how much of each pixel is mask or where one could be; repeatable.",
)
@click.option("--save-landmarks", is_flag=True, help="The same as --save landmarks.")
@_setting(
    "--quality",
    "quality",
    type=click.IntRange(1, 100),
    help="Quality of JPEG and WebP.  [default: as each input was encoded]",
)
@_setting(
    "--max-pixels",
    "max_pixels",
    type=click.IntRange(1, formats.PILLOW_MAX_PIXELS),
    help="Refuse larger pictures.",
)
@_setting(
    "--truncated",
    "truncated",
    type=click.Choice(get_args(formats.Truncated)),
    help="What to do with pictures that were cut short: mask what is left of them, or let them fail.",
)
@click.option("--limit", type=click.IntRange(min=1), help="Take only this many pictures, the first ones.")
@click.option(
    "--resume", "existing", flag_value="resume", help="Go on with a former run; the default when there is one."
)
@click.option("--overwrite", "existing", flag_value="overwrite", help="Delete what a former run wrote and start anew.")
@click.option("--retry-failed", is_flag=True, help="Also try inputs again that failed in a former run.")
@click.option(
    "--checksum", is_flag=True, help="See by contents which files changed since a former run, not by size and time."
)
@click.option("--prune", is_flag=True, help="Drop rows and outputs of inputs that are gone.")
@click.option("--dry-run", is_flag=True, help="Say what would be done; write nothing.")
@console.quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON.")
@click.option("--verbose", is_flag=True, help="Show where unexpected failures come from.")
@click.pass_context
def augment(
    ctx: click.Context,
    /,
    folders: tuple[Path, ...],
    demo: bool,
    workers: int | None,
    shard: run.Share | None,
    cluster: str | None,
    limit: int | None,
    existing: str | None,
    retry_failed: bool,
    checksum: bool,
    prune: bool,
    dry_run: bool,
    as_json: bool,
    verbose: bool,
    **settings: Any,
) -> None:
    """Put masks on the faces in IN, a folder or one picture, and write the same to OUT.

    IN is never written to. OUT gets the masked pictures, manifest.jsonl with a row for every input, and run.json with
    the settings. A run that was stopped goes on when the same command is given again.

    More: 'maskgen help formats', 'maskgen help manifest', 'maskgen help masks', 'maskgen help runs'.
    """
    if verbose:
        console.show_log()
    check_where(ctx, workers, cluster)
    if cluster is not None and (demo or _is_one_picture(folders)):
        raise click.UsageError("one picture and the demo are for this machine: leave out --cluster", ctx)
    refuse_whole(ctx, shard, {"--overwrite": existing == "overwrite", "--prune": prune, "--demo": demo})
    execution = run.Execution(workers, limit, existing or "auto", retry_failed, checksum, prune, shard, cluster)  # type: ignore[arg-type]
    with _source(ctx, folders, demo, settings, existing) as (source, target):
        if ctx.get_parameter_source("faces") is click.core.ParameterSource.DEFAULT and (demo or settings["align"]):
            settings["faces"] = "central" if settings["align"] else "all"
        name = "demo photographs" if demo else None
        try:
            job = run.Job(source, target, run.AugmentSettings(**settings), execution, name)
        except ValidationError as error:
            raise click.UsageError(first_fault(error), ctx) from error
        if dry_run:
            with run.prepare(job) as plan:
                _say_masks(plan.masks)
                _say_plan(plan.count(), as_json)
            return
        started = time.monotonic()
        summary = carried_out(ctx, job, _say_masks)
        say_summary(summary, folders[-1], time.monotonic() - started, as_json)
    if summary.progress.failed or (summary.shares is None and summary.counts.failed):
        ctx.exit(console.FAILED_INPUTS)


@contextmanager
def _source(
    ctx: click.Context, folders: tuple[Path, ...], demo: bool, settings: Mapping[str, Any], existing: str | None
) -> Iterator[tuple[Path, Path]]:
    if len(folders) != (1 if demo else 2):
        expected = "OUT alone with --demo" if demo else "IN and OUT"
        raise click.UsageError(f"expected {expected}, got {console.counted(len(folders), 'folder')}", ctx)
    if not demo and _is_one_picture(folders):
        with _one_picture(ctx, folders[0], folders[1], settings, existing) as both:
            yield both
        return
    if not demo:
        yield folders[0], folders[1]
        return
    with scratch() as folder:
        for photograph in samples.photographs(DEMO):
            # With its time of change, by which the next run knows it again.
            shutil.copy2(photograph, folder)
        yield folder, folders[0]


def _is_one_picture(folders: tuple[Path, ...]) -> bool:
    return len(folders) == 2 and formats.format_of(folders[0].name) is not None and folders[0].is_file()


@contextmanager
def _one_picture(
    ctx: click.Context, source: Path, target: Path, settings: Mapping[str, Any], existing: str | None
) -> Iterator[tuple[Path, Path]]:
    """A folder with one picture alone, and one for what comes of it, which is then put in its place."""
    if formats.format_of(target.name) is None:
        raise click.UsageError(f"{source} is one picture, and so must OUT be: {target.name}.jpg, for example", ctx)
    if settings["variants"] > 1 or settings["originals"] or settings["copy_skipped"]:
        raise click.UsageError("one picture gives one: leave out --variants, --originals and --copy-skipped", ctx)
    if target.exists() and target.samefile(source):
        raise ConfigError(f"{target}: is the input, which is never written to", "choose another name")
    beside = {
        name: target.with_name(f"{target.stem}.{name}.png") for name in formats.BESIDE if name in settings["save"]
    }
    for path in (target, *beside.values()):
        if os.path.lexists(path) and existing != "overwrite":
            raise ConfigError(f"{path}: is there already", "choose another name or use {existing=overwrite}")
    with scratch() as folder:
        (folder / "in").mkdir()
        # Under the name of the result, whose ending says how to encode it.
        shutil.copy2(source, folder / "in" / target.name)
        yield folder / "in", folder / "out"
        if not (folder / "out").exists():  # a dry run
            return
        (row,) = manifest.read(folder / "out" / manifest.MANIFEST_FILE)
        if row.status != "done":
            raise ImageError(f"{source}: no mask was put on it: {row.message or row.reason}", row.remedy or "")
        saved = row.variants[0].extras or manifest.Extras()
        for name, path in beside.items():
            files.write_whole(path, (folder / "out" / getattr(saved, name)).read_bytes())
        files.write_whole(target, (folder / "out" / target.name).read_bytes())


def _say_masks(masks: run.Masks) -> None:
    say_masks(masks.catalog)
    if masks.newer:
        console.note(
            f"not taken  {console.counted(len(masks.newer), 'design')} added since this run began "
            f"({some_of(masks.newer, _MOST_NAMED)}); "
            "--overwrite starts anew with all"
        )


def _say_plan(plan: run.Numbers, as_json: bool) -> None:
    numbers = {
        "pending": plan.pending,
        "without_work": plan.faults.total(),
        "settled": plan.settled,
        "outdated": plan.outdated,
        "vanished": plan.vanished,
        "left": plan.left,
    }
    if as_json:
        console.answer_json({"dry_run": True, **numbers})
        return
    console.table(
        [
            ("would mask", f"{console.counted(plan.pending, 'picture')}, {numbers['outdated']} of them again"),
            ("no work", f"{console.counted(plan.faults.total(), 'entry', 'entries')}: {tally(plan.faults)}"),
            ("settled before", str(numbers["settled"])),
            ("gone since", console.counted(plan.vanished, "input")),
            ("left for later", str(numbers["left"])),
        ]
    )
