"""Pictures of masks that lie on something, made by code: what a user's telephone or a shop's page shows."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from maskgen.catalog.store import Catalog

SIDE = 900
"""The longer side of the pictures, pixels."""


@dataclass(frozen=True)
class Product:
    """A picture, where it shows cloth, and where straps (H, W)."""

    image: np.ndarray
    cloth: np.ndarray
    straps: np.ndarray


# ---- masks, lying flat: RGBA, cloth 1 and straps 2 in a second array


def pleated(colour=(150, 196, 224), loops="loose", size_wh=(520, 290)):
    """A surgical mask: three pleats, hems, a nose wire, ear loops that lie loose."""
    width, height = size_wh
    pad = round(0.45 * width)
    rgba = np.zeros((height + pad, width + 2 * pad, 4), np.uint8)
    top, left = pad // 2, pad
    y = np.linspace(0, 1, height)[:, None]
    shade = 1 - 0.1 * np.exp(-(((y * 4) % 1) / 0.12)) * (y > 0.2) * (y < 0.95)
    x = np.linspace(0, 1, width)[None]
    shade = shade * (1 - 0.06 * ((x < 0.03) | (x > 0.97) | (y < 0.05) | (y > 0.95)))
    rng = np.random.default_rng(1)
    weave = 1 + 0.02 * rng.standard_normal((height, width))
    rgba[top : top + height, left : left + width, :3] = np.clip(
        np.array(colour) * (shade * weave)[..., None], 0, 255
    ).astype(np.uint8)
    rgba[top : top + height, left : left + width, 3] = 255
    corners = [
        ((left + 8, top + 8), (left + 8, top + height - 8)),
        ((left + width - 8, top + 8), (left + width - 8, top + height - 8)),
    ]
    return _with_loops(rgba, corners, loops)


def from_catalog(name, loops="loose", yaw=0):
    """A mask of the catalog that ships, as if it stood on the table."""
    view = next(view for view in Catalog.load().select(names=[name]).designs[0].views if view.rotation.holds(yaw, 0))
    picture = cv2.cvtColor(cv2.imread(str(view.path), cv2.IMREAD_UNCHANGED), cv2.COLOR_BGRA2RGBA)
    scale = 520 / picture.shape[1]
    picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    pad = 230
    rgba = cv2.copyMakeBorder(picture, pad // 2, pad // 2, pad, pad, cv2.BORDER_CONSTANT, value=(0, 0, 0, 0))
    rows, columns = np.nonzero(rgba[..., 3] > 200)
    sides = []
    for edge in (columns.min(), columns.max()):
        near = rows[np.abs(columns - edge) < 40]
        inwards = 12 if edge == columns.min() else -12
        sides.append(((edge + inwards, near.min() + 10), (edge + inwards, near.max() - 10)))
    return _with_loops(rgba, sides, loops)


def _with_loops(rgba, sides, loops):
    straps = np.zeros(rgba.shape[:2], np.uint8)
    for number, (upper, lower) in enumerate(sides):
        if loops == "none":
            break
        out = -1 if number == 0 else 1
        drop = abs(lower[1] - upper[1])
        reach = {"loose": 0.62, "wide": 0.85, "tucked": 0.25}[loops] * drop
        t = np.linspace(0, 1, 80)
        # A loop that has fallen: its lower half hangs farther out.
        x = upper[0] + out * reach * np.sin(np.pi * t) ** 0.7 * (0.8 + 0.4 * t)
        y = upper[1] + (lower[1] - upper[1]) * (t + 0.12 * np.sin(2 * np.pi * t))
        line = np.stack([x, y], axis=1).round().astype(np.int32)
        cv2.polylines(straps, [line[:, None]], False, 255, 9, cv2.LINE_AA)
    behind = rgba[..., 3] < 128
    shown = behind & (straps > 0)
    rgba = rgba.copy()
    rgba[shown, :3] = (236, 236, 234)
    rgba[shown, 3] = straps[shown]
    return rgba, np.where(shown, 2, np.where(rgba[..., 3] > 127, 1, 0)).astype(np.uint8)


def folded(rgba, parts):
    """A mask folded in half down its middle."""
    columns = np.flatnonzero((parts == 1).any(axis=0))
    middle = (columns[0] + columns[-1]) // 2
    rgba, parts = rgba.copy(), parts.copy()
    rgba[:, :middle], parts[:, :middle] = 0, 0
    return rgba, parts


# ---- what they lie on, RGB floats 0 to 1


def _blurred_noise(rng, shape, sigma):
    noise = cv2.GaussianBlur(rng.standard_normal(shape).astype(np.float32), (0, 0), sigmaX=sigma[1], sigmaY=sigma[0])
    return noise / noise.std()


def plain(rng, shape, colour=(0.96, 0.96, 0.95)):
    return np.broadcast_to(np.array(colour, np.float32), (*shape, 3)).copy()


def gradient(rng, shape, colour=(0.80, 0.83, 0.86), fall=0.35):
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    return np.array(colour) * (1 - fall * (0.7 * y + 0.3 * np.square(x - 0.3)))[..., None]


def wood(rng, shape, colour=(0.62, 0.44, 0.28)):
    grain = 0.09 * _blurred_noise(rng, shape, (1.2, 60)) + 0.06 * _blurred_noise(rng, shape, (5, 200))
    planks = np.ones(shape[0])
    for row in range(shape[0] // 5, shape[0], shape[0] // 4):
        planks[row : row + 5] = 0.55
    lit = (1 + grain) * planks[:, None]
    return np.array(colour) * lit[..., None] ** np.array([0.9, 1.05, 1.2])


def sheet(rng, shape, colour=(0.86, 0.85, 0.83)):
    folds = 0.06 * _blurred_noise(rng, shape, (60, 90)) + 0.02 * _blurred_noise(rng, shape, (8, 40))
    return np.array(colour) * (1 + folds + 0.015 * rng.standard_normal(shape))[..., None]


def stone(rng, shape, colour=(0.55, 0.56, 0.58)):
    specks = 0.10 * _blurred_noise(rng, shape, (2, 2)) + 0.05 * _blurred_noise(rng, shape, (20, 20))
    return np.array(colour) * (1 + specks)[..., None]


def chequered(rng, shape, colours=((0.85, 0.30, 0.30), (0.93, 0.92, 0.90))):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.where((((y // 45) + (x // 45)) % 2)[..., None], *np.array(colours)[:, None, None])


# ---- put together


def lying(
    mask,
    ground: Callable | None,
    *,
    turn_deg=0.0,
    fill=0.62,
    tilt=0.0,
    slant=0.0,
    shadow=0.45,
    light=(1.0, 1.0, 1.0),
    seed=0,
    shape=(680, SIDE),
) -> Product:
    """A mask on a ground; without one, cut out.

    Parameters
    ----------
    turn_deg : float
        Turned on the table.
    fill : float
        The longer side of mask and straps against that of the picture.
    tilt, slant : float
        How much its far edge, or one side, is shortened by the angle of the camera, 0 to 0.5.
    shadow : float
        How dark its soft shadow is.
    light : (3,)
        Colour of the light.
    """
    rgba, parts = mask
    rng = np.random.default_rng(seed)
    rows, columns = np.nonzero(parts)
    box = np.array([[columns.min(), rows.min()], [columns.max(), rows.min()], [columns.max(), rows.max()],
                    [columns.min(), rows.max()]], np.float32)  # fmt: skip
    size = box[2] - box[0]
    flat = (box - box.mean(axis=0)) / max(size)
    # Towards the far edge things shrink.
    far = 1 - tilt * (0.5 - flat[:, 1:]) - slant * (0.5 + flat[:, :1])
    seen = flat * far * [1 - 0.6 * slant, 1 - 0.6 * tilt]
    angle = np.radians(turn_deg)
    seen = seen @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    span = np.ptp(seen, axis=0)
    scale = fill * min(shape[1] / span[0], shape[0] / span[1])
    low = seen.min(axis=0)
    placed = ((seen - low - span / 2) * scale + np.array([shape[1], shape[0]]) / 2).astype(np.float32)
    matrix = cv2.getPerspectiveTransform(box, placed)
    size_wh = shape[1], shape[0]
    straight = rgba.astype(np.float32) / 255
    straight[..., :3] *= straight[..., 3:]
    over = cv2.warpPerspective(straight, matrix, size_wh, flags=cv2.INTER_AREA)
    shown = cv2.warpPerspective(parts, matrix, size_wh, flags=cv2.INTER_NEAREST)
    alpha = over[..., 3:]
    if ground is None:
        colour = over[..., :3] / np.maximum(alpha, 1e-3) * np.array(light)
        image = np.concatenate([np.clip(colour, 0, 1), alpha], axis=-1)
        return Product((image * 255).round().astype(np.uint8), shown == 1, shown == 2)
    back = ground(rng, shape)
    dark = np.zeros(shape, np.float32)
    for sigma, shift, share in ((26, 18, 0.6), (7, 5, 0.4)):
        moved = cv2.warpAffine(over[..., 3], np.array([[1.0, 0, shift], [0, 1.0, shift]]), size_wh)
        dark += share * cv2.GaussianBlur(moved, (0, 0), sigma)
    back = back * (1 - shadow * dark)[..., None]
    y, x = np.mgrid[0 : 1 : shape[0] * 1j, 0 : 1 : shape[1] * 1j]
    lamp = (1.05 - 0.18 * np.hypot(x - 0.35, y - 0.2))[..., None]
    image = (back * (1 - alpha) + over[..., :3]) * lamp * np.array(light)
    image = image + 0.008 * rng.standard_normal(image.shape)
    jpeg = cv2.imencode(".jpg", (np.clip(image, 0, 1)[..., ::-1] * 255).round().astype(np.uint8), [1, 90])[1]
    decoded = cv2.cvtColor(cv2.imdecode(jpeg, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)
    return Product(decoded, shown == 1, shown == 2)


USABLE = {
    "pleated-wood": lambda: lying(pleated(), wood, turn_deg=8),
    "pleated-sheet-turned": lambda: lying(pleated((120, 180, 215)), sheet, turn_deg=65, fill=0.7),
    "pleated-upside-down": lambda: lying(pleated(), gradient, turn_deg=172),
    "pleated-white-on-grey": lambda: lying(pleated((232, 233, 232), "wide"), gradient, turn_deg=-20, shadow=0.6),
    "pleated-black-on-white": lambda: lying(pleated((40, 40, 43)), plain, turn_deg=90),
    "pleated-tilted": lambda: lying(pleated((170, 205, 190)), wood, tilt=0.3, turn_deg=-12),
    "pleated-chequered": lambda: lying(pleated((70, 110, 170)), chequered, turn_deg=30),
    "pleated-fills-frame": lambda: lying(pleated(loops="none"), plain, fill=0.985, shadow=0.2),
    "pleated-transparent": lambda: lying(pleated(), None, turn_deg=0, fill=0.9),
    "pleated-transparent-filling": lambda: lying(pleated(loops="none"), None, fill=1.0, shape=(500, 896)),
    "kn95-stone": lambda: lying(from_catalog("kn95-white"), stone, turn_deg=15),
    "kn95-transparent": lambda: lying(from_catalog("kn95-white", "tucked"), None, turn_deg=0, fill=0.9),
    "cloth-sheet": lambda: lying(from_catalog("cloth-red-dots"), sheet, turn_deg=-35),
    "cloth-black-wood": lambda: lying(from_catalog("cloth-black"), wood, turn_deg=120, light=(1.0, 0.9, 0.75)),
    "cloth-grey-gradient": lambda: lying(from_catalog("cloth-grey"), gradient, light=(0.85, 0.93, 1.0)),
    "cloth-floral-plain": lambda: lying(from_catalog("cloth-floral-navy", "wide"), plain, turn_deg=180),
}
"""Pictures from which a mask should be taken, by name."""

REFUSED = {
    "folded-plain": lambda: lying(folded(*from_catalog("kn95-white")), gradient),
    "folded-wood": lambda: lying(folded(*from_catalog("cloth-black")), wood, turn_deg=20),
    "three-quarter": lambda: lying(from_catalog("cloth-red-dots", "none", yaw=40), plain),
    "three-quarter-turned": lambda: lying(from_catalog("kn95-white", "none", yaw=-40), wood, turn_deg=15),
}
"""Pictures that show no whole mask from its front, by name."""
