from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from visrec import ranking
from visrec.ranking import ranks_of, tie_order, top_k

SCORES = [-np.inf, -1.5, -0.0, 0.0, 1e-38, 1.0, 3e38]
tables = st.tuples(st.integers(1, 4), st.integers(1, 150)).flatmap(
    lambda shape: arrays.arrays(np.float32, shape, elements=st.sampled_from(SCORES))
)


@pytest.fixture(autouse=True, scope="module")
def _compiled():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ranking, "_FEW", -1)
        yield


def _sorted(line: np.ndarray, user: int) -> np.ndarray:
    """All candidates of a row, best first, by a full sort."""
    found = np.flatnonzero(line > -np.inf)
    return found[np.lexsort((tie_order(user, found), -line[found]))]


@given(tables, st.integers(1, 200), st.integers(-1, 2**40))
def test_lists_are_the_heads_of_full_sorts_bit_for_bit(scores, k, user):
    users = user + np.arange(len(scores))
    items, values = top_k(torch.from_numpy(scores), k, users)
    for row, line in enumerate(scores):
        expected = _sorted(line, users[row])[:k]
        assert items[row, : len(expected)].tolist() == expected.tolist()
        assert values[row, : len(expected)].tobytes() == line[expected].tobytes()
        assert (items[row, len(expected) :] == -1).all()
        assert np.isneginf(values[row, len(expected) :]).all()


@given(tables, st.integers(-1, 2**40))
def test_ranks_are_the_places_in_full_sorts(scores, user):
    users = user + np.arange(len(scores))
    rows, items = np.nonzero(scores > -np.inf)
    ranks, mid, n_candidates = ranks_of(torch.from_numpy(scores), rows, items, users)
    assert n_candidates.tolist() == np.bincount(rows, minlength=len(scores)).tolist()
    for row, line in enumerate(scores):
        of_row = rows == row
        order = _sorted(line, users[row])
        assert items[of_row][np.argsort(ranks[of_row])].tolist() == order.tolist()
        for item, place in zip(items[of_row], mid[of_row], strict=True):
            tied = np.flatnonzero(line[order] == line[item]) + 1  # places
            assert place == tied.mean()
