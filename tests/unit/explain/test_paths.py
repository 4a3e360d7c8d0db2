"""Paths of small steps: against all paths there are, by loops."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from visrec.errors import DataError, UnsupportedError
from visrec.explain.paths import Paths
from visrec.features.features import Features


def ids(n: int) -> list[str]:
    return [f"i{row}" for row in range(n)]


def cosines(values: np.ndarray) -> np.ndarray:
    unit = values / np.linalg.norm(values, axis=1, keepdims=True)
    return unit @ unit.T


def circle(likeness: np.ndarray, start: int, k: int) -> tuple[dict[int, int], dict[int, float]]:
    """Steps and least cost from one item to all, each step to one of the k nearest, by relaxing over and over."""
    n = len(likeness)
    near = [sorted((j for j in range(n) if j != i), key=lambda j: -likeness[i, j])[:k] for i in range(n)]
    steps, cost = {start: 0}, {start: 0.0}
    for _ in range(n):
        for i in list(steps):
            for j in near[i]:
                new = steps[i] + 1, cost[i] + 1 - likeness[i, j]
                if j not in steps or new < (steps[j], cost[j] - 1e-12):
                    steps[j], cost[j] = new
    return steps, cost


@pytest.mark.parametrize("seed", range(6))
def test_a_path_is_the_best_of_all_that_meet_in_the_middle(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(60, 3)).astype(np.float32)
    likeness = cosines(values.astype(np.float64))
    found = Paths(Features.from_array(values, ids(60))).between("i3", "i41")
    assert found is not None
    one, other = (circle(likeness, row, found.k) for row in (3, 41))
    met = one[0].keys() & other[0].keys()
    best = min((max(one[0][m], other[0][m]), one[0][m] + other[0][m], one[1][m] + other[1][m]) for m in met)
    assert len(found.items) - 1 == best[1]
    assert sum(1 - one for one in found.similarities) == pytest.approx(best[2], abs=1e-5)
    rows = [int(str(item)[1:]) for item in found.items]
    assert [rows[0], rows[-1]] == [3, 41]
    for step, (a, b) in enumerate(pairwise(rows)):
        assert found.similarities[step] == pytest.approx(likeness[a, b], abs=1e-5)
        closer_to_a = sum(likeness[a, c] > likeness[a, b] + 1e-9 for c in range(60) if c != a)
        closer_to_b = sum(likeness[b, c] > likeness[b, a] + 1e-9 for c in range(60) if c != b)
        assert min(closer_to_a, closer_to_b) < found.k


def test_k_grows_until_two_crowds_meet() -> None:
    """Ten pictures to the left, ten to the right: among 6 neighbours nobody leaves their own, among 12 they do."""
    rng = np.random.default_rng(0)
    crowds = np.repeat(np.array([[1.0, 0.0], [0.0, 1.0]]), 10, axis=0)
    values = (crowds + rng.normal(scale=0.05, size=(20, 2))).astype(np.float32)
    found = Paths(Features.from_array(values, ids(20))).between("i0", "i15")
    assert found is not None
    assert found.k == 12


def test_a_crowd_of_its_own_is_left_by_a_larger_step() -> None:
    """Sixty near each other: among fewer than 60 neighbours nobody leaves, so it takes 96."""
    rng = np.random.default_rng(0)
    crowds = np.repeat(np.array([[1.0, 0.0], [0.0, 1.0]]), 60, axis=0)
    values = (crowds + rng.normal(scale=0.05, size=(120, 2))).astype(np.float32)
    found = Paths(Features.from_array(values, ids(120))).between("i0", "i119")
    assert found is not None
    assert found.k == 96


def test_an_item_is_at_its_own_place() -> None:
    values = np.eye(4, dtype=np.float32) + 0.1
    found = Paths(Features.from_array(values, ids(4))).between("i2", "i2")
    assert found is not None
    assert (found.items, found.similarities) == (("i2",), ())


def test_where_too_much_would_have_to_be_looked_up_there_is_no_path() -> None:
    values = np.random.default_rng(1).normal(size=(300, 8)).astype(np.float32)
    features = Features.from_array(values, ids(300))
    likeness = cosines(values)
    far = f"i{int(likeness[0].argmin())}"
    assert Paths(features).between("i0", far) is not None
    assert Paths(features, most=1).between("i0", far) is None


def test_what_has_no_picture_has_no_path() -> None:
    values = np.ones((3, 2), dtype=np.float32)
    values[1] = np.nan
    features = Features.from_array(np.nan_to_num(values), ids(3), missing=np.isnan(values[:, 0]))
    with pytest.raises(UnsupportedError, match="no features"):
        Paths(features).between("i0", "i1")
    with pytest.raises(DataError, match="Unknown item 'x'"):
        Paths(features).between("i0", "x")
