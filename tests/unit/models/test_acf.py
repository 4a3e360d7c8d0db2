from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from visrec.data.ids import IdMap
from visrec.data.interactions import Histories, Interactions
from visrec.errors import ConfigError, DataError, FeaturesError, UnsupportedError
from visrec.features.features import Features
from visrec.files import read_json, write_json
from visrec.models import acf
from visrec.models.acf import ACF
from visrec.recommender import Queries, load_model
from visrec.training import attention, regions
from visrec.training.sampling import Triples, UniformSampler
from visrec.training.trainer import Trainer

SMALL = {
    "dim_gamma": 4,
    "dim_attention": 4,
    "epochs": 3,
    "batch_size": 4,
    "learning_rate": 0.05,
    "precision": "float32",
}
VARIANTS = pytest.mark.parametrize("variant", ["paper", "tutorial"])


@pytest.fixture
def train(interactions):
    """User 3 took nothing, user 4 one item; item 6 nobody took."""
    pairs = [(0, 0), (0, 1), (1, 2), (2, 3), (2, 0), (1, 4), (2, 5), (0, 3), (2, 1), (4, 2)]
    return interactions(pairs, 5, 7)


@pytest.fixture
def features(train):
    """Five regions of three numbers; item 1 has no image."""
    values = np.random.default_rng(0).normal(0.5, 1, size=(7, 5, 3))
    return Features.from_array(values, train.items.values, missing=np.arange(7) == 1)


def _lively(model: ACF, seed: int = 5) -> ACF:
    """With parameters large enough that attention matters, biases among them."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(generator=generator)
    model.refresh()
    return model


def _parameters(model: ACF) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy() for name, p in model.named_parameters()}


def _softmax(logits: list[float]) -> list[float]:
    exps = [math.exp(x - max(logits)) for x in logits]
    return [x / sum(exps) for x in exps]


def _by_loops(model: ACF, features: Features, u: int, history: list[int]):
    """(query, alphas, betas) of one user, item by item and region by region."""
    p = _parameters(model)
    basis = model.basis.double().numpy() if len(model.basis) else np.eye(model.n_features)
    tutorial = model.config.variant == "tutorial"
    table = p["v"] if tutorial else p["p"]
    logits, betas = [], []
    for item in history:
        hidden = p["W1u"] @ p["u"][u] + p["W1p"] @ table[item] + p["b1"]
        hidden = hidden + (p["b_u"] if tutorial else p["W1v"] @ p["v"][item])
        beta = None
        if not features.missing[item]:
            x = [basis @ row.astype(float) for row in features.values[item]]
            if tutorial:
                x = [p["W_r"] @ row + p["b_r"] for row in x]
            z = [p["w2"] @ np.maximum(p["W2u"] @ p["u"][u] + p["W2x"] @ row + p["b2"], 0) for row in x]
            beta = _softmax(z)
            hidden = hidden + p["W1x"] @ sum(b * row for b, row in zip(beta, x, strict=True))
        betas.append(beta)
        logits.append(float(p["w1"] @ np.maximum(hidden, 0)))
    alphas = _softmax(logits) if history else []
    query = p["W1u"] @ p["u"][u] + p["b_u"] if tutorial else p["u"][u].copy()
    for alpha, item in zip(alphas, history, strict=True):
        query = query + alpha * table[item]
    return (query / 4 if tutorial else query), alphas, betas


# ---- the formulas ----------------------------------------------------------------------------------------


@VARIANTS
@pytest.mark.parametrize("components", [0, 2])
def test_query_and_attentions_are_the_formulas(train, features, variant, components):
    model = _lively(ACF(**SMALL, variant=variant, components=components).fit(train, features))
    assert len(model.basis) == components
    histories = train.histories()
    table = model.attention(train.users.values.to_list())
    for u, user in enumerate(train.users.values):
        history = histories.of(u).tolist()
        query, alphas, betas = _by_loops(model, features, u, history)
        with torch.no_grad():
            found = model.encode_queries(model.queries(np.array([u])))[0].numpy()
        np.testing.assert_allclose(found, query, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            model.score([user])[0], _parameters(model)["v"] @ query, rtol=1e-4, atol=1e-4
        )
        rows = table.filter(user_id=user)
        assert rows["item_id"].to_list() == [train.items.values[item] for item in history]
        np.testing.assert_allclose(rows["alpha"].to_numpy(), alphas, atol=1e-5)
        for beta, expected in zip(rows["beta"].to_list(), betas, strict=True):
            assert (beta is None) == (expected is None)
            if expected is not None:
                np.testing.assert_allclose(beta, expected, atol=1e-5)


@VARIANTS
def test_both_attentions_sum_to_one(train, features, variant):
    model = _lively(ACF(**SMALL, variant=variant).fit(train, features))
    table = model.attention(train.users.values.to_list())
    for user in ("u00", "u01", "u02", "u04"):
        assert table.filter(user_id=user)["alpha"].sum() == pytest.approx(1, abs=1e-6)
    for beta in table["beta"].drop_nulls().to_list():
        assert len(beta) == 5
        assert sum(beta) == pytest.approx(1, abs=1e-6)


def test_padding_takes_no_part(train, features):
    model = _lively(ACF(**SMALL).fit(train, features))
    users = torch.tensor([0, 4, 3])
    history = torch.tensor([[0, 1, 3], [2, 5, 5], [6, 6, 6]])  # what lies beyond the mask must not matter
    mask = torch.tensor([[True, True, True], [True, False, False], [False, False, False]])
    with torch.no_grad():
        together = model.encode_queries(Queries(users, history, mask))
        alone = [
            model.encode_queries(Queries.of([np.array(items, dtype=np.int64)], np.array([u])))[0]
            for u, items in ((0, [0, 1, 3]), (4, [2]), (3, []))
        ]
    torch.testing.assert_close(together, torch.stack(alone))
    torch.testing.assert_close(together[2], model.u[3].detach())  # all padding: no NaN, the user alone


def test_gradients_are_finite_where_a_history_is_all_padding(train, features):
    model = _lively(ACF(**SMALL).fit(train, features))
    queries = Queries.of([np.array([0, 3]), np.zeros(0, dtype=np.int64)], np.array([0, 4]))
    model.encode_queries(queries).sum().backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
    assert model.u.grad[4].tolist() == [1, 1, 1, 1]


def test_users_without_a_history_have_their_own_vector_as_the_query(train, features):
    model = _lively(ACF(**SMALL).fit(train, features))
    np.testing.assert_allclose(model.score(["u03"])[0], (model.v @ model.u[3]).detach(), atol=1e-5)


def test_an_item_without_an_image_still_counts_as_an_item(train, features):
    model = _lively(ACF(**SMALL).fit(train, features))
    table = model.attention(["u00"])
    rows = table.filter(item_id="i01")
    assert rows["beta"].to_list() == [None]
    assert 0 < rows["alpha"][0] < 1
    _, alphas, _ = _by_loops(model, features, 0, [0, 1, 3])
    assert rows["alpha"][0] == pytest.approx(alphas[1], abs=1e-5)


def test_without_any_image_the_items_alone_are_attended_to(train):
    nothing = Features.from_array(np.zeros((7, 5, 3)), train.items.values, missing=np.ones(7, dtype=bool))
    model = ACF(**SMALL).fit(train, nothing)
    assert model.attention(["u02"])["beta"].to_list() == [None] * 4
    assert np.isfinite(model.score(["u02"])).all()


# ---- what it looks at ------------------------------------------------------------------------------------


def test_a_positive_is_never_in_its_own_history(train, features, monkeypatch):
    seen = []
    step = Trainer.step

    def watched(self: Trainer, batch: Triples) -> float:
        seen.append(batch)
        return step(self, batch)

    monkeypatch.setattr(Trainer, "step", watched)
    ACF(**SMALL).fit(train, features)
    histories = train.histories()
    assert sum(map(len, seen)) == 3 * len(train)
    for batch in seen:
        for b in range(len(batch)):
            others = [item for item in histories.of(batch.user[b]) if item != batch.pos[b]]
            assert batch.history.of(b).tolist() == others


def test_only_the_newest_items_are_looked_at(train, features):
    model = _lively(ACF(**SMALL, max_history=2).fit(train, features))
    assert model.attention(["u02"])["item_id"].to_list() == ["i05", "i01"]
    query, *_ = _by_loops(model, features, 2, [5, 1])
    with torch.no_grad():
        found = model.encode_queries(model.queries(np.array([2])))[0]
    np.testing.assert_allclose(found, query, rtol=1e-4, atol=1e-5)
    with pytest.raises(ConfigError, match="max_history"):
        ACF(max_history=0)


def test_visitors_are_refused(train, features):
    with pytest.raises(UnsupportedError, match="only the users"):
        ACF(**SMALL).fit(train, features).recommend_for_history(["i00"])


# ---- memory ----------------------------------------------------------------------------------------------


@VARIANTS
def test_blocks_of_any_size_give_the_same(train, features, variant, monkeypatch):
    """Of queries at ranking, of items there and in training."""
    results = []
    for cells in (1 << 25, 40, 1):
        monkeypatch.setattr(acf, "_CELLS", cells)
        monkeypatch.setattr(attention, "_CELLS", cells)
        model = _lively(ACF(**SMALL, variant=variant).fit(train, features))
        users = train.users.values.to_list()
        table = model.attention(users)
        scores = model.score(users)
        queries = model.queries(np.arange(5))
        model.encode_queries(queries).square().sum().backward()
        gradients = {name: p.grad for name, p in model.named_parameters() if p.grad is not None}
        results.append((scores, table, gradients))
    (scores, table, gradients), *others = results
    assert len(gradients) >= 11
    for other_scores, other_table, other_gradients in others:
        np.testing.assert_allclose(other_scores, scores, rtol=1e-4, atol=1e-4)
        assert other_table.drop("alpha", "beta").equals(table.drop("alpha", "beta"))
        np.testing.assert_allclose(other_table["alpha"], table["alpha"], atol=1e-5)
        assert other_gradients.keys() == gradients.keys()
        for name, gradient in gradients.items():
            torch.testing.assert_close(other_gradients[name], gradient, rtol=1e-3, atol=1e-3)


class _Watched(np.memmap):
    """Says which rows are taken from it."""

    taken: list[list[int]] = []  # noqa: RUF012

    def __getitem__(self, index):
        found = super().__getitem__(index)
        if self.ndim == 3:
            self.taken.append(np.atleast_1d(np.arange(len(self))[index]).tolist())
        return found

    def astype(self, *args, **kwargs):
        assert self.ndim != 3 or len(self) < 7, "all regions are copied"
        return super().astype(*args, **kwargs)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_only_the_rows_of_histories_are_read_sorted(train, features, tmp_path, monkeypatch, dtype):
    values = features.values.astype(dtype)
    values.tofile(tmp_path / "values")
    watched = _Watched(tmp_path / "values", dtype=dtype, mode="r", shape=values.shape)
    mapped = Features(watched, features.items, features.missing, features.failures)
    monkeypatch.setattr(_Watched, "taken", [])
    model = ACF(**SMALL)
    mapped.digest  # noqa: B018  reads all of it, block by block
    _Watched.taken.clear()
    model.fit(train, mapped)
    assert model.features.values.base is not None
    assert _Watched.taken
    for rows in _Watched.taken:
        assert rows == sorted(set(rows))
        assert 6 not in rows  # nobody took it
    _Watched.taken.clear()
    model.score(["u00"])
    assert _Watched.taken == [[0, 1, 3]]
    in_memory = ACF(**SMALL).fit(
        train, Features.from_array(values, features.items.values, missing=features.missing)
    )
    assert in_memory.digest == model.digest


def test_float16_regions_are_computed_with_as_float32(train, features):
    half = Features.from_array(
        features.values.astype(np.float16), train.items.values, missing=features.missing
    )
    single = Features.from_array(half.values.astype(np.float32), train.items.values, missing=features.missing)
    assert half.values.dtype == np.float16
    one, other = (ACF(**SMALL).fit(train, f) for f in (half, single))
    assert one.digest == other.digest


# ---- regions in fewer numbers ----------------------------------------------------------------------------


def _flat(n_items: int = 7) -> np.ndarray:
    """Regions of six numbers that lie in two dimensions."""
    rng = np.random.default_rng(4)
    return rng.normal(size=(n_items, 5, 2)) @ rng.normal(size=(2, 6))


@VARIANTS
def test_within_the_directions_kept_the_model_is_that_of_all_numbers(train, variant):
    features = Features.from_array(_flat(), train.items.values)
    settings = {**SMALL, "epochs": 0}
    whole = ACF(**settings, variant=variant, components=0).fit(train, features)
    reduced = ACF(**settings, variant=variant, components=2).fit(train, features)
    names = ("W_r",) if variant == "tutorial" else ("W2x", "W1x")
    for name in names:
        theirs, ours = getattr(whole, name), getattr(reduced, name)
        torch.testing.assert_close(
            ours, theirs @ reduced.basis.T
        )  # initial values are the same, in the basis
    users = train.users.values.to_list()
    for one, other in zip(
        whole.attention(users)["beta"].to_list(), reduced.attention(users)["beta"].to_list(), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-5)
    np.testing.assert_allclose(whole.score(users), reduced.score(users), rtol=1e-4, atol=1e-6)
    assert "100.0 % of their squared length" in reduced.notes[0]
    assert whole.notes == ()


def test_regions_of_no_more_numbers_than_components_are_read_as_they_are(train, features):
    as_it_is = ACF(**SMALL, components=0).fit(train, features)
    for components in (3, 128):
        model = ACF(**SMALL, components=components).fit(train, features)
        assert model.basis.shape == (0, 3)
        assert model.digest == as_it_is.digest
        assert model.notes == ()
    with pytest.raises(ConfigError, match="components"):
        ACF(components=-1)


def test_a_saved_model_has_its_basis(train, features, tmp_path):
    model = ACF(**SMALL, components=2).fit(train, features)
    model.save(tmp_path / "model")
    users = train.users.values.to_list()
    np.testing.assert_allclose(load_model(tmp_path / "model").score(users), model.score(users), atol=1e-6)
    whole = load_model(tmp_path / "model", features)
    assert whole.attention(users).equals(model.attention(users))
    np.testing.assert_array_equal(whole.score(users), model.score(users))


def test_a_model_written_before_regions_were_reduced_is_read(train, features, tmp_path):
    wide = Features.from_array(np.tile(features.values, 50), train.items.values, missing=features.missing)
    model = ACF(**SMALL, components=0).fit(train, wide)
    state = ACF.state

    def old_state(self: ACF) -> dict[str, torch.Tensor]:
        return {name: tensor for name, tensor in state(self).items() if name != "basis"}

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ACF, "state", old_state)
        model.save(tmp_path / "model")
    about = read_json(tmp_path / "model" / "config.json")
    del about["config"]["components"], about["config"]["precision"]
    write_json(tmp_path / "model" / "config.json", about)
    loaded = load_model(tmp_path / "model", wide)
    assert (loaded.config.components, loaded.config.precision) == (0, "float32")
    assert loaded.n_features == 150
    users = train.users.values.to_list()
    assert loaded.attention(users).equals(model.attention(users))
    np.testing.assert_array_equal(loaded.score(users), model.score(users))


def _interrupted(train, features, valid, path, **settings) -> None:
    """A training that ends after its first epoch, with a checkpoint."""

    class StoppedByTestError(Exception):
        pass

    def stop(*_):
        raise StoppedByTestError

    with pytest.raises(StoppedByTestError):
        ACF(**settings).fit(train, features, valid=valid, checkpoint=path, progress=stop)


@VARIANTS
@pytest.mark.parametrize("validated", [False, True])
@pytest.mark.parametrize("turned", [False, True])
def test_a_training_that_goes_on_ends_as_one_that_was_not_interrupted(
    train, features, interactions, tmp_path, monkeypatch, variant, validated, turned
):
    """Also where directions come out otherwise than where it began: regions are read in those of the checkpoint."""
    settings = {**SMALL, "variant": variant, "components": 2}
    valid = interactions([(0, 4), (1, 0), (2, 4)], 5, 7) if validated else None
    expected = ACF(**settings).fit(train, features, valid=valid)
    _interrupted(train, features, valid, tmp_path / "checkpoint", **settings)
    if turned:
        found = regions.principal_directions

        def other(*given):
            basis, share = found(*given)
            return basis * torch.tensor([[1.0], [-1.0]]), share

        monkeypatch.setattr(regions, "principal_directions", other)
        assert not torch.equal(ACF(**{**settings, "epochs": 0}).fit(train, features).basis, expected.basis)
    epochs = []
    model = ACF(**settings)
    model.fit(
        train,
        features,
        valid=valid,
        checkpoint=tmp_path / "checkpoint",
        progress=lambda done, *_: epochs.append(done),
    )
    assert epochs[0] == 2
    state, wanted = model.state(), expected.state()
    assert state.keys() == wanted.keys()
    for name, tensor in wanted.items():
        assert torch.equal(state[name], tensor), name


def test_reduced_regions_are_kept_while_it_learns_and_then_let_go_of(train, features, monkeypatch):
    kept = []
    step = Trainer.step

    def watched(self: Trainer, batch: Triples) -> float:
        loss = step(self, batch)
        kept.append(self.model.x.kept)
        return loss

    monkeypatch.setattr(Trainer, "step", watched)
    model = ACF(**SMALL, components=2).fit(train, features)
    assert kept[0].values.shape == (6, 5, 2)  # of the items of histories
    assert all(one is kept[0] for one in kept)
    assert model.x.kept is None


def test_large_regions_in_float16_are_learnt_from(train):
    """Their length is 40,000 sqrt(6), beyond float16, whose last number is 65,504."""
    large = Features.from_array(np.full((7, 2, 6), 40_000, dtype=np.float16), train.items.values)
    model = ACF(**SMALL, components=2).fit(train, large)
    assert np.isfinite(model.score(["u02"])).all()


def test_bfloat16_changes_what_is_learnt_by_its_rounding_alone(train, features):
    exact, rounded = (
        ACF(**{**SMALL, "precision": precision}).fit(train, features) for precision in ("float32", "bfloat16")
    )
    users = train.users.values.to_list()
    ours, theirs = rounded.score(users), exact.score(users)
    assert 0 < np.abs(ours - theirs).max() < 0.05 * np.abs(theirs).max()


def test_bfloat16_is_only_learnt_with(train, features, interactions, monkeypatch):
    """Validation, the vectors that are kept and all that is asked of a finished model are in float32."""
    taken = []
    attend = acf.attend

    def watched(*given, dtype):
        taken.append((model.is_learning, dtype))
        return attend(*given, dtype=dtype)

    monkeypatch.setattr(acf, "attend", watched)
    model = ACF(**{**SMALL, "precision": "bfloat16"})
    model.fit(train, features, valid=interactions([(0, 4), (1, 0)], 5, 7))
    users = train.users.values.to_list()
    rounded = model.score(users), model.attention(users)
    assert set(taken) == {(True, torch.bfloat16), (False, torch.float32)}
    model.config = model.config.replace(precision="float32")
    np.testing.assert_array_equal(rounded[0], model.score(users))
    assert rounded[1].equals(model.attention(users))
    Q = model.Q
    model.remember()
    assert torch.equal(Q, model.Q)


# ---- learning --------------------------------------------------------------------------------------------


@VARIANTS
def test_gradients_reach_every_parameter(train, features, variant, gradients):
    """W1v among them, which the tutorial declares and never uses."""
    model = _lively(ACF(**SMALL, variant=variant, reg=0, reg_W=0).fit(train, features))
    trainer = Trainer(model, UniformSampler(train, history="others"), None, fingerprint="")
    batch = next(UniformSampler(train, history="others").epoch(100, np.random.default_rng(0)))
    for name, gradient in gradients(trainer, batch).items():
        assert gradient.abs().sum() > 0, name
    assert ("W1v" in dict(model.named_parameters())) == (variant == "paper")


def test_the_penalty_counts_what_each_triple_touches(train, features, penalty):
    model = _lively(ACF(**SMALL, reg=0.3, reg_W=0.7).fit(train, features))
    p = _parameters(model)
    triples = [(0, 0, [4], [1, 3]), (2, 3, [4], [0, 5, 1]), (2, 5, [6], [0, 3, 1])]  # u, i, j, history
    total = 0.0
    for u, i, (j,), history in triples:
        total += (p["u"][u] ** 2).sum() + (p["v"][i] ** 2).sum() + (p["v"][j] ** 2).sum()
        total += np.mean([(p["p"][item] ** 2).sum() for item in history])
    weights = sum((W**2).sum() for name, W in p.items() if name[0] in "Ww")
    expected = 0.3 / 2 * total / 3 + 0.7 / 2 * weights
    batch = Triples(
        *(np.array([one[place] for one in triples]) for place in range(3)),
        np.ones(3, dtype=np.float32),
        Histories(np.array([0, 2, 5, 8]), np.array([item for *_, history in triples for item in history])),
    )
    assert penalty(model, batch) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("reg", "reg_W", "shrinks"), [(5.0, 0.0, "p"), (0.0, 5.0, "W2x")])
def test_each_regularisation_makes_its_own_parameters_smaller(train, features, reg, reg_W, shrinks):
    free = ACF(**{**SMALL, "epochs": 30}, reg=0, reg_W=0).fit(train, features)
    held = ACF(**{**SMALL, "epochs": 30}, reg=reg, reg_W=reg_W).fit(train, features)
    assert getattr(held, shrinks).norm() < 0.2 * getattr(free, shrinks).norm()


def _tastes(n_items: int = 40, n_users: int = 60) -> tuple[Interactions, Features]:
    """Users and items of four tastes; which taste an item is of shows in one of its four regions.

    Each user took six items of their own taste, and two at random of the others, which say nothing of them.
    """
    rng = np.random.default_rng(2)
    taste = np.arange(n_items) % 4
    pairs = []
    for u in range(n_users):
        own, other = (rng.permutation(np.flatnonzero(of)) for of in (taste == u % 4, taste != u % 4))
        pairs += [(u, i) for i in [*own[:6], *other[:2]]]
    user, item = rng.permutation(pairs).T
    users = IdMap([f"u{n:02d}" for n in range(n_users)], kind="user")
    items = IdMap([f"i{n:02d}" for n in range(n_items)], kind="item")
    train = Interactions(user, item, np.arange(len(user)), np.ones(len(user)), users, items)
    values = 0.1 * rng.normal(size=(n_items, 4, 8))
    values[np.arange(n_items), rng.integers(4, size=n_items), taste] += 2
    return train, Features.from_array(values, items.values)


@pytest.mark.parametrize("components", [0, 4])
def test_attention_is_higher_on_items_of_the_users_own_taste(components):
    train, features = _tastes()
    model = ACF(dim_gamma=8, dim_attention=8, components=components, epochs=30, batch_size=32, seed=0)
    model.fit(train, features)
    table = model.attention(train.users.values.to_list())
    taste_of_user = train.users.indices(table["user_id"]) % 4
    own = train.items.indices(table["item_id"]) % 4 == taste_of_user
    alpha = table["alpha"].to_numpy()
    assert alpha[own].mean() > 3 * alpha[~own].mean()


def test_the_tutorials_settings_yield_to_those_given_by_hand():
    config = ACF(variant="tutorial", dim_gamma=7).config
    assert (config.dim_gamma, config.dim_attention, config.max_history) == (7, 7, 9)
    assert (config.learning_rate, config.weight_decay, config.reg, config.batch_size) == (1e-3, 1e-5, 0, 128)
    assert ACF().config.loss == "bpr"
    with pytest.raises(ConfigError, match="Leave dim_attention out"):
        ACF(variant="tutorial", dim_gamma=7, dim_attention=5)
    assert ACF(variant="tutorial").config.replace(seed=3).dim_attention == 128


def test_the_tutorials_initial_values(train, features):
    model = ACF(variant="tutorial", dim_gamma=60, epochs=0).fit(train, features)
    assert model.v.std().item() == pytest.approx(1, rel=0.15)
    for name in ("W2u", "W2x", "W1u", "W1p", "W1x"):
        assert getattr(model, name).std().item() == pytest.approx(math.sqrt(2 / 60), rel=0.1), name
    assert model.W_r.abs().max() <= 3**-0.5
    assert model.b_r.abs().max() > 0
    for name in ("b1", "b2", "b_u"):
        assert (getattr(model, name) == 0).all(), name


# ---- all items, by id ------------------------------------------------------------------------------------


def test_tutorial_error_3_every_item_has_its_own_score_whatever_ids_and_positives_there_are(features):
    """Sparse ids in no order, most of them never a positive: no position stands for another item."""
    ids = [907, 3, 41, 500, 12, 88, 6001]
    items, users = IdMap(ids, kind="item"), IdMap([70, 5], kind="user")
    train = Interactions(
        users.indices([5, 5, 70]), items.indices([500, 12, 6001]), np.arange(3), np.ones(3), users, items
    )
    shown = Features.from_array(features.values, ids, missing=features.missing)
    model = _lively(ACF(**SMALL, negatives="catalog").fit(train, shown))
    v = model.v.detach().double().numpy()
    assert model.score([5]).shape == (1, 7)
    for user, history in ((5, [500, 12]), (70, [6001])):
        aligned = shown.align(items)
        query, *_ = _by_loops(model, aligned, users.index(user), items.indices(history).tolist())
        # The tutorial: only positives are scored, and what stands at place j is read as the score of item j.
        theirs = v[np.unique(train.item)] @ query
        ours = model.score([user])[0]
        assert len(theirs) < len(ours)
        assert (abs(theirs - ours[: len(theirs)]) > 1e-3).all()
        for item in ids:
            expected = v[items.index(item)] @ query
            assert model.score([user], items=[item])[0, 0] == pytest.approx(expected, rel=1e-4, abs=1e-4)
        listed = model.recommend([user], k=10)
        assert set(listed["item_id"]) == set(ids) - set(history)
    assert len(np.unique(model.score([5])[0])) == 7


def test_items_that_nobody_took_score_nothing_unless_they_were_negatives(train, features):
    model = ACF(**SMALL).fit(train, features)
    assert (model.v[6] == 0).all()
    assert (model.p[6] == 0).all()
    assert (model.u[3] == 0).all()
    catalog = ACF(**SMALL, negatives="catalog").fit(train, features)
    assert (catalog.v[6] != 0).all()
    assert (catalog.p[6] == 0).all()  # never in a history
    with pytest.raises(UnsupportedError, match="knows nothing"):
        model.similar_items(["i06"])


# ---- keeping ---------------------------------------------------------------------------------------------


def test_a_loaded_model_ranks_its_users_without_features_and_says_what_it_cannot(train, features, tmp_path):
    model = ACF(**SMALL, max_history=3).fit(train, features)
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    users = train.users.values.to_list()
    np.testing.assert_allclose(loaded.score(users), model.score(users), atol=1e-6)
    with pytest.raises(FeaturesError, match=r"load_model\(path, features\)"):
        loaded.attention(["u00"])
    other = Queries.of([np.array([0, 4])], np.array([0]))
    with pytest.raises(FeaturesError, match=r"load_model\(path, features\)"):
        loaded.score_queries(other)
    whole = load_model(tmp_path / "model", features)
    torch.testing.assert_close(whole.score_queries(other), model.score_queries(other))
    assert whole.attention(users).equals(model.attention(users))


# ---- attention as a table ------------------------------------------------------------------------------


def test_attention_to_a_history_of_ones_own(train, features):
    model = _lively(ACF(**SMALL, max_history=2).fit(train, features))
    table = model.attention(["u00", "u03", "u00"], [["i00", "i02", "i05"], ["i04"], []])
    assert table["user_id"].to_list() == ["u00", "u00", "u03"]
    assert table["item_id"].to_list() == ["i02", "i05", "i04"]
    _, alphas, betas = _by_loops(model, features, 0, [2, 5])
    np.testing.assert_allclose(table["alpha"], [*alphas, 1], atol=1e-5)
    np.testing.assert_allclose(table["beta"].to_list()[:2], betas, atol=1e-5)


def test_attention_to_nothing_is_an_empty_table(train, features):
    model = ACF(**SMALL).fit(train, features)
    some, none = model.attention(["u00"]), model.attention([])
    assert none.height == 0
    assert none.schema == some.schema == model.attention(["u03"]).schema


def test_attention_says_what_is_wrong_with_what_it_was_asked(train, features):
    model = ACF(**SMALL).fit(train, features)
    with pytest.raises(ConfigError, match="2 histories for 1 users"):
        model.attention(["u00"], [["i00"], ["i01"]])
    with pytest.raises(DataError, match="nobody"):
        model.attention(["nobody"])
    with pytest.raises(DataError, match="nothing"):
        model.attention(["u00"], [["nothing"]])
