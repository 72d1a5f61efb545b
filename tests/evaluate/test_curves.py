"""Points of an ROC that are kept: few, on the curve, from end to end."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("sklearn", reason="evaluation needs the extra [eval]")

from maskgen.evaluate import curves, figures
from maskgen.evaluate.results import ConditionReport


def scored(genuine, impostor, seed=0):
    rng = np.random.default_rng(seed)
    scores = np.append(rng.normal(0.5, 0.3, genuine), rng.normal(0, 0.3, impostor))
    return np.round(scores, 3), np.arange(genuine + impostor) < genuine


@settings(max_examples=30)
@given(st.integers(1, 3000), st.integers(1, 3000), st.integers(0, 100))
def test_points_are_few_and_on_the_curve_and_have_the_highest_tar_of_their_far(genuine, impostor, seed):
    curve = figures.roc(*scored(genuine, impostor, seed))
    points = curves.points_of(curve)
    assert len(points) <= curves.MOST_POINTS
    assert (points[0], points[-1]) == ((0.0, 0.0), (1.0, 1.0))
    assert list(points) == sorted(points)
    assert all(tar == curve.tar[curve.far == far].max() for far, tar in points[1:])


def test_of_few_pairs_no_corner_is_lost():
    curve = figures.roc(np.array([0.9, 0.8, 0.7, 0.2, 0.1]), np.array([True, False, True, False, True]))
    assert curves.points_of(curve) == ((0, 0), (0, pytest.approx(1 / 3)), (0.5, pytest.approx(2 / 3)), (1, 1))


def test_of_many_pairs_each_tenth_of_far_has_points():
    curve = figures.roc(*scored(20_000, 200_000))
    far = np.array([far for far, _ in curves.points_of(curve)])
    for decade in range(-4, 0):
        assert np.sum((far > 10.0**decade) & (far <= 10.0 ** (decade + 1))) >= 20


def test_a_report_gets_its_own_curve_and_survives_a_file():
    scores, is_same = scored(50, 50)
    bare = ConditionReport(model="m", condition="none", left_out=0, figures=figures.measure(scores, is_same))
    (report,) = curves.with_roc([bare], [figures.roc(scores, is_same)])
    assert bare.roc == ()
    assert report.roc == curves.points_of(figures.roc(scores, is_same))
    assert ConditionReport.model_validate_json(report.model_dump_json()) == report
