"""Small interactions from pairs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions

Make = Callable[..., Interactions]


@pytest.fixture(scope="session")
def interactions() -> Make:
    """`interactions([(user, item), …], n_users, n_items, weight=[…])`, in time order; ids u00 …, i00 …"""

    def make(
        pairs: Sequence[tuple[int, int]],
        n_users: int,
        n_items: int,
        *,
        weight: Sequence[float] | None = None,
    ) -> Interactions:
        user, item = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        weights = np.ones(len(user)) if weight is None else np.array(weight)
        users = IdMap([f"u{n:02d}" for n in range(n_users)], kind="user")
        items = IdMap([f"i{n:02d}" for n in range(n_items)], kind="item")
        return Interactions(user, item, np.arange(len(user)), weights, users, items)

    return make
