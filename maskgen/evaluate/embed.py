"""Embeddings of aligned crops, computed with the ONNX file that users of the network load."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final

import numpy as np

from maskgen.arrays import Float32Array, Image
from maskgen.errors import ModelError
from maskgen.face.align import ARCFACE_SIDE
from maskgen.packs.find import pack_dir
from maskgen.packs.session import session
from maskgen.plural import counted

Embed = Callable[[Float32Array], Float32Array]
"""Pictures (B, 3, 112, 112), RGB from -1 to 1, to embeddings (B, E)."""

STATE_SUFFIXES: Final = (".pth", ".pt")
"""What files of torch's weights end in."""
_INPUT: Final = (3, ARCFACE_SIDE, ARCFACE_SIDE)
_TYPES: Final = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


class Embedder:
    """A recognition ONNX, run by onnxruntime on the CPU.

    Parameters
    ----------
    path : Path
        One input (batch, 3, 112, 112) of floats, one output (batch, E). It is tried on two pictures; a network that
        takes only one at a time, whatever its input says, gets one at a time.
    threads : int
        Cores to use; 0 for all.

    Raises
    ------
    ModelError
        If the file cannot be loaded or run, or has other inputs or outputs; when called, if an embedding is no finite
        number. Names the file, and the input, output or node.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        self._session = session(path, threads)
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or not _fits(inputs[0].shape):
            raise ModelError(
                f"{path}: not a recognition network: {counted(len(inputs), 'input')}, the first of shape "
                f"{inputs[0].shape}, {counted(len(outputs), 'output')}; expected one "
                f"(batch, 3, {ARCFACE_SIDE}, {ARCFACE_SIDE}) and one (batch, E)"
            )
        self._path, self._name, self._output = path, inputs[0].name, outputs[0].name
        if inputs[0].type not in _TYPES:
            raise ModelError(f"{path}: input {self._name!r} takes {inputs[0].type}, expected tensor(float)")
        self._type = _TYPES[inputs[0].type]
        self._is_one_by_one = inputs[0].shape[0] == 1
        try:
            self(noise())
        except ModelError as error:
            if self._is_one_by_one:
                raise
            # Exports of one picture may have its number in a node, as the reshape in arcface_torch's MobileFaceNet.
            self._is_one_by_one = True
            try:
                self(noise())
            except ModelError:
                raise error from error.__cause__

    def __call__(self, pictures: Float32Array) -> Float32Array:
        """Embeddings (B, E) of pictures (B, 3, 112, 112), RGB from -1 to 1."""
        parts = np.split(pictures, len(pictures)) if self._is_one_by_one else [pictures]
        return np.concatenate([self._run(part) for part in parts])

    def _run(self, pictures: Float32Array) -> Float32Array:
        try:
            (found,) = self._session.run(None, {self._name: pictures.astype(self._type)})
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise ModelError(f"{self._path}: onnxruntime cannot run it: {error}") from error
        shape = getattr(found, "shape", None)
        if shape is None or len(shape) != 2 or len(found) != len(pictures) or not shape[1]:
            said = "is no tensor" if shape is None else f"has shape {tuple(shape)}"
            raise ModelError(f"{self._path}: output {self._output!r} {said}, expected ({len(pictures)}, E)")
        embeddings = np.asarray(found, np.float32)
        if bad := int((~np.isfinite(embeddings).all(axis=1)).sum()):
            raise ModelError(
                f"{self._path}: output {self._output!r}: {bad} of {len(pictures)} embeddings are no finite numbers"
            )
        return embeddings


def noise() -> Float32Array:
    """Two pictures (2, 3, 112, 112) to try a network on, the same every time."""
    return np.random.default_rng(0).uniform(-1, 1, (2, *_INPUT)).astype(np.float32)


def _fits(shape: list[Any]) -> bool:
    """Whether an input can take (batch, 3, 112, 112); names stand for lengths that are free."""
    wanted = (1, *_INPUT)
    return len(shape) == 4 and all(
        not isinstance(size, int) or size < 1 or size == length for size, length in zip(shape, wanted, strict=True)
    )


def read_onnx(path: Path, with_weights: bool = True) -> Any:
    """The ``onnx.ModelProto`` in a file.

    Raises
    ------
    ModelError
        If it is none, or weights that it keeps in other files are missing or lie outside of its folder.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    try:
        model = onnx.load(str(path), load_external_data=with_weights)
    # The last three: what is said about other files is malformed.
    except (OSError, DecodeError, onnx.checker.ValidationError, ValueError, TypeError, KeyError) as error:
        raise ModelError(f"{path}: not an ONNX file that can be read: {error}") from error
    return model


def file_of(name: str) -> Path:
    """The file of a network: the file that is named, or the recogniser of the pack that is named.

    Raises
    ------
    ModelError
        If there is none.
    """
    path = Path(name).expanduser()
    suffixes = (".onnx", *STATE_SUFFIXES)
    if path.is_file():
        if path.suffix not in suffixes:
            raise ModelError(f"{path}: a recognition network ends in {', '.join(suffixes)}")
        return path
    if path.suffix in suffixes:
        raise ModelError(f"{path}: no such file")
    pack = pack_dir(name)
    recogniser = recogniser_of(pack)
    if recogniser is None:
        raise ModelError(
            f"{pack}: no recognition network (an .onnx with one input of {ARCFACE_SIDE}x{ARCFACE_SIDE}) in this pack",
            "choose a pack that has one, such as buffalo_l, or a file",
        )
    return recogniser


def recogniser_of(pack: Path) -> Path | None:
    """The file of a pack that InsightFace takes for the recogniser; None if there is none."""
    for path in sorted(pack.glob("*.onnx")):
        graph = read_onnx(path, with_weights=False).graph
        constants = {tensor.name for tensor in graph.initializer}
        inputs = [tensor for tensor in graph.input if tensor.name not in constants]
        if len(inputs) != 1 or len(graph.output) != 1:
            continue
        shape = [dim.dim_value for dim in inputs[0].type.tensor_type.shape.dim]
        if shape[2:] == [ARCFACE_SIDE, ARCFACE_SIDE]:
            return path
    return None


def to_input(crops: Image) -> Float32Array:
    """RGB crops (B, 112, 112, 3) uint8 as a network's input (B, 3, 112, 112), -1 to 1, scaled as InsightFace does."""
    return np.ascontiguousarray((crops.astype(np.float32).transpose(0, 3, 1, 2) - 127.5) / 127.5)


def embeddings_of(batches: Iterable[Image], embed: Embed, flip: bool = True) -> Float32Array:
    """Unit embeddings (N, E).

    Parameters
    ----------
    batches : iterable of (B, 112, 112, 3) uint8 arrays
        RGB.
    embed : callable
        The network.
    flip : bool
        Add the embedding of the mirror image, as InsightFace's verification does.
    """
    found = [np.zeros((0, 1), np.float32)]
    for crops in batches:
        pictures = to_input(crops)
        embeddings = embed(pictures)
        if flip:
            embeddings = embeddings + embed(np.ascontiguousarray(pictures[..., ::-1]))
        found.append(embeddings)
    stacked = np.concatenate(found[1:] or found)
    return np.asarray(stacked / np.maximum(np.linalg.norm(stacked, axis=1, keepdims=True), 1e-12), np.float32)
