"""What photographs have that masks must take on: grain, the colour of the light, sharp edges. Real masks beside ours.

    python -m tests.bench.traits --data DIR --work DIR [--catalog DIR]

Takes the faces that ``tests.bench.realism`` has found, or finds them. Prints

* how strong grain is by brightness (`maskgen.masking.grain`), in the smoothest tenth of blocks of bare photographs;
* how cues of the light stray (`maskgen.masking.illuminant`): their deviations and covariances on bare photographs, and
  how white masks on real people follow each;
* of masks of ``masked_photos`` and of ours: blur of the mask's edges against that of the eyes, grain against that of
  the upper face, chroma of white cloth, clipped pixels; quartiles.
"""

from __future__ import annotations

import argparse
import itertools
import zlib
from collections.abc import Iterator, Sequence
from typing import Final

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.arrays import BoolArray, Float32Array, Image
from maskgen.catalog.store import Catalog
from maskgen.face import Face
from maskgen.images import LUMA
from maskgen.masking import illuminant
from maskgen.masking.augment import mask_faces, observe_all
from maskgen.masking.light import SKIN_RGB, middle_of_skin, skin_region
from maskgen.masking.recipe import PLAIN
from tests.bench.realism import Faces, as_jpeg, opened

EDGES: Final = (8, 35, 65, 100, 140, 180, 215, 246)
KERNEL: Final = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
BLOCK: Final = 8
CUES: Final = ("skin", "highlights", "edges")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    _, found, catalog = opened(parser)
    bare = [(image, face) for image, face in pictures(found, ("lfw/*/*_0001.jpg", "celeba/*/*.jpg"), 6)]
    masked = list(pictures(found, ("masked_photos/*.jpg",), 1))
    ratios = np.array([grain_by_brightness(image) for image, _ in bare])
    print("grain by brightness", dict(zip(EDGES, np.nanmedian(ratios, axis=0).round(2).tolist(), strict=False)))
    say_cues(bare, masked)
    print(
        f"{'quartiles':10}" + "".join(f"{name:>22}" for name in ("edge/eye blur", "mask/upper grain", "white chroma"))
    )
    say_traits("real", [traits(image, face) for image, face in masked])
    say_traits("ours", [traits(worn(image, face, catalog, number), face) for number, (image, face) in enumerate(bare)])


def pictures(found: Faces, patterns: Sequence[str], step: int) -> Iterator[tuple[Image, Face]]:
    """Every so many of the pictures with a face of 80 pixels and more that looks about ahead."""
    for pattern in patterns:
        for path in sorted(found.data.glob(pattern))[::step]:
            image, faces = found.of(str(path.relative_to(found.data)))
            if faces and max(faces[0].size_wh) >= 80 and abs(faces[0].pose.yaw) < 35:
                yield image, faces[0]


def worn(image: Image, face: Face, catalog: Catalog, number: int) -> Image:
    rng = np.random.default_rng([number, zlib.crc32(image.tobytes())])
    return as_jpeg(mask_faces(image, [face], observe_all(image, [face], recipe=PLAIN), catalog, rng).image)


def grain_by_brightness(image: Image) -> list[float]:
    """Grain in bands of brightness, against that in the middle ones."""
    response, luma = _blocks(_grey(image))
    bands = [np.sort(response[(luma >= low) & (luma < high)]) for low, high in itertools.pairwise(EDGES)]
    levels = [float(band[: max(len(band) // 10, 2)].mean()) if len(band) >= 40 else np.nan for band in bands]
    middle = np.nanmean(levels[3:5]) if np.isfinite(levels[3:5]).any() else np.nan
    return [level / middle for level in levels]


def say_cues(bare: Sequence[tuple[Image, Face]], masked: Sequence[tuple[Image, Face]]) -> None:
    """How far cues stray, and how the colour of white masks follows them."""
    casts = np.array([cues(image, face) for image, face in bare])
    white = [(cues(image, face, upper=True), cast) for image, face in masked if (cast := white_cast(image, face))]
    for axis, name in enumerate(("log R/G", "log B/G")):
        table = casts[..., axis]
        whole = table[np.isfinite(table).all(axis=1)]
        print(f"cues {name}: sd {dict(zip(CUES, np.nanstd(table, axis=0).round(3).tolist(), strict=True))}")
        print(f"  covariance {np.cov(whole.T).round(4).tolist()}")
        truth = np.array([cast[axis] for _, cast in white])
        for number, cue in enumerate(CUES):
            said = np.array([one[number][axis] for one, _ in white])
            known = np.isfinite(said)
            slope = np.polyfit(said[known], truth[known], 1)[0]
            print(f"  {known.sum()} white masks follow {cue} by {slope:.2f}")


def cues(image: Image, face: Face, upper: bool = False) -> list[npt.NDArray[np.float64]]:
    """The casts that skin, highlights and edges say; not a number where they say nothing."""
    skin = skin_region(face, (image.shape[1], image.shape[0])).copy()
    if upper:
        skin[int(face.landmarks_68[29, 1]) :] = False
    pixels, small = image[skin].astype(np.float32), illuminant.reduced(image)
    nothing = np.full(2, np.nan)
    reference = illuminant.cast_of(np.array(SKIN_RGB, np.float32))
    said = illuminant.cast_of(middle_of_skin(pixels)) - reference if len(pixels) > 50 else nothing
    others = (illuminant.highlights(small), illuminant.edges(small))
    return [said, *(cue.cast if cue.is_there else nothing for cue in others)]


def white_cast(image: Image, face: Face) -> tuple[float, float] | None:
    """The cast of a real mask that is about white; None if it is not."""
    pixels = image[_lower(image, face)].astype(np.float32)
    if len(pixels) < 100:
        return None
    luma = pixels @ LUMA
    low, high = np.percentile(luma, [40, 90])
    middle = np.median(pixels[(luma > low) & (luma < high)], axis=0)
    cast = illuminant.cast_of(middle)
    is_white = 150 <= middle.max() < 252 and np.abs(cast).max() <= 0.25
    return (float(cast[0]), float(cast[1])) if is_white else None


def traits(image: Image, face: Face) -> tuple[float, float, float, float]:
    """Blur of the mask's edges against the eyes', grain of the mask against the upper face's, chroma where the cloth is
    white, and the share of clipped pixels on it."""
    grey, points = _grey(image), face.landmarks_68
    eyes = _hull(grey, points[36:42], 1.25) | _hull(grey, points[42:48], 1.25)
    edge = _hull(grey, np.concatenate([points[[1, 2, 3, 13, 14, 15]], points[[28]]])) & ~_hull(grey, points[36:48])
    lower, upper = _lower(image, face), _hull(grey, points[[17, 19, 21, 22, 24, 26, 28]]) & ~eyes
    lab = cv2.cvtColor(image.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)[lower]
    light, a, b = np.median(lab, axis=0) if len(lab) else (np.nan,) * 3
    is_white = light > 62 and np.hypot(a, b) < 14
    clipped = float((image[lower].max(axis=1) >= 254).mean()) if is_white else np.nan
    return (
        _blur(grey, edge) / _blur(grey, eyes),
        _grain(grey, lower) / max(_grain(grey, upper), 1e-3),
        float(np.hypot(a, b)) if is_white else np.nan,
        clipped,
    )


def say_traits(name: str, table: Sequence[tuple[float, float, float, float]]) -> None:
    values = np.array(table)
    quartiles = np.nanpercentile(values, [25, 50, 75], axis=0).T
    texts = "".join(f"{low:8.2f}{middle:7.2f}{high:7.2f}" for low, middle, high in quartiles[:3])
    over = float(np.mean(values[np.isfinite(values[:, 2]), 2] > illuminant.NEUTRAL_CHROMA))
    print(f"{name:10}{texts}   white over chroma 6: {over:.2f}, clipped {np.nanmean(values[:, 3]):.3f}")


def _grey(image: Image) -> Float32Array:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32)


def _lower(image: Image, face: Face) -> BoolArray:
    points = face.landmarks_68
    return _hull(image[..., 0], np.concatenate([points[[4, 5, 6, 10, 11, 12]], points[[30]]]))


def _hull(like: npt.NDArray[np.generic], points: Float32Array, scale: float = 1.0) -> BoolArray:
    grown = points.mean(axis=0) + (points - points.mean(axis=0)) * scale
    region = np.zeros(like.shape[:2], np.uint8)
    cv2.fillConvexPoly(region, cv2.convexHull(np.round(grown).astype(np.int32)), 1)
    return region > 0


def _blocks(grey: Float32Array, within: BoolArray | None = None) -> tuple[Float32Array, Float32Array]:
    """Response to fine noise and brightness of blocks, those wholly within a region."""
    down, along = grey.shape[0] // BLOCK, grey.shape[1] // BLOCK
    planes = [np.abs(cv2.filter2D(grey, cv2.CV_32F, KERNEL)), grey]
    if within is not None:
        planes.append(within.astype(np.float32))
    cut = slice(down * BLOCK), slice(along * BLOCK)
    small = [cv2.resize(plane[cut], (along, down), interpolation=cv2.INTER_AREA).ravel() for plane in planes]
    kept = small[2] > 0.999 if within is not None else np.ones(len(small[0]), bool)
    return small[0][kept], small[1][kept]


def _grain(grey: Float32Array, within: BoolArray) -> float:
    response = np.sort(_blocks(grey, within)[0])
    return float(response[: max(len(response) // 10, 2)].mean()) if len(response) >= 8 else np.nan


def _blur(grey: Float32Array, within: BoolArray) -> float:
    before, after = (_gradient(one)[within] for one in (grey, cv2.GaussianBlur(grey, (0, 0), 1.0)))
    if len(before) < 30:
        return np.nan
    strong = before >= max(float(np.percentile(before, 95)), 30.0)
    ratio = float(np.median(before[strong] / np.maximum(after[strong], 1e-3))) if strong.sum() >= 8 else np.nan
    return float(1 / np.sqrt(max(ratio**2 - 1, 1e-2)))


def _gradient(grey: Float32Array) -> Float32Array:
    return np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))


if __name__ == "__main__":
    main()
