"""InsightFace's verification sets, ``.bin``: which pictures to compare, in one file.

Such a file is a pickle of encoded 112x112 pictures and of which pairs show one person. A pickle can run any code; see
`maskgen.datasets.pickles` for what is done about that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskgen import images
from maskgen.arrays import BoolArray, Image
from maskgen.datasets import pickles
from maskgen.errors import ImageError
from maskgen.plural import counted

MAX_BYTES: Final = 2**30
"""Of a file. InsightFace's largest sets have a tenth of it; all pictures are in memory at once."""
_REMEDY: Final = "give a verification set of InsightFace, such as lfw.bin"


@dataclass(frozen=True)
class VerificationSet:
    """Pictures 2 i and 2 i + 1 are pair i.

    Attributes
    ----------
    path : Path
        Where it comes from.
    pictures : tuple of bytes or arrays
        Encoded, as bytes or (N,) uint8, or (H, W, 3) uint8 BGR as older sets have them.
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
        if isinstance(picture, bytes) or picture.ndim == 1:
            return images.decode(bytes(picture), Path(f"{self.path}:{key}.jpg")).pixels
        return np.ascontiguousarray(picture[..., ::-1])


def read_bin(path: Path) -> VerificationSet:
    """A verification ``.bin`` of at most `MAX_BYTES`.

    Raises
    ------
    ImageError
        If it is no such file, or asks for anything but lists, bytes, bools and arrays.
    """
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise ImageError(f"{path}: not a file", _REMEDY)
        if size > MAX_BYTES:
            raise ImageError(
                f"{path}: {size:,} bytes, more than the {MAX_BYTES:,} allowed",
                "unpack it, and list its pairs in a text file",
            )
        return _set_of(path, images.read_bytes(path, any_size=True))
    except OSError as error:
        raise ImageError(f"{path}: cannot be read: {error.strerror}") from error
    except pickles.PickleError as error:
        raise ImageError(f"{path}: not a verification set: {error}", _REMEDY) from error
    except MemoryError as error:
        raise ImageError(f"{path}: needs more memory than there is") from error


def _set_of(path: Path, raw: bytes) -> VerificationSet:
    content = pickles.load(raw)
    if not isinstance(content, tuple | list) or len(content) != 2:
        raise ImageError(f"{path}: not a verification set: expected (pictures, is_same)", _REMEDY)
    pictures, is_same = (_elements(part) for part in content)
    if not is_same or len(pictures) != 2 * len(is_same):
        found = f"{counted(len(pictures), 'picture')} for {counted(len(is_same), 'pair')}"
        raise ImageError(f"{path}: {found}, expected two per pair", _REMEDY)
    return VerificationSet(
        path,
        tuple(_picture(path, number, picture) for number, picture in enumerate(pictures)),
        np.array([_flag(path, number, flag) for number, flag in enumerate(is_same)], bool),
    )


def _elements(part: Any) -> list[Any]:
    if isinstance(part, pickles.Array):
        return part.elements()
    return list(part) if isinstance(part, list | tuple) else []


def _flag(path: Path, number: int, value: Any) -> bool:
    if isinstance(value, pickles.Array) and len(one := value.elements()) == 1:
        value = one[0]
    if not isinstance(value, bool | np.bool_ | int | np.integer) or value not in (0, 1):
        said = f"{value!r}" if isinstance(value, int | np.integer) else type(value).__name__
        raise ImageError(f"{path}: pair {number}: {said} instead of a bool", _REMEDY)
    return bool(value)


def _picture(path: Path, number: int, value: Any) -> bytes | Image:
    if isinstance(value, pickles.Array):
        value = value.content
    if isinstance(value, bytes):
        return value
    if isinstance(value, np.ndarray) and value.dtype == np.uint8:
        if value.ndim == 2 and value.shape[1] == 1:
            value = value[:, 0]
        if value.ndim == 1 or (value.ndim == 3 and value.shape[2] == 3):
            return np.asarray(value)
        raise ImageError(f"{path}: picture {number}: an array of shape {value.shape}, expected (H, W, 3)", _REMEDY)
    raise ImageError(f"{path}: picture {number}: {type(value).__name__} instead of bytes or a uint8 array", _REMEDY)
