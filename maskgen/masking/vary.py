"""What varies from one masked face to the next beyond the design: the way it is worn, its colour, its pattern.

Convention
----------
Textures are premultiplied RGBA, 0 to 1, sRGB values as they are stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.schema import Wear
from maskgen.images import LUMA
from maskgen.masking import detail, fit, straps
from maskgen.masking.recipe import Patterns, Recipe
from maskgen.masking.tone import TO_YIQ
from maskgen.masking.wear import drawn as drawn_wear

# Straps are thinner than this share of a mask's width, cloth is not.
_STRAP_SHARE: Final = 0.07
# Brightest and darkest that a recolored cloth may be in the middle.
_BRIGHTEST: Final = 0.94
_DARKEST: Final = 0.10
# How far a picture is moved on the slope of a fold, as a share of the cloth's width, for all of its light; from which
# light on a pleat hides cloth, and how much for all the light that is missing.
_BENT_SHARE: Final = 0.06
_PLEATED: Final = -0.03
_HIDDEN: Final = 30.0
# Cloth at least so bright takes on a tint.
_TINTED_FROM: Final = 0.6


@dataclass(frozen=True)
class Recolor:
    """Another colour for the cloth.

    Attributes
    ----------
    hue_deg : float
        How far its hue is turned.
    saturation, brightness : float
        Gains.
    tint : (float, float, float)
        RGB factors, at most 1; for bright cloth, which has no hue to turn.
    """

    hue_deg: float
    saturation: float
    brightness: float
    tint: tuple[float, float, float]


@dataclass(frozen=True)
class Placement:
    """How a picture is laid on the cloth.

    Attributes
    ----------
    number : int
        Of the pattern among all.
    repeat : float
        Width of the picture on the mask, against the mask's.
    turn_deg : float
        How far it is turned.
    shift : (float, float)
        How far it is moved, as a share of its size.
    """

    number: int
    repeat: float
    turn_deg: float
    shift: tuple[float, float]


@dataclass(frozen=True)
class Drawn:
    """What one face gets."""

    wear: Wear = "correct"
    recolor: Recolor | None = None
    pattern: Placement | None = None
    fit: fit.Fit = fit.AS_IN_CATALOG
    wrinkling: detail.Wrinkling | None = None
    hold: straps.Hold | None = None

    @property
    def is_changed(self) -> bool:
        """Whether its texture is another than the catalog's."""
        return self.recolor is not None or self.pattern is not None


AS_IT_IS: Final = Drawn()
"""Worn correctly, in the catalog's colours."""


def draw(recipe: Recipe, rng: np.random.Generator) -> Drawn:
    """What one face gets.

    Nothing is drawn from the generator: the numbers come from a child of it, always as many. So a face wears the same
    design with the same grain whatever varies, and each trait is what it is whatever the others do.
    """
    if not recipe.varies:
        return AS_IT_IS
    # The generator is put back as it was; spawning children would change it, and fail for one that no SeedSequence
    # made.
    state = rng.bit_generator.state
    child = np.random.default_rng(rng.integers(2**64, dtype=np.uint64))
    rng.bit_generator.state = state
    worn = drawn_wear(recipe.wear, child)
    recolored, patterned = child.random(2).tolist()
    hue, saturation, brightness, tint_hue, tint = child.random(5).tolist()
    which, repeat, turn, left, top = child.random(5).tolist()
    recolor, pattern, count = None, None, len(recipe.patterns.names)
    if recolored < recipe.recolor_share:
        recolor = Recolor(
            hue_deg=360 * hue,
            saturation=0.75 + 0.5 * saturation,
            brightness=0.78 + 0.4 * brightness,
            tint=_tint(2 * math.pi * tint_hue, 0.30 * tint),
        )
    if count and patterned < recipe.pattern_share:
        pattern = Placement(
            number=min(int(which * count), count - 1),
            repeat=0.35 * 3.4**repeat,
            turn_deg=30 * turn - 15,
            shift=(left, top),
        )
    sits, wrinkling, hold = fit.drawn(child), detail.drawn(child), straps.drawn(child)
    if recipe.alike:
        return Drawn(worn, recolor, pattern)
    return Drawn(worn, recolor, pattern, sits, wrinkling, hold)


def applied(texture: Float32Array, drawn: Drawn, patterns: Patterns) -> Float32Array:
    """A texture in another colour, or with a picture on its cloth; straps stay as they are."""
    if not drawn.is_changed:
        return texture
    cloth = cloth_region(texture)
    if not (cloth > 0.5).any():
        return texture
    if drawn.pattern is not None:
        texture = patterned(texture, cloth, patterns.pictures[drawn.pattern.number], drawn.pattern)
    if drawn.recolor is not None:
        texture = recolored(texture, cloth, drawn.recolor)
    return texture


def cloth_region(texture: Float32Array) -> Float32Array:
    """(H, W) 1 on the cloth, 0 on its straps: what a strap's width cannot hide in."""
    alpha = texture[..., 3]
    columns = np.flatnonzero((alpha > 0.5).sum(axis=0) > 0.25 * alpha.shape[0])
    width = len(columns) if len(columns) else alpha.shape[1]
    reach = max(round(_STRAP_SHARE * width / 2), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    # Half-clear windows belong to the cloth around them.
    solid = (alpha > 0.04).astype(np.float32)
    edged = cv2.copyMakeBorder(solid, reach, reach, reach, reach, cv2.BORDER_CONSTANT, value=0)
    opened = cv2.morphologyEx(edged, cv2.MORPH_OPEN, disc)[reach:-reach, reach:-reach]
    # Opening rounds corners off; what is left of the cloth next to it comes back.
    small = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * (reach // 2) + 3, 2 * (reach // 2) + 3))
    region: Float32Array = cv2.GaussianBlur(cv2.dilate(opened, small), (0, 0), 0.8)
    return region


def recolored(texture: Float32Array, cloth: Float32Array, recolor: Recolor) -> Float32Array:
    """A texture whose cloth has another hue, saturation and brightness; its shading stays.

    The hue turns in YIQ, where a turn keeps the luma, so folds keep their depth.
    """
    alpha = texture[..., 3:]
    rgb: Float32Array = texture[..., :3] / np.maximum(alpha, np.float32(1e-4))
    middle = _middle_luma(rgb, texture[..., 3], cloth)
    gain = float(np.clip(recolor.brightness, _DARKEST / max(middle, 1e-3), _BRIGHTEST / max(middle, 1e-3)))
    if middle < _DARKEST:
        gain = max(min(recolor.brightness, 1.3), 0.9)
    turn = np.radians(recolor.hue_deg)
    chroma = recolor.saturation * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    in_yiq = np.eye(3)
    in_yiq[1:, 1:] = chroma
    matrix = (np.linalg.inv(TO_YIQ) @ in_yiq @ TO_YIQ).astype(np.float32)
    changed = gain * (rgb @ matrix.T)
    strength = float(np.clip((middle - _TINTED_FROM) / 0.2, 0, 1))
    changed = changed * (1 - strength * (1 - np.array(recolor.tint, np.float32)))
    changed = _in_gamut(changed)
    mixed = rgb + cloth[..., None] * (changed - rgb)
    return np.concatenate([mixed * alpha, alpha], axis=-1).astype(np.float32)


def patterned(texture: Float32Array, cloth: Float32Array, picture: Image, pattern: Placement) -> Float32Array:
    """A texture with a picture on its cloth, under the shading that the cloth had.

    The picture is laid in the texture's frame, so it follows the face as the texture does; it bends over the folds, and
    breaks off where a pleat hides some of it. Beyond its edges a seamless picture is repeated, any other goes on
    mirrored.
    """
    alpha = texture[..., 3:]
    rgb: Float32Array = texture[..., :3] / np.maximum(alpha, np.float32(1e-4))
    height, width = texture.shape[:2]
    scale = picture.shape[1] / (pattern.repeat * width)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), pattern.turn_deg, scale)
    matrix[:, 2] += np.array(pattern.shift) * picture.shape[1::-1]
    source = picture.astype(np.float32) / 255
    if scale > 1:
        source = cv2.GaussianBlur(source, (0, 0), 0.4 * scale)
    beyond = cv2.BORDER_WRAP if _is_seamless(picture) else cv2.BORDER_REFLECT
    form, folds = _shading(rgb, texture[..., 3], cloth)
    columns, rows = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)[:, None]
    right, down = _folded(folds, cloth * texture[..., 3])
    # Where each place of the cloth lies once its folds are smoothed out, and there in the picture.
    to_picture = matrix.astype(np.float32)
    flat_x, flat_y = columns + right, rows + down
    place = [to_picture[axis, 0] * flat_x + to_picture[axis, 1] * flat_y + to_picture[axis, 2] for axis in (0, 1)]
    laid = cv2.remap(source, place[0], place[1], cv2.INTER_LINEAR, borderMode=beyond)
    # Windows stay clear.
    share = (cloth * np.clip(texture[..., 3] * 1.5 - 0.5, 0, 1))[..., None]
    changed = np.clip(laid * (form * folds)[..., None], 0.02, 0.96)
    mixed = rgb + share * (changed - rgb)
    return np.concatenate([mixed * alpha, alpha], axis=-1).astype(np.float32)


def _folded(folds: Float32Array, cloth: Float32Array) -> tuple[Float32Array, Float32Array]:
    """How far to the right and down what is seen on folded cloth, its light (H, W) given, would lie on flat cloth."""
    width = folds.shape[1]
    off = (folds - 1) * (cloth > 0.98)
    # What is lit from above faces up: it is seen from closer by.
    slope = cv2.GaussianBlur(off, (0, 0), max(0.004 * width, 0.5)) * np.float32(_BENT_SHARE * width)
    # A pleat hides cloth behind its shaded underside; a seam, which runs down, does not.
    shaded = np.maximum(_PLEATED - off, 0)
    along = cv2.GaussianBlur(shaded, (0, 0), sigmaX=max(0.02 * width, 0.5), sigmaY=0.5)
    along -= cv2.GaussianBlur(along, (0, 0), sigmaX=0.5, sigmaY=max(0.05 * width, 0.5))
    hidden = np.cumsum(np.maximum(along, 0), axis=0, dtype=np.float32) * np.float32(_HIDDEN)
    return np.float32(0.6) * slope, slope + hidden


def _is_seamless(picture: Image) -> bool:
    """Whether a picture's opposite edges go on in each other: they differ hardly more than neighbours inside it do."""
    values = picture.astype(np.float32)
    for axis in (0, 1):
        if values.shape[axis] < 2:
            return False
        step = float(np.abs(np.diff(values, axis=axis)).mean())
        seam = float(np.abs(values.take(0, axis=axis) - values.take(-1, axis=axis)).mean())
        if seam > 2 * step + 3:
            return False
    return True


def _tint(angle: float, strength: float) -> tuple[float, float, float]:
    channels: Sequence[float] = [1 - strength * (0.5 + 0.5 * math.cos(angle + k * 2 * math.pi / 3)) for k in range(3)]
    return channels[0], channels[1], channels[2]


def _middle_luma(rgb: Float32Array, alpha: Float32Array, cloth: Float32Array) -> float:
    inside = (cloth > 0.9) & (alpha > 0.95)
    luma = rgb @ LUMA
    return float(np.median(luma[inside if inside.any() else cloth > 0.5]))


def _in_gamut(rgb: Float32Array) -> Float32Array:
    """Colours drawn towards the grey of their luma until every channel fits, at most 1."""
    luma = np.clip(rgb @ LUMA, 0.0, 0.97)[..., None]
    off = rgb - luma
    highest, lowest = off.max(axis=-1, keepdims=True), off.min(axis=-1, keepdims=True)
    room = np.minimum((0.98 - luma) / np.maximum(highest, 1e-6), luma / np.maximum(-lowest, 1e-6))
    fitted: Float32Array = luma + off * np.clip(room, 0, 1)
    return fitted


def _shading(rgb: Float32Array, alpha: Float32Array, cloth: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Light on the cloth, two (H, W) arrays about 1: its broad form, and its folds, what is printed on it held back."""
    luma = np.maximum(rgb @ LUMA, 0.01)
    weight = cloth * alpha + 1e-4
    sigma = max(0.04 * luma.shape[1], 1.0)
    broad = cv2.GaussianBlur(luma * weight, (0, 0), sigma) / cv2.GaussianBlur(weight, (0, 0), sigma)
    middle = max(_middle_luma(rgb, alpha, cloth), 0.01)
    # Dark cloth shows its form as sheen, many times its own luma.
    form = np.clip(broad / middle, 0.4, 1.4) ** np.float32(0.7 if middle < 0.25 else 1.0)
    folds = np.clip(luma / np.maximum(broad, 0.01), 0.8, 1.12)
    return form.astype(np.float32), folds.astype(np.float32)
