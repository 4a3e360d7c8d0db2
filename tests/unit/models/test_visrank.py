from __future__ import annotations

import numpy as np
import pytest

from visrec.errors import UnsupportedError
from visrec.features.features import Features
from visrec.models.visrank import VisRank, _Vectors
from visrec.recommender import Queries


@pytest.fixture
def train(interactions):
    """3 users and 15 items; histories of 5, 2 and 0 items. Item 4 of the first history has no image."""
    return interactions([(0, 1), (0, 4), (0, 7), (0, 9), (0, 12), (1, 2), (1, 3)], 3, 15)


@pytest.fixture
def features(train):
    values = np.random.default_rng(0).normal(size=(15, 4))
    return Features.from_array(values, train.items.values, missing=np.isin(np.arange(15), [4, 14]))


def _cosines(features: Features, history: list[int], i: int) -> list[float]:
    """cos(f_i, f_l) for the items of the history that have an image, by loops."""
    f = features.values.astype(float)
    result = []
    for j in history:
        if not features.missing[j]:
            length = np.sqrt(sum(f[i] ** 2)) * np.sqrt(sum(f[j] ** 2))
            result.append(sum(f[i] * f[j]) / length if length else 0.0)
    return result


POOL = {
    "maximum": max,
    "average": np.mean,
    "top_n": lambda cosines: np.mean(sorted(cosines, reverse=True)[:2]),
}


@pytest.mark.parametrize("method", POOL)
def test_the_score_pools_the_cosines_to_the_history(train, features, method):
    scores = VisRank(method=method, n=2).fit(train, features).score(["u00", "u01"])
    for user, history in enumerate([[1, 4, 7, 9, 12], [2, 3]]):
        expected = [POOL[method](_cosines(features, history, i)) for i in range(15)]
        np.testing.assert_allclose(scores[user], expected, rtol=1e-5, atol=1e-6)


def test_tutorial_error_9_the_mean_of_the_top_n_is_per_candidate(interactions):
    # Two liked items, two candidates, each like another one of the liked: with n = 1 both have score 1. The
    # tutorial sorts the liked items as rows, once for all candidates: one candidate would get 0.
    train = interactions([(0, 0), (0, 1)], 1, 4)
    features = Features.from_array(np.array([[1, 0], [0, 1], [1, 0], [0, 1]]), train.items.values)
    scores = VisRank(method="top_n", n=1).fit(train, features).score(["u00"], ["i02", "i03"])
    assert scores.tolist() == [[1.0, 1.0]]


@pytest.mark.parametrize(("n", "same_as"), [(1, "maximum"), (5, "average"), (100, "average")])
def test_the_top_n_lies_between_maximum_and_average(train, features, n, same_as):
    one = VisRank(method="top_n", n=n).fit(train, features)
    other = VisRank(method=same_as).fit(train, features)
    users = train.users.values.to_list()
    np.testing.assert_allclose(one.score(users), other.score(users), atol=1e-6)


def test_the_length_of_a_vector_does_not_matter(train, features):
    scale = np.linspace(0.1, 50, 15)[:, None]
    scaled = Features.from_array(features.values * scale, train.items.values, missing=features.missing)
    one, other = (VisRank().fit(train, f).score(["u00"]) for f in (features, scaled))
    np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("method", POOL)
def test_missing_images_are_neutral(train, features, method):
    model = VisRank(method=method, n=2).fit(train, features)
    assert model.score(["u00"], ["i14"])[0, 0] == 0  # a candidate without an image
    with_it = model.recommend_for_history(["i01", "i04", "i07"], k=15, exclude_seen=False)
    without = model.recommend_for_history(["i01", "i07"], k=15, exclude_seen=False)
    assert with_it.equals(without)  # an item of the history without one


def test_who_has_no_history_or_one_without_images_gets_zeros(train, features):
    model = VisRank().fit(train, features)
    assert (model.score(["u02"]) == 0).all()
    assert (model.score_queries(Queries.of([np.array([4])])) == 0).all()
    with pytest.raises(UnsupportedError, match="knows nothing of the items in this history"):
        model.recommend_for_history(["i04"], k=14)


def test_blocks_of_candidates_change_nothing(train, features, monkeypatch):
    users = train.users.values.to_list()
    whole = VisRank(method="top_n").fit(train, features).score(users)
    monkeypatch.setattr("visrec.models.visrank._CELLS", 8)
    blocked = VisRank(method="top_n").fit(train, features).score(users)
    np.testing.assert_allclose(blocked, whole, atol=1e-6)


@pytest.mark.parametrize("method", POOL)
@pytest.mark.parametrize("held", [4, 12, 20])
def test_blocks_of_what_is_looked_at_change_nothing(train, features, monkeypatch, method, held):
    """A vector has 4 numbers: one, three or five of those of 5 items and 2 pictures are held at a time."""
    pictures = np.random.default_rng(1).normal(size=(2, 1, 4))
    histories = [np.array([1, 4, 7]), np.array([2, 3])]
    queries = Queries.of(histories, pictures=list(pictures), weights=[np.array([1, 1, -1]), np.ones(2)])
    model = VisRank(method=method, n=2).fit(train, features)
    whole = model.score_queries(queries)
    made = []
    monkeypatch.setattr("visrec.models.visrank._HELD", held)
    monkeypatch.setattr(
        "visrec.models.visrank._Vectors.multiply",
        lambda self, Z, out, multiply=_Vectors.multiply: (made.append(self), multiply(self, Z, out)),
    )
    np.testing.assert_allclose(model.score_queries(queries), whole, atol=1e-6)
    assert method == "average" or made
    assert all(vectors._held.numel() == held < 4 * len(vectors) for vectors in made)


def test_the_catalogue_is_held_once(train, features):
    model = VisRank().fit(train, features)
    assert model.Z.data_ptr() == model.f.data_ptr()


@pytest.mark.parametrize("method", POOL)
def test_likes_dislikes_and_pictures_of_many_queries_count_each_for_its_own(train, features, method):
    """Each row is by hand: items 1 and 2 are shared, item 4 has no image, weights of 0 do not count."""
    pictures = np.random.default_rng(1).normal(size=(2, 4))
    histories, weights = [[1, 2, 4], [2, 1], []], [[1.0, -0.5, 2.0], [0.0, 2.0], []]
    shown, liked = [pictures[:1], pictures[:0], pictures], [[3.0], [], [-1.0, 0.5]]
    queries = Queries.of(
        [np.array(one, dtype=np.int64) for one in histories],
        weights=[np.array(one) for one in weights],
        pictures=shown,
        picture_weights=[np.array(one) for one in liked],
    )
    scores = VisRank(method=method, n=2).fit(train, features).score_queries(queries)
    f = features.values.astype(float)
    f[features.missing] = 0
    for row in range(3):
        vectors = [*f[histories[row]], *shown[row]]
        expected = np.zeros(15)
        for i in range(15):
            for sign in (1, -1):
                parts = [
                    abs(w) * (f[i] @ v) / np.sqrt((f[i] @ f[i]) * (v @ v))
                    for v, w in zip(vectors, [*weights[row], *liked[row]], strict=True)
                    if sign * w > 0 and v.any() and f[i].any()
                ]
                expected[i] += sign * POOL[method](parts) if parts else 0
        np.testing.assert_allclose(scores[row], expected, rtol=1e-5, atol=1e-6)


def test_the_score_of_a_new_item_needs_no_interactions_of_it(train, features):
    assert train.item_counts()[13] == 0
    score = VisRank(method="average").fit(train, features).score(["u01"], ["i13"])[0, 0]
    assert score == pytest.approx(np.mean(_cosines(features, [2, 3], 13)), abs=1e-6)


def test_similar_items_are_those_of_the_smallest_angle(train, features):
    table = VisRank().fit(train, features).similar_items(["i00"], k=3)
    cosines = [_cosines(features, [0], i)[0] for i in range(1, 15)]
    expected = 1 + np.argsort(cosines)[::-1][:3]
    assert table["item_id"].to_list() == [f"i{i:02d}" for i in expected]
