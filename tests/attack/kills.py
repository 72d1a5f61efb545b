"""Kill runs of `maskgen augment` at random moments, and see whether the next one makes good.

    python -m tests.attack.kills [--number 100] [--seed 0]

Each round starts a run, ends it after a random time (SIGKILL to the parent, to a worker or to all; SIGINT; SIGTERM),
goes on with the same command, and compares all bytes with those of a run that nobody disturbed. It also looks for
processes that outlived their parent, and for what is left among temporary files and in /dev/shm.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import skimage.data
import skimage.transform
from PIL import Image

WAYS = ("parent", "group", "worker", "interrupt", "terminate")
_MARK = "MASKGEN_ATTACK"
_SEMAPHORES = Path("/dev/shm")


def make_input(folder: Path, number: int) -> None:
    """Small crops of the astronaut."""
    face = Image.fromarray(skimage.data.astronaut()[0:250, 110:340])
    for index in range(number):
        path = folder / f"id{index % 3}" / f"{index}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        face.resize((120 + index, 130 + index)).save(path)


def hash_of(folder: Path) -> str:
    """Of all names and bytes but those of stamps, which hold times."""
    digest = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        if not path.name.startswith(".maskgen"):
            digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class Verdict:
    """What was wrong after a kill: nothing, if all is well."""

    way: str
    seconds: float
    faults: tuple[str, ...]


class Attack:
    """Kills runs on one input.

    Parameters
    ----------
    folder : Path
        Is worked in.
    number : int
        Pictures.
    options : sequence of str
        For ``maskgen augment``.
    """

    def __init__(self, folder: Path, number: int = 24, options: tuple[str, ...] = ("--variants", "2")) -> None:
        self.folder, self.options = folder, options
        self.source = folder / "in"
        make_input(self.source, number)
        started = time.monotonic()
        whole = self.start(folder / "whole")
        assert whole.wait() == 0
        self.seconds = time.monotonic() - started
        self.expected = hash_of(folder / "whole")

    def start(self, target: Path) -> subprocess.Popen[str]:
        """A run with a home and temporary files of its own."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "maskgen", "augment", str(self.source), str(target), "--workers", "2"]
        environment = {**os.environ, _MARK: str(self.folder), "TMPDIR": str(temporary)}
        return subprocess.Popen(
            [*command, *self.options],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def once(self, way: str, seconds: float) -> Verdict:
        """Kill a run, go on, compare."""
        target = self.folder / "out"
        shutil.rmtree(target, ignore_errors=True)
        run = self.start(target)
        time.sleep(seconds)
        _end(run, way)
        said = run.communicate()[0]
        faults = []
        # Before Python has come to our first line, it does what it does.
        codes = (0, 130) if said else (0, 130, -signal.SIGINT, -signal.SIGTERM)
        if way in ("interrupt", "terminate") and (run.returncode not in codes or said.count("\n") > 9):
            faults.append(f"exit code {run.returncode}, {said.strip()[-300:]!r}")
        deadline = time.monotonic() + 10
        while (left := self._processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        faults += [f"process {pid} outlived its parent" for pid in left]
        again = self.start(target)
        said = again.communicate()[0]
        if again.returncode != 0:
            faults.append(f"the next run ended with {again.returncode}: {said.strip()[-300:]}")
        elif hash_of(target) != self.expected:
            faults.append("bytes differ")
        if hidden := [path.name for path in target.rglob(".maskgen-*")]:
            faults.append(f"left in the output: {hidden}")
        if names := os.listdir(self.folder / "tmp"):
            faults.append(f"left among temporary files: {names}")
        if semaphores := [path.name for path in _SEMAPHORES.glob(f"sem.loky-{run.pid}-*")]:
            faults.append(f"left in {_SEMAPHORES}: {semaphores}")
        return Verdict(way, seconds, tuple(faults))

    def _processes(self) -> list[int]:
        mark, found = f"{_MARK}={self.folder}".encode(), []
        for path in Path("/proc").glob("[0-9]*/environ"):
            with contextlib.suppress(OSError):
                if mark in path.read_bytes().split(b"\0"):
                    found.append(int(path.parent.name))
        return found


def _end(run: subprocess.Popen[str], way: str) -> None:
    if run.poll() is not None:
        return
    with contextlib.suppress(ProcessLookupError):
        if way == "parent":
            os.kill(run.pid, signal.SIGKILL)
        elif way == "terminate":
            os.kill(run.pid, signal.SIGTERM)
        elif way == "worker":
            children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
            if children:
                os.kill(int(children[-1]), signal.SIGKILL)
        else:
            os.killpg(run.pid, signal.SIGKILL if way == "group" else signal.SIGINT)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--number", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, failed = random.Random(options.seed), 0
    with tempfile.TemporaryDirectory() as folder:
        attack = Attack(Path(folder))
        for index in range(options.number):
            verdict = attack.once(WAYS[index % len(WAYS)], rng.uniform(0, attack.seconds * 1.1))
            failed += bool(verdict.faults)
            print(
                f"{index + 1:4} {verdict.way:9} after {verdict.seconds:5.2f} s: {verdict.faults or 'well'}", flush=True
            )
    print(f"{options.number} kills, {failed} with faults")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
