"""What a process leaves among temporary files, alive or killed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from maskgen import scratch

KILLED = """
import os, signal, sys
from maskgen.parallel import LocalExecutor
from maskgen.scratch import scratch
def nothing(chunk):
    return chunk
list(LocalExecutor(2).run(nothing, [[1], [2]]))
with scratch() as folder:
    (folder / "half a picture").write_bytes(b"1")
    print(os.getpid(), flush=True)
    {end}
"""


def run(end, folder):
    environment = {**os.environ, "TMPDIR": str(folder)}
    return subprocess.run(
        [sys.executable, "-c", KILLED.format(end=end)],
        env=environment,
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
    )


def test_a_process_that_ends_leaves_nothing(tmp_path):
    ended = run("pass", tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="no groups of processes there")
def test_what_a_killed_process_and_its_workers_leave_is_removed_by_the_next(tmp_path):
    # All at once, so that nobody of them can clear away; its work in parallel had ended before.
    pid = run("os.killpg(0, signal.SIGKILL)", tmp_path).stdout.strip()
    semaphores = Path("/dev/shm")
    assert list(tmp_path.glob("maskgen-work-*/*/half a picture"))
    run("pass", tmp_path)
    assert not list(tmp_path.iterdir())
    assert not list(semaphores.glob(f"sem.loky-{pid}-*"))


def test_the_folder_of_a_living_process_and_one_that_is_being_made_are_left_alone(tmp_path, monkeypatch):
    with scratch.scratch() as folder:
        monkeypatch.setattr(scratch.tempfile, "gettempdir", lambda: str(folder.parent.parent))
        scratch._sweep()
        assert folder.is_dir()
    (tmp_path / "maskgen-work-new").mkdir()
    monkeypatch.setattr(scratch.tempfile, "gettempdir", lambda: str(tmp_path))
    scratch._sweep()
    assert (tmp_path / "maskgen-work-new").is_dir()
    os.utime(tmp_path / "maskgen-work-new", (0, 0))
    scratch._sweep()
    assert not (tmp_path / "maskgen-work-new").exists()
