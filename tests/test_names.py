"""Names in messages."""

import re
from pathlib import Path

from maskgen.names import did_you_mean, some_of

ROOT = Path(__file__).parents[1]


def test_of_many_names_the_first_are_said_and_the_others_counted():
    assert some_of([], 2) == ""
    assert some_of(["a", "b"], 2) == "a, b"
    assert some_of(map(repr, "abc"), 2) == "'a', 'b' and 1 more"
    assert some_of(["1x1 5", "2x2 3"], 1, "other sizes") == "1x1 5 and 1 other sizes"


def test_the_nearest_names_are_asked_for_and_none_if_none_is_near():
    assert did_you_mean("surgical-blu", {"surgical-blue", "foam-black"}) == "did you mean surgical-blue?"
    assert did_you_mean("x", {"surgical-blue"}) == ""
    assert did_you_mean("cat1", ["cat3", "cat2"]) == "did you mean cat3 or cat2?"


def test_names_are_shortened_and_sought_in_one_place():
    found = [
        f"{path.name}: {match[0]}"
        for path in sorted((ROOT / "maskgen").rglob("*.py"))
        if path.name != "names.py"
        for match in re.finditer(r"difflib|\bmore = f\"|and others'", path.read_text())
    ]
    assert not found
