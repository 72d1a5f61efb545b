"""``maskgen faces``: each picture is looked at once, and the counts say what was seen."""

import json

import pytest
from click.testing import CliRunner
from fakes import FakeDetectors, write_picture

from maskgen import parallel
from maskgen.cli import main
from maskgen.detect import DetectorSpec
from maskgen.recognition.cache import FaceCache


@pytest.fixture
def invoke(monkeypatch):
    monkeypatch.setattr(DetectorSpec, "build", lambda self: FakeDetectors().build())
    monkeypatch.setattr(DetectorSpec, "parser", lambda self: None)
    monkeypatch.setattr(DetectorSpec, "sha256", lambda self: "f" * 64)
    monkeypatch.setattr(parallel, "LocalExecutor", lambda workers: parallel.InProcess())
    return lambda *args: CliRunner().invoke(main, ["faces", *map(str, args)])


@pytest.fixture
def photographs(tmp_path):
    for name, kind in (("ann/1.png", "face"), ("ann/2.png", "two_faces"), ("3.png", "no_face")):
        write_picture(tmp_path / "in" / name, kind)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    return tmp_path / "in"


def test_counts_say_what_was_seen_and_a_second_time_nothing_is_looked_at(invoke, photographs, tmp_path):
    first = invoke(photographs, "-o", tmp_path / "seen")
    assert first.exit_code == 0, first.output
    lines = {line.split()[0]: line.split(maxsplit=1)[1] for line in first.stdout.splitlines()}
    assert lines["pictures"].startswith("3, 3 of them looked at now")
    assert lines["faces"] == "3 on 2 pictures"
    assert lines["others"] == "no_face 1, not_an_image 1"
    assert lines["written"].endswith("seen: 3 pictures in all")
    assert "no, photographs: by the sizes of some" in first.stderr
    found = json.loads(invoke(photographs, "-o", tmp_path / "seen", "--json").stdout)
    del found["seconds"]
    assert found == {
        "out": str(tmp_path / "seen"),
        "pictures": 3,
        "looked_at": 0,
        "faces": 3,
        "failed": 0,
        "reasons": {"no_face": 1, "not_an_image": 1},
    }
    assert sorted(FaceCache(tmp_path / "seen")) == ["3.png", "ann/1.png", "ann/2.png"]


def test_pictures_that_cannot_be_read_end_it_with_3_and_are_named(invoke, photographs, tmp_path):
    (photographs / "ann" / "1.png").write_bytes(b"no picture")
    for _ in range(2):
        result = invoke(photographs, "--out", tmp_path / "seen")
        assert result.exit_code == 3
        assert "bad_image 1" in result.stdout
    (tmp_path / "seen" / "cache.json").unlink()
    assert "ann/1.png" in invoke(photographs, "-o", tmp_path / "new").stderr


def test_an_interrupted_search_says_how_far_it_is_and_goes_on(invoke, photographs, tmp_path, monkeypatch):
    write_picture(photographs / "zoe.png", "interrupt")
    monkeypatch.setattr("maskgen.recognition.faces.chunk_size", lambda count, workers: 1)
    stopped = invoke(photographs, "-o", tmp_path / "seen")
    assert stopped.exit_code == 130
    assert "interrupted: 3 of 4 pictures kept; the same command again goes on from there" in stopped.stderr
    (photographs / "zoe.png").unlink()
    assert "3, 0 of them looked at now" in invoke(photographs, "-o", tmp_path / "seen").stdout


def test_a_folder_that_holds_something_else_is_refused_with_the_commands_own_option(invoke, photographs, tmp_path):
    result = invoke(photographs, "-o", photographs)
    assert result.exit_code == 1
    assert "holds something else, no observed faces; name a new folder for -o" in result.stderr


def test_crops_and_photographs_do_not_share_a_cache(invoke, photographs, tmp_path):
    assert invoke(photographs, "-o", tmp_path / "seen").exit_code == 0
    result = invoke(photographs, "-o", tmp_path / "seen", "--aligned")
    assert result.exit_code == 1
    assert "holds faces of photographs; name another folder for -o" in result.stderr


@pytest.mark.parametrize("damage", [["no_such"], ["empty"]])
def test_data_without_pictures_are_an_error(invoke, tmp_path, damage):
    (tmp_path / "empty").mkdir()
    result = invoke(tmp_path / damage[0], "-o", tmp_path / "seen")
    assert result.exit_code == 1
    assert not (tmp_path / "seen").exists()
