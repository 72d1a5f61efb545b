"""The pixels of a view: its picture at several scales, premultiplied, loaded when first needed."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from maskgen import files
from maskgen.arrays import Float32Array, Image
from maskgen.catalog import decoded, png
from maskgen.errors import CatalogError

if TYPE_CHECKING:
    from maskgen.catalog.view import View

# Photographs of small faces show folds harder than averaging leaves them: lenses and cameras sharpen. How much of the
# difference from its blurred self each smaller copy gets back, from the first, which serves portraits
# (tests/bench/realism.py: mid-band contrast of real masks on faces of 50 pixels is 1.4 times ours without).
_SHARPENED: Final = (0.0, 1.0, 1.3)
# By how many grey levels folds differ from what is around them.
_FOLD: Final = 20.0
# Of the blur, pixels of the copy.
_SHARPENED_REACH: Final = 2.0
# Below this longer side a smaller copy of a texture is no longer worth keeping.
_SMALLEST_SCALE: Final = 24


class Textures:
    """A picture of a mask at several scales, premultiplied.

    All are kept as bytes, in memory that processes share. Where there is no such memory, the full size is kept only of
    the views used last, because a catalog holds hundreds of views, and every worker process uses nearly all of them.

    Parameters
    ----------
    view : View
        The picture's view.

    Attributes
    ----------
    view : View
        The same.
    shapes : list of (int, int)
        Rows and columns of each scale.

    Raises
    ------
    CatalogError
        If the picture is missing, not an RGBA PNG, or opaque nowhere.
    """

    def __init__(self, view: View) -> None:
        self.view = view
        what = f"smaller, sharpened {'mirrored' if view.is_mirrored else ''}"
        self._smaller = decoded.shared(view.path, what, lambda: _smaller_sizes(view))
        width, height = size_of(view.path)
        self.shapes = [(height, width), *(scale.shape[:2] for scale in self._smaller)]

    def __len__(self) -> int:
        return len(self.shapes)

    def __getitem__(self, scale: int) -> Float32Array:
        """One scale, 0 the full size: a new (H, W, 4) float32 array, 0 to 1."""
        result: Float32Array = np.multiply(self.stored(scale), np.float32(1 / 255), dtype=np.float32)
        return result

    def alpha_of(self, scale: int) -> Image:
        """(H, W) the opacity of one scale, 0 to 255."""
        return self.stored(scale)[..., 3]

    def stored(self, scale: int) -> Image:
        """One scale as it is kept, and not to be written to: (H, W, 4), 0 to 255."""
        scale = range(len(self.shapes))[scale]
        return _recent_full_size(self) if scale == 0 else self._smaller[scale - 1]


@lru_cache(maxsize=128)
def _recent_full_size(textures: Textures) -> Image:
    view = textures.view
    (full,) = decoded.shared(view.path, "full", lambda: [_full_size(view)])
    return np.ascontiguousarray(full[:, ::-1]) if view.is_mirrored else full


def _smaller_sizes(view: View) -> list[Image]:
    """Each half the size of the one before, the first half of the full size."""
    import cv2  # late: only textures need it

    scale, smaller = _full_size(view), list[Image]()
    if view.is_mirrored:
        scale = np.ascontiguousarray(scale[:, ::-1])
    while max(scale.shape[:2]) >= 2 * _SMALLEST_SCALE:
        height, width = scale.shape[:2]
        scale = cv2.resize(scale, (max(width // 2, 1), max(height // 2, 1)), interpolation=cv2.INTER_AREA)
        smaller.append(scale)
    return [_sharpened(scale, _SHARPENED[min(number, len(_SHARPENED) - 1)]) for number, scale in enumerate(smaller)]


def _sharpened(premultiplied: Image, strength: float) -> Image:
    """A picture (H, W, 4) whose colours stand out more from those around; as opaque as before."""
    import cv2

    if not strength:
        return premultiplied
    picture = premultiplied.astype(np.float32)
    blurred, alpha = cv2.GaussianBlur(picture, (0, 0), _SHARPENED_REACH), picture[..., 3:]
    # Against the blurred colour itself, not one that fades with the opacity at the edge.
    around = blurred[..., :3] * (alpha / np.maximum(blurred[..., 3:], 1))
    # Folds, not prints and trims, which are hard enough.
    fold = np.float32(_FOLD) * np.tanh((picture[..., :3] - around) / np.float32(_FOLD))
    sharp = picture[..., :3] + np.float32(strength) * fold
    return np.concatenate([np.clip(np.round(sharp), 0, alpha), alpha], axis=2).astype(np.uint8)


def _full_size(view: View) -> Image:
    """(H, W, 4) premultiplied RGBA, as in the file: not mirrored."""
    import cv2

    try:
        bgra = png.decode(
            files.read_regular(view.path, png.MAX_PICTURE_BYTES), f"{view.path}: the picture of design {view.design!r}"
        )
    except OSError as error:
        raise CatalogError(f"{view.path}: cannot read the picture ({error.strerror})") from error
    except CatalogError as error:
        raise CatalogError(error.fault, "restore the file or remove the design") from error
    blue, green, red, alpha = cv2.split(bgra)
    # Premultiplied, or resampling drags in colour from transparent pixels.
    rgb = (cv2.multiply(plane, alpha, scale=1 / 255) for plane in (red, green, blue))
    return np.asarray(cv2.merge([*rgb, alpha]), np.uint8)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height of a view's picture.

    Raises
    ------
    CatalogError
        If it cannot be read, is no PNG or is too large.
    """
    try:
        with path.open("rb") as file:
            header = file.read(png.HEADER_BYTES)
    except OSError as error:
        raise CatalogError(f"{path}: cannot read the picture ({error.strerror})") from error
    return png.size_of(header, f"{path}: the picture")
