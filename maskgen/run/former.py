"""What former runs of the same settings recorded, found by the key of an input."""

from __future__ import annotations

import contextlib
import gzip
import shutil
import tempfile
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from maskgen import files, manifest
from maskgen.manifest import Row
from maskgen.run import stamps
from maskgen.run.stamps import RowStamps

# Where a line begins, below the number of its file.
_OFFSET_BITS: Final = 48


class Logs(NamedTuple):
    """The rows of a run, and the stamps of what was read and written for them."""

    rows: Path
    stamps: Path


class Former(NamedTuple):
    """What is recorded of an input; stamps are missing where it got its row without work, or they were lost."""

    row: Row
    stamps: RowStamps | None


class FormerRows:
    """The latest row of each input. Each log is read once, and 16 bytes per line stay in memory. Use it as a context.

    Parameters
    ----------
    logs : sequence of Logs
        From the earliest to the latest; those that do not exist are passed over.

    Raises
    ------
    ConfigError
        If a line of a manifest is no row.
    """

    def __init__(self, logs: Sequence[Logs]) -> None:
        with ExitStack() as stack:
            rows = [(log.rows, stack.enter_context(_opened(log.rows))) for log in logs if log.rows.exists()]
            marks = [(log.stamps, stack.enter_context(_opened(log.stamps))) for log in logs if log.stamps.exists()]
            self._rows = _Index(rows, manifest.key_of)
            self._stamps = _Index(marks, lambda path, number, line: stamps.key_of(line))
            self._is_seen = np.zeros(len(self._rows), bool)
            self._open = stack.pop_all()

    def __enter__(self) -> FormerRows:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._open.close()

    def __len__(self) -> int:
        return len(self._rows)

    def find(self, key: str) -> Former | None:
        """What is recorded of an input; from now on it is not among the `unseen`."""
        places = self._rows.places_of(key)
        for place in places:
            row = self._row(place)
            if row.key == key:
                self._is_seen[places.stop + 1 : places.start + 1] = True
                return Former(row, self._stamps_of(key))
        return None

    def unseen(self) -> Iterator[Row]:
        """The rows of all inputs that nobody asked for, in no order."""
        for place in np.flatnonzero(~self._is_seen).tolist():
            row = self._row(place)
            # An earlier row of the same input holds no longer.
            last = self._rows.places_of(row.key)[0]
            if last == place or self._row(last).key != row.key:
                yield row

    def _row(self, place: int) -> Row:
        return manifest.row_of(*self._rows.line(place))

    def _stamps_of(self, key: str) -> RowStamps | None:
        for place in self._stamps.places_of(key):
            found = stamps.parsed(self._stamps.line(place)[2])
            if found is not None and found.key == key:
                return found
        return None


class _Index:
    """Lines of files by the hash of their keys; `place` is the number of a line in the order of hashes."""

    def __init__(
        self, opened: Sequence[tuple[Path, IO[bytes]]], key_of: Callable[[Path, int, bytes], str | None]
    ) -> None:
        self._files = opened
        hashes, offsets = array("q"), array("q")
        for file_number, (path, file) in enumerate(opened):
            for number, (offset, line) in enumerate(_lines(file), start=1):
                if (key := key_of(path, number, line)) is not None:
                    hashes.append(hash(key))
                    offsets.append(file_number << _OFFSET_BITS | offset)
        order = np.argsort(_as_numpy(hashes), kind="stable")
        self._hashes = _as_numpy(hashes)[order]
        self._offsets = _as_numpy(offsets)[order]

    def __len__(self) -> int:
        return len(self._hashes)

    def places_of(self, key: str) -> range:
        """The places of lines whose key has the same hash, from the latest line to the earliest."""
        wanted, hashes = hash(key), self._hashes
        start = stop = int(hashes.searchsorted(wanted))
        while stop < len(hashes) and hashes[stop] == wanted:
            stop += 1
        return range(stop - 1, start - 1, -1)

    def line(self, place: int) -> tuple[Path, None, bytes]:
        """A file, and a line of it without its end; in the order in which `manifest.row_of` takes them."""
        number, offset = divmod(int(self._offsets[place]), 1 << _OFFSET_BITS)
        path, file = self._files[number]
        file.seek(offset)
        return path, None, file.readline()[:-1]


def _as_numpy(values: array[int]) -> npt.NDArray[np.int64]:
    return np.frombuffer(values, np.int64) if values else np.zeros(0, np.int64)


def _lines(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """(offset, line without its end); a last line that is torn is passed over."""
    file.seek(0)
    offset = 0
    for line in file:
        if line.endswith(b"\n"):
            yield offset, line[:-1]
        offset += len(line)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """A log, open; one that is compressed is unpacked to a file without a name."""
    with manifest.named_faults(path), open(files.open_regular(path), "rb") as file:
        if path.suffix != ".gz":
            yield file
            return
        with tempfile.TemporaryFile() as unpacked:
            with gzip.GzipFile(fileobj=file, mode="rb") as compressed:
                shutil.copyfileobj(compressed, unpacked, 2**20)
            yield unpacked
