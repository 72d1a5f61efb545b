"""``maskgen catalog check``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from maskgen.catalog import check as checks
from maskgen.catalog.store import Catalog
from maskgen.cli import console
from maskgen.cli.catalog import options
from maskgen.cli.catalogs import read_from


@dataclass(frozen=True)
class _Findings:
    """What was found in a catalog; folds and gaps by design."""

    root: Path
    designs: int
    faults: list[str]
    folds: dict[str, list[checks.Fold]]
    gaps: dict[str, list[tuple[int, int]]]
    strays: list[str]


@click.command(cls=console.Command)
@read_from()
@options.as_json
@click.pass_context
def check(ctx: click.Context, catalog: tuple[str, ...], as_json: bool) -> None:
    """Check catalogs: schema, pictures, their hashes, masks that fold, and which head rotations no view is for.

    Faults give exit code 1. Three findings are reported, but are no faults. A gap: no view is for this head rotation,
    so faces turned like that are skipped. A fold: the mask has a hole on heads turned like that. A stray: a picture
    that no design names.
    """
    loaded = Catalog.load(catalog)
    found = [_found(loaded, root) for root in loaded.roots]
    if as_json:
        console.answer_json({"catalogs": [_report(one) for one in found]}, indent=1)
    else:
        for one in found:
            _say(one)
    if any(one.faults for one in found):
        ctx.exit(console.ERROR)


def _found(catalog: Catalog, root: Path) -> _Findings:
    designs = [design for design in catalog.designs if design.root == root]
    return _Findings(
        root,
        len(designs),
        [fault for design in designs for fault in checks.faults_of(design)],
        {design.entry.name: list(checks.folds_of(design)) for design in designs},
        {design.entry.name: checks.yaw_gaps(design) for design in designs},
        checks.strays_of(root, designs),
    )


def _report(found: _Findings) -> dict[str, Any]:
    return {
        "catalog": str(found.root),
        "designs": found.designs,
        "faults": found.faults,
        "yaw_gaps_deg": found.gaps,
        "folds": {name: [vars(fold) for fold in folds] for name, folds in found.folds.items()},
        "strays": found.strays,
    }


def _say(found: _Findings) -> None:
    rows = [("fault", fault) for fault in found.faults]
    rows += [
        (
            "fold",
            f"{fold.view}: {console.counted(fold.triangles, 'triangle')}, {fold.share:.1%} of the mask, turn over "
            f"at yaw {fold.yaw:g}, pitch {fold.pitch:g}",
        )
        for folds in found.folds.values()
        for fold in folds
    ]
    rows += [
        ("gap", f"{name}: no view for yaw {', '.join(map(_said, gaps))}") for name, gaps in found.gaps.items() if gaps
    ]
    rows += [("stray", stray) for stray in found.strays]
    if rows:
        console.table(rows)
    numbers = [console.counted(found.designs, "design"), console.counted(len(found.faults), "fault")]
    numbers.append(console.counted(sum(map(len, found.folds.values())), "fold"))
    console.answer(f"{found.root}: {', '.join(numbers)}")


def _said(interval: tuple[int, int]) -> str:
    low, high = interval
    return f"{low} to {high}" if high > low else str(low)
