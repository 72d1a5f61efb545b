"""COCO annotations of masked pictures: one per mask, one category per way to wear it [1]_.

References
----------
.. [1] T.-Y. Lin et al., "Microsoft COCO: Common Objects in Context", ECCV 2014; https://cocodataset.org/#format-data.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from maskgen import files, manifest
from maskgen.arrays import BoolArray, Float32Array, IntArray
from maskgen.catalog.schema import WEARS
from maskgen.errors import ConfigError
from maskgen.manifest import FaceRow, Row, VariantRow

COCO_FILE: Final = "coco.json"
CATEGORIES: Final = tuple(
    {"id": number, "name": wear, "supercategory": "mask"} for number, wear in enumerate(WEARS, start=1)
)
# Opacity from which a pixel belongs to a mask, of 255.
_OPAQUE: Final = 128
_MOST_ALPHA_BYTES: Final = 2**28


def write_coco(output: Path) -> tuple[int, int]:
    """Write ``coco.json`` into the output of a run; the numbers of its pictures and of its annotations.

    Pixels are those of ``alpha``, as run-length codes; file names count from the output.

    Raises
    ------
    ConfigError
        If it is no output folder with pictures of their own, or its run did not save ``alpha``.
    MaskgenError
        If nothing can be written.
    """
    path = manifest.path_of(output)
    if not path.is_file():
        raise ConfigError(f"{output}: no {manifest.MANIFEST_FILE} in it", "give the output of a run")
    pictures: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for row in manifest.read(path):
        for variant in row.variants:
            if variant.place is None:
                continue
            regions = list(_regions(output, row, variant))
            height, width = regions[0][1].shape if regions else (0, 0)
            number = len(pictures) + 1
            pictures.append({"id": number, "file_name": variant.place, "width": width, "height": height})
            for wear, region in regions:
                annotations.append(_annotation(len(annotations) + 1, number, wear, region))
    content = {"images": pictures, "annotations": annotations, "categories": CATEGORIES}
    files.write_whole(output / COCO_FILE, json.dumps(content, separators=(",", ":")).encode())
    return len(pictures), len(annotations)


def _regions(output: Path, row: Row, variant: VariantRow) -> Iterator[tuple[str, BoolArray]]:
    """How each mask of a picture is worn, and the pixels (H, W) that it covers."""
    if variant.extras is None or variant.extras.alpha is None:
        raise ConfigError(f"{output}: its run saved no alpha of {variant.place}", "run it again with {save=alpha}")
    if "#" in variant.extras.alpha:
        raise ConfigError(f"{output}: its pictures lie in tar files", "write a folder: {out_format=folder}")
    raw = files.read_regular(output / variant.extras.alpha, _MOST_ALPHA_BYTES)
    alpha = cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)
    if alpha is None or alpha.ndim != 2:
        raise ConfigError(f"{output / variant.extras.alpha}: not the alpha that a run saved", "run it again")
    covered = alpha >= _OPAQUE
    worn = [(face, mask) for face, mask in zip(row.faces, variant.masks, strict=True) if mask.design is not None]
    owner = _owners(covered, [_middle(face, row) for face, _ in worn])
    for number, (_, mask) in enumerate(worn):
        yield mask.wear or "correct", covered & (owner == number)


def _middle(face: FaceRow, row: Row) -> tuple[float, float, float]:
    """Where the mask of a face lies, (x, y), and the face's size, pixels of what was written."""
    nose, *mouth = (np.array(point[:2], np.float32) for point in face.keypoints[2:])
    middle = (nose + sum(mouth)) / 3
    size = max(face.bbox[2] - face.bbox[0], face.bbox[3] - face.bbox[1])
    if row.crop is not None:
        matrix = np.array(row.crop.matrix, np.float32)
        middle, size = matrix[:, :2] @ middle + matrix[:, 2], size * float(np.hypot(*matrix[:, 0]))
    return float(middle[0]), float(middle[1]), max(float(size), 1.0)


def _owners(covered: BoolArray, middles: Sequence[tuple[float, float, float]]) -> IntArray:
    """(H, W) the number of the mask that a pixel belongs to: the nearest, measured in sizes of its face."""
    rows, columns = np.indices(covered.shape, np.float32)
    far: list[Float32Array] = [((columns - x) ** 2 + (rows - y) ** 2) / size**2 for x, y, size in middles]
    return np.argmin(np.stack(far), axis=0) if far else np.zeros(covered.shape, np.intp)


def _annotation(number: int, picture: int, wear: str, region: BoolArray) -> dict[str, Any]:
    left, top, width, height = cv2.boundingRect(region.astype(np.uint8))
    return {
        "id": number,
        "image_id": picture,
        "category_id": WEARS.index(wear) + 1,
        "bbox": [left, top, width, height],
        "area": int(region.sum()),
        "iscrowd": 0,
        "segmentation": {"size": list(region.shape), "counts": _run_lengths(region)},
    }


def _run_lengths(region: BoolArray) -> list[int]:
    """How many pixels are clear, covered, clear, ... in turn, column by column: COCO's uncompressed code."""
    flat = np.concatenate([[False], region.ravel(order="F"), [not region[-1, -1]]])
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    counts: list[int] = np.diff(ends, prepend=0).tolist()
    return counts
