from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from visrec.errors import DataError
from visrec.training import sampling
from visrec.training.sampling import PopularitySampler, UniformSampler, looked_at

PAIRS = [(0, 0), (0, 2), (0, 5), (1, 1), (2, 0), (2, 1), (2, 2), (2, 3), (2, 5), (2, 6)]
"""User 0 has 3 of 7 items, user 1 has 1, user 2 has all but item 4, user 3 has none. Nobody has item 4."""


@pytest.fixture
def train(interactions):
    return interactions(PAIRS, 4, 7)


def test_an_epoch_has_each_interaction_once_in_random_order(train):
    sampler = UniformSampler(train)
    rng = np.random.default_rng(0)
    orders = []
    for _ in range(2):
        batches = list(sampler.epoch(3, rng))
        assert [len(batch) for batch in batches] == [3, 3, 3, 1]
        pairs = [(int(u), int(i)) for b in batches for u, i in zip(b.user, b.pos, strict=True)]
        assert sorted(pairs) == sorted(PAIRS)
        orders.append(pairs)
    assert orders[0] != orders[1]
    assert len(sampler) == len(PAIRS)


def test_a_batch_of_one_is_a_batch(train):
    assert [len(b) for b in UniformSampler(train).epoch(1, np.random.default_rng(0))] == [1] * len(PAIRS)


def test_the_same_generator_gives_the_same_epoch(train):
    one, other = (
        [(b.user, b.pos, b.neg) for b in UniformSampler(train).epoch(4, np.random.default_rng(5))]
        for _ in range(2)
    )
    np.testing.assert_equal(one, other)


@pytest.mark.parametrize("negatives", ["catalog", "interacted"])
def test_a_negative_is_never_an_item_that_the_user_has(train, negatives):
    sampler, rng = UniformSampler(train, negatives=negatives), np.random.default_rng(0)
    for _ in range(200):
        for batch in sampler.epoch(4, rng):
            assert not {*zip(batch.user.tolist(), batch.neg[:, 0].tolist(), strict=True)} & {*PAIRS}


@pytest.mark.parametrize(
    ("negatives", "free"),
    [
        ("catalog", {0: [1, 3, 4, 6], 1: [0, 2, 3, 4, 5, 6], 2: [4]}),
        ("interacted", {0: [1, 3, 6], 1: [0, 2, 3, 5, 6]}),
    ],
)
def test_negatives_are_uniform_over_the_items_that_the_user_does_not_have(train, negatives, free):
    sampler, rng = UniformSampler(train, negatives=negatives), np.random.default_rng(0)
    for user, items in free.items():
        drawn = sampler.negatives_for(np.full(6000, user), rng)
        counts = np.bincount(drawn, minlength=7)
        assert np.flatnonzero(counts).tolist() == items
        if len(items) > 1:
            assert chisquare(counts[items]).pvalue > 0.01


def test_only_items_that_somebody_took_are_negatives_if_asked_for(train):
    assert UniformSampler(train, negatives="interacted").pool.tolist() == [0, 1, 2, 3, 5, 6]
    assert UniformSampler(train, negatives="catalog").pool.tolist() == list(range(7))


def test_a_user_with_all_items_but_one_always_gets_that_one(train):
    sampler = UniformSampler(train, negatives="catalog")
    drawn = sampler.negatives_for(np.full(50, 2), np.random.default_rng(0))
    assert (drawn == 4).all()


def test_a_user_who_has_everything_is_left_out(train):
    # Of the items that somebody took, user 2 has all: there is no negative, and no endless search for one.
    sampler = UniformSampler(train, negatives="interacted")
    users = [u for batch in sampler.epoch(4, np.random.default_rng(0)) for u in batch.user]
    assert sorted(users) == [0, 0, 0, 1]


def test_where_all_users_have_everything_there_is_nothing_to_learn(interactions):
    train = interactions([(0, 0), (0, 1), (1, 0), (1, 1)], 2, 3)
    with pytest.raises(DataError, match=r"all 2 items.*negatives='interacted'.*nothing to learn"):
        UniformSampler(train, negatives="interacted")
    assert len(UniformSampler(train, negatives="catalog")) == 4


def test_repeated_interactions_are_one_triple_with_their_summed_weight(interactions):
    train = interactions([(0, 0), (0, 1), (0, 0)], 1, 3, weight=[1, 2, 4])
    (batch,) = UniformSampler(train, negatives="catalog").epoch(10, np.random.default_rng(0))
    weights = dict(zip(batch.pos.tolist(), batch.weight.tolist(), strict=True))
    assert weights == {0: 5.0, 1: 2.0}
    assert batch.neg.tolist() == [[2], [2]]


def test_users_are_those_of_the_positives(train):
    assert UniformSampler(train).user.tolist() == [0, 1, 2]
    assert UniformSampler(train, negatives="interacted").user.tolist() == [0, 1]  # 2 has all of them


# ---- more than is drawn at once ------------------------------------------------------------------------


@pytest.fixture
def many(interactions, monkeypatch):
    """300 users who have about 5 of 40 items each, with weights that tell which; drawn in parts of about 100."""
    monkeypatch.setattr(sampling, "_PART", 100)
    taken = np.random.default_rng(0).random((300, 40)) < 0.12
    taken[7] = True  # all there is
    taken[9] = False
    pairs = np.argwhere(taken).tolist()
    return interactions(pairs, 300, 40, weight=[1 + 40 * user + item for user, item in pairs])


@pytest.mark.parametrize("batch_size", [1, 7, 64, 250, 10_000])
@pytest.mark.parametrize("sampler", [UniformSampler, PopularitySampler])
def test_an_epoch_of_many_parts_has_each_interaction_once_in_batches_of_one_size(many, batch_size, sampler):
    expected = sorted((int(u), int(i)) for u, i in zip(many.user, many.item, strict=True) if u != 7)
    epochs = []
    for seed in (1, 2):
        batches = list(sampler(many, n_negatives=2).epoch(batch_size, np.random.default_rng(seed)))
        sizes = [len(batch) for batch in batches]
        assert sizes == [batch_size] * (len(expected) // batch_size) + [len(expected) % batch_size] * (
            len(expected) % batch_size > 0
        )
        user, pos, weight = (
            np.concatenate([getattr(b, name) for b in batches]) for name in ("user", "pos", "weight")
        )
        assert weight.tolist() == (1 + 40 * user + pos).tolist()
        neg = np.concatenate([batch.neg for batch in batches])
        assert not (many.matrix().toarray() > 0)[np.repeat(user, 2), neg.ravel()].any()
        pairs = list(zip(user.tolist(), pos.tolist(), strict=True))
        assert sorted(pairs) == expected
        epochs.append(pairs)
    assert epochs[0] != epochs[1]


@pytest.mark.parametrize("sampler", [UniformSampler, PopularitySampler])
def test_an_epoch_is_the_same_however_many_threads_draw_it(many, sampler, monkeypatch):
    monkeypatch.setattr(sampling, "_LEAST", 8)
    found = []
    before = torch.get_num_threads()
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        try:
            batches = list(sampler(many).epoch(64, np.random.default_rng(3)))
        finally:
            torch.set_num_threads(before)
        found.append([(batch.user, batch.pos, batch.neg) for batch in batches])
    np.testing.assert_equal(found[1:], found[:1] * 2)


def test_what_is_compiled_finds_what_a_loop_finds(many):
    sampler, rng = UniformSampler(many, negatives="catalog"), np.random.default_rng(0)
    users = np.repeat(sampler.user, 3)
    chance = rng.random(len(users))
    free = [np.flatnonzero(row == 0) for row in many.matrix().toarray()]
    expected = [free[u][int(c * len(free[u]))] for u, c in zip(users, chance, strict=True)]
    assert sampler.negatives_for(users, np.random.default_rng(0)).tolist() == expected


# ---- several negatives, popularity ---------------------------------------------------------------------


def test_each_positive_has_so_many_negatives_drawn_one_by_one(train):
    sampler, rng = UniformSampler(train, n_negatives=5), np.random.default_rng(0)
    for batch in sampler.epoch(4, rng):
        assert batch.neg.shape == (len(batch), 5)
        for user, negatives in zip(batch.user, batch.neg, strict=True):
            assert not {(int(user), int(j)) for j in negatives} & {*PAIRS}


def test_popular_items_come_as_negatives_in_proportion_to_how_often_they_were_taken(train):
    # Items of user 1: only item 1. The others were taken 2, -, 2, 1, 0, 2, 1 times.
    sampler, rng = PopularitySampler(train), np.random.default_rng(0)
    drawn = sampler.negatives_for(np.full(20_000, 1), rng)
    counts = np.bincount(drawn, minlength=7)
    assert counts[[1, 4]].tolist() == [0, 0]
    expected = 20_000 * np.array([2, 2, 1, 2, 1]) / 8
    assert chisquare(counts[[0, 2, 3, 5, 6]], expected).pvalue > 1e-3


def test_popularity_never_loops_however_much_a_user_owns(interactions):
    # User 0 has all that anybody ever took often, and every draw but one in 1,001 is of it.
    pairs = [(0, 0)] + [(u, 0) for u in range(2, 1002)] + [(1, 1)]
    sampler, rng = PopularitySampler(interactions(pairs, 1002, 3)), np.random.default_rng(0)
    assert sampler.negatives_for(np.zeros(50, dtype=np.int64), rng).tolist() == [1] * 50


def test_many_negatives_are_not_drawn_all_at_once(many, monkeypatch):
    monkeypatch.setattr(sampling, "_PART", 400)
    asked = []
    sampler = UniformSampler(many, n_negatives=20)
    draw = sampler.negatives_for

    def watched(users, rng):
        asked.append(len(users))
        return draw(users, rng)

    monkeypatch.setattr(sampler, "negatives_for", watched)
    batches = list(sampler.epoch(5, np.random.default_rng(0)))
    assert sum(asked) == 20 * len(sampler) == sum(batch.neg.size for batch in batches)
    assert max(asked) < 1_200  # parts are of 400 by chance


# ---- what a model looks at -----------------------------------------------------------------------------


@pytest.mark.usefixtures("parts")
def test_the_rules_of_what_a_model_looks_at(interactions):
    train = interactions([(0, 3), (1, 2), (0, 1), (0, 4), (0, 0)], 2, 6)  # user 0: 3, 1, 4, 0
    histories, user, pos = train.histories(), np.array([0, 1, 0]), np.array([4, 2, 3])

    def rows(rule, newest=None):
        found = looked_at(histories, user, pos, rule, newest)
        return [found.of(row).tolist() for row in range(3)]

    assert looked_at(histories, user, pos, "none", None) is None
    assert rows("all") == [[3, 1, 4, 0], [2], [3, 1, 4, 0]]
    assert rows("others") == [[3, 1, 0], [], [1, 4, 0]]
    assert rows("up_to") == [[3, 1, 4], [2], [3]]
    assert rows("others", 2) == [[1, 0], [], [4, 0]]
    assert rows("up_to", 1) == [[4], [2], [3]]


@pytest.mark.usefixtures("parts")
def test_an_epoch_hands_each_positive_its_history(train):
    sampler = UniformSampler(train, history="others", max_history=2)
    histories = train.histories()
    for batch in sampler.epoch(3, np.random.default_rng(0)):
        for row, (user, pos) in enumerate(zip(batch.user, batch.pos, strict=True)):
            others = [i for i in histories.of(int(user)).tolist() if i != pos]
            assert batch.history.of(row).tolist() == others[-2:]
