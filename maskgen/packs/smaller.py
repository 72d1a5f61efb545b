"""The same network in fewer bits: half precision, or whole numbers of eight bits."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from maskgen.arrays import Float32Array

_LAYERS = ("Conv", "Gemm", "MatMul")
"""What is computed in whole numbers; all else is cheap."""


def halve(source: Path, target: Path) -> None:
    """Write an ONNX whose weights are float16; it takes and gives float32 like the one that it comes from."""
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16
    from onnxruntime.transformers.onnx_model import OnnxModel

    with warnings.catch_warnings():
        # Numbers that are too small for float16 become its smallest one.
        warnings.simplefilter("ignore")
        model = convert_float_to_float16(onnx.load(str(source)), keep_io_types=True)
    OnnxModel.graph_topological_sort(model.graph)  # the casts come last
    _write(model, target)


def quantise(source: Path, target: Path, batches: Iterable[Float32Array]) -> None:
    """Write an ONNX that computes in int8, with a scale per output channel; it takes and gives float32.

    Parameters
    ----------
    source, target : Path
        The ONNX files.
    batches : iterable of (B, 3, 112, 112) arrays
        Typical input: the ranges of all layers are measured on it.
    """
    import onnx
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with TemporaryDirectory() as folder:
        ready, small = Path(folder, "ready.onnx"), Path(folder, "small.onnx")
        quant_pre_process(str(source), str(ready), skip_symbolic_shape=True)
        name = onnx.load(str(ready), load_external_data=False).graph.input[0].name
        quantize_static(
            str(ready),
            str(small),
            _reader({name: batch} for batch in batches),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(_LAYERS),
            per_channel=True,
            # Both signed: where one is not, processors without VNNI overflow.
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
        )
        model = onnx.load(str(small))
    _write(model, target)


def _write(model: object, target: Path) -> None:
    from maskgen import files

    files.write_whole(target, model.SerializeToString())  # type: ignore[attr-defined]


def _reader(feeds: Iterator[dict[str, Float32Array]]) -> object:
    from onnxruntime.quantization import CalibrationDataReader

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """As the calibration of ONNX Runtime asks for input."""

        def get_next(self) -> dict[str, Float32Array] | None:
            return next(feeds, None)

    return Reader()
