"""Intervals: people are drawn, pairs follow with the weights of both."""

import numpy as np
import pytest

from maskgen.datasets.pairs import Pairs, consecutive_folds
from maskgen.evaluate import bootstrap, figures
from maskgen.evaluate.bootstrap import Resampling, intervals
from maskgen.evaluate.compare import bootstrap_of
from maskgen.evaluate.figures import Scored


def people_and_scores(people=30, takes=4, seed=0):
    """All pairs of pictures: (who (2, P), is_same, scores), each person with a share of luck in all their pairs."""
    rng = np.random.default_rng(seed)
    whose = np.repeat(np.arange(people), takes)
    first, second = np.triu_indices(len(whose), 1)
    luck = rng.normal(0, 0.3, people)
    is_same = whose[first] == whose[second]
    scores = is_same + luck[whose[first]] + luck[whose[second]] + rng.normal(0, 0.4, len(first))
    return np.stack([whose[first], whose[second]]), is_same, scores


def test_a_genuine_pair_weighs_as_its_person_and_an_impostor_pair_as_both():
    # People 7, 9 and 4.
    first, second = np.array([7, 7, 9, 4]), np.array([7, 9, 9, 7])
    resampling = Resampling.of(first, second, 200)
    assert resampling.number == 3
    seen = set()
    for weights in resampling.weights():
        of_7, of_7_and_9, of_9, of_4_and_7 = weights.tolist()
        of_4 = 3 - of_7 - of_9
        assert (of_7_and_9, of_4_and_7) == (of_7 * of_9, of_4 * of_7)
        seen.add((of_7, of_9, of_4))
    assert len(seen) == 10, "all ways to draw three of three"


def test_figures_under_weights_are_those_of_pairs_that_stand_there_as_often():
    who, is_same, scores = people_and_scores(people=8, takes=3)
    scores = scores.round(1)  # with ties
    folds = consecutive_folds(len(scores), 3)
    (weights,) = Resampling.of(*who, 1).weights()
    repeated = np.repeat(np.arange(len(scores)), weights)
    found, plain = Scored.of(scores, is_same, folds), Scored.of(scores[repeated], is_same[repeated], folds[repeated])
    curve, expected = found.roc(weights), plain.roc()
    assert figures.area(curve) == pytest.approx(figures.area(expected))
    assert figures.equal_error_rate(curve) == pytest.approx(figures.equal_error_rate(expected))
    for far in (0.3, 0.1, 0.01):
        assert figures.tar_at(curve, far, 10**9).rate == pytest.approx(figures.tar_at(expected, far, 10**9).rate)
        assert figures.threshold_at(curve, far) == figures.threshold_at(expected, far)
    assert found.accuracies(weights) == pytest.approx(plain.accuracies())


def measured(who, is_same, scores, resamples=200, seed=0):
    scored = Scored.of(scores, is_same)
    found = figures.figures_of(scored, scored.roc())
    found = found.model_copy(update={"at_bare": figures.at_bare_threshold(scored.roc(), scored.roc(), scored.impostor)})
    return found, intervals(found, scored, scored, Resampling.of(*who, resamples, seed))


def test_an_interval_holds_its_figure_and_refused_figures_have_none():
    found, drawn = measured(*people_and_scores())
    assert set(drawn) == {"auc", "eer", "tar@0.1", "tar@0.01", "fmr100", "fnmr"}
    assert found.fmr1000.rate is not None or "fmr1000" not in drawn
    for name, value in (("auc", found.auc), ("eer", found.eer), ("fnmr", found.at_bare.fnmr)):
        low, high = drawn[name]
        assert low < value < high


def test_the_same_seed_draws_the_same_people_and_another_seed_others():
    given = people_and_scores(people=12)
    assert measured(*given, resamples=20)[1] == measured(*given, resamples=20)[1]
    assert measured(*given, resamples=20)[1] != measured(*given, resamples=20, seed=1)[1]


def test_intervals_are_as_wide_as_figures_differ_between_other_people_and_wider_than_of_drawn_pairs():
    areas = [figures.measure(scores, same).auc for _, same, scores in (people_and_scores(seed=s) for s in range(60))]
    spread = np.std(areas)
    widths = []
    for seed in range(3):
        (low, high) = measured(*people_and_scores(seed=seed), resamples=100)[1]["auc"]
        widths.append((high - low) / (2 * 1.96))
    assert 0.6 * spread < np.mean(widths) < 1.6 * spread
    # As if all pairs were independent: a fraction of that.
    _, is_same, scores = people_and_scores()
    rng = np.random.default_rng(0)
    drawn = (rng.integers(0, len(scores), len(scores)) for _ in range(50))
    naive = np.std([figures.measure(scores[some], is_same[some]).auc for some in drawn])
    assert naive < 0.6 * spread


@pytest.mark.parametrize(
    ("people", "identities", "resamples", "reason"),
    [
        (9, True, None, "9 people, 10 needed"),
        (12, False, None, "nobody said"),
        (12, True, 0, "nobody asked for them"),
        (12, True, None, None),
    ],
)
def test_why_there_are_no_intervals_is_said(people, identities, resamples, reason):
    numbers = np.arange(people)
    pairs = Pairs(
        tuple(map(str, range(2 * people))),
        np.r_[2 * numbers, 2 * numbers],
        np.r_[2 * numbers + 1, np.roll(2 * numbers, 1)],
        np.repeat([True, False], people),
        np.zeros(2 * people, int),
        np.repeat(numbers, 2) if identities else None,
        "" if identities else "nobody said",
    )
    how = bootstrap_of(pairs, np.ones(2 * people, bool), resamples)
    assert how.reason == reason
    assert how.resamples == (0 if reason else 1000)


def test_people_without_a_pair_are_not_drawn():
    resampling = Resampling.of(np.array([3, 90]), np.array([3, 5]), 30)
    assert resampling.number == 3
    assert max(int(weights.max()) for weights in resampling.weights()) <= 3
    assert bootstrap.PEOPLE_NEEDED == 10


def test_masked_pairs_have_an_fmr_interval_and_their_threshold_is_drawn_with_the_unmasked_ones():
    who, is_same, scores = people_and_scores()
    bare, masked = Scored.of(scores, is_same), Scored.of(scores - 0.3, is_same)
    found = figures.figures_of(masked, masked.roc()).model_copy(
        update={"at_bare": figures.at_bare_threshold(masked.roc(), bare.roc(), bare.impostor)}
    )
    drawn = intervals(found, masked, bare, Resampling.of(*who, 100))
    for name, value in (("fnmr", found.at_bare.fnmr), ("fmr", found.at_bare.fmr)):
        low, high = drawn[name]
        assert low <= value <= high
        assert low < high
    # All scores fall alike: at its own thresholds nothing changes, at those of the unmasked pairs it does.
    assert drawn["auc"] == pytest.approx(intervals(found, bare, bare, Resampling.of(*who, 100))["auc"])
    assert drawn["fnmr"] != intervals(found, bare, bare, Resampling.of(*who, 100))["fnmr"]
