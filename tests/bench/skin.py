"""Measure `maskgen.masking.light.SKIN_RGB`: the geometric mean of the skin's colour over the faces of LFW.

    python tests/bench/skin.py DATA

DATA holds ``lfw/`` and ``lfw_mesh.npz``.
"""

import sys
from pathlib import Path

import numpy as np

from maskgen.face import Face, HeadPose
from maskgen.face.landmarks import bbox_of_points, keypoints_of
from maskgen.masking.light import middle_of_skin, skin_region
from maskgen.packtraining.data import lfw_points, read


def main(data: Path) -> None:
    colours = []
    for name, (p, _) in list(lfw_points(data).items())[::10]:
        image = read(data / "lfw" / name)
        face = Face(bbox_of_points(p), keypoints_of(p), p, HeadPose(0, 0, 0))
        colours.append(middle_of_skin(image[skin_region(face, (image.shape[1], image.shape[0]))].astype(np.float32)))
    logarithms = np.log(colours)
    print(
        f"{len(colours)} faces: RGB {np.exp(logarithms.mean(axis=0)).round(1)}, "
        f"log sd {logarithms.std(axis=0).round(2)}"
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
