"""What was found about one thing, and looking at things in a process of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

import maskgen
from maskgen import errors
from maskgen.errors import MaskgenError

REINSTALL: Final = "pip install --force-reinstall maskgen"
_PATIENCE: Final = 120.0  # seconds


@dataclass(frozen=True)
class Finding:
    """What was found about one thing.

    Attributes
    ----------
    name : str
        What was looked at.
    state : {"ok", "absent", "warning", "broken"}
        ``absent`` is what not everybody needs; with a ``warning`` maskgen works, but slowly or not for long.
    detail : str
        What was found.
    remedy : str
        What to do; empty if nothing.
    """

    name: str
    state: Literal["ok", "absent", "warning", "broken"]
    detail: str
    remedy: str = ""


def checked(name: str, look: Callable[[], Iterator[Finding]], remedy: str = REINSTALL) -> Iterator[Finding]:
    """What is found; or that looking failed, since an installation may be broken in any way.

    Parameters
    ----------
    name : str
        Of what is looked at, where looking fails.
    look : callable
        Gives the findings.
    remedy : str
        Where the fault names none.
    """
    try:
        yield from look()
    except MaskgenError as error:
        yield Finding(name, "broken", error.fault, errors.worded(error.remedy) or remedy)
    except Exception as error:
        yield Finding(name, "broken", worded(error), remedy)


def worded(error: BaseException) -> str:
    """The kind of an error and what it says, on one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


class Tried(NamedTuple):
    """What a process printed, line by line, read as JSON; and why it ended, if that was no good end."""

    said: list[Any]
    fault: str


def tried(code: str, *arguments: str) -> Tried:
    """Run lines of Python in a process of their own: libraries that do not fit the machine end the one they are in."""
    # Found where this one was found, whatever led here.
    places = [str(Path(maskgen.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, "-c", code, *arguments]
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, encoding="utf-8", errors="replace", timeout=_PATIENCE
        )
    except subprocess.TimeoutExpired:
        return Tried([], f"no end after {_PATIENCE:.0f} s")
    except OSError as error:
        return Tried([], worded(error))
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[", "{"))]
    return Tried(said, "" if done.returncode == 0 else _why(done.returncode, done.stderr))


def _why(code: int, stderr: str) -> str:
    if code < 0:
        names = {one.value: one.name for one in signal.Signals}
        return f"the process crashed ({names.get(-code, f'signal {-code}')})"
    lines = [line for line in stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"the process ended with {code}"
