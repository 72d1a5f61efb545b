"""The designs that ship with maskgen, as numbers to render from, and random ones.

A new design is a `DesignSpec`: how it is cut (`SheetShape`), what it is made of (`Fabric`), how it is fastened
(`Straps`), and a seed for its folds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np

from maskgen.catalog.schema import Kind, Weave
from maskgen.errors import CatalogError
from maskgen.studio.render.cuts import Make
from maskgen.studio.render.fabric import Fabric
from maskgen.studio.render.prints import Colour, Print
from maskgen.studio.render.sheet import SheetShape


@dataclass(frozen=True)
class Straps:
    """What holds a mask.

    Attributes
    ----------
    style : {"ears", "head", "none"}
        Loops to the ears, two bands round the head, or nothing.
    width_mm : float
        Of the band.
    inset_mm : float
        How far inside the corner an ear loop is fastened.
    """

    style: Literal["ears", "head", "none"] = "ears"
    width_mm: float = 3.2
    inset_mm: float = 3.0


@dataclass(frozen=True)
class DesignSpec:
    """One design to render; the fields shared with `DesignEntry` mean the same.

    Attributes
    ----------
    valves : tuple of (u, v)
        Where valves sit: -1 to 1 across, 0 to 1 down.
    valve_colour : (int, int, int)
        RGB.
    valve_radius_mm : float
        Of a valve's rim.
    """

    name: str
    kind: Kind
    colour: str
    tags: tuple[str, ...]
    weight: float
    shape: SheetShape
    fabric: Fabric
    straps: Straps = Straps()
    valves: tuple[tuple[float, float], ...] = ()
    valve_colour: Colour = (232, 232, 230)
    valve_radius_mm: float = 15.0
    seed: int = 0
    license: str = "CC0-1.0"


SURGICAL_SHAPE: Final = SheetShape(
    upper=((0, 13), (5, 14.5), (10, 19), (20, 23.5), (34, 24), (47, 23)),
    side=((47, 23), (45.5, 45), (44.5, 70), (45, 98)),
    lower=((0, 129), (12, 128), (24, 123), (35, 113), (45, 98)),
    clearance_mm=1.8,
    pressure=3.5,
    stiffness=0.33,
    wire_reach_deg=26,
    tension=(1.0, 0.9),
    tent_mm=13.0,
)
# The pleats hardly pulled apart: it ends on the chin and its sides are shorter.
SURGICAL_FLAT_SHAPE: Final = replace(
    SURGICAL_SHAPE,
    upper=((0, 16), (5, 17.5), (10, 21), (20, 26), (34, 28), (48, 28)),
    side=((48, 28), (47, 45), (46, 66), (46, 90)),
    lower=((0, 123), (12, 121.5), (24, 115), (35, 105), (46, 90)),
    tent_mm=18.0,
)
# Pulled wide open by a long chin, drawn in at the lower corners.
SURGICAL_OPEN_SHAPE: Final = replace(
    SURGICAL_SHAPE,
    upper=((0, 11), (5, 13), (10, 18), (20, 23), (34, 26), (46, 27)),
    side=((46, 27), (44, 48), (42, 72), (41, 94)),
    lower=((0, 133), (12, 131), (22, 125), (32, 113), (41, 94)),
    pressure=5.0,
    tent_mm=16.0,
)
PLEATED_SHAPE: Final = replace(
    SURGICAL_SHAPE,
    upper=((0, 12), (5, 14), (10, 18), (20, 23), (36, 25), (52, 25)),
    side=((52, 25), (51, 48), (50, 70), (49, 92)),
    lower=((0, 130), (12, 129), (24, 123), (37, 110), (49, 92)),
    pressure=4.5,
    tent_mm=15.0,
    wire_reach_deg=18,
)
KN95_SHAPE: Final = SheetShape(
    upper=((0, 8), (5, 11), (10, 17), (20, 25), (38, 31), (53, 34)),
    side=((53, 34), (54, 54), (52, 76)),
    lower=((0, 128), (14, 127), (28, 121), (41, 106), (52, 76)),
    clearance_mm=1.8,
    pressure=4.0,
    stiffness=0.3,
    ridge=((26, 56), (44, 64), (60, 66), (80, 59), (102, 46), (120, 29)),
    wire_reach_deg=26,
)
BOAT_SHAPE: Final = SheetShape(
    upper=((0, 7), (5, 10), (10, 16), (20, 25), (38, 36), (58, 45)),
    side=((58, 45), (59, 56), (57, 68)),
    lower=((0, 129), (14, 127), (28, 118), (42, 100), (57, 68)),
    clearance_mm=1.8,
    pressure=5.5,
    stiffness=0.34,
    wire_reach_deg=26,
    tent_mm=20.0,
)
CUP_SHAPE: Final = SheetShape(
    upper=((0, 8), (5, 10.5), (10, 16), (20, 26), (34, 38), (45, 50)),
    side=((45, 50), (49, 64), (50, 78), (46, 92)),
    lower=((0, 126), (12, 124), (24, 117), (36, 106), (46, 92)),
    clearance_mm=1.6,
    wire_reach_deg=26,
    dome_mm=40.0,
    tent_mm=8.0,
)
RIBBED_SHAPE: Final = replace(
    CUP_SHAPE,
    upper=((0, 6), (5, 9), (10, 15), (20, 27), (32, 41), (40, 54)),
    side=((40, 54), (43, 66), (43, 78), (40, 92)),
    lower=((0, 123), (12, 121), (22, 115), (32, 105), (40, 92)),
    dome_mm=46.0,
)
CLOTH_SHAPE: Final = SheetShape(
    upper=((0, 9), (5, 12), (10, 17), (22, 24), (40, 26), (58, 23)),
    side=((58, 23), (57.5, 45), (55, 68)),
    lower=((0, 129), (15, 127.5), (29, 121), (42, 105), (55, 68)),
    clearance_mm=1.8,
    pressure=4.0,
    stiffness=0.25,
    ridge=((24, 53), (36, 57), (52, 57), (72, 53), (95, 43), (116, 31)),
    wire_reach_deg=18,
)
PANELLED_SHAPE: Final = SheetShape(
    upper=((0, 3), (5, 7), (10, 13), (20, 23), (38, 32), (55, 38)),
    side=((55, 38), (57, 54), (55, 72)),
    lower=((0, 131), (14, 129), (27, 122), (41, 106), (55, 72)),
    clearance_mm=1.8,
    pressure=6.5,
    stiffness=0.3,
    wire_reach_deg=24,
    tent_mm=22.0,
)
FOAM_SHAPE: Final = SheetShape(
    upper=((0, 11), (5, 14), (10, 19), (22, 27), (42, 29), (70, 14)),
    side=((70, 14), (67.5, 28), (68, 44)),
    lower=((0, 128), (15, 126), (30, 118), (45, 98), (58, 68), (68, 44)),
    clearance_mm=1.4,
    pressure=3.0,
    stiffness=0.25,
    ridge=((24, 52), (34, 56), (48, 55), (72, 50), (95, 40), (116, 30)),
    wire_reach_deg=14,
)
DUCKBILL_SHAPE: Final = SheetShape(
    upper=((0, 8), (5, 11), (10, 17), (20, 25), (38, 33), (52, 40)),
    side=((52, 40), (53, 58), (51, 80)),
    lower=((0, 128), (15, 127), (28, 121), (40, 107), (51, 80)),
    clearance_mm=1.8,
    pressure=3.0,
    stiffness=0.3,
    wire_reach_deg=26,
    beak=((0, 76, 74), (16, 75.5, 72), (30, 73, 64), (44, 66, 36)),
)
GAITER_SHAPE: Final = SheetShape(
    upper=((0, 10), (6, 14), (14, 21), (30, 28), (60, 33), (85, 38), (105, 47), (125, 56), (148, 62)),
    side=((148, 62), (148, 110), (148, 166)),
    lower=((0, 174), (40, 173), (80, 170), (148, 166)),
    clearance_mm=1.8,
    pressure=2.0,
    stiffness=0.25,
    wire_reach_deg=10,
    tent_mm=8.0,
)
BANDANA_SHAPE: Final = replace(
    GAITER_SHAPE,
    side=((148, 62), (148, 74), (148, 86)),
    lower=((0, 184), (25, 168), (60, 134), (100, 102), (148, 86)),
    pressure=5.0,
)

_BLACK: Final = (34, 34, 36)
_DARK_INSIDE: Final = (60, 60, 62)
_HEAD: Final = Straps("head", width_mm=5.5)
_BROAD: Final = Straps(width_mm=7.0, inset_mm=4.0)
_NONE: Final = Straps("none")

# What a form is called, and the seeds of its folds: the same number gives the same folds in every colour.
_FORMS: Final[dict[Make, SheetShape]] = {
    "surgical": SURGICAL_SHAPE,
    "surgical_flat": SURGICAL_FLAT_SHAPE,
    "surgical_open": SURGICAL_OPEN_SHAPE,
    "pleated": PLEATED_SHAPE,
    "kn95": KN95_SHAPE,
    "boat": BOAT_SHAPE,
    "cup": CUP_SHAPE,
    "ribbed_cup": RIBBED_SHAPE,
    "cloth": CLOTH_SHAPE,
    "panelled": PANELLED_SHAPE,
    "knit": CLOTH_SHAPE,
    "foam": FOAM_SHAPE,
    "duckbill": DUCKBILL_SHAPE,
    "gaiter": GAITER_SHAPE,
    "window": CLOTH_SHAPE,
}
_STIFF: Final = frozenset({"kn95", "boat", "cup", "ribbed_cup", "duckbill"})
_KIND_TAGS: Final[dict[Kind, tuple[str, ...]]] = {
    "surgical": ("medical",),
    "kn95": ("respirator",),
    "n95_cup": ("respirator",),
    "duckbill": ("respirator",),
}


WEAVES: Final[dict[Make, Weave]] = {
    "surgical": "nonwoven",
    "surgical_flat": "nonwoven",
    "surgical_open": "nonwoven",
    "pleated": "woven",
    "kn95": "nonwoven",
    "boat": "nonwoven",
    "cup": "nonwoven",
    "ribbed_cup": "nonwoven",
    "cloth": "woven",
    "panelled": "woven",
    "knit": "knit",
    "foam": "smooth",
    "duckbill": "nonwoven",
    "gaiter": "knit",
    "window": "woven",
    "picture": "smooth",
}
"""What cloth each make is of."""


def _wrinkles(make: Make) -> float:
    if make in ("cup", "ribbed_cup"):
        return 0.0
    return 0.3 if make in _STIFF else 0.4 if make in ("foam", "knit", "gaiter") else 0.8


def _design(
    name: str,
    kind: Kind,
    colour: str,
    weight: float,
    make: Make,
    rgb: Colour,
    seed: int,
    straps: Straps = Straps(),
    valves: tuple[tuple[float, float], ...] = (),
    valve_colour: Colour = (232, 232, 230),
    shape: SheetShape | None = None,
    tags: tuple[str, ...] = (),
    **cloth: object,
) -> DesignSpec:
    """A design whose fabric is what its make and colour suggest, but for what is said of its cloth."""
    is_dark = sum(rgb) < 200
    sewn = kind in ("cloth", "gaiter", "transparent")
    suggested = {
        "inner": _DARK_INSIDE if is_dark else (226, 226, 224),
        "elastic": rgb if sewn else (40, 40, 42) if is_dark else (228, 228, 226),
        # Cloth so dark that only its sheen shows its folds.
        "sheen": 0.10 if sum(rgb) < 130 else 0.03 if is_dark else 0.02,
        "wrinkles": _wrinkles(make),
    }
    fabric = Fabric(make, rgb, **(suggested | cloth))  # type: ignore[arg-type]
    fastened = {"ears": "ear-loops", "head": "head-straps", "none": ""}[straps.style]
    look = "window" if kind == "transparent" else "plain" if fabric.pattern == "plain" else "pattern"
    every = (fastened, look, *_KIND_TAGS.get(kind, ()), *(("valve",) if valves else ()), *tags)
    return DesignSpec(
        name,
        kind,
        colour,
        tuple(tag for tag in every if tag),
        weight,
        shape or _FORMS[make],
        fabric,
        straps,
        valves,
        valve_colour,
        seed=seed,
    )


DESIGNS: Final = (
    # Surgical masks; a lighter band above, as the colour is thinner where nothing lies behind it.
    _design("surgical-blue", "surgical", "blue", 6.5, "surgical", (142, 196, 222), 1, trim=(196, 222, 232)),
    _design("surgical-white", "surgical", "white", 3.0, "surgical", (222, 224, 227), 1),
    _design("surgical-black", "surgical", "black", 2.0, "surgical", _BLACK, 1),
    _design("surgical-green", "surgical", "green", 1.5, "surgical", (150, 210, 192), 1, trim=(200, 228, 218)),
    _design("surgical-blue-deep", "surgical", "blue", 3.0, "surgical", (96, 162, 212), 22, trim=(206, 224, 234),
            wrinkles=1.3),
    _design("surgical-pink", "surgical", "pink", 0.8, "surgical", (240, 190, 202), 22, trim=(244, 214, 222),
            wrinkles=1.3),
    _design("surgical-flowers", "surgical", "white", 0.5, "surgical", (228, 226, 222), 22, wrinkles=1.3,
            pattern="floral", prints=((150, 180, 140), (226, 150, 160), (240, 208, 120)), pattern_mm=0.8),
    _design("surgical-blue-flat", "surgical", "blue", 3.5, "surgical_flat", (148, 196, 224), 21,
            trim=(200, 222, 232)),
    _design("surgical-white-flat", "surgical", "white", 2.0, "surgical_flat", (222, 224, 228), 21),
    _design("surgical-dots", "surgical", "white", 0.5, "surgical_flat", (226, 227, 228), 21, pattern="dots",
            prints=((226, 128, 150),), pattern_mm=1.2),
    _design("surgical-black-flat", "surgical", "black", 1.0, "surgical_flat", _BLACK, 21),
    _design("surgical-blue-open", "surgical", "blue", 3.0, "surgical_open", (128, 188, 218), 23, trim=(206, 226, 234),
            wrinkles=1.1),
    _design("surgical-white-open", "surgical", "white", 1.5, "surgical_open", (220, 222, 225), 23, wrinkles=1.1),
    _design("surgical-teal-open", "surgical", "teal", 0.8, "surgical_open", (112, 190, 190), 23, trim=(190, 220, 220),
            wrinkles=1.1),
    # Respirators.
    _design("kn95-white", "kn95", "white", 3.0, "kn95", (226, 226, 224), 5),
    _design("kn95-black", "kn95", "black", 1.8, "kn95", _BLACK, 5),
    _design("kn95-pink", "kn95", "pink", 0.5, "kn95", (234, 186, 194), 5),
    _design("kn95-white-valve", "kn95", "white", 0.8, "kn95", (224, 225, 226), 34, valves=((-0.36, 0.56),)),
    _design("ffp2-boat-white", "kn95", "white", 1.5, "boat", (224, 225, 226), 35),
    _design("ffp2-boat-black", "kn95", "black", 0.8, "boat", _BLACK, 35),
    _design("n95-cup-white", "n95_cup", "white", 1.0, "cup", (226, 225, 219), 41, _HEAD, trim=(176, 178, 180),
            elastic=(226, 196, 92)),
    _design("n95-cup-white-valve", "n95_cup", "white", 0.8, "cup", (226, 226, 223), 42, _HEAD, ((0.0, 0.60),),
            trim=(176, 178, 180), elastic=(222, 222, 220)),
    _design("n95-ribbed-teal", "n95_cup", "teal", 0.5, "ribbed_cup", (122, 202, 204), 43, _HEAD,
            trim=(186, 190, 192), elastic=(226, 226, 224)),
    _design("n95-ribbed-white", "n95_cup", "white", 0.4, "ribbed_cup", (224, 224, 219), 43, _HEAD,
            trim=(176, 178, 180), elastic=(226, 226, 224)),
    _design("duckbill-white", "duckbill", "white", 0.4, "duckbill", (222, 224, 227), 71, _HEAD),
    _design("duckbill-blue", "duckbill", "blue", 0.4, "duckbill", (150, 188, 216), 71, _HEAD),
    # Two panels with a seam down the middle.
    _design("cloth-black", "cloth", "black", 2.6, "cloth", _BLACK, 7),
    _design("cloth-grey", "cloth", "grey", 1.0, "cloth", (128, 131, 136), 7),
    _design("cloth-navy", "cloth", "navy", 0.8, "cloth", (44, 54, 86), 7, inner=(150, 150, 156)),
    _design("cloth-red-dots", "cloth", "red", 1.3, "cloth", (186, 44, 50), 7, pattern="dots", pattern_mm=0.8,
            elastic=(228, 226, 222)),
    _design("cloth-stripes-breton", "cloth", "white", 1.0, "cloth", (232, 231, 226), 7, pattern="stripes",
            prints=((42, 52, 88),)),
    _design("cloth-floral-white", "cloth", "white", 1.8, "cloth", (236, 232, 226), 59, pattern="floral",
            prints=((112, 148, 108), (214, 110, 128), (240, 208, 120))),
    _design("cloth-floral-navy", "cloth", "navy", 1.8, "cloth", (36, 44, 74), 59, pattern="floral",
            prints=((84, 124, 104), (226, 196, 190), (222, 168, 92)), pattern_mm=0.85),
    _design("cloth-paisley-black", "cloth", "black", 1.3, "cloth", _BLACK, 59, pattern="paisley", pattern_mm=1.3,
            prints=((58, 57, 56), (206, 198, 184), (206, 198, 184))),
    _design("cloth-stars-navy", "cloth", "navy", 0.9, "cloth", (40, 50, 92), 59, pattern="stars",
            prints=((228, 226, 220),)),
    # Pleated cloth, bound at the sides.
    _design("pleated-white", "cloth", "white", 0.8, "pleated", (222, 221, 215), 61),
    _design("pleated-gingham-red", "cloth", "red", 1.2, "pleated", (232, 228, 224), 61, pattern="gingham",
            prints=((176, 40, 50),), trim=(232, 230, 226)),
    _design("pleated-tartan-green", "cloth", "green", 1.2, "pleated", (44, 84, 66), 61, pattern="checks",
            prints=((26, 38, 62), (206, 190, 120)), trim=(30, 40, 48)),
    _design("pleated-flowers-yellow", "cloth", "yellow", 1.6, "pleated", (236, 206, 120), 61, pattern="floral",
            prints=((96, 138, 96), (222, 92, 84), (250, 240, 220)), pattern_mm=1.1, trim=(222, 92, 84)),
    _design("pleated-chevron-teal", "cloth", "teal", 1.2, "pleated", (226, 230, 228), 61, pattern="chevron",
            prints=((52, 128, 134),), trim=(52, 128, 134)),
    # A middle piece between curved seams, bound all round.
    _design("panelled-black", "cloth", "black", 1.6, "panelled", (38, 38, 40), 64),
    _design("panelled-emblem-black", "cloth", "black", 1.6, "panelled", (36, 36, 38), 64, pattern="emblem",
            prints=((222, 222, 218),)),
    _design("panelled-grey", "cloth", "grey", 0.7, "panelled", (150, 152, 156), 64, trim=(44, 44, 46)),
    _design("panelled-camouflage", "cloth", "green", 1.3, "panelled", (118, 116, 82), 64, pattern="camouflage",
            prints=((78, 84, 56), (92, 74, 54), (40, 42, 36)), trim=(40, 42, 36)),
    _design("panelled-tie-dye", "cloth", "pink", 1.0, "panelled", (222, 120, 168), 64, pattern="tie_dye",
            prints=((250, 214, 120), (96, 150, 214)), trim=(60, 60, 90)),
    _design("cloth-knit-grey", "cloth", "grey", 0.4, "knit", (150, 148, 146), 63, tags=("knit",)),
    _design("foam-black", "cloth", "black", 2.0, "foam", (40, 40, 43), 65, _BROAD, tags=("foam",)),
    _design("foam-grey", "cloth", "grey", 1.0, "foam", (92, 97, 102), 65, _BROAD, tags=("foam",)),
    _design("foam-pink", "cloth", "pink", 0.4, "foam", (222, 170, 176), 65, _BROAD, tags=("foam",)),
    _design("gaiter-black", "gaiter", "black", 0.8, "gaiter", _BLACK, 81, _NONE),
    _design("gaiter-blue", "gaiter", "blue", 0.4, "gaiter", (66, 92, 132), 81, _NONE),
    _design("gaiter-camouflage", "gaiter", "grey", 0.4, "gaiter", (150, 150, 146), 81, _NONE, pattern="camouflage",
            pattern_mm=1.3, prints=((112, 114, 112), (78, 80, 80), (40, 42, 42))),
    _design("bandana-red", "gaiter", "red", 0.6, "gaiter", (160, 34, 42), 84, _NONE, shape=BANDANA_SHAPE,
            pattern="paisley", pattern_mm=1.5, prints=((126, 22, 30), (232, 226, 218), (232, 226, 218))),
    _design("window-black", "transparent", "black", 0.4, "window", _BLACK, 91),
    _design("window-blue", "transparent", "blue", 0.3, "window", (134, 176, 206), 91, elastic=(228, 228, 226)),
)  # fmt: skip
"""The designs that ship with maskgen."""


COLOURS: Final[dict[str, Colour]] = {
    "black": _BLACK,
    "blue": (126, 172, 212),
    "brown": (112, 82, 62),
    "burgundy": (112, 36, 50),
    "green": (146, 196, 172),
    "grey": (140, 144, 150),
    "lavender": (196, 188, 222),
    "navy": (42, 52, 86),
    "olive": (98, 100, 68),
    "orange": (222, 136, 74),
    "pink": (236, 188, 198),
    "red": (172, 42, 50),
    "teal": (70, 132, 132),
    "white": (238, 238, 238),
    "yellow": (232, 206, 110),
}
"""Colours that random designs are drawn from, and that may be asked for by name."""

_MAKES: Final[dict[Kind, tuple[tuple[Make, SheetShape, Straps], ...]]] = {
    "surgical": (
        ("surgical", SURGICAL_SHAPE, Straps()),
        ("surgical_flat", SURGICAL_FLAT_SHAPE, Straps()),
        ("surgical_open", SURGICAL_OPEN_SHAPE, Straps()),
    ),
    "kn95": (("kn95", KN95_SHAPE, Straps()), ("boat", BOAT_SHAPE, Straps())),
    "n95_cup": (("cup", CUP_SHAPE, _HEAD), ("ribbed_cup", RIBBED_SHAPE, _HEAD)),
    "cloth": (
        ("cloth", CLOTH_SHAPE, Straps()),
        ("pleated", PLEATED_SHAPE, Straps()),
        ("panelled", PANELLED_SHAPE, Straps()),
        ("knit", CLOTH_SHAPE, Straps()),
        ("foam", FOAM_SHAPE, _BROAD),
    ),
    "duckbill": (("duckbill", DUCKBILL_SHAPE, _HEAD), ("duckbill", DUCKBILL_SHAPE, Straps())),
    "gaiter": (("gaiter", GAITER_SHAPE, _NONE), ("gaiter", BANDANA_SHAPE, _NONE)),
    "transparent": (("window", CLOTH_SHAPE, Straps()),),
}
RENDERED_KINDS: Final = tuple(_MAKES)
"""The kinds that can be rendered."""
PATTERNS: Final[tuple[Print, ...]] = get_args(Print)
# Kinds that are printed on; the others are plain unless a pattern is asked for.
_PRINTED: Final = frozenset({"cloth", "gaiter"})
_PRINTS: Final = {"camouflage": 3, "checks": 2, "floral": 3, "paisley": 3, "tie_dye": 2}


def colour_of(text: str) -> Colour:
    """RGB of a name out of `COLOURS` or of ``#rrggbb``.

    Raises
    ------
    CatalogError
        If it is neither.
    """
    if text in COLOURS:
        return COLOURS[text]
    digits = text.removeprefix("#")
    if text.startswith("#") and len(digits) == 6 and all(digit in "0123456789abcdefABCDEF" for digit in digits):
        red, green, blue = (int(digits[k : k + 2], 16) for k in (0, 2, 4))
        return red, green, blue
    raise CatalogError(f"{text!r}: no colour", f"give #rrggbb or one of {', '.join(COLOURS)}")


def random_specs(
    kind: Kind | None = None, colour: str | None = None, pattern: Print | None = None, number: int = 1, seed: int = 0
) -> tuple[DesignSpec, ...]:
    """Designs whose cut, colours, pattern, folds and valves are drawn at random.

    Parameters
    ----------
    kind : str, optional
        One of `RENDERED_KINDS`; by default each design draws its own.
    colour : str, optional
        A name out of `COLOURS` or ``#rrggbb``; by default each design draws its own.
    pattern : str, optional
        One of `PATTERNS`; by default cloth is printed now and then.
    number : int
        How many.
    seed : int
        The same seed gives the same designs; the first ones do not depend on `number`.

    Raises
    ------
    CatalogError
        If the kind cannot be rendered or the colour is none.
    """
    if kind is not None and kind not in _MAKES:
        raise CatalogError(f"{kind}: no mask of this kind can be rendered", f"choose one of {', '.join(_MAKES)}")
    if colour is not None:
        colour_of(colour)
    return tuple(_random_spec(kind, colour, pattern, seed, index) for index in range(number))


def _random_spec(kind: Kind | None, colour: str | None, pattern: Print | None, seed: int, index: int) -> DesignSpec:
    rng = np.random.default_rng([seed, index])
    # Everything is drawn, even what is given, so that giving one thing does not change the others.
    drawn_kind: Kind = RENDERED_KINDS[rng.integers(len(RENDERED_KINDS))]
    drawn_colour = list(COLOURS)[rng.integers(len(COLOURS))]
    drawn_pattern: Print = PATTERNS[rng.integers(1, len(PATTERNS))]
    is_plain, has_valve, which = rng.random(3)
    wobble, prints, scale = rng.normal(0, 1, 5), rng.integers(0, 256, 3), rng.uniform(0.7, 1.5)
    folds, fold_seed, print_lights = rng.uniform(0.7, 1.3), int(rng.integers(2**31)), rng.random(3)
    kind = kind or drawn_kind
    if pattern is None:
        pattern = drawn_pattern if kind in _PRINTED and is_plain < 0.5 else "plain"
    makes = _MAKES[kind]
    make, shape, straps = makes[int(which * len(makes))]
    name = colour or drawn_colour
    rgb = colour_of(name)
    inks = tuple(_ink(rgb, int(hue), float(light)) for hue, light in zip(prints, print_lights, strict=True))
    respirator = kind in ("kn95", "n95_cup", "duckbill")
    fabric = _random_fabric(make, rgb, float(folds))
    fabric = replace(fabric, pattern=pattern, prints=inks[: _PRINTS.get(pattern, 1)], pattern_mm=float(scale))
    valves: tuple[tuple[float, float], ...] = ()
    if make in ("cup", "kn95") and has_valve < 0.4:
        valves = ((0.0, 0.6),) if make == "cup" else ((-0.36, 0.56),)
    tags = [
        {"ears": "ear-loops", "head": "head-straps"}.get(straps.style, ""),
        "plain" if pattern == "plain" else "pattern",
    ]
    tags += ["medical"] * (kind == "surgical") + ["respirator"] * respirator + ["valve"] * bool(valves)
    tags += ["window"] * (kind == "transparent")
    label = name.removeprefix("#").lower()
    return DesignSpec(
        f"{kind}-{label}-{pattern}-{seed}-{index + 1}".replace("_", "-"),
        kind,
        name,
        tuple(tag for tag in tags if tag),
        1.0,
        _random_shape(shape, wobble),
        fabric,
        straps,
        valves,
        seed=fold_seed,
    )


def _random_shape(shape: SheetShape, wobble: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> SheetShape:
    """A cut a little higher or lower, longer or shorter."""
    up, down, wide = (float(np.clip(value, -1.5, 1.5)) for value in wobble[:3])
    top, bottom = shape.upper[0][1], shape.lower[0][1]

    def moved(edge: tuple[tuple[float, float], ...]) -> tuple[tuple[float, float], ...]:
        return tuple(
            (
                angle * (1 + 0.012 * wide),
                height + 1.6 * up * (bottom - height) / (bottom - top) + 1.2 * down * (height - top) / (bottom - top),
            )
            for angle, height in edge
        )

    return replace(shape, upper=moved(shape.upper), side=moved(shape.side), lower=moved(shape.lower))


def _random_fabric(make: Make, colour: Colour, folds: float) -> Fabric:
    is_dark = sum(colour) < 200
    sewn = make in ("cloth", "pleated", "panelled", "knit", "foam", "gaiter", "window")
    light: Colour = tuple(round(channel + 0.45 * (240 - channel)) for channel in colour)  # type: ignore[assignment]
    return Fabric(
        make,
        colour,
        trim=(176, 178, 180)
        if make.endswith("cup")
        else light
        if make.startswith("surgical") and not is_dark
        else None,
        inner=_DARK_INSIDE if is_dark else (226, 226, 224),
        elastic=colour if sewn else (40, 40, 42) if is_dark else (228, 228, 226),
        sheen=0.09 if is_dark else 0.02,
        wrinkles=folds * _wrinkles(make),
    )


def _ink(ground: Colour, hue: int, light: float) -> Colour:
    """A colour that shows on a ground: lighter on dark, darker on light."""
    angle = hue / 256 * 2 * np.pi + np.array([0, 2, 4]) * np.pi / 3
    is_dark = sum(ground) < 330
    level = 150 + 75 * light if is_dark else 50 + 70 * light
    red, green, blue = (int(np.clip(level + 45 * np.cos(a), 20, 236)) for a in angle)
    return red, green, blue
