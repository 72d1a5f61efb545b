"""``maskgen catalog check``."""

from __future__ import annotations

from pathlib import Path

import click

from maskgen.catalog import check as checks
from maskgen.catalog.store import Catalog
from maskgen.cli import console
from maskgen.cli.catalog import options


@click.command(cls=console.Command)
@options.read_from
@options.as_json
@click.pass_context
def check(ctx: click.Context, catalog: Path | None, as_json: bool) -> None:
    """Check a catalog: schema, pictures, their hashes, masks that fold, and which head rotations no view is for.

    Faults give exit code 1. Three findings are reported, but are no faults. A gap: no view is for this head rotation,
    so faces turned like that are skipped. A fold: the mask has a hole on heads turned like that. A stray: a picture
    that no design names.
    """
    loaded = Catalog.load(catalog)
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
        console.answer_json(report, indent=1)
    else:
        _say(faults, folds, gaps, strays)
        number = sum(map(len, folds.values()))
        console.answer(f"{loaded.root}: {len(loaded.designs)} designs, {len(faults)} faults, {number} views fold")
    if faults:
        ctx.exit(console.ERROR)


def _say(
    faults: list[str],
    folds: dict[str, list[checks.Fold]],
    gaps: dict[str, list[tuple[int, int]]],
    strays: list[str],
) -> None:
    rows = [("fault", fault) for fault in faults]
    rows += [
        (
            "fold",
            f"{fold.view}: {fold.triangles} triangles, {fold.share:.1%} of the mask, turn over "
            f"at yaw {fold.yaw:g}, pitch {fold.pitch:g}",
        )
        for found in folds.values()
        for fold in found
    ]
    rows += [
        ("gap", f"{name}: no view for yaw {low}" + (f" to {high}" if high > low else ""))
        for name, intervals in gaps.items()
        for low, high in intervals
    ]
    rows += [("stray", stray) for stray in strays]
    if rows:
        console.table(rows)
