"""Shards that are written: complete, in order, the same each time, and never in the place of what is not ours."""

import hashlib
import itertools
import json
import os
import pickle
import tarfile

import pytest
from tarfiles import packed, unpacked
from writing import crop, finished, masked, rows_of

from maskgen.datasets import webdataset_writer
from maskgen.datasets.base import Entry
from maskgen.datasets.parts import FOLDER, stamp_of
from maskgen.datasets.webdataset import WebDatasetReader
from maskgen.datasets.webdataset_writer import WebDatasetWriter
from maskgen.errors import ConfigError


def shards(root):
    return sorted(path.name for path in root.glob("*.tar"))


def hashes(root):
    return {name: hashlib.sha256((root / name).read_bytes()).hexdigest() for name in shards(root)}


def members(root):
    return [name for shard in shards(root) for name in unpacked(root / shard)]


def names(root):
    return [name for name in members(root) if not name.endswith((".cls", ".json"))]


def test_shards_have_no_gaps_and_natural_order_and_are_never_empty(tmp_path):
    keys = [f"ann/{number}.png" for number in range(7)] + ["ann/10.png", "ann/9.png"]
    writer = WebDatasetWriter(tmp_path, shard_size=3)
    rows = finished(writer, rows_of(writer, masked(keys)))
    assert shards(tmp_path) == ["shard-000000.tar", "shard-000001.tar", "shard-000002.tar"]
    assert names(tmp_path) == [f"ann/{number}.png" for number in (0, 1, 2, 3, 4, 5, 6, 9, 10)]
    assert [row.key for row in rows] == sorted(keys)
    places = {row.key: row.places[0] for row in rows}
    assert places["ann/10.png"] == "shard-000002.tar#ann/10.png"
    for row in rows:
        shard, _, member = row.places[0].partition("#")
        raw = unpacked(tmp_path / shard)[member]
        assert writer.stamp(row.places[0]) == stamp_of(raw)
        assert writer.checksum(row.places[0]) == hashlib.sha256(raw).hexdigest()
    assert not (tmp_path / FOLDER).exists()


def test_the_same_pictures_give_the_same_bytes_in_whatever_parts_they_came(tmp_path):
    items = masked([f"{number}" for number in range(9)], label=4, identity="ann")
    for name, size in (("a", 9), ("b", 2)):
        writer = WebDatasetWriter(tmp_path / name, shard_size=4)
        chunks = [items[at : at + size] for at in range(0, len(items), size)]
        finished(writer, [row for chunk in reversed(chunks) for row in rows_of(writer, chunk)])
    assert hashes(tmp_path / "a") == hashes(tmp_path / "b")


def test_members_have_fixed_times_owners_and_rights(tmp_path):
    writer = WebDatasetWriter(tmp_path)
    finished(writer, rows_of(writer, masked(["a", "ü" * 90])))
    with tarfile.open(tmp_path / "shard-000000.tar") as tar:
        for info in tar.getmembers():
            assert (info.mtime, info.uid, info.gid, info.uname, info.gname, info.mode) == (0, 0, 0, "", "", 0o644)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, ["a/1.png", "a/2_b.png"]),
        ({"variants": 2}, ["a/1_m1.png", "a/1_m2.png", "a/2_b_m1.png", "a/2_b_m2.png"]),
        ({"originals": True}, ["a/1.png", "a/1_m1.png", "a/2_b.png", "a/2_b_m1.png"]),
    ],
)
def test_samples_are_called_as_a_folder_would_call_them_up_to_the_first_dot(options, expected, tmp_path):
    writer = WebDatasetWriter(tmp_path, **options)
    variants = [crop(1)] * options.get("variants", 1)
    made = {"variants": variants, "original": crop(0) if options.get("originals") else None}
    rows = finished(writer, rows_of(writer, [(Entry(key), made) for key in ("a/1", "a/2.b.PNG")]))
    assert names(tmp_path) == expected
    assert [place.partition("#")[2] for row in rows for place in row.places] == expected


def test_all_that_a_source_sample_has_goes_with_each_picture_and_comes_back(tmp_path):
    extras = {"cls": b"7", "json": b'{ "label":7}', "seg.png": b"areas", "txt": b"", "npy": bytes(range(256))}
    source = packed(
        tmp_path / "in.tar", [("x/1.jpg", crop(1, "JPEG")), *((f"x/1.{e}", raw) for e, raw in extras.items())]
    )
    reader = WebDatasetReader(source)
    (entry,) = (one for chunk in reader.chunks(9) for one in chunk)
    sample = reader.read(entry)
    writer = WebDatasetWriter(tmp_path / "out", variants=2, originals=True)
    made = {"variants": [crop(2, "JPEG"), crop(3, "JPEG")], "original": sample.raw, "extras": sample.extras}
    finished(writer, rows_of(writer, [(entry, made)]))
    again = WebDatasetReader(tmp_path / "out" / "shard-000000.tar")
    found = {one.key: (one.label, again.read(one)) for chunk in again.chunks(9) for one in chunk}
    assert list(found) == [f"shard-000000/in/x/1{suffix}" for suffix in ("", "_m1", "_m2")]
    pictures = [sample.raw, crop(2, "JPEG"), crop(3, "JPEG")]
    for (label, copied), picture in zip(found.values(), pictures, strict=True):
        assert (label, copied.raw, dict(copied.extras)) == (7, picture, extras)


@pytest.mark.parametrize(
    ("identity", "label", "beside"),
    [
        (None, None, {}),
        ("7", 7, {"cls": b"7"}),
        ("ann", 7, {"cls": b"7", "json": b'{"identity": "ann"}'}),
        ("Zoë\n", None, {"json": json.dumps({"identity": "Zoë\n"}).encode()}),
        ("7", None, {"json": b'{"identity": "7"}'}),
        (None, 0, {"cls": b"0"}),
    ],
)
def test_identity_and_label_of_any_source_are_written_and_read_back(identity, label, beside, tmp_path):
    writer = WebDatasetWriter(tmp_path)
    finished(writer, rows_of(writer, masked(["1"], identity=identity, label=label)))
    found = unpacked(tmp_path / "shard-000000.tar")
    assert {name.partition(".")[2]: raw for name, raw in found.items() if name != "1.png"} == beside
    ((entry,),) = WebDatasetReader(tmp_path / "shard-000000.tar").chunks(9)
    assert (entry.identity, entry.label) == (identity if label is None else identity or str(label), label)


@pytest.mark.parametrize("endings", list(itertools.combinations(("bmp", "jpeg", "jpg", "png", "seg.png", "webp"), 2)))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP"])
def test_a_picture_that_lies_beside_another_never_takes_its_place(format, endings, tmp_path):
    raw, extras = crop(1, format), {max(endings, key=lambda ending: (ending.count("."), ending)): b"other"}
    writer = WebDatasetWriter(tmp_path)
    finished(writer, rows_of(writer, [(Entry("1"), {"variants": [raw], "extras": extras})]))
    reader = WebDatasetReader(tmp_path / "shard-000000.tar")
    ((entry,),) = reader.chunks(9)
    sample = reader.read(entry)
    assert (sample.raw, dict(sample.extras)) == (raw, extras)


def test_names_of_any_length_and_script_come_back(tmp_path):
    keys = ["ü/" + "x" * 90, "a/" * 60 + "b", "日本/" + "語" * 80, "a#b", "a b%"]
    writer = WebDatasetWriter(tmp_path)
    rows = finished(writer, rows_of(writer, masked(keys)))
    assert sorted(names(tmp_path)) == sorted(f"{key}.png" for key in keys)
    assert all(writer.stamp(row.places[0]) is not None for row in rows)


# ---- names that clash


def test_inputs_whose_samples_would_have_one_name_are_faults(tmp_path):
    def faults(keys, settled=(), **options):
        writer = WebDatasetWriter(tmp_path, **options)
        return [fault.key for fault in writer.clashes(lambda: keys, lambda among: {*settled} & {*among})]

    assert faults(["a/1.jpg", "a/1.png"]) == ["a/1.png"]
    assert faults(["a/1.jpg", "a/1.png"], settled=["a/1.png"]) == ["a/1.jpg"]
    assert faults(["1.b.jpg", "1_b.jpg", "1.jpg"]) == ["1_b.jpg"]
    assert faults(["s/1", "s/1_m1", "t/1"]) == []
    assert faults(["s/1", "s/1_m1", "t/1"], originals=True) == ["s/1"]


# ---- again


def test_a_later_run_takes_what_stands_in_old_shards_and_adds_what_is_new(tmp_path):
    items = masked([f"{number}" for number in range(9)], label=3)
    writer = WebDatasetWriter(tmp_path / "twice", shard_size=4)
    first = finished(writer, rows_of(writer, [*items[:4], *items[5:8]]))
    later = finished(writer, [*first, *rows_of(writer, [items[4], items[8]])])
    fresh = WebDatasetWriter(tmp_path / "once", shard_size=4)
    assert later == finished(fresh, rows_of(fresh, items))
    assert hashes(tmp_path / "twice") == hashes(tmp_path / "once")


def test_shards_that_are_not_needed_any_more_go_and_what_no_row_names_too(tmp_path):
    writer = WebDatasetWriter(tmp_path, shard_size=2)
    rows = finished(writer, rows_of(writer, masked("abcdefg")))
    assert len(shards(tmp_path)) == 4
    finished(writer, [row for row in rows if row.key in "acg"])
    assert names(tmp_path) == ["a.png", "c.png", "g.png"]
    assert shards(tmp_path) == ["shard-000000.tar", "shard-000001.tar"]
    finished(writer, [])
    assert shards(tmp_path) == []


def test_shards_that_need_not_change_are_not_written_again(tmp_path):
    writer = WebDatasetWriter(tmp_path, shard_size=3, originals=True)
    items = [(entry, {**made, "original": crop(200)}) for entry, made in masked("abcdefg")]
    rows = finished(writer, rows_of(writer, items))
    before = {name: (tmp_path / name).stat().st_ino for name in shards(tmp_path)}
    assert finished(writer, rows) == rows
    assert {name: (tmp_path / name).stat().st_ino for name in shards(tmp_path)} == before


@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_what_was_damaged_since_is_seen_by_its_stamp_and_its_row_fails(damage, tmp_path):
    writer = WebDatasetWriter(tmp_path, shard_size=3)
    rows = finished(writer, rows_of(writer, masked("abcde")))
    stamps = {row.key: writer.stamp(row.places[0]) for row in rows}
    path = tmp_path / "shard-000001.tar"
    raw = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(raw[:600] if damage == "cut" else raw[:600] + b"xx" + raw[602:])
    changed = {row.key for row in rows if writer.stamp(row.places[0]) != stamps[row.key]}
    assert changed == ({"d"} if damage == "changed" else {"d", "e"})
    if damage == "gone":
        later = finished(writer, rows)
        assert [row.reason for row in later] == [None, None, None, "lost", "lost"]
        assert all(row.remedy for row in later[3:])
        assert names(tmp_path) == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("rows_taken", [0, 1])
def test_a_run_that_is_killed_before_its_rows_are_recorded_loses_nothing(rows_taken, tmp_path):
    writer = WebDatasetWriter(tmp_path, shard_size=2)
    rows = finished(writer, rows_of(writer, masked("bcdef")))
    rows = [*rows, *rows_of(writer, masked("a"))]
    stamps = [writer.stamp(row.places[0]) for row in rows]
    going = writer.finish(sorted(rows, key=lambda row: row.key))
    for _ in range(rows_taken + 1):
        next(going)
    going.close()
    assert [writer.stamp(row.places[0]) for row in rows] == stamps
    later = finished(writer, rows)
    assert names(tmp_path) == [f"{name}.png" for name in "abcdef"]
    assert [writer.stamp(row.places[0]) for row in later] == [stamps[-1], *stamps[:-1]]
    assert not (tmp_path / FOLDER).exists()


def test_a_failure_while_shards_are_written_leaves_the_old_ones_and_no_temporary_file(tmp_path, monkeypatch):
    writer = WebDatasetWriter(tmp_path, shard_size=2)
    rows = finished(writer, rows_of(writer, masked("bcd")))
    before = hashes(tmp_path)
    rows = [*rows, *rows_of(writer, masked("a"))]
    add, calls = webdataset_writer._add, []

    def fails(*arguments):
        calls.append(arguments)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return add(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(webdataset_writer, "_add", fails)
        with pytest.raises(KeyboardInterrupt):
            finished(writer, rows)
    assert hashes(tmp_path) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == [".maskgen.files", FOLDER, *before]
    finished(writer, rows)
    assert names(tmp_path) == ["a.png", "b.png", "c.png", "d.png"]


# ---- what is not ours


def test_a_shard_that_no_run_wrote_is_in_the_way_and_stays(tmp_path):
    (tmp_path / "shard-000001.tar").write_bytes(b"mine")
    writer = WebDatasetWriter(tmp_path, shard_size=1)
    assert list(writer.in_the_way(["a"])) == ["shard-000001.tar"]
    rows = rows_of(writer, masked("ab"))
    with pytest.raises(ConfigError, match=r"shard-000001\.tar: in the way, and no run"):
        finished(writer, rows)
    assert (tmp_path / "shard-000001.tar").read_bytes() == b"mine"
    assert shards(tmp_path) == ["shard-000001.tar"]
    writer.clear(rows)
    assert shards(tmp_path) == ["shard-000001.tar"]


def test_starting_anew_deletes_all_shards_of_former_runs_and_nothing_else(tmp_path):
    writer = WebDatasetWriter(tmp_path, shard_size=2)
    rows = finished(writer, rows_of(writer, masked("abc")))
    rows += rows_of(writer, masked("d"))
    (tmp_path / "notes.tar").write_bytes(b"mine")
    assert list(writer.in_the_way(["a"])) == []
    writer.clear(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.tar"]


@pytest.mark.parametrize(
    "place",
    ["../x.tar#a", "x.tar#a.png", "shard-000000.tar", "shard-000000.tar#", "shard-000000.tar#../a.png", "#", ""],
)
def test_a_place_that_no_run_gave_is_nowhere(place, tmp_path):
    packed(tmp_path / "x.tar", [("a.png", b"x")])
    writer = WebDatasetWriter(tmp_path / "out")
    finished(writer, rows_of(writer, masked("a")))
    assert writer.stamp(place) is None
    assert writer.checksum(place) is None


def test_a_writer_is_small_and_can_be_sent_to_workers(tmp_path):
    writer = WebDatasetWriter(tmp_path, shard_size=2)
    assert pickle.loads(pickle.dumps(writer)) == writer
    assert len(pickle.dumps(writer)) < 500
    assert writer.selects(Entry("a"))
    assert writer.puts_together
    writer.check(None)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError):
        WebDatasetWriter(tmp_path / "file").check(None)
    with pytest.raises(ConfigError, match="shard_size"):
        WebDatasetWriter(tmp_path, shard_size=0).check(None)
    assert os.listdir(tmp_path) == ["file"]
