"""BPR-MF: matrix factorisation learnt from pairs (Rendle et al. 2009)."""

from __future__ import annotations

from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from visrec.space import Choice, LogRange, Space
from visrec.training.factors import Factors
from visrec.training.optimizer import L2
from visrec.training.pairwise import PairwiseRecommender
from visrec.training.trainer import TrainingConfig


class BPRConfig(TrainingConfig):
    """Settings of `BPR`."""

    dim_gamma: int = Field(default=64, ge=1)
    """K, the size of the latent factors gamma."""
    space: ClassVar[Space] = {
        "dim_gamma": Choice((16, 32, 64, 128)),
        "reg": LogRange(1e-3, 1.0),
        "learning_rate": LogRange(1e-3, 1e-1),
        "batch_size": Choice((256, 1024, 4096)),
    }
    reg: float = Field(default=0.01, ge=0)
    """lambda_Theta: L2 on the factors and biases of each triple."""


class BPR(PairwiseRecommender):
    """x_ui = beta_i + gamma_u . gamma_i   (Rendle et al. 2009, section 4.3.1).

    Minimises the mean over triples of -ln sigmoid(x_ui - x_uj) + reg/2 (|gamma_u|² + |gamma_i|² + |gamma_j|²
    + beta_i² + beta_j²). The paper draws (u, i) with replacement and steps on one triple; here each epoch is a
    permutation of the interactions and a step takes a batch.
    """

    Config = BPRConfig
    config: BPRConfig
    learns_on_gpu = True
    new_users = False
    new_items = False
    paper = "Rendle et al. 2009"
    factors = Factors(users="gamma_u", items="gamma_i", bias="beta_i")
    edition = 3  # from when its steps are those of `Factors`, which round otherwise

    def build(self, n_users: int, n_items: int) -> None:
        K = self.config.dim_gamma
        self.gamma_u = nn.Parameter(torch.empty(n_users, K))
        self.gamma_i = nn.Parameter(torch.empty(n_items, K))
        self.beta_i = nn.Parameter(torch.empty(n_items, 1))

    def initialize(self, generator: torch.Generator) -> None:
        for gamma in (self.gamma_u, self.gamma_i):
            nn.init.normal_(gamma, std=0.1 / self.config.dim_gamma**0.5, generator=generator)
        nn.init.zeros_(self.beta_i)

    def encode_items(self, items: Tensor) -> Tensor:
        return torch.cat([self.take(self.gamma_i, items), self.take(self.beta_i, items)], dim=1)  # (n, K + 1)

    def encode_users(self, users: Tensor) -> Tensor:
        one = self.gamma_u.new_ones(len(users), 1)
        return torch.cat([self.take(self.gamma_u, users), one], dim=1)  # (B, K + 1)

    def l2(self) -> L2:
        reg = self.config.reg
        return L2(users={"gamma_u": reg}, items={"gamma_i": reg, "beta_i": reg})

    def forget(self, users: Tensor, items: Tensor) -> None:
        self.gamma_u[users] = 0
        self.gamma_i[items] = 0
        self.beta_i[items] = 0

    def similarity_vectors(self) -> Tensor:
        return self.gamma_i.detach()
