"""What a picture of the largest size allowed costs a worker in memory.

    python tests/bench/memory.py [--limit-mib 1024]

Makes pictures of `maskgen.formats.MAX_PIXELS` pixels in each format, most of them one face that fills the frame, and
masks each in a process of its own with the largest kind of mask. Prints the peak of the resident memory, and ends with
1 if one is over the limit.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import skimage.data
from PIL import Image

from maskgen.formats import MAX_PIXELS

_RUN = """
import sys
from pathlib import Path
from maskgen.parallel import InProcess
from maskgen.run import AugmentSettings, Job, run
settings = AugmentSettings(variants=2, kinds=("gaiter",))
print(run(Job(Path(sys.argv[1]), Path(sys.argv[2]), settings), executor=InProcess()).counts.done)
"""


def pictures() -> Iterator[tuple[str, Image.Image, dict[str, Any]]]:
    """(file name, picture, how Pillow is to save it)."""
    side = math.isqrt(MAX_PIXELS)
    face = Image.fromarray(skimage.data.astronaut()[:250, 110:340]).resize((side, side), Image.Resampling.BICUBIC)
    yield "baseline.jpg", face, {"quality": 92}
    yield "progressive.jpg", face, {"quality": 92, "progressive": True, "subsampling": 0}
    yield "face.png", face, {"compress_level": 1}
    yield "face.tif", face, {"compression": "tiff_lzw"}
    yield "face.webp", face, {"quality": 80, "method": 0}
    yield "lossless.webp", face, {"lossless": True, "quality": 0, "method": 0}
    yield "face.bmp", face, {}
    noise = np.random.default_rng(0).integers(-25, 25, (side, side, 3), dtype=np.int16)
    noisy = Image.fromarray((np.asarray(face).astype(np.int16) + noise).clip(0, 255).astype(np.uint8))
    yield "noise.jpg", noisy, {"quality": 98, "subsampling": 0}
    yield "noise.tif", noisy, {"compression": "tiff_lzw"}
    yield "strip.png", Image.new("RGB", (MAX_PIXELS // 600, 600), (90, 90, 90)), {"compress_level": 1}
    yield "panorama.jpg", face.resize((2 * side, side // 2)), {"quality": 90}


def peak_mib(source: Path, target: Path) -> tuple[int, str]:
    """The peak of a run over a folder, MiB, and what it printed."""
    read, write = os.pipe()
    # A child's peak counts that of the process it was forked from, so a small one stands between.
    watch = (
        "import os, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[2:], capture_output=True, text=True)\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "os.write(int(sys.argv[1]), f'{peak} {done.stdout.strip() or done.stderr[-200:]}'.encode())\n"
    )
    command = [sys.executable, "-c", watch, str(write), sys.executable, "-c", _RUN, str(source), str(target)]
    subprocess.run(command, pass_fds=(write,), check=True)
    os.close(write)
    with open(read, "rb") as file:
        peak, _, said = file.read().decode().partition(" ")
    return int(peak) // (1024 if sys.platform == "linux" else 1024 * 1024), said


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit-mib", type=int, default=1024)
    options = parser.parse_args()
    Image.MAX_IMAGE_PIXELS = None
    worst = 0
    with tempfile.TemporaryDirectory() as name:
        for number, (file, picture, how) in enumerate(pictures()):
            source = Path(name, f"in{number}")
            source.mkdir()
            picture.save(source / file, **how)
            peak, said = peak_mib(source, Path(name, f"out{number}"))
            worst = max(worst, peak)
            print(f"{file:16} {picture.width} x {picture.height}: {peak:5} MiB, masked {said}", flush=True)
    print(f"{MAX_PIXELS:,} pixels allowed; {worst} MiB at most")
    return 1 if worst > options.limit_mib else 0


if __name__ == "__main__":
    sys.exit(main())
