# ruff: noqa: E402 - nothing is imported until Albumentations is known to be there
"""In Albumentations, where it is installed: it brings an OpenCV of its own, so it is no requirement of anything."""

import json

import numpy as np
import pytest
from catalogs import small_catalog
from fakes import FakeDetector, pixels

A = pytest.importorskip("albumentations", reason="no requirement; tested in an environment of its own")

from maskgen import RandomMask
from maskgen.catalog.store import Catalog
from maskgen.errors import ConfigError
from maskgen.recognition.cache import CacheInfo, CacheWriter, prepared
from maskgen.recognition.look import look_at
from maskgen.recognition.seen import encoded

PICTURE = pixels("face", (112, 112))
KEY = "ann/1.png"


@pytest.fixture
def mask(tmp_path):
    (tmp_path / "catalog").mkdir()
    prepared(tmp_path / "seen", CacheInfo(pack_sha256="f" * 64, aligned=False))
    with CacheWriter(tmp_path / "seen") as writer:
        writer.append([encoded(KEY, look_at(PICTURE, FakeDetector()))])
    return RandomMask(Catalog.load(small_catalog(tmp_path / "catalog", {"red": 1, "blue": 2})), 1, tmp_path / "seen")


def test_the_picture_gets_a_mask_and_boxes_keypoints_and_masks_pass(mask):
    pipeline = A.Compose(
        [mask.albumentations(), A.HorizontalFlip(p=0)],
        bbox_params=A.BboxParams("pascal_voc", label_fields=["labels"]),
        keypoint_params=A.KeypointParams("xy"),
    )
    regions = np.eye(112, dtype=np.uint8)
    found = pipeline(
        image=PICTURE, key=KEY, mask=regions, bboxes=[(1, 2, 50, 60)], labels=["face"], keypoints=[(30, 40)]
    )
    assert np.array_equal(found["image"], mask(PICTURE, KEY))
    assert (found["image"] != PICTURE).any()
    assert np.array_equal(found["mask"], regions)
    assert np.allclose(found["bboxes"], [(1, 2, 50, 60)])
    assert np.allclose(found["keypoints"], [(30, 40)])
    assert found["key"] == KEY


def test_floats_keep_their_kind(mask):
    found = A.Compose([mask.albumentations()])(image=PICTURE.astype(np.float32) / 255, key=KEY)["image"]
    assert found.dtype == np.float32
    assert np.array_equal(np.round(found * 255).astype(np.uint8), mask(PICTURE, KEY))


def test_a_replay_gives_the_same_picture_also_through_json_and_in_a_later_epoch(mask):
    pipeline = A.ReplayCompose([mask.albumentations(), A.RandomBrightnessContrast(p=1)])
    found = pipeline(image=PICTURE, key=KEY)
    mask.set_epoch(3)
    kept = json.loads(json.dumps(found["replay"]))
    for replay in (found["replay"], kept):
        assert np.array_equal(A.ReplayCompose.replay(replay, image=PICTURE, key=KEY)["image"], found["image"])
    # In another process the transform is made from its settings.
    kept["transforms"][0]["name"] = "0" * 32
    assert np.array_equal(A.ReplayCompose.replay(kept, image=PICTURE, key=KEY)["image"], found["image"])


def test_a_missing_key_is_an_error(mask):
    with pytest.raises(ConfigError, match="without a key"):
        A.Compose([mask.albumentations()])(image=PICTURE)


def test_the_epoch_is_shared(mask):
    transform = mask.albumentations()
    transform.set_epoch(4)
    assert mask.epoch == 4
    assert "RandomMask" in type(mask).__name__
    assert repr(transform)
