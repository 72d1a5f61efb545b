"""A manifest survives a round trip, a kill, and a second writer's order."""

import json
import os
from pathlib import PurePosixPath

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from maskgen import linelog, manifest
from maskgen.errors import ConfigError
from maskgen.face import Face, HeadPose
from maskgen.manifest import Counts, FaceRow, MaskRow, PoseRow, Row, RunFile, Tally, VariantRow, Written

numbers = st.floats(-1e6, 1e6).map(lambda x: round(x, 2))
words = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=12)
paths = st.lists(words.filter(lambda word: word not in (".", "..") and "/" not in word), min_size=1, max_size=3).map(
    "/".join
)
faces = st.builds(
    FaceRow,
    bbox=st.tuples(numbers, numbers, numbers, numbers),
    score=st.floats(0, 1),
    pose=st.builds(PoseRow, yaw=numbers, pitch=numbers, roll=numbers),
    keypoints=st.tuples(*[st.tuples(numbers, numbers)] * 5),
    landmarks=st.none() | st.lists(st.tuples(numbers, numbers), max_size=3).map(tuple),
)
variants = st.builds(
    VariantRow,
    place=st.none() | paths,
    seed=st.integers(0, 2**128 - 1).map("{:032x}".format),
    masks=st.lists(st.builds(MaskRow, design=st.none() | words, view=st.none() | words), max_size=2).map(tuple),
)
rows = st.builds(
    Row,
    key=paths,
    identity=st.none() | words,
    label=st.none() | st.integers(0, 9),
    status=st.sampled_from(["done", "skipped", "failed"]),
    reason=st.none() | words,
    message=st.none() | words,
    remedy=st.none() | words,
    faces=st.lists(faces, max_size=2).map(tuple),
    variants=st.lists(variants, max_size=2).map(tuple),
    original=st.none() | st.builds(Written, place=paths),
)


def write(path, some_rows):
    with linelog.Log(path) as log:
        for row in some_rows:
            log.append(row.model_dump_json())
    return path


def run_file(**changes):
    fields = {
        "maskgen": "0",
        "state": "complete",
        "source": "in",
        "settings": {"seed": 1},
        "pack_sha256": "a",
        "catalog_sha256": "b",
        "versions": {},
        "counts": Counts(inputs=1, done=1),
    }
    return RunFile(**(fields | changes))


@given(st.lists(rows, max_size=5))
def test_rows_survive_a_round_trip(tmp_path_factory, some_rows):
    path = tmp_path_factory.mktemp("round") / "manifest.jsonl"
    assert list(manifest.read(write(path, some_rows))) == some_rows


@given(st.lists(rows, max_size=6, unique_by=lambda row: row.key), st.randoms())
def test_a_sorted_manifest_does_not_depend_on_who_finished_first(tmp_path_factory, some_rows, random):
    folder = tmp_path_factory.mktemp("order")
    shuffled = random.sample(some_rows, len(some_rows))
    one, other = write(folder / "one", some_rows), write(folder / "other", shuffled)
    assert manifest.sort(one) == manifest.sort(other)
    assert one.read_bytes() == other.read_bytes()
    assert [row.key for row in manifest.read(one)] == sorted(row.key for row in some_rows)
    assert sorted(path.name for path in folder.iterdir()) == ["one", "other"]


def test_a_later_row_of_a_path_supersedes_the_earlier(tmp_path):
    path = write(
        tmp_path / "m", [Row(key="a", status="failed"), Row(key="b", status="done"), Row(key="a", status="done")]
    )
    counts = manifest.sort(path)
    assert [(row.key, row.status) for row in manifest.read(path)] == [("a", "done"), ("b", "done")]
    assert (counts.inputs, counts.done, counts.failed) == (2, 2, 0)


@given(torn=st.integers(1, 150))
def test_a_torn_last_line_is_passed_over_and_cut_off_before_the_next(tmp_path_factory, torn):
    path = write(tmp_path_factory.mktemp("torn") / "m", [Row(key="a", status="done"), Row(key="b", status="done")])
    raw = path.read_bytes()
    path.write_bytes(raw[: -min(torn, len(raw) // 2)])
    assert [row.key for row in manifest.read(path)] == ["a"]
    write(path, [Row(key="c", status="done")])
    assert [row.key for row in manifest.read(path)] == ["a", "c"]


def test_a_torn_line_longer_than_a_block_is_cut_off_whole(tmp_path):
    path = tmp_path / "m"
    write(path, [Row(key="a", status="done")])
    with path.open("ab") as file:
        file.write(b'{"path":"' + b"x" * 10_000)
    write(path, [])
    assert [row.key for row in manifest.read(path)] == ["a"]
    path.write_bytes(b"x" * 10_000)
    write(path, [])
    assert path.read_bytes() == b""


def test_a_line_that_is_no_row_is_named(tmp_path):
    path = write(tmp_path / "m", [Row(key="a", status="done")])
    with path.open("ab") as file:
        file.write(b'{"schema_version":2,"key":"b","status":"vanished"}\n')
    with pytest.raises(ConfigError, match=r"m, line 2: not a row of a manifest: status: "):
        list(manifest.read(path))


def test_a_missing_manifest_is_named(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the manifest"):
        list(manifest.read(tmp_path / "m"))


@pytest.mark.parametrize("file", ["../x.jpg", "/x.jpg", "a/../../x.jpg", ""])
def test_a_row_cannot_name_files_outside_its_folder(file):
    with pytest.raises(ValidationError):
        Row(key="a", status="done", original=Written(place=file))
    with pytest.raises(ValidationError):
        VariantRow(place=file, seed="0" * 32, masks=())


def test_unknown_keys_are_refused():
    with pytest.raises(ValidationError):
        Row.model_validate({"path": "a", "status": "done", "colour": "red"})


def test_counts_add_up(tmp_path):
    masked = VariantRow(place="a_m1.jpg", seed="0" * 32, masks=(MaskRow(design="red"), MaskRow(reason="too_small")))
    bare = VariantRow(place=None, seed="0" * 32, masks=(MaskRow(reason="no_view_for_pose"),))
    face = FaceRow(bbox=(0, 0, 1, 1), score=1, pose=PoseRow(yaw=0, pitch=0, roll=0), keypoints=((0, 0),) * 5)
    path = write(
        tmp_path / "m",
        [
            Row(key="a", status="done", faces=(face, face), variants=(masked, masked), original=Written(place="a")),
            Row(key="b", status="skipped", reason="no_view_for_pose", faces=(face,), variants=(bare,)),
            Row(key="c", status="failed", reason="bad_image", message="empty"),
        ],
    )
    assert manifest.sort(path) == Counts(
        inputs=3,
        done=1,
        skipped=1,
        failed=1,
        reasons={"bad_image": 1, "no_view_for_pose": 1},
        faces=3,
        masked=2,
        files=3,
    )


@given(some_rows=st.lists(rows, max_size=6, unique_by=lambda row: row.key), cut=st.integers(0, 6))
def test_counts_of_parts_add_up_to_those_of_the_whole(tmp_path_factory, some_rows, cut):
    path = tmp_path_factory.mktemp("log") / "manifest.jsonl"
    write(path, some_rows)
    whole, parts = Tally(), (Tally(), Tally())
    for number, row in enumerate(some_rows):
        parts[number >= cut].add(row)
    for part in parts:
        whole.join(part)
    assert whole.counts == manifest.sort(path)


def test_counts_that_are_not_of_all_rows_are_not_taken(tmp_path):
    path = tmp_path / "manifest.jsonl"
    write(path, [Row(key="a", status="done"), Row(key="a", status="failed")])
    assert manifest.sort(path, counts=Counts(inputs=2, done=1, failed=1)) == Counts(inputs=1, failed=1)


def test_a_run_file_survives_a_round_trip(tmp_path):
    manifest.write_run(tmp_path / "run.json", run_file(source="ü"))
    assert manifest.read_run(tmp_path / "run.json") == run_file(source="ü")


def test_a_run_file_of_another_schema_is_refused(tmp_path):
    path = tmp_path / "run.json"
    path.write_text(json.dumps(run_file().model_dump(mode="json") | {"schema_version": 1}))
    with pytest.raises(ConfigError, match=r"schema_version.*another version of maskgen"):
        manifest.read_run(path)


@pytest.mark.skipif(os.name == "nt", reason="no pipes there")
@pytest.mark.parametrize("make", [lambda path: path.mkdir(), os.mkfifo, lambda path: path.symlink_to(path.name)])
def test_a_record_that_is_no_file_is_one_clear_line_and_not_waited_for(tmp_path, make):
    make(tmp_path / "run.json")
    with pytest.raises(ConfigError, match=r"run\.json: cannot be read: ") as refused:
        manifest.read_run(tmp_path / "run.json")
    assert len(str(refused.value).splitlines()) == 1


def test_a_manifest_that_is_a_folder_is_one_clear_line(tmp_path):
    (tmp_path / "manifest.jsonl").mkdir()
    with pytest.raises(ConfigError, match=r"manifest\.jsonl: cannot read the manifest: "):
        list(manifest.read(tmp_path / "manifest.jsonl"))


def test_a_huge_record_is_not_read(tmp_path):
    with (tmp_path / "run.json").open("wb") as file:
        file.truncate(2**30)
    with pytest.raises(ConfigError, match="bytes, more than"):
        manifest.read_run(tmp_path / "run.json")


@pytest.mark.parametrize("place", ["", ".", "/a.jpg", "../a.jpg", "a/../../b.jpg", "a\0.jpg", "\ud800.jpg"])
def test_a_place_that_is_no_file_in_the_manifests_folder_is_refused(place):
    with pytest.raises(ValueError, match=r"manifest's folder|no name that a file|surrogates"):
        manifest.inside(place)


@given(st.lists(st.sampled_from(["", ".", "..", "a", "b.jpg", "..a"]), min_size=1, max_size=5).map("/".join))
def test_a_place_lies_in_the_folder_if_its_path_says_so(place):
    path = PurePosixPath(place)
    if path.is_absolute() or ".." in path.parts or not path.parts:
        with pytest.raises(ValueError, match="manifest's folder"):
            manifest.inside(place)
    else:
        assert manifest.inside(place) == place


def test_numbers_of_a_face_are_rounded_to_hundredths_whatever_they_are_stored_as():
    points = np.random.default_rng(0).uniform(-50, 400, (68, 3)).astype(np.float32)
    face = Face(points[:2, :2].ravel(), points[:5, :2], points, HeadPose(1.234, -5.678, 0.001), 0.98765)
    row = manifest.face_row(face, with_landmarks=True)
    assert row.landmarks == tuple(tuple(round(float(value), 2) for value in point) for point in points)
    assert row.keypoints == tuple(tuple(round(float(value), 2) for value in point) for point in points[:5, :2])
    assert FaceRow.model_validate_json(row.model_dump_json()) == row


@given(st.lists(st.none() | st.text(), max_size=4))
def test_a_line_of_words_is_what_json_writes(some):
    assert linelog.line_of(some) == json.dumps(some)
    assert linelog.words(linelog.line_of(some).encode()) == some


def test_lines_that_are_added_at_once_stand_as_if_they_came_one_by_one(tmp_path):
    for name, batches in (("at_once", [["a", "b"], [], ["c"]]), ("one_by_one", [["a"], ["b"], ["c"]])):
        with linelog.Log(tmp_path / name) as log:
            for lines in batches:
                log.append(*lines)
    assert (tmp_path / "at_once").read_bytes() == (tmp_path / "one_by_one").read_bytes() == b"a\nb\nc\n"
