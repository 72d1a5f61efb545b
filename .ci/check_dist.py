"""What a wheel and an sdist must be before they are published.

    python .ci/check_dist.py .ci/dist

Both are there, of one version, small, and hold no pictures, datasets or weights but those that maskgen ships.
"""

from __future__ import annotations

import configparser
import fnmatch
import re
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

MAX_BYTES = 25_000_000
"""Of a file; the masks and the networks take most of it."""
_PICTURES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".heic", ".avif"})
_DATASETS = frozenset({".rec", ".idx", ".bin", ".tar", ".zip"})
_WEIGHTS = frozenset({".npy", ".npz", ".pkl", ".pth", ".pt", ".onnx"})
# In an installed package; in an sdist the masks lie beside it.
_MASKS = re.compile(r"(maskgen/)?masks/")


def names_in(path: Path) -> list[str]:
    """The files of a wheel or an sdist, named from the package's or the checkout's folder."""
    if path.suffix == ".whl":
        with zipfile.ZipFile(path) as wheel:
            return [name for name in wheel.namelist() if not name.endswith("/")]
    with tarfile.open(path) as sdist:
        return [member.name.partition("/")[2] for member in sdist if member.isfile()]


def shipped() -> list[str]:
    """Patterns of the data files that setup.cfg declares for the package."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(Path(__file__).parent.parent / "setup.cfg", encoding="utf-8")
    return [f"maskgen/{pattern}" for pattern in config["options.package_data"]["maskgen"].split()]


def faults(folder: Path) -> list[str]:
    """What is wrong with the files to publish; nothing if they may be."""
    wheels, sdists = sorted(folder.glob("*.whl")), sorted(folder.glob("*.tar.gz"))
    found, patterns = [], shipped()
    if len(wheels) != 1 or len(sdists) != 1 or len(list(folder.iterdir())) != 2:
        found.append(f"{folder}: expected one wheel and one sdist: {[path.name for path in sorted(folder.iterdir())]}")
    versions = {path.name.removesuffix(".tar.gz").split("-")[1] for path in (*wheels, *sdists)}
    if len(versions) > 1:
        found.append(f"{folder}: several versions: {sorted(versions)}")
    for path in (*wheels, *sdists):
        if path.stat().st_size > MAX_BYTES:
            found.append(f"{path.name}: {path.stat().st_size:,} bytes, more than {MAX_BYTES:,}")
        names = names_in(path)
        found += [
            f"{path.name}: {name}: data that maskgen does not ship"
            for name in names
            if PurePosixPath(name).suffix.lower() in _PICTURES | _DATASETS | _WEIGHTS
            and not _MASKS.match(name)
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)
        ]
        if path.suffix == ".whl":
            found += [f"{path.name}: {name}: tests are not installed" for name in names if name.startswith("tests/")]
    return found


if __name__ == "__main__":
    said = faults(Path(sys.argv[1]))
    print(*said, sep="\n", file=sys.stderr)
    sys.exit(bool(said))
