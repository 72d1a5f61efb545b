"""Textures are decoded once, shared by processes, and never older than their picture."""

import concurrent.futures
import os
import subprocess
import sys

import numpy as np
import pytest
from catalogs import small_catalog
from scipy.spatial import Delaunay

from maskgen.catalog import decoded, png, textures
from maskgen.catalog.store import Catalog


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty place for what is decoded."""
    monkeypatch.setattr(decoded, "cache_dir", lambda: tmp_path / "cache" / "textures")
    return tmp_path / "cache" / "textures"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "catalog").mkdir()
    return small_catalog(tmp_path / "catalog", {"red": 1, "blue": 2})


def views_of(root):
    return [view for design in Catalog.load(root).designs for view in design.views]


def all_of(root):
    return [array for view in views_of(root) for array in (*view.textures, view.triangles)]


def same(some, others):
    return all(np.array_equal(one, other) for one, other in zip(some, others, strict=True))


def own(root, monkeypatch):
    """What a process has that can write nothing."""
    with monkeypatch.context() as patch:
        patch.setattr(decoded, "_mapped", lambda path: None)
        patch.setattr(decoded.files, "write_new", refuse)
        return all_of(root)


def refuse(*arguments):
    raise PermissionError


def test_shared_textures_and_triangles_are_those_that_a_process_makes_alone(root, cache, monkeypatch):
    alone = own(root, monkeypatch)
    assert not cache.exists()
    assert same(all_of(root), alone)  # made
    assert list(cache.iterdir())
    assert same(all_of(root), alone)  # found


def test_what_one_process_decoded_no_other_decodes_again(root, cache, monkeypatch):
    all_of(root)
    monkeypatch.setattr(png, "decode", refuse)
    monkeypatch.setitem(sys.modules, "scipy.spatial", None)
    all_of(root)


def test_triangles_of_all_views_are_those_of_each(root, cache):
    for view in views_of(root):
        assert np.array_equal(view.triangles, Delaunay(view.points).simplices)


def test_another_version_of_what_makes_textures_makes_its_own(root, cache, monkeypatch):
    all_of(root)
    number = len(list(cache.iterdir()))
    monkeypatch.setattr(decoded, "_made_with", lambda: ("another",))
    all_of(root)
    assert len(list(cache.iterdir())) == 2 * number


def test_shared_textures_cannot_be_written_to(root, cache):
    textures = views_of(root)[0].textures
    for array in textures._smaller:
        assert not array.flags.writeable
    textures[0][:] = 0  # a copy
    assert views_of(root)[0].textures[0].any()


def test_a_picture_that_has_changed_is_decoded_anew(root, cache):
    view = views_of(root)[0]
    before = view.textures[0]
    changed = np.random.default_rng(0).integers(1, 255, (*before.shape[:2], 4), dtype=np.uint8)
    import cv2

    view.path.write_bytes(cv2.imencode(".png", changed)[1].tobytes())
    after = views_of(root)[0].textures[0]
    assert np.array_equal(np.round(after[..., 3] * 255), changed[..., 3])


@pytest.mark.parametrize(
    "damage",
    [lambda raw: b"", lambda raw: raw[:-1], lambda raw: raw[:40], lambda raw: raw[:-9] + b"\1" + raw[-8:], bytes.lower],
)
def test_a_damaged_file_is_made_again(root, cache, monkeypatch, damage):
    alone = own(root, monkeypatch)
    all_of(root)
    whole = {path.name: path.read_bytes() for path in cache.iterdir()}
    for path in cache.iterdir():
        path.write_bytes(damage(path.read_bytes()))
    assert same(all_of(root), alone)
    assert {path.name: path.read_bytes() for path in cache.iterdir()} == whole


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_folder_that_cannot_be_written_to_costs_nothing_but_time(root, cache, monkeypatch):
    alone = own(root, monkeypatch)
    cache.mkdir(parents=True)
    cache.chmod(0o500)
    try:
        assert same(all_of(root), alone)
    finally:
        cache.chmod(0o700)


def test_a_file_in_the_place_of_the_folder_costs_nothing_but_time(root, cache, monkeypatch):
    alone = own(root, monkeypatch)
    cache.parent.mkdir()
    cache.write_bytes(b"")
    assert same(all_of(root), alone)


def test_many_that_begin_at_once_all_get_whole_textures(root, cache, monkeypatch):
    alone = own(root, monkeypatch)
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        for found in pool.map(all_of, [root] * 24):
            assert same(found, alone)


def test_the_oldest_files_go_when_there_is_no_more_room(cache, tmp_path, monkeypatch):
    size = 64 * 64 * 4
    monkeypatch.setattr(decoded, "_MOST_BYTES", 10 * size)
    monkeypatch.setattr(decoded, "_ONE_OF", 1)
    for number in range(40):
        picture = tmp_path / f"{number}.png"
        picture.write_bytes(b"x")
        (found,) = decoded.shared(picture, "", lambda: [np.full((64, 64, 4), number, np.uint8)])  # noqa: B023
        assert not found.flags.writeable  # mapped, so shared
        assert (found == number).all()
        assert sum(path.stat().st_size for path in cache.iterdir()) <= 10 * size + 1000
        newest = max(cache.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        assert newest.read_bytes().endswith(bytes([number]) * size)


def test_a_worker_that_finds_textures_and_triangles_does_not_import_what_makes_them(root, tmp_path):
    code = """
import sys
from pathlib import Path
from maskgen.catalog.store import Catalog
for design in Catalog.load(Path(sys.argv[1])).designs:
    for view in design.views:
        view.textures[0], view.triangles
print("scipy" in sys.modules)
"""
    said = [
        subprocess.run([sys.executable, "-c", code, root], capture_output=True, text=True, check=True).stdout.strip()
        for _ in range(2)
    ]
    assert said == ["True", "False"]


def test_folds_stand_out_more_in_small_copies_than_averaging_leaves_them_but_prints_and_edges_do_not():
    x = np.arange(80, dtype=np.float32)
    plain = np.zeros((80, 80, 4), np.uint8)
    plain[10:70, 10:70] = (150, 160, 170, 255)
    folded, printed = plain.copy(), plain.copy()
    folded[10:70, 10:70, :3] += np.round(8 * np.sin(x[10:70] * 2 * np.pi / 8)).astype(np.int8).astype(np.uint8)[:, None]
    printed[10:70, 20:60:8, :3] = 20
    small = [textures._sharpened(picture, 1.0) for picture in (plain, folded, printed)]
    for before, after in zip((plain, folded, printed), small, strict=True):
        assert np.array_equal(before[..., 3], after[..., 3])
        assert (after[..., :3] <= after[..., 3:]).all()
    assert np.array_equal(small[0], plain)
    inside = slice(20, 60), slice(20, 60), 0
    assert small[1][inside].std() > 1.4 * folded[inside].std()
    assert np.abs(small[2].astype(int) - printed).max() <= textures._FOLD
