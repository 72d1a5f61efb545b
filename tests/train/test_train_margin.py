# ruff: noqa: E402 - nothing is imported that needs torch until torch is known to be there
"""Margins: the formula, its gradient, and classes by sample."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the extra [train]")

from maskgen.train.margin import Centres, Margin, margined, sampled_classes, with_margin
from maskgen.train.settings import MARGINS

ANGLES = torch.linspace(0.05, math.pi - 0.05, 61, dtype=torch.float64)
NAMED = [Margin(*numbers) for numbers in MARGINS.values()]
COMBINED = Margin(0.9, 0.4, 0.15)


@pytest.mark.parametrize("margin", [*NAMED, COMBINED])
def test_the_target_is_the_formulas_up_to_180_degrees(margin):
    angles = ANGLES[margin.m1 * ANGLES + margin.m2 < math.pi]
    expected = torch.cos(margin.m1 * angles + margin.m2) - margin.m3
    assert torch.allclose(margined(torch.cos(angles), margin), expected, atol=1e-12)


@pytest.mark.parametrize("margin", [*NAMED, COMBINED, Margin(2, 0.3, 0)])
def test_a_larger_angle_never_pays(margin):
    values = margined(torch.cos(ANGLES), margin)
    assert (values[1:] < values[:-1]).all()


@pytest.mark.parametrize("margin", [Margin(*MARGINS["arcface"]), COMBINED])
def test_the_gradient_is_that_of_the_formula(margin):
    angles = ANGLES[margin.m1 * ANGLES + margin.m2 < math.pi - 0.01]
    cosine = torch.cos(angles).requires_grad_()
    margined(cosine, margin).sum().backward()
    expected = margin.m1 * torch.sin(margin.m1 * angles + margin.m2) / torch.sin(angles)
    assert torch.allclose(cosine.grad, expected, atol=1e-9)
    assert torch.autograd.gradcheck(lambda x: margined(x, margin), torch.cos(ANGLES[5:-5]).requires_grad_())


def test_insightface_lets_1_through_which_is_less_than_the_formula_below_90_degrees_less_half_the_margin():
    cosine = torch.cos(ANGLES).requires_grad_()
    margined(cosine, Margin(*MARGINS["arcface"])).sum().backward()
    turning, end = math.pi / 2 - 0.25, math.pi - 0.5
    assert (cosine.grad[turning > ANGLES] > 1).all()
    assert (cosine.grad[(turning < ANGLES) & (end > ANGLES)] < 1).all()


def test_only_the_target_of_each_row_is_changed():
    cosine = torch.rand(4, 6, dtype=torch.float64)
    labels = torch.tensor([0, 5, 2, 2])
    changed = with_margin(cosine, labels, Margin(*MARGINS["cosface"])) - cosine
    expected = torch.zeros(4, 6, dtype=torch.float64)
    expected[torch.arange(4), labels] = -0.4
    assert torch.allclose(changed, expected)


def test_a_further_margin_adds_to_m3_of_its_own_rows():
    cosine, labels = torch.rand(4, 6, dtype=torch.float64), torch.tensor([0, 5, 2, 2])
    further = torch.tensor([0, 0.3, 0, 0.1], dtype=torch.float64)
    changed = with_margin(cosine, labels, COMBINED, further=further)
    for row, m3 in enumerate(COMBINED.m3 + further):
        expected = with_margin(cosine, labels, COMBINED._replace(m3=float(m3)))
        assert torch.allclose(changed[row], expected[row])
    some = with_margin(cosine, labels[1:3], COMBINED, torch.tensor([1, 2]), further)
    assert torch.equal(some[1:3], changed[1:3])
    assert torch.equal(some[0], cosine[0]), "a row whose label is not among them stays"


def test_gradients_at_cosine_1_are_finite():
    cosine = torch.ones(3).requires_grad_()
    margined(cosine, Margin(*MARGINS["arcface"])).sum().backward()
    assert torch.isfinite(cosine.grad).all()


def test_the_loss_is_cross_entropy_over_scaled_cosines_by_hand():
    centres = Centres(2, 2, Margin(*MARGINS["arcface"]), 10.0)
    with torch.no_grad():
        centres.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 3.0]]))
    loss = centres(torch.tensor([[5.0, 0.0]]), torch.tensor([0]))  # angle 0 to its centre, 90 degrees to the other
    target = 10 * math.cos(0.5 + math.acos(1 - 1e-6))
    assert loss.item() == pytest.approx(math.log(1 + math.exp(0 - target)), rel=1e-3)


def test_a_sample_of_all_classes_is_no_sample():
    centres = Centres(7, 4, Margin(*MARGINS["arcface"]), 64.0)
    embeddings, labels = torch.randn(5, 4), torch.tensor([0, 6, 3, 3, 1])
    classes = sampled_classes(labels, 7, 1.0, torch.Generator().manual_seed(0))
    assert torch.equal(classes, torch.arange(7))
    assert torch.allclose(centres(embeddings, labels, classes), centres(embeddings, labels))


@pytest.mark.parametrize("rate", [0.01, 0.3, 0.9])
def test_a_sample_holds_every_label_and_the_share_asked_for(rate):
    labels = torch.tensor([90, 3, 3, 41])
    classes = sampled_classes(labels, 100, rate, torch.Generator().manual_seed(0))
    assert {3, 41, 90} <= set(classes.tolist())
    assert len(classes) == max(round(rate * 100), 3)
    assert (classes[1:] > classes[:-1]).all()
    again = sampled_classes(labels, 100, rate, torch.Generator().manual_seed(0))
    assert torch.equal(classes, again)


def test_negatives_change_from_one_draw_to_the_next():
    generator = torch.Generator().manual_seed(0)
    draws = [sampled_classes(torch.tensor([0]), 1000, 0.1, generator) for _ in range(50)]
    counts = np.bincount(torch.cat(draws).numpy(), minlength=1000)
    assert counts[0] == 50
    assert (counts[1:] > 0).mean() > 0.98


def test_the_loss_of_a_sample_is_that_of_its_classes_alone():
    centres = Centres(9, 4, Margin(*MARGINS["arcface"]), 8.0)
    embeddings, labels, classes = torch.randn(2, 4), torch.tensor([8, 2]), torch.tensor([1, 2, 8])
    few = Centres(3, 4, Margin(*MARGINS["arcface"]), 8.0)
    with torch.no_grad():
        few.weight.copy_(centres.weight[classes])
    assert torch.allclose(centres(embeddings, labels, classes), few(embeddings, torch.tensor([2, 1])))
