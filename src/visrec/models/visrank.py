"""VisRank: items that look like what the user took (McAuley et al. 2015; Messina et al. 2019)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.nn.functional import normalize

from visrec import config
from visrec.recommender import Fitting, Queries, Recommender
from visrec.space import Choice, IntRange, Space

_CELLS = 1 << 24  # similarities held at once: 64 MiB


class VisRankConfig(config.Config):
    """Settings of `VisRank`."""

    space: ClassVar[Space] = {"method": Choice(("maximum", "average", "top_n")), "n": IntRange(2, 20)}
    method: Literal["maximum", "average", "top_n"] = "maximum"
    """How the similarities to the history become one score; "top_n" is the mean of the n largest."""
    n: int = Field(default=3, ge=1)
    """For "top_n": how many of the history's items count, for each candidate its own nearest."""


class VisRank(Recommender):
    """x_ui = pool over l in the history of cos(f_i, f_l): maximum, average, or mean of the n largest.

    Messina et al. 2019 ("Content-based artwork recommendation", section 4.2). The item vector is f_i / |f_i|;
    the query has one vector for each item of the history, `pool` makes one score of them. Nothing of size
    items x items is ever built. Items without an image have score 0 and count in nobody's history.

    With weights, x_ui = pool over w_l > 0 of w_l cos(f_i, f_l) - pool over w_l < 0 of |w_l| cos(f_i, f_l): with the
    average, Rocchio's relevance feedback (1971), whose query is the mean of what is liked minus that of what is not.
    A pool over nothing is 0. Pictures that are no items count like items.
    """

    Config = VisRankConfig
    config: VisRankConfig
    needs = "vector"
    learns = "nothing"
    query = "history"
    new_users = True
    new_items = True
    weighs = True
    new_pictures = True
    paper = "McAuley et al. 2015; Messina et al. 2019"

    def _fit(self, fitting: Fitting) -> None:
        assert self.features is not None
        blocks = [
            normalize(torch.from_numpy(self.features.values[start : start + 4096].astype("float32")), dim=1)
            for start in range(0, fitting.train.n_items, 4096)
        ]
        self.f = torch.cat(blocks)  # (I, F), rows of length 1, or 0 where there is no image

    def encode_items(self, items: Tensor) -> Tensor:
        return self.f[items]  # (n, F)

    def encode_queries(self, queries: Queries) -> Tensor:
        Q = self.f[queries.history]  # (B, H, F); `pool` leaves out the padding
        if queries.pictures is not None:
            Q = torch.cat([Q, normalize(queries.pictures, dim=2)], dim=1)  # (B, H + P, F)
        return Q

    def pool(self, Q: Tensor, Z: Tensor, queries: Queries) -> Tensor:
        weight = _weights(queries)
        if weight is None:
            return self._alike(Q, Z, queries.mask)
        scores = torch.zeros(len(Q), len(Z))
        for sign in (1, -1):
            chosen = sign * weight > 0  # (B, H + P)
            if chosen.any():  # w cos(f_i, f_l) = f_i . w f_l / |f_l|
                scores += sign * self._alike(Q * weight.abs()[:, :, None], Z, chosen)
        return scores

    def _alike(self, Q: Tensor, Z: Tensor, mask: Tensor) -> Tensor:
        """Pooled products `(B, n)` of those vectors of each query `(B, H, F)` that the mask `(B, H)` names."""
        real = _real(Q, mask)
        counts = real.sum(1).tolist()
        if self.config.method == "average":
            return self._mean(Q, real) @ Z.T
        scores = np.zeros((len(Q), len(Z)), dtype=np.float32)
        f_l = Q[real]  # (S, F): all histories, one after the other
        done = 0
        for block in Z.split(max(1, _CELLS // max(1, len(f_l)))):
            similarity = (f_l @ block.T).numpy()  # (S, n)
            start = 0
            for b, h in enumerate(counts):
                if h:
                    scores[b, done : done + len(block)] = self._pooled(similarity[start : start + h])
                start += h
            done += len(block)
        return torch.from_numpy(scores)

    def probes(self, queries: Queries) -> tuple[Tensor, Tensor] | None:
        if self.config.method == "top_n":
            return None  # each candidate has nearest items of its own
        Q, weight = self.encode_queries(queries), _weights(queries)
        liked = queries.mask if weight is None else weight > 0
        if self.config.method == "maximum":
            if weight is None:
                return Q, _real(Q, liked)
            if (weight < 0).any():
                return None  # a difference of two maxima
            return Q * weight[:, :, None], _real(Q, liked)
        if weight is None:
            real = _real(Q, liked)
            return self._mean(Q, real)[:, None], real.any(1, keepdim=True)
        Q = Q * weight.abs()[:, :, None]
        real, bad = _real(Q, liked), _real(Q, weight < 0)
        return (self._mean(Q, real) - self._mean(Q, bad))[:, None], (real | bad).any(1, keepdim=True)

    @staticmethod
    def _mean(Q: Tensor, real: Tensor) -> Tensor:
        """`(B, F)`: the mean of cosines is the dot product with the mean."""
        return (Q * real[:, :, None]).sum(1) / real.sum(1, keepdim=True).clamp_min(1)

    def _pooled(self, similarity: np.ndarray) -> np.ndarray:
        """Similarities `(h, n)` to one history as scores `(n,)`; NumPy, whose maximum over rows is the faster."""
        h, n = len(similarity), self.config.n
        if self.config.method == "maximum":
            return similarity.max(axis=0)
        if h <= n:
            return similarity.mean(axis=0)
        return np.partition(similarity, h - n, axis=0)[h - n :].mean(axis=0)  # each candidate's own n nearest

    def similarity_vectors(self) -> Tensor:
        return self.f

    def state(self) -> dict[str, Tensor]:
        return {"f": self.f}

    def restore(self, state: Mapping[str, Tensor]) -> None:
        self.f = state["f"]
        self.Z = self.f


def _real(Q: Tensor, mask: Tensor) -> Tensor:
    """`(B, H)` bool: of those in the mask, which count; missing images do not."""
    return mask & (Q.abs().sum(2) > 0)


def _weights(queries: Queries) -> Tensor | None:
    """Weights `(B, H + P)` of histories and pictures, 0 at padding; None where there are none of either."""
    if queries.weight is None and queries.pictures is None:
        return None
    weight = queries.mask.float() if queries.weight is None else queries.weight * queries.mask
    return weight if queries.picture_weight is None else torch.cat([weight, queries.picture_weight], dim=1)
