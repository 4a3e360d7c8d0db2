"""Varied pictures: the first few show every look, and nothing comes twice."""

from __future__ import annotations

import numpy as np
import pytest

from visrec.serving.variety import varied_order

N, LOOKS = 30, 6


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """180 rows around 6 directions at right angles, of any length, in a random order; row r is of look `r % 6`."""
    rng = np.random.default_rng(0)
    centres = np.eye(LOOKS, 12)
    rows = np.concatenate([centres + rng.normal(0, 0.08, (LOOKS, 12)) for _ in range(N)])
    return rows * rng.uniform(0.1, 10, (len(rows), 1))


def test_every_few_rows_show_every_look(vectors: np.ndarray):
    order = varied_order(vectors, looks=LOOKS)
    for start in range(0, len(order), LOOKS):
        assert set(order[start : start + LOOKS] % LOOKS) == set(range(LOOKS))


def test_the_first_ones_are_the_most_typical(vectors: np.ndarray):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    for row in varied_order(vectors, looks=LOOKS)[:LOOKS]:
        members = np.arange(row % LOOKS, len(unit), LOOKS)
        centre = unit[members].mean(axis=0)
        assert unit[row] @ centre == pytest.approx((unit[members] @ centre).max(), abs=1e-6)


def test_each_row_comes_once_and_always_in_the_same_order(vectors: np.ndarray):
    order = varied_order(vectors, looks=LOOKS)
    assert sorted(order) == list(range(len(vectors)))
    assert order.tolist() == varied_order(vectors, looks=LOOKS).tolist()
    assert order.tolist() != varied_order(vectors, looks=LOOKS, seed=1).tolist()


@pytest.mark.parametrize("vectors", [np.zeros((5, 3)), np.ones((4, 2)), np.eye(3), np.zeros((0, 4))])
def test_too_few_looks_are_no_fault(vectors: np.ndarray):
    assert sorted(varied_order(vectors, looks=24)) == list(range(len(vectors)))
