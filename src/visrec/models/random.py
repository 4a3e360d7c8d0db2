"""Random: the floor that every model has to clear."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from pydantic import Field
from torch import Tensor

from visrec import config
from visrec.recommender import Fitting, Queries, Recommender


class RandomConfig(config.Config):
    """Settings of `Random`."""

    seed: int = Field(default=0, ge=0, lt=2**63)
    """Another seed, another order."""


class Random(Recommender):
    """x_ui = q_u . z_i with both drawn from N(0, 1): an order of its own for each user, the same each time."""

    Config = RandomConfig
    config: RandomConfig
    learns = "nothing"
    query = "user"
    new_users = True
    new_items = False
    personal = False
    paper = "chance"

    dim = 64
    """Large enough that two users' orders are all but independent."""

    def _fit(self, fitting: Fitting) -> None:
        train = fitting.train
        generator = torch.Generator().manual_seed(self.config.seed)
        self.q = torch.randn(train.n_users + 1, self.dim, generator=generator)  # the last row serves visitors
        self.z = torch.randn(train.n_items, self.dim, generator=generator)

    def encode_items(self, items: Tensor) -> Tensor:
        return self.z[items]  # (n, d)

    def encode_queries(self, queries: Queries) -> Tensor:
        if queries.user is None:
            return self.q[-1:].expand(len(queries), -1)
        return self.q[queries.user]  # (B, d)

    def state(self) -> dict[str, Tensor]:
        return {"q": self.q, "z": self.z}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.q, self.z = state["q"], state["z"]
        self.Z = self.z
