"""``model.onnx`` in fewer bits, written where its embeddings stay the same: on pictures that nothing was tuned on."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.evaluate.embed import Embedder, to_input
from maskgen.evaluate.report import Pictures
from maskgen.packs import smaller
from maskgen.train.data import Samples, spread
from maskgen.train.results import Variant
from maskgen.train.settings import Bits

LEAST_COSINE: Final = 0.999
"""What the cosine between an embedding and that of ``model.onnx`` must be at least, on average and for each picture."""
CALIBRATED_ON: Final = 256
CHECKED_ON: Final = 512
_BATCH: Final = 32


def write(model: Path, bits: Bits, calibration: Image, checked: Image) -> Variant:
    """A smaller ONNX beside a model, if its embeddings are nearly those of the model.

    Parameters
    ----------
    model : Path
        ``model.onnx``; the other becomes ``model.int8.onnx`` or ``model.fp16.onnx``.
    bits : {"fp16", "int8"}
        What it computes in.
    calibration, checked : (N, 112, 112, 3) uint8 arrays
        RGB crops: those that ranges are measured on, and others.
    """
    target = model.with_suffix(f".{bits}.onnx")
    target.unlink(missing_ok=True)
    if bits == "fp16":
        smaller.halve(model, target)
    else:
        smaller.quantise(model, target, _batches(calibration))
    cosines = np.concatenate([_cosines(Embedder(model), Embedder(target), batch) for batch in _batches(checked)])
    is_same = float(cosines.min()) >= LEAST_COSINE
    size = target.stat().st_size
    if not is_same:
        target.unlink()
    return Variant(
        bits=bits,
        file=target.name if is_same else None,
        size=size,
        mean_cosine=float(cosines.mean()),
        min_cosine=float(cosines.min()),
        pictures=len(cosines),
    )


def crops_for(samples: Samples, held_out: Pictures | None, workers: int = 0) -> tuple[Image, Image]:
    """Crops (N, 112, 112, 3) to calibrate on, spread over the data, and others, of people held out if there are any."""
    if held_out is None:
        crops = _crops(samples, CALIBRATED_ON + CHECKED_ON, workers)
        is_calibration = np.arange(len(crops)) % 3 == 0
        return crops[is_calibration], crops[~is_calibration]
    others = np.concatenate([held_out.clean, *([] if held_out.masked is None else [held_out.masked])])
    return _crops(samples, CALIBRATED_ON, workers), others[:: -(-len(others) // CHECKED_ON)]


def _crops(samples: Samples, number: int, workers: int) -> Image:
    return np.ascontiguousarray(spread(samples, number, workers).numpy().transpose(0, 2, 3, 1))


def _batches(crops: Image) -> list[Float32Array]:
    return [to_input(crops[start : start + _BATCH]) for start in range(0, len(crops), _BATCH)]


def _cosines(one: Embedder, other: Embedder, pictures: Float32Array) -> Float32Array:
    a, b = one(pictures), other(pictures)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    cosines: Float32Array = (a * b).sum(axis=1) / np.maximum(lengths, 1e-12)
    return cosines
