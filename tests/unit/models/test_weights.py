"""Histories with weights and with pictures that are no items, against each model's formula by loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec.errors import ConfigError, UnsupportedError
from visrec.features.features import Features
from visrec.models.als import ALS
from visrec.models.bpr import BPR
from visrec.models.curatornet import CuratorNet
from visrec.models.ease import EASE
from visrec.models.item_knn import ItemKNN
from visrec.models.popularity import Popularity
from visrec.models.visrank import VisRank
from visrec.recommender import Queries, Recommender

HISTORY = np.array([1, 4, 7, 2])
WEIGHTS = np.array([2.0, 1.0, -0.5, 0.0])


@pytest.fixture(scope="module")
def train(interactions):
    """8 users, 10 items, each user 5 of them; item 9 nobody took."""
    rng = np.random.default_rng(3)
    return interactions([(u, int(i)) for u in range(8) for i in rng.permutation(9)[:5]], 8, 10)


@pytest.fixture(scope="module")
def features(train):
    values = np.random.default_rng(0).normal(1, 2, size=(10, 4))
    return Features.from_array(values, train.items.values, missing=np.arange(10) == 4)


def scores_of(model: Recommender, history=HISTORY, weights=WEIGHTS, **more) -> np.ndarray:
    given = None if weights is None else [weights]
    return model.score_queries(Queries.of([history], weights=given, **more))[0].numpy()


def all_models(train, features) -> dict[str, Recommender]:
    made = {
        "item_knn": ItemKNN(),
        "ease": EASE(reg=2.0),
        "als": ALS(dim_gamma=4, iterations=3),
        "visrank": VisRank(method="top_n", n=2),
        "curatornet": CuratorNet(dim=4, dim_hidden=5, epochs=2, batch_size=8, max_history=None),
    }
    return {name: model.fit(train, features) for name, model in made.items()}


@pytest.fixture(scope="module")
def models(train, features):
    return all_models(train, features)


@pytest.fixture(params=["item_knn", "ease", "als", "visrank", "curatornet"])
def model(models, request):
    return models[request.param]


# ---- what holds for all of them --------------------------------------------------------------------------


def test_a_weight_of_1_is_what_no_weight_is(model):
    np.testing.assert_allclose(
        scores_of(model, weights=np.ones(4)), scores_of(model, weights=None), rtol=1e-5, atol=1e-6
    )


def test_a_weight_of_0_is_as_if_the_item_were_not_there(model):
    expected = scores_of(model, HISTORY[:3], WEIGHTS[:3])
    np.testing.assert_allclose(scores_of(model), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["item_knn", "ease", "als", "visrank"])  # not so of a network hardly trained
def test_what_is_disliked_sinks(models, name):
    model = models[name]
    indifferent = scores_of(model, weights=np.array([1.0, 1.0, 0.0, 1.0]))
    disliked = scores_of(model, weights=np.array([1.0, 1.0, -1.0, 1.0]))
    if isinstance(model, ItemKNN | EASE):  # an item says nothing of itself there
        near = int(np.argmax(scores_of(model, np.array([7]), np.array([1.0]))))
        assert disliked[near] < indifferent[near]
    else:
        assert disliked[7] < indifferent[7]


def test_what_comes_with_a_query_in_a_batch_does_not_matter(model):
    batch = Queries.of([HISTORY, HISTORY[:1]], weights=[WEIGHTS, WEIGHTS[:1]])
    both = model.score_queries(batch).numpy()
    np.testing.assert_allclose(both[0], scores_of(model), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(both[1], scores_of(model, HISTORY[:1], WEIGHTS[:1]), rtol=1e-5, atol=1e-6)


def test_a_list_can_be_asked_for_with_weights(model):
    ids = [f"i{n:02d}" for n in HISTORY]
    found = model.recommend_for_history(ids, 3, weights=WEIGHTS.tolist())
    scores = scores_of(model)
    scores[HISTORY] = -np.inf
    assert found["score"].to_list() == pytest.approx(sorted(scores.tolist(), reverse=True)[:3], rel=1e-5)


# ---- each formula ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["item_knn", "ease"])
def test_marks_are_weights(models, name):
    """x_i = sum of w_j times what j alone gives."""
    alone = {j: scores_of(models[name], np.array([j]), None) for j in HISTORY}
    expected = sum(w * alone[j] for j, w in zip(HISTORY, WEIGHTS, strict=True))
    np.testing.assert_allclose(scores_of(models[name]), expected, rtol=1e-5, atol=1e-6)


def test_als_folds_in_confidences_and_preferences(models):
    model = models["als"]
    Y = model.gamma_i.double().numpy()
    A, right = Y.T @ Y + model.config.reg * np.eye(4), np.zeros(4)
    for j, w in zip(HISTORY, WEIGHTS, strict=True):
        c = 1 + (float(model.confidence) - 1) * abs(w)
        A += (c - 1) * np.outer(Y[j], Y[j])
        right += c * np.sign(w) * Y[j]
    np.testing.assert_allclose(scores_of(model), Y @ np.linalg.solve(A, right), rtol=1e-4, atol=1e-6)


def test_weights_of_an_item_that_comes_twice_are_added(models):
    for name in ("item_knn", "ease", "als"):
        twice = scores_of(models[name], np.array([1, 7, 1]), np.array([0.5, -1.0, 1.5]))
        once = scores_of(models[name], np.array([1, 7]), np.array([2.0, -1.0]))
        np.testing.assert_allclose(twice, once, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("method", ["maximum", "average", "top_n"])
def test_visrank_takes_the_pool_of_the_disliked_from_that_of_the_liked(train, features, method):
    model = VisRank(method=method, n=2).fit(train, features)
    f = features.values.astype(float)
    f[features.missing] = 0
    f /= np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    pool = {"maximum": max, "average": np.mean, "top_n": lambda x: np.mean(sorted(x)[-2:])}[method]
    history, weights = [1, 4, 7, 3, 5], [2.0, 1.0, -0.5, -2.0, 0.5]
    expected = []
    for i in range(10):
        liked = [w * float(f[i] @ f[j]) for j, w in zip(history, weights, strict=True) if w > 0 and j != 4]
        disliked = [-w * float(f[i] @ f[j]) for j, w in zip(history, weights, strict=True) if w < 0]
        expected.append(pool(liked) - pool(disliked))
    found = scores_of(model, np.array(history), np.array(weights))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", ["paper", "tutorial"])
def test_curatornet_takes_the_query_of_the_disliked_from_that_of_the_liked(train, features, variant):
    model = CuratorNet(dim=4, dim_hidden=5, epochs=1, batch_size=8, max_history=None, variant=variant).fit(
        train, features
    )
    q = model.Z
    history, weights = [1, 4, 7, 3, 5], [2.0, 1.0, -0.5, -2.0, 0.5]  # item 4 has no image

    def tower(items, amounts):
        mean = sum(a * q[j] for j, a in zip(items, amounts, strict=True)) / sum(amounts)
        most = torch.stack([q[j] for j in items]).max(0).values
        pooled = [mean, most] if variant == "paper" else [most, mean]
        with torch.no_grad():
            return sum(amounts) / len(amounts) * model.query_tower(torch.cat(pooled))

    expected = q @ (tower([1, 5], [2.0, 0.5]) - tower([7, 3], [0.5, 2.0]))
    found = scores_of(model, np.array(history), np.array(weights))
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-4, atol=1e-5)


def test_curatornet_weighs_the_newest_alone(train, features):
    model = CuratorNet(dim=4, dim_hidden=5, epochs=1, batch_size=8, max_history=2).fit(train, features)
    np.testing.assert_array_equal(scores_of(model), scores_of(model, HISTORY[-2:], WEIGHTS[-2:]))


# ---- pictures --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["visrank", "curatornet"])
def test_a_picture_counts_as_the_item_that_looks_like_it(models, features, name):
    picture = features.values[[7]]
    as_item = scores_of(models[name], np.array([1, 7]), np.array([1.0, -0.5]))
    as_picture = scores_of(
        models[name],
        np.array([1]),
        np.array([1.0]),
        pictures=[picture],
        picture_weights=[np.array([-0.5])],
    )
    np.testing.assert_allclose(as_picture, as_item, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["visrank", "curatornet"])
def test_a_history_may_consist_of_pictures_alone(models, features, name):
    found = scores_of(models[name], np.array([], dtype=np.int64), None, pictures=[features.values[[1, 7]]])
    np.testing.assert_allclose(found, scores_of(models[name], np.array([1, 7]), None), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["item_knn", "ease", "als"])
def test_who_knows_items_by_their_ids_says_so_of_a_picture(models, features, name):
    with pytest.raises(UnsupportedError, match="cannot look at an uploaded picture"):
        scores_of(models[name], pictures=[features.values[[7]]])


# ---- what is refused, and what does not matter -----------------------------------------------------------


def test_who_looks_at_no_history_refuses_weights_of_one(train):
    model = BPR(dim_gamma=3, epochs=1).fit(train)
    queries = Queries.of([HISTORY], np.array([0]), weights=[WEIGHTS])
    with pytest.raises(UnsupportedError, match="cannot weigh"):
        model.score_queries(queries)


def test_who_ranks_alike_for_all_needs_no_weights(train, features):
    model = Popularity().fit(train)
    more = {"pictures": [features.values[[7]]]}
    np.testing.assert_array_equal(scores_of(model, **more), scores_of(model, weights=None))


@pytest.mark.parametrize("weights", [[1.0], [1.0, 2.0, 3.0, float("nan")]])
def test_weights_are_numbers_one_each(weights):
    with pytest.raises(ConfigError, match="weight"):
        Queries.of([HISTORY], weights=[np.array(weights)])
