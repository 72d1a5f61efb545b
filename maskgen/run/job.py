"""A run, from its plan to its summary.

with Plan(job, ends, logs) as plan, crew_of(job, plan, executor) as crew:
    for done in _outcomes(plan, crew):    # worker processes; pixels stay in them
        ...                               # a line per input to the log
finished(...)                             # the same bytes, whoever finished first
"""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
from collections.abc import Callable, Collection, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

from maskgen import files, linelog, manifest
from maskgen.datasets.base import Entry, Fault, Reader, Writer
from maskgen.errors import ConfigError, MaskgenError
from maskgen.manifest import Counts, RunFile, Tally
from maskgen.parallel import Crash, Executor
from maskgen.parallel.base import chunk_size
from maskgen.run import shares, stamps
from maskgen.run.crew import Crew, crew_of
from maskgen.run.ends import Ends, open_both
from maskgen.run.former import FormerRows, Logs
from maskgen.run.outcome import Done, Outcome
from maskgen.run.plan import SOURCE_FILE, Plan, former_rows, note_source
from maskgen.run.record import Masks
from maskgen.run.settings import Job, Share
from maskgen.run.stamps import RowStamps, source_of
from maskgen.run.worker import Task, failed, row_of_fault

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a run is: rows to come in all, None if nobody knows, and those this run has recorded."""

    total: int | None
    done: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def taken(self) -> int:
        """Rows recorded."""
        return self.done + self.skipped + self.failed

    def further(self, tally: Tally) -> Progress:
        """By the rows that were counted."""
        return Progress(
            self.total,
            self.done + tally.number_of("done"),
            self.skipped + tally.number_of("skipped"),
            self.failed + tally.number_of("failed"),
        )


class Shares(NamedTuple):
    """How many shares of the work are done, and how many there are."""

    done: int
    of: int


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes
    ----------
    record : RunFile
        As written to ``run.json``; its counts are those of the whole manifest.
    progress : Progress
        The share of this run.
    left : int
        Pictures left for later.
    vanished : int
        Rows that stand though their inputs are gone.
    shares : Shares or None
        If this was a share of the work, and others are not done.
    """

    record: RunFile
    progress: Progress
    left: int
    vanished: int = 0
    shares: Shares | None = None

    @property
    def counts(self) -> Counts:
        """The whole manifest in numbers."""
        assert self.record.counts is not None
        return self.record.counts


class NothingReadError(MaskgenError):
    """Not one picture of the input could be read. The manifest says of each why not."""


def run(
    job: Job,
    on_progress: Callable[[Progress], None] = lambda _: None,
    executor: Executor | None = None,
    on_masks: Callable[[Masks], None] = lambda _: None,
) -> Summary:
    """Mask a dataset, or go on where a former run of the same settings stopped.

    Parameters
    ----------
    job : Job
        What to do.
    on_progress : callable
        Told when rows have been recorded, in this process.
    executor : Executor, optional
        Where the work is done; by default in as many processes as the job says, or in the cluster that it names.
    on_masks : callable
        Told which designs take part, before the work begins.

    Returns
    -------
    Summary
        Every input has its row in the manifest now; those of a share, if the job is one.

    Raises
    ------
    ConfigError
        If the folders overlap, the output folder is another's, its settings differ, or a worker of the cluster does not
        find what this process finds.
    ModelError, CatalogError
        If the model pack or the catalog cannot be used.
    NothingReadError
        If not one picture could be read.
    MaskgenError
        If nothing can be written, worker processes die as they start, or the cluster does not answer. What is done is
        recorded; the same call goes on.
    KeyboardInterrupt
        Passed on once the workers have ended. What is done is recorded; the same call goes on.
    """
    ends = open_both(job)  # refused before the output folder is made
    share = job.execution.shard
    if share is None:
        summary = _run_alone(job, ends, executor, on_progress, on_masks)
    else:
        summary = _run_share(job, share, ends, executor, on_progress, on_masks)
    counts = summary.record.counts
    if counts is not None and not counts.read:
        reasons = ", ".join(f"{number} {reason}" for reason, number in counts.reasons.items())
        raise NothingReadError(
            f"{job.source}: no picture in it could be read: {reasons}",
            f"{manifest.path_of(ends.writer.home)} says of each what to do",
        )
    return summary


def _run_alone(
    job: Job,
    ends: Ends,
    executor: Executor | None,
    on_progress: Callable[[Progress], None],
    on_masks: Callable[[Masks], None],
) -> Summary:
    writer, target = ends.writer, ends.writer.home
    with _named_faults(target), shares.alone(target), Plan(job, ends, shares.logs_of(target)) as plan:
        plan.refuse_foreign_files()
        on_masks(plan.masks)
        # One that cannot do the work is refused before anything is deleted.
        with crew_of(job, plan, executor) as crew:
            _clear_the_way(job, plan, crew)
            manifest.write_run(target / manifest.RUN_FILE, plan.record)
            gone = _prune(plan) if job.execution.prune else frozenset()
            progress, counts = _work_and_record(plan, crew, shares.logs_of(target)[0], on_progress)
            discard_unnamed(target, writer)
        record = plan.former if _stands(plan, progress, gone) else None
        if record is None:
            record = finished(plan.record, ends.reader, writer, gone, is_limited=bool(plan.left), counts=counts)
        else:
            _close(record, target)
        numbers = plan.numbers
        return Summary(record, progress, plan.left, 0 if numbers is None or gone else numbers.vanished)


def _stands(plan: Plan, progress: Progress, gone: Collection[str]) -> bool:
    """Whether the manifest is as a former run left it in the end."""
    is_whole = plan.former is not None and plan.former.state == "complete" and plan.former.counts is not None
    return is_whole and not progress.taken and not gone and not plan.writer.puts_together


def _run_share(
    job: Job,
    share: Share,
    ends: Ends,
    executor: Executor | None,
    on_progress: Callable[[Progress], None],
    on_masks: Callable[[Masks], None],
) -> Summary:
    writer, target = ends.writer, ends.writer.home
    with _named_faults(target), shares.shared(target, share) as is_first:
        if is_first and (target / manifest.RUN_FILE).exists():
            clear_leftovers(target, writer)
        with Plan(job, ends, shares.logs_of(target)) as plan:
            plan.refuse_foreign_files()
            on_masks(plan.masks)
            with crew_of(job, plan, executor) as crew:
                manifest.write_run(target / manifest.RUN_FILE, plan.record)
                progress, _ = _work_and_record(plan, crew, shares.logs_of_share(target, share), on_progress)
            done = 0 if plan.left else shares.mark_done(target, share)
            with shares.alone_in_the_end(target, share) as is_last:
                if not is_last:
                    return Summary(plan.record, progress, plan.left, shares=Shares(done, share.of))
                clear_leftovers(target, writer)
                record = finished(plan.record, ends.reader, writer)
                return Summary(record, progress, plan.left)


def finished(
    record: RunFile,
    reader: Reader | None,
    writer: Writer,
    gone: Collection[str] = (),
    is_limited: bool = False,
    counts: Counts | None = None,
) -> RunFile:
    """Put together what was written, and the manifest in order; the record of it, which is written.

    Parameters
    ----------
    record : RunFile
        Of the run.
    reader : Reader or None
        Of its input; None if somebody else has read that.
    writer : Writer
        Nobody else writes there.
    gone : collection of str
        Keys whose rows are dropped.
    is_limited : bool
        Whether inputs are left for later.
    counts : Counts, optional
        Of all rows that were recorded, if they are known.
    """
    target = writer.home
    path = target / manifest.MANIFEST_FILE
    counts = manifest.sort(path, lambda key: key not in gone, counts)
    if writer.puts_together:
        rows = writer.finish(manifest.read(path))
        counts = manifest.replace(path, itertools.islice(rows, counts.inputs))
        # What the former rows named goes now, and not before the new ones stand.
        collections.deque(rows, maxlen=0)
    stamps.tidy(target / stamps.STAMPS_FILE, lambda key: key not in gone)
    if reader is not None:
        note_source(target, reader)
    record = record.model_copy(update={"state": "limited" if is_limited else "complete", "counts": counts})
    _close(record, target)
    return record


def _close(record: RunFile, target: Path) -> None:
    """Leave an output as a run that has ended does."""
    if record.counts is not None and record.counts.inputs > manifest.MOST_PLAIN_ROWS:
        manifest.pack(target)
    manifest.write_run(target / manifest.RUN_FILE, record)


@contextlib.contextmanager
def _named_faults(target: Path) -> Generator[None, None, None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{target}: cannot be made: {error.strerror}") from error


def _clear_the_way(job: Job, plan: Plan, crew: Crew) -> None:
    if plan.former is None:
        return
    target = plan.target
    clear_leftovers(target, plan.writer, but=crew.token)
    if job.execution.existing == "overwrite":
        plan.writer.clear(former_rows(target))
        for name in (manifest.MANIFEST_FILE, stamps.STAMPS_FILE, SOURCE_FILE):
            (target / name).unlink(missing_ok=True)


def clear_leftovers(target: Path, writer: Writer, but: Path | None = None) -> None:
    """Delete what a run that was killed left half written, but one file, and wrote without recording it."""
    for leftover in set(files.leftovers(target)) - {but}:
        leftover.unlink(missing_ok=True)
    discard_unnamed(target, writer)


def _prune(plan: Plan) -> frozenset[str]:
    """Delete what was written for inputs that are gone; their keys."""
    keys = set()
    for row in plan.vanished:
        plan.writer.discard(row.places)
        keys.add(row.key)
    return frozenset(keys)


def discard_unnamed(target: Path, writer: Writer) -> None:
    """Delete what workers wrote that were killed before their rows were recorded."""
    unnamed = writer.unsettled()
    if unnamed:
        with FormerRows(shares.logs_of(target)) as rows:
            named = {key: rows.find(key) for key in set(unnamed.values())}
        writer.discard(
            place for place, key in unnamed.items() if (former := named[key]) is None or place not in former.row.places
        )
    writer.forget_unsettled()


def _work_and_record(
    plan: Plan, crew: Crew, logs: Logs, on_progress: Callable[[Progress], None]
) -> tuple[Progress, Counts | None]:
    """How far the run came, and the numbers of all rows, if there were none before."""
    tally, is_first = Tally(), not logs.rows.exists()
    progress = Progress(plan.total())
    on_progress(progress)
    with (
        linelog.Log(logs.rows) as log,
        linelog.Log(logs.stamps) as stamps_log,
        contextlib.closing(_outcomes(plan, crew)) as outcomes,
    ):
        for done in outcomes:
            # Rows first: those without stamps are made again, and stamps without rows would hide that they are missing.
            log.append(*done.rows)
            stamps_log.append(*done.stamps)
            for row, traceback in done.unexpected:
                _LOG.debug("%s\n%s", row, traceback)
            tally.join(done.tally)
            progress = progress.further(done.tally)
            on_progress(progress)
            if done.part:
                plan.writer.settle(done.part)
    return progress, tally.counts if is_first else None


def _outcomes(plan: Plan, crew: Crew) -> Generator[Done, None, None]:
    faults: list[Fault] = []
    size = chunk_size(plan.total(), crew.executor.workers)
    results = crew.executor.run(crew.work, _chunks(plan, size, faults))
    try:
        for result in results:
            yield Done.of([_crashed(crew.task, result.item)]) if isinstance(result, Crash) else result
            yield from _settled(faults)
        yield from _settled(faults)
    finally:
        if isinstance(results, Generator):
            results.close()


def _chunks(plan: Plan, size: int, faults: list[Fault]) -> Iterator[list[Entry]]:
    """Pictures to work on, so many at a time, as they are asked for; faults that come between them go to a list.

    What a former run wrote for pictures is deleted just before they are worked on.
    """
    waiting: list[Entry] = []
    for step in plan.steps():
        faults += step.faults
        plan.writer.discard(step.outdated)
        waiting += step.pending
        while len(waiting) >= size:
            yield waiting[:size]
            del waiting[:size]
    if waiting:
        yield waiting


def _settled(faults: list[Fault]) -> Iterator[Done]:
    """The rows of faults, which are taken from the list."""
    if faults:
        yield Done.of([Outcome(row_of_fault(fault)) for fault in faults])
        faults.clear()


def _crashed(task: Task, entry: Entry) -> Outcome:
    row = failed(
        entry,
        "crashed",
        "the process that worked on it died, twice: for lack of memory, or by a fault that the picture causes in a "
        "library",
        "{retry_failed} with fewer {workers} tries again",
    )
    return Outcome(row, RowStamps(row.key, source_of(None, task.reader, entry), ()))
