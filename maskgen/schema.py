"""The base of everything that is kept in a JSON file, writing it, and what to say of a malformed one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from pydantic import BaseModel, ConfigDict, ValidationError

from maskgen import files

# What a message quotes of a file is cut to this many characters.
_MOST_QUOTED: Final = 300


class Strict(BaseModel):
    """A model that knows all its fields and does not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def write_json(path: Path, model: BaseModel) -> None:
    """Write a model as JSON, whole."""
    files.write_whole(path, (json.dumps(model.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode())


def first_fault(error: ValidationError) -> str:
    """The first thing that is wrong, after the field where it is: ``masks[3].weight: Input should be ...``."""
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"]).lstrip(".")
    # What validators of ours say is a sentence; pydantic puts its kind before it.
    said = shortened(first["msg"].removeprefix("Value error, "))
    return f"{shortened(where)}: {said}" if where else said


def shortened(text: str) -> str:
    """Text from a file, of a length that fits a message."""
    return text if len(text) <= _MOST_QUOTED else f"{text[:_MOST_QUOTED]}..."
