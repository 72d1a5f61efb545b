"""Rows of a manifest to pictures in the order of a RecordIO file, and their new places back into the rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import IO, Any, NamedTuple

from maskgen.datasets.folder_writer import names_of
from maskgen.datasets.recordio import REC_FILE, is_label
from maskgen.datasets.recordio_file import MOST_LABELS
from maskgen.errors import ConfigError
from maskgen.manifest import Row, line_of
from maskgen.ordering import natural


class Named(NamedTuple):
    """A picture that a row names; or who a row without a picture is of: then the place is empty, and the number -1."""

    label: int
    identity: str
    natural: str
    number: int
    path: str
    place: str


class InOrder(NamedTuple):
    """The same, with what comes first in the order ahead: the label, or the identity where not all have labels."""

    group: Any
    natural: str
    number: int
    identity: str
    path: str
    place: str

    @classmethod
    def of(cls, named: Named, has_labels: bool) -> tuple[Any, ...]:
        name = named.identity or str(named.label)
        return (named.label if has_labels else name, named.natural, named.number, name, named.path, named.place)


def spilled(rows: Iterable[Row], lines: IO[bytes]) -> Iterator[Named]:
    """What rows name, in their order, while the rows are written to a file."""
    count, last = 0, None
    for row in rows:
        lines.write(line_of(row).encode() + b"\n")
        who = (-1 if row.label is None else row.label, row.identity or "")
        pictures = ((None, row.original), *enumerate(row.variants, start=1))
        written = [(number, one.place) for number, one in pictures if one is not None and one.place is not None]
        for number, place in written:
            yield Named(*who, natural(row.key), count, _path_of(row.key, number), place)
            count += 1
        if not written and who not in ((-1, ""), last) and (who[0] == -1 or is_label(who[0])):
            yield Named(*who, "", -1, "", "")
            last = who


def _path_of(key: str, variant: int | None) -> str:
    """What the list calls a picture: as in a folder of originals and variants."""
    return key if variant is None else names_of(key, variant, originals=True)[-1]


def labelled(in_order: Iterable[Any], has_labels: bool) -> Iterator[tuple[int, InOrder, bool]]:
    """(label, picture, whether it is the first of its label)."""
    group, label = None, -1
    for values in in_order:
        item = InOrder(*values)
        is_new = item.group != group
        if is_new:
            group, label = item.group, item.group if has_labels else label + 1
            if not is_label(label):
                raise ConfigError(
                    f"label {label}: this format knows {MOST_LABELS:,} identities", "split the dataset in two"
                )
        yield label, item, is_new


def placed(row: Row, keys: Sequence[int]) -> Row:
    """A row with its places in the new file; `keys` in the order of `Row.places`."""
    places = iter([f"{REC_FILE}#{key}" if key else None for key in keys])
    original = row.original
    if original is not None and original.place is not None:
        place = next(places)
        original = None if place is None else original.model_copy(update={"place": place})
    variants = tuple(
        one if one.place is None else one.model_copy(update={"place": next(places)}) for one in row.variants
    )
    update: dict[str, object] = {"original": original, "variants": variants}
    if not all(keys):
        update |= {
            "status": "failed",
            "reason": "lost",
            "message": f"{list(keys).count(0)} of the pictures that were written are gone or damaged",
            "remedy": "run the same again",
        }
    return row.model_copy(update=update)
