"""Pictures for a page: what went into a run and what came out, small, as data URIs."""

from __future__ import annotations

import base64
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Final

import cv2
import numpy as np

from maskgen import images
from maskgen.arrays import Image
from maskgen.datasets.base import Entry, Reader, Writer
from maskgen.datasets.open import open_reader
from maskgen.errors import MaskgenError
from maskgen.face.align import ARCFACE_SIDE, aligned_crop
from maskgen.formats import OF_FILES, PILLOW_MAX_PIXELS
from maskgen.manifest import Row, RunFile

SIDE: Final = 320
"""Longer side of a picture on the page, pixels."""
_QUALITY: Final = 80


class Pictures:
    """Inputs and outputs of a run, by row.

    Parameters
    ----------
    record : RunFile
        Of the run.
    writer : Writer
        Of what it wrote.
    keys : collection of str
        Inputs that will be asked for: containers are searched once for all of them.
    """

    def __init__(self, record: RunFile, writer: Writer, keys: Collection[str]) -> None:
        self._writer = writer
        self._reader = _reader_of(record)
        self._entries: dict[str, Entry] = {}
        if self._reader is not None:
            is_files = (record.in_format or "folder") in OF_FILES
            self._entries = {key: Entry(key) for key in keys} if is_files else _found(self._reader, set(keys))

    def before(self, row: Row) -> str | None:
        """The input as its masked picture shows it; None if it is nowhere, or no picture."""
        if row.original is not None and row.original.place is not None:
            return self._written(row.original.place)
        entry = self._entries.get(row.key)
        if self._reader is None or entry is None:
            return None
        try:
            image = _decoded(self._reader.read(entry).raw, row.key)
        except (MaskgenError, OSError):
            return None
        if row.crop is not None:
            image = aligned_crop(image, np.array(row.crop.matrix, np.float32))
        return _uri(image)

    def after(self, row: Row) -> str | None:
        """The first masked picture of an input; None if there is none."""
        places = (variant.place for variant in row.variants if variant.place is not None)
        place = next(places, None)
        return None if place is None else self._written(place)

    def _written(self, place: str) -> str | None:
        try:
            return _uri(_decoded(self._writer.sample(place).raw, place))
        except (MaskgenError, OSError):
            return None


def _reader_of(record: RunFile) -> Reader | None:
    source = Path(record.source)
    if not source.exists():
        return None
    try:
        return open_reader(source, None, None, record.in_format or "folder")
    except (MaskgenError, OSError):
        return None


def _found(reader: Reader, wanted: set[str]) -> dict[str, Entry]:
    """The entries of some keys; what cannot be read on the way ends the search."""
    found = dict[str, Entry]()
    try:
        for chunk in reader.chunks(1024):
            found.update((one.key, one) for one in chunk if isinstance(one, Entry) and one.key in wanted)
            if len(found) == len(wanted):
                break
    except (MaskgenError, OSError):
        pass
    return found


def _decoded(raw: bytes, name: str) -> Image:
    return images.decode(raw, PurePosixPath(name), PILLOW_MAX_PIXELS, "keep").pixels


def _uri(image: Image) -> str:
    shrink = SIDE / max(image.shape[:2])
    if shrink < 1:
        image = cv2.resize(image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
    elif max(image.shape[:2]) <= ARCFACE_SIDE:
        image = cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    raw = images.encode(image, images.Encoding(), PurePosixPath("page.jpg"), _QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(raw).decode()}"
