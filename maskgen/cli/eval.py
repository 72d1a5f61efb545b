"""``maskgen eval``: how well recognition networks know people, with masks and without."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import click

from maskgen.cli import console
from maskgen.cli.aligned import aligned_said
from maskgen.cli.catalogs import read_from, say_masks
from maskgen.cli.extras import require_extra
from maskgen.evaluate.results import Condition
from maskgen.scratch import scratch

if TYPE_CHECKING:
    from maskgen.arrays import Image
    from maskgen.catalog.store import Catalog
    from maskgen.datasets.pairs import Pairs
    from maskgen.evaluate.embed import Embed
    from maskgen.evaluate.report import Pictures
    from maskgen.evaluate.results import EvalReport


@click.command("eval", cls=console.Command, short_help="Measure recognition networks.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "--pairs",
    "pairs_file",
    type=click.Path(path_type=Path, dir_okay=False),
    help="LFW's pairs.txt, lines 'path path 1', or CALFW's and CPLFW's lines 'path 1'.",
)
@click.option(
    "--root",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help="Where the pictures are that --pairs names: a folder, a train.rec, shards of tar.",
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
    help="Folder for eval.json, roc.png and the faces found, which the next evaluation takes from there.",
)
@console.quiet_option
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def evaluate(
    models: tuple[str, ...],
    pairs_file: Path | None,
    root: Path | None,
    bin_file: Path | None,
    conditions: tuple[Any, ...],
    before: str | None,
    aligned: bool | None,
    pack: str,
    faces: Path | None,
    catalog: tuple[str, ...],
    seed: int,
    workers: int,
    threads: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Measure recognition networks on pairs of pictures: accuracy, TAR at FAR, EER, FMR100, rank-1.

    MODEL is an ONNX file, a backbone.pth or a pack. All models see the same crops and the same masks. A figure for
    which there are too few impostor pairs is refused. More: 'maskgen help evaluation'.
    """
    if (bin_file is None) == (pairs_file is None) or (pairs_file is None) != (root is None):
        raise click.UsageError("expected --pairs with --root, or --bin")
    require_extra("maskgen eval", "eval", ("sklearn", "matplotlib"))
    from maskgen import files
    from maskgen.catalog.store import Catalog
    from maskgen.evaluate import report as reporting
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
        listed = _listed(pairs_file, root, bin_file, aligned)
        pictures = _collect(listed, masks, pack, seed, workers, faces, out)
        rows, curves = [], []
        for name, embed in embedders:
            found, drawn = reporting.evaluate(name, embed, listed.pairs, pictures, tuple(dict.fromkeys(conditions)))
            rows += found
            curves += drawn
        rows = with_roc(rows, curves)
        report = EvalReport(
            pairs=str(pairs_file or bin_file), seed=seed, left_out=dict(pictures.left_out), rows=tuple(rows)
        )
        if out is not None:
            files.write_whole(out / "eval.json", report.model_dump_json(indent=1).encode() + b"\n")
            reporting.draw_roc(out / "roc.png", report, curves)
    _say(report, as_json, out)


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
    cropper = Cropper(listed.read, listed.is_aligned, masks)
    faces = None
    with scratch() as forgotten, console.progress("faces") as show:
        if masks is not None or not listed.is_aligned:
            there = ((name, listed.keys[name]) for name in pairs.names if name not in pairs.missing)
            detectors = DetectorSpec(pack, aligned=listed.is_aligned)
            faces = faces_of(
                people_of(there, listed.is_aligned, listed.read, listed.container),
                cache or cache_in(out or forgotten, detectors, listed.is_aligned),
                detectors,
                LocalExecutor(workers),
                observed=masks is not None,
                on_progress=lambda now: show(console.Advance(now.done, now.total, failed=now.failed)),
                on_fault=console.note,
            )
        return reporting.collect(pairs.names, listed.keys, pairs.missing, faces, cropper, seed)


def _say(report: EvalReport, as_json: bool, out: Path | None) -> None:
    from maskgen.evaluate import report as reporting

    if as_json:
        console.answer_json(report.model_dump(mode="json"))
        return
    header, *rows = reporting.table(report)
    console.table(rows, header)
    facts = [("refused", reason) for reason in reporting.refusals(report)]
    facts.append(("measured", reporting.extent(report)))
    left_out = ", ".join(f"{reason} {number}" for reason, number in report.left_out.items())
    facts.append(("left out", f"{console.counted(report.rows[0].left_out, 'pair')}; pictures: {left_out or 'none'}"))
    if out is not None:
        facts.append(("written", f"{out}: eval.json, roc.png"))
    console.table(facts)
