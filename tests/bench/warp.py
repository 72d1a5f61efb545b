"""Time the warp and the blend of one face, as ratios within one run.

    python tests/bench/warp.py

The plain version warps the whole image once per triangle, as a direct reading of "triangle by triangle" does; the fast
one builds one inverse map and remaps once. Both draw the same mask; the greatest difference is printed.
"""

import statistics
import time
from collections.abc import Callable

import cv2
import numpy as np

from maskgen.catalog.store import Catalog
from maskgen.catalog.view import View
from maskgen.face import Face, HeadPose
from maskgen.face.head import mean_head, points_on_face
from maskgen.face.landmarks import bbox_of_points, keypoints_of
from maskgen.face.pose import rotation_matrix
from maskgen.masking import blend, light
from maskgen.masking.augment import worn

ROUNDS = 15


def face_of(pixels_per_mm: float, side: int) -> Face:
    """The mean head, turned a little, in the middle of a square image."""
    pose = HeadPose(yaw=12, pitch=5, roll=3)
    points = mean_head().points_68 @ rotation_matrix(pose).T * pixels_per_mm
    points = (points[:, :2] + [side / 2, side * 0.4]).astype(np.float32)
    return Face(bbox_of_points(points), keypoints_of(points), points, pose)


def plain_warp(view: View, face: Face, side: int) -> np.ndarray:
    """(side, side, 4): one affine warp of the full texture per triangle."""
    target = points_on_face(view.names, face.landmarks_68)
    texture = view.textures[0]
    result = np.zeros((side, side, 4), np.float32)
    for triangle in view.triangles:
        source, destination = view.points[triangle], target[triangle]
        matrix = cv2.getAffineTransform(source, destination)
        if np.linalg.det(matrix[:, :2]) <= 0:
            continue
        drawn = cv2.warpAffine(texture, matrix, (side, side), flags=cv2.INTER_LINEAR)
        inside = np.zeros((side, side), np.uint8)
        cv2.fillConvexPoly(inside, np.round(destination * 16).astype(np.int32), 1, cv2.LINE_8, 4)
        result[inside > 0] = drawn[inside > 0]
    return result


def median_ms(task: Callable[[], object]) -> float:
    """Median of some rounds, after one to warm up."""
    task()
    times = []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        task()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times)


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    catalog = Catalog.load()
    print("image      face px   plain warp   warp    ratio   blend   (ms)")
    for side, pixels_per_mm in ((112, 0.55), (250, 0.8), (1000, 3.4)):
        face = face_of(pixels_per_mm, side)
        view = catalog.designs[0].views_for(face.pose.yaw, face.pose.pitch)[0]
        image = cv2.GaussianBlur(rng.integers(60, 200, (side, side, 3)).astype(np.uint8), (0, 0), 1.5)
        overlay = worn(view, face, (side, side))
        plain = median_ms(lambda: plain_warp(view, face, side))  # noqa: B023
        fast = median_ms(lambda: worn(view, face, (side, side)))  # noqa: B023
        blending = median_ms(lambda: blend.over(image, overlay, light.appearance_of(image, face), rng))  # noqa: B023
        difference = np.abs(plain_warp(view, face, side)[overlay.region] - overlay.rgba).mean()
        print(
            f"{side:4}x{side:<4}  {max(face.size_wh):5.0f}   {plain:9.2f}  {fast:6.2f}  {plain / fast:6.1f}x"
            f"  {blending:6.2f}   mean difference {difference:.4f}"
        )


if __name__ == "__main__":
    main()
