"""The designs that ship with maskgen, as numbers to render from.

A new design is a `DesignSpec`: how it is cut (`SheetShape`), what it is made of (`Fabric`), how it is fastened
(`Straps`), and a seed for its folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from maskgen.catalog.schema import Kind, Weave
from maskgen.studio.render.cuts import Make
from maskgen.studio.render.fabric import Fabric
from maskgen.studio.render.prints import Colour
from maskgen.studio.render.shapes import (
    BANDANA_SHAPE,
    BOAT_SHAPE,
    CLOTH_SHAPE,
    CUP_SHAPE,
    DUCKBILL_SHAPE,
    FOAM_SHAPE,
    GAITER_SHAPE,
    KN95_SHAPE,
    PANELLED_SHAPE,
    PLEATED_SHAPE,
    RIBBED_SHAPE,
    SURGICAL_FLAT_SHAPE,
    SURGICAL_OPEN_SHAPE,
    SURGICAL_SHAPE,
)
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


BLACK: Final = (25, 25, 27)
DARK_INSIDE: Final = (60, 60, 62)
HEAD: Final = Straps("head", width_mm=5.5)
BROAD: Final = Straps(width_mm=7.0, inset_mm=4.0)
NONE: Final = Straps("none")

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


def wrinkles_of(make: Make) -> float:
    """How deep the creases of a make are, 1 for thin cloth."""
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
        "inner": DARK_INSIDE if is_dark else (226, 226, 224),
        "elastic": rgb if sewn else (40, 40, 42) if is_dark else (228, 228, 226),
        # Cloth so dark that only its sheen shows its folds.
        "sheen": 0.14 if sum(rgb) < 130 else 0.04 if is_dark else 0.02,
        "wrinkles": wrinkles_of(make),
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
    _design("surgical-blue", "surgical", "blue", 10.0, "surgical", (162, 203, 224), 1, trim=(206, 224, 232)),
    _design("surgical-white", "surgical", "white", 9.5, "surgical", (222, 224, 227), 1),
    _design("surgical-black", "surgical", "black", 2.0, "surgical", BLACK, 1),
    _design("surgical-green", "surgical", "green", 1.0, "surgical", (172, 214, 200), 1, trim=(208, 228, 220)),
    _design("surgical-blue-deep", "surgical", "blue", 6.0, "surgical", (116, 170, 212), 22, trim=(206, 224, 234),
            wrinkles=1.3),
    _design("surgical-pink", "surgical", "pink", 2.5, "surgical", (240, 190, 202), 22, trim=(244, 214, 222),
            wrinkles=1.3),
    _design("surgical-flowers", "surgical", "white", 0.4, "surgical", (228, 226, 222), 22, wrinkles=1.3,
            pattern="floral", prints=((150, 180, 140), (226, 150, 160), (240, 208, 120)), pattern_mm=0.8),
    _design("surgical-blue-flat", "surgical", "blue", 8.0, "surgical_flat", (178, 209, 226), 21,
            trim=(212, 226, 234)),
    _design("surgical-white-flat", "surgical", "white", 9.0, "surgical_flat", (222, 224, 228), 21),
    _design("surgical-dots", "surgical", "white", 0.4, "surgical_flat", (226, 227, 228), 21, pattern="dots",
            prints=((226, 128, 150),), pattern_mm=1.2),
    _design("surgical-black-flat", "surgical", "black", 1.2, "surgical_flat", BLACK, 21),
    _design("surgical-blue-open", "surgical", "blue", 8.0, "surgical_open", (150, 197, 222), 23, trim=(208, 226, 234),
            wrinkles=1.1),
    _design("surgical-white-open", "surgical", "white", 9.0, "surgical_open", (220, 222, 225), 23, wrinkles=1.1),
    _design("surgical-teal-open", "surgical", "teal", 1.4, "surgical_open", (148, 204, 202), 23, trim=(200, 222, 222),
            wrinkles=1.1),
    # Respirators.
    _design("kn95-white", "kn95", "white", 3.2, "kn95", (226, 226, 224), 5),
    _design("kn95-black", "kn95", "black", 0.5, "kn95", BLACK, 5),
    _design("kn95-pink", "kn95", "pink", 0.2, "kn95", (234, 186, 194), 5),
    _design("kn95-white-valve", "kn95", "white", 1.0, "kn95", (224, 225, 226), 34, valves=((-0.36, 0.56),)),
    _design("ffp2-boat-white", "kn95", "white", 1.2, "boat", (224, 225, 226), 35),
    _design("ffp2-boat-black", "kn95", "black", 0.3, "boat", BLACK, 35),
    _design("n95-cup-white", "n95_cup", "white", 0.8, "cup", (226, 225, 219), 41, HEAD, trim=(176, 178, 180),
            elastic=(226, 196, 92)),
    _design("n95-cup-white-valve", "n95_cup", "white", 0.7, "cup", (226, 226, 223), 42, HEAD, ((0.0, 0.60),),
            trim=(176, 178, 180), elastic=(222, 222, 220)),
    _design("n95-ribbed-teal", "n95_cup", "teal", 0.2, "ribbed_cup", (122, 202, 204), 43, HEAD,
            trim=(186, 190, 192), elastic=(226, 226, 224)),
    _design("n95-ribbed-white", "n95_cup", "white", 0.3, "ribbed_cup", (224, 224, 219), 43, HEAD,
            trim=(176, 178, 180), elastic=(226, 226, 224)),
    _design("duckbill-white", "duckbill", "white", 0.2, "duckbill", (222, 224, 227), 71, HEAD),
    _design("duckbill-blue", "duckbill", "blue", 0.2, "duckbill", (150, 188, 216), 71, HEAD),
    # Two panels with a seam down the middle.
    _design("cloth-black", "cloth", "black", 1.6, "cloth", BLACK, 7),
    _design("cloth-grey", "cloth", "grey", 0.8, "cloth", (128, 131, 136), 7),
    _design("cloth-navy", "cloth", "navy", 0.5, "cloth", (44, 54, 86), 7, inner=(150, 150, 156)),
    _design("cloth-red-dots", "cloth", "red", 0.2, "cloth", (186, 44, 50), 7, pattern="dots", pattern_mm=0.8,
            elastic=(228, 226, 222)),
    _design("cloth-stripes-breton", "cloth", "white", 0.3, "cloth", (232, 231, 226), 7, pattern="stripes",
            prints=((42, 52, 88),)),
    _design("cloth-floral-white", "cloth", "white", 0.5, "cloth", (236, 232, 226), 59, pattern="floral",
            prints=((112, 148, 108), (214, 110, 128), (240, 208, 120))),
    _design("cloth-floral-navy", "cloth", "navy", 0.6, "cloth", (36, 44, 74), 59, pattern="floral",
            prints=((84, 124, 104), (226, 196, 190), (222, 168, 92)), pattern_mm=0.85),
    _design("cloth-paisley-black", "cloth", "black", 0.5, "cloth", BLACK, 59, pattern="paisley", pattern_mm=1.3,
            prints=((58, 57, 56), (206, 198, 184), (206, 198, 184))),
    _design("cloth-stars-navy", "cloth", "navy", 0.3, "cloth", (40, 50, 92), 59, pattern="stars",
            prints=((228, 226, 220),)),
    # Pleated cloth, bound at the sides.
    _design("pleated-white", "cloth", "white", 1.0, "pleated", (222, 221, 215), 61),
    _design("pleated-gingham-red", "cloth", "red", 0.3, "pleated", (232, 228, 224), 61, pattern="gingham",
            prints=((176, 40, 50),), trim=(232, 230, 226)),
    _design("pleated-tartan-green", "cloth", "green", 0.3, "pleated", (44, 84, 66), 61, pattern="checks",
            prints=((26, 38, 62), (206, 190, 120)), trim=(30, 40, 48)),
    _design("pleated-flowers-yellow", "cloth", "yellow", 0.1, "pleated", (236, 206, 120), 61, pattern="floral",
            prints=((96, 138, 96), (222, 92, 84), (250, 240, 220)), pattern_mm=1.1, trim=(222, 92, 84)),
    _design("pleated-chevron-teal", "cloth", "teal", 0.3, "pleated", (226, 230, 228), 61, pattern="chevron",
            prints=((52, 128, 134),), trim=(52, 128, 134)),
    # A middle piece between curved seams, bound all round.
    _design("panelled-black", "cloth", "black", 1.2, "panelled", (29, 29, 31), 64),
    _design("panelled-emblem-black", "cloth", "black", 0.6, "panelled", (28, 28, 30), 64, pattern="emblem",
            prints=((222, 222, 218),)),
    _design("panelled-grey", "cloth", "grey", 0.5, "panelled", (150, 152, 156), 64, trim=(44, 44, 46)),
    _design("panelled-camouflage", "cloth", "green", 0.3, "panelled", (118, 116, 82), 64, pattern="camouflage",
            prints=((78, 84, 56), (92, 74, 54), (40, 42, 36)), trim=(40, 42, 36)),
    _design("panelled-tie-dye", "cloth", "pink", 0.05, "panelled", (222, 120, 168), 64, pattern="tie_dye",
            prints=((250, 214, 120), (96, 150, 214)), trim=(60, 60, 90)),
    _design("cloth-knit-grey", "cloth", "grey", 0.3, "knit", (150, 148, 146), 63, tags=("knit",)),
    _design("foam-black", "cloth", "black", 2.2, "foam", (31, 31, 33), 65, BROAD, tags=("foam",)),
    _design("foam-grey", "cloth", "grey", 1.5, "foam", (92, 97, 102), 65, BROAD, tags=("foam",)),
    _design("foam-pink", "cloth", "pink", 0.4, "foam", (222, 170, 176), 65, BROAD, tags=("foam",)),
    _design("gaiter-black", "gaiter", "black", 0.4, "gaiter", BLACK, 81, NONE),
    _design("gaiter-blue", "gaiter", "blue", 0.15, "gaiter", (66, 92, 132), 81, NONE),
    _design("gaiter-camouflage", "gaiter", "grey", 0.05, "gaiter", (150, 150, 146), 81, NONE, pattern="camouflage",
            pattern_mm=1.3, prints=((112, 114, 112), (78, 80, 80), (40, 42, 42))),
    _design("bandana-red", "gaiter", "red", 0.35, "gaiter", (160, 34, 42), 84, NONE, shape=BANDANA_SHAPE,
            pattern="paisley", pattern_mm=1.5, prints=((126, 22, 30), (232, 226, 218), (232, 226, 218))),
    _design("window-black", "transparent", "black", 0.15, "window", BLACK, 91),
    _design("window-blue", "transparent", "blue", 0.1, "window", (134, 176, 206), 91, elastic=(228, 228, 226)),
)  # fmt: skip
"""The designs that ship with maskgen."""
