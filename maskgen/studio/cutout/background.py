"""A mask on whatever it lies on, cut out.

What lies beyond the mask is known at the rim of the picture: its colours there, less a gentle change across the
picture, are the background's. A shadow is the background times a factor, and it fades in: where it ends at a sharp
edge, it is cloth. What the cloth or its ear loops enclose is background if it has the background's colours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter

from maskgen.arrays import BoolArray, Float32Array, Image, IntArray
from maskgen.errors import CatalogError

REMEDY: Final = "photograph the mask alone, whole, on one surface of another colour, or cut it out (transparent PNG)"
# The picture is looked at with its longer side so long, and cut with fewer pixels where fewer are there.
_SIDE: Final = 420
# How much of the shorter side belongs to the rim, and to a corner.
_RIM_SHARE: Final = 0.04
_CORNER_SHARE: Final = 0.1
# Black has no colour: so much light is added to every channel, 0 to 1, before logarithms are taken.
_LIFT: Final = 0.04
# Bins of the logarithms of brightness and of the two ratios of channels; how wide they are against the spread of the
# rim, at least and at most; how far they are smoothed, in bins.
_BINS: Final = (160, 48, 48)
_BIN_SHARE: Final = 0.4
_BIN_WIDTHS: Final = (0.014, 0.05)
_SMOOTHED: Final = 1.2
# A shadow takes at most so much, as a logarithm, and a faint one; how much less likely one is that takes 1 more.
_DEEPEST_SHADOW: Final = 1.1
_FAINT_SHADOW: Final = 0.6
_SHADOW_FADE: Final = 0.1
# Of the density where the background is densest; what is rarer is no background.
_LIKELY: Final = 0.004
# Steps between neighbours that a background without texture may have, as a logarithm.
_SMOOTH_STEPS: Final = (0.045, 0.02)
# One that is surely the edge of something.
_STRONG_STEP: Final = 0.12
# Gaps of an edge that are closed, pixels.
_GAPS: Final = (2, 5, 10)
# An enclosed area is background if so much of it has the background's colours unshadowed.
_OPEN_SHARE: Final = 0.35
# In a faint shadow only if it is smaller than this share of all that the background does not reach from the rim.
_LOOP_SHARE: Final = 0.35
# So much of the outline of such a hole lies on edges.
_HOLE_EDGE: Final = 0.55
# A region is as good as the best if its outline lies on edges nearly as strong.
_SLACK: Final = 0.04
# A mask with its loops fills at least so much of its convex hull.
_FILLED: Final = 0.6
# A hole smaller than this share of the mask is a mark on it, if it does not have the background's colours.
_MARK_SHARE: Final = 0.015
# So much of the rim, or of the corners, may be something else than background.
_FOREIGN_RIM: Final = 0.45
# What stands out is little, or large: shares of the picture.
_LITTLE: Final = 0.03
_LARGE: Final = 0.25


def foreground(image: Image) -> BoolArray:
    """(H, W) where an opaque picture shows something that is not its background.

    Parameters
    ----------
    image : (H, W, 3) uint8 array
        RGB.

    Raises
    ------
    CatalogError
        If nothing stands out from the background, or all of it does.
    """
    scale = min(_SIDE / max(image.shape[:2]), 1.0)
    size_wh = max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1)
    small = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
    rim = _rim_of(small.shape[:2])
    likely = _stands_out(small, rim)
    if likely.mean() < _LITTLE or _share(likely, rim) > _FOREIGN_RIM:
        # The mask reaches the rim, so that the corners alone may show what it lies on.
        corners = _corners_of(small.shape[:2])
        by_corners = _stands_out(small, corners)
        if _share(by_corners, corners) < _FOREIGN_RIM and by_corners.mean() > _LARGE:
            likely = by_corners
    if not 0.005 < likely.mean() < 0.985:
        raise CatalogError("nothing stands out from the background, or the mask fills the frame", REMEDY)
    cut = _sharpened(small, likely).astype(np.float32)
    region = cv2.resize(cut, image.shape[1::-1], interpolation=cv2.INTER_LINEAR) > 0.5
    return np.asarray(region)


def without_background(image: Image) -> Image:
    """RGBA (H, W, 4): the foreground of an RGB picture, with a soft edge; raises as `foreground`."""
    # Half a pixel inwards: the outermost pixels are mixed with the background.
    inner = cv2.erode(foreground(image).astype(np.uint8) * 255, np.ones((3, 3), np.uint8))
    alpha = cv2.GaussianBlur(inner, (0, 0), 0.8)
    rgba: Image = np.dstack([image, alpha])
    rgba[alpha == 0] = 0
    return rgba


def without_specks(region: BoolArray) -> BoolArray:
    """The region with its small holes filled, which are marks on the mask; those that ear loops enclose stay."""
    holes = _filled_holes(region) & ~region
    count, labels, stats, _ = cv2.connectedComponentsWithStats(holes.astype(np.uint8), connectivity=4)
    small = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] < _MARK_SHARE * region.sum()]
    return np.asarray(region | np.isin(labels, small))


def _filled_holes(region: BoolArray) -> BoolArray:
    outside = np.pad(region, 1).astype(np.uint8)
    cv2.floodFill(outside, None, (0, 0), 2)
    return np.asarray(outside[1:-1, 1:-1] != 2)


def _rim_of(shape: tuple[int, ...]) -> BoolArray:
    width = max(round(_RIM_SHARE * min(shape)), 2)
    rim = np.ones(shape, bool)
    rim[width:-width, width:-width] = False
    return rim


def _corners_of(shape: tuple[int, ...]) -> BoolArray:
    side = max(round(_CORNER_SHARE * min(shape)), 3)
    # The outer triangle of each: a mask has round corners.
    down, right = np.mgrid[: shape[0], : shape[1]]
    down, right = np.minimum(down, shape[0] - 1 - down), np.minimum(right, shape[1] - 1 - right)
    return np.asarray(down + right < side)


def _share(region: BoolArray, rim: BoolArray) -> float:
    return float(region[rim].mean())


# ---- what is background


@dataclass(frozen=True)
class _Ground:
    """What a picture tells of its background, pixel by pixel, (H, W) each.

    Attributes
    ----------
    bare : float32 array
        How likely its colour is in the background, against the likeliest.
    dim : float32 array
        The same if a faint shadow may lie on it.
    shaded : float32 array
        The same if any shadow may.
    """

    bare: Float32Array
    dim: Float32Array
    shaded: Float32Array


def _stands_out(small: Image, rim: BoolArray) -> BoolArray:
    """Where a picture is not its background, which fills most of the rim."""
    tones = _tones(cv2.GaussianBlur(small, (0, 0), 0.8))
    ground, steps = _ground(tones, rim), _steps(tones)
    textured = 1.2 * float(np.percentile(steps[rim], 90))
    strongest = cv2.dilate(np.minimum(steps, _STRONG_STEP), np.ones((5, 5), np.uint8)) / _STRONG_STEP
    # Where cloth and background look alike, the background seeps in through gaps of the edge. The fainter the edges
    # that stop it and the wider the gaps that are closed, the less it does; of the outlines, one that lies on strong
    # edges throughout is right.
    found = []
    for faintest in _SMOOTH_STEPS:
        passable = (ground.shaded > _LIKELY) & (steps < max(faintest, textured))
        found += [_beyond_edges(ground, passable, strongest, rim, gap) for gap in _GAPS]
    support = [_on_edges(region, strongest) for region in found]
    return found[next(k for k, share in enumerate(support) if share >= max(support) - _SLACK)]


def _beyond_edges(ground: _Ground, passable: BoolArray, strongest: Float32Array, rim: BoolArray, gap: int) -> BoolArray:
    """What the background does not reach from the rim, gaps of so many pixels closed."""
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (gap + 1, gap + 1))
    wide = cv2.erode(passable.astype(np.uint8), disc)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wide, connectivity=4)
    reached = np.bincount(labels[rim], minlength=count) > 0
    reached[0] = False  # what nothing may pass
    area = stats[:, cv2.CC_STAT_AREA]
    bare, dim = (np.bincount(labels.ravel(), (part > _LIKELY).ravel(), count) for part in (ground.bare, ground.dim))
    inner = int(area[~reached].sum())
    is_open = (bare > _OPEN_SHARE * area) | ((dim > _OPEN_SHARE * area) & (area < _LOOP_SHARE * inner))
    # A hole ends at edges all round; a place where cloth happens to look like the background does not.
    outer = (cv2.dilate(labels.astype(np.float32), np.ones((3, 3))) * (labels == 0)).astype(np.intp)
    edge = np.bincount(outer.ravel(), strongest.ravel(), minlength=count)
    is_open &= edge > _HOLE_EDGE * np.bincount(outer.ravel(), minlength=count)
    is_piece = np.arange(count) > 0
    region = ~_grown((reached | is_open) & is_piece, labels, disc, passable, ground)
    if _is_thin(region):
        # Cloth of the background's own colour: what its edges enclose is the mask.
        region = ~_grown(reached & is_piece, labels, disc, passable, ground)
    return _without_crumbs(region)


def _grown(chosen: BoolArray, labels: IntArray, disc: Image, passable: BoolArray, ground: _Ground) -> BoolArray:
    """The chosen pieces, up to the edges that stopped them."""
    behind = (cv2.dilate(chosen[labels].astype(np.uint8), disc) > 0) & passable
    # Edges are a few pixels wide; they belong to the background as far as they look like it.
    near = cv2.dilate(behind.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    return np.asarray(behind | (near & (ground.shaded > _LIKELY)))


def _on_edges(region: BoolArray, strongest: Float32Array) -> float:
    """How strong the edges are that a region's outline lies on, 0 to 1; less for one that is no single body."""
    if _is_thin(region):
        return 0.0
    outline = region & (cv2.erode(region.astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    hull = cv2.contourArea(cv2.convexHull(np.argwhere(outline)[:, ::-1].astype(np.float32)))
    # Loops alone, or what is left of cloth, leave most of their hull empty.
    return float(strongest[outline].mean()) * min(float(region.sum()) / max(hull, 1.0) / _FILLED, 1.0)


def _tones(image: Image) -> Float32Array:
    """(H, W, 3) logarithms: brightness, red against green, blue against green."""
    red, green, blue = np.moveaxis(np.log(image / np.float32(255) + np.float32(_LIFT)), -1, 0)
    return np.stack([(red + green + blue) / 3, red - green, blue - green], axis=-1).astype(np.float32)


def _ground(tones: Float32Array, rim: BoolArray) -> _Ground:
    rest = tones - _smooth_surface(tones, rim)
    spread = np.subtract(*np.percentile(rest[rim], [75, 25], axis=0)) / 1.35
    width = np.clip(_BIN_SHARE * spread, *_BIN_WIDTHS)
    # Shadows need room below: the background's own brightness lies in the upper third.
    index = np.round(rest / width + np.array(_BINS) * [0.7, 0.5, 0.5]).astype(np.intp)
    index = np.clip(index, 0, np.array(_BINS) - 1)
    flat = np.ravel_multi_index(tuple(np.moveaxis(index, -1, 0)), _BINS)
    seen = np.bincount(flat[rim], minlength=int(np.prod(_BINS))).reshape(_BINS).astype(np.float64)
    density = gaussian_filter(seen, _SMOOTHED, mode="constant", truncate=3)
    density /= density.max()
    # A shadow darkens: from each bin downwards the density fades.
    shaded = density.copy()
    fade = _SHADOW_FADE ** width[0]
    for row in range(_BINS[0] - 2, -1, -1):
        shaded[row] = np.maximum(shaded[row], shaded[row + 1] * fade)
    darker = float(np.percentile(rest[rim][:, 0], 5)) - rest[..., 0]
    bare, any_shadow = density.ravel()[flat], shaded.ravel()[flat]
    under = [np.where(darker > deepest, bare, any_shadow) for deepest in (_FAINT_SHADOW, _DEEPEST_SHADOW)]
    return _Ground(*(likely.astype(np.float32) for likely in (bare, *under)))


def _smooth_surface(tones: Float32Array, rim: BoolArray) -> Float32Array:
    """(H, W, 3) surfaces of second degree through the tones of the rim, robust against what lies across it."""
    height, width = rim.shape
    down, right = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    terms = np.stack([np.ones_like(down), right, down, right * right, right * down, down * down], axis=-1)
    system, values = terms[rim], tones[rim].astype(np.float64)
    weight = np.ones(len(values))
    # Of the corners alone only a slope is known.
    stiff = 1e-2 * len(values) * np.diag([0, 0.1, 0.1, 1, 1, 1])
    solution = np.zeros((6, 3))
    solution[0] = np.median(values, axis=0)
    for _ in range(12):
        apart = np.linalg.norm(values - system @ solution, axis=1)
        weight = 1 / (1 + np.square(apart / max(2 * float(np.median(apart)), 0.02)))
        normal = system.T @ (system * weight[:, None]) + stiff
        solution = np.linalg.solve(normal, system.T @ (values * weight[:, None]))
    surface: Float32Array = (terms @ solution).astype(np.float32)
    return surface


def _steps(tones: Float32Array) -> Float32Array:
    """(H, W) how much tones change from a pixel to the next."""
    along, down = cv2.Sobel(tones, cv2.CV_32F, 1, 0, scale=0.125), cv2.Sobel(tones, cv2.CV_32F, 0, 1, scale=0.125)
    return np.asarray(np.sqrt(np.square(along).sum(axis=-1) + np.square(down).sum(axis=-1)), np.float32)


def _is_thin(region: BoolArray) -> bool:
    """Whether nothing but lines stands out: the outline of something, and straps."""
    reach = max(round(0.02 * max(region.shape)), 2)
    core = cv2.erode(region.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    return float(core.mean()) < 0.003


def _without_crumbs(region: BoolArray) -> BoolArray:
    """The large pieces of a region."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.astype(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].astype(float)
    area[0] = 0
    return np.asarray((area > 0.02 * area.max())[labels] & region) if count > 1 else region


# ---- where exactly it ends


def _sharpened(small: Image, likely: BoolArray) -> BoolArray:
    """The region with its edge where colours change (GrabCut: C. Rother et al., SIGGRAPH 2004)."""
    trimap = np.where(likely, cv2.GC_PR_FGD, cv2.GC_BGD).astype(np.uint8)
    reach = max(round(0.012 * max(likely.shape)), 2)
    around = np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)
    trimap[(cv2.dilate(likely.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0) & ~likely] = cv2.GC_PR_BGD
    trimap[cv2.erode(likely.astype(np.uint8), around) > 0] = cv2.GC_FGD
    if not ((trimap == cv2.GC_FGD).any() and (trimap == cv2.GC_BGD).any()):
        return likely
    # GrabCut samples its mixtures from OpenCV's own generator: seeded, or the same picture may give other views.
    cv2.setRNGSeed(0)
    cv2.grabCut(small, trimap, None, np.zeros((1, 65)), np.zeros((1, 65)), 2, cv2.GC_INIT_WITH_MASK)
    cut = np.isin(trimap, (cv2.GC_FGD, cv2.GC_PR_FGD))
    # It may only move the edge. Where it takes much away, mask and background have similar colours.
    return cut if 0.9 * likely.sum() < cut.sum() < 1.1 * likely.sum() else likely
