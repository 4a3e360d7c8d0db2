"""ACF against the numbers of the tutorial's own implementation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.features.features import Features
from visrec.models.acf import ACF
from visrec.recommender import Queries, load_model
from visrec.training.losses import bpr_loss, warp_loss

OURS = {
    "user_model.user_embedding.weight": "u",
    "user_model.feats.dim_reductor.weight": "W_r",
    "user_model.feats.dim_reductor.bias": "b_r",
    "user_model.feats.w_u.weight": "W2u",
    "user_model.feats.w_x.weight": "W2x",
    "user_model.w_u.weight": "W1u",
    "user_model.w_u.bias": "b_u",
    "user_model.w_p.weight": "W1p",
    "user_model.w_x.weight": "W1x",
}
CLOSE = {"rtol": 1e-4, "atol": 1e-6}


@pytest.fixture(scope="module")
def reference(shared):
    return dict(np.load(shared("reference/parity/acf.npz"), allow_pickle=False))


@pytest.fixture
def data(reference):
    """Its three users' histories as training data; ids without the shift by one and without the padding."""
    profiles = reference["profiles_padded_plus_one"]
    row, place = np.nonzero(profiles)
    maps = reference["feature_maps"]  # (I, F, 2, 2)
    users = IdMap(range(len(reference["param/user_model.user_embedding.weight"])), kind="user")
    items = IdMap(range(len(maps)), kind="item")
    user, item = reference["users"][row], profiles[row, place] - 1
    train = Interactions(user, item, np.arange(len(user)), np.ones(len(user)), users, items)
    regions = maps.reshape(*maps.shape[:2], -1).transpose(0, 2, 1)  # (I, R, F)
    return train, Features.from_array(regions, items.values, provenance={"grid": list(maps.shape[2:])})


@pytest.fixture
def model(reference, data):
    """Our class with the reference's parameters, through `fit` and its own names."""
    K = reference["param/item_model.weight"].shape[1]
    model = ACF(variant="tutorial", dim_gamma=K, epochs=0).fit(*data)
    param = {name.removeprefix("param/"): torch.from_numpy(value) for name, value in reference.items()
             if name.startswith("param/")}  # fmt: skip
    # The history's table is the items' own: p is v. Row 0 of both was the padding.
    torch.testing.assert_close(param["item_model.weight"], param["user_model.profile_embedding.weight"])
    biases = {"b2": ("feats.w_u", "feats.w_x"), "b1": ("w_p", "w_x")}  # sums: only they count
    with torch.no_grad():
        for theirs, ours in OURS.items():
            model.get_parameter(ours).copy_(param[theirs])
        model.v.copy_(param["item_model.weight"][1:])
        model.w2.copy_(param["user_model.feats.w.weight"][0])
        model.w1.copy_(param["user_model.w.weight"][0])
        for ours, theirs in biases.items():
            model.get_parameter(ours).copy_(sum(param[f"user_model.{one}.bias"] for one in theirs))
    model.refresh()
    return model


def test_all_scores_are_reproduced(model, reference):
    scores = model.score(reference["users"].tolist())
    np.testing.assert_allclose(scores, reference["scores"], **CLOSE)


def test_the_scores_of_positives_and_negatives_are_reproduced(model, reference):
    scores = model.score(reference["users"].tolist())
    for kind in ("positive", "negative"):
        items = reference[f"{kind}s_plus_one"] - 1
        np.testing.assert_allclose(scores[range(3), items], reference[f"score_{kind}"], **CLOSE)


def test_both_attentions_are_reproduced(model, reference):
    table = model.attention(reference["users"].tolist())
    profiles = reference["profiles_padded_plus_one"]
    real = profiles > 0
    assert table["user_id"].to_list() == np.repeat(reference["users"], real.sum(1)).tolist()
    assert table["item_id"].to_list() == (profiles[real] - 1).tolist()
    np.testing.assert_allclose(
        table["alpha"].to_numpy(), reference["profile_attentions"][:, 0][real], **CLOSE
    )
    np.testing.assert_allclose(table["beta"].to_numpy(), reference["component_attentions"][real], **CLOSE)


def test_tutorial_error_10_the_user_vector_is_overwritten_by_its_projection_only_in_its_variant(
    model, reference, data
):
    """Its query is W_u u + b + sum_l alpha_l p_l, and w_v, though declared, is never used."""
    users = torch.from_numpy(reference["users"])
    queries = model.queries(reference["users"])
    alpha = torch.from_numpy(reference["profile_attentions"][:, 0])  # (3, 4)
    pooled = (alpha[:, :, None] * model.v[queries.history]).sum(1)
    u = model.u[users]
    with torch.no_grad():
        found = model.encode_queries(queries) * model.config.dim_gamma
        torch.testing.assert_close(found, u @ model.W1u.T + model.b_u + pooled, rtol=1e-4, atol=1e-5)
    assert not hasattr(model, "W1v")

    paper = ACF(dim_gamma=6, epochs=0).fit(*data)
    table = paper.attention(reference["users"].tolist())
    for user in reference["users"].tolist():
        rows = table.filter(user_id=user)
        index = paper.items.indices(rows["item_id"])
        pooled = rows["alpha"].to_torch() @ paper.p[index]
        with torch.no_grad():
            query = paper.encode_queries(paper.queries(np.array([user])))[0]
        torch.testing.assert_close(query, (paper.u[user] + pooled).detach())


def test_tutorial_error_11_its_warp_weighs_by_the_batch_and_its_bpr_is_no_logarithm(reference):
    """Derived from its scores, with one negative a positive; then what ours are on the same scores."""
    pos, neg = reference["score_positive"].astype(float), reference["score_negative"].astype(float)

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    theirs_bpr = sum(sigmoid(n - p) for p, n in zip(pos, neg, strict=True)) / 3
    assert float(reference["bpr"]) == pytest.approx(theirs_bpr, rel=1e-6)
    shares = [sigmoid(n - p + 1) for p, n in zip(pos, neg, strict=True)]
    violating = [share for share in shares if share > 0.5]
    # Every positive's weight is that of the violations of all positives together.
    theirs_warp = (1 + math.log(1 + len(violating))) * sum(violating) / 3
    assert float(reference["warp"]) == pytest.approx(theirs_warp, rel=1e-6)

    x_ui, x_uj = torch.from_numpy(pos), torch.from_numpy(neg)[:, None]
    ours_bpr = sum(-math.log(sigmoid(p - n)) for p, n in zip(pos, neg, strict=True)) / 3
    assert bpr_loss(x_ui, x_uj).item() == pytest.approx(ours_bpr, rel=1e-6)
    assert ours_bpr != pytest.approx(theirs_bpr, rel=0.1)
    # Ours: a hinge, weighed by 1 + 1/2 + … + 1/rank; the only negative of each stands for all of its candidates.
    harmonic = sum(1 / r for r in range(1, 21))
    ours_warp = sum(harmonic * max(0, 1 - p + n) for p, n in zip(pos, neg, strict=True)) / 3
    assert warp_loss(x_ui, x_uj, n_candidates=20).item() == pytest.approx(ours_warp, rel=1e-5)
    # What the other positives of a batch do changes the weight of one there, not here.
    alone = warp_loss(x_ui[2:], x_uj[2:], n_candidates=20).item()
    assert alone == pytest.approx(harmonic * (1 - pos[2] + neg[2]), rel=1e-5)
    assert (1 + math.log(1 + 1)) * shares[2] != pytest.approx((1 + math.log(1 + 2)) * shares[2], rel=0.1)


def test_a_saved_model_still_reproduces_them(model, reference, data, tmp_path):
    everyone = Queries.padded(model.histories, np.arange(len(model.users)))
    with torch.no_grad():
        model.Q = model.encode_queries(everyone)  # fitting did so with other parameters
    model.save(tmp_path / "model")
    for content in (None, data[1]):
        loaded = load_model(tmp_path / "model", content)
        np.testing.assert_allclose(loaded.score(reference["users"].tolist()), reference["scores"], **CLOSE)
