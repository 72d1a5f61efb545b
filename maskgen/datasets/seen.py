"""Which names have come already, at a few bytes per name."""

from __future__ import annotations

import hashlib
from array import array
from typing import Final

_SMALLEST: Final = 1024


class Seen:
    """A set of names that only grows. It holds 64 bits of a hash per name: two of 17 million names are taken for the
    same with a chance of one to 100,000, and need 0.3 GB.
    """

    def __init__(self) -> None:
        self._table = array("Q", bytes(8 * _SMALLEST))
        self._number = 0

    def add(self, name: str) -> bool:
        """Add a name; says whether it is new."""
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        # 0 stands for an empty place.
        if not _put(self._table, int.from_bytes(digest, "little") or 1):
            return False
        self._number += 1
        if 3 * self._number > 2 * len(self._table):
            self._grow()
        return True

    def _grow(self) -> None:
        larger = array("Q", bytes(8 * 2 * len(self._table)))
        for value in self._table:
            if value:
                _put(larger, value)
        self._table = larger


def _put(table: array[int], value: int) -> bool:
    at = value % len(table)
    while table[at]:
        if table[at] == value:
            return False
        at = (at + 1) % len(table)
    table[at] = value
    return True
