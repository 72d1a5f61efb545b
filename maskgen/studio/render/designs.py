"""The designs that ship with maskgen, as numbers to render from, and random ones.

A new design is a `DesignSpec`: how it is cut (`SheetShape`), what it is made of (`Fabric`), how it is fastened
(`Straps`), and a seed for its folds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, get_args

import numpy as np

from maskgen.catalog.schema import Kind
from maskgen.errors import CatalogError
from maskgen.studio.render.fabric import Colour, Fabric, Make, Print
from maskgen.studio.render.sheet import SheetShape


@dataclass(frozen=True)
class Straps:
    """What holds a mask.

    Attributes
    ----------
    style : {"ears", "head", "none"}
        Loops to the ears, two bands round the head, or nothing.
    width_mm, thickness_mm : float
        Of the band.
    sag_mm : float
        How far the middle of a lower ear loop hangs down.
    inset_mm : float
        How far inside the corner an ear loop is fastened.
    """

    style: Literal["ears", "head", "none"] = "ears"
    width_mm: float = 3.2
    thickness_mm: float = 2.2
    sag_mm: float = 1.5
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
    upper=((0, 12), (5, 13.5), (10, 17.5), (20, 22.5), (40, 24), (62, 25)),
    side=((62, 25), (61, 40), (59, 65), (56, 88)),
    lower=((0, 129), (15, 127.5), (30, 121), (45, 107), (56, 88)),
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
    upper=((0, 14), (5, 15.5), (10, 19), (20, 24), (40, 27), (61, 29)),
    side=((61, 29), (60, 45), (58, 64), (56, 82)),
    lower=((0, 124), (12, 122), (24, 115), (40, 101), (56, 82)),
    tent_mm=18.0,
)
KN95_SHAPE: Final = SheetShape(
    upper=((0, 8), (5, 11), (10, 17), (20, 25), (40, 31), (60, 34)),
    side=((60, 34), (60.5, 55), (58, 78)),
    lower=((0, 128), (15, 127), (30, 121), (45, 106), (58, 78)),
    clearance_mm=1.8,
    pressure=4.0,
    stiffness=0.3,
    ridge=((26, 56), (44, 64), (60, 66), (80, 59), (102, 46), (120, 29)),
    wire_reach_deg=26,
)
BOAT_SHAPE: Final = SheetShape(
    upper=((0, 7), (5, 10), (10, 16), (20, 25), (40, 36), (64, 45)),
    side=((64, 45), (65, 56), (63, 68)),
    lower=((0, 129), (15, 127), (30, 118), (45, 100), (63, 68)),
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
CLOTH_SHAPE: Final = SheetShape(
    upper=((0, 9), (5, 12), (10, 17), (22, 24), (40, 26), (63, 22)),
    side=((63, 22), (62.5, 45), (60, 68)),
    lower=((0, 129), (15, 127.5), (30, 121), (45, 105), (60, 68)),
    clearance_mm=1.8,
    pressure=4.0,
    stiffness=0.25,
    ridge=((24, 53), (36, 57), (52, 57), (72, 53), (95, 43), (116, 31)),
    wire_reach_deg=18,
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
    upper=((0, 8), (5, 11), (10, 17), (20, 25), (38, 33), (55, 40)),
    side=((55, 40), (56, 58), (54, 80)),
    lower=((0, 128), (15, 127), (30, 121), (43, 107), (54, 80)),
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
_MEDICAL: Final = ("ear-loops", "plain", "medical")
_RESPIRATOR: Final = ("ear-loops", "plain", "respirator")
_CLOTH_PLAIN: Final = ("ear-loops", "plain")
_CLOTH_PRINT: Final = ("ear-loops", "pattern")
_HEAD: Final = Straps("head", width_mm=5.5, thickness_mm=1.6)
_BROAD: Final = Straps(width_mm=7.0, thickness_mm=1.6, inset_mm=4.0)
_NONE: Final = Straps("none")


def _dark(make: str, colour: Colour = _BLACK, **more: object) -> Fabric:
    """Cloth so dark that only its sheen shows its folds."""
    options = {"elastic": (40, 40, 42), "inner": _DARK_INSIDE, "sheen": 0.085, "grain": 0.035, **more}
    return Fabric(make, colour, **options)  # type: ignore[arg-type]


def _surgical(colour: Colour, trim: Colour | None = None, make: str = "surgical", **more: object) -> Fabric:
    return Fabric(make, colour, trim=trim, grain=0.010, **more)  # type: ignore[arg-type]


def _stiff(make: str, colour: Colour, **more: object) -> Fabric:
    return Fabric(make, colour, wrinkles=0.25, grain=0.008, **more)  # type: ignore[arg-type]


def _soft(colour: Colour, make: str = "cloth", **more: object) -> Fabric:
    """Sewn cloth; its ear loops take its colour."""
    options = {"elastic": colour, "sheen": 0.015, "grain": 0.022, "wrinkles": 0.6, **more}
    return Fabric(make, colour, **options)  # type: ignore[arg-type]


DESIGNS: Final = (
    DesignSpec("surgical-blue", "surgical", "blue", _MEDICAL, 8.0, SURGICAL_SHAPE,
               _surgical((160, 202, 222), (190, 218, 230)), seed=1),
    DesignSpec("surgical-blue-flat", "surgical", "blue", _MEDICAL, 4.0, SURGICAL_FLAT_SHAPE,
               _surgical((150, 196, 224), (196, 220, 232), "surgical_flat"), seed=21),
    DesignSpec("surgical-blue-deep", "surgical", "blue", _MEDICAL, 3.0, SURGICAL_SHAPE,
               _surgical((104, 166, 214), (214, 224, 232), wrinkles=1.3), seed=22),
    DesignSpec("surgical-green", "surgical", "green", _MEDICAL, 2.0, SURGICAL_SHAPE,
               _surgical((158, 212, 196), (184, 222, 210)), seed=2),
    DesignSpec("surgical-white", "surgical", "white", _MEDICAL, 4.0, SURGICAL_SHAPE,
               _surgical((238, 239, 240)), seed=3),
    DesignSpec("surgical-white-flat", "surgical", "white", _MEDICAL, 2.0, SURGICAL_FLAT_SHAPE,
               _surgical((236, 238, 242), make="surgical_flat"), seed=23),
    DesignSpec("surgical-black", "surgical", "black", _MEDICAL, 3.0, SURGICAL_SHAPE, _dark("surgical"), seed=4),
    DesignSpec("surgical-black-flat", "surgical", "black", _MEDICAL, 1.0, SURGICAL_FLAT_SHAPE,
               _dark("surgical_flat"), seed=24),
    DesignSpec("surgical-pink", "surgical", "pink", _MEDICAL, 1.0, SURGICAL_SHAPE,
               _surgical((240, 192, 204), (244, 212, 220)), seed=25),
    DesignSpec("surgical-lavender", "surgical", "lavender", _MEDICAL, 0.5, SURGICAL_FLAT_SHAPE,
               _surgical((198, 190, 224), (212, 206, 230), "surgical_flat"), seed=26),
    DesignSpec("surgical-grey", "surgical", "grey", _MEDICAL, 0.7, SURGICAL_SHAPE,
               _surgical((150, 154, 160), (160, 164, 170)), seed=27),
    DesignSpec("surgical-dots", "surgical", "white", ("ear-loops", "pattern", "medical"), 0.4, SURGICAL_FLAT_SHAPE,
               _surgical((238, 239, 240), make="surgical_flat", pattern="dots", prints=((226, 128, 150),),
                         pattern_mm=1.2), seed=28),
    DesignSpec("kn95-white", "kn95", "white", _RESPIRATOR, 4.0, KN95_SHAPE, _stiff("kn95", (240, 240, 238)), seed=5),
    DesignSpec("kn95-black", "kn95", "black", _RESPIRATOR, 2.0, KN95_SHAPE, _dark("kn95", wrinkles=0.25), seed=6),
    DesignSpec("kn95-grey", "kn95", "grey", _RESPIRATOR, 0.7, KN95_SHAPE,
               _stiff("kn95", (142, 146, 152), elastic=(132, 136, 142)), seed=31),
    DesignSpec("kn95-blue", "kn95", "blue", _RESPIRATOR, 0.5, KN95_SHAPE, _stiff("kn95", (126, 168, 206)), seed=32),
    DesignSpec("kn95-pink", "kn95", "pink", _RESPIRATOR, 0.5, KN95_SHAPE, _stiff("kn95", (234, 186, 194)), seed=33),
    DesignSpec("kn95-white-valve", "kn95", "white", (*_RESPIRATOR, "valve"), 0.7, KN95_SHAPE,
               _stiff("kn95", (238, 239, 240)), valves=((-0.36, 0.56),), seed=34),
    DesignSpec("ffp2-boat-white", "kn95", "white", _RESPIRATOR, 1.5, BOAT_SHAPE, _stiff("boat", (240, 240, 240)),
               seed=35),
    DesignSpec("ffp2-boat-black", "kn95", "black", _RESPIRATOR, 0.8, BOAT_SHAPE, _dark("boat", wrinkles=0.25),
               seed=36),
    DesignSpec("n95-cup-white", "n95_cup", "white", ("head-straps", "plain", "respirator"), 1.0, CUP_SHAPE,
               Fabric("cup", (238, 237, 232), trim=(176, 178, 180), elastic=(226, 196, 92), wrinkles=0.0), _HEAD,
               seed=41),
    DesignSpec("n95-cup-white-valve", "n95_cup", "white", ("head-straps", "plain", "respirator", "valve"), 0.8,
               CUP_SHAPE, Fabric("cup", (238, 238, 236), trim=(176, 178, 180), elastic=(222, 222, 220), wrinkles=0.0),
               _HEAD, ((0.0, 0.60),), seed=42),
    DesignSpec("n95-cup-teal", "n95_cup", "teal", ("head-straps", "plain", "respirator"), 0.4, CUP_SHAPE,
               Fabric("cup", (150, 200, 196), trim=(176, 178, 180), elastic=(226, 226, 224), wrinkles=0.0), _HEAD,
               seed=43),
    DesignSpec("n95-cup-grey-valve", "n95_cup", "grey", ("head-straps", "plain", "respirator", "valve"), 0.3,
               CUP_SHAPE, Fabric("cup", (158, 160, 164), trim=(120, 122, 126), elastic=(60, 60, 62), wrinkles=0.0),
               _HEAD, ((0.0, 0.60),), (48, 48, 50), seed=44),
    DesignSpec("cloth-black", "cloth", "black", _CLOTH_PLAIN, 4.0, CLOTH_SHAPE, _dark("cloth"), seed=7),
    DesignSpec("cloth-grey", "cloth", "grey", _CLOTH_PLAIN, 1.5, CLOTH_SHAPE, _soft((128, 131, 136)), seed=8),
    DesignSpec("cloth-white", "cloth", "white", _CLOTH_PLAIN, 1.0, CLOTH_SHAPE,
               _soft((234, 233, 228), wrinkles=0.9), seed=51),
    DesignSpec("cloth-navy", "cloth", "navy", _CLOTH_PLAIN, 1.0, CLOTH_SHAPE,
               _soft((44, 54, 86), inner=(150, 150, 156)), seed=52),
    DesignSpec("cloth-red", "cloth", "red", _CLOTH_PLAIN, 0.6, CLOTH_SHAPE,
               _soft((168, 40, 48), elastic=(224, 222, 220)), seed=53),
    DesignSpec("cloth-navy-dots", "cloth", "navy", _CLOTH_PRINT, 0.6, CLOTH_SHAPE,
               _soft((38, 48, 82), pattern="dots"), seed=9),
    DesignSpec("cloth-red-dots", "cloth", "red", _CLOTH_PRINT, 0.4, CLOTH_SHAPE,
               _soft((186, 44, 50), pattern="dots", pattern_mm=0.8, elastic=(228, 226, 222)), seed=54),
    DesignSpec("cloth-stripes-breton", "cloth", "white", _CLOTH_PRINT, 0.5, CLOTH_SHAPE,
               _soft((232, 231, 226), pattern="stripes", prints=((42, 52, 88),)), seed=55),
    DesignSpec("cloth-stripes-blue", "cloth", "blue", _CLOTH_PRINT, 0.4, CLOTH_SHAPE,
               _soft((108, 146, 186), pattern="stripes", pattern_mm=0.6), seed=56),
    DesignSpec("cloth-gingham-red", "cloth", "red", _CLOTH_PRINT, 0.4, CLOTH_SHAPE,
               _soft((232, 228, 224), pattern="gingham", prints=((176, 40, 50),)), seed=57),
    DesignSpec("cloth-tartan-green", "cloth", "green", _CLOTH_PRINT, 0.4, CLOTH_SHAPE,
               _soft((44, 84, 66), pattern="checks", prints=((26, 38, 62), (206, 190, 120))), seed=58),
    DesignSpec("cloth-floral-white", "cloth", "white", _CLOTH_PRINT, 0.6, CLOTH_SHAPE,
               _soft((236, 232, 226), pattern="floral", prints=((112, 148, 108), (214, 110, 128), (240, 208, 120))),
               seed=59),
    DesignSpec("cloth-floral-navy", "cloth", "navy", _CLOTH_PRINT, 0.6, CLOTH_SHAPE,
               _soft((36, 44, 74), pattern="floral", prints=((84, 124, 104), (226, 196, 190), (222, 168, 92)),
                     pattern_mm=0.85), seed=60),
    DesignSpec("cloth-paisley-black", "cloth", "black", _CLOTH_PRINT, 0.4, CLOTH_SHAPE,
               _dark("cloth", pattern="paisley", pattern_mm=1.3,
                     prints=((58, 57, 56), (206, 198, 184), (206, 198, 184))), seed=61),
    DesignSpec("cloth-camouflage", "cloth", "green", _CLOTH_PRINT, 0.4, CLOTH_SHAPE,
               _soft((118, 116, 82), pattern="camouflage", prints=((78, 84, 56), (92, 74, 54), (40, 42, 36))), seed=62),
    DesignSpec("cloth-knit-grey", "cloth", "grey", ("ear-loops", "plain", "knit"), 0.4, CLOTH_SHAPE,
               _soft((150, 148, 146), "knit", wrinkles=0.3), seed=63),
    DesignSpec("cloth-knit-burgundy", "cloth", "burgundy", ("ear-loops", "plain", "knit"), 0.3, CLOTH_SHAPE,
               _soft((112, 36, 50), "knit", wrinkles=0.3), seed=64),
    DesignSpec("foam-black", "cloth", "black", ("ear-loops", "plain", "foam"), 3.0, FOAM_SHAPE,
               _dark("foam", (40, 40, 43), wrinkles=0.35, elastic=(40, 40, 43)), _BROAD, seed=65),
    DesignSpec("foam-grey", "cloth", "grey", ("ear-loops", "plain", "foam"), 1.5, FOAM_SHAPE,
               _soft((92, 97, 102), "foam", wrinkles=0.35), _BROAD, seed=66),
    DesignSpec("foam-pink", "cloth", "pink", ("ear-loops", "plain", "foam"), 0.4, FOAM_SHAPE,
               _soft((222, 170, 176), "foam", wrinkles=0.35), _BROAD, seed=67),
    DesignSpec("duckbill-white", "duckbill", "white", ("head-straps", "plain", "respirator"), 0.4, DUCKBILL_SHAPE,
               _stiff("duckbill", (236, 238, 240)), _HEAD, seed=71),
    DesignSpec("duckbill-blue", "duckbill", "blue", _RESPIRATOR, 0.4, DUCKBILL_SHAPE,
               _stiff("duckbill", (150, 188, 216)), seed=72),
    DesignSpec("gaiter-black", "gaiter", "black", ("plain",), 0.8, GAITER_SHAPE,
               _dark("gaiter", wrinkles=0.4), _NONE, seed=81),
    DesignSpec("gaiter-blue", "gaiter", "blue", ("plain",), 0.4, GAITER_SHAPE,
               _soft((66, 92, 132), "gaiter", wrinkles=0.4), _NONE, seed=82),
    DesignSpec("gaiter-camouflage", "gaiter", "grey", ("pattern",), 0.3, GAITER_SHAPE,
               _soft((150, 150, 146), "gaiter", wrinkles=0.4, pattern="camouflage", pattern_mm=1.3,
                     prints=((112, 114, 112), (78, 80, 80), (40, 42, 42))), _NONE, seed=83),
    DesignSpec("bandana-red", "gaiter", "red", ("pattern",), 0.4, BANDANA_SHAPE,
               _soft((160, 34, 42), "gaiter", wrinkles=0.5, pattern="paisley", pattern_mm=1.5,
                     prints=((126, 22, 30), (232, 226, 218), (232, 226, 218))), _NONE, seed=84),
    DesignSpec("window-black", "transparent", "black", ("ear-loops", "window"), 0.4, CLOTH_SHAPE,
               _dark("window", wrinkles=0.4), seed=91),
    DesignSpec("window-blue", "transparent", "blue", ("ear-loops", "window"), 0.3, CLOTH_SHAPE,
               _soft((134, 176, 206), "window", wrinkles=0.4, elastic=(228, 228, 226)), seed=92),
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
        ("surgical", SURGICAL_SHAPE, Straps()),
        ("surgical_flat", SURGICAL_FLAT_SHAPE, Straps()),
    ),
    "kn95": (("kn95", KN95_SHAPE, Straps()), ("boat", BOAT_SHAPE, Straps())),
    "n95_cup": (("cup", CUP_SHAPE, _HEAD),),
    "cloth": (
        ("cloth", CLOTH_SHAPE, Straps()),
        ("cloth", CLOTH_SHAPE, Straps()),
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
_PRINTS: Final = {"camouflage": 3, "checks": 2, "floral": 3, "paisley": 3}


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
    fabric = _random_fabric(make, rgb, float(folds) * (0.25 if respirator else 0.6 if kind != "surgical" else 1.0))
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


def _random_fabric(make: Make, colour: Colour, wrinkles: float) -> Fabric:
    is_dark = sum(colour) < 200
    sewn = make in ("cloth", "knit", "foam", "gaiter", "window")
    light: Colour = tuple(round(channel + 0.45 * (240 - channel)) for channel in colour)  # type: ignore[assignment]
    return Fabric(
        make,
        colour,
        trim=(176, 178, 180) if make == "cup" else light if make.startswith("surgical") and not is_dark else None,
        inner=_DARK_INSIDE if is_dark else (226, 226, 224),
        elastic=colour if sewn else (40, 40, 42) if is_dark else (228, 228, 226),
        sheen=0.07 if is_dark else 0.02,
        grain=0.03 if is_dark else 0.02 if sewn else 0.01,
        wrinkles=0.0 if make == "cup" else wrinkles,
    )


def _ink(ground: Colour, hue: int, light: float) -> Colour:
    """A colour that shows on a ground: lighter on dark, darker on light."""
    angle = hue / 256 * 2 * np.pi + np.array([0, 2, 4]) * np.pi / 3
    is_dark = sum(ground) < 330
    level = 150 + 75 * light if is_dark else 50 + 70 * light
    red, green, blue = (int(np.clip(level + 45 * np.cos(a), 20, 236)) for a in angle)
    return red, green, blue
