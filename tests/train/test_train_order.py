"""The order of an epoch: every entry once, neighbours in a file far from each other, reading nearly in its order."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgen.train.order import Batches, layout_of, order

ENTRIES, RUN, BUFFER = 20_000, 256, 2000


@pytest.fixture
def layout():
    """Two files of originals, and a masked copy of every second one."""
    originals = ENTRIES * 2 // 3
    copies = np.arange(0, originals, 2)[: ENTRIES - originals]
    return layout_of(np.concatenate([np.arange(originals), copies]), np.array([0, 5000]), RUN)


def file_order(layout):
    """Entry -> where it stands in the files."""
    where = np.empty(ENTRIES, int)
    where[layout.entries] = np.arange(ENTRIES)
    return where


def test_every_entry_comes_once_an_epoch_and_two_epochs_differ(layout):
    for each in (None, layout):
        first, second = (order(ENTRIES, 3, epoch, each, BUFFER) for epoch in (0, 1))
        assert np.array_equal(np.sort(first), np.arange(ENTRIES))
        assert np.array_equal(np.sort(second), np.arange(ENTRIES))
        assert (first == second).mean() < 0.01
        assert np.array_equal(first, order(ENTRIES, 3, 0, each, BUFFER)), "the same seed gives the same order"
        assert not np.array_equal(first, order(ENTRIES, 4, 0, each, BUFFER))


def runs_asked(layout, numbers):
    """The run of each entry, in the order."""
    return np.searchsorted(layout.starts, file_order(layout)[numbers], side="right") - 1


def windows(runs):
    """From how many runs the pictures of each batch of 128 come."""
    return [len(set(runs[at : at + 128])) for at in range(0, ENTRIES, 128)]


def test_neighbours_in_a_file_are_rarely_neighbours_in_the_order(layout):
    numbers = order(ENTRIES, 0, 0, layout, BUFFER)
    assert (np.abs(np.diff(file_order(layout)[numbers])) == 1).mean() < 0.01
    assert np.mean(windows(runs_asked(layout, numbers))) > 5


def test_large_files_are_read_a_few_runs_at_a_time(layout):
    runs = runs_asked(layout, order(ENTRIES, 0, 0, layout, BUFFER))
    assert max(windows(runs)) < 16
    assert np.mean(windows(runs_asked(layout, order(ENTRIES, 0, 0)))) > 40
    for run, length in enumerate(np.diff(np.append(layout.starts, ENTRIES))):
        asked = np.flatnonzero(runs == run)
        assert asked[-1] - asked[0] < 2 * BUFFER + length, "a run is asked for as long as it is in the buffer"
    assert np.abs(np.diff(runs_asked(layout, layout.entries))).max() == 1


@given(
    st.lists(st.integers(1, 40), min_size=1, max_size=6),
    st.integers(1, 9),
    st.integers(1, 50),
    st.integers(0, 2**32),
    st.data(),
)
def test_files_of_any_lengths_give_every_entry_once(lengths, run, buffer, seed, data):
    originals = sum(lengths)
    copies = np.array(data.draw(st.lists(st.integers(0, originals - 1), unique=True).map(sorted)), int)
    places = np.concatenate([np.arange(originals), copies])
    layout = layout_of(places, np.cumsum([0, *lengths[:-1]]), run)
    assert sorted(order(len(places), seed, 0, layout, buffer)) == list(range(len(places)))
    assert (np.diff(layout.starts) > 0).all()
    assert layout.starts[0] == 0


def test_batches_are_made_when_they_are_asked_for_and_can_begin_anywhere():
    numbers = order(50, 0, 0)
    batches = Batches(numbers, 8, 2)
    assert len(batches) == 6
    assert [entry for batch in batches for _, entry in batch] == numbers[:48].tolist()
    assert {epoch for batch in batches for epoch, _ in batch} == {2}
    assert list(batches[2:][1:3]) == list(batches)[3:5]
