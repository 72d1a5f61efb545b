"""The arithmetic of the experiment that recipes of fine-tuning are compared by."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskgen.evaluate.figures import measure
from tests.bench import recipe


@pytest.fixture
def people():
    """Names and identities of 12 people with 2 to 4 pictures."""
    counts = np.random.default_rng(1).integers(2, 5, 12)
    identities = [f"person_{who:02d}" for who, count in enumerate(counts) for _ in range(count)]
    return [f"{identity}/{at}" for at, identity in enumerate(identities)], identities


def scores_of(judges):
    """Genuine pairs score higher, with ties."""
    return np.random.default_rng(2).normal(judges.is_same, 1).round(1)


@pytest.mark.parametrize("choosing", [10, 1000])
def test_nobody_is_in_two_parts_of_the_people(choosing):
    people = [f"person_{number}" for number in range(100)]
    parts = recipe.split(people, 40, choosing)
    everybody = [person for part in parts.values() for person in part]
    assert len(everybody) == len(set(everybody))
    assert set(everybody) <= set(people)
    assert {part: len(names) for part, names in parts.items()} == {
        "learnt": 40,
        "choosing": min(choosing, 35),
        "final": 25,
    }


def test_pairs_are_genuine_where_one_person_is_on_both_and_no_genuine_pair_comes_twice(people):
    judges = recipe.judges_of(*people)
    _, who = np.unique(people[1], return_inverse=True)
    assert (judges.is_same == (who[judges.first] == who[judges.second])).all()
    genuine = list(zip(judges.first[judges.is_same], judges.second[judges.is_same], strict=True))
    sizes = np.bincount(who)
    assert len(genuine) == len(set(genuine)) == (sizes * (sizes - 1) // 2).sum()
    assert (~judges.is_same).sum() == recipe.IMPOSTORS * len(genuine)


def test_the_first_auc_is_that_of_maskgen_eval_and_the_others_are_of_the_same_people_for_all(people, monkeypatch):
    monkeypatch.setattr(recipe, "RESAMPLES", 20)
    judges = recipe.judges_of(*people)
    scores = scores_of(judges)
    found = recipe.aucs(scores, judges)
    assert found[0] == pytest.approx(measure(scores, judges.is_same).auc, abs=1e-12)
    assert len(found) == 21
    assert len(set(found)) > 10
    assert recipe.aucs(2 * scores, recipe.judges_of(*people)) == found


def test_a_gain_is_in_points_over_the_mean_of_seeds_and_its_interval_over_the_people_drawn():
    before = [np.full(101, 0.80), np.full(101, 0.82)]
    after = [np.concatenate([[0.81], 0.80 + np.arange(100) / 1000]), np.concatenate([[0.85], np.full(100, 0.82)])]
    change, low, high = recipe.gain(after, before)
    assert change == pytest.approx(2)
    assert (low, high) == pytest.approx((0.12375, 4.82625))


@pytest.mark.parametrize(
    ("masked", "unmasked", "accepted"),
    [
        ((0.5, 0.1, 0.9), [(-0.2, -0.5, 0.1)], True),
        ((0.5, -0.1, 0.9), [(0.2, 0.1, 0.3)], False),
        ((0.5, 0.1, 0.9), [(-0.2, -0.5, 0.1), (-0.8, -1.1, -0.5)], False),
    ],
)
def test_accepted_is_what_gains_for_sure_and_loses_under_a_point_for_sure(masked, unmasked, accepted):
    assert recipe.is_accepted(masked, unmasked) is accepted


def screened(name, change, accepted=True):
    return {"name": name, "masked": (change, change - 0.1, change + 0.1), "accepted": accepted}


def test_finalists_are_the_best_and_all_that_passed_together_of_one_factor_the_best():
    rows = [
        screened("rate-0.01", 1),
        screened("rate-0.1", 2),
        screened("clip-50", 0.5),
        screened("distill-3", 3, False),
    ]
    joined, best = recipe.finalists([screened("today", 0), *rows])
    assert joined.differences == {"--lr": "0.1", "--clip": "50"}
    assert best.name == "rate-0.1"


def test_a_single_recipe_that_passed_is_a_finalist_once():
    assert [each.name for each in recipe.finalists([screened("designs-one", 1)])] == ["designs-one"]
    assert recipe.finalists([screened("designs-one", 1, False)]) == []


def test_all_recipes_and_finalists_are_at_most_sixty_fine_tunings():
    screening = (1 + len(recipe.RECIPES)) * len(recipe.SCREENING)
    assert screening + 4 * len(recipe.FINAL) - 2 * len(recipe.SCREENING) <= recipe.MOST


def test_each_recipe_has_a_name_of_its_own_and_differs_from_todays_in_one_factor():
    names = [each.name for each in recipe.RECIPES]
    assert len(names) == len(set(names))
    assert all(each.differences for each in recipe.RECIPES)
    assert all(each.copies in recipe.COPIES for each in recipe.RECIPES)


def test_a_table_has_as_many_cells_in_every_row():
    measured = {"seeds": 2, "auc": {"none": 90.0, "probe": 80.0, "both": 70.0}, "seconds": 60.0}
    row = {**measured, "name": "rate-0.1", "masked": (1.0, 0.5, 1.5), "masked_by_seed": [0.8, 1.2]}
    row |= {"unmasked": (0, -0.1, 0.1), "unmasked_from_base": (0, -0.1, 0.1), "gradient_norm": 60.0, "accepted": True}
    lines = recipe.markdown([{**measured, "name": "base"}, row, {"name": "rate-9", "failed": True}]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "+1.00 [+0.50, +1.50]" in lines[3]


def write_result(work, name, seed, part, masked):
    """What a run leaves behind: AUCs of 0.9 bare and `masked` else, in all draws."""
    auc = {c: [0.9 if c == "none" else masked] * (1 + recipe.RESAMPLES) for c in recipe.CONDITIONS}
    found = {"name": name, "seed": seed, "part": part, "failed": False, "seconds": 60.0, "auc": auc}
    found |= {"gradient_norms": [50.0, 70.0], "best_epoch": 3, "steps": 240}
    (work / "results").mkdir(exist_ok=True)
    (work / "results" / f"{name}-s{seed}-{part}.json").write_text(json.dumps(found))


def test_what_is_known_so_far_is_a_table_and_names_the_finalists(tmp_path):
    bench = recipe.Bench(Path(), Path(), tmp_path, "0.125", 10, 10, 0, 1, 1)
    for seed in recipe.SCREENING:
        for name, masked in (("base", 0.6), ("today", 0.8), ("rate-0.01", 0.82), ("clip-50", 0.79)):
            write_result(tmp_path, name, seed, "choosing", masked)
    write_result(tmp_path, "rate-0.1", 0, "choosing", 0.9)  # with one seed nothing is accepted
    assert [each.name for each in recipe.report(bench)] == ["rate-0.01"]
    rows = {row["name"]: row for row in json.loads((tmp_path / "recipe.json").read_text())["choosing"]}
    assert {name: row["seeds"] for name, row in rows.items()} == {
        "base": 2,
        "today": 2,
        "rate-0.01": 2,
        "rate-0.1": 1,
        "clip-50": 2,
    }
    assert recipe.is_hopeless(rows["clip-50"])
    assert not recipe.is_hopeless(rows["rate-0.1"])
    assert rows["rate-0.01"]["masked"] == pytest.approx((2, 2, 2))
    assert [name for name, row in rows.items() if row.get("accepted")] == ["rate-0.01"]
    assert "| rate-0.01 | 2 | 90.00 | 82.00 | 82.00 | +2.00 [+2.00, +2.00] |" in (tmp_path / "recipe.md").read_text()
