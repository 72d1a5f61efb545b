"""Faces are looked for once per picture, and again only where the picture changed."""

import io
import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import people
import pytest
from fakes import FakeDetectors, pixels, write_picture
from PIL import Image
from strategies import face_at

from maskgen import run
from maskgen.datasets.dataset import open_dataset, open_people
from maskgen.errors import ConfigError
from maskgen.face import HeadPose
from maskgen.masking.light import appearance_of
from maskgen.parallel import InProcess, LocalExecutor
from maskgen.recognition.faces import cache_in, faces_of


@dataclass(frozen=True)
class Counting(FakeDetectors):
    """Detectors that leave a line per picture in a file."""

    log: Path | None = None

    def build(self):
        return _Counted(super().build(), self.log)


@dataclass(frozen=True)
class _Counted:
    detector: object
    log: Path

    def detect(self, image):
        with self.log.open("a") as file:
            file.write(f"{os.getpid()}\n")
        return self.detector.detect(image)


@pytest.fixture
def detectors(tmp_path):
    return Counting(log=tmp_path / "log")


def looks(detectors):
    lines = detectors.log.read_text().splitlines() if detectors.log.exists() else []
    detectors.log.unlink(missing_ok=True)
    return len(lines)


@pytest.fixture
def folder(tmp_path):
    for person in ("ann", "ben"):
        for take in range(3):
            write_picture(tmp_path / "in" / person / f"{take}.png", "two_faces" if take else "face")
    write_picture(tmp_path / "in" / "ben" / "nobody.png", "no_face")
    return tmp_path / "in"


def search(folder, detectors, executor=None, **options):
    dataset = open_dataset(folder, aligned=False)
    return faces_of(dataset, folder.parent / "cache", detectors, executor or InProcess(), **options)


def test_every_picture_is_looked_at_once(folder, detectors):
    cache = search(folder, detectors)
    assert looks(detectors) == len(cache) == 7
    assert sorted(cache) == sorted(
        [*(f"{person}/{take}.png" for person in ("ann", "ben") for take in range(3)), "ben/nobody.png"]
    )
    assert len(cache.get("ann/1.png").faces) == 2
    assert cache.get("ben/nobody.png").reason == "no_face"
    assert cache.reasons(["ann/0.png", "ben/nobody.png"]) == [None, "no_face"]
    again = search(folder, detectors)
    assert looks(detectors) == 0
    assert len(again) == 7
    assert len(list((folder.parent / "cache").glob("part-*"))) == 1


def test_only_pictures_that_changed_are_looked_at_again(folder, detectors):
    search(folder, detectors)
    looks(detectors)
    write_picture(folder / "ann" / "0.png", "two_faces", optimize=True)
    write_picture(folder / "ann" / "new.png")
    cache = search(folder, detectors)
    assert looks(detectors) == 2
    assert len(cache.get("ann/0.png").faces) == 2
    assert len(cache) == 8


@pytest.mark.parametrize("out_format", ["recordio", "webdataset"])
def test_of_a_file_of_many_pictures_only_those_are_looked_at_again_whose_bytes_changed(detectors, out_format, tmp_path):
    folder = tmp_path / "in"
    (folder / "ann").mkdir(parents=True)

    def write(number, kind):
        # Records hold crops.
        Image.fromarray(pixels(kind, (112, 112), number)).save(folder / "ann" / f"{number}.png")

    for number in range(7):
        write(number, "face" if number else "no_face")

    def converted():
        run.run(run.Job(folder, tmp_path / "packed", run.AugmentSettings(masks=False, out_format=out_format)))
        dataset = open_dataset(tmp_path / "packed", aligned=False)
        return faces_of(dataset, tmp_path / "cache", detectors, InProcess())

    first = converted()
    assert looks(detectors) == len(first) == 7
    converted()
    assert looks(detectors) == 0
    for path in (tmp_path / "packed").iterdir():
        os.utime(path, ns=(1, 1))
    converted()
    assert looks(detectors) == 0, "the bytes are as they were"
    write(0, "face")
    second = converted()
    assert looks(detectors) == 1
    assert [second.get(key).reason for key in second] == [None] * 7


def test_a_search_that_was_stopped_goes_on_where_it_was(folder, detectors):
    class StoppedError(Exception):
        pass

    def stop(now):
        if now.done == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        search(folder, detectors, on_progress=stop)
    first = looks(detectors)
    assert len(search(folder, detectors)) == 7
    assert looks(detectors) == 7 - min(first, 3)


def test_processes_find_what_one_does(folder, detectors, tmp_path):
    alone = search(folder, detectors)
    dataset = open_dataset(folder, aligned=False)
    others = faces_of(dataset, tmp_path / "other", detectors, LocalExecutor(2))
    for key in alone:
        one, other = alone.get(key), others.get(key)
        assert [face.in_picture for face in one.faces] == [face.in_picture for face in other.faces]
        assert all(
            np.array_equal(a.face.landmarks, b.face.landmarks) for a, b in zip(one.faces, other.faces, strict=True)
        )


def test_a_picture_that_cannot_be_looked_at_has_its_reason_and_is_counted(folder, detectors):
    (folder / "ann" / "0.png").write_bytes(b"no picture")
    write_picture(folder / "ann" / "1.png", "bug")
    said, counts = [], []
    cache = search(folder, detectors, on_fault=said.append, on_progress=counts.append)
    assert cache.get("ann/0.png").reason == "bad_image"
    assert cache.get("ann/1.png").reason == "unexpected"
    assert "ann/1.png: ZeroDivisionError: no such luck" in said
    assert counts[-1] == (7, 7, 2)


def test_a_picture_that_ends_its_process_costs_only_itself(folder, detectors):
    write_picture(folder / "ann" / "1.png", "kill")
    cache = search(folder, detectors, LocalExecutor(2))
    assert cache.get("ann/1.png").reason == "crashed"
    assert sum(reason is None for reason in cache.reasons(list(cache))) == 5


def test_faces_without_looks_are_looked_at_when_more_is_needed(folder, detectors):
    search(folder, detectors, observed=False)
    assert looks(detectors) == 7
    search(folder, detectors, observed=False)
    assert looks(detectors) == 0
    cache = search(folder, detectors)
    assert looks(detectors) == 6, "where nobody is, there is nothing more to know"
    assert cache.get("ann/0.png").is_observed
    search(folder, detectors, observed=False)
    assert looks(detectors) == 0


def test_a_face_that_the_dataset_knows_is_observed_without_a_detector(tmp_path, detectors):
    face = face_at(HeadPose(0, 0, 0), 0.8, (100, 90))
    image = np.random.default_rng(0).integers(0, 256, (200, 200, 3)).astype(np.uint8)

    def dataset(landmarks):
        root = tmp_path / f"data{landmarks[0, 0]}"
        people._write(root / "ann/0.png", image)
        row = people.Row(
            key="ann/0.png",
            identity="ann",
            status="skipped",
            faces=(people.face_row(landmarks),),
            original=people.Written(place="ann/0.png"),
        )
        people.write_run(root, [row], {"aligned": False})
        os.utime(root / "ann/0.png", ns=(5, 5))
        return open_people(root)

    cache = faces_of(dataset(face.landmarks), tmp_path / "cache", detectors, InProcess())
    seen = cache.get("ann/0.png")
    assert np.array_equal(seen.face.landmarks, face.landmarks)
    expected = appearance_of(image, seen.face)
    assert seen.observed(image)[0].appearance.blur == expected.blur
    other = faces_of(dataset(face.landmarks + 3), tmp_path / "cache", detectors, InProcess())
    assert np.array_equal(other.get("ann/0.png").face.landmarks, face.landmarks + 3), "what is known has changed"
    assert looks(detectors) == 0


def test_pictures_of_a_verification_set_have_their_numbers_as_keys(tmp_path, detectors):
    def encoded(person):
        buffer = io.BytesIO()
        Image.fromarray(people.portrait(person, 0)).save(buffer, "PNG")
        return buffer.getvalue()

    path = tmp_path / "set.bin"
    path.write_bytes(pickle.dumps(([encoded(number) for number in range(4)], [True, False])))
    for expected in (4, 0):
        cache = faces_of(open_dataset(path), tmp_path / "cache", detectors, InProcess())
        assert sorted(cache) == ["0", "1", "2", "3"]
        assert looks(detectors) == expected
    assert cache.info.aligned


def test_a_cache_has_a_name_of_its_own_for_each_pack_and_kind_of_picture(tmp_path):
    names = {
        cache_in(tmp_path, FakeDetectors(hash=hash), aligned).name
        for hash in ("a" * 64, "b" * 64)
        for aligned in (False, True)
    }
    assert names == {"faces-aaaaaaaa", "faces-bbbbbbbb", "faces-aaaaaaaa-aligned", "faces-bbbbbbbb-aligned"}


def test_a_cache_of_another_pack_is_refused_before_anything_is_looked_at(folder, detectors):
    search(folder, detectors)
    looks(detectors)
    with pytest.raises(ConfigError, match="another model pack"):
        search(folder, Counting(hash="e" * 64, log=detectors.log))
    assert looks(detectors) == 0
