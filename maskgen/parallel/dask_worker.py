"""What the workers of a Dask cluster are asked to call: one chunk of one run at a time.

A run is known by its token. What it calls comes once, and its chunks name it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import threading
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, Final, TypeVar

import maskgen
from maskgen.parallel.base import ONE_THREAD

T = TypeVar("T")

# Runs whose client was killed never say that they are over; so many are kept.
_KEPT_RUNS: Final = 64


class UnknownRunError(Exception):
    """A worker was never told of a run."""


# The picklings of what runs call, by their tokens.
_RUNS: Final[dict[str, bytes]] = {}
_IN_HAND: Final = threading.Lock()


def whereabouts() -> str:
    """What to call the worker that this process is: its address and its machine."""
    addresses = ", ".join(sorted(_ADDRESSES)) or f"process {os.getpid()}"
    return f"{addresses} on {socket.gethostname()}"


_ADDRESSES: Final[set[str]] = set()


def version(dask_worker: Any) -> str:
    """maskgen's version in the worker, whose address Dask hands in."""
    _ADDRESSES.add(dask_worker.address)
    return maskgen.__version__


def keep(token: str, work: bytes) -> None:
    """Keep what a run calls, so that it need not come with every chunk."""
    # Dask's nanny sets these too. Libraries that are loaded by now keep their threads.
    for name, value in ONE_THREAD.items():
        os.environ.setdefault(name, value)
    _RUNS[token] = work
    while len(_RUNS) > _KEPT_RUNS:
        del _RUNS[next(iter(_RUNS))]


def call(token: str, items: Sequence[T]) -> Any:
    """What a run's function returns for a chunk.

    Raises
    ------
    UnknownRunError
        If `keep` was not called in this process, or so long ago that the run is forgotten.
    """
    with _IN_HAND:
        if token not in _RUNS:
            raise UnknownRunError
        return _loaded(_RUNS[token])(items)


async def answer(function: bytes) -> Any:
    """What a pickled function returns, once no chunk is in hand."""
    # In a thread, so that the worker goes on answering its scheduler.
    return await asyncio.to_thread(_answer_alone, function)


def _answer_alone(function: bytes) -> Any:
    with _IN_HAND:
        return _loaded(function)()


async def forget(token: str, drain_seconds: float) -> None:
    """Take up no more of a run, and wait for what is in hand."""
    _RUNS.pop(token, None)
    if drain_seconds and await asyncio.to_thread(partial(_IN_HAND.acquire, timeout=drain_seconds)):
        _IN_HAND.release()


@lru_cache(maxsize=4)
def _loaded(pickled: bytes) -> Callable[..., Any]:
    from distributed.protocol import pickle as dask_pickle

    function: Callable[..., Any] = dask_pickle.loads(pickled)
    return function
