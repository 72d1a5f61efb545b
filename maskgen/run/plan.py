"""What a run would do: which inputs are left, which are settled, what is in the way."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskgen import manifest
from maskgen.datasets.base import Entry, Fault, Reader, Writer
from maskgen.datasets.open import open_reader, open_writer
from maskgen.errors import ConfigError
from maskgen.manifest import RunFile
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


def prepare(job: Job) -> Plan:
    """What a run would do; nothing is written.

    Raises
    ------
    ConfigError
        If the folders overlap, the output folder is another's, or its settings differ.
    ModelError, CatalogError
        If the model pack or the catalog cannot be used.
    """
    reader, writer = open_both(job)
    target = job.target.resolve()
    record = record_of(job, reader.fingerprint())
    listed = [found for chunk in reader.chunks(1024) for found in chunk]
    former = former_run(target, job.execution, record)
    settled = frozenset[str]() if former is None or job.execution.existing == "overwrite" else _settled(job, writer)
    entries = [found for found in listed if isinstance(found, Entry)]
    faults = [found for found in listed if isinstance(found, Fault)]
    faults += writer.clashes([entry.key for entry in entries], settled)
    clashing = {fault.key for fault in faults}
    taken = {entry.key for entry in entries[: job.execution.limit]}
    is_open = [entry for entry in entries if entry.key not in settled and entry.key not in clashing]
    plan = Plan(
        reader,
        writer,
        target,
        record,
        former,
        pending=[entry for entry in is_open if entry.key in taken],
        faults=[fault for fault in faults if fault.key not in settled],
        settled=len(settled),
        left=sum(entry.key not in taken for entry in is_open),
    )
    _refuse_foreign_files(plan)
    return plan


def open_both(job: Job) -> tuple[Reader, Writer]:
    """Where a job's pictures come from and go to; nothing is written.

    Raises
    ------
    ConfigError
        If they cannot be read there, or cannot go there.
    """
    settings = job.settings
    reader = open_reader(job.source, job.target, settings.max_pixels)
    writer = open_writer(job.target, settings.variants, settings.originals, settings.copy_skipped)
    writer.check(settings)
    return reader, writer


def _settled(job: Job, writer: Writer) -> frozenset[str]:
    """Keys whose row stands: not to be tried again, and all that it names is there."""
    settled: set[str] = set()
    path = job.target / manifest.MANIFEST_FILE
    for row in manifest.read(path) if path.exists() else ():
        is_open = (row.status == "failed" and job.execution.retry_failed) or not writer.is_intact(row)
        (settled.discard if is_open else settled.add)(row.key)
    return frozenset(settled)


def _refuse_foreign_files(plan: Plan) -> None:
    # A run that was killed may have written files it had no time to record; after any other, unknown files are foreign.
    if plan.former is None or plan.former.state == "running" or not plan.pending:
        return
    existing = set(plan.writer.in_the_way(entry.key for entry in plan.pending))
    for row in manifest.read(plan.target / manifest.MANIFEST_FILE) if existing else ():
        existing.difference_update(row.places)
    if existing:
        raise ConfigError(
            f"{plan.target / min(existing)}: in the way, and no run of maskgen wrote it",
            "move it, or choose another output folder",
        )
