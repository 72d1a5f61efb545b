"""What no texture holds: creases that differ from face to face, how they bend what is on the cloth, and its weave.

All are fields over the skin unrolled, in millimetres. They are made once from fixed seeds, so they take no room in a
catalog and are as sharp on a face of 1,000 pixels as on one of 100.

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

CREASE_FIELDS: Final = 8
"""How many fields of creases there are; each serves mirrored too."""
# What a field of creases spans: millimetres round the head to both sides, and down from the eyes' height.
_HALF_MM: Final = 140.0
_TOP_MM, _BOTTOM_MM = -30.0, 190.0
_CREASE_SIDE_WH: Final = (280, 220)
# Cloth has no sharper creases than so many millimetres; and how often a field is at hand in half the size, blurred by
# so many of its cells, or creases would break up into dashes on small faces.
_SOFT_MM: Final = 1.0
_CREASE_LEVELS: Final = 3
_SOFT_CELLS: Final = 0.7
_PER_UNIT, _ZERO = 40.0, 128.0
# Pixels of the weave's tile per millimetre, and its side.
_WEAVE_PER_MM: Final = 6.0
_WEAVE_SIDE: Final = 384
_WEAVE_LEVELS: Final = 6
_REPEATED_FROM: Final = 2
# Gain of the deepest creases and of the weave, as a deviation.
_CREASE_GAIN: Final = 0.066
_WEAVE_GAIN: Final[dict[Weave, float]] = {"nonwoven": 0.021, "woven": 0.036, "knit": 0.048, "smooth": 0.018}
# How much lighter one side may be than the other, in deviations of the creases.
_SIDES: Final = 1.8
# How much light comes from the sides, against that from above, and how deep the upright folds are that cloth has where
# it stands off the face.
_ASIDE: Final = 1.0
_TENTS: Final = 0.5
# Black cloth shows its folds by what it throws back, whatever its colour.
_SHEEN: Final = 0.10
# How far creases move what is on the cloth, and how far pleats lie from where they are in the catalog, as deviations.
_BENT_MM: Final = 0.6
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
        Of the field among `CREASE_FIELDS`.
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


def drawn(rng: np.random.Generator) -> Wrinkling:
    """Creases and wear of one mask; fourteen numbers are drawn from the generator."""
    which, side, across, down, strength, worn, faded = rng.random(7).tolist()
    astray, depth, uneven, *pulls = rng.random(7).tolist()
    return Wrinkling(
        number=min(int(which * CREASE_FIELDS), CREASE_FIELDS - 1),
        is_mirrored=side < 0.5,
        shift_mm=(16 * across - 8, 16 * down - 8),
        strength=0.35 + 1.3 * strength,
        worn=0.7 + 0.9 * worn,
        faded=0.95 + 0.07 * faded,
        astray=2 * astray - 1,
        depth=0.4 + 1.05 * depth,
        uneven=0.9 * uneven - 0.45,
        pulls=(pulls[0], pulls[1], pulls[2], pulls[3]),
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
            level = _level(mm_per_pixel, _CREASE_LEVELS)
            fields = _on_creases(_softened(chosen.number)[level].bends, chosen, level, across_mm, down_mm)
            bent = _BENT_MM * chosen.strength * creases / _PER_UNIT
            astray = _ASTRAY_MM * chosen.astray * min(creases, 1.0) / _PER_UNIT
            gains = np.array([[-bent if chosen.is_mirrored else bent, 0, 0], [0, bent, astray]], np.float32)
            moved += gains @ np.subtract(fields.reshape(-1, 3).T, np.float32(_ZERO), dtype=np.float32)
        if self.corners:
            moved -= _pulled(self.corners, across_mm, down_mm)
        moved = moved.reshape(2, *across_mm.shape)
        depth = None
        if self.surface.weave == "nonwoven" and creases > 0:
            # A print, which threads mean, would be taken for pleats.
            deeper = np.float32(chosen.uneven / 60)
            depth = 1 + np.float32(creases) * (np.clip(chosen.depth + deeper * across_mm, 0.35, 1.7) - 1)
        return Moves(moved[0], moved[1], depth)

    def gain(self, across_mm: Float32Array, down_mm: Float32Array, mm_per_pixel: float) -> Float32Array:
        """(H, W) logarithm of how much lighter creases and weave make each pixel; parameters as `moves`."""
        chosen, surface = self.wrinkling, self.surface
        level = _level(mm_per_pixel, _CREASE_LEVELS)
        gain = _on_creases(_softened(chosen.number)[level].shades, chosen, level, across_mm, down_mm)
        gain *= np.float32(_CREASE_GAIN * chosen.strength * surface.creases)
        weave = _weave_on(surface.weave, chosen.number, across_mm, down_mm, mm_per_pixel)
        gain = np.asarray(cv2.scaleAdd(weave, _WEAVE_GAIN[surface.weave] * chosen.worn, gain), np.float32)
        if mm_per_pixel < _FOLDS_UP_TO:
            for corner in self.corners:
                _folded(gain, corner, across_mm, down_mm, surface.creases)
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
        gain = cv2.addWeighted(gain, factor * stronger, gain, 0.0, factor)
        gains = cv2.merge([gain, gain, gain, np.full_like(gain, unit)])
        return np.asarray(cv2.multiply(rgba, gains, dtype=cv2.CV_32F), np.float32)


def _on_creases(
    field: Float32Array | Image, chosen: Wrinkling, level: int, across_mm: Float32Array, down_mm: Float32Array
) -> Float32Array:
    """A field of creases, of some level, as it lies on places of the skin."""
    per_mm = (_CREASE_SIDE_WH[0] - 1) / (2 * _HALF_MM) / 2**level
    off = 0.5 / 2**level - 0.5
    x = across_mm * np.float32(-per_mm if chosen.is_mirrored else per_mm)
    x += np.float32((_HALF_MM + chosen.shift_mm[0]) * per_mm + off)
    y = down_mm * np.float32(per_mm)
    y += np.float32((chosen.shift_mm[1] - _TOP_MM) * per_mm + off)
    return np.asarray(cv2.remap(field, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT))


def _weave_on(
    kind: Weave, number: int, across_mm: Float32Array, down_mm: Float32Array, mm_per_pixel: float
) -> Float32Array:
    """(H, W) the weave of a cloth at places of the skin."""
    level = _level(mm_per_pixel * _WEAVE_PER_MM, _WEAVE_LEVELS)
    tile = _weave(kind)[level]
    scale = np.float32(_WEAVE_PER_MM / 2**level)
    # A field that does not repeat where the creases repeat.
    x = across_mm * scale
    x += np.float32(2 * number + _HALF_MM) * scale
    y = down_mm * scale
    y += np.float32(-_TOP_MM) * scale
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


@cache
def _creases(number: int) -> Float32Array:
    """(h, w, 4) creases as light from above shows them, how they move what is on the cloth, right and down, and pleats.

    The last is how far pleats lie from where they should: each by itself, and otherwise at one end than at the other.
    """
    rng = np.random.default_rng([number, 68])
    width, height = _CREASE_SIDE_WH
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    # Slack: flat faces, a crease where two meet; they run across, down and anyhow.
    fields = [
        _blurred(rng.standard_normal((height, width)), *size) for size in ((20.0, 7.0), (7.0, 16.0), (10.0, 10.0))
    ]
    relief = 1.1 * np.maximum(np.maximum(fields[0], fields[1]), fields[2])
    # Pulls: from the sides and the corners inwards.
    for _ in range(int(rng.integers(12, 22))):
        side = rng.choice([-1.0, 1.0])
        start = np.array([width / 2 + side * rng.uniform(48, 78), rng.uniform(45, 145)])
        goal = np.array([width / 2 + side * rng.uniform(-5, 40), start[1] + rng.uniform(-32, 32)])
        broad, depth = rng.uniform(1.6, 4.0), rng.uniform(0.6, 2.0) * rng.choice([-1, 1], p=[0.3, 0.7])
        low, high = (np.floor(edge).astype(int) for edge in (np.minimum(start, goal) - 9, np.maximum(start, goal) + 10))
        near = slice(max(low[1], 0), max(high[1], 0)), slice(max(low[0], 0), max(high[0], 0))
        relief[near] += _pull(columns[near], rows[near], start, goal, broad, depth)
    light = cv2.Sobel(relief.astype(np.float32), cv2.CV_32F, 0, 1) / 8
    # From above, and from one side more than from the other.
    light += rng.uniform(-_ASIDE, _ASIDE) * cv2.Sobel(relief.astype(np.float32), cv2.CV_32F, 1, 0) / 8
    light += _TENTS * _blurred(rng.standard_normal((height, width)), 5.0, 14.0) * light.std()
    light -= 0.5 * (cv2.GaussianBlur(relief, (0, 0), 3.0) - relief).astype(np.float32)
    light -= light.mean()
    wander = 5 * _blurred(rng.standard_normal((height, 1)), 1.0, 14.0)
    shades = np.clip(light / light.std() + _sides(columns, rows, rng.uniform(0, _SIDES), wander), -3, 3)
    soft = cv2.GaussianBlur(relief, (0, 0), 1.5).astype(np.float32)
    right, down = (cv2.Sobel(soft, cv2.CV_32F, *axis) / 8 for axis in ((1, 0), (0, 1)))
    spread = np.sqrt((right.var() + down.var()) / 2)
    fan = (columns - width / 2) / 60 * _blurred(rng.standard_normal((height, 1)).repeat(width, axis=1), 1.0, 8.0)
    astray = 0.8 * _blurred(rng.standard_normal((height, width)), 45.0, 9.0) + 0.6 * np.clip(fan, -2.5, 2.5)
    shifts = (np.clip(shift, -2.5, 2.5) for shift in (right / spread, down / spread, astray))
    creases: Float32Array = cv2.merge([field.astype(np.float32) for field in (shades, *shifts)])
    return creases


class _Creases(NamedTuple):
    """Creases as cloth shows them, the one float32, the other uint8.

    Attributes
    ----------
    shades : (h, w) array
        How light they are.
    bends : (h, w, 3) array
        How they move what is on the cloth, and pleats, in `_PER_UNIT` steps from `_ZERO` on: bytes take less room.
    """

    shades: Float32Array
    bends: Image


@cache
def _softened(number: int) -> tuple[_Creases, ...]:
    """Creases as soft as cloth has them, then the same ever coarser by halves."""
    levels = [cv2.GaussianBlur(_creases(number), (0, 0), _SOFT_MM)]
    for _ in range(_CREASE_LEVELS - 1):
        soft = cv2.GaussianBlur(levels[-1], (0, 0), _SOFT_CELLS)
        levels.append(cv2.resize(soft, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    return tuple(
        _Creases(
            np.ascontiguousarray(level[..., 0]),
            np.clip(np.round(level[..., 1:] * _PER_UNIT + _ZERO), 0, 255).astype(np.uint8),
        )
        for level in levels
    )


def _level(cells_per_pixel: float, levels: int) -> int:
    """Which of the fields that are ever coarser by halves has about a cell for each pixel."""
    return min(max(round(math.log2(max(cells_per_pixel, 1e-3))), 0), levels - 1)


def _sides(x: Float32Array, y: Float32Array, strength: float, wander: Float32Array) -> Float32Array:
    """One side of a mask lighter than the other: cloth that stands off the nose has an edge there, as a tent has.

    The edge is not straight: it wanders, row by row.
    """
    across, down = x - _CREASE_SIDE_WH[0] / 2 - wander, y + _TOP_MM
    below_nose = np.clip((down - 35) / 15, 0, 1) * np.clip((125 - down) / 20, 0, 1)
    sides: Float32Array = strength * np.tanh(across / 9) * np.exp(-np.abs(across) / 50) * below_nose
    return sides


def _pull(
    x: Float32Array, y: Float32Array, start: np.ndarray, goal: np.ndarray, width: float, depth: float
) -> Float32Array:
    """A sharp crease that dies away towards its goal."""
    length = float(np.linalg.norm(goal - start))
    way = (goal - start) / length
    along = ((x - start[0]) * way[0] + (y - start[1]) * way[1]) / length
    off = -(x - start[0]) * way[1] + (y - start[1]) * way[0]
    crest = np.maximum(1 - np.abs(off) / (1.5 * width * (0.4 + 0.6 * np.clip(along, 0, 1))), 0)
    result: Float32Array = depth * crest * np.clip(8 * along, 0, 1) * np.square(np.clip(1.05 - along, 0, 1))
    return result


@cache
def _weave(kind: Weave) -> tuple[Float32Array, ...]:
    """A seamless tile of cloth, then the same ever coarser by halves."""
    rng = np.random.default_rng([list(_WEAVE_GAIN).index(kind), 384])
    side = _WEAVE_SIDE
    rows, columns = np.mgrid[:side, :side].astype(np.float32) / side * 2 * np.pi
    # Pressed fibres are even; threads and stitches are not.
    broad = 0.35 if kind == "nonwoven" else 1.0
    cloud = 0.6 * _blurred(rng.standard_normal((side, side)), 1.2, 1.2)
    for sigma, share in ((4.0, 0.45 * broad), (12.0, 0.35 * broad)):
        cloud = cloud + np.float32(share) * _blurred(rng.standard_normal((side, side)), sigma, sigma)
    if kind == "nonwoven":
        # Fibres every which way, pressed together in small dots.
        fibres = np.zeros((side, side), np.float32)
        for _ in range(1500):
            start, turn = rng.uniform(0, side, 2), rng.uniform(0, np.pi)
            reach = rng.uniform(8, 26) * np.array([np.cos(turn), np.sin(turn)])
            shade = float(rng.uniform(-1, 1))
            for wrap in ((0, 0), (side, 0), (0, side), (side, side)):
                a, b = (tuple(int(v) for v in np.round(start + sign * reach - wrap)) for sign in (-1, 1))
                cv2.line(fibres, a, b, shade, 1, cv2.LINE_AA)
        dots = np.cos(48 * columns) * np.cos(48 * rows)
        field = (
            0.9 * _unit(cv2.GaussianBlur(fibres, (0, 0), 0.6, borderType=cv2.BORDER_REFLECT))
            + cloud
            - 0.5 * np.maximum(dots, 0)
        )
    elif kind == "woven":
        # Threads over and under each other, none as thick as the next.
        thick = 0.8 + 0.25 * _blurred(rng.standard_normal((side, side)), 0.8, 14.0)
        threads = np.cos(96 * columns) * np.cos(96 * rows) + 0.35 * np.cos(192 * columns) + 0.35 * np.cos(192 * rows)
        field = 0.9 * threads * thick + cloud + 0.4 * _blurred(rng.standard_normal((side, side)), 14.0, 0.7)
    elif kind == "knit":
        lean = np.abs(np.sin(24 * columns))
        field = np.cos(40 * rows + 2.6 * lean) * lean + 0.6 * lean + 0.7 * cloud
    else:
        field = cloud
    levels = [_unit(field)]
    for _ in range(_WEAVE_LEVELS - 1):
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    # Coarse ones over and over, as far as masks reach: what lies inside a tile is drawn five times as fast.
    over_mm = (_BOTTOM_MM - _TOP_MM, 2 * _HALF_MM + 2 * CREASE_FIELDS)
    return tuple(
        np.tile(level, [math.ceil(mm * _WEAVE_PER_MM / side) for mm in over_mm]) if number >= _REPEATED_FROM else level
        for number, level in enumerate(levels)
    )


def _blurred(raw: np.ndarray, across: float, down: float) -> Float32Array:
    """Noise blurred round the edges, its deviation 1."""
    reach = int(4 * max(across, down)) + 1
    padded = np.pad(raw.astype(np.float32), reach, mode="wrap")
    smooth = cv2.GaussianBlur(padded, (0, 0), sigmaX=across, sigmaY=down)[reach:-reach, reach:-reach]
    return _unit(smooth)


def _unit(field: Float32Array) -> Float32Array:
    unit: Float32Array = ((field - field.mean()) / field.std()).astype(np.float32)
    return unit
