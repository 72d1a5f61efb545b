"""How often a picture is looked at, and that no look that is spared loses anybody."""

import cv2
import numpy as np
import pytest
from photographs import astronaut, shipped

from maskgen.detect import FaceDetector
from maskgen.detect.ladder import Glimpse
from maskgen.detect.networks import NOBODY, BoxNetwork
from maskgen.masking.recipe import central

SIDE = 250


def without_glimpses():
    """A detector that takes no look at a small size for enough."""
    detector = FaceDetector()
    detector._ladder.glimpse = lambda image: Glimpse(0, NOBODY, NOBODY)
    return detector


@pytest.fixture(scope="module")
def exhaustive():
    return without_glimpses()


@pytest.fixture(scope="module")
def complete():
    """The detector as it is by default: it finds tiny bystanders too."""
    return FaceDetector()


@pytest.fixture(scope="module")
def quick():
    return FaceDetector(bystanders=False)


@pytest.fixture
def looks(monkeypatch):
    """The input sizes of all looks since."""
    taken, look = [], BoxNetwork.candidates

    def counted(self, image, side, threshold):
        taken.append(side)
        return look(self, image, side, threshold)

    monkeypatch.setattr(BoxNetwork, "candidates", counted)
    return taken


def portrait(side=SIDE):
    """Her head and shoulders: the face is two fifths of the picture."""
    return cv2.resize(astronaut()[20:300, 90:370], (side, side), interpolation=cv2.INTER_AREA)


def with_another(share, centre=(0.9, 0.2)):
    """The portrait with a second face, its longer side that share of the picture, around a place."""
    side = round(SIDE * share / 0.42)
    picture, other = portrait(), np.ascontiguousarray(portrait(side)[:, ::-1])
    x, y = (min(max(round(SIDE * at - side / 2), 0), SIDE - side) for at in centre)
    picture[y : y + side, x : x + side] = other
    return picture


def test_one_large_sure_face_takes_one_glimpse(quick, looks):
    assert len(quick.detect(portrait())) == 1
    assert looks == [128]


@pytest.mark.parametrize("side", [112, 250, 480])
def test_small_pictures_are_glimpsed_at_where_bystanders_count_too(complete, looks, side):
    assert len(complete.detect(portrait(side))) == 1
    assert looks == [224]


@pytest.mark.parametrize("name", ["quick", "complete"])
def test_a_glimpse_finds_the_points_that_the_ladder_finds(name, exhaustive, request):
    detector = request.getfixturevalue(name)
    for picture in (portrait(), portrait(200), portrait(300), np.ascontiguousarray(portrait()[:, ::-1])):
        (one,), (other,) = detector.detect(picture), exhaustive.detect(picture)
        eyes = np.linalg.norm(other.landmarks_68[36] - other.landmarks_68[45])
        assert np.linalg.norm(one.landmarks_68 - other.landmarks_68, axis=1).mean() < 0.03 * eyes


@pytest.mark.parametrize("name", ["quick", "complete"])
@pytest.mark.parametrize("share", [0.11, 0.12, 0.14])
def test_a_glimpse_loses_no_second_face_and_keeps_the_order(name, exhaustive, share, request):
    picture = with_another(share)
    some, all_of_them = request.getfixturevalue(name).detect(picture), exhaustive.detect(picture)
    assert len(some) == len(all_of_them) == 2
    middles, others = (
        np.array([face.bbox.reshape(2, 2).mean(axis=0) for face in faces]) for faces in (some, all_of_them)
    )
    assert np.abs(middles - others).max() < 8


@pytest.mark.parametrize("share", [0.08, 0.09, 0.1])
@pytest.mark.parametrize("centre", [(0.9, 0.2), (0.9, 0.4), (0.05, 0.05)])
def test_tiny_bystanders_are_found_where_they_count(complete, exhaustive, share, centre):
    picture = with_another(share, centre)
    assert len(complete.detect(picture)) == len(exhaustive.detect(picture)) == 2


def test_crowds_are_looked_at_as_closely_as_ever(quick, complete, exhaustive):
    group = cv2.resize(shipped("t1.jpg"), (300, 208), interpolation=cv2.INTER_AREA)
    faces = exhaustive.detect(group)
    assert len(quick.detect(group)) == len(faces) >= 6
    assert [face.bbox.tolist() for face in complete.detect(group)] == [face.bbox.tolist() for face in faces]


@pytest.mark.parametrize("sides", [(120, 124), (124, 120)])
def test_of_two_faces_as_good_as_alike_a_closer_look_tells_the_larger(complete, exhaustive, looks, sides):
    picture = np.full((SIDE, SIDE, 3), 127, np.uint8)
    for left, side in zip((0, 126), sides, strict=True):
        picture[60 : 60 + side, left : left + side] = portrait(side)
    boxes = [face.bbox.tolist() for face in complete.detect(picture)]
    assert 320 in looks
    assert boxes == [face.bbox.tolist() for face in exhaustive.detect(picture)]


def test_who_trusts_only_the_surest_gets_no_less_sure_ones_from_a_glimpse():
    (face,) = FaceDetector().detect(portrait())
    assert FaceDetector(threshold=0.999).detect(portrait()) == []
    assert face.score < 0.999


def test_a_large_face_at_the_edge_leaves_the_central_one_to_be_found(quick, looks):
    # Whoever stands in the middle of such a picture is the labelled one, however small.
    picture = np.full((SIDE, SIDE, 3), 127, np.uint8)
    picture[:90, :90] = portrait(90)
    faces = quick.detect(picture)
    assert 320 in looks
    assert central(faces, (SIDE, SIDE)) == 0


@pytest.mark.parametrize(("side", "glimpse"), [(256, 128), (300, 160), (400, 192), (600, 320)])
def test_the_larger_a_picture_the_closer_the_glimpse(quick, looks, side, glimpse):
    assert len(quick.detect(portrait(side))) == 1
    assert looks == [glimpse]


# ---- lying heads


@pytest.mark.parametrize("angle_deg", range(0, 360, 15))
def test_a_head_that_leans_anyhow_has_its_mouth_where_it_is(quick, angle_deg):
    picture = portrait()
    (upright,) = quick.detect(picture)
    middle = (SIDE - 1) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), -angle_deg, 1)
    faces = quick.detect(cv2.warpAffine(picture, matrix, (SIDE, SIDE)))
    assert len(faces) == 1
    expected = upright.landmarks_68 @ matrix[:, :2].T + matrix[:, 2]
    eyes = np.linalg.norm(expected[36] - expected[45])
    off = np.linalg.norm(faces[0].landmarks_68 - expected, axis=1) / eyes
    assert off[48:].mean() < 0.12
    assert off.mean() < 0.12
    between = (faces[0].pose.roll - upright.pose.roll - angle_deg + 180) % 360 - 180
    assert abs(between) < 6


def test_where_the_upright_face_is_sure_nothing_is_turned(exhaustive, looks):
    exhaustive.detect(astronaut())
    assert looks == [320, 640]


def test_what_looks_like_no_face_when_it_is_seen_alone_is_none(exhaustive):
    picture = astronaut()
    (face,) = exhaustive.detect(picture)
    claimed = np.full((2, 15), 0.6, np.float32)
    claimed[:, :4] = face.bbox, [20, 300, 90, 390]
    kept = exhaustive._ways.confirmed(picture, claimed)
    assert kept[:, :4].tolist() == [face.bbox.tolist()]


# ---- small faces in large pictures


@pytest.fixture(scope="module")
def hall():
    """A picture of 4000x3000 with 40 faces of 48 pixels, and where they are."""
    rng = np.random.default_rng(5)
    picture = cv2.resize(rng.integers(90, 160, (30, 40, 3)).astype(np.uint8), (4000, 3000))
    patches = [portrait(round(48 / 0.42)), np.ascontiguousarray(portrait(round(48 / 0.42))[:, ::-1])]
    places = []
    for row in range(5):
        for column in range(8):
            patch = patches[(row + column) % 2]
            x, y = 480 * column + int(rng.integers(20, 300)), 580 * row + int(rng.integers(20, 400))
            picture[y : y + len(patch), x : x + len(patch)] = patch
            places.append((x + len(patch) / 2, y + len(patch) / 2))
    return picture, np.array(places)


def test_tiles_show_small_faces_that_the_whole_picture_hides(hall):
    picture, places = hall
    assert len(FaceDetector().detect(picture)) < 0.2 * len(places)
    faces = FaceDetector(small_faces=True).detect(picture)
    middles = np.array([face.bbox.reshape(2, 2).mean(axis=0) for face in faces])
    found = [np.abs(middles - place).max(axis=1).min() < 40 for place in places]
    assert np.mean(found) >= 0.95
    assert len(faces) <= len(places)


@pytest.mark.parametrize("side", [600, 1500, 2500])
def test_tiles_make_no_second_face_of_a_large_one(side):
    faces = FaceDetector(small_faces=True).detect(portrait(side))
    assert len(faces) == 1
    assert max(faces[0].size_wh) > 0.3 * side
