"""``--shard`` and ``maskgen merge`` on the command line."""

import json

import pytest
from click.testing import CliRunner
from fakes import write_picture

from maskgen.cli import main
from maskgen.cli.running import ShardType
from maskgen.run import Share

ARRAY = {"ID": "7", "COUNT": "4", "MIN": "4"}


@pytest.fixture
def call():
    def invoke(*arguments):
        return CliRunner().invoke(main, [str(argument) for argument in arguments])

    return invoke


@pytest.fixture
def source(tmp_path):
    for number in range(40):
        write_picture(tmp_path / "in" / f"{number // 10}" / f"{number}.png")
    return tmp_path / "in"


def set_array(monkeypatch, array):
    for what in ("ID", "COUNT", "MIN", "STEP"):
        monkeypatch.delenv(f"SLURM_ARRAY_TASK_{what}", raising=False)
        if what in array:
            monkeypatch.setenv(f"SLURM_ARRAY_TASK_{what}", array[what])


@pytest.mark.parametrize(
    ("array", "share"),
    [(ARRAY, Share(3, 4)), (ARRAY | {"ID": "4"}, Share(0, 4)), (ARRAY | {"ID": "8", "STEP": "2"}, Share(2, 4))],
)
def test_slurm_names_the_share(monkeypatch, array, share):
    set_array(monkeypatch, array)
    assert ShardType().convert("slurm", None, None) == share


@pytest.mark.parametrize(
    ("array", "words"),
    [
        ({}, "not a task of a Slurm job array"),
        (ARRAY | {"ID": "x"}, "not a task of a Slurm job array"),
        (ARRAY | {"ID": "9"}, "task 9 of 4, from 4"),
        (ARRAY | {"ID": "3"}, "task 3 of 4, from 4"),
        (ARRAY | {"ID": "7", "STEP": "2"}, "task 7 of 4, from 4"),
    ],
)
def test_what_is_no_even_array_is_wrong_usage(monkeypatch, call, source, tmp_path, array, words):
    set_array(monkeypatch, array)
    result = call("convert", source, tmp_path / "out", "--shard", "slurm")
    assert (result.exit_code, words in result.output) == (2, True)


@pytest.mark.parametrize("shard", ["4/4", "0/0", "-1/2", "1", "a/b", "1/2/3"])
def test_what_is_no_share_is_wrong_usage(call, source, tmp_path, shard):
    result = call("convert", source, tmp_path / "out", f"--shard={shard}")
    assert (result.exit_code, "is not I/N" in result.output) == (2, True)


@pytest.mark.parametrize("option", ["--overwrite", "--prune"])
def test_what_concerns_the_whole_output_is_no_share(call, source, tmp_path, option):
    result = call("augment", source, tmp_path / "out", "--shard", "0/2", option)
    assert (result.exit_code, f"{option} concerns the whole output" in result.output) == (2, True)


def test_shards_say_how_many_are_done_and_the_last_what_all_came_to(call, source, tmp_path):
    first = call("convert", source, tmp_path / "out", "--shard", "0/2")
    assert (first.exit_code, "1 of 2 done" in first.output) == (0, True)
    second = json.loads(call("convert", source, tmp_path / "out", "--shard", "1/2", "--json").output)
    assert (second["state"], second["inputs"], second["done"]) == ("complete", 40, 40)


def test_merge_puts_together_what_is_there_and_says_that_more_may_be_left(call, source, tmp_path):
    call("convert", source, tmp_path / "out", "--shard", "0/2")
    merged = call("merge", tmp_path / "out")
    assert (merged.exit_code, "some inputs may have no row yet" in merged.output) == (0, True)
    assert json.loads(call("convert", source, tmp_path / "out", "--json").output)["inputs"] == 40


def test_merge_joins_outputs_that_lie_apart(call, source, tmp_path):
    for index in (0, 1):
        call("convert", source, tmp_path / f"out{index}", "--shard", f"{index}/2")
    joined = call("merge", tmp_path / "out0", tmp_path / "out1", "-o", tmp_path / "all", "--json")
    assert json.loads(joined.output)["done"] == 40
    assert call("merge", tmp_path / "out0", tmp_path / "out1").exit_code == 2
    assert call("merge", tmp_path / "in").exit_code == 1
