"""ONNX Runtime sessions. No other module creates one."""

from __future__ import annotations

import contextlib
import functools
import importlib
import sys
import types
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Literal

from maskgen.errors import ModelError

Device = Literal["cpu", "cuda"]


def session(path: Path, threads: int = 0, device: Device = "cpu") -> Any:
    """An ``onnxruntime.InferenceSession``.

    Parameters
    ----------
    path : Path
        An ONNX file.
    threads : int
        Cores to use; 0 for all.
    device : {"cpu", "cuda"}
        Where it runs.

    Raises
    ------
    ModelError
        If the file cannot be loaded, or there is no such device.
    """
    import onnxruntime

    if not path.is_file():
        raise ModelError(f"{path}: no such model file")
    providers = _providers(device)
    try:
        return onnxruntime.InferenceSession(str(path), _options(threads), providers=providers)
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from error


def face_analysis(pack: Path, tasks: list[str], device: Device) -> Any:
    """An ``insightface.app.FaceAnalysis`` with some of a pack's networks, one thread each.

    Raises
    ------
    ModelError
        If the pack or the device is missing or unusable.
    """
    providers = _providers(device)
    with warnings.catch_warnings(), _postponed():
        warnings.simplefilter("ignore")  # deprecations inside InsightFace, nothing a user can act on
        from insightface.app import FaceAnalysis
    try:
        app = FaceAnalysis(
            name=str(pack),
            allowed_modules=tasks,
            providers=providers,
            sess_options=_options(1),
            # One session takes every input size: one for each would be no faster, and eight times as large.
            static_shape_sessions=False,
        )
        app.prepare(ctx_id=0 if device == "cuda" else -1)
    except AssertionError as error:
        raise ModelError(f"{pack}: no detection model (det*.onnx) in this pack") from error
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ModelError(f"{pack}: InsightFace cannot load the pack: {error}") from error
    # Where CUDA's libraries are missing, onnxruntime says so on stderr and takes the CPU.
    if device == "cuda" and any(
        "CUDAExecutionProvider" not in model.session.get_providers() for model in app.models.values()
    ):
        raise ModelError(
            "onnxruntime found no CUDA that works",
            "install its libraries (pip install 'onnxruntime-gpu[cuda,cudnn]'), or use {device=cpu}",
        )
    return app


# Of these nothing is asked: Azure's sends pictures to a server, and runs no network here.
_ELSEWHERE: Final = frozenset({"AzureExecutionProvider"})


def local_providers() -> list[str]:
    """ONNX Runtime's names of what could run networks on this machine, of which each needs drivers of its own."""
    import onnxruntime

    return [name for name in onnxruntime.get_available_providers() if name not in _ELSEWHERE]


def try_provider(name: str) -> None:
    """Run a network of one convolution, all of it with one provider.

    Raises
    ------
    ModelError
        If the provider does not load, leaves the network to the CPU, or computes something else.
    """
    import numpy as np
    import onnxruntime

    options = _options(1)
    if name != "CPUExecutionProvider":
        # Or the CPU would do what the provider cannot.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    try:
        network = onnxruntime.InferenceSession(_convolution(), options, providers=[name])
        (sums,) = network.run(None, {"x": np.ones((1, 1, 4, 4), np.float32)})
    except Exception as error:  # onnxruntime's exceptions share no base class
        raise ModelError(" ".join(str(error).split())) from error
    # How many of a pixel's neighbours, and itself, lie in the picture.
    expected = np.outer([2, 3, 3, 2], [2, 3, 3, 2])
    if not np.allclose(sums[0, 0], expected, atol=1e-2):
        raise ModelError(f"{name} computes wrongly: {sums[0, 0].tolist()} is not {expected.tolist()}")


def _convolution() -> bytes:
    """A network (1, 1, 4, 4) -> the same, which adds up 3x3 pixels; convolutions need most of what a driver has."""
    from onnx import TensorProto, helper

    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 1, 4, 4]) for name in "xy")
    weights = helper.make_tensor("w", TensorProto.FLOAT, [1, 1, 3, 3], [1.0] * 9)
    node = helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1])
    graph = helper.make_graph([node], "convolution", [x], [y], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


# What InsightFace imports, and what maskgen does not need of it: `requests`, for downloads, brings urllib3, which opens
# a socket to learn whether there is IPv6; `skimage.transform` brings SciPy, which takes longer than all else; the mask
# renderer brings Albumentations, if it is installed.
_POSTPONED: Final = ("requests", "skimage.transform", "insightface.app.mask_renderer")


class _Stand(types.ModuleType):
    """Stands for a module, which is imported when it is used."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(self.__name__) is self:  # it is being imported, not used
            return functools.partial(self._call, name)
        return getattr(importlib.import_module(self.__name__), name)

    def _call(self, name: str, *arguments: object, **named: object) -> object:
        return getattr(self, name)(*arguments, **named)


@contextlib.contextmanager
def _postponed() -> Iterator[None]:
    """Whoever imports one of some modules meanwhile gets a stand-in for it."""
    stands = {name: _Stand(name) for name in _POSTPONED if name not in sys.modules}
    sys.modules.update(stands)
    try:
        yield
    finally:
        for name in stands:
            del sys.modules[name]


def _providers(device: Device) -> list[str]:
    import onnxruntime

    if device == "cuda" and "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        raise ModelError(
            "this onnxruntime has no CUDA",
            "install the extra gpu, then 'maskgen doctor' shows what is wrong; or use {device=cpu}",
        )
    return ["CUDAExecutionProvider"] * (device == "cuda") + ["CPUExecutionProvider"]


def _options(threads: int) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if threads == 1:
        options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what goes wrong comes as an exception, which says the same
    return options
