"""How often a picture is looked at, and that no look that is spared loses anybody."""

from dataclasses import replace

import cv2
import numpy as np
import pytest
from photographs import astronaut, shipped

from maskgen.detect import FaceDetector
from maskgen.detect.ladder import SURE, Glimpse
from maskgen.detect.networks import NOBODY, SCORE, BoxNetwork
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
    """The input sizes of all looks since; of looks at parts of an input, "part" each."""
    taken, look, look_in = [], BoxNetwork.candidates, BoxNetwork.candidates_in

    def counted(self, image, side, threshold):
        taken.append(side)
        return look(self, image, side, threshold)

    def counted_in(self, image, side, parts, threshold):
        taken.extend(["part"] * len(parts))
        return look_in(self, image, side, parts, threshold)

    monkeypatch.setattr(BoxNetwork, "candidates", counted)
    monkeypatch.setattr(BoxNetwork, "candidates_in", counted_in)
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


# ---- hints beside a sure face


@pytest.fixture(scope="module")
def two_faces(exhaustive):
    """A picture of a large face and a smaller one, and both as detections, the first one very sure."""
    picture = with_another(0.2)
    found = exhaustive._ladder.climb(picture)
    found = found[np.argsort(-(found[:, 2:4] - found[:, :2]).prod(axis=1))]
    assert len(found) == 2
    found[0, SCORE] = 0.9
    return picture, found


def glimpse_of(*found):
    return Glimpse(128, np.stack(found), np.stack(found))


def hint(box, score=0.3):
    one = np.full(15, np.nan, np.float32)
    one[:4], one[SCORE] = box, score
    return one


def test_a_weak_hint_is_looked_at_by_itself_and_found_to_be_a_face(quick, looks, two_faces):
    picture, (large, small) = two_faces
    found = quick._ladder.all_in(glimpse_of(large, hint(small[:4] + 3)), picture)
    assert looks == ["part"]
    found = found[np.argsort(found[:, 0])]
    assert np.abs(found[:, :4] - [large[:4], small[:4]]).max() < 3


def test_a_weak_hint_is_looked_at_by_itself_and_found_to_be_nothing(quick, looks, two_faces):
    picture, (large, _) = two_faces
    found = quick._ladder.all_in(glimpse_of(large, hint([5, 190, 45, 245])), picture)
    assert looks == ["part"]
    assert found.tolist() == quick._ladder.boxes.merged([large[None]]).tolist()


def test_many_hints_take_a_look_at_the_whole_picture(quick, looks, two_faces):
    picture, (large, small) = two_faces
    hints = [
        hint(box) for box in (small[:4], [5, 190, 45, 245], [5, 5, 45, 45], [190, 190, 240, 245], [0, 90, 50, 150])
    ]
    assert quick._ladder.all_in(glimpse_of(large, *hints), picture) is None
    assert looks == []


def test_where_a_close_look_at_a_hint_leaves_a_doubt_the_whole_picture_is_looked_at(quick, two_faces, monkeypatch):
    picture, (large, small) = two_faces
    glimpse = glimpse_of(large, hint(small[:4]))
    answers = {}
    for score in (0.4, 0.47, 0.6, 0.7, 0.9):
        monkeypatch.setattr(
            BoxNetwork,
            "candidates_in",
            lambda self, image, side, parts, threshold, score=score: [
                hint(small[:4], score)[None][score < threshold :]
            ],
        )
        found = quick._ladder.all_in(glimpse, picture)
        answers[score] = None if found is None else len(found)
    assert answers == {0.4: 1, 0.47: None, 0.6: None, 0.7: None, 0.9: 2}


def test_what_a_glimpse_shows_of_a_large_picture_as_a_face_is_none_only_to_a_look_at_all_of_it(quick, two_faces):
    picture, (large, _) = two_faces
    picture = cv2.resize(picture, (600, 600))
    large, nothing = hint(large[:4] * 2.4, 0.9), hint([12, 456, 108, 588])
    assert len(quick._ladder.all_in(replace(glimpse_of(large, nothing), side=320), picture)) == 1
    nothing[SCORE] = 0.6
    assert quick._ladder.all_in(replace(glimpse_of(large, nothing), side=320), picture) is None


def test_where_two_faces_are_as_good_as_alike_a_glimpse_is_not_enough(quick, looks, two_faces):
    picture, (large, _) = two_faces
    alike = hint(large[:4] - [90, 0, 90, 0], 0.9)
    assert quick._ladder.all_in(glimpse_of(large, alike), picture) is None


def test_the_largest_face_must_be_clearly_the_central_one_too(quick):
    picture = portrait()
    small, large = hint([85, 80, 165, 170], 0.9), hint([0, 0, 105, 110], 0.9)
    assert quick._ladder.all_in(glimpse_of(large, small), picture) is None
    far = hint([0, 0, 60, 62], 0.9)
    assert len(quick._ladder.all_in(glimpse_of(small, far), picture)) == 2


def test_small_faces_beside_a_large_one_may_be_a_crowd(quick):
    faces = hint([85, 80, 165, 170], 0.9), hint([10, 10, 32, 35], 0.9)
    assert quick._ladder.all_in(glimpse_of(*faces), portrait()) is None


# ---- the central face


@pytest.mark.parametrize(("central_counts", "glimpse_is_enough"), [(False, True), (True, False)])
def test_a_large_face_far_from_the_middle_takes_a_glimpse_where_only_the_largest_counts(
    looks, central_counts, glimpse_is_enough
):
    picture = np.full((SIDE, SIDE, 3), 127, np.uint8)
    picture[:196, :196] = portrait(196)
    assert len(FaceDetector(bystanders=False, central=central_counts).detect(picture)) == 1
    assert (320 not in looks) == glimpse_is_enough


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


def blurred():
    """The portrait, out of focus: a face of which nothing is sure."""
    return cv2.GaussianBlur(portrait(), (0, 0), 3.5)


def test_a_face_of_which_nothing_is_sure_is_upright_if_it_looks_less_like_one_any_other_way_up(quick, looks):
    (face,) = quick.detect(blurred())
    assert face.score < SURE
    assert set(looks) == {128}
    assert abs(face.pose.roll) < 15


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_face_of_which_nothing_is_sure_is_found_the_way_it_lies(quick, quarters):
    (upright,) = quick.detect(blurred())
    (face,) = quick.detect(np.ascontiguousarray(np.rot90(blurred(), -quarters)))
    assert abs((face.pose.roll - upright.pose.roll - 90 * quarters + 180) % 360 - 180) < 8


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
