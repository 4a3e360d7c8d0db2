from __future__ import annotations

import math

import numpy as np
import pytest

from visrec.errors import ConfigError
from visrec.models.item_knn import ItemKNN


@pytest.fixture
def train(interactions):
    """30 users, 12 items, each taken with probability .3 and a weight of 1 to 3; item 11 by nobody."""
    rng = np.random.default_rng(0)
    R = rng.random((30, 12)) < 0.3
    R[:, 11] = False
    R[:, 0] |= R.sum(1) == 0
    pairs = [(int(u), int(i)) for u, i in zip(*np.nonzero(R), strict=True)]
    return interactions(pairs, 30, 12, weight=rng.integers(1, 4, len(pairs)))


def _expected(train, neighbors: int, shrinkage: float) -> list[list[float]]:
    """Scores (U, I) by loops: every s_ij, the k largest for each j, their sum over the history."""
    r = train.matrix().toarray().astype(float)  # (U, I)
    n_users, n = r.shape
    s = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(n):
            if i != j:
                dot = sum(r[u, i] * r[u, j] for u in range(n_users))
                length = math.sqrt(sum(r[:, i] ** 2)) * math.sqrt(sum(r[:, j] ** 2))
                s[i][j] = dot / (length + shrinkage) if dot else 0.0
    near = {j: sorted(range(n), key=lambda i: (-round(s[i][j], 6), i))[:neighbors] for j in range(n)}
    return [
        [sum(s[i][j] for j in range(n) if r[u, j] and i in near[j]) for i in range(n)] for u in range(n_users)
    ]


@pytest.mark.parametrize(("neighbors", "shrinkage"), [(100, 0.0), (100, 10.0), (3, 2.0), (1, 0.0)])
def test_the_score_sums_similarities_over_the_history(train, neighbors, shrinkage):
    model = ItemKNN(neighbors=neighbors, shrinkage=shrinkage).fit(train)
    scores = model.score(train.users.values.to_list())
    np.testing.assert_allclose(scores, _expected(train, neighbors, shrinkage), rtol=1e-5, atol=1e-6)


def test_at_most_k_neighbours_are_kept_for_an_item_of_the_history(train):
    model = ItemKNN(neighbors=3).fit(train)
    per_history_item = np.diff(model.S.tocsc().indptr)
    assert per_history_item.max() == 3
    assert per_history_item[11] == 0
    assert model.S.diagonal().sum() == 0


def test_an_item_taken_twice_counts_once_in_the_history(train):
    model = ItemKNN().fit(train)
    once = model.recommend_for_history(["i01", "i02"], k=12)
    twice = model.recommend_for_history(["i01", "i02", "i01"], k=12)
    assert once.equals(twice)


def test_blocks_change_nothing(train, monkeypatch):
    whole = ItemKNN(neighbors=4).fit(train)
    monkeypatch.setattr("visrec.models.item_knn._BLOCK", 5)
    assert ItemKNN(neighbors=4).fit(train).digest == whole.digest


def test_users_who_share_nothing_leave_no_neighbours(interactions):
    model = ItemKNN().fit(interactions([(0, 0), (1, 1)], 2, 3))
    assert (model.score(["u00", "u01"]) == 0).all()


def test_impossible_settings_are_refused():
    with pytest.raises(ConfigError, match="neighbors"):
        ItemKNN(neighbors=0)
    with pytest.raises(ConfigError, match="shrinkage"):
        ItemKNN(shrinkage=-1)
