"""The photographs that the dependencies ship."""

from importlib import resources

import cv2
import numpy as np


def shipped(name: str) -> np.ndarray:
    """One of InsightFace's pictures, RGB."""
    with resources.as_file(resources.files("insightface") / "data" / "images" / name) as path:
        return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


def astronaut(side: int = 512) -> np.ndarray:
    """scikit-image's, (side, side, 3), her face 0.23 of it."""
    import skimage.data

    return cv2.resize(skimage.data.astronaut(), (side, side), interpolation=cv2.INTER_AREA)
