from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from scipy import sparse
from threadpoolctl import threadpool_info, threadpool_limits

from visrec.errors import ConfigError
from visrec.models import als
from visrec.models.als import ALS
from visrec.recommender import Queries, load_model


@pytest.fixture
def train(interactions):
    """20 users, 10 items, each taken with probability .35, weight 1 to 3; item 9 by nobody, user 19 took nothing."""
    rng = np.random.default_rng(0)
    R = rng.random((20, 10)) < 0.35
    R[:, 9] = R[19] = False
    pairs = [(int(u), int(i)) for u, i in zip(*np.nonzero(R), strict=True)]
    return interactions(pairs, 20, 10, weight=rng.integers(1, 4, len(pairs)))


def _solved(Y: np.ndarray, taken: list[int], c: list[float], reg: float) -> np.ndarray:
    """(Y'CY + reg 1)^-1 Y'C p with all of C written out: 1 where nothing was taken."""
    n, K = Y.shape
    A, right = reg * np.eye(K), np.zeros(K)
    for i in range(n):
        confidence = c[taken.index(i)] if i in taken else 1.0
        preference = 1.0 if i in taken else 0.0
        for k in range(K):
            right[k] += confidence * preference * Y[i, k]
            for m in range(K):
                A[k, m] += confidence * Y[i, k] * Y[i, m]
    return np.linalg.solve(A, right)


def test_a_history_is_folded_in_as_the_paper_solves_for_a_user(train):
    model = ALS(dim_gamma=4, reg=0.3, alpha=5, seed=1).fit(train)
    Y = model.gamma_i.double().numpy()
    c = 1 + 5 * float(train.weight.mean())
    histories = [[3], [0, 5, 2], [1, 9]]
    Q = model.encode_queries(Queries.of([np.array(one) for one in histories])).numpy()
    for found, history in zip(Q, histories, strict=True):
        np.testing.assert_allclose(found, _solved(Y, history, [c] * len(history), 0.3), rtol=1e-5)


def test_the_fold_in_is_that_of_implicit(train):
    model = ALS(dim_gamma=4, reg=0.3, alpha=5, seed=1).fit(train)
    with threadpool_limits(1, "blas"):
        from implicit.cpu.als import AlternatingLeastSquares

        peer = AlternatingLeastSquares(factors=4, regularization=0.3, alpha=1.0, num_threads=1)
        peer.item_factors = model.gamma_i.numpy()
        histories = train.histories()
        c = np.full(len(histories.items), float(model.confidence), dtype=np.float32)
        matrix = sparse.csr_matrix((c, histories.items, histories.indptr), shape=(20, 10))
        expected = peer.recalculate_user(np.arange(20), matrix)
    np.testing.assert_allclose(
        model.encode_queries(model.queries(np.arange(20))), expected, rtol=1e-4, atol=1e-6
    )


def test_the_sweeps_minimise_what_the_paper_minimises(train):
    """At the end of many sweeps each item's factors solve its own system, given the users', weights and all."""
    model = ALS(dim_gamma=3, reg=0.3, alpha=5, iterations=300).fit(train)
    R = train.matrix().toarray()
    Y = model.gamma_i.double().numpy()
    X = np.zeros((20, 3))
    for u in range(19):
        taken = np.flatnonzero(R[u]).tolist()
        X[u] = _solved(Y, taken, [1 + 5 * R[u, i] for i in taken], 0.3)
    for i in range(10):
        users = np.flatnonzero(R[:, i]).tolist()
        np.testing.assert_allclose(Y[i], _solved(X, users, [1 + 5 * R[u, i] for u in users], 0.3), atol=2e-3)


def test_where_all_weights_are_equal_a_history_counts_with_them(train, interactions):
    pairs = list(zip(train.user.tolist(), train.item.tolist(), strict=True))
    model = ALS(alpha=5).fit(interactions(pairs, 20, 10, weight=[3.0] * len(pairs)))
    assert model.confidence.item() == 1 + 5 * 3


def test_items_that_nobody_took_have_no_factors_and_blur_nothing(train, interactions):
    model = ALS(dim_gamma=4).fit(train)
    assert (model.gamma_i[9] == 0).all()
    assert (model.score(["u00"], items=["i09"]) == 0).all()
    assert (model.score(["u19"]) == 0).all()
    pairs = list(zip(train.user.tolist(), train.item.tolist(), strict=True))
    wider = ALS(dim_gamma=4).fit(interactions(pairs, 30, 15, weight=train.weight))
    assert torch.equal(wider.gamma_i[:9], model.gamma_i[:9])


def test_neither_order_nor_repeats_of_a_history_matter(train):
    model = ALS(dim_gamma=4).fit(train)
    one = model.recommend_for_history(["i01", "i02", "i05"], k=10)
    assert model.recommend_for_history(["i05", "i01", "i02", "i01", "i05"], k=10).equals(one)


def test_folding_in_by_parts_changes_nothing(train, monkeypatch):
    model = ALS(dim_gamma=4).fit(train)
    queries = model.queries(np.arange(20))
    whole = model.encode_queries(queries)
    monkeypatch.setattr(als, "_CELLS", 100)
    torch.testing.assert_close(model.encode_queries(queries), whole)


def test_the_number_of_threads_does_not_change_a_bit(train):
    one = ALS(dim_gamma=4).fit(train).digest
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert ALS(dim_gamma=4).fit(train).digest == one
    finally:
        torch.set_num_threads(threads)


def test_fitting_is_silent_and_leaves_the_threads_of_the_blas_as_they_were(train, capfd):
    def threads():
        return [
            (one["user_api"], one["num_threads"]) for one in threadpool_info() if one["user_api"] == "blas"
        ]

    with threadpool_limits(2, "blas"):
        before = threads()
        ALS(dim_gamma=4).fit(train)
        assert threads() == before
    assert capfd.readouterr() == ("", "")


def test_each_sweep_is_told(train):
    seen = []
    ALS(iterations=3).fit(train, progress=lambda done, total, _: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_without_its_library_fitting_says_what_to_install_and_ranking_works(train, monkeypatch, tmp_path):
    ALS(dim_gamma=4).fit(train).save(tmp_path / "model")
    monkeypatch.setitem(sys.modules, "implicit.cpu.als", None)
    with pytest.raises(ConfigError, match=r"pip install 'visrec\[als\]'"):
        ALS().fit(train)
    assert load_model(tmp_path / "model").recommend(["u00"], k=3).height == 3


@pytest.mark.parametrize("setting", ["dim_gamma", "reg", "alpha", "iterations"])
def test_impossible_settings_are_refused(setting):
    with pytest.raises(ConfigError, match=setting):
        ALS(**{setting: 0})
