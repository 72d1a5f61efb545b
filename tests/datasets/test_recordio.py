"""RecordIO: every record is read, a damaged one fails alone, and what is written is what InsightFace reads."""

import math
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
import recordio_files as independent

from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.recordio import LABELS_EXTRA, RecordReader
from maskgen.datasets.recordio_file import range_record, record
from maskgen.datasets.recordio_index import read_index
from maskgen.errors import ConfigError, ImageError

MAGIC = struct.pack("<I", independent.MAGIC)
LABELLED = [(label, b"picture %d" % number) for number, label in enumerate([0, 0, 1, 3, 3, 3])]


def listed(reader, size=3):
    found = [one for chunk in reader.chunks(size) for one in chunk]
    assert len({one.key for one in found}) == len(found)
    return [one for one in found if isinstance(one, Entry)], [one for one in found if isinstance(one, Fault)]


def content(reader):
    """(key, label, picture) of all; there is no fault."""
    entries, faults = listed(reader)
    assert faults == []
    return [(entry.key, entry.label, reader.read(entry).raw) for entry in entries]


def reader_of(folder, numbered):
    independent.write(folder, numbered)
    return RecordReader(folder / "train.rec")


@pytest.fixture
def whole(tmp_path):
    """A reader of InsightFace's layout."""
    return reader_of(tmp_path, independent.insightface(LABELLED))


EXPECTED = [(str(key), label, picture) for key, (label, picture) in enumerate(LABELLED, start=1)]


# ---- layouts


def test_pictures_of_insightfaces_layout_are_read_with_key_label_and_identity(whole):
    assert content(whole) == EXPECTED
    assert [entry.identity for entry in listed(whole)[0]] == ["0", "0", "1", "3", "3", "3"]
    assert whole.count() == 6


@pytest.mark.parametrize("start", [0, 1, 5])
def test_records_of_im2rec_without_ranges_are_read_whatever_number_they_begin_with(start, tmp_path):
    numbered = [(key, independent.packed(label, picture, key)) for key, (label, picture) in enumerate(LABELLED, start)]
    reader = reader_of(tmp_path, numbered)
    assert content(reader) == [(str(key), label, picture) for key, (label, picture) in enumerate(LABELLED, start)]
    assert reader.count() == 6


@pytest.mark.parametrize("flag", [1, 2, 237])
def test_the_first_of_several_labels_is_the_label_and_the_others_survive(flag, tmp_path):
    labels = [7.0, *np.linspace(-1, 1, flag - 1, dtype=np.float32).tolist()]
    reader = reader_of(tmp_path, [(1, independent.packed(0, b"abc", 1, labels))])
    assert content(reader) == [("1", 7, b"abc")]
    extras = reader.read(listed(reader)[0][0]).extras
    assert np.frombuffer(extras[LABELS_EXTRA], "<f4").tolist() == labels
    payload = independent.unpacked(
        next(iter(independent.payloads(record(7, 1, extras[LABELS_EXTRA], b"abc")).values()))
    )
    assert (payload.labels, payload.picture) == (labels, b"abc")


def test_a_second_line_in_property_does_not_matter(whole, tmp_path):
    (tmp_path / "property").write_text("4,112,112\nmade elsewhere\n")
    assert content(whole) == EXPECTED


@pytest.mark.parametrize("distance", range(9))
@pytest.mark.parametrize("before", range(9))
def test_a_payload_with_magics_in_it_is_read_as_it_was_packed(before, distance, tmp_path):
    picture = bytes(before) + MAGIC + bytes(distance) + MAGIC + b"."
    reader = reader_of(
        tmp_path, [(1, independent.packed(2, picture, independent.MAGIC)), (2, independent.packed(0, b"b"))]
    )
    assert content(reader) == [("1", 2, picture), ("2", 0, b"b")]


@pytest.mark.parametrize("picture", [MAGIC, MAGIC * 3, b"abcd" + MAGIC, b"a" + MAGIC * 2, b"a" * 7, MAGIC[:3] + MAGIC])
def test_a_record_is_written_as_the_independent_writer_does(picture):
    assert record(3, 5, b"", picture) == independent.record(independent.packed(3, picture, 5))
    assert range_record(5, 2, 4) == independent.record(independent.packed(0, b"", 5, [2, 4]))


def test_identities_are_called_as_labels_txt_says(whole, tmp_path):
    (tmp_path / "labels.txt").write_text("0\tann\n3\tZoë\\tX\\\\n\n", encoding="utf-8")
    assert [entry.identity for entry in listed(whole)[0]] == ["ann", "ann", "1", *["Zoë\tX\\n"] * 3]


@pytest.mark.parametrize("text", [b"0 ann\n", b"x\tann\n", b"0\ta\n0\tb\n", b"-1\ta\n", b"0\t\xff\n", b"\n"])
def test_labels_txt_that_is_malformed_is_refused_with_its_line(text, whole, tmp_path):
    (tmp_path / "labels.txt").write_bytes(b"9\tz\n" + text)
    with pytest.raises(ConfigError, match=r"labels\.txt, line [23]: .*; "):
        listed(whole)


# ---- without an index


def test_without_an_index_the_records_are_found_with_the_same_keys(whole, tmp_path):
    (tmp_path / "train.idx").unlink()
    assert content(whole) == EXPECTED
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train.rec"]


def test_without_an_index_and_ids_the_records_are_numbered(tmp_path):
    numbered = [(key, independent.packed(label, picture)) for key, (label, picture) in enumerate(LABELLED)]
    reader = reader_of(tmp_path, numbered)
    (tmp_path / "train.idx").unlink()
    assert content(reader) == [(str(key), label, picture) for key, (label, picture) in enumerate(LABELLED)]


def test_without_an_index_what_is_no_record_fails_alone(whole, tmp_path):
    raw = bytearray((tmp_path / "train.rec").read_bytes())
    offsets = list(independent.payloads(bytes(raw)))
    raw[offsets[2]] ^= 1
    (tmp_path / "train.rec").write_bytes(b"odd!" + bytes(raw) + MAGIC)
    (tmp_path / "train.idx").unlink()
    entries, faults = listed(whole)
    assert [entry.key for entry in entries] == ["1", "2", "4", "5", "6"]
    assert [(fault.key, fault.reason) for fault in faults] == [
        ("train.rec@0", "bad_record"),
        (f"train.rec@{offsets[2] + 4}", "bad_record"),
        (f"train.rec@{len(raw) + 4}", "bad_record"),
    ]
    assert all(fault.status == "failed" and fault.remedy for fault in faults)


# ---- damage


def damaged(folder, change):
    """A reader after a change to the bytes of the third record, which begins at the offset that the change gets."""
    offsets = independent.write(folder, independent.insightface(LABELLED))
    raw = bytearray((folder / "train.rec").read_bytes())
    change(raw, offsets[2])
    (folder / "train.rec").write_bytes(raw)
    return RecordReader(folder / "train.rec")


def set_word(position, value):
    return lambda raw, at: raw.__setitem__(slice(at + position, at + position + 4), struct.pack("<I", value))


@pytest.mark.parametrize(
    "change",
    {
        "no magic": set_word(0, 7),
        "a middle part": set_word(4, 2 << 29 | 33),
        "a first part without a last": set_word(4, 1 << 29 | 33),
        "longer than the file": set_word(4, 2**29 - 1),
        "longer than its place": set_word(4, 60),
        "more labels than it has room for": set_word(8, 2**32 - 1),
    }.items(),
    ids=lambda change: change[0],
)
def test_a_damaged_record_is_one_fault_and_the_others_are_read(change, tmp_path):
    reader = damaged(tmp_path, change[1])
    entries, faults = listed(reader)
    assert [(entry.key, entry.label, reader.read(entry).raw) for entry in entries] == EXPECTED[:2] + EXPECTED[3:]
    assert [(fault.key, fault.status, fault.reason) for fault in faults] == [("3", "failed", "bad_record")]
    assert faults[0].message
    assert faults[0].remedy


@pytest.mark.parametrize(
    "payload", [b"", b"x" * 23, struct.pack("<IfQQ", 0, 1, 3, 0), struct.pack("<IfQQf", 1, 0, 3, 0, 1)]
)
def test_a_record_without_a_header_or_a_picture_fails_alone(payload, tmp_path):
    numbered = independent.insightface(LABELLED)
    numbered[2] = (3, payload)
    entries, faults = listed(reader_of(tmp_path, numbered))
    assert [entry.key for entry in entries] == ["1", "2", "4", "5", "6"]
    assert [(fault.key, fault.reason) for fault in faults] == [("3", "bad_record")]


@pytest.mark.parametrize("label", [-1, 0.5, math.nan, math.inf, -math.inf, 2.0**24, 2.0**24 + 2, 3e38, 1e-30])
@pytest.mark.parametrize("flag", [False, True])
def test_a_label_that_is_no_exact_whole_number_fails_alone(label, flag, tmp_path):
    odd = independent.packed(0 if flag else label, b"x", 2, [label] if flag else None)
    numbered = [(1, independent.packed(2**24 - 1, b"a", 1)), (2, odd), (3, independent.packed(0, b"b", 3))]
    entries, faults = listed(reader_of(tmp_path, numbered))
    assert [(entry.key, entry.label) for entry in entries] == [("1", 2**24 - 1), ("3", 0)]
    assert [(fault.key, fault.reason) for fault in faults] == [("2", "bad_label")]


def test_whatever_is_cut_off_the_file_each_whole_record_is_read_and_each_other_has_its_fault(tmp_path):
    offsets = independent.write(tmp_path, independent.insightface(LABELLED))
    raw = (tmp_path / "train.rec").read_bytes()
    for size in range(1, len(raw)):
        (tmp_path / "train.rec").write_bytes(raw[:size])
        reader = RecordReader(tmp_path / "train.rec")
        ends = [offset + 8 + 24 + len(LABELLED[0][1]) for offset in offsets[:6]]
        expected = [key for key, end in enumerate(ends, start=1) if end <= size]
        entries, faults = listed(reader)
        assert [entry.key for entry in entries] == [str(key) for key in expected]
        assert {str(key) for key in range(1, 7)} <= {entry.key for entry in entries} | {fault.key for fault in faults}
        (tmp_path / "train.idx").rename(tmp_path / "kept")
        assert [entry.key for entry in listed(reader)[0]] == [str(key) for key in expected]
        (tmp_path / "kept").rename(tmp_path / "train.idx")


def test_a_file_that_becomes_shorter_while_it_is_read_is_an_error(whole, tmp_path):
    entries, _ = listed(whole)
    whole.read(entries[0])
    with (tmp_path / "train.rec").open("r+b") as file:
        file.truncate(10)
    with pytest.raises(ImageError, match=r"^1: damaged record: "):
        whole.read(entries[0])
    assert whole.stamp(entries[0]) is None


@pytest.mark.parametrize("max_pixels", [None, 10])
def test_a_record_larger_than_a_picture_can_be_is_not_read(max_pixels, tmp_path, monkeypatch):
    monkeypatch.setattr("maskgen.datasets.recordio.max_bytes", lambda pixels: 100)
    reader = reader_of(tmp_path, [(1, independent.packed(0, bytes(101)))])
    reader = RecordReader(reader.path, max_pixels)
    with pytest.raises(ImageError, match="101 bytes, more than the 100") as caught:
        reader.read(listed(reader)[0][0])
    assert ("{max_pixels}" in caught.value.remedy) == (max_pixels is not None)


def test_a_file_that_is_missing_or_none_is_an_error_of_ours(tmp_path):
    (tmp_path / "train.rec").mkdir()
    for path in (tmp_path / "none.rec", tmp_path / "train.rec"):
        with pytest.raises(ConfigError, match="cannot be read"):
            listed(RecordReader(path))
        with pytest.raises(ImageError, match=r"^1: .*cannot be read"):
            RecordReader(path).read(Entry("1", locator=0))


def test_an_empty_file_has_no_entries(tmp_path):
    (tmp_path / "train.rec").touch()
    assert listed(RecordReader(tmp_path / "train.rec")) == ([], [])


# ---- the index


def with_index(folder, change):
    independent.write(folder, independent.insightface(LABELLED))
    lines = (folder / "train.idx").read_text().splitlines(keepends=True)
    (folder / "train.idx").write_text("".join(change(lines)))
    return RecordReader(folder / "train.rec")


@pytest.mark.parametrize(
    "change",
    [
        lambda lines: lines[::-1],
        lambda lines: [line.replace("\n", "\r\n") for line in lines],
        lambda lines: [line.replace("\t", "   ") for line in lines],
        lambda lines: ["\n", *lines, " \n", "\n"],
        lambda lines: [*lines[:-1], lines[-1].rstrip()],
    ],
    ids=["out of order", "CRLF", "spaces", "empty lines", "no last line break"],
)
def test_an_index_that_is_in_another_order_or_form_gives_the_same(change, tmp_path):
    assert content(with_index(tmp_path, change)) == EXPECTED


BAD_LINES = {
    "garbage": (lambda lines: ["7 of 9\n", *lines, "end\n"], [], ["train.idx:1", "train.idx:13"]),
    "negative": (lambda lines: ["1\t-4\n", *lines], [], ["train.idx:1"]),
    "outside": (lambda lines: [*lines, "99\t1000000\n"], [], ["99"]),
    "far outside": (lambda lines: [*lines, f"99\t{10**17}\n"], [], ["99"]),
    "at the end": (lambda lines: [*lines, f"99\t{6 * 44 + 5 * 40}\n"], [], ["99"]),
    "inside a record": (lambda lines: [*lines, "99\t4\n"], [], ["99"]),
    "doubles": (lambda lines: [*lines, "2\t0\n", "2\t0\n"], [], ["2 (2)", "2 (3)"]),
    "two keys of one record": (lambda lines: [*lines, "99\t0\n"], [], ["99"]),
    "a line is missing": (lambda lines: lines[:2] + lines[3:], ["3"], ["train.rec@88"]),
    "cut off": (lambda lines: lines[:4], ["5", "6"], ["train.rec@176"]),
    "begins late": (lambda lines: lines[2:], ["1", "2"], ["train.rec@0"]),
    "garbage for a line": (lambda lines: [*lines[:2], "3\tx\n", *lines[3:]], ["3"], ["train.idx:3", "train.rec@88"]),
}


@pytest.mark.parametrize(("change", "lost", "faults"), BAD_LINES.values(), ids=BAD_LINES.keys())
def test_what_is_wrong_with_an_index_has_its_fault_and_all_it_names_is_read(change, lost, faults, tmp_path):
    reader = with_index(tmp_path, change)
    entries, found = listed(reader)
    assert reader.count() in (None, len(entries) + len([fault for fault in found if "@" not in fault.key]))
    read = [(entry.key, entry.label, reader.read(entry).raw) for entry in entries]
    assert read == [one for one in EXPECTED if one[0] not in lost]
    assert [fault.key for fault in found] == faults
    assert all((fault.reason == "not_in_index") == ("@" in fault.key) for fault in found)
    assert all(fault.status == "failed" and fault.message and fault.remedy for fault in found)


@pytest.mark.parametrize("text", [b"", b"\n\n", b"no index\n" * 9, b"x" * 2**21])
def test_an_index_without_any_line_is_an_error_that_tells_the_way_out(text, whole, tmp_path):
    (tmp_path / "train.idx").write_bytes(text)
    with pytest.raises(ConfigError, match=r"train\.idx: .*; remove the \.idx file"):
        listed(whole)


@pytest.mark.parametrize("block", [1, 7, 64, 10**6])
def test_an_index_is_the_same_in_blocks_of_any_size(block, tmp_path, monkeypatch):
    monkeypatch.setattr("maskgen.datasets.recordio_index._BLOCK", block)
    pairs = [(key, 10**key) for key in range(17)]
    (tmp_path / "a.idx").write_text("".join(f"{key}\t{offset}\n" for key, offset in pairs) + "odd\n5\t7")
    index = read_index(tmp_path / "a.idx")
    assert list(index.records()) == pairs
    assert (list(index.garbage), index.doubles.tolist()) == ([18], [5])
    assert [index.offset_of(key) for key in (0, 16, 17, 10**30)] == [1, 10**16, None, None]


# ---- as a reader


def test_a_reader_is_small_once_it_has_read_and_reads_in_another_process(whole):
    entries, _ = listed(whole)
    whole.read(entries[0])
    raw = pickle.dumps((whole, entries[4]))
    assert len(raw) < 1000
    code = "import pickle, sys; r, e = pickle.load(sys.stdin.buffer); sys.stdout.buffer.write(r.read(e).raw)"
    done = subprocess.run([sys.executable, "-c", code], input=raw, capture_output=True, check=True)
    assert done.stdout == LABELLED[4][1]


def test_entries_come_before_the_whole_file_was_looked_at(tmp_path, monkeypatch):
    numbered = [(key, independent.packed(0, b"x" * 10)) for key in range(100)]
    reader = reader_of(tmp_path, numbered)
    seen = []
    begins = type(reader._file()).begins
    monkeypatch.setattr(
        type(reader._file()), "begins", lambda file, offset: seen.append(offset) or begins(file, offset)
    )
    assert len(next(iter(reader.chunks(5)))) == 5
    assert len(seen) < 10


def test_a_stamp_is_that_of_what_was_read_and_changes_with_picture_or_label_alone(tmp_path):
    def stamps(*payloads):
        reader = reader_of(tmp_path, list(enumerate(payloads)))
        entries, _ = listed(reader)
        assert [reader.read(entry).stamp for entry in entries] == [reader.stamp(entry) for entry in entries]
        return [reader.stamp(entry) for entry in entries]

    one, two = independent.packed(0, b"one"), independent.packed(0, b"two")
    (first,) = stamps(one)
    assert stamps(two, one)[1] == first
    assert stamps(independent.packed(1, b"one")) != [first]
    assert stamps(two) != [first]


def test_the_fingerprint_is_the_files_path(whole, tmp_path):
    assert whole.fingerprint() == str(tmp_path / "train.rec")


def test_what_was_read_of_a_large_file_does_not_stay_in_memory(tmp_path):
    code = (
        "import resource, sys; from pathlib import Path; from maskgen.datasets.recordio import RecordReader\n"
        "reader = RecordReader(Path(sys.argv[1]))\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "for chunk in reader.chunks(64):\n"
        "    for entry in chunk: reader.read(entry)\n"
        "print(peak() - before)"
    )
    pytest.importorskip("resource")
    one = independent.record(independent.packed(0, bytes(1_000_000)))
    with (tmp_path / "train.rec").open("wb") as file:
        for _ in range(300):
            file.write(one)
    (tmp_path / "train.idx").write_text("".join(f"{key}\t{key * len(one)}\n" for key in range(300)))
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "train.rec"], capture_output=True, check=True)
    assert int(done.stdout) < 150_000  # KiB
