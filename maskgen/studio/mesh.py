"""Triangles in space, and the head that hides what lies behind it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from maskgen.arrays import Float64Array, IntArray
from maskgen.face.solid import head_solid


@dataclass(frozen=True)
class Mesh:
    """Triangles in space.

    Attributes
    ----------
    vertices : (V, 3) array
        Millimetres.
    triangles : (T, 3) int array
        Indices into the vertices.
    """

    vertices: Float64Array
    triangles: IntArray


@cache
def occluder(every: int = 1) -> Mesh:
    """The head and its ears, which hide whatever lies behind them; a little inside the skin, so that cloth on the skin
    is never hidden by it. Of the points of its grid it takes one of so many, both ways."""
    head = grid_mesh(head_solid().surface(1.2)[::every, ::every])
    ears = [_ear(side) for side in (-1, 1)]
    return join([head, *ears])


def _ear(side: int) -> Mesh:
    """An ear as a tilted, flattened ball; side is -1 at image left, 1 at image right."""
    longitude, latitude = np.meshgrid(np.linspace(-np.pi, np.pi, 25), np.linspace(-np.pi / 2, np.pi / 2, 13))
    ball = np.stack(
        [5 * np.cos(latitude) * np.sin(longitude), 29 * np.sin(latitude), 14 * np.cos(latitude) * np.cos(longitude)],
        axis=-1,
    )
    # The back edge of an ear stands away from the head.
    turn = np.radians(28)
    x = ball[..., 0] * np.cos(turn) - ball[..., 2] * np.sin(turn)
    z = ball[..., 0] * np.sin(turn) + ball[..., 2] * np.cos(turn)
    return grid_mesh(np.stack([side * (x + 80), ball[..., 1] + 10, z - 101], axis=-1))


def grid_mesh(points: Float64Array) -> Mesh:
    """Two triangles for every cell of a (R, C, 3) net."""
    rows, columns = points.shape[:2]
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b, c, d = index[:-1, :-1].ravel(), index[:-1, 1:].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel()
    triangles = np.concatenate([np.stack([a, c, b], axis=1), np.stack([b, c, d], axis=1)])
    return Mesh(points.reshape(-1, 3), triangles)


def join(meshes: list[Mesh]) -> Mesh:
    """Several meshes as one, vertices in order."""
    offsets = np.cumsum([0, *(len(mesh.vertices) for mesh in meshes[:-1])])
    triangles = [mesh.triangles + offset for mesh, offset in zip(meshes, offsets, strict=True)]
    return Mesh(np.concatenate([mesh.vertices for mesh in meshes]), np.concatenate(triangles))
