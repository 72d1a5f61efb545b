"""Inputs of which something would be written where another's goes."""

import random
import tracemalloc

from hypothesis import given
from hypothesis import strategies as st

from maskgen.datasets import clashes
from maskgen.datasets.clashes import Naming, clashes_of
from maskgen.datasets.folder_writer import names_of

stems = st.sampled_from(["a", "b", "a_m1", "A", "a_m1_m1", "x.jpg"])
paths = st.lists(st.builds("/".join, st.lists(stems, min_size=1, max_size=2)), unique=True, max_size=8)


def naming(fold=str, has_folders=False):
    return Naming(lambda key: names_of(key, 2, True), True, fold, has_folders)


def by_all_names(keys, settled, naming):
    """The same, from the names of all inputs at once."""
    folders = {folder: key for key in keys for folder in naming.folders(key)}
    return clashes._clashes_among(list(keys), set(settled), naming, folders)


@given(paths, st.sets(st.integers(0, 7)), st.sampled_from([str, str.lower]), st.booleans())
def test_few_suspects_give_what_all_names_give(stems, settled, fold, has_folders):
    keys = [f"{stem}.jpg" for stem in stems]
    stand = {keys[number] for number in settled if number < len(keys)}
    how = naming(fold, has_folders)
    found = clashes_of(lambda: iter(keys), lambda among: stand & {*among}, how)
    assert {one.key: one.message for one in found} == {one.key: one.message for one in by_all_names(keys, stand, how)}


def test_a_hundred_thousand_names_take_eight_bytes_per_place():
    numbers = list(range(100_000))
    random.Random(0).shuffle(numbers)
    tracemalloc.start()
    try:
        found = clashes_of(lambda: (f"p/{number}.jpg" for number in numbers), lambda among: set(), naming())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found == []
    # Three places per input, twice as they are sorted, and the growth of an array.
    assert peak < 100_000 * 3 * 8 * 3
