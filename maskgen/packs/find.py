"""Where a model pack lies, and the hash of what is in it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final, Literal, NamedTuple

from pydantic import ValidationError

from maskgen import files
from maskgen.errors import ModelError
from maskgen.schema import Strict, first_fault

BUNDLED: Final = "bundled"
INSTALLED: Final = Path("~/.insightface/models")
"""Where InsightFace keeps its packs."""
PARSING: Final = Path("parsing", "parsing.onnx")
"""Where a pack keeps the network that tells what lies in front of a face."""
MEAN_HEAD_KEY: Final = "mean_head"
"""ONNX metadata: ``maskgen`` says that the points lie on the head of `maskgen.face.head`."""


def pack_dir(model: str) -> Path:
    """The folder of a model pack.

    Parameters
    ----------
    model : str
        ``bundled``, a folder, or the name of a pack under ``~/.insightface/models``.

    Raises
    ------
    ModelError
        If there is no such folder; names the places looked at.
    """
    if model == BUNDLED:
        return Path(__file__).parent / "bundled"
    direct = Path(model).expanduser()
    if direct.is_dir():
        return direct.resolve()
    installed = INSTALLED.expanduser() / model
    if installed.is_dir():
        return installed
    raise ModelError(
        f"model pack {model!r}: neither {direct} nor {installed} is a folder",
        "'maskgen models fetch' downloads InsightFace's packs, {model=bundled} needs none",
    )


def pack_sha256(pack: Path) -> str:
    """A hash over the names and bytes of a pack's ONNX files.

    Raises
    ------
    ModelError
        If the folder holds none.
    """
    files = sorted(pack.glob("*.onnx"))
    if not files:
        raise ModelError(f"{pack}: no .onnx files", "a model pack holds det*.onnx and 1k3d68*.onnx or 2d106*.onnx")
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.name.encode() + b"\0" + hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def parsing_file(model: str) -> Path:
    """The network of a pack that tells what lies in front of a face; a pack without one borrows the bundled pack's.

    It lies in a folder of its own: InsightFace takes every ONNX file beside the detector for one of its own kinds.

    Raises
    ------
    ModelError
        If there is no such pack.
    """
    own = pack_dir(model) / PARSING
    return own if own.is_file() else pack_dir(BUNDLED) / PARSING


def model_sha256(model: str) -> str:
    """A hash over all that is used with a model pack: its own ONNX files, and those that it borrows.

    Raises
    ------
    ModelError
        If there is no such pack, or it holds no ONNX files.
    """
    digest = hashlib.sha256(pack_sha256(pack_dir(model)).encode())
    digest.update(hashlib.sha256(parsing_file(model).read_bytes()).digest())
    return digest.hexdigest()


class Lock(Strict):
    """What was fetched; a file beside the pack says it, and stays if the pack is deleted.

    Attributes
    ----------
    pack_sha256 : str
        As the function of this name.
    zip_sha256 : str or None
        Of the zip file, if it was the one that maskgen knows.
    """

    schema_version: Literal[1] = 1
    pack_sha256: str
    zip_sha256: str | None = None


def lock_of(pack: Path) -> Lock | None:
    """What is recorded of a fetched pack; None if nothing is.

    Raises
    ------
    ModelError
        If the file beside the pack cannot be read.
    """
    path = _lock_path(pack)
    try:
        return Lock.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ModelError(f"{path}: {first_fault(error)}", "delete the file and the pack, and fetch again") from error


def write_lock(pack: Path, lock: Lock) -> None:
    """Record what was fetched.

    Raises
    ------
    MaskgenError
        If nothing can be written there.
    """
    files.write_whole(_lock_path(pack), (json.dumps(lock.model_dump(mode="json"), indent=1) + "\n").encode())


def _lock_path(pack: Path) -> Path:
    return pack.with_name(f"{pack.name}.maskgen.json")


class Pack(NamedTuple):
    """A pack at hand: whether it holds ONNX files, and the hash of these when they were fetched, if it is recorded."""

    name: str
    path: Path
    is_complete: bool
    fetched_sha256: str | None


def installed_packs() -> list[Pack]:
    """The bundled pack and those in ~/.insightface/models.

    Raises
    ------
    ModelError
        If what is recorded of one cannot be read.
    """
    folder = INSTALLED.expanduser()
    found = (path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    others = sorted(found) if folder.is_dir() else []
    packs = [Pack(BUNDLED, pack_dir(BUNDLED), True, None)]
    for path in others:
        lock = lock_of(path)
        packs.append(Pack(path.name, path, any(path.glob("*.onnx")), lock.pack_sha256 if lock else None))
    return packs
