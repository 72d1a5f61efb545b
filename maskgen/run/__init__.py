"""Many images: list them, plan what is left to do, work on them in parallel, record each, sum up.

listing = list_inputs(source, target)
plan = prepare(job)                       # what a former run of the same settings left to do
for outcome in _outcomes(task, plan):     # maskgen.parallel.local; pixels stay in them
    writer.append(outcome.row)
counts = manifest.sort(...)               # the same bytes, whoever finished first
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import hashlib
import importlib.metadata
import logging
import os
import traceback
import unicodedata
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Final, Literal, NamedTuple, Protocol

import joblib
import numpy as np
from pydantic import BaseModel, ConfigDict, Field, field_validator

import maskgen
from maskgen import images, manifest
from maskgen.arrays import Float32Array
from maskgen.catalog import Catalog
from maskgen.errors import ConfigError, ImageError, MaskgenError
from maskgen.face import Face
from maskgen.manifest import FaceRow, MaskRow, PoseRow, RecolorRow, Row, RunFile, VariantRow
from maskgen.masking import vary
from maskgen.masking.augment import Augmented, Detector, Faces, Image, MaskedFace, augment_image
from maskgen.masking.wear import CORRECT, WearShares, shares
from maskgen.parallel.local import Crash, unordered

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_LOG: Final = logging.getLogger(__name__)
# Settings that only say where something lies; the hash of what lies there is compared instead.
_PLACES: Final = frozenset({"model", "catalog", "pattern_dir"})
_LIBRARIES: Final = ("numpy", "scipy", "opencv-python", "pillow", "insightface", "onnxruntime", "onnxruntime-gpu")


class Settings(BaseModel):
    """All that decides about the bytes a run writes.

    Attributes
    ----------
    seed : int
        The same seed gives the same files, whatever the number of workers.
    model : str
        A model pack as `maskgen.detect.pack_dir` takes it.
    aligned : bool
        The inputs are 112x112 ArcFace crops: no detector runs.
    landmarks : {68, 106}
        Landmark scheme.
    device : {"cpu", "cuda"}
        Where the networks run.
    catalog : Path or None
        The catalog's folder; None for the one that ships with maskgen.
    kinds, tags, designs : tuple of str
        Which masks of the catalog to use, see `Catalog.select`.
    faces : {"largest", "all"}
        Who gets a mask.
    min_face : float
        Faces whose longer side is under this many pixels get none.
    wear : tuple of (str, float)
        Ways to wear a mask and their shares; a dict of weights is brought into this form.
    recolor : float
        Share of the masks whose colour is changed.
    pattern_dir : Path or None
        Folder of pictures to lay on masks.
    pattern_share : float
        Share of the masks that get one of them.
    variants : int
        Masked pictures an input.
    originals : bool
        Put a copy of the input beside its masked pictures.
    copy_skipped : bool
        Put a copy of the input where no mask could be put on.
    save_landmarks : bool
        Write landmarks to the manifest.
    quality : int or None
        Of JPEG and WebP; None keeps the source's own.
    max_pixels : int
        Larger pictures fail.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0)
    model: str = "bundled"
    aligned: bool = False
    landmarks: Literal[68, 106] = 68
    device: Literal["cpu", "cuda"] = "cpu"
    catalog: Path | None = None
    kinds: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    designs: tuple[str, ...] = ()
    faces: Faces = "largest"
    min_face: float = Field(default=0, ge=0, allow_inf_nan=False)
    wear: WearShares = CORRECT
    recolor: float = Field(default=0.0, ge=0, le=1)
    pattern_dir: Path | None = None
    pattern_share: float = Field(default=0.5, ge=0, le=1)
    variants: int = Field(default=1, ge=1)
    originals: bool = False
    copy_skipped: bool = False
    save_landmarks: bool = False
    quality: int | None = Field(default=None, ge=1, le=100)
    max_pixels: int = Field(default=images.MAX_PIXELS, ge=1, le=images.PILLOW_MAX_PIXELS)

    @field_validator("wear", mode="before")
    @classmethod
    def _shares(cls, value: object) -> object:
        return shares(dict(value)) if isinstance(value, (dict, tuple, list)) else value


@dataclass(frozen=True)
class Execution:
    """How a run proceeds; nothing here changes a byte of what it writes in the end.

    Attributes
    ----------
    workers : int or None
        Processes; None for one a core.
    limit : int or None
        Take only the first so many pictures, in the order of their paths.
    existing : {"auto", "resume", "overwrite"}
        What to do with an output folder that a former run made: go on if its settings were the same; insist that there
        is something to go on with; delete what the former run wrote and start anew.
    retry_failed : bool
        Take the inputs again that failed.
    """

    workers: int | None = None
    limit: int | None = None
    existing: Literal["auto", "resume", "overwrite"] = "auto"
    retry_failed: bool = False


class DetectorSource(Protocol):
    """Makes the detector of each worker process; it is pickled on its way there, and hashable."""

    def build(self, settings: Settings) -> Detector:
        """A detector."""
        ...

    def sha256(self, settings: Settings) -> str:
        """A hash of what decides about its results."""
        ...


@dataclass(frozen=True)
class PackDetectors:
    """Detectors from the model pack that the settings name."""

    def build(self, settings: Settings) -> Detector:
        """A detector.

        Raises
        ------
        ModelError
            If the pack or the device is missing or unusable.
        """
        # Imported late: insightface takes seconds, and only the workers need it.
        from maskgen.detect import FaceDetector

        return FaceDetector(
            settings.model, landmarks=settings.landmarks, aligned=settings.aligned, device=settings.device
        )

    def sha256(self, settings: Settings) -> str:
        """The hash of the pack's files.

        Raises
        ------
        ModelError
            If the pack is missing.
        """
        from maskgen.detect import pack_dir, pack_sha256

        return pack_sha256(pack_dir(settings.model))


@dataclass(frozen=True)
class Job:
    """A folder to mask.

    Attributes
    ----------
    source, target : Path
        Input folder, never written to, and output folder; neither may lie in the other.
    source_name : str or None
        What to call the source in ``run.json``; None for its path.
    detectors : DetectorSource
        Where detectors come from.
    """

    source: Path
    target: Path
    settings: Settings = field(default_factory=Settings)
    execution: Execution = field(default_factory=Execution)
    source_name: str | None = None
    detectors: DetectorSource = field(default_factory=PackDetectors)


class Unfit(NamedTuple):
    """An entry of the source that is settled without work: status, and why."""

    path: str
    status: Literal["skipped", "failed"]
    reason: str
    message: str | None = None


@dataclass(frozen=True)
class Listing:
    """What lies in a source, sorted: pictures by their endings, and all the rest."""

    pictures: list[str]
    unfit: list[Unfit]


@dataclass(frozen=True)
class Plan:
    """What a run would do.

    Attributes
    ----------
    record : RunFile
        To be written as ``run.json``.
    former : RunFile or None
        That of the former run in the same folder.
    pending : list of str
        Pictures to work on.
    unfit : list of Unfit
        Entries that get their row without work.
    settled : int
        Inputs whose rows stand from before.
    left : int
        Pictures that ``limit`` leaves for later.
    """

    record: RunFile
    former: RunFile | None
    pending: list[str]
    unfit: list[Unfit]
    settled: int
    left: int


@dataclass(frozen=True)
class Progress:
    """How far a run is: rows to come in all, and those this run has recorded."""

    total: int
    done: int = 0
    skipped: int = 0
    failed: int = 0

    @property
    def taken(self) -> int:
        """Rows recorded."""
        return self.done + self.skipped + self.failed

    def with_row(self, row: Row) -> Progress:
        """One row further."""
        return Progress(
            self.total,
            self.done + (row.status == "done"),
            self.skipped + (row.status == "skipped"),
            self.failed + (row.status == "failed"),
        )


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes
    ----------
    record : RunFile
        As written to ``run.json``; its counts are those of the whole manifest.
    progress : Progress
        The share of this run.
    left : int
        Pictures left for later.
    """

    record: RunFile
    progress: Progress
    left: int

    @property
    def counts(self) -> manifest.Counts:
        """The whole manifest in numbers."""
        assert self.record.counts is not None
        return self.record.counts


@dataclass(frozen=True)
class Task:
    """What a worker process needs to know once; the hashes make it another task if files have changed."""

    source: Path
    target: Path
    settings: Settings
    detectors: DetectorSource
    pack_sha256: str
    catalog_sha256: str
    patterns_sha256: str | None = None


@dataclass(frozen=True)
class Outcome:
    """A row, and the traceback if something unknown went wrong."""

    row: Row
    traceback: str | None = None


@dataclass(frozen=True)
class _Tools:
    detector: Detector
    catalog: Catalog


@dataclass(frozen=True)
class _Found:
    """A detector that has looked already: all variants of an input share one detection."""

    faces: list[Face] = field(repr=False)

    def detect(self, image: Image) -> list[Face]:
        return self.faces


def run(job: Job, on_progress: Callable[[Progress], None] = lambda _: None) -> Summary:
    """Mask a folder, or go on where a former run of the same settings stopped.

    Parameters
    ----------
    job : Job
        What to do.
    on_progress : callable
        Told after every row, in this process.

    Returns
    -------
    Summary
        Every input has its row in ``manifest.jsonl`` now.

    Raises
    ------
    ConfigError
        If the folders overlap, the output folder is another's, or its settings differ.
    ModelError, CatalogError
        If the model pack or the catalog cannot be used.
    MaskgenError
        If nothing can be written, or a worker process died. What is done is recorded; the same call goes on.
    KeyboardInterrupt
        Passed on once the workers have ended. What is done is recorded; the same call goes on.
    """
    job = _resolved(job)
    with _sole_writer(job.target):
        plan = prepare(job)
        _clear_the_way(job, plan)
        manifest.write_run(job.target / manifest.RUN_FILE, plan.record)
        progress = _work_and_record(job, plan, on_progress)
        counts = manifest.sort(job.target / manifest.MANIFEST_FILE)
        record = plan.record.model_copy(update={"state": "limited" if plan.left else "complete", "counts": counts})
        manifest.write_run(job.target / manifest.RUN_FILE, record)
    return Summary(record, progress, plan.left)


def prepare(job: Job) -> Plan:
    """What `run` would do; nothing is written.

    Raises
    ------
    ConfigError, ModelError, CatalogError
        As `run`.
    """
    job = _resolved(job)
    record = _record_of(job)
    listing = list_inputs(job.source, job.target)
    former = _former_run(job, record)
    settled = set() if former is None or job.execution.existing == "overwrite" else _settled(job)
    unfit = [*listing.unfit, *_clashes(job, listing.pictures, settled)]
    clashing = {entry.path for entry in unfit}
    open_pictures = [path for path in listing.pictures if path not in settled and path not in clashing]
    taken = set(listing.pictures[: job.execution.limit])
    plan = Plan(
        record,
        former,
        pending=[path for path in open_pictures if path in taken],
        unfit=[entry for entry in unfit if entry.path not in settled],
        settled=len(settled),
        left=sum(path not in taken for path in open_pictures),
    )
    _refuse_foreign_files(job, plan)
    return plan


def list_inputs(source: Path, target: Path) -> Listing:
    """All that lies in a folder and the folders in it, linked ones too.

    Raises
    ------
    ConfigError
        If a link leads to the output folder.
    """
    pictures, unfit = [], []
    for path, fault in _walk(source, target, "", ()):
        if fault is not None:
            unfit.append(fault)
        elif images.format_of(path) is None or path.rpartition("/")[2].startswith("._"):
            # "._name.jpg" is what macOS leaves on foreign disks beside name.jpg; it holds no picture.
            unfit.append(Unfit(path, "skipped", "not_an_image"))
        else:
            pictures.append(path)
    return Listing(sorted(pictures), sorted(unfit))


def outputs_of(path: str, settings: Settings) -> list[str]:
    """The masked pictures of an input, relative to the output folder.

    The input's own name if it is the only picture that comes of it; else ``name_m1.jpg``, ``name_m2.jpg``, ..., beside
    each other and beside the copy of the original, so that a folder per identity stays one.
    """
    if settings.variants == 1 and not settings.originals:
        return [path]
    stem, suffix = os.path.splitext(path)
    return [f"{stem}_m{number}{suffix}" for number in range(1, settings.variants + 1)]


def seed_of(seed: int, path: str, variant: int) -> int:
    """128 bits from which the random numbers of one masked picture come, and from nothing else.

    Parameters
    ----------
    seed : int
        Of the run.
    path : str
        The input, relative to the source, with forward slashes.
    variant : int
        From 1.
    """
    digest = hashlib.sha256(f"{seed}\0{path}\0{variant}".encode()).digest()
    return int.from_bytes(digest[:16], "big")


def augment_file(task: Task, detector: Detector, catalog: Catalog, path: str) -> Row:
    """Mask one file of a folder and write what comes of it.

    Raises
    ------
    ImageError
        If the file cannot be read, or a picture cannot be written under its name.
    MaskgenError
        If nothing at all can be written.
    """
    settings = task.settings
    raw = images.read_bytes(task.source / path)
    picture = images.decode(raw, task.source / path, settings.max_pixels)
    found = _Found(detector.detect(picture.pixels))
    variation = vary.variation_of(
        settings.wear, settings.recolor, settings.pattern_dir, settings.pattern_share, task.patterns_sha256
    )
    variants = []
    for number, file in enumerate(outputs_of(path, settings), start=1):
        seed = seed_of(settings.seed, path, number)
        rng = np.random.default_rng(np.random.SeedSequence(seed))
        augmented = augment_image(
            picture.pixels,
            found,
            catalog,
            rng,
            faces=settings.faces,
            min_face=settings.min_face,
            variation=variation,
        )
        if augmented.is_masked:
            encoded = images.encode(augmented.image, picture.encoding, task.target / file, settings.quality)
            _write(task, file, encoded)
        variants.append(_variant_row(seed, file, augmented))
    is_done = any(variant.file is not None for variant in variants)
    has_copy = settings.originals if is_done else settings.copy_skipped
    if has_copy:
        _write(task, path, raw)
    return Row(
        path=path,
        status="done" if is_done else "skipped",
        reason=None if is_done else augmented.reason,
        size_wh=(picture.pixels.shape[1], picture.pixels.shape[0]),
        notes=picture.notes,
        faces=tuple(_face_row(face, settings.save_landmarks) for face in found.faces),
        variants=tuple(variants),
        original=path if has_copy else None,
    )


def _resolved(job: Job) -> Job:
    source, target = job.source.resolve(), job.target.resolve()
    if not source.is_dir():
        raise ConfigError(f"{job.source}: not a folder; the input must be a folder of pictures")
    if target.exists() and not target.is_dir():
        raise ConfigError(f"{job.target}: not a folder; the output must be a new or empty folder")
    if source == target or target.is_relative_to(source) or source.is_relative_to(target):
        raise ConfigError(
            f"{job.target}: input and output folder lie in each other ({source}, {target}); "
            "the input is never written to, so choose an output folder beside it"
        )
    return Job(source, target, job.settings, job.execution, job.source_name or str(source), job.detectors)


def _record_of(job: Job) -> RunFile:
    settings = job.settings
    catalog = _catalog_of(settings)
    return RunFile(
        maskgen=maskgen.__version__,
        state="running",
        source=str(job.source_name),
        settings=settings.model_dump(mode="json"),
        pack_sha256=job.detectors.sha256(settings),
        catalog_sha256=catalog.sha256,
        patterns_sha256=None if settings.pattern_dir is None else vary.patterns_sha256(settings.pattern_dir),
        versions=_versions(),
    )


def _catalog_of(settings: Settings) -> Catalog:
    return Catalog.load(settings.catalog).select(settings.kinds, settings.tags, settings.designs)


def _versions() -> dict[str, str]:
    versions = {}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions


def _walk(
    folder: Path, target: Path, prefix: str, above: tuple[tuple[int, int], ...]
) -> Iterator[tuple[str, Unfit | None]]:
    try:
        identity = _identity(folder)
        if folder.resolve().is_relative_to(target):
            raise ConfigError(f"{folder}: leads to the output folder {target}; choose another output folder")
        if identity in above:
            yield prefix, Unfit(_printable(prefix), "skipped", "folder_loop", "a link to a folder that holds it")
            return
        entries = list(os.scandir(folder))
    except OSError as error:
        message = f"cannot be listed: {error.strerror}"
        yield prefix, Unfit(_printable(prefix or "."), "failed", "unreadable_folder", message)
        return
    for entry in entries:
        path = f"{prefix}/{entry.name}" if prefix else entry.name
        if _is(entry.is_dir):
            yield from _walk(Path(entry.path), target, path, (*above, identity))
        elif _printable(path) != path:
            message = "the file name is not valid Unicode; rename it"
            yield path, Unfit(_printable(path), "failed", "bad_name", message)
        elif entry.is_symlink() or _is(entry.is_file):
            # A link that leads nowhere counts as well: reading it will say what is wrong.
            yield path, None
        else:
            # A pipe or a device: reading it could wait for ever.
            yield path, Unfit(path, "skipped", "not_an_image")


def _is(what: Callable[[], bool]) -> bool:
    """The answer about a directory entry; no where the file system refuses to tell."""
    try:
        return what()
    except OSError:
        return False


def _identity(folder: Path) -> tuple[int, int]:
    status = folder.stat()
    return status.st_dev, status.st_ino


def _printable(path: str) -> str:
    return path.encode("utf-8", "backslashreplace").decode()


def _former_run(job: Job, record: RunFile) -> RunFile | None:
    path = job.target / manifest.RUN_FILE
    if not path.exists():
        if job.target.is_dir() and any(not images.is_temporary(entry.name) for entry in job.target.iterdir()):
            raise ConfigError(
                f"{job.target}: not empty, and no run of maskgen made it (it has no {manifest.RUN_FILE}); "
                "choose a new or empty folder"
            )
        if job.execution.existing == "resume":
            raise ConfigError(f"{job.target}: no former run to resume; leave --resume out to start one")
        return None
    former = manifest.read_run(path)
    differences = _differences(former, record)
    if differences and job.execution.existing != "overwrite":
        raise ConfigError(
            f"{job.target}: made with other settings ({'; '.join(differences)}); "
            "use the same ones to resume, --overwrite to start anew, or another folder"
        )
    return former


def _differences(former: RunFile, now: RunFile) -> list[str]:
    then_all, now_all = _comparable(former), _comparable(now)
    return [
        f"{name}: {then_all.get(name)} then, {now_all.get(name)} now"
        for name in sorted(then_all.keys() | now_all.keys())
        if then_all.get(name) != now_all.get(name)
    ]


def _comparable(record: RunFile) -> dict[str, object]:
    settings = {name: value for name, value in record.settings.items() if name not in _PLACES}
    return {
        **settings,
        "maskgen": record.maskgen,
        "source": record.source,
        "hash of the model pack": record.pack_sha256[:12],
        "hash of the catalog": record.catalog_sha256[:12],
        "hash of the patterns": record.patterns_sha256 and record.patterns_sha256[:12],
    }


def _settled(job: Job) -> set[str]:
    """Paths whose row stands: not to be tried again, and all files it names are there."""
    settled: set[str] = set()
    path = job.target / manifest.MANIFEST_FILE
    for row in manifest.read(path) if path.exists() else ():
        is_open = (row.status == "failed" and job.execution.retry_failed) or not all(
            (job.target / file).exists() for file in row.files
        )
        (settled.discard if is_open else settled.add)(row.path)
    return settled


def _clashes(job: Job, pictures: list[str], settled: set[str]) -> list[Unfit]:
    """Pictures of which something would be written where another's goes."""
    ignores_case = _ignores_case(job.target)
    keeps_names = job.settings.originals or job.settings.copy_skipped
    if not ignores_case and outputs_of("a.jpg", job.settings) == ["a.jpg"]:
        return []
    fold = _folded if ignores_case else str
    owners: dict[str, str] = {}
    clashes = {}
    # Inputs keep their own names first; what stands from a former run keeps its place.
    order = sorted(pictures, key=lambda path: (path not in settled, path))
    for names_of in (lambda path: [path] if keeps_names else [], lambda path: outputs_of(path, job.settings)):
        for path in order:
            for name in names_of(path):
                owner = owners.setdefault(fold(name), path)
                if owner != path:
                    message = f"{name} would overwrite what comes of {owner}; rename one of the two"
                    clashes[path] = Unfit(path, "failed", "name_clash", message)
    return list(clashes.values())


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _ignores_case(folder: Path) -> bool:
    """Whether the file system takes names that differ in case only for the same, as on macOS and Windows."""
    for existing in (folder, *folder.parents):
        other = existing.with_name(existing.name.swapcase()) if existing.name else existing
        if existing.exists() and other != existing:
            return other.exists() and other.samefile(existing)
    return False


def _refuse_foreign_files(job: Job, plan: Plan) -> None:
    # A run that was killed may have written files it had no time to record; after any other, unknown files are foreign.
    if plan.former is None or plan.former.state == "running" or not plan.pending:
        return
    existing = {
        file
        for path in plan.pending
        for file in {path, *outputs_of(path, job.settings)}
        if os.path.lexists(job.target / file)
    }
    for row in manifest.read(job.target / manifest.MANIFEST_FILE) if existing else ():
        existing.difference_update(row.files)
    if existing:
        raise ConfigError(
            f"{job.target / min(existing)}: in the way, and no run of maskgen wrote it; "
            "move it, or choose another output folder"
        )


def _clear_the_way(job: Job, plan: Plan) -> None:
    path = job.target / manifest.MANIFEST_FILE
    if plan.former is None:
        return
    for leftover in list(images.leftovers(job.target)):
        leftover.unlink(missing_ok=True)
    if job.execution.existing == "overwrite" and path.exists():
        for row in manifest.read(path):
            for file in row.files:
                _delete(job.target, file)
        path.unlink()


def _delete(target: Path, file: str) -> None:
    path = target / file
    if not path.parent.resolve().is_relative_to(target):
        return
    path.unlink(missing_ok=True)
    for folder in path.parents:
        if folder == target:
            break
        try:
            folder.rmdir()
        except OSError:  # not empty
            break


@contextlib.contextmanager
def _sole_writer(folder: Path) -> Iterator[None]:
    """Keep other runs out of a folder; the operating system lets go if this process is killed."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be made: {error.strerror}") from error
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise ConfigError(f"{folder}: another run of maskgen is writing there; wait for it to end") from error
    except OSError:
        _LOG.debug("%s: a file system without locks", folder)
    try:
        yield
    finally:
        os.close(handle)


def _work_and_record(job: Job, plan: Plan, on_progress: Callable[[Progress], None]) -> Progress:
    task = Task(
        job.source,
        job.target,
        job.settings,
        job.detectors,
        plan.record.pack_sha256,
        plan.record.catalog_sha256,
        plan.record.patterns_sha256,
    )
    progress = Progress(len(plan.unfit) + len(plan.pending))
    on_progress(progress)
    workers = job.execution.workers or joblib.cpu_count()
    with (
        manifest.Writer(job.target / manifest.MANIFEST_FILE) as writer,
        contextlib.closing(_outcomes(task, plan, workers)) as outcomes,
    ):
        for outcome in outcomes:
            writer.append(outcome.row)
            if outcome.traceback is not None:
                _LOG.debug("%s: %s\n%s", outcome.row.path, outcome.row.message, outcome.traceback)
            progress = progress.with_row(outcome.row)
            on_progress(progress)
    return progress


def _outcomes(task: Task, plan: Plan, workers: int) -> Generator[Outcome, None, None]:
    for entry in plan.unfit:
        yield Outcome(Row(path=entry.path, status=entry.status, reason=entry.reason, message=entry.message))
    try:
        with contextlib.closing(unordered(partial(_process, task), plan.pending, workers)) as outcomes:
            for outcome in outcomes:
                yield outcome if isinstance(outcome, Outcome) else Outcome(_crashed(outcome))
    except concurrent.futures.BrokenExecutor as error:
        raise MaskgenError(
            "worker processes die as they start, killed from outside or for lack of memory; what is done is "
            "recorded: run the same again to go on, perhaps with fewer --workers"
        ) from error


def _crashed(crash: Crash) -> Row:
    return Row(
        path=crash.item,
        status="failed",
        reason="crashed",
        message="the process that worked on it died, twice: for lack of memory, or by a fault that the picture "
        "causes in a library; --retry-failed with fewer --workers tries again",
    )


@lru_cache(maxsize=1)
def _tools(task: Task) -> _Tools:
    return _Tools(task.detectors.build(task.settings), _catalog_of(task.settings))


def _process(task: Task, path: str) -> Outcome:
    tools = _tools(task)
    try:
        return Outcome(augment_file(task, tools.detector, tools.catalog, path))
    except ImageError as error:
        return Outcome(_failed(task, path, "bad_image", str(error)))
    except MaskgenError:
        raise
    except Exception as error:
        # One picture must not end the run: its row tells, the exit code is 3, and the log shows where.
        return Outcome(_failed(task, path, "unexpected", f"{type(error).__name__}: {error}"), traceback.format_exc())


def _failed(task: Task, path: str, reason: str, message: str) -> Row:
    # The manifest must not depend on where the folders lie.
    for folder in (task.source, task.target):
        message = message.replace(f"{folder}{os.sep}", "")
    return Row(path=path, status="failed", reason=reason, message=message.removeprefix(f"{path}: "))


def _write(task: Task, file: str, data: bytes) -> None:
    path = task.target / file
    # On resume a folder of the output may have become a link to anywhere, the input included.
    if not path.parent.resolve().is_relative_to(task.target):
        raise ConfigError(f"{path.parent}: a link that leads out of the output folder; remove it")
    images.write_whole(path, data)


def _face_row(face: Face, with_landmarks: bool) -> FaceRow:
    pose = face.pose
    x1, y1, x2, y2 = _rounded(face.bbox)
    eye, other_eye, nose, mouth, other_mouth = face.keypoints
    # Hundredths of a pixel or degree: finer digits are noise, and fill the manifest.
    return FaceRow(
        bbox=(x1, y1, x2, y2),
        score=round(float(face.score), 4),
        pose=PoseRow(yaw=round(pose.yaw, 2), pitch=round(pose.pitch, 2), roll=round(pose.roll, 2)),
        keypoints=(_rounded(eye), _rounded(other_eye), _rounded(nose), _rounded(mouth), _rounded(other_mouth)),
        landmarks=tuple(_rounded(point) for point in face.landmarks) if with_landmarks else None,
    )


def _rounded(values: Float32Array) -> tuple[float, ...]:
    return tuple(round(float(value), 2) for value in values)


def _variant_row(seed: int, file: str, augmented: Augmented) -> VariantRow:
    return VariantRow(
        file=file if augmented.is_masked else None,
        seed=f"{seed:032x}",
        masks=tuple(_mask_row(face) for face in augmented.faces),
    )


def _mask_row(face: MaskedFace) -> MaskRow:
    return MaskRow(
        design=face.design,
        view=face.view,
        reason=face.reason,
        wear=face.wear,
        recolor=None if face.recolor is None else _recolor_row(face.recolor),
        pattern=face.pattern,
    )


def _recolor_row(recolor: vary.Recolor) -> RecolorRow:
    red, green, blue = (round(channel, 4) for channel in recolor.tint)
    return RecolorRow(
        hue_deg=round(recolor.hue_deg, 2),
        saturation=round(recolor.saturation, 4),
        brightness=round(recolor.brightness, 4),
        tint=(red, green, blue),
    )
