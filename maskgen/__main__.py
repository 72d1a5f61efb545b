"""``maskgen`` and ``python -m maskgen``: the command line, which ends with one line and 130 when it is interrupted."""

from __future__ import annotations

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
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(_INTERRUPTED)
    finally:
        # All is said and done: what the interpreter still has to put away is nobody's concern.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
