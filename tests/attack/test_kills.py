"""A run may be killed at any moment: the next one makes good, and nothing is left behind."""

import sys

import pytest

from tests.attack.kills import WAYS, Attack

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def attack(tmp_path_factory):
    return Attack(tmp_path_factory.mktemp("kills"), number=8)


@pytest.mark.parametrize(("way", "share"), [("parent", 0.3), ("worker", 0.6)])
def test_a_killed_run_is_made_good_by_the_next(attack, way, share):
    assert attack.once(way, attack.seconds * share).faults == ()


@pytest.mark.long
@pytest.mark.parametrize("share", [number / 20 for number in range(1, 21)])
@pytest.mark.parametrize("way", WAYS)
def test_a_run_killed_at_any_moment_is_made_good_by_the_next(attack, way, share):
    assert attack.once(way, attack.seconds * share).faults == ()
