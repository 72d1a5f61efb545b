"""Pictures come in upright, 8-bit RGB and whole, and go out as they came."""

import io
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pictures import CASES, saved, smooth
from PIL import Image, ImageCms

from maskgen import files, formats, images
from maskgen.errors import ImageError, MaskgenError
from maskgen.images import heif, jpeg, opening

ENDINGS = sorted(formats.FORMATS)


@pytest.mark.parametrize(
    "name", ["a.jpg", "a.JPG", "a.b.c.Png", "ü é.TIFF", "I.HEIC", "a.avif", "x y.webp", ".hidden.bmp"]
)
def test_a_picture_is_known_by_its_ending_in_any_case(name):
    assert formats.format_of(name) in {"JPEG", "PNG", "WEBP", "BMP", "TIFF", "HEIF", "AVIF"}


@pytest.mark.parametrize("name", ["a", "a.txt", ".jpg", "jpg", "a.jpg.part", "a.gif"])
def test_other_names_are_no_pictures(name):
    assert formats.format_of(name) is None


def readable(suffix):
    """Skip where what reads a format is not installed."""
    format = formats.format_of(f"x{suffix}")
    if format in ("AVIF", "HEIF"):
        try:
            heif.require(format, Path(f"x{suffix}"))
        except ImageError as error:
            pytest.skip(f"{format}: {error.remedy}")


@pytest.mark.parametrize("suffix", ENDINGS)
def test_a_written_picture_reads_back_with_its_size_and_about_its_colours(suffix, tmp_path):
    path = tmp_path / f"picture{suffix}"
    readable(suffix)
    files.write_whole(path, images.encode(smooth(), images.Encoding(), path))
    picture = images.read(path)
    assert picture.pixels.shape == (32, 48, 3)
    assert picture.pixels.dtype == np.uint8
    assert picture.notes == ()
    assert np.abs(picture.pixels.astype(int) - smooth()).mean() < 2


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".tiff"])
@given(seed=st.integers(0, 2**32 - 1), width=st.integers(1, 40), height=st.integers(1, 40))
def test_lossless_formats_keep_every_bit(suffix, seed, width, height, tmp_path_factory):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    path = tmp_path_factory.getbasetemp() / f"x{suffix}"
    assert np.array_equal(images.decode(images.encode(pixels, images.Encoding(), path), path).pixels, pixels)


def test_a_lossless_webp_stays_lossless_and_a_lossy_one_lossy(tmp_path):
    path = tmp_path / "x.webp"
    noise = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    lossless = images.decode(saved(noise, "WEBP", lossless=True), path)
    assert np.array_equal(images.decode(images.encode(lossless.pixels, lossless.encoding, path), path).pixels, noise)
    assert not images.decode(saved(noise, "WEBP"), path).encoding.is_lossless_webp


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied_and_not_written_again(orientation, format, tmp_path):
    corner = np.zeros((32, 48, 3), np.uint8)
    corner[:16, :16] = 255  # the upright picture is white in its top-left corner
    stored = {
        1: corner,
        2: corner[:, ::-1],
        3: corner[::-1, ::-1],
        4: corner[::-1],
        5: corner.transpose(1, 0, 2),
        6: np.rot90(corner),
        7: np.rot90(corner, 2).transpose(1, 0, 2),
        8: np.rot90(corner, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"x.{format.lower()}"
    picture = images.decode(saved(np.ascontiguousarray(stored), format, exif=exif), path)
    assert picture.pixels.shape == corner.shape
    assert np.abs(picture.pixels.astype(int) - corner).mean() < 4
    again = Image.open(io.BytesIO(images.encode(picture.pixels, picture.encoding, path)))
    assert again.getexif().get(0x0112, 1) == 1


def test_metadata_that_could_show_the_bare_face_is_dropped(tmp_path):
    exif = Image.Exif()
    exif[0x010E] = "an EXIF description"
    picture = images.decode(saved(smooth(), "JPEG", exif=exif), tmp_path / "x.jpg")
    assert b"an EXIF description" not in images.encode(picture.pixels, picture.encoding, tmp_path / "x.jpg")


def test_broken_exif_does_not_lose_the_picture(tmp_path):
    raw = saved(smooth(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert images.decode(raw, tmp_path / "x.jpg").pixels.shape == (32, 48, 3)


def test_a_colour_profile_of_rgb_is_kept_and_one_of_another_space_is_not(tmp_path):
    path = tmp_path / "x.jpg"
    srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = images.decode(saved(smooth(), "JPEG", icc_profile=srgb), path)
    assert Image.open(io.BytesIO(images.encode(picture.pixels, picture.encoding, path))).info["icc_profile"] == srgb
    foreign = srgb[:16] + b"CMYK" + srgb[20:]
    assert images.decode(saved(smooth(), "JPEG", icc_profile=foreign), path).encoding.icc_profile is None


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("quality", [30, 75, 95])
def test_a_jpeg_keeps_its_tables_so_that_writing_it_again_changes_next_to_nothing(subsampling, quality, tmp_path):
    path = tmp_path / "x.jpg"
    first = images.decode(saved(smooth(), "JPEG", quality=quality, subsampling=subsampling), path)
    second = images.decode(images.encode(first.pixels, first.encoding, path), path)
    assert second.encoding == first.encoding
    assert np.abs(second.pixels.astype(int) - first.pixels).mean() < 0.3


def test_quality_when_asked_for_decides_and_gives_full_colour_resolution(tmp_path):
    path = tmp_path / "x.jpg"
    picture = images.decode(saved(smooth(), "JPEG", quality=95, subsampling=2), path)
    low, high = (images.encode(picture.pixels, picture.encoding, path, quality) for quality in (20, 90))
    assert len(low) < len(high)
    assert images.decode(high, path).encoding.jpeg_subsampling == 0


@pytest.mark.parametrize(
    ("mode", "format", "note"),
    [
        ("L", "PNG", "grey"),
        ("1", "PNG", "grey"),
        ("L", "JPEG", "grey"),
        ("P", "PNG", None),
        ("CMYK", "JPEG", "cmyk"),
        ("CMYK", "TIFF", "cmyk"),
    ],
)
def test_other_colour_modes_become_rgb(mode, format, note, tmp_path):
    path = tmp_path / f"x.{format.lower()}"
    picture = images.decode(saved(Image.fromarray(smooth()).convert(mode), format), path)
    assert picture.pixels.shape == (32, 48, 3)
    assert picture.notes == ((note,) if note else ())
    assert images.decode(images.encode(picture.pixels, picture.encoding, path), path).notes == ()


def test_transparency_is_composed_on_white(tmp_path):
    rgba = np.zeros((4, 6, 4), np.uint8)
    rgba[:, :3, 3] = 255
    picture = images.decode(saved(rgba, "PNG"), tmp_path / "x.png")
    assert (picture.pixels[:, :3] == 0).all()
    assert (picture.pixels[:, 3:] == 255).all()
    assert picture.notes == ("alpha_on_white",)
    rgba[..., 3] = 255
    assert images.decode(saved(rgba, "PNG"), tmp_path / "x.png").notes == ()


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("shape", [(8, 9), (8, 9, 3)])
def test_16_bits_are_scaled_to_8(suffix, shape, tmp_path):
    deep = np.random.default_rng(0).integers(0, 65536, shape, np.uint16)
    picture = images.decode(cv2.imencode(suffix, deep)[1].tobytes(), tmp_path / f"x{suffix}")
    expected = (deep[..., None].repeat(3, axis=2) if deep.ndim == 2 else deep[..., ::-1]) / 257
    assert "16_bit" in picture.notes
    assert np.abs(picture.pixels - expected).max() < 1.001


def test_samples_of_32_bits_are_refused(tmp_path):
    raw = cv2.imencode(".tiff", np.zeros((4, 4), np.float32))[1].tobytes()
    with pytest.raises(ImageError, match=r"x\.tiff: samples of 32 bits"):
        images.decode(raw, tmp_path / "x.tiff")


@pytest.mark.parametrize("format", ["WEBP", "TIFF", "PNG", "GIF"])
def test_of_several_frames_the_first_is_taken_and_the_notes_say_so(format, tmp_path):
    first, second = Image.fromarray(smooth()), Image.fromarray(255 - smooth())
    raw = saved(first, format, save_all=True, append_images=[second])
    picture = images.decode(raw, tmp_path / f"x.{format.lower()}")
    assert "first_of_2_frames" in picture.notes
    assert np.abs(picture.pixels.astype(int) - smooth()).mean() < 8


def test_a_wrong_ending_is_noted_and_the_ending_decides_what_is_written(tmp_path):
    path = tmp_path / "x.png"
    picture = images.decode(saved(smooth(), "JPEG"), path)
    assert picture.notes == ("content_is_jpeg",)
    assert images.encode(picture.pixels, picture.encoding, path).startswith(b"\x89PNG")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.5, 0.95])
def test_a_file_cut_short_is_an_error_that_names_it_and_never_a_picture(format, kept, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    raw = saved(noise, format)
    with pytest.raises(ImageError, match=r"x\.\w+: "):
        images.decode(raw[: int(len(raw) * kept)], tmp_path / f"x.{format.lower()}")


def test_an_empty_file_is_called_empty(tmp_path):
    (tmp_path / "x.jpg").write_bytes(b"")
    with pytest.raises(ImageError, match="empty file"):
        images.read(tmp_path / "x.jpg")


def test_what_is_no_picture_is_called_so(tmp_path):
    with pytest.raises(ImageError, match="not a picture that can be read"):
        images.decode(b"<html>404</html>", tmp_path / "x.jpg")


@given(st.binary(min_size=1, max_size=200))
def test_any_bytes_give_a_picture_or_an_image_error(raw):
    for start in (b"", b"\xff\xd8\xff\xe0", b"\x89PNG\r\n\x1a\n", b"RIFF\x10\0\0\0WEBPVP8L", b"BM", b"II*\0"):
        try:
            images.decode(start + raw, Path("x.jpg"), max_pixels=10_000)
        except ImageError as error:
            assert str(error).startswith("x.jpg: ")  # noqa: PT017


def test_huge_pictures_are_refused_before_they_are_decoded(tmp_path):
    raw = saved(Image.new("1", (3000, 2000)), "PNG")
    with pytest.raises(ImageError, match=r"3000 x 2000 pixels, more than the 1,000,000 allowed"):
        images.decode(raw, tmp_path / "x.png", max_pixels=1_000_000)
    bomb = saved(Image.new("1", (20000, 10000)), "PNG")
    with pytest.raises(ImageError, match="more than 179 megapixels"):
        images.decode(bomb, tmp_path / "x.png")


def test_a_missing_file_is_an_image_error(tmp_path):
    with pytest.raises(ImageError, match="cannot be read: No such file"):
        images.read(tmp_path / "x.jpg")


def test_an_ending_without_a_format_cannot_be_written(tmp_path):
    with pytest.raises(ImageError, match="no picture format has this ending"):
        images.encode(smooth(), images.Encoding(), tmp_path / "x.gif")


def test_a_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "x.jpg"
    files.write_whole(path, b"first")

    def killed(source, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        files.write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert [file.name for file in path.parent.iterdir()] == ["x.jpg"]


def test_leftovers_are_the_temporary_files_and_nothing_else(tmp_path):
    (tmp_path / "deep").mkdir()
    left = tmp_path / "deep" / files.temporary_name()
    for path in (left, tmp_path / "x.jpg", tmp_path / ".maskgen-notes.tmp"):
        path.write_bytes(b"")
    assert list(files.leftovers(tmp_path)) == [left]


def test_a_name_that_is_too_long_is_the_fault_of_the_picture(tmp_path):
    with pytest.raises(ImageError, match="shorten the name"):
        files.write_whole(tmp_path / ("x" * 300 + ".jpg"), b"")


def test_a_place_where_nothing_can_be_written_is_not_the_fault_of_the_picture(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(MaskgenError, match="cannot be written") as caught:
        files.write_whole(tmp_path / "file" / "x.jpg", b"")
    assert not isinstance(caught.value, ImageError)


def with_tables_numbered(raw, numbers):
    """A JPEG of Pillow's with its two quantisation tables numbered anew."""
    changed = bytearray(raw)
    for at in [at for at in range(len(raw)) if raw[at : at + 2] == b"\xff\xdb"]:
        changed[at + 4] = numbers[raw[at + 4]]
    frame = raw.index(b"\xff\xc0")
    for component in range(3):
        place = frame + 12 + 3 * component
        changed[place] = numbers[raw[place]]
    return bytes(changed)


@pytest.mark.parametrize("numbers", [(2, 3), (3, 2), (1, 0), (0, 3)])
def test_a_jpeg_keeps_its_tables_whatever_their_numbers(numbers):
    path = Path("x.jpg")
    plain = saved(smooth(), "JPEG", quality=60)
    numbered = images.decode(with_tables_numbered(plain, numbers), path)
    assert numbered.notes == ()
    assert numbered.encoding == images.decode(plain, path).encoding
    assert images.encode(numbered.pixels, numbered.encoding, path) == images.encode(
        numbered.pixels, images.decode(plain, path).encoding, path
    )


def test_each_colour_keeps_a_table_of_its_own():
    path = Path("x.jpg")
    tables = [[n + 1] * 64 for n in range(3)]
    picture = images.decode(saved(smooth(), "JPEG", qtables=tables), path)
    assert [table[0] for table in picture.encoding.jpeg_tables] == [1, 2, 3]
    again = images.decode(images.encode(picture.pixels, picture.encoding, path), path)
    assert again.encoding == picture.encoding


def test_tables_that_are_not_known_are_replaced_and_noted(monkeypatch):
    path = Path("x.jpg")
    raw = saved(smooth(), "JPEG")
    # The table of the colours comes after the first of three scans, which is lawful.
    assert jpeg.tables_of({0: [1] * 64}, [(1, 1, 1, 0), (2, 1, 1, 1)]) is None
    monkeypatch.setattr(jpeg, "tables_of", lambda *_: None)
    picture = images.decode(raw, path)
    assert picture.notes == ("unknown_tables",)
    assert images.encode(picture.pixels, picture.encoding, path) == saved(
        picture.pixels, "JPEG", quality=95, subsampling=0
    )


def test_the_jpeg_with_tables_2_and_3_is_written_with_its_own():
    path = CASES / "jpeg" / "tables_2_3.jpg"
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    picture = images.read(path)
    again = images.decode(images.encode(picture.pixels, picture.encoding, path), path)
    assert again.encoding == picture.encoding
    assert np.abs(again.pixels.astype(int) - picture.pixels).mean() < 0.3


@pytest.mark.parametrize(("width", "height"), [(1, 3000), (3000, 1), (65_500, 20), (20, 65_500), (40_000, 40), (1, 1)])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP", "TIFF"])
def test_extreme_shapes_are_decoded(width, height, format):
    pixels = smooth(width, height)
    picture = images.decode(saved(pixels, format), Path("x"))
    assert picture.pixels.shape == (height, width, 3)
    assert np.abs(picture.pixels.astype(int) - pixels).mean() < 3


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_converted_in_many_strips_is_the_one_converted_at_once(orientation, monkeypatch):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for mode, format in (("RGB", "PNG"), ("RGBA", "PNG"), ("L", "TIFF"), ("RGB", "JPEG")):
        raw = saved(Image.fromarray(smooth()).convert(mode), format, exif=exif)
        once = images.decode(raw, Path("x"))
        with monkeypatch.context() as patch:
            patch.setattr(opening, "_STRIP_PIXELS", 100)
            assert np.array_equal(images.decode(raw, Path("x")).pixels, once.pixels)


def test_opacity_is_kept_where_it_is_asked_for():
    rgba = np.dstack([smooth(), smooth()[..., 0]])
    exif = Image.Exif()
    exif[0x0112] = 6
    assert np.array_equal(images.decode_rgba(saved(rgba, "PNG", exif=exif), Path("x.png")), np.rot90(rgba, -1))
    opaque = images.decode_rgba(saved(smooth(), "PNG"), Path("x.png"))
    assert np.array_equal(opaque[..., :3], smooth())
    assert (opaque[..., 3] == 255).all()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells its peak of memory on Linux only")
@pytest.mark.parametrize("format", ["JPEG", "PNG"])
def test_decoding_holds_a_picture_about_twice(format, tmp_path):
    path = tmp_path / f"x.{format.lower()}"
    side = 3000
    path.write_bytes(saved(smooth(side, side), format))
    code = (
        "import sys; from pathlib import Path; from maskgen import images\n"
        "peak = lambda: int(Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0]) * 1024\n"
        "path = Path(sys.argv[1]); raw = path.read_bytes(); before = peak()\n"
        "images.decode(raw, path); print(peak() - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    # Four bytes per pixel with Pillow, three that are returned.
    assert int(done.stdout) < 8.5 * side**2
