"""Numbers and what is counted."""

import re
from pathlib import Path

import pytest

from maskgen.plural import counted, noun

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 identities"), (1, "1 identity"), (2, "2 identities"), (1000, "1000 identities")]
)
def test_one_thing_stands_in_the_singular_and_several_in_the_plural(number, said):
    assert counted(number, "identity", "identities") == said


def test_the_plural_has_an_s_unless_it_is_given():
    assert (noun(1, "view"), noun(3, "view"), noun(3, "person", "people")) == ("view", "views", "people")


def test_no_message_of_a_command_counts_by_hand():
    found = []
    for path in sorted((ROOT / "maskgen" / "cli").rglob("*.py")):
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            for match in re.finditer(
                r"\{([^{}]+)\} (?:[a-z]+ )?(?:designs|views|pictures|inputs|faces|masks|folders)\b", line
            ):
                if not match[1].endswith(":.1f"):
                    found.append(f"{path.name}:{number}: {match[0]}")
    assert not found
