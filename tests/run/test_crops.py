"""Aligned crops in the place of whole pictures, and whom they show."""

import numpy as np
import pytest
from click.testing import CliRunner
from fakes import FakeDetector, FakeDetectors, mask, pixels, write_picture
from PIL import Image

from maskgen import images, manifest, run
from maskgen.cli.augment import augment
from maskgen.face.align import ARCFACE_KEYPOINTS, aligned_crop
from maskgen.masking.recipe import Recipe, central


def rows_of(folder):
    return {row.key: row for row in manifest.read(folder / "manifest.jsonl")}


@pytest.fixture
def source(tmp_path):
    write_picture(tmp_path / "in" / "ann" / "1.png")
    write_picture(tmp_path / "in" / "ann" / "2.png", "two_faces")
    write_picture(tmp_path / "in" / "bob" / "3.png", "no_face")
    write_picture(tmp_path / "in" / "bob" / "4.png", "back_of_head")
    return tmp_path / "in"


def test_crops_are_cut_after_masking_by_the_matrix_in_the_row(source, job_of):
    whole, crops = job_of(source, "whole", faces="central"), job_of(source, "crops", align=112)
    mask(whole)
    mask(crops)
    for key, row in rows_of(crops.target).items():
        if row.status != "done":
            continue
        assert row.crop.size_wh == (112, 112)
        matrix = np.array(row.crop.matrix, np.float32)
        expected = aligned_crop(images.read(whole.target / key).pixels, matrix)
        apart = np.abs(images.read(crops.target / key).pixels.astype(int) - expected)
        # The row's matrix is rounded, and OpenCV takes places in steps of 1/32 pixel: one is up to 8 levels at an edge.
        assert apart.max() <= 8
        assert apart.mean() < 0.05
        # Points lie in the upright picture; the matrix takes them where ArcFace wants them.
        points = np.array(row.faces[0].keypoints, np.float32)
        mapped = points @ matrix[:, :2].T + matrix[:, 2]
        if key == "ann/1.png":
            assert np.abs(mapped - ARCFACE_KEYPOINTS).max() < 6
    assert all(row.crop is None for row in rows_of(whole.target).values())


def test_originals_are_cropped_alike_and_whom_nobody_sees_is_left_out(source, job_of):
    job = job_of(source, align=112, originals=True, copy_skipped=True)
    mask(job)
    rows = rows_of(job.target)
    assert rows["ann/1.png"].places == ("ann/1.png", "ann/1_m1.png")
    original = images.read(job.target / "ann/1.png").pixels
    assert original.shape == (112, 112, 3)
    matrix = np.array(rows["ann/1.png"].crop.matrix, np.float32)
    # The row has the matrix to six digits.
    expected = aligned_crop(images.read(source / "ann/1.png").pixels, matrix)
    assert np.abs(original.astype(int) - expected).max() <= 2
    assert (rows["bob/3.png"].reason, rows["bob/3.png"].places) == ("no_face", ())
    assert (rows["bob/4.png"].reason, rows["bob/4.png"].places) == ("no_view_for_pose", ("bob/4.png",))


def test_the_central_face_is_the_one_that_insightface_takes(tmp_path):
    faces = FakeDetector().detect(pixels("two_faces"))
    assert central(faces, (200, 200)) == 0
    # The smaller face lies at 0.75 of the width: in a picture that goes on to the right it is in the middle.
    assert central(faces, (330, 200)) == 1
    assert Recipe("central").left_alone(faces, (330, 200)) == ["not_central", None]
    assert Recipe("largest").left_alone(faces, (330, 200)) == [None, "not_largest"]
    assert Recipe("all").left_alone(faces, (330, 200)) == [None, None]
    assert central([], (10, 10)) == 0


def test_the_central_face_is_masked_and_the_reason_is_its_own(tmp_path, job_of):
    wide = np.zeros((200, 330, 3), np.uint8)
    wide[:] = pixels("two_faces")[150, 150]
    (tmp_path / "in").mkdir()
    Image.fromarray(wide).save(tmp_path / "in" / "1.png")

    job = job_of(tmp_path / "in", faces="central", min_face=1000)
    mask(job)
    assert rows_of(job.target)["1.png"].reason == "too_small"


def test_a_crop_shows_one_face(tmp_path, source):
    with pytest.raises(ValueError, match="faces cannot be all"):
        run.AugmentSettings(align=112, faces="all")
    with pytest.raises(ValueError, match="crops already"):
        run.AugmentSettings(align=112, aligned=True)
    assert run.AugmentSettings(align=112).faces == "central"
    result = CliRunner().invoke(augment, [str(source), str(tmp_path / "out"), "--align", "112", "--faces", "all"])
    assert result.exit_code == 2
    assert "align takes one face per picture" in result.stderr
    assert FakeDetectors().build().detect(pixels("no_face")) == []
