"""How a mask that was found in a photograph looks: its outline, its ear loops, and its colours without the light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray, Float32Array, Float64Array, Image, IntArray
from maskgen.images import LUMA
from maskgen.studio.photo.crop import Crop, hull, signed_distance

if TYPE_CHECKING:
    from maskgen.masking import illuminant

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


# Cloth of less chroma (Lab) than this in some light that may be on it is white, grey or black, unless the photograph
# shows it with more than that: then it is dyed.
_NEUTRAL_CLOTH: Final = 6.5
_DYED: Final = 10.0
# Pale blue cloth looks bluer towards green than white cloth does under any sky: hues in Lab, degrees, and least chroma.
_PALE_BLUE: Final = (190.0, 250.0)
_PALE: Final = 2.5
# It is blue in neutral light too: so much of its chroma, at least, is left there.
_UNEXPLAINED: Final = 0.9
# White cloth looks beige in the light of lamps: so much chroma, on cloth so light, is put down to that.
_WARM_WHITE: Final = 12.0
_LIGHT: Final = 68.0
# A brighter face is pale skin rather than bright light: cloth is not made darker by more.
_BRIGHTEST_LIGHT: Final = 1.2
# Neutral cloth is not made darker than this (sRGB): a bright face under it is pale skin, not bright light.
_WHITE_CLOTH: Final = 0.86
# The whites of eyes: among the brighter pixels between the lids, those of little colour; how many tell something.
_EYE_BRIGHT: Final = 50
_EYE_TINT: Final = 0.3
_EYE_FEWEST: Final = 24
# They are a little red in neutral light: logarithms of R/G and B/G.
_EYE_CAST: Final = np.array([0.06, -0.03])


def in_neutral_light(rgb: Float32Array, alpha: Float32Array, crop: Crop, skin: BoolArray, image: Image) -> Float32Array:
    """Colours as a well-exposed, neutral photograph shows them: the inverse of what blending does to a mask.

    The light is told by skin, the whites of the eyes and the scene; the mask itself does not count, or its own colour
    would be taken off it.
    """
    from maskgen.masking import illuminant
    from maskgen.masking.light import light_on

    pixels = crop.pixels[skin].astype(np.float32)
    scene = illuminant.reduced(image)
    shrink = np.array([[scene.shape[1] / image.shape[1]], [scene.shape[0] / image.shape[0]]], np.float32)
    to_scene = cv2.invertAffineTransform(crop.from_image) * shrink
    covered = cv2.warpAffine(alpha, to_scene, scene.shape[1::-1], flags=cv2.INTER_AREA) > 0.01
    if len(pixels):
        scene[cv2.dilate(covered.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0] = np.median(pixels, axis=0)
    light = light_on(pixels, illuminant.scene_in(scene), _eye_whites(crop))
    balance = 1 + (light.balance - 1) * light.saturation
    sure = alpha > 0.9 * float(alpha.max())
    middle = np.median(rgb[sure], axis=0).astype(np.float32) + np.float32(1e-3)
    exposure = min(light.exposure, _BRIGHTEST_LIGHT)
    # Of the balances between none and the light's, the one under which the cloth is closest to grey.
    shares = np.linspace(0, 1, 11)
    chromas = [chroma_of(middle / balance**share) for share in shares]
    lightness, a, b = lab_of(middle)
    is_warm_white = lightness > _LIGHT and b > abs(a) and min(chromas) < _WARM_WHITE
    is_neutral = min(chromas) < _NEUTRAL_CLOTH and chromas[0] < _DYED
    balanced = np.clip(middle / balance, 0, 1)
    is_pale_blue = _is_pale_blue(middle, _PALE) and _is_pale_blue(balanced, _PALE)
    if is_neutral and is_pale_blue and chroma_of(balanced) > _UNEXPLAINED * chromas[0]:
        # So small a tint is as uncertain as the light: it stays as it was photographed.
        balance = np.ones(3, np.float32)
        exposure = min(exposure, max(float(middle @ LUMA) / _WHITE_CLOTH, 1.0))
    elif is_warm_white or is_neutral:
        balance = middle / (middle @ LUMA)
        exposure = min(exposure, max(float(middle @ LUMA) / _WHITE_CLOTH, 1.0))
    lit = rgb / (exposure * balance)
    brightest = float(np.percentile(lit.max(axis=-1)[sure], 99))
    result: Float32Array = np.clip(lit * min(1.0, 0.97 / max(brightest, 1e-3)), 0, 1).astype(np.float32)
    return result


def _is_pale_blue(rgb: Float32Array | Float64Array, least: float) -> bool:
    """Whether a colour (3,), sRGB 0 to 1, is blue towards green, and of so much chroma at least."""
    _, a, b = lab_of(rgb)
    return bool(np.hypot(a, b) >= least and _PALE_BLUE[0] < np.degrees(np.arctan2(b, a)) % 360 < _PALE_BLUE[1])


def _eye_whites(crop: Crop) -> illuminant.Cue:
    """What the whites of the eyes say of the light."""
    from maskgen.masking import illuminant

    eyes = hull(crop.points[36:42], crop.inside.shape, 0.9) | hull(crop.points[42:48], crop.inside.shape, 0.9)
    pixels = crop.pixels[eyes & crop.inside].astype(np.float32)
    if len(pixels) < 2 * _EYE_FEWEST:
        return illuminant.SILENT
    luma = pixels @ LUMA
    tint = np.ptp(pixels, axis=1) / np.maximum(pixels.max(axis=1), 1)
    white = pixels[(luma >= np.percentile(luma, _EYE_BRIGHT)) & (tint < _EYE_TINT) & (pixels.max(axis=1) < 250)]
    if len(white) < _EYE_FEWEST:
        return illuminant.SILENT
    return illuminant.Cue(illuminant.cast_of(white.mean(axis=0)) - _EYE_CAST, True)


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

_COLOURS: Final = (
    ("red", (190, 45, 50)), ("pink", (225, 140, 165)), ("orange", (225, 120, 50)), ("brown", (110, 75, 55)),
    ("beige", (215, 195, 170)), ("yellow", (225, 205, 80)), ("yellow", (200, 150, 40)), ("green", (70, 140, 80)),
    ("mint", (160, 215, 195)), ("mint", (151, 199, 194)), ("teal", (40, 140, 145)), ("light blue", (160, 205, 230)),
    # Surgical masks: towards green, and paler the more light falls on them.
    ("light blue", (155, 204, 214)), ("light blue", (175, 197, 199)), ("blue", (60, 110, 185)), ("navy", (35, 45, 80)),
    ("purple", (115, 70, 135)), ("lilac", (190, 175, 215)),
)  # fmt: skip
# Up to which lightness (Lab) cloth without colour bears a name.
_GREYS: Final = ((27.0, "black"), (45.0, "dark grey"), (64.0, "grey"), (75.0, "light grey"), (101.0, "white"))
# Cloth of less chroma has no colour; dark cloth needs more of it.
_COLOURLESS: Final = 6.0
_COLOURLESS_DARK: Final = 9.0
_COLOURLESS_PALE_BLUE: Final = 3.5
# What lightness, chroma and hue count in telling colours apart: folds and light change the first two.
_COUNTS: Final = (0.35, 0.45, 1.5)


def colour_of(rgba: Image) -> str:
    """The main colour of a cut-out, in words."""
    opaque = rgba[rgba[..., 3] > 200][:, :3] if (rgba[..., 3] > 200).any() else rgba[rgba[..., 3] > 0][:, :3]
    colour = np.median(opaque, axis=0) / 255
    lightness, a, b = lab_of(colour)
    chroma = float(np.hypot(a, b))
    is_dark = lightness < _GREYS[1][0]
    if chroma < (_COLOURLESS_DARK if is_dark else _COLOURLESS) and (
        is_dark or not _is_pale_blue(colour, _COLOURLESS_PALE_BLUE)
    ):
        return next(name for limit, name in _GREYS if lightness < limit)

    def apart(named: tuple[str, tuple[int, int, int]]) -> float:
        lightness_named, a_named, b_named = lab_of(np.array(named[1]) / 255)
        chroma_named = float(np.hypot(a_named, b_named))
        # The difference of hue, as CIE 1976 has it.
        hue = 2 * (chroma * chroma_named - a * a_named - b * b_named)
        differences = lightness - lightness_named, chroma - chroma_named, np.sqrt(max(hue, 0.0))
        return float(np.linalg.norm(np.multiply(_COUNTS, differences)))

    return min(_COLOURS, key=apart)[0]


def lab_of(rgb: Float32Array | Float64Array) -> tuple[float, float, float]:
    """CIELAB of a colour (3,), sRGB 0 to 1."""
    lightness, a, b = cv2.cvtColor(np.asarray(rgb, np.float32)[None, None], cv2.COLOR_RGB2LAB)[0, 0]
    return float(lightness), float(a), float(b)


def chroma_of(rgb: Float32Array | Float64Array) -> float:
    """Chroma in Lab of a colour (3,), sRGB 0 to 1."""
    return float(np.hypot(*lab_of(np.clip(np.asarray(rgb, np.float32), 0, 1))[1:]))
