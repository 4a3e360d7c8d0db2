from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visrec.errors import ConfigError, FeaturesError
from visrec.features import finishing
from visrec.features.features import Features
from visrec.models.vbpr import VBPR
from visrec.recommender import load_model
from visrec.training.sampling import Triples, UniformSampler

SMALL = {"dim_gamma": 4, "dim_theta": 3, "epochs": 3, "batch_size": 4, "learning_rate": 0.05}


@pytest.fixture
def train(interactions):
    """Item 6 nobody took; user 3 took nothing."""
    return interactions([(0, 0), (0, 1), (1, 2), (2, 3), (2, 0), (1, 4), (2, 5)], 4, 7)


@pytest.fixture
def features(train):
    values = np.random.default_rng(0).normal(2, 1, size=(7, 5))
    return Features.from_array(values, train.items.values, missing=np.isin(np.arange(7), [1]))


def _parameters(model: VBPR) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy() for name, p in model.named_parameters()}


@pytest.mark.parametrize("variant", ["paper", "tutorial"])
def test_the_score_is_equation_4(train, features, variant):
    model = VBPR(**SMALL, variant=variant).fit(train, features)
    p = _parameters(model)
    f = features.values.astype(float)
    present = [i for i in range(7) if i != 1]
    f[1] = [np.mean([f[i, x] for i in present]) for x in range(5)]  # no image: the mean image
    if variant == "paper":
        f /= math.sqrt(np.mean([sum(features.values[i].astype(float) ** 2) for i in present]))
    scores = model.score(train.users.values.to_list())
    for u in range(4):
        for i in range(7):
            expected = p["beta_i"][i, 0] + p["gamma_u"][u] @ p["gamma_i"][i]
            for d in range(3):
                expected += p["theta_u"][u, d] * sum(p["E"][d, x] * f[i, x] for x in range(5))
            expected += sum(p["beta_prime"][x, 0] * f[i, x] for x in range(5))
            assert scores[u, i] == pytest.approx(expected, abs=1e-5)


def test_the_scale_of_the_features_does_not_matter_in_the_papers_variant(train, features):
    larger = Features.from_array(features.values * 1000, train.items.values, missing=features.missing)
    one, other = (VBPR(**SMALL).fit(train, f).score(["u00", "u01"]) for f in (features, larger))
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_the_scale_of_the_features_is_the_same_in_however_many_blocks_they_are_read(
    train, features, monkeypatch
):
    squares = [float(v) ** 2 for row in features.values for v in row]  # missing rows are 0
    for block in (1, 10, 1 << 19):
        monkeypatch.setattr(finishing, "_BLOCK", block)
        model = VBPR(**{**SMALL, "epochs": 0}).fit(train, features)
        assert model.f_norm.item() == pytest.approx(math.sqrt(sum(squares) / 6), rel=1e-6)


def test_what_the_missing_row_holds_does_not_matter(train, features):
    values = features.values.copy()
    values[1] = 1e6
    other = Features.from_array(values, train.items.values, missing=features.missing)
    one, two = (VBPR(**SMALL).fit(train, f) for f in (features, other))
    assert one.digest == two.digest


def test_a_missing_image_has_the_visual_terms_of_the_mean_item(train, features):
    model = VBPR(**SMALL).fit(train, features)
    visual = model.Z[:, 4:7]  # E f_i
    others = visual[[0, 2, 3, 4, 5, 6]].mean(0)
    torch.testing.assert_close(visual[1], others)


def test_brand_new_items_are_ranked_by_their_looks_alone(train, features):
    # They are no negatives: all that gamma_i and beta_i could learn of them is that they are new.
    model = VBPR(**SMALL).fit(train, features)
    assert (model.gamma_i[6] == 0).all()
    assert model.beta_i[6] == 0
    tutorial = VBPR(**SMALL, variant="tutorial").fit(train, features)  # there they are negatives
    assert (tutorial.gamma_i[6] != 0).all()


def test_users_without_interactions_get_the_bias_terms(train, features):
    model = VBPR(**SMALL).fit(train, features)
    p = _parameters(model)
    expected = p["beta_i"][:, 0] + model.f[:].double().numpy() @ p["beta_prime"][:, 0]
    np.testing.assert_allclose(model.score(["u03"])[0], expected, atol=1e-6)


def test_the_penalty_is_that_of_section_4_3(train, features, penalty):
    model = VBPR(**SMALL, reg=0.3, reg_E=0.7).fit(train, features)
    p = _parameters(model)
    user, pos, neg = [0, 2, 2], [0, 3, 5], [4, 4, 1]
    total = 0.0
    for u, i, j in zip(user, pos, neg, strict=True):
        total += (p["gamma_u"][u] ** 2).sum() + (p["theta_u"][u] ** 2).sum()
        for item in (i, j):
            total += (p["gamma_i"][item] ** 2).sum() + p["beta_i"][item, 0] ** 2
    expected = 0.3 / 2 * total / 3 + 0.7 / 2 * ((p["E"] ** 2).sum() + (p["beta_prime"] ** 2).sum())
    triples = Triples(np.array(user), np.array(pos), np.array(neg)[:, None], np.ones(3, dtype=np.float32))
    assert penalty(model, triples) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("reg", "reg_E", "shrinks"), [(5.0, 0.0, "gamma_u"), (0.0, 5.0, "E")])
def test_each_regularisation_makes_its_own_parameters_smaller(train, features, reg, reg_E, shrinks):
    free = VBPR(**{**SMALL, "epochs": 30}, reg=0, reg_E=0).fit(train, features)
    held = VBPR(**{**SMALL, "epochs": 30}, reg=reg, reg_E=reg_E).fit(train, features)
    assert getattr(held, shrinks).norm() < 0.2 * getattr(free, shrinks).norm()


def test_without_latent_factors_only_the_looks_and_the_bias_are_left(train, features):
    for variant in ("paper", "tutorial"):
        model = VBPR(**{**SMALL, "dim_gamma": 0}, variant=variant).fit(train, features)
        assert model.Z.shape == (7, 3 + 1)


def test_the_tutorials_settings_yield_to_those_given_by_hand():
    config = VBPR(variant="tutorial", dim_theta=7).config
    assert (config.dim_gamma, config.dim_theta, config.learning_rate) == (200, 7, 1e-3)
    assert (config.reg, config.reg_E, config.negatives) == (0, 0, "catalog")
    assert VBPR().config.negatives == "interacted"
    with pytest.raises(ConfigError, match="variant"):
        VBPR(variant="other")


def test_the_tutorials_initial_values_are_xavier_uniform(train, features):
    model = VBPR(variant="tutorial", epochs=0, dim_gamma=30, dim_theta=20).fit(train, features)
    for name, shape in {"gamma_u": (3, 30), "theta_u": (3, 20), "E": (20, 5)}.items():
        values = getattr(model, name).detach()[: shape[0]]  # without the user who took nothing
        rows = 4 if name != "E" else 20
        bound = math.sqrt(6 / (rows + shape[1]))
        assert values.abs().max() <= bound
        assert values.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.25)


def test_the_tutorials_weight_decay_is_that_of_its_summed_loss(train, features):
    # Summed over a batch of B, with decay c: gradient sum + c p. The mean with decay c / B is 1 / B of that,
    # and Adam does not see the scale of the gradient.
    B = 42_000
    model = VBPR(variant="tutorial").config
    assert model.weight_decay * B == pytest.approx(1e-4)
    steps = []
    for loss_scale, decay in ((1.0, 1e-4), (1 / B, 1e-4 / B)):
        p = torch.nn.Parameter(torch.tensor([0.3, -0.2], dtype=torch.float64))
        optimizer = torch.optim.Adam([p], lr=1e-3, weight_decay=decay, eps=0)
        (loss_scale * (p * torch.tensor([2.0, 5.0])).sum()).backward()
        optimizer.step()
        steps.append(p.detach())
    torch.testing.assert_close(*steps)


def test_gradients_reach_every_parameter_of_a_triple_and_no_other_row(train, features, gradients):
    from visrec.training.trainer import Trainer

    model = VBPR(**{**SMALL, "epochs": 1}, reg=0, reg_E=0).fit(train, features)
    trainer = Trainer(model, UniformSampler(train), None, fingerprint="")
    triples = Triples(np.array([2]), np.array([3]), np.array([[4]]), np.ones(1, dtype=np.float32))
    of = gradients(trainer, triples)
    assert of["gamma_u"].abs().sum(1).nonzero().flatten().tolist() == [2]
    assert of["theta_u"].abs().sum(1).nonzero().flatten().tolist() == [2]
    assert of["gamma_i"].abs().sum(1).nonzero().flatten().tolist() == [3, 4]
    assert of["beta_i"].abs().sum(1).nonzero().flatten().tolist() == [3, 4]
    assert (of["E"] != 0).all()
    assert (of["beta_prime"] != 0).all()


def test_items_alike_are_so_without_the_bias(train, features):
    model = VBPR(**SMALL).fit(train, features)
    torch.testing.assert_close(model.similarity_vectors(), model.Z[:, :-1])


def test_a_model_loaded_without_features_says_what_encoding_needs(train, features, tmp_path):
    VBPR(**SMALL).fit(train, features).save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    with pytest.raises(FeaturesError, match=r"load_model\(path, features\)"):
        loaded.encode_items(torch.tensor([0]))
