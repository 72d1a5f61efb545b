"""Fixtures of several test modules."""

import hashlib
import os
import signal
import sys

import pytest
from catalogs import small_catalog
from fakes import FakeDetectors, write_picture
from hypothesis import HealthCheck, settings

from maskgen import run
from maskgen.catalog.places import OWN_CATALOG_VARIABLE

# How long an example takes says more about the machine and what else it does.
settings.register_profile("maskgen", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=30)
settings.load_profile("maskgen")

# Whoever is started by a script in the background ignores Ctrl-C, and so do all that they start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val, argname):
    """Names bytes by their argument: two processes must agree on names, and bytes may hold the time of day."""
    return argname if isinstance(val, bytes) and len(val) > 16 else None


@pytest.fixture(scope="session", autouse=True)
def caches(tmp_path_factory):
    """What is kept between runs goes to a folder of the tests, for processes that they start as well."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("XDG_CACHE_HOME", "LOCALAPPDATA") if os.name == "nt" else ("XDG_CACHE_HOME",):
            patch.setenv(name, str(tmp_path_factory.mktemp("caches")))
        yield


@pytest.fixture(scope="module", autouse=True)
def networks_end_with_their_file():
    """A process keeps the networks that it made: one that a test has replaced would serve the next file too."""
    yield
    kept = {"maskgen.recognition.faces": ("_detector", "_parser"), "maskgen.run.worker": ("_tools",)}
    for module in kept.keys() & sys.modules.keys():
        for name in kept[module]:
            getattr(sys.modules[module], name).cache_clear()


@pytest.fixture(scope="session", autouse=True)
def no_masks_of_the_developers_own(tmp_path_factory):
    """Commands see a user's own masks; tests see none but those they make."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(OWN_CATALOG_VARIABLE, str(tmp_path_factory.mktemp("nobody") / "catalog"))
        yield


@pytest.fixture
def catalog_dir(tmp_path):
    folder = tmp_path / "catalog"
    folder.mkdir()
    return small_catalog(folder, {"red": 1, "blue": 2})


@pytest.fixture(scope="session")
def two_workers():
    """A Dask cluster with two workers."""
    from clusters import started

    with started() as cluster:
        yield cluster


@pytest.fixture
def cluster(two_workers):
    """The same, with both of its workers there, whatever was done to them before."""
    two_workers.heal()
    return two_workers


@pytest.fixture
def tree(tmp_path):
    """A source with all that can happen to a picture."""
    source = tmp_path / "in"
    write_picture(source / "ann" / "1.jpg")
    write_picture(source / "ann" / "2.b.JPG", "two_faces")
    write_picture(source / "ann" / "3.png", "no_face")
    write_picture(source / "Zoë" / "bild ü.1.PNG")
    write_picture(source / "Zoë" / "turned.webp", "back_of_head")
    write_picture(source / "Zoë" / "deep" / "er" / "x.bmp")
    write_picture(source / "y.tiff", "two_faces")
    (source / "broken.jpg").write_bytes((source / "ann" / "1.jpg").read_bytes()[:-300])
    (source / "empty.png").write_bytes(b"")
    (source / "readme.txt").write_text("no picture")
    return source


@pytest.fixture
def job_of(catalog_dir, tmp_path):
    """Makes jobs with the fake detector and the small catalog."""

    def make(source, target="out", detectors=None, execution=None, **settings):
        execution = {"workers": 1, **(execution or {})}
        return run.Job(
            source,
            tmp_path / target,
            run.AugmentSettings(catalog=catalog_dir, **settings),
            run.Execution(**execution),
            detectors=detectors or FakeDetectors(),
        )

    return make


@pytest.fixture
def hash_of_tree():
    """Makes a hash over the names and bytes of all files in a folder, but run.json if told so."""

    def hash_of(folder, without=()):
        digest = hashlib.sha256()
        for path in sorted(folder.rglob("*")):
            # Stamps hold times: they differ from run to run.
            if path.is_file() and path.name not in without and not path.name.startswith(".maskgen"):
                digest.update(f"{path.relative_to(folder)}\0".encode() + path.read_bytes() + b"\0")
        return digest.hexdigest()

    return hash_of
