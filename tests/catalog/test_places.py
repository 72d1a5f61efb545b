"""Several catalogs seen as one: the one that ships, a user's own, and folders."""

import json

import pytest
from catalogs import small_catalog

from maskgen.catalog.places import CATALOG_FILE, name_of, places_seen, user_catalog_dir, whole_place, whole_places
from maskgen.catalog.store import Catalog
from maskgen.errors import CatalogError
from maskgen.run import AugmentSettings


@pytest.fixture
def own(tmp_path, monkeypatch):
    """A user's own catalog with one design."""
    folder = tmp_path / "own"
    folder.mkdir()
    monkeypatch.setenv("MASKGEN_CATALOG", str(folder))
    return small_catalog(folder, {"scarf": 1})


def test_the_library_loads_the_catalog_that_ships_alone(own):
    assert not Catalog.load().own
    assert AugmentSettings().catalog == ("shipped",)


def test_commands_see_the_catalog_that_ships_and_ones_own(own):
    seen = Catalog.load(places_seen())
    assert [design.entry.name for design in seen.own] == ["scarf"]
    assert len(seen.designs) == len(Catalog.load().designs) + 1


def test_without_a_catalog_of_ones_own_commands_see_the_one_that_ships(tmp_path, monkeypatch):
    monkeypatch.setenv("MASKGEN_CATALOG", str(tmp_path / "none"))
    assert places_seen() == ("shipped",)
    assert user_catalog_dir() == tmp_path / "none"


def test_views_say_in_which_catalog_they_lie(own):
    seen = Catalog.load(("shipped", "own"))
    for design in seen.designs:
        assert all(view.path.is_relative_to(design.root) for view in design.views)
    assert seen.designs[-1].root == own


def test_names_and_folders_are_resolved_where_settings_are_made(own, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = AugmentSettings(catalog=("shipped", "own", "masks"))
    assert settings.catalog == ("shipped", str(own), str(tmp_path / "masks"))
    monkeypatch.chdir("/")
    monkeypatch.setenv("MASKGEN_CATALOG", "/elsewhere")
    assert AugmentSettings.model_validate_json(settings.model_dump_json()) == settings


@pytest.mark.parametrize("given", [None, (), "shipped", ("shipped", "shipped")])
def test_nothing_given_is_the_catalog_that_ships(given):
    assert whole_places(given) == ("shipped",)


def test_a_path_is_a_folder_whatever_it_is_called(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert whole_place(tmp_path.relative_to(tmp_path) / "shipped") == str(tmp_path / "shipped")


def test_a_catalog_given_twice_is_read_once(own, tmp_path):
    (tmp_path / "link").symlink_to(own)
    assert Catalog.load((own, tmp_path / "link", "own")).names == ("scarf",)
    shipped = Catalog.load()
    again = Catalog.load(("shipped", shipped.roots[0]))
    assert (again.names, again.own) == (shipped.names, ())


def test_two_designs_of_one_name_in_two_catalogs_are_refused_with_both_folders(own, tmp_path):
    (tmp_path / "more").mkdir()
    other = small_catalog(tmp_path / "more", {"scarf": 1})
    with pytest.raises(CatalogError, match=rf"{other}: design 'scarf' has the name of one in {own}; leave one"):
        Catalog.load((own, other))


def test_a_design_that_is_nowhere_is_named_with_the_catalogs_and_what_it_may_have_meant(own):
    with pytest.raises(CatalogError, match=r"^shipped, own: no design 'scraf'; did you mean scarf\?"):
        Catalog.load(places_seen()).select(names=["surgical-blue", "scraf"])


def test_a_missing_catalog_is_named_with_what_may_be_given(tmp_path):
    with pytest.raises(CatalogError, match=r"gone.*cannot read the catalog .*to its folder, to shipped or to own"):
        Catalog.load(tmp_path / "gone")


def test_the_share_of_ones_own_masks_goes_by_weights(own, tmp_path):
    (tmp_path / "more").mkdir()
    seen = Catalog.load(("shipped", small_catalog(tmp_path / "more", {"a": 3, "b": 4})))
    weights = sum(design.entry.weight for design in Catalog.load().designs)
    assert seen.own_share == pytest.approx(7 / (weights + 7))


def test_catalogs_are_called_by_name(own):
    assert [name_of(root) for root in Catalog.load(("shipped", "own")).roots] == ["shipped", "own"]


# ---- hash


def test_the_hash_covers_the_selected_designs_and_no_others(own):
    alone = Catalog.load(own).select(names=["scarf"]).sha256
    assert Catalog.load(("shipped", own)).select(names=["scarf"]).sha256 == alone
    small_catalog(own, {"scarf": 1, "new": 1})
    assert Catalog.load(own).select(names=["scarf"]).sha256 == alone
    assert Catalog.load(own).sha256 != alone


def test_the_hash_does_not_depend_on_where_a_catalog_lies(own, tmp_path):
    own.rename(tmp_path / "moved")
    assert Catalog.load(tmp_path / "moved").sha256 == Catalog.load(small_catalog(_made(own), {"scarf": 1})).sha256


@pytest.mark.parametrize("field", ["weight", "sha256", "yaw"])
def test_whatever_changes_a_design_changes_the_hash(own, field):
    before = Catalog.load(own).sha256
    contents = json.loads((own / CATALOG_FILE).read_text())
    (design,) = contents["masks"]
    if field == "weight":
        design["weight"] = 2
    elif field == "sha256":
        design["views"][0]["sha256"] = "0" * 64
    else:
        design["views"][0]["rotation"]["yaw"] = [-21, 20]
    (own / CATALOG_FILE).write_text(json.dumps(contents))
    assert Catalog.load(own).sha256 != before


def _made(folder):
    folder.mkdir()
    return folder
