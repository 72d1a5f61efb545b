"""Rows of a manifest to pictures in the order of a RecordIO file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from maskgen.datasets.folder_writer import names_of
from maskgen.datasets.packing import Named
from maskgen.datasets.recordio import is_label
from maskgen.datasets.recordio_file import MOST_LABELS
from maskgen.errors import ConfigError


class InOrder(NamedTuple):
    """A `Named`, with what comes first in the order ahead: the label, or the identity where not all have labels."""

    group: Any
    natural: str
    number: int
    identity: str
    path: str
    place: str

    @classmethod
    def of(cls, named: Named, has_labels: bool) -> tuple[Any, ...]:
        name = named.identity or str(named.label)
        path = _path_of(named.key, named.variant) if named.place else ""
        return (named.label if has_labels else name, named.natural, named.number, name, path, named.place)


def counting(named: Iterable[Named]) -> Iterator[Named]:
    """All pictures, and of what is without one who it is, where somebody knows: once if several of one follow."""
    last = None
    for one in named:
        if one.place:
            yield one
            continue
        who = one.label, one.identity or None
        if who not in ((None, None), last) and (one.label is None or is_label(one.label)):
            yield one
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
