"""Things to lay in front of portraits, so that the network sees more of them than anybody has labelled.

Each function gives a layer: a picture (192, 192, 3) float32, its opacity (192, 192), 0 to 1, and what it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Float64Array, Image
from maskgen.packtraining.portraits import GLASSES, HAIR, OTHER, SIDE, SKIN, UNKNOWN, Portrait

_PIXELS_PER_MM: Final = 0.67


class Layer(NamedTuple):
    """Something that lies in front of a face."""

    rgb: Float32Array
    alpha: Float32Array
    kind: int


def laid_on(portrait: Portrait, layer: Layer) -> Portrait:
    """A portrait with a layer on it."""
    alpha = layer.alpha[..., None]
    image = portrait.image * (1 - alpha) + layer.rgb * alpha
    kinds = portrait.kinds.copy()
    kinds[(layer.alpha > 0.3) & (layer.alpha < 0.5)] = UNKNOWN
    kinds[layer.alpha >= 0.5] = layer.kind
    return Portrait(np.clip(image, 0, 255).astype(np.uint8), kinds, portrait.face)


def any_layer(
    portrait: Portrait, others: Sequence[Portrait], pictures: Sequence[Image], rng: np.random.Generator
) -> Layer | None:
    """Something to lay on a portrait: cut from another one or from a picture, or drawn."""
    other = others[int(rng.integers(len(others)))]
    kind = rng.random()
    if kind < 0.25:
        return hair_of(other, rng)
    if kind < 0.35:
        return glasses_of(other, rng)
    if kind < 0.45:
        return drawn_glasses(portrait, rng)
    if kind < 0.7:
        return hand(portrait, other if rng.random() < 0.5 else portrait, rng)
    if kind < 0.78:
        return microphone(portrait, rng)
    return piece(portrait, pictures[int(rng.integers(len(pictures)))], rng)


def hair_of(other: Portrait, rng: np.random.Generator) -> Layer | None:
    """Hair of another portrait, moved so that some of it hangs into the face."""
    hair = (other.kinds == HAIR).astype(np.float32)
    if hair.sum() < 1500:
        return None
    matrix = _similarity(rng.normal(0, 15), math.exp(rng.normal(0, 0.15)), rng.normal(0, [26, 14]), rng.random() < 0.5)
    # The border: hair that went on beyond the portrait would end in a straight line.
    alpha = cv2.warpAffine(hair, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.5:
        # A curtain: what lies on one side of a line that runs down.
        edge = SIDE / 2 + rng.normal(0, 22) + rng.normal(0, 0.25) * (np.arange(SIDE)[:, None] - SIDE / 2)
        side = 1 if rng.random() < 0.5 else -1
        alpha = alpha * np.clip((np.arange(SIDE)[None] - edge) * side / 3 + 0.5, 0, 1)
    rgb = cv2.warpAffine(other.image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REPLICATE)
    return Layer(rgb.astype(np.float32), _soft(alpha, rng), HAIR)


def glasses_of(other: Portrait, rng: np.random.Generator) -> Layer | None:
    """The glasses of another portrait."""
    glasses = (other.kinds == GLASSES).astype(np.float32)
    if glasses.sum() < 200:
        return None
    matrix = _similarity(rng.normal(0, 3), math.exp(rng.normal(0, 0.06)), rng.normal(0, 3, 2), rng.random() < 0.5)
    alpha = cv2.warpAffine(glasses, matrix, (SIDE, SIDE))
    return Layer(cv2.warpAffine(other.image, matrix, (SIDE, SIDE)).astype(np.float32), _soft(alpha, rng), GLASSES)


def drawn_glasses(portrait: Portrait, rng: np.random.Generator) -> Layer:
    """Two rims, a bridge and lenses that tint or darken what is behind them."""
    points = portrait.face.landmarks_68
    eyes = points[36:42].mean(axis=0), points[42:48].mean(axis=0)
    across = np.linalg.norm(eyes[1] - eyes[0])
    half = np.array([rng.uniform(0.3, 0.46), rng.uniform(0.22, 0.42)]) * max(across, 30)
    squareness = rng.uniform(2, 5)
    tilt = math.atan2(float(eyes[1][1] - eyes[0][1]), float(eyes[1][0] - eyes[0][0]))
    turn = np.linspace(0, 2 * math.pi, 40)
    outline = np.stack(
        [np.sign(f) * np.abs(f) ** (2 / squareness) for f in (np.cos(turn), np.sin(turn))], axis=1
    ) * half + [0, rng.uniform(0, 0.15) * half[1]]
    cosine, sine = math.cos(tilt), math.sin(tilt)
    outline = outline @ np.array([[cosine, sine], [-sine, cosine]])
    rims, lenses = np.zeros((SIDE, SIDE), np.uint8), np.zeros((SIDE, SIDE), np.uint8)
    width = max(round(rng.uniform(0.6, 3.4)), 1)
    for eye in eyes:
        shape = [np.round((outline + eye) * 16).astype(np.int32)]
        cv2.fillPoly(lenses, shape, 255, cv2.LINE_AA, 4)
        cv2.polylines(rims, shape, True, 255, width, cv2.LINE_AA, 4)
    inner = [eye + np.array([cosine, sine]) * half[0] * sign for eye, sign in zip(eyes, (1, -1), strict=True)]
    outer = [eye - np.array([cosine, sine]) * half[0] * sign for eye, sign in zip(eyes, (1, -1), strict=True)]
    for here, there in ((inner[0], inner[1]), (outer[0], points[0]), (outer[1], points[16])):
        ends = [tuple(int(v) for v in np.round(np.asarray(p) * 16)) for p in (here, there)]
        cv2.line(rims, ends[0], ends[1], 255, width, cv2.LINE_AA, 4)
    colour = _colour(rng, 0.6)
    dark = rng.random() < 0.35
    tint = rng.uniform(0.6, 0.97) if dark else rng.uniform(0, 0.15)
    glass = _colour(rng, 0.8) if dark else np.full(3, 255.0)
    rim, lens = rims.astype(np.float32)[..., None] / 255, lenses.astype(np.float32)[..., None] / 255
    behind = portrait.image.astype(np.float32)
    rgb = behind * (1 - lens * tint) + glass * lens * tint
    rgb = rgb * (1 - rim) + colour * rim
    return Layer(rgb.astype(np.float32), np.maximum(rim, lens)[..., 0], GLASSES)


def hand(portrait: Portrait, whose: Portrait, rng: np.random.Generator) -> Layer | None:
    """A hand of the colour of somebody's skin, drawn as capsules with shaded sides, somewhere on the lower face."""
    skin = whose.image[whose.kinds == SKIN]
    if len(skin) < 200:
        return None
    tone = np.median(skin[:: len(skin) // 200], axis=0) * math.exp(rng.normal(0, 0.12))
    middle = _somewhere_low(portrait, rng)
    angle = rng.uniform(0, 2 * math.pi)
    width = rng.uniform(14, 20) * _PIXELS_PER_MM
    fingers = int(rng.integers(1, 6))
    ahead = np.array([math.cos(angle), math.sin(angle)])
    beside = np.array([-ahead[1], ahead[0]])
    rgb, alpha = np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32)
    palm = middle - ahead * rng.uniform(20, 75) * _PIXELS_PER_MM
    strokes = [[palm - ahead * 300, palm - ahead * rng.uniform(30, 70) * _PIXELS_PER_MM]]
    widths = [rng.uniform(45, 65) * _PIXELS_PER_MM]
    if rng.random() < 0.7:
        strokes.append([palm - ahead * 20, palm])
        widths.append(rng.uniform(60, 85) * _PIXELS_PER_MM)
    spread = rng.uniform(0.9, 1.25)
    for finger in range(fingers):
        base = palm + beside * (finger - (fingers - 1) / 2) * width * spread
        lean = (finger - (fingers - 1) / 2) * rng.uniform(0, 0.12)
        way = ahead * math.cos(lean) + beside * math.sin(lean)
        bend = rng.normal(0, 0.5)
        joint = base + way * rng.uniform(30, 50) * _PIXELS_PER_MM
        tip = joint + (way * math.cos(bend) + beside * math.sin(bend)) * rng.uniform(15, 40) * _PIXELS_PER_MM
        strokes.append([base - ahead * 10, joint, tip])
        widths.append(width * rng.uniform(0.85, 1.1))
    light = rng.uniform(0, 2 * math.pi)
    for line, thick in zip(strokes, widths, strict=True):
        _add_capsule(rgb, alpha, np.array(line), thick, tone, light, rng)
    grain = cv2.GaussianBlur(rng.normal(0, 1, (SIDE, SIDE)).astype(np.float32), (0, 0), 6) * 6
    rgb *= np.clip(1 + rng.uniform(0, 0.25) * grain, 0.5, 1.4)[..., None]
    return Layer(rgb, _soft(alpha, rng), OTHER)


def microphone(portrait: Portrait, rng: np.random.Generator) -> Layer:
    """A ball on a stick, mostly dark, that stands before the mouth or the chin."""
    middle = _somewhere_low(portrait, rng) + [0, rng.uniform(0, 20)]
    angle = rng.normal(math.pi / 2, 0.6)
    ahead = np.array([math.cos(angle), math.sin(angle)])
    rgb, alpha = np.zeros((SIDE, SIDE, 3), np.float32), np.zeros((SIDE, SIDE), np.float32)
    light = rng.uniform(0, 2 * math.pi)
    head = rng.uniform(30, 65) * _PIXELS_PER_MM
    _add_capsule(
        rgb,
        alpha,
        np.array([middle, middle + ahead * 200]),
        head * rng.uniform(0.4, 0.8),
        _colour(rng, 0.8),
        light,
        rng,
    )
    length = ahead * head * rng.uniform(0, 0.8)
    _add_capsule(rgb, alpha, np.array([middle, middle + length]), head, _colour(rng, 0.7), light, rng)
    rgb += rng.normal(0, rng.uniform(0, 25), (SIDE, SIDE, 1)).astype(np.float32)
    return Layer(rgb, _soft(alpha, rng), OTHER)


def piece(portrait: Portrait, picture: Image, rng: np.random.Generator) -> Layer:
    """A piece of some picture, in the shape of a blob, a bar or a sheet."""
    height, width = picture.shape[:2]
    side = int(min(height, width) * rng.uniform(0.25, 1.0))
    x, y = (int(rng.integers(0, length - side + 1)) for length in (width, height))
    rgb = cv2.resize(picture[y : y + side, x : x + side], (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    middle = _somewhere_low(portrait, rng)
    turn = np.sort(rng.uniform(0, 2 * math.pi, int(rng.integers(3, 10))))
    reach = rng.uniform(12, 60) * np.array([math.exp(rng.normal(0, 0.5)), math.exp(rng.normal(0, 0.5))])
    angle = rng.uniform(0, math.pi)
    shape = np.stack([np.cos(turn), np.sin(turn)], axis=1) * reach * rng.uniform(0.6, 1.2, (len(turn), 1))
    shape = shape @ np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]]) + middle
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    if rng.random() < 0.35:
        axes = tuple(int(v) + 3 for v in reach)
        cv2.ellipse(drawn, tuple(int(v) for v in middle), axes, math.degrees(angle), 0, 360, 255, -1)
    else:
        cv2.fillPoly(drawn, [np.round(shape).astype(np.int32)], 255)
    alpha = drawn.astype(np.float32) / 255
    if rng.random() < 0.5:
        alpha = np.clip(cv2.GaussianBlur(alpha, (0, 0), float(rng.uniform(2, 6))) * 4 - 1.5, 0, 1)
    plain = rng.random()
    layer = rgb.astype(np.float32)
    if plain < 0.3:
        layer = layer * 0.15 + _colour(rng, 0.3).astype(np.float32) * 0.85
    return Layer(layer, _soft(alpha.astype(np.float32), rng), OTHER)


def shaded(portrait: Portrait, rng: np.random.Generator) -> Portrait:
    """The portrait under a shadow with an edge, or with a streak of light: nothing lies in front there."""
    x, y = rng.uniform(0, SIDE, 2)
    angle = rng.uniform(0, 2 * math.pi)
    rows, columns = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    across = (columns - x) * math.cos(angle) + (rows - y) * math.sin(angle)
    if rng.random() < 0.4:
        across = rng.uniform(5, 25) - np.abs(across)
    edge = 1 / (1 + np.exp(-across / rng.uniform(0.5, 8)))
    gain = 1 + edge * (rng.uniform(0.12, 0.8) - 1 if rng.random() < 0.75 else rng.uniform(0.1, 0.4))
    return Portrait(np.clip(portrait.image * gain[..., None], 0, 255).astype(np.uint8), portrait.kinds, portrait.face)


def bearded(portrait: Portrait, other: Portrait, rng: np.random.Generator) -> Portrait:
    """The portrait with the hair of another one on chin and cheeks, which counts as skin: a mask covers a beard."""
    hair = other.kinds == HAIR
    if hair.sum() < 1500:
        return portrait
    points = portrait.face.landmarks_68
    first = int(rng.integers(1, 6))
    jaw = points[first : 17 - first]
    middle = points[[33, 57]].mean(axis=0)
    outer = middle + (jaw - middle) * rng.uniform(0.95, 1.25)
    shape = np.zeros((SIDE, SIDE), np.uint8)
    cheek = rng.uniform(0.35, 0.8)
    top = points[33] + rng.uniform(0.1, 0.5) * (points[51] - points[33])
    inner = [points[54] * cheek + outer[-1] * (1 - cheek), top, points[48] * cheek + outer[0] * (1 - cheek)]
    cv2.fillPoly(shape, [np.round(np.concatenate([outer, np.array(inner)])).astype(np.int32)], 255)
    cv2.fillConvexPoly(shape, cv2.convexHull(np.round(points[48:60]).astype(np.int32)), 0)
    alpha = cv2.GaussianBlur(shape.astype(np.float32) / 255, (0, 0), float(rng.uniform(1.5, 5)))
    rows, columns = np.nonzero(hair)
    # Its own hair, from the other picture's middle of hair to the chin, repeated where it ends.
    shift = points[8] - [np.median(columns), np.median(rows)]
    matrix = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    tone = np.median(other.image[hair], axis=0)
    moved = cv2.warpAffine(other.image, matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT).astype(np.float32)
    is_hair = cv2.warpAffine(hair.astype(np.uint8), matrix, (SIDE, SIDE), borderMode=cv2.BORDER_REFLECT)
    noise = cv2.GaussianBlur(rng.normal(0, 40, (SIDE, SIDE)).astype(np.float32), (0, 0), 0.7)[..., None]
    rgb = np.where(is_hair[..., None] > 0, moved, tone + noise)
    alpha *= (portrait.kinds != OTHER) * rng.uniform(0.3, 1.0)
    image = portrait.image * (1 - alpha[..., None]) + rgb * alpha[..., None]
    kinds = portrait.kinds.copy()
    kinds[(alpha > 0.25) & (kinds != UNKNOWN)] = SKIN
    return Portrait(np.clip(image, 0, 255).astype(np.uint8), kinds, portrait.face)


def _add_capsule(
    rgb: Float32Array,
    alpha: Float32Array,
    line: Float64Array,
    width: float,
    colour: Float64Array,
    light: float,
    rng: np.random.Generator,
) -> None:
    """Draw a thick line with round ends over what is there, lit from one side."""
    drawn = np.zeros((SIDE, SIDE), np.uint8)
    cv2.polylines(drawn, [np.round(line).astype(np.int32)], False, 255, max(round(width), 2))
    depth = cv2.distanceTransform(drawn, cv2.DIST_L2, 3)
    rounded = np.sqrt(np.clip(depth / max(width / 2, 1), 0, 1)) - 1
    along, down = cv2.Sobel(rounded, cv2.CV_32F, 1, 0), cv2.Sobel(rounded, cv2.CV_32F, 0, 1)
    side = (along * math.cos(light) + down * math.sin(light)) * rng.uniform(0, 0.5)
    shade = np.clip(1 + rng.uniform(0.1, 0.5) * rounded + side, 0.25, 1.4)
    inside = drawn > 0
    rgb[inside] = colour * shade[inside][:, None]
    alpha[inside] = 1


def _somewhere_low(portrait: Portrait, rng: np.random.Generator) -> Float64Array:
    """A place on the lower face, or beside it."""
    low = [*range(2, 15), *range(29, 36), *range(48, 68), *range(48, 68)]
    place: Float64Array = portrait.face.landmarks_68[low[rng.integers(len(low))]] + rng.normal(0, 10, 2)
    return place


def _similarity(angle_deg: float, scale: float, shift: Float64Array, mirror: bool) -> Float64Array:
    """A turn about the middle, a scale and a shift."""
    middle = (SIDE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), angle_deg, scale)
    matrix[:, 2] += shift
    if mirror:
        matrix = matrix @ np.array([[-1, 0, SIDE - 1], [0, 1, 0], [0, 0, 1]])
    return matrix


def _soft(alpha: Float32Array | Float64Array, rng: np.random.Generator) -> Float32Array:
    soft: Float32Array = cv2.GaussianBlur(alpha.astype(np.float32), (0, 0), float(rng.uniform(0.4, 1.0)))
    return soft


def _colour(rng: np.random.Generator, dark: float) -> Float64Array:
    """Dark grey in that share of cases, else any colour."""
    if rng.random() < dark:
        return np.clip(rng.uniform(5, 70) + rng.normal(0, 5, 3), 0, 255)
    return rng.uniform(0, 255, 3)
