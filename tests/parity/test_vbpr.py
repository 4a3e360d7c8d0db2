"""VBPR in the tutorial's variant, against numbers of the tutorial's own implementation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.features.features import Features
from visrec.models.vbpr import VBPR
from visrec.training.losses import bpr_loss
from visrec.training.sampling import Triples, UniformSampler
from visrec.training.trainer import Trainer

OURS = {
    "gamma_users.weight": ("gamma_u", False),
    "gamma_items.weight": ("gamma_i", False),
    "theta_users.weight": ("theta_u", False),
    "embedding.weight": ("E", True),  # (F, D) there
    "beta_items.weight": ("beta_i", False),
    "visual_bias.weight": ("beta_prime", False),
}


@pytest.fixture(scope="module")
def reference(shared):
    return dict(np.load(shared("reference/parity/vbpr.npz"), allow_pickle=False))


@pytest.fixture
def model(reference, tmp_path):
    """Our class with the reference's parameters, through `fit` and its own names."""
    n_users, K = reference["param/gamma_users.weight"].shape
    n_items, D = len(reference["param/gamma_items.weight"]), reference["param/theta_users.weight"].shape[1]
    users, items = IdMap(range(n_users), kind="user"), IdMap(range(n_items), kind="item")
    train = Interactions(
        reference["users"], reference["positives"], np.arange(5), np.ones(5), users=users, items=items
    )
    features = Features.from_array(reference["param/features.weight"], items.values)
    model = VBPR(
        variant="tutorial",
        dim_gamma=K,
        dim_theta=D,
        epochs=0,
        optimizer="sgd",
        learning_rate=1,
        weight_decay=0,
    ).fit(train, features)
    with torch.no_grad():
        for theirs, (ours, transposed) in OURS.items():
            value = torch.from_numpy(reference[f"param/{theirs}"])
            model.get_parameter(ours).copy_(value.T if transposed else value)
    model.refresh()
    return model


def test_all_scores_are_reproduced(model, reference):
    scores = model.score(model.users.values.to_list())
    np.testing.assert_allclose(scores, reference["scores"], rtol=0, atol=1e-5)


def test_the_score_differences_of_triples_are_reproduced(model, reference):
    users, positives, negatives = (
        torch.from_numpy(reference[name]) for name in ("users", "positives", "negatives")
    )
    with torch.no_grad():
        d_Z = model.encode_items(positives) - model.encode_items(negatives)
        x_uij = (model.encode_users(users) * d_Z).sum(1)
    np.testing.assert_allclose(x_uij, reference["x_uij"], rtol=0, atol=1e-5)


def test_the_loss_is_reproduced(reference):
    x_uij = torch.from_numpy(reference["x_uij"])
    total = bpr_loss(x_uij, torch.zeros(5, 1)).item() * len(x_uij)  # a sum there, a mean here
    assert total == pytest.approx(float(reference["loss_sum"]), abs=1e-5)


def test_a_training_steps_loss_and_gradients_are_reproduced(model, reference):
    user, pos, neg = (reference[name] for name in ("users", "positives", "negatives"))
    triples = Triples(user, pos, neg[:, None], np.ones(5, dtype=np.float32))
    train = Interactions(
        triples.user, triples.pos, np.arange(5), np.ones(5), users=model.users, items=model.items
    )
    trainer = Trainer(model, UniformSampler(train, negatives="catalog"), None, fingerprint="")
    assert model.config.reg == model.config.reg_E == 0
    before = {name: one.detach().clone() for name, one in model.named_parameters()}
    loss = trainer.step(triples)  # of length 1 against the gradient
    assert loss * 5 == pytest.approx(float(reference["loss_sum"]), abs=1e-5)
    for theirs, (ours, transposed) in OURS.items():
        gradient = 5 * (before[ours] - model.get_parameter(ours).detach()).numpy()
        expected = reference[f"grad/{theirs}"]
        np.testing.assert_allclose(gradient.T if transposed else gradient, expected, rtol=0, atol=1e-5)


def test_a_saved_model_still_reproduces_them(model, reference, tmp_path):
    from visrec.recommender import load_model

    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    np.testing.assert_allclose(
        loaded.score(model.users.values.to_list()), reference["scores"], rtol=0, atol=1e-5
    )
