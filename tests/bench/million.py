"""A million inputs: memory over that of ten thousand, time to the first picture, and what a resume costs.

python -m tests.bench.million --work DIR [--inputs 1000000]

Inputs are hard links to one tiny picture, or records of one; masks are put on by a fake detector that finds no face, so
that what is measured is everything around the masking. Each measurement is a process of its own; sizes are peaks.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

SMALL = 10_000
_MAGIC = 0xCED7230A


class NoFaces:
    """Finds no face."""

    def build(self) -> NoFaces:
        return self

    def sha256(self) -> str:
        return "0" * 64

    def detect(self, image: object) -> list[object]:
        return []


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
    root.mkdir(parents=True)
    raw = picture()
    with (root / "train.rec").open("wb") as rec, (root / "train.idx").open("w") as index:

        def put(key: int, flag: int, label: float, payload: bytes) -> None:
            head = struct.pack("<IfQQ", flag, label, key, 0) + payload
            index.write(f"{key}\t{rec.tell()}\n")
            rec.write(struct.pack("<II", _MAGIC, len(head)) + head + b"\0" * (-len(head) % 4))

        for at in range(number):
            put(at + 1, 0, at // 50, raw)
        people = -(-number // 50)
        for person in range(people):
            first = 50 * person + 1
            put(number + 1 + person, 2, 0, struct.pack("<ff", first, min(first + 50, number + 1)))
        put(0, 2, 0, struct.pack("<ff", number + 1, number + 1 + people))
    (root / "property").write_text(f"{people},112,112")


def measured(source: Path, target: Path, stop_after: int | None) -> dict[str, float]:
    """Run; seconds to the first picture and in all, and the peak of this process."""
    from maskgen import run

    started, first = time.monotonic(), [0.0]

    class Enough(Exception):
        pass

    def on_progress(progress: run.Progress) -> None:
        if progress.taken and not first[0]:
            first[0] = time.monotonic() - started
        if stop_after is not None and progress.taken >= stop_after:
            raise Enough

    settings = run.AugmentSettings(masks=stop_after is None or True, aligned=False)
    job = run.Job(source, target, settings, run.Execution(workers=2), detectors=NoFaces())
    taken = 0
    try:
        taken = run.run(job, on_progress).progress.taken
    except Enough:
        pass
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"first_s": first[0], "seconds": seconds, "peak_mib": peak, "taken": taken}


def in_process(source: Path, target: Path, stop_after: int | None = None) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.bench.million", "--measure", str(source), str(target)]
    command += [] if stop_after is None else ["--stop-after", str(stop_after)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--kinds", nargs="+", default=["records", "folder"])
    parser.add_argument("--measure", nargs=2, type=Path)
    parser.add_argument("--stop-after", type=int)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measured(*given.measure, given.stop_after)))
        return
    print(f"{'kind':8} {'inputs':>9} {'what':12} {'first, s':>9} {'all, s':>8} {'peak, MiB':>10} {'rows':>9}")
    for kind in given.kinds:
        for number in (SMALL, given.inputs):
            source = given.work / f"{kind}_{number}"
            if not source.exists():
                (make_records if kind == "records" else make_folder)(source, number)
            target = given.work / f"{kind}_{number}_out"
            for what in ("run", "resume"):
                got = in_process(source, target)
                print(
                    f"{kind:8} {number:9} {what:12} {got['first_s']:9.2f} {got['seconds']:8.1f} "
                    f"{got['peak_mib']:10.0f} {got['taken']:9.0f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
