"""A design in space: its cloth with its folds and colours, its valves, and where its straps are fastened.

Convention
----------
The frame of `maskgen.face.head`: millimetres, x to image right, y down, z towards the viewer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Final, Literal

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from maskgen.arrays import Float64Array, IntArray
from maskgen.catalog import schema
from maskgen.catalog.schema import Corner, Surface
from maskgen.studio.mesh import Mesh, grid_mesh, join
from maskgen.studio.render import fabric
from maskgen.studio.render.cuts import Make
from maskgen.studio.render.designs import WEAVES, DesignSpec, Straps
from maskgen.studio.render.prints import Colour
from maskgen.studio.render.sheet import Sheet, SheetShape, normals, sheet, valve

# Of the vertices of the cloth one of so many, both ways, carries its form; between them its colours are interpolated.
_THINNED: Final = 3


@dataclass(frozen=True)
class Quality:
    """How finely to render.

    Attributes
    ----------
    pixels_per_mm : float
        Scale of the pictures.
    spacing_mm : float
        Distance of the columns of vertices of the cloth; rows lie closer together.
    samples : int
        Samples per pixel, across and down.
    """

    pixels_per_mm: float = 2.1
    spacing_mm: float = 0.6
    samples: int = 2


SHIPPED: Final = Quality()
"""The catalog that ships is rendered so; its size on disk goes with the square of the scale."""


@dataclass(frozen=True)
class Model:
    """A mask in space, ready to be turned and drawn.

    Attributes
    ----------
    mesh : Mesh
        Cloth, then valves. Of the cloth's vertices it takes some only: its relief is seen in its shading.
    grid : (int, int)
        Rows and columns of the cloth's vertices, all of them.
    places : (N, 2) array
        Row and column of the vertices of the cloth that the mesh takes.
    normals : (V, 3) array
        Away from the head; of all vertices of the cloth, row by row, then of the others.
    broad : (V, 3) array
        The same without folds.
    albedo : (V, 3) array
        Of the outside, 0 to 1.
    inner : (3,) array
        Albedo of the inside.
    openness : (V,) array
        How much of the sky a vertex sees, 1 for a flat place.
    opacity : (V,) array
        0 to 1; windows are nearly clear.
    sheen : float
        See `Fabric`.
    corners : dict
        Where straps leave the mask, (3,) arrays.
    """

    mesh: Mesh
    grid: tuple[int, int]
    places: Float64Array
    normals: Float64Array
    broad: Float64Array
    albedo: Float64Array
    inner: Float64Array
    openness: Float64Array
    opacity: Float64Array
    sheen: float
    corners: dict[Corner, Float64Array]


@lru_cache(maxsize=1)
def _form(shape: SheetShape, spacing_mm: float, make: Make, wrinkles: float, seed: int) -> fabric.Form:
    """The form that designs in several colours have in common."""
    return fabric.formed(make, wrinkles, sheet(shape, spacing_mm), np.random.default_rng(seed))


def build(spec: DesignSpec, quality: Quality = SHIPPED, picture: Float64Array | None = None) -> Model:
    """A design in space.

    Parameters
    ----------
    picture : (H, W, 3) array, optional
        The flat mask, 0 to 1: its left edge goes to the image-left edge of the cloth, its top to the upper edge.
    """
    form = _form(spec.shape, quality.spacing_mm, spec.fabric.make, spec.fabric.wrinkles, spec.seed)
    cut = form.sheet
    colours = None if picture is None else _laid_on(picture, cut)
    albedo, opacity = fabric.dyed(spec.fabric, form, np.random.default_rng([spec.seed, 1]), colours)
    points = cut.points + normals(cut.points) * form.relief[..., None]
    rows, columns = (_every(count, _THINNED) for count in points.shape[:2])
    cloth = _Part(
        grid_mesh(points[rows[:, None], columns]),
        normals(points).reshape(-1, 3),
        albedo.reshape(-1, 3),
        form.openness.ravel(),
        opacity.ravel(),
    )
    parts = [cloth, *_valves(cut, spec)]
    return Model(
        mesh=join([part.mesh for part in parts]),
        grid=points.shape[:2],
        places=np.stack(np.meshgrid(rows, columns, indexing="ij"), axis=-1).reshape(-1, 2).astype(np.float64),
        normals=np.concatenate([part.normals for part in parts]),
        broad=np.concatenate([normals(cut.points).reshape(-1, 3), *(part.normals for part in parts[1:])]),
        albedo=np.concatenate([part.albedo for part in parts]),
        inner=np.array(spec.fabric.inner) / 255,
        openness=np.concatenate([part.openness for part in parts]),
        opacity=np.concatenate([part.opacity for part in parts]),
        sheen=spec.fabric.sheen,
        corners=corners_of(cut, spec),
    )


def with_sides_swapped(model: Model) -> Model:
    """The model with the colours of its image-left half on its image-right half, and the other way round.

    Seen from one side and mirrored, it shows what the model shows from the other side; its folds stay where they are.
    """
    count = model.grid[0] * model.grid[1]

    def swapped(values: Float64Array) -> Float64Array:
        cloth = values[:count].reshape(*model.grid, *values.shape[1:])[:, ::-1]
        return np.concatenate([cloth.reshape(count, *values.shape[1:]), values[count:]])

    return replace(model, albedo=swapped(model.albedo), opacity=swapped(model.opacity))


def _every(count: int, step: int) -> IntArray:
    """Indices from the first to the last of so many, about so far apart."""
    return np.unique(np.round(np.linspace(0, count - 1, max(round((count - 1) / step), 1) + 1)).astype(np.int64))


@dataclass(frozen=True)
class _Part:
    """A piece of a model; the attributes are those of `Model`."""

    mesh: Mesh
    normals: Float64Array
    albedo: Float64Array
    openness: Float64Array
    opacity: Float64Array


def _laid_on(picture: Float64Array, cut: Sheet) -> Float64Array:
    """(R, C, 3) colours of a flat picture at the vertices of the cloth, each the mean over its share."""
    rows, columns = cut.points.shape[:2]
    shrink = max(picture.shape[0] / rows, picture.shape[1] / columns)
    if shrink > 1:
        sigma = 0.4 * shrink
        picture = gaussian_filter(picture, (sigma, sigma, 0), mode="nearest")
    y, x = np.linspace(0, picture.shape[0] - 1, rows), np.linspace(0, picture.shape[1] - 1, columns)
    grid = np.meshgrid(y, x, indexing="ij")
    return np.stack([map_coordinates(picture[..., k], grid, order=1, mode="nearest") for k in range(3)], axis=-1)


def corners_of(cut: Sheet, spec: DesignSpec) -> dict[Corner, Float64Array]:
    """Where straps are fastened: image left first, its upper corner first."""
    straps = spec.straps
    if straps.style == "none":
        return {}
    if straps.style == "head":
        rows = [round(share * (len(cut.points) - 1)) for share in (0.15, 0.45)]
        upper, lower = (cut.points[row, -3] for row in rows)
    else:
        # A little inside the corner, where the strip holds it.
        inset = int(np.searchsorted(cut.from_upper[:, -1], straps.inset_mm))
        upper, lower = cut.points[inset, -1], cut.points[-1 - inset, -1]
    mirror = np.array([-1.0, 1.0, 1.0])
    return {
        "image_left_upper": upper * mirror,
        "image_left_lower": lower * mirror,
        "image_right_upper": upper,
        "image_right_lower": lower,
    }


def straps_of(straps: Straps, colour: Colour) -> schema.Straps:
    """What a catalog says of straps of a colour."""
    kinds: Final[dict[str, Literal["ear", "head", "none"]]] = {"ears": "ear", "head": "head", "none": "none"}
    return schema.Straps(kind=kinds[straps.style], color_rgb=colour, width_mm=straps.width_mm)


def surface_of(spec: DesignSpec) -> Surface:
    """What a catalog says of a design's cloth."""
    return Surface(weave=WEAVES[spec.fabric.make], creases=spec.fabric.wrinkles)


def _valves(cut: Sheet, spec: DesignSpec) -> list[_Part]:
    made = []
    for u, v in spec.valves:
        row, column = round(v * (cut.points.shape[0] - 1)), round((u + 1) / 2 * (cut.points.shape[1] - 1))
        outwards = gaussian_filter(normals(cut.points), (6, 6, 0))[row, column]
        outwards = outwards / np.linalg.norm(outwards)
        mesh, normal, openness = valve(cut.points[row, column], outwards, spec.valve_radius_mm)
        albedo = np.tile(np.array(spec.valve_colour) / 255, (len(mesh.vertices), 1))
        made.append(_Part(mesh, normal, albedo, openness, np.ones(len(mesh.vertices))))
    return made
