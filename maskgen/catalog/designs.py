"""The designs that ship with maskgen, as numbers to render from.

A new design is a `DesignSpec`: how it is cut (`SheetShape`), what it is made of (`Fabric`), and a seed for its folds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from maskgen.catalog.fabric import Fabric
from maskgen.catalog.schema import Kind
from maskgen.catalog.sheet import SheetShape


@dataclass(frozen=True)
class Loops:
    """Elastic ear loops.

    Attributes
    ----------
    width_mm, thickness_mm : float
        Of the band.
    sag_mm : float
        How far the middle of the lower band hangs down.
    """

    width_mm: float = 3.2
    thickness_mm: float = 2.2
    sag_mm: float = 1.5


@dataclass(frozen=True)
class DesignSpec:
    """One design to render; the fields shared with `DesignEntry` mean the same."""

    name: str
    kind: Kind
    colour: str
    tags: tuple[str, ...]
    weight: float
    shape: SheetShape
    fabric: Fabric
    loops: Loops = Loops()
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

_BLACK: Final = (34, 34, 36)
_DARK_INSIDE: Final = (60, 60, 62)

DESIGNS: Final = (
    DesignSpec(
        "surgical-blue", "surgical", "blue", ("ear-loops", "plain", "medical"), 4.0, SURGICAL_SHAPE,
        Fabric("surgical", (160, 202, 222), trim=(190, 218, 230)), seed=1,
    ),
    DesignSpec(
        "surgical-green", "surgical", "green", ("ear-loops", "plain", "medical"), 1.0, SURGICAL_SHAPE,
        Fabric("surgical", (158, 212, 196), trim=(184, 222, 210)), seed=2,
    ),
    DesignSpec(
        "surgical-white", "surgical", "white", ("ear-loops", "plain", "medical"), 2.0, SURGICAL_SHAPE,
        Fabric("surgical", (238, 239, 240)), seed=3,
    ),
    DesignSpec(
        "surgical-black", "surgical", "black", ("ear-loops", "plain", "medical"), 1.5, SURGICAL_SHAPE,
        Fabric("surgical", _BLACK, elastic=(40, 40, 42), inner=_DARK_INSIDE, sheen=0.085, grain=0.04), seed=4,
    ),
    DesignSpec(
        "kn95-white", "kn95", "white", ("ear-loops", "plain", "respirator"), 2.0, KN95_SHAPE,
        Fabric("kn95", (240, 240, 238), wrinkles=0.25, grain=0.010), seed=5,
    ),
    DesignSpec(
        "kn95-black", "kn95", "black", ("ear-loops", "plain", "respirator"), 1.0, KN95_SHAPE,
        Fabric("kn95", _BLACK, elastic=(40, 40, 42), inner=_DARK_INSIDE, sheen=0.085, grain=0.03, wrinkles=0.25),
        seed=6,
    ),
    DesignSpec(
        "cloth-black", "cloth", "black", ("ear-loops", "plain"), 2.0, CLOTH_SHAPE,
        Fabric("cloth", (32, 32, 34), elastic=(36, 36, 38), inner=_DARK_INSIDE, sheen=0.085, grain=0.05, wrinkles=1.0),
        seed=7,
    ),
    DesignSpec(
        "cloth-grey", "cloth", "grey", ("ear-loops", "plain"), 1.0, CLOTH_SHAPE,
        Fabric("cloth", (128, 131, 136), elastic=(120, 122, 126), sheen=0.015, grain=0.035, wrinkles=0.6), seed=8,
    ),
    DesignSpec(
        "cloth-navy-dots", "cloth", "navy", ("ear-loops", "pattern"), 0.7, CLOTH_SHAPE,
        Fabric(
            "cloth", (38, 48, 82), elastic=(36, 42, 66), sheen=0.02, grain=0.03, wrinkles=0.6, pattern="dots",
        ),
        seed=9,
    ),
)  # fmt: skip
"""The designs that ship with maskgen."""
