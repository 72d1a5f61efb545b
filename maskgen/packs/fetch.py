"""Fetch one of InsightFace's packs: what it is, then the pack, whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final, Literal

from maskgen import files
from maskgen.errors import ModelError
from maskgen.packs import web
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
RELEASE: Final = "https://github.com/deepinsight/insightface/releases/download/model-zoo"
"""Where InsightFace has the zip files."""
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


@dataclass(frozen=True)
class Offer:
    """A pack that can be fetched.

    Attributes
    ----------
    name : str
        What it is called.
    remote : web.Remote
        Its zip file.
    sha256 : str or None
        The hash that the zip file must have, as in `KNOWN`.
    held : int
        Bytes of it that a former fetch has brought already.
    """

    name: str
    remote: web.Remote
    sha256: str | None
    held: int


def download(name: str) -> Fetched:
    """A pack that is there already, or is fetched; raises as `at_hand`, `offer` and `take`."""
    return at_hand(name) or take(offer(name))


def at_hand(name: str) -> Fetched | None:
    """A pack that lies on the disk; None if there is none. No network is used.

    Raises
    ------
    ModelError
        If it is not what it was when it was fetched, or another folder is in its place.
    """
    folder = INSTALLED.expanduser() / name
    if not _is_filled(folder):
        return None
    with files.locked(folder.parent / files.LOCK_FILE):
        return _there(name, folder)


def _is_filled(folder: Path) -> bool:
    return folder.is_dir() and any(folder.iterdir())


def _there(name: str, folder: Path) -> Fetched:
    _lift_nested(folder)
    if not any(folder.glob("*.onnx")):
        raise ModelError(f"{folder}: holds no .onnx files", "delete the folder and fetch again")
    return _compared(name, folder, folder, None)


def offer(name: str) -> Offer:
    """What would be fetched: asked of the server, before anything is brought.

    Raises
    ------
    ModelError
        If the server cannot be reached or does not have it, or the disk has no room for it.
    """
    models = INSTALLED.expanduser()
    remote = web.look(f"{RELEASE}/{name}.zip")
    held = web.held(remote, _part(models, name))
    # What comes out of the zip file is at least as large.
    needed = 2 * (remote.size or 0) - held
    free = shutil.disk_usage(next(folder for folder in (models, *models.parents) if folder.is_dir())).free
    if free < needed:
        raise ModelError(f"{models}: {free:,} bytes are free, and model pack {name} needs {needed:,}", "make room")
    return Offer(name, remote, KNOWN[name], held)


def take(offered: Offer, on_progress: Callable[[int], None] = lambda done: None) -> Fetched:
    """Fetch a pack, which appears whole and only if its hash is the expected one; an interrupted download goes on.

    Parameters
    ----------
    on_progress : callable
        Is told how many bytes of the zip file are there.

    Raises
    ------
    ModelError
        If it cannot be downloaded or unpacked, or is not what it was, or what `KNOWN` says that it is.
    """
    models = INSTALLED.expanduser()
    folder = models / offered.name
    with files.locked(models / files.LOCK_FILE):
        for leftover in models.glob(f"{_PREFIX}*"):  # of a process that was killed
            shutil.rmtree(leftover, ignore_errors=True)
        if _is_filled(folder):  # another process has fetched it meanwhile
            return _there(offered.name, folder)
        part = _part(models, offered.name)
        web.download(offered.remote, part, on_progress)
        with tempfile.TemporaryDirectory(prefix=_PREFIX, dir=models) as work:
            return _unpacked(offered, part, folder, Path(work) / offered.name)


def _part(models: Path, name: str) -> Path:
    """Where a zip file grows; `installed_packs` passes over it."""
    return models / f".maskgen-part-{name}.zip"


def _unpacked(offered: Offer, part: Path, folder: Path, unpacked: Path) -> Fetched:
    name = offered.name
    try:
        zip_sha256 = _sha256(part)
        if offered.sha256 not in (None, zip_sha256):
            raise ModelError(
                f"model pack {name}: the download has the SHA-256 {zip_sha256}, expected {offered.sha256}; it was "
                "deleted",
                "fetch again; if it stays so, InsightFace has released other files, and a newer maskgen may know them",
            )
        _unpack(part, unpacked)
        if not any(unpacked.glob("*.onnx")):
            raise ModelError(f"model pack {name}: no .onnx files in the download; it was deleted", "try again later")
        fetched = _compared(name, unpacked, folder, zip_sha256 if offered.sha256 is not None else None)
        if folder.is_dir():
            folder.rmdir()  # empty
        unpacked.rename(folder)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ModelError(
                f"{folder.parent}: cannot be written to: {error.strerror}",
                "make room and fetch again: the download is kept",
            ) from error
        web.discard(part)
        raise _no_pack(name, error) from error
    except (RuntimeError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        web.discard(part)
        raise _no_pack(name, error) from error
    except ModelError:
        web.discard(part)
        raise
    web.discard(part)
    return fetched


def _no_pack(name: str, error: Exception) -> ModelError:
    said = " ".join(str(error).split())
    return ModelError(
        f"model pack {name}: the download cannot be unpacked ({type(error).__name__}: {said}); it was deleted",
        "fetch again later",
    )


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
