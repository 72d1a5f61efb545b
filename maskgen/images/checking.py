"""Whether an array is a picture as maskgen takes it: what is not is refused, and not taken for one without faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from maskgen.errors import ImageError


def refuse_other(image: object) -> None:
    """Raise an error for anything but an (H, W, 3) uint8 array.

    Raises
    ------
    ImageError
        Says what it is instead, and how to make a picture of it.

    Examples
    --------
    >>> refuse_other(np.zeros((4, 4, 3), np.uint8))
    >>> refuse_other(np.zeros((4, 4, 4), np.uint8))
    Traceback (most recent call last):
    ...
    maskgen.errors.ImageError: four channels, shape (4, 4, 4), instead of (H, W, 3); leave out opacity: image[..., :3]
    """
    if isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3:
        if not image.size:
            raise ImageError(f"a picture of {image.shape[1]}x{image.shape[0]} pixels", "give one that has some")
        return
    if not isinstance(image, np.ndarray):
        kind = f"{type(image).__module__}.{type(image).__qualname__}"
        raise ImageError(f"{kind} instead of a numpy array", "convert it: numpy.asarray(image), RGB, (H, W, 3), uint8")
    raise ImageError(*_said(image))


def _said(image: npt.NDArray[Any]) -> tuple[str, str]:
    """What is wrong with an array, and what to do."""
    shape = image.shape
    if image.ndim == 2 or (image.ndim == 3 and shape[2] == 1):
        return f"a grey picture of shape {shape} instead of (H, W, 3)", "stack it: numpy.stack([grey] * 3, axis=-1)"
    if image.ndim == 3 and shape[2] == 4:
        return f"four channels, shape {shape}, instead of (H, W, 3)", "leave out opacity: image[..., :3]"
    if image.ndim == 3 and shape[0] in (1, 3, 4):
        return f"channels first, shape {shape}, instead of (H, W, 3)", "turn it: numpy.moveaxis(image, 0, -1)"
    if image.ndim != 3 or shape[2] != 3:
        return f"an array of shape {shape} instead of one picture (H, W, 3)", "give one picture at a time"
    if image.dtype.kind == "f":
        low, high = (float(image.min()), float(image.max())) if image.size else (0.0, 0.0)
        said = f"{image.dtype} values from {low:.4g} to {high:.4g} instead of uint8 from 0 to 255"
        return said, "convert it: numpy.uint8(255 * image + 0.5) if it goes from 0 to 1"
    if image.dtype == np.uint16:
        return "uint16 instead of uint8", "convert it: numpy.uint8(image >> 8)"
    return f"{image.dtype} instead of uint8", "convert it: image.astype(numpy.uint8)"
