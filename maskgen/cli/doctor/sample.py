"""A mask on a sample photograph, with all that a run needs."""

from __future__ import annotations

import time

import numpy as np

from maskgen import images
from maskgen.catalog.store import Catalog
from maskgen.cli import samples
from maskgen.detect import FaceDetector
from maskgen.masking.augment import augment_image
from maskgen.parse import FaceParser


def masked_sample() -> tuple[float, float, int, int]:
    """Seconds until all is loaded, seconds of the picture, faces found in it, masks put on them."""
    started = time.perf_counter()
    detector, parser, catalog = FaceDetector(), FaceParser(), Catalog.load()
    (photograph,) = samples.photographs((samples.ASTRONAUT,))
    loaded = time.perf_counter()
    image = images.read(photograph).pixels
    masked = augment_image(image, detector, catalog, np.random.default_rng(0), parser)
    ended = time.perf_counter()
    return loaded - started, ended - loaded, len(masked.faces), sum(face.design is not None for face in masked.faces)
