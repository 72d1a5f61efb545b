"""What lies in front of a face: hair, hands, glasses, microphones. A mask may not be drawn there."""

from __future__ import annotations

from typing import Protocol

from maskgen.arrays import Float32Array, Image
from maskgen.face import Face


class Parser(Protocol):
    """Tells what of a face is seen, and what lies in front of it."""

    def visible(self, image: Image, face: Face) -> Float32Array:
        """(H, W) 1 where a mask may be drawn, 0 where something lies in front of it."""
        ...


def visible_of(image: Image, face: Face, parser: Parser | None) -> Float32Array | None:
    """Where a mask may be drawn; None, which stands for everywhere, if nothing parses faces."""
    return None if parser is None else parser.visible(image, face)
