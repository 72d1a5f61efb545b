"""The colour of the light in a photograph, from all that tells of it.

Skin alone cannot tell warm light from a warm complexion. Near-neutral highlights and grey edges [1]_ tell of the light
as well. The estimates are combined by how far each of them strays (tests/bench/traits.py measures it). The whites of
the eyes were tried: they follow the skin around them, not the light.

Convention
----------
A cast is (log(R/G), log(B/G)) of something neutral, in sRGB values as they are stored: (0, 0) is no cast.

References
----------
.. [1] J. van de Weijer, T. Gevers, A. Gijsenij, "Edge-Based Color Constancy", IEEE TIP 16 (2007).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Float64Array, Image
from maskgen.images import LUMA

# A picture is looked at in about this many pixels along its longer side.
_SIDE: Final = 48
# A highlight is among the brightest tenth, bright, not clipped, and nearly without colour of its own.
_BRIGHTEST: Final = 0.9
_BRIGHT: Final = 120.0
_CLIPPED: Final = 250.0
_NEUTRAL: Final = 0.3
# Gradients that are fainter say nothing, grey levels over a pixel times 8.
_FAINT: Final = 4.0
# So many pixels make a cue.
_FEWEST: Final = 24
# How far casts lie from none, and each estimate from the cast: standard deviations of the logarithm.
_CAST_SD: Final = 0.055
_SKIN_SD: Final = 0.12
_HIGHLIGHTS_SD: Final = 0.045
_EDGES_SD: Final = 0.08
_EYES_SD: Final = 0.09
# No light is farther from neutral.
_FARTHEST: Final = 0.4
NEUTRAL_CHROMA: Final = 6.0
"""Chroma in Lab up to which cloth looks neutral."""
_WHITE: Final = 0.9  # of cloth, sRGB


Extremes = tuple[Float32Array, Float32Array]


class Cue(NamedTuple):
    """What one of the cues says: a cast (2,), and whether it says anything."""

    cast: Float64Array
    is_there: bool


SILENT: Final = Cue(np.zeros(2), False)
"""A cue that says nothing."""


class Scene(NamedTuple):
    """What a whole picture says of the light in it, whoever's face it falls on."""

    highlights: Cue
    edges: Cue


def scene_of(image: Image) -> Scene:
    """What a picture (H, W, 3) says."""
    return scene_in(reduced(image))


def scene_in(small: Float32Array) -> Scene:
    """What a picture says, (h, w, 3) as `reduced` gives it."""
    extremes = _extremes(small)
    return Scene(highlights(small, extremes), edges(small, extremes))


def combined(skin: Float64Array | None, scene: Scene | None, eyes: Cue = SILENT) -> Float64Array:
    """The cast (2,) of the light on a face.

    White cloth keeps a chroma under `NEUTRAL_CHROMA`, unless skin and picture agree on more.

    Parameters
    ----------
    skin : (2,) array or None
        How far the cast of the skin lies from that of skin in neutral light.
    scene : Scene or None
        What the picture says.
    eyes : Cue
        What the whites of the eyes say.
    """
    cues = [(eyes, _EYES_SD)] if skin is None else [(Cue(skin, True), _SKIN_SD), (eyes, _EYES_SD)]
    seen = [] if scene is None else [(scene.highlights, _HIGHLIGHTS_SD), (scene.edges, _EDGES_SD)]
    weight, cast = _mean([*cues, *seen])
    cast = cast * (weight / (weight + _CAST_SD**-2))
    if chroma_under(cast) <= NEUTRAL_CHROMA:
        return cast
    neutral = cast
    for _ in range(3):  # the chroma does not grow quite as the cast does
        neutral = neutral * min(0.99 * NEUTRAL_CHROMA / chroma_under(neutral), 1.0)
    length = float(np.hypot(*cast))
    agreed = min(float(_mean(side)[1] @ cast) / length for side in (cues, seen))
    return cast * min(max(float(np.hypot(*neutral)), agreed) / length, 1.0)


def gains_of(cast: Float64Array) -> Float32Array:
    """RGB gains (3,) of a cast, their luma-weighted mean 1."""
    gains = np.exp([cast[0], 0.0, cast[1]]).astype(np.float32)
    normal: Float32Array = gains / (gains @ LUMA)
    return normal


def chroma_under(cast: Float64Array) -> float:
    """The chroma in Lab of white cloth under a cast."""
    white = (_WHITE * gains_of(cast))[None, None].astype(np.float32)
    _, a, b = cv2.cvtColor(white, cv2.COLOR_RGB2LAB)[0, 0]
    return float(np.hypot(a, b))


def _mean(cues: list[tuple[Cue, float]]) -> tuple[float, Float64Array]:
    """The summed weight of cues with their deviations, and their weighted mean (2,)."""
    heard = [(cue.cast.tolist(), sd**-2) for cue, sd in cues if cue.is_there]
    total = sum(weight for _, weight in heard)
    means = [
        sum(weight * min(max(cast[axis], -_FARTHEST), _FARTHEST) for cast, weight in heard) / max(total, 1e-9)
        for axis in (0, 1)
    ]
    return total, np.array(means)


def cast_of(rgb: Iterable[float]) -> Float64Array:
    """The cast (2,) of a colour (3,) that would be neutral without one."""
    red, green, blue = (math.log(max(float(value), 1.0)) for value in rgb)
    return np.array([red - green, blue - green])


def highlights(small: Float32Array, extremes: Extremes | None = None) -> Cue:
    """What the bright, nearly neutral parts of a picture (h, w, 3) say, 0 to 255."""
    luma = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
    highest, lowest = extremes or _extremes(small)
    rank = round(_BRIGHTEST * (luma.size - 1))
    bright = max(float(np.partition(luma, rank, axis=None)[rank]), _BRIGHT)
    chosen = (luma >= bright) & (highest < _CLIPPED) & (highest - lowest < np.float32(_NEUTRAL) * highest)
    mask = chosen.view(np.uint8)
    return Cue(cast_of(cv2.mean(small, mask)[:3]), True) if cv2.countNonZero(mask) >= _FEWEST else SILENT


def edges(small: Float32Array, extremes: Extremes | None = None) -> Cue:
    """What the edges of a picture (h, w, 3) say: their mean is grey."""
    highest, _ = extremes or _extremes(small)
    # Clipped ones have lost what they had to say.
    is_whole = (highest < _CLIPPED).view(np.uint8)
    if cv2.countNonZero(is_whole) < _FEWEST:
        return SILENT
    along, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    # Fourth powers: strong edges count most.
    power = cv2.accumulateSquare(down, cv2.multiply(along, along))
    level = [math.sqrt(math.sqrt(value)) for value in cv2.mean(cv2.multiply(power, power), is_whole)[:3]]
    return Cue(cast_of(level), min(level) > _FAINT)


def _extremes(small: Float32Array) -> Extremes:
    """(h, w) the highest and the lowest of the channels of (h, w, 3)."""
    red, green, blue = cv2.split(small)
    return cv2.max(cv2.max(red, green), blue), cv2.min(cv2.min(red, green), blue)


def reduced(image: Image) -> Float32Array:
    """A picture (h, w, 3), small, 0 to 255."""
    scale = _SIDE / max(image.shape[:2])
    if scale < 1:
        size_wh = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
        if scale < 0.5:
            # Of a large picture every few pixels tell enough.
            image = cv2.resize(image, (2 * size_wh[0], 2 * size_wh[1]), interpolation=cv2.INTER_NEAREST)
        image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    small: Float32Array = image.astype(np.float32)
    return small
