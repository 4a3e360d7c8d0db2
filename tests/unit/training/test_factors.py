from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visrec.models.bpr import BPR
from visrec.training.pairs import Buffers, Pairs
from visrec.training.sampling import Triples, UniformSampler
from visrec.training.trainer import Trainer

N_USERS, N_ITEMS = 70, 300  # so many that threads share them


def _train(interactions):
    rng = np.random.default_rng(0)
    pairs = sorted(
        {
            (int(u), int(i))
            for u, i in zip(rng.integers(0, N_USERS, 900), rng.integers(0, N_ITEMS, 900), strict=True)
        }
    )
    return interactions(pairs, N_USERS, N_ITEMS, weight=[1 + (u + i) % 3 for u, i in pairs])


def _trainer(train, **settings):
    """That of a model with parameters of any size."""
    model = BPR(dim_gamma=5, epochs=0, reg=0.2, **settings).fit(train)
    with torch.no_grad():  # large, so that sigmoids are not all a half
        for one in model.parameters():
            one.copy_(torch.randn(one.shape, generator=torch.Generator().manual_seed(len(one))))
    return Trainer(model, UniformSampler(train), None, fingerprint="")


def _batch(n, B=400):
    rng = np.random.default_rng(1)
    weight = rng.random(B).astype(np.float32) + 0.5
    return Triples(
        rng.integers(0, N_USERS, B),
        rng.integers(0, N_ITEMS // 2, B),
        rng.integers(0, N_ITEMS, (B, n)),
        weight,
    )


@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", ["sgd", "adagrad", "adam", "adamw"])
def test_steps_are_those_that_any_model_takes(interactions, monkeypatch, kind, n):
    train, settings = _train(interactions), {"optimizer": kind, "n_negatives": n, "learning_rate": 0.05}
    ours = _trainer(train, **settings)
    assert ours._factors is not None
    with monkeypatch.context() as patched:
        patched.setattr(BPR, "factors", None)
        theirs = _trainer(train, **settings)
    for seed in range(3):
        batch = _batch(n, B=200 + seed)
        assert ours.step(batch) == pytest.approx(theirs.step(batch), rel=1e-5)
    for name, one in ours.model.named_parameters():
        torch.testing.assert_close(one, theirs.model.get_parameter(name), rtol=1e-4, atol=1e-5)


def test_the_loss_and_its_gradients_are_those_of_the_paper(interactions):
    model = _trainer(_train(interactions)).model
    batch = _batch(2, B=40)
    pairs = Pairs.of(batch)
    loss, found = BPR.factors.bpr(dict(model.named_parameters()), pairs, batch.weight, Buffers())
    p, q, b = (one.detach().double().numpy() for one in (model.gamma_u, model.gamma_i, model.beta_i[:, 0]))
    total, of = 0.0, [np.zeros_like(p), np.zeros_like(q), np.zeros((N_ITEMS, 1))]
    for u, i, negatives, weight in zip(batch.user, batch.pos, batch.neg, batch.weight, strict=True):
        for j in negatives:
            x = b[i] + p[u] @ q[i] - b[j] - p[u] @ q[j]
            total += weight * -math.log(1 / (1 + math.exp(-x))) / 80
            g = -weight / (1 + math.exp(x)) / 80
            of[0][u] += g * (q[i] - q[j])
            of[1][i] += g * p[u]
            of[1][j] -= g * p[u]
            of[2][i] += g
            of[2][j] -= g
    assert loss == pytest.approx(total, rel=1e-5)
    for one, expected in zip(found, of, strict=True):
        assert one.table.shape == expected.shape
        assert one.index.tolist() == np.flatnonzero((expected != 0).any(1)).tolist()
        np.testing.assert_allclose(one.g.numpy(), expected[one.index.numpy()], rtol=1e-4, atol=1e-6)


def test_gradients_are_the_same_bits_by_one_thread_and_by_two(interactions):
    model, batch = _trainer(_train(interactions)).model, _batch(2)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            loss, found = BPR.factors.bpr(
                dict(model.named_parameters()), Pairs.of(batch), batch.weight, Buffers()
            )
        finally:
            torch.set_num_threads(before)
        results.append((loss, *(one.g for one in found)))
    assert results[0][0] == results[1][0]
    assert all(torch.equal(one, two) for one, two in zip(results[0][1:], results[1][1:], strict=True))


@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_scores_far_apart_neither_overflow_nor_lose_their_gradient(interactions, scale):
    model = _trainer(_train(interactions)).model
    with torch.no_grad():
        model.gamma_u.zero_()
        model.beta_i.zero_()
        model.beta_i[0] = scale
    batch = Triples(np.array([0, 0]), np.array([0, 1]), np.array([[1], [0]]), np.ones(2, dtype=np.float32))
    loss, found = BPR.factors.bpr(dict(model.named_parameters()), Pairs.of(batch), batch.weight, Buffers())
    assert loss == pytest.approx(1e4 / 2)
    of_b = found[2].g[:, 0]
    assert of_b.tolist() == pytest.approx([np.sign(scale) / 2, -np.sign(scale) / 2])


def test_what_is_derived_is_learnt_by_its_own_score(interactions):
    class Derived(BPR):
        """One that may score in another way."""

    model = Derived(dim_gamma=5, epochs=0).fit(_train(interactions))
    assert Trainer(model, None, None, fingerprint="")._factors is None


@pytest.mark.parametrize("settings", [{"loss": "bce"}, {"weight_decay": 0.1}])
def test_what_it_cannot_do_is_done_as_for_any_model(interactions, settings):
    assert _trainer(_train(interactions), **settings)._factors is None
