"""What a run would do: which inputs are left, which are settled, what is in the way."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple

from maskgen import files, manifest
from maskgen.datasets.base import Entry, Fault, Reader
from maskgen.errors import ConfigError
from maskgen.manifest import Row
from maskgen.run import stamps
from maskgen.run.ends import Ends, open_both
from maskgen.run.former import Former, FormerRows, Logs
from maskgen.run.record import former_run, masks_of, record_of, refuse_other_settings
from maskgen.run.settings import Job
from maskgen.run.shares import logs_of

SOURCE_FILE: Final = ".maskgen.source"
"""Holds what `Reader.container` said when all rows were right."""
_BLOCK: Final = 16
# What becomes of an input, in the order of the dataset.
_SETTLED, _PENDING, _FAULT, _LEFT, _OTHERS = b"s", b"p", b"f", b"l", b"o"


@dataclass(frozen=True)
class Step:
    """What a run would do with some inputs that follow each other.

    Attributes
    ----------
    pending : list of Entry
        Pictures to work on.
    faults : list of Fault
        Entries that get their row without work.
    outdated : list of str
        Places written by a former run for the pictures to work on: they or what was written have changed, or they
        failed and are to be retried.
    """

    pending: list[Entry] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    outdated: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Numbers:
    """A plan in numbers.

    Attributes
    ----------
    pending : int
        Pictures to work on.
    faults : Counter
        Reason -> entries that get their row without work.
    settled : int
        Inputs whose rows stand from before.
    outdated : int
        Of the pictures to work on, those that a former run had worked on.
    vanished : int
        Rows of inputs that are gone. They stand unless they are pruned.
    left : int
        Pictures that ``limit`` leaves for later.
    """

    pending: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    settled: int = 0
    outdated: int = 0
    vanished: int = 0
    left: int = 0

    @property
    def rows(self) -> int:
        """Rows that the run will record."""
        return self.pending + self.faults.total()


class _Half(NamedTuple):
    """What becomes of half of a pair; whether it was left out, as the other half gave no picture."""

    pair: int
    at: int
    fate: bytes
    is_left_out: bool

    def is_freed_by(self, other: _Half) -> bool:
        """Whether it is made again, because the other half is."""
        is_stuck = self.is_left_out and self.fate == _SETTLED
        return is_stuck and self.pair == other.pair and other.fate in (_PENDING, _LEFT)


class Plan:
    """What a run would do. Use it as a context.

    Memory grows by one byte per input, and by those of `FormerRows`; inputs are listed again as they are needed.

    Parameters
    ----------
    job : Job
        What is asked for.
    ends : Ends
        Where pictures come from and go to.
    logs : sequence of Logs
        What former runs recorded.

    Attributes
    ----------
    target : Path
        The output folder.
    masks : Masks
        The designs that take part, loaded.
    record : RunFile
        To be written as ``run.json``.
    former : RunFile or None
        That of the former run in the same folder.
    numbers : Numbers or None
        None where nothing was recorded before and there is no limit: then all inputs are taken, and they are listed
        while others are worked on.
    """

    def __init__(self, job: Job, ends: Ends, logs: Sequence[Logs]) -> None:
        reader, writer = self.reader, self.writer = ends.reader, ends.writer
        self.target = writer.home
        self.former = former_run(self.target, job.execution)
        self._execution = job.execution
        self._is_kept = self.former is not None and job.execution.existing != "overwrite"
        self.masks = masks_of(job.settings, self.former if self._is_kept else None)
        self.record = record_of(job, reader.fingerprint(), ends.in_format, self.masks.catalog)
        if self.former is not None and self._is_kept:
            refuse_other_settings(self.target, self.former, self.record)
        self._share = job.execution.shard
        with ExitStack() as stack:
            self.rows = stack.enter_context(FormerRows(logs if self.former is not None else ()))
            self._is_source_known = self._is_kept and _is_source_known(self.target, reader)
            self._clashes = {fault.key: fault for fault in writer.clashes(self._keys, self._settled_among)}
            self._fates = bytearray()
            self.numbers: Numbers | None = None
            if self.former is not None or job.execution.limit is not None:
                self.numbers = self._counted()
            self._open = stack.pop_all()

    def __enter__(self) -> Plan:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._open.close()

    def steps(self) -> Iterator[Step]:
        """All that is to be done, in the order of the dataset."""
        at = 0
        for is_own, block in self._blocks():
            step = Step()
            for found in block:
                if self.numbers is not None:
                    fate = bytes(self._fates[at : at + 1])
                else:
                    fate = _FAULT if self._fault_of(found) else _PENDING
                at += 1
                if not is_own:
                    continue
                if fate == _FAULT:
                    step.faults.append(self._fault_of(found) or _changed(found))
                elif fate == _PENDING and isinstance(found, Entry):
                    step.pending.append(found)
                    step.outdated.extend(self._places_of(found.key) if self._is_kept else ())
            yield step

    @property
    def pending(self) -> list[Entry]:
        """All pictures to work on."""
        return [entry for step in self.steps() for entry in step.pending]

    @property
    def faults(self) -> list[Fault]:
        """All entries that get their row without work."""
        return [fault for step in self.steps() for fault in step.faults]

    @property
    def left(self) -> int:
        """As in `Numbers`."""
        return 0 if self.numbers is None else self.numbers.left

    @property
    def vanished(self) -> Iterator[Row]:
        """The rows of inputs that are gone."""
        return self.rows.unseen()

    def count(self) -> Numbers:
        """The numbers; where they are not known, all inputs are listed."""
        return self.numbers or self._counted()

    def total(self) -> int | None:
        """How many rows the run will record; None if nobody knows without listing all inputs."""
        if self.numbers is not None:
            return self.numbers.rows
        number = self.reader.count()
        # A share of it, to within a block.
        return number if number is None or self._share is None else number // self._share.of

    def refuse_foreign_files(self) -> None:
        """Make sure that nothing is in the way of the pictures to work on that no run wrote.

        Raises
        ------
        ConfigError
            If something is.
        """
        if self.former is None:
            return
        unsettled, own = self.writer.unsettled(), list[str]()

        def keys() -> Iterator[str]:
            for step in self.steps():
                for entry in step.pending:
                    # Of this input, as long as the next is not asked for.
                    own[:] = self._places_of(entry.key)
                    yield entry.key

        existing = {place for place in self.writer.in_the_way(keys()) if place not in unsettled and place not in own}
        if existing:
            for row in former_rows(self.target):
                existing.difference_update(row.places)
        if existing:
            raise ConfigError(
                f"{self.target / min(existing)}: in the way, and no run of maskgen wrote it",
                "move it, or choose another output folder",
            )

    def _places_of(self, key: str) -> tuple[str, ...]:
        former = self.rows.find(key)
        return () if former is None else former.row.places

    def _blocks(self) -> Iterator[tuple[bool, Sequence[Entry | Fault]]]:
        """All inputs, and whether they are of this run's share."""
        share = self._share
        for number, block in enumerate(self.reader.chunks(_BLOCK)):
            yield share is None or number % share.of == share.index, block

    def _keys(self) -> Iterator[str]:
        return (found.key for chunk in self.reader.chunks(1024) for found in chunk if isinstance(found, Entry))

    def _fault_of(self, found: Entry | Fault) -> Fault | None:
        return found if isinstance(found, Fault) else self._clashes.get(found.key)

    def _counted(self) -> Numbers:
        """Find out what becomes of each input."""
        numbers: Counter[bytes] = Counter()
        reasons: Counter[str] = Counter()
        limit = self._execution.limit
        outdated = taken = 0
        fates = bytearray()
        last = _Half(-1, 0, _OTHERS, False)
        for is_own, found in ((is_own, found) for is_own, block in self._blocks() for found in block):
            if not is_own:
                fates += _OTHERS
                taken += isinstance(found, Entry)
                continue
            former = self.rows.find(found.key) if self._is_kept else None
            fault = self._fault_of(found)
            if fault is not None:
                fate = _SETTLED if former is not None and _stands(found, fault, former) else _FAULT
                reasons[fault.reason] += fate == _FAULT
            elif isinstance(found, Entry) and former is not None and self._is_settled(found, former):
                fate = _SETTLED
            else:
                fate = _PENDING if limit is None or taken < limit else _LEFT
                outdated += fate == _PENDING and former is not None
            if isinstance(found, Entry) and found.pair is not None:
                # Halves of a pair follow each other.
                is_left_out = former is not None and former.row.reason == "pair_incomplete"
                half = _Half(found.pair.index, len(fates), fate, is_left_out)
                if half.is_freed_by(last):
                    fate = last.fate
                if last.is_freed_by(half):
                    fates[last.at : last.at + 1] = half.fate
                    numbers.subtract([last.fate])
                    numbers.update([half.fate])
                last = half
            taken += isinstance(found, Entry)
            fates += fate
            numbers[fate] += 1
        self._fates = fates
        is_whole = self._is_kept and self._share is None
        return Numbers(
            numbers[_PENDING],
            reasons,
            numbers[_SETTLED],
            outdated,
            len({row.key for row in self.rows.unseen()}) if is_whole else 0,
            numbers[_LEFT],
        )

    def _is_settled(self, entry: Entry, former: Former) -> bool:
        row = former.row
        if former.stamps is None and not row.places:
            # It got its row without work, as two names clashed, and may have become free of that.
            return False
        if row.reason == "lost" or (row.status == "failed" and self._execution.retry_failed):
            return False
        return not stamps.has_changed(
            row,
            former.stamps,
            self.reader,
            entry,
            self.writer,
            checksum=self._execution.checksum,
            is_source_known=self._is_source_known,
        )

    def _settled_among(self, keys: list[str]) -> set[str]:
        wanted = set(keys)
        if not self._is_kept:
            return set()
        listed = itertools.chain.from_iterable(self.reader.chunks(_BLOCK))
        entries = [one for one in listed if isinstance(one, Entry) and one.key in wanted]
        formers = ((entry, self.rows.find(entry.key)) for entry in entries)
        return {entry.key for entry, former in formers if former is not None and self._is_settled(entry, former)}


def prepare(job: Job) -> Plan:
    """What a run would do; nothing is written.

    Raises
    ------
    ConfigError
        If the folders overlap, the input holds no picture, the output folder is another's, or its settings differ.
    ModelError, CatalogError
        If the model pack or the catalog cannot be used.
    """
    ends = open_both(job)
    plan = Plan(job, ends, logs_of(ends.writer.home))
    plan.refuse_foreign_files()
    return plan


def former_rows(target: Path) -> Iterator[Row]:
    """The rows that were recorded in an output folder, if there are any."""
    for log in logs_of(target):
        if log.rows.exists():
            yield from manifest.read(log.rows)


def note_source(target: Path, reader: Reader) -> None:
    """Keep what `Reader.container` says, as all rows are right now."""
    container = reader.container()
    if container is not None:
        files.write_whole(target / SOURCE_FILE, container.encode())


def _is_source_known(target: Path, reader: Reader) -> bool:
    container = reader.container()
    path = target / SOURCE_FILE
    return container is not None and path.is_file() and path.read_bytes() == container.encode()


def _stands(found: Entry | Fault, fault: Fault, former: Former) -> bool:
    """Whether a fault has its row already; that of a picture whose name clashes may be of the time before it did."""
    is_same = (former.row.status, former.row.reason) == (fault.status, fault.reason)
    had_work = former.stamps is not None or bool(former.row.places)
    return is_same and (isinstance(found, Fault) or not had_work)


def _changed(found: Entry | Fault) -> Fault:
    """For an input that was a fault when inputs were counted, and is none now."""
    return Fault(found.key, "failed", "changed", "it has changed since the run began", "run the same again")
