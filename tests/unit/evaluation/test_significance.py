from __future__ import annotations

import numpy as np
import pytest

from visrec.evaluation import significance
from visrec.evaluation.significance import bootstrap


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
