"""A dataset of people: one item per original picture, with its identity and its masked copies.

`People` is all that training sees: a dataset of any format, or an output of ``maskgen augment``. It is held in arrays,
and an item is made when it is asked for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final, Literal

import numpy as np

from maskgen import images
from maskgen.arrays import Float32Array, Image, IntArray, Lazy
from maskgen.datasets.listing import NOBODY, listed
from maskgen.datasets.open import format_of_path
from maskgen.datasets.places import read_picture, read_raw
from maskgen.datasets.texts import Made
from maskgen.errors import ConfigError, ImageError
from maskgen.face import Face
from maskgen.face.align import are_crops
from maskgen.names import some_of
from maskgen.plural import tally

AlignedBy = Literal["settings", "run", "sizes"]
"""Who says whether pictures are aligned: the caller, the run that wrote them, or the sizes of some of them."""

# Parts that datasets come in.
_PARTS: Final = frozenset({"train", "training", "val", "valid", "validation", "dev", "test", "testing", "eval"})
# A person hardly has so many folders; a part has at least so many people.
_MANY: Final = 10
LOOKED_AT: Final = 200
"""Pictures whose sizes tell whether a dataset is aligned."""


@dataclass(frozen=True)
class Item:
    """An original picture.

    Attributes
    ----------
    name : str
        Its key, such as its relative path; unique in the dataset.
    identity : str
        Who is on it.
    original : str
        What `People.read` takes to read it.
    masked : tuple of str
        What `People.read` takes to read its masked copies; they have the original's size and keypoints.
    keypoints : (5, 2) array or None
        Of its largest face, pixels, if the dataset knows them: enough to align it and its masked copies.
    face : Face or None
        The same face, if the dataset knows its landmarks: enough to mask it.
    """

    name: str
    identity: str
    original: str
    masked: tuple[str, ...] = ()
    keypoints: Float32Array | None = None
    face: Face | None = None


@dataclass(frozen=True)
class People:
    """Pictures of people.

    Attributes
    ----------
    names : (N,) sequence of str
        Of the items, in an order that does not change.
    originals : (N,) sequence of str
        What `read` takes.
    whose : (N,) int array
        Number of each item's identity.
    identities : tuple of str
        By number.
    is_aligned : bool
        Whether the pictures are ArcFace crops already.
    aligned_by : {"settings", "run", "sizes"}
        How that is known.
    left_out : mapping
        Why entries are no items -> how many.
    starts : (F,) int array or None
        The first item of each file of many pictures, in whose order the items are; None if each is a file of its own.
    masked : (M,) sequence of str
        The masked copies of all items, one item after the other.
    ends : (N,) int array or None
        Where in `masked` those of each item end; None if there are none.
    keypoints : (N, 5, 2) array or None
        As in `Item`; NaN where they are not known.
    faces : mapping
        Number of an item -> its face, as in `Item`.
    read : callable
        Gives a picture (H, W, 3), RGB, upright, or raises ImageError; small enough to be sent to other processes.
    container : Path or None
        The one file in which all pictures lie, if `originals` do not say where they do.
    """

    names: Sequence[str]
    originals: Sequence[str]
    whose: IntArray
    identities: tuple[str, ...]
    is_aligned: bool = False
    aligned_by: AlignedBy = "settings"
    left_out: Mapping[str, int] = field(default_factory=dict)
    starts: IntArray | None = None
    masked: Sequence[str] = ()
    ends: IntArray | None = None
    keypoints: Float32Array | None = None
    faces: Mapping[int, Face] = field(default_factory=dict)
    read: Callable[[str], Image] = read_picture
    container: Path | None = None

    @property
    def items(self) -> Sequence[Item]:
        """The originals."""
        return _Items(self)

    @property
    def copies(self) -> IntArray:
        """(N,) how many masked copies each item has."""
        return np.zeros(len(self.names), np.intp) if self.ends is None else np.diff(self.ends, prepend=0)


class _Items(Lazy[Item]):
    def __init__(self, people: People) -> None:
        self._people = people

    def __len__(self) -> int:
        return len(self._people.names)

    def at(self, number: int) -> Item:
        """As `Lazy.at`."""
        people = self._people
        masked: tuple[str, ...] = ()
        if people.ends is not None:
            first = int(people.ends[number - 1]) if number else 0
            masked = tuple(people.masked[each] for each in range(first, int(people.ends[number])))
        points = None if people.keypoints is None else people.keypoints[number]
        return Item(
            people.names[number],
            people.identities[int(people.whose[number])],
            people.originals[number],
            masked,
            None if points is None or np.isnan(points[0, 0]) else points,
            people.faces.get(number),
        )


def people_of(
    pictures: Iterable[tuple[str, str]],
    is_aligned: bool,
    read: Callable[[str], Image] = read_picture,
    container: Path | None = None,
) -> People:
    """Pictures of which only names and places are known, as one identity."""
    names, places = zip(*pictures, strict=True) if (pictures := list(pictures)) else ((), ())
    return People(names, places, np.zeros(len(names), np.intp), ("",), is_aligned, read=read, container=container)


def plain(path: Path, aligned: bool | None = None, aligned_by: AlignedBy = "settings") -> People:
    """The pictures of a dataset as they are, whoever made it; parameters as for `dataset.open_people`.

    Raises
    ------
    ConfigError
        If nobody is on any of them, or the folders look like parts of a dataset rather than people.
    """
    in_format = format_of_path(path)
    found = listed(path, in_format)
    known: IntArray = np.flatnonzero(found.whose != NOBODY)
    left_out = Counter(found.left_out)
    left_out["no_identity"] += len(found.whose) - len(known)
    if not len(known):
        if in_format == "folder":
            raise ConfigError(
                f"{path}: no pictures in folders", "give a folder with one folder per identity, such as ann/1.jpg"
            )
        said = tally(left_out) if left_out.total() else "nothing in it"
        raise ConfigError(f"{path}: no picture of which it says who is on it: {said}")
    if in_format == "folder":
        refuse_parts(path, [found.names[number] for number in known])
    names, places, starts = found.names, found.places, found.starts
    if len(known) < len(found.whose):
        names, places = picked(names, known), picked(places, known)
        starts = None if starts is None else np.unique(np.searchsorted(known, starts))
    if aligned is None:
        aligned, aligned_by = seem_aligned(places), "sizes"
    return People(names, places, found.whose[known], found.identities, aligned, aligned_by, +left_out, starts)


def picked(texts: Sequence[str], numbers: IntArray) -> Sequence[str]:
    """Some of many strings, made when they are asked for."""
    return Made(len(numbers), partial(_picked, texts, numbers))


def _picked(texts: Sequence[str], numbers: IntArray, number: int) -> str:
    return texts[int(numbers[number])]


def seem_aligned(places: Sequence[str]) -> bool:
    """Whether pictures are ArcFace crops by their sizes, of `LOOKED_AT` of them, drawn evenly."""
    rng = np.random.default_rng(0)
    numbers = rng.choice(len(places), min(LOOKED_AT, len(places)), replace=False)
    sizes = set[tuple[int, int]]()
    for number in np.sort(numbers).tolist():
        try:
            header = images.format_and_size(read_raw(places[number]))
        except ImageError:
            continue  # it says nothing; whoever needs it will be told
        if header is not None:
            sizes.add(header[1])
        if sizes and not are_crops(sizes):
            return False
    return are_crops(sizes)


def refuse_parts(root: Path, names: Sequence[str]) -> None:
    """Raise an error where what looks like identities are parts of a dataset, such as ``train`` and ``val``.

    Raises
    ------
    ConfigError
        If they do.
    """
    depths = Counter(name.count("/") for name in names)
    if min(depths) < 2:
        return
    firsts = Counter(name.split("/")[0] for name in names)
    seconds = {"/".join(name.split("/")[:2]) for name in names}
    are_parts = all(first.lower() in _PARTS for first in firsts) or len(seconds) >= _MANY * len(firsts)
    if are_parts or len(firsts) == 1:
        likely = root / firsts.most_common(1)[0][0]
        raise ConfigError(
            f"{root}: all pictures lie two folders deep, so {some_of(sorted(firsts), 3)} would be taken for people; "
            f"the folder with one folder per identity is likely {likely}",
            "give that one",
        )
