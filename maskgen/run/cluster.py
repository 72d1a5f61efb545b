"""A run on other machines: each worker must find there what the process that starts the run finds here.

with workers_of(scheduler, task, entries) as (executor, premises):    # an error if one does not
    executor.run(premises.work, chunks)                               # and if one joins that does not
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskgen import files
from maskgen.catalog.places import SHIPPED
from maskgen.datasets.base import Entry, Reader
from maskgen.errors import ConfigError, MaskgenError
from maskgen.packs.find import BUNDLED, pack_dir
from maskgen.parallel import DaskExecutor
from maskgen.parallel.dask_worker import whereabouts
from maskgen.run import patterns
from maskgen.run.outcome import Done
from maskgen.run.record import catalog_of, versions
from maskgen.run.settings import AugmentSettings
from maskgen.run.worker import Task, work

_MOUNT: Final = "every worker must see input and output under the paths that they have here: 'maskgen help clusters'"
_COPY: Final = "every worker needs the same files under the same path as here: 'maskgen help clusters'"
_COPY_MASKS: Final = (
    "every worker needs the same masks under the same path as here, or use {catalog=shipped}: 'maskgen help clusters'"
)
_INSTALL: Final = "install the same there as here, and start the workers anew"
# So many pictures are tried to find one that can be read.
_TRIED: Final = 100
# The tokens of the runs whose premises this process has found met.
_MET: Final[set[Path]] = set()


@dataclass(frozen=True)
class Premises:
    """What a worker must find.

    Attributes
    ----------
    task : Task
        Its hashes are those of this machine.
    entry : Entry or None
        A picture of the input, and
    sha256 : str
        the hash of its bytes.
    token : Path
        A file in the output folder, which holds its own name.
    versions : dict
        Library -> version.
    """

    task: Task
    entry: Entry | None
    sha256: str | None
    token: Path
    versions: dict[str, str]

    @classmethod
    def of(cls, task: Task, entries: Sequence[Entry]) -> Premises:
        """What is found here."""
        hashes = ((entry, _sha256(task.reader, entry)) for entry in entries[:_TRIED])
        entry, sha256 = next((found for found in hashes if found[1] is not None), (None, None))
        return cls(task, entry, sha256, task.writer.home / files.temporary_name(), versions())

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """The token is there as long as the context lasts."""
        try:
            files.write_whole(self.token, self.token.name.encode())
            yield
        finally:
            self.token.unlink(missing_ok=True)

    def work(self, chunk: Sequence[Entry]) -> Done:
        """As `maskgen.run.worker.work`; the first call in a process also raises as `ensure`."""
        self.ensure()
        return work(self.task, chunk)

    def ensure(self) -> None:
        """Nothing, if this process finds all of it.

        Raises
        ------
        ConfigError
            If it does not; names the worker, what it does not find, and what to do.
        """
        if self.token in _MET:
            return
        for look in (_other_versions, _other_output, _other_input, _other_files):
            if found := look(self):
                fault, remedy = found
                raise ConfigError(f"worker {whereabouts()}: {fault}", remedy)
        _MET.add(self.token)


@contextlib.contextmanager
def workers_of(scheduler: str, task: Task, entries: Sequence[Entry]) -> Iterator[tuple[DaskExecutor, Premises]]:
    """The workers of a cluster, and what each of them was found to find.

    Raises
    ------
    ConfigError
        If a worker does not.
    MaskgenError
        If there is no such cluster, or no worker in it, or nothing can be written to the output.
    """
    premises = Premises.of(task, entries)
    with contextlib.closing(DaskExecutor(scheduler)) as executor, premises.shown():
        # Workers end first what they have in hand of a run that was killed.
        answers = executor.everywhere(premises.ensure)
        faults = [_named(address, answer) for address, answer in answers.items() if isinstance(answer, Exception)]
        if faults:
            others = f" ({len(faults)} of {len(answers)} workers miss something)" if len(faults) > 1 else ""
            raise ConfigError(f"{faults[0].fault}{others}", faults[0].remedy)
        yield executor, premises


def with_whole_paths(settings: AugmentSettings) -> AugmentSettings:
    """Settings that mean the same to a process in another working directory."""
    is_folder = settings.model != BUNDLED and Path(settings.model).expanduser().is_dir()
    return settings.model_copy(
        update={
            "model": str(pack_dir(settings.model)) if is_folder else settings.model,
            "pattern_dir": settings.pattern_dir and settings.pattern_dir.absolute(),
        }
    )


def _named(address: str, error: Exception) -> MaskgenError:
    if isinstance(error, MaskgenError):
        return error
    return ConfigError(f"worker {address}: cannot do the work: {type(error).__name__}: {error}", _INSTALL)


def _other_versions(premises: Premises) -> tuple[str, str] | None:
    here = versions()
    # ONNX Runtime comes under two names, for machines with and without a GPU.
    others = [
        f"{name} {here[name]} in the place of {expected}"
        for name, expected in premises.versions.items()
        if here.get(name, expected) != expected
    ]
    return (f"has {', '.join(others)}", _INSTALL) if others else None


def _other_output(premises: Premises) -> tuple[str, str] | None:
    home = premises.task.writer.home
    try:
        seen = premises.token.read_text()
    except OSError:
        seen = None
    if seen != premises.token.name:
        what = "sees another output folder" if home.is_dir() else "does not see the output folder"
        return f"{what} {home}", _MOUNT
    attempt = home / files.temporary_name()
    try:
        attempt.touch()
        attempt.unlink()
    except OSError as error:
        return f"cannot write to the output folder {home}: {error.strerror}", "let the workers' user write there"
    return None


def _other_input(premises: Premises) -> tuple[str, str] | None:
    if premises.entry is None:
        return None
    reader = premises.task.reader
    seen = _sha256(reader, premises.entry)
    if seen == premises.sha256:
        return None
    what = "cannot read" if seen is None else "sees another"
    return f"{what} {premises.entry.key} of the input {reader.fingerprint()}", _MOUNT


def _other_files(premises: Premises) -> tuple[str, str] | None:
    task = premises.task
    settings, folder = task.settings, task.settings.pattern_dir
    looks: tuple[tuple[str, Callable[[], str | None], str | None, str], ...] = (
        (f"the model pack {settings.model}", task.detectors.sha256, task.pack_sha256, _COPY),
        (
            f"the catalog {', '.join(settings.catalog)}",
            lambda: catalog_of(settings).sha256,
            task.catalog_sha256,
            _COPY if settings.catalog == (SHIPPED,) else _COPY_MASKS,
        ),
        (
            f"the patterns {folder}",
            lambda: None if folder is None else patterns.sha256(folder),
            task.patterns_sha256,
            _COPY,
        ),
    )
    for what, look, expected, remedy in looks:
        try:
            here = look()
        except MaskgenError as error:
            return error.fault, remedy
        if here != expected:
            return f"{what} is another there (SHA-256 {here}, here {expected})", remedy
    return None


def _sha256(reader: Reader, entry: Entry) -> str | None:
    """The hash of a picture's bytes; None if it cannot be read."""
    try:
        return hashlib.sha256(reader.read(entry).raw).hexdigest()
    except (MaskgenError, OSError):
        return None
