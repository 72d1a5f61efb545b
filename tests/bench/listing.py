"""Memory and time of a large RecordIO file as people: listed by its ranges, by its records; the order of an epoch.

    python -m tests.bench.listing [--records 1000000] [--folder DIR]

The file is made of tiny pictures, in InsightFace's layout, 50 per identity. Memory is what a process had at most,
beyond what it had before; an index and the arrays of a listing count, the mapped file as far as the system keeps it.

A million records, on two cores that other programs shared: people by the ranges 2.3 s and 111 MiB, by the records 48 s
and 92 MiB; the order of an epoch 0.5 s and 16 MiB; 61,765 items per second, and 173 read and decoded.
"""

import argparse
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from tests.bench import records

PER_LABEL = 50
HEAD = """
import resource, sys, time
from pathlib import Path
import numpy as np
from maskgen.datasets import listing, recordio_ranges
from maskgen.datasets.dataset import open_people
from maskgen.train.order import Batches, layout_of, order
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def told(what, started, before, count):
    print(f"{what}: {time.perf_counter() - started:.2f} s, {peak() - before:.0f} MiB, {count:,} pictures", flush=True)
path = Path(sys.argv[1])
before, started = peak(), time.perf_counter()
"""
BY_RANGES = """
found = open_people(path)
told("people by the ranges", started, before, len(found.items))
before, started = peak(), time.perf_counter()
places = np.repeat(np.arange(len(found.items)), 1)
batches = Batches(order(len(places), 0, 0, layout_of(places, found.starts)), 128, 0)
told("order of an epoch", started, before, 128 * len(batches))
started = time.perf_counter()
for batch in batches[:100]:
    for _, entry in batch:
        found.items[entry]
print(f"items: {12800 / (time.perf_counter() - started):,.0f} per second")
started = time.perf_counter()
for batch in batches[:100]:
    for _, entry in batch:
        found.read(found.items[entry].original)
print(f"read and decoded: {12800 / (time.perf_counter() - started):,.0f} per second")
"""
BY_RECORDS = """
recordio_ranges.ranged.__code__ = (lambda path: None).__code__
found = open_people(path)
told("people by the records", started, before, len(found.items))
"""


def write(folder: Path, number: int) -> Path:
    """A file in InsightFace's layout."""
    buffer = BytesIO()
    Image.fromarray(np.zeros((112, 112, 3), np.uint8)).save(buffer, "JPEG", quality=10)
    return records.write(folder, ((at // PER_LABEL, buffer.getvalue()) for at in range(number)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, help="where files are made; they are deleted in the end")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        path = write(Path(name), options.records)
        for code in (BY_RANGES, BY_RECORDS):
            subprocess.run([sys.executable, "-c", HEAD + code, path], check=True)


if __name__ == "__main__":
    main()
