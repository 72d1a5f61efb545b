"""Figures at the threshold of unmasked pairs, and of parts of the pairs: worked out by hand."""

import numpy as np
import pytest

from maskgen.evaluate import figures
from maskgen.evaluate.figures import Scored
from maskgen.evaluate.parts import Traits, parts_of
from maskgen.evaluate.results import AtBareThreshold

# 1000 impostors 0.000 ... 0.999; ten genuine pairs.
IS_SAME = np.r_[np.ones(10, bool), np.zeros(1000, bool)]
IMPOSTORS = np.arange(1000) / 1000
BARE = np.r_[[0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.9905, 0.9915, 0.9925, 0.9985], IMPOSTORS]
# Masked: all scores fall by 0.2, but four genuine ones stand at 0.995, and 30 impostors rise to it.
MASKED = BARE - 0.2
MASKED[:4] = 0.995
MASKED[10:40] = 0.995


def curve(scores):
    return Scored.of(scores, IS_SAME).roc()


def test_the_threshold_is_the_score_of_the_first_impostor_that_must_be_rejected():
    # Ten of 1000 impostors may be accepted, 0.990 to 0.999.
    assert figures.threshold_at(curve(BARE), 0.01) == 0.989
    assert figures.threshold_at(curve(BARE), 0.0109) == 0.989
    assert figures.threshold_at(curve(BARE), 0.011) == 0.988


def test_impostors_of_one_score_are_rejected_together():
    scores = np.r_[[0.8, 0.6], [0.9, 0.7, 0.7, 0.7, 0.1]]
    bare = Scored.of(scores, np.array([True] * 2 + [False] * 5)).roc()
    # Two fifths would do, but 0.7 stands for three: 0.8 is accepted, 0.6 is not.
    assert figures.threshold_at(bare, 0.4) == 0.7
    assert figures.rates_above(bare, 0.7) == (0.2, 0.5)


def test_fnmr_and_fmr_of_masked_pairs_at_the_threshold_of_unmasked_ones_by_hand():
    found = figures.at_bare_threshold(curve(MASKED), curve(BARE), 1000)
    # 1000 impostors support an FMR of 10/1000. Above 0.989 lie four masked genuine pairs and the 30 impostors.
    assert (found.bare_fmr, found.threshold) == (0.01, 0.989)
    assert found.fnmr == pytest.approx(0.6)
    assert found.fmr == pytest.approx(0.03)


def test_at_the_threshold_of_unmasked_pairs_they_have_the_tar_of_this_far():
    bare = figures.at_bare_threshold(curve(BARE), curve(BARE), 1000)
    assert 1 - bare.fnmr == pytest.approx(figures.tar_at(curve(BARE), 0.01, 1000).rate)
    assert bare.fmr == 0.01


@pytest.mark.parametrize(
    ("impostors", "fmr"), [(99, None), (100, 0.1), (3000, 1 / 300), (1_000_000, 1e-5), (10**9, 1e-5)]
)
def test_the_fmr_is_1e_5_or_the_lowest_that_the_impostors_support(impostors, fmr):
    assert figures.bare_fmr(impostors) == (None if fmr is None else pytest.approx(fmr))


def test_too_few_impostors_for_a_threshold_are_said():
    few = Scored.of(np.array([0.9, 0.1, 0.2]), np.array([True, False, False])).roc()
    found = figures.at_bare_threshold(few, few, 2)
    assert (found.fnmr, found.reason) == (None, "2 impostor pairs, 100 needed")


# ---- parts


def named(parts):
    return {(part.by, part.part): part for part in parts}


def test_parts_by_yaw_and_size_are_by_the_face_that_is_turned_more_and_by_the_smaller_one():
    traits = Traits(np.float32([-50, 10, 20, 5]), np.float32([100, 20, 300, 64]), (None,) * 4, (None,) * 4)
    first, second = np.array([0, 2, 3]), np.array([1, 3, 3])
    found = named(
        parts_of(
            np.array([0.9, 0.1, 0.2]), np.array([True, False, True]), first, second, traits, "none",
            AtBareThreshold(bare_fmr=0.1, threshold=0.5),
        )
    )  # fmt: skip
    assert {key: (part.genuine, part.impostor) for key, part in found.items()} == {
        ("yaw", "45..90"): (1, 0), ("yaw", "15..30"): (0, 1), ("yaw", "0..15"): (1, 0),
        ("size", "0..32"): (1, 0), ("size", "64..128"): (1, 1),
    }  # fmt: skip


def test_parts_by_wear_and_kind_are_by_the_mask_of_the_probe_and_their_figures_by_hand():
    # Pictures 0 and 1 are probes: one in a surgical mask worn well, one in a cloth mask under the nose.
    traits = Traits(np.zeros(2, np.float32), np.full(2, 99, np.float32), ("correct", "nose_out"), ("surgical", "cloth"))
    # Of 20 pairs with each probe ten are genuine. Surgical: genuine 0.1 .. 1.0, impostors all 0.55; cloth: 0.2 and 0.8.
    second = np.repeat([0, 1], 20)
    is_same = np.tile(np.repeat([True, False], 10), 2)
    scores = np.r_[np.arange(1, 11) / 10, np.full(10, 0.55), np.full(10, 0.2), np.full(10, 0.8)]
    found = named(
        parts_of(
            scores, is_same, np.zeros(40, int), second, traits, "probe", AtBareThreshold(bare_fmr=0.1, threshold=0.5)
        )
    )
    surgical, cloth = found["kind", "surgical"], found["kind", "cloth"]
    assert (surgical.genuine, surgical.impostor) == (10, 10)
    assert (surgical.auc, surgical.fnmr, surgical.fmr) == pytest.approx((0.5, 0.5, 1.0))
    assert (cloth.auc, cloth.fnmr, cloth.fmr) == pytest.approx((0, 1, 1))
    assert found["wear", "nose_out"].fnmr == 1
    assert found["yaw", "0..15"].genuine == 20


@pytest.mark.parametrize("condition", ["none", "both"])
def test_unmasked_pairs_have_no_parts_by_masks_and_few_pairs_no_figures(condition):
    traits = Traits(np.zeros(2, np.float32), np.full(2, 99, np.float32), ("correct",) * 2, ("cloth",) * 2)
    found = named(
        parts_of(
            np.array([0.9, 0.1]), np.array([True, False]), np.array([0, 0]), np.array([1, 1]), traits, condition,
            AtBareThreshold(bare_fmr=0.1, threshold=0.5),
        )
    )  # fmt: skip
    assert ({by for by, _ in found} == {"yaw", "size"}) == (condition == "none")
    assert {(part.auc, part.fnmr, part.fmr) for part in found.values()} == {(None, None, None)}
