"""Views of a mask from all sides, made from photographs of somebody who wears it.

The photographs are laid on the head's solid, as far as each shows it. What none shows is taken from the other side of
the mask, or from the nearest place that was seen, as far as an average mask reaches. The cloth is then turned and drawn
like any other design.

Convention
----------
The frame of `maskgen.face.head`. The cloth is a grid on the solid: rows are heights, downwards; columns are directions
round the head from image left to image right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Final

import cv2
import numpy as np
from scipy.interpolate import LinearNDInterpolator
from scipy.ndimage import distance_transform_edt

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image
from maskgen.catalog.edit import NewView
from maskgen.catalog.schema import Corner, Rotation
from maskgen.face import HeadPose
from maskgen.face.pose import rotation_matrix
from maskgen.face.solid import ARC_MM_PER_DEG, Solid, head_solid
from maskgen.studio.control import project
from maskgen.studio.mesh import Mesh, grid_mesh, occluder
from maskgen.studio.render import indexed, raster
from maskgen.studio.render.draw import PITCHES, YAWS, Rendering, draw, frontal_shade
from maskgen.studio.render.model import Model, Quality
from maskgen.studio.render.shapes import SURGICAL_SHAPE
from maskgen.studio.render.sheet import normals

# The grid: directions and heights, and their steps.
_ANGLES_DEG: Final = np.arange(-96.0, 96.1, 0.8)
_HEIGHTS_MM: Final = np.arange(-20.0, 165.1, 1.0)
# Of its vertices one of so many, both ways, carries its form.
_THINNED: Final = 3
# How far cloth stays off the skin, and how far it spans hollows and lips, millimetres.
_CLEARANCE_MM: Final = 3.0
_TENT_MM: Final = 16.0
_SMOOTH_MM: Final = 9.0
_EVEN_MM: Final = 2.0
# A place counts from where its normal faces the camera by the first of these cosines, and fully from the second.
_FACING: Final = (0.15, 0.55)
# A place so far behind what is in front of it is hidden, millimetres.
_HIDDEN_MM: Final = 5.0
# What the other side of the mask counts, where a place was seen, and after how many degrees a photograph counts for
# a view by half.
_MIRRORED_WEIGHT: Final = 0.3
_HALF_DEG: Final = 12.0
# What an average mask counts against a place that was seen well.
_AVERAGE_WEIGHT: Final = 0.05
# Outlines are drawn without bends smaller than this, millimetres.
_STEADY_MM: Final = 3.0
# No view is finer than this, pixels per millimetre, and none is coarser.
_FINEST: Final = 1.8
_COARSEST: Final = 0.9


@dataclass(frozen=True)
class Seen:
    """A mask as one photograph shows it.

    Attributes
    ----------
    rgba : (H, W, 4) float32 array
        Straight alpha, 0 to 1, without ear loops.
    points : dict
        Control point -> (x, y), pixels.
    pose : HeadPose
        Of the head; it stands upright in the picture.
    pixels_per_mm : float
        On the face.
    """

    rgba: Float32Array
    points: dict[str, tuple[float, float]]
    pose: HeadPose
    pixels_per_mm: float


def rendered_views(seen: Sequence[Seen], has_loops: bool) -> list[NewView]:
    """Views from all sides; those of one photograph serve the mirrored rotations too.

    Parameters
    ----------
    seen : sequence of Seen
        Photographs of one mask, no two of the same pose.
    has_loops : bool
        Whether ear loops are to be drawn from its corners.
    """
    scale = float(np.clip(max(one.pixels_per_mm for one in seen), _COARSEST, _FINEST))
    quality = Quality(pixels_per_mm=scale, samples=2)
    laid = [_laid(one) for one in _alike(seen)]
    model = _model(*_joined(laid, None), has_loops)
    is_one = len(seen) == 1
    views = []
    for yaw, yaw_interval in YAWS:
        for pitch, pitch_interval in PITCHES:
            rotation = Rotation(yaw=yaw_interval, pitch=pitch_interval)
            if is_one:
                views.append(_new_view(rotation, draw(model, yaw, pitch, rotation, quality)))
                continue
            for side in (1, -1) if yaw else (1,):
                turned = rotation if side > 0 else rotation.mirrored()
                nearest = _model(*_joined(laid, HeadPose(side * yaw, pitch, 0.0)), has_loops)
                views.append(_new_view(turned, draw(nearest, side * yaw, pitch, turned, quality)))
    return views


def _new_view(rotation: Rotation, shown: Rendering) -> NewView:
    return NewView(indexed.encode(shown.rgba), rotation, dict(shown.points), shown.fastenings, rendered=True)


def _alike(seen: Sequence[Seen]) -> list[Seen]:
    """The photographs, each as bright as the first in every channel: the cloth is the same."""
    medians = [np.median(one.rgba[one.rgba[..., 3] > 0.9][:, :3], axis=0) + 1e-3 for one in seen]
    matched = []
    for one, median in zip(seen, medians, strict=True):
        rgb = np.clip(one.rgba[..., :3] * (medians[0] / median), 0, 1)
        rgba = np.concatenate([rgb, one.rgba[..., 3:]], axis=-1).astype(np.float32)
        matched.append(Seen(rgba, one.points, one.pose, one.pixels_per_mm))
    return matched


# ---- the grid


@cache
def _grid() -> tuple[Float64Array, Float64Array]:
    """(R, C, 3) points of the cloth, and their normals."""
    head = head_solid()
    # Cloth shows no lips, but the tip of the nose is never out of it.
    smooth = head.bridged(_TENT_MM).smoothed(_SMOOTH_MM)
    solid = Solid(np.maximum(smooth.radius, head.radius)).smoothed(_EVEN_MM)
    angles, heights = np.meshgrid(_ANGLES_DEG, _HEIGHTS_MM)
    skin = solid.on_skin(angles, heights)
    points = skin + solid.distance(skin)[1] * _CLEARANCE_MM
    return points, normals(points)


@dataclass(frozen=True)
class _Laid:
    """A photograph laid on the grid.

    Attributes
    ----------
    rgba : (R, C, 4) float32 array
        Premultiplied.
    trust : (R, C) float32 array
        How well each place was seen, 0 to 1.
    pose : HeadPose
        Of the photograph.
    """

    rgba: Float32Array
    trust: Float32Array
    pose: HeadPose


def _laid(seen: Seen) -> _Laid:
    points, normal = _grid()
    turn = rotation_matrix(HeadPose(seen.pose.yaw, seen.pose.pitch, 0.0))
    turned = points @ turn.T
    names = tuple(seen.points)
    places = np.array([seen.points[name] for name in names])
    to_picture = LinearNDInterpolator(project(names, turn, 1.0), places, fill_value=-1e4)
    xy = to_picture(turned[..., :2]).astype(np.float32)
    premultiplied = np.concatenate([seen.rgba[..., :3] * seen.rgba[..., 3:], seen.rgba[..., 3:]], axis=-1)
    # A cell of the grid is about a millimetre: what is finer is averaged.
    soft = cv2.GaussianBlur(premultiplied, (0, 0), max(0.4 * seen.pixels_per_mm, 0.3))
    rgba: Float32Array = cv2.remap(soft, xy[..., 0], xy[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
    facing = (normal @ turn.T)[..., 2]
    trust = np.clip((facing - _FACING[0]) / (_FACING[1] - _FACING[0]), 0, 1)
    return _Laid(rgba, (trust * ~_hidden(turned, turn)).astype(np.float32), seen.pose)


def _hidden(turned: Float64Array, turn: Float64Array) -> BoolArray:
    """(R, C) places of the grid that the head, or the cloth nearer by, hides from the camera."""
    head = occluder(2)
    cloth = grid_mesh(turned[::_THINNED, ::_THINNED])
    vertices = np.concatenate([cloth.vertices, head.vertices @ turn.T])
    triangles = np.concatenate([cloth.triangles, head.triangles + len(cloth.vertices)])
    low = np.floor(vertices[:, :2].min(axis=0)) - 2
    width, height = (int(n) for n in np.ceil(vertices[:, :2].max(axis=0)) - low + 3)
    vertices[:, :2] -= low
    depth = raster.rasterise(vertices, triangles, (width, height)).depth
    column, row = (np.round(turned[..., axis] - low[axis]).astype(int) for axis in (0, 1))
    return np.asarray(turned[..., 2] < depth[row, column] - _HIDDEN_MM)


def _joined(laid: Sequence[_Laid], near: HeadPose | None) -> tuple[Float64Array, Float64Array]:
    """(R, C, 3) colours and (R, C) opacity of the cloth, those of photographs near a pose first."""
    total, weight = np.zeros((*laid[0].trust.shape, 4)), np.zeros(laid[0].trust.shape)
    aparts = [0.0 if near is None else float(np.hypot(p.pose.yaw - near.yaw, p.pose.pitch - near.pitch)) for p in laid]
    for one, apart in zip(laid, aparts, strict=True):
        # The nearest photograph counts in full, however far it is: a far side may have been seen by none.
        share = 0.5 ** ((apart - min(aparts)) / _HALF_DEG)
        for rgba, trust, counts in (
            (one.rgba, one.trust, 1.0),
            (one.rgba[:, ::-1], one.trust[:, ::-1], _MIRRORED_WEIGHT),
        ):
            part = np.square(trust) * share * counts
            total += rgba * part[..., None]
            weight += part
    # What an average mask covers decides where nothing was seen.
    alpha = (total[..., 3] + _AVERAGE_WEIGHT * _average()) / (weight + _AVERAGE_WEIGHT)
    alpha = np.clip((cv2.GaussianBlur(alpha, (0, 0), _STEADY_MM) - 0.5) * 3 + 0.5, 0, 1)
    mean = total / np.maximum(weight, 1e-9)[..., None]
    # Its colours are those of the cloth well inside of what was seen.
    inside = (mean[..., 3] > 0.92) & (weight > _AVERAGE_WEIGHT)
    mm = _HEIGHTS_MM[1] - _HEIGHTS_MM[0], (_ANGLES_DEG[1] - _ANGLES_DEG[0]) * ARC_MM_PER_DEG
    _, (rows, columns) = distance_transform_edt(~inside, sampling=mm, return_indices=True)
    colours = (mean[..., :3] / np.maximum(mean[..., 3:], 1e-3))[rows, columns]
    # What was not seen is smooth, so that no streaks run from the rim of what was.
    unsure = cv2.GaussianBlur((~inside).astype(np.float64), (0, 0), 2.0)[..., None]
    soft = cv2.GaussianBlur(colours, (0, 0), 5.0)
    return np.clip(colours * (1 - unsure) + soft * unsure, 0, 1), alpha


@cache
def _average() -> Float64Array:
    """(R, C) what an average mask covers: 0 or 1."""
    edges = (SURGICAL_SHAPE.upper, SURGICAL_SHAPE.side, SURGICAL_SHAPE.lower[::-1])
    half = np.array([point for edge in edges for point in edge], float)
    outline = np.concatenate([half, half[::-1] * [-1, 1]])
    steps = _ANGLES_DEG[1] - _ANGLES_DEG[0], _HEIGHTS_MM[1] - _HEIGHTS_MM[0]
    placed = (outline - [_ANGLES_DEG[0], _HEIGHTS_MM[0]]) / steps
    covered = np.zeros((len(_HEIGHTS_MM), len(_ANGLES_DEG)), np.uint8)
    cv2.fillPoly(covered, [placed.round().astype(np.int32)], 1)
    return covered.astype(np.float64)


# ---- the cloth in space


def _model(colours: Float64Array, alpha: Float64Array, has_loops: bool) -> Model:
    points, normal = _grid()
    rows, columns = points.shape[:2]
    # Cloth and its nearest surroundings only.
    near = cv2.dilate((alpha > 0.02).astype(np.uint8), np.ones((2 * _THINNED + 1,) * 2, np.uint8)) > 0
    taken = np.s_[::_THINNED, ::_THINNED]
    mesh = grid_mesh(points[taken])
    is_near = near[taken].ravel()
    triangles = mesh.triangles[is_near[mesh.triangles].all(axis=1)]
    used, index = np.unique(triangles, return_inverse=True)
    place = np.stack(np.meshgrid(np.arange(rows)[::_THINNED], np.arange(columns)[::_THINNED], indexing="ij"), axis=-1)
    count = rows * columns
    middle = np.median(colours[alpha > 0.5], axis=0)
    model = Model(
        mesh=Mesh(mesh.vertices[used], index.reshape(-1, 3)),
        grid=(rows, columns),
        places=place.reshape(-1, 2)[used].astype(np.float64),
        normals=normal.reshape(-1, 3),
        broad=normal.reshape(-1, 3),
        albedo=colours.reshape(count, 3),
        inner=middle,
        openness=np.ones(count),
        opacity=alpha.ravel(),
        sheen=0.0,
        corners=_corners(points, alpha) if has_loops else {},
    )
    # The photographs are as bright as cloth is seen, not as it is.
    return replace(model, albedo=model.albedo / frontal_shade(model))


def _corners(points: Float64Array, alpha: Float64Array) -> dict[Corner, Float64Array]:
    """Where ear loops leave the cloth: the ends of its sides, the same on both."""
    rows, columns = np.nonzero((alpha > 0.5) | (alpha[:, ::-1] > 0.5))
    angle, height = _ANGLES_DEG[columns] * ARC_MM_PER_DEG, _HEIGHTS_MM[rows]
    outer = angle > 0.5 * angle.max()
    angle, height, rows, columns = (values[outer] for values in (angle, height, rows, columns))
    corners: dict[Corner, Float64Array] = {}
    for end, sign in (("upper", -1.0), ("lower", 1.0)):
        corner = int(np.argmax(angle + sign * height))
        place = points[rows[corner], columns[corner]]
        right: Corner = "image_right_upper" if end == "upper" else "image_right_lower"
        left: Corner = "image_left_upper" if end == "upper" else "image_left_lower"
        corners[left], corners[right] = place * [-1.0, 1.0, 1.0], place
    return corners


def rgba_of(picture: Image, cloth: Float32Array) -> Float32Array:
    """A view's picture (H, W, 4), 0 to 1, with the opacity (H, W) of its cloth alone."""
    return np.concatenate([picture[..., :3] / np.float32(255), cloth[..., None]], axis=-1).astype(np.float32)
