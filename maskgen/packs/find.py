"""Where a model pack lies, and the hash of what is in it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

from maskgen.errors import ModelError

BUNDLED: Final = "bundled"
INSTALLED: Final = Path("~/.insightface/models")
"""Where InsightFace keeps its packs."""
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


def installed_packs() -> list[tuple[str, Path, bool]]:
    """(name, folder, whether it holds ONNX files) of the bundled pack and of those in ~/.insightface/models."""
    folder = INSTALLED.expanduser()
    others = sorted(path for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    packs = [(BUNDLED, pack_dir(BUNDLED)), *((path.name, path) for path in others)]
    return [(name, path, any(path.glob("*.onnx"))) for name, path in packs]
