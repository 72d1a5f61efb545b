"""What is saved beside masked pictures."""

import json
import tarfile

import cv2
import numpy as np
import pytest
from fakes import write_picture

from maskgen import manifest, run
from maskgen.catalog.schema import WEARS
from maskgen.errors import ConfigError
from maskgen.run.coco import write_coco
from maskgen.run.merge import join


def rows_of(folder):
    return {row.key: row for row in manifest.read(folder / "manifest.jsonl")}


@pytest.fixture
def source(tmp_path):
    for name in ("ann/1.png", "bob/2.png"):
        write_picture(tmp_path / "in" / name)
    write_picture(tmp_path / "in" / "ann" / "3.png", "no_face")
    return tmp_path / "in"


def grey(raw):
    return cv2.imdecode(np.frombuffer(raw, np.uint8), cv2.IMREAD_UNCHANGED)


def pixels(path):
    return cv2.imread(str(path)).astype(int)


def test_alpha_is_what_of_the_picture_changed(job_of, source, tmp_path):
    run.run(job_of(source, save=("alpha",)))
    (variant,) = rows_of(tmp_path / "out")["ann/1.png"].variants
    alpha = grey((tmp_path / "out" / variant.extras.alpha).read_bytes())
    changed = np.abs(pixels(tmp_path / "out" / variant.place) - pixels(source / "ann/1.png")).max(axis=2)
    assert alpha.shape == changed.shape
    assert alpha.max() == 255
    assert (changed[alpha > 128] > 0).mean() > 0.98
    # Beyond the mask lies only its shadow, which is close to it.
    reach = cv2.dilate((alpha > 0).astype(np.uint8), np.ones((25, 25), np.uint8))
    assert not changed[reach == 0].any()


def test_what_is_saved_lies_where_no_reader_of_folders_looks(job_of, source, tmp_path):
    run.run(job_of(source, save=("alpha", "visible")))
    out = tmp_path / "out"
    row = rows_of(out)["bob/2.png"]
    for place in (row.variants[0].extras.alpha, row.variants[0].extras.visible):
        assert (out / place).is_file()
    again = job_of(out, "again")
    run.run(again)
    done = {key for key, row in rows_of(tmp_path / "again").items() if row.status == "done"}
    assert done == {"ann/1.png", "bob/2.png"}


def test_a_run_without_save_saves_nothing(job_of, source, tmp_path):
    run.run(job_of(source))
    assert not (tmp_path / "out" / ".extras").exists()
    assert rows_of(tmp_path / "out")["ann/1.png"].variants[0].extras is None


def test_starting_anew_deletes_what_was_saved(job_of, source, tmp_path):
    run.run(job_of(source, save=("alpha",)))
    assert (tmp_path / "out" / ".extras").exists()
    run.run(job_of(source, execution={"existing": "overwrite"}))
    assert not (tmp_path / "out" / ".extras").exists()


@pytest.mark.parametrize("checksum", [False, True])
def test_what_was_saved_and_is_gone_is_made_again_with_its_picture(checksum, job_of, source, tmp_path):
    run.run(job_of(source, save=("alpha", "visible")))
    rows = rows_of(tmp_path / "out")
    gone, kept = (tmp_path / "out" / rows[key].variants[0].extras.visible for key in ("ann/1.png", "bob/2.png"))
    before, unchanged = gone.read_bytes(), kept.stat().st_mtime_ns
    gone.unlink()
    run.run(job_of(source, save=("alpha", "visible"), execution={"checksum": checksum}))
    assert gone.read_bytes() == before
    assert kept.stat().st_mtime_ns == unchanged
    assert rows_of(tmp_path / "out") == rows


def test_shards_hold_alpha_as_a_member_of_the_sample(job_of, source, tmp_path):
    run.run(job_of(source, save=("alpha", "visible"), out_format="webdataset"))
    row = rows_of(tmp_path / "out")["ann/1.png"]
    shard, member = row.variants[0].extras.alpha.split("#")
    with tarfile.open(tmp_path / "out" / shard) as tar:
        alpha = grey(tar.extractfile(member).read())
        picture = cv2.imdecode(
            np.frombuffer(tar.extractfile(row.variants[0].place.split("#")[1]).read(), np.uint8), cv2.IMREAD_COLOR
        )
    assert alpha.shape == picture.shape[:2]
    assert alpha.max() == 255
    before = (tmp_path / "out" / shard).read_bytes()
    run.run(job_of(source, save=("alpha", "visible"), out_format="webdataset"))
    assert (tmp_path / "out" / shard).read_bytes() == before
    assert rows_of(tmp_path / "out")["ann/1.png"] == row


def test_the_alpha_of_an_aligned_crop_is_cropped_too(job_of, source, tmp_path):
    run.run(job_of(source, save=("alpha",), align=112))
    (variant,) = rows_of(tmp_path / "out")["ann/1.png"].variants
    alpha = grey((tmp_path / "out" / variant.extras.alpha).read_bytes())
    assert alpha.shape == (112, 112)
    assert alpha.max() == 255


@pytest.mark.parametrize("target", ["out.bin", "train.rec"])
@pytest.mark.parametrize("name", ["alpha", "visible"])
def test_formats_without_room_beside_a_picture_refuse(job_of, source, target, name):
    with pytest.raises(ConfigError, match=f"no room beside its pictures for {name}"):
        run.run(job_of(source, target, save=(name,), align=112, faces="central"))


def test_save_landmarks_is_what_it_was_before(job_of, source, tmp_path):
    settings = run.AugmentSettings(save_landmarks=True)
    assert settings == run.AugmentSettings(save=("landmarks",))
    assert run.AugmentSettings(save_landmarks=False) == run.AugmentSettings()
    run.run(job_of(source, save=("landmarks",)))
    assert rows_of(tmp_path / "out")["ann/1.png"].faces[0].landmarks is not None


def test_the_same_alpha_whatever_the_workers(job_of, source, tmp_path, hash_of_tree):
    for workers in (1, 2):
        run.run(job_of(source, f"out{workers}", execution={"workers": workers}, save=("alpha", "visible")))
    one, two = (hash_of_tree(tmp_path / f"out{workers}" / ".extras") for workers in (1, 2))
    assert one == two


def test_coco_has_box_and_pixels_of_each_mask_and_a_category_per_wear(job_of, tmp_path):
    write_picture(tmp_path / "in" / "two.png", "two_faces")
    run.run(job_of(tmp_path / "in", save=("alpha",), faces="all", wear={"nose_out": 1.0}))
    out = tmp_path / "out"
    assert write_coco(out) == (1, 2)
    content = json.loads((out / "coco.json").read_text())
    assert [category["name"] for category in content["categories"]] == list(WEARS)
    (picture,) = content["images"]
    (variant,) = rows_of(out)["two.png"].variants
    alpha = grey((out / variant.extras.alpha).read_bytes())
    assert (picture["file_name"], picture["height"], picture["width"]) == ("two.png", *alpha.shape)
    together = np.zeros(alpha.shape, int)
    for mask in content["annotations"]:
        assert content["categories"][mask["category_id"] - 1]["name"] == "nose_out"
        counts = mask["segmentation"]["counts"]
        assert mask["segmentation"]["size"] == list(alpha.shape)
        assert sum(counts) == alpha.size
        flat = np.repeat(np.arange(len(counts)) % 2, counts)
        region = flat.reshape(alpha.shape, order="F")
        assert region.sum() == mask["area"] > 0
        left, top, width, height = mask["bbox"]
        assert region[top : top + height, left : left + width].sum() == mask["area"]
        assert region[:, left].any()
        assert region[top].any()
        together += region
    assert np.array_equal(together > 0, alpha >= 128)
    assert together.max() == 1


def test_coco_says_what_it_lacks(job_of, source, tmp_path):
    with pytest.raises(ConfigError, match=r"no manifest.jsonl"):
        write_coco(source)
    run.run(job_of(source))
    with pytest.raises(ConfigError, match="saved no alpha"):
        write_coco(tmp_path / "out")


@pytest.mark.parametrize("out_format", ["folder", "webdataset"])
def test_outputs_that_are_joined_keep_what_was_saved(job_of, tmp_path, out_format):
    for part, name in (("a", "ann/1.png"), ("b", "bob/2.png")):
        write_picture(tmp_path / part / name)
        run.run(job_of(tmp_path / part, f"out-{part}", save=("alpha",), out_format=out_format))
    join([tmp_path / "out-a", tmp_path / "out-b"], tmp_path / "both")
    for key, part in (("ann/1.png", "a"), ("bob/2.png", "b")):
        (one,) = rows_of(tmp_path / f"out-{part}")[key].variants
        (joined,) = rows_of(tmp_path / "both")[key].variants
        assert saved_at(tmp_path / "both", joined.extras.alpha) == saved_at(tmp_path / f"out-{part}", one.extras.alpha)


def saved_at(folder, place):
    shard, _, member = place.partition("#")
    if not member:
        return (folder / place).read_bytes()
    with tarfile.open(folder / shard) as tar:
        return tar.extractfile(member).read()
