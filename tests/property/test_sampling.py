from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.training.sampling import UniformSampler

matrices = st.tuples(st.integers(1, 6), st.integers(1, 9)).flatmap(lambda shape: arrays(np.bool_, shape))


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    """Compiling takes longer than an example may."""
    list(UniformSampler(_interactions(np.eye(2, dtype=bool))).epoch(1, np.random.default_rng(0)))


class EachInTurn:
    """Stands in for a generator: `random(n)` runs through n equal parts of [0, 1)."""

    def random(self, n: int) -> np.ndarray:
        return (np.arange(n) + 0.5) / n


def _interactions(taken: np.ndarray) -> Interactions:
    user, item = np.nonzero(taken)
    users, items = (IdMap(range(n), kind=kind) for n, kind in zip(taken.shape, ("user", "item"), strict=True))
    return Interactions(user, item, np.zeros(len(user)), np.ones(len(user)), users, items)


@given(taken=matrices, negatives=st.sampled_from(["catalog", "interacted"]))
def test_each_item_that_a_user_does_not_have_is_drawn_from_an_equal_part(taken, negatives):
    pool = np.ones(taken.shape[1], dtype=bool) if negatives == "catalog" else taken.any(0)
    has_negative = (pool & ~taken).any(1)
    assume(taken[has_negative].any())
    sampler = UniformSampler(_interactions(taken), negatives=negatives)
    for user in range(len(taken)):
        free = np.flatnonzero(pool & ~taken[user])
        drawn = sampler.negatives_for(np.full(len(free), user), EachInTurn())
        assert drawn.tolist() == free.tolist()


@given(taken=matrices, batch_size=st.integers(1, 20), seed=st.integers(0, 99))
def test_an_epoch_is_each_interaction_of_users_who_have_a_negative(taken, batch_size, seed):
    has_negative = ~taken.all(1)
    assume(taken[has_negative].any())
    sampler = UniformSampler(_interactions(taken), negatives="catalog")
    seen = np.zeros(taken.shape, dtype=int)
    for batch in sampler.epoch(batch_size, np.random.default_rng(seed)):
        assert len(batch) <= batch_size
        assert not taken[batch.user, batch.neg[:, 0]].any()
        np.add.at(seen, (batch.user, batch.pos), 1)
    np.testing.assert_array_equal(seen, taken & has_negative[:, None])
