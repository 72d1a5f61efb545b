"""``maskgen`` and ``python -m maskgen``: the command line, which ends with one line and 130 when it is interrupted."""

from __future__ import annotations

import atexit
import os
import signal
import sys
from types import FrameType

_INTERRUPTED = 130


def main() -> None:
    """Run the command line; it is imported late, because Ctrl-C may come while it is."""
    # Batch schedulers stop a job with SIGTERM.
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        from maskgen.cli import main as command

        command()
    except ImportError as error:
        if error.name != "click":
            raise
        # All other libraries: maskgen doctor.
        sys.exit(f"error: click cannot be imported: {error}; reinstall maskgen")
    except KeyboardInterrupt:
        _ignore_signals()
        print("interrupted", file=sys.stderr)
        _leave()
    except SystemExit as ended:
        _ignore_signals()
        if ended.code == _INTERRUPTED:
            _leave()
        raise
    finally:
        _ignore_signals()


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    # All is said and done: what the interpreter still has to put away is nobody's concern.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _leave() -> None:
    """End the process with 130, whatever code Python would give.

    If the interrupt came inside `exec`, as when a module makes a dataclass, Python takes it for unhandled ever after,
    and kills itself at the end.
    """
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
