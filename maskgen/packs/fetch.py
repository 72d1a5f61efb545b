"""Fetch one of InsightFace's packs: the only code of maskgen that uses the network."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from maskgen import files
from maskgen.errors import ModelError
from maskgen.packs.find import INSTALLED, Lock, lock_of, pack_sha256, write_lock

KNOWN: Final[Mapping[str, str | None]] = MappingProxyType(
    {
        "antelopev2": "8e182f14fc6e80b3bfa375b33eb6cff7ee05d8ef7633e738d1c89021dcf0c5c5",
        "buffalo_l": "80ffe37d8a5940d59a7384c201a2a38d4741f2f3c51eef46ebb28218a7b0ca2f",
        "buffalo_m": None,
        "buffalo_s": "d85a87f503f691807cd8bb97128bdf7a0660326cd9cd02657127fa978bab8b5e",
        "buffalo_sc": "57d31b56b6ffa911c8a73cfc1707c73cab76efe7f13b675a05223bf42de47c72",
    }
)
"""InsightFace's packs, and the SHA-256 of the zip file of each in its release ``model-zoo``, as projects that use it
have published it; None where none has been found."""
LICENCE: Final = (
    "InsightFace offers its model packs for non-commercial research purposes only; "
    "for other uses ask its authors (see the README of github.com/deepinsight/insightface). "
    "maskgen's own bundled pack has no such limit."
)
MAX_UNPACKED_BYTES: Final = 2**32
"""Of all files of a pack; InsightFace's largest has a tenth of it."""

_PREFIX: Final = ".maskgen-fetch-"


@dataclass(frozen=True)
class Fetched:
    """A pack that lies on the disk.

    Attributes
    ----------
    folder : Path
        Where.
    sha256 : str
        As `maskgen.packs.find.pack_sha256`.
    trust : {"known", "recorded", "first"}
        What its hash was compared with: that of its zip file in `KNOWN`; that which was recorded at the first fetch;
        nothing, for this is the first, and the hash has been recorded.
    """

    folder: Path
    sha256: str
    trust: Literal["known", "recorded", "first"]


def download(name: str) -> Fetched:
    """Fetch a pack of InsightFace with its own downloader, or look at the one that is there already.

    It appears whole or not at all, and only if its hash is the expected one.

    Raises
    ------
    ModelError
        If it cannot be downloaded or unpacked, or is not what it was, or what `KNOWN` says that it is.
    """
    models = INSTALLED.expanduser()
    folder = models / name
    with files.locked(models / files.LOCK_FILE):
        for leftover in models.glob(f"{_PREFIX}*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        if folder.is_dir() and any(folder.iterdir()):
            return _there(name, folder)
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=models) as work:
            return _fetched(name, folder, Path(work))


def _there(name: str, folder: Path) -> Fetched:
    _lift_nested(folder)
    if not any(folder.glob("*.onnx")):
        raise ModelError(f"{folder}: holds no .onnx files", "delete the folder and fetch again")
    return _compared(name, folder, folder, None)


def _fetched(name: str, folder: Path, work: Path) -> Fetched:
    archive, unpacked = work / f"{name}.zip", work / name
    try:
        _download(name, archive)
        zip_sha256 = _sha256(archive)
        expected = KNOWN[name]
        if expected is not None and zip_sha256 != expected:
            raise ModelError(
                f"model pack {name}: the download has the SHA-256 {zip_sha256}, expected {expected}; it was deleted",
                "fetch again; if it stays so, InsightFace has released other files, and a newer maskgen may know them",
            )
        _unpack(archive, unpacked)
    except (OSError, RuntimeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"model pack {name}: download failed ({type(error).__name__}: {reason})", "try again later"
        ) from error
    if not any(unpacked.glob("*.onnx")):
        raise ModelError(f"model pack {name}: no .onnx files in the download", "try again later")
    fetched = _compared(name, unpacked, folder, zip_sha256 if expected is not None else None)
    if folder.is_dir():
        folder.rmdir()  # empty
    unpacked.rename(folder)
    return fetched


def _download(name: str, archive: Path) -> None:
    from insightface.utils.storage import download_file, model_zoo_download_url

    # InsightFace prints its progress; stdout is for answers only.
    with contextlib.redirect_stdout(sys.stderr):
        download_file(model_zoo_download_url(f"{name}.zip"), path=str(archive), overwrite=True)


def _unpack(archive: Path, folder: Path) -> None:
    """Unpack what holds data; InsightFace's own code would take half a pack for a whole one the next time."""
    folder.mkdir()
    root = folder.resolve()
    with zipfile.ZipFile(archive) as opened:
        infos = [info for info in opened.infolist() if not info.is_dir()]
        total = sum(info.file_size for info in infos)
        if total > MAX_UNPACKED_BYTES:
            raise ValueError(f"unpacks to {total:,} bytes, more than the {MAX_UNPACKED_BYTES:,} allowed")
        for info in infos:
            place = (root / info.filename).resolve()
            if "\\" in info.orig_filename or ":" in info.filename or not place.is_relative_to(root):
                raise ValueError(f"entry {info.orig_filename!r} leads out of the pack")
            if any(files.is_no_data(part, True) for part in place.relative_to(root).parts):
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            with opened.open(info) as source, place.open("xb") as target:
                shutil.copyfileobj(source, target)
    _lift_nested(folder)


def _lift_nested(folder: Path) -> None:
    # Some archives hold a folder of their own name, where InsightFace itself would not look.
    nested = folder / folder.name
    if nested.is_dir():
        for file in list(nested.iterdir()):
            shutil.move(file, folder / file.name)
        nested.rmdir()


def _compared(name: str, lies_in: Path, folder: Path, known_zip: str | None) -> Fetched:
    """A pack whose hash is the expected one; the first hash is recorded."""
    sha256, lock = pack_sha256(lies_in), lock_of(folder)
    if known_zip is None and lock is not None and lock.pack_sha256 != sha256:
        raise ModelError(
            f"model pack {name}: its files have the SHA-256 {sha256}, and had {lock.pack_sha256} when they were first "
            f"fetched{'; the download was deleted' if lies_in != folder else ''}",
            "ask those who released it why; delete the pack and the file beside it that ends in .maskgen.json to take "
            "it as it is",
        )
    if known_zip is not None or lock is None:
        write_lock(folder, Lock(pack_sha256=sha256, zip_sha256=known_zip))
    if known_zip is not None or (lock is not None and lock.zip_sha256 is not None):
        return Fetched(folder, sha256, "known")
    return Fetched(folder, sha256, "recorded" if lock is not None else "first")


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.hexdigest()
