"""One small world for all models, and the one way in which the contract builds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from visrec import registry
from visrec.content import Content
from visrec.data.ids import IdMap
from visrec.data.interactions import Interactions
from visrec.data.splits import Split
from visrec.features.features import Features
from visrec.recommender import Recommender

Build = Callable[..., Recommender]


@dataclass(frozen=True)
class World:
    """Interactions of two tastes, and what the items look like, which shows them, as every kind of content."""

    split: Split
    values: np.ndarray
    missing: np.ndarray

    @property
    def content(self) -> Content:
        return shown(self.values, self.train.items.values, missing=self.missing)

    @property
    def train(self) -> Interactions:
        return self.split.train


def _interactions(pairs: list[tuple[int, int]], users: IdMap, items: IdMap, start: int = 0) -> Interactions:
    user, item = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    time = start + np.arange(len(user))
    return Interactions(user, item, time, np.ones(len(user)), users, items)


def shown(
    values: np.ndarray, item_ids: Any, *, missing: np.ndarray | None = None, dtype: str = "float32"
) -> Content:
    """Looks `(n, 6)` as vectors, as four regions, and as 16 x 16 pixels, whose halves are three of the six each."""
    values = np.asarray(values, dtype=np.float64)
    stored = values.astype(dtype)
    regions = np.stack([stored, stored[:, ::-1], stored, stored], axis=1)  # (n, 4, 6)
    bytes_ = np.clip(128 + 100 * np.nan_to_num(values), 0, 255).astype(np.uint8)
    halves = bytes_.reshape(-1, 1, 2, 3)  # (n, 1, 2, 3)
    pixels = halves.repeat(16, axis=1).repeat(8, axis=2)  # (n, 16, 16, 3)
    vector, of_regions, image = (
        Features.from_array(one, item_ids, missing=missing) for one in (stored, regions, pixels)
    )
    return Content(vector, of_regions, image)


def _colours(n: int, *, seed: int = 0) -> np.ndarray:
    """`(n, 6)`: the colour of item i (i % 2) is plain to see, the rest is noise of its own."""
    values = 0.1 * np.random.default_rng(seed).normal(size=(n, 6))
    values[:, 0] += np.arange(n) % 2 == 0
    values[:, 1] += np.arange(n) % 2 == 1
    return values


@pytest.fixture(scope="session")
def world() -> World:
    """12 users, 20 items. User 11 has no training row, items 18 and 19 nobody took; 3 and 18 have no image."""
    users = IdMap([f"u{n:02d}" for n in range(12)], kind="user")
    items = IdMap([f"i{n:02d}" for n in range(20)], kind="item")
    rng = np.random.default_rng(1)
    train, valid, test = [], [], []
    for u in range(11):
        own = rng.permutation(np.arange(u % 2, 18, 2))[:6]
        train += [(u, int(i)) for i in own[:4]]
        valid.append((u, int(own[4])))
        test.append((u, int(own[5])))
    test.append((11, 18))
    split = Split(
        _interactions(train, users, items),
        _interactions(valid, users, items, 100),
        _interactions(test, users, items, 200),
    )
    return World(split, _colours(20), np.isin(np.arange(20), [3, 18]))


@pytest.fixture(scope="session")
def checkerboard() -> World:
    """16 users, 18 items in two colours. User u took all items of its colour among the first 16, except item u.

    Items 16 and 17, one of each colour, are brand-new.
    """
    users = IdMap([f"u{n:02d}" for n in range(16)], kind="user")
    items = IdMap([f"i{n:02d}" for n in range(18)], kind="item")
    pairs = [(u, i) for u in range(16) for i in range(16) if i % 2 == u % 2 and i != u]
    held = [(u, u) for u in range(16)]
    empty = _interactions([], users, items)
    split = Split(_interactions(pairs, users, items), empty, _interactions(held, users, items, 1000))
    return World(split, _colours(18), np.zeros(18, dtype=bool))


@pytest.fixture(scope="session")
def build() -> Build:
    """An unfitted model by its name; of the settings given, those that it has are taken."""

    def make(name: str, **settings: Any) -> Recommender:
        cls = registry.resolve("models", name)
        known = {key: value for key, value in settings.items() if key in cls.Config.model_fields}
        return cls(**known)

    return make
