"""All that reads files from outside: one class per kind, with whole inputs made by code.

A new format adds a class here, and a line in `READERS`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import json
import os
import pickle
import re
import shutil
import struct
import sys
import types
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np

# Helpers of the tests import each other by their bare names, as pytest lets them.
sys.path.append(str(Path(__file__).parents[1]))

import recordio_files
from catalogs import small_catalog
from fakes import FakeDetectors, write_picture
from people import portrait
from pictures import saved, smooth

from maskgen import images, manifest, run
from maskgen.catalog import bundle
from maskgen.catalog.store import CATALOG_FILE, Catalog
from maskgen.datasets import recordio_file, recordio_index
from maskgen.datasets.base import Entry
from maskgen.datasets.folder_writer import FolderWriter
from maskgen.datasets.pairlists import read_pairs
from maskgen.datasets.recordio import RecordReader
from maskgen.datasets.verification import read_bin
from maskgen.errors import ImageError
from maskgen.parallel import InProcess
from maskgen.run.stamps import STAMPS_FILE
from tests.attack import whole
from tests.attack.datasets import BinSets, MetadataFiles, Shards
from tests.attack.fuzz import Reader
from tests.attack.networks import Bases, Checkpoints, Packs, Recognisers, States, TrainingSettings
from tests.attack.places import scratch, written

_TIME: Final = 10**18
"""When all files were changed, nanoseconds: the same at every start, or no mutation could be made again."""


def lacking(reader: Reader) -> str | None:
    """The first library that a reader needs and that is not installed."""
    needs = getattr(reader, "needs", ())
    return next((name for name in needs if importlib.util.find_spec(name) is None), None)


# ---- pictures


@dataclass(frozen=True)
class Pictures:
    """Encoded pictures, whatever their format: in all ways that pictures which were cut short are treated."""

    name: str
    make: Any
    needs: tuple[str, ...] = ()
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        return list(self.make())

    def read(self, raw: bytes, folder: Path) -> None:
        for_messages, errors = Path("a.jpg"), []
        for truncated in (None, "keep", "fail"):
            try:
                images.decode(raw, for_messages, 2_000_000, truncated)
            except images.decoding.ImageError as error:
                errors.append(error)
        if errors:
            raise errors[0]


# ---- datasets


@dataclass(frozen=True)
class VerificationSets:
    """InsightFace's ``.bin``, with all its pictures."""

    name: str = "bin"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        pictures = [saved(portrait(person, 0), "PNG") for person in range(4)]
        small = [smooth(6, 5), smooth(6, 5)]
        return [
            *(pickle.dumps((pictures, [True, False]), protocol) for protocol in (0, 2, 4, 5)),
            pickle.dumps(([np.frombuffer(one, np.uint8) for one in pictures], np.array([True, False])), 2),
            pickle.dumps((np.array(small), [True]), 5),
            pickle.dumps((small, [np.bool_(True)]), 4),
        ]

    def read(self, raw: bytes, folder: Path) -> None:
        found = read_bin(written(folder / "a.bin", raw))
        for number in range(min(len(found.pictures), 8)):
            found.read(str(number))


@dataclass(frozen=True)
class Records:
    """One file of a RecordIO dataset; the others are whole, but that without an index there is none."""

    name: str
    file: str
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        if self.file == "labels.txt":
            return ["0\tann\n1\tZoë\\tX\n".encode(), b"7\tann\r\n0\t\n"]
        found = []
        for with_ranges in (True, False):
            _write_records(scratch() / "rec", with_ranges)
            found.append((scratch() / "rec" / self.file).read_bytes())
        return found

    def read(self, raw: bytes, folder: Path) -> None:
        if not (folder / "train.rec").exists():
            _write_records(folder, with_ranges=True)
        if self.name == "rec-alone":
            (folder / "train.idx").unlink(missing_ok=True)
        written(folder / self.file, raw)
        # Files of one size that are written in quick succession have one stamp.
        recordio_index.scan.cache_clear()
        recordio_index._index_of.cache_clear()
        recordio_file.forget_opened()
        reader, errors = RecordReader(folder / "train.rec"), []
        reader.count()
        entries = [found for chunk in reader.chunks(5) for found in chunk if isinstance(found, Entry)]
        assert len({entry.key for entry in entries}) == len(entries)
        for entry in entries:
            try:
                reader.read(entry)
            except ImageError as error:
                errors.append(error)
        if errors:
            raise errors[0]


def _write_records(folder: Path, with_ranges: bool) -> None:
    odd = struct.pack("<I", recordio_files.MAGIC) * 3
    pictures = [saved(portrait(person, 0), "PNG") for person in range(3)]
    labelled = [(0, pictures[0]), (0, pictures[1] + odd), (2, pictures[2]), (2, odd)]
    numbered = recordio_files.insightface(labelled)
    if not with_ranges:
        numbered = [
            (key, recordio_files.packed(0, raw, key, [label, 0.5])) for key, (label, raw) in enumerate(labelled)
        ]
    recordio_files.write(folder, numbered)


@dataclass(frozen=True)
class PairLists:
    """Lists of pairs, beside a folder of their pictures."""

    name: str = "pairs"
    is_text: bool = True

    def seeds(self) -> list[bytes]:
        lfw = "1\t2\nann\t1\t2\nbob\t1\t2\nann\t1\tbob\t1\nann\t2\tbob\t2\n"
        plain = "".join(f"ann/ann_0001.jpg,bob/bob_000{number}.jpg,0\n" for number in (1, 2))
        folds = '"ann/ann_0001.jpg" ann/ann_0002.jpg 1 0\nann/ann_0001.jpg bob/bob_0001.jpg 0 1\n'
        lines = "ann/ann_0001.jpg 1\nann/ann_0002.jpg 1\nann/ann_0001.jpg 0\nbob/bob_0001.jpg 0\n"
        texts = (lfw, lfw.partition("\n")[2], plain, folds, lines)
        return [*(text.encode() for text in texts), plain.encode("utf-16"), plain.encode("utf-8-sig")]

    def read(self, raw: bytes, folder: Path) -> None:
        root = folder / "root"
        if not root.exists():
            for person in ("ann", "bob"):
                (root / person).mkdir(parents=True)
                for number in (1, 2):
                    (root / person / f"{person}_{number:04d}.jpg").touch()
        read_pairs(written(folder / "pairs.txt", raw), root)


# ---- catalogs


@dataclass(frozen=True)
class CatalogFiles:
    """``catalog.json``; the pictures that it names are there."""

    name: str = "catalog"
    is_text: bool = True

    def seeds(self) -> list[bytes]:
        return [(_catalog() / CATALOG_FILE).read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        root = folder / "catalog"
        if not root.exists():
            shutil.copytree(_catalog(), root)
        written(root / CATALOG_FILE, raw)
        Catalog.load(root).preload()


@dataclass(frozen=True)
class CatalogPictures:
    """A picture of a mask; the catalog that names it is whole."""

    name: str = "catalog-png"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(_catalog().glob("*.png"))]

    def read(self, raw: bytes, folder: Path) -> None:
        root = folder / "catalog"
        if not root.exists():
            shutil.copytree(_catalog(), root)
        written(root / "red_0.png", raw)
        Catalog.load(root).preload()


@dataclass(frozen=True)
class CatalogZips:
    """A catalog in one file."""

    name: str = "catalog-zip"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        whole = io.BytesIO()
        path = _catalog().parent / "catalog.zip"
        bundle.export(Catalog.load(_catalog()), path, "overwrite")
        with zipfile.ZipFile(path) as stored, zipfile.ZipFile(whole, "w") as deflated:
            for info in stored.infolist():
                deflated.writestr(zipfile.ZipInfo(info.filename), stored.read(info), zipfile.ZIP_DEFLATED)
        return [path.read_bytes(), whole.getvalue()]

    def read(self, raw: bytes, folder: Path) -> None:
        bundle.read(written(folder / "a.zip", raw))


# ---- output folders


@dataclass(frozen=True)
class Outputs:
    """One file of an output folder that a next run finds; nothing outside of the folder may change."""

    name: str
    file: str
    is_text: bool = True
    needs: tuple[str, ...] = ()

    def seeds(self) -> list[bytes]:
        return [(_output() / "out" / self.file).read_bytes()]

    def read(self, raw: bytes, folder: Path) -> None:
        base = folder / "run"
        if not base.exists():
            shutil.copytree(_output(), base, symlinks=True)
        path = written(base / "out" / self.file, raw)
        # To look up the versions of libraries takes ten times as long as all the rest.
        with mock.patch("importlib.metadata.version", _version):
            run.prepare(_job(base))
        if self.file == manifest.MANIFEST_FILE:
            copy = written(folder / "manifest.jsonl", raw)
            places = [place for row in manifest.read(copy) for place in row.places]
            manifest.sort(copy)
        elif path.suffix == ".journal":
            places = sorted(FolderWriter(path.parent).unsettled())
        else:
            return
        # As a run that starts anew: what the file names is deleted, if it lies in the output.
        FolderWriter((base / "empty").resolve()).discard(places)
        assert (base / "in" / "a" / "1.jpg").is_file()
        assert (base / "catalog" / CATALOG_FILE).is_file()


_version = cache(importlib.metadata.version)


def _job(base: Path) -> run.Job:
    settings = run.AugmentSettings(catalog=base / "catalog")
    execution = run.Execution(workers=1)
    return run.Job(base / "in", base / "out", settings, execution, source_name="in", detectors=FakeDetectors())


# ---- what they share


@cache
def _catalog() -> Path:
    root = scratch() / "catalog"
    root.mkdir()
    return small_catalog(root, {"red": 1, "blue": 2})


@cache
def _output() -> Path:
    """A finished run beside its input, which has got a picture more, and a journal of a run that was killed."""
    base = scratch() / "run"
    for name in ("a/1.jpg", "a/2.png", "b/1.jpg"):
        write_picture(base / "in" / name)
    write_picture(base / "in" / "b" / "none.jpg", "no_face")
    (base / "in" / "b" / "broken.jpg").write_bytes(b"broken")
    shutil.copytree(_catalog(), base / "catalog")
    run.run(_job(base), executor=InProcess())
    out = base / "out"
    write_picture(base / "in" / "b" / "later.jpg")
    shutil.copy(base / "in" / "b" / "later.jpg", out / "b" / "later.jpg")
    for path in base.rglob("*"):
        os.utime(path, ns=(_TIME, _TIME))
    size = (out / "b" / "later.jpg").stat().st_size
    (out / ".maskgen-x.journal").write_text(json.dumps(["b/later.jpg", f"{size}-{_TIME}", "b/later.jpg"]) + "\n")
    marks = re.sub(r"(\d+)-\d{15,}", rf"\1-{_TIME}", (out / STAMPS_FILE).read_text())
    (out / STAMPS_FILE).write_text(marks)
    record = (out / manifest.RUN_FILE).read_text().replace(str(base), "base")
    (out / manifest.RUN_FILE).write_text(record)
    return base


_ALL: Final[tuple[Reader, ...]] = (
    Pictures("jpeg", whole.jpegs),
    Pictures("png", whole.pngs),
    Pictures("tiff", whole.tiffs, ("tifffile",)),
    Pictures("other-pictures", whole.other_pictures),
    *([Pictures("avif-heic", whole.new_pictures)] if whole.can_make_new() else []),
    VerificationSets(),
    Records("rec", "train.rec"),
    Records("rec-alone", "train.rec"),
    Records("rec-index", "train.idx", is_text=True),
    Records("rec-labels", "labels.txt", is_text=True),
    PairLists(),
    Shards(),
    BinSets(),
    MetadataFiles(),
    CatalogFiles(),
    CatalogPictures(),
    CatalogZips(),
    Outputs("manifest", manifest.MANIFEST_FILE),
    Outputs("run", manifest.RUN_FILE),
    Outputs("stamps", STAMPS_FILE),
    Outputs("journal", ".maskgen-x.journal"),
    Bases(),
    States(),
    Recognisers(),
    Packs(),
    TrainingSettings(),
    Checkpoints("checkpoint-progress", "progress.json", is_text=True),
    Checkpoints("checkpoint-weights", "model.safetensors"),
    Checkpoints("checkpoint-optimizer", "optimizer.bin"),
    Checkpoints("checkpoint-random", "random_states_0.pkl"),
)
READERS: Final = types.MappingProxyType({reader.name: reader for reader in _ALL})
