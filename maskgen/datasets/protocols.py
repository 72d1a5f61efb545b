"""Protocols of verification, in the folders in which they are handed out: their list of pairs, and its pictures."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from maskgen.datasets.pairlists import NoPicturesError, read_pairs
from maskgen.datasets.pairs import Pairs
from maskgen.errors import ConfigError
from maskgen.formats import Protocol


class Layout(NamedTuple):
    """How a protocol lies on a disk.

    Attributes
    ----------
    lists : tuple of str
        What its list is called.
    folders : tuple of str
        What the folder of its pictures is called, the first that there is; the list may lie in it or beside it.
    pairs : int
        How many it has as it was published.
    """

    lists: tuple[str, ...]
    folders: tuple[str, ...]
    pairs: int


LAYOUTS: Final[dict[Protocol, Layout]] = {
    "lfw": Layout(("pairs.txt",), ("lfw", "lfw-deepfunneled", "lfw_funneled", "lfw-sm"), 6000),
    "mfr2": Layout(("pairs.txt",), ("mfr2",), 848),
    "calfw": Layout(("pairs_CALFW.txt",), ("aligned images", "images"), 6000),
    "cplfw": Layout(("pairs_CPLFW.txt",), ("aligned images", "images"), 6000),
    "mlfw": Layout(("pairs.txt", "pairs_MLFW.txt"), ("aligned", "aligned images", "images", "origin"), 6000),
}


class Found(NamedTuple):
    """What was taken of a root: the list, the folder from which it counts its paths, and what they say."""

    protocol: Protocol
    root: Path
    path: Path
    folder: Path
    pairs: Pairs


def find(protocol: Protocol, root: Path) -> Found:
    """The list and the pictures of a protocol.

    The list lies in the root, in a folder of it that is called as the protocol, or beside the root. Its pictures lie in
    the folder of the list (in the root, if the list is beside it) or in a folder in that: in the one that is called as
    usual, else in the only one that has any of them.

    Parameters
    ----------
    protocol : str
        Which.
    root : Path
        The folder that was downloaded, or the folder of its pictures.

    Raises
    ------
    ConfigError
        If there is no list, more than one, or one that cannot be read; if none of its pictures is there, or some are in
        several folders. Says what was sought, and where.
    """
    layout = LAYOUTS[protocol]
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder", f"set {{root}} to the folder of {protocol}")
    home, path = _list(protocol, layout, root)
    sought = [home, *(folder for name in layout.folders for folder in _called(home, name))]
    others = [folder for folder in _folders(home) if folder not in sought]
    for folder in sought:
        pairs = _pairs(path, folder)
        if pairs is not None:
            return Found(protocol, root, path, folder, pairs)
    found = [(folder, pairs) for folder in others if (pairs := _pairs(path, folder)) is not None]
    if len(found) > 1:
        raise ConfigError(
            f"{path}: pictures of it lie in {' and in '.join(str(folder) for folder, _ in found[:3])}",
            "set {pairs} to the list and {root} to one of them",
        )
    if not found:
        names = ", ".join(repr(name) for name in layout.folders)
        raise ConfigError(
            f"{path}: none of its pictures is in {home}, in a folder called {names} there, or in another one of its "
            f"folders",
            "set {pairs} to the list and {root} to the folder from which it counts its paths",
        )
    return Found(protocol, root, path, *found[0])


def _list(protocol: Protocol, layout: Layout, root: Path) -> tuple[Path, Path]:
    """The folder under which the pictures lie, and the list."""
    homes = [root, *_called(root, protocol)]
    for home, folder in [*((home, home) for home in homes), (root, root.resolve().parent)]:
        found = [path for name in layout.lists for path in _called(folder, name, is_file=True)]
        if len(found) > 1:
            raise ConfigError(
                f"{folder}: has {' and '.join(path.name for path in found)}",
                "set {pairs} to the one that is meant, and {root} to the folder of its pictures",
            )
        if found:
            return home, found[0]
    names = " or ".join(layout.lists)
    raise ConfigError(
        f"{root}: no {names} in it, in a folder {protocol!r} of it, or beside it",
        f"put the list of {protocol} there, or set {{pairs}} to it",
    )


def _pairs(path: Path, folder: Path) -> Pairs | None:
    try:
        return read_pairs(path, folder)
    except NoPicturesError:
        return None


def _called(folder: Path, name: str, is_file: bool = False) -> Iterator[Path]:
    """What is called so in a folder, in capitals or not."""
    exact = folder / name
    if exact.is_file() if is_file else exact.is_dir():
        yield exact
        return
    for entry in _entries(folder):
        if entry.name.lower() == name.lower() and (entry.is_file() if is_file else entry.is_dir()):
            yield entry


def _folders(home: Path) -> list[Path]:
    return [entry for entry in _entries(home) if entry.is_dir()]


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be listed: {error.strerror}") from error
