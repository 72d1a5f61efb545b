"""What of a picture file decides about its pixels, apart from what other programs wrote beside it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Essentials:
    """A picture file without the parts that a viewer may ignore; damage in those must not cost a whole picture.

    Attributes
    ----------
    raw : bytes
        A file of the same pixels.
    exif, xmp : bytes or None
        Metadata that may say which way up the picture is; never written anywhere.
    frames : int
        How many pictures the file holds; `raw` has the first.
    notes : tuple of str
        What could not be read: see `Picture`.
    """

    raw: bytes
    exif: bytes | None = None
    xmp: bytes | None = None
    frames: int = 1
    notes: tuple[str, ...] = ()
