from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.errors import DataError
from visrec.training.clusters import Clusters
from visrec.training.guidelines import GuidelinesConfig, GuidelinesSampler
from visrec.training.sampling import NOBODY
from visrec.training.unowned import Unowned


@st.composite
def worlds(draw):
    """Anything there can be: users with nothing or everything, no images, one artist, equal pictures and times."""
    n_users, n_items = draw(st.integers(1, 5)), draw(st.integers(1, 9))
    taken = draw(arrays(np.int64, (n_users, n_items), elements=st.integers(0, 3)))  # 0: not; else a time
    assume(taken.any())
    of = draw(arrays(np.int64, n_items, elements=st.integers(-1, 2)))
    vectors = draw(arrays(np.float32, (n_items, 2), elements=st.integers(-2, 2)))
    creator = draw(arrays(np.int64, n_items, elements=st.integers(-1, 2)))
    vectors[of < 0] = 0
    user, item = np.nonzero(taken)
    users, items = IdMap(range(n_users), kind="user"), IdMap(range(n_items), kind="item")
    train = Interactions(user, item, taken[user, item], np.ones(len(user)), users, items)
    return train, Clusters(of, vectors), creator


@settings(deadline=None)
@given(
    world=worlds(),
    batch_size=st.integers(1, 20),
    n_negatives=st.integers(1, 3),
    history=st.sampled_from(["none", "all", "others", "up_to"]),
    negatives=st.sampled_from(["catalog", "interacted"]),
    shares=st.tuples(*[st.sampled_from([0, 1, 3])] * 6).filter(any),
    seed=st.integers(0, 99),
)
def test_it_never_loops_and_a_negative_is_never_owned(
    world, batch_size, n_negatives, history, negatives, shares, seed
):
    train, clusters, creator = world
    owned = {*zip(train.user.tolist(), train.item.tolist(), strict=True)}
    try:
        sampler = GuidelinesSampler(
            train,
            clusters,
            GuidelinesConfig(shares=shares),
            creator=creator,
            negatives=negatives,
            n_negatives=n_negatives,
            history=history,
        )
        batches = list(sampler.epoch(batch_size, np.random.default_rng(seed)))
    except DataError:  # tested by its text elsewhere
        return
    assert 0 < sum(map(len, batches)) <= len(sampler) == len(owned)
    for b in batches:
        assert b.neg.shape == (len(b), n_negatives)
        assert len(b) <= batch_size
        assert (b.history is None) == (history == "none")
        for user, pos, row in zip(b.user.tolist(), b.pos.tolist(), b.neg.tolist(), strict=True):
            assert user == NOBODY or user in sampler.user
            for neg in row:
                assert neg != pos
                assert (user, neg) not in owned
                assert clusters.of[neg] >= 0
                assert clusters.of[pos] >= 0
                assert {pos, neg} <= set(sampler.pool.tolist())


@given(
    group=arrays(np.int64, st.integers(1, 9), elements=st.integers(-1, 3)),
    owned=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 8)), unique=True),
)
def test_each_item_of_a_group_that_a_user_does_not_have_is_drawn_from_an_equal_part(group, owned):
    class EachInTurn:
        """Stands in for a generator: `random(n)` runs through n equal parts of [0, 1)."""

        def random(self, n: int) -> np.ndarray:
            return (np.arange(n) + 0.5) / n

    owned = [(u, i) for u, i in owned if i < len(group)]
    user, item = np.array(owned, dtype=np.int64).reshape(-1, 2).T
    found = Unowned(group, user, item)
    for u in (-1, 0, 1, 2, 3):
        grouped = [i for i in range(len(group)) if group[i] >= 0 and (u, i) not in owned]
        assert found.count_all(np.array([u])).tolist() == [len(grouped)]
        drawn = found.draw_any(np.full(len(grouped), u), EachInTurn())
        assert sorted(drawn.tolist()) == grouped
        for g in range(group.max() + 1):
            free = [i for i in grouped if group[i] == g]
            n = max(1, len(free))
            assert found.count(np.array([u]), np.array([g])).tolist() == [len(free)]
            drawn = found.draw(np.full(n, u), np.full(n, g), EachInTurn())
            assert drawn.tolist() == (free or [-1])
