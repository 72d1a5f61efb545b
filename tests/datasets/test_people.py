"""People of every format: the same items, the same pictures, the same masked copies as in a folder."""

import dataclasses
import json
import os
import pickle
import shutil
from collections import Counter

import numpy as np
import people as made
import pytest
import recordio_files
import tarfiles
from fakes import mask, pixels, write_picture
from hypothesis import given
from hypothesis import strategies as st

from maskgen import manifest, run
from maskgen.datasets import recordio_ranges
from maskgen.datasets.base import Entry
from maskgen.datasets.dataset import open_people
from maskgen.datasets.listing import listed
from maskgen.datasets.recordio import RecordReader
from maskgen.datasets.texts import Lookup, Texts
from maskgen.errors import ConfigError, ImageError
from maskgen.files import stamp_of

MANY = ["recordio", "webdataset"]
ALL = [*MANY, "folder"]


@pytest.fixture
def crops(tmp_path):
    return made.folder_of_people(tmp_path / "in", 3, 3)


@pytest.fixture
def converted(job_of):
    def make(source, out_format, **settings):
        job = job_of(source, f"as_{out_format}", masks=False, out_format=out_format, **settings)
        mask(job)
        return job.target

    return make


def seen(found, items=None):
    """Who is on which picture, with its masked copies, as pixels."""
    return [
        (
            item.identity,
            found.read(item.original).tobytes(),
            tuple(found.read(copy).tobytes() for copy in item.masked),
        )
        for item in (found.items if items is None else items)
    ]


# ---- plain datasets


@pytest.mark.parametrize("out_format", MANY)
def test_people_of_a_dataset_are_those_of_the_folder_it_was_made_of(crops, converted, out_format):
    found, plain = open_people(converted(crops, out_format)), open_people(crops)
    assert seen(found) == seen(plain)
    assert sorted(found.identities) == ["person_00", "person_01", "person_02"]
    assert found.copies.tolist() == [0] * 9


@pytest.mark.parametrize("name", ["train.rec", "train.idx"])
def test_a_record_file_without_a_manifest_is_a_dataset_by_itself(crops, converted, tmp_path, name):
    folder = converted(crops, "recordio")
    plain = seen(open_people(folder))
    for left in ("manifest.jsonl", "run.json", "train.lst", "property"):
        (folder / left).unlink()
    assert seen(open_people(folder / name)) == plain
    (folder / "labels.txt").unlink()
    assert open_people(folder / name).identities == ("0", "1", "2")


def test_shards_can_be_given_as_one_file_or_as_a_pattern(crops, converted):
    folder = converted(crops, "webdataset", shard_size=4)
    assert len(open_people(folder / "shard-000001.tar").items) == 4
    assert len(open_people(folder / "shard-{000000..000001}.tar").items) == 8
    assert open_people(folder).starts.tolist() == [0, 4, 8]


def test_lines_of_metadata_say_who_is_on_a_picture(crops):
    lines = [{"file_name": "person_00/0.png", "identity": "ann"}, {"file_name": "person_02/1.png", "identity": "bob"}]
    lines.append({"file_name": "person_01/1.png"})
    (crops / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = open_people(crops)
    assert [(item.name, item.identity) for item in found.items] == [
        ("person_00/0.png", "ann"),
        ("person_02/1.png", "bob"),
    ]
    assert dict(found.left_out) == {"no_identity": 1}


def test_people_and_what_reads_them_can_be_sent_to_other_processes(crops, converted):
    for out_format in MANY:
        found = open_people(converted(crops, out_format))
        assert seen(pickle.loads(pickle.dumps(found))) == seen(found)
        assert all(len(item.original) < len(str(crops)) + 80 for item in found.items)


@pytest.mark.parametrize("name", ["100%.d", "a#b@1+2", "{1}"])
def test_odd_names_of_files_and_samples_are_read_back(tmp_path, converted, name):
    write_picture(tmp_path / "in" / name / f"{name}.png")
    write_picture(tmp_path / "in" / "bob" / "1.png")
    folder = converted(tmp_path / "in", "webdataset")
    moved = folder.rename(tmp_path / name)
    assert {item.identity for item in open_people(moved).items} == {name, "bob"}
    assert sorted(seen(open_people(moved))) == sorted(seen(open_people(tmp_path / "in")))


# ---- identities from the index


def made_records(tmp_path, labels=(0, 0, 1, 3, 3), name="train"):
    numbered = recordio_files.insightface([(label, b"picture") for label in labels])
    recordio_files.write(tmp_path / "rec", numbered, name)
    return numbered


def listed_by_reading(path):
    found = [one for chunk in RecordReader(path).chunks(7) for one in chunk]
    return [(one.key, one.identity, one.locator) for one in found if isinstance(one, Entry)]


def listed_by(path):
    found = listed(path)
    offsets = [int(place.rpartition("@")[2]) for place in found.places]
    names = [found.identities[who] for who in found.whose]
    return list(zip(found.names, names, offsets, strict=True))


def test_identities_are_counted_from_the_index_without_reading_the_records(tmp_path, monkeypatch):
    made_records(tmp_path, [label for label in range(100) for _ in range(5)])
    path = tmp_path / "rec" / "train.rec"
    expected = listed_by_reading(path)
    monkeypatch.setattr(RecordReader, "chunks", lambda self, size: pytest.fail("every record was read"))
    assert listed_by(path) == expected
    told = recordio_ranges.ranged(path)
    assert len(told.labels) == 100


@given(labels=st.lists(st.integers(0, 6), min_size=1, max_size=20).map(sorted))
def test_ranges_say_what_the_records_say(labels, tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranges")
    numbered = recordio_files.insightface([(label, b"picture") for label in labels])
    recordio_files.write(folder, numbered)
    assert recordio_ranges.ranged(folder / "train.rec") is not None
    assert listed_by(folder / "train.rec") == listed_by_reading(folder / "train.rec")


def test_labels_that_are_not_the_numbers_of_their_ranges_are_looked_up(tmp_path):
    numbered = made_records(tmp_path, [0, 0, 1, 2])
    changed = [
        (key, recordio_files.packed(10 * recordio_files.unpacked(payload).labels[0] + 7, b"x", key))
        if recordio_files.unpacked(payload).flag == 0
        else (key, payload)
        for key, payload in numbered
    ]
    recordio_files.write(tmp_path / "rec", changed)
    path = tmp_path / "rec" / "train.rec"
    assert recordio_ranges.ranged(path) is not None
    assert [who for _, who, _ in listed_by(path)] == ["7", "7", "17", "27"]


@pytest.mark.parametrize(
    "how",
    [
        "no ranges",
        "overlap",
        "too far",
        "a picture of nobody",
        "two people in one",
        "no index",
        "twice",
        "no such byte",
    ],
)
def test_ranges_that_do_not_fit_are_not_believed_and_the_records_are_read(tmp_path, how):
    numbered = made_records(tmp_path, [0, 0, 1, 1])
    ranges = {"overlap": [(1, 4), (3, 5)], "too far": [(1, 3), (3, 50)], "a picture of nobody": [(1, 3), (3, 4)]}
    ranges = ranges.get(how, [(1, 4), (4, 5)] if how == "two people in one" else [(1, 3), (3, 5)])
    pictures = numbered[:4]
    behind = [(5 + n, recordio_files.packed(0, b"", 5 + n, list(one))) for n, one in enumerate(ranges)]
    behind.append((0, recordio_files.packed(0, b"", 0, [5, 7])))
    recordio_files.write(tmp_path / "rec", pictures if how == "no ranges" else [*pictures, *behind])
    path = tmp_path / "rec" / "train.rec"
    index = path.with_suffix(".idx")
    lines = index.read_text().splitlines(keepends=True)
    if how == "no index":
        index.unlink()
    elif how == "twice":
        index.write_text("".join([*lines, lines[2]]))
    elif how == "no such byte":
        index.write_text("".join(["1\t99999999\n", *lines[1:]]))
    assert recordio_ranges.ranged(path) is None
    people_there = ["0", "0", "1", "1"] if how != "no such byte" else ["0", "1", "1"]
    assert [who for _, who, _ in listed_by(path)] == people_there


def test_bad_records_are_left_out_and_counted(tmp_path):
    numbered = made_records(tmp_path)
    numbered[1] = (2, recordio_files.packed(0.5, b"x", 2))
    recordio_files.write(tmp_path / "rec", numbered[:5])  # im2rec's layout: no ranges
    found = open_people(tmp_path / "rec")
    assert len(found.items) == 4
    assert dict(found.left_out) == {"bad_label": 1}


# ---- outputs of augment


@pytest.mark.parametrize("variants", [1, 2])
@pytest.mark.parametrize("out_format", MANY)
def test_masked_copies_belong_to_their_originals_in_every_format(crops, job_of, out_format, variants):
    settings = {"originals": True, "variants": variants, "aligned": True}
    plain = job_of(crops, "plain", **settings)
    many = job_of(crops, "many", out_format=out_format, **settings)
    for job in (plain, many):
        mask(job)
    found, expected = open_people(many.target), open_people(plain.target)
    assert seen(found) == seen(expected)
    assert found.copies.tolist() == [variants] * 9
    assert [item.name for item in found.items] == [item.name for item in expected.items]
    assert np.allclose(found.keypoints, expected.keypoints, equal_nan=True)
    assert (found.is_aligned, found.aligned_by) == (True, "run")


def test_the_record_file_of_an_output_is_the_output(crops, job_of):
    job = job_of(crops, originals=True, out_format="recordio", aligned=True)
    mask(job)
    assert seen(open_people(job.target / "train.rec")) == seen(open_people(job.target))


def test_some_shards_of_an_output_are_refused_because_nothing_in_them_tells_what_is_masked(crops, job_of):
    job = job_of(crops, originals=True, out_format="webdataset", aligned=True)
    mask(job)
    with pytest.raises(ConfigError, match=r"shard-000000\.tar: augment wrote it.*; give the folder"):
        open_people(job.target / "shard-000000.tar")


@pytest.mark.parametrize("source_format", ALL)
@pytest.mark.parametrize("out_format", MANY)
def test_originals_are_found_in_what_augment_read_whatever_its_format(
    crops, job_of, converted, source_format, out_format
):
    source = converted(crops, source_format)
    job = job_of(source, out_format=out_format, aligned=True)
    mask(job)
    found = seen(open_people(job.target))
    assert [who for who, _, _ in found] == [f"person_{n // 3:02d}" for n in range(9)]
    assert [one[1] for one in found] == [one[1] for one in seen(open_people(crops))]
    assert [len(one[2]) for one in found] == [1] * 9
    shutil.move(source, source.with_name("elsewhere"))
    with pytest.raises(ConfigError, match=r"has none of the originals of 9 pictures in .*, such as .*; set original"):
        open_people(job.target)
    assert seen(open_people(job.target, source.with_name("elsewhere"))) == found


SKIPPED = ("ann/2.png", "bob/2.png")
SOME_SKIPPED = {"ann/1.png": "face", "ann/2.png": "back_of_head", "ann/3.png": "face", "ann/4.png": "no_face"}
SOME_SKIPPED |= {"bob/1.png": "face", "bob/2.png": "back_of_head", "bob/3.png": "face"}
EVERYBODY = [name for name, kind in SOME_SKIPPED.items() if kind != "no_face"]


@pytest.fixture
def small_pictures(tmp_path):
    """Of whom two can wear no mask, and one has no face."""
    for number, (name, kind) in enumerate(SOME_SKIPPED.items()):
        made._write(tmp_path / "in" / name, pixels(kind, (112, 112), number))
    return tmp_path / "in"


@pytest.fixture
def some_skipped(tmp_path, job_of):
    """Makes an output of photographs of the same."""
    for name, kind in SOME_SKIPPED.items():
        write_picture(tmp_path / "in" / name, kind)

    def make(out_format, name="out", **settings):
        job = job_of(tmp_path / "in", name, out_format=out_format, **settings)
        mask(job)
        return job.target

    return make


@pytest.mark.parametrize("out_format", ALL)
def test_crops_whose_originals_nobody_wrote_are_left_out_and_counted_and_the_others_are_learnt(
    some_skipped, out_format
):
    found = open_people(some_skipped(out_format, align=112, originals=True))
    assert [item.name for item in found.items] == ["ann/1.png", "ann/3.png", "bob/1.png", "bob/3.png"]
    assert all(found.read(item.original).shape == (112, 112, 3) for item in found.items)
    assert found.copies.tolist() == [1, 1, 1, 1]
    assert dict(found.left_out) == {"no_face": 1, "no_original": len(SKIPPED)}
    assert (found.starts is None) == (out_format == "folder"), "files of many pictures are read in their order"


@pytest.mark.parametrize("out_format", ALL)
def test_skipped_pictures_that_were_copied_are_learnt(some_skipped, out_format):
    found = open_people(some_skipped(out_format, align=112, originals=True, copy_skipped=True))
    assert list(found.names) == EVERYBODY
    assert [item.name for item in found.items if not item.masked] == list(SKIPPED)


@pytest.mark.parametrize("source_format", ALL)
@pytest.mark.parametrize("out_format", ALL)
def test_skipped_pictures_are_learnt_from_what_augment_read_and_left_out_where_that_is_gone(
    small_pictures, converted, job_of, source_format, out_format
):
    source = converted(small_pictures, source_format)
    job = job_of(source, out_format=out_format, aligned=True, originals=True)
    mask(job)
    found = open_people(job.target)
    assert Counter(found.copies.tolist()) == {1: 4, 0: 2}
    learnt, there = ({one[:2] for one in seen(which)} for which in (found, open_people(source)))
    assert learnt < there
    assert (len(learnt), len(there)) == (6, 7)
    is_packed = "folder" not in (source_format, out_format)
    assert (found.starts is not None) == is_packed, "files of many pictures are read in their order"
    shutil.move(source, source.with_name("elsewhere"))
    fewer = open_people(job.target)
    assert fewer.copies.tolist() == [1] * 4
    assert fewer.left_out["no_original"] == 2
    assert len(open_people(job.target, source.with_name("elsewhere")).items) == 6


def test_files_that_somebody_deleted_are_left_out_and_counted(some_skipped):
    target = some_skipped("folder", align=112, originals=True, variants=2)
    (target / "ann/1.png").unlink()
    (target / "ann/3_m2.png").unlink()
    found = open_people(target)
    assert [(item.name, len(item.masked)) for item in found.items] == [
        ("ann/3.png", 1),
        ("bob/1.png", 2),
        ("bob/3.png", 2),
    ]
    assert dict(found.left_out) == {"no_face": 1, "no_original": 2, "lost": 2}


def test_crops_are_not_learnt_beside_originals_that_are_photographs(some_skipped, tmp_path):
    target = some_skipped("folder", align=112)
    with pytest.raises(ConfigError, match=r"crops of masked people without their originals; make them with originals"):
        open_people(target)
    with pytest.raises(ConfigError, match=r"in: photographs, and the masked copies in .* are crops; set original to"):
        open_people(target, tmp_path / "in")
    crops = some_skipped("folder", "crops", masks=False, align=112)
    assert [len(item.masked) for item in open_people(target, crops).items] == [1, 0, 1, 1, 0, 1]


@pytest.mark.parametrize("out_format", MANY)
def test_pictures_that_are_lost_are_left_out_and_counted(crops, job_of, out_format):
    job = job_of(crops, originals=True, out_format=out_format, aligned=True)
    mask(job)
    rows = list(manifest.read(job.target / "manifest.jsonl"))
    other = {"recordio": "train.rec#999", "webdataset": "shard-000000.tar#gone.png"}[out_format]
    first = rows[0].model_copy(update={"original": rows[0].original.model_copy(update={"place": other})})
    copy = rows[1].variants[0].model_copy(update={"place": other})
    manifest.replace(
        job.target / "manifest.jsonl", [first, rows[1].model_copy(update={"variants": (copy,)}), *rows[2:]]
    )
    found = open_people(job.target)
    assert len(found.items) == 8
    assert found.copies.tolist() == [0] + [1] * 7
    assert dict(found.left_out) == {"lost": 2}


@pytest.mark.parametrize("out_format", MANY)
def test_an_output_whose_run_was_stopped_is_refused(crops, job_of, out_format):
    job = job_of(crops, originals=True, out_format=out_format, aligned=True)

    def stop(progress):
        raise KeyboardInterrupt

    mask(dataclasses.replace(job, execution=run.Execution(workers=1, limit=2)))
    assert len(open_people(job.target).items) == 2
    with pytest.raises(KeyboardInterrupt):
        mask(job, stop)
    with pytest.raises(ConfigError, match="the run that wrote it has not ended; run the same again"):
        open_people(job.target)
    mask(job)
    assert len(open_people(job.target).items) == 9


# ---- aligned or not


def test_pictures_are_aligned_if_all_that_are_looked_at_have_112_pixels(crops, tmp_path):
    assert (open_people(crops).is_aligned, open_people(crops).aligned_by) == (True, "sizes")
    assert not open_people(crops, aligned=False).is_aligned
    write_picture(crops / "person_00" / "large.png")
    assert not open_people(crops).is_aligned
    assert open_people(crops, aligned=True).aligned_by == "settings"


def test_pictures_of_which_none_can_be_read_are_not_taken_for_aligned(crops):
    for path in crops.rglob("*.png"):
        path.write_bytes(b"")
    assert not open_people(crops).is_aligned


# ---- reading


def test_files_of_many_pictures_are_opened_once_per_process(crops, converted, monkeypatch):
    for out_format in MANY:
        found = open_people(converted(crops, out_format))
        found.read(found.items[0].original)
        opened = os.open
        with monkeypatch.context() as patched:
            patched.setattr(os, "open", lambda *args, **options: pytest.fail(f"opened again: {args}"))
            for item in found.items:
                found.read(item.original)
        assert os.open is opened


def test_a_shard_that_was_replaced_is_opened_again(crops, converted, tmp_path):
    folder = converted(crops, "webdataset")
    found = open_people(folder)
    first = found.read(found.items[0].original)
    shard = folder / "shard-000000.tar"
    raw = bytearray(shard.read_bytes())
    raw[:] = bytes(len(raw))
    before = stamp_of(shard)
    (tmp_path / "new").write_bytes(raw)
    os.replace(tmp_path / "new", shard)
    assert stamp_of(shard) != before
    with pytest.raises(ImageError, match=r"shard-000000\.tar#person_00/0\.png"):
        found.read(found.items[0].original)
    assert first.shape == (112, 112, 3)


@given(st.lists(st.text()))
def test_texts_hold_what_they_are_given(texts):
    held = Texts(texts)
    assert list(held) == texts
    assert all(number in Lookup(held).find(text) for number, text in enumerate(texts))


def test_a_text_that_is_not_there_is_not_found():
    assert Lookup(Texts(["a", "b", "a"])).find("a") == [0, 2]
    assert Lookup(Texts(["a"])).find("c") == Lookup(Texts()).find("c") == []


# ---- faults


@pytest.mark.parametrize("out_format", MANY)
def test_a_dataset_that_says_of_nobody_who_it_is_is_refused_with_the_reasons(tmp_path, out_format):
    if out_format == "webdataset":
        path = tarfiles.packed(tmp_path / "a.tar", [("1.png", b"x"), ("2.png", b"x"), ("3.txt", b"x")])
        match = r"a\.tar: no picture of which it says who is on it: no_identity 2, not_an_image 1"
    else:
        recordio_files.write(tmp_path, [(1, recordio_files.packed(0.5, b"x"))])
        path, match = tmp_path, "no picture of which it says who is on it: bad_label 1"
    with pytest.raises(ConfigError, match=match):
        open_people(path)


def test_a_dataset_without_a_manifest_has_no_originals_elsewhere(crops, converted, tmp_path):
    folder = converted(crops, "recordio")
    (folder / "manifest.jsonl").unlink()
    with pytest.raises(ConfigError, match=r"no manifest lies there, .*; leave out original"):
        open_people(folder, crops)


def test_labels_that_are_called_alike_are_one_person(tmp_path):
    made_records(tmp_path, [0, 0, 1, 2])
    (tmp_path / "rec" / "labels.txt").write_text("0\tann\n1\tbob\n2\tann\n")
    found = open_people(tmp_path / "rec")
    assert [item.identity for item in found.items] == ["ann", "ann", "bob", "ann"]
    assert sorted(found.identities) == ["ann", "bob"]


def test_an_output_whose_index_is_gone_is_refused(crops, job_of):
    job = job_of(crops, originals=True, out_format="recordio", aligned=True)
    mask(job)
    (job.target / "train.idx").unlink()
    with pytest.raises(ConfigError, match=r"train\.idx: not there; run augment again"):
        open_people(job.target)


def test_crops_and_faces_of_an_output_are_as_in_a_folder(tmp_path, job_of):
    for name in ("ann/1.png", "ann/2.png", "bob/3.png"):
        write_picture(tmp_path / "in" / name)
    settings = {"align": 112, "originals": True, "save_landmarks": True}
    for out_format in MANY:
        job = job_of(tmp_path / "in", out_format, out_format=out_format, **settings)
        mask(job)
        found = open_people(job.target)
        assert (found.is_aligned, found.keypoints, found.faces) == (True, None, {})
        assert [len(item.masked) for item in found.items] == [1, 1, 1]
    shards = job_of(tmp_path / "in", "plain", out_format="webdataset", originals=True, save_landmarks=True)
    mask(shards)
    found = open_people(shards.target)
    assert not found.is_aligned
    assert all(np.allclose(item.face.keypoints, item.keypoints) for item in found.items)


def test_an_output_with_metadata_has_the_people_that_its_lines_name(crops, job_of):
    lines = [{"file_name": made.name(who, 0), "identity": f"p{who}"} for who in range(3)]
    (crops / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = job_of(crops, originals=True, aligned=True)
    mask(job)
    found = open_people(job.target)
    assert [item.identity for item in found.items] == ["p0", "p1", "p2"]
    assert found.copies.tolist() == [1, 1, 1]
    assert len(seen(found)) == 3


def test_a_masked_verification_set_is_nobody_to_learn_from(crops, job_of, tmp_path):
    listed_pairs = tmp_path / "pairs.txt"
    listed_pairs.write_text("person_00/0.png person_00/1.png 1\nperson_00/0.png person_01/0.png 0\n")
    job = job_of(listed_pairs, "bins", masks=False)
    mask(dataclasses.replace(job, root=crops))
    out = job_of(tmp_path / "bins" / "pairs.bin", "masked", aligned=True)
    mask(out)
    for path in (tmp_path / "bins" / "pairs.bin", out.target, out.target / "pairs.bin"):
        with pytest.raises(ConfigError):
            open_people(path)
