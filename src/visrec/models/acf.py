"""ACF: attention over a user's items, and over the regions of their pictures (Chen et al. 2017)."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np
import polars as pl
import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from visrec.errors import ConfigError, FeaturesError
from visrec.recommender import Fitting, Queries
from visrec.space import Choice, IntRange, LogRange, Space
from visrec.training.attention import HistoryPairs, attend
from visrec.training.device import beside
from visrec.training.optimizer import L2
from visrec.training.pairwise import PairwiseRecommender
from visrec.training.regions import ItemRegions
from visrec.training.sampling import HistoryRule
from visrec.training.trainer import TrainingConfig
from visrec.training.vectors import Precision

# What the tutorial's code used; a setting given by hand still wins.
TUTORIAL: dict[str, Any] = {
    "components": 0,
    "precision": "float32",
    "dim_gamma": 128,
    "max_history": 9,
    "epochs": 10,
    "batch_size": 128,
    "learning_rate": 1e-3,
    "weight_decay": 1e-5,
    "reg": 0.0,
    "reg_W": 0.0,
    "negatives": "catalog",
    "plateau_patience": 2,
}

_CELLS = 1 << 25  # floats of what is computed at once: 128 MiB
_LOWEST = torch.finfo(torch.float32).min  # of a softmax: its share is exactly 0

log = logging.getLogger("visrec")


class ACFConfig(TrainingConfig):
    """Settings of `ACF`."""

    space: ClassVar[Space] = {
        "dim_gamma": Choice((32, 64, 128)),
        "max_history": IntRange(5, 40),
        "learning_rate": LogRange(1e-3, 3e-2),
        "reg": LogRange(1e-3, 1.0),
    }
    variant: Literal["paper", "tutorial"] = "paper"
    """"paper", or "tutorial": its equations, sizes and initial values; see `ACF`."""
    components: int = Field(default=128, ge=0)
    """Regions of more numbers are reduced to so many, once to learn from, along the directions that keep most of
    them; 0: regions are read as they are, as in the paper and in the tutorial's variant."""
    dim_gamma: int = Field(default=64, ge=1)
    """K, the size of the vectors u, v and p."""
    dim_attention: int = Field(default=64, ge=1)
    """k, the size of the hidden layer of both attentions; the tutorial's variant has K."""
    max_history: int = Field(default=20, ge=1)
    """H, the newest so many items of a user are looked at."""
    precision: Precision = "auto"
    """Of W2x x_lm, its gradient and their factors while it learns: "auto" is bfloat16 where the processor or GPU
    has it. Weights and all else are float32, and so are the vectors of the finished model."""
    batch_size: int = Field(default=256, ge=1)
    """Triples a step. The regions of all items that they look at are read from disk at each."""
    reg: float = Field(default=0.01, ge=0)
    """L2 on the vectors u, v and p of each triple, p as the mean over the history."""
    reg_W: float = Field(default=1e-4, ge=0)
    """L2 on the weights of both attentions, without the biases."""

    def __init__(self, **values: Any) -> None:
        if values.get("variant") == "tutorial":
            values = {**TUTORIAL, **values}
            values.setdefault("dim_attention", values["dim_gamma"])
        super().__init__(**values)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.variant == "tutorial" and self.dim_attention != self.dim_gamma:
            raise ValueError(
                f"dim_attention is {self.dim_attention} and dim_gamma {self.dim_gamma}; the tutorial's variant "
                f"has one size for both. Leave dim_attention out"
            )
        return self


class ACF(PairwiseRecommender):
    """x_uj = (u_u + sum_l alpha_ul p_l) . v_j over the items l of the history   (Chen et al. 2017, section 4).

    Of item l the picture's regions x_lm, m = 1 … R, count by the component-level attention

        beta_ulm = softmax_m( w2 . ReLU(W2u u_u + W2x x_lm + b2) ),   xbar_ul = sum_m beta_ulm x_lm

    and the item itself by the item-level attention

        alpha_ul = softmax_l( w1 . ReLU(W1u u_u + W1v v_l + W1p p_l + W1x xbar_ul + b1) ).

    The constants c1 and c2 that the paper adds cancel in the softmax and are left out. An item without an image has
    xbar = 0 and no beta. A positive is never in its own history; users without a history have the query u_u.

    Regions longer than `components` are read as B x_lm, with B (C, F) the orthonormal directions that keep most of
    their squared length. What lies within these is read as it is: W x = (W B') B x.

    variant="tutorial": x_lm is first reduced to W_r x_lm + b_r (K); p is v; there is no W1v; the query is
    (W1u u_u + b_u + sum_l alpha_ul p_l) / K, the projection of u_u in place of u_u itself.

    Symbols: u (U, K), v and p (I, K), W2x and W1x (k, F) or (k, C), all other W (k, K), b and w (k,).
    """

    Config = ACFConfig
    config: ACFConfig
    needs = "regions"
    query = "both"
    learns_on_gpu = True
    new_users = False
    new_items = False
    paper = "Chen et al. 2017"

    basis: Tensor
    """(C, F) B; (0, F) where regions are read as they are."""
    Q: Tensor | None = None
    """(U, K) the query vectors for the training histories: what a model that was loaded without features ranks by."""
    x: ItemRegions | None = None
    """(I, R, F) the regions; None until they are read, and in a model that was loaded without its features."""

    @property
    def looks_at(self) -> HistoryRule:
        return "others"

    @property
    def max_history(self) -> int:
        return self.config.max_history

    def build(self, n_users: int, n_items: int) -> None:
        def parameter(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(shape))

        K, k, F = self.config.dim_gamma, self.config.dim_attention, self.n_features
        C = min(self.config.components or F, F)
        self.register_buffer("basis", torch.zeros(C if C < F else 0, F))
        F = C
        self.u, self.v = parameter(n_users, K), parameter(n_items, K)
        if self._is_tutorial:
            self.W_r, self.b_r, self.b_u = parameter(K, F), parameter(K), parameter(K)
            F = K
        else:
            self.p, self.W1v = parameter(n_items, K), parameter(k, K)
        self.W2u, self.W2x, self.b2, self.w2 = parameter(k, K), parameter(k, F), parameter(k), parameter(k)
        self.W1u, self.W1p, self.W1x = parameter(k, K), parameter(k, K), parameter(k, F)
        self.b1, self.w1 = parameter(k), parameter(k)

    def initialize(self, generator: torch.Generator) -> None:
        if len(self.basis):
            assert self.x is not None
            basis, note = self.x.directions(len(self.basis))
            self.basis.copy_(basis)
            self.notes += (note,)
            log.info("%s: %s", type(self).__name__, note)
        of_regions = ("W_r",) if self._is_tutorial else ("W2x", "W1x")
        for name, parameter in self.named_parameters():
            if len(self.basis) and name in of_regions:  # W' = W B' of a W that reads all F numbers
                whole = torch.empty(len(parameter), self.n_features)
                self._initialize(name, whole, generator)
                parameter.detach().copy_(whole @ self.basis.T)
            else:
                self._initialize(name, parameter, generator)

    def _initialize(self, name: str, values: Tensor, generator: torch.Generator) -> None:
        if name in ("u", "v", "p"):
            std = 1.0 if self._is_tutorial else 0.1 / self.config.dim_gamma**0.5
            nn.init.normal_(values, std=std, generator=generator)
        elif name in ("W_r", "b_r"):
            bound = self.n_features**-0.5
            nn.init.uniform_(values, -bound, bound, generator=generator)
        elif name.startswith("b"):
            nn.init.zeros_(values)
        elif self._is_tutorial:
            nn.init.normal_(values, std=(2 / values.shape[-1]) ** 0.5, generator=generator)
        else:
            nn.init.xavier_uniform_(torch.atleast_2d(values), generator=generator)

    @property
    def _is_tutorial(self) -> bool:
        return self.config.variant == "tutorial"

    @property
    def profile(self) -> nn.Parameter:
        """p (I, K), what an item of a history adds to the query."""
        return self.v if self._is_tutorial else self.p

    def encode_items(self, items: Tensor) -> Tensor:
        return self.take(self.v, items)  # (n, K)

    def encode_queries(self, queries: Queries) -> Tensor:
        if queries.user is None:
            return super().encode_queries(queries)
        queries = queries.newest(self.max_history)
        if self.features is None:
            return self._remembered(queries)
        return torch.cat([self._attend(block).query for block in self._blocks(queries)])

    def attention(
        self,
        users: Sequence[str | int],
        histories: Sequence[Sequence[str | int]] | None = None,
    ) -> pl.DataFrame:
        """What the users' query vectors are made of: which of their items count, and which regions of each.

        Args:
            users: user ids.
            histories: item ids, oldest first, one list a user; None: what each took in the training data. Of
                either the newest `max_history` count.

        Returns:
            A table user_id, item_id, alpha, beta: one row for each item of each history. alpha sums to 1 over a
            history. beta (R numbers) sums to 1 over the regions; null where the item has no image. Where on the
            picture they lie, `visrec.explain.attention.region_boxes` says.

        Raises:
            FeaturesError: the model was loaded without its features.
            ConfigError: not as many histories as users.
        """
        if histories is not None and len(histories) != len(users):
            raise ConfigError(f"{len(histories)} histories for {len(users)} users; give one list a user.")
        if self.features is None:
            raise FeaturesError(
                "This ACF was loaded without its features, which attention needs. Use load_model(path, features)."
            )
        index = self.users.indices(users)
        if histories is None:
            queries = self.queries(index)
        else:
            queries = Queries.of([self.items.indices(history) for history in histories], index)
        queries = queries.newest(self.max_history)
        with torch.no_grad():
            found = [self._attend(block) for block in self._blocks(queries)]
        item = queries.history[queries.mask].numpy()  # (S,)
        beta = pl.Series("beta", torch.cat([one.beta for one in found]).numpy())
        return pl.DataFrame(
            {
                "user_id": self.users.take(index[queries.mask.nonzero()[:, 0].numpy()]),
                "item_id": self.items.take(item),
                "alpha": torch.cat([one.alpha for one in found]).numpy(),
                "seen": ~self.features.missing[item],
            }
        ).select("user_id", "item_id", "alpha", pl.when("seen").then(beta).alias("beta"))

    def l2(self) -> L2:
        reg, profile = self.config.reg, "v" if self._is_tutorial else "p"
        weights = [name for name, _ in self.named_parameters() if name[0] in "Ww"]
        return L2({"u": reg}, {"v": reg}, {profile: reg}, dict.fromkeys(weights, self.config.reg_W))

    def forget(self, users: Tensor, items: Tensor) -> None:
        self.u[users] = 0
        self.v[items] = 0
        looked_at = torch.zeros(len(self.items), dtype=torch.bool)
        looked_at[torch.from_numpy(self.histories.items)] = True
        if not self._is_tutorial:
            self.p[~looked_at] = 0

    def similarity_vectors(self) -> Tensor:
        return self.v.detach()

    def state(self) -> dict[str, Tensor]:
        state = super().state()
        if self.Q is not None:
            state["Q"] = self.Q
        return state

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.Q = state["Q"]
        rest = {name: tensor for name, tensor in state.items() if name != "Q"}
        if "basis" not in rest:  # written before regions were ever reduced
            self.config = self.config.replace(components=0, precision="float32")
            rest["basis"] = torch.zeros(0, int(state["content_shape"][-1]))
        super().restore(rest)

    def _fit(self, fitting: Fitting) -> None:
        assert self.features is not None
        folder = None if fitting.checkpoint is None else fitting.checkpoint.parent
        self.x = ItemRegions(self.features, np.unique(self.histories.items), folder=folder)
        super()._fit(fitting)

    def release(self) -> None:
        if self.x is not None:
            self.x.release()

    def remember(self) -> None:
        """Keep the query vectors for the training histories, once the parameters have their values."""
        everyone = Queries.padded(self.histories.newest(self.max_history), np.arange(len(self.users)))
        with torch.no_grad():
            self.Q = self.encode_queries(everyone)

    def _remembered(self, queries: Queries) -> Tensor:
        """Query vectors `(B, K)` as they were at the end of training."""
        assert queries.user is not None
        known = self.queries(queries.user.numpy()).newest(self.max_history)
        same = torch.equal(known.mask.sum(1), queries.mask.sum(1))
        if not same or not torch.equal(known.history[known.mask], queries.history[queries.mask]):
            raise FeaturesError(
                "This ACF was loaded without its features; it knows its users only by the histories of the training "
                "data. Use load_model(path, features)."
            )
        return self._fitted(self.Q)[queries.user]

    def _blocks(self, queries: Queries) -> Iterator[Queries]:
        """Some queries at a time, so that what they hold stays within a fixed memory; in training all at once."""
        C = len(self.basis) or self.n_features
        of_item = self.content_shape[0] + C + 4 * self.config.dim_attention  # beta, xbar and what is hidden
        n = max(1, _CELLS // max(1, queries.history.shape[1] * of_item))
        if torch.is_grad_enabled():
            n = max(1, len(queries))
        assert queries.user is not None
        for parts in zip(
            *(one.split(n) for one in (queries.user, queries.history, queries.mask)), strict=True
        ):
            yield Queries(*parts)

    def _attend(self, queries: Queries) -> _Attention:
        assert self.features is not None
        assert queries.user is not None
        u = self.take(self.u, queries.user)  # (B, K)
        owner = queries.mask.nonzero()[:, 0]  # (S,)
        distinct, item = queries.history[queries.mask].unique(return_inverse=True)  # (n,) sorted, (S,)
        beta, of_xbar = self._look(u, owner, distinct, item)  # (S, R), (S, k)
        base = u @ self.W1u.T  # (B, k)
        p = self.take(self.profile, distinct)  # (n, K)
        of_item = p @ self.W1p.T  # (n, k)
        if self._is_tutorial:
            base = u = base + self.b_u  # the projection takes the place of u in the query too
        else:
            of_item = of_item + self.take(self.v, distinct) @ self.W1v.T
        owner, item, mask = (beside(one, u) for one in (owner, item, queries.mask))
        hidden = (
            base.index_select(0, owner) + of_item.index_select(0, item) + of_xbar + self.b1
        ).relu()  # (S, k)
        padding = u.new_full(mask.shape, _LOWEST)
        logits = padding.masked_scatter(mask, hidden @ self.w1)  # (B, H)
        alpha = logits.softmax(1)[mask]  # (S,)  item-level attention
        query = u.index_add(0, owner, alpha[:, None] * p.index_select(0, item))  # (B, K)
        return _Attention(query / self.config.dim_gamma if self._is_tutorial else query, alpha, beta)

    def _look(self, u: Tensor, owner: Tensor, distinct: Tensor, item: Tensor) -> tuple[Tensor, Tensor]:
        """Component-level attention beta `(S, R)` of S pairs, and W1x xbar `(S, k)`, 0 where there is no image."""
        assert self.features is not None
        W: Tensor = self.W2x  # (k, F)
        of_user = u @ self.W2u.T + self.b2  # (B, k)
        if self._is_tutorial:  # by linearity W2x (W_r x + b_r) needs no W_r x of each region
            of_user, W = of_user + self.W2x @ self.b_r, self.W2x @ self.W_r
        if self.x is None or self.x.features is not self.features:  # it was loaded, or given others
            self.x = ItemRegions(self.features)
        read = self.x.reader(distinct, self.basis, learning=self.is_learning)
        pairs = HistoryPairs.of(item, len(distinct), read, (self.content_shape[0], W.shape[1]))
        beta, xbar = attend(
            pairs,
            of_user.index_select(0, beside(owner, u)),
            W,
            self.w2,
            dtype=self.rounding(self.config.precision),
        )
        if self._is_tutorial:
            xbar = xbar @ self.W_r.T + self.b_r  # (S, K), since beta sums to 1
        missing = torch.from_numpy(self.features.missing[distinct.numpy()])[item]  # (S,)
        return beta, (xbar @ self.W1x.T).masked_fill(beside(missing, u)[:, None], 0)


class _Attention(NamedTuple):
    """Of B queries with S history items in all, one row after the other."""

    query: Tensor
    """(B, K)"""
    alpha: Tensor
    """(S,)"""
    beta: Tensor
    """(S, R); of no meaning where the item has no image."""
