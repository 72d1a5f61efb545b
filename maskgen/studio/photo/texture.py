"""How a mask that was found in a photograph looks: its outline, its ear loops, and its colours without the light."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Image, IntArray
from maskgen.images import LUMA
from maskgen.studio.photo.segment import Crop, signed_distance

# ---- its outline, as the camera saw it


def local_mean(values: Float32Array, weight: Float32Array, sigma: float) -> Float32Array:
    """Blur that counts weighted pixels only (normalised convolution); far from all of them, their plain mean."""
    total = cv2.GaussianBlur(weight, (0, 0), sigma)
    blurred = cv2.GaussianBlur(values * weight[..., None], (0, 0), sigma)
    mean = (values * weight[..., None]).sum(axis=(0, 1)) / max(float(weight.sum()), 1e-6)
    faint = np.float32(1e-4)
    result: Float32Array = (blurred + faint * mean) / (total + faint)[..., None]
    return result.astype(np.float32)


def outlined(crop: Crop, region: BoolArray) -> tuple[Float32Array, Float32Array]:
    """Alpha (H, W) and colours (H, W, 3), 0 to 1, free of what lies behind, from a region at a coarser scale.

    Near the outline a pixel is a mixture of the mean colours of both its sides; its alpha is where it stands between
    them. Where the sides look alike, the smoothed outline decides.
    """
    mm = crop.pixels_per_mm
    size_wh = (crop.pixels.shape[1], crop.pixels.shape[0])
    soft = cv2.GaussianBlur(region.astype(np.float32), (0, 0), 1.0)
    soft = cv2.resize(soft, size_wh, interpolation=cv2.INTER_CUBIC)
    smooth = cv2.GaussianBlur(soft, (0, 0), 1.2 * mm) > 0.5
    distance = signed_distance(smooth, mm)
    colours: Float32Array = crop.pixels / np.float32(255)
    reach = max(1.6, 1.2 / mm)
    front = local_mean(colours, (distance > reach).astype(np.float32), 2.2 * mm)
    behind = local_mean(colours, ((distance < -reach) & crop.inside).astype(np.float32), 2.2 * mm)
    axis = front - behind
    length2 = np.square(axis).sum(axis=-1)
    mixture = ((colours - behind) * axis).sum(axis=-1) / np.maximum(length2, 1e-4)
    trust = np.clip((np.sqrt(length2) - 0.08) / 0.15, 0, 1)
    # Half a pixel, or half a millimetre, of softness: what a lens leaves.
    edge = np.clip(distance / max(1.0, 1.0 / mm) + 0.35, 0, 1)
    mixed = trust * np.clip((mixture - 0.15) / 0.7, 0, 1) + (1 - trust) * edge
    # A little way from the outline, the graph cut decides.
    decided = np.where(distance > reach, 1, np.where(distance < -reach, 0, mixed)).astype(np.float32)
    alpha = cv2.GaussianBlur(decided, (0, 0), max(0.35 * mm, 0.5))
    alpha *= np.clip((alpha - 0.04) / 0.1, 0, 1)
    inner = ((distance > 0.8) & (alpha > 0.97)).astype(np.float32)
    clean = local_mean(colours, inner, 1.2 * mm)
    keep = cv2.GaussianBlur(cv2.erode(inner, np.ones((3, 3))), (0, 0), 0.7)[..., None]
    return np.asarray(alpha, np.float32), np.asarray(colours * keep + clean * (1 - keep), np.float32)


# ---- its light, taken off


def delit(rgb: Float32Array, alpha: Float32Array, crop: Crop) -> Float32Array:
    """Colours with the fall of light across the mask divided out.

    Light changes smoothly: a surface of second degree through the logarithm of the luminance, robust against prints.
    """
    sure = alpha > 0.9
    luma = np.log(rgb @ LUMA + 0.03)
    rows, columns = np.nonzero(sure)
    if len(rows) < 60:
        return rgb
    step = max(len(rows) // 6000, 1)
    rows, columns = rows[::step], columns[::step]
    unit = 60 * crop.pixels_per_mm
    centre = np.array([rows.mean(), columns.mean()])

    def terms(y: Float32Array, x: Float32Array) -> Float32Array:
        down, right = (y - centre[0]) / unit, (x - centre[1]) / unit
        return np.stack([np.ones_like(right), right, down, right * right, right * down, down * down], axis=-1)

    system = terms(rows.astype(np.float64), columns.astype(np.float64))
    values = luma[rows, columns].astype(np.float64)
    weight = np.ones(len(values))
    for _ in range(8):
        normal = system.T @ (system * weight[:, None]) + 1e-3 * len(values) * np.diag([0, 1, 1, 1, 1, 1])
        solution = np.linalg.solve(normal, system.T @ (values * weight))
        rest = np.abs(values - system @ solution)
        weight = 1 / np.maximum(rest / max(1.5 * float(np.median(rest)), 1e-3), 1)
    # What the surface does not explain is a print. The more that is, the less of the surface is light.
    spread = float(np.median(rest))
    belief = float(np.clip(1.1 - spread / 0.35, 0.3, 0.9))
    grid = np.mgrid[: rgb.shape[0], : rgb.shape[1]].astype(np.float64)
    shade = terms(grid[0], grid[1]) @ solution
    shade -= float(np.median(shade[sure]))
    gain = np.exp(-belief * np.clip(shade, -0.9, 0.6))
    result: Float32Array = (rgb * gain[..., None]).astype(np.float32)
    return result


def in_neutral_light(rgb: Float32Array, alpha: Float32Array, crop: Crop, skin: BoolArray) -> Float32Array:
    """Colours as a well-exposed, neutral photograph shows them: the inverse of what blending does to a mask."""
    from maskgen.masking.light import light_on

    light = light_on(crop.pixels[skin].astype(np.float32))
    balance = 1 + (light.balance - 1) * light.saturation
    sure = alpha > 0.9 * float(alpha.max())
    middle = np.median(rgb[sure], axis=0) + 1e-3
    # Of the balances between none and the skin's, the one under which the cloth is closest to grey.
    shares = np.linspace(0, 1, 11)
    tints = [float(np.ptp(middle / balance**share) / middle.max()) for share in shares]
    balance = balance ** shares[int(np.argmin(tints))]
    lit = rgb / (light.exposure * balance)
    brightest = float(np.percentile(lit.max(axis=-1)[sure], 99))
    result: Float32Array = np.clip(lit * min(1.0, 0.97 / max(brightest, 1e-3)), 0, 1).astype(np.float32)
    return result


# ---- straps


def straps(crop: Crop, alpha: Float32Array) -> Float32Array:
    """Alpha (H, W) of ear loops: thin lines, in the shade of the mask or of white elastic, from its sides to the ears.

    Between rim and ear, the path that looks most like a line is taken, as far from the rim as it looks like one.
    """
    mm = crop.pixels_per_mm
    luma = cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2LAB)[..., 0].astype(np.float32)
    wide = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * max(round(4 * mm), 2) + 1,) * 2)
    light = luma - cv2.morphologyEx(luma, cv2.MORPH_OPEN, wide)
    dark = cv2.morphologyEx(luma, cv2.MORPH_CLOSE, wide) - luma
    region = alpha > 0.5
    is_dark = float(np.median(luma[region])) < 90
    fitting = np.where(luma < 100, dark, 0) if is_dark else np.where(luma > 110, light, 0)
    response: Float32Array = np.where(crop.inside, fitting, 0).astype(np.float32)
    near = cv2.dilate(region.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=max(round(0.8 * mm), 1)) > 0
    cost: Float32Array = (1 / (0.08 + np.clip(response / 30, 0, 1.2)) + np.where(near, 500, 0)).astype(np.float32)
    result = np.zeros_like(alpha)
    rows, columns = np.nonzero(near & ~region)
    if not len(rows):
        return result
    for side in ("image_left", "image_right"):
        outer = crop.place(["1" if side == "image_left" else "15"])[0]
        towards = np.sign(outer[0] - crop.points[33, 0])
        for end in ("upper", "lower"):
            ear = crop.place([f"ear_{side}_{end}"])[0]
            # The loop vanishes behind the ear's lobe or its upper rim, before the anchor.
            goal = outer + 0.5 * (ear - outer) + [towards * 4 * mm, 0]
            corner = crop.place(
                ["2" if end == "upper" else "4"] if side == "image_left" else ["14" if end == "upper" else "12"]
            )[0]
            path = _path(cost, rows, columns, corner, goal, mm)
            if path is not None:
                _follow(path, response, result, near, mm)
    return result


def _path(
    cost: Float32Array,
    rows: IntArray,
    columns: IntArray,
    corner: Float32Array,
    goal: Float32Array,
    mm: float,
) -> IntArray | None:
    from skimage.graph import MCP_Geometric

    close = np.hypot(rows - corner[1], columns - corner[0]) < 22 * mm
    height, width = cost.shape
    x, y = round(float(goal[0])), round(float(goal[1]))
    if not close.any() or not (0 <= x < width and 0 <= y < height):
        return None
    paths = MCP_Geometric(cost)
    paths.find_costs(list(zip(rows[close], columns[close], strict=True)), [(y, x)])
    return np.asarray(paths.traceback((y, x)), np.intp)


def _follow(path: IntArray, response: Float32Array, result: Float32Array, near: BoolArray, mm: float) -> None:
    path = path[~near[path[:, 0], path[:, 1]]]
    if len(path) < 8 * mm:
        return
    along = response[path[:, 0], path[:, 1]]
    width = max(round(3 * mm), 1)
    smooth = np.convolve(along, np.ones(width) / width, mode="same")
    broken = np.nonzero(smooth < 12)[0]
    end = int(broken[0]) if len(broken) else len(path)
    if end < 8 * mm or float(along[:end].mean()) < 18:
        return
    line = np.ones(response.shape, np.uint8)
    line[path[:end, 0], path[:end, 1]] = 0
    apart = cv2.distanceTransform(line, cv2.DIST_L2, 5)
    strength = float(np.percentile(along[:end], 70))
    strap = np.clip(response / strength * 1.15, 0, 1) * np.clip(2.2 - apart / max(1.2 * mm, 1.0), 0, 1)
    np.maximum(result, strap, out=result)


# ---- its colour, in words

_COLOURS: Final = {
    "red": (190, 45, 50), "pink": (225, 140, 165), "orange": (225, 120, 50), "brown": (110, 75, 55),
    "beige": (215, 195, 170), "yellow": (225, 205, 80), "green": (70, 140, 80), "mint": (160, 215, 195),
    "teal": (40, 140, 145), "light blue": (160, 205, 230), "blue": (60, 110, 185), "navy": (35, 45, 80),
    "purple": (115, 70, 135), "lilac": (190, 175, 215), "black": (35, 35, 37), "dark grey": (75, 76, 78),
    "grey": (130, 131, 133), "light grey": (185, 186, 188), "white": (232, 233, 233),
}  # fmt: skip


def colour_of(rgba: Image) -> str:
    """The main colour of a cut-out, in words."""
    opaque = rgba[rgba[..., 3] > 200][:, :3] if (rgba[..., 3] > 200).any() else rgba[rgba[..., 3] > 0][:, :3]
    named = np.array(list(_COLOURS.values()), np.uint8)
    both = np.concatenate([np.median(opaque, axis=0).round().astype(np.uint8)[None], named])[None]
    lab = cv2.cvtColor(both, cv2.COLOR_RGB2LAB)[0].astype(np.float32)
    # Hue counts more than lightness, which folds and light change.
    apart = np.linalg.norm((lab[1:] - lab[0]) * [0.6, 1.2, 1.2], axis=1)
    return list(_COLOURS)[int(apart.argmin())]
