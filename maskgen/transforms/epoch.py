"""A number that all copies of an object share, in this process and in those that were started from it."""

from __future__ import annotations

import mmap
import os
import tempfile
import weakref
from pathlib import Path
from typing import Any


class SharedNumber:
    """A whole number; whoever sets it, all copies see it, also those in workers that go on living.

    It lies in a file of eight bytes that is mapped into memory, which any process may open that gets a copy, however it
    was started. A copy that comes later than the file, or on another machine, has a number of its own.

    Parameters
    ----------
    value : int
        To begin with.

    Examples
    --------
    >>> import pickle
    >>> number = SharedNumber(3)
    >>> copy = pickle.loads(pickle.dumps(number))
    >>> number.value = 4
    >>> copy.value
    4
    """

    def __init__(self, value: int = 0) -> None:
        handle, name = tempfile.mkstemp(prefix="maskgen-epoch-")
        os.close(handle)
        self._path = Path(name)
        self._path.write_bytes(value.to_bytes(8, "little"))
        self._map = _mapped(self._path)
        # The process that made the file removes it; what others have mapped stays readable.
        weakref.finalize(self, _remove, self._path, os.getpid())

    @property
    def value(self) -> int:
        """The number."""
        return int.from_bytes(self._map[:8], "little")

    @value.setter
    def value(self, value: int) -> None:
        self._map[:8] = value.to_bytes(8, "little")

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self._path, "value": self.value}

    def __setstate__(self, state: dict[str, Any]) -> None:
        try:
            self._path = state["path"]
            self._map = _mapped(self._path)
        except (OSError, ValueError):
            self.__init__(state["value"])  # type: ignore[misc]

    def __deepcopy__(self, memo: dict[int, Any]) -> SharedNumber:
        return self  # whoever copies a pipeline sets one epoch for it


def _mapped(path: Path) -> mmap.mmap:
    with path.open("r+b") as file:
        return mmap.mmap(file.fileno(), 8)


def _remove(path: Path, owner: int) -> None:
    if os.getpid() == owner:
        path.unlink(missing_ok=True)
