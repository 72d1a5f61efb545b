"""What becomes of picture files and folders that show masks: designs, or the reason why not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Literal

import cv2

from maskgen.catalog.edit import NewDesign
from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.folder import FolderReader
from maskgen.detect import FaceDetector
from maskgen.errors import CatalogError, ImageError, MaskgenError
from maskgen.packs.find import BUNDLED
from maskgen.parallel import Crash, Executor, chunks_of, in_order
from maskgen.parse import FaceParser
from maskgen.studio.byhand import ByHand, ManyPoints, PointsFile
from maskgen.studio.photo import harvest
from maskgen.studio.pictured import About, Tools, design_from_several, designs_from, name_of


@dataclass(frozen=True)
class Refusal:
    """A picture that gave no design, and why.

    Attributes
    ----------
    file : Path
        The picture.
    reason : str
        One word: one of `harvest.RefusedError`, ``bad_image``, ``bad_name``, ``unreadable_folder``, ``cut_out``,
        ``unexpected`` or ``crashed``.
    message : str
        A sentence that begins with the file.
    """

    file: Path
    reason: str
    message: str


@dataclass(frozen=True)
class Mask:
    """Pictures of one mask, and its name if it does not follow from that of its picture."""

    files: tuple[Path, ...]
    name: str | None = None


@dataclass(frozen=True)
class Request:
    """What holds for every mask: what the user says, points placed by hand, and the pack that finds faces.

    `kept` is what is said instead of the designs of some names, because it is kept where one is replaced.
    """

    about: About
    points: ByHand | None = None
    model: str = BUNDLED
    kept: Mapping[str, About] = field(default_factory=dict)

    def name_of(self, mask: Mask) -> str:
        """The name of a mask's design."""
        return self.about.name or mask.name or name_of(mask.files[0])

    def about_of(self, mask: Mask) -> About:
        """What is said of a mask's design, with its name."""
        name = self.name_of(mask)
        return replace(self.kept.get(name, self.about), name=name)


Grouping = Literal["each", "all", "folders"]
"""What is one mask: each picture, all of them together, or those of each folder."""


def masks_in(sources: Sequence[Path], grouping: Grouping = "each") -> tuple[list[Mask], list[Refusal]]:
    """The masks that files and folders show, in order; and what in folders cannot be looked at.

    Raises
    ------
    CatalogError
        As `pictures_in`.
    """
    pictures, refused = pictures_in(sources)
    if grouping == "all":
        return ([Mask(tuple(pictures))] if pictures else []), refused
    if grouping == "each":
        return [Mask((picture,)) for picture in pictures], refused
    folders: dict[Path, list[Path]] = {}
    for picture in pictures:
        folders.setdefault(picture.parent, []).append(picture)
    return [Mask(tuple(inside), name_of(folder, folder.resolve().name)) for folder, inside in folders.items()], refused


def pictures_in(sources: Sequence[Path]) -> tuple[list[Path], list[Refusal]]:
    """The pictures among files and in folders, sorted within a folder; and what in folders cannot be looked at.

    Raises
    ------
    CatalogError
        If a source is missing, or a folder holds no picture.
    """
    pictures, refused = [], list[Refusal]()
    for source in sources:
        if source.is_dir():
            listed = list(FolderReader(source).listed)
            inside = [source / found.key for found in listed if isinstance(found, Entry)]
            failed = [found for found in listed if isinstance(found, Fault) and found.status == "failed"]
            if not inside and not failed:
                raise CatalogError(f"{source}: no pictures in this folder")
            pictures += inside
            for fault in failed:
                path = source / fault.key
                refused.append(Refusal(path, fault.reason, str(ImageError(f"{path}: {fault.message}", fault.remedy))))
        elif source.exists():
            pictures.append(source)
        else:
            raise CatalogError(f"{source}: no such file or folder")
    return pictures, refused


def passed_over(sources: Sequence[Path]) -> list[Path]:
    """The files in folders that are no pictures by their endings; what systems leave beside pictures is not named."""
    return [
        source / found.key
        for source in sources
        if source.is_dir()
        for found in FolderReader(source).listed
        if isinstance(found, Fault) and found.reason == "not_an_image"
    ]


def take(
    masks: Sequence[Mask], request: Request, executor: Executor
) -> Iterator[tuple[Mask, list[NewDesign] | Refusal]]:
    """The designs of each mask's pictures, or their refusal, in the order of the masks."""
    # One picture takes seconds: no chunk needs more.
    results = executor.run(partial(_take_chunk, request), chunks_of(enumerate(masks), 1))
    numbered = (
        (result.item[0], _crashed(result.item[1])) if isinstance(result, Crash) else result for result in results
    )
    yield from zip(masks, in_order(numbered), strict=True)


def take_one(mask: Mask, request: Request) -> list[NewDesign] | Refusal:
    """The designs of a mask's pictures, or their refusal."""
    file = mask.files[0]
    about, points = request.about_of(mask), request.points
    try:
        if len(mask.files) > 1 or isinstance(points, ManyPoints):
            if isinstance(points, PointsFile):
                raise CatalogError(f"{file}: points for one picture, but the mask has {len(mask.files)}")
            return [design_from_several(mask.files, _tools(request.model), about, points)]
        return designs_from(file, _tools(request.model), about, points)
    except harvest.RefusedError as error:
        return Refusal(file, error.reason, str(error))
    except CatalogError as error:
        return Refusal(file, "cut_out", str(error))
    except ImageError as error:
        return Refusal(file, "bad_image", str(error))
    except MaskgenError:
        raise
    except Exception as error:
        # One picture must not keep the others from being taken.
        said = " ".join(str(error).split())
        return Refusal(file, "unexpected", f"{file}: {type(error).__name__}: {said}")


def _take_chunk(request: Request, chunk: Sequence[tuple[int, Mask]]) -> tuple[int, list[NewDesign] | Refusal]:
    cv2.setNumThreads(1)  # a worker has one core
    ((number, mask),) = chunk
    return number, take_one(mask, request)


def _crashed(mask: Mask) -> Refusal:
    return Refusal(mask.files[0], "crashed", f"{mask.files[0]}: the process that worked on it died, twice")


@lru_cache(maxsize=1)
def _tools(model: str) -> Tools:
    return Tools(FaceDetector(model), FaceParser(model))
