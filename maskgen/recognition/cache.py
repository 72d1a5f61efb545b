"""The cache of observed faces: a folder that many processes read and append to, so that no loader runs a network.

``cache.json`` says what all of it was observed with. Each process that adds to it has a part of its own, a folder with
three files that only grow: ``rows`` has a record of fixed size per picture, ``faces`` one per face, ``maps`` the rest,
compressed. A row is written after all that it names, so what a killed process leaves is whole up to its last row. Files
are mapped into memory. Of several rows with one key the last one counts.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from maskgen import files
from maskgen.arrays import BoolArray, IntArray
from maskgen.errors import ConfigError
from maskgen.masking import packed
from maskgen.recognition.seen import FACE, REASONS, ROW, Encoded, Reason, Seen, decoded, digest, number_of
from maskgen.schema import Strict, first_fault

INFO_FILE: Final = "cache.json"
PART: Final = "part-"
_FILES: Final = "rows", "faces", "maps"


class CacheInfo(Strict):
    """What a cache was observed with."""

    schema_version: Literal[1] = 1
    observed_version: int = packed.VERSION
    pack_sha256: str
    aligned: bool


@dataclass(frozen=True)
class _Part:
    """The files of a part, mapped; as far as its rows were whole when it was opened."""

    path: Path
    rows: npt.NDArray[Any]
    faces: npt.NDArray[Any]
    maps: npt.NDArray[np.uint8]


class FaceCache:
    """Observed faces by key, as they were when it was opened.

    Parameters
    ----------
    path : Path
        A folder that ``maskgen faces``, ``train`` or ``eval`` made.

    Raises
    ------
    ConfigError
        If it is no such folder, or was made by another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.info = _info_of(self.path)
        parts = sorted(folder for folder in self.path.glob(f"{PART}*") if folder.is_dir())
        self._parts = [part for folder in parts if (part := _opened(folder)) is not None]
        sizes = [len(part.rows) for part in self._parts]
        self._starts: IntArray = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
        keys = np.concatenate([np.zeros(0, "S16"), *(part.rows["key"] for part in self._parts)])
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        # Of rows with one key the last.
        is_last = np.append(ordered[1:] != ordered[:-1], True)[: len(ordered)]
        self._keys, self._rows = ordered[is_last], order[is_last]

    def __len__(self) -> int:
        return len(self._keys)

    def __reduce__(self) -> tuple[type[FaceCache], tuple[Path]]:
        return FaceCache, (self.path,)

    def __contains__(self, key: str) -> bool:
        return bool(self.find([key])[0] >= 0)

    def find(self, keys: Sequence[str]) -> IntArray:
        """(N,) which rows belong to some keys; -1 where there is none."""
        wanted = np.array([digest(key) for key in keys], "S16")
        if not len(self._keys) or not len(wanted):
            return np.full(len(wanted), -1, np.intp)
        places = np.minimum(np.searchsorted(self._keys, wanted), len(self._keys) - 1)
        return np.where(self._keys[places] == wanted, self._rows[places], -1)

    def column(self, name: str, rows: IntArray) -> npt.NDArray[Any]:
        """(N, ...) a field of rows that `find` gave."""
        whole = np.concatenate([np.zeros(0, ROW)[name], *(part.rows[name] for part in self._parts)])
        values: npt.NDArray[Any] = whole[rows]
        return values

    def reasons(self, keys: Sequence[str]) -> list[Reason | None]:
        """Why there is no face, of each of some keys that are there."""
        return [REASONS[code - 1] if code else None for code in self.column("reason", self.find(keys)).tolist()]

    def count(self, keys: Sequence[str]) -> int:
        """How many faces are on the pictures of some keys that are there."""
        return int(self.column("faces", self.find(keys)).sum())

    def is_fresh(
        self,
        keys: Sequence[str],
        containers: Callable[[int], str | None],
        pictures: Callable[[int], str | None],
        observed: bool,
    ) -> BoolArray:
        """(N,) whether what is known of each of some keys still holds.

        Parameters
        ----------
        keys : sequence of str
            Of pictures.
        containers, pictures : callable
            Give the stamps that the picture of a number has now. Its own is asked for only where that of its container
            differs, or there is none.
        observed : bool
            Whether more must be known than where faces lie.
        """
        rows = self.find(keys)
        fresh: BoolArray = rows >= 0
        there = np.flatnonzero(fresh)
        if observed:
            is_enough = self.column("is_observed", rows[there]) | self.column("reason", rows[there])
            fresh[there] = is_enough > 0
        kept = self.column("stamp", rows[there]).tolist()
        kept_of_containers = self.column("container", rows[there]).tolist()
        for number, stamp, container in zip(there.tolist(), kept, kept_of_containers, strict=True):
            if container and number_of(containers(number)) == container:
                continue
            now = number_of(pictures(number))
            fresh[number] &= bool(now) and now == stamp
        return fresh

    def get(self, key: str) -> Seen | None:
        """What was seen on the picture of a key; None if nobody looked.

        Raises
        ------
        ConfigError
            If what is written there is damaged.
        """
        return self.at(int(self.find([key])[0]))

    def at(self, row: int) -> Seen | None:
        """The same for a row that `find` gave."""
        if row < 0:
            return None
        number = int(np.searchsorted(self._starts, row, side="right")) - 1
        part = self._parts[number]
        record = part.rows[row - self._starts[number]]
        first, at = int(record["first_face"]), int(record["maps_at"])
        faces = part.faces[first : first + int(record["faces"])]
        maps = part.maps[at : at + int(record["maps_size"])].tobytes()
        seen = decoded(record, faces, maps, self.info.aligned)
        if seen is None:
            raise ConfigError(f"{part.path}: damaged", "delete this folder, then search for faces again")
        return seen

    def __iter__(self) -> Iterator[str]:
        """All keys, in no order that means anything."""
        for row in self._rows.tolist():
            number = int(np.searchsorted(self._starts, row, side="right")) - 1
            record = self._parts[number].rows[row - self._starts[number]]
            at = int(record["maps_at"])
            text = self._parts[number].maps[at : at + int(record["text_size"])].tobytes()
            yield text.decode("utf-8", "surrogatepass")


class CacheWriter:
    """Adds to a cache, in a part of its own, which is made with the first picture.

    Parameters
    ----------
    path : Path
        The cache's folder.
    """

    def __init__(self, path: Path) -> None:
        # The time first: of two parts the later one comes last.
        self._folder = path / f"{PART}{time.time_ns():020d}-{uuid.uuid4().hex}"
        self._files: tuple[BinaryIO, ...] = ()
        self._faces = self._size = 0

    def __enter__(self) -> CacheWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        for file in self._files:
            file.close()

    def append(self, pictures: Sequence[Encoded]) -> None:
        """Add what was seen on some pictures.

        Raises
        ------
        MaskgenError
            If it cannot be written.
        """
        if not pictures:
            return
        with files.named_faults(self._folder):
            if not self._files:
                files.make_folder(self._folder)
                self._files = tuple((self._folder / name).open("ab", buffering=0) for name in _FILES)
            rows, faces, maps = self._files
            located = []
            for picture in pictures:
                row = picture.row.copy()
                row["first_face"], row["maps_at"] = self._faces, self._size
                located.append(row)
                self._faces += len(picture.faces)
                self._size += len(picture.maps)
            # Rows last: whoever sees one finds what it names.
            _write(maps, b"".join(picture.maps for picture in pictures))
            _write(faces, b"".join(picture.faces.tobytes() for picture in pictures))
            _write(rows, b"".join(row.tobytes() for row in located))


def prepared(path: Path, info: CacheInfo) -> None:
    """Make a cache, or make sure that the one at a path was observed with the same.

    Raises
    ------
    ConfigError
        If it was not, or something else lies there.
    MaskgenError
        If nothing can be written there.
    """
    if not (path / INFO_FILE).exists():
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise ConfigError(f"{path}: holds something else, no observed faces", "name a new folder for {faces}")
        with files.named_faults(path):
            files.write_new(path / INFO_FILE, info.model_dump_json().encode() + b"\n", lambda stamp: None)
    found = _info_of(path)
    if found != info:
        what = "aligned crops" if found.aligned else "photographs"
        differs = f"holds faces of {what}" if found.aligned != info.aligned else "was made with another model pack"
        raise ConfigError(f"{path}: {differs}", "name another folder for {faces}")


def _info_of(path: Path) -> CacheInfo:
    file = path / INFO_FILE
    try:
        info = CacheInfo.model_validate_json(files.read_regular(file, 10_000))
    except FileNotFoundError as error:
        raise ConfigError(f"{path}: no cache of observed faces", "make one with 'maskgen faces'") from error
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(f"{file}: {first_fault(error)}", "name a new folder for {faces}") from error
    if info.observed_version != packed.VERSION:
        raise ConfigError(f"{path}: made by another version of maskgen", "name a new folder for {faces}")
    return info


def _opened(folder: Path) -> _Part | None:
    """A part; None if nothing whole is in it."""
    try:
        # Rows first: what they name was written before them.
        whole = (folder / "rows").stat().st_size // ROW.itemsize
        if not whole:
            return None
        rows = np.memmap(folder / "rows", ROW, "r", shape=(whole,)).view(np.ndarray)
        count = (folder / "faces").stat().st_size // FACE.itemsize
        faces = _mapped(folder / "faces", FACE, count)
        maps = _mapped(folder / "maps", np.dtype(np.uint8), (folder / "maps").stat().st_size)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be read: {error.strerror}", "delete this folder") from error
    # After a power cut files may be shorter than rows say.
    is_there = (rows["first_face"] + rows["faces"] <= count) & (rows["maps_at"] + rows["maps_size"] <= len(maps))
    return _Part(folder, rows if is_there.all() else rows[is_there], faces, maps)


def _mapped(path: Path, dtype: np.dtype[Any], count: int) -> npt.NDArray[Any]:
    if not count:
        return np.zeros(0, dtype)
    return np.memmap(path, dtype, "r", shape=(count,)).view(np.ndarray)


def _write(file: BinaryIO, data: bytes) -> None:
    view = memoryview(data)
    while len(view):
        view = view[file.write(view) :]
