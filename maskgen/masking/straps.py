"""What holds a mask: loops to the ears, or bands round the head, drawn on the face that wears it.

A strap leaves the cloth where the view says, follows the head to the ear and ends where the head turns away from the
camera or where hair begins. It is laid under the cloth, so that it takes on light, blur and grain with it.

Convention
----------
The frame of `maskgen.face.solid`: millimetres, directions round the head in degrees. Points in the image are (x, y)
pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image
from maskgen.catalog.schema import Corner, Straps
from maskgen.catalog.store import View
from maskgen.face.head import head_to_image, in_image, towards_camera
from maskgen.masking.light import Appearance
from maskgen.masking.warp import Overlay, carried
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
# Steps in a row that must be hidden before a strap ends: a strand of hair does not end it.
_RUN: Final = 2
# Cosine between the skin's normal and the way to the camera below which the head has turned away.
_EDGE_ON: Final = 0.12
# How far the last of a strap fades, millimetres: behind the ear, or under hair.
_FADE_MM: Final = 3.0
# Brightness of a strap's rims against its middle; it is a cord, not a stripe of paint.
_RIM: Final = 0.72
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
        """(N,) whether skin is seen at points (N, 2), pixels, or glasses on it."""
        if self.regions is not None:
            return self.regions.at_points(points, "skin", "glasses") >= 0.5
        height, width = self.image.shape[:2]
        x = np.clip(np.round(points[:, 0]).astype(int), 0, width - 1)
        y = np.clip(np.round(points[:, 1]).astype(int), 0, height - 1)
        return self.appearance.is_skin(self.image, x, y)


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
    """

    path: Float32Array
    width: float
    opacity: Float64Array


def with_straps(
    overlay: Overlay,
    view: View,
    on_face: Float32Array,
    landmarks_68: Float32Array,
    photograph: Photograph,
) -> Overlay:
    """A mask with the straps that hold it.

    Parameters
    ----------
    overlay : Overlay
        The cloth on the image.
    view : View
        Its fastenings say where straps leave the cloth, its straps what they are.
    on_face : (K, 2) array
        Where the view's control points lie in the image, pixels.
    landmarks_68 : (68, 2) array
        Of the face, pixels.
    photograph : Photograph
        A strap ends where no skin is seen any more.
    """
    if view.straps is None or view.straps.kind == "none" or not view.fastenings or not overlay.rgba.size:
        return overlay
    found = seen(view, on_face, landmarks_68, photograph)
    drawn = [layer for strap in found if (layer := _drawn(strap, view.straps, photograph.image.shape)) is not None]
    return _under(overlay, drawn) if drawn else overlay


def seen(
    view: View,
    on_face: Float32Array,
    landmarks_68: Float32Array,
    photograph: Photograph,
) -> list[Strap]:
    """The straps of a view that the camera sees; parameters as `with_straps`."""
    assert view.straps is not None
    corners = [*view.fastenings]
    starts, is_front = carried(
        np.array([view.fastenings[corner] for corner in corners], np.float32), view.points, on_face, view.triangles
    )
    camera = head_to_image(landmarks_68)
    towards = towards_camera(camera)
    ways = [
        (start, *_way(corner, view.straps.kind, start, camera, towards))
        for corner, start, front in zip(corners, starts, is_front, strict=True)
        if front
    ]
    if not ways:
        return []
    points = np.stack([way for _, way, _ in ways])  # (S, N, 3)
    paths = in_image(points.reshape(-1, 3), landmarks_68).reshape(*points.shape[:2], 2)
    # What is left between the head and the cloth, which stands off it, goes with the distance from the cloth.
    offset = np.stack([start for start, _, _ in ways]) - paths[:, 0]
    paths += offset[:, None] * np.square(np.linspace(1, 0, _STEPS, dtype=np.float32))[:, None]
    is_skin = photograph.is_skin(paths.reshape(-1, 2)).reshape(paths.shape[:2])
    hidden = (np.stack([facing for *_, facing in ways]) < _EDGE_ON) | ~is_skin
    width = view.straps.width_mm * float(np.linalg.norm(camera[:, :3], axis=1).mean())
    result = []
    for path, way, is_hidden in zip(paths, points, hidden, strict=True):
        number = _first_run(is_hidden)
        if number < 2:
            continue
        step_mm = float(np.linalg.norm(way[1] - way[0]))
        from_end = np.arange(number)[::-1] * step_mm
        result.append(Strap(path[:number], width, np.clip((from_end + 0.3) / _FADE_MM, 0, 1)))
    return result


def _way(
    corner: Corner, kind: str, start: Float32Array, camera: Float32Array, towards: Float32Array
) -> tuple[Float32Array, Float32Array]:
    """Points (N, 3) of a strap on the head, and the cosines (N,) between the skin there and the way to the camera."""
    # The net is that of image right; at image left the camera is mirrored instead.
    mirror = np.array([1 if "image_right" in corner else -1, 1, 1], np.float32)
    axes, towards = camera[:, :3] * mirror, towards * mirror
    end = "upper" if corner.endswith("upper") else "lower"
    skin = _skin()
    apart = np.square(skin.points @ axes.T + (camera[:, 3] - start)).sum(axis=-1)
    # Of two places one behind the other the camera sees the nearer one.
    apart[skin.normals @ towards < -0.2] = np.inf
    row, column = np.unravel_index(int(apart.argmin()), apart.shape)
    knots = np.array([(skin.angles[column], skin.heights[row]), *_WAYS[kind][end]], np.float32)
    along = np.concatenate([[0], np.cumsum(np.hypot(*(np.diff(knots, axis=0) * [_ARC_MM_PER_DEG, 1.0]).T))])
    fine = np.linspace(0, along[-1], _STEPS)
    angle, height = np.interp(fine, along, knots[:, 0]), np.interp(fine, along, knots[:, 1])
    share = fine / max(along[-1], 1e-6)
    height += _SAG[end] * along[-1] * 4 * share * (1 - share)
    points, normals = skin.at(angle, height)
    return points * mirror, normals @ towards


def _first_run(hidden: BoolArray) -> int:
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


def _drawn(strap: Strap, straps: Straps, shape: tuple[int, ...]) -> Overlay | None:
    """A strap as a picture; None if it lies outside an image of this shape."""
    reach = strap.width / 2 + 1.5
    low = np.maximum(np.floor(strap.path.min(axis=0) - reach), 0).astype(int)
    high = np.minimum(np.ceil(strap.path.max(axis=0) + reach) + 1, [shape[1], shape[0]]).astype(int)
    width, height = (int(value) for value in high - low)
    if width <= 0 or height <= 0:
        return None
    # Thinner than a few pixels it would be drawn too wide: it is drawn large, and made smaller.
    scale = int(np.clip(np.ceil(_FINE / max(strap.width, 0.1)), 1, 16))
    path = (strap.path - low + 0.5) * scale - 0.5
    large = (height * scale, width * scale)
    coverage = [
        cv2.resize(_ribbon(path, share * strap.width * scale, large), (width, height), interpolation=cv2.INTER_AREA)
        # A strap as thin as a pixel or two has no rims to be seen.
        for share in ((1.0, 0.5) if strap.width > _ROUND else (1.0,))
    ]
    alpha = coverage[0] * np.float32(1 / 255) * _along(strap, low, (height, width))
    shaded = alpha * np.float32((1 + _RIM) / 2)
    if len(coverage) > 1:
        shaded = alpha * (np.float32(_RIM) + coverage[1] * np.float32((1 - _RIM) / 255))
    rgba = cv2.merge([*(shaded * np.float32(channel / 255) for channel in straps.color_rgb), alpha])
    return Overlay(rgba, int(low[0]), int(low[1]))


def _ribbon(path: Float32Array, width: float, shape: tuple[int, int]) -> Image:
    """(H, W) 255 within a ribbon along a path."""
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-6)
    # What is drawn without jags reaches half a pixel farther.
    across = along[:, ::-1] * [-1, 1] * max(width / 2 - 0.5, 0.25)
    rim = np.concatenate([path + across, (path - across)[::-1]])
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [np.round(rim * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return canvas


def _along(strap: Strap, low: Float64Array, shape: tuple[int, int]) -> Float32Array:
    """(H, W) a strap's opacity, carried to the pixels beside it across its end."""
    faded = np.flatnonzero(strap.opacity < 1)
    if not len(faded):
        return np.ones(shape, np.float32)
    first = max(int(faded[0]) - 1, 0)
    end = strap.path[-1] - low
    way = strap.path[-1] - strap.path[first]
    length = float(np.linalg.norm(way))
    if length < 1e-6:
        return np.ones(shape, np.float32)
    way = way / length
    x = np.arange(shape[1], dtype=np.float32) - np.float32(end[0])
    y = np.arange(shape[0], dtype=np.float32)[:, None] - np.float32(end[1])
    last = np.float32(strap.opacity[-1])
    # Before the end, along its last piece.
    fading = last - (way[0] * x + way[1] * y) * ((1 - last) / np.float32(length))
    near = x * x + y * y < np.float32((1.5 * length + strap.width) ** 2)
    faded_only: Float32Array = np.where(near, np.clip(fading, last, 1), np.float32(1))
    return faded_only


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
    return Overlay(rgba, left, top)
