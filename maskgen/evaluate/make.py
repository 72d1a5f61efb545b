"""Masked copies of a verification set that anybody can make again: LFW with simulated masks."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from maskgen import files, manifest
from maskgen.catalog.places import SHIPPED
from maskgen.datasets.protocols import Found
from maskgen.errors import ConfigError, MaskgenError
from maskgen.evaluate.results import MadeName
from maskgen.run.job import Summary
from maskgen.run.settings import AugmentSettings, Execution, Job
from maskgen.schema import Strict

SUMS_FILE: Final = "SHA256SUMS"
LIST_FILE: Final = "pairs.txt"
_ELSEWHERE: Final = "choose another folder"
# Settings of a run that decide nothing about these pictures, or say where they lie.
_DECIDING: Final = ("seed", "model", "catalog", "faces", "keep_covered", "wear", "truncated", "max_pixels")


class MadeSet(Strict):
    """``lfw-sm.json``: what decides about the pictures, and what came of it.

    Attributes
    ----------
    name : str
        Of the set.
    maskgen : str
        The version that made it.
    settings : dict
        As for ``maskgen augment``.
    pack_sha256, catalog_sha256 : str
        Of what found the faces, and of the masks.
    versions : dict
        Of libraries; others may encode pictures otherwise.
    pairs, pictures, without_mask : int
        Pairs in the list, masked pictures written, pictures that no mask could be put on and that are not there.
    reasons : dict
        Reason -> how many have none for it.
    sums_sha256 : str
        Of ``SHA256SUMS``: two sets are the same if this is.
    """

    schema_version: Literal[1] = 1
    name: MadeName
    maskgen: str
    settings: dict[str, Any]
    pack_sha256: str
    catalog_sha256: str
    versions: dict[str, str]
    pairs: int
    pictures: int
    without_mask: int
    reasons: dict[str, int]
    sums_sha256: str


def job_of(name: MadeName, found: Found, target: Path, seed: int, model: str, workers: int) -> Job:
    """What masks the pictures of a protocol: the labelled face of each, with a mask that ships with maskgen.

    Parameters
    ----------
    name : str
        Of the set, and of the folder of its pictures in `target`.
    found : Found
        The list and its pictures, see `maskgen.datasets.protocols.find`.
    target : Path
        Where the set will be.
    seed : int
        Decides which masks are put on.
    model : str
        The pack that finds the faces.
    workers : int
        Processes.

    Raises
    ------
    ConfigError
        If `target` lies in the input or holds it, or files of others that would be overwritten.
    """
    home, root = target.resolve(), found.root.resolve()
    # The list may lie beside the root, where there is room for the set as well.
    if home == found.path.resolve().parent or root in (home, *home.parents):
        raise ConfigError(f"{target}: holds the input or lies in it, which is never written to", _ELSEWHERE)
    if not (target / name / manifest.RUN_FILE).is_file():
        for path in (target / LIST_FILE, target / SUMS_FILE, target / f"{name}.json"):
            if path.exists():
                raise ConfigError(f"{path}: is there already", _ELSEWHERE)
    settings = AugmentSettings(seed=seed, model=model, catalog=(SHIPPED,), faces="central", keep_covered=True)
    return Job(found.folder, target / name, settings, Execution(workers))


@contextmanager
def never_overwriting() -> Iterator[None]:
    """Word refusals whose remedy is to overwrite as the making of a set needs it: it has no such setting.

    Raises
    ------
    MaskgenError
        What was raised, of the same class.
    """
    try:
        yield
    except MaskgenError as error:
        if "{existing" not in error.remedy:
            raise
        raise type(error)(
            error.fault, "make it as before to go on with it, delete it to start anew, or choose another folder"
        ) from error


def finish(name: MadeName, found: Found, target: Path, summary: Summary) -> MadeSet:
    """Put the list beside the pictures, and say of all of them what they are: ``SHA256SUMS`` and ``lfw-sm.json``.

    Parameters
    ----------
    name, found, target
        As for `job_of`.
    summary : Summary
        What came of its run.

    Raises
    ------
    MaskgenError
        If something cannot be read or written.
    """
    files.write_whole(target / LIST_FILE, found.path.read_bytes())
    home = target / name
    places = sorted(
        variant.place
        for row in manifest.read(manifest.path_of(home))
        for variant in row.variants
        if variant.place is not None
    )
    lines = [f"{_sha256(target / path)}  {path}\n" for path in (LIST_FILE, *(f"{name}/{place}" for place in places))]
    sums = "".join(lines).encode()
    files.write_whole(target / SUMS_FILE, sums)
    record = summary.record
    made = MadeSet(
        name=name,
        maskgen=record.maskgen,
        settings={key: record.settings[key] for key in _DECIDING if key in record.settings},
        pack_sha256=record.pack_sha256,
        catalog_sha256=record.catalog_sha256,
        versions=record.versions,
        pairs=len(found.pairs.is_same),
        pictures=len(places),
        without_mask=summary.counts.inputs - len(places),
        reasons=summary.counts.reasons,
        sums_sha256=hashlib.sha256(sums).hexdigest(),
    )
    files.write_whole(target / f"{name}.json", made.model_dump_json(indent=1).encode() + b"\n")
    return made


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
