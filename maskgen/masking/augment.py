"""One image, start to end.

faces = detector.detect(image)
observed = [observe(image, face) for face in faces]                     # once per face, on the bare photograph
masked = mask_faces(image, faces, observed, catalog, rng, recipe)       # once per variant
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.catalog.schema import Kind, Wear
from maskgen.catalog.store import Catalog
from maskgen.catalog.view import View
from maskgen.detect import Detector
from maskgen.face import Face
from maskgen.face.head import head_to_image, pixels_per_mm
from maskgen.images.checking import refuse_other
from maskgen.masking import blend, choose, detail, fit, illuminant, light, mesh, occlude, straps, tone, vary, warp, wear
from maskgen.masking.recipe import PLAIN, Patterns, Recipe
from maskgen.parse import Parser, Regions

_PASSED_OVER: Final = frozenset({"not_largest", "not_central"})


@dataclass(frozen=True)
class Observed:
    """What is known of a face before anything is painted.

    Attributes
    ----------
    appearance : light.Appearance
        What a mask on it takes after.
    visible : occlude.Visible or None
        Where a mask may be drawn, and where something lies in front; None for everywhere.
    covered : float
        How much of the mouth is hidden by something, 0 to 1.
    regions : parse.Regions or None
        Hair, skin and the rest, where a parser told them apart.
    """

    appearance: light.Appearance
    visible: occlude.Visible | None = None
    covered: float = 0.0
    regions: Regions | None = None


@dataclass(frozen=True)
class MaskedFace:
    """What became of one face.

    Attributes
    ----------
    face : Face
        As detected.
    design, view : str or None
        The mask it wears.
    reason : str or None
        Why it wears none: ``too_small``, ``not_largest``, ``not_central``, ``covered`` or ``no_view_for_pose``.
    wear : str or None
        How it wears the mask: see `maskgen.catalog.schema.WEARS`.
    recolor : vary.Recolor or None
        The colour that the cloth was given.
    pattern : str or None
        The pattern that was laid on the cloth.
    """

    face: Face
    design: str | None = None
    view: str | None = None
    reason: str | None = None
    wear: Wear | None = None
    recolor: vary.Recolor | None = None
    pattern: str | None = None


@dataclass(frozen=True)
class Masked:
    """A masked image and what was done to its faces, largest first.

    Attributes
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    faces : tuple of MaskedFace
        One for each face that was given.
    """

    image: Image
    faces: tuple[MaskedFace, ...]
    _layers: tuple[blend.Blended, ...] = field(default=(), repr=False)

    @property
    def alpha(self) -> Float32Array:
        """(H, W) how much of the image is mask, 0 to 1."""
        clear = np.ones(self.image.shape[:2], np.float32)
        for layer in self._layers:
            clear[layer.region] *= 1 - layer.alpha
        return 1 - clear

    @property
    def is_masked(self) -> bool:
        """Whether at least one face wears a mask now."""
        return any(face.design is not None for face in self.faces)

    @property
    def reason(self) -> str | None:
        """Why nobody wears a mask: ``no_face``, or the reason of the face that was to; None if somebody does."""
        if self.is_masked:
            return None
        reasons = [face.reason for face in self.faces]
        return next((reason for reason in reasons if reason not in _PASSED_OVER), None) if reasons else "no_face"


def augment_image(
    image: Image,
    detector: Detector,
    catalog: Catalog,
    rng: np.random.Generator,
    parser: Parser | None = None,
    recipe: Recipe = PLAIN,
) -> Masked:
    """The image with masks on its faces: detect, observe, mask.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB; it is not changed.
    detector : Detector
        Finds the faces.
    catalog, rng, recipe
        As `mask_faces`.
    parser : Parser, optional
        Tells what lies in front of faces; without one, masks are drawn over it.

    Returns
    -------
    Masked
        The new image, and one entry for every face found.

    Raises
    ------
    ImageError
        If the image is no such array.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from maskgen import Catalog, FaceDetector, FaceParser
    >>> rng = np.random.default_rng(0)
    >>> masked = augment_image(astronaut(), FaceDetector(), Catalog.load(), rng, FaceParser())
    >>> masked.image.shape, len(masked.faces), masked.is_masked
    ((512, 512, 3), 1, True)
    """
    refuse_other(image)
    faces = detector.detect(image)
    return mask_faces(image, faces, observe_all(image, faces, parser, recipe), catalog, rng, recipe)


def observe_all(
    image: Image, faces: Sequence[Face], parser: Parser | None = None, recipe: Recipe = PLAIN
) -> list[Observed | None]:
    """What is known of the faces (largest first) that a recipe takes; None for those that it leaves alone."""
    alone = recipe.left_alone(faces, (image.shape[1], image.shape[0]))
    scene = None if all(alone) else illuminant.scene_of(image)
    return [None if reason else observe(image, face, parser, scene) for face, reason in zip(faces, alone, strict=True)]


def observe(image: Image, face: Face, parser: Parser | None = None, scene: illuminant.Scene | None = None) -> Observed:
    """What is known of a face before anything is painted; the same for all variants of an image.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.
    face : Face
        One on it.
    parser : Parser, optional
        Tells what lies in front of it.
    scene : illuminant.Scene, optional
        What the image tells of the light in it; by default it is asked.
    """
    appearance = light.appearance_of(image, face, scene)
    if parser is None:
        return Observed(appearance)
    regions = parser.regions(image, face)
    return Observed(appearance, occlude.visible_of(image, face, regions), occlude.covered_share(regions, face), regions)


def mask_faces(
    image: Image,
    faces: Sequence[Face],
    observed: Sequence[Observed | None],
    catalog: Catalog,
    rng: np.random.Generator,
    recipe: Recipe = PLAIN,
) -> Masked:
    """The image with masks on known faces.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB; it is not changed.
    faces : sequence of Face
        Largest first.
    observed : sequence of Observed or None
        Of each face, on the bare photograph; None will do for a face that the recipe leaves alone.
    catalog : Catalog
        The masks to choose from.
    rng : numpy.random.Generator
        Decides which mask; the same state gives the same image.
    recipe : Recipe
        Who gets a mask, how it is worn, recoloured, patterned, and what it takes on of the photograph.

    Raises
    ------
    ImageError
        If the image is no such array.

    Examples
    --------
    >>> from skimage.data import astronaut
    >>> from maskgen import Catalog, FaceDetector, observe
    >>> image, catalog = astronaut(), Catalog.load()
    >>> faces = FaceDetector().detect(image)
    >>> observed = [observe(image, face) for face in faces]
    >>> variants = [mask_faces(image, faces, observed, catalog, np.random.default_rng(n)).image for n in (1, 2)]
    >>> np.array_equal(*variants)
    False
    """
    refuse_other(image)
    size_wh = image.shape[1], image.shape[0]
    outcomes, layers, bare = list[MaskedFace](), list[blend.Blended](), image
    for face, seen, reason in zip(faces, observed, recipe.left_alone(faces, size_wh), strict=True):
        if reason is not None:
            outcomes.append(MaskedFace(face, reason=reason))
            continue
        assert seen is not None
        if seen.covered >= occlude.COVERED and not recipe.keep_covered:
            outcomes.append(MaskedFace(face, reason="covered"))
        elif (view := choose.choose(catalog, face, rng, _unfit(seen))) is None:
            outcomes.append(MaskedFace(face, reason="no_view_for_pose"))
        else:
            drawn = vary.draw(recipe, rng)
            photograph = straps.Photograph(bare, seen.appearance, seen.regions)
            step = blend.step_of(seen.appearance, recipe.look)
            overlay = worn(view, face, size_wh, drawn, recipe.patterns, photograph, step)
            if view.kind == "gaiter" and seen.regions is not None:
                overlay = occlude.tucked(overlay, seen.regions, face)
            visible = seen.visible if seen.visible is None else occlude.opened(seen.visible, overlay.on_top)
            layer = blend.over(image, overlay, seen.appearance, rng, recipe.look, visible)
            image = layer.image
            layers.append(layer)
            pattern = None if drawn.pattern is None else recipe.patterns.names[drawn.pattern.number]
            outcomes.append(MaskedFace(face, view.design, view.key, None, drawn.wear, drawn.recolor, pattern))
    return Masked(image, tuple(outcomes), tuple(layers))


def _unfit(seen: Observed) -> tuple[Kind, ...]:
    """Kinds that look false on a face: a gaiter goes under the collar, and only a parser knows where that is."""
    return ("gaiter",) if seen.regions is None else ()


def worn(
    view: View,
    face: Face,
    size_wh: tuple[int, int],
    drawn: vary.Drawn = vary.AS_IT_IS,
    patterns: Patterns = PLAIN.patterns,
    photograph: straps.Photograph | None = None,
    step: float = 1.0,
) -> warp.Overlay:
    """The mask of a view on a face.

    Parameters
    ----------
    view : View
        Texture and control points.
    face : Face
        Its landmarks say where the control points go.
    size_wh : (int, int)
        Width and height of the image.
    drawn : vary.Drawn
        How the mask is worn, and what its cloth looks like instead.
    patterns : Patterns
        What `drawn` may choose from.
    photograph : Photograph, optional
        What the straps run over; without one only those are seen that are part of the texture.
    step : float
        How many times smaller than the image it is drawn.

    Returns
    -------
    Overlay
        Clipped to the image; empty (0 pixels) where the mask lies outside.
    """
    landmarks = np.ascontiguousarray(warp.shrunk(face.landmarks_68, step))
    on_face = wear.placing(view.names, drawn.wear) @ landmarks
    on_face = fit.fitted(on_face, view.names, drawn.fit, landmarks)
    scale = warp.fitting_scale(view, on_face)
    texture = vary.applied(view.textures[scale], drawn, patterns) if drawn.is_changed else view.textures.stored(scale)
    (height, width), full = texture.shape[:2], view.textures.shapes[0]
    small_wh = math.ceil(size_wh[0] / step), math.ceil(size_wh[1] / step)
    placed = mesh.Placed.of(mesh.mesh_of(view), on_face, small_wh)
    on_it = None
    if drawn.wrinkling is not None and view.surface is not None:
        # A colour that was asked for stays what it is.
        wrinkling = replace(drawn.wrinkling, tone=tone.AS_IN_CATALOG) if drawn.is_changed else drawn.wrinkling
        on_it = detail.Detail(view.surface, wrinkling, straps.pulling(view, wrinkling.pulls))
    # Straps pull corners out of the box.
    pull_mm = 0.0 if on_it is None else max((math.hypot(*corner.towards) for corner in on_it.corners), default=0.0)
    margin = pull_mm * pixels_per_mm(head_to_image(landmarks)) if pull_mm else 0.0
    overlay = warp.drawn(placed, texture, (width / full[1], height / full[0]), placed.grown(margin), on_it, step)
    if photograph is None:
        return overlay
    return straps.with_straps(overlay, view, on_face, landmarks, photograph, drawn.hold)
