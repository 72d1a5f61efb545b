"""Text files that list pairs of pictures: LFW's ``pairs.txt`` and its relatives, CALFW's and CPLFW's, plain paths.

A list is read in all ways there are. What fits in one way only is taken; what fits in several is refused, unless the
pictures of only one of them are there.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple, Protocol

import numpy as np

from maskgen.datasets.pairs import FOLDS, Pairs, folds_of, identities_of
from maskgen.errors import ConfigError
from maskgen.formats import format_of
from maskgen.plural import counted

# UTF-32 before UTF-16, whose mark it begins with.
_MARKS: Final = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_WORD: Final = re.compile(r"""\s*(?:"([^"]*)"(?=\s|$)|'([^']*)'(?=\s|$)|(\S+))""")


class _Line(NamedTuple):
    number: int
    text: str


class _Row(NamedTuple):
    first: str
    second: str
    is_same: bool
    fold: int | None
    line: int


class _Reading(NamedTuple):
    """One way to read a list: what it is called, the pairs, and the number of folds."""

    name: str
    rows: list[_Row]
    folds: int


@dataclass
class _MisfitError(Exception):
    line: _Line
    expected: str
    likelihood: int = 1


class NoPicturesError(ConfigError):
    """A list that can be read, and none of its pictures."""


Split = Callable[[str], list[str]]


class Pictures(Protocol):
    """Pictures that a list may name."""

    @property
    def root(self) -> Path:
        """Where they are."""
        ...

    def find(self, name: str) -> str | None:
        """What the picture of this name is called there; None if there is none.

        Raises
        ------
        ConfigError
            If several could be meant.
        """
        ...


def read_pairs(path: Path, root: Path, pictures: Pictures | None = None) -> Pairs:
    """The pairs of a text file, their pictures under a folder, or where `pictures` finds them.

    A list is one of these, with tabs, commas, semicolons or spaces between, and quotes around names where needed:

    * LFW's: ``name 1 2`` or ``name 1 other 2``, pictures ``name/name_0001.jpg``; a first line gives the number of folds
      and of pairs of each kind in a fold, or only of pairs of each kind, or is left out;
    * one line per pair: two paths and 1 (one person) or 0, and perhaps the number of the fold;
    * two lines per pair, as CALFW and CPLFW have them: a path, and 0 for two people, else another number.

    Where folds are not numbered there are ten, see `maskgen.datasets.pairs.folds_of`. A picture may have another ending
    than in the list, and accents may be written in another form of Unicode. Pictures that are not there are named in
    the result.

    Raises
    ------
    ConfigError
        If the file cannot be read, is no such list or more than one, contradicts itself, or none of its pictures is
        there.
    """
    lines = [_Line(number, line) for number, line in enumerate(_LINE_END.split(_text(path)), start=1) if line.strip()]
    if not lines:
        raise ConfigError(f"{path}: no pairs in this file")
    pictures = pictures or _Pictures(root)
    reading = _only(path, _readings(path, lines), pictures)
    if not reading.rows:
        raise ConfigError(f"{path}: no pairs in this file")
    found = {name: pictures.find(name) for row in reading.rows for name in (row.first, row.second)}
    if not any(found.values()):
        raise NoPicturesError(
            f"{root}: none of the {counted(len(found), 'picture')} that {path} names is there, "
            f"such as {next(iter(found))}",
            "set {root} to the folder from which the list counts its paths, or the dataset whose keys it names",
        )
    missing = frozenset(name.replace("\\", "/") for name, there in found.items() if there is None)
    spelled = {name: there or name.replace("\\", "/") for name, there in found.items()}
    rows = [row._replace(first=spelled[row.first], second=spelled[row.second]) for row in reading.rows]
    _refuse_contradictions(path, rows)
    return _pairs_of(rows, reading.folds, missing)


def _text(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    mark, encoding = next(((mark, name) for mark, name in _MARKS if raw.startswith(mark)), (b"", "utf-8"))
    try:
        text = raw[len(mark) :].decode(encoding)
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: no text in UTF-8, at byte {error.start}", "save the list as UTF-8") from error
    if "\0" in text:
        raise ConfigError(f"{path}: no text in UTF-8, but bytes that are 0", "save the list as UTF-8")
    return text


# ---- how a list can be read


def _readings(path: Path, lines: list[_Line]) -> list[_Reading]:
    """All ways in which a list can be read, none twice."""
    readings, misfits = list[_Reading](), list[_MisfitError]()
    splits: list[Split] = [_words, *(partial(_cells, delimiter=delimiter) for delimiter in "\t,;")]
    for split in splits:
        for form in _FORMS:
            try:
                reading = form(path, lines, split)
            except _MisfitError as error:
                misfits.append(error)
                continue
            if reading.rows not in [other.rows for other in readings]:
                readings.append(reading)
    if readings:
        return readings
    # The way that leads farthest is what was meant; with a first line of numbers only, LFW's.
    misfit = max(misfits, key=lambda error: (error.line.number, error.likelihood))
    raise ConfigError(
        f"{path}, line {misfit.line.number}: expected {misfit.expected}, got {misfit.line.text.strip()!r}",
        "correct the line, or delete it if it is a heading; 'maskgen help evaluation' shows what a list may be",
    )


def _only(path: Path, readings: list[_Reading], pictures: Pictures) -> _Reading:
    if len(readings) == 1:
        return readings[0]
    there = [reading for reading in readings if any(pictures.find(row.first) is not None for row in reading.rows)]
    if len(there) == 1:
        return there[0]
    what, error = ("both", ConfigError) if there else ("none", NoPicturesError)
    raise error(
        f"{path}: can be read as {' and as '.join(reading.name for reading in readings)}; "
        f"pictures of {what} of these are in {pictures.root}",
        "write a list of two paths, with their endings, and 1 or 0 on each line",
    )


def _words(line: str) -> list[str]:
    """The words of a line; a quoted one may hold blanks."""
    return [double or single or plain for double, single, plain in _WORD.findall(line)]


def _cells(line: str, delimiter: str) -> list[str]:
    try:
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []
    while cells and not cells[-1]:
        cells.pop()
    return cells


def _lfw(path: Path, lines: list[_Line], split: Split) -> _Reading:
    header = _words(re.sub("[,;]", " ", lines[0].text))
    has_header = 0 < len(header) <= 2 and all(map(_is_number, header))
    rows = [_lfw_row(line, split(line.text), has_header) for line in lines[has_header:]]
    if not has_header:
        return _Reading("LFW's numbered pictures", rows, FOLDS)
    folds = int(header[0]) if len(header) == 2 else 1
    genuine, expected = sum(row.is_same for row in rows), folds * int(header[-1])
    if genuine != expected or len(rows) != 2 * expected:
        raise ConfigError(
            f"{path}, line {lines[0].number}: {' '.join(header)} announces {expected} genuine and as many impostor "
            f"pairs, but there are {genuine} and {len(rows) - genuine}",
            "restore the list, or delete its first line",
        )
    return _Reading("LFW's numbered pictures", rows, folds if len(header) == 2 else FOLDS)


def _lfw_row(line: _Line, parts: list[str], is_sure: bool) -> _Row:
    if len(parts) == 3 and _is_number(parts[1]) and _is_number(parts[2]):
        return _Row(_lfw_name(parts[0], parts[1]), _lfw_name(parts[0], parts[2]), True, None, line.number)
    if len(parts) == 4 and _is_number(parts[1]) and _is_number(parts[3]):
        return _Row(_lfw_name(parts[0], parts[1]), _lfw_name(parts[2], parts[3]), False, None, line.number)
    raise _MisfitError(line, "'name 1 2' or 'name 1 other 2'", 3 if is_sure else 0)


def _lfw_name(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}.jpg"


def _plain(path: Path, lines: list[_Line], split: Split) -> _Reading:
    rows = list[_Row]()
    for line in lines:
        parts = split(line.text)
        if len(parts) not in (3, 4) or parts[2] not in ("0", "1") or not all(map(_is_number, parts[3:])):
            raise _MisfitError(line, "two paths and 1 (same person) or 0", 2)
        fold = int(parts[3]) if len(parts) == 4 else None
        rows.append(_Row(parts[0], parts[1], parts[2] == "1", fold, line.number))
        if (fold is None) != (rows[0].fold is None):
            raise _MisfitError(line, "the number of a fold on all lines or on none", 2)
    return _Reading("two paths and 1 or 0", rows, FOLDS)


def _two_lines(path: Path, lines: list[_Line], split: Split) -> _Reading:
    parsed = list[list[str]]()
    for line in lines:
        parts = split(line.text)
        # CALFW and CPLFW number the folds of genuine pairs, from 1 to 10.
        if len(parts) != 2 or not _is_number(parts[1]) or int(parts[1]) > FOLDS:
            raise _MisfitError(line, "a path and 0 (two people) or another number")
        if len(parsed) % 2 and parsed[-1][1] != parts[1]:
            raise _MisfitError(line, "a path and the number of the line before, which begins the pair")
        parsed.append(parts)
    if len(parsed) % 2:
        raise _MisfitError(lines[-1], "a second line of this pair")
    rows = [
        _Row(one[0], other[0], int(one[1]) > 0, None, line.number)
        for line, one, other in zip(lines[::2], parsed[::2], parsed[1::2], strict=True)
    ]
    return _Reading("one picture per line", rows, FOLDS)


_FORMS: Final = (_lfw, _plain, _two_lines)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) < 10


# ---- where its pictures are


@dataclass
class _Pictures:
    """Finds pictures whose names are spelled in another way than on the disk."""

    root: Path
    _listed: dict[tuple[Path, Callable[[str], str]], dict[str, list[str]]] = field(default_factory=dict)

    def find(self, name: str) -> str | None:
        """The path of a picture as it is spelled on the disk, from the root; None if there is none.

        Raises
        ------
        ConfigError
            If several files could be meant.
        """
        if self._is(self.root / name, Path.is_file):
            return name
        at = PurePosixPath()
        *folders, last = PurePosixPath(name.replace("\\", "/")).parts or ("",)
        for folder in folders:
            found = folder if self._is(self.root / at / folder, Path.is_dir) else self._one(at, folder, _plain_form)
            if found is None:
                return None
            at /= found
        if self._is(self.root / at / last, Path.is_file):
            return str(at / last)
        for form in (_plain_form, _stem):
            found = self._one(at, last, form)
            if found is not None and self._is(self.root / at / found, Path.is_file):
                return str(at / found)
        return None

    def _one(self, at: PurePosixPath, name: str, form: Callable[[str], str]) -> str | None:
        found = self._names(self.root / at, form).get(form(name), [])
        if len(found) > 1:
            raise ConfigError(
                f"{self.root / at}: has no {name}, but {' and '.join(found[:3])}",
                "write in the list which of them is meant",
            )
        return found[0] if found else None

    def _names(self, folder: Path, form: Callable[[str], str]) -> dict[str, list[str]]:
        if (folder, form) not in self._listed:
            names = defaultdict[str, list[str]](list)
            with contextlib.suppress(OSError):
                for entry in sorted(folder.iterdir()):
                    if form is not _stem or format_of(entry.name):
                        names[form(entry.name)].append(entry.name)
            self._listed[folder, form] = names
        return self._listed[folder, form]

    @staticmethod
    def _is(path: Path, kind: Callable[[Path], bool]) -> bool:
        try:
            return kind(path)
        except OSError:  # a name that is too long, a folder that may not be entered
            return False


def _plain_form(name: str) -> str:
    """A name with its accents written in one form of Unicode."""
    return unicodedata.normalize("NFC", name)


def _stem(name: str) -> str:
    """A name without the ending of a picture."""
    return _plain_form(name.rpartition(".")[0] if format_of(name) else name)


# ---- what it says


def _refuse_contradictions(path: Path, rows: list[_Row]) -> None:
    former = dict[frozenset[str], _Row]()
    for row in rows:
        if row.first == row.second and not row.is_same:
            raise ConfigError(f"{path}, line {row.line}: {row.first} twice, and said to show two people")
        other = former.setdefault(frozenset((row.first, row.second)), row)
        if other.is_same != row.is_same:
            raise ConfigError(
                f"{path}, line {row.line}: says the opposite of line {other.line} about the same two pictures",
                "delete the wrong one",
            )


def _pairs_of(rows: list[_Row], folds: int, missing: frozenset[str]) -> Pairs:
    names = sorted({name for row in rows for name in (row.first, row.second)})
    index = {name: number for number, name in enumerate(names)}
    first, second = np.array([(index[row.first], index[row.second]) for row in rows]).T
    is_same = np.array([row.is_same for row in rows])
    named = [row.fold for row in rows if row.fold is not None]
    identities, why_none = identities_of(names, first, second, is_same)
    return Pairs(
        tuple(names),
        first,
        second,
        is_same,
        np.array(named) if named else folds_of(is_same, folds),
        identities,
        why_none,
        missing,
    )
