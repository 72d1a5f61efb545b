"""Make the pictures of the README: ``python .github/pictures.py``.

The photograph is NASA's portrait of the astronaut Eileen Collins. It is in the public domain. scikit-image ships it
and names its source: the NASA Great Images database, https://flic.kr/p/r9qvLn.
"""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from skimage import data

from maskgen import Catalog, FaceDetector
from maskgen.masking.augment import mask_faces, observe_all
from maskgen.masking.recipe import Recipe
from maskgen.parse import FaceParser

HERE = Path(__file__).parent
AFTER = (("surgical-blue", "correct"), ("cloth-grey", "nose_out"))
DESIGNS = (
    ("kn95-white", "surgical-pink", "pleated-flowers-yellow", "n95-cup-white-valve", "window-blue"),
    ("pleated-tartan-green", "surgical-white-open", "ffp2-boat-black", "duckbill-blue", "cloth-stripes-breton"),
)
# Rows and columns of the enlarged photograph.
PORTRAIT = np.s_[20:520, 215:675]
FACE = np.s_[60:430, 295:615]
GAP = 10


def main() -> None:
    # Enlarged first, so that the masks get the photograph's own sharpness.
    photograph = cv2.resize(data.astronaut(), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    catalog = Catalog.load()
    faces = FaceDetector().detect(photograph)
    observed = observe_all(photograph, faces, FaceParser())

    def wearing(design: str, wear: str = "correct") -> np.ndarray:
        recipe = Recipe(wear=((wear, 1.0),))
        rng = np.random.default_rng(0)
        return mask_faces(photograph, faces, observed, catalog.select(names=[design]), rng, recipe).image

    panels = [photograph, *(wearing(design, wear) for design, wear in AFTER)]
    save(HERE / "astronaut.jpg", side_by_side([panel[PORTRAIT] for panel in panels]))
    rows = [side_by_side([wearing(design)[FACE] for design in row]) for row in DESIGNS]
    save(HERE / "designs.jpg", np.vstack([rows[0], np.full((GAP, *rows[0].shape[1:]), 255, np.uint8), rows[1]]))


def side_by_side(panels: list[np.ndarray]) -> np.ndarray:
    gap = np.full((len(panels[0]), GAP, 3), 255, np.uint8)
    return np.hstack([part for panel in panels for part in (gap, panel)][1:])


def save(path: Path, pixels: np.ndarray) -> None:
    Image.fromarray(pixels).save(path, quality=88, optimize=True)
    print(f"{path}: {pixels.shape[1]} x {pixels.shape[0]}, {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
