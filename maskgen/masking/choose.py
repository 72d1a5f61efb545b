"""Catalog, face and random generator to a view."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from maskgen.catalog.schema import Kind
from maskgen.catalog.store import Catalog, Design, View
from maskgen.face import Face


def choose(catalog: Catalog, face: Face, rng: np.random.Generator, without: Collection[Kind] = ()) -> View | None:
    """A view whose rotation interval holds the face's pose, from a design drawn by weight.

    Parameters
    ----------
    catalog : Catalog
        The designs to draw from.
    face : Face
        Its yaw and pitch decide which views fit; roll does not matter, the warp turns the mask with the face.
    rng : numpy.random.Generator
        One number is drawn from it, whatever the outcome.
    without : collection of str
        Kinds that are only chosen where there is no other.

    Returns
    -------
    View or None
        None if no design has a view for this pose.
    """
    draw = rng.random()
    fitting = catalog.fitting(face.pose.yaw, face.pose.pitch)
    if not fitting:
        return None
    drawn, share = _drawn(fitting, draw)
    others = [one for one in fitting if one[0].entry.kind not in without]
    if others and fitting[drawn][0].entry.kind in without:
        # Where in its share the number fell is as good as a new one, so that other faces keep their masks.
        fitting, (drawn, _) = others, _drawn(others, share)
    _, views = fitting[drawn]
    # Where intervals overlap, the view that was seen from closest by.
    return min(views, key=lambda view: _distance(view, face))


def _drawn(fitting: Sequence[tuple[Design, tuple[View, ...]]], draw: float) -> tuple[int, float]:
    """The number of the design that a number between 0 and 1 draws by weight, and where in its share it falls."""
    limits = np.cumsum([0.0, *(design.entry.weight for design, _ in fitting)])
    place = draw * limits[-1]
    drawn = min(int(np.searchsorted(limits[1:], place, side="right")), len(fitting) - 1)
    return drawn, float((place - limits[drawn]) / (limits[drawn + 1] - limits[drawn]))


def _distance(view: View, face: Face) -> float:
    yaw, pitch = (sum(interval) / 2 for interval in (view.rotation.yaw, view.rotation.pitch))
    return (yaw - face.pose.yaw) ** 2 + (pitch - face.pose.pitch) ** 2
