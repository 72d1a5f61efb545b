"""Numbers and what is counted, in the plural where it must be."""

from __future__ import annotations

from collections.abc import Mapping


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what is counted.

    Parameters
    ----------
    number : int
        How many.
    one, many : str
        What one of it is called, and what several are; by default with an s.

    Examples
    --------
    >>> counted(1, "view"), counted(0, "view"), counted(2, "identity", "identities")
    ('1 view', '0 views', '2 identities')
    """
    return f"{number} {noun(number, one, many)}"


def noun(number: int, one: str, many: str = "") -> str:
    """What is counted, without the number; as `counted`.

    Examples
    --------
    >>> f"{1:,} {noun(1, 'byte')}, {1234:,} {noun(1234, 'byte')}"
    '1 byte, 1,234 bytes'
    """
    return one if number == 1 else many or f"{one}s"


def tally(numbers: Mapping[str, int]) -> str:
    """Reasons and how often each, in a line; those that never came are left out.

    Examples
    --------
    >>> tally({"no_face": 2, "bad_image": 1, "lost": 0}), tally({})
    ('bad_image 1, no_face 2', 'none')
    """
    return ", ".join(f"{reason} {number}" for reason, number in sorted(numbers.items()) if number) or "none"
