"""What became of the inputs of a chunk, as a worker sends it and as it is recorded: lines, all at once."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from maskgen import manifest
from maskgen.manifest import Row, Tally
from maskgen.run.stamps import RowStamps


class Outcome(NamedTuple):
    """What became of one input: its row, what its files looked like, and where something unknown went wrong."""

    row: Row
    stamps: RowStamps | None = None
    traceback: str | None = None


@dataclass(frozen=True)
class Done:
    """What became of a chunk.

    Attributes
    ----------
    part : str
        The name of the part that holds what was written for it; empty if nothing was.
    rows : tuple of str
        The lines of its inputs in the manifest.
    stamps : tuple of str
        The lines that tell what their files looked like, where there was work.
    tally : Tally
        The rows, counted.
    unexpected : tuple of (str, str)
        Row and traceback of each input with which something unknown went wrong.
    """

    part: str
    rows: tuple[str, ...]
    stamps: tuple[str, ...]
    tally: Tally
    unexpected: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, outcomes: Iterable[Outcome], part: str = "") -> Done:
        """The lines of what became of some inputs."""
        rows, stamps, unexpected, tally = list[str](), list[str](), list[tuple[str, str]](), Tally()
        for row, marks, traceback in outcomes:
            rows.append(manifest.line_of(row))
            tally.add(row)
            if marks is not None:
                stamps.append(marks.line())
            if traceback is not None:
                unexpected.append((rows[-1], traceback))
        return cls(part, tuple(rows), tuple(stamps), tally, tuple(unexpected))
