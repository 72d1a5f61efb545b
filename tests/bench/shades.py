"""How bright, how colourful and how uneven the cloth of masks is in photographs: real masks beside ours.

    python -m tests.bench.shades --data DIR --work DIR [--catalog DIR]

Takes the faces and the two comparisons of ``tests.bench.realism``. Prints quartiles of

cloth/skin       brightness of the cloth over that of the skin above it, of white and of blue masks
chroma           of blue masks, Lab
top-bottom       logarithm of brightness under the nose less that above the chin
middle-sides     the same of the middle less the sides
bands 1 2 4 8    deviation of the logarithm of brightness in bands of so many pixels of 64, bright masks and dark ones
edge             logarithm of brightness on the way over the edge of masks brighter and darker than skin: medians at so
                 many hundredths of the face's width inside, less that of the cloth farther in, and outside, less that
                 of the skin farther away; where masks end on nose and cheeks, at their sides, and under the chin

and how many masks are white, blue and dark.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Float64Array
from maskgen.images import LUMA
from tests.bench.realism import Person, alike, opened, portraits, scenes

# Parts of a crop of realism's: the cloth of any mask, the skin above it.
CLOTH: Final = slice(33, 51), slice(21, 43)
SKIN: Final = slice(10, 26), slice(18, 46)
UNDER_NOSE, ABOVE_CHIN = (slice(33, 38), slice(24, 40)), (slice(46, 51), slice(24, 40))
MIDDLE: Final = slice(34, 44), slice(29, 35)
SIDES: Final = (slice(34, 44), slice(20, 25)), (slice(34, 44), slice(39, 44))
BANDS: Final = (0.8, 1.6, 3.2, 6.4)
QUARTILES: Final = (25, 50, 75)
DARK, WHITE_CHROMA, BLUE_B = 30.0, 10.0, -7.0

# Of the large crops of realism's, 200 pixels of a side: the width of a face, and what is surely cloth and surely skin.
FACE: Final = 122.0
SURELY: Final = (slice(112, 150), slice(80, 120)), (slice(40, 80), slice(70, 130))
# Cloth and skin must differ so much, Lab, to tell where one ends, and what is called skin differ less from it.
APART, ALIKE = 22.0, 16.0
# Ways over the edge: where they begin inside, and which way they go; (x, y) pixels.
WAYS: Final = {
    "top": ([(x, 125) for x in range(62, 139, 4)], (0, -1)),
    "sides": ([(100, y) for y in range(92, 132, 4)] * 2, (1, 0)),
    "chin": ([(x, 125) for x in range(84, 117, 4)], (0, 1)),
}
INSIDE, OUTSIDE = (5, 3, 2, 1), (1, 2, 3, 4, 6, 8, 10)
REFERENCE: Final = 0.12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    _, found, catalog = opened(parser)
    for name, (real, ours) in {"scenes": scenes(found, catalog), "portraits": portraits(found, catalog)}.items():
        for who, people in zip(("real", "ours"), alike(real, ours), strict=True):
            print(f"{name}, {who} ({len(people)})")
            for line in told(people):
                print(f"  {line}")


def told(people: Sequence[Person]) -> Iterator[str]:
    """Lines about the masks of some people."""
    rgb = np.stack([person.crop for person in people]).astype(np.float32)
    lab = np.stack([cv2.cvtColor(one / 255, cv2.COLOR_RGB2LAB) for one in rgb])
    middle = np.median(_pixels(lab, CLOTH), axis=1)
    chroma, luma = np.hypot(middle[:, 1], middle[:, 2]), rgb @ LUMA
    over_skin = np.percentile(_pixels(luma, CLOTH), 60, axis=1) / np.percentile(_pixels(luma, SKIN), 65, axis=1)
    is_dark, is_blue = middle[:, 0] < DARK, (middle[:, 2] < BLUE_B) & (middle[:, 0] >= DARK)
    is_white = (chroma < WHITE_CHROMA) & (middle[:, 0] > 48)
    yield f"white {is_white.mean():.2f}, blue {is_blue.mean():.2f}, dark {is_dark.mean():.2f}"
    yield f"cloth/skin: white {_quartiles(over_skin[is_white])}, blue {_quartiles(over_skin[is_blue])}"
    yield f"chroma of blue {_quartiles(chroma[is_blue])}"
    log = np.log(np.maximum(luma, 4))
    yield f"top-bottom {_quartiles(_mean(log, UNDER_NOSE) - _mean(log, ABOVE_CHIN))}"
    yield f"middle-sides {_quartiles(_mean(log, MIDDLE) - (_mean(log, SIDES[0]) + _mean(log, SIDES[1])) / 2)}"
    levels = [log, *(np.stack([cv2.GaussianBlur(one, (0, 0), sigma) for one in log]) for sigma in BANDS)]
    for part, (name, is_darker) in itertools.product(WAYS, (("bright", False), ("dark", True))):
        yield f"edge, {part}, {name}: {_edge(people, part, is_darker)}"
    for name, chosen in (("bright", ~is_dark), ("dark", is_dark)):
        bands = [_pixels(fine - coarse, CLOTH).std(axis=1)[chosen] for fine, coarse in itertools.pairwise(levels)]
        yield f"bands, {name}: {' | '.join(_quartiles(band) for band in bands)}"


def _edge(people: Sequence[Person], part: str, is_dark: bool) -> str:
    """The median way over one part of the edge, inside | outside, and on how many ways it was seen."""
    starts, step = WAYS[part]
    found = list[Float64Array]()
    for person in people:
        lab = cv2.cvtColor(person.large.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
        cloth, skin = (np.median(lab[where].reshape(-1, 3), axis=0) for where in SURELY)
        if np.linalg.norm(cloth - skin) < APART or (cloth[0] < skin[0]) != is_dark:
            continue
        luma = np.log(np.maximum(person.large.astype(np.float32) @ LUMA, 4))
        for number, start in enumerate(starts):
            way = (-step[0], step[1]) if part == "sides" and number % 2 else step
            found += [] if (one := _way(lab, luma, cloth, skin, start, way)) is None else [one]
    middle = np.median(found, axis=0) if found else np.zeros(len(INSIDE) + len(OUTSIDE))
    texts = [f"{value:+.2f}" for value in middle]
    return f"{' '.join(texts[: len(INSIDE)])} | {' '.join(texts[len(INSIDE) :])} ({len(found)})"


def _way(
    lab: Float32Array,
    luma: Float32Array,
    cloth: Float32Array,
    skin: Float32Array,
    start: tuple[int, int],
    step: tuple[int, int],
) -> Float64Array | None:
    """Logarithm of brightness from cloth to skin along a line; None if the line does not end on skin."""
    number = np.arange(90)
    columns, rows = start[0] + step[0] * number, start[1] + step[1] * number
    is_within = (columns >= 0) & (rows >= 0) & (columns < lab.shape[1]) & (rows < lab.shape[0])
    colours, values = lab[rows[is_within], columns[is_within]], luma[rows[is_within], columns[is_within]]
    axis = (skin - cloth) / np.sum(np.square(skin - cloth))
    is_skin = (colours - cloth) @ axis > 0.5
    reach = round(REFERENCE * FACE)
    # Twice skin, so that a fold does not end the cloth.
    crossing = np.flatnonzero(is_skin[:-1] & is_skin[1:])
    if not len(crossing) or crossing[0] < reach or crossing[0] + reach + 3 > len(values):
        return None
    near = range(crossing[0] - 3, crossing[0] + 3)
    edge = max(near, key=lambda place: abs(values[place + 1] - values[place])) + 0.5
    beyond = colours[round(edge) + 6 : round(edge) + reach + 1]
    # Shade darkens skin; its colour stays.
    if np.linalg.norm(beyond[:, 1:] - skin[1:], axis=1).max() > ALIKE or beyond[:, 0].min() < skin[0] / 2:
        return None
    places = [*(edge - one / 100 * FACE for one in INSIDE), *(edge + one / 100 * FACE for one in OUTSIDE)]
    way = np.interp(places, np.arange(len(values)), values)
    far_in, far_out = np.interp([edge - REFERENCE * FACE / 2, edge + REFERENCE * FACE], np.arange(len(values)), values)
    return np.asarray(way - np.where(np.arange(len(places)) < len(INSIDE), far_in, far_out))


def _pixels(table: Float32Array, part: tuple[slice, slice]) -> Float32Array:
    """(N, P) or (N, P, 3) pixels of a part of every crop."""
    cut = table[:, part[0], part[1]]
    return cut.reshape(cut.shape[0], -1, *cut.shape[3:])


def _mean(table: Float32Array, part: tuple[slice, slice]) -> Float64Array:
    return _pixels(table, part).mean(axis=1, dtype=np.float64)


def _quartiles(values: Float32Array | Float64Array) -> str:
    return " ".join(f"{value:.3f}" for value in np.percentile(values, QUARTILES)) if len(values) else "none"


if __name__ == "__main__":
    main()
