"""cornac's `ranking_eval` on vectors from a file; runs in the peers' environment."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from cornac.data import Dataset
from cornac.eval_methods.base_method import ranking_eval
from cornac.metrics import AUC, MRR, NDCG, Precision, Recall
from cornac.models.recommender import Recommender
from peak import Peak
from speed.turn import repeated, take_turn


class Vectors(Recommender):
    """cornac's way to score with vectors that are there."""

    def __init__(self, Q: np.ndarray, Z: np.ndarray) -> None:
        super().__init__("vectors", trainable=False)
        self.Q, self.Z = Q, Z

    def score(self, user_idx: int, item_idx: int | None = None) -> np.ndarray:
        return self.Z @ self.Q[user_idx] if item_idx is None else self.Z[item_idx] @ self.Q[user_idx]


def one(
    folder: str, seconds: float, *, dim: int, n_users: int, n_items: int, cutoffs: list[int], **_: Any
) -> dict[str, Any]:
    """All users, again and again for so many seconds."""
    seen, test = (dataset(Path(folder) / f"{name}.npz", n_users, n_items) for name in ("seen", "test"))
    model = Vectors(np.load(f"{folder}/Q{dim}.npy"), np.load(f"{folder}/Z{dim}.npy")).fit(seen)
    metrics = {"auc": AUC(), "mrr": MRR()}
    for k in cutoffs:
        metrics |= {f"ndcg@{k}": NDCG(k), f"recall@{k}": Recall(k), f"precision@{k}": Precision(k)}
    found: dict[str, float] = {}

    def all_users() -> float:
        means, _ = ranking_eval(model, list(metrics.values()), seen, test)
        found.update(zip(metrics, map(float, means), strict=True))
        return n_users

    peak = Peak()
    rate = repeated(all_users, seconds)
    del found["mrr"]  # right only as far as the list is sorted, which is to the largest cutoff
    return {"users_per_second": rate, "peak_mib": peak.mib(), "metrics": found}


def dataset(path: Path, n_users: int, n_items: int) -> Dataset:
    """Rows of a file on all users and items."""
    with np.load(path) as rows:
        user, item = rows["user"].astype(np.int64), rows["item"].astype(np.int64)
    uids, iids = (OrderedDict((n, n) for n in range(size)) for size in (n_users, n_items))
    made = Dataset(n_users, n_items, uids, iids, (user, item, np.ones(len(user))))
    _ = made.csr_matrix  # built when first used
    return made


if __name__ == "__main__":
    take_turn(one)
