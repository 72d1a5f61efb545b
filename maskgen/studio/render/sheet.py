"""The shapes that a rendered mask is made of: the sheet of cloth, the valve.

The cloth takes its shape as real cloth does: a net that is held along its outline contracts until it lies on the head
or spans a hollow.

Convention
----------
The frame of `maskgen.face.head`: millimetres, x to image right, y down, z towards the viewer. Directions round the
head are angles about a vertical axis behind the face, degrees, 0 towards the viewer, positive to image right.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Final

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.ndimage import gaussian_filter, zoom

from maskgen.arrays import BoolArray, Float32Array, Float64Array
from maskgen.face.solid import Solid, head_solid
from maskgen.studio.mesh import Mesh, grid_mesh


@dataclass(frozen=True)
class SheetShape:
    """How a mask lies on the head; half of it, the other half is its mirror image.

    Attributes
    ----------
    upper, side, lower : tuples of (degrees, millimetres)
        The outline at image right as (direction, height): from the nose outwards, from the upper corner down, from
        under the chin outwards. The ends of `side` are the ends of the other two.
    clearance_mm : float
        How far the cloth stays off the skin.
    pressure : float
        What rounds the sheet outwards, against a tension of 120.
    stiffness : float
        How little the sheet bends, 0 to 0.35 (beyond that the net does not settle), against a tension of 0.06.
    ridge : tuple of (height, z), optional
        Profile of a fold down the middle, from the upper edge to the lower, millimetres.
    wire_reach_deg : float
        How far the nose wire keeps the upper edge on the skin.
    tension : (float, float)
        Pull across and down, relative to each other.
    tent_mm : float
        How far the cloth bridges what is narrow, the tip of the nose above all.
    dome_mm : float
        Height of a moulded cup over its rim; it is pressed, not pulled taut.
    beak : tuple of (x, y, z), optional
        A fold across the front that stands off the face, from the middle to image right, millimetres.
    """

    upper: tuple[tuple[float, float], ...]
    side: tuple[tuple[float, float], ...]
    lower: tuple[tuple[float, float], ...]
    clearance_mm: float = 1.5
    pressure: float = 0.0
    stiffness: float = 0.2
    ridge: tuple[tuple[float, float], ...] | None = None
    wire_reach_deg: float = 30.0
    tension: tuple[float, float] = (1.0, 1.0)
    tent_mm: float = 0.0
    dome_mm: float = 0.0
    beak: tuple[tuple[float, float, float], ...] | None = None


@dataclass(frozen=True)
class Sheet:
    """A mask's cloth as a regular net.

    Attributes
    ----------
    points : (R, C, 3) array
        Rows from the upper edge to the lower, columns from image left to image right.
    from_upper, from_lower, from_side : (R, C) arrays
        Distance along the cloth to the edges, millimetres.
    across : (R, C) array
        Distance along the cloth from the middle, negative at image left, millimetres.
    """

    points: Float64Array
    from_upper: Float64Array
    from_lower: Float64Array
    from_side: Float64Array
    across: Float64Array

    @property
    def steps_mm(self) -> tuple[float, float]:
        """Distance of neighbouring vertices across and down, about, millimetres."""
        rows, columns = self.from_upper.shape
        return float(np.ptp(self.across, axis=1).mean()) / (columns - 1), float(self.from_upper[-1].mean()) / (rows - 1)

    @property
    def rows(self) -> Float64Array:
        """(R, 1) array from 0 at the upper edge to 1 at the lower."""
        return np.linspace(0, 1, self.points.shape[0])[:, None]

    @property
    def columns(self) -> Float64Array:
        """(1, C) array from -1 at image left to 1 at image right."""
        return np.linspace(-1, 1, self.points.shape[1])[None, :]


_NET: Final = (49, 65)
_STEPS: Final = 1300
# Share of a vertex's velocity that is left at the next step: heavy-ball descent, for bending settles slowly.
_MOMENTUM: Final = 0.9
_TENSION: Final = 0.06
_PRESSURE_UNIT_MM: Final = 0.0005


@cache
def net(shape: SheetShape) -> Float64Array:
    """The (49, 65, 3) net of a mask, pulled taut over the head."""
    right = _shipped().get(key_of(shape))
    return pulled_taut(shape) if right is None else _whole(right.astype(np.float64))


def key_of(shape: SheetShape) -> str:
    """What a shape's net is called in ``nets.npz``: another name for any other shape."""
    return hashlib.sha256(repr(shape).encode()).hexdigest()[:16]


@cache
def _shipped() -> dict[str, Float32Array]:
    """The image-right halves (49, 33, 3) of nets that were made beforehand, for each takes seconds."""
    with resources.as_file(resources.files("maskgen.studio.render") / "nets.npz") as path, np.load(path) as file:
        return dict(file)


def half_of(points: Float64Array) -> Float32Array:
    """The image-right half of a net, as it is kept."""
    return points[:, _NET[1] // 2 :].astype(np.float32)


def _whole(right: Float64Array) -> Float64Array:
    return np.concatenate([right[:, :0:-1] * [-1, 1, 1], right], axis=1)


def pulled_taut(shape: SheetShape) -> Float64Array:
    """As `net`, but made anew."""
    solid = head_solid()
    points = _spanned(*_outline(shape, solid))
    if shape.dome_mm:
        return _moulded(points, shape, solid)
    row, middle = _NET[0] // 2, _NET[1] // 2
    free = np.ones((_NET[0], _NET[1], 1))
    free[[0, -1]] = free[:, [0, -1]] = 0
    if shape.ridge is not None:
        points[:, middle] = _ridge(shape.ridge, points[0, middle], points[-1, middle])
        for half in (np.s_[:, : middle + 1], np.s_[:, middle:]):
            points[half] = _spanned(points[half][0], points[half][-1], points[half][:, 0], points[half][:, -1])
        free[:, middle] = 0
    if shape.beak is not None:
        points[row] = _crest(shape.beak, points[row, -1])
        for part in (np.s_[: row + 1], np.s_[row:]):
            points[part] = _spanned(points[part][0], points[part][-1], points[part][:, 0], points[part][:, -1])
        free[row] = 0
    bridged = solid.bridged(shape.tent_mm) if shape.tent_mm else solid
    velocity = np.zeros_like(points)
    for _ in range(_STEPS):
        bent = _laplacian(points, shape.tension) * free
        force = _TENSION * bent - shape.stiffness * _laplacian(bent, (1, 1))
        _, outwards = solid.distance(points)
        force += outwards * shape.pressure * _PRESSURE_UNIT_MM
        velocity = (_MOMENTUM * velocity + force) * free
        moved = points + velocity
        distance, outwards = bridged.distance(moved)
        short = outwards * np.maximum(shape.clearance_mm - distance, 0)[..., None] * free
        points, velocity = moved + short, velocity + short
    return np.asarray((points + points[:, ::-1] * [-1, 1, 1]) / 2)


def _moulded(rim: Float64Array, shape: SheetShape, solid: Solid) -> Float64Array:
    """A net between its edges pressed into a cup."""
    u = np.linspace(-1, 1, _NET[1])[None, :]
    w = np.linspace(-1, 1, _NET[0])[:, None]
    height = shape.dome_mm * ((1 - np.abs(u) ** 2.4) * (1 - np.abs(w) ** 2.6)) ** 0.6
    way = np.stack(np.broadcast_arrays(0.55 * u, 0.15 * w, np.ones_like(u * w)), axis=-1)
    points = rim + way * height[..., None]
    bridged = solid.bridged(shape.tent_mm) if shape.tent_mm else solid
    inner = np.s_[1:-1, 1:-1]
    for _ in range(40):
        points[inner] += 0.5 * _laplacian(points, (1, 1))[inner]
        distance, outwards = bridged.distance(points)
        points[inner] += (outwards * np.maximum(shape.clearance_mm - distance, 0)[..., None])[inner]
    return np.asarray((points + points[:, ::-1] * [-1, 1, 1]) / 2)


def _laplacian(points: Float64Array, pull: tuple[float, float]) -> Float64Array:
    """Mean of the four neighbours less the vertex, (R, C, 3); zero along the edges."""
    across, down = pull
    result = np.zeros_like(points)
    inner = points[1:-1, 1:-1]
    sides = points[1:-1, :-2] + points[1:-1, 2:]
    ends = points[:-2, 1:-1] + points[2:, 1:-1]
    result[1:-1, 1:-1] = (across * sides + down * ends) / (2 * (across + down)) - inner
    return result


# Pleats, hems and their shadows run across: rows lie closer together than columns, by this share.
_ROW_SHARE: Final = 0.62


def sheet(shape: SheetShape, spacing_mm: float) -> Sheet:
    """A mask's cloth with its columns about so far apart and its rows closer together."""
    coarse = net(shape)
    span = np.linalg.norm(np.diff(coarse, axis=1), axis=-1).sum(axis=1).max()
    drop = np.linalg.norm(np.diff(coarse, axis=0), axis=-1).sum(axis=0).max()
    rows, half = round(float(drop) / spacing_mm / _ROW_SHARE) + 1, round(float(span) / 2 / spacing_mm) + 1
    middle = _NET[1] // 2
    # Each half by itself, or a fold down the middle is smoothed away.
    right = _finer(coarse[:, middle:], rows, half)
    points = _whole(right)
    steps_down = np.linalg.norm(np.diff(points, axis=0, prepend=points[:1]), axis=-1)
    steps_across = np.linalg.norm(np.diff(points, axis=1, prepend=points[:, :1]), axis=-1)
    from_upper, from_left = np.cumsum(steps_down, axis=0), np.cumsum(steps_across, axis=1)
    across = from_left - from_left[:, half - 1 : half]
    from_side = np.minimum(from_left, from_left[:, -1:] - from_left)
    return Sheet(points, from_upper, from_upper[-1:] - from_upper, from_side, across)


def normals(points: Float64Array) -> Float64Array:
    """(R, C, 3) unit normals of a (R, C, 3) net, away from the head."""
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    return np.asarray(normal / np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9))


_VALVE_PROFILE: Final = (
    (0.0, 5.6),
    (0.55, 5.8),
    (0.62, 5.0),
    (0.72, 5.0),
    (0.8, 5.4),
    (0.92, 4.6),
    (1.0, 3.2),
    (1.04, -2.0),
)


def valve(centre: Float64Array, outwards: Float64Array, radius_mm: float) -> tuple[Mesh, Float64Array, Float64Array]:
    """An exhalation valve: a round cap with slots.

    Parameters
    ----------
    centre, outwards : (3,) arrays
        Its middle on the cloth, and the unit vector away from the face.
    radius_mm : float
        Of its rim.

    Returns
    -------
    Mesh
        The cap.
    (V, 3) array
        Its normals.
    (V,) array
        How light a place is, 1 where it is open to the sky; the slots are dark.
    """
    across = np.cross([0.0, 1.0, 0.0], outwards)
    across /= np.linalg.norm(across)
    down = np.cross(outwards, across)
    share, height = np.array(_VALVE_PROFILE).T
    fine = np.linspace(0, 1.04, 70)
    turn = np.linspace(0, 2 * np.pi, 97)[None, :]
    # A rounded square, as most are.
    square = (np.abs(np.cos(turn)) ** 3.2 + np.abs(np.sin(turn)) ** 3.2) ** (-1 / 3.2)
    x, y = radius_mm * fine[:, None] * square * np.cos(turn), radius_mm * fine[:, None] * square * np.sin(turn)
    lift = np.broadcast_to(np.interp(fine, share, height)[:, None], x.shape)
    points = centre + x[..., None] * across + y[..., None] * down + lift[..., None] * outwards
    normal = np.cross(np.gradient(points, axis=1), np.gradient(points, axis=0))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    normal *= np.where((normal @ outwards < 0)[..., None], -1.0, 1.0)
    slot = (
        np.exp(-np.square(((y / 3.6) % 1 - 0.5) / 0.16))
        * (np.abs(x) < 0.42 * radius_mm)
        * (np.abs(y) < 0.48 * radius_mm)
    )
    foot = 1 - 0.35 * np.exp(-np.square((fine[:, None] - 0.67) / 0.035)) - 0.3 * (fine[:, None] > 1.0)
    return grid_mesh(points), normal.reshape(-1, 3), ((1 - 0.5 * slot) * foot).ravel()


def _outline(shape: SheetShape, solid: Solid) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
    """The upper, lower, image-left and image-right edges, (C, 3), (C, 3), (R, 3), (R, 3)."""
    rows, columns = _NET
    upper = _edge(shape.upper, columns, solid, shape.clearance_mm, shape.wire_reach_deg)
    lower = _edge(shape.lower, columns, solid, shape.clearance_mm, 0)
    angle, height = np.array(shape.side).T
    # Even steps between the corners, as the folds of the cloth run into the side at even steps.
    even = np.linspace(height[0], height[-1], rows)
    turned = PchipInterpolator(height, angle)(even)
    right = solid.on_skin(turned, even)
    right = right + solid.distance(right)[1] * shape.clearance_mm
    right[0], right[-1] = upper[-1], lower[-1]
    return upper, lower, right * [-1, 1, 1], right


def _edge(
    half: tuple[tuple[float, float], ...], count: int, solid: Solid, clearance: float, wire_reach_deg: float
) -> Float64Array:
    """(count, 3) points of a symmetric edge, evenly spread, from image left to image right."""
    angle, height = np.array(half).T
    middle_out = np.linspace(0, angle[-1], 400)
    both = np.concatenate([-angle[:0:-1], angle]), np.concatenate([height[:0:-1], height])
    right = solid.on_skin(middle_out, PchipInterpolator(*both)(middle_out))
    right = right + solid.distance(right)[1] * clearance
    line = np.concatenate([right[:0:-1] * [-1, 1, 1], right])
    line = _taut(line, solid, clearance, np.concatenate([middle_out[:0:-1], middle_out]) < wire_reach_deg)
    along = np.cumsum(np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]), axis=1))
    even = np.linspace(0, along[-1], count)
    return np.stack([np.interp(even, along, line[:, axis]) for axis in range(3)], axis=1)


def _taut(line: Float64Array, solid: Solid, clearance: float, wired: BoolArray) -> Float64Array:
    """An edge without the hollows that cloth spans; a wire follows the skin, less closely than skin itself."""
    smooth = gaussian_filter(line, (9, 0), mode="nearest")
    line = np.where(wired[:, None], smooth, line)
    for step in range(1500):
        pulled = line.copy()
        pulled[1:-1] = (line[:-2] + line[2:]) / 2
        pulled[:, 1] = line[:, 1]
        line = np.where(wired[:, None] & (step > 60), line, pulled)
        distance, outwards = solid.distance(line)
        push = outwards * np.maximum(clearance - distance, 0)[:, None]
        push[[0, -1]] = 0
        line = line + push
    return line


def _spanned(upper: Float64Array, lower: Float64Array, left: Float64Array, right: Float64Array) -> Float64Array:
    """A net between four edges (Coons patch)."""
    v = np.linspace(0, 1, len(left))[:, None, None]
    u = np.linspace(0, 1, len(upper))[None, :, None]
    across = (1 - u) * left[:, None] + u * right[:, None]
    down = (1 - v) * upper[None] + v * lower[None]
    corners = (1 - u) * (1 - v) * upper[0] + u * (1 - v) * upper[-1] + (1 - u) * v * lower[0] + u * v * lower[-1]
    return np.asarray(across + down - corners)


def _ridge(profile: tuple[tuple[float, float], ...], top: Float64Array, bottom: Float64Array) -> Float64Array:
    """(R, 3) points down the middle fold, evenly spread."""
    y, z = np.array([(top[1], top[2]), *profile, (bottom[1], bottom[2])]).T
    chord = np.cumsum(np.hypot(np.diff(y, prepend=y[0]), np.diff(z, prepend=z[0])))
    fine = np.linspace(0, chord[-1], 400)
    line = np.stack([np.zeros(400), PchipInterpolator(chord, y)(fine), PchipInterpolator(chord, z)(fine)], axis=1)
    along = np.cumsum(np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]), axis=1))
    even = np.linspace(0, along[-1], _NET[0])
    return np.stack([np.interp(even, along, line[:, axis]) for axis in range(3)], axis=1)


def _crest(half: tuple[tuple[float, float, float], ...], end: Float64Array) -> Float64Array:
    """(C, 3) points of a fold across the front, evenly spread, from image left to image right."""
    right = np.array([*half, end])
    line = np.concatenate([right[:0:-1] * [-1, 1, 1], right])
    chord = np.cumsum(np.linalg.norm(np.diff(line, axis=0, prepend=line[:1]), axis=1))
    fine = PchipInterpolator(chord, line)(np.linspace(0, chord[-1], 800))
    along = np.cumsum(np.linalg.norm(np.diff(fine, axis=0, prepend=fine[:1]), axis=1))
    even = np.linspace(0, along[-1], _NET[1])
    return np.stack([np.interp(even, along, fine[:, axis]) for axis in range(3)], axis=1)


def _finer(points: Float64Array, rows: int, columns: int) -> Float64Array:
    scale = rows / points.shape[0], columns / points.shape[1], 1
    return np.asarray(zoom(points, scale, order=3, mode="nearest", grid_mode=False))
