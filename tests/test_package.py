"""What is installed is complete, what is imported is declared, and importing it costs little."""

import ast
import configparser
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email import message_from_string
from pathlib import Path

import pytest

import maskgen

ROOT = Path(__file__).parent.parent
HEAVY = ("torch", "onnxruntime", "insightface", "distributed")
# In the sdist, not in the wheel: the code that trained the bundled pack.
LEFT_OUT = ("packtraining",)
# Where a library is not called what its distribution is called.
DISTRIBUTIONS = {
    "cv2": "opencv-python",
    "google": "protobuf",
    "pillow_heif": "pillow-heif",
    "PIL": "pillow",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn",
    "yaml": "pyyaml",
}
# Which extras a room may count on beside the base. `maskgen eval` of a .pth asks for torch itself.
EXTRAS = {
    "cli/eval.py": {"train"},
    "evaluate": {"eval"},
    "packtraining": {"train"},
    "parallel/dask.py": {"dask"},
    "parallel/dask_worker.py": {"dask"},
    "train": {"train"},
}


def python(code, cwd=ROOT, **env):
    ended = subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=os.environ | env, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


@pytest.mark.parametrize(
    "module",
    [
        "maskgen",
        "maskgen.cli",
        "maskgen.run.job",
        "maskgen.masking.augment",
        "maskgen.transforms",
        "maskgen.recognition.faces",
    ],
)
def test_importing_loads_no_heavy_library(module):
    code = f"import sys, {module}; print([name for name in {HEAVY} if name in sys.modules])"
    assert python(code) == "[]\n"


def test_the_command_line_starts_without_any_library_but_click():
    libraries = (
        "numpy",
        "pydantic",
        "PIL",
        "torch",
        "onnxruntime",
        "insightface",
        "scipy",
        "cv2",
        "joblib",
        "dask",
        "rich",
    )
    code = f"import sys, maskgen.cli; print([name for name in {libraries} if name in sys.modules])"
    assert python(code) == "[]\n"


@pytest.mark.parametrize(
    "module", ["maskgen.run.settings", "maskgen.train.settings", "maskgen.train.results", "maskgen.evaluate.results"]
)
def test_settings_and_results_load_nothing_heavier_than_pydantic(module):
    libraries = "numpy", "PIL", "torch", "onnxruntime", "insightface", "scipy", "cv2", "joblib"
    code = f"import sys, {module}; print([name for name in {libraries} if name in sys.modules])"
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


# ---- what is imported is declared


def configuration():
    config = configparser.ConfigParser(interpolation=None)
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


def declared():
    """The names of the required distributions: of the base (""), and of each extra with those that it takes in."""
    setup = configuration()
    lines = {"": setup["options"]["install_requires"], **setup["options.extras_require"]}
    names = {
        extra: {re.match(r"[\w.-]+(\[\w+\])?", line)[0] for line in text.split("\n") if line}
        for extra, text in lines.items()
    }
    taken_in = {extra: {name for name in names if f"maskgen[{name}]" in names[extra]} for extra in names}
    return {extra: names[extra].union(*(names[other] for other in taken_in[extra])) for extra in names}


def imported(path):
    """The top-level names of the libraries that a file imports, at its head or later, without the standard library."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module]
        else:
            continue
        yield from {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def lies_in(path, rooms):
    """Those of the rooms, named from the package on, that a file of the package lies in or is."""
    place = path.relative_to(ROOT / "maskgen")
    return [room for room in rooms if Path(room) in (place, *place.parents)]


def test_what_a_room_imports_is_declared_in_the_base_or_in_its_extra():
    required = declared()
    undeclared = set()
    for path in (ROOT / "maskgen").rglob("*.py"):
        extras = {"", *(extra for room in lies_in(path, EXTRAS) for extra in EXTRAS[room])}
        allowed = {"maskgen"}.union(*(required[extra] for extra in extras))
        needed = {DISTRIBUTIONS.get(name, name) for name in imported(path)}
        undeclared |= {(str(path.relative_to(ROOT)), name) for name in needed - allowed}
    assert not undeclared


def test_what_the_tests_import_is_declared():
    helpers = {path.stem for path in (ROOT / "tests").rglob("*.py")}
    # The tools of an attack are run from the checkout: python -m tests.attack.kills.
    allowed = {"maskgen", "tests"}.union(*(names for extra, names in declared().items() if extra != "dev"))
    needed = {name for path in (ROOT / "tests").rglob("*.py") for name in imported(path)} - helpers
    assert {DISTRIBUTIONS.get(name, name) for name in needed} <= allowed


def test_every_requirement_names_its_lowest_version():
    required = declared()
    command = [sys.executable, ROOT / ".ci" / "lowest.py", *(extra for extra in required if extra)]
    lowest = subprocess.run(command, capture_output=True, text=True, check=False)
    assert lowest.returncode == 0, lowest.stderr
    pinned = {line.partition("==")[0] for line in lowest.stdout.splitlines()}
    assert pinned == {name for names in required.values() for name in names if not name.startswith("maskgen")}


# ---- what is installed


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    """The files of an sdist, unpacked."""
    folder = tmp_path_factory.mktemp("sdist")
    source = folder / "checkout"
    source.mkdir()
    # Built in a place of its own: a build leaves folders behind.
    for name in ("maskgen", "masks", "tests", "setup.cfg", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        (source / name).symlink_to(ROOT / name)
    python(f"from setuptools import build_meta as b; b.build_sdist({str(folder)!r})", cwd=source)
    (archive,) = folder.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        file.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return unpacked


@pytest.fixture(scope="module")
def wheel(sdist, tmp_path_factory):
    """The files of a wheel that was built from an sdist, unpacked as if installed."""
    folder = tmp_path_factory.mktemp("wheel")
    python(f"from setuptools import build_meta as b; b.build_wheel({str(folder)!r})", cwd=sdist)
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
        *(ROOT / "maskgen" / "face").glob("*.npz"),
        *(ROOT / "maskgen" / "topics").glob("*.md"),
        ROOT / "maskgen" / "py.typed",
        *bundled.glob("*.onnx"),
        *bundled.glob("*.md"),
    ]:
        assert (wheel / path.relative_to(ROOT)).is_file(), path


def test_a_wheel_from_an_sdist_holds_every_module_but_those_that_trained_the_bundled_pack(wheel):
    modules = {path for path in (ROOT / "maskgen").rglob("*.py") if not lies_in(path, LEFT_OUT)}
    assert {path.relative_to(wheel) for path in wheel.rglob("*.py")} == {path.relative_to(ROOT) for path in modules}


def test_no_module_of_the_wheel_imports_one_that_is_left_out(wheel):
    left_out = "|".join(place.replace("/", r"\.") for place in LEFT_OUT)
    imports = re.compile(rf"^\s*(from|import) maskgen\.({left_out})\b", re.MULTILINE)
    assert not [path for path in wheel.rglob("*.py") if imports.search(path.read_text(encoding="utf-8"))]


def test_an_sdist_holds_the_code_that_trained_the_bundled_pack_and_the_tests(sdist):
    trained = {path for path in (ROOT / "maskgen").rglob("*.py") if lies_in(path, LEFT_OUT)}
    assert trained
    for path in (*trained, *(ROOT / "tests").rglob("*.py")):
        assert (sdist / path.relative_to(ROOT)).is_file(), path


def test_an_installed_wheel_finds_its_masks_and_its_head(wheel):
    code = (
        "import maskgen; from maskgen import Catalog; from maskgen.face.head import mean_head;"
        "print(maskgen.__file__); print(Catalog.load().roots[0]); print(mean_head().points_68.shape)"
    )
    lines = python(code, cwd=wheel, PYTHONPATH=str(wheel)).splitlines()
    assert lines == [str(wheel / "maskgen" / "__init__.py"), str(wheel / "maskgen" / "masks"), "(68, 3)"]


def test_a_wheel_brings_the_command_and_the_licence(wheel):
    (info,) = wheel.glob("*.dist-info")
    assert "maskgen = maskgen.__main__:main" in (info / "entry_points.txt").read_text()
    assert list(info.rglob("LICENSE"))
    metadata = message_from_string((info / "METADATA").read_text(encoding="utf-8"))
    assert metadata["License-Expression"] == "MIT AND CC0-1.0"
    assert metadata["License"] is None


def test_classifiers_name_each_version_of_python_that_is_admitted():
    setup = configuration()
    first, beyond = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", setup["options"]["python_requires"]).groups()
    named = re.findall(r":: 3\.(\d+)$", setup["metadata"]["classifiers"], re.MULTILINE)
    assert [int(minor) for minor in named] == list(range(int(first), int(beyond)))
