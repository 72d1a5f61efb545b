"""Packages that not every installation has."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import maskgen
from maskgen.errors import ConfigError


def require_extra(command: str, extra: str, packages: Sequence[str]) -> None:
    """Make sure that packages are installed.

    Raises
    ------
    ConfigError
        Names those that are missing, and how to install the extra that brings them.
    """
    missing = [package for package in packages if importlib.util.find_spec(package) is None]
    if missing:
        raise ConfigError(f"{command} needs {', '.join(missing)}", f"install them with: {install(extra)}")


def install(extra: str) -> str:
    """The command that installs an extra: of the checkout that runs, or of the installed package."""
    checkout = Path(maskgen.__file__).parents[1]
    if not (checkout / "setup.cfg").is_file():
        return f"pip install 'maskgen[{extra}]'"
    return f"pip install '{'.' if checkout == Path.cwd() else checkout}[{extra}]'"
