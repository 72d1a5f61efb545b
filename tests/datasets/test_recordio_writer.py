"""RecordIO that maskgen writes is what InsightFace reads, whatever happened to the run on the way."""

import contextlib
import os
import pickle
import struct

import numpy as np
import pytest
import recordio_files as independent
from pictures import chunk, saved, smooth, with_chunks

from maskgen import images, ordering
from maskgen.datasets import parts
from maskgen.datasets.base import Entry, Meta, Sample
from maskgen.datasets.recordio import LABELS_EXTRA, RecordReader
from maskgen.datasets.recordio_writer import RecordWriter
from maskgen.errors import ConfigError, ImageError, MaskgenError
from maskgen.manifest import Row, VariantRow, Written
from maskgen.ordering import Sorted, natural

FILES = ["property", "train.idx", "train.lst", "train.rec"]


def picture(number, format="PNG", side=112):
    pixels = smooth(side, side)
    pixels[:8, :8] = number % 256, number // 256, 0
    return saved(pixels, format)


def row_of(entry, original=None, variants=()):
    places = [VariantRow(place=place, seed="0" * 32, masks=()) for place in variants]
    is_done = original is not None or any(variants)
    return Row(
        key=entry.key,
        identity=entry.identity,
        label=entry.label,
        status="done" if is_done else "failed",
        reason=None if is_done else "bad_image",
        variants=tuple(places),
        original=None if original is None else Written(place=original),
    )


def put(writer, name, entries, variants=1, originals=True, number=0, extras=None):
    """Rows of a part with so many pictures per entry, each another."""
    rows = []
    with writer.part(name) as part:
        for entry in entries:
            places = []
            for variant in [*([None] if originals else []), *range(1, variants + 1)]:
                number += 1
                sample = Sample(picture(number), extras or {})
                places.append(part.put(sample, Meta(entry, variant)))
            rows.append(row_of(entry, places.pop(0) if originals else None, places))
    return rows


def by_key(rows):
    return sorted(rows, key=lambda row: row.key)


def finished(writer, rows):
    return list(writer.finish(iter(by_key(rows))))


def shown(folder):
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith(".maskgen"))


def raw_at(folder, place):
    name, key = place.split("#")
    return independent.read_all(folder / name)[int(key)].picture


LABELLED = [Entry(str(key), str(label), label) for key, label in [(9, 2), (10, 0), (100, 0), (2, 0), (11, 2)]]
NAMED = [Entry(f"{name}/{key}.jpg", name) for name, key in [("zoe", 1), ("ann", 10), ("ann", 9), ("Bob", 1)]]


# ---- what is written


def test_pictures_are_in_the_order_of_label_natural_key_and_variant(tmp_path):
    writer = RecordWriter(tmp_path)
    rows = finished(writer, put(writer, "a", LABELLED, variants=2))
    expected = []
    for key in ("2", "10", "100", "9", "11"):
        (row,) = (row for row in rows if row.key == key)
        expected += [(row.label, place) for place in row.places]
    assert [place for _, place in expected] == [f"train.rec#{number}" for number in range(1, 16)]
    read = independent.read_as_insightface(tmp_path / "train.rec")
    assert read == [(label, raw_at(tmp_path, place)) for label, place in expected]


def test_every_row_names_the_picture_that_was_put_for_it_and_parts_are_gone(tmp_path):
    writer = RecordWriter(tmp_path)
    before = [*put(writer, "a", LABELLED[:2]), *put(writer, "b", LABELLED[2:], number=50)]
    stamps = {row.key: [(writer.stamp(place), writer.checksum(place)) for place in row.places] for row in before}
    after = finished(writer, before)
    assert [row.key for row in after] == sorted(stamps)
    assert {row.key: [(writer.stamp(place), writer.checksum(place)) for place in row.places] for row in after} == stamps
    assert not (tmp_path / parts.FOLDER).exists()
    assert shown(tmp_path) == FILES


def test_a_label_without_a_picture_has_an_empty_range(tmp_path):
    writer = RecordWriter(tmp_path)
    rows = put(writer, "a", LABELLED)
    finished(writer, [*rows, row_of(Entry("77", "5", 5))])
    records = independent.read_all(tmp_path / "train.rec")
    assert list(records) == [*range(1, 17), 0]
    assert [records[key].labels for key in range(11, 17)] == [[1, 7], [7, 7], [7, 11], [11, 11], [11, 11], [11, 11]]
    assert (records[0].flag, records[0].labels, records[0].id) == (2, [11, 17], 0)
    assert (tmp_path / "property").read_text() == "6,112,112\n"


@pytest.mark.parametrize("identities", [0, 2, 3, 7])
def test_labels_that_the_source_has_without_a_record_are_kept_as_empty_ranges(identities, tmp_path):
    writer = RecordWriter(tmp_path, identities=identities)
    rows = finished(writer, put(writer, "a", LABELLED))
    most = max(3, identities)
    assert (tmp_path / "property").read_text() == f"{most},112,112\n"
    assert RecordReader(tmp_path / "train.rec").ranges() == most
    records = independent.read_all(tmp_path / "train.rec")
    ranges = [tuple(records[key].labels) for key in range(11, 11 + most)]
    assert ranges[:3] == [(1, 7), (7, 7), (7, 11)]
    assert ranges[3:] == [(11, 11)] * (most - 3)
    assert tuple(records[0].labels) == (11, 11 + most)
    before = {name: os.stat(tmp_path / name).st_ino for name in FILES}
    finished(writer, rows)
    assert {name: os.stat(tmp_path / name).st_ino for name in FILES} == before
    finished(RecordWriter(tmp_path, identities=9), rows)
    assert (tmp_path / "property").read_text() == "9,112,112\n"


def test_identities_that_are_numbered_anew_are_as_many_as_there_are(tmp_path):
    writer = RecordWriter(tmp_path, identities=50)
    finished(writer, put(writer, "a", NAMED))
    assert (tmp_path / "property").read_text() == "3,112,112\n"


def test_identities_without_labels_are_numbered_in_their_order_and_named_in_labels_txt(tmp_path):
    writer = RecordWriter(tmp_path)
    rows = finished(writer, [*put(writer, "a", NAMED), row_of(Entry("carl/1.jpg", "carl"))])
    assert (tmp_path / "labels.txt").read_text() == "0\tBob\n1\tann\n2\tcarl\n3\tzoe\n"
    assert (tmp_path / "property").read_text() == "4,112,112\n"
    entries = [entry for chunk in RecordReader(tmp_path / "train.rec").chunks(3) for entry in chunk]
    names = ["Bob", "Bob", "ann", "ann", "ann", "ann", "zoe", "zoe"]
    assert [(entry.identity, entry.label) for entry in entries] == [
        (name, {"Bob": 0, "ann": 1, "zoe": 3}[name]) for name in names
    ]
    assert [row.places for row in rows if row.key == "ann/9.jpg"] == [("train.rec#3", "train.rec#4")]


def test_the_list_has_number_label_and_path_of_every_picture(tmp_path):
    writer = RecordWriter(tmp_path)
    finished(writer, put(writer, "a", [*NAMED, Entry("a\tb/x\n.png", "a\tb")]))
    lines = [line.split("\t") for line in (tmp_path / "train.lst").read_text().split("\n")[:-1]]
    records = independent.read_all(tmp_path / "train.rec")
    assert [(int(key), float(label)) for key, label, _ in lines] == [
        (key, record.labels[0]) for key, record in records.items() if record.picture
    ]
    assert [path for _, _, path in lines][:6] == [
        "Bob/1.jpg", "Bob/1_m1.jpg", "a\\tb/x\\n.png", "a\\tb/x\\n_m1.png", "ann/9.jpg", "ann/9_m1.jpg"
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["a\tb", "a\\nb", "a\nb", "\\", "0", "Zoë", "a\r", "a\u2028b", " x "])
def test_any_name_of_an_identity_survives_and_from_record_to_record_too(name, tmp_path):
    def identities(folder):
        return [entry for chunk in RecordReader(folder / "train.rec").chunks(3) for entry in chunk]

    first, second = RecordWriter(tmp_path / "1"), RecordWriter(tmp_path / "2")
    finished(first, put(first, "a", [Entry("x", name), Entry("y", "~")]))
    entries = identities(tmp_path / "1")
    assert [(entry.identity, entry.label) for entry in entries] == [(name, 0), (name, 0), ("~", 1), ("~", 1)]
    finished(second, put(second, "a", entries, originals=False))
    assert [(entry.identity, entry.label) for entry in identities(tmp_path / "2")] == [
        (entry.identity, entry.label) for entry in entries
    ]


def test_labels_txt_is_written_only_where_it_says_more_than_the_labels(tmp_path):
    writer = RecordWriter(tmp_path)
    finished(writer, put(writer, "a", NAMED))
    assert shown(tmp_path) == ["labels.txt", *FILES]
    finished(writer, put(writer, "b", LABELLED))
    assert shown(tmp_path) == FILES


def test_further_labels_of_a_record_are_written_again(tmp_path):
    writer = RecordWriter(tmp_path)
    labels = np.array([9, 0.25, -7], "<f4").tobytes()
    finished(writer, put(writer, "a", [Entry("1", "4", 4)], extras={LABELS_EXTRA: labels}))
    record = independent.read_all(tmp_path / "train.rec")[1]
    assert (record.flag, record.labels) == (3, [4, 0.25, -7])


def test_a_picture_with_magics_in_it_is_written_whole(tmp_path):
    magic = struct.pack("<I", independent.MAGIC)
    writer = RecordWriter(tmp_path)
    entry = Entry("1", "0", 0)
    raws = [with_chunks(picture(0), chunk(b"maGC", bytes(shift) + magic * 3 + magic)) for shift in range(4)]
    with writer.part("a") as part:
        places = [part.put(Sample(raw), Meta(entry, number)) for number, raw in enumerate(raws, start=1)]
    (row,) = finished(writer, [row_of(entry, None, places)])
    assert [raw_at(tmp_path, place) for place in row.places] == raws
    reader = RecordReader(tmp_path / "train.rec")
    assert [reader.read(one).raw for found in reader.chunks(9) for one in found] == raws


def test_the_same_pictures_give_the_same_files_however_they_are_divided(tmp_path):
    def made(name, *divided):
        writer = RecordWriter(tmp_path / name)
        rows = []
        for number, (entries, first) in enumerate(divided):
            rows += put(writer, f"{number}{name}", entries, number=first)
        finished(writer, rows)
        return {path: (tmp_path / name / path).read_bytes() for path in shown(tmp_path / name)}

    assert made("a", (NAMED, 0)) == made("b", (NAMED[2:], 4), (NAMED[:2], 0))


def test_any_number_of_pictures_is_sorted_with_few_of_them_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(ordering, "_IN_MEMORY", 7)
    monkeypatch.setattr(ordering, "_BATCH", 3)
    items = [(int(number), str(number)) for number in np.random.default_rng(0).permutation(100)]
    with Sorted(iter(items), tmp_path) as in_order:
        assert list(in_order) == sorted(items)
        assert next(iter(in_order)) == (0, "0")
        assert list(in_order) == sorted(items)
    assert list(tmp_path.iterdir()) == []
    writer = RecordWriter(tmp_path / "out")
    finished(writer, put(writer, "a", LABELLED * 1, variants=3))
    assert len(independent.read_as_insightface(tmp_path / "out" / "train.rec")) == 20


def test_keys_are_in_the_order_of_their_numbers():
    keys = ["", "-", "1", "01", "2", "10", "010", "a", "a/9", "a/10", "a1b2", "a1b10", "a2", "b", "\u0662"]
    assert sorted(set(keys), key=lambda key: (natural(key), keys.index(key))) == keys


# ---- what is refused


def refused(tmp_path, raw, entry=NAMED[0]):
    with RecordWriter(tmp_path).part("a") as part, pytest.raises(ImageError) as caught:
        part.put(Sample(raw), Meta(entry, 1))
    assert caught.value.fault.startswith(f"{entry.key}: ")
    return caught.value


@pytest.mark.parametrize("side", [1, 111, 113, 224])
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_picture_of_another_size_is_refused_and_the_remedy_names_the_setting(side, format, tmp_path):
    error = refused(tmp_path, picture(0, format, side))
    assert f"{side} x {side}" in error.fault
    assert "{align=112}" in error.remedy


@pytest.mark.parametrize("raw", [b"", b"no picture", picture(0, "WEBP"), picture(0, "BMP"), picture(0)[:20]])
def test_what_is_no_jpeg_or_png_is_refused(raw, tmp_path):
    assert "JPEG or PNG" in refused(tmp_path, raw).fault


def test_a_picture_of_nobody_is_refused(tmp_path):
    assert refused(tmp_path, picture(0), Entry("1.jpg")).reason == "no_identity"


@pytest.mark.parametrize("label", [-1, 2**24, 10**30])
def test_a_label_that_would_be_rounded_is_refused(label, tmp_path):
    assert refused(tmp_path, picture(0), Entry("1.jpg", "x", label)).reason == "bad_label"
    writer = RecordWriter(tmp_path)
    finished(writer, [*put(writer, "b", LABELLED), row_of(Entry("z", "x", label))])
    assert (tmp_path / "property").read_text() == "3,112,112\n"


@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_a_jpeg_and_a_png_of_112_by_112_are_taken(format, tmp_path):
    with RecordWriter(tmp_path).part("a") as part:
        place = part.put(Sample(picture(0, format)), Meta(NAMED[0], 1))
    assert RecordWriter(tmp_path).stamp(place) == parts.stamp_of(picture(0, format))


def test_a_picture_with_damaged_metadata_is_taken_as_it_is_elsewhere(tmp_path):
    raw = with_chunks(picture(0), chunk(b"pHYs", b"?"), chunk(b"iCCP", b"?"), chunk(b"gAMA", b""))
    assert images.decode(raw, tmp_path / "a.png").pixels.shape == (112, 112, 3)
    with RecordWriter(tmp_path).part("a") as part:
        assert part.put(Sample(raw), Meta(NAMED[0], 1))


def test_an_output_that_is_no_folder_is_refused(tmp_path):
    (tmp_path / "out").touch()
    with pytest.raises(ConfigError, match="not a folder"):
        RecordWriter(tmp_path / "out").check(None)


# ---- runs after runs


def test_a_later_run_adds_to_what_stands_and_drops_what_no_row_names(tmp_path):
    writer = RecordWriter(tmp_path)
    first = finished(writer, put(writer, "a", LABELLED))
    raws = {row.key: [raw_at(tmp_path, place) for place in row.places] for row in first}
    kept = [row for row in first if row.key != "10"]
    second = finished(writer, [*kept, *put(writer, "b", [Entry("1", "1", 1)], number=99)])
    assert [row.key for row in second] == ["1", "100", "11", "2", "9"]
    for row in second[1:]:
        assert [raw_at(tmp_path, place) for place in row.places] == raws[row.key]
    assert [label for label, _ in independent.read_as_insightface(tmp_path / "train.rec")] == [0] * 4 + [1] * 2 + [
        2
    ] * 4


def test_files_stay_as_they_are_where_nothing_has_changed(tmp_path):
    writer = RecordWriter(tmp_path)
    for entries in (NAMED, LABELLED):
        rows = finished(writer, put(writer, entries[0].key.replace("/", ""), entries))
        before = {name: (tmp_path / name).stat().st_ino for name in shown(tmp_path)}
        assert finished(writer, rows) == rows
        assert {name: (tmp_path / name).stat().st_ino for name in shown(tmp_path)} == before


@pytest.mark.parametrize("change", ["label", "name", "key", "fewer", "none"])
def test_files_are_written_again_if_only_a_row_has_changed(change, tmp_path):
    writer = RecordWriter(tmp_path)
    rows = finished(writer, put(writer, "a", NAMED))
    row = next(row for row in rows if row.key == "zoe/1.jpg")
    changed = {
        "label": [one.model_copy(update={"label": 7}) for one in rows],
        "name": [*(one for one in rows if one is not row), row.model_copy(update={"identity": "zz"})],
        "key": [*(one for one in rows if one is not row), row.model_copy(update={"key": "zoe/2.jpg"})],
        "fewer": [one for one in rows if one is not row],
        "none": [],
    }[change]
    again = finished(writer, changed)
    other = RecordWriter(tmp_path / "other")
    fresh = by_key(put(other, "a", NAMED))
    ids = {old.key: new for old, new in zip(by_key(rows), fresh, strict=True)}
    expected = [
        one.model_copy(update={"variants": ids[old].variants, "original": ids[old].original})
        for one in changed
        for old in ["zoe/1.jpg" if one.key == "zoe/2.jpg" else one.key]
    ]
    assert finished(other, expected) == again
    assert {name: (tmp_path / name).read_bytes() for name in shown(tmp_path) if name != "other"} == {
        name: (tmp_path / "other" / name).read_bytes() for name in shown(tmp_path / "other")
    }


@pytest.mark.parametrize("lost", ["part", "number", "file", "kind"])
def test_a_row_whose_picture_is_lost_has_failed_and_the_others_are_written(lost, tmp_path):
    writer = RecordWriter(tmp_path)
    rows = put(writer, "a", LABELLED[:1])
    if lost == "file":
        rows = finished(writer, rows)
        for name in shown(tmp_path):
            (tmp_path / name).rename(tmp_path / f"{name}.moved")
        place = "train.rec#1"
    else:
        place = {"part": ".maskgen.parts/x#0", "number": "train.rec#99999999999999999999", "kind": "train.rec#x"}[lost]
    rows[0] = rows[0].model_copy(update={"original": Written(place=place)})
    assert writer.stamp(place) is writer.checksum(place) is None
    rows = finished(writer, [*rows, *put(writer, "b", LABELLED[1:], number=30)])
    (row,) = (row for row in rows if row.key == "9")
    assert (row.status, row.reason, row.original) == ("failed", "lost", None)
    assert row.message
    assert row.remedy
    assert all(writer.stamp(place) for row in rows for place in row.places)
    assert len(independent.read_as_insightface(tmp_path / "train.rec")) == sum(len(row.places) for row in rows)


def test_a_run_that_ends_before_all_rows_have_their_places_leaves_all_pictures_to_the_next(tmp_path, monkeypatch):
    def started(folder):
        writer = RecordWriter(folder)
        old = finished(writer, put(writer, "a", NAMED))
        return writer, by_key([*old[1:], *put(writer, "b", LABELLED[:2] + NAMED[1:2], number=40)])

    reference, rows = started(tmp_path / "reference")
    pictures = [[reference.checksum(place) for place in row.places] for row in rows]
    finished(reference, rows)
    expected = {name: (tmp_path / "reference" / name).read_bytes() for name in shown(tmp_path / "reference")}
    names = ("replace", "link", "unlink", "fsync")
    step = 0
    while True:
        writer, rows = started(tmp_path / str(step))
        placed = []
        with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
            remaining = [step]
            for name in names:
                patch.setattr(os, name, _stopping(getattr(os, name), remaining))
            for row in writer.finish(iter(rows)):
                placed.append(row)  # one by one: it may end behind the last
        if len(placed) == len(rows):
            break
        assert [[writer.checksum(place) for place in row.places] for row in rows] == pictures, step
        assert list(writer.in_the_way([])) == []
        after = finished(writer, rows)
        assert [[writer.checksum(place) for place in row.places] for row in after] == pictures, step
        assert {name: (tmp_path / str(step) / name).read_bytes() for name in shown(tmp_path / str(step))} == expected
        step += 1
    assert step > 10


def _stopping(function, remaining):
    """The function, until so many calls were made of it and of others; then the run ends."""

    def call(*arguments, **options):
        if not remaining[0]:
            raise KeyboardInterrupt
        remaining[0] -= 1
        return function(*arguments, **options)

    return call


def test_rows_that_were_not_recorded_any_more_name_what_they_did(tmp_path):
    writer = RecordWriter(tmp_path)
    old = finished(writer, put(writer, "a", NAMED))
    rows = by_key([*old, *put(writer, "b", [Entry("aaa/1.jpg", "aaa")], number=40)])
    pictures = [[writer.checksum(place) for place in row.places] for row in rows]
    ended = writer.finish(iter(rows))
    next(ended)
    ended.close()
    assert [[writer.checksum(place) for place in row.places] for row in rows] == pictures
    after = finished(writer, rows)
    assert [[writer.checksum(place) for place in row.places] for row in after] == pictures


def test_places_are_known_where_a_file_system_has_no_links(tmp_path, monkeypatch):
    def no_link(*paths):
        raise PermissionError

    monkeypatch.setattr(os, "link", no_link)
    writer = RecordWriter(tmp_path)
    old = finished(writer, put(writer, "a", NAMED))
    pictures = [[writer.checksum(place) for place in row.places] for row in old]
    new = finished(writer, [*old, *put(writer, "b", [Entry("aaa/1.jpg", "aaa")], number=40)])
    assert [[writer.checksum(place) for place in row.places] for row in new if row.identity != "aaa"] == pictures


# ---- files of others


@pytest.mark.parametrize("name", ["labels.txt", *FILES])
def test_a_file_that_no_run_wrote_is_neither_overwritten_nor_deleted(name, tmp_path):
    writer = RecordWriter(tmp_path)
    (tmp_path / name).write_text("mine")
    assert list(writer.in_the_way(["1"])) == [name]
    rows = put(writer, "a", NAMED)
    with pytest.raises(MaskgenError, match="in the way"):
        finished(writer, rows)
    writer.clear(rows)
    assert (tmp_path / name).read_text() == "mine"
    assert shown(tmp_path) == [name]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_somebody_put_in_the_place_of_ours_is_not_overwritten(name, tmp_path):
    writer = RecordWriter(tmp_path)
    rows = finished(writer, put(writer, "a", NAMED))
    assert list(writer.in_the_way(["1"])) == []
    (tmp_path / name).write_text("mine")
    assert list(writer.in_the_way(["1"])) == [name]
    with pytest.raises(MaskgenError, match="in the way"):
        finished(writer, rows)
    assert (tmp_path / name).read_text() == "mine"


def test_a_copy_of_the_output_goes_on(tmp_path):
    writer = RecordWriter(tmp_path / "out")
    rows = finished(writer, put(writer, "a", NAMED))
    (tmp_path / "copy").mkdir()
    for path in (tmp_path / "out").iterdir():
        (tmp_path / "copy" / path.name).write_bytes(path.read_bytes())
    copy = RecordWriter(tmp_path / "copy")
    assert list(copy.in_the_way([])) == []
    assert finished(copy, rows) == rows


def test_clearing_deletes_all_that_a_run_wrote(tmp_path):
    writer = RecordWriter(tmp_path)
    rows = finished(writer, put(writer, "a", NAMED))
    put(writer, "b", LABELLED)
    (tmp_path / "notes.txt").write_text("mine")
    writer.clear(rows)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


# ---- as a writer


def test_a_writer_is_small_and_what_a_killed_chunk_wrote_is_never_read(tmp_path):
    writer = pickle.loads(pickle.dumps(RecordWriter(tmp_path)))
    assert len(pickle.dumps(writer)) < 500
    with contextlib.suppress(KeyboardInterrupt), writer.part("a") as part:
        part.put(Sample(picture(0)), Meta(NAMED[0], 1))
        raise KeyboardInterrupt
    rows = put(writer, "b", LABELLED)
    assert len(list((tmp_path / parts.FOLDER).iterdir())) == 1
    finished(writer, rows)
    assert len(independent.read_as_insightface(tmp_path / "train.rec")) == 2 * len(LABELLED)
    assert not (tmp_path / parts.FOLDER).exists()
    assert writer.unsettled() == {}
    assert writer.clashes(lambda: ["a", "A"], lambda among: set()) == []
    assert writer.puts_together
