"""Verification sets as datasets: read in their order, written so that Python and InsightFace read them."""

import pickle
import pickletools
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from pictures import saved, smooth
from writing import crop, finished, rows_of

from maskgen import images
from maskgen.datasets import binset, parts
from maskgen.datasets.base import Entry, Pair
from maskgen.datasets.binset import BinReader, BinWriter
from maskgen.datasets.parts import FOLDER
from maskgen.datasets.verification import read_bin
from maskgen.errors import ConfigError, ImageError, MaskgenError

SAME = [True, False, True]


@pytest.fixture
def source(tmp_path):
    """Three pairs."""
    path = tmp_path / "lfw.bin"
    path.write_bytes(pickle.dumps(([crop(number) for number in range(6)], SAME), 4))
    return path


def entries(path):
    return [one for chunk in BinReader(path).chunks(4) for one in chunk]


def made_of(entry, **options):
    """What a run makes of a half that is selected."""
    return entry, {"variants": [crop(100 + entry.locator)], **options}


def copied(entry):
    """What a run makes of one that is not."""
    return entry, {"original": crop(entry.locator), "reason": "not_selected"}


def missed(entry):
    """What a run makes of one without a face."""
    return entry, {"variants": [None]}


def loaded(path):
    """What Python's own unpickler gives, as InsightFace calls it."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="bytes")


# ---- reading


def test_halves_come_in_the_order_of_the_file_and_know_their_pair(source):
    found = entries(source)
    assert [entry.key for entry in found] == ["0_0", "0_1", "1_0", "1_1", "2_0", "2_1"]
    assert [entry.pair for entry in found] == [Pair(i // 2, i % 2, SAME[i // 2]) for i in range(6)]
    assert {(entry.identity, entry.label) for entry in found} == {(None, None)}
    reader = pickle.loads(pickle.dumps(BinReader(source)))
    assert [reader.read(entry).raw for entry in found] == [crop(number) for number in range(6)]
    assert [reader.read(entry).stamp for entry in found] == [reader.stamp(entry) for entry in found]
    assert reader.count() == 6


def test_keys_sort_in_the_order_of_the_file_however_many_there_are(tmp_path):
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([b"x"] * 2200, [True] * 1100)))
    keys = [entry.key for entry in entries(tmp_path / "a.bin")]
    assert keys == sorted(keys)
    assert keys[0] == "0000_0"


def test_pixels_of_older_sets_come_as_pictures_without_loss(tmp_path):
    pixels = [np.roll(smooth(112, 112), number, axis=2) for number in range(2)]
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([one[..., ::-1] for one in pixels], [True]), 2))
    for entry, expected in zip(entries(tmp_path / "a.bin"), pixels, strict=True):
        raw = BinReader(tmp_path / "a.bin").read(entry).raw
        assert np.array_equal(images.decode(raw, Path("a.png")).pixels, expected)


def test_a_reader_that_is_sent_to_a_worker_takes_no_picture_with_it(source):
    reader = BinReader(source)
    assert reader.count() == 6
    assert len(pickle.dumps(reader)) < 500


def test_a_set_is_read_once_per_process_and_again_when_it_changes(source, monkeypatch):
    times = []
    monkeypatch.setattr(binset, "read_bin", lambda path: times.append(path) or read_bin(path))
    reader = BinReader(source)
    before = [reader.stamp(entry) for entry in entries(source)]
    assert len(times) <= 1
    source.write_bytes(pickle.dumps(([crop(number) for number in (0, 9)], [True])))
    after = [reader.stamp(Entry("x", locator=number)) for number in range(6)]
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, False, False, False, False]
    assert after[2:] == [None] * 4
    with pytest.raises(ImageError, match="not there any more"):
        reader.read(Entry("x", locator=5))


@pytest.mark.parametrize("raw", [b"", b"x", pickle.dumps(([b"x"], [True])), pickle.dumps(print)])
def test_what_is_no_verification_set_is_an_error_of_ours(raw, tmp_path):
    (tmp_path / "a.bin").write_bytes(raw)
    reader = BinReader(tmp_path / "a.bin")
    with pytest.raises(ImageError, match="verification set"):
        list(reader.chunks(9))
    assert reader.stamp(Entry("0_0", locator=0)) is None


# ---- writing


def test_what_is_written_is_read_by_python_itself_and_by_us(source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    found = entries(source)
    rows = finished(writer, rows_of(writer, [made_of(entry) for entry in found]))
    pictures, is_same = loaded(writer.path)
    assert pictures == [crop(100 + number) for number in range(6)]
    assert {type(one) for one in pictures} == {bytes}
    assert is_same == SAME
    assert {type(one) for one in is_same} == {bool}
    assert pickle.loads(writer.path.read_bytes()) == (pictures, is_same)
    assert [entry.pair for entry in entries(writer.path)] == [entry.pair for entry in found]
    assert [row.places for row in rows] == [(f"lfw.bin#{number}",) for number in range(6)]
    assert sorted(path.name for path in writer.path.parent.iterdir()) == [".maskgen.files", "lfw.bin"]


def test_what_is_written_asks_for_nothing_but_lists_bytes_and_bools(source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    finished(writer, rows_of(writer, [made_of(entry) for entry in entries(source)]))
    names = {instruction.name for instruction, _, _ in pickletools.genops(writer.path.read_bytes())}
    assert names == {
        "PROTO", "EMPTY_LIST", "MARK", "BINBYTES", "APPENDS", "NEWTRUE", "NEWFALSE", "TUPLE2", "STOP"
    }  # fmt: skip


def test_sets_of_more_pairs_than_a_batch_are_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(binset, "_BATCH", 4)
    for pairs in (1, 2, 3, 4, 5, 9):
        writer = BinWriter(tmp_path / f"{pairs}.bin", "both")
        sides = [(i, side) for i in range(pairs) for side in (0, 1)]
        halves = [Entry(f"{i:02d}_{side}", pair=Pair(i, side, i % 3 == 0), locator=i) for i, side in sides]
        finished(writer, rows_of(writer, [made_of(entry) for entry in halves]))
        pictures, is_same = loaded(writer.path)
        assert pictures == [crop(100 + entry.locator) for entry in halves]
        assert is_same == [i % 3 == 0 for i in range(pairs)]


@pytest.mark.parametrize(("mask_side", "selected"), [("first", {0}), ("second", {1}), ("both", {0, 1})])
def test_masks_go_on_the_halves_that_were_asked_for_and_the_others_are_copied(mask_side, selected, source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", mask_side)
    found = entries(source)
    assert {entry.pair.side for entry in found if writer.selects(entry)} == selected
    made = [made_of(entry) if writer.selects(entry) else copied(entry) for entry in found]
    rows = finished(writer, rows_of(writer, made))
    pictures, _ = loaded(writer.path)
    assert pictures == [crop(number + 100 * (number % 2 in selected)) for number in range(6)]
    assert {row.reason for row in rows if row.pair.side not in selected} <= {"not_selected"}
    for row in rows:
        assert (row.original is None) == (row.pair.side in selected)


@pytest.mark.parametrize("side", [0, 1])
def test_a_half_without_a_picture_takes_its_pair_out_and_says_so(side, source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    found = entries(source)
    lacking = found[2 + side]
    rows = finished(writer, rows_of(writer, [missed(one) if one is lacking else made_of(one) for one in found]))
    pictures, is_same = loaded(writer.path)
    assert pictures == [crop(100 + number) for number in (0, 1, 4, 5)]
    assert is_same == [True, True]
    told = {row.key: (row.status, row.reason, row.places) for row in rows}
    assert told[lacking.key] == ("skipped", "no_face", ())
    assert told[found[3 - side].key] == ("skipped", "pair_incomplete", ())
    assert told["2_0"] == ("done", None, ("lfw.bin#2",))


def test_a_copy_counts_for_a_half_without_a_mask(source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    made = [(entry, {"variants": [None], "original": crop(entry.locator)}) for entry in entries(source)]
    rows = finished(writer, rows_of(writer, made))
    assert loaded(writer.path)[0] == [crop(number) for number in range(6)]
    assert {row.reason for row in rows} == {"no_face"}


def test_if_no_pair_is_whole_no_file_is_written(source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin")
    rows = finished(writer, rows_of(writer, [copied(entry) for entry in entries(source)[::2]]))
    assert [row.reason for row in rows] == ["pair_incomplete"] * 3
    assert list(writer.path.parent.iterdir()) == []


def test_the_same_pictures_give_the_same_bytes_in_whatever_parts_they_came(source, tmp_path):
    found = entries(source)
    for name, size in (("a", 6), ("b", 1)):
        writer = BinWriter(tmp_path / name / "x.bin", "both")
        made = [made_of(entry) for entry in found]
        chunks = [made[at : at + size] for at in range(0, 6, size)]
        finished(writer, [row for chunk in reversed(chunks) for row in rows_of(writer, chunk)])
    assert (tmp_path / "a" / "x.bin").read_bytes() == (tmp_path / "b" / "x.bin").read_bytes()


def test_a_later_run_takes_what_stands_in_the_old_file(source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    found = entries(source)
    first = finished(writer, rows_of(writer, [missed(one) if one.key == "1_1" else made_of(one) for one in found]))
    stamps = {row.key: writer.stamp(row.places[0]) for row in first if row.places}
    # The run works again on those whose pictures are not there.
    later = finished(writer, [*first, *rows_of(writer, [made_of(found[2]), made_of(found[3])])])
    assert loaded(writer.path) == ([crop(100 + number) for number in range(6)], SAME)
    assert {row.key: writer.stamp(row.places[0]) for row in later}.items() >= stamps.items()
    assert [row.status for row in later] == ["done"] * 6
    assert not (writer.path.parent / FOLDER).exists()


def test_a_run_that_is_killed_before_its_rows_are_recorded_loses_nothing(source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    found = entries(source)
    rows = finished(writer, rows_of(writer, [made_of(entry) for entry in found[2:]]))
    rows = [*rows_of(writer, [made_of(entry) for entry in found[:2]]), *rows]
    stamps = [writer.stamp(row.places[0]) for row in rows]
    going = writer.finish(rows)
    next(going)
    going.close()
    assert [writer.stamp(row.places[0]) for row in rows] == stamps
    assert [writer.stamp(row.places[0]) for row in finished(writer, rows)] == stamps


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"x")])
def test_what_was_damaged_since_has_no_stamp_any_more(damage, source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    rows = finished(writer, rows_of(writer, [made_of(entry) for entry in entries(source)]))
    damage(writer.path)
    assert [writer.stamp(row.places[0]) for row in rows] == [None] * 6
    assert [writer.checksum(row.places[0]) for row in rows] == [None] * 6


def test_a_half_that_was_lost_fails_and_takes_its_pair_out(source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    found = entries(source)
    rows = rows_of(writer, [made_of(found[0])])
    parts._own_name.cache_clear()  # as if another process wrote the rest
    rows += rows_of(writer, [made_of(entry) for entry in found[1:]])
    name = rows[0].places[0].partition("#")[0]
    (writer.path.parent / f"{name}.part").unlink()
    later = finished(writer, rows)
    assert [row.reason for row in later] == ["lost", "pair_incomplete", None, None, None, None]
    assert loaded(writer.path)[1] == SAME[1:]


@pytest.mark.parametrize(
    ("settings", "named"),
    [({"variants": 2}, "variants"), ({"originals": True}, "originals"), ({"faces": "all"}, "faces")],
)
def test_settings_that_need_more_than_one_picture_per_half_are_refused_by_name(settings, named, tmp_path):
    fine = {"variants": 1, "originals": False, "faces": "largest", "save": ()}
    writer = BinWriter(tmp_path / "a.bin")
    writer.check(SimpleNamespace(**fine))
    with pytest.raises(ConfigError) as caught:
        writer.check(SimpleNamespace(**{**fine, **settings}))
    assert f"{{{named}" in caught.value.remedy


@pytest.mark.parametrize("size_wh", [(111, 112), (112, 224), (1, 1)])
def test_a_picture_of_another_size_fails_alone_and_is_told_how_to_align(size_wh, source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "a.bin", "both")
    entry = entries(source)[0]
    with pytest.raises(ImageError, match=f"{size_wh[0]} x {size_wh[1]} pixels") as caught:
        rows_of(writer, [(entry, {"variants": [saved(smooth(*size_wh), "PNG")]})])
    assert caught.value.remedy == "use {align=112}"
    with pytest.raises(ImageError, match="not a picture"):
        rows_of(writer, [(entry, {"variants": [b"x"]})])


def test_what_is_in_no_pair_cannot_be_written(tmp_path):
    writer = BinWriter(tmp_path / "a.bin")
    with pytest.raises(ConfigError, match="in no pair"):
        rows_of(writer, [(Entry("a/1.jpg"), {"variants": [crop(1)]})])
    with pytest.raises(ConfigError, match="in no pair"):
        writer.selects(Entry("a/1.jpg"))


def test_a_file_that_no_run_wrote_is_in_the_way_and_stays(source, tmp_path):
    writer = BinWriter(source, "both")
    before = source.read_bytes()
    assert list(writer.in_the_way(["0_0"])) == ["lfw.bin"]
    rows = rows_of(writer, [made_of(entry) for entry in entries(source)])
    with pytest.raises(ConfigError, match=r"lfw\.bin: in the way, and no run"):
        finished(writer, rows)
    writer.clear(rows)
    assert source.read_bytes() == before


def test_a_file_too_large_to_be_read_again_is_refused(source, tmp_path, monkeypatch):
    monkeypatch.setattr(binset, "MAX_BYTES", 100)
    writer = BinWriter(tmp_path / "out" / "a.bin", "both")
    rows = rows_of(writer, [made_of(entry) for entry in entries(source)])
    with pytest.raises(MaskgenError, match="more than the 100") as caught:
        finished(writer, rows)
    assert caught.value.remedy
    assert [path.name for path in writer.path.parent.iterdir()] == [FOLDER]


def test_starting_anew_deletes_the_file_and_the_parts(source, tmp_path):
    writer = BinWriter(tmp_path / "out" / "lfw.bin", "both")
    rows = finished(writer, rows_of(writer, [made_of(entry) for entry in entries(source)]))
    rows_of(writer, [made_of(entries(source)[0])])
    assert list(writer.in_the_way([])) == []
    writer.clear(rows)
    assert list(writer.path.parent.iterdir()) == []


def test_no_more_than_a_picture_at_a_time_is_in_memory_while_a_set_is_written(tmp_path):
    script = """
import os, sys, tracemalloc
from pathlib import Path
sys.path.insert(0, "tests")
from writing import crop, finished, row_of
from maskgen.datasets.base import Entry, Pair
from maskgen.datasets.binset import BinWriter
writer = BinWriter(Path(sys.argv[1]), "both")
small = crop(1)
# Noise behind the end of a PNG is no part of the picture, and makes it as large as one likes.
rows = []
with writer.part("a") as part:
    for index in range(400):
        entries = [Entry(f"{index:03d}_{side}", pair=Pair(index, side, True)) for side in (0, 1)]
        rows += [row_of(part, entry, variants=[small + os.urandom(100_000)]) for entry in entries]
tracemalloc.start()
finished(writer, rows)
print(tracemalloc.get_traced_memory()[1], writer.path.stat().st_size)
"""
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.bin"], capture_output=True, text=True, cwd=root, check=True
    )
    peak, size = map(int, done.stdout.split())
    assert size > 80_000_000
    assert peak < 8_000_000
