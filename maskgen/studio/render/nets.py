"""``python -m maskgen.studio.render.nets``: the nets of all shapes of masks, made anew, into ``nets.npz``."""

from pathlib import Path
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array
from maskgen.studio.render import shapes
from maskgen.studio.render.sheet import SheetShape, half_of, key_of, pulled_taut

SHAPES: Final = tuple(shape for shape in vars(shapes).values() if isinstance(shape, SheetShape))
"""All shapes that masks are rendered in."""


def made(shape: SheetShape) -> Float32Array:
    """What ``nets.npz`` holds of a shape."""
    return half_of(pulled_taut(shape))


if __name__ == "__main__":
    halves = {key_of(shape): made(shape) for shape in SHAPES}
    np.savez_compressed(Path(__file__).with_name("nets.npz"), **halves)  # type: ignore[arg-type]
