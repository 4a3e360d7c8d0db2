from __future__ import annotations

from collections import Counter
from itertools import permutations

import numpy as np
import pytest
from scipy.stats import chisquare

from visrec.training.dealing import dealt


@pytest.mark.parametrize("n", [0, 1, 9, 10, 1000])
def test_each_number_is_in_one_part_and_parts_rise(n):
    parts = list(dealt(n, 10, np.random.default_rng(0)))
    assert np.sort(np.concatenate([np.zeros(0, dtype=int), *parts])).tolist() == list(range(n))
    assert all(len(part) and (np.diff(part.astype(int)) > 0).all() for part in parts)
    assert len(parts) <= max(1, n // 10)


def test_parts_are_about_as_large_as_asked_for():
    sizes = [len(part) for part in dealt(20_000, 1000, np.random.default_rng(0))]
    assert len(sizes) == 20
    assert 800 < min(sizes) <= max(sizes) < 1200  # 6 standard deviations, of 31


def test_shuffled_part_by_part_every_order_is_as_likely():
    rng = np.random.default_rng(0)
    orders = Counter(
        tuple(np.concatenate([rng.permutation(part) for part in dealt(4, 2, rng)]).tolist())
        for _ in range(6000)
    )
    assert chisquare([orders[order] for order in permutations(range(4))]).pvalue > 0.01
