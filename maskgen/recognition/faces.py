"""The faces of a dataset's people: looked for once per picture, and kept in a cache."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from maskgen import files
from maskgen.arrays import Image, IntArray
from maskgen.datasets import places
from maskgen.datasets.people import Item, People
from maskgen.detect import Detector, DetectorSource
from maskgen.errors import ImageError, MaskgenError
from maskgen.face import Face
from maskgen.parallel import Crash, Executor, chunks_of
from maskgen.parallel.base import chunk_size
from maskgen.parse import Parser
from maskgen.recognition.cache import CacheInfo, CacheWriter, FaceCache, prepared
from maskgen.recognition.look import look_at
from maskgen.recognition.seen import Encoded, Reason, Seen, Stamps, encoded


class Progress(NamedTuple):
    """How far a search is.

    Attributes
    ----------
    done, total : int
        Pictures that have been looked at, and all that had to be.
    failed : int
        Of them, those that could not be looked at.
    """

    done: int
    total: int
    failed: int = 0


def cache_in(folder: Path, detectors: DetectorSource, is_aligned: bool) -> Path:
    """Where a command keeps the faces that it looks for, unless it is told where."""
    return folder / f"faces-{detectors.sha256()[:8]}{'-aligned' * is_aligned}"


def faces_of(
    people: People,
    path: Path,
    detectors: DetectorSource,
    executor: Executor,
    items: Sequence[Item] | None = None,
    observed: bool = True,
    on_progress: Callable[[Progress], None] = lambda progress: None,
    on_fault: Callable[[str], None] = lambda message: None,
) -> FaceCache:
    """A cache that knows the faces of every item; what it does not know yet is looked for.

    Parameters
    ----------
    people : People
        The face of an item that knows it is not looked for.
    path : Path
        Of the cache, which is made if it is not there. If the search is stopped, what was found stays.
    detectors : DetectorSource
        Builds detectors and parsers only if something has to be looked at.
    executor : Executor
        Where the work is done.
    items : sequence of Item, optional
        Which; all by default.
    observed : bool
        Whether more is to be known than where faces lie: what masks on them take after.
    on_progress : callable
        Called when more pictures have been looked at.
    on_fault : callable
        Gets a sentence about a picture that cannot be searched; the others are searched all the same.

    Raises
    ------
    ConfigError
        If the path holds something else, or was made with another pack.
    ModelError
        If a detector is needed and there is none.
    MaskgenError
        If the cache cannot be written.
    """
    prepared(path, CacheInfo(pack_sha256=detectors.sha256(), aligned=people.is_aligned))
    wanted = people.items if items is None else items
    search = _Search(people.read, detectors, people.is_aligned, observed, people.container)
    cache = FaceCache(path)
    unknown = _unknown(cache, wanted, search)
    if not len(unknown):
        return cache
    done, failed = 0, 0
    asked = (_Wanted.of(wanted[number]) for number in unknown.tolist())
    chunks = chunks_of(asked, chunk_size(len(unknown), executor.workers))
    with CacheWriter(path) as writer:
        for result in executor.run(partial(_look, search), chunks):
            found = [_crashed(search, result.item)] if isinstance(result, Crash) else result
            writer.append([one.picture for one in found])
            for one in found:
                if one.message is not None:
                    on_fault(one.message)
                failed += one.message is not None
                done += 1
                on_progress(Progress(done, len(unknown), failed))
    return FaceCache(path)


class _Wanted(NamedTuple):
    name: str
    place: str
    known: Face | None

    @classmethod
    def of(cls, item: Item) -> _Wanted:
        return cls(item.name, item.original, item.face)


class _Found(NamedTuple):
    """What was seen on a picture, and what is said of it if it is a fault."""

    picture: Encoded
    message: str | None = None


@dataclass(frozen=True)
class _Search:
    read: Callable[[str], Image]
    detectors: DetectorSource
    is_aligned: bool
    observed: bool
    container: Path | None

    def stamps(self, wanted: _Wanted) -> Stamps:
        """Those that a picture has now."""
        return Stamps(self.of_picture(wanted), self.of_container(wanted))

    def of_container(self, wanted: _Wanted, stamp_of: Callable[[Path], str | None] = files.stamp_of) -> str | None:
        """What changes when the file does in which a picture lies with others, or the face that is known of it."""
        path = self.container or places.container_of(wanted.place)
        return None if path is None else _with_face(stamp_of(path), wanted.known)

    def of_picture(self, wanted: _Wanted) -> str | None:
        """What changes when a picture does, or the face that is known of it."""
        return None if self.container else _with_face(places.stamp_of(wanted.place), wanted.known)


def _with_face(stamp: str | None, known: Face | None) -> str | None:
    if stamp is None or known is None:
        return stamp
    return f"{stamp} {hashlib.blake2b(known.landmarks.tobytes() + known.bbox.tobytes(), digest_size=8).hexdigest()}"


def _unknown(cache: FaceCache, items: Sequence[Item], search: _Search) -> IntArray:
    """The numbers of the items of which the cache does not know enough."""
    stamp_of = lru_cache(maxsize=64)(files.stamp_of)  # many pictures lie in one file
    fresh = cache.is_fresh(
        [item.name for item in items],
        lambda number: search.of_container(_Wanted.of(items[number]), stamp_of),
        lambda number: search.of_picture(_Wanted.of(items[number])),
        search.observed,
    )
    unknown: IntArray = np.flatnonzero(~fresh)
    return unknown


@lru_cache(maxsize=1)
def _detector(detectors: DetectorSource) -> Detector:
    cv2.setNumThreads(1)  # a worker has one core
    return detectors.build()


@lru_cache(maxsize=1)
def _parser(detectors: DetectorSource) -> Parser | None:
    cv2.setNumThreads(1)
    return detectors.parser()


def _look(search: _Search, chunk: Sequence[_Wanted]) -> list[_Found]:
    """What is seen on pictures; runs in a worker."""
    return [_found(search, wanted) for wanted in chunk]


def _crashed(search: _Search, wanted: _Wanted) -> _Found:
    message = f"{wanted.name}: ended the process that searched it for faces"
    return _Found(_encoded(search, wanted, _nothing(search, "crashed")), message)


def _found(search: _Search, wanted: _Wanted) -> _Found:
    detectors = search.detectors
    detector = _detector(detectors) if wanted.known is None else None
    parser = _parser(detectors) if search.observed else None
    # Before the picture is read: one that changes meanwhile is looked at again.
    stamps = search.stamps(wanted)
    try:
        image = search.read(wanted.place)
        seen = look_at(
            image, detector, parser, is_aligned=search.is_aligned, known=wanted.known, observed=search.observed
        )
    except ImageError as error:
        return _Found(encoded(wanted.name, _nothing(search, "bad_image"), stamps), str(error))
    except MaskgenError:
        raise
    except Exception as error:
        # One picture must not end the search: its row tells.
        message = f"{wanted.name}: {type(error).__name__}: {error}"
        return _Found(encoded(wanted.name, _nothing(search, "unexpected"), stamps), message)
    return _Found(encoded(wanted.name, seen, stamps))


def _encoded(search: _Search, wanted: _Wanted, seen: Seen) -> Encoded:
    return encoded(wanted.name, seen, search.stamps(wanted))


def _nothing(search: _Search, reason: Reason) -> Seen:
    return Seen((0, 0), reason=reason, is_aligned=search.is_aligned)
