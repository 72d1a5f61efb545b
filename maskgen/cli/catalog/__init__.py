"""``maskgen catalog``: the masks there are to choose from."""

from __future__ import annotations

import click

from maskgen.cli.console import Lazy, LazyGroup

_HERE = "maskgen.cli.catalog"


@click.group(
    cls=LazyGroup,
    short_help="List, show, check and change mask catalogs.",
    lazy={
        "add": Lazy(f"{_HERE}.add:add", "Add masks from pictures."),
        "check": Lazy(f"{_HERE}.check:check", "Check files, hashes, folds and coverage."),
        "export": Lazy(f"{_HERE}.bundle:export", "Write designs to a zip file."),
        "import": Lazy(f"{_HERE}.bundle:import_", "Add designs from a zip file."),
        "list": Lazy(f"{_HERE}.show:list_", "List the designs."),
        "path": Lazy(f"{_HERE}.show:path", "Print where your own catalog is."),
        "preview": Lazy(f"{_HERE}.preview:preview", "Draw every design on heads."),
        "remove": Lazy(f"{_HERE}.remove:remove", "Remove designs."),
        "render": Lazy(f"{_HERE}.render:render", "Render new designs."),
        "show": Lazy(f"{_HERE}.show:show", "Show one design."),
    },
)
def catalog() -> None:
    """Mask catalogs: a folder with catalog.json and one PNG per view of each design.

    The catalog that ships with maskgen is only read. Your own masks go to a catalog of your own, which every command
    sees too. More: 'maskgen help catalogs'.
    """
