"""Vectors of users and items that come from elsewhere, as a model: so one evaluator judges those of all libraries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

import visrec
from visrec.recommender import Fitting, Queries


class Vectors(visrec.Recommender):
    """The score is the dot product of a user's vector `Q (U, d)` with an item's `(I, d)`."""

    Config = visrec.Popularity.Config
    query = "user"
    new_users = new_items = False
    paper = ""

    def __init__(self, Q: np.ndarray, Z: np.ndarray) -> None:
        super().__init__()
        self.given = torch.from_numpy(Q), torch.from_numpy(Z)

    def _fit(self, fitting: Fitting) -> None:
        pass

    def encode_items(self, items: torch.Tensor) -> torch.Tensor:
        return self.given[1][items]

    def encode_queries(self, queries: Queries) -> torch.Tensor:
        return self.given[0][queries.user]

    def state(self) -> dict[str, torch.Tensor]:
        return {}

    def restore(self, state: Any) -> None:
        pass


def planted(folder: Path, split: visrec.Split, dim: int, seed: int) -> None:
    """Write random vectors `Q{dim}.npy`, `Z{dim}.npy` that lean a little towards what users take, also in the test.

    So lists and metrics are those of a model, neither of chance nor all the same.
    """
    rng = np.random.default_rng([seed, dim])
    Q = rng.standard_normal((split.train.n_users, dim), dtype=np.float32)
    Z = rng.standard_normal((split.train.n_items, dim), dtype=np.float32)
    Q[split.test.user] += 2.5 * dim**-0.5 * Z[split.test.item]
    np.save(folder / f"Q{dim}.npy", Q)
    np.save(folder / f"Z{dim}.npy", Z)


def load(folder: str | Path, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """The vectors that `planted` wrote."""
    return np.load(Path(folder) / f"Q{dim}.npy"), np.load(Path(folder) / f"Z{dim}.npy")
