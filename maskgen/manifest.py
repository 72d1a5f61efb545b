"""What became of every input: ``manifest.jsonl``, one row an input, and ``run.json``, how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Annotated, BinaryIO, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, field_validator

from maskgen import images
from maskgen.errors import ConfigError
from maskgen.masking.wear import Wear

SCHEMA_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.jsonl"
RUN_FILE: Final = "run.json"

Status = Literal["done", "skipped", "failed"]
Point = tuple[float, ...]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class PoseRow(_Strict):
    """Head rotation, degrees: +yaw turns the nose to image right, +pitch looks up, +roll is clockwise on screen."""

    yaw: float
    pitch: float
    roll: float


class FaceRow(_Strict):
    """A face that was found.

    Attributes
    ----------
    bbox : tuple of 4 floats
        x1, y1, x2, y2 in the upright picture, pixels.
    score : float
        The detector's confidence, 0 to 1.
    pose : PoseRow
        Head rotation.
    keypoints : tuple of 5 points
        Eye centres, nose tip, mouth corners, image left first, pixels: what aligns the picture and its masked copies.
    landmarks : tuple of points or None
        If asked for: 68 or 106 points (x, y) or (x, y, depth), pixels.
    """

    bbox: tuple[float, float, float, float]
    score: float
    pose: PoseRow
    keypoints: tuple[Point, Point, Point, Point, Point]
    landmarks: tuple[Point, ...] | None = None


class RecolorRow(_Strict):
    """The colour that a mask was given: its hue turned, its saturation and brightness times these, its RGB tinted."""

    hue_deg: float
    saturation: float
    brightness: float
    tint: tuple[float, float, float]


class MaskRow(_Strict):
    """What one face wears in one variant: a design and its view, or the reason why nothing.

    Attributes
    ----------
    wear : str or None
        How: ``correct``, ``nose_out``, ``chin_out`` or ``under_chin``.
    recolor : RecolorRow or None
        If its colour was changed (``--recolor``).
    pattern : str or None
        The file of the pattern laid on it, if one was (``--pattern-dir``).
    """

    design: str | None = None
    view: str | None = None
    reason: str | None = None
    wear: Wear | None = None
    recolor: RecolorRow | None = None
    pattern: str | None = None


class VariantRow(_Strict):
    """One masked picture.

    Attributes
    ----------
    file : str or None
        Relative to the manifest, with forward slashes; None if nobody wears a mask.
    seed : str
        32 hexadecimal digits: ``numpy.random.SeedSequence(int(seed, 16))`` is where its random numbers come from.
    masks : tuple of MaskRow
        One for each of the row's faces, in their order.
    """

    file: str | None
    seed: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    masks: tuple[MaskRow, ...]

    @field_validator("file")
    @classmethod
    def _inside(cls, file: str | None) -> str | None:
        return file if file is None else inside(file)


class Row(_Strict):
    """What became of one input.

    One row holds all variants of an input, so that rows and inputs can be counted against each other whatever
    ``--variants`` says, and what is known of a face stands there once.

    Attributes
    ----------
    path : str
        The input, relative to the source, with forward slashes.
    status : {"done", "skipped", "failed"}
        Done if at least one masked picture was written.
    reason : str or None
        Why not done, in one word. Skipped: ``no_face``, ``no_view_for_pose``, ``too_small``, ``not_an_image``,
        ``folder_loop``. Failed: ``bad_image``, ``name_clash``, ``bad_name``, ``unreadable_folder``, ``unexpected``,
        ``crashed``.
    message : str or None
        What failed, and what to do.
    size_wh : tuple of 2 ints or None
        Of the upright picture, pixels.
    notes : tuple of str
        What decoding had to change: see `maskgen.images.Picture`.
    faces : tuple of FaceRow
        Largest first.
    variants : tuple of VariantRow
        The masked pictures.
    original : str or None
        Where the untouched original was copied to, relative to the manifest.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    path: str
    status: Status
    reason: str | None = None
    message: str | None = None
    size_wh: tuple[int, int] | None = None
    notes: tuple[str, ...] = ()
    faces: tuple[FaceRow, ...] = ()
    variants: tuple[VariantRow, ...] = ()
    original: str | None = None

    @field_validator("original")
    @classmethod
    def _inside(cls, file: str | None) -> str | None:
        return file if file is None else inside(file)

    @property
    def files(self) -> tuple[str, ...]:
        """All that was written for this input, relative to the manifest."""
        masked = tuple(variant.file for variant in self.variants if variant.file is not None)
        return masked if self.original is None else (self.original, *masked)


class Counts(_Strict):
    """A manifest in numbers.

    Attributes
    ----------
    inputs : int
        Rows: done, skipped and failed together.
    reasons : dict
        Reason -> how many were skipped or failed for it.
    faces, masked : int
        Faces found; masks put on, all variants together.
    files : int
        Pictures written, copies included.
    """

    inputs: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    faces: int = 0
    masked: int = 0
    files: int = 0


class RunFile(_Strict):
    """``run.json``.

    Attributes
    ----------
    maskgen : str
        Version that made the pictures.
    state : {"running", "limited", "complete"}
        Whether every input has its row; ``limited`` if ``--limit`` left some for later.
    source : str
        The input folder.
    settings : dict
        All that decides about the bytes written.
    pack_sha256, catalog_sha256 : str
        Of the model pack and the mask catalog.
    patterns_sha256 : str or None
        Of the pictures in the folder of patterns, if there is one.
    versions : dict
        Of the libraries, for the record.
    counts : Counts or None
        Once nothing runs any more.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    maskgen: str
    state: Literal["running", "limited", "complete"]
    source: str
    settings: dict[str, JsonValue]
    pack_sha256: str
    catalog_sha256: str
    patterns_sha256: str | None = None
    versions: dict[str, str]
    counts: Counts | None = None


class Writer:
    """Appends rows, each of them whole in the file before the next is taken.

    Parameters
    ----------
    path : Path
        ``manifest.jsonl``; a torn last line, which a killed run leaves, is cut off first.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: BinaryIO | None = None

    def __enter__(self) -> Writer:
        _cut_torn_line(self._path)
        self._file = self._path.open("ab")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        assert self._file is not None
        self._file.close()

    def append(self, row: Row) -> None:
        """Add a row; it supersedes an earlier one of the same path."""
        assert self._file is not None
        self._file.write(_line_of(row))
        self._file.flush()


def read(path: Path) -> Iterator[Row]:
    """The rows of a manifest, one after the other.

    While a run goes on, or after it was killed, a path may come twice: the later row holds.

    Parameters
    ----------
    path : Path
        ``manifest.jsonl``.

    Raises
    ------
    ConfigError
        If the file is missing, or a line is not a row; names the line. A last line without its newline was being
        written when the run was killed, and is passed over.
    """
    for _, row in _read_with_offsets(path):
        yield row


def sort(path: Path) -> Counts:
    """Put a manifest in the order of its paths, the latest row of each, and count.

    Only paths and positions are kept in memory.

    Raises
    ------
    ConfigError
        As `read`.
    """
    offsets = {row.path: offset for offset, row in _read_with_offsets(path)}
    tally = _Tally()
    temporary = path.with_name(images.temporary_name())
    try:
        with path.open("rb") as unsorted, temporary.open("wb") as result:
            for name in sorted(offsets):
                unsorted.seek(offsets[name])
                line = unsorted.readline()
                tally.add(Row.model_validate_json(line))
                result.write(line)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return tally.counts()


def read_run(path: Path) -> RunFile:
    """``run.json``.

    Raises
    ------
    ConfigError
        If it is not one that this version of maskgen understands.
    """
    try:
        return RunFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ConfigError(f"{path}: {_first_fault(error)}; was it written by another version of maskgen?") from error


def write_run(path: Path, run: RunFile) -> None:
    """Write ``run.json``, whole."""
    images.write_whole(path, (json.dumps(run.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode())


def inside(file: str) -> str:
    """A relative path that stays in its folder, as it is.

    Raises
    ------
    ValueError
        If it does not: maskgen deletes the files a manifest names when it starts anew.
    """
    path = PurePosixPath(file)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        raise ValueError(f"{file!r} does not lie in the manifest's folder")
    return file


class _Tally:
    def __init__(self) -> None:
        self._numbers = dict.fromkeys(("inputs", "done", "skipped", "failed", "faces", "masked", "files"), 0)
        self._reasons: dict[str, int] = {}

    def add(self, row: Row) -> None:
        numbers = self._numbers
        numbers["inputs"] += 1
        numbers[row.status] += 1
        numbers["faces"] += len(row.faces)
        numbers["masked"] += sum(mask.design is not None for variant in row.variants for mask in variant.masks)
        numbers["files"] += len(row.files)
        if row.reason is not None:
            self._reasons[row.reason] = self._reasons.get(row.reason, 0) + 1

    def counts(self) -> Counts:
        return Counts.model_validate({**self._numbers, "reasons": dict(sorted(self._reasons.items()))})


def _read_with_offsets(path: Path) -> Iterator[tuple[int, Row]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise ConfigError(f"{path}: cannot read the manifest: {error.strerror}") from error
    with file:
        offset = 0
        for number, line in enumerate(file, start=1):
            if not line.endswith(b"\n"):
                return
            try:
                row = Row.model_validate_json(line)
            except ValidationError as error:
                raise ConfigError(f"{path}, line {number}: not a row of a manifest: {_first_fault(error)}") from error
            yield offset, row
            offset += len(line)


def _line_of(row: Row) -> bytes:
    return row.model_dump_json().encode() + b"\n"


def _cut_torn_line(path: Path) -> None:
    if not path.exists():
        return
    with path.open("r+b") as file:
        size = end = file.seek(0, 2)
        while end > 0:
            start = max(end - 4096, 0)
            file.seek(start)
            newline = file.read(end - start).rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        if end < size:
            file.truncate(end)


def _first_fault(error: ValidationError) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    return f"{where}: {first['msg']}" if where else first["msg"]
