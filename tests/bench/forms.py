"""Measure the form of worn masks: how wide they are, where they begin and end, and how much detail they show.

    python tests/bench/forms.py DATA [CATALOG]

DATA holds ``parsing/images`` (bare portraits) and ``masked_photos`` (people who really wear a mask). Portraits that
face the camera get masks; of the masked photographs only detail is measured, within the outline of jaw and nose,
because nothing says where their masks end. Faces are brought to 200 pixels first.
"""

import sys
from pathlib import Path

import cv2
import numpy as np

from maskgen.arrays import Image
from maskgen.catalog.store import Catalog
from maskgen.detect import DetectorSpec
from maskgen.face import Face
from maskgen.images import decode
from maskgen.masking.augment import mask_faces, observe

PORTRAITS, PHOTOGRAPHS = 160, 160
FACE = 200
BANDS = (1, 2, 4)


def detail(image: Image, face: Face) -> list[float]:
    """Logarithm of the deviation of brightness, 0 to 255, in each band, inside of where a mask lies."""
    scale = FACE / max(face.size_wh)
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)
    grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    hull = np.concatenate([face.landmarks_68[3:14], face.landmarks_68[[29]]]) * scale
    hull = hull.mean(axis=0) + (hull - hull.mean(axis=0)) * 0.8
    inside = np.zeros(grey.shape, np.uint8)
    cv2.fillConvexPoly(inside, cv2.convexHull(np.round(hull).astype(np.int32)), 1)
    levels, last = [], grey
    for sigma in BANDS:
        soft = cv2.GaussianBlur(grey, (0, 0), sigma)
        levels.append(float(np.log(max((last - soft)[inside > 0].std(), 1e-3))))
        last = soft
    return levels


def form(alpha: np.ndarray, face: Face) -> tuple[float, float, float]:
    """Width over the jaw's a quarter of the way from nose to chin; upper and lower edge from bridge (0) to chin (1)."""
    # Straps are no part of it.
    thin = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (11, 11))
    region = cv2.morphologyEx((alpha > 0.5).astype(np.uint8), cv2.MORPH_OPEN, thin)
    points = face.landmarks_68
    height = float(0.75 * points[30, 1] + 0.25 * points[8, 1])
    left = np.interp(height, points[:9, 1], points[:9, 0])
    right = np.interp(height, points[16:7:-1, 1], points[16:7:-1, 0])
    rows = np.flatnonzero(region[:, round(float(points[28, 0]))])
    bridge, chin = float(points[27, 1]), float(points[8, 1])
    width = float(region[round(height)].sum()) / float(right - left)
    return width, (rows.min() - bridge) / (chin - bridge), (rows.max() - bridge) / (chin - bridge)


def main(data: Path, root: Path | None) -> None:
    catalog, detector = Catalog.load(root), DetectorSpec().build()
    forms: dict[str, list[tuple[float, float, float]]] = {}
    ours, theirs = [], []
    for number, path in enumerate(sorted((data / "parsing" / "images").glob("*.jpg"))[::5][:PORTRAITS]):
        image = decode(path.read_bytes(), path).pixels
        faces = detector.detect(image)[:1]
        if not faces or max(abs(faces[0].pose.yaw), abs(faces[0].pose.pitch)) > 12:
            continue
        masked = mask_faces(image, faces, [observe(image, faces[0])], catalog, np.random.default_rng(number))
        design = masked.faces[0].design
        if design is None:
            continue
        kind = next(d.entry.kind for d in catalog.designs if d.entry.name == design)
        ours.append(detail(masked.image, faces[0]))
        if kind not in ("gaiter", "transparent"):
            forms.setdefault(kind, []).append(form(masked.alpha, faces[0]))
    for path in sorted((data / "masked_photos").glob("*.jpg"))[::2][:PHOTOGRAPHS]:
        image = decode(path.read_bytes(), path).pixels
        faces = detector.detect(image)[:1]
        if faces and abs(faces[0].pose.yaw) < 20 and max(faces[0].size_wh) > 110:
            theirs.append(detail(image, faces[0]))
    for kind, values in {**forms, "all": [one for every in forms.values() for one in every]}.items():
        low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
        told = ", ".join(
            f"{name} {m:.2f} ({a:.2f} to {b:.2f})"
            for name, a, m, b in zip(("width", "top", "bottom"), low, middle, high, strict=True)
        )
        print(f"{kind} ({len(values)}): {told}")
    for name, levels in (("ours", ours), ("real", theirs)):
        print(f"detail, {name} ({len(levels)}): {np.mean(levels, axis=0).round(2)}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
