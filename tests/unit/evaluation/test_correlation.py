from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import spearmanr

from visrec.evaluation.correlation import RankCorrelation, rank_correlation


def _by_loops(x: list[float], y: list[float]) -> tuple[float, float]:
    """Spearman's rho as Pearson's of mid-ranks, and the share of orders that are as far from 0."""

    def ranks(values: list[float]) -> list[float]:
        return [sum(b < a for b in values) + (sum(b == a for b in values) + 1) / 2 for a in values]

    def rho(a: list[float], b: list[float]) -> float:
        return float(np.corrcoef(a, b)[0, 1])

    a, b = ranks(x), ranks(y)
    all_of_them = [rho(a, list(order)) for order in permutations(b)]
    found = rho(a, b)
    return found, sum(abs(one) >= abs(found) - 1e-9 for one in all_of_them) / len(all_of_them)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4]),
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]),
        ([1, 1, 2, 3, 3], [0.3, 0.1, 0.1, 0.2, 0.7]),
        ([1, 2, 2, 2], [5, 4, 4, 1]),
        ([3, 1], [1, 3]),
    ],
)
def test_rho_and_p_are_what_loops_over_all_orders_say(x, y):
    found = rank_correlation(x, y)
    rho, p = _by_loops(x, y)
    assert (found.rho, found.p, found.n) == (pytest.approx(rho), pytest.approx(p), len(x))


def test_the_published_table_shows_no_relation():
    """del Rio et al. 2018: ResNet50, VGG19, NASNet Large, InceptionV3, InceptionResNetV2."""
    top1, ndcg = [75.2, 71.1, 82.7, 78.0, 80.4], [0.1253, 0.1008, 0.0998, 0.1007, 0.0936]
    found = rank_correlation(top1, ndcg)
    assert found.rho == pytest.approx(spearmanr(top1, ndcg).statistic)
    assert found.rho == pytest.approx(-0.8)  # 1 - 6 * 36 / (5 * 24)
    assert found.p == pytest.approx(16 / 120)  # the published table for n = 5: P(|rho| >= .8) = .133
    assert "could not be chance" in found.sentence("networks", "top-1", "nDCG@20")


def test_many_things_are_tested_by_drawing_orders():
    rng = np.random.default_rng(0)
    x = rng.normal(size=20)
    y = x + rng.normal(size=20) * 2
    found = rank_correlation(x, y)
    expected = spearmanr(x, y)
    assert found.rho == pytest.approx(expected.statistic)
    assert found.p == pytest.approx(expected.pvalue, abs=0.02)
    assert rank_correlation(x, y) == found
    assert rank_correlation(range(20), range(20)).p == pytest.approx(1 / 20_001)  # never 0


@pytest.mark.parametrize(("x", "y"), [([], []), ([1], [2]), ([1, 1, 1, 1], [1, 2, 3, 4]), ([1, 2], [3, 3])])
def test_where_there_is_no_order_there_is_no_rho(x, y):
    assert rank_correlation(x, y) == RankCorrelation(None, None, len(x))


@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([1, 2, 3], [1, 2, 3], "Too few networks to say: 3 with a known top-1"),
        ([1, 1, 1, 1], [1, 2, 3, 4], "Nothing to say"),
        ([1, 2, 3, 4], [1, 2, 3, 4], "even a perfect order would have p = 0.083"),
        (range(6), range(6), "A higher top-1 goes with a higher nDCG"),
        (range(6), range(6, 0, -1), "A higher top-1 goes with a lower nDCG"),
        (range(6), [2, 1, 6, 3, 5, 4], "could not be chance"),
    ],
)
def test_a_sentence_says_no_more_than_the_numbers(x, y, said):
    assert said in rank_correlation(x, y).sentence("networks", "top-1", "nDCG")
