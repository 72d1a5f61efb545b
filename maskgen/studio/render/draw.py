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
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter, map_coordinates

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image, IntArray
from maskgen.catalog.edit import NewDesign, NewView
from maskgen.catalog.schema import CatalogFile, Corner, DesignEntry, Rotation, Straps, Surface, ViewEntry
from maskgen.catalog.store import CATALOG_FILE, dump
from maskgen.face import HeadPose
from maskgen.face.pose import rotation_matrix
from maskgen.files import write_whole
from maskgen.studio.control import control_points, project
from maskgen.studio.mesh import Mesh, grid_mesh, join, occluder
from maskgen.studio.render import fabric, indexed, raster
from maskgen.studio.render.designs import WEAVES, DesignSpec
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


STRAPS_IN_PICTURE: Final = False
"""Whether the pictures show the straps; if not, catalogs say where they begin, for whoever draws them on a face."""


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

    pixels_per_mm: float = 2.2
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
        Cloth, then straps, then valves. Of the cloth's vertices it takes some only: its relief is seen in its shading.
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
        0 to 1; windows are nearly clear, and straps fade where ears or hair would cover them.
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


@dataclass(frozen=True)
class Rendering:
    """A rendered view.

    Attributes
    ----------
    rgba : (H, W, 4) uint8 array
        Straight alpha.
    points : dict
        Control point -> (x, y), pixels.
    fastenings : dict
        Corner -> (x, y) where a strap leaves the mask, pixels; only corners that are seen.
    """

    rgba: Image
    points: dict[str, tuple[float, float]]
    fastenings: dict[Corner, tuple[float, float]]


def render_catalog(specs: Sequence[DesignSpec], root: Path, quality: Quality = SHIPPED) -> CatalogFile:
    """Designs rendered into a catalog folder: pictures first, then ``catalog.json``, each file whole.

    Raises
    ------
    MaskgenError
        If the folder cannot be written.
    """
    entries: dict[str, DesignEntry] = {}
    for alike in _by_form(specs):
        for spec, shown in zip(alike, render_designs(alike, quality), strict=True):
            views = []
            for rotation, name, picture in shown:
                png = indexed.encode(picture.rgba)
                file = f"{spec.name}/{name}.png"
                write_whole(root / file, png)
                views.append(
                    ViewEntry(
                        file=file,
                        sha256=hashlib.sha256(png).hexdigest(),
                        rotation=rotation,
                        points=picture.points,
                        fastenings=picture.fastenings,
                    )
                )
            entries[spec.name] = _entry(spec, views)
    catalog = CatalogFile(schema_version=1, masks=tuple(entries[spec.name] for spec in specs))
    write_whole(root / CATALOG_FILE, dump(catalog))
    return catalog


def new_design(spec: DesignSpec, quality: Quality = SHIPPED) -> NewDesign:
    """A design rendered, to be put into a catalog by `maskgen.catalog.edit.add`."""
    views = tuple(
        NewView(indexed.encode(picture.rgba), rotation, picture.points, picture.fastenings)
        for rotation, _, picture in render_design(spec, quality)
    )
    return NewDesign(
        spec.name,
        spec.kind,
        spec.license,
        views,
        spec.colour,
        (*spec.tags, "rendered"),
        spec.weight,
        mirror=True,
        straps=straps_of(spec),
        surface=surface_of(spec),
    )


def _by_form(specs: Sequence[DesignSpec]) -> list[list[DesignSpec]]:
    """Designs that differ in nothing but colour and print together, each form where it first comes."""
    forms = dict[Hashable, list[DesignSpec]]()
    for spec in specs:
        straps = spec.straps if STRAPS_IN_PICTURE else None
        form = spec.shape, spec.fabric.make, spec.fabric.wrinkles, straps, spec.valves, spec.valve_radius_mm, spec.seed
        forms.setdefault(form, []).append(spec)
    return list(forms.values())


def render_design(spec: DesignSpec, quality: Quality = SHIPPED) -> list[tuple[Rotation, str, Rendering]]:
    """All views of a design: rotation interval, file name without its ending, picture."""
    return render_designs([spec], quality)[0]


def render_designs(
    specs: Sequence[DesignSpec], quality: Quality = SHIPPED
) -> list[list[tuple[Rotation, str, Rendering]]]:
    """All views of designs that differ in nothing but colour and print; for each what `render_design` gives."""
    models = [build(spec, quality) for spec in specs]
    views: list[list[tuple[Rotation, str, Rendering]]] = [[] for _ in specs]
    for yaw, yaw_interval in YAWS:
        for pitch, pitch_interval in PITCHES:
            rotation = Rotation(yaw=yaw_interval, pitch=pitch_interval)
            name = f"yaw{yaw:+03.0f}_pitch{pitch:+03.0f}"
            for shown, picture in zip(views, draw_all(models, yaw, pitch, rotation, quality), strict=True):
                shown.append((rotation, name, picture))
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
    cover = fabric.cover(spec.fabric, cut, np.random.default_rng(spec.seed), colours)
    points = cut.points + normals(cut.points) * cover.relief[..., None]
    rows, columns = (_every(count, _THINNED) for count in points.shape[:2])
    cloth = _Part(
        grid_mesh(points[rows[:, None], columns]),
        normals(points).reshape(-1, 3),
        cover.albedo.reshape(-1, 3),
        cover.openness.ravel(),
        cover.opacity.ravel(),
    )
    parts = [cloth, *(_straps(cut, spec) if STRAPS_IN_PICTURE else []), *_valves(cut, spec)]
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
        corners=_corners(cut, spec),
    )


def _every(count: int, step: int) -> IntArray:
    """Indices from the first to the last of so many, about so far apart."""
    return np.unique(np.round(np.linspace(0, count - 1, max(round((count - 1) / step), 1) + 1)).astype(np.int64))


def draw(model: Model, yaw: float, pitch: float, rotation: Rotation, quality: Quality = SHIPPED) -> Rendering:
    """A mask seen at one head rotation: `draw_all` of one model."""
    return draw_all([model], yaw, pitch, rotation, quality)[0]


def draw_all(
    models: Sequence[Model], yaw: float, pitch: float, rotation: Rotation, quality: Quality = SHIPPED
) -> list[Rendering]:
    """Masks seen at one head rotation, with control points that hold over an interval of rotations.

    Parameters
    ----------
    models : sequence of Model
        Of one mesh, in several colours.
    yaw, pitch : float
        Degrees.
    rotation : Rotation
        The interval.
    """
    mesh = models[0].mesh
    turn = rotation_matrix(HeadPose(yaw=yaw, pitch=pitch, roll=0.0))
    turned = mesh.vertices @ turn.T
    low = np.floor(turned[:, :2].min(axis=0) * quality.pixels_per_mm) - 2
    high = np.ceil(turned[:, :2].max(axis=0) * quality.pixels_per_mm) + 2
    width, height = (int(n) + 1 for n in high - low)
    shot = _shot(models[0], turned, turn, low, (width, height), quality)
    names: tuple[str, ...] = ()
    renderings = []
    for model in models:
        rgba, left, top = _cropped(_straight(_painted(shot, model, turn, quality)))
        offset = low + [left, top]
        depth = shot.depth[top : top + rgba.shape[0], left : left + rgba.shape[1]]
        names = names or control_points(depth, offset, yaw, pitch, rotation, quality.pixels_per_mm)
        places = project(names, turn, quality.pixels_per_mm) - offset
        points = {name: (round(float(x), 2), round(float(y), 2)) for name, (x, y) in zip(names, places, strict=True)}
        renderings.append(Rendering(rgba, points, _fastenings(model, turn, depth, offset, quality)))
    return renderings


def _fastenings(
    model: Model, turn: Float64Array, depth: Float32Array, offset: Float64Array, quality: Quality
) -> dict[Corner, tuple[float, float]]:
    """Where the straps leave the mask in a picture (`depth` is the picture's), as far as that is seen."""
    seen: dict[Corner, tuple[float, float]] = {}
    for corner, place in model.corners.items():
        x, y, z = turn @ place
        column, row = np.array([x, y]) * quality.pixels_per_mm - offset
        around = depth[
            max(round(row) - 2, 0) : max(round(row) + 3, 0), max(round(column) - 2, 0) : max(round(column) + 3, 0)
        ]
        # Not behind the head, nor behind the mask itself.
        if np.isfinite(around).any() and z > float(around[np.isfinite(around)].min()) - _HIDDEN_MM:
            seen[corner] = round(float(column), 2), round(float(row), 2)
    return seen


# Light: soft, from the front and above. The face's own light is put on later, so this one stays neutral.
_LIGHT: Final = np.array([0.0, -0.50, 0.866])
_AMBIENT: Final = 0.68
_DIFFUSE: Final = 0.33
_FROM_ABOVE: Final = 0.06
# Folds are lit harder than the whole: what throws them into relief is gone from a face's own broad light and shade.
_FOLD_LIGHT: Final = np.array([0.0, -0.62, 0.785])
_FOLD_AMBIENT: Final = 0.30
# A corner this far behind the cloth before it is hidden.
_HIDDEN_MM: Final = 6.0
# Of the vertices of the cloth one of so many, both ways, carries its form; between them its colours are interpolated.
_THINNED: Final = 3
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
    broad = model.broad @ turn.T
    broad = np.where((broad[:, 2] < 0)[:, None], -broad, broad)
    shade = _AMBIENT + _DIFFUSE * _wrapped(broad, _LIGHT) - _FROM_ABOVE * broad[:, 1]
    folds = (_FOLD_AMBIENT + _wrapped(normal, _FOLD_LIGHT)) / (_FOLD_AMBIENT + _wrapped(broad, _FOLD_LIGHT))
    shade = shade * np.clip(folds, 0.45, 1.5) * model.openness
    halfway = (_LIGHT + [0, 0, 1]) / np.linalg.norm(_LIGHT + [0, 0, 1])
    sheen = model.sheen * np.clip(normal @ halfway, 0, 1) ** 5 * model.openness**2
    outside = model.albedo * shade[:, None] + sheen[:, None]
    return _soft_white(np.where(inside[:, None], model.inner * (_INSIDE * shade)[:, None], outside))


def _wrapped(normal: Float64Array, light: Float64Array) -> Float64Array:
    """(V,) light that falls on a surface; half-Lambert, for cloth lets light through and round."""
    return np.square(0.5 + 0.5 * normal @ light)


def _soft_white(colours: Float64Array) -> Float64Array:
    """Colours with the brightest compressed: cloth is never as white as the picture can be."""
    room = _WHITE_TOP - _WHITE_KNEE
    pressed: Float64Array = np.minimum(colours, _WHITE_KNEE) + room * np.tanh(
        np.maximum(colours - _WHITE_KNEE, 0) / room
    )
    return pressed


@dataclass(frozen=True)
class _Shot:
    """What the viewer sees of a mesh, less what the head hides.

    Attributes
    ----------
    fragments : raster.Fragments
        Of the mesh and the head behind it, several samples per pixel.
    triangles : (T, 3) array
        Of both, the mesh's first.
    is_mask : (H, W) bool array
        Samples that show the mesh.
    place : (H, W, 2) float32 array
        Row and column of the cloth that a sample shows, -1 where it shows none.
    depth : (h, w) float32 array
        Per pixel, millimetres; minus infinity where the mask covers less than half of it.
    """

    fragments: raster.Fragments
    triangles: IntArray
    is_mask: BoolArray
    place: Float32Array
    depth: Float32Array


def _shot(
    model: Model,
    turned: Float64Array,
    turn: Float64Array,
    low: Float64Array,
    size_wh: tuple[int, int],
    quality: Quality,
) -> _Shot:
    mesh, head = model.mesh, occluder(2)
    scene = join([mesh, head])
    seen = np.concatenate([turned, head.vertices @ turn.T])
    seen[:, :2] = ((seen[:, :2] * quality.pixels_per_mm - low) + 0.5) * quality.samples - 0.5
    fragments = raster.rasterise(seen, scene.triangles, (size_wh[0] * quality.samples, size_wh[1] * quality.samples))
    is_mask = (fragments.triangle >= 0) & (fragments.triangle < len(mesh.triangles))
    depth = raster.average(np.where(is_mask, fragments.depth, 0)[..., None].astype(np.float32), quality.samples)[..., 0]
    share = raster.average(is_mask[..., None].astype(np.float32), quality.samples)[..., 0]
    depth = np.where(share >= 0.5, depth / np.maximum(share, 0.5), -np.inf).astype(np.float32)
    in_cloth = np.concatenate([model.places, np.full((len(scene.vertices) - len(model.places), 2), -1.0)])
    place = raster.interpolate(fragments, scene.triangles, in_cloth)
    place[~is_mask] = -1
    return _Shot(fragments, scene.triangles, is_mask, place, depth)


def _painted(shot: _Shot, model: Model, turn: Float64Array, quality: Quality) -> Float32Array:
    """(h, w, 4) premultiplied colour of a model, 0 to 1."""
    opacity = model.opacity[:, None]
    colours = np.concatenate([_lit(model, turn) * opacity, opacity], axis=1).astype(np.float32)
    count = model.grid[0] * model.grid[1]
    cloth = colours[:count].reshape(*model.grid, 4)
    row, column = (np.ascontiguousarray(shot.place[..., axis]) for axis in (0, 1))
    samples: Float32Array = cv2.remap(
        cloth, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0
    )
    rest = shot.is_mask & (row < 0)
    corners = shot.triangles[shot.fragments.triangle[rest]] - len(model.places)
    samples[rest] = (colours[count:][corners] * shot.fragments.weights[rest][..., None]).sum(axis=1)
    return raster.average(samples, quality.samples)


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
    corners = _corners(cut, spec)
    if straps.style == "ears":
        for (corner, start), sag in zip(corners.items(), (-1.0, straps.sag_mm, -1.0, straps.sag_mm), strict=True):
            inwards = cut.points[np.linalg.norm(cut.points[:, 0 if "left" in corner else -1] - start, axis=1).argmin()]
            away = start - inwards[4 if "left" in corner else -5]
            away = away / np.linalg.norm(away)
            mesh, normal = ear_loop(start, away, f"ear_{corner}", straps.thickness_mm, sag, straps.width_mm)
            to_end = np.linalg.norm(mesh.vertices - mesh.vertices[-1], axis=1)
            made.append(_part(mesh, normal, spec, _fading(to_end, _FADING_MM)))
    elif straps.style == "head":
        for corner, way in (("image_right_upper", _UPPER_STRAP), ("image_right_lower", _LOWER_STRAP)):
            mesh, normal = head_strap(corners[corner], way, straps.thickness_mm, straps.width_mm)  # type: ignore[index]
            behind = mesh.vertices[:, 2] - mesh.vertices[:, 2].min()
            part = _part(mesh, normal, spec, _fading(behind, _HAIR_MM))
            made += [part, _mirrored(part)]
    return made


def _corners(cut: Sheet, spec: DesignSpec) -> dict[Corner, Float64Array]:
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


def straps_of(spec: DesignSpec) -> Straps | None:
    """What a catalog says of a design's straps; None if its pictures show them."""
    if STRAPS_IN_PICTURE:
        return None
    kind: Final = {"ears": "ear", "head": "head", "none": "none"}
    return Straps(kind=kind[spec.straps.style], color_rgb=spec.fabric.elastic, width_mm=spec.straps.width_mm)  # type: ignore[arg-type]


def surface_of(spec: DesignSpec) -> Surface:
    """What a catalog says of a design's cloth."""
    return Surface(weave=WEAVES[spec.fabric.make], creases=spec.fabric.wrinkles)


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
        straps=straps_of(spec),
        surface=surface_of(spec),
        views=tuple(views),
    )
