"""Which designs a catalog holds, and which of them fit a head: read from disk and checked."""

from __future__ import annotations

import hashlib
import json
import os
from bisect import bisect_left, bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from pydantic import ValidationError

from maskgen import files
from maskgen.catalog.places import CATALOG_FILE, OWN, SHIPPED, default_catalog_dir, folder_of, name_of, whole_places
from maskgen.catalog.schema import CatalogFile, DesignEntry, Kind
from maskgen.catalog.view import Siblings, View, views_of
from maskgen.errors import CatalogError
from maskgen.names import did_you_mean
from maskgen.schema import first_fault

MAX_CATALOG_BYTES: Final = 32_000_000
"""Two thousand designs with views from all sides; reading one of this size takes less than 1 GB."""
# What fits is remembered for so many cells of head rotations; the bundled catalog has fewer.
_MOST_CELLS: Final = 4096


@dataclass(frozen=True)
class Design:
    """A mask design with its views, mirrored ones included, and the folder of the catalog that holds it."""

    entry: DesignEntry
    views: tuple[View, ...]
    root: Path

    @property
    def is_shipped(self) -> bool:
        """Whether it ships with maskgen."""
        return self.root == default_catalog_dir()

    def views_for(self, yaw: float, pitch: float) -> tuple[View, ...]:
        """The views whose rotation interval holds a head rotation, degrees."""
        return tuple(view for view in self.views if view.rotation.holds(yaw, pitch))


@dataclass(frozen=True)
class Fitting:
    """The designs that have views for a head rotation.

    Attributes
    ----------
    designs : tuple of Design
    views : tuple of tuple of View
        Of each design, those that fit.
    limits : tuple of float
        The weights of the designs, each added to those before it.
    """

    designs: tuple[Design, ...]
    views: tuple[tuple[View, ...], ...]
    limits: tuple[float, ...]

    @classmethod
    def of(cls, both: Sequence[tuple[Design, tuple[View, ...]]]) -> Fitting:
        """Designs with those of their views that fit."""
        designs, views = tuple(design for design, _ in both), tuple(held for _, held in both)
        return cls(designs, views, tuple(accumulate(design.entry.weight for design in designs)))

    def without(self, kinds: Collection[Kind]) -> Fitting:
        """Those that are not of some kinds."""
        both = zip(self.designs, self.views, strict=True)
        return Fitting.of([(design, held) for design, held in both if design.entry.kind not in kinds])


@dataclass(frozen=True)
class Catalog:
    """Mask designs to choose from, of one catalog or several.

    Attributes
    ----------
    designs : tuple of Design
        In the order of the catalogs and of their ``catalog.json``; no two have one name.
    roots : tuple of Path
        The folders of the catalogs, whether or not a design of theirs is among these.

    Examples
    --------
    >>> catalog = Catalog.load()
    >>> {design.entry.kind for design in catalog.select(kinds=["surgical"]).designs}
    {'surgical'}
    """

    designs: tuple[Design, ...]
    roots: tuple[Path, ...]

    @classmethod
    def load(cls, places: str | Path | Sequence[str | Path] | None = None) -> Catalog:
        """Read catalogs.

        Parameters
        ----------
        places : str, Path or sequence of them, optional
            Folders with ``catalog.json``, ``shipped`` or ``own``; by default the catalog that ships with maskgen alone.

        Raises
        ------
        CatalogError
            If a file is missing or malformed, or names a picture that is missing, or two catalogs name a design alike.
        """
        designs, roots = list[Design](), dict[Path, Path]()
        for place in whole_places(places):
            root = folder_of(place)
            if (real := Path(os.path.realpath(root))) in roots:
                continue
            if real == default_catalog_dir().resolve():
                root = default_catalog_dir()
            roots[real] = root
            entries, siblings = _read(root)
            designs += [Design(entry, tuple(views_of(root, entry, siblings)), root) for entry in entries.masks]
        _refuse_clashes(designs)
        return cls(tuple(designs), tuple(roots.values()))

    @cached_property
    def sha256(self) -> str:
        """Of all that is said of these designs, which holds the hash of every picture, in their order."""
        digest = hashlib.sha256()
        for design in self.designs:
            digest.update(design.entry.model_dump_json(exclude_none=True).encode() + b"\n")
        return digest.hexdigest()

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the designs."""
        return tuple(design.entry.name for design in self.designs)

    @property
    def own(self) -> tuple[Design, ...]:
        """The designs that do not ship with maskgen."""
        return tuple(design for design in self.designs if not design.is_shipped)

    @property
    def own_share(self) -> float:
        """The share of the masks that are of `own` designs, 0 to 1, where all designs have a view for a face."""
        return sum(design.entry.weight for design in self.own) / sum(design.entry.weight for design in self.designs)

    def fitting(self, yaw: float, pitch: float) -> Fitting:
        """The designs with views whose rotation interval holds a head rotation, degrees, in their order."""
        # The ends of all intervals part the rotations into cells, in each of which the same views fit.
        yaws, pitches, cells = self._cells
        cell = (
            bisect_left(yaws, yaw) + bisect_right(yaws, yaw),
            bisect_left(pitches, pitch) + bisect_right(pitches, pitch),
        )
        found = cells.get(cell)
        if found is None:
            if len(cells) >= _MOST_CELLS:
                cells.clear()
            found = cells[cell] = self._holding(yaw, pitch)
        return found

    def _holding(self, yaw: float, pitch: float) -> Fitting:
        views, owners, (low_yaw, high_yaw, low_pitch, high_pitch) = self._intervals
        holding = (low_yaw <= yaw) & (yaw <= high_yaw) & (low_pitch <= pitch) & (pitch <= high_pitch)
        found: dict[int, list[View]] = {}
        for number in np.flatnonzero(holding):
            found.setdefault(owners[number], []).append(views[number])
        return Fitting.of([(self.designs[owner], tuple(held)) for owner, held in found.items()])

    @cached_property
    def _cells(self) -> tuple[list[float], list[float], dict[tuple[int, int], Fitting]]:
        """The ends of all intervals, of yaw and of pitch, and what fits in the cells that were asked for."""
        low_yaw, high_yaw, low_pitch, high_pitch = self._intervals[2]
        yaws, pitches = (
            np.unique(np.concatenate(ends)).tolist() for ends in ((low_yaw, high_yaw), (low_pitch, high_pitch))
        )
        return yaws, pitches, {}

    @cached_property
    def _intervals(self) -> tuple[list[View], list[int], npt.NDArray[np.float64]]:
        """All views, the numbers of their designs, and their intervals (4, V)."""
        both = [(view, number) for number, design in enumerate(self.designs) for view in design.views]
        limits = np.array([(*view.rotation.yaw, *view.rotation.pitch) for view, _ in both], np.float64)
        return [view for view, _ in both], [number for _, number in both], limits.reshape(-1, 4).T

    def preload(self) -> None:
        """Read all textures now, so that processes forked from this one share them.

        Raises
        ------
        CatalogError
            As `View.textures`.
        """
        for design in self.designs:
            for view in design.views:
                _ = view.textures, view.triangles

    def select(self, kinds: Sequence[str] = (), tags: Sequence[str] = (), names: Sequence[str] = ()) -> Catalog:
        """The designs of these kinds that carry all these tags and bear one of these names; empty means any.

        Raises
        ------
        CatalogError
            If no design is left.
        """
        known = set(self.names)
        if missing := [name for name in names if name not in known]:
            near = did_you_mean(missing[0], known)
            raise CatalogError(
                f"{self._called}: no design {', '.join(map(repr, missing))}",
                f"{near} See 'maskgen catalog list'" if near else "see 'maskgen catalog list'",
            )
        chosen = tuple(
            design
            for design in self.designs
            if (not kinds or design.entry.kind in kinds)
            and set(tags) <= set(design.entry.tags)
            and (not names or design.entry.name in names)
        )
        if not chosen:
            wanted = {"kind": " or ".join(kinds), "tags": " and ".join(tags), "name": " or ".join(names)}
            said = ", ".join(f"{what} {which}" for what, which in wanted.items() if which)
            raise CatalogError(
                f"{self._called}: no design{f' of {said}' if said else ''}", "see 'maskgen catalog list'"
            )
        return Catalog(chosen, self.roots)

    def as_before(self, names: Sequence[str], sha256: str) -> Catalog | None:
        """The designs of these names alone, if their hash is the one given: all others have come since then."""
        wanted = set(names)
        then = Catalog(tuple(design for design in self.designs if design.entry.name in wanted), self.roots)
        return then if then.sha256 == sha256 else None

    @property
    def _called(self) -> str:
        return ", ".join(map(name_of, self.roots))


def _read(root: Path) -> tuple[CatalogFile, Siblings]:
    path = root / CATALOG_FILE
    try:
        raw = files.read_regular(path, MAX_CATALOG_BYTES)
    except OSError as error:
        raise CatalogError(
            f"{path}: cannot read the catalog ({error.strerror})",
            f"set {{catalog}} to its folder, to {SHIPPED} or to {OWN}",
        ) from error
    return parse(raw, path), Siblings(path, hashlib.sha256(raw).hexdigest())


def _refuse_clashes(designs: Sequence[Design]) -> None:
    first: dict[str, Design] = {}
    for design in designs:
        other = first.setdefault(design.entry.name, design)
        if other is not design:
            raise CatalogError(
                f"{design.root}: design {design.entry.name!r} has the name of one in {other.root}",
                "leave one of the catalogs out by {catalog}, or remove one of the designs",
            )


def parse(raw: bytes, path: Path) -> CatalogFile:
    """The contents of ``catalog.json``.

    Raises
    ------
    CatalogError
        If they are not JSON, not a catalog or too long; names the first field at fault.
    """
    if len(raw) > MAX_CATALOG_BYTES:
        raise CatalogError(f"{path}: {len(raw):,} bytes, more than {MAX_CATALOG_BYTES:,}")
    try:
        return CatalogFile.model_validate_json(raw)
    except ValidationError as error:
        raise CatalogError(f"{path}: {first_fault(error)}") from error


def dump(catalog: CatalogFile) -> bytes:
    """``catalog.json`` as bytes: one line per view, so that it stays small and a diff readable."""
    designs = []
    for design in catalog.model_dump(mode="json", exclude_none=True)["masks"]:
        views = design.pop("views")
        lines = ",\n".join(f"   {_compact(view)}" for view in views)
        designs.append(f'  {_compact(design)[:-1]},"views":[\n{lines}\n  ]}}')
    masks = ",\n".join(designs)
    return f'{{"schema_version":{catalog.schema_version},"masks":[\n{masks}\n]}}\n'.encode()


def _compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
