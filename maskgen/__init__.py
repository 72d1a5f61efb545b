"""Put masks on the faces of a face-recognition dataset, and fine-tune ArcFace on the result."""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from maskgen.catalog.store import Catalog
    from maskgen.datasets.dataset import open_dataset
    from maskgen.detect import FaceDetector
    from maskgen.masking.augment import augment_image, mask_faces, observe
    from maskgen.masking.recipe import Recipe
    from maskgen.parse import FaceParser
    from maskgen.run.folder import augment_folder
    from maskgen.transforms import RandomMask

__version__ = "0.1.0"
__all__ = [
    "Catalog",
    "FaceDetector",
    "FaceParser",
    "RandomMask",
    "Recipe",
    "__version__",
    "augment_folder",
    "augment_image",
    "mask_faces",
    "observe",
    "open_dataset",
]

# Nothing is sent. onnxruntime tells its maker about machine and program, and albumentations, which insightface imports
# where it is installed, asks for its newest version, unless these are set before their import. Whatever of maskgen is
# imported, this comes first; worker processes inherit it.
os.environ.update({"ORT_DISABLE_TELEMETRY": "1", "NO_ALBUMENTATIONS_UPDATE": "1"})

_HOMES: Final = {
    "Catalog": "maskgen.catalog.store",
    "FaceDetector": "maskgen.detect",
    "FaceParser": "maskgen.parse",
    "RandomMask": "maskgen.transforms",
    "Recipe": "maskgen.masking.recipe",
    "augment_folder": "maskgen.run.folder",
    "augment_image": "maskgen.masking.augment",
    "mask_faces": "maskgen.masking.augment",
    "observe": "maskgen.masking.augment",
    "open_dataset": "maskgen.datasets.dataset",
}


def __getattr__(name: str) -> object:
    # Loaded on first use: FaceDetector brings insightface, which takes seconds.
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
