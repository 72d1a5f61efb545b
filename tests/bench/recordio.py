"""Time RecordIO: an index of 17 million lines, and 200,000 records read, found without an index, and written.

    python tests/bench/recordio.py [--lines 17000000] [--records 200000] [--folder DIR]

Rates depend on the disk and on what of the files is in the system's cache. Memory is what the process had at most.
"""

import argparse
import io
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from maskgen.datasets.base import Entry, Meta, Sample
from maskgen.datasets.recordio import RecordReader
from maskgen.datasets.recordio_writer import RecordWriter
from maskgen.manifest import Row, VariantRow

PER_LABEL = 50
PER_PART = 16
LOAD = """
import resource, sys, time
from pathlib import Path
from maskgen.datasets.recordio_index import read_index
started = time.perf_counter()
index = read_index(Path(sys.argv[1]))
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(f"index of {len(index.keys):,} lines: loaded in {seconds:.1f} s, {peak:.0f} MiB at most")
"""


def write_index(path: Path, lines: int) -> None:
    """An index as InsightFace writes it: from key 1, and key 0 last."""
    with path.open("w") as file:
        for first in range(1, lines, 100_000):
            keys = range(first, min(first + 100_000, lines))
            file.write("".join(f"{key}\t{6000 * key}\n" for key in keys))
        file.write(f"0\t{6000 * lines}\n")


def jpegs() -> list[bytes]:
    """A few aligned crops of the usual size, 5 to 6 KB."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(16):
        pixels = np.kron(rng.integers(0, 256, (28, 28, 3)), np.ones((4, 4, 1))).astype(np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "JPEG", quality=90)
        made.append(buffer.getvalue())
    return made


def rows_of(writer: RecordWriter, entries: Iterator[tuple[Entry, Sample]]) -> Iterator[Row]:
    """Put pictures into parts, as workers do, and give their rows."""
    for number in range(sys.maxsize):
        with writer.part(f"{number:08d}") as part:
            rows = []
            for _, (entry, sample) in zip(range(PER_PART), entries, strict=False):
                place = part.put(sample, Meta(entry, 1))
                variants = (VariantRow(place=place, seed="0" * 32, masks=()),)
                rows.append(
                    Row(key=entry.key, identity=entry.identity, label=entry.label, status="done", variants=variants)
                )
        if not rows:
            return
        yield from rows


def timed(what: str, count: int, size: int, started: float) -> None:
    """Print a rate."""
    seconds = time.perf_counter() - started
    print(f"{what}: {count / seconds:,.0f} per second, {size / seconds / 1e6:.0f} MB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=17_000_000)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--folder", type=Path, help="where files are made; they are deleted in the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_index(folder / "a.idx", options.lines)
        subprocess.run([sys.executable, "-c", LOAD, folder / "a.idx"], check=True)
        (folder / "a.idx").unlink()

        pictures = jpegs()
        size = sum(len(pictures[number % 16]) for number in range(options.records))
        entries = (
            (Entry(str(number), str(number // PER_LABEL), number // PER_LABEL), Sample(pictures[number % 16]))
            for number in range(options.records)
        )
        writer = RecordWriter(folder / "out")
        started = time.perf_counter()
        rows = list(rows_of(writer, entries))
        timed("put into parts", options.records, size, started)
        rows.sort(key=lambda row: row.key)
        started = time.perf_counter()
        for _ in writer.finish(iter(rows)):
            pass
        timed("put together", options.records, size, started)

        for what in ("listed with its index", "listed without"):
            reader = RecordReader(folder / "out" / "train.rec")
            started = time.perf_counter()
            found = [one for chunk in reader.chunks(1024) for one in chunk]
            timed(what, len(found), size, started)
            assert len(found) == options.records
            (folder / "out" / "train.idx").unlink(missing_ok=True)
        started = time.perf_counter()
        for entry in found:
            reader.read(entry)
        timed("read in order", len(found), size, started)


if __name__ == "__main__":
    main()
