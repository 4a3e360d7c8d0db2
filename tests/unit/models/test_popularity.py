from __future__ import annotations

import math

import pytest

from visrec.models.popularity import Popularity


def test_the_score_is_the_log_of_one_plus_the_summed_weight(interactions):
    pairs = [(0, 0), (1, 0), (2, 0), (0, 1), (1, 2)]
    train = interactions(pairs, 3, 4, weight=[1, 2, 0.5, 1, 4])
    scores = Popularity().fit(train).score(["u00"])[0]
    expected = [math.log(1 + 3.5), math.log(2), math.log(5), 0.0]
    assert scores.tolist() == pytest.approx(expected, rel=1e-6)


def test_everybody_gets_the_same_scores(interactions):
    model = Popularity().fit(interactions([(0, 0), (1, 0), (1, 1)], 3, 3))
    scores = model.score(["u00", "u01", "u02"])
    assert (scores == scores[0]).all()


def test_items_of_equal_popularity_come_in_another_order_for_another_user(interactions):
    model = Popularity().fit(interactions([(0, 0)], 9, 20))
    lists = model.recommend(model.users.values.to_list(), k=20)
    assert len({tuple(lists.filter(user_id=f"u{n:02d}")["item_id"]) for n in range(9)}) == 9
