"""A model's lists by search are those of its scores."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec import registry
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.errors import ConfigError, UnsupportedError
from visrec.features.features import Features
from visrec.recommender import Queries
from visrec.retrieval.index import Index
from visrec.retrieval.recommendation import best_items, index_of

USERS, ITEMS = 30, 400
SETTINGS = {
    "random": {},
    "popularity": {},
    "als": {},
    "ease": {},
    "bpr": {"epochs": 2},
    "vbpr": {"epochs": 2},
    "visrank": {"method": "maximum"},
    "visrank-average": {"method": "average"},
}


@pytest.fixture(scope="module")
def train():
    rng = np.random.default_rng(0)
    pairs = np.unique(
        np.stack([rng.integers(0, USERS, 300), rng.integers(0, ITEMS - 50, 300)], axis=1), axis=0
    )
    pairs = np.unique(np.concatenate([pairs, np.column_stack([np.arange(USERS)] * 2)]), axis=0)
    users, items = (IdMap([f"{kind}{i:03}" for i in range(n)], kind=kind) for kind, n in _SIZES)
    user, item = pairs.T
    return Interactions(user, item, np.arange(len(user)), np.ones(len(user)), users, items)


_SIZES = (("user", USERS), ("item", ITEMS))


@pytest.fixture(scope="module")
def features(train):
    values = np.random.default_rng(1).normal(size=(ITEMS, 6)).astype(np.float32)
    missing = np.zeros(ITEMS, dtype=bool)
    missing[[3, 70]] = True
    return Features.from_array(values, train.items.values, missing=missing)


def _fitted(name, train, features):
    return registry.resolve("models", name.partition("-")[0])(**SETTINGS[name]).fit(train, features)


@pytest.mark.parametrize("name", SETTINGS)
def test_an_exact_index_gives_the_lists_of_the_model(name, train, features):
    model = _fitted(name, train, features)
    queries = model.queries(np.arange(USERS))
    seen = [model.histories.take(np.array([user])).items for user in range(USERS)]
    allowed = np.random.default_rng(2).random(ITEMS) < 0.7
    index = index_of(model, kind="exact")
    by_scores = best_items(model, queries, 12, exclude=seen, allowed=allowed)
    by_search = best_items(model, queries, 12, index=index, exclude=seen, allowed=allowed)
    np.testing.assert_allclose(by_search[1], by_scores[1], rtol=1e-4, atol=1e-5)
    for b in range(USERS):  # another order only where scores differ in their last bits
        assert not set(by_search[0][b]) & set(seen[b])
        assert allowed[by_search[0][b]].all()
        own = model.score_queries(queries.part(slice(b, b + 1)))[0].numpy()
        np.testing.assert_allclose(own[by_search[0][b]], by_scores[1][b], rtol=1e-4, atol=1e-5)


def test_by_scores_is_what_recommend_gives(train, features):
    model = _fitted("vbpr", train, features)
    users = train.users.take(np.arange(USERS)).to_list()
    table = model.recommend(users, k=7)
    seen = [model.histories.take(np.array([user])).items for user in range(USERS)]
    items, _ = best_items(model, model.queries(np.arange(USERS)), 7, exclude=seen)
    assert train.items.take(items.ravel()).to_list() == table["item_id"].to_list()


def test_the_nearest_of_several_liked_items_decides(train, features):
    """VisRank's maximum, by hand: the largest cosine to any item of the history."""
    model = _fitted("visrank", train, features)
    history = np.array([5, 70, 200])  # 70 has no picture and does not count
    index = index_of(model, kind="approximate")
    rows, scores = best_items(model, Queries.of([history]), 5, index=index, exclude=[history])
    length = np.linalg.norm(features.values, axis=1, keepdims=True)
    unit = features.values / np.maximum(length, 1e-12)
    cosine = np.maximum(unit @ unit[5], unit @ unit[200])
    cosine[history] = -np.inf
    assert rows[0].tolist() == np.argsort(-cosine)[:5].tolist()
    np.testing.assert_allclose(scores[0], np.sort(cosine)[::-1][:5], rtol=1e-5)


def test_a_history_that_says_nothing_gets_a_list_all_the_same(train, features):
    model = _fitted("visrank", train, features)
    queries = Queries.of([np.array([70]), np.array([], dtype=np.int64)])
    rows, scores = best_items(model, queries, 5, index=index_of(model), exclude=[np.array([1])] * 2)
    np.testing.assert_array_equal(rows, best_items(model, queries, 5, exclude=[np.array([1])] * 2)[0])
    assert (scores == 0).all()


def test_an_added_item_is_recommended(train, features):
    model = _fitted("vbpr", train, features)
    index = index_of(model)
    queries = model.queries(np.arange(3))
    with torch.no_grad():
        found = model.probes(queries)
    new = index.add(found[0][:, 0].numpy() * 10)  # what each of the three users would like best
    rows, _ = best_items(model, queries, 1, index=index)
    assert rows[:, 0].tolist() == new.tolist()


@pytest.mark.parametrize(("name", "settings"), [("item_knn", {}), ("visrank", {"method": "top_n"})])
def test_models_whose_score_is_no_inner_product_compute_every_score(name, settings, train, features):
    model = registry.resolve("models", name)(**settings).fit(train, features)
    assert index_of(model) is None
    rows, scores = best_items(model, model.queries(np.arange(2)), 3)
    own = model.score_queries(model.queries(np.arange(2))).numpy()
    np.testing.assert_allclose(np.take_along_axis(own, rows, 1), scores)
    assert (scores[:, 0] == own.max(axis=1)).all()


def test_an_index_of_something_else_is_refused(train, features):
    model = _fitted("bpr", train, features)
    for wrong in (Index.build(np.eye(5)), Index.build(model.Z.detach().numpy()[:-1])):
        with pytest.raises(ConfigError, match="not one of this BPR"):
            best_items(model, model.queries(np.arange(2)), 3, index=wrong)
    with pytest.raises(UnsupportedError, match="knows only the users"):
        best_items(model, Queries.of([np.array([1])]), 3, index=index_of(model))
    with pytest.raises(ConfigError, match="at least 1"):
        best_items(model, model.queries(np.arange(2)), 0)


def test_no_queries_no_lists(train, features):
    model = _fitted("bpr", train, features)
    for index in (None, index_of(model)):
        assert best_items(model, model.queries(np.arange(0)), 3, index=index)[0].shape == (0, 3)
