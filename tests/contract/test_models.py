"""What every registered model keeps. A new model gets these tests by its line in the registry."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from visrec import registry
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.splits import Split
from visrec.errors import DataError, DivergedError, FeaturesError, NotFittedError, RunError, UnsupportedError
from visrec.evaluation.protocol import evaluate
from visrec.features.features import Features
from visrec.recommender import Queries, Recommender, load_model

from .conftest import shown

SMALL = {"seed": 7, "epochs": 4, "batch_size": 16, "dim_gamma": 5, "dim_theta": 4, "dim_fc": 16}
"""For whatever is not about quality: few epochs, small factors."""

NAMES = registry.names("models")


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def model(name, build, world):
    """Fitted; tests must not change it."""
    return build(name, **SMALL).fit(world.train, world.content, valid=world.split.valid)


def _everything(model: Recommender) -> np.ndarray:
    return model.score(model.users.written.to_list())


def _close(scores: np.ndarray, expected: np.ndarray) -> None:
    """Equal up to the rounding of float32 sums, which a matrix product takes in an order of its own."""
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-6 * max(1, float(np.abs(expected).max())))


def _same(one: Recommender, other: Recommender) -> None:
    """What was learnt is equal bit for bit; scores up to rounding, which depends on where in memory it lies."""
    assert one.digest == other.digest
    _close(_everything(one), _everything(other))


# ---- what it learns ------------------------------------------------------------------------------------


def test_the_withheld_diagonal_of_a_checkerboard_ranks_above_the_other_colour(name, build, checkerboard):
    model = build(name, seed=0)
    if not model.personal:
        pytest.skip("its order of the items does not follow the user's taste")
    model.fit(checkerboard.train, checkerboard.content)
    scores = _everything(model)
    for u in range(16):
        other_colour = [i for i in range(16) if i % 2 != u % 2]
        assert (scores[u, u] > scores[u, other_colour]).all(), u


def test_brand_new_items_are_told_apart_by_their_looks(name, build, checkerboard):
    model = build(name, seed=0)
    if not model.new_items:
        pytest.skip("it cannot tell new items apart")
    scores = _everything(model.fit(checkerboard.train, checkerboard.content))
    for u in range(16):
        own, other = 16 + u % 2, 17 - u % 2
        assert scores[u, own] > scores[u, other], u


def test_the_class_says_what_it_needs_and_can(model):
    assert model.needs in ("none", "vector", "regions", "image")
    assert isinstance(model.new_users, bool)
    assert isinstance(model.new_items, bool)
    assert isinstance(model.personal, bool)
    assert model.paper
    assert type(model).__doc__


def test_the_query_is_made_of_what_the_class_says(model):
    """Scores change with the user, with the history, with both or with neither, whatever else stays."""
    users = np.arange(11)  # who have four items each
    queries = model.queries(users)
    other_users = Queries(queries.user.roll(1), queries.history, queries.mask)
    other_histories = Queries(queries.user, queries.history.roll(1, 0), queries.mask)
    scores = model.score_queries(queries)
    changed = tuple(
        not torch.allclose(model.score_queries(q), scores) for q in (other_users, other_histories)
    )
    made_of = {
        (False, False): "nothing",
        (True, False): "user",
        (False, True): "history",
        (True, True): "both",
    }
    assert made_of[changed] == model.query


# ---- scores and lists ----------------------------------------------------------------------------------


def test_a_batch_gives_what_single_users_get(model):
    users = model.users.values.to_list()
    singles = np.concatenate([model.score([user]) for user in users])
    _close(model.score(users), singles)
    lists = pl.concat([model.recommend([user], k=5) for user in users])
    assert model.recommend(users, k=5).drop("score").equals(lists.drop("score"))


def test_the_score_is_what_the_encoders_say(model):
    queries = model.queries(np.arange(len(model.users)))
    with torch.no_grad():
        Z = model.encode_items(torch.arange(len(model.items)))
        expected = model.pool(queries, Z).numpy()
    _close(_everything(model), expected)


def test_the_score_is_the_largest_product_with_the_vectors_to_search_by(model):
    queries = model.queries(np.arange(len(model.users)))
    with torch.no_grad():
        found = model.probes(queries)
    if found is None:
        pytest.skip("its scores are no inner products of dense vectors")
    probes, real = found
    products = torch.einsum("bpd,id->bpi", probes, model.Z).masked_fill(~real[:, :, None], -torch.inf)
    expected = np.zeros((len(queries), len(model.items)), dtype=np.float32)
    some = real.any(1).numpy()
    expected[some] = products[some].amax(1).detach().numpy()
    _close(model.score_queries(queries).numpy(), expected)


def test_scores_of_named_items_are_columns_of_all(model):
    users, items = ["u03", "u01", "u03"], ["i19", "i00"]
    scores = model.score(users, items=items)
    assert scores.dtype == np.float32
    _close(scores, model.score(users)[:, [19, 0]])


def test_a_history_that_the_model_knows_nothing_of_is_refused(model):
    """Item 18 was taken by nobody and has no picture: any order would be chance, presented as advice."""
    if (
        not (model.new_users and model.personal)
        or model.score_queries(Queries.of([np.array([18])])).unique().numel() > 1
    ):
        pytest.skip("has something to go by")
    with pytest.raises(UnsupportedError, match="knows nothing"):
        model.recommend_for_history(["i18"], k=3)


def test_only_unseen_items_are_recommended_and_all_of_them(model, world):
    users = model.users.values.to_list()
    table = model.recommend(users, k=1000)
    histories = world.train.histories()
    for u, user in enumerate(users):
        found = world.train.items.indices(table.filter(user_id=user)["item_id"])
        assert sorted(found) == sorted(set(range(20)) - set(histories.of(u)))


def test_seen_items_are_there_on_request(model):
    assert model.recommend(["u00"], k=20, exclude_seen=False).height == 20


def test_the_table_has_ranks_and_falling_scores(model):
    table = model.recommend(["u05", "u02"], k=6)
    assert table.schema == {
        "user_id": pl.String,
        "item_id": pl.String,
        "score": pl.Float32,
        "rank": pl.Int64,
    }
    for user in ("u05", "u02"):
        rows = table.filter(user_id=user)
        assert rows["rank"].to_list() == [1, 2, 3, 4, 5, 6]
        assert (np.diff(rows["score"].to_numpy()) <= 0).all()
        expected = model.score([user], items=rows["item_id"].to_list())[0]
        _close(rows["score"].to_numpy(), expected)
    assert table["user_id"].unique(maintain_order=True).to_list() == ["u05", "u02"]


def test_no_users_give_an_empty_table(model):
    table = model.recommend([], k=3)
    assert table.height == 0
    assert table.schema == model.recommend(["u00"], k=3).schema
    assert model.score([]).shape == (0, 20)


def test_ids_that_were_numbers_come_back_as_numbers(name, build, world, tmp_path):
    train = world.train
    users, items = IdMap([10 * n for n in range(12)], kind="user"), IdMap(range(100, 120), kind="item")
    numbered = Interactions(train.user, train.item, train.timestamp, train.weight, users, items)
    content = shown(world.values, range(100, 120), missing=world.missing)
    build(name, **SMALL).fit(numbered, content).save(tmp_path / "model")
    table = load_model(tmp_path / "model").recommend([10, 20], k=3)
    assert table.schema["user_id"] == table.schema["item_id"] == pl.Int64
    assert set(table["user_id"]) == {10, 20}
    assert table["item_id"].is_between(100, 119).all()


# ---- visitors ------------------------------------------------------------------------------------------


def test_a_history_without_a_user_is_served_or_refused_as_the_class_says(model, world):
    history = ["i00", "i02", "i04"]
    if not model.new_users:
        with pytest.raises(UnsupportedError, match="only the users it was trained on"):
            model.recommend_for_history(history, k=5)
        return
    table = model.recommend_for_history(history, k=1000)
    assert table.columns == ["item_id", "score", "rank"]
    assert table["rank"].to_list() == list(range(1, 18))
    assert not set(table["item_id"]) & set(history)


def test_a_visitor_with_the_history_of_a_user_is_scored_like_the_user(model, world):
    if not (model.new_users and model.personal):
        pytest.skip("it knows no visitors, or gives each user an order of their own")
    history = world.train.items.take(world.train.histories().of(4)).to_list()
    visitor = model.recommend_for_history(history, k=20).sort("item_id")
    user = model.recommend(["u04"], k=20).sort("item_id")
    assert visitor["item_id"].equals(user["item_id"])
    _close(visitor["score"].to_numpy(), user["score"].to_numpy())


# ---- similar items -------------------------------------------------------------------------------------


def test_similar_items_are_the_nearest_by_cosine_or_refused(model):
    vectors = model.similarity_vectors()
    if vectors is None:
        with pytest.raises(UnsupportedError, match="does not compare items"):
            model.similar_items(["i00"])
        return
    table = model.similar_items(["i00", "i05"], k=1000)
    assert table.columns == ["query_id", "item_id", "score", "rank"]
    dense = (vectors.to_dense() if vectors.is_sparse else vectors).double().numpy()
    for query, q in (("i00", 0), ("i05", 5)):
        rows = table.filter(query_id=query)
        assert sorted(model.items.indices(rows["item_id"])) == [i for i in range(20) if i != q]
        assert (np.diff(rows["score"].to_numpy()) <= 0).all()
        for item, score in zip(rows["item_id"], rows["score"], strict=True):
            a, b = dense[q], dense[model.items.index(item)]
            length = np.linalg.norm(a) * np.linalg.norm(b)
            assert score == pytest.approx(a @ b / length if length else 0, abs=1e-5)


# ---- the same again ------------------------------------------------------------------------------------


def test_the_order_of_the_interactions_changes_nothing(name, build, world):
    order = np.random.default_rng(3).permutation(len(world.train))
    t = world.train
    shuffled = Interactions(
        t.user[order], t.item[order], t.timestamp[order], t.weight[order], t.users, t.items
    )
    one = build(name, **SMALL).fit(t, world.content, valid=world.split.valid)
    other = build(name, **SMALL).fit(shuffled, world.content, valid=world.split.valid)
    _same(one, other)


def test_features_in_another_order_never_give_an_item_another_items_row(name, build, world):
    order = np.random.default_rng(4).permutation(20)
    ids = world.train.items.values.gather(order).to_list()
    shuffled = shown(world.values[order], ids, missing=world.missing[order])
    one = build(name, **SMALL).fit(world.train, world.content)
    _same(one, build(name, **SMALL).fit(world.train, shuffled))


def test_features_whose_ids_are_text_meet_items_whose_ids_are_numbers(name, build, world):
    # As text "100" comes before "99", as a number after it: that must not pair an item with another one's row.
    t = world.train
    items = IdMap(range(95, 115), kind="item")
    train = Interactions(t.user, t.item, t.timestamp, t.weight, t.users, items)
    numbers = shown(world.values, range(95, 115), missing=world.missing)
    texts = shown(world.values, [str(n) for n in range(95, 115)], missing=world.missing)
    _same(build(name, **SMALL).fit(train, numbers), build(name, **SMALL).fit(train, texts))


def test_the_same_seed_gives_the_same_model_bit_for_bit(name, build, world, model):
    again = build(name, **SMALL).fit(world.train, world.content, valid=world.split.valid)
    _same(model, again)


def test_the_global_random_state_neither_matters_nor_changes(name, build, world, model):
    torch.manual_seed(123)
    before = torch.get_rng_state()
    again = build(name, **SMALL).fit(world.train, world.content, valid=world.split.valid)
    assert torch.equal(torch.get_rng_state(), before)
    assert again.digest == model.digest


def test_another_seed_gives_another_model(name, build, world, model):
    if "seed" not in type(model).Config.model_fields:
        pytest.skip("nothing in it is random")
    other = build(name, **{**SMALL, "seed": 8}).fit(world.train, world.content, valid=world.split.valid)
    assert other.digest != model.digest


def test_fitting_again_forgets_the_first_time(name, build, world, checkerboard):
    twice = build(name, **SMALL).fit(checkerboard.train, checkerboard.content)
    twice.fit(world.train, world.content)
    _same(twice, build(name, **SMALL).fit(world.train, world.content))


# ---- keeping -------------------------------------------------------------------------------------------


def test_a_saved_model_comes_back_the_same_without_its_features(model, tmp_path):
    model.save(tmp_path / "model", extra={"note": "kept"})
    names = {path.name for path in (tmp_path / "model").iterdir()}
    assert names == {"model.safetensors", "config.json", "ids.parquet", "training.jsonl"}
    loaded = load_model(tmp_path / "model")
    assert type(loaded) is type(model)
    assert loaded.config == model.config
    assert loaded.training_log == model.training_log
    _same(model, loaded)
    users = model.users.values.to_list()
    lists = [one.recommend(users, k=7).drop("score") for one in (model, loaded)]
    assert lists[0].equals(lists[1])
    if model.similarity_vectors() is not None:
        similar = [one.similar_items(["i01"], k=5).drop("score") for one in (model, loaded)]
        assert similar[0].equals(similar[1])


def test_a_loaded_model_can_be_saved_again(model, tmp_path):
    model.save(tmp_path / "one")
    load_model(tmp_path / "one").save(tmp_path / "two")
    about = [json.loads((tmp_path / folder / "config.json").read_text()) for folder in ("one", "two")]
    assert about[0]["digest"] == about[1]["digest"]
    assert about[0]["features"] == about[1]["features"]


def test_a_model_loaded_with_its_features_encodes_items(model, world, tmp_path):
    model.save(tmp_path / "model")
    loaded = load_model(tmp_path / "model", world.content)
    items = torch.arange(len(model.items))
    with torch.no_grad():
        one, other = model.encode_items(items), loaded.encode_items(items)
    assert torch.equal(*(z.to_dense() if z.is_sparse else z for z in (one, other)))


def test_other_features_than_those_it_was_fitted_with_are_refused(model, world, tmp_path):
    if model.needs == "none":
        pytest.skip("it needs none")
    model.save(tmp_path / "model")
    other = shown(world.values + 1, world.train.items.values)
    with pytest.raises(FeaturesError, match="other features"):
        load_model(tmp_path / "model", other)


@pytest.mark.parametrize("file", ["model.safetensors", "ids.parquet"])
@pytest.mark.parametrize("place", [0.0, 0.5, 0.999])
def test_a_changed_byte_is_noticed(model, tmp_path, file, place):
    model.save(tmp_path / "model")
    path = tmp_path / "model" / file
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 1
    path.write_bytes(content)
    with pytest.raises(RunError, match=file):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("file", ["model.safetensors", "ids.parquet", "config.json"])
def test_a_missing_file_is_named(model, tmp_path, file):
    model.save(tmp_path / "model")
    (tmp_path / "model" / file).unlink()
    with pytest.raises(RunError, match=file):
        load_model(tmp_path / "model")


@pytest.mark.parametrize("target", ["this:s", "os:system", "visrec.models.bpr:nn", "nonsense", 5])
def test_a_strangers_class_name_is_refused_and_not_imported(model, tmp_path, target):
    model.save(tmp_path / "model")
    _edit(tmp_path / "model" / "config.json", model=target)
    sys.modules.pop("this", None)
    with pytest.raises(RunError, match="not registered"):
        load_model(tmp_path / "model")
    assert "this" not in sys.modules


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


# ---- what can go wrong ---------------------------------------------------------------------------------


def test_an_unknown_id_is_named(model):
    with pytest.raises(DataError, match="nobody"):
        model.recommend(["u00", "nobody"])
    with pytest.raises(DataError, match="nobody"):
        model.score(["nobody"])
    with pytest.raises(DataError, match="nothing"):
        model.score(["u00"], items=["i00", "nothing"])
    with pytest.raises(DataError, match="nothing"):
        model.similar_items(["nothing"])
    with pytest.raises(DataError, match="nothing"):
        model.recommend_for_history(["nothing"])


@pytest.mark.parametrize(
    "ask",
    [
        lambda m: m.recommend(["u00"]),
        lambda m: m.recommend_for_history(["i00"]),
        lambda m: m.score(["u00"]),
        lambda m: m.similar_items(["i00"]),
        lambda m: m.save("nowhere"),
        lambda m: m.digest,
        lambda m: m.users,
        lambda m: m.items,
    ],
)
def test_a_model_that_was_never_fitted_says_so(name, build, ask):
    with pytest.raises(NotFittedError, match=r"Call .* first"):
        ask(build(name))


def test_features_are_asked_for_by_name(name, build, world):
    model = build(name, **SMALL)
    if model.needs == "none":
        model.fit(world.train)
        return
    with pytest.raises(FeaturesError, match=r"fit\(train, features\)"):
        model.fit(world.train)


def test_features_of_another_catalogue_are_refused(name, build, world):
    model = build(name, **SMALL)
    if model.needs == "none":
        pytest.skip("it needs none")
    other = shown(world.values, [f"x{n}" for n in range(20)])
    with pytest.raises(FeaturesError):
        model.fit(world.train, other)
    with pytest.raises(NotFittedError):
        model.recommend(["u00"])


@pytest.mark.parametrize("share", [0.5, 1.0])
def test_missing_features_give_finite_scores(name, build, world, share):
    missing = np.arange(20) < 20 * share
    content = shown(world.values, world.train.items.values, missing=missing)
    scores = _everything(build(name, **SMALL).fit(world.train, content))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1e6])
def test_features_of_any_scale_give_finite_scores(name, build, world, scale):
    content = shown(world.values * scale, world.train.items.values)
    scores = _everything(build(name, **SMALL).fit(world.train, content))
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_that_are_not_finite_never_get_out(name, build, world, bad):
    model = build(name, **SMALL).fit(world.train, world.content)
    model.Z = model.Z * bad
    with pytest.raises(DivergedError, match="not finite"):
        model.score(["u00"])
    with pytest.raises(DivergedError, match="not finite"):
        model.recommend(["u00"])
    with pytest.raises(DivergedError, match="not finite"):
        evaluate(model, world.split)


@pytest.mark.parametrize(
    ("n_users", "n_items", "pairs"),
    [(1, 1, [(0, 0)]), (1, 2, [(0, 0)]), (2, 1, [(0, 0)]), (2, 2, [(0, 0), (0, 1), (1, 0), (1, 1)])],
)
def test_the_smallest_data_give_a_result_or_a_clear_error(name, build, n_users, n_items, pairs):
    users = IdMap([f"u{n}" for n in range(n_users)], kind="user")
    items = IdMap([f"i{n}" for n in range(n_items)], kind="item")
    user, item = np.array(pairs).T
    train = Interactions(user, item, np.arange(len(user)), np.ones(len(user)), users, items)
    content = shown(np.eye(n_items, 6), items.values)
    try:
        model = build(name, **SMALL).fit(train, content)
    except DataError as error:
        assert "nothing to learn" in str(error)  # noqa: PT017  a result is as good as this error
        return
    table = model.recommend(users.values.to_list(), k=5)
    assert table.height == n_users * n_items - len(pairs)
    assert np.isfinite(_everything(model)).all()


def test_every_model_can_be_evaluated(model, world):
    report = evaluate(model, world.split, cutoffs=(5,))
    assert report.per_user.height == 12  # also the user without a training row
    assert 0 <= report["auc"] <= 1
    assert 0 <= report.new_items["auc"].mean <= 1


def test_a_model_of_other_items_is_not_evaluated(model, checkerboard):
    with pytest.raises(DataError, match="other users or items"):
        evaluate(model, Split(checkerboard.train, checkerboard.train, checkerboard.split.test))


def test_half_precision_features_serve_as_well(world, build, name):
    values = 300 * world.values  # whose squares float16 cannot hold
    ids, missing = world.train.items.values, world.missing
    full = shown(values, ids, missing=missing)
    half = shown(values, ids, missing=missing, dtype="float16")
    # Products rounded to bfloat16 while learning would part the two further than their features do.
    exact = {"precision": "float32"} if "precision" in type(build(name).config).model_fields else {}
    first, second = (build(name, **SMALL, **exact).fit(world.train, one) for one in (full, half))
    users = world.train.users.values.to_list()
    scores = first.score(users)
    largest = max(1, float(np.abs(scores).max()))  # scores of no set scale: CuratorNet's reach 40
    np.testing.assert_allclose(second.score(users), scores, rtol=0.05, atol=0.02 * largest)


def test_regions_are_refused_by_a_model_for_vectors(world, build, name):
    model = build(name)
    if model.needs != "vector":
        pytest.skip(f"{name} does not take vectors")
    regions = Features.from_array(np.ones((20, 4, 6)), world.train.items.values)
    with pytest.raises(
        FeaturesError, match=r"needs one vector an item; these features have 4 regions.*--pool mean"
    ):
        model.fit(world.train, regions)
