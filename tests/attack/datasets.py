"""Datasets of many samples in one file: all of them is listed, and what is listed is read."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from people import portrait
from pictures import saved

from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.binset import BinReader
from maskgen.datasets.metadata import METADATA_FILE, MetadataReader
from maskgen.datasets.parts import stamp_of
from maskgen.datasets.webdataset import WebDatasetReader
from maskgen.datasets.webdataset_writer import WebDatasetWriter
from maskgen.errors import ImageError
from maskgen.manifest import Row
from maskgen.run.worker import row_of_fault
from tests.attack.places import written


@dataclass(frozen=True)
class Shards:
    """A shard of WebDataset, also as one that a former run wrote."""

    name: str = "webdataset"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        picture = saved(portrait(0, 0), "JPEG")
        plain = [("1.jpg", picture), ("1.cls", b"3"), ("2.png", picture), ("2.json", b'{"label": "ann", "x": [1]}')]
        long = [("x/" * 60 + "ü.jpg", picture), ("./a.b.jpg", picture), ("a.txt", b"")]
        formats = (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT)
        return [*(_tar(plain, format) for format in formats), _tar(long, tarfile.GNU_FORMAT), _tar(long, formats[2])]

    def read(self, raw: bytes, folder: Path) -> None:
        out = folder / "out"
        out.mkdir(exist_ok=True)
        _read_all(WebDatasetReader(written(out / "shard-000000.tar", raw)))
        writer = WebDatasetWriter(out)
        for name in ("1.jpg", "2.png", "a.b.jpg"):
            writer.stamp(f"shard-000000.tar#{name}")


@dataclass(frozen=True)
class BinSets:
    """A verification set, as a dataset."""

    name: str = "bin-dataset"
    is_text: bool = False

    def seeds(self) -> list[bytes]:
        pictures = [saved(portrait(person, 0), "PNG") for person in range(4)]
        return [pickle.dumps((pictures, [True, False]), protocol) for protocol in (2, 3, 4)]

    def read(self, raw: bytes, folder: Path) -> None:
        _read_all(BinReader(written(folder / "a.bin", raw)))


@dataclass(frozen=True)
class MetadataFiles:
    """``metadata.jsonl``; the pictures that it names are there."""

    name: str = "metadata"
    is_text: bool = True

    def seeds(self) -> list[bytes]:
        lines = [{"file_name": "1.jpg", "label": 3}, {"file_name": "a/2.jpg", "name": "ann", "deep": {"x": [1, None]}}]
        return ["".join(json.dumps(line) + "\n" for line in lines).encode()]

    def read(self, raw: bytes, folder: Path) -> None:
        for name in ("1.jpg", "a/2.jpg"):
            if not (folder / name).exists():
                written(folder / name, b"x")
        written(folder / METADATA_FILE, raw)
        _read_all(MetadataReader(folder))


def _read_all(reader: Any) -> None:
    """List and read; everything listed must fit into a manifest, and have a key of its own."""
    keys = []
    for chunk in reader.chunks(16):
        for one in chunk:
            keys.append(one.key)
            if isinstance(one, Fault):
                row_of_fault(one).model_dump_json().encode()
                continue
            assert isinstance(one, Entry)
            row = Row(key=one.key, identity=one.identity, label=one.label, status="skipped", reason="no_face")
            row.model_dump_json().encode()
            try:
                sample = reader.read(one)
            except ImageError:
                continue
            assert sample.stamp == reader.stamp(one)
            stamp_of(sample.raw)
    assert len(set(keys)) == len(keys)


def _tar(members: list[tuple[str, bytes]], format: int) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as tar:
        for name, raw in members:
            info = tarfile.TarInfo(name)
            info.size = len(raw)
            tar.addfile(info, io.BytesIO(raw))
    return buffer.getvalue()
