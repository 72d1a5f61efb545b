"""A run, from its plan to its summary.

plan = plan_of(job, reader, writer)       # what a former run of the same settings left to do
for outcome in _outcomes(task, plan):     # worker processes; pixels stay in them
    log.append(outcome.row)
counts = manifest.sort(...)               # the same bytes, whoever finished first
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import itertools
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from maskgen import files, manifest
from maskgen.datasets.base import Entry
from maskgen.errors import ConfigError, MaskgenError
from maskgen.manifest import Counts, Row, RunFile
from maskgen.parallel import Crash, Executor, LocalExecutor, chunks_of
from maskgen.parallel.base import chunk_size
from maskgen.run import stamps
from maskgen.run.cluster import with_whole_paths, workers_of
from maskgen.run.plan import Plan, former_rows, open_both, plan_of
from maskgen.run.record import LOCK_FILE, detectors_of
from maskgen.run.settings import Job
from maskgen.run.stamps import source_of, stamps_of
from maskgen.run.worker import Done, Outcome, Task, failed, row_of_fault, work

_LOG: Final = logging.getLogger(__name__)


@dataclass(frozen=True)
class Progress:
    """How far a run is: rows to come in all, and those this run has recorded."""

    total: int
    done: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def taken(self) -> int:
        """Rows recorded."""
        return self.done + self.skipped + self.failed

    def with_row(self, row: Row) -> Progress:
        """One row further."""
        return Progress(
            self.total,
            self.done + (row.status == "done"),
            self.skipped + (row.status == "skipped"),
            self.failed + (row.status == "failed"),
        )


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
    """

    record: RunFile
    progress: Progress
    left: int
    vanished: int = 0

    @property
    def counts(self) -> Counts:
        """The whole manifest in numbers."""
        assert self.record.counts is not None
        return self.record.counts


class NothingReadError(MaskgenError):
    """Not one picture of the input could be read. The manifest says of each why not."""


def run(
    job: Job, on_progress: Callable[[Progress], None] = lambda _: None, executor: Executor | None = None
) -> Summary:
    """Mask a dataset, or go on where a former run of the same settings stopped.

    Parameters
    ----------
    job : Job
        What to do.
    on_progress : callable
        Told after every row, in this process.
    executor : Executor, optional
        Where the work is done; by default in as many processes as the job says, or in the cluster that it names.

    Returns
    -------
    Summary
        Every input has its row in ``manifest.jsonl`` now.

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
    reader, writer = open_both(job)  # refused before the output folder is made
    target = writer.home
    with _sole_writer(target):
        plan = plan_of(job, reader, writer)
        with _crew_of(job, plan, executor) as crew:  # one that cannot do the work is refused before anything is deleted
            _clear_the_way(job, plan, crew)
            manifest.write_run(target / manifest.RUN_FILE, plan.record)
            progress = _work_and_record(plan, crew, on_progress)
            _discard_unnamed(plan)
        counts = _finish(plan)
        record = plan.record.model_copy(update={"state": "limited" if plan.left else "complete", "counts": counts})
        manifest.write_run(target / manifest.RUN_FILE, record)
    if not counts.read:
        reasons = ", ".join(f"{number} {reason}" for reason, number in counts.reasons.items())
        raise NothingReadError(
            f"{job.source}: no picture in it could be read: {reasons}",
            f"{target / manifest.MANIFEST_FILE} says of each what to do",
        )
    return Summary(record, progress, plan.left, 0 if job.execution.prune else len(plan.vanished))


@contextlib.contextmanager
def _sole_writer(target: Path) -> Generator[None, None, None]:
    """Keep other runs out of the output folder."""
    try:
        files.make_folder(target)
    except OSError as error:
        raise ConfigError(f"{target}: cannot be made: {error.strerror}") from error
    with files.locked(target / LOCK_FILE):
        yield


@dataclass(frozen=True)
class _Crew:
    """Who does the work, what they do, and a file of theirs in the output folder."""

    executor: Executor
    task: Task
    work: Callable[[Sequence[Entry]], Done]
    token: Path | None = None


@contextlib.contextmanager
def _crew_of(job: Job, plan: Plan, executor: Executor | None) -> Generator[_Crew, None, None]:
    record, settings = plan.record, with_whole_paths(job.settings)
    task = Task(
        plan.reader,
        plan.writer,
        settings,
        detectors_of(dataclasses.replace(job, settings=settings)),
        record.pack_sha256,
        record.catalog_sha256,
        record.patterns_sha256,
    )
    scheduler = job.execution.scheduler
    if executor is not None or scheduler is None or not plan.pending:
        yield _Crew(executor or LocalExecutor(job.execution.workers), task, partial(work, task))
        return
    with workers_of(scheduler, task, plan.pending) as (cluster, premises):
        yield _Crew(cluster, task, premises.work, premises.token)


def _clear_the_way(job: Job, plan: Plan, crew: _Crew) -> None:
    path = plan.target / manifest.MANIFEST_FILE
    if plan.former is None:
        return
    for leftover in set(files.leftovers(plan.target)) - {crew.token}:
        leftover.unlink(missing_ok=True)
    _discard_unnamed(plan)
    if job.execution.existing == "overwrite":
        plan.writer.clear(former_rows(plan.target))
        path.unlink(missing_ok=True)
        (plan.target / stamps.STAMPS_FILE).unlink(missing_ok=True)
    elif job.execution.prune and plan.vanished:
        plan.writer.discard(place for places in plan.vanished.values() for place in places)
        manifest.drop(path, plan.vanished.keys())


def _finish(plan: Plan) -> Counts:
    """Put together what was written, and the manifest in order."""
    path, stamps_path = plan.target / manifest.MANIFEST_FILE, plan.target / stamps.STAMPS_FILE
    counts = manifest.sort(path)
    if plan.writer.puts_together:
        rows = plan.writer.finish(manifest.read(path))
        manifest.replace(path, itertools.islice(rows, counts.inputs))
        # What the former rows named goes now, and not before the new ones stand.
        collections.deque(rows, maxlen=0)
        counts = manifest.sort(path)
    stamps.tidy(stamps_path, (row.key for row in manifest.read(path)))
    return counts


def _discard_unnamed(plan: Plan) -> None:
    """Delete what workers wrote that were killed before their rows were recorded."""
    unnamed = plan.writer.unsettled()
    if unnamed:
        for row in former_rows(plan.target):
            unnamed.difference_update(row.places)
        plan.writer.discard(unnamed)
    plan.writer.forget_unsettled()


def _work_and_record(plan: Plan, crew: _Crew, on_progress: Callable[[Progress], None]) -> Progress:
    progress = Progress(len(plan.faults) + len(plan.pending))
    on_progress(progress)
    with (
        files.Log(plan.target / manifest.MANIFEST_FILE) as log,
        files.Log(plan.target / stamps.STAMPS_FILE) as stamps_log,
        contextlib.closing(_outcomes(plan, crew)) as outcomes,
    ):
        for done in outcomes:
            for outcome in done.outcomes:
                log.append(outcome.row.model_dump_json())
                if outcome.stamps is not None:
                    stamps_log.append(outcome.stamps.line())
                if outcome.traceback is not None:
                    _LOG.debug("%s: %s\n%s", outcome.row.key, outcome.row.message, outcome.traceback)
                progress = progress.with_row(outcome.row)
                on_progress(progress)
            if done.part:
                plan.writer.settle(done.part)
    return progress


def _outcomes(plan: Plan, crew: _Crew) -> Generator[Done, None, None]:
    yield Done("", [Outcome(row_of_fault(fault)) for fault in plan.faults])
    chunks = chunks_of(plan.pending, chunk_size(len(plan.pending), crew.executor.workers))
    results = crew.executor.run(crew.work, _cleared(chunks, plan))
    try:
        for result in results:
            yield Done("", [_crashed(crew.task, result.item)]) if isinstance(result, Crash) else result
    finally:
        if isinstance(results, Generator):
            results.close()


def _cleared(chunks: Iterable[Sequence[Entry]], plan: Plan) -> Iterator[Sequence[Entry]]:
    """The chunks; what a former run wrote for their entries is deleted just before they are worked on."""
    for chunk in chunks:
        plan.writer.discard(place for entry in chunk for place in plan.outdated.get(entry.key, ()))
        yield chunk


def _crashed(task: Task, entry: Entry) -> Outcome:
    row = failed(
        entry,
        "crashed",
        "the process that worked on it died, twice: for lack of memory, or by a fault that the picture causes in a "
        "library",
        "{retry_failed} with fewer {workers} tries again",
    )
    return Outcome(row, stamps_of(row, source_of(None, task.reader, entry), task.writer))
