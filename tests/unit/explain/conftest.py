"""Small fitted models of every kind, each with what it learns from."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import visrec
from visrec.content import Content
from visrec.features.features import Features
from visrec.recommender import Recommender

SETTINGS = {
    "VisRank": {},
    "ItemKNN": {},
    "EASE": {"reg": 1.0},
    "BPR": {"dim_gamma": 3, "epochs": 3},
    "VBPR": {"dim_gamma": 3, "dim_theta": 2, "epochs": 3},
    "CuratorNet": {"dim": 4, "dim_hidden": 5, "epochs": 2},
    "ACF": {"dim_gamma": 3, "dim_attention": 4, "epochs": 2, "max_history": 4},
    "DVBPR": {
        "dim_theta": 3,
        "dim_fc": 16,
        "channels": (4, 4, 4, 4, 4),
        "epochs": 1,
        "batch_size": 4,
        "precision": "float32",
    },
}


@pytest.fixture(scope="session")
def train(interactions):
    """User 0 took six items, the newest of them 9; item 11 nobody took; user 3 took nothing."""
    pairs = [
        (0, 0),
        (0, 2),
        (0, 4),
        (0, 6),
        (0, 8),
        (0, 9),
        (1, 1),
        (1, 2),
        (1, 3),
        (1, 10),
        (2, 0),
        (2, 5),
        (2, 7),
    ]
    return interactions(pairs, 4, 12)


@pytest.fixture(scope="session")
def content(train) -> Content:
    """Item 4 has no picture."""
    rng = np.random.default_rng(0)
    missing = np.arange(12) == 4
    ids = train.items.values
    pixels = rng.integers(0, 256, size=(12, 64, 64, 3), dtype=np.uint8)
    grid = {"grid": [2, 2]}
    return Content(
        vector=Features.from_array(rng.normal(size=(12, 5)), ids, missing=missing),
        regions=Features.from_array(rng.normal(size=(12, 4, 5)), ids, missing=missing, provenance=grid),
        image=Features.from_array(pixels, ids, missing=missing),
    )


@pytest.fixture(scope="session")
def fitted(train, content) -> Callable[..., Recommender]:
    """`fitted("VBPR", dim_theta=3)`: trained on all there is."""

    def fit(name: str, **settings: object) -> Recommender:
        model: Recommender = getattr(visrec, name)(**{**SETTINGS[name], **settings})
        return model.fit(train, content)

    return fit
