"""Locks of an output folder, and the logs of processes that share the work of one run.

A run alone holds ``.maskgen.lock``. Those that share one (``--shard i/n``) hold a lock each, and write to logs of their
own. Each leaves a mark when its share is done; the one that finds all marks puts the output together, alone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from maskgen import files, linelog, manifest
from maskgen.run import stamps
from maskgen.run.former import Logs
from maskgen.run.settings import Share

# Held by whoever looks at the locks of the others and takes its own.
_DOOR: Final = ".maskgen.door"
# Its holder may be unpacking a manifest of many gigabytes.
_PATIENCE_SECONDS: Final = 600
_SHARE: Final = re.compile(r"(\d+)-of-(\d+)")


@contextlib.contextmanager
def alone(target: Path) -> Iterator[None]:
    """Keep all others out of an output folder, which is made.

    Raises
    ------
    LockedError
        If somebody is at work there.
    MaskgenError
        If the folder cannot be made or written to.
    """
    with contextlib.ExitStack() as stack:
        with _door(target):
            stack.enter_context(files.locked(target / files.LOCK_FILE))
            for share in _at_work(target):
                raise files.LockedError(f"{target}: shard {share} is at work there", "wait for it to end")
            manifest.unpack(target)
            _take_in(target)
        yield


@contextlib.contextmanager
def shared(target: Path, share: Share) -> Iterator[bool]:
    """Keep others out of a share of the work; gives whether nobody else is at work in the folder yet.

    Raises
    ------
    LockedError
        If somebody works on this share, or alone, or the work is shared among another number.
    MaskgenError
        If the folder cannot be made or written to.
    """
    with contextlib.ExitStack() as stack:
        with _door(target):
            with files.locked(target / files.LOCK_FILE):
                pass
            others = list(_at_work(target))
            for other in others:
                if other.of != share.of:
                    raise files.LockedError(
                        f"{target}: shard {other} is at work there, this is {share}",
                        f"share the work among {other.of}, or wait",
                    )
            stack.enter_context(files.locked(_lock(target, share)))
            _mark(target, share).unlink(missing_ok=True)
            if not others:
                manifest.unpack(target)
                _take_in(target, keeps_marks_of=share.of)
        yield not others


def logs_of(target: Path) -> list[Logs]:
    """The logs of an output folder: that of runs alone, then those of shares."""
    own = [Logs(manifest.path_of(target), target / stamps.STAMPS_FILE)]
    return own + [logs_of_share(target, share) for share in _shares(target, "rows")]


def logs_of_share(target: Path, share: Share) -> Logs:
    """The logs of a share."""
    return Logs(target / f".maskgen.rows-{_name(share)}", target / f"{stamps.STAMPS_FILE}-{_name(share)}")


def mark_done(target: Path, share: Share) -> int:
    """Leave the mark of a share that is done; how many are now."""
    files.write_whole(_mark(target, share), b"")
    return number_done(target, share.of)


def number_done(target: Path, of: int) -> int:
    """How many of so many shares have left their mark."""
    return sum(share.of == of for share in _shares(target, "done"))


def are_all_done(targets: Sequence[Path]) -> bool:
    """Whether the shares whose marks are in these folders are all that there are."""
    done = {share for target in targets for share in _shares(target, "done")}
    return bool(done) and len({share.of for share in done}) == 1 and len(done) == next(iter(done)).of


@contextlib.contextmanager
def alone_in_the_end(target: Path, share: Share) -> Iterator[bool]:
    """As `alone` for a share that is done, if all others are as well and none of them has seen it; gives whether so."""
    with contextlib.ExitStack() as stack:
        is_last = False
        with _door(target), contextlib.suppress(files.LockedError):
            if number_done(target, share.of) == share.of:
                stack.enter_context(files.locked(target / files.LOCK_FILE))
                is_last = True
                _take_in(target)
        yield is_last


def _take_in(target: Path, keeps_marks_of: int | None = None) -> None:
    """Add the logs of all shares to that of the run; nobody writes to them."""
    main = logs_of(target)[0]
    for share in _shares(target, "rows"):
        logs = logs_of_share(target, share)
        # Rows first: a row without stamps is made again, stamps without a row would hide that it is missing.
        for log, of_share in zip(main, logs, strict=True):
            if of_share.exists():
                with linelog.Log(log) as all_lines:
                    for _, line in linelog.lines(of_share):
                        all_lines.append(line.decode())
        for of_share in reversed(logs):
            of_share.unlink(missing_ok=True)
    for share in _shares(target, "done"):
        if share.of != keeps_marks_of:
            _mark(target, share).unlink(missing_ok=True)


def _door(target: Path) -> contextlib.AbstractContextManager[None]:
    return files.locked(target / _DOOR, _PATIENCE_SECONDS)


def _at_work(target: Path) -> Iterator[Share]:
    """Shares whose lock is held; asked behind the door."""
    for share in _shares(target, "lock"):
        try:
            with files.locked(_lock(target, share)):
                pass
        except files.LockedError:
            yield share


def _shares(target: Path, kind: str) -> list[Share]:
    """The shares that have a file of a kind, in their order."""
    found = (_SHARE.fullmatch(path.name.rpartition(f"{kind}-")[2]) for path in target.glob(f".maskgen.{kind}-*"))
    return sorted(Share(int(match[1]), int(match[2])) for match in found if match is not None)


def _lock(target: Path, share: Share) -> Path:
    return target / f"{files.LOCK_FILE}-{_name(share)}"


def _mark(target: Path, share: Share) -> Path:
    return target / f".maskgen.done-{_name(share)}"


def _name(share: Share) -> str:
    return f"{share.index}-of-{share.of}"
