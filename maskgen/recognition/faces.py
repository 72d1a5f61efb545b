"""The faces of a dataset's people: taken from its manifest, else looked for once per picture and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import cv2
from pydantic import ValidationError

from maskgen import files, manifest
from maskgen.arrays import Image
from maskgen.datasets.people import Item, People
from maskgen.detect import Detector, DetectorSource
from maskgen.errors import ConfigError, ImageError, MaskgenError
from maskgen.face import Face
from maskgen.manifest import FaceRow
from maskgen.parallel import Crash, Executor, chunks_of
from maskgen.parallel.base import chunk_size
from maskgen.schema import Strict, first_fault

Reason = Literal["no_face", "bad_image", "crashed", "unexpected"]


class ObservedRow(Strict):
    """What was found on one picture: its largest face, or the reason why none, and what was said if it is a fault."""

    schema_version: Literal[1] = 1
    name: str
    face: FaceRow | None = None
    reason: Reason | None = None
    message: str | None = None


def faces_of(
    people: People,
    cache: Path,
    detectors: DetectorSource,
    executor: Executor,
    items: Iterable[Item] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
    on_fault: Callable[[str], None] = lambda message: None,
) -> dict[str, Face | Reason]:
    """The largest face of every item by name, or why there is none.

    Parameters
    ----------
    people : People
        Items that know their face are not looked at.
    cache : Path
        Folder; the file in it is named after the detector, and goes on growing if the search is stopped.
    detectors : DetectorSource
        Asked only for what neither the dataset nor the file knows.
    executor : Executor
        Where the work is done.
    items : iterable of Item, optional
        Which; all by default.
    on_progress : callable
        Gets the number of pictures searched, and of all that have to be.
    on_fault : callable
        Gets a sentence about a picture that cannot be searched; the others are searched all the same.

    Raises
    ------
    ConfigError
        If the file is damaged.
    ModelError
        If a detector is needed and there is none.
    """
    wanted = people.items if items is None else tuple(items)
    known: dict[str, Face | Reason] = {item.name: item.face for item in wanted if item.face is not None}
    unknown = [item for item in wanted if item.name not in known]
    if not unknown:
        return known
    path = cache / f"faces-{detectors.sha256()[:8]}{'-aligned' * people.is_aligned}.jsonl"
    names = {item.name for item in unknown}
    known |= {row.name: _face_or_reason(row) for row in _read(path) if row.name in names}
    unknown = [item for item in unknown if item.name not in known]
    if not unknown:
        return known
    cache.mkdir(parents=True, exist_ok=True)
    done = 0
    chunks = chunks_of(((item.name, item.original) for item in unknown), chunk_size(len(unknown), executor.workers))
    with files.Log(path) as log:
        for result in executor.run(partial(_look, _Search(people.read, detectors)), chunks):
            rows = [_crashed(result.item[0])] if isinstance(result, Crash) else result
            for row in rows:
                log.append(row.model_dump_json())
                if row.message is not None:
                    on_fault(row.message)
                known[row.name] = _face_or_reason(row)
                done += 1
                on_progress(done, len(unknown))
    return known


@dataclass(frozen=True)
class _Search:
    read: Callable[[str], Image]
    detectors: DetectorSource


@lru_cache(maxsize=1)
def _detector(search: _Search) -> Detector:
    cv2.setNumThreads(1)  # a worker has one core
    return search.detectors.build()


def _look(search: _Search, chunk: Sequence[tuple[str, str]]) -> list[ObservedRow]:
    """The rows of pictures (name, key); runs in a worker."""
    return [_row(search.read, _detector(search), name, key) for name, key in chunk]


def _crashed(name: str) -> ObservedRow:
    return ObservedRow(name=name, reason="crashed", message=f"{name}: ended the process that searched it for faces")


def _row(read: Callable[[str], Image], detector: Detector, name: str, key: str) -> ObservedRow:
    try:
        found = detector.detect(read(key))
    except ImageError as error:
        return ObservedRow(name=name, reason="bad_image", message=str(error))
    except MaskgenError:
        raise
    except Exception as error:
        # One picture must not end the search: its row tells.
        return ObservedRow(name=name, reason="unexpected", message=f"{name}: {type(error).__name__}: {error}")
    if not found:
        return ObservedRow(name=name, reason="no_face")
    return ObservedRow(name=name, face=manifest.face_row(found[0], with_landmarks=True))


def _read(path: Path) -> Iterable[ObservedRow]:
    if not path.is_file():
        return
    for number, (_, line) in enumerate(files.lines(path), start=1):
        try:
            yield ObservedRow.model_validate_json(line)
        except ValidationError as error:
            raise ConfigError(
                f"{path}, line {number}: not a row of observed faces: {first_fault(error)}",
                "delete the file to search again",
            ) from error


def _face_or_reason(row: ObservedRow) -> Face | Reason:
    if row.face is None:
        return row.reason or "no_face"
    face = manifest.face_of(row.face)
    assert face is not None
    return face
