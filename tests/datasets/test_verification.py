"""InsightFace's verification sets, and nothing else, come out of a pickle."""

import io
import pickle
import pickletools
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import people
import pytest
from PIL import Image

from maskgen.datasets import verification
from maskgen.datasets.verification import read_bin
from maskgen.errors import ImageError

REPOSITORY = Path(__file__).parents[2]


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
        ([np.frombuffer(picture, np.uint8)[:, None] for picture in PICTURES], [True, False]),
        (np.array(PICTURES, dtype=object), [True, False]),
        (np.array(PICTURES, dtype=object)[:, None], [True, False]),
        ([bytearray(picture) for picture in PICTURES], [True, False]),
        (tuple(PICTURES), (1, 0)),
        (PICTURES, [np.int64(1), np.uint8(0)]),
        (PICTURES, np.array([[True], [False]])),
        (PICTURES, np.array([1, 0], ">i4")),
        (PICTURES, [np.array([True]), np.array([False])]),
    ],
)
def test_a_verification_set_is_read_whatever_the_protocol(content, protocol, tmp_path):
    (tmp_path / "a.bin").write_bytes(pickle.dumps(content, protocol))
    found = read_bin(tmp_path / "a.bin")
    assert found.is_same.tolist() == [True, False]
    for number in range(4):
        assert np.array_equal(found.read(str(number)), people.portrait(number, 0))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_picture_of_several_pairs_is_stored_once(protocol, tmp_path):
    array = np.frombuffer(PICTURES[3], np.uint8)
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([PICTURES[0], array] * 500, np.array([False] * 500)), protocol))
    assert (tmp_path / "a.bin").stat().st_size < 300_000
    found = read_bin(tmp_path / "a.bin")
    assert np.array_equal(found.read("999"), people.portrait(3, 0))


@pytest.mark.parametrize("core", ["numpy.core", "numpy._core"])
@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_sets_of_older_and_of_newer_numpy_are_read(core, protocol, tmp_path):
    content = ([np.frombuffer(picture, np.uint8) for picture in PICTURES], [np.bool_(True), np.bool_(False)])
    raw = pickle.dumps(content, protocol)
    for written in ("numpy.core", "numpy._core"):
        for module in ("multiarray", "numeric"):
            old, new = (f"{name}.{module}".encode() for name in (written, core))
            raw = raw.replace(b"c" + old + b"\n", b"c" + new + b"\n")
            raw = raw.replace(b"\x8c" + bytes([len(old)]) + old, b"\x8c" + bytes([len(new)]) + new)
    (tmp_path / "a.bin").write_bytes(raw)
    found = read_bin(tmp_path / "a.bin")
    assert found.is_same.tolist() == [True, False]
    assert np.array_equal(found.read("3"), people.portrait(3, 0))


def test_the_byte_strings_of_python_2_are_read(tmp_path):
    # Protocol 0 quotes them, protocol 2 counts them; NumPy's state and its names are such strings, too.
    quoted = b"(lp0\n" + b"".join(b"S" + repr(picture)[1:].encode() + b"\na" for picture in PICTURES)
    (tmp_path / "a.bin").write_bytes(b"(" + quoted + b"(lI01\naI00\nat.")
    counted = b"".join(b"T" + struct.pack("<i", len(picture)) + picture + b"a" for picture in PICTURES)
    flags = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85U\x01b\x87R(K\x01K\x02\x85cnumpy\ndtype\nU\x02b1K\0K\x01"
        b"\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb\x89U\x02\x01\0tb"
    )
    (tmp_path / "b.bin").write_bytes(b"\x80\x02]" + counted + flags + b"\x86.")
    for name in ("a.bin", "b.bin"):
        found = read_bin(tmp_path / name)
        assert found.is_same.tolist() == [True, False]
        assert np.array_equal(found.read("2"), people.portrait(2, 0))


@pytest.mark.parametrize("protocol", range(3))
def test_an_empty_picture_of_an_old_pickle_is_an_unreadable_picture_in_a_readable_set(protocol, tmp_path):
    # Old protocols write empty bytes as a call of bytes().
    (tmp_path / "a.bin").write_bytes(pickle.dumps(([PICTURES[0], b""], [True]), protocol))
    found = read_bin(tmp_path / "a.bin")
    assert np.array_equal(found.read("0"), people.portrait(0, 0))
    with pytest.raises(ImageError, match="empty file"):
        found.read("1")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize(
    "stored", [np.array, list, lambda pixels: [np.asfortranarray(one) for one in pixels]], ids=["4d", "list", "fortran"]
)
def test_pixels_of_older_sets_are_bgr(stored, protocol, tmp_path):
    pixels = [people.portrait(i, 0)[..., ::-1] for i in range(2)]
    (tmp_path / "a.bin").write_bytes(pickle.dumps((stored(pixels), [True]), protocol))
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
    with pytest.raises(
        ImageError, match=r"a\.bin: not a verification set: asks for .*only lists, tuples, bytes, bools"
    ):
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
        (pickle.dumps((PICTURES, [True])), "4 pictures for 1 pair, expected two"),
        (pickle.dumps((PICTURES, [True, "no"])), "pair 1: str instead of a bool"),
        (pickle.dumps((PICTURES[:2], [7])), "pair 0: 7 instead of a bool"),
        (pickle.dumps((PICTURES[:2], [1.0])), "pair 0: float instead of a bool"),
        (pickle.dumps(([1, 2], [True])), "picture 0: int instead of bytes"),
        (pickle.dumps(([np.zeros((3, 4), np.uint8)] * 2, [True])), r"picture 0: an array of shape \(3, 4\)"),
        (pickle.dumps(([np.zeros((3, 4, 3), np.uint16)] * 2, [True])), "picture 0: ndarray instead of bytes"),
        (pickle.dumps(([np.zeros((3, 4, 3))] * 2, [True])), "asks for arrays of 'f8'; only bools and integers"),
        (pickle.dumps((PICTURES[:2], [{}])), "asks for EMPTY_DICT; only lists"),
        (pickle.dumps((PICTURES[:2], [np.str_("a")])), "asks for arrays of 'U1'"),
        (pickle.dumps((PICTURES[:2], [np.array([("a", 1)], [("b", "O"), ("c", "i4")])])), "asks for arrays of"),
    ],
)
def test_files_that_are_no_verification_sets_are_explained(content, match, tmp_path):
    (tmp_path / "a.bin").write_bytes(content)
    with pytest.raises(ImageError, match=match):
        read_bin(tmp_path / "a.bin")


def test_a_missing_set_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"a\.bin: cannot be read"):
        read_bin(tmp_path / "a.bin")


def test_buffers_that_lie_outside_of_the_file_are_refused(tmp_path):
    content = ([np.frombuffer(picture, np.uint8) for picture in PICTURES], [True, False])
    (tmp_path / "a.bin").write_bytes(pickle.dumps(content, 5, buffer_callback=lambda buffer: False))
    with pytest.raises(ImageError, match="asks for NEXT_BUFFER"):
        read_bin(tmp_path / "a.bin")


def test_a_file_that_would_fill_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(verification, "MAX_BYTES", 10)
    (tmp_path / "a.bin").write_bytes(b"." * 11)
    with pytest.raises(ImageError, match=r"11 bytes, more than the 10 allowed; unpack it"):
        read_bin(tmp_path / "a.bin")
    with pytest.raises(ImageError, match="not a file"):
        read_bin(tmp_path)


def described(state, code=b"u1", content=b"C\x08" + b"A" * 8, shape=b"K\x01\x85"):
    """A pickle of an array whose type has this state."""
    return (
        b"\x80\x04cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R(K\x01"
        + shape
        + b"cnumpy\ndtype\nX\x02\0\0\0"
        + code
        + b"\x89\x88\x87R"
        + state
        + b"\x89"
        + content
        + b"tb."
    )


def state(flags=b"K\0", order=b"|", fields=b"NNN"):
    return b"(K\x03X\x01\0\0\0" + order + fields + b"J\xff\xff\xff\xffJ\xff\xff\xff\xff" + flags + b"tb"


NESTED = 200_000
ENCODE = b"c_codecs\nencode\n"
ATTACKS = {
    "pointers": described(state(b"K\x3f"), b"u8"),
    "pointers in objects": described(state(b"K\x3f"), b"O8"),
    "pointers in a scalar": b"\x80\x04cnumpy.core.multiarray\nscalar\ncnumpy\ndtype\nX\x02\0\0\0O8\x89\x88\x87R"
    + state(b"K\x3f")
    + b"C\x08AAAAAAAA\x86R.",
    "fields": described(state(fields=b"N)N")),
    "order": described(state(order=b"x")),
    "too short": described(state(), b"u8", b"C\x07" + b"A" * 7),
    "huge shape": described(state(), shape=b"\x8a\x08" + b"\xff" * 7 + b"\x7f\x85"),
    "empty but endless": described(state(), content=b"C\0", shape=b"\x8a\x06" + b"\xff" * 5 + b"\x7fK\0\x86"),
    "negative shape": described(state(), shape=b"J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86"),
    "no state": b"\x80\x04cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\x01b\x87R]q\0h\0\x86.",
    "an array by name": b"\x80\x04cnumpy\nndarray\n\x8a\x06" + b"\xff" * 5 + b"\x7f\x85\x85R.",
    "huge bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b".",
    "huge bytes, 32 bits": b"\x80\x04B" + struct.pack("<I", 2**32 - 1) + b".",
    "huge bytearray": b"\x80\x05\x96" + struct.pack("<Q", 2**63) + b".",
    "huge text": b"\x80\x04\x8d" + struct.pack("<Q", 2**63) + b".",
    "huge frame": b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"]q\0h\0\x86.",
    "huge integer": b"\x80\x02\x8b" + struct.pack("<i", 2**31 - 1) + b".",
    "negative length": b"\x80\x02\x8b" + struct.pack("<i", -1) + b".",
    "long integer": b"\x80\x02\x8b" + struct.pack("<i", 10**6) + b"\xff" * 10**6 + b".",
    "digits": b"L" + b"9" * 10**6 + b"L\n.",
    "memo": b"\x80\x02]r" + b"\xff" * 4 + b"]\x86.",
    "memo in digits": b"]p" + b"9" * 4000 + b"\n]\x86.",
    "bytes by number": b"c__builtin__\nbytes\nL99999999999999L\n\x85R.",
    "bytearray by number": b"cbuiltins\nbytearray\nJ\xff\xff\xff\x7f\x85\x81.",
    "nested lists": b"]" * NESTED + b"a" * (NESTED - 1) + b"\x85]\x86.",
    "nested tuples": b")" + b"\x85" * NESTED + b".",
    "nested names": b"]" + b"\x85" * NESTED + b"]\x93.",
    "nested codec": ENCODE + b"Vx\n]" + b"\x85" * NESTED + b"\x86R.",
    "nested type": b"cnumpy\ndtype\n]" + b"\x85" * NESTED + b"\x85R.",
    "doubled": b"]" + b"2\x86" * 60 + b"q\0h\0\x86.",
    "doubled name": b"]" + b"2\x86" * 60 + b"]\x93.",
    "itself": b"]q\0h\0ah\0h\0\x86.",
    "objects": b"]" * 2_000_000 + b".",
    "encoded again and again": b"V" + b"x" * 10**6 + b"\nq\0](" + (ENCODE + b"h\0\x85R") * 10**5 + b"e.",
    "marks": b"(" * 10**5 + b"t" * 10**5 + b".",
    "no mark": b"t.",
    "below a mark": b"](a.",
    "called": b"]]R.",
    "calls a list": b"])R.",
    "a bad surrogate": b"\x8c\x03\xff\xfe\xfd.",
    "persistent": b"Pid\n.",
    "extension": b"\x82\x01.",
    "frozen": b"(\x91.",
}

READ = """
import resource, sys
from pathlib import Path
limit = 3 * 2**30
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
from maskgen.datasets import pickles
from maskgen.datasets.verification import read_bin
from maskgen.errors import ImageError
pickles._MOST_STEPS = 10**6
for path in sorted(Path(sys.argv[1]).iterdir()):
    try:
        read_bin(path)
    except ImageError as error:
        assert len(str(error)) < 400, path
        print(path.name, error)
"""


def read_apart(folder, script=READ, *args):
    """What a process of its own says, which a file may end."""
    pytest.importorskip("resource", reason="limits the memory of a process")
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder), *args],
        env={"PYTHONPATH": str(REPOSITORY), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


def test_a_pickle_that_attacks_the_memory_gives_one_error(tmp_path):
    for name, content in ATTACKS.items():
        (tmp_path / name).write_bytes(content)
    said = read_apart(tmp_path)
    assert sorted(ATTACKS) == [name for name in sorted(ATTACKS) if f"{name} {tmp_path / name}: " in said]
    assert "needs more memory" not in said, "sizes are checked before anything is allocated"
    assert len(said.splitlines()) == len(ATTACKS)


MUTATE = """
import pickle, random, sys
from pathlib import Path
import numpy as np
from maskgen.datasets import pickles
from maskgen.datasets.verification import read_bin
from maskgen.errors import ImageError, MaskgenError
pictures = [bytes(range(i, i + 9)) for i in range(4)]
contents = [
    (pictures, [True, False]),
    ([np.frombuffer(picture, np.uint8) for picture in pictures], np.array([True, False])),
    (np.array(pictures, object), [np.bool_(True), np.int64(0)]),
    (np.zeros((4, 2, 2, 3), np.uint8), [True, False]),
]
whole = [pickle.dumps(content, protocol) for content in contents for protocol in range(6)]
rng = random.Random(0)
opcodes = [*pickles._PUSHES, *pickles._STEPS, *pickles._NAMES]
path, read, refused = Path(sys.argv[1], "a.bin"), 0, 0
for _ in range(2000):
    raw = bytearray(rng.choice(whole))
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(raw))
        match rng.randrange(5):
            case 0:
                raw[at] ^= 1 << rng.randrange(8)
            case 1:
                raw[at] = rng.choice([0, 1, 127, 128, 255])
            case 2:
                del raw[at : at + rng.randint(1, 20)]
            case 3:
                raw[at:at] = rng.choice(opcodes)
            case 4:
                other = rng.choice(whole)
                start = rng.randrange(len(other))
                raw[at:at] = other[start : start + rng.randint(1, 40)]
        raw = raw or bytearray(b".")
    path.write_bytes(raw)
    try:
        found = read_bin(path)
        read += 1
    except ImageError as error:
        assert len(str(error)) < 400
        refused += 1
        continue
    for number in range(len(found.pictures)):
        try:
            found.read(str(number))
        except MaskgenError:
            pass
print(read, refused)
"""


def test_a_set_with_random_faults_is_read_or_refused(tmp_path):
    read, refused = map(int, read_apart(tmp_path, MUTATE).split())
    assert read > 50, "some faults lie in the pictures, or change nothing"
    assert refused > 1000
