"""What a photograph tells of the light on a face, of its sharpness and of its noise.

Everything is measured on the bare photograph, once per face, before anything is painted.

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

from maskgen.arrays import BoolArray, Float32Array, Image, IntArray
from maskgen.face import Face
from maskgen.images import LUMA
from maskgen.masking import grain, illuminant

# The skin of a well-exposed photograph, sRGB: the geometric mean over the faces of LFW (tests/bench/skin.py).
SKIN_RGB: Final[tuple[float, float, float]] = (173.0, 128.0, 102.0)
# How much of what the skin deviates from that is put down to the light; the rest is the colour of the person.
_LIGHT_SHARE: Final = 0.55
# How far around the landmarks shading is guessed, as a share of the face's size: a gaiter reaches no farther.
_AROUND: Final = 0.6
_SAMPLE: Final = 4_000  # pixels that are enough for a statistic
_FEWEST: Final = 12  # pixels that tell a colour
# What is darker or brighter than skin should be there, or of another colour (logarithm), is hair or cloth.
_DARKEST_SKIN: Final = 0.52
_BRIGHTEST_SKIN: Final = 1.9
_SKIN_TINT: Final = 0.35
_EYES: Final = (slice(36, 42), slice(42, 48))
_SMALLEST_EYE: Final = 6  # pixels along a side of what sharpness is measured on
_SHARP: Final = 0.65  # pixels
_RIM: Final = 4  # pixels about it, where a filter does not see enough
_FAINTEST_EDGE: Final = 20.0  # gradient, grey levels over a pixel times 8
_PATCH: Final = 2000  # pixels of a side within which sharpness and noise are measured
_WINDOW: Final = 4_000_000  # pixels in which shading is measured


@dataclass(frozen=True)
class Light:
    """What the skin tells of the light on a face.

    Attributes
    ----------
    exposure : float
        Gain against a well-exposed photograph.
    balance : (3,) array
        RGB gains, their luma-weighted mean 1.
    saturation : float
        0 in a photograph without colour, else 1.
    skin : (3,) array
        RGB of the skin, 0 to 255, where it is neither shiny nor in shadow.
    """

    exposure: float
    balance: Float32Array
    saturation: float
    skin: Float32Array


@dataclass(frozen=True)
class Shading:
    """How light and shade lie on a face, coarsely.

    Attributes
    ----------
    gain : (h, w) float32 array
        Gains, their mean over the skin 1.
    region : tuple of 2 slices
        Rows and columns of the image that it spans.
    """

    gain: Float32Array
    region: tuple[slice, slice]

    def at(self, region: tuple[slice, slice]) -> Float32Array:
        """(H, W) gains for some rows and columns of the image; beyond its own, those at its edge."""
        (rows, columns), (own_rows, own_columns) = region, self.region
        down = self.gain.shape[0] / (own_rows.stop - own_rows.start)
        along = self.gain.shape[1] / (own_columns.stop - own_columns.start)
        # Pixel centres: the first cell covers the first 1 / along pixels.
        place = np.array(
            [
                [along, 0, (columns.start - own_columns.start + 0.5) * along - 0.5],
                [0, down, (rows.start - own_rows.start + 0.5) * down - 0.5],
            ]
        )
        size_wh = columns.stop - columns.start, rows.stop - rows.start
        gains: Float32Array = cv2.warpAffine(
            self.gain, place, size_wh, flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE
        )
        return gains

    def near(self, x: IntArray, y: IntArray) -> Float32Array:
        """(N,) gains at pixels (x, y) of the image, without anything between cells."""
        rows, columns = self.region
        down = self.gain.shape[0] / (rows.stop - rows.start)
        along = self.gain.shape[1] / (columns.stop - columns.start)
        row = np.clip((y - rows.start) * down, 0, self.gain.shape[0] - 1).astype(int)
        column = np.clip((x - columns.start) * along, 0, self.gain.shape[1] - 1).astype(int)
        gains: Float32Array = self.gain[row, column]
        return gains


@dataclass(frozen=True)
class Appearance:
    """How a face looks in a photograph, as far as a mask on it takes after it.

    Attributes
    ----------
    size : float
        The longer side of the face's box, pixels.
    light : Light
        On the skin.
    shading : Shading
        How it falls.
    blur : float
        Standard deviation of the blur of the sharpest edges of its eyes, pixels.
    noise : float
        Standard deviation of the photograph's grain at middling brightness, 0 to 1.
    """

    size: float
    light: Light
    shading: Shading
    blur: float
    noise: float

    def is_skin(self, image: Image, x: IntArray, y: IntArray) -> BoolArray:
        """(N,) whether the photograph looks like this face's skin, as light falls there, around pixels (x, y)."""
        steps = np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1]])[:, :, None]
        columns = np.clip(x + steps[:, 0], 0, image.shape[1] - 1)
        rows = np.clip(y + steps[:, 1], 0, image.shape[0] - 1)
        seen = image[rows, columns].mean(axis=0, dtype=np.float32) + 4  # (N, 3); black has no colour
        expected = self.light.skin + 4
        gain = (seen @ LUMA) / (expected @ LUMA) / self.shading.near(x, y)
        tint = np.log(seen / (seen @ LUMA)[:, None]) - np.log(expected / (expected @ LUMA))
        is_lit = (gain > _DARKEST_SKIN) & (gain < _BRIGHTEST_SKIN)
        alike: BoolArray = is_lit & (np.abs(tint).max(axis=1) < _SKIN_TINT)
        return alike


def appearance_of(image: Image, face: Face) -> Appearance:
    """How a face looks in a bare photograph (H, W, 3)."""
    skin = skin_region(face, (image.shape[1], image.shape[0]))
    around = _bounds(face.landmarks_68)
    every = image[around][skin[around]]
    pixels: Float32Array = every[:: max(len(every) // _SAMPLE, 1)].astype(np.float32)
    return Appearance(
        max(face.size_wh),
        light_on(pixels, illuminant.reduced(image)),
        shading_of(image, skin, face),
        blur_of(image, face),
        grain.grain_of(_patch(image, face)),
    )


def skin_region(face: Face, size_wh: tuple[int, int]) -> BoolArray:
    """(H, W) true on skin that is likely visible: the hull of the landmarks without eyes, brows and mouth."""
    points = face.landmarks_68
    region = np.zeros((size_wh[1], size_wh[0]), np.uint8)
    centre = points[[27, 33]].mean(axis=0)
    inner = centre + (points - centre) * np.float32(0.92)  # the contour itself is half background
    cv2.fillConvexPoly(region, cv2.convexHull(np.round(inner).astype(np.int32)), 1)
    for feature in (slice(36, 42), slice(42, 48), slice(48, 60), slice(17, 22), slice(22, 27)):
        hull = points[feature]
        grown = hull.mean(axis=0) + (hull - hull.mean(axis=0)) * np.float32(1.3)
        cv2.fillConvexPoly(region, cv2.convexHull(np.round(grown).astype(np.int32)), 0)
    return region.view(bool)  # a copy would touch every pixel of the picture, once a face


def _bounds(points: Float32Array, margin: int = 0, size_wh: tuple[int, int] | None = None) -> tuple[slice, slice]:
    """Rows and columns that hold some points (P, 2), pixels, and a margin, as far as an image reaches."""
    low = np.maximum(np.floor(points.min(axis=0)) - margin, 0).astype(int)
    high = np.maximum(np.ceil(points.max(axis=0)) + 1 + margin, 0).astype(int)
    if size_wh is not None:
        # At least a pixel, for a face that lies outside.
        low = np.minimum(low, np.array(size_wh) - 1)
        high = np.maximum(np.minimum(high, size_wh), low + 1)
    return slice(low[1], high[1]), slice(low[0], high[0])


def light_on(
    pixels: Float32Array, small: Float32Array | None = None, eyes: illuminant.Cue = illuminant.SILENT
) -> Light:
    """Exposure and white balance of the light on a face.

    Skin that is darker than most is so partly by the light and partly by the person. With both as likely to vary
    (log-normal priors of like width) the best guess puts about half of the deviation, in the logarithm, down to the
    light. Of the colour the rest of the picture tells more: see `maskgen.masking.illuminant`.

    Parameters
    ----------
    pixels : (N, 3) float32 array
        RGB of the skin, 0 to 255.
    small : (h, w, 3) float32 array, optional
        The picture as `illuminant.reduced` gives it; without it skin alone tells.
    eyes : Cue
        What the whites of the eyes say.
    """
    if len(pixels) < _FEWEST:
        balance = illuminant.gains_of(illuminant.combined(None, small, eyes))
        return Light(1.0, balance, 1.0, np.array(SKIN_RGB, np.float32))
    luma = pixels @ LUMA
    middle = middle_of_skin(pixels)
    reference = np.array(SKIN_RGB, np.float32)
    exposure = float((middle @ LUMA) / (reference @ LUMA)) ** _LIGHT_SHARE
    skin = illuminant.cast_of(middle) - illuminant.cast_of(reference)
    balance = illuminant.gains_of(illuminant.combined(skin, small, eyes))
    # Over 10 on 99 of 100 faces of LFW; a black-and-white photograph with a cast of the scanner has under 3.
    colour = float(np.abs(pixels - luma[:, None]).mean())
    saturation = float(np.clip((colour - 3) / 7, 0, 1))
    return Light(float(np.clip(exposure, 0.3, 1.4)), balance, saturation, middle)


def middle_of_skin(pixels: Float32Array) -> Float32Array:
    """The mean RGB (3,) of skin pixels (N, 3) of middling brightness: no shine, no beard, no shadow of a hat."""
    luma = pixels @ LUMA
    low, high = np.percentile(luma, [25, 85])
    middle: Float32Array = pixels[(luma >= low) & (luma <= high)].mean(axis=0) + 1  # black has no logarithm
    return middle


def shading_of(image: Image, skin: BoolArray, face: Face) -> Shading:
    """How light and shade lie on the skin of a face and, as far as can be guessed, around it.

    A blur that counts skin only (normalised convolution [1]_), wide enough to lose moustache, lips and nostrils.

    References
    ----------
    .. [1] H. Knutsson, C.-F. Westin, "Normalized and Differential Convolution", CVPR 1993.
    """
    size = max(face.size_wh)
    window = _bounds(face.landmarks_68, round(_AROUND * size), (image.shape[1], image.shape[0]))
    seen, mask = image[window], skin[window]
    if np.count_nonzero(mask) < 12:
        return Shading(np.ones((1, 1), np.float32), window)
    # A wide blur needs no more than this of a face that fills a large picture.
    stride = math.isqrt(mask.size // _WINDOW) + 1
    weight = mask[::stride, ::stride].astype(np.float32)
    luma = cv2.cvtColor(np.ascontiguousarray(seen[::stride, ::stride]), cv2.COLOR_RGB2GRAY).astype(np.float32) + 4
    # A small picture suffices for a wide blur; 24 px across the face resolve it.
    step = max(size / stride / 24, 1.0)
    small_wh = (max(round(weight.shape[1] / step), 2), max(round(weight.shape[0] / step), 2))
    small = cv2.resize(weight, small_wh, interpolation=cv2.INTER_AREA)
    small_luma = cv2.resize(luma * weight, small_wh, interpolation=cv2.INTER_AREA)
    total = np.full(small.shape, 1e-6, np.float32)
    light = np.full(small.shape, 0.0, np.float32)
    # Far from skin only the widest blur still sees any.
    for sigma, share in ((2.2, 1.0), (4.5, 0.05), (14.0, 0.002)):
        total += share * cv2.GaussianBlur(small, (0, 0), sigma)
        light += share * cv2.GaussianBlur(small_luma, (0, 0), sigma)
    mean = float(luma[weight > 0].mean())
    return Shading(np.clip(light / total / mean, 0.35, 1.5).astype(np.float32), window)


def blur_of(image: Image, face: Face) -> float:
    """Standard deviation, in pixels, of the blur of the sharpest edges of the eyes; hair has finer lines than a mask.

    A step edge blurred by s has its gradient weakened by sqrt(s^2 + 1) / s when blurred by 1 once more [1]_.

    References
    ----------
    .. [1] S. Zhuo, T. Sim, "Defocus Map Estimation from a Single Image", Pattern Recognition 44 (2011).
    """
    points = face.landmarks_68
    found = [_blur_in(grey) for eye in _EYES if (grey := _around(image, points[eye])) is not None]
    sharpest = [one for one in found if one is not None]
    if not sharpest:  # eyes that are shut, dark or blurred away
        whole = _blur_in(_patch(image, face))
        sharpest = [_SHARP if whole is None else whole]
    blur = min(sharpest)
    # A step as sharp as the pixel grid allows, as the texture is, measures so much.
    return float(np.sqrt(np.clip(blur**2 - _SHARP**2, 0, (0.03 * max(face.size_wh)) ** 2)))


def _blur_in(grey: Float32Array) -> float | None:
    """The blur of the sharpest edges of a part of a photograph, but for its rim, pixels; None if it has none."""
    if min(grey.shape) < _SMALLEST_EYE + 2 * _RIM:
        return None
    inside = slice(_RIM, -_RIM), slice(_RIM, -_RIM)
    before, after = (_gradient(one)[inside] for one in (grey, cv2.GaussianBlur(grey, (0, 0), 1.0)))
    strong = before >= np.percentile(before.ravel()[:: max(before.size // _SAMPLE, 1)], 90)
    if float(before[strong].min()) < _FAINTEST_EDGE:
        return None
    ratio = float(np.median(before[strong] / np.maximum(after[strong], 1e-3)))
    return float(1 / np.sqrt(max(ratio**2 - 1, 1e-2)))


def _around(image: Image, points: Float32Array) -> Float32Array | None:
    """(h, w) brightness around points, 0 to 255; None if that is too little to measure on."""
    margin = round(0.25 * float(np.ptp(points[:, 0]))) + _RIM
    rows, columns = _bounds(points, margin, (image.shape[1], image.shape[0]))
    part = image[rows, columns]
    # Of large eyes the middle will do.
    spare_y, spare_x = (max(side - _PATCH, 0) // 2 for side in part.shape[:2])
    part = part[spare_y : part.shape[0] - spare_y, spare_x : part.shape[1] - spare_x]
    if not part.size:
        return None
    grey: Float32Array = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey


def _patch(image: Image, face: Face) -> Float32Array:
    x1, y1 = (max(int(v), 0) for v in face.bbox[:2])
    x2, y2 = (int(v) for v in face.bbox[2:])
    # Of a large face its middle will do.
    spare_x, spare_y = (max(far - near - _PATCH, 0) // 2 for near, far in ((x1, x2), (y1, y2)))
    patch = image[y1 + spare_y : max(y2 - spare_y, y1), x1 + spare_x : max(x2 - spare_x, x1)]
    if not patch.size:
        return np.zeros((0, 0), np.float32)
    grey: Float32Array = cv2.cvtColor(np.ascontiguousarray(patch), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey


def _gradient(patch: Float32Array) -> Float32Array:
    along, down = cv2.Sobel(patch, cv2.CV_32F, 1, 0), cv2.Sobel(patch, cv2.CV_32F, 0, 1)
    # Not cv2.magnitude: its last bit depends on where in memory the arrays lie.
    magnitude: Float32Array = np.sqrt(along * along + down * down)
    return magnitude
