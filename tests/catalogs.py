"""A catalog of plain rectangles, for tests of everything but the look of masks."""

import hashlib
import zlib
from pathlib import Path

import cv2
import numpy as np
from strategies import seen

from maskgen.catalog.schema import CatalogFile, DesignEntry, Rotation, ViewEntry
from maskgen.catalog.store import CATALOG_FILE, dump
from maskgen.face import HeadPose
from maskgen.face.head import point_in_space

NAMES = ("2", "5", "8", "11", "14", "28", "33", "48", "54", "front_chin", "under_chin")


def small_catalog(root: Path, weights: dict[str, float]) -> Path:
    """Write a catalog with one design per weight, each with a frontal view and one turned to image right."""
    colours = {name: (40 * i + 60, 120, 200, 255) for i, name in enumerate(weights)}
    designs = []
    for name, weight in weights.items():
        views = []
        for yaw, interval in ((0, (-20, 20)), (40, (20, 60))):
            space = np.stack([point_in_space(point) for point in NAMES])
            points = seen(space, HeadPose(yaw, 0, 0), 1, (100, 60))
            picture = np.zeros((220, 200, 4), np.uint8)
            hull = cv2.convexHull(np.round(points).astype(np.int32))
            cv2.fillConvexPoly(picture, hull, colours[name])
            file = f"{name}_{yaw}.png"
            cv2.imwrite(str(root / file), picture)
            views.append(
                ViewEntry(
                    file=file,
                    sha256=hashlib.sha256((root / file).read_bytes()).hexdigest(),
                    rotation=Rotation(yaw=interval, pitch=(-30, 30)),
                    points={n: (float(x), float(y)) for n, (x, y) in zip(NAMES, points, strict=True)},
                )
            )
        designs.append(
            DesignEntry(name=name, kind="cloth", tags=(name,), weight=weight, license="CC0-1.0", views=tuple(views))
        )
    (root / CATALOG_FILE).write_bytes(dump(CatalogFile(schema_version=1, masks=tuple(designs))))
    return root


def huge_png(side):
    """A PNG of so many pixels across and down, a few of which are there."""
    header = side.to_bytes(4, "big") * 2 + b"\x08\x06\0\0\0"
    rows = zlib.compress(np.random.default_rng(0).bytes(4 * side + 1))
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    body = b"".join(len(d).to_bytes(4, "big") + k + d + zlib.crc32(k + d).to_bytes(4, "big") for k, d in chunks)
    return b"\x89PNG\r\n\x1a\n" + body
