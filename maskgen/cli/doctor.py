"""``maskgen doctor``: whether this installation works, and what to do if it does not."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Final, Literal

import click

import maskgen
from maskgen.catalog.places import CATALOG_FILE, OWN, SHIPPED, user_catalog_dir
from maskgen.catalog.store import Catalog
from maskgen.cli import console
from maskgen.errors import MaskgenError

LIBRARIES: Final = (
    "numpy",
    "scipy",
    "opencv-python",
    "pillow",
    "scikit-image",
    "joblib",
    "filelock",
    "platformdirs",
    "pydantic",
    "insightface",
    "onnxruntime",
    "onnxruntime-gpu",
    "torch",
)
OPTIONAL: Final = frozenset({"onnxruntime", "onnxruntime-gpu", "torch", "opencv-python"})


@dataclass(frozen=True)
class Finding:
    """What was found about one thing.

    Attributes
    ----------
    name : str
        What was looked at.
    state : {"ok", "absent", "broken"}
        Only ``broken`` is a fault.
    detail : str
        What was found.
    remedy : str
        What to do; empty if nothing.
    """

    name: str
    state: Literal["ok", "absent", "broken"]
    detail: str
    remedy: str = ""


@click.command(cls=console.Command, short_help="Check this installation.")
@click.option("--json", "as_json", is_flag=True, help="Print the findings as JSON.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check versions, ONNX Runtime, the bundled model pack and the mask catalog; exit 1 if something is broken."""
    findings = list(examine())
    if as_json:
        console.answer_json([asdict(finding) for finding in findings], indent=1)
    else:
        rows: list[tuple[str, str, str]] = []
        for finding in findings:
            rows.append((finding.state, finding.name, finding.detail))
            if finding.remedy:
                rows.append(("", "", f"-> {finding.remedy}"))
        console.table(rows)
    if any(finding.state == "broken" for finding in findings):
        ctx.exit(console.ERROR)


def examine() -> Iterator[Finding]:
    """All findings: versions first, then what depends on them."""
    yield Finding("python", "ok", platform.python_version())
    yield Finding("maskgen", "ok", maskgen.__version__)
    for name in LIBRARIES:
        yield _library(name)
    yield _checked("onnx runtime", _runtime)
    yield _checked("bundled pack", _bundled_pack)
    yield _checked("mask catalog", _catalog)
    yield _own_catalog()


def version_of(name: str) -> str | None:
    """The installed version of a distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _library(name: str) -> Finding:
    version = version_of(name)
    if version is not None:
        return Finding(name, "ok", version)
    if name in OPTIONAL:
        return Finding(name, "absent", "not installed; not everybody needs it")
    return Finding(name, "broken", "not installed", f"pip install {name}")


def _checked(name: str, look: Callable[[], Finding]) -> Finding:
    try:
        return look()
    except (MaskgenError, ImportError) as error:
        return Finding(name, "broken", str(error), "pip install --force-reinstall maskgen")


def _runtime() -> Finding:
    name = "onnx runtime"
    if version_of("onnxruntime") and version_of("onnxruntime-gpu"):
        # Both install the same package "onnxruntime": whichever came last overwrote half of the other.
        return Finding(
            name,
            "broken",
            "onnxruntime and onnxruntime-gpu are both installed and overwrite each other",
            "pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu (or onnxruntime, for CPUs)",
        )
    import onnxruntime

    return Finding(name, "ok", "providers: " + ", ".join(onnxruntime.get_available_providers()))


def _bundled_pack() -> Finding:
    from maskgen.detect import FaceDetector
    from maskgen.packs.find import BUNDLED, model_sha256
    from maskgen.parse import FaceParser

    detector = FaceDetector()
    FaceParser()
    return Finding("bundled pack", "ok", f"{detector.pack}, sha256 {model_sha256(BUNDLED)[:12]}")


def _catalog() -> Finding:
    catalog = Catalog.load()
    designs = console.counted(len(catalog.designs), "design")
    return Finding("mask catalog", "ok", f"{catalog.roots[0]}, {designs}, sha256 {catalog.sha256[:12]}")


def _own_catalog() -> Finding:
    name, root = "your own masks", user_catalog_dir()
    if not (root / CATALOG_FILE).exists():
        return Finding(name, "absent", f"{root}: none yet; 'maskgen catalog add' makes some")
    try:
        # With the one that ships, as commands see it.
        catalog = Catalog.load((SHIPPED, OWN))
    except MaskgenError as error:
        return Finding(name, "broken", error.fault, "restore it, or take designs out with 'maskgen catalog remove'")
    return Finding(name, "ok", f"{root}, {console.counted(len(catalog.own), 'design')}")
