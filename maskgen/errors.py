"""What can go wrong that a caller can act on, each with its remedy. This module imports nothing of maskgen.

A remedy is data: where it names a setting, the name stands in braces, with the value where one is meant, such as
``"raise {max_pixels}"`` or ``"use {existing=overwrite}"``. `worded` turns the braces into words. The library says
``max_pixels``; the command line says ``--max-pixels``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar

_SETTING = re.compile(r"\{([a-z_]+)(?:=([a-z0-9_]+))?\}")


def worded(remedy: str, setting: Callable[[str, str | None], str] | None = None) -> str:
    """A remedy in words.

    Parameters
    ----------
    remedy : str
        Settings in braces.
    setting : callable, optional
        (name, value or None) to what it is called; by default the name itself, or ``name=value``.

    Examples
    --------
    >>> worded("scale it down or raise {max_pixels}")
    'scale it down or raise max_pixels'
    >>> worded("use {existing=overwrite}", lambda name, value: f"--{value}")
    'use --overwrite'
    """
    name_of = setting or (lambda name, value: name if value is None else f"{name}={value}")
    return _SETTING.sub(lambda match: name_of(match[1], match[2]), remedy)


class MaskgenError(Exception):
    """Any error of maskgen.

    Parameters
    ----------
    fault : str
        What is wrong, and where.
    remedy : str
        What to do, with settings in braces. Text that comes from outside, such as a path, belongs into the fault.
    """

    def __init__(self, fault: str, remedy: str = "") -> None:
        # Both are arguments of Exception, or the error would lose one on its way from a worker process.
        super().__init__(fault, remedy)
        self.fault = fault
        self.remedy = remedy

    def __str__(self) -> str:
        return self.said()

    def said(self, setting: Callable[[str, str | None], str] | None = None) -> str:
        """Fault and remedy in one sentence; `setting` as in `worded`."""
        return f"{self.fault}; {worded(self.remedy, setting)}" if self.remedy else self.fault


class ImageError(MaskgenError):
    """A picture cannot be read or written."""

    reason: ClassVar[str] = "bad_image"
    """What the manifest calls it."""


class PlaceTakenError(ImageError):
    """Where a picture would be written, there is something that maskgen did not write."""

    reason = "in_the_way"


class ModelError(MaskgenError):
    """A model pack is missing, incomplete or cannot be run."""


class CatalogError(MaskgenError):
    """A mask catalog is missing, malformed or incomplete."""


class ConfigError(MaskgenError):
    """Settings contradict each other or the files on disk."""
