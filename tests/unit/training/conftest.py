from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture
def two_tastes(interactions):
    """(train, valid) of users who like every other one of the first `liked` items, with `each` to train on."""

    def of(n_users: int, n_items: int, each: int, *, liked: int):
        rng = np.random.default_rng(0)
        train, valid = [], []
        for u in range(n_users):
            own = [int(i) for i in rng.permutation(np.arange(u % 2, liked, 2))]
            train += [(u, i) for i in own[:each]]
            valid.append((u, own[each]))
        return interactions(train, n_users, n_items), interactions(valid, n_users, n_items)

    return of
