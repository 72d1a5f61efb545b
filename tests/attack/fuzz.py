"""Damage what maskgen reads, and see whether anything but an error of its own comes out.

    python -m tests.attack.fuzz --minutes 10 [--seed 0] [--reader NAME]... [--keep DIR]
    python -m tests.attack.fuzz --reader NAME --only N          # one mutation once more, with its traceback

Each reader of `tests.attack.readers` is given whole inputs and then mutations of them, drawn by seed: the same seed
gives the same ones. A finding is any exception that is no `MaskgenError`, a whole input that is refused, a reading that
takes longer than ten seconds or more than 1 GiB of memory, and a process that dies. Its input is kept together with
what happened. Exit code: 0 if there is no finding, else 1.

Reading is done in a process of its own, which is replaced if it dies. Needs the extra `test`; readers of a library that
is not installed are left out, and named.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Protocol

from maskgen.errors import MaskgenError
from tests.attack.mutate import mutation

SECONDS: Final = 10.0
"""What one reading may take."""
MEMORY: Final = 2**30
"""Bytes that a process may grow by during one reading."""
# How often a process is looked at that has not answered; what it may allocate meanwhile is what it may exceed.
_LOOK: Final = 0.02  # seconds
_BATCH: Final = 64
_SHOWN: Final = 5
"""Findings of one kind that are kept."""
_HERE: Final = Path(__file__).parent


class Reader(Protocol):
    """What is attacked; small, and can be pickled.

    Attributes
    ----------
    name : str
        What ``--reader`` takes.
    is_text : bool
        Whether its inputs are JSON or words.
    """

    name: str
    is_text: bool

    def seeds(self) -> list[bytes]:
        """Whole inputs, made by code, always the same."""

    def read(self, raw: bytes, folder: Path) -> None:
        """Read an input; `folder` is this reader's own, and stays as long as its process does.

        Raises
        ------
        MaskgenError
            If the input is refused.
        """


@dataclass(frozen=True)
class Limits:
    """What one reading may cost."""

    seconds: float = SECONDS
    memory: int = MEMORY


@dataclass(frozen=True)
class Answer:
    """What became of one mutation: ``read``, ``refused``, or a finding of some kind."""

    number: int
    outcome: str
    details: str = ""

    @property
    def is_finding(self) -> bool:
        return self.outcome not in ("read", "refused")


@dataclass
class Tally:
    """What became of all mutations of one reader."""

    name: str
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: list[Answer] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer) -> bool:
        """Count an answer; says whether it is a finding that should be kept."""
        self.outcomes[answer.outcome if not answer.is_finding else "finding"] += 1
        if answer.is_finding:
            self.kinds[answer.outcome] += 1
            self.findings.append(answer)
        return answer.is_finding and self.kinds[answer.outcome] <= _SHOWN

    @property
    def total(self) -> int:
        return sum(self.outcomes.values())


# ---- in the process that reads


def _serve(pipe: Connection, readers: Sequence[Reader], seed: int, log: str) -> None:
    """Take (reader, numbers) from a pipe, and answer one mutation after the other."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends this process
    # Libraries in C speak to these; nobody wants to hear it a thousand times.
    null, said = os.open(os.devnull, os.O_WRONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(null, 1)
    os.dup2(null, 2)
    faulthandler.enable(said, all_threads=False)
    whole = functools.cache(lambda index: readers[index].seeds())
    with tempfile.TemporaryDirectory(dir=Path(log).parent, ignore_cleanup_errors=True) as name:
        while (task := pipe.recv()) is not None:
            index, numbers = task
            folder = Path(name) / str(index)
            folder.mkdir(exist_ok=True)
            for number in numbers:
                raw = mutation(seed, readers[index].name, number, whole(index), readers[index].is_text)
                before = _peak()
                pipe.send(None)  # what takes time from now on is the reader
                answer = _once(readers[index], number, raw, folder, number < len(whole(index)))
                pipe.send((answer, _peak() - before))


def _once(reader: Reader, number: int, raw: bytes, folder: Path, is_whole: bool) -> Answer:
    try:
        reader.read(raw, folder)
        return Answer(number, "read")
    except MaskgenError as error:
        if is_whole:
            return Answer(number, "whole input refused", traceback.format_exc())
        # Its words must be fit to be shown and stored.
        try:
            str(error).encode()
        except UnicodeEncodeError:
            return Answer(number, "message with lone surrogates", traceback.format_exc())
        return Answer(number, "refused", str(error))
    except BaseException as error:
        # What is damaged is often deep in a library; where it was called from says which kind this is.
        ours = [frame for frame in traceback.extract_tb(error.__traceback__) if f"{os.sep}maskgen{os.sep}" in frame[0]]
        where = f" at {Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else ""
        said = traceback.format_exc()
        details = said if len(said) < 20_000 else f"{said[:15_000]}\n...\n{said[-5_000:]}"
        return Answer(number, f"{type(error).__name__}{where}", details)


def _peak() -> int:
    """Bytes of memory that this process had at most."""
    try:
        import resource
    except ImportError:  # Windows
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


# ---- in the process that watches


class Attack:
    """Mutations of some readers' inputs, read in a process that is watched.

    Parameters
    ----------
    readers : sequence of Reader
        What to attack.
    seed : int
        Of all mutations.
    limits : Limits
        What one reading may cost.
    """

    def __init__(self, readers: Sequence[Reader], seed: int = 0, limits: Limits = Limits()) -> None:
        self.readers, self.seed, self.limits = readers, seed, limits
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Attack:
        self._folder = tempfile.TemporaryDirectory(prefix="maskgen-fuzz-", ignore_cleanup_errors=True)
        self._log = Path(self._folder.name) / "log"
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        self._folder.cleanup()

    def read(self, index: int, numbers: Sequence[int]) -> list[Answer]:
        """What becomes of some mutations for one reader."""
        answers, left = list[Answer](), list(numbers)
        while left:
            pipe = self._running()
            pipe.send((index, left))
            while left:
                answer = self._answer(pipe, left[0])
                answers.append(answer)
                del left[0]
                if answer.is_finding and self._process is None:
                    break
        return answers

    def _running(self) -> Connection:
        if self._process is None or self._pipe is None:
            # Not forked: a child must have nothing of what went before.
            context = multiprocessing.get_context("spawn")
            self._pipe, theirs = context.Pipe()
            arguments = (theirs, self.readers, self.seed, str(self._log))
            self._process = context.Process(target=_serve, args=arguments, daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def _answer(self, pipe: Connection, number: int) -> Answer:
        """What becomes of one mutation; the process is gone if it went too far."""
        assert self._process is not None
        try:
            pipe.recv()
            started, before = time.monotonic(), _resident(self._process.pid)
            while not pipe.poll(_LOOK):
                if time.monotonic() - started > self.limits.seconds:
                    return self._ended(number, f"longer than {self.limits.seconds:g} s")
                if _resident(self._process.pid) - before > self.limits.memory:
                    return self._ended(number, f"more than {self.limits.memory / 2**20:.0f} MiB")
            answer, grown = pipe.recv()
        except (EOFError, OSError):
            self._process.join()
            code = self._process.exitcode or 0
            return self._ended(number, f"died of {signal.Signals(-code).name}" if code < 0 else f"exited with {code}")
        if grown > self.limits.memory:  # it was too short to be seen from here
            return self._ended(number, f"more than {self.limits.memory / 2**20:.0f} MiB")
        assert isinstance(answer, Answer)
        return answer

    def _ended(self, number: int, outcome: str) -> Answer:
        self._end()
        return Answer(number, outcome, self._log.read_text(errors="replace") if self._log.exists() else "")

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.join()
            self._process = None
        if self._pipe is not None:
            self._pipe.close()
            self._pipe = None

    def input_of(self, index: int, number: int) -> bytes:
        """The input of a mutation."""
        reader = self.readers[index]
        return mutation(self.seed, reader.name, number, reader.seeds(), reader.is_text)


def _resident(pid: int | None) -> int:
    """Bytes of memory of a process; 0 where that is not told."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return 0


def attack(
    readers: Sequence[Reader],
    seconds: float | None,
    number: int | None = None,
    seed: int = 0,
    keep: Path | None = None,
    limits: Limits = Limits(),
) -> list[Tally]:
    """Attack readers in turn.

    Parameters
    ----------
    seconds : float or None
        How long, all readers together.
    number : int or None
        How many mutations per reader, the whole inputs not counted; None for as many as there is time for.
    keep : Path, optional
        Folder for the inputs of findings.
    """
    tallies = [Tally(reader.name) for reader in readers]
    spent = [0.0] * len(readers)
    sizes = [1] * len(readers)
    ends = [None if number is None else number + len(reader.seeds()) for reader in readers]
    started = time.monotonic()
    with Attack(readers, seed, limits) as running:
        while seconds is None or time.monotonic() - started < seconds:
            is_open = [i for i in range(len(readers)) if ends[i] is None or tallies[i].total < ends[i]]
            if not is_open:
                break
            index = min(is_open, key=lambda i: spent[i])
            first, end = tallies[index].total, ends[index]
            began = time.monotonic()
            numbers = range(first, min(first + sizes[index], end or sys.maxsize))
            for answer in running.read(index, numbers):
                if tallies[index].add(answer) and keep is not None:
                    _keep(keep, tallies[index].name, answer, running.input_of(index, answer.number))
            took = time.monotonic() - began
            # The first time, libraries are imported and whole inputs made.
            spent[index] += took if first else 0.001
            sizes[index] = _BATCH if took < 1 else 1
    return tallies


def _keep(folder: Path, name: str, answer: Answer, raw: bytes) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    stem = folder / f"{name}-{answer.number}"
    stem.with_suffix(".bin").write_bytes(raw)
    text = f"{answer.outcome}\n\n{answer.details}\n"
    stem.with_suffix(".txt").write_text(text, encoding="utf-8", errors="backslashreplace")


def table(tallies: Sequence[Tally]) -> str:
    """One line per reader, then one per kind of finding."""
    width = max((len(tally.name) for tally in tallies), default=0)
    lines = [f"{'reader':{width}} {'mutations':>9} {'refused':>8} {'read':>8} {'findings':>8}"]
    for tally in tallies:
        counts = [tally.outcomes[outcome] for outcome in ("refused", "read", "finding")]
        lines.append(f"{tally.name:{width}} {tally.total:9} {counts[0]:8} {counts[1]:8} {counts[2]:8}")
    for tally in tallies:
        for kind, count in tally.kinds.most_common():
            first = next(answer.number for answer in tally.findings if answer.outcome == kind)
            lines.append(f"{tally.name}: {count} x {kind}, first --only {first}")
    return "\n".join(lines)


def main() -> int:
    from tests.attack.readers import READERS, lacking

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", action="append", choices=sorted(READERS), help="all if there is none")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="where inputs of findings go")
    parser.add_argument("--only", type=int, metavar="N", help="read mutation N alone")
    options = parser.parse_args()
    chosen = [READERS[name] for name in options.reader or READERS]
    for reader in chosen:
        if missing := lacking(reader):
            print(f"{reader.name}: left out, for {missing} is not installed", file=sys.stderr)
    readers = [reader for reader in chosen if not lacking(reader)]
    if options.only is None:
        tallies = attack(readers, options.minutes * 60, seed=options.seed, keep=options.keep)
        print(table(tallies))
        return 1 if any(tally.findings for tally in tallies) else 0
    if len(readers) != 1:
        parser.error("--only needs one --reader")
    with Attack(readers, options.seed) as running:
        (answer,) = running.read(0, [options.only])
        if options.keep is not None:
            _keep(options.keep, readers[0].name, answer, running.input_of(0, options.only))
    print(f"{answer.outcome}\n{answer.details}".rstrip())
    return 1 if answer.is_finding else 0


if __name__ == "__main__":
    sys.exit(main())
