"""The worst failures of a pack, as contact sheets for people to look at."""

from __future__ import annotations

import heapq
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image

TILE: Final = 160
COLUMNS: Final = 8
KEPT: Final = 40
RIGHT: Final = (60, 220, 60)
WRONG: Final = (255, 60, 60)


class Failures:
    """Keeps the worst pictures of each kind."""

    def __init__(self) -> None:
        self._worst: dict[str, list[tuple[float, int, Image]]] = {}
        self._count = 0

    def add(
        self,
        kind: str,
        badness: float,
        image: Image,
        box: Float32Array,
        truth: Float32Array | None = None,
        found: Float32Array | None = None,
    ) -> None:
        """Keep a place in a picture if it is among the worst.

        Parameters
        ----------
        kind : str
            The sheet it belongs to.
        badness : float
            The worst come first.
        image : (H, W, 3) uint8 array
            RGB.
        box : (4,) array
            xyxy pixels; the tile shows it with its surroundings.
        truth, found : (P, 2) array, optional
            Points to mark in green and in red, pixels.
        """
        worst = self._worst.setdefault(kind, [])
        self._count += 1
        if len(worst) == KEPT and badness <= worst[0][0]:
            return
        entry = (badness, self._count, _tile(image, box, truth, found))
        if len(worst) < KEPT:
            heapq.heappush(worst, entry)
        else:
            heapq.heapreplace(worst, entry)

    def write(self, folder: Path) -> list[Path]:
        """Write ``<kind>.png`` for every kind, the worst at the upper left; returns the files."""
        folder.mkdir(parents=True, exist_ok=True)
        files = []
        for kind, worst in self._worst.items():
            tiles = [tile for _, _, tile in sorted(worst, key=lambda entry: entry[:2], reverse=True)]
            tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % COLUMNS)
            rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
            files.append(folder / f"{kind}.png")
            cv2.imwrite(str(files[-1]), np.vstack(rows)[..., ::-1])
        return files


def _tile(image: Image, box: Float32Array, truth: Float32Array | None, found: Float32Array | None) -> Image:
    middle, reach = (box[:2] + box[2:]) / 2, 0.9 * float((box[2:] - box[:2]).max())
    scale = TILE / (2 * max(reach, 1.0))
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
    matrix[:, 2] = TILE / 2 - scale * middle
    tile = np.asarray(cv2.warpAffine(image, matrix, (TILE, TILE), flags=cv2.INTER_LINEAR), np.uint8)
    for points, colour in ((truth, RIGHT), (found, WRONG)):
        for x, y in [] if points is None else points * scale + matrix[:, 2]:
            cv2.circle(tile, (round(float(x)), round(float(y))), 1, colour, -1, cv2.LINE_AA)
    return tile
