"""Any format in, any format out: who is on a picture survives every way, and a run can be resumed in each."""

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
    assert {row.identity for row in rows_of(again).values()} == {"ann", "bob", "zoë q"}


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
    assert run.prepare(job).settled == 4


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
