"""Catalog, face and random generator to a view."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence

import numpy as np

from maskgen.catalog.schema import Kind
from maskgen.catalog.store import Catalog
from maskgen.catalog.view import View
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
    if not fitting.designs:
        return None
    drawn, share = _drawn(fitting.limits, draw)
    if fitting.designs[drawn].entry.kind in without and (others := fitting.without(without)).designs:
        # Where in its share the number fell is as good as a new one, so that other faces keep their masks.
        fitting, (drawn, _) = others, _drawn(others.limits, share)
    views = fitting.views[drawn]
    # Where intervals overlap, the view that was seen from closest by.
    return views[0] if len(views) == 1 else min(views, key=lambda view: _distance(view, face))


def _drawn(limits: Sequence[float], draw: float) -> tuple[int, float]:
    """The number of the design that a number between 0 and 1 draws by weight, and where in its share it falls."""
    place = draw * limits[-1]
    drawn = min(bisect_right(limits, place), len(limits) - 1)
    start = limits[drawn - 1] if drawn else 0.0
    return drawn, (place - start) / (limits[drawn] - start)


def _distance(view: View, face: Face) -> float:
    yaw, pitch = (sum(interval) / 2 for interval in (view.rotation.yaw, view.rotation.pitch))
    return (yaw - face.pose.yaw) ** 2 + (pitch - face.pose.pitch) ** 2
