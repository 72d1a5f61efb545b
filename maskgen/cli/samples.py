"""Photographs that the dependencies ship."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Final

from maskgen.errors import MaskgenError

GROUP: Final = ("insightface", "data/images/t1.jpg")
CROP: Final = ("insightface", "data/images/Tom_Hanks_54745.png")
ASTRONAUT: Final = ("skimage", "data/astronaut.png")
"""(package, file in it): a group, an aligned 112x112 crop, and NASA's portrait of Eileen Collins."""


def photographs(samples: tuple[tuple[str, str], ...]) -> list[Path]:
    """The files of samples.

    Raises
    ------
    MaskgenError
        If a package or its photograph is not there.
    """
    paths = []
    for package, file in samples:
        # Found without importing the package: insightface takes seconds.
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise MaskgenError(f"sample photographs: package {package} is not installed", "reinstall maskgen")
        path = Path(spec.origin).parent / file
        if not path.is_file():
            raise MaskgenError(
                f"sample photographs: {path} is missing; this version of {package} ships no such photograph",
                "give a photograph of your own",
            )
        paths.append(path)
    return paths
