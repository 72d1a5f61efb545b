"""A path to a reader or a writer, by what the path is."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from maskgen.datasets.base import Reader, Writer
from maskgen.datasets.folder import FolderReader
from maskgen.datasets.folder_writer import FolderWriter
from maskgen.errors import ConfigError

_LATER: Final = {".rec": "RecordIO", ".idx": "RecordIO", ".tar": "WebDataset", ".bin": "a verification set"}


def open_reader(source: Path, target: Path, max_pixels: int | None = None) -> Reader:
    """A dataset to read.

    Parameters
    ----------
    source : Path
        A folder of pictures.
    target : Path
        Where the result will be written; it may not lie in the source, nor the source in it.
    max_pixels : int, optional
        Files larger than any picture of so many pixels are not read.

    Raises
    ------
    ConfigError
        If the source is missing, of a format that cannot be read, or overlaps the target.
    """
    resolved, other = source.resolve(), target.resolve()
    refuse_other_formats(source)
    if not resolved.is_dir():
        raise ConfigError(f"{source}: not a folder", "the input must be a folder of pictures")
    if resolved == other or other.is_relative_to(resolved) or resolved.is_relative_to(other):
        raise ConfigError(
            f"{target}: input and output folder lie in each other ({resolved}, {other})",
            "the input is never written to, so choose an output folder beside it",
        )
    return FolderReader(resolved, avoid=other, max_pixels=max_pixels)


def open_writer(target: Path, variants: int, originals: bool, copy_skipped: bool) -> Writer:
    """A dataset to write; the parameters are those of `FolderWriter`."""
    return FolderWriter(target.resolve(), variants, originals, copy_skipped)


def refuse_other_formats(path: Path) -> None:
    """Raise an error for a path of a format that is known, but cannot be read yet.

    Raises
    ------
    ConfigError
        If it is one.
    """
    if path.suffix in _LATER and not path.is_dir():
        raise ConfigError(
            f"{path}: {_LATER[path.suffix]} cannot be read yet", "unpack it to a folder with one folder per identity"
        )
