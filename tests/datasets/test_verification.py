"""InsightFace's verification sets, and nothing else, come out of a pickle."""

import io
import pickle
import pickletools

import numpy as np
import people
import pytest
from PIL import Image

from maskgen.datasets.verification import read_bin
from maskgen.errors import ImageError


def encoded(person):
    buffer = io.BytesIO()
    Image.fromarray(people.portrait(person, 0)).save(buffer, "PNG")
    return buffer.getvalue()


PICTURES = [encoded(i) for i in range(4)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "content",
    [
        (PICTURES, [True, False]),
        [PICTURES, [True, False]],
        (PICTURES, [np.bool_(True), np.bool_(False)]),
        (PICTURES, np.array([True, False])),
        ([np.frombuffer(picture, np.uint8) for picture in PICTURES], [True, False]),
        (np.array(PICTURES, dtype=object), [True, False]),
    ],
)
def test_a_verification_set_is_read_whatever_the_protocol(content, protocol, tmp_path):
    (tmp_path / "a.bin").write_bytes(pickle.dumps(content, protocol))
    found = read_bin(tmp_path / "a.bin")
    assert found.is_same.tolist() == [True, False]
    for number in range(4):
        assert np.array_equal(found.read(str(number)), people.portrait(number, 0))


@pytest.mark.parametrize("protocol", range(3))
def test_an_empty_picture_of_an_old_pickle_is_an_unreadable_picture_in_a_readable_set(protocol, tmp_path):
    # Old protocols write empty bytes as a call of bytes().
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([PICTURES[0], b""], [True]), protocol))
    found = read_bin(tmp_path / "a.bin")
    assert np.array_equal(found.read("0"), people.portrait(0, 0))
    with pytest.raises(ImageError, match="empty file"):
        found.read("1")


def test_pixels_of_older_sets_are_bgr(tmp_path):
    pixels = [people.portrait(i, 0)[..., ::-1] for i in range(2)]
    (tmp_path / "a.bin").write_bytes(pickle.dumps((pixels, [True])))
    assert np.array_equal(read_bin(tmp_path / "a.bin").read("1"), people.portrait(1, 0))


class Calls:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


@pytest.mark.parametrize(
    "surprise",
    [
        Calls(print, "code ran"),
        Calls(eval, "1"),
        Calls(__import__, "os"),
        Calls(getattr, "", "upper"),
        Calls(np.load, "x"),
        np.random.default_rng(0),
        np.float64,
    ],
)
def test_a_pickle_that_asks_for_code_is_refused_before_it_runs(surprise, tmp_path, capsys):
    (tmp_path / "a.bin").write_bytes(pickle.dumps((PICTURES, [True, surprise])))
    with pytest.raises(ImageError, match=r"a\.bin: not a verification set: asks for .*only lists, bytes, bools"):
        read_bin(tmp_path / "a.bin")
    assert "code ran" not in capsys.readouterr().out


def test_a_codec_that_decompresses_is_refused(tmp_path):
    content = b"c_codecs\nencode\n(Vx\nVzlib\ntR."
    pickletools.dis(content, io.StringIO())
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(ImageError, match="asks for codec 'zlib'"):
        read_bin(tmp_path / "a.bin")


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "not a verification set"),
        (b"nonsense", "not a verification set"),
        (pickle.dumps((PICTURES, [True, False]))[:-20], "not a verification set"),
        (pickle.dumps(3), r"expected \(pictures, is_same\)"),
        (pickle.dumps((PICTURES, [])), "4 pictures for 0 pairs"),
        (pickle.dumps((PICTURES, [True])), "4 pictures for 1 pairs, expected two"),
        (pickle.dumps((PICTURES, [True, "no"])), "pair 1: str instead of a bool"),
        (pickle.dumps(([1, 2], [True])), "picture 0: int instead of bytes"),
    ],
)
def test_files_that_are_no_verification_sets_are_explained(content, match, tmp_path):
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(ImageError, match=match):
        read_bin(tmp_path / "a.bin")


def test_a_missing_set_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"a\.bin: cannot be read"):
        read_bin(tmp_path / "a.bin")
