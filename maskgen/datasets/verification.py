"""Which pictures to compare: InsightFace's verification sets (``.bin``), LFW's ``pairs.txt``, plain lists of pairs.

A ``.bin`` is a pickle of encoded 112x112 pictures and of which pairs show one person. A pickle can run any code. This
reader admits lists, tuples, bytes, bools and numpy arrays, and nothing else.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final

import numpy as np

from maskgen import files, images
from maskgen.arrays import BoolArray, Image, IntArray
from maskgen.errors import ConfigError, ImageError

_ARRAYS: Final = frozenset(
    {("numpy", "ndarray"), ("numpy", "dtype")}
    | {
        (f"numpy.{core}.{module}", name)
        for core in ("core", "_core")
        for module, name in (
            ("multiarray", "_reconstruct"),
            ("multiarray", "scalar"),
            ("numeric", "_frombuffer"),
        )
    }
)


@dataclass(frozen=True)
class VerificationSet:
    """Pictures 2 i and 2 i + 1 are pair i.

    Attributes
    ----------
    path : Path
        Where it comes from.
    pictures : tuple of bytes or arrays
        Encoded, or (H, W, 3) uint8 BGR as older sets have them.
    is_same : (P,) bool array
        Which pairs show one person.
    """

    path: Path
    pictures: tuple[bytes | Image, ...]
    is_same: BoolArray

    def read(self, key: str) -> Image:
        """The picture of a number, RGB.

        Raises
        ------
        ImageError
            If its bytes are no picture.
        """
        picture = self.pictures[int(key)]
        if isinstance(picture, bytes):
            return images.decode(picture, Path(f"{self.path}:{key}.jpg")).pixels
        return np.ascontiguousarray(picture[..., ::-1])


def read_bin(path: Path) -> VerificationSet:
    """A verification ``.bin``.

    Raises
    ------
    ImageError
        If it is no such file, or asks for anything but lists, bytes, bools and arrays.
    """
    try:
        content = _Admitting(io.BytesIO(images.read_bytes(path, any_size=True)), encoding="bytes").load()
    except ImageError:
        raise
    # What a pickle that is cut short, or made up, can raise.
    except (
        pickle.UnpicklingError,
        EOFError,
        ValueError,
        TypeError,
        IndexError,
        KeyError,
        AttributeError,
        OverflowError,
    ) as error:
        raise ImageError(f"{path}: not a verification set: {error}") from error
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise ImageError(f"{path}: not a verification set: expected (pictures, is_same)")
    pictures, is_same = (list(part) if isinstance(part, list | tuple | np.ndarray) else [] for part in content)
    if not is_same or len(pictures) != 2 * len(is_same):
        raise ImageError(f"{path}: {len(pictures)} pictures for {len(is_same)} pairs, expected two per pair")
    for number, flag in enumerate(is_same):
        if not isinstance(flag, bool | np.bool_ | int):
            raise ImageError(f"{path}: pair {number}: {type(flag).__name__} instead of a bool")
    return VerificationSet(
        path,
        tuple(_picture(path, number, picture) for number, picture in enumerate(pictures)),
        np.array(is_same, bool),
    )


def _picture(path: Path, number: int, value: object) -> bytes | Image:
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        if value.ndim == 1:
            return value.tobytes()
        if value.ndim == 3 and value.shape[2] == 3:
            return value
    raise ImageError(f"{path}: picture {number}: {type(value).__name__} instead of bytes or a uint8 array")


class _Admitting(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAYS:
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return _latin1
        if (module, name) in (("builtins", "bytes"), ("__builtin__", "bytes")):
            return bytes
        raise pickle.UnpicklingError(
            f"asks for {module}.{name}; only lists, bytes, bools and numpy arrays are admitted"
        )


def _latin1(text: str, encoding: object = "latin1") -> bytes:
    """How old pickles write bytes; other codecs, some of which decompress, are not admitted."""
    if encoding not in ("latin1", "latin-1", b"latin1"):
        raise pickle.UnpicklingError(f"asks for codec {encoding!r}")
    return text.encode("latin1")


# ---- lists of pairs

_Row = tuple[str, str, bool, int | None]


@dataclass(frozen=True)
class Pairs:
    """Pairs of pictures.

    Attributes
    ----------
    names : tuple of str, length N
        The pictures: relative paths, or numbers in a ``.bin``.
    first, second : (P,) int arrays
        Which pictures make a pair; the second is the probe.
    is_same : (P,) bool array
        Whether a pair shows one person.
    folds : (P,) int array
        For the accuracy.
    identities : (N,) int array or None
        Who is on each picture, if known.
    """

    names: tuple[str, ...]
    first: IntArray
    second: IntArray
    is_same: BoolArray
    folds: IntArray
    identities: IntArray | None = None


def read_pairs(path: Path, root: Path) -> Pairs:
    """The pairs of a text file, their pictures under a folder.

    Either LFW's format (a first line ``folds<tab>pairs``, then ``name 1 2`` or ``name 1 other 2``, pictures
    ``name/name_0001.jpg``), or one line per pair: two relative paths and 1 or 0, tabs between. A fourth column numbers
    the fold; without it there are ten, in the order of the lines.

    Raises
    ------
    ConfigError
        If a line is neither, or pictures are missing; names the first.
    """
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as a list of pairs: {error}") from error
    if not lines:
        raise ConfigError(f"{path}: no pairs in this file")
    header = lines[0].split()
    is_lfw = len(header) <= 2 and all(part.isdigit() for part in header)
    rows: list[_Row] = [
        (_lfw_pair if is_lfw else _plain_pair)(path, number, line)
        for number, line in enumerate(lines, start=1)
        if not (is_lfw and number == 1)
    ]
    folds = int(header[0]) if len(header) == 2 and is_lfw else 10
    missing = sorted({name for one, other, _, _ in rows for name in (one, other) if not (root / name).is_file()})
    if missing:
        raise ConfigError(f"{root / missing[0]}: missing, with {len(missing) - 1} other pictures that {path} names")
    return _of_rows(path, rows, folds)


def of_bin(is_same: BoolArray) -> Pairs:
    """The pairs of a verification set."""
    numbers = np.arange(2 * len(is_same))
    return Pairs(tuple(map(str, numbers)), numbers[0::2], numbers[1::2], is_same, consecutive_folds(len(is_same)))


def write_pairs(path: Path, pairs: Pairs) -> None:
    """Write pairs as `read_pairs` takes them, one line per pair, fold after fold."""
    order = np.argsort(pairs.folds, kind="stable")
    lines = [
        f"{pairs.names[pairs.first[i]]}\t{pairs.names[pairs.second[i]]}\t{int(pairs.is_same[i])}\t{pairs.folds[i]}"
        for i in order
    ]
    files.write_whole(path, ("\n".join(lines) + "\n").encode())


def consecutive_folds(pairs: int, number: int = 10) -> IntArray:
    """Folds (P,) of equal size in the order of the pairs, the first ones a pair larger: scikit-learn's ``KFold``."""
    return np.repeat(np.arange(number), [pairs // number + (fold < pairs % number) for fold in range(number)])


def _lfw_pair(path: Path, number: int, line: str) -> _Row:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) == 3 and parts[1].isdigit() and parts[2].isdigit():
        return _lfw_name(parts[0], parts[1]), _lfw_name(parts[0], parts[2]), True, None
    if len(parts) == 4 and parts[1].isdigit() and parts[3].isdigit():
        return _lfw_name(parts[0], parts[1]), _lfw_name(parts[2], parts[3]), False, None
    raise ConfigError(f"{path}, line {number}: expected 'name 1 2' or 'name 1 other 2', got {line!r}")


def _lfw_name(person: str, number: str) -> str:
    return f"{person}/{person}_{int(number):04d}.jpg"


def _plain_pair(path: Path, number: int, line: str) -> _Row:
    parts = line.split("\t") if "\t" in line else line.split()
    if len(parts) not in (3, 4) or parts[2] not in ("0", "1") or not all(part.isdigit() for part in parts[3:]):
        raise ConfigError(f"{path}, line {number}: expected two paths and 1 (same person) or 0, got {line!r}")
    return parts[0], parts[1], parts[2] == "1", int(parts[3]) if len(parts) == 4 else None


def _of_rows(path: Path, rows: list[_Row], folds: int) -> Pairs:
    names = sorted({name for one, other, _, _ in rows for name in (one, other)})
    index = {name: number for number, name in enumerate(names)}
    people = sorted({_person(name) for name in names})
    number_of = {person: number for number, person in enumerate(people)}
    named = [fold for _, _, _, fold in rows if fold is not None]
    if named and len(named) != len(rows):
        raise ConfigError(f"{path}: {len(named)} of {len(rows)} lines name a fold; all or none must")
    return Pairs(
        tuple(names),
        np.array([index[one] for one, _, _, _ in rows]),
        np.array([index[other] for _, other, _, _ in rows]),
        np.array([same for _, _, same, _ in rows]),
        consecutive_folds(len(rows), min(folds, len(rows))) if not named else np.array(named),
        np.array([number_of[_person(name)] for name in names]),
    )


def _person(name: str) -> str:
    return PurePosixPath(name).parts[0]
