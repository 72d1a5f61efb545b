"""``run.json``: how a run was made, and whether another one may go on with it."""

from __future__ import annotations

import contextlib
import importlib.metadata
from pathlib import Path
from typing import Final, NamedTuple

import maskgen
from maskgen import manifest
from maskgen.catalog.store import Catalog
from maskgen.detect import DetectorSource, DetectorSpec
from maskgen.errors import ConfigError
from maskgen.formats import Format
from maskgen.manifest import RunFile
from maskgen.names import some_of
from maskgen.run import patterns
from maskgen.run.settings import AugmentSettings, Execution, Job

# Settings that only say where something lies; the hash of what lies there is compared instead.
_PLACES: Final = frozenset({"model", "catalog", "pattern_dir"})
# What differs where the masks do.
_MASKS: Final = "hash of the catalog"
_MOST_NAMED: Final = 5
_LIBRARIES: Final = (
    *("numpy", "scipy", "opencv-python", "pillow", "simplejpeg", "insightface", "onnxruntime", "onnxruntime-gpu"),
)


class Masks(NamedTuple):
    """The designs that take part in a run, and those that came to its catalogs after it began, which do not."""

    catalog: Catalog
    newer: tuple[str, ...] = ()


def record_of(job: Job, source: str, in_format: Format, masks: Catalog) -> RunFile:
    """The record of a run that begins.

    Parameters
    ----------
    job : Job
        What is asked for.
    source : str
        What tells the input from others.
    in_format : str
        What the input is.
    masks : Catalog
        The designs that take part.

    Raises
    ------
    ConfigError, ModelError
        If the patterns or the model pack cannot be used.
    """
    settings = job.settings
    return RunFile(
        maskgen=maskgen.__version__,
        state="running",
        source=job.source_name or source,
        in_format=in_format,
        settings=settings.model_dump(mode="json"),
        pack_sha256=detectors_of(job).sha256(),
        catalog_sha256=masks.sha256,
        designs=masks.names if settings.masks else None,
        patterns_sha256=None if settings.pattern_dir is None else patterns.sha256(settings.pattern_dir),
        versions=versions(),
    )


def detectors_of(job: Job) -> DetectorSource:
    """Where a job's detectors come from."""
    settings = job.settings
    return job.detectors or DetectorSpec(
        settings.model,
        settings.landmarks,
        settings.aligned,
        settings.device,
        bystanders=settings.faces == "all" or settings.small_faces,
        small_faces=settings.small_faces,
        central=settings.faces == "central",
    )


def catalog_of(settings: AugmentSettings) -> Catalog:
    """The masks that settings choose from."""
    return Catalog.load(settings.catalog).select(settings.kinds, settings.tags, settings.designs)


def masks_of(settings: AugmentSettings, former: RunFile | None) -> Masks:
    """The designs that settings choose; where a run goes on and some have been added since it began, those it had.

    Raises
    ------
    CatalogError
        If a catalog cannot be used, or no design is chosen.
    """
    now = catalog_of(settings)
    if former is None or former.designs is None or former.catalog_sha256 == now.sha256:
        return Masks(now)
    then = now.as_before(former.designs, former.catalog_sha256)
    if then is None:
        return Masks(now)
    return Masks(then, tuple(name for name in now.names if name not in set(then.names)))


def versions() -> dict[str, str]:
    """The versions of the libraries that decide about bytes."""
    found = {}
    for name in _LIBRARIES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def former_run(target: Path, execution: Execution) -> RunFile | None:
    """The record of the run that made an output folder; None if the folder is new.

    Raises
    ------
    ConfigError
        If the folder is another's, or there is nothing to resume.
    """
    path = target / manifest.RUN_FILE
    if not path.exists():
        if target.is_dir() and any(_is_foreign(entry.name) for entry in target.iterdir()):
            raise ConfigError(
                f"{target}: not empty, and no run of maskgen made it (it has no {manifest.RUN_FILE})",
                "choose a new or empty folder",
            )
        if execution.existing == "resume":
            raise ConfigError(f"{target}: no former run to resume", "leave {existing=resume} out to start one")
        return None
    return manifest.read_run(path)


def refuse_other_settings(target: Path, former: RunFile, record: RunFile) -> None:
    """Make sure that a run may go on with a former one.

    Raises
    ------
    ConfigError
        If their settings, or what these stand for, differ.
    """
    if found := differences(former, record):
        raise ConfigError(
            f"{target}: made with other settings ({'; '.join(found)})",
            "use the same ones to resume, {existing=overwrite} to start anew, or another folder",
        )


def _is_foreign(name: str) -> bool:
    return not name.startswith(".maskgen")


def differences(former: RunFile, now: RunFile, but: str = "") -> list[str]:
    """What differs, in words, between the settings of two runs; one of them may be left out."""
    then_all, now_all = _comparable(former), _comparable(now)
    return [
        f"{name}: {then_all.get(name)} then, {now_all.get(name)} now{_which(former, now) if name == _MASKS else ''}"
        for name in sorted(then_all.keys() | now_all.keys())
        if then_all.get(name) != now_all.get(name) and name != but
    ]


def _which(former: RunFile, now: RunFile) -> str:
    """Which masks make the difference, in parentheses; nothing if it is unknown."""
    if former.designs is None or now.designs is None:
        return ""
    then, there = set(former.designs), set(now.designs)
    said = [
        f"{what} {some_of(map(repr, names), _MOST_NAMED)}"
        for what, names in (("gone:", sorted(then - there)), ("new:", sorted(there - then)))
        if names
    ]
    return f" ({'; '.join(said) or 'a mask of the same name is another now'})"


def _comparable(record: RunFile) -> dict[str, object]:
    settings = {name: value for name, value in record.settings.items() if name not in _PLACES}
    return {
        **settings,
        "maskgen": record.maskgen,
        "source": record.source,
        "hash of the model pack": record.pack_sha256[:12],
        _MASKS: record.catalog_sha256[:12],
        "hash of the patterns": record.patterns_sha256 and record.patterns_sha256[:12],
    }
