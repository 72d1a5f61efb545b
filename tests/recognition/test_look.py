"""What is seen on a picture is what masks on it take after, kept or not."""

import numpy as np
import pytest
from skimage.data import astronaut
from strategies import face_at

from maskgen.catalog.store import Catalog
from maskgen.detect import FaceDetector
from maskgen.face import HeadPose
from maskgen.face.align import ARCFACE_KEYPOINTS, aligned_crop, alignment, crop_matrix, moved
from maskgen.masking.augment import mask_faces, observe
from maskgen.masking.recipe import Recipe, central
from maskgen.parse import KINDS, FaceParser
from maskgen.recognition.cache import CacheInfo, CacheWriter, FaceCache, prepared
from maskgen.recognition.crops import Cropper
from maskgen.recognition.look import look_at
from maskgen.recognition.seen import encoded


@pytest.fixture(scope="module")
def tools():
    return FaceDetector(), FaceParser()


@pytest.fixture(scope="module")
def portrait():
    """A portrait, turned a little by moving its rows, so that its crop is not upright already."""
    return np.ascontiguousarray(astronaut()[:340, 60:400])


@pytest.fixture(scope="module")
def looked(tools, portrait):
    detector, parser = tools
    return look_at(portrait, detector, parser)


def kept(path, seen, aligned=False):
    prepared(path, CacheInfo(pack_sha256="f" * 64, aligned=aligned))
    with CacheWriter(path) as writer:
        writer.append([encoded("key", seen)])
    return FaceCache(path).get("key")


def test_what_was_packed_masks_a_picture_as_what_was_not_does(tools, portrait, looked):
    face = looked.face
    fresh = observe(portrait, face, tools[1])
    (packed,) = looked.observed(portrait)
    # Whatever is asked for first.
    for kinds in (("skin",), ("skin", "glasses"), ("background", "hair")):
        asked = packed.regions.of(*kinds)
        whole = sum(packed.regions.shares[KINDS.index(kind)] for kind in kinds)
        assert np.abs(asked - whole).max() < 1e-6
    assert np.abs(packed.regions.shares - fresh.regions.shares).max() <= 5 * 0.51 / 51
    one, other = (
        mask_faces(portrait, [face], [seen], Catalog.load(), np.random.default_rng(3)).image for seen in (fresh, packed)
    )
    assert (one != portrait).any()
    difference = np.abs(one.astype(int) - other)
    assert difference.max() <= 12
    assert difference.mean() < 0.05


def test_masks_do_not_depend_on_whether_a_face_was_kept_or_has_just_been_seen(portrait, looked, tmp_path):
    read = kept(tmp_path / "cache", looked)
    catalog = Catalog.load()
    for seed in range(3):
        pictures = [
            mask_faces(portrait, [seen.face], seen.observed(portrait), catalog, np.random.default_rng(seed)).image
            for seen in (looked, read)
        ]
        assert np.array_equal(*pictures)
        cropper = Cropper(lambda key: portrait, False, catalog)
        crops = [cropper.masked("key", seen, np.random.default_rng(seed))[1] for seen in (looked, read)]
        assert np.array_equal(*crops)


def test_the_face_lies_in_its_crop_where_arcface_wants_it(portrait, looked):
    crop = aligned_crop(portrait, alignment(looked.face.keypoints))
    face, observed = looked.in_crop(crop)
    assert np.abs(face.keypoints - ARCFACE_KEYPOINTS).max() < 6, "similar, as faces differ"
    assert face.pose.yaw == looked.face.pose.yaw
    assert observed.appearance.size == pytest.approx(max(face.size_wh), rel=1e-5)
    back = observed.regions.image_to_crop
    # A point of the picture lies in the same cell of the regions as its place in the crop.
    (whole,) = looked.observed(portrait)
    for point, moved_point in zip(looked.face.keypoints, face.keypoints, strict=True):
        one = whole.regions.image_to_crop @ [*point, 1]
        assert back @ [*moved_point, 1] == pytest.approx(one, abs=0.05)


def test_a_mask_on_the_crop_is_the_crop_of_a_mask_nearly(portrait, looked):
    catalog = Catalog.load()
    cropper = Cropper(lambda key: portrait, False, catalog)
    clean, worn = cropper.masked("key", looked, np.random.default_rng(1))
    whole = mask_faces(portrait, [looked.face], looked.observed(portrait), catalog, np.random.default_rng(1))
    matrix = alignment(looked.face.keypoints)
    expected, alpha = aligned_crop(whole.image, matrix), aligned_crop((whole.alpha * 255).astype(np.uint8), matrix)
    assert np.abs(worn.astype(int) - expected)[alpha > 250].mean() < 12
    assert (worn != clean).any(axis=2)[alpha > 250].mean() > 0.95
    assert np.array_equal(worn[:30], clean[:30]), "above the mask nothing changes"


def test_of_an_aligned_crop_the_picture_is_the_crop(tools, portrait, looked, tmp_path):
    crop = aligned_crop(portrait, alignment(looked.face.keypoints))
    seen = look_at(crop, FaceDetector(aligned=True), tools[1], is_aligned=True)
    assert seen.faces[0].in_crop is None
    read = kept(tmp_path / "cache", seen, aligned=True)
    face, observed = read.in_crop(crop)
    assert np.array_equal(face.landmarks, seen.face.landmarks)
    assert observed.appearance.size == seen.observed(crop)[0].appearance.size
    larger = crop.repeat(2, axis=0).repeat(2, axis=1)
    twice = look_at(larger, FaceDetector(aligned=True), tools[1], is_aligned=True)
    halved, _ = twice.in_crop(crop)
    assert np.abs(halved.landmarks - seen.face.landmarks)[:, :2].max() < 1.5


def test_the_face_that_counts_is_the_central_one():
    large, middle = face_at(HeadPose(0, 0, 0), 0.5, (40, 60)), face_at(HeadPose(0, 0, 0), 0.45, (100, 95))

    class Detector:
        def detect(self, image):
            return [large, middle]

    seen = look_at(np.zeros((200, 200, 3), np.uint8), Detector())
    assert seen.chosen == central([large, middle], (200, 200)) == 1
    assert seen.face is middle
    assert [one.in_crop is not None for one in seen.faces] == [False, True]
    assert len(seen.observed(np.zeros((200, 200, 3), np.uint8))) == 2


def test_nobody_is_a_reason_and_faces_alone_cost_no_look_at_their_skin():
    class Nobody:
        def detect(self, image):
            return []

    black = np.zeros((50, 40, 3), np.uint8)
    assert look_at(black, Nobody()).reason == "no_face"
    seen = look_at(black, None, known=face_at(HeadPose(0, 0, 0), 0.2, (20, 20)), observed=False)
    assert seen.faces[0].in_picture is None
    assert not seen.is_observed


def test_a_moved_face_keeps_its_size_and_turns_with_the_crop():
    face = face_at(HeadPose(10, 5, 20), 1.0, (130, 110))
    inside = moved(face, crop_matrix((250, 250), face.keypoints, False))
    scale = np.linalg.norm(inside.keypoints[0] - inside.keypoints[1]) / np.linalg.norm(
        face.keypoints[0] - face.keypoints[1]
    )
    assert inside.size_wh == pytest.approx(tuple(scale * side for side in face.size_wh), rel=1e-4)
    assert abs(inside.pose.roll) < 5
    assert (inside.pose.yaw, inside.pose.pitch) == (10, 5)


def test_covered_faces_get_a_mask_in_training(portrait, looked):
    assert Recipe(keep_covered=True).keep_covered
    masked = Cropper(lambda key: portrait, False, Catalog.load()).masked("key", looked, np.random.default_rng(0))[1]
    assert masked is not None
