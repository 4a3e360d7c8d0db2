"""ALS: matrix factorisation of who took what, with confidence (Hu, Koren & Volinsky 2008)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import numpy as np
import torch
from pydantic import Field
from scipy import sparse
from torch import Tensor

from visrec import config
from visrec.errors import ConfigError
from visrec.recommender import Fitting, Queries, Recommender
from visrec.space import Choice, LogRange, Space

_CELLS = 1 << 22  # float64 numbers held at once while histories are folded in: 32 MiB


class ALSConfig(config.Config):
    """Settings of `ALS`."""

    space: ClassVar[Space] = {
        "dim_gamma": Choice((16, 32, 64, 128)),
        "reg": LogRange(0.1, 100.0),
        "alpha": LogRange(0.5, 40.0),
    }
    dim_gamma: int = Field(default=64, ge=1)
    """K, the size of the latent factors gamma (the paper's f)."""
    reg: float = Field(default=10.0, gt=0)
    """lambda: L2 on the factors."""
    alpha: float = Field(default=4.0, gt=0)
    """How much more confidence an interaction of weight 1 deserves than none: c = 1 + alpha w."""
    iterations: int = Field(default=15, ge=1)
    """Sweeps: each solves for all users, then for all items."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Of the initial factors; the same seed gives the same model, bit for bit, on one machine."""


class ALS(Recommender):
    """x_ui = gamma_u . gamma_i   (Hu, Koren & Volinsky 2008; gamma_u, gamma_i are the paper's x_u, y_i).

    Minimises the sum over all pairs of c_ui (p_ui - gamma_u . gamma_i)² + reg (sum |gamma_u|² + sum |gamma_i|²),
    p_ui 1 where u took i and else 0, c_ui = 1 + alpha w_ui with w_ui the weight of what u took (eq. 3), by turns
    for users and items (eq. 4, 5). The sweeps are those of the library `implicit`, with exact solves.

    Users' factors are not kept: the query vector is the history folded in,
    gamma_u = (Y'Y + reg 1 + sum (c - 1) gamma_i gamma_i')^-1 sum c gamma_i over the items i of the history, Y all
    item factors. So a visitor gets what a user with that history gets. A history has no weights: all its items
    count with `confidence`, that of the mean weight in training, which where all weights are equal is their own.
    Items that nobody took have gamma_i = 0, which is what eq. 5 says of them.

    With weights, item i is folded in with the confidence c_i = 1 + (confidence - 1) |w_i| that its preference is
    p_i = sign(w_i): gamma_u = (Y'Y + reg 1 + sum (c_i - 1) gamma_i gamma_i')^-1 sum c_i p_i gamma_i. So the weight 1
    is that of an item without one. The paper's preferences are 0 and 1; -1, for what is disliked, is ours. Of an item
    that comes twice, the weights are added.

    Symbols: gamma_i (I, K), confidence ().
    """

    Config = ALSConfig
    config: ALSConfig
    learns = "least squares"
    query = "history"
    new_users = True
    new_items = False
    weighs = True
    paper = "Hu, Koren & Volinsky 2008"

    def _fit(self, fitting: Fitting) -> None:
        train = fitting.train
        R = train.matrix()
        self.confidence = torch.tensor(1 + self.config.alpha * float(R.data.mean()), dtype=torch.float64)
        taken = np.flatnonzero(train.item_counts() > 0)
        C = R[train.user_counts() > 0][:, taken]  # those without a row would only blur the first sweep
        C.data = 1 + np.float32(self.config.alpha) * C.data
        gamma_i = np.zeros((train.n_items, self.config.dim_gamma), dtype=np.float32)
        gamma_i[taken] = self._sweeps(C, fitting)
        self._keep(torch.from_numpy(gamma_i))

    def _sweeps(self, C: sparse.csr_array, fitting: Fitting) -> np.ndarray:
        """Item factors `(A, K)` learnt from confidences `(users, A)`."""
        try:
            from implicit.cpu.als import AlternatingLeastSquares
            from threadpoolctl import threadpool_limits
        except ImportError as error:
            raise ConfigError(
                f"The model als needs the library implicit ({error}): pip install 'visrec[als]'"
            ) from None
        settings = self.config

        def swept(sweep: int, _seconds: float, _loss: float | None) -> None:
            if fitting.progress is not None:
                fitting.progress(sweep + 1, settings.iterations, "")

        # implicit solves many small systems, each in a thread of its own: threads of the BLAS inside them would only
        # wait for each other. It warns of that, and the limit holds here alone.
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=settings.dim_gamma,
                regularization=settings.reg,
                alpha=1.0,  # what it multiplies is the whole confidence, which has its alpha already
                iterations=settings.iterations,
                use_cg=False,  # exact solves
                num_threads=torch.get_num_threads(),
                random_state=settings.seed,
            )
            model.fit(sparse.csr_matrix(C), show_progress=False, callback=swept)
        factors: np.ndarray = model.item_factors
        return factors

    def _keep(self, gamma_i: Tensor) -> None:
        self.gamma_i = gamma_i  # (I, K)
        Y = gamma_i.double()
        self._base = Y.T @ Y + self.config.reg * torch.eye(Y.shape[1], dtype=torch.float64)  # (K, K)

    def encode_items(self, items: Tensor) -> Tensor:
        return self.gamma_i[items]  # (n, K)

    def encode_queries(self, queries: Queries) -> Tensor:
        if queries.weight is not None:
            return self._weighed(queries, queries.weight)
        K, H = self.config.dim_gamma, queries.history.shape[1]
        # Sorted, so that neither the order of a history nor an item that comes twice matters; padding comes first.
        history = queries.history.masked_fill(~queries.mask, -1).sort(dim=1).values  # (B, H)
        real = history >= 0
        real[:, 1:] &= history[:, 1:] != history[:, :-1]
        size = max(1, _CELLS // (K * (K + H)))
        pairs = zip(history.clamp_min(0).split(size), real.split(size), strict=True)
        folded = [self._folded(*pair) for pair in pairs]
        return torch.cat(folded) if folded else torch.zeros(0, K)  # (B, K)

    def _folded(self, history: Tensor, real: Tensor) -> Tensor:
        """The factors `(b, K)` that eq. 4 gives for histories `(b, H)`, in float64, rounded at the end."""
        y = self.gamma_i[history].double() * real[:, :, None]  # (b, H, K)
        A = self._base + (self.confidence - 1) * torch.einsum("bhk,bhl->bkl", y, y)  # (b, K, K)
        right = self.confidence * y.sum(1)  # (b, K)
        solved: Tensor = torch.cholesky_solve(right[:, :, None], torch.linalg.cholesky(A))  # (b, K, 1)
        return solved[:, :, 0].float()

    def _weighed(self, queries: Queries, weight: Tensor) -> Tensor:
        """Factors `(B, K)` of histories with weights, which are few: one after the other."""
        folded = torch.zeros(len(queries), self.config.dim_gamma)
        for row, (history, real, given) in enumerate(zip(queries.history, queries.mask, weight, strict=True)):
            items, place = history[real].unique(return_inverse=True)  # (h,) sorted
            w = torch.zeros(len(items), dtype=torch.float64).index_add(0, place, given[real].double())  # (h,)
            y = self.gamma_i[items].double()  # (h, K)
            more = (self.confidence - 1) * w.abs()  # (h,)  c - 1
            A = self._base + y.T @ (more[:, None] * y)  # (K, K)
            right = y.T @ ((1 + more) * w.sign())  # (K,)
            folded[row] = torch.cholesky_solve(right[:, None], torch.linalg.cholesky(A))[:, 0].float()
        return folded

    def similarity_vectors(self) -> Tensor:
        return self.gamma_i

    def state(self) -> dict[str, Tensor]:
        return {"gamma_i": self.gamma_i, "confidence": self.confidence}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.confidence = state["confidence"]
        self._keep(state["gamma_i"])
        self.Z = self.gamma_i
