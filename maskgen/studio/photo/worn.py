"""Whether there is a mask on a face, and whether it can be seen."""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np

from maskgen.arrays import BoolArray
from maskgen.studio.photo.colours import overlap, quantised
from maskgen.studio.photo.crop import WORK_SCALE, Crop, hull
from maskgen.studio.photo.regions import Regions


def skin_score(crop: Crop, regions: Regions) -> float:
    """How much nose, mouth and chin look like skin, 0 to 1; a bare face lies above one half.

    The mean of two: the overlap of their colours with the forehead's (Bhattacharyya), and the share of pixels with a
    hue that skin has. A hat misleads the first, a mask in the colour of skin the second.
    """
    shared = skin_overlap(crop, regions)
    if not has_colour(crop, regions):
        return shared
    lab = cv2.cvtColor(crop.pixels, cv2.COLOR_RGB2LAB).astype(np.float32)
    a, b = lab[..., 1] - 128, lab[..., 2] - 128
    hue = (a > 4) & (a < 32) & (b > 2) & (b < 38) & (lab[..., 0] > 35)
    return (shared + float(hue[regions.core & crop.inside].mean())) / 2


def skin_overlap(crop: Crop, regions: Regions, area: BoolArray | None = None) -> float:
    """How much the colours of nose, mouth and chin, or of another area, are those of the forehead, 0 to 1."""
    area = regions.core if area is None else area
    return overlap(quantised(crop.pixels), area & crop.inside, regions.skin)


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
