"""The one listing of folders: what is a picture, what is none, and what no data are."""

import inspect
import json
import os
import pickle
import sys
import tracemalloc

import numpy as np
import pytest
from fakes import mask, pixels, write_picture
from PIL import Image

from maskgen import manifest
from maskgen.datasets.base import Entry, Fault, Meta, Sample
from maskgen.datasets.dataset import open_people
from maskgen.datasets.folder import FolderReader, identity_of
from maskgen.datasets.folder_writer import FolderWriter
from maskgen.errors import ConfigError, ImageError


def entries(root):
    return [found.key for found in FolderReader(root).listed if isinstance(found, Entry)]


def faults(root):
    return {found.key: found.reason for found in FolderReader(root).listed if isinstance(found, Fault)}


NO_DATA = [
    "._1.png",
    ".hidden/1.png",
    "__MACOSX/1.png",
    "ann/@eaDir/1.png",
    "ann/.ipynb_checkpoints/1.png",
    "Thumbs.db",
]


def test_what_programs_leave_beside_data_is_left_out_and_counted(tmp_path):
    write_picture(tmp_path / "ann" / "1.png")
    write_picture(tmp_path / "ann" / ".2.png")
    folders = [".hidden", "__MACOSX", "ann/@eaDir", "ann/.ipynb_checkpoints"]
    for name in folders:
        write_picture(tmp_path / name / "1.png")
    files = ["._1.png", "Thumbs.db"]
    for name in files:
        (tmp_path / name).write_bytes(b"x")
    assert entries(tmp_path) == ["ann/.2.png", "ann/1.png"]
    assert faults(tmp_path) == dict.fromkeys([*folders, *files], "no_data")


def test_a_root_that_is_itself_hidden_is_listed(tmp_path):
    write_picture(tmp_path / ".cache" / "ann" / "1.png")
    assert entries(tmp_path / ".cache") == ["ann/1.png"]


def test_linked_folders_are_followed_and_loops_are_named(tmp_path):
    write_picture(tmp_path / "elsewhere" / "bob" / "1.png")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "bob").symlink_to(tmp_path / "elsewhere" / "bob")
    (tmp_path / "in" / "again").symlink_to(tmp_path / "in")
    assert entries(tmp_path / "in") == ["bob/1.png"]
    assert faults(tmp_path / "in") == {"again": "folder_loop"}


def test_folders_that_link_to_each_other_are_listed_once_each(tmp_path):
    names = [f"f{number}" for number in range(9)]
    for name in names:
        write_picture(tmp_path / name / "1.png")
    for name in names:
        for other in names:
            if other != name:
                (tmp_path / name / f"to_{other}").symlink_to(tmp_path / other)
    assert entries(tmp_path) == [f"{name}/1.png" for name in names]
    assert len(faults(tmp_path)) == 9 * 8
    assert set(faults(tmp_path).values()) == {"folder_twice"}


def test_a_folder_comes_before_the_links_to_it_and_a_link_before_a_later_one(tmp_path):
    write_picture(tmp_path / "in" / "z" / "1.png")
    write_picture(tmp_path / "elsewhere" / "2.png")
    (tmp_path / "in" / "a").symlink_to(tmp_path / "in" / "z")
    for name in ("c", "b"):
        (tmp_path / "in" / name).symlink_to(tmp_path / "elsewhere")
    assert entries(tmp_path / "in") == ["b/2.png", "z/1.png"]
    assert faults(tmp_path / "in") == {"a": "folder_twice", "c": "folder_twice"}


def test_folders_may_lie_deeper_than_python_calls_functions(tmp_path):
    deep = tmp_path.joinpath(*"d" * 150)
    write_picture(deep / "1.png")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack()) + 60)
    try:
        found = entries(tmp_path)
    finally:
        sys.setrecursionlimit(limit)
    assert found == ["/".join([*"d" * 150, "1.png"])]


def test_the_list_does_not_depend_on_the_order_of_the_file_system(tmp_path):
    for name in ("b/2.png", "a/1.png", "c.png", "a/0.png"):
        write_picture(tmp_path / name)
    reader = FolderReader(tmp_path)
    assert [found.key for chunk in reader.chunks(3) for found in chunk] == ["a/0.png", "a/1.png", "b/2.png", "c.png"]
    assert reader.count() == 4
    assert [found.identity for found in reader.listed] == ["a", "a", "b", None]


def test_a_reader_that_is_sent_to_a_worker_takes_no_list_with_it(tmp_path):
    for number in range(300):
        (tmp_path / f"{number}.png").touch()
    reader = FolderReader(tmp_path)
    assert reader.count() == 300
    assert len(pickle.dumps(reader)) < 500
    write_picture(tmp_path / "1.png")
    assert pickle.loads(pickle.dumps(reader)).read(Entry("1.png")).raw == (tmp_path / "1.png").read_bytes()


def test_a_picture_that_is_gone_is_an_error_with_its_key(tmp_path):
    with pytest.raises(ImageError, match=r"^ann/1\.png: cannot be read"):
        FolderReader(tmp_path).read(Entry("ann/1.png"))


def test_a_flat_list_leaves_folders_out(tmp_path):
    write_picture(tmp_path / "a.png")
    write_picture(tmp_path / "b" / "c.png")
    assert [found.key for found in FolderReader(tmp_path, is_deep=False).listed] == ["a.png"]


def test_the_identity_is_the_first_folder_on_the_way():
    assert [identity_of(key) for key in ("ann/1.jpg", "ann/x/1.jpg", "1.jpg")] == ["ann", "ann", None]


def test_a_listing_takes_little_more_memory_than_its_names(tmp_path):
    for folder in range(20):
        (tmp_path / f"person_{folder}").mkdir()
        for number in range(500):
            (tmp_path / f"person_{folder}" / f"{number:010d}.jpg").touch()
    reader = FolderReader(tmp_path)
    tracemalloc.start()
    try:
        assert reader.count() == 10_000
        held = tracemalloc.get_traced_memory()[0]
        assert sum(1 for chunk in reader.chunks(16) for _ in chunk) == 10_000
    finally:
        tracemalloc.stop()
    # 14 letters and a separator; an object per entry would take 200 bytes.
    assert held < 40 * 10_000


def test_folders_whose_names_escape_to_one_name_are_told_apart(tmp_path):
    for name in (b"x\xff", b"x\\udcff"):
        folder = os.path.join(os.fsencode(tmp_path), name)
        os.mkdir(folder)
        with open(os.path.join(folder, b"1.png"), "wb"):
            pass
    found = {one.key: getattr(one, "reason", None) for one in FolderReader(tmp_path).listed}
    assert found == {"x\\udcff/1.png": None, "x\\udcff (2)/1.png": "bad_name"}


# ---- writing


def test_nothing_is_written_through_a_link_that_leads_out(tmp_path):
    outside, out = tmp_path / "outside", tmp_path / "out"
    outside.mkdir()
    out.mkdir()
    (out / "ann").symlink_to(outside)
    writer = FolderWriter(out)
    with pytest.raises(ConfigError, match="leads out of the output folder"), writer.part("x") as part:
        part.put(Sample(b"data"), Meta(Entry("ann/1.png"), 1))
    assert not list(outside.iterdir())


def test_a_name_that_is_too_long_is_an_error_of_its_picture_that_names_no_folder(tmp_path):
    key = "x" * 300 + ".jpg"
    with pytest.raises(ImageError, match=rf"^{key}: cannot be written"), FolderWriter(tmp_path).part("x") as part:
        part.put(Sample(b"data"), Meta(Entry(key), 1))


# ---- people


@pytest.mark.parametrize("no_data", [".ipynb_checkpoints", "@eaDir", "__MACOSX"])
def test_no_program_becomes_a_person(tmp_path, no_data):
    for who in ("ann", "bob", no_data):
        write_picture(tmp_path / who / "1.png")
    found = open_people(tmp_path)
    assert sorted(item.identity for item in found.items) == ["ann", "bob"]
    assert dict(found.left_out) == {"no_data": 1}


def test_linked_identities_are_people(tmp_path):
    write_picture(tmp_path / "elsewhere" / "1.png")
    write_picture(tmp_path / "data" / "ann" / "1.png")
    (tmp_path / "data" / "bob").symlink_to(tmp_path / "elsewhere")
    assert [item.identity for item in open_people(tmp_path / "data").items] == ["ann", "bob"]


@pytest.mark.parametrize("parts", [("train", "val"), ("Training", "Test"), ("part1", "part2"), ("images",)])
def test_parts_of_a_dataset_are_not_taken_for_people_and_the_likely_root_is_named(tmp_path, parts):
    for part in parts:
        for person in range(12 if part == parts[0] else 10):
            write_picture(tmp_path / part / f"person{person}" / "1.png")
    with pytest.raises(ConfigError, match=rf"two folders deep.*likely {tmp_path / parts[0]}") as caught:
        open_people(tmp_path)
    assert caught.value.remedy


def test_a_single_folder_around_a_few_people_is_not_taken_for_a_person(tmp_path):
    for person in range(3):
        write_picture(tmp_path / "faces" / f"person{person}" / "1.png")
    with pytest.raises(ConfigError, match=rf"likely {tmp_path / 'faces'}"):
        open_people(tmp_path)
    write_picture(tmp_path / "more" / "person0" / "1.png")
    assert {item.identity for item in open_people(tmp_path).items} == {"faces", "more"}


def test_people_whose_pictures_lie_in_folders_of_their_own_are_people(tmp_path):
    for person in range(4):
        for video in range(3):
            write_picture(tmp_path / f"person{person}" / f"video{video}" / "1.png")
    assert len(open_people(tmp_path).items) == 12


def test_a_folder_that_is_missing_holds_no_people(tmp_path):
    with pytest.raises(ConfigError, match="no such file or folder"):
        open_people(tmp_path / "nowhere")


def test_parts_of_a_dataset_are_not_taken_for_people_after_they_were_masked_either(tmp_path, job_of):
    for part in ("train", "val"):
        for number in range(3):
            write_picture(tmp_path / "in" / part / f"p{number}" / "1.png")
    job = job_of(tmp_path / "in", originals=True)
    mask(job)
    with pytest.raises(ConfigError, match="train"):
        open_people(job.target)


@pytest.mark.parametrize(
    "line",
    [
        *('["a.jpg", null]', '[1, "1-1"]', '["a.jpg"]', '["a.jpg", "1-1", "x"]', '{"a.jpg": "1-1"}', '"a.jpg"', "null"),
        *('["a\\u0000.jpg", "1-1"]', '["\\ud800.jpg", "1-1"]', '["../a.jpg", "1-1"]', "[" * 100_000),
        f'["{"x" * 5000}.jpg", "1-1"]',
    ],
    ids=lambda line: line[:20],
)
def test_a_line_of_a_journal_that_names_no_file_of_the_folder_is_passed_over(line, tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"ours")
    writer = FolderWriter(tmp_path)
    whole = json.dumps(["b.jpg", writer.stamp("b.jpg"), "b.jpg"])
    (tmp_path / ".maskgen-0.journal").write_text(f"{line}\n{whole}\n")
    assert writer.unsettled() == {"b.jpg": "b.jpg"}


def test_a_name_that_no_file_can_have_is_discarded_like_one_that_is_not_there(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b.jpg").write_bytes(b"ours")
    FolderWriter(tmp_path).discard(["x" * 5000, f"a/{'y' * 300}.jpg", "b.jpg/c.jpg", "b.jpg"])
    assert not (tmp_path / "b.jpg").exists()
    assert FolderWriter(tmp_path).stamp("x" * 5000) is None


def test_people_of_crops_and_of_copies_are_those_of_the_pictures(tmp_path, job_of):
    for name in ("ann/1.png", "ann/2.png", "bob/3.png"):
        write_picture(tmp_path / "in" / name)
    crops, bare = (
        job_of(tmp_path / "in", "crops", align=112, originals=True),
        job_of(tmp_path / "in", "bare", align=112),
    )
    copies = job_of(tmp_path / "in", "copies", masks=False)
    for job in (crops, bare, copies):
        mask(job)
    found = open_people(crops.target)
    assert (found.is_aligned, [item.identity for item in found.items]) == (True, ["ann", "ann", "bob"])
    assert all(item.keypoints is None and len(item.masked) == 1 for item in found.items)
    assert all(found.read(key).shape == (112, 112, 3) for item in found.items for key in (item.original, *item.masked))
    with pytest.raises(ConfigError, match="without their originals"):
        open_people(bare.target)
    found = open_people(copies.target)
    assert (found.is_aligned, len(found.items)) == (False, 3)


def test_the_face_of_a_person_is_the_central_one_where_that_was_masked(tmp_path, job_of):
    (tmp_path / "in" / "ann").mkdir(parents=True)
    wide = np.zeros((200, 1400, 3), np.uint8)
    wide[:] = pixels("two_faces")[150, 150]
    Image.fromarray(wide).save(tmp_path / "in" / "ann" / "1.png")
    for chosen in ("central", "largest"):
        job = job_of(tmp_path / "in", chosen, faces=chosen)
        mask(job)
        (row,) = manifest.read(job.target / "manifest.jsonl")
        (item,) = open_people(job.target).items
        masked = [number for number, face in enumerate(row.variants[0].masks) if face.design is not None]
        assert np.allclose(item.keypoints, row.faces[masked[0]].keypoints)
        assert len(item.masked) == 1
