# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""The code that trains the bundled pack."""

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import face_at, poses

torch = pytest.importorskip("torch", reason="training the pack needs the extra [train]")
torch.set_num_threads(1)

from torch import nn

from maskgen.detect import FaceDetector
from maskgen.face import Face, HeadPose
from maskgen.packtraining import anchors, batches, canvases, data, detector, export, failures, landmarks, worn
from maskgen.packtraining.trainer import Trainer


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """Weights of networks that have learnt nothing."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("work")
    torch.save(landmarks.LandmarkNet().state_dict(), folder / "landmarks.pt")
    torch.save(detector.DetectorNet().state_dict(), folder / "detector.pt")
    return folder


def export_of(work, pack):
    rng = np.random.default_rng(0)
    crops, squares = (rng.uniform(-1, 1, (4, 3, side, side)).astype(np.float32) for side in (96, 64))
    export.export(work, pack, crops, squares)


def points_of(pose, centre=(64, 55)):
    """A batch of one: 68 points with depth, and 106 points."""
    p68 = np.concatenate([face_at(pose, 0.4, centre).landmarks, np.ones((68, 1), np.float32)], axis=1)
    p106 = face_at(pose, 0.4, centre, scheme=106).landmarks
    return (torch.from_numpy(p.astype(np.float32))[None] for p in (p68, p106))


@given(poses(yaw=60, pitch=30, roll=30))
def test_targets_are_what_insightface_turns_back_into_points(pose):
    p68, p106 = points_of(pose, (48, 40))
    targets = landmarks.targets_of(p68, p106)[0]
    in_space, extra = targets[:204].unflatten(0, (68, 3)), targets[204:].unflatten(0, (-1, 2))
    # insightface/model_zoo/landmark.py, in the picture of 192 pixels
    assert ((in_space[:, :2] + 1) * 96).numpy() == pytest.approx(p68[0, :, :2].numpy() * 2 + 0.5, abs=1e-3)
    assert ((extra + 1) * 96).numpy() == pytest.approx(p106[0, list(landmarks.EXTRA_106)].numpy() * 2 + 0.5, abs=1e-3)
    assert (in_space[:, 2] * 96).numpy() == pytest.approx(p68[0, :, 2].numpy() * 2, abs=1e-3)


def placed(crops, points, scale=1.0, angle=0.0, shift=(0.0, 0.0), mirror=False, side=96):
    return batches.place(
        crops,
        *points,
        torch.tensor([scale]),
        torch.tensor([angle]),
        torch.tensor([shift]),
        torch.tensor([mirror]),
        side,
    )


def test_mirrored_pictures_have_mirrored_points():
    crop = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(0))
    points = list(points_of(HeadPose(20, 0, 0)))
    plain, mirrored = (placed(crop, points, mirror=mirror) for mirror in (False, True))
    assert torch.allclose(mirrored[0], plain[0].flip(3), atol=1e-5)
    assert float(mirrored[1][0, 0, 0]) == pytest.approx(95 - float(plain[1][0, 16, 0]), abs=1e-4)
    assert float(mirrored[2][0, 1, 0]) == pytest.approx(95 - float(plain[2][0, 17, 0]), abs=1e-4)


@given(
    st.floats(0.6, 1.3),
    st.floats(-50, 50),
    st.tuples(st.floats(-9, 9), st.floats(-9, 9)),
    st.booleans(),
)
def test_points_go_where_the_pixels_go_that_they_lie_on(scale, angle, shift, mirror):
    points = list(points_of(HeadPose(0, 0, 0), (60, 60)))
    number = 30  # the tip of the nose
    x, y = (round(float(value)) for value in points[0][0, number, :2])
    points[0][0, number, :2] = torch.tensor([x, y])
    spot = np.exp(-((np.arange(128) - y)[:, None] ** 2 + (np.arange(128) - x)[None] ** 2) / (2 * 2.5**2))
    crop = torch.from_numpy(spot.astype(np.float32)).expand(1, 3, -1, -1)
    image, p68, _ = placed(crop, points, scale, angle, shift, mirror)
    rows, columns = np.mgrid[:96, :96]
    weight = image[0, 0].numpy()
    middle = [(weight * way).sum() / weight.sum() for way in (columns, rows)]
    assert middle == pytest.approx(p68[0, number, :2].tolist(), abs=0.1)


def test_a_degraded_picture_is_still_one_and_milder_ones_change_less():
    torch.manual_seed(0)
    images = torch.rand(64, 3, 96, 96) * 255
    changes = []
    for harshness in (0.0, 0.3, 1.0):
        changed = batches.degrade(images, harshness)
        assert changed.shape == images.shape
        assert 0 <= float(changed.min()) <= float(changed.max()) <= 255
        changes.append(float((changed - images).abs().mean()))
    assert changes[0] == 0 < changes[1] < changes[2]


def faces_of(number):
    """Faces on grey, all alike."""
    p68, p106 = (np.repeat(points.numpy(), number, axis=0) for points in points_of(HeadPose(0, 0, 0), (64, 40)))
    grey = np.full((number, 128, 128, 3), 127, np.uint8)
    return data.LandmarkSet(grey, p68, p106, np.zeros(number, bool))


def test_masked_crops_are_drawn_once_they_are_made_and_bare_ones_until_then():
    faces = faces_of(4)
    rows = np.array([1, 3])
    masked = worn.Worn(faces, rows, 2, 1)
    made = list(masked.finished(wait=True))
    masked.end()
    assert [(copy, there.tolist()) for copy, there, _ in made] == [(0, [1, 3]), (1, [1, 3])]
    assert all((crop != 127).any() for _, _, crops in made for crop in crops)
    assert (made[0][2] != made[1][2]).any()
    crops = landmarks.Crops(faces, 2, torch.device("cpu"))
    torch.manual_seed(0)
    tell = faces.crops[0, 0, 0, 0] / 128 - 127.5 / 128

    def is_bare(rows):
        return (crops.batch(np.array(rows), 0.0)[0] - tell).abs().amax(dim=(1, 2, 3)) < 1.1  # black beyond the edge

    assert float(crops.batch(rows, 0.0)[0].std()) < 0.5
    for one in made:
        crops.take(*one)
    images = crops.batch(np.repeat([0, 1], 40), 0.0)[0][:, :, 60:80, 40:56]  # where the mouth is
    spread = images.flatten(1).std(dim=1)
    assert float(spread[:40].max()) < 0.2
    assert 10 < int((spread[40:] > 0.02).sum()) < 40


def test_the_exported_pack_says_what_the_network_says(work, tmp_path):
    export_of(work, tmp_path)
    image = np.random.default_rng(0).integers(0, 255, (112, 112, 3), dtype=np.uint8)
    faces = [FaceDetector(str(tmp_path), aligned=True, landmarks=scheme).detect(image)[0] for scheme in (68, 106)]
    # One network behind both: where the schemes share a point they agree.
    assert faces[1].landmarks_68 == pytest.approx(faces[0].landmarks_68, abs=1e-2)
    assert faces[0].landmarks.shape == (68, 3)
    assert FaceDetector(str(tmp_path)).detect(image) == []


def test_points_may_lie_anywhere_and_follow_the_picture():
    torch.manual_seed(0)
    net = landmarks.LandmarkNet().eval()
    assert net.grid.shape == (144, 2)
    # The middle of the heat map's cells is the middle of the picture, and its corners are half a cell inside.
    assert net.grid.mean(dim=0).abs().max() < 1e-6
    assert net.grid[0].tolist() == pytest.approx([1 / 12 - 1] * 2)
    with torch.no_grad():
        net.points.bias[:2] = torch.tensor([3.0, -2.0])
        moved = net.from_96(torch.zeros(1, 3, 96, 96))[0, :2]
        net.points.bias[:2] = 0
        assert (moved - net.from_96(torch.zeros(1, 3, 96, 96))[0, :2]).tolist() == pytest.approx([3, -2])


def test_weights_go_into_a_network_that_has_grown_and_into_no_other(tmp_path):
    def trainer(net, start):
        return Trainer(
            net, start, tmp_path / "last.pt", tmp_path / "weights.pt", peak=0.1, steps=4, warm_up=0.5, clip=1
        )

    small, grown = (nn.Sequential(*(nn.Conv2d(1, 1, 1) for _ in range(n))) for n in (1, 2))
    torch.save(small.state_dict(), tmp_path / "small.pt")
    trainer(grown, tmp_path / "small.pt")
    assert torch.equal(grown[0].weight, small[0].weight)
    with pytest.raises(ValueError, match=r"small\.pt.*another network.*0\.weight"):
        trainer(nn.ReLU(), tmp_path / "small.pt")


def test_mining_finds_nothing_near_known_faces():
    class Everywhere:
        """Takes the middle of everything for a face."""

        def detect(self, image):
            height, width = image.shape[:2]
            box = np.array([0.3 * width, 0.3 * height, 0.7 * width, 0.7 * height], np.float32)
            return [Face(box, np.zeros((5, 2), np.float32), np.zeros((68, 2), np.float32), HeadPose(0, 0, 0))]

    image = np.zeros((200, 200, 3), np.uint8)
    image[60:120, 60:120] = 255  # the face
    face = np.array([[60, 60, 120, 120]], np.float32)
    nothing = np.zeros((0, 4), np.float32)
    picture = canvases.Picture(image, face, np.zeros((1, 5, 2), np.float32), nothing, None)
    patches = list(canvases.mine([picture], Everywhere(), 300))
    assert len(patches) > 10
    assert all(patch.max() == 0 for patch in patches)


def test_int8_hardly_moves_the_points_and_quarters_the_file(work, tmp_path):
    export_of(work, tmp_path)
    net = landmarks.LandmarkNet()
    net.load_state_dict(torch.load(work / "landmarks.pt", weights_only=True))
    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, 96, 96)).astype(np.float32).repeat(2, 2).repeat(2, 3)
    with torch.no_grad():
        wanted = net.eval()(torch.from_numpy(images))[0, :204].numpy()
    session = onnxruntime.InferenceSession(tmp_path / "1k3d68.onnx", providers=["CPUExecutionProvider"])
    (said,) = session.run(None, {"data": images})
    assert said.shape == (1, export.OUTPUTS_1K3D68)
    error = np.abs(said[0, -204:] - wanted)
    assert error.mean() < 0.01 * np.ptp(wanted)
    assert len(np.unique(said[0, -204:])) > 195  # coordinates that went through int8 would share their steps
    weights = sum(value.numel() for value in net.state_dict().values())
    assert (tmp_path / "1k3d68.onnx").stat().st_size < 1.2 * weights


boxes = st.lists(
    st.tuples(st.floats(0, 200), st.floats(0, 200), st.floats(10, 180), st.floats(0.7, 1.4)), min_size=1, max_size=6
)


@given(boxes)
def test_every_face_of_a_canvas_has_anchors_unless_another_has_won_them(faces):
    truth = np.array([[x, y, x + size, y + size * ratio] for x, y, size, ratio in faces], np.float32)
    label, box, _ = anchors.assign(truth, np.zeros((len(truth), 5, 2), np.float32), np.zeros((0, 4), np.float32), 256)
    assert (label == 1).any()
    won = {tuple(row) for row in box[label == 1]}
    assert won <= {tuple(row) for row in truth}


def test_anchors_on_ignored_faces_count_neither_way():
    ignored = np.array([[50, 50, 120, 120]], np.float32)
    label, _, _ = anchors.assign(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), ignored, 256)
    assert set(label.tolist()) == {-1, 0}


def test_a_perfect_box_costs_nothing_and_a_moved_one_does():
    truth = torch.tensor([[10.0, 20.0, 50.0, 70.0]])
    assert float(detector._iou_and_giou(truth, truth)[1]) == pytest.approx(1)
    # Moved by (10, 10): 30 x 40 of 2000 + 2000 - 1200 shared, hull 50 x 60.
    assert float(detector._iou_and_giou(truth + 10, truth)[1]) == pytest.approx(1200 / 2800 - 200 / 3000)


def test_a_resumed_training_ends_bit_for_bit_like_one_that_was_never_stopped(tmp_path):
    def trainer(name):
        torch.manual_seed(3)
        net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
        return Trainer(
            net, None, tmp_path / f"{name}_last.pt", tmp_path / f"{name}.pt", peak=0.1, steps=4, warm_up=0.5, clip=1
        )

    def epoch(one):
        x = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(one.epoch))
        one.step(one.net(x).square().sum())
        one.end_epoch()

    whole, stopped = trainer("whole"), trainer("stopped")
    for _ in range(3):
        epoch(whole)
    epoch(stopped)
    resumed = trainer("stopped")
    assert resumed.epoch == 1
    epoch(resumed)
    epoch(resumed)
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, resumed.average.state_dict()[name]), name


def test_a_painted_mask_covers_the_mouth_and_not_the_eyes():
    points = face_at(HeadPose(0, 0, 0), 0.5, (64, 45)).landmarks
    crop = np.full((128, 128, 3), 127, np.uint8)
    changed = [
        np.abs(worn.paint_mask(crop, points, np.random.default_rng(s)).astype(int) - crop).sum(axis=2) > 0
        for s in range(20)
    ]
    x, y = (int(v) for v in points[62])
    assert np.mean([c[y, x] for c in changed]) > 0.9
    eyes = points[[37, 44]].astype(int)
    assert not any(c[y, x] for c in changed for x, y in eyes)


def test_contact_sheets_hold_the_worst_failures_worst_first(tmp_path):
    worst = failures.Failures()
    for badness in range(failures.KEPT + 5):
        image = np.full((40, 40, 3), 2 * badness, np.uint8)
        worst.add("points", badness, image, np.array([10, 10, 30, 30], np.float32), np.array([[20.0, 20.0]]))
    (file,) = worst.write(tmp_path / "sheets")
    sheet = cv2.imread(str(file))[..., ::-1]
    tiles = sheet.reshape(-1, failures.TILE, failures.COLUMNS, failures.TILE, 3).swapaxes(1, 2)
    shown = tiles.reshape(-1, failures.TILE, failures.TILE, 3)[: failures.KEPT]
    assert shown[:, 20, 20, 0].tolist() == [2 * b for b in range(failures.KEPT + 4, 4, -1)]
    assert shown[0, failures.TILE // 2, failures.TILE // 2].tolist() == list(failures.RIGHT)


def test_a_face_of_two_halves_is_doubtful_and_its_neighbours_are_not():
    # As the teacher draws John McEnroe and his neighbour: two heads, and between them a third.
    boxes = np.array([[0, 0, 100, 120], [45, 10, 145, 130], [95, 5, 195, 125], [300, 0, 340, 40]], np.float32)
    doubtful = data.is_doubtful(boxes, np.array([1.0, 0.94, 0.99, 0.6], np.float32))
    assert doubtful.tolist() == [False, True, False, True]
    assert data.is_doubtful(np.zeros((0, 4), np.float32), np.zeros(0, np.float32)).shape == (0,)
