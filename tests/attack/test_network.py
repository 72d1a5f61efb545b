"""Nothing is sent, and nothing is left in a user's home or among temporary files.

Telemetry is native code, which no guard in Python sees, so the system calls of all processes are watched.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

_IN_A_PROGRAM = """
import maskgen.masking.augment, skimage.data
from maskgen.detect import FaceDetector
assert FaceDetector().detect(skimage.data.astronaut())
"""


def _watched(command: list[str], folder: Path) -> list[str]:
    """The lines of strace about the network that are no local socket; folder/home and folder/tmp must stay empty.

    But for decoded textures in the place for caches.
    """
    log = folder / "calls.txt"
    home, temporary = folder / "home", folder / "tmp"
    home.mkdir()
    temporary.mkdir()
    tracer = shutil.which("strace")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "NO_ALB"))}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary), "MPLCONFIGDIR": str(folder)}
    watch = [tracer, "-f", "-qq", "-e", "trace=socket,connect,bind", "-o", str(log)] if tracer else []
    done = subprocess.run([*watch, *command], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    left = [path for path in (*home.rglob("*"), *temporary.rglob("*")) if path.is_file()]
    left = [path for path in left if path.parts[-3:-1] != ("maskgen", "textures")]
    assert not left, left
    if not tracer:
        pytest.skip("strace is not installed: only the files left behind were looked at")
    return [line for line in log.read_text().splitlines() if "AF_INET" in line]


@pytest.mark.parametrize(
    "command",
    [["-m", "maskgen", "augment", "--demo", "OUT"], ["-m", "maskgen", "doctor"], ["-c", _IN_A_PROGRAM]],
    ids=["augment", "doctor", "library"],
)
def test_nothing_is_sent_and_nothing_left_behind(command: list[str], tmp_path: Path) -> None:
    command = [str(tmp_path / "out") if word == "OUT" else word for word in command]
    assert _watched([sys.executable, *command], tmp_path) == []


@pytest.mark.long
def test_nothing_is_sent_in_a_minute(tmp_path: Path) -> None:
    # Telemetry is sent after a while.
    program = _IN_A_PROGRAM + "import time; time.sleep(60)"
    assert _watched([sys.executable, "-c", program], tmp_path) == []
