"""A folder of pictures to write: the tree of the input once more."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from maskgen import files, images, linelog
from maskgen.datasets.base import Entry, Fault, Mark, Meta, Sample
from maskgen.datasets.clashes import Naming, clashes_of
from maskgen.errors import ConfigError, ImageError
from maskgen.formats import BESIDE, format_of
from maskgen.manifest import Row, inside

# What no folder can be called by on some system, or what would hide it; the percent sign, with which it is written.
_NO_NAME: Final = re.compile(r'[/\\%:*?"<>|\x00-\x1f\x7f\ud800-\udfff]|^\.|[. ]$')
# Hidden files in the folder itself, not files in a hidden folder: readers such as torchvision's take every folder for a
# person.
_JOURNAL: Final = ".maskgen-{}.journal"
# What lies beside pictures is for people who ask for it, in a hidden folder of its own.
_EXTRAS: Final = ".extras"


@dataclass(frozen=True)
class FolderWriter:
    """Writes the same tree of pictures to another folder.

    The input's own name if it is the only picture that comes of it; else ``name_m1.jpg``, ``name_m2.jpg``, ..., beside
    each other and beside the copy of the original, so that a folder per identity stays one.

    Parameters
    ----------
    root : Path
        The folder, resolved.
    variants : int
        Masked pictures per input.
    originals, copy_skipped : bool
        Whether originals are copied beside masked pictures, or where there are none.
    """

    root: Path
    variants: int = 1
    originals: bool = False
    copy_skipped: bool = False

    @property
    def home(self) -> Path:
        """As `Writer.home`: the folder itself."""
        return self.root

    @property
    def puts_together(self) -> bool:
        """As `Writer.puts_together`: each picture is a file of its own."""
        return False

    def check(self, settings: Any) -> None:
        """As `Writer.check`: a folder holds whatever there is."""
        refuse_file(self.root)

    def selects(self, entry: Entry) -> bool:
        """As `Writer.selects`: masks go on all pictures."""
        return True

    def places(self, key: str) -> list[str]:
        """Where the masked pictures of an input go, relative to the folder."""
        return names_of(key, self.variants, self.originals)

    def beside(self, place: str, names: Iterable[str]) -> Mapping[str, str]:
        """As `Writer.beside`: in a hidden folder, so that nobody takes it for pictures of people."""
        return {name: f"{_EXTRAS}/{name}/{place}.png" for name in names}

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[FolderPart]:
        """As `Writer.part`: files appear one by one, each whole, and a journal tells which."""
        with FolderPart(self, self.root / _JOURNAL.format(name)) as part:
            yield part

    def settle(self, name: str) -> None:
        """As `Writer.settle`."""
        (self.root / _JOURNAL.format(name)).unlink(missing_ok=True)

    def unsettled(self) -> dict[str, str]:
        """As `Writer.unsettled`."""
        written = (line for journal in self._journals() for line in _read(journal))
        return {place: key for place, stamp, key in written if self.stamp(place) == stamp}

    def forget_unsettled(self) -> None:
        """As `Writer.forget_unsettled`."""
        for journal in self._journals():
            journal.unlink(missing_ok=True)

    def stamp(self, place: str) -> str | None:
        """As `Writer.stamp`: size and time of change."""
        path = self.root / place
        # Not of pathlib, which raises if a name is too long.
        return None if os.path.islink(path) else files.stamp_of(path)

    def stands(self, place: str, stamp: str | None) -> bool:
        """As `Writer.stands`."""
        return self.stamp(place) == stamp

    def holds(self, beside: Iterable[str]) -> bool:
        """As `Writer.holds`."""
        return all((self.root / place).is_file() for place in beside)

    def sample(self, place: str) -> Sample:
        """As `Writer.sample`."""
        if self.stamp(place) is None:
            raise ImageError(f"{place}: not there")
        saved = {
            name: images.read_bytes(self.root / extra, name=extra)
            for name, extra in self.beside(place, BESIDE).items()
            if (self.root / extra).exists()
        }
        return Sample(images.read_bytes(self.root / place, name=place), stamp=self.stamp(place), saved=saved)

    def checksum(self, place: str) -> str | None:
        """As `Writer.checksum`."""
        if self.stamp(place) is None:
            return None
        try:
            return hashlib.sha256((self.root / place).read_bytes()).hexdigest()
        except OSError:
            return None

    def clear(self, rows: Iterable[Row]) -> None:
        """As `Writer.clear`."""
        self.discard(place for row in rows for place in row.places)

    def finish(self, rows: Iterable[Row]) -> Iterator[Row]:
        """As `Writer.finish`: all is in its place already."""
        yield from rows

    def in_the_way(self, keys: Iterable[str]) -> Iterator[str]:
        """As `Writer.in_the_way`."""
        for key in keys:
            yield from (place for place in {key, *self.places(key)} if os.path.lexists(self.root / place))

    def discard(self, places: Iterable[str]) -> None:
        """As `Writer.discard`; folders that are left empty go too."""
        for place in places:
            for one in (place, *self.beside(place, BESIDE).values()):
                self._delete(one)

    def clashes(self, keys: Callable[[], Iterable[str]], are_settled: Callable[[list[str]], set[str]]) -> list[Fault]:
        """As `Writer.clashes`."""
        ignores_case = ignores_case_of(self.root)
        if not ignores_case and self.places("a.jpg") == ["a.jpg"]:
            return []
        keeps_names = self.originals or self.copy_skipped
        # Files go into the folders of their inputs, and no file can be where such a folder is.
        naming = Naming(self.places, keeps_names, _folded if ignores_case else str, has_folders=True)
        return clashes_of(keys, are_settled, naming)

    def save(self, place: str, raw: bytes) -> None:
        """Write what lies beside a picture."""
        path = self.root / place
        with files.named_faults(path):
            files.make_folder(path.parent)
            if not path.parent.resolve().is_relative_to(self.root):
                raise ConfigError(f"{path.parent}: a link that leads out of the output folder", "remove it")
            files.write_whole(path, raw)

    def _journals(self) -> list[Path]:
        return sorted(self.root.glob(_JOURNAL.format("*")))

    def _delete(self, place: str) -> None:
        path = self.root / place
        if not path.parent.resolve().is_relative_to(self.root):
            return
        # Nothing is there, too, if a name is longer than a file's can be.
        if os.path.lexists(path):
            with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                path.unlink()
        for folder in path.parents:
            if folder == self.root:
                break
            try:
                folder.rmdir()
            except OSError:  # not empty
                break


class FolderPart:
    """What one worker writes in one go.

    Parameters
    ----------
    writer : FolderWriter
        Where.
    journal : Path
        A file that gets the place and the stamp of each picture before the picture appears under its name. If the run
        is killed, the next one knows by it what is its own.
    """

    def __init__(self, writer: FolderWriter, journal: Path) -> None:
        self._writer = writer
        self._journal = linelog.Log(journal)
        self._put: dict[str, list[str]] = {}
        self._marks: dict[str, Mark] = {}
        self._inside: set[Path] = set()  # folders that were looked at

    def __enter__(self) -> FolderPart:
        self._journal.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._journal.__exit__(kind, error, where)

    def put(self, sample: Sample, meta: Meta) -> str:
        """As `PartWriter.put`."""
        root, key = self._writer.root, meta.entry.key
        name = key if format_of(key) is not None else images.name_of(_filed(meta.entry), sample.raw)
        place = name if meta.variant is None else self._writer.places(name)[meta.variant - 1]
        path = root / place
        # On resume a folder of the output may have become a link to anywhere, the input included.
        if path.parent not in self._inside:
            if not path.parent.resolve().is_relative_to(root):
                raise ConfigError(f"{path.parent}: a link that leads out of the output folder", "remove it")
            self._inside.add(path.parent)

        def announce(stamp: str) -> None:
            self._marks[place] = Mark(stamp, hashlib.sha256(sample.raw).hexdigest())
            self._journal.append(linelog.line_of([place, stamp, key]))

        for extra, raw in zip(self._writer.beside(place, sample.saved).values(), sample.saved.values(), strict=True):
            self._writer.save(extra, raw)
        try:
            is_new = files.write_new(path, sample.raw, announce)
        except ImageError as error:
            # The manifest must not depend on where the folder lies.
            raise type(error)(error.fault.replace(f"{root}{os.sep}", "", 1), error.remedy) from error
        if is_new:
            self._put.setdefault(key, []).append(place)
        else:  # the same bytes, with a time of their own
            self._marks[place] = self._marks[place]._replace(stamp=self._writer.stamp(place))
        return place

    def mark(self, place: str) -> Mark:
        """As `PartWriter.mark`."""
        return self._marks[place]

    def take_back(self, entry: Entry) -> None:
        """As `PartWriter.take_back`."""
        self._writer.discard(self._put.pop(entry.key, []))


def _filed(entry: Entry) -> str:
    """Where a picture that was no file goes: into a folder for who is on it, under its key."""
    who = entry.identity if entry.identity is not None or entry.label is None else str(entry.label)
    if not who:
        return entry.key
    # Nothing that a folder cannot be called, and never two people in one.
    folder = _NO_NAME.sub(lambda match: f"%{ord(match[0]):02X}", who)
    return f"{folder}/{entry.key}"


def _read(journal: Path) -> Iterator[tuple[str, str, str]]:
    """(place, stamp, key) of what a part wrote."""
    for _, line in linelog.lines(journal):
        # Journals are ours, but lie in a folder of the user's.
        with contextlib.suppress(ValueError):
            place, stamp, key = linelog.words(line)
            if place is not None and stamp is not None and key is not None:
                yield inside(place), stamp, key


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def refuse_file(root: Path) -> None:
    """Raise a `ConfigError` where something other than a folder is in the place of an output folder."""
    if root.exists() and not root.is_dir():
        raise ConfigError(f"{root}: not a folder", "the output must be a new or empty folder")


def names_of(key: str, variants: int, originals: bool) -> list[str]:
    """What the masked pictures of an input are called; parameters as those of `FolderWriter`.

    Examples
    --------
    >>> names_of("ann/1.jpg", 1, False), names_of("ann/1.jpg", 2, False)
    (['ann/1.jpg'], ['ann/1_m1.jpg', 'ann/1_m2.jpg'])
    """
    if variants == 1 and not originals:
        return [key]
    stem, suffix = os.path.splitext(key)
    return [f"{stem}_m{number}{suffix}" for number in range(1, variants + 1)]


def ignores_case_of(folder: Path) -> bool:
    """Whether a file system takes names that differ in case only for the same, as on macOS and Windows."""
    for existing in (folder, *folder.parents):
        other = existing.with_name(existing.name.swapcase()) if existing.name else existing
        if existing.exists() and other != existing:
            return other.exists() and other.samefile(existing)
    return False
