"""What is damaged is read or refused with an error of maskgen's own, at a bounded price."""

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attack import fuzz
from tests.attack.fuzz import Attack, Limits, attack
from tests.attack.mutate import mutation
from tests.attack.readers import READERS, lacking
from tests.attack.traps import Echo, Traps

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="memory and signals are told apart by what Unix says")

# Networks take seconds to load or to run.
SLOW = {name for name in READERS if name.startswith(("base-", "eval-", "pack", "checkpoint-"))}
QUICK = [reader for name, reader in READERS.items() if name not in SLOW and not lacking(reader)]


def found(tallies):
    return {tally.name: dict(tally.kinds) for tally in tallies if tally.findings}


def test_a_hang_a_glutton_a_crash_and_a_foreign_exception_are_found_named_and_kept(tmp_path):
    (tally,) = attack([Traps()], 60, number=0, keep=tmp_path, limits=Limits(seconds=0.5, memory=2**27))
    assert {answer.number: answer.outcome for answer in tally.findings} == {
        1: "longer than 0.5 s",
        2: "more than 128 MiB",
        3: "died of SIGSEGV",
        4: "ValueError",
        5: "SystemExit",
        6: "whole input refused",
    }
    # Those beside them are read nevertheless.
    assert tally.outcomes["read"] == 2
    for number in range(1, 7):
        assert (tmp_path / f"traps-{number}.bin").read_bytes() == Traps().seeds()[number]
    assert "out of place" in (tmp_path / "traps-4.txt").read_text()
    assert "Segmentation fault" in (tmp_path / "traps-3.txt").read_text()
    said = fuzz.table([tally]).splitlines()
    assert said[1].split() == ["traps", "8", "0", "2", "6"]
    assert "traps: 1 x ValueError, first --only 4" in said


def test_the_same_seed_gives_the_same_mutations_at_every_start():
    numbers = range(10, 60, 9)
    with Attack([Echo(reader) for reader in QUICK], 7) as running:
        for index, reader in enumerate(QUICK):
            there = {answer.number: answer.details for answer in running.read(index, numbers)}
            here = {number: hashlib.sha256(running.input_of(index, number)).hexdigest() for number in numbers}
            assert there == here, reader.name


def test_mutations_differ_from_each_other_and_from_those_of_other_seeds():
    whole = [b'{"a": 1, "b": [2, 3], "c": "text"}']
    for is_text in (False, True):
        one, other = ({mutation(seed, "x", number, whole, is_text) for number in range(1, 200)} for seed in (0, 1))
        assert len(one) > 150
        assert len(one & other) < 50


def test_the_command_shows_a_table_and_one_mutation_once_more():
    command = [sys.executable, "-m", "tests.attack.fuzz", "--reader", "train-settings", "--minutes", "0.01"]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, capture_output=True, text=True, cwd=root, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[0].split() == ["reader", "mutations", "refused", "read", "findings"]
    one = subprocess.run([*command, "--only", "0"], capture_output=True, text=True, cwd=root, timeout=100, check=False)
    assert one.returncode == 0, one.stderr
    assert one.stdout == "read\n"


def test_what_is_damaged_is_read_or_refused(tmp_path):
    assert found(attack(QUICK, 100, number=24, keep=tmp_path)) == {}


@pytest.mark.long
@pytest.mark.parametrize("name", READERS)
def test_what_is_damaged_in_many_ways_is_read_or_refused(name, tmp_path):
    if missing := lacking(READERS[name]):
        pytest.skip(f"{missing} is not installed")
    assert found(attack([READERS[name]], 60, seed=1, keep=tmp_path)) == {}
