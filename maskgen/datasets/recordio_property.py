"""``property``, the file beside a RecordIO that says how many identities it has, and how large its pictures are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from maskgen import files
from maskgen.datasets.recordio_file import MOST_LABELS
from maskgen.errors import ImageError

PROPERTY_FILE: Final = "property"
_MAX_BYTES: Final = 2**16
_LINE: Final = re.compile(r"\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*,\s*([0-9]{1,9})\s*")


@dataclass(frozen=True)
class Property:
    """What the file says.

    Attributes
    ----------
    identities : int
        Labels reach from 0 to one less.
    height, width : int
        Of the pictures, pixels.
    """

    identities: int
    height: int
    width: int

    def line(self) -> bytes:
        """As it stands in the file."""
        return f"{self.identities},{self.height},{self.width}\n".encode()


def read_property(folder: Path) -> Property | None:
    """What the file in a folder says; None if there is none. Of several lines the last counts, as for InsightFace.

    Raises
    ------
    ImageError
        If it cannot be read, or has no line of three numbers that can be true.
    """
    path = folder / PROPERTY_FILE
    try:
        text = files.read_regular(path, _MAX_BYTES).decode("latin-1")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ImageError(f"{PROPERTY_FILE}: cannot be read: {error.strerror}") from error
    found = [match for line in text.splitlines() if (match := _LINE.fullmatch(line))]
    if not found:
        raise ImageError(f"{PROPERTY_FILE}: no line of it has the form IDENTITIES,HEIGHT,WIDTH")
    told = Property(*map(int, found[-1].groups()))
    if told.identities > MOST_LABELS:
        raise ImageError(f"{PROPERTY_FILE}: {told.identities:,} identities, and there can be {MOST_LABELS:,}")
    return told
