"""Options that stand for fields of a settings model, and options that are numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, get_args

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo


class Number(click.FloatRange):
    """A finite number in a range. click takes nan for a number in any range, and inf in one that is open to a side."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The number."""
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


def setting(model: type[BaseModel], flag: str, field: str, **options: Any) -> Callable[[Any], Any]:
    """An option whose default is that of a field of a model; an empty default is not shown.

    If its type is `float`, it is a `Number` in the range of the field.
    """
    default = model.model_fields[field].default
    if options.get("type") is float:
        options["type"] = _number(model.model_fields[field])
    options = {"show_default": default is not None and default != (), **options}
    return click.option(flag, field, default=default, **options)


def _number(field: FieldInfo) -> Number:
    bounds = {
        name: bound
        for one in _constraints(field)
        for name in ("gt", "ge", "lt", "le")
        if (bound := getattr(one, name, None)) is not None
    }
    assert bounds, "click would show an end that there is not"
    return Number(
        bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt")), "gt" in bounds, "lt" in bounds
    )


def _constraints(field: FieldInfo) -> Iterator[Any]:
    """Those of a field, and of what it may be other than None."""
    yield from field.metadata
    for one in get_args(field.annotation):
        for inner in getattr(one, "__metadata__", ()):
            yield from inner.metadata if isinstance(inner, FieldInfo) else (inner,)
