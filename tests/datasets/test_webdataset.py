"""Shards of WebDataset: what is a sample, who is on it, and what of a damaged one is still read."""

import pickle
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest
from tarfiles import header, packed, special

from maskgen.datasets import webdataset
from maskgen.datasets.base import Entry, Fault
from maskgen.datasets.webdataset import WebDatasetReader
from maskgen.errors import ConfigError, ImageError

END = bytes(1024)


def found(path):
    return [one for chunk in WebDatasetReader(path).chunks(2) for one in chunk]


def entries(path):
    return {one.key: one for one in found(path) if isinstance(one, Entry)}


def faults(path):
    return {one.key: one.reason for one in found(path) if isinstance(one, Fault)}


def raw_tar(path, *blocks):
    path.write_bytes(b"".join(block + bytes(-len(block) % 512) for block in blocks))
    return path


def test_members_that_share_a_name_up_to_the_first_dot_are_one_sample_with_all_that_it_has(tmp_path):
    raw = {"jpg": b"picture", "cls": b"17", "json": b'{"label":  17, "x": 1}', "seg.png": b"areas", "txt": b""}
    packed(tmp_path / "a.tar", [(f"ann/1.{ending}", data) for ending, data in raw.items()] + [("ann/2.jpg", b"other")])
    reader = WebDatasetReader(tmp_path / "a.tar")
    first, second = entries(reader.path).values()
    assert (first.key, first.label, second.key, second.label) == ("a/ann/1", 17, "a/ann/2", None)
    sample = pickle.loads(pickle.dumps(reader)).read(first)
    assert sample.raw == raw.pop("jpg")
    assert dict(sample.extras) == raw
    assert sample.stamp == reader.stamp(first)
    assert reader.read(second).raw == b"other"
    assert reader.count() is None


@pytest.mark.parametrize(
    ("sidecars", "identity", "label"),
    [
        ({"cls": b"5\n"}, "5", 5),
        ({"cls": b"-1"}, "-1", -1),
        ({"cls": b"ann"}, None, None),
        ({"cls": b"9" * 300}, None, None),
        ({"cls": b"5", "json": b'{"identity": "ann", "label": 6}'}, "ann", 5),
        ({"json": b'{"label": 6}'}, "6", 6),
        ({"json": b'{"cls": 6}'}, "6", 6),
        ({"json": b'{"label": "ann"}'}, "ann", None),
        ({"json": b'{"identity": 7}'}, "7", None),
        ({"json": b'{"label": true, "cls": 0.5, "identity": ["ann"]}'}, None, None),
        ({"json": b'{"identity": "\\ud800"}'}, "\\ud800", None),
        ({"json": b'{"label": ' + b"9" * 5000 + b"}"}, None, None),
        ({"json": b"[" * 100_000}, None, None),
        ({"json": b"\xff{"}, None, None),
        ({"json": b"[1]"}, None, None),
        ({"JSON": b'{"label": 6}'}, "6", 6),
        ({}, None, None),
    ],
)
def test_class_number_and_json_say_who_it_is(sidecars, identity, label, tmp_path):
    members = [("1.jpg", b"x"), *((f"1.{ending}", raw) for ending, raw in sidecars.items())]
    (entry,) = found(packed(tmp_path / "a.tar", members))
    assert (entry.identity, entry.label) == (identity, label)


@pytest.mark.parametrize(
    ("endings", "picture"),
    [
        (["png", "jpg"], "jpg"),
        (["seg.png", "webp"], "webp"),
        (["b.png", "a.jpg", "txt"], "a.jpg"),
        (["JPEG", "bmp.txt"], "JPEG"),
        (["txt", "mp4"], None),
    ],
)
def test_the_picture_is_the_first_by_name_of_those_with_a_pictures_ending(endings, picture, tmp_path):
    path = packed(tmp_path / "a.tar", [(f"1.{ending}", ending.encode()) for ending in endings])
    if picture is None:
        assert faults(path) == {"a/1": "not_an_image"}
        return
    sample = WebDatasetReader(path).read(entries(path)["a/1"])
    assert sample.raw.decode() == picture
    assert set(sample.extras) == set(endings) - {picture}


def test_shards_of_a_folder_come_in_the_order_of_their_names_and_what_else_lies_there_is_counted(tmp_path):
    for number in (10, 2, 1):
        packed(tmp_path / f"data-{number:06d}.tar", [("b.jpg", b"x"), ("a.jpg", b"x")])
    (tmp_path / "sizes.json").touch()
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "more").mkdir()
    (tmp_path / "z.tar.gz").write_bytes(b"\x1f\x8bx")
    assert list(entries(tmp_path)) == [f"data-{number:06d}/{name}" for number in (1, 2, 10) for name in "ba"]
    expected = {".DS_Store": "no_data", "more": "not_a_shard", "sizes.json": "not_a_shard", "z.tar.gz": "bad_shard"}
    assert faults(tmp_path) == expected


def test_a_pattern_names_shards_in_its_order_and_those_that_are_missing_are_faults(tmp_path):
    for number in (8, 9, 11):
        packed(tmp_path / f"data-{number:02d}.tar", [("a.jpg", b"x")])
    path = tmp_path / "data-{08..11}.tar"
    assert list(entries(path)) == ["data-08/a", "data-09/a", "data-11/a"]
    assert faults(path) == {"data-10.tar": "missing"}
    entry = entries(path)["data-09/a"]
    assert WebDatasetReader(path).read(entry).raw == b"x"


def test_a_pattern_may_have_several_ranges_in_folders_too(tmp_path):
    for folder in ("9", "10"):
        for number in range(2):
            packed(tmp_path / folder / f"{number}.tar", [("a.jpg", folder.encode())])
    path = tmp_path / "{9..10}" / "{0..1}.tar"
    assert list(entries(path)) == ["9/0/a", "9/1/a", "10/0/a", "10/1/a"]
    assert WebDatasetReader(path).read(entries(path)["10/1/a"]).raw == b"10"


@pytest.mark.parametrize("pattern", ["{0..99999999999}.tar", "{5..1}.tar"])
def test_a_pattern_for_no_shard_or_for_too_many_is_refused_before_they_are_listed(pattern, tmp_path):
    with pytest.raises(ConfigError, match="stands for") as caught:
        found(tmp_path / pattern)
    assert caught.value.remedy


def test_a_folder_without_a_shard_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no shard"):
        found(tmp_path)


def test_names_may_begin_with_a_dot_and_a_slash_and_have_folders_of_their_own(tmp_path):
    folder = special("./ann", tarfile.DIRTYPE)
    path = packed(tmp_path / "a.tar", [(folder, b""), ("./ann/1.jpg", b"x"), ("ann//1.cls", b"3")])
    (entry,) = found(path)
    assert (entry.key, entry.label) == ("a/ann/1", 3)


def test_what_programs_leave_beside_data_does_not_part_a_sample(tmp_path):
    names = ["._1.jpg", "1.jpg", "._1.cls", "1.cls", "__MACOSX/1.jpg", "readme"]
    path = packed(tmp_path / "a.tar", [(name, b"4") for name in names])
    assert entries(path)["a/1"].label == 4
    reasons = faults(path)
    assert list(reasons.values()) == ["no_data", "no_data", "no_data", "not_an_image"]


# ---- faults


def test_a_key_that_comes_again_is_a_fault_of_its_own_wherever_it_stands(tmp_path):
    path = packed(tmp_path / "a.tar", [(f"{name}.jpg", b"x") for name in "abcaba"])
    assert list(entries(path)) == ["a/a", "a/b", "a/c"]
    assert set(faults(path).values()) == {"twice"}
    assert len(faults(path)) == 3


def test_a_member_that_comes_twice_fails_its_sample_alone(tmp_path):
    path = packed(tmp_path / "a.tar", [("a.jpg", b"x"), ("a.jpg", b"y"), ("b.jpg", b"x")])
    assert faults(path) == {"a/a": "twice"}
    assert list(entries(path)) == ["a/b"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("ending", ["jpg", "json"])
def test_a_link_or_a_device_fails_its_sample_and_no_other(kind, ending, tmp_path):
    other = "json" if ending == "jpg" else "jpg"
    odd = special(f"b.{ending}", kind, "/etc/passwd")
    path = packed(tmp_path / "a.tar", [("a.jpg", b"x"), (odd, b""), (f"b.{other}", b"{}"), ("c.jpg", b"x")])
    assert list(entries(path)) == ["a/a", "a/c"]
    assert faults(path) == {"a/b": "bad_member"}


@pytest.mark.parametrize(
    "name",
    ["/etc/b.jpg", "../b.jpg", "x/../../b.jpg", "/../b", "b\udcff.jpg", "x" * 5000 + ".jpg", "x/" * 3000 + "b.jpg"],
)
@pytest.mark.parametrize("format", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_name_that_leads_out_or_that_no_file_can_have_is_a_fault(name, format, tmp_path):
    members = [("a.jpg", b"x"), (name, b"y"), (name, b"y"), ("c.jpg", b"x")]
    path = packed(tmp_path / "a.tar", members, format=format, encoding="utf-8", errors="surrogateescape")
    assert list(entries(path)) == ["a/a", "a/c"]
    assert list(faults(path).values()) == ["bad_name"] * 2


def test_a_shard_that_was_cut_short_gives_the_samples_before_the_cut_and_says_so_wherever_it_was_cut(tmp_path):
    whole = packed(tmp_path / "whole.tar", [(f"{number}.jpg", b"x" * 700) for number in range(3)])
    raw, cut = whole.read_bytes(), tmp_path / "cut.tar"
    assert faults(whole) == {}
    for size in range(0, 3 * 3 * 512 + 1, 128):
        cut.write_bytes(raw[:size])
        whole_ones = sum(size >= at * 1536 + 512 + 700 for at in range(3))
        assert list(entries(cut)) == [f"cut/{number}" for number in range(whole_ones)], size
        assert set(faults(cut).values()) == {"bad_shard"}, size


def test_after_a_damaged_header_the_next_samples_are_read(tmp_path):
    path = packed(tmp_path / "a.tar", [(f"{number}.jpg", b"x" * 700) for number in range(4)])
    raw = bytearray(path.read_bytes())
    raw[1536 + 3] ^= 1
    path.write_bytes(raw)
    assert list(entries(path)) == ["a/0", "a/2", "a/3"]
    assert faults(path) == {"a.tar": "bad_shard"}


def test_damage_in_several_places_is_as_many_faults_with_keys_of_their_own(tmp_path):
    path = packed(tmp_path / "a.tar", [(f"{number}.jpg", b"x" * 700) for number in range(9)])
    raw = bytearray(path.read_bytes())
    for number in (1, 4, 5, 8):
        raw[1536 * number] ^= 1
    path.write_bytes(raw)
    assert list(entries(path)) == [f"a/{number}" for number in (0, 2, 3, 6, 7)]
    # What lies between two whole headers is one place.
    assert list(faults(path)) == ["a.tar", "a.tar (byte 6144)", "a.tar (byte 12288)"]


@pytest.mark.parametrize("size", [2**33 - 1, 2**40, 2**62, -1, -512, -(2**40), 800])
def test_a_size_that_lies_costs_its_sample_and_nothing_else(size, tmp_path):
    block = header("b.jpg", size)
    whole = header("a.jpg", 2), b"xx"
    path = raw_tar(tmp_path / "a.tar", *whole, block, b"yy", header("c.jpg", 2), b"zz", END)
    reader = WebDatasetReader(path)
    assert {key: reader.read(entry).raw for key, entry in entries(path).items() if key != "a/b"} == {
        "a/a": b"xx",
        "a/c": b"zz",
    } or size == 800
    assert set(faults(path).values()) == {"bad_shard"}


@pytest.mark.parametrize("kind", [b"x", b"g", b"L", b"K", b"S"])
@pytest.mark.parametrize("size", [2**21, 2**33 - 1, 2**62, -5])
def test_headers_that_claim_gigabytes_are_not_read(kind, size, tmp_path):
    path = raw_tar(
        tmp_path / "a.tar", header("a.jpg", 1), b"x", header("odd", size, kind), b"5", header("c.jpg", 1), b"x", END
    )
    assert list(entries(path)) == ["a/a", "a/c"]
    assert list(faults(path).values()) == ["bad_member" if kind == b"S" else "bad_shard"]


@pytest.mark.parametrize("last", [b"", header("c.jpg", 1)[:-400] + b"x" * 400])
def test_a_long_chain_of_headers_takes_time_for_its_length_and_no_more(last, tmp_path):
    chain = [block for _ in range(20) for block in (header("odd", 10, b"x"), b"8 path=x\n")]
    path = raw_tar(tmp_path / "a.tar", *[*chain, last] * 200, header("c.jpg", 1), b"x", END)
    started = time.perf_counter()
    assert set(faults(path).values()) <= {"bad_shard", "bad_name"}
    assert time.perf_counter() - started < 5


@pytest.mark.parametrize(("mode", "name"), [("w:gz", "gzip"), ("w:bz2", "bzip2"), ("w:xz", "xz")])
def test_a_compressed_shard_is_refused_with_what_to_do_whatever_its_name(mode, name, tmp_path):
    for called in ("a.tar", "a.tgz"):
        with tarfile.open(tmp_path / called, mode) as tar:
            tar.addfile(tarfile.TarInfo("a.jpg"))
        (fault,) = found(tmp_path / called)
        assert (fault.reason, fault.message, fault.remedy) == ("bad_shard", f"compressed with {name}", "decompress it")


def test_a_sample_of_too_many_members_or_with_too_much_beside_it_fails_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(webdataset, "MOST_EXTRA_BYTES", 1000)
    many = [(f"a.{number}", b"") for number in range(1500)]
    members = [*many, ("a.jpg", b"x"), ("b.jpg", b"x"), ("b.npy", b"x" * 1001), ("c.jpg", b"x" * 5000)]
    path = packed(tmp_path / "a.tar", members)
    assert list(entries(path)) == ["a/c"]
    assert faults(path) == {"a/a": "bad_member", "a/b": "bad_member"}


def test_a_picture_larger_than_any_can_be_is_not_read(tmp_path):
    with open(tmp_path / "a.tar", "wb") as file:
        file.write(header("a.jpg", 2**30))
        file.truncate(512 + 2**30)
        file.seek(0, 2)
        file.write(header("b.jpg", 1) + b"x".ljust(512, b"\0") + END)
    reader = WebDatasetReader(tmp_path / "a.tar", max_pixels=1000)
    with pytest.raises(ImageError, match="more than") as caught:
        reader.read(entries(reader.path)["a/a"])
    assert caught.value.remedy == "scale it down or raise {max_pixels}"
    assert reader.read(entries(reader.path)["a/b"]).raw == b"x"


@pytest.mark.skipif(sys.platform == "win32", reason="no links without rights")
def test_a_shard_that_is_missing_a_folder_or_a_pipe_is_a_fault(tmp_path):
    packed(tmp_path / "a.tar", [("a.jpg", b"x")])
    (tmp_path / "gone.tar").symlink_to(tmp_path / "nowhere")
    subprocess.run(["mkfifo", tmp_path / "pipe.tar"], check=True)
    assert list(entries(tmp_path)) == ["a/a"]
    assert faults(tmp_path) == {"gone.tar": "missing", "pipe.tar": "bad_shard"}


def test_a_shard_that_changes_after_it_was_listed_is_an_error_of_its_samples_and_changes_their_stamps(tmp_path):
    path = packed(tmp_path / "a.tar", [("a.jpg", b"x" * 2000)])
    reader = WebDatasetReader(path)
    (entry,) = found(path)
    before = reader.stamp(entry)
    path.write_bytes(path.read_bytes()[:1000])
    assert reader.stamp(entry) != before
    with pytest.raises(ImageError, match="shorter than it was"):
        reader.read(entry)
    path.unlink()
    assert reader.stamp(entry) is None
    with pytest.raises(ImageError, match=r"a/a: cannot be read"):
        reader.read(entry)


def test_a_reader_takes_no_list_to_a_worker_and_lists_without_holding_one(tmp_path):
    path = packed(tmp_path / "a.tar", [(f"{number}.jpg", b"x") for number in range(3000)])
    reader = WebDatasetReader(path)
    chunks = reader.chunks(10)
    assert [one.key for one in next(chunks)] == [f"a/{number}" for number in range(10)]
    script = (
        "import resource, sys, tracemalloc; from pathlib import Path\n"
        "from maskgen.datasets.webdataset import WebDatasetReader\n"
        "chunks = WebDatasetReader(Path(sys.argv[1])).chunks(10); next(chunks); tracemalloc.start()\n"
        "number = sum(len(chunk) for chunk in chunks); print(number, tracemalloc.get_traced_memory()[1])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, path], capture_output=True, text=True, cwd=root, check=True)
    number, peak = map(int, done.stdout.split())
    assert number == 2990
    assert peak < 300_000
    assert len(pickle.dumps(reader)) < 500
