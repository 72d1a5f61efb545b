"""Dask clusters of this machine, and a client beside those that are tested."""

import asyncio
import contextlib
import os
import signal
from dataclasses import dataclass
from typing import Any

from distributed import Client, LocalCluster


@dataclass(frozen=True)
class Cluster:
    """A cluster, and a client of it."""

    local: Any
    client: Any

    @property
    def address(self):
        return self.local.scheduler_address

    @property
    def url(self):
        return self.address.replace("tcp://", "dask://")

    def heal(self):
        """Until there are two workers: Dask's nanny starts another for one that died, unless it died as it started."""
        try:
            self.client.wait_for_workers(2, timeout=15)
        except (TimeoutError, asyncio.TimeoutError):
            self.local.scale(len(self.local.workers) + 2 - len(self.client.nthreads()))
            self.client.wait_for_workers(2, timeout=60)

    def pids(self):
        """The processes of the workers, by their addresses."""
        return self.client.run(os.getpid)

    def kill_a_worker(self):
        os.kill(min(self.pids().values()), signal.SIGKILL)


@contextlib.contextmanager
def started(workers=2, threads=1, processes=True):
    """A cluster whose workers are processes, which are started anew when they die, or threads of this process."""
    local = LocalCluster(
        n_workers=workers,
        threads_per_worker=threads,
        processes=processes,
        protocol="tcp",
        host="127.0.0.1",
        scheduler_port=0,
        dashboard_address="127.0.0.1:0",
        silence_logs=60,
    )
    with local, Client(local.scheduler_address, set_as_default=False) as client:
        yield Cluster(local, client)
