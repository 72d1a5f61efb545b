"""Choose the points of the head that hold a mask in place without folding it.

Convention
----------
The frame of `maskgen.face.head`, turned: millimetres, x to image right, y down, z towards the viewer; the camera is
orthographic, because faces in photographs carry control points by an affine camera too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
from scipy.spatial import ConvexHull, Delaunay

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image
from maskgen.catalog.schema import Rotation
from maskgen.face import HeadPose
from maskgen.face.head import ANCHORS, mean_head, placing, point_in_space
from maskgen.face.pose import rotation_matrix
from maskgen.studio.mesh import occluder
from maskgen.studio.render import raster

# Which points hold a mask, the most useful first; those of a pair are taken together where both are seen.
_CANDIDATES: Final = (
    ("30",), ("8",), ("27",), ("front_mouth",), ("front_cheek_image_left", "front_cheek_image_right"), ("4", "12"),
    ("36", "45"), ("2", "14"), ("under_chin",), ("6", "10"),
    ("ear_image_left_upper", "ear_image_right_upper"), ("ear_image_left_lower", "ear_image_right_lower"),
    ("front_jaw_image_left", "front_jaw_image_right"), ("0", "16"), ("under_jaw_image_left", "under_jaw_image_right"),
    ("39", "42"), ("28",), ("3", "13"), ("5", "11"), ("1", "15"), ("31", "35"), ("29",),
)  # fmt: skip
BOX: Final = tuple(name for name in ANCHORS if name.startswith("box_"))
_EVERY: Final = (*BOX, *(name for group in _CANDIDATES for name in group))
# Points closer together than this make needles of the triangles between them.
_CLOSEST_MM: Final = 6.5
# How much a triangle under the mask may be squeezed or stretched between the view and a face that wears it.
_SQUEEZE: Final = (0.22, 3.0)
# A landmark farther behind the skin than this is hidden by the head.
_HIDDEN_MM: Final = 5.0
# So many pixels, of a millimetre, around a landmark are looked at.
_AROUND: Final = 2
# A landmark farther behind the cloth than this does not move with the cloth when the head turns.
_BURIED_MM: Final = 32.0
# How many pixels of a mask are looked at, about.
_SAMPLE: Final = 3_000
# Triangles that hold less of the mask than this are not checked.
_SPECK_MM2: Final = 4.0


def control_points(
    depth: Float32Array,
    offset: Float64Array,
    yaw: float,
    pitch: float,
    rotation: Rotation,
    pixels_per_mm: float,
) -> tuple[str, ...]:
    """The control points of a view.

    They are the corners of the box around the head, and points that are seen or lie close under the cloth. A point is
    left out if, with it, a triangle under the mask would turn over or be crushed on a face that the view must serve.

    Parameters
    ----------
    depth : (H, W) array
        Of the mask in the picture, millimetres towards the viewer; minus infinity where there is none.
    offset : (2,) array
        Pixel of the projected head at the picture's top-left.
    yaw, pitch : float
        Degrees at which the picture was drawn.
    rotation : Rotation
        The rotations that the view is for.
    """
    turn = rotation_matrix(HeadPose(yaw=yaw, pitch=pitch, roll=0.0))
    places = dict(zip(_EVERY, project(_EVERY, turn, 1.0), strict=True))
    seen_at = np.argwhere(np.isfinite(depth))[:, ::-1]
    stride = max(len(seen_at) // _SAMPLE, 1)
    cloth_mm = (seen_at[::stride] + offset) / pixels_per_mm
    faces = _faces(yaw, pitch, rotation)
    seen = _seen(yaw, pitch) - _buried(depth, offset, turn, pixels_per_mm)

    groups = [[name for name in group if name in seen] for group in _CANDIDATES]
    rule = Rule(_SQUEEZE, _CLOSEST_MM, _SPECK_MM2 * pixels_per_mm**2 / stride)
    return selected(places, groups, _EVERY, faces, cloth_mm, rule)


@dataclass(frozen=True)
class Rule:
    """Limits for the triangles between control points.

    Attributes
    ----------
    squeeze : (float, float)
        How much a triangle under the mask may be squeezed or stretched on its way to a face.
    closest : float
        Points closer together than this make needles of the triangles between them; in the frame of the places.
    speck : float
        Triangles with no more points of the mask than this are not checked.
    """

    squeeze: tuple[float, float]
    closest: float
    speck: float


def selected(
    places: Mapping[str, Float64Array],
    groups: Sequence[Sequence[str]],
    every: Sequence[str],
    faces: Float64Array,
    cloth: Float64Array,
    rule: Rule,
) -> tuple[str, ...]:
    """The control points of a view, out of candidates.

    They are the corners of the box around the head, and groups of candidates. A group is left out if, with it, some
    triangle under the mask would be crushed or turned over more than before on some face.

    Parameters
    ----------
    places : mapping
        Name -> (2,) place in the view; the box and all candidates.
    groups : sequence of sequences of str
        Candidates, the most useful first; those of a group are taken together.
    every : sequence of str, length K
        The names of the columns of `faces`.
    faces : (F, K, 2) array
        Where the points lie on faces that the view must serve.
    cloth : (N, 2) array
        Where the mask is, in the frame of `places`.
    rule : Rule
        What counts as crushed.
    """
    box = np.stack([places[name] for name in BOX])
    names = list[str]()
    for number in sorted(ConvexHull(box).vertices):
        # Corners that lie behind each other are one.
        if all(np.linalg.norm(box[number] - places[name]) > rule.closest for name in names):
            names.append(BOX[number])
    column = {name: number for number, name in enumerate(every)}

    def strain(trial: list[str]) -> float:
        """0 if every triangle keeps within the limits, else how far the worst is beyond them."""
        at, there = np.stack([places[name] for name in trial]), faces[:, [column[name] for name in trial]]
        smallest, greatest = squeezes(at, there, cloth, rule.speck)
        low, high = rule.squeeze
        return max(low - float(smallest.min()), (float(greatest.max()) - high) / 10, 0.0)

    worst = strain(names)
    for group in groups:
        trial = [*names, *group]
        at = np.stack([places[name] for name in trial])
        gaps = np.linalg.norm(at[:, None] - at[None], axis=-1) + np.diag(np.full(len(at), np.inf))
        if not group or gaps.min() < rule.closest:
            continue
        strained = strain(trial)
        if strained <= worst:
            names, worst = trial, strained
    return tuple(names)


def project(names: Sequence[str], turn: Float64Array, pixels_per_mm: float) -> Float64Array:
    """(K, 2) pixels of named points of the turned mean head; the origin of the head falls on pixel (0, 0)."""
    space = np.stack([point_in_space(name) for name in names]).astype(np.float64)
    return np.asarray((space @ turn.T)[:, :2] * pixels_per_mm)


def squeezes(
    places: Float64Array, faces: Float64Array, cloth: Float64Array, speck: float = 0.0
) -> tuple[Float64Array, Float64Array]:
    """How triangles under the mask change on their way to faces.

    Parameters
    ----------
    places : (K, 2) array
        Control points in the view.
    faces : (F, K, 2) array
        Control points on the faces.
    cloth : (N, 2) array
        Where the mask is, in the frame of `places`.
    speck : float
        Triangles with no more points of the mask than this are left out.

    Returns
    -------
    smallest, greatest : (F, T) arrays
        Stretch of each triangle that holds a part of the mask; the smallest is negative where it turns over.
    """
    triangulation = Delaunay(places)
    owner = triangulation.find_simplex(cloth)
    held = np.bincount(owner[owner >= 0], minlength=len(triangulation.simplices))
    simplices = triangulation.simplices[held > speck]
    before, after = places[simplices], faces[:, simplices]
    edges_before = np.stack([before[:, 1] - before[:, 0], before[:, 2] - before[:, 0]], axis=-1)
    edges_after = np.stack([after[:, :, 1] - after[:, :, 0], after[:, :, 2] - after[:, :, 0]], axis=-1)
    change = edges_after @ np.linalg.inv(edges_before)
    stretch = np.linalg.svd(change, compute_uv=False)
    turned_over = np.sign(np.linalg.det(change))
    return np.asarray(stretch[..., 1] * turned_over, np.float64), np.asarray(stretch[..., 0], np.float64)


def _faces(yaw: float, pitch: float, rotation: Rotation) -> Float64Array:
    """(F, K, 2) points `_EVERY`, millimetres, on faces that a view must serve.

    They are the mean face, turned as far as the view allows, and faces unlike it, turned half as far.
    """
    mean = mean_head().points_68.astype(np.float64)
    yaws = [np.clip(yaw + step, *rotation.yaw) for step in (-10, 0, 10)]
    pitches = [np.clip(pitch + step, *rotation.pitch) for step in (-10, 0, 10)]
    turned = [(mean, a, b) for a in yaws for b in (rotation.pitch[0], *pitches, rotation.pitch[1])]
    turned += [(face, (yaw + a) / 2, (pitch + b) / 2) for face in _variants() for a in yaws[::2] for b in pitches[::2]]
    landmarks = []
    for face, face_yaw, face_pitch in turned:
        turn = rotation_matrix(HeadPose(yaw=float(face_yaw), pitch=float(face_pitch), roll=0.0))
        landmarks.append((face @ turn.T)[:, :2].astype(np.float32))
    return np.asarray(placing(_EVERY) @ np.stack(landmarks), np.float64)


@cache
def _variants() -> tuple[Float64Array, ...]:
    """Faces (68, 3) unlike the mean one: narrow, broad, mouth open, and two whose points are all a little off."""
    mean = mean_head().points_68.astype(np.float64)
    mouth_open = mean.copy()
    lower = np.clip((mean[:, 1] - 66) / 50, 0, 1)
    mouth_open[:, 1] += 12 * lower
    mouth_open[:, 2] -= 6 * lower
    rng = np.random.default_rng(68)
    noisy = [mean + rng.normal(0, 1.5, mean.shape) for _ in range(2)]
    return mean * [0.92, 1.03, 1.0], mean * [1.08, 0.96, 1.0], mouth_open, *noisy


@cache
def _seen(yaw: float, pitch: float) -> frozenset[str]:
    """Candidates that the head does not hide."""
    turn = rotation_matrix(HeadPose(yaw=yaw, pitch=pitch, roll=0.0))
    head = occluder()
    turned = head.vertices @ turn.T
    low = np.floor(turned[:, :2].min(axis=0)) - 2
    size = np.ceil(turned[:, :2].max(axis=0)) - low + 3
    turned[:, :2] -= low
    names = _EVERY[len(BOX) :]
    places = np.stack([turn @ point_in_space(name).astype(np.float64) for name in names])
    pixels = np.round(places[:, :2] - low).astype(int)
    size_wh = int(size[0]), int(size[1])
    asked = np.zeros(size_wh[::-1], np.uint8)
    for column, row in pixels:
        asked[max(row - _AROUND, 0) : row + _AROUND + 1, max(column - _AROUND, 0) : column + _AROUND + 1] = 1
    depth = raster.rasterise(turned, head.triangles[_touching(turned[head.triangles, :2], asked)], size_wh).depth
    seen = set()
    for name, (column, row), z in zip(names, pixels, places[:, 2], strict=True):
        rows = slice(max(row - _AROUND, 0), row + _AROUND + 1)
        around = depth[rows, max(column - _AROUND, 0) : column + _AROUND + 1]
        # The smallest depth around it counts, so that a landmark on the silhouette is seen.
        if not around.size or z > float(around.min()) - _HIDDEN_MM:
            seen.add(name)
    return frozenset(seen)


def _touching(corners: Float64Array, asked: Image) -> BoolArray:
    """(T,) which triangles (T, 3, 2) have pixels in their box that are asked for: 1 in (H, W)."""
    height, width = asked.shape
    total = cv2.integral(asked)
    low, high = raster.boxes(corners)
    left, top = np.clip(np.floor(low).astype(int), 0, (width - 1, height - 1)).T
    right, bottom = np.clip(np.ceil(high).astype(int), 0, (width - 1, height - 1)).T + 1
    return np.asarray(total[bottom, right] - total[top, right] - total[bottom, left] + total[top, left] > 0)


def _buried(depth: Float32Array, offset: Float64Array, turn: Float64Array, pixels_per_mm: float) -> frozenset[str]:
    """Candidates so deep under the cloth that they would drag it about when the head turns."""
    buried = set()
    for name in _EVERY[len(BOX) :]:
        x, y, z = turn @ point_in_space(name).astype(np.float64)
        column, row = (round(float(value)) for value in np.array([x, y]) * pixels_per_mm - offset)
        reach = round(2 * pixels_per_mm)
        rows = slice(max(row - reach, 0), max(row + reach + 1, 0))
        around = depth[rows, max(column - reach, 0) : max(column + reach + 1, 0)]
        if around.size and z < float(around.min()) - _BURIED_MM:
            buried.add(name)
    return frozenset(buried)
