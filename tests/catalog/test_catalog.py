"""``catalog.json`` and the pictures beside it."""

import json
import tracemalloc

import numpy as np
import pytest
from catalogs import small_catalog

from maskgen.catalog.check import folds_of
from maskgen.catalog.store import CATALOG_FILE, Catalog, dump, parse
from maskgen.catalog.view import mirror_name
from maskgen.errors import CatalogError
from maskgen.face.head import POINT_NAMES


@pytest.fixture
def root(tmp_path):
    return small_catalog(tmp_path, weights={"one": 1.0})


def rewrite(root, change):
    path = root / CATALOG_FILE
    contents = json.loads(path.read_text())
    change(contents)
    path.write_text(json.dumps(contents))


def test_a_catalog_survives_a_round_trip(root):
    raw = (root / CATALOG_FILE).read_bytes()
    assert dump(parse(raw, root / CATALOG_FILE)) == raw


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda c: c.update(extra=1), "extra: Extra inputs"),
        (lambda c: c.update(schema_version=2), "schema_version"),
        (lambda c: c["masks"][0].update(weight=0), r"masks\[0\].weight"),
        (lambda c: c["masks"][0].update(name="../x"), r"masks\[0\].name"),
        (lambda c: c["masks"][0]["views"][0].update(file="../../etc/x.png"), "inside the catalog"),
        (lambda c: c["masks"][0]["views"][0].update(file="/etc/x.png"), "inside the catalog"),
        (lambda c: c["masks"][0]["views"][0]["rotation"].update(yaw=[5, -5]), "interval"),
        (lambda c: c["masks"][0]["views"][0]["points"].update({"68": [0, 0]}), "unknown control points"),
        (lambda c: c["masks"].append(c["masks"][0]), "named twice"),
        (lambda c: c["masks"][0]["views"][0].update(file="gone.png"), "missing"),
    ],
)
def test_a_malformed_catalog_is_refused_with_the_field_at_fault(root, change, says):
    rewrite(root, change)
    with pytest.raises(CatalogError, match=says):
        Catalog.load(root)


def test_truncated_json_is_one_clear_error(root):
    path = root / CATALOG_FILE
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CatalogError, match=r"catalog\.json"):
        Catalog.load(root)


def test_a_folder_without_a_catalog_is_refused(tmp_path):
    with pytest.raises(CatalogError, match="cannot read the catalog"):
        Catalog.load(tmp_path)


def test_a_picture_that_is_no_rgba_png_is_refused_by_name(root):
    (root / "one_0.png").write_bytes((root / "one_0.png").read_bytes()[:100])
    view = Catalog.load(root).designs[0].views[0]
    with pytest.raises(CatalogError, match=r"one_0\.png.*RGBA"):
        _ = view.textures


def test_turned_views_serve_both_sides_and_the_frontal_one_once(root):
    views = Catalog.load(root).designs[0].views
    assert [view.rotation.yaw for view in views] == [(-20, 20), (20, 60), (-60, -20)]


def test_the_mirrored_view_is_the_mirror_image(root):
    _, view, mirrored = Catalog.load(root).designs[0].views
    assert np.array_equal(mirrored.textures[0], view.textures[0][:, ::-1])
    place = dict(zip(mirrored.names, mirrored.points, strict=True))
    width = view.textures[0].shape[1]
    for name, (x, y) in zip(view.names, view.points, strict=True):
        assert place[mirror_name(name)] == pytest.approx((width - 1 - x, y))


@pytest.mark.parametrize("name", sorted(POINT_NAMES))
def test_mirroring_a_name_twice_gives_it_back(name):
    assert mirror_name(mirror_name(name)) == name


def test_a_worker_that_has_worn_every_mask_stays_small():
    views = [view for design in Catalog.load().designs[:14] for view in design.views]
    assert len(views) > 200
    tracemalloc.start()
    try:
        size = sum(view.textures[0].nbytes for view in views)
        held = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert size > 150e6
    assert held < 80e6


def test_textures_are_premultiplied_and_halved(root):
    textures = Catalog.load(root).designs[0].views[0].textures
    assert all((t[..., :3] <= t[..., 3:] + 1e-6).all() for t in textures)
    assert [t.shape[0] for t in textures] == [220, 110, 55, 27]


def test_a_view_that_folds_within_its_interval_is_found_and_one_that_does_not_is_not(tmp_path):
    (sound,) = Catalog.load().select(names=["surgical-blue"]).designs
    assert list(folds_of(sound)) == []
    path = small_catalog(tmp_path, {"red": 1}) / CATALOG_FILE
    contents = json.loads(path.read_text())
    points = contents["masks"][0]["views"][0]["points"]
    points["33"], points["8"] = points["8"], points["33"]
    path.write_text(json.dumps(contents))
    folds = list(folds_of(Catalog.load(tmp_path).designs[0]))
    worst = next(fold for fold in folds if fold.view == "red_0.png")
    assert worst.triangles > 0
    assert worst.share > 0.05
