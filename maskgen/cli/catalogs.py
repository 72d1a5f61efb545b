"""The catalogs that commands see, and what they say of the masks that take part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from maskgen.catalog.places import OWN, SHIPPED, default_catalog_dir, folder_of, places_seen, whole_place
from maskgen.cli import console

if TYPE_CHECKING:
    from maskgen.catalog.store import Catalog


class CatalogType(click.ParamType):  # type: ignore[type-arg,unused-ignore]
    """The name of a catalog, ``shipped`` or ``own``, or a folder; folders are resolved here."""

    name = "NAME|DIR"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The place, as it means the same in every process."""
        place = whole_place(value)
        if place != SHIPPED and Path(place).is_file():
            self.fail(f"{value} is a file, not the folder of a catalog, nor {SHIPPED} or {OWN}", param, ctx)
        return place


def _seen(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    return value or places_seen()


def read_from(what: str = "Masks of this catalog") -> Callable[[Any], Any]:
    """The option that says which catalogs a command reads; by default the one that ships and the user's own.

    Parameters
    ----------
    what : str
        What its help begins with.
    """
    return click.option(
        "--catalog",
        "catalog",
        multiple=True,
        type=CatalogType(),
        callback=_seen,
        help=f"{what}: {SHIPPED}, {OWN} or a folder; repeatable.  [default: {SHIPPED}, and {OWN} if there is one]",
    )


def _folder(ctx: click.Context, param: click.Parameter, value: str) -> Path:
    return folder_of(value)


write_to: Callable[[Any], Any] = click.option(
    "--catalog",
    "catalog",
    type=CatalogType(),
    default=OWN,
    callback=_folder,
    help="Catalog to change, a folder.  [default: your own, see 'maskgen catalog path']",
)


def say_masks(catalog: Catalog) -> None:
    """Say how many designs take part, and how many of them are the user's own, to those who have some."""
    if catalog.roots == (default_catalog_dir(),):
        return
    own = catalog.own
    said = f"{console.counted(len(catalog.designs), 'design')}, {len(own) or 'none'} of your own"
    # Of the draws: a design without a view for a face is not drawn for it.
    console.note(f"masks      {said}" + (f": {catalog.own_share * 100:.3g} % of the masks" if own else ""))
