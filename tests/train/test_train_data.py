# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""What is learnt from: which pictures, in which order, masked how."""

from pathlib import Path

import cv2
import numpy as np
import people
import pytest
from catalogs import small_catalog
from fakes import mask
from strategies import face_at

torch = pytest.importorskip("torch", reason="training needs the extra [train]")
torch.set_num_threads(1)

from maskgen import linelog
from maskgen.datasets.dataset import open_people
from maskgen.detect import DetectorSpec
from maskgen.errors import ConfigError, ImageError
from maskgen.face import HeadPose
from maskgen.recognition import faces, seen
from maskgen.train import collection as collecting
from maskgen.train import data, order
from maskgen.train.results import UsedMasks
from maskgen.train.settings import settings_of


def collect(root, **settings):
    return collecting.collect(settings_of({"data": root, "base": "scratch:mbf", **settings}), root.parent / "out")


def samples_of(root, **settings):
    return data.Samples(collect(root, **settings), 0, True)


@pytest.fixture
def augmented(tmp_path):
    return people.augmented_people(tmp_path / "data")


@pytest.fixture
def photographs(tmp_path):
    """As `photographs_in`."""
    return photographs_in(tmp_path / "data")


def photographs_in(root):
    """Photographs of 200x200 with one frontal face each, whose landmarks the manifest knows; no copies."""
    face = face_at(HeadPose(0, 0, 0), 0.8, (100, 90))
    rows = []
    for person in range(4):
        for take in range(3):
            image = np.full((200, 200, 3), 60 + 30 * person + take, np.uint8)
            file = people.name(person, take)
            people._write(root / file, image)
            rows.append(
                people.Row(
                    key=file,
                    identity=file.split("/")[0],
                    status="skipped",
                    faces=(people.face_row(face.landmarks),),
                    original=people.Written(place=file),
                )
            )
    people.write_run(root, rows, {"aligned": False})
    return root


def test_originals_and_masked_copies_come_one_to_one(augmented):
    collection = collect(augmented, holdout=0)
    assert len(collection.entries) == 36
    assert sum(is_masked for _, is_masked in collection.entries) == 18
    assert collection.identities == tuple(f"person_{i:02d}" for i in range(6))


def test_of_several_copies_each_epoch_takes_one(tmp_path):
    root = people.augmented_people(tmp_path / "data", variants=3)
    samples = samples_of(root, holdout=0)
    assert len(samples) == 36
    seen = {samples[epoch, 30].picture.numpy().tobytes() for epoch in range(20)}
    assert len(seen) <= 2, "the three copies are alike here, mirrored or not"


@pytest.mark.parametrize("share", [0, 0.25, 1])
def test_a_share_of_masked_copies_is_kept_in_every_epoch_of_the_same_length(augmented, share):
    samples = data.Samples(collect(augmented, holdout=0), 0, flip=False, mask_share=share)
    assert len(samples) == 36
    seen = [[samples[epoch, at] for at in range(36)] for epoch in range(8)]
    masked = [[not torch.equal(sample.picture, sample.clean) for sample in samples] for samples in seen]
    assert masked == [[sample.is_masked for sample in samples] for samples in seen]
    assert np.mean(masked) == pytest.approx(share, abs=0.08)
    if 0 < share < 1:
        assert len(set(map(tuple, masked))) == 8, "each epoch draws anew"


def test_without_masked_copies_a_share_of_them_changes_nothing(tmp_path):
    root = people.folder_of_people(tmp_path / "data")
    plain = data.Samples(collect(root, holdout=0), 0, flip=True)
    shared = data.Samples(collect(root, holdout=0), 0, flip=True, mask_share=1)
    assert len(plain) == len(shared) == 18
    assert all(torch.equal(plain[1, at].picture, shared[1, at].picture) for at in range(18))


def test_the_teacher_sees_the_same_picture_without_its_mask(augmented):
    samples = data.Samples(collect(augmented, holdout=0), 0, flip=False)
    plain, worn = samples[0, 0], samples[0, 18]
    assert torch.equal(plain.picture, plain.clean)
    assert torch.equal(worn.clean, plain.clean)
    assert (plain.is_masked, worn.is_masked) == (False, True)
    assert torch.equal(worn.picture[:, :56], worn.clean[:, :56])
    assert (worn.picture[:, 56:] == torch.tensor([120, 160, 200]).view(3, 1, 1)).all()


def test_picture_and_clean_are_mirrored_alike(augmented):
    samples = samples_of(augmented, holdout=0)
    flipped = [torch.equal(samples[epoch, 0].picture, samples[epoch, 0].clean) for epoch in range(20)]
    assert all(flipped)
    assert len({samples[epoch, 0].clean.numpy().tobytes() for epoch in range(20)}) == 2


@pytest.mark.parametrize("world", [1, 2, 4])
def test_processes_share_the_batches_of_one(world):
    numbers = order.order(50, seed=3, epoch=1)
    alone = list(order.Batches(numbers, 8, 1))
    shares = [order.Batches(numbers, 8, 1, rank, world) for rank in range(world)]
    assert [[key for part in parts for key in part] for parts in zip(*shares, strict=True)] == alone
    assert len({entry for batch in alone for _, entry in batch}) == 48
    assert list(order.Batches(numbers, 8, 1)[4:]) == alone[4:]


def test_workers_start_although_opencv_has_used_threads(photographs, catalog_dir):
    cv2.setNumThreads(4)
    cv2.GaussianBlur(np.zeros((2000, 2000, 3), np.uint8), (31, 31), 5)
    samples = samples_of(photographs, holdout=0, mask_prob=1, catalog=catalog_dir)
    assert len(list(data.loader(samples, data.batches(samples, 4, 0), 1))) == 3


def test_samples_do_not_depend_on_who_loads_them(augmented):
    samples = samples_of(augmented, holdout=0)
    keys = data.batches(samples, 8, 0)
    here, elsewhere = (list(data.loader(samples, keys, workers)) for workers in (0, 2))
    for one, other in zip(here, elsewhere, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_an_unreadable_picture_is_replaced_and_known(augmented):
    (augmented / people.name(0, 0)).write_bytes(b"\xff\xd8 no more")
    samples = samples_of(augmented, holdout=0)
    sample = samples[0, 0]
    assert (sample.entry, sample.used) == (0, 1)
    assert samples.name(0).endswith(people.name(0, 0))
    assert sample.label == samples[0, 1].label


def test_data_of_which_nothing_can_be_read_end_with_an_error(tmp_path):
    root = people.augmented_people(tmp_path / "data", 2, 2)
    for path in root.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(ImageError, match="in a row cannot be read"):
        samples_of(root, holdout=0)[0, 0]


def test_people_held_out_are_not_learnt_from(augmented):
    collection = collect(augmented, holdout=0.3)
    learnt = {person.item.identity for person in collection.people}
    held_out = {person.item.identity for person in collection.held_out}
    assert len(held_out) == 2
    assert not learnt & held_out
    assert learnt == set(collection.identities)
    pairs, pictures = data.validation(collection, 0)
    assert pairs.is_same.sum() == 6
    assert pictures.masked is not None


def test_identities_with_one_picture_are_counted_and_can_be_left_out(augmented):
    for take in (1, 2):
        (augmented / people.name(5, take)).unlink()
    for path in augmented.glob("*.json*"):
        path.unlink()
    for path in augmented.rglob("*_m1.png"):
        path.unlink()
    kept = collect(augmented, aligned=True, holdout=0)
    assert (len(kept.identities), kept.singles) == (6, 1)
    fewer = collect(augmented, aligned=True, holdout=0, min_pictures=2)
    assert (len(fewer.identities), fewer.singles) == (5, 0)
    assert fewer.left_out["too_few_pictures"] == 1


def test_a_single_identity_is_nothing_to_learn(tmp_path):
    with pytest.raises(ConfigError, match="1 identity to learn"):
        collect(people.folder_of_people(tmp_path / "data", 1), aligned=True)


def test_masks_on_the_fly_need_no_detector(photographs, catalog_dir, monkeypatch):
    monkeypatch.setattr(DetectorSpec, "build", lambda self: pytest.fail("a detector was built"))
    samples = samples_of(photographs, holdout=0, mask_prob=0.5, catalog=catalog_dir)
    assert len(samples) == 12
    seen = [samples[epoch, at] for epoch in range(10) for at in range(12)]
    worn = [not torch.equal(sample.picture, sample.clean) for sample in seen]
    assert worn == [sample.is_masked for sample in seen]
    assert 0.35 < np.mean(worn) < 0.65
    assert torch.equal(samples[3, 7].picture, samples[3, 7].picture), "the same key gives the same mask"


def test_masks_on_the_fly_cover_the_lower_half_of_the_crop(photographs, catalog_dir):
    samples = data.Samples(collect(photographs, holdout=0, mask_prob=1, catalog=catalog_dir), 0, flip=False)
    sample = samples[0, 0]
    changed = (sample.picture != sample.clean).any(0).float()
    assert changed[75:100, 40:72].mean() > 0.9
    assert changed[:30].mean() < 0.05


def test_a_training_that_goes_on_keeps_the_masks_that_it_began_with(photographs, catalog_dir):
    began = collect(photographs, holdout=0, mask_prob=1, catalog=catalog_dir).cropper.catalog
    then = UsedMasks(designs=began.names, sha256=began.sha256)
    small_catalog(catalog_dir, {"red": 1, "blue": 2, "new": 9})
    given = settings_of(
        {"data": photographs, "base": "scratch:mbf", "holdout": 0, "mask_prob": 1, "catalog": (catalog_dir, "shipped")}
    )
    assert collecting.collect(given, photographs.parent / "out", masks=then).cropper.catalog.names == ("red", "blue")
    small_catalog(catalog_dir, {"red": 1, "blue": 3})
    with pytest.raises(ConfigError, match="the masks are not those that the training began with; put them back"):
        collecting.collect(given, photographs.parent / "out", masks=then)


def test_photographs_without_landmarks_are_searched_once_and_remembered(tmp_path, monkeypatch):
    root = people.folder_of_people(tmp_path / "data", 3, 2)
    (root / people.name(0, 0)).write_bytes(b"broken")
    searched = []

    class Detector:
        def detect(self, image):
            searched.append(1)
            return [face_at(HeadPose(0, 0, 0), 0.5, (56, 50))] if len(searched) != 2 else []

    monkeypatch.setattr(DetectorSpec, "build", lambda self: Detector())
    monkeypatch.setattr(DetectorSpec, "sha256", lambda self: "f" * 64)
    faces._detector.cache_clear()
    first = collect(root, holdout=0, workers=0, aligned=False)
    assert len(searched) == 5
    assert dict(first.left_out) == {"bad_image": 1, "no_face": 1}
    cache = next(root.parent.joinpath("out").glob("faces-*/part-*/rows"))
    with cache.open("ab") as file:
        file.write(b"torn")
    second = collect(root, holdout=0, workers=0, aligned=False)
    assert len(searched) == 5
    for one, other in zip(first.people, second.people, strict=True):
        assert np.array_equal(one.seen.face.landmarks, other.seen.face.landmarks)
    faces._detector.cache_clear()


def test_keypoints_of_the_manifest_align_without_landmarks_and_without_a_detector(photographs, monkeypatch):
    path = photographs / "manifest.jsonl"
    rows = [
        row.model_copy(update={"faces": (row.faces[0].model_copy(update={"landmarks": None}),)})
        for row in people.manifest.read(path)
    ]
    path.unlink()
    people.write_run(photographs, rows, {"aligned": False})
    monkeypatch.setattr(DetectorSpec, "build", lambda self: pytest.fail("a detector was built"))
    collection = collect(photographs, holdout=0)
    assert len(collection.people) == 12
    expected = face_at(HeadPose(0, 0, 0), 0.8, (100, 90)).keypoints
    assert all(np.allclose(person.keypoints, expected, atol=0.01) for person in collection.people)
    assert data.Samples(collection, 0, flip=False)[0, 0].clean.shape == (3, 112, 112)
    assert all(original.is_read for original in data.Originals(collection, np.arange(12)))


def test_originals_may_lie_elsewhere(augmented, tmp_path):
    elsewhere = people.folder_of_people(tmp_path / "elsewhere")
    found = open_people(augmented, elsewhere)
    assert all(Path(item.original).is_relative_to(elsewhere) for item in found.items)
    assert all(Path(item.masked[0]).is_relative_to(augmented) for item in found.items)
    (elsewhere / people.name(3, 1)).unlink()
    fewer = open_people(augmented, elsewhere)
    assert {*found.names} - {*fewer.names} == {people.name(3, 1)}
    assert dict(fewer.left_out) == {"no_original": 1}


def test_rows_without_a_face_are_left_out_and_counted(tmp_path):
    root = people.augmented_people(tmp_path / "data")
    with linelog.Log(root / "manifest.jsonl") as log:
        log.append(people.Row(key=people.name(0, 0), status="skipped", reason="no_face").model_dump_json())
        log.append(people.Row(key="person_00/9.png", status="failed", reason="bad_image").model_dump_json())
        log.append(people.Row(key="loose.png", status="skipped", faces=(people.face_row(),)).model_dump_json())
    found = open_people(root)
    assert len(found.items) == 17
    assert dict(found.left_out) == {"no_face": 1, "bad_image": 1, "no_identity": 1}


def test_a_verification_set_is_nothing_to_learn_from_and_what_takes_it_is_named(tmp_path):
    (tmp_path / "lfw.bin").write_bytes(b"")
    with pytest.raises(ConfigError, match=r"lfw\.bin: .* does not say who is on its pictures; 'maskgen eval'"):
        open_people(tmp_path / "lfw.bin")


@pytest.mark.parametrize(
    ("values", "match"),
    [
        ({"epochs": 0}, "epochs"),
        ({"distill": 1.0}, "nothing to teach"),
        ({"mask_prob": 1.5}, "mask_prob"),
        ({"mask_share": 1.5}, "mask_share"),
        ({"mask_prob": 0.5, "mask_share": 0.5}, "mask_share"),
        ({"margin": (0, 0.5, 0)}, "margin"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_settings_that_cannot_be_are_refused(values, match):
    with pytest.raises(ConfigError, match=match):
        settings_of({"data": "x", "base": "scratch:mbf", **values})


# ---- only what is needed


def refuse_networks(monkeypatch):
    for name in ("maskgen.packs.session.session", "maskgen.recognition.faces.look_at"):
        monkeypatch.setattr(name, lambda *args, **options: pytest.fail("a network was loaded, or a picture looked at"))


@pytest.mark.parametrize("made", [people.folder_of_people, people.augmented_people])
def test_where_nobody_will_be_masked_no_face_is_looked_at_and_no_mask_is_read(made, tmp_path, monkeypatch):
    root = made(tmp_path / "data")
    refuse_networks(monkeypatch)
    collection = collect(root, holdout=0.3, mask_prob=0, catalog=(tmp_path / "nowhere",))
    assert collection.cropper.catalog is None
    assert not list(tmp_path.glob("out/faces-*"))
    samples = data.Samples(collection, 0, flip=False)
    assert len(samples) == len(collection.people) == 12, "masked copies are not used, as with any --mask-prob"
    assert all(torch.equal(samples[0, at].picture, samples[0, at].clean) for at in range(12))
    assert data.validation(collection, 0)[1].masked is None


def test_photographs_on_which_nobody_will_be_masked_are_searched_for_keypoints_only(tmp_path, monkeypatch):
    root, asked = people.folder_of_people(tmp_path / "data"), []

    def look_at(image, detector, parser, **options):
        asked.append((parser, options["observed"]))
        return seen.Seen((112, 112), (found,), 0)

    found = seen.SeenFace(face_at(HeadPose(0, 0, 0), 0.5, (56, 50)))
    monkeypatch.setattr(faces, "look_at", look_at)
    monkeypatch.setattr(faces, "_detector", lambda detectors: None)
    assert len(collect(root, aligned=False, holdout=0, workers=0, mask_prob=0).people) == 18
    assert asked == [(None, False)] * 18


def test_identities_with_too_few_pictures_are_not_searched(photographs, catalog_dir, monkeypatch):
    (photographs / "manifest.jsonl").unlink()
    for take in (1, 2):
        (photographs / people.name(0, take)).unlink()
    (photographs / people.name(1, 2)).unlink()
    looked_at = []

    def look_at(image, detector, parser, **options):
        looked_at.append(image)
        return seen.Seen((200, 200), reason="no_face")

    monkeypatch.setattr(faces, "look_at", look_at)
    monkeypatch.setattr(faces, "_detector", lambda detectors: None)
    given = {"aligned": False, "workers": 0, "catalog": catalog_dir, "min_pictures": 3}
    for settings, searched in (({"holdout": 0}, 6), ({"holdout": 0.5, "mask_prob": 1}, 8)):
        looked_at.clear()
        with pytest.raises(ConfigError, match=f"0 identities to learn, .*; left out: no_face {searched}, .*too_few"):
            collect(photographs, **given, **settings, faces=photographs.parent / f"seen-{searched}")
        assert len(looked_at) == searched


# ---- validation


@pytest.mark.parametrize("masks", ["copies", "put on", "none"])
def test_the_pictures_of_people_held_out_do_not_depend_on_who_loads_them(masks, augmented, tmp_path, catalog_dir):
    root, settings = augmented, {}
    if masks == "put on":
        root, settings = photographs_in(tmp_path / "photographs"), {"mask_prob": 1, "catalog": catalog_dir}
    if masks == "none":
        settings = {"mask_prob": 0}
    collection = collect(root, holdout=0.4, **settings)
    (Path(collection.held_out[1].item.original)).write_bytes(b"broken")
    told = []
    (pairs, here), (others, elsewhere) = (
        data.validation(collection, 3, workers, lambda *now: told.append(now)) for workers in (0, 2)
    )
    number = len(collection.held_out)
    assert told == [(number, number)] * 2
    assert (pairs.names, len(pairs.names)) == (others.names, number - 1)
    assert here.left_out == elsewhere.left_out == {"bad_image": 1}
    assert np.array_equal(here.clean, elsewhere.clean)
    kept = [at for at in range(number) if at != 1]
    cropper = collection.cropper
    for at, clean in zip(kept, here.clean, strict=True):
        person = collection.held_out[at]
        assert np.array_equal(clean, cropper.clean(person.item.original, person.keypoints))
    if masks == "none":
        assert here.masked is elsewhere.masked is None
        return
    assert np.array_equal(here.masked, elsewhere.masked)
    for at, worn in zip(kept, here.masked, strict=True):
        person = collection.held_out[at]
        expected = (
            cropper.masked(person.item.original, person.seen, np.random.default_rng([3, at]))[1]
            if (masks == "put on")
            else cropper.clean(person.item.masked[0], person.keypoints)
        )
        assert np.array_equal(worn, expected)


# ---- formats


def samples_in(root, epochs=1):
    """All that is learnt from in the order in which it is, and the samples."""
    samples = samples_of(root, holdout=0)
    keys = [key for epoch in range(epochs) for batch in data.batches(samples, 4, epoch) for key in batch]
    return [(sample.label, sample.picture, sample.clean) for sample in (samples[key] for key in keys)], samples


@pytest.mark.parametrize("out_format", ["recordio", "webdataset"])
@pytest.mark.parametrize("masks", [False, True])
def test_the_same_pictures_are_learnt_in_the_same_order_whatever_their_format(tmp_path, job_of, out_format, masks):
    source = people.folder_of_people(tmp_path / "in", 3, 3)
    settings = {"originals": True, "aligned": True} if masks else {"masks": False}
    plain = job_of(source, "plain", **settings)
    many = job_of(source, "many", out_format=out_format, **settings)
    for job in (plain, many):
        mask(job)
    (expected, samples), (found, others) = samples_in(plain.target), samples_in(many.target)
    assert len(samples) == (18 if masks else 9)
    assert samples.collection.identities == others.collection.identities
    for one, other in zip(expected, found, strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])
        assert torch.equal(one[2], other[2])
    assert samples.layout is others.layout is None, "so few pictures are shuffled all over"


@pytest.mark.parametrize("out_format", ["recordio", "webdataset"])
def test_large_files_are_shuffled_by_runs_and_every_sample_comes_once(tmp_path, job_of, out_format, monkeypatch):
    job = job_of(people.folder_of_people(tmp_path / "in", 4, 4), originals=True, aligned=True, out_format=out_format)
    mask(job)
    monkeypatch.setattr(data, "LARGE", 10)
    _, samples = samples_in(job.target)
    assert samples.layout is not None
    assert samples.layout.entries.tolist()[:4] == [0, 16, 1, 17], "an original, then its masked copy"
    keys = [key for batch in data.batches(samples, 8, 0) for key in batch]
    assert sorted(entry for _, entry in keys) == list(range(32))
    here, elsewhere = (
        [batch.picture for batch in data.loader(samples, data.batches(samples, 8, 0), workers)] for workers in (0, 2)
    )
    assert all(torch.equal(one, other) for one, other in zip(here, elsewhere, strict=True))
    monkeypatch.setattr(data, "LARGE", 32)
    assert samples_in(job.target)[1].layout is None


def test_a_record_that_cannot_be_read_is_replaced_by_its_neighbour_and_known(tmp_path, job_of):
    job = job_of(people.folder_of_people(tmp_path / "in", 2, 3), masks=False, out_format="recordio")
    mask(job)
    rec = job.target / "train.rec"
    raw = bytearray(rec.read_bytes())
    raw[8 + 24 : 8 + 28] = b"gone"
    rec.write_bytes(raw)
    samples = samples_of(job.target, holdout=0)
    assert (samples[0, 0].entry, samples[0, 0].used) == (0, 1)
    assert "train.rec#1@0" in samples.name(0)


def test_people_held_out_of_a_large_dataset_are_fewer(augmented, monkeypatch):
    assert len(collect(augmented, holdout=0.5).held_out) == 9
    monkeypatch.setattr(collecting, "_MOST_HELD_OUT", 7)
    collection = collect(augmented, holdout=0.5)
    assert (len(collection.held_out), len(collection.people)) == (6, 12)


def test_masks_are_read_once_and_not_by_each_worker(photographs, catalog_dir, monkeypatch):
    samples = samples_of(photographs, holdout=0, mask_prob=1, catalog=catalog_dir)
    data.loader(samples, data.batches(samples, 4, 0), 0)
    views = [view for design in samples.collection.cropper.catalog.designs for view in design.views]
    assert not any("textures" in vars(view) for view in views)
    data.loader(samples, data.batches(samples, 4, 0), 2)
    assert all("textures" in vars(view) for view in views)
    read = "maskgen.catalog.textures.Textures.__init__"
    monkeypatch.setattr(read, lambda *args: pytest.fail("a mask was read again"))
    assert len(list(data.loader(samples, data.batches(samples, 4, 0), 1))) == 3


def test_no_network_runs_while_pictures_are_loaded(photographs, catalog_dir, monkeypatch):
    samples = samples_of(photographs, holdout=0, mask_prob=1, catalog=catalog_dir)
    monkeypatch.setattr("maskgen.packs.session.session", lambda *args, **options: pytest.fail("a network was loaded"))
    monkeypatch.setattr(faces, "look_at", lambda *args, **options: pytest.fail("a picture was looked at"))
    worn = samples[0, 0]
    assert not torch.equal(worn.picture, worn.clean)


def test_a_cache_may_lie_elsewhere_and_serve_two_trainings(photographs, catalog_dir, tmp_path, monkeypatch):
    first = samples_of(photographs, holdout=0, mask_prob=1, catalog=catalog_dir, faces=tmp_path / "seen")
    assert not list(tmp_path.glob("out/faces-*"))
    monkeypatch.setattr(faces, "look_at", lambda *args, **options: pytest.fail("a picture was looked at"))
    second = samples_of(photographs, holdout=0, mask_prob=1, catalog=catalog_dir, faces=tmp_path / "seen")
    assert torch.equal(first[0, 3].picture, second[0, 3].picture)
