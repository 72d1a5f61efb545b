"""Views of a mask from all sides, made from one flat picture of it.

The silhouette is found, turned upright (`lie`) and cut into four edges; the picture between them is laid on the cloth
of a mask of its kind (a Coons patch: S. Coons, "Surfaces for Computer-Aided Design of Space Forms", 1967) and
rendered like any other design. Straps in the picture are dropped and rendered anew.

Convention
----------
Pictures are (H, W, 3 or 4) uint8, RGB or RGBA with straight alpha; the mask stands about upright in them, its outside
towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from scipy.ndimage import distance_transform_edt

from maskgen.arrays import BoolArray, Float64Array, Image
from maskgen.catalog import schema
from maskgen.catalog.edit import NewView
from maskgen.catalog.schema import Kind, Rotation
from maskgen.errors import CatalogError
from maskgen.images import LUMA_WEIGHTS
from maskgen.plural import counted
from maskgen.studio.cutout.background import foreground, without_specks
from maskgen.studio.cutout.lie import quadrilateral, upright_turn
from maskgen.studio.render import indexed
from maskgen.studio.render.designs import DesignSpec, Straps
from maskgen.studio.render.draw import PITCHES, YAWS, draw_both_sides
from maskgen.studio.render.fabric import Fabric
from maskgen.studio.render.model import SHIPPED, Quality, build, straps_of
from maskgen.studio.render.prints import Colour
from maskgen.studio.render.shapes import (
    CLOTH_SHAPE,
    CUP_SHAPE,
    DUCKBILL_SHAPE,
    GAITER_SHAPE,
    KN95_SHAPE,
    SURGICAL_SHAPE,
)
from maskgen.studio.render.sheet import SheetShape, net

_SHAPES: Final[dict[Kind, SheetShape]] = {
    "surgical": SURGICAL_SHAPE,
    "kn95": KN95_SHAPE,
    "n95_cup": CUP_SHAPE,
    "cloth": CLOTH_SHAPE,
    "duckbill": DUCKBILL_SHAPE,
    "gaiter": GAITER_SHAPE,
}
_HEAD_STRAPS: Final = frozenset({"n95_cup", "duckbill"})
# The flat picture is unrolled to this size: about two pixels per millimetre.
_FLAT_WH: Final = (512, 384)
# A longer side beyond this is scaled down first.
_LARGEST: Final = 1600
_SMALLEST_MASK: Final = 64
# Straps are narrower than this share of the silhouette's longer side.
_STRAP_SHARE: Final = 0.085
_ASPECTS: Final = (0.75, 2.9)
# So much of the mean side of a rectangle is cut off round it.
_HEM_SHARE: Final = 0.012
# A silhouette that fills more of its box than this is a rectangle: its corners are the mask's.
_RECTANGLE: Final = 0.88


@dataclass(frozen=True)
class Flat:
    """A mask unrolled.

    Attributes
    ----------
    picture : (H, W, 3) array
        0 to 1, the mask's edges at the picture's.
    is_rectangle : bool
        Whether the silhouette was a rectangle.
    """

    picture: Float64Array
    is_rectangle: bool


def views_from_cutout(image: Image, kind: Kind = "other", quality: Quality = SHIPPED, seed: int = 0) -> list[NewView]:
    """Views from all sides of a mask that one flat picture shows.

    Parameters
    ----------
    image : (H, W, 3 or 4) uint8 array
        RGBA with the mask cut out, or the mask on a plain background.
    kind : str
        What sort of mask it is: its shape is taken. ``other`` lets the silhouette decide.
    quality : Quality
        How finely to render.
    seed : int
        Of the cloth's slight waviness.

    Returns
    -------
    list of NewView
        For both sides of the head. A mirrored view would show letters on the mask backwards, so the design must not be
        mirrored.

    Raises
    ------
    CatalogError
        If the picture shows no mask that can be lifted; says why.
    """
    spec, picture = design_from_cutout(image, kind, seed)
    model = build(spec, quality, picture)
    views = []
    for yaw, yaw_interval in YAWS:
        for pitch, pitch_interval in PITCHES:
            rotation = Rotation(yaw=yaw_interval, pitch=pitch_interval)
            for seen, shown in draw_both_sides(model, yaw, pitch, rotation, quality):
                views.append(NewView(indexed.encode(shown.rgba), seen, dict(shown.points), shown.fastenings))
    return views


def straps_of_cutout(kind: Kind, is_dark: bool) -> schema.Straps:
    """What a catalog says of the straps of a lifted mask.

    Parameters
    ----------
    is_dark : bool
        Whether the mask is: its straps are then too.
    """
    return straps_of(_straps(kind), _elastic(is_dark))


def _straps(kind: Kind) -> Straps:
    return Straps("head", 5.5) if kind in _HEAD_STRAPS else Straps("none" if kind == "gaiter" else "ears")


def _elastic(is_dark: bool) -> Colour:
    return (40, 40, 42) if is_dark else (228, 228, 226)


def design_from_cutout(image: Image, kind: Kind = "other", seed: int = 0) -> tuple[DesignSpec, Float64Array]:
    """The design that a flat picture shows, and the picture laid flat for `render.build`.

    Raises
    ------
    CatalogError
        As `views_from_cutout`.
    """
    shape = _SHAPES.get(kind)
    flat = unrolled(image, shape)
    if shape is None:
        shape = SURGICAL_SHAPE if flat.is_rectangle else CLOTH_SHAPE
    middle = np.median(flat.picture.reshape(-1, 3), axis=0)
    colour: Colour = tuple(round(float(channel) * 255) for channel in middle)  # type: ignore[assignment]
    is_dark = float(middle @ LUMA_WEIGHTS) < 0.3
    fabric = Fabric(
        "picture",
        colour,
        elastic=_elastic(is_dark),
        inner=(60, 60, 62) if is_dark else (226, 226, 224),
        sheen=0.06 if is_dark else 0.02,
        mottling=0.0,
        wrinkles=0.4,
    )
    return DesignSpec("cut-out", kind, "", (), 1.0, shape, fabric, _straps(kind), seed=seed), flat.picture


def unrolled(image: Image, shape: SheetShape | None = None) -> Flat:
    """The mask in a picture, unrolled between its four edges.

    Parameters
    ----------
    shape : SheetShape, optional
        Where its corners lie in its outline, if that is no rectangle; by default those of sewn cloth.

    Raises
    ------
    CatalogError
        If the picture shows no mask that can be lifted; says why.
    """
    image = _scaled_down(image)
    region = _without_straps(_silhouette(image))
    corners = quadrilateral(region)
    if corners is not None:
        sides = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
        _check_aspect(float(sides[[0, 2]].mean()), float(sides[[1, 3]].mean()))
        # Its hem goes, with the stumps of straps.
        inner = _eroded(region, max(round(_HEM_SHARE * float(sides.mean())), 1))
        return Flat(_patch(_filled(image[..., :3], inner), _outline(inner), corners), is_rectangle=True)
    rgb, region = _turned(_filled(image[..., :3], region), region, upright_turn(region, shape))
    outline = _outline(region)
    low, high = outline.min(axis=0), outline.max(axis=0)
    width, height = high - low
    _check_aspect(width, height)
    is_rectangle = bool(region.sum() / (width * height) > _RECTANGLE)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], float)
    if not is_rectangle:
        corners = _corners_of(shape or CLOTH_SHAPE)
    picture = _patch(rgb, outline, corners * (high - low) / 2 + (high + low) / 2)
    return Flat(picture, is_rectangle)


def _check_aspect(width: float, height: float) -> None:
    if not _ASPECTS[0] <= width / height <= _ASPECTS[1]:
        raise CatalogError(
            f"a silhouette of {width:.0f} x {height:.0f} pixels is too {'wide' if width > height else 'tall'} for a "
            "mask: it may be folded",
            "unfold it and photograph the whole of it from straight above",
        )


def _scaled_down(image: Image) -> Image:
    scale = _LARGEST / max(image.shape[:2])
    if scale >= 1:
        return image
    size_wh = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    smaller: Image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    return smaller


def _silhouette(image: Image) -> BoolArray:
    """Where the picture shows something: by its alpha, or by what differs from a plain background."""
    if image.shape[2] == 4 and image[..., 3].min() < 255:
        return np.asarray(image[..., 3] > 127)
    return foreground(np.ascontiguousarray(image[..., :3]))


def _without_straps(region: BoolArray) -> BoolArray:
    """The cloth of a silhouette: one piece, neither specks nor straps."""
    rows, columns = np.flatnonzero(region.any(axis=1)), np.flatnonzero(region.any(axis=0))
    if not len(rows):
        raise CatalogError("the picture is transparent everywhere")
    size = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    if size < _SMALLEST_MASK:
        raise CatalogError(f"the silhouette is {counted(size, 'pixel')} long, at least {_SMALLEST_MASK} are needed")
    reach = max(round(_STRAP_SHARE * size / 2), 1)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    solid = np.pad(without_specks(region).astype(np.uint8), reach + 1)
    core = cv2.erode(solid, disc)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(core, connectivity=8)
    if count < 2:
        raise CatalogError(
            "only thin lines stand out from the background", "leave some background around the mask, or cut it out"
        )
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA]) + 1
    if len(order) > 1 and stats[order[1], cv2.CC_STAT_AREA] > 0.08 * stats[order[0], cv2.CC_STAT_AREA]:
        raise CatalogError(f"{len(order)} pieces in the silhouette", "show one mask alone")
    opened = cv2.dilate((labels == order[0]).astype(np.uint8), disc)
    # Opening rounds corners off: what is left of the cloth close by comes back, straps do not reach far.
    near = cv2.dilate(opened, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach + 1, reach + 1)))
    stump = max(round(0.36 * reach), 1)
    small = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * stump + 1, 2 * stump + 1))
    trimmed = cv2.morphologyEx(near & solid, cv2.MORPH_OPEN, small)
    cloth = np.asarray(trimmed[reach + 1 : -reach - 1, reach + 1 : -reach - 1] > 0)
    hull = cv2.convexHull(_outline(cloth).astype(np.float32))
    if cloth.sum() < 0.78 * cv2.contourArea(hull):
        raise CatalogError(
            "the silhouette is too ragged for a mask",
            "photograph the mask alone on one surface of another colour, or cut it out anew (transparent PNG)",
        )
    if min(np.ptp(_outline(cloth), axis=0)) < _SMALLEST_MASK / 2:
        raise CatalogError(f"the silhouette is less than {_SMALLEST_MASK // 2} pixels high or wide")
    return cloth


def _filled(rgb: Image, region: BoolArray) -> Image:
    """The picture with everything outside the region in the colour of the nearest place well inside it."""
    inside = _eroded(region, 2)
    _, (rows, columns) = distance_transform_edt(~inside, return_indices=True)
    return np.ascontiguousarray(rgb[rows, columns])


def _eroded(region: BoolArray, reach: int) -> BoolArray:
    square = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    # Beyond the picture's edge there is none of it.
    return np.asarray(cv2.erode(region.astype(np.uint8), square, borderType=cv2.BORDER_CONSTANT, borderValue=0) > 0)


def _turned(rgb: Image, region: BoolArray, turn_deg: float) -> tuple[Image, BoolArray]:
    """Rendering and region turned, nothing cut off."""
    if not turn_deg:
        return rgb, region
    height, width = region.shape
    diagonal = int(np.ceil(np.hypot(height, width)))
    matrix = cv2.getRotationMatrix2D((width / 2 - 0.5, height / 2 - 0.5), turn_deg, 1.0)
    matrix[:, 2] += [(diagonal - width) / 2, (diagonal - height) / 2]
    turned = cv2.warpAffine(rgb, matrix, (diagonal, diagonal), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    alpha = cv2.warpAffine(region.astype(np.float32), matrix, (diagonal, diagonal))
    return turned, np.asarray(alpha > 0.5)


def _outline(region: BoolArray) -> Float64Array:
    """(N, 2) points (x, y) round the region, clockwise on screen."""
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(contours, key=len)[:, 0].astype(np.float64)
    x, y = outline.T
    area = float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    clockwise: Float64Array = outline if area > 0 else outline[::-1]
    return clockwise


def _corners_of(shape: SheetShape) -> Float64Array:
    """(4, 2) corners of a mask seen from the front, clockwise from the upper left, in its box from -1 to 1."""
    points = net(shape)
    seen = points.reshape(-1, 3)[:, :2]
    low, high = seen.min(axis=0), seen.max(axis=0)
    corners = np.stack([points[0, 0], points[0, -1], points[-1, -1], points[-1, 0]])[:, :2]
    return np.asarray((corners - low) / (high - low) * 2 - 1)


def _patch(rgb: Image, outline: Float64Array, corners: Float64Array) -> Float64Array:
    """(H, W, 3) picture between the four edges that the points nearest to the corners cut the outline into."""
    at = [int(np.argmin(np.square(outline - corner).sum(axis=1))) for corner in corners]
    width, height = _FLAT_WH
    upper, right, lower, left = (
        _along(outline, at[k], at[(k + 1) % 4], count) for k, count in enumerate((width, height, width, height))
    )
    lower, left = lower[::-1], left[::-1]
    u, v = np.linspace(0, 1, width)[None, :, None], np.linspace(0, 1, height)[:, None, None]
    places = (1 - v) * upper[None] + v * lower[None] + (1 - u) * left[:, None] + u * right[:, None]
    places -= (1 - u) * (1 - v) * upper[0] + u * (1 - v) * upper[-1] + (1 - u) * v * lower[0] + u * v * lower[-1]
    x, y = (np.ascontiguousarray(places[..., k], np.float32) for k in range(2))
    shrink = max(np.ptp(x) / width, np.ptp(y) / height)
    source = cv2.GaussianBlur(rgb, (0, 0), 0.4 * shrink) if shrink > 1 else rgb
    flat: Image = cv2.remap(source, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(flat.astype(np.float64) / 255)


def _along(outline: Float64Array, start: int, stop: int, count: int) -> Float64Array:
    """(count, 2) points evenly spread along the outline, clockwise from one of its points to another."""
    steps = (stop - start) % len(outline)
    line = outline[(start + np.arange(steps + 1)) % len(outline)]
    # A staircase of pixels is longer than the edge that it stands for, and would make the picture ragged.
    half = max(len(line) // 40, 2)
    window = np.full(2 * half + 1, 1 / (2 * half + 1))
    smooth = [
        np.convolve(np.pad(line[:, k], half, mode="reflect", reflect_type="odd"), window, "valid") for k in (0, 1)
    ]
    line = np.stack(smooth, axis=1)
    along = np.cumsum(np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]), axis=1))
    even = np.linspace(0, along[-1], count)
    return np.stack([np.interp(even, along, line[:, k]) for k in range(2)], axis=1)
