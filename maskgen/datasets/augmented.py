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

    Raises
    ------
    ConfigError
        If the manifest cannot be read, its run has not ended, or originals are nowhere.
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

    originals = _originals(root, in_format, rows, kept, record, original)
    left_out["lost"] += int((~originals.are_there[kept]).sum())
    kept = kept[originals.are_there[kept]]
    starts = None
    if originals.file is not None and originals.offset is not None:
        kept = kept[np.lexsort((originals.offset[kept], originals.file[kept]))]
        starts = np.flatnonzero(np.diff(originals.file[kept], prepend=-1))

    copies = places_in(root, rows.copies, in_format)
    numbers, ends = rows.copies_of(kept)
    is_there = copies.are_there[numbers]
    left_out["lost"] += int((~is_there).sum())
    places = picked(originals.texts, kept)
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
    root: Path, in_format: Format, rows: _Rows, kept: IntArray, record: RunFile | None, given: Path | None
) -> Places:
    """Where the original of each row lies: beside its copies, else in what augment read; all in what is given.

    Raises
    ------
    ConfigError
        If one is nowhere.
    """
    has_own = np.fromiter((place != "" for place in rows.places), bool, len(rows.places))
    own = places_in(root, rows.places, in_format)
    if given is None and has_own[kept].all():
        _refuse_missing(own, kept)
        return own
    elsewhere = kept if given is not None else kept[~has_own[kept]]
    if given is None and rows.is_crop[elsewhere].any():
        raise ConfigError(f"{root}: crops of masked people without their originals", "make them with {originals}")
    other = _in_source(root, rows, elsewhere, record, given)
    if given is None and has_own[kept].any():
        texts = Made(len(rows.names), partial(_either, has_own, own.texts, other.texts))
        other = Places(texts, np.where(has_own, own.are_there, other.are_there))
    _refuse_missing(other, kept)
    return other


def _in_source(root: Path, rows: _Rows, wanted: IntArray, record: RunFile | None, given: Path | None) -> Places:
    """Where in a dataset the pictures lie of which rows have the keys."""
    source = given or (root if record is None else Path(record.source))
    in_format: Any = None if given is not None or record is None else record.settings.get("in_format")
    if in_format is None:
        in_format = format_of_path(source) if source.exists() or is_pattern(source) else "folder"
    if in_format in OF_FILES:
        return places_in(source, rows.names, in_format)
    found = listed(source, in_format)
    lookup = Lookup(found.names)
    number = np.full(len(rows.names), -1, np.intp)
    for at in wanted.tolist():
        number[at] = next(iter(lookup.find(rows.names[at])), -1)
    missing = wanted[number[wanted] < 0]
    if len(missing):
        raise _missing(f"{source}: {rows.names[int(missing[0])]}")
    assert found.starts is not None
    file = np.searchsorted(found.starts, number, side="right")
    # Its order is that of the listing.
    return Places(picked(found.places, number), number >= 0, file.astype(np.intp), number)


def _either(is_first: BoolArray, first: Sequence[str], second: Sequence[str], number: int) -> str:
    return first[number] if is_first[number] else second[number]


def _refuse_missing(places: Places, kept: IntArray) -> None:
    if places.file is None:
        for number in kept.tolist():
            file = file_of(places.texts[number])
            if file is not None and not file.exists():
                raise _missing(str(file))


def _missing(called: str) -> ConfigError:
    return ConfigError(
        f"{called}: the original of a masked picture is missing", "set {original} to the dataset that has it"
    )


def _wrote_crops(record: RunFile) -> bool:
    return record.settings.get("aligned") is True or record.settings.get("align") is not None


def _manifest_of(root: Path) -> Path | None:
    """The manifest in a folder, if there is one."""
    path = manifest.path_of(root)
    return path if path.is_file() else None


def _run_of(root: Path) -> RunFile | None:
    path = root / manifest.RUN_FILE
    return manifest.read_run(path) if path.is_file() else None
