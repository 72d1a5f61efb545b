"""Does a checkout still do what an old one did? The same commands on the same inputs; what they write is compared.

    python tests/bench/same.py OLD [NEW] [--data DIR] [--only CASE]... [--verbose]
    python tests/bench/same.py OLD --keep DIR --reuse-old      # from the second time on, only NEW is run

OLD and NEW are checkouts; NEW is the one this file lies in unless told otherwise. Nothing of maskgen is imported: both
are run as ``python -m maskgen`` by this Python, and judged by their exit codes, their JSON and their files. Pictures
are compared byte for byte, manifests row by row, networks tensor by tensor. Of messages for people only their presence
is compared; ``--verbose`` shows those that changed. RENAMES and ADDED say how a manifest of the new schema differs from
one of the old. EXPECTED names what differs on purpose. Exit code: 0 if nothing else differs, else 1.

Inputs are the photographs that the dependencies ship and, if there is one, a folder of real ones with ``lfw/``,
``celeba/``, ``scenes/`` and ``masked_photos/``. ``same_cases.py`` has the inputs and the cases; if it changes, old
outputs that were kept are made anew. If OLD itself has changed, delete DIR.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from same_cases import ALIKE, CASES, Side, environment, make_inputs, recipe_of, run_side

ROOT: Final = Path(__file__).resolve().parents[2]
NEW_SCHEMA: Final = (1, 2)
"""What ``schema_version`` may go from and to. The renames hold between these two only."""


class Rename(NamedTuple):
    """A field of an old "row", "variant" or "settings" that the new schema calls otherwise."""

    where: str
    old: str
    new: str
    reason: str


RENAMES: Final = (
    Rename("row", "path", "key", "an input may be a record of a file as well as a file"),
    Rename("variant", "file", "place", "a picture may lie in a container as well as be a file"),
    # And original: "x" becomes original: {"place": "x"}, so that it can have extras as a variant can; see `upgraded`.
)
ADDED: Final = {
    "identity": "who is on the picture, where the format of the input says so",
    "label": "the class number, where the format of the input has one",
    "pair": "which verification pair a picture belongs to",
    "extras": "what was written beside a picture: alpha, landmarks, visible",
    "remedy": "the second half of the old message",
}
"""New fields of a manifest. They may be absent or empty; one that is filled is a difference."""
NOT_COMPARED: Final = {
    "seconds": "time",
    "pictures_per_second": "time",
    "maskgen": "version",
    "versions": "of libraries, for the record",
}
"""Names of fields in any JSON."""
NOT_LOOKED_AT: Final = {
    ".maskgen": "private notes of a run",
    ".maskgen.stamps": "sizes and times of its files",
    "checkpoints": "hold times and the optimizer's state; their outcome is backbone.pth",
    "faces-*.jsonl": "a cache in the order of its workers; what is made from it is compared",
    ".lock": "empty",
    ".maskgen.lock": "empty",
    "*.stderr": "for people",
    "complaints.txt": "each of its lines is a difference already",
}
"""Patterns of names of files and folders."""


class Difference(NamedTuple):
    """Something that is not the same.

    `kind` is "file", "missing", "extra", "row", "run" (run.json), "json" (all other JSON, printed or written),
    "weights", "zip" or "promise". `unit` is the file, or ``manifest.jsonl:key``; `field` is what in it. `row` is the
    old row (in the new schema's words if NEW has it) of a row or of a picture that the row names.
    """

    kind: str
    unit: str
    field: str = ""
    old: Any = None
    new: Any = None
    row: dict[str, Any] | None = None


class Expected(NamedTuple):
    """A difference that is meant: a pattern for ``unit:field`` as in `fnmatch`, or a function that says so."""

    kind: str
    matches: str | Callable[[Difference], bool]
    reason: str

    def fits(self, difference: Difference) -> bool:
        if self.kind != difference.kind:
            return False
        if isinstance(self.matches, str):
            return fnmatch.fnmatchcase(f"{difference.unit}:{difference.field}", self.matches)
        return self.matches(difference)


# Case, or "*" for all -> what differs there on purpose. For example:
#   "faces-all": [Expected("file", lambda d: d.row is not None and len(d.row["faces"]) > 1,
#                          "the second face of a picture is measured on the bare photograph")],
_MASKS: Final = "straps, pleats, creases and the light at the edge of masks differ from face to face"
EXPECTED: Final[dict[str, list[Expected]]] = {
    "*": [Expected("file", lambda d: d.row is not None and d.row["status"] == "done", _MASKS)],
    "train": [
        Expected("weights", "*", _MASKS + "; masks are put on while loading"),
        Expected("json", "*", _MASKS + "; masks are put on while loading"),
        Expected("file", "*curves.png:*", _MASKS + "; masks are put on while loading"),
    ],
    "eval": [
        Expected("json", "*", _MASKS + "; the network is the one just trained"),
        Expected("file", "*roc.png:*", _MASKS + "; the network is the one just trained"),
    ],
}


# Comparison.

ABSENT: Final = "(absent)"
Rows = list[dict[str, Any]]


@dataclass
class Comparison:
    """What was looked at and what was found."""

    files: int = 0
    rows: int = 0
    differences: list[Difference] = field(default_factory=list)
    messages: dict[tuple[str, str], None] = field(default_factory=dict)

    def trees(self, old: Side, new: Side) -> None:
        """Compare all files in two folders."""
        old_files, new_files = set(files_in(old.folder)), set(files_in(new.folder))
        rows: dict[str, dict[str, Any]] = {}
        # Manifests first: what they say of a picture goes with its difference.
        for name in sorted(old_files & new_files, key=lambda name: (not name.endswith("manifest.jsonl"), name)):
            self.files += 1
            then, now = old.folder / name, new.folder / name
            if name.endswith("manifest.jsonl"):
                rows |= self.manifests(name, read_rows(then, old), read_rows(now, new))
            elif name.endswith(".json"):
                kind = "run" if name.endswith("run.json") else "json"
                self.records(kind, name, read_json(then, old), read_json(now, new))
            elif then.read_bytes() != now.read_bytes():
                if name.endswith((".pth", ".onnx", ".zip")):
                    self.parts("zip" if name.endswith(".zip") else "weights", name, then, now)
                else:
                    self.differences.append(Difference("file", name, row=rows.get(name)))
        self.differences += [Difference("missing", name, row=rows.get(name)) for name in sorted(old_files - new_files)]
        self.differences += [Difference("extra", name) for name in sorted(new_files - old_files)]

    def manifests(self, name: str, old: Rows, new: Rows) -> dict[str, dict[str, Any]]:
        """Compare rows; place of a picture -> the old row that names it."""
        if old and new and (old[0].get("schema_version"), new[0].get("schema_version")) == NEW_SCHEMA:
            old = [upgraded(row) for row in old]
        old_keys, new_keys = ([str(row.get("key", row.get("path"))) for row in rows] for rows in (old, new))
        if old_keys != new_keys and set(old_keys) == set(new_keys):
            self.differences.append(Difference("row", name, "order or number of rows"))
        then, now = dict(zip(old_keys, old, strict=True)), dict(zip(new_keys, new, strict=True))
        named = dict[str, dict[str, Any]]()
        for key in sorted(then.keys() | now.keys()):
            self.rows += 1
            row, new_row = then.get(key), now.get(key)
            for found in differing(without_words(row), without_words(new_row)):
                self.differences.append(Difference("row", f"{name}:{key}", *found, row))
            if row and new_row and row.get("message") != new_row.get("message"):
                said = new_row.get("message"), new_row.get("remedy")
                self.messages[row.get("message") or "", " | ".join(filter(None, said))] = None
            if row is not None:
                for written in (*row.get("variants", ()), row.get("original")):
                    place = written.get("place", written.get("file")) if isinstance(written, dict) else written
                    named[(Path(name).parent / str(place)).as_posix()] = row
        return named

    def records(self, kind: str, unit: str, old: Any, new: Any) -> None:
        """Compare two pieces of JSON."""
        if kind == "run" and (old.get("schema_version"), new.get("schema_version")) == NEW_SCHEMA:
            old = {**old, "settings": renamed("settings", old["settings"]), "schema_version": NEW_SCHEMA[1]}
        self.differences += [Difference(kind, unit, *found) for found in differing(bare(old), bare(new))]

    def parts(self, kind: str, unit: str, old: Path, new: Path) -> None:
        """Compare what is in two files of which the bytes differ."""
        then, now = contents_of(old), contents_of(new)
        for name in sorted(then.keys() | now.keys()):
            if name not in then or name not in now or not np.array_equal(then[name], now[name]):
                self.differences.append(Difference(kind, unit, name))


def files_in(folder: Path) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not is_skipped(name)]
        yield from (Path(parent, name).relative_to(folder).as_posix() for name in names if not is_skipped(name))


def is_skipped(name: str) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in NOT_LOOKED_AT)


def read_json(path: Path, side: Side) -> Any:
    """JSON in which a side's own paths are replaced by words."""
    return json.loads(neutral(path.read_text(encoding="utf-8"), side))


def read_rows(path: Path, side: Side) -> Rows:
    return [json.loads(line) for line in neutral(path.read_text(encoding="utf-8"), side).splitlines()]


def neutral(text: str, side: Side) -> str:
    for path, word in ((side.folder, "FOLDER"), (side.inputs, "INPUTS"), (side.checkout, "CHECKOUT")):
        text = text.replace(str(path), word)
    return text


def renamed(where: str, record: dict[str, Any]) -> dict[str, Any]:
    names = {rename.old: rename.new for rename in RENAMES if rename.where == where}
    return {names.get(name, name): value for name, value in record.items()}


def upgraded(row: dict[str, Any]) -> dict[str, Any]:
    """An old row in the words of the new schema."""
    row = renamed("row", {**row, "schema_version": NEW_SCHEMA[1]})
    original = None if row.get("original") is None else {"place": row["original"]}
    variants = [renamed("variant", variant) for variant in row.get("variants", ())]
    return {**row, "variants": variants, "original": original}


def without_words(row: dict[str, Any] | None) -> Any:
    """A row with the message, in one or two fields, replaced by whether there is one."""
    if row is None:
        return ABSENT
    has_message = bool(row.get("message"))
    return bare({**row, "message": has_message, "remedy": None if has_message else row.get("remedy")})


def bare(value: Any) -> Any:
    """JSON without what is not compared, and without added fields that are empty."""
    if isinstance(value, list):
        return [bare(part) for part in value]
    if not isinstance(value, dict):
        return value
    return {
        name: bare(part)
        for name, part in value.items()
        if name not in NOT_COMPARED and not (name in ADDED and part in (None, "", [], {}))
    }


def differing(old: Any, new: Any, where: str = "") -> Iterator[tuple[str, Any, Any]]:
    """(where, old, new) of all that differs in two pieces of JSON."""
    if isinstance(old, dict) and isinstance(new, dict):
        for name in sorted(old.keys() | new.keys()):
            yield from differing(old.get(name, ABSENT), new.get(name, ABSENT), f"{where}.{name}".lstrip("."))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for index, pair in enumerate(zip(old, new, strict=True)):
            yield from differing(*pair, f"{where}.{index}".lstrip("."))
    elif old != new:
        yield where, old, new


def contents_of(path: Path) -> dict[str, Any]:
    """Name -> array or bytes, of what a zip file or a network consists of."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return {name: archive.read(name) for name in archive.namelist()}
    if path.suffix == ".onnx":
        import onnx
        from onnx import numpy_helper

        return {part.name: numpy_helper.to_array(part) for part in onnx.load(path).graph.initializer}
    import torch

    return {name: tensor.numpy() for name, tensor in torch.load(path, weights_only=True).items()}


# Report.


def compare(case: str, old: Side, new: Side) -> Comparison:
    found = Comparison()
    found.trees(old, new)
    for side in (old, new):
        complaints = side.folder / "complaints.txt"
        for line in complaints.read_text().splitlines() if complaints.exists() else ():
            found.differences.append(Difference("promise", f"{side.folder.parent.name}: {line}"))
    if case in ALIKE:
        one, other = (Side(new.checkout, new.folder / name, new.inputs) for name in ALIKE[case])
        alike = Comparison()
        alike.trees(one, other)
        units = dict.fromkeys(difference.unit for difference in alike.differences)
        text = f"differs from {ALIKE[case][0]}/ beside it"
        found.differences += [Difference("promise", f"{ALIKE[case][1]}/{unit}", text) for unit in units]
    return found


def report(case: str, found: Comparison, seconds: str, is_verbose: bool) -> tuple[bool, set[int]]:
    """Print a case; whether all that differs is expected, and which of the expectations came true."""
    expectations = [*EXPECTED.get(case, []), *EXPECTED.get("*", [])]
    fitting = [[wish for wish in expectations if wish.fits(difference)] for difference in found.differences]
    unexpected = [difference for difference, wishes in zip(found.differences, fitting, strict=True) if not wishes]
    units = {difference.unit for difference in found.differences}
    expected = units - {difference.unit for difference in unexpected}
    print(f"{case:10} {found.files:6} {found.rows:6} {len(units):10} {len(expected):9}  {seconds:>13}")
    unexpected.sort(key=lambda difference: difference.kind != "promise")
    first_of_units = [*{difference.unit: difference for difference in reversed(unexpected)}.values()][::-1]
    shown = unexpected if is_verbose else first_of_units[:10]
    for kind, unit, what, old, new, _ in shown:
        values = "" if old is None and new is None else f": {json.dumps(old)[:60]} -> {json.dumps(new)[:60]}"
        print(f"    {kind}  {unit}  {what}{values}")
    if len(unexpected) > len(shown):
        print(f"    and {len(unexpected) - len(shown)} more; --verbose shows them")
    return not unexpected, {id(wish) for wishes in fitting for wish in wishes}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path, nargs="?", default=ROOT)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data", help="real photographs")
    parser.add_argument("--only", action="append", choices=CASES, metavar="CASE", help=f"of {', '.join(CASES)}")
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="gets inputs and outputs, in place of a temporary folder"
    )
    parser.add_argument("--reuse-old", action="store_true", help="take the old outputs that --keep has")
    parser.add_argument("--verbose", action="store_true", help="print all differences, and messages that changed")
    given = parser.parse_args()
    if given.reuse_old and given.keep is None:
        parser.error("--reuse-old needs --keep")
    with contextlib.ExitStack() as stack:
        work = given.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="same-")))
        work.mkdir(parents=True, exist_ok=True)
        is_same = run(given.old.resolve(), given.new.resolve(), work.resolve(), given)
    sys.exit(not is_same)


def run(old: Path, new: Path, work: Path, given: argparse.Namespace) -> bool:
    """Run both sides and print the table; whether only what is expected differs."""
    (work / "tmp").mkdir(exist_ok=True)
    os.environ["TMPDIR"] = str(work / "tmp")  # a run that is killed leaves things there
    for checkout in (old, new):
        question = "import importlib.util; print(importlib.util.find_spec('maskgen').origin)"
        command = [sys.executable, "-c", question]
        origin = subprocess.check_output(command, cwd=work, env=environment(checkout), text=True).strip()
        if not Path(origin).is_relative_to(checkout):
            sys.exit(f"{checkout}: Python takes {origin} instead; give a checkout of maskgen")
    data = given.data.resolve() if given.data.is_dir() else None
    if data is None:
        print(f"{given.data}: no such folder; only photographs that the dependencies ship are used", file=sys.stderr)
    wanted = given.only or list(CASES)
    cases = [case for case in CASES if case in wanted or (case == "train" and "eval" in wanted)]
    recipe = recipe_of(old, data)
    inputs, stamp = work / "inputs", work / "inputs.txt"
    if not given.reuse_old or not stamp.exists() or stamp.read_text() != recipe:
        stamp.unlink(missing_ok=True)
        shutil.rmtree(inputs, ignore_errors=True)
        make_inputs(inputs, data, old)
        stamp.write_text(recipe)
    run_side(old, work / "old", inputs, cases, recipe, given.reuse_old)
    run_side(new, work / "new", inputs, cases, recipe)
    print(f"{'case':10} {'files':>6} {'rows':>6} {'differing':>10} {'expected':>9}  {'seconds':>13}")
    is_same, came_true, messages = True, set[int](), dict[tuple[str, str], None]()
    for case in cases:
        found = compare(case, *(Side(root, work / side / case, inputs) for root, side in ((old, "old"), (new, "new"))))
        times = [json.loads((work / side / f"{case}.json").read_text())["seconds"] for side in ("old", "new")]
        is_fine, fulfilled = report(case, found, " + ".join(map(str, times)), given.verbose)
        is_same &= is_fine
        came_true |= fulfilled
        messages |= found.messages
    for case, expectations in EXPECTED.items():
        for wish in expectations:
            if id(wish) not in came_true and (case in cases or case == "*"):
                print(f"expected, but the same: {case}, {wish.kind}: {wish.reason}")
    for then, now in messages if given.verbose else ():
        print(f"message  {then}\n    now  {now}")
    return is_same


if __name__ == "__main__":
    main()
