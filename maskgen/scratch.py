"""A folder among the temporary files. What a killed process leaves there, the next one removes."""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from maskgen import files

_PREFIX: Final = "maskgen-work-"
_LOCK: Final = "lock"
# A folder without an owner is being made now, or its process was killed as it made it.
_MADE_BY_THEN: Final = 3600.0  # seconds
_OWNER: Final = "pid"
# Where Linux keeps named semaphores; loky puts the number of their process into their names.
_SEMAPHORES: Final = Path("/dev/shm")


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A new folder as long as the context lasts; those of processes that were killed are removed."""
    with tempfile.TemporaryDirectory(dir=_of_process(os.getpid()), ignore_cleanup_errors=True) as work:
        yield Path(work)


@functools.cache
def _of_process(pid: int) -> Path:
    """A folder that stays as long as this process, whose semaphores stay too; it tells the next one what to remove."""
    _sweep()
    stack = contextlib.ExitStack()
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True)))
    # The operating system frees the lock of a process that dies.
    stack.enter_context(files.locked(folder / _LOCK))
    (folder / _OWNER).write_text(str(pid))
    # A copy of this process that was forked does not own it.
    atexit.register(lambda: stack.close() if os.getpid() == pid else None)
    return folder


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        # What cannot be read or removed belongs to another user.
        with contextlib.suppress(OSError, ValueError, files.LockedError):
            if not (folder / _OWNER).exists() and time.time() - folder.stat().st_mtime < _MADE_BY_THEN:
                continue
            with files.locked(folder / _LOCK):
                owner = int((folder / _OWNER).read_text() or 0) if (folder / _OWNER).exists() else 0
                _sweep_semaphores(owner)
                shutil.rmtree(folder)


def _sweep_semaphores(pid: int) -> None:
    if not _SEMAPHORES.is_dir():
        return
    try:
        os.kill(pid, 0)  # 0 is this process and its group: it lives
    except ProcessLookupError:
        for path in _SEMAPHORES.glob(f"sem.loky-{pid}-*"):
            path.unlink(missing_ok=True)
