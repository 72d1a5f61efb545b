"""``maskgen eval``: how well recognition networks know people, with masks and without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

import click

from maskgen.catalog.schema import CORRECT, WEARS
from maskgen.cli import console
from maskgen.cli.aligned import aligned_said
from maskgen.cli.catalogs import read_from, say_masks
from maskgen.cli.extras import require_extra
from maskgen.cli.wears import WearType
from maskgen.evaluate.results import FEWER_RESAMPLES, MANY_PAIRS, RESAMPLES, Condition, MadeName
from maskgen.formats import Protocol
from maskgen.plural import tally
from maskgen.scratch import scratch

if TYPE_CHECKING:
    from maskgen.arrays import Image
    from maskgen.catalog.schema import WearShares
    from maskgen.catalog.store import Catalog
    from maskgen.datasets.pairs import Pairs
    from maskgen.datasets.protocols import Found
    from maskgen.evaluate.embed import Embed
    from maskgen.evaluate.report import Pictures
    from maskgen.evaluate.results import EvalReport

# What --make takes.
_OF_MAKING: Final = frozenset({"models", "made", "seed", "pack", "workers", "form", "quiet"})


@click.command("eval", cls=console.Command, short_help="Measure recognition networks.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--protocol",
    type=click.Choice(get_args(Protocol)),
    help="The pairs of this protocol, found with their pictures in the folder --root.",
)
@click.option(
    "--pairs",
    type=click.Path(path_type=Path, dir_okay=False),
    help="LFW's pairs.txt, lines 'path path 1', or CALFW's and CPLFW's lines 'path 1'.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where the pictures of --pairs are: a folder, a train.rec, shards of tar; or the folder of --protocol.",
)
@click.option(
    "--bin", "bin_file", type=click.Path(path_type=Path, dir_okay=False), help="An InsightFace verification set."
)
@click.option(
    "--mask",
    "conditions",
    multiple=True,
    type=click.Choice(get_args(Condition)),
    default=("none",),
    show_default=True,
    help="Who wears a mask; repeatable.",
)
@click.option(
    "--wear",
    type=WearType(),
    metavar="NAME=WEIGHT,...",
    default=CORRECT,
    show_default="correct=1",
    help=f"How the masks of --mask are worn: {', '.join(WEARS)}, and how often each.",
)
@click.option(
    "--make",
    "made",
    type=click.Choice(get_args(MadeName)),
    help="Measure nothing: put masks on the pictures of LFW, with its list and hashes; give IN OUT instead of models.",
)
@click.option("--before", metavar="MODEL", help="A model to put above the others in the table.")
@click.option(
    "--aligned/--photographs",
    "aligned",
    default=None,
    help="Whether the pictures of --root are 112x112 ArcFace crops.  [default: by their sizes]",
)
@click.option(
    "--model", "pack", default="bundled", show_default=True, metavar="NAME|DIR", help="Pack that finds the faces."
)
@click.option(
    "--faces",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="CACHE",
    help="Observed faces, as 'maskgen faces' keeps them; what lacks is added.  [default: in --out]",
)
@read_from("Masks for --mask, of this catalog")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(min=0), help="Decides which masks are put on."
)
@click.option(
    "--workers", default=2, show_default=True, type=click.IntRange(min=1), help="Processes that search for faces."
)
@click.option("--threads", default=0, type=click.IntRange(min=0), help="Cores for the network.  [default: all]")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder for eval.json, eval.md, eval.csv, roc.png, and the faces found, which the next evaluation takes.",
)
@click.option(
    "--resamples",
    type=click.IntRange(min=0),
    help="How often people are drawn again for the intervals; 0 for none.  "
    f"[default: {RESAMPLES}; {FEWER_RESAMPLES} for more than {MANY_PAIRS} pairs]",
)
@click.option("--parts", is_flag=True, help="Print figures by yaw, face size, wear and kind of mask, too.")
@console.quiet_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "markdown", "csv", "json"]),
    default="table",
    show_default=True,
    help="What to print.",
)
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.pass_context
def evaluate(
    ctx: click.Context,
    /,
    models: tuple[str, ...],
    protocol: Protocol | None,
    pairs: Path | None,
    root: Path | None,
    bin_file: Path | None,
    made: MadeName | None,
    conditions: tuple[Any, ...],
    wear: WearShares,
    before: str | None,
    aligned: bool | None,
    pack: str,
    faces: Path | None,
    catalog: tuple[str, ...],
    seed: int,
    workers: int,
    threads: int,
    out: Path | None,
    resamples: int | None,
    parts: bool,
    form: str,
) -> None:
    """Measure recognition networks on pairs of pictures: accuracy, AUC, EER, TAR at FAR, FNMR at FMR, rank-1.

    MODEL is an ONNX file, a backbone.pth or a pack. All models see the same crops and the same masks. A figure for
    which there are too few impostor pairs is refused. More: 'maskgen help evaluation'.
    """
    if made is not None:
        if len(models) != 2:
            raise click.UsageError(f"--make {made} takes IN and OUT instead of models", ctx)
        _refuse_others(ctx, made)
        _make(ctx, made, Path(models[0]), Path(models[1]), seed, pack, workers, form == "json")
        return
    if [bin_file, pairs, protocol].count(None) != 2 or (bin_file is None) != (root is not None):
        raise click.UsageError("expected --pairs with --root, --protocol with --root, or --bin", ctx)
    require_extra("maskgen eval", "eval", ("matplotlib",))
    from maskgen import files
    from maskgen.catalog.store import Catalog
    from maskgen.evaluate import report as reporting
    from maskgen.evaluate import tables
    from maskgen.evaluate.compare import bootstrap_of, compare
    from maskgen.evaluate.curves import with_roc
    from maskgen.evaluate.results import EvalReport

    with contextlib.nullcontext() if out is None else files.locked(out / files.LOCK_FILE):
        # All that may be missing is asked for before the search for faces, which can take hours.
        names = list(dict.fromkeys([*([before] if before else []), *models]))
        embedders = [(name, _embedder(name, threads)) for name in names]
        wants_masks = any(condition != "none" for condition in conditions)
        masks = Catalog.load(catalog) if wants_masks else None
        if masks is not None:
            say_masks(masks)
        if protocol is not None:
            assert root is not None
            pairs, root = _found(protocol, root)
        listed = _listed(pairs, root, bin_file, aligned)
        pictures = _collect(listed, masks, wear, pack, seed, workers, faces, out)
        how = bootstrap_of(listed.pairs, pictures.is_usable, resamples)
        chosen = tuple(dict.fromkeys(conditions))
        rows, curves = [], []
        for name, embed in embedders:
            with console.progress(f"pictures for {name}") as show:
                embeddings = reporting.embedded(pictures, embed, _shown(show))
            with console.progress("resamples") as show:
                found, drawn = compare(name, embeddings, listed.pairs, chosen, how.resamples, seed, _shown(show))
            rows += found
            curves += drawn
        rows = with_roc(rows, curves)
        report = EvalReport(
            pairs=str(pairs or bin_file),
            protocol=protocol,
            seed=seed,
            left_out=dict(pictures.left_out),
            rows=tuple(rows),
            bootstrap=how,
        )
        written = () if out is None else tables.write(out, report, curves)
    _say(report, form, parts, out, written)


def _refuse_others(ctx: click.Context, made: MadeName) -> None:
    """Refuse options that do nothing where a set is made."""
    for param in ctx.command.params:
        is_given = ctx.get_parameter_source(param.name or "") is click.core.ParameterSource.COMMANDLINE
        if is_given and param.name not in _OF_MAKING:
            raise click.UsageError(f"--make {made} measures nothing: leave out {param.opts[0]}", ctx)


def _shown(show: Callable[[console.Advance], None]) -> Callable[[int, int], None]:
    return lambda done, total: show(console.Advance(done, total))


def _make(
    ctx: click.Context, name: MadeName, source: Path, target: Path, seed: int, pack: str, workers: int, as_json: bool
) -> None:
    from maskgen.cli.running import carried_out
    from maskgen.datasets import protocols
    from maskgen.evaluate import make

    found = protocols.find("lfw", source)
    _say_found(found)
    with make.never_overwriting():
        summary = carried_out(ctx, make.job_of(name, found, target, seed, pack, workers))
    made = make.finish(name, found, target, summary)
    if as_json:
        console.answer_json(made.model_dump(mode="json"))
        return
    console.table(
        [
            ("pictures", f"{made.pictures}, without a mask and left out {made.without_mask}: {tally(made.reasons)}"),
            ("pairs", str(made.pairs)),
            ("SHA-256", f"{made.sums_sha256} of {make.SUMS_FILE}"),
            ("written", f"{target}: {name}, {make.LIST_FILE}, {make.SUMS_FILE}, {name}.json"),
        ]
    )


def _found(protocol: Protocol, root: Path) -> tuple[Path, Path]:
    """The list of a protocol and the folder of its pictures."""
    from maskgen.datasets import protocols

    found = protocols.find(protocol, root)
    _say_found(found)
    return found.path, found.folder


def _say_found(found: Found) -> None:
    from maskgen.datasets.protocols import LAYOUTS

    number = len(found.pairs.is_same)
    published = LAYOUTS[found.protocol].pairs
    console.note(
        f"protocol   {found.protocol}: {console.counted(number, 'pair')} of {found.path}"
        f"{'' if number == published else f', which was published with {published}'}; pictures in {found.folder}"
    )


def _embedder(name: str, threads: int) -> Embed:
    from maskgen.evaluate.embed import STATE_SUFFIXES, Embedder, file_of

    path = file_of(name)
    if path.suffix not in STATE_SUFFIXES:
        return Embedder(path, threads)
    require_extra("maskgen eval of a .pth", "train", ("torch",))
    import torch

    from maskgen.train.bases import embed_with, load

    torch.set_num_threads(threads or torch.get_num_threads())
    return embed_with(load(str(path)), name)


class _Listed(NamedTuple):
    pairs: Pairs
    keys: dict[str, str]
    """Name -> what `read` takes."""
    read: Callable[[str], Image]
    is_aligned: bool
    container: Path | None = None


def _listed(pairs_file: Path | None, root: Path | None, bin_file: Path | None, aligned: bool | None) -> _Listed:
    from maskgen.datasets import pairkeys, pairlists, pairs, verification
    from maskgen.datasets.open import format_of_path
    from maskgen.datasets.people import seem_aligned
    from maskgen.datasets.places import read_picture

    if bin_file is not None:
        bin_set = verification.read_bin(bin_file)
        listed = pairs.of_bin(bin_set.is_same)
        return _Listed(listed, {name: name for name in listed.names}, bin_set.read, True, bin_file)
    assert pairs_file is not None
    assert root is not None
    is_packed = format_of_path(root) not in ("folder", "metadata")
    if is_packed and not (root.is_dir() and _names_files(pairs_file, root)):
        listed, places = pairkeys.read_keyed(pairs_file, root)
    else:
        listed = pairlists.read_pairs(pairs_file, root)
        places = {name: str(root / name) for name in listed.names}
    is_aligned = aligned
    if is_aligned is None:
        is_aligned = seem_aligned([places[name] for name in listed.names if name not in listed.missing])
    console.note(f"aligned    {aligned_said(is_aligned, 'sizes' if aligned is None else 'settings')}")
    return _Listed(listed, places, read_picture, is_aligned)


def _names_files(pairs_file: Path, root: Path) -> bool:
    """Whether a list names files in a folder in which records or shards lie as well."""
    from maskgen.datasets.pairlists import read_pairs
    from maskgen.errors import ConfigError

    try:
        read_pairs(pairs_file, root)
    except ConfigError:
        return False
    return True


def _collect(
    listed: _Listed,
    masks: Catalog | None,
    wear: WearShares,
    pack: str,
    seed: int,
    workers: int,
    cache: Path | None,
    out: Path | None,
) -> Pictures:
    from maskgen.datasets.people import people_of
    from maskgen.detect import DetectorSpec
    from maskgen.evaluate import report as reporting
    from maskgen.parallel import LocalExecutor
    from maskgen.recognition.crops import Cropper
    from maskgen.recognition.faces import cache_in, faces_of

    pairs = listed.pairs
    cropper = Cropper(listed.read, listed.is_aligned, masks, wear)
    faces = None
    with scratch() as forgotten:
        if masks is not None or not listed.is_aligned:
            there = ((name, listed.keys[name]) for name in pairs.names if name not in pairs.missing)
            detectors = DetectorSpec(pack, aligned=listed.is_aligned)
            with console.progress("faces") as show_faces:
                faces = faces_of(
                    people_of(there, listed.is_aligned, listed.read, listed.container),
                    cache or cache_in(out or forgotten, detectors, listed.is_aligned),
                    detectors,
                    LocalExecutor(workers),
                    observed=masks is not None,
                    on_progress=lambda now: show_faces(console.Advance(now.done, now.total, failed=now.failed)),
                    on_fault=console.note,
                )
        with console.progress("crops") as show:
            return reporting.collect(pairs.names, listed.keys, pairs.missing, faces, cropper, seed, _shown(show))


def _say(report: EvalReport, form: str, parts: bool, out: Path | None, written: tuple[str, ...]) -> None:
    from maskgen.evaluate import tables

    if form == "json":
        console.answer_json(report.model_dump(mode="json"))
        return
    if form != "table":
        text = tables.markdown(report) if form == "markdown" else tables.comma_separated(report)
        for line in text.splitlines():
            console.answer(line)
        return
    header, *rows = tables.table(report)
    console.table(rows, header)
    if parts and (by_part := tables.parts_table(report)):
        console.answer("")
        console.table(by_part[1:], by_part[0])
        console.answer("")
    facts = tables.facts(report)
    if out is not None:
        facts.append(("written", f"{out}: {', '.join(written)}"))
    console.table(facts)
