"""Who is on a picture, as the JSON or the class number beside it says."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from maskgen.datasets.folder import printable

MOST_BYTES: Final = 2**20
"""Longer JSON is kept, and not looked into."""
_NUMBER: Final = re.compile(rb"\s*([+-]?\d{1,18})\s*")
_LARGEST: Final = 2**63


def fields_of(raw: bytes) -> dict[str, Any] | None:
    """The fields of a JSON object; None if the bytes are none, or too many."""
    try:
        content = json.loads(raw) if len(raw) <= MOST_BYTES else None
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def number_of(raw: bytes) -> int | None:
    """The number that ``cls`` holds in ASCII; None if it holds none."""
    match = _NUMBER.fullmatch(raw)
    return int(match[1]) if match else None


def who(
    fields: Mapping[str, Any], names: tuple[str, ...] = ("identity", "label", "cls"), number: int | None = None
) -> tuple[str | None, int | None]:
    """Identity and label.

    Parameters
    ----------
    fields : dict
        Of a JSON object.
    names : tuple of str
        Fields that may say who it is, the first that does counts.
    number : int, optional
        The label, if it is known from elsewhere. Else it is a whole number in ``label`` or ``cls``.

    Examples
    --------
    >>> who({"identity": "ann", "label": 3}), who({"label": 3}), who({"cls": "ann"}), who({})
    (('ann', 3), ('3', 3), ('ann', None), (None, None))
    """
    found = (fields.get(name) for name in ("label", "cls"))
    label = next((value for value in found if _is_number(value)), None) if number is None else number
    named = (fields.get(name) for name in names)
    identity = next((value for value in named if _is_number(value) or (isinstance(value, str) and value)), label)
    return None if identity is None else printable(str(identity)), label


def _is_number(value: object) -> bool:
    return type(value) is int and -_LARGEST <= value < _LARGEST
