"""Two models on the same users: tests that keep their level, and say how large a difference is."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from visrec.evaluation import paired
from visrec.evaluation.paired import ALPHA, compare_paired, holm, randomization_test, wilcoxon_test


def two_models(rng: np.random.Generator, n_users: int, gain: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """nDCG of two models on the same users: some are easy for both, and who is hit is chance."""
    easy = rng.beta(0.6, 4, size=n_users)
    first, second = (
        np.where(rng.random(n_users) < easy, 1 / np.log2(rng.integers(2, 22, size=n_users)), 0)
        for _ in range(2)
    )
    return first + gain, second


@pytest.mark.parametrize("n_users", [60, 400])
def test_tests_cry_wolf_about_as_often_as_their_level_says(n_users):
    rng = np.random.default_rng(1)
    n = 1000
    differences = np.stack([np.subtract(*two_models(rng, n_users)) for _ in range(n)], axis=1)
    by_signs = np.mean(randomization_test(differences, flips=1000) <= ALPHA)
    by_ranks = np.mean([wilcoxon_test(column) <= ALPHA for column in differences.T[:400]])
    assert 0.03 <= by_signs <= 0.07
    assert 0.02 <= by_ranks <= 0.08


def test_a_real_difference_is_found_more_often_the_more_users_there_are():
    rng = np.random.default_rng(2)
    found = {}
    for n_users in (100, 400):
        differences = np.stack([np.subtract(*two_models(rng, n_users, 0.04)) for _ in range(200)], axis=1)
        found[n_users] = np.mean(randomization_test(differences, flips=1000) <= ALPHA)
    assert 0.2 < found[100] < found[400]
    assert found[400] > 0.9


def test_p_is_the_share_of_all_sign_choices_that_are_as_far():
    differences = np.array([0.5, -0.1, 0.3, 0.2, 0.0, 0.4, -0.2])
    choices = itertools.product((-1, 1), repeat=7)
    sums = np.array([np.abs(np.sum(np.array(signs) * differences)) for signs in choices])
    exact = np.mean(sums >= abs(differences.sum()) - 1e-12)
    assert randomization_test(differences, flips=200_000)[0] == pytest.approx(exact, abs=0.004)


def test_p_agrees_with_scipy():
    from scipy.stats import permutation_test

    differences = np.subtract(*two_models(np.random.default_rng(0), 100, 0.05))
    theirs = permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=20_000,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    assert 0.001 < theirs.pvalue < 0.5
    assert randomization_test(differences, flips=50_000)[0] == pytest.approx(theirs.pvalue, abs=0.015)


def test_p_is_never_0_and_is_1_for_models_that_are_alike():
    assert randomization_test(np.ones(100), flips=999)[0] == pytest.approx(1 / 1000)
    assert randomization_test(np.zeros(100), flips=999)[0] == 1
    assert wilcoxon_test(np.zeros(100)) == 1


def test_several_comparisons_at_once_are_those_one_by_one():
    differences = np.random.default_rng(0).normal(0.1, 1, size=(80, 3))
    together = randomization_test(differences, seed=4, flips=500)
    alone = [randomization_test(column, seed=4, flips=500)[0] for column in differences.T]
    assert together.tolist() == alone


def test_blocks_bound_memory_and_keep_the_level(monkeypatch):
    differences = np.random.default_rng(0).normal(0.2, 1, size=80)
    whole = randomization_test(differences, flips=4000)
    monkeypatch.setattr(paired, "_BLOCK", 800)
    assert randomization_test(differences, flips=4000)[0] == pytest.approx(whole[0], abs=0.03)


def test_ranks_of_few_users_are_counted_exactly():
    differences = np.array([0.1, 0.2, -0.3, 0.4, 0.5, 0.6])
    ranks = np.arange(1, 7)
    sums = np.array([ranks[np.array(signs) > 0].sum() for signs in itertools.product((-1, 1), repeat=6)])
    exact = 2 * np.mean(sums >= 21 - 3)  # ours has all ranks but the third
    assert wilcoxon_test(differences) == pytest.approx(exact)


def test_holm_multiplies_the_smallest_by_all_the_next_by_one_less():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # .04 x 1 may not be below .03 x 2
    assert holm([0.5, 0.6]) == pytest.approx([1.0, 1.0])
    assert holm([0.02]) == pytest.approx([0.02])
    assert holm([]) == []


def test_with_holm_any_false_alarm_among_many_is_as_rare_as_one_alone():
    rng = np.random.default_rng(3)
    alarms = 0
    for n in range(300):
        p = randomization_test(rng.normal(size=(50, 8)), seed=n, flips=500)
        alarms += min(holm(p.tolist())) <= ALPHA
    assert 0.02 <= alarms / 300 <= 0.08


def test_a_comparison_says_how_large_and_for_whom():
    one, other = np.array([0.5, 0.5, 0.2, 0.9]), np.array([0.5, 0.1, 0.3, 0.3])
    (found,) = compare_paired([one], other)
    differences = np.array([0, 0.4, -0.1, 0.6])
    assert found.difference.mean == pytest.approx(0.225)
    assert found.effect_size == pytest.approx(differences.mean() / differences.std(ddof=1))
    assert (found.better, found.worse, found.equal) == (0.5, 0.25, 0.25)


@pytest.mark.parametrize(("gap", "effect"), [(0.0, 0.0), (0.1, None)])
def test_a_difference_without_variance_has_no_effect_size_unless_it_is_0(gap, effect):
    values = np.random.default_rng(0).random(20)
    (found,) = compare_paired([values + gap], values)
    assert found.effect_size == effect


def test_one_algorithm_with_lucky_seeds_is_not_a_better_one():
    """Two sets of three seeds of one algorithm: over these users they do differ, and mean nothing."""
    rng = np.random.default_rng(5)
    by_test, significant = 0, 0
    for n in range(200):
        user = rng.random(300)
        one, other = (
            user + rng.normal(0, 0.02, size=(3, 1)) + rng.normal(0, 0.05, size=(3, 300)) for _ in range(2)
        )
        (found,) = compare_paired([one], other, seed=n, flips=500)
        by_test += found.p <= ALPHA
        significant += found.is_significant(found.p)
    assert by_test / 200 > 0.3
    assert significant / 200 <= 0.07


def test_seeds_of_a_clearly_better_algorithm_are_told_apart():
    rng = np.random.default_rng(6)
    user = rng.random(300)
    one, other = (
        user + gain + rng.normal(0, 0.01, size=(5, 1)) + rng.normal(0, 0.05, size=(5, 300))
        for gain in (0.1, 0.0)
    )
    (found,) = compare_paired([one], other)
    assert found.is_significant(found.p)
    assert found.difference.mean == pytest.approx(one.mean() - other.mean())
