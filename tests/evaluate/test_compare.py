"""Millions of pairs, in blocks: the same figures as written out for few."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score, roc_curve

from maskgen.datasets.pairs import Pairs, folds_of
from maskgen.evaluate import compare as comparing
from maskgen.evaluate import figures
from maskgen.evaluate.compare import Embeddings, compare


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def drawn(pairs=4000, people=40, takes=5, seed=0, spread=1.6):
    rng = np.random.default_rng(seed)
    whose = np.repeat(np.arange(people), takes)
    clean = unit(rng.normal(size=(people, 16))[whose] + rng.normal(0, spread / 2, (len(whose), 16)))
    masked = unit(clean + rng.normal(0, 0.2, clean.shape))
    first, second = rng.integers(0, len(whose), (2, pairs))
    second = np.where(np.arange(pairs) % 2, second, first // takes * takes + second % takes)
    is_same = whose[first] == whose[second]
    names = tuple(map(str, range(len(whose))))
    return Pairs(names, first, second, is_same, folds_of(is_same), whose), Embeddings(clean, masked)


def plain(scores, is_same, folds):
    """The figures written out, with nothing sorted once, nothing in blocks."""
    far, tar, _ = roc_curve(is_same, scores, drop_intermediate=False)
    gap = far - (1 - tar)
    after = int(np.argmax(gap >= 0))
    share = -gap[after - 1] / (gap[after] - gap[after - 1]) if gap[after] else 1.0
    eer = far[after - 1] + share * (far[after] - far[after - 1])
    accuracies = []
    for fold in np.unique(folds):
        train, test = folds != fold, folds == fold
        distances = 2 - 2 * scores
        shares = [((distances[train] < t) == is_same[train]).mean() for t in np.arange(0, 4, 0.01)]
        best = np.arange(0, 4, 0.01)[int(np.argmax(shares))]
        accuracies.append(((distances[test] < best) == is_same[test]).mean())
    return {
        "auc": roc_auc_score(is_same, scores),
        "eer": eer,
        "accuracy": np.mean(accuracies),
        **{f"tar@{limit:g}": tar[far <= limit * (1 + 1e-9)].max() for limit in figures.FARS},
    }


@pytest.mark.parametrize("block", [1, 7, 512, 100_000])
@pytest.mark.parametrize("condition", ["none", "probe", "both"])
def test_pairs_in_blocks_give_the_figures_written_out(block, condition, monkeypatch):
    monkeypatch.setattr(comparing, "_BLOCK", block)
    pairs, embeddings = drawn(1000 if block == 1 else 4000)
    first = embeddings.masked if condition == "both" else embeddings.clean
    second = embeddings.clean if condition == "none" else embeddings.masked
    scores = np.sum(first[pairs.first] * second[pairs.second], axis=1)
    expected = plain(scores, pairs.is_same, pairs.folds)
    (report,), (curve,) = compare("m", embeddings, pairs, (condition,))
    found = report.figures
    assert (found.auc, found.eer, found.accuracy) == pytest.approx([expected[k] for k in ("auc", "eer", "accuracy")])
    for rate in found.tar_at_far:
        assert rate.rate is None or rate.rate == pytest.approx(expected[f"tar@{rate.far:g}"])
    assert len(curve.far) <= 1000


def test_scores_with_many_ties_give_the_figures_written_out():
    rng = np.random.default_rng(0)
    is_same = rng.random(3000) < 0.4
    scores = (rng.normal(0.2 * is_same, 0.2).clip(-1, 1)).round(1).astype(np.float32)
    folds = folds_of(is_same)
    expected, found = plain(scores, is_same, folds), figures.measure(scores, is_same, folds)
    assert (found.auc, found.eer, found.accuracy) == pytest.approx([expected[k] for k in ("auc", "eer", "accuracy")])
    far, tar, thresholds = roc_curve(is_same, scores, drop_intermediate=False)
    for one, other in zip(figures.roc(scores, is_same), (far, tar, thresholds), strict=True):
        assert one == pytest.approx(other)


def test_pairs_that_cannot_be_compared_are_left_out():
    pairs, embeddings = drawn()
    usable = np.ones(len(pairs.names), bool)
    usable[::7] = False
    kept = usable[pairs.first] & usable[pairs.second]
    (report,), _ = compare("m", embeddings._replace(is_usable=usable), pairs)
    scores = np.sum(embeddings.clean[pairs.first[kept]] * embeddings.clean[pairs.second[kept]], axis=1)
    assert report.figures.auc == pytest.approx(roc_auc_score(pairs.is_same[kept], scores))
    assert (report.left_out, report.figures.genuine) == ((~kept).sum(), pairs.is_same[kept].sum())


def test_a_thinned_roc_lies_on_the_whole_one_from_end_to_end():
    rng = np.random.default_rng(0)
    is_same = rng.random(50_000) < 0.5
    whole = figures.roc(rng.normal(is_same, 1), is_same)
    thin = figures.thinned(whole, 200)
    assert 100 < len(thin.far) <= 200
    assert (thin.far[0], thin.tar[0], thin.far[-1], thin.tar[-1]) == (0, 0, 1, 1)
    assert thin.tar[1] == whole.tar[whole.far == 0].max() > 0, "what is accepted without a false match"
    points = set(zip(whole.far.tolist(), whole.tar.tolist(), strict=True))
    assert set(zip(thin.far.tolist(), thin.tar.tolist(), strict=True)) <= points


def test_masked_figures_need_masked_embeddings():
    pairs, embeddings = drawn(100)
    with pytest.raises(ValueError, match="needs masked crops"):
        compare("m", Embeddings(embeddings.clean), pairs, ("both",))
