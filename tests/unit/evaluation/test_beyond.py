"""Measures beyond accuracy, against plain loops."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import polars as pl
import pytest

from visrec.content import Content
from visrec.data.interactions import Histories
from visrec.evaluation import beyond
from visrec.evaluation.beyond import Lens, coverage, creators, gini, looks, novelty, popularity_bias
from visrec.features.features import Features

N_ITEMS = 25


def ragged(rows: list[list[int]]) -> Histories:
    lengths = np.cumsum([0, *map(len, rows)])
    return Histories(lengths.astype(np.int64), np.array([i for row in rows for i in row], dtype=np.int64))


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(5)


@pytest.fixture(scope="module")
def lists(rng):
    """40 lists of 0 to 12 items."""
    return [rng.permutation(N_ITEMS)[: rng.integers(0, 13)].tolist() for _ in range(40)]


@pytest.fixture(scope="module")
def histories(rng):
    return [rng.permutation(N_ITEMS)[: rng.integers(0, 9)].tolist() for _ in range(40)]


@pytest.fixture(scope="module")
def popularity(rng):
    return np.concatenate([np.zeros(4, dtype=int), rng.integers(0, 9, N_ITEMS - 4)])


def mean(values) -> float:
    values = list(values)
    return sum(values) / len(values) if values else math.nan


def test_novelty_is_the_mean_self_information(lists, popularity):
    expected = [mean(math.log2(50 / max(popularity[i], 1)) for i in row) for row in lists]
    np.testing.assert_allclose(novelty(ragged(lists), popularity, 50), expected, rtol=0, atol=1e-12)


def test_an_item_that_everyone_took_is_no_news_and_one_that_nobody_took_the_most():
    found = novelty(ragged([[0], [1], [2]]), np.array([8, 1, 0]), 8)
    assert found.tolist() == [0, 3, 3]


def test_popularity_bias_is_the_difference_of_mean_percentiles(lists, histories, popularity):
    percentile = [
        (sum(q < p for q in popularity) + sum(q == p for q in popularity) / 2) / N_ITEMS for p in popularity
    ]
    expected = [
        mean(percentile[i] for i in row) - mean(percentile[i] for i in history)
        for row, history in zip(lists, histories, strict=True)
    ]
    found = popularity_bias(ragged(lists), ragged(histories), popularity)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_popularity_bias_of_a_list_like_the_history_is_nothing():
    assert popularity_bias(ragged([[2, 0]]), ragged([[0, 2]]), np.array([5, 1, 9]))[0] == 0


def test_creators_are_counted_once_among_items_whose_creator_is_known(lists, rng):
    creator = rng.integers(-1, 6, N_ITEMS)
    expected = []
    for row in lists:
        known = [creator[i] for i in row if creator[i] >= 0]
        expected.append(len(set(known)) / len(known) if known else math.nan)
    np.testing.assert_allclose(creators(ragged(lists), creator), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("cells", [1, 40, 1 << 20])
@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_looks_are_mean_cosine_distances_over_all_pairs(lists, histories, rng, monkeypatch, cells, dtype):
    vectors = rng.standard_normal((N_ITEMS, 7)).astype(dtype)
    vectors[[3, 8]] = 0
    monkeypatch.setattr(beyond, "_CELLS", cells)

    def distance(i: int, j: int) -> float:
        a, b = vectors[i].astype(float), vectors[j].astype(float)
        return 1 - a @ b / math.sqrt((a @ a) * (b @ b))

    found = looks(ragged(lists), ragged(histories), vectors, (3, 12))
    for k in (3, 12):
        seen = [[i for i in row[:k] if i not in (3, 8)] for row in lists]
        known = [[i for i in row if i not in (3, 8)] for row in histories]
        diversity = [mean(distance(i, j) for i, j in combinations(row, 2)) for row in seen]
        far = [
            mean(distance(i, h) for i in row for h in history)
            for row, history in zip(seen, known, strict=True)
        ]
        np.testing.assert_allclose(found[f"visual_diversity@{k}"], diversity, rtol=0, atol=2e-6)
        np.testing.assert_allclose(found[f"visual_distance@{k}"], far, rtol=0, atol=2e-6)


def test_looks_are_0_for_one_picture_and_2_for_its_opposite():
    vectors = np.array([[1, 0], [3, 0], [-2, 0]], dtype=np.float32)
    found = looks(ragged([[0, 1], [0, 2]]), ragged([[1], [0]]), vectors, (2,))
    np.testing.assert_allclose(found["visual_diversity@2"], [0, 2], atol=1e-6)
    np.testing.assert_allclose(found["visual_distance@2"], [0, 1], atol=1e-6)


def test_coverage_is_the_share_of_items_in_any_list():
    assert coverage(np.array([3, 0, 1, 0])) == 0.5


def test_gini_is_half_the_mean_difference_over_the_mean(rng):
    exposure = rng.integers(0, 20, N_ITEMS)
    difference = mean(abs(int(a) - int(b)) for a in exposure for b in exposure)
    assert gini(exposure) == pytest.approx(difference / (2 * exposure.mean()), abs=1e-12)
    assert gini(np.full(7, 3)) == pytest.approx(0, abs=1e-12)
    assert gini(np.array([0, 0, 9, 0])) == 1 - 1 / 4
    assert gini(np.zeros(3, dtype=int)) == 0


# ---- what is looked at -----------------------------------------------------------------------------------


@pytest.fixture
def train(interactions):
    return interactions([(0, 0), (0, 1), (1, 1), (1, 1), (2, 2)], 4, 5)


def test_what_cannot_be_measured_is_said(train):
    lens = Lens.of(train, Content())
    assert set(lens.facts["skipped"]) == {"creators", "visual_diversity", "visual_distance"}
    assert lens.popularity.tolist() == [1, 2, 1, 0, 0]  # users, not rows
    assert lens.n_users == 3
    found = lens.measures(np.array([2, 0]), ragged([[1, 2], [3]]), (1, 2))
    assert list(found) == ["novelty@1", "popularity_bias@1", "novelty@2", "popularity_bias@2"]
    np.testing.assert_allclose(found["novelty@2"], [(math.log2(1.5) + math.log2(3)) / 2, math.log2(3)])


def test_features_and_creators_are_met_by_id(train):
    values = np.eye(5, 3, dtype=np.float32) + 1
    ids = ["i04", "i02", "i00", "i01", "i03"]
    metadata = pl.DataFrame({"item_id": ids, "artist": ["b", "a", " ", None, "b"]})
    lens = Lens.of(train, Content(vector=Features.from_array(values, ids), metadata=metadata))
    assert lens.creator is not None
    assert lens.creator.tolist() == [-1, -1, 0, 1, 1]
    assert lens.vectors is not None
    np.testing.assert_array_equal(lens.vectors[4], values[0])
    assert lens.facts["skipped"] == {}
    assert list(lens.measures(np.array([0]), ragged([[2, 4]]), (2,))) == beyond.names((2,))
