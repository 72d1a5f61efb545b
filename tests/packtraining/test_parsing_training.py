# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""The code that trains the network for what lies in front of faces."""

import numpy as np
import pytest
from strategies import face_at

torch = pytest.importorskip("torch", reason="training the pack needs the extra [train]")
torch.set_num_threads(1)

from maskgen.catalog.store import Catalog
from maskgen.face import HeadPose
from maskgen.packs.find import PARSING
from maskgen.packtraining import evaluate_parsing, export, mixed, occluders, parsing, portraits
from maskgen.packtraining.portraits import BACKGROUND, GLASSES, HAIR, OTHER, SIDE, SKIN, UNKNOWN, Portrait
from maskgen.packtraining.trainer import Trainer
from maskgen.parse import CROP_SIDE, KINDS, FaceParser, network_input


def portrait(seed=0):
    """A face of one tone with hair above it, before a grey wall."""
    rng = np.random.default_rng(seed)
    face = face_at(HeadPose(0, 0, 0), 0.67, (SIDE / 2, SIDE / 2 - 28))
    kinds = np.full((SIDE, SIDE), BACKGROUND, np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    kinds[np.hypot((x - SIDE / 2) / 62, (y - 85) / 80) < 1] = HAIR
    kinds[np.hypot((x - SIDE / 2) / 52, (y - 105) / 70) < 1] = SKIN
    tones = np.array([(90, 90, 90), (200, 150, 120), (50, 30, 20)], np.float32)
    image = np.clip(tones[kinds] + rng.normal(0, 4, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    return Portrait(image, kinds, face)


PICTURE = np.random.default_rng(1).integers(0, 255, (120, 160, 3), dtype=np.uint8)


def layers(kind, number=30):
    rng, one, other = np.random.default_rng(5), portrait(), portrait(1)
    other.kinds[70:85, 60:130] = GLASSES
    made = {
        "hair": lambda: occluders.hair_of(other, rng),
        "glasses": lambda: occluders.glasses_of(other, rng),
        "drawn glasses": lambda: occluders.drawn_glasses(one, rng),
        "hand": lambda: occluders.hand(one, other, rng),
        "microphone": lambda: occluders.microphone(one, rng),
        "piece": lambda: occluders.piece(one, PICTURE, rng),
    }[kind]
    return one, [made() for _ in range(number)]


KIND_OF = {
    "hair": HAIR,
    "glasses": GLASSES,
    "drawn glasses": GLASSES,
    "hand": OTHER,
    "microphone": OTHER,
    "piece": OTHER,
}


@pytest.mark.parametrize("kind", KIND_OF)
def test_what_is_laid_on_a_portrait_is_labelled_where_it_lies_and_nowhere_else(kind):
    bare, made = layers(kind)
    for layer in made:
        assert layer.kind == KIND_OF[kind]
        assert (layer.alpha.min(), layer.rgb.shape) == (pytest.approx(0, abs=0.05), (SIDE, SIDE, 3))
        with_it = occluders.laid_on(bare, layer)
        assert (with_it.kinds[layer.alpha >= 0.5] == layer.kind).all()
        clear = layer.alpha < 0.01
        assert np.array_equal(with_it.kinds[clear], bare.kinds[clear])
        assert np.abs(with_it.image[clear].astype(int) - bare.image[clear]).max() <= 3
    assert np.mean([(layer.alpha > 0.5).sum() > 60 for layer in made]) > 0.8


def test_a_beard_is_skin():
    bare = portrait()
    for seed in range(10):
        bearded = occluders.bearded(bare, portrait(1), np.random.default_rng(seed))
        changed = np.abs(bearded.image.astype(int) - bare.image).max(axis=2) > 60
        assert set(bearded.kinds[changed]) <= {SKIN, UNKNOWN}
        x, y = bare.face.landmarks_68[62].astype(int)
        assert not changed[y, x]
    assert changed.sum() > 500


def test_a_mask_counts_as_something_in_front():
    worn = portraits.masked(portrait(), Catalog.load(), np.random.default_rng(3))
    x, y = worn.face.landmarks_68[62].astype(int)
    assert worn.kinds[y, x] == OTHER
    x, y = worn.face.landmarks_68[21].astype(int)
    assert worn.kinds[y, x] == SKIN


def test_background_inside_of_a_face_is_something_in_front_and_around_it_nobody_knows():
    bare = portrait()
    labels = np.where(bare.kinds == SKIN, 1, np.where(bare.kinds == HAIR, 13, 0)).astype(np.uint8)
    x, y = bare.face.landmarks_68[57].astype(int)
    labels[y - 8 : y + 70, x - 8 : x + 8] = 0  # a microphone that goes on below the face
    kinds = portraits._with_things(portraits._KIND_OF_LABEL[labels], bare.face, 20)
    assert (kinds[y - 6 : y + 6, x - 6 : x + 6] == OTHER).all()
    below = int(bare.face.landmarks_68[8, 1]) + 4
    assert set(kinds[below : below + 6, x - 6 : x + 6].ravel()) <= {OTHER, UNKNOWN}
    assert (kinds[:20, :20] == BACKGROUND).all()


def shares_of(kinds):
    return mixed.cell_shares(torch.from_numpy(kinds)[None].int())


def test_shares_of_cells_count_their_pixels_and_unknown_ones_as_nothing():
    kinds = np.zeros((CROP_SIDE, CROP_SIDE), np.uint8)
    kinds[0, :3] = [HAIR, OTHER, UNKNOWN]
    (shares,) = shares_of(kinds)
    assert shares[:, 0, 0].tolist() == [0.5, 0, 0.25, 0, 0, 0.25]
    assert shares[:, 0, 1].tolist() == [0.75, 0, 0, 0, 0, 0]
    assert shares[BACKGROUND, 1:].min() == 1


def test_the_loss_is_least_for_the_truth():
    shares = shares_of(np.full((CROP_SIDE, CROP_SIDE), OTHER, np.uint8))
    right, wrong = torch.zeros(1, 6, 64, 64), torch.zeros(1, 6, 64, 64)
    right[:, OTHER], wrong[:, HAIR] = 9, 9
    assert float(parsing.loss_of(right, shares)) < 0.01 < float(parsing.loss_of(wrong, shares))
    assert float(parsing.loss_of(wrong, torch.zeros_like(shares))) == 0
    taught = right.softmax(dim=1)
    assert float(parsing.difference(right, taught)) == pytest.approx(0, abs=1e-6)
    assert float(parsing.difference(wrong, taught)) > 1


def pool_of(*some):
    pool = mixed.Pool(len(some), torch.device("cpu"))
    pool.take(torch.stack([torch.from_numpy(np.dstack([one.image, one.kinds])) for one in some]))
    return pool


@pytest.fixture
def undegraded(monkeypatch):
    monkeypatch.setattr(mixed, "photographed", lambda images: images)


@pytest.mark.usefixtures("undegraded")
def test_what_is_known_of_a_crop_lies_where_the_crop_shows_it():
    one = portrait()
    tones = np.array([(10, 200, 10), (200, 10, 10), (10, 10, 200)], np.uint8)
    one = Portrait(tones[one.kinds], one.kinds, one.face)
    torch.manual_seed(4)
    images, shares = pool_of(one).batch(24)
    assert images.shape == (24, 3, CROP_SIDE, CROP_SIDE)
    pixels = (images * 128 + 128).unflatten(3, (64, 2)).unflatten(2, (64, 2)).mean(dim=(3, 5))
    for kind, channel in ((BACKGROUND, 1), (SKIN, 0), (HAIR, 2)):
        whole = shares[:, kind] == 1
        assert whole.sum() > 2000
        # A share of a hundred lies at the edge of another kind, from which it takes some colour.
        assert (pixels[:, channel][whole] > 150).float().mean() > 0.99
    # Black is what lies beyond the photograph, of which nothing is known.
    beyond = pixels.amax(dim=1) == 0
    assert beyond.any()
    assert shares.sum(dim=1)[beyond].max() == 0
    # They are not the same crop again and again.
    assert (images[0] - images[1]).abs().mean() > 0.02


@pytest.mark.usefixtures("undegraded")
def test_some_crops_are_cut_by_the_edge_of_a_photograph_on_each_side():
    one = portrait()
    white = Portrait(np.full_like(one.image, 255), one.kinds, one.face)
    torch.manual_seed(0)
    images, _ = pool_of(white).batch(200)
    black = images[:, 0] < 0
    sides = torch.stack([black[:, 0].all(1), black[:, -1].all(1), black[:, :, 0].all(1), black[:, :, -1].all(1)])
    assert all(2 <= number <= 20 for number in sides.sum(dim=1).tolist())
    assert 15 <= int(sides.any(dim=0).sum()) <= 60


def test_a_pool_keeps_the_last_portraits():
    pool = mixed.Pool(5, torch.device("cpu"))
    for first in (0, 3, 6):
        pool.take(torch.arange(first, first + 3)[:, None, None, None].byte().expand(-1, SIDE, SIDE, 4))
    assert sorted(pool._portraits[:, 0, 0, 0].tolist()) == [4, 5, 6, 7, 8]


def test_the_network_sees_whole_pixels_as_bytes_give_them():
    seen = mixed.as_input(torch.tensor([0.0, 127.9, 128.0, 255.0]))
    assert seen.tolist() == [-1, -1 / 128, 0, 127 / 128]


def test_patches_are_those_that_are_cut_in_use():
    crop = np.random.default_rng(0).integers(0, 256, (CROP_SIDE, CROP_SIDE, 3), dtype=np.uint8)
    (patches,) = parsing.in_patches(torch.from_numpy(crop).permute(2, 0, 1)[None])
    assert np.array_equal(patches.permute(1, 2, 0).numpy(), network_input(crop)[0])


def test_every_portrait_is_made_anew_and_the_same_number_gives_the_same_one():
    made = mixed.Mixed([portrait(0), portrait(1)], [portrait(2)], [PICTURE], Catalog.load(), seed=0)
    first = [made[number] for number in range(12)]
    assert all(torch.equal(made[number], one) for number, one in enumerate(first[:3]))
    bare = [made.bare[n].kinds for n in range(3)]
    changed = [not any(np.array_equal(one[..., 3], kinds) for kinds in bare) for one in first]
    assert sum(changed) >= 4
    assert set(np.unique(torch.stack(first)[..., 3])) <= {*range(len(KINDS)), UNKNOWN}


def test_training_that_was_stopped_between_its_two_checkpoints_goes_on_with_both_networks_in_step(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(Catalog, "preload", lambda self: None)  # it takes longer than what is tested
    monkeypatch.setattr(mixed, "_MASKED_SHARE", 0)

    def train(epochs):
        one, two, three = (portrait(seed) for seed in range(3))
        return parsing.train([one, two], [three], [PICTURE], [three], tmp_path, epochs, steps=1, batch=2)

    def epochs_of(*names):
        return [torch.load(tmp_path / f"{name}_last.pt", weights_only=True)["epoch"] for name in names]

    end_epoch = Trainer.end_epoch

    def stopped(trainer):
        if isinstance(trainer.net, parsing.ParsingNet) and trainer.epoch == 1:
            raise KeyboardInterrupt
        end_epoch(trainer)

    monkeypatch.setattr(Trainer, "end_epoch", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(3)
    assert epochs_of("parsing", "parsing_teacher") == [1, 2]
    monkeypatch.setattr(Trainer, "end_epoch", end_epoch)
    net = train(3)
    assert epochs_of("parsing", "parsing_teacher") == [3, 3]
    saved = torch.load(tmp_path / "parsing.pt", weights_only=True)
    assert all(torch.equal(value, saved[name]) for name, value in net.state_dict().items())


def test_a_perfect_answer_has_an_iou_of_one():
    kinds = np.random.default_rng(0).integers(0, len(KINDS), (3, 64, 64)).astype(np.uint8)
    truth = kinds.repeat(2, axis=1).repeat(2, axis=2)
    assert set(parsing.ious(kinds, truth).values()) == {1.0}
    truth[:, :64] = UNKNOWN
    assert set(parsing.ious(np.zeros_like(kinds), truth).values()) != {1.0}


def test_portraits_survive_a_round_trip(tmp_path):
    first = [portrait(seed) for seed in range(3)]
    portraits.save(tmp_path / "some.npz", first)
    for before, after in zip(first, portraits.load(tmp_path / "some.npz"), strict=True):
        assert np.array_equal(after.image, before.image)
        assert np.array_equal(after.kinds, before.kinds)
        assert np.array_equal(after.face.landmarks, before.face.landmarks)
        assert after.face.pose == before.face.pose


def test_a_guess_lies_where_the_network_saw_it_and_counts_only_where_it_is_sure():
    one = portrait()
    shares = np.full((len(KINDS), 64, 64), 0.02, np.float32)
    shares[SKIN] = 0.9 + 1e-3
    shares[:, :, 32:] = 1 / len(KINDS)
    kinds = parsing._with_guess(one, shares).kinds
    middle = SIDE // 2
    assert (kinds[60:130, 60 : middle - 2] == SKIN).all()
    assert (kinds[:, middle + 2 :] == UNKNOWN).all()
    assert (kinds[:15] == UNKNOWN).all()  # beyond what the network sees


def test_the_exported_network_says_what_the_trained_one_says(tmp_path):
    torch.manual_seed(0)
    net = parsing.ParsingNet().eval()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1)
    torch.save(net.state_dict(), tmp_path / "parsing.pt")
    one = portrait()
    crop, _ = parsing.centre_of(one)
    seen = mixed.as_input(torch.from_numpy(crop).permute(2, 0, 1).float()).numpy()
    export.export_parsing(tmp_path, tmp_path, [seen] * 2)
    for name in ("det.onnx", "1k3d68.onnx"):
        (tmp_path / name).write_bytes(b"")  # a pack, as far as anybody looks
    said = FaceParser(str(tmp_path)).regions(one.image, one.face)
    wanted = parsing.predict(net, [said.crop])[0]
    assert np.abs(said.shares - wanted).mean() < 0.03
    assert (tmp_path / PARSING).stat().st_size < 1.1 * sum(p.numel() for p in net.parameters())


def test_figures_count_what_masks_would_paint_over_and_what_they_would_spare():
    class Sees:
        """Takes the right half of everything for hair."""

        def regions(self, image, face):
            regions = FaceParser().regions(image, face)
            regions.shares[:] = 0
            regions.shares[SKIN, :, :32], regions.shares[HAIR, :, 32:] = 1, 1
            return regions

    one = portrait()
    one.kinds[:, : SIDE // 2] = SKIN
    one.kinds[:, SIDE // 2 :] = HAIR
    one.image[:] = np.where(one.kinds[..., None] == SKIN, (200, 150, 120), (50, 30, 20))
    right = evaluate_parsing.on_portraits([one], Sees())
    assert right["things_painted_over_percent"] < 5
    assert right["skin_spared_percent"] < 5
    mirrored = Portrait(one.image[:, ::-1].copy(), one.kinds[:, ::-1].copy(), one.face)
    wrong = evaluate_parsing.on_portraits([mirrored], Sees())
    assert wrong["things_painted_over_percent"] > 90
    assert wrong["iou_hair"] < 0.1
