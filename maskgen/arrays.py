"""The arrays that modules hand to each other, and sequences made of them."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TypeVar, overload

import numpy as np
import numpy.typing as npt

T = TypeVar("T")

Image = npt.NDArray[np.uint8]
"""(H, W, 3) RGB, upright; (H, W, 4) where a picture has opacity."""
Float32Array = npt.NDArray[np.float32]
Float64Array = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.intp]


class Lazy(Sequence[T]):
    """A sequence whose elements are made when they are asked for."""

    @abstractmethod
    def at(self, number: int) -> T:
        """The element of a number from 0."""

    @overload
    def __getitem__(self, number: int) -> T: ...

    @overload
    def __getitem__(self, number: slice) -> list[T]: ...

    def __getitem__(self, number: int | slice) -> T | list[T]:
        if isinstance(number, slice):
            return [self.at(each) for each in range(*number.indices(len(self)))]
        return self.at(range(len(self))[number])
