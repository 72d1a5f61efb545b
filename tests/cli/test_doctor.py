"""maskgen doctor: whatever is wrong with an installation or a machine is a line that says what to do."""

import collections
import errno
import importlib.metadata
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

import maskgen
from maskgen.cli import doctor as doctor_cli
from maskgen.cli import main
from maskgen.cli.doctor import finding, machine, software
from maskgen.cli.doctor.finding import Finding, Tried
from maskgen.errors import ModelError
from maskgen.packs import session
from maskgen.packs.find import BUNDLED, Lock, model_sha256, pack_sha256, write_lock

ROOT = Path(maskgen.__file__).parents[1]
GB = 10**9
Usage = collections.namedtuple("Usage", "total used free")


@pytest.fixture(scope="module")
def here():
    """What a doctor says of this machine, and the findings by name."""
    with pytest.MonkeyPatch.context() as patch:
        # Its import takes longer than all else.
        patch.setattr(
            software, "version_of", lambda name, real=software.version_of: (name != "torch" and real(name)) or None
        )
        result = CliRunner().invoke(main, ["doctor", str(ROOT), "--json"])
    return result, {one["name"]: one for one in json.loads(result.stdout)}


@pytest.fixture
def versions(monkeypatch):
    """The distributions that are installed; what no test needs has the version that it has."""
    there = {}
    real = software.version_of
    monkeypatch.setattr(software, "version_of", lambda name: there.get(name, real(name)))
    return there


@pytest.fixture
def answers(monkeypatch):
    """What processes that try things answer, by their code; all goes well by default."""
    given = {
        software._PROVIDERS: Tried([["CPUExecutionProvider"]], ""),
        software._TORCH: Tried([[]], ""),
        doctor_cli._SELF_TEST: Tried([[0.5, 0.25, 1, 1]], ""),
    }

    def answer(code, *arguments):
        found = given.get((code, *arguments), given.get(code))
        if found is None:
            found = Tried([[name, ""] for name in arguments] if code == software._IMPORTS else [], "")
        return found

    monkeypatch.setattr(software, "tried", answer)
    monkeypatch.setattr(doctor_cli, "tried", answer)
    monkeypatch.setattr(machine, "write_speed", lambda folder, size: 1e9)
    return given


def named(findings):
    return {one.name: one for one in findings}


def needs(monkeypatch, *lines):
    monkeypatch.setattr(software, "_required", lambda: {"": [Requirement(line) for line in lines]})


# ---- here


def test_it_tells_versions_providers_packs_catalogs_disks_and_puts_a_mask_on_a_sample(here):
    result, found = here
    assert result.exit_code == 0
    assert found["insightface"]["detail"] == importlib.metadata.version("insightface")
    assert found["maskgen"]["detail"].startswith(maskgen.__version__)
    assert found["CPUExecutionProvider"] == {
        "name": "CPUExecutionProvider",
        "state": "ok",
        "detail": "ran a network",
        "remedy": "",
    }
    assert model_sha256(BUNDLED)[:12] in found["bundled pack"]["detail"]
    assert found["mask catalog"]["state"] == "ok"
    assert re.search(r"GB free, takes \d+ MB/s", found["disk of OUT"]["detail"])
    assert re.search(r"GB free, takes \d+ MB/s", found["temporary files"]["detail"])
    assert re.match(r"1 mask on 1 face of a sample photograph in \d+\.\d+ s", found["self-test"]["detail"])


def test_a_line_has_the_state_the_thing_and_what_to_do(answers, monkeypatch):
    monkeypatch.setattr(doctor_cli, "examine", lambda out: iter([Finding("thing", "warning", "slow", "buy another")]))
    result = CliRunner().invoke(main, ["doctor"])
    assert [line.split() for line in result.stdout.splitlines()] == [
        ["warning", "thing", "slow"],
        ["->", "buy", "another"],
    ]
    assert result.exit_code == 0


@pytest.mark.parametrize(("state", "code"), [("ok", 0), ("absent", 0), ("warning", 0), ("broken", 1)])
def test_only_what_is_broken_makes_the_exit_code_1(state, code, monkeypatch):
    monkeypatch.setattr(doctor_cli, "examine", lambda out: iter([Finding("thing", state, "")]))
    assert CliRunner().invoke(main, ["doctor", "--json"]).exit_code == code


# ---- broken installations

_BLOCK = """
import os, sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in os.environ["MISSING"].split(","):
            raise ImportError(f"{name} is missing", name=name)
sys.meta_path.insert(0, Missing())
"""
LIBRARIES = (
    "PIL,cv2,filelock,google,insightface,jinja2,joblib,numpy,onnx,onnxruntime,packaging,platformdirs,pydantic,"
    "pydantic_core,rich,scipy,skimage,torch"
)


@pytest.mark.parametrize("missing", [LIBRARIES, "numpy"], ids=["all", "numpy"])
def test_libraries_that_cannot_be_imported_are_lines_and_no_traceback(missing, tmp_path):
    (tmp_path / "sitecustomize.py").write_text(_BLOCK)
    environment = os.environ | {"MISSING": missing, "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "maskgen", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "Traceback" not in done.stdout
    lines = done.stdout.splitlines()
    assert all(re.match(r"(ok|absent|warning|broken) +\S| +-> \S", line) for line in lines)
    broken = [number for number, line in enumerate(lines) if line.startswith("broken")]
    assert broken
    assert all("->" in lines[number + 1] for number in broken)
    assert f"{missing.split(',')[-1]} is missing" in done.stdout


def test_not_even_the_library_of_the_command_line_is_missed_with_a_traceback(tmp_path):
    (tmp_path / "sitecustomize.py").write_text(_BLOCK)
    environment = os.environ | {"MISSING": "click", "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    command = [sys.executable, "-m", "maskgen", "doctor"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == "error: click cannot be imported: click is missing; reinstall maskgen\n"


def test_a_missing_library_says_how_to_install_it(answers, versions):
    versions["insightface"] = None
    found = named(software.findings())["insightface"]
    assert (found.state, found.detail) == ("broken", "not installed")
    assert found.remedy.startswith("pip install 'insightface>=")


def test_a_library_that_is_too_old_says_which_one_is_needed(answers, versions, monkeypatch):
    needs(monkeypatch, "numpy>=2.1")
    versions["numpy"] = "1.26.4"
    found = named(software.findings())["numpy"]
    assert found == Finding("numpy", "broken", "1.26.4; maskgen needs numpy>=2.1", "pip install 'numpy>=2.1'")


def test_a_library_that_ends_the_process_costs_no_line_of_the_others(answers, monkeypatch):
    needs(monkeypatch, "scipy", "numpy", "joblib")
    answers[software._IMPORTS, "scipy", "numpy", "joblib"] = Tried(
        [["scipy", None], ["scipy", ""], ["numpy", None]], "the process crashed (SIGILL)"
    )
    found = named(software.findings())
    assert [found[name].state for name in ("scipy", "numpy", "joblib")] == ["ok", "broken", "ok"]
    assert "cannot be imported: the process crashed (SIGILL)" in found["numpy"].detail
    assert found["numpy"].remedy == "pip install --force-reinstall --no-deps numpy"


def test_an_opencv_without_its_system_library_says_how_to_get_it(answers, monkeypatch):
    needs(monkeypatch, "opencv-python")
    fault = "ImportError: libGL.so.1: cannot open shared object file"
    answers[software._IMPORTS] = Tried([["cv2", fault]], "")
    found = named(software.findings())["opencv-python"]
    assert fault in found.detail
    assert "apt-get install libgl1" in found.remedy
    assert "pip install opencv-python-headless" in found.remedy


def test_a_library_of_which_only_a_folder_is_left_is_broken(tmp_path, monkeypatch):
    (tmp_path / "leftover").mkdir()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    said, fault = finding.tried(software._IMPORTS, "leftover", "json")
    assert fault == ""
    assert dict(said) == {"leftover": "nothing but a folder is left of it", "json": ""}


@pytest.mark.parametrize(
    ("both", "keep"),
    [
        (("onnxruntime", "onnxruntime-gpu"), "onnxruntime-gpu (or onnxruntime, for CPUs)"),
        (("onnxruntime", "onnxruntime-directml"), "onnxruntime-gpu (or onnxruntime, for CPUs)"),
        (("opencv-python", "opencv-python-headless"), "opencv-python"),
        (("opencv-python", "opencv-contrib-python"), "opencv-python"),
    ],
)
def test_libraries_that_overwrite_each_other_are_found_and_the_remedy_is_printed(answers, both, keep, versions):
    versions |= dict.fromkeys(both, "1.2.3")
    (found,) = [one for one in named(software.findings()).values() if "overwrite each other" in one.detail]
    assert found.state == "broken"
    assert all(f"{name} 1.2.3" in found.detail for name in both)
    assert found.remedy == f"pip uninstall -y {' '.join(both)} && pip install {keep}"


@pytest.mark.parametrize(
    ("required", "other"), [("onnxruntime", "onnxruntime-gpu"), ("opencv-python", "opencv-python-headless")]
)
def test_what_takes_the_place_of_a_library_is_as_good(answers, required, other, versions, monkeypatch):
    needs(monkeypatch, f"{required}>=1")
    versions |= {required: None, other: "1.2.3"}
    assert named(software.findings())[required] == Finding(required, "ok", f"{other} 1.2.3")


def test_an_extra_that_is_not_installed_is_no_fault_and_says_what_it_is_for(answers, versions, monkeypatch):
    monkeypatch.setattr(software, "_required", lambda: {"": [], "train": [Requirement("torch>=2.4")]})
    versions["torch"] = None
    found = named(software.findings())["extra train"]
    assert found.state == "absent"
    assert found.remedy.startswith("for 'maskgen train': pip install ")
    versions["torch"] = "2.3"
    assert named(software.findings())["extra train"].state == "broken"


def test_every_extra_of_users_is_looked_at():
    setup = (ROOT / "setup.cfg").read_text(encoding="utf-8")
    section = setup.partition("[options.extras_require]")[2].partition("\n[")[0]
    assert set(re.findall(r"^(\w+) =", section, re.MULTILINE)) - {"dev", "test"} == set(software._EXTRAS)


def test_a_checkout_that_is_not_installed_says_so(answers, versions):
    versions["maskgen"] = None
    assert named(software.findings())["libraries"].state == "warning"
    assert named(software.findings())["libraries"].remedy.startswith("pip install -e ")


def test_an_installation_of_another_version_is_told(answers, versions):
    versions["maskgen"] = "0.0.1"
    assert (
        named(software.findings())["maskgen"].state,
        "0.0.1 is installed" in named(software.findings())["maskgen"].detail,
    ) == ("warning", True)


# ---- providers


@pytest.mark.parametrize(
    ("provider", "state"), [("CPUExecutionProvider", "broken"), ("CUDAExecutionProvider", "broken"), ("X", "absent")]
)
def test_a_provider_that_runs_nothing_is_broken_if_maskgen_uses_it(provider, state, answers):
    answers[software._PROVIDERS] = Tried([[provider]], "")
    answers[software._PROVIDER] = Tried([], "libcudnn.so.9 is missing")
    found = named(software.findings())[provider]
    assert found.state == state
    assert "libcudnn.so.9 is missing" in found.detail
    assert bool(found.remedy) == (state == "broken")


def test_a_provider_that_leaves_the_network_to_the_cpu_does_not_count():
    session.try_provider("CPUExecutionProvider")
    with pytest.warns(UserWarning, match="not in available"), pytest.raises(ModelError):
        session.try_provider("CUDAExecutionProvider")  # where there is none, onnxruntime takes the CPU unasked


def test_a_provider_that_computes_wrongly_is_told(monkeypatch):
    class Wrong:
        def __init__(self, *args, **options): ...

        def run(self, outputs, inputs):
            return [inputs["x"]]

    monkeypatch.setattr("onnxruntime.InferenceSession", Wrong)
    with pytest.raises(ModelError, match="computes wrongly"):
        session.try_provider("CPUExecutionProvider")


def test_a_torch_that_cannot_be_imported_is_broken_and_gpus_are_named(answers, versions):
    versions["torch"] = "2.9"
    answers[software._TORCH] = Tried([["NVIDIA H100"]], "")
    assert named(software.findings())["torch"] == Finding("torch", "ok", "GPUs: NVIDIA H100")
    answers[software._TORCH] = Tried([], "OSError: libcublas.so.12")
    assert named(software.findings())["torch"].state == "broken"


# ---- the machine


@pytest.mark.parametrize(
    ("free", "speed", "state"), [(100 * GB, 1e9, "ok"), (GB // 2, 1e9, "warning"), (100 * GB, 1e6, "warning")]
)
def test_little_room_and_a_slow_disk_are_warnings(answers, free, speed, state, monkeypatch, tmp_path):
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(200 * GB, 0, free))
    monkeypatch.setattr(machine, "write_speed", lambda folder, size: speed)
    found = named(machine.findings(tmp_path / "not" / "yet"))
    assert (found["disk of OUT"].state, found["temporary files"].state) == (state, state)
    assert found["disk of OUT"].detail == f"{tmp_path}: {free / GB:.1f} GB free, takes {speed / 1e6:.0f} MB/s"
    assert bool(found["disk of OUT"].remedy) == (state == "warning")


@pytest.mark.parametrize("code", [errno.EROFS, errno.EACCES, errno.ENOSPC])
def test_a_disk_that_takes_nothing_is_broken(answers, code, monkeypatch, tmp_path):
    def fail(folder, size):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(machine, "write_speed", fail)
    found = named(machine.findings(tmp_path))["disk of OUT"]
    assert found.state == "broken"
    assert os.strerror(code) in found.detail
    assert found.remedy


def test_the_speed_of_a_disk_is_that_of_what_was_written_and_leaves_nothing(tmp_path):
    assert machine.write_speed(tmp_path, 2 * 10**6) > 0
    assert not list(tmp_path.iterdir())


def test_no_disk_is_looked_at_for_an_output_that_nobody_named(answers):
    assert "disk of OUT" not in named(machine.findings(None))


def test_little_shared_memory_is_a_warning_and_none_is_not_named(answers, monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "_SHARED_MEMORY", tmp_path)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(64 * 10**6, 0, 64 * 10**6))
    found = named(machine.findings(None))[str(tmp_path)]
    assert (found.state, found.detail.startswith("64 MB, 64 MB free")) == ("warning", True)
    assert "--shm-size" in found.remedy
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(8 * GB, 0, 8 * GB))
    assert named(machine.findings(None))[str(tmp_path)].state == "ok"
    monkeypatch.setattr(machine, "_SHARED_MEMORY", tmp_path / "none")
    assert str(tmp_path / "none") not in named(machine.findings(None))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no such limit")
@pytest.mark.parametrize(
    ("soft", "hard", "state", "remedy"),
    [
        (256, -1, "warning", "ulimit -n 4096"),
        (256, 512, "warning", "ulimit -n 512"),
        (256, 256, "warning", "nofile in /etc/security/limits.conf, or what starts your jobs"),
        (1024, 1024, "ok", ""),
        (-1, -1, "ok", ""),
    ],
)
def test_few_open_files_are_a_warning(answers, soft, hard, state, remedy, monkeypatch):
    import resource

    assert resource.RLIM_INFINITY == -1
    monkeypatch.setattr(resource, "getrlimit", lambda which: (soft, hard))
    found = named(machine.findings(None))["open files"]
    assert found.state == state
    assert found.remedy.endswith(remedy)


# ---- packs, catalogs, self-test


def test_packs_are_hashed_and_compared_with_what_was_fetched(answers, monkeypatch, tmp_path):
    monkeypatch.setattr("maskgen.packs.find.INSTALLED", tmp_path)
    for name in ("copied", "fetched", "changed", "empty"):
        (tmp_path / name).mkdir()
        if name != "empty":
            (tmp_path / name / "det.onnx").write_bytes(b"net")
    sha256 = pack_sha256(tmp_path / "fetched")
    write_lock(tmp_path / "fetched", Lock(pack_sha256=sha256))
    write_lock(tmp_path / "changed", Lock(pack_sha256="0" * 64))
    found = named(doctor_cli.examine())
    states = [found[f"pack {name}"].state for name in ("copied", "fetched", "changed", "empty")]
    assert states == ["ok", "ok", "broken", "absent"]
    assert all(sha256[:12] in found[f"pack {name}"].detail for name in ("copied", "fetched", "changed"))
    assert found["pack changed"].remedy == f"delete {tmp_path / 'changed'}; maskgen models fetch changed"


def test_a_record_of_a_pack_that_is_damaged_is_a_line(answers, monkeypatch, tmp_path):
    monkeypatch.setattr("maskgen.packs.find.INSTALLED", tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a.maskgen.json").write_text("{")
    found = named(doctor_cli.examine())["model packs"]
    assert (found.state, "a.maskgen.json" in found.detail) == ("broken", True)
    assert found.remedy


@pytest.mark.parametrize("error", [OSError("no disk"), ValueError("numpy.dtype size changed"), AttributeError("x")])
def test_whatever_goes_wrong_with_a_pack_or_a_catalog_is_a_line_with_the_kind_of_error(answers, error, monkeypatch):
    def fail(*args):
        raise error

    monkeypatch.setattr("maskgen.packs.find.model_sha256", fail)
    monkeypatch.setattr("maskgen.catalog.store.Catalog.load", fail)
    found = named(doctor_cli.examine())
    for name in ("bundled pack", "mask catalog"):
        assert found[name].state == "broken"
        assert found[name].detail == f"{type(error).__name__}: {error}"
        assert found[name].remedy == finding.REINSTALL


@pytest.mark.parametrize(
    "answer",
    [Tried([[0.5, 0.25, 1, 0]], ""), Tried([], "ModelError: det.onnx: onnxruntime cannot load it"), Tried([], "")],
)
def test_a_sample_without_a_mask_is_broken(answer, answers):
    answers[doctor_cli._SELF_TEST] = answer
    found = named(doctor_cli.examine())["self-test"]
    assert found.state == "broken"
    assert answer.fault in found.detail
    assert finding.REINSTALL in found.remedy


# ---- processes that try things


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("import sys; sys.exit('no such luck')", "no such luck"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGABRT)", "the process crashed (SIGABRT)"),
        ("import sys; sys.exit(7)", "the process ended with 7"),
        ("print('[1]')", ""),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="processes end otherwise there")
def test_the_end_of_a_process_is_told(code, fault):
    assert finding.tried(code) == Tried([[1]] if not fault else [], fault)


def test_a_process_without_an_end_is_ended(monkeypatch):
    monkeypatch.setattr(finding, "_PATIENCE", 0.1)
    assert finding.tried("while True: pass").fault == "no end after 0 s"
