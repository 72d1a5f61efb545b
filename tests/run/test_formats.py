"""Any format in, any format out: who is on a picture survives every way, and a run can be resumed in each."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
from fakes import COLOURS, mask, pixels
from PIL import Image

from maskgen import images, manifest, run
from maskgen.datasets import parts
from maskgen.datasets.base import Entry
from maskgen.datasets.dataset import open_people
from maskgen.datasets.open import format_of_path, open_reader
from maskgen.errors import ConfigError
from maskgen.run.inspect import inspect
from maskgen.run.stats import stats_of

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
    assert len(open_people(out).items) == 4


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


# ---- what a RecordIO says of itself


@pytest.fixture
def records(crops, job_of):
    return converted(job_of, crops, "records", "recordio")


@pytest.mark.parametrize(
    ("said", "told", "faults"),
    [
        ("3,112,112\n", (3, 112, 112), []),
        ("3,112,112", (3, 112, 112), []),
        ("1,9,9\r\n3, 112, 112 \n", (3, 112, 112), []),
        ("3,112,112\nnames: a, b, c\n", (3, 112, 112), []),
        (
            "2,112,112\n",
            (2, 112, 112),
            [
                "property: 2 identities, and 3 have a range of records",
                "property: 2 identities, and a picture has label 2",
            ],
        ),
        ("85742,112,112", (85742, 112, 112), ["property: 85,742 identities, and 3 have a range of records"]),
        ("3,112,96\n", (3, 112, 96), ["property: pictures of 96 x 112 pixels, and some have another size"]),
        ("", None, ["property: no line of it has the form IDENTITIES,HEIGHT,WIDTH"]),
        ("many,112,112", None, ["property: no line of it has the form IDENTITIES,HEIGHT,WIDTH"]),
        ("-3,112,112", None, ["property: no line of it has the form IDENTITIES,HEIGHT,WIDTH"]),
        ("99999999,112,112", None, ["property: 99,999,999 identities, and there can be 16,777,216"]),
        ("\xff" * 70_000, None, ["property: cannot be read: 70,000 bytes, more than 65,536"]),
    ],
)
def test_what_property_says_is_told_and_compared_with_the_records(records, said, told, faults):
    (records / "property").write_bytes(said.encode("latin-1"))
    found = inspect(records)
    assert (found.told and dataclasses.astuple(found.told)) == told
    assert list(found.faults) == faults


def test_a_dataset_that_has_no_property_says_nothing(records, crops):
    (records / "property").unlink()
    assert (inspect(records).told, inspect(records).faults, inspect(crops).told) == (None, (), None)


def test_records_without_ranges_are_compared_by_their_labels_alone(records):
    lines = (records / "train.idx").read_text().splitlines()
    (records / "train.idx").write_text("".join(f"{line}\n" for line in lines[:4]))
    (records / "property").write_text("7,112,112")
    assert not [fault for fault in inspect(records).faults if fault.startswith("property")]


def test_a_run_from_records_to_records_keeps_how_many_identities_there_are_and_tells_the_size_it_writes(
    records, job_of, tmp_path
):
    (records / "property").write_text("9,96,80")
    for target in ("again", "file/train.rec"):
        job = job_of(records, target)
        mask(job)
        folder = job.target.parent if target.endswith("rec") else job.target
        assert (folder / "property").read_text() == "9,112,112\n"
        assert inspect(folder).faults == ()
        assert {
            row.label for row in rows_of(folder if folder == job.target else folder / "train.rec.maskgen").values()
        } == {
            0,
            1,
            2,
        }
        assert mask(job).progress.taken == 0
    (records / "property").write_text("nothing")
    job = job_of(records, "other")
    mask(job)
    assert (job.target / "property").read_text() == "3,112,112\n"


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


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
def test_a_set_that_was_made_in_two_runs_is_that_of_one(pairs, job_of, tmp_path, limit):
    source = converted_pairs(job_of, pairs)
    mask(job_of(source, "whole"))
    mask(job_of(source, "parts", execution={"limit": limit}))
    mask(job_of(source, "parts"))
    whole, in_two = (tmp_path / name / "pairs.bin" for name in ("whole", "parts"))
    assert in_two.read_bytes() == whole.read_bytes()
    assert rows_of(in_two.parent) == rows_of(whole.parent)
    assert mask(job_of(source, "parts")).progress.taken == 0


def test_a_half_that_was_lost_is_made_again_and_its_pair_is_whole_again(pairs, job_of, monkeypatch):
    source = converted_pairs(job_of, pairs)
    job = job_of(source)
    with monkeypatch.context() as patch:
        part_of = parts.Parts.read
        patch.setattr(parts.Parts, "read", lambda self, place: part_of(self, place.replace("#0", "#5")))
        mask(job)
    before = rows_of(job.target)
    assert {row.reason for row in before.values()} >= {"lost", "pair_incomplete"}
    mask(job)
    mask(job_of(source, "whole"))
    assert rows_of(job.target) == rows_of(job.target.with_name("whole"))


@pytest.mark.parametrize("options", [{"variants": 2}, {"originals": True}, {"faces": "all"}])
def test_what_a_verification_set_cannot_hold_is_refused_before_anything_is_written(pairs, job_of, tmp_path, options):
    converted_pairs(job_of, pairs)
    with pytest.raises(ConfigError, match="a verification set holds"):
        mask(job_of(tmp_path / "bins" / "pairs.bin", "out", **options))
    assert not (tmp_path / "out").exists()


# ---- an output called by the name of its file, in a folder of other things


@pytest.fixture
def full(tmp_path):
    """A folder that is full of other things."""
    for name in ("notes.txt", "manifest.jsonl", "run.json", ".maskgen.files", "other.bin", "data.idx", "a/b.jpg"):
        path = tmp_path / "full" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "full"


FILES_OF = {
    "masked.bin": {"masked.bin"},
    "train.rec": {"train.rec", "train.idx", "train.lst", "property", "labels.txt"},
}


@pytest.fixture(params=FILES_OF)
def job_into(request, crops, pairs, full, job_of):
    """A job of that name in some folder."""
    source = converted_pairs(job_of, pairs) if request.param == "masked.bin" else crops

    def job(folder=full, name=request.param, **options):
        options = {"in_format": "bin" if name.endswith(".bin") else "folder", **options}
        return job_of(source, folder / name, **options)

    return job


def test_an_output_that_is_a_file_leaves_all_else_in_its_folder_alone(job_into, full):
    before = {path: path.read_bytes() for path in full.rglob("*") if path.is_file()}
    job = job_into()
    names = {path.name for path in full.iterdir()}
    mask(job)
    made = FILES_OF[job.target.name]
    home = f"{job.target.name}.maskgen"
    assert {path.name for path in full.iterdir()} == {*names, *made, home}
    assert {path: path.read_bytes() for path in before} == before
    left = {"manifest.jsonl", "run.json", ".maskgen.lock", ".maskgen.door", ".maskgen.stamps", ".maskgen.files"}
    assert {path.name for path in (full / home).iterdir()} - {".maskgen.source"} == left
    places = [place for row in rows_of(full / home).values() for place in row.places]
    assert places
    assert {place.partition("#")[0] for place in places} == {job.target.name}


def test_an_output_that_is_a_file_is_resumed_and_begun_anew_and_counted_under_its_name(
    job_into, full, tmp_path, hash_of_tree
):
    whole = job_into(tmp_path / "whole")
    mask(whole)
    mask(job_into(execution={"limit": 3}))
    mask(job_into())
    assert mask(job_into()).progress.taken == 0
    for name in FILES_OF[whole.target.name]:
        assert (full / name).read_bytes() == (whole.target.parent / name).read_bytes()
    with pytest.raises(ConfigError, match="made with other settings"):
        mask(job_into(seed=9))
    before = hash_of_tree(full, without=("run.json",))
    assert mask(job_into(execution={"existing": "overwrite"})).progress.taken > 0
    assert hash_of_tree(full, without=("run.json",)) == before
    assert stats_of([whole.target]) == stats_of([whole.target.with_name(f"{whole.target.name}.maskgen")])
    assert inspect(whole.target).pictures == stats_of([whole.target]).pictures + sum(
        row.original is not None for row in rows_of(whole.target.with_name(f"{whole.target.name}.maskgen")).values()
    )


def test_what_is_lost_of_an_output_that_is_a_file_is_made_again(job_into, full, hash_of_tree):
    mask(job_into())
    before = hash_of_tree(full, without=("run.json",))
    job_into().target.unlink()
    assert mask(job_into()).progress.taken > 0
    assert hash_of_tree(full, without=("run.json",)) == before


def test_verification_sets_in_one_folder_do_not_disturb_each_other(pairs, job_of, full, tmp_path):
    source = converted_pairs(job_of, pairs)
    jobs = [job_of(source, full / f"{side}.bin", mask_side=side) for side in ("first", "second", "both")]
    for job in (*jobs, *jobs):
        mask(job)
    assert [mask(job).progress.taken for job in jobs] == [0, 0, 0]
    for job in jobs:
        alone = job_of(source, tmp_path / "alone" / job.target.name, mask_side=job.settings.mask_side)
        mask(alone)
        assert job.target.read_bytes() == alone.target.read_bytes()
    assert len({job.target.read_bytes() for job in jobs}) == 3


@pytest.mark.parametrize("existing", ["auto", "overwrite"])
@pytest.mark.parametrize("kind", ["file", "link", "dangling"])
def test_a_file_of_another_in_the_place_of_the_output_is_refused_before_anything_is_written(
    job_into, full, existing, kind, hash_of_tree
):
    target = job_into().target
    if kind == "file":
        target.write_bytes(b"mine")
    else:
        target.symlink_to(full / ("other.bin" if kind == "link" else "nowhere"))
    before = hash_of_tree(full)
    with pytest.raises(ConfigError, match="in the way, and no run of maskgen wrote it"):
        mask(job_into(execution={"existing": existing}))
    assert hash_of_tree(full) == before
    assert not target.with_name(f"{target.name}.maskgen").exists()


def test_any_file_of_a_recordio_that_belongs_to_another_is_refused(crops, job_of, full):
    (full / "property").write_text("2,112,112")
    with pytest.raises(ConfigError, match="property: in the way"):
        mask(job_of(crops, full / "train.rec"))


def test_a_folder_that_is_called_as_a_file_gets_the_set(pairs, job_of, tmp_path):
    source = converted_pairs(job_of, pairs)
    (tmp_path / "lfw.bin").mkdir()
    mask(job_of(source, "lfw.bin"))
    assert (tmp_path / "lfw.bin" / "pairs.bin").is_file()
    assert (tmp_path / "lfw.bin" / "manifest.jsonl").is_file()


@pytest.mark.parametrize(("name", "called"), [("x.rec", "train.rec"), ("train.idx", "train.rec"), ("x.tar", "shard-0")])
def test_a_file_that_the_format_does_not_have_is_refused_with_what_it_has(crops, job_of, tmp_path, name, called):
    with pytest.raises(ConfigError, match=f"is called {called}") as caught:
        mask(job_of(crops, tmp_path / name))
    assert caught.value.remedy
    assert not (tmp_path / name).exists()


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
