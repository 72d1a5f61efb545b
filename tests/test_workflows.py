"""The workflows are valid, call what there is, and publish nothing that is unchecked."""

import importlib.util
import io
import os
import re
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import maskgen

ROOT = Path(__file__).parent.parent
CI = ROOT / ".ci" / "run"
WORKFLOWS = {path.name: path for path in sorted((ROOT / ".github" / "workflows").glob("*.yml"))}
pytestmark = pytest.mark.skipif(not WORKFLOWS, reason="the workflows are in the checkout, not in the sdist")
BASH = shutil.which("bash")
needs_bash = pytest.mark.skipif(BASH is None or os.name == "nt", reason="there is no bash")


def workflow(name):
    # YAML 1.1 takes the key "on" for true.
    read = yaml.safe_load(WORKFLOWS[name].read_text(encoding="utf-8"))
    return {"on" if key is True else key: value for key, value in read.items()}


def steps(name):
    for job in workflow(name)["jobs"].values():
        yield from job.get("steps", [])


def admitted():
    """The steps that .ci/run takes, each of which is a function of it."""
    text = CI.read_text(encoding="utf-8")
    names = set(re.search(r"=~ \^\(([a-z|]+)\)\$", text)[1].split("|"))
    assert names <= set(re.findall(r"^([a-z]+)\(\) \{$", text, re.MULTILINE))
    return names


@pytest.mark.parametrize("name", WORKFLOWS)
def test_a_workflow_has_what_github_needs(name):
    found = workflow(name)
    assert found["on"]
    assert found["permissions"] == {"contents": "read"}
    for job in found["jobs"].values():
        needed = job.get("needs", [])
        assert set([needed] if isinstance(needed, str) else needed) <= set(found["jobs"])
        if "uses" in job:
            assert (ROOT / job["uses"]).is_file()
            assert "workflow_call" in workflow(Path(job["uses"]).name)["on"]
            continue
        assert job["runs-on"]
        assert job["timeout-minutes"] <= 40
        assert job["steps"]
        assert all(("run" in step) != ("uses" in step) for step in job["steps"])


@pytest.mark.parametrize("name", WORKFLOWS)
def test_every_action_has_a_version(name):
    used = [step["uses"] for step in steps(name) if "uses" in step]
    assert used
    assert all(re.fullmatch(r"[\w-]+/[\w-]+@(v\d+|release/v\d+)", action) for action in used)


@needs_bash
@pytest.mark.parametrize("name", WORKFLOWS)
def test_commands_are_bash_and_steps_of_ci_run_exist(name):
    commands = [step["run"] for step in steps(name) if "run" in step]
    assert commands
    for command in commands:
        assert subprocess.run([BASH, "-n", "-c", command], check=False).returncode == 0
        for called in re.findall(r"\.ci/run((?: \w+)*)", command):
            assert called.split()
            assert set(called.split()) <= admitted()
    assert subprocess.run([BASH, "-n", CI], check=False).returncode == 0


def test_ci_runs_every_step_that_a_change_must_pass():
    called = {word for step in steps("ci.yml") for word in re.findall(r"\.ci/run (\w+)", step.get("run", ""))}
    tests = any("pytest" in step.get("run", "") for step in steps("ci.yml"))
    assert tests
    assert called | {"tests", "tag"} == admitted()


def test_a_release_is_published_from_a_tag_after_all_checks_and_without_a_password():
    found = workflow("release.yml")
    jobs = found["jobs"]
    assert found["on"] == {"push": {"tags": ["v*"]}}
    assert jobs["checks"]["uses"] == "./.github/workflows/ci.yml"
    assert (jobs["checks"]["needs"], jobs["publish"]["needs"]) == ("tag", "checks")
    assert jobs["publish"]["permissions"] == {"id-token": "write"}
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert [name for name, job in jobs.items() if "permissions" in job] == ["publish"]
    assert "secrets." not in WORKFLOWS["release.yml"].read_text(encoding="utf-8")


def test_what_is_published_is_what_was_checked():
    download, publish = workflow("release.yml")["jobs"]["publish"]["steps"]
    built = workflow("ci.yml")["jobs"]["wheel"]["steps"]
    (upload,) = [step for step in built if step.get("uses", "").startswith("actions/upload-artifact@")]
    assert upload["with"]["name"] == download["with"]["name"]
    assert [step.get("run") for step in built].index("bash .ci/run wheel") < built.index(upload)
    assert download["with"]["path"] == "dist/"  # where the action looks
    assert "with" not in publish
    text = CI.read_text(encoding="utf-8")
    wheel = text[text.index("\nwheel() {") : text.index("\n}", text.index("\nwheel() {"))]
    for check in ("-m build", "twine check --strict", ".ci/check_dist.py", "pip check", "augment --demo"):
        assert check in wheel


# ---- the tag


@needs_bash
@pytest.mark.parametrize(
    ("tag", "heading", "fault"),
    [
        (f"v{maskgen.__version__}", "2026-01-31", None),
        (f"v{maskgen.__version__}", "unreleased", "CHANGELOG.md has no heading"),
        ("v9.9.9", "2026-01-31", "the tag is 'v9.9.9'"),
        ("", "2026-01-31", "the tag is ''"),
    ],
)
def test_a_tag_that_is_not_the_version_of_a_released_changelog_stops_the_release(tag, heading, fault, tmp_path):
    (tmp_path / ".ci").mkdir()
    (tmp_path / "maskgen").mkdir()
    shutil.copy(CI, tmp_path / ".ci" / "run")
    shutil.copy(ROOT / "maskgen" / "__init__.py", tmp_path / "maskgen")
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## {maskgen.__version__} - {heading}\n")
    command = [BASH, tmp_path / ".ci" / "run", "tag"]
    done = subprocess.run(command, env=os.environ | {"TAG": tag}, capture_output=True, text=True, check=False)
    assert done.returncode == (0 if fault is None else 1)
    assert (fault or "") in done.stderr


# ---- what may be published


@pytest.fixture
def check_dist():
    spec = importlib.util.spec_from_file_location("check_dist", ROOT / ".ci" / "check_dist.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def dist(folder, wheel=(), sdist=(), version="1.0"):
    folder.mkdir()
    with zipfile.ZipFile(folder / "maskgen-1.0-py3-none-any.whl", "w") as file:
        for name in ("maskgen/__init__.py", "maskgen/masks/a/v.png", "maskgen/packs/bundled/det.onnx", *wheel):
            file.writestr(name, b"")
    with tarfile.open(folder / f"maskgen-{version}.tar.gz", "w:gz") as file:
        for name in ("setup.py", "tests/test_x.py", "masks/a/v.png", "maskgen/face/head.npz", *sdist):
            file.addfile(tarfile.TarInfo(f"maskgen-{version}/{name}"), io.BytesIO())
    return folder


def test_a_wheel_and_an_sdist_with_what_ships_may_be_published(check_dist, tmp_path):
    assert check_dist.faults(dist(tmp_path / "dist")) == []


@pytest.mark.parametrize(
    ("added", "fault"),
    [
        ({"wheel": ["tests/test_x.py"]}, "tests are not installed"),
        ({"wheel": ["maskgen/ann.jpg"]}, "maskgen/ann.jpg: data that maskgen does not ship"),
        ({"sdist": ["tests/data/lfw.bin"]}, "tests/data/lfw.bin: data that maskgen does not ship"),
        ({"sdist": ["tests/photographs/ann.PNG"]}, "ann.PNG: data that maskgen does not ship"),
        ({"sdist": ["maskgen/packs/w600k_r50.onnx"]}, "w600k_r50.onnx: data that maskgen does not ship"),
        ({"version": "1.1"}, "several versions"),
    ],
)
def test_data_of_tests_and_other_versions_are_not_published(added, fault, check_dist, tmp_path):
    (found,) = check_dist.faults(dist(tmp_path / "dist", **added))
    assert fault in found


def test_what_is_too_large_or_not_alone_is_not_published(check_dist, tmp_path, monkeypatch):
    folder = dist(tmp_path / "dist")
    monkeypatch.setattr(check_dist, "MAX_BYTES", 10)
    assert len(check_dist.faults(folder)) == 2
    monkeypatch.setattr(check_dist, "MAX_BYTES", 10**6)
    (folder / "notes.txt").touch()
    assert "expected one wheel and one sdist" in check_dist.faults(folder)[0]
