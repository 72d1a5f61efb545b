"""How bright, how colourful and how uneven the cloth of masks is in photographs: real masks beside ours.

    python -m tests.bench.shades --data DIR --work DIR [--catalog DIR]

Takes the faces and the two comparisons of ``tests.bench.realism``. Prints quartiles of

cloth/skin       brightness of the cloth over that of the skin above it, of white and of blue masks
chroma           of blue masks, Lab
top-bottom       logarithm of brightness under the nose less that above the chin
middle-sides     the same of the middle less the sides
bands 1 2 4 8    deviation of the logarithm of brightness in bands of so many pixels of 64, bright masks and dark ones

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
    for name, chosen in (("bright", ~is_dark), ("dark", is_dark)):
        bands = [_pixels(fine - coarse, CLOTH).std(axis=1)[chosen] for fine, coarse in itertools.pairwise(levels)]
        yield f"bands, {name}: {' | '.join(_quartiles(band) for band in bands)}"


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
