"""What formats of many samples in one file share: places that move, files of a former run."""

import os
import shutil

import pytest
from writing import crop, finished, rows_of

from maskgen.datasets.base import Entry, Pair
from maskgen.datasets.binset import BinWriter
from maskgen.datasets.packing import Former, placed
from maskgen.datasets.recordio_writer import RecordWriter
from maskgen.datasets.webdataset_writer import WebDatasetWriter
from maskgen.manifest import Row, VariantRow, Written


def row_with(original, *variants):
    return Row(
        key="1",
        status="done",
        original=None if original is None else Written(place=original),
        variants=tuple(VariantRow(place=place, seed="0" * 32, masks=()) for place in variants),
    )


def test_an_original_that_was_lost_is_gone_from_its_row_and_a_variant_leaves_its_seat():
    row = placed(row_with("old#1", "old#2", None, "old#3"), ["", "new#5", ""])
    assert (row.status, row.reason) == ("failed", "lost")
    assert row.message.startswith("2 of the pictures")
    assert row.original is None
    assert [variant.place for variant in row.variants] == ["new#5", None, None]
    assert row.places == ("new#5",)


def test_a_row_of_which_nothing_was_lost_stays_as_it_was_but_for_its_places():
    row = placed(row_with("old#1", None, "old#2"), ["new#1", "new#2"])
    assert row == row_with("new#1", None, "new#2")


ENTRIES = [Entry(f"{index}_{side}", "0", 0, Pair(index, side, True)) for index in range(3) for side in (0, 1)]
WRITERS = {
    "bin": lambda root: BinWriter(root / "x.bin", "both"),
    "recordio": RecordWriter,
    "webdataset": lambda root: WebDatasetWriter(root, shard_size=2),
}


@pytest.fixture(params=WRITERS)
def writer(request, tmp_path):
    return WRITERS[request.param](tmp_path)


def made(entries, first):
    return [(entry, {"variants": [crop(first + number)]}) for number, entry in enumerate(entries)]


def pictures(writer, rows):
    return {row.key: [writer.checksum(place) for place in row.places] for row in rows}


@pytest.mark.parametrize("links", [True, False])
def test_a_run_that_is_killed_while_it_forgets_the_former_files_leaves_no_place_that_is_another(
    links, writer, tmp_path, monkeypatch
):
    def killed(folder):
        raise KeyboardInterrupt if folder.exists() else FileNotFoundError

    def no_link(*arguments):
        raise PermissionError

    if not links:
        monkeypatch.setattr(os, "link", no_link)
    old = finished(writer, rows_of(writer, made(ENTRIES, 0)))
    rows = sorted([*old[1:], *rows_of(writer, made(ENTRIES[:1], 100))], key=lambda row: row.key)
    expected = pictures(writer, rows)
    going = writer.finish(rows)
    new = [next(going) for _ in rows]
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", killed)
        with pytest.raises(KeyboardInterrupt):
            next(going)
    assert pictures(writer, new) == expected
    assert pictures(writer, finished(writer, new)) == expected
    assert not (tmp_path / ".maskgen.parts").exists()


def test_former_files_that_are_kept_in_part_are_those_that_rows_name(tmp_path, monkeypatch):
    former = Former(tmp_path)
    for name in "ab":
        (tmp_path / name).write_text(name)
    with monkeypatch.context() as patch:
        patch.setattr(os, "link", os.replace)  # whatever the file system can do
        former.keep(["a"])
    assert [former.path(name).read_text() for name in "ab"] == ["a", "b"]
    former.keep(["a", "b", "c"])
    (tmp_path / "b").unlink()
    (tmp_path / "b").write_text("new")
    assert [former.path(name).read_text() for name in "ab"] == ["a", "b"]
    former.forget()
    assert former.path("b").read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["b"]


def test_records_that_were_kept_without_an_index_are_not_read_by_another(tmp_path):
    writer = RecordWriter(tmp_path)
    rows = finished(writer, rows_of(writer, made(ENTRIES, 0)))
    index = (tmp_path / "train.idx").read_bytes()
    (tmp_path / "train.idx").unlink()
    Former(tmp_path).keep(["train.idx", "train.rec"])
    (tmp_path / "train.idx").write_bytes(index)
    assert {writer.stamp(place) for row in rows for place in row.places} == {None}
