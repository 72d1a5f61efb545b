"""A picture that was cut short is refused, or kept and noted; it never passes for a whole one."""

from pathlib import Path

import numpy as np
import pytest
from pictures import CASES, busy, saved
from PIL import Image

from maskgen import images
from maskgen.errors import ImageError

END = b"\xff\xd9"
JPEGS = {
    "4:2:0": saved(busy(), "JPEG"),
    "4:4:4": saved(busy(), "JPEG", subsampling=0, quality=95),
    "progressive": saved(busy(), "JPEG", progressive=True),
    "grey": saved(Image.fromarray(busy()).convert("L"), "JPEG"),
    "CMYK": saved(Image.fromarray(busy()).convert("CMYK"), "JPEG"),
    "restarts": saved(busy(), "JPEG", restart_marker_rows=1),
}
OTHERS = {
    "png": saved(busy(), "PNG"),
    "palette.png": saved(Image.fromarray(busy()).convert("P"), "PNG"),
    "bmp": saved(busy(), "BMP"),
    "gif": saved(busy(), "GIF"),
    "tif": saved(busy(), "TIFF"),
    "lzw.tif": saved(busy(), "TIFF", compression="tiff_lzw"),
    "webp": saved(busy(), "WEBP"),
    "lossless.webp": saved(busy(), "WEBP", lossless=True),
}


def cuts(raw):
    """How many bytes to take off the end: each of the first ones, then some."""
    return [*range(1, 40), *range(40, len(raw), max(len(raw) // 40, 1))]


@pytest.mark.parametrize("closed_with", [b"", END], ids=["open", "closed"])
@pytest.mark.parametrize("name", JPEGS)
def test_a_jpeg_cut_anywhere_and_closed_or_not_is_refused_or_noted_unless_its_pixels_are_all_there(name, closed_with):
    raw = JPEGS[name]
    whole = images.decode(raw, Path("x.jpg")).pixels
    kept = 0
    for cut in cuts(raw):
        damaged = raw[:-cut] + closed_with
        try:
            picture = images.decode(damaged, Path("x.jpg"), truncated="keep")
        except ImageError:  # nothing of its pixels is left
            continue
        if "truncated" in picture.notes:
            kept += 1
            assert picture.pixels.shape == whole.shape
        else:
            assert np.array_equal(picture.pixels, whole)
        if {"truncated", "no_end_marker"} & set(picture.notes):
            with pytest.raises(ImageError, match="cut short"):
                images.decode(damaged, Path("x.jpg"))
    assert kept > 20


@pytest.mark.parametrize("name", OTHERS)
def test_other_formats_cut_anywhere_are_refused_or_noted_unless_their_pixels_are_all_there(name):
    raw, path = OTHERS[name], Path(f"x.{name.rpartition('.')[2]}")
    whole = images.decode(raw, path).pixels
    kept = 0
    for cut in cuts(raw):
        try:
            picture = images.decode(raw[:-cut], path, truncated="keep")
        except ImageError:
            continue
        if "truncated" in picture.notes:
            kept += 1
            with pytest.raises(ImageError, match=r"x\.\w+: "):
                images.decode(raw[:-cut], path)
        else:
            assert np.array_equal(picture.pixels, whole)
    # The directory of a compressed TIFF lies at its end, and WebP is decoded whole or not at all.
    assert (kept > 10) == (name in ("png", "palette.png", "bmp", "gif", "tif"))


@pytest.mark.parametrize("name", ["4:2:0", "4:4:4", "grey", "restarts"])
def test_what_is_kept_of_a_jpeg_is_its_upper_part(name):
    raw = JPEGS[name]
    whole = images.decode(raw, Path("x.jpg")).pixels
    kept = images.decode(raw[: len(raw) * 3 // 4], Path("x.jpg"), truncated="keep").pixels
    rows = int((kept == whole).all(axis=(1, 2)).cumprod().sum())
    assert 16 <= rows < len(whole)
    assert (kept[-8:, -8:] == 128).all()


@pytest.mark.parametrize("name", ["png", "gif"])
def test_what_is_kept_of_other_pictures_is_their_upper_part(name):
    raw, path = OTHERS[name], Path(f"x.{name}")
    whole = images.decode(raw, path).pixels
    kept = images.decode(raw[: len(raw) * 3 // 4], path, truncated="keep").pixels
    assert np.array_equal(kept[:10], whole[:10])
    assert not np.array_equal(kept, whole)


def test_a_jpeg_without_a_scan_of_a_colour_is_cut_short_even_if_it_is_closed():
    raw = JPEGS["progressive"]
    scans = [at for at in range(len(raw)) if raw[at : at + 2] == b"\xff\xda"]
    assert len(scans) > 4
    for at in scans[1:]:
        tables = raw.rindex(b"\xff\xc4", 0, at)
        damaged = raw[:tables] + END
        assert images.decode(damaged, Path("x.jpg"), truncated="keep").notes == ("truncated",)


def test_a_jpeg_that_lacks_only_its_end_marker_is_whole_and_noted_if_kept():
    raw = JPEGS["4:2:0"]
    with pytest.raises(ImageError, match="its end marker is missing"):
        images.decode(raw[:-2], Path("x.jpg"))
    picture = images.decode(raw[:-2], Path("x.jpg"), truncated="keep")
    assert picture.notes == ("no_end_marker",)
    assert np.array_equal(picture.pixels, images.decode(raw, Path("x.jpg")).pixels)


def test_what_follows_the_end_of_a_jpeg_does_not_matter():
    raw = JPEGS["4:2:0"]
    for trailing in (b"\0" * 100, b"a film\xff\xd8\xff", raw):
        assert images.decode(raw + trailing, Path("x.jpg")).notes == ()


@pytest.mark.parametrize("raw", [JPEGS["4:2:0"][:-40], OTHERS["png"][:-40], OTHERS["bmp"][:-400]])
def test_the_remedy_names_the_setting_only_where_there_is_one(raw):
    for setting, is_named in ((None, False), ("fail", True)):
        with pytest.raises(ImageError) as caught:
            images.decode(raw, Path("x.jpg"), truncated=setting)
        assert ("{truncated=keep}" in caught.value.remedy) is is_named
    with pytest.raises(ImageError) as caught:
        images.decode(OTHERS["webp"][:-40], Path("x.webp"), truncated="fail")
    assert "truncated" not in caught.value.remedy


@pytest.mark.parametrize(("name", "note"), [("cut_half", "truncated"), ("no_eoi", "no_end_marker")])
def test_jpegs_that_were_found_cut_are_refused_by_default_and_can_be_kept(name, note):
    path = CASES / "jpeg" / f"{name}.jpg"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    with pytest.raises(ImageError, match="cut short"):
        images.read(path, truncated="fail")
    assert images.read(path, truncated="keep").notes == (note,)
