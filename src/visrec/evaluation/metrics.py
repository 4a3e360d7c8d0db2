"""Ranking metrics, from the ranks of the held-out items alone. NumPy only.

Conventions of this module: a user has R held-out (relevant) items among n candidates, at ranks r_1 < … < r_R
(1 is best). All functions take the ragged ranks of many users at once and give one value a user.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from visrec.errors import ConfigError


@dataclass(frozen=True, eq=False)
class Ranks:
    """Where the held-out items of B users stand.

    Attributes:
        owner: `(T,)` row of the user of each held-out item, in 0 … B-1.
        rank: `(T,)` rank of each held-out item among the user's candidates, from 1; distinct within a user.
        n_relevant: `(B,)` R, at least 1.
        n_candidates: `(B,)` n, the held-out items included, what the user has seen excluded.
        mid: `(T,)` mid-ranks, where tied items share the mean of their places; None: nothing is tied.
    """

    owner: np.ndarray
    rank: np.ndarray
    n_relevant: np.ndarray
    n_candidates: np.ndarray
    mid: np.ndarray | None = None

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Sum `(T,)` values by user: `(B,)`."""
        return np.bincount(self.owner, weights=values, minlength=len(self.n_relevant))

    def hits(self, k: int) -> np.ndarray:
        """`(B,)` number of held-out items among the k best."""
        return self.sum(self.rank <= k)

    def position(self) -> np.ndarray:
        """`(T,)` j of each r_j: the how-many-th of its user's held-out items it is, from 1."""
        order = np.lexsort((self.rank, self.owner))
        first = np.concatenate([[0], np.cumsum(np.bincount(self.owner, minlength=len(self.n_relevant)))])[:-1]
        position = np.empty(len(order), dtype=np.int64)
        position[order] = np.arange(len(order)) - first[self.owner[order]] + 1
        return position


def auc(ranks: Ranks) -> np.ndarray:
    """Share of (held-out, other candidate) pairs in the right order, ties counted half; in [0, 1], chance .5.

    AUC = 1 - (sum_j r_j - R (R + 1) / 2) / (R (n - R)), r_j the mid-ranks (Mann & Whitney 1947). Other
    candidates are the n - R that the user has neither seen nor taken, not the whole catalogue. With no other
    candidate it is .5, as it is, exactly, for a constant score.
    """
    R = ranks.n_relevant
    above = ranks.sum(ranks.rank if ranks.mid is None else ranks.mid) - R * (R + 1) / 2
    pairs = R * (ranks.n_candidates - R)
    return np.where(pairs > 0, 1 - above / np.maximum(pairs, 1), 0.5)


def rr(ranks: Ranks, k: int | None = None) -> np.ndarray:
    """Reciprocal rank of the best held-out item, 1 / r_1; in (0, 1]. Its mean is the MRR.

    At k it is 0 where that item is not among the k best (Voorhees 1999, who cut at 5).
    """
    best = np.full(len(ranks.n_relevant), np.iinfo(np.int64).max)
    np.minimum.at(best, ranks.owner, ranks.rank)
    return 1 / best if k is None else np.where(best <= k, 1 / best, 0.0)


def hit(ranks: Ranks, k: int) -> np.ndarray:
    """Whether any held-out item is among the k best: 0 or 1. Its mean is the hit rate."""
    return (ranks.hits(k) > 0).astype(np.float64)


def precision(ranks: Ranks, k: int) -> np.ndarray:
    """Held-out items among the k best / k; in [0, 1]. Also when there are fewer than k candidates."""
    return ranks.hits(k) / k


def recall(ranks: Ranks, k: int) -> np.ndarray:
    """Held-out items among the k best / R; in [0, 1]."""
    return ranks.hits(k) / ranks.n_relevant


def ndcg(ranks: Ranks, k: int) -> np.ndarray:
    """DCG over ideal DCG, binary relevance; in [0, 1] (Järvelin & Kekäläinen 2002).

    DCG = sum over r_j <= k of 1 / log2(r_j + 1). The ideal list starts with all R held-out items, so it has
    min(k, R) of them, not only those that were hit.
    """
    gain = np.where(ranks.rank <= k, 1 / np.log2(ranks.rank + 1), 0.0)
    ideal = np.concatenate([[0], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])  # (k + 1,) by number of items
    return ranks.sum(gain) / ideal[np.minimum(ranks.n_relevant, k)]


def f1(ranks: Ranks, k: int) -> np.ndarray:
    """Harmonic mean of precision and recall at k, 2 hits / (k + R); in [0, 1] (van Rijsbergen 1979)."""
    return 2 * ranks.hits(k) / (k + ranks.n_relevant)


def average_precision(ranks: Ranks, k: int) -> np.ndarray:
    """Average precision at k: sum over r_j <= k of j / r_j, over R; in [0, 1]. Its mean is MAP (as trec_eval)."""
    gain = np.where(ranks.rank <= k, ranks.position() / ranks.rank, 0.0)
    return ranks.sum(gain) / ranks.n_relevant


def ndcg_of_hits(ranks: Ranks, k: int) -> np.ndarray:
    """The tutorial's nDCG: DCG over that of its own hits, moved to the top; in [0, 1], 0 without hits.

    Held-out items that are not among the k best cost nothing: ranks 1 and 51 at 20 give 1, where `ndcg` gives
    .613. For the protocol "tutorial" alone.
    """
    gain = np.where(ranks.rank <= k, 1 / np.log2(ranks.rank + 1), 0.0)
    ideal = np.concatenate([[1], np.cumsum(1 / np.log2(np.arange(2, k + 2)))])  # of no hit: 0 / 1
    return ranks.sum(gain) / ideal[ranks.hits(k).astype(np.int64)]


UNCUT: dict[str, Callable[[Ranks], np.ndarray]] = {"auc": auc, "rr": rr}
AT_K: dict[str, Callable[[Ranks, int], np.ndarray]] = {
    "ndcg": ndcg,
    "recall": recall,
    "precision": precision,
    "f1": f1,
    "hit": hit,
    "map": average_precision,
    "rr": rr,
}


def metric_names(cutoffs: tuple[int, ...]) -> list[str]:
    """All metrics with the given cutoffs: auc, rr, ndcg@20, …"""
    return [*UNCUT, *(f"{name}@{k}" for k in cutoffs for name in AT_K)]


def compute(name: str, ranks: Ranks, *, variant: Literal["paper", "tutorial"] = "paper") -> np.ndarray:
    """One metric by its name, such as "auc" or "ndcg@20": `(B,)` float64. `ConfigError` for an unknown one.

    Args:
        name: of the metric.
        ranks: where the held-out items stand.
        variant: "tutorial": nDCG by the ideal of the hits, as the tutorial of ACM IUI 2021 has it.
    """
    if name in UNCUT:
        return UNCUT[name](ranks)
    base, at, cutoff = name.partition("@")
    if base not in AT_K or not at or not cutoff.isdecimal() or int(cutoff) < 1:
        known = ", ".join([*UNCUT, *(f"{key}@k" for key in AT_K)])
        raise ConfigError(f"There is no metric '{name}'. Metrics are {known}, with k a whole number above 0.")
    metric = ndcg_of_hits if (base, variant) == ("ndcg", "tutorial") else AT_K[base]
    return metric(ranks, int(cutoff))
