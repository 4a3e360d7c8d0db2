"""The order of many rows: np.lexsort, by counting."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from visrec.data import order
from visrec.data.order import by_group, in_order, merged, order_of

KINDS = (
    lambda rng, n: rng.integers(-3, 3, n),
    lambda rng, n: rng.integers(0, 5, n).astype(np.int8),
    lambda rng, n: rng.integers(-(2**63), 2**63 - 1, n),
    lambda rng, n: rng.integers(0, 2**64 - 1, n, dtype=np.uint64),
    lambda rng, n: rng.integers(0, 2**40, n),
    lambda rng, n: rng.normal(size=n),
    lambda rng, n: rng.choice([0.0, -0.0, 1.5, -2.0, np.inf, -np.inf], n).astype(np.float32),
    lambda rng, n: rng.choice([0.0, np.nan, 1.0], n),
    lambda rng, n: rng.random(n) < 0.5,
    lambda rng, n: np.ones(n),
)
"""Columns as they may come: few values, all of 64 bits, both zeros, what is no number."""


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows are ordered as many are."""
    monkeypatch.setattr(order, "_FEW", 0)


@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=4),
    n=st.integers(1, 200),
    seed=st.integers(0, 99),
)
def test_order_is_that_of_lexsort(kinds: list, n: int, seed: int):
    rng = np.random.default_rng(seed)
    keys = [kind(rng, n) for kind in kinds]

    found = order_of(keys)

    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, np.lexsort(keys))


@given(
    kinds=st.lists(st.sampled_from(KINDS[:7]), min_size=1, max_size=4),
    n=st.integers(1, 30),
    seed=st.integers(0, 99),
)
def test_rows_are_in_order_where_lexsort_leaves_them(kinds: list, n: int, seed: int):
    rng = np.random.default_rng(seed)
    keys = [kind(rng, n) for kind in kinds]
    places = np.lexsort(keys)

    assert in_order(keys) == (places == np.arange(n)).all()
    assert in_order([key[places] for key in keys])


def test_digits_of_a_wide_key_come_out_in_one_order():
    # 40 bits are two digits of 20: the lower ones alone would put 1 before 2 ** 20.
    key = np.array([2**40 - 1, 2**20, 1, 2**20 + 1, 0])

    assert order_of([key]).tolist() == [4, 2, 1, 3, 0]


@given(
    kinds=st.lists(st.sampled_from(KINDS[:7]), min_size=1, max_size=4),
    n=st.integers(0, 40),
    seed=st.integers(0, 99),
)
def test_two_tables_in_order_become_one(kinds: list, n: int, seed: int):
    rng = np.random.default_rng(seed)
    keys = [kind(rng, n) for kind in kinds]
    keys = [key[np.lexsort(keys)] for key in keys]
    first = rng.random(n) < 0.6

    found = merged([(key[first], key[~first]) for key in keys])

    for one, expected in zip(found, keys, strict=True):
        assert one.dtype == expected.dtype
        np.testing.assert_array_equal(one, expected)


def test_values_by_group_stay_in_their_order():
    start, values = by_group(np.array([5, 3, 9, 1, 2]), np.array([2, 0, 2, 0, 3], dtype=np.int32), 5)
    assert start.tolist() == [0, 2, 2, 4, 5, 5]
    assert values.tolist() == [3, 1, 5, 9, 2]
