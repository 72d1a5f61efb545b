"""Pictures as data loaders have them, to RGB of 8 bits, and a mask back onto them.

What no mask touches keeps every bit: float pictures are not rounded there.
"""

from __future__ import annotations

import sys
from abc import abstractmethod
from typing import Any, Final

import numpy as np

from maskgen.arrays import BoolArray, Image
from maskgen.errors import ImageError
from maskgen.images import LUMA
from maskgen.images.checking import refuse_other

_EXIF_ORIENTATION: Final = 0x0112
_MODES: Final = ("RGB", "L", "RGBA")


class Picture:
    """A picture of any kind.

    Attributes
    ----------
    rgb : (H, W, 3) uint8 array
        It in RGB.
    """

    rgb: Image

    @abstractmethod
    def masked(self, rgb: Image) -> Any:
        """The same kind of picture, with the pixels of another one (H, W, 3) where that differs from `rgb`."""


def picture_of(image: Any) -> Picture:
    """A picture of any kind.

    Parameters
    ----------
    image : array, tensor or PIL.Image.Image
        Of an array (H, W, 3), (H, W, 4), (H, W) or (H, W, 1), of a tensor the same with channels first: uint8, or
        floats from 0 to 1. Of PIL the modes RGB, RGBA and L.

    Raises
    ------
    ImageError
        If it is something else; says how to make a picture of it.
    """
    if is_tensor(image):
        return _Tensor(image)
    if is_pil(image):
        return _Pil(image)
    return _Array(image)


def is_tensor(image: Any) -> bool:
    """Whether something is a tensor; torch is not imported for it."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(image, torch.Tensor)


def is_pil(image: Any) -> bool:
    """Whether something is a picture of PIL."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(image, module.Image)


def is_picture(image: Any) -> bool:
    """Whether something may be a picture."""
    return isinstance(image, np.ndarray) or is_tensor(image) or is_pil(image)


class _Array(Picture):
    def __init__(self, image: Any) -> None:
        self._image = image
        is_array = isinstance(image, np.ndarray)
        self._is_flat = is_array and image.ndim == 2
        whole = image[..., None] if self._is_flat else image
        self._channels = whole.shape[2] if is_array and whole.ndim == 3 and whole.shape[2] in (1, 3, 4) else 0
        # A picture of three columns has its channels last, too.
        if self._channels and image.dtype.kind == "f":
            _refuse_range(image)
            whole = np.round(whole * image.dtype.type(255)).astype(np.uint8)
        self._bytes = whole
        if self._channels == 1:
            whole = whole.repeat(3, axis=2)
        rgb = whole[..., :3] if self._channels == 4 else whole
        if is_array:
            rgb = np.ascontiguousarray(rgb).view(np.ndarray)
        refuse_other(rgb)
        self.rgb = rgb

    def masked(self, rgb: Image) -> Any:
        if self._channels == 3 and type(self._image) is np.ndarray and self._image.dtype == np.uint8:
            return rgb.copy()
        where: BoolArray = (rgb != self.rgb).any(axis=2)
        result = self._image.copy()
        colours = rgb[where]
        if self._channels == 1:
            colours = np.round(colours @ LUMA).astype(np.uint8)[:, None]
        values = colours if result.dtype == np.uint8 else (colours / 255).astype(result.dtype)
        if self._is_flat:
            result[where] = values[:, 0]
        else:
            result[where, : values.shape[1]] = values
        return result


class _Pil(Picture):
    def __init__(self, image: Any) -> None:
        if image.mode not in _MODES:
            raise ImageError(f"a PIL picture of mode {image.mode}", "convert it: image.convert('RGB')")
        if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            raise ImageError("a PIL picture that its EXIF turns", "turn it before: PIL.ImageOps.exif_transpose(image)")
        self._array = _Array(np.asarray(image))
        self.rgb = self._array.rgb

    def masked(self, rgb: Image) -> Any:
        from PIL import Image as PillowImage

        return PillowImage.fromarray(self._array.masked(rgb))


class _Tensor(Picture):
    def __init__(self, image: Any) -> None:
        self._image = image
        shape = tuple(image.shape)
        if image.ndim == 4:
            raise ImageError(
                f"a batch of shape {shape} instead of one picture", "mask pictures in the dataset, before the loader"
            )
        if image.ndim not in (2, 3) or (image.ndim == 3 and shape[0] not in (1, 3, 4)):
            is_last = image.ndim == 3 and shape[2] in (1, 3, 4)
            remedy = "turn it: image.permute(2, 0, 1)" if is_last else "give one picture at a time"
            raise ImageError(f"a tensor of shape {shape} instead of (3, H, W)", remedy)
        if image.dtype.is_complex or (not image.dtype.is_floating_point and str(image.dtype) != "torch.uint8"):
            raise ImageError(
                f"a tensor of {image.dtype} instead of torch.uint8 or floats from 0 to 1",
                "convert it: torchvision.transforms.v2.ToDtype(torch.uint8, scale=True)",
            )
        plain = image.detach().cpu()
        # numpy has no bfloat16.
        plain = plain.float() if plain.dtype.is_floating_point else plain
        array = plain.numpy()
        self._array = _Array(array if array.ndim == 2 else np.moveaxis(array, 0, -1))
        self.rgb = self._array.rgb

    def masked(self, rgb: Image) -> Any:
        torch = sys.modules["torch"]
        array = self._array.masked(rgb)
        new = torch.from_numpy(np.ascontiguousarray(array if array.ndim == 2 else np.moveaxis(array, -1, 0)))
        new = new.to(self._image.device, self._image.dtype)
        if self._image.dtype.is_floating_point and self._image.dtype != torch.float32:
            # What was rounded on the way to float32 and back keeps its bits.
            same = torch.from_numpy((rgb == self.rgb).all(axis=2)).to(self._image.device)
            new = torch.where(same, self._image, new)
        return new


def _refuse_range(image: Any) -> None:
    """Raise an error for floats that do not go from 0 to 1."""
    if not image.size:
        return
    low, high = float(image.min()), float(image.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise ImageError("a float picture whose values are not finite", "look at what made it")
    if low < 0:
        raise ImageError(
            f"float values from {low:.4g} to {high:.4g} instead of 0 to 1", "put on masks before values are normalised"
        )
    if high > 1:
        raise ImageError(f"float values from {low:.4g} to {high:.4g} instead of 0 to 1", "divide by 255 before")
