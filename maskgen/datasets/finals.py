"""The files that a run puts together from parts: which of those in an output folder are its own, and putting new ones.

``.maskgen.files`` in the output folder has a line per file that a run wrote: a JSON array of its name and its mark. A
file with another mark was written by somebody else, and is never overwritten. A mark does not change when a file is
copied.

An output that is called by the name of its file may stand among files of others. Then all but the files of the format
lie in a folder beside it: see `home_beside`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final

from maskgen import files, linelog
from maskgen.datasets import parts
from maskgen.errors import ConfigError

MARKS_FILE: Final = ".maskgen.files"
_HOME: Final = "{}.maskgen"
_END_BYTES: Final = 2**20


def home_beside(path: Path) -> Path:
    """The folder of the manifest, and all else that belongs to an output which is called by the name of its file.

    Examples
    --------
    >>> home_beside(Path("sets/lfw.bin")).as_posix()
    'sets/lfw.bin.maskgen'
    """
    return path.with_name(_HOME.format(path.name))


@dataclass(frozen=True)
class Finals:
    """Files of a format that lie directly in a folder.

    Parameters
    ----------
    root : Path
        The folder.
    names : tuple of str
        Of all files that may be made; a reader who finds only the first of them, in this order, reads nothing wrong.
    home : Path, optional
        The output folder, where their marks are; by default the same.
    """

    root: Path
    names: tuple[str, ...]
    home: Path | None = None

    def foreign(self) -> Iterator[str]:
        """Names that are taken by something that no run wrote."""
        marks = self._marks()
        for name in self.names:
            if os.path.lexists(self.root / name) and _mark_of(self.root / name) not in marks.get(name, ()):
                yield name

    def are_own(self, name: str) -> bool:
        """Whether a file is the one that the last run wrote, and no file of an earlier run is kept beside the parts."""
        if name not in self.names:
            return False
        home = self.home or self.root
        stamps = files.stamp_of(self.root / name), files.stamp_of(home / MARKS_FILE)
        return None not in stamps and _are_own(self, name, (*stamps, _time_of(home / parts.FOLDER)))

    def refuse_foreign(self) -> None:
        """Make sure that nothing is overwritten that no run wrote.

        Raises
        ------
        ConfigError
            If it would be.
        """
        for name in self.foreign():
            raise ConfigError(
                f"{self.root / name}: in the way, and no run of maskgen wrote it",
                "move it, or choose another output",
            )

    def replace(self, made: Mapping[str, Path]) -> None:
        """Give whole files their names, in the place of those of a former run.

        If this is interrupted, only the first of the new files are there, and the next run knows them as its own.

        Parameters
        ----------
        made : mapping
            Name -> file on the same disk. What a former run wrote under other names is deleted.

        Raises
        ------
        ConfigError
            As `refuse_foreign`.
        MaskgenError
            If nothing can be written.
        """
        self.refuse_foreign()
        new = {name: [_mark_of(path)] for name, path in made.items()}
        old = self._marks()
        self._note({name: [*old.get(name, ()), *new.get(name, ())] for name in self.names})
        with files.named_faults(self.root):
            for name in reversed(self.names[1:]):
                (self.root / name).unlink(missing_ok=True)
            for name in self.names:
                if name in made:
                    os.replace(made[name], self.root / name)
        self._note(new)

    def clear(self) -> None:
        """Delete all that a run wrote, and nothing else."""
        foreign = set(self.foreign())
        for name in self.names:
            if name not in foreign:
                (self.root / name).unlink(missing_ok=True)
        self._marks_file.unlink(missing_ok=True)

    @property
    def _marks_file(self) -> Path:
        return (self.home or self.root) / MARKS_FILE

    def _marks(self) -> dict[str, list[str]]:
        marks: dict[str, list[str]] = {}
        with contextlib.suppress(OSError):
            for _, line in linelog.lines(self._marks_file):
                # The file is ours, but lies in a folder of the user's.
                with contextlib.suppress(ValueError):
                    name, mark = linelog.words(line)
                    if name is not None and mark is not None:
                        marks.setdefault(name, []).append(mark)
        return marks

    def _note(self, marks: Mapping[str, list[str | None]] | Mapping[str, list[str]]) -> None:
        lines = [json.dumps([name, mark]) for name, of_name in marks.items() for mark in of_name]
        files.write_whole(self._marks_file, "".join(f"{line}\n" for line in lines).encode())


@lru_cache(maxsize=64)
def _are_own(finals: Finals, name: str, stamps: tuple[object, ...]) -> bool:
    """As `Finals.are_own`; asked once for each picture in the file."""
    if any(((finals.home or finals.root) / parts.FOLDER).glob("former*")):
        return False
    return finals._marks().get(name) == [_mark_of(finals.root / name)]


def _time_of(folder: Path) -> int | None:
    with contextlib.suppress(OSError):
        return folder.stat().st_mtime_ns
    return None


def _mark_of(path: Path) -> str | None:
    """The size of a file, and a hash of its first and its last bytes; None if it is none that can be read."""
    if path.is_symlink():
        return None
    try:
        with open(files.open_regular(path), "rb") as file:
            size = os.fstat(file.fileno()).st_size
            digest = hashlib.sha256(file.read(_END_BYTES))
            file.seek(max(size - _END_BYTES, 0))
            digest.update(file.read(_END_BYTES))
    except OSError:
        return None
    return f"{size}-{digest.hexdigest()}"
