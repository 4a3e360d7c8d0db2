from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import torch

from visrec.data.interactions import Histories
from visrec.errors import ConfigError, FeaturesError, UnsupportedError
from visrec.features.features import Features
from visrec.models.curatornet import CuratorNet
from visrec.recommender import Queries, load_model
from visrec.training.sampling import NOBODY, Triples, UniformSampler
from visrec.training.trainer import Trainer

SMALL = {"dim": 4, "dim_hidden": 5, "epochs": 3, "batch_size": 4, "precision": "float32"}


@pytest.fixture
def train(interactions):
    """Item 1 has no image, item 6 nobody took; user 3 took nothing, user 4 nothing that has an image."""
    pairs = [(0, 0), (0, 1), (1, 2), (2, 3), (2, 0), (1, 4), (2, 5), (4, 1), (0, 5)]
    return interactions(pairs, 5, 7)


@pytest.fixture
def features(train):
    values = np.random.default_rng(0).normal(2, 3, size=(7, 5))
    return Features.from_array(values, train.items.values, missing=np.isin(np.arange(7), [1]))


@pytest.fixture(params=["paper", "tutorial"])
def model(train, features, request):
    return CuratorNet(**SMALL, variant=request.param, max_history=None).fit(train, features)


def _selu(x: float) -> float:
    scale, alpha = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
    return scale * (x if x > 0 else alpha * (math.exp(x) - 1))


def _linear(model: CuratorNet) -> list[torch.nn.Linear]:
    return [layer for tower in (model.item_tower, model.query_tower) for layer in tower[::2]]


def _dense(tower: torch.nn.Sequential, x: Sequence[float]) -> list[float]:
    for layer in tower[::2]:  # SELU between
        W, b = layer.weight.detach().double().numpy(), layer.bias.detach().double().numpy()
        x = [_selu(b[m] + sum(W[m, n] * x[n] for n in range(len(x)))) for m in range(len(b))]
    return list(x)


def _z(features: Features, variant: str) -> list[list[float]]:
    """What the item tower reads: z-scores by loops, or the features as they are; item 1 is an average one."""
    f = features.values.astype(float)
    seen = [i for i in range(7) if i != 1]
    mean = [sum(f[i, x] for i in seen) / len(seen) for x in range(5)]
    if variant == "tutorial":
        return [mean if i == 1 else list(f[i]) for i in range(7)]
    std = [math.sqrt(sum((f[i, x] - mean[x]) ** 2 for i in seen) / len(seen)) for x in range(5)]
    return [[0.0 if i == 1 else (f[i, x] - mean[x]) / std[x] for x in range(5)] for i in range(7)]


def _histories(*rows: Sequence[int]) -> Queries:
    return Queries.of([np.array(row, dtype=np.int64) for row in rows])


def _encoded(model: CuratorNet, *rows: Sequence[int]) -> torch.Tensor:
    with torch.no_grad():
        return model.encode_queries(_histories(*rows))


# ---- the formula ---------------------------------------------------------------------------------------


def test_the_score_is_that_of_the_two_towers(model, train, features):
    variant = model.config.variant
    q = [_dense(model.item_tower, z) for z in _z(features, variant)]
    scores = model.score(train.users.values.to_list())
    for u, history in enumerate([[0, 5], [2, 4], [3, 0, 5]]):  # user 0 also took item 1, which has no image
        mean = [sum(q[item][d] for item in history) / len(history) for d in range(4)]
        most = [max(q[item][d] for item in history) for d in range(4)]
        p = _dense(model.query_tower, mean + most if variant == "paper" else most + mean)
        for i in range(7):
            assert scores[u, i] == pytest.approx(sum(p[d] * q[i][d] for d in range(4)), abs=1e-4)


def test_features_are_z_scored_over_the_items_that_have_an_image(train, features):
    model = CuratorNet(**SMALL).fit(train, features)
    np.testing.assert_allclose(model.z, _z(features, "paper"), atol=1e-5)
    assert (model.z[1] == 0).all()


def test_features_that_are_standardised_already_give_the_same(train, features):
    one = CuratorNet(**SMALL).fit(train, features)
    other = CuratorNet(**SMALL).fit(train, features.standardize())
    torch.testing.assert_close(one.Z, other.Z, rtol=1e-4, atol=1e-5)


def test_a_constant_feature_says_nothing(train, features):
    values = np.concatenate([features.values, np.full((7, 1), 0.1)], axis=1)
    values[1] = 0
    more = Features.from_array(values, train.items.values, missing=features.missing)
    model = CuratorNet(**SMALL).fit(train, more)
    assert (model.z[:][:, 5] == 0).all()


def test_what_the_missing_row_holds_does_not_matter(train, features):
    values = features.values.copy()
    values[1] = 1e6
    other = Features.from_array(values, train.items.values, missing=features.missing)
    one, two = (CuratorNet(**SMALL).fit(train, f) for f in (features, other))
    assert one.digest == two.digest


def test_initial_weights_are_glorots_and_biases_are_0(train, features):
    model = CuratorNet(epochs=0).fit(train, features)
    layers = _linear(model)
    shapes = [(200, 5), (200, 200), (300, 400), (300, 300), (200, 300)]
    assert [tuple(layer.weight.shape) for layer in layers] == shapes
    for layer, (m, n) in zip(layers, shapes, strict=True):
        bound = math.sqrt(6 / (m + n))
        assert layer.weight.abs().max() <= bound
        assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        assert (layer.bias == 0).all()


def test_the_penalty_is_on_all_weights_and_on_no_bias(train, features, penalty):
    model = CuratorNet(**SMALL, reg=0.3).fit(train, features)
    total = 0.0
    for name, parameter in model.named_parameters():
        if name.endswith("weight"):
            total += sum(float(w) ** 2 / 2 for w in parameter.detach().flatten())
    one = np.zeros(1, dtype=np.int64)
    triples = Triples(one, one, one[:, None], np.ones(1, dtype=np.float32))
    assert penalty(model, triples) == pytest.approx(0.3 * total, rel=1e-5)


# ---- histories -----------------------------------------------------------------------------------------

RAGGED = [[0], [2, 3, 4], [], [5, 1, 6, 0, 2, 3], [1], [4, 4, 3]]


def test_a_batch_of_ragged_histories_gives_what_single_ones_get(model):
    singles = torch.cat([_encoded(model, row) for row in RAGGED])
    torch.testing.assert_close(_encoded(model, *RAGGED), singles)
    with torch.no_grad():
        batch, _ = model.encode_batch(_histories(*RAGGED), torch.tensor([6, 2]))
    torch.testing.assert_close(batch, singles)


def test_what_stands_in_the_padding_never_matters(model):
    queries = _histories(*RAGGED)
    other = Queries(None, queries.history.masked_fill(~queries.mask, 6), queries.mask)
    with torch.no_grad():
        assert torch.equal(model.encode_queries(queries), model.encode_queries(other))
        one, two = (model.encode_batch(q, torch.tensor([0, 1]))[0] for q in (queries, other))
    assert torch.equal(one, two)


def test_the_order_of_a_history_does_not_matter(model):
    torch.testing.assert_close(_encoded(model, [5, 6, 0, 2]), _encoded(model, [0, 2, 6, 5]))


def test_an_item_without_an_image_counts_in_no_history(model):
    torch.testing.assert_close(_encoded(model, [5, 1, 0], [1, 2]), _encoded(model, [5, 0], [2]))


def test_a_history_of_which_nothing_is_left_has_the_query_vector_0(model):
    with torch.no_grad():
        model.query_tower[0].bias.fill_(0.5)  # so that nothing pooled is still something
    assert (_encoded(model, [], [1]) == 0).all()
    assert (model.score(["u03", "u04"]) == 0).all()
    with pytest.raises(UnsupportedError, match="knows nothing"):
        model.recommend_for_history(["i01"])


def test_an_item_without_an_image_is_a_candidate_and_is_like_nothing(model):
    assert (model.score(["u00"], items=["i01"]) != 0).all()
    with pytest.raises(UnsupportedError, match="knows nothing of item 'i01'"):
        model.similar_items(["i01"])


def test_the_user_never_matters(model):
    queries = _histories(*RAGGED)
    users = torch.full((len(RAGGED),), NOBODY)
    with torch.no_grad():
        one = model.encode_queries(queries)
        other = model.encode_queries(Queries(users, queries.history, queries.mask))
    assert torch.equal(one, other)


def test_only_the_newest_of_a_history_count_when_so_many_are_asked_for(train, features):
    model = CuratorNet(**SMALL, max_history=2).fit(train, features)
    torch.testing.assert_close(_encoded(model, [0, 2, 4, 5], [3]), _encoded(model, [4, 5], [3]))
    assert model.max_history == 2


@pytest.mark.parametrize(
    ("rule", "newest", "expected"),
    [("others", None, [3, 5]), ("all", None, [3, 0, 5]), ("up_to", None, [3, 0]), ("up_to", 1, [0])],
)
def test_what_a_positive_is_predicted_from_is_a_setting(train, features, rule, newest, expected):
    model = CuratorNet(**SMALL, history=rule, max_history=newest).fit(train, features)
    seen = {}
    step = Trainer.step

    class Watching(Trainer):
        def step(self, batch: Triples) -> float:
            for row, (user, pos) in enumerate(zip(batch.user, batch.pos, strict=True)):
                seen[int(user), int(pos)] = batch.history.of(row).tolist()
            return step(self, batch)

    sampler = UniformSampler(train, history=model.looks_at, max_history=model.max_history)
    Watching(model, sampler, None, fingerprint="")._run_epoch()
    assert seen[2, 0] == expected


def test_in_ranking_the_whole_history_counts_also_the_item_ranked(train, features):
    model = CuratorNet(**SMALL).fit(train, features)
    with torch.no_grad():
        torch.testing.assert_close(
            model.encode_queries(model.queries(np.array([2]))), _encoded(model, [3, 0, 5])
        )


# ---- a training step -----------------------------------------------------------------------------------


def _trainer(model: CuratorNet, train) -> Trainer:
    return Trainer(model, UniformSampler(train), None, fingerprint="")


def _triples(histories: list[list[int]], pos: list[int], neg: list[list[int]], user: list[int]) -> Triples:
    indptr = np.cumsum([0, *map(len, histories)])
    items = np.array([item for row in histories for item in row], dtype=np.int64)
    weight = np.ones(len(pos), dtype=np.float32)
    return Triples(np.array(user), np.array(pos), np.array(neg), weight, Histories(indptr, items))


def test_the_gradients_of_a_step_are_those_of_single_queries(model, train, gradients):
    """Without padding, without sharing: each query's items through the tower by themselves."""
    histories, pos, neg = [[2, 3, 4], [5], [0, 3, 1, 6]], [0, 3, 2], [[6, 1], [2, 4], [5, 4]]
    model.config = model.config.replace(reg=0.0, optimizer="sgd", learning_rate=1e-9, weight_decay=0.0)
    found = gradients(_trainer(model, train), _triples(histories, pos, neg, [0, 1, 2]))
    total = torch.zeros(())

    def through(tower: torch.nn.Sequential, x: torch.Tensor) -> torch.Tensor:
        for layer in tower[::2]:
            x = torch.selu(x @ layer.weight.T + layer.bias)
        return x

    for history, i, negatives in zip(histories, pos, neg, strict=True):
        q = torch.stack([through(model.item_tower, model.z[item]) for item in history if item != 1])
        both = [q.mean(0), q.amax(0)] if model.config.variant == "paper" else [q.amax(0), q.mean(0)]
        p = through(model.query_tower, torch.cat(both))
        for j in negatives:
            x_uij = p @ through(model.item_tower, model.z[i]) - p @ through(model.item_tower, model.z[j])
            total = total - torch.log(torch.sigmoid(x_uij)) / 6
    total.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-3, atol=1e-5)


def test_each_distinct_item_goes_through_the_tower_once(model):
    asked = []
    model.item_tower[2].register_forward_hook(lambda _, args, __: asked.append(len(args[0])))
    Q, Z = model.encode_batch(_histories([2, 3], [3, 2, 5], [1]), torch.tensor([0, 2, 6]))
    assert asked == [len({2, 3, 5, 0, 6})]
    assert (Q.shape, Z.shape) == ((3, 4), (3, 4))
    torch.testing.assert_close(Z.detach(), model.Z[[0, 2, 6]])


def test_long_histories_take_no_memory_for_each_of_their_items(model):
    kept = []

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        kept.append(tensor.numel())
        return tensor

    rows = [np.random.default_rng(b).integers(0, 7, size=3000) for b in range(4)]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        Q, _ = model.encode_batch(Queries.of(rows), torch.tensor([0]))
    assert max(kept) <= 4 * 3000  # the items' numbers, and no vector of each
    Q.sum().backward()


def test_a_made_up_history_is_learnt_from_like_any_other(train, features, gradients):
    model = CuratorNet(**SMALL).fit(train, features)
    histories, pos, neg = [[2], [4, 3]], [0, 5], [[5], [2]]
    nobodys = gradients(_trainer(model, train), _triples(histories, pos, neg, [NOBODY, NOBODY]))
    again = CuratorNet(**SMALL).fit(train, features)
    users = gradients(_trainer(again, train), _triples(histories, pos, neg, [0, 1]))
    assert all(torch.equal(nobodys[name], users[name]) for name in users)


# ---- what it learns ------------------------------------------------------------------------------------


def test_a_taste_for_looks_is_learnt_and_serves_those_who_were_not_in_training(interactions):
    rng = np.random.default_rng(0)
    f = rng.normal(size=(150, 8))
    tastes = np.concatenate([np.eye(8)[:3], -np.eye(8)[:3]])  # six tastes, in three of the eight features
    taken = [rng.permutation(np.argsort(-f @ tastes[u % 6])[:25])[:10] for u in range(90)]
    train = interactions([(u, int(i)) for u in range(60) for i in taken[u][:8]], 90, 150)
    features = Features.from_array(f, train.items.values)
    model = CuratorNet(seed=0).fit(train, features)

    def auc(users: range) -> float:
        scores = model.score_queries(Queries.of([taken[u][:8] for u in users])).numpy()
        found = []
        for u, row in zip(users, scores, strict=True):
            others = np.setdiff1d(np.arange(150), taken[u])
            found += [(row[i] > row[others]).mean() for i in taken[u][8:]]
        return float(np.mean(found))

    known, strangers = auc(range(60)), auc(range(60, 90))
    assert known > 0.8
    assert strangers > known - 0.05


# ---- settings, keeping ---------------------------------------------------------------------------------


def test_the_tutorials_settings_yield_to_those_given_by_hand():
    config = CuratorNet(variant="tutorial", max_history=5).config
    assert (config.history, config.max_history, config.batch_size) == ("up_to", 5, 128)
    assert (config.reg, config.negatives, config.learning_rate) == (0, "catalog", 1e-4)
    assert config.weight_decay * 128 == pytest.approx(1e-4)  # a mean here, a sum over 128 there
    assert (CuratorNet().config.history, CuratorNet().config.max_history) == ("others", None)
    with pytest.raises(ConfigError, match="history"):
        CuratorNet(history="none")


def test_the_tutorials_weight_decay_makes_biases_smaller_too(train, features):
    held = CuratorNet(**SMALL, variant="tutorial", weight_decay=1.0)
    held.fit(train, features)
    with torch.no_grad():
        for layer in _linear(held):
            layer.bias.fill_(3.0)
    _trainer(held, train).step(
        _triples([[1]], [0], [[2]], [0])
    )  # nothing is known of it: no gradient but the decay
    for layer in _linear(held):
        assert (layer.bias < 3.0).all()


def test_a_model_loaded_without_features_serves_users_and_visitors(model, train, features, tmp_path):
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model")
    users = train.users.values.to_list()
    np.testing.assert_array_equal(loaded.score(users), model.score(users))
    one, other = (m.recommend_for_history(["i01", "i03", "i06"]) for m in (model, loaded))
    assert one.equals(other)
    with pytest.raises(FeaturesError, match=r"load_model\(path, features\)"):
        loaded.encode_items(torch.tensor([0]))
    whole = load_model(tmp_path / "model", features)
    with torch.no_grad():
        torch.testing.assert_close(whole.encode_items(torch.arange(7)), model.Z)


def test_an_interrupted_training_goes_on_bit_for_bit(train, features, interactions, tmp_path):
    def stop(done: int, total: int, note: str) -> None:
        if done == 2:
            raise KeyboardInterrupt

    valid = interactions([(0, 4), (1, 0), (2, 2)], 5, 7)
    settings = {**SMALL, "epochs": 5}
    whole = CuratorNet(**settings).fit(train, features, valid=valid)
    with pytest.raises(KeyboardInterrupt):
        CuratorNet(**settings).fit(
            train, features, valid=valid, checkpoint=tmp_path / "training", progress=stop
        )
    told = []
    rest = CuratorNet(**settings).fit(
        train, features, valid=valid, checkpoint=tmp_path / "training", progress=lambda *a: told.append(a[0])
    )
    assert told[0] == 3
    assert rest.digest == whole.digest
