"""A path to a reader or a writer, by what the path is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

from maskgen.datasets.base import Reader, Writer
from maskgen.datasets.folder import FolderReader
from maskgen.datasets.folder_writer import FolderWriter
from maskgen.errors import ConfigError
from maskgen.formats import BESIDE, Format, format_of

_BIN_FILE: Final = "pairs.bin"
_IS_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_ENDINGS: Final[dict[str, Format]] = {".rec": "recordio", ".idx": "recordio", ".bin": "bin", ".tar": "webdataset"}
"""What a dataset of each ending is."""
# Formats of others, and what to do with them.
_ELSEWHERE: Final = {
    ".lmdb": "unpack it to a folder with one folder per identity",
    ".mdb": "unpack it to a folder with one folder per identity",
    ".tfrecord": "unpack it to a folder with one folder per identity",
    ".parquet": "save it with datasets' ImageFolder layout, a folder with a metadata.jsonl",
    ".zip": "unzip it",
    ".gz": "decompress it",
    ".tgz": "decompress it",
    ".npz": "save its pictures as files",
    ".h5": "save its pictures as files",
}
"""Ending -> what to do."""


def format_of_path(path: Path) -> Format:
    """What a dataset that is to be read is.

    Raises
    ------
    ConfigError
        If there is none at the path, or one that cannot be read.
    """
    text = str(path)
    # Path makes one slash of two.
    if _IS_URL.match(text.replace(":/", "://", 1)):
        raise ConfigError(f"{text}: nothing is fetched from the network", "download it, then give its path")
    ending = path.suffix.lower()
    if "{" in path.name and ending == ".tar":
        return "webdataset"
    if not path.exists():
        raise ConfigError(f"{path}: no such file or folder")
    if path.is_dir():
        return _format_of_folder(path)
    if ending in _ENDINGS:
        return _ENDINGS[ending]
    if ending in _ELSEWHERE:
        raise ConfigError(f"{path}: {ending} is not read", _ELSEWHERE[ending])
    what = "one picture" if format_of(path.name) else "neither a folder nor a file of a known kind"
    raise ConfigError(f"{path}: {what}", "see 'maskgen help formats'")


def _format_of_folder(path: Path) -> Format:
    try:
        names = {entry.name for entry in path.iterdir()}
    except OSError as error:
        raise ConfigError(f"{path}: cannot be listed: {error.strerror}") from error
    if any(name.endswith(".rec") for name in names):
        return "recordio"
    if "metadata.jsonl" in names:
        return "metadata"
    if any(name.endswith(".tar") for name in names) and not any(format_of(name) for name in names):
        return "webdataset"
    return "folder"


def open_reader(
    source: Path,
    target: Path | None,
    max_pixels: int | None = None,
    in_format: Format | None = None,
    root: Path | None = None,
) -> Reader:
    """A dataset to read.

    Parameters
    ----------
    source : Path
        The dataset, or a list of pairs.
    target : Path or None
        Where the result will be written; it may not lie in the source, nor the source in it.
    max_pixels : int, optional
        A file that is larger than any picture of so many pixels is not read.
    in_format : str, optional
        What it is; by default what the path says.
    root : Path, optional
        The folder from which a list of pairs counts its paths; given for nothing else.

    Raises
    ------
    ConfigError
        If the source is missing, of a format that cannot be read, or overlaps the target.
    """
    resolved = source.resolve()
    if root is not None:
        from maskgen.datasets.pairset import PairReader

        _refuse_overlap(root.resolve(), target)
        return PairReader(resolved, root.resolve(), max_pixels)
    format = in_format or format_of_path(source)
    if format != "webdataset" and not resolved.exists():
        raise ConfigError(f"{source}: no such file or folder")
    if format in ("folder", "metadata") and not resolved.is_dir():
        raise ConfigError(f"{source}: not a folder", "the input must be a folder of pictures")
    _refuse_overlap(resolved, target)
    return _reader(format, resolved, target, max_pixels)


def _reader(format: Format, resolved: Path, target: Path | None, max_pixels: int | None) -> Reader:
    # Imported where they are needed: a folder needs none of the others.
    if format == "recordio":
        from maskgen.datasets.recordio import RecordReader

        return RecordReader(_record_file(resolved), max_pixels)
    if format == "bin":
        from maskgen.datasets.binset import BinReader

        return BinReader(resolved)
    if format == "webdataset":
        from maskgen.datasets.webdataset import WebDatasetReader

        return WebDatasetReader(resolved, max_pixels)
    if format == "metadata":
        from maskgen.datasets.metadata import MetadataReader

        return MetadataReader(resolved, max_pixels)
    return FolderReader(resolved, avoid=None if target is None else target.resolve(), max_pixels=max_pixels)


def _record_file(path: Path) -> Path:
    if path.is_dir():
        found = sorted(path.glob("*.rec"))
        if path / "train.rec" in found or len(found) == 1:
            return path / "train.rec" if path / "train.rec" in found else found[0]
        names = ", ".join(file.name for file in found) or "none"
        raise ConfigError(f"{path}: several files could be meant, {names}", "give the path of one")
    return path.with_suffix(".rec") if path.suffix == ".idx" else path


def _refuse_overlap(source: Path, target: Path | None) -> None:
    if target is None:
        return
    other = target.resolve()
    if source == other or other.is_relative_to(source) or source.is_relative_to(other):
        raise ConfigError(
            f"{target}: input and output lie in each other ({source}, {other})",
            "the input is never written to, so choose an output beside it",
        )


def open_writer(target: Path, settings: Any, in_format: Format, reader: Reader) -> Writer:
    """A dataset to write.

    Parameters
    ----------
    target : Path
        A new or empty folder, or what a former run wrote; a file for a verification set.
    settings : maskgen.run.AugmentSettings
        What is to be written.
    in_format : str
        Of the input; the output's unless the settings or the ending of the target say otherwise.
    reader : Reader
        Of the input: a ``metadata.jsonl`` is made from the input's.
    """
    by_ending = _ENDINGS.get(target.suffix.lower()) if not target.is_dir() else None
    format = settings.out_format or by_ending or in_format
    resolved = target.resolve()
    if format == "recordio":
        from maskgen.datasets.recordio_writer import RecordWriter

        return RecordWriter(resolved.parent if resolved.suffix == ".rec" else resolved)
    if format == "bin":
        from maskgen.datasets.binset import BinWriter

        return BinWriter(resolved if resolved.suffix == ".bin" else resolved / _BIN_FILE, settings.mask_side)
    places: dict[str, Any] = {
        "variants": settings.variants,
        "originals": settings.originals,
        "copy_skipped": settings.copy_skipped,
    }
    if format == "webdataset":
        from maskgen.datasets.webdataset_writer import WebDatasetWriter

        saved = tuple(name for name in BESIDE if name in settings.save)
        return WebDatasetWriter(resolved, settings.shard_size, **places, saved=saved)
    if format == "metadata":
        from maskgen.datasets.metadata import MetadataReader, MetadataWriter

        if isinstance(reader, MetadataReader):
            return MetadataWriter(resolved, source=reader, **places)
    return FolderWriter(resolved, **places)


def refuse_other_formats(path: Path) -> None:
    """Raise an error for a path that is no folder of pictures.

    Raises
    ------
    ConfigError
        If it is not.
    """
    format = format_of_path(path)
    if format not in ("folder", "metadata"):
        raise ConfigError(f"{path}: {format} is not read here yet", "'maskgen convert' makes a folder of it")
