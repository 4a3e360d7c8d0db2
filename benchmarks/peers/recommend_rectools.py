"""RecTools' ranker of models with factors, on vectors from a file; runs in the peers' environment."""

from __future__ import annotations

import numpy as np
from peak import Peak
from rectools.models.rank import Distance, ImplicitRanker
from scipy import sparse
from speed.turn import repeated, take_turn


def one(
    folder: str, threads: int, seconds: float, *, dim: int, n_users: int, n_items: int, k: int, out: str
) -> dict[str, float]:
    """All users, again and again for so many seconds."""
    Q, Z = np.load(f"{folder}/Q{dim}.npy"), np.load(f"{folder}/Z{dim}.npy")
    ranker = ImplicitRanker(Distance.DOT, Q, Z, num_threads=threads)
    with np.load(f"{folder}/train.npz") as rows:
        ones = np.ones(len(rows["user"]), np.float32)
        taken = sparse.csr_matrix((ones, (rows["user"], rows["item"])), shape=(n_users, n_items))
    users = np.arange(n_users)
    _, items, _ = ranker.rank(users, k=k, filter_pairs_csr=taken)
    np.save(out, np.asarray(items).reshape(n_users, -1))

    def recommend() -> float:
        ranker.rank(users, k=k, filter_pairs_csr=taken)
        return n_users

    peak = Peak()
    return {"users_per_second": repeated(recommend, seconds), "peak_mib": peak.mib()}


if __name__ == "__main__":
    take_turn(one)
