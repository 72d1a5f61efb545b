"""Measure `maskgen.blend.SKIN_RGB`: the geometric mean of the skin's colour over the faces of LFW.

    python tests/bench/skin.py DATA

DATA holds ``lfw/`` and ``lfw_mesh.npz``.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from maskgen.blend import middle_of_skin, skin_region
from maskgen.face import Face, HeadPose
from maskgen.landmarks import bbox_of_points, keypoints_of
from maskgen.packs.training.data import points_of_mesh


def main(data: Path) -> None:
    with np.load(data / "lfw_mesh.npz") as mesh:
        names = mesh["names"]
        points = points_of_mesh(mesh["xyz"].astype(np.float32), mesh["vertex_ids"])[0]
    colours = []
    for name, p in zip(names[::10], points[::10], strict=True):
        image = cv2.cvtColor(cv2.imread(str(data / "lfw" / name)), cv2.COLOR_BGR2RGB)
        face = Face(bbox_of_points(p), keypoints_of(p), p, HeadPose(0, 0, 0))
        colours.append(middle_of_skin(image[skin_region(face, (image.shape[1], image.shape[0]))].astype(np.float32)))
    logarithms = np.log(colours)
    print(
        f"{len(colours)} faces: RGB {np.exp(logarithms.mean(axis=0)).round(1)}, "
        f"log sd {logarithms.std(axis=0).round(2)}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
