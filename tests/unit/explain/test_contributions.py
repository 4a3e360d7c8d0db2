from __future__ import annotations

import numpy as np
import pytest
import torch

import visrec
from visrec.errors import FeaturesError
from visrec.explain import explain

HISTORY = ["i00", "i02", "i04", "i06", "i08", "i09"]  # of u00; i04 has no picture


def _values(found) -> dict[str, float]:
    return {one.item_id: one.value for one in found.contributions.items}


# ---- exact parts ---------------------------------------------------------------------------------------


def test_of_visranks_maximum_one_item_decides(fitted):
    model = fitted("VisRank")
    f = model.f.numpy()
    cosine = {n: float(f[n] @ f[3]) for n in (0, 2, 4, 6, 8, 9)}
    best = max(cosine, key=cosine.get)
    expected = {f"i{n:02d}": cosine[n] if n == best else 0.0 for n in cosine}
    found = explain(model, "u00", "i03")
    assert found.contributions.how == "exact"
    assert _values(found) == pytest.approx(expected, abs=1e-6)
    assert found.contributions.ranked[0].item_id == f"i{best:02d}"


def test_of_visranks_average_each_picture_has_its_share(fitted):
    model = fitted("VisRank", method="average")
    f = model.f.numpy()
    expected = {f"i{n:02d}": 0.0 if n == 4 else float(f[n] @ f[3]) / 5 for n in (0, 2, 4, 6, 8, 9)}
    assert _values(explain(model, "u00", "i03")) == pytest.approx(expected, abs=1e-6)


def test_of_visranks_top_n_the_nearest_share(fitted):
    model = fitted("VisRank", method="top_n", n=2)
    f = model.f.numpy()
    cosine = {n: float(f[n] @ f[3]) for n in (0, 2, 6, 8, 9)}
    nearest = sorted(cosine, key=cosine.get)[-2:]
    expected = {f"i{n:02d}": cosine[n] / 2 if n in nearest else 0.0 for n in (0, 2, 4, 6, 8, 9)}
    assert _values(explain(model, "u00", "i03")) == pytest.approx(expected, abs=1e-6)


def test_of_item_knn_each_item_has_its_weight(fitted):
    model = fitted("ItemKNN")
    S = model.S.toarray()
    expected = {f"i{n:02d}": float(S[5, n]) for n in (0, 2, 4, 6, 8, 9)}
    assert max(expected.values()) > 0  # u02 took i00 and i05
    assert _values(explain(model, "u00", "i05")) == pytest.approx(expected, abs=1e-7)


def test_of_ease_each_item_has_its_weight(fitted):
    model = fitted("EASE")
    column = {int(item): place for place, item in enumerate(model.taken)}
    B = model.columns.numpy()
    expected = {f"i{n:02d}": float(B[column[5], column[n]]) for n in (0, 2, 4, 6, 8, 9)}
    assert _values(explain(model, "u00", "i05")) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("variant", ["paper", "tutorial"])
def test_of_acf_each_item_has_alpha_times_its_match(fitted, variant):
    sizes = {"dim_gamma": 3, "dim_attention": 3, "epochs": 2, "max_history": 4}
    model = visrec.ACF(variant=variant, **sizes) if variant == "tutorial" else fitted("ACF")
    if variant == "tutorial":
        model.fit(_train_of(fitted), fitted("ACF").features)
    found = explain(model, "u00", "i03")
    alpha = model.attention(["u00"])["alpha"].to_list()
    assert [one.item_id for one in found.contributions.items] == HISTORY[-4:]  # the newest four are looked at
    with torch.no_grad():
        for one, item, share in zip(found.contributions.items, (4, 6, 8, 9), alpha, strict=True):
            match = sum(float(a) * float(b) for a, b in zip(model.profile[item], model.v[3], strict=True))
            assert one.value == pytest.approx(share * match / (3 if variant == "tutorial" else 1), abs=1e-6)


def _train_of(fitted):
    """The interactions that a fitted model knows."""
    from visrec.data.interactions import Interactions

    model = fitted("BPR")
    histories = model.histories
    n = len(histories.items)
    return Interactions(histories.owner, histories.items, np.arange(n), np.ones(n), model.users, model.items)


@pytest.mark.parametrize(
    ("name", "settings"),
    [("VisRank", {}), ("VisRank", {"method": "average"}), ("VisRank", {"method": "top_n", "n": 4})]
    + [(name, {}) for name in ("ItemKNN", "EASE", "ACF")],
)
@pytest.mark.parametrize("item", ["i03", "i05", "i11"])
def test_exact_parts_and_the_rest_add_up_to_the_score(fitted, name, settings, item):
    model = fitted(name, **settings)
    found = explain(model, "u00", item)
    total = sum(_values(found).values()) + found.contributions.rest
    assert total == pytest.approx(float(model.score(["u00"], [item])[0, 0]), abs=1e-5)
    if name != "ACF":
        assert found.contributions.rest == pytest.approx(0, abs=1e-5)


# ---- what the score loses ------------------------------------------------------------------------------


def test_of_curatornet_an_item_is_worth_what_the_score_loses_without_it(fitted):
    model = fitted("CuratorNet")
    found = explain(model, "u00", "i03")
    assert (found.contributions.how, found.contributions.rest) == ("left out", None)
    for one in found.contributions.items:
        without = [item for item in HISTORY if item != one.item_id]
        other = explain(model, None, "i03", history=without)
        assert one.value == pytest.approx(found.score - other.score, abs=1e-5)
    assert _values(found)["i04"] == pytest.approx(0, abs=1e-6)  # no picture, no part


def test_models_of_the_user_alone_have_no_contributions(fitted):
    assert explain(fitted("VBPR"), "u00", "i03").contributions is None


def test_an_empty_history_leaves_all_to_the_rest(fitted):
    model = fitted("ACF")
    found = explain(model, "u03", "i03")  # took nothing
    assert found.contributions.items == ()
    assert found.contributions.rest == pytest.approx(found.score)


# ---- terms ---------------------------------------------------------------------------------------------


def test_the_terms_of_vbpr_are_those_of_its_equation(fitted, content):
    model = fitted("VBPR")
    found = {one.name: one for one in explain(model, "u00", "i03").terms}
    f = content.vector.values.astype(float)
    f = np.where(content.vector.missing[:, None], f[~content.vector.missing].mean(0), f) / float(model.f_norm)
    gamma_u, theta_u = model.gamma_u[0].tolist(), model.theta_u[0].tolist()
    E, beta_prime = model.E.detach().numpy(), model.beta_prime.detach().numpy()[:, 0]

    def expected(item: int) -> dict[str, float]:
        visual = 0.0
        for d in range(2):
            for column in range(5):
                visual += theta_u[d] * E[d, column] * f[item, column]
        factors = sum(gamma_u[k] * float(model.gamma_i.detach()[item, k]) for k in range(3))
        bias = float(model.beta_i.detach()[item, 0])
        return {
            "factors": factors,
            "visual": visual,
            "bias": bias,
            "visual bias": float(beta_prime @ f[item]),
        }

    assert {name: one.value for name, one in found.items()} == pytest.approx(expected(3), abs=1e-6)
    for name, one in found.items():
        mean = sum(expected(item)[name] for item in range(12)) / 12
        assert one.average == pytest.approx(mean, abs=1e-6)
        assert one.above == pytest.approx(one.value - mean, abs=1e-6)


@pytest.mark.parametrize(
    ("name", "settings", "names"),
    [
        ("BPR", {}, ["factors", "bias"]),
        ("VBPR", {}, ["factors", "visual", "bias", "visual bias"]),
        ("VBPR", {"dim_gamma": 0}, ["visual", "bias", "visual bias"]),
        ("DVBPR", {}, ["visual"]),
        ("DVBPR", {"dim_gamma": 2, "bias": True}, ["factors", "visual", "bias"]),
    ],
)
def test_terms_add_up_to_the_score(fitted, name, settings, names):
    model = fitted(name, **settings)
    terms = explain(model, "u00", "i03").terms
    assert [one.name for one in terms] == names
    assert sum(one.value for one in terms) == pytest.approx(
        float(model.score(["u00"], ["i03"])[0, 0]), abs=1e-5
    )
    everywhere = float(model.score(["u00"])[0].mean())
    assert sum(one.average for one in terms) == pytest.approx(everywhere, abs=1e-5)


def test_terms_need_no_features(fitted, tmp_path):
    model = fitted("VBPR")
    model.save(tmp_path / "m")
    loaded = visrec.load_model(tmp_path / "m")
    found, expected = (explain(one, "u00", "i03") for one in (loaded, model))
    assert found.terms == expected.terms
    assert (found.nearest.by, found.nearest.looks) == ("model", False)  # factors are compared too


# ---- what a model without its features cannot say ------------------------------------------------------


def test_acf_without_its_features_says_what_to_do(fitted, tmp_path):
    model = fitted("ACF")
    model.save(tmp_path / "m")
    loaded = visrec.load_model(tmp_path / "m")
    found = explain(loaded, "u00", "i03")
    assert found.score == pytest.approx(explain(model, "u00", "i03").score, abs=1e-6)
    assert found.attention == ()
    assert len(found.notes) == 1
    assert "load_model(path, features)" in found.notes[0]
    with pytest.raises(FeaturesError, match="load_model"):
        explain(loaded, "u00", "i03", history=["i01"])
