"""Work on chunks for executors, which processes import."""

import os
import signal

from maskgen.errors import ConfigError


def squares(chunk):
    return [item**2 for item in chunk]


def kill_at(bad, folder, chunk):
    """Squares; an item in `bad` kills its process, once if it is in `folder` afterwards."""
    for item in chunk:
        once = folder / str(item)
        if item in bad and not (bad[item] == "once" and once.exists()):
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)
    return squares(chunk)


def fail_at(bad, chunk):
    if bad in chunk:
        raise ConfigError(f"{bad}: no", "take another {number}")
    return squares(chunk)
