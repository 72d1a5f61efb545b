"""Rows to show pictures of: drawn by chance, one group per reason, and the worst cases."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from maskgen.manifest import Row

GALLERY: Final = 12
"""Masked pictures that are shown beside what they were made from."""
PER_REASON: Final = 4
"""Inputs that are shown for each reason why they have no mask."""
WORST: Final = 6
"""Faces that are shown of those that were hardest, for each kind of hard."""


@dataclass
class _Drawn:
    """So many rows, each as likely as any other (reservoir sampling [1]_).

    References
    ----------
    .. [1] J. Vitter, "Random Sampling with a Reservoir", ACM Transactions on Mathematical Software 11 (1985).
    """

    size: int
    rows: list[Row] = field(default_factory=list)
    seen: int = 0

    def offer(self, row: Row, rng: np.random.Generator) -> None:
        self.seen += 1
        if len(self.rows) < self.size:
            self.rows.append(row)
        elif (place := int(rng.integers(self.seen))) < self.size:
            self.rows[place] = row


@dataclass
class _Hardest:
    """So many rows of the highest figure."""

    size: int
    heap: list[tuple[float, int, Row]] = field(default_factory=list)

    def offer(self, row: Row, figure: float, number: int) -> None:
        # Of equal figures the first rows stay.
        item = figure, -number, row
        if len(self.heap) < self.size:
            heapq.heappush(self.heap, item)
        elif item[:2] > self.heap[0][:2]:
            heapq.heapreplace(self.heap, item)

    def rows(self) -> list[tuple[float, Row]]:
        return [(figure, row) for figure, _, row in sorted(self.heap, key=lambda item: (-item[0], -item[1]))]


class Examples:
    """Chosen from rows as they are read, so that a manifest of any length takes the same memory.

    Parameters
    ----------
    seed : int
        Decides about all that is drawn by chance.
    """

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        self._gallery = _Drawn(GALLERY)
        self._reasons: dict[tuple[str, str], _Drawn] = {}
        self._unsure, self._turned = _Hardest(WORST), _Hardest(WORST)
        self._number = 0

    def offer(self, row: Row) -> None:
        """Take a row or not."""
        self._number += 1
        if row.status != "done":
            if row.reason is not None:
                drawn = self._reasons.setdefault((row.status, row.reason), _Drawn(PER_REASON))
                drawn.offer(row, self._rng)
            return
        worn = [
            face
            for variant in row.variants[:1]
            for face, mask in zip(row.faces, variant.masks, strict=True)
            if mask.design is not None
        ]
        if worn:
            self._gallery.offer(row, self._rng)
            self._unsure.offer(row, max(-face.score for face in worn), self._number)
            self._turned.offer(row, max(abs(face.pose.yaw) for face in worn), self._number)

    @property
    def gallery(self) -> list[Row]:
        """Rows of masked pictures, by key."""
        return sorted(self._gallery.rows, key=lambda row: row.key)

    def reasons(self) -> Iterator[tuple[str, str, int, list[Row]]]:
        """(status, reason, number of rows, some of them), failures first, then what is most frequent."""
        for (status, reason), drawn in sorted(
            self._reasons.items(), key=lambda item: (item[0][0] != "failed", -item[1].seen, item[0])
        ):
            yield status, reason, drawn.seen, sorted(drawn.rows, key=lambda row: row.key)

    @property
    def unsure(self) -> list[tuple[float, Row]]:
        """(score, row) of masked faces that the detector was least sure of."""
        return [(-figure, row) for figure, row in self._unsure.rows()]

    @property
    def turned(self) -> list[tuple[float, Row]]:
        """(absolute yaw in degrees, row) of masked faces that are turned farthest."""
        return self._turned.rows()

    def rows(self) -> Iterator[Row]:
        """All that were taken; some come twice."""
        yield from self.gallery
        for _, _, _, rows in self.reasons():
            yield from rows
        for _, row in (*self.unsure, *self.turned):
            yield row
