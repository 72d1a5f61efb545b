"""The page on a run of many rows: time, memory and size.

python -m tests.bench.report --work DIR [--rows 100000]

Rows are those of a run over the sample photographs, repeated under other names. The page may take 20 s, 500 MB and
10 MB.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import time
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="gets the run and the page")
    parser.add_argument("--rows", type=int, default=100_000)
    given = parser.parse_args()
    out = given.work / "demo"
    if not out.exists():
        subprocess.run([sys.executable, "-m", "maskgen", "augment", "--demo", str(out)], check=True)
    repeat(out / "manifest.jsonl", given.rows)
    started = time.monotonic()
    page = given.work / "report.html"
    subprocess.run([sys.executable, "-m", "maskgen", "report", str(out), "-o", str(page), "--overwrite"], check=True)
    seconds = time.monotonic() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"{given.rows:,} rows: {seconds:.1f} s, {peak:.0f} MiB, page {page.stat().st_size / 1e6:.2f} MB")


def repeat(path: Path, number: int) -> None:
    """Make a manifest as long as is wanted."""
    from maskgen import manifest

    rows = list(manifest.read(path))
    with path.open("w", encoding="utf-8") as file:
        for at in range(number):
            row = rows[at % len(rows)]
            file.write(manifest.line_of(row.model_copy(update={"key": f"{at // len(rows):06}/{row.key}"})) + "\n")


if __name__ == "__main__":
    main()
