"""Names in messages: the first of many, and those that are near an unknown one."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def some_of(names: Iterable[object], most: int, rest: str = "more") -> str:
    """The first of some names, and how many more there are.

    Parameters
    ----------
    names : iterable
        Said as `str` says them.
    most : int
        How many are named.
    rest : str
        What the others are called.

    Examples
    --------
    >>> some_of(["a", "b"], 2), some_of(["a", "b", "c", "d"], 2)
    ('a, b', 'a, b and 2 more')
    """
    said = [str(name) for name in names]
    more = f" and {len(said) - most} {rest}" if len(said) > most else ""
    return ", ".join(said[:most]) + more


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A question for whoever gave an unknown name: whether one that is near is meant; empty if none is.

    Examples
    --------
    >>> did_you_mean("surgical-blu", ["surgical-blue", "foam-black"]), did_you_mean("nobody", ["foam-black"])
    ('did you mean surgical-blue?', '')
    """
    near = difflib.get_close_matches(name, sorted(names), n=3)
    return f"did you mean {' or '.join(near)}?" if near else ""
