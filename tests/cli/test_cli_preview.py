"""``maskgen preview``: a sheet of photographs under masks."""

import numpy as np
import pytest
from click.testing import CliRunner
from fakes import FakeDetectors, write_picture
from PIL import Image

from maskgen.cli import main
from maskgen.detect import DetectorSpec
from maskgen.studio.gallery import TILE


@pytest.fixture
def preview(monkeypatch, catalog_dir, tmp_path):
    """Runs it with the fake detector on a face, one that has none, and the small catalog."""
    monkeypatch.setattr(DetectorSpec, "build", lambda self: FakeDetectors().build())
    monkeypatch.setattr(DetectorSpec, "parser", lambda self: None)
    write_picture(tmp_path / "me.png")
    write_picture(tmp_path / "wall.png", "no_face")

    def call(*args, photos=("me.png",)):
        sheet = tmp_path / "sheet.png"
        places = [str(tmp_path / photo) for photo in photos]
        result = CliRunner().invoke(
            main, ["preview", *places, "-o", str(sheet), "--catalog", str(catalog_dir), "--overwrite", *args]
        )
        return result, np.asarray(Image.open(sheet)) if sheet.exists() else None

    return call


def tiles(sheet):
    """The tiles of a sheet, row by row, those that are blank left out."""
    height = TILE + 22
    rows, columns = sheet.shape[0] // height, sheet.shape[1] // TILE
    cut = [
        sheet[row * height : row * height + TILE, column * TILE : (column + 1) * TILE]
        for row in range(rows)
        for column in range(columns)
    ]
    return [tile for tile in cut if tile.std() > 1]


def test_a_sheet_shows_the_face_bare_and_under_one_mask_of_each_kind(preview):
    result, sheet = preview()
    assert result.exit_code == 0, result.output
    # The small catalog has two designs of one kind; the heavier is shown.
    bare, masked = tiles(sheet)
    assert np.abs(bare.astype(int) - masked).max() > 10


def test_all_designs_worn_in_every_way_that_is_named_are_shown(preview):
    result, sheet = preview("--all", "--wear", "correct", "--wear", "under_chin")
    assert result.exit_code == 0, result.output
    bare, *masked = tiles(sheet)
    assert len(masked) == 4
    assert len({tile.tobytes() for tile in (bare, *masked)}) == 5


def test_a_design_that_is_named_is_the_one_that_is_shown(preview):
    shown = {name: tiles(preview("--design", name)[1]) for name in ("red", "blue")}
    assert [len(some) for some in shown.values()] == [2, 2]
    assert (shown["red"][0] == shown["blue"][0]).all()
    assert (shown["red"][1] != shown["blue"][1]).any()


def test_landmarks_and_what_lies_in_front_are_shown_on_demand(preview):
    _, plain = preview()
    result, sheet = preview("--show-landmarks")
    assert result.exit_code == 0, result.output
    assert len(tiles(sheet)) == len(tiles(plain)) + 2


def test_photographs_without_a_face_are_named_and_left_out(preview):
    result, sheet = preview(photos=("wall.png", "me.png"))
    assert result.exit_code == 0
    assert "wall.png: no face found; left out" in result.stderr
    assert len(tiles(sheet)) == 2


def test_without_any_face_nothing_is_written(preview):
    result, sheet = preview(photos=("wall.png",))
    assert result.exit_code == 1
    assert "no face found in any photograph" in result.stderr
    assert sheet is None


def test_the_sheet_is_a_png(preview, tmp_path):
    result = CliRunner().invoke(main, ["preview", str(tmp_path / "me.png"), "-o", str(tmp_path / "sheet.jpg")])
    assert result.exit_code == 2
    assert "ends in .png" in result.stderr
