"""What is installed is complete, and importing it costs little."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import maskgen

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "onnxruntime", "insightface")


def python(code, cwd=ROOT, **env):
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize("module", ["maskgen", "maskgen.cli", "maskgen.run", "maskgen.masking.augment"])
def test_importing_loads_no_heavy_library(module):
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert python(code) == "[]\n"


def test_public_names_are_loaded_on_first_use():
    code = "import sys, maskgen; print('cv2' in sys.modules, maskgen.Catalog.__name__, maskgen.augment_image.__name__)"
    assert python(code) == "False Catalog augment_image\n"
    assert set(maskgen.__all__) <= set(dir(maskgen))
    with pytest.raises(AttributeError, match="no attribute 'Mask'"):
        maskgen.Mask  # noqa: B018


def test_python_m_maskgen_is_the_command_line():
    result = subprocess.run(
        [sys.executable, "-m", "maskgen", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == f"maskgen {maskgen.__version__}\n"


def test_the_changelog_opens_with_this_version():
    assert re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)[1] == maskgen.__version__


def test_the_readme_opens_with_the_demo_and_the_test_command_that_ci_runs():
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    demo, tests = blocks[:2]
    assert re.fullmatch(r"python3 -m venv .*pip install \. && .*maskgen augment --demo \S+\n", demo)
    assert re.fullmatch(r'python3 -m venv .*pip install -e "\.\[train,test\]" && .*pytest\n', tests)
    pattern = re.search(r"grep -m 1 -E '(.*?)' README\.md", (ROOT / ".ci" / "run").read_text())[1]
    first = next(line for line in (ROOT / "README.md").read_text().splitlines() if re.search(pattern, line))
    assert f"{first}\n" == tests


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The files of a wheel that was built from an sdist, unpacked as if installed."""
    folder = tmp_path_factory.mktemp("dist")
    build = "from setuptools import build_meta as b; print(b.build_{}({!r}))"
    source = folder / "checkout"
    source.mkdir()
    # Built in a place of its own: a build leaves folders behind.
    for name in ("maskgen", "masks", "setup.cfg", "setup.py", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    python(build.format("sdist", str(folder)), cwd=source)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "sdist", filter="data")
    (unpacked,) = (folder / "sdist").iterdir()
    python(build.format("wheel", str(folder)), cwd=unpacked)
    (archive,) = folder.glob("*.whl")
    with zipfile.ZipFile(archive) as file:
        file.extractall(folder / "installed")
    return folder / "installed"


def test_a_wheel_from_an_sdist_holds_every_data_file(wheel):
    expected = {path.relative_to(ROOT / "masks") for path in (ROOT / "masks").rglob("*") if path.is_file()}
    assert {
        path.relative_to(wheel / "maskgen" / "masks") for path in (wheel / "maskgen/masks").rglob("*.*")
    } >= expected
    bundled = ROOT / "maskgen" / "packs" / "bundled"
    for path in [
        ROOT / "maskgen" / "face" / "head.npz",
        ROOT / "maskgen" / "py.typed",
        *bundled.glob("*.onnx"),
        *bundled.glob("*.md"),
        *(ROOT / "maskgen" / "topics").glob("*.md"),
    ]:
        assert (wheel / path.relative_to(ROOT)).is_file(), path


def test_a_wheel_from_an_sdist_holds_every_module(wheel):
    modules = {path.relative_to(ROOT) for path in (ROOT / "maskgen").rglob("*.py")}
    assert {path.relative_to(wheel) for path in wheel.rglob("*.py")} == modules


def test_an_installed_wheel_finds_its_masks_and_its_head(wheel):
    code = (
        "import maskgen; from maskgen.catalog.store import Catalog; from maskgen.face.head import mean_head;"
        "print(maskgen.__file__); print(Catalog.load().root); print(mean_head().points_68.shape)"
    )
    lines = python(code, cwd=wheel, PYTHONPATH=str(wheel)).splitlines()
    assert lines == [str(wheel / "maskgen" / "__init__.py"), str(wheel / "maskgen" / "masks"), "(68, 3)"]


def test_an_installed_wheel_prints_its_topics(wheel):
    code = "from maskgen.cli import main; main(['help', 'exit-codes'])"
    topic = ROOT / "maskgen" / "topics" / "exit-codes.md"
    assert python(code, cwd=wheel, PYTHONPATH=str(wheel)) == topic.read_text()


def test_a_wheel_brings_the_command_and_the_licence(wheel):
    (metadata,) = wheel.glob("*.dist-info")
    assert "maskgen = maskgen.cli:main" in (metadata / "entry_points.txt").read_text()
    assert list(metadata.rglob("LICENSE"))
