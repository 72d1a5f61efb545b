"""What formats of many samples in one file share as they put parts together: rows that wait, places, former files."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from maskgen import files
from maskgen.datasets import parts
from maskgen.datasets.parts import Parts
from maskgen.manifest import Row, Written, line_of
from maskgen.ordering import Spool, natural

_FORMER: Final = "former-{}"


class Named(NamedTuple):
    """A picture that a row names; tuples of these sort in natural order of keys, originals before their variants.

    Attributes
    ----------
    natural : str
        The key, to sort by.
    number : int
        Of the picture among all, in the order of rows and their places.
    key, identity, label :
        The row's.
    variant : int or None
        As in `Meta`.
    place : str
        Where it lies now.
    """

    natural: str
    number: int
    key: str
    identity: str | None
    label: int | None
    variant: int | None
    place: str


def named(rows: Iterable[Row], spool: Spool) -> Iterator[Named]:
    """What rows name, in their order, while the rows go to a spool."""
    number = 0
    for row in rows:
        spool.add(line_of(row))
        for variant, written in enumerate((row.original, *row.variants)):
            if written is not None and written.place is not None:
                who = (row.key, row.identity, row.label)
                yield Named(natural(row.key), number, *who, variant or None, written.place)
                number += 1


def rows_with(spool: Spool, places: Iterator[str]) -> Iterator[Row]:
    """The rows of a spool with new places: one per place that they had, empty where a picture was lost."""
    for line in spool:
        row = Row.model_validate_json(line)
        yield placed(row, [next(places) for _ in row.places])


def placed(row: Row, places: Sequence[str]) -> Row:
    """A row with new places, in the order of `Row.places`; where one is empty, the row has failed as ``lost``."""
    new = iter(places)
    original = None if row.original is None else _moved(row.original, new)
    update: dict[str, object] = {"original": original, "variants": tuple(_moved(one, new) for one in row.variants)}
    if not all(places):
        update |= {
            "status": "failed",
            "reason": "lost",
            "message": f"{list(places).count('')} of the pictures that were written are gone or damaged",
            "remedy": "run the same again",
        }
    return row.model_copy(update=update)


def _moved(written: Written, places: Iterator[str]) -> Written:
    return written if written.place is None else written.model_copy(update={"place": next(places) or None})


@dataclass(frozen=True)
class Former:
    """The files of a former run, kept under another name until no row of a manifest names what is in them.

    Parameters
    ----------
    root : Path
        The output folder.
    """

    root: Path

    def path(self, name: str) -> Path:
        """What a row means that names a file: the former one as long as there is one."""
        kept = self._kept(name)
        return kept if kept.exists() else self.root / name

    def keep(self, names: Iterable[str]) -> None:
        """Keep these files, where they exist and are not kept yet."""
        for name in names:
            kept = self._kept(name)
            if kept.exists() or not (self.root / name).exists():
                continue
            files.make_folder(kept.parent)
            try:
                os.link(self.root / name, kept)
            except OSError:  # a file system without links
                os.replace(self.root / name, kept)

    def forget(self) -> None:
        """Delete what was kept, and all parts: the manifest names neither any more."""
        for kept in (self.root / parts.FOLDER).glob(_FORMER.format("*")):
            with contextlib.suppress(FileNotFoundError):
                kept.unlink()
        Parts(self.root).clear()

    def _kept(self, name: str) -> Path:
        return self.root / parts.FOLDER / _FORMER.format(name)
