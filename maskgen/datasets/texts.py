"""Millions of names, held as bytes in one block instead of as objects."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence

import numpy as np

from maskgen.arrays import IntArray, Lazy


class Texts(Lazy[str]):
    """A sequence of strings; each takes its bytes in UTF-8 and eight more.

    Parameters
    ----------
    texts : iterable of str
        What it holds at first.

    Examples
    --------
    >>> names = Texts(["ann", "Zoë"])
    >>> names.append("bob")
    >>> names[1], len(names)
    ('Zoë', 3)
    """

    def __init__(self, texts: Iterable[str] = ()) -> None:
        self._bytes = bytearray()
        self._ends = array("Q", [0])
        for text in texts:
            self.append(text)

    def append(self, text: str) -> None:
        """Add a string to the end."""
        self._bytes += text.encode("utf-8", "surrogatepass")
        self._ends.append(len(self._bytes))

    def __len__(self) -> int:
        return len(self._ends) - 1

    def at(self, number: int) -> str:
        """As `Lazy.at`."""
        return self._bytes[self._ends[number] : self._ends[number + 1]].decode("utf-8", "surrogatepass")


class Made(Lazy[str]):
    """A sequence of strings that are made when they are asked for.

    Parameters
    ----------
    size : int
        How many there are.
    make : callable
        Gives the string of a number from 0; can be pickled.
    """

    def __init__(self, size: int, make: Callable[[int], str]) -> None:
        self._size, self._make = size, make

    def __len__(self) -> int:
        return self._size

    def at(self, number: int) -> str:
        """As `Lazy.at`."""
        return self._make(number)


class Lookup:
    """Finds strings in a sequence; it takes 16 bytes per string.

    Parameters
    ----------
    texts : sequence of str
        Where to look.
    form : callable
        What of a string is compared; may be slow.
    """

    def __init__(self, texts: Sequence[str], form: Callable[[str], str] = str) -> None:
        self._texts, self._form = texts, form
        hashes = np.fromiter((hash(form(text)) for text in texts), np.int64, len(texts))
        self._order: IntArray = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]

    def find(self, text: str) -> list[int]:
        """The numbers of all strings that have the form of this one."""
        wanted = self._form(text)
        hashed = np.int64(hash(wanted))
        first, end = (int(np.searchsorted(self._hashes, hashed, side)) for side in ("left", "right"))
        return [number for number in self._order[first:end].tolist() if self._form(self._texts[number]) == wanted]


class Numbering:
    """Gives equal strings one number, in the order in which they come first."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def of(self, text: str) -> int:
        """The number of a string, from 0."""
        return self._numbers.setdefault(text, len(self._numbers))

    @property
    def texts(self) -> tuple[str, ...]:
        """The strings by their numbers."""
        return tuple(self._numbers)
