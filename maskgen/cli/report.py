"""``maskgen report``: a page on runs, trainings and evaluations."""

from __future__ import annotations

from pathlib import Path

import click

from maskgen import files
from maskgen.cli import console
from maskgen.cli.catalog import options


@click.command(cls=console.Command)
@click.argument("outputs", nargs=-1, required=True, metavar="OUT...", type=click.Path(path_type=Path))
@click.option(
    "-o",
    "--out",
    default="report.html",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The page to write.",
)
@options.overwriting
def report(outputs: tuple[Path, ...], out: Path, existing: files.Existing) -> None:
    """Write one HTML page on what 'maskgen augment', 'maskgen train' or 'maskgen eval --out' wrote to OUT.

    The page holds all that it shows: totals, reasons with examples, distributions, pictures before and after, the
    hardest faces, settings and hashes; of trainings the curves and the figures of the people held out; of evaluations
    the figures and the ROC.
    """
    from maskgen.report.page import page

    if out.suffix.lower() not in (".html", ".htm"):
        raise click.UsageError(f"{out}: the page is HTML, give a name that ends in .html")
    files.refuse_existing(out, existing)
    files.write_output(out, page(outputs).encode(), existing)
    console.answer(f"written  {out}")
