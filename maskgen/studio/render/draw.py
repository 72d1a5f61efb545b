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
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, cast

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image, IntArray
from maskgen.catalog.edit import NewDesign, NewView
from maskgen.catalog.places import CATALOG_FILE
from maskgen.catalog.schema import CatalogFile, Corner, DesignEntry, Rotation, ViewEntry
from maskgen.catalog.store import dump
from maskgen.catalog.view import mirror_name
from maskgen.face import HeadPose
from maskgen.face.head import AXIS_Z_MM
from maskgen.face.pose import rotation_matrix
from maskgen.files import write_whole
from maskgen.studio.control import control_points, project
from maskgen.studio.mesh import Mesh, join, occluder
from maskgen.studio.render import indexed, raster
from maskgen.studio.render.designs import DesignSpec
from maskgen.studio.render.model import SHIPPED, Model, Quality, build, straps_of, surface_of, with_sides_swapped

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
        straps=straps_of(spec.straps, spec.fabric.elastic),
        surface=surface_of(spec),
    )


def _by_form(specs: Sequence[DesignSpec]) -> list[list[DesignSpec]]:
    """Designs that differ in nothing but colour and print together, each form where it first comes."""
    forms = dict[Hashable, list[DesignSpec]]()
    for spec in specs:
        form = spec.shape, spec.fabric.make, spec.fabric.wrinkles, spec.valves, spec.valve_radius_mm, spec.seed
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
    light = _light_on(models[0], turn)
    for model in models:
        rgba, left, top = _cropped(_straight(_painted(shot, model, light, quality)))
        offset = low + [left, top]
        depth = shot.depth[top : top + rgba.shape[0], left : left + rgba.shape[1]]
        names = names or control_points(depth, offset, yaw, pitch, rotation, quality.pixels_per_mm)
        places = project(names, turn, quality.pixels_per_mm) - offset
        points = {name: (round(float(x), 2), round(float(y), 2)) for name, (x, y) in zip(names, places, strict=True)}
        renderings.append(Rendering(rgba, points, fastenings(model.corners, turn, offset, quality.pixels_per_mm)))
    return renderings


def draw_both_sides(
    model: Model, yaw: float, pitch: float, rotation: Rotation, quality: Quality = SHIPPED
) -> list[tuple[Rotation, Rendering]]:
    """A mask whose halves differ, seen at a head rotation and at the opposite one; once where they are the same.

    Both come from one look at the mesh: the form of a mask is the same on both sides, but for small folds.
    """
    if not yaw:
        return [(rotation, draw(model, yaw, pitch, rotation, quality))]
    near, far = draw_all([model, with_sides_swapped(model)], yaw, pitch, rotation, quality)
    return [(rotation, near), (rotation.mirrored(), _mirrored(far))]


def _mirrored(shown: Rendering) -> Rendering:
    right = shown.rgba.shape[1] - 1
    points = {mirror_name(name): (right - x, y) for name, (x, y) in shown.points.items()}
    corners = {cast(Corner, mirror_name(name)): (right - x, y) for name, (x, y) in shown.fastenings.items()}
    return Rendering(np.ascontiguousarray(shown.rgba[:, ::-1]), points, corners)


def fastenings(
    corners: Mapping[Corner, Float64Array], turn: Float64Array, offset: Float64Array, pixels_per_mm: float
) -> dict[Corner, tuple[float, float]]:
    """Where straps leave a mask in a picture, (x, y), of those corners (3,) whose side of the head faces the viewer.

    Parameters
    ----------
    turn : (3, 3) array
        Rotation of the head.
    offset : (2,) array
        Pixel of the projected head at the picture's top-left.
    """
    seen: dict[Corner, tuple[float, float]] = {}
    for corner, place in corners.items():
        outwards = np.array([place[0], 0.0, place[2] - AXIS_Z_MM])
        if (turn @ outwards)[2] > _FACING * np.linalg.norm(outwards):
            x, y = (turn @ place)[:2] * pixels_per_mm - offset
            seen[corner] = round(float(x), 2), round(float(y), 2)
    return seen


# Light: soft, from the front and above. The face's own light is put on later, so this one stays neutral.
# It is even, because the shade of the face beneath comes on top (tests/bench/shades.py).
_LIGHT: Final = np.array([0.0, -0.36, 0.933])
_AMBIENT: Final = 0.80
_DIFFUSE: Final = 0.20
_FROM_ABOVE: Final = 0.03
# Folds are lit harder than the whole: what throws them into relief is gone from a face's own broad light and shade.
_FOLD_LIGHT: Final = np.array([0.0, -0.62, 0.785])
_FOLD_AMBIENT: Final = 0.30
# Light comes from everywhere: so much is left of the contrast of one lamp (tests/bench/forms.py).
_FOLD_CONTRAST: Final = 0.66
# How far the side of the head must face the viewer for a strap to be seen there: the cosine of the angle between.
_FACING: Final = 0.25
_INSIDE: Final = 0.5
# The brightness above which colours are compressed, and the one that they never reach.
_WHITE_KNEE: Final = 0.87
_WHITE_TOP: Final = 0.96


@dataclass(frozen=True)
class _Light:
    """The light on the vertices of a form.

    Attributes
    ----------
    inside : (V,) bool array
        Where the side towards the face is seen.
    shade : (V,) array
        Factor of the albedo.
    glance : (V,) array
        Factor of the sheen.
    """

    inside: BoolArray
    shade: Float64Array
    glance: Float64Array


def _light_on(model: Model, turn: Float64Array) -> _Light:
    normal = model.normals @ turn.T
    inside = normal[:, 2] < 0
    normal = np.where(inside[:, None], -normal, normal)
    broad = model.broad @ turn.T
    broad = np.where((broad[:, 2] < 0)[:, None], -broad, broad)
    shade = _AMBIENT + _DIFFUSE * _wrapped(broad, _LIGHT) - _FROM_ABOVE * broad[:, 1]
    folds = (_FOLD_AMBIENT + _wrapped(normal, _FOLD_LIGHT)) / (_FOLD_AMBIENT + _wrapped(broad, _FOLD_LIGHT))
    shade = shade * (np.clip(folds, 0.45, 1.5) * model.openness) ** _FOLD_CONTRAST
    halfway = (_LIGHT + [0, 0, 1]) / np.linalg.norm(_LIGHT + [0, 0, 1])
    return _Light(inside, shade, np.clip(normal @ halfway, 0, 1) ** 7 * model.openness**2)


def frontal_shade(model: Model) -> float:
    """What light makes of the colours of a mask that faces the viewer: a factor."""
    shade = _light_on(model, np.eye(3)).shade
    return float(np.median(shade[model.opacity > 0.5]))


def _lit(model: Model, light: _Light) -> Float64Array:
    """(V, 3) colours of the vertices, 0 to 1."""
    outside = model.albedo * light.shade[:, None] + (model.sheen * light.glance)[:, None]
    inside = model.inner * (_INSIDE * light.shade)[:, None]
    return _soft_white(np.where(light.inside[:, None], inside, outside))


def _wrapped(normal: Float64Array, light: Float64Array) -> Float64Array:
    """(V,) light that falls on a surface; half-Lambert, for cloth lets light through and round."""
    return np.square(0.5 + 0.5 * normal @ light)


def _soft_white(colours: Float64Array) -> Float64Array:
    """Colours with the brightest compressed: cloth is never as white as the picture can be."""
    room = _WHITE_TOP - _WHITE_KNEE
    pressed: Float64Array = colours.copy()
    is_bright = colours > _WHITE_KNEE
    pressed[is_bright] = _WHITE_KNEE + room * np.tanh((colours[is_bright] - _WHITE_KNEE) / room)
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
    scene = join([mesh, Mesh(head.vertices, head.triangles[_faces_viewer(head, turn)])])
    seen = np.concatenate([turned, head.vertices @ turn.T])
    seen[:, :2] = ((seen[:, :2] * quality.pixels_per_mm - low) + 0.5) * quality.samples - 0.5
    fragments = raster.rasterise(seen, scene.triangles, (size_wh[0] * quality.samples, size_wh[1] * quality.samples))
    is_mask = (fragments.triangle >= 0) & (fragments.triangle < len(mesh.triangles))
    depth = raster.average(np.where(is_mask, fragments.depth, 0)[..., None].astype(np.float32), quality.samples)[..., 0]
    share = raster.average(is_mask[..., None].astype(np.float32), quality.samples)[..., 0]
    depth = np.where(share >= 0.5, depth / np.maximum(share, 0.5), -np.inf).astype(np.float32)
    in_cloth = np.concatenate([model.places, np.full((len(scene.vertices) - len(model.places), 2), -1.0)])
    shown = replace(fragments, triangle=np.where(is_mask, fragments.triangle, -1))
    place = raster.interpolate(shown, scene.triangles, in_cloth)
    place[~is_mask] = -1
    return _Shot(fragments, scene.triangles, is_mask, place, depth)


def _faces_viewer(mesh: Mesh, turn: Float64Array) -> BoolArray:
    """(T,) which triangles of a closed mesh may hide something: those behind are hidden themselves."""
    a, b, c = (mesh.vertices @ turn.T)[mesh.triangles].transpose(1, 0, 2)
    return np.asarray(np.cross(b - a, c - a)[:, 2] < 0)


def _painted(shot: _Shot, model: Model, light: _Light, quality: Quality) -> Float32Array:
    """(h, w, 4) premultiplied colour of a model, 0 to 1."""
    opacity = model.opacity[:, None]
    colours = np.concatenate([_lit(model, light) * opacity, opacity], axis=1).astype(np.float32)
    count = model.grid[0] * model.grid[1]
    cloth = colours[:count].reshape(*model.grid, 4)
    row, column = (np.ascontiguousarray(shot.place[..., axis]) for axis in (0, 1))
    samples: Float32Array = cv2.remap(cloth, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    samples[~shot.is_mask] = 0
    # Just beyond the edge of the cloth is still the cloth.
    rest = shot.is_mask & (row < -0.5)
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


def _entry(spec: DesignSpec, views: list[ViewEntry]) -> DesignEntry:
    return DesignEntry(
        name=spec.name,
        kind=spec.kind,
        colour=spec.colour,
        tags=spec.tags,
        weight=spec.weight,
        license=spec.license,
        mirror=True,
        straps=straps_of(spec.straps, spec.fabric.elastic),
        surface=surface_of(spec),
        views=tuple(views),
    )
