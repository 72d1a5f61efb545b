"""Outputs to one: what shares of the work left in a folder, or outputs of several folders."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from maskgen import linelog, manifest
from maskgen.datasets.base import Entry, Mark, Meta, Pair, PartWriter, Writer
from maskgen.datasets.finals import home_beside
from maskgen.datasets.open import open_reader, open_writer
from maskgen.errors import ConfigError, ImageError
from maskgen.manifest import Row, RunFile, Written
from maskgen.parallel import chunks_of
from maskgen.run import shares
from maskgen.run.former import Former, FormerRows
from maskgen.run.job import clear_leftovers, finished
from maskgen.run.record import differences
from maskgen.run.settings import AugmentSettings
from maskgen.run.stamps import RowStamps

_CHUNK: Final = 64
_W = TypeVar("_W", bound=Written)


class Output(NamedTuple):
    """What a run wrote: what it was called, its folder, its record, and what reads its pictures."""

    name: Path
    home: Path
    record: RunFile
    writer: Writer


def finish(output: Path) -> RunFile:
    """Put together what shares of the work wrote, whether or not all of them are done.

    Parameters
    ----------
    output : Path
        What `maskgen.run.run` was given as its target.

    Returns
    -------
    RunFile
        Its record now; ``limited`` if inputs may be left.

    Raises
    ------
    ConfigError
        If no run of maskgen wrote it.
    LockedError
        If somebody is at work there.
    """
    found = output_of(output)
    is_whole = shares.are_all_done([found.home]) or found.record.state == "complete"
    with shares.alone(found.home):
        clear_leftovers(found.home, found.writer)
        return finished(found.record, None, found.writer, is_limited=not is_whole)


def join(outputs: Sequence[Path], target: Path, on_row: Callable[[int], None] = lambda number: None) -> RunFile:
    """Bring outputs of the same settings together in a new one; they stay as they are.

    Parameters
    ----------
    outputs : sequence of Path
        As that of `finish`; nobody is at work there.
    target : Path
        A new or empty folder, or what a former call with the same outputs left.
    on_row : callable
        Told how many rows are copied.

    Returns
    -------
    RunFile
        Of the new one; ``limited`` if inputs may be left.

    Raises
    ------
    ConfigError
        If an output is none, or was made with other settings than the first; if two of them differ in what became of an
        input; or if the target holds something else.
    MaskgenError
        If nothing can be written.
    """
    found = [output_of(output) for output in outputs]
    first = found[0].record
    for one in found[1:]:
        if others := differences(first, one.record, but="source"):
            raise ConfigError(
                f"{one.name}: made with other settings than {found[0].name} ({'; '.join(others)})",
                "join what was made with the same settings",
            )
    sources = ", ".join(sorted({one.record.source for one in found}))
    record = first.model_copy(update={"source": sources, "state": "running", "counts": None})
    writer = _writer(target, record)
    home = writer.home
    _refuse_other(target, home, record, found)
    is_whole = shares.are_all_done([one.home for one in found]) or all(one.record.state == "complete" for one in found)
    with shares.alone(home):
        manifest.write_run(home / manifest.RUN_FILE, record)
        clear_leftovers(home, writer)
        with ExitStack() as stack:
            rows = [stack.enter_context(FormerRows(shares.logs_of(one.home))) for one in found]
            _copy(found, rows, writer, on_row)
        return finished(record, None, writer, is_limited=not is_whole)


def output_of(path: Path) -> Output:
    """What a run wrote to a folder, or to a file with its manifest in a folder beside it.

    Raises
    ------
    ConfigError
        If there is no ``run.json``.
    """
    for home in (path, home_beside(path)):
        if (home / manifest.RUN_FILE).is_file():
            record = manifest.read_run(home / manifest.RUN_FILE)
            writer = _writer(path, record)
            return Output(path, writer.home, record, writer)
    raise ConfigError(f"{path}: no {manifest.RUN_FILE}", "give what 'maskgen augment' wrote")


def _writer(path: Path, record: RunFile) -> Writer:
    settings = AugmentSettings.model_validate(record.settings)
    in_format = record.in_format or "folder"
    source = Path(record.source)
    # Lines of the input's metadata.jsonl are copied, so that must be there; of others it is enough if they are.
    is_needed = in_format == "metadata" or (in_format == "recordio" and source.exists())
    reader = open_reader(source, None, None, in_format) if is_needed else None
    return open_writer(path, settings, in_format, reader)


def _refuse_other(target: Path, home: Path, record: RunFile, outputs: Sequence[Output]) -> None:
    """Make sure that the target is new, or was begun by a call like this one."""
    for one in outputs:
        if home == one.home or home.is_relative_to(one.home) or one.home.is_relative_to(home):
            raise ConfigError(f"{target}: lies in {one.name}, or that in it", "choose a folder beside the outputs")
    if (home / manifest.RUN_FILE).exists():
        if others := differences(manifest.read_run(home / manifest.RUN_FILE), record):
            raise ConfigError(f"{target}: holds something else ({'; '.join(others)})", "choose a new or empty folder")
    elif home.is_dir() and any(not path.name.startswith(".maskgen") for path in home.iterdir()):
        raise ConfigError(f"{target}: not empty", "choose a new or empty folder")


def _copy(outputs: Sequence[Output], rows: Sequence[FormerRows], writer: Writer, on_row: Callable[[int], None]) -> None:
    """Copy all rows, and what they name, that the target does not have yet."""
    logs = shares.logs_of(writer.home)[0]
    with FormerRows([logs]) as copied, linelog.Log(logs.rows) as rows_log, linelog.Log(logs.stamps) as stamps_log:
        number = 0
        for at, output in enumerate(outputs):
            new = (former for former in _own(outputs, rows, at) if copied.find(former.row.key) is None)
            for chunk in chunks_of(new, _CHUNK):
                name = uuid.uuid4().hex
                with writer.part(name) as part:
                    made = [_copied(former, output.writer, part) for former in chunk]
                for row, marks in made:
                    rows_log.append(manifest.line_of(row))
                    stamps_log.append(marks.line())
                number += len(made)
                on_row(number)
                writer.settle(name)


def _own(outputs: Sequence[Output], rows: Sequence[FormerRows], at: int) -> Iterator[Former]:
    """What is recorded in an output and not in an earlier one."""
    for row in rows[at].unseen():
        former = rows[at].find(row.key)
        assert former is not None
        earlier = next(((other, found) for other in range(at) if (found := rows[other].find(row.key))), None)
        if earlier is None:
            yield former
        elif _without_places(earlier[1].row) != _without_places(row):
            raise ConfigError(
                f"{row.key}: {outputs[earlier[0]].name} and {outputs[at].name} do not have the same of it",
                "join outputs of one dataset, or of datasets that have no name in common",
            )


def _without_places(row: Row) -> Row:
    nowhere = {"place": None, "extras": None}
    original = None if row.original is None else row.original.model_copy(update=nowhere)
    variants = tuple(one.model_copy(update=nowhere) for one in row.variants)
    return row.model_copy(update={"original": original, "variants": variants})


def _copied(former: Former, source: Writer, part: PartWriter) -> tuple[Row, RowStamps]:
    """Put what a row names into a part; the row with its new places."""
    row, pair = former.row, former.row.pair
    entry = Entry(row.key, row.identity, row.label, None if pair is None else Pair(pair.index, pair.side, pair.is_same))
    mark = Mark(None, None) if former.stamps is None else former.stamps.source

    def put(written: _W, variant: int | None) -> _W:
        if written.place is None:
            return written
        return written.model_copy(update={"place": part.put(source.sample(written.place), Meta(entry, variant))})

    try:
        original = None if row.original is None else put(row.original, None)
        variants = tuple(put(one, number) for number, one in enumerate(row.variants, start=1))
    except ImageError as error:
        part.take_back(entry)
        lost: dict[str, object] = {"status": "failed", "reason": "lost", "message": error.fault}
        lost |= {"remedy": "run the same again", "original": None, "variants": ()}
        return row.model_copy(update=lost), RowStamps(row.key, mark, ())
    copy = row.model_copy(update={"original": original, "variants": variants})
    return copy, RowStamps(row.key, mark, tuple(part.mark(place) for place in copy.places))
