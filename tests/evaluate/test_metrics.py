"""Intervals and group metrics, held against published values, closed forms and simulation."""

import numpy as np
import pytest
from scipy import stats

from spatial_ssrl.evaluate.metrics import Metric, Part, all_right, average, bootstrap, mean, weighted
from spatial_ssrl.evaluate.question import Verdict
from spatial_ssrl.statistics import wilson


def verdicts(scores, clusters=None, categories=None):
    clusters = clusters or [str(i) for i in range(len(scores))]
    categories = categories or ["c"] * len(scores)
    return [
        Verdict(str(i), 0, k, c, {"group": c}, "A", (), "A", None, "A", float(s), 1.0, "")
        for i, (s, c, k) in enumerate(zip(scores, clusters, categories, strict=True))
    ]


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    # Newcombe 1998, Statistics in Medicine 17, table I, method 3
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_wilson_against_published_values(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)
    assert mean("m", verdicts([1] * correct + [0] * (n - correct))).interval() == pytest.approx((low, high), abs=5e-5)


def test_wilson_of_nothing_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_bootstrap_agrees_with_scipys_where_nothing_is_clustered():
    scores = np.random.default_rng(0).random(300)
    ours = mean("m", verdicts(scores)).interval()
    theirs = stats.bootstrap((scores,), np.mean, method="percentile", n_resamples=5000, rng=1).confidence_interval
    assert ours == pytest.approx(tuple(theirs), abs=0.006)


def test_copies_of_a_question_in_its_cluster_narrow_nothing():
    scores = np.random.default_rng(1).integers(0, 2, 200)
    alone = mean("m", verdicts(scores))
    copied = mean("m", verdicts(np.repeat(scores, 5), [str(i // 5) for i in range(1000)]))
    unaware = mean("m", verdicts(np.repeat(scores, 5)))
    width = lambda metric: np.subtract(*metric.interval()[::-1])  # noqa: E731
    assert width(copied) == pytest.approx(width(alone), rel=0.1)
    assert width(unaware) < 0.6 * width(copied)


def test_clustered_interval_covers_the_truth():
    """200 data sets of 60 clusters with 1 to 8 questions whose difficulty is shared: about 95% hold the truth, 0.5."""
    rng, hits = np.random.default_rng(2), 0
    for _ in range(200):
        sizes, ease = rng.integers(1, 9, 60), rng.beta(1, 1, 60)
        scores = np.concatenate([rng.random(n) < p for n, p in zip(sizes, ease, strict=True)])
        clusters = np.repeat(np.arange(60), sizes).astype(str).tolist()
        low, high = mean("m", verdicts(scores, clusters)).interval()
        hits += low <= 0.5 <= high
    assert 0.90 <= hits / 200 <= 0.99


@pytest.mark.parametrize("score", [0, 1])
def test_unanimous_clusters_do_not_make_a_point(score):
    low, high = mean("m", verdicts([score] * 20, [str(i // 2) for i in range(20)])).interval()
    assert (low, high) == pytest.approx(wilson(10 * score, 10))


def test_weighted_and_average_and_groups():
    v = verdicts([1, 0, 1, 1], ["a", "a", "b", "b"], ["x", "x", "y", "y"])
    assert weighted("macro", [(0.5, v[:2]), (0.5, v[2:])]).value == 0.75
    assert all_right("groups", v, lambda w: w.fields["group"]).value == 0.5
    assert average("both", [mean("m", v), all_right("groups", v, lambda w: w.fields["group"])]).value == 0.625


def test_pairs_of_metrics_see_the_same_draws():
    scores = np.random.default_rng(3).random(50)
    names = tuple(str(i) for i in range(50))
    a, b = (Metric("m", (Part(1.0, s, names),)) for s in (scores, scores + 0.125))
    first, second = bootstrap([a, b])
    assert np.allclose(second - first, 0.125)
