# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""In torch's DataLoader masks do not depend on the workers; in torchvision boxes and their like pass through."""

import sys
import types

import numpy as np
import pytest
from catalogs import small_catalog
from fakes import FakeDetector, pixels
from PIL import Image

torch = pytest.importorskip("torch", reason="the extra [train] brings it")
torch.set_num_threads(1)

from maskgen import RandomMask
from maskgen.catalog.store import Catalog
from maskgen.errors import ConfigError, ImageError
from maskgen.recognition.cache import CacheInfo, CacheWriter, prepared
from maskgen.recognition.look import look_at
from maskgen.recognition.seen import encoded
from maskgen.transforms import adapters

PICTURE = pixels("face", (112, 112))
KEYS = [f"{number}.png" for number in range(12)]


@pytest.fixture(scope="module")
def mask(tmp_path_factory):
    folder = tmp_path_factory.mktemp("loaders")
    (folder / "catalog").mkdir()
    prepared(folder / "seen", CacheInfo(pack_sha256="f" * 64, aligned=False))
    with CacheWriter(folder / "seen") as writer:
        writer.append([encoded(key, look_at(PICTURE, FakeDetector())) for key in KEYS])
    catalog = Catalog.load(small_catalog(folder / "catalog", {"red": 1, "blue": 2}))
    return RandomMask(catalog, 0.5, folder / "seen")


class Pictures(torch.utils.data.Dataset):
    def __init__(self, transform):
        self.transform = transform

    def __len__(self):
        return len(KEYS)

    def __getitem__(self, number):
        image = torch.from_numpy(PICTURE.transpose(2, 0, 1).copy())
        return self.transform({"image": image, "key": KEYS[number], "label": number})


def epochs(mask, workers, context=None, shuffle=False):
    """The pictures of two epochs by key, through one loader whose workers live on."""
    mask.set_epoch(0)
    loader = torch.utils.data.DataLoader(
        Pictures(mask),
        batch_size=4,
        num_workers=workers,
        persistent_workers=workers > 0,
        multiprocessing_context=context,
        shuffle=shuffle,
    )
    found = []
    for epoch in range(2):
        mask.set_epoch(epoch)
        batches = list(loader)
        found.append(
            {
                key: image.numpy().tobytes()
                for batch in batches
                for key, image in zip(batch["key"], batch["image"], strict=True)
            }
        )
    return found


@pytest.mark.parametrize(("workers", "context"), [(2, "fork"), (4, "fork"), (2, "spawn")])
def test_an_epoch_gives_the_same_masks_with_any_workers_and_two_epochs_differ(workers, context, mask):
    alone = epochs(mask, 0)
    assert epochs(mask, workers, context, shuffle=True) == alone
    assert alone[0] != alone[1]
    bare = PICTURE.transpose(2, 0, 1).tobytes()
    assert 0 < sum(image != bare for image in alone[0].values()) < len(KEYS)


# ---- tensors


@pytest.mark.parametrize(
    "image",
    [
        torch.from_numpy(PICTURE.transpose(2, 0, 1).copy()),
        torch.from_numpy(PICTURE.transpose(2, 0, 1) / 255).float(),
        torch.from_numpy(PICTURE.transpose(2, 0, 1) / 255).to(torch.bfloat16),
        torch.from_numpy(PICTURE.transpose(2, 0, 1) / 255).half(),
        torch.from_numpy(PICTURE[..., 0].copy()),
        torch.from_numpy(PICTURE[None, ..., 0].copy()),
        torch.from_numpy(np.concatenate([PICTURE, PICTURE[..., :1]], 2).transpose(2, 0, 1).copy()),
    ],
    ids=["uint8", "float", "bfloat16", "half", "grey", "grey_with_axis", "rgba"],
)
def test_every_kind_of_tensor_comes_back_as_its_kind_with_a_mask(image, mask):
    masked = RandomMask(mask.catalog, 1, mask._cache)(image, KEYS[0])
    assert (masked.shape, masked.dtype) == (image.shape, image.dtype)
    changed = masked != image
    assert 0.01 < changed.float().mean() < 0.6
    assert not changed[..., :5, :].any()


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (torch.zeros(4, 3, 112, 112), "before the loader"),
        (torch.zeros(112, 112, 3), r"permute\(2, 0, 1\)"),
        (torch.zeros(3, 112, 112, dtype=torch.int64), "torch.int64 instead of"),
        (torch.full((3, 112, 112), 200.0), "divide by 255"),
        (torch.full((3, 112, 112), -1.0), "normalised"),
        (torch.zeros(112), "one picture at a time"),
    ],
    ids=["batch", "hwc", "int64", "0_to_255", "normalised", "flat"],
)
def test_other_tensors_are_refused_with_a_remedy(image, said, mask):
    with pytest.raises(ImageError, match=said):
        mask(image, KEYS[0])


# ---- torchvision's protocol


@pytest.fixture
def torchvision(monkeypatch):
    """torchvision.transforms.v2 as far as its documentation says what a transform of one's own overrides."""
    import torch.utils._pytree as pytree

    class TVTensor(torch.Tensor):
        pass

    def kind(name):
        return type(name, (TVTensor,), {})

    tv_tensors = types.ModuleType("torchvision.tv_tensors")
    tv_tensors.TVTensor, tv_tensors.Image = TVTensor, kind("Image")
    tv_tensors.Mask, tv_tensors.BoundingBoxes, tv_tensors.KeyPoints = map(kind, ("Mask", "BoundingBoxes", "KeyPoints"))
    tv_tensors.wrap = lambda value, *, like: value.as_subclass(type(like))

    def is_type(value, kinds):
        return any(isinstance(value, one) if isinstance(one, type) else one(value) for one in kinds)

    class Transform(torch.nn.Module):
        _transformed_types = (torch.Tensor, Image.Image)

        def make_params(self, flat_inputs):
            return {}

        def forward(self, *inputs):
            flat, spec = pytree.tree_flatten(inputs if len(inputs) > 1 else inputs[0])
            takes_pure = not any(isinstance(value, tv_tensors.Image | Image.Image) for value in flat)
            needed = []
            for value in flat:
                need = is_type(value, self._transformed_types)
                if need and isinstance(value, torch.Tensor) and not isinstance(value, TVTensor):
                    need, takes_pure = takes_pure, False
                needed.append(need)
            params = self.make_params([value for value, need in zip(flat, needed, strict=True) if need])
            done = [self.transform(value, params) if need else value for value, need in zip(flat, needed, strict=True)]
            return pytree.tree_unflatten(done, spec)

    v2 = types.ModuleType("torchvision.transforms.v2")
    v2.Transform = Transform
    for name, module in {
        "torchvision": types.ModuleType("torchvision"),
        "torchvision.transforms": types.ModuleType("torchvision.transforms"),
        "torchvision.transforms.v2": v2,
        "torchvision.tv_tensors": tv_tensors,
    }.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(vars(adapters), "TorchvisionTransform", raising=False)
    yield tv_tensors
    vars(adapters).pop("TorchvisionTransform", None)


def test_in_torchvision_the_picture_gets_a_mask_and_boxes_keypoints_and_masks_pass(torchvision, mask):
    transform = RandomMask(mask.catalog, 1, mask._cache).torchvision()
    plain = torch.from_numpy(PICTURE.transpose(2, 0, 1).copy())
    sample = {
        "image": plain.as_subclass(torchvision.Image),
        "key": KEYS[0],
        "boxes": torch.ones(2, 4).as_subclass(torchvision.BoundingBoxes),
        "points": torch.ones(5, 2).as_subclass(torchvision.KeyPoints),
        "regions": torch.ones(112, 112).as_subclass(torchvision.Mask),
        "embedding": torch.ones(3, 8, 8),
        "label": 3,
    }
    masked = transform(sample)
    assert list(masked) == list(sample)
    assert type(masked["image"]) is torchvision.Image
    expected = RandomMask(mask.catalog, 1, mask._cache)(plain, KEYS[0])
    assert torch.equal(masked["image"].as_subclass(torch.Tensor), expected)
    assert not torch.equal(expected, plain)
    assert all(masked[name] is sample[name] for name in ("boxes", "points", "regions", "embedding", "label", "key"))


def test_in_torchvision_pure_tensors_and_pil_work_and_a_target_may_carry_the_key(torchvision, mask):
    transform = RandomMask(mask.catalog, 1, mask._cache).torchvision()
    plain = torch.from_numpy(PICTURE.transpose(2, 0, 1).copy())
    image, target = transform(plain, {"key": KEYS[0], "label": 3})
    assert target == {"key": KEYS[0], "label": 3}
    assert not torch.equal(image, plain)
    ((picture, _),) = (transform((Image.fromarray(PICTURE), {"__key__": KEYS[0]})),)
    assert np.array_equal(np.asarray(picture), image.numpy().transpose(1, 2, 0))


def test_in_torchvision_a_missing_key_is_an_error_and_the_epoch_is_shared(torchvision, mask):
    transform = mask.torchvision()
    with pytest.raises(ConfigError, match="without a key"):
        transform(torch.zeros(3, 112, 112))
    transform.set_epoch(7)
    assert mask.epoch == 7
    mask.set_epoch(0)


def test_without_torchvision_the_error_says_what_to_install(mask, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(vars(adapters), "TorchvisionTransform", raising=False)
    with pytest.raises(ConfigError, match=r"torchvision cannot be imported: .*; install it with: pip install torchv"):
        mask.torchvision()
