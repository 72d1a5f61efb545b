"""What holds a mask: loops to the ears, or bands round the head, drawn on the face that wears it.

A strap leaves the cloth where the view says, follows the head to the ear and ends where the head turns away from the
camera or where it goes under hair; it lies over sideburns, beyond which the ear is seen. It is laid under the cloth, so
that it takes on light, blur and grain with it.

Convention
----------
The frame of `maskgen.face.solid`: millimetres, directions round the head in degrees. Points in the image are (x, y)
pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image
from maskgen.catalog.schema import Straps
from maskgen.catalog.view import View
from maskgen.face.head import pixels_per_mm, towards_camera
from maskgen.masking import detail
from maskgen.masking.light import Appearance
from maskgen.masking.warp import Overlay, unshrunk
from maskgen.masking.ways import STEPS, ways_of
from maskgen.parse import Regions

_FROM_END: Final = np.arange(STEPS - 1, -1, -1)
_TURNED: Final = np.array([-1, 1], np.float32)
# Steps in a row that must be hidden before a strap ends: a strand of hair does not end it.
_RUN: Final = 2
# It lies over a strip of hair that is no broader, millimetres, if so many steps of skin are seen beyond.
_SIDEBURN_MM: Final = 22.0
_BEYOND: Final = 2
# Loops are wider and narrower than a view says by such factors; those of sewn masks may be bands (measured on real
# ones: 2.1 to 4.0 mm, sewn ones up to 6.7).
_WIDTHS: Final = (0.75, 1.25)
_BANDS: Final = (0.9, 1.9)
# What a view says to be broader is a band already.
_BROAD_MM: Final = 5.0
# Millimetres that their ends lie higher or lower, and shares of their length that they hang lower.
_HIGHER_MM: Final = 5.0
_SLACKER: Final = (-0.02, 0.04)
# Cosine between the skin's normal and the way to the camera below which the head has turned away.
_EDGE_ON: Final = -0.22
# How far the last of a strap fades, millimetres: behind the ear, or under hair.
_FADE_MM: Final = 3.0
# Brightness of a strap's rims against its middle; it is a cord, not a stripe of paint.
_RIM: Final = 0.68
# How far its lit side lies above its middle, as a share of its width: light comes from above.
_LIT: Final = 0.14
# A strap is drawn at least so many pixels wide, and then made smaller.
_FINE: Final = 6
# A strap that is wider, pixels, is drawn with rims.
_ROUND: Final = 2.5


@dataclass(frozen=True)
class Photograph:
    """What straps run over.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    appearance : Appearance
        Of the face; tells skin from hair where nothing else does.
    regions : Regions or None
        Skin, hair and the rest, where a parser told them apart.
    """

    image: Image
    appearance: Appearance
    regions: Regions | None = None

    def is_skin(self, points: Float32Array) -> BoolArray:
        """(N,) whether skin is seen at points (N, 2) of the image, pixels, or glasses on it."""
        if self.regions is not None:
            return self.regions.at_points(points, "skin", "glasses") >= 0.5
        height, width = self.image.shape[:2]
        x = np.clip(np.round(points[:, 0]).astype(int), 0, width - 1)
        y = np.clip(np.round(points[:, 1]).astype(int), 0, height - 1)
        return self.appearance.is_skin(self.image, x, y)

    def is_hair(self, points: Float32Array) -> BoolArray:
        """(N,) whether a parser saw hair at points (N, 2) of the image, pixels."""
        if self.regions is None:
            return np.zeros(len(points), bool)
        return self.regions.at_points(points, "hair") >= 0.5


@dataclass(frozen=True)
class Hold:
    """How straps hold one mask, against how its view says.

    Attributes
    ----------
    width : float
        0 for the narrowest of their make, 1 for the widest.
    higher_mm : float
        How much higher they end.
    slacker : float
        How much lower their middle hangs, as a share of their length.
    """

    width: float
    higher_mm: float
    slacker: float


def drawn(rng: np.random.Generator) -> Hold:
    """How straps hold one mask; three numbers are drawn from the generator."""
    width, higher, slacker = rng.random(3).tolist()
    return Hold(width, _HIGHER_MM * (2 * higher - 1), _SLACKER[0] + slacker * (_SLACKER[1] - _SLACKER[0]))


@dataclass(frozen=True)
class Strap:
    """One strap as it is seen.

    Attributes
    ----------
    path : (N, 2) float32 array
        Its middle, from the mask on, pixels.
    across : (N, 2) float32 array
        Unit vectors from the middle to its side.
    width : float
        Pixels.
    opacity : (N,) float array
        0 to 1, along the path.
    over_hair : tuple of slice
        Parts of the path that lie over hair.
    """

    path: Float32Array
    across: Float32Array
    width: float
    opacity: Float64Array
    over_hair: tuple[slice, ...] = ()


def with_straps(
    overlay: Overlay,
    view: View,
    on_face: Float32Array,
    landmarks_68: Float32Array,
    photograph: Photograph,
    hold: Hold | None = None,
) -> Overlay:
    """A mask with the straps that hold it.

    Parameters
    ----------
    overlay : Overlay
        The cloth on the image.
    view : View
        Its fastenings say where straps leave the cloth, its straps what they are.
    on_face : (K, 2) array
        Where the view's control points lie, pixels of the overlay.
    landmarks_68 : (68, 2) array
        Of the face, pixels of the overlay.
    photograph : Photograph
        A strap ends where no skin is seen any more.
    hold : Hold, optional
        How they hold it; by default as the view says.
    """
    if view.straps is None or view.straps.kind == "none" or not view.fastenings or not overlay.rgba.size:
        return overlay
    step = overlay.step
    found = seen(view, on_face, landmarks_68, photograph, step, hold)
    height, width = (math.ceil(side / step) for side in photograph.image.shape[:2])
    layers = [_drawn(side, (height, width)) for side in _by_side(found)]
    laid = [layer for layer in layers if layer is not None]
    if not laid:
        return overlay
    on_top = [(unshrunk(one.path[part], step), one.width * step) for one in found for part in one.over_hair]
    return _under(overlay, laid, view.straps, tuple(on_top))


def seen(
    view: View,
    on_face: Float32Array,
    landmarks_68: Float32Array,
    photograph: Photograph,
    step: float = 1.0,
    hold: Hold | None = None,
) -> list[Strap]:
    """The straps of a view that the camera sees; as `with_straps`, one pixel being `step` of the image."""
    assert view.straps is not None
    ways = ways_of(view)
    is_front = [
        is_inside and (bx - ax) * (cy - ay) > (by - ay) * (cx - ax)
        for is_inside, ((ax, ay), (bx, by), (cx, cy)) in zip(
            ways.is_inside.tolist(), on_face[ways.around].tolist(), strict=True
        )
    ]
    if not any(is_front):
        return []
    placed = ways.placing @ np.concatenate([landmarks_68, on_face])
    points, camera = placed[:-4], placed[-4:].T
    width = view.straps.width_mm * pixels_per_mm(camera)
    if hold is not None:
        points += (ways.bends @ np.array([[hold.slacker], [hold.higher_mm]], np.float32)) * camera[:, 1]
        is_sewn = view.surface is not None and view.surface.weave != "nonwoven" and view.straps.kind == "ear"
        is_band = is_sewn and view.straps.width_mm < _BROAD_MM
        narrowest, widest = _BANDS if is_band else _WIDTHS
        width *= narrowest + hold.width * (widest - narrowest)
    on_image = unshrunk(points, step)
    turned = ways.normals @ towards_camera(camera) < _EDGE_ON
    hidden = (turned | ~photograph.is_skin(on_image)).tolist()
    paths = points.reshape(-1, STEPS, 2)
    across = _across(paths)
    result = []
    for number, step_mm in enumerate(ways.step_mm):
        if not is_front[number]:
            continue
        own = slice(number * STEPS, (number + 1) * STEPS)
        is_hidden = hidden[own]
        strips = _strips(is_hidden, round(_SIDEBURN_MM / max(step_mm, 1e-3)))
        if strips:
            is_hair = photograph.is_hair(on_image[own]) & ~turned[own]
            strips = [strip for strip in strips if is_hair[strip].all()]
        for strip in strips:
            is_hidden[strip] = [False] * (strip.stop - strip.start)
        if (count := _first_run(is_hidden)) < 2:
            continue
        opacity = np.minimum(_FROM_END[-count:] * (step_mm / _FADE_MM) + 0.3 / _FADE_MM, 1)
        over = tuple(slice(max(one.start - 1, 0), one.stop + 1) for one in strips if one.stop <= count)
        result.append(Strap(paths[number, :count], across[number, :count], width, opacity, over))
    return result


def _across(paths: Float32Array) -> Float32Array:
    """Unit vectors (C, N, 2) at a right angle to paths (C, N, 2)."""
    along = np.empty_like(paths)
    along[:, 1:-1] = paths[:, 2:] - paths[:, :-2]
    along[:, 0], along[:, -1] = along[:, 1], along[:, -2]
    along /= np.maximum(cv2.magnitude(along[..., 0], along[..., 1]), 1e-6)[..., None]
    across = along[..., ::-1]
    across *= _TURNED
    return across


def pulling(view: View, how_hard: tuple[float, float, float, float]) -> tuple[detail.Corner, ...]:
    """Where straps pull at a mask, and how hard each, 0 to 1, in the order of `maskgen.catalog.schema.Corner`."""
    if view.straps is None or view.straps.kind == "none" or not view.fastenings:
        return ()
    ways = ways_of(view)
    return tuple(
        detail.Corner(across, down, (right * pull, lower * pull))
        for (number, across, down, right, lower), is_inside in zip(ways.pulls, ways.is_inside.tolist(), strict=True)
        if is_inside and (pull := how_hard[number] * detail.PULL_MM) > 0
    )


def _strips(hidden: list[bool], longest: int) -> list[slice]:
    """Runs of hidden steps, no more than `longest` of them, with skin before and beyond."""
    found, start = list[slice](), 0
    for number, is_hidden in enumerate(hidden):
        if is_hidden:
            continue
        beyond = hidden[number : number + _BEYOND]
        if 0 < start < number <= start + longest and len(beyond) == _BEYOND and not any(beyond):
            found.append(slice(start, number))
        start = number + 1
    return found


def _first_run(hidden: list[bool]) -> int:
    """Where the first run of hidden steps begins; the number of steps if there is none."""
    count = 0
    for number, is_hidden in enumerate(hidden):
        count = count + 1 if is_hidden else 0
        if count == _RUN:
            return number + 1 - _RUN
    return len(hidden) - count


def _by_side(found: list[Strap]) -> list[list[Strap]]:
    """Straps that are drawn together: all thin ones, and of others those that lie near each other."""
    if not found or found[0].width <= _ROUND:
        return [found] if found else []
    middle = sum(float(strap.path[0, 0]) for strap in found) / len(found)
    sides = [[one for one in found if (one.path[0, 0] < middle) == is_left] for is_left in (True, False)]
    return [side for side in sides if side]


@dataclass(frozen=True)
class _Layer:
    """Straps as they are drawn, where no cloth lies over them.

    Attributes
    ----------
    coverage : (h, w) uint8 array
        255 where they are opaque.
    lit : (h, w) uint8 array or None
        255 where that is their lit side; None for straps that are too thin to have rims.
    left, top : int
        Pixel at their top-left pixel.
    """

    coverage: Image
    lit: Image | None
    left: int
    top: int


def _drawn(found: list[Strap], shape: tuple[int, int]) -> _Layer | None:
    """Straps as a picture; None if they lie outside an image of this shape."""
    width = found[0].width
    paths = [strap.path for strap in found]
    reach = math.ceil(width / 2 + 1.5)
    x, y, along, down = cv2.boundingRect(np.concatenate(paths))
    left, top = max(x - reach, 0), max(y - reach, 0)
    size_wh = min(x + along + reach, shape[1]) - left, min(y + down + reach, shape[0]) - top
    if min(size_wh) <= 0:
        return None
    # Thinner than a few pixels they would be drawn too wide: they are drawn large, and made smaller.
    scale = min(max(math.ceil(_FINE / max(width, 0.1)), 1), 16)
    drawn = []
    # A strap as thin as a pixel or two has no rims to be seen.
    for share in (1.0, 0.5) if width > _ROUND else (1.0,):
        canvas = np.zeros((size_wh[1] * scale, size_wh[0] * scale), np.uint8)
        edge, above = 0.5 - 0.5 / scale, (1 - share) * 2 * _LIT * width
        origin = np.array([left - edge, top - edge + above], np.float32)
        # What is drawn without jags reaches half a pixel farther.
        reach_off = 16 * max(share * width * scale / 2 - 0.5, 0.25)
        for strap in found:
            path, off = (strap.path - origin) * np.float32(16 * scale), strap.across * np.float32(reach_off)
            _ribbon(canvas, np.rint(np.concatenate([path + off, (path - off)[::-1]])).astype(np.int32), strap.opacity)
        drawn.append(canvas if scale == 1 else cv2.resize(canvas, size_wh, interpolation=cv2.INTER_AREA))
    return _Layer(np.asarray(drawn[0], np.uint8), np.asarray(drawn[1], np.uint8) if drawn[1:] else None, left, top)


def _ribbon(canvas: Image, outline: npt.NDArray[np.int32], opacity: Float64Array) -> None:
    """Draw a ribbon into a canvas (H, W), 255 where it is opaque.

    Its outline (2 N, 2), 16ths of a pixel, runs along one side and back along the other; opacity is that of N places.
    """
    # Piece by piece where it fades, from its end on.
    last = len(opacity) - 1
    first = max(int(np.count_nonzero(opacity >= 1)) - 1, 0)
    for number in range(last - 1, first - 1, -1):
        piece = np.concatenate([outline[number : number + 2], outline[2 * last - number : 2 * last - number + 2]])
        shade = 127.5 * float(opacity[number] + opacity[number + 1])
        cv2.fillConvexPoly(canvas, piece, shade, cv2.LINE_AA, 4)
    if first:
        whole = np.concatenate([outline[: first + 1], outline[2 * last + 1 - first :]])
        cv2.fillPoly(canvas, [whole], 255, cv2.LINE_AA, 4)


def _under(
    overlay: Overlay, layers: list[_Layer], straps: Straps, on_top: tuple[tuple[Float32Array, float], ...]
) -> Overlay:
    """An overlay with straps under it."""
    height, width = overlay.rgba.shape[:2]
    left, top = (min(getattr(one, edge) for one in (overlay, *layers)) for edge in ("left", "top"))
    right = max(overlay.left + width, *(layer.left + layer.coverage.shape[1] for layer in layers))
    bottom = max(overlay.top + height, *(layer.top + layer.coverage.shape[0] for layer in layers))
    before, above = overlay.left - left, overlay.top - top
    sides = above, bottom - top - above - height, before, right - left - before - width
    rgba = cv2.copyMakeBorder(overlay.rgba, *sides, cv2.BORDER_CONSTANT, value=0)
    for layer in layers:
        rows, columns = (
            slice(start, start + length)
            for start, length in zip((layer.top - top, layer.left - left), layer.coverage.shape, strict=True)
        )
        part = rgba[rows, columns]
        seen_there = 1 - part[..., 3]
        opaque = cv2.multiply(layer.coverage, seen_there, scale=1 / 255, dtype=cv2.CV_32F)
        shade = cv2.multiply(opaque, (1 + _RIM) / 2)
        if layer.lit is not None:
            lit = cv2.multiply(cv2.min(layer.lit, layer.coverage), seen_there, scale=1 / 255, dtype=cv2.CV_32F)
            shade = cv2.addWeighted(opaque, _RIM, lit, 1 - _RIM, 0)
        part += cv2.merge([*(cv2.multiply(shade, channel / 255) for channel in straps.color_rgb), opaque])
    return Overlay(rgba, left, top, overlay.step, overlay.blur, on_top)
