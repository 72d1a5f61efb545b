"""Which pixels of a face show the mask that is worn: a graph cut between cloth, skin and what lies around."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from maskgen.arrays import BoolArray, Float32Array, Image, IntArray
from maskgen.studio.photo import rim
from maskgen.studio.photo.colours import likelihood, quantised
from maskgen.studio.photo.crop import Crop, hull, signed_distance
from maskgen.studio.photo.regions import Parts, Regions, regions_of


def _cut(unary: Float32Array, pixels: Image, strength: float) -> BoolArray:
    """The region of least cost: `unary` nats in favour of it, and edges where colours change [1]_.

    References
    ----------
    .. [1] Y. Boykov, M.-P. Jolly, "Interactive Graph Cuts", ICCV 2001.
    """
    height, width = unary.shape
    colour = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    index = np.arange(height * width).reshape(height, width)
    pairs: list[tuple[Any, Any, float]] = [
        (np.s_[:, :-1], np.s_[:, 1:], 1.0),
        (np.s_[:-1], np.s_[1:], 1.0),
        (np.s_[:-1, :-1], np.s_[1:, 1:], np.sqrt(0.5)),
        (np.s_[:-1, 1:], np.s_[1:, :-1], np.sqrt(0.5)),
    ]
    squares = [np.square(colour[a] - colour[b]).sum(axis=-1) for a, b, _ in pairs]
    beta = 1 / (2 * max(float(np.mean([s.mean() for s in squares])), 1.0))
    source, sink = height * width, height * width + 1
    rows, columns, capacity = [], [], []
    for (a, b, near), square in zip(pairs, squares, strict=True):
        weight = strength * near * (0.06 + np.exp(-beta * square))
        rows += [index[a].ravel(), index[b].ravel()]
        columns += [index[b].ravel(), index[a].ravel()]
        capacity += [weight.ravel(), weight.ravel()]
    flat = unary.ravel()
    is_for = flat > 0
    rows += [np.full(is_for.sum(), source), index.ravel()[~is_for]]
    columns += [index.ravel()[is_for], np.full((~is_for).sum(), sink)]
    capacity += [flat[is_for], -flat[~is_for]]
    # The solver counts in whole numbers.
    whole = np.round(np.concatenate(capacity) * 100).astype(np.int32)
    graph = coo_matrix((whole, (np.concatenate(rows), np.concatenate(columns))), shape=(sink + 1, sink + 1)).tocsr()
    flow = maximum_flow(graph, source, sink).flow
    residual = graph - flow
    residual.data = np.maximum(residual.data, 0)
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    region = np.zeros(sink + 1, bool)
    region[reached] = True
    return region[: height * width].reshape(height, width)


@dataclass(frozen=True)
class MaskRegion:
    """The mask at the working scale, (H, W) each.

    Attributes
    ----------
    region : bool array
        The mask.
    skinny : bool array
        Pixels that look more like skin than like the mask.
    regions : Regions
        Where it was looked for.
    """

    region: BoolArray
    skinny: BoolArray
    regions: Regions


def find(crop: Crop, parts: Parts | None = None) -> MaskRegion:
    """Which pixels of a crop (at the working scale) belong to the mask.

    Parameters
    ----------
    parts : Parts, optional
        What a network says of them; without it colours and places alone tell.
    """
    regions = regions_of(crop)
    distance = regions.distance
    index = quantised(crop.pixels)
    # Slack grows outwards: masks differ in size, faces in what lies beneath the chin.
    prior = np.clip(np.where(distance > 0, distance / 4.0, distance / 5.0), -7, 5)
    # Light and shade spread skin and cloth along L, so it is smoothed widest.
    skin = likelihood(index, regions.skin.astype(np.float32), 1.3, 3.5)
    p = crop.points
    face = signed_distance(hull(np.concatenate([p, p[17:27] + (p[27] - p[33])]), distance.shape), crop.pixels_per_mm)
    skin_share = 1 / (1 + np.exp(-face / 6))
    core = regions.core & crop.inside
    # A bare nose or a hand in front must not count as the mask, unless all of the core looks like skin.
    like_skin = core & _like_bright(index, regions.skin, cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2GRAY))
    if like_skin.sum() < 0.5 * core.sum():
        core = core & ~like_skin
    core_like = likelihood(index, core.astype(np.float32), 1.3, 2.5)
    skinny = skin > core_like
    region = distance > 0
    weight = np.zeros(distance.shape, np.float32)
    for _ in range(3):
        mask = core_like
        if weight.sum() > 20:
            mask = 0.4 * core_like + 0.6 * likelihood(index, weight, 1.3, 2.0)
        around = likelihood(index, (regions.around & ~region).astype(np.float32), 1.3, 1.5)
        other = skin_share * skin + (1 - skin_share) * (0.3 * skin + 0.7 * around)
        llr = np.clip(np.log(mask / other), -4, 4)
        unary = llr + prior if parts is None else llr + prior + _evidence(parts)
        unary[regions.never] = -12
        unary[core] += 2
        unary[~crop.inside] = -12
        region = _cut(unary, crop.pixels, 4.0)
        region = _main_part(_without_lobes(region, crop.pixels_per_mm), regions.core)
        weight = cv2.erode((region & ~skinny).astype(np.float32), np.ones((3, 3), np.uint8))
    cloth = rim.without_skin(region, skinny, core, regions.skin, crop.pixels, crop.pixels_per_mm)
    region = _main_part(_without_lobes(cloth, crop.pixels_per_mm), regions.core)
    return MaskRegion(region, skinny, regions)


# How much the network counts, nats, and how sure it may be.
_PARTS_WEIGHT: Final = 1.6
_PARTS_DOUBT: Final = 0.06
# What sticks out of a mask and is narrower than this is a finger, a frame of glasses or a strap.
_LOBE_MM: Final = 8.0


def _evidence(parts: Parts) -> Float32Array:
    """(H, W) nats in favour of the mask."""
    doubt = np.float32(_PARTS_DOUBT)
    odds = np.log((parts.front + doubt) / (1 - parts.front + doubt))
    evidence: Float32Array = _PARTS_WEIGHT * odds - 8 * np.clip(2 * parts.glasses - 0.6, 0, 1)
    return evidence


def _without_lobes(region: BoolArray, pixels_per_mm: float) -> BoolArray:
    side = 2 * max(round(_LOBE_MM / 2 * pixels_per_mm), 1) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    return np.asarray(cv2.morphologyEx(region.astype(np.uint8), cv2.MORPH_OPEN, disc) > 0)


def _like_bright(index: IntArray, skin: BoolArray, luma: Image) -> BoolArray:
    """Pixels (H, W) of the colours of the brighter skin: no brow, no hair, no shadow of a hat."""
    if not skin.any():
        return np.zeros(skin.shape, bool)
    bright = skin & (luma >= np.percentile(luma[skin], 40))
    density = likelihood(index, bright.astype(np.float32), 1.3, 1.5)
    return density > 0.08 * float(density.max())


def _main_part(region: BoolArray, core: BoolArray) -> BoolArray:
    """The part that holds most of the core, its holes filled."""
    count, labels = cv2.connectedComponents(region.astype(np.uint8), connectivity=4)
    if count < 2:
        return region
    votes = np.bincount(labels[core & region], minlength=count)
    votes[0] = 0
    if not votes.any():
        return np.zeros_like(region)
    part = labels == votes.argmax()
    contours, _ = cv2.findContours(part.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    filled = np.zeros(region.shape, np.uint8)
    cv2.drawContours(filled, contours, -1, 1, cv2.FILLED)
    return filled > 0
