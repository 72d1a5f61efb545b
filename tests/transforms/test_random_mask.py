"""A mask follows from seed, key and epoch, on pictures of any kind."""

import copy
import io
import json
import pickle
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from catalogs import small_catalog
from fakes import FakeDetector, pixels
from PIL import Image
from strategies import face_at

from maskgen import FaceDetector, RandomMask, augment_image
from maskgen.catalog.store import Catalog
from maskgen.errors import ConfigError, ImageError
from maskgen.face import HeadPose
from maskgen.images.checking import refuse_other
from maskgen.masking.recipe import Recipe
from maskgen.recognition.cache import CacheInfo, CacheWriter, prepared
from maskgen.recognition.look import look_at
from maskgen.recognition.seen import encoded

PICTURE = pixels("face")
KEYS = [f"ann/{number}.png" for number in range(12)]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory):
    return Catalog.load(small_catalog(tmp_path_factory.mktemp("catalog"), {"red": 1, "blue": 2}))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """Every picture is alike; what a mask looks like depends on its key alone."""
    path = tmp_path_factory.mktemp("cache") / "seen"
    prepared(path, CacheInfo(pack_sha256="f" * 64, aligned=False))
    seen = look_at(PICTURE, FakeDetector())
    with CacheWriter(path) as writer:
        writer.append([encoded(key, seen) for key in KEYS])
        writer.append([encoded("nobody.png", look_at(pixels("no_face"), FakeDetector()))])
    return path


@pytest.fixture
def mask(catalog, cache):
    return RandomMask(catalog, 0.5, cache)


# ---- what decides


def test_a_share_of_the_pictures_gets_a_mask(catalog, cache):
    mask = RandomMask(catalog, 0.3, cache)
    worn = []
    for epoch in range(20):
        mask.set_epoch(epoch)
        worn += [(mask(PICTURE, key) != PICTURE).any() for key in KEYS]
    assert 0.2 < np.mean(worn) < 0.4
    assert not (RandomMask(catalog, 0, cache)(PICTURE, KEYS[0]) != PICTURE).any()


def test_a_detector_looks_only_at_pictures_that_take_part(catalog, monkeypatch):
    looked = []
    monkeypatch.setattr(
        RandomMask, "_look_at", lambda self, image: looked.append(image) or look_at(image, FakeDetector())
    )
    assert all(RandomMask(catalog, 0, FakeDetector())(PICTURE, key) is PICTURE for key in KEYS)
    assert not looked
    some = RandomMask(catalog, 0.5, FakeDetector())
    worn = sum((some(PICTURE, key) != PICTURE).any() for key in KEYS)
    assert 0 < worn == len(looked) < len(KEYS)


def test_seed_key_and_epoch_decide_and_nothing_else(catalog, cache):
    def pictures(seed=0, epoch=0, keys=KEYS):
        mask = RandomMask(catalog, 0.5, cache, seed=seed)
        mask.set_epoch(epoch)
        return {key: mask(PICTURE, key).tobytes() for key in keys}

    first = pictures()
    assert first == pictures(keys=KEYS[::-1])
    assert first != pictures(seed=1)
    assert first != pictures(epoch=1)
    assert len(set(first.values())) > 2


def test_params_that_went_through_json_give_the_same_picture(mask):
    for key in KEYS:
        seen = mask.look(PICTURE, key)
        params = mask.sample(seen, mask.seed_of(key))
        image, alpha = mask.apply(PICTURE, seen, params)
        again, other = mask.apply(PICTURE, seen, json.loads(json.dumps(params)))
        assert np.array_equal(image, again)
        assert np.array_equal(alpha, other)
        assert np.array_equal(image, mask(PICTURE, key))
        assert ((image != PICTURE).any(axis=2) <= (alpha > 0) | _near(alpha)).all()


def _near(alpha):
    """Where the shadow of a mask falls."""
    return cv2.dilate((alpha > 0).astype(np.uint8), np.ones((41, 41), np.uint8)) > 0


def test_params_of_another_catalog_recipe_or_version_are_refused(mask, cache):
    mask = RandomMask(mask.catalog, 1, cache)
    seen = mask.look(PICTURE, KEYS[0])
    params = mask.sample(seen, 1)
    others = (
        RandomMask(mask.catalog.select(names=["red"]), 1, cache),
        RandomMask(mask.catalog, 1, cache, Recipe(recolor_share=0.5)),
    )
    for other in others:
        with pytest.raises(ConfigError, match="drawn with another catalog or recipe"):
            other.apply(PICTURE, seen, params)
    with pytest.raises(ConfigError, match="schema 2"):
        mask.apply(PICTURE, seen, params | {"schema_version": 2})


def test_a_recipe_says_who_gets_a_mask(catalog):
    both = pixels("two_faces")
    mask = RandomMask(catalog, 1, FakeDetector(), Recipe(faces="all"))
    _, alpha = mask.apply(both, seen := mask.look(both), mask.sample(seen, 1))
    assert alpha[:, :100].any()
    assert alpha[:, 130:].any()
    assert np.array_equal(RandomMask(catalog, 1, FakeDetector(), Recipe(min_face=500))(both, "x"), both)


def test_a_detector_and_a_cache_give_the_same_masks(catalog, cache):
    kept, found = RandomMask(catalog, 1, cache), RandomMask(catalog, 1, FakeDetector())
    assert all(np.array_equal(kept(PICTURE, key), found(PICTURE, key)) for key in KEYS)


def test_where_nobody_is_a_picture_stays(mask):
    nobody = pixels("no_face")
    assert mask(nobody, "nobody.png") is nobody
    assert json.dumps(mask.sample(mask.look(nobody, "nobody.png"), 3))


# ---- keys


@pytest.mark.parametrize("sample", [PICTURE, {"image": PICTURE}, {"image": PICTURE, "key": None}])
def test_a_missing_key_is_an_error_that_says_how_to_give_one(mask, sample):
    with pytest.raises(ConfigError, match=r"mask\(image, key=path\), or let the dataset give dict\(image=image, key="):
        mask(sample)


@pytest.mark.parametrize(
    "key",
    [{"key": KEYS[1]}, {"__key__": KEYS[1]}, {"key": Path(KEYS[1])}, {"__key__": "1.png", "__url__": "/d/ann.tar"}],
    ids=["key", "__key__", "path", "shard"],
)
def test_a_sample_carries_its_key_and_keeps_all_else(mask, key):
    sample = {**key, "picture": PICTURE, "label": np.array(3), "boxes": np.ones((2, 4), np.float32)}
    masked = mask(sample)
    assert list(masked) == list(sample)
    assert np.array_equal(masked["picture"], mask(PICTURE, KEYS[1]))
    assert sample["picture"] is PICTURE
    assert masked["boxes"] is sample["boxes"]


def test_the_key_of_a_record_is_its_number(catalog, tmp_path):
    prepared(tmp_path, CacheInfo(pack_sha256="f" * 64, aligned=False))
    with CacheWriter(tmp_path) as writer:
        writer.append([encoded("17", look_at(PICTURE, FakeDetector()))])
    mask = RandomMask(catalog, 1, tmp_path)
    assert np.array_equal(mask(PICTURE, 17), mask({"image": PICTURE, "depth": PICTURE, "key": "17"})["image"])


def test_a_key_that_the_cache_does_not_know_is_an_error_that_shows_one(mask):
    with pytest.raises(ConfigError, match=r"'/data/ann/1.png' is not in .*, where keys are such as '.*\.png'; run"):
        mask(PICTURE, "/data/ann/1.png")


def test_a_picture_of_another_size_than_the_one_seen_is_refused(mask):
    with pytest.raises(ImageError, match=r"100x100 pixels, 200x200 in .*; put masks on before pictures are scaled"):
        mask(np.ascontiguousarray(PICTURE[::2, ::2]), KEYS[0])


def test_a_cache_of_faces_alone_is_not_enough(catalog, tmp_path):
    prepared(tmp_path, CacheInfo(pack_sha256="f" * 64, aligned=False))
    with CacheWriter(tmp_path) as writer:
        writer.append([encoded("key", look_at(PICTURE, FakeDetector(), observed=False))])
    with pytest.raises(ConfigError, match=r"only its face is in .*; run 'maskgen faces'"):
        RandomMask(catalog, 1, tmp_path)(PICTURE, "key")


def test_a_sample_with_two_pictures_is_refused(mask):
    with pytest.raises(ImageError, match="2 pictures; call the one to mask 'image'"):
        mask({"key": KEYS[0], "a": PICTURE, "b": PICTURE})


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_p_is_a_share(p, catalog):
    with pytest.raises(ConfigError, match="not a share; give p from 0 to 1"):
        RandomMask(catalog, p)


# ---- kinds of pictures


def kinds():
    grey = PICTURE[..., :1]
    opacity = np.full((200, 200, 1), 9, np.uint8)
    yield "grey", grey[..., 0]
    yield "grey_with_axis", grey
    yield "rgba", np.concatenate([PICTURE, opacity], 2)
    yield "float32", PICTURE.astype(np.float32) / 255
    yield "float64", PICTURE / 255
    yield "float16", (PICTURE / 255).astype(np.float16)
    yield "float_grey", grey[..., 0] / 255
    yield "float_between", (PICTURE + 0.3) / 256
    yield "black", np.zeros((200, 200, 3), np.float32)
    for mode in ("RGB", "L", "RGBA"):
        yield f"pil_{mode}", Image.fromarray(PICTURE).convert(mode)


@pytest.mark.parametrize(("name", "image"), list(kinds()), ids=lambda value: value if isinstance(value, str) else "")
def test_every_kind_of_picture_comes_back_as_its_kind_with_a_mask(name, image, catalog, cache):
    mask = RandomMask(catalog, 1, cache)
    masked = mask(image, KEYS[0])
    assert type(masked) is type(image)
    before, after = np.asarray(image), np.asarray(masked)
    assert (before.shape, before.dtype) == (after.shape, after.dtype)
    changed = before != after
    assert 0.01 < changed.mean() < 0.5
    assert (before[:10] == after[:10]).all(), "what no mask touches keeps every bit"
    if after.ndim == 3 and after.shape[2] == 4:
        assert not changed[..., 3].any(), "opacity stays"
    if before.dtype.kind == "f":
        assert after.min() >= 0
        assert after.max() <= 1
    if isinstance(image, Image.Image):
        assert masked.mode == image.mode


def test_floats_get_the_mask_that_bytes_get(catalog, cache):
    mask = RandomMask(catalog, 1, cache)
    expected = mask(PICTURE, KEYS[0])
    floats = mask(PICTURE.astype(np.float32) / 255, KEYS[0])
    assert np.array_equal(np.round(floats * 255).astype(np.uint8), expected)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(PICTURE)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif)
    return Image.open(buffer)


REFUSED = [
    (np.moveaxis(PICTURE, -1, 0), "channels first"),
    (PICTURE.astype(np.float32), "divide by 255"),
    (PICTURE.astype(np.float32) / 127.5 - 1, "before values are normalised"),
    (np.full((200, 200, 3), np.nan, np.float32), "not finite"),
    (PICTURE.astype(np.int64), "int64 instead of uint8"),
    (PICTURE.astype(np.uint16), "uint16 instead of uint8"),
    (PICTURE > 3, "bool instead of uint8"),
    (PICTURE[None], "one picture at a time"),
    (PICTURE[..., :2], "one picture"),
    (np.zeros((0, 0, 3), np.uint8), "0x0 pixels"),
    (PICTURE.tolist(), "list instead of a numpy array"),
    ("ann/1.jpg", "str instead of a numpy array"),
    (None, "NoneType instead of a numpy array"),
    (Image.fromarray(PICTURE).convert("P"), r"mode P; convert it: image\.convert"),
    (Image.fromarray(PICTURE).convert("CMYK"), "mode CMYK"),
    (turned(), "exif_transpose"),
]


@pytest.mark.parametrize(("image", "said"), REFUSED, ids=[said for _, said in REFUSED])
def test_other_pictures_are_refused_with_a_remedy(image, said, mask):
    with pytest.raises(ImageError, match=said) as refused:
        mask(image, KEYS[0])
    assert refused.value.remedy


@pytest.mark.parametrize(
    "image",
    [
        PICTURE.astype(np.float32) / 255,
        PICTURE / 255,
        np.moveaxis(PICTURE, -1, 0),
        PICTURE[..., 0],
        PICTURE[..., :1],
        np.concatenate([PICTURE, PICTURE[..., :1]], 2),
        PICTURE.astype(np.int32),
        PICTURE > 3,
        Image.fromarray(PICTURE),
        PICTURE[None],
    ],
    ids=["float32", "float64", "chw", "grey", "grey_with_axis", "rgba", "int32", "bool", "pil", "batch"],
)
def test_a_detector_and_augment_image_never_take_another_array_for_a_picture_without_faces(image, catalog):
    for take in (
        refuse_other,
        FaceDetector().detect,
        lambda image: augment_image(image, FakeDetector(), catalog, np.random.default_rng(0)),
    ):
        with pytest.raises(ImageError) as refused:
            take(image)
        assert refused.value.remedy


# ---- copies


def test_a_copy_in_another_process_masks_alike_and_takes_no_networks_along(catalog, cache):
    for mask in (RandomMask(catalog, 1, cache), RandomMask(catalog, 1)):
        mask._detector = None
        other = pickle.loads(pickle.dumps(mask))
        assert other.seed_of("x") == mask.seed_of("x")
    kept = RandomMask(catalog, 1, cache)
    assert np.array_equal(pickle.loads(pickle.dumps(kept))(PICTURE, KEYS[0]), kept(PICTURE, KEYS[0]))


def test_copies_learn_of_the_epoch_and_late_ones_have_their_own(mask):
    one, other = pickle.loads(pickle.dumps(mask)), copy.deepcopy(mask)
    mask.set_epoch(5)
    assert one.epoch == other.epoch == 5
    late = pickle.dumps(mask)
    mask._epoch._path.unlink()
    alone = pickle.loads(late)
    assert alone.epoch == 5
    mask.set_epoch(6)
    assert (alone.epoch, one.epoch) == (5, 6)


def test_settings_make_the_same_transform_again(catalog, cache):
    mask = RandomMask(catalog.select(names=["blue"]), 1, cache, Recipe(recolor_share=1), seed=4)
    mask.set_epoch(2)
    again = RandomMask.of_settings(json.loads(json.dumps(mask.settings())))
    assert np.array_equal(again(PICTURE, KEYS[0]), mask(PICTURE, KEYS[0]))
    assert again.recipe == mask.recipe
    assert RandomMask(catalog, 1, FakeDetector()).settings() is None
    with pytest.raises(ConfigError, match="make it anew"):
        RandomMask.of_settings(None)


def test_an_array_of_a_kind_of_its_own_is_a_picture_too(mask, tmp_path):
    mapped = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=PICTURE.shape)
    mapped[:] = PICTURE
    assert np.array_equal(mask(mapped, KEYS[1]), mask(PICTURE, KEYS[1]))


def test_a_turned_face_for_which_no_mask_is_made_stays_bare(catalog):
    class Back:
        def detect(self, image):
            return [replace(face_at(HeadPose(170, 0, 0), 0.8, (100, 90)))]

    assert np.array_equal(RandomMask(catalog, 1, Back())(PICTURE, "key"), PICTURE)
