from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from visrec.data.interactions import Histories
from visrec.training.pairs import (
    Buffers,
    Pairs,
    Touched,
    distinct,
    gradients_by_torch,
    grouped,
    scores_by_torch,
)
from visrec.training.sampling import NOBODY, Triples

TRIPLES = Triples(
    np.array([3, 0, 3]), np.array([5, 2, 5]), np.array([[2, 9], [5, 5], [7, 2]]), np.ones(3, dtype=np.float32)
)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(-1, 50), max_size=40), st.sampled_from([1, 10**12]))
def test_distinct_is_what_numpy_finds(values, spread):
    index = np.array(values, dtype=np.int64) * spread
    found, at = distinct(index)
    expected, places = np.unique(index, return_inverse=True)
    assert found.tolist() == expected.tolist()
    assert at.tolist() == places.tolist()


def test_rows_are_grouped_in_the_order_in_which_they_come():
    indptr, order = grouped(np.array([2, 0, 2, 3, 2]), 4)
    assert indptr.tolist() == [0, 1, 1, 4, 5]
    assert order.tolist() == [1, 0, 2, 4, 3]


def test_each_user_is_one_query_and_each_item_one_vector():
    pairs = Pairs.of(TRIPLES)
    assert pairs.queries.user.tolist() == [0, 3]
    assert pairs.items.tolist() == [2, 5, 7, 9]
    assert pairs.queries.user[torch.from_numpy(pairs.at_query)].tolist() == [3, 0, 3]
    assert pairs.items[pairs.at_pos].tolist() == [5, 2, 5]
    assert pairs.items[pairs.at_neg].tolist() == TRIPLES.neg.tolist()


def test_scores_and_gradients_are_those_of_autograd():
    generator = torch.Generator().manual_seed(0)
    rng = np.random.default_rng(0)
    B = 300  # so many that threads share them
    batch = Triples(
        rng.integers(0, 90, B),
        rng.integers(0, 200, B),
        rng.integers(0, 200, (B, 3)),
        np.ones(B, dtype=np.float32),
    )
    pairs, buffers = Pairs.of(batch), Buffers()
    Q = torch.randn(len(pairs.queries), 5, generator=generator, requires_grad=True)
    Z = torch.randn(len(pairs.items), 5, generator=generator, requires_grad=True)
    q = Q[torch.from_numpy(pairs.at_query)]
    x_ui = (q * Z[torch.from_numpy(pairs.at_pos)]).sum(1)
    x_uj = torch.einsum("bd,bnd->bn", q, Z[torch.from_numpy(pairs.at_neg)])
    weights = torch.randn(B, generator=generator), torch.randn(B, 3, generator=generator)
    expected = torch.autograd.grad((x_ui, x_uj), (Q, Z), weights)
    by_torch = scores_by_torch(pairs, Q, Z), gradients_by_torch(pairs, (Q, Z), weights)
    for g, wanted in zip((*by_torch[0], *by_torch[1]), (x_ui, x_uj, *expected), strict=True):
        torch.testing.assert_close(g, wanted.detach(), rtol=1e-4, atol=1e-5)
    before = torch.get_num_threads()
    results = []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        try:
            found = pairs.scores(Q, Z)
            results.append([g.clone() for g in pairs.gradients((Q, Z), weights, buffers)])
        finally:
            torch.set_num_threads(before)
        torch.testing.assert_close(found[0], x_ui.detach())
        torch.testing.assert_close(found[1], x_uj.detach())
        for g, wanted in zip(results[-1], expected, strict=True):
            torch.testing.assert_close(g, wanted, rtol=1e-4, atol=1e-5)
    assert all(torch.equal(one, two) for one, two in zip(*results, strict=True))


def test_what_is_touched_is_counted_as_a_mean_over_triples():
    history = Histories(np.array([0, 2, 2, 3]), np.array([4, 6, 4]))
    batch = Triples(np.array([3, NOBODY, 3]), TRIPLES.pos, TRIPLES.neg, TRIPLES.weight, history)
    touched = Touched.of(batch, Pairs.of(batch))
    assert dict(zip(*map(np.ndarray.tolist, touched.users), strict=True)) == {3: np.float32(2 / 3)}
    items = {2: 1 + 1, 5: 2 + 1, 7: 0.5, 9: 0.5}
    items[2] = 1 + 0.5 + 0.5
    assert dict(zip(*map(np.ndarray.tolist, touched.items), strict=True)) == {
        item: np.float32(times / 3) for item, times in items.items()
    }
    assert dict(zip(*map(np.ndarray.tolist, touched.history), strict=True)) == {
        4: np.float32((0.5 + 1) / 3),
        6: np.float32(0.5 / 3),
    }


def test_a_buffer_is_used_again_where_it_is_large_enough():
    buffers = Buffers()
    first = buffers.of("a", (4, 3))
    assert buffers.of("a", (2, 3)).data_ptr() == first.data_ptr()
    assert buffers.of("b", (2, 3)).data_ptr() != first.data_ptr()
    assert buffers.of("a", (40, 3)).shape == (40, 3)


@pytest.mark.parametrize(("rows", "columns"), [(2, 4), (4, 3)])
def test_vectors_that_do_not_fit_are_refused_before_loops_read_them(rows, columns):
    pairs = Pairs.of(TRIPLES)  # of 2 queries and 4 items
    with pytest.raises(ValueError, match=r"item vectors of shape \(\d, \d\) for 2 queries and 4 items"):
        pairs.scores(torch.zeros(2, 4), torch.zeros(rows, columns))
