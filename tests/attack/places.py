"""Folders and files that the readers of an attack work with."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path


@cache
def _keeper() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="maskgen-fuzz-seeds-", ignore_cleanup_errors=True)


def scratch() -> Path:
    """A folder for what whole inputs are made of; it goes with the process."""
    return Path(_keeper().name)


def written(path: Path, raw: bytes) -> Path:
    """A file with these bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(raw)
    return path
