"""Any format in, any format out: who is on a picture survives every way, and a run can be resumed in each."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
from fakes import COLOURS, mask, pixels
from PIL import Image

from maskgen import images, manifest, run
from maskgen.datasets import people
from maskgen.datasets.base import Entry
from maskgen.datasets.open import format_of_path, open_reader
from maskgen.errors import ConfigError

MANY = ["recordio", "webdataset"]


def rows_of(folder):
    return {row.key: row for row in manifest.read(folder / "manifest.jsonl")}


def pictures_of(path):
    """(identity, pixels) of all pictures of a dataset, sorted."""
    reader = open_reader(path, None)
    found = [one for chunk in reader.chunks(7) for one in chunk if isinstance(one, Entry)]
    decoded = [(one.identity, images.decode(reader.read(one).raw, path / one.key).pixels.tobytes()) for one in found]
    return sorted(decoded, key=lambda pair: (str(pair[0]), pair[1]))


@pytest.fixture
def crops(tmp_path):
    """Crops of 112x112 of three people."""
    for number, name in enumerate(("ann/1.png", "ann/2.png", "bob/3.png", "zoë q/4.png")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image = pixels(size_wh=(112, 112), detail=number)
        image[60 + number, :50] = COLOURS["no_face"]
        Image.fromarray(image).save(path)
    return tmp_path / "in"


def converted(job_of, source, target, out_format):
    job = job_of(source, target, masks=False, out_format=out_format)
    mask(job)
    return job.target


@pytest.mark.parametrize("second", ["folder", *MANY])
@pytest.mark.parametrize("first", MANY)
def test_pictures_and_who_is_on_them_survive_every_way(crops, job_of, first, second):
    there = converted(job_of, crops, "first", first)
    assert format_of_path(there) == first
    again = converted(job_of, there, "second", second)
    assert pictures_of(again) == pictures_of(there) == pictures_of(crops)
    assert {row.identity for row in rows_of(again).values() if row.status == "done"} == {"ann", "bob", "zoë q"}


@pytest.mark.parametrize("out_format", MANY)
def test_masked_pictures_lie_beside_their_originals_and_the_manifest_tells_them_apart(crops, job_of, out_format):
    plain = job_of(crops, "plain", originals=True, variants=2)
    many = job_of(crops, "many", originals=True, variants=2, out_format=out_format)
    mask(plain)
    mask(many)
    assert pictures_of(many.target) == pictures_of(plain.target)
    rows, plain_rows = rows_of(many.target), rows_of(plain.target)
    assert rows.keys() == plain_rows.keys()
    for key, row in rows.items():
        assert [variant.masks for variant in row.variants] == [variant.masks for variant in plain_rows[key].variants]
        assert len(set(row.places)) == 3
        assert not any("part" in place for place in row.places)


@pytest.mark.parametrize("out_format", MANY)
def test_a_run_into_many_pictures_per_file_resumes_and_comes_to_the_same_bytes(crops, job_of, hash_of_tree, out_format):
    whole = job_of(crops, "whole", originals=True, out_format=out_format)
    mask(whole)
    job = job_of(crops, "parts", originals=True, out_format=out_format)
    mask(job_of(crops, "parts", originals=True, out_format=out_format, execution={"limit": 2}))

    def stop(progress):
        if progress.taken == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mask(job, stop)
    mask(job)
    assert hash_of_tree(job.target, without=("run.json",)) == hash_of_tree(whole.target, without=("run.json",))
    assert mask(job).progress.taken == 0
    assert run.prepare(job).count().settled == 4


@pytest.mark.parametrize("out_format", MANY)
def test_an_input_that_has_changed_is_made_anew_in_its_place(crops, job_of, hash_of_tree, out_format):
    job = job_of(crops, out_format=out_format)
    mask(job)
    image = pixels(size_wh=(112, 112), detail=4)
    image[90, :20] = 0
    Image.fromarray(image).save(crops / "bob" / "3.png")
    assert mask(job).progress.taken == 1
    fresh = job_of(crops, "fresh", out_format=out_format)
    mask(fresh)
    assert hash_of_tree(job.target) == hash_of_tree(fresh.target)


@pytest.mark.parametrize("out_format", MANY)
def test_overwriting_with_other_settings_leaves_what_a_fresh_run_would(crops, job_of, hash_of_tree, out_format):
    mask(job_of(crops, originals=True, out_format=out_format))
    job = job_of(crops, seed=5, out_format=out_format, execution={"existing": "overwrite"})
    mask(job)
    fresh = job_of(crops, "fresh", seed=5, out_format=out_format)
    mask(fresh)
    assert hash_of_tree(job.target) == hash_of_tree(fresh.target)


def test_pictures_that_are_no_crops_go_into_no_record_and_the_remedy_is_named(tree, job_of):
    job = job_of(tree, out_format="recordio")
    mask(job)
    row = rows_of(job.target)["ann/1.jpg"]
    assert (row.status, row.remedy) == ("failed", "use align=112")


def test_a_name_that_no_folder_can_have_is_written_another_way_and_no_two_people_meet(crops, job_of, tmp_path):
    records = converted(job_of, crops, "records", "recordio")
    names = ["../up", "a/b", ".hidden"]
    (records / "labels.txt").write_text("".join(f"{label}\t{name}\n" for label, name in enumerate(names)))
    out = converted(job_of, records, "folder", "folder")
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["%2E.%2Fup", "%2Ehidden", "a%2Fb"]
    assert len(people.open_people(out).items) == 4


def test_a_folder_with_two_sets_of_records_is_asked_about(crops, job_of, tmp_path):
    records = converted(job_of, crops, "records", "recordio")
    (records / "train.rec").rename(records / "a.rec")
    (records / "b.rec").write_bytes((records / "a.rec").read_bytes())
    with pytest.raises(ConfigError, match=r"several files could be meant, a\.rec, b\.rec"):
        open_reader(records, None)
    (records / "b.rec").unlink()
    (records / "train.idx").rename(records / "a.idx")
    assert len(pictures_of(records)) == 4
    assert pictures_of(records / "a.rec") == pictures_of(records / "a.idx")
    assert np.frombuffer(pictures_of(records)[0][1], np.uint8).size == 112 * 112 * 3


# ---- verification sets


@pytest.fixture
def pairs(tmp_path):
    """Three pairs of crops as a .bin; nobody is seen on one half of the last."""
    names = ["a/1.png", "a/2.png", "b/1.png", "b/2.png", "c/1.png", "d/1.png"]
    for number, name in enumerate(names):
        path = tmp_path / "lfw" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        kind = "no_face" if name == "d/1.png" else "face"
        Image.fromarray(pixels(kind, (112, 112), detail=number)).save(path)
    lines = ["a/1.png a/2.png 1", "b/1.png b/2.png 1", "a/1.png b/1.png 0", "c/1.png d/1.png 0"]
    (tmp_path / "pairs.txt").write_text("\n".join(lines) + "\n")
    return tmp_path / "pairs.txt"


def read_pickle(path):
    """As everybody reads such a file."""
    with path.open("rb") as file:
        return pickle.load(file, encoding="bytes")


def converted_pairs(job_of, pairs):
    job = job_of(pairs, "bins", masks=False)
    job = dataclasses.replace(job, root=pairs.parent / "lfw")
    mask(job)
    return job.target / "pairs.bin"


def test_a_list_of_pairs_becomes_a_verification_set_that_everybody_reads(pairs, job_of):
    pictures, is_same = read_pickle(converted_pairs(job_of, pairs))
    # Fold after fold, each with both kinds of pairs.
    assert list(is_same) == [True, False, True, False]
    names = {(pairs.parent / "lfw" / name).read_bytes(): name for name in ("a/1.png", "a/2.png", "b/1.png", "b/2.png")}
    assert [names.get(picture) for picture in pictures[:6]] == [
        *("a/1.png", "a/2.png"),
        *("a/1.png", "b/1.png"),
        *("b/1.png", "b/2.png"),
    ]


@pytest.mark.parametrize(("side", "masked"), [("second", [1, 3]), ("first", [0, 2, 4]), ("both", [0, 1, 2, 3])])
def test_halves_are_masked_as_asked_and_incomplete_pairs_left_out(pairs, job_of, tmp_path, side, masked):
    before, _ = read_pickle(converted_pairs(job_of, pairs))
    job = job_of(tmp_path / "bins" / "pairs.bin", "out", mask_side=side)
    summary = mask(job)
    after, is_same = read_pickle(job.target / "pairs.bin")
    kept = 3 if side != "first" else 4
    assert (len(after), len(is_same)) == (2 * kept, kept)
    changed = [number for number in range(len(after)) if after[number] != before[number]]
    assert set(changed) >= set(masked)
    if side == "second":
        assert changed == [1, 3, 5]
        assert summary.counts.reasons["not_selected"] == 3
        assert summary.counts.reasons["pair_incomplete"] == 1
    assert mask(job).progress.taken == 0


@pytest.mark.parametrize("options", [{"variants": 2}, {"originals": True}, {"faces": "all"}])
def test_what_a_verification_set_cannot_hold_is_refused_before_anything_is_written(pairs, job_of, tmp_path, options):
    converted_pairs(job_of, pairs)
    with pytest.raises(ConfigError, match="a verification set holds"):
        mask(job_of(tmp_path / "bins" / "pairs.bin", "out", **options))
    assert not (tmp_path / "out").exists()


# ---- folders with metadata.jsonl


def test_lines_of_metadata_go_with_all_pictures_that_come_of_theirs(crops, job_of):
    lines = [{"file_name": "ann/1.png", "age": 30}, {"file_name": "bob/3.png", "identity": "robert"}]
    (crops / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    job = job_of(crops, originals=True)
    mask(job)
    written = [json.loads(line) for line in (job.target / "metadata.jsonl").read_text().splitlines()]
    assert {line["file_name"] for line in written} == {
        "ann/1.png",
        "ann/1_m1.png",
        "bob/3.png",
        "bob/3_m1.png",
    }
    assert [line["age"] for line in written if "age" in line] == [30, 30]
    assert rows_of(job.target)["bob/3.png"].identity == "robert"
