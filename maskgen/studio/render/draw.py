"""Masks rendered in three dimensions on the mean head, into a catalog.

A design is a sheet of cloth pulled over the head (`sheet`), covered with folds and colour (`fabric`), turned with the
head, lit softly from the front and above, and drawn with whatever hides it: the head, its ears, the mask itself
(`raster`). Control points go through the same camera, so they are exact.

``python -m maskgen.studio.render OUT`` writes the catalog that ships.

Convention
----------
The frame of `maskgen.face.head`: millimetres, x to image right, y down, z towards the viewer. The camera is
orthographic, because faces in photographs carry control points by an affine camera too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from maskgen.arrays import Float32Array, Float64Array, Image
from maskgen.catalog.edit import NewDesign, NewView
from maskgen.catalog.schema import CatalogFile, DesignEntry, Rotation, ViewEntry
from maskgen.catalog.store import CATALOG_FILE, dump
from maskgen.face import HeadPose
from maskgen.face.pose import rotation_matrix
from maskgen.files import write_whole
from maskgen.studio.control import control_points, project
from maskgen.studio.mesh import Mesh, grid_mesh, join, occluder
from maskgen.studio.render import fabric, indexed, raster
from maskgen.studio.render.designs import DesignSpec
from maskgen.studio.render.sheet import Sheet, ear_loop, head_strap, normals, sheet, valve

YAWS: Final = (
    (0.0, (-10.0, 10.0)),
    (20.0, (10.0, 30.0)),
    (40.0, (30.0, 50.0)),
    (60.0, (50.0, 68.0)),
    (77.0, (68.0, 90.0)),
)
"""Rendered yaw and the interval it is for; mirrored views serve the negative ones."""
PITCHES: Final = ((-20.0, (-40.0, -10.0)), (0.0, (-10.0, 10.0)), (20.0, (10.0, 40.0)))
"""Rendered pitch and the interval it is for."""


@dataclass(frozen=True)
class Quality:
    """How finely to render.

    Attributes
    ----------
    pixels_per_mm : float
        Scale of the pictures.
    spacing_mm : float
        Distance of the vertices of the cloth.
    samples : int
        Samples per pixel, across and down.
    """

    pixels_per_mm: float = 1.75
    spacing_mm: float = 0.65
    samples: int = 3


SHIPPED: Final = Quality()
"""The catalog that ships is rendered so; its size on disk goes with the square of the scale."""


@dataclass(frozen=True)
class Model:
    """A mask in space, ready to be turned and drawn.

    Attributes
    ----------
    mesh : Mesh
        Cloth, then straps, then valves.
    normals : (V, 3) array
        Away from the head.
    albedo : (V, 3) array
        Of the outside, 0 to 1.
    inner : (3,) array
        Albedo of the inside.
    openness : (V,) array
        How much of the sky a vertex sees, 1 for a flat place.
    opacity : (V,) array
        0 to 1; windows are nearly clear, and straps fade where ears or hair would cover them.
    sheen : float
        See `Fabric`.
    """

    mesh: Mesh
    normals: Float64Array
    albedo: Float64Array
    inner: Float64Array
    openness: Float64Array
    opacity: Float64Array
    sheen: float


@dataclass(frozen=True)
class Rendering:
    """A rendered view.

    Attributes
    ----------
    rgba : (H, W, 4) uint8 array
        Straight alpha.
    points : dict
        Control point -> (x, y), pixels.
    """

    rgba: Image
    points: dict[str, tuple[float, float]]


def render_catalog(specs: Sequence[DesignSpec], root: Path, quality: Quality = SHIPPED) -> CatalogFile:
    """Designs rendered into a catalog folder: pictures first, then ``catalog.json``, each file whole.

    Raises
    ------
    MaskgenError
        If the folder cannot be written.
    """
    entries = []
    for spec in specs:
        views = []
        for rotation, name, picture in render_design(spec, quality):
            png = indexed.encode(picture.rgba)
            file = f"{spec.name}/{name}.png"
            write_whole(root / file, png)
            digest = hashlib.sha256(png).hexdigest()
            views.append(ViewEntry(file=file, sha256=digest, rotation=rotation, points=picture.points))
        entries.append(_entry(spec, views))
    catalog = CatalogFile(schema_version=1, masks=tuple(entries))
    write_whole(root / CATALOG_FILE, dump(catalog))
    return catalog


def new_design(spec: DesignSpec, quality: Quality = SHIPPED) -> NewDesign:
    """A design rendered, to be put into a catalog by `maskgen.catalog.edit.add`."""
    views = tuple(
        NewView(indexed.encode(picture.rgba), rotation, picture.points)
        for rotation, _, picture in render_design(spec, quality)
    )
    return NewDesign(
        spec.name, spec.kind, spec.license, views, spec.colour, (*spec.tags, "rendered"), spec.weight, mirror=True
    )


def render_design(spec: DesignSpec, quality: Quality = SHIPPED) -> list[tuple[Rotation, str, Rendering]]:
    """All views of a design: rotation interval, file name without its ending, picture."""
    model = build(spec, quality)
    views = []
    for yaw, yaw_interval in YAWS:
        for pitch, pitch_interval in PITCHES:
            rotation = Rotation(yaw=yaw_interval, pitch=pitch_interval)
            views.append((rotation, f"yaw{yaw:+03.0f}_pitch{pitch:+03.0f}", draw(model, yaw, pitch, rotation, quality)))
    return views


def build(spec: DesignSpec, quality: Quality = SHIPPED, picture: Float64Array | None = None) -> Model:
    """A design in space.

    Parameters
    ----------
    picture : (H, W, 3) array, optional
        The flat mask, 0 to 1: its left edge goes to the image-left edge of the cloth, its top to the upper edge.
    """
    cut = sheet(spec.shape, quality.spacing_mm)
    colours = None if picture is None else _laid_on(picture, cut)
    cover = fabric.cover(spec.fabric, cut, quality.spacing_mm, np.random.default_rng(spec.seed), colours)
    points = cut.points + normals(cut.points) * cover.relief[..., None]
    cloth = _Part(
        grid_mesh(points),
        normals(points).reshape(-1, 3),
        cover.albedo.reshape(-1, 3),
        _openness(cover.relief, quality.spacing_mm).ravel(),
        cover.opacity.ravel(),
    )
    parts = [cloth, *_straps(cut, spec), *_valves(cut, spec)]
    return Model(
        mesh=join([part.mesh for part in parts]),
        normals=np.concatenate([part.normals for part in parts]),
        albedo=np.concatenate([part.albedo for part in parts]),
        inner=np.array(spec.fabric.inner) / 255,
        openness=np.concatenate([part.openness for part in parts]),
        opacity=np.concatenate([part.opacity for part in parts]),
        sheen=spec.fabric.sheen,
    )


def draw(model: Model, yaw: float, pitch: float, rotation: Rotation, quality: Quality = SHIPPED) -> Rendering:
    """A mask seen at one head rotation, with control points that hold over an interval of rotations.

    Parameters
    ----------
    yaw, pitch : float
        Degrees.
    rotation : Rotation
        The interval.
    """
    turn = rotation_matrix(HeadPose(yaw=yaw, pitch=pitch, roll=0.0))
    turned = model.mesh.vertices @ turn.T
    low = np.floor(turned[:, :2].min(axis=0) * quality.pixels_per_mm) - 2
    high = np.ceil(turned[:, :2].max(axis=0) * quality.pixels_per_mm) + 2
    width, height = (int(n) + 1 for n in high - low)
    premultiplied, depth = _shot(model, turned, turn, low, (width, height), quality)
    rgba, left, top = _cropped(_straight(premultiplied))
    offset = low + [left, top]
    depth = depth[top : top + rgba.shape[0], left : left + rgba.shape[1]]
    names = control_points(depth, offset, yaw, pitch, rotation, quality.pixels_per_mm)
    places = project(names, turn, quality.pixels_per_mm) - offset
    points = {name: (round(float(x), 2), round(float(y), 2)) for name, (x, y) in zip(names, places, strict=True)}
    return Rendering(rgba, points)


# Light: soft, from the front and above. The face's own light is put on later, so this one stays neutral.
_LIGHT: Final = np.array([0.0, -0.50, 0.866])
_AMBIENT: Final = 0.70
_DIFFUSE: Final = 0.31
_FROM_ABOVE: Final = 0.07
_INSIDE: Final = 0.5
# The brightness above which colours are compressed, and the one that they never reach.
_WHITE_KNEE: Final = 0.87
_WHITE_TOP: Final = 0.96
# How far before the ear anchor an ear loop is gone, and how far before it begins to fade.
_FADING_MM: Final = (2.0, 6.0)
# The ways of head straps, (degrees, millimetres): over the ears and under them. Hair covers them behind.
_UPPER_STRAP: Final = ((62.0, 28.0), (74.0, 10.0), (90.0, -12.0), (108.0, -34.0), (128.0, -52.0))
_LOWER_STRAP: Final = ((62.0, 67.0), (76.0, 61.0), (92.0, 56.0), (112.0, 53.0), (130.0, 52.0))
_HAIR_MM: Final = (4.0, 30.0)


def _lit(model: Model, turn: Float64Array) -> Float64Array:
    """(V, 3) colours of the vertices, 0 to 1."""
    normal = model.normals @ turn.T
    inside = normal[:, 2] < 0
    normal = np.where(inside[:, None], -normal, normal)
    # Half-Lambert: cloth lets light through and round.
    wrapped = np.square(0.5 + 0.5 * normal @ _LIGHT)
    shade = (_AMBIENT + _DIFFUSE * wrapped - _FROM_ABOVE * normal[:, 1]) * model.openness
    halfway = (_LIGHT + [0, 0, 1]) / np.linalg.norm(_LIGHT + [0, 0, 1])
    sheen = model.sheen * np.clip(normal @ halfway, 0, 1) ** 5 * model.openness**2
    outside = model.albedo * shade[:, None] + sheen[:, None]
    return _soft_white(np.where(inside[:, None], model.inner * (_INSIDE * shade)[:, None], outside))


def _soft_white(colours: Float64Array) -> Float64Array:
    """Colours with the brightest compressed: cloth is never as white as the picture can be."""
    room = _WHITE_TOP - _WHITE_KNEE
    pressed: Float64Array = np.minimum(colours, _WHITE_KNEE) + room * np.tanh(
        np.maximum(colours - _WHITE_KNEE, 0) / room
    )
    return pressed


def _shot(
    model: Model,
    turned: Float64Array,
    turn: Float64Array,
    low: Float64Array,
    size_wh: tuple[int, int],
    quality: Quality,
) -> tuple[Float32Array, Float32Array]:
    """What the viewer sees of the mask, less what the head hides.

    Returns
    -------
    (H, W, 4) array
        Premultiplied colour, 0 to 1.
    (H, W) array
        Depth, millimetres; minus infinity where the mask covers less than half of a pixel.
    """
    head = occluder()
    scene = join([model.mesh, head])
    place = np.concatenate([turned, head.vertices @ turn.T])
    place[:, :2] = ((place[:, :2] * quality.pixels_per_mm - low) + 0.5) * quality.samples - 0.5
    fragments = raster.rasterise(place, scene.triangles, (size_wh[0] * quality.samples, size_wh[1] * quality.samples))
    is_mask = (fragments.triangle >= 0) & (fragments.triangle < len(model.mesh.triangles))
    colours = np.concatenate([_lit(model, turn), model.opacity[:, None]], axis=1)
    colours = np.concatenate([colours, np.zeros((len(head.vertices), 4))])
    samples = raster.interpolate(fragments, scene.triangles, colours)
    samples[..., :3] *= samples[..., 3:]
    samples[~is_mask] = 0
    colour = raster.average(samples, quality.samples)
    depth = raster.average(np.where(is_mask, fragments.depth, 0)[..., None].astype(np.float32), quality.samples)[..., 0]
    share = raster.average(is_mask[..., None].astype(np.float32), quality.samples)[..., 0]
    return colour, np.where(share >= 0.5, depth / np.maximum(share, 0.5), -np.inf).astype(np.float32)


def _straight(premultiplied: Float32Array) -> Image:
    alpha = premultiplied[..., 3:]
    colour = premultiplied[..., :3] / np.maximum(alpha, 1e-6)
    rgba = np.concatenate([colour, alpha], axis=-1)
    return np.asarray(np.clip(np.round(rgba * 255), 0, 255).astype(np.uint8))


def _cropped(rgba: Image) -> tuple[Image, int, int]:
    """The picture cut to what is not clear, one clear pixel left around; how much was cut at left and top."""
    rows, columns = np.flatnonzero(rgba[..., 3].any(axis=1)), np.flatnonzero(rgba[..., 3].any(axis=0))
    top, bottom = max(rows[0] - 1, 0), rows[-1] + 2
    left, right = max(columns[0] - 1, 0), columns[-1] + 2
    return np.ascontiguousarray(rgba[top:bottom, left:right]), int(left), int(top)


def _openness(relief: Float64Array, spacing_mm: float) -> Float64Array:
    """How light a place is by its relief: folds are darker at their foot."""
    hollow = relief - gaussian_filter(relief, 2.5 / spacing_mm)
    return np.asarray(np.clip(1 + 0.16 * hollow, 0.7, 1.08))


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


def _straps(cut: Sheet, spec: DesignSpec) -> list[_Part]:
    straps = spec.straps
    made = []
    if straps.style == "ears":
        # Fastened a little inside the corner, where the strip holds it.
        inset = int(np.searchsorted(cut.from_upper[:, -1], straps.inset_mm))
        for column, step, side in ((0, 4, "image_left"), (-1, -5, "image_right")):
            for row, end, sag in ((inset, "upper", -1.0), (-1 - inset, "lower", straps.sag_mm)):
                start = cut.points[row, column]
                away = start - cut.points[row, step]
                away = away / np.linalg.norm(away)
                mesh, normal = ear_loop(start, away, f"ear_{side}_{end}", straps.thickness_mm, sag, straps.width_mm)
                to_end = np.linalg.norm(mesh.vertices - mesh.vertices[-1], axis=1)
                made.append(_part(mesh, normal, spec, _fading(to_end, _FADING_MM)))
    elif straps.style == "head":
        for share, way in ((0.15, _UPPER_STRAP), (0.45, _LOWER_STRAP)):
            start = cut.points[round(share * (len(cut.points) - 1)), -3]
            mesh, normal = head_strap(start, way, straps.thickness_mm, straps.width_mm)
            behind = mesh.vertices[:, 2] - mesh.vertices[:, 2].min()
            part = _part(mesh, normal, spec, _fading(behind, _HAIR_MM))
            made += [part, _mirrored(part)]
    return made


def _part(mesh: Mesh, normal: Float64Array, spec: DesignSpec, opacity: Float64Array) -> _Part:
    count = len(mesh.vertices)
    elastic = np.tile(np.array(spec.fabric.elastic) / 255, (count, 1))
    return _Part(mesh, normal, elastic, np.full(count, 0.95), opacity)


def _mirrored(part: _Part) -> _Part:
    mesh = Mesh(part.mesh.vertices * [-1, 1, 1], part.mesh.triangles)
    return _Part(mesh, part.normals * [-1, 1, 1], part.albedo, part.openness, part.opacity)


def _fading(distance: Float64Array, limits: tuple[float, float]) -> Float64Array:
    """(V,) opacity: 0 nearer than the first limit, 1 beyond the second."""
    return np.asarray(np.clip((distance - limits[0]) / (limits[1] - limits[0]), 0, 1))


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


def _entry(spec: DesignSpec, views: list[ViewEntry]) -> DesignEntry:
    return DesignEntry(
        name=spec.name,
        kind=spec.kind,
        colour=spec.colour,
        tags=spec.tags,
        weight=spec.weight,
        license=spec.license,
        mirror=True,
        views=tuple(views),
    )
