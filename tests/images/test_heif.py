"""HEIC and AVIF are read where what reads them is installed; elsewhere the row says what to install."""

import importlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from pictures import saved, smooth
from PIL import Image

from maskgen import images
from maskgen.errors import ImageError
from maskgen.images import heif

HEIC_START = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(100)


def has_avif():
    try:
        heif.require("AVIF", Path("x.avif"))
    except ImageError:
        return False
    return True


needs_avif = pytest.mark.skipif(not has_avif(), reason="this Pillow cannot read AVIF")


def without(monkeypatch, name):
    """Make importing a module fail."""
    actual = importlib.import_module

    def fails(wanted, *args):
        if wanted == name:
            raise ImportError(name)
        return actual(wanted, *args)

    monkeypatch.setattr(importlib, "import_module", fails)


def test_heic_without_its_package_says_what_to_install(monkeypatch):
    without(monkeypatch, "pillow_heif")
    monkeypatch.delitem(Image.OPEN, "HEIF", raising=False)
    for act in (
        lambda: images.decode(HEIC_START, Path("x.heic")),
        lambda: images.encode(smooth(), images.Encoding(), Path("x.heic")),
    ):
        with pytest.raises(ImageError, match=r"x\.heic: HEIC, which needs the package pillow-heif") as caught:
            act()
        assert "pip install 'maskgen[heic]'" in caught.value.remedy


def test_avif_without_a_pillow_that_reads_it_says_what_to_install(monkeypatch):
    without(monkeypatch, "PIL.AvifImagePlugin")
    with pytest.raises(ImageError, match="AVIF, which the installed Pillow cannot read") as caught:
        images.decode(b"\0\0\0\x18ftypavif\0\0\0\0mif1avif" + bytes(100), Path("x.avif"))
    assert "pillow>=11.3" in caught.value.remedy


@pytest.mark.parametrize(
    ("raw", "format"),
    [
        (HEIC_START, "HEIF"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif", "AVIF"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0heic", "HEIF"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp42", None),
        (b"", None),
    ],
)
def test_files_are_known_by_their_brands(raw, format):
    assert heif.format_of_bytes(raw) == format


@needs_avif
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_an_avif_comes_upright(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = {1: smooth(), 3: smooth()[::-1, ::-1], 6: np.rot90(smooth())}[orientation]
    raw = saved(np.ascontiguousarray(stored), "AVIF", exif=exif, quality=95)
    picture = images.decode(raw, Path("x.avif"))
    assert picture.notes == ()
    assert np.abs(picture.pixels.astype(int) - smooth()).mean() < 2


def test_a_heic_is_turned_once():
    pytest.importorskip("pillow_heif")
    heif.require("HEIF", Path("x.heic"))
    exif = Image.Exif()
    exif[0x0112] = 6
    raw = saved(smooth(), "HEIF", quality=95, exif=exif)
    # The container says how it is turned, and EXIF only repeats that.
    upright = np.asarray(Image.open(io.BytesIO(raw)))
    assert np.array_equal(images.decode(raw, Path("x.heic")).pixels, upright)


@needs_avif
@pytest.mark.parametrize("suffix", [".avif", ".heic"])
def test_the_same_pixels_give_the_same_bytes(suffix):
    if suffix == ".heic":
        pytest.importorskip("pillow_heif")
    path = Path(f"x{suffix}")
    assert images.encode(smooth(), images.Encoding(), path) == images.encode(smooth(), images.Encoding(), path)


def test_pictures_of_other_formats_do_not_load_what_reads_heic(tmp_path):
    code = (
        "import sys; from pathlib import Path; from maskgen import images\n"
        "images.decode(Path(sys.argv[1]).read_bytes(), Path('x.png'))\n"
        "assert 'pillow_heif' not in sys.modules"
    )
    (tmp_path / "x.png").write_bytes(saved(smooth(), "PNG"))
    subprocess.run([sys.executable, "-c", code, tmp_path / "x.png"], check=True)
