"""What a run would do: which inputs are left, which are settled, what is in the way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from maskgen import manifest
from maskgen.datasets.base import Entry, Fault, Reader, Writer
from maskgen.datasets.open import format_of_path, open_reader, open_writer
from maskgen.errors import ConfigError
from maskgen.manifest import Row, RunFile
from maskgen.run import stamps
from maskgen.run.record import former_run, record_of
from maskgen.run.settings import Job


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    reader, writer : Reader, Writer
        Where pictures come from and go to.
    target : Path
        The output folder.
    record : RunFile
        To be written as ``run.json``.
    former : RunFile or None
        That of the former run in the same folder.
    pending : list of Entry
        Pictures to work on.
    faults : list of Fault
        Entries that get their row without work.
    settled : int
        Inputs whose rows stand from before.
    left : int
        Pictures that ``limit`` leaves for later.
    outdated : dict
        Key -> places written by a former run, of the pictures to work on again: they or what was written have changed,
        or they failed and are to be retried.
    vanished : dict
        Key -> places written by a former run, of inputs that are gone. Their rows stand unless they are pruned.
    """

    reader: Reader
    writer: Writer
    target: Path
    record: RunFile
    former: RunFile | None
    pending: list[Entry]
    faults: list[Fault]
    settled: int
    left: int
    outdated: dict[str, tuple[str, ...]]
    vanished: dict[str, tuple[str, ...]]


def prepare(job: Job) -> Plan:
    """What a run would do; nothing is written.

    Raises
    ------
    ConfigError
        If the folders overlap, the input holds no picture, the output folder is another's, or its settings differ.
    ModelError, CatalogError
        If the model pack or the catalog cannot be used.
    """
    return plan_of(job, *open_both(job))


def plan_of(job: Job, reader: Reader, writer: Writer) -> Plan:
    """As `prepare`, of what `open_both` gave."""
    target = writer.home
    record = record_of(job, reader.fingerprint())
    listed = [found for chunk in reader.chunks(1024) for found in chunk]
    entries = [found for found in listed if isinstance(found, Entry)]
    former = former_run(target, job.execution, record)
    rows = _Rows.of(job, reader, writer, listed, former)
    faults = [found for found in listed if isinstance(found, Fault)]
    faults += writer.clashes([entry.key for entry in entries], frozenset(rows.settled))
    clashing = {fault.key for fault in faults}
    taken = {entry.key for entry in entries[: job.execution.limit]}
    is_open = [entry for entry in entries if entry.key not in rows.settled and entry.key not in clashing]
    pending = [entry for entry in is_open if entry.key in taken]
    standing = {fault.key for fault in faults if rows.faults.get(fault.key) == (fault.status, fault.reason)}
    plan = Plan(
        reader,
        writer,
        target,
        record,
        former,
        pending,
        faults=[fault for fault in faults if fault.key not in standing],
        settled=len(rows.settled) + len(standing),
        left=len(is_open) - len(pending),
        outdated={entry.key: rows.outdated[entry.key] for entry in pending if entry.key in rows.outdated},
        vanished=rows.vanished,
    )
    _refuse_foreign_files(plan)
    return plan


def open_both(job: Job) -> tuple[Reader, Writer]:
    """Where a job's pictures come from and go to; nothing is written.

    Raises
    ------
    ConfigError
        If they cannot be read there, there are none, or they cannot go there.
    """
    settings = job.settings
    in_format = "bin" if job.root is not None else settings.in_format or format_of_path(job.source)
    reader = open_reader(job.source, job.target, settings.max_pixels, in_format, job.root)
    writer = open_writer(job.target, settings, in_format, reader)
    writer.check(settings)
    if not any(isinstance(found, Entry) for chunk in reader.chunks(1024) for found in chunk):
        faults = [found for chunk in reader.chunks(1024) for found in chunk if isinstance(found, Fault)]
        raise ConfigError(f"{job.source}: no picture in it{_what_else(faults)}", "see 'maskgen help formats'")
    return reader, writer


@dataclass
class _Rows:
    """What the rows of a former run say about the inputs that are there now.

    Attributes
    ----------
    settled : set of str
        Keys of pictures whose row stands.
    faults : dict
        Key -> (status, reason) of entries that got their row without work.
    outdated, vanished : dict
        Key -> places, as in `Plan`.
    """

    settled: set[str] = field(default_factory=set)
    faults: dict[str, tuple[str, str | None]] = field(default_factory=dict)
    outdated: dict[str, tuple[str, ...]] = field(default_factory=dict)
    vanished: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls, job: Job, reader: Reader, writer: Writer, listed: Sequence[Entry | Fault], former: RunFile | None
    ) -> _Rows:
        rows, alone = cls(), list[Entry]()
        if former is None or job.execution.existing == "overwrite":
            return rows
        found = {one.key: one for one in listed}
        marks = stamps.read(writer.home / stamps.STAMPS_FILE)
        for row in former_rows(writer.home):
            one = found.get(row.key)
            rows._forget(row.key)  # a row that was written later holds
            if one is None:
                rows.vanished[row.key] = row.places
            elif isinstance(one, Fault):
                rows.faults[row.key] = (row.status, row.reason)
            elif row.key not in marks and not row.places:
                # It got its row without work, as two names clashed, and may have become free of that.
                rows.faults[row.key] = (row.status, row.reason)
                rows.outdated[row.key] = ()
            elif (row.status == "failed" and job.execution.retry_failed) or stamps.has_changed(
                row, marks.get(row.key), reader, one, writer, job.execution.checksum
            ):
                rows.outdated[row.key] = row.places
            else:
                rows.settled.add(row.key)
                if row.reason == "pair_incomplete":
                    alone.append(one)
        rows._free(alone, listed)
        return rows

    def _free(self, alone: Sequence[Entry], listed: Sequence[Entry | Fault]) -> None:
        """Halves that were left out, because the other gave no picture, are made again where the other is."""
        pairs = [(one.pair.index, one.key) for one in listed if isinstance(one, Entry) and one.pair]
        unsettled = {index for index, key in pairs if key not in self.settled}
        for one in alone:
            if one.pair and one.pair.index in unsettled:
                self.settled.discard(one.key)
                self.outdated[one.key] = ()

    def _forget(self, key: str) -> None:
        self.settled.discard(key)
        for known in (self.faults, self.outdated, self.vanished):
            known.pop(key, None)


def former_rows(target: Path) -> Iterator[Row]:
    """The rows of a former run, if there are any."""
    path = target / manifest.MANIFEST_FILE
    return manifest.read(path) if path.exists() else iter(())


def _what_else(faults: Sequence[Fault]) -> str:
    if not faults:
        return ", it is empty"
    reasons = Counter(fault.reason for fault in faults)
    counted = ", ".join(f"{number} {reason}" for reason, number in sorted(reasons.items()))
    return f", but {counted}, such as {faults[0].key}"


def _refuse_foreign_files(plan: Plan) -> None:
    if plan.former is None or not plan.pending:
        return
    existing = set(plan.writer.in_the_way(entry.key for entry in plan.pending))
    if existing:
        existing -= plan.writer.unsettled()
        for row in former_rows(plan.target):
            existing.difference_update(row.places)
    if existing:
        raise ConfigError(
            f"{plan.target / min(existing)}: in the way, and no run of maskgen wrote it",
            "move it, or choose another output folder",
        )
