from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from visrec.errors import ConfigError, DataError
from visrec.models import ease
from visrec.models.ease import EASE
from visrec.recommender import Queries


@pytest.fixture
def train(interactions):
    """25 users, 9 items, each taken with probability .35 and a weight of 1 to 3; items 4 and 8 by nobody."""
    rng = np.random.default_rng(0)
    R = rng.random((25, 9)) < 0.35
    R[:, [4, 8]] = False
    R[:, 0] |= R.sum(1) == 0
    pairs = [(int(u), int(i)) for u, i in zip(*np.nonzero(R), strict=True)]
    return interactions(pairs, 25, 9, weight=rng.integers(1, 4, len(pairs)))


def _expected(train, reg: float) -> np.ndarray:
    """B (I, I), column by column: ridge regression of each item on all others, as least squares."""
    X = (train.matrix().toarray() > 0).astype(float)
    n = train.n_items
    B = np.zeros((n, n))
    for j in range(n):
        others = [i for i in range(n) if i != j]
        rows = np.vstack([X[:, others], reg**0.5 * np.eye(n - 1)])
        B[others, j] = np.linalg.lstsq(rows, np.concatenate([X[:, j], np.zeros(n - 1)]), rcond=None)[0]
    return B


@pytest.mark.parametrize("reg", [0.5, 20.0])
def test_each_item_is_predicted_from_the_others_by_ridge_regression(train, reg):
    X = (train.matrix().toarray() > 0).astype(float)
    model = EASE(reg=reg).fit(train)
    scores = model.score(train.users.values.to_list())
    np.testing.assert_allclose(scores, X @ _expected(train, reg), rtol=0, atol=1e-6)


def test_an_item_has_no_say_in_its_own_score(train):
    model = EASE(reg=1).fit(train)
    assert (model.columns.diagonal() == 0).all()
    alone = Queries.of([np.array([i]) for i in range(9)])
    assert (model.score_queries(alone).diagonal() == 0).all()


def test_items_that_nobody_took_score_0_and_are_not_in_the_solve(train):
    model = EASE(reg=1).fit(train)
    assert model.taken.tolist() == [0, 1, 2, 3, 5, 6, 7]
    assert model.columns.shape == (7, 7)
    assert (model.score(train.users.values.to_list(), items=["i04", "i08"]) == 0).all()
    with_them = model.recommend_for_history(["i04", "i01", "i08"], k=9, exclude_seen=False)
    assert with_them.equals(model.recommend_for_history(["i01"], k=9, exclude_seen=False))


def test_weights_and_repeats_change_nothing(train, interactions):
    pairs = list(zip(train.user.tolist(), train.item.tolist(), strict=True))
    plain = EASE().fit(interactions(pairs, 25, 9))
    assert EASE().fit(train).digest == plain.digest
    assert EASE().fit(interactions([*pairs, *pairs[:5]], 25, 9)).digest == plain.digest
    once = plain.recommend_for_history(["i01", "i02"], k=9)
    assert plain.recommend_for_history(["i01", "i02", "i01"], k=9).equals(once)


def test_blocks_change_nothing(train, monkeypatch):
    whole = EASE(reg=2).fit(train)
    monkeypatch.setattr(ease, "_CELLS", 14)
    parts = EASE(reg=2).fit(train)
    assert torch.equal(parts.columns, whole.columns)


def test_the_solve_works_in_the_place_of_its_matrix():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(30, 6))
    G = X.T @ X
    expected = np.linalg.inv(G)
    P = ease._inverse(G)
    assert np.shares_memory(P, G)
    np.testing.assert_allclose(np.triu(P), np.triu(expected), rtol=1e-9)


def test_a_matrix_without_an_inverse_is_an_error():
    with pytest.raises(DataError, match="larger reg"):
        ease._inverse(np.ones((3, 3)) - np.eye(3))


def test_what_would_take_too_much_memory_is_refused_with_the_ways_out(train):
    needed = max(12 * 7 * 7, 4 * 7 * 7 + 8 * 9 * 7) / 2**30
    assert EASE.memory(7, 9) / 2**30 == needed
    with pytest.raises(
        ConfigError, match=r"7 items that somebody took, of 9, .*item_core.*item_k=.*item_knn"
    ) as found:
        EASE(max_gib=0.9 * needed).fit(train)
    assert f"{needed:.3g} GiB" in str(found.value)
    proposed = re.search(r"set max_gib=([^;]+);", str(found.value))
    assert proposed is not None
    EASE(max_gib=float(proposed[1])).fit(train)


def test_items_that_nobody_took_count_only_as_rows_of_the_catalogue():
    assert EASE.memory(10_000, 10_000) == 12 * 10_000**2
    assert EASE.memory(10_000, 40_000) == 4 * 10_000**2 + 8 * 40_000 * 10_000


def test_the_progress_rises_to_its_end(train):
    seen = []
    EASE().fit(train, progress=lambda done, total, _: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1] == (7, 7)


@pytest.mark.parametrize("setting", ["reg", "max_gib"])
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ConfigError, match=setting):
        EASE(**{setting: 0})
