"""Change the code in small ways and see whether the tests notice: which mutants survive.

    python tests/bench/mutants.py --work DIR [--number 100] [--seed 0]

Mutations are drawn by seed over the rooms that decide what a user gets. Each is one flipped comparison or boolean, one
dropped statement, or one changed constant. The tests that run the mutated line, by coverage measured once, are run
until the first failure. DIR keeps the coverage and what is known of each mutant, so a run that was stopped goes on.
Needs the packages of the extras `test` and `dev`.

A survivor gets a test, or a reason in `SPARED`: there a change makes no difference that anybody could see.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import queue
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("masking", "run", "catalog", "datasets", "parallel")
# (file, source of the line without spaces at its ends) -> why a mutant there may live.
SPARED: dict[tuple[str, str], str] = {
    (
        "maskgen/masking/light.py",
        "return float(min(np.median(response) / 0.6745 / 6 / 255, 0.03))",
    ): "255 or 256: a change of 0.4 % in an estimate that is off by ten",
    **dict.fromkeys(
        (
            ("maskgen/masking/wear.py", "down=((-60, 38), (8, 38), (30, 34), (66, 22), (117, 9), (140, 8), (200, 0)),"),
            (
                "maskgen/masking/wear.py",
                "down=((-60, 0), (8, 0), (30, -2), (66, -11), (117, -31), (132, -39), (160, -46), (200, -46)),",
            ),
            (
                "maskgen/masking/wear.py",
                "down=((-60, 98), (8, 98), (30, 86), (66, 68), (117, 50), (132, 46), (200, 0)),",
            ),
        ),
        "millimetres of cloth, set by eye: one more or less shows on no picture",
    ),
    (
        "maskgen/catalog/bundle.py",
        "if info.file_size > MAX_FILE_BYTES or info.file_size > MAX_RATIO * max(info.compress_size, 1):",
    ): "whether an entry of no bytes may unpack to 200 or to 400: it unpacks to none",
    ("maskgen/parallel/local.py", "_AHEAD: Final = 2"): "how long a queue is decides about speed alone",
    ("maskgen/parallel/local.py", "workers = 1"): "the size of chunks decides about speed alone",
    ("maskgen/parallel/local.py", "pool = _pool(1)"): "of two processes only one would get work",
    ("maskgen/parallel/local.py", "mark.unlink()"): "the next chunk writes over it, and one that is done is no suspect",
    ("maskgen/parallel/local.py", "time.sleep(1)"): "a watch that never sleeps sees the same, and costs time alone",
    ("maskgen/datasets/people.py", "_MANY: Final = 10"): "a guess at what is many",
    ("maskgen/run/patterns.py", "scale = min(_SIZE / max(pixels.shape[:2]), 1.0)"): "no picture is under three pixels",
    **dict.fromkeys(
        (
            ("maskgen/run/worker.py", "red, green, blue = (round(channel, 4) for channel in recolor.tint)"),
            ("maskgen/run/worker.py", "hue_deg=round(recolor.hue_deg, 2),"),
        ),
        "a digit that the manifest shows, and nothing reads",
    ),
}
# A mutant may loop for ever: it gets this many seconds, and so many times what its tests take.
_SECONDS, _TIMES = 60, 4
_FLIPPED = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mutant:
    """A changed file.

    Attributes
    ----------
    file : str
        Relative to the checkout.
    line : int
        Where.
    what : str
        Before and after, in words.
    node, change : int
        Number of the node in the syntax tree, and of the change among those of the node.
    """

    file: str
    line: int
    what: str
    node: int
    change: int

    @property
    def name(self) -> str:
        """What tells it from the others."""
        return f"{self.file}:{self.line} {self.what}"

    def source(self) -> str:
        """The whole file, changed."""
        tree = ast.parse((ROOT / self.file).read_text())
        _, _, change = _changes(list(ast.walk(tree))[self.node])[self.change]
        change()
        return ast.unparse(ast.fix_missing_locations(tree))


def mutants_of(file: str) -> list[Mutant]:
    """All mutants of a file, in the order of its lines."""
    found = []
    for number, node in enumerate(ast.walk(ast.parse((ROOT / file).read_text()))):
        found += [Mutant(file, line, what, number, at) for at, (line, what, _) in enumerate(_changes(node))]
    return sorted(found, key=lambda mutant: (mutant.line, mutant.what))


def _changes(node: ast.AST) -> list[tuple[int, str, Callable[[], None]]]:
    """(line, what, function that changes the node) of all changes of a node."""
    changes: list[tuple[int, str, Callable[[], None]]] = []
    if isinstance(node, ast.Compare) and len(node.ops) == 1 and type(node.ops[0]) in _FLIPPED:
        flipped = _FLIPPED[type(node.ops[0])]
        what = f"{ast.unparse(node)} -> {flipped.__name__}"
        changes.append((node.lineno, what, lambda: node.ops.__setitem__(0, flipped())))
    if isinstance(node, ast.BoolOp):
        other = _FLIPPED[type(node.op)]
        changes.append((node.lineno, f"{ast.unparse(node)} -> {other.__name__}", lambda: setattr(node, "op", other())))
    if isinstance(node, ast.Constant) and isinstance(node.value, (bool, int, float)):
        value = node.value
        new = (not value) if isinstance(value, bool) else value + 1 if isinstance(value, int) else value * 1.5 + 0.1
        changes.append((node.lineno, f"{value} -> {new:.4g}", lambda: setattr(node, "value", new)))
    for field in ("body", "orelse", "finalbody"):
        block = getattr(node, field, None)
        for index, statement in enumerate(block if isinstance(block, list) else []):
            if _can_be_dropped(statement):
                what = f"without: {ast.unparse(statement).splitlines()[0]}"
                changes.append((statement.lineno, what, lambda at=index, of=block: of.__setitem__(at, ast.Pass())))
    return changes


def _can_be_dropped(statement: ast.stmt) -> bool:
    if isinstance(statement, ast.Expr):
        return not isinstance(statement.value, ast.Constant)  # a docstring is no code
    return isinstance(statement, (ast.Raise, ast.AugAssign, ast.Continue, ast.Break, ast.If, ast.For, ast.With))


def draw(number: int, seed: int) -> list[Mutant]:
    """So many mutants, drawn evenly over rooms, then over the mutants of each."""
    rng = random.Random(seed)
    rooms = []
    for room in ROOMS:
        files = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "maskgen" / room).rglob("*.py"))
        rooms.append([mutant for file in files for mutant in mutants_of(file)])
    drawn: dict[str, Mutant] = {}
    while len(drawn) < number:
        mutant = rng.choice(rng.choice(rooms))
        drawn.setdefault(mutant.name, mutant)
    return list(drawn.values())


def tests_of(mutant: Mutant, coverage: Path) -> list[str]:
    """The tests that run a mutant's line; of a line that runs when the file is imported, all that run the file."""
    with sqlite3.connect(coverage) as base:
        rows = base.execute(
            "select context.context, line_bits.numbits from line_bits join file on file.id = line_bits.file_id "
            "join context on context.id = line_bits.context_id where file.path like ?",
            (f"%/{mutant.file}",),
        ).fetchall()
    running = sorted({name.split("|")[0] for name, bits in rows if name and _holds(bits, mutant.line)})
    every = running or sorted({name.split("|")[0] for name, _ in rows if name})
    broken, seconds = _broken(coverage.parent), _seconds(coverage.parent)
    # The quickest first: most mutants are noticed by many tests.
    return sorted((name for name in every if name not in broken), key=lambda name: seconds.get(name, 0.0))


@cache
def _seconds(work: Path) -> dict[str, float]:
    """How long each test takes."""
    seconds = {}
    for case in ElementTree.parse(work / "durations.xml").iter("testcase"):
        name, path = case.attrib["name"], case.attrib["classname"].replace(".", "/")
        # A class of tests stands behind its module.
        file, _, inner = path.partition("/Test")
        seconds[f"{file}.py::{f'Test{inner}::' if inner else ''}{name}"] = float(case.attrib["time"])
    return seconds


@cache
def _broken(work: Path) -> set[str]:
    """Tests that fail without any mutant: they say nothing."""
    path = work / "cache" / "v" / "cache" / "lastfailed"
    return set(json.loads(path.read_text())) if path.exists() else set()


def _holds(bits: bytes, line: int) -> bool:
    return line // 8 < len(bits) and bool(bits[line // 8] & (1 << line % 8))


def measure(work: Path, copy_of: Path) -> Path:
    """Coverage of every test, kept in the work folder."""
    path = work / "coverage.sqlite"
    if not path.exists():
        print("measuring which test runs which line ...", flush=True)
        cache = f"cache_dir={work / 'cache'}"
        command = [sys.executable, "-m", "pytest", "-q", "-o", cache, "--cov=maskgen", "--cov-context=test"]
        command.append(f"--junit-xml={work / 'durations.xml'}")
        environment = _environment(copy_of) | {"COVERAGE_FILE": str(work / "coverage.new")}
        subprocess.run([*command, "--cov-report="], cwd=copy_of, env=environment, check=False)
        (work / "coverage.new").rename(path)
    return path


def run_with(mutant: Mutant, tests: list[str], copy_of: Path) -> str:
    """What the tests say with the mutant in place: "killed", "survived", or "late" where they do not end."""
    path = copy_of / mutant.file
    original = path.read_text()
    path.write_text(mutant.source())
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    process = subprocess.Popen(
        command,
        cwd=copy_of,
        env=_environment(copy_of),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        seconds = _SECONDS + _TIMES * sum(_seconds(copy_of.parent).get(name, 1.0) for name in tests)
        return "killed" if process.wait(seconds) else "survived"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        process.wait()
        return "late"
    finally:
        path.write_text(original)


def checkout(path: Path) -> Path:
    """A copy of this checkout, to change."""
    shutil.rmtree(path, ignore_errors=True)
    return Path(
        shutil.copytree(ROOT, path, ignore=shutil.ignore_patterns(".git", "*venv*", "__pycache__", ".mypy_cache"))
    )


def _environment(copy_of: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(copy_of), "PYTHONDONTWRITEBYTECODE": "1"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="keeps coverage and results")
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="mutants to try at a time")
    parser.add_argument("--again", action="store_true", help="try what was not killed earlier once more")
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    results = options.work / f"results-{options.seed}.jsonl"
    known = {}
    for line in results.read_text().splitlines() if results.exists() else ():
        row = json.loads(line)
        known[row["name"]] = row
    copies: queue.Queue[Path] = queue.Queue()
    for number in range(options.jobs):
        copies.put(checkout(options.work / f"checkout-{number}"))
    coverage = measure(options.work, copies.queue[0])
    mutants = draw(options.number, options.seed)

    def attempt(mutant: Mutant) -> dict[str, object]:
        copy_of = copies.get()
        try:
            started, tests = time.monotonic(), tests_of(mutant, coverage)
            verdict = run_with(mutant, tests, copy_of) if tests else "survived"
            seconds = round(time.monotonic() - started)
            return {"name": mutant.name, "verdict": verdict, "tests": len(tests), "seconds": seconds}
        finally:
            copies.put(copy_of)

    pending = [m for m in mutants if m.name not in known or (options.again and known[m.name]["verdict"] != "killed")]
    with results.open("a") as file, ThreadPoolExecutor(options.jobs) as pool:
        for number, row in enumerate(pool.map(attempt, pending), start=1):
            known[row["name"]] = row
            file.write(json.dumps(row) + "\n")
            file.flush()
            of = f"{row['name']} ({row['tests']} tests, {row['seconds']} s)"
            print(f"{number:3}/{len(pending)} {row['verdict']:8} {of}", flush=True)
    late = sum(known[mutant.name]["verdict"] == "late" for mutant in mutants)
    survivors = [mutant for mutant in mutants if known[mutant.name]["verdict"] == "survived"]
    spared = [mutant for mutant in survivors if _spared(mutant)]
    print(
        f"\n{len(mutants)} mutants, {len(mutants) - len(survivors)} killed, {late} of them as tests never ended; "
        f"{len(spared)} spared with a reason, {len(survivors) - len(spared)} survive"
    )
    for mutant in survivors:
        print(f"  {mutant.name}: {_spared(mutant) or 'no test notices'}")


def _spared(mutant: Mutant) -> str | None:
    line = (ROOT / mutant.file).read_text().splitlines()[mutant.line - 1].strip()
    return SPARED.get((mutant.file, line))


if __name__ == "__main__":
    main()
