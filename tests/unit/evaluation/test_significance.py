from __future__ import annotations

import numpy as np
import pytest

from visrec.evaluation import significance
from visrec.evaluation.significance import Spread, bootstrap, bootstraps, seed_noise


def ndcg_like(rng: np.random.Generator, hit_rate: float, shape: tuple[int, ...]) -> np.ndarray:
    """nDCG@20 of one held-out item: mostly 0, else 1 / log2(rank + 1) of a rank in 1 ... 20."""
    rank = rng.integers(1, 21, size=shape)
    return np.where(rng.random(shape) < hit_rate, 1 / np.log2(rank + 1), 0.0)


TRUE_GAIN = float(np.mean(1 / np.log2(np.arange(1, 21) + 1)))  # of a hit at a random rank


@pytest.mark.parametrize(("hit_rate", "n_users"), [(0.04, 200), (0.1, 100), (0.1, 300), (0.5, 100)])
def test_intervals_of_a_mean_ndcg_hold_the_truth_about_as_often_as_they_say(hit_rate, n_users):
    rng = np.random.default_rng(0)
    truth = hit_rate * TRUE_GAIN
    found = [bootstrap(ndcg_like(rng, hit_rate, (n_users,)), seed=n) for n in range(400)]
    assert 0.90 <= np.mean([one.low <= truth <= one.high for one in found]) <= 0.98


def test_the_corrected_interval_is_that_of_scipy():
    from scipy.stats import bootstrap as of_scipy

    values = ndcg_like(np.random.default_rng(0), 0.1, (150,))
    ours = bootstrap(values, seed=1, resamples=20_000)
    theirs = of_scipy((values,), np.mean, n_resamples=20_000, method="BCa", rng=np.random.default_rng(2))
    width = ours.high - ours.low
    assert ours.low == pytest.approx(theirs.confidence_interval.low, abs=0.03 * width)
    assert ours.high == pytest.approx(theirs.confidence_interval.high, abs=0.03 * width)


def test_the_interval_of_a_skewed_metric_reaches_further_up_than_down():
    values = ndcg_like(np.random.default_rng(0), 0.05, (200,))
    found = bootstrap(values)
    assert found.high - found.mean > 1.1 * (found.mean - found.low)


@pytest.mark.parametrize("n_seeds", [3, 5])
@pytest.mark.parametrize("seed_sd", [0.0, 0.01])
def test_intervals_over_users_and_seeds_hold_the_truth_where_those_over_users_alone_may_not(n_seeds, seed_sd):
    rng = np.random.default_rng(0)
    truth = 0.1 * TRUE_GAIN
    over_both, over_users = [], []
    for n in range(400):
        effect = rng.normal(0, seed_sd, size=(n_seeds, 1))  # of the seed, on all users alike
        values = ndcg_like(rng, 0.1, (n_seeds, 300)) + effect
        mean = values.mean(axis=0)
        for found, noise in ((over_both, [seed_noise(values)]), (over_users, [])):
            one = bootstrap(mean, noise=noise, seed=n, resamples=500)
            found.append(one.low <= truth <= one.high)
    assert 0.90 <= np.mean(over_both) <= 0.985
    if seed_sd > 0:
        assert np.mean(over_users) < 0.85


def test_the_noise_of_seeds_is_the_standard_error_of_their_mean():
    rng = np.random.default_rng(0)
    user, effect = rng.random(50), np.array([0.0, 0.1, 0.5, 0.2])
    found = seed_noise(user + effect[:, None])  # no seed suits any user in particular
    assert found.scale == pytest.approx(effect.std(ddof=1) / 2)
    assert found.df == 3
    assert found.shared == pytest.approx(0)


def test_whom_a_seed_suits_is_not_counted_twice():
    """Where seeds differ only by whom they suit, users' means and seeds' means vary by the same cause alone."""
    rng = np.random.default_rng(0)
    tables = rng.normal(0, 1, size=(200, 5, 40))
    of_users = np.mean([table.mean(axis=0).var(ddof=1) / 40 for table in tables])
    assert np.mean([seed_noise(table).shared for table in tables]) == pytest.approx(of_users, rel=0.05)
    assert np.mean([seed_noise(table).scale ** 2 for table in tables]) == pytest.approx(1 / 200, rel=0.15)


def test_no_noise_changes_nothing():
    values = np.random.default_rng(0).random(50)
    alike = seed_noise(np.stack([values, values]))
    assert alike.scale == 0
    assert bootstrap(values, noise=[alike]) == bootstrap(values)


def test_the_spread_of_seeds_is_over_their_means():
    found = Spread.of([0.1, 0.3, 0.2])
    assert (found.sd, found.min, found.max) == (pytest.approx(0.1), 0.1, 0.3)


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for n in range(300):
        values = rng.exponential(size=120)  # skewed, as metrics are; its mean is 1
        estimate = bootstrap(values, seed=n, resamples=300, level=0.9)
        covered += estimate.low <= 1 <= estimate.high
    assert 0.84 <= covered / 300 <= 0.95


def test_the_interval_of_many_users_is_that_of_the_normal_distribution():
    values = np.random.default_rng(0).normal(0.3, 0.2, size=5000)
    estimate = bootstrap(values)
    half = 1.96 * values.std() / np.sqrt(5000)
    assert estimate.mean == pytest.approx(values.mean())
    assert estimate.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert estimate.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_the_same_seed_gives_the_same_interval():
    values = np.random.default_rng(1).random(50)
    assert bootstrap(values, seed=3) == bootstrap(values, seed=3)
    assert bootstrap(values, seed=3) != bootstrap(values, seed=4)


def test_many_columns_have_the_intervals_that_each_has_alone(monkeypatch):
    rng = np.random.default_rng(0)
    columns = {"a": ndcg_like(rng, 0.3, (50,)), "b": rng.random(40), "c": rng.random(50), "d": np.ones(50)}
    for block in (significance._BLOCK, 170):  # 3 or 4 resamples at a time
        monkeypatch.setattr(significance, "_BLOCK", block)
        found = bootstraps(columns, seed=4)
        assert list(found) == list(columns)
        assert found == {name: bootstrap(values, seed=4) for name, values in columns.items()}


def test_blocks_change_nothing(monkeypatch):
    values = np.random.default_rng(1).random(50)
    whole = bootstrap(values)
    monkeypatch.setattr(significance, "_BLOCK", 130)
    assert bootstrap(values) == whole


def test_a_wider_level_gives_a_wider_interval():
    values = np.random.default_rng(1).random(50)
    narrow, wide = bootstrap(values, level=0.5), bootstrap(values, level=0.99)
    assert wide.low < narrow.low < narrow.mean < narrow.high < wide.high


@pytest.mark.parametrize("values", [[0.4], [0.4, 0.4, 0.4]])
def test_equal_values_have_an_interval_of_no_width(values):
    estimate = bootstrap(np.array(values))
    assert estimate.low == pytest.approx(0.4)
    assert estimate.high == pytest.approx(0.4)


def test_the_differences_of_two_models_on_the_same_users_are_surer_than_their_means():
    rng = np.random.default_rng(0)
    hard = rng.random(200)  # how hard each user is, for both models alike
    one, other = hard + 0.05, hard + 0.01 * rng.normal(size=200)
    difference = bootstrap(one - other)
    assert difference.low > 0
    assert bootstrap(one).low < bootstrap(other).high
