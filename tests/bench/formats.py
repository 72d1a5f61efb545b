"""A RecordIO of many crops through all formats: time, memory, and whether everybody is still who they were.

python -m tests.bench.formats --data DIR --work DIR [--records 200000] [--workers 2]

Crops of the folder ``lfw`` in DIR are repeated under other labels until there are so many records. Then: rec -> rec
with masks, rec -> tar and tar -> folder without, as no mask is put on twice. Memory is the peak of the main process and
that of its largest worker.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import resource
import shutil
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.bench import records


def repeated(crops: Path, target: Path, number: int) -> None:
    """A RecordIO of so many records, from one: each time all people get other labels."""
    from maskgen.datasets.base import Entry
    from maskgen.datasets.open import open_reader

    reader = open_reader(crops, None)
    entries = [one for chunk in reader.chunks(1024) for one in chunk if isinstance(one, Entry)]
    people = 1 + max(entry.label or 0 for entry in entries)
    numbered = ((entries[at % len(entries)], at // len(entries)) for at in range(number))
    records.write(target, (((entry.label or 0) + people * time, reader.read(entry).raw) for entry, time in numbered))


def step(command: str, source: Path, target: Path, options: list[str], work: Path) -> None:
    """Run a command of maskgen in a process of its own; its time and memory."""
    if target.exists():
        shutil.rmtree(target)
    arguments = [sys.executable, "-m", "tests.bench.formats", "--measure"]
    arguments += ["--", command, str(source), str(target), *options]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=False)
    got = json.loads(done.stdout.splitlines()[-1])
    inputs = got["summary"]["inputs"]
    print(
        f"{command} {source.relative_to(work)} -> {target.relative_to(work)}: {inputs:,} inputs, "
        f"{got['summary']['done']:,} done, {got['seconds']:.0f} s, {inputs / got['seconds']:.0f}/s, "
        f"{got['own_mib']:.0f} MiB, a worker {got['worker_mib']:.0f} MiB",
        flush=True,
    )


def measure(arguments: list[str]) -> None:
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", _CHILD, *arguments, "--json"], stdout=subprocess.PIPE, text=True)
    *lines, own = done.stdout.strip().splitlines()
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        json.dumps(
            {
                "summary": json.loads("\n".join(lines)),
                "seconds": time.monotonic() - started,
                "own_mib": float(own) / 1024,
                "worker_mib": usage.ru_maxrss / 1024,
            }
        )
    )


# Its own peak comes last; that of its children is the largest of all.
_CHILD = """
import resource, sys
from maskgen.cli import main
try:
    main(sys.argv[1:], standalone_mode=False)
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def people_of(path: Path) -> tuple[int, int, str]:
    """(pictures, identities, hash of how many pictures each has)."""
    from maskgen.datasets.base import Entry
    from maskgen.datasets.open import open_reader

    counts = Counter(
        str(one.identity) for chunk in open_reader(path, None).chunks(1024) for one in chunk if isinstance(one, Entry)
    )
    digest = hashlib.sha256(json.dumps(sorted(counts.items())).encode()).hexdigest()[:12]
    return counts.total(), len(counts), digest


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--measure", action="store_true")
    parser.add_argument("rest", nargs=argparse.REMAINDER)
    given: Any = parser.parse_args()
    if given.measure:
        measure(given.rest[1:] if given.rest[:1] == ["--"] else given.rest)
        return
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    workers = ["--workers", str(given.workers)]
    crops, source = work / "crops", work / f"ms{given.records}"
    if not (crops / "train.rec").exists():
        step("convert", given.data / "lfw", crops, ["--out-format", "recordio", "--align", "112", *workers], Path("/"))
    if not source.exists():
        repeated(crops, source, given.records)
    step("augment", source, work / "masked", ["--aligned", "--copy-skipped", *workers], work)
    step("convert", work / "masked", work / "shards", ["--out-format", "webdataset", *workers], work)
    step("convert", work / "shards", work / "folder", ["--out-format", "folder", *workers], work)
    for path in (source, work / "masked", work / "shards", work / "folder"):
        print(f"{path.relative_to(work)}: {people_of(path)}")


if __name__ == "__main__":
    main()
