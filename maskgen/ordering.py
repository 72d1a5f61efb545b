"""The order of pictures in files of many samples: natural, and sorted on disk, because there may be any number."""

from __future__ import annotations

import heapq
import itertools
import pickle
import re
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final

# A few hundred bytes each.
_IN_MEMORY: Final = 250_000
_BATCH: Final = 1_000


def natural(key: str) -> str:
    """Text that sorts as people would sort keys: by its numbers, not by their digits.

    Examples
    --------
    >>> sorted(["10", "9", "a10", "a9"], key=natural)
    ['9', '10', 'a9', 'a10']
    """
    return re.sub("[0-9]+", _with_length, key)


def _with_length(match: re.Match[str]) -> str:
    # The zero in front keeps numbers where digits are among other characters.
    digits = match[0].lstrip("0")
    return f"0{len(digits):06d}{digits}"


class Spool:
    """Tuples on disk, to be iterated in the order in which they were added. Use it as a context.

    Parameters
    ----------
    folder : Path
        Where its file lies, which has no name.
    """

    def __init__(self, folder: Path) -> None:
        self._file: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
        self._batch: list[Any] = []
        self._batches = 0

    def __enter__(self) -> Spool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._file.close()

    def add(self, item: Any) -> None:
        """Add a tuple; not while it is iterated."""
        self._batch.append(item)
        if len(self._batch) == _BATCH:
            self._write()

    def __iter__(self) -> Iterator[Any]:
        self._write()
        self._file.seek(0)
        for _ in range(self._batches):
            yield from pickle.load(self._file)

    def _write(self) -> None:
        if self._batch:
            self._file.seek(0, 2)
            pickle.dump(self._batch, self._file, pickle.HIGHEST_PROTOCOL)
            self._batch = []
            self._batches += 1


class Sorted:
    """Tuples in their order, sorted on disk; can be iterated again and again. Use it as a context.

    Parameters
    ----------
    items : iterable of tuples
        Any number.
    folder : Path
        Where its files lie, which have no names.
    """

    def __init__(self, items: Iterable[Any], folder: Path) -> None:
        self._runs: list[Spool] = []
        with ExitStack() as stack:
            remaining = iter(items)
            while block := list(itertools.islice(remaining, _IN_MEMORY)):
                run = stack.enter_context(Spool(folder))
                self._runs.append(run)
                block.sort()
                for item in block:
                    run.add(item)
            self._open = stack.pop_all()

    def __enter__(self) -> Sorted:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._open.close()

    def __iter__(self) -> Iterator[Any]:
        return heapq.merge(*self._runs)
