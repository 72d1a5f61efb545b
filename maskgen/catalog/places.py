"""Which catalogs there are: the one that ships, a user's own, and any folder. Imports pydantic and nothing heavier."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator

CATALOG_FILE: Final = "catalog.json"
SHEET_FILE: Final = "contact-sheet.png"
"""A picture of what was added last, beside it; of no design."""
SHIPPED: Final = "shipped"
"""The name of the catalog that ships with maskgen."""
OWN: Final = "own"
"""The name of a user's own catalog."""
OWN_CATALOG_VARIABLE: Final = "MASKGEN_CATALOG"
"""The environment variable that says where a user's own catalog lies."""


def default_catalog_dir() -> Path:
    """The catalog that ships with maskgen."""
    package = Path(__file__).parents[1]
    installed = package / "masks"
    return installed if installed.is_dir() else package.parent / "masks"


def user_catalog_dir() -> Path:
    """The catalog for a user's own masks, outside the installed package; it need not exist yet.

    ``$MASKGEN_CATALOG``, else ``maskgen/catalog`` in the place for a user's data: ``$XDG_DATA_HOME`` or
    ``~/.local/share``, ``~/Library/Application Support`` on macOS, ``%LOCALAPPDATA%`` on Windows.
    """
    if given := os.environ.get(OWN_CATALOG_VARIABLE):
        return Path(given).expanduser().absolute()
    # Imported late: the catalog that ships is found without it.
    import platformdirs

    return platformdirs.user_data_path("maskgen", appauthor=False) / "catalog"


def whole_place(place: str | Path) -> str:
    """A catalog's place as it means the same in every process: ``shipped``, or the absolute path of a folder.

    The catalog that ships keeps its name, because it lies elsewhere on another machine. A `Path` is always a folder.

    Examples
    --------
    >>> whole_place("shipped")
    'shipped'
    >>> whole_place(Path("/masks"))
    '/masks'
    """
    if place == SHIPPED:
        return SHIPPED
    return str(user_catalog_dir() if place == OWN else Path(place).expanduser().absolute())


def folder_of(place: str | Path) -> Path:
    """The folder of a catalog, given by name or as a folder."""
    whole = whole_place(place)
    return default_catalog_dir() if whole == SHIPPED else Path(whole)


def whole_places(places: str | Path | Sequence[str | Path] | None) -> tuple[str, ...]:
    """Places of catalogs as `whole_place` has them, each once; None is the catalog that ships."""
    if places is None:
        return (SHIPPED,)
    listed = [places] if isinstance(places, (str, Path)) else places
    return tuple(dict.fromkeys(whole_place(place) for place in listed)) or (SHIPPED,)


def places_seen() -> tuple[str, ...]:
    """What commands see unless they are told otherwise: the catalog that ships, and the user's own if there is one."""
    own = user_catalog_dir()
    # No error where the folder may not be looked into: whoever has masks there finds them missing.
    return (SHIPPED, str(own)) if os.path.exists(own / CATALOG_FILE) else (SHIPPED,)


def name_of(root: Path) -> str:
    """What to call the catalog of a folder: ``shipped``, ``own`` or its path."""
    if root == default_catalog_dir():
        return SHIPPED
    return OWN if root == user_catalog_dir() else str(root)


def _checked(value: Any) -> Any:
    listed = value if isinstance(value, (list, tuple)) else [value]
    if value is None or all(isinstance(place, (str, Path)) for place in listed):
        return whole_places(value)
    return value


Places = Annotated[tuple[str, ...], BeforeValidator(_checked)]
"""Catalogs in settings: one name or folder, or several; resolved where the settings are made."""
