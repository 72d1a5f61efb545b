"""What a sample of a data loader holds: one picture and its key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from maskgen.errors import ConfigError, ImageError
from maskgen.transforms.pictures import is_picture


def key_in(sample: Mapping[Any, Any]) -> str | None:
    """The key that a sample carries; None if it has none."""
    if "key" in sample:
        return text_of(sample["key"])
    own, shard = text_of(sample.get("__key__")), sample.get("__url__")
    # As WebDataset has it: a key is unique in its shard.
    return own if own is None or not isinstance(shard, str) else f"{PurePath(shard).name.removesuffix('.tar')}/{own}"


def text_of(key: Any) -> str | None:
    """A key as text: a path has forward slashes, a record its number; None if it is none."""
    if isinstance(key, PurePath):
        return key.as_posix()
    return str(key) if isinstance(key, str | int) and not isinstance(key, bool) else None


def no_key() -> ConfigError:
    """The error for a picture without a key."""
    return ConfigError(
        "a picture without a key: its mask would depend on the worker that loads it",
        "call it as mask(image, key=path), or let the dataset give dict(image=image, key=path)",
    )


def picture_in(sample: Mapping[Any, Any]) -> Any:
    """The name of the one picture of a sample: ``image``, or the only one with channels, or the only array."""
    fields = [name for name, value in sample.items() if is_picture(value)]
    if "image" in fields:
        return "image"
    # Boxes, keypoints and labels may be arrays as well.
    whole = [name for name in fields if getattr(sample[name], "ndim", 3) == 3]
    return one_picture(whole or fields)


def one_picture(found: list[Any]) -> Any:
    """The one picture, or its name.

    Raises
    ------
    ImageError
        If there is none, or there are several.
    """
    if len(found) != 1:
        raise ImageError(
            f"a sample with {len(found)} pictures", "call the one to mask 'image', or mask(image, key=path)"
        )
    return found[0]
