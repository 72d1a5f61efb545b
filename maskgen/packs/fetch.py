"""Fetch one of InsightFace's packs: the only code of maskgen that uses the network."""

from __future__ import annotations

import contextlib
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Final

from maskgen.errors import ModelError

KNOWN: Final = ("antelopev2", "buffalo_l", "buffalo_m", "buffalo_s", "buffalo_sc")
LICENCE: Final = (
    "InsightFace offers its model packs for non-commercial research purposes only; "
    "for other uses ask its authors (see the README of github.com/deepinsight/insightface). "
    "maskgen's own bundled pack has no such limit."
)


def download(name: str) -> Path:
    """Fetch a pack with InsightFace's own downloader.

    Raises
    ------
    ModelError
        If it cannot be downloaded or unpacked.
    """
    from insightface.utils.storage import ensure_available

    try:
        # InsightFace prints its progress; stdout is for answers only.
        with contextlib.redirect_stdout(sys.stderr):
            folder = Path(ensure_available("models", name))
        _lift_nested(folder)
    except (OSError, RuntimeError, ValueError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"model pack {name}: download failed ({type(error).__name__}: {reason})", "try again later"
        ) from error
    if not any(folder.glob("*.onnx")):
        raise ModelError(f"{folder}: no .onnx files after the download", "delete the folder and fetch again")
    return folder


def _lift_nested(folder: Path) -> None:
    # Some archives hold a folder of their own name, where InsightFace itself would not look.
    nested = folder / folder.name
    if nested.is_dir():
        for file in list(nested.iterdir()):
            shutil.move(file, folder / file.name)
        nested.rmdir()
