from __future__ import annotations

import json
import math

import numpy as np
import pytest
from scipy.stats import mannwhitneyu

from visrec.errors import ConfigError
from visrec.evaluation.metrics import AT_K, UNCUT, Ranks, compute, metric_names

CUTOFFS = (1, 3, 20, 100)
"""The last lies beyond the candidates of most cases."""


def _ranks(cases: list[tuple[int, list[int]]]) -> Ranks:
    """Of one user each: (number of candidates, ranks of the held-out items), given in a mixed order."""
    owner = np.array([user for user, (_, ranks) in enumerate(cases) for _ in ranks])
    rank = np.array([r for _, ranks in cases for r in ranks])
    order = np.random.default_rng(0).permutation(len(owner))
    sizes = np.array([len(ranks) for _, ranks in cases])
    return Ranks(owner[order], rank[order], sizes, np.array([n for n, _ in cases]))


@pytest.fixture(scope="module")
def cases() -> list[tuple[int, list[int]]]:
    """300 users of 1 to 150 candidates, of which 1 to 8 (perhaps all) are held out."""
    rng = np.random.default_rng(7)
    found = []
    for _ in range(300):
        n = int(rng.integers(1, 151))
        relevant = int(rng.integers(1, min(n, 8) + 1))
        found.append((n, sorted((rng.permutation(n)[:relevant] + 1).tolist())))
    return found


def _by_loops(name: str, k: int | None, n: int, ranks: list[int]) -> float:
    """Each metric from a list of 0 and 1, as a textbook has it."""
    relevant = [int(place in ranks) for place in range(1, n + 1)]
    shown = relevant if k is None else relevant[:k]
    R = len(ranks)
    match name:
        case "auc":
            pairs = [(i, j) for i in range(n) for j in range(n) if relevant[i] and not relevant[j]]
            return sum(i < j for i, j in pairs) / len(pairs) if pairs else 0.5
        case "rr":
            return 1 / (shown.index(1) + 1) if any(shown) else 0
        case "hit":
            return float(any(shown))
        case "precision":
            return sum(shown) / k
        case "recall":
            return sum(shown) / R
        case "f1":
            p, r = sum(shown) / k, sum(shown) / R
            return 2 * p * r / (p + r) if p else 0
        case "ndcg":
            dcg = sum(hit / math.log2(place + 2) for place, hit in enumerate(shown))
            return dcg / sum(1 / math.log2(place + 2) for place in range(min(k, R)))
        case "map":
            return sum(sum(shown[: place + 1]) / (place + 1) for place, hit in enumerate(shown) if hit) / R
    raise AssertionError(name)


@pytest.mark.parametrize("name", metric_names(CUTOFFS))
def test_a_metric_is_what_plain_loops_say(cases, name):
    base, _, cutoff = name.partition("@")
    k = int(cutoff) if cutoff else None
    expected = [_by_loops(base, k, n, ranks) for n, ranks in cases]
    np.testing.assert_allclose(compute(name, _ranks(cases)), expected, rtol=0, atol=1e-9)


def test_auc_is_the_statistic_of_mann_and_whitney(cases):
    expected = []
    for n, ranks in cases:
        others = sorted(set(range(1, n + 1)) - set(ranks))
        if not others:
            expected.append(0.5)
            continue
        u = mannwhitneyu([-r for r in ranks], [-r for r in others]).statistic
        expected.append(u / (len(ranks) * len(others)))
    np.testing.assert_allclose(compute("auc", _ranks(cases)), expected, rtol=0, atol=1e-9)


@pytest.fixture
def tutorial_cases(shared):
    return json.loads(shared("reference/parity/metrics.json").read_text())


def test_the_tutorials_metrics_are_reproduced(tutorial_cases):
    # Positions there count from 0. Its nDCG is another thing, below.
    ranks = _ranks([(case["inventory"], [p + 1 for p in case["positions"]]) for case in tutorial_cases])
    names = [name for name in tutorial_cases[0] if name not in ("inventory", "positions")]
    assert {"auc", "rr", "precision@20", "recall@100"} <= set(names)
    for name in names:
        if not name.startswith("ndcg_hits"):
            expected = [case[name] for case in tutorial_cases]
            np.testing.assert_allclose(compute(name, ranks), expected, rtol=0, atol=1e-9, err_msg=name)


@pytest.mark.parametrize("k", [20, 100])
def test_tutorial_error_5_its_ndcg_is_ours_only_where_one_item_is_relevant(tutorial_cases, k):
    ranks = _ranks([(case["inventory"], [p + 1 for p in case["positions"]]) for case in tutorial_cases])
    ours, theirs = compute(f"ndcg@{k}", ranks), np.array([case[f"ndcg_hits@{k}"] for case in tutorial_cases])
    one = ranks.n_relevant == 1
    assert one.any()
    assert (~one).any()
    np.testing.assert_allclose(ours[one], theirs[one], rtol=0, atol=1e-9)
    assert (ours <= theirs + 1e-9).all()  # it forgives the items that were not hit
    hits = ranks.hits(k)
    np.testing.assert_allclose(ours[hits == ranks.n_relevant], theirs[hits == ranks.n_relevant], atol=1e-9)
    np.testing.assert_allclose(compute(f"ndcg@{k}", ranks, variant="tutorial"), theirs, rtol=0, atol=1e-9)


def test_tutorial_error_5_the_ideal_list_has_all_relevant_items_not_only_the_hits():
    # Positions [0, 50] at 20: DCG 1 / log2(2), ideal 1 / log2(2) + 1 / log2(3), not 1 / log2(2).
    value = compute("ndcg@20", _ranks([(100, [1, 51])]))[0]
    assert value == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert round(value, 3) == 0.613
    assert compute("ndcg@20", _ranks([(100, [1, 51])]), variant="tutorial")[0] == 1
    assert compute("ndcg@20", _ranks([(100, [21, 51])]), variant="tutorial")[0] == 0  # no hit at all


def test_tutorial_error_8_auc_counts_the_candidates_and_not_the_catalogue():
    # One held-out item, last of 10 candidates: all 9 others stand above it. With the catalogue of 100 items,
    # 90 of which were seen and removed, it would seem to be above most.
    assert compute("auc", _ranks([(10, [10])]))[0] == 0
    assert compute("auc", _ranks([(100, [10])]))[0] == pytest.approx(90 / 99)  # by the tutorial's count


@pytest.mark.parametrize("n", [1, 2, 5])
def test_auc_without_another_candidate_is_that_of_chance(n):
    assert compute("auc", _ranks([(n, list(range(1, n + 1)))]))[0] == 0.5


def test_precision_of_a_list_that_cannot_be_filled_is_still_by_k():
    assert compute("precision@20", _ranks([(5, [1, 2])]))[0] == 2 / 20


def test_reciprocal_rank_at_k_is_nothing_beyond_k_and_without_k_is_never_nothing():
    ranks = _ranks([(100, [4, 30]), (100, [20]), (100, [21])])
    np.testing.assert_allclose(compute("rr@20", ranks), [1 / 4, 1 / 20, 0], rtol=0, atol=1e-12)
    np.testing.assert_allclose(compute("rr", ranks), [1 / 4, 1 / 20, 1 / 21], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "name", ["ndcg", "ndcg@", "ndcg@0", "ndcg@-1", "ndcg@x", "ndcg@²", "auc@20", "", "mrr"]
)
def test_an_unknown_metric_is_refused_with_those_there_are(name):
    with pytest.raises(ConfigError, match=f"no metric '{name}'.*ndcg@k"):
        compute(name, _ranks([(5, [1])]))


def test_all_metrics_are_named_in_order():
    assert metric_names((5, 10))[:4] == ["auc", "rr", "ndcg@5", "recall@5"]
    assert len(metric_names((5, 10))) == len(UNCUT) + 2 * len(AT_K)
