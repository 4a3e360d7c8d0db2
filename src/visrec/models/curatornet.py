"""CuratorNet: a user is what their pictures have in common, pooled by a network (Messina et al. 2020)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from visrec.errors import FeaturesError
from visrec.features.features import Features
from visrec.features.finishing import Finishing, Steps, present_rows
from visrec.recommender import Queries
from visrec.space import Choice, LogRange, Space
from visrec.training.device import beside
from visrec.training.optimizer import L2
from visrec.training.pairs import distinct
from visrec.training.pairwise import PairwiseRecommender
from visrec.training.pooling import pooled
from visrec.training.sampling import HistoryRule
from visrec.training.trainer import TrainingConfig
from visrec.training.vectors import ItemVectors, Precision

# What the tutorial's code used; a setting given by hand still wins. Its weight decay of 1e-4 stands beside a loss
# summed over batches of 128 triples; beside our mean it is that much smaller.
TUTORIAL = {
    "history": "up_to",
    "max_history": 10,
    "batch_size": 128,
    "learning_rate": 1e-4,
    "least_learning_rate": 1e-6,
    "weight_decay": 1e-4 / 128,
    "reg": 0.0,
    "negatives": "catalog",
    "plateau_patience": 2,
    "precision": "float32",
}


class CuratorNetConfig(TrainingConfig):
    """Settings of `CuratorNet`.

    The paper trains on ten million triples at learning rates from 1e-4 down to 1e-6. An epoch of small data has few
    steps, so both are ten times that here.
    """

    space: ClassVar[Space] = {
        "learning_rate": LogRange(1e-4, 3e-3),
        "batch_size": Choice((128, 512, 2048)),
        "reg": LogRange(1e-6, 1e-2),
        "valid_metric": Choice(("auc", "ndcg@20")),
    }
    variant: Literal["paper", "tutorial"] = "paper"
    """"paper": z-scored features, L2 on weights. "tutorial": features as they are, one weight decay, [max, mean]."""
    dim: int = Field(default=200, ge=1)
    """Size of both layers of the item tower, and of item and query vectors."""
    dim_hidden: int = Field(default=300, ge=1)
    """Size of the first two layers of the query tower."""
    history: Literal["others", "all", "up_to"] = "others"
    """What of a user's history a positive is predicted from: "others", all but the positive, which is how it will be
    when ranking; "all", also the positive (the paper's first guideline); "up_to", what came up to the positive, and
    the positive (the tutorial's). Triples by guidelines have histories of their own."""
    max_history: int | None = Field(default=None, ge=1)
    """The newest items of a history that count, in training and in ranking; None: all."""
    reg: float = Field(default=1e-4, ge=0)
    """lambda: L2 on the weights of all layers, not on their biases."""
    precision: Precision = "auto"
    """Of the layers' products while it learns: "auto" is bfloat16 where the processor or GPU has it, and what comes
    out of them is rounded too. Parameters and the vectors of the finished model are float32."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size; in the paper 1e-4."""
    least_learning_rate: float = Field(default=1e-5, ge=0)
    """Training ends when a plateau would take the learning rate below this; in the paper 1e-6."""
    valid_metric: Literal["auc", "ndcg@20", "recall@20"] = "auc"
    """What early stopping and the plateau watch. The paper watches the share of validation triples in the right
    order; with uniform negatives that is an estimate of the AUC, which is exact."""
    plateau_patience: int = Field(default=1, ge=0)
    """Epochs without gain that are tolerated: the rate falls after the second, as in the paper."""

    def __init__(self, **values: Any) -> None:
        if values.get("variant") == "tutorial":
            values = {**TUTORIAL, **values}
        super().__init__(**values)


class CuratorNet(PairwiseRecommender):
    """x_ui = p_u . q_i, of one network for items and one for histories   (Messina et al. 2020, section 4).

    q_i = SELU(W_2 SELU(W_1 z_i + b_1) + b_2), z_i the z-scored f_i: item tower, F -> 200 -> 200.
    p_u = SELU(W_5 SELU(W_4 SELU(W_3 [mean_l q_l, max_l q_l] + b_3) + b_4) + b_5), l in the history: query tower,
    400 -> 300 -> 300 -> 200. Minimises the mean of -ln sigmoid(x_ui - x_uj) + reg/2 sum_k |W_k|².

    Nothing belongs to a user or to an item, so that those which training never saw are served like all others. An
    item without an image is an average one as a candidate, and counts in nobody's history; a history of which nothing
    is left has the query vector 0. The tutorial's variant leaves f_i as it is and pools [max, mean].

    With weights, p_u = a p(w > 0) - b p(w < 0), Rocchio's relevance feedback (1971) on query vectors: p(.) of the
    items of one sign, whose mean is sum |w_l| q_l / sum |w_l| and whose maximum has no weights; a and b are the mean
    |w_l| of those items. Pictures that are no items count like items, beside the newest `max_history`.
    """

    Config = CuratorNetConfig
    config: CuratorNetConfig
    needs = "vector"
    query = "history"
    learns_on_gpu = True
    new_users = True
    new_items = True
    weighs = True
    new_pictures = True
    paper = "Messina et al. 2020"

    mean: Tensor
    """(F,) float64, of the features of the items that have an image."""
    std: Tensor
    """(F,) float64, like `mean`; 0 for a constant column, which becomes 0. Not used in the tutorial's variant."""
    missing: Tensor
    """(I,) bool, the items without an image."""
    z: ItemVectors | None = None
    """(I, F) what the item tower reads; None in a model that was loaded without its features."""

    def build(self, n_users: int, n_items: int) -> None:  # noqa: ARG002
        d, hidden = self.config.dim, self.config.dim_hidden
        self.item_tower = _dense(self.n_features, d, d)
        self.query_tower = _dense(2 * d, hidden, hidden, d)
        self.register_buffer("mean", torch.zeros(self.n_features, dtype=torch.float64))
        self.register_buffer("std", torch.ones(self.n_features, dtype=torch.float64))
        self.register_buffer("missing", torch.zeros(n_items, dtype=torch.bool))

    def initialize(self, generator: torch.Generator) -> None:
        assert self.features is not None
        for layer in self._layers():
            nn.init.xavier_uniform_(layer.weight, generator=generator)
            nn.init.zeros_(layer.bias)
        self.missing.copy_(torch.from_numpy(self.features.missing.copy()))
        rows = present_rows(self.features.values, self.features.missing)
        for name, fitted in Finishing.fit(Steps(), rows, self.n_features).state().items():  # mean and std
            self.get_buffer(name).copy_(torch.from_numpy(fitted))

    def _layers(self) -> Iterator[nn.Linear]:
        return (layer for layer in self.modules() if isinstance(layer, nn.Linear))

    def prepare_content(self, features: Features) -> None:
        given: dict[str, Any] = {"precision": self.config.precision}
        mean, std = self.mean.numpy(), self.std.numpy()
        if self.config.variant == "paper":
            scale = np.divide(1.0, std, out=np.zeros_like(std), where=std > 0)
            self.z = ItemVectors(features, shift=mean, scale=scale, **given)
        else:
            self.z = ItemVectors(features, fill=mean, **given)

    def release(self) -> None:
        if self.z is not None:
            self.z.release()

    @property
    def _finishing(self) -> Finishing:
        """From features to what the item tower reads."""
        is_paper = self.config.variant == "paper"
        return Finishing(self.mean.numpy(), self.std.numpy()) if is_paper else Finishing()

    @property
    def looks_at(self) -> HistoryRule:
        return self.config.history

    @property
    def max_history(self) -> int | None:
        return self.config.max_history

    def encode_items(self, items: Tensor) -> Tensor:
        if self.z is None:
            raise FeaturesError(
                "This CuratorNet was loaded without its features, which encoding items needs. Use "
                "load_model(path, features). Ranking the items that it was trained on works as it is."
            )
        first, *others = self.item_tower
        assert isinstance(first, nn.Linear)
        hidden = self.z.product(items, first.weight, learning=self.is_learning) + first.bias  # (n, d)
        with self._products():
            q: Tensor = nn.Sequential(*others)(hidden)  # (n, d)
        return q.float()

    def encode_queries(self, queries: Queries) -> Tensor:
        queries = queries.newest(self.config.max_history)
        if queries.weight is not None or queries.pictures is not None:
            return torch.stack([self._weighed(queries, row) for row in range(len(queries))])
        return self._pooled(self._fitted(self.Z), *self._known(queries))

    def _weighed(self, queries: Queries, row: int) -> Tensor:
        """The query vector `(d,)` of one history with weights or pictures."""
        real = queries.mask[row] & ~self.missing[queries.history[row]]  # (H,)
        q = self._fitted(self.Z)[queries.history[row, real]]  # (h, d)
        w = torch.ones(len(q)) if queries.weight is None else queries.weight[row, real]
        if queries.pictures is not None and queries.picture_weight is not None:
            f = queries.pictures[row].numpy()  # (P, F)
            z = torch.from_numpy(self._finishing.apply(f).astype(np.float32))
            q = torch.cat([q, self.item_tower(z)])  # (h + P, d)
            w = torch.cat([w, queries.picture_weight[row]])
        p = q.new_zeros(q.shape[1])
        for sign in (1, -1):
            chosen = sign * w > 0
            if chosen.any():
                amount = w[chosen].abs()
                mean = amount @ q[chosen] / amount.sum()  # (d,)
                most = q[chosen].amax(0)  # (d,)
                both = (mean, most) if self.config.variant == "paper" else (most, mean)
                p = p + sign * amount.mean() * self.query_tower(torch.cat(both))
        return p

    def encode_batch(self, queries: Queries, items: Tensor) -> tuple[Tensor, Tensor]:
        history, lengths = self._known(queries)
        used, place = map(torch.from_numpy, distinct(torch.cat([items, history]).numpy()))
        Z = self.encode_items(used)
        own, looked_at = place.split([len(items), len(history)])  # the row of each in Z
        return self._pooled(Z, looked_at, lengths), Z[beside(own, Z)]

    def _known(self, queries: Queries) -> tuple[Tensor, Tensor]:
        """The items with an image of all histories `(N,)`, one history after the other, and their numbers `(B,)`."""
        # The features' own lie on the CPU, as histories do, also while the buffer lies on a GPU.
        missing = self.missing.numpy() if self.z is None else self.z.missing
        is_known = queries.mask & torch.from_numpy(~missing[queries.history.numpy()])  # (B, H)
        return queries.history[is_known], is_known.sum(1)

    def _pooled(self, Z: Tensor, rows: Tensor, lengths: Tensor) -> Tensor:
        """Query vectors `(B, d)` of histories that are rows `(N,)` of Z, one after the other."""
        mean, most = pooled(Z, rows, lengths)  # (B, d) each; of an empty history 0
        both = (mean, most) if self.config.variant == "paper" else (most, mean)
        with self._products():
            Q: Tensor = self.query_tower(torch.cat(both, dim=1))  # (B, d)
        return Q.float() * beside(lengths > 0, Q)[:, None]

    def _products(self) -> torch.autocast:
        """Within it, products of layers are taken in the precision of those with features."""
        is_reduced = self.rounding(self.config.precision) == torch.bfloat16
        return torch.autocast(self.device.type, torch.bfloat16, enabled=is_reduced)

    def l2(self) -> L2:
        return L2(shared={name: self.config.reg for name, one in self.named_parameters() if one.ndim == 2})

    def forget(self, users: Tensor, items: Tensor) -> None:
        """Nothing: no parameter belongs to a user or an item."""

    def similarity_vectors(self) -> Tensor:
        return self._fitted(self.Z).masked_fill(self.missing[:, None], 0)  # what is not seen is like nothing


def _dense(*sizes: int) -> nn.Sequential:
    return nn.Sequential(*(part for n, m in pairwise(sizes) for part in (nn.Linear(n, m), nn.SELU())))
