"""The machine: room on disks, how fast they are, shared memory, open files."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from maskgen.cli.doctor.finding import Finding

_GB: Final = 10**9
_MB: Final = 10**6
_LITTLE_ROOM: Final = _GB
_SLOW: Final = 20 * _MB  # bytes per second: three workers write faster
_TRIED: Final = 64 * _MB
_TRIED_SECONDS: Final = 1.0
_SHARED_MEMORY: Final = Path("/dev/shm")
_LITTLE_SHARED: Final = 256 * _MB
_FEW_FILES: Final = 1024


def findings(out: Path | None) -> Iterator[Finding]:
    """Disks, shared memory and the limit of open files; `out` is where an output would go."""
    if out is not None:
        yield _disk("disk of OUT", _first_folder(out), "choose a folder that you may write to")
    yield _disk("temporary files", Path(tempfile.gettempdir()), "set TMPDIR to a folder that you may write to")
    yield from _shared_memory(_SHARED_MEMORY)
    yield from _open_files()


def _first_folder(path: Path) -> Path:
    """The folder itself, or the first on the way up that there is."""
    path = path.expanduser().absolute()
    return next((folder for folder in (path, *path.parents) if folder.is_dir()), path)


def _disk(name: str, folder: Path, remedy: str) -> Finding:
    try:
        free = shutil.disk_usage(folder).free
        speed = write_speed(folder, min(_TRIED, free // 2))
    except OSError as error:
        return Finding(name, "broken", f"{folder}: cannot be written to: {error.strerror or error}", remedy)
    said = f"{folder}: {free / _GB:.1f} GB free, takes {speed / _MB:.0f} MB/s"
    if free < _LITTLE_ROOM:
        return Finding(name, "warning", said, "make room: a masked picture takes as much as the picture")
    if speed < _SLOW:
        return Finding(name, "warning", said, "writing will keep workers waiting; a local disk is faster than a share")
    return Finding(name, "ok", said)


def write_speed(folder: Path, size: int) -> float:
    """Bytes per second that a folder takes, down to the disk; the file has no name and goes with the process.

    Raises
    ------
    OSError
        If nothing can be written there.
    """
    block = os.urandom(_MB)  # what can be compressed would be no measure
    written, started = 0, time.perf_counter()
    with tempfile.TemporaryFile(dir=folder) as file:
        while written < size and time.perf_counter() - started < _TRIED_SECONDS:
            written += file.write(block)
        file.flush()
        os.fsync(file.fileno())
    return written / max(time.perf_counter() - started, 1e-9)


def _shared_memory(place: Path) -> Iterator[Finding]:
    if not place.is_dir():
        return
    try:
        usage = shutil.disk_usage(place)
    except OSError as error:
        yield Finding(str(place), "warning", str(error.strerror), "'maskgen train --workers 0' needs none")
        return
    said = f"{usage.total / _MB:,.0f} MB, {usage.free / _MB:,.0f} MB free"
    if usage.free >= _LITTLE_SHARED:
        yield Finding(str(place), "ok", said)
        return
    yield Finding(
        str(place),
        "warning",
        f"{said}; processes that load pictures for a training pass them on through it",
        "in Docker give --shm-size=2g or --ipc=host; or 'maskgen train --workers 0'",
    )


def _open_files() -> Iterator[Finding]:
    if sys.platform == "win32":
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    name, most = "open files", resource.RLIM_INFINITY
    said = f"at most {'any number' if soft == most else soft}"
    if soft == most or soft >= _FEW_FILES:
        yield Finding(name, "ok", said)
        return
    allowed = 4096 if hard == most else min(hard, 4096)
    remedy = f"before maskgen: ulimit -n {allowed}"
    if allowed <= soft:
        remedy = "let an administrator raise the limit: nofile in /etc/security/limits.conf, or what starts your jobs"
    yield Finding(name, "warning", f"{said} per process; many workers or shards need more", remedy)
