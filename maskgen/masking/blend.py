"""An overlay over an image, so that the mask looks as if the camera had seen it.

The mask takes on the light of the face (exposure, white balance, the shading that lies on the skin beneath), the
sharpness and the noise of the photograph, and throws a soft shadow at its rim. Each step is a small function of its own
and `Look` switches it off. What the photograph tells stands in `maskgen.masking.light`.

Convention
----------
Gains multiply sRGB values as they are stored, so a gain of 0.5 is about a fifth of the light.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.images import LUMA
from maskgen.masking.grain import with_grain
from maskgen.masking.light import Appearance, Light
from maskgen.masking.occlude import Visible
from maskgen.masking.recipe import DEFAULT_LOOK, Look
from maskgen.masking.warp import Overlay

_BLOCK: Final = 1_000_000  # pixels
# Brightness from which highlights are compressed.
_KNEE: Final = np.float32(0.9)


@dataclass(frozen=True)
class Blended:
    """An image with a mask on it.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    alpha : (h, w) float32 array
        How much of the mask is seen, 0 to 1, in a part of the image.
    region : tuple of 2 slices
        Rows and columns of that part.
    """

    image: Image
    alpha: Float32Array
    region: tuple[slice, slice]


def over(
    image: Image,
    overlay: Overlay,
    appearance: Appearance,
    rng: np.random.Generator,
    look: Look = DEFAULT_LOOK,
    visible: Visible | None = None,
) -> Blended:
    """The image with the overlay on it.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB; it is not changed.
    overlay : Overlay
        The warped mask.
    appearance : Appearance
        Of the face that wears it.
    rng : numpy.random.Generator
        Draws the noise.
    look : Look
        Which traits of the photograph the mask takes on.
    visible : Visible, optional
        Where the mask may be drawn, and where something lies in front; by default everywhere.

    Returns
    -------
    Blended
        A new image. Pixels farther from the mask than its shadow reaches keep every bit.
    """
    if not overlay.rgba.size or not overlay.rgba[..., 3].any():
        return Blended(image.copy(), np.zeros((0, 0), np.float32), (slice(0, 0), slice(0, 0)))
    rows, columns = _grown(overlay.region, round(0.05 * appearance.size) + 2, image.shape)
    result, alpha = image.copy(), np.empty((rows.stop - rows.start, columns.stop - columns.start), np.float32)
    # So many rows at a time: each step of a face that fills a large picture would need as much memory as the picture.
    step = max(_BLOCK // alpha.shape[1], 1)
    around = _reach(appearance, look) if step < alpha.shape[0] else 0
    for first in range(rows.start, rows.stop, step):
        block = slice(first, min(first + step, rows.stop))
        part = _part(overlay, _grown((block, slice(columns.start, columns.stop)), (around, 0), image.shape))
        mixed, seen = _mixed(image, part, block, appearance, rng, look, visible)
        # Rounds to the nearest; a pixel that nothing lies on comes back as it was.
        result[block, columns] = cv2.convertScaleAbs(mixed, alpha=255)
        alpha[block.start - rows.start : block.stop - rows.start] = seen
    return Blended(result, alpha, (rows, columns))


def _mixed(
    image: Image,
    overlay: Overlay,
    rows: slice,
    appearance: Appearance,
    rng: np.random.Generator,
    look: Look,
    visible: Visible | None,
) -> tuple[Float32Array, Float32Array]:
    """Some rows of the overlay over the image, (H, W, 3) 0 to 1, and how much of it is seen there, (H, W)."""
    rgba, size = overlay.rgba, appearance.size
    if look.exposure or look.white_balance:
        rgba = relit(rgba, appearance.light, look.exposure, look.white_balance)
    if look.shading:
        rgba = shaded(rgba, appearance.shading.at(overlay.region))
    if look.exposure or look.white_balance or look.shading:
        rgba = rolled_off(rgba)
    softness = look.feather * size
    if look.sharpness:
        softness = float(np.hypot(softness, appearance.blur))
    rgba = blurred(rgba, softness)
    own = slice(rows.start - overlay.top, rows.stop - overlay.top)
    shadow = rim_shadow(rgba[..., 3], size)[own] if look.shadow else None
    rgba = rgba[own]
    if visible is not None:
        # After the shadow, which does not fall on what lies in front of the mask.
        share = visible.at((rows, overlay.region[1]))
        rgba = rgba * cv2.merge([share] * 4)
        shadow = None if shadow is None else shadow * share
    below: Float32Array = (image[rows, overlay.region[1]] / np.float32(255)).astype(np.float32)
    if shadow is not None:
        below *= _three(1 - shadow)
    if look.noise:
        rgba = with_grain(rgba, appearance.noise, rng)
    return composite(below, rgba), rgba[..., 3]


def _reach(appearance: Appearance, look: Look) -> int:
    """How far a pixel of the mask may show, in pixels; OpenCV cuts a Gaussian at four deviations."""
    blur = np.hypot(look.feather * appearance.size, appearance.blur if look.sharpness else 0.0)
    return int(np.ceil(4 * blur + 4.5 * _shadow_reach(appearance.size))) + 4


def composite(below: Float32Array, rgba: Float32Array) -> Float32Array:
    """Premultiplied ``rgba`` (H, W, 4) over ``below`` (H, W, 3), 0 to 1 [1]_.

    Colour above its opacity, which gains may leave, is cut to it.

    References
    ----------
    .. [1] T. Porter, T. Duff, "Compositing Digital Images", SIGGRAPH 1984.
    """
    alpha = _three(rgba[..., 3])
    rgb = np.clip(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), 0, alpha)
    mixed: Float32Array = rgb + below * (1 - alpha)
    return mixed


def _grown(region: tuple[slice, slice], margin: int | tuple[int, int], shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns with a margin, one for both or one each, as far as an image of that shape reaches."""
    down, along = (margin, margin) if isinstance(margin, int) else margin
    rows, columns = region
    return (
        slice(max(rows.start - down, 0), min(rows.stop + down, shape[0])),
        slice(max(columns.start - along, 0), min(columns.stop + along, shape[1])),
    )


def _part(overlay: Overlay, region: tuple[slice, slice]) -> Overlay:
    """What an overlay has in some rows and columns of the image; clear where it has nothing."""
    (rows, columns), (own_rows, own_columns) = region, overlay.region
    top, left = max(rows.start, own_rows.start), max(columns.start, own_columns.start)
    bottom, right = max(min(rows.stop, own_rows.stop), top), max(min(columns.stop, own_columns.stop), left)
    rgba = np.zeros((rows.stop - rows.start, columns.stop - columns.start, 4), np.float32)
    rgba[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start] = overlay.rgba[
        top - overlay.top : bottom - overlay.top, left - overlay.left : right - overlay.left
    ]
    return Overlay(rgba, columns.start, rows.start)


def relit(rgba: Float32Array, light: Light, exposure: bool, white_balance: bool) -> Float32Array:
    """The overlay under another light."""
    gain = np.ones(4, np.float32)
    if exposure:
        gain[:3] *= light.exposure
    if white_balance:
        gain[:3] *= 1 + (light.balance - 1) * light.saturation
        if light.saturation < 1:
            rgba = rgba @ _saturation_matrix(light.saturation)
    return rgba * gain


def _saturation_matrix(saturation: float) -> Float32Array:
    """(4, 4): ``rgba @ matrix`` keeps that share of the colour."""
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = np.eye(3) * saturation + LUMA[:, None] * (1 - saturation)
    return matrix


def shaded(rgba: Float32Array, gain: Float32Array) -> Float32Array:
    """The overlay, its colour times a gain (H, W)."""
    result: Float32Array = rgba * cv2.merge([gain, gain, gain, np.ones_like(gain)])
    return result


def rolled_off(rgba: Float32Array) -> Float32Array:
    """The overlay with its highlights compressed, as a camera does: the brighter, the more, and none is cut off."""
    alpha = _three(rgba[..., 3])
    rgb = cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB)
    excess = np.maximum(rgb - _KNEE * alpha, 0)
    if not excess.any():
        return rgba
    room = (1 - _KNEE) * alpha
    # x / (1 + x) of the room above the knee: it goes on at the same slope, and never comes to 1.
    lowered = rgb - excess + excess * room / (room + excess + np.float32(1e-9))
    result: Float32Array = cv2.merge([*cv2.split(lowered), rgba[..., 3]])
    return result


def blurred(rgba: Float32Array, sigma: float) -> Float32Array:
    """The overlay blurred by a Gaussian, premultiplied as it is."""
    if sigma <= 0.2:
        return rgba
    soft: Float32Array = cv2.GaussianBlur(rgba, (0, 0), sigma)
    return soft


def rim_shadow(alpha: Float32Array, size: float) -> Float32Array:
    """(H, W) darkness, 0 to 0.3, next to the mask and mostly below it, where light from above does not reach."""
    reach = _shadow_reach(size)
    low = cv2.GaussianBlur(alpha, (0, 0), reach)
    shift = np.array([[1, 0, 0], [0, 1, 0.5 * reach]], np.float32)
    low = cv2.warpAffine(low, shift, (alpha.shape[1], alpha.shape[0]))
    # The tail of a Gaussian would reach beyond the overlay's margin.
    shadow: Float32Array = 0.3 * cv2.threshold(low, 0.02, 0, cv2.THRESH_TOZERO)[1] * (1 - alpha)
    return shadow


def _shadow_reach(size: float) -> float:
    return max(0.012 * size, 0.6)


def _three(plane: Float32Array) -> Float32Array:
    """(H, W) as three equal channels: numpy broadcasts a last axis of one slowly."""
    three: Float32Array = cv2.merge([plane, plane, plane])
    return three
