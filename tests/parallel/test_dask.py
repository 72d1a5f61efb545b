"""The promises of an executor, kept on a Dask cluster: real workers, in processes of their own."""

import contextlib
import functools
import itertools
import os
import signal
import socket
import threading
import time

import pytest
from chunks import fail_at, kill_at, squares
from clusters import started

from maskgen.errors import ConfigError
from maskgen.parallel import Crash, DaskExecutor, chunks_of, dask, dask_worker
from maskgen.parallel.base import ONE_THREAD, WorkersDieError
from maskgen.parallel.dask import ClusterError

kills = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no process is killed like that there")


def slowly(folder, seconds, chunk):
    """Leaves a file when it begins with an item, and another when it has ended it."""
    for item in chunk:
        (folder / f"{item} begun").write_text(str(os.getpid()))
        time.sleep(seconds)
        (folder / f"{item} ended").touch()
    return squares(chunk)


def process_id(chunk):
    time.sleep(0.05)
    return os.getpid()


def environment():
    return dict(os.environ)


class Heavy:
    """Work that leaves a file whenever it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __setstate__(self, state):
        self.__dict__ = state
        (self.folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()

    def __call__(self, chunk):
        return squares(chunk)


def flat(results):
    return sorted(itertools.chain.from_iterable(results))


def names(folder, ending):
    return {path.name.removesuffix(ending) for path in folder.glob(f"*{ending}")}


def wait_until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def executor(cluster):
    with contextlib.closing(DaskExecutor(cluster.address)) as made:
        yield made


@pytest.fixture
def threads():
    """Makes clusters whose workers are threads of this process; they start at once."""
    return functools.partial(started, processes=False)


# ---- what is done


def test_every_item_is_done_once_in_processes_of_the_cluster(executor, cluster):
    assert executor.workers == 2
    assert flat(executor.run(squares, chunks_of(range(50), 7))) == [n**2 for n in range(50)]
    assert list(executor.run(squares, [])) == []
    assert set(executor.run(process_id, chunks_of(range(8), 1))) == set(cluster.pids().values())


def test_chunks_are_taken_as_workers_become_free(executor):
    taken = itertools.count()
    results = executor.run(squares, ([next(taken)] for _ in itertools.count()))
    assert len([next(results) for _ in range(10)]) == 10
    results.close()
    assert next(taken) <= 10 + 2 * 2


def test_the_work_goes_to_each_worker_once_and_not_with_every_chunk(executor, tmp_path):
    assert len(list(executor.run(Heavy(tmp_path), chunks_of(range(20), 1)))) == 20
    made = list(tmp_path.iterdir())
    assert len(made) == len({path.name.partition("-")[0] for path in made}) == 2


def test_workers_use_one_thread(executor):
    for found in executor.everywhere(environment).values():
        assert {name: found.get(name) for name in ONE_THREAD} == ONE_THREAD


def test_an_error_of_the_work_ends_the_run_keeps_its_remedy_and_leaves_the_cluster_to_others(executor):
    with pytest.raises(ConfigError) as caught:
        list(executor.run(functools.partial(fail_at, 5), chunks_of(range(10), 2)))
    assert (caught.value.fault, caught.value.remedy) == ("5: no", "take another {number}")
    assert flat(executor.run(squares, chunks_of(range(10), 2))) == squares(range(10))


# ---- workers that die


@kills
def test_an_item_that_kills_its_worker_is_found_in_its_chunk_and_all_others_are_done(executor, tmp_path):
    work = functools.partial(kill_at, {3: "always"}, tmp_path)
    results = list(executor.run(work, chunks_of(range(20), 5)))
    assert [result.item for result in results if isinstance(result, Crash)] == [3]
    assert flat(result for result in results if not isinstance(result, Crash)) == [n**2 for n in range(20) if n != 3]


@kills
def test_an_item_whose_worker_is_killed_from_outside_is_done_after_all_and_so_are_the_others(executor, tmp_path):
    def kill():
        wait_until(lambda: names(tmp_path, " begun"))
        time.sleep(0.2)
        os.kill(int((tmp_path / "7 begun").read_text()), signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    # The first alone with its worker, as one that is to blame would be.
    assert flat(executor.run(functools.partial(slowly, tmp_path, 1), [[7], [8, 9]])) == [49, 64, 81]
    killer.join()


def test_workers_that_are_sent_away_or_come_later_cost_nothing_and_are_used(threads, tmp_path):
    with threads(workers=2) as cluster, contextlib.closing(DaskExecutor(cluster.address)) as executor:
        work = functools.partial(slowly, tmp_path, 0.02)
        # Of one item, so that a worker's end would count against it.
        results = executor.run(work, chunks_of(range(150), 1))
        found = [next(results) for _ in range(4)]
        first = set(cluster.client.nthreads())
        cluster.local.scale(3)
        cluster.client.wait_for_workers(3)
        cluster.client.retire_workers(list(first))
        found += list(results)
        assert flat(found) == squares(range(150))
        assert not first & set(cluster.client.nthreads())


def test_a_run_ends_with_an_error_once_no_worker_has_been_there_for_a_while(threads, tmp_path):
    with threads(workers=1) as cluster, contextlib.closing(DaskExecutor(cluster.address, 1.0)) as executor:
        results = executor.run(functools.partial(slowly, tmp_path, 0.05), chunks_of(range(1000), 1))
        next(results)
        cluster.local.scale(0)
        with pytest.raises(WorkersDieError, match=r"no worker is left.*start workers and run the same again"):
            list(results)


def test_a_scheduler_that_goes_away_ends_a_run_with_an_error(threads, monkeypatch, tmp_path, capfd):
    monkeypatch.setattr(dask, "_CONNECT_SECONDS", 0.5)
    with threads(workers=1) as cluster:
        executor = DaskExecutor(cluster.address)
        results = executor.run(functools.partial(slowly, tmp_path, 0.05), chunks_of(range(1000), 1))
        next(results)
    with pytest.raises(ClusterError, match=r"no longer answers.*run the same again"):
        list(results)
    executor.close()
    assert capfd.readouterr().err == ""


# ---- ends early


def test_who_stops_taking_results_cancels_what_waits_and_sees_the_end_of_what_is_in_hand(executor, cluster, tmp_path):
    results = executor.run(functools.partial(slowly, tmp_path, 0.3), ([n] for n in itertools.count()))
    next(results)
    wait_until(lambda: len(names(tmp_path, " begun")) > 2)
    results.close()
    begun = names(tmp_path, " begun")
    assert names(tmp_path, " ended") == begun
    wait_until(lambda: not any(cluster.client.processing().values()))
    time.sleep(0.5)
    assert names(tmp_path, " begun") == begun
    assert flat(executor.run(squares, chunks_of(range(4), 1))) == squares(range(4))


def test_ctrl_c_is_raised_at_once_and_leaves_the_cluster_to_others(executor, tmp_path):
    main = threading.main_thread().ident

    is_over = threading.Event()

    def interrupt():
        with contextlib.suppress(AssertionError):
            wait_until(lambda: names(tmp_path, " ended"))
        # Nothing else ends the run, and an exception that comes up in a finalizer is lost.
        signal.pthread_kill(main, signal.SIGINT)
        while not is_over.wait(15):
            signal.pthread_kill(main, signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        list(executor.run(functools.partial(slowly, tmp_path, 0.3), ([n] for n in itertools.count())))
    is_over.set()
    assert flat(executor.run(squares, chunks_of(range(4), 1))) == squares(range(4))


def test_who_asks_all_workers_waits_for_what_they_have_in_hand_of_others(executor, cluster, tmp_path):
    results = executor.run(functools.partial(slowly, tmp_path, 0.5), chunks_of(range(2), 1))
    ahead = threading.Thread(target=lambda: list(results))
    ahead.start()
    wait_until(lambda: len(names(tmp_path, " begun")) == 2)
    with contextlib.closing(DaskExecutor(cluster.address)) as other:
        assert len(other.everywhere(environment)) == 2
    assert names(tmp_path, " ended") == {"0", "1"}
    ahead.join()


# ---- several threads


def overlaps(busy, chunk):
    """Whether another thread is at it at the same time."""
    path = busy / "busy"
    try:
        path.mkdir()
    except FileExistsError:
        return True
    time.sleep(0.02)
    path.rmdir()
    return False


def test_a_worker_with_several_threads_works_on_one_chunk_at_a_time_and_a_warning_says_so(threads, tmp_path, caplog):
    with threads(workers=1, threads=4) as cluster, contextlib.closing(DaskExecutor(cluster.address)) as executor:
        assert executor.workers == 1
        assert not any(executor.run(functools.partial(overlaps, tmp_path), chunks_of(range(20), 1)))
    assert "1 of 1 workers have more than one thread" in caplog.text


# ---- clusters that cannot be used


def test_where_no_scheduler_is_the_error_says_what_to_start(monkeypatch, capfd):
    monkeypatch.setattr(dask, "_CONNECT_SECONDS", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        port = deaf.getsockname()[1]
        with pytest.raises(ClusterError, match="no Dask scheduler answers there; start one with 'dask scheduler'"):
            DaskExecutor(f"tcp://127.0.0.1:{port}")
    with pytest.raises(ClusterError, match="no Dask scheduler answers there"):
        DaskExecutor(f"tcp://127.0.0.1:{port}")
    assert capfd.readouterr().err == ""


def test_where_no_worker_is_the_error_says_what_to_start(threads):
    with threads(workers=0) as cluster, pytest.raises(WorkersDieError, match=r"no worker there.*start workers"):
        DaskExecutor(cluster.address, 0.0)


@pytest.mark.parametrize(
    ("place", "what"), [("maskgen.parallel.dask._PYTHON", "Python"), ("maskgen.__version__", "maskgen")]
)
def test_workers_with_another_python_or_another_maskgen_are_refused_by_name(cluster, monkeypatch, place, what):
    monkeypatch.setattr(place, "2.7.18")
    with pytest.raises(
        ClusterError, match=rf"worker tcp://127\.0\.0\.1:\d+: has {what} \S+, here it is 2\.7\.18; install"
    ):
        DaskExecutor(cluster.address)


def test_workers_without_maskgen_are_refused_by_name(cluster, monkeypatch):
    def missing(dask_worker):
        raise ModuleNotFoundError("No module named 'maskgen'")

    monkeypatch.setattr(dask_worker, "version", missing)
    with pytest.raises(ClusterError, match=r"worker tcp://\S+: cannot use maskgen there: No module named 'maskgen'"):
        DaskExecutor(cluster.address)
