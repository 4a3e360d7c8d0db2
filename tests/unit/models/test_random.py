from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import chisquare, spearmanr

from visrec.errors import ConfigError
from visrec.models.random import Random


@pytest.fixture
def model(interactions):
    return Random(seed=1).fit(interactions([(0, 0)], 500, 30))


def test_each_item_is_first_for_about_as_many_users(model):
    first = model.recommend(model.users.values.to_list(), k=1, exclude_seen=False)["item_id"]
    # The lengths of the item vectors differ, and a long one is both first and last more often: the share of
    # each item stays within what vectors of 64 normal numbers allow, and none is left out.
    counts = np.bincount(model.items.indices(first), minlength=30)
    assert counts.min() > 0
    assert counts.max() < 4 * 500 / 30


def test_the_rank_of_an_item_is_uniform_over_users(model):
    scores = model.score(model.users.values.to_list())
    ranks = (scores > scores[:, [4]]).sum(1)  # (500,) of item 4, from 0
    assert chisquare(np.bincount(ranks // 5, minlength=6)).pvalue > 0.001


def test_two_users_have_orders_that_have_nothing_to_do_with_each_other(model):
    scores = model.score(model.users.values.to_list())
    correlation = [spearmanr(scores[u], scores[u + 1]).statistic for u in range(0, 400, 2)]
    assert abs(np.mean(correlation)) < 0.05
    assert np.max(np.abs(correlation)) < 0.75


def test_all_visitors_share_one_order(model):
    one = model.recommend_for_history(["i00"], k=30)
    other = model.recommend_for_history(["i00", "i00"], k=30)
    assert one.equals(other)


def test_a_seed_below_zero_is_refused():
    with pytest.raises(ConfigError, match="'seed' is -1"):
        Random(seed=-1)
