"""Rows as a run makes them, without the run: pictures go into a part, rows name where."""

import uuid

from pictures import saved, smooth

from maskgen.datasets.base import Entry, Meta, Sample
from maskgen.manifest import PairRow, Row, VariantRow, Written


def crop(number, format="PNG"):
    """A 112x112 picture of its own."""
    pixels = smooth(112, 112)
    pixels[:8, :8] = number
    return saved(pixels, format)


def row_of(part, entry, variants=(), original=None, extras=None, status=None, reason=None):
    """Put pictures, and what names them: variants may be None, where nobody wears a mask."""

    def put(raw, number):
        return None if raw is None else part.put(Sample(raw, extras or {}), Meta(entry, number))

    places = [put(raw, number) for number, raw in enumerate(variants, start=1)]
    copied = None if original is None else Written(place=put(original, None))
    pair = entry.pair and PairRow(index=entry.pair.index, side=entry.pair.side, is_same=entry.pair.is_same)
    is_done = any(places)
    return Row(
        key=entry.key,
        identity=entry.identity,
        label=entry.label,
        pair=pair,
        status=status or ("done" if is_done else "skipped"),
        reason=reason or (None if is_done else "no_face"),
        variants=tuple(VariantRow(place=place, seed="0" * 32, masks=()) for place in places),
        original=copied,
    )


def rows_of(writer, items):
    """A row per (entry, keywords of `row_of`), all in one part."""
    name = uuid.uuid4().hex
    with writer.part(name) as part:
        rows = [row_of(part, entry, **options) for entry, options in items]
    writer.settle(name)
    return rows


def finished(writer, rows):
    """The rows with their final places, in the order of their keys, as a run asks for them."""
    latest = {row.key: row for row in rows}
    return list(writer.finish(latest[key] for key in sorted(latest)))


def masked(keys, **options):
    """Entries with one masked picture each, whose bytes are their own."""
    return [(Entry(key, **options), {"variants": [crop(number % 256)]}) for number, key in enumerate(keys)]
