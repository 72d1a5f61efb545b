"""Catalog, face and random generator to a view."""

import collections
import functools
import json

import numpy as np
import pytest
from catalogs import small_catalog
from hypothesis import given
from hypothesis import strategies as st
from strategies import face_at, poses

from maskgen.catalog import store
from maskgen.catalog.store import CATALOG_FILE, Catalog
from maskgen.errors import CatalogError
from maskgen.face import HeadPose
from maskgen.masking.choose import choose


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return Catalog.load(small_catalog(tmp_path_factory.mktemp("catalog"), weights={"one": 1.0, "three": 3.0}))


@given(poses(yaw=89, pitch=60))
def test_the_chosen_interval_holds_the_pose(catalog, pose):
    view = choose(catalog, face_at(pose), np.random.default_rng(0))
    if view is None:
        assert abs(pose.yaw) > 60 or abs(pose.pitch) > 30
    else:
        assert view.rotation.holds(pose.yaw, pose.pitch)


def test_a_pose_that_no_view_covers_gets_none(catalog):
    assert choose(catalog, face_at(HeadPose(75, 0, 0)), np.random.default_rng(0)) is None


def test_designs_are_drawn_by_weight(catalog):
    rng = np.random.default_rng(0)
    drawn = collections.Counter(choose(catalog, face_at(), rng).design for _ in range(4000))
    assert drawn["three"] / drawn["one"] == pytest.approx(3, rel=0.15)


def test_turned_faces_get_the_view_of_their_side(catalog):
    left, right = (choose(catalog, face_at(HeadPose(yaw, 0, 0)), np.random.default_rng(0)) for yaw in (-40, 40))
    assert left.is_mirrored
    assert not right.is_mirrored


def test_one_number_is_drawn_whatever_the_outcome(catalog):
    after = []
    for pose in (HeadPose(0, 0, 0), HeadPose(75, 0, 0)):
        rng = np.random.default_rng(5)
        choose(catalog, face_at(pose), rng)
        after.append(rng.random())
    assert after[0] == after[1]


def test_tags_kinds_and_names_narrow_the_catalog(catalog):
    assert [d.entry.name for d in catalog.select(names=["one"]).designs] == ["one"]
    assert [d.entry.name for d in catalog.select(tags=["three"]).designs] == ["three"]
    with pytest.raises(CatalogError, match="no design of kind gaiter"):
        catalog.select(kinds=["gaiter"])


@pytest.mark.parametrize(("yaw", "nearest"), [(14, "red_0.png"), (26, "red_40.png"), (-26, "red_40.png:mirrored")])
def test_where_intervals_overlap_the_view_seen_from_closest_by_is_taken(tmp_path, yaw, nearest):
    path = small_catalog(tmp_path, {"red": 1}) / CATALOG_FILE
    contents = json.loads(path.read_text())
    for view, interval in zip(contents["masks"][0]["views"], ([-40, 40], [10, 60]), strict=True):
        view["rotation"]["yaw"] = interval
    path.write_text(json.dumps(contents))
    assert choose(Catalog.load(tmp_path), face_at(HeadPose(yaw, 0, 0)), np.random.default_rng(0)).key == nearest


def test_what_a_face_must_not_wear_goes_to_another_and_nobody_else_changes():
    catalog = Catalog.load()
    face = face_at()
    with_all, without = (
        [choose(catalog, face, np.random.default_rng(seed), kinds) for seed in range(300)]
        for kinds in ((), ("gaiter",))
    )
    assert {view.kind for view in without} == {view.kind for view in with_all} - {"gaiter"}
    assert all(one == other for one, other in zip(with_all, without, strict=True) if one.kind != "gaiter")


def test_a_catalog_of_nothing_else_is_worn_all_the_same():
    catalog = Catalog.load().select(kinds=["gaiter"])
    assert choose(catalog, face_at(), np.random.default_rng(0), ("gaiter",)).kind == "gaiter"


@functools.cache
def shipped():
    return Catalog.load()


@given(st.one_of(poses(yaw=89, pitch=60), st.builds(HeadPose, *[st.sampled_from(range(-90, 91, 5))] * 2, st.just(0))))
def test_cells_of_head_rotations_hold_what_looking_at_every_view_finds(pose):
    catalog = shipped()
    held = [(design, views) for design in catalog.designs if (views := design.views_for(pose.yaw, pose.pitch))]
    for _ in range(2):
        fitting = catalog.fitting(pose.yaw, pose.pitch)
        assert list(zip(fitting.designs, fitting.views, strict=True)) == held
    assert fitting.limits == tuple(np.cumsum([design.entry.weight for design, _ in held]).tolist())


def test_what_is_remembered_of_head_rotations_does_not_grow_without_bound(monkeypatch):
    monkeypatch.setattr(store, "_MOST_CELLS", 5)
    catalog = Catalog.load()
    rng = np.random.default_rng(0)
    for yaw, pitch in rng.uniform(-60, 60, (60, 2)):
        catalog.fitting(yaw, pitch)
        assert len(catalog._cells[2]) <= 5
