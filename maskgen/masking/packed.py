"""What was observed of a face as a few numbers and bytes of fixed meaning, to be kept, and back.

Shares of regions are kept in steps of 2 %, which halves their size, gains of shading in 16 bits. Whoever
keeps observed faces masks what `unpack` gives, also where nothing was kept yet, so that masks do not depend on it.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Final, NamedTuple

import cv2
import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.face import Face
from maskgen.masking.augment import Observed
from maskgen.masking.light import Appearance, Light, Shading
from maskgen.masking.occlude import Visible, visible_of
from maskgen.parse import GRID_SIDE, KINDS, Kind, Regions, upright_crop

VERSION: Final = 1
"""Of all below; what was packed by another one is observed anew."""
NUMBERS: Final = np.dtype(
    [
        ("is_there", "u1"),
        ("has_regions", "u1"),
        ("visible", "u1"),  # one of the three below
        ("size", "<f8"),
        ("exposure", "<f8"),
        ("balance", "<f4", 3),
        ("saturation", "<f8"),
        ("skin", "<f4", 3),
        ("blur", "<f8"),
        ("noise", "<f8"),
        ("gain_shape", "<u2", 2),
        ("gain_region", "<i4", 4),
        ("covered", "<f8"),
        ("visible_shape", "<u2", 2),
        ("visible_region", "<i4", 4),
        ("image_to_visible", "<f4", (2, 3)),
        ("image_to_crop", "<f4", (2, 3)),
    ]
)
"""What of an observed face has a fixed size."""
_EVERYWHERE, _KEPT, _FROM_PICTURE = range(3)
# A map of what is visible is kept up to so many pixels; of larger faces it is worked out again from the regions.
_LARGEST: Final = 128 * 128
# How finely shares are kept.
_STEPS: Final = 51
# All but the first kind: the shares sum to 1.
_SHARES: Final = (len(KINDS) - 1, GRID_SIDE, GRID_SIDE)


class Packed(NamedTuple):
    """An observed face.

    Attributes
    ----------
    numbers : () array of `NUMBERS`
        What has a fixed size.
    maps : bytes
        Shading, and where a mask may be drawn.
    shares : bytes
        Of the regions; empty where none were told apart. The same in every picture that shows the same face.
    """

    numbers: Any
    maps: bytes
    shares: bytes


def pack(observed: Observed) -> Packed:
    """An observed face as numbers and bytes."""
    seen, regions, visible = observed.appearance, observed.regions, observed.visible
    numbers = np.zeros((), NUMBERS)
    numbers["is_there"] = 1
    numbers["size"], numbers["blur"], numbers["noise"] = seen.size, seen.blur, seen.noise
    light = seen.light
    numbers["exposure"], numbers["balance"] = light.exposure, light.balance
    numbers["saturation"], numbers["skin"] = light.saturation, light.skin
    numbers["gain_shape"], numbers["gain_region"] = seen.shading.gain.shape, _edges(seen.shading.region)
    numbers["covered"] = observed.covered
    maps = seen.shading.gain.astype("<f2").tobytes()
    if visible is not None:
        is_small = visible.values.size <= _LARGEST or regions is None
        numbers["visible"] = _KEPT if is_small else _FROM_PICTURE
        numbers["visible_shape"], numbers["visible_region"] = visible.values.shape, _edges(visible.region)
        numbers["image_to_visible"] = visible.image_to_values
        maps += visible.values.tobytes() if is_small else b""
    if regions is None:
        return Packed(numbers, maps, b"")
    numbers["has_regions"], numbers["image_to_crop"] = 1, regions.image_to_crop
    return Packed(numbers, maps, np.round(regions.shares[1:] * _STEPS).astype(np.uint8).tobytes())


def sizes(numbers: Any) -> tuple[int, int]:
    """How many bytes the maps and the shares have that belong to some numbers."""
    if not numbers["is_there"]:
        return 0, 0
    size = 2 * math.prod(numbers["gain_shape"].tolist())
    if numbers["visible"] == _KEPT:
        size += math.prod(numbers["visible_shape"].tolist())
    return size, math.prod(_SHARES) if numbers["has_regions"] else 0


def unpack(packed: Packed, image: Image, face: Face) -> Observed:
    """An observed face.

    Parameters
    ----------
    packed : Packed
        As `pack` gives it.
    image : (H, W, 3) uint8 array
        The bare photograph.
    face : Face
        That was observed on it.
    """
    known, maps = dict(zip(NUMBERS.fields or (), packed.numbers.item(), strict=True)), packed.maps
    light = Light(known["exposure"], known["balance"], known["saturation"], known["skin"])
    height, width = known["gain_shape"].tolist()
    gain = np.frombuffer(maps, "<f2", height * width).reshape(height, width).astype(np.float32)
    shading = Shading(gain, _region(known["gain_region"]))
    appearance = Appearance(known["size"], light, shading, known["blur"], known["noise"])
    regions = None
    if known["has_regions"]:
        matrix = known["image_to_crop"]
        is_needed = known["visible"] == _FROM_PICTURE
        # Nothing but the map of what is visible is made from the crop.
        crop = upright_crop(image, matrix) if is_needed else np.zeros((0, 0, 3), np.uint8)
        regions = _Kept(np.frombuffer(packed.shares, np.uint8).reshape(_SHARES), crop, matrix)
    visible = None
    if known["visible"] == _KEPT:
        values = np.frombuffer(maps, np.uint8, offset=2 * height * width).reshape(known["visible_shape"])
        visible = Visible(values, known["image_to_visible"], _region(known["visible_region"]))
    elif known["visible"] == _FROM_PICTURE:
        assert regions is not None
        visible = visible_of(image, face, regions)
    return Observed(appearance, visible, known["covered"], regions)


class _Kept(Regions):
    """Regions of which no more is unpacked than is asked for.

    Parameters
    ----------
    steps : (5, 64, 64) uint8 array
        Shares of all but the first kind, as they are kept.
    crop, image_to_crop : arrays
        As in `Regions`.
    """

    _steps: Image

    def __init__(self, steps: Image, crop: Image, image_to_crop: Float32Array) -> None:
        for name, value in (("_steps", steps), ("crop", crop), ("image_to_crop", image_to_crop)):
            object.__setattr__(self, name, value)

    def of(self, *kinds: Kind) -> Float32Array:
        """As `Regions.of`."""
        if KINDS[0] in kinds:
            return super().of(*kinds)
        first, *others = (self._steps[KINDS.index(kind) - 1] for kind in kinds)
        for other in others:
            first = cv2.add(first, other)
        share: Float32Array = np.multiply(first, np.float32(1 / _STEPS), dtype=np.float32)
        return share

    @cached_property
    def shares(self) -> Float32Array:
        """(6, 64, 64) shares that sum to 1."""
        shares = np.empty((len(KINDS), *_SHARES[1:]), np.float32)
        np.multiply(self._steps, np.float32(1 / _STEPS), out=shares[1:])
        np.subtract(1, shares[1:].sum(axis=0), out=shares[0])
        np.maximum(shares[0], 0, out=shares[0])
        return shares


def _edges(region: tuple[slice, slice]) -> tuple[int, int, int, int]:
    rows, columns = region
    return rows.start, rows.stop, columns.start, columns.stop


def _region(edges: Any) -> tuple[slice, slice]:
    top, bottom, left, right = edges.tolist()
    return slice(top, bottom), slice(left, right)
