"""Python, the libraries, and where ONNX Runtime really runs networks."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import maskgen
from maskgen.cli.doctor.finding import REINSTALL, Finding, checked, tried
from maskgen.cli.extras import install

if TYPE_CHECKING:
    from packaging.requirements import Requirement

# Distributions that install one package: whichever came last overwrote files of the others. The first of each is the
# one that maskgen requires; any of them does.
_ONNX_RUNTIMES: Final = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-rocm",
    "onnxruntime-silicon",
    "onnxruntime-training",
)
_OPENCVS: Final = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
# Where a module is not called as its distribution.
_MODULES: Final[Mapping[str, str]] = {
    "opencv-python": "cv2",
    "pillow": "PIL",
    "protobuf": "google.protobuf",
    "scikit-image": "skimage",
}
# It brings a client of HTTP, which opens a socket; the self-test imports it without.
_LATER: Final = frozenset({"insightface"})
_EXTRAS: Final[Mapping[str, str]] = {
    "dask": "for --cluster",
    "eval": "for 'maskgen eval'",
    "gpu": "for --device cuda",
    "heic": "for pictures in HEIC",
    "train": "for 'maskgen train'",
}
_IMPORTS: Final = """
import importlib, json, sys
for name in sys.argv[1:]:
    print(json.dumps([name, None]), flush=True)
    try:
        module = importlib.import_module(name)
        fault = "" if getattr(module, "__file__", None) else "nothing but a folder is left of it"
    except BaseException as error:
        fault = f"{type(error).__name__}: {' '.join(str(error).split())}"
    print(json.dumps([name, fault]), flush=True)
"""
_PROVIDERS: Final = """
import json
from maskgen.packs.session import local_providers
print(json.dumps(local_providers()))
"""
_PROVIDER: Final = """
import sys
from maskgen.packs.session import try_provider
try:
    try_provider(sys.argv[1])
except Exception as error:
    sys.exit(" ".join(str(error).split()))
"""
_TORCH: Final = """
import json, torch
print(json.dumps([torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]))
"""


def version_of(name: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def findings() -> Iterator[Finding]:
    """Python, maskgen, what it requires, its extras, clashes, and providers."""
    yield Finding("python", "ok", f"{platform.python_version()}, {platform.platform()}")
    yield _maskgen()
    yield from checked("libraries", _libraries)
    yield from _clash("ONNX Runtime", _ONNX_RUNTIMES, "onnxruntime-gpu (or onnxruntime, for CPUs)")
    yield from _clash("OpenCV", _OPENCVS, "opencv-python")
    yield from _providers()
    if version_of("torch"):
        yield _torch()


def _maskgen() -> Finding:
    here, recorded = maskgen.__version__, version_of("maskgen")
    place = Path(maskgen.__file__).parent
    if recorded not in (None, here):
        return Finding("maskgen", "warning", f"{here} at {place}, but {recorded} is installed", REINSTALL)
    return Finding("maskgen", "ok", f"{here} at {place}")


def _libraries() -> Iterator[Finding]:
    if version_of("maskgen") is None:
        fault = "maskgen runs from a folder and is not installed: nothing tells which libraries it needs"
        yield Finding("libraries", "warning", fault, f"pip install -e {Path(maskgen.__file__).parents[1]}")
        return
    required = _required()
    yield from _base(required[""])
    for extra, what_for in _EXTRAS.items():
        if extra in required:
            yield _extra(extra, what_for, required[extra])


def _required() -> dict[str, list[Requirement]]:
    """What the installed maskgen requires here: of the base (""), and of each extra."""
    from packaging.requirements import Requirement

    required: dict[str, list[Requirement]] = {}
    for one in map(Requirement, importlib.metadata.requires("maskgen") or []):
        if one.marker is None or one.marker.evaluate({"extra": ""}):
            required.setdefault("", []).append(one)
            continue
        for extra in _EXTRAS:
            if one.name != "maskgen" and one.marker.evaluate({"extra": extra}):
                required.setdefault(extra, []).append(one)
    return required


def _base(required: Sequence[Requirement]) -> Iterator[Finding]:
    there = {one.name: _installed(one.name) for one in required}
    modules = {name: _MODULES.get(name, name.replace("-", "_")) for name in there if there[name] and name not in _LATER}
    faults = _import_faults(list(modules.values()))
    for one in required:
        found = there[one.name]
        if found is None:
            yield Finding(one.name, "broken", "not installed", f"pip install '{_wanted(one)}'")
            continue
        fault = faults.get(modules.get(one.name, ""), "")
        name, version = found
        said = version if name == one.name else f"{name} {version}"
        if name == one.name and not one.specifier.contains(version, prereleases=True):
            yield Finding(one.name, "broken", f"{said}; maskgen needs {_wanted(one)}", f"pip install '{_wanted(one)}'")
        elif fault:
            yield Finding(one.name, "broken", f"{said}, which cannot be imported: {fault}", _import_remedy(name, fault))
        else:
            yield Finding(one.name, "ok", said)


def _installed(name: str) -> tuple[str, str] | None:
    """(name, version) of a distribution, or of one that takes its place."""
    family = next((family for family in (_ONNX_RUNTIMES, _OPENCVS) if name == family[0]), (name,))
    return next(((one, version) for one in family if (version := version_of(one)) is not None), None)


def _wanted(requirement: Requirement) -> str:
    return f"{requirement.name}{requirement.specifier}"


def _import_faults(modules: list[str]) -> dict[str, str]:
    """Module -> why it cannot be imported, empty if it can."""
    faults: dict[str, str] = {}
    while left := [module for module in modules if module not in faults]:
        said, fault = tried(_IMPORTS, *left)
        faults |= {module: told for module, told in said if told is not None}
        begun = [module for module, _ in said if module not in faults]
        # If the process died on one, the others are tried again.
        faults = {**dict.fromkeys(begun or left, fault), **faults}
    return faults


def _import_remedy(name: str, fault: str) -> str:
    again = f"pip install --force-reinstall --no-deps {name}"
    if name not in _OPENCVS or ".so" not in fault:
        return again
    return (
        "install the system library that it names (Debian and Ubuntu: apt-get install libgl1 libglib2.0-0), or take "
        f"the OpenCV that needs no screen: pip uninstall -y {name} && pip install opencv-python-headless"
    )


def _extra(extra: str, what_for: str, required: Sequence[Requirement]) -> Finding:
    name, remedy = f"extra {extra}", f"{what_for}: {install(extra)}"
    versions = {one.name: version_of(one.name) for one in required}
    missing = [one for one, version in versions.items() if version is None]
    if missing:
        return Finding(name, "absent", f"{', '.join(missing)} not installed; not everybody needs it", remedy)
    said = ", ".join(f"{one} {version}" for one, version in versions.items())
    old = [one for one in required if not one.specifier.contains(versions[one.name] or "", prereleases=True)]
    if old:
        return Finding(name, "broken", f"{said}; maskgen needs {', '.join(map(_wanted, old))}", remedy)
    return Finding(name, "ok", said)


def _clash(what: str, family: Sequence[str], keep: str) -> Iterator[Finding]:
    there = {name: version for name in family if (version := version_of(name)) is not None}
    if len(there) < 2:
        return
    said = " and ".join(f"{name} {version}" for name, version in there.items())
    yield Finding(
        what,
        "broken",
        f"{said} are installed at once and overwrite each other",
        f"pip uninstall -y {' '.join(there)} && pip install {keep}",
    )


def _providers() -> Iterator[Finding]:
    said, fault = tried(_PROVIDERS)
    if fault or not said:
        yield Finding("ONNX Runtime", "broken", fault or "it names no providers", REINSTALL)
        return
    for provider in said[0]:
        yield _provider(provider)


def _provider(provider: str) -> Finding:
    fault = tried(_PROVIDER, provider).fault
    if not fault:
        return Finding(provider, "ok", "ran a network")
    if provider == "CUDAExecutionProvider":
        return Finding(
            provider,
            "broken",
            f"ran no network: {fault}",
            "nvidia-smi must show the GPU; then pip install 'onnxruntime-gpu[cuda,cudnn]'; --device cpu needs none",
        )
    if provider == "CPUExecutionProvider":
        return Finding(provider, "broken", f"ran no network: {fault}", "pip install --force-reinstall onnxruntime")
    return Finding(provider, "absent", f"ran no network, and maskgen does not use it: {fault}")


def _torch() -> Finding:
    said, fault = tried(_TORCH)
    if fault:
        return Finding("torch", "broken", f"cannot be used: {fault}", "install it as pytorch.org says")
    return Finding("torch", "ok", f"GPUs: {', '.join(said[0]) or 'none, it trains on the CPU'}")
