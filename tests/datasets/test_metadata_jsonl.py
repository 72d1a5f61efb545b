"""Folders with Hugging Face's ``metadata.jsonl``: what lines name, and what stays of them in the output."""

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from fakes import write_picture
from writing import crop, finished, rows_of

from maskgen.datasets import sidecars
from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.metadata import METADATA_FILE, MetadataReader, MetadataWriter
from maskgen.errors import ConfigError, ImageError


def folder(root, lines, pictures=()):
    for name in pictures:
        write_picture(root / name)
    root.mkdir(exist_ok=True)
    raw = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in lines]
    (root / METADATA_FILE).write_bytes(b"".join(line + b"\n" for line in raw))
    return root


def found(root):
    return [one for chunk in MetadataReader(root).chunks(2) for one in chunk]


def entries(root):
    return [one for one in found(root) if isinstance(one, Entry)]


def faults(root):
    return {one.key: one.reason for one in found(root) if isinstance(one, Fault)}


def named(*names):
    return [{"file_name": name} for name in names]


# ---- reading


def test_pictures_come_in_the_order_of_their_names_with_their_lines_as_they_are(tmp_path):
    line = b'{"x": [1,  2], "file_name": "a/1.png" , "label": 3}'
    root = folder(tmp_path / "in", [*named("b.png"), line], ["a/1.png", "b.png", "unnamed.png"])
    first, second = found(root)
    assert (first.key, first.identity, first.label) == ("a/1.png", "3", 3)
    assert (second.key, second.identity, second.label) == ("b.png", None, None)
    reader = pickle.loads(pickle.dumps(MetadataReader(root)))
    sample = reader.read(first)
    assert sample.raw == (root / "a" / "1.png").read_bytes()
    assert sample.extras == {"json": line}
    assert sample.stamp == reader.stamp(first)
    assert reader.count() is None


def test_a_first_mark_of_encoding_ends_of_windows_lines_empty_lines_and_a_missing_last_end_do_not_matter(tmp_path):
    root = folder(tmp_path / "in", [], ["1.png", "2.png"])
    (root / METADATA_FILE).write_bytes(b'\xef\xbb\xbf{"file_name": "1.png"}\r\n\r\n  \n{"file_name": "2.png"}')
    assert [MetadataReader(root).line(entry) for entry in entries(root)] == [
        b'{"file_name": "1.png"}',
        b'{"file_name": "2.png"}',
    ]
    assert faults(root) == {}


@pytest.mark.parametrize(
    ("fields", "identity", "label"),
    [
        ({"identity": "ann", "label": 3, "name": "x"}, "ann", 3),
        ({"label": "ann"}, "ann", None),
        ({"cls": 4}, "4", 4),
        ({"name": "ann"}, "ann", None),
        ({"identity": None, "label": [], "name": "ann"}, "ann", None),
        ({"identity": "\ud800"}, "\\ud800", None),
        ({"label": 10**30}, None, None),
        ({}, None, None),
    ],
)
def test_the_fields_of_a_line_say_who_it_is(fields, identity, label, tmp_path):
    root = folder(tmp_path / "in", [{"file_name": "1.png", **fields}], ["1.png"])
    (entry,) = found(root)
    assert (entry.identity, entry.label) == (identity, label)


@pytest.mark.parametrize(
    "line",
    [
        *(b"[1]", b"1", b'"1.png"', b"null", b"{", b"x", b"\xff", b"{}", b'{"file_name": 1}', b'{"file_name": null}'),
        *(b"[" * 100_000, b'{"file_name": "1.png", "n": ' + b"9" * 5000 + b"}"),
        b'{"file_name": "1.png", "long": "' + b"x" * sidecars.MOST_BYTES + b'"}',
        b"x" * 5 * sidecars.MOST_BYTES,
    ],
)
def test_a_line_that_is_no_object_or_names_nothing_is_a_fault_and_the_others_go_on(line, tmp_path):
    root = folder(tmp_path / "in", [*named("a.png"), line, line, *named("b.png")], ["a.png", "b.png"])
    assert [entry.key for entry in entries(root)] == ["a.png", "b.png"]
    assert faults(root) == {"metadata.jsonl, line 2": "bad_line", "metadata.jsonl, line 3": "bad_line"}
    assert all(one.remedy for one in found(root) if isinstance(one, Fault))


@pytest.mark.parametrize("name", ["../1.png", "/etc/1.png", "a/../../1.png", "a\0.png", "\ud800.png", "", ".", "a/.."])
def test_a_name_that_leaves_the_folder_or_that_no_file_can_have_is_a_fault(name, tmp_path):
    write_picture(tmp_path / "1.png")
    root = folder(tmp_path / "in", named(name, "a.png"), ["a.png"])
    assert [entry.key for entry in entries(root)] == ["a.png"]
    assert faults(root) == {"metadata.jsonl, line 1": "bad_name"}


def test_files_that_are_missing_named_twice_or_no_pictures_are_faults(tmp_path):
    lines = named("a.png", "./a.png", "gone.png", "x.txt", "x" * 5000 + ".png", "dir.png")
    root = folder(tmp_path / "in", lines, ["a.png", "dir.png/b.png"])
    assert [entry.key for entry in entries(root)] == ["a.png"]
    told = faults(root)
    assert told.pop("x" * 5000 + ".png") == "missing"
    assert told == {
        f"a.png (metadata.jsonl, byte {len(json.dumps(lines[0])) + 1})": "twice",
        "dir.png": "missing",
        "gone.png": "missing",
        "x.txt": "not_an_image",
    }


def test_a_line_that_changes_after_it_was_listed_is_an_error_of_its_picture(tmp_path):
    root = folder(tmp_path / "in", named("1.png"), ["1.png"])
    (entry,) = found(root)
    folder(root, [{"file_name": "1.png", "label": 2}])
    with pytest.raises(ImageError, match=r"metadata\.jsonl has changed"):
        MetadataReader(root).read(entry)
    assert MetadataReader(root).stamp(found(root)[0]) != MetadataReader(root).stamp(entry)
    (root / METADATA_FILE).unlink()
    with pytest.raises(ImageError, match=r"metadata\.jsonl cannot be read"):
        MetadataReader(root).read(entry)
    with pytest.raises(ConfigError, match=r"metadata\.jsonl: cannot be read"):
        found(root)


def test_any_number_of_lines_is_sorted_on_disk_and_takes_little_memory(tmp_path):
    script = """
import sys, tracemalloc
from pathlib import Path
from maskgen import ordering
from maskgen.datasets.metadata import MetadataReader
ordering._BATCH = 20
tracemalloc.start()
for ordering._IN_MEMORY in map(int, sys.argv[2:]):
    tracemalloc.reset_peak()
    number = sum(len(chunk) for chunk in MetadataReader(Path(sys.argv[1])).chunks(10))
    print(number, tracemalloc.get_traced_memory()[1])
"""
    names = [f"{at * 1979 % 4_000:05d}.png" for at in range(4_000)]
    root = folder(tmp_path / "in", named(*names))
    assert [one.key for one in found(root)] == sorted(names)
    repository = Path(__file__).parents[2]
    command = [sys.executable, "-c", script, root, "250", "4000"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=repository, check=True)
    (number, on_disk), (_, in_memory) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert number == 4_000
    # Names are interned as paths are made; they go again.
    assert 2 * on_disk < in_memory


def test_a_reader_that_is_sent_to_a_worker_takes_no_list_with_it(tmp_path):
    reader = MetadataReader(folder(tmp_path / "in", named("1.png"), ["1.png"]))
    list(reader.chunks(9))
    assert len(pickle.dumps(reader)) < 500


# ---- writing


def lines_of(root):
    return [json.loads(line) for line in (root / METADATA_FILE).read_bytes().splitlines()]


@pytest.fixture
def source(tmp_path):
    """A folder with metadata; the run has made ``out`` beside it."""
    (tmp_path / "out").mkdir()
    lines = [
        {"label": 3, "file_name": "b/2.png", "text": "ü", "deep": {"x": [1, None]}},
        {"file_name": "a/1.png", "odd": "\ud800"},
        {"file_name": "c.png"},
        {"file_name": "gone.png"},
    ]
    return folder(tmp_path / "in", lines, ["b/2.png", "a/1.png", "c.png"])


def made_of(root, **made):
    return [(entry, made or {"variants": [crop(1)]}) for entry in entries(root)]


def test_each_picture_that_is_written_has_a_line_with_all_fields_of_its_source(source, tmp_path):
    writer = MetadataWriter(tmp_path / "out", source=MetadataReader(source))
    rows = rows_of(writer, made_of(source))
    assert finished(writer, rows) == sorted(rows, key=lambda row: row.key)
    assert lines_of(tmp_path / "out") == [
        {"file_name": "a/1.png", "odd": "\ud800"},
        {"label": 3, "file_name": "b/2.png", "text": "ü", "deep": {"x": [1, None]}},
        {"file_name": "c.png"},
    ]
    assert [entry.identity for entry in entries(tmp_path / "out")] == [None, "3", None]
    assert (tmp_path / "out" / "a" / "1.png").read_bytes() == crop(1)


def test_variants_and_originals_have_lines_of_their_own_and_what_was_not_written_has_none(source, tmp_path):
    writer = MetadataWriter(tmp_path / "out", 2, originals=True, source=MetadataReader(source))
    made = made_of(source, variants=[crop(1), crop(2)], original=crop(0))
    made[0] = (made[0][0], {"variants": [None, None]})
    made[2] = (made[2][0], {"variants": [None, crop(3)], "original": crop(0)})
    finished(writer, rows_of(writer, made))
    names = ["b/2.png", "b/2_m1.png", "b/2_m2.png", "c.png", "c_m2.png"]
    assert [line["file_name"] for line in lines_of(tmp_path / "out")] == names
    assert [line.get("label") for line in lines_of(tmp_path / "out")] == [3, 3, 3, None, None]


def test_a_later_run_writes_the_file_anew_and_the_same_rows_give_the_same_bytes(source, tmp_path):
    writer = MetadataWriter(tmp_path / "out", source=MetadataReader(source))
    made = made_of(source)
    rows = finished(writer, rows_of(writer, made[:1]))
    assert len(lines_of(tmp_path / "out")) == 1
    rows = finished(writer, [*rows, *rows_of(writer, made[1:])])
    before = (tmp_path / "out" / METADATA_FILE).read_bytes()
    assert len(before.splitlines()) == 3
    finished(writer, rows)
    assert (tmp_path / "out" / METADATA_FILE).read_bytes() == before


def test_a_metadata_file_that_no_run_wrote_is_in_the_way_and_stays(source, tmp_path):
    out = tmp_path / "out"
    (out / METADATA_FILE).write_bytes(b"mine")
    writer = MetadataWriter(out, source=MetadataReader(source))
    assert list(writer.in_the_way(["a/1.png"])) == [METADATA_FILE]
    rows = rows_of(writer, made_of(source))
    with pytest.raises(ConfigError, match="in the way"):
        finished(writer, rows)
    writer.clear(rows)
    assert (out / METADATA_FILE).read_bytes() == b"mine"


def test_starting_anew_deletes_the_metadata_of_former_runs(source, tmp_path):
    writer = MetadataWriter(tmp_path / "out", source=MetadataReader(source))
    rows = finished(writer, rows_of(writer, made_of(source)))
    assert list(writer.in_the_way([])) == []
    writer.clear(rows)
    assert list((tmp_path / "out").iterdir()) == []
    assert writer.puts_together
    assert pickle.loads(pickle.dumps(writer)) == writer
