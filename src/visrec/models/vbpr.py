"""VBPR: matrix factorisation that also looks at the picture (He & McAuley 2016)."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from visrec.errors import FeaturesError
from visrec.features.features import Features
from visrec.features.finishing import present_rows
from visrec.space import Choice, LogRange, Space
from visrec.training.optimizer import L2
from visrec.training.pairwise import PairwiseRecommender
from visrec.training.trainer import TrainingConfig
from visrec.training.vectors import ItemVectors, Precision

# What the tutorial's code used; a setting given by hand still wins. Its weight decay of 1e-4 stands beside a loss
# summed over batches of 42,000 triples; beside our mean it is that much smaller.
TUTORIAL = {
    "dim_gamma": 200,
    "dim_theta": 100,
    "learning_rate": 1e-3,
    "weight_decay": 1e-4 / 42_000,
    "reg": 0.0,
    "reg_E": 0.0,
    "negatives": "catalog",
    "plateau_patience": 2,
    "precision": "float32",
}


class VBPRConfig(TrainingConfig):
    """Settings of `VBPR`."""

    space: ClassVar[Space] = {
        "dim_gamma": Choice((0, 16, 32, 64, 128)),
        "dim_theta": Choice((8, 16, 32, 64, 128)),
        "reg": LogRange(1e-3, 1.0),
        "reg_E": LogRange(1e-5, 1e-1),
        "learning_rate": LogRange(1e-3, 1e-1),
        "batch_size": Choice((256, 1024, 4096)),
    }
    variant: Literal["paper", "tutorial"] = "paper"
    """"paper": L2 per parameter group. "tutorial": its sizes, its uniform initial values, one weight decay."""
    dim_gamma: int = Field(default=64, ge=0)
    """K, the size of the latent factors gamma; 0 leaves only the visual terms and the bias."""
    dim_theta: int = Field(default=64, ge=1)
    """D, the size of the visual factors theta."""
    reg: float = Field(default=0.01, ge=0)
    """lambda_Theta: L2 on gamma, theta and beta of each triple."""
    reg_E: float = Field(default=1e-4, ge=0)
    """lambda_E: L2 on the embedding E and the visual bias beta'."""
    precision: Precision = "auto"
    """Of the products E f while it learns: "auto" is bfloat16 where the processor or GPU has it. Parameters, scores
    and the vectors of the finished model are float32."""

    def __init__(self, **values: Any) -> None:
        if values.get("variant") == "tutorial":
            values = {**TUTORIAL, **values}
        super().__init__(**values)


class VBPR(PairwiseRecommender):
    """x_ui = beta_i + gamma_u . gamma_i + theta_u . (E f_i) + beta' . f_i   (He & McAuley 2016, eq. 4).

    alpha and beta_u cancel in x_ui - x_uj and are left out. L2 as in section 4.3: `reg` on gamma, theta and
    beta, `reg_E` on E and beta'. f is divided by the root mean square of |f_i| first, which E and beta' could
    undo, so that learning rate and `reg_E` mean the same for features of any size and scale (not in the
    tutorial's variant). An item without an image gets the mean of all images: its visual terms are those of an
    average item.

    Symbols: gamma_u (U, K), gamma_i (I, K), theta_u (U, D), E (D, F), beta_i (I, 1), beta_prime (F, 1).
    """

    Config = VBPRConfig
    config: VBPRConfig
    needs = "vector"
    learns_on_gpu = True
    new_users = False
    new_items = True
    paper = "He & McAuley 2016"

    f_norm: Tensor
    """() the root mean square of |f_i|; 1 in the tutorial's variant."""
    f: ItemVectors | None = None
    """(I, F) the features that the encoders read; None in a model that was loaded without them."""

    def build(self, n_users: int, n_items: int) -> None:
        K, D, F = self.config.dim_gamma, self.config.dim_theta, self.n_features
        self.gamma_u = nn.Parameter(torch.empty(n_users, K))
        self.gamma_i = nn.Parameter(torch.empty(n_items, K))
        self.theta_u = nn.Parameter(torch.empty(n_users, D))
        self.E = nn.Parameter(torch.empty(D, F))
        self.beta_i = nn.Parameter(torch.empty(n_items, 1))
        self.beta_prime = nn.Parameter(torch.empty(F, 1))
        self.register_buffer("f_norm", torch.ones(()))

    def initialize(self, generator: torch.Generator) -> None:
        if self.config.variant == "paper" and self.features is not None:
            present = present_rows(self.features.values, self.features.missing)
            squares = sum(float(np.square(rows).sum(dtype=np.float64)) for rows in present())
            mean = squares / max(1, int((~self.features.missing).sum()))
            self.f_norm.fill_(float(np.sqrt(mean)) or 1.0)
        if self.config.variant == "tutorial":
            for parameter in (self.gamma_u, self.gamma_i, self.theta_u, self.E):
                nn.init.xavier_uniform_(parameter, generator=generator)
            nn.init.xavier_uniform_(self.beta_i, generator=generator)
            nn.init.xavier_uniform_(self.beta_prime, generator=generator)
            return
        for factors in (self.gamma_u, self.gamma_i, self.theta_u):
            nn.init.normal_(factors, std=0.1 / max(1, factors.shape[1]) ** 0.5, generator=generator)
        nn.init.normal_(self.E, std=0.1 / self.E.shape[1] ** 0.5, generator=generator)
        nn.init.zeros_(self.beta_i)
        nn.init.zeros_(self.beta_prime)

    def prepare_content(self, features: Features) -> None:
        scale, mean = 1 / float(self.f_norm), 0.0
        if features.missing.any() and not features.missing.all():
            total = sum(
                rows.sum(0, dtype=np.float64) for rows in present_rows(features.values, features.missing)()
            )
            mean = total / int((~features.missing).sum()) * scale
        self.f = ItemVectors(features, scale=scale, fill=mean, precision=self.config.precision)

    def release(self) -> None:
        if self.f is not None:
            self.f.release()

    def encode_items(self, items: Tensor) -> Tensor:
        if self.f is None:
            raise FeaturesError(
                "This VBPR was loaded without its features, which encoding items needs. Use "
                "load_model(path, features). Ranking the items that it was trained on works as it is."
            )
        of_f = torch.cat([self.E, self.beta_prime.T])  # (D + 1, F)
        visual = self.f.product(items, of_f, learning=self.is_learning)  # (n, D + 1): E f_i, beta' . f_i
        gamma_i, beta_i = self.take(self.gamma_i, items), self.take(self.beta_i, items)
        return torch.cat([gamma_i, visual[:, :-1], beta_i + visual[:, -1:]], dim=1)  # (n, K + D + 1)

    def encode_users(self, users: Tensor) -> Tensor:
        one = self.gamma_u.new_ones(len(users), 1)
        return torch.cat(
            [self.take(self.gamma_u, users), self.take(self.theta_u, users), one], dim=1
        )  # (B, K+D+1)

    def l2(self) -> L2:
        reg, reg_E = self.config.reg, self.config.reg_E
        return L2(
            users={"gamma_u": reg, "theta_u": reg},
            items={"gamma_i": reg, "beta_i": reg},
            shared={"E": reg_E, "beta_prime": reg_E},
        )

    def forget(self, users: Tensor, items: Tensor) -> None:
        self.gamma_u[users] = 0
        self.theta_u[users] = 0
        self.gamma_i[items] = 0
        self.beta_i[items] = 0

    def similarity_vectors(self) -> Tensor:
        return self._fitted(self.Z)[:, :-1]  # all but the bias
