"""What a photograph tells of the light on a face, of its sharpness and of its noise.

Everything is measured on the bare photograph, once per face, before anything is painted.

Convention
----------
Gains multiply sRGB values as they are stored, so a gain of 0.5 is about a fifth of the light.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
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
_LIGHT_SHARE: Final = 0.42
# How far around the landmarks shading is guessed, as a share of the face's size: a gaiter reaches no farther.
_AROUND: Final = 0.6
# So many pixels across a face tell of its light, or up to twice as many; of its shading so many times fewer.
_ACROSS: Final = 48
_COARSER: Final = 2
_FINER: Final = 2
# Blurs that guess the shading, in 24ths of a face, and their shares: far from skin only the widest still sees any.
_BLURS: Final = ((2.2, 1.0), (4.5, 0.05), (14.0, 0.002))
# Cells that a wide blur spans.
_FINE_ENOUGH: Final = 2.5
_FEWEST: Final = 12  # pixels that tell a colour
# What is darker or brighter than skin should be there, or of another colour (logarithm), is hair or cloth.
_DARKEST_SKIN: Final = 0.52
_BRIGHTEST_SKIN: Final = 1.9
_SKIN_TINT: Final = 0.35
# (3, 3): what of a colour its grey does not tell.
_FROM_GREY: Final = np.eye(3, dtype=np.float32) - np.outer(LUMA, np.ones(3, np.float32))
_SUBPIXEL: Final = 4  # bits
_EYES: Final = (slice(36, 42), slice(42, 48))
_SMALLEST_EYE: Final = 6  # pixels along a side of what sharpness is measured on
_SHARP: Final = 0.65  # pixels
_RIM: Final = 4  # pixels about it, where a filter does not see enough
_FAINTEST_EDGE: Final = 20.0  # gradient, grey levels over a pixel times 8
_PATCH: Final = 400  # pixels of a side within which sharpness is measured


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

    def at(self, region: tuple[slice, slice], step: float = 1.0) -> Float32Array:
        """(H, W) gains for some rows and columns of the image made `step` times smaller; its edge's beyond it."""
        (rows, columns), (own_rows, own_columns) = region, self.region
        down = self.gain.shape[0] / (own_rows.stop - own_rows.start)
        along = self.gain.shape[1] / (own_columns.stop - own_columns.start)
        # Pixel centres: the first cell covers the first 1 / along pixels.
        place = np.array(
            [
                [along * step, 0, ((columns.start + 0.5) * step - own_columns.start) * along - 0.5],
                [0, down * step, ((rows.start + 0.5) * step - own_rows.start) * down - 0.5],
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


def appearance_of(image: Image, face: Face, scene: illuminant.Scene | None = None) -> Appearance:
    """How a face looks in a bare photograph (H, W, 3).

    Parameters
    ----------
    scene : illuminant.Scene, optional
        What the whole photograph tells of the light; by default it is asked.
    """
    points, size = face.landmarks_68, max(face.size_wh)
    near = _near(image, points, size)
    return Appearance(
        size,
        light_on(near.of_skin, illuminant.scene_of(image) if scene is None else scene),
        shading_of(near, size),
        blur_of(image, face),
        grain.grain_in(image[_box(image, face)]),
    )


def skin_region(face: Face, size_wh: tuple[int, int]) -> BoolArray:
    """(H, W) true on skin that is likely visible: the hull of the landmarks without eyes, brows and mouth."""
    return _skin_among(face.landmarks_68, (size_wh[1], size_wh[0])).view(bool)


def _skin_among(points: Float32Array, shape: tuple[int, int]) -> Image:
    """(H, W) 1 on skin, 0 elsewhere, by landmarks (68, 2)."""
    region = np.zeros(shape, np.uint8)
    outlines = np.round(_outlines() @ points * np.float32(2**_SUBPIXEL)).astype(np.int32)
    cv2.fillConvexPoly(region, cv2.convexHull(outlines[:68]), 1, cv2.LINE_8, _SUBPIXEL)
    for first, last in ((68, 74), (74, 80), (80, 92), (92, 97), (97, 102)):
        cv2.fillConvexPoly(region, cv2.convexHull(outlines[first:last]), 0, cv2.LINE_8, _SUBPIXEL)
    return region


@cache
def _outlines() -> Float32Array:
    """(102, 68): takes landmarks to the outline of a face, then to those of its eyes, its mouth and its brows."""
    one = np.eye(68, dtype=np.float32)
    centre = one[[27, 33]].mean(axis=0)
    parts = [centre + (one - centre) * np.float32(0.92)]  # the contour itself is half background
    for feature in (*_EYES, slice(48, 60), slice(17, 22), slice(22, 27)):
        middle = one[feature].mean(axis=0)
        parts.append(middle + (one[feature] - middle) * np.float32(1.3))
    return np.concatenate(parts)


@dataclass(frozen=True)
class _Near:
    """A face in few pixels.

    Attributes
    ----------
    pixels : (h, w, 3) float32 array
        RGB, 0 to 255; its sides are multiples of `_COARSER`.
    skin : (h, w) uint8 array
        1 on skin.
    step : int
        Pixels of the image along a side of one of these.
    left, top : int
        Where they begin in the image.
    size_wh : (int, int)
        Width and height of the image.
    """

    pixels: Float32Array
    skin: Image
    step: int
    left: int
    top: int
    size_wh: tuple[int, int]

    @property
    def of_skin(self) -> Float32Array:
        """(N, 3) those of its pixels that are skin."""
        pixels: Float32Array = self.pixels[self.skin.view(bool)]
        return pixels


def _near(image: Image, points: Float32Array, size: float) -> _Near:
    """A face with landmarks (68, 2), its longer side `size` pixels, in few pixels."""
    step = max(int(size / _ACROSS), 1)
    # As far as the image reaches, and at least a little, for a face that lies outside.
    size_wh = image.shape[1], image.shape[0]
    rows, columns = _bounds(points, 0, size_wh)
    height, width = ((side.stop - side.start) // (_COARSER * step) * _COARSER for side in (rows, columns))
    if not height or not width:
        clear = np.zeros((_COARSER, _COARSER, 4), np.float32)
        return _Near(clear[..., :3], clear[..., 3].astype(np.uint8), step, columns.start, rows.start, size_wh)
    part = image[rows.start : rows.start + height * step, columns.start : columns.start + width * step]
    # Of a large face every few pixels tell enough.
    every = max(step // 4, 1)
    part = np.ascontiguousarray(part[every // 2 :: every, every // 2 :: every])
    small = cv2.resize(part, (width, height), interpolation=cv2.INTER_AREA)
    # Outlines are drawn with their rims: in pixels as large as these eyes and mouth would grow.
    places = (points - np.array([columns.start - 0.5, rows.start - 0.5], np.float32)) * np.float32(_FINER / step)
    skin = _skin_among(places - np.float32(0.5), (height * _FINER, width * _FINER)) * np.uint8(255)
    skin = cv2.resize(skin, (width, height), interpolation=cv2.INTER_AREA)
    skin = np.asarray(cv2.threshold(skin, 127, 1, cv2.THRESH_BINARY)[1], np.uint8)
    return _Near(small.astype(np.float32), skin, step, columns.start, rows.start, size_wh)


def _bounds(points: Float32Array, margin: int = 0, size_wh: tuple[int, int] | None = None) -> tuple[slice, slice]:
    """Rows and columns that hold some points (P, 2), pixels, and a margin, as far as an image reaches."""
    spans = list[slice]()
    for axis, (lowest, highest) in enumerate(
        zip(points.min(axis=0).tolist(), points.max(axis=0).tolist(), strict=True)
    ):
        low = max(math.floor(lowest) - margin, 0)
        high = max(math.ceil(highest) + 1 + margin, 0)
        if size_wh is not None:
            # At least a pixel, for a face that lies outside.
            low = min(low, size_wh[axis] - 1)
            high = max(min(high, size_wh[axis]), low + 1)
        spans.append(slice(low, high))
    return spans[1], spans[0]


def light_on(
    pixels: Float32Array, scene: illuminant.Scene | None = None, eyes: illuminant.Cue = illuminant.SILENT
) -> Light:
    """Exposure and white balance of the light on a face.

    Skin that is darker than most is so partly by the light and partly by the person. With both as likely to vary
    (log-normal priors of like width) the best guess puts about half of the deviation, in the logarithm, down to the
    light. Of the colour the rest of the picture tells more: see `maskgen.masking.illuminant`.

    Parameters
    ----------
    pixels : (N, 3) float32 array
        RGB of the skin, 0 to 255.
    scene : illuminant.Scene, optional
        What the whole picture tells; without it skin alone tells.
    eyes : Cue
        What the whites of the eyes say.
    """
    if len(pixels) < _FEWEST:
        balance = illuminant.gains_of(illuminant.combined(None, scene, eyes))
        return Light(1.0, balance, 1.0, np.array(SKIN_RGB, np.float32))
    middle = middle_of_skin(pixels)
    reference = np.array(SKIN_RGB, np.float32)
    exposure = float((middle @ LUMA) / (reference @ LUMA)) ** _LIGHT_SHARE
    skin = illuminant.cast_of(middle) - illuminant.cast_of(reference)
    balance = illuminant.gains_of(illuminant.combined(skin, scene, eyes))
    # Over 10 on 99 of 100 faces of LFW; a black-and-white photograph with a cast of the scanner has under 3.
    colour = cv2.norm(pixels @ _FROM_GREY, cv2.NORM_L1) / pixels.size
    saturation = min(max((colour - 3) / 7, 0.0), 1.0)
    return Light(min(max(exposure, 0.3), 1.4), balance, saturation, middle)


def middle_of_skin(pixels: Float32Array) -> Float32Array:
    """The mean RGB (3,) of skin pixels (N, 3) of middling brightness: no shine, no beard, no shadow of a hat."""
    luma = pixels @ LUMA
    ranks = round(0.25 * (len(luma) - 1)), round(0.85 * (len(luma) - 1))
    low, high = np.partition(luma, ranks)[[*ranks]]
    is_middling = ((luma >= low) & (luma <= high)).view(np.uint8)
    middle = cv2.mean(pixels[:, None], is_middling[:, None])
    return np.array(middle[:3], np.float32) + 1  # black has no logarithm


def shading_of(near: _Near, size: float) -> Shading:
    """How light and shade lie on the skin of a face and, as far as can be guessed, around it.

    A blur that counts skin only (normalised convolution [1]_), wide enough to lose moustache, lips and nostrils.

    References
    ----------
    .. [1] H. Knutsson, C.-F. Westin, "Normalized and Differential Convolution", CVPR 1993.
    """
    cell = _COARSER * near.step
    height, width = (side // _COARSER for side in near.skin.shape)
    # As far as the image reaches.
    above, below, before, after = (
        min(math.ceil(_AROUND * size / cell), max(room // cell, 0))
        for room in (
            near.top,
            near.size_wh[1] - near.top - height * cell,
            near.left,
            near.size_wh[0] - near.left - width * cell,
        )
    )
    top, left = near.top - above * cell, near.left - before * cell
    down, along = height + above + below, width + before + after
    region = slice(top, top + down * cell), slice(left, left + along * cell)
    if cv2.countNonZero(near.skin) < _FEWEST:
        return Shading(np.ones((1, 1), np.float32), region)
    weight = near.skin.astype(np.float32)
    luma = cv2.multiply(cv2.add(cv2.cvtColor(near.pixels, cv2.COLOR_RGB2GRAY), 4.0), weight)
    small = cv2.resize(cv2.merge([weight, luma]), (width, height), interpolation=cv2.INTER_AREA)
    number, brightness, *_ = cv2.mean(small)
    small = cv2.copyMakeBorder(small, above, below, before, after, cv2.BORDER_CONSTANT, value=0)
    unit = max(size / 24, 1.0) / cell
    # Cells blur too: as wide as a box when they are made, as a triangle when they are drawn.
    own = (unit**2 - 1) / 4
    sums = np.zeros_like(small)
    for sigma, share in _BLURS:
        cv2.scaleAdd(_blurred(small, math.sqrt(max((sigma * unit) ** 2 + own, 0.2))), share, sums, sums)
    total, light = cv2.split(sums)
    gain = cv2.divide(light, cv2.add(total, 1e-6), scale=number / brightness)
    return Shading(np.asarray(cv2.max(cv2.min(gain, 1.5), 0.35), np.float32), region)


def _blurred(cells: Float32Array, sigma: float) -> Float32Array:
    """Cells (h, w, 2) blurred; if that is wide, on few of them."""
    fewer = int(sigma / _FINE_ENOUGH)
    if fewer <= 1:
        return np.asarray(cv2.GaussianBlur(cells, (0, 0), sigma), np.float32)
    size_wh = cells.shape[1], cells.shape[0]
    few = cv2.resize(cells, tuple(-(-side // fewer) for side in size_wh), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cv2.GaussianBlur(few, (0, 0), sigma / fewer), size_wh), np.float32)


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
    before, after = (_steepness(one)[inside].ravel() for one in (grey, cv2.GaussianBlur(grey, (0, 0), 1.0)))
    rank = round(0.9 * (before.size - 1))
    least = np.partition(before, rank)[rank]
    if least < _FAINTEST_EDGE**2:
        return None
    strong = np.flatnonzero(before >= least)
    ratios = before[strong] / np.maximum(after[strong], 1e-6)
    middle = len(ratios) // 2
    ratio = float(np.partition(ratios, middle)[middle])
    return 1 / math.sqrt(max(ratio - 1, 1e-2))


def _around(image: Image, points: Float32Array) -> Float32Array | None:
    """(h, w) brightness around points, 0 to 255; None if that is too little to measure on."""
    along = points[:, 0].tolist()
    margin = round(0.25 * (max(along) - min(along))) + _RIM
    rows, columns = _bounds(points, margin, (image.shape[1], image.shape[0]))
    return _grey(image, rows, columns)


def _patch(image: Image, face: Face) -> Float32Array:
    """(h, w) brightness in the middle of a face's box, 0 to 255."""
    patch = _grey(image, *_box(image, face))
    return np.zeros((0, 0), np.float32) if patch is None else patch


def _box(image: Image, face: Face) -> tuple[slice, slice]:
    """Rows and columns of an image in the box of a face."""
    x1, y1 = (max(int(v), 0) for v in face.bbox[:2])
    x2, y2 = (max(int(v), 0) for v in face.bbox[2:])
    return slice(y1, min(max(y2, y1), image.shape[0])), slice(x1, min(max(x2, x1), image.shape[1]))


def _grey(image: Image, rows: slice, columns: slice) -> Float32Array | None:
    """(h, w) brightness in some rows and columns, 0 to 255; None if there are none."""
    # Of a large part the middle will do.
    spare_y, spare_x = (max(side.stop - side.start - _PATCH, 0) // 2 for side in (rows, columns))
    part = image[rows.start + spare_y : rows.stop - spare_y, columns.start + spare_x : columns.stop - spare_x]
    if not part.size:
        return None
    grey: Float32Array = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey


def _steepness(patch: Float32Array) -> Float32Array:
    """(h, w) the square of how steep the brightness is."""
    along, down = cv2.Sobel(patch, cv2.CV_32F, 1, 0), cv2.Sobel(patch, cv2.CV_32F, 0, 1)
    # Not cv2.magnitude: its last bit depends on where in memory the arrays lie.
    along *= along
    down *= down
    along += down
    return np.asarray(along, np.float32)
