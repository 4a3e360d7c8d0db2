"""Popularity: what most people took."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from visrec import config
from visrec.recommender import Fitting, Queries, Recommender


class PopularityConfig(config.Config):
    """Settings of `Popularity`: none."""


class Popularity(Recommender):
    """x_ui = ln(1 + pop_i), pop_i the summed weight of the item's training interactions; alike for all users."""

    Config = PopularityConfig
    config: PopularityConfig
    learns = "counts"
    query = "nothing"
    new_users = True
    new_items = False
    personal = False
    paper = "baseline"

    def _fit(self, fitting: Fitting) -> None:
        train = fitting.train
        pop = np.bincount(train.item, weights=train.weight, minlength=train.n_items)
        self.log_pop = torch.from_numpy(np.log1p(pop).astype(np.float32))[:, None]  # (I, 1)

    def encode_items(self, items: Tensor) -> Tensor:
        return self.log_pop[items]  # (n, 1)

    def encode_queries(self, queries: Queries) -> Tensor:
        return torch.ones(len(queries), 1)

    def state(self) -> dict[str, Tensor]:
        return {"log_pop": self.log_pop}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.log_pop = state["log_pop"]
        self.Z = self.log_pop
