"""The grain of a photograph: how much there is, and the same on a mask.

Textured skin and hair look like grain, so it is measured where the picture is smoothest. How it changes with
brightness was measured on the photographs of LFW and CelebA (tests/bench/traits.py): there is less of it in the
darkest and in the brightest parts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image

_KERNEL: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
_BLOCK: Final = 8
# A share of the blocks, and what of white noise is seen in that share of them (tests/masking/test_grain.py).
_SMOOTHEST: Final = 0.1
_SEEN: Final = 0.734
# Blocks of this brightness only, 0 to 255: in black and in white grain is cut off.
_FROM, _TO = 16.0, 240.0
# So many pixels are enough to measure it on.
_ENOUGH: Final = 60_000
# The most that is taken for grain.
_MOST: Final = 0.03
# How wide grain is, pixels, as JPEG leaves it, and how much stronger white noise must be that is blurred so.
_WIDTH: Final = 0.5
_GAIN: Final = 2.27
# Brightness, 0 to 255, and how much grain there is against middling brightness.
_CURVE: Final = (
    *((0, 0.5), (20, 0.65), (50, 1.0), (90, 1.05), (120, 1.02)),
    *((160, 0.97), (197, 0.9), (230, 0.6), (255, 0.4)),
)
# Grain is kept in so many steps for its deviation, and its strength in so many for a grey level.
_LEVELS: Final = 50
_FINER: Final = 24
_SIDE: Final = 512
# Grain is at hand for masks of so many pixels, wherever it begins.
_BEYOND: Final = 160
_TABLE: Final = np.interp(np.arange(256), *np.array(_CURVE).T).astype(np.float32)


def grain_in(part: Image) -> float:
    """The grain of a part of a photograph (H, W, 3) as `grain_of` gives it, measured on some of a large part."""
    height, width = part.shape[:2]
    if not part.size:
        return 0.0
    every = height * width // _ENOUGH + 1
    if every == 1:
        return grain_of(_grey(part))
    # Bands from its whole height: what is smooth may lie anywhere. A row at either rim of a band is for the filter.
    band = _BLOCK + 2
    number = height // (band * every)
    bands = part[: number * band * every].reshape(number, band * every, width, 3)[:, :band]
    grey = _grey(bands.reshape(number * band, width, 3))
    inner = (values.reshape(number, band, width)[:, 1:-1].reshape(-1, width) for values in (_response(grey), grey))
    return _sigma(*inner)


def grain_of(grey: Float32Array) -> float:
    """Standard deviation of the grain of a part of a photograph (H, W), 0 to 255, at middling brightness; 0 to 1 [1]_.

    References
    ----------
    .. [1] J. Immerkaer, "Fast Noise Variance Estimation", CVIU 64 (1996); in the smoothest tenth of blocks.
    """
    return _sigma(_response(grey), grey)


def _grey(part: Image) -> Float32Array:
    grey: Float32Array = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey


def _response(grey: Float32Array) -> Float32Array:
    """(H, W) how much each pixel differs from those around it."""
    response: Float32Array = np.abs(cv2.filter2D(grey, cv2.CV_32F, _KERNEL))
    return response


def _sigma(response: Float32Array, grey: Float32Array) -> float:
    down, along = grey.shape[0] // _BLOCK, grey.shape[1] // _BLOCK
    if not down or not along:
        return 0.0
    blocks, luma = (
        cv2.resize(values[: down * _BLOCK, : along * _BLOCK], (along, down), interpolation=cv2.INTER_AREA).ravel()
        for values in (response, grey)
    )
    is_fit = (luma >= _FROM) & (luma <= _TO)
    blocks, luma = blocks[is_fit], luma[is_fit]
    if not len(blocks):
        return 0.0
    smoothest = np.argsort(blocks, kind="stable")[: max(round(_SMOOTHEST * len(blocks)), 1)]
    sigma = float(blocks[smoothest].mean()) * math.sqrt(math.pi / 2) / 6 / _SEEN
    # What rounding to whole numbers adds, and will add to the mask too.
    sigma = math.sqrt(max(sigma**2 - 1 / 12, 0.0)) / float(_TABLE[int(luma[smoothest].mean())])
    return min(sigma / 255, _MOST)


@dataclass(frozen=True)
class Grain:
    """Grain for a part of an image.

    Attributes
    ----------
    lighter, darker : (H, W) uint8 arrays
        Where it lightens and where it darkens, in `_LEVELS` of its deviation.
    """

    lighter: Image
    darker: Image

    def part(self, rows: slice) -> Grain:
        """Some rows of it."""
        return Grain(self.lighter[rows], self.darker[rows])

    def on(self, image: Image, strength: Image) -> Image:
        """An image (H, W, 3) with grain of a strength (H, W) as `strength_on` gives it."""
        for change, values in ((cv2.add, self.lighter), (cv2.subtract, self.darker)):
            grain = cv2.multiply(values, strength, scale=1 / (_LEVELS * _FINER))
            image = np.asarray(change(image, cv2.cvtColor(grain, cv2.COLOR_GRAY2RGB)), np.uint8)
        return image


def drawn(rng: np.random.Generator, size_wh: tuple[int, int]) -> Grain:
    """Grain of a size; two numbers are drawn from the generator.

    It is cut from a larger piece, which is made once: drawing a number for each pixel takes longer than all the rest.
    """
    left, top = (int(_SIDE * share) for share in rng.random(2).tolist())
    # So that the next bytes are those of the same row, the pieces go on beyond their edges.
    right, bottom = (
        max(start + length - _SIDE - _BEYOND, 0) for start, length in zip((left, top), size_wh, strict=True)
    )
    lighter, darker = _pieces()
    if right or bottom:
        lighter, darker = (
            np.asarray(
                cv2.copyMakeBorder(piece[:_SIDE, :_SIDE], 0, bottom + _BEYOND, 0, right + _BEYOND, cv2.BORDER_WRAP)
            )
            for piece in (lighter, darker)
        )
    part = slice(top, top + size_wh[1]), slice(left, left + size_wh[0])
    return Grain(lighter[part], darker[part])


def strength_on(rgba: Image, sigma: float) -> Image:
    """(H, W) how strong grain is on a premultiplied picture (H, W, 4), by what `grain_of` measured; for `Grain.on`."""
    luma = cv2.cvtColor(rgba, cv2.COLOR_RGBA2GRAY)
    table = cv2.convertScaleAbs(_TABLE, alpha=255 * _FINER * sigma)
    return np.asarray(cv2.multiply(cv2.LUT(luma, table), cv2.extractChannel(rgba, 3), scale=1 / 255), np.uint8)


@cache
def _pieces() -> tuple[Image, Image]:
    """What grain adds and what it takes away; both begin anew after 512 pixels, and end some pixels later."""
    white = np.random.default_rng(512).standard_normal((_SIDE, _SIDE), np.float32)
    reach = 4
    wrapped = cv2.copyMakeBorder(white, reach, reach, reach, reach, cv2.BORDER_WRAP)
    soft = cv2.GaussianBlur(wrapped, (0, 0), _WIDTH)[reach:-reach, reach:-reach]
    values = np.round(soft * (_GAIN * _LEVELS))
    lighter, darker = (
        np.pad(np.clip(sign * values, 0, 255).astype(np.uint8), (0, _BEYOND), "wrap") for sign in (1, -1)
    )
    return lighter, darker
