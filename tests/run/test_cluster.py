"""A run on a Dask cluster keeps the promises of a run on this machine."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import skimage.data
from click.testing import CliRunner
from clusters import started
from fakes import write_picture
from PIL import Image

from maskgen import manifest, run
from maskgen.cli import main
from maskgen.errors import ConfigError
from maskgen.run import cluster as cluster_room
from maskgen.run.cluster import Premises
from maskgen.run.crew import crew_of
from maskgen.run.plan import prepare

kills = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no process is killed like that there")
NUMBER = 24


def rows_of(folder):
    return {row.key: row for row in manifest.read(folder / "manifest.jsonl")}


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """A folder of crops of the astronaut, and the same with masks, made by processes of this machine."""
    folder = tmp_path_factory.mktemp("photographs")
    (folder / "in" / "eileen").mkdir(parents=True)
    face = Image.fromarray(skimage.data.astronaut()[0:250, 110:340])
    for number in range(NUMBER):
        face.resize((100 + number, 110 + number)).save(folder / "in" / "eileen" / f"{number}.jpg")
    settings = run.AugmentSettings(variants=2)
    run.run(run.Job(folder / "in", folder / "out", settings, run.Execution(workers=2)))
    return folder


@pytest.fixture
def same(photographs, hash_of_tree):
    """Whether an output has the bytes that processes of this machine gave it."""
    return lambda folder: hash_of_tree(folder) == hash_of_tree(photographs / "out")


def command(photographs, target, cluster):
    return subprocess.Popen(
        [sys.executable, "-m", "maskgen", "augment", str(photographs / "in"), str(target), "--variants", "2"]
        + ["--quiet", "--cluster", cluster.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_rows(target, number):
    deadline = time.monotonic() + 60
    while not (path := target / "manifest.jsonl").exists() or path.read_bytes().count(b"\n") < number:
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def on_cluster(job_of, cluster):
    """Makes jobs as `job_of`, for the cluster."""

    def make(source, target="out", detectors=None, execution=None, **settings):
        execution = {"workers": None, "cluster": cluster.url, **(execution or {})}
        return job_of(source, target, detectors, execution, **settings)

    return make


# ---- the same bytes


@kills
def test_a_worker_that_is_killed_in_the_middle_costs_no_picture_and_the_bytes_are_those_of_a_local_run(
    photographs, cluster, tmp_path, same
):
    killed = []

    def kill_once(progress):
        if progress.taken == 3 and not killed:
            killed.append(cluster.kill_a_worker())

    execution = run.Execution(cluster=cluster.url)
    job = run.Job(photographs / "in", tmp_path / "out", run.AugmentSettings(variants=2), execution)
    summary = run.run(job, kill_once)
    assert killed
    assert (summary.counts.done, summary.counts.failed) == (NUMBER, 0)
    assert same(tmp_path / "out")


@kills
@pytest.mark.parametrize("signalled", ["SIGINT", "SIGKILL"])
def test_a_client_that_is_interrupted_or_killed_goes_on_and_the_bytes_are_those_of_a_local_run(
    photographs, cluster, tmp_path, same, signalled
):
    target = tmp_path / "out"
    client = command(photographs, target, cluster)
    wait_for_rows(target, 1)
    client.send_signal(getattr(signal, signalled))
    out, err = client.communicate(timeout=60)
    assert out == ""
    if signalled == "SIGINT":
        assert client.returncode == 130
        recorded = len(list(manifest.read(target / "manifest.jsonl")))
        assert err == (
            f"interrupted: {recorded} of {NUMBER} inputs recorded; the same command again goes on from there\n"
        )
    assert manifest.read_run(target / "run.json").state == "running"
    client = command(photographs, target, cluster)
    out, err = client.communicate(timeout=60)
    assert (client.returncode, err) == (0, "")
    assert same(target)
    # No token, no unfinished file.
    assert sorted(path.name for path in target.glob(".maskgen*")) == [
        *(".maskgen.door", ".maskgen.lock", ".maskgen.stamps")
    ]


def test_paths_are_counted_from_the_folder_of_the_one_who_starts_the_run(
    tree, job_of, on_cluster, tmp_path, monkeypatch, hash_of_tree
):
    (tmp_path / "patterns").mkdir()
    shutil.copy(tree / "ann" / "1.jpg", tmp_path / "patterns")
    monkeypatch.chdir(tmp_path)
    made = []
    for make, target in ((job_of, "here"), (on_cluster, "there")):
        job = make(Path("in"), Path(target), pattern_dir=Path("patterns"))
        settings = run.AugmentSettings.model_validate({**job.settings.model_dump(), "catalog": Path("catalog")})
        run.run(dataclasses.replace(job, settings=settings, target=Path(target)))
        made.append(hash_of_tree(tmp_path / target))
    assert made[0] == made[1]


@kills
def test_a_picture_that_always_kills_its_worker_fails_and_all_others_are_done(on_cluster, tmp_path):
    for number in range(6):
        write_picture(tmp_path / "in" / f"{number}.png", "kill" if number == 2 else "face")
    summary = run.run(on_cluster(tmp_path / "in"))
    assert (summary.counts.done, summary.counts.failed) == (5, 1)
    assert rows_of(tmp_path / "out")["2.png"].reason == "crashed"


def test_a_run_with_nothing_left_to_do_needs_no_cluster(tree, on_cluster, job_of):
    run.run(on_cluster(tree))
    assert run.run(on_cluster(tree, execution={"cluster": "dask://127.0.0.1:1"})).progress.taken == 0


# ---- workers that find something else


@pytest.fixture
def premises(tree, job_of):
    """What a worker must find, for a run that is about to begin."""
    job = job_of(tree)
    plan = prepare(job)
    plan.target.mkdir()
    with crew_of(job, plan, None) as crew:
        made = Premises.of(crew.task, plan.pending)
    with made.shown():
        yield made


def other_task(premises, **changes):
    return dataclasses.replace(premises, task=dataclasses.replace(premises.task, **changes))


def test_a_worker_that_finds_all_of_it_works(premises):
    premises.ensure()
    assert len(premises.work([premises.entry]).rows) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda p: dataclasses.replace(p, token=p.token.with_name("none")), "sees another output folder .*out"),
        (lambda p: (p.token.write_text("x"), p)[1], "sees another output folder .*out"),
        (lambda p: (shutil.rmtree(p.token.parent), p)[1], "does not see the output folder .*out; every worker must"),
        (lambda p: dataclasses.replace(p, sha256="0" * 64), "sees another .* of the input .*in; every worker must"),
        (
            lambda p: (shutil.rmtree(p.task.reader.root), p)[1],
            "cannot read .* of the input .*in; every worker must see input and output",
        ),
        (lambda p: other_task(p, pack_sha256="0" * 64), "the model pack bundled is another there"),
        (
            lambda p: other_task(p, catalog_sha256="0" * 64),
            r"the catalog .*catalog is another there .*; every worker needs the same masks .*, or use catalog=shipped",
        ),
        (
            lambda p: (shutil.rmtree(p.task.settings.catalog[0]), p)[1],
            r".*catalog.json: cannot read the catalog .*; every worker needs the same masks under the same path",
        ),
        (lambda p: dataclasses.replace(p, versions={"numpy": "0.1"}), r"has numpy \S+ in the place of 0\.1; install"),
    ],
)
def test_a_worker_that_finds_something_else_says_who_it_is_what_it_misses_and_what_to_do(premises, change, said):
    changed = change(premises)
    # A worker that joins late finds out as it begins to work.
    for act in (changed.ensure, lambda: changed.work([premises.entry])):
        with pytest.raises(ConfigError, match=rf"^worker \S.* on \S+: {said}"):
            act()


def test_a_worker_that_may_not_write_says_so(premises, monkeypatch):
    def refuse(self):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "touch", refuse)
    with pytest.raises(ConfigError, match=r"cannot write to the output folder .*out: Permission denied; let"):
        premises.ensure()


def test_workers_that_do_not_see_the_output_are_named_before_anything_is_done(on_cluster, tree, monkeypatch, tmp_path):
    run.run(on_cluster(tree))
    before = sorted(tmp_path.rglob("*"))
    # As it would be on a machine where nothing is mounted.
    monkeypatch.setattr(cluster_room.files, "write_whole", lambda path, data: None)
    job = on_cluster(tree, execution={"existing": "overwrite"}, seed=1)
    with pytest.raises(ConfigError, match=r"worker tcp://\S+ on \S+: sees another output.*2 of 2 workers miss"):
        run.run(job)
    assert sorted(tmp_path.rglob("*")) == before


def _own_mounts():
    """The beginning of a command that gives a process mounts of its own; empty where that cannot be."""
    start = ["unshare", "--mount", "--propagation", "private"]
    if shutil.which("unshare") is None or subprocess.run([*start, "true"], capture_output=True).returncode:
        return []
    return start


@pytest.mark.skipif(not _own_mounts(), reason="this user may not give a process mounts of its own")
def test_a_worker_on_which_the_input_is_not_mounted_says_so(photographs, tmp_path):
    with started(workers=0) as cluster:
        worker = subprocess.Popen(
            [*_own_mounts(), "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(photographs / "in")]
            + [sys.executable, "-m", "distributed.cli.dask_worker", cluster.address, "--no-nanny", "--no-dashboard"]
            + ["--nthreads", "1", "--local-directory", str(tmp_path / "scratch")],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        )
        try:
            cluster.client.wait_for_workers(1, timeout=60)
            client = command(photographs, tmp_path / "out", cluster)
            _, err = client.communicate(timeout=60)
        finally:
            worker.terminate()
            worker.wait()
    assert client.returncode == 1
    assert err.startswith("error: worker tcp://127.0.0.1:")
    assert f"cannot read eileen/0.jpg of the input {photographs / 'in'}; every worker must see" in err
    assert err.count("\n") == 1


# ---- the command line


@pytest.mark.parametrize("command", ["augment", "convert"])
@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--cluster", "dask://127.0.0.1:1", "--workers", "2"], "leave out --workers"),
        (["--cluster", "ray://127.0.0.1:1"], "ray://127.0.0.1:1: not a cluster; a cluster is called dask://HOST:PORT"),
        (["--cluster", "127.0.0.1:8786"], "not a cluster; a cluster is called dask://HOST:PORT"),
        (["--cluster", "dask://127.0.0.1"], "not a cluster; a cluster is called dask://HOST:PORT"),
        (["--cluster", "dask://127.0.0.1:99999"], "not a cluster; a cluster is called dask://HOST:PORT"),
    ],
)
def test_a_cluster_that_is_none_or_stands_beside_workers_is_wrong_usage(tree, tmp_path, command, options, said):
    result = CliRunner().invoke(main, [command, str(tree), str(tmp_path / "out"), *options])
    assert result.exit_code == 2
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("words", [["--demo", "out"], ["in/ann/1.jpg", "out.jpg"]])
def test_one_picture_and_the_demo_are_refused_for_a_cluster(tree, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(main, ["augment", *words, "--cluster", "dask://127.0.0.1:1"])
    assert result.exit_code == 2
    assert "leave out --cluster" in result.stderr


@pytest.mark.parametrize("command", ["augment", "convert"])
def test_without_the_extra_the_error_says_how_to_install_it(tree, tmp_path, command, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    words = [command, str(tree), str(tmp_path / "out"), "--cluster", "dask://127.0.0.1:1"]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 1
    assert result.stderr.startswith(f"error: maskgen {command} --cluster needs distributed; install them with")
