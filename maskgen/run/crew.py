"""Who does the work of a run: processes of this machine, or the workers of a cluster."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from maskgen.datasets.base import Entry
from maskgen.parallel import Executor, LocalExecutor
from maskgen.run.cluster import with_whole_paths, workers_of
from maskgen.run.outcome import Done
from maskgen.run.plan import Plan
from maskgen.run.record import detectors_of
from maskgen.run.settings import Job
from maskgen.run.worker import Task, work

# Pictures that are shown to the workers of a cluster, until one can be read.
_SHOWN: Final = 100


@dataclass(frozen=True)
class Crew:
    """Who does the work, what they do, and a file of theirs in the output folder."""

    executor: Executor
    task: Task
    work: Callable[[Sequence[Entry]], Done]
    token: Path | None = None


@contextlib.contextmanager
def crew_of(job: Job, plan: Plan, executor: Executor | None) -> Generator[Crew, None, None]:
    """Those that a job asks for, or an executor that is there already.

    Raises
    ------
    ConfigError
        If a worker of the cluster does not find there what is here.
    MaskgenError
        If there is no such cluster, or no worker in it.
    """
    # By name: what is added to a catalog while they work takes no part.
    chosen = job.settings.model_copy(update={"designs": plan.masks.catalog.names})
    record, settings = plan.record, with_whole_paths(chosen)
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
    shown = list(
        itertools.islice((entry for step in plan.steps() for entry in step.pending), _SHOWN if scheduler else 0)
    )
    if executor is not None or scheduler is None or not shown:
        yield Crew(executor or LocalExecutor(job.execution.workers), task, partial(work, task))
        return
    with workers_of(scheduler, task, shown) as (cluster, premises):
        yield Crew(cluster, task, premises.work, premises.token)
