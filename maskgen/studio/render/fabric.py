"""What covers the sheet of a mask: its cut and creases as relief, its colours and prints as albedo.

Convention
----------
Everything is computed on the vertices of a `Sheet`, (R, C) arrays; relief is in millimetres away from the head.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from maskgen.arrays import Float64Array
from maskgen.studio.render.cuts import MAKES, Cut, Make
from maskgen.studio.render.prints import Colour, Print, printed
from maskgen.studio.render.relief import bump, creases, noise, openness, rounding, step
from maskgen.studio.render.sheet import Sheet

# How much deeper a colour is where a second layer of thin cloth lies behind it.
_DEEPER: Final = 0.16
# What is left of the contrast of seams, stitches and welds.
_TONE_CONTRAST: Final = 0.65


@dataclass(frozen=True)
class Fabric:
    """What a mask is made of.

    Attributes
    ----------
    make : str
        How it is cut and sewn.
    colour : (int, int, int)
        RGB of the cloth in full light.
    trim : (int, int, int), optional
        RGB of hems, bindings, side strips and clips; the cloth's own by default.
    inner : (int, int, int)
        RGB of the side towards the face.
    elastic : (int, int, int)
        RGB of the ear loops.
    sheen : float
        Light that the surface throws back without its colour, 0 to 1; what shows the folds of black cloth.
    mottling : float
        Contrast of the cloud in thin cloth.
    wrinkles : float
        Depth of the creases, 1 for thin cloth.
    pattern : str
        What is printed on it.
    prints : tuple of (int, int, int)
        RGB of the print, the main colour first.
    pattern_mm : float
        Size of the print's repeat, against its usual one.
    """

    make: Make
    colour: Colour
    trim: Colour | None = None
    inner: Colour = (226, 226, 224)
    elastic: Colour = (228, 228, 226)
    sheen: float = 0.02
    mottling: float = 0.012
    wrinkles: float = 1.0
    pattern: Print = "plain"
    prints: tuple[Colour, ...] = ((230, 230, 226),)
    pattern_mm: float = 1.0


@dataclass(frozen=True)
class Form:
    """A sheet with its folds, whatever its colour.

    Attributes
    ----------
    sheet : Sheet
        What was cut and sewn.
    cut : Cut
        What that did to it.
    relief : (R, C) array
        Of cut and creases, millimetres away from the head.
    openness : (R, C) array
        How much light the relief lets through to a place, 1 on a flat one.
    """

    sheet: Sheet
    cut: Cut
    relief: Float64Array
    openness: Float64Array


def formed(make: Make, wrinkles: float, sheet: Sheet, rng: np.random.Generator) -> Form:
    """A sheet cut, sewn and creased; a pane is stretched flat."""
    cut = MAKES[make](sheet, rng)
    relief = cut.relief + wrinkles * creases(sheet, rng) - rounding(sheet)
    if make == "window":
        relief = relief * (1 - _pane(sheet)[0])
    return Form(sheet, cut, relief, openness(relief, sheet))


def dyed(
    fabric: Fabric, form: Form, rng: np.random.Generator, picture: Float64Array | None = None
) -> tuple[Float64Array, Float64Array]:
    """The colours (R, C, 3) and the opacity (R, C) of a form, 0 to 1.

    Parameters
    ----------
    picture : (R, C, 3) array, optional
        Colours of the cloth, 0 to 1, in place of the fabric's own.
    """
    sheet, cut = form.sheet, form.cut
    tone = cut.tone**_TONE_CONTRAST * (1 + fabric.mottling * noise(sheet, 4.0, 4.0, rng))
    ground = fabric.colour, fabric.pattern, fabric.prints, fabric.pattern_mm
    albedo = printed(*ground, sheet, rng) if picture is None else picture
    albedo = albedo ** (1 + _DEEPER * (cut.layers - 0.5))[..., None]
    albedo = albedo + cut.trim[..., None] * (np.array(fabric.trim or fabric.colour) / 255 - albedo)
    albedo, opacity = albedo * tone[..., None], np.ones(tone.shape)
    if fabric.make == "window":
        pane, streak = _pane(sheet)
        albedo = albedo + pane[..., None] * (0.93 - albedo)
        opacity = 1 - pane * (0.86 - 0.30 * streak)
    if fabric.make == "gaiter":
        # Hair covers its ends behind the ears.
        opacity = np.clip(sheet.from_side / 18 - 0.1, 0, 1)
    return np.clip(albedo, 0, 1), opacity


def _pane(sheet: Sheet) -> tuple[Float64Array, Float64Array]:
    """Where a window is, 0 to 1, and where light glances off it."""
    u, v = sheet.across / 36.0, (sheet.rows - 0.50) / 0.26
    inside = 1 - (np.abs(u) ** 3 + np.abs(v) ** 3) ** (1 / 3)
    glance = bump(u + 0.35 * v + 0.45, 0.10) + 0.6 * bump(u + 0.35 * v - 0.5, 0.16)
    glance = glance * np.clip(1.2 - np.square(v), 0, 1)
    return step(inside, 0.03), np.clip(glance + 0.5 * bump(inside, 0.05), 0, 1)
