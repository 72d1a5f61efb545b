"""``maskgen convert`` and ``maskgen inspect``."""

import json

import numpy as np
import pytest
from click.testing import CliRunner
from fakes import write_picture
from PIL import Image

from maskgen import manifest
from maskgen.cli import main
from maskgen.datasets.base import Entry, Fault, Pair
from maskgen.datasets.pairset import PairReader
from maskgen.errors import ConfigError
from maskgen.run.inspect import inspect


def invoke(*arguments):
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


@pytest.fixture
def tree(tmp_path):
    for name in ("ann/1.jpg", "ann/2.png", "bob/3.jpg"):
        write_picture(tmp_path / "in" / name)
    (tmp_path / "in" / "bob" / "notes.txt").write_text("none")
    (tmp_path / "in" / "bob" / "broken.jpg").write_bytes(b"")
    return tmp_path / "in"


def test_a_dataset_is_described(tree):
    found = inspect(tree)
    assert (found.format, found.pictures, found.identities, found.pairs) == ("folder", 4, 2, 0)
    assert found.sizes == {(200, 200): 3}
    assert found.kinds == {"JPEG": 2, "PNG": 1}
    assert found.reasons == {"bad_image": 1, "not_an_image": 1}
    assert found.faults == ("bob/broken.jpg: empty file (0 bytes)",)
    assert not found.is_aligned
    said = invoke("inspect", tree)
    assert said.exit_code == 0
    assert "identities  2" in said.stdout
    assert json.loads(invoke("inspect", tree, "--json").stdout)["sizes"] == {"200x200": 3}


def test_what_a_recordio_says_of_itself_is_shown(tmp_path):
    (tmp_path / "in" / "ann").mkdir(parents=True)
    Image.fromarray(np.zeros((112, 112, 3), np.uint8)).save(tmp_path / "in" / "ann" / "1.png")
    assert invoke("convert", tmp_path / "in", tmp_path / "rec", "--out-format", "recordio").exit_code == 0
    assert "property    1 identity, pictures of 112x112" in invoke("inspect", tmp_path / "rec").stdout
    told = json.loads(invoke("inspect", tmp_path / "rec", "--json").stdout)["told"]
    assert told == {"identities": 1, "height": 112, "width": 112}


def test_crops_are_known_by_their_size(tmp_path):
    for number in range(3):
        (tmp_path / "in").mkdir(exist_ok=True)
        Image.fromarray(np.zeros((112, 112, 3), np.uint8)).save(tmp_path / "in" / f"{number}.png")
    assert inspect(tmp_path / "in").is_aligned


def test_pictures_are_drawn_evenly_and_alike_each_time(tmp_path):
    for number in range(40):
        Image.fromarray(np.zeros((30, 20 + number, 3), np.uint8)).save(tmp_path / f"{number:02}.png")
    found = inspect(tmp_path, sample=10)
    assert (found.pictures, found.looked_at) == (40, 10)
    assert max(width for width, _ in found.sizes) > 45
    assert found == inspect(tmp_path, sample=10)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere", "no such file or folder"),
        ("s3://bucket/x", "nothing is fetched"),
        ("x.parquet", "metadata.jsonl"),
        ("x.zip", "unzip it"),
        ("x.txt", "neither a folder nor a file"),
        ("x.jpg", "one picture"),
    ],
)
def test_what_cannot_be_read_is_refused_with_what_can_be_done(tmp_path, name, said):
    path = tmp_path / name if "//" not in name else name
    if name.startswith("x"):
        path.write_bytes(b"1")
    for command in (("inspect", path), ("convert", path, tmp_path / "out")):
        result = invoke(*command)
        assert result.exit_code == 1
        assert said in result.stderr


def test_pictures_are_copied_byte_for_byte_without_masks(tree, tmp_path):
    result = invoke("convert", tree, tmp_path / "out", "--workers", 1)
    assert result.exit_code == 3
    rows = {row.key: row for row in manifest.read(tmp_path / "out" / "manifest.jsonl")}
    assert [key for key, row in rows.items() if row.status == "done"] == ["ann/1.jpg", "ann/2.png", "bob/3.jpg"]
    assert (tmp_path / "out" / "ann" / "1.jpg").read_bytes() == (tree / "ann" / "1.jpg").read_bytes()
    assert rows["ann/1.jpg"].variants == ()
    assert rows["ann/1.jpg"].original.place == "ann/1.jpg"


def test_a_list_of_pairs_is_a_dataset_of_pairs(tmp_path):
    for name in ("a_0001.jpg", "b_0001.jpg"):
        write_picture(tmp_path / "lfw" / name[0] / name)
    (tmp_path / "pairs.txt").write_text("a/a_0001.jpg b/b_0001.jpg 0\na/a_0001.jpg a/a_0002.jpg 1\n")
    reader = PairReader(tmp_path / "pairs.txt", tmp_path / "lfw")
    found = [one for chunk in reader.chunks(3) for one in chunk]
    assert reader.count() == len(found) == 4
    assert [type(one) for one in found] == [Entry, Entry, Entry, Fault]
    assert found[1].pair == Pair(0, 1, False)
    assert found[2].locator == found[0].locator == "a/a_0001.jpg"
    assert (found[3].key, found[3].reason) == ("000001_1", "missing")
    assert reader.read(found[0]).raw == (tmp_path / "lfw" / "a" / "a_0001.jpg").read_bytes()
    with pytest.raises(ConfigError):
        PairReader(tmp_path / "nowhere.txt", tmp_path / "lfw").count()


def test_a_set_is_a_file_in_the_current_folder_and_the_summary_says_where_all_else_is(tmp_path, monkeypatch):
    for number, name in enumerate(("a_0001.png", "a_0002.png", "b_0001.png", "c_0001.png")):
        write_picture(tmp_path / "lfw" / name[0] / name)
        Image.fromarray(np.full((112, 112, 3), number, np.uint8)).save(tmp_path / "lfw" / name[0] / name)
    (tmp_path / "pairs.txt").write_text("a/a_0001.png a/a_0002.png 1\nb/b_0001.png c/c_0001.png 0\n")
    monkeypatch.chdir(tmp_path)
    result = invoke("convert", "pairs.txt", "lfw.bin", "--root", "lfw/", "--workers", 1)
    assert result.exit_code == 0, result.output
    assert "4 pictures to lfw.bin, manifest.jsonl and run.json to lfw.bin.maskgen" in result.stdout
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lfw", "lfw.bin", "lfw.bin.maskgen", "pairs.txt"]
    assert json.loads(invoke("stats", "lfw.bin", "--json").stdout)["inputs"] == 4
    assert json.loads(invoke("inspect", "lfw.bin", "--json").stdout)["pairs"] == 2
    assert invoke("stats", "pairs.txt").stderr.startswith("error: pairs.txt: has no manifest.jsonl")
    again = invoke("augment", "lfw.bin", "masked.bin", "--aligned", "--workers", 1)
    assert again.exit_code == 0, again.output
    assert invoke("convert", "pairs.txt", "pairs.bin", "--root", "lfw/", "--workers", 1, "--json").exit_code == 0
    (tmp_path / "own.bin").write_bytes(b"mine")
    refused = invoke("convert", "lfw.bin", "own.bin", "--overwrite")
    assert refused.exit_code == 1
    assert "own.bin: in the way, and no run of maskgen wrote it" in refused.stderr
