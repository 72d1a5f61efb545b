"""What a picture costs, stage by stage, on its true journey; of one version, or of two side by side.

    python -m tests.bench.pipeline --data PATH [--number 200] [--chunk 16] [--against CHECKOUT] [--settings JSON]

PATH is whatever ``maskgen augment`` reads. The run is that of the command, in one process, which also records. Times
are of the CPU, in milliseconds per picture: the median over chunks, without the first ones. What a stage calls counts
for the stage that is called. ``x`` is the ratio to decode + encode of the same chunks.

With ``--against`` each version has a process of its own, and they take turns chunk by chunk, or picture by picture
with ``--chunk 1``: caches are as cold between chunks as where a run has other things to do. ``old/new`` is the median
of ratios of neighbours.

Stages are functions that are found by name, in the versions that have them: see `STAGES`.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, Final

STAGES: Final[dict[str, tuple[str, ...]]] = {
    "read": (
        "datasets.folder:FolderReader.read",
        "datasets.recordio:RecordReader.read",
        "datasets.binset:BinReader.read",
        "datasets.webdataset:WebDatasetReader.read",
    ),
    "decode": ("images.decoding:decode",),
    "detect": ("detect:FaceDetector.detect",),
    "observe": ("masking.augment:observe_all", "masking.light:appearance_of", "masking.occlude:visible_of"),
    "parse": ("parse:FaceParser.regions",),
    "choose": ("masking.choose:choose", "masking.vary:draw"),
    "warp": ("masking.augment:worn", "masking.occlude:tucked"),
    "blend": ("masking.blend:over",),
    "encode": ("images.encoding:encode",),
    "write": (
        "datasets.folder_writer:FolderPart.__enter__",
        "datasets.folder_writer:FolderPart.put",
        "datasets.parts:Part.put",
        "datasets.binset:_CropPart.put",
        "datasets.recordio_writer:_CheckedPart.put",
    ),
    "row": (
        "manifest.rows:face_row",
        "manifest.log:line_of",
        "run.stamps:source_of",
        "run.stamps:stamps_of",
        "run.outcome:Outcome.of",
        "run.worker:Outcome.of",
        "run.worker:_row",
        "run.worker:_variant_row",
        "run.worker:_crop_row",
    ),
}
"""Stage -> its functions, below the package ``maskgen``."""
CODEC: Final = ("decode", "encode")
REST: Final = "rest"
"""What the worker does beside the stages."""
RECORD: Final = "record"
"""What the main process does: listing, and writing down what came of a chunk."""
WHOLE: Final = "whole"


class EnoughError(Exception):
    """So many pictures as were asked for are done."""


class Meter:
    """CPU time per stage, without that of stages called meanwhile."""

    def __init__(self) -> None:
        self.spent: Counter[str] = Counter()
        self._inner = [0]

    def watch(self, stage: str, place: str) -> bool:
        """Measure a function, wherever it was imported to; whether this version has it."""
        module_name, _, path = f"maskgen.{place}".partition(":")
        *owners, name = path.split(".")
        try:
            owner: Any = functools.reduce(getattr, owners, importlib.import_module(module_name))
        except (ImportError, AttributeError):
            return False
        found = vars(owner).get(name)
        if isinstance(found, (classmethod, staticmethod)):
            setattr(owner, name, type(found)(self._timed(stage, found.__func__)))
        elif found is not None:
            timed = self._timed(stage, found)
            setattr(owner, name, timed)
            for module in [module for key, module in sys.modules.items() if key.startswith("maskgen")]:
                for alias in [alias for alias, value in vars(module).items() if value is found]:
                    setattr(module, alias, timed)
        return found is not None

    def _timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*arguments: Any, **named: Any) -> Any:
            self._inner.append(0)
            begun = time.process_time_ns()
            try:
                return function(*arguments, **named)
            finally:
                took = time.process_time_ns() - begun
                self.spent[stage] += took - self._inner.pop()
                self._inner[-1] += took

        return timed


class OneByOne:
    """Works in this process, on a chunk whenever it is told to, and says what it cost."""

    workers = 1

    def __init__(self, meter: Meter, size: int, number: int) -> None:
        self._meter, self._size, self._number = meter, size, number

    def run(self, work: Any, chunks: Iterable[Sequence[Any]]) -> Iterator[Any]:
        entries = islice((entry for chunk in chunks for entry in chunk), self._number)
        spent = self._meter.spent
        while chunk := list(islice(entries, self._size)):
            if not sys.stdin.readline():
                break
            spent.clear()
            begun = time.process_time_ns()
            done = work(chunk)
            worked = time.process_time_ns() - begun
            spent[REST] = worked - spent.total()
            yield done
            spent[WHOLE] = time.process_time_ns() - begun
            spent[RECORD] = spent[WHOLE] - worked
            print(json.dumps({stage: took / len(chunk) / 1e6 for stage, took in spent.items()}), file=_told, flush=True)
        raise EnoughError


_told = sys.stdout


def measured(given: argparse.Namespace) -> None:
    """Be the process of one version."""
    global _told
    _told = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    from maskgen import run

    importlib.import_module("maskgen.run.worker")
    meter = Meter()
    for stage, places in STAGES.items():
        if not [place for place in places if meter.watch(stage, place)]:
            print(f"{sys.path[0]}: no stage {stage} is found", file=sys.stderr)
    settings = run.AugmentSettings.model_validate(json.loads(given.settings))
    with tempfile.TemporaryDirectory(prefix="pipeline-") as target:
        job = run.Job(given.data, Path(target) / "out", settings, run.Execution(workers=1))
        with contextlib.suppress(EnoughError):
            run.run(job, executor=OneByOne(meter, given.chunk, given.number))


class Version:
    """A checkout at work in a process of its own."""

    def __init__(self, checkout: Path, given: argparse.Namespace) -> None:
        # Run by its path, so that nothing but maskgen is another one.
        start = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
        command = [sys.executable, "-c", start, __file__, "--child", "--data", str(given.data.resolve())]
        for name in ("number", "chunk", "settings"):
            command += [f"--{name}", str(getattr(given, name))]
        one = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
        environment = {**os.environ, **dict.fromkeys(one, "1"), "PYTHONPATH": str(checkout)}
        self._process = subprocess.Popen(
            command, cwd=checkout, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def next(self) -> dict[str, float] | None:
        """What the next chunk cost per picture, by stage; None if there is none."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def end(self) -> None:
        """Let the process end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        if code := self._process.wait():
            sys.exit(f"a version ended with {code}")


Costs = list[dict[str, float]]


def costs_of(checkouts: Sequence[Path], given: argparse.Namespace) -> list[Costs]:
    """Of each checkout, what each chunk cost."""
    versions = [Version(checkout, given) for checkout in checkouts]
    found: list[Costs] = [[] for _ in versions]
    is_over = False
    while not is_over:
        # Who comes first finds the files read by nobody.
        for at in range(len(versions))[:: 1 if len(found[0]) % 2 else -1]:
            cost = versions[at].next()
            if cost is None:
                is_over = True
            else:
                found[at].append(cost)
    for version in versions:
        version.end()
    number = min(map(len, found))
    first = min(-(-given.warm_up // given.chunk), number - 1)
    return [costs[first:number] for costs in found]


def codec_of(cost: dict[str, float]) -> float:
    return sum(cost.get(stage, 0.0) for stage in CODEC)


def report(found: Sequence[Costs]) -> None:
    """Print a line per stage; the last of the versions is the new one."""
    names = ["old", "new"][-len(found) :]
    head = "".join(f"  {name + ', ms':>9} {'share':>6} {'x':>6}" for name in names)
    print(f"{'':8}{head}{'  old/new' if len(found) > 1 else ''}")
    for stage in [*STAGES, REST, RECORD, WHOLE]:
        line = f"{stage:8}"
        for costs in found:
            middle = statistics.median(cost.get(stage, 0.0) for cost in costs)
            share = statistics.median(cost.get(stage, 0.0) / cost[WHOLE] for cost in costs)
            ratio = statistics.median(cost.get(stage, 0.0) / codec_of(cost) for cost in costs if codec_of(cost))
            line += f"  {middle:9.3f} {share:6.1%} {ratio:6.2f}"
        if len(found) > 1:
            old, new = found
            both = [(then.get(stage, 0.0), now.get(stage, 0.0)) for then, now in zip(old, new, strict=True)]
            ratios = [then / now for then, now in both if now]
            line += f"  {statistics.median(ratios):7.2f}" if ratios else f"  {'-':>7}"
        print(line)
    mean = [statistics.mean(cost[WHOLE] for cost in costs) for costs in found]
    print("mean    " + "".join(f"  {cost:9.3f} {'':13}" for cost in mean))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--number", type=int, default=200, help="pictures")
    parser.add_argument("--chunk", type=int, default=16, help="pictures at a time")
    parser.add_argument("--warm-up", type=int, default=32, help="pictures that do not count")
    parser.add_argument("--against", type=Path, metavar="CHECKOUT", help="an old version")
    parser.add_argument("--settings", default="{}", metavar="JSON", help='of the run, such as {"aligned": true}')
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        measured(given)
        return
    own = Path(__file__).resolve().parents[2]
    report(costs_of([own] if given.against is None else [given.against.resolve(), own], given))


if __name__ == "__main__":
    main()
