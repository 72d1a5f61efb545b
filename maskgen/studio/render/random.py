"""Designs whose cut, colours, pattern, folds and valves are drawn at random."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, get_args

import numpy as np

from maskgen.catalog.schema import Kind
from maskgen.errors import CatalogError
from maskgen.studio.render.cuts import Make
from maskgen.studio.render.designs import BLACK, BROAD, DARK_INSIDE, HEAD, NONE, DesignSpec, Straps, wrinkles_of
from maskgen.studio.render.fabric import Fabric
from maskgen.studio.render.prints import Colour, Print
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

COLOURS: Final[dict[str, Colour]] = {
    "black": BLACK,
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
    "n95_cup": (("cup", CUP_SHAPE, HEAD), ("ribbed_cup", RIBBED_SHAPE, HEAD)),
    "cloth": (
        ("cloth", CLOTH_SHAPE, Straps()),
        ("pleated", PLEATED_SHAPE, Straps()),
        ("panelled", PANELLED_SHAPE, Straps()),
        ("knit", CLOTH_SHAPE, Straps()),
        ("foam", FOAM_SHAPE, BROAD),
    ),
    "duckbill": (("duckbill", DUCKBILL_SHAPE, HEAD), ("duckbill", DUCKBILL_SHAPE, Straps())),
    "gaiter": (("gaiter", GAITER_SHAPE, NONE), ("gaiter", BANDANA_SHAPE, NONE)),
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
        inner=DARK_INSIDE if is_dark else (226, 226, 224),
        elastic=colour if sewn else (40, 40, 42) if is_dark else (228, 228, 226),
        sheen=0.09 if is_dark else 0.02,
        wrinkles=folds * wrinkles_of(make),
    )


def _ink(ground: Colour, hue: int, light: float) -> Colour:
    """A colour that shows on a ground: lighter on dark, darker on light."""
    angle = hue / 256 * 2 * np.pi + np.array([0, 2, 4]) * np.pi / 3
    is_dark = sum(ground) < 330
    level = 150 + 75 * light if is_dark else 50 + 70 * light
    red, green, blue = (int(np.clip(level + 45 * np.cos(a), 20, 236)) for a in angle)
    return red, green, blue
