"""A path to a reader or a writer, by what the path is."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, Final

from maskgen.datasets.base import Reader, Writer
from maskgen.datasets.folder import FolderReader
from maskgen.datasets.folder_writer import FolderWriter
from maskgen.datasets.recordio_property import PROPERTY_FILE, Property
from maskgen.errors import ConfigError, ImageError
from maskgen.formats import BESIDE, Format, MaskSide, format_of
from maskgen.plural import noun

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


def open_writer(target: Path, settings: Any, in_format: Format, reader: Reader | None) -> Writer:
    """A dataset to write.

    Parameters
    ----------
    target : Path
        A new or empty folder, or what a former run wrote; or a ``.bin`` or ``train.rec`` to be written in any folder.
    settings : maskgen.run.AugmentSettings
        What is to be written.
    in_format : str
        Of the input; the output's unless the settings or the ending of the target say otherwise.
    reader : Reader or None
        Of the input, if there is one: a ``metadata.jsonl`` is made from the input's.

    Raises
    ------
    ConfigError
        If the format has no such file.
    """
    by_ending = _ENDINGS.get(target.suffix.lower()) if not target.is_dir() else None
    format = settings.out_format or by_ending or in_format
    resolved = target.resolve()
    if by_ending == format:
        return _writer_of_file(target, format, settings.mask_side, _identities_told(reader))
    if format == "recordio":
        from maskgen.datasets.recordio_writer import RecordWriter

        return RecordWriter(resolved, identities=_identities_told(reader))
    if format == "bin":
        from maskgen.datasets.binset import BinWriter

        return BinWriter(resolved / _BIN_FILE, settings.mask_side)
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


def told_by(reader: Reader) -> tuple[Property | None, list[str]]:
    """What a dataset says of itself beside its pictures, and what is wrong with that by itself, in a sentence each."""
    from maskgen.datasets.recordio import RecordReader

    if not isinstance(reader, RecordReader):
        return None, []
    try:
        told, ranges = reader.told(), reader.ranges()
    except ImageError as error:
        return None, [error.fault]
    if told is None or ranges in (None, told.identities):
        return told, []
    people = f"{told.identities:,} {noun(told.identities, 'identity', 'identities')}"
    return told, [f"{PROPERTY_FILE}: {people}, and {ranges:,} have a range of records"]


def _identities_told(reader: Reader | None) -> int:
    from maskgen.datasets.recordio import RecordReader

    told = None
    if isinstance(reader, RecordReader):
        # What cannot be read says nothing; `maskgen inspect` tells.
        with contextlib.suppress(ImageError):
            told = reader.told()
    return 0 if told is None else told.identities


def _writer_of_file(target: Path, format: Format, mask_side: MaskSide, identities: int) -> Writer:
    """For a file by its name, in a folder that may hold anything."""
    # A link is not followed, so that nothing is overwritten where it leads.
    folder = target.parent.resolve()
    if format == "bin":
        from maskgen.datasets.binset import BinWriter

        return BinWriter(folder / target.name, mask_side, is_alone=False)
    from maskgen.datasets.recordio import REC_FILE
    from maskgen.datasets.recordio_writer import RecordWriter

    if format == "recordio" and target.name == REC_FILE:
        return RecordWriter(folder, is_alone=False, identities=identities)
    called = REC_FILE if format == "recordio" else "shard-000000.tar and so on"
    raise ConfigError(f"{target}: what is written is called {called}", "give the folder for it")
