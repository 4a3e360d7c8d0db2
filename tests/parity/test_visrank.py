"""VisRank against numbers of the tutorial's own implementation, of which one method is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.features.features import Features
from visrec.models.visrank import VisRank


@pytest.fixture(scope="module")
def reference(shared):
    return dict(np.load(shared("reference/parity/visrank.npz"), allow_pickle=False))


@pytest.fixture
def fitted(reference):
    """`fitted(method="average")`: VisRank on the reference's features, with one user who has its profile."""
    profile = reference["profile"]
    items = IdMap(range(len(reference["features"])), kind="item")
    n = len(profile)
    train = Interactions(
        np.zeros(n, int), profile, np.arange(n), np.ones(n), users=IdMap(["u"], kind="user"), items=items
    )
    features = Features.from_array(reference["features"], items.values)
    return lambda **settings: VisRank(**settings).fit(train, features)


@pytest.fixture
def cosines(reference):
    """`(4, 40)` float64: the profile's items against all."""
    f = reference["features"] / np.linalg.norm(reference["features"], axis=1, keepdims=True)
    return f[reference["profile"]] @ f.T


@pytest.mark.parametrize("method", ["maximum", "average"])
def test_the_ranking_and_its_scores_are_reproduced(fitted, reference, method):
    table = fitted(method=method).recommend(["u"], k=40)
    assert table["item_id"].to_list() == reference[f"rank_{method}"].tolist()
    np.testing.assert_allclose(table["score"], reference[f"score_{method}"], rtol=0, atol=1e-5)


def test_tutorial_error_9_ours_is_the_mean_of_each_candidates_own_two_nearest(fitted, reference, cosines):
    expected = np.sort(cosines, axis=0)[-2:].mean(0)  # (40,) each column sorted for itself
    model = fitted(method="top_n", n=2)
    np.testing.assert_allclose(model.score(["u"])[0], expected, rtol=0, atol=1e-5)
    theirs = reference["score_average_top_k"]
    assert (expected[reference["rank_average_top_k"]] >= theirs - 1e-9).all()
    assert np.abs(expected[reference["rank_average_top_k"]] - theirs).max() > 0.3


def test_tutorial_error_9_its_number_is_that_of_whole_rows_sorted_as_lists(fitted, reference, cosines):
    # The profile's rows of similarities are sorted like words, by their first column, which is item 0: itself
    # of the profile. So "the top 2" of every candidate are item 0 and whichever of the profile is next like it.
    rows = sorted(cosines.tolist(), reverse=True)
    assert rows[0] == cosines[0].tolist()
    assert rows[1] == cosines[2].tolist()
    assert reference["profile"][[0, 2]].tolist() == [0, 3]
    assert np.argsort(-cosines[:, 0])[:2].tolist() == [0, 2]
    theirs = np.array(rows[:2]).mean(0)[reference["rank_average_top_k"]]
    np.testing.assert_allclose(theirs, reference["score_average_top_k"], rtol=0, atol=1e-9)
