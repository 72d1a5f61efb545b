"""The cache of observed faces: what goes in comes out, whoever writes, whatever kills them."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import face_at, poses

from maskgen.errors import ConfigError
from maskgen.face import Face, HeadPose
from maskgen.masking.packed import pack
from maskgen.recognition.cache import CacheInfo, CacheWriter, FaceCache, prepared
from maskgen.recognition.look import look_at
from maskgen.recognition.seen import Seen, SeenFace, Stamps, encoded

INFO = CacheInfo(pack_sha256="f" * 64, aligned=False)


def seen(number=0, faces=1):
    """What might be seen on a picture, with many numbers of its own."""
    found = [
        face_at(HeadPose(number % 40, 5, one), 0.5 + one, (60 + number, 50), scheme=106 if one % 2 else 68)
        for one in range(faces)
    ]
    return Seen((200, 160), tuple(map(SeenFace, found)), max(faces - 1, 0), None if faces else "no_face")


def same(one: Seen, other: Seen) -> bool:
    pairs = zip(one.faces, other.faces, strict=True)
    return (one.size_wh, one.chosen, one.reason, one.is_aligned, one.is_observed) == (
        other.size_wh,
        other.chosen,
        other.reason,
        other.is_aligned,
        other.is_observed,
    ) and all(_plain(a) == _plain(b) for a, b in pairs)


def _plain(face: SeenFace):
    points = [array.tolist() for array in (face.face.bbox, face.face.keypoints, face.face.landmarks)]
    parts = [part and (part.numbers.tobytes(), part.maps, part.shares) for part in (face.in_picture, face.in_crop)]
    return points, face.face.pose, face.face.score, parts


@pytest.fixture
def cache(tmp_path):
    path = tmp_path / "cache"
    prepared(path, INFO)
    return path


def write(path, *pictures):
    with CacheWriter(path) as writer:
        for key, one in pictures:
            writer.append([encoded(key, one)])


# ---- what goes in comes out


def test_any_number_of_faces_of_any_scheme_comes_back_to_the_last_bit(cache):
    deep = face_at(HeadPose(10, 5, 0))
    deep = Face(deep.bbox, deep.keypoints, np.concatenate([deep.landmarks, deep.landmarks[:, :1]], 1), deep.pose, 0.7)
    pictures = {"none": seen(0, 0), "one": seen(1), "five": seen(2, 5), "deep": Seen((9, 9), (SeenFace(deep),))}
    write(cache, *pictures.items())
    found = FaceCache(cache)
    assert len(found) == 4
    assert all(same(found.get(key), one) for key, one in pictures.items())
    assert found.get("absent") is None


def test_what_was_observed_comes_back_in_the_picture_and_in_the_crop(cache):
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    looked = look_at(image, None, known=face_at(HeadPose(0, 0, 0), 0.8, (100, 90)))
    write(cache, ("key", looked))
    found = FaceCache(cache).get("key")
    assert same(found, looked)
    assert found.faces[0].in_picture is not None
    assert found.faces[0].in_crop is not None


@given(keys=st.lists(st.text(max_size=40) | st.just("\udcff.jpg"), unique=True, max_size=8))
@settings(max_examples=30)
def test_keys_may_be_any_text(keys, tmp_path_factory):
    path = tmp_path_factory.mktemp("keys") / "cache"
    prepared(path, INFO)
    write(path, *((key, seen(number)) for number, key in enumerate(keys)))
    found = FaceCache(path)
    assert sorted(found) == sorted(keys)
    assert all(same(found.get(key), seen(number)) for number, key in enumerate(keys))
    assert "never written" not in found


@given(poses(yaw=170), st.floats(0, 1))
@settings(max_examples=20)
def test_poses_and_scores_keep_every_bit(pose, score):
    face = face_at(HeadPose(0, 0, 0))
    face = Face(face.bbox, face.keypoints, face.landmarks, pose, score)
    row = encoded("key", Seen((5, 5), (SeenFace(face),)))
    from maskgen.recognition.seen import decoded

    back = decoded(row.row, row.faces, row.maps, False)
    assert (back.face.pose, back.face.score) == (pose, score)


def test_of_rows_with_one_key_the_last_one_counts_within_a_part_and_among_parts(cache):
    write(cache, ("key", seen(1)), ("other", seen(2)), ("key", seen(3)))
    assert same(FaceCache(cache).get("key"), seen(3))
    write(cache, ("key", seen(4)))
    found = FaceCache(cache)
    assert len(found) == 2
    assert same(found.get("key"), seen(4))
    assert same(found.get("other"), seen(2))


def test_nothing_is_made_for_a_writer_that_adds_nothing(cache):
    with CacheWriter(cache) as writer:
        writer.append([])
    assert [path.name for path in cache.iterdir()] == ["cache.json"]
    assert len(FaceCache(cache)) == 0
    assert FaceCache(cache).get("key") is None


# ---- many processes


def _writes(path, number):
    write(path, *((f"{number}/{one}", seen(10 * number + one, one % 3)) for one in range(30)))


def test_processes_that_write_at_once_lose_nothing(cache):
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_writes, args=(cache, number)) for number in range(3)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    found = FaceCache(cache)
    assert len(found) == 90
    assert all(
        same(found.get(f"{number}/{one}"), seen(10 * number + one, one % 3)) for number in range(3) for one in range(30)
    )


def test_a_reader_that_was_sent_to_another_process_reads_the_same(cache):
    write(cache, ("key", seen(1)))
    reader = pickle.dumps(FaceCache(cache))
    assert len(reader) < 1000, "no pictures travel"
    assert same(pickle.loads(reader).get("key"), seen(1))


def test_what_is_read_does_not_change_while_others_write(cache):
    write(cache, ("key", seen(1)))
    before = FaceCache(cache)
    write(cache, ("key", seen(2)), ("new", seen(3)))
    assert same(before.get("key"), seen(1))
    assert "new" not in before


# ---- kills, damage


@pytest.mark.parametrize("cut", ["rows", "faces", "maps"])
def test_a_part_that_ends_anywhere_is_whole_up_to_there(cache, cut):
    write(cache, *((str(number), seen(number, 2)) for number in range(6)))
    (file,) = cache.glob(f"part-*/{cut}")
    whole = file.read_bytes()
    for length in range(0, len(whole), 97):
        file.write_bytes(whole[:length])
        found = FaceCache(cache)
        count = len(found)
        assert all(same(found.get(str(number)), seen(number, 2)) for number in range(count))
        assert count <= 6 * length / len(whole)
        assert count >= 6 * length // len(whole) - 1


WRITER = """
import sys
sys.path[:0] = {path!r}
from pathlib import Path
from test_cache import CacheWriter, encoded, seen
with CacheWriter(Path(sys.argv[1])) as writer:
    for number in range(10**6):
        writer.append([encoded(str(number), seen(number % 40, number % 3))])
        if number == 20:
            print("written", flush=True)
"""


def test_a_writer_that_is_killed_leaves_whole_rows_and_the_next_one_adds_to_them(cache):
    here = Path(__file__).parent
    code = WRITER.format(path=[str(here), str(here.parent)])
    writer = subprocess.Popen([sys.executable, "-c", code, cache], stdout=subprocess.PIPE, env=os.environ)
    assert writer.stdout.readline() == b"written\n"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    count = len(FaceCache(cache))
    assert count > 20
    write(cache, ("after", seen(5)))
    found = FaceCache(cache)
    assert all(same(found.get(str(number)), seen(number % 40, number % 3)) for number in range(count))
    assert same(found.get("after"), seen(5))


@pytest.mark.parametrize("file", ["rows", "faces", "maps"])
def test_a_damaged_byte_is_an_error_that_names_the_folder_to_delete(cache, file):
    write(cache, ("key", seen(1)))
    (path,) = cache.glob(f"part-*/{file}")
    raw = bytearray(path.read_bytes())
    raw[-1 if file != "rows" else 70] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ConfigError, match=rf"{path.parent.name}: damaged; delete this folder"):
        FaceCache(cache).get("key")


# ---- what it was made with


def test_a_cache_is_not_added_to_with_another_pack_or_for_other_pictures(cache):
    prepared(cache, INFO)
    for other, said in (({"pack_sha256": "e" * 64}, "another model pack"), ({"aligned": True}, "of photographs")):
        with pytest.raises(ConfigError, match=f"{said}; name another folder for faces"):
            prepared(cache, INFO.model_copy(update=other))


def test_a_folder_with_something_else_is_no_cache(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="holds something else"):
        prepared(tmp_path, INFO)
    with pytest.raises(ConfigError, match="no cache of observed faces; make one with 'maskgen faces'"):
        FaceCache(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_cache_of_another_version_is_refused(cache):
    (cache / "cache.json").write_text(INFO.model_copy(update={"observed_version": 99}).model_dump_json())
    with pytest.raises(ConfigError, match="another version"):
        FaceCache(cache)
    (cache / "cache.json").write_text("{}")
    with pytest.raises(ConfigError, match=r"cache\.json: pack_sha256: Field required"):
        FaceCache(cache)


# ---- what still holds


def test_stamps_tell_what_still_holds(cache):
    with CacheWriter(cache) as writer:
        writer.append([encoded("file", seen(1), Stamps("10-5"))])
        writer.append([encoded("record", seen(1), Stamps("10-abc", "99-7"))])
        writer.append([encoded("none", seen(1))])
    found = FaceCache(cache)

    def fresh(key, container, picture, observed=False):
        return bool(found.is_fresh([key], lambda n: container, lambda n: picture, observed)[0])

    assert fresh("file", None, "10-5")
    assert not fresh("file", None, "11-5")
    assert not fresh("file", None, None)
    assert fresh("record", "99-7", "never asked for")
    assert fresh("record", "99-8", "10-abc")
    assert not fresh("record", "99-8", "10-abd")
    assert not fresh("none", None, None)
    assert not fresh("absent", "99-7", "10-5")
    assert not fresh("file", None, "10-5", observed=True)


def test_what_was_packed_once_is_packed_alike_again():
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)
    looked = look_at(image, None, known=face_at(HeadPose(0, 0, 0), 0.8, (100, 90)))
    (observed,) = looked.observed(image)
    again = pack(observed)
    assert again.numbers.tobytes() == looked.faces[0].in_picture.numbers.tobytes()
    assert again.maps == looked.faces[0].in_picture.maps
