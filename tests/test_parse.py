"""What a face consists of, and the network that tells it."""

import shutil
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis.strategies import integers
from skimage.data import astronaut
from strategies import face_at, poses, seen

from maskgen.detect import DetectorSpec, FaceDetector
from maskgen.errors import ModelError
from maskgen.face import HeadPose
from maskgen.packs.find import PARSING, model_sha256, pack_dir, pack_sha256, parsing_file
from maskgen.parse import CROP_SIDE, KINDS, FaceParser, face_crop, network_input, on_image, upright_crop, window_of


@pytest.fixture(scope="module")
def parser():
    return FaceParser()


@pytest.fixture(scope="module")
def face():
    return FaceDetector().detect(astronaut())[0]


# ---- the crop


@given(poses(yaw=90, pitch=30, roll=180))
def test_a_head_lies_upright_and_in_one_size_in_its_crop_however_it_is_turned(pose):
    matrix = face_crop(face_at(pose, 1.7, (140, 90)).landmarks_68)
    assert np.hypot(*matrix[0, :2]) == pytest.approx(CROP_SIDE / 230 / 1.7, rel=0.02)
    axis = seen(np.array([[0, 0, 0], [0, 100, 0]], np.float32), pose, 1.7, (140, 90))
    down = np.diff(axis, axis=0)[0] @ matrix[:, :2].T
    assert abs(down[0]) < 0.03 * np.hypot(*down)
    assert down[1] > 0
    (middle,) = seen(np.array([[0, 42, -10]], np.float32), pose, 1.7, (140, 90)) @ matrix[:, :2].T + matrix[:, 2]
    assert middle == pytest.approx([(CROP_SIDE - 1) / 2] * 2, abs=0.6)


@pytest.mark.parametrize("times", [1, 2, 5])
def test_a_large_picture_gives_the_same_crop_as_a_small_one(times, face):
    small = astronaut()
    matrix = face_crop(face.landmarks_68)
    larger = matrix / times
    larger[:, 2] = matrix[:, 2] - matrix[:, :2].sum(axis=1) * (times - 1) / (2 * times)
    crop = upright_crop(small.repeat(times, axis=0).repeat(times, axis=1), larger)
    difference = np.abs(crop.astype(int) - upright_crop(small, matrix))
    assert difference.mean() < 2.5


@pytest.mark.parametrize("times", [2.0, 3.7, 4.0, 7.8, 15.9])
def test_noise_is_averaged_out_of_a_crop_however_much_smaller_it_is_made(times):
    side = round(CROP_SIDE * times)
    grey = np.random.default_rng(0).normal(120, 30, (side, side)).clip(0, 255).astype(np.uint8)
    matrix = np.array([[1 / times, 0, (1 / times - 1) / 2], [0, 1 / times, (1 / times - 1) / 2]], np.float32)
    crop = upright_crop(grey[..., None].repeat(3, axis=-1), matrix)[2:-2, 2:-2]
    assert crop.mean() == pytest.approx(120, abs=1)
    # Of so many pixels the mean strays by so much; what is taken here and there keeps its noise.
    assert crop.std() < 1.6 * 30 / times + 0.5


@pytest.mark.parametrize("shape", [(1, 3000, 3), (3000, 2, 3), (1003, 997, 3), (5, 7, 3)])
def test_a_picture_of_any_shape_gives_a_crop(shape):
    image = np.full(shape, 200, np.uint8)
    for scale in (0.01, 0.1, 0.26, 0.5, 1.0):
        middle = np.array(shape[1::-1]) / 2 - 0.5
        matrix = np.array([[scale, 0, 64 - scale * middle[0]], [0, scale, 64 - scale * middle[1]]], np.float32)
        crop = upright_crop(image, matrix)
        assert crop.shape == (CROP_SIDE, CROP_SIDE, 3)
        # What lies wholly inside is as it was.
        assert crop[64, 64].max() >= (190 if scale * min(shape[:2]) > 4 else 0)


@pytest.mark.parametrize("centre", [(125, 100), (-2000, 50), (90, 3000)])
def test_the_window_lies_inside_the_picture_and_holds_what_is_seen(centre):
    matrix = face_crop(face_at(HeadPose(10, 0, 30), 1.0, centre).landmarks_68)
    rows, columns = window_of(matrix, (300, 250, 3))
    assert 0 <= rows.start < rows.stop <= 300
    assert 0 <= columns.start < columns.stop <= 250
    y, x = np.mgrid[:300, :250]
    on_crop = np.stack([x, y], axis=-1) @ matrix[:, :2].T + matrix[:, 2]
    inside = ((on_crop > -0.5) & (on_crop < CROP_SIDE - 0.5)).all(axis=-1)
    inside[rows, columns] = False
    assert not inside.any()


@given(x=integers(0, CROP_SIDE - 1), y=integers(0, CROP_SIDE - 1))
def test_a_pixel_lies_in_its_patch_beside_its_neighbours(x, y):
    crop = np.zeros((CROP_SIDE, CROP_SIDE, 3), np.uint8)
    crop[y, x] = 1, 2, 3
    (patches,) = network_input(crop)
    assert patches.shape == (32, 32, 48)
    assert patches.dtype == np.uint8
    assert patches[y // 4, x // 4].reshape(4, 4, 3)[y % 4, x % 4].tolist() == [1, 2, 3]
    assert patches.sum() == 6


# ---- regions


def test_mouth_and_cheeks_are_skin_and_the_hair_is_hair(parser, face):
    regions = parser.regions(astronaut(), face)
    assert regions.shares.shape == (len(KINDS), 64, 64)
    assert regions.shares.sum(axis=0) == pytest.approx(np.ones((64, 64)), abs=1e-5)
    whole = slice(0, 512), slice(0, 512)
    skin, hair = regions.at(whole, "skin"), regions.at(whole, "hair")
    for point in face.landmarks_68[[30, 51, 57, 2, 14]].round().astype(int):
        assert skin[point[1] - 1 : point[1] + 2, point[0] - 3 : point[0] + 4].max() > 0.6
    x, y = ((face.landmarks_68[0] + face.landmarks_68[36]) / 2).round().astype(int)
    assert hair[y - 80 : y - 30, x - 30 : x + 10].max() > 0.8
    # Beyond the crop nothing is known.
    assert not regions.at((slice(450, 512), slice(450, 512)), *KINDS).any()


def test_cells_come_to_the_pixels_they_were_cut_from(parser, face):
    image = astronaut()
    regions = parser.regions(image, face)
    green = regions.crop[..., 1].reshape(64, 2, 64, 2).mean(axis=(1, 3)).astype(np.float32)
    rows, columns = slice(60, 170), slice(180, 270)
    back = on_image(green, regions.image_to_crop, (rows, columns))
    assert np.corrcoef(back.ravel(), image[rows, columns, 1].ravel())[0, 1] > 0.97


def test_the_same_picture_gives_the_same_bits_wherever_it_lies_in_memory(parser, face):
    image = astronaut()
    room = np.empty(image.size + 64, np.uint8)
    first = parser.regions(image, face).shares
    for offset in (1, 3, 16, 33):
        moved = room[offset : offset + image.size].reshape(image.shape)
        moved[:] = image
        assert np.array_equal(parser.regions(moved, face).shares, first)


def test_an_aligned_crop_is_parsed_as_well(parser):
    (found,) = FaceDetector(aligned=True).detect(np.ascontiguousarray(astronaut()[60:172, 170:282]))
    regions = parser.regions(np.ascontiguousarray(astronaut()[60:172, 170:282]), found)
    x, y = found.keypoints[3:].mean(axis=0).round().astype(int)
    assert regions.at((slice(y - 2, y + 3), slice(x - 4, x + 5)), "skin").mean() > 0.6


# ---- the pack


def test_the_network_is_smaller_than_a_megabyte():
    assert (pack_dir("bundled") / PARSING).stat().st_size < 1_000_000


def test_insightface_sees_the_networks_of_the_bundled_pack_that_it_saw_before():
    code = """
import sys
from insightface.app import FaceAnalysis
app = FaceAnalysis(name=sys.argv[1], providers=["CPUExecutionProvider"])
print(sorted(app.models))
"""
    call = [sys.executable, "-c", code, str(pack_dir("bundled"))]
    printed = subprocess.run(call, check=True, capture_output=True, text=True).stdout
    assert printed.splitlines()[-1] == "['detection', 'landmark_2d_106', 'landmark_3d_68']"


@pytest.fixture
def foreign(tmp_path):
    """A pack without a network for regions."""
    pack = tmp_path / "pack"
    pack.mkdir()
    for name in ("det.onnx", "1k3d68.onnx"):
        shutil.copy(pack_dir("bundled") / name, pack)
    return pack


def test_a_foreign_pack_borrows_the_network(foreign, face):
    assert parsing_file(str(foreign)) == pack_dir("bundled") / PARSING
    borrowed, own = (source.regions(astronaut(), face) for source in (FaceParser(str(foreign)), FaceParser()))
    assert np.array_equal(borrowed.shares, own.shares)


def test_the_hash_covers_the_network_for_regions_also_where_it_is_borrowed(foreign, tmp_path, monkeypatch):
    first = model_sha256(str(foreign))
    assert DetectorSpec(str(foreign)).sha256() == first != pack_sha256(foreign)
    bundled = tmp_path / "bundled"
    shutil.copytree(pack_dir("bundled"), bundled)
    real = pack_dir
    monkeypatch.setattr("maskgen.packs.find.pack_dir", lambda model: bundled if model == "bundled" else real(model))
    assert model_sha256(str(foreign)) == first
    with (bundled / PARSING).open("ab") as file:
        file.write(b"\0")
    assert model_sha256(str(foreign)) != first
    # Its own goes before what it could borrow.
    (foreign / PARSING).parent.mkdir()
    shutil.copy(real("bundled") / PARSING, foreign / PARSING)
    assert model_sha256(str(foreign)) == first
    assert parsing_file(str(foreign)) == foreign / PARSING


def test_another_network_is_refused_by_what_it_takes_and_gives(foreign):
    (foreign / PARSING).parent.mkdir()
    shutil.copy(pack_dir("bundled") / "2d106det.onnx", foreign / PARSING)
    with pytest.raises(ModelError, match=r"parsing\.onnx: takes .*192, 192.*expected .*uint8.*32, 32, 48") as caught:
        FaceParser(str(foreign))
    assert "borrows" in caught.value.remedy


def test_a_network_of_the_former_form_is_refused_and_the_remedy_helps(foreign):
    onnx = pytest.importorskip("onnx", reason="making a network needs the extra [train]")
    float32, form = onnx.TensorProto.FLOAT, onnx.helper.make_tensor_value_info
    shape = onnx.numpy_helper.from_array(np.array([1, 6, 64, 64]), "shape")
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("ConstantOfShape", ["shape"], ["scores"])],
        "former",
        [form("data", float32, [1, 3, CROP_SIDE, CROP_SIDE])],
        [form("scores", float32, [1, 6, 64, 64])],
        [shape],
    )
    (foreign / PARSING).parent.mkdir()
    opset = onnx.helper.make_opsetid("", 17)
    onnx.save(onnx.helper.make_model(graph, opset_imports=[opset], ir_version=8), foreign / PARSING)
    with pytest.raises(ModelError, match=r"parsing\.onnx: takes .*float.*1, 3, 128, 128.*expected .*uint8") as caught:
        FaceParser(str(foreign))
    assert "delete the file" in caught.value.remedy
    (foreign / PARSING).unlink()
    assert FaceParser(str(foreign)).path == pack_dir("bundled") / PARSING


def test_a_broken_network_is_refused_by_name(foreign):
    (foreign / PARSING).parent.mkdir()
    (foreign / PARSING).write_bytes(b"not a model")
    with pytest.raises(ModelError, match=r"parsing\.onnx.*cannot load"):
        FaceParser(str(foreign))
