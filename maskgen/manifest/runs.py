"""How an output was made, in numbers and settings: ``run.json``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from pydantic import Field, JsonValue, ValidationError

from maskgen import files
from maskgen.errors import ConfigError
from maskgen.formats import Format
from maskgen.manifest.rows import SCHEMA_VERSION, Row
from maskgen.schema import Strict, first_fault, write_json

RUN_FILE: Final = "run.json"
# Far more than any run writes.
_MAX_RUN_BYTES: Final = 10_000_000


class Counts(Strict):
    """A manifest in numbers.

    Attributes
    ----------
    inputs : int
        Rows: done, skipped and failed together.
    read : int
        Of those, the pictures that could be read.
    reasons : dict
        Reason -> how many were skipped or failed for it.
    faces, masked : int
        Faces found; masks put on, all variants together.
    files : int
        Pictures written, copies included.
    """

    inputs: int = 0
    read: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    reasons: dict[str, int] = Field(default_factory=dict)
    faces: int = 0
    masked: int = 0
    files: int = 0


@dataclass(frozen=True)
class Tally:
    """Rows being counted; those of one process can be added to those of another."""

    _numbers: Counter[str] = field(default_factory=Counter)
    _reasons: Counter[str] = field(default_factory=Counter)

    def add(self, row: Row) -> None:
        """Count a row."""
        numbers = self._numbers
        numbers["inputs"] += 1
        numbers["read"] += row.size_wh is not None
        numbers[row.status] += 1
        numbers["faces"] += len(row.faces)
        numbers["masked"] += sum([mask.design is not None for variant in row.variants for mask in variant.masks])
        numbers["files"] += len(row.places)
        if row.reason is not None:
            self._reasons[row.reason] += 1

    def join(self, other: Tally) -> None:
        """Count what another has counted."""
        self._numbers.update(other._numbers)
        self._reasons.update(other._reasons)

    def number_of(self, what: str) -> int:
        """One of the numbers in `Counts`."""
        return self._numbers[what]

    @property
    def counts(self) -> Counts:
        """What was counted."""
        return Counts.model_validate({**self._numbers, "reasons": dict(sorted(self._reasons.items()))})


class RunFile(Strict):
    """``run.json``.

    Attributes
    ----------
    maskgen : str
        Version that made the pictures.
    state : {"running", "limited", "complete"}
        Whether every input has its row; ``limited`` if a limit left some for later.
    source : str
        The input.
    in_format : str or None
        What it is, see `maskgen.formats.Format`.
    settings : dict
        All that decides about the bytes written.
    pack_sha256, catalog_sha256 : str
        Of the model pack and of the designs that take part.
    designs : tuple of str or None
        Their names; None if an earlier maskgen wrote it.
    patterns_sha256 : str or None
        Of the pictures in the folder of patterns, if there is one.
    versions : dict
        Of the libraries, for the record.
    counts : Counts or None
        Once nothing runs any more.
    """

    schema_version: Literal[2] = SCHEMA_VERSION
    maskgen: str
    state: Literal["running", "limited", "complete"]
    source: str
    in_format: Format | None = None
    settings: dict[str, JsonValue]
    pack_sha256: str
    catalog_sha256: str
    designs: tuple[str, ...] | None = None
    patterns_sha256: str | None = None
    versions: dict[str, str]
    counts: Counts | None = None


def read_run(path: Path) -> RunFile:
    """``run.json``.

    Raises
    ------
    ConfigError
        If it cannot be read, or is not one that this version of maskgen understands.
    """
    try:
        return RunFile.model_validate_json(files.read_regular(path, _MAX_RUN_BYTES))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except ValidationError as error:
        raise ConfigError(
            f"{path}: {first_fault(error)}; another version of maskgen wrote it",
            "use that version, or another output folder",
        ) from error


def write_run(path: Path, run: RunFile) -> None:
    """Write ``run.json``, whole."""
    write_json(path, run)
