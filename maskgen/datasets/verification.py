"""InsightFace's verification sets: a pickle of encoded 112x112 pictures and of which pairs show one person.

A pickle can run any code. This reader admits lists, tuples, bytes, bools and numpy arrays, and nothing else.
"""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskgen import images
from maskgen.arrays import BoolArray, Image
from maskgen.errors import ImageError

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
        content = _Admitting(io.BytesIO(images.read_bytes(path)), encoding="bytes").load()
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
        raise ImageError(f"{path}: {len(pictures)} pictures for {len(is_same)} pairs, expected two a pair")
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
