"""What a dataset is, and what is in it."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from maskgen import images
from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.open import format_of_path, open_reader, told_by
from maskgen.datasets.recordio_property import PROPERTY_FILE, Property
from maskgen.errors import ImageError
from maskgen.face.align import are_crops
from maskgen.formats import Format
from maskgen.plural import noun


@dataclass(frozen=True)
class Inspection:
    """What a dataset is.

    Attributes
    ----------
    format : str
        See `maskgen.formats.Format`.
    pictures, identities, pairs : int
        How many there are; 0 where a dataset has none.
    reasons : dict
        Reason -> how many entries are no pictures for it.
    faults : tuple of str
        The first of those that fail, and why.
    looked_at : int
        Pictures that were decoded, drawn evenly.
    sizes : dict
        (width, height) -> how many of them, the most frequent first.
    kinds : dict
        ``JPEG`` and others -> how many of them.
    is_aligned : bool
        Whether all of them are ArcFace crops by their size.
    told : Property or None
        What the dataset itself says in ``property``.
    """

    format: Format
    pictures: int
    identities: int
    pairs: int
    reasons: dict[str, int]
    faults: tuple[str, ...]
    looked_at: int
    sizes: dict[tuple[int, int], int]
    kinds: dict[str, int]
    is_aligned: bool
    told: Property | None


def inspect(path: Path, in_format: Format | None = None, sample: int = 200, most_faults: int = 5) -> Inspection:
    """Look at a dataset; nothing is written.

    Parameters
    ----------
    path : Path
        The dataset.
    in_format : str, optional
        What it is; by default what the path says.
    sample : int
        How many pictures to decode.
    most_faults : int
        How many faults to name.

    Raises
    ------
    ConfigError
        If there is no dataset at the path, or one that cannot be read.
    """
    in_format = in_format or format_of_path(path)
    reader = open_reader(path, None, None, in_format)
    reasons, identities, pairs, pictures = Counter[str](), set[str](), set[int](), 0
    faults, drawn, rng, highest = list[str](), list[Entry](), random.Random(0), -1
    for chunk in reader.chunks(1024):
        for found in chunk:
            if isinstance(found, Fault):
                reasons[found.reason] += 1
                if found.status == "failed" and len(faults) < most_faults:
                    faults.append(f"{found.key}: {found.message or found.reason}")
                continue
            pictures += 1
            if found.identity is not None:
                identities.add(found.identity)
            if found.label is not None:
                highest = max(highest, found.label)
            if found.pair is not None:
                pairs.add(found.pair.index)
            # Every picture is as likely to be looked at, without knowing how many there are (reservoir sampling).
            if len(drawn) < sample:
                drawn.append(found)
            elif (place := rng.randrange(pictures)) < sample:
                drawn[place] = found
    sizes, kinds = Counter[tuple[int, int]](), Counter[str]()
    for entry in drawn:
        try:
            raw = reader.read(entry).raw
            pixels = images.decode(raw, PurePosixPath(entry.key)).pixels
        except ImageError as error:
            reasons[error.reason] += 1
            faults.append(error.fault)
            continue
        sizes[pixels.shape[1], pixels.shape[0]] += 1
        kinds[(images.format_and_size(raw) or ("unknown",))[0]] += 1
    told, untrue = told_by(reader)
    # First, because they matter more than one picture.
    faults[:0] = [*untrue, *_untrue(told, highest, sizes)]
    return Inspection(
        in_format,
        pictures,
        len(identities),
        len(pairs),
        dict(sorted(reasons.items())),
        tuple(faults[:most_faults]),
        len(drawn),
        dict(sizes.most_common()),
        dict(kinds.most_common()),
        are_crops(sizes),
        told,
    )


def _untrue(told: Property | None, highest: int, sizes: Collection[tuple[int, int]]) -> Iterator[str]:
    """What the pictures show to be other than the dataset says; `highest` is the highest label of any."""
    if told is None:
        return
    if highest >= told.identities:
        people = f"{told.identities:,} {noun(told.identities, 'identity', 'identities')}"
        yield f"{PROPERTY_FILE}: {people}, and a picture has label {highest:,}"
    if set(sizes) - {(told.width, told.height)}:
        yield f"{PROPERTY_FILE}: pictures of {told.width} x {told.height} pixels, and some have another size"
