"""RecordIO for benchmarks."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from pathlib import Path

from maskgen.datasets.base import Sample
from maskgen.datasets.recordio_layout import Records


def write(folder: Path, pictures: Iterable[tuple[int, bytes]]) -> Path:
    """A file in InsightFace's layout, of (label, picture) in the order of labels."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "train.rec"
    with ExitStack() as stack:
        names = (path, path.with_suffix(".idx"), path.with_suffix(".lst"))
        made = Records(*(stack.enter_context(name.open("wb")) for name in names))
        last = -1
        for label, raw in pictures:
            if label != last:
                made.begin(label)
                last = label
            made.put(label, Sample(raw), "x")
        identities = made.end()
    (folder / "property").write_text(f"{identities},112,112\n")
    return path
