"""An overlay over an image, so that the mask looks as if the camera had seen it.

The mask takes on the light of the face (exposure, white balance, the shading that lies on the skin beneath), the
sharpness and the noise of the photograph, and throws a soft shadow at its rim. Each step is a small function of its own
and `Look` switches it off. What the photograph tells stands in `maskgen.masking.light`.

Convention
----------
Gains multiply sRGB values as they are stored, so a gain of 0.5 is about a fifth of the light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.images import LUMA
from maskgen.masking import occlude
from maskgen.masking.grain import drawn, strength_on
from maskgen.masking.light import Appearance, Light
from maskgen.masking.occlude import Visible
from maskgen.masking.recipe import DEFAULT_LOOK, Look
from maskgen.masking.warp import Overlay

_BLOCK: Final = 100_000  # pixels
# A mask is drawn so many times smaller than the image that its blur is this wide, pixels, or wider; but no face smaller
# than so many pixels.
_NARROWEST: Final = 0.7
_SMALLEST: Final = 96
# No photograph is sharper, standard deviation in pixels: edges and pleats would be jagged.
_SHARPEST: Final = 0.55
# What drawing it larger again blurs, pixels squared.
_RESIZING: Final = 1 / 6
# Brightness from which highlights are compressed; what takes a premultiplied colour to how far it lies above that, and
# to the room that there is.
_KNEE: Final = 0.9
_EXCESS: Final = np.array([[1, 0, 0, -_KNEE], [0, 1, 0, -_KNEE], [0, 0, 1, -_KNEE], [0, 0, 0, 0]])
_ROOM: Final = np.array([[0, 0, 0, 1 - _KNEE, 1e-9]] * 3 + [[0, 0, 0, 0, 1]])


@dataclass(frozen=True)
class Blended:
    """An image with a mask on it.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    region : tuple of 2 slices
        Rows and columns of the part that has changed.
    """

    image: Image
    region: tuple[slice, slice]
    _opacity: Image
    _step: float = 1.0

    @property
    def alpha(self) -> Float32Array:
        """(h, w) how much of the mask is seen in that part, 0 to 1."""
        size_wh = self.region[1].stop - self.region[1].start, self.region[0].stop - self.region[0].start
        opacity: Float32Array = _enlarged(self._opacity, self._step, size_wh).astype(np.float32) / np.float32(255)
        return opacity


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
        return Blended(image.copy(), (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.uint8))
    step, size = overlay.step, appearance.size
    overlay = _padded(_in_light(overlay, appearance, look), round(0.05 * size / step) + 2, image.shape)
    rows, columns = (
        slice(round(side.start * step), min(round(side.stop * step), length))
        for side, length in zip(overlay.region, image.shape, strict=False)
    )
    size_wh = columns.stop - columns.start, rows.stop - rows.start
    seen, let_through = _seen_by_camera(overlay, appearance, look)
    # Bytes are put together faster than what they are made from.
    rgba, through = (np.asarray(cv2.convertScaleAbs(one, alpha=255), np.uint8) for one in (seen, let_through))
    share = None if visible is None else visible.at(overlay.region, step)
    if share is not None:
        # What is hidden of the mask lets all through. Inverted twice: where nothing lies, nothing is rounded.
        rgba = np.asarray(cv2.multiply(rgba, cv2.merge([share] * 4), scale=1 / 255), np.uint8)
        through = np.asarray(cv2.bitwise_not(cv2.multiply(cv2.bitwise_not(through), share, scale=1 / 255)), np.uint8)
    strength = None
    if look.noise and appearance.noise > 0:
        strength = strength_on(rgba, appearance.noise)
    above = _enlarged(cv2.cvtColor(rgba, cv2.COLOR_RGBA2RGB), step, size_wh)
    let = _enlarged(through, step, size_wh)
    grain = drawn(rng, size_wh) if look.noise else None
    strength = None if strength is None else _enlarged(strength, step, size_wh)
    result = image.copy()
    # So many rows at a time: what one operation leaves is at hand for the next.
    height = max(_BLOCK // size_wh[0], 1)
    for first in range(0, size_wh[1], height):
        block = slice(first, first + height)
        below = image[rows, columns][block]
        # A pixel that nothing lies on comes back as it was.
        passed = cv2.multiply(below, cv2.cvtColor(let[block], cv2.COLOR_GRAY2RGB), scale=1 / 255)
        mixed = np.asarray(cv2.add(passed, above[block]), np.uint8)
        if grain is not None and strength is not None:
            mixed = grain.part(block).on(mixed, strength[block])
        result[rows, columns][block] = mixed
    return Blended(result, (rows, columns), cv2.extractChannel(rgba, 3), step)


def step_of(appearance: Appearance, look: Look) -> float:
    """How many times smaller than the image a mask may be drawn without losing anything that its blur leaves."""
    blur = _softness(appearance, look)
    most = max(appearance.size / _SMALLEST, 1.0)
    # In halves: so many whole pixels are as many in the image.
    return max(math.floor(2 * min(blur / _NARROWEST, most)), 2) / 2


def _softness(appearance: Appearance, look: Look) -> float:
    """Standard deviation of the blur of a mask, pixels of the image."""
    return math.hypot(look.feather * appearance.size, appearance.blur if look.sharpness else 0.0)


def _in_light(overlay: Overlay, appearance: Appearance, look: Look) -> Overlay:
    """An overlay in the light that falls on the face."""
    rgba, step = overlay.rgba, overlay.step
    if look.exposure or look.white_balance or look.shading:
        shading = appearance.shading.at(overlay.region, step) if look.shading else None
        rgba = lit(rgba, appearance.light, shading, look.exposure, look.white_balance)
    return Overlay(rolled_off(rgba), overlay.left, overlay.top, step, overlay.blur, overlay.on_top)


def _seen_by_camera(overlay: Overlay, appearance: Appearance, look: Look) -> tuple[Float32Array, Float32Array]:
    """An overlay as the camera sees it, (H, W, 4) premultiplied, and what it lets through, (H, W); 0 to 1."""
    rgba, step = overlay.rgba, overlay.step
    blur = (_softness(appearance, look) / step) ** 2
    if step > 1:
        # Of a mask that is drawn at full size the texture would have been sharpened first.
        blur -= _RESIZING + overlay.blur**2
    elif look.sharpness:
        blur = max(blur, _SHARPEST**2)
    rgba = blurred(rgba, math.sqrt(max(blur, 0.0)))
    alpha = cv2.extractChannel(rgba, 3)
    through = cv2.subtract(1.0, alpha)
    if look.shadow:
        contact = occlude.contact(alpha, appearance.size / step)
        rgba = met(rgba, through, contact, appearance.light.skin)
        through = cv2.multiply(through, contact.kept)
    return rgba, through


def _padded(overlay: Overlay, margin: int, shape: tuple[int, ...]) -> Overlay:
    """An overlay with a clear margin, as far as an image of that shape reaches."""
    bounds = []
    for side, length in zip(overlay.region, shape, strict=False):
        start, stop = max(side.start - margin, 0), min(side.stop + margin, math.ceil(length / overlay.step))
        # Pairs: an odd number of pixels need not be a whole number in the image.
        bounds.append((start // 2 * 2, stop + stop % 2) if overlay.step > 1 else (start, stop))
    (top, bottom), (left, right) = bounds
    rows, columns = overlay.region
    rgba = cv2.copyMakeBorder(
        overlay.rgba,
        *(rows.start - top, bottom - rows.stop, columns.start - left, right - columns.stop),
        cv2.BORDER_CONSTANT,
        value=0,
    )
    return Overlay(rgba, left, top, overlay.step, overlay.blur, overlay.on_top)


def _enlarged(small: Image, step: float, size_wh: tuple[int, int]) -> Image:
    """A picture drawn `step` times larger, as much as there is room."""
    if step > 1:
        whole_wh = round(small.shape[1] * step), round(small.shape[0] * step)
        small = np.asarray(cv2.resize(small, whole_wh, interpolation=cv2.INTER_LINEAR), np.uint8)
    return small[: size_wh[1], : size_wh[0]]


def lit(
    rgba: Float32Array, light: Light, shading: Float32Array | None, exposure: bool, white_balance: bool
) -> Float32Array:
    """The overlay (H, W, 4) under another light, which falls on it with gains (H, W)."""
    gain = np.ones(4)
    if exposure:
        gain[:3] *= light.exposure
    if white_balance:
        gain[:3] *= 1 + (light.balance - 1) * light.saturation
    matrix = np.diag(gain)
    if white_balance and light.saturation < 1:
        matrix = matrix @ _saturation_matrix(light.saturation).T
    if shading is not None:
        rgba = _on_colours(rgba, shading)
    return np.asarray(cv2.transform(rgba, matrix), np.float32)


def _on_colours(rgba: Float32Array, gain: Float32Array) -> Float32Array:
    """A picture (H, W, 4) with a gain (H, W) on its colours."""
    # The fourth channel becomes 1.
    return np.asarray(cv2.multiply(rgba, cv2.cvtColor(gain, cv2.COLOR_GRAY2RGBA)), np.float32)


def _saturation_matrix(saturation: float) -> Float32Array:
    """(4, 4): ``rgba @ matrix`` keeps that share of the colour."""
    matrix = np.eye(4, dtype=np.float32)
    matrix[:3, :3] = np.eye(3) * saturation + LUMA[:, None] * (1 - saturation)
    return matrix


def rolled_off(rgba: Float32Array) -> Float32Array:
    """The overlay with its highlights compressed, as a camera does: the brighter, the more, and none is cut off."""
    excess = cv2.threshold(cv2.transform(rgba, _EXCESS), 0, 0, cv2.THRESH_TOZERO)[1]
    if not excess.any():
        return rgba
    # x / (1 + x) of the room above the knee: it goes on at the same slope, and never comes to 1.
    room = cv2.transform(rgba, _ROOM)
    room += excess
    excess *= excess
    excess /= room
    return np.asarray(cv2.subtract(rgba, excess), np.float32)


def blurred(rgba: Float32Array, sigma: float) -> Float32Array:
    """The overlay blurred by a Gaussian, premultiplied as it is."""
    if sigma <= 0.2:
        return rgba
    # Beyond it a hundredth of a Gaussian lies, or less.
    side = 2 * math.ceil(3 * sigma - 0.9) + 1
    soft: Float32Array = cv2.GaussianBlur(rgba, (side, side), sigma)
    return soft


def met(rgba: Float32Array, through: Float32Array, contact: occlude.Contact, skin_rgb: Float32Array) -> Float32Array:
    """An overlay (H, W, 4) with edges as dark as edges are, and with the light that it throws on skin (3,)."""
    *colour, opaque = cv2.mean(rgba)
    white = min(float(np.dot(colour, LUMA)) / max(opaque, 1e-6), 1.0)
    dark = cv2.addWeighted(contact.edge, white, contact.edge, 0.0, 1 - white)
    glow = cv2.cvtColor(cv2.multiply(contact.glow, through, scale=white / 255), cv2.COLOR_GRAY2RGBA)
    thrown = cv2.transform(glow, np.diag([*skin_rgb.tolist(), 0.0]))
    return np.asarray(cv2.add(_on_colours(rgba, dark), thrown), np.float32)
