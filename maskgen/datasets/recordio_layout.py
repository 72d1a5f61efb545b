"""What InsightFace's files look like: ``train.rec``, ``train.idx``, ``train.lst``, ``property``; and ``labels.txt``."""

from __future__ import annotations

import hashlib
from array import array
from pathlib import Path
from typing import IO, Final

from maskgen.datasets.base import Sample
from maskgen.datasets.recordio import LABELS_EXTRA, escaped
from maskgen.datasets.recordio_file import range_record, record

SIDE: Final = 112
"""Width and height of the pictures, pixels."""


class Records:
    """Numbers records as it writes them."""

    def __init__(self, rec: IO[bytes], index: IO[bytes], listed: IO[bytes]) -> None:
        self._rec, self._index, self._list = rec, index, listed
        self._key, self._offset = 1, 0
        self._starts = array("Q")  # of the pictures of each label

    def begin(self, label: int) -> None:
        """The next pictures have this label, which is greater than all before."""
        while len(self._starts) <= label:
            self._starts.append(self._key)

    def put(self, label: int, sample: Sample, path: str) -> int:
        """Write a picture; its key."""
        key = self._key
        self._add(record(label, key, sample.extras.get(LABELS_EXTRA, b""), sample.raw), key)
        self._list.write(list_line(key, label, path))
        self._key += 1
        return key

    def end(self) -> int:
        """Write what comes after the pictures; how many labels there are."""
        first = self._key
        for label, start in enumerate(self._starts):
            end = self._starts[label + 1] if label + 1 < len(self._starts) else first
            self._add(range_record(self._key, start, end), self._key)
            self._key += 1
        self._add(range_record(0, first, self._key), 0)
        return len(self._starts)

    def _add(self, raw: bytes, key: int) -> None:
        self._rec.write(raw)
        self._index.write(b"%d\t%d\n" % (key, self._offset))
        self._offset += len(raw)


class Names:
    """``labels.txt``: which identity has which label.

    Attributes
    ----------
    are_needed : bool
        Whether an identity is called other than its label.
    """

    def __init__(self, file: IO[bytes] | None) -> None:
        self._file, self._hash = file, hashlib.sha256()
        self.are_needed = False

    def add(self, label: int, identity: str) -> None:
        """The identity of a label."""
        line = f"{label}\t{escaped(identity)}\n".encode()
        self.are_needed |= identity != str(label)
        self._hash.update(line)
        if self._file is not None:
            self._file.write(line)

    def are_in(self, path: Path) -> bool:
        """Whether a file has these names and no others."""
        return hashlib.sha256(path.read_bytes()).digest() == self._hash.digest()


def list_line(key: int, label: int, path: str) -> bytes:
    return f"{key}\t{label}\t{escaped(path)}\n".encode()
