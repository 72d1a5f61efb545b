"""How masks are cut and sewn: pleats, seams, hems, welds, wires and ribs as relief over a sheet.

Convention
----------
(R, C) arrays over the vertices of a `Sheet`; heights are millimetres away from the head.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np

from maskgen.arrays import Float64Array
from maskgen.studio.render.prints import along_skin
from maskgen.studio.render.relief import along_rim, bump, fold, loose, noise, noise_across, rim, step, stitches, welds
from maskgen.studio.render.sheet import Sheet

Make = Literal[
    "surgical",
    "surgical_flat",
    "surgical_open",
    "kn95",
    "boat",
    "cup",
    "ribbed_cup",
    "cloth",
    "pleated",
    "panelled",
    "knit",
    "foam",
    "duckbill",
    "gaiter",
    "window",
    "picture",
]


@dataclass
class Cut:
    """What a mask's cut does to its sheet.

    Attributes
    ----------
    relief : (R, C) array
        Millimetres away from the head.
    tone : (R, C) array
        Factor of the albedo: thread, pressed places, dirt of seams.
    trim : (R, C) array
        Share of the trim's colour, 0 to 1.
    layers : (R, C) array
        How many layers of cloth lie on each other beyond one: thin cloth is deeper in colour there.
    """

    relief: Float64Array
    tone: Float64Array
    trim: Float64Array
    layers: Float64Array


def _bare(sheet: Sheet, waviness: float, rng: np.random.Generator) -> Cut:
    flat = np.zeros(sheet.from_upper.shape)
    return Cut(waviness * noise(sheet, 24.0, 15.0, rng) * loose(sheet), flat + 1.0, flat, flat)


@dataclass(frozen=True)
class _Pleats:
    """Folds that lie over each other like tiles and open downwards.

    Attributes
    ----------
    at : tuple of (middle, side)
        Where each lip lies, as shares of the cloth's height.
    open_mm : tuple of float
        How wide each opens in the middle: what is then seen of its underside.
    lip_mm : float
        How thick the folded edge is.
    """

    at: tuple[tuple[float, float], ...]
    open_mm: tuple[float, ...]
    lip_mm: float = 1.2


# Strips hold the pleats together at the sides, the chin opens them: they spread from there like a bow.
_THREE: Final = _Pleats(((0.30, 0.37), (0.51, 0.51), (0.735, 0.655)), (2.4, 3.4, 4.6))
_THREE_FLAT: Final = _Pleats(((0.30, 0.30), (0.50, 0.50), (0.69, 0.68)), (0.7, 0.9, 1.4), 1.0)
_THREE_WIDE: Final = _Pleats(((0.28, 0.43), (0.50, 0.53), (0.755, 0.63)), (4.4, 6.0, 8.0), 1.4)
_TWO_SEWN: Final = _Pleats(((0.36, 0.35), (0.62, 0.62)), (2.6, 3.6), 2.0)


def _pleated(cut: Cut, sheet: Sheet, pleats: _Pleats, rng: np.random.Generator) -> Float64Array:
    """Pleats laid on a cut; (R, C) how far each place stands open, 0 to 1."""
    side = np.abs(sheet.columns)
    drop = sheet.from_upper[-1:]
    undersides = np.zeros_like(cut.relief)
    for (middle, at_side), open_mm in zip(pleats.at, pleats.open_mm, strict=True):
        line = middle + (at_side - middle) * side**1.6 + 0.006 * noise_across(sheet, 30.0, rng)
        line = line + 0.0025 * noise_across(sheet, 9.0, rng)
        below = (sheet.rows - line) * drop
        gape = np.maximum(1 - side**2.0 * 1.12, 0) * (1 + 0.22 * noise_across(sheet, 26.0, rng))
        width = 0.45 + open_mm * gape
        # Nobody's pleats stand up evenly: here one lies pressed flat, there it is pulled open.
        stands = np.clip(0.72 + 0.34 * noise_across(sheet, 46.0, rng), 0.25, 1.15)
        lip = (pleats.lip_mm + 0.42 * open_mm * gape) * (1 + 0.14 * noise_across(sheet, 14.0, rng)) * stands
        # The panel above rises towards its lip; from there its underside falls back to the next panel.
        rising = np.exp(np.minimum(below, 0) / (7.0 + 1.2 * open_mm))
        falling = np.clip(1 - below / width, 0, 1)
        cut.relief = cut.relief + lip * np.where(below < 0, rising, falling)
        underside = step(below + 0.15, 0.18) * step(width - below, 0.35) * stands
        undersides = np.maximum(undersides, underside)
        # The fold's inner edge, where no light gets to.
        dark = (0.10 + 0.12 * gape) * stands
        cut.tone = cut.tone * (1 - dark * bump(below - 0.75 * width, 0.45 + 0.22 * width))
        # Bright where light catches the folded edge.
        cut.tone = cut.tone * (1 + 0.05 * bump(below + 0.7, 0.5))
        doubled = step(below + 9.0, 0.4) * step(-below, 0.25)
        cut.layers = cut.layers + doubled * (1 - 0.55 * gape)
    # What lies below the lowest pleat is tucked under the chin, and turned away from the light.
    lowest, at_side = pleats.at[-1]
    below = sheet.rows - (lowest + (at_side - lowest) * side**1.6)
    tucked = step(below, 0.012) * (0.35 + 0.65 * np.clip(1 - side**2.0, 0, 1)) * min(pleats.open_mm[-1] / 4.6, 1.0)
    cut.tone = cut.tone * (1 - 0.08 * undersides) * (1 - 0.13 * tucked)
    return undersides


def _tents(cut: Cut, sheet: Sheet, pleats: _Pleats, height: float, rng: np.random.Generator) -> None:
    """Flat-faced triangles that stand up where pleats come together at the sides."""
    for edge in (-1, 1):
        for number, (_, at_side) in enumerate(pleats.at):
            start = edge * rng.uniform(0.88, 0.92), at_side + rng.uniform(-0.01, 0.01)
            reach = rng.uniform(0.30, 0.52)
            lean = (0.07, 0.10, 0.13)[number % 3] * rng.uniform(0.6, 1.4)
            cut.relief = cut.relief + fold(
                sheet, start, (edge * reach, at_side + lean), 5.5, height * rng.uniform(0.6, 1.3), 0.9
            )
            cut.relief = cut.relief + fold(
                sheet, start, (edge * (reach + 0.12), at_side - 0.10), 4.0, -0.6 * height * rng.uniform(0.5, 1.2), 0.8
            )


def _pulled(cut: Cut, sheet: Sheet, height: float, rng: np.random.Generator) -> None:
    """Loops pull at the corners: broad folds run from there across the cheeks, one deeper than the other."""
    for edge in (-1, 1):
        for at, towards in ((0.04, rng.uniform(0.40, 0.60)), (0.94, rng.uniform(0.42, 0.62))):
            goal = edge * rng.uniform(0.05, 0.30), towards
            depth = height * rng.uniform(0.25, 1.0)
            cut.relief = cut.relief + fold(sheet, (edge * 0.94, at), goal, rng.uniform(6.0, 10.0), depth, 0.85)


def _surgical(sheet: Sheet, rng: np.random.Generator, pleats: _Pleats = _THREE, tent: float = 1.5) -> Cut:
    """Stacked pleats, a pressed band above with a wire in it, strips welded over the folded sides."""
    cut = _bare(sheet, 0.35, rng)
    _pleated(cut, sheet, pleats, rng)
    _tents(cut, sheet, pleats, tent, rng)
    _pulled(cut, sheet, tent, rng)
    upper, lower = step(11.5 - sheet.from_upper, 0.25), step(6.5 - sheet.from_lower, 0.25)
    strip = step(9.5 - sheet.from_side, 0.25)
    # Strips hold the folds flat.
    cut.relief = cut.relief * (1 - 0.45 * strip) + 0.9 * strip + 0.45 * np.maximum(upper, lower)
    reach = np.abs(sheet.across)
    wire = step(54 - reach, 1.0) * bump(sheet.from_upper - 5.5, 1.7)
    cut.relief = cut.relief + 0.85 * wire
    # The wire is pinched beside the nose and bends away there.
    for off, depth in ((13.0, -1.3), (25.0, 0.7)):
        pinch = bump(reach - off, 4.0) * np.exp(-sheet.from_upper / 9.0)
        cut.relief = cut.relief + depth * pinch * (1 + 0.2 * noise_across(sheet, 40.0, rng))
    # Rows of pressed dots: two over the wire, one below, two on each strip.
    dots = welds(sheet.from_upper, 2.2, sheet.across) + welds(sheet.from_upper, 9.6, sheet.across)
    dots = dots + welds(sheet.from_lower, 4.2, sheet.across)
    for line in (2.0, 4.8, 7.6):
        dots = dots + welds(sheet.from_side, line, sheet.from_upper, 2.2)
    dots = np.clip(dots, 0, 1)
    cut.relief = cut.relief - 0.28 * dots
    cut.tone = cut.tone * (1 - 0.10 * dots) * (1 - 0.09 * bump(sheet.from_upper - 12.1, 0.7))
    # The strips end in a step.
    cut.tone = cut.tone * (1 - 0.16 * np.exp(-np.maximum(sheet.from_side - 9.5, 0) / 1.3) * (1 - strip))
    cut.layers = cut.layers + 0.7 * lower + 0.9 * strip
    cut.trim = np.maximum(np.maximum(0.85 * upper, 0.6 * lower), 0.85 * strip)
    return cut


def _kn95(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """Two stiff panels welded along a ridge, heat seals along the edges and across the cheeks, a wire."""
    off_middle = np.abs(sheet.across)
    cut = _bare(sheet, 0.5, rng)
    side = np.abs(sheet.columns)
    # A lip where the panels meet, pressed flat beside it.
    cut.relief = cut.relief + 1.5 * bump(off_middle, 1.0) - 0.5 * bump(off_middle - 3.2, 1.4)
    edge = rim(sheet)
    cut.relief = cut.relief - 0.8 * step(6.5 - edge, 0.35)
    along = along_rim(sheet)
    seals = welds(edge, 2.6, along, 3.2) + welds(edge, 5.0, along, 3.2) + welds(off_middle, 3.2, sheet.from_upper, 3.2)
    # Two seals run from the ridge to the ears and stiffen the panels.
    for middle, outer in ((0.20, 0.34), (0.82, 0.62)):
        line = (sheet.rows - middle - (outer - middle) * side**0.9) * sheet.from_upper[-1:]
        seals = seals + welds(np.abs(line), 0.0, sheet.across, 3.2) * step(side - 0.04, 0.01)
        cut.relief = cut.relief + (0.5 if middle < 0.5 else -0.5) * np.tanh(line / 2.0) * bump(line, 9.0)
    seals = np.clip(seals, 0, 1)
    cut.relief = cut.relief - 0.5 * seals
    cut.tone = cut.tone * (1 - 0.12 * seals) * (1 - 0.10 * bump(off_middle - 1.7, 0.6))
    wire = bump(np.maximum(np.abs(sheet.from_upper - 9.5) - 1.6, 0), 0.6) * step(44 - off_middle, 0.6)
    cut.relief = cut.relief + 0.9 * wire
    for k in range(3):
        for edge_side in (-1, 1):
            start = edge_side * rng.uniform(0.8, 0.95), rng.uniform(0.1, 0.9)
            goal = edge_side * rng.uniform(0.25, 0.5), rng.uniform(0.25, 0.8)
            cut.relief = cut.relief + fold(sheet, start, goal, 3.0, rng.uniform(-0.9, 0.9) * (1 - 0.1 * k), 0.9)
    return cut


def _boat(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """Three stiff panels, folded along two lines across the front, with welded edges and a wire."""
    off_middle, side = np.abs(sheet.across), np.abs(sheet.columns)
    cut = _bare(sheet, 0.4, rng)
    drop = sheet.from_upper[-1:]
    for at, bow, sign in ((0.335, -0.10, 1.0), (0.685, 0.12, -1.0)):
        off = (sheet.rows - at - bow * side**1.8) * drop
        inside = np.maximum(off * sign, 0)
        cut.relief = cut.relief + 2.4 * (1 - 0.75 * side) * np.exp(-np.abs(off) / 6.0)
        # The middle panel begins with a welded seam.
        cut.relief = cut.relief + 0.7 * bump(off, 0.9) - 0.4 * bump(inside - 2.6, 0.8)
        cut.tone = cut.tone * (1 - 0.26 * bump(off - 0.9, 0.6)) * (1 - 0.06 * bump(inside - 2.6, 0.7))
        cut.tone = cut.tone * (1 - 0.08 * np.exp(-inside / 3.0) * (inside > 0))
    edge = rim(sheet)
    cut.relief = cut.relief - 0.7 * step(5.0 - edge, 0.35)
    dots = np.clip(welds(edge, 2.4, along_rim(sheet), 2.6) + welds(sheet.from_side, 8.0, sheet.from_upper), 0, 1)
    cut.relief = cut.relief - 0.4 * dots + 0.9 * bump(sheet.from_upper - 8.0, 2.0) * step(42 - off_middle, 0.8)
    cut.tone = cut.tone * (1 - 0.11 * dots)
    for edge_side in (-1, 1):
        for height in (0.3, 0.5, 0.7):
            goal = edge_side * rng.uniform(0.35, 0.6), height + rng.uniform(-0.08, 0.08)
            start = edge_side * 0.97, 0.5 + rng.uniform(-0.1, 0.1)
            cut.relief = cut.relief + fold(sheet, start, goal, 4.0, rng.uniform(-1.2, 1.2), 0.9)
    return cut


def _cup(sheet: Sheet, rng: np.random.Generator, ribs: int = 0) -> Cut:
    """A moulded shell: a pressed rim like a brim, ribs or a raised front, a fibrous skin, a metal clip."""
    edge = rim(sheet)
    cut = _bare(sheet, 0.0, rng)
    cut.relief = 0.18 * noise(sheet, 9.0, 9.0, rng) - 1.9 * step(6.0 - edge, 0.4)
    cut.tone = cut.tone * (1 - 0.22 * bump(edge - 6.4, 0.8)) * (1 + 0.02 * noise(sheet, 2.4, 2.4, rng))
    side, drop = np.abs(sheet.columns), sheet.from_upper[-1:]
    if ribs:
        for number in range(ribs):
            at = 0.22 + 0.56 * number / (ribs - 1)
            off = (sheet.rows - at - 0.05 * side**2 * (at - 0.45)) * drop
            reach = step(0.80 - side, 0.03)
            cut.relief = cut.relief + 1.5 * bump(off, 1.9) * reach
            cut.tone = cut.tone * (1 - 0.10 * bump(off - 3.0, 1.2) * reach)
    else:
        # A raised panel: its border is pressed in.
        border = np.hypot(side / 0.62, (sheet.rows - 0.5) / 0.34) - 1
        cut.relief = cut.relief + 1.1 * step(-border, 0.05) - 0.5 * bump(border, 0.05)
        cut.tone = cut.tone * (1 - 0.07 * bump(border - 0.02, 0.035))
    dots = welds(edge, 3.2, along_rim(sheet), 2.4)
    cut.relief = cut.relief - 0.3 * dots
    cut.tone = cut.tone * (1 - 0.07 * dots)
    clip = np.exp(-((np.abs(sheet.from_upper - 8.8) / 2.4) ** 6)) * step(34 - np.abs(sheet.across), 0.4)
    cut.relief = cut.relief + 1.0 * clip
    cut.tone = cut.tone * (
        1 - 0.25 * bump(np.abs(sheet.from_upper - 8.8) - 2.7, 0.35) * step(34 - np.abs(sheet.across), 0.4)
    )
    cut.trim = clip
    return cut


def _hemmed(cut: Cut, sheet: Sheet, width: float = 6.5) -> None:
    """A hem turned over along every edge, with a row of stitches."""
    edge = rim(sheet)
    cut.relief = cut.relief + 0.7 * step(width - edge, 0.25) - 0.35 * bump(edge - width + 1.2, 0.8)
    thread = stitches(edge, width - 1.2, along_rim(sheet))
    cut.relief = cut.relief - 0.35 * thread
    cut.tone = cut.tone * (1 - 0.17 * thread) * (1 - 0.10 * bump(edge - width - 0.5, 0.6))


def _gathered(cut: Cut, sheet: Sheet, depth: float, rng: np.random.Generator) -> None:
    """Small folds at the sides, where elastic draws the cloth together."""
    sway = 2.0 * noise(sheet, 30.0, 14.0, rng)
    waves = np.sin(2 * np.pi * (sheet.from_upper + sway) / 9.5) + 0.5 * np.sin(
        2 * np.pi * (sheet.from_upper - sway) / 5.6
    )
    strength = np.exp(-sheet.from_side / 11.0) * np.clip(0.9 + 0.5 * noise(sheet, 40.0, 12.0, rng), 0.2, 1.8)
    cut.relief = cut.relief + depth * waves * strength
    cut.tone = cut.tone * (1 + 0.05 * np.clip(waves, -1.5, 1) * strength)


def _cloth(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """Two panels sewn along a curved middle seam, stitched on both sides; hems, gathered sides."""
    off_middle = np.abs(sheet.across)
    cut = _bare(sheet, 0.5, rng)
    seam = bump(off_middle, 0.55)
    cut.relief = cut.relief - 1.1 * seam + 0.6 * bump(off_middle - 2.2, 1.6)
    thread = stitches(off_middle, 3.6, sheet.from_upper)
    cut.relief = cut.relief - 0.3 * thread - 0.25 * bump(off_middle - 3.6, 0.9)
    cut.tone = cut.tone * (1 - 0.34 * seam) * (1 - 0.14 * thread)
    _pulled(cut, sheet, 2.6, rng)
    _hemmed(cut, sheet)
    _gathered(cut, sheet, 0.55, rng)
    return cut


def _sewn_pleats(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """Cloth with soft pleats, bound at its sides with a strip of another colour."""
    cut = _bare(sheet, 0.6, rng)
    _pleated(cut, sheet, _TWO_SEWN, rng)
    _tents(cut, sheet, _TWO_SEWN, 1.9, rng)
    _pulled(cut, sheet, 1.9, rng)
    level = np.minimum(sheet.from_upper, sheet.from_lower)
    cut.relief = cut.relief + 0.6 * step(7.0 - level, 0.3)
    thread = stitches(level, 1.8, sheet.across) + stitches(level, 6.0, sheet.across)
    binding = step(11.0 - sheet.from_side, 0.3)
    cut.relief = cut.relief * (1 - 0.35 * binding) + 1.5 * binding
    thread = thread * (1 - binding) + stitches(sheet.from_side, 9.6, sheet.from_upper)
    cut.relief = cut.relief - 0.3 * thread
    cut.tone = cut.tone * (1 - 0.16 * thread)
    cut.tone = cut.tone * (1 - 0.24 * np.exp(-np.maximum(sheet.from_side - 11.0, 0) / 1.3) * (1 - binding))
    _gathered(cut, sheet, 0.3, rng)
    cut.trim = binding
    return cut


def _panelled(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """A middle piece between two curved seams, bound all round."""
    side = np.abs(sheet.columns)
    half = sheet.across[:, -1:]
    cut = _bare(sheet, 0.45, rng)
    curve = 0.34 + 0.30 * np.square(2 * sheet.rows - 0.95)
    off = (side - curve) * half
    seam = bump(off, 0.6)
    cut.relief = cut.relief - 1.2 * seam + 0.7 * bump(off - 2.3, 1.6) + 1.6 * np.exp(-np.square(off / 14.0))
    thread = stitches(off, 3.4, sheet.from_upper)
    cut.tone = cut.tone * (1 - 0.34 * seam) * (1 - 0.15 * thread)
    edge = rim(sheet)
    binding = step(5.0 - edge, 0.25)
    cut.relief = cut.relief + 1.0 * binding - 0.3 * bump(edge - 4.2, 0.5) - 0.3 * thread
    around = stitches(edge, 4.1, along_rim(sheet))
    cut.tone = cut.tone * (1 - 0.16 * around) * (1 - 0.18 * bump(edge - 5.5, 0.7))
    cut.trim = binding
    _pulled(cut, sheet, 2.2, rng)
    _gathered(cut, sheet, 0.35, rng)
    return cut


def _knit(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """As sewn cloth, but knitted: columns of stitches that lean to and fro."""
    cut = _cloth(sheet, rng)
    x, y = along_skin(sheet)
    wale, course = 3.0, 2.4
    in_wale = (x / wale) % 1
    lean = np.where(in_wale < 0.5, 1.0, -1.0)
    stitch = np.cos(2 * np.pi * (y / course + lean * 0.9 * (in_wale - 0.5)))
    groove = np.abs(np.sin(np.pi * in_wale))
    cut.relief = cut.relief + 0.30 * stitch * groove
    cut.tone = cut.tone * (0.88 + 0.09 * stitch * groove + 0.11 * groove)
    return cut


def _foam(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """One smooth piece, cut raw, with a welded seam down the middle."""
    cut = _bare(sheet, 0.3, rng)
    seam = bump(sheet.across, 0.7)
    cut.relief = cut.relief - 0.9 * seam + 0.5 * bump(np.abs(sheet.across) - 2.2, 1.3)
    cut.tone = cut.tone * (1 - 0.26 * seam)
    for edge in (-1, 1):
        for height in (0.1, 0.3, 0.5, 0.75):
            goal = edge * rng.uniform(0.2, 0.5), height + rng.uniform(-0.12, 0.12)
            cut.relief = cut.relief + fold(
                sheet, (edge * 0.98, height * 0.8), goal, rng.uniform(3, 6), rng.uniform(0.4, 1.1), 0.3
            )
    return cut


def _duckbill(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """Two stiff panels welded along the front, dotted welds at the edges, a wire."""
    front = (sheet.rows - 0.5) * sheet.from_upper[-1:]
    cut = _bare(sheet, 0.45, rng)
    edge = rim(sheet)
    dots = np.clip(welds(edge, 3.0, along_rim(sheet)) + welds(np.abs(front), 3.2, sheet.across), 0, 1)
    cut.relief = cut.relief + 1.6 * bump(front, 1.3) - 0.4 * dots - 0.7 * step(5.5 - edge, 0.4)
    wire = bump(sheet.from_upper - 8.0, 2.0) * step(42 - np.abs(sheet.across), 0.8)
    cut.relief = cut.relief + 0.9 * wire
    cut.tone = cut.tone * (1 - 0.12 * dots) * (1 - 0.16 * bump(front - 2.4, 1.0))
    for edge_side in (-1, 1):
        for height in (0.25, 0.75):
            goal = edge_side * rng.uniform(0.1, 0.4), height + rng.uniform(-0.1, 0.1)
            cut.relief = cut.relief + fold(sheet, (edge_side * 0.95, height), goal, 5.0, rng.uniform(-1.2, 1.2), 0.8)
    return cut


def _gaiter(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """A tube of stretch cloth: folds that hang round the neck, a narrow hem."""
    y = sheet.points[..., 1]
    cut = _bare(sheet, 0.0, rng)
    slack = np.clip((y - 62) / 50, 0, 1) * step(sheet.from_lower - 8, 3.0)
    sway = 7 * noise_across(sheet, 80.0, rng) + 2.4 * noise(sheet, 70.0, 40.0, rng)
    phase = 2 * np.pi * (y + sway + 0.12 * np.abs(sheet.across)) / 21.0
    # Folds hang over: round above, sharp below.
    folds = np.sin(phase + 0.7 * np.sin(phase)) + 0.35 * np.sin(1.7 * phase + 1.0)
    strength = np.clip(0.75 + 0.6 * noise(sheet, 60.0, 30.0, rng), 0.05, 1.6)
    cut.relief = 2.4 * slack * (folds * strength + 1) + 0.5 * noise(sheet, 24.0, 12.0, rng) * (0.3 + slack)
    for edge in (-1, 1):
        for height in (0.08, 0.16, 0.26):
            goal = edge * rng.uniform(0.05, 0.2), height + rng.uniform(0.02, 0.12)
            cut.relief = cut.relief + fold(sheet, (edge * 0.55, height), goal, 4.0, rng.uniform(0.6, 1.6), 0.4)
    hem = np.minimum(sheet.from_upper, sheet.from_lower)
    cut.relief = cut.relief + 0.5 * step(5.0 - hem, 0.3)
    thread = stitches(hem, 4.0, sheet.across)
    cut.tone = cut.tone * (1 - 0.14 * bump(hem - 5.4, 0.5)) * (1 - 0.10 * thread)
    return cut


def _picture(sheet: Sheet, rng: np.random.Generator) -> Cut:
    """Nothing but the turned-over edge: the folds are in the picture."""
    return _bare(sheet, 0.3, rng)


MAKES: Final[dict[Make, Callable[[Sheet, np.random.Generator], Cut]]] = {
    "surgical": _surgical,
    "surgical_flat": partial(_surgical, pleats=_THREE_FLAT, tent=0.8),
    "surgical_open": partial(_surgical, pleats=_THREE_WIDE, tent=2.2),
    "kn95": _kn95,
    "boat": _boat,
    "cup": _cup,
    "ribbed_cup": partial(_cup, ribs=8),
    "cloth": _cloth,
    "pleated": _sewn_pleats,
    "panelled": _panelled,
    "knit": _knit,
    "foam": _foam,
    "duckbill": _duckbill,
    "gaiter": _gaiter,
    "window": _cloth,
    "picture": _picture,
}
"""What each make does to its sheet."""
