"""What ``maskgen augment`` wrote as people: its manifest tells which pictures are masked copies of which original."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskgen import manifest
from maskgen.arrays import BoolArray, IntArray
from maskgen.datasets import parts
from maskgen.datasets.folder import identity_of
from maskgen.datasets.listing import listed
from maskgen.datasets.open import format_of_path
from maskgen.datasets.people import AlignedBy, People, picked, plain, refuse_parts, seem_aligned
from maskgen.datasets.places import file_of
from maskgen.datasets.recordio import REC_FILE
from maskgen.datasets.texts import Lookup, Made, Numbering, Texts
from maskgen.datasets.webdataset import is_pattern
from maskgen.datasets.written import Places, places_in
from maskgen.errors import ConfigError
from maskgen.face import Face
from maskgen.formats import OF_FILES, Format
from maskgen.manifest import Row, RunFile
from maskgen.plural import counted

_USABLE: Final = -1


def output_of(path: Path, in_format: Format) -> Path | None:
    """The folder that a run of augment wrote, if a path is one or leads into one; None if it does not.

    Raises
    ------
    ConfigError
        If it leads to some of the shards that a run wrote: what is masked in them is told for all together.
    """
    if path.is_dir():
        return None if _manifest_of(path) is None else path
    folder = path.parent
    if in_format not in ("recordio", "webdataset") or _manifest_of(folder) is None:
        return None
    if in_format == "recordio":
        return folder if path.with_suffix(".rec").name == REC_FILE else None
    record = _run_of(folder)
    if record is None or record.settings.get("masks") is False:
        return None
    raise ConfigError(
        f"{path}: augment wrote it, and the manifest in {folder} says which pictures are masked copies",
        "give the folder",
    )


def augmented(root: Path, original: Path | None = None, aligned: bool | None = None) -> People:
    """What ``maskgen augment`` wrote; originals without a masked copy are items too. Parameters as for `open_people`.

    What cannot be learnt from is left out and counted: an original that is nowhere as ``no_original``, and as ``lost``
    what the manifest names and is gone.

    Raises
    ------
    ConfigError
        If the manifest cannot be read, its run has not ended, or no original is anywhere.
    """
    record = _run_of(root)
    aligned_by: AlignedBy = "settings"
    if aligned is None and record is not None and _wrote_crops(record):
        aligned, aligned_by = True, "run"
    if record is not None and record.settings.get("masks") is False:
        return plain(root, aligned, aligned_by)
    in_format = format_of_path(root)
    rows = _Rows(root)
    _refuse_unfinished(root, rows, record, in_format)
    kept, left_out = rows.usable()
    if not len(kept):
        raise ConfigError(f"{root}: the manifest lists no picture with a face of which it says who it is")
    if all(identity_of(rows.names[number]) == rows.identity(number) for number in kept.tolist()):
        refuse_parts(root, picked(rows.names, kept))

    source = original or (root if record is None else Path(record.source))
    originals = _originals(root, in_format, rows, kept, source, record, original is not None)
    is_there = _there(originals, kept)
    is_lost = ~is_there & rows.has_own[kept] & (original is None)
    left_out["lost"] += int(is_lost.sum())
    left_out["no_original"] += int((~is_there & ~is_lost).sum())
    if not is_there.any():
        if original is None and (rows.is_crop & ~rows.has_own)[kept].all():
            raise ConfigError(f"{root}: crops of masked people without their originals", "make them with {originals}")
        first, where = rows.names[int(kept[0])], root if is_lost.all() else source
        raise ConfigError(
            f"{where}: has none of the originals of {counted(len(kept), 'picture')} in {root}, such as {first}",
            "set {original} to the dataset that has them",
        )
    kept = kept[is_there]
    starts = None
    if originals.file is not None and originals.offset is not None:
        kept = kept[np.lexsort((originals.offset[kept], originals.file[kept]))]
        starts = np.flatnonzero(np.diff(originals.file[kept], prepend=-1))

    copies = places_in(root, rows.copies, in_format)
    numbers, ends = rows.copies_of(kept)
    is_there = _there(copies, numbers)
    left_out["lost"] += int((~is_there).sum())
    places = picked(originals.texts, kept)
    if original is not None and rows.is_crop[kept].any() and not seem_aligned(places):
        raise ConfigError(
            f"{original}: photographs, and the masked copies in {root} are crops",
            "set {original} to crops, or make some with {originals}",
        )
    if aligned is None:
        aligned, aligned_by = seem_aligned(places), "sizes"
    return People(
        picked(rows.names, kept),
        places,
        rows.whose[kept],
        rows.identities,
        aligned,
        aligned_by,
        +left_out,
        starts,
        picked(copies.texts, numbers[is_there]),
        np.concatenate([[0], np.cumsum(is_there)]).astype(np.intp)[ends],
        None if rows.keypoints is None else rows.keypoints[kept],
        rows.faces_of(kept),
    )


class _Rows:
    """A manifest in arrays.

    Attributes
    ----------
    names, places, copies : Texts
        Keys; places of originals, empty where there are none; places of the masked copies of all rows.
    has_own : (N,) bool array
        Whether a place of the original is named.
    whose : (N,) int array
        Numbers of identities.
    identities : tuple of str
        By number.
    is_crop : (N,) bool array
        Whether the pictures were cut out.
    keypoints : (N, 5, 2) float32 array or None
        NaN where they are not known.
    faces : dict
        Row -> face, where its landmarks are known.
    """

    def __init__(self, root: Path) -> None:
        path = _manifest_of(root)
        assert path is not None
        self.names, self.places, self.copies = Texts(), Texts(), Texts()
        self.faces: dict[int, Face] = {}
        numbering, self._reasons = Numbering(), Numbering()
        self._why, whose, is_crop, ends, points = array("l"), array("q"), bytearray(), array("q"), array("f")
        self._last, self._is_sorted = "", True
        for number, row in enumerate(manifest.read(path)):
            self._is_sorted &= not number or self._last < row.key
            self._last = row.key
            why = _why_not(row)
            self._why.append(_USABLE if why is None else self._reasons.of(why))
            self.names.append(row.key)
            whose.append(numbering.of(row.identity or ""))
            is_crop.append(row.crop is not None)
            own = row.original.place if row.original is not None else None
            self.places.append(own or "")
            face_number = _whose(row)
            if why is None:
                for variant in row.variants:
                    if variant.place is not None and variant.masks[face_number].design is not None:
                        self.copies.append(variant.place)
            ends.append(len(self.copies))
            # The points of a crop's row lie in the picture that it was cut from.
            if why is not None or row.crop is not None:
                points.extend([np.nan] * 10)
                continue
            face = row.faces[face_number]
            points.extend(value for point in face.keypoints for value in point[:2])
            if (found := manifest.face_of(face)) is not None:
                self.faces[number] = found
        self.has_own: BoolArray = np.fromiter((place != "" for place in self.places), bool, len(self.places))
        self.whose, self.identities = np.array(whose, np.intp), numbering.texts
        self.is_crop: BoolArray = np.frombuffer(is_crop, np.uint8).astype(bool)
        self._ends = np.array(ends, np.intp)
        keypoints = np.frombuffer(points, np.float32).reshape(-1, 5, 2)
        self.keypoints = None if np.isnan(keypoints).all() else keypoints

    def identity(self, number: int) -> str:
        """Of a row."""
        return self.identities[int(self.whose[number])]

    def usable(self) -> tuple[IntArray, Counter[str]]:
        """Numbers of the rows that are people, in the order of their keys; reason -> how many others.

        While a run goes on, or after it was killed, a key may come twice: the later row holds.
        """
        latest: IntArray = np.arange(len(self.names))
        if not self._is_sorted:
            last = {key: number for number, key in enumerate(self.names)}
            latest = np.array([last[key] for key in sorted(last)], np.intp)
        why = np.array(self._why, np.intp)[latest]
        left_out = Counter({reason: int((why == at).sum()) for at, reason in enumerate(self._reasons.texts)})
        return latest[why == _USABLE], left_out

    def faces_of(self, kept: IntArray) -> dict[int, Face]:
        """Place in these rows -> face, where it is known."""
        if not self.faces:
            return {}
        return {at: self.faces[number] for at, number in enumerate(kept.tolist()) if number in self.faces}

    def copies_of(self, kept: IntArray) -> tuple[IntArray, IntArray]:
        """Numbers of the masked copies of some rows, one row after the other; where those of each row end."""
        starts = np.concatenate([[0], self._ends[:-1]])[kept]
        lengths = self._ends[kept] - starts
        ends = np.cumsum(lengths)
        numbers = np.arange(int(ends[-1]) if len(ends) else 0) + np.repeat(starts - (ends - lengths), lengths)
        return numbers.astype(np.intp), ends.astype(np.intp)


def _why_not(row: Row) -> str | None:
    """Why a row is nobody to learn from; None if it is somebody."""
    if not row.faces or row.reason == "lost":
        return row.reason or "no_face"
    return "no_identity" if row.identity is None else None


def _whose(row: Row) -> int:
    """The number of the face that a row is about: the one that was to be masked, if only one was."""
    reasons = [mask.reason for mask in row.variants[0].masks] if row.variants else []
    return next((number for number, reason in enumerate(reasons) if reason != "not_central"), 0)


def _refuse_unfinished(root: Path, rows: _Rows, record: RunFile | None, in_format: Format) -> None:
    """Raise an error where files of many pictures are still those of a former run, or not there yet."""
    is_running = record is not None and record.state == "running" and in_format not in OF_FILES
    if is_running or any(name.startswith(f"{parts.FOLDER}/") for names in (rows.places, rows.copies) for name in names):
        raise ConfigError(f"{root}: the run that wrote it has not ended", "run the same again")


def _originals(
    root: Path, in_format: Format, rows: _Rows, kept: IntArray, source: Path, record: RunFile | None, is_given: bool
) -> Places:
    """Where the original of each row lies: beside its copies, else in what augment read; all in what is given."""
    if is_given:
        return _in_source(source, rows, kept, None)
    own = places_in(root, rows.places, in_format)
    # Of a crop, what augment read has the photograph only.
    elsewhere = kept[~(rows.has_own | rows.is_crop)[kept]]
    if not len(elsewhere):
        return own
    other = _in_source(source, rows, elsewhere, record)
    if not rows.has_own[kept].any():
        return other
    texts = Made(len(rows.names), partial(_either, rows.has_own, own.texts, other.texts))
    are_there = np.where(rows.has_own, own.are_there, other.are_there & ~rows.is_crop)
    if own.file is None or own.offset is None or other.file is None or other.offset is None:
        return Places(texts, are_there)
    file = np.where(rows.has_own, own.file, other.file + own.file.max() + 1)
    return Places(texts, are_there, file, np.where(rows.has_own, own.offset, other.offset))


def _in_source(source: Path, rows: _Rows, wanted: IntArray, record: RunFile | None) -> Places:
    """Where in a dataset, of which the run may know the format, the pictures lie of which rows have the keys."""
    in_format: Any = "folder"
    if source.exists() or is_pattern(source):
        in_format = None if record is None else record.settings.get("in_format")
        in_format = in_format or format_of_path(source)
    if in_format in OF_FILES:
        return places_in(source, rows.names, in_format)
    found = listed(source, in_format)
    lookup = Lookup(found.names)
    number = np.full(len(rows.names), -1, np.intp)
    for at in wanted.tolist():
        number[at] = next(iter(lookup.find(rows.names[at])), -1)
    assert found.starts is not None
    file = np.searchsorted(found.starts, number, side="right")
    # Its order is that of the listing.
    return Places(picked(found.places, number), number >= 0, file.astype(np.intp), number)


def _there(places: Places, numbers: IntArray) -> BoolArray:
    """Of which numbers there is a picture; of files, it is looked at now."""
    is_there = places.are_there[numbers]
    for at in np.flatnonzero(is_there).tolist() if places.file is None else ():
        file = file_of(places.texts[int(numbers[at])])
        is_there[at] = file is None or file.exists()
    return is_there


def _either(is_first: BoolArray, first: Sequence[str], second: Sequence[str], number: int) -> str:
    return first[number] if is_first[number] else second[number]


def _wrote_crops(record: RunFile) -> bool:
    return record.settings.get("aligned") is True or record.settings.get("align") is not None


def _manifest_of(root: Path) -> Path | None:
    """The manifest in a folder, if there is one."""
    path = manifest.path_of(root)
    return path if path.is_file() else None


def _run_of(root: Path) -> RunFile | None:
    path = root / manifest.RUN_FILE
    return manifest.read_run(path) if path.is_file() else None
