"""The base of everything that is read from a JSON file, and what to say of a malformed one."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, ValidationError


class Strict(BaseModel):
    """A model that knows all its fields and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, after the field where it is: ``masks[3].weight: Input should be ...``."""
    first = error.errors()[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    return f"{where}: {first['msg']}" if where else str(first["msg"])
