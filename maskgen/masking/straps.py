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
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from importlib import resources
from typing import Final, get_args

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image
from maskgen.catalog.schema import Corner, Straps
from maskgen.catalog.view import View
from maskgen.face.head import carrying, head_to_image, pixels_per_mm, point_in_space, towards_camera
from maskgen.masking import detail
from maskgen.masking.fit import along_skin
from maskgen.masking.light import Appearance
from maskgen.masking.warp import Overlay, bearings, unshrunk
from maskgen.parse import Regions

# Degrees to millimetres, at the cheek.
_ARC_MM_PER_DEG: Final = 1.5
# Where straps run to at image right, (degrees, millimetres) on the head: the roots of the ear, or over and under it.
_WAYS: Final[dict[str, dict[str, tuple[tuple[float, float], ...]]]] = {
    "ear": {"upper": ((94.0, -8.0),), "lower": ((88.0, 41.0),)},
    "head": {
        "upper": ((76.0, 6.0), (92.0, -16.0), (108.0, -34.0), (128.0, -52.0)),
        "lower": ((78.0, 58.0), (94.0, 56.0), (110.0, 53.0)),
    },
}
# How far the middle of a strap hangs below the straight way, as a share of its length: the lower one is slacker.
_SAG: Final = {"upper": -0.03, "lower": 0.05}
_THICKNESS_MM: Final = 2.0
_STEPS: Final = 24
# How much of what is left between head and cloth each step keeps.
_NEAR_CLOTH: Final = np.square(np.linspace(1, 0, _STEPS, dtype=np.float32))[:, None]
# Steps in a row that must be hidden before a strap ends: a strand of hair does not end it.
_RUN: Final = 2
# It lies over a strip of hair that is no broader, millimetres, if so many steps of skin are seen beyond.
_SIDEBURN_MM: Final = 22.0
_BEYOND: Final = 2
# Loops are wider and narrower than a view says by such factors; those of sewn masks may be bands (measured on real
# ones: 2.1 to 4.0 mm, sewn ones up to 6.7).
_WIDTHS: Final = (0.75, 1.25)
_BANDS: Final = (0.9, 1.9)
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
    width, higher, slacker = rng.random(3)
    return Hold(float(width), float(_HIGHER_MM * (2 * higher - 1)), float(np.interp(slacker, (0, 1), _SLACKER)))


@dataclass(frozen=True)
class Strap:
    """One strap as it is seen.

    Attributes
    ----------
    path : (N, 2) float32 array
        Its middle, from the mask on, pixels.
    width : float
        Pixels.
    opacity : (N,) float array
        0 to 1, along the path.
    over_hair : tuple of slice
        Parts of the path that lie over hair.
    """

    path: Float32Array
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
    found = seen(view, on_face, landmarks_68, photograph, overlay.step, hold)
    height, width = (math.ceil(side / overlay.step) for side in photograph.image.shape[:2])
    layers = [_drawn(side, view.straps, (height, width), overlay.step) for side in _by_side(found)]
    laid = [layer for layer in layers if layer is not None]
    if not laid:
        return overlay
    step = overlay.step
    on_top = [(unshrunk(one.path[part], step), one.width * step) for one in found for part in one.over_hair]
    return replace(_under(overlay, laid), on_top=tuple(on_top))


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
    ways = _ways(view)
    around = on_face[ways.around]  # (C, 3, 2)
    a, b = around[:, 1] - around[:, 0], around[:, 2] - around[:, 0]
    is_front = (a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0] > 0) & ways.is_inside
    if not is_front.any():
        return []
    starts = (ways.shares[:, None] @ around)[:, 0]
    paths = (ways.carrying @ landmarks_68).reshape(-1, _STEPS, 2)
    # What is left between the head and the cloth, which stands off it, goes with the distance from the cloth.
    paths += (starts - paths[:, 0])[:, None] * _NEAR_CLOTH
    camera = head_to_image(landmarks_68)
    width_mm = view.straps.width_mm
    if hold is not None:
        paths += _bent(hold, ways.step_mm, camera[:, 1])
        is_band = view.surface is not None and view.surface.weave != "nonwoven" and view.straps.kind == "ear"
        width_mm *= float(np.interp(hold.width, (0, 1), _BANDS if is_band else _WIDTHS))
    on_image = unshrunk(paths.reshape(-1, 2), step)
    is_skin = photograph.is_skin(on_image).reshape(paths.shape[:2])
    is_turned = ways.normals @ towards_camera(camera) < _EDGE_ON
    width = width_mm * pixels_per_mm(camera)
    result = []
    for number, path in enumerate(paths):
        if not is_front[number]:
            continue
        step_mm = float(ways.step_mm[number])
        hidden = is_turned[number] | ~is_skin[number]
        strips = _strips(hidden.tolist(), round(_SIDEBURN_MM / max(step_mm, 1e-3)))
        if strips:
            is_hair = photograph.is_hair(on_image.reshape(paths.shape)[number]) & ~is_turned[number]
            strips = [strip for strip in strips if is_hair[strip].all()]
        for strip in strips:
            hidden[strip] = False
        if (count := _first_run(hidden.tolist())) < 2:
            continue
        from_end = np.arange(count - 1, -1, -1) * step_mm
        over = tuple(slice(max(one.start - 1, 0), one.stop + 1) for one in strips if one.stop <= count)
        result.append(Strap(path[:count], width, np.minimum((from_end + 0.3) / _FADE_MM, 1), over))
    return result


def pulling(view: View, how_hard: tuple[float, float, float, float]) -> tuple[detail.Corner, ...]:
    """Where straps pull at a mask, and how hard each, 0 to 1, in the order of `maskgen.catalog.schema.Corner`."""
    if view.straps is None or view.straps.kind == "none" or not view.fastenings:
        return ()
    ways, order = _ways(view), get_args(Corner)
    return tuple(
        detail.Corner(float(place[0]), float(place[1]), (float(towards[0] * pull), float(towards[1] * pull)))
        for corner, place, towards, is_inside in zip(
            view.fastenings, ways.corners_mm, ways.towards, ways.is_inside, strict=True
        )
        if is_inside and (pull := how_hard[order.index(corner)] * detail.PULL_MM) > 0
    )


def _bent(hold: Hold, step_mm: Float64Array, down: Float32Array) -> Float32Array:
    """(C, N, 2) how far straps lie from where their view says, pixels; `down` (2,) is a millimetre down the head."""
    share = np.linspace(0, 1, _STEPS)
    along_mm = step_mm[:, None] * (_STEPS - 1)
    down_mm = hold.slacker * along_mm * 4 * share * (1 - share) - hold.higher_mm * share**1.5
    result: Float32Array = down_mm[..., None].astype(np.float32) * down
    return result


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


@dataclass(frozen=True)
class _Ways:
    """The straps of a view on the mean head: C of them, N steps each.

    Attributes
    ----------
    around, shares, is_inside : (C, 3), (C, 3) and (C,) arrays
        Where they leave the cloth, as `maskgen.masking.warp.bearings` gives it.
    carrying : (C N, 68) float32 array
        Takes landmarks to the points of their ways.
    normals : (C, N, 3) float32 array
        Of the skin under those.
    step_mm : (C,) array
        From point to point.
    corners_mm, towards : (C, 2) arrays
        Where they leave the cloth on the unrolled skin, and the direction from there to the ear.
    """

    around: npt.NDArray[np.int32]
    shares: Float32Array
    is_inside: BoolArray
    carrying: Float32Array
    normals: Float32Array
    step_mm: Float64Array
    corners_mm: Float64Array
    towards: Float64Array


@lru_cache(maxsize=4096)
def _ways(view: View) -> _Ways:
    assert view.straps is not None
    corners = [*view.fastenings]
    starts = np.array([view.fastenings[corner] for corner in corners], np.float32)
    around, shares, is_inside = bearings(starts, view.points, view.triangles)
    # The affine camera under which the mean head lies as the picture shows the mask.
    space = np.stack([point_in_space(name) for name in view.names]).astype(np.float64)
    system = np.concatenate([space, np.ones((len(space), 1))], axis=1)
    camera = np.linalg.lstsq(system, view.points.astype(np.float64), rcond=None)[0].T.astype(np.float32)
    towards = towards_camera(camera)
    ways = [
        _way(corner, view.straps.kind, start, camera, towards) for corner, start in zip(corners, starts, strict=True)
    ]
    points = np.stack([way for way, _ in ways])
    corners_mm = (shares[:, None] @ along_skin(view.names)[around].astype(np.float64))[:, 0]
    ends = [_WAYS[view.straps.kind]["upper" if corner.endswith("upper") else "lower"][0] for corner in corners]
    sides = [1 if "image_right" in corner else -1 for corner in corners]
    goals = np.array(
        [(side * _ARC_MM_PER_DEG * angle, height) for side, (angle, height) in zip(sides, ends, strict=True)]
    )
    towards_ear = goals - corners_mm
    return _Ways(
        around,
        shares.astype(np.float32),
        is_inside,
        carrying(points.reshape(-1, 3)),
        np.stack([normals for _, normals in ways]),
        np.linalg.norm(points[:, 1] - points[:, 0], axis=1).astype(np.float64),
        corners_mm,
        towards_ear / np.maximum(np.linalg.norm(towards_ear, axis=1, keepdims=True), 1e-6),
    )


def _way(
    corner: Corner, kind: str, start: Float32Array, camera: Float32Array, towards: Float32Array
) -> tuple[Float32Array, Float32Array]:
    """Points (N, 3) of a strap on the head, and the normals (N, 3) of the skin there."""
    # The net is that of image right; at image left the camera is mirrored instead.
    mirror = np.array([1 if "image_right" in corner else -1, 1, 1], np.float32)
    axes = camera[:, :3] * mirror
    end = "upper" if corner.endswith("upper") else "lower"
    skin = _skin()
    apart = np.square(skin.points @ axes.T + (camera[:, 3] - start)).sum(axis=-1)
    # Of two places one behind the other the camera sees the nearer one.
    apart[skin.normals @ (towards * mirror) < -0.2] = np.inf
    row, column = np.unravel_index(int(apart.argmin()), apart.shape)
    knots = np.array([(skin.angles[column], skin.heights[row]), *_WAYS[kind][end]], np.float32)
    along = np.concatenate([[0], np.cumsum(np.hypot(*(np.diff(knots, axis=0) * [_ARC_MM_PER_DEG, 1.0]).T))])
    fine = np.linspace(0, along[-1], _STEPS)
    angle, height = np.interp(fine, along, knots[:, 0]), np.interp(fine, along, knots[:, 1])
    share = fine / max(along[-1], 1e-6)
    height += _SAG[end] * along[-1] * 4 * share * (1 - share)
    points, normals = skin.at(angle, height)
    return points * mirror, normals * mirror


def _first_run(hidden: list[bool]) -> int:
    """Where the first run of hidden steps begins; the number of steps if there is none."""
    count = 0
    for number, is_hidden in enumerate(hidden):
        count = count + 1 if is_hidden else 0
        if count == _RUN:
            return number + 1 - _RUN
    return len(hidden) - count


@dataclass(frozen=True)
class _Skin:
    """The side of the head at image right, as a net of points a strap's thickness off the skin."""

    angles: Float32Array
    heights: Float32Array
    points: Float32Array
    normals: Float32Array

    def at(self, angle: Float64Array, height: Float64Array) -> tuple[Float32Array, Float32Array]:
        """Points (N, 3) and normals (N, 3) between those of the net."""
        column = (angle - self.angles[0]) / (self.angles[1] - self.angles[0])
        row = (height - self.heights[0]) / (self.heights[1] - self.heights[0])
        place = column.astype(np.float32)[None], row.astype(np.float32)[None]
        points, normals = (
            cv2.remap(net, *place, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]
            for net in (self.points, self.normals)
        )
        return points, normals


@cache
def _skin() -> _Skin:
    # Measured beforehand: the solid needs SciPy, which a worker does without.
    with resources.as_file(resources.files("maskgen.face") / "side.npz") as path, np.load(path) as file:
        return _Skin(**file)


def measured_skin() -> _Skin:
    """What ``maskgen/face/side.npz`` holds, from the mean head."""
    from maskgen.face.solid import head_solid

    # A strap spans the hollow of the cheek and does not follow wrinkles.
    solid = head_solid().smoothed(6.0)
    angles, heights = np.arange(20.0, 136.0, 4.0), np.arange(-70.0, 162.0, 8.0)
    angle, height = np.meshgrid(angles, heights)
    points = solid.on_skin(angle, height)
    _, normals = solid.distance(points)
    return _Skin(
        *(values.astype(np.float32) for values in (angles, heights, points + normals * (_THICKNESS_MM / 2), normals))
    )


def _by_side(found: list[Strap]) -> list[list[Strap]]:
    """Straps that are drawn together, because they lie near each other."""
    middle = sum(float(strap.path[0, 0]) for strap in found) / max(len(found), 1)
    sides = [[one for one in found if (one.path[0, 0] < middle) == is_left] for is_left in (True, False)]
    return [side for side in sides if side]


def _drawn(found: list[Strap], straps: Straps, shape: tuple[int, int], step: float) -> Overlay | None:
    """Straps as a picture; None if they lie outside an image of this shape."""
    width = found[0].width
    reach, every = width / 2 + 1.5, np.concatenate([strap.path for strap in found])
    (x1, y1), (x2, y2) = (every.min(axis=0) - reach).tolist(), (every.max(axis=0) + reach).tolist()
    left, top = max(math.floor(x1), 0), max(math.floor(y1), 0)
    size_wh = min(math.ceil(x2) + 1, shape[1]) - left, min(math.ceil(y2) + 1, shape[0]) - top
    if min(size_wh) <= 0:
        return None
    # Thinner than a few pixels they would be drawn too wide: they are drawn large, and made smaller.
    scale = min(max(math.ceil(_FINE / max(width, 0.1)), 1), 16)
    origin = np.array([left - 0.5, top - 0.5], np.float32)
    large = size_wh[1] * scale, size_wh[0] * scale
    coverage = []
    # A strap as thin as a pixel or two has no rims to be seen.
    for share in (1.0, 0.5) if width > _ROUND else (1.0,):
        canvas = np.zeros(large, np.uint8)
        above = np.array([0, (1 - share) * 2 * _LIT * width], np.float32)
        for strap in found:
            _ribbon(canvas, (strap.path - origin - above) * scale - 0.5, share * width * scale, strap.opacity)
        small = canvas if scale == 1 else cv2.resize(canvas, size_wh, interpolation=cv2.INTER_AREA)
        coverage.append(small.astype(np.float32))
    alpha = coverage[0] * np.float32(1 / 255)
    shaded = alpha * np.float32((1 + _RIM) / 2)
    if len(coverage) > 1:
        shaded = np.minimum(alpha * np.float32(_RIM) + coverage[1] * np.float32((1 - _RIM) / 255), alpha)
    rgba = cv2.merge([*(shaded * np.float32(channel / 255) for channel in straps.color_rgb), alpha])
    return Overlay(rgba, left, top, step)


def _ribbon(canvas: Image, path: Float32Array, width: float, opacity: Float64Array) -> None:
    """Draw a ribbon along a path (N, 2) into a canvas (H, W), 255 where it is opaque."""
    along = np.empty_like(path)
    along[1:-1], along[0], along[-1] = path[2:] - path[:-2], path[1] - path[0], path[-1] - path[-2]
    along /= np.maximum(np.sqrt(np.square(along).sum(axis=1, keepdims=True)), 1e-6)
    # What is drawn without jags reaches half a pixel farther.
    across = along[:, ::-1] * np.array([-16, 16], np.float32) * max(width / 2 - 0.5, 0.25)
    path = path * np.float32(16)
    one, other = np.round(path + across).astype(np.int32), np.round(path - across).astype(np.int32)
    # Piece by piece where it fades, from its end on.
    whole = int(np.count_nonzero(opacity >= 1))
    first = max(whole - 1, 0)
    for number in range(len(path) - 2, first - 1, -1):
        piece = np.array([one[number], one[number + 1], other[number + 1], other[number]])
        shade = 127.5 * float(opacity[number] + opacity[number + 1])
        cv2.fillConvexPoly(canvas, piece, shade, cv2.LINE_AA, 4)
    if first:
        cv2.fillPoly(canvas, [np.concatenate([one[: first + 1], other[first::-1]])], 255, cv2.LINE_AA, 4)


def _under(overlay: Overlay, layers: list[Overlay]) -> Overlay:
    """An overlay with others under it."""
    regions = [overlay.region, *(layer.region for layer in layers)]
    top, left = (min(region[axis].start for region in regions) for axis in (0, 1))
    bottom, right = (max(region[axis].stop for region in regions) for axis in (0, 1))
    rgba = np.zeros((bottom - top, right - left, 4), overlay.rgba.dtype)

    def place(region: tuple[slice, slice]) -> tuple[slice, slice]:
        rows, columns = region
        return slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left)

    rgba[place(overlay.region)] = overlay.rgba
    for layer in layers:
        above = rgba[place(layer.region)]
        above += layer.rgba * (1 - above[..., 3:])
    return replace(overlay, rgba=rgba, left=left, top=top)
