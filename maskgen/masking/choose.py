"""Catalog, face and random generator to a view."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from maskgen.catalog.schema import Kind
from maskgen.catalog.store import Catalog, View
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
    fitting = [one for one in fitting if one[0].entry.kind not in without] or fitting
    if not fitting:
        return None
    shares = np.cumsum([design.entry.weight for design, _ in fitting])
    _, views = fitting[min(int(np.searchsorted(shares, draw * shares[-1], side="right")), len(fitting) - 1)]
    # Where intervals overlap, the view that was seen from closest by.
    return min(views, key=lambda view: _distance(view, face))


def _distance(view: View, face: Face) -> float:
    yaw, pitch = (sum(interval) / 2 for interval in (view.rotation.yaw, view.rotation.pitch))
    return (yaw - face.pose.yaw) ** 2 + (pitch - face.pose.pitch) ** 2
