"""A large picture to its small faces: tile by tile, because the picture as a whole is shrunk until they are gone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.detect.ladder import sane
from maskgen.detect.networks import BOX, KEYPOINTS, NOBODY, BoxNetwork

SMALLEST_PICTURE: Final = 640
"""The longer side of pictures that are seen in full size anyway."""

# A tile is seen at two thirds of its size, where a face of 48 pixels is as large as the detector needs it.
_TILE: Final = 960
_INPUT: Final = 640
# Tiles overlap by the largest face that they are looked through for.
_OVERLAP: Final = 192
# A box this near the edge of a tile may be half a face; the next tile has all of it.
_EDGE: Final = 4


def in_tiles(boxes: BoxNetwork, image: Image, threshold: float) -> Float32Array:
    """Detections (K, 15) of faces up to 192 pixels, each in one or more of the tiles."""
    height, width = image.shape[:2]
    found = [NOBODY]
    for rows, columns in _tiles((width, height)):
        seen = sane(boxes.look(image[rows, columns], [_INPUT], threshold))
        low, high = seen[:, :2], seen[:, 2:4]
        # Where the picture itself ends, faces may end too.
        lowest = np.array([start + _EDGE if start else -np.inf for start in (columns.start, rows.start)], np.float32)
        start = np.array([columns.start, rows.start], np.float32)
        ends = zip((columns.stop, rows.stop), (width, height), strict=True)
        highest = np.array([stop - _EDGE if stop < end else np.inf for stop, end in ends], np.float32)
        is_whole = ((low + start >= lowest) & (high + start <= highest)).all(axis=1)
        is_small = (high - low).max(axis=1, initial=0) <= _OVERLAP
        kept = seen[is_whole & is_small]
        kept[:, BOX] += np.tile(start, 2)
        kept[:, KEYPOINTS] += np.tile(start, 5)
        found.append(kept)
    return boxes.merged(found)


def outside(small: Float32Array, found: Float32Array) -> Float32Array:
    """The small detections whose middle lies in none of the others: no eye becomes a face of its own."""
    middles = (small[:, None, :2] + small[:, None, 2:4]) / 2
    beyond = np.maximum(found[None, :, :2] - middles, middles - found[None, :, 2:4])
    # (small, found): how far a middle lies beyond the nearest side of a box, negative inside.
    outermost = beyond.max(axis=2)
    kept: Float32Array = small[outermost.min(axis=1, initial=np.inf) > 0]
    return kept


def _tiles(size_wh: tuple[int, int]) -> Iterator[tuple[slice, slice]]:
    """Rows and columns of each tile; they cover the picture, and two neighbours share at least the overlap."""
    starts_x, starts_y = (
        np.linspace(0, max(side - _TILE, 0), 1 + -(-max(side - _TILE, 0) // (_TILE - _OVERLAP))).astype(int).tolist()
        for side in size_wh
    )
    for y in starts_y:
        for x in starts_x:
            yield slice(y, min(y + _TILE, size_wh[1])), slice(x, min(x + _TILE, size_wh[0]))
