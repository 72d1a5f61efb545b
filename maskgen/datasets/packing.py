"""What formats of many samples in one file share as they put parts together: rows that wait, places, former files."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from maskgen import files
from maskgen.datasets import parts
from maskgen.datasets.parts import Parts
from maskgen.manifest import Row, Written, line_of
from maskgen.ordering import Spool, natural

_FORMER, _FORGOTTEN = "former", "forgotten"
NO_PICTURE: Final = -1
"""The number of a `Named` without a picture."""


class Named(NamedTuple):
    """A picture that a row names; tuples of these sort in natural order of keys, originals before their variants.

    Attributes
    ----------
    natural : str
        The key, to sort by.
    number : int
        Of the picture among all, in the order of rows and their places; `NO_PICTURE` of a row that has none.
    key, identity, label :
        The row's.
    variant : int or None
        As in `Meta`.
    place : str
        Where it lies now; empty if there is no picture.
    """

    natural: str
    number: int
    key: str
    identity: str | None
    label: int | None
    variant: int | None
    place: str


def named(rows: Iterable[Row], spool: Spool) -> Iterator[Named]:
    """What rows name, in their order, while the rows go to a spool; one that names nothing has no picture."""
    number = 0
    for row in rows:
        spool.add(line_of(row))
        who = (row.key, row.identity, row.label)
        if not row.places:
            yield Named("", NO_PICTURE, *who, None, "")
            continue
        sorted_by = natural(row.key)
        for variant, written in enumerate((row.original, *row.variants)):
            if written is not None and written.place is not None:
                yield Named(sorted_by, number, *who, variant or None, written.place)
                number += 1


def rows_with(spool: Spool, places: Iterator[str]) -> Iterator[Row]:
    """The rows of a spool with new places: one per place that they had, empty where a picture was lost."""
    for line in spool:
        row = Row.model_validate_json(line)
        yield placed(row, [next(places) for _ in row.places])


def placed(row: Row, places: Sequence[str]) -> Row:
    """A row with new places, in the order of `Row.places`; where one is empty, the row has failed as ``lost``.

    An original that is lost is gone from the row, which then looks as if none had been copied. A variant stays, because
    variants are counted.
    """
    new = iter(places)
    original = None if row.original is None else _moved(row.original, new)
    if original is not None and original.place is None:
        original = None
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
    """The files of a former run, kept in a folder of their own until no row of a manifest names what is in them.

    They are forgotten all at once: a run that is killed on the way leaves none that would be taken for one of the new
    files.

    Parameters
    ----------
    root : Path
        The folder where files of these names lie.
    home : Path, optional
        The output folder, where they are kept; by default the same.
    """

    root: Path
    home: Path | None = None

    def path(self, name: str) -> Path:
        """What a row means that names a file: the former one as long as there is one."""
        return self._folder / name if self.keeps(name) else self.root / name

    def keeps(self, name: str) -> bool:
        """Whether there is a former file of this name."""
        return (self._folder / name).exists()

    def keep(self, names: Iterable[str]) -> None:
        """Keep these files, in this order, where they exist and are not kept yet."""
        for name in names:
            if self.keeps(name) or not (self.root / name).exists():
                continue
            files.make_folder(self._folder)
            try:
                os.link(self.root / name, self._folder / name)
            except OSError:  # a file system without links
                os.replace(self.root / name, self._folder / name)

    def forget(self) -> None:
        """Delete what was kept, and all parts: the manifest names neither any more."""
        forgotten = self._folder.with_name(_FORGOTTEN)
        with contextlib.suppress(FileNotFoundError):  # unless a run was killed between the two lines below
            shutil.rmtree(forgotten)
        with contextlib.suppress(FileNotFoundError):
            os.replace(self._folder, forgotten)
            shutil.rmtree(forgotten)
        Parts(self.home or self.root).clear()

    @property
    def _folder(self) -> Path:
        return (self.home or self.root) / parts.FOLDER / _FORMER
