"""Each strategy against its definition, by plain loops over a small world with artists, clusters and baskets."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import polars as pl
import pytest

from visrec.content import Content
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.errors import ConfigError, DataError, FeaturesError
from visrec.features.features import Features
from visrec.models.acf import ACF
from visrec.models.bpr import BPR
from visrec.models.vbpr import VBPR
from visrec.training.clusters import Clusters
from visrec.training.guidelines import GuidelinesConfig, GuidelinesSampler, creators_of
from visrec.training.sampling import NOBODY, looked_at

N_USERS, N_ITEMS = 12, 60
MISSING = (7, 50)
"""Item 7 was taken by user 0, item 50 by nobody; neither has an image."""


def _interactions(rows, n_users=N_USERS, n_items=N_ITEMS, weight=None) -> Interactions:
    user, item, time = np.array(rows, dtype=np.int64).reshape(-1, 3).T
    users, items = IdMap(range(n_users), kind="user"), IdMap(range(n_items), kind="item")
    return Interactions(user, item, time, np.ones(len(user)) if weight is None else weight, users, items)


@pytest.fixture(scope="module")
def train() -> Interactions:
    """Users but the last took 3 baskets of 1 to 3 items; no one took an item from 48 on."""
    rng = np.random.default_rng(0)
    rows = [(0, 7, 0)]
    for user in range(N_USERS - 1):
        items = rng.permutation([i for i in range(48) if i != 7 and i % 5 != user % 5])[:6]
        times = [10, 20, 20, 30, 30, 30] if user % 2 else [10, 10, 20, 30, 30, 40]
        rows += [(user, int(item), time) for item, time in zip(items, times, strict=True)]
    return _interactions(rows, weight=1.0 + np.arange(len(rows)) % 3)


@pytest.fixture(scope="module")
def clusters() -> Clusters:
    """Item i is in cluster i // 6 % 8; its vector is that of the cluster, and something of its own."""
    rng = np.random.default_rng(1)
    of = np.arange(N_ITEMS) // 6 % 8
    vectors = np.eye(8)[of] + 0.4 * rng.normal(size=(N_ITEMS, 8)) / 8**0.5
    of[[*MISSING]] = -1
    vectors[[*MISSING]] = 0
    return Clusters(of, vectors.astype(np.float32))


@pytest.fixture(scope="module")
def creator() -> np.ndarray:
    """Item i is of artist i // 2 % 15; of items 20 and 21 nobody knows."""
    made = np.arange(N_ITEMS) // 2 % 15
    made[[20, 21]] = -1
    return made


@pytest.fixture
def make(train, clusters, creator):
    def sampler(config: dict | None = None, **given) -> GuidelinesSampler:
        return GuidelinesSampler(
            train, clusters, GuidelinesConfig(**(config or {})), **{"creator": creator, **given}
        )

    return sampler


def _only(number: int, **settings) -> dict:
    return {"shares": [float(one == number) for one in range(1, 7)], **settings}


def _triples(sampler: GuidelinesSampler, epochs: int = 20, seed: int = 0, batch_size: int = 16):
    """(user, positive, negatives, history, weight) of some epochs."""
    rng = np.random.default_rng(seed)
    for _ in range(epochs):
        for b in sampler.epoch(batch_size, rng):
            for row in range(len(b)):
                history = None if b.history is None else b.history.of(row).tolist()
                yield int(b.user[row]), int(b.pos[row]), b.neg[row].tolist(), history, float(b.weight[row])


@pytest.fixture(scope="module")
def world(train):
    """By user: what it took, oldest first, and its baskets."""
    history, baskets = {u: [] for u in range(N_USERS)}, {u: {} for u in range(N_USERS)}
    for user, item, time in sorted(
        zip(train.user.tolist(), train.item.tolist(), train.timestamp.tolist(), strict=True),
        key=lambda row: (row[2], row[0], row[1]),
    ):
        history[user].append(item)
        baskets[user].setdefault(time, []).append(item)
    return history, {u: [set(one) for one in b.values()] for u, b in baskets.items()}


# ---- what the strategies are ---------------------------------------------------------------------------


def test_strategy_1_puts_an_item_of_the_history_above_one_outside_it(make, world, clusters):
    seen = set()
    for user, pos, (neg,), history, _ in _triples(make(_only(1))):
        assert history == world[0][user]
        assert pos in history
        assert neg not in history
        assert clusters.of[neg] >= 0
        seen.add((user, pos))
    assert seen == {(u, i) for u, items in world[0].items() for i in items if clusters.of[i] >= 0}


@pytest.mark.parametrize("rule", ["others", "up_to"])
def test_strategy_1_lets_a_model_look_at_what_its_rule_says(make, train, rule):
    for user, pos, _, history, _ in _triples(make(_only(1), history=rule), epochs=1):
        expected = looked_at(train.histories(), np.array([user]), np.array([pos]), rule, None)
        assert history == expected.items.tolist()


def test_strategy_2_puts_a_made_up_history_of_one_item_above_anything_else(make, clusters):
    positives = Counter()
    for user, pos, (neg,), history, weight in _triples(make(_only(2)), epochs=10):
        assert (user, history, weight) == (NOBODY, [pos], 1)
        assert neg != pos
        assert clusters.of[pos] >= 0
        assert clusters.of[neg] >= 0
        positives[pos] += 1
    assert set(positives) == set(range(N_ITEMS)) - {*MISSING}


def test_strategy_3_puts_what_artist_and_cluster_say_above_what_neither_says(make, world, clusters, creator):
    n = 0
    for user, pos, (neg,), history, weight in _triples(make(_only(3))):
        assert history == world[0][user]
        assert pos not in history
        assert any(
            creator[i] == creator[pos] >= 0 and clusters.of[i] == clusters.of[pos] >= 0 for i in history
        )
        assert creator[neg] not in {creator[i] for i in history} - {-1}
        assert clusters.of[neg] not in {clusters.of[i] for i in history}
        assert weight == 1
        n += 1
    assert n > 100


def test_strategy_4_puts_the_same_artist_above_another_one_if_it_is_visually_closer(make, clusters, creator):
    def cosine(i, j):
        a, b = clusters.vectors[i], clusters.vectors[j]
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    n = 0
    for user, pos, (neg,), history, _ in _triples(make(_only(4))):
        (query,) = history
        assert user == NOBODY
        assert query != pos
        assert creator[query] == creator[pos] >= 0
        assert creator[neg] != creator[query]
        assert cosine(query, pos) - cosine(query, neg) >= 0.1 - 1e-6
        n += 1
    assert n > 100


def _never_taken(item, user, world, clusters, creator) -> bool:
    taken = world[0][user]
    return creator[item] not in {creator[i] for i in taken} - {-1} and clusters.of[item] not in {
        clusters.of[i] for i in taken
    }


def test_strategy_5_predicts_an_item_of_the_next_basket_from_all_before(make, world, clusters, creator):
    seen = set()
    for user, pos, (neg,), history, _ in _triples(make(_only(5))):
        baskets = world[1][user]
        (k,) = [k for k, basket in enumerate(baskets) if pos in basket]
        assert k > 0
        assert set(history) == set().union(*baskets[:k])
        assert _never_taken(neg, user, world, clusters, creator)
        seen.add((user, pos))
    drawable = [i for i in range(N_ITEMS) if clusters.of[i] >= 0]
    able = {u for u in range(N_USERS) if any(_never_taken(i, u, world, clusters, creator) for i in drawable)}
    predicted = {(u, i) for u in able for basket in world[1][u][1:] for i in basket}
    assert {(u, i) for u, i in predicted if clusters.of[i] >= 0} <= seen


def test_strategy_6_predicts_a_hidden_item_from_the_rest_of_its_basket(make, world, clusters, creator):
    n = 0
    for user, pos, (neg,), history, _ in _triples(make(_only(6))):
        (basket,) = [one for one in world[1][user] if pos in one]
        assert history
        assert set(history) == basket - {pos}
        assert _never_taken(neg, user, world, clusters, creator)
        n += 1
    assert n > 100


def test_an_item_that_was_taken_before_is_no_surprise_of_the_next_basket(clusters):
    train = _interactions([(0, 0, 1), (0, 1, 2), (0, 0, 3), (0, 2, 3)])
    sampler = GuidelinesSampler(train, clusters, GuidelinesConfig(**_only(5)))
    found = {(pos, tuple(history)) for _, pos, _, history, _ in _triples(sampler)}
    assert found == {(1, (0,)), (2, (0, 1))}


def test_a_negative_never_is_an_item_that_the_user_has(make, world):
    for user, _, negatives, _, _ in _triples(make(n_negatives=3)):
        assert len(negatives) == 3
        assert not set(negatives) & set(world[0].get(user, []))


@pytest.mark.parametrize("negatives", ["catalog", "interacted"])
@pytest.mark.parametrize("number", range(1, 7))
def test_positives_and_negatives_come_from_one_set_of_items(make, train, clusters, number, negatives):
    sampler = make(_only(number), negatives=negatives)
    taken = {*train.item.tolist()}
    able = {i for i in range(N_ITEMS) if clusters.of[i] >= 0 and (negatives == "catalog" or i in taken)}
    assert set(sampler.pool.tolist()) == able
    for _, pos, neg, _, _ in _triples(sampler):
        assert {pos, *neg} <= able


def test_items_without_an_image_come_only_in_histories(make):
    triples = list(_triples(make(), epochs=40))
    assert not any({pos, *neg} & {*MISSING} for _, pos, neg, _, _ in triples)
    assert {user for user, *_, history, _ in triples if 7 in history} == {0}
    assert not any(50 in history for *_, history, _ in triples)


@pytest.mark.parametrize("number", [5, 6])
def test_an_item_of_a_basket_that_has_no_image_is_not_predicted_but_looked_at(clusters, number):
    # Item 7 has none; the other items are of clusters that leave some to be strange.
    train = _interactions([(0, 0, 1), (0, 7, 1), (0, 1, 2), (0, 7, 3), (1, 7, 1), (1, 7, 2)])
    found = {
        (user, pos, tuple(history))
        for user, pos, _, history, _ in _triples(
            GuidelinesSampler(train, clusters, GuidelinesConfig(**_only(number)))
        )
    }
    assert found == {5: {(0, 1, (0, 7))}, 6: {(0, 0, (7,))}}[number]


@pytest.mark.parametrize("with_creators", [False, True])
def test_what_is_strange_is_drawn_from_a_list_once_a_user_where_trying_finds_nothing(
    make, world, clusters, creator, monkeypatch, with_creators
):
    made = creator if with_creators else None
    monkeypatch.setattr("visrec.training.strategies._ROUNDS", 0)
    tables, rng = make(creator=made).tables, np.random.default_rng(0)
    asked = []
    listed = tables._all_strange
    monkeypatch.setattr(type(tables), "_all_strange", lambda _, user: (asked.append(user), listed(user))[1])
    user = rng.integers(N_USERS, size=600)
    odd = np.arange(600) % 2 == 1  # of every other row even items are refused
    found = tables.strange(user, lambda rows, item: odd[rows] & (item % 2 == 0), rng)
    assert asked == sorted(set(user.tolist()))
    for u in range(N_USERS):
        able = [
            i
            for i in range(N_ITEMS)
            if clusters.of[i] >= 0
            and _never_taken(i, u, world, clusters, creator if with_creators else np.full(N_ITEMS, -1))
        ]
        for is_odd in (False, True):
            rest = {i for i in able if i % 2 or not is_odd} or {-1}
            drawn = set(found[(user == u) & (odd == is_odd)].tolist())
            assert drawn <= rest
            assert len(drawn) > 1 or len(rest) == 1


def test_interactions_have_their_weight_and_what_is_made_up_has_1(make, train):
    weight = dict(
        zip(zip(train.user.tolist(), train.item.tolist(), strict=True), train.weight.tolist(), strict=True)
    )
    for user, pos, _, _, w in _triples(make()):
        assert w == weight.get((user, pos), 1)


def test_histories_are_cut_to_the_newest(make, world):
    for user, _, _, history, _ in _triples(make(_only(1), max_history=2), epochs=2):
        assert history == world[0][user][-2:]


def test_only_what_somebody_took_is_drawn_if_asked_for(make):
    for negatives, top in (("interacted", 47), ("catalog", 59)):
        sampler = make(negatives=negatives)
        assert max(max(pos, *neg) for _, pos, neg, _, _ in _triples(sampler)) <= top
        assert sampler.pool.max() == top
        drawn = {i for _, pos, neg, _, _ in _triples(sampler) for i in (pos, *neg)}
        assert drawn == set(sampler.pool.tolist())
        assert {u for u, *_ in _triples(sampler)} - {NOBODY} <= set(sampler.user.tolist())


# ---- how much of which ---------------------------------------------------------------------------------


def test_an_epoch_has_as_many_positives_as_interactions_in_the_shares_asked_for(make, train, monkeypatch):
    sampler = make({"shares": (3, 1, 1, 0, 2, 1)})
    assert sampler.shares == {1: 3 / 8, 2: 1 / 8, 3: 1 / 8, 5: 2 / 8, 6: 1 / 8}
    assert sampler.left_out == {4: "its share is 0"}
    n = len({*zip(train.user.tolist(), train.item.tolist(), strict=True)})
    made = Counter()
    fill = sampler._fill

    def counting(batch, number, wanted, cycle, rng):
        before = len(batch)
        fill(batch, number, wanted, cycle, rng)
        made[number] += len(batch) - before

    monkeypatch.setattr(sampler, "_fill", counting)
    sizes = [len(b) for b in sampler.epoch(16, np.random.default_rng(0))]
    assert sum(sizes) == len(sampler) == n
    assert sizes[:-1] == [16] * (n // 16)
    for number, share in sampler.shares.items():
        assert abs(made[number] - share * n) <= 1


@pytest.mark.parametrize("hard", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("number", [1, 2])
def test_hard_negatives_come_with_their_probability(make, clusters, number, hard):
    # Of 8 clusters, one that is drawn by chance is the positive's one time in 8.
    expected = hard + (1 - hard) / 8
    triples = [t for t in _triples(make(_only(number, hard=hard)), epochs=60) if clusters.of[t[1]] >= 0]
    share = np.mean([clusters.of[pos] == clusters.of[neg] for _, pos, (neg,), _, _ in triples])
    assert abs(share - expected) < 4 * (expected * (1 - expected) / len(triples)) ** 0.5 + 0.02


def test_hard_negatives_of_strategy_4_are_of_the_querys_cluster(make, clusters, creator):
    unit = clusters.vectors / np.maximum(np.linalg.norm(clusters.vectors, axis=1, keepdims=True), 1e-9)

    def able(query, pos) -> list[int]:
        """The negatives in the query's cluster."""
        return [
            i
            for i in range(N_ITEMS)
            if clusters.of[i] == clusters.of[query]
            and creator[i] != creator[query]
            and unit[query] @ unit[pos] - unit[query] @ unit[i] >= 0.1
        ]

    shares = {}
    for hard in (0, 1):
        triples = list(_triples(make(_only(4, hard=hard)), epochs=60))
        same = [
            clusters.of[q] == clusters.of[neg] for _, pos, (neg,), (q,), _ in triples if len(able(q, pos)) > 1
        ]
        assert len(same) > 50
        shares[hard] = np.mean(same)
    assert shares[0] < 0.2  # one cluster in 8
    assert shares[1] > 0.9  # 8 draws of 6 items, of which two or more are able


def test_a_negative_is_any_item_of_its_cluster_alike(make, train, clusters):
    sampler, rng = make(), np.random.default_rng(0)
    user, cluster = 3, 2
    free = sorted({i for i in range(N_ITEMS) if clusters.of[i] == cluster} - {*train.histories().of(user)})
    drawn = sampler.tables.by_cluster.draw(np.full(6000, user), np.full(6000, cluster), rng)
    counts = Counter(drawn.tolist())
    assert sorted(counts) == free
    assert max(abs(n - 6000 / len(free)) for n in counts.values()) < 250


def test_each_beginning_comes_once_before_any_comes_again(make):
    sampler = make(_only(1))
    pairs = [(user, pos) for user, pos, *_ in _triples(sampler, epochs=1)]
    n_slots = len(sampler) - 1  # item 7, which user 0 has, has no image
    assert len(pairs) == len(sampler)
    assert len(set(pairs)) == len(set(pairs[:n_slots])) == n_slots


def test_no_batch_has_a_triple_twice(make):
    for b in make({"shares": (1, 1, 1, 1, 1, 1)}, history="all").epoch(1000, np.random.default_rng(0)):
        rows = [
            (*row, *b.history.of(at).tolist())
            for at, row in enumerate(zip(b.user.tolist(), b.pos.tolist(), b.neg[:, 0].tolist(), strict=True))
        ]
        assert len(rows) == len(set(rows))


def test_the_same_generator_gives_the_same_epochs_and_another_one_others(make):
    one, again, other = (list(_triples(make(), epochs=2, seed=seed)) for seed in (4, 4, 5))
    assert one == again
    assert one != other


def test_an_epoch_does_not_depend_on_epochs_before(make):
    fresh, used = make(), make()
    list(_triples(used, epochs=3))
    assert list(_triples(fresh, epochs=1)) == list(_triples(used, epochs=1))


# ---- the same picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["vector", "file"])
def test_a_picture_never_stands_above_the_very_same_one(train, clusters, creator, by):
    twin = np.arange(N_ITEMS) // 2  # items 2k and 2k + 1 are one picture
    vectors, image = clusters.vectors.copy(), None
    if by == "vector":
        vectors = vectors[twin * 2 + (twin * 2 == 50)] * (1 + 1e-4 * (np.arange(N_ITEMS) % 2))[:, None]
        vectors = vectors.astype(np.float32)
    else:
        image = twin.astype(np.int64)
    sampler = GuidelinesSampler(train, Clusters(clusters.of, vectors), creator=creator, image=image)
    for _, pos, (neg,), _, _ in _triples(sampler, epochs=40):
        assert twin[pos] != twin[neg] or clusters.of[pos] < 0


# ---- what cannot be drawn ------------------------------------------------------------------------------


def test_without_creators_the_strategies_about_them_leave_their_shares_to_the_rest(make, caplog):
    with caplog.at_level(logging.INFO, logger="visrec"):
        sampler = make(creator=None, name="MyModel")
    assert sampler.shares == {1: 0.25, 2: 0.25, 5: 0.25, 6: 0.25}
    assert set(sampler.left_out) == {3, 4}
    messages = [r.getMessage() for r in caplog.records]
    assert messages == [
        f"MyModel: sampling strategy {number} ({name}) is left out: nobody knows who made the items (no column of "
        f"creators)."
        for number, name in ((3, "same artist, same looks"), (4, "same artist"))
    ]


def test_a_model_for_known_users_does_without_made_up_histories(make):
    for given in ({"made_up": False}, {"history": "none"}):
        sampler = make(**given)
        assert set(sampler.shares) == {1, 3, 5, 6}
        assert NOBODY not in {user for user, *_ in _triples(sampler)}
    assert all(history is None for *_, history, _ in _triples(make(history="none"), epochs=1))


def test_a_model_that_never_looks_at_the_positive_does_without_strategy_2(make, caplog):
    with caplog.at_level(logging.INFO, logger="visrec"):
        assert set(make(history="others", name="MyModel").left_out) == {2}
    (record,) = caplog.records
    assert record.levelno == logging.INFO  # the model is meant so
    assert record.getMessage() == (
        "MyModel: sampling strategy 2 (one item) is left out: the model never looks at the positive, which would be "
        'the whole history; for this strategy, too, set history = "all".'
    )


def test_without_baskets_there_is_nothing_to_predict_in_them(clusters, creator):
    one_time = _interactions([(u, 3 * u + n, 0) for u in range(12) for n in range(3)])
    one_item = _interactions([(u, 3 * u + n, n) for u in range(12) for n in range(3)])
    alone = _interactions([(u, 3 * u, 0) for u in range(12)])
    for train, left in ((one_time, {5}), (one_item, {6}), (alone, {5, 6})):
        assert set(GuidelinesSampler(train, clusters, creator=creator).left_out) == left


def test_unknown_creators_are_equal_to_no_other(train, clusters):
    nobody = np.full(N_ITEMS, -1)
    assert set(GuidelinesSampler(train, clusters, creator=nobody).left_out) == {3, 4}


def test_where_nothing_can_be_drawn_the_error_says_why_and_what_to_type(train):
    none = Clusters(np.full(N_ITEMS, -1), np.zeros((N_ITEMS, 3), dtype=np.float32))
    expected = r'MyModel: none of the six .* 2 \(one item\): no item has an image.*sampler = "uniform"'
    with pytest.raises(DataError, match=expected):
        GuidelinesSampler(train, none, name="MyModel")


def test_pictures_that_are_all_the_same_end_in_the_error(train):
    same = Clusters(np.zeros(N_ITEMS, dtype=np.int64), np.ones((N_ITEMS, 3), dtype=np.float32))
    with pytest.raises(DataError, match="none has a negative that looks different enough"):
        GuidelinesSampler(train, same)


def test_tutorial_error_13_a_user_with_too_few_distinct_triples_ends_the_search(clusters):
    # User 0 has item 0, and of two items with an image only item 1 is left: one triple, in an epoch of three.
    few = Clusters(np.array([0, 0, -1, -1]), clusters.vectors[[0, 1, 2, 3]] * [[1], [1], [0], [0]])
    train = _interactions([(0, 0, 0), (0, 2, 0), (0, 3, 0)], 1, 4)
    sampler = GuidelinesSampler(train, few, GuidelinesConfig(**_only(1)))
    (batch,) = sampler.epoch(100, np.random.default_rng(0))
    assert len(batch) == 3
    assert set(batch.neg.ravel().tolist()) == {1}
    tiny = _interactions([(0, 0, 0)], 1, 4)
    for negatives in (1, 5):
        sampler = GuidelinesSampler(tiny, few, n_negatives=negatives)
        for batch in sampler.epoch(100, np.random.default_rng(0)):
            assert len(batch) == 1
    everything = _interactions([(0, 0, 0), (0, 1, 0)], 1, 4)
    with pytest.raises(DataError, match="every user has every item with an image"):
        GuidelinesSampler(everything, few, made_up=False)


def test_a_batch_keeps_a_triple_twice_only_where_there_is_no_other(clusters):
    few = Clusters(np.array([0, 0, 0]), clusters.vectors[[0, 9, 13]])
    train = _interactions([(u, 0, 0) for u in range(4)], 4, 3)
    sampler = GuidelinesSampler(train, few, GuidelinesConfig(**_only(2)))
    # Three items, two negatives each: six triples; an epoch of four has no reason to repeat one.
    for seed in range(20):
        (batch,) = sampler.epoch(10, np.random.default_rng(seed))
        assert len({*zip(batch.pos.tolist(), batch.neg[:, 0].tolist(), strict=True)}) == 4


# ---- creators ------------------------------------------------------------------------------------------


def test_creators_are_matched_by_id_whether_text_or_number():
    items = IdMap(range(95, 105), kind="item")
    table = pl.DataFrame({"item_id": ["101", "96", "103", "7", "95"], "artist": ["b", "a", " b ", "a", ""]})
    found = creators_of(table, items, None)
    assert found.tolist() == [-1, 0, -1, -1, -1, -1, 1, -1, 1, -1]
    numbers = table.with_columns(pl.col("item_id").cast(pl.Int64))
    texts = IdMap([str(n) for n in range(95, 105)], kind="item")
    assert (
        creators_of(numbers, texts, "artist").tolist()
        == found[[items.index(one) for one in texts.values]].tolist()
    )


def test_null_creators_are_unknown_and_numbers_are_names():
    items = IdMap(range(3), kind="item")
    table = pl.DataFrame({"item_id": [0, 1, 2], "seller": [12, None, 12]})
    assert creators_of(table, items, "seller").tolist() == [0, -1, 0]
    assert creators_of(table, items, None) is None
    assert creators_of(None, items, None) is None


def test_a_column_that_is_named_and_missing_is_an_error_that_names_those_there_are():
    items = IdMap(range(3), kind="item")
    table = pl.DataFrame({"item_id": [0], "title": ["x"], "maker": ["y"]})
    with pytest.raises(ConfigError, match=r"guidelines.creator is 'artist'.*it has title, maker"):
        creators_of(table, items, "artist")
    with pytest.raises(ConfigError, match="there are none but item_id"):
        creators_of(None, items, "artist")


# ---- settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong", [{"shares": [0] * 6}, {"shares": [1, 1]}, {"shares": [1, 1, 1, 1, 1, -1]}, {"hard": 1.5}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        GuidelinesConfig(**wrong)


def test_settings_survive_a_file_and_leave_a_creator_that_was_not_named_unnamed(tmp_path):
    config = BPR(sampler="guidelines", guidelines={"shares": [2, 1, 1, 1, 1, 1]}).config
    config.to_toml(tmp_path / "config.toml")
    again = type(config).from_toml(tmp_path / "config.toml")
    assert again == config
    assert again.guidelines.creator is None


# ---- training with it ----------------------------------------------------------------------------------

SMALL = {"sampler": "guidelines", "dim_gamma": 4, "epochs": 6, "batch_size": 16, "learning_rate": 0.05}


@pytest.fixture(scope="module")
def content(train, clusters, creator) -> Content:
    vectors = Features.from_array(
        clusters.vectors, train.items.values, missing=np.isin(np.arange(N_ITEMS), [*MISSING])
    )
    made = [None if one < 0 else f"artist {one}" for one in creator]
    order = np.random.default_rng(3).permutation(N_ITEMS)
    table = pl.DataFrame({"item_id": [str(i) for i in range(N_ITEMS)], "artist": made})[order]
    return Content(vector=vectors, metadata=table)


@pytest.mark.parametrize("cls", [BPR, VBPR])
def test_models_learn_from_it(train, content, cls):
    model = cls(**SMALL).fit(train, content)
    losses = [line["loss"] for line in model.training_log]
    assert losses[-1] < losses[0]
    assert all(line["triples"] == 67 for line in model.training_log)
    assert cls(**SMALL).fit(train, content).digest == model.digest


@pytest.mark.parametrize("cls", [BPR, VBPR])
def test_what_it_never_touches_has_no_random_factors(train, content, cls):
    model = cls(**SMALL).fit(train, content)  # negatives = "interacted"
    assert (model.gamma_u[N_USERS - 1] == 0).all()
    assert (model.gamma_i[48:] == 0).all()
    assert (model.gamma_i[7] == 0).all()  # taken, but it has no image
    taken = np.setdiff1d(np.flatnonzero(train.item_counts() > 0), MISSING)
    assert (model.gamma_i[taken] != 0).all()


@pytest.mark.parametrize("cls", [BPR, VBPR])
def test_items_without_an_image_do_not_rise_above_the_others(cls):
    rng = np.random.default_rng(0)
    missing = np.arange(100) % 5 == 0
    rows = [(u, int(i), t // 2) for u in range(200) for t, i in enumerate(rng.choice(100, 10, replace=False))]
    train = _interactions(rows, 200, 100)
    vectors = rng.normal(size=(100, 6)).astype(np.float32)
    content = Content(vector=Features.from_array(vectors, train.items.values, missing=missing))
    model = cls(**{**SMALL, "epochs": 30, "batch_size": 256}).fit(train, content)
    scores = model.score(model.users.written.to_list())
    scores[train.user, train.item] = -np.inf
    top = np.argsort(-scores, axis=1)[:, :20]
    assert missing[top].mean() < 0.25  # they are a fifth of all


def test_what_only_histories_hold_keeps_what_a_model_learns_of_it_there(train, content):
    regions = Features.from_array(
        np.repeat(content.vector.values[:, None], 2, axis=1),
        train.items.values,
        missing=content.vector.missing,
    )
    given = {"sampler": "guidelines", "dim_gamma": 4, "dim_attention": 4, "batch_size": 16}
    short, long = (
        ACF(**given, epochs=epochs).fit(train, Content(regions=regions, metadata=content.metadata))
        for epochs in (1, 4)
    )
    assert (short.p[7] != 0).all()
    assert (short.p[7] != long.p[7]).all()
    nobodys = train.item_counts() == 0
    assert (long.p[nobodys] == 0).all()
    assert (long.v[nobodys] == 0).all()


@pytest.mark.parametrize("cls", [BPR, VBPR])
def test_a_training_that_was_interrupted_ends_in_the_same_bits(train, content, cls, tmp_path):
    whole = cls(**SMALL).fit(train, content)
    checkpoint = tmp_path / "checkpoint"

    def stop(done: int, total: int, note: str) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cls(**SMALL).fit(train, content, checkpoint=checkpoint, progress=stop)
    done = []
    model = cls(**SMALL).fit(
        train, content, checkpoint=checkpoint, progress=lambda epoch, *_: done.append(epoch)
    )
    assert done[0] == 4
    assert model.digest == whole.digest


def test_a_checkpoint_of_other_pictures_or_creators_is_not_continued(train, content, tmp_path):
    epochs = []

    def fit(of: Content) -> None:
        epochs.append([])
        BPR(**SMALL).fit(
            train, of, checkpoint=tmp_path / "checkpoint", progress=lambda done, *_: epochs[-1].append(done)
        )

    values = content.vector.values.copy()
    values[0] += 1
    other_looks = Features.from_array(values, train.items.values, missing=content.vector.missing)
    swapped = content.metadata.with_columns(pl.col("artist").reverse())
    fit(content)
    fit(content)
    fit(Content(vector=other_looks, metadata=content.metadata))
    fit(Content(vector=other_looks, metadata=swapped))
    assert [one[0] for one in epochs] == [1, 6, 1, 1]  # the second had nothing left to do


def test_a_model_that_needs_no_content_still_needs_features_for_it(train):
    with pytest.raises(FeaturesError, match="BPR with sampler = 'guidelines' needs visual features"):
        BPR(**SMALL).fit(train)


def test_what_decides_the_training_is_in_the_digests_of_the_content(content):
    model = BPR(**SMALL)
    assert model.learns_from == ("vector",)
    assert VBPR(**SMALL).learns_from == ("vector",)
    assert BPR().learns_from == ()
    swapped = Content(
        vector=content.vector, metadata=content.metadata.with_columns(pl.col("artist").reverse())
    )
    one, other = model.content_digests(content), model.content_digests(swapped)
    assert one["features"] is None
    assert one["sampler"] != other["sampler"]
    assert "sampler" not in BPR().content_digests(content)
