"""Find the pixels of a photograph that show the mask somebody wears.

    face -> upright crop -> where a mask would be -> graph cut between cloth, skin and what lies around

Convention
----------
Lengths are millimetres on the mean head (`maskgen.face.head`), carried to the photograph by the face's affine camera,
so that a number means the same on every face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

from maskgen import parse
from maskgen.arrays import BoolArray, Float32Array, Image, IntArray
from maskgen.face import Face
from maskgen.face.head import head_to_image, points_on_face
from maskgen.studio.photo import rim

WORK_SCALE: Final = 0.6
"""Pixels per millimetre at which the mask is found; its outline is drawn sharper afterwards."""
# No view needs more pixels per millimetre: the catalog that ships has 1.75.
_FINEST: Final = 2.2
# Half the side of the crop, and its middle on the head.
_HALF_MM: Final = 135
_MIDDLE_MM: Final = (0.0, 55.0, -15.0)


@dataclass(frozen=True)
class Crop:
    """A face, upright and at a known scale.

    Attributes
    ----------
    pixels : (H, W, 3) uint8 array
        RGB.
    inside : (H, W) bool array
        Where the photograph is; beyond its edge pixels are made up.
    points : (68, 2) float32 array
        Landmarks, pixels of the crop.
    pixels_per_mm : float
        On the face.
    from_image : (2, 3) float32 array
        The map photograph -> crop.
    """

    pixels: Image
    inside: BoolArray
    points: Float32Array
    pixels_per_mm: float
    from_image: Float32Array

    def place(self, names: Sequence[str]) -> Float32Array:
        """(K, 2) named points of the head."""
        return points_on_face(tuple(names), self.points)

    def resized(self, pixels_per_mm: float) -> Crop:
        """The same at another scale."""
        ratio = pixels_per_mm / self.pixels_per_mm
        size_wh = (round(self.pixels.shape[1] * ratio), round(self.pixels.shape[0] * ratio))
        real = np.array([size_wh[0] / self.pixels.shape[1], size_wh[1] / self.pixels.shape[0]], np.float32)
        shrink = cv2.INTER_AREA if ratio < 1 else cv2.INTER_LINEAR
        pixels = cv2.resize(self.pixels, size_wh, interpolation=shrink)
        inside = cv2.resize(self.inside.astype(np.uint8), size_wh, interpolation=cv2.INTER_NEAREST) > 0
        scaled = np.concatenate([self.from_image[:, :2], self.from_image[:, 2:] + 0.5], axis=1) * real[:, None]
        scaled[:, 2] -= 0.5
        return Crop(pixels, inside, (self.points + 0.5) * real - 0.5, pixels_per_mm, scaled)


def upright(image: Image, face: Face) -> Crop:
    """The head and what surrounds it, turned upright, no finer than a catalog needs."""
    points = face.landmarks_68
    camera = head_to_image(points)
    # The longer axis of the affine camera: turning the head shortens the other.
    native = max(float(np.linalg.svd(camera[:, :3], compute_uv=False)[0]), 1e-3)
    ratio = min(1.0, _FINEST / native)
    middle = camera[:, :3] @ np.array(_MIDDLE_MM, np.float32) + camera[:, 3]
    # Only what the crop can hold, however large the photograph is.
    reach = int(1.5 * _HALF_MM * native) + 4
    left, top = (int(np.clip(v - reach, 0, limit - 1)) for v, limit in zip(middle, image.shape[1::-1], strict=True))
    right, bottom = (int(np.clip(v + reach, 1, limit)) for v, limit in zip(middle, image.shape[1::-1], strict=True))
    window = image[top : max(bottom, top + 1), left : max(right, left + 1)]
    if ratio < 0.7:
        window = cv2.GaussianBlur(window, (0, 0), 0.4 / ratio)
    roll = np.radians(face.pose.roll)
    cosine, sine = np.cos(roll) * ratio, np.sin(roll) * ratio
    turn = np.array([[cosine, sine], [-sine, cosine]])
    half = _HALF_MM * native * ratio
    matrix = np.concatenate([turn, (half - turn @ middle)[:, None]], axis=1).astype(np.float32)
    from_window = matrix.copy()
    from_window[:, 2] += matrix[:, :2] @ np.array([left, top], np.float32)
    size_wh = (round(2 * half) + 1,) * 2
    pixels = cv2.warpAffine(window, from_window, size_wh, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    there = np.ones(window.shape[:2], np.uint8)
    inside = cv2.warpAffine(there, from_window, size_wh, flags=cv2.INTER_NEAREST) > 0
    moved = points @ matrix[:, :2].T + matrix[:, 2]
    return Crop(pixels, inside, moved.astype(np.float32), native * ratio, matrix)


# ---- where a mask would be

_OUTLINE: Final = (
    "28", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "under_chin",
    "front_nose", "front_mouth", "front_chin", "front_cheek_image_left", "front_cheek_image_right",
    "front_jaw_image_left", "front_jaw_image_right",
)  # fmt: skip
# How far the outline is drawn in towards the nose: cloth ends before the jaw turns towards the ear.
_SIDES: Final = {"1": 0.2, "15": 0.2, "2": 0.15, "14": 0.15, "3": 0.08, "13": 0.08, "4": 0.04, "12": 0.04}
_CORE: Final = ("30", "31", "35", "48", "54", "57", "front_mouth", "5", "11")


def _expected(crop: Crop) -> Float32Array:
    """(H, W) millimetres to the outline of an average mask, positive inside."""
    places = crop.place(_OUTLINE)
    for row, name in enumerate(_OUTLINE):
        if name in _SIDES:
            places[row] += _SIDES[name] * (crop.points[33] - places[row])
    return signed_distance(filled(cv2.convexHull(places), crop.inside.shape), crop.pixels_per_mm)


def filled(polygon: Float32Array, shape: tuple[int, ...]) -> BoolArray:
    region = np.zeros(shape[:2], np.uint8)
    cv2.fillConvexPoly(region, np.round(polygon).astype(np.int32), 1)
    return region > 0


def hull(points: Float32Array, shape: tuple[int, ...], grow: float = 1.0) -> BoolArray:
    centre = points.mean(axis=0)
    return filled(cv2.convexHull((centre + (points - centre) * grow).astype(np.float32)), shape)


def signed_distance(region: BoolArray, pixels_per_mm: float) -> Float32Array:
    inner = cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5)
    outer = cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, 5)
    return np.asarray((inner - outer) / pixels_per_mm, np.float32)


# ---- which pixels show the mask


@dataclass(frozen=True)
class Regions:
    """Where to look for mask, skin and surroundings, (H, W) each.

    Attributes
    ----------
    core : bool array
        Nose, mouth and what lies between: covered by any mask.
    skin : bool array
        Between lids and above the brows: skin, if no hat covers it.
    never : bool array
        Eyes and brows, which no mask reaches.
    around : bool array
        Neck, hair, clothes, background.
    distance : float32 array
        Millimetres to the outline of an average mask, positive inside.
    """

    core: BoolArray
    skin: BoolArray
    never: BoolArray
    around: BoolArray
    distance: Float32Array


def regions_of(crop: Crop) -> Regions:
    """Where a mask, skin and surroundings are to be expected."""
    shape = crop.inside.shape
    p = crop.points
    distance = _expected(crop)
    core = hull(crop.place(_CORE), shape, 0.8) & crop.inside
    eyes = hull(p[36:42], shape, 1.25) | hull(p[42:48], shape, 1.25)
    # From the lids to above the brows, between the outer ends of the eyes; glasses and fringes are outvoted later.
    up = p[27] - p[33]
    strip = np.concatenate([p[[27, 36, 39, 42, 45]], p[17:27], p[17:27] + 0.25 * up])
    upper = hull(strip, shape, 0.95)
    brows = cv2.dilate(
        (hull(p[17:22], shape, 1.1) | hull(p[22:27], shape, 1.1)).astype(np.uint8), np.ones((3, 3), np.uint8)
    )
    skin = upper & ~eyes & (brows == 0) & (distance < -3) & crop.inside
    never = (eyes | upper) & (distance < 6)
    around = (distance < -16) & ~upper & crop.inside & (distance > -70)
    return Regions(core, skin, never, around, distance)


_BINS: Final = (28, 40, 40)  # L, a, b


def _quantised(pixels: Image) -> IntArray:
    lab = cv2.cvtColor(pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    lab[..., 0] *= (_BINS[0] - 1) / 255
    # Chroma of skin and cloth lies within a third of the range: finer bins there.
    for channel in (1, 2):
        lab[..., channel] = (lab[..., channel] - 128) / 3.2 + _BINS[channel] / 2
    index = np.clip(np.round(lab), 0, np.array(_BINS) - 1).astype(np.intp)
    flat: IntArray = (index[..., 0] * _BINS[1] + index[..., 1]) * _BINS[2] + index[..., 2]
    return flat


def _likelihood(index: IntArray, weight: Float32Array, sigma: float, sigma_light: float) -> Float32Array:
    """(H, W) density of each pixel's colour among the weighted pixels."""
    histogram = np.bincount(index.ravel(), weight.ravel(), minlength=int(np.prod(_BINS))).reshape(_BINS)
    total = histogram.sum()
    if total < 1:
        return np.full(index.shape, 1e-7, np.float32)
    smooth = gaussian_filter(histogram / total, (sigma_light, sigma, sigma), mode="nearest", truncate=3)
    return np.asarray(smooth.ravel()[index] + 2e-6, np.float32)


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


@dataclass(frozen=True)
class Parts:
    """What a network takes the pixels of a crop for, (H, W) each, 0 to 1; one half beyond what it saw.

    Attributes
    ----------
    front : float32 array
        Something in front of the face: a mask, a hand.
    glasses : float32 array
        Glasses.
    """

    front: Float32Array
    glasses: Float32Array


def parts_of(crop: Crop, parsed: parse.Regions) -> Parts:
    """What the network says, carried to a crop."""
    return Parts(*(_carried(crop, parsed, kind) for kind in ("other", "glasses")))


def _carried(crop: Crop, parsed: parse.Regions, *kinds: parse.Kind) -> Float32Array:
    from_crop = cv2.invertAffineTransform(crop.from_image)
    matrix = parsed.image_to_crop[:, :2] @ from_crop
    matrix[:, 2] += parsed.image_to_crop[:, 2]
    every = slice(0, crop.inside.shape[0]), slice(0, crop.inside.shape[1])
    return parse.on_image(parsed.of(*kinds), matrix.astype(np.float32), every, beyond=0.5)


def head_share(crop: Crop, parsed: parse.Regions) -> float:
    """How much of where forehead and cheeks are to be expected looks like a head's, 0 to 1."""
    skin = regions_of(crop).skin
    if not skin.any():
        return 0.0
    return float(_carried(crop, parsed, "skin", "hair", "glasses", "hat")[skin].mean())


def fronted(crop: Crop, parts: Parts) -> tuple[float, float, float]:
    """How likely something is in front of nose, mouth and chin, 0 to 1."""
    p = crop.points
    chin = np.concatenate([p[6:11], p[[57]]])
    areas = [hull(area, crop.inside.shape, 1.0) & crop.inside for area in (p[30:36], p[48:60], chin)]
    nose, mouth, below = (float(parts.front[area].mean()) if area.any() else 0.0 for area in areas)
    return nose, mouth, below


def find(crop: Crop, parts: Parts | None = None) -> MaskRegion:
    """Which pixels of a crop (at the working scale) belong to the mask.

    Parameters
    ----------
    parts : Parts, optional
        What a network says of them; without it colours and places alone tell.
    """
    regions = regions_of(crop)
    distance = regions.distance
    index = _quantised(crop.pixels)
    # Slack grows outwards: masks differ in size, faces in what lies beneath the chin.
    prior = np.clip(np.where(distance > 0, distance / 4.0, distance / 5.0), -7, 5)
    # Light and shade spread skin and cloth along L, so it is smoothed widest.
    skin = _likelihood(index, regions.skin.astype(np.float32), 1.3, 3.5)
    p = crop.points
    face = signed_distance(hull(np.concatenate([p, p[17:27] + (p[27] - p[33])]), distance.shape), crop.pixels_per_mm)
    skin_share = 1 / (1 + np.exp(-face / 6))
    core = regions.core & crop.inside
    # A bare nose or a hand in front must not count as the mask, unless all of the core looks like skin.
    like_skin = core & _like_bright(index, regions.skin, cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2GRAY))
    if like_skin.sum() < 0.5 * core.sum():
        core = core & ~like_skin
    core_like = _likelihood(index, core.astype(np.float32), 1.3, 2.5)
    skinny = skin > core_like
    region = distance > 0
    weight = np.zeros(distance.shape, np.float32)
    for _ in range(3):
        mask = core_like
        if weight.sum() > 20:
            mask = 0.4 * core_like + 0.6 * _likelihood(index, weight, 1.3, 2.0)
        around = _likelihood(index, (regions.around & ~region).astype(np.float32), 1.3, 1.5)
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
    density = _likelihood(index, bright.astype(np.float32), 1.3, 1.5)
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


# ---- whether there is a mask, and whether it can be seen


def skin_score(crop: Crop, regions: Regions) -> float:
    """How much nose, mouth and chin look like skin, 0 to 1; a bare face lies above one half.

    The mean of two: the overlap of their colours with the forehead's (Bhattacharyya), and the share of pixels with a
    hue that skin has. A hat misleads the first, a mask in the colour of skin the second.
    """
    overlap = skin_overlap(crop, regions)
    if not has_colour(crop, regions):
        return overlap
    lab = cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    a, b = lab[..., 1] - 128, lab[..., 2] - 128
    hue = (a > 4) & (a < 32) & (b > 2) & (b < 38) & (lab[..., 0] > 35)
    return (overlap + float(hue[regions.core & crop.inside].mean())) / 2


def skin_overlap(crop: Crop, regions: Regions, area: BoolArray | None = None) -> float:
    """How much the colours of nose, mouth and chin, or of another area, are those of the forehead, 0 to 1."""
    area = regions.core if area is None else area
    return _overlap(_quantised(crop.pixels), area & crop.inside, regions.skin)


def mouth_and_chin(crop: Crop) -> BoolArray:
    """(H, W) mouth and chin."""
    return hull(np.concatenate([crop.points[48:60], crop.points[6:11]]), crop.inside.shape)


def has_colour(crop: Crop, regions: Regions) -> bool:
    """Whether skin has colour: it has none in a black-and-white photograph."""
    lab = cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    chroma = np.hypot(lab[..., 1] - 128, lab[..., 2] - 128)[regions.skin]
    return float(chroma.mean()) > 5 if len(chroma) else True


# How far from the upper edge of an average mask colours are compared, and how far up and down it may lie, millimetres.
_RIM_REACH_MM: Final = 5.0
_RIM_SLACK_MM: Final = 12.0


def rim_contrast(crop: Crop, regions: Regions) -> float:
    """How different the two sides of a mask's upper edge look across the cheeks, in Lab, where they differ most.

    A bare cheek looks alike on both sides: a median of 10 over bare faces, of 56 over worn masks.
    """
    lab = cv2.cvtColor(cv2.GaussianBlur(crop.pixels, (0, 0), 1.0).astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    p, mm = crop.points, crop.pixels_per_mm
    down = (p[8] - p[27]) / max(float(np.linalg.norm(p[8] - p[27])), 1e-6)
    contrasts = []
    # Along the line from the bridge of the nose to the cheeks, a column at a time.
    for share in np.linspace(0.25, 0.8, 7):
        for side in (2, 14):
            start = p[29] + share * (p[side] - p[29])
            steps = np.arange(-_RIM_SLACK_MM, _RIM_SLACK_MM + 0.1, 1.5)
            places = [start + (step + end) * mm * down for end in (-_RIM_REACH_MM, _RIM_REACH_MM) for step in steps]
            xy = np.array(places, np.float32)
            colours = cv2.remap(lab, xy[:, None], None, cv2.INTER_LINEAR)[:, 0]
            seen = cv2.remap(crop.inside.astype(np.uint8), np.round(xy)[:, None], None, cv2.INTER_NEAREST)[:, 0] > 0
            above, below = colours[: len(steps)], colours[len(steps) :]
            both = seen[: len(steps)] & seen[len(steps) :]
            if both.any():
                contrasts.append(float(np.linalg.norm(above - below, axis=1)[both].max()))
    return float(np.median(contrasts)) if contrasts else 0.0


def _overlap(index: IntArray, one: BoolArray, other: BoolArray) -> float:
    parts = []
    for region in (one, other):
        histogram = np.bincount(index[region], minlength=int(np.prod(_BINS))).reshape(_BINS)
        parts.append(gaussian_filter(histogram / max(histogram.sum(), 1), (3.5, 1.3, 1.3), truncate=3))
    return float(np.sqrt(parts[0] * parts[1]).sum())


def sharpness(crop: Crop) -> float:
    """How much fine detail the face shows: the energy of the Laplacian against that of all contrast, per cent.

    Measured at a fixed size of the face, so that neither resolution nor contrast counts.
    """
    face = crop.resized(WORK_SCALE)
    grey = cv2.cvtColor(face.pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
    p = face.points
    region = hull(np.concatenate([p[17:48], p[[3, 13]]]), grey.shape, 1.05) & face.inside
    if region.sum() < 50:
        return 0.0
    laplacian = cv2.Laplacian(grey, cv2.CV_32F)
    return float(100 * laplacian[region].var() / max(grey[region].var(), 1.0))
