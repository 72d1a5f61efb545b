"""What came of one run or of several, in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from maskgen import manifest
from maskgen.datasets.finals import home_beside
from maskgen.errors import ConfigError
from maskgen.manifest import Row

# Degrees, and pixels of a face's longer side, up to which a bar of the histogram reaches.
_ANGLE_STEP: Final = 15
_SIZES: Final = (32, 64, 128, 256, 512, 1024)


@dataclass
class Stats:
    """Rows in numbers.

    Attributes
    ----------
    inputs, done, skipped, failed, faces, masked, pictures : int
        Rows, rows by status, faces found, masks put on, masked pictures written.
    identities : int
        People in the rows, where a dataset names them.
    reasons : Counter
        Reason -> rows that were skipped or failed for it.
    yaw_deg : Counter
        ``-15..0`` and others -> masked faces whose head is turned so.
    pitch_deg : Counter
        The same for the way it looks up, or down if negative.
    face_px : Counter
        ``64..128`` and others -> masked faces of such a longer side.
    designs, wears : Counter
        Mask design, and how it is worn -> masks.
    """

    inputs: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    faces: int = 0
    masked: int = 0
    pictures: int = 0
    identities: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    yaw_deg: Counter[str] = field(default_factory=Counter)
    pitch_deg: Counter[str] = field(default_factory=Counter)
    face_px: Counter[str] = field(default_factory=Counter)
    designs: Counter[str] = field(default_factory=Counter)
    wears: Counter[str] = field(default_factory=Counter)


def stats_of(outputs: Iterable[Path]) -> Stats:
    """Count what is in the manifests of some outputs.

    Raises
    ------
    ConfigError
        If one has no manifest that can be read.
    """
    stats = Stats()
    rows = (row for output in outputs for row in manifest.read(_manifest_of(output)))
    for _ in counting(rows, stats):
        pass
    return stats


def counting(rows: Iterable[Row], stats: Stats) -> Iterator[Row]:
    """Rows as they come, each of them counted; people are counted once all rows are through."""
    people = set[str]()
    for row in rows:
        _add(stats, row)
        if row.identity is not None:
            people.add(row.identity)
        yield row
    stats.identities = len(people)


def _manifest_of(output: Path) -> Path:
    """That in a folder, that of an output called by the name of its file, or the manifest itself."""
    for path in (manifest.path_of(output), manifest.path_of(home_beside(output))):
        if path.is_file():
            return path
    if not output.name.endswith((".jsonl", ".jsonl.gz")):
        raise ConfigError(f"{output}: has no {manifest.MANIFEST_FILE}", "give what 'maskgen augment' wrote")
    return output


def _add(stats: Stats, row: Row) -> None:
    stats.inputs += 1
    stats.done += row.status == "done"
    stats.skipped += row.status == "skipped"
    stats.failed += row.status == "failed"
    stats.faces += len(row.faces)
    if row.reason is not None:
        stats.reasons[row.reason] += 1
    for variant in row.variants:
        stats.pictures += variant.place is not None
        for face, mask in zip(row.faces, variant.masks, strict=True):
            if mask.design is None:
                continue
            stats.masked += 1
            stats.designs[mask.design] += 1
            stats.wears[mask.wear or "correct"] += 1
            stats.yaw_deg[_angle_of(face.pose.yaw)] += 1
            stats.pitch_deg[_angle_of(face.pose.pitch)] += 1
            side = max(face.bbox[2] - face.bbox[0], face.bbox[3] - face.bbox[1])
            stats.face_px[_size_of(side)] += 1


def _angle_of(degrees: float) -> str:
    low = int(degrees // _ANGLE_STEP) * _ANGLE_STEP
    return f"{low}..{low + _ANGLE_STEP}"


def _size_of(side: float) -> str:
    low = 0
    for high in _SIZES:
        if side < high:
            return f"{low}..{high}"
        low = high
    return f"{low}.."


def in_order(histogram: Counter[str]) -> list[tuple[str, int]]:
    """The bars of a histogram from the lowest to the highest."""
    return sorted(histogram.items(), key=lambda bar: int(bar[0].split("..")[0]))
