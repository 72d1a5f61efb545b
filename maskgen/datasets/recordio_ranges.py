"""Who is on the pictures of a RecordIO file, told by its ranges: InsightFace's layout, without reading every record.

The record of key 0 tells which keys are those of identities, and each of these from which key to which its pictures
reach. So 85,000 records say what five million would.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from maskgen.arrays import IntArray
from maskgen.datasets.recordio import is_label
from maskgen.datasets.recordio_file import Header, RecordError, RecordFile, labels_of, opened
from maskgen.datasets.recordio_index import Index, index_of

# Ranges are float32, which rounds larger keys.
_LARGEST_KEY: Final = 2**24
_LOOKED_AT: Final = 64
"""Identities whose pictures are compared with their ranges."""


@dataclass(frozen=True)
class Ranged:
    """Pictures in the order of the file.

    Attributes
    ----------
    keys, offsets : (N,) int arrays
        Of the records.
    whose : (N,) int array
        Where in `labels` its label stands.
    labels : (I,) int array
        Of all identities that have pictures.
    faults : int
        Lines of the index that say nothing.
    """

    keys: IntArray
    offsets: IntArray
    whose: IntArray
    labels: IntArray
    faults: int


def ranged(path: Path) -> Ranged | None:
    """What the ranges of a file say; None where it has none, or they do not fit its index or its pictures.

    Parameters
    ----------
    path : Path
        The ``.rec``.
    """
    try:
        file, index = opened(path), index_of(path.with_suffix(".idx"))
    except (OSError, ValueError):
        return None  # the reader says what is wrong
    if index is None or not len(index.keys) or index.keys.max() >= _LARGEST_KEY or len(index.doubles):
        return None
    try:
        return _ranged(file, index)
    except RecordError:
        return None


def _ranged(file: RecordFile, index: Index) -> Ranged | None:
    at_zero = index.offset_of(0)
    if at_zero is None:
        return None
    first, end = _range(file, at_zero)
    number = np.full(int(index.keys.max()) + 1, -1, np.int32)  # key -> where it stands in the index
    number[index.keys] = np.arange(len(index.keys))
    if not 0 < first <= end <= len(number) or (number[first:end] < 0).any():
        return None
    ranges = np.array([_range(file, int(index.offsets[at])) for at in number[first:end]], np.int64).reshape(-1, 2)
    starts, ends = ranges[:, 0], ranges[:, 1]
    is_used = starts < ends
    if not is_used.any() or (starts[is_used] < 1).any() or (ends[is_used] > first).any():
        return None
    owner = np.full(len(number), -1, np.int32)  # key -> ordinal of its identity
    for ordinal in np.flatnonzero(is_used).tolist():
        own = owner[starts[ordinal] : ends[ordinal]]
        if (own >= 0).any():
            return None
        own[:] = ordinal
    # A picture of nobody, or a key that the index lacks: every record must be looked at.
    if not np.array_equal(owner[1:first] >= 0, number[1:first] >= 0) or (number[end:] >= 0).any():
        return None
    of_record = owner[index.keys]
    is_picture = of_record >= 0
    keys, offsets = index.keys[is_picture].astype(np.intp), index.offsets[is_picture].astype(np.intp)
    if (offsets[1:] == offsets[:-1]).any() or offsets[-1] >= file.size:
        return None
    used = np.flatnonzero(is_used)
    labels = _labels(file, index, number, ranges, used)
    if labels is None:
        return None
    whose = np.searchsorted(used, of_record[is_picture])
    return Ranged(keys, offsets, whose.astype(np.intp), labels, len(index.garbage))


def _range(file: RecordFile, offset: int) -> tuple[int, int]:
    """What a record says that is a range.

    Raises
    ------
    RecordError
        If it is none.
    """
    spans, _ = file.spans(offset)
    header = file.header(spans)
    if not header.is_range:
        raise RecordError("no range")
    first, end = struct.unpack("<2f", labels_of(file.payload(spans), header))
    if not (is_label(first) and is_label(end)):
        raise RecordError("not a range of keys")
    return int(first), int(end)


def _labels(
    file: RecordFile, index: Index, number: npt.NDArray[np.int32], ranges: npt.NDArray[np.int64], used: IntArray
) -> IntArray | None:
    """The labels of those identities that have pictures.

    By custom the ordinal of a range is the label; some pictures are looked at to see whether it is. If it is not, the
    first picture of each identity tells. None where two pictures of one identity differ.
    """

    def label_at(key: int) -> int:
        header: Header = file.header(file.spans(int(index.offsets[number[key]]))[0])
        if not is_label(header.label) or header.is_range:
            raise RecordError("no label")
        return int(header.label)

    some = used[np.unique(np.linspace(0, len(used) - 1, _LOOKED_AT).astype(int))]
    found = [(label_at(int(ranges[ordinal, 0])), label_at(int(ranges[ordinal, 1]) - 1)) for ordinal in some]
    if any(one != other for one, other in found):
        return None
    if all(one == ordinal for (one, _), ordinal in zip(found, some.tolist(), strict=True)):
        return used
    return np.array([label_at(int(ranges[ordinal, 0])) for ordinal in used], np.intp)
