"""Whether two designs were made from nearly the same picture: a photograph saved twice, scaled, or cut a little closer.

A perceptual hash in the wide sense: a tiny copy of the mask, premultiplied, with its colours. Hashes of one bit per
gradient, as dHash and the library imagehash have them, cannot tell a blue mask from a green one of the same make, so
they would take a library and do less. The limits come from masks taken twice from photographs that were saved anew,
scaled and cut closer (distances of 3 to 13) and from photographs of different masks (22 and more).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from maskgen import files
from maskgen.arrays import Float32Array
from maskgen.catalog import png
from maskgen.catalog.edit import NewDesign, contents
from maskgen.catalog.schema import Rotation
from maskgen.errors import CatalogError

PHOTOGRAPH: Final = "photograph"
"""The tag of designs that were taken from photographs."""
_SIDE: Final = 16
# Mean difference of two tiny copies, of 255. Cut-outs are laid on the same cloth, and are more alike.
_PHOTOGRAPHS_DIFFER: Final = 12.0
_CUTOUTS_DIFFER: Final = 1.0


class _Likeness(NamedTuple):
    is_photograph: bool
    tiny: Float32Array  # (16, 16, 4)


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
        distances = {
            name: float(np.abs(new.tiny - known.tiny).mean())
            for name, known in self._known.items()
            if name != but and known.is_photograph == new.is_photograph
        }
        nearest = min(distances, key=distances.__getitem__, default=None)
        limit = _PHOTOGRAPHS_DIFFER if new.is_photograph else _CUTOUTS_DIFFER
        return nearest if nearest is not None and distances[nearest] < limit else None

    def add(self, name: str, design: NewDesign) -> None:
        """Remember a design that was added under a name."""
        self._known[name] = _of_new(design)


def _known(root: Path) -> Iterator[tuple[str, _Likeness]]:
    for entry in contents(root).masks:
        view = min(entry.views, key=lambda view: _turned(view.rotation))
        try:
            raw = files.read_regular(root / view.file, png.MAX_PICTURE_BYTES)
            yield entry.name, _Likeness(PHOTOGRAPH in entry.tags, _tiny(raw))
        except (OSError, CatalogError):
            continue


def _of_new(design: NewDesign) -> _Likeness:
    view = min(design.views, key=lambda view: _turned(view.rotation))
    return _Likeness(PHOTOGRAPH in design.tags, _tiny(view.png))


def _turned(rotation: Rotation) -> float:
    """How far a view is from the front, degrees."""
    return float(np.hypot(sum(rotation.yaw) / 2, sum(rotation.pitch) / 2))


def _tiny(raw: bytes) -> Float32Array:
    import cv2  # late: a catalog is listed without it

    bgra = png.decode(raw, "the picture")
    rows, columns = (np.flatnonzero(bgra[..., 3].any(axis=axis)) for axis in (1, 0))
    cut = bgra[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].astype(np.float32)
    # Premultiplied, or what lies under transparent pixels would count.
    cut[..., :3] *= cut[..., 3:] / 255
    tiny: Float32Array = cv2.resize(cut, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    return tiny
