from __future__ import annotations

import numpy as np
import pytest

from visrec.models.bpr import BPR
from visrec.training.sampling import Triples


@pytest.fixture
def model(interactions):
    train = interactions([(0, 0), (0, 1), (1, 2), (2, 3), (2, 0)], 3, 5)
    return BPR(dim_gamma=4, epochs=3, batch_size=2, reg=0.3, learning_rate=0.1).fit(train)


def test_the_score_is_the_bias_plus_the_dot_product_of_the_factors(model):
    scores = model.score(["u00", "u01", "u02"])
    gamma_u, gamma_i, beta_i = (
        getattr(model, name).detach().numpy() for name in ("gamma_u", "gamma_i", "beta_i")
    )
    for u in range(3):
        for i in range(5):
            expected = beta_i[i, 0] + sum(gamma_u[u, k] * gamma_i[i, k] for k in range(4))
            assert scores[u, i] == pytest.approx(expected, abs=1e-6)


def test_the_penalty_is_the_mean_over_triples_of_their_squares(model, penalty):
    triples = Triples(np.array([0, 0, 2]), np.array([0, 1, 0]), np.array([[3], [3], [2]]), np.ones(3))
    gamma_u, gamma_i, beta_i = model.gamma_u.detach(), model.gamma_i.detach(), model.beta_i.detach()
    total = 0.0
    for u, i, j in zip(triples.user, triples.pos, triples.neg[:, 0], strict=True):
        total += float((gamma_u[u] ** 2).sum() + (gamma_i[i] ** 2).sum() + (gamma_i[j] ** 2).sum())
        total += float(beta_i[i, 0] ** 2 + beta_i[j, 0] ** 2)
    assert penalty(model, triples) == pytest.approx(0.3 / 2 * total / 3, rel=1e-5)


def test_regularisation_makes_factors_smaller(interactions):
    train = interactions([(u, i) for u in range(6) for i in range(6) if (u + i) % 2], 6, 6)
    free, held = (BPR(dim_gamma=4, epochs=30, reg=reg).fit(train) for reg in (0.0, 1.0))
    assert held.gamma_u.norm() < 0.5 * free.gamma_u.norm()
    assert held.gamma_i.norm() < 0.5 * free.gamma_i.norm()


def test_items_alike_are_so_by_their_factors_without_the_bias(model):
    gamma_i = model.gamma_i.detach().double().numpy()
    table = model.similar_items(["i01"], k=4)
    assert table.filter(item_id="i04")["score"].to_list() == [0]  # which nobody took
    for item, score in zip(table["item_id"], table["score"], strict=True):
        i = int(item[1:])
        length = np.linalg.norm(gamma_i[1]) * np.linalg.norm(gamma_i[i])
        assert score * length == pytest.approx(gamma_i[1] @ gamma_i[i], abs=1e-5)


def test_a_heavier_interaction_is_learnt_better(interactions):
    pairs = [(0, 0), (0, 1), (1, 2), (1, 3)]
    train = interactions(pairs, 2, 4, weight=[1, 20, 1, 1])
    scores = BPR(dim_gamma=4, epochs=30, reg=0.1).fit(train).score(["u00"])[0]
    assert scores[1] > scores[0] > scores[2:].max()
