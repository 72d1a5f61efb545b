"""Landmarks of a data set: taken from its manifest, else looked for once a picture and kept in a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import cv2
import joblib
from pydantic import BaseModel, ConfigDict, ValidationError

from maskgen.arrays import Float32Array, Image
from maskgen.datasets.people import Dataset, Item, face_of_row
from maskgen.errors import ConfigError, ImageError
from maskgen.face import Face
from maskgen.manifest import FaceRow, PoseRow
from maskgen.masking.augment import Detector

Reason = Literal["no_face", "bad_image"]


class FoundRow(BaseModel):
    """What was found on one picture: its largest face, or the reason why none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    schema_version: Literal[1] = 1
    name: str
    face: FaceRow | None = None
    reason: Reason | None = None


@dataclass(frozen=True)
class DetectorSpec:
    """What makes a detector, so that worker processes can make their own."""

    model: str = "bundled"
    aligned: bool = False

    def build(self) -> Detector:
        """A detector.

        Raises
        ------
        ModelError
            If the pack is missing or unusable.
        """
        from maskgen.detect import FaceDetector

        return FaceDetector(self.model, aligned=self.aligned)

    def sha256(self) -> str:
        """The hash of the pack's files; raises ModelError if it is missing."""
        from maskgen.detect import pack_dir, pack_sha256

        return pack_sha256(pack_dir(self.model))


def of_dataset(
    dataset: Dataset,
    cache: Path,
    spec: DetectorSpec,
    workers: int = 1,
    items: Iterable[Item] | None = None,
    on_progress: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, Face | Reason]:
    """The largest face of every item by name, or why there is none.

    Parameters
    ----------
    dataset : Dataset
        Items that know their face are not looked at.
    cache : Path
        Folder; the file in it is named after the detector, and goes on growing if the search is stopped.
    spec : DetectorSpec
        The detector, asked only for what neither the data set nor the file knows.
    workers : int
        Processes, if many pictures are to be searched.
    items : iterable of Item, optional
        Which; all by default.
    on_progress : callable
        Gets the number of pictures searched, and of all that have to be.

    Raises
    ------
    ConfigError
        If the file is damaged.
    ModelError
        If a detector is needed and there is none.
    """
    wanted = dataset.items if items is None else tuple(items)
    known: dict[str, Face | Reason] = {item.name: item.face for item in wanted if item.face is not None}
    unknown = [item for item in wanted if item.name not in known]
    if not unknown:
        return known
    path = cache / f"faces-{spec.sha256()[:8]}{'-aligned' * spec.aligned}.jsonl"
    names = {item.name for item in unknown}
    known |= {row.name: _face_or_reason(row) for row in _read(path) if row.name in names}
    unknown = [item for item in unknown if item.name not in known]
    if not unknown:
        return known
    cache.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        for number, row in enumerate(_search(dataset, spec, unknown, workers), start=1):
            file.write(row.model_dump_json() + "\n")
            known[row.name] = _face_or_reason(row)
            on_progress(number, len(unknown))
    return known


def _search(dataset: Dataset, spec: DetectorSpec, items: list[Item], workers: int) -> Iterator[FoundRow]:
    if workers == 1:
        for item in items:
            yield _look(dataset.read, spec, item.name, item.original)
        return
    with joblib.parallel_config("loky", n_jobs=min(workers, len(items)), inner_max_num_threads=1):
        parallel = joblib.Parallel(return_as="generator_unordered")
    yield from parallel(joblib.delayed(_look)(dataset.read, spec, item.name, item.original) for item in items)


@lru_cache(maxsize=1)
def _detector(spec: DetectorSpec) -> Detector:
    cv2.setNumThreads(1)
    return spec.build()


def _look(read: Callable[[str], Image], spec: DetectorSpec, name: str, key: str) -> FoundRow:
    try:
        found = _detector(spec).detect(read(key))
    except ImageError:
        return FoundRow(name=name, reason="bad_image")
    return FoundRow(name=name, face=row_of_face(found[0])) if found else FoundRow(name=name, reason="no_face")


def row_of_face(face: Face) -> FaceRow:
    """A face as a manifest has it, with landmarks."""
    x1, y1, x2, y2 = (round(float(value), 2) for value in face.bbox)
    eye, other_eye, nose, mouth, other_mouth = (_rounded(point) for point in face.keypoints)
    return FaceRow(
        bbox=(x1, y1, x2, y2),
        score=round(float(face.score), 4),
        pose=PoseRow(yaw=face.pose.yaw, pitch=face.pose.pitch, roll=face.pose.roll),
        keypoints=(eye, other_eye, nose, mouth, other_mouth),
        landmarks=tuple(_rounded(point) for point in face.landmarks),
    )


def _rounded(point: Float32Array) -> tuple[float, ...]:
    return tuple(round(float(value), 2) for value in point)


def _read(path: Path) -> Iterator[FoundRow]:
    if not path.is_file():
        return
    with path.open("r+b") as file:
        whole = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            try:
                yield FoundRow.model_validate_json(line)
            except ValidationError as error:
                raise ConfigError(
                    f"{path}, line {number}: not a row of found faces; delete the file to search again"
                ) from error
    # A killed search leaves a torn last line.
    with path.open("r+b") as file:
        file.truncate(whole)


def _face_or_reason(row: FoundRow) -> Face | Reason:
    if row.face is None:
        return row.reason or "no_face"
    face = face_of_row(row.face)
    assert face is not None
    return face
