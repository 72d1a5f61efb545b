"""Shards that the library webdataset writes are read, and it reads those that maskgen writes."""

import gzip
import io
import json

import numpy as np
import pytest
from PIL import Image
from writing import crop, finished, rows_of

from maskgen import images
from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.webdataset import WebDatasetReader
from maskgen.datasets.webdataset_writer import WebDatasetWriter

wds = pytest.importorskip("webdataset", reason="the library webdataset is not installed")


def found(path):
    return [one for chunk in WebDatasetReader(path).chunks(3) for one in chunk]


def pixels_of(raw):
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))


def read_by_the_library(root):
    """Its samples, undecoded, in the order of the shards."""
    shards = [str(path) for path in sorted(root.glob("*.tar"))]
    return list(wds.WebDataset(shards, shardshuffle=False, empty_check=False))


# ---- what it writes, we read


@pytest.mark.parametrize("key", ["000001", "ann/1", "a/b c/ä", "n" * 200])
def test_samples_that_it_encodes_are_read_whole(key, tmp_path):
    picture = np.full((112, 112, 3), 90, np.uint8)
    sample = {"__key__": key, "jpg": picture, "cls": 7, "json": {"identity": "ann", "x": [1, "ä"]}, "txt": "a text"}
    with wds.TarWriter(str(tmp_path / "a.tar")) as writer:
        writer.write(sample)
    (entry,) = found(tmp_path / "a.tar")
    assert (entry.key, entry.identity, entry.label) == (f"a/{key}", "ann", 7)
    read = WebDatasetReader(tmp_path / "a.tar").read(entry)
    assert abs(images.decode(read.raw, tmp_path / "x.jpg").pixels.astype(int) - 90).max() < 4
    assert json.loads(read.extras["json"]) == sample["json"]
    assert (read.extras["cls"], read.extras["txt"]) == (b"7", b"a text")


def test_bytes_are_read_as_they_were_written_whatever_the_endings(tmp_path):
    beside = {"seg.png": crop(2), "npy": b"\x93NUMPY", "left.txt": b"x", "pyd": b"y"}
    with wds.ShardWriter(str(tmp_path / "s-%06d.tar"), maxcount=2, verbose=0) as writer:
        for number in range(5):
            writer.write({"__key__": f"{number:03d}", "PNG": crop(number), **beside})
    assert [entry.key for entry in found(tmp_path)] == [f"s-{number // 2:06d}/{number:03d}" for number in range(5)]
    reader = WebDatasetReader(tmp_path)
    samples = [reader.read(entry) for entry in found(tmp_path)]
    assert [sample.raw for sample in samples] == [crop(number) for number in range(5)]
    assert [dict(sample.extras) for sample in samples] == [beside] * 5


def test_a_picture_that_is_compressed_once_more_is_named_and_left_out(tmp_path):
    with wds.TarWriter(str(tmp_path / "a.tar"), encoder=False) as writer:
        writer.write({"__key__": "1", "jpg.gz": gzip.compress(crop(1, "JPEG")), "cls": b"3"})
        writer.write({"__key__": "2", "jpg": crop(2, "JPEG"), "cls": b"3"})
    first, second = found(tmp_path / "a.tar")
    assert isinstance(first, Fault)
    assert (first.key, first.status, first.reason) == ("a/1", "skipped", "not_an_image")
    assert (second.key, second.label) == ("a/2", 3)


# ---- what we write, it reads


def test_it_reads_what_is_written_as_it_was_put(tmp_path):
    entries = [
        Entry(f"{name}/{number}.v1.png", name, label)
        for label, name in enumerate(("ann", "zoë q"))
        for number in range(3)
    ]
    writer = WebDatasetWriter(tmp_path, shard_size=4, variants=2, originals=True)
    options = [
        {
            "variants": [crop(10 * number + 1), crop(10 * number + 2)],
            "original": crop(10 * number),
            "extras": {"txt": b"t"},
        }
        for number in range(6)
    ]
    finished(writer, rows_of(writer, list(zip(entries, options, strict=True))))
    samples = read_by_the_library(tmp_path)
    assert [sample["__key__"] for sample in samples] == [
        f"{entry.identity}/{entry.key.split('/')[1][0]}_v1{variant}"
        for entry in entries
        for variant in ("", "_m1", "_m2")
    ]
    for number, sample in enumerate(samples):
        entry = entries[number // 3]
        assert sample["png"] == crop(10 * (number // 3) + number % 3)
        assert (sample["cls"], sample["txt"]) == (str(entry.label).encode(), b"t")
        assert json.loads(sample["json"]) == {"identity": entry.identity}


def test_it_decodes_what_is_written(tmp_path):
    writer = WebDatasetWriter(tmp_path)
    finished(writer, rows_of(writer, [(Entry("ann/1.png", "ann", 5), {"variants": [crop(77)]})]))
    (sample,) = wds.WebDataset(str(tmp_path / "shard-000000.tar"), shardshuffle=False).decode("rgb8")
    assert np.array_equal(sample["png"], pixels_of(crop(77)))
    assert sample["cls"] == 5
    assert sample["json"] == {"identity": "ann"}


def test_what_it_wrote_comes_back_to_it_after_a_run_of_ours(tmp_path):
    with wds.TarWriter(str(tmp_path / "a.tar"), encoder=False) as writer:
        for number in range(3):
            writer.write(
                {"__key__": f"k/{number}", "png": crop(number), "cls": b"%d" % number, "txt": b"t", "a.b": b"c"}
            )
    before = read_by_the_library(tmp_path)
    reader, ours = WebDatasetReader(tmp_path / "a.tar"), WebDatasetWriter(tmp_path / "out")
    items = []
    for entry in found(tmp_path / "a.tar"):
        sample = reader.read(entry)
        items.append((entry, {"variants": [sample.raw], "extras": sample.extras}))
    finished(ours, rows_of(ours, items))
    after = read_by_the_library(tmp_path / "out")
    fields = [{name: raw for name, raw in sample.items() if not name.startswith("__")} for sample in before]
    assert [{name: raw for name, raw in sample.items() if not name.startswith("__")} for sample in after] == fields
    assert [sample["__key__"] for sample in after] == [f"a/k/{number}" for number in range(3)]
