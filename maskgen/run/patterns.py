"""A folder of pictures to lay on masks."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import cv2

from maskgen import images
from maskgen.datasets.base import Entry
from maskgen.datasets.folder import FolderReader
from maskgen.errors import ConfigError, ImageError
from maskgen.masking.recipe import Patterns

# Longer sides are brought down to this, pixels: no mask shows more.
_SIZE: Final = 512


def load(folder: Path) -> Patterns:
    """The pictures of a folder, not of the folders in it.

    Raises
    ------
    ConfigError
        If the folder is missing or holds no picture, or a picture cannot be read.
    """
    names = _names(folder)
    pictures = []
    for name in names:
        try:
            pixels = images.read(folder / name).pixels
        except ImageError as error:
            raise ConfigError(error.fault, "take it out of the folder of patterns") from error
        scale = min(_SIZE / max(pixels.shape[:2]), 1.0)
        size_wh = (max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1))
        pictures.append(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_AREA))
    return Patterns(names, tuple(pictures))


def sha256(folder: Path) -> str:
    """A hash of the names and the bytes of a folder's patterns.

    Raises
    ------
    ConfigError
        If the folder is missing or holds no picture.
    """
    digest = hashlib.sha256()
    for name in _names(folder):
        digest.update(f"{name}\0".encode() + hashlib.sha256(images.read_bytes(folder / name)).digest())
    return digest.hexdigest()


def _names(folder: Path) -> tuple[str, ...]:
    if not folder.is_dir():
        raise ConfigError(f"{folder}: not a folder", "the patterns must be pictures in one folder")
    listed = FolderReader(folder, is_deep=False).listed
    names = tuple(found.key for found in listed if isinstance(found, Entry) and not found.key.startswith("."))
    if not names:
        raise ConfigError(f"{folder}: no picture in it", "put JPEG, PNG, WebP, BMP or TIFF files there")
    return names
