"""Metadata turns a picture at most; damaged or odd, it never costs a whole one."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from pictures import CASES, chunk, exif_of, saved, segment, smooth, with_chunks, with_segments
from PIL import Image, ImageCms

from maskgen import images
from maskgen.errors import ImageError
from maskgen.images import orientation

JPG, PNG = Path("x.jpg"), Path("x.png")
TURNED_SHORT = (0x0112, 3, 1, b"\6\0\0\0")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def case(name):
    path = CASES / name
    if not path.is_file():
        pytest.skip(f"{path} is not there")
    return images.read(path)


@pytest.mark.parametrize("name", ["maker_double", "neg_rational", "orientation_two"])
def test_a_broken_tag_beside_the_orientation_leaves_the_picture_upright(name):
    assert np.array_equal(case(f"exif/{name}.jpg").pixels, case("exif/ok.jpg").pixels)


def test_a_picture_upside_down_with_a_broken_tag_is_turned():
    upright, turned = case("exif/ok.jpg").pixels.astype(int), case("exif180/upside.jpg").pixels.astype(int)
    assert np.abs(upright - turned).mean() < 3


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "form"), [(1, "B"), (3, "H"), (4, "I"), (9, "i")])
def test_the_orientation_is_read_whatever_its_type_and_byte_order(order, kind, form):
    value = struct.pack(order + form, 6).ljust(4, b"\0")
    assert orientation.of(exif_of([(0x0112, kind, 1, value)], order), None) == 6


def test_of_two_orientations_the_first_counts():
    assert orientation.of(exif_of([(0x0112, 3, 2, b"\6\0\3\0")]), None) == 6
    far = exif_of([(0x0112, 4, 2, struct.pack("<I", 26))]) + struct.pack("<II", 8, 1)
    assert orientation.of(far, None) == 8


@pytest.mark.parametrize("value", [0, 9, 255])
def test_an_orientation_that_does_not_exist_turns_nothing(value):
    assert orientation.of(exif_of([(0x0112, 3, 1, struct.pack("<HH", value, 0))]), None) == 1


@pytest.mark.parametrize(
    "exif", [b"", b"II", b"XX*\0" + bytes(20), b"II*\0\xff\xff\xff\xff", exif_of([TURNED_SHORT])[:15]]
)
def test_damaged_exif_turns_nothing(exif):
    assert orientation.of(exif, None) == 1


@pytest.mark.parametrize(
    "text", [b'<x tiff:Orientation="6"/>', b"<tiff:Orientation>6</tiff:Orientation>", b"tiff:Orientation = '6'"]
)
def test_xmp_gives_the_orientation_only_where_exif_gives_none(text):
    assert orientation.of(None, text) == 6
    assert orientation.of(exif_of([(0x0112, 3, 1, b"\3\0\0\0")]), text) == 3
    raw = with_segments(saved(smooth(), "JPEG"), segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text))
    assert images.decode(raw, JPG).pixels.shape == (48, 32, 3)


# What Pillow cannot write again, or stumbles over: values of a wrong type, of a wrong size, in no order, out of bounds.
ODD_TAGS = [
    (0x010E, 2, 200, b"\xff\xff\xff\x7f"),
    (0x011A, 10, 1, b"\xff\xff\xff\x7f"),
    (0x011A, 12, 1, b"\0\0\0\0"),
    (0x0128, 13, 1, b"\0\0\0\0"),
    (0x9286, 7, 2**31, b"\0\0\0\0"),
    (0x8769, 4, 1, b"\xff\xff\xff\xff"),
    (0x8825, 2, 4, b"\xff\xfe\xfd\xfc"),
]


@pytest.mark.parametrize("odd", ODD_TAGS)
@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
def test_no_other_tag_matters_for_the_orientation(odd, format):
    exif = exif_of([TURNED_SHORT, odd])
    picture = images.decode(saved(smooth(), format, exif=b"Exif\0\0" + exif), Path(f"x.{format.lower()}"))
    assert picture.pixels.shape == (48, 32, 3)
    assert picture.notes == ()


@pytest.mark.parametrize("odd", ODD_TAGS[1:3])
def test_no_other_tag_matters_in_a_tiff(odd):
    raw = bytearray(saved(smooth(), "TIFF", tiffinfo={0x0112: 6, 0x011A: 72.0}))
    (start,) = struct.unpack_from("<I", raw, 4)
    (count,) = struct.unpack_from("<H", raw, start)
    for at in range(start + 2, start + 2 + 12 * count, 12):
        if struct.unpack_from("<H", raw, at) == (0x011A,):
            struct.pack_into("<HHI4s", raw, at, *odd)
    assert images.decode(bytes(raw), Path("x.tif")).pixels.shape == (48, 32, 3)


APPS = {
    "JFIF that is too short": segment(0xE0, b"JFIF\0\1"),
    "JFXX": segment(0xE0, b"JFXX\0\x10" + bytes(9)),
    "empty EXIF": segment(0xE1, b"Exif\0\0"),
    "profile without a number": segment(0xE2, b"ICC_PROFILE\0"),
    "profile of which a part is missing": segment(0xE2, b"ICC_PROFILE\0\1\2" + SRGB),
    "pictures that do not exist": segment(0xE2, b"MPF\0" + exif_of([(0xB001, 4, 1, b"\xff\0\0\0")])),
    "damaged list of pictures": segment(0xE2, b"MPF\0II*\0\xff\xff\xff\xff"),
    "damaged Photoshop block": segment(0xED, b"Photoshop 3.0\0" + b"8BIM\3\xed\0\0\0\0\0\x02ab"),
    "Adobe that is too short": segment(0xEE, b"Adobe\0"),
    "comment": segment(0xFE, b"\xff" * 300),
    "nothing": segment(0xE5, b""),
}


@pytest.mark.parametrize("name", APPS)
def test_no_application_segment_costs_a_whole_jpeg_or_changes_a_pixel(name):
    plain = saved(smooth(), "JPEG")
    picture = images.decode(with_segments(plain, APPS[name]), JPG)
    assert np.array_equal(picture.pixels, images.decode(plain, JPG).pixels)


def test_several_pictures_in_a_jpeg_are_counted():
    raw = saved(smooth(), "MPO", save_all=True, append_images=[Image.fromarray(255 - smooth())])
    assert "first_of_2_frames" in images.decode(raw, JPG).notes
    assert np.abs(images.decode(raw, JPG).pixels.astype(int) - smooth()).mean() < 3


CHUNKS = {
    "text with a wrong checksum": chunk(b"tEXt", b"Comment\0hello", crc=1),
    "text longer than Pillow takes": chunk(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(3_000_000))),
    "text in Unicode longer than Pillow takes": chunk(b"iTXt", b"a\0\1\0\0\0" + zlib.compress(bytes(3_000_000))),
    "text that is not compressed as it says": chunk(b"zTXt", b"Comment\0\0garbage"),
    "text without a name": chunk(b"tEXt", b""),
    "short resolution": chunk(b"pHYs", b"\0\0"),
    "short gamma": chunk(b"gAMA", b"\0"),
    "short sRGB": chunk(b"sRGB", b""),
    "short chromaticities": chunk(b"cHRM", b"\0\0\0"),
    "short time": chunk(b"tIME", b"\0"),
    "damaged EXIF": chunk(b"eXIf", b"II*\0\xff\xff\xff\xff"),
    "EXIF with a wrong checksum": chunk(b"eXIf", exif_of([TURNED_SHORT]), crc=1),
    "EXIF in a text that is none": chunk(b"tEXt", b"Raw profile type exif\0\nexif\n 4\nxyz"),
    "short animation": chunk(b"acTL", b"\0"),
    "animation without frames": chunk(b"acTL", bytes(8)),
    "frame of no animation": chunk(b"fcTL", b"\0"),
    "frame data of no animation": chunk(b"fdAT", b""),
    "unknown": chunk(b"abCd", bytes(1000), crc=1),
    "short background": chunk(b"bKGD", b""),
}


@pytest.mark.parametrize("name", CHUNKS)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_no_chunk_beside_the_pixels_costs_a_whole_png(name, before):
    raw = with_chunks(saved(smooth(), "PNG"), CHUNKS[name], before=before)
    picture = images.decode(raw, PNG)
    assert np.array_equal(picture.pixels, smooth())
    assert picture.notes == ()


@pytest.mark.parametrize("name", ["phys_short", "text_bad_crc", "ztxt_3mb_before"])
def test_whole_pngs_with_odd_metadata_are_read(name):
    assert np.array_equal(case(f"png/{name}.png").pixels, case("png/phys_short.png").pixels)


def hexadecimal(exif):
    return b"\nexif\n%8d\n" % len(exif) + exif.hex().encode() + b"\n"


@pytest.mark.parametrize(
    "turning",
    [
        chunk(b"eXIf", exif_of([TURNED_SHORT])),
        chunk(b"tEXt", b"Raw profile type exif\0" + hexadecimal(b"Exif\0\0" + exif_of([TURNED_SHORT]))),
        chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(hexadecimal(exif_of([TURNED_SHORT])))),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + b'<x tiff:Orientation="6"/>'),
    ],
)
@pytest.mark.parametrize("before", [b"IDAT", b"IEND"])
def test_a_png_is_turned_upright_wherever_its_orientation_is_written(turning, before):
    raw = with_chunks(saved(smooth(), "PNG"), turning, before=before)
    assert np.array_equal(images.decode(raw, PNG).pixels, np.rot90(smooth(), -1))


@pytest.mark.parametrize("kind", [b"IHDR", b"IDAT", b"PLTE"])
def test_a_png_without_what_makes_its_pixels_is_refused(kind):
    raw = saved(Image.fromarray(smooth()).convert("P"), "PNG")
    at = raw.index(kind) - 4
    (length,) = struct.unpack_from(">I", raw, at)
    with pytest.raises(ImageError, match=r"x\.png: "):
        images.decode(raw[:at] + raw[at + 12 + length :], PNG)


@pytest.mark.parametrize(
    "damaged",
    [
        chunk(b"iCCP", b"icc\0\0" + zlib.compress(bytes(2_000_000))),
        chunk(b"iCCP", b"icc\0\0garbage"),
        chunk(b"iCCP", b"icc\0\7" + zlib.compress(SRGB)),
        chunk(b"iCCP", b"icc"),
        chunk(b"iCCP", b"icc\0\0" + zlib.compress(SRGB), crc=1),
    ],
    # A profile holds the time at which it was made; names of tests do not.
    ids=["far too large", "no stream", "another method", "cut short", "another checksum"],
)
def test_a_profile_that_cannot_be_read_costs_only_itself_and_is_noted(damaged):
    picture = images.decode(with_chunks(saved(smooth(), "PNG"), damaged, before=b"IDAT"), PNG)
    assert np.array_equal(picture.pixels, smooth())
    assert picture.notes == ("unreadable_profile",)
    assert picture.encoding.icc_profile is None


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_profile_is_kept_and_changes_no_pixel(format):
    path = Path(f"x.{format.lower()}")
    plain, tagged = (images.decode(saved(smooth(), format, **more), path) for more in ({}, {"icc_profile": SRGB}))
    assert tagged.encoding.icc_profile == SRGB
    assert np.array_equal(plain.pixels, tagged.pixels)


def test_frames_of_an_animated_png_are_counted():
    others = [Image.fromarray(255 - smooth()), Image.fromarray(smooth()[::-1])]
    for default_too in (False, True):
        raw = saved(smooth(), "PNG", save_all=True, append_images=others, default_image=default_too)
        picture = images.decode(raw, PNG)
        assert picture.notes == ("first_of_3_frames",)
        assert np.array_equal(picture.pixels, smooth())
