"""``manifest.jsonl``: a row per line, in the order in which inputs were done; once a run ends, in that of their keys.

Above `MOST_PLAIN_ROWS` rows it ends as ``manifest.jsonl.gz``.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

from pydantic import ValidationError

from maskgen import files, linelog
from maskgen.errors import ConfigError
from maskgen.manifest.rows import Row
from maskgen.manifest.runs import Counts, Tally
from maskgen.ordering import Sorted
from maskgen.schema import first_fault

MANIFEST_FILE: Final = "manifest.jsonl"
PACKED_FILE: Final = f"{MANIFEST_FILE}.gz"
MOST_PLAIN_ROWS: Final = 1_000_000
"""Of a manifest that is not compressed when a run ends."""
# Enough for the repeated words of a row, in a quarter of the time of the highest.
_LEVEL: Final = 6
# How `line_of` begins.
_KEY: Final = b'{"key":"'


def path_of(folder: Path) -> Path:
    """Where the manifest of an output lies, compressed or not; if there is none, where it would."""
    plain, packed = folder / MANIFEST_FILE, folder / PACKED_FILE
    # A manifest is there twice where a run was killed as it compressed it, or took it out again.
    return packed if packed.exists() and not plain.exists() else plain


def line_of(row: Row) -> str:
    """A row as it stands in a manifest, without what every row has and what this one has not."""
    return row.model_dump_json(exclude_defaults=True)


def read(path: Path) -> Iterator[Row]:
    """The rows of a manifest, one after the other.

    While a run goes on, or after it was killed, a key may come twice: the later row holds.

    Parameters
    ----------
    path : Path
        ``manifest.jsonl``, or ``manifest.jsonl.gz``.

    Raises
    ------
    ConfigError
        If the file is missing, or a line is not a row; names the line. A last line without its newline was being
        written when the run was killed, and is passed over.
    """
    for number, line in enumerate(_lines(path), start=1):
        yield row_of(path, number, line)


def sort(path: Path, is_kept: Callable[[str], bool] = lambda key: True, counts: Counts | None = None) -> Counts:
    """Put a manifest in the order of its keys, the latest row of each, and count. Keys are sorted on disk.

    Parameters
    ----------
    path : Path
        ``manifest.jsonl``.
    is_kept : callable
        Says of a key whether its row stays.
    counts : Counts, optional
        Of all lines, by those who wrote them. They hold if each line has a key of its own, and all stay; then only the
        keys are read.

    Raises
    ------
    ConfigError
        As `read`.
    """
    tally, kept = Tally(), 0
    with named_faults(path):
        keys = (
            (key_of(path, number, line), offset) for number, (offset, line) in enumerate(linelog.lines(path), start=1)
        )
        with Sorted((item for item in keys if is_kept(item[0])), path.parent) as in_order:
            kept = linelog.rewrite(path, latest(in_order))
    if counts is not None and counts.inputs == kept:
        return counts
    for row in read(path):
        tally.add(row)
    return tally.counts


def latest(in_order: Iterable[tuple[str, int]]) -> Iterator[int]:
    """The last offset of each key, of sorted pairs of key and offset."""
    former, last = None, 0
    for key, offset in in_order:
        if former is not None and former != key:
            yield last
        former, last = key, offset
    if former is not None:
        yield last


def replace(path: Path, rows: Iterable[Row]) -> Counts:
    """Write a manifest anew, and count; the file is replaced whole once the last row is written."""
    tally = Tally()
    with files.replaced(path) as file:
        for row in rows:
            tally.add(row)
            file.write(line_of(row).encode() + b"\n")
    return tally.counts


def pack(folder: Path) -> None:
    """Compress the manifest of an output; the same rows give the same bytes."""
    plain, packed = folder / MANIFEST_FILE, folder / PACKED_FILE
    with (
        files.replaced(packed) as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, compresslevel=_LEVEL, mtime=0) as compressed,
        plain.open("rb") as rows,
    ):
        while block := rows.read(2**20):
            compressed.write(block)
    plain.unlink()


def unpack(folder: Path) -> None:
    """Undo `pack`, so that rows can be added and found by their places.

    Raises
    ------
    ConfigError
        If the file is damaged.
    """
    plain, packed = folder / MANIFEST_FILE, folder / PACKED_FILE
    if path_of(folder) == packed:
        with files.replaced(plain) as file, named_faults(packed), _opened(packed) as compressed:
            while block := compressed.read(2**20):
                file.write(block)
    packed.unlink(missing_ok=True)


def key_of(path: Path, number: int, line: bytes) -> str:
    """The key of a line, at a cost that does not grow with its faces.

    Raises
    ------
    ConfigError
        If the line has none.
    """
    try:
        key = linelog.first_string(line, len(_KEY)) if line.startswith(_KEY) else json.loads(line)["key"]
    except (ValueError, KeyError, TypeError, RecursionError):
        key = None
    if not isinstance(key, str):
        row_of(path, number, line)  # says what is wrong with it
        raise ConfigError(f"{path}, line {number}: not a row of a manifest")
    return key


def _lines(path: Path) -> Iterator[bytes]:
    """The lines of a manifest, without their ends; a last one that is torn is passed over."""
    with named_faults(path):
        if path.suffix != ".gz":
            yield from (line for _, line in linelog.lines(path))
            return
        with _opened(path) as compressed:
            yield from (line[:-1] for line in compressed if line.endswith(b"\n"))


def _opened(path: Path) -> gzip.GzipFile:
    return gzip.GzipFile(fileobj=open(files.open_regular(path), "rb"), mode="rb")


@contextlib.contextmanager
def named_faults(path: Path) -> Iterator[None]:
    """Turn what goes wrong as a manifest is read into an error that names it."""
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the manifest: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise ConfigError(f"{path}: damaged: {error}", "restore the file from its source") from error


def row_of(path: Path, number: int | None, line: bytes) -> Row:
    """The row of a line.

    Raises
    ------
    ConfigError
        If it is none; names the line, if its number is known.
    """
    try:
        return Row.model_validate_json(line)
    except ValidationError as error:
        where = path if number is None else f"{path}, line {number}"
        raise ConfigError(f"{where}: not a row of a manifest: {first_fault(error)}") from error
