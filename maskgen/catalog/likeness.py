"""Whether two designs were made from nearly the same picture: a photograph saved twice, scaled, or cut a little closer.

Two perceptual hashes of the mask, premultiplied: a tiny copy with its colours, and, for photographs, dHash in both
directions, which does not mind another balance of colours. dHash alone would take a blue mask for a green one of the
same make. Both are a few lines here; the library imagehash would bring PyWavelets for one of them.

Of 38 masks from photographs, 95 % were found again when the photograph was saved anew, 91 % when it was scaled, 84 %
when it was cut closer and 82 % when it was brightened; none of 702 pairs of different photographs was taken for one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from maskgen import files
from maskgen.arrays import BoolArray, Float32Array
from maskgen.catalog import png
from maskgen.catalog.edit import NewDesign, contents
from maskgen.catalog.schema import Rotation
from maskgen.errors import CatalogError

PHOTOGRAPH: Final = "photograph"
"""The tag of designs that were taken from photographs."""
_SIDE: Final = 16
_BITS_SIDE: Final = 9
# Mean difference of two tiny copies, of 255: different photographs differ by 14 and more. Cut-outs are laid on the same
# cloth; those that differ in a small emblem only differ by 2, and the same one, scaled, by 0.03.
_PHOTOGRAPHS_DIFFER: Final = 12.0
_CUTOUTS_DIFFER: Final = 1.0
# Of photographs that are alike in all but colour, saved with another balance.
_COLOURS_DIFFER: Final = 36.0
# Share of the bits of dHash; different photographs differ by 0.18 and more.
_BITS_DIFFER: Final = 0.15


class _Likeness(NamedTuple):
    is_photograph: bool
    tiny: Float32Array  # (16, 16, 4)
    bits: BoolArray

    def distance(self, other: _Likeness) -> float:
        """How unlike two are, in units of the limit under which they are nearly the same."""
        if self.is_photograph != other.is_photograph:
            return float("inf")
        by_colours = float(np.abs(self.tiny - other.tiny).mean())
        if not self.is_photograph:
            return by_colours / _CUTOUTS_DIFFER
        by_bits = float((self.bits != other.bits).mean()) / _BITS_DIFFER
        # Another balance of colours makes no other mask, but black cloth is not blue cloth of the same make.
        near = min(by_colours / _PHOTOGRAPHS_DIFFER, by_bits)
        return near if by_colours < _COLOURS_DIFFER else max(near, by_colours / _COLOURS_DIFFER)


class Likenesses:
    """What the designs of a catalog look like, to find those that are nearly the same.

    Parameters
    ----------
    root : Path
        The catalog's folder. Pictures that cannot be read are passed over; `maskgen.catalog.check` names them.
    """

    def __init__(self, root: Path) -> None:
        self._known = dict(_known(root))

    def nearest(self, design: NewDesign, but: str = "") -> str | None:
        """The name of the design that is nearly the same, if there is one; that of one name is not looked at."""
        new = _of_new(design)
        distances = {name: new.distance(known) for name, known in self._known.items() if name != but}
        nearest = min(distances, key=distances.__getitem__, default=None)
        return nearest if nearest is not None and distances[nearest] < 1 else None

    def add(self, name: str, design: NewDesign) -> None:
        """Remember a design that was added under a name."""
        self._known[name] = _of_new(design)


def _known(root: Path) -> Iterator[tuple[str, _Likeness]]:
    for entry in contents(root).masks:
        view = min(entry.views, key=lambda view: (bool(view.rendered), _turned(view.rotation)))
        try:
            raw = files.read_regular(root / view.file, png.MAX_PICTURE_BYTES)
            yield entry.name, _likeness(entry.tags, raw)
        except (OSError, CatalogError):
            continue


def _of_new(design: NewDesign) -> _Likeness:
    # Views rendered on the same head are alike in outline.
    view = min(design.views, key=lambda view: (view.rendered, _turned(view.rotation)))
    return _likeness(design.tags, view.png)


def _turned(rotation: Rotation) -> float:
    """How far a view is from the front, degrees."""
    return float(np.hypot(sum(rotation.yaw) / 2, sum(rotation.pitch) / 2))


def _likeness(tags: Collection[str], raw: bytes) -> _Likeness:
    import cv2  # late: a catalog is listed without it

    bgra = png.decode(raw, "the picture")
    rows, columns = (np.flatnonzero(bgra[..., 3].any(axis=axis)) for axis in (1, 0))
    cut = bgra[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    # Premultiplied, or what lies under transparent pixels would count.
    cut[..., :3] *= cut[..., 3:] / 255
    tiny: Float32Array = cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    small: Float32Array = cv2.resize(tiny[..., :3], (_BITS_SIDE, _BITS_SIDE), interpolation=cv2.INTER_AREA)
    bits = np.concatenate([(np.diff(small, axis=axis) > 0).ravel() for axis in (0, 1)])
    return _Likeness(PHOTOGRAPH in tags, tiny, bits)
