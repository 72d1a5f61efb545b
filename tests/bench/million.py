"""A million inputs: memory over that of ten thousand, time to the first picture, and what a resume costs.

python -m tests.bench.million --work DIR [--inputs 1000000]

Inputs are hard links to one tiny picture, or records of one. ``run`` and ``resume`` are without work: an executor gives
each input a row at once, so that what is measured is listing, planning and recording. ``first`` is a run as it is, with
workers that decode, detect and mask, until its first row. Each measurement is a process of its own; sizes are peaks.

A run and its resume may take 150 MiB more for a million inputs than for ten thousand; the first row of a million may
take 5 s.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from tests.bench import records

if TYPE_CHECKING:
    from maskgen.datasets.base import Entry

SMALL = 10_000


class AtOnce:
    """Gives each input its row without work."""

    workers = 2

    def run(self, work: Any, chunks: Iterable[Sequence[Entry]]) -> Iterator[Any]:
        from maskgen.manifest import Row
        from maskgen.run.outcome import Done, Outcome
        from maskgen.run.stamps import RowStamps, source_of

        (task,) = work.args
        for chunk in chunks:
            rows = [
                (entry, Row(key=entry.key, identity=entry.identity, status="skipped", size_wh=(112, 112)))
                for entry in chunk
            ]
            yield Done.of(
                Outcome(row, RowStamps(row.key, source_of(None, task.reader, entry), ())) for entry, row in rows
            )


def picture() -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((112, 112, 3), 127, np.uint8)).save(file, "JPEG")
    return file.getvalue()


def make_folder(root: Path, number: int) -> None:
    """So many names of one file, 50 in each folder."""
    (root / "person_000000").mkdir(parents=True)
    first = root / "person_000000" / "00.jpg"
    first.write_bytes(picture())
    for at in range(1, number):
        folder = root / f"person_{at // 50:06d}"
        if at % 50 == 0:
            folder.mkdir()
        # A file system allows so many names of one file.
        if at % 50_000 == 0:
            first = folder / "00.jpg"
            first.write_bytes(picture())
        else:
            os.link(first, folder / f"{at % 50:02d}.jpg")


def make_records(root: Path, number: int) -> None:
    """An InsightFace data set, 50 pictures per identity."""
    raw = picture()
    records.write(root, ((at // 50, raw) for at in range(number)))


class FirstRowError(Exception):
    """There is a first row."""


def measured(what: str, source: Path, target: Path) -> dict[str, float]:
    """Run; seconds from the start of this process, the peak of its memory, and the rows it recorded."""
    started = time.monotonic()
    from maskgen import run

    def on_progress(progress: run.Progress) -> None:
        if what == "first" and progress.taken:
            raise FirstRowError

    settings = run.AugmentSettings(aligned=True)
    job = run.Job(source, target, settings, run.Execution(workers=2))
    taken = 0
    with contextlib.suppress(FirstRowError):
        taken = run.run(job, on_progress, None if what == "first" else AtOnce()).progress.taken
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": time.monotonic() - started, "peak_mib": peak, "taken": taken}


def in_process(*arguments: object) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.million", "--measure", *map(str, arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["records", "folder"])
    parser.add_argument("--measure", nargs=3)
    given = parser.parse_args()
    if given.measure:
        what, source, target = given.measure
        print(json.dumps(measured(what, Path(source), Path(target))))
        return
    print(f"{'kind':8} {'inputs':>9} {'what':8} {'seconds':>8} {'peak, MiB':>10} {'rows':>9}")
    for kind in given.kinds:
        for number in (SMALL, given.inputs):
            source = given.work / f"{kind}_{number}"
            if not source.exists():
                (make_records if kind == "records" else make_folder)(source, number)
            for what in ("first", "run", "resume"):
                target = given.work / f"{kind}_{number}_{'first' if what == 'first' else 'out'}"
                got = in_process(what, source, target)
                print(
                    f"{kind:8} {number:9} {what:8} {got['seconds']:8.1f} {got['peak_mib']:10.0f} {got['taken']:9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
