"""An executor on a Dask cluster.

executor = DaskExecutor("tcp://10.0.0.1:8786")
with contextlib.closing(executor):
    for result in executor.run(work, chunks): ...

Each chunk is given to one worker by name, so that it is known who had what when a worker dies. Dask itself would give
it to the next worker, and to the next, together with whatever waits behind it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import pickle
import platform
import queue
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

import maskgen
from maskgen.errors import MaskgenError
from maskgen.parallel import dask_worker
from maskgen.parallel.base import Crash, WorkersDieError

T = TypeVar("T")
R = TypeVar("R")

_LOG: Final = logging.getLogger(__name__)
# Chunks that wait at each worker, so that none is idle while results are taken.
_AHEAD: Final = 2
# How often an item may end a worker that had nothing else of ours to do. Workers are killed from outside too.
_DEATHS: Final = 2
# A new worker is given nothing that may kill it before Dask's nanny, which starts another then, knows that it lives.
_SETTLE_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 10.0
# How often it is looked which workers there are.
_LOOK_SECONDS: Final = 1.0
_GATHER_SECONDS: Final = 5.0
# How long workers may take to end the chunks that nobody waits for any more.
_DRAIN_SECONDS: Final = 15.0
_PYTHON: Final = platform.python_version()
_SAME: Final = "install the same there as here, and start the workers anew"


class ClusterError(MaskgenError):
    """A cluster does not answer, or cannot be used."""


class DaskExecutor:
    """Works in the workers of a Dask cluster.

    A worker has one chunk in hand at a time, however many threads it has.

    Parameters
    ----------
    scheduler : str
        The scheduler's address: ``tcp://host:port``.
    patience_seconds : float
        How long to wait for a worker where there is none.

    Raises
    ------
    ClusterError
        If there is no scheduler, or a worker has another Python or another maskgen.
    WorkersDieError
        If there is no worker.
    """

    def __init__(self, scheduler: str, patience_seconds: float = 60.0) -> None:
        self.scheduler = scheduler
        self.patience_seconds = patience_seconds
        self._resources = contextlib.ExitStack()
        try:
            self._client = _connected(scheduler, self._resources)
            self._first_workers()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Leave the cluster, which goes on."""
        with contextlib.suppress(Exception):  # it may be gone
            self._resources.close()

    @property
    def workers(self) -> int:
        """How many workers there are now; at least one."""
        return max(len(self.threads()), 1)

    def everywhere(self, function: Callable[[], R]) -> dict[str, R | Exception]:
        """What a function returns in each worker, or the exception it raises there, by the worker's address.

        A worker calls it once it has no chunk in hand, not even of a run that was killed.
        """
        answers: dict[str, R | Exception] = self.ask("run", dask_worker.answer, _pickled(function), on_error="return")
        return answers

    def run(
        self, work: Callable[[Sequence[T]], R], chunks: Iterable[Sequence[T]]
    ) -> Generator[R | Crash[T], None, None]:
        """As `Executor.run`; if it ends early, it waits some seconds for the chunks that workers have in hand."""
        batch = _Batch(self, work, chunks)
        is_over = False
        try:
            yield from batch.results()
            is_over = True
        finally:
            batch.close(0.0 if is_over else _DRAIN_SECONDS)

    def _first_workers(self) -> None:
        deadline = time.monotonic() + self.patience_seconds
        while not (threads := self.threads()):
            if time.monotonic() > deadline:
                raise WorkersDieError(
                    f"{self.scheduler}: no worker there, after {self.patience_seconds:.0f} s",
                    "start workers: 'dask worker'",
                )
            time.sleep(min(_LOOK_SECONDS, self.patience_seconds))
        self.vet(threads)
        many = [address for address, number in threads.items() if number > 1]
        if many:
            _LOG.warning(
                "%d of %d workers have more than one thread, of which one is used: start workers of one thread",
                len(many),
                len(threads),
            )

    def threads(self) -> Mapping[str, int]:
        """The number of threads of each worker, by its address."""
        threads: Mapping[str, int] = self.ask("nthreads")
        return threads

    def ask(self, method: str, *args: Any, **options: Any) -> Any:
        """What a method of the client returns.

        Raises
        ------
        ClusterError
            If the scheduler does not answer.
        """
        try:
            return getattr(self._client, method)(*args, **options)
        except (TypeError, pickle.PicklingError):  # what was to be sent cannot be
            raise
        except Exception as error:
            # Which one it is depends on how far Dask is in finding out, and it has no class for all of them.
            raise ClusterError(
                f"{self.scheduler}: the scheduler no longer answers",
                "what is done is recorded: run the same again once it does",
            ) from error

    def vet(self, addresses: Collection[str]) -> list[str]:
        """Those of the workers that answer.

        Raises
        ------
        ClusterError
            If one has another Python, or another maskgen or none.
        """
        # In this order: what comes later could not be unpickled there. The first is of the standard library.
        for what, asked, here, digits in (
            ("Python", platform.python_version, _PYTHON, 2),
            ("maskgen", dask_worker.version, maskgen.__version__, None),
        ):
            answers = self.ask("run", asked, workers=list(addresses), on_error="return")
            addresses = [address for address in addresses if not isinstance(answers[address], OSError)]
            for address in addresses:
                there = answers[address]
                if isinstance(there, Exception):
                    raise ClusterError(f"worker {address}: cannot use {what} there: {there}", _SAME)
                if there.split(".")[:digits] != here.split(".")[:digits]:
                    raise ClusterError(f"worker {address}: has {what} {there}, here it is {here}", _SAME)
        return list(addresses)


@dataclass
class _Chunk(Generic[T]):
    """Items, and how often they ended a worker that had nothing else to do.

    Attributes
    ----------
    is_suspect : bool
        A worker ended while it had them. They are given to one that has nothing else.
    """

    items: Sequence[T]
    deaths: int = 0
    is_suspect: bool = False


class _Batch(Generic[T, R]):
    """One call of `DaskExecutor.run`: which worker has what."""

    def __init__(self, executor: DaskExecutor, work: Callable[[Sequence[T]], R], chunks: Iterable[Sequence[T]]) -> None:
        self._executor = executor
        self._work = _pickled(work)
        self._token = uuid.uuid4().hex
        self._pending = iter(chunks)
        self._is_exhausted = False
        self._again: deque[_Chunk[T]] = deque()
        self._crashes: deque[Crash[T]] = deque()
        self._held: dict[str, dict[Any, _Chunk[T]]] = {}  # worker -> future -> chunk
        self._joined: dict[str, float] = {}  # worker -> when
        self._ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._last_seen = time.monotonic()

    def results(self) -> Iterator[R | Crash[T]]:
        looked = -math.inf
        while True:
            if time.monotonic() - looked >= _LOOK_SECONDS:
                self._look()
                looked = time.monotonic()
            self._hand_out()
            while self._crashes:
                yield self._crashes.popleft()
            if self._is_exhausted and not self._again and not any(self._held.values()):
                return
            with contextlib.suppress(queue.Empty):
                yield from self._taken(self._ended.get(timeout=_LOOK_SECONDS))

    def close(self, drain_seconds: float) -> None:
        """Nobody waits for what is left; workers get some time to end what they have in hand."""
        futures = [future for held in self._held.values() for future in held]
        with contextlib.suppress(ClusterError):  # it may be gone
            if futures:
                self._executor.ask("cancel", futures)
            self._executor.ask("run", dask_worker.forget, self._token, drain_seconds, on_error="ignore")

    def _look(self) -> None:
        """See which workers have come and gone."""
        there = self._executor.threads().keys()
        for worker in self._held.keys() - there:
            self._lose(worker)
        new = there - self._held.keys()
        if new:
            ready = self._executor.vet(new)
            kept = self._executor.ask(
                "run", dask_worker.keep, self._token, self._work, workers=ready, on_error="return"
            )
            joined = time.monotonic() if self._joined else -math.inf
            for worker in ready:
                if kept[worker] is None:
                    self._held[worker], self._joined[worker] = {}, joined
        if self._held:
            self._last_seen = time.monotonic()
        elif time.monotonic() - self._last_seen > self._executor.patience_seconds:
            raise WorkersDieError(
                f"{self._executor.scheduler}: no worker is left, for {self._executor.patience_seconds:.0f} s",
                "what is done is recorded: start workers and run the same again",
            )

    def _hand_out(self) -> None:
        for worker, held in self._held.items():
            if self._again:
                # Others wait, or no worker would ever be free for them.
                if not held and time.monotonic() - self._joined[worker] >= _SETTLE_SECONDS:
                    self._submit(worker, self._again.popleft())
                continue
            while len(held) < _AHEAD and not any(chunk.is_suspect for chunk in held.values()):
                items = next(self._pending, None)
                if items is None:
                    self._is_exhausted = True
                    return
                self._submit(worker, _Chunk(items))

    def _submit(self, worker: str, chunk: _Chunk[T]) -> None:
        future = self._executor.ask(
            "submit",
            dask_worker.call,
            self._token,
            chunk.items,
            key=f"maskgen-{uuid.uuid4().hex}",
            workers=[worker],
            allow_other_workers=False,
            pure=False,
        )
        self._held[worker][future] = chunk
        future.add_done_callback(self._ended.put)

    def _taken(self, future: Any) -> Iterator[R]:
        """The result of a chunk that has ended, if it is there."""
        from distributed import KilledWorker

        worker = next((worker for worker, held in self._held.items() if future in held), None)
        if worker is None:  # given to another one meanwhile
            return
        if future.status == "finished":
            try:
                result: R = future.result(timeout=_GATHER_SECONDS)
            except (TimeoutError, asyncio.TimeoutError):  # two classes before Python 3.11
                # It is on its way, or its worker is gone, which `_look` will see.
                self._ended.put(future)
                return
            del self._held[worker][future]
            yield result
        elif future.status == "error":
            error = future.exception()
            if not isinstance(error, (dask_worker.UnknownRunError, KilledWorker)):
                raise error
            # Another process has taken the worker's place, at the same address.
            self._lose(worker)
        elif future.status == "cancelled":
            # By somebody else.
            self._again.append(self._held[worker].pop(future))

    def _lose(self, worker: str) -> None:
        """Let the chunks of a worker that is gone prove themselves, item by item, each with a worker of its own."""
        held = self._held.pop(worker)
        if held:
            self._executor.ask("cancel", list(held))
        if self._was_sent_away(worker):
            self._again.extend(held.values())
            return
        is_alone = len(held) == 1
        for chunk in held.values():
            deaths = chunk.deaths + (is_alone and len(chunk.items) == 1)
            if deaths == _DEATHS:
                self._crashes.append(Crash(chunk.items[0]))
            else:
                self._again.extend(_Chunk([item], deaths, is_suspect=True) for item in chunk.items)

    def _was_sent_away(self, worker: str) -> bool:
        """Whether a worker was told to go, as a cluster is made smaller."""
        told = [
            event for _, event in self._executor.ask("get_events", worker) if event.get("action") == "remove-worker"
        ]
        return bool(told) and bool(told[-1].get("expected"))


def _pickled(function: Callable[..., Any]) -> bytes:
    from distributed.protocol import pickle as dask_pickle

    pickled: bytes = dask_pickle.dumps(function)
    return pickled


def _connected(scheduler: str, resources: contextlib.ExitStack) -> Any:
    """A client, which is closed with the resources."""
    try:
        from distributed import Client
    except ImportError as error:
        raise ClusterError("a Dask cluster needs the package distributed", "install maskgen's extra dask") from error
    resources.enter_context(_quiet_library())
    answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def connect() -> None:
        try:
            answers.put(Client(scheduler, timeout=_CONNECT_SECONDS, set_as_default=False))
        except Exception as error:
            answers.put(error)

    # Of something that listens and says nothing, Dask waits for a word as long as it takes.
    threading.Thread(target=connect, daemon=True).start()
    try:
        client = answers.get(timeout=2 * _CONNECT_SECONDS)
    except queue.Empty:
        client = TimeoutError("not a word")
    if isinstance(client, Exception):
        raise ClusterError(
            f"{scheduler}: no Dask scheduler answers there", "start one with 'dask scheduler', or give its own address"
        ) from client
    resources.callback(client.close)
    return client


@contextlib.contextmanager
def _quiet_library() -> Iterator[None]:
    """Keep Dask from writing to stderr what our errors say."""
    loggers = [logging.getLogger(name) for name in ("distributed", "distributed.client")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
