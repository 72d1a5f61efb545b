"""Options that stand for fields of a settings model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click
from pydantic import BaseModel


def setting(model: type[BaseModel], flag: str, field: str, **options: Any) -> Callable[[Any], Any]:
    """An option whose default is that of a field of a model; an empty default is not shown."""
    default = model.model_fields[field].default
    options = {"show_default": default is not None and default != (), **options}
    return click.option(flag, field, default=default, **options)
