"""A run, from its plan to its summary.

plan = prepare(job)                       # what a former run of the same settings left to do
for outcome in _outcomes(task, plan):     # worker processes; pixels stay in them
    log.append(outcome.row)
counts = manifest.sort(...)               # the same bytes, whoever finished first
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import partial
from typing import Final

from maskgen import files, manifest
from maskgen.errors import ConfigError
from maskgen.manifest import Counts, Row, RunFile
from maskgen.parallel import Crash, Executor, LocalExecutor, chunks_of
from maskgen.parallel.base import chunk_size
from maskgen.run.plan import Plan, open_both, prepare
from maskgen.run.record import LOCK_FILE, detectors_of
from maskgen.run.settings import Job
from maskgen.run.worker import Outcome, Task, failed, row_of_fault, work

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
    """

    record: RunFile
    progress: Progress
    left: int

    @property
    def counts(self) -> Counts:
        """The whole manifest in numbers."""
        assert self.record.counts is not None
        return self.record.counts


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
        Where the work is done; by default in as many processes as the job says.

    Returns
    -------
    Summary
        Every input has its row in ``manifest.jsonl`` now.

    Raises
    ------
    ConfigError
        If the folders overlap, the output folder is another's, or its settings differ.
    ModelError, CatalogError
        If the model pack or the catalog cannot be used.
    MaskgenError
        If nothing can be written, or worker processes die as they start. What is done is recorded; the same call goes
        on.
    KeyboardInterrupt
        Passed on once the workers have ended. What is done is recorded; the same call goes on.
    """
    open_both(job)  # refused before the output folder is made
    target = job.target.resolve()
    with _sole_writer(job):
        plan = prepare(job)
        _clear_the_way(job, plan)
        manifest.write_run(target / manifest.RUN_FILE, plan.record)
        progress = _work_and_record(job, plan, executor or LocalExecutor(job.execution.workers), on_progress)
        plan.writer.finish(manifest.read(target / manifest.MANIFEST_FILE))
        counts = manifest.sort(target / manifest.MANIFEST_FILE)
        record = plan.record.model_copy(update={"state": "limited" if plan.left else "complete", "counts": counts})
        manifest.write_run(target / manifest.RUN_FILE, record)
    return Summary(record, progress, plan.left)


@contextlib.contextmanager
def _sole_writer(job: Job) -> Generator[None, None, None]:
    """Keep other runs out of the output folder."""
    try:
        job.target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{job.target}: cannot be made: {error.strerror}") from error
    with files.locked(job.target / LOCK_FILE):
        yield


def _clear_the_way(job: Job, plan: Plan) -> None:
    path = plan.target / manifest.MANIFEST_FILE
    if plan.former is None:
        return
    for leftover in list(files.leftovers(plan.target)):
        leftover.unlink(missing_ok=True)
    if job.execution.existing == "overwrite" and path.exists():
        plan.writer.discard(manifest.read(path))
        path.unlink()


def _work_and_record(job: Job, plan: Plan, executor: Executor, on_progress: Callable[[Progress], None]) -> Progress:
    record = plan.record
    task = Task(
        plan.reader,
        plan.writer,
        job.settings,
        detectors_of(job),
        record.pack_sha256,
        record.catalog_sha256,
        record.patterns_sha256,
    )
    progress = Progress(len(plan.faults) + len(plan.pending))
    on_progress(progress)
    with (
        files.Log(plan.target / manifest.MANIFEST_FILE) as log,
        contextlib.closing(_outcomes(task, plan, executor)) as outcomes,
    ):
        for outcome in outcomes:
            log.append(outcome.row.model_dump_json())
            if outcome.traceback is not None:
                _LOG.debug("%s: %s\n%s", outcome.row.key, outcome.row.message, outcome.traceback)
            progress = progress.with_row(outcome.row)
            on_progress(progress)
    return progress


def _outcomes(task: Task, plan: Plan, executor: Executor) -> Generator[Outcome, None, None]:
    for fault in plan.faults:
        yield Outcome(row_of_fault(fault))
    chunks = chunks_of(plan.pending, chunk_size(len(plan.pending), executor.workers))
    results = executor.run(partial(work, task), chunks)
    try:
        for result in results:
            if isinstance(result, Crash):
                yield Outcome(
                    failed(
                        result.item,
                        "crashed",
                        "the process that worked on it died, twice: for lack of memory, or by a fault that the picture "
                        "causes in a library",
                        "{retry_failed} with fewer {workers} tries again",
                    )
                )
            else:
                yield from result
    finally:
        if isinstance(results, Generator):
            results.close()
