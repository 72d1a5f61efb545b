"""The promises of an executor: every item is done, and one that kills its process costs no other."""

import concurrent.futures
import functools
import itertools
import os
import signal
import subprocess
import sys
import time

import pytest
from chunks import fail_at, kill_at, squares
from hypothesis import given
from hypothesis import strategies as st

from maskgen.errors import ConfigError
from maskgen.parallel import Crash, InProcess, LocalExecutor, chunks_of, in_order, local
from maskgen.parallel.base import chunk_size


def process_id(chunk):
    time.sleep(0.02)
    return os.getpid()


def flat(results):
    return sorted(itertools.chain.from_iterable(results))


@pytest.mark.parametrize("executor", [InProcess(), LocalExecutor(1), LocalExecutor(2)], ids=["none", "one", "two"])
def test_every_item_is_done_once(executor):
    assert flat(executor.run(squares, chunks_of(range(50), 7))) == [n**2 for n in range(50)]
    assert list(executor.run(squares, [])) == []


def test_work_is_done_in_other_processes_even_by_one_worker():
    pids = set(LocalExecutor(1).run(process_id, chunks_of(range(4), 1)))
    assert len(pids) == 1
    assert os.getpid() not in pids


@pytest.mark.parametrize("size", [1, 5, 40])
@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_that_kills_its_process_is_found_in_its_chunk_and_all_others_are_done(tmp_path, size, workers):
    bad = {3: "always", 17: "always"}
    results = list(LocalExecutor(workers).run(functools.partial(kill_at, bad, tmp_path), chunks_of(range(40), size)))
    assert sorted(result.item for result in results if isinstance(result, Crash)) == [3, 17]
    assert flat(result for result in results if not isinstance(result, Crash)) == [
        n**2 for n in range(40) if n not in bad
    ]


def test_an_item_whose_process_was_killed_once_is_done_after_all(tmp_path):
    work = functools.partial(kill_at, {8: "once"}, tmp_path)
    assert flat(LocalExecutor(2).run(work, chunks_of(range(20), 4))) == [n**2 for n in range(20)]
    assert (tmp_path / "8").exists()


def test_an_error_of_the_work_ends_the_run_and_keeps_its_remedy():
    with pytest.raises(ConfigError) as caught:
        list(LocalExecutor(2).run(functools.partial(fail_at, 5), chunks_of(range(10), 2)))
    assert (caught.value.fault, caught.value.remedy) == ("5: no", "take another {number}")


def test_chunks_are_taken_as_workers_become_free():
    taken = itertools.count()
    results = LocalExecutor(2).run(squares, ([next(taken)] for _ in itertools.count()))
    assert len([next(results) for _ in range(10)]) == 10
    results.close()
    assert next(taken) < 10 + 2 * 2 + 2


def test_who_stops_taking_results_ends_the_workers():
    results = LocalExecutor(2).run(process_id, ([n] for n in itertools.count()))
    pids = {next(results) for _ in range(8)}
    results.close()
    deadline = time.monotonic() + 10
    while any(_is_alive(pid) for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_is_alive(pid) for pid in pids)


def die_then_fail(folder, chunk):
    """Kills its process; the one that tries again raises an error."""
    if not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "pid").write_text(str(os.getpid()))
    raise ConfigError("no")


def test_an_error_of_a_chunk_that_is_tried_alone_ends_its_worker_too(tmp_path):
    with pytest.raises(ConfigError):
        list(LocalExecutor(2).run(functools.partial(die_then_fail, tmp_path), [[1], [2]]))
    assert not _is_alive(int((tmp_path / "pid").read_text()))


def die_then_sleep(folder, chunk):
    if not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    (folder / "pid").write_text(str(os.getpid()))
    time.sleep(60)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers there")
def test_ctrl_c_ends_a_chunk_that_is_tried_alone_at_once(tmp_path):
    def interrupt(*_):
        if (tmp_path / "pid").exists():
            raise KeyboardInterrupt

    former = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2, 0.2)
    started = time.monotonic()
    try:
        with pytest.raises(KeyboardInterrupt):
            list(LocalExecutor(1).run(functools.partial(die_then_sleep, tmp_path), [[1]]))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    assert not _is_alive(int((tmp_path / "pid").read_text()))
    assert time.monotonic() - started < 40


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


@pytest.mark.parametrize(("deaths", "ends"), [(2, False), (3, True)])
def test_workers_that_die_before_they_take_up_anything_are_started_anew_a_few_times(monkeypatch, deaths, ends):
    pool, left = local._pool, [deaths]

    def stillborn(workers):
        if left[0]:
            left[0] -= 1
            raise concurrent.futures.BrokenExecutor
        return pool(workers)

    monkeypatch.setattr(local, "_pool", stillborn)
    results = LocalExecutor(2).run(squares, chunks_of(range(6), 2))
    if ends:
        with pytest.raises(local.WorkersDieError):
            list(results)
    else:
        assert flat(results) == [n**2 for n in range(6)]


@given(st.permutations(range(20)))
def test_results_come_in_order_whoever_is_done_first(order):
    assert list(in_order((number, str(number)) for number in order)) == [str(number) for number in range(20)]


@given(st.integers(1, 10**6), st.integers(1, 64))
def test_chunks_are_small_enough_to_keep_all_workers_busy(count, workers):
    size = chunk_size(count, workers)
    assert 1 <= size <= 16
    assert size == 1 or count / size >= 4 * workers


def test_a_reader_that_does_not_know_its_length_gets_full_chunks():
    assert chunk_size(None, 4) == 16


NOTICES = """
import os, signal, time
import maskgen.parallel.local as local
def nothing(chunk):
    return [bool(signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, set()))]
# As early as can be: in the first process that a pool starts.
results = [value for result in local.LocalExecutor(2).run(nothing, [[1], [2]]) for value in result]
assert results == [True, True], results
assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())
"""


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="no signal masks there")
def test_a_process_is_deaf_to_ctrl_c_from_its_first_moment():
    ended = subprocess.run([sys.executable, "-c", NOTICES], capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (0, "")
