"""What no texture holds: creases that differ from face to face, how they bend what is on the cloth, and its weave.

All are fields over the skin unrolled, in millimetres: see `maskgen.masking.cloth`.

Convention
----------
Fields of light are logarithms of gains, their deviation 1 before they are weighted; so are shifts, in millimetres.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.schema import Surface, Weave
from maskgen.images import LUMA_WEIGHTS
from maskgen.masking import cloth, folds, tone

# Gain of the deepest creases and of the weave, as a deviation: thin cloth has sharp creases, thick cloth has few.
_CREASE_GAIN: Final[dict[Weave, float]] = {"nonwoven": 0.072, "woven": 0.050, "knit": 0.045, "smooth": 0.036}
_CRUMPLED: Final = 0.6
_WEAVE_GAIN: Final[dict[Weave, float]] = {"nonwoven": 0.021, "woven": 0.036, "knit": 0.048, "smooth": 0.018}
# Where a pixel covers more millimetres, what is left of a weave is less than two grey levels.
_WEAVE_UP_TO: Final[dict[Weave, float]] = {"nonwoven": 0.95, "woven": math.inf, "knit": math.inf, "smooth": 1.9}
# Black cloth shows its folds by what it throws back, whatever its colour.
_SHEEN: Final = 0.10
# How far creases move what is on the cloth, and how far pleats lie from where they are in the catalog, as deviations;
# and from which strength on creases grow deeper only.
_BENT_MM: Final = 0.6
_MOST_BENT: Final = 1.25
_ASTRAY_MM: Final = 1.7
# Pleats are what of a texture is finer than so many millimetres; none is told deeper than so much of its brightness.
_PLEAT_MM: Final = 9.0
_DEEPEST: Final = 0.30
# How far a strap pulls a corner, at most, how far around it that is felt, and the folds that it throws.
PULL_MM: Final = 5.0
_FELT_MM: Final = 9.0
_FOLD_MM: Final = 26.0
_FOLD_WIDTH_MM: Final = 2.7
_FOLD_GAIN: Final = 0.11
_FEWER: Final = 4
# Where a pixel covers more millimetres, such folds are finer than what a camera leaves.
_FOLDS_UP_TO: Final = 1.35
# Brightness below which cloth throws back no larger a share of its own.
_DARKEST: Final = 0.04


@dataclass(frozen=True)
class Wrinkling:
    """Which creases a mask has, and how its cloth has worn.

    Attributes
    ----------
    number : int
        Of the field among `cloth.CREASE_FIELDS`.
    is_mirrored : bool
        Whether it is mirrored.
    shift_mm : (float, float)
        How far it is moved, round the head and down.
    strength : float
        Depth of the creases, 1 for middling ones.
    worn : float
        How rough the cloth is, 1 for new.
    faded : float
        Factor of its brightness.
    astray : float
        How far its pleats lie from where they are in the catalog, -1 to 1.
    depth, uneven : float
        How deep its pleats are in the middle, 1 for as in the catalog, and how much deeper at image right.
    pulls : (float, float, float, float)
        How hard straps pull at its corners, 0 to 1, in the order of `maskgen.catalog.schema.Corner`.
    slid : (float, float, float, float)
        How far its pleats have slid, -1 to 1: all of them, towards each other, and both more at image right.
    tone : Tone
        Of its cloth.
    long_folds : tuple of folds.Fold
        Long ones, from the nose down and from the sides inwards.
    """

    number: int
    is_mirrored: bool
    shift_mm: tuple[float, float]
    strength: float
    worn: float
    faded: float
    astray: float = 0.0
    depth: float = 1.0
    uneven: float = 0.0
    pulls: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    slid: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    tone: tone.Tone = tone.AS_IN_CATALOG
    long_folds: tuple[folds.Fold, ...] = ()


def drawn(rng: np.random.Generator) -> Wrinkling:
    """Creases, wear and tone of one mask; 36 numbers are drawn from the generator."""
    numbers = rng.random(30).tolist()
    which, side, across, down, strength, worn, faded, astray, depth, uneven, *others = numbers
    pulls, slid, along = others[:4], [2 * one - 1 for one in others[4:8]], others[8:]
    return Wrinkling(
        number=min(int(which * cloth.CREASE_FIELDS), cloth.CREASE_FIELDS - 1),
        is_mirrored=side < 0.5,
        shift_mm=(16 * across - 8, 16 * down - 8),
        strength=0.3 * 6**strength,
        worn=0.7 + 0.9 * worn,
        faded=0.95 + 0.07 * faded,
        astray=2 * astray - 1,
        depth=0.55 + 0.95 * depth,
        uneven=0.9 * uneven - 0.45,
        pulls=(pulls[0], pulls[1], pulls[2], pulls[3]),
        slid=(slid[0], slid[1], slid[2], slid[3]),
        tone=tone.drawn(rng),
        long_folds=folds.folds_of(along),
    )


class Moves(NamedTuple):
    """How cloth lies otherwise than in the catalog: (H, W) float32 arrays.

    Attributes
    ----------
    across_mm, down_mm : arrays
        How far from a place that lies which is seen there.
    depth : array or None
        How deep pleats are, 1 for as in the texture; None where they are left as they are.
    """

    across_mm: Float32Array
    down_mm: Float32Array
    depth: Float32Array | None


@dataclass(frozen=True)
class Corner:
    """Where a strap pulls at a mask: millimetres on the unrolled skin.

    Attributes
    ----------
    across, down : float
    towards : (float, float)
        The way to the ear, its length how far the corner is pulled.
    """

    across: float
    down: float
    towards: tuple[float, float]


@dataclass(frozen=True)
class Detail:
    """Fields to draw a mask with.

    Attributes
    ----------
    surface : Surface
        What its cloth is like.
    wrinkling : Wrinkling
        Of this one.
    corners : tuple of Corner
        Where straps pull at it.
    """

    surface: Surface
    wrinkling: Wrinkling
    corners: tuple[Corner, ...] = ()

    def moves(self, across_mm: Float32Array, down_mm: Float32Array, mm_per_pixel: float) -> Moves:
        """How the cloth lies; a few millimetres from one place to the next are fine enough.

        Parameters
        ----------
        across_mm, down_mm : (H, W) float32 arrays
            Where on the unrolled skin each pixel lies.
        mm_per_pixel : float
            About how much of it a pixel covers: finer detail is averaged.
        """
        chosen, creases = self.wrinkling, self.surface.creases
        moved = np.zeros((2, across_mm.size), np.float32)
        if creases > 0:
            level = cloth.level_of(mm_per_pixel, cloth.CREASE_LEVELS)
            fields = _on_creases(cloth.softened(chosen.number)[level].bends, chosen, level, across_mm, down_mm)
            bent = _BENT_MM * min(chosen.strength, _MOST_BENT) * creases / cloth.PER_UNIT
            astray = _ASTRAY_MM * chosen.astray * min(creases, 1.0) / cloth.PER_UNIT
            gains = np.array([[-bent if chosen.is_mirrored else bent, 0, 0], [0, bent, astray]], np.float32)
            moved += gains @ np.subtract(fields.reshape(-1, 3).T, np.float32(cloth.ZERO), dtype=np.float32)
            moved[1] += min(creases, 1.0) * folds.slid_down(chosen.slid, across_mm, down_mm)
        if self.corners:
            moved -= _pulled(self.corners, across_mm, down_mm)
        moved = moved.reshape(2, *across_mm.shape)
        depth = None
        if self.surface.weave == "nonwoven" and creases > 0:
            # A print, which threads mean, would be taken for pleats.
            deeper = np.float32(chosen.uneven / 60)
            depth = 1 + np.float32(creases) * (np.clip(chosen.depth + deeper * across_mm, 0.25, 1.75) - 1)
        return Moves(moved[0], moved[1], depth)

    def gain(self, across_mm: Float32Array, down_mm: Float32Array, mm_per_pixel: float) -> Float32Array:
        """(H, W) logarithm of how much lighter creases and weave make each pixel; parameters as `moves`."""
        chosen, surface = self.wrinkling, self.surface
        level = cloth.level_of(mm_per_pixel, cloth.CREASE_LEVELS)
        gain = _on_creases(cloth.softened(chosen.number)[level].shades, chosen, level, across_mm, down_mm)
        # Stiff cloth does not crumple, whatever is done to it.
        deep = min(chosen.strength, _CRUMPLED + surface.creases) * surface.creases
        gain *= np.float32(_CREASE_GAIN[surface.weave] * deep)
        if mm_per_pixel < _WEAVE_UP_TO[surface.weave]:
            weave = _weave_on(surface.weave, chosen.number, across_mm, down_mm, mm_per_pixel)
            gain = np.asarray(cv2.scaleAdd(weave, _WEAVE_GAIN[surface.weave] * chosen.worn, gain), np.float32)
        thin = min(surface.creases, 1.0)
        if thin > 0 and chosen.long_folds:
            gain += folds.light_on(chosen.long_folds, thin, across_mm, down_mm, mm_per_pixel)
        if thin > 0 and mm_per_pixel < _FOLDS_UP_TO:
            for corner in self.corners:
                _folded(gain, corner, across_mm, down_mm, thin)
        return gain

    def over(
        self, rgba: Float32Array | Image, gain: Float32Array, depth: Float32Array | None, mm_per_pixel: float
    ) -> Float32Array:
        """A premultiplied picture (H, W, 4), 0 to 1 or to 255, as one of 0 to 1 with creases, weave and pleats.

        Parameters
        ----------
        gain : (H, W) array
            As `gain` gives it; it is changed.
        depth : (H, W) array or None
            As `moves` gives it.
        """
        if depth is not None:
            gain += _deepened(rgba, depth, 2 * round(_PLEAT_MM / (2 * max(mm_per_pixel, 1e-3))) + 1)
        unit = 1 / 255 if rgba.dtype == np.uint8 else 1.0
        *colour, opaque = cv2.mean(rgba)
        # Darker cloth throws back as much light: of its own it is the more.
        stronger = 1 + _SHEEN / max(float(np.dot(colour, LUMA_WEIGHTS)) / max(opaque, 1e-6), _DARKEST)
        np.clip(gain, max(-0.45, -1 / stronger), 0.35, out=gain)
        factor = unit * self.wrinkling.faded
        tones = self.wrinkling.tone.gains([channel / max(opaque, 1e-6) for channel in colour], self.surface.weave)
        planes = [cv2.addWeighted(gain, factor * own * stronger, gain, 0.0, factor * own) for own in tones]
        gains = cv2.merge([*planes, np.full_like(gain, unit)])
        return np.asarray(cv2.multiply(rgba, gains, dtype=cv2.CV_32F), np.float32)


def _on_creases(
    field: Float32Array | Image, chosen: Wrinkling, level: int, across_mm: Float32Array, down_mm: Float32Array
) -> Float32Array:
    """A field of creases, of some level, as it lies on places of the skin."""
    per_mm = (cloth.CREASE_SIDE_WH[0] - 1) / (2 * cloth.HALF_MM) / 2**level
    off = 0.5 / 2**level - 0.5
    x = across_mm * np.float32(-per_mm if chosen.is_mirrored else per_mm)
    x += np.float32((cloth.HALF_MM + chosen.shift_mm[0]) * per_mm + off)
    y = down_mm * np.float32(per_mm)
    y += np.float32((chosen.shift_mm[1] - cloth.TOP_MM) * per_mm + off)
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def _weave_on(
    kind: Weave, number: int, across_mm: Float32Array, down_mm: Float32Array, mm_per_pixel: float
) -> Float32Array:
    """(H, W) the weave of a cloth at places of the skin."""
    level = cloth.level_of(mm_per_pixel * cloth.WEAVE_PER_MM, cloth.WEAVE_LEVELS)
    tile = cloth.weave_of(kind)[level]
    scale = np.float32(cloth.WEAVE_PER_MM / 2**level)
    # A field that does not repeat where the creases repeat.
    x = across_mm * scale
    x += np.float32(2 * number + cloth.HALF_MM) * scale
    y = down_mm * scale
    y += np.float32(-cloth.TOP_MM) * scale
    return np.asarray(cv2.remap(tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP), np.float32)


def _deepened(rgba: Float32Array | Image, depth: Float32Array, window: int) -> Float32Array:
    """(H, W) gains, about 0, that make the pleats of a premultiplied picture as deep as wanted."""
    grey, alpha = cv2.cvtColor(rgba, cv2.COLOR_RGBA2GRAY), cv2.extractChannel(rgba, 3)
    broad, cover = (cv2.blur(plane, (window, window), borderType=cv2.BORDER_CONSTANT) for plane in (grey, alpha))
    # How much darker or lighter a place is than the cloth about it.
    own = cv2.multiply(grey, cover, dtype=cv2.CV_32F)
    about = cv2.multiply(broad, alpha, dtype=cv2.CV_32F)
    about += np.float32(255**2 * 1e-4 if rgba.dtype == np.uint8 else 1e-4)
    pleats = cv2.divide(own, about)
    pleats -= np.float32(1)
    np.clip(pleats, -_DEEPEST, _DEEPEST, out=pleats)
    pleats *= depth - np.float32(1)
    # Beside clear places nothing is told.
    unit = 1 / 255 if rgba.dtype == np.uint8 else 1.0
    return np.asarray(cv2.multiply(pleats, alpha, scale=unit, dtype=cv2.CV_32F), np.float32)


def _pulled(corners: Sequence[Corner], across_mm: Float32Array, down_mm: Float32Array) -> Float32Array:
    """(2, H W) how far corners are drawn towards the ears at places (H, W) of the skin: across, down, millimetres."""
    places = np.array([(one.across, one.down, *one.towards) for one in corners], np.float32).T[..., None]
    apart = np.square(across_mm.reshape(-1) - places[0])
    apart += np.square(down_mm.reshape(-1) - places[1])
    apart *= np.float32(-0.5 / _FELT_MM**2)
    pulled: Float32Array = places[2:, :, 0] @ np.exp(apart, out=apart)
    return pulled


def _folded(gain: Float32Array, corner: Corner, across_mm: Float32Array, down_mm: Float32Array, creases: float) -> None:
    """The folds which a corner throws that is drawn towards the ear, in place."""
    # Where a pixel lies on the skin changes slowly: a few pixels tell which are near.
    few = slice(None, None, _FEWER), slice(None, None, _FEWER)
    near = np.abs(across_mm[few] - np.float32(corner.across)) < _FOLD_MM
    near &= np.abs(down_mm[few] - np.float32(corner.down)) < _FOLD_MM
    left, top, width, height = (_FEWER * edge for edge in cv2.boundingRect(near.view(np.uint8)))
    if not width:
        return
    part = slice(top, top + height), slice(left, left + width)
    across, down = across_mm[part], down_mm[part]
    length = max(math.hypot(*corner.towards), 1e-3)
    u, v = corner.towards[0] / length, corner.towards[1] / length
    # Millimetres inwards, and aside.
    along = cv2.addWeighted(across, -u, down, -v, u * corner.across + v * corner.down + _FOLD_MM)
    off = cv2.addWeighted(across, v, down, -u, u * corner.down - v * corner.across + _FOLD_MM)
    fold = cv2.remap(_fan(), along, off, cv2.INTER_LINEAR)
    gain[part] += fold * np.float32(_FOLD_GAIN * length / PULL_MM * min(creases, 1.0))


@cache
def _fan() -> Float32Array:
    """(h, w) the light on the folds that a corner throws inwards which is drawn towards the ear.

    A pixel is a millimetre; the corner lies in the middle, and inwards is right.
    """
    reach = math.ceil(_FOLD_MM)
    off, along = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float32)
    # Folds fan out: the farther from the corner, the wider.
    aside = off / (_FOLD_WIDTH_MM * (0.6 + np.abs(along) * 1.2 / _FOLD_MM))
    there = np.clip(along / 3, 0, 1) * np.clip(1 - along / _FOLD_MM, 0, 1)
    fan: Float32Array = (there * aside * np.exp(-np.square(aside))).astype(np.float32)
    return fan
